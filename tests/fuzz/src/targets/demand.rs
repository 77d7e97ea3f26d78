//! Legal demands: each kind of record, what a case makes of them, and what an operator makes public of itself.
//!
//! Input: a mode; for records then their text without its head, for a case operations of two bytes.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use twinveil::veil::consent::envelope::{Envelope, Payload, Signed};
use twinveil::veil::consent::refusal::RecordRefusal;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::demand::stage::Answer;
use twinveil::veil::demand::words::{Finding, Ruling};
use twinveil::veil::demand::write::{approve, write};
use twinveil::veil::demand::{
    About, Asks, Case, Challenge, Decision, Demand, Notice, Outcome, Person, Question, Record, Refused, Register, Release, Role, Stage,
};
use twinveil::veil::name::{Origin, RecordId, UnixMs};
use twinveil::veil::report::statement::RENEW_MS_MAX;
use twinveil::veil::report::{Publication, Statement};

use super::{Input, one_line};

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 10 {
        0 => {
            if let Some(demand) = payload::<Demand>(input.rest()) {
                assert!(!(demand.everybody && demand.about.is_some()));
                assert!(!demand.asks.is_data() || demand.everybody || demand.about.is_some());
                assert!(!demand.asks.is_redesign() || (demand.about.is_none() && demand.fields.is_empty() && demand.period.is_none()));
                assert!(demand.period.is_none_or(|period| period.from < period.until));
            }
        }
        1 => {
            if let Some(stage) = payload::<Stage>(input.rest()) {
                let can = match &stage.answer {
                    Answer::NoChallenge { primary_law, jurisdiction, .. } => *primary_law && *jurisdiction,
                    Answer::Risks(risks) => !risks.is_empty(),
                    Answer::Rights(rights) => !rights.is_empty() && rights.iter().all(|right| right.finding == Finding::Compatible),
                };
                assert!(!stage.met || can, "met without what it takes");
            }
        }
        2 => {
            if let Some(decision) = payload::<Decision>(input.rest()) {
                assert_eq!(decision.release.is_some(), decision.outcome.releases());
                assert_eq!(decision.reasons.is_empty(), decision.outcome == Outcome::Comply);
                assert!(decision.release.is_none_or(|terms| !terms.fields.is_empty() && terms.period.from < terms.period.until));
            }
        }
        3 => drop(payload::<Challenge>(input.rest())),
        4 => drop(payload::<Notice>(input.rest())),
        5 => drop(payload::<Release>(input.rest())),
        8 => {
            if let Some(statement) = payload::<Statement>(input.rest()) {
                let longest = statement.at.0.saturating_add(RENEW_MS_MAX);
                assert!(statement.renew_by.is_none_or(|renew_by| statement.at < renew_by && renew_by.0 <= longest));
            }
        }
        9 => {
            if let Some(report) = payload::<Publication>(input.rest()) {
                assert!(
                    report.period.from < report.period.until && report.period.from.0 % HOUR_MS == 0 && report.period.until.0 % HOUR_MS == 0
                );
            }
        }
        _ => story(input),
    }
}

const BEGAN: i64 = 1_769_850_000_000;
const HOUR_MS: i64 = 3_600_000;
const GATEWAY: &str = "log.hospital.example";
/// A clerk; two keys of one person who answers and approves; one who answers and approves; one who approves; the gateway; nobody.
const KEYS: [u8; 7] = [10, 11, 12, 13, 14, 20, 30];

fn key(n: u8) -> &'static SignKey {
    static MADE: OnceLock<Vec<SignKey>> = OnceLock::new();
    &MADE.get_or_init(|| (0..=255).map(|n| SignKey::from_seed(&Secret::take(&mut [n; 32]))).collect())[usize::from(n)]
}

fn gateway() -> Origin {
    Origin::new(GATEWAY)
}

fn refused(refusal: &RecordRefusal) {
    one_line(&refusal.to_string());
    assert!(refusal.code().starts_with("TV-C"));
}

/// What is signed is what is read, and it is read in no other place.
fn payload<P: Payload>(text: &[u8]) -> Option<P> {
    if let Err(refusal) = P::parse(text) {
        refused(&refusal);
    }
    let said = serde_json::from_slice::<Value>(text).ok()?;
    let envelope = write::<P>(&said, key(10), &gateway(), UnixMs(BEGAN), [7; 16]).map_err(|refusal| refused(&refusal)).ok()?;
    let verified = Signed::<P>::new(&envelope).and_then(|signed| signed.verify(&gateway())).expect("what we sign verifies");
    assert!(Signed::<P>::new(&envelope).and_then(|signed| signed.verify(&Origin::new("other"))).is_err(), "another's");
    assert!(verified.signed_by(&key(10).did()));
    P::parse(&envelope.payload).ok()
}

