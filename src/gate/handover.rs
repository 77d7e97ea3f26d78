//! What one stream has said and says next: views, batches of transformed frames, gaps, its end, in the order in which the
//! connection takes them. Always used under the stream's lock, which the barrier of a withdrawal takes, too.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Sleep;

use super::ask::Ask;
use super::chunk::Chunk;
use super::codec::{BatchWriter, framed};
use super::queue::{Lost, Queue};
use super::room::{FREE_BYTES, Held, Room};
use super::shared::Shared;
use super::sights::Sights;
use super::uses;
use super::views::Seen;
use crate::ledger::{Releasing, Subject, Took};
use crate::proto::v1::{End, Gap, Header, SubscribeResponse, subscribe_response::Kind};
use crate::status::Refuse;
use crate::veil::name::{Did, Fingerprint, StreamId, UnixMs};
use crate::veil::view::Space;

/// The most bytes that a stream's write buffer holds: one piece that waits, and the window's rest before it.
const WRITE_BUFFER_BYTES: u32 = 16 * 1024;
/// Bytes go to the connection in pieces of at most this many.
pub(super) const PIECE_BYTES: usize = 8 * 1024;
/// Frames are collected to about this many bytes before they are handed over.
const BATCH_BYTES: usize = 6 * 1024;
/// How long an idle stream sleeps at the most before it looks at the clock.
const IDLE_MS_MAX: i64 = 60_000;

/// A stream as it was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: StreamId,
    pub(super) ask: Ask,
    pub(super) queue: Arc<Queue>,
}

/// What one stream has said and says next.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) handed_over: u64,
    pub(super) seen: Sights,
    /// How many views were ever opened: the next one's number is one more.
    pub(super) shown: u32,
    pub(super) writer: BatchWriter,
    pub(super) space: Space,
    /// Whose frames are in the writer, and where in it the last one of each ends.
    pub(super) written: Vec<(Option<Did>, usize)>,
    /// What the connection takes next.
    pub(super) out: BytesMut,
    /// How many bytes the connection took.
    pub(super) sent: u64,
    /// Whose frames are in `out`, and where in the stream the last one of each ends.
    pub(super) half_way: Vec<(Option<Did>, u64)>,
    /// Which view is to be looked at next, where something other than frames may have to be said.
    pub(super) recheck: Option<usize>,
    /// What the queue let go of and was not announced yet.
    pub(super) lost: Vec<Lost>,
    /// A part of a frame is out, or what all views stand on has changed meanwhile: may the rest follow?
    pub(super) doubt: bool,
    pub(super) cut_off: bool,
    /// The schema that the recipient was told of.
    pub(super) told: Option<Fingerprint>,
    pub(super) ended: Option<Option<Refuse>>,
    pub(super) trailers_sent: bool,
    /// The frame at hand waits until uses of a consent are reserved; the waker is called then.
    pub(super) held_up: bool,
    /// For a large frame that is in `out`.
    held: Held,
    /// Where frames are counted that a legal demand releases.
    releasing: Option<Arc<Releasing>>,
}

impl Handover {
    /// Of a stream that has said nothing; large frames ask this room.
    pub(super) fn within(room: Arc<Room>, releasing: Option<Arc<Releasing>>) -> Self {
        Self {
            handed_over: 0,
            seen: Sights::new(),
            shown: 0,
            writer: BatchWriter::default(),
            space: Space::default(),
            written: Vec::new(),
            out: BytesMut::new(),
            sent: 0,
            half_way: Vec::new(),
            recheck: None,
            lost: Vec::new(),
            doubt: false,
            cut_off: false,
            told: None,
            ended: None,
            trailers_sent: false,
            held_up: false,
            held: Held::none(room),
            releasing,
        }
    }

    /// Whether a part of a frame of `subject` (of anybody, where `None`) is out, and its rest is still here.
    pub(super) fn is_half_way(&self, subject: Option<&Did>) -> bool {
        let concerned = |about: &Option<Did>| subject.is_none_or(|subject| *about == Some(*subject));
        self.half_way.iter().any(|(about, end)| *end > self.sent && concerned(about))
    }

    /// What the connection takes now.
    pub(super) fn piece(&mut self) -> Bytes {
        let piece = self.out.split_to(self.out.len().min(PIECE_BYTES)).freeze();
        self.sent += piece.len() as u64;
        // A consent may expire, or its hours end, before the next piece.
        self.doubt = !self.out.is_empty();
        if self.out.is_empty() {
            self.half_way.clear();
            if self.held.release() {
                // The next one may be far off.
                (self.out, self.space) = (BytesMut::new(), Space::default());
            }
        }
        piece
    }

