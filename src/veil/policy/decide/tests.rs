#[cfg(feature = "gateway")]
mod several;

use proptest::prelude::*;

use super::*;
use crate::veil::consent::deciding::DecidingRule;
use crate::veil::name::{FieldPath, SealKey};
use crate::veil::schema::{Kind, load, load_annotated};
use crate::veil::terms::Category;

const RECORD: RecordId = RecordId([7; 32]);

fn patient() -> Schema {
    load_annotated(crate::proto::SAMPLES, "twinveil.sample.PatientFrame").expect("loads")
}

fn turbine() -> Schema {
    load_annotated(crate::proto::SAMPLES, "twinveil.sample.TurbineFrame").expect("loads")
}

fn open(schema: &Schema) -> FloorTable {
    everywhere(schema, Treatment::Keep)
}

fn everywhere(schema: &Schema, treatment: Treatment) -> FloorTable {
    let floor = Floor { treatment, policy: Some(PolicyId::new("p")) };
    FloorTable(vec![floor; schema.sites().len()])
}

fn rule(effect: Effect, treatment: Treatment) -> Rule {
    Rule { effect, category: None, sensitivity: None, selector: None, treatment, recipient_holds_key: false }
}

fn permit(category: Category, treatment: Treatment) -> Rule {
    Rule { category: Some(category), ..rule(Effect::Permit, treatment) }
}

fn permit_at(path: &str, treatment: Treatment) -> Rule {
    Rule { selector: Some(FieldPath::new(path)), ..rule(Effect::Permit, treatment) }
}

fn forbid(path: &str) -> Rule {
    Rule { selector: Some(FieldPath::new(path)), ..rule(Effect::Forbid, Treatment::Strip) }
}

/// The rules as one record that names both keys.
fn deciding(rules: &[Rule]) -> Deciding<'_> {
    let numbered = |(index, rule)| DecidingRule { record: RECORD, index, rule };
    Deciding {
        rules: (0..).zip(rules).map(numbered).collect(),
        recipient_key: Some(SealKey([1; 32])),
        vault_key: Some(SealKey([2; 32])),
        ..Deciding::default()
    }
}

fn at<'a>(schema: &Schema, decision: &'a Decision, path: &str) -> &'a Decided {
    let index = schema.sites().iter().position(|site| site.path.as_str() == path).unwrap_or_else(|| panic!("no site {path}"));
    &decision.sites[index]
}

/// What comes out at one path.
#[track_caller]
fn decided(schema: &Schema, floors: &FloorTable, subject: &[Rule], mandate: &[Rule], path: &str) -> (Treatment, Reason) {
    let decision = decide(schema, floors, Some(&deciding(subject)), Some(&deciding(mandate)));
    let at = at(schema, &decision, path);
    (at.treatment, at.reason.clone())
}

#[test]
fn without_anybodys_word_only_public_fields_are_kept() {
    let schema = turbine();
    let decision = decide(&schema, &open(&schema), None, None);
    for (site, decided) in schema.sites().iter().zip(&decision.sites) {
        let wanted = match site.facts.sensitivity {
            Sensitivity::Public => (Treatment::Keep, Reason::Public),
            Sensitivity::Operational => (Treatment::Strip, Reason::NoMandate),
            _ => (Treatment::Strip, Reason::NoConsent),
        };
        assert_eq!((decided.treatment, decided.reason.clone()), wanted, "{}", site.path);
    }
    assert!(decision.visible());
}

#[test]
fn a_consent_opens_what_it_names_and_nothing_else() {
    let schema = patient();
    let rules = [permit_at("vitals", Treatment::Keep)];
    let decision = decide(&schema, &open(&schema), Some(&deciding(&rules)), None);
    for (site, decided) in schema.sites().iter().zip(&decision.sites) {
        assert_eq!(decided.treatment == Treatment::Keep, site.path.as_str().starts_with("vitals."), "{}", site.path);
    }
    assert_eq!(at(&schema, &decision, "vitals.rr_ms").reason, Reason::Consent(RECORD, 0));
}

