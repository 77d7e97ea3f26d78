use super::*;
use crate::veil::schema::changes::{Change, changes};

const H: &str = "(twinveil.v1.field) = { sensitivity: SPECIAL category: HEALTH }";
const P: &str = "(twinveil.v1.field) = { sensitivity: PUBLIC category: DEVICE }";

fn read(body: &str) -> Schema {
    load_annotated(&proto3(body), "t.M").unwrap_or_else(|error| panic!("{error}"))
}

fn said(old: &str, new: &str) -> Vec<String> {
    changes(&read(old), &read(new)).iter().map(ToString::to_string).collect()
}

#[test]
fn the_check_says_what_changed() {
    let (old, new) =
        (format!("message M {{ string a = 1 [{P}]; string b = 2; }}"), format!("message M {{ string a = 1 [{H}]; string c = 3; }}"));
    assert_eq!(
        said(&old, &new),
        [
            "~ a: string = 1, special health, floor keep (was string = 1, public device, floor keep): classification",
            "- b: string = 2, unclassified",
            "+ c: string = 3, unclassified, new in `t.M`"
        ]
    );
    assert!(said(&old, &old).is_empty());
    let schema = read(&new);
    let row = check::rows(&schema).next().expect("a row");
    assert_eq!((row.path.as_str(), row.kind, row.sensitivity, row.classified), ("a", Kind::String, Sensitivity::Special, true));
}

#[test]
fn what_is_protected_less_is_marked() {
    let a = |options: &str| format!("message M {{ double a = 1 {options}; }}");
    let facts = |facts: &str| a(&format!("[(twinveil.v1.field) = {{ {facts} }}]"));
    let step = |step: u32| facts(&format!("sensitivity: SPECIAL category: HEALTH generalize: {{ step: {step} }}"));
    let buckets = |edges: &str| facts(&format!("sensitivity: SPECIAL category: HEALTH generalize: {{ buckets: {{ edges: [{edges}] }} }}"));
    let (special, personal) = (facts("sensitivity: SPECIAL category: HEALTH"), facts("sensitivity: PERSONAL category: HEALTH"));
    let sealed = facts("sensitivity: SPECIAL category: HEALTH floor: ENCRYPT");
    let redacted = a("[debug_redact = true, (twinveil.v1.field) = { sensitivity: SPECIAL category: HEALTH }]");
    for (strong, weak, word) in [
        (&special, &personal, "sensitivity"),
        (&sealed, &special, "floor"),
        (&a(""), &sealed, "always stripped before"),
        (&step(10), &step(5), "generalization"),
        (&buckets("0, 10"), &buckets("0, 5, 10"), "generalization"),
        (&step(10), &buckets("0, 10"), "generalization"),
        (&redacted, &special, "no longer redacted by its author"),
    ] {
        let said_of = |old: &String, new: &String| {
            let (old, new) = (read(old), read(new));
            changes(&old, &new).iter().map(|change| (change.word(), change.weaker().to_vec(), change.to_string())).collect::<Vec<_>>()
        };
        let found = said_of(strong, weak);
        assert!(
            matches!(&found[..], [("changed", weaker, text)] if *weaker == [word] && text.starts_with("! a: ") && text.contains("; WEAKER: ")),
            "{found:?}"
        );
        // The other way round nothing is weaker, unless the two can't be compared.
        let back = said_of(weak, strong);
        let comparable = !(strong == &step(10) && weak == &buckets("0, 10"));
        assert!(
            matches!(&back[..], [("changed", weaker, text)] if weaker.is_empty() == comparable && text.starts_with('~') == comparable),
            "{back:?}"
        );
    }
}

#[test]
fn numbers_and_types_are_named() {
    let old = "message M { int32 a = 1; repeated int32 b = 2; optional int32 c = 3; }";
    let new = "message M { int32 a = 4; repeated int32 b = 2 [packed = false]; int64 c = 3; }";
    assert_eq!(
        said(old, new),
        [
            "~ a: int32 = 4, unclassified (was int32 = 1, unclassified): number",
            "~ b: repeated int32 = 2, unclassified (was packed int32 = 2, unclassified): type",
            "~ c: int64 = 3, unclassified (was int32 = 3, unclassified): type, presence",
        ]
    );
}

#[test]
fn what_became_reachable_is_told_apart() {
    let old = format!(
        "message M {{ In in = 1; Kept kept = 2 [{P}]; }} message In {{ string a = 1 [{P}]; }} message Kept {{ string k = 1; }} message Deep {{ string d = 1; }}"
    );
    let new = format!(
        "message M {{ In in = 1; Kept kept = 2 [{P}]; In again = 3; }} message In {{ string a = 1 [{P}]; string b = 2; }}
         message Kept {{ string k = 1; string fresh = 2; Deep deep = 3; }} message Deep {{ string d = 1; }}"
    );
    assert_eq!(
        said(&old, &new),
        [
            "+ message t.Deep: reachable for the first time",
            "! t.Kept.deep = 3: new in a message that is judged as one, and comes out with it",
            "! t.Kept.fresh = 2: new in a message that is judged as one, and comes out with it",
            "+ again.a: string = 1, public device, floor keep, in `t.In`, which was not here before",
            "+ again.b: string = 2, unclassified, in `t.In`, which was not here before",
            "+ in.b: string = 2, unclassified, new in `t.In`",
        ]
    );
    let (old, new) = (read(&old), read(&new));
    let words: Vec<_> = changes(&old, &new).iter().map(|change| (change.word(), change.weaker().len(), change.place())).collect();
    assert_eq!(words[1], ("inside", 1, "t.Kept.deep".to_owned()));
    assert!(matches!(changes(&old, &new)[0], Change::Reachable(reached) if reached.as_one && reached.fields.len() == 1));
}
