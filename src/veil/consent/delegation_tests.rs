use serde_json::{Value, json};

use super::super::envelope::{Envelope, Signed};
use super::super::scope::ScopeDocument;
use super::super::testing::{DAY, NOW, after, consent, delegation, gateway, key, seal_key};
use super::*;
use crate::veil::consent::delegation_end::DelegationEnd;

fn verify(envelope: &Envelope) -> Result<Delegation, RecordRefusal> {
    Signed::<Delegation>::new(envelope)?.verify(&gateway()).map(|verified| verified.get().clone())
}

fn with(change: impl FnOnce(&mut Value)) -> Result<Delegation, RecordRefusal> {
    verify(&delegation(1, 2, 1, None, change))
}

#[test]
fn a_delegation_is_signed_by_both() {
    let good = delegation(1, 2, 1, None, |_| ());
    let read = verify(&good).expect("good");
    assert_eq!((read.subject, read.delegate, read.depth, read.capacity), (key(1).did(), key(2).did(), 0, Capacity::Guardian));
    assert_eq!((read.by.key, read.at, read.expires), (key(1).did(), NOW, after(60 * DAY)));
    assert!(Right::ALL.iter().all(|right| read.allows(*right)));
    for (kept, missing) in [(0, 2), (1, 1)] {
        let mut half = good.clone();
        half.signatures = vec![good.signatures[kept].clone()];
        assert_eq!(verify(&half), Err(RecordRefusal::NotSignedBy(key(missing).did())));
    }
}

#[test]
fn each_thing_wrong_with_a_delegation_refuses_it() {
    let did = |n: u8| json!(key(n).did().to_string());
    for (member, value, code) in [
        ("delegate", did(1), "TV-C07"),
        ("delegate", json!("z6Mk"), "TV-C07"),
        ("subject", json!("z6Mk"), "TV-C07"),
        ("signer", json!({"key": "z6Mk", "role": "subject"}), "TV-C07"),
        ("signer", json!({"key": key(1).did().to_string(), "role": "delegate", "authority": "ab"}), "TV-C07"),
        ("subject", did(3), "TV-C11"),
        ("capacity", json!("friend"), "TV-C07"),
        ("expires", json!(after(3_653 * DAY + 1).to_string()), "TV-C10"),
        ("expires", json!(NOW.to_string()), "TV-C07"),
        ("expires", json!("later"), "TV-C07"),
        ("not_before", json!("soon"), "TV-C07"),
        ("expires", Value::Null, "TV-C06"),
        ("not_before", json!(after(-1).to_string()), "TV-C07"),
        ("rights", json!([]), "TV-C07"),
        ("rights", json!(["sell"]), "TV-C07"),
        ("rights", json!(["view", "view"]), "TV-C07"),
        ("rights", json!(["view", "grant", "renew", "withdraw", "view"]), "TV-C07"),
        ("depth", json!(4), "TV-C07"),
        ("depth", json!(-1), "TV-C06"),
        ("seq", json!(2), "TV-C07"),
        ("prev", json!("ab"), "TV-C07"),
        ("gateway", json!(""), "TV-C07"),
        ("vault_key", json!("z6LS"), "TV-C07"),
        ("gateway", json!("log.other.example"), "TV-C12"),
        ("at", json!("today"), "TV-C07"),
        ("scope", json!({"recipients": "any", "purposes": "any"}), "TV-C06"),
        ("scope", json!({"recipients": "all", "purposes": "any", "permits": "any"}), "TV-C06"),
        ("scope", json!({"recipients": [], "purposes": "any", "permits": "any"}), "TV-C07"),
        ("scope", json!({"recipients": "any", "purposes": [], "permits": "any"}), "TV-C07"),
        ("scope", json!({"recipients": "any", "purposes": ["dpv:Fun"], "permits": "any"}), "TV-C09"),
        ("scope", json!({"recipients": "any", "purposes": "any", "permits": []}), "TV-C07"),
        ("scope", json!({"recipients": "any", "purposes": "any", "permits": [{"match": {}, "treatment": "keep"}]}), "TV-C07"),
        (
            "scope",
            json!({"recipients": "any", "purposes": "any", "permits": [{"match": {"category": "health"}, "treatment": "blur"}]}),
            "TV-C07",
        ),
        (
            "scope",
            json!({"recipients": "any", "purposes": "any", "permits": [{"match": {"category": "health"}, "treatment": "keep", "keys": "recipient"}]}),
            "TV-C07",
        ),
        ("scope", json!({"recipients": [{"spiffe": "x"}], "purposes": "any", "permits": "any"}), "TV-C07"),
        ("extra", json!(1), "TV-C06"),
    ] {
        let refusal = with(|document| document[member] = value.clone()).expect_err(member);
        assert_eq!(refusal.code(), code, "{member} = {value}: {refusal}");
    }
    let by_operator = with(|document| document["signer"]["role"] = json!("operator"));
    assert_eq!(by_operator.expect_err("a mandate is not handed on").code(), "TV-C07");
}

