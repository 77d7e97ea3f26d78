use super::*;
use crate::veil::terms::{Axis, TimeUnit};

const H: &str = "(twinveil.v1.field) = { sensitivity: SPECIAL category: HEALTH }";
const P: &str = "(twinveil.v1.field) = { sensitivity: PUBLIC category: DEVICE }";

#[test]
fn the_samples_are_fully_classified() {
    let patient = load_annotated(crate::proto::SAMPLES, "twinveil.sample.PatientFrame").expect("loads");
    assert_eq!(unclassified(&patient), Vec::<&str>::new());
    assert_eq!(patient.name().as_str(), "twinveil.sample.PatientFrame");
    let heart = site(&patient, "vitals.heart_rate_bpm");
    assert_eq!((heart.kind, heart.number, heart.repeated, heart.required), (Kind::Float, 1, false, false));
    assert_eq!((heart.facts.sensitivity, heart.facts.category), (Sensitivity::Special, Some(Category::Health)));
    assert_eq!(heart.facts.generalize, Some(Generalizer::Step(5.0)));
    assert_eq!(site(&patient, "patient_id").facts.floor, Treatment::Pseudonymize);
    assert_eq!(
        site(&patient, "captured_at_ms").facts.generalize,
        Some(Generalizer::TimeBucket { span_s: 3600, unit: TimeUnit::Milliseconds })
    );
    assert_eq!(site(&patient, "vitals.spo2_pct").facts.generalize, Some(Generalizer::Buckets(vec![0.0, 85.0, 90.0, 95.0])));
    let samples = site(&patient, "waveforms.samples");
    assert_eq!((samples.kind, samples.repeated), (Kind::Float, true));
    let subject = patient.subject().expect("a subject");
    assert_eq!((subject.numbers.as_slice(), subject.kind), (&[1][..], Kind::String));
    assert_eq!(patient.sites()[subject.site.0 as usize].path.as_str(), "patient_id");
    assert_eq!(patient.pairs().count(), 1);

    let turbine = load_annotated(crate::proto::SAMPLES, "twinveil.sample.TurbineFrame").expect("loads");
    assert_eq!(unclassified(&turbine), Vec::<&str>::new());
    assert_ne!(turbine.fingerprint(), patient.fingerprint());
}

