//! Records: the envelope, each kind of payload, and what records add up to.
//!
//! Input: a mode; for envelopes and payloads then their text, for a standing operations of three bytes.

use std::sync::OnceLock;

use serde_json::{Value, json};
use twinveil::client::authority::DelegationTerms;
use twinveil::client::wallet::{Terms, Voice, Wallet};
use twinveil::veil::consent::agreement::Agreement;
use twinveil::veil::consent::deciding::RecipientIdentity;
use twinveil::veil::consent::delegation::{Capacity, Delegation, Right};
use twinveil::veil::consent::delegation_end::DelegationEnd;
use twinveil::veil::consent::enrolment::Enrolment;
use twinveil::veil::consent::envelope::{Envelope, Payload, Signed, Verified};
use twinveil::veil::consent::query::Query;
use twinveil::veil::consent::recipient_key::RecipientKey;
use twinveil::veil::consent::record::{Consent, IDS_MAX, PERMIT_MS_MAX, RECIPIENTS_MAX, RULES_MAX, SignerRole, Status};
use twinveil::veil::consent::refusal::RecordRefusal;
use twinveil::veil::consent::release::Release;
use twinveil::veil::consent::rule::Effect;
use twinveil::veil::consent::standing::{GrantState, Head, Standing};
use twinveil::veil::consent::withdrawal::{Reach, Withdrawal};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::name::{Origin, RecordId, Spiffe, UnixMs};
use twinveil::veil::terms::{Treatment, purpose};

use super::{Input, Steps, one_line};

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 11 {
        0 | 1 => envelope(input.rest()),
        2 => {
            if let Some(consent) = payload::<Consent>(input.rest()) {
                record(&consent);
            }
        }
        3 => {
            payload::<Withdrawal>(input.rest());
        }
        4 => {
            payload::<Enrolment>(input.rest());
        }
        5 => {
            let text = input.rest();
            payload::<RecipientKey>(text);
            payload::<Release>(text);
            payload::<Query>(text);
        }
        8 => {
            payload::<Delegation>(input.rest());
        }
        9 => {
            payload::<DelegationEnd>(input.rest());
        }
        10 => {
            payload::<Agreement>(input.rest());
        }
        _ => standing(input),
    }
}

const GATEWAY: &str = "log.hospital.example";
const BEGAN: UnixMs = UnixMs(1_769_850_000_000);
const HOUR_MS: i64 = 3_600_000;

fn said(refusal: &RecordRefusal) {
    one_line(&refusal.to_string());
    assert!(refusal.code().starts_with("TV-C"));
}

fn envelope(json: &[u8]) {
    let envelope = match Envelope::parse_json(json) {
        Ok(envelope) => envelope,
        Err(refusal) => return said(&refusal),
    };
    assert_eq!(envelope.check_sizes(), Ok(()));
    assert_eq!(Envelope::parse_json(envelope.to_json().as_bytes()).as_ref(), Ok(&envelope));
    verify::<Consent>(&envelope);
    verify::<Withdrawal>(&envelope);
    verify::<Enrolment>(&envelope);
    verify::<Delegation>(&envelope);
    verify::<DelegationEnd>(&envelope);
    verify::<Agreement>(&envelope);
}

/// Whatever verifies was signed by the one whom it names, for this gateway.
fn verify<T: Payload>(envelope: &Envelope) -> Option<Verified<T>> {
    let gateway = Origin::new(GATEWAY);
    match Signed::<T>::new(envelope).and_then(|signed| signed.verify(&gateway)) {
        Ok(verified) => {
            assert!(verified.signed_by(&verified.get().signer()) && *verified.get().gateway() == gateway);
            assert!(verified.get().cosigner().is_none_or(|other| verified.signed_by(&other)), "half a signature");
            assert_eq!(verified.id(), envelope.id());
            let mut bent = envelope.clone();
            bent.payload.push(b' ');
            assert!(Signed::<T>::new(&bent).and_then(|signed| signed.verify(&gateway)).is_err(), "a changed payload verified");
            Some(verified)
        }
        Err(refusal) => {
            said(&refusal);
            None
        }
    }
}

/// A payload is read the same with and without an envelope around it, and in it only by the right key.
fn payload<T: Payload>(payload: &[u8]) -> Option<T> {
    let read = T::parse(payload);
    if let Err(refusal) = &read {
        said(refusal);
    }
    let envelope = Envelope::sign(T::MEDIA_TYPE, payload.to_vec(), key());
    let verified = verify::<T>(&envelope);
    match &read {
        Err(_) => assert!(verified.is_none()),
        Ok(read) => {
            let alone = read.cosigner().is_none_or(|other| other == key().did());
            assert_eq!(verified.is_some(), alone && read.signer() == key().did() && *read.gateway() == Origin::new(GATEWAY));
        }
    }
    read.ok()
}