#[test]
fn all_matchers_of_a_rule_must_match() {
    let schema = patient();
    let both =
        Rule { category: Some(Category::Biometric), sensitivity: Some(Sensitivity::Special), ..permit_at("vitals", Treatment::Keep) };
    let rules = [both];
    for (path, treatment) in
        [("vitals.rr_ms", Treatment::Keep), ("vitals.spo2_pct", Treatment::Strip), ("waveforms.samples", Treatment::Strip)]
    {
        assert_eq!(decided(&schema, &open(&schema), &rules, &[], path).0, treatment, "{path}");
    }
}

#[test]
fn a_rule_without_matchers_permits_nothing_and_forbids_everything() {
    let schema = turbine();
    let all = [rule(Effect::Permit, Treatment::Keep)];
    assert_eq!(decided(&schema, &open(&schema), &all, &all, "site.name").1, Reason::NoMandate);
    let none = [rule(Effect::Forbid, Treatment::Strip)];
    let decision = decide(&schema, &open(&schema), Some(&deciding(&none)), None);
    assert!(!decision.visible());
}

#[test]
fn the_most_protective_of_matching_permits_decides() {
    let schema = patient();
    let rules =
        [permit(Category::Health, Treatment::Keep), permit_at("vitals", Treatment::Generalize), permit_at("vitals", Treatment::Generalize)];
    assert_eq!(decided(&schema, &open(&schema), &rules, &[], "vitals.heart_rate_bpm"), (Treatment::Generalize, Reason::Consent(RECORD, 1)));
    assert_eq!(decided(&schema, &open(&schema), &rules, &[], "note"), (Treatment::Keep, Reason::Consent(RECORD, 0)));
}

#[test]
fn a_forbid_of_either_wins() {
    let schema = patient();
    let rules = [forbid("vitals"), permit(Category::Health, Treatment::Keep)];
    assert_eq!(decided(&schema, &open(&schema), &rules, &[], "vitals.spo2_pct"), (Treatment::Strip, Reason::Forbidden(RECORD, 0)));
    let permits = [permit(Category::Health, Treatment::Keep)];
    assert_eq!(decided(&schema, &open(&schema), &permits, &[forbid("vitals")], "vitals.spo2_pct").1, Reason::Forbidden(RECORD, 0));
    let turbine = turbine();
    assert_eq!(decided(&turbine, &open(&turbine), &[forbid("nameplate")], &[], "nameplate.model").1, Reason::Forbidden(RECORD, 0));
}

#[test]
fn operational_fields_go_by_the_mandate_or_the_stewards_record() {
    let schema = turbine();
    let (keep, coarse) = ([permit(Category::Operation, Treatment::Keep)], [permit(Category::Operation, Treatment::Generalize)]);
    let path = "condition.gearbox_c";
    assert_eq!(decided(&schema, &open(&schema), &[], &keep, path), (Treatment::Keep, Reason::Mandate(RECORD, 0)));
    assert_eq!(decided(&schema, &open(&schema), &coarse, &keep, path), (Treatment::Generalize, Reason::Consent(RECORD, 0)));
    assert_eq!(decided(&schema, &open(&schema), &keep, &coarse, path), (Treatment::Keep, Reason::Consent(RECORD, 0)));
}

#[test]
fn a_mandate_never_speaks_for_a_person() {
    let schema = turbine();
    let all: Vec<_> = Category::ALL.iter().map(|&category| permit(category, Treatment::Keep)).collect();
    assert_eq!(decided(&schema, &open(&schema), &[], &all, "actions.operator_id"), (Treatment::Strip, Reason::NoConsent));
}

#[test]
fn floors_of_schema_and_operator_hold_against_a_consent() {
    let schema = patient();
    let keep = [permit(Category::Identity, Treatment::Keep)];
    assert_eq!(decided(&schema, &open(&schema), &keep, &[], "patient_id"), (Treatment::Pseudonymize, Reason::Floor));
    let policy = everywhere(&schema, Treatment::Generalize);
    assert_eq!(decided(&schema, &policy, &keep, &[], "identity.given_name"), (Treatment::Generalize, Reason::Policy(PolicyId::new("p"))));
    let tie = [permit(Category::Identity, Treatment::Generalize)];
    assert_eq!(decided(&schema, &policy, &tie, &[], "identity.given_name").1, Reason::Consent(RECORD, 0));
    let none = FloorTable(vec![Floor { treatment: Treatment::Strip, policy: None }; schema.sites().len()]);
    assert_eq!(decided(&schema, &none, &keep, &[], "identity.sex"), (Treatment::Strip, Reason::NoPolicy));
    assert_eq!(decided(&schema, &FloorTable(Vec::new()), &keep, &[], "identity.sex"), (Treatment::Strip, Reason::NoPolicy));
}

