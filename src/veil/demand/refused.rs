//! Why a record is not taken into a case, or nothing is released under it now. Every variant says whose move it is.

use std::fmt;

use super::words::{Asks, Outcome, Question, Role};
use crate::veil::name::{Did, RecordId, UnixMs};

/// Why a record is not taken into a case, or nothing is released under it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The record is of another demand.
    OtherCase(RecordId),
    /// The key is no registered person's.
    Unregistered(Did),
    /// The person may not do this.
    NoRole(Role),
    /// The very same record was taken before; nothing changed now.
    TakenBefore,
    /// The question is answered already.
    Answered {
        /// Which.
        question: Question,
        /// By which record.
        by: RecordId,
    },
    /// `replaces` names a record that is not in force, or is of another kind.
    NotInForce(RecordId),
    /// The demand was decided: stages, and consents for it, come too late.
    Decided,
    /// The decision names other stages than those in force.
    OtherStages,
    /// Too few different approvers signed.
    TooFewApprovers {
        /// How many persons did; two must.
        have: usize,
    },
    /// Everybody who approved has written in the case.
    NoOutsider,
    /// What is demanded is never released by the desk, to nobody.
    NeverReleased {
        /// What.
        asks: Asks,
        /// Whether of everybody.
        everybody: bool,
    },
    /// A stage is not answered, or its condition is not met.
    NotMet(Question),
    /// A member goes beyond the demand, or beyond the consent.
    Beyond(&'static str),
    /// The consent is none of a subject of the demand for it, or is not in force.
    NoConsent(RecordId),
    /// Notice is deferred without a gag that ends then and has not ended.
    NoDeferral,
    /// A challenge is pending, or was upheld.
    Challenged(RecordId),
    /// Whom it is about has not been told.
    Untold,
    /// The release begins later.
    NotYet {
        /// When.
        from: UnixMs,
    },
    /// The release is over.
    Over {
        /// When it ended.
        until: UnixMs,
    },
    /// The demand is not decided.
    Undecided,
    /// It was decided that nothing is released.
    Declined(Outcome),
    /// The consent was for one release, and there was one.
    Used(RecordId),
    /// The list of whom it is about is not there, or is not the one that the demand commits to.
    UnknownSubjects,
    /// The record says it was signed later than now.
    FromTheFuture {
        /// The gateway's clock.
        now: UnixMs,
    },
    /// The gateway tells nobody while a gag is in force.
    Gagged {
        /// Until when; none: without an end.
        until: Option<UnixMs>,
    },
    /// What was upheld is not replaced.
    Upheld(RecordId),
    /// A case can't have more records.
    TooMany,
    /// All of it is released where the decision says a part, or the other way round.
    NotThatOutcome(Outcome),
    /// A statement, or the record of a report, that was signed too long ago, or before one that was taken.
    Outdated {
        /// The gateway's clock.
        now: UnixMs,
    },
    /// A report counted from a log that this one does not go on from.
    OtherLog {
        /// How many entries it says that the log had.
        size: u64,
    },
    /// The desk can't keep more statements and records of reports.
    TooManyPublic,
    /// One person handed in as many of them within a day as anybody may.
    TooManyToday,
}

