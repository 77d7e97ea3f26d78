use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{DAY, GATEWAY, NOW, after, document, gateway, key, seal_key, signed};
use super::*;
use crate::veil::consent::envelope::Signed;

fn read(document: &Value) -> Result<Consent, RecordRefusal> {
    let envelope = signed(MEDIA_TYPE, document, &[&key(1)]);
    Signed::<Consent>::new(&envelope)?.verify(&gateway()).map(|verified| verified.get().clone())
}

/// The good record with the value at a JSON pointer changed; `Null` removes it.
fn with(pointer: &str, value: Value) -> Result<Consent, RecordRefusal> {
    let mut document = document(1, 1, None);
    let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
    let parent = document.pointer_mut(parent).expect("a place in the record");
    match (parent, &value) {
        (Value::Object(object), Value::Null) => drop(object.remove(member)),
        (Value::Array(array), _) => array[member.parse::<usize>().expect("an index")] = value,
        (parent, _) => parent[member] = value,
    }
    read(&document)
}

fn refused(pointer: &str, value: Value, code: &str) {
    let refusal = with(pointer, value.clone()).expect_err(pointer);
    assert_eq!(refusal.code(), code, "{pointer} = {value}: {refusal}");
}

#[test]
fn a_record_with_every_mandatory_member_is_read() {
    let consent = read(&document(1, 1, None)).expect("good");
    assert_eq!((consent.subject, consent.seq, consent.prev), (key(1).did(), 1, None));
    assert_eq!((consent.status, consent.by.role), (Status::Given, SignerRole::Subject));
    assert_eq!((consent.at, consent.not_before, consent.expires), (NOW, None, after(30 * DAY)));
    assert_eq!(consent.gateway.as_str(), GATEWAY);
    assert_eq!(consent.rules.len(), 1);
    assert!(consent.permits() && !consent.forbids());
}

#[test]
fn every_mandatory_member_is_missed() {
    for member in [
        "record_id",
        "subject",
        "signer",
        "gateway",
        "seq",
        "status",
        "method",
        "at",
        "notice",
        "controllers",
        "recipients",
        "purposes",
        "storage",
        "jurisdiction",
        "withdrawal",
        "rules",
        "notice/uri",
        "notice/sha256",
        "notice/lang",
        "controllers/0/id",
        "controllers/0/name",
        "controllers/0/address",
        "controllers/0/contact",
        "controllers/0/type",
        "controllers/0/role",
        "storage/places",
        "storage/retention",
        "withdrawal/uri",
        "withdrawal/pre_signed",
        "signer/key",
        "signer/role",
        "rules/0/effect",
        "rules/0/match",
    ] {
        refused(&format!("/{member}"), Value::Null, "TV-C06");
    }
}

#[test]
fn an_unknown_member_refuses_the_record_wherever_it_stands() {
    for place in ["", "/signer", "/notice", "/controllers/0", "/recipients/0", "/storage", "/withdrawal", "/rules/0", "/rules/0/match"] {
        refused(&format!("{place}/extra"), json!(1), "TV-C06");
    }
}