#[test]
fn a_treatment_that_does_not_exist_for_the_type_strips() {
    let schema = patient();
    let rules = [permit(Category::Health, Treatment::Pseudonymize), permit(Category::Identity, Treatment::Generalize)];
    assert_eq!(
        decided(&schema, &open(&schema), &rules, &[], "vitals.spo2_pct"),
        (Treatment::Strip, Reason::Undefined(Treatment::Pseudonymize))
    );
    assert_eq!(decided(&schema, &open(&schema), &rules, &[], "identity.sex"), (Treatment::Strip, Reason::Undefined(Treatment::Generalize)));
}

#[test]
fn keys_come_from_the_record_that_decided_and_from_no_other() {
    let schema = turbine();
    let seal = |recipient: bool| [Rule { recipient_holds_key: recipient, ..permit(Category::Operation, Treatment::Encrypt) }];
    let path = "condition.gearbox_c";
    let decided = |subject: Option<&Deciding<'_>>, mandate: Option<&Deciding<'_>>, floors: &FloorTable| {
        let decision = decide(&schema, floors, subject, mandate);
        let at = at(&schema, &decision, path);
        (at.treatment, at.holders, at.reason.clone())
    };
    let (with, without) = (seal(true), seal(false));
    let (both, vault) = (deciding(&with), deciding(&without));
    let none = Deciding { recipient_key: None, vault_key: None, ..both.clone() };
    let no_recipient = Deciding { recipient_key: None, ..both.clone() };
    let no_vault = Deciding { vault_key: None, ..both.clone() };
    let no_vault_and_none_wanted = Deciding { vault_key: None, ..vault.clone() };
    let open = open(&schema);
    let seals = |holders, reason: &Reason| (Treatment::Encrypt, holders, reason.clone());
    let (consent, mandate) = (Reason::Consent(RECORD, 0), Reason::Mandate(RECORD, 0));
    assert_eq!(decided(Some(&both), None, &open), seals(Holders::VaultAndRecipient, &consent));
    assert_eq!(decided(Some(&vault), Some(&both), &open), seals(Holders::Vault, &consent));
    assert_eq!(decided(None, Some(&both), &open), seals(Holders::MandateVaultAndRecipient, &mandate));
    assert_eq!(decided(None, Some(&vault), &open), seals(Holders::MandateVault, &mandate));
    assert_eq!(decided(Some(&no_recipient), Some(&both), &open), seals(Holders::Vault, &consent));
    assert_eq!(decided(Some(&no_vault), None, &open), seals(Holders::VaultAndRecipient, &consent));
    for keyless in [&none, &no_vault_and_none_wanted] {
        assert_eq!(decided(Some(keyless), Some(&both), &open), (Treatment::Strip, Holders::Vault, Reason::NoKey));
    }
    let mixed = [with[0].clone(), without[0].clone()];
    assert_eq!(decided(Some(&deciding(&mixed)), None, &open), seals(Holders::Vault, &Reason::Consent(RECORD, 1)));
    // The operator accepts what is sealed, but what is to be coarser at the least is not handed over whole.
    assert_eq!(decided(Some(&both), None, &everywhere(&schema, Treatment::Encrypt)).1, Holders::VaultAndRecipient);
    for floor in [Treatment::Generalize, Treatment::Pseudonymize] {
        assert_eq!(decided(Some(&both), None, &everywhere(&schema, floor)), seals(Holders::Vault, &consent), "{floor}");
    }
    // A record that lets the field be seen did not ask for a key.
    let keep = [Rule { recipient_holds_key: true, ..permit(Category::Operation, Treatment::Keep) }];
    let sealed = everywhere(&schema, Treatment::Encrypt);
    assert_eq!(decided(Some(&deciding(&keep)), None, &sealed), seals(Holders::Vault, &Reason::Policy(PolicyId::new("p"))));
}

