//! A fact as it rests: when it was taken, then the signed envelope. Nothing else decides what it means, so reading the
//! facts again gives the same standings.

use prost::Message;

use crate::client::dsse;
use crate::proto::intoto;
use crate::store::Batch;
use crate::veil::consent::agreement::{self, Agreement};
use crate::veil::consent::delegation::{self, Delegation};
use crate::veil::consent::delegation_end::{self, DelegationEnd};
use crate::veil::consent::envelope::{Envelope, Payload, Signed, Verified};
use crate::veil::consent::record::Consent;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::standing::Standing;
use crate::veil::consent::withdrawal::Withdrawal;
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// What a fact says.
pub(super) enum Said {
    /// A grant, a refusal or a mandate.
    Consent(Box<Verified<Consent>>),
    /// A withdrawal.
    Withdrawal(Box<Verified<Withdrawal>>),
    /// Somebody speaks for the subject from here on.
    Delegation(Box<Verified<Delegation>>),
    /// They don't any more.
    DelegationEnd(Box<Verified<DelegationEnd>>),
    /// Grants need signatures from here on.
    Agreement(Box<Verified<Agreement>>),
}

/// `i64be(taken at) | the envelope`, as protobuf: two records fit a page of the store, and in JSON, whose payload is base64, one.
pub fn write(taken: UnixMs, envelope: &Envelope) -> Vec<u8> {
    [&taken.0.to_be_bytes()[..], &dsse::to_proto(envelope).encode_to_vec()].concat()
}

/// What is written when an envelope is taken.
pub(super) fn batch(taken: UnixMs, envelope: &Envelope) -> Batch {
    Batch { facts: vec![write(taken, envelope)], record: Some(envelope.id()), ..Batch::default() }
}

/// The envelope of a fact, as it was sent.
pub(super) fn envelope(fact: &[u8]) -> Result<(UnixMs, Envelope), RecordRefusal> {
    let (taken, envelope) = fact.split_first_chunk::<8>().ok_or_else(|| RecordRefusal::NotAnEnvelope("too short".into()))?;
    let envelope = intoto::Envelope::decode(envelope).map_err(|error| RecordRefusal::NotAnEnvelope(error.to_string()))?;
    Ok((UnixMs(i64::from_be_bytes(*taken)), dsse::from_proto(&envelope)))
}

/// Verifies the envelope again: the disk is not trusted with who agreed to what.
pub(super) fn read(fact: &[u8], origin: &Origin) -> Result<(UnixMs, Said), RecordRefusal> {
    let (taken, envelope) = envelope(fact)?;
    Ok((taken, Said::verify(&envelope, origin)?))
}

fn verified<T: Payload>(envelope: &Envelope, origin: &Origin) -> Result<Box<Verified<T>>, RecordRefusal> {
    Ok(Box::new(Signed::new(envelope)?.verify(origin)?))
}

impl Said {
    /// Verifies what stands in a subject's history, whichever kind it is.
    pub(super) fn verify(envelope: &Envelope, origin: &Origin) -> Result<Self, RecordRefusal> {
        match envelope.payload_type.as_str() {
            delegation::MEDIA_TYPE => verified(envelope, origin).map(Self::Delegation),
            delegation_end::MEDIA_TYPE => verified(envelope, origin).map(Self::DelegationEnd),
            agreement::MEDIA_TYPE => verified(envelope, origin).map(Self::Agreement),
            _ => match verified(envelope, origin) {
                Ok(consent) => Ok(Self::Consent(consent)),
                Err(RecordRefusal::WrongCall { .. }) => verified(envelope, origin).map(Self::Withdrawal),
                Err(refusal) => Err(refusal),
            },
        }
    }

    /// Whose history it belongs to.
    pub(super) fn subject(&self) -> Did {
        match self {
            Self::Consent(consent) => consent.get().subject,
            Self::Withdrawal(withdrawal) => withdrawal.get().subject,
            Self::Delegation(delegation) => delegation.get().subject,
            Self::DelegationEnd(end) => end.get().subject,
            Self::Agreement(agreement) => agreement.get().subject,
        }
    }

    /// What the log has of it.
    pub(super) fn act(&self) -> (Act, RecordId) {
        match self {
            Self::Consent(consent) => (Act::Consent, consent.id()),
            Self::Withdrawal(withdrawal) => (Act::Withdrawal, withdrawal.id()),
            Self::Delegation(delegation) => (Act::Delegation, delegation.id()),
            Self::DelegationEnd(end) => (Act::DelegationEnd, end.id()),
            Self::Agreement(agreement) => (Act::Agreement, agreement.id()),
        }
    }

    /// Checks it against the standing and takes it; false: it changes nothing.
    pub(super) fn take(self, standing: &mut Standing, now: UnixMs) -> Result<bool, RecordRefusal> {
        match self {
            Self::Consent(consent) => {
                standing.check(&consent, now)?;
                standing.apply(*consent, now);
            }
            Self::Withdrawal(withdrawal) => {
                let ending = standing.check_withdrawal(&withdrawal, now)?;
                let nothing = ending.is_nothing();
                standing.apply_withdrawal(ending);
                return Ok(!nothing);
            }
            Self::Delegation(delegation) => {
                standing.check_delegation(&delegation, now)?;
                standing.apply_delegation(*delegation, now);
            }
            Self::DelegationEnd(end) => {
                let ends = standing.check_end(&end, now)?;
                let nothing = ends.is_nothing();
                standing.apply_end(ends);
                return Ok(!nothing);
            }
            Self::Agreement(agreement) => {
                standing.check_agreement(&agreement, now)?;
                standing.apply_agreement(*agreement, now);
            }
        }
        Ok(true)
    }
}
