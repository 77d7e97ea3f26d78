//! Writing records; every varint minimal.

use super::LEN;

/// How many bytes the minimal varint of a value takes, 1 to 10.
#[inline]
pub const fn varint_len(value: u64) -> usize {
    // Seven bits a byte; `| 1` makes zero one byte.
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Appends a varint.
#[inline]
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a varint to the front of `out`, which has room for it, and returns its length.
#[inline]
pub fn write_varint(out: &mut [u8], mut value: u64) -> usize {
    let mut len = 0;
    for byte in out {
        len += 1;
        if value < 0x80 {
            *byte = value as u8;
            break;
        }
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    len
}

/// Appends a tag.
#[inline]
pub fn push_tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    push_varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

/// Appends a length-delimited record.
pub fn push_len_prefixed(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    push_tag(out, number, LEN);
    push_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_varint_is_as_long_as_said_and_minimal(bits in 0u32..=64, value in any::<u64>()) {
            let value = if bits == 0 { 0 } else { value >> (64 - bits) };
            let mut out = Vec::new();
            push_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            prop_assert!(out.len() == 1 || out.last() != Some(&0));
            let mut array = [0; 10];
            let len = write_varint(&mut array, value);
            prop_assert_eq!(&array[..len], &out[..]);
        }
    }
}