#[test]
fn a_floor_of_the_schema_withholds_the_recipients_key_too() {
    let schema = patient();
    let rules = [Rule { recipient_holds_key: true, ..permit(Category::Identity, Treatment::Encrypt) }];
    let decision = decide(&schema, &open(&schema), Some(&deciding(&rules)), None);
    assert_eq!(at(&schema, &decision, "identity.national_id").holders, Holders::Vault);
    assert_eq!(at(&schema, &decision, "identity.sex").holders, Holders::VaultAndRecipient);
}

#[test]
fn public_fields_that_the_operator_wants_sealed_have_no_key_and_are_stripped() {
    let schema = turbine();
    let keys = [permit(Category::Device, Treatment::Keep)];
    assert_eq!(
        decided(&schema, &everywhere(&schema, Treatment::Encrypt), &keys, &keys, "nameplate.model"),
        (Treatment::Strip, Reason::NoKey)
    );
}

#[test]
fn both_coordinates_get_the_more_protective_treatment() {
    let schema = patient();
    let (north, east) = ("position.latitude", "position.longitude");
    let both = |rules: &[Rule]| {
        let decision = decide(&schema, &open(&schema), Some(&deciding(rules)), None);
        (at(&schema, &decision, north).clone(), at(&schema, &decision, east).clone())
    };
    let (a, b) = both(&[permit_at(north, Treatment::Keep), permit_at(east, Treatment::Generalize)]);
    assert_eq!((a.treatment, a.reason), (Treatment::Generalize, Reason::Pair(FieldPath::new(east))));
    assert_eq!((b.treatment, b.reason), (Treatment::Generalize, Reason::Consent(RECORD, 1)));
    let (a, b) = both(&[permit_at(north, Treatment::Keep)]);
    assert_eq!((a.treatment, b.treatment), (Treatment::Strip, Treatment::Strip));
    let seal = |path: &str, recipient| Rule { recipient_holds_key: recipient, ..permit_at(path, Treatment::Encrypt) };
    let (a, b) = both(&[seal(north, true), seal(east, false)]);
    assert_eq!((a.holders, b.holders), (Holders::Vault, Holders::Vault));
    assert_eq!((a.reason, b.reason), (Reason::Pair(FieldPath::new(east)), Reason::Consent(RECORD, 1)));
    let (a, b) = both(&[seal(north, true), permit_at(east, Treatment::Generalize)]);
    assert_eq!((a.treatment, a.holders), (b.treatment, b.holders));
    assert_eq!((b.treatment, b.holders), (Treatment::Encrypt, Holders::VaultAndRecipient));
}

#[test]
fn coordinates_whose_keys_belong_to_different_people_are_stripped() {
    let schema = turbine();
    let subject = [permit_at("site.latitude", Treatment::Encrypt)];
    let mandate = [permit_at("site", Treatment::Encrypt)];
    let decision = decide(&schema, &open(&schema), Some(&deciding(&subject)), Some(&deciding(&mandate)));
    for path in ["site.latitude", "site.longitude"] {
        assert_eq!(at(&schema, &decision, path).treatment, Treatment::Strip, "{path}");
    }
    assert_eq!(at(&schema, &decision, "site.name").holders, Holders::MandateVault);
}

