//! The wire format: whatever bytes come, reading ends, agrees with what was written, and agrees with the walk of a view.

use std::sync::{Arc, OnceLock};

use twinveil::veil::outcome::Refusal;
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{Schema, load};
use twinveil::veil::terms::Treatment;
use twinveil::veil::view::{Program, Raw, Space};
use twinveil::veil::wire::{
    DEPTH_MAX, Reader, Record, Value, bounds, push_len_prefixed, push_tag, push_varint, skip, unzigzag, varint, varint_len, write_varint,
    zigzag,
};

use super::{apply, shapes};

pub(super) fn run(data: &[u8]) {
    numbers(data);
    let read: Result<Vec<_>, _> = Reader::new(data).collect();
    if let Ok(records) = &read {
        let mut again = Vec::new();
        records.iter().for_each(|record| again.extend(canonical(record)));
        assert_eq!(Reader::new(&again).collect::<Result<Vec<_>, _>>().as_ref(), Ok(records), "what is written is read");
    }
    walk(data, &read);
}

/// A record as short as it can be written.
pub(super) fn canonical(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match record.value {
        Value::Varint(value) => {
            push_tag(&mut out, record.number, 0);
            push_varint(&mut out, value);
        }
        Value::Fixed64(value) => {
            push_tag(&mut out, record.number, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Len(value) => push_len_prefixed(&mut out, record.number, value),
        Value::Group(inside) => {
            push_tag(&mut out, record.number, 3);
            out.extend_from_slice(inside);
        }
        Value::Fixed32(value) => {
            push_tag(&mut out, record.number, 5);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    out
}

/// Every reader of one value, at every place.
fn numbers(data: &[u8]) {
    for at in 0..=data.len().min(64) {
        if let Ok((value, end)) = varint(data, at) {
            let len = end - at;
            assert!((1..=10).contains(&len) && end <= data.len() && varint_len(value) <= len);
            let mut written = Vec::new();
            push_varint(&mut written, value);
            let mut array = [0; 10];
            let short = write_varint(&mut array, value);
            assert_eq!(array[..short], written[..]);
            assert_eq!((written.len(), varint(&written, 0)), (varint_len(value), Ok((value, written.len()))));
            assert_eq!(zigzag(unzigzag(value)), value);
        }
        if let Ok((begin, end)) = bounds(data, at) {
            assert!(at < begin && begin <= end && end <= data.len());
        }
        for wire_type in 0..8 {
            match skip(data, at, 1, wire_type, 1) {
                Ok(end) => assert!((at..=data.len()).contains(&end) && matches!(wire_type, 0..=3 | 5)),
                Err(refusal) => assert!(wire_type != 4 || refusal == Refusal::BadGroup),
            }
            assert!(wire_type != 3 || skip(data, at, 1, wire_type, DEPTH_MAX).is_err(), "a group below the deepest");
        }
    }
    assert!(varint(data, data.len()).is_err() && skip(data, usize::MAX, 1, 1, 1).is_err());
}

/// A flat message of which everything is kept: what comes out is what the reader read, written short.
fn walk(data: &[u8], read: &Result<Vec<Record<'_>>, Refusal>) {
    static FLAT: OnceLock<(Schema, Arc<Program>)> = OnceLock::new();
    let (_, program) = FLAT.get_or_init(|| {
        let schema = load(&shapes::set(shapes::FLAT), "t.Flat", Some(shapes::FLAT_SIDE)).expect("loads");
        let kept = Decided { treatment: Treatment::Keep, holders: Holders::Vault, reason: Reason::Public };
        let program = Program::compile(&schema, &Decision { sites: vec![kept; schema.sites().len()] });
        (schema, Arc::new(program))
    });
    let mut space = Space::default();
    let seen = apply::view(program, &[]).apply(Raw::new(data), &mut space).map(|veiled| veiled.bytes().to_vec());
    let Ok(records) = read else {
        assert!(seen.is_err(), "the reader refuses it and the walk does not");
        return;
    };
    let expected: Option<Vec<_>> = records.iter().map(shown).collect();
    match (seen, expected) {
        (Ok(seen), Some(expected)) => assert_eq!(seen, expected.concat()),
        // A run of packed numbers that is none is refused where it had to be rewritten, and kept as it came where not.
        (Ok(_) | Err(_), None) => {}
        (Err(refusal), Some(_)) => panic!("the reader reads it and the walk says: {refusal}"),
    }
}

/// The record as a view that keeps everything shows it: not at all where the message has no such field. `None`: a run of packed
/// numbers that is none.
fn shown(record: &Record<'_>) -> Option<Vec<u8>> {
    match (record.number, record.value) {
        (1 | 3 | 2_000, Value::Varint(_))
        | (2 | 3_000, Value::Len(_))
        | (4, Value::Fixed32(_))
        | (5, Value::Fixed64(_))
        | (6, Value::Fixed32(_) | Value::Len(_)) => Some(canonical(record)),
        (3, Value::Len(run)) => {
            let (mut short, mut at) = (Vec::new(), 0);
            while at < run.len() {
                let (value, end) = varint(run, at).ok()?;
                push_varint(&mut short, value);
                at = end;
            }
            Some(canonical(&Record { number: 3, value: Value::Len(&short) }))
        }
        _ => Some(Vec::new()),
    }
}
