//! Why the ledger does not take a record, or does not open, and whose move it is.

use std::fmt;
use std::sync::Arc;

use crate::log::LogError;
use crate::store::StoreError;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::demand;
use crate::veil::name::{RecordId, Spiffe};
use crate::world::ClockBehind;

/// Why a record is not taken. Nothing of it acts.
#[derive(Debug)]
pub enum Refused {
    /// The record itself.
    Record(RecordRefusal),
    /// The party behind the enrolment's source did not sign it.
    NotCountersigned(Spiffe),
    /// The enrolment's source is not in the configuration.
    UnknownSource(Spiffe),
    /// The signer of a mandate is not in the configuration.
    NotAnOperator,
    /// The source's value means another subject already.
    HandleTaken(Spiffe),
    /// Too many signers whom no source ever named.
    TooManyStrangers,
    /// The clock of the gateway is wrong.
    Clock(ClockBehind),
    /// It could not be made durable.
    Unavailable(StoreError),
    /// It is kept and in force, and could not be put into the log.
    Unlogged(Arc<LogError>),
    /// The subject's records are not as they were written: nothing is decided about it.
    Unread {
        /// The first that is wrong, where it is one.
        fact: Option<u64>,
        /// What is wrong, as a code.
        code: &'static str,
    },
    /// The case of a legal demand does not take the record, or releases nothing now.
    Demand(demand::Refused),
    /// No such demand, for whoever asks.
    NoSuchDemand(RecordId),
}

/// Who has to do something before it can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Whoever sent the record.
    Sender,
    /// Whoever configures the gateway.
    Operator,
    /// The gateway: sending it again later may work.
    Ours,
}

impl Refused {
    /// Every code that is the ledger's own; records, the store and the clock have theirs.
    pub const ALL: &'static [&'static str] = &["TV-L01", "TV-L02", "TV-L03", "TV-L04", "TV-L05", "TV-L06", "TV-L10", "TV-L13", "TV-L14"];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Record(refusal) => refusal.code(),
            Self::NotCountersigned(_) => "TV-L01",
            Self::UnknownSource(_) => "TV-L02",
            Self::NotAnOperator => "TV-L03",
            Self::HandleTaken(_) => "TV-L04",
            Self::TooManyStrangers => "TV-L05",
            Self::Clock(_) => ClockBehind::CODE,
            Self::Unavailable(_) => "TV-L06",
            Self::Unlogged(_) => "TV-L10",
            Self::Unread { .. } => "TV-L13",
            Self::Demand(refused) => refused.code(),
            Self::NoSuchDemand(_) => "TV-L14",
        }
    }

    /// Whose move it is.
    pub const fn whose_move(&self) -> Move {
        match self {
            Self::Record(_) | Self::NotCountersigned(_) | Self::Demand(_) | Self::NoSuchDemand(_) => Move::Sender,
            Self::UnknownSource(_)
            | Self::NotAnOperator
            | Self::HandleTaken(_)
            | Self::TooManyStrangers
            | Self::Clock(_)
            | Self::Unread { .. } => Move::Operator,
            Self::Unavailable(_) | Self::Unlogged(_) => Move::Ours,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(refusal) => write!(f, "{refusal}"),
            Self::NotCountersigned(source) => write!(f, "the party behind `{source}` has not signed the enrolment: have it countersigned"),
            Self::UnknownSource(source) => write!(f, "`{source}` is no source of this gateway: its operator adds it to the configuration"),
            Self::NotAnOperator => f.write_str("a mandate needs an operator's key: the gateway's operator adds it to `operators`"),
            Self::HandleTaken(source) => {
                write!(f, "the value of `{source}` means another subject already: the gateway's operator finds out which is right")
            }
            Self::TooManyStrangers => {
                f.write_str("too many subjects without an enrolment: have the subject enrolled, then send the record again")
            }
            Self::Clock(behind) => write!(f, "{behind}"),
            Self::Unavailable(error) => write!(f, "the record could not be kept: send it again later: {error}"),
            Self::Unlogged(error) => write!(f, "the record is in force, and has no receipt yet: ask for it later: {error}"),
            Self::Demand(refused) => write!(f, "{refused}"),
            Self::NoSuchDemand(id) => write!(f, "`{id}` is no legal demand that you can write or read about here: check the id"),
            Self::Unread { code, .. } => {
                write!(f, "the subject's records are not as they were written ({code}): the gateway's operator restores the store")
            }
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Record(refusal) => Some(refusal),
            Self::Clock(behind) => Some(behind),
            Self::Unavailable(error) => Some(error),
            Self::Unlogged(error) => Some(error),
            Self::Demand(refused) => Some(refused),
            Self::NoSuchDemand(_)
            | Self::NotCountersigned(_)
            | Self::UnknownSource(_)
            | Self::NotAnOperator
            | Self::HandleTaken(_)
            | Self::TooManyStrangers
            | Self::Unread { .. } => None,
        }
    }
}