/// A descriptor set of one proto2 file: `message M { required string id = 1; optional In in = 2; optional string s = 3; }
/// message In { required string key = 1; optional string v = 2; optional M m = 3; }`.
fn with_required_fields() -> Schema {
    use prost::Message as _;
    let field = |name: &str, number, label, inner: Option<&str>| prost_types::FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(label),
        r#type: Some(if inner.is_some() { 11 } else { 9 }),
        type_name: inner.map(Into::into),
        ..Default::default()
    };
    let message = |name: &str, field| prost_types::DescriptorProto { name: Some(name.into()), field, ..Default::default() };
    let file = prost_types::FileDescriptorProto {
        package: Some("t".into()),
        message_type: vec![
            message("M", vec![field("id", 1, 2, None), field("in", 2, 1, Some(".t.In")), field("s", 3, 1, None)]),
            message("In", vec![field("key", 1, 2, None), field("v", 2, 1, None), field("m", 3, 1, Some(".t.M"))]),
        ],
        ..Default::default()
    };
    let side = "['t.M']\nid = { sensitivity = 'public', category = 'device' }\ns = { sensitivity = 'public', category = 'device' }
        ['t.In']\nkey = { sensitivity = 'public', category = 'device' }\nv = { sensitivity = 'public', category = 'device' }";
    load(&prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec(), "t.M", Some(side)).expect("loads")
}

#[test]
fn a_message_whose_required_field_is_stripped_is_stripped() {
    let schema = with_required_fields();
    let treatments = |forbidden: &str| {
        let rules = [forbid(forbidden)];
        let decision = decide(&schema, &open(&schema), Some(&deciding(&rules)), None);
        ["id", "s", "in.key", "in.v"].map(|path| (at(&schema, &decision, path).treatment, at(&schema, &decision, path).reason.clone()))
    };
    let kept = (Treatment::Keep, Reason::Public);
    let missing = |path: &str| (Treatment::Strip, Reason::Required(FieldPath::new(path)));
    let forbidden = (Treatment::Strip, Reason::Forbidden(RECORD, 0));
    assert_eq!(treatments("in.key"), [kept.clone(), kept.clone(), forbidden.clone(), missing("in.key")]);
    assert_eq!(treatments("in.v"), [kept.clone(), kept.clone(), kept, forbidden.clone()]);
    assert_eq!(treatments("id"), [forbidden, missing("id"), missing("id"), missing("id")]);
}

