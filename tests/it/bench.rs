//! Does `twinveil bench` measure what it says, with the sample schema and with one of somebody else's, and does the rule that it prints
//! follow from its own figures?

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Folder, made_folder, ward};
use crate::proxy::folder;

const CARE: &str = "dpv:ServiceProvision";

/// Runs it on a folder's configuration. Nothing of its own is left where temporary files are.
fn bench(configured: &Folder, words: &[&str]) -> Output {
    let temporary = Folder::new();
    let output = command(configured, &temporary, words).output().unwrap();
    let left: Vec<_> = std::fs::read_dir(&temporary.0).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    output
}

fn command(configured: &Folder, temporary: &Folder, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinveil"));
    command.args(["bench", "--seconds", "1", "--output", "json", "--config"]).arg(configured.join("twinveil.toml")).args(words);
    command.env("TMPDIR", &temporary.0).env_remove("TWINVEIL_LOG").stdin(Stdio::null());
    command
}

/// What it found. What the gateway's allocator gives back meanwhile is missing in the figures of memory, which then may be nothing: who
/// sees that measures again.
fn found(configured: &Folder, words: &[&str]) -> Value {
    let mut tries = 0;
    loop {
        let output = bench(configured, words);
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        tries += 1;
        if tries == 10 || has_memory(&found) {
            return found;
        }
    }
}

fn has_memory(found: &Value) -> bool {
    let ways = found["ways"].as_array().unwrap();
    let streams = ways.iter().filter(|way| !way["stream_bytes"].is_null()).all(|way| number(way, "stream_bytes") > 100.0);
    streams && number(found, "connection_bytes") > 1e3
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("`{key}` of {value}"))
}

/// What holds for every way that was measured, and for the loads that are said to need so many cores.
fn check(found: &Value) {
    for way in found["ways"].as_array().unwrap() {
        for size in way["sizes"].as_array().unwrap() {
            assert!(number(size, "frames") > 0.0 && number(size, "cpu_us_per_frame") > 0.0 && number(size, "apply_us") > 0.0, "{size}");
            let shares = number(size, "share_apply") + number(size, "share_seal") + number(size, "share_transport");
            assert!((shares - 1.0).abs() < 1e-3, "{size}");
            let seconds = number(size, "frames") / number(size, "frames_per_s");
            assert!((seconds - number(size, "seconds")).abs() < 1e-2, "{size}");
        }
        let view = &way["view"];
        assert!(["policy_us", "decide_us", "compile_us", "keys_us"].iter().all(|key| number(view, key) > 0.0), "{view}");
    }
    assert!(number(found, "idle_bytes") > 1e6 && number(found, "connection_bytes") > 1e3, "{found}");
    let cores = found["cores"].as_array().unwrap();
    assert!(!cores.is_empty());
    for row in cores {
        let way = found["ways"].as_array().unwrap().iter().find(|way| way["way"] == row["way"]).unwrap();
        let frame_us = number(way, "fixed_us") + number(way, "per_byte_us") * number(row, "frame_bytes");
        let expected = number(row, "frames_per_s") * frame_us / 1e6 * number(found, "headroom");
        assert!((number(row, "cores") - expected).abs() <= expected * 1e-3 + 1e-5, "{row}: {expected}");
    }
}

#[test]
fn the_sample_is_measured_and_the_rule_follows_from_the_figures() {
    let sample = made_folder();
    let to = ["--schema", "twinveil.sample.PatientFrame", "--to", "researcher", "--purpose", "dpv:ScientificResearch"];
    let found = found(&sample, &[&to[..], &["--bytes", "2000", "--rate", "777", "--headroom", "3", "--recipients", "2"]].concat());
    check(&found);
    let [way] = &found["ways"].as_array().unwrap()[..] else { panic!("{found}") };
    assert_eq!((&way["way"], &way["method"], &way["recipients"]), (&"native".into(), &Value::Null, &2.into()));
    assert!(way["fields"]["generalize"].as_u64() > Some(10) && way["fields"]["strip"].as_u64() > Some(1), "{way}");
    assert!(number(way, "stream_bytes") > 100.0, "{way}");
    let sizes: Vec<_> = way["sizes"].as_array().unwrap().iter().map(|size| number(size, "frame_bytes")).collect();
    assert!(sizes.len() == 3 && sizes[2] <= 2_000.0 && sizes[2] > 1_900.0, "{sizes:?}");
    assert_eq!((found["headroom"].as_f64(), found["subjects"].as_u64()), (Some(3.0), Some(8)));
    assert!(found["cores"].as_array().unwrap().iter().any(|row| number(row, "frames_per_s") == 777.0));
    assert!(found["consent"].as_str().unwrap().contains("permit everything that the policy does"));
}

