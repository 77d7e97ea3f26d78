//! What subjects and the operator have agreed to, where a command tries a policy: records that somebody named, as if they were in
//! force, and everything where nobody said otherwise.

use super::configured::{Record, given};
use crate::config::Party;
use crate::veil::consent::deciding::{Deciding, DecidingRule};
use crate::veil::consent::record::{Matcher, SignerRole};
use crate::veil::consent::rule::Rule;
use crate::veil::name::{Did, Purpose, RecordId, SealKey};
use crate::veil::risk::everything;
use crate::veil::terms::{Sensitivity, Treatment};

/// A key that nobody holds: which one it is does not matter to a decision, that there is one does.
pub(super) const SOME_KEY: SealKey = SealKey([9; 32]);

/// Stands for a record where there is none.
pub(super) const ASSUMED: RecordId = RecordId([0; 32]);

/// What is taken to be permitted where nobody says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assumed {
    /// Everything as it is; nobody hands over a key.
    Kept,
    /// Everything sealed, with a key for the recipient, which a record may also leave to the recipient to state.
    Sealed,
}

/// What subjects and the operator have agreed to.
pub(super) struct Agreements {
    records: Vec<Record>,
    /// Where nobody says otherwise.
    kept: Vec<Rule>,
    sealed: Vec<Rule>,
    /// Whether somebody who says nothing permits nothing.
    nothing_else: bool,
}

impl Agreements {
    pub(super) fn new(records: Vec<Record>) -> Self {
        Self { records, kept: everything(Treatment::Keep), sealed: everything(Treatment::Encrypt), nothing_else: false }
    }

    /// Nothing is agreed but by these records.
    pub(super) fn nothing_else(records: Vec<Record>) -> Self {
        Self { nothing_else: true, ..Self::new(records) }
    }

    /// Whether something is taken to be agreed that no record says: by subjects, or by the operator (`mandate`).
    pub(super) fn assumes(&self, mandate: bool) -> bool {
        !self.nothing_else && !self.has(mandate)
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether a record is the word of subjects, or of the operator (`mandate`).
    pub(super) fn has(&self, mandate: bool) -> bool {
        self.records.iter().any(|record| record.is_mandate() == mandate)
    }

    /// Whom the consents are of, each once; none where there is none.
    pub(super) fn subjects(&self) -> Vec<Option<Did>> {
        let mut subjects: Vec<Did> =
            self.records.iter().filter(|record| !record.is_mandate()).map(|record| record.consent.subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        if subjects.is_empty() { vec![None] } else { subjects.into_iter().map(Some).collect() }
    }

    /// In words.
    pub(super) fn words(&self) -> &'static str {
        match (self.assumes(false), self.assumes(true)) {
            (true, true) => "no consent is named: subjects and the operator permit everything",
            (false, true) => "the consents named are in force; no mandate is named: the operator permits everything",
            (true, false) => "the mandates named are in force; no consent is named: subjects permit everything that is personal",
            (false, false) if self.nothing_else => "the records named are in force, and nothing else is agreed",
            (false, false) => "the consents and mandates named are in force",
        }
    }

    /// What the subject and the operator say to this recipient and purpose.
    pub(super) fn decide(&self, subject: Option<Did>, party: &Party, purpose: &Purpose, assumed: Assumed) -> (Deciding<'_>, Deciding<'_>) {
        let of_subject = match subject {
            Some(did) => self.given(|record| record.consent.subject == did, SignerRole::Subject, party, purpose, assumed),
            None if self.nothing_else => Deciding::default(),
            None => self.all(assumed, !self.assumes(true)),
        };
        let mandate = match self.assumes(true) {
            true => self.all(assumed, false),
            false => self.given(|_| true, SignerRole::Operator, party, purpose, assumed),
        };
        (of_subject, mandate)
    }

    fn given(&self, whose: impl Fn(&Record) -> bool, role: SignerRole, party: &Party, purpose: &Purpose, assumed: Assumed) -> Deciding<'_> {
        let records = || self.records.iter().filter(|record| whose(record));
        let mut deciding = given(records(), role, party, purpose);
        // Whoever is named by a did:key can state a key of their own.
        let may_state = |record: &Record| record.consent.recipients.iter().any(|recipient| matches!(recipient.who, Matcher::Did(_)));
        if assumed == Assumed::Sealed && records().any(may_state) {
            deciding.recipient_key.get_or_insert(SOME_KEY);
        }
        deciding
    }

    /// Everything; or, beside a mandate, what is not the operator's to decide: a steward's word on operational data would go before it.
    fn all(&self, assumed: Assumed, personal: bool) -> Deciding<'_> {
        let (rules, recipient_key) = match assumed {
            Assumed::Kept => (&self.kept, None),
            Assumed::Sealed => (&self.sealed, Some(SOME_KEY)),
        };
        let rules = rules.iter().filter(|rule| !personal || rule.sensitivity > Some(Sensitivity::Operational));
        let rules = (0..).zip(rules).map(|(index, rule)| DecidingRule { record: ASSUMED, index, rule });
        Deciding { rules: rules.collect(), recipient_key, vault_key: Some(SOME_KEY), ..Deciding::default() }
    }
}