#[test]
fn frames_flow_only_to_who_may_know_whom_they_are_about() {
    let (patient, turbine) = (patient(), turbine());
    let delivers = |schema: &Schema, subject: Option<&[Rule]>, mandate: Option<&[Rule]>| {
        let (subject, mandate) = (subject.map(deciding), mandate.map(deciding));
        decide(schema, &open(schema), subject.as_ref(), mandate.as_ref()).delivers(schema, subject.as_ref(), mandate.as_ref())
    };
    let health = [permit(Category::Health, Treatment::Keep)];
    let operation = [permit(Category::Operation, Treatment::Keep)];
    let nothing = [permit(Category::Operation, Treatment::Strip)];
    assert!(delivers(&patient, Some(&health), None));
    assert!(!delivers(&patient, None, Some(&health)));
    assert!(!delivers(&patient, Some(&operation), None), "nothing would be visible");
    // The nameplate is public, the rhythm of the turbine is not.
    assert!(!delivers(&turbine, None, None));
    assert!(!delivers(&turbine, None, Some(&nothing)));
    assert!(!delivers(&turbine, Some(&[forbid("site")]), None));
    assert!(delivers(&turbine, None, Some(&operation)));
    assert!(delivers(&turbine, Some(&operation), None));
    assert!(delivers(&with_required_fields(), None, None), "a schema without a subject, public");
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let paths =
        ["vitals", "vitals.heart_rate_bpm", "position", "position.latitude", "labels", r#"labels["ward"]"#, "identity", "patient_id"];
    (
        prop::sample::select(vec![Effect::Permit, Effect::Permit, Effect::Permit, Effect::Forbid]),
        prop::option::of(prop::sample::select(Category::ALL)),
        prop::option::of(prop::sample::select(Sensitivity::ALL)),
        prop::option::of(prop::sample::select(paths.to_vec())),
        prop::sample::select(Treatment::ALL),
        any::<bool>(),
    )
        .prop_map(|(effect, category, sensitivity, path, treatment, recipient_holds_key)| Rule {
            effect,
            category,
            sensitivity,
            selector: path.map(FieldPath::new),
            treatment: if effect == Effect::Forbid { Treatment::Strip } else { treatment },
            recipient_holds_key,
        })
}

proptest! {
    #[test]
    fn a_decision_is_never_less_protective_than_anyone_asked(
        rules in prop::collection::vec(any_rule(), 0..8),
        mandate in prop::collection::vec(any_rule(), 0..4),
        floors in prop::collection::vec(prop::sample::select(Treatment::ALL), 60),
        keys in any::<(bool, bool)>(),
        sample in any::<bool>(),
    ) {
        let schema = if sample { patient() } else { turbine() };
        let floors: Vec<_> = schema.sites().iter().zip(floors.iter().cycle()).map(|(_, &treatment)| Floor { treatment, policy: None }).collect();
        let mut subject = deciding(&rules);
        if !keys.0 { subject.recipient_key = None; }
        if !keys.1 { subject.vault_key = None; }
        let mandate = deciding(&mandate);
        let decision = decide(&schema, &FloorTable(floors.clone()), Some(&subject), Some(&mandate));
        prop_assert_eq!(decision.sites.len(), schema.sites().len());
        for ((site, floor), decided) in schema.sites().iter().zip(&floors).zip(&decision.sites) {
            let matching = |deciding: &Deciding<'_>, effect: Effect| {
                deciding.rules.iter().filter(|at| at.rule.effect == effect && matches(at.rule, site)).map(|at| at.rule.clone()).collect::<Vec<_>>()
            };
            prop_assert!(decided.treatment >= site.facts.floor && decided.treatment >= floor.treatment, "{}", site.path);
            prop_assert!(site.allows(decided.treatment));
            let (own, operators) = (matching(&subject, Effect::Permit), matching(&mandate, Effect::Permit));
            let agreed = match site.facts.sensitivity {
                Sensitivity::Public => vec![rule(Effect::Permit, Treatment::Keep)],
                Sensitivity::Operational if own.is_empty() => operators,
                _ => own,
            };
            prop_assert!(!agreed.is_empty() || decided.treatment == Treatment::Strip, "{}", site.path);
            for rule in &agreed {
                prop_assert!(decided.treatment >= rule.treatment, "{}", site.path);
            }
            if !matching(&subject, Effect::Forbid).is_empty() || !matching(&mandate, Effect::Forbid).is_empty() {
                prop_assert_eq!(decided.treatment, Treatment::Strip, "{}", &site.path);
            }
            if decided.treatment == Treatment::Encrypt {
                let recipient = matches!(decided.holders, Holders::VaultAndRecipient | Holders::MandateVaultAndRecipient);
                let coarser = [Treatment::Generalize, Treatment::Pseudonymize];
                let withheld = coarser.contains(&site.facts.floor) || coarser.contains(&floor.treatment);
                prop_assert!(!(recipient && withheld), "{}", site.path);
                // A key only by the word of every record that decides.
                let asked = agreed.iter().filter(|rule| rule.treatment == Treatment::Encrypt).all(|rule| rule.recipient_holds_key);
                prop_assert!(!recipient || asked, "{}", site.path);
                if matches!(decided.holders, Holders::Vault | Holders::VaultAndRecipient) {
                    prop_assert!(keys.0 || keys.1);
                }
            }
        }
        for (latitude, longitude) in schema.pairs() {
            prop_assert_eq!(decision.sites[latitude.0 as usize].treatment, decision.sites[longitude.0 as usize].treatment);
        }
    }

    #[test]
    fn what_nobody_classified_is_stripped_whatever_anybody_permits(rules in prop::collection::vec(any_rule(), 0..8)) {
        let set = crate::proto::CONTRACT;
        let schema = load_annotated(set, "twinveil.v1.SubscribeRequest").expect("loads");
        let rules: Vec<_> = rules.into_iter().chain(schema.sites().iter().map(|site| permit_at(site.path.as_str(), Treatment::Keep))).collect();
        let decision = decide(&schema, &open(&schema), Some(&deciding(&rules)), Some(&deciding(&rules)));
        prop_assert!(decision.sites.iter().all(|decided| *decided == strip(Reason::Unclassified)));
        prop_assert!(!decision.visible());
        prop_assert!(schema.sites().iter().any(|site| site.kind == Kind::String));
    }
}
