//! Messages about several subjects: which elements are about whom, and what is refused.

use super::suggest::suggest;
use super::*;

const CENSUS: &str = "message Census { string title = 1; repeated Bed beds = 2; repeated Room rooms = 3; map<string, Note> notes = 4;
         map<string, int64> counts = 5; }
     message Room { string name = 1; repeated Bed beds = 2; } message Bed { Who who = 1; double heart_rate = 2; repeated Visit visits = 3; }
     message Who { string name = 1; string id = 2; } message Visit { string by = 1; } message Note { string text = 1; }";

const SIDE: &str = r#"
["t.Who"]
id = { sensitivity = "identifying", category = "identity", role = "subject" }
["t.Bed"]
heart_rate = { sensitivity = "special", category = "health" }
"#;

const KEY: &str = "['t.Census']\n'notes.key' = { sensitivity = 'identifying', category = 'identity', role = 'subject' }\n\
                   'notes.value.text' = { sensitivity = 'special', category = 'health' }\n";

fn census(side: &str) -> Result<Schema, LoadError> {
    load_for_calls(&proto3(CENSUS), "t.Census", Some(side))
}

#[test]
fn the_innermost_repeated_message_around_a_subject_bears_it() {
    let schema = census(&format!("{SIDE}{KEY}")).expect("loads");
    assert_eq!(schema.subject(), None);
    let bearers: Vec<_> = schema
        .bearers()
        .iter()
        .map(|bearer| {
            let path = schema.nodes()[bearer.node.0 as usize].path.as_str();
            let inside: Vec<_> = bearer.sites.clone().map(|id| schema.sites()[id as usize].path.as_str()).collect();
            (path, bearer.subject.numbers.clone(), inside)
        })
        .collect();
    let beds = |at: &'static [&'static str; 4]| at.to_vec();
    assert_eq!(
        bearers,
        [
            ("beds", vec![1, 2], beds(&["beds.who.name", "beds.who.id", "beds.heart_rate", "beds.visits.by"])),
            (
                "rooms.beds",
                vec![1, 2],
                beds(&["rooms.beds.who.name", "rooms.beds.who.id", "rooms.beds.heart_rate", "rooms.beds.visits.by"])
            ),
            ("notes", vec![1], vec!["notes.key", "notes.value.text"]),
        ]
    );
    for (id, site) in (0..).zip(schema.sites()) {
        let outside = matches!(site.path.as_str(), "title" | "rooms.name" | "counts");
        assert_eq!(schema.is_in_element(SiteId(id)), !outside, "{}", site.path);
    }
    assert_eq!(schema.subject_sites().count(), 3);
}

#[test]
fn frames_are_about_one_and_take_no_such_schema() {
    let error = load(&proto3(CENSUS), "t.Census", Some(SIDE)).expect_err("several");
    assert_eq!(error.fault, LoadFault::Role);
    assert!(error.to_string().contains("only a route with `subject = \"field\"` takes several subjects in one message"), "{error}");
    let one = load_for_calls(&proto3(CENSUS), "t.Bed", Some(SIDE)).expect("about one");
    assert_eq!((one.subject().map(|path| path.numbers.clone()), one.bearers()), (Some(vec![1, 2]), &[][..]));
    assert_eq!(one.fingerprint(), load(&proto3(CENSUS), "t.Bed", Some(SIDE)).expect("the same").fingerprint());
}

#[test]
fn whom_elements_are_about_is_in_the_fingerprint() {
    let bare = SIDE.replace(", role = \"subject\"", "");
    assert_ne!(census(SIDE).expect("loads").fingerprint(), census(&bare).expect("loads").fingerprint());
}

#[test]
fn a_map_is_walked_where_its_parts_are_named_and_judged_as_one_where_not() {
    let parts = "['t.Census']\n'counts.key' = { sensitivity = 'public', category = 'site' }\n\
                 'counts.value' = { sensitivity = 'operational', category = 'operation', floor = 'generalize', generalize = { step = 10 } }\n";
    let schema = census(parts).expect("loads");
    assert_eq!((site(&schema, "counts.key").kind, site(&schema, "counts.value").kind), (Kind::String, Kind::Int64));
    assert!(matches!(field(&schema, &["counts"]).content, Content::Message(_)));
    assert!(matches!(field(&schema, &["notes"]).content, Content::Leaf(_)));
    let both = format!("{parts}'counts[\"a\"]' = {{ sensitivity = 'public', category = 'site' }}\n");
    assert_eq!(census(&both).expect_err("two ways").fault, LoadFault::Shadowed);
}

