//! Where fuzzing begins: a small input for each shape, from our own encoders and documents.

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Value, json};
use twinveil::client::exported::Exported;
use twinveil::proto::sample::{Activity, Identity, PatientFrame, Position, TurbineFrame, Vitals, Waveform};
use twinveil::proto::{SAMPLES, v1};
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::consent::record::MEDIA_TYPE;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::merkle::checkpoint::{Checkpoint, Head};
use twinveil::veil::merkle::leaf::{Act, Leaf, Salt};
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::merkle::receipt::LogProof;
use twinveil::veil::merkle::tiles;
use twinveil::veil::merkle::tree::{Frontier, Hash};
use twinveil::veil::name::{RecordId, UnixMs};
use twinveil::veil::transform::group::push_header;
use twinveil::veil::wire::{push_len_prefixed as text, push_tag, push_varint};

use super::targets::shapes;

pub(super) fn of(target: &str) -> BTreeMap<String, Vec<u8>> {
    let seeds = match target {
        "wire" => wire(),
        "schema" => schema(),
        "consent" => consent(),
        "demand" => demand(),
        "policy" => policy(),
        "risk" => risk(),
        "apply" => apply(),
        "several" => several(),
        "open" => open(),
        "http2" => http2(),
        "log" => log(),
        other => panic!("no seeds for `{other}`"),
    };
    seeds.into_iter().map(|(name, seed)| (name.to_owned(), seed)).collect()
}

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn varint(out: &mut Vec<u8>, number: u32, value: u64) {
    push_tag(out, number, 0);
    push_varint(out, value);
}

