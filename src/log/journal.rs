//! The journal: every leaf since the last full tile, and after each batch the root. One durable write makes a batch's entries and
//! the new head outlive a crash together; the tiles are written from it, and again from it where a crash lost them.
//!
//! ```text
//! journal = "twinveil/log/1\n" | u64be(base) | peaks of the base | check
//!           (u32be(count) | count leaves of 42 bytes | root | check)*
//! check   = SHA-256(the check before | what stands between)[..16]; before the first: nothing
//! ```

use crate::veil::crypto::hash::sha256;
use crate::veil::merkle::leaf::{LEAF_BYTES, Leaf};
use crate::veil::merkle::tiles::WIDTH;
use crate::veil::merkle::tree::{Frontier, Hash};

const MAGIC: &[u8] = b"twinveil/log/1\n";
const CHECK_BYTES: usize = 16;
type Check = [u8; CHECK_BYTES];
/// The most leaves of a batch.
pub(super) const BATCH_MAX: usize = 65_536;

/// A journal as read.
#[derive(Debug)]
pub(super) struct Journal {
    /// The tree before the first batch: all its tiles of entries and leaves are full.
    pub(super) base: Frontier,
    pub(super) batches: Vec<Vec<Leaf>>,
    /// The last write did not come to its end: nobody was told of it.
    pub(super) torn: bool,
    /// What the next batch's check begins with.
    pub(super) check: Check,
}

/// A new journal, whole.
pub(super) fn write(base: &Frontier, batches: &[Vec<Leaf>]) -> (Vec<u8>, Check) {
    let mut bytes = [MAGIC, &base.size().to_be_bytes()].concat();
    bytes.extend(base.peaks().iter().flat_map(|peak| peak.0));
    let mut last = check(&[], &bytes);
    bytes.extend_from_slice(&last);
    let mut tree = base.clone();
    for leaves in batches {
        for leaf in leaves {
            tree.append(Hash::leaf(leaf.bytes()));
        }
        let (batch, next) = write_batch(&last, leaves, &tree.root());
        bytes.extend(batch);
        last = next;
    }
    (bytes, last)
}

/// What a batch adds to a journal that ends with `last`; `root` is that of the tree behind it.
pub(super) fn write_batch(last: &Check, leaves: &[Leaf], root: &Hash) -> (Vec<u8>, Check) {
    let mut bytes = u32::try_from(leaves.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend(leaves.iter().flat_map(|leaf| *leaf.bytes()));
    bytes.extend_from_slice(&root.0);
    let next = check(last, &bytes);
    bytes.extend_from_slice(&next);
    (bytes, next)
}

impl Journal {
    /// Reads a journal. A batch that the file ends in the middle of was never answered and does not count; anything else that is
    /// not as it was written is `None`.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let size = u64::from_be_bytes(*size);
        let (peaks, rest) = rest.split_at_checked(32 * size.count_ones() as usize)?;
        let (mut last, mut rest) = rest.split_first_chunk::<CHECK_BYTES>()?;
        let header = bytes.get(..MAGIC.len() + 8 + peaks.len())?;
        if check(&[], header) != *last || !size.is_multiple_of(WIDTH) {
            return None;
        }
        let base = Frontier::new(size, peaks.as_chunks::<32>().0.iter().copied().map(Hash).collect())?;
        let (mut tree, mut batches, mut torn) = (base.clone(), Vec::new(), false);
        while !rest.is_empty() {
            // Space that was made and not filled is the end of the file, too.
            if blank(rest) {
                torn = true;
                break;
            }
            let whole = rest.split_first_chunk::<4>().and_then(|(count, _)| {
                let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
                rest.split_at_checked(count.checked_mul(LEAF_BYTES)?.checked_add(4 + 32)?)
            });
            let Some((batch, behind)) = whole else {
                torn = true;
                break;
            };
            let Some((next, behind)) = behind.split_first_chunk::<CHECK_BYTES>() else {
                torn = true;
                break;
            };
            if check(last, batch) != *next {
                // A batch that others follow was written to its end: this one is damaged.
                if !blank(behind) {
                    return None;
                }
                torn = true;
                break;
            }
            let leaves = batch.get(4..batch.len() - 32)?.as_chunks::<LEAF_BYTES>().0;
            let leaves: Vec<_> = leaves.iter().map(|leaf| Leaf::parse(leaf).ok()).collect::<Option<_>>()?;
            for leaf in &leaves {
                tree.append(Hash::leaf(leaf.bytes()));
            }
            if !batch.ends_with(&tree.root().0) {
                return None;
            }
            batches.push(leaves);
            (last, rest) = (next, behind);
        }
        Some(Self { base, batches, torn, check: *last })
    }
}

fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn check(last: &[u8], bytes: &[u8]) -> Check {
    let mut check = [0; CHECK_BYTES];
    for (byte, value) in check.iter_mut().zip(sha256(&[last, bytes])) {
        *byte = value;
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::merkle::leaf::{Act, Salt};
    use crate::veil::name::{RecordId, UnixMs};

    fn leaf(n: u8) -> Leaf {
        Leaf::new(Act::Consent, UnixMs(0), &Salt([n; 32]), &RecordId([n; 32]))
    }

    fn journal() -> Vec<u8> {
        let mut base = Frontier::default();
        for n in 0..WIDTH {
            base.append(Hash::leaf(leaf(n as u8).bytes()));
        }
        write(&base, &[vec![leaf(1)], vec![leaf(2), leaf(3)], vec![leaf(4)]]).0
    }

    #[test]
    fn a_journal_is_read_back_and_goes_on() {
        let mut bytes = journal();
        let read = Journal::parse(&bytes).expect("whole");
        assert_eq!((read.base.size(), read.batches.len(), read.torn), (256, 3, false));
        let mut tree = read.base.clone();
        read.batches.iter().flatten().chain([&leaf(5)]).for_each(|leaf| assert!(tree.append(Hash::leaf(leaf.bytes()))));
        bytes.extend(write_batch(&read.check, &[leaf(5)], &tree.root()).0);
        assert_eq!(Journal::parse(&bytes).expect("whole").batches.last(), Some(&vec![leaf(5)]));
    }

    #[test]
    fn a_torn_end_is_no_batch_wherever_it_was_torn() {
        let whole = journal();
        let ends: Vec<_> = (1..4)
            .rev()
            .map(|batches| {
                let mut bytes = whole.clone();
                while Journal::parse(&bytes).is_none_or(|read| read.torn || read.batches.len() > batches - 1) {
                    bytes.pop();
                }
                bytes.len()
            })
            .collect();
        for len in ends[2]..whole.len() {
            let read = Journal::parse(&whole[..len]).expect("a torn end is no damage");
            let kept = ends.iter().filter(|end| len >= **end).count() - 1;
            assert_eq!((read.batches.len(), read.torn), (kept, !ends.contains(&len)), "{len} bytes");
        }
        let mut zeros = whole[..ends[0]].to_vec();
        zeros.resize(whole.len(), 0);
        assert!(Journal::parse(&zeros).expect("not filled").torn);
    }

    #[test]
    fn damage_before_the_last_batch_is_found() {
        let whole = journal();
        let last = write_batch(&[0; 16], &[leaf(4)], &Hash::empty()).0.len();
        for at in 0..whole.len() - last {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            let read = Journal::parse(&bent);
            assert!(read.is_none() || read.is_some_and(|read| read.torn), "byte {at}");
        }
    }
}
