//! Keys, records and instants for tests.

use serde_json::{Value, json};

use super::envelope::{Envelope, Payload, Signed, Verified};
use super::record::{Consent, MEDIA_TYPE};
use super::withdrawal::Withdrawal;
use super::{agreement, delegation, delegation_end};
use crate::veil::crypto::secret::Secret;
use crate::veil::crypto::sign::SignKey;
use crate::veil::crypto::wrap::OpenKey;
use crate::veil::name::{Origin, RecordId, SealKey, UnixMs};

pub(crate) const GATEWAY: &str = "log.hospital.example";
/// 2026-01-31T09:00:00Z.
pub(crate) const NOW: UnixMs = UnixMs(1_769_850_000_000);
pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const DAY: i64 = 24 * HOUR;

pub(crate) fn gateway() -> Origin {
    Origin::new(GATEWAY)
}

pub(crate) fn other_gateway() -> Origin {
    Origin::new("log.other.example")
}

pub(crate) fn after(ms: i64) -> UnixMs {
    UnixMs(NOW.0 + ms)
}

pub(crate) fn key(n: u8) -> SignKey {
    SignKey::from_seed(&Secret::take(&mut [n; 32]))
}

pub(crate) fn seal_key(n: u8) -> SealKey {
    OpenKey::from_seed(&Secret::take(&mut [n; 32])).expect("any 32 bytes are an X25519 key").seal_key()
}

pub(crate) fn signed(media_type: &str, document: &Value, keys: &[&SignKey]) -> Envelope {
    let mut envelope = Envelope { payload: document.to_string().into_bytes(), payload_type: media_type.into(), signatures: Vec::new() };
    for key in keys {
        envelope.countersign(key);
    }
    envelope
}

pub(crate) fn verified<T: Payload>(envelope: &Envelope) -> Verified<T> {
    Signed::new(envelope).and_then(|signed| signed.verify(&gateway())).expect("the test signs good records")
}

/// A record of subject `n` with every mandatory member: a permit for `spiffe://lab.example/reader` to keep health data
/// for academic research, for 30 days.
pub(crate) fn document(n: u8, seq: u64, prev: Option<RecordId>) -> Value {
    let did = key(n).did().to_string();
    let mut document = json!({
        "record_id": format!("00000000-0000-4000-8000-{seq:012}"),
        "subject": did,
        "signer": {"key": did, "role": "subject"},
        "gateway": GATEWAY,
        "seq": seq,
        "status": "ConsentGiven",
        "method": "signed in the wallet",
        "at": NOW.to_string(),
        "expires": after(30 * DAY).to_string(),
        "notice": {"uri": "https://hospital.example/notice", "sha256": "ab".repeat(32), "lang": "en"},
        "controllers": [{"id": "https://hospital.example", "name": "Hospital", "address": "1 Main Street", "contact": "dpo@hospital.example",
                         "type": "Hospital", "role": "DataController"}],
        "recipients": [{"spiffe": "spiffe://lab.example/reader"}],
        "purposes": ["dpv:AcademicResearch"],
        "storage": {"places": ["DE"], "retention": "P6M"},
        "jurisdiction": ["DE"],
        "withdrawal": {"uri": "https://hospital.example/withdraw", "pre_signed": false},
        "rules": [{"effect": "permit", "match": {"category": "health"}, "treatment": "keep"}],
    });
    if let Some(prev) = prev {
        document["prev"] = json!(prev.to_string());
    }
    document
}

/// The signed [`document`], changed.
pub(crate) fn grant(n: u8, seq: u64, prev: Option<RecordId>, change: impl FnOnce(&mut Value)) -> Envelope {
    let mut document = document(n, seq, prev);
    change(&mut document);
    signed(MEDIA_TYPE, &document, &[&key(n)])
}

pub(crate) fn consent(n: u8, seq: u64, prev: Option<RecordId>, change: impl FnOnce(&mut Value)) -> Verified<Consent> {
    verified(&grant(n, seq, prev, change))
}

/// A mandate of operator `n`.
#[cfg(feature = "gateway")]
pub(crate) fn mandate(n: u8, seq: u64, prev: Option<RecordId>) -> Envelope {
    grant(n, seq, prev, |document| {
        document["signer"]["role"] = json!("operator");
        document["rules"] = json!([{"effect": "permit", "match": {"sensitivity": "operational"}, "treatment": "keep"}]);
    })
}

