//! What waits for one recipient: bounded. When it is full, a lossless subscription makes sources wait; the others lose their oldest
//! frames and are told how many.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::chunk::Chunk;
use crate::ledger::Subject;
use crate::veil::name::Did;

/// What happens when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// Sources wait.
    Wait,
    /// The oldest frames go.
    DropOldest,
}

/// Why a queue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The recipient stopped reading for longer than sources wait.
    TooSlow,
    /// The gateway stops.
    Shutdown,
}

/// A bounded queue of chunks for one subscription.
#[derive(Debug)]
pub struct Queue {
    lag: Lag,
    bytes_max: usize,
    state: Mutex<QueueState>,
    space: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    chunks: VecDeque<(Arc<Chunk>, usize)>,
    bytes: usize,
    lost: HashMap<Option<Did>, Lost>,
    ended: Option<Ended>,
    gone: bool,
    reader: Option<Waker>,
    /// Whom to wake where something other than frames is to be said, as the reader can't go on with them.
    held_up: Option<Waker>,
}

impl QueueState {
    /// The oldest chunk; it counts no more.
    fn pop(&mut self) -> Option<(Arc<Chunk>, usize)> {
        let (chunk, at) = self.chunks.pop_front()?;
        self.bytes -= chunk.bytes();
        Some((chunk, at))
    }

    fn clear(&mut self) {
        self.chunks.clear();
        self.bytes = 0;
    }

    /// Whoever waits for anything.
    fn wakes(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.reader.take().into_iter().chain(self.held_up.take())
    }
}

/// Frames of one subject that a full queue let go of.
#[derive(Debug)]
pub struct Lost {
    /// Whom they were about.
    pub subject: Option<Arc<Subject>>,
    /// How many.
    pub frames: u64,
}

/// What a reader finds.
#[derive(Debug)]
pub enum Next {
    /// A chunk, and the first frame in it that was not read.
    Chunk(Arc<Chunk>, usize),
    /// No more.
    Ended(Ended),
}