#[test]
fn each_thing_wrong_with_the_end_of_a_delegation_refuses_it() {
    let did = key(1).did().to_string();
    let good = json!({"subject": did, "signer": {"key": did, "role": "subject"}, "gateway": "log.hospital.example",
                      "at": NOW.to_string(), "ends": ["ab".repeat(32)]});
    assert!(DelegationEnd::parse(good.to_string().as_bytes()).is_ok());
    for (member, value, code) in [
        ("ends", json!([]), "TV-C07"),
        ("ends", json!(vec!["ab".repeat(32); 65]), "TV-C07"),
        ("ends", json!(["ab"]), "TV-C07"),
        ("subject", json!(key(2).did().to_string()), "TV-C11"),
        ("subject", json!("z6Mk"), "TV-C07"),
        ("gateway", json!(""), "TV-C07"),
        ("at", json!("now"), "TV-C07"),
        ("reason", json!("none"), "TV-C06"),
    ] {
        let mut document = good.clone();
        document[member] = value;
        assert_eq!(DelegationEnd::parse(document.to_string().as_bytes()).expect_err(member).code(), code);
    }
}

fn scope(value: Value) -> Scope {
    serde_json::from_value::<ScopeDocument>(value).expect("members").check().expect("good")
}

const READER: &str = "spiffe://lab.example/reader";

/// To the reader, for research: health at `generalize`, the note sealed for the reader, vitals of any kind pseudonymized.
fn narrow() -> Scope {
    scope(json!({
        "recipients": [{"spiffe": READER, "key": seal_key(4).to_string()}],
        "purposes": ["dpv:AcademicResearch", "dpv:ScientificResearch"],
        "permits": [
            {"match": {"category": "health"}, "treatment": "generalize"},
            {"match": {"selector": "note"}, "treatment": "encrypt", "keys": "recipient"},
            {"match": {"selector": "vitals"}, "treatment": "pseudonymize"},
        ],
    }))
}

