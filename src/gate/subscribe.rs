//! A recipient's stream. Raw frames are pulled, judged and transformed when the connection takes bytes, and not before: what a
//! withdrawal finds is at most the connection's own write buffer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::runtime::Handle;
use tokio::time::Sleep;

use super::ask::Ask;
use super::handover::{Handover, Opened};
use super::queue::{Ended, Lag, Next, Queue};
use super::shared::Shared;
use super::streams::Settle;
use crate::ledger::StreamSettled;
use crate::status::{Refuse, trailers};
use crate::veil::name::{Did, StreamId};
use crate::world::random;

/// How many chunks a stream looks at before it lets others have a turn.
const ROUNDS_MAX: usize = 64;

/// One recipient's stream.
#[derive(Debug)]
pub struct Stream {
    opened: Opened,
    state: Mutex<Handover>,
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, Handover> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled_in(&self, state: &Handover, view: u32) -> StreamSettled {
        StreamSettled {
            stream: self.opened.id,
            recipient: self.opened.ask.listener.spiffe.clone(),
            purpose: self.opened.ask.purpose.clone(),
            last_handover: state.handed_over,
            view,
        }
    }
}

impl Settle for Stream {
    fn settled(&self, subject: &Did) -> Option<StreamSettled> {
        let state = self.lock();
        let seen = state.seen.of(Some(*subject));
        seen.filter(|seen| seen.is_open()).map(|seen| self.settled_in(&state, seen.number))
    }

    fn tell(&self) {
        let says = self.lock().recheck.is_some();
        if says {
            self.opened.queue.nudge();
        }
    }

    /// INVARIANT: whoever holds the lock sees generations that were bumped before; so after this, no frame goes out under
    /// what was.
    fn settle(&self, subject: Option<&Did>) -> Option<StreamSettled> {
        let mut state = self.lock();
        let view = match subject {
            // A stream that the subject's frames never came to has nothing to settle.
            Some(subject) => state.seen.of(Some(*subject)).map(|seen| seen.number)?,
            None => 0,
        };
        match subject {
            Some(_) => state.cut_off |= state.is_half_way(subject),
            // What all views stand on has changed, which may mean nothing for this one.
            None => state.doubt |= state.is_half_way(None),
        }
        state.recheck = Some(0);
        let settled = self.settled_in(&state, view);
        // One that never showed the subject has nothing to say.
        (subject.is_none() || view > 0).then_some(settled)
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
        write!(f, "SubscribeBody({})", self.stream.opened.id)
    }
}

impl SubscribeBody {
    /// Opens a stream; it is in the hub and under the barrier from here on.
    pub fn open(shared: Arc<Shared>, ask: Ask, lag: Lag, queue_bytes_max: usize) -> Self {
        let queue = Arc::new(Queue::new(lag, queue_bytes_max));
        let id = StreamId(random());
        let mut state = Handover::within(Arc::clone(&shared.room), ask.releasing().cloned());
        state.begin(&shared, id, ask.schema.fingerprint());
        // A reload between the question and the answer counts.
        state.recheck = Some(0);
        let stream = Arc::new(Stream { opened: Opened { id, ask, queue: Arc::clone(&queue) }, state: Mutex::new(state) });
        let settled: Weak<Stream> = Arc::downgrade(&stream);
        shared.streams.enter(id, settled);
        shared.hub.join(stream.opened.ask.schema.name(), queue);
        shared.counters.streams_opened.add(1);
        Self { shared, stream, timer: None, lag }
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refuse>>> {
        let (shared, stream, lag) = (Arc::clone(&self.shared), Arc::clone(&self.stream), self.lag);
        let mut state = stream.lock();
        let state = &mut *state;
        for _ in 0..ROUNDS_MAX {
            if state.doubt {
                match shared.clock.now() {
                    Ok(now) => state.resolve(&shared, &stream.opened.ask, now),
                    Err(_) => state.cut_off = true,
                }
            }
            if state.cut_off {
                shared.counters.streams_cut_off.add(1);
                return Poll::Ready(Some(Err(Refuse::CutOff)));
            }
            if !state.out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(state.piece()))));
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
            if state.recheck == Some(0)
                && let Err(refuse) = shared.live.now().stands(&stream.opened.ask)
            {
                state.recheck = None;
                state.end(refuse);
                continue;
            }
            if state.recheck.is_some() {
                state.recheck_views(&shared, &stream.opened, now);
                continue;
            }
            if lag == Lag::DropOldest && state.say_gap(&shared, &stream.opened, now) {
                continue;
            }
            let next = match stream.opened.queue.poll_next(cx) {
                Poll::Ready(Next::Chunk(chunk, at)) => (chunk, at),
                Poll::Ready(Next::Ended(ended)) => {
                    state.end(match ended {
                        Ended::TooSlow => Refuse::TooSlow,
                        Ended::Shutdown => Refuse::Shutdown,
                    });
                    continue;
                }
                Poll::Pending => {
                    if state.sleep(&mut self.timer, now, cx) {
                        state.recheck = Some(0);
                        continue;
                    }
                    return Poll::Pending;
                }
            };
            state.held_up = false;
            state.collect(&shared, &stream.opened, next, now, cx.waker());
            state.hand_over(&shared);
            if state.held_up && state.out.is_empty() {
                stream.opened.queue.hold_up(cx);
                return Poll::Pending;
            }
        }
        // Much came by and nothing of it was for this recipient: let others have a turn.
        cx.waker().wake_by_ref();
        Poll::Pending
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
            self.stream.lock().recheck = Some(0);
        }
        self.poll_state(cx)
    }
}

impl Drop for SubscribeBody {
    fn drop(&mut self) {
        self.shared.streams.leave(&self.stream.opened.id);
        self.shared.hub.leave(self.stream.opened.ask.schema.name(), &self.stream.opened.queue);
        self.shared.counters.streams_closed.add(1);
        if let Some(releasing) = self.stream.opened.ask.releasing() {
            releasing.end();
            put_on_record(&self.shared);
        }
    }
}

/// What a legal demand released is on record soon; where it can't be now, the next look of the gateway at its desk puts it there.
fn put_on_record(shared: &Shared) {
    let Ok(runtime) = Handle::try_current() else { return };
    let ledger = Arc::clone(shared.maker.ledger());
    drop(runtime.spawn_blocking(move || {
        if let Err(refused) = ledger.mind_desk() {
            tracing::error!(code = refused.code(), "what was released under a legal demand is not on record yet");
        }
    }));
}
