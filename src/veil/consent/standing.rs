//! What all records of a subject add up to at an instant.

use crate::veil::name::{FieldPath, RecordId, SealKey, UnixMs};
use crate::veil::terms::{Category, Sensitivity, Treatment};

/// Whether a rule allows or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The field may be seen at the rule's treatment, or a more protective one.
    Permit,
    /// The field is stripped, whatever else says.
    Forbid,
}

/// One rule of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Allow or forbid.
    pub effect: Effect,
    /// Fields of this category; `None`: of any.
    pub category: Option<Category>,
    /// Fields of this sensitivity; `None`: of any. At least one of the three matchers is set.
    pub sensitivity: Option<Sensitivity>,
    /// The field with this path, or everything below it; `None`: any.
    pub selector: Option<FieldPath>,
    /// The least protective treatment; `Strip` for a forbid.
    pub treatment: Treatment,
    /// Where the treatment is `Encrypt`: whether the recipient gets the key too (`keys: recipient`).
    pub recipient_holds_key: bool,
}

/// The rules that decide for one recipient, purpose and instant, and the keys that go with them.
#[derive(Clone, Debug)]
pub struct Deciding<'a> {
    /// Forbids first, then the permits that decide.
    pub rules: Vec<DecidingRule<'a>>,
    /// The recipient's key, as the deciding record (or a statement by its did:key) names it.
    pub recipient_key: Option<SealKey>,
    /// The vault of the signer, as the newest deciding record names it.
    pub vault_key: Option<SealKey>,
    /// When this stops being right by itself.
    pub valid_until: UnixMs,
}

/// A rule and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct DecidingRule<'a> {
    /// The record.
    pub record: RecordId,
    /// The position in the record, from 0.
    pub index: u32,
    /// The rule.
    pub rule: &'a Rule,
}