fn eight(out: &mut Vec<u8>, number: u32, value: u64) {
    push_tag(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn four(out: &mut Vec<u8>, number: u32, value: u32) {
    push_tag(out, number, 5);
    out.extend_from_slice(&value.to_le_bytes());
}

fn inside(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn wire() -> Seeds {
    let flat = inside(|out| {
        varint(out, 1, 300);
        text(out, 2, b"bytes");
        text(out, 3, &[0x01, 0x96, 0x01]);
        four(out, 4, 7);
        eight(out, 5, 8);
        text(out, 6, &[0, 0, 128, 63, 0, 0, 0, 64]);
        varint(out, 2_000, u64::MAX);
        text(out, 3_000, b"far away");
    });
    let long = vec![0x88, 0x00, 0x85, 0x80, 0x00, 0x12, 0x82, 0x00, b'a', b'b', 0x1a, 0x04, 0x81, 0x00, 0x80, 0x00];
    let unknown = inside(|out| {
        text(out, 900, b"unknown");
        out.extend_from_slice(&[0x3b, 0x08, 0x05, 0x43, 0x44, 0x3c]);
        varint(out, 1, 1);
    });
    let deep = [vec![0x3b; 63], vec![0x3c; 63]].concat();
    vec![
        ("flat", flat),
        ("long", long),
        ("unknown", unknown),
        ("deep", deep),
        ("truncated", vec![0x12, 0x05, b'a']),
        ("no-tag", vec![0x00]),
    ]
}

/// A descriptor set of the samples without what only describes descriptors.
fn samples() -> Vec<u8> {
    let mut set = prost_types::FileDescriptorSet::decode(SAMPLES).expect("ours");
    set.file.retain(|file| file.package() == "twinveil.sample" && file.name().contains("turbine"));
    set.encode_to_vec()
}

fn schema() -> Seeds {
    let mode = |mode: u8, side: &str| [&[mode], side.as_bytes()].concat();
    let loaded = |root: &str, set: Vec<u8>| [&[3, root.len() as u8], root.as_bytes(), &set].concat();
    let both = |root: &str, side: &str, set: Vec<u8>| {
        [&[5, root.len() as u8], root.as_bytes(), &(side.len() as u16).to_le_bytes(), side.as_bytes(), &set].concat()
    };
    let patient = "[\"twinveil.sample.PatientFrame\"]\npatient_id = { sensitivity = \"identifying\", category = \"identity\", role = \"subject\" }\n\
                   'labels[\"bed\"]' = { sensitivity = \"personal\", category = \"location\", floor = \"encrypt\" }\n\
                   vitals = { sensitivity = \"special\", category = \"health\" }\n";
    let (_, every) = shapes::EVERY_SIDE.split_at(0);
    vec![
        ("side-every", mode(0, every)),
        ("side-old", mode(1, shapes::OLD_SIDE)),
        ("side-patient", mode(2, patient)),
        ("set-flat", loaded("t.Flat", shapes::set(shapes::FLAT))),
        ("set-old", loaded("t.Old", shapes::set(shapes::OLD))),
        ("set-every", loaded("t.Frame", shapes::set(shapes::EVERY))),
        ("set-turbine", loaded("twinveil.sample.TurbineFrame", samples())),
        ("both-flat", both("t.Flat", shapes::FLAT_SIDE, shapes::set(shapes::FLAT))),
        ("both-old", both("t.Old", shapes::OLD_SIDE, shapes::set(shapes::OLD))),
        ("selector-path", mode(6, "vitals.heart_rate_bpm")),
        ("selector-map", mode(6, r#"labels["a\"]\\.="].value"#)),
        ("selector-by", mode(6, "code.coding[code=8867-4].display")),
    ]
}

fn key() -> SignKey {
    SignKey::from_seed(&Secret::take(&mut [1; 32]))
}

fn demand() -> Seeds {
    let hash = |byte: &str| byte.repeat(32);
    let demand = json!({
        "received": "2026-01-31T08:00:00Z", "asks": "live-data", "content": true, "about": hash("cd"), "everybody": false,
        "source": {"kind": "court", "jurisdiction": "US-CA", "home": false, "authority": "Court", "document_sha256": hash("ab"),
                   "process": "order", "statute": "Code 1"},
        "fields": [{"schema": "twinveil.sample.PatientFrame", "path": "vitals"}], "emergency": false,
        "period": {"from": "2026-02-01T00:00:00Z", "until": "2026-02-08T00:00:00Z"},
        "gag": {"basis": "Code 2", "until": "2026-05-01T00:00:00Z"},
    });
    let mut redesign = demand.clone();
    for member in ["about", "fields", "period", "gag"] {
        redesign.as_object_mut().expect("an object").remove(member);
    }
    redesign["asks"] = json!("redesign-backdoor");
    let stage = |n: u8, member: &str, answer: Value| {
        let mut stage = json!({"demand": hash("ef"), "n": n, "met": true, "reasoning_sha256": hash("ab")});
        stage[member] = answer;
        stage
    };
    let mut first = stage(1, "no_challenge", json!({"primary_law": true, "jurisdiction": true}));
    first["determination"] = json!("outside-counsel");
    first["evidence"] = json!([hash("01")]);
    first["replaces"] = json!(hash("02"));
    let comply = json!({
        "demand": hash("ef"), "outcome": "comply-in-part", "stages": [hash("02")], "consent": hash("03"), "reasons": ["overbroad"],
        "fields": [{"schema": "twinveil.sample.PatientFrame", "path": "vitals"}], "recipient": "spiffe://agency.example/desk",
        "period": {"from": "2026-02-01T00:00:00Z", "until": "2026-02-03T00:00:00Z"}, "reasoning_sha256": hash("ab"),
        "notice": {"when": "deferred", "until": "2026-05-01T00:00:00Z", "basis": "Code 2"},
    });
    let unable = json!({"demand": hash("ef"), "outcome": "unable", "reasons": ["no_key"], "reasoning_sha256": hash("ab")});
    let challenge = json!({"demand": hash("ef"), "where": "Court", "filed": "2026-01-31T10:00:00Z", "result": "pending",
                           "reasoning_sha256": hash("ab"), "replaces": hash("04")});
    let notice = json!({"demand": hash("ef"), "how": "letter"});
    let release = json!({"demand": hash("ef"), "decision": hash("05"), "from": "2026-02-01T00:00:00Z", "until": "2026-02-01T01:00:00Z",
                         "frames": 3600, "fields": [{"schema": "twinveil.sample.PatientFrame", "path": "vitals"}]});
    let report = json!({"period": {"from": "2025-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "report_sha256": hash("ab"),
                        "log": {"size": 12, "root": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}});
    let mode = |mode: u8, document: &Value| [&[mode], document.to_string().as_bytes()].concat();
    // Three stages that are met, by the fourth and the second key.
    let met: [u8; 6] = [0, 0x0b, 0, 0x1b, 0, 0x29];
    let case = |kind: u8, more: &[u8]| [&[6, kind], &met[..], more].concat();
    vec![
        ("demand", mode(0, &demand)),
        ("redesign", mode(0, &redesign)),
        ("stage-1", mode(1, &first)),
        ("stage-2", mode(1, &stage(2, "risks", json!(["safety", "blocking"])))),
        ("stage-3", mode(1, &stage(3, "rights", json!([{"instrument": "ICCPR", "article": "17", "finding": "compatible"}])))),
        ("comply", mode(2, &comply)),
        ("unable", mode(2, &unable)),
        ("challenge", mode(3, &challenge)),
        ("notice", mode(4, &notice)),
        ("release", mode(5, &release)),
        ("statement", mode(8, &json!({"name": "no-taps", "text": "No taps.", "renew_by": "2026-06-01T00:00:00Z"}))),
        ("taken-back", mode(8, &json!({"name": "no-taps", "text": "Not any more."}))),
        ("report", mode(9, &report)),
        // Told, approved by the third and the fifth key, two hours later, challenged, dismissed, released.
        ("case-released", case(1, &[2, 0, 1, 0x4a, 5, 32, 3, 0, 3, 0x28, 4, 0x1d])),
        // Under a gag: deferred, four hours later, told by the gateway.
        ("case-gagged", case(134, &[67, 0x4a, 5, 32, 5, 32, 2, 5])),
        // One person's two keys; then refused; then time goes back.
        ("case-refused", case(1, &[1, 0x1a, 1, 0x42, 5, 200])),
        ("case-backdoor", case(3, &[1, 0x4a])),
    ]
}

fn consent() -> Seeds {
    let did = key().did().to_string();
    let grant = json!({
        "record_id": "00000000-0000-4000-8000-000000000001", "subject": did, "signer": {"key": did, "role": "subject"},
        "gateway": "log.hospital.example", "seq": 1, "status": "ConsentGiven", "method": "signed in the wallet",
        "at": "2026-01-31T09:00:00Z", "expires": "2026-03-02T09:00:00Z",
        "notice": {"uri": "https://hospital.example/notice", "sha256": "ab".repeat(32), "lang": "en"},
        "controllers": [{"id": "https://hospital.example", "name": "Hospital", "address": "1 Main Street",
                         "contact": "dpo@hospital.example", "type": "Hospital", "role": "DataController"}],
        "recipients": [{"spiffe": "spiffe://lab.example/reader"}], "purposes": ["dpv:AcademicResearch"],
        "storage": {"places": ["DE"], "retention": "P6M"}, "jurisdiction": ["DE"],
        "withdrawal": {"uri": "https://hospital.example/withdraw", "pre_signed": false},
        "rules": [{"effect": "permit", "match": {"category": "health", "selector": "vitals"}, "treatment": "encrypt", "keys": "recipient"}],
    });
    let mut refusal = grant.clone();
    refusal["status"] = json!("ConsentRefused");
    refusal["rules"] = json!([{"effect": "forbid", "match": {"sensitivity": "special"}}]);
    refusal["recipients"] = json!([]);
    refusal["purposes"] = json!([]);
    let withdrawal = json!({"status": "ConsentWithdrawn", "subject": did, "signer": {"key": did, "role": "subject"},
                            "gateway": "log.hospital.example", "at": "2026-01-31T09:00:00Z", "withdraws": ["ab".repeat(32)]});
    let mut up_to = withdrawal.clone();
    up_to.as_object_mut().expect("an object").remove("withdraws");
    up_to["withdraws_up_to"] = json!(7);
    let enrolment = json!({"gateway": "log.hospital.example", "source": "spiffe://hospital.example/monitor", "value": "patient-4711",
                           "did": did, "at": "2026-01-31T09:00:00Z"});
    let query = json!({"gateway": "log.hospital.example", "subject": did, "kind": "standing", "at": "2026-01-31T09:00:00Z"});
    let mut by_delegate = grant.clone();
    let other = SignKey::from_seed(&Secret::take(&mut [3; 32])).did().to_string();
    by_delegate["signer"] = json!({"key": other, "role": "delegate", "authority": "ab".repeat(32)});
    by_delegate["windows"] = json!([{"zone": "Europe/Vienna", "days": ["mon", "fri"], "from": "08:00", "to": "24:00"}]);
    let delegation = json!({
        "subject": did, "signer": {"key": did, "role": "subject"}, "delegate": other, "capacity": "guardian",
        "gateway": "log.hospital.example", "seq": 1, "at": "2026-01-31T09:00:00Z", "expires": "2026-03-02T09:00:00Z",
        "rights": ["view", "grant"], "depth": 1,
        "scope": {"recipients": [{"spiffe": "spiffe://lab.example/reader"}], "purposes": "any",
                  "permits": [{"match": {"category": "health"}, "treatment": "encrypt", "keys": "recipient"}]},
    });
    let end = json!({"subject": did, "signer": {"key": did, "role": "subject"}, "gateway": "log.hospital.example",
                     "at": "2026-01-31T09:00:00Z", "ends": ["ab".repeat(32)]});
    let agreement = json!({"subject": did, "signer": {"key": did, "role": "subject"}, "gateway": "log.hospital.example", "seq": 1,
                           "at": "2026-01-31T09:00:00Z", "rules": [{"match": {"category": "operator_conduct"}, "need": 1, "of": [did, other]}]});
    let mode = |mode: u8, document: &Value| [&[mode], document.to_string().as_bytes()].concat();
    let envelope = |document: &Value| Envelope::sign(MEDIA_TYPE, document.to_string().into_bytes(), &key()).to_json().into_bytes();
    let mut twice = Envelope::sign(MEDIA_TYPE, withdrawal.to_string().into_bytes(), &key());
    twice.countersign(&key());
    vec![
        ("envelope-grant", [vec![0], envelope(&grant)].concat()),
        ("envelope-withdrawal", [vec![0], twice.to_json().into_bytes()].concat()),
        ("grant", mode(2, &grant)),
        ("refusal", mode(2, &refusal)),
        ("withdrawal", mode(3, &withdrawal)),
        ("withdrawal-up-to", mode(3, &up_to)),
        ("enrolment", mode(4, &enrolment)),
        ("query", mode(5, &query)),
        ("by-delegate", mode(2, &by_delegate)),
        ("delegation", mode(8, &delegation)),
        ("delegation-end", mode(9, &end)),
        ("agreement", mode(10, &agreement)),
        // Delegated, granted under it, ended by the delegate, tried again.
        ("standing-delegated", vec![6, 128, 0, 9, 128, 2, 0, 128, 5, 0, 128, 2, 0]),
        // Given, given again in its place, an hour later withdrawn.
        ("standing-replaced", vec![6, 0, 0, 0x10, 0, 0, 0x21, 3, 1, 0, 2, 1, 9]),
        // Withdrawn before it was given; a forbid; numbers that do not follow; a day later.
        ("standing-ahead", vec![6, 2, 3, 5, 0, 8, 0x30, 0, 6, 0, 0, 7, 0, 0, 16, 0x1c, 3, 24, 0, 2, 2, 0]),
    ]
}

fn risk() -> Seeds {
    let rule = r#"[[rule]]
id = "a"
infers = "what"
severity = "low"
reason = "why"
sources = ["who"]
[[rule.needs]]
name = "n"
any = [{ words = ["near"], category = ["health"] }, { selector = ["far"] }]
enough = { time_bucket = "1h", step = 2.0, decimals = 0, buckets = 2, prefix_chars = 1, h3_resolution = 3 }
floor = "generalize"
[[rule.needs]]
name = "m"
any = [{ sensitivity = ["personal", "special", "identifying", "operational"] }, { role = ["subject"] }]
at = "pseudonymize"
"#;
    let document = concat!(
        r#"{"kind":"risk","version":1,"gateway":"g","jurisdiction":"EU","assumed":{"subjects":"everything","operator":"re"#,
        r#"cords"},"asked":{"schemas":[],"recipients":[],"purposes":[]},"purposes":["dpv:ServiceProvision"],"rules":{"a":"#,
        r#""x"},"views":[{"schema":"t.Flat","subject":null,"to":[{"recipient":"spiffe://h/a","name":"a","groups":["g"],"p"#,
        r#"urpose":"*","way":"subscribe","method":null}],"categories":[{"category":"health","fields":[["keep",1]]}],"fiel"#,
        r#"ds":[{"path":"p","category":"health","sensitivity":"special","treatment":"encrypt","how":null,"opens":"may"}]}"#,
        r#"],"findings":[{"rule":"a","severity":"low","infers":"i","reason":"r","sources":[],"views":[0],"pooled":false,""#,
        r#"joined_by":[],"with_keys":true,"through":[{"need":"n","fields":[[0,"p"]]}],"stops":[{"need":"n","fields":[{"vi"#,
        r#"ew":0,"path":"p","floor":"strip"}]}]}],"summary":{"views":1,"rules":1,"shown":{"critical":0,"high":0,"medium":"#,
        r#"0,"low":0},"with_keys":{"critical":0,"high":0,"medium":0,"low":1},"pooled":{"critical":0,"high":0,"medium":0,""#,
        r#"low":0},"bites":[{"rule":"a","severity":"low","pooled":false,"with_keys":true,"groups":["g"]}]}}"#,
    );
    vec![("document", [b"\x01", document.as_bytes()].concat()), ("nothing", Vec::new()), ("rule", [b"\0", rule.as_bytes()].concat())]
}

fn policy() -> Seeds {
    let care = r#"@id("care") permit (principal in Group::"care", action, resource) when { context.purpose == Purpose::"dpv:ServiceProvision" };
@id("coarse") permit (principal == Recipient::"spiffe://hospital.example/lab", action == Action::"generalize", resource in Category::"health")
    unless { resource has role && resource.role == "subject" };
forbid (principal, action in [Action::"keep", Action::"encrypt"], resource) when { resource.path like "far*" || context.jurisdiction != "EU" };"#;
    let sets = r#"permit (principal, action, resource) when { resource in [Category::"health", Sensitivity::"special"] && resource.kind == "float" };"#;
    let mode = |flags: u8, text: &str| [&[flags], text.as_bytes()].concat();
    vec![
        ("care", mode(0, care)),
        ("research", mode(3, care)),
        ("sets", mode(4, sets)),
        ("nothing", mode(0, "")),
        ("template", mode(0, "permit (principal == ?principal, action, resource);")),
        ("open", mode(2, "permit (principal, action, resource);")),
    ]
}

/// A frame with every field of [`shapes::EVERY`].
fn every() -> Vec<u8> {
    let inner = inside(|out| {
        text(out, 1, b"text");
        eight(out, 2, 12.5f64.to_bits());
        text(out, 3, &inside(|out| varint(out, 1, 5)));
        text(out, 4, &inside(|out| text(out, 20, "ž".as_bytes())));
        text(out, 5, &inside(|out| [(1, 45.77f64), (2, 14.36)].into_iter().for_each(|(number, at)| eight(out, number, at.to_bits()))));
    });
    inside(|out| {
        text(out, 1, b"p-2041");
        for number in 2..=7 {
            varint(out, number, 1_790_000_000_123);
        }
        four(out, 8, 77);
        eight(out, 9, 1_790_000_000_123_456_789);
        four(out, 10, u32::MAX - 5);
        eight(out, 11, u64::MAX - 5);
        eight(out, 12, 45.772_175f64.to_bits());
        four(out, 13, 36.65f32.to_bits());
        varint(out, 14, 1);
        text(out, 15, "Žižek".as_bytes());
        text(out, 16, &[0, 255]);
        text(out, 17, &inside(|out| [(1, 1_790_000_000), (2, 5)].into_iter().for_each(|(number, value)| varint(out, number, value))));
        text(out, 18, &inner);
        text(out, 19, &inner);
        text(out, 19, &inside(|out| varint(out, 9, 9)));
        text(out, 20, &[0x01, 0x96, 0x01, 0x80, 0x00]);
        text(out, 21, &1.25f64.to_le_bytes());
        text(out, 22, b"word");
        for key in ["one", "two", "three"] {
            text(
                out,
                23,
                &inside(|out| [(1, key), (2, "value")].into_iter().for_each(|(number, value)| text(out, number, value.as_bytes()))),
            );
        }
        text(out, 24, &inside(|out| [(1, "a"), (2, "b")].into_iter().for_each(|(number, value)| text(out, number, value.as_bytes()))));
        for key in ["hr", "pos", "other"] {
            text(
                out,
                25,
                &inside(|out| {
                    text(out, 1, b"extra");
                    text(out, 2, key.as_bytes());
                    text(out, 3, &inside(|out| varint(out, 1, 77)));
                }),
            );
        }
        for key in [1, 14] {
            text(
                out,
                26,
                &inside(|out| {
                    varint(out, 2, key);
                    text(out, 1, b"value");
                    text(out, 3, &inside(|out| text(out, 20, b"listed")));
                }),
            );
        }
        varint(out, 27, 0);
        varint(out, 28, 5_000);
        eight(out, 2_048, 1.5f64.to_bits());
        text(
            out,
            536_870_911,
            &inside(|out| {
                varint(out, 1, 7);
                text(out, 2, &inside(|out| varint(out, 1, 8)));
            }),
        );
    })
}

fn several() -> Seeds {
    let bed = |id: &[u8]| {
        inside(|out| {
            text(
                out,
                1,
                &inside(|out| {
                    text(out, 1, id);
                    text(out, 2, &inside(|out| text(out, 1, b"part")));
                }),
            );
            eight(out, 2, 61.5_f64.to_bits());
            text(out, 3, b"word");
            varint(out, 4, 17);
        })
    };
    let note = |id: &[u8]| {
        inside(|out| {
            text(out, 1, id);
            text(out, 2, b"note");
        })
    };
    let list = inside(|out| {
        text(out, 1, b"title");
        for id in [&b"a"[..], b"b", b"c", b"", b"a"] {
            text(out, 2, &bed(id));
        }
        text(
            out,
            3,
            &inside(|out| {
                text(out, 1, b"room");
                text(out, 2, &bed(b"b"));
                text(out, 2, &bed(b"a"));
            }),
        );
        text(out, 4, &note(b"b"));
        text(out, 4, &note(b"a"));
        text(out, 5, b"memo");
    });
    let odd = inside(|out| {
        text(out, 2, &[bed(b"a"), bed(b"b")].concat());
        text(out, 2, &[&bed(b"a")[..], &[0x0a, 0x7f]].concat());
        text(out, 2, b"");
        varint(out, 2, 1);
    });
    let case = |flags: u8, treatments: &[u8], list: &[u8]| [&[flags, treatments.len() as u8], treatments, list].concat();
    vec![
        ("all", case(9, &[], &list)),
        ("a-hidden", case(2, &[], &list)),
        ("b-hidden", case(5, &[0, 1, 2, 4], &list)),
        ("both-hidden", case(6, &[], &list)),
        ("sealed", case(9, &[3, 0, 3, 1], &list)),
        ("sealed-silent", case(6, &[3], &list)),
        ("odd", case(1, &[0, 2], &odd)),
        ("odd-hidden", case(10, &[0], &odd)),
    ]
}

fn apply() -> Seeds {
    let patient = PatientFrame {
        patient_id: "p-2041".into(),
        device_id: "monitor-77".into(),
        sequence: 70_001,
        captured_at_ms: 1_790_000_000_000,
        modality: 1,
        identity: Some(Identity {
            given_name: "Milo".into(),
            family_name: "Feil".into(),
            birth_date: "1971-02-03".into(),
            ..Identity::default()
        }),
        position: Some(Position { latitude: 45.772_175, longitude: 14.357_659, altitude_m: 540.0, speed_m_s: 1.2 }),
        vitals: Some(Vitals { heart_rate_bpm: Some(72.0), spo2_pct: Some(97.0), rr_ms: vec![801, 799], ..Vitals::default() }),
        waveforms: vec![Waveform { channel: "ecg_ii_mv".into(), rate_hz: 250.0, samples: vec![0.12, -0.3] }],
        note: "slept well".into(),
        labels: [("ward".to_owned(), "3B".to_owned())].into(),
        activity: Some(Activity { steps: Some(1_234), ..Activity::default() }),
    };
    let turbine = TurbineFrame { asset_id: "wt-7".into(), sequence: 4, captured_at_ms: 1_790_000_000_000, ..TurbineFrame::default() };
    let old = inside(|out| {
        text(out, 1, b"id");
        varint(out, 2, 12);
        text(out, 3, &[1, 2]);
        varint(out, 3, 3);
        text(out, 4, &inside(|out| varint(out, 1, 1)));
        text(out, 5, &inside(|out| text(out, 2, b"no code")));
        out.extend_from_slice(&[0x33, 0x0a, 0x01, b'x', 0x34]);
    });
    let case = |schema: u8, flags: u8, floors: &[u8], frame: &[u8]| [&[schema, flags, floors.len() as u8], floors, frame].concat();
    let (every, patient) = (every(), patient.encode_to_vec());
    let broken = [&every[..every.len() - 3], &[0xfa, 0x7c, 0x7f]].concat();
    vec![
        ("every-keep", case(0, 0, &[], &every)),
        ("every-strip", case(0, 0, &[4], &every)),
        ("every-generalize", case(0, 0, &[1], &every)),
        ("every-pseudonymize", case(0, 0, &[2], &every)),
        ("every-encrypt", case(0, 128, &[3], &every)),
        ("every-mixed", case(0, 129, &[0, 1, 2, 3, 4, 0, 3], &every)),
        ("every-other", case(0, 128, &[3, 0, 4], &every)),
        ("every-broken", case(0, 0, &[0, 3], &broken)),
        ("patient-mixed", case(1, 129, &[0, 1, 3, 0, 2], &patient)),
        ("patient-unasked", case(1, 4, &[], &patient)),
        ("turbine", case(2, 130, &[0, 1], &turbine.encode_to_vec())),
        ("old", case(3, 128, &[0, 0, 3, 1], &old)),
        ("old-strip", case(3, 0, &[0, 4], &old)),
        ("flat", case(4, 0, &[0, 4], &wire().swap_remove(0).1)),
    ]
}

fn log() -> Seeds {
    let key = key();
    let verifier = VerifierKey::new("log.example/twins", key.did()).expect("a name");
    let leaves: Vec<_> = (0..3).map(|n| Leaf::new(Act::Policy, UnixMs(0), &Salt::OPEN, &RecordId([n; 32]))).collect();
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| assert!(tree.append(Hash::leaf(leaf.bytes()))));
    let head = Head { size: 3, root: tree.root() };
    let note = Checkpoint::sign(&head, &verifier, &key).expect("a text");
    let proof = LogProof { extra: Some(leaves[2].bytes().to_vec()), index: 2, path: vec![tree.peaks()[0]], checkpoint: note.clone() };
    let mode = |mode: u8, rest: &[u8]| [&[mode], rest].concat();
    let tile = |path: &str, rest: &[u8]| [&[4, path.len() as u8], path.as_bytes(), rest].concat();
    let numbers: Vec<u8> = [2u64, 3, 1].into_iter().flat_map(u64::to_be_bytes).collect();
    let gaps = vec![(UnixMs(0), UnixMs(7_000))];
    let taken = Exported { subject: key.did(), made: UnixMs(9_000), whole: true, gaps, lines: Vec::new() };
    let line = serde_json::json!({"record": "AAAA", "place": "AAAA", "salt": "AAAA", "proof": proof.to_string()}).to_string();
    let body = note.to_string();
    let body = body.split_once("\n\n").expect("a checkpoint").0;
    vec![
        ("note", mode(0, note.to_string().as_bytes())),
        ("checkpoint", mode(1, format!("{body}\n").as_bytes())),
        ("proof", mode(2, proof.to_string().as_bytes())),
        ("key", mode(3, verifier.to_string().as_bytes())),
        ("tile", tile("tile/0/x001/x234/067.p/3", &[&[2][..], &tiles::write_hashes(&[head.root; 3])].concat())),
        (
            "entries",
            tile(
                "tile/entries/000",
                &[&[2][..], &tiles::write_entries(leaves.iter().map(|leaf| &leaf.bytes()[..])).expect("short")].concat(),
            ),
        ),
        ("leaf", tile("", &[&[0][..], leaves[0].bytes()].concat())),
        ("signed", mode(5, b"\x05\x00\x01one\n\ntwo\n")),
        ("arithmetic", [&[6][..], &numbers, &[7; 96]].concat()),
        ("tree", mode(7, &[1; 300])),
        ("history", mode(8, (taken.to_text(&verifier) + &line).as_bytes())),
    ]
}

fn open() -> Seeds {
    let group = inside(|out| {
        push_header(out, 0x1_02, 7);
        out.extend_from_slice(&[9; 48]);
    });
    let frame = inside(|out| {
        text(out, 9, b"");
        text(out, 9, &[8, 1]);
        text(out, 18_000, &group);
        text(out, 18_001, b"announced");
    });
    let clear = b"\x4a\x00\x4a\x02\x08\x01";
    let fragments = [1, 2, 0x08, 0x05, 2, 9, 1, 2, 0x10, 0x06, 3, 9, 0, 4, 0, 1, 0x08, 0, 0, 0];
    let plain = |mode: &[u8]| [mode, &(fragments.len() as u16).to_le_bytes(), &fragments, clear].concat();
    let piece = |kind| {
        let message = v1::SubscribeResponse { kind: Some(kind) }.encode_to_vec();
        [&(message.len() as u16).to_le_bytes()[..], &message].concat()
    };
    use v1::subscribe_response::Kind;
    let batch = |message: Vec<u8>| {
        let frame = v1::Frame { view: 1, message: message.into() };
        piece(Kind::Batch(v1::Batch { first_handover: 1, frames: vec![frame] }))
    };
    vec![
        ("frame", [&[0], &frame[..]].concat()),
        ("header", [&[0], &group[..]].concat()),
        ("fragments", plain(&[1])),
        ("bent-group", plain(&[2, 0, 1])),
        ("bent-frame", plain(&[2, 1, 1])),
        ("stream", [vec![3, 3], batch(vec![8, 1]), piece(Kind::Gap(v1::Gap::default())), piece(Kind::End(v1::End::default()))].concat()),
        ("stream-group", [vec![3, 3], batch(frame)].concat()),
        ("stream-unopened", [vec![3, 0], piece(Kind::View(v1::View::default()))].concat()),
    ]
}

fn http2() -> Seeds {
    let piece = |bytes: &[u8]| [&[bytes.len() as u8][..], bytes].concat();
    let frame =
        |kind: u8, flags: u8, stream: u8, payload: &[u8]| [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat();
    // `POST /`, `http`; trailers of nothing.
    let asks = [frame(1, 4, 1, &[0x83, 0x86, 0x84]), frame(0, 0, 1, b"some bytes"), frame(1, 5, 1, &[])].concat();
    let answers = [frame(1, 4, 1, &[0x88]), frame(0, 1, 1, b"some bytes"), frame(3, 0, 3, &[0, 0, 0, 7]), frame(7, 0, 0, &[0; 8])].concat();
    let control =
        [frame(4, 0, 0, &[0, 4, 0, 0, 1, 0]), frame(6, 0, 0, &[1; 8]), frame(8, 0, 0, &[0, 0, 1, 0]), frame(2, 0, 1, &[0; 5])].concat();
    let steps: Vec<u8> = [[50, 0], [50, 0], [9, 6], [9, 7], [9, 6]].concat();
    let talks: Vec<u8> = (0..6).flat_map(|at| [at, 1, 90, 9, 6, 9, 7, 9, 6, at, 3]).collect();
    vec![
        ("a_request", [&[0, 0][..], &piece(&asks), &[200]].concat()),
        ("control_frames", [&[0, 0][..], &piece(&control), &[200], &piece(&asks), &[200]].concat()),
        ("an_answer", [&[1][..], &piece(&answers)].concat()),
        ("calls", [&[2][..], &steps, &talks, &[0, 2, 250, 5, 251, 4]].concat()),
    ]
}
