use super::*;
use crate::veil::schema::load_annotated;
use crate::veil::terms::purpose;

fn spiffe(name: &str) -> Spiffe {
    Spiffe::parse(&format!("spiffe://hospital.example/{name}")).expect("a SPIFFE id")
}

fn parties() -> Vec<(Spiffe, Vec<String>)> {
    vec![(spiffe("ward"), vec!["care".into(), "staff".into()]), (spiffe("lab"), vec!["research".into()]), (spiffe("alone"), Vec::new())]
}

fn load(text: &str) -> Policy {
    Policy::load(text, &parties()).unwrap_or_else(|error| panic!("{error}"))
}

/// (path → treatment, policy) for one recipient.
fn floors_of(policy: &Policy, recipient: &str, term: &str, jurisdiction: &str) -> BTreeMap<String, (Treatment, Option<String>)> {
    let schema = load_annotated(crate::proto::SAMPLES, "twinveil.sample.PatientFrame").expect("loads");
    let purpose = purpose(term).expect("a DPV term");
    let table = policy.floors(&schema, &spiffe(recipient), &purpose, jurisdiction).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(table.0.len(), schema.sites().len());
    let rows = schema.sites().iter().zip(table.0);
    rows.map(|(site, floor)| (site.path.to_string(), (floor.treatment, floor.policy.map(|policy| policy.to_string())))).collect()
}

#[track_caller]
fn refused(text: &str, fault: PolicyFault, words: &str) {
    let error = Policy::load(text, &parties()).expect_err("refused");
    expect(&error, fault, words);
}

#[track_caller]
fn expect(error: &PolicyError, fault: PolicyFault, words: &str) {
    let text = error.to_string();
    assert_eq!(error.fault, fault, "{text}");
    assert!(text.contains(words), "{text}\n does not say\n{words}");
    assert!(!text.contains('\n') && text.ends_with(fault.todo()), "{text}");
    assert_eq!(error.code(), fault.code());
}

const CARE: &str = r#"
    @id("care")
    permit (principal in Group::"care", action, resource) when { context.purpose == Purpose::"dpv:ServiceProvision" };
    permit (principal == Recipient::"spiffe://hospital.example/lab", action == Action::"generalize", resource)
        when { resource in [Category::"health", Category::"contact"] || resource in Sensitivity::"identifying" };
    @id("notes-sealed")
    forbid (principal, action, resource) when { resource.path like "note*" } unless { action == Action::"encrypt" };
    @id("abroad")
    forbid (principal, action == Action::"keep", resource) when { context.jurisdiction != "EU" };
"#;

#[test]
fn the_least_protective_permitted_treatment_is_the_floor() {
    let policy = load(CARE);
    let ward = floors_of(&policy, "ward", "dpv:ServiceProvision", "EU");
    assert_eq!(ward["vitals.heart_rate_bpm"], (Treatment::Keep, Some("care".into())));
    assert_eq!(ward["note"], (Treatment::Encrypt, Some("care".into())));
    let abroad = floors_of(&policy, "ward", "dpv:ServiceProvision", "US");
    assert_eq!(abroad["vitals.heart_rate_bpm"].0, Treatment::Generalize);
    let lab = floors_of(&policy, "lab", "dpv:ServiceProvision", "EU");
    assert_eq!(lab["vitals.heart_rate_bpm"], (Treatment::Generalize, Some("policy1".into())));
    assert_eq!(lab["patient_id"].0, Treatment::Generalize);
    assert_eq!(lab["position.latitude"], (Treatment::Strip, None));
    assert_eq!(lab["note"], (Treatment::Strip, None));
}

#[test]
fn nothing_is_allowed_by_default() {
    for (text, recipient, term) in
        [("", "ward", "dpv:ServiceProvision"), (CARE, "ward", "dpv:Marketing"), (CARE, "alone", "dpv:ServiceProvision")]
    {
        let floors = floors_of(&load(text), recipient, term, "EU");
        assert!(floors.values().all(|floor| *floor == (Treatment::Strip, None)), "{recipient} {term}");
    }
}

