//! Why rules, or an earlier assessment, are not taken.

use std::fmt;

use crate::veil::logsafe::LogSafe;
use crate::veil::schema::faults;

faults! {
    /// What is wrong with rules, an earlier assessment, or the two together.
    RiskFault {
        /// More text, rules or views than are looked at.
        TooLarge = "TV-A01", "shorten the file, or assess fewer schemas or recipients at a time (`--schema`, `--to`)";
        /// Not TOML of the documented form.
        Syntax = "TV-A02", "mend the file of rules";
        /// A category, sensitivity, role, severity or treatment that does not exist, or a selector that can't be read.
        UnknownWord = "TV-A03", "mend the word";
        /// A rule without something that it needs, or that contradicts itself.
        Incomplete = "TV-A04", "complete the rule";
        /// Two rules of one file with one id.
        DuplicateId = "TV-A05", "give each rule an `id` of its own";
        /// What is named as an earlier assessment is none.
        NoDocument = "TV-A06", "name what `twinveil risk --output json` printed, as it stands";
        /// The earlier assessment is about something else: the difference would say nothing.
        Incomparable = "TV-A07", "assess with the same options as before, or make a new one to compare with";
    }
}

/// What is not taken, and whose move it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskError {
    /// What kind of fault.
    pub fault: RiskFault,
    /// Where: a rule or a line; empty where it is the whole.
    pub place: String,
    /// What exactly.
    pub detail: String,
}

impl RiskError {
    pub(super) fn new(fault: RiskFault, place: impl Into<String>, detail: impl Into<String>) -> Self {
        let line = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
        Self { fault, place: line(place.into()), detail: line(detail.into()) }
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.fault.code()
    }
}

impl fmt::Display for RiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}: {}", self.detail, self.fault.todo())
    }
}

impl std::error::Error for RiskError {}
/// Rules and assessments are the operator's; no frame is in them.
impl LogSafe for RiskError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_in_order() {
        for (i, fault) in RiskFault::ALL.iter().enumerate() {
            assert_eq!(fault.code(), format!("TV-A{:02}", i + 1));
        }
    }
}
