//! The oracle's own words, on the sample schemas.

mod found;
mod mutants;
mod property;
mod schemas;
mod side;
mod views;
mod ward;

use super::tree::Message;
use super::*;
use crate::proto::SAMPLES;
use crate::veil::policy::{Decided, Decision, Holders, Reason};
use crate::veil::schema::{Schema, load_annotated};
use crate::veil::terms::Treatment;

fn schema() -> Schema {
    load_annotated(SAMPLES, "twinveil.sample.PatientFrame").expect("the sample")
}

fn decision(schema: &Schema, dice: &mut Dice) -> Decision {
    let sites = schema.sites().iter().map(|site| {
        let allowed: Vec<_> = Treatment::ALL.iter().copied().filter(|treatment| site.allows(*treatment)).collect();
        Decided { treatment: *dice.pick(&allowed).expect("strip"), holders: Holders::Vault, reason: Reason::Floor }
    });
    Decision { sites: sites.collect() }
}

#[test]
fn frames_are_written_as_they_were_read() {
    let schema = schema();
    let mut dice = Dice::new(1);
    for _ in 0..500 {
        let decision = decision(&schema, &mut dice);
        let oracle = Oracle::new(&schema, &decision);
        let frame = draw::frame(&schema, &mut dice);
        assert_eq!(Message::parse(&oracle, &frame).encode(), frame);
        let other = oracle.vary(&frame, &mut dice);
        assert_eq!(Message::parse(&oracle, &other).encode(), other);
    }
}

#[test]
fn a_view_that_sends_nothing_tells_nothing_and_one_that_sends_all_does() {
    let schema = schema();
    let strip = Decision {
        sites: schema
            .sites()
            .iter()
            .map(|_| Decided { treatment: Treatment::Strip, holders: Holders::Vault, reason: Reason::Floor })
            .collect(),
    };
    let oracle = Oracle::new(&schema, &strip);
    let frame = [0x0a, 1, b'p'];
    let tally = oracle.check(&frame, 200, &mut Dice::new(2), &mut |_| Ok(Vec::new()));
    let tally = tally.expect("nothing");
    assert!(tally.kept > 50, "{tally:?}");
    let leak = oracle.check(&frame, 200, &mut Dice::new(2), &mut |frame| Ok(frame.to_vec())).expect_err("everything");
    assert!(!leak.fields.is_empty() && leak.first_difference().is_some(), "{leak:?}");
    assert!(leak.frames.iter().map(Vec::len).sum::<usize>() <= 8, "as small as can be: {leak:?}");
}

#[test]
fn the_same_seed_gives_the_same_frames() {
    let schema = schema();
    let frames = |seed| (0..20).map(|_| draw::frame(&schema, &mut Dice::new(seed))).collect::<Vec<_>>();
    assert_eq!(frames(7), frames(7));
    assert_ne!(frames(7), frames(8));
}