    /// Transforms frames from `first` on until a batch is full, or a view has to be announced first.
    pub(super) fn collect(&mut self, shared: &Shared, stream: &Opened, first: (Arc<Chunk>, usize), now: UnixMs, waker: &Waker) {
        let mut next = Some(first);
        while let Some((chunk, at)) = next {
            let at = self.collect_from(shared, stream, (&chunk, at), now, waker);
            let rest = stream.queue.put_back(chunk, at);
            next = if !rest && self.writer.bytes() < BATCH_BYTES { stream.queue.try_next() } else { None };
        }
    }

    /// Transforms frames of one chunk; which is the next, where it did not come to the end.
    fn collect_from(&mut self, shared: &Shared, stream: &Opened, (chunk, mut at): (&Chunk, usize), now: UnixMs, waker: &Waker) -> usize {
        let mandate_generation = shared.maker.ledger().mandate_generation();
        while self.writer.bytes() < BATCH_BYTES
            && let Some((raw, subject)) = chunk.get(at)
        {
            let index = self.place_of(subject);
            if !self.seen.get(index).is_some_and(|seen| seen.is_current(mandate_generation, now)) {
                self.refresh(shared, stream, index, now);
                // The frame waits until the announcement has gone: what is transformed ahead of the connection stays small.
                if self.ended.is_some() || !self.out.is_empty() {
                    break;
                }
            }
            if self.seen.get(index).is_some_and(|seen| !seen.uses().is_empty() && seen.is_open()) && !self.use_one(shared, index, waker) {
                if self.held_up {
                    break;
                }
                continue;
            }
            if let Some(seen) = self.seen.get_mut(index) {
                let number = seen.number;
                if let Some((view, counting)) = seen.view_and_count() {
                    match view.apply(raw, &mut self.space) {
                        Ok(frame) => {
                            self.writer.push(number, &frame);
                            if let Some(counting) = counting {
                                counting.one();
                            }
                            let (about, end) = (subject.map(|subject| subject.did()), self.writer.bytes());
                            match self.written.last_mut() {
                                Some(last) if last.0 == about => last.1 = end,
                                _ => self.written.push((about, end)),
                            }
                        }
                        Err(refusal) => {
                            uses::give_back(seen.uses());
                            chunk.tally().refuse(refusal);
                            shared.counters.refused(refusal);
                            tracing::warn!(code = refusal.code(), source = %chunk.source(), recipient = %stream.ask.listener.spiffe, schema = %stream.ask.schema.name(), "a frame could not be judged for a recipient");
                        }
                    }
                }
            }
            at += 1;
        }
        at
    }

    /// Takes one use of each counted consent that the view rests on. False: the frame waits until some are reserved, or the view has to
    /// be made anew, as they are used up.
    fn use_one(&mut self, shared: &Shared, index: usize, waker: &Waker) -> bool {
        let Some(seen) = self.seen.get_mut(index) else { return true };
        let took = uses::take(seen.uses(), shared.maker.ledger(), waker);
        match took {
            Took::One => {
                // After the last one the view closes, also where no frame comes any more.
                if seen.uses().iter().any(|uses| uses.is_spent()) {
                    self.recheck = Some(0);
                }
            }
            Took::Spent => seen.expire(),
            Took::Wait { .. } => self.held_up = true,
        }
        took == Took::One
    }

    /// Counts what is collected as handed over; it goes to the connection with the next bytes.
    pub(super) fn hand_over(&mut self, shared: &Shared) {
        let (count, bytes) = (self.writer.count(), self.writer.bytes());
        if count > 0 && !self.held.hold(bytes) {
            (self.writer, self.space) = Default::default();
            self.written.clear();
            self.end(Refuse::NoRoom);
        } else if count > 0 {
            self.writer.finish(self.handed_over + 1, &mut self.out);
            self.handed_over += count;
            shared.counters.frames_out.add(count);
            if let Some(releasing) = &self.releasing {
                releasing.handed_over(count);
            }
            let end = self.sent + self.out.len() as u64;
            if bytes > FREE_BYTES {
                self.writer = BatchWriter::default();
            }
            self.half_way.extend(self.written.drain(..).map(|(about, at)| (about, end - (bytes - at) as u64)));
        }
    }

    fn place_of(&mut self, subject: Option<&Arc<Subject>>) -> usize {
        if let Some(index) = self.seen.find(subject.map(|subject| subject.did())) {
            return index;
        }
        if self.seen.is_full() {
            self.seen.forget_hidden();
            // The others are somewhere else now.
            self.recheck = self.recheck.map(|_| 0);
        }
        self.seen.add(subject)
    }

    /// Says what the stream is; once more where the schema has changed under it.
    pub(super) fn begin(&mut self, shared: &Shared, id: StreamId, fingerprint: Fingerprint) {
        let header = Header {
            stream_id: Bytes::copy_from_slice(&id.0),
            origin: shared.maker.origin().to_string(),
            gateway_key: shared.maker.sign().did().to_string(),
            schema_fingerprint: Bytes::copy_from_slice(&fingerprint.0),
            write_buffer_bytes: WRITE_BUFFER_BYTES,
        };
        self.told = Some(fingerprint);
        self.out.extend_from_slice(&framed(&SubscribeResponse { kind: Some(Kind::Header(header)) }));
    }