impl Queue {
    /// An empty queue of at most `bytes_max` bytes of frames.
    pub fn new(lag: Lag, bytes_max: usize) -> Self {
        Self { lag, bytes_max, state: Mutex::default(), space: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next chunk; it leaves the queue. Whoever does not come to its end gives back the rest.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.lock();
        if let Some((chunk, at)) = state.pop() {
            drop(state);
            self.space.notify_waiters();
            return Poll::Ready(Next::Chunk(chunk, at));
        }
        if let Some(ended) = state.ended {
            return Poll::Ready(Next::Ended(ended));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next chunk, if one is at hand.
    pub fn try_next(&self) -> Option<(Arc<Chunk>, usize)> {
        let mut state = self.lock();
        let next = state.pop()?;
        drop(state);
        self.space.notify_waiters();
        Some(next)
    }

    /// Takes the rest of a chunk back, from the first frame on that was not read: it counts, and may have to go, as what is behind it.
    /// Whether there was any.
    pub fn put_back(&self, chunk: Arc<Chunk>, at: usize) -> bool {
        let rest = chunk.get(at).is_some();
        if rest {
            let mut state = self.lock();
            if !state.gone && state.ended != Some(Ended::TooSlow) {
                state.bytes += chunk.bytes();
                state.chunks.push_front((chunk, at));
            }
        }
        rest
    }

    /// What was lost since the last call.
    pub fn take_lost(&self) -> impl Iterator<Item = Lost> + use<> {
        std::mem::take(&mut self.lock().lost).into_values()
    }

    /// The reader waits for something else than frames, and for what is to be said beside them.
    pub fn hold_up(&self, cx: &Context<'_>) {
        self.lock().held_up = Some(cx.waker().clone());
    }

    /// Wakes the reader: something other than frames is to be said.
    pub fn nudge(&self) {
        self.lock().wakes().for_each(Waker::wake);
    }

    /// Ends the queue; what is in it may still be read, unless the end is for slowness.
    pub fn end(&self, ended: Ended) {
        let mut state = self.lock();
        state.ended.get_or_insert(ended);
        if ended == Ended::TooSlow {
            state.clear();
        }
        let wakes = state.wakes();
        drop(state);
        self.space.notify_waiters();
        wakes.for_each(Waker::wake);
    }

    /// The reader is gone: nobody waits for it any more.
    pub fn leave(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.clear();
        drop(state);
        self.space.notify_waiters();
    }

    /// Takes a chunk; false: full, and sources are to wait.
    pub(super) fn offer(&self, chunk: &Arc<Chunk>) -> bool {
        let mut state = self.lock();
        if state.gone || state.ended.is_some() {
            return true;
        }
        let bytes = chunk.bytes();
        while state.bytes + bytes > self.bytes_max && !state.chunks.is_empty() {
            match self.lag {
                Lag::Wait => return false,
                Lag::DropOldest => {
                    let Some((old, at)) = state.pop() else { break };
                    for index in at..old.len() {
                        let subject = old.get(index).and_then(|(_, subject)| subject);
                        let lost = state.lost.entry(subject.map(|subject| subject.did()));
                        lost.or_insert_with(|| Lost { subject: subject.cloned(), frames: 0 }).frames += 1;
                    }
                }
            }
        }
        state.bytes += bytes;
        state.chunks.push_back((Arc::clone(chunk), 0));
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// Waits for room for a chunk; where there is none by then, the reader is given up.
    pub(super) async fn offer_until(&self, chunk: &Arc<Chunk>, deadline: Instant) {
        let waited = tokio::time::timeout_at(deadline, async {
            loop {
                let space = self.space.notified();
                tokio::pin!(space);
                // Listen before looking again, so that no notice is missed.
                space.as_mut().enable();
                if self.offer(chunk) {
                    return;
                }
                space.await;
            }
        });
        if waited.await.is_err() {
            self.end(Ended::TooSlow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::name::Spiffe;
    use crate::veil::view::Frames;

    fn chunk(frames: u32) -> Arc<Chunk> {
        let frames = Frames::new(vec![7; frames as usize * 10].into(), (0..frames).map(|at| at * 10..at * 10 + 10).collect());
        let frames = frames.expect("inside");
        let about = vec![0; frames.len()];
        let source = Spiffe::parse("spiffe://ward.example/source").expect("an id");
        Arc::new(Chunk::new((frames, None), about, vec![None], source, Arc::default()))
    }

    fn lost(queue: &Queue) -> u64 {
        queue.take_lost().map(|lost| lost.frames).sum()
    }

    #[test]
    fn what_a_reader_gave_back_counts_and_goes_first_from_where_it_was_left() {
        let queue = Queue::new(Lag::DropOldest, chunk(6).bytes() + chunk(4).bytes());
        assert!(queue.offer(&chunk(6)) && queue.offer(&chunk(4)));
        let (half_read, at) = queue.try_next().expect("the first");
        assert_eq!(at, 0);
        queue.put_back(half_read, 2);
        assert_eq!(queue.try_next().map(|(chunk, at)| (chunk.len(), at)), Some((6, 2)), "it is the next one");
        queue.put_back(chunk(6), 2);
        assert!(queue.offer(&chunk(1)));
        assert_eq!(lost(&queue), 4, "what was read is not lost");
        let rest: Vec<_> = std::iter::from_fn(|| queue.try_next()).map(|(chunk, at)| (chunk.len(), at)).collect();
        assert_eq!((rest, lost(&queue), queue.lock().bytes), (vec![(4, 0), (1, 0)], 0, 0));
        // Read to its end it is gone, and so is what somebody has who is too slow.
        queue.put_back(chunk(3), 3);
        assert!(queue.try_next().is_none());
        queue.end(Ended::TooSlow);
        queue.put_back(chunk(3), 1);
        assert!(queue.try_next().is_none());
    }

    #[test]
    fn a_lossless_queue_is_full_of_what_was_given_back_too() {
        let queue = Queue::new(Lag::Wait, chunk(6).bytes() + chunk(4).bytes());
        assert!(queue.offer(&chunk(6)));
        let (half_read, _) = queue.try_next().expect("the first");
        queue.put_back(half_read, 5);
        assert!(!queue.offer(&chunk(5)), "sources wait");
        assert!(queue.offer(&chunk(4)));
        assert_eq!(lost(&queue), 0);
    }

    #[test]
    fn frames_without_a_byte_fill_a_queue_too() {
        let queue = Queue::new(Lag::DropOldest, 1 << 20);
        let frames = || Frames::new(bytes::Bytes::new(), vec![0..0; 100]).expect("inside");
        let source = Spiffe::parse("spiffe://ward.example/source").expect("an id");
        for _ in 0..1_000 {
            queue.offer(&Arc::new(Chunk::new((frames(), None), vec![0; 100], vec![None], source.clone(), Arc::default())));
        }
        let kept = queue.lock().chunks.len();
        assert!(kept < 600 && lost(&queue) == 100 * (1_000 - kept as u64), "{kept}");
    }
}