impl Refused {
    /// Every code.
    pub const ALL: &'static [&'static str] = &[
        "TV-Q01", "TV-Q02", "TV-Q03", "TV-Q04", "TV-Q05", "TV-Q06", "TV-Q07", "TV-Q08", "TV-Q09", "TV-Q10", "TV-Q11", "TV-Q12", "TV-Q13",
        "TV-Q14", "TV-Q15", "TV-Q16", "TV-Q17", "TV-Q18", "TV-Q19", "TV-Q20", "TV-Q21", "TV-Q22", "TV-Q23", "TV-Q24", "TV-Q25", "TV-Q26",
        "TV-Q27", "TV-Q28", "TV-Q29", "TV-Q30", "TV-Q31", "TV-Q32",
    ];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OtherCase(_) => "TV-Q01",
            Self::Unregistered(_) => "TV-Q02",
            Self::NoRole(_) => "TV-Q03",
            Self::TakenBefore => "TV-Q04",
            Self::Answered { .. } => "TV-Q05",
            Self::NotInForce(_) => "TV-Q06",
            Self::Decided => "TV-Q07",
            Self::OtherStages => "TV-Q08",
            Self::TooFewApprovers { .. } => "TV-Q09",
            Self::NoOutsider => "TV-Q10",
            Self::NeverReleased { .. } => "TV-Q11",
            Self::NotMet(_) => "TV-Q12",
            Self::Beyond(_) => "TV-Q13",
            Self::NoConsent(_) => "TV-Q14",
            Self::NoDeferral => "TV-Q15",
            Self::Challenged(_) => "TV-Q16",
            Self::Untold => "TV-Q17",
            Self::NotYet { .. } => "TV-Q18",
            Self::Over { .. } => "TV-Q19",
            Self::Undecided => "TV-Q20",
            Self::Declined(_) => "TV-Q21",
            Self::Used(_) => "TV-Q22",
            Self::UnknownSubjects => "TV-Q23",
            Self::FromTheFuture { .. } => "TV-Q24",
            Self::Gagged { .. } => "TV-Q25",
            Self::Upheld(_) => "TV-Q26",
            Self::TooMany => "TV-Q27",
            Self::NotThatOutcome(_) => "TV-Q28",
            Self::Outdated { .. } => "TV-Q29",
            Self::OtherLog { .. } => "TV-Q30",
            Self::TooManyPublic => "TV-Q31",
            Self::TooManyToday => "TV-Q32",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCase(demand) => write!(f, "the record is of demand `{demand}`: hand it in there"),
            Self::Unregistered(key) => write!(f, "`{key}` is no registered person's: sign with a registered key, or have it registered"),
            Self::NoRole(role) => write!(f, "the signer is no {role}: have it signed by one"),
            Self::TakenBefore => f.write_str("this record was taken before: there is nothing to do"),
            Self::Answered { question, by } => {
                write!(f, "stage {} is answered by `{by}`: name it in `replaces` and sign again", question.number())
            }
            Self::NotInForce(id) => write!(f, "`replaces` names `{id}`, which is not in force or of another kind: sign again without it"),
            Self::Decided => f.write_str("the demand is decided: nothing of this kind is taken any more"),
            Self::OtherStages => f.write_str("`stages` are not those in force: read the case again, and sign a new decision"),
            Self::TooFewApprovers { have } => {
                write!(f, "two different approvers must sign, and {have} did: have another one sign the same bytes")
            }
            Self::NoOutsider => f.write_str("all who approved have written in the case: have an approver sign who has not"),
            Self::NeverReleased { everybody: true, .. } => f.write_str("data of everybody is never released: decide `refuse`"),
            Self::NeverReleased { asks, everybody: false } => {
                write!(f, "nothing is ever released by the desk where {asks} is demanded: decide otherwise")
            }
            Self::NotMet(question) => {
                write!(f, "stage {} ({question}) is not answered, or not met: answer it, or decide `refuse`", question.number())
            }
            Self::Beyond(member) => write!(f, "`{member}` goes beyond what was demanded or consented to: say less and sign again"),
            Self::NoConsent(id) => write!(f, "`{id}` is no consent in force, for this demand, of a subject of it: ask the subject"),
            Self::NoDeferral => {
                f.write_str("notice can be deferred to the end of a gag that is in force, no further: decide `before-release`")
            }
            Self::Challenged(id) => write!(f, "challenge `{id}` is pending or was upheld: wait for the ruling"),
            Self::Untold => f.write_str("whom it is about has not been told: tell them, and hand in the notice"),
            Self::NotYet { from } => write!(f, "the release begins at {from}: come back then"),
            Self::Over { until } => write!(f, "the release was over at {until}: there is nothing to do"),
            Self::Undecided => f.write_str("the demand is not decided: two approvers sign a decision"),
            Self::Declined(outcome) => write!(f, "it was decided `{outcome}`: nothing is released"),
            Self::Used(id) => write!(f, "consent `{id}` was for one release, and there was one: ask the subject again, with a new demand"),
            Self::UnknownSubjects => f.write_str("the list of whom it is about is not the one that the demand commits to: hand it in"),
            Self::FromTheFuture { now } => write!(f, "`at` is later than now, {now}: set the clock of the signer and sign again"),
            Self::Gagged { until: Some(until) } => write!(f, "the gateway tells nobody until {until}: it does by itself then"),
            Self::Gagged { until: None } => f.write_str("the gateway tells nobody, as the gag has no end: a clerk may"),
            Self::Upheld(id) => write!(f, "challenge `{id}` was upheld, and stays so: a new demand is a new case"),
            Self::TooMany => f.write_str("the case has as many records as the gateway keeps: decide it"),
            Self::NotThatOutcome(outcome) => write!(f, "what is released is not what `{outcome}` means: sign the other of the two"),
            Self::Outdated { now } => {
                write!(f, "it was signed more than 7 days before {now}, or before one of the same name that was taken: sign a new one")
            }
            Self::OtherLog { size } => {
                write!(f, "the log did not have the root that the report names at {size} entries: make the report again, from this log")
            }
            Self::TooManyPublic => f.write_str(
                "as many statements and reports are kept as there is room for: no operator makes that many; ask who signed them",
            ),
            Self::TooManyToday => {
                f.write_str("one person makes no more than 64 statements and reports public within a day: come back tomorrow")
            }
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_code_in_order_and_speaks_in_one_line() {
        let id = RecordId([7; 32]);
        let now = UnixMs(0);
        let all = [
            Refused::OtherCase(id),
            Refused::Unregistered(Did([1; 32])),
            Refused::NoRole(Role::Counsel),
            Refused::TakenBefore,
            Refused::Answered { question: Question::Risk, by: id },
            Refused::NotInForce(id),
            Refused::Decided,
            Refused::OtherStages,
            Refused::TooFewApprovers { have: 1 },
            Refused::NoOutsider,
            Refused::NeverReleased { asks: Asks::RedesignBackdoor, everybody: false },
            Refused::NotMet(Question::Rights),
            Refused::Beyond("fields"),
            Refused::NoConsent(id),
            Refused::NoDeferral,
            Refused::Challenged(id),
            Refused::Untold,
            Refused::NotYet { from: now },
            Refused::Over { until: now },
            Refused::Undecided,
            Refused::Declined(Outcome::Unable),
            Refused::Used(id),
            Refused::UnknownSubjects,
            Refused::FromTheFuture { now },
            Refused::Gagged { until: None },
            Refused::Upheld(id),
            Refused::TooMany,
            Refused::NotThatOutcome(Outcome::Comply),
            Refused::Outdated { now },
            Refused::OtherLog { size: 9 },
            Refused::TooManyPublic,
            Refused::TooManyToday,
        ];
        assert_eq!(all.iter().map(Refused::code).collect::<Vec<_>>(), Refused::ALL);
        for refused in all {
            let text = refused.to_string();
            assert!(!text.contains('\n') && !text.ends_with('.') && !text.starts_with(char::is_uppercase), "{text}");
        }
    }
}
