//! Consents that count their uses. What is handed over was taken from the count before, durably: uses are reserved on disk, a few at a
//! time, and only then handed out. A crash loses what was reserved and not handed out; it never gains one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::{Ledger, Refused};
use crate::store::Batch;
use crate::veil::name::RecordId;

/// The most uses that are reserved at once.
const RESERVED_MAX: u64 = 64;
/// A reservation is at most this part of all, so that a crash loses little of what is few.
const PART: u64 = 16;

/// The uses of one record.
#[derive(Debug)]
pub struct Uses {
    record: RecordId,
    max: u64,
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    /// On disk: no more than these were, or will be, handed out.
    reserved: u64,
    /// Of these, not handed out yet.
    free: u64,
    /// Somebody reserves more.
    busy: bool,
    waiting: Vec<Waker>,
}

/// What became of the wish for one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// It may be handed over.
    One,
    /// There is none any more.
    Spent,
    /// Some have to be reserved first; the waker is called then. `begin`: nobody does it yet, and whoever is told so has to.
    Wait {
        /// Whether to reserve.
        begin: bool,
    },
}

impl Uses {
    pub(super) fn new(record: RecordId, max: u64, reserved: u64) -> Self {
        Self { record, max, count: Mutex::new(Count { reserved: reserved.min(max), ..Count::default() }) }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one.
    pub fn take(&self, waker: &Waker) -> Took {
        let mut count = self.count();
        if count.free > 0 {
            count.free -= 1;
            return Took::One;
        }
        if count.reserved >= self.max {
            return Took::Spent;
        }
        if !count.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            count.waiting.push(waker.clone());
        }
        Took::Wait { begin: !std::mem::replace(&mut count.busy, true) }
    }

    /// It was not handed over after all.
    pub fn give_back(&self) {
        self.count().free += 1;
    }

    /// Whether none is left.
    pub fn is_spent(&self) -> bool {
        let count = self.count();
        count.free == 0 && count.reserved >= self.max
    }

    /// How many were handed out; after a crash, those that it lost, too.
    pub fn used(&self) -> u64 {
        let count = self.count();
        count.reserved - count.free
    }

    /// Reserving is over, well or not: whoever waits looks again.
    pub fn wake(&self) {
        let mut count = self.count();
        count.busy = false;
        let waiting = std::mem::take(&mut count.waiting);
        drop(count);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Ledger {
    /// The uses of a record that has at most `max`.
    pub fn uses(&self, record: RecordId, max: u64) -> std::sync::Arc<Uses> {
        let uses = self.uses.entry(record).or_insert_with(|| std::sync::Arc::new(Uses::new(record, max, 0)));
        std::sync::Arc::clone(&uses)
    }

    /// Whether a record is used up.
    pub fn is_spent(&self, record: &RecordId) -> bool {
        self.uses.get(record).is_some_and(|uses| uses.is_spent())
    }

    /// Whoever is told of grants looks again: one was used up.
    pub fn used_up(&self) {
        self.watched.all_changed();
    }

    /// How often a record was used.
    pub fn used(&self, record: &RecordId) -> u64 {
        self.uses.get(record).map_or(0, |uses| uses.used())
    }

    /// Reserves the next uses of a record. It writes to disk; nothing is free before it is there.
    pub fn reserve(&self, uses: &Uses) -> Result<(), Refused> {
        let now = self.clock.now()?;
        let mut writer = self.sure_writer()?;
        let reserved = uses.count().reserved;
        let more = (uses.max / PART).clamp(1, RESERVED_MAX).min(uses.max - reserved);
        let mut batch = Batch { uses: Some((uses.record, reserved + more, uses.max)), ..Batch::default() };
        self.commit(&mut writer, &mut batch, now, &[])?;
        // INVARIANT: on disk before it is free. The writer's lock keeps others from reserving the same.
        let mut count = uses.count();
        count.reserved += more;
        count.free += more;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: RecordId = RecordId([7; 32]);

    #[test]
    fn nothing_is_free_before_it_was_reserved_and_the_last_one_is_the_last() {
        let uses = Uses::new(RECORD, 2, 0);
        let waker = Waker::noop();
        assert_eq!(uses.take(waker), Took::Wait { begin: true });
        assert_eq!(uses.take(waker), Took::Wait { begin: false }, "one at a time reserves");
        (uses.count().reserved, uses.count().free) = (2, 2);
        uses.wake();
        assert_eq!((uses.take(waker), uses.used()), (Took::One, 1));
        uses.give_back();
        assert_eq!((uses.take(waker), uses.take(waker), uses.take(waker)), (Took::One, Took::One, Took::Spent));
        assert!(uses.is_spent());
    }

    #[test]
    fn what_was_reserved_before_a_crash_is_lost_and_never_more_than_there_is() {
        let uses = Uses::new(RECORD, 5, 4);
        assert_eq!((uses.used(), uses.is_spent(), uses.take(Waker::noop())), (4, false, Took::Wait { begin: true }));
        assert_eq!(Uses::new(RECORD, 5, 9).take(Waker::noop()), Took::Spent);
    }
}
