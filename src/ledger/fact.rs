//! A fact as it rests: when it was taken, then the signed envelope. Nothing else decides what it means, so reading the
//! facts again gives the same standings.

use crate::veil::consent::envelope::{Envelope, Signed, Verified};
use crate::veil::consent::record::Consent;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::withdrawal::Withdrawal;
use crate::veil::name::{Origin, UnixMs};

/// What a fact says.
pub(super) enum Said {
    /// A grant, a refusal or a mandate.
    Consent(Box<Verified<Consent>>),
    /// A withdrawal.
    Withdrawal(Box<Verified<Withdrawal>>),
}

/// `i64be(taken at) | the JSON form of the envelope`.
pub(super) fn write(taken: UnixMs, envelope: &Envelope) -> Vec<u8> {
    [&taken.0.to_be_bytes()[..], envelope.to_json().as_bytes()].concat()
}

/// Verifies the envelope again: the disk is not trusted with who agreed to what.
pub(super) fn read(fact: &[u8], origin: &Origin) -> Result<(UnixMs, Said), RecordRefusal> {
    let (taken, json) = fact.split_first_chunk::<8>().ok_or_else(|| RecordRefusal::NotAnEnvelope("too short".into()))?;
    let envelope = Envelope::parse_json(json)?;
    let said = match Signed::<Consent>::new(&envelope)?.verify(origin) {
        Ok(consent) => Said::Consent(Box::new(consent)),
        Err(RecordRefusal::WrongCall { .. }) => Said::Withdrawal(Box::new(Signed::new(&envelope)?.verify(origin)?)),
        Err(refusal) => return Err(refusal),
    };
    Ok((UnixMs(i64::from_be_bytes(*taken)), said))
}
