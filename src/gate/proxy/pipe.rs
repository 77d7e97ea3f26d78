//! One direction of a call: messages are cut out of the body's bytes, judged, transformed into one buffer and handed on as one
//! piece, when the other connection takes bytes and not before.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use tokio::time::Instant;

use super::lane::{Lane, Mark, Out, Veiling, Veto, Views};
use super::unpack::{Packing, Unopened};
use crate::config::Undecidable;
use crate::gate::codec::{Broken, Deframer};
use crate::gate::handover::PIECE_BYTES;
use crate::gate::inbound::Inbound;
use crate::gate::room::Held;
use crate::ledger::Subject;
use crate::status::Refuse;
use crate::veil::name::UnixMs;
use crate::veil::view::Raw;

/// How often a stream repeats its announcements.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(60);
/// How many messages that nobody may see are passed over before others have a turn.
const ROUNDS_MAX: usize = 64;
/// So many bytes of messages are looked at under the lane's lock, packed ones as they are when they are open, and no further one begins: a
/// withdrawal waits for the lock, and others for their turn.
const TURN_BYTES_MAX: usize = 1 << 20;

/// Whom the messages of a call are about.
#[derive(Clone, Debug)]
pub(super) enum About {
    /// Each says it itself.
    EachItself,
    /// The call has said it.
    Call(Option<Arc<Subject>>),
}

/// What ended a call, told by whichever direction found it first.
#[derive(Debug, Default)]
pub(super) struct Fate(Mutex<Option<Refuse>>);

impl Fate {
    pub(super) fn end(&self, refuse: Refuse) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refuse);
    }

    pub(super) fn get(&self) -> Option<Refuse> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a direction goes on.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes for the connection.
    Data(Bytes),
    /// The body has ended, with these trailers if it had any.
    End(Option<HeaderMap>),
    /// The other side broke off.
    Broke,
    /// The gateway ends it.
    Refused(Refuse),
}

/// What a pipe needs to know.
#[derive(Debug)]
pub(super) struct Fitting {
    pub(super) lane: Arc<Lane>,
    pub(super) about: About,
    /// How compressed messages come.
    pub(super) packing: Packing,
    /// As what those go on.
    pub(super) again: Packing,
    pub(super) undecidable: Undecidable,
    pub(super) bytes_max: usize,
}

/// One direction of a call.
#[derive(Debug)]
pub(super) struct Pipe {
    from: Option<Inbound>,
    trailers: Option<HeaderMap>,
    broke: bool,
    /// What has come and was not looked at.
    chunks: VecDeque<Bytes>,
    deframer: Deframer,
    fitting: Fitting,
    messages: u64,
    /// Transformed and not yet taken.
    out: Out,
    /// For a large message in `out`.
    held: Held,
    /// Why nothing comes behind `out`.
    failed: Option<Refuse>,
    /// The next message waits until uses of a consent are reserved; the waker is called then.
    held_up: bool,
    /// As much was looked at as may be in one turn.
    had_enough: bool,
    /// By view: the announcement that this call has had, and when.
    announced: HashMap<Mark, Instant>,
}

impl Pipe {
    pub(super) fn new(from: Inbound, fitting: Fitting) -> Self {
        let room = &fitting.lane.shared.room;
        let (deframer, held) = (Deframer::within(Arc::clone(room)), Held::none(Arc::clone(room)));
        Self {
            from: Some(from),
            trailers: None,
            broke: false,
            chunks: VecDeque::new(),
            deframer,
            held,
            fitting,
            messages: 0,
            out: Out::default(),
            failed: None,
            held_up: false,
            had_enough: false,
            announced: HashMap::new(),
        }
    }

    /// Whether a message was looked at.
    pub(super) fn has_begun(&self) -> bool {
        self.messages > 0
    }

    /// Whether no message is half-way out.
    pub(super) fn is_between(&self) -> bool {
        self.out.bytes.is_empty()
    }

