//! What wallets sign so that others may speak for them, or must sign, too: delegations, their ends, agreements.

use super::wallet::{Voice, Wallet};
use crate::veil::consent::agreement::{self, Agreement, AgreementDocument, QuorumDocument};
use crate::veil::consent::delegation::{self, Capacity, Delegation, DelegationDocument, Right};
use crate::veil::consent::delegation_end::{DelegationEnd, DelegationEndDocument};
use crate::veil::consent::envelope::{Envelope, Payload, Signed};
use crate::veil::consent::record::{Consent, SignerRole};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::scope::ScopeDocument;
use crate::veil::consent::standing::Head;
use crate::veil::name::{Did, Origin, RecordId, SealKey, UnixMs};

/// What a delegation says; the wallet adds who, when, for which gateway and where in the chain.
#[derive(Clone, Debug)]
pub struct DelegationTerms {
    /// Who will speak.
    pub delegate: Did,
    /// As what.
    pub capacity: Capacity,
    /// From when; none: at once.
    pub not_before: Option<UnixMs>,
    /// Until when.
    pub expires: UnixMs,
    /// What the delegate may do.
    pub rights: Vec<Right>,
    /// How many times it may be handed on.
    pub depth: u8,
    /// How far.
    pub scope: ScopeDocument,
    /// The only vault that the delegate's grants may name.
    pub vault_key: Option<SealKey>,
}

impl Wallet {
    /// Signs one half of a delegation: the next record after `head`. The delegate cosigns.
    pub fn delegate(
        &self,
        voice: &Voice,
        terms: &DelegationTerms,
        gateway: &Origin,
        head: Head,
        now: UnixMs,
    ) -> Result<Envelope, RecordRefusal> {
        self.write::<Delegation>(&DelegationDocument {
            subject: voice.subject.to_string(),
            signer: self.signer(voice.role),
            delegate: terms.delegate.to_string(),
            capacity: terms.capacity.word().into(),
            gateway: gateway.to_string(),
            seq: head.seq.saturating_add(1),
            prev: head.record.map(|record| record.to_string()),
            at: now.to_string(),
            not_before: terms.not_before.map(|from| from.to_string()),
            expires: terms.expires.to_string(),
            rights: terms.rights.iter().map(|right| right.word().into()).collect(),
            depth: terms.depth,
            scope: terms.scope.clone(),
            vault_key: terms.vault_key.map(|key| key.to_string()),
        })
    }

    /// Signs the end of delegations. It acts at once, and may be kept and sent later.
    pub fn end_delegations(&self, voice: &Voice, ends: &[RecordId], gateway: &Origin, now: UnixMs) -> Result<Envelope, RecordRefusal> {
        self.write::<DelegationEnd>(&DelegationEndDocument {
            subject: voice.subject.to_string(),
            signer: self.signer(voice.role),
            gateway: gateway.to_string(),
            at: now.to_string(),
            ends: ends.iter().map(RecordId::to_string).collect(),
        })
    }

    /// Signs an agreement, as the subject or, as [`SignerRole::Operator`], about mandates. Whoever an agreement that it replaces
    /// asks for cosigns.
    pub fn agree(
        &self,
        rules: Vec<QuorumDocument>,
        replaces: &[RecordId],
        role: SignerRole,
        gateway: &Origin,
        head: Head,
        now: UnixMs,
    ) -> Result<Envelope, RecordRefusal> {
        self.write::<Agreement>(&AgreementDocument {
            subject: self.did().to_string(),
            signer: self.signer(role),
            gateway: gateway.to_string(),
            seq: head.seq.saturating_add(1),
            prev: head.record.map(|record| record.to_string()),
            at: now.to_string(),
            rules,
            replaces: replaces.iter().map(RecordId::to_string).collect(),
        })
    }

    /// Adds this wallet's signature to a record that asks for more than one: a delegation to this wallet, a grant, or an agreement.
    pub fn cosign(&self, record: &Envelope, gateway: &Origin) -> Result<Envelope, RecordRefusal> {
        let mut more = record.clone();
        more.countersign(self.key());
        more.check_sizes()?;
        match record.payload_type.as_str() {
            // Whole only with this signature: another's delegation stays without its own.
            delegation::MEDIA_TYPE => verify::<Delegation>(&more, gateway)?,
            agreement::MEDIA_TYPE => verify::<Agreement>(record, gateway)?,
            _ => verify::<Consent>(record, gateway)?,
        }
        Ok(more)
    }
}

fn verify<T: Payload>(record: &Envelope, gateway: &Origin) -> Result<(), RecordRefusal> {
    Signed::<T>::new(record)?.verify(gateway).map(drop)
}
