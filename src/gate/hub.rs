//! Fans frames out: each batch once, by reference, to a bounded queue per subscription. When a queue is full, a lossless
//! subscription makes sources wait, for a bounded time; the others lose their oldest frames and are told how many.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::arrival::Kept;
use crate::ledger::Subject;
use crate::stop::{Stop, Stopper, stop};
use crate::veil::name::{Did, SchemaName, Spiffe};
use crate::veil::outcome::Refusal;
use crate::veil::view::{Frames, Raw};

/// Frames of one batch, each with whom it is about.
#[derive(Debug)]
pub struct Chunk {
    frames: Frames,
    /// By frame: a position in `subjects`.
    about: Vec<u16>,
    subjects: Vec<Option<Arc<Subject>>>,
    source: Spiffe,
    tally: Arc<Tally>,
    /// What it lies in is counted for as long as it is here.
    _kept: Option<Arc<Kept>>,
}

impl Chunk {
    /// Joins frames with their subjects; `about` has one entry a frame.
    pub fn new(
        (frames, kept): (Frames, Option<Arc<Kept>>),
        about: Vec<u16>,
        subjects: Vec<Option<Arc<Subject>>>,
        source: Spiffe,
        tally: Arc<Tally>,
    ) -> Self {
        debug_assert_eq!(frames.len(), about.len());
        Self { frames, about, subjects, source, tally, _kept: kept }
    }

    /// One frame and its subject.
    pub fn get(&self, index: usize) -> Option<(Raw<'_>, Option<&Arc<Subject>>)> {
        let raw = self.frames.get(index)?;
        let about = *self.about.get(index)? as usize;
        Some((raw, self.subjects.get(about)?.as_ref()))
    }

    /// Who sent it.
    pub fn source(&self) -> &Spiffe {
        &self.source
    }

