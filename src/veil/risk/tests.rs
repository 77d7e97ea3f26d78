//! Do rules bite where they should, and never more where more is protected?

use std::sync::Arc;

use proptest::prelude::*;

use super::document::Field;
use super::*;
use crate::proto::SAMPLES;
use crate::veil::name::{Origin, Purpose, Spiffe};
use crate::veil::policy::{Decided, Decision, Holders, Reason};
use crate::veil::schema::{Schema, SiteId, load_annotated};
use crate::veil::terms::{self, Treatment};

const BUILTIN: &str = include_str!("../../cli/assets/risks.toml");
const PATIENT: &str = "twinveil.sample.PatientFrame";
const TURBINE: &str = "twinveil.sample.TurbineFrame";

fn builtin() -> Rules {
    Rules::parse(BUILTIN, None).unwrap_or_else(|error| panic!("{error}"))
}

fn sample(message: &str) -> Arc<Schema> {
    Arc::new(load_annotated(SAMPLES, message).expect("built in"))
}

/// How much of a field is shown now, and with keys: a treatment, and who can open what is sealed.
type Done = (Treatment, Holders);
const SEALED: Done = (Treatment::Encrypt, Holders::Vault);
const OPENED: Done = (Treatment::Encrypt, Holders::VaultAndRecipient);
const STRIPPED: Done = (Treatment::Strip, Holders::Vault);
const KEPT: Done = (Treatment::Keep, Holders::Vault);
const COARSE: Done = (Treatment::Generalize, Holders::Vault);

fn decision(schema: &Schema, done: impl Fn(&str) -> Done) -> Decision {
    let decided = |(treatment, holders)| Decided { treatment, holders, reason: Reason::Floor };
    Decision { sites: schema.sites().iter().map(|site| decided(done(site.path.as_str()))).collect() }
}

fn face(schema: &Arc<Schema>, done: impl Fn(&str) -> Done) -> Face {
    let decision = decision(schema, done);
    Face::new(schema, &decision, &decision)
}

fn purpose(text: &str) -> Purpose {
    terms::purpose(text).expect("a DPV term")
}

fn to(name: &str, group: &str, purpose: Option<Purpose>) -> Audience {
    let recipient = Spiffe::parse(&format!("spiffe://example.org/{name}")).expect("a SPIFFE id");
    Audience { name: name.into(), recipient, groups: vec![group.into()], purpose, way: Way::Subscribe }
}

/// The recipients `a`, `b` … with these faces.
fn assessed(rules: &Rules, faces: impl IntoIterator<Item = Face>) -> Assessment<'_> {
    let mut assessment = Assessment::new(rules);
    for (name, face) in ["a", "b", "c"].into_iter().zip(faces) {
        assessment.add(face, None, to(name, &format!("group-{name}"), Some(purpose("dpv:ServiceProvision")))).expect("few");
    }
    assessment
}

fn document(assessment: &Assessment<'_>) -> Document {
    let assumed = Assumed { subjects: Whole::Everything, operator: Whole::Everything };
    let purposes = [purpose("dpv:ServiceProvision")];
    let gateway = Origin::new("gateway.example.org/twins");
    Document::of(assessment, Circumstances { gateway: &gateway, jurisdiction: "EU", assumed, asked: Asked::default(), purposes: &purposes })
}

/// The rules that bite: id, views, with keys.
fn bitten(assessment: &Assessment<'_>) -> Vec<(String, Vec<usize>, bool)> {
    let rules: Vec<&Rule> = assessment.rules().iter().collect();
    assessment.bites().into_iter().map(|bite| (rules[bite.rule].id.clone(), bite.views, bite.with_keys)).collect()
}

fn ids(assessment: &Assessment<'_>) -> Vec<String> {
    bitten(assessment).into_iter().map(|(id, ..)| id).collect()
}