#[test]
fn a_map_with_cases_is_judged_by_its_key() {
    let patient = load_annotated(crate::proto::SAMPLES, "twinveil.sample.PatientFrame").expect("loads");
    let labels = field(&patient, &["labels"]);
    let Content::Select(select) = &labels.content else { panic!("{labels:?}") };
    assert!(labels.repeated);
    let [key] = &select.keys[..] else { panic!("one key") };
    assert_eq!((key.by, key.kind), (1, Kind::String));
    let values: Vec<_> = key.cases.iter().map(|(value, _)| value.clone()).collect();
    assert_eq!(values, ["diagnosis", "trial", "ward"].map(|key| CaseValue::Bytes(key.as_bytes().into())));
    let entry = &patient.nodes()[key.cases[2].1.0 as usize];
    assert!(matches!(entry.fields[0].content, Content::Discriminator));
    assert_eq!(entry.path.as_str(), r#"labels["ward"]"#);
    let ward = site(&patient, r#"labels["ward"]"#);
    assert_eq!((ward.number, ward.kind, ward.facts.category, ward.repeated), (2, Kind::String, Some(Category::Location), false));
}

#[test]
fn repeated_messages_are_judged_by_the_field_that_by_names() {
    let set = proto3(&format!(
        "enum K {{ ZERO = 0; HR = 3; }}
         message M {{ repeated E e = 1 [(twinveil.v1.field) = {{ by: \"k\"
             cases: {{ value: \"HR\" path: \"v.x\" field: {{ sensitivity: SPECIAL category: HEALTH }} }}
             cases: {{ value: \"7\" path: \"v.x\" field: {{ sensitivity: PUBLIC category: DEVICE }} }} }}]; }}
         message E {{ V v = 1; K k = 2; string other = 3; }}
         message V {{ float x = 1; float y = 2 [{H}]; }}"
    ));
    let schema = load_annotated(&set, "t.M").expect("loads");
    let Content::Select(select) = &field(&schema, &["e"]).content else { panic!("a select") };
    let [key] = &select.keys[..] else { panic!("one key") };
    assert_eq!((key.by, key.kind), (2, Kind::Enum));
    assert_eq!(key.cases.iter().map(|(value, _)| value.clone()).collect::<Vec<_>>(), [CaseValue::Int(3), CaseValue::Int(7)]);
    assert_eq!(site(&schema, "e[k=HR].v.x").facts.sensitivity, Sensitivity::Special);
    assert_eq!(site(&schema, "e[k=7].v.x").facts.sensitivity, Sensitivity::Public);
    assert!(site(&schema, "e[k=7].v.y").facts.classified());
    assert_eq!(unclassified(&schema), ["e[k=HR].other", "e[k=7].other"]);
}

#[test]
fn keys_rank_in_the_order_in_which_the_side_file_names_them() {
    let facts = "{ sensitivity = 'public', category = 'device' }";
    let set = proto3(
        "message M { A a = 1; } message A { repeated E e = 1; } message E { string x = 1; uint64 y = 2; string z = 3; bool b = 4; }",
    );
    let read = |side: &str| load(&set, "t.M", Some(side)).unwrap_or_else(|error| panic!("{error}"));
    let keys = |schema: &Schema| -> Vec<(u32, usize)> {
        let Content::Select(select) = &field(schema, &["a", "e"]).content else { panic!("a select") };
        select.keys.iter().map(|key| (key.by, key.cases.len())).collect()
    };
    // Neither the alphabet nor the number decides, but the file.
    let one = read(&format!("['t.A']\n'e[y=7].z' = {facts}\n'e[x=\"HR\"].z' = {facts}\n'e[x=\"HR\"].b' = {facts}\n'e[y=8].z' = {facts}"));
    assert_eq!(keys(&one), [(2, 2), (1, 1)]);
    // Where the first key decides, the second is a field like any other; where the second does, the first is absent.
    assert_eq!(
        paths(&one),
        ["a.e[y=7].x", "a.e[y=7].z", "a.e[y=7].b", "a.e[y=8].x", "a.e[y=8].z", "a.e[y=8].b", "a.e[x=\"HR\"].z", "a.e[x=\"HR\"].b"]
    );
    assert_eq!(unclassified(&one), ["a.e[y=7].x", "a.e[y=7].b", "a.e[y=8].x", "a.e[y=8].b"]);
    let other = read(&format!("['t.A']\n'e[x=\"HR\"].z' = {facts}\n'e[y=7].z' = {facts}\n'e[y=8].z' = {facts}\n'e[x=\"HR\"].b' = {facts}"));
    assert_eq!(keys(&other), [(1, 1), (2, 2)]);
    assert_ne!(one.fingerprint(), other.fingerprint());
    // Two messages of the file may name elements by different keys: the file's order counts, not the depth.
    let two = read(&format!("['t.A']\n'e[y=7].z' = {facts}\n['t.M']\n'a.e[x=\"HR\"].z' = {facts}\n'a.e[y=9].z' = {facts}"));
    assert_eq!(keys(&two), [(2, 2), (1, 1)]);
}

#[test]
fn keys_are_compared_as_they_are_on_the_wire() {
    for (kind, text, wanted, shown) in [
        ("int32", "-1", CaseValue::Int(-1), "-1"),
        ("sint64", "-1", CaseValue::Int(-1), "-1"),
        ("uint32", "4294967295", CaseValue::Int(4_294_967_295), "4294967295"),
        ("uint64", "18446744073709551615", CaseValue::Int(-1), "18446744073709551615"),
        ("fixed64", "007", CaseValue::Int(7), "7"),
        ("bool", "true", CaseValue::Int(1), "true"),
        ("string", "a\\\"b", CaseValue::Bytes(b"a\"b".as_slice().into()), "\"a\\\"b\""),
    ] {
        let set = proto3(&format!(
            "message M {{ map<{kind}, string> m = 1 [(twinveil.v1.field) = {{
                 cases: {{ value: \"{text}\" field: {{ sensitivity: PUBLIC category: DEVICE }} }} }}]; }}"
        ));
        let schema = load_annotated(&set, "t.M").unwrap_or_else(|error| panic!("{kind}: {error}"));
        let Content::Select(select) = &field(&schema, &["m"]).content else { panic!("a select") };
        assert_eq!(select.keys[0].cases[0].0, wanted, "{kind}");
        assert_eq!(paths(&schema), [format!("m[{shown}]")], "{kind}");
    }
}

#[test]
fn what_nobody_classified_is_one_unclassified_site() {
    let set = proto3(
        "message M { int32 a = 1; bytes b = 2; google.protobuf.Timestamp t = 3; google.protobuf.Any any = 4; map<string, In> m = 5;
             Empty e = 6; In in = 7; repeated In many = 8; }
         message In { string s = 1; } message Empty {}",
    );
    let schema = load_annotated(&set, "t.M").expect("loads");
    assert_eq!(unclassified(&schema), ["a", "b", "t", "any", "m", "e", "in.s", "many.s"]);
    let kinds: Vec<_> = schema.sites().iter().map(|site| site.kind).collect();
    use Kind::{Bytes, Int32, Map, Message, String, Timestamp};
    assert_eq!(kinds, [Int32, Bytes, Timestamp, Message, Map, Message, String, String]);
    assert!(schema.sites().iter().all(|site| site.facts == Facts::UNCLASSIFIED));
    assert!(site(&schema, "m").repeated && field(&schema, &["many"]).repeated && !site(&schema, "many.s").repeated);
}

#[test]
fn a_message_that_is_classified_is_judged_as_one() {
    let set = proto3(&format!(
        "message M {{ google.protobuf.Timestamp t = 1 [(twinveil.v1.field) = {{ sensitivity: PERSONAL category: TIME generalize: {{ time_bucket: \"1d\" }} }}];
             repeated In in = 2 [{H}]; map<string, In> m = 3 [{H}]; google.protobuf.Any any = 4 [{H}]; Empty e = 5 [{P}]; }}
         message In {{ string s = 1; }} message Empty {{}}"
    ));
    let schema = load_annotated(&set, "t.M").expect("loads");
    assert_eq!(unclassified(&schema), Vec::<&str>::new());
    let kinds: Vec<_> = schema.sites().iter().map(|site| (site.kind, site.repeated)).collect();
    assert_eq!(kinds, [(Kind::Timestamp, false), (Kind::Message, true), (Kind::Map, true), (Kind::Message, false), (Kind::Message, false)]);
    assert_eq!(site(&schema, "t").facts.generalize, Some(Generalizer::TimeBucket { span_s: 86_400, unit: TimeUnit::Seconds }));
}

#[test]
fn places_are_expanded_by_path_and_recursion_links_back() {
    let set = proto3(&format!(
        "message M {{ Pos home = 1; Pos work = 2; Tree tree = 3; }}
         message Pos {{ double lat = 1 [{H}]; }}
         message Tree {{ string v = 1 [{H}]; repeated Tree kids = 2; Other other = 3; }}
         message Other {{ Tree back = 1; }}"
    ));
    let schema = load_annotated(&set, "t.M").expect("loads");
    assert_eq!(paths(&schema), ["home.lat", "work.lat", "tree.v"]);
    let Content::Message(tree) = field(&schema, &["tree"]).content else { panic!("a message") };
    for names in [&["tree", "kids"][..], &["tree", "other", "back"]] {
        assert!(matches!(field(&schema, names).content, Content::Message(link) if link == tree), "{names:?}");
    }
}

#[test]
fn groups_can_be_kept_or_stripped() {
    let set = proto2(&format!(
        "message M {{ optional group G = 1 [{P}] {{ optional string s = 1; }} optional group U = 2 {{ optional string s = 1; }} }}"
    ));
    let schema = load_annotated(&set, "t.M").expect("loads");
    assert_eq!(schema.sites().iter().map(|site| site.kind).collect::<Vec<_>>(), [Kind::Group, Kind::Group]);
    assert!(schema.sites()[0].allows(Treatment::Keep) && !schema.sites()[0].allows(Treatment::Encrypt));
    assert_eq!(unclassified(&schema).len(), 1);
}

#[test]
fn a_required_field_is_read_where_it_is_always_there() {
    let set = proto2(&format!(
        "message M {{ required string id = 1 [{P}]; optional In in = 2 [{H}]; repeated E e = 3 [(twinveil.v1.field) = {{ by: \"k\"
             cases: {{ value: \"a\" field: {{ sensitivity: PUBLIC category: DEVICE }} }} }}]; }}
         message In {{ required string s = 1; }} message E {{ required string k = 1; optional string value = 2; }}"
    ));
    let schema = load_annotated(&set, "t.M").expect("loads");
    assert!(site(&schema, "id").required && !site(&schema, "id").allows(Treatment::Encrypt));
    assert_eq!(paths(&schema), ["id", "in", "e[k=\"a\"].value"]);
}

#[test]
fn the_side_file_wins_per_field_and_the_outer_line_wins_over_the_inner() {
    let set = proto3(&format!(
        "message M {{ In a = 1; In b = 2; string s = 3 [{P}]; string kept = 4 [{P}]; }}
         message In {{ string x = 1 [{P}]; double lat = 2; double lon = 3; }}"
    ));
    let side = r#"
        ["t.M"]
        s = { sensitivity = "identifying", category = "identity", floor = "pseudonymize", role = "subject" }
        "b.x" = { sensitivity = "operational", category = "site" }
        ["t.In"]
        x = { sensitivity = "personal", category = "contact", generalize = { prefix_chars = 2 } }
        lat = { sensitivity = "personal", category = "location", generalize = { place = { h3_resolution = 6, axis = "latitude" } } }
        lon = { sensitivity = "personal", category = "location", generalize = { place = { h3_resolution = 6, axis = "longitude" } } }
    "#;
    let schema = load(&set, "t.M", Some(side)).expect("loads");
    assert_eq!(site(&schema, "a.x").facts.generalize, Some(Generalizer::PrefixChars(2)));
    assert_eq!(site(&schema, "b.x").facts.sensitivity, Sensitivity::Operational);
    assert_eq!(site(&schema, "s").facts.sensitivity, Sensitivity::Identifying);
    assert_eq!(site(&schema, "kept").facts.sensitivity, Sensitivity::Public);
    assert_eq!(site(&schema, "a.lat").facts.generalize, Some(Generalizer::Place { resolution: 6, axis: Axis::Latitude }));
    assert_eq!(schema.subject().map(|subject| subject.numbers.clone()), Some(vec![3]));
    assert_eq!(schema.pairs().count(), 2);
    assert_ne!(schema.fingerprint(), load_annotated(&set, "t.M").expect("loads").fingerprint());
    assert_eq!(schema.fingerprint(), load(&set, "t.M", Some(side)).expect("loads").fingerprint());
}

#[test]
fn recursion_is_unrolled_as_far_as_lines_of_the_side_file_reach() {
    let set = proto3("message T { string v = 1; T t = 2; }");
    let side = r#"
        ["t.T"]
        "t.t.v" = { sensitivity = "public", category = "device" }
    "#;
    let schema = load(&set, "t.T", Some(side)).expect("loads");
    assert_eq!(paths(&schema), ["v", "t.v", "t.t.v"]);
    assert_eq!(unclassified(&schema), ["v", "t.v"]);
}

#[test]
fn every_generalization_of_a_side_file_is_read() {
    let set = proto3("message M { double d = 1; int64 i = 2; string s = 3; google.protobuf.Timestamp t = 4; }");
    for (field, how, wanted) in [
        ("d", "step = 5", Generalizer::Step(5.0)),
        ("i", "step = 5", Generalizer::Step(5.0)),
        ("d", "decimals = 2", Generalizer::Decimals(2)),
        ("i", "buckets = [0, 10, 20]", Generalizer::Buckets(vec![0.0, 10.0, 20.0])),
        ("i", "time_bucket = '1h', unit = 's'", Generalizer::TimeBucket { span_s: 3600, unit: TimeUnit::Seconds }),
        ("i", "time_bucket = '1h', unit = 'us'", Generalizer::TimeBucket { span_s: 3600, unit: TimeUnit::Microseconds }),
        ("i", "time_bucket = '1h', unit = 'ns'", Generalizer::TimeBucket { span_s: 3600, unit: TimeUnit::Nanoseconds }),
        ("i", "time_bucket = '1h', unit = 'ms'", Generalizer::TimeBucket { span_s: 3600, unit: TimeUnit::Milliseconds }),
        ("d", "time_bucket = '1d'", Generalizer::TimeBucket { span_s: 86_400, unit: TimeUnit::Seconds }),
        ("t", "time_bucket = '15min'", Generalizer::TimeBucket { span_s: 900, unit: TimeUnit::Seconds }),
        ("s", "prefix_chars = 2", Generalizer::PrefixChars(2)),
    ] {
        let side = format!("['t.M']\n{field} = {{ sensitivity = 'personal', category = 'time', generalize = {{ {how} }} }}");
        let schema = load(&set, "t.M", Some(&side)).unwrap_or_else(|error| panic!("{how}: {error}"));
        assert_eq!(site(&schema, field).facts.generalize, Some(wanted), "{how}");
    }
}

#[test]
fn statements_about_one_option_are_merged() {
    let set = proto3(
        "message M { string a = 1 [(twinveil.v1.field).sensitivity = PERSONAL, (twinveil.v1.field).category = CONTACT,
             (twinveil.v1.field).generalize.prefix_chars = 3]; }",
    );
    let schema = load_annotated(&set, "t.M").expect("loads");
    assert_eq!(site(&schema, "a").facts.generalize, Some(Generalizer::PrefixChars(3)));
}