#[test]
fn a_member_given_twice_refuses_the_record() {
    let text = document(1, 1, None).to_string();
    let twice = text.replacen('{', r#"{"seq":1,"#, 1);
    assert!(Consent::parse(text.as_bytes()).is_ok());
    assert_eq!(Consent::parse(twice.as_bytes()).expect_err("twice").code(), "TV-C06");
    assert_eq!(Consent::parse(format!("{text} {text}").as_bytes()).expect_err("two").code(), "TV-C06");
}

#[test]
fn what_is_not_accepted_yet_is_named_and_never_read_past() {
    for (pointer, value, named) in [
        ("/recipients/0", json!({"credential": {"query": {}, "issuers": []}}), "recipients[0].credential"),
        ("/recipients/0", json!({"spiffe": "spiffe://lab.example/reader", "prid": "00ff"}), "recipients[0].prid"),
    ] {
        assert_eq!(with(pointer, value), Err(RecordRefusal::NotYet(named.into())));
    }
}

#[test]
fn a_consent_for_a_legal_demand_is_for_one_use_by_one_recipient_and_the_subjects_own() {
    let demand = RecordId([7; 32]);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = document(1, 1, None);
        document["demand"] = json!(demand.to_string());
        document["max_uses"] = json!(1);
        document["rules"] = json!([{"effect": "permit", "match": {"selector": "vitals"}, "treatment": "keep"}]);
        change(&mut document);
        read(&document)
    };
    assert_eq!(with(&|_| ()).expect("good").demand, Some(demand));
    let named = |change: &dyn Fn(&mut Value)| match with(change).expect_err("refused") {
        RecordRefusal::BadMember { member, .. } => member,
        other => panic!("{other}"),
    };
    assert_eq!(named(&|document| document["demand"] = json!("ab")), "demand");
    assert_eq!(named(&|document| document["max_uses"] = Value::Null), "max_uses");
    assert_eq!(named(&|document| document["max_uses"] = json!(2)), "max_uses");
    let lab = json!({"spiffe": "spiffe://lab.example/reader"});
    assert_eq!(named(&|document| document["recipients"] = json!([lab, {"spiffe": "spiffe://lab.example/other"}])), "recipients");
    assert_eq!(named(&|document| document["recipients"] = json!([{"did": key(2).did().to_string()}])), "recipients");
    assert_eq!(named(&|document| document["signer"]["role"] = json!("operator")), "signer.role");
    let delegate = json!({"key": key(2).did().to_string(), "role": "delegate", "authority": "ab".repeat(32)});
    assert_eq!(named(&|document| document["signer"] = delegate.clone()), "signer.role");
    let day = json!([{"zone": "Europe/Vienna", "days": ["mon"], "from": "08:00", "to": "18:00"}]);
    assert_eq!(named(&|document| document["windows"] = day.clone()), "windows");
    for rule in [
        json!({"effect": "permit", "match": {"category": "health"}, "treatment": "keep"}),
        json!({"effect": "permit", "match": {"category": "health", "selector": "vitals"}, "treatment": "keep"}),
        json!({"effect": "permit", "match": {"sensitivity": "special", "selector": "vitals"}, "treatment": "keep"}),
        json!({"effect": "forbid", "match": {"selector": "note"}}),
    ] {
        let vitals = json!({"effect": "permit", "match": {"selector": "vitals"}, "treatment": "keep"});
        assert_eq!(named(&|document| document["rules"] = json!([vitals, rule])), "rules", "{rule}");
    }
}

#[test]
fn nobody_consents_for_a_subject_that_is_not_theirs() {
    refused("/subject", json!(key(2).did().to_string()), "TV-C11");
    // nor by naming the subject's key and signing with another
    let other = key(2).did().to_string();
    let mut document = document(1, 1, None);
    document["subject"] = json!(other);
    document["signer"]["key"] = json!(other);
    assert_eq!(read(&document), Err(RecordRefusal::NotSignedBy(key(2).did())));
}

#[test]
fn a_record_for_another_gateway_is_refused() {
    refused("/gateway", json!("log.other.example"), "TV-C12");
}

#[test]
fn a_withdrawal_goes_to_its_own_call() {
    refused("/status", json!("ConsentWithdrawn"), "TV-C13");
}

#[test]
fn a_permit_ends_within_ten_years() {
    refused("/expires", Value::Null, "TV-C10");
    assert!(with("/expires", json!(after(PERMIT_MS_MAX).to_string())).is_ok());
    refused("/expires", json!(after(PERMIT_MS_MAX + 1).to_string()), "TV-C10");
    refused("/expires", json!(NOW.to_string()), "TV-C07");
    refused("/not_before", json!(after(-1).to_string()), "TV-C07");
    refused("/not_before", json!(after(30 * DAY).to_string()), "TV-C07");
}

