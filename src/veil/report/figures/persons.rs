//! How many persons demands are about. The one table that cannot be counted again from the outside: whom a demand is about is nobody's
//! business, so its record only commits to the list.

use std::collections::BTreeSet;

use super::Persons;
use super::demands::asks_title;
use crate::veil::demand::Asks;
use crate::veil::report::countries;
use crate::veil::report::evidence::Told;
use crate::veil::report::suppress::{Counts, Shown};
use crate::veil::report::table::{Figure, Head, Row, Table, Value, head};

const COLUMNS: [Asks; 4] = [Asks::StoredData, Asks::LiveData, Asks::ContentRemoval, Asks::Other];

/// Persons by country and by what is demanded. Every demand that names somebody has to have its number, or none is shown at all.
pub(super) fn persons(told: &[Told], persons: Option<&Persons>) -> Table {
    let naming: Vec<&Told> = told.iter().filter(|told| told.case.demand().about.is_some()).collect();
    let place = |told: &Told| COLUMNS.iter().position(|asks| *asks == told.case.demand().asks);
    let country = |told: &&&Told, row: &str| told.case.demand().source.jurisdiction == row;
    let rows: Vec<&str> =
        naming.iter().map(|told| told.case.demand().source.jurisdiction.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    let numbers: Option<Vec<u64>> = persons.and_then(|persons| naming.iter().map(|told| persons.get(&told.case.id()).copied()).collect());
    let counts = numbers.map(|numbers| {
        let mut counts = Counts::new(rows.len(), COLUMNS.len());
        for (told, persons) in naming.iter().zip(numbers) {
            let row = rows.iter().position(|row| *row == told.case.demand().source.jurisdiction);
            if let (Some(row), Some(column)) = (row, place(told)) {
                counts.add(row, column, persons);
            }
        }
        counts
    });
    let leaves = |wanted: &dyn Fn(&&&Told) -> bool| naming.iter().filter(wanted).map(|told| told.entry).collect::<Vec<u64>>();
    let figure = |shown: Option<Shown>, leaves: Vec<u64>| Figure { value: shown.map_or(Value::None, Value::from), leaves };
    let row = |(i, row): (usize, &&str)| {
        let cells = COLUMNS.iter().enumerate().map(|(j, _)| {
            let leaves = leaves(&|told: &&&Told| country(told, row) && place(told) == Some(j));
            figure(counts.as_ref().map(|counts| counts.cell(i, j)), leaves)
        });
        let sum = figure(counts.as_ref().map(|counts| counts.row(i)), leaves(&|told| country(told, row)));
        Row { id: (*row).to_owned(), title: countries::title(row), figures: cells.chain([sum]).collect() }
    };
    let columns = COLUMNS
        .iter()
        .enumerate()
        .map(|(j, _)| figure(counts.as_ref().map(|counts| counts.column(j)), leaves(&|told: &&&Told| place(told) == Some(j))));
    let total = columns.chain([figure(counts.as_ref().map(Counts::total), leaves(&|_| true))]).collect();
    Table {
        id: PERSONS.into(),
        title: "Persons affected".into(),
        says:
            "How many persons or assets demands name; whoever is named in two of them counts twice. Counts of 1 to 10 are not shown, and \
               neither is a total that one of them stands in: of both the range is shown. This table alone is the desk's word: whom a \
               demand is about is in no public record, so nobody outside can count again."
                .into(),
        answers: vec!["RDR P11a 3".into()],
        of: "country".into(),
        columns: COLUMNS
            .iter()
            .map(|asks| head(asks.word(), asks_title(*asks)))
            .chain([Head { id: "all".into(), title: "All".into() }])
            .collect(),
        rows: rows.iter().enumerate().map(row).collect(),
        total: Some(total),
    }
}

/// The id of the table.
pub(crate) const PERSONS: &str = "persons";

/// Whether what a table of persons says may be said, and adds up: the figures that `table` has, and the entries behind each that `counted`
/// has. The place that is wrong.
pub(crate) fn untold(table: &Table) -> Option<String> {
    let inner = COLUMNS.len();
    let shown = |figure: &Figure| match figure.value {
        Value::Count(count) => Some(Shown::Exactly(count)),
        Value::Between { least, most } => Some(Shown::Between { least, most }),
        Value::Sum(_) | Value::MedianHours(_) | Value::None => None,
    };
    let figures = || table.rows.iter().map(|row| &row.figures).chain(&table.total).flatten();
    if figures().all(|figure| figure.value == Value::None) {
        return None;
    }
    let sum = |figures: &mut dyn Iterator<Item = Option<&Figure>>| figures.map(|figure| figure.and_then(shown)).sum::<Option<Shown>>();
    for row in &table.rows {
        let cells = row.figures.iter().take(inner);
        let unsafe_cell = cells
            .clone()
            .zip(&table.columns)
            .find(|(figure, _)| !shown(figure).is_some_and(|shown| shown.is_safe(figure.leaves.len() as u64)));
        if let Some((_, column)) = unsafe_cell {
            return Some(format!("{}/{}/{}", table.id, row.id, column.id));
        }
        if row.figures.get(inner).and_then(shown) != sum(&mut cells.map(Some)) {
            return Some(format!("{}/{}/all", table.id, row.id));
        }
    }
    let totals = table.total.as_deref().unwrap_or_default();
    for (j, column) in table.columns.iter().enumerate() {
        if totals.get(j).and_then(shown) != sum(&mut table.rows.iter().map(|row| row.figures.get(j))) {
            return Some(format!("{}/total/{}", table.id, column.id));
        }
    }
    None
}
