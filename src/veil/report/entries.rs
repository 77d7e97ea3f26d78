//! What the log says of an institution, entry by entry: number, kind and hour. What an entry is about shows only to whoever has that.

use std::collections::BTreeMap;

use crate::veil::merkle::checkpoint::Head;
use crate::veil::merkle::leaf::{Act, Leaf, Salt};
use crate::veil::name::{RecordId, UnixMs};

/// The acts that a report tells of, in the order in which they are told.
pub const ACTS: [Act; 9] =
    [Act::Demand, Act::Stage, Act::Decision, Act::Challenge, Act::Notice, Act::Release, Act::Statement, Act::Refusals, Act::Report];

/// An entry about an institution's act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the log.
    pub number: u64,
    /// What it is.
    pub act: Act,
    /// The beginning of its hour.
    pub hour: UnixMs,
    leaf: Leaf,
}

/// Every entry about an institution's act, up to a head that the log signed.
#[derive(Clone, Debug)]
pub struct Entries {
    head: Head,
    all: Vec<Entry>,
    by_commitment: BTreeMap<[u8; 32], usize>,
}

impl Entries {
    /// None yet, up to this head.
    pub fn new(head: Head) -> Self {
        Self { head, all: Vec::new(), by_commitment: BTreeMap::new() }
    }

    /// The next entry. Those about persons, and those behind the head, are passed over.
    pub fn push(&mut self, number: u64, leaf: &Leaf) {
        let Some(act) = leaf.act().filter(|_| number < self.head.size) else { return };
        let at = self.all.len();
        self.all.push(Entry { number, act, hour: leaf.bucket(), leaf: *leaf });
        // What was logged twice stands at its first entry.
        self.by_commitment.entry(commitment(leaf)).or_insert(at);
    }

    /// What the log signed.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The entry about an act and the SHA-256 of its object.
    pub fn find(&self, act: Act, object: &RecordId) -> Option<&Entry> {
        let wanted = commitment(&Leaf::new(act, UnixMs(0), &Salt::OPEN, object));
        self.all.get(*self.by_commitment.get(&wanted)?).filter(|entry| entry.leaf.is_of(act, &Salt::OPEN, object))
    }

    /// Every entry of a kind.
    pub fn of(&self, act: Act) -> impl Iterator<Item = &Entry> {
        self.all.iter().filter(move |entry| entry.act == act)
    }
}

fn commitment(leaf: &Leaf) -> [u8; 32] {
    leaf.bytes().last_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::merkle::tree::Hash;

    #[test]
    fn an_entry_is_found_by_what_it_is_about_and_persons_are_passed_over() {
        let mut entries = Entries::new(Head { size: 4, root: Hash::empty() });
        let object = RecordId([7; 32]);
        let hour = UnixMs(3_600_000 * 5);
        let leaves = [
            Leaf::new(Act::Consent, hour, &Salt([1; 32]), &object),
            Leaf::new(Act::Demand, hour, &Salt::OPEN, &object),
            Leaf::new(Act::Demand, hour, &Salt::OPEN, &object),
            Leaf::new(Act::Stage, hour, &Salt::OPEN, &RecordId([8; 32])),
            Leaf::new(Act::Stage, hour, &Salt::OPEN, &RecordId([9; 32])),
        ];
        (0..).zip(&leaves).for_each(|(number, leaf)| entries.push(number, leaf));
        assert_eq!(entries.find(Act::Demand, &object).map(|entry| (entry.number, entry.hour)), Some((1, hour)));
        assert_eq!(entries.find(Act::Stage, &object), None);
        assert_eq!(entries.find(Act::Stage, &RecordId([9; 32])), None, "behind the head");
        assert_eq!(entries.of(Act::Demand).map(|entry| entry.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(entries.find(Act::Consent, &object), None);
    }
}
