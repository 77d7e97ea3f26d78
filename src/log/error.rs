//! Why a log does not open or takes nothing, and what its operator should know.

use std::fmt;
use std::io;

use crate::veil::logsafe::LogSafe;
use crate::veil::merkle::Doubt;

/// Why nothing is appended. Nothing of it is signed or answered.
#[derive(Debug)]
pub enum LogError {
    /// The system refused: no space, no permission, a broken disk.
    Io(io::Error),
    /// The anchor could not be written.
    Anchor(io::Error),
    /// It would contradict what was signed before.
    Contradiction,
    /// Somebody showed a checkpoint of ours that this log does not have: it was set back. Nothing is signed any more.
    SetBack,
    /// As many leaves as a tree can have.
    Full,
    /// What is to be signed is no checkpoint.
    Doubt(Doubt),
}

impl LogError {
    /// Every code that is the log's own.
    pub const ALL: &'static [&'static str] = &["TV-M08", "TV-M09"];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io(_) | Self::Anchor(_) | Self::Full => "TV-M08",
            Self::Contradiction | Self::SetBack => "TV-M09",
            Self::Doubt(doubt) => doubt.code(),
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the log can't be written: {error}: see to its disk and its permissions"),
            Self::Anchor(error) => write!(f, "the log's anchor can't be written: {error}: see to its disk and its permissions"),
            Self::Contradiction => f.write_str("the log would contradict what it signed before: nothing is signed any more"),
            Self::SetBack => {
                f.write_str("the log is older than a checkpoint that it signed: it was set back, and nothing is signed any more: restore the newest data")
            }
            Self::Full => f.write_str("the log has as many entries as a tree can have"),
            Self::Doubt(doubt) => write!(f, "{doubt}"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) | Self::Anchor(error) => Some(error),
            Self::Doubt(doubt) => Some(doubt),
            Self::Contradiction | Self::SetBack | Self::Full => None,
        }
    }
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Why a log does not open. Always the operator's move; the gateway does not start and signs nothing.
#[derive(Debug)]
pub enum OpenError {
    /// It can't be written or read.
    Log(LogError),
    /// The system refused.
    Io(io::Error),
    /// Another process has it open.
    InUse,
    /// It is not what was written.
    Damaged(&'static str),
    /// A checkpoint in the folder, or the anchor, is not this log's.
    OtherLog {
        /// Which.
        what: &'static str,
        /// Why not.
        doubt: Doubt,
    },
    /// It is older than what is known of it.
    RolledBack {
        /// What knows it.
        what: &'static str,
        /// How many entries there were.
        known: u64,
        /// How many there are.
        found: u64,
    },
    /// It contradicts what is known of it.
    Forked {
        /// What knows it.
        what: &'static str,
        /// At which size.
        size: u64,
    },
}

impl OpenError {
    /// Every code that is the opening's own.
    pub const ALL: &'static [&'static str] = &["TV-M10", "TV-M11", "TV-M12", "TV-M13", "TV-M14"];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Log(error) => error.code(),
            Self::Io(_) => "TV-M08",
            Self::InUse => "TV-M10",
            Self::Damaged(_) => "TV-M11",
            Self::OtherLog { .. } => "TV-M12",
            Self::RolledBack { .. } => "TV-M13",
            Self::Forked { .. } => "TV-M14",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "log folder: {error}: see to its disk and its permissions"),
            Self::InUse => f.write_str("log folder: another process has it open: stop that one, or give this one a folder of its own"),
            Self::Damaged(why) => write!(f, "log folder: {why}: restore it from its newest copy"),
            Self::OtherLog { what, doubt } => {
                write!(
                    f,
                    "log folder: the {what} is not this log's: {doubt}: put back `keys.sign` and `origin`, or begin with empty folders"
                )
            }
            Self::RolledBack { what, known, found } => write!(
                f,
                "log folder: it has {found} entries, and the {what} knows of {known}: an older copy was put back: restore the newest"
            ),
            Self::Forked { what, size } => write!(
                f,
                "log folder: its first {size} entries are not those that the {what} knows of: two gateways wrote under one key: find the \
                 right one"
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Log(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::OtherLog { doubt, .. } => Some(doubt),
            Self::InUse | Self::Damaged(_) | Self::RolledBack { .. } | Self::Forked { .. } => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ResourceBusy => Self::InUse,
            _ => Self::Io(error),
        }
    }
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// What is worth saying at a start, though nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// There is no anchor.
    NoAnchor,
    /// There was none, and the log is not new.
    NewAnchor,
    /// The checkpoint was half-written.
    TornCheckpoint,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAnchor => "no `log.anchor`: nobody would notice here if an older copy of the data folder were put back",
            Self::NewAnchor => "the log has entries and its anchor is new: whether an older copy was put back before can't be told",
            Self::TornCheckpoint => "the checkpoint was half-written and is signed anew",
        })
    }
}

impl LogSafe for Warning {}
