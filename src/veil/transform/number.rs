//! Numbers as they stand on the wire: read, replaced, written.

use super::generalize;
use crate::veil::outcome::Refusal;
use crate::veil::terms::{Generalizer, Kind};
use crate::veil::wire::{FIXED32, FIXED64, push_tag, push_varint, unzigzag, varint, zigzag};

/// Appends a coordinate as its type is written.
pub(crate) fn push_float(out: &mut Vec<u8>, number: u32, kind: Kind, value: f64) {
    push_tag(out, number, kind.wire_type());
    if kind == Kind::Float {
        out.extend_from_slice(&(value as f32).to_le_bytes());
    } else {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends the image of the number at the front of `input`, as its type is written, and returns whether it has one and how long
/// the number is.
pub(crate) fn push_image(kind: Kind, how: &Generalizer, input: &[u8], out: &mut Vec<u8>) -> Result<(bool, usize), Refusal> {
    match kind {
        Kind::Double => {
            let value = f64::from_le_bytes(*input.first_chunk().ok_or(Refusal::Truncated)?);
            let image = generalize::float(how, value);
            image.iter().for_each(|image| out.extend_from_slice(&image.to_le_bytes()));
            Ok((image.is_some(), 8))
        }
        Kind::Float => {
            let value = f32::from_le_bytes(*input.first_chunk().ok_or(Refusal::Truncated)?);
            let image = generalize::float32(how, value);
            image.iter().for_each(|image| out.extend_from_slice(&image.to_le_bytes()));
            Ok((image.is_some(), 4))
        }
        _ => {
            let (value, len) = read_integer(kind, input)?;
            let (min, max) = range(kind);
            let image = generalize::integer(how, value, min, max);
            image.iter().for_each(|image| write_integer(kind, *image as u64, out));
            Ok((image.is_some(), len))
        }
    }
}

/// The integer at the front of `input`, as its type has it, and its length.
pub(crate) fn read_integer(kind: Kind, input: &[u8]) -> Result<(i128, usize), Refusal> {
    let (raw, len) = match kind.wire_type() {
        FIXED64 => (u64::from_le_bytes(*input.first_chunk().ok_or(Refusal::Truncated)?), 8),
        FIXED32 => (u64::from(u32::from_le_bytes(*input.first_chunk().ok_or(Refusal::Truncated)?)), 4),
        _ => varint(input, 0)?,
    };
    // A varint that is wider than its type counts by its lower bits, as every parser reads it.
    let value = match kind {
        Kind::Int32 | Kind::Sfixed32 => i128::from(raw as i32),
        Kind::Uint32 | Kind::Fixed32 => i128::from(raw as u32),
        Kind::Sint32 => i128::from(unzigzag(u64::from(raw as u32))),
        Kind::Sint64 => i128::from(unzigzag(raw)),
        Kind::Int64 | Kind::Sfixed64 => i128::from(raw as i64),
        _ => i128::from(raw),
    };
    Ok((value, len))
}

/// Appends an integer as its type is written, cut to its width.
pub(crate) fn write_integer(kind: Kind, value: u64, out: &mut Vec<u8>) {
    match kind {
        Kind::Sint32 => push_varint(out, zigzag(i64::from(value as i32))),
        Kind::Sint64 => push_varint(out, zigzag(value as i64)),
        Kind::Int32 => push_varint(out, i64::from(value as i32) as u64),
        Kind::Uint32 => push_varint(out, u64::from(value as u32)),
        Kind::Fixed32 | Kind::Sfixed32 => out.extend_from_slice(&(value as u32).to_le_bytes()),
        Kind::Fixed64 | Kind::Sfixed64 => out.extend_from_slice(&value.to_le_bytes()),
        _ => push_varint(out, value),
    }
}

/// The values that a type can hold.
pub(crate) const fn range(kind: Kind) -> (i128, i128) {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (i32::MIN as i128, i32::MAX as i128),
        Kind::Uint32 | Kind::Fixed32 => (0, u32::MAX as i128),
        Kind::Uint64 | Kind::Fixed64 => (0, u64::MAX as i128),
        _ => (i64::MIN as i128, i64::MAX as i128),
    }
}

/// A coordinate in degrees, whichever floating-point type it has.
pub(crate) fn coordinate(tag: u64, value: &[u8]) -> Option<f64> {
    match (tag & 7) as u8 {
        FIXED64 => Some(f64::from_le_bytes(value.try_into().ok()?)),
        FIXED32 => Some(f64::from(f32::from_le_bytes(value.try_into().ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_that_is_wider_than_its_type_counts_by_its_lower_bits() {
        // protobuf.dev, "Updating A Message Type": as if cast in C++.
        let wide = |low: u32| {
            let mut out = Vec::new();
            push_varint(&mut out, 5 << 32 | u64::from(low));
            out
        };
        for (kind, low, value) in
            [(Kind::Int32, u32::MAX, -1), (Kind::Uint32, 7, 7), (Kind::Sint32, 6, 3), (Kind::Sint32, u32::MAX, i128::from(i32::MIN))]
        {
            assert_eq!(read_integer(kind, &wide(low)), Ok((value, 5)), "{kind:?}");
        }
        let mut out = Vec::new();
        assert_eq!(push_image(Kind::Sint32, &Generalizer::Step(100.0), &wide(u32::MAX - 1), &mut out), Ok((true, 5)));
        assert_eq!(read_integer(Kind::Sint32, &out), Ok((2_147_483_600, 5)));
    }

    #[test]
    fn a_number_that_is_cut_off_is_refused_and_nothing_of_it_comes_out() {
        for (kind, len) in
            [(Kind::Double, 8), (Kind::Float, 4), (Kind::Fixed64, 8), (Kind::Sfixed32, 4), (Kind::Int64, 3), (Kind::Sint32, 3)]
        {
            let number = if kind.wire_type() == 0 { vec![0x80, 0x80, 0x01] } else { vec![0; len] };
            let mut out = Vec::new();
            assert_eq!(push_image(kind, &Generalizer::Step(1.0), &number, &mut out), Ok((true, len)), "{kind:?}");
            for cut in 0..len {
                let mut out = Vec::new();
                assert_eq!(push_image(kind, &Generalizer::Step(1.0), &number[..cut], &mut out), Err(Refusal::Truncated), "{kind:?}");
                assert!(out.is_empty() && read_integer(Kind::Int64, &[]).is_err());
            }
        }
        assert_eq!(push_image(Kind::Double, &Generalizer::Step(1.0), &f64::NAN.to_le_bytes(), &mut Vec::new()), Ok((false, 8)));
    }

    #[test]
    fn what_is_no_number_of_that_width_is_no_coordinate() {
        assert_eq!(coordinate(FIXED64.into(), &45.5f64.to_le_bytes()), Some(45.5));
        assert_eq!(coordinate(FIXED32.into(), &45.5f32.to_le_bytes()), Some(45.5));
        for (tag, value) in [(FIXED64, &[0; 4][..]), (FIXED32, &[0; 8]), (0, &[1])] {
            assert_eq!(coordinate(tag.into(), value), None);
        }
    }
}