/// What must hold of every record that is taken.
fn record(consent: &Consent) {
    assert!(consent.seq > 0 && (consent.seq == 1) == consent.prev.is_none());
    assert!(consent.expires > consent.not_before.unwrap_or(consent.at));
    assert!(consent.rules.len() <= RULES_MAX && consent.recipients.len() <= RECIPIENTS_MAX && consent.replaces.len() <= IDS_MAX);
    if consent.permits() {
        assert!(!consent.recipients.is_empty() && !consent.purposes.is_empty() && consent.status != Status::Refused);
        assert!(consent.expires.0 - consent.at.0 <= PERMIT_MS_MAX, "a permit without end");
    }
    for rule in &consent.rules {
        assert!(rule.effect == Effect::Permit || rule.treatment == Treatment::Strip);
        assert!(!rule.recipient_holds_key || rule.treatment == Treatment::Encrypt);
        assert!(rule.category.is_some() || rule.sensitivity.is_some() || rule.selector.is_some(), "a rule for anything");
    }
}

fn wallet() -> &'static Wallet {
    static WALLET: OnceLock<Wallet> = OnceLock::new();
    WALLET.get_or_init(|| Wallet::from_seeds(Secret::take(&mut [1; 32]), Secret::take(&mut [2; 32])).expect("keys"))
}

fn key() -> &'static SignKey {
    static KEY: OnceLock<SignKey> = OnceLock::new();
    KEY.get_or_init(|| SignKey::from_seed(&Secret::take(&mut [1; 32])))
}

fn delegate() -> &'static Wallet {
    static WALLET: OnceLock<Wallet> = OnceLock::new();
    WALLET.get_or_init(|| Wallet::from_seeds(Secret::take(&mut [3; 32]), Secret::take(&mut [4; 32])).expect("keys"))
}

/// What a step of a standing's story leaves behind.
#[derive(Default)]
struct Story {
    standing: Standing,
    taken: Vec<RecordId>,
    /// Withdrawn by name, seen or not.
    withdrawn: Vec<RecordId>,
    /// Delegations, and those that were ended.
    delegations: Vec<RecordId>,
    ended: Vec<RecordId>,
    now: i64,
}

fn standing(mut input: Input<'_>) {
    let mut story = Story { now: BEGAN.0, ..Story::default() };
    let mut took: Vec<(Verified<Consent>, i64)> = Vec::new();
    let mut ended = false;
    for step in 0..10u64 {
        if input.is_empty() {
            break;
        }
        let (what, a, b) = (input.byte(), input.byte(), input.byte());
        if what >= 128 {
            ended = true;
            delegation(&mut story, step, a, b);
            holds(&story);
            continue;
        }
        match what % 4 {
            0 | 1 => {
                let Some(record) = grant(&story, step, a, b) else { continue };
                match story.standing.check(&record, UnixMs(story.now)) {
                    Ok(()) => {
                        let id = record.id();
                        took.push((record.clone(), story.now));
                        story.standing.apply(record.clone(), UnixMs(story.now));
                        story.taken.push(id);
                        let seq = (story.taken.len() + story.delegations.len()) as u64;
                        assert_eq!(story.standing.head(), Head { seq, record: Some(id) });
                        assert!(story.standing.check(&record, UnixMs(story.now)).is_err(), "taken twice");
                    }
                    Err(refusal) => {
                        let grants = story.standing.grants().len();
                        said(&refusal);
                        assert_eq!(grants, story.taken.len());
                    }
                }
            }
            2 => {
                ended = true;
                withdraw(&mut story, a, b);
            }
            _ => story.now += i64::from(a) * HOUR_MS,
        }
        holds(&story);
    }
    if !ended {
        // The same records at the same instants give the same standing.
        let mut again = Standing::default();
        for (record, at) in took {
            assert_eq!(again.check(&record, UnixMs(at)), Ok(()));
            again.apply(record, UnixMs(at));
        }
        let states = |standing: &Standing| standing.grants().iter().map(|grant| grant.state(UnixMs(story.now))).collect::<Vec<_>>();
        assert_eq!((again.head(), states(&again)), (story.standing.head(), states(&story.standing)));
    }
}

