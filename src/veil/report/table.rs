//! Figures, each with the entries of the log that it counts, in tables. What is written to JSON, CSV and HTML, and compared when somebody
//! counts again.

use serde::{Deserialize, Serialize};

use super::suppress::Shown;

/// A number, and what it was counted from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The number.
    pub value: Value,
    /// The numbers of the log's entries that it counts, from the first on.
    pub leaves: Vec<u64>,
}

/// A number, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// So many, exactly.
    Count(u64),
    /// So many, as the entries say: what they add up to.
    Sum(u64),
    /// Suppressed: not said, but from `least` to `most`.
    Between {
        /// At least.
        least: u64,
        /// At most.
        most: u64,
    },
    /// The median of so many hours, rounded up.
    MedianHours(u64),
    /// There is nothing to count, or nobody says.
    None,
}

/// Figures in rows and columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// A name that stays the same from report to report.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// What is counted, and what is not.
    pub says: String,
    /// Which elements of published standards it answers.
    pub answers: Vec<String>,
    /// What a row is, such as `country`.
    pub of: String,
    /// The columns.
    pub columns: Vec<Head>,
    /// The rows; a row has as many figures as there are columns.
    pub rows: Vec<Row>,
    /// The sums of the columns, where rows add up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Vec<Figure>>,
}

/// What a column or row is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// A word that stays the same from report to report.
    pub id: String,
    /// The same for people.
    pub title: String,
}

/// A row of figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// A word that stays the same from report to report.
    pub id: String,
    /// The same for people.
    pub title: String,
    /// One for each column.
    pub figures: Vec<Figure>,
}

impl Figure {
    /// As many as there are entries.
    pub fn counting(mut leaves: Vec<u64>) -> Self {
        leaves.sort_unstable();
        leaves.dedup();
        Self { value: Value::Count(leaves.len() as u64), leaves }
    }

    /// The number, where there is an exact one.
    pub const fn count(&self) -> Option<u64> {
        match self.value {
            Value::Count(count) => Some(count),
            Value::Sum(_) | Value::Between { .. } | Value::MedianHours(_) | Value::None => None,
        }
    }
}

impl From<Shown> for Value {
    fn from(shown: Shown) -> Self {
        match shown {
            Shown::Exactly(count) => Self::Count(count),
            Shown::Between { least, most } => Self::Between { least, most },
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) | Self::Sum(count) => f.write_str(&grouped(*count)),
            Self::Between { least, most } => write!(f, "{}–{}", grouped(*least), grouped(*most)),
            Self::MedianHours(1) => f.write_str("1 hour"),
            Self::MedianHours(hours @ 0..=71) => write!(f, "{hours} hours"),
            Self::MedianHours(hours) => write!(f, "{} days", grouped(hours.div_ceil(24))),
            Self::None => f.write_str("–"),
        }
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Table {
    /// A row by its id.
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == id)
    }

    /// The place of a column.
    pub fn column(&self, id: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    /// A figure by row and column.
    pub fn figure(&self, row: &str, column: &str) -> Option<&Figure> {
        self.row(row)?.figures.get(self.column(column)?)
    }

    /// The sum of a column, where rows add up.
    pub fn sum(&self, column: &str) -> Option<&Figure> {
        self.total.as_ref()?.get(self.column(column)?)
    }

    /// Whether every row has a figure for every column.
    pub fn is_whole(&self) -> bool {
        let width = |figures: &[Figure]| figures.len() == self.columns.len();
        self.rows.iter().all(|row| width(&row.figures)) && self.total.as_deref().is_none_or(width)
    }
}

/// A table in the making: entries are put where they count.
#[derive(Debug)]
pub(super) struct Tally {
    columns: Vec<Head>,
    rows: Vec<(Head, Vec<Vec<u64>>)>,
}

impl Tally {
    pub(super) fn new(columns: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        Self { columns: columns.into_iter().map(|(id, title)| head(id, title)).collect(), rows: Vec::new() }
    }

    /// Adds a row that is there also where nothing counts.
    pub(super) fn row(&mut self, id: &str, title: &str) {
        if !self.rows.iter().any(|(row, _)| row.id == id) {
            self.rows.push((head(id, title), vec![Vec::new(); self.columns.len()]));
        }
    }

    /// Counts an entry; a row that is not there yet is called by its id.
    pub(super) fn count(&mut self, row: &str, column: &str, leaf: u64) {
        self.row(row, row);
        let column = self.columns.iter().position(|known| known.id == column);
        let cells = self.rows.iter_mut().find(|(known, _)| known.id == row).map(|(_, cells)| cells);
        if let Some(cell) = column.and_then(|column| cells?.get_mut(column)) {
            cell.push(leaf);
        }
    }

    /// Rows by their names, but for those that stand last: what is only known when all was counted.
    pub(super) fn sort(&mut self) {
        self.rows.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    }

    /// The table. `adds_up`: no entry is in two rows, so that there is a total.
    pub(super) fn table(self, id: &str, title: &str, of: &str, says: &str, answers: &[&str], adds_up: bool) -> Table {
        let total = (0..self.columns.len()).map(|column| {
            let all = self.rows.iter().filter_map(|(_, cells)| cells.get(column)).flatten().copied();
            Figure::counting(all.collect())
        });
        let total = adds_up.then(|| total.collect());
        let row = |(Head { id, title }, cells): (Head, Vec<Vec<u64>>)| Row {
            id,
            title,
            figures: cells.into_iter().map(Figure::counting).collect(),
        };
        Table {
            id: id.into(),
            title: title.into(),
            says: says.into(),
            answers: answers.iter().map(|answer| (*answer).to_owned()).collect(),
            of: of.into(),
            columns: self.columns,
            rows: self.rows.into_iter().map(row).collect(),
            total,
        }
    }
}

pub(super) fn head(id: &str, title: &str) -> Head {
    Head { id: id.into(), title: title.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let all = [0, 999, 1_000, 1_234_567, u64::MAX].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn a_figure_is_the_number_of_entries_that_it_names() {
        let mut tally = Tally::new([("a", "A"), ("b", "B")]);
        tally.row("none", "Nothing");
        for (row, column, leaf) in [("x", "a", 7), ("x", "a", 3), ("x", "a", 7), ("y", "b", 1), ("y", "c", 9)] {
            tally.count(row, column, leaf);
        }
        tally.sort();
        let table = tally.table("t", "T", "letter", "Letters.", &[], true);
        assert!(table.is_whole());
        assert_eq!(table.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["none", "x", "y"]);
        assert_eq!(table.figure("x", "a"), Some(&Figure { value: Value::Count(2), leaves: vec![3, 7] }));
        assert_eq!(table.figure("none", "b").and_then(Figure::count), Some(0));
        assert_eq!(table.sum("a").map(|sum| sum.leaves.clone()), Some(vec![3, 7]));
        assert_eq!((table.figure("x", "c"), table.row("z")), (None, None));
    }

    #[test]
    fn values_are_written_for_people() {
        let texts = [
            (Value::Count(0), "0"),
            (Value::Count(999), "999"),
            (Value::Count(1_234_567), "1,234,567"),
            (Value::Sum(12_345), "12,345"),
            (Value::Between { least: 1, most: 10 }, "1–10"),
            (Value::MedianHours(1), "1 hour"),
            (Value::MedianHours(71), "71 hours"),
            (Value::MedianHours(73), "4 days"),
            (Value::None, "–"),
        ];
        for (value, text) in texts {
            assert_eq!(value.to_string(), text);
        }
    }
}
