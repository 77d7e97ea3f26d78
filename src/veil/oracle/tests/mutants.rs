//! Can the check fail? Views with a leak planted in each: every one must be found, and its field named.

use super::super::{Dice, Differs, Leak, Oracle, draw};
use super::schemas;
use super::views::{Real, drawn};
use super::ward;
use crate::veil::outcome::Refusal;
use crate::veil::terms::Treatment;
use crate::veil::wire::{FIXED64, Reader, Value, push_len_prefixed, push_tag, push_varint, varint, varint_len};

/// As many pairs as the property tries.
const PAIRS: u64 = 20_000;

/// Makes, of what was rightly sent, what a leaky view would send. It sees the whole frame.
type Plant = fn(frame: &[u8], sent: Vec<u8>) -> Result<Vec<u8>, Refusal>;

/// The first pair that tells, or none.
fn hunt(plant: Plant) -> Option<Box<Leak>> {
    let schema = ward::schema();
    let decision = ward::decision(&schema);
    let oracle = Oracle::new(&schema, &decision);
    let (mut real, mut dice, mut kept) = (Real::new(&schema, &decision), Dice::new(11), 0);
    while kept < PAIRS {
        let frame = draw::frame(&schema, &mut dice);
        match oracle.check(&frame, 12, &mut dice, &mut |frame| plant(frame, real.apply(frame)?)) {
            Ok(tally) => kept += tally.kept,
            Err(leak) => return Some(leak),
        }
    }
    None
}

/// The leak is found, the pair is small, and all the places that it names fit.
fn named(plant: Plant, fits: fn(&str) -> bool) {
    let leak = hunt(plant).expect("a planted leak is found");
    let wrong: Vec<&Differs> = leak.fields.iter().filter(|differs| !fits(&differs.path)).collect();
    assert!(!leak.fields.is_empty() && wrong.is_empty(), "{leak:02x?}");
    assert_ne!(leak.seen[0], leak.seen[1]);
    // A length that needs a second byte needs this much inside.
    assert!(leak.frames.iter().all(|frame| frame.len() < 400), "{leak:02x?}");
}

/// The records of a message with their bytes, as far as it is whole.
fn records(message: &[u8]) -> Vec<(u32, Value<'_>, &[u8])> {
    let (mut reader, mut begin, mut found) = (Reader::new(message), 0, Vec::new());
    while let Some(Ok(record)) = reader.next() {
        found.push((record.number, record.value, &message[begin..reader.position()]));
        begin = reader.position();
    }
    found
}

fn len_of(frame: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    records(frame).into_iter().filter(move |record| record.0 == number).filter_map(|(_, value, _)| match value {
        Value::Len(bytes) => Some(bytes),
        _ => None,
    })
}

fn has_varint(frame: &[u8], number: u32) -> Option<u64> {
    records(frame).into_iter().find_map(|(found, value, _)| match value {
        Value::Varint(value) if found == number => Some(value),
        _ => None,
    })
}

#[test]
fn a_view_without_a_planted_leak_is_not_accused() {
    assert_eq!(hunt(|_, sent| Ok(sent)), None);
}

#[test]
fn a_length_left_as_long_as_it_was() {
    let plant: Plant = |frame, sent| {
        let room = len_of(frame, 3).map(|inner| varint_len(inner.len() as u64)).max().unwrap_or(1);
        let mut out = Vec::new();
        for (number, value, bytes) in records(&sent) {
            match value {
                Value::Len(inner) if number == 3 && room > varint_len(inner.len() as u64) => {
                    out.extend([0x1a, inner.len() as u8 | 0x80, 0]);
                    out.extend(inner);
                }
                _ => out.extend(bytes),
            }
        }
        Ok(out)
    };
    named(plant, |path| path.starts_with("inner"));
}

#[test]
fn an_element_that_comes_out_empty() {
    let plant: Plant = |frame, mut sent| {
        if len_of(frame, 4).any(|inner| has_varint(inner, 1).is_none() && records(inner).iter().all(|record| record.0 != 1)) {
            sent.extend([0x22, 0]);
        }
        Ok(sent)
    };
    named(plant, |path| path.starts_with("list"));
}