/// A record, right or wrong in its place: `a` says what is wrong and what it rules, `b` what it replaces and when it begins.
fn grant(story: &Story, step: u64, a: u8, b: u8) -> Option<Verified<Consent>> {
    let mut head = story.standing.head();
    match a & 7 {
        6 => head.seq += 1,
        7 => head.record = head.record.map(|_| RecordId([a; 32])),
        _ => {}
    }
    let expires = UnixMs(story.now + i64::from(b >> 4) * 24 * HOUR_MS + HOUR_MS);
    let rules = match a >> 3 & 3 {
        0 => json!([{"effect": "permit", "match": {"category": "health"}, "treatment": "keep"}]),
        1 => json!([{"effect": "forbid", "match": {"category": "identity"}}]),
        2 => json!([{"effect": "permit", "match": {"sensitivity": "special"}, "treatment": "encrypt", "keys": "recipient"},
                    {"effect": "forbid", "match": {"selector": "note"}}]),
        _ => json!([{"effect": "permit", "match": {"sensitivity": "personal"}, "treatment": "generalize"}]),
    };
    let replaces: Vec<String> = match b & 3 {
        1 => story.taken.first().map(RecordId::to_string).into_iter().collect(),
        2 => story.taken.last().map(RecordId::to_string).into_iter().collect(),
        3 => vec![RecordId([b; 32]).to_string()],
        _ => Vec::new(),
    };
    let mut terms = terms(rules, replaces);
    terms.expires = Some(expires.to_string());
    terms.not_before = (b & 4 != 0).then(|| UnixMs(story.now + HOUR_MS / 2).to_string());
    // The clock of a signer may be ahead.
    let at = UnixMs(story.now + i64::from(a >> 5) * 60_000);
    let role = if b & 8 != 0 { SignerRole::Operator } else { SignerRole::Subject };
    let envelope =
        wallet().grant(&terms, role, &Origin::new(GATEWAY), head, at, &mut Steps(step)).map_err(|refusal| said(&refusal)).ok()?;
    Some(verify::<Consent>(&envelope).expect("what a wallet signs verifies"))
}

/// A delegation, its end, or a grant under one.
fn delegation(story: &mut Story, step: u64, a: u8, b: u8) {
    let (gateway, now) = (Origin::new(GATEWAY), UnixMs(story.now));
    let under = story.delegations.get(usize::from(b & 3)).copied();
    match (a & 3, under) {
        (0, _) | (_, None) => {
            let scope = if a & 4 == 0 {
                json!({"recipients": "any", "purposes": "any", "permits": "any"})
            } else {
                json!({"recipients": "any", "purposes": "any", "permits": [{"match": {"category": "health"}, "treatment": "generalize"}]})
            };
            let terms = DelegationTerms {
                delegate: delegate().did(),
                capacity: Capacity::Proxy,
                not_before: None,
                expires: UnixMs(story.now + i64::from(b) * HOUR_MS + HOUR_MS),
                rights: Right::ALL.to_vec(),
                depth: a >> 6,
                scope: serde_json::from_value(scope).expect("a scope"),
                vault_key: None,
            };
            let own = wallet().voice(SignerRole::Subject);
            let half = wallet().delegate(&own, &terms, &gateway, story.standing.head(), now).expect("a proper delegation");
            let both = delegate().cosign(&half, &gateway).expect("the delegate");
            let record = verify::<Delegation>(&both).expect("what both signed verifies");
            match story.standing.check_delegation(&record, now) {
                Ok(()) => {
                    story.delegations.push(record.id());
                    story.standing.apply_delegation(record, now);
                }
                Err(refusal) => said(&refusal),
            }
        }
        (1, Some(id)) => {
            let voice = if a & 4 == 0 { wallet().voice(SignerRole::Subject) } else { speaking(id) };
            let signer = if a & 4 == 0 { wallet() } else { delegate() };
            let end = signer.end_delegations(&voice, &[id], &gateway, now).expect("a proper end");
            let ends = story.standing.check_end(&verify::<DelegationEnd>(&end).expect("verifies"), now).expect("either side");
            story.standing.apply_end(ends);
            story.ended.push(id);
        }
        (_, Some(id)) => {
            let rules =
                json!([{"effect": "permit", "match": {"category": "health"}, "treatment": if a & 8 == 0 { "keep" } else { "strip" }}]);
            let mut terms = terms(rules, Vec::new());
            terms.expires = Some(UnixMs(story.now + i64::from(a >> 4) * HOUR_MS + HOUR_MS).to_string());
            let signed = delegate().grant_as(&speaking(id), &terms, &gateway, story.standing.head(), now, &mut Steps(step));
            let record = verify::<Consent>(&signed.expect("a proper grant")).expect("verifies");
            match story.standing.check(&record, now) {
                Ok(()) => {
                    assert!(!story.ended.contains(&id), "an ended delegation grants");
                    story.taken.push(record.id());
                    story.standing.apply(record, now);
                }
                Err(refusal) => said(&refusal),
            }
        }
    }
}

