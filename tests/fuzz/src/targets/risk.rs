//! Rules of an assessment, and earlier assessments: whatever the text says, what loads bites nowhere where nothing is shown, is
//! stopped by what it suggests, and reads back as it was written.

use std::sync::{Arc, OnceLock};

use twinveil::veil::name::{Origin, Spiffe};
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::risk::{Asked, Assessment, Assumed, Audience, Circumstances, Document, Face, Rules, Way, Whole, compare};
use twinveil::veil::schema::{Schema, load};
use twinveil::veil::terms::Treatment;

use super::{Input, one_line, shapes};

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    match flags & 1 {
        0 => rules(text),
        _ => document(text),
    }
}

fn rules(text: &str) {
    let rules = match Rules::parse(text, None) {
        Ok(rules) => rules,
        Err(error) => {
            assert!(error.code().starts_with("TV-A"));
            return one_line(&error.to_string());
        }
    };
    let of = |treatment: Treatment| {
        let mut assessment = Assessment::new(&rules);
        let decided = Decided { treatment, holders: Holders::Vault, reason: Reason::Floor };
        let decision = Decision { sites: vec![decided; schema().sites().len()] };
        let recipient = Spiffe::parse("spiffe://hospital.example/ward").expect("a SPIFFE id");
        let to = Audience { name: "ward".into(), recipient, groups: Vec::new(), purpose: None, way: Way::Subscribe };
        assessment.add(Face::new(schema(), &decision, &decision), None, to).expect("one view");
        assessment
    };
    assert!(of(Treatment::Strip).bites().is_empty(), "something is inferred from nothing");
    let open = of(Treatment::Keep);
    assert_eq!(open.bites().is_empty(), open.remedies().is_empty(), "what bites is stopped, and nothing else");
    let assumed = Assumed { subjects: Whole::Everything, operator: Whole::Everything };
    let gateway = Origin::new("gateway.example/twins");
    let under = Circumstances { gateway: &gateway, jurisdiction: "EU", assumed, asked: Asked::default(), purposes: &[] };
    let written = Document::of(&open, under);
    let read = Document::parse(&serde_json::to_string(&written).expect("writes"));
    assert_eq!(read.as_ref(), Ok(&written));
    assert_eq!(compare(&written, &written), Ok(Vec::new()), "it is not as it is");
}

fn document(text: &str) {
    match Document::parse(text) {
        Ok(document) => assert_eq!(compare(&document, &document), Ok(Vec::new()), "it is not as it is"),
        Err(error) => one_line(&error.to_string()),
    }
}

fn schema() -> &'static Arc<Schema> {
    static SCHEMA: OnceLock<Arc<Schema>> = OnceLock::new();
    SCHEMA.get_or_init(|| Arc::new(load(&shapes::set(shapes::FLAT), "t.Flat", Some(shapes::FLAT_SIDE)).expect("loads")))
}