    /// Whether everything was handed on.
    pub(super) fn is_done(&self) -> bool {
        self.from.is_none() && !self.broke && self.out.bytes.is_empty() && self.chunks.is_empty() && !self.deframer.is_midway()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        for _ in 0..ROUNDS_MAX {
            let waits = !self.held_up && self.gather(cx);
            match self.piece(cx.waker()) {
                Ok(Some(piece)) => return Poll::Ready(Piece::Data(piece)),
                // Much came by and nothing of it may be seen: let others have a turn, and whoever waits for the lane.
                Ok(None) if self.had_enough => break,
                Ok(None) if waits || self.held_up => return Poll::Pending,
                Ok(None) if self.from.is_some() => {}
                Ok(None) if self.broke || self.deframer.is_midway() => return Poll::Ready(Piece::Broke),
                Ok(None) => return Poll::Ready(Piece::End(self.trailers.take())),
                Err(refuse) => return Poll::Ready(Piece::Refused(refuse)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what has come, up to about a piece; whether more is waited for. Nothing is taken while something of before is there: what
    /// comes faster than it goes waits where the sender's window ends.
    fn gather(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.out.bytes.is_empty() || !self.chunks.is_empty() || self.deframer.has_more() {
            return false;
        }
        let mut bytes = 0;
        while bytes < PIECE_BYTES {
            let Some(from) = &mut self.from else { return false };
            match Pin::new(from).poll_frame(cx) {
                Poll::Pending => return true,
                Poll::Ready(None) => self.from = None,
                Poll::Ready(Some(Err(_))) => (self.from, self.broke) = (None, true),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        bytes += data.len();
                        self.chunks.push_back(data);
                    }
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.from = None;
                    }
                },
            }
        }
        false
    }

    /// What the connection takes now: judged and counted under the lane's lock.
    fn piece(&mut self, waker: &Waker) -> Result<Option<Bytes>, Refuse> {
        if self.out.bytes.is_empty() && self.chunks.is_empty() && !self.deframer.is_midway() {
            return Ok(None);
        }
        self.had_enough = false;
        let lane = Arc::clone(&self.fitting.lane);
        let now = lane.shared.clock.now().map_err(|_| Refuse::ClockBehind)?;
        let mut views = lane.lock();
        if self.out.bytes.is_empty() {
            if let Some(refuse) = self.failed {
                return Err(refuse);
            }
            // What was good goes first.
            self.failed = self.fill(&lane, &mut views, (now, waker)).err();
            if !self.held.hold(self.out.bytes.len()) {
                return Err(Refuse::NoRoom);
            }
            if let (Some(refuse), true) = (self.failed, self.out.bytes.is_empty()) {
                return Err(refuse);
            }
        } else if !lane.holds(&mut views, &self.out, now) {
            lane.shared.counters.streams_cut_off.add(1);
            return Err(Refuse::CutOff);
        }
        if self.out.bytes.is_empty() {
            return Ok(None);
        }
        let piece = self.out.piece(PIECE_BYTES);
        if self.out.bytes.is_empty() && self.held.release() {
            // The next one may be far off.
            self.out = Out::default();
        }
        Ok(Some(piece))
    }

    /// Transforms what is at hand until a piece is full.
    fn fill(&mut self, lane: &Lane, views: &mut Views, now: (UnixMs, &Waker)) -> Result<(), Refuse> {
        let Self { chunks, deframer, fitting, messages, out, announced, .. } = self;
        let mut judge =
            Judging { lane, views, fitting, now, out, announced, told: None, handed_over: 0, withheld: 0, held_up: false, looked_at: 0 };
        let done = judge.messages(chunks, deframer, messages);
        let Judging { views, handed_over, withheld, held_up, looked_at, .. } = judge;
        (self.held_up, self.had_enough) = (held_up, looked_at >= TURN_BYTES_MAX);
        lane.hand_over(views, handed_over);
        if withheld > 0 {
            lane.shared.counters.messages_withheld.add(withheld);
        }
        done
    }
}

/// How a message fared.
enum Fared {
    Out,
    Withheld,
    /// It is still there.
    Waits,
}

/// Messages on their way through the views of a lane.
struct Judging<'a> {
    lane: &'a Lane,
    views: &'a mut Views,
    fitting: &'a Fitting,
    now: (UnixMs, &'a Waker),
    out: &'a mut Out,
    announced: &'a mut HashMap<Mark, Instant>,
    /// The view whose announcement was looked at last: it is not due again so soon.
    told: Option<Mark>,
    handed_over: u64,
    withheld: u64,
    held_up: bool,
    /// Bytes of messages, as they are when they are open.
    looked_at: usize,
}

impl Judging<'_> {
    /// Judges what is at hand until a piece is full.
    fn messages(&mut self, chunks: &mut VecDeque<Bytes>, deframer: &mut Deframer, messages: &mut u64) -> Result<(), Refuse> {
        let Fitting { packing, again, bytes_max, .. } = *self.fitting;
        while self.out.bytes.len() < PIECE_BYTES && self.looked_at < TURN_BYTES_MAX {
            let (packed, message) = match deframer.peek(bytes_max) {
                Ok(Some(found)) => found,
                Ok(None) => match chunks.pop_front() {
                    Some(chunk) => {
                        deframer.push(chunk);
                        continue;
                    }
                    None => break,
                },
                Err(Broken::Compressed) => return Err(Refuse::Malformed),
                Err(Broken::TooLarge) => return Err(Refuse::TooLarge),
                Err(Broken::NoRoom) => return Err(Refuse::NoRoom),
            };
            *messages += 1;
            if *messages > 1 && !self.lane.side.streams {
                return Err(Refuse::Malformed);
            }
            let taken = message.len();
            let fared = if packed {
                let start = self.out.bytes.len();
                let fared = match packing.open(message, bytes_max) {
                    Ok(message) => {
                        self.looked_at += message.len();
                        self.message(&message)?
                    }
                    Err(Unopened::Malformed) => return Err(Refuse::Malformed),
                    Err(Unopened::TooLarge) => return Err(Refuse::TooLarge),
                };
                if matches!(fared, Fared::Out) {
                    again.pack(&mut self.out.bytes, start);
                }
                fared
            } else {
                self.looked_at += taken;
                self.message(message)?
            };
            match fared {
                Fared::Out => self.handed_over += 1,
                Fared::Withheld => self.withheld += 1,
                Fared::Waits => {
                    // It is looked at once more.
                    *messages -= 1;
                    self.held_up = true;
                    break;
                }
            }
            deframer.pass(taken);
        }
        Ok(())
    }