fn about() -> About {
    About { secret: Secret::take(&mut [1; 32]), subjects: BTreeSet::from([key(1).did(), key(2).did()]) }
}

fn register() -> Arc<Register> {
    use Role::{Analyst, Approver, Clerk, Counsel};
    let person =
        |keys: &[u8], roles: &[Role]| Person { keys: keys.iter().map(|n| key(*n).did()).collect(), roles: roles.iter().copied().collect() };
    let persons = vec![
        person(&[10], &[Clerk]),
        person(&[11, 12], &[Counsel, Analyst, Approver]),
        person(&[13], &[Counsel, Analyst, Approver]),
        person(&[14], &[Approver, Clerk]),
    ];
    Arc::new(Register::new(key(20).did(), persons).expect("no key twice"))
}

struct Told {
    case: Case,
    stages: [Option<RecordId>; 3],
    challenge: Option<RecordId>,
    now: i64,
}

fn story(mut input: Input<'_>) {
    let kind = input.byte();
    let asks = Asks::ALL[usize::from(kind) % Asks::ALL.len()];
    let mut said = json!({
        "received": UnixMs(BEGAN).to_string(), "asks": asks.word(), "content": true, "everybody": false, "emergency": kind & 64 != 0,
        "source": {"kind": "court", "jurisdiction": "DE", "home": true, "authority": "Court", "document_sha256": "ab".repeat(32),
                   "process": "order", "statute": "Code 1"},
    });
    if !asks.is_redesign() {
        said["about"] = json!(about().commitment().to_string());
        said["fields"] = json!([{"schema": "s.Frame", "path": "a"}, {"schema": "s.Frame", "path": "b"}]);
        said["period"] = period(1, 9);
    }
    if kind & 128 != 0 {
        said["gag"] = json!({"basis": "Code 2", "until": UnixMs(BEGAN + 4 * HOUR_MS).to_string()});
    }
    let demand = sign::<Demand>(10, &said);
    let verified = Signed::<Demand>::new(&demand).and_then(|signed| signed.verify(&gateway())).expect("verifies");
    let list = (!asks.is_redesign()).then(about);
    let case = Case::open(verified, list.as_ref(), register(), UnixMs(BEGAN)).expect("a clerk's");
    let mut told = Told { case, stages: [None; 3], challenge: None, now: BEGAN };
    for _ in 0..24 {
        if input.is_empty() {
            break;
        }
        let (what, how) = (input.byte(), input.byte());
        step(&mut told, what, how);
        holds(&told);
    }
}

fn period(from: i64, until: i64) -> Value {
    json!({"from": UnixMs(BEGAN + from * HOUR_MS).to_string(), "until": UnixMs(BEGAN + until * HOUR_MS).to_string()})
}

fn sign<P: Payload>(by: u8, said: &Value) -> Envelope {
    write::<P>(said, key(by), &gateway(), UnixMs(BEGAN), [by; 16]).expect("a proper record")
}

