//! A subject as streams see it: a standing to read, and a number that says when to read it again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::store::rest::{AtRest, Kept};
use crate::veil::consent::standing::Standing;
use crate::veil::crypto::secret::Secret;
use crate::veil::merkle::leaf::{Act, Leaf, Salt};
use crate::veil::name::{Did, RecordId, UnixMs};

/// A subject.
#[derive(Debug)]
pub struct Subject {
    did: Did,
    generation: AtomicU64,
    standing: RwLock<Arc<Standing>>,
    pseudonym_key: Secret<32>,
    enrolled: AtomicBool,
    /// What its records on disk come to: the writer's alone.
    kept: Mutex<Kept>,
    /// Since those last went whom nobody holds.
    asked: AtomicBool,
}

impl Subject {
    /// INVARIANT: whole, so that nobody ever sees one whose records were not read.
    pub(super) fn new(did: Did, at_rest: AtRest, standing: Standing) -> Self {
        Self {
            did,
            generation: AtomicU64::new(standing.changes()),
            standing: RwLock::new(Arc::new(standing)),
            pseudonym_key: at_rest.key,
            enrolled: AtomicBool::new(at_rest.enrolled),
            kept: Mutex::new(at_rest.kept),
            asked: AtomicBool::new(false),
        }
    }

    pub(super) fn kept(&self) -> Kept {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Since the last time that this was asked.
    pub(super) fn asked_lately(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// Whom or what it is.
    pub fn did(&self) -> Did {
        self.did
    }

    /// Grows with every change of the standing: one atomic load, for every frame.
    ///
    /// Read it *before* [`Self::standing`]: then whatever is made from that standing is at least as new as the number,
    /// and a change in between shows as a greater number next time.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What all its records add up to.
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key that its pseudonyms are made with.
    pub fn pseudonym_key(&self) -> &Secret<32> {
        &self.pseudonym_key
    }

    /// What goes to whoever is to know that a record's leaf is about that record.
    pub(super) fn salt(&self, record: &RecordId) -> Salt {
        Salt::of(&self.pseudonym_key, record)
    }

    /// The leaf of an act about it.
    pub(super) fn leaf(&self, act: Act, at: UnixMs, record: &RecordId) -> Leaf {
        Leaf::new(act, at, &self.salt(record), record)
    }

    /// Whether some source's value means it.
    pub fn enrolled(&self) -> bool {
        self.enrolled.load(Ordering::Relaxed)
    }

    pub(super) fn enrol(&self) {
        self.enrolled.store(true, Ordering::Relaxed);
    }

    pub(super) fn replace(&self, standing: Standing, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(standing);
        // INVARIANT: the standing is in place before the number says so.
        self.generation.fetch_add(1, Ordering::Release);
    }
}