fn speaking(id: RecordId) -> Voice {
    Voice { subject: wallet().did(), role: SignerRole::Delegate(id), vault_key: None }
}

fn withdraw(story: &mut Story, a: u8, b: u8) {
    let named: Vec<RecordId> = match a & 3 {
        0 => story.taken.first().copied().into_iter().collect(),
        1 => story.taken.last().copied().into_iter().chain([RecordId([b; 32])]).collect(),
        2 => story.taken.clone(),
        _ => Vec::new(),
    };
    let reach = if named.is_empty() { Reach::UpTo(u64::from(b % 12) + 1) } else { Reach::Records(named.clone()) };
    let now = UnixMs(story.now);
    let envelope = wallet().withdraw(&reach, SignerRole::Subject, &Origin::new(GATEWAY), now).expect("a proper withdrawal");
    let withdrawal = verify::<Withdrawal>(&envelope).expect("what a wallet signs verifies");
    match story.standing.check_withdrawal(&withdrawal, now) {
        Ok(ending) => {
            story.standing.apply_withdrawal(ending);
            let again = story.standing.check_withdrawal(&withdrawal, now).expect("taken before");
            assert!(again.is_nothing(), "a withdrawal ends everything at once");
        }
        Err(refusal) => return said(&refusal),
    }
    story.withdrawn.extend(named);
    if let Reach::UpTo(seq) = reach {
        let reached = story.standing.grants().iter().filter(|grant| grant.consent().seq <= seq);
        story.withdrawn.extend(reached.map(|grant| grant.id()));
    }
}

/// At every step: nothing that was withdrawn is live, and no permit decides that is not live.
fn holds(story: &Story) {
    let now = UnixMs(story.now);
    for grant in story.standing.grants() {
        if story.withdrawn.contains(&grant.id()) && grant.consent().permits() {
            assert_ne!(grant.state(now), GrantState::Live, "withdrawn and live");
        }
        if grant.consent().by.role.authority().is_some_and(|id| story.ended.contains(&id)) {
            assert_ne!(grant.state(now), GrantState::Live, "live under a delegation that has ended");
        }
        assert!(grant.state(now) != GrantState::Live || (grant.from() <= now && now < grant.consent().expires));
    }
    let spiffe = Spiffe::parse("spiffe://lab.example/reader").expect("a SPIFFE id");
    let who = RecipientIdentity { spiffe: &spiffe, did: None, stated_key: None };
    let purpose = purpose("dpv:AcademicResearch").expect("a DPV term");
    let deciding = story.standing.deciding(&who, &purpose, now);
    assert!(deciding.valid_until > now, "what decides now is over already");
    for rule in deciding.rules.iter().filter(|rule| rule.rule.effect == Effect::Permit) {
        let grant = story.standing.grants().iter().find(|grant| grant.id() == rule.record).expect("a record that was taken");
        assert_eq!(grant.state(now), GrantState::Live, "a permit decides that is not live");
        assert_ne!(grant.consent().by.role, SignerRole::Operator);
    }
}

fn terms(rules: Value, replaces: Vec<String>) -> Terms {
    serde_json::from_value(json!({
        "status": "ConsentGiven",
        "method": "signed in the wallet",
        "notice": {"uri": "https://hospital.example/notice", "sha256": "ab".repeat(32), "lang": "en"},
        "controllers": [{"id": "https://hospital.example", "name": "Hospital", "address": "1 Main Street",
                         "contact": "dpo@hospital.example", "type": "Hospital", "role": "DataController"}],
        "recipients": [{"spiffe": "spiffe://lab.example/reader"}],
        "purposes": ["dpv:AcademicResearch"],
        "storage": {"places": ["DE"], "retention": "P6M"},
        "jurisdiction": ["DE"],
        "withdrawal": {"uri": "https://hospital.example/withdraw", "pre_signed": false},
        "rules": rules,
        "replaces": replaces,
    }))
    .expect("proper terms")
}
