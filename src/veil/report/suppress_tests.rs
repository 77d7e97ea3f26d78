use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Rows by columns, and what is known of each cell: its demands.
#[derive(Clone, Debug)]
struct Shape {
    rows: usize,
    columns: usize,
    demands: Vec<u64>,
}

/// Everything that a reader sees of a table: cells, rows, columns, total.
type Seen = Vec<Shown>;

impl Shape {
    fn counts(&self, persons: &[u64]) -> Counts {
        let mut counts = Counts::new(self.rows, self.columns);
        for (at, (persons, demands)) in persons.iter().zip(&self.demands).enumerate() {
            for n in 0..*demands {
                counts.add(at / self.columns, at % self.columns, if n == 0 { persons + 1 - demands } else { 1 });
            }
        }
        counts
    }

    fn seen(&self, persons: &[u64]) -> Seen {
        let counts = self.counts(persons);
        let cells = (0..self.rows).flat_map(|i| (0..self.columns).map(move |j| (i, j))).map(|(i, j)| counts.cell(i, j));
        let rows = (0..self.rows).map(|i| counts.row(i));
        let columns = (0..self.columns).map(|j| counts.column(j));
        cells.chain(rows).chain(columns).chain([counts.total()]).collect()
    }

    /// The same with its totals left as they are: what whoever forgets complementary suppression publishes.
    fn seen_without_complements(&self, persons: &[u64]) -> Seen {
        let sum =
            |which: &dyn Fn(usize) -> bool| Shown::Exactly(persons.iter().enumerate().filter(|(at, _)| which(*at)).map(|(_, n)| n).sum());
        let cells = self.seen(persons).into_iter().take(persons.len());
        let rows = (0..self.rows).map(|i| sum(&|at| at / self.columns == i));
        let columns = (0..self.columns).map(|j| sum(&|at| at % self.columns == j));
        cells.chain(rows).chain(columns).chain([sum(&|_| true)]).collect::<Vec<_>>()
    }

    /// Every table with the same demands and cells up to `most`.
    fn tables(&self, most: u64) -> Vec<Vec<u64>> {
        self.demands.iter().fold(vec![Vec::new()], |tables, demands| {
            let values = if *demands == 0 { 0..=0 } else { *demands..=most };
            tables.iter().flat_map(|table| values.clone().map(move |value| [&table[..], &[value]].concat())).collect()
        })
    }
}

/// What a reader can do who runs the algorithm over every table that could be the true one: for everything that was published, how
/// many values each suppressed cell may have. The least of them over all tables up to `most`.
fn fewest_values(shape: &Shape, most: u64, publish: impl Fn(&[u64]) -> Seen) -> usize {
    let mut classes: BTreeMap<Seen, Vec<BTreeSet<u64>>> = BTreeMap::new();
    for table in shape.tables(most) {
        let values = classes.entry(publish(&table)).or_insert_with(|| vec![BTreeSet::new(); table.len()]);
        for (values, value) in values.iter_mut().zip(&table) {
            values.insert(*value);
        }
    }
    let suppressed =
        classes.iter().flat_map(|(seen, values)| seen.iter().zip(values).filter(|(shown, _)| matches!(shown, Shown::Between { .. })));
    suppressed.map(|(_, values)| values.len()).min().unwrap_or(usize::MAX)
}

/// What a reader can do who knows no algorithm: every table of non-negative integers whose cells and sums are as published. Which
/// values each cell has among them.
fn values_of_consistent_tables(shape: &Shape, seen: &Seen) -> Vec<BTreeSet<u64>> {
    let cells = shape.demands.len();
    let mut values = vec![BTreeSet::new(); cells];
    let consistent = |table: &[u64]| {
        let sums = (0..shape.rows).map(|i| table.iter().skip(i * shape.columns).take(shape.columns).sum());
        let sums = sums.chain((0..shape.columns).map(|j| table.iter().skip(j).step_by(shape.columns).sum()));
        let sums: Vec<u64> = sums.chain([table.iter().sum()]).collect();
        seen.iter().skip(cells).zip(sums).all(|(shown, sum)| (shown.bounds().0..=shown.bounds().1).contains(&sum))
    };
    let mut all = vec![Vec::new()];
    for shown in seen.iter().take(cells) {
        let (least, top) = shown.bounds();
        all = all.iter().flat_map(|table| (least..=top).map(move |n| [&table[..], &[n]].concat())).collect();
    }
    for table in all.iter().filter(|table| consistent(table)) {
        for (values, value) in values.iter_mut().zip(table) {
            values.insert(*value);
        }
    }
    values
}

fn shapes() -> Vec<(Shape, u64)> {
    let shape = |rows, columns, demands: &[u64], most| (Shape { rows, columns, demands: demands.into() }, most);
    vec![
        shape(1, 1, &[1], 40),
        shape(1, 1, &[10], 40),
        shape(1, 2, &[1, 1], 40),
        shape(1, 2, &[10, 1], 40),
        shape(1, 3, &[1, 2, 9], 26),
        shape(2, 2, &[1, 1, 1, 1], 17),
        shape(2, 2, &[3, 0, 1, 9], 24),
        shape(2, 2, &[1, 0, 0, 1], 60),
        shape(2, 2, &[11, 1, 2, 1], 17),
        shape(3, 2, &[0, 1, 7, 0, 1, 1], 15),
    ]
}

