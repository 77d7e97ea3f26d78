//! Whose word counts where, in messages about several subjects.

use super::*;
use crate::veil::schema::load_for_calls;
use crate::veil::schema::tests::compile;

const PROTO: &str = "syntax = \"proto3\"; package t;
    message List { repeated Bed beds = 1; string steward = 2; string boss = 3; string title = 4; }
    message Bed { string id = 1; double heart_rate = 2; string pump = 3; string unit = 4; }";

/// The subject field of elements, and whatever else, as sensitive as it says.
fn list(subject: &str) -> Schema {
    let side = format!(
        "['t.List']\nsteward = {{ sensitivity = 'operational', category = 'operation' }}\nboss = {{ sensitivity = 'personal', category = 'identity' }}\n\
         title = {{ sensitivity = 'public', category = 'operation' }}\n\
         ['t.Bed']\nid = {{ sensitivity = '{subject}', category = 'identity', role = 'subject' }}\nheart_rate = {{ sensitivity = 'special', category = 'health' }}\n\
         pump = {{ sensitivity = 'operational', category = 'operation' }}\nunit = {{ sensitivity = 'public', category = 'operation' }}\n"
    );
    load_for_calls(&compile(PROTO), "t.List", Some(&side)).expect("loads")
}

fn everything(treatment: Treatment) -> [Rule; 4] {
    [Sensitivity::Operational, Sensitivity::Personal, Sensitivity::Special, Sensitivity::Identifying]
        .map(|sensitivity| Rule { sensitivity: Some(sensitivity), ..rule(Effect::Permit, treatment) })
}

#[test]
fn a_persons_word_reaches_into_their_own_elements_and_no_further() {
    let schema = list("identifying");
    let rules = everything(Treatment::Keep);
    for (path, wanted) in [
        ("beds.heart_rate", (Treatment::Keep, Reason::Consent(RECORD, 2))),
        ("beds.id", (Treatment::Keep, Reason::Consent(RECORD, 3))),
        ("beds.pump", (Treatment::Keep, Reason::Consent(RECORD, 0))),
        ("steward", (Treatment::Strip, Reason::NoMandate)),
        ("boss", (Treatment::Strip, Reason::NoConsent)),
        ("title", (Treatment::Keep, Reason::Public)),
    ] {
        let decision = decide(&schema, &open(&schema), Some(&deciding(&rules)), None);
        let at = at(&schema, &decision, path);
        assert_eq!((at.treatment, at.reason.clone()), wanted, "{path}");
        let inside = decision.in_elements(&schema);
        let kept = if path.starts_with("beds.") { wanted.0 } else { Treatment::Strip };
        assert_eq!(super::at(&schema, &inside, path).treatment, kept, "{path}");
    }
    // Nor can they forbid what is around them.
    assert_eq!(decided(&schema, &open(&schema), &[forbid("title")], &[], "title").0, Treatment::Keep);
    assert_eq!(
        decided(&schema, &open(&schema), &[], &[forbid("beds.unit")], "beds.unit"),
        (Treatment::Strip, Reason::Forbidden(RECORD, 0))
    );
}

#[test]
fn nothing_is_encrypted_in_an_element() {
    let schema = list("identifying");
    let seal = everything(Treatment::Encrypt);
    let keep = everything(Treatment::Keep);
    for path in ["beds.heart_rate", "beds.id", "beds.pump"] {
        assert_eq!(decided(&schema, &open(&schema), &seal, &[], path), (Treatment::Strip, Reason::InElement), "{path}");
        let floors = everywhere(&schema, Treatment::Encrypt);
        assert_eq!(decided(&schema, &floors, &keep, &[], path).0, Treatment::Strip, "{path}");
    }
    assert_eq!(decided(&schema, &open(&schema), &[], &seal, "beds.pump"), (Treatment::Strip, Reason::InElement));
    assert_eq!(decided(&schema, &open(&schema), &[], &seal, "steward").0, Treatment::Encrypt);
}

#[test]
fn an_element_flows_while_whoever_its_subject_field_asks_for_permits() {
    let (permit, strip, forbid) = ([permit_at("elsewhere", Treatment::Keep)], [permit_at("beds", Treatment::Strip)], [forbid("beds.unit")]);
    for (sensitivity, subject, mandate, wanted) in [
        ("public", None, None, true),
        ("operational", None, None, false),
        ("operational", None, Some(&permit[..]), true),
        ("operational", Some(&permit[..]), None, true),
        ("operational", Some(&strip[..]), None, false),
        ("identifying", None, Some(&permit[..]), false),
        ("identifying", Some(&permit[..]), None, true),
        // What is public around the elements makes none of them flow.
        ("identifying", Some(&[permit[0].clone(), forbid[0].clone()][..]), None, false),
    ] {
        let schema = list(sensitivity);
        let (subject, mandate) = (subject.map(deciding), mandate.map(deciding));
        let decision = decide(&schema, &open(&schema), subject.as_ref(), mandate.as_ref());
        let about = (sensitivity, subject.is_some(), mandate.is_some());
        assert_eq!(decision.delivers(&schema, subject.as_ref(), mandate.as_ref()), wanted, "{about:?}");
    }
}

#[test]
fn of_several_kinds_of_elements_the_most_sensitive_subject_field_counts_for_all() {
    let proto =
        "syntax = \"proto3\"; package t; message List { repeated Bed beds = 1; repeated Pump pumps = 2; } message Bed { string id = 1; }
                 message Pump { string id = 1; }";
    let of = |pump: &str| {
        let role = |sensitivity: &str| format!("id = {{ sensitivity = '{sensitivity}', category = 'device', role = 'subject' }}\n");
        let side = format!("['t.Bed']\n{}['t.Pump']\n{}", role("operational"), role(pump));
        load_for_calls(&compile(proto), "t.List", Some(&side)).expect("loads")
    };
    let permits = everything(Treatment::Keep);
    let mandate = deciding(&permits);
    for (pump, wanted) in [("operational", true), ("identifying", false)] {
        let schema = of(pump);
        let decision = decide(&schema, &open(&schema), None, Some(&mandate));
        assert_eq!(at(&schema, &decision, "beds.id").treatment, Treatment::Keep);
        assert_eq!(decision.delivers(&schema, None, Some(&mandate)), wanted, "{pump}");
        assert!(decision.delivers(&schema, Some(&mandate), None));
    }
}
