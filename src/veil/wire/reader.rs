//! Reading records where they lie.

use super::{DEPTH_MAX, END_GROUP, FIXED32, FIXED64, GROUP, LEN, NUMBER_MAX, TAG_MIN, VARINT};
use crate::veil::outcome::Refusal;

/// The varint at `pos` and the position behind it. Ten bytes at the most, and no bit above the 64th.
#[inline]
pub fn varint(input: &[u8], pos: usize) -> Result<(u64, usize), Refusal> {
    match input.get(pos) {
        Some(&byte) if byte < 0x80 => Ok((u64::from(byte), pos + 1)),
        Some(_) => long_varint(input, pos),
        None => Err(Refusal::Truncated),
    }
}

fn long_varint(input: &[u8], pos: usize) -> Result<(u64, usize), Refusal> {
    let mut value = 0u64;
    for (i, &byte) in input.get(pos..).unwrap_or_default().iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i == 9 && byte > 1 {
            return Err(Refusal::BadVarint);
        }
        value |= bits << (7 * i);
        if byte < 0x80 {
            return Ok((value, pos + i + 1));
        }
    }
    // The tenth byte is the last or too large.
    Err(Refusal::Truncated)
}

/// Where the length-delimited value whose length stands at `pos` begins and ends.
#[inline]
pub fn bounds(input: &[u8], pos: usize) -> Result<(usize, usize), Refusal> {
    let (len, begin) = varint(input, pos)?;
    match usize::try_from(len).ok().and_then(|len| begin.checked_add(len)) {
        Some(end) if end <= input.len() => Ok((begin, end)),
        _ => Err(Refusal::Truncated),
    }
}

/// Splits a tag into field number and wire type; refuses what protobuf does not have.
#[inline]
pub(crate) fn split_tag(tag: u64) -> Result<(u32, u8), Refusal> {
    let wire_type = (tag & 7) as u8;
    match u32::try_from(tag >> 3) {
        Ok(number) if (1..=NUMBER_MAX).contains(&number) && wire_type <= FIXED32 => Ok((number, wire_type)),
        _ => Err(Refusal::BadTag),
    }
}

/// The position behind a value whose tag has been read. Length-delimited values are skipped by their length, unseen;
/// groups have none and are walked, at most [`DEPTH_MAX`] deep.
pub fn skip(input: &[u8], pos: usize, number: u32, wire_type: u8, depth: u32) -> Result<usize, Refusal> {
    match wire_type {
        VARINT => varint(input, pos).map(|(_, end)| end),
        FIXED64 => advance(input, pos, 8),
        LEN => bounds(input, pos).map(|(_, end)| end),
        FIXED32 => advance(input, pos, 4),
        GROUP => skip_group(input, pos, number, depth),
        // An END_GROUP that nothing opened.
        END_GROUP => Err(Refusal::BadGroup),
        _ => Err(Refusal::BadTag),
    }
}

/// The part of `input` from `begin` to `end`; empty where there is none.
#[inline]
pub(crate) fn slice(input: &[u8], begin: usize, end: usize) -> &[u8] {
    input.get(begin..end).unwrap_or_default()
}

/// The position `by` bytes on, if the input goes that far.
#[inline]
pub(crate) fn advance(input: &[u8], pos: usize, by: usize) -> Result<usize, Refusal> {
    match pos.checked_add(by) {
        Some(end) if end <= input.len() => Ok(end),
        _ => Err(Refusal::Truncated),
    }
}

fn skip_group(input: &[u8], mut pos: usize, number: u32, depth: u32) -> Result<usize, Refusal> {
    if depth >= DEPTH_MAX {
        return Err(Refusal::TooDeep);
    }
    loop {
        let (tag, after) = varint(input, pos)?;
        let (inner, wire_type) = split_tag(tag)?;
        if wire_type == END_GROUP {
            return if inner == number { Ok(after) } else { Err(Refusal::BadGroup) };
        }
        pos = skip(input, after, inner, wire_type, depth + 1)?;
    }
}

/// Eight bytes from `pos` on, the first lowest; zeros behind the end of the input.
#[inline(always)]
pub(crate) fn window(input: &[u8], pos: usize) -> u64 {
    let rest = input.get(pos..).unwrap_or_default();
    match rest.first_chunk() {
        Some(window) => u64::from_le_bytes(*window),
        None => rest.iter().rev().fold(0, |window, byte| window << 8 | u64::from(*byte)),
    }
}

/// The position behind the record at `pos` whose tag is one byte, and whether what follows the tag, a varint or a length, was written
/// in its shortest form: from the eight bytes there, which are enough for nearly all records. It may lie behind the end of the input.
/// `None`: long varints, lengths from 2^14 on, groups, and what is no wire type.
#[inline(always)]
pub(crate) fn short_end(window: u64, pos: usize) -> Option<(usize, bool)> {
    let value = pos + 1;
    Some(match window as u8 & 7 {
        VARINT => {
            // The varint ends at the first byte behind the tag without a top bit.
            let ends = !window & 0x8080_8080_8080_8000;
            if ends == 0 {
                return None;
            }
            let last = ends.trailing_zeros() as usize / 8;
            (pos + last + 1, last == 1 || window >> (8 * last) & 0xff != 0)
        }
        LEN => match ((window >> 8) as u8, (window >> 16) as u8) {
            (len @ ..0x80, _) => (value + 1 + usize::from(len), true),
            (low, high @ ..0x80) => (value + 2 + (usize::from(low & 0x7f) | usize::from(high) << 7), high != 0),
            _ => return None,
        },
        FIXED32 => (value + 4, true),
        FIXED64 => (value + 8, true),
        _ => return None,
    })
}

