use super::suggest::suggest;
use super::*;

#[cfg(feature = "gateway")]
fn line<'t>(text: &'t str, field: &str) -> &'t str {
    let begins = |line: &&str| line.strip_prefix("# ").unwrap_or(line).starts_with(&format!("{field} = "));
    text.lines().find(begins).unwrap_or_else(|| panic!("no line for `{field}` in\n{text}"))
}

#[test]
#[cfg(feature = "gateway")]
fn names_types_marks_and_comments_make_lines_to_review() {
    let made = suggest(
        &proto3(
            "message Frame { string patient_id = 1; int64 captured_at_ms = 2; int64 sent_time = 3; Vitals vitals = 4; Point point = 5;
                 map<string, string> labels = 6; repeated Attribute attributes = 7; string note = 8; bytes ecg = 9; Secret secret = 10 [debug_redact = true];
                 google.protobuf.Timestamp seen = 11; repeated string email = 12; bool fall = 13; Half half = 14; string given_name = 15; }
             message Vitals { float heart_rate = 1; float temperature = 2; float body_temperature = 3; uint32 spo2Pct = 4; }
             message Point { double lat = 1; double lng = 2; } message Half { double latitude = 1; repeated double longitude = 2; }
             message Attribute { string key = 1; string value = 2; } message Secret { int32 level = 1; }",
        ),
        "t.Frame",
    )
    .expect("suggests");
    assert_eq!(made.refused, None);
    let said = |field: &str| line(&made.text, field);
    for (field, wanted) in [
        (
            "patient_id",
            r#"{ sensitivity = "identifying", category = "identity", role = "subject", floor = "pseudonymize" } # review: the name says `patient id`"#,
        ),
        ("captured_at_ms", r#"{ sensitivity = "personal", category = "time", generalize = { time_bucket = "1h", unit = "ms" } }"#),
        // Without a unit nobody knows what an hour is.
        ("sent_time", r#"{ sensitivity = "personal", category = "time" }"#),
        ("seen", r#"{ sensitivity = "personal", category = "time", generalize = { time_bucket = "1h" } } # review: it is a point in time"#),
        ("heart_rate", r#"{ sensitivity = "special", category = "health" }"#),
        ("body_temperature", r#"{ sensitivity = "special", category = "health" }"#),
        ("spo2Pct", r#"{ sensitivity = "special", category = "health" }"#),
        ("ecg", r#"{ sensitivity = "special", category = "biometric" }"#),
        ("fall", r#"{ sensitivity = "special", category = "health" }"#),
        ("email", r#"{ sensitivity = "identifying", category = "contact", floor = "pseudonymize" }"#),
        ("given_name", r#"{ sensitivity = "identifying", category = "identity", floor = "pseudonymize" }"#),
        (
            "lat",
            r#"{ sensitivity = "personal", category = "location", generalize = { place = { h3_resolution = 7, axis = "latitude" } } }"#,
        ),
        ("lng", r#"axis = "longitude" } } }"#),
        // No pair, no cell.
        ("latitude", r#"{ sensitivity = "personal", category = "location" }"#),
        ("longitude", r#"{ sensitivity = "personal", category = "location" }"#),
        (
            "level",
            r#"{ sensitivity = "identifying", category = "identity", floor = "strip" } # review: its author marked it `debug_redact`"#,
        ),
    ] {
        assert!(said(field).starts_with(field) && said(field).contains(wanted) && said(field).contains(" # review: "), "{}", said(field));
    }
    // Near people a temperature may be a body's.
    assert!(said("temperature").starts_with("# temperature = ") && said("temperature").contains("# decide: it could be a person's"));
    for field in ["note", "labels", "key", "value"] {
        assert!(said(field).starts_with("# ") && said(field).contains("# decide: "), "{}", said(field));
    }
    assert!(
        made.text.contains("\n# 'labels[\"KEY\"]' = ") && made.text.contains("\n# 'attributes[key=\"KEY\"].value' = "),
        "{}",
        made.text
    );
    assert_eq!(made.undecided, ["t.Frame.labels", "t.Frame.note", "t.Vitals.temperature", "t.Attribute.key", "t.Attribute.value"]);
    assert!(made.text.contains(": 5 to decide."), "{}", made.text);
}

#[test]
#[cfg(feature = "gateway")]
fn machines_are_operational_and_two_candidates_are_no_subject() {
    let turbine = suggest(&proto3("message T { float active_power_kw = 1; double oil_temperature = 2; float wind_speed = 3; }"), "t.T")
        .expect("suggests");
    assert!(turbine.complete(), "{}", turbine.text);
    assert!(line(&turbine.text, "active_power_kw").contains(r#"{ sensitivity = "operational", category = "operation" }"#));
    assert!(line(&turbine.text, "wind_speed").contains(r#"category = "environment" }"#));
    let two = suggest(&proto3("message T { string patient_id = 1; string user_id = 2; string far_id = 3; }"), "t.T").expect("suggests");
    assert!(!two.text.contains("\", role") && two.text.contains("give one field `role = \"subject\"`") && two.complete(), "{}", two.text);
    // An element that has a name and no value can't be told by its name.
    let named = suggest(&proto3("message T { repeated Part parts = 1; } message Part { string name = 1; uint32 turns = 2; }"), "t.T");
    let named = named.expect("suggests");
    assert!(named.text.contains("turns = ") && !named.text.contains("[name="), "{}", named.text);
    // One that can't play the role is no candidate that is taken.
    let many = suggest(&proto3("message T { In in = 1; } message In { string patient_id = 1; In inner = 2; }"), "t.T").expect("suggests");
    assert!(!many.text.contains("\", role") && many.complete(), "{}", many.text);
}

#[test]
#[cfg(feature = "gateway")]
fn comments_make_it_stronger_and_never_weaker() {
    let mut set = <prost_types::FileDescriptorSet as prost::Message>::decode(
        &proto3("message T { int32 level = 1; int32 power = 2; float heart_rate = 3; In in = 4; message In { string x = 1; } }")[..],
    )
    .expect("a set");
    let at = |path: &[i32], text: &str| prost_types::source_code_info::Location {
        path: path.to_vec(),
        leading_comments: Some(text.to_owned()),
        ..Default::default()
    };
    let file = set.file.iter_mut().find(|file| file.name() == "t.proto").expect("ours");
    file.source_code_info = Some(prost_types::SourceCodeInfo {
        location: vec![
            at(&[4, 0, 2, 0], " Blood glucose, in mg/dl.\n"),
            at(&[4, 0, 2, 1], " Where the patient's pulse comes from.\n"),
            at(&[4, 0, 2, 2], " The room temperature of the rotor.\n"),
            at(&[4, 0, 3, 0, 2, 0], " E-mail address of whoever is on duty.\n"),
        ],
    });
    let made = suggest(&prost::Message::encode_to_vec(&set), "t.T").expect("suggests");
    assert!(line(&made.text, "level").contains(r#""special", category = "health" } # review: its comment says `blood`"#), "{}", made.text);
    assert!(line(&made.text, "power").contains(r#""special", category = "health" } # review: its comment says `pulse`"#), "{}", made.text);
    assert!(line(&made.text, "heart_rate").contains("# review: the name says `heart rate`"), "{}", made.text);
    assert!(line(&made.text, "x").contains(r#""identifying", category = "contact", floor = "pseudonymize" }"#), "{}", made.text);
}

#[test]
#[cfg(feature = "gateway")]
fn annotated_fields_and_required_ones_are_not_spoken_for() {
    let annotated = suggest(crate::proto::SAMPLES, "twinveil.sample.PatientFrame").expect("suggests");
    assert!(annotated.complete() && !annotated.text.contains(" # review"), "{}", annotated.text);
    let body = "message M { optional In in = 1; optional string email = 2; optional Known known = 3; } message In { required string odd = 1; optional string phone = 2; }
        message Known { required float pulse = 1; optional string phone = 2; }";
    let made = suggest(&proto2(body), "t.M").expect("suggests");
    assert_eq!((made.refused.clone(), &made.undecided[..]), (None, &["t.M.in".to_owned()][..]), "{}", made.text);
    let stripped = r#"in = { sensitivity = "identifying", category = "identity", floor = "strip" } # decide: "#;
    assert!(line(&made.text, "in").starts_with(stripped), "{}", made.text);
    // As one: as harmful as the worst inside.
    assert!(
        line(&made.text, "known").contains(r#"{ sensitivity = "identifying", category = "contact", floor = "encrypt" }"#),
        "{}",
        made.text
    );
    let root = suggest(&proto2("message M { required string a = 1; optional string email = 2; }"), "t.M").expect("suggests");
    assert!(root.refused.is_some() && root.accounts_for_refusal() && root.undecided == ["t.M.a"], "{}", root.text);
}

#[test]
fn for_every_published_message_it_loads_or_says_what_to_decide() {
    for name in ["opentelemetry", "sparkplug-b", "gtfs-realtime", "googleapis-common", "grpc-health-reflection"] {
        let Some(set) = foreign::foreign(name) else { continue };
        let types = descriptor::Types::read(&set).expect("a set");
        let mut counts = [0; 3];
        for message in types.names() {
            let made = suggest(&set, message).unwrap_or_else(|error| panic!("{message}: {error}"));
            assert!(made.accounts_for_refusal(), "{message}: {:?}\n{}", made.refused, made.text);
            counts[usize::from(!made.complete()) + usize::from(made.refused.is_some())] += 1;
            let Ok(schema) = load(&set, message, Some(&made.text)) else { continue };
            // What is left unclassified is what the text leaves to a person, field by field.
            let fields: std::collections::HashSet<String> = schema
                .nodes()
                .iter()
                .flat_map(|node| node.fields.iter().map(move |field| (node, field)))
                .filter(|(_, field)| matches!(field.content, Content::Leaf(id) if !schema.sites()[id.0 as usize].facts.classified()))
                .map(|(node, field)| format!("{}.{}", node.message, field.name))
                .collect();
            let undecided: std::collections::HashSet<String> = made.undecided.iter().cloned().collect();
            assert!(fields.is_subset(&undecided), "{message}\n{}", made.text);
            // The others have required fields inside: as one, and stripped.
            for field in undecided.difference(&fields) {
                let (within, field) = field.rsplit_once('.').expect("a field");
                let table = made.text.split(&format!("[\"{within}\"]")).nth(1).expect("its table");
                let wanted =
                    format!("\n{field} = {{ sensitivity = \"identifying\", category = \"identity\", floor = \"strip\" }} # decide: ");
                assert!(table.contains(&wanted), "{message}, {field}\n{}", made.text);
            }
        }
        let [complete, decide, refused] = counts;
        eprintln!("{name}: {complete} messages classified whole, {decide} with fields to decide, {refused} that do not load before");
        assert!(complete + decide > 0, "{name}");
    }
}

#[test]
#[cfg(feature = "gateway")]
fn what_does_not_load_gets_no_suggestion() {
    let fault = |set: &[u8], root: &str| suggest(set, root).expect_err("no suggestion").fault;
    assert_eq!(fault(b"\xff\xff", "t.M"), LoadFault::Unreadable);
    assert_eq!(fault(&proto3("message M { string email = 1; }"), "t.N"), LoadFault::UnknownRoot);
    let taken = proto3(&format!("message M {{ string email = {SEALED_FIELD}; }}"));
    assert_eq!(fault(&taken, "t.M"), LoadFault::Reserved);
}

#[test]
#[cfg(feature = "gateway")]
fn a_type_that_a_group_holds_twice_is_judged_once() {
    let body =
        "message M { optional group Reach = 1 { optional In home = 1; optional In work = 2; } } message In { optional string email = 1; }";
    let made = suggest(&proto2(body), "t.M").expect("suggests");
    let said = line(&made.text, "reach");
    assert!(said.contains("sensitivity = \"identifying\"") && said.contains("as one, with `email` inside"), "{said}");
}
