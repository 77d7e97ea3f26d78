//! What batches of a source lie in. A batch is handed over by reference, so it keeps all of what came with it: a few bytes that wait for a
//! slow recipient would keep a window's worth. That is counted, once for all batches of an arrival, and bounded over all streams; where
//! there is no room for it, frames wait in memory of their own.

use std::sync::Arc;

use super::room::Room;
use crate::veil::view::Frames;

/// How much may be kept that is not counted by queues, in bytes.
pub const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What little came lies in a block of this many bytes, with what came before and behind it.
const BLOCK_BYTES: usize = 16 * 1024;

/// What came on a stream of a source at a time.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    room: &'a Arc<Room>,
    bytes: usize,
    kept: Option<Arc<Kept>>,
}

/// An arrival that somebody's batches keep.
#[derive(Debug)]
pub struct Kept {
    room: Arc<Room>,
    bytes: usize,
}

impl<'a> Arrival<'a> {
    /// Of so many bytes, which may lie in twice as many.
    pub(super) fn new(room: &'a Arc<Room>, bytes: usize) -> Self {
        Self { room, bytes: (2 * bytes).max(BLOCK_BYTES), kept: None }
    }

    /// Frames of a message in it that may wait as long as they like, with what says that they keep it: nothing, where they are most of
    /// it, or have memory of their own. Of the first message a part may have come before; it lies with that, and is as long as it says.
    pub(super) fn keep(&mut self, frames: Frames, message_bytes: usize) -> (Frames, Option<Arc<Kept>>) {
        if self.kept.is_none() {
            self.bytes = self.bytes.max(message_bytes);
        }
        if frames.bytes() >= self.bytes / 2 {
            return (frames, None);
        }
        if self.kept.is_none() && self.room.take(self.bytes) {
            self.kept = Some(Arc::new(Kept { room: Arc::clone(self.room), bytes: self.bytes }));
        }
        match &self.kept {
            Some(kept) => (frames, Some(Arc::clone(kept))),
            None => (frames.apart(), None),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_counted_once_and_as_long_as_anybody_has_some_of_it() {
        let room = Arc::new(Room::new(3 * BLOCK_BYTES));
        let came = BLOCK_BYTES;
        // Two frames, and a byte in front of them.
        let frames = |len: u32| Frames::new(vec![7; len as usize].into(), vec![1..2, 2..len]).expect("inside");
        let mut arrival = Arrival::new(&room, came);
        let waiting: Vec<_> = (0..3).map(|_| arrival.keep(frames(100), 200)).collect();
        assert!(waiting.iter().all(|(frames, kept)| kept.is_some() && frames.bytes() == 100));
        assert_eq!(room.held(), 2 * BLOCK_BYTES);
        // Most of it is no more than a queue counts.
        let (most, kept) = Arrival::new(&room, came).keep(frames(20_000), 20_010);
        assert!(kept.is_none() && most.bytes() == 20_000);
        // No room: the frames are copied, and nothing else of it is kept.
        let mut late = Arrival::new(&room, came);
        let (copied, kept) = late.keep(frames(100), 200);
        assert_eq!((copied.len(), copied.bytes(), copied.get(1).map(|frame| frame.len())), (2, 99, Some(98)));
        assert!(kept.is_none());
        drop(arrival);
        assert_eq!(room.held(), 2 * BLOCK_BYTES, "it waits still");
        drop(waiting);
        assert_eq!(room.held(), 0);
        assert!(late.keep(frames(100), 200).1.is_some() && room.held() == 2 * BLOCK_BYTES);
        drop(late);
        assert_eq!(room.held(), 0);
        // The end of a message that is larger than all that came with it, and little of it frames.
        let mut end = Arrival::new(&room, 5);
        let (_waiting, kept) = end.keep(frames(100), 40_000);
        assert!(kept.is_some() && room.held() == 40_000);
    }
}
