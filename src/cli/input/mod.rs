//! Recordings in: lines of CSV or NDJSON become encoded frames of a schema's message.
//!
//! Every file is read as a stream, except a CSV file whose rows have to be sorted first. Errors name the file, the line and
//! the column, and never quote a cell: recordings hold patients.

pub mod args;
mod clock;
mod csv;
pub mod mapping;
pub mod ndjson;
pub mod replay;
#[cfg(test)]
mod replay_tests;
pub mod shape;
mod target;

use std::fmt;

pub use args::{MAP_EXAMPLES, MapArgs};
pub use mapping::Mapping;
pub use replay::{Recording, Replay};
pub use shape::Shape;

use super::CliError;

/// One frame, ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The encoded message.
    pub bytes: Vec<u8>,
    /// The value in the field with the role SUBJECT.
    pub subject: String,
    /// When it was captured, in milliseconds since 1970-01-01T00:00:00Z; 0 where the message does not say.
    pub at_ms: i64,
}

/// Why a recording, or the way it is read, can't stand. It is the move of whoever gave the file or the mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputError {
    file: Option<String>,
    line: Option<u64>,
    column: Option<String>,
    why: String,
}

impl InputError {
    /// A fault, its place still unknown.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }

    /// In this file, unless a file is named already.
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file.get_or_insert_with(|| file.into());
        self
    }

    /// In this line, counted from 1.
    pub fn at_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// In this column.
    pub fn in_column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_ref().map(|file| format!("`{file}`"));
        let line = self.line.map(|line| format!("line {line}"));
        let column = self.column.as_ref().map(|column| format!("column `{column}`"));
        let place: Vec<_> = [file, line, column].into_iter().flatten().collect();
        if !place.is_empty() {
            write!(f, "{}: ", place.join(", "))?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for InputError {}

impl From<InputError> for CliError {
    fn from(error: InputError) -> Self {
        Self::broken(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_it_is() {
        let error = InputError::new("not a number").in_column("hr_bpm").at_line(3).in_file("a.csv").in_file("later.csv");
        assert_eq!(error.to_string(), "`a.csv`, line 3, column `hr_bpm`: not a number");
        assert_eq!(InputError::new("no").to_string(), "no");
    }
}