#[test]
fn whoever_runs_the_algorithm_backwards_is_left_with_five_values_for_every_suppressed_cell() {
    for (shape, most) in shapes() {
        let fewest = fewest_values(&shape, most, |table| shape.seen(table));
        assert!(fewest as u64 >= VALUES_MIN, "{shape:?}: {fewest}");
    }
}

#[test]
fn without_complementary_suppression_cells_are_solved_and_this_test_sees_it() {
    for (shape, most) in shapes() {
        let fewest = fewest_values(&shape, most, |table| shape.seen_without_complements(table));
        assert_eq!(fewest, 1, "{shape:?}");
    }
}

fn drawn() -> impl Strategy<Value = (Shape, Vec<u64>)> {
    (1usize..=3, 1usize..=3).prop_flat_map(|(rows, columns)| {
        let cell = (prop_oneof![2 => Just(0u64), 5 => 1u64..4, 1 => 4u64..14], prop_oneof![4 => 0u64..6, 2 => 6u64..30, 1 => 30u64..5_000]);
        proptest::collection::vec(cell, rows * columns).prop_map(move |cells| {
            let demands: Vec<u64> = cells.iter().map(|(demands, _)| *demands).collect();
            let persons = cells.iter().map(|(demands, more)| if *demands == 0 { 0 } else { demands + more }).collect();
            (Shape { rows, columns, demands }, persons)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_suppressed_cell_keeps_every_value_up_to_its_limit((shape, persons) in drawn()) {
        let seen = shape.seen(&persons);
        let hidden: Vec<usize> = (0..persons.len()).filter(|at| matches!(seen[*at], Shown::Between { .. })).collect();
        // Each by itself, and pairs of them together: one pair of values is not ruled out by another.
        let pairs = hidden.iter().flat_map(|a| hidden.iter().map(move |b| (*a, *b)));
        for (a, b) in pairs.take(6) {
            for x in shape.demands[a]..=limit(shape.demands[a]) {
                for y in shape.demands[b]..=limit(shape.demands[b]) {
                    let mut other = persons.clone();
                    (other[a], other[b]) = (x, if a == b { x } else { y });
                    prop_assert_eq!(&shape.seen(&other), &seen, "{:?} as {:?}", &persons, &other);
                }
            }
        }
        for at in 0..persons.len() {
            let (demands, shown) = (shape.demands[at], seen[at]);
            prop_assert!(shown.is_safe(demands) && (shown.bounds().0..=shown.bounds().1).contains(&persons[at]));
            prop_assert!(!matches!(shown, Shown::Exactly(1..=SMALL_MAX)), "small and shown: {:?}", &persons);
        }
    }

    #[test]
    fn no_table_that_fits_what_is_published_is_the_only_one((shape, persons) in drawn()) {
        let seen = shape.seen(&persons);
        let hidden = seen.iter().take(persons.len()).filter(|shown| matches!(shown, Shown::Between { .. })).count();
        // Ten values for each of four cells are ten thousand tables.
        prop_assume!(hidden <= 4);
        let values = values_of_consistent_tables(&shape, &seen);
        for (shown, values) in seen.iter().zip(values).filter(|(shown, _)| matches!(shown, Shown::Between { .. })) {
            prop_assert!(values.len() as u64 >= VALUES_MIN, "{}: {:?}", shown, values);
        }
    }
}

#[test]
fn zeros_and_large_counts_are_shown_and_so_are_totals_of_them() {
    let shape = Shape { rows: 2, columns: 2, demands: vec![1, 0, 3, 12] };
    let counts = shape.counts(&[40, 0, 11, 12]);
    assert_eq!(
        [counts.cell(0, 0), counts.cell(0, 1), counts.cell(1, 0), counts.cell(1, 1)].map(|shown| shown.to_string()),
        ["40", "0", "11", "12"]
    );
    assert_eq!(
        [counts.row(0), counts.row(1), counts.column(0), counts.column(1), counts.total()].map(|shown| shown.to_string()),
        ["40", "23", "51", "12", "63"]
    );
    let counts = shape.counts(&[40, 0, 4, 12]);
    assert_eq!(
        [counts.row(0), counts.row(1), counts.column(0), counts.column(1), counts.total()].map(|shown| shown.to_string()),
        ["40", "15–22", "43–50", "12", "55–62"]
    );
}

#[test]
fn a_count_that_could_be_few_numbers_only_is_suppressed_further_up() {
    assert_eq!([0, 1, 6, 7, 10, 11].map(limit), [0, 10, 10, 11, 14, 0]);
    for demands in 1..=SMALL_MAX {
        assert!(limit(demands) + 1 - demands >= VALUES_MIN);
    }
}

#[test]
fn what_a_report_may_not_say_is_told_from_what_it_may() {
    for (shown, demands, safe) in [
        (Shown::Exactly(0), 0, true),
        (Shown::Exactly(0), 1, false),
        (Shown::Exactly(3), 1, false),
        (Shown::Exactly(11), 1, true),
        (Shown::Exactly(14), 10, false),
        (Shown::Exactly(15), 10, true),
        (Shown::Exactly(11), 11, true),
        (Shown::Exactly(10), 11, false),
        (Shown::Between { least: 1, most: 10 }, 1, true),
        (Shown::Between { least: 2, most: 10 }, 1, false),
        (Shown::Between { least: 1, most: 4 }, 1, false),
        (Shown::Between { least: 0, most: 0 }, 0, false),
    ] {
        assert_eq!(shown.is_safe(demands), safe, "{shown} of {demands}");
    }
}
