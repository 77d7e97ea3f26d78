//! A recipient's stream. Raw frames are pulled, judged and transformed when the connection takes bytes, and not before: what a
//! withdrawal finds is at most the connection's own write buffer.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use http_body::{Body, Frame};
use tokio::time::Sleep;

use super::codec::{BatchWriter, framed};
use super::hub::{Chunk, Ended, Hub, Lag, Next, Queue};
use super::views::{Ask, Seen, ViewMaker};
use crate::ledger::{Barrier, StreamSettled, Subject};
use crate::proto::v1::{End, Gap, Header, SubscribeResponse, subscribe_response::Kind};
use crate::status::{Refuse, trailers};
use crate::telemetry::Counters;
use crate::veil::crypto::CryptoRng;
use crate::veil::name::{Did, StreamId, UnixMs, ViewId};
use crate::veil::view::Space;
use crate::world::{Clock, entropy};

/// Bytes go to the connection in pieces of at most this many.
pub const PIECE_BYTES: usize = 8 * 1024;
/// The most bytes that a stream's write buffer holds: one piece that waits, and the window's rest before it.
pub const WRITE_BUFFER_BYTES: u32 = 16 * 1024;
/// Frames are collected to about this many bytes before they are handed over.
const BATCH_BYTES: usize = 6 * 1024;
/// How many chunks a stream looks at before it lets others have a turn.
const ROUNDS_MAX: usize = 64;
/// How long an idle stream sleeps at the most before it looks at the clock.
const IDLE_MS_MAX: i64 = 60_000;

/// Every open stream: what the barrier settles.
#[derive(Debug, Default)]
pub struct Streams(DashMap<StreamId, Weak<Stream>>);

impl Streams {
    /// How many are open.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn open(&self) -> Vec<Arc<Stream>> {
        self.0.iter().filter_map(|entry| entry.upgrade()).collect()
    }
}

impl Barrier for Streams {
    fn settle(&self, subject: &Did) -> Vec<StreamSettled> {
        self.open().iter().filter_map(|stream| stream.settle(Some(subject))).collect()
    }

    fn settle_all(&self) -> Vec<StreamSettled> {
        self.open().iter().filter_map(|stream| stream.settle(None)).collect()
    }

    fn carrying(&self, subject: &Did) -> Vec<StreamSettled> {
        self.open().iter().filter_map(|stream| stream.settled(subject)).collect()
    }
}

/// What streams of one gateway share.
#[derive(Debug)]
pub struct Shared {
    /// Makes views.
    pub maker: ViewMaker,
    /// Brings frames.
    pub hub: Hub,
    /// Tells the time.
    pub clock: Arc<Clock>,
    /// Every open stream.
    pub streams: Arc<Streams>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// One recipient's stream.
#[derive(Debug)]
pub struct Stream {
    id: StreamId,
    ask: Ask,
    queue: Arc<Queue>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    handed_over: u64,
    seen: Vec<Seen>,
    by_subject: HashMap<Option<Did>, usize>,
    /// The chunk at hand, the next frame in it, and where each of its subjects stands in `seen`.
    chunk: Option<(Arc<Chunk>, usize)>,
    writer: BatchWriter,
    space: Space,
    out: BytesMut,
    /// The subjects with frames in the message whose rest is still here.
    half_way: Vec<Option<Did>>,
    /// Something other than frames is to be said.
    recheck: bool,
    cut_off: bool,
    ended: Option<Option<Refuse>>,
    trailers_sent: bool,
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled_in(&self, state: &State, view: u32) -> StreamSettled {
        StreamSettled {
            stream: self.id,
            recipient: self.ask.listener.spiffe.clone(),
            purpose: self.ask.purpose.clone(),
            last_handover: state.handed_over,
            view,
        }
    }

    fn settled(&self, subject: &Did) -> Option<StreamSettled> {
        let state = self.lock();
        let seen = state.by_subject.get(&Some(*subject)).and_then(|index| state.seen.get(*index));
        seen.filter(|seen| seen.is_open()).map(|seen| self.settled_in(&state, seen.number))
    }

    /// INVARIANT: whoever holds the lock sees generations that were bumped before; so after this, no frame goes out under
    /// what was.
    fn settle(&self, subject: Option<&Did>) -> Option<StreamSettled> {
        let mut state = self.lock();
        let view = match subject {
            // A stream that the subject's frames never came to has nothing to settle.
            Some(subject) => state.by_subject.get(&Some(*subject)).and_then(|index| state.seen.get(*index)).map(|seen| seen.number)?,
            None => 0,
        };
        let half_way = match subject {
            Some(subject) => state.half_way.contains(&Some(*subject)),
            None => !state.half_way.is_empty(),
        };
        state.cut_off |= half_way;
        state.recheck = true;
        let settled = self.settled_in(&state, view);
        drop(state);
        self.queue.nudge();
        Some(settled)
    }
}

/// The body of a Subscribe response: pulled by the connection when it has room.
pub struct SubscribeBody {
    shared: Arc<Shared>,
    stream: Arc<Stream>,
    timer: Option<Pin<Box<Sleep>>>,
    lag: Lag,
}

impl std::fmt::Debug for SubscribeBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SubscribeBody({})", self.stream.id)
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut entropy(), &mut bytes);
    bytes
}

