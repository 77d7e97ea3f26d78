//! Policies in Cedar: whatever the file says, what loads gives a floor for every field, and a last `forbid` takes all away.

use std::sync::OnceLock;

use twinveil::veil::name::Spiffe;
use twinveil::veil::policy::floor::Policy;
use twinveil::veil::schema::{Schema, load};
use twinveil::veil::terms::{Treatment, purpose};

use super::{Input, one_line, shapes};

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    let spiffe = |name: &str| Spiffe::parse(&format!("spiffe://hospital.example/{name}")).expect("a SPIFFE id");
    let parties = [(spiffe("ward"), vec!["care".to_owned(), "staff".to_owned()]), (spiffe("lab"), vec!["research".to_owned()])];
    let policy = match Policy::load(text, &parties) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(error.code().starts_with("TV-P"));
            return one_line(&error.to_string());
        }
    };
    let purpose = purpose(if flags & 1 == 0 { "dpv:ServiceProvision" } else { "dpv:ScientificResearch" }).expect("a DPV term");
    let recipient = spiffe(if flags & 2 == 0 { "ward" } else { "lab" });
    let floors = |policy: &Policy| policy.floors(schema(), &recipient, &purpose, if flags & 4 == 0 { "EU" } else { "US" });
    let table = match floors(&policy) {
        Ok(table) => table,
        Err(error) => return one_line(&error.to_string()),
    };
    assert_eq!(table.0.len(), schema().sites().len());
    for (floor, site) in table.0.iter().zip(schema().sites()) {
        assert!(
            floor.treatment == Treatment::Strip || (site.facts.classified() && floor.policy.is_some()),
            "`{}` without a reason",
            site.path
        );
    }
    assert!(policy.floors(schema(), &spiffe("nobody"), &purpose, "EU").is_err());
    if let Ok(closed) = Policy::load(&format!("{text}\n@id(\"the last word\") forbid (principal, action, resource);"), &parties) {
        let closed = floors(&closed).expect("as before");
        assert!(closed.0.iter().all(|floor| floor.treatment == Treatment::Strip), "a forbid for everything left something");
    }
}

/// A flat message, one of whose fields nobody classified.
fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let side = shapes::FLAT_SIDE.replace("far = {", "# far = {");
        load(&shapes::set(shapes::FLAT), "t.Flat", Some(&side)).expect("loads")
    })
}
