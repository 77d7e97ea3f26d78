//! A desk for tests: persons, a demand, and records about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::write::write;
use super::{About, Case, Challenge, Decision, Demand, Notice, Person, Record, Register, Release, Role, Stage};
use crate::veil::consent::envelope::{Envelope, Payload, Verified};
use crate::veil::consent::record::Consent;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::testing::{HOUR, NOW, after, consent, gateway, key, verified};
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{Did, RecordId};

/// A clerk.
pub(super) const CLERK: u8 = 10;
/// Two keys of one person: counsel, analyst and approver.
pub(super) const A: u8 = 11;
pub(super) const A_TOO: u8 = 12;
/// Another one.
pub(super) const B: u8 = 13;
/// An approver who is a clerk, too.
pub(super) const C: u8 = 14;
/// A person who has left: no roles.
pub(super) const GONE: u8 = 15;
/// Nobody's key.
pub(super) const STRANGER: u8 = 19;
pub(super) const GATEWAY_KEY: u8 = 20;
/// Whom the demand is about.
pub(super) const SUBJECT: u8 = 1;

pub(super) const SCHEMA: &str = "twinveil.sample.PatientFrame";
pub(super) const AGENCY: &str = "spiffe://agency.example/desk";
/// When a release may begin and is over, and when the gag ends where there is one, in hours.
pub(super) const FROM: i64 = HOUR;
pub(super) const GAG_ENDS: i64 = 3 * HOUR;
pub(super) const UNTIL: i64 = 6 * HOUR;

pub(super) fn did(n: u8) -> Did {
    key(n).did()
}

pub(super) fn persons() -> Vec<Person> {
    use Role::{Analyst, Approver, Clerk, Counsel};
    let person = |keys: &[u8], roles: &[Role]| Person {
        keys: keys.iter().map(|n| did(*n)).collect(),
        roles: roles.iter().copied().collect::<BTreeSet<_>>(),
    };
    vec![
        person(&[CLERK], &[Clerk]),
        person(&[A, A_TOO], &[Counsel, Analyst, Approver]),
        person(&[B], &[Counsel, Analyst, Approver]),
        person(&[C], &[Approver, Clerk]),
        person(&[GONE], &[]),
    ]
}

pub(super) fn register() -> Arc<Register> {
    Arc::new(Register::new(did(GATEWAY_KEY), persons()).expect("no key twice"))
}

pub(super) fn about(subjects: &[u8]) -> About {
    About { secret: Secret::take(&mut [0x5e; 32]), subjects: subjects.iter().map(|n| did(*n)).collect() }
}

/// What a clerk says of a demand for live vitals and notes of [`SUBJECT`], without a gag.
pub(super) fn said_demand(change: impl FnOnce(&mut Value)) -> Value {
    let mut said = json!({
        "received": NOW.to_string(),
        "source": {"kind": "court", "jurisdiction": "DE", "home": true, "authority": "Court of Sample", "document_sha256": "ab".repeat(32),
                   "process": "order", "statute": "Code 1"},
        "asks": "live-data", "content": true, "about": about(&[SUBJECT]).commitment().to_string(), "everybody": false, "emergency": false,
        "fields": [{"schema": SCHEMA, "path": "vitals"}, {"schema": SCHEMA, "path": "note"}],
        "period": {"from": after(FROM).to_string(), "until": after(UNTIL).to_string()},
    });
    change(&mut said);
    said
}

pub(super) fn gag(until: Option<i64>) -> Value {
    match until {
        Some(until) => json!({"basis": "Code 2", "until": after(until).to_string()}),
        None => json!({"basis": "Code 2"}),
    }
}

pub(super) fn signed<P: Payload>(by: u8, said: &Value) -> Result<Envelope, RecordRefusal> {
    write::<P>(said, &key(by), &gateway(), NOW, [by; 16])
}

pub(super) fn demand(change: impl FnOnce(&mut Value)) -> Verified<Demand> {
    verified(&signed::<Demand>(CLERK, &said_demand(change)).expect("a good demand"))
}

/// A case about [`SUBJECT`].
pub(super) fn case(change: impl FnOnce(&mut Value)) -> Case {
    Case::open(demand(change), Some(&about(&[SUBJECT])), register(), NOW).expect("a good case")
}

/// A record as [`Case::take`] takes it.
pub(super) fn record(envelope: &Envelope) -> Record {
    Record::verify(envelope, &gateway()).expect("the test signs good records")
}

