//! What does not hold of a report, or of what it is made from.

use std::fmt;

use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::demand::Refused;
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{RecordId, UnixMs};

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportDoubt {
    /// What is said to be a record is none, or is not signed.
    NoRecord {
        /// Which file.
        file: String,
        /// Why not.
        why: RecordRefusal,
    },
    /// The log has no entry about a record.
    NotInLog(RecordId),
    /// The case of a demand does not take a record.
    OutOfPlace {
        /// The record.
        record: RecordId,
        /// Why not.
        why: Refused,
    },
    /// A record is of a demand that is not shown.
    WithoutDemand(RecordId),
    /// Nobody may be told of a demand, and it is shown.
    Gagged {
        /// The demand.
        demand: RecordId,
        /// Until when; none: without an end.
        until: Option<UnixMs>,
    },
    /// The log has an entry of a kind that nobody forbids to show, and what it is about is not shown.
    Hidden {
        /// What kind.
        act: Act,
        /// The entry.
        entry: u64,
    },
    /// A statement, or the record of a report, by somebody who is no registered person.
    Stranger(RecordId),
    /// A figure, or another part of the report, is not what is counted.
    Differs {
        /// Where, such as `countries/DE/received`.
        place: String,
        /// What the report says.
        said: String,
        /// What is counted.
        counted: String,
    },
    /// A count of persons is shown that must not be.
    TellsPersons(String),
    /// A file of the report is not what the other files say.
    NotOfReport(&'static str),
    /// The report is about another log, or about one that this log does not go on from.
    OtherLog,
    /// `report.json` is none.
    NoReport(String),
    /// What the operator says of itself can't be read.
    Operator(String),
    /// What the operator assessed is not what an assessment comes to, or names somebody.
    Risk {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        why: String,
    },
}

impl ReportDoubt {
    /// Every code.
    pub const ALL: &'static [&'static str] = &[
        "TV-R01", "TV-R02", "TV-R03", "TV-R04", "TV-R05", "TV-R06", "TV-R07", "TV-R08", "TV-R09", "TV-R10", "TV-R11", "TV-R12", "TV-R13",
        "TV-R14",
    ];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoRecord { .. } => "TV-R01",
            Self::NotInLog(_) => "TV-R02",
            Self::OutOfPlace { .. } => "TV-R03",
            Self::WithoutDemand(_) => "TV-R04",
            Self::Gagged { .. } => "TV-R05",
            Self::Hidden { .. } => "TV-R06",
            Self::Stranger(_) => "TV-R07",
            Self::Differs { .. } => "TV-R08",
            Self::TellsPersons(_) => "TV-R09",
            Self::NotOfReport(_) => "TV-R10",
            Self::OtherLog => "TV-R11",
            Self::NoReport(_) => "TV-R12",
            Self::Operator(_) => "TV-R13",
            Self::Risk { .. } => "TV-R14",
        }
    }
}

impl fmt::Display for ReportDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecord { file, why } => write!(f, "`{file}`: {why}"),
            Self::NotInLog(record) => write!(f, "record `{record}` is not in the log: it was never taken, or it was changed"),
            Self::OutOfPlace { record, why } => write!(f, "record `{record}` does not belong where it stands: {why}"),
            Self::WithoutDemand(record) => write!(f, "record `{record}` is of a demand that is not shown: show the whole case"),
            Self::Gagged { demand, until: Some(until) } => {
                write!(f, "demand `{demand}` is under a gag until {until}: leave the whole case out")
            }
            Self::Gagged { demand, until: None } => write!(f, "demand `{demand}` is under a gag without an end: leave the whole case out"),
            Self::Hidden { act, entry } => {
                write!(f, "entry {entry} of the log is a {act}, which nobody forbids to show, and it is not here")
            }
            Self::Stranger(record) => write!(f, "record `{record}` is not by a registered person"),
            Self::Differs { place, said, counted } => write!(f, "`{place}`: the report says {said}, counted again it is {counted}"),
            Self::TellsPersons(place) => write!(f, "`{place}`: so exactly persons are not counted in public"),
            Self::NotOfReport(file) => write!(f, "`{file}` is not what `report.json` says"),
            Self::OtherLog => {
                f.write_str("the report is about another log, or this log does not go on from it: see that the key is that of its log")
            }
            Self::NoReport(why) => write!(f, "`report.json` is not read: {why}"),
            Self::Risk { number, why } => write!(f, "assessment {number} is not shown: {why}"),
            Self::Operator(why) => write!(f, "what the operator says is not read: {why}"),
        }
    }
}

impl std::error::Error for ReportDoubt {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_doubt_has_its_own_code_in_order_and_speaks_in_one_line() {
        let id = RecordId([7; 32]);
        let all = [
            ReportDoubt::NoRecord { file: "x".into(), why: RecordRefusal::BadSignature },
            ReportDoubt::NotInLog(id),
            ReportDoubt::OutOfPlace { record: id, why: Refused::TakenBefore },
            ReportDoubt::WithoutDemand(id),
            ReportDoubt::Gagged { demand: id, until: None },
            ReportDoubt::Hidden { act: Act::Statement, entry: 3 },
            ReportDoubt::Stranger(id),
            ReportDoubt::Differs { place: "x".into(), said: "1".into(), counted: "2".into() },
            ReportDoubt::TellsPersons("x".into()),
            ReportDoubt::NotOfReport("report.csv"),
            ReportDoubt::OtherLog,
            ReportDoubt::NoReport("x".into()),
            ReportDoubt::Operator("x".into()),
            ReportDoubt::Risk { number: 1, why: "x".into() },
        ];
        assert_eq!(all.iter().map(ReportDoubt::code).collect::<Vec<_>>(), ReportDoubt::ALL);
        for doubt in all {
            let text = doubt.to_string();
            assert!(!text.contains('\n') && !text.ends_with('.') && !text.starts_with(char::is_uppercase), "{text}");
        }
    }
}