    /// Whether the rest of a frame that is half-way out may follow: whoever it is about, its view is what it was.
    pub(super) fn resolve(&mut self, shared: &Shared, ask: &Ask, now: UnixMs) {
        let mandate_generation = shared.maker.ledger().mandate_generation();
        self.doubt = false;
        let sent = self.sent;
        for (about, _) in self.half_way.iter().filter(|(_, end)| *end > sent) {
            let seen = self.seen.of_mut(*about);
            self.cut_off |= seen.is_none_or(|seen| {
                !seen.is_current(mandate_generation, now) && !matches!(shared.maker.refresh(ask, seen, &mut self.shown, now), Ok(None))
            });
        }
    }

    fn refresh(&mut self, shared: &Shared, stream: &Opened, index: usize, now: UnixMs) {
        let (ask, id) = (&stream.ask, stream.id);
        let Some(seen) = self.seen.get_mut(index) else { return };
        let refreshed = shared.maker.refresh(ask, seen, &mut self.shown, now);
        // A closed view tells of no schema.
        let schema = seen.is_open().then(|| seen.fingerprint());
        match refreshed {
            Ok(None) => {}
            Ok(Some(view)) => {
                // What was collected under the view before goes first.
                self.hand_over(shared);
                if let Some(fingerprint) = schema.filter(|schema| self.told != Some(*schema)) {
                    self.begin(shared, id, fingerprint);
                }
                self.out.extend_from_slice(&framed(&SubscribeResponse { kind: Some(Kind::View(view)) }));
            }
            Err(refuse) => {
                self.hand_over(shared);
                self.end(refuse);
            }
        }
    }

    /// Whether a counted consent that a view rests on is used up.
    fn is_used_up(seen: &Seen) -> bool {
        seen.is_open() && seen.uses().iter().any(|uses| uses.is_spent())
    }

    /// Looks at views in order until something is to be said or all were looked at; the rest follows when that is out.
    pub(super) fn recheck_views(&mut self, shared: &Shared, stream: &Opened, now: UnixMs) {
        let mandate_generation = shared.maker.ledger().mandate_generation();
        let mut index = self.recheck.take().unwrap_or(0);
        while let Some(seen) = self.seen.get_mut(index) {
            if Self::is_used_up(seen) {
                seen.expire();
            }
            if !seen.is_current(mandate_generation, now) {
                self.refresh(shared, stream, index, now);
            }
            index += 1;
            if self.ended.is_some() || !self.out.is_empty() {
                break;
            }
        }
        self.recheck = (self.ended.is_none() && index < self.seen.len()).then_some(index);
    }

    /// Announces what this recipient was too slow for; of subjects it sees nothing of, it learns nothing. True: something is
    /// to be said.
    pub(super) fn say_gap(&mut self, shared: &Shared, stream: &Opened, now: UnixMs) -> bool {
        self.lost.extend(stream.queue.take_lost());
        let mandate_generation = shared.maker.ledger().mandate_generation();
        let mut frames = 0;
        while let Some(lost) = self.lost.last() {
            let (subject, count) = (lost.subject.clone(), lost.frames);
            let index = self.place_of(subject.as_ref());
            if !self.seen.get(index).is_some_and(|seen| seen.is_current(mandate_generation, now)) {
                self.refresh(shared, stream, index, now);
                if self.ended.is_some() || !self.out.is_empty() {
                    break;
                }
            }
            if self.seen.get(index).is_some_and(Seen::is_open) {
                frames += count;
            }
            self.lost.pop();
        }
        if frames > 0 && self.ended.is_none() {
            self.out.extend_from_slice(&framed(&SubscribeResponse { kind: Some(Kind::Gap(Gap { frames })) }));
        }
        !self.out.is_empty()
    }

    pub(super) fn end(&mut self, refuse: Refuse) {
        let end = End { code: refuse.code().to_owned(), reason: refuse.text().to_owned() };
        self.out.extend_from_slice(&framed(&SubscribeResponse { kind: Some(Kind::End(end)) }));
        self.ended = Some(Some(refuse));
    }

    /// Sets the timer to the next instant at which a view ends by itself; true: it is there.
    pub(super) fn sleep(&self, timer: &mut Option<Pin<Box<Sleep>>>, now: UnixMs, cx: &mut Context<'_>) -> bool {
        let release = self.releasing.iter().map(|releasing| releasing.warrant().until().0);
        let next = self.seen.iter().map(|seen| seen.valid_until().0).chain(release).filter(|at| *at > now.0).min();
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
