//! A person whose wallet is a program in Python: enrolled, granting, withdrawing, with frames that flow and stop accordingly.

use std::process::Command;

use serde_json::{Value, json};
use twinveil::client::subscriber::Event;
use twinveil::proto::sample::PatientFrame;
use twinveil::veil::name::UnixMs;

use super::{ran, script, stubs};
use crate::harness::{Ask, Folder, ORIGIN, PATIENT, World};

const CARE: &str = "dpv:ServiceProvision";
const LAB: [u8; 32] = [81; 32];

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn frame(sequence: u64) -> PatientFrame {
    PatientFrame { patient_id: "p-7".into(), sequence, note: format!("note {sequence}"), ..PatientFrame::default() }
}

/// Signs in Python; the lines it printed.
fn signed(stubs: &Folder, what: &str, ask: &Value) -> Vec<Value> {
    let mut signer = script("a signer in Python", "sign_consent.py").expect("asked for before");
    signer.arg(what).env("PYTHONPATH", stubs.join("stubs"));
    let text = tokio::task::block_in_place(|| ran(signer, &ask.to_string()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signer_in_python_enrols_grants_and_withdraws() {
    let Some(stubs) = stubs("a signer in Python") else { return };
    let world = World::start().await;
    let submit = json!({ "gateway": format!("localhost:{}", world.gate.port()), "certs": world.folder.join("certs"), "party": "portal" });
    let common = |more: Value| {
        let mut ask = json!({ "seed": hex(&[82; 32]), "gateway": ORIGIN, "at": world.now().to_string(), "submit": submit });
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask
    };
    let source = world.key("hospital");
    let enrolled = json!({ "source": world.spiffe("hospital").to_string(), "value": "p-7", "source_seed": hex(source.expose()) });
    let [_, answer] = &signed(&stubs, "enrol", &common(enrolled))[..] else { panic!("no answer") };
    assert_eq!(answer["seq"], 0);

    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE).opening(LAB)).await;
    world.publish("hospital", PATIENT, &[frame(1)]).await;
    let given = json!({
        "recipient": world.spiffe("clinician").to_string(), "recipient_seed": hex(&LAB), "vault_seed": hex(&[83; 32]),
        "purpose": CARE, "expires": UnixMs(world.now().0 + 3_600_000).to_string(),
        "rules": [
            { "effect": "permit", "match": { "selector": "sequence" }, "treatment": "keep" },
            { "effect": "permit", "match": { "selector": "note" }, "treatment": "encrypt", "keys": "recipient" },
        ],
    });
    let [_, answer] = &signed(&stubs, "grant", &common(given))[..] else { panic!("no answer") };
    assert_eq!(answer["seq"], 1);
    world.publish("hospital", PATIENT, &[frame(2)]).await;
    let received = clinician.frame().await;
    assert_eq!((received.groups, received.opened), (1, 1), "sealed for the key in the consent");
    let expected = PatientFrame { sequence: 2, note: "note 2".into(), ..PatientFrame::default() };
    assert_eq!(<PatientFrame as prost::Message>::decode(&received.message[..]).unwrap(), expected, "what was granted, from then on");

    // The withdrawal is a file that the command line hands in.
    let mut ask = common(json!({ "record": answer["record"] }));
    ask.as_object_mut().unwrap().remove("submit");
    let [withdrawal] = &signed(&stubs, "withdraw", &ask)[..] else { panic!("one envelope") };
    let file = stubs.join("withdrawal.json");
    std::fs::write(&file, withdrawal.to_string()).unwrap();
    let mut cli = Command::new(env!("CARGO_BIN_EXE_twinveil"));
    cli.args(["wallet", "submit"]).arg(&file).arg("--dir").arg(&world.folder.0).args(["--gateway", &world.gate.to_string()]);
    let told = tokio::task::block_in_place(|| ran(cli, ""));
    assert!(told.contains("clinician"), "the stream that it ended is named: {told}");
    match clinician.next().await {
        Ok(Some(Event::View(view))) => assert!(!view.open),
        other => panic!("{other:?}"),
    }
    world.publish("hospital", PATIENT, &[frame(3)]).await;
    assert!(clinician.is_quiet(std::time::Duration::from_millis(50)).await);

    // The same document with one letter changed after it was signed.
    let mut tampered = withdrawal.clone();
    let payload = data_encoding::BASE64.decode(withdrawal["payload"].as_str().unwrap().as_bytes()).unwrap();
    let payload = String::from_utf8(payload).unwrap().replace(ORIGIN, "gateway.example.org/twinz");
    tampered["payload"] = data_encoding::BASE64.encode(payload.as_bytes()).into();
    std::fs::write(&file, tampered.to_string()).unwrap();
    let mut cli = Command::new(env!("CARGO_BIN_EXE_twinveil"));
    cli.args(["wallet", "submit"]).arg(&file).arg("--dir").arg(&world.folder.0).args(["--gateway", &world.gate.to_string()]);
    let refused = tokio::task::block_in_place(|| cli.output().unwrap());
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("TV-C04"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signer_in_python_delegates_and_agrees_on_signatures_and_ends_it() {
    let Some(stubs) = stubs("a signer in Python") else { return };
    let world = World::start().await;
    let submit = json!({ "gateway": format!("localhost:{}", world.gate.port()), "certs": world.folder.join("certs"), "party": "portal" });
    let (person, guardian) = (world.wallet_of([84; 32]), world.wallet_of([85; 32]));
    world.enrol("hospital", "p-7", &person).await;
    let expires = UnixMs(world.now().0 + 3_600_000).to_string();
    // By whom, and what more.
    let ask = |seed: [u8; 32], more: Value| {
        let mut ask = json!({
            "seed": hex(&seed), "gateway": ORIGIN, "at": world.now().to_string(), "submit": submit, "expires": expires,
            "vault_seed": hex(&[83; 32]),
        });
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask
    };
    let scope = json!({
        "recipients": [{ "spiffe": world.spiffe("clinician").to_string() }], "purposes": "any",
        "permits": [{ "match": { "category": "health" }, "treatment": "generalize" }, { "match": { "selector": "sequence" }, "treatment": "keep" }],
    });
    let delegation = json!({ "delegate_seed": hex(&[85; 32]), "rights": ["grant", "view", "withdraw"], "scope": scope });
    let [_, delegation] = &signed(&stubs, "delegate", &ask([84; 32], delegation))[..] else { panic!("no answer") };
    assert_eq!(delegation["seq"], 1);
    // Two must sign for health data: the person, and the guardian.
    let quorum = json!({ "match": { "category": "health" }, "need": 2, "of": [person.did().to_string(), guardian.did().to_string()] });
    let agreement = json!({ "seq": 2, "prev": delegation["record"], "rules": [quorum] });
    let [_, agreement] = &signed(&stubs, "agree", &ask([84; 32], agreement))[..] else { panic!("no answer") };
    assert_eq!(agreement["seq"], 2);

    let given = |seq: u64, prev: &Value, also: &[[u8; 32]]| {
        let rules = json!([
            { "effect": "permit", "match": { "selector": "sequence" }, "treatment": "keep" },
            { "effect": "permit", "match": { "category": "health" }, "treatment": "generalize" },
        ]);
        json!({
            "subject": person.did().to_string(), "role": "delegate", "authority": delegation["record"], "seq": seq, "prev": prev,
            "recipient": world.spiffe("clinician").to_string(), "recipient_seed": hex(&LAB), "purpose": CARE, "rules": rules,
            "also_signed_by": also.iter().map(|seed| hex(seed)).collect::<Vec<_>>(),
        })
    };
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let beats = |sequence: u64| PatientFrame {
        vitals: Some(twinveil::proto::sample::Vitals { heart_rate_bpm: Some(73.0), ..Default::default() }),
        ..frame(sequence)
    };
    // The guardian alone is refused, and both together are not.
    let grant = |seq: u64, prev: &Value, also: &[[u8; 32]]| {
        let [_, answer] = &signed(&stubs, "grant", &ask([85; 32], given(seq, prev, also)))[..] else { panic!("an answer") };
        answer.clone()
    };
    let alone = grant(3, &agreement["record"], &[]);
    assert!(alone["status"] == "PERMISSION_DENIED" && alone["details"].as_str().unwrap().starts_with("TV-C26: "), "{alone}");
    let both = grant(3, &agreement["record"], &[[84; 32]]);
    assert_eq!(both["seq"], 3, "{both}");
    world.publish("hospital", PATIENT, &[beats(1)]).await;
    let came: PatientFrame = clinician.message().await;
    assert_eq!((came.sequence, came.vitals.and_then(|vitals| vitals.heart_rate_bpm)), (1, Some(70.0)), "coarse, as the scope has it");
    // The guardian withdraws what the guardian granted, and grants again.
    let as_guardian =
        json!({ "subject": person.did().to_string(), "role": "delegate", "authority": delegation["record"], "record": both["record"] });
    let mut withdrawal = ask([85; 32], as_guardian);
    withdrawal.as_object_mut().unwrap().remove("submit");
    let [withdrawal] = &signed(&stubs, "withdraw", &withdrawal)[..] else { panic!("one envelope") };
    assert!(hand_in(&world, &stubs, withdrawal).contains("clinician"));
    let both = grant(4, &both["record"], &[[84; 32]]);
    assert_eq!(both["seq"], 4, "{both}");

    // More than the scope allows is refused, whoever signs.
    let mut wide = ask([85; 32], given(5, &both["record"], &[[84; 32]]));
    wide["rules"][1]["treatment"] = "keep".into();
    let [_, refused] = &signed(&stubs, "grant", &wide)[..] else { panic!("an answer") };
    assert_eq!(refused["status"], "PERMISSION_DENIED");
    assert!(refused["details"].as_str().is_some_and(|text| text.starts_with("TV-C24: ")), "{refused}");

    // The person ends it: the guardian's grant ends with it.
    let mut end = ask([84; 32], json!({ "record": delegation["record"] }));
    end.as_object_mut().unwrap().remove("submit");
    let [end] = &signed(&stubs, "end", &end)[..] else { panic!("one envelope") };
    assert!(hand_in(&world, &stubs, end).contains("clinician"));
    let standing = world.standing(&person).await;
    assert_eq!((standing.delegations[0].state.as_str(), standing.grants[1].state.as_str()), ("ended", "ended"));
}

/// Hands a signed file in by the command line.
fn handed(world: &World, folder: &Folder, envelope: &Value) -> std::process::Output {
    let file = folder.join("record.json");
    std::fs::write(&file, envelope.to_string()).unwrap();
    let mut cli = Command::new(env!("CARGO_BIN_EXE_twinveil"));
    cli.args(["wallet", "submit"]).arg(&file).arg("--dir").arg(&world.folder.0).args(["--gateway", &world.gate.to_string()]);
    tokio::task::block_in_place(|| cli.output().unwrap())
}

fn hand_in(world: &World, folder: &Folder, envelope: &Value) -> String {
    let done = handed(world, folder, envelope);
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}