#[test]
fn an_unknown_word_refuses_the_record() {
    for (pointer, value, code) in [
        ("/status", json!("ConsentMaybe"), "TV-C07"),
        ("/signer/role", json!("friend"), "TV-C07"),
        ("/signer/role", json!("guardian"), "TV-C07"),
        ("/signer/role", json!("signatory"), "TV-C07"),
        ("/purposes/0", json!("dpv:Fun"), "TV-C09"),
        ("/purposes/0", json!("AcademicResearch"), "TV-C09"),
        ("/rules/0/effect", json!("allow"), "TV-C07"),
        ("/rules/0/treatment", json!("blur"), "TV-C07"),
        ("/rules/0/keys", json!("everyone"), "TV-C07"),
        ("/rules/0/match/category", json!("healt"), "TV-C07"),
        ("/rules/0/match/sensitivity", json!("secret"), "TV-C07"),
        ("/rules/0/match", json!({}), "TV-C07"),
        ("/rules/0/match/selector", json!(""), "TV-C07"),
        ("/rules/0/treatment", Value::Null, "TV-C07"),
        ("/rules/0/keys", json!("recipient"), "TV-C07"),
    ] {
        refused(pointer, value, code);
    }
}

#[test]
fn a_misspelt_purpose_is_answered_with_its_neighbour() {
    let refusal = with("/purposes/0", json!("dpv:AcademicReserch")).expect_err("misspelt");
    assert_eq!(refusal.to_string(), "`dpv:AcademicReserch` is not a DPV purpose: did you mean `dpv:AcademicResearch`?");
}

#[test]
fn texts_and_lists_are_refused_one_past_their_limits() {
    let long = json!("x".repeat(1_025));
    for pointer in [
        "/method",
        "/gateway",
        "/notice/uri",
        "/controllers/0/id",
        "/controllers/0/name",
        "/controllers/0/address",
        "/controllers/0/contact",
        "/controllers/0/type",
        "/controllers/0/role",
        "/storage/places/0",
        "/jurisdiction/0",
        "/withdrawal/uri",
        "/rules/0/match/selector",
    ] {
        refused(pointer, long.clone(), "TV-C07");
        refused(pointer, json!(" "), "TV-C07");
        refused(pointer, json!("a\nb"), "TV-C07");
    }
    let document = document(1, 1, None);
    for (pointer, most) in [
        ("/rules", RULES_MAX),
        ("/recipients", RECIPIENTS_MAX),
        ("/purposes", PURPOSES_MAX),
        ("/controllers", CONTROLLERS_MAX),
        ("/storage/places", CODES_MAX),
        ("/jurisdiction", CODES_MAX),
    ] {
        let one = document.pointer(pointer).expect("there")[0].clone();
        assert!(with(pointer, json!(vec![one.clone(); most])).is_ok(), "{pointer}");
        refused(pointer, json!(vec![one; most + 1]), "TV-C07");
        refused(pointer, json!([]), "TV-C07");
    }
    refused("/replaces", json!(vec!["ab".repeat(32); IDS_MAX + 1]), "TV-C07");
    refused("/replaces", json!(["AB".repeat(32)]), "TV-C07");
}

#[test]
fn names_are_read_strictly() {
    for (pointer, value) in [
        ("/record_id", json!("1")),
        ("/subject", json!("did:web:example.org")),
        ("/signer/key", json!("z6Mk")),
        ("/notice/sha256", json!("ab")),
        ("/notice/lang", json!("english please")),
        ("/storage/retention", json!("six months")),
        ("/recipients/0/spiffe", json!("https://lab.example")),
        ("/recipients/0/key", json!(key(3).did().to_string())),
        ("/recipients/0", json!({})),
        ("/recipients/0/did", json!(key(3).did().to_string())),
        ("/vault_key", json!("z6LS")),
        ("/prev", json!("ab".repeat(32))),
        ("/seq", json!(0)),
        ("/seq", json!(2)),
    ] {
        refused(pointer, value, "TV-C07");
    }
    for seq in [json!(-1), json!(1.5), json!("1"), json!(18_446_744_073_709_551_616.0)] {
        refused("/seq", seq, "TV-C06");
    }
}

#[test]
fn a_recipient_is_a_workload_or_a_did_and_may_have_a_key() {
    let consent = with("/recipients/0", json!({"did": key(3).did().to_string(), "key": seal_key(3).to_string()})).expect("good");
    assert_eq!(consent.recipients, [Recipient { who: Matcher::Did(key(3).did()), key: Some(seal_key(3)) }]);
}

