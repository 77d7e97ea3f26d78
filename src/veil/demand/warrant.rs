//! What may leave under a demand, to whom, of whom, from when until when. Only a case makes one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::head::{Field, Period};
use crate::veil::consent::deciding::{Deciding, DecidingRule};
use crate::veil::consent::rule::Rule;
use crate::veil::name::{Did, RecordId, SchemaName, SealKey, Spiffe, UnixMs};

/// What may leave under a demand. [`super::Case::warrant`] is the only one to make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warrant {
    pub(super) demand: RecordId,
    pub(super) decision: RecordId,
    pub(super) consent: Option<RecordId>,
    pub(super) subjects: Arc<BTreeSet<Did>>,
    pub(super) fields: Arc<[Field]>,
    pub(super) permits: Arc<[Permit]>,
    pub(super) recipient: Spiffe,
    pub(super) recipient_key: Option<SealKey>,
    pub(super) period: Period,
}

/// A released field as a rule that policy reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    pub(super) schema: SchemaName,
    pub(super) rule: Rule,
}

impl Warrant {
    /// The demand.
    pub fn demand(&self) -> RecordId {
        self.demand
    }

    /// The decision that it rests on.
    pub fn decision(&self) -> RecordId {
        self.decision
    }

    /// The subject's consent that it rests on, if on one.
    pub fn consent(&self) -> Option<RecordId> {
        self.consent
    }

    /// Whether there is one release and no more, as the subject consented to one.
    pub fn once(&self) -> bool {
        self.consent.is_some()
    }

    /// Whose data. Where it rests on a consent, whoever gave it, and nobody else.
    pub fn subjects(&self) -> &BTreeSet<Did> {
        &self.subjects
    }

    /// Which fields, and everything below them.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// To which party.
    pub fn recipient(&self) -> &Spiffe {
        &self.recipient
    }

    /// From when.
    pub fn from(&self) -> UnixMs {
        self.period.from
    }

    /// Until when: the first instant at which it is over, or at which somebody has to be told before it goes on.
    pub fn until(&self) -> UnixMs {
        self.period.until
    }

    /// What policy decides from, for frames of a schema: permits for the released fields, and nothing else.
    pub fn deciding(&self, schema: &SchemaName) -> Deciding<'_> {
        let permits = (0u32..).zip(self.permits.iter()).filter(|(_, permit)| permit.schema == *schema);
        Deciding {
            rules: permits.map(|(index, permit)| DecidingRule { record: self.decision, index, rule: &permit.rule }).collect(),
            recipient_key: self.recipient_key,
            valid_until: self.period.until,
            ..Deciding::default()
        }
    }
}
