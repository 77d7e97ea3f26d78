//! Proofs that an entry is in a tree, and that one tree begins with another (RFC 6962 §2.1.1 and §2.1.2), made from complete
//! subtrees and verified as RFC 9162 §2.1.3.2 and §2.1.4.2 say.

use super::tree::{Hash, SIZE_MAX};

/// The most hashes in a proof: one for each bit of a size, and one more for consistency.
pub const HASHES_MAX: usize = 64;

/// Who knows the roots of complete subtrees, such as [`super::tiles::TileReader`].
pub trait Subtrees {
    /// Why one can't be had.
    type Error;

    /// The root over the leaves `index << level .. (index + 1) << level`, all of which are in the tree.
    fn subtree(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root at a size.
pub fn root<S: Subtrees>(size: u64, tree: &mut S) -> Result<Hash, S::Error> {
    if size == 0 { Ok(Hash::empty()) } else { range(0, size, tree) }
}

/// The roots of the complete subtrees that a tree consists of, the largest first; see [`super::tree::Frontier::peaks`].
pub fn peaks<S: Subtrees>(size: u64, tree: &mut S) -> Result<Vec<Hash>, S::Error> {
    pieces(0, size).into_iter().map(|(level, index)| tree.subtree(level, index)).collect()
}

/// The path from a leaf to the root: its sibling first. `None` where the tree has no such leaf.
pub fn inclusion<S: Subtrees>(index: u64, size: u64, tree: &mut S) -> Result<Option<Vec<Hash>>, S::Error> {
    if index >= size || size > SIZE_MAX {
        return Ok(None);
    }
    let (mut from, mut to, mut others) = (0, size, Vec::new());
    while to - from > 1 {
        let middle = from + half(to - from);
        if index < middle {
            others.push((middle, to));
            to = middle;
        } else {
            others.push((from, middle));
            from = middle;
        }
    }
    let path: Result<_, _> = others.into_iter().rev().map(|(from, to)| range(from, to, tree)).collect();
    path.map(Some)
}

/// That the tree of `size` begins with that of `older`. `None` where it is not older, or empty: nothing is to be shown of these.
pub fn consistency<S: Subtrees>(older: u64, size: u64, tree: &mut S) -> Result<Option<Vec<Hash>>, S::Error> {
    if older == 0 || older >= size || size > SIZE_MAX {
        return Ok(None);
    }
    let (mut from, mut to, mut others, mut whole) = (0, size, Vec::new(), true);
    while to != older {
        let middle = from + half(to - from);
        if older <= middle {
            others.push((middle, to));
            to = middle;
        } else {
            others.push((from, middle));
            (from, whole) = (middle, false);
        }
    }
    if !whole {
        others.push((from, to));
    }
    let proof: Result<_, _> = others.into_iter().rev().map(|(from, to)| range(from, to, tree)).collect();
    proof.map(Some)
}

/// Whether `path` leads from the leaf to the root.
pub fn includes(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size || size > SIZE_MAX || path.len() > HASHES_MAX {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for other in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = Hash::node(other, &hash);
            // A last node without a sibling moves up as it is.
            if at & 1 == 0 {
                let up = at.trailing_zeros();
                (at, last) = (at >> up, last >> up);
            }
        } else {
            hash = Hash::node(&hash, other);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `size` and `root` begins with that of `older` and `older_root`. The empty tree is the
/// beginning of every other, a tree of itself; neither has anything to show.
pub fn extends(older: u64, older_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if older > size || size > SIZE_MAX || proof.len() > HASHES_MAX {
        return false;
    }
    if older == size {
        return proof.is_empty() && older_root == root;
    }
    if older == 0 {
        return proof.is_empty() && *older_root == Hash::empty();
    }
    // The root of a complete older tree is not written into the proof.
    let (first, rest) = match proof.split_first() {
        _ if older.is_power_of_two() => (older_root, proof),
        Some((first, rest)) => (first, rest),
        None => return false,
    };
    let up = (older - 1).trailing_ones();
    let (mut at, mut last) = ((older - 1) >> up, (size - 1) >> up);
    let (mut old, mut new) = (*first, *first);
    for other in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (old, new) = (Hash::node(other, &old), Hash::node(other, &new));
            if at & 1 == 0 {
                let up = at.trailing_zeros();
                (at, last) = (at >> up, last >> up);
            }
        } else {
            new = Hash::node(&new, other);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *older_root && new == *root
}

/// The largest power of two below `count`, which is at least 2.
fn half(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// `MTH(D[from:to])` of a range that a split of the tree left.
fn range<S: Subtrees>(from: u64, to: u64, tree: &mut S) -> Result<Hash, S::Error> {
    let hashes: Result<Vec<_>, _> = pieces(from, to).into_iter().map(|(level, index)| tree.subtree(level, index)).collect();
    Ok(Hash::join(&hashes?).unwrap_or_else(Hash::empty))
}

/// The complete subtrees of such a range as (level, index), the largest first: the range begins at a multiple of each.
fn pieces(mut from: u64, to: u64) -> Vec<(u32, u64)> {
    let mut pieces = Vec::new();
    while from < to {
        let level = (to - from).ilog2();
        pieces.push((level, from >> level));
        from += 1 << level;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::super::tree::naive;
    use super::*;

    /// Every complete subtree at hand, level by level.
    struct Whole(Vec<Vec<Hash>>);

    impl Whole {
        fn new(leaves: &[Hash]) -> Self {
            let mut levels = vec![leaves.to_vec()];
            while let Some(last) = levels.last().filter(|last| last.len() > 1) {
                levels.push(last.as_chunks::<2>().0.iter().map(|[left, right]| Hash::node(left, right)).collect());
            }
            Self(levels)
        }
    }

    impl Subtrees for Whole {
        type Error = Infallible;

        fn subtree(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
            Ok(self.0[level as usize][index as usize])
        }
    }

    fn sure<T>(done: Result<T, Infallible>) -> T {
        done.unwrap_or_else(|never| match never {})
    }

    fn bent(hash: &Hash, bit: usize) -> Hash {
        let mut bent = *hash;
        bent.0[bit / 8 % 32] ^= 1 << (bit % 8);
        bent
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_the_path_of_the_standard() {
        let leaves = naive::leaves(200);
        for size in 1..=leaves.len() {
            let (tree, count) = (&leaves[..size], size as u64);
            let root_hash = naive::mth(tree);
            let mut whole = Whole::new(tree);
            assert_eq!(sure(root(count, &mut whole)), root_hash);
            for (index, leaf) in tree.iter().enumerate() {
                let path = sure(inclusion(index as u64, count, &mut whole)).expect("within");
                assert_eq!(path, naive::path(index, tree), "{index} of {size}");
                assert!(includes(leaf, index as u64, count, &path, &root_hash), "{index} of {size}");
            }
            assert_eq!(sure(inclusion(count, count, &mut whole)), None);
        }
    }

    #[test]
    fn every_small_tree_shows_that_it_extends_every_older_one() {
        let leaves = naive::leaves(130);
        let roots: Vec<_> = (0..=leaves.len()).map(|size| naive::mth(&leaves[..size])).collect();
        for size in 1..=leaves.len() {
            let mut whole = Whole::new(&leaves[..size]);
            for older in 1..size {
                let proof = sure(consistency(older as u64, size as u64, &mut whole)).expect("older");
                assert_eq!(proof, naive::proof(older, &leaves[..size]), "{older} of {size}");
                assert!(extends(older as u64, &roots[older], size as u64, &roots[size], &proof), "{older} of {size}");
                // Swapped, or the empty proof, it shows nothing.
                assert!(!extends(size as u64, &roots[size], older as u64, &roots[older], &proof));
                assert!(!extends(older as u64, &roots[older], size as u64, &roots[size], &[]) || proof.is_empty());
            }
            let size = size as u64;
            assert!(extends(0, &Hash::empty(), size, &roots[size as usize], &[]));
            assert!(!extends(0, &roots[1], size, &roots[size as usize], &[]), "no other tree is the empty one");
            assert!(extends(size, &roots[size as usize], size, &roots[size as usize], &[]));
            assert_eq!(sure(consistency(size, size, &mut whole)), None);
        }
    }

    #[test]
    fn every_single_bit_of_a_proof_counts() {
        let leaves = naive::leaves(77);
        let root_hash = naive::mth(&leaves);
        for index in [0, 1, 40, 63, 64, 75, 76] {
            let path = naive::path(index, &leaves);
            let holds = |leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash| includes(leaf, index, size, path, root);
            for bit in 0..256 {
                assert!(!holds(&bent(&leaves[index], bit), index as u64, 77, &path, &root_hash));
                assert!(!holds(&leaves[index], index as u64, 77, &path, &bent(&root_hash, bit)));
                for at in 0..path.len() {
                    let mut other = path.clone();
                    other[at] = bent(&path[at], bit);
                    assert!(!holds(&leaves[index], index as u64, 77, &other, &root_hash));
                }
            }
            for bit in 0..64 {
                assert!(!holds(&leaves[index], index as u64 ^ 1 << bit, 77, &path, &root_hash), "index {index} with bit {bit} flipped");
            }
            assert!(!holds(&leaves[index], index as u64, 77, &path[1..], &root_hash));
            assert!(!holds(&leaves[index], index as u64, 77, &[&path[..], &path[..1]].concat(), &root_hash));
        }
        for older in [1, 2, 33, 64, 65, 76] {
            let (old, proof) = (naive::mth(&leaves[..older]), naive::proof(older, &leaves));
            for bit in 0..256 {
                assert!(!extends(older as u64, &bent(&old, bit), 77, &root_hash, &proof));
                assert!(!extends(older as u64, &old, 77, &bent(&root_hash, bit), &proof));
                for at in 0..proof.len() {
                    let mut other = proof.clone();
                    other[at] = bent(&proof[at], bit);
                    assert!(!extends(older as u64, &old, 77, &root_hash, &other));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn larger_trees_are_proved_as_the_standard_says(size in 1usize..3_000, index in any::<prop::sample::Index>(), older in any::<prop::sample::Index>()) {
            let leaves = naive::leaves(size);
            let (index, older, root_hash) = (index.index(size), older.index(size) + 1, naive::mth(&leaves));
            let path = sure(inclusion(index as u64, size as u64, &mut Whole::new(&leaves))).expect("within");
            prop_assert_eq!(&path, &naive::path(index, &leaves));
            prop_assert!(includes(&leaves[index], index as u64, size as u64, &path, &root_hash));
            prop_assert_eq!(sure(peaks(size as u64, &mut Whole::new(&leaves))).len(), size.count_ones() as usize);
            if older < size {
                let proof = sure(consistency(older as u64, size as u64, &mut Whole::new(&leaves))).expect("older");
                prop_assert_eq!(&proof, &naive::proof(older, &leaves));
                prop_assert!(extends(older as u64, &naive::mth(&leaves[..older]), size as u64, &root_hash, &proof));
            }
        }

        #[test]
        fn numbers_from_anybody_end_in_an_answer(index in any::<u64>(), size in any::<u64>(), older in any::<u64>(), count in 0usize..70) {
            let path = vec![Hash::empty(); count];
            let _ = includes(&Hash::empty(), index, size, &path, &Hash::empty());
            let _ = extends(older, &Hash::empty(), size, &Hash::empty(), &path);
        }
    }
}
