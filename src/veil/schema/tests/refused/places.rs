use super::*;

#[test]
fn cases_that_do_not_fit() {
    let facts = "sensitivity: PUBLIC category: DEVICE";
    let case = |value: &str, path: &str| format!("cases: {{ value: \"{value}\" path: \"{path}\" field: {{ {facts} }} }}");
    let map = "map<string, string>";
    for (field, annotation, words) in [
        (map, format!("{facts} {}", case("a", "")), "both facts and cases"),
        (map, format!("by: \"key\" {}", case("a", "")), "the cases of a map have no `by`"),
        (map, format!("{} {}", case("a", ""), case("a", "")), "stands twice"),
        (map, case("a", "key"), "carries the treatment of its case"),
        (map, format!("cases: {{ value: \"a\" field: {{ {facts} {} }} }}", case("b", "")), "cases do not nest"),
        (map, case("a\\n", ""), "without control characters"),
        ("map<int32, string>", case("x", ""), "`x` is not a number of the type int32"),
        ("map<bool, string>", case("1", ""), "`1` is not `true` or `false`"),
        ("repeated E", case("a", ""), "cases without `by`"),
        ("repeated E", format!("by: \"k\" {facts}"), "`by` without `cases`"),
        ("repeated E", format!("by: \"f\" {}", case("1", "")), "the key `f` is a float"),
        ("repeated E", format!("by: \"r\" {}", case("1", "")), "the key `r` is repeated"),
        ("repeated E", format!("by: \"e\" {}", case("1", "")), "the key `e` is a message"),
        ("repeated E", format!("by: \"k\" {}", case("1", "e[k=1].value")), "cases do not nest"),
        ("E", format!("by: \"k\" {}", case("1", "")), "neither a map nor a repeated message"),
        ("repeated string", case("1", ""), "cases without `by`"),
        ("repeated string", format!("by: \"k\" {}", case("1", "")), "neither a map nor a repeated message"),
        ("repeated google.protobuf.Timestamp", format!("by: \"seconds\" {}", case("1", "nanos")), "neither a map nor a repeated message"),
    ] {
        expect_annotation(field, &annotation, LoadFault::Cases, words);
    }
    let facts = "{ sensitivity = 'public', category = 'device' }";
    expect_side(&format!("['t.M']\n'm[x=1]' = {facts}"), LoadFault::Cases, "`m` is a map: write");
    expect_side(&format!("['t.M']\n'many[1].x' = {facts}"), LoadFault::Cases, "`many` is not a map: name the field");
    expect_side(&format!("['t.M']\n'many[x=1].x' = {facts}"), LoadFault::Cases, "carries the treatment of its case");
    expect_side(&format!("['t.M']\n'keyed[n=ONNE].v' = {facts}"), LoadFault::Cases, "(did you mean `ONE`?)");
    let closed = proto2("message M { repeated E e = 1; } message E { optional N n = 1; optional string v = 2; } enum N { ONE = 1; }");
    assert!(load(&closed, "t.M", Some(&format!("['t.M']\n'e[n=1].v' = {facts}"))).is_ok());
    expect(&refused(&closed, Some(&format!("['t.M']\n'e[n=7].v' = {facts}"))), LoadFault::Cases, "`7` is not a value of the closed enum");
    let many = proto3("message M { repeated E e = 1; } message E { int32 a = 1; int32 b = 2; int32 c = 3; int32 d = 4; int32 e = 5; }");
    let lines = ["a", "b", "c", "d", "e"].map(|key| format!("'e[{key}=1].{}' = {facts}\n", if key == "e" { "d" } else { "e" }));
    let keys = lines.concat();
    assert!(load(&many, "t.M", Some(&format!("['t.M']\n{}", lines[..KEYS_MAX].concat()))).is_ok());
    expect(&refused(&many, Some(&format!("['t.M']\n{keys}"))), LoadFault::Cases, "`t.M.e`: its elements are named by more than 4 keys");
}

