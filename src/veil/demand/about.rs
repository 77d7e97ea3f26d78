//! Whom a demand is about. The record holds a commitment only: what is disclosed of a case does not even show how many they are.

use std::collections::BTreeSet;

use crate::veil::crypto::hash::sha256;
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{Did, RecordId};

/// The most subjects of a demand.
pub const SUBJECTS_MAX: usize = 4_096;
const LABEL: &[u8] = b"twinveil/demand/about/v1\0";

/// The opening of a commitment: it is handed in beside the demand, and rests sealed.
#[derive(Clone, Debug)]
pub struct About {
    /// What hides who they are from whoever can guess.
    pub secret: Secret<32>,
    /// Whom the demand is about.
    pub subjects: BTreeSet<Did>,
}

impl About {
    /// What stands in the demand: `SHA-256("twinveil/demand/about/v1" 00 | secret | the 32 bytes of each key, in order)`.
    pub fn commitment(&self) -> RecordId {
        let mut parts: Vec<&[u8]> = vec![LABEL, self.secret.expose()];
        parts.extend(self.subjects.iter().map(|did| &did.0[..]));
        RecordId(sha256(&parts))
    }
}