/// A delegation by subject `n` to `delegate`, with every right and no bounds, for 60 days.
pub(crate) fn delegation(n: u8, delegate: u8, seq: u64, prev: Option<RecordId>, change: impl FnOnce(&mut Value)) -> Envelope {
    let did = key(n).did().to_string();
    let mut document = json!({
        "subject": did, "signer": {"key": did, "role": "subject"}, "delegate": key(delegate).did().to_string(), "capacity": "guardian",
        "gateway": GATEWAY, "seq": seq, "at": NOW.to_string(), "expires": after(60 * DAY).to_string(),
        "rights": ["view", "grant", "renew", "withdraw"],
        "scope": {"recipients": "any", "purposes": "any", "permits": "any"},
    });
    if let Some(prev) = prev {
        document["prev"] = json!(prev.to_string());
    }
    change(&mut document);
    signed(delegation::MEDIA_TYPE, &document, &[&key(n), &key(delegate)])
}

/// A [`document`] of subject `n`, as `delegate` signs it under `authority`.
pub(crate) fn delegated(
    n: u8,
    delegate: u8,
    authority: RecordId,
    seq: u64,
    prev: Option<RecordId>,
    change: impl FnOnce(&mut Value),
) -> Envelope {
    let mut document = document(n, seq, prev);
    document["signer"] = json!({"key": key(delegate).did().to_string(), "role": "delegate", "authority": authority.to_string()});
    change(&mut document);
    signed(MEDIA_TYPE, &document, &[&key(delegate)])
}

/// The end of delegations of subject `n`, by themselves or, as their delegate under the first of them, by `by`.
pub(crate) fn end_delegation(n: u8, by: u8, ids: &[RecordId]) -> Envelope {
    let mut document = json!({
        "subject": key(n).did().to_string(), "signer": {"key": key(by).did().to_string(), "role": "subject"}, "gateway": GATEWAY,
        "at": NOW.to_string(), "ends": ids.iter().map(RecordId::to_string).collect::<Vec<_>>(),
    });
    if by != n {
        document["signer"]["role"] = json!("delegate");
        document["signer"]["authority"] = document["ends"][0].clone();
    }
    signed(delegation_end::MEDIA_TYPE, &document, &[&key(by)])
}

/// An agreement of subject `n`: `need` of the keys sign every permit.
pub(crate) fn agreement(n: u8, seq: u64, prev: Option<RecordId>, need: u8, of: &[u8], change: impl FnOnce(&mut Value)) -> Envelope {
    let did = key(n).did().to_string();
    let mut document = json!({
        "subject": did, "signer": {"key": did, "role": "subject"}, "gateway": GATEWAY, "seq": seq, "at": NOW.to_string(),
        "rules": [{"need": need, "of": of.iter().map(|n| key(*n).did().to_string()).collect::<Vec<_>>()}],
    });
    if let Some(prev) = prev {
        document["prev"] = json!(prev.to_string());
    }
    change(&mut document);
    signed(agreement::MEDIA_TYPE, &document, &[&key(n)])
}

/// A withdrawal of subject `n`'s records, changed.
pub(crate) fn withdraw_as(n: u8, by: u8, role: &str, authority: RecordId, member: &str, reach: Value) -> Envelope {
    let mut document = json!({
        "status": "ConsentWithdrawn", "subject": key(n).did().to_string(), "gateway": GATEWAY, "at": NOW.to_string(),
        "signer": {"key": key(by).did().to_string(), "role": role, "authority": authority.to_string()},
    });
    document[member] = reach;
    signed(MEDIA_TYPE, &document, &[&key(by)])
}

fn withdraw(n: u8, at: UnixMs, member: &str, reach: Value) -> Envelope {
    let did = key(n).did().to_string();
    let mut document = json!({"status": "ConsentWithdrawn", "subject": did, "signer": {"key": did, "role": "subject"}, "gateway": GATEWAY, "at": at.to_string()});
    document[member] = reach;
    signed(MEDIA_TYPE, &document, &[&key(n)])
}

pub(crate) fn withdraw_records(n: u8, at: UnixMs, ids: &[RecordId]) -> Envelope {
    withdraw(n, at, "withdraws", json!(ids.iter().map(RecordId::to_string).collect::<Vec<_>>()))
}

pub(crate) fn withdraw_up_to(n: u8, at: UnixMs, seq: u64) -> Envelope {
    withdraw(n, at, "withdraws_up_to", json!(seq))
}

pub(crate) fn withdrawal(envelope: &Envelope) -> Verified<Withdrawal> {
    verified(envelope)
}
