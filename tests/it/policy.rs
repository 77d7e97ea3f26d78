//! Does a rehearsal of a policy say what gateways would do with what monitors and turbines really recorded? What recipients would
//! see is worked out by hand from every frame.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;
use serde_json::{Value, json};
use twinveil::cli::input::Replay;
use twinveil::proto::sample::{PatientFrame, TurbineFrame};

use crate::harness::recompute;
use crate::harness::{Folder, PATIENT, TURBINE};

fn twinveil(folder: &Folder, words: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = Command::new(env!("CARGO_BIN_EXE_twinveil")).args(words).current_dir(&folder.0).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// A fresh folder with `demo` in it, and a policy `old.cedar` that lacks one of the sample's.
fn folder(without: &str) -> Folder {
    let folder = Folder::new();
    twinveil(&folder, &["init", "demo"]);
    let policy = fs::read_to_string(folder.join("demo/policy.cedar")).unwrap();
    let (before, from) = policy.split_once(&format!("@id(\"{without}\")")).unwrap();
    let (_, after) = from.split_once("};").unwrap();
    fs::write(folder.join("old.cedar"), format!("{before}{after}")).unwrap();
    folder
}

/// The frames of a recording, where there is one on this machine.
fn frames(name: &str, message: &str) -> Option<(PathBuf, Vec<Vec<u8>>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: no recordings in `{}`", path.display());
        return None;
    }
    let recordings = Replay::open(&path).expect("mappings cover it").0;
    let recordings = recordings.into_iter().filter(|recording| recording.message() == message);
    let frames = recordings.flat_map(|recording| recording.frames().unwrap().map(|frame| frame.unwrap().bytes).collect::<Vec<_>>());
    Some((path, frames.collect()))
}

/// What a field would be: in how many frames, and the first.
fn expected<M: Message + Default>(frames: &[Vec<u8>], field: impl Fn(M) -> Option<Value>) -> (usize, Option<Value>) {
    let mut values = frames.iter().filter_map(|frame| field(M::decode(&frame[..]).unwrap()));
    let first = values.next();
    (values.count() + usize::from(first.is_some()), first)
}

/// What the rehearsal says of a field that becomes visible.
fn said(lines: &[Value], path: &str) -> (usize, Option<Value>) {
    let line = lines.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("nothing about `{path}`"));
    assert_eq!((&line["tells"], &line["before"]["example"]), (&"more".into(), &Value::Null), "{line}");
    (line["frames"].as_u64().unwrap() as usize, line["after"]["example"].get("value").cloned())
}

fn diff(folder: &Folder, schema: &str, to: [&str; 2], recording: &Path) -> Vec<Value> {
    let words = ["policy", "diff", "old.cedar", "demo/policy.cedar", "--config", "demo/twinveil.toml", "--schema", schema];
    let recording = recording.display().to_string();
    let words = [&words[..], &["--to", to[0], "--purpose", to[1], "--frames", &recording, "--output", "json"]].concat();
    let (code, lines) = twinveil(folder, &words);
    assert_eq!(code, Some(1), "{lines:?}");
    lines
}

/// JSON has numbers of 64 bits.
fn float(value: f32) -> Value {
    json!(f64::from(value))
}

/// The same, as far as JSON's digits go.
fn same(said: (usize, Option<Value>), expected: (usize, Option<Value>)) -> bool {
    let numbers = said.1.as_ref().and_then(Value::as_f64).zip(expected.1.as_ref().and_then(Value::as_f64));
    said.0 == expected.0 && numbers.map_or(said.1 == expected.1, |(said, expected)| (said - expected).abs() <= expected.abs() * 1e-12)
}

#[test]
fn an_avatar_would_get_what_monitors_and_tracks_recorded_in_coarse() {
    let folder = folder("rendering-avatar");
    for (name, fields) in [("patients/mimic2-s00001", &["heart", "spo2"][..]), ("tracks", &["latitude", "longitude", "speed"])] {
        let Some((recording, frames)) = frames(name, PATIENT) else { continue };
        let lines = diff(&folder, PATIENT, ["renderer", "dpv:ServicePersonalisation"], &recording);
        assert_eq!((lines[0]["frames"].as_u64(), &lines[0]["different"]), (Some(frames.len() as u64), &true.into()));
        for field in fields {
            let of = |frame: PatientFrame| {
                let seen = recompute::renderer(&frame);
                let place =
                    |of: fn(&twinveil::proto::sample::Position) -> f64| seen.position.as_ref().map(of).filter(|value| *value != 0.0);
                match *field {
                    "heart" => seen.vitals?.heart_rate_bpm.map(float),
                    "spo2" => seen.vitals?.spo2_pct.map(float),
                    "latitude" => place(|position| position.latitude).map(|value| json!(value)),
                    "longitude" => place(|position| position.longitude).map(|value| json!(value)),
                    _ => seen.position.map(|position| position.speed_m_s).filter(|speed| *speed != 0.0).map(float),
                }
            };
            let path = match *field {
                "heart" => "vitals.heart_rate_bpm",
                "spo2" => "vitals.spo2_pct",
                "latitude" => "position.latitude",
                "longitude" => "position.longitude",
                _ => "position.speed_m_s",
            };
            let (count, first) = expected(&frames, of);
            assert!(
                same(said(&lines, path), (count, first.clone())),
                "{name}: {path}: {:?}, not {count} and {first:?}",
                said(&lines, path)
            );
        }
        assert!(lines.iter().skip(1).any(|line| line["frames"].as_u64() > Some(100)), "{name}");
    }
}

#[test]
fn a_vendor_would_get_the_condition_of_recorded_turbines_and_what_is_sealed_stays_sealed() {
    let Some((recording, frames)) = frames("assets", TURBINE) else { return };
    let folder = folder("maintenance-condition");
    let lines = diff(&folder, TURBINE, ["vendor", "dpv:TechnicalServiceProvision"], &recording);
    let wind = |frame: TurbineFrame| frame.production.map(|of| of.wind_speed_m_s).filter(|wind| *wind != 0.0).map(float);
    assert!(same(said(&lines, "production.wind_speed_m_s"), expected(&frames, wind)));
    let gearbox = |frame: TurbineFrame| frame.condition.map(|of| of.gearbox_c).filter(|gearbox| *gearbox != 0.0).map(float);
    assert!(same(said(&lines, "condition.gearbox_c"), expected(&frames, gearbox)));
    // Both policies seal it alike.
    assert!(!lines.iter().any(|line| line["path"] == "demand.setpoint_kw" || line["path"] == "site.latitude"));
}
