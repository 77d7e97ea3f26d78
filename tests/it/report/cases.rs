//! A desk's year: demands of every kind, signed by the persons of a register and logged in a log of their own, as a gateway would.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use prost::Message;
use serde_json::{Value, json};
use twinveil::log::{Log, Signer};
use twinveil::proto::v1::{Refusals, RefusedCount};
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::crypto::hash::sha256;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::demand::{challenge, decision, notice, record, release, stage};
use twinveil::veil::merkle::leaf::{Act, Leaf, Salt};
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::name::{RecordId, UnixMs};
use twinveil::veil::report::{RefusalsFile, statement};

use crate::harness::Folder;

pub(super) const ORIGIN: &str = "gateway.example.org/twins";
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// What must never stand in a public file: whom demands are about, and what registered persons are called.
pub(super) const CANARIES: [&str; 4] =
    ["Ada Canary-Subject", "patient-canary-2041", "Benedikt Canary-Counsel", "spiffe://canary.example/source"];

pub(super) fn key(n: u8) -> SignKey {
    SignKey::from_seed(&Secret::take(&mut [n; 32]))
}

const GATEWAY: u8 = 10;
const CLERK: u8 = 11;
const COUNSEL: u8 = 12;
const ANALYST: u8 = 13;
pub(super) const APPROVERS: [u8; 3] = [14, 15, 16];
/// The party that data is released to.
pub(super) const RECIPIENT: &str = "spiffe://example.org/recipient/authority-desk";

pub(super) struct Desk {
    pub(super) folder: Folder,
    log: std::sync::Arc<Log>,
    next: u64,
    nonce: u64,
    persons: Vec<(RecordId, u64)>,
    refused: Vec<Vec<u8>>,
    /// The beginning of the year that is reported.
    pub(super) from: i64,
    pub(super) until: i64,
    now: i64,
    careless: bool,
}

fn day(at: i64) -> String {
    UnixMs(at).to_string().chars().take(10).collect()
}

/// A demand in a few words.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) day: i64,
    pub(super) country: &'a str,
    pub(super) kind: &'a str,
    pub(super) asks: &'a str,
    pub(super) persons: u64,
    pub(super) process: (&'a str, &'a str, &'a str),
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then<'a> {
    Open,
    Refuse(&'a [&'a str]),
    NoData,
    Unable,
    Comply,
    InPart,
    Consented,
}

impl Desk {
    pub(super) fn new() -> Self {
        let folder = Folder::new();
        let verifier = VerifierKey::new(ORIGIN, key(GATEWAY).did()).unwrap();
        fs::write(folder.join("log.vkey"), format!("{verifier}\n")).unwrap();
        let signer = Signer { key: key(GATEWAY), verifier };
        let (log, _) = Log::open_folder(&folder.join("log"), None, signer, Duration::ZERO).unwrap();
        let person = |keys: &[u8], roles: &[&str]| json!({"keys": keys.iter().map(|n| key(*n).did().to_string()).collect::<Vec<_>>(), "roles": roles});
        let register = json!({"persons": [
            person(&[CLERK], &["clerk"]), person(&[COUNSEL], &["counsel"]), person(&[ANALYST], &["analyst"]),
            // One person with two keys, and another.
            person(&APPROVERS[..2], &["approver"]), person(&APPROVERS[2..], &["approver"]),
        ]});
        fs::write(folder.join("register.json"), register.to_string()).unwrap();
        for below in ["cases", "statements"] {
            fs::create_dir_all(folder.join(below)).unwrap();
        }
        fs::write(folder.join("report.toml"), WORDS).unwrap();
        let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
        // The year that ended last: whatever day the tests run on.
        let year: i64 = UnixMs(now).to_string()[..4].parse().unwrap();
        let new_year = |year: i64| format!("{year}-01-01T00:00:00Z").parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let (from, until) = (new_year(year - 1), new_year(year));
        Self { folder, log, next: 0, nonce: 0, persons: Vec::new(), refused: Vec::new(), from, until, now, careless: false }
    }