#[test]
fn a_forbid_takes_its_treatment_away_and_leaves_the_others() {
    let policy = load(
        r#"permit (principal, action, resource);
           forbid (principal, action in [Action::"keep", Action::"pseudonymize"], resource in Sensitivity::"special");"#,
    );
    let floors = floors_of(&policy, "lab", "dpv:ServiceProvision", "EU");
    assert_eq!(floors["vitals.spo2_pct"].0, Treatment::Generalize);
    assert_eq!(floors["device_id"].0, Treatment::Keep);
}

#[test]
fn fields_are_known_by_kind_schema_role_and_path() {
    let policy = load(
        r#"permit (principal, action == Action::"keep", resource) when { resource.kind == "float" && resource.schema == "twinveil.sample.PatientFrame" };
           permit (principal, action == Action::"pseudonymize", resource) when { resource has role && resource.role == "subject" };
           permit (principal, action == Action::"encrypt", resource) when { resource.path == "labels[\"ward\"]" };"#,
    );
    let floors = floors_of(&policy, "alone", "dpv:ServiceProvision", "EU");
    let of = |path: &str| floors[path].0;
    assert_eq!(of("waveforms.samples"), Treatment::Keep);
    assert_eq!(of("patient_id"), Treatment::Pseudonymize);
    assert_eq!(of(r#"labels["ward"]"#), Treatment::Encrypt);
    assert_eq!(of("sequence"), Treatment::Strip);
}

#[test]
fn unclassified_fields_are_stripped_whatever_a_policy_permits() {
    let schema = load_annotated(crate::proto::CONTRACT, "twinveil.v1.SubscribeRequest").expect("loads");
    let purpose = purpose("dpv:ServiceProvision").expect("a DPV term");
    let table = load("permit (principal, action, resource);").floors(&schema, &spiffe("ward"), &purpose, "EU").expect("floors");
    assert!(!table.0.is_empty() && table.0.iter().all(|floor| *floor == Floor { treatment: Treatment::Strip, policy: None }));
}

#[test]
fn names_that_do_not_exist_refuse_the_file() {
    for (scope, words) in [
        ("principal, action, resource in Category::\"helth\"", "no `Category::\"helth\"` (did you mean `health`?)"),
        ("principal, action, resource in Sensitivity::\"secret\"", "no `Sensitivity::\"secret\"`"),
        ("principal in Group::\"reserch\", action, resource", "no `Group::\"reserch\"` (did you mean `research`?)"),
        ("principal == Recipient::\"spiffe://hospital.example/wards\", action, resource", "did you mean `spiffe://hospital.example/ward`?"),
        ("principal, action == Action::\"kep\", resource", "no `Action::\"kep\"` (did you mean `keep`?)"),
        ("principal, action == Action::\"strip\", resource", "`strip` needs no permission"),
        ("principal, action, resource == Field::\"note\"", "fields are named by `resource.path`"),
        ("principal in Groups::\"care\", action, resource", "no type `Groups` (did you mean `Group`?)"),
    ] {
        refused(&format!("@id(\"x\")\npermit (\n{scope});"), PolicyFault::UnknownName, words);
        let error = Policy::load(&format!("\n@id(\"x\")\npermit (\n{scope});"), &parties()).expect_err("refused");
        assert_eq!((error.policy, error.line), (Some(PolicyId::new("x")), Some(4)), "{scope}");
    }
    refused(
        "permit (principal, action, resource) when { context.purpose == Purpose::\"dpv:ServiceProvison\" };",
        PolicyFault::UnknownName,
        "policy `policy0`, line 1: no `Purpose::\"dpv:ServiceProvison\"` (did you mean `dpv:ServiceProvision`?)",
    );
}

#[test]
fn no_groups_at_all_is_a_vocabulary_too() {
    let alone = [(spiffe("alone"), Vec::new())];
    assert!(Policy::load("permit (principal, action, resource);", &alone).is_ok());
    let error = Policy::load("permit (principal in Group::\"care\", action, resource);", &alone).expect_err("no such group");
    expect(&error, PolicyFault::UnknownName, "no `Group::\"care\"`");
}

#[test]
fn types_are_checked() {
    let text = "permit (principal, action, resource);\n@id(\"typed\") forbid (principal, action, resource)\nwhen { resource.path == 3 };";
    refused(text, PolicyFault::Invalid, "policy `typed`, line");
    for condition in [
        "resource.pth == \"note\"",
        "context.purpose like \"dpv:*\"",
        "resource.role == \"subject\"",
        "resource.path",
        "principal.name == \"x\"",
    ] {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        refused(&text, PolicyFault::Invalid, "policy `policy0`, line 1");
    }
}

#[test]
fn a_condition_that_can_never_be_true_refuses_the_file() {
    refused("forbid (principal, action, resource) when { resource is Recipient };", PolicyFault::Invalid, "line 1");
    refused("permit (principal, action, resource) when { false };", PolicyFault::Invalid, "policy `policy0`");
}

#[test]
fn text_that_is_not_cedar_is_refused_with_its_line() {
    refused("permit (principal, action, resource);\n\npermit (principal, action);", PolicyFault::Syntax, "policy file, line 3");
    refused("allow everything", PolicyFault::Syntax, "policy file, line 1");
    refused(&" ".repeat(POLICY_BYTES_MAX + 1), PolicyFault::TooLarge, "1048577 bytes");
    refused("\npermit (principal == ?principal, action, resource);", PolicyFault::Template, "policy file, line 2");
}

#[test]
fn two_policies_with_one_id_are_refused() {
    let one = "@id(\"a\") permit (principal, action, resource);\n";
    refused(&format!("{one}{one}"), PolicyFault::DuplicateId, "policy `a`, line 2");
    refused(
        "@id(\"policy1\") permit (principal, action, resource);\nforbid (principal, action, resource);",
        PolicyFault::DuplicateId,
        "`policy1`",
    );
    refused("@id(\"\") permit (principal, action, resource);", PolicyFault::DuplicateId, "an `@id` that can't be shown");
}

#[test]
fn parties_that_contradict_themselves_are_refused() {
    let twice = [(spiffe("a"), Vec::new()), (spiffe("a"), vec!["care".into()])];
    expect(&Policy::load("", &twice).expect_err("twice"), PolicyFault::Parties, "`spiffe://hospital.example/a` stands twice");
    let unnamed = [(spiffe("a"), vec![String::new()])];
    expect(&Policy::load("", &unnamed).expect_err("no name"), PolicyFault::Parties, "a group is named ``");
    let quoted = [(spiffe("a"), vec!["a\"b\\c ä".into()])];
    assert!(Policy::load("permit (principal in Group::\"a\\\"b\\\\c ä\", action, resource);", &quoted).is_ok());
}

#[test]
fn a_recipient_that_nobody_configured_has_no_floors() {
    let schema = load_annotated(crate::proto::SAMPLES, "twinveil.sample.PatientFrame").expect("loads");
    let purpose = purpose("dpv:ServiceProvision").expect("a DPV term");
    let error = load(CARE).floors(&schema, &spiffe("stranger"), &purpose, "EU").expect_err("unknown");
    expect(&error, PolicyFault::UnknownRecipient, "no recipient `spiffe://hospital.example/stranger`");
}

#[test]
fn a_policy_that_fails_while_it_is_evaluated_leaves_no_floors_at_all() {
    let policy = load(
        "permit (principal, action, resource);\n@id(\"overflows\") forbid (principal, action, resource) \
         when { 9223372036854775807 + (if context.jurisdiction == \"EU\" then 1 else 0) == 0 };",
    );
    let schema = load_annotated(crate::proto::SAMPLES, "twinveil.sample.PatientFrame").expect("loads");
    let purpose = purpose("dpv:ServiceProvision").expect("a DPV term");
    let error = policy.floors(&schema, &spiffe("ward"), &purpose, "EU").expect_err("overflow");
    expect(&error, PolicyFault::Evaluation, "policy `overflows`");
    assert!(policy.floors(&schema, &spiffe("ward"), &purpose, "US").is_ok());
}

#[test]
fn codes_are_distinct_and_every_fault_is_reached_by_a_test() {
    let source = include_str!("tests.rs");
    for (i, fault) in PolicyFault::ALL.iter().enumerate() {
        assert_eq!(fault.code(), format!("TV-P{:02}", i + 1));
        assert!(source.contains(&format!("PolicyFault::{fault:?},")), "no test refuses with {fault:?}");
    }
}