#[test]
fn an_element_has_one_subject_and_lies_in_no_other() {
    let id = "{ sensitivity = 'identifying', category = 'identity', role = 'subject' }";
    for (what, proto, side) in [
        (
            "beside one of the whole",
            "message M { repeated E es = 1; string id = 2; } message E { string id = 1; }",
            format!("['t.M']\nid = {id}\n['t.E']\nid = {id}"),
        ),
        (
            "the other way round",
            "message M { string id = 1; repeated E es = 2; } message E { string id = 1; }",
            format!("['t.M']\nid = {id}\n['t.E']\nid = {id}"),
        ),
        (
            "two in an element",
            "message M { repeated E es = 1; } message E { string id = 1; string by = 2; }",
            format!("['t.E']\nid = {id}\nby = {id}"),
        ),
        (
            "one in another",
            "message M { repeated E es = 1; } message E { string id = 1; repeated F fs = 2; } message F { string id = 1; }",
            format!("['t.E']\nid = {id}\n['t.F']\nid = {id}"),
        ),
        (
            "one around another",
            "message M { repeated E es = 1; } message E { repeated F fs = 1; string id = 2; } message F { string id = 1; }",
            format!("['t.E']\nid = {id}\n['t.F']\nid = {id}"),
        ),
        ("a repeated value", "message M { repeated E es = 1; } message E { repeated string id = 1; }", format!("['t.E']\nid = {id}")),
        (
            "by a key",
            "message M { repeated E es = 1; } message E { string k = 1; string id = 2; }",
            format!("['t.M']\n'es[k=\"a\"].id' = {id}"),
        ),
        (
            "in a list in what is judged by a key",
            "message M { map<string, E> m = 1; } message E { repeated F fs = 1; } message F { string id = 1; }",
            format!("['t.M']\n'm[\"a\"].fs.id' = {id}"),
        ),
        ("in itself", "message M { repeated E es = 1; } message E { string id = 1; repeated E es = 2; }", format!("['t.E']\nid = {id}")),
        (
            "another role",
            "message M { repeated E es = 1; } message E { int64 at = 1; }",
            "['t.E']\nat = { sensitivity = 'personal', category = 'time', role = 'captured_at' }".to_owned(),
        ),
    ] {
        let error = load_for_calls(&proto3(proto), "t.M", Some(&side)).expect_err(what);
        assert_eq!(error.fault, LoadFault::Role, "{what}: {error}");
    }
}

#[test]
fn more_lists_than_are_held_are_refused() {
    let lists: String = (1..=257).map(|number| format!("repeated E e{number} = {number}; ")).collect();
    let side = "['t.E']\nid = { sensitivity = 'identifying', category = 'identity', role = 'subject' }";
    let error =
        load_for_calls(&proto3(&format!("message M {{ {lists} }} message E {{ string id = 1; }}")), "t.M", Some(side)).expect_err("257");
    assert_eq!(error.fault, LoadFault::TooLarge, "{error}");
}

#[test]
fn a_list_of_people_is_suggested_as_such() {
    let made = suggest(
        &proto3("message Listed { repeated Patient patients = 1; string next_page = 2; } message Patient { string patient_id = 1; double heart_rate = 2; }"),
        "t.Listed",
    )
    .expect("suggests");
    assert_eq!(made.refused, None);
    assert!(
        made.text.contains("role = \"subject\"")
            && made.text.contains("# Several subjects in one message: each of `patients` is judged by the one that it names."),
        "{}",
        made.text
    );
    assert!(!made.text.contains("Nothing says whom a frame is about"));
    let schema = load_for_calls(&proto3("message Listed { repeated Patient patients = 1; string next_page = 2; } message Patient { string patient_id = 1; double heart_rate = 2; }"), "t.Listed", Some(&made.text)).expect("loads");
    assert_eq!(schema.bearers().len(), 1);
}