    pub(super) fn leaf(&mut self, act: Act, at: i64, object: &RecordId) -> u64 {
        let number = self.next;
        self.log.push(number, Leaf::new(act, UnixMs(at), &Salt::OPEN, object)).unwrap();
        self.log.settle(number).unwrap();
        self.next += 1;
        number
    }

    fn nonce(&mut self) -> String {
        self.nonce += 1;
        format!("{:032x}", self.nonce)
    }

    /// Signs, logs and keeps a record; its id.
    fn file(&mut self, act: Act, kind: &str, mut payload: Value, at: i64, signers: &[u8], shown: bool) -> RecordId {
        let nonce = self.nonce();
        let head = json!({
            "gateway": ORIGIN, "author": key(signers[0]).did().to_string(), "at": UnixMs(at).to_string(), "nonce": nonce,
        });
        payload.as_object_mut().unwrap().extend(head.as_object().unwrap().clone());
        let mut envelope = Envelope::sign(kind, payload.to_string().into_bytes(), &key(signers[0]));
        signers[1..].iter().for_each(|n| envelope.countersign(&key(*n)));
        let id = envelope.id();
        self.leaf(act, at, &id);
        if shown || self.careless {
            let below = if act == Act::Statement { "statements" } else { "cases" };
            fs::write(self.folder.join(&format!("{below}/{id}.json")), envelope.to_json()).unwrap();
        }
        id
    }

    /// A demand, and what became of it. `shown`: nobody forbids to tell.
    pub(super) fn demand(&mut self, asked: &Asked<'_>, then: Then<'_>, shown: bool) -> RecordId {
        let at = self.from + asked.day * DAY + 9 * HOUR;
        let (process, statute, authority) = asked.process;
        let data = matches!(asked.asks, "stored-data" | "live-data");
        let mut payload = json!({
            "received": UnixMs(at - 20 * HOUR).to_string(),
            "source": {"kind": asked.kind, "jurisdiction": asked.country, "home": asked.country == "DE", "authority": authority,
                "document_sha256": "11".repeat(32), "process": process, "statute": statute},
            "asks": asked.asks, "content": asked.asks == "live-data", "everybody": data && asked.persons == 0, "emergency": asked.day % 7 == 0,
        });
        let members = payload.as_object_mut().unwrap();
        if asked.persons > 0 {
            members.insert("about".into(), json!("ab".repeat(32)));
        }
        if data {
            members.insert("fields".into(), json!([{"schema": "twinveil.sample.PatientFrame", "path": "vitals"}]));
            members.insert("period".into(), json!({"from": UnixMs(at).to_string(), "until": UnixMs(at + 90 * DAY).to_string()}));
        }
        if !shown {
            members.insert("gag".into(), json!({"basis": "§ 100 Example Act"}));
        }
        let id = self.file(Act::Demand, record::MEDIA_TYPE, payload, at, &[CLERK], shown);
        if asked.persons > 0 && shown {
            self.persons.push((id, asked.persons));
        }
        self.answer(asked, then, shown, id, at);
        id
    }

    /// A demand under a gag without an end, put among those that may be shown.
    pub(super) fn demand_forbidden_and_filed(&mut self, asked: &Asked<'_>) -> RecordId {
        self.careless = true;
        let id = self.demand(asked, Then::Open, false);
        self.careless = false;
        id
    }