#[test]
fn a_foreign_schema_is_measured_published_and_in_calls_and_permits_count() {
    let foreign = folder("127.0.0.1:1", "");
    let file = foreign.join("twinveil.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let schema = "[[schema]]\nmessage = \"ward.v1.Chart\"\ndescriptor = \"ward.binpb\"\nside_file = \"ward.fields.toml\"\n";
    std::fs::write(&file, format!("{text}\n{schema}")).unwrap();
    let words = ["--schema", "ward.v1.Chart", "--to", "clinician", "--purpose", CARE, "--permit", "identity=keep", "--permit", "note=keep"];
    let found = found(&foreign, &words);
    check(&found);
    let ways: Vec<_> = found["ways"].as_array().unwrap().iter().map(|way| (way["way"].as_str().unwrap(), &way["method"])).collect();
    assert_eq!(ways, [("native", &Value::Null), ("proxied", &"ward.v1.Ward/Watch".into())]);
    // Two of six, and whom it is about: what was not permitted is stripped.
    for way in found["ways"].as_array().unwrap() {
        assert_eq!((&way["fields"]["keep"], &way["fields"]["strip"]), (&3.into(), &3.into()), "{way}");
        assert!(number(way, "stream_bytes") > 100.0, "{way}");
    }
    assert!(found["consent"].as_str().unwrap().contains("what the command line says"));
}

#[test]
fn what_is_asked_and_lists_about_several_are_measured_in_calls() {
    let foreign = folder("127.0.0.1:1", "");
    let file = foreign.join("twinveil.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("methods = \"ward.v1.Ward\"", "methods = \"ward.v1.Rounds\"");
    std::fs::write(&file, &text).unwrap();
    let found_answers = found(&foreign, &["--method", "ward.v1.Rounds/Follow", "--to", "clinician", "--purpose", CARE]);
    check(&found_answers);
    assert_eq!((&found_answers["schema"], &found_answers["ways"][0]["way"]), (&"ward.v1.Round".into(), &"proxied".into()));
    // What a unary call asks goes to the party behind the upstream.
    let asked = found(&foreign, &["--schema", "ward.v1.Ask", "--method", "ward.v1.Rounds/List", "--to", "hospital", "--purpose", CARE]);
    check(&asked);
    assert_eq!((&asked["schema"], &asked["ways"][0]["stream_bytes"]), (&"ward.v1.Ask".into(), &Value::Null));
}

#[test]
fn a_recording_is_measured_as_it_is_with_the_consents_that_are_named() {
    let sample = made_folder();
    let frame = |name: &str, note: usize| {
        format!("{{\"patientId\":\"{name}\",\"sequence\":\"7\",\"vitals\":{{\"heartRateBpm\":71}},\"note\":\"{}\"}}\n", "x".repeat(note))
    };
    let lines: String = (0..30).map(|at| frame(["p-1", "p-2"][at % 2], at * 20)).collect();
    std::fs::write(sample.join("ward.ndjson"), lines).unwrap();
    let wallet = sample.join("patient.json");
    let twinveil = |words: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_twinveil")).args(words.split_whitespace()).current_dir(&sample.0).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    twinveil("wallet new patient.json");
    twinveil(
        "wallet grant --dir . --wallet patient.json --to spiffe://example.org/recipient/clinician --purpose dpv:ServiceProvision \
         --days 30 --permit health=keep --permit patient_id=keep --offline --head 0 --out consent.json",
    );
    let (consent, recording) = (sample.join("consent.json"), sample.join("ward.ndjson"));
    let [consent, recording] = [&consent, &recording].map(|path: &std::path::PathBuf| path.to_str().unwrap());
    let words = ["--schema", "twinveil.sample.PatientFrame", "--to", "clinician", "--purpose", CARE, "--consent", consent, recording];
    let found = found(&sample, &words);
    check(&found);
    assert!(wallet.exists());
    let sizes: Vec<_> = found["ways"][0]["sizes"].as_array().unwrap().iter().map(|size| number(size, "frame_bytes")).collect();
    assert!(sizes.len() == 3 && sizes[0] < 150.0 && sizes[2] > 400.0, "thirds by length: {sizes:?}");
    assert_eq!((found["subjects"].as_u64(), found["ways"][0]["sizes"].as_array().unwrap().len()), (Some(2), 3));
    assert!(
        found["consent"].as_str().unwrap().starts_with("2 rules of the consents")
            && found["frames"].as_str().unwrap().contains("ward.ndjson")
    );
}

#[test]
fn an_interrupt_ends_the_gateway_and_takes_the_folder_away() {
    let (sample, temporary) = (made_folder(), Folder::new());
    let to =
        ["--schema", "twinveil.sample.TurbineFrame", "--to", "vendor", "--purpose", "dpv:TechnicalServiceProvision", "--seconds", "60"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinveil"));
    command.arg("bench").arg("--config").arg(sample.join("twinveil.toml")).args(to).env("TMPDIR", &temporary.0);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = || {
        let folder = std::fs::read_dir(&temporary.0).unwrap().next()?.unwrap().path();
        folder.join("serve.log").exists().then_some(())
    };
    while log().is_none() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{output:?}");
    assert_eq!(std::fs::read_dir(&temporary.0).unwrap().count(), 0);
    // With a slash behind it: other tests' folders have longer numbers that begin like this one's.
    let inside = format!("{}/", temporary.0.display());
    let with_its_name = |entry: std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&inside)
    };
    assert!(!std::fs::read_dir("/proc").unwrap().flatten().any(with_its_name), "its gateway is gone");
}

