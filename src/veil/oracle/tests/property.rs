//! Non-interference, over drawn schemas, decisions and frames.

use std::collections::BTreeSet;

use super::super::{Dice, Oracle, Seen, draw, reference};
use super::schemas;
use super::views::{Real, decided, drawn, stand_in};
use crate::veil::policy::Decision;
use crate::veil::schema::table::{KINDS, Method, is_identifier_kind};
use crate::veil::schema::{Kind, Schema};
use crate::veil::terms::Treatment;

/// Pairs of frames with the same projection that are tried.
fn pairs() -> u64 {
    let long = std::env::var_os("TWINVEIL_LONG").is_some();
    if long { 1_000_000 } else { 20_000 }
}

fn first_seed() -> u64 {
    std::env::var("TWINVEIL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

fn decision(schema: &Schema, dice: &mut Dice) -> Decision {
    match dice.below(8) {
        0..3 => decided(schema, dice),
        3 => drawn(schema, dice, &[Treatment::Keep, Treatment::Strip]),
        4 => drawn(schema, dice, &[Treatment::Keep, Treatment::Strip, Treatment::Encrypt]),
        _ => drawn(schema, dice, Treatment::ALL),
    }
}

/// Whether the published table has the treatment for identifiers of this type.
fn exists(kind: Kind, treatment: Treatment) -> bool {
    match treatment {
        Treatment::Keep | Treatment::Encrypt | Treatment::Strip => true,
        Treatment::Generalize => Method::ALL.iter().any(|method| method.fits(kind, false)),
        Treatment::Pseudonymize => is_identifier_kind(kind),
    }
}

#[test]
fn frames_with_the_same_projection_look_alike_to_the_recipient() {
    let (mut kept, mut discarded, mut seed, mut covered) = (0, 0, first_seed(), BTreeSet::new());
    while kept < pairs() {
        let mut dice = Dice::new(seed);
        let schema = schemas::schema(&mut dice);
        for _ in 0..4 {
            let decision = decision(&schema, &mut dice);
            let oracle = Oracle::new(&schema, &decision);
            let mut real = Real::new(&schema, &decision);
            for _ in 0..6 {
                let frame = draw::frame(&schema, &mut dice);
                match oracle.check(&frame, 12, &mut dice, &mut |frame| real.apply(frame)) {
                    Ok(tally) => {
                        kept += tally.kept;
                        discarded += tally.discarded;
                        covered.extend(tally.covered.iter().map(|site| {
                            let site = site.0 as usize;
                            (schema.sites()[site].kind.word(), decision.sites[site].treatment)
                        }));
                    }
                    Err(leak) => {
                        let fields: Vec<String> = leak.fields.iter().map(ToString::to_string).collect();
                        panic!("TWINVEIL_SEED={seed}: {} tells: {leak:02x?}", fields.join(", "));
                    }
                }
            }
        }
        seed += 1;
    }
    // Groups can't be sealed.
    for &kind in KINDS.iter().filter(|kind| **kind != Kind::Group) {
        for treatment in Treatment::ALL.iter().copied().filter(|treatment| exists(kind, *treatment)) {
            assert!(covered.contains(&(kind.word(), treatment)), "no pair differed in a {} under `{treatment}`", kind.word());
        }
    }
    assert!(kept * 2 > discarded, "too few variations keep their projection: {kept} do, {discarded} do not");
}

#[test]
fn what_is_sent_is_what_the_projection_says() {
    let (mut frames, mut seed, mut refused) = (0, first_seed(), 0);
    while frames < pairs() / 4 {
        let mut dice = Dice::new(seed);
        let schema = schemas::schema(&mut dice);
        for _ in 0..4 {
            let decision = decision(&schema, &mut dice);
            let oracle = Oracle::new(&schema, &decision);
            let mut real = Real::new(&schema, &decision);
            for _ in 0..24 {
                let frame = draw::frame(&schema, &mut dice);
                let expected = match oracle.project(&frame) {
                    Ok(projection) => {
                        let clear = reference(&projection, &|site, class| stand_in(&schema, site, class));
                        Seen::Sent { clear, groups: projection.sealed }
                    }
                    Err(_) => Seen::Refused,
                };
                let seen = Seen::of(real.apply(&frame));
                assert!(seen == expected, "TWINVEIL_SEED={seed}: {frame:02x?}\nsent     {seen:02x?}\nexpected {expected:02x?}");
                frames += 1;
                refused += u64::from(seen == Seen::Refused);
            }
        }
        seed += 1;
    }
    assert!(refused > 0 && refused * 4 < frames, "{refused} of {frames} frames were refused");
}

#[test]
fn what_was_sent_is_sent_again_as_it_is() {
    let (mut frames, mut seed) = (0, first_seed());
    while frames < pairs() / 10 {
        let mut dice = Dice::new(seed);
        let schema = schemas::schema(&mut dice);
        let decision = drawn(&schema, &mut dice, &[Treatment::Keep, Treatment::Strip]);
        let mut real = Real::new(&schema, &decision);
        for _ in 0..40 {
            let frame = draw::frame(&schema, &mut dice);
            let Ok(once) = real.apply(&frame) else { continue };
            assert_eq!(real.apply(&once).as_ref(), Ok(&once), "TWINVEIL_SEED={seed}: {frame:02x?}");
            frames += 1;
        }
        seed += 1;
    }
}