    /// Where later refusals are counted for the source.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// What became of a source's frames after they were acknowledged.
#[derive(Debug, Default)]
pub struct Tally([AtomicU64; Refusal::ALL.len()]);

impl Tally {
    /// Counts a frame that a view refused.
    pub fn refuse(&self, refusal: Refusal) {
        if let Some(at) = Refusal::ALL.iter().position(|one| *one == refusal)
            && let Some(count) = self.0.get(at)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts that are not zero.
    pub fn refused(&self) -> Vec<(Refusal, u64)> {
        let counts = Refusal::ALL.iter().zip(&self.0).map(|(refusal, count)| (*refusal, count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

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
        if let Some((chunk, at)) = state.chunks.pop_front() {
            state.bytes -= chunk.frames.bytes();
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
        let (chunk, at) = state.chunks.pop_front()?;
        state.bytes -= chunk.frames.bytes();
        drop(state);
        self.space.notify_waiters();
        Some((chunk, at))
    }

    /// Takes the rest of a chunk back, from the first frame on that was not read: it counts, and may have to go, as what is behind it.
    pub fn put_back(&self, chunk: Arc<Chunk>, at: usize) {
        let mut state = self.lock();
        if chunk.get(at).is_some() && !state.gone && state.ended != Some(Ended::TooSlow) {
            state.bytes += chunk.frames.bytes();
            state.chunks.push_front((chunk, at));
        }
    }

    /// What was lost since the last call.
    pub fn take_lost(&self) -> impl Iterator<Item = Lost> + use<> {
        std::mem::take(&mut self.lock().lost).into_values()
    }

    /// Wakes the reader: something other than frames is to be said.
    pub fn nudge(&self) {
        if let Some(reader) = self.lock().reader.take() {
            reader.wake();
        }
    }

    /// Ends the queue; what is in it may still be read, unless the end is for slowness.
    pub fn end(&self, ended: Ended) {
        let mut state = self.lock();
        state.ended.get_or_insert(ended);
        if ended == Ended::TooSlow {
            state.chunks.clear();
            state.bytes = 0;
        }
        let reader = state.reader.take();
        drop(state);
        self.space.notify_waiters();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The reader is gone: nobody waits for it any more.
    pub fn leave(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.chunks.clear();
        state.bytes = 0;
        drop(state);
        self.space.notify_waiters();
    }

    /// Takes a chunk; false: full, and sources are to wait.
    fn offer(&self, chunk: &Arc<Chunk>) -> bool {
        let mut state = self.lock();
        if state.gone || state.ended.is_some() {
            return true;
        }
        let bytes = chunk.frames.bytes();
        while state.bytes + bytes > self.bytes_max && !state.chunks.is_empty() {
            match self.lag {
                Lag::Wait => return false,
                Lag::DropOldest => {
                    let Some((old, at)) = state.chunks.pop_front() else { break };
                    state.bytes -= old.frames.bytes();
                    for index in at..old.frames.len() {
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
}

/// Everybody who listens, by schema.
#[derive(Debug)]
pub struct Hub {
    topics: RwLock<Topics>,
    stall_ms_max: AtomicU64,
    stopper: Stopper,
    stopping: Stop,
}

#[derive(Debug, Default)]
struct Topics {
    queues: HashMap<SchemaName, Arc<Vec<Arc<Queue>>>>,
    /// Whoever comes now comes too late.
    shut: bool,
}

impl Hub {
    /// A hub whose sources wait at most `stall_ms_max` for a lossless subscription that stopped reading.
    pub fn new(stall_ms_max: u64) -> Self {
        let (stopper, stopping) = stop();
        Self { topics: RwLock::default(), stall_ms_max: AtomicU64::new(stall_ms_max), stopper, stopping }
    }

    /// Sources wait for so long from now on.
    pub fn set_stall(&self, stall_ms_max: u64) {
        self.stall_ms_max.store(stall_ms_max, Ordering::Relaxed);
    }

    /// Adds a queue; where the gateway stops, it has ended.
    pub fn join(&self, schema: &SchemaName, queue: Arc<Queue>) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.shut {
            queue.end(Ended::Shutdown);
        }
        let topic = topics.queues.entry(schema.clone()).or_default();
        let mut queues = Vec::clone(topic);
        queues.push(queue);
        *topic = Arc::new(queues);
    }

    /// Removes a queue.
    pub fn leave(&self, schema: &SchemaName, queue: &Arc<Queue>) {
        queue.leave();
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.queues.get_mut(schema) {
            *topic = Arc::new(topic.iter().filter(|other| !Arc::ptr_eq(other, queue)).cloned().collect());
        }
    }

    fn queues(&self, schema: &SchemaName) -> Option<Arc<Vec<Arc<Queue>>>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).queues.get(schema).cloned()
    }

    /// Tells sources when to stop.
    pub fn stopping(&self) -> Stop {
        self.stopping.clone()
    }

    /// Gives a chunk to everybody who listens: first to all with room, then to those who make sources wait. Returns when
    /// every queue has it, or gave up on its reader.
    pub async fn publish(&self, schema: &SchemaName, chunk: Arc<Chunk>) {
        let Some(queues) = self.queues(schema) else { return };
        let full: Vec<&Arc<Queue>> = queues.iter().filter(|queue| !queue.offer(&chunk)).collect();
        if full.is_empty() {
            return;
        }
        let deadline = tokio::time::Instant::now() + Duration::from_millis(self.stall_ms_max.load(Ordering::Relaxed));
        for queue in full {
            let waited = tokio::time::timeout_at(deadline, async {
                loop {
                    let space = queue.space.notified();
                    tokio::pin!(space);
                    // Listen before looking again, so that no notice is missed.
                    space.as_mut().enable();
                    if queue.offer(&chunk) {
                        return;
                    }
                    space.await;
                }
            });
            if waited.await.is_err() {
                queue.end(Ended::TooSlow);
            }
        }
    }

    /// Ends every queue, and every source's call.
    pub fn shut_down(&self) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.shut = true;
        for queue in topics.queues.values().flat_map(|queues| queues.iter()) {
            queue.end(Ended::Shutdown);
        }
        drop(topics);
        self.stopper.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let queue = Queue::new(Lag::DropOldest, 100);
        assert!(queue.offer(&chunk(6)) && queue.offer(&chunk(4)));
        let (half_read, at) = queue.try_next().expect("the first");
        assert_eq!(at, 0);
        queue.put_back(half_read, 2);
        assert_eq!(queue.try_next().map(|(chunk, at)| (chunk.frames.len(), at)), Some((6, 2)), "it is the next one");
        queue.put_back(chunk(6), 2);
        assert!(queue.offer(&chunk(1)));
        assert_eq!(lost(&queue), 4, "what was read is not lost");
        let rest: Vec<_> = std::iter::from_fn(|| queue.try_next()).map(|(chunk, at)| (chunk.frames.len(), at)).collect();
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
        let queue = Queue::new(Lag::Wait, 100);
        assert!(queue.offer(&chunk(6)));
        let (half_read, _) = queue.try_next().expect("the first");
        queue.put_back(half_read, 5);
        assert!(!queue.offer(&chunk(5)), "sources wait");
        assert!(queue.offer(&chunk(4)));
        assert_eq!(lost(&queue), 0);
    }
}