    fn answer(&mut self, asked: &Asked<'_>, then: Then<'_>, shown: bool, id: RecordId, at: i64) {
        let demand = id.to_string();
        let releases = matches!(then, Then::Comply | Then::InPart);
        let data = matches!(asked.asks, "stored-data" | "live-data");
        let mut stages = Vec::new();
        if data && then != Then::Consented && then != Then::NoData {
            let lawful = releases || asked.day % 3 != 0;
            let hash = "22".repeat(32);
            let one = json!({"demand": demand, "n": 1, "met": lawful, "determination": if asked.kind == "court" { "court-order" } else { "outside-counsel" },
                "no_challenge": {"primary_law": lawful, "jurisdiction": lawful || asked.day % 2 == 0}, "reasoning_sha256": hash});
            stages.push(self.file(Act::Stage, stage::MEDIA_TYPE, one, at + DAY, &[COUNSEL], shown));
            if then != Then::Open {
                let risks: &[&str] = if lawful { &["money", "licence"] } else { &[] };
                let two = json!({"demand": demand, "n": 2, "met": lawful, "risks": risks, "reasoning_sha256": hash});
                stages.push(self.file(Act::Stage, stage::MEDIA_TYPE, two, at + 2 * DAY, &[COUNSEL], shown));
                let finding = if releases { "compatible" } else { "violated" };
                let rights = json!([{"instrument": "ICCPR", "article": "17", "finding": finding}, {"instrument": "ECHR", "article": "8", "finding": "compatible"}]);
                let three = json!({"demand": demand, "n": 3, "met": releases, "rights": rights, "reasoning_sha256": hash});
                stages.push(self.file(Act::Stage, stage::MEDIA_TYPE, three, at + 3 * DAY, &[ANALYST], shown));
            }
        }
        let stages: Vec<String> = stages.iter().map(ToString::to_string).collect();
        let (outcome, reasons): (&str, Vec<&str>) = match then {
            Then::Open => return,
            Then::Refuse(reasons) => ("refuse", reasons.into()),
            Then::NoData => ("no-data", vec!["not_held"]),
            Then::Unable => ("unable", vec!["no_key"]),
            Then::Comply => ("comply", Vec::new()),
            Then::InPart | Then::Consented => ("comply-in-part", vec!["overbroad"]),
        };
        if matches!(then, Then::Refuse(_)) && asked.day % 4 == 0 {
            let challenge = json!({"demand": demand, "where": "Administrative Court", "filed": UnixMs(at + DAY).to_string(),
                "result": if asked.day % 8 == 0 { "upheld" } else { "dismissed" }, "reasoning_sha256": "33".repeat(32)});
            self.file(Act::Challenge, challenge::MEDIA_TYPE, challenge, at + 4 * DAY, &[CLERK], shown);
        }
        if asked.persons > 0 {
            self.file(Act::Notice, notice::MEDIA_TYPE, json!({"demand": demand, "how": "letter"}), at + 4 * DAY, &[CLERK], shown);
        }
        let mut payload =
            json!({"demand": demand, "outcome": outcome, "stages": stages, "reasons": reasons, "reasoning_sha256": "44".repeat(32)});
        let released = releases || then == Then::Consented;
        let whole = then == Then::Comply;
        let path = if whole { "vitals" } else { "vitals.heart_rate_bpm" };
        let fields = json!([{"schema": "twinveil.sample.PatientFrame", "path": path}]);
        if released {
            let until = if whole { at + 90 * DAY } else { at + 20 * DAY };
            payload.as_object_mut().unwrap().extend(
                json!({"fields": fields, "recipient": RECIPIENT, "notice": {"when": "before-release"},
                    "period": {"from": UnixMs(at).to_string(), "until": UnixMs(until).to_string()}})
                .as_object()
                .unwrap()
                .clone(),
            );
            if then == Then::Consented {
                payload["consent"] = json!("55".repeat(32));
            }
        }
        let signers = if asked.day % 2 == 0 { [APPROVERS[0], APPROVERS[2]] } else { [APPROVERS[2], APPROVERS[1]] };
        let decision = self.file(Act::Decision, decision::MEDIA_TYPE, payload, at + 5 * DAY, &signers, shown);
        if released {
            for n in 0..3 {
                let release = json!({"demand": demand, "decision": decision.to_string(), "from": UnixMs(at + (6 + n) * DAY).to_string(),
                    "until": UnixMs(at + (6 + n) * DAY + HOUR).to_string(), "frames": 100, "fields": fields});
                self.file(Act::Release, release::MEDIA_TYPE, release, at + (6 + n) * DAY + HOUR, &[GATEWAY], shown);
            }
        }
    }