#[test]
fn roles_that_can_not_be_played() {
    let role = |role: &str| format!("[(twinveil.v1.field) = {{ sensitivity: IDENTIFYING category: IDENTITY role: {role} }}]");
    let (subject, at, sequence) = (role("SUBJECT"), role("CAPTURED_AT"), role("SEQUENCE"));
    for (body, words) in [
        (format!("message M {{ double a = 1 {subject}; }}"), "the role `subject` on double"),
        (format!("message M {{ string a = 1 {at}; }}"), "the role `captured_at` on string"),
        (format!("message M {{ string a = 1 {sequence}; }}"), "the role `sequence` on string"),
        (format!("message M {{ repeated string a = 1 {subject}; }}"), "in or on a repeated field"),
        (format!("message M {{ repeated In in = 1; }} message In {{ string a = 1 {subject}; }}"), "in or on a repeated field"),
        (format!("message M {{ In a = 1; In b = 2; }} message In {{ string a = 1 {subject}; }}"), "a second field with the role `subject`, at `b.a`"),
        (format!("message M {{ int64 a = 1 {sequence}; int64 b = 2 {sequence}; }}"), "a second field with the role `sequence`"),
        (format!("message M {{ string a = 1 {subject}; M m = 2; }}"), "in a message that can contain itself"),
        (
            "message M { map<string, string> m = 1 [(twinveil.v1.field) = { cases: { value: \"id\" field: { sensitivity: IDENTIFYING category: IDENTITY role: SUBJECT } } }]; }".to_owned(),
            "in or on a repeated field",
        ),
    ] {
        expect(&refused(&proto3(&body), None), LoadFault::Role, words);
    }
}

#[test]
fn public_fields_that_their_author_redacts() {
    let set = proto3(&format!("message M {{ string a = 1 [debug_redact = true, {P}]; }}"));
    expect(&refused(&set, None), LoadFault::Redacted, "`t.M.a`: public here");
    let side = "['t.M']\na = { sensitivity = 'operational', category = 'device' }";
    assert!(load(&set, "t.M", Some(side)).is_ok());
    // Whoever redacts a message redacts what is in it, whichever way it is reached.
    for around in [
        format!("message M {{ optional In in = 1 [debug_redact = true]; }} message In {{ optional string s = 1 [{P}]; }}"),
        format!(
            "message M {{ repeated Mid mid = 1 [debug_redact = true]; }} message Mid {{ optional In in = 1; }} message In {{ optional string s = 1 [{P}]; }}"
        ),
        format!("message M {{ optional string s = 1 [{P}]; optional M inner = 2 [debug_redact = true]; }}"),
    ] {
        expect(&refused(&proto2(&around), None), LoadFault::Redacted, "`: public here");
    }
    // What nobody classified is shown with the author's mark.
    let open = load(
        &proto2("message M { optional In in = 1 [debug_redact = true]; optional string s = 2; } message In { optional string s = 1; }"),
        "t.M",
        None,
    )
    .expect("loads");
    assert_eq!(
        check::rows(&open).map(|row| (row.path.as_str(), row.classified, row.redact)).collect::<Vec<_>>(),
        [("in.s", false, true), ("s", false, false)]
    );
}

#[test]
fn classifications_that_would_never_be_looked_at() {
    let facts = "{ sensitivity = 'public', category = 'device' }";
    expect_side(
        &format!("['t.M']\nin = {facts}\n'in.x' = {facts}"),
        LoadFault::Shadowed,
        "classifies the whole field, and side file, `t.M`, `in.x` a part of it",
    );
    expect_side(&format!("['t.M']\nlabels = {facts}\n'labels[\"a\"]' = {facts}"), LoadFault::Shadowed, "classifies the whole field");
    expect_side(&format!("['t.M']\n'many.x' = {facts}\n'many[x=1].y' = {facts}"), LoadFault::Shadowed, "names a field of all elements");
    expect_side(
        &format!("['t.M']\n'many[x=1].y' = {facts}\n'many[y=1].x' = {facts}"),
        LoadFault::Shadowed,
        "side file, `t.M`, `many[y=1].x`: a key that is named before `[y=1]`, and decides alone where it is present",
    );
    expect_side(&format!("['t.M']\n'labels[a]' = {facts}\n'labels[\"a\"]' = {facts}"), LoadFault::Shadowed, "said before");
}
