//! The transparency log as arithmetic over hashes: RFC 6962 trees, and checkpoints, tiles and proofs as C2SP writes them
//! (`signed-note`, `tlog-checkpoint`, `tlog-tiles`, `tlog-proof`). Nothing here knows where a log rests.

pub mod checkpoint;
pub mod leaf;
pub mod note;
pub mod place;
pub mod proof;
pub mod receipt;
pub mod tiles;
pub mod tree;

use std::fmt;

use super::logsafe::LogSafe;

/// Why what a log says is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The text or bytes do not have their form; the word says which form.
    Malformed(&'static str),
    /// No signature is by a key that is known here.
    UnknownKey,
    /// A signature by a known key does not verify.
    BadSignature,
    /// The checkpoint is another log's.
    OtherLog,
    /// The entry is not in the tree that the checkpoint speaks of.
    NotIncluded,
    /// Two checkpoints of one log can't both be true: it was forked, or set back.
    Forked,
    /// The tiles are not those of the checkpoint.
    WrongTiles,
}

impl Doubt {
    /// Every code.
    pub const ALL: &'static [&'static str] = &["TV-M01", "TV-M02", "TV-M03", "TV-M04", "TV-M05", "TV-M06", "TV-M07"];

    /// The stable code; the manual has an entry for each.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed(_) => "TV-M01",
            Self::UnknownKey => "TV-M02",
            Self::BadSignature => "TV-M03",
            Self::OtherLog => "TV-M04",
            Self::NotIncluded => "TV-M05",
            Self::Forked => "TV-M06",
            Self::WrongTiles => "TV-M07",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "not {what}"),
            Self::UnknownKey => f.write_str("no signature is by the log's key: see that the key is that of this log"),
            Self::BadSignature => f.write_str("the signature in the name of the log's key does not verify: somebody changed the text"),
            Self::OtherLog => f.write_str("it is another log's: see that the key is that of this log"),
            Self::NotIncluded => f.write_str("the proof does not lead from the entry to the signed root: the entry is not in the log"),
            Self::Forked => f.write_str("the log contradicts what it signed before: keep both texts and show them to others"),
            Self::WrongTiles => f.write_str("the tiles do not add up to the signed root: somebody changed the log"),
        }
    }
}

impl std::error::Error for Doubt {}
impl LogSafe for Doubt {}

/// A number as C2SP writes it: ASCII decimal digits without zeros in front.
fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|number| plain && *number <= tree::SIZE_MAX)
}