fn only<'p>(kept: &'p [&'p str], coarse: &'p [&'p str]) -> impl Fn(&str) -> Done + 'p {
    move |path| match (kept.contains(&path), coarse.contains(&path)) {
        (true, _) => KEPT,
        (_, true) => COARSE,
        (false, false) => STRIPPED,
    }
}

const PLACE: [&str; 2] = ["position.latitude", "position.longitude"];

/// One of a rule's combinations, and what of it is left when the rule is stopped.
#[test]
fn a_rule_bites_where_all_of_its_needs_are_met_and_not_before() {
    let (rules, patient, turbine) = (builtin(), sample(PATIENT), sample(TURBINE));
    for (schema, rule, kept, coarse) in [
        (&patient, "named-health", &["identity.family_name", "vitals.spo2_pct"][..], &[][..]),
        (&patient, "birth-date-postcode-sex", &["identity.birth_date", "identity.postcode", "identity.sex"], &[]),
        (&patient, "diagnosis-and-demographics", &["labels[\"diagnosis\"]"], &["identity.birth_date"]),
        (&patient, "device-and-time", &["device_id"], &["captured_at_ms"]),
        (&patient, "place-and-time", &PLACE, &["captured_at_ms"]),
        (&patient, "coarse-place-and-time", &[], &["position.latitude", "position.longitude", "captured_at_ms"]),
        (&patient, "speed-track", &["position.speed_m_s", "captured_at_ms"], &[]),
        (&patient, "altitude-track", &["position.altitude_m", "captured_at_ms"], &[]),
        (&patient, "heart-rate-and-place", &[], &["vitals.heart_rate_bpm", "position.latitude", "position.longitude"]),
        (&patient, "daily-routine", &[], &["activity.steps", "captured_at_ms"]),
        (&turbine, "customer-demand", &["demand.customer"], &["demand.setpoint_kw"]),
        (&turbine, "load-and-shift-pattern", &[], &["production.active_power_kw", "captured_at_ms"]),
        (&turbine, "curtailment", &[], &["production.wind_speed_m_s", "production.active_power_kw"]),
        (&turbine, "load-from-wind", &["nameplate.model"], &["production.wind_speed_m_s"]),
        (&turbine, "load-from-condition", &["condition.gearbox_c"], &["captured_at_ms"]),
        (&turbine, "weather-is-the-site", &[], &["production.outdoor_c", "captured_at_ms"]),
    ] {
        let shown = only(kept, coarse);
        assert!(ids(&assessed(&rules, [face(schema, &shown)])).contains(&rule.to_owned()), "{rule} does not bite");
        // Each of its needs is needed.
        let needs = rules.get(rule).expect("built in").needs.len();
        let found = assessed(&rules, [face(schema, &shown)]).bites();
        let found = found.iter().find(|bite| rules.iter().position(|one| one.id == rule) == Some(bite.rule)).expect("bites");
        assert_eq!(found.hits.len(), needs);
        for hits in &found.hits {
            let hidden: Vec<&str> = hits.iter().map(|hit| schema.sites()[hit.site.0 as usize].path.as_str()).collect();
            let without = face(schema, |path| if hidden.contains(&path) { SEALED } else { shown(path) });
            assert!(!ids(&assessed(&rules, [without])).contains(&rule.to_owned()), "{rule} without {hidden:?}");
        }
    }
    // One field is enough for some.
    for (schema, rule, field, done) in [
        (&patient, "named", "identity.passport", KEPT),
        (&patient, "free-text", "note", KEPT),
        (&patient, "waveform-is-a-fingerprint", "waveforms.samples", COARSE),
        (&patient, "beat-intervals", "vitals.rr_ms", KEPT),
        (&turbine, "operator-conduct", "actions.operator_id", (Treatment::Pseudonymize, Holders::Vault)),
        (&turbine, "site-coordinates", "site.latitude", COARSE),
        (&turbine, "site-name", "asset_id", KEPT),
        (&turbine, "serial-is-the-site", "nameplate.serial_number", KEPT),
    ] {
        let at = |shown: Done| ids(&assessed(&rules, [face(schema, |path| if path == field { shown } else { STRIPPED })]));
        assert!(at(done).contains(&rule.to_owned()), "{rule} does not bite");
        assert!(at(SEALED).is_empty() && at(STRIPPED).is_empty(), "{rule}");
    }
}

#[test]
fn what_is_coarse_enough_is_enough() {
    let (rules, patient) = (builtin(), sample(PATIENT));
    // A year of birth, and the first two digits of a postcode.
    let shown = only(&["identity.sex"], &["identity.birth_date", "identity.postcode"]);
    assert!(!ids(&assessed(&rules, [face(&patient, shown)])).contains(&"birth-date-postcode-sex".to_owned()));
    // An act by the day is no shift; by the hour it would be.
    let turbine = sample(TURBINE);
    assert!(ids(&assessed(&rules, [face(&turbine, only(&[], &["actions.at_ms"]))])).is_empty());
    assert_eq!(ids(&assessed(&rules, [face(&turbine, only(&["actions.at_ms"], &[]))])), ["shift-from-acts"]);
}

#[test]
fn what_a_key_would_open_is_told_apart_from_what_is_open() {
    let (rules, turbine) = (builtin(), sample(TURBINE));
    let done = |sealed: Done| {
        decision(&turbine, move |path| if path == "demand.customer" { sealed } else { only(&["demand.setpoint_kw"], &[])(path) })
    };
    let of = |now: Done, with_keys: Done| bitten(&assessed(&rules, [Face::new(&turbine, &done(now), &done(with_keys))]));
    let found = |with_keys: bool| vec![("customer-demand".to_owned(), vec![0], with_keys)];
    let customers =
        |found: Vec<(String, Vec<usize>, bool)>| found.into_iter().filter(|(id, ..)| id == "customer-demand").collect::<Vec<_>>();
    assert_eq!(customers(of(SEALED, SEALED)), []);
    assert_eq!(customers(of(SEALED, OPENED)), found(true));
    assert_eq!(customers(of(OPENED, OPENED)), found(false));
}

#[test]
fn two_who_pool_join_by_equal_values_and_not_by_stand_ins() {
    let (rules, patient) = (builtin(), sample(PATIENT));
    let has = |path: &str, rest: &[(&str, Done)]| {
        let found = rest.iter().find(|(of, _)| *of == path).map(|(_, done)| *done);
        found.unwrap_or(STRIPPED)
    };
    let pooled = |shared: &[(&str, Done)]| {
        let renderer = [shared, &[("position.latitude", COARSE), ("position.longitude", COARSE)]].concat();
        let doctor = [shared, &[("vitals.heart_rate_bpm", KEPT)]].concat();
        bitten(&assessed(&rules, [face(&patient, |path| has(path, &renderer)), face(&patient, |path| has(path, &doctor))]))
    };
    let stand_in = (Treatment::Pseudonymize, Holders::Vault);
    assert_eq!(pooled(&[("patient_id", stand_in), ("device_id", stand_in), ("modality", KEPT)]), []);
    let found =
        |found: Vec<(String, Vec<usize>, bool)>| found.into_iter().any(|one| one == ("heart-rate-and-place".to_owned(), vec![0, 1], false));
    assert!(found(pooled(&[("captured_at_ms", KEPT)])));
    assert!(found(pooled(&[("sequence", KEPT)])));
    assert!(!found(pooled(&[("captured_at_ms", COARSE)])));
    // One who has it all alone needs nobody.
    let all = assessed(&rules, [face(&patient, |_| KEPT), face(&patient, only(&["captured_at_ms"], &[]))]);
    assert!(bitten(&all).iter().all(|(_, views, _)| *views == [0]));
}

#[test]
fn after_all_that_is_suggested_nothing_bites() {
    let (rules, patient, turbine) = (builtin(), sample(PATIENT), sample(TURBINE));
    let faces = || {
        let open = decision(&patient, |_| OPENED);
        let sealed = decision(&patient, |path| if path == "note" || PLACE.contains(&path) { SEALED } else { KEPT });
        [Face::new(&patient, &sealed, &open), face(&patient, only(&["captured_at_ms"], &PLACE)), face(&turbine, |_| KEPT)]
    };
    let before = assessed(&rules, faces());
    assert!(before.bites().len() > 20);
    let mut after = before.clone();
    for (view, site, floor) in before.remedies() {
        let site_of = &patient.sites().get(site.0 as usize);
        assert!(floor > Treatment::Keep && floor != Treatment::Encrypt, "{site_of:?}");
        let shown = [Shown::Whole, Shown::Coarse, Shown::StandIn, Shown::Nothing, Shown::Nothing][floor as usize];
        after.views[view].face.cover(site, floor, shown);
    }
    assert_eq!(bitten(&after), []);
}

#[test]
fn every_floor_that_is_suggested_exists_for_its_field() {
    let rules = builtin();
    for message in [PATIENT, TURBINE] {
        let schema = sample(message);
        for (_, site, floor) in assessed(&rules, [face(&schema, |_| KEPT)]).remedies() {
            assert!(schema.sites()[site.0 as usize].allows(floor), "{}: {floor}", schema.sites()[site.0 as usize].path);
        }
    }
}

#[test]
fn an_assessment_reads_back_and_tells_no_names_in_its_summary() {
    let (rules, patient) = (builtin(), sample(PATIENT));
    let written = document(&assessed(&rules, [face(&patient, |_| KEPT), face(&patient, only(&["captured_at_ms"], &PLACE))]));
    let text = serde_json::to_string(&written).expect("writes");
    assert_eq!(Document::parse(&text).as_ref(), Ok(&written));
    // As `--against` prints it.
    assert_eq!(Document::parse(&format!("{text}\n{{\"kind\":\"difference\"}}\n")).as_ref(), Ok(&written));
    let summary = serde_json::to_string(&written.summary).expect("writes");
    assert!(!summary.contains("example.org") && summary.contains("group-a") && !summary.contains("position"), "{summary}");
    let counts = [written.summary.shown, written.summary.with_keys, written.summary.pooled].map(|counts| counts.at_least(Severity::Low));
    assert_eq!(counts.iter().sum::<usize>(), written.findings.len());
}

#[test]
fn what_is_no_assessment_is_refused() {
    let rules = builtin();
    let text = serde_json::to_string(&document(&assessed(&rules, [face(&sample(PATIENT), |_| KEPT)]))).expect("writes");
    for (bad, fault) in [
        (String::new(), RiskFault::NoDocument),
        ("{}".to_owned(), RiskFault::NoDocument),
        (text.replacen("\"version\":1", "\"version\":2", 1), RiskFault::NoDocument),
        (text.replacen("\"kind\":\"risk\"", "\"kind\":\"compared\"", 1), RiskFault::NoDocument),
        (text.replacen("\"jurisdiction\"", "\"jurisdicton\"", 1), RiskFault::NoDocument),
        (text.replacen("\"views\":[0]", "\"views\":[1]", 1), RiskFault::NoDocument),
        (text.replacen("\"views\":[0]", "\"views\":[]", 1), RiskFault::NoDocument),
        (format!("{text}\n{text}"), RiskFault::NoDocument),
        (text[..text.len() - 1].to_owned(), RiskFault::NoDocument),
        (" ".repeat(DOCUMENT_BYTES_MAX + 1), RiskFault::TooLarge),
    ] {
        assert_eq!(Document::parse(&bad).map_err(|error| error.fault), Err(fault), "{}", &bad[..bad.len().min(80)]);
    }
}

/// What changed, as words.
fn changed(old: &Document, new: &Document) -> Vec<(bool, &'static str, Option<String>)> {
    compare(old, new).expect("comparable").into_iter().map(|found| (found.worse, found.what.word(), found.rule)).collect()
}

#[test]
fn what_became_worse_is_told_and_what_became_better_is_not_called_so() {
    let (rules, patient) = (builtin(), sample(PATIENT));
    let little = document(&assessed(&rules, [face(&patient, only(&["captured_at_ms"], &[]))]));
    let more = document(&assessed(&rules, [face(&patient, only(&["captured_at_ms"], &PLACE))]));
    let found = |rule: &str| Some(rule.to_owned());
    assert_eq!(changed(&little, &little), []);
    assert_eq!(changed(&little, &more), [(true, "bites", found("coarse-place-and-time")), (true, "shows_more", None)]);
    assert_eq!(changed(&more, &little), [(false, "shows_less", None), (false, "no_longer_bites", found("coarse-place-and-time"))]);
    let two = document(&assessed(&rules, [face(&patient, only(&["captured_at_ms"], &[])), face(&patient, only(&["note"], &[]))]));
    assert_eq!(changed(&little, &two), [(true, "bites", found("free-text")), (true, "flows", None)]);
    assert_eq!(changed(&two, &little), [(false, "no_longer_flows", None), (false, "no_longer_bites", found("free-text"))]);
}

#[test]
fn a_rule_that_is_gone_or_mended_is_no_improvement() {
    let (rules, patient) = (builtin(), sample(PATIENT));
    let fewer = Rules::parse("builtin = false", Some(&rules)).expect("reads");
    let shown = || face(&patient, only(&["note"], &[]));
    let (with, without) = (document(&assessed(&rules, [shown()])), document(&assessed(&fewer, [shown()])));
    assert_eq!(changed(&with, &without), [(true, "unassessed", Some("free-text".to_owned()))]);
    assert_eq!(changed(&without, &with), [(true, "new_rule_bites", Some("free-text".to_owned()))]);
    let weaker = BUILTIN.replace("\"note\", \"notes\", ", "");
    let weaker = Rules::parse(&weaker, None).expect("reads");
    assert_eq!(changed(&with, &document(&assessed(&weaker, [shown()]))), [(true, "unassessed", Some("free-text".to_owned()))]);
}

#[test]
fn a_purpose_that_gets_a_name_is_what_it_was_among_all_others() {
    let (rules, patient) = (builtin(), sample(PATIENT));
    let shown = || face(&patient, only(&["note"], &[]));
    let of = |audiences: &[Option<Purpose>], named: &[Purpose]| {
        let mut assessment = Assessment::new(&rules);
        for purpose in audiences {
            assessment.add(shown(), None, to("a", "g", purpose.clone())).expect("few");
        }
        let assumed = Assumed { subjects: Whole::Everything, operator: Whole::Everything };
        let gateway = Origin::new("gateway.example.org/twins");
        Document::of(
            &assessment,
            Circumstances { gateway: &gateway, jurisdiction: "EU", assumed, asked: Asked::default(), purposes: named },
        )
    };
    let research = purpose("dpv:ScientificResearch");
    let (others, both) = (of(&[None], &[]), of(&[None, Some(research.clone())], std::slice::from_ref(&research)));
    assert_eq!((changed(&others, &both), changed(&both, &others)), (vec![], vec![]));
    // Named, and it gets nothing: that is not what all others get.
    let named = of(&[None], std::slice::from_ref(&research));
    assert_eq!(changed(&named, &both), [(true, "bites", Some("free-text".to_owned())), (true, "flows", None)]);
}

#[test]
fn two_that_were_one_before_are_no_new_finding() {
    let (rules, patient) = (builtin(), sample(PATIENT));
    let place = || face(&patient, only(&["captured_at_ms"], &PLACE));
    let alone = [face(&patient, only(&["captured_at_ms", "vitals.heart_rate_bpm"], &PLACE)), place()];
    let together = [face(&patient, only(&["captured_at_ms", "vitals.heart_rate_bpm"], &[])), place()];
    let (alone, together) = (document(&assessed(&rules, alone)), document(&assessed(&rules, together)));
    assert!(together.findings.iter().any(|finding| finding.pooled && finding.rule == "heart-rate-and-place"));
    assert!(changed(&alone, &together).iter().all(|(worse, ..)| !worse), "{:?}", changed(&alone, &together));
    assert!(
        changed(&together, &alone)
            .iter()
            .any(|(worse, what, rule)| *worse && *what == "bites" && rule.as_deref() == Some("heart-rate-and-place"))
    );
}

#[test]
fn assessments_of_other_things_are_not_compared() {
    let rules = builtin();
    let one = document(&assessed(&rules, [face(&sample(PATIENT), |_| KEPT)]));
    let asked = Asked { schemas: vec![PATIENT.to_owned()], ..Asked::default() };
    let assumed = Assumed { subjects: Whole::Records, operator: Whole::Everything };
    for other in [
        Document { gateway: "elsewhere".to_owned(), ..one.clone() },
        Document { asked, ..one.clone() },
        Document { assumed, ..one.clone() },
    ] {
        assert_eq!(compare(&other, &one).map_err(|error| error.fault), Err(RiskFault::Incomparable));
    }
    // What an earlier one calls a treatment that nobody knows is taken for the worst: nothing is worse than that.
    let mut unknown = one.clone();
    for Field { treatment, .. } in unknown.views.iter_mut().flat_map(|view| &mut view.fields) {
        *treatment = "blur".to_owned();
    }
    assert!(compare(&unknown, &one).expect("comparable").iter().all(|found| found.what != What::ShowsMore));
}

const GOOD: &str = r#"
[[rule]]
id = "a"
infers = "what"
severity = "low"
reason = "why"
[[rule.needs]]
name = "n"
any = [{ words = ["note"] }]
at = "keep"
floor = "strip"
"#;

#[test]
fn rules_that_say_too_little_or_what_nobody_knows_are_refused() {
    assert!(Rules::parse(GOOD, None).is_ok());
    for (from, to, fault, says) in [
        ("[[rule]]", "[[rul]]", RiskFault::Syntax, "rul"),
        ("[[rule]]", "[[rule", RiskFault::Syntax, "line 2"),
        ("reason = \"why\"", "", RiskFault::Syntax, "line 2: missing field `reason`"),
        ("severity", "seriousness", RiskFault::Syntax, "unknown field"),
        ("words = [\"note\"]", "word = [\"note\"]", RiskFault::Syntax, "unknown field"),
        ("\"low\"", "\"loow\"", RiskFault::UnknownWord, "did you mean `low`?"),
        ("words = [\"note\"]", "category = [\"helth\"]", RiskFault::UnknownWord, "did you mean `health`?"),
        ("words = [\"note\"]", "sensitivity = [\"secret\"]", RiskFault::UnknownWord, "`secret`"),
        ("words = [\"note\"]", "role = [\"subjet\"]", RiskFault::UnknownWord, "did you mean `subject`?"),
        ("words = [\"note\"]", "selector = [\"a..b\"]", RiskFault::UnknownWord, "selector"),
        ("words = [\"note\"]", "schema = [\"a..B\"]", RiskFault::UnknownWord, "full name"),
        ("words = [\"note\"]", "words = [\"--\"]", RiskFault::UnknownWord, "no letter"),
        ("words = [\"note\"]", "", RiskFault::Incomplete, "every field"),
        ("{ words = [\"note\"] }", "", RiskFault::Incomplete, "no field"),
        ("\"keep\"", "\"hide\"", RiskFault::UnknownWord, "`hide`"),
        ("\"keep\"", "\"encrypt\"", RiskFault::Incomplete, "nobody sees"),
        ("\"keep\"", "\"strip\"", RiskFault::Incomplete, "nobody sees"),
        ("\"strip\"", "\"keep\"", RiskFault::Incomplete, "stops nothing"),
        ("\"strip\"", "\"encrypt\"", RiskFault::Incomplete, "hand over the key"),
        ("at = \"keep\"\nfloor = \"strip\"", "floor = \"generalize\"", RiskFault::Incomplete, "does not stop"),
        ("at = \"keep\"\nfloor = \"strip\"", "at = \"pseudonymize\"\nfloor = \"pseudonymize\"", RiskFault::Incomplete, "does not stop"),
        ("floor = \"strip\"", "", RiskFault::Incomplete, "what would stop it"),
        ("floor = \"strip\"", "floor = \"strip\"\nenough = {}", RiskFault::Incomplete, "says nothing"),
        ("floor = \"strip\"", "floor = \"strip\"\nenough = { time_bucket = \"1y\" }", RiskFault::Incomplete, "`1d`"),
        ("floor = \"strip\"", "floor = \"strip\"\nenough = { step = 0.0 }", RiskFault::Incomplete, "above 0"),
        ("floor = \"strip\"", "floor = \"strip\"\nenough = { step = 1.0 }", RiskFault::Incomplete, "is for what bites"),
        ("id = \"a\"", "id = \"A b\"", RiskFault::Incomplete, "lower-case"),
        ("infers = \"what\"", "infers = \" \"", RiskFault::Incomplete, "`infers`"),
        ("reason = \"why\"", "reason = \"a\\nb\"", RiskFault::Incomplete, "one line"),
        ("name = \"n\"", "name = \"\"", RiskFault::Incomplete, "`name`"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = Rules::parse(&GOOD.replacen(from, to, 1), None).expect_err(to);
        assert!(error.fault == fault && error.to_string().contains(says), "{to}: {} {error}", error.code());
    }
    let twice = format!("{GOOD}{GOOD}");
    assert_eq!(Rules::parse(&twice, None).map_err(|error| error.fault), Err(RiskFault::DuplicateId));
    let without = GOOD.split("[[rule.needs]]").next().expect("text");
    assert_eq!(Rules::parse(without, None).map_err(|error| error.fault), Err(RiskFault::Incomplete));
    let need = GOOD.split_once("[[rule.needs]]").expect("text").1;
    let same = format!("{GOOD}[[rule.needs]]{need}");
    assert!(Rules::parse(&same, None).is_err_and(|error| error.detail.contains("called `n`")));
    let nine: String = (0..9).map(|n| format!("[[rule.needs]]{}", need.replace("\"n\"", &format!("\"n{n}\"")))).collect();
    assert!(Rules::parse(&format!("{without}{nine}"), None).is_err_and(|error| error.detail.contains("1 to 8")));
    let many: String = (0..=RULES_MAX).map(|n| GOOD.replace("\"a\"", &format!("\"a{n}\""))).collect();
    assert_eq!(Rules::parse(&many, None).map_err(|error| error.fault), Err(RiskFault::TooLarge));
    assert_eq!(Rules::parse(&" ".repeat(RULES_BYTES_MAX + 1), None).map_err(|error| error.fault), Err(RiskFault::TooLarge));
}

#[test]
fn rules_of_ones_own_add_replace_or_stand_alone() {
    let builtin = builtin();
    let many = builtin.iter().count();
    let own = |text: &str| Rules::parse(text, Some(&builtin)).expect("reads");
    assert_eq!(own(GOOD).iter().count(), many + 1);
    let replaced = own(&GOOD.replace("\"a\"", "\"free-text\""));
    assert_eq!((replaced.iter().count(), replaced.get("free-text").map(|rule| rule.severity)), (many, Some(Severity::Low)));
    assert_eq!(own(&format!("builtin = false\n{GOOD}")).iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(own("").iter().count(), many);
}

#[test]
fn rules_without_fields_are_named() {
    let rules = Rules::parse(&GOOD.replace("note", "nowhere"), None).expect("reads");
    let mut assessment = Assessment::new(&rules);
    assessment.look_at(&sample(PATIENT));
    assert_eq!(assessment.idle().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["a"]);
    let rules = Rules::parse(GOOD, None).expect("reads");
    let mut assessment = Assessment::new(&rules);
    assessment.look_at(&sample(PATIENT));
    assert_eq!(assessment.idle().count(), 0);
}

#[test]
fn views_are_bounded() {
    let (rules, patient) = (builtin(), sample(PATIENT));
    let mut assessment = Assessment::new(&rules);
    let nth = |number: usize| face(&patient, move |path| if bit(number, path) { KEPT } else { STRIPPED });
    fn bit(number: usize, path: &str) -> bool {
        [
            "patient_id",
            "device_id",
            "sequence",
            "captured_at_ms",
            "modality",
            "note",
            "identity.city",
            "identity.sex",
            "identity.postcode",
            "identity.address",
        ]
        .iter()
        .position(|known| *known == path)
        .is_some_and(|at| number >> at & 1 == 1)
    }
    for number in 0..VIEWS_MAX {
        assessment.add(nth(number), None, to("a", "g", None)).expect("bounded");
        assessment.add(nth(number), None, to("b", "g", None)).expect("the same view");
    }
    assert_eq!(assessment.add(nth(VIEWS_MAX), None, to("a", "g", None)).map_err(|error| error.fault), Err(RiskFault::TooLarge));
}

/// What can be done to a field, least protective first: what is opened is as good as kept.
const LADDER: [Done; 6] = [KEPT, OPENED, COARSE, (Treatment::Pseudonymize, Holders::Vault), SEALED, STRIPPED];

fn drawn(sites: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    // What is shown now, and what may be with keys: no less.
    prop::collection::vec((0..LADDER.len(), 0..LADDER.len()), sites)
}

fn drawn_face(schema: &Arc<Schema>, drawn: &[(usize, usize)]) -> Face {
    let of = |rungs: Vec<usize>| {
        let decided = |rung: usize| {
            let (treatment, holders) = LADDER[rung];
            Decided { treatment, holders, reason: Reason::Floor }
        };
        Decision { sites: rungs.into_iter().map(decided).collect() }
    };
    let now = of(drawn.iter().map(|(now, _)| *now).collect());
    let with_keys = of(drawn.iter().map(|(now, keys)| *now.min(keys)).collect());
    Face::new(schema, &now, &with_keys)
}

/// For each rule and each of these sets of views, how badly it bites: alone, or together.
fn at_risk(rules: &Rules, faces: [Face; 2]) -> Vec<[Option<bool>; 3]> {
    let assessment = assessed(rules, faces);
    let bites = assessment.bites();
    // Two that are alike are one view.
    let last = assessment.views().len() - 1;
    let level = |rule: usize, views: &[usize]| {
        bites
            .iter()
            .filter(|bite| bite.rule == rule && bite.views.iter().all(|view| views.contains(view)))
            .map(|bite| !bite.with_keys)
            .max()
    };
    (0..rules.iter().count()).map(|rule| [level(rule, &[0]), level(rule, &[last]), level(rule, &[0, last])]).collect()
}

fn sites(message: &str) -> usize {
    sample(message).sites().len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Also for what two pool: what protects more in one view, or in both, makes no rule bite, and none bite without keys.
    #[test]
    fn a_more_protective_decision_never_adds_a_finding(
        a in drawn(sites(PATIENT)), b in drawn(sites(PATIENT)), raise in drawn(sites(PATIENT)), only_one in any::<bool>(), turbine in any::<bool>(),
    ) {
        let rules = builtin();
        let schema = sample(if turbine { TURBINE } else { PATIENT });
        let count = schema.sites().len().min(a.len());
        prop_assume!(count == schema.sites().len());
        let raised = |drawn: &[(usize, usize)]| -> Vec<(usize, usize)> {
            drawn.iter().zip(&raise).map(|((now, keys), (more, more_keys))| ((*now).max(*more), (*now.min(keys)).max(*more_keys))).collect()
        };
        let (a, b) = (&a[..count], &b[..count]);
        let before = at_risk(&rules, [drawn_face(&schema, a), drawn_face(&schema, b)]);
        let (a_after, b_after) = (raised(a), if only_one { b.to_vec() } else { raised(b) });
        let after = at_risk(&rules, [drawn_face(&schema, &a_after), drawn_face(&schema, &b_after)]);
        for (index, (before, after)) in before.iter().zip(&after).enumerate() {
            for at in 0..3 {
                prop_assert!(after[at] <= before[at], "rule {index}, {at}: {before:?} became {after:?}");
            }
        }
    }

    #[test]
    fn whatever_flows_the_suggestions_leave_nothing_that_bites(a in drawn(sites(PATIENT)), b in drawn(sites(PATIENT))) {
        let (rules, schema) = (builtin(), sample(PATIENT));
        let before = assessed(&rules, [drawn_face(&schema, &a), drawn_face(&schema, &b)]);
        let mut after = before.clone();
        for (view, site, floor) in before.remedies() {
            let shown = [Shown::Whole, Shown::Coarse, Shown::StandIn, Shown::Nothing, Shown::Nothing][floor as usize];
            after.views[view].face.cover(site, floor, shown);
        }
        prop_assert_eq!(after.bites(), vec![]);
    }
}

#[test]
fn what_is_opened_is_as_good_as_kept() {
    for (rung, done) in LADDER.iter().enumerate() {
        let decided = Decided { treatment: done.0, holders: done.1, reason: Reason::Floor };
        let shown = [Shown::Whole, Shown::Whole, Shown::Coarse, Shown::StandIn, Shown::Nothing, Shown::Nothing][rung];
        assert_eq!(Shown::of(&decided), shown);
    }
    let patient = sample(PATIENT);
    let id = SiteId(0);
    assert_eq!((face(&patient, |_| SEALED).shown(id, true), face(&patient, |_| OPENED).shown(id, false)), (Shown::Nothing, Shown::Whole));
}