pub(super) fn said_stage(demand: RecordId, n: u8, met: bool) -> Value {
    let mut said = json!({"demand": demand.to_string(), "n": n, "met": met, "reasoning_sha256": "cd".repeat(32)});
    match n {
        1 => {
            said["determination"] = json!("in-house-counsel");
            said["no_challenge"] = json!({"primary_law": met, "jurisdiction": true});
        }
        2 if met => said["risks"] = json!(["safety", "blocking"]),
        3 => {
            let finding = if met { "compatible" } else { "violated" };
            said["rights"] = json!([{"instrument": "ICCPR", "article": "17", "finding": finding}]);
        }
        _ => {}
    }
    said
}

pub(super) fn stage(demand: RecordId, by: u8, n: u8, met: bool, change: impl FnOnce(&mut Value)) -> Envelope {
    let mut said = said_stage(demand, n, met);
    change(&mut said);
    signed::<Stage>(by, &said).expect("a good stage")
}

fn decision(by: &[u8], said: &Value) -> Envelope {
    let [first, more @ ..] = by else { panic!("nobody signs") };
    let mut envelope = signed::<Decision>(*first, said).expect("a good decision");
    more.iter().for_each(|n| envelope.countersign(&key(*n)));
    envelope
}

pub(super) fn refuse(demand: RecordId, stages: &[RecordId], by: &[u8], change: impl FnOnce(&mut Value)) -> Envelope {
    let mut said =
        json!({"demand": demand.to_string(), "outcome": "refuse", "reasons": ["overbroad"], "reasoning_sha256": "cd".repeat(32)});
    said["stages"] = json!(stages.iter().map(RecordId::to_string).collect::<Vec<_>>());
    change(&mut said);
    decision(by, &said)
}

/// All that [`said_demand`] demands, to [`AGENCY`], after notice.
pub(super) fn comply(demand: RecordId, stages: &[RecordId], by: &[u8], change: impl FnOnce(&mut Value)) -> Envelope {
    let demanded = said_demand(|_| ());
    let mut said = json!({
        "demand": demand.to_string(), "outcome": "comply", "recipient": AGENCY, "reasoning_sha256": "cd".repeat(32),
        "fields": demanded["fields"], "period": demanded["period"], "notice": {"when": "before-release"},
        "stages": stages.iter().map(RecordId::to_string).collect::<Vec<_>>(),
    });
    change(&mut said);
    decision(by, &said)
}

pub(super) fn deferred(said: &mut Value) {
    said["notice"] = json!({"when": "deferred", "until": after(GAG_ENDS).to_string(), "basis": "Code 2"});
}

pub(super) fn notice(demand: RecordId, by: u8) -> Envelope {
    signed::<Notice>(by, &json!({"demand": demand.to_string(), "how": "letter"})).expect("a good notice")
}

pub(super) fn challenge(demand: RecordId, by: u8, result: &str, replaces: Option<RecordId>) -> Envelope {
    let mut said = json!({"demand": demand.to_string(), "where": "High Court", "filed": NOW.to_string(), "result": result,
                          "reasoning_sha256": "cd".repeat(32)});
    if let Some(replaces) = replaces {
        said["replaces"] = json!(replaces.to_string());
    }
    signed::<Challenge>(by, &said).expect("a good challenge")
}

pub(super) fn release(demand: RecordId, decision: RecordId, by: u8, change: impl FnOnce(&mut Value)) -> Envelope {
    let mut said = json!({"demand": demand.to_string(), "decision": decision.to_string(), "from": after(FROM).to_string(),
                          "until": after(2 * HOUR).to_string(), "frames": 7, "fields": [{"schema": SCHEMA, "path": "note"}]});
    change(&mut said);
    signed::<Release>(by, &said).expect("a good release")
}

/// A subject's own consent for a demand: vitals and note to [`AGENCY`].
pub(super) fn own_consent(subject: u8, demand: RecordId, change: impl FnOnce(&mut Value)) -> Arc<Verified<Consent>> {
    Arc::new(consent(subject, 1, None, |document| {
        document["demand"] = json!(demand.to_string());
        document["max_uses"] = json!(1);
        document["recipients"] = json!([{"spiffe": AGENCY}]);
        document["rules"] = json!([
            {"effect": "permit", "match": {"selector": "vitals"}, "treatment": "keep"},
            {"effect": "permit", "match": {"selector": "note"}, "treatment": "keep"},
        ]);
        change(document);
    }))
}

/// Puts the three stages into a case, each met, by A, B and B.
pub(super) fn review(case: &mut Case) -> Vec<RecordId> {
    let id = case.id();
    let take = |case: &mut Case, envelope: Envelope| {
        case.take(record(&envelope), NOW).expect("in its place");
        envelope.id()
    };
    [(A, 1), (B, 2), (B, 3)].map(|(by, n)| take(case, stage(id, by, n, true, |_| ()))).to_vec()
}
