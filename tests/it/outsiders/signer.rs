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
