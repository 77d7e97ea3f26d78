//! The records of one message, with the bytes of each value as they stand on the wire.

use crate::veil::outcome::Refusal;
use crate::veil::wire::{FIXED32, FIXED64, GROUP, LEN, VARINT, bounds, skip, varint};

/// One record.
pub(super) struct Read<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
    /// Everything behind the tag: a length with what it measures, a group with its end tag.
    pub(super) raw: &'a [u8],
    /// How long the tag is, in bytes.
    pub(super) tag_len: usize,
}

/// What it holds.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Len(&'a [u8]),
    Group(&'a [u8]),
    Fixed32(u32),
}

impl Value<'_> {
    pub(super) fn wire_type(&self) -> u8 {
        match self {
            Self::Varint(_) => VARINT,
            Self::Fixed64(_) => FIXED64,
            Self::Len(_) => LEN,
            Self::Group(_) => GROUP,
            Self::Fixed32(_) => FIXED32,
        }
    }
}

/// The depth at which elements are looked through for their key, before it is known whether anything is visible in them.
pub(super) const fn scan_depth() -> u32 {
    1
}

/// Reads a message that stands so deep in the frame.
pub(super) fn read(input: &[u8], depth: u32) -> Result<Vec<Read<'_>>, Refusal> {
    let (records, broken) = read_as_far(input, depth);
    broken.map_or(Ok(records), |(refusal, _)| Err(refusal))
}

/// The records up to the first that is broken, and where that one begins.
pub(super) fn read_as_far(input: &[u8], depth: u32) -> (Vec<Read<'_>>, Option<(Refusal, usize)>) {
    let (mut records, mut pos) = (Vec::new(), 0);
    while pos < input.len() {
        match one(input, pos, depth) {
            Ok((record, end)) => {
                records.push(record);
                pos = end;
            }
            Err(refusal) => return (records, Some((refusal, pos))),
        }
    }
    (records, None)
}

fn one(input: &[u8], pos: usize, depth: u32) -> Result<(Read<'_>, usize), Refusal> {
    let (tag, at) = varint(input, pos)?;
    let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number)).ok_or(Refusal::BadTag)?;
    let wire_type = (tag & 7) as u8;
    let end = skip(input, at, number, wire_type, depth)?;
    let raw = input.get(at..end).ok_or(Refusal::Truncated)?;
    let value = match wire_type {
        VARINT => Value::Varint(varint(input, at)?.0),
        FIXED64 => Value::Fixed64(u64::from_le_bytes(raw.try_into().map_err(|_| Refusal::Truncated)?)),
        FIXED32 => Value::Fixed32(u32::from_le_bytes(raw.try_into().map_err(|_| Refusal::Truncated)?)),
        LEN => {
            let (begin, end) = bounds(input, at)?;
            Value::Len(input.get(begin..end).ok_or(Refusal::Truncated)?)
        }
        _ => Value::Group(raw),
    };
    Ok((Read { number, value, raw, tag_len: at - pos }, end))
}