#[test]
fn a_record_is_within_a_scope_or_the_member_that_is_not_is_named() {
    let rule = |matches: Value, treatment: &str| json!([{"effect": "permit", "match": matches, "treatment": treatment}]);
    let sealed = |matches: Value| json!([{"effect": "permit", "match": matches, "treatment": "encrypt", "keys": "recipient"}]);
    for (member, value, widens) in [
        ("rules", rule(json!({"category": "health"}), "generalize"), None),
        ("rules", rule(json!({"category": "health"}), "strip"), None),
        ("rules", rule(json!({"category": "health", "selector": "vitals.heart_rate_bpm"}), "generalize"), None),
        ("rules", rule(json!({"selector": "vitals.heart_rate_bpm"}), "encrypt"), None),
        ("rules", sealed(json!({"selector": "note"})), None),
        ("rules", rule(json!({"category": "health"}), "keep"), Some("rules[0]")),
        ("rules", rule(json!({"category": "identity"}), "strip"), Some("rules[0]")),
        ("rules", rule(json!({"sensitivity": "special"}), "strip"), Some("rules[0]")),
        // sealed to the recipient is the whole value to the recipient
        ("rules", sealed(json!({"category": "health"})), Some("rules[0]")),
        ("rules", sealed(json!({"selector": "vitals"})), Some("rules[0]")),
        ("rules", json!([{"effect": "forbid", "match": {"category": "identity"}}]), None),
        ("purposes", json!(["dpv:ScientificResearch"]), None),
        ("purposes", json!(["dpv:AcademicResearch", "dpv:Advertising"]), Some("purposes")),
        ("recipients", json!([{"spiffe": READER, "key": seal_key(4).to_string()}]), None),
        ("recipients", json!([{"spiffe": READER, "key": seal_key(5).to_string()}]), Some("recipients")),
        ("recipients", json!([{"spiffe": READER}, {"spiffe": "spiffe://lab.example/other"}]), Some("recipients")),
        ("recipients", json!([{"did": key(3).did().to_string()}]), Some("recipients")),
    ] {
        let record = consent(1, 1, None, |document| {
            document["rules"] = rule(json!({"category": "health"}), "generalize");
            document[member] = value.clone();
        });
        let expected = widens.map_or(Ok(()), |member| Err(RecordRefusal::Widens(member.into())));
        assert_eq!(narrow().check(record.get()), expected, "{member} = {value}");
    }
    // a forbid for everybody, or for everything, reaches beyond a scope that is for some
    for member in ["recipients", "purposes"] {
        let forbid = consent(1, 1, None, |document| {
            document["rules"] = json!([{"effect": "forbid", "match": {"category": "identity"}}]);
            document[member] = json!([]);
        });
        assert_eq!(narrow().check(forbid.get()), Err(RecordRefusal::Widens(member.into())));
        assert!(!narrow().reaches(forbid.get()) && narrow().touches(forbid.get()));
    }
    assert!(scope(json!({"recipients": "any", "purposes": "any", "permits": "any"})).check(consent(1, 1, None, |_| ()).get()).is_ok());
}

#[test]
fn a_scope_is_within_another_or_says_what_is_not() {
    let any = scope(json!({"recipients": "any", "purposes": "any", "permits": "any"}));
    assert_eq!(any.check_within(&narrow()), Ok(()));
    assert_eq!(narrow().check_within(&narrow()), Ok(()));
    assert_eq!(narrow().check_within(&any), Err(RecordRefusal::Widens("scope.recipients".into())));
    for (member, value) in [
        ("recipients", json!([{"spiffe": "spiffe://lab.example/other"}])),
        ("purposes", json!("any")),
        ("permits", json!("any")),
        ("permits", json!([{"match": {"category": "health"}, "treatment": "keep"}])),
    ] {
        let mut inner = json!({"recipients": [{"spiffe": READER}], "purposes": ["dpv:AcademicResearch"],
                               "permits": [{"match": {"category": "health"}, "treatment": "generalize"}]});
        assert_eq!(narrow().check_within(&scope(inner.clone())), Ok(()));
        inner[member] = value;
        assert_eq!(narrow().check_within(&scope(inner)), Err(RecordRefusal::Widens(format!("scope.{member}"))), "{member}");
    }
}

#[test]
fn a_scope_reads_in_words_and_says_whom_it_is_about() {
    assert_eq!(
        narrow().words(),
        [
            "permit health data: generalize",
            "permit data at `note`: encrypt, the recipient can open it",
            "permit data at `vitals`: pseudonymize"
        ]
    );
    let any = scope(json!({"recipients": "any", "purposes": "any", "permits": "any"}));
    assert_eq!((any.words(), any.recipients(), any.purposes()), (vec!["anything".to_owned()], None, None));
    assert_eq!((narrow().recipients().map(<[_]>::len), narrow().purposes().map(<[_]>::len)), (Some(1), Some(2)));
}
