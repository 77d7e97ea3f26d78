//! One judgement for everybody who asks: the gate before it makes a view, the control plane when it explains one. Joins the
//! schemas, the operator's policy and the ledger's standings; floor tables are evaluated once and kept.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;

use crate::ledger::{Ledger, Releasing};
use crate::veil::consent::deciding::{Counted, Moment, RecipientIdentity, mandate_deciding};
use crate::veil::consent::obligations::Obligations;
use crate::veil::consent::standing::Standing;
use crate::veil::name::{Did, Fingerprint, Purpose, RecordId, SchemaName, SealKey, Spiffe, UnixMs};
use crate::veil::policy::floor::{Policy, PolicyError};
use crate::veil::policy::{Decision, FloorTable, Holders, decide, spends, warranted};
use crate::veil::schema::Schema;

/// How many floor tables are kept; they are cheap to make again.
const FLOORS_MAX: usize = 10_000;

/// A recipient, as far as it has shown who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// From the certificate.
    pub spiffe: Spiffe,
    /// From a statement that this party made with its own did:key.
    pub did: Option<Did>,
    /// From the same statement.
    pub stated_key: Option<SealKey>,
}

/// What one recipient gets of one subject's frames, until when, and whom groups are sealed to.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// A treatment and a reason for every site.
    pub decision: Decision,
    /// Whether frames flow at all.
    pub delivers: bool,
    /// What each message that is handed over uses up.
    pub spends: Vec<Counted>,
    /// What the recipient takes upon itself, in an order that tells nothing.
    pub obligations: Vec<Obligations>,
    /// When this stops being right by itself.
    pub valid_until: UnixMs,
    keys: [Option<SealKey>; 4],
}

impl Judgement {
    /// Whether the subject's own vault is among the key holders of a set.
    pub fn is_for_vault(&self, holders: Holders) -> bool {
        self.keys[1].is_some() && matches!(holders, Holders::Vault | Holders::VaultAndRecipient)
    }

    /// The keys of a set of key holders, each once.
    pub fn holders(&self, holders: Holders) -> Vec<SealKey> {
        let [recipient, vault, mandate_recipient, mandate_vault] = self.keys;
        let mut keys: Vec<SealKey> = match holders {
            Holders::Vault => vec![vault],
            Holders::VaultAndRecipient => vec![recipient, vault],
            Holders::MandateVault => vec![mandate_vault],
            Holders::MandateVaultAndRecipient => vec![mandate_recipient, mandate_vault],
        }
        .into_iter()
        .flatten()
        .collect();
        // Sorted, so that the order tells nothing; holders try every wrap.
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// Schemas, policy and standings in one place.
#[derive(Debug)]
pub struct Judge {
    schemas: HashMap<SchemaName, Arc<Schema>>,
    policy: Policy,
    jurisdiction: String,
    ledger: Arc<Ledger>,
    floors: DashMap<(Fingerprint, Spiffe, Purpose), Arc<FloorTable>>,
}

impl Judge {
    /// Joins what decides.
    pub fn new(schemas: Vec<Arc<Schema>>, policy: Policy, jurisdiction: String, ledger: Arc<Ledger>) -> Self {
        let schemas = schemas.into_iter().map(|schema| (schema.name().clone(), schema)).collect();
        Self { schemas, policy, jurisdiction, ledger, floors: DashMap::new() }
    }

    /// A schema by its full name.
    pub fn schema(&self, name: &str) -> Option<&Arc<Schema>> {
        self.schemas.get(&SchemaName::new(name))
    }

    /// A schema of frames, by its full name: they are about one subject each.
    pub fn schema_of_frames(&self, name: &str) -> Option<&Arc<Schema>> {
        self.schema(name).filter(|schema| !schema.is_about_several())
    }

    /// The ledger whose standings count.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    fn floors(&self, schema: &Schema, recipient: &Spiffe, purpose: &Purpose) -> Result<Arc<FloorTable>, PolicyError> {
        let key = (schema.fingerprint(), recipient.clone(), purpose.clone());
        if let Some(floors) = self.floors.get(&key) {
            return Ok(Arc::clone(&floors));
        }
        let floors = Arc::new(self.policy.floors(schema, recipient, purpose, &self.jurisdiction)?);
        if self.floors.len() >= FLOORS_MAX {
            self.floors.clear();
        }
        self.floors.insert(key, Arc::clone(&floors));
        Ok(floors)
    }

    /// Judges by a legal demand: what is released of a subject, and nothing else. What people agreed to elsewhere, or forbade, has no say;
    /// the schema's floors and the operator's policy have.
    pub fn judge_release(
        &self,
        schema: &Schema,
        listener: &Listener,
        purpose: &Purpose,
        releasing: &Releasing,
        subject: Option<&Did>,
    ) -> Result<Judgement, PolicyError> {
        let floors = self.floors(schema, &listener.spiffe, purpose)?;
        let mut deciding = releasing.deciding();
        if !subject.is_some_and(|subject| releasing.is_about(subject)) {
            deciding.rules.clear();
        }
        let decision = warranted(schema, &floors, &deciding);
        Ok(Judgement {
            spends: Vec::new(),
            obligations: Vec::new(),
            delivers: decision.visible(),
            decision,
            valid_until: releasing.warrant().until(),
            keys: [deciding.recipient_key, None, None, None],
        })
    }

    /// Judges. `subject` is the standing of whom the frames are about; `None` where the schema has no subject.
    pub fn judge(
        &self,
        schema: &Schema,
        listener: &Listener,
        purpose: &Purpose,
        subject: Option<&Standing>,
        at: UnixMs,
    ) -> Result<Judgement, PolicyError> {
        let floors = self.floors(schema, &listener.spiffe, purpose)?;
        let who = RecipientIdentity { spiffe: &listener.spiffe, did: listener.did.as_ref(), stated_key: listener.stated_key };
        let mandates = self.ledger.mandates();
        let spent = |record: &RecordId| self.ledger.is_spent(record);
        let at = Moment::new(at, &spent);
        let mandate = mandate_deciding(mandates.iter().map(AsRef::as_ref), &who, purpose, at);
        let subject = subject.map(|standing| standing.deciding(&who, purpose, at));
        let decision = decide(schema, &floors, subject.as_ref(), Some(&mandate));
        let delivers = decision.delivers(schema, subject.as_ref(), Some(&mandate));
        let of_subject = subject.as_ref().map_or((None, None, UnixMs::NEVER), |s| (s.recipient_key, s.vault_key, s.valid_until));
        let of_both = subject.iter().chain(std::iter::once(&mandate)).flat_map(|deciding| &deciding.obligations);
        let mut obligations: Vec<Obligations> = of_both.map(|obligations| Obligations::clone(obligations)).collect();
        obligations.sort_unstable();
        obligations.dedup();
        Ok(Judgement {
            spends: spends(schema, &decision, subject.as_ref(), Some(&mandate)),
            obligations,
            decision,
            delivers,
            valid_until: of_subject.2.min(mandate.valid_until),
            keys: [of_subject.0, of_subject.1, mandate.recipient_key, mandate.vault_key],
        })
    }
}