#[test]
fn a_forbid_names_workloads_or_everyone_and_needs_no_end() {
    let mut document = document(1, 1, None);
    document["rules"] = json!([{"effect": "forbid", "match": {"category": "location"}}]);
    document["recipients"] = json!([]);
    document["purposes"] = json!([]);
    document.as_object_mut().expect("object").remove("expires");
    let consent = read(&document).expect("good");
    assert_eq!(consent.expires, UnixMs::NEVER);
    assert_eq!(consent.rules[0].treatment, Treatment::Strip);

    document["recipients"] = json!([{"did": key(3).did().to_string()}]);
    assert_eq!(read(&document).expect_err("did").code(), "TV-C07");
    document["recipients"] = json!([]);
    document["rules"][0]["treatment"] = json!("keep");
    assert_eq!(read(&document).expect_err("keep").code(), "TV-C07");
}

#[test]
fn uses_are_counted_from_one_and_for_what_is_permitted() {
    assert_eq!(with("/max_uses", json!(1)).expect("good").max_uses, Some(1));
    refused("/max_uses", json!(0), "TV-C07");
    for value in [json!(-1), json!(1.5), json!("1")] {
        refused("/max_uses", value, "TV-C06");
    }
    let mut forbid = document(1, 1, None);
    forbid["max_uses"] = json!(1);
    forbid["rules"] = json!([{"effect": "forbid", "match": {"category": "location"}}]);
    assert_eq!(read(&forbid).expect_err("a forbid").code(), "TV-C07");
}

#[test]
fn hours_are_for_what_is_permitted() {
    let hours = json!({"zone": "Europe/Vienna", "days": ["mon"], "from": "08:00", "to": "16:30"});
    assert_eq!(with("/windows", json!([hours])).expect("good").windows.len(), 1);
    assert!(with("/windows", json!(vec![hours.clone(); WINDOWS_MAX])).is_ok());
    refused("/windows", json!(vec![hours.clone(); WINDOWS_MAX + 1]), "TV-C07");
    refused("/windows", json!(["Mo-Fr 08:00-18:00"]), "TV-C06");
    let mut forbid = document(1, 1, None);
    forbid["windows"] = json!([hours]);
    forbid["rules"] = json!([{"effect": "forbid", "match": {"category": "location"}}]);
    assert_eq!(read(&forbid).expect_err("a forbid").code(), "TV-C07");
}

#[test]
fn a_refusal_permits_nothing_and_may_say_nothing_more() {
    refused("/status", json!("ConsentRefused"), "TV-C07");
    let mut document = document(1, 1, None);
    document["status"] = json!("ConsentRefused");
    document["rules"] = json!([]);
    assert_eq!(read(&document).expect("good").status, Status::Refused);
}

#[test]
fn a_key_for_the_recipient_goes_with_encryption_only() {
    let rule = json!({"effect": "permit", "match": {"category": "health"}, "treatment": "encrypt", "keys": "recipient"});
    assert!(with("/rules/0", rule).expect("good").rules[0].recipient_holds_key);
}

#[test]
fn what_is_no_instant_no_window_and_no_key_is_named() {
    let mut document = document(1, 1, None);
    document["recipients"] = json!([{"did": "z6Mk"}]);
    assert_eq!(read(&document).expect_err("no did:key").code(), "TV-C07");
    refused("/not_before", json!("soon"), "TV-C07");
    refused("/windows", json!([{"zone": "UTC", "days": ["mon"], "from": "08:00", "to": "07:00"}]), "TV-C07");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(payload: Vec<u8>) {
        prop_assert!(Consent::parse(&payload).is_err());
    }

    #[test]
    fn a_record_cut_or_changed_anywhere_never_panics(at in 0usize..4_000, byte: u8) {
        let mut text = document(1, 1, None).to_string().into_bytes();
        let at = at % text.len();
        prop_assert!(Consent::parse(&text[..at]).is_err());
        text[at] = byte;
        let _ = Consent::parse(&text);
    }
}
