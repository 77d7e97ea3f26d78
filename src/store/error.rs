//! Why the store fails.

use std::fmt;

/// Why the store can't be read or written. Always the operator's move.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it open.
    InUse,
    /// It is not what was written.
    Damaged(String),
    /// The system refused: no space, no permission, a broken disk.
    Io(std::io::Error),
    /// Written by another version.
    Version,
    /// Its rows do not add up to what this gateway left.
    NotAsLeft,
    /// What rests does not open under the configured key.
    WrongKey,
}

impl StoreError {
    /// Every code.
    pub const ALL: &'static [&'static str] = &["TV-D01", "TV-D02", "TV-D03", "TV-D04", "TV-D05", "TV-L08"];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InUse => "TV-D01",
            Self::Damaged(_) => "TV-D02",
            Self::Io(_) => "TV-D03",
            Self::Version => "TV-D04",
            Self::NotAsLeft => "TV-D05",
            Self::WrongKey => "TV-L08",
        }
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::InUse,
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::PreviousIo => Self::Io(std::io::Error::other("an earlier write failed")),
            redb::Error::UpgradeRequired(_) => Self::Version,
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("data folder: another process has it open: stop that one, or give this one a folder of its own"),
            Self::Damaged(why) => write!(f, "data folder: not what was written: {why}: restore it from its backup"),
            Self::Io(why) => write!(f, "data folder: {why}: see to its disk and its permissions"),
            Self::Version => f.write_str("data folder: written by another version: start that version"),
            Self::NotAsLeft => f.write_str(
                "data folder: rows of the store were changed by somebody else than this gateway: restore the newest backup of the folder",
            ),
            Self::WrongKey => {
                f.write_str("data folder: its secrets do not open under the configured key file: use the one it was made with")
            }
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::InUse | Self::Damaged(_) | Self::Version | Self::NotAsLeft | Self::WrongKey => None,
        }
    }
}
