//! Does `twinveil leak-test` hold with what monitors and turbines really recorded, and with consents that wallets signed?

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::Folder;

fn twinveil(folder: &Folder, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinveil")).args(words).current_dir(&folder.0).output().unwrap()
}

fn folder() -> Folder {
    let folder = Folder::new();
    assert!(twinveil(&folder, &["init", "demo"]).status.success());
    folder
}

/// What it tried, when it found nothing.
fn tried(folder: &Folder, words: &[&str]) -> Value {
    let words = [&["leak-test", "--config", "demo/twinveil.toml", "--output", "json"], words].concat();
    let output = twinveil(folder, &words);
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn nothing_hidden_is_learned_from_recorded_frames() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = folder();
    let recordings = [
        ("patients/mitdb-100/ecg_360hz.csv", "twinveil.sample.PatientFrame"),
        ("patients", "twinveil.sample.PatientFrame"),
        ("assets", "twinveil.sample.TurbineFrame"),
    ];
    for (name, schema) in recordings {
        let recording = data.join(name);
        if !recording.exists() {
            eprintln!("SKIPPED: no recording `{}`", recording.display());
            continue;
        }
        let found = tried(&folder, &["--schema", schema, "--frames", "12", "--tries", "10", &recording.display().to_string()]);
        assert_eq!((&found["frames"], &found["leaks"]), (&12.into(), &false.into()), "{found}");
        assert!(found["variations"].as_u64() > Some(400), "{found}");
    }
}

#[test]
fn a_signed_consent_makes_views_of_its_own() {
    let folder = folder();
    assert!(twinveil(&folder, &["wallet", "new", "patient.json"]).status.success());
    let grant = "wallet grant --dir demo --wallet patient.json --to spiffe://example.org/recipient/clinician --purpose dpv:ServiceProvision \
                 --days 30 --permit health=generalize --permit note=encrypt --offline --head 0 --out consent.json";
    let granted = twinveil(&folder, &grant.split_whitespace().collect::<Vec<_>>());
    assert!(granted.status.success(), "{}", String::from_utf8_lossy(&granted.stderr));
    let words = ["--schema", "twinveil.sample.PatientFrame", "--to", "clinician", "--random", "0", "--frames", "10"];
    let for_it = [&words[..], &["--purpose", "dpv:ServiceProvision"]].concat();
    let (without, with) = (tried(&folder, &for_it), tried(&folder, &[&for_it[..], &["--consent", "consent.json"]].concat()));
    assert_eq!(with["views"].as_u64(), without["views"].as_u64().map(|views| views + 1), "{with}");
    // The payload alone is taken, too; a signature that does not fit is not.
    let envelope: Value = serde_json::from_slice(&fs::read(folder.join("consent.json")).unwrap()).unwrap();
    let payload = data_encoding::BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
    fs::write(folder.join("payload.json"), &payload).unwrap();
    assert_eq!(tried(&folder, &[&for_it[..], &["--consent", "payload.json"]].concat())["views"], with["views"]);
    let mut bent = envelope;
    let other: Vec<u8> = String::from_utf8(payload).unwrap().replace("generalize", "keep").into_bytes();
    bent["payload"] = data_encoding::BASE64.encode(&other).into();
    fs::write(folder.join("bent.json"), bent.to_string()).unwrap();
    let words = [&["leak-test", "--config", "demo/twinveil.toml", "--consent", "bent.json"], &words[..]].concat();
    assert_eq!(twinveil(&folder, &words).status.code(), Some(3));
}