fn fill(entropy: &mut impl CryptoRng, bytes: &mut [u8]) {
    entropy.fill_bytes(bytes);
}

impl SubscribeBody {
    /// Opens a stream; it is in the hub and under the barrier from here on.
    pub fn open(shared: Arc<Shared>, ask: Ask, lag: Lag, queue_bytes_max: usize) -> Self {
        let queue = Arc::new(Queue::new(lag, queue_bytes_max));
        let id = StreamId(random());
        let mut state = State::default();
        let header = Header {
            stream_id: Bytes::copy_from_slice(&id.0),
            origin: shared.maker.origin().to_string(),
            gateway_key: shared.maker.sign().did().to_string(),
            schema_fingerprint: Bytes::copy_from_slice(&ask.schema.fingerprint().0),
            write_buffer_bytes: WRITE_BUFFER_BYTES,
        };
        state.out.extend_from_slice(&framed(&SubscribeResponse { kind: Some(Kind::Header(header)) }));
        let stream = Arc::new(Stream { id, ask, queue: Arc::clone(&queue), state: Mutex::new(state) });
        shared.streams.0.insert(id, Arc::downgrade(&stream));
        shared.hub.join(stream.ask.schema.name(), queue);
        shared.counters.streams_opened.add(1);
        Self { shared, stream, timer: None, lag }
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refuse>>> {
        let (shared, stream, lag) = (Arc::clone(&self.shared), Arc::clone(&self.stream), self.lag);
        let mut state = stream.lock();
        let state = &mut *state;
        for _ in 0..ROUNDS_MAX {
            if state.cut_off {
                shared.counters.streams_cut_off.add(1);
                return Poll::Ready(Some(Err(Refuse::CutOff)));
            }
            if !state.out.is_empty() {
                let piece = state.out.split_to(state.out.len().min(PIECE_BYTES)).freeze();
                if state.out.is_empty() {
                    state.half_way.clear();
                }
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if let Some(refuse) = state.ended {
                if std::mem::replace(&mut state.trailers_sent, true) {
                    return Poll::Ready(None);
                }
                return Poll::Ready(Some(Ok(Frame::trailers(trailers(refuse)))));
            }
            let now = match shared.clock.now() {
                Ok(now) => now,
                Err(_) => {
                    state.end(Refuse::ClockBehind);
                    continue;
                }
            };
            if std::mem::take(&mut state.recheck) {
                state.recheck_all(&shared, &stream.ask, now);
                continue;
            }
            if lag == Lag::DropOldest {
                state.say_gap(&stream.queue);
            }
            if state.chunk.is_none() {
                match stream.queue.poll_next(cx) {
                    Poll::Ready(Next::Chunk(chunk, at)) => state.chunk = Some((chunk, at)),
                    Poll::Ready(Next::Ended(ended)) => {
                        state.end(match ended {
                            Ended::TooSlow => Refuse::TooSlow,
                            Ended::Shutdown => Refuse::Shutdown,
                        });
                        continue;
                    }
                    Poll::Pending if !state.out.is_empty() => continue,
                    Poll::Pending => {
                        if state.sleep(&mut self.timer, now, cx) {
                            state.recheck = true;
                            continue;
                        }
                        return Poll::Pending;
                    }
                }
            }
            state.collect(&shared, &stream, now);
            state.hand_over(&shared);
        }
        // Much came by and nothing of it was for this recipient: let others have a turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl State {
    /// Transforms frames that are at hand until a batch is full.
    fn collect(&mut self, shared: &Shared, stream: &Stream, now: UnixMs) {
        let mandate_generation = shared.maker.judge().ledger().mandate_generation();
        while self.writer.bytes() < BATCH_BYTES {
            let Some((chunk, at)) = self.chunk.take().or_else(|| stream.queue.try_next()) else { break };
            let Some((raw, subject)) = chunk.get(at) else { continue };
            let index = self.place_of(subject);
            if !self.seen.get(index).is_some_and(|seen| seen.is_current(mandate_generation, now)) {
                self.refresh(shared, &stream.ask, index, now);
                if self.ended.is_some() {
                    return;
                }
            }
            let about = subject.map(|subject| subject.did());
            if let Some(seen) = self.seen.get_mut(index) {
                let number = seen.number;
                if let Some(view) = seen.view() {
                    match view.apply(raw, &mut self.space) {
                        Ok(frame) => {
                            self.writer.push(number, &frame);
                            if !self.half_way.contains(&about) {
                                self.half_way.push(about);
                            }
                        }
                        Err(refusal) => {
                            chunk.tally().refuse(refusal);
                            shared.counters.refused(refusal);
                            tracing::warn!(code = refusal.code(), source = %chunk.source(), recipient = %stream.ask.listener.spiffe, schema = %stream.ask.schema.name(), "a frame could not be judged for a recipient");
                        }
                    }
                }
            }
            self.chunk = Some((chunk, at + 1));
        }
    }

    /// Counts what is collected as handed over; it goes to the connection with the next bytes.
    fn hand_over(&mut self, shared: &Shared) {
        let count = self.writer.count();
        if count > 0 {
            self.writer.finish(self.handed_over + 1, &mut self.out);
            self.handed_over += count;
            shared.counters.frames_out.add(count);
        }
    }

    fn place_of(&mut self, subject: Option<&Arc<Subject>>) -> usize {
        let key = subject.map(|subject| subject.did());
        if let Some(index) = self.by_subject.get(&key) {
            return *index;
        }
        let index = self.seen.len();
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        self.seen.push(Seen::new(subject.cloned(), number, ViewId(random())));
        self.by_subject.insert(key, index);
        index
    }

    fn refresh(&mut self, shared: &Shared, ask: &Ask, index: usize, now: UnixMs) {
        let Some(seen) = self.seen.get_mut(index) else { return };
        match shared.maker.refresh(ask, seen, now) {
            Ok(None) => {}
            Ok(Some(view)) => {
                // What was collected under the view before goes first.
                self.hand_over(shared);
                self.out.extend_from_slice(&framed(&SubscribeResponse { kind: Some(Kind::View(view)) }));
            }
            Err(refuse) => {
                self.hand_over(shared);
                self.end(refuse);
            }
        }
    }

    fn recheck_all(&mut self, shared: &Shared, ask: &Ask, now: UnixMs) {
        let mandate_generation = shared.maker.judge().ledger().mandate_generation();
        for index in 0..self.seen.len() {
            if !self.seen.get(index).is_some_and(|seen| seen.is_current(mandate_generation, now)) {
                self.refresh(shared, ask, index, now);
            }
        }
    }

    /// Announces what this recipient was too slow for; of subjects it sees nothing of, it learns nothing.
    fn say_gap(&mut self, queue: &Queue) {
        let lost = queue.take_lost();
        let visible = |about: &Option<Did>| self.by_subject.get(about).and_then(|index| self.seen.get(*index)).is_some_and(Seen::is_open);
        let frames: u64 = lost.iter().filter(|(about, _)| visible(about)).map(|(_, frames)| frames).sum();
        if frames > 0 {
            self.out.extend_from_slice(&framed(&SubscribeResponse { kind: Some(Kind::Gap(Gap { frames })) }));
        }
    }

    fn end(&mut self, refuse: Refuse) {
        let end = End { code: refuse.code().to_owned(), reason: refuse.text().to_owned() };
        self.out.extend_from_slice(&framed(&SubscribeResponse { kind: Some(Kind::End(end)) }));
        self.ended = Some(Some(refuse));
        self.chunk = None;
    }

    /// Sets the timer to the next instant at which a view ends by itself; true: it is there.
    fn sleep(&self, timer: &mut Option<Pin<Box<Sleep>>>, now: UnixMs, cx: &mut Context<'_>) -> bool {
        let next = self.seen.iter().map(|seen| seen.valid_until().0).filter(|at| *at > now.0).min();
        let Some(next) = next else {
            *timer = None;
            return false;
        };
        let wait_ms = (next - now.0).clamp(1, IDLE_MS_MAX);
        let mut sleep = Box::pin(tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())));
        let due = sleep.as_mut().poll(cx).is_ready();
        *timer = Some(sleep);
        due
    }
}

impl Body for SubscribeBody {
    type Data = Bytes;
    type Error = Refuse;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refuse>>> {
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            self.timer = None;
            self.stream.lock().recheck = true;
        }
        self.poll_state(cx)
    }
}

impl Drop for SubscribeBody {
    fn drop(&mut self) {
        self.shared.streams.0.remove(&self.stream.id);
        self.shared.hub.leave(self.stream.ask.schema.name(), &self.stream.queue);
        self.shared.counters.streams_closed.add(1);
    }
}