fn step(told: &mut Told, what: u8, how: u8) {
    let (by, flag) = (KEYS[usize::from(how & 7) % KEYS.len()], how & 8 != 0);
    let id = told.case.id().to_string();
    let mut said = json!({"demand": id});
    if !matches!(what % 6, 2 | 4) {
        said["reasoning_sha256"] = json!("cd".repeat(32));
    }
    let envelope = match what % 6 {
        0 => {
            let n = usize::from(how >> 4) % 3;
            (said["n"], said["met"]) = (json!(n + 1), json!(flag));
            match n {
                0 => {
                    said["determination"] = json!("court-order");
                    said["no_challenge"] = json!({"primary_law": true, "jurisdiction": flag});
                }
                1 => said["risks"] = json!(["safety"]),
                _ => said["rights"] = json!([{"instrument": "ICCPR", "article": "17", "finding": "compatible"}]),
            }
            if let (true, Some(known)) = (how & 128 != 0, told.stages[n]) {
                said["replaces"] = json!(known.to_string());
            }
            sign::<Stage>(by, &said)
        }
        1 => {
            said["stages"] = json!(told.stages.iter().flatten().map(RecordId::to_string).collect::<Vec<_>>());
            if flag {
                let all = json!([{"schema": "s.Frame", "path": "a"}, {"schema": "s.Frame", "path": "b"}]);
                (said["outcome"], said["fields"], said["period"]) = (json!("comply"), all, period(1, 9));
                said["recipient"] = json!("spiffe://agency.example/desk");
                said["notice"] = match what & 64 {
                    0 => json!({"when": "before-release"}),
                    _ => json!({"when": "deferred", "until": UnixMs(BEGAN + 4 * HOUR_MS).to_string(), "basis": "Code 2"}),
                };
            } else {
                (said["outcome"], said["reasons"]) = (json!("refuse"), json!(["overbroad"]));
            }
            let second = KEYS[usize::from(how >> 4) % KEYS.len()];
            approve(&sign::<Decision>(by, &said), key(second), &gateway()).expect("whoever drafted it signed")
        }
        2 => {
            said["how"] = json!("letter");
            sign::<Notice>(by, &said)
        }
        3 => {
            let result = Ruling::ALL[usize::from(how >> 4) % 3];
            (said["where"], said["filed"], said["result"]) = (json!("court"), json!(UnixMs(BEGAN).to_string()), json!(result.word()));
            if let (true, Some(known)) = (flag, told.challenge) {
                said["replaces"] = json!(known.to_string());
            }
            sign::<Challenge>(by, &said)
        }
        4 => {
            let decision = told.case.decision().map_or(RecordId([3; 32]), |filed| filed.id());
            let interval = period(i64::from(how >> 4), i64::from(how >> 4) + 1);
            (said["decision"], said["from"], said["until"]) =
                (json!(decision.to_string()), interval["from"].clone(), interval["until"].clone());
            (said["frames"], said["fields"]) = (json!(1), json!([{"schema": "s.Frame", "path": if flag { "a.b" } else { "c" }}]));
            sign::<Release>(by, &said)
        }
        // A clock may go back.
        _ => return told.now += i64::from(how as i8) * HOUR_MS / 16,
    };
    let record = Record::verify(&envelope, &gateway()).expect("what we sign verifies");
    let before = format!("{:?}", told.case);
    match told.case.take(record.clone(), UnixMs(told.now)) {
        Ok(()) => {
            assert_eq!(told.case.check(&record, UnixMs(told.now)), Err(Refused::TakenBefore), "taken twice");
            match record {
                Record::Stage(stage) => told.stages[usize::from(stage.get().question().number()) - 1] = Some(stage.id()),
                Record::Challenge(challenge) => told.challenge = Some(challenge.id()),
                Record::Decision(_) | Record::Notice(_) | Record::Release(_) => {}
            }
        }
        Err(refused) => {
            one_line(&refused.to_string());
            assert_eq!(format!("{:?}", told.case), before, "what is refused changes nothing");
        }
    }
}

/// At every step: where something may leave, everything is there that it takes.
fn holds(told: &Told) {
    let now = UnixMs(told.now);
    let standing = told.case.standing(now);
    let Ok(warrant) = told.case.warrant(now) else { return assert!(standing.release.is_err()) };
    assert_eq!(standing.release, Ok(warrant.until()));
    let demand = told.case.demand();
    let decision = told.case.decision().expect("decided");
    assert!(demand.asks == Asks::LiveData && !demand.everybody);
    assert!(Question::ALL.iter().all(|question| told.case.answer(*question).is_some_and(|stage| stage.get().met)));
    let a = decision.record.signed_by(&key(11).did()) || decision.record.signed_by(&key(12).did());
    let persons = [a, decision.record.signed_by(&key(13).did()), decision.record.signed_by(&key(14).did())];
    assert!(persons.into_iter().filter(|signed| *signed).count() >= 2, "two persons");
    assert!(told.case.challenged().is_none());
    assert!(!told.case.notices().is_empty() || (demand.is_gagged(now) && warrant.until() <= UnixMs(BEGAN + 4 * HOUR_MS)));
    assert!(warrant.until() <= UnixMs(BEGAN + 9 * HOUR_MS) && UnixMs(BEGAN + HOUR_MS) <= warrant.from());
    assert!(warrant.until() > now && *warrant.subjects() == about().subjects);
}