#[test]
fn an_order_of_kept_records_that_depends_on_a_hidden_one() {
    let plant: Plant = |frame, sent| {
        let clear: Vec<_> = records(&sent);
        match (has_varint(frame, 10), clear.as_slice()) {
            (Some(_), [first, second, rest @ ..]) if first.0 < 100 && second.0 < 100 => {
                let rest: Vec<u8> = rest.iter().flat_map(|record| record.2).copied().collect();
                Ok([second.2, first.2, &rest].concat())
            }
            _ => Ok(sent),
        }
    };
    named(plant, |path| path == "count");
}

#[test]
fn a_refusal_because_of_a_hidden_subtree() {
    let plant: Plant = |frame, sent| {
        let broken = len_of(frame, 9).any(|inner| Reader::new(inner).any(|record| record.is_err()));
        if broken { Err(Refusal::Truncated) } else { Ok(sent) }
    };
    named(plant, |path| path.starts_with("hidden"));
}

#[test]
fn the_key_of_a_hidden_element() {
    let plant: Plant = |frame, mut sent| {
        if len_of(frame, 5).any(|inner| len_of(inner, 1).any(|key| key == b"pos")) {
            sent.extend([0x2a, 5, 0x0a, 3, b'p', b'o', b's']);
        }
        Ok(sent)
    };
    named(plant, |path| path.starts_with("pairs"));
}

#[test]
fn an_unknown_field_that_is_kept() {
    let plant: Plant = |frame, mut sent| {
        let unknown = records(frame).into_iter().filter(|record| record.0 == 1_999);
        unknown.for_each(|record| sent.extend(record.2));
        Ok(sent)
    };
    named(plant, |path| path == "#1999");
}

#[test]
fn a_varint_as_long_as_the_source_wrote_it() {
    let plant: Plant = |frame, sent| {
        let long = records(frame).into_iter().find(|record| record.0 == 11 && matches!(record.1, Value::Varint(_)));
        let mut out = Vec::new();
        for (number, _, bytes) in records(&sent) {
            match long {
                Some((_, _, as_written)) if number == 11 => out.extend(as_written),
                _ => out.extend(bytes),
            }
        }
        Ok(out)
    };
    named(plant, |path| path == "plain");
}

#[test]
fn a_sealed_group_that_grows_with_a_stripped_field() {
    let plant: Plant = |frame, sent| {
        let long = len_of(frame, 2).any(|secret| secret.len() >= 8);
        let mut out = Vec::new();
        for (number, value, bytes) in records(&sent) {
            match value {
                Value::Len(group) if number == 18_000 && long => push_len_prefixed(&mut out, number, &[group, &[0; 32]].concat()),
                _ => out.extend(bytes),
            }
        }
        Ok(out)
    };
    named(plant, |path| path == "secret");
}

#[test]
fn a_hidden_byte_in_the_last_bits_of_an_image() {
    let plant: Plant = |frame, sent| {
        let count = has_varint(frame, 10).unwrap_or_default() as u8;
        let mut out = Vec::new();
        for (number, value, bytes) in records(&sent) {
            match value {
                Value::Fixed64(bits) if number == 6 => {
                    push_tag(&mut out, number, FIXED64);
                    out.extend((bits | u64::from(count)).to_le_bytes());
                }
                _ => out.extend(bytes),
            }
        }
        Ok(out)
    };
    named(plant, |path| path == "count");
}

#[test]
fn a_value_that_is_let_through_once_in_a_while() {
    let plant: Plant = |frame, sent| {
        let raw = records(frame).into_iter().rev().find_map(|(number, value, _)| match value {
            Value::Fixed64(bits) if number == 6 => Some(bits),
            _ => None,
        });
        let mut out = Vec::new();
        for (number, value, bytes) in records(&sent) {
            match (value, raw) {
                (Value::Fixed64(_), Some(raw)) if number == 6 && raw >> 40 & 15 == 3 && f64::from_bits(raw).is_finite() => {
                    push_tag(&mut out, number, FIXED64);
                    out.extend(raw.to_le_bytes());
                }
                _ => out.extend(bytes),
            }
        }
        Ok(out)
    };
    named(plant, |path| path == "rate");
}

