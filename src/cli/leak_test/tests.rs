use std::path::Path;

use super::*;
use crate::cli::Output;
use crate::veil::wire::{Reader, Value, push_tag, push_varint};

const JSON: OutputArgs = OutputArgs { output: Output::Json };
const TEXT: OutputArgs = OutputArgs { output: Output::Text };

fn args(words: &str) -> Args {
    use clap::{Args as _, FromArgMatches};
    let words = std::iter::once("leak-test").chain(words.split_whitespace());
    let matches = Args::augment_args(clap::Command::new("leak-test")).try_get_matches_from(words).expect("good");
    Args::from_arg_matches(&matches).expect("read")
}

/// A folder as `twinveil init` makes it, for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("twinveil-leak-test-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        crate::cli::init::run(init(&path)).expect("made");
        Self(path)
    }

    fn plan(&self, words: &str) -> Result<Plan, CliError> {
        Plan::make(&args(&format!("--config {} {words}", self.0.join("twinveil.toml").display())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn init(path: &Path) -> crate::cli::init::Args {
    use clap::{Args as _, FromArgMatches};
    let matches = crate::cli::init::Args::augment_args(clap::Command::new("init")).get_matches_from([Path::new("init"), path]);
    crate::cli::init::Args::from_arg_matches(&matches).expect("read")
}

const PATIENT: &str = "--schema twinveil.sample.PatientFrame";

#[test]
fn the_views_of_the_sample_configuration_tell_nothing() {
    let folder = Folder::new("real");
    for schema in [PATIENT, "--schema twinveil.sample.TurbineFrame"] {
        let plan = folder.plan(&format!("{schema} --frames 4 --tries 8 --random 1")).expect("a plan");
        assert!(plan.candidates.len() >= 4 && plan.recipients == 6, "{}", plan.candidates.len());
        let outcome = plan.hunt(&mut |schema, decision| real(schema, decision)).expect("tried");
        assert!(outcome.leak.is_none(), "{:?}", outcome.leak);
        assert!(outcome.kept > 100 && outcome.varied.len() * 2 > outcome.hidden.len(), "{outcome:?}");
        let report = Report { plan: &plan, outcome: &outcome };
        assert_eq!((report.tell(JSON), report.tell(TEXT)), (Ok(()), Ok(())));
        assert!(report.text().ends_with("no view told anything"));
    }
}

#[test]
fn a_leaky_view_ends_with_1_and_its_field_is_named() {
    let folder = Folder::new("leaky");
    let plan = folder.plan(&format!("{PATIENT} --to advertiser --purpose dpv:Advertising --random 0")).expect("a plan");
    // Tells how long the note is, in a field of its own, whoever asks.
    let note = plan.schema.nodes().first().and_then(|node| node.fields.iter().find(|field| &*field.name == "note")).expect("a note").number;
    let mut leaky = |schema: &Schema, decision: &Decision| -> Result<Box<UnderTest<'static>>, CliError> {
        let mut view = real(schema, decision)?;
        Ok(Box::new(move |frame| {
            let mut sent = view(frame)?;
            let len = Reader::new(frame).flatten().find_map(|record| match record.value {
                Value::Len(text) if record.number == note => Some(text.len()),
                _ => None,
            });
            if let Some(len) = len {
                push_tag(&mut sent, 1_000, 0);
                push_varint(&mut sent, len as u64);
            }
            Ok(sent)
        }))
    };
    let outcome = plan.hunt(&mut leaky).expect("tried");
    let report = Report { plan: &plan, outcome: &outcome };
    assert_eq!(report.tell(TEXT), Err(CliError::found("a view tells what it may not: `note` (strip)")));
    let text = report.text();
    assert!(text.contains("leak        spiffe://example.org/recipient/advertiser for dpv:Advertising, "), "{text}");
    assert!(text.contains("through     `note` (strip)\nframe       one: ") && text.contains("difference  from byte 0: "), "{text}");
    let json = report.json();
    let leak: serde_json::Value = serde_json::from_str(json.lines().nth(1).expect("two lines")).expect("JSON");
    assert_eq!((&leak["kind"], &leak["fields"][0]), (&"leak".into(), &"note".into()), "{json}");
    assert!(leak["one"]["frame_hex"] != leak["other"]["frame_hex"], "{json}");
}

#[test]
fn a_refusal_that_tells_is_shown_as_one() {
    let folder = Folder::new("refusal");
    let plan = folder.plan(&format!("{PATIENT} --to renderer --purpose dpv:Advertising --random 0")).expect("a plan");
    let mut leaky = |schema: &Schema, decision: &Decision| -> Result<Box<UnderTest<'static>>, CliError> {
        let mut view = real(schema, decision)?;
        Ok(Box::new(move |frame| {
            let whole = |bytes: &[u8]| Reader::new(bytes).all(|record| record.is_ok());
            // Everything with a length is looked into.
            let broken = Reader::new(frame).flatten().any(|record| matches!(record.value, Value::Len(inner) if !whole(inner)));
            if broken { Err(crate::veil::outcome::Refusal::Truncated) } else { view(frame) }
        }))
    };
    let outcome = plan.hunt(&mut leaky).expect("tried");
    let report = Report { plan: &plan, outcome: &outcome };
    assert!(report.tell(JSON).is_err());
    assert!(report.text().ends_with("difference  one is refused, the other is not"), "{}", report.text());
}

#[test]
fn consents_and_recordings_are_taken_and_what_is_wrong_is_named() {
    let folder = Folder::new("input");
    let file = folder.0.join("ward.ndjson");
    std::fs::write(&file, "{\"patientId\":\"p-1\",\"note\":\"slept well\"}\n{\"patientId\":\"p-2\",\"vitals\":{\"heartRateBpm\":72}}\n")
        .expect("file");
    let recording = file.display();
    let plan = folder.plan(&format!("{PATIENT} --frames 1 {recording}")).expect("a plan");
    assert_eq!((plan.frames.len(), plan.source), (1, format!("from `{recording}`")));
    let empty = folder.0.join("empty.ndjson");
    std::fs::write(&empty, "\n").expect("file");
    std::fs::write(folder.0.join("consent.json"), "{}").expect("file");
    for (words, says) in [
        (format!("{PATIENT} --to clinican"), "no party `clinican`; did you mean `clinician`?"),
        ("--schema twinveil.sample.PatientFram".to_owned(), "has no schema `twinveil.sample.PatientFram`; did you mean"),
        (format!("{PATIENT} {}", empty.display()), "has no frame"),
        (format!("{PATIENT} {}/none.ndjson", folder.0.display()), "can't be read"),
        (format!("{PATIENT} --consent {}/consent.json", folder.0.display()), "consent.json`: "),
    ] {
        let error = folder.plan(&words).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(says), "{words}: {error}");
    }
}

