//! How a frame's story ends, each way with a stable code that the manual explains.

use std::fmt;

use super::logsafe::LogSafe;

/// Why a frame could not be judged. It is refused whole; the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// A tag, length or value runs past the end of its message.
    Truncated,
    /// A varint has more than ten bytes or overflows.
    BadVarint,
    /// Field number 0, a field number above 2^29 − 1, or wire type 6 or 7.
    BadTag,
    /// A group that is not closed, or closed by another number.
    BadGroup,
    /// Messages or groups nested deeper than [`crate::veil::wire::DEPTH_MAX`].
    TooDeep,
    /// Larger than the gateway takes.
    TooLarge,
    /// No value in the field with the role SUBJECT.
    NoSubject,
    /// Two different values in the field with the role SUBJECT.
    TwoSubjects,
    /// The sealed group could not be made.
    SealFailed,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: &'static [Self] = &[
        Self::Truncated,
        Self::BadVarint,
        Self::BadTag,
        Self::BadGroup,
        Self::TooDeep,
        Self::TooLarge,
        Self::NoSubject,
        Self::TwoSubjects,
        Self::SealFailed,
    ];

    /// The stable code; the manual has an entry for each.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Truncated => "TV-W01",
            Self::BadVarint => "TV-W02",
            Self::BadTag => "TV-W03",
            Self::BadGroup => "TV-W04",
            Self::TooDeep => "TV-W05",
            Self::TooLarge => "TV-W06",
            Self::NoSubject => "TV-W07",
            Self::TwoSubjects => "TV-W08",
            Self::SealFailed => "TV-W09",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "a field runs past the end of the frame",
            Self::BadVarint => "a varint is longer than ten bytes",
            Self::BadTag => "a tag has a field number or wire type that protobuf does not have",
            Self::BadGroup => "a group is not closed",
            Self::TooDeep => "messages are nested too deeply",
            Self::TooLarge => "the frame is larger than the gateway takes",
            Self::NoSubject => "the frame does not say whom it is about",
            Self::TwoSubjects => "the frame names two subjects",
            Self::SealFailed => "the sealed group could not be made",
        })
    }
}

impl std::error::Error for Refusal {}
impl LogSafe for Refusal {}