#[test]
fn a_count_of_hidden_records_in_an_unused_bit() {
    let plant: Plant = |frame, sent| {
        // The tag of the first kept record is written longer where an odd number of records was hidden below it.
        let hidden = len_of(frame, 3).flat_map(|inner| records(inner)).filter(|record| record.0 == 2).count();
        let Ok((tag, at)) = varint(&sent, 0) else { return Ok(sent) };
        if hidden % 2 == 0 || sent.is_empty() || tag >> 3 >= 16 {
            return Ok(sent);
        }
        let mut out = Vec::new();
        push_varint(&mut out, tag | 0x80);
        out.truncate(1);
        out.push(0);
        out.extend(&sent[at..]);
        Ok(out)
    };
    named(plant, |path| path.starts_with("inner"));
}

#[test]
fn long_frames_are_made_small_too() {
    let schema = ward::schema();
    let decision = ward::decision(&schema);
    let (oracle, mut real) = (Oracle::new(&schema, &decision), Real::new(&schema, &decision));
    let frame: Vec<u8> = (0..3_000u32).flat_map(|count| [0x58, (count % 100) as u8, 0x1a, 2, 0x08, (count % 90) as u8]).collect();
    let mut asked = 0;
    let leak = oracle.check(&frame, 400, &mut Dice::new(3), &mut |frame| {
        asked += 1;
        let mut sent = real.apply(frame)?;
        if let (Some(_), false) = (has_varint(frame, 10), sent.is_empty()) {
            sent.pop();
        }
        Ok(sent)
    });
    let leak = leak.expect_err("planted");
    assert!(leak.frames.iter().all(|frame| frame.len() < 30) && asked < 1_000, "{asked}: {leak:02x?}");
    assert_eq!(leak.fields.iter().map(|differs| &*differs.path).collect::<Vec<_>>(), ["count"]);
    assert!(leak.tried.kept > 0);
}

#[test]
fn a_site_treated_more_weakly_than_was_decided_is_found_and_named() {
    let (mut found, mut missed, mut seed) = (0, 0, 100);
    while found + missed < 150 {
        seed += 1;
        let mut dice = Dice::new(seed);
        let schema = schemas::schema(&mut dice);
        let decision = drawn(&schema, &mut dice, &[Treatment::Keep, Treatment::Strip, Treatment::Generalize]);
        let weakened = decision.sites.iter().enumerate().filter(|(_, decided)| decided.treatment != Treatment::Keep).map(|(site, _)| site);
        let weakened: Vec<usize> = weakened.collect();
        let Some(&site) = dice.pick(&weakened) else { continue };
        let mut weaker = decision.clone();
        weaker.sites[site].treatment = Treatment::Keep;
        let (oracle, mut leaky) = (Oracle::new(&schema, &decision), Real::new(&schema, &weaker));
        let mut leak = None;
        for _ in 0..60 {
            let frame = draw::frame(&schema, &mut dice);
            leak = oracle.check(&frame, 20, &mut dice, &mut |frame| leaky.apply(frame)).err();
            if leak.is_some() {
                break;
            }
        }
        match leak {
            Some(leak) => {
                let path = &schema.sites()[site].path;
                // What is hidden around it counts: it is there because the site is.
                let hit = leak.fields.iter().any(|differs| path.as_str().starts_with(&differs.path));
                assert!(hit, "seed {seed}: `{path}` leaks: {leak:02x?}");
                found += 1;
            }
            None => missed += 1,
        }
    }
    // Some places are deep inside types that hold themselves: no drawn frame has them.
    assert!(found >= 5 * missed, "{found} found, {missed} missed");
}
