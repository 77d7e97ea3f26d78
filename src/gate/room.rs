//! Room for large messages of which a part is here and not the rest, or which nobody takes: one bound for all streams of a gateway, as
//! each of thousands may hold one. What is small needs none, so whoever fills it up is in the way of large messages only. Another one is
//! for what batches keep that wait ([`super::arrival`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a stream may hold without asking, in bytes.
pub(super) const FREE_BYTES: usize = 16 * 1024;
/// Room is asked for in steps of this many bytes.
const STEP_BYTES: usize = 64 * 1024;

/// How much is held, of how much at the most.
#[derive(Debug)]
pub struct Room {
    held: AtomicUsize,
    most: AtomicUsize,
}

impl Room {
    /// Of so many bytes.
    pub fn new(most: usize) -> Self {
        Self { held: AtomicUsize::new(0), most: AtomicUsize::new(most) }
    }

    /// So many bytes from now on; what is held stays.
    pub fn set(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How much is held, in bytes.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes so many bytes of it; false: there is no room for them.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives back as many as were taken.
    pub(super) fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one stream holds of it; given back with it.
#[derive(Debug)]
pub struct Held {
    room: Arc<Room>,
    bytes: usize,
}

impl Held {
    /// Nothing yet.
    pub fn none(room: Arc<Room>) -> Self {
        Self { room, bytes: 0 }
    }

    /// Holds as much as `bytes` need; false: there is no room for them.
    #[inline]
    pub fn hold(&mut self, bytes: usize) -> bool {
        bytes <= FREE_BYTES.max(self.bytes) || self.grow(bytes)
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let wanted = bytes.next_multiple_of(STEP_BYTES);
        let taken = self.room.take(wanted - self.bytes);
        if taken {
            self.bytes = wanted;
        }
        taken
    }

    /// Gives it back; whether there was any.
    #[inline]
    pub fn release(&mut self) -> bool {
        self.bytes > 0 && {
            self.room.give(std::mem::take(&mut self.bytes));
            true
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_needs_no_room_and_what_is_large_gives_it_back() {
        let room = Arc::new(Room::new(4 * STEP_BYTES));
        let mut held: Vec<_> = (0..5).map(|_| Held::none(Arc::clone(&room))).collect();
        assert!(held.iter_mut().all(|held| held.hold(FREE_BYTES)));
        assert_eq!(room.held(), 0);
        // One step each, and one more each only while there are any.
        let took: Vec<_> = held.iter_mut().map(|held| held.hold(FREE_BYTES + 1)).collect();
        assert_eq!((took, room.held()), (vec![true, true, true, true, false], 4 * STEP_BYTES));
        assert!(held[0].hold(STEP_BYTES) && !held[0].hold(STEP_BYTES + 1) && held[4].hold(1));
        assert!(held[1].release() && !held[1].release());
        assert!(held[0].hold(STEP_BYTES + 1) && room.held() == 4 * STEP_BYTES);
        room.set(STEP_BYTES);
        assert!(!held[4].hold(STEP_BYTES) && held[0].hold(2 * STEP_BYTES));
        assert!(!held[0].hold(usize::MAX / 2));
        drop(held);
        assert_eq!(room.held(), 0);
    }
}
