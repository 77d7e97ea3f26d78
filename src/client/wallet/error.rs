//! Why a wallet's file can't be used, and what its owner does about it.

use std::fmt;
use std::path::PathBuf;

use crate::veil::merkle::Doubt;

/// Why a key file can't be used. The text never quotes what is in it.
#[derive(Debug)]
pub enum WalletError {
    /// It can't be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read it.
    Readable {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not a key file, or not as it was written.
    Broken {
        /// Which.
        path: PathBuf,
    },
    /// What it has of a log can't be used, or is another log's.
    Doubtful {
        /// Which.
        path: PathBuf,
        /// Why not.
        doubt: Doubt,
    },
}

impl WalletError {
    /// Every code.
    pub const ALL: &'static [&'static str] = &["TV-K01", "TV-K02", "TV-K03", "TV-K04"];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "TV-K01",
            Self::Readable { .. } => "TV-K02",
            Self::Broken { .. } => "TV-K03",
            Self::Doubtful { .. } => "TV-K04",
        }
    }
}

impl fmt::Display for WalletError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(f, "wallet `{}`: {source}", path.display()),
            Self::Readable { path, mode } => {
                let path = path.display();
                write!(f, "wallet `{path}`: others can read it (mode {mode:o}): run `chmod 600 {path}`, and make new keys if somebody did")
            }
            Self::Broken { path } => {
                write!(f, "wallet `{}`: not a wallet's key file, or damaged: restore it from its backup", path.display())
            }
            Self::Doubtful { path, doubt } => {
                write!(f, "wallet `{}`: its receipts can't be used: {doubt}", path.display())
            }
        }
    }
}

impl std::error::Error for WalletError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Doubtful { doubt, .. } => Some(doubt),
            Self::Readable { .. } | Self::Broken { .. } => None,
        }
    }
}
