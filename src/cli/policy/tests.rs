use std::path::Path;

use serde_json::Value;

use super::*;
use crate::veil::policy::{Holders, Reason};
use crate::veil::schema::SiteId;
use crate::veil::terms::Treatment;
use change::{Change, Tells, Treated};

/// A folder as `twinveil init` makes it, for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        use clap::{Args as _, FromArgMatches};
        let path = std::env::temp_dir().join(format!("twinveil-policy-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let init = crate::cli::init::Args::augment_args(clap::Command::new("init")).get_matches_from([Path::new("init"), &path]);
        crate::cli::init::run(crate::cli::init::Args::from_arg_matches(&init).expect("read")).expect("made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).expect("made")
    }

    /// The policy that is in force, with one text in the place of another.
    fn policy(&self, from: &str, to: &str) -> String {
        let text = self.read("policy.cedar");
        assert!(text.contains(from), "{from}");
        self.write("new.cedar", &text.replace(from, to))
    }

    fn diff(&self, new: &str, words: &str) -> (Vec<Value>, Result<(), CliError>) {
        use clap::{Args as _, FromArgMatches};
        let config = self.0.join("twinveil.toml");
        let line = format!("diff {} {new} --config {} {words}", self.0.join("policy.cedar").display(), config.display());
        let matches = DiffArgs::augment_args(clap::Command::new("diff")).try_get_matches_from(line.split_whitespace()).expect("good");
        let args = DiffArgs::from_arg_matches(&matches).expect("read");
        let mut printed = Vec::new();
        let ended = rehearse(&args, &mut |report| {
            printed = report.json().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            assert!(report.text().contains("assumed   "));
            report.verdict()
        });
        (printed, ended)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PATIENT: &str = "--schema twinveil.sample.PatientFrame";
const FOR_RESEARCH: &str = "--schema twinveil.sample.PatientFrame --to researcher --purpose dpv:ScientificResearch";
const HEART: &str = "{\"patientId\":\"p-1\",\"deviceId\":\"d-1\",\"note\":\"slept well\",\"vitals\":{\"heartRateBpm\":72}}\n\
                     {\"patientId\":\"p-2\",\"vitals\":{\"heartRateBpm\":70}}\n{\"patientId\":\"p-2\",\"deviceId\":\"d-1\"}\n";

fn of<'v>(changes: &'v [Value], path: &str) -> &'v Value {
    changes.iter().find(|change| change["path"] == path).unwrap_or(&Value::Null)
}

#[test]
fn a_rehearsal_counts_frames_and_shows_what_the_recipient_would_see() {
    let folder = Folder::new("counts");
    let recording = folder.write("ward.ndjson", HEART);
    // Clinicians get measurements coarse, and no notes.
    let new = folder.policy(
        "permit (principal in Group::\"clinical\", action == Action::\"keep\", resource)\nwhen {\n  resource.schema == \
         \"twinveil.sample.PatientFrame\" &&\n  context.purpose == Purpose::\"dpv:ServiceProvision\"",
        "permit (principal in Group::\"clinical\", action == Action::\"generalize\", resource)\nwhen {\n  resource.schema == \
         \"twinveil.sample.PatientFrame\" &&\n  context.purpose == Purpose::\"dpv:ServiceProvision\"",
    );
    let (changes, ended) = folder.diff(&new, &format!("{PATIENT} --frames {recording}"));
    assert!(ended.expect_err("a difference").to_string().ends_with("fields are treated differently"));
    assert_eq!((&changes[0]["frames"], &changes[0]["different"]), (&3.into(), &true.into()));
    assert!(changes[1..].iter().all(|change| change["recipient"] == "spiffe://example.org/recipient/clinician"));
    let heart = of(&changes, "vitals.heart_rate_bpm");
    // 70 is a multiple of five: the second frame does not change.
    assert_eq!((&heart["frames"], &heart["tells"]), (&1.into(), &"less".into()));
    assert_eq!((&heart["before"]["example"]["value"], &heart["after"]["example"]["value"]), (&72.0.into(), &70.0.into()));
    assert_eq!((&heart["after"]["reason"], &heart["after"]["how"]), (&"policy `clinical-care`".into(), &"in steps of 5".into()));
    let note = of(&changes, "note");
    assert_eq!((&note["frames"], &note["before"]["example"]["value"]), (&1.into(), &"slept well".into()));
    assert!(note["after"]["treatment"] == "strip" && note["after"]["example"].is_null());
    let (turned, _) = folder.diff(&folder.0.join("policy.cedar").display().to_string(), &format!("{PATIENT} --to clinician"));
    assert_eq!((turned.len(), &turned[0]["different"]), (1, &false.into()), "the same policy twice");
}

#[test]
fn consents_that_are_named_decide_and_what_is_assumed_without_is_said() {
    let folder = Folder::new("consents");
    let recording = folder.write("ward.ndjson", HEART);
    let new = folder.policy("[\"patient_id\", \"device_id\", \"sequence\"]", "[\"patient_id\", \"sequence\"]");
    let (assumed, _) = folder.diff(&new, &format!("{FOR_RESEARCH} --frames {recording}"));
    assert!(assumed[0]["assumed"].as_str().is_some_and(|words| words.starts_with("no consent is named")));
    let device = of(&assumed, "device_id");
    assert_eq!((&device["before"]["treatment"], &device["frames"]), (&"pseudonymize".into(), &2.into()));
    // Somebody's own consent does not speak of devices: nothing changes for them.
    let wallet = crate::client::wallet::Wallet::generate(&mut crate::world::entropy());
    let config = crate::config::Config::load(&folder.0.join("twinveil.toml")).expect("good");
    let to = [crate::veil::consent::document::RecipientDocument {
        spiffe: Some("spiffe://example.org/recipient/researcher".into()),
        ..Default::default()
    }];
    let signed = |permits: &[&str]| {
        let rules = permits.iter().map(|text| crate::cli::wallet::rule::permit(text).expect("a rule")).collect();
        let at = crate::cli::now().expect("a clock");
        let terms = crate::cli::terms::made_up("for a test", to.to_vec(), "dpv:ScientificResearch", rules, at);
        let role = crate::veil::consent::record::SignerRole::Subject;
        let head = crate::veil::consent::standing::Head::default();
        let envelope = wallet.grant(&terms, role, &config.origin, head, at, &mut crate::world::entropy()).expect("signed");
        folder.write("consent.json", &envelope.to_json())
    };
    let file = signed(&["patient_id=pseudonymize", "health=generalize"]);
    let (none, ended) = folder.diff(&new, &format!("{FOR_RESEARCH} --consent {file} --frames {recording}"));
    assert_eq!((none.len(), ended), (1, Ok(())));
    assert!(none[0]["assumed"].as_str().is_some_and(|words| words.starts_with("the consents named are in force")));
    let file = signed(&["patient_id=pseudonymize", "device_id=pseudonymize"]);
    let (some, _) = folder.diff(&new, &format!("{FOR_RESEARCH} --consent {file} --frames {recording}"));
    let device = of(&some, "device_id");
    assert_eq!((&device["purpose"], &device["subject"]), (&"dpv:ScientificResearch".into(), &wallet.did().to_string().into()));
    assert!(device["before"]["reason"].as_str().is_some_and(|reason| reason.starts_with("consent ") && !reason.contains("00000000")));
}

#[test]
fn a_whole_configuration_changes_floors_and_parties_too() {
    let folder = Folder::new("whole");
    let text = folder.read("twinveil.toml");
    // The advertiser may not subscribe any more.
    let at = text.find("name = \"advertiser\"").expect("a party");
    let (before, after) = text.split_at(at);
    let new = folder.write("new.toml", &format!("{before}{}", after.replacen("\"subscribe\"", "", 1)));
    let (changes, ended) = folder.diff(&new, &format!("{PATIENT} --to advertiser --purpose dpv:Advertising"));
    assert!(ended.is_err());
    let change = of(&changes, "activity.steps");
    assert_eq!((&change["delivers_before"], &change["delivers_after"]), (&true.into(), &false.into()), "{changes:?}");
    assert!(change["after"].is_null() && change["frames"].is_null());
    // A floor in a side file.
    std::fs::write(folder.0.join("own.binpb"), crate::proto::SAMPLES).expect("written");
    let side = |heart: &str| {
        format!(
            "[\"twinveil.sample.PatientFrame\"]\npatient_id = {{ sensitivity = \"identifying\", category = \"identity\", role = \
             \"subject\" }}\nnote = {{ sensitivity = \"special\", category = \"health\", floor = \"{heart}\" }}\n"
        )
    };
    folder.write("old.fields.toml", &side("keep"));
    folder.write("new.fields.toml", &side("strip"));
    let own = |name: &str| text.replacen("builtin = true", &format!("descriptor = \"own.binpb\"\nside_file = \"{name}\""), 1);
    folder.write("twinveil.toml", &own("old.fields.toml"));
    let new = folder.write("new.toml", &own("new.fields.toml"));
    let recording = folder.write("ward.ndjson", HEART);
    let (changes, _) = folder.diff(&new, &format!("{PATIENT} --to clinician --purpose dpv:ServiceProvision --frames {recording}"));
    assert_eq!((changes.len(), &of(&changes, "note")["after"]["reason"]), (2, &"the schema's floor".into()), "{changes:?}");
}

#[test]
fn what_cannot_be_compared_is_named() {
    let folder = Folder::new("wrong");
    let new = folder.policy("dpv:Advertising", "dpv:Marketing");
    let broken = folder.write("broken.cedar", "permit (");
    let empty = folder.write("empty.ndjson", "");
    for (new, words, says) in [
        (&new, format!("{PATIENT} --to clinican"), "no party `clinican` that may subscribe; did you mean `clinician`?"),
        (&new, format!("{PATIENT} --to hospital"), "no party `hospital` that may subscribe"),
        (&new, "--schema twinveil.sample.PatientFram".to_owned(), "has no schema `twinveil.sample.PatientFram`; did you mean"),
        (&new, format!("{FOR_RESEARCH} --frames {empty}"), "has no frame"),
        (&broken, PATIENT.to_owned(), "broken.cedar`: policy file, line 1: "),
    ] {
        let error = folder.diff(new, &words).1.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(says), "{words}: {error}");
    }
}

#[test]
fn sealed_to_more_holders_tells_more_and_done_otherwise_is_neither() {
    let treated = |treatment, holders, how: &str| {
        Some(Treated { site: SiteId(0), treatment, holders, how: Some(how.to_owned()), reason: Reason::Floor })
    };
    let tells = |sides| Change { path: "x".to_owned(), sides }.tells();
    let sealed = |holders| treated(Treatment::Encrypt, holders, "");
    assert_eq!(tells([sealed(Holders::Vault), sealed(Holders::VaultAndRecipient)]), Tells::More);
    assert_eq!(tells([sealed(Holders::Vault), None]), Tells::Less);
    let coarse = |how| treated(Treatment::Generalize, Holders::Vault, how);
    assert_eq!(tells([coarse("in steps of 5"), coarse("in steps of 10")]), Tells::Otherwise);
}
