//! Views of one stream, by whom they are of: every one that ever opened, as withdrawals tell of the streams that showed somebody, and so
//! many of subjects who never were visible to its recipient. One of these who is forgotten is judged anew at their next frame; the
//! recipient learns nothing of either.

use std::collections::HashMap;
use std::sync::Arc;

use super::views::Seen;
use crate::ledger::Subject;
use crate::veil::name::{Did, ViewId};
use crate::world::random;

/// How many views that never opened a stream has before it forgets them.
const KEPT_MAX: usize = 10_000;

/// Views of one stream.
#[derive(Debug)]
pub(super) struct Sights {
    seen: Vec<(Option<Did>, Seen)>,
    by_subject: HashMap<Option<Did>, usize>,
    /// How many there are when some are forgotten.
    full_at: usize,
}

impl Sights {
    /// Of a stream to which nothing came.
    pub(super) fn new() -> Self {
        Self { seen: Vec::new(), by_subject: HashMap::new(), full_at: KEPT_MAX }
    }

    /// Where the view of somebody is, if it was ever needed.
    pub(super) fn find(&self, subject: Option<Did>) -> Option<usize> {
        self.by_subject.get(&subject).copied()
    }

    /// Adds a view that was not made yet; where it is.
    pub(super) fn add(&mut self, subject: Option<&Arc<Subject>>) -> usize {
        self.enter(subject.map(|subject| subject.did()), Seen::new(subject.cloned(), ViewId(random())))
    }

    fn enter(&mut self, subject: Option<Did>, seen: Seen) -> usize {
        let index = self.seen.len();
        self.seen.push((subject, seen));
        self.by_subject.insert(subject, index);
        index
    }

    /// Whether there are so many that some have to be forgotten before one is added.
    pub(super) fn is_full(&self) -> bool {
        self.seen.len() >= self.full_at
    }

    /// Leaves those that ever opened; they are somewhere else from here on.
    pub(super) fn forget_hidden(&mut self) {
        self.seen.retain(|(_, seen)| seen.number > 0);
        self.seen.shrink_to_fit();
        self.by_subject = self.seen.iter().enumerate().map(|(index, (subject, _))| (*subject, index)).collect();
        self.full_at = self.seen.len() + KEPT_MAX;
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> Option<&Seen> {
        self.seen.get(index).map(|(_, seen)| seen)
    }

    /// One of them.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Seen> {
        self.seen.get_mut(index).map(|(_, seen)| seen)
    }

    /// The one of somebody, if it was ever needed.
    pub(super) fn of(&self, subject: Option<Did>) -> Option<&Seen> {
        self.get(self.find(subject)?)
    }

    /// The one of somebody, if it was ever needed.
    pub(super) fn of_mut(&mut self, subject: Option<Did>) -> Option<&mut Seen> {
        self.get_mut(self.find(subject)?)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// All of them, in the order in which they were needed.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().map(|(_, seen)| seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(n: usize) -> Did {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_le_bytes());
        Did(key)
    }

    fn seen(number: usize) -> Seen {
        let mut seen = Seen::new(None, ViewId([0; 16]));
        seen.number = number as u32;
        seen
    }

    #[test]
    fn whoever_was_never_visible_is_forgotten_when_there_are_many_and_the_others_are_found() {
        let mut sights = Sights::new();
        for n in 0..KEPT_MAX {
            assert!(!sights.is_full());
            assert_eq!(sights.enter((n > 0).then(|| did(n)), seen(if n % 4 == 0 { n + 1 } else { 0 })), n);
        }
        assert!(sights.is_full());
        sights.forget_hidden();
        assert_eq!((sights.len(), sights.is_full()), (KEPT_MAX / 4, false));
        for n in 0..KEPT_MAX {
            let found = sights.of((n > 0).then(|| did(n)));
            assert_eq!(found.map(|seen| seen.number as usize), (n % 4 == 0).then_some(n + 1));
        }
        // Those who are visible take nobody's place.
        for n in KEPT_MAX..2 * KEPT_MAX {
            sights.enter(Some(did(n)), seen(n));
        }
        assert!(sights.is_full());
        sights.forget_hidden();
        assert_eq!((sights.len(), sights.full_at), (KEPT_MAX / 4 + KEPT_MAX, KEPT_MAX / 4 + 2 * KEPT_MAX));
    }
}
