//! The police and a company at the desk, and a person who consents to one release, each against a gateway in a process of its own.

use serde_json::{Value, json};

use super::super::stories::text;
use super::super::{Gateway, PATIENT};
use super::{AUTHORITY, HOSPITAL, LETTER, Receiving, at, employ};

fn beat(patient: &str, sequence: u32) -> Value {
    json!({"patientId": patient, "sequence": sequence.to_string(), "vitals": {"heartRateBpm": 73, "temperatureC": 36.6}, "note": "word by word"})
}

#[test]
fn a_police_request_that_fails_the_third_stage_releases_nothing() {
    let gateway = Gateway::start_with(employ);
    gateway.wallet("patient.json");
    gateway.json(&format!("wallet enrol --wallet patient.json --value p-17 {HOSPITAL}"));
    let period = format!("--from {} --until {}", at(-60), at(3_600));
    let letter = LETTER.replace("court", "police");
    let what = format!("--asks live-data --content --emergency --field {PATIENT}:vitals --about spiffe://example.org/source/hospital=p-17");
    let demand = text(&gateway.json(&format!("demand file --wallet clerk.json {letter} {what} {period}"))["demand"]);
    let third = gateway.examine(&demand);
    let stage = format!("demand stage {demand} --wallet analyst.json --reasoning reasoning.md --n 3");
    let violated = text(&gateway.json(&format!("{stage} --right ICCPR:17=violated --replaces {third}"))["record"]);
    // An emergency waits like everything, and a stage is met or it is not.
    let comply = format!("approve {demand} --outcome comply --field {PATIENT}:vitals --to {AUTHORITY} {period}");
    assert!(gateway.refused(2, &format!("demand {comply} --wallet one.json --reasoning reasoning.md")).contains("TV-Q12"));
    assert!(gateway.refused(3, &format!("{stage} --met --right ICCPR:17=violated --replaces {violated}")).contains("TV-C07"));
    assert_eq!(gateway.decided(&demand, &format!("refuse {demand} --reason human_rights")), "refused");
    assert!(gateway.refused(2, &format!("demand release {demand} --as authority --schema {PATIENT}")).contains("TV-G28"));
    let shown = String::from_utf8(gateway.run(&format!("demand show {demand} --wallet counsel.json")).stdout).unwrap();
    assert!(shown.contains("is released: TV-Q21") && !shown.contains(AUTHORITY), "{shown}");
    let late = format!("{stage} --met --right ICCPR:17=compatible --replaces {violated}");
    assert!(gateway.refused(2, &late).contains("TV-Q07"), "the case is closed");
    assert_eq!(gateway.kinds(&demand), ["demand", "stage", "stage", "stage", "stage", "decision"]);
}

#[test]
fn a_person_consents_to_one_release_in_her_own_case_and_takes_it_back() {
    let mut gateway = Gateway::start_with(employ);
    let mut about = String::new();
    for (wallet, value) in [("ada.json", "p-17"), ("ben.json", "p-18")] {
        gateway.wallet(wallet);
        gateway.json(&format!("wallet enrol --wallet {wallet} --value {value} {HOSPITAL}"));
        about += &format!(" --about spiffe://example.org/source/hospital={value}");
    }
    let period = format!("--from {} --until {}", at(-60), at(3_600));
    let letter = LETTER.replace("court", "civil");
    let what = format!("--asks live-data --content --field {PATIENT}:vitals {about} {period}");
    let demand = text(&gateway.json(&format!("demand file --wallet clerk.json {letter} {what}"))["demand"]);
    let to = format!("--to {AUTHORITY} --purpose dpv:LegalCompliance");
    let grant =
        format!("wallet grant --wallet ada.json {to} --permit vitals.heart_rate_bpm=generalize --uses 1 --days 1 --demand {demand}");
    assert_eq!(gateway.denied(&grant), "TV-L14", "nobody has told her of a demand");
    gateway.json(&format!("demand notify {demand} --wallet clerk.json --how letter"));
    let consent = text(&gateway.json(&grant)["record"]);
    // It is a word on this demand, and on nothing else.
    let explained = gateway.run(&format!("explain --wallet ada.json {to} --schema {PATIENT} --output json"));
    assert!(String::from_utf8(explained.stdout).unwrap().lines().next().unwrap().contains("\"delivers\":false"));
    let release = format!("demand release {demand} --as authority --schema {PATIENT}");
    assert!(gateway.refused(2, &release).contains("TV-G28"), "her word alone releases nothing");
    let field = format!("--field {PATIENT}:vitals.heart_rate_bpm --to {AUTHORITY} {period}");
    let decision = format!("approve {demand} --outcome comply-in-part --reason no_instance_consent --consent {consent} {field}");
    assert_eq!(gateway.decided(&demand, &decision), "approved");

    let mut authority = Receiving::begin(&gateway, &release);
    assert!(gateway.refused(2, &release).contains("TV-G28"), "she consented to one");
    assert!(gateway.publish(&[beat("p-18", 1), beat("p-17", 1)]).status.success());
    assert_eq!(authority.frame(), json!({"vitals": {"heartRateBpm": 70.0}}), "as she said, of her alone");
    assert_eq!(gateway.json(&format!("wallet withdraw --wallet ada.json {consent}"))["ended"], 1);
    assert!(gateway.publish(&[beat("p-17", 2)]).status.success());
    let (frames, code, said) = authority.rest();
    assert_eq!((frames.len(), code), (0, Some(2)), "{said}");
    assert!(said.contains("TV-G29"), "{said}");
    gateway.restart();
    assert!(gateway.refused(2, &release).contains("TV-G28"), "also after a crash");
    let released = |gateway: &Gateway| gateway.kinds(&demand).contains(&"release".to_owned());
    assert!((0..100).any(|_| released(&gateway) || pause()), "the release is on record");
    // Ben was told of the demand, and nothing of his was ever released.
    let history = |wallet: &str| gateway.json(&format!("wallet history --wallet {wallet}"));
    let told = |history: &Value| history["disclosed"].as_array().unwrap().len() + history["under_way"].as_array().unwrap().len();
    assert_eq!(told(&history("ben.json")), 0);
}

/// Waits a little; false.
#[expect(clippy::disallowed_methods, reason = "nothing else runs on a test's own thread")]
pub(super) fn pause() -> bool {
    std::thread::sleep(std::time::Duration::from_millis(100));
    false
}