    pub(super) fn state(&mut self, name: &str, text: &str, days_ago: i64, for_days: Option<i64>, shown: bool) -> RecordId {
        let at = (self.now - days_ago * DAY) / 1_000 * 1_000;
        let mut payload = json!({"name": name, "text": text});
        if let Some(days) = for_days {
            payload["renew_by"] = json!(UnixMs(at + days * DAY).to_string());
        }
        self.file(Act::Statement, statement::MEDIA_TYPE, payload, at, &[APPROVERS[0]], shown)
    }

    /// What the gateway refused in an hour of a day.
    fn refuse(&mut self, day: i64, counts: &[(&str, u64)]) {
        let counts = counts.iter().map(|(code, count)| RefusedCount { code: (*code).to_owned(), count: *count }).collect();
        let at = self.from + day * DAY;
        let object = Refusals { id: vec![day as u8; 16].into(), from_ms: at - HOUR, until_ms: at, counts }.encode_to_vec();
        self.leaf(Act::Refusals, at, &RecordId(sha256(&[&object])));
        self.refused.push(object);
    }

    /// What a clerk hands in beside the records, and never publishes.
    pub(super) fn finish(&self) {
        let persons: serde_json::Map<String, Value> = self.persons.iter().map(|(id, n)| (id.to_string(), json!(n))).collect();
        let refused = RefusalsFile::of(self.refused.iter().map(Vec::as_slice));
        fs::write(self.folder.join("refusals.json"), refused.to_json()).unwrap();
        fs::write(self.folder.join("persons.json"), Value::Object(persons).to_string()).unwrap();
        // The desk's own files are full of names; none of them is public.
        fs::write(self.folder.join("desk-notes.txt"), CANARIES.join("\n")).unwrap();
    }

