//! Subjects in memory: whom streams carry, and who was asked for lately. All others rest in the store, and are read, records and all, when
//! somebody asks for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::fact;
use super::{Ledger, Refused, Subject};
use crate::store::History;
use crate::store::rest::Kept;
use crate::veil::consent::enrolment;
use crate::veil::consent::standing::Standing;
use crate::veil::name::{Did, Spiffe};

/// How many subjects that nobody holds stay in memory.
pub const RESIDENT_MAX: usize = 16_384;
/// How many values of sources are remembered with whom they mean.
const HANDLES_MAX: usize = 65_536;
/// Locks under which subjects are read: one for each 64th of them.
const READERS: usize = 64;

/// The subjects in memory.
#[derive(Debug)]
pub(super) struct Subjects {
    resident: DashMap<Did, Arc<Subject>>,
    /// Past how many those go that nobody holds.
    sweep_at: AtomicUsize,
    resident_max: usize,
    readers: [Mutex<()>; READERS],
}

impl Subjects {
    pub(super) fn new(resident_max: usize) -> Self {
        let readers = std::array::from_fn(|_| Mutex::default());
        Self { resident: DashMap::new(), sweep_at: AtomicUsize::new(resident_max), resident_max, readers }
    }

    /// A subject that is in memory.
    pub(super) fn resident(&self, did: &Did) -> Option<Arc<Subject>> {
        let found = self.resident.get(did)?;
        found.ask();
        Some(Arc::clone(&found))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.resident.len()
    }

    fn reader(&self, did: &Did) -> MutexGuard<'_, ()> {
        let at = did.0.last().map_or(0, |byte| usize::from(*byte) % READERS);
        self.readers[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A subject comes into memory; the one that is there already stays. `pinned` says who never goes.
    pub(super) fn admit(&self, subject: Arc<Subject>, pinned: &[Did]) -> Arc<Subject> {
        subject.ask();
        let subject = match self.resident.entry(subject.did()) {
            Entry::Occupied(there) => Arc::clone(there.get()),
            Entry::Vacant(free) => Arc::clone(&free.insert(subject)),
        };
        if self.resident.len() > self.sweep_at.load(Ordering::Relaxed) {
            self.sweep(pinned);
        }
        subject
    }

    /// Lets go whom nobody holds: first those who were not asked for since the last time, then any.
    fn sweep(&self, pinned: &[Did]) {
        let keep = self.resident_max / 4 * 3;
        let mut left = self.resident.len();
        for lately in [true, false] {
            self.resident.retain(|did, subject| {
                // INVARIANT: the entry is locked. Whoever gets hold of a subject does so through it, so that one that only this map holds is
                // held by nobody else, and two of one subject are never alive.
                let free = Arc::strong_count(subject) == 1 && !(subject.asked_lately() && lately) && !pinned.contains(did);
                let goes = free && left > keep;
                left -= usize::from(goes);
                !goes
            });
        }
        // Where streams hold more than that, the next sweep waits until it could find some.
        self.sweep_at.store(self.resident_max.max(left + left / 4), Ordering::Relaxed);
    }
}

impl Ledger {
    /// Whom a source's value means: itself where it is a did:key that signed something here, else whom it is enrolled for.
    /// Integers are given in decimal. For a value that is no did:key, one HMAC and one look-up in the store; for a subject that is not
    /// in memory, its records, too.
    pub fn subject_of(&self, source: &Spiffe, value: &[u8]) -> Result<Option<Arc<Subject>>, Refused> {
        if value.starts_with(b"did:") {
            let did = std::str::from_utf8(value).ok().and_then(|text| Did::parse(text).ok());
            return did.map_or(Ok(None), |did| self.subject(&did));
        }
        let handle = enrolment::handle(&self.config.handle_key, source, value);
        // What a value means does not change.
        let known = self.handles.get(&handle).map(|did| *did);
        let Some(did) = known.map_or_else(|| self.store.enrolled(&handle), |did| Ok(Some(did))).map_err(Refused::Unavailable)? else {
            return Ok(None);
        };
        if known.is_none() {
            if self.handles.len() >= HANDLES_MAX {
                self.handles.clear();
            }
            self.handles.insert(handle, did);
        }
        self.subject(&did)
    }

    /// A subject by its did:key. Where it is not in memory all its records are read and verified; where they can't be, nothing is known
    /// of the subject, which is not the same as that nothing was agreed.
    pub fn subject(&self, did: &Did) -> Result<Option<Arc<Subject>>, Refused> {
        if let Some(subject) = self.subjects.resident(did) {
            return Ok(Some(subject));
        }
        // INVARIANT: from the read to the entry in the map one at a time. A writer, too, gets the subject that it changes here, before it
        // writes: so either it finds the one that is being read, or what it wrote is read.
        let _alone = self.subjects.reader(did);
        if let Some(subject) = self.subjects.resident(did) {
            return Ok(Some(subject));
        }
        let Some(history) = self.store.history(did).map_err(Refused::Unavailable)? else { return Ok(None) };
        let subject = Arc::new(self.read(did, &history)?);
        Ok(Some(self.subjects.admit(subject, &self.people().operators)))
    }

    /// A subject as it rests.
    pub(super) fn read(&self, did: &Did, history: &History) -> Result<Subject, Refused> {
        let changed = |fact| Refused::Unread { fact, code: "TV-D05" };
        let at_rest = self.rest_key.open_subject(did, &history.row).ok_or_else(|| changed(None))?;
        if at_rest.kept != history.kept() {
            return Err(changed(None));
        }
        let mut standing = Standing::default();
        self.replay(did, &history.facts, &mut standing)?;
        Ok(Subject::new(*did, at_rest, standing))
    }

    /// Takes facts as they were taken at first: verified, and checked at the instant that each was taken.
    fn replay(&self, did: &Did, facts: &[(u64, Vec<u8>)], standing: &mut Standing) -> Result<(), Refused> {
        for (number, bytes) in facts {
            let unread = |code| Refused::Unread { fact: Some(*number), code };
            let (taken, said) = fact::read(bytes, &self.config.origin).map_err(|refusal| unread(refusal.code()))?;
            if said.subject() != *did {
                return Err(unread("TV-D05"));
            }
            said.take(standing, taken).map_err(|refusal| unread(refusal.code()))?;
        }
        Ok(())
    }

    /// Brings a subject in memory up to what is on disk; says whether that changed it.
    pub(super) fn catch_up(&self, subject: &Subject, history: &History) -> Result<bool, Refused> {
        let at_rest = self.rest_key.open_subject(&subject.did(), &history.row).ok_or(Refused::Unread { fact: None, code: "TV-D05" })?;
        if at_rest.kept != history.kept() {
            return Err(Refused::Unread { fact: None, code: "TV-D05" });
        }
        if at_rest.enrolled {
            subject.enrol();
        }
        let known = subject.kept();
        let new = usize::try_from(known.facts).ok().and_then(|known| history.facts.get(known..)).unwrap_or_default();
        if new.is_empty() {
            return Ok(false);
        }
        let mut standing = Standing::clone(&subject.standing());
        self.replay(&subject.did(), new, &mut standing)?;
        subject.replace(standing, new.iter().fold(known, |kept: Kept, (_, fact)| kept.and(fact)));
        Ok(true)
    }
}

#[cfg(test)]
#[path = "subjects_tests.rs"]
mod tests;