/// One record of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The field number.
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
}

/// The value of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Len(&'a [u8]),
    /// Wire type 3: the bytes between the group's tags, and its end tag.
    Group(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// The records of one message, in wire order. After an error it ends.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    /// Reads the records of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, pos: 0 }
    }

    /// How far it has read, in bytes.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// The next record of one field: the others are passed by, each as far as [`Iterator::next`] would have read it.
    #[inline]
    pub fn next_of(&mut self, number: u32) -> Option<Result<Record<'a>, Refusal>> {
        while self.pos < self.input.len() {
            let window = window(self.input, self.pos);
            let tag = window as u8;
            // Field numbers up to 15 have tags of one byte.
            if (TAG_MIN as u8..0x80).contains(&tag)
                && u32::from(tag >> 3) != number
                && let Some((end, _)) = short_end(window, self.pos)
                && end <= self.input.len()
            {
                self.pos = end;
                continue;
            }
            match self.next()? {
                Ok(record) if record.number != number => {}
                found => return Some(found),
            }
        }
        None
    }

    fn record(&mut self) -> Result<Record<'a>, Refusal> {
        let (tag, at) = varint(self.input, self.pos)?;
        let (number, wire_type) = split_tag(tag)?;
        let end = skip(self.input, at, number, wire_type, 1)?;
        let raw = self.input.get(at..end).ok_or(Refusal::Truncated)?;
        let value = match wire_type {
            VARINT => Value::Varint(varint(self.input, at)?.0),
            FIXED64 => Value::Fixed64(u64::from_le_bytes(raw.try_into().map_err(|_| Refusal::Truncated)?)),
            LEN => {
                let (begin, end) = bounds(self.input, at)?;
                Value::Len(self.input.get(begin..end).ok_or(Refusal::Truncated)?)
            }
            FIXED32 => Value::Fixed32(u32::from_le_bytes(raw.try_into().map_err(|_| Refusal::Truncated)?)),
            _ => Value::Group(raw),
        };
        self.pos = end;
        Ok(Record { number, value })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Record<'a>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.pos >= self.input.len() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.pos = self.input.len();
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{push_tag, push_varint};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_varint_of_eleven_bytes_is_refused() {
        assert_eq!(varint(&[0xff; 11], 0), Err(Refusal::BadVarint));
        assert_eq!(varint(&[0xff; 9], 0), Err(Refusal::Truncated));
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(varint(&most, 0), Ok((u64::MAX, 10)));
        most[9] = 2;
        assert_eq!(varint(&most, 0), Err(Refusal::BadVarint));
    }

    #[test]
    fn every_kind_of_brokenness_has_its_refusal() {
        let cases: &[(&[u8], Refusal)] = &[
            (&[0x08], Refusal::Truncated),
            (&[0x0a, 0x05, 1, 2], Refusal::Truncated),
            (&[0x09, 1, 2, 3], Refusal::Truncated),
            (&[0x0d, 1, 2, 3], Refusal::Truncated),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Refusal::Truncated),
            (&[0x00, 0x00], Refusal::BadTag),
            (&[0x0e, 0x00], Refusal::BadTag),
            (&[0x0f, 0x00], Refusal::BadTag),
            (&[0x80, 0x80, 0x80, 0x80, 0x10, 0x00], Refusal::BadTag),
            (&[0x0c], Refusal::BadGroup),
            (&[0x0b, 0x14], Refusal::BadGroup),
            (&[0x0b, 0x08, 0x01], Refusal::Truncated),
        ];
        for (input, refusal) in cases {
            let error = Reader::new(input).find_map(Result::err);
            assert_eq!(error, Some(*refusal), "{input:?}");
        }
    }

    #[test]
    fn groups_nest_to_the_limit_and_not_one_deeper() {
        let nested = |levels: usize| [vec![0x0b; levels], vec![0x0c; levels]].concat();
        assert!(Reader::new(&nested(DEPTH_MAX as usize - 1)).all(|record| record.is_ok()));
        assert_eq!(Reader::new(&nested(DEPTH_MAX as usize)).find_map(Result::err), Some(Refusal::TooDeep));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_end(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Reader::new(&input).count();
        }

        #[test]
        fn records_of_one_field_are_those_that_all_have(
            records in proptest::collection::vec((1u32..20, 0u8..6, proptest::collection::vec(any::<u8>(), 0..12)), 0..12),
            tail in proptest::collection::vec(any::<u8>(), 0..4),
            number in 1u32..20,
        ) {
            let mut input = Vec::new();
            for (number, wire_type, bytes) in records {
                push_tag(&mut input, number, wire_type);
                if wire_type == LEN {
                    push_varint(&mut input, bytes.len() as u64);
                }
                input.extend(bytes);
            }
            input.extend(tail);
            let all = Reader::new(&input).filter(|record| !record.is_ok_and(|record| record.number != number));
            let mut reader = Reader::new(&input);
            let of_one: Vec<_> = std::iter::from_fn(|| reader.next_of(number)).collect();
            prop_assert_eq!(all.collect::<Vec<_>>(), of_one);
        }

        #[test]
        fn what_is_written_is_read(number in 1..=NUMBER_MAX, value in any::<u64>()) {
            let mut out = Vec::new();
            push_tag(&mut out, number, VARINT);
            push_varint(&mut out, value);
            let records: Vec<_> = Reader::new(&out).collect();
            prop_assert_eq!(records, vec![Ok(Record { number, value: Value::Varint(value) })]);
        }
    }
}
