//! RFC 6962 §2.1: how entries become one hash, and the little that must be kept to go on appending.

use std::fmt;

use crate::veil::base64;
use crate::veil::crypto::hash::sha256;
use crate::veil::logsafe::LogSafe;

/// The most leaves of a tree: the other implementations count in signed 64 bits.
pub const SIZE_MAX: u64 = i64::MAX as u64;

/// A hash in a tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// `MTH({}) = SHA-256()`.
    pub fn empty() -> Self {
        Self(sha256(&[]))
    }

    /// `SHA-256(0x00 || entry)`.
    pub fn leaf(entry: &[u8]) -> Self {
        Self(sha256(&[&[0], entry]))
    }

    /// `SHA-256(0x01 || left || right)`.
    pub fn node(left: &Self, right: &Self) -> Self {
        Self(sha256(&[&[1], &left.0, &right.0]))
    }

    /// The root over complete subtrees, the largest (leftmost) first.
    pub fn join(subtrees: &[Self]) -> Option<Self> {
        let (last, others) = subtrees.split_last()?;
        Some(others.iter().rev().fold(*last, |right, left| Self::node(left, &right)))
    }

    /// Reads 44 characters of base64.
    pub fn parse(text: &str) -> Option<Self> {
        // The length first: nobody's long line is decoded.
        if text.len() != 44 {
            return None;
        }
        base64::decode(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64::encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl LogSafe for Hash {}

/// The right edge of a tree: the roots of its complete subtrees, one for each bit of the size. Enough to append, and to know
/// the root at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// From what [`Self::peaks`] gave at that size.
    pub fn new(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (size <= SIZE_MAX && peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// `MTH(D[0:size])`.
    pub fn root(&self) -> Hash {
        Hash::join(&self.peaks).unwrap_or_else(Hash::empty)
    }

    /// Appends a leaf. `false`, and nothing is changed, where the tree has [`SIZE_MAX`] leaves.
    pub fn append(&mut self, leaf: Hash) -> bool {
        if self.size >= SIZE_MAX {
            return false;
        }
        let mut hash = leaf;
        // Each one at the end of the size is a subtree that the new one completes.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = Hash::node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
        true
    }
}

#[cfg(test)]
pub(super) mod naive {
    //! RFC 6962 §2.1 after the letter, over all leaves: what everything else is held against.

    use super::Hash;

    /// The largest power of two below `n`.
    fn split(n: usize) -> usize {
        n.next_power_of_two() / 2
    }

    pub(crate) fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::empty(),
            [leaf] => *leaf,
            more => {
                let (left, right) = more.split_at(split(more.len()));
                Hash::node(&mth(left), &mth(right))
            }
        }
    }

    pub(crate) fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut path, other) = if m < k { (path(m, left), mth(right)) } else { (path(m - k, right), mth(left)) };
        path.push(other);
        path
    }

    pub(crate) fn proof(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        subproof(m, leaves, true)
    }

    fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![mth(leaves)] };
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut proof, other) = if m <= k { (subproof(m, left, whole), mth(right)) } else { (subproof(m - k, right, false), mth(left)) };
        proof.push(other);
        proof
    }

    pub(crate) fn leaves(count: usize) -> Vec<Hash> {
        (0..count as u64).map(|number| Hash::leaf(&number.to_be_bytes())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_gives_the_root_of_every_size() {
        let leaves = naive::leaves(300);
        let mut edge = Frontier::default();
        assert_eq!(edge.root(), naive::mth(&[]));
        for (size, leaf) in (1..).zip(&leaves) {
            assert!(edge.append(*leaf));
            assert_eq!((edge.size(), edge.root()), (size as u64, naive::mth(&leaves[..size])));
            assert_eq!(Frontier::new(edge.size(), edge.peaks().to_vec()).as_ref(), Some(&edge));
            assert_eq!(Frontier::new(edge.size() * 2 + 1, edge.peaks().to_vec()), None);
        }
    }

    #[test]
    fn a_tree_that_is_full_takes_no_more() {
        let mut edge = Frontier::new(SIZE_MAX, vec![Hash::empty(); 63]).expect("one peak for each bit");
        let before = edge.clone();
        assert!(!edge.append(Hash::empty()));
        assert_eq!(edge, before);
        assert_eq!(Frontier::new(SIZE_MAX + 1, vec![Hash::empty()]), None);
    }

    #[test]
    fn a_hash_is_44_characters_of_canonical_base64() {
        let text = Hash::empty().to_string();
        assert_eq!(text, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(Hash::parse(&text), Some(Hash::empty()));
        for bad in
            ["", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", "47DEQpj8HBSa-/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", &text[..40], &text[..43]]
        {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
    }
}