#[test]
fn what_cannot_be_measured_is_said_and_how_to_mend_it() {
    let sample = made_folder();
    let patient = ["--schema", "twinveil.sample.PatientFrame"];
    let care = ["--purpose", CARE];
    for (words, code, says) in [
        (vec!["--schema", "twinveil.sample.PatientFram", "--to", "clinician"], 3, "did you mean `twinveil.sample.PatientFrame`?"),
        (vec![patient[0], patient[1], "--to", "clinican"], 3, "no party `clinican`; did you mean `clinician`?"),
        (vec!["--to", "clinician"], 3, "say what is measured: `--schema MESSAGE`, or `--method SERVICE/METHOD`"),
        (vec!["--method", "ward.v1.Ward/Look", "--to", "clinician"], 3, "no route has the method `ward.v1.Ward/Look`"),
        (vec![patient[0], patient[1], "--to", "portal"], 3, "`portal` may neither subscribe nor call"),
        (vec![patient[0], patient[1], "--to", "vendor"], 2, "nothing of `twinveil.sample.PatientFrame` flows to `vendor`"),
        (vec![patient[0], patient[1], "--to", "clinician", "--forbid", "identity"], 2, "flows to `clinician`"),
        (vec![patient[0], patient[1], "--to", "clinician", "--bytes", "4000000"], 3, "`limits.frame_bytes_max`"),
        (vec![patient[0], patient[1], "--to", "clinician", "none.ndjson"], 3, "`none.ndjson` can't be read"),
    ] {
        let output = bench(&sample, &[&words[..], &care].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.contains(says)), (Some(code), true), "{words:?}: {said}");
    }
    // A side file that does not fit any more is the operator's to mend.
    let foreign = folder("127.0.0.1:1", "");
    std::fs::write(foreign.join("ward.fields.toml"), ward::SIDE.replace("heart_rate", "heart_rat")).unwrap();
    let output = bench(&foreign, &["--method", "ward.v1.Ward/Look", "--to", "clinician", "--purpose", CARE]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && said.contains("did you mean `heart_rate`"), "{said}");
    assert!(Path::new(&foreign.0).exists());
}