    pub(super) fn days(&self) -> (String, String) {
        (day(self.from), day(self.until))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Demands of a year that has some of everything.
pub(super) fn a_year() -> Desk {
    let mut desk = Desk::new();
    let stpo = ("search warrant", "§ 100a StPO", "Amtsgericht Kassel");
    let order = ("production order", "Art. 18 e-Evidence Regulation", "Tribunal judiciaire de Lyon");
    let letter = ("letter", "no statute named", "Ministry of the Interior");
    let sca = ("subpoena", "18 U.S.C. § 2703(d)", "U.S. District Court, N.D. Cal.");
    let secret = ("directive", "National Security Act, s. 49", "Security Service");
    let civil = ("disclosure order", "Civil Procedure Rules, Part 31", "Claimant’s solicitors");
    let asked = |day, country, kind, asks, persons, process| Asked { day, country, kind, asks, persons, process };
    let plan: Vec<(Asked<'_>, Then<'_>, bool)> = vec![
        (asked(3, "DE", "court", "live-data", 1, stpo), Then::InPart, true),
        (asked(9, "DE", "police", "stored-data", 2, stpo), Then::Unable, true),
        (asked(15, "US", "court", "stored-data", 40, sca), Then::Refuse(&["challengeable_jurisdiction", "overbroad"]), true),
        (asked(21, "FR", "court", "live-data", 14, order), Then::Refuse(&["human_rights"]), true),
        (asked(33, "FR", "court", "stored-data", 3, order), Then::Unable, true),
        (asked(40, "GB", "intelligence", "live-data", 0, secret), Then::Refuse(&["human_rights", "overbroad"]), true),
        (asked(46, "GB", "intelligence", "redesign-backdoor", 0, secret), Then::Refuse(&["redesign_out_of_scope"]), true),
        (asked(58, "DE", "police", "live-data", 1, stpo), Then::NoData, true),
        (asked(71, "DE", "court", "live-data", 2, stpo), Then::Comply, true),
        (asked(90, "RU", "other-government", "redesign-instance", 0, letter), Then::Refuse(&["redesign_out_of_scope"]), true),
        (asked(96, "US", "police", "live-data", 0, sca), Then::Refuse(&["overbroad", "insufficient_process"]), true),
        (asked(110, "DE", "police", "live-data", 1, stpo), Then::Refuse(&["no_identifiable_risk"]), false),
        (asked(124, "DE", "civil", "live-data", 1, civil), Then::Consented, true),
        (asked(140, "GB", "civil", "stored-data", 12, civil), Then::Unable, true),
        (asked(152, "RU", "other-government", "redesign-identity", 0, letter), Then::Refuse(&["redesign_out_of_scope"]), true),
        (asked(171, "IN", "police", "content-removal", 0, letter), Then::Refuse(&["insufficient_process"]), true),
        (asked(188, "DE", "court", "stored-data", 4, stpo), Then::Unable, true),
        (asked(200, "BR", "court", "live-data", 1, letter), Then::Refuse(&["no_identifiable_risk", "human_rights"]), true),
        (asked(216, "GB", "intelligence", "stored-data", 3, secret), Then::Open, false),
        (asked(229, "DE", "police", "stored-data", 5, stpo), Then::Refuse(&["identity_unverified"]), true),
        (asked(251, "FR", "international-organisation", "live-data", 6, letter), Then::Refuse(&["challengeable_law"]), true),
        (asked(267, "US", "court", "live-data", 25, sca), Then::Refuse(&["challengeable_jurisdiction"]), true),
        (asked(300, "DE", "police", "live-data", 2, stpo), Then::Open, true),
        (asked(322, "NL", "court", "stored-data", 1, order), Then::Unable, true),
        (asked(345, "GB", "intelligence", "live-data", 9, secret), Then::Refuse(&["human_rights"]), false),
    ];
    for (asked, then, shown) in plan {
        desk.demand(&asked, then, shown);
    }
    desk.state("no-keys-handed-over", "We never handed a key of anybody’s data to anyone.", 300, Some(300), true);
    desk.state("no-taps", "No equipment of any authority is connected to our gateways.", 299, Some(150), true);
    desk.state("no-keys-handed-over", "We never handed a key of anybody’s data to anyone.", 20, Some(360), true);
    desk.state("no-weakened-encryption", "We never weakened encryption, nor bypassed consent, for anyone.", 20, Some(360), true);
    desk.refuse(40, &[("TV-W01", 12), ("TV-G03", 3)]);
    desk.refuse(41, &[("TV-W01", 1)]);
    desk.finish();
    desk
}

const WORDS: &str = r#"
[operator]
name = "Example Hospital Trust"
about = "We run a Twinveil gateway between the bedside monitors and wearables of our patients and the services that render, study and maintain their digital twins."
contact = "transparency@hospital.example"

[process]
non_judicial = "Demands without an order of a court go through the same three stages. Without a legal basis that binds us they are refused."
court_orders = "An order is examined by counsel who had no part in the case; what binds us is complied with as narrowly as it is written."
foreign = "A demand under the law of another country is answered through legal assistance between states, or refused."
legal_basis = "§ 100a StPO and Art. 18 of the e-Evidence Regulation, where all three stages are met."
due_diligence = "We verify who demands, which law is invoked, what is at risk, and each right that is touched, before two persons sign."
push_back = "We challenge demands that ask for more than they need, and tell whom they are about."
forbidden = "Orders under § 101 StPO and directives under the National Security Act may not be disclosed while they are in force."

[[objective]]
name = "Nobody learns of a demand too late"
measure = "Share of persons who were told before anything was released."
outcome = "All, but for those of whom an order forbade it; each of these orders names an end."
reached = true

[[objective]]
name = "Decisions within ten days"
measure = "Median time from receipt to decision."
outcome = "Six days."
reached = true

[[objective]]
name = "An external audit of the desk"
measure = "A published report by auditors of the patients’ choice."
outcome = "The auditors were chosen; their report is due next year."
"#;