impl From<RecordRefusal> for Refused {
    fn from(refusal: RecordRefusal) -> Self {
        Self::Record(refusal)
    }
}

impl From<demand::Refused> for Refused {
    fn from(refused: demand::Refused) -> Self {
        Self::Demand(refused)
    }
}

impl From<ClockBehind> for Refused {
    fn from(behind: ClockBehind) -> Self {
        Self::Clock(behind)
    }
}

/// Why the ledger does not open. Always the operator's move; the gateway does not start.
#[derive(Debug)]
pub enum OpenError {
    /// The store.
    Store(StoreError),
    /// The store belongs to another log.
    OtherOrigin {
        /// The log it belongs to.
        stored: String,
    },
    /// A stored fact of an operator does not verify, or does not follow from those before it.
    BadFact {
        /// Its number.
        fact: u64,
        /// What is wrong, as a code.
        code: &'static str,
    },
    /// A stored row about legal demands is not as it was written, or does not follow from those before it.
    BadDesk {
        /// Its number.
        row: u64,
        /// What is wrong, as a code.
        code: &'static str,
    },
    /// The log has leaves that the store never noted: an older store was put back.
    StoreBehind {
        /// How many the store noted.
        noted: u64,
        /// How many the log has.
        logged: u64,
    },
    /// The log lacks leaves that the store has forgotten because the log had them: an older log was put back.
    LogBehind {
        /// The first that the store still has.
        kept: u64,
        /// How many the log has.
        logged: u64,
    },
    /// What the log lacks can't be appended.
    Unlogged(Arc<LogError>),
}

impl OpenError {
    /// Every code that is the ledger's own.
    pub const ALL: &'static [&'static str] = &["TV-L07", "TV-L09", "TV-L11", "TV-L12", "TV-L15"];

    /// The stable code; the manual has an entry for each.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::OtherOrigin { .. } => "TV-L07",
            Self::BadFact { .. } => "TV-L09",
            Self::BadDesk { .. } => "TV-L15",
            Self::StoreBehind { .. } => "TV-L11",
            Self::LogBehind { .. } => "TV-L12",
            Self::Unlogged(error) => error.code(),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::OtherOrigin { stored } => {
                write!(f, "data folder: belongs to the log `{stored}`: set that origin, or begin with an empty folder")
            }
            Self::BadFact { fact, code } => {
                write!(f, "data folder: fact {fact} is not as it was written ({code}): restore the folder from its backup")
            }
            Self::BadDesk { row, code } => {
                write!(
                    f,
                    "data folder: row {row} about legal demands is not as it was written ({code}): restore the folder from its backup"
                )
            }
            Self::StoreBehind { noted, logged } => write!(
                f,
                "data folder: the store knows of {noted} entries of the log, which has {logged}: an older store was put back: restore the \
                 newest"
            ),
            Self::LogBehind { kept, logged } => write!(
                f,
                "data folder: the log has {logged} entries, and the store knows that it had {kept}: an older log was put back: restore the \
                 newest"
            ),
            Self::Unlogged(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Unlogged(error) => Some(error),
            Self::OtherOrigin { .. } | Self::BadFact { .. } | Self::BadDesk { .. } | Self::StoreBehind { .. } | Self::LogBehind { .. } => {
                None
            }
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
