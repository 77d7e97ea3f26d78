//! Numbers as they stand on the wire: read, replaced, written.

use super::generalize;
use crate::veil::outcome::Refusal;
use crate::veil::terms::{Generalizer, Kind};
use crate::veil::wire::{FIXED32, FIXED64, VARINT, advance, push_tag, push_varint, slice, unzigzag, varint, zigzag};

/// Appends a coordinate as its type is written.
pub(crate) fn push_float(out: &mut Vec<u8>, number: u32, kind: Kind, value: f64) {
    push_tag(out, number, kind.wire_type());
    if kind == Kind::Float {
        out.extend_from_slice(&(value as f32).to_le_bytes());
    } else {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// How long one number is on the wire.
pub(crate) fn number_len(kind: Kind, input: &[u8]) -> Result<usize, Refusal> {
    match kind.wire_type() {
        VARINT => varint(input, 0).map(|(_, end)| end),
        FIXED64 => advance(input, 0, 8),
        _ => advance(input, 0, 4),
    }
}

/// Appends the image of the number at the front of `input`, as its type is written; false where it has none.
pub(crate) fn push_image(kind: Kind, how: &Generalizer, input: &[u8], out: &mut Vec<u8>) -> Result<bool, Refusal> {
    let bytes = slice(input, 0, number_len(kind, input)?);
    match kind {
        Kind::Double => {
            let image = bytes.try_into().ok().and_then(|bytes| generalize::float(how, f64::from_le_bytes(bytes)));
            image.map(|image| out.extend_from_slice(&image.to_le_bytes())).map_or(Ok(false), |()| Ok(true))
        }
        Kind::Float => {
            let image = bytes.try_into().ok().and_then(|bytes| generalize::float32(how, f32::from_le_bytes(bytes)));
            image.map(|image| out.extend_from_slice(&image.to_le_bytes())).map_or(Ok(false), |()| Ok(true))
        }
        _ => {
            let (min, max) = range(kind);
            let image = generalize::integer(how, read_integer(kind, bytes)?.0, min, max);
            image.map(|image| write_integer(kind, image as u64, out)).map_or(Ok(false), |()| Ok(true))
        }
    }
}

/// The integer at the front of `input`, as its type has it, and its length.
pub(crate) fn read_integer(kind: Kind, input: &[u8]) -> Result<(i128, usize), Refusal> {
    let len = number_len(kind, input)?;
    let eight = || slice(input, 0, 8).try_into().map_err(|_| Refusal::Truncated).map(u64::from_le_bytes);
    let four = || slice(input, 0, 4).try_into().map_err(|_| Refusal::Truncated).map(u32::from_le_bytes);
    let value = match kind {
        Kind::Int32 => i128::from(varint(input, 0)?.0 as i32),
        Kind::Int64 => i128::from(varint(input, 0)?.0 as i64),
        Kind::Uint32 => i128::from(varint(input, 0)?.0 as u32),
        // As every parser does: the lower 32 bits, then the sign.
        Kind::Sint32 => i128::from(unzigzag(u64::from(varint(input, 0)?.0 as u32))),
        Kind::Sint64 => i128::from(unzigzag(varint(input, 0)?.0)),
        Kind::Fixed64 => i128::from(eight()?),
        Kind::Sfixed64 => i128::from(eight()? as i64),
        Kind::Fixed32 => i128::from(four()?),
        Kind::Sfixed32 => i128::from(four()? as i32),
        _ => i128::from(varint(input, 0)?.0),
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
        assert_eq!(push_image(Kind::Sint32, &Generalizer::Step(100.0), &wide(u32::MAX - 1), &mut out), Ok(true));
        assert_eq!(read_integer(Kind::Sint32, &out), Ok((2_147_483_600, 5)));
    }
}
