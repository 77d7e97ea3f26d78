//! The chain of a subject's records.

use crate::veil::name::RecordId;

/// Where the chain of a subject stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The number of the last record; 0 before the first.
    pub seq: u64,
    /// The last record.
    pub record: Option<RecordId>,
}
