//! The place of a disclosure among those of its subject. The disclosure commits to it, and what opens the commitment goes to the subject
//! alone: it shows that none was left out, and to nobody else how many there are.

use crate::veil::crypto::hash::sha256;

const LABEL: &[u8] = b"twinveil/disclosure/place/v1\0";

/// A place in a row: a number, and what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Random: what is committed to can't be guessed.
    pub blind: [u8; 16],
    /// From 0.
    pub number: u64,
    /// SHA-256 of the one before; zeros before the first.
    pub before: [u8; 32],
}

impl Place {
    /// Behind this many, of which the last has this hash.
    pub const fn behind(number: u64, before: [u8; 32], blind: [u8; 16]) -> Self {
        Self { blind, number, before }
    }

    /// What a disclosure says of its place.
    pub fn commitment(&self) -> [u8; 32] {
        sha256(&[LABEL, &self.blind, &self.number.to_be_bytes(), &self.before])
    }

    /// As bytes: what is random, the number, the hash.
    pub fn bytes(&self) -> [u8; 56] {
        let mut bytes = [0; 56];
        let all = self.blind.into_iter().chain(self.number.to_be_bytes()).chain(self.before);
        bytes.iter_mut().zip(all).for_each(|(byte, value)| *byte = value);
        bytes
    }

    /// Reads the bytes, and what is behind them.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (blind, rest) = bytes.split_first_chunk::<16>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (before, rest) = rest.split_first_chunk::<32>()?;
        Some((Self { blind: *blind, number: u64::from_be_bytes(*number), before: *before }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_committed_to_by_all_of_it_and_read_back() {
        let place = Place::behind(7, [3; 32], [1; 16]);
        let others = [Place { number: 8, ..place }, Place { before: [4; 32], ..place }, Place { blind: [2; 16], ..place }];
        assert!(others.iter().all(|other| other.commitment() != place.commitment()));
        let bytes = [&place.bytes()[..], b"behind"].concat();
        assert_eq!(Place::read(&bytes), Some((place, &b"behind"[..])));
        assert!((0..56).all(|len| Place::read(&bytes[..len]).is_none()));
    }
}