#[test]
fn a_schema_of_ones_own_is_read_and_shown_by_its_own_descriptor_and_side_file() {
    let folder = Folder::new("own");
    let config = folder.0.join("twinveil.toml");
    let text = std::fs::read_to_string(&config).expect("made");
    let own = text.replacen("builtin = true", "descriptor = \"own.binpb\"\nside_file = \"own.fields.toml\"", 1);
    assert_ne!(own, text);
    std::fs::write(&config, own).expect("file");
    std::fs::write(folder.0.join("own.binpb"), crate::proto::SAMPLES).expect("file");
    // Here the device is whom frames are about, and the note is public.
    let side = "[\"twinveil.sample.PatientFrame\"]\npatient_id = { sensitivity = \"identifying\", category = \"identity\" }\n\
                device_id = { sensitivity = \"identifying\", category = \"device\", role = \"subject\" }\n\
                note = { sensitivity = \"public\", category = \"health\" }\n";
    std::fs::write(folder.0.join("own.fields.toml"), side).expect("file");
    let file = folder.0.join("ward.ndjson");
    std::fs::write(&file, "{\"deviceId\":\"d-1\",\"note\":\"slept well\"}\n").expect("file");
    let plan = folder.plan(&format!("{PATIENT} --to advertiser --purpose dpv:Advertising --random 0 {}", file.display())).expect("a plan");
    assert_eq!(plan.map.subject_field.as_deref(), Some("device_id"));
    assert!(plan.hunt(&mut |schema, decision| real(schema, decision)).expect("tried").leak.is_none());
    // A view that sends everything.
    let outcome = plan.hunt(&mut |_, _| Ok(Box::new(|frame: &[u8]| Ok(frame.to_vec())))).expect("tried");
    let report = Report { plan: &plan, outcome: &outcome };
    assert!(report.tell(TEXT).is_err() && report.text().contains("            {"), "{}", report.text());
}

#[test]
fn purposes_are_those_that_the_policy_names_and_one_more() {
    let found = configured::purposes("when { context.purpose == Purpose::\"dpv:Marketing\" || x in [Purpose::\"dpv:NoSuchTerm\"] }", &[]);
    assert_eq!((found.len(), found.first().map(Purpose::as_str)), (2, Some("dpv:Marketing")));
}
