//! Which counts of persons are published, so that nobody can tell that one of them is 1, or 2, up to [`SMALL_MAX`].
//!
//! **What a reader is taken to know**: every number that is published; how many demands lie behind each count, which is published
//! exactly, so that each count is at least that; that rows and columns add up; and this algorithm, which may be run over every table
//! that could be the true one, to see which of them would have been published as this one is.
//!
//! **What is suppressed**: a cell of 1 to 10, and one so close to its demands that it would have fewer than [`VALUES_MIN`] values
//! ([`limit`]); and *every total that a suppressed cell is part of*. Zero is shown: no demand says it already.
//!
//! Statisticians mostly keep the totals and hide further cells instead. Which cells are hidden then depends on hidden numbers, and
//! whoever runs the algorithm backwards learns from it: a search for the least that must be hidden beside 1 and 11 was solved exactly
//! from what it hid. Here a cell is hidden for its own sake alone, and no equation is left that it stands in: so **it can be every
//! number from its demands to its limit, whatever else is published, and nothing more can be known**. What this costs is small: a
//! suppressed total still has its range, the sum of what is published of its cells.

/// Persons up to here are not counted in public, above zero.
pub const SMALL_MAX: u64 = 10;
/// How many values a suppressed cell can have, at least.
pub const VALUES_MIN: u64 = 5;

/// Counts of persons in rows and columns, and how many demands lie behind each. Every demand that is counted here names at least one
/// person, and who is named in two of them counts twice: so a count is at least its demands, and rows and columns add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    columns: usize,
    cells: Vec<Cell>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    persons: u64,
    demands: u64,
}

/// What is published of a cell or a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// The number.
    Exactly(u64),
    /// Not the number; what everybody can tell from what is published.
    Between {
        /// At least.
        least: u64,
        /// At most.
        most: u64,
    },
}

/// The largest count that is suppressed, with so many demands behind it; where they are many, the count is no small one.
pub const fn limit(demands: u64) -> u64 {
    match demands {
        0 => 0,
        few @ 1..=SMALL_MAX if few + VALUES_MIN - 1 > SMALL_MAX => few + VALUES_MIN - 1,
        1..=SMALL_MAX => SMALL_MAX,
        _ => 0,
    }
}

impl Counts {
    /// An empty table.
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { columns, cells: vec![Cell::default(); rows * columns] }
    }

    /// One demand more, about so many persons: one at least, or it would not be counted here.
    pub fn add(&mut self, row: usize, column: usize, persons: u64) {
        if let Some(cell) = self.cells.get_mut(row * self.columns + column).filter(|_| column < self.columns) {
            cell.persons += persons.max(1);
            cell.demands += 1;
        }
    }

    /// What is published of a cell.
    pub fn cell(&self, row: usize, column: usize) -> Shown {
        self.cells.get(row * self.columns + column).map_or(Shown::Exactly(0), |cell| cell.shown())
    }

    /// What is published of a row's total.
    pub fn row(&self, row: usize) -> Shown {
        self.cells.iter().skip(row * self.columns).take(self.columns).map(Cell::shown).sum()
    }

    /// What is published of a column's total.
    pub fn column(&self, column: usize) -> Shown {
        self.cells.iter().skip(column).step_by(self.columns.max(1)).map(Cell::shown).sum()
    }

    /// What is published of the total of all.
    pub fn total(&self) -> Shown {
        self.cells.iter().map(Cell::shown).sum()
    }
}

impl Cell {
    fn shown(&self) -> Shown {
        match limit(self.demands) {
            most if self.persons <= most && self.demands > 0 => Shown::Between { least: self.demands, most },
            _ => Shown::Exactly(self.persons),
        }
    }
}

/// A total is made of what is published and of nothing else: that is the whole of the complementary suppression.
impl std::iter::Sum for Shown {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::Exactly(0), |total, one| match (total.bounds(), one.bounds()) {
            ((a, b), (c, d)) if a == b && c == d => Self::Exactly(a + c),
            ((a, b), (c, d)) => Self::Between { least: a + c, most: b + d },
        })
    }
}

impl Shown {
    /// At least, and at most.
    pub const fn bounds(self) -> (u64, u64) {
        match self {
            Self::Exactly(count) => (count, count),
            Self::Between { least, most } => (least, most),
        }
    }

    /// Whether a reader may be shown this of so many demands: what a report says is held to it, whoever made the report.
    pub const fn is_safe(self, demands: u64) -> bool {
        match self {
            Self::Exactly(count) => {
                count >= demands && (demands == 0) == (count == 0) && count >= if demands == 0 { 0 } else { limit(demands) + 1 }
            }
            Self::Between { least, most } => demands > 0 && least == demands && most == limit(demands),
        }
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(count) => write!(f, "{count}"),
            Self::Between { least, most } => write!(f, "{least}–{most}"),
        }
    }
}

#[cfg(test)]
#[path = "suppress_tests.rs"]
mod tests;