    /// Judges one message.
    fn message(&mut self, message: &[u8]) -> Result<Fared, Refuse> {
        let Self { lane, views, fitting, now, out, announced, told, .. } = self;
        let raw = Raw::new(message);
        let streams = lane.side.streams;
        let mut due = |mark: Mark, by_others: bool| {
            if !streams {
                return !by_others;
            }
            if told.replace(mark) == Some(mark) {
                return false;
            }
            let due = announced.get(&mark).is_none_or(|at| at.elapsed() >= ANNOUNCE_EVERY);
            if due {
                // What is due again need not be remembered.
                if announced.len() == announced.capacity() {
                    announced.retain(|_, at| at.elapsed() < ANNOUNCE_EVERY);
                }
                announced.insert(mark, Instant::now());
            }
            due
        };
        let veiled = match &fitting.about {
            About::Call(subject) => lane.veil(views, raw, subject.as_ref(), due, *now, out),
            About::EachItself if lane.side.several => lane.veil_each(views, raw, due, *now, out),
            About::EachItself => match lane.veil_as_last(views, raw, &mut due, now.0, out) {
                Some(veiled) => veiled,
                None => lane.subject_in(views, raw).and_then(|subject| lane.veil(views, raw, subject.as_ref(), due, *now, out)),
            },
        };
        match veiled {
            Ok(Veiling::Done { announced }) => {
                if let (true, false, Some(mark)) = (announced, streams, out.last) {
                    lane.note_announced(views, mark);
                }
                Ok(Fared::Out)
            }
            Ok(Veiling::Withheld) => Ok(Fared::Withheld),
            Err(Veto::End(refuse)) => Err(refuse),
            Err(Veto::Wait) => Ok(Fared::Waits),
            Err(Veto::Message(refusal)) => {
                lane.shared.counters.refused(refusal);
                tracing::warn!(code = refusal.code(), schema = %lane.ask.schema.name(), recipient = %lane.ask.listener.spiffe, "a message could not be judged");
                match fitting.undecidable {
                    Undecidable::DropAndReport if streams => Ok(Fared::Withheld),
                    _ => Err(Refuse::Undecidable),
                }
            }
        }
    }
}
