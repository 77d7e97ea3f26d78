//! The state of a connection, without its socket: what its streams hold, what may be sent, and what waits to be written.
//!
//! Bytes that come are appended to their stream's inbox, whatever frames they came in; who reads a stream takes all of it at
//! once. Bytes that go are written behind their frame's head into one buffer for all streams, which is written as a whole: a
//! *turn*. A stream that has written [`TURN_BYTES`] in a turn waits for the next one, and all do while the socket does not take the
//! turn before.

use std::collections::VecDeque;
use std::task::Waker;

use http::{HeaderMap, Request, Response};

use super::budget::Budget;
use super::frame::{self, PAYLOAD_BYTES_MAX, PREFACE};
use super::hpack::{Decoder, Encoder};
use super::stream::{Place, Stream, Table};
use super::{Broken, Reason, Settings, head};

/// What is gathered for one write, in bytes; nothing is read while more than that waits.
pub(super) const OUT_BYTES_MAX: usize = 64 * 1024;
/// What a stream may have written in a turn and still write another piece, in bytes.
pub(super) const TURN_BYTES: usize = 8 * 1024;
/// The window of a stream and of a connection before anybody says otherwise (RFC 9113 §6.9.2), in bytes.
const WINDOW_BYTES: u32 = 65_535;
/// What a frame that was sent may be answered with: window updates of the stream and of the connection.
const ANSWERS: u32 = 2;

const SETTINGS_ENABLE_PUSH: u16 = 2;
const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
const SETTINGS_MAX_HEADER_LIST_SIZE: u16 = 6;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// A header block that has not come whole.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) frames: usize,
}

/// A request that nobody has looked at.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) place: Place,
    pub(super) request: Request<()>,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) role: Role,
    pub(super) settings: Settings,
    pub(super) greeted: bool,
    pub(super) has_settings: bool,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) block: Option<Block>,
    pub(super) budget: Budget,
    pub(super) streams: Table,
    pub(super) arrived: VecDeque<Arrived>,
    /// The highest stream that the peer has opened, and the next one of ours.
    pub(super) last_theirs: u32,
    pub(super) next_ours: u32,
    pub(super) their_streams_max: u32,
    pub(super) their_window: i64,
    /// What the peer may still send, and what may still be sent, in bytes.
    pub(super) recv_window: i64,
    pub(super) send_window: i64,
    /// What all inboxes hold, in bytes.
    pub(super) held: usize,
    /// What waits to be written, and how much of it has been.
    pub(super) out: Vec<u8>,
    pub(super) written: usize,
    pub(super) turn: u64,
    /// The socket did not take all of it.
    pub(super) stuck: bool,
    /// Streams that the bytes just read were for, and those that wait for the next turn or the connection's window.
    pub(super) touched: Vec<Place>,
    pub(super) waiting: Vec<Place>,
    /// Who carries the connection; awake, it need not be woken.
    pub(super) carrier: Option<Waker>,
    pub(super) awake: bool,
    /// Who waits to open a stream.
    pub(super) openers: Vec<Waker>,
    pub(super) opener_count: usize,
    /// The peer takes no new streams.
    pub(super) refuses: bool,
    /// No new streams are taken from the peer: said, and since which one.
    pub(super) winding_up: bool,
    pub(super) last_taken: Option<u32>,
    pub(super) pinged: bool,
    pub(super) heard: bool,
    /// Why it is over.
    pub(super) over: Option<Reason>,
    scratch: Vec<u8>,
}

impl Core {
    pub(super) fn new(role: Role, settings: Settings) -> Self {
        let mut out = Vec::new();
        let mut pairs =
            vec![(SETTINGS_INITIAL_WINDOW_SIZE, settings.stream_window_bytes), (SETTINGS_MAX_HEADER_LIST_SIZE, settings.header_bytes_max)];
        match role {
            Role::Client => {
                out.extend_from_slice(PREFACE);
                pairs.push((SETTINGS_ENABLE_PUSH, 0));
            }
            Role::Server => pairs.push((SETTINGS_MAX_CONCURRENT_STREAMS, settings.streams_max)),
        }
        frame::push_settings(&mut out, &pairs);
        frame::push_window_update(&mut out, 0, settings.window_bytes - WINDOW_BYTES);
        Self {
            role,
            settings,
            greeted: role == Role::Client,
            has_settings: false,
            decoder: Decoder::new(settings.header_bytes_max as usize),
            encoder: Encoder::new(),
            block: None,
            budget: Budget::new(),
            streams: Table::default(),
            arrived: VecDeque::new(),
            last_theirs: 0,
            next_ours: 1,
            // Until the peer says more: as many as every peer should take (RFC 9113 §6.5.2).
            their_streams_max: 100,
            their_window: i64::from(WINDOW_BYTES),
            recv_window: i64::from(settings.window_bytes),
            send_window: i64::from(WINDOW_BYTES),
            held: 0,
            out,
            written: 0,
            turn: 1,
            stuck: false,
            touched: Vec::new(),
            waiting: Vec::new(),
            carrier: None,
            awake: true,
            openers: Vec::new(),
            opener_count: 0,
            refuses: false,
            winding_up: false,
            last_taken: None,
            pinged: false,
            heard: false,
            over: None,
            scratch: Vec::new(),
        }
    }

    /// Something is to be written.
    pub(super) fn wake(&mut self) {
        if !self.awake
            && let Some(waker) = self.carrier.take()
        {
            self.awake = true;
            waker.wake();
        }
    }

    /// How many bytes wait to be written.
    pub(super) fn waits(&self) -> usize {
        self.out.len() - self.written
    }

    /// All of it was written: another turn begins.
    pub(super) fn turned(&mut self) {
        self.out.clear();
        (self.written, self.stuck) = (0, false);
        if self.out.capacity() > PAYLOAD_BYTES_MAX && self.streams.len() == 0 {
            self.out = Vec::new();
        }
        self.turn += 1;
        self.wake_waiting();
    }

    /// Those that wait for what all share may try again.
    pub(super) fn wake_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for place in waiting.drain(..) {
            if let Some(stream) = self.streams.get(place) {
                stream.waits = false;
                stream.wake_writer();
            }
        }
        self.waiting = waiting;
    }

    /// Readers of what has just come go on.
    pub(super) fn wake_touched(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for place in touched.drain(..) {
            if let Some(stream) = self.streams.get(place) {
                stream.touched = false;
                stream.wake_reader();
            }
        }
        self.touched = touched;
    }

    /// How many bytes of a stream may be written now; 0: it is woken when there may be more.
    pub(super) fn room(&mut self, place: Place) -> usize {
        let (shared, turn) = (self.send_window, self.turn);
        let full = self.stuck || self.waits() >= OUT_BYTES_MAX;
        let Some(stream) = self.streams.get(place) else { return 0 };
        if stream.send_window <= 0 {
            // Its own window update wakes it.
            return 0;
        }
        if shared <= 0 || full || (stream.turn == turn && stream.turn_bytes >= TURN_BYTES) {
            if !std::mem::replace(&mut stream.waits, true) {
                self.waiting.push(place);
            }
            return 0;
        }
        stream.send_window.min(shared).min(PAYLOAD_BYTES_MAX as i64) as usize
    }

    /// Writes bytes of a stream, no more than [`Self::room`] said.
    pub(super) fn send_data(&mut self, place: Place, bytes: &[u8], ends: bool) {
        // Nothing is said behind a reset, also where whoever writes has not heard of it (§5.1).
        let Some(stream) = self.streams.get(place).filter(|stream| stream.local_open) else { return };
        stream.send_window -= bytes.len() as i64;
        if std::mem::replace(&mut stream.turn, self.turn) != self.turn {
            stream.turn_bytes = 0;
        }
        stream.turn_bytes += bytes.len();
        frame::push_head(&mut self.out, bytes.len(), frame::DATA, if ends { frame::END_STREAM } else { 0 }, stream.id);
        self.send_window -= bytes.len() as i64;
        self.out.extend_from_slice(bytes);
        self.budget.earn(ANSWERS);
        if ends {
            self.sent_all(place);
        }
        self.wake();
    }

    /// Writes the head of an answer.
    pub(super) fn send_response(&mut self, place: Place, response: &Response<()>, ends: bool) {
        self.send_block(place, ends, |encoder, block| head::write_response(encoder, response, block));
    }

    /// Writes trailers, the end of a stream.
    pub(super) fn send_trailers(&mut self, place: Place, trailers: &HeaderMap) {
        self.send_block(place, true, |encoder, block| head::write_trailers(encoder, trailers, block));
    }

    fn send_block(&mut self, place: Place, ends: bool, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let Some(id) = self.streams.get(place).filter(|stream| stream.local_open).map(|stream| stream.id) else { return };
        let mut block = std::mem::take(&mut self.scratch);
        block.clear();
        write(&mut self.encoder, &mut block);
        frame::push_block(&mut self.out, id, &block, ends);
        self.scratch = block;
        self.budget.earn(ANSWERS);
        if ends {
            self.sent_all(place);
        }
        self.wake();
    }

    fn sent_all(&mut self, place: Place) {
        if let Some(stream) = self.streams.get(place) {
            stream.local_open = false;
        }
    }

    /// Whether a stream of ours may be opened now.
    pub(super) fn may_open(&self) -> bool {
        self.streams.len() < self.their_streams_max as usize
    }

    /// Whether none will ever be.
    pub(super) fn opens_none(&self) -> bool {
        self.over.is_some() || self.refuses || self.next_ours > 0x7fff_ffff
    }

    /// Opens a stream with a request.
    pub(super) fn open(&mut self, request: &Request<()>, ends: bool) -> Place {
        let id = self.next_ours;
        self.next_ours += 2;
        let place = self.streams.enter(Stream::new(id, self.settings.stream_window_bytes, self.their_window));
        self.send_block(place, ends, |encoder, block| head::write_request(encoder, request, block));
        place
    }

    /// Ends a stream before its end.
    pub(super) fn reset(&mut self, place: Place, reason: Reason) {
        let Some(stream) = self.streams.get(place) else { return };
        if stream.remote_open || stream.local_open {
            frame::push_reset(&mut self.out, stream.id, reason);
            stream.break_off(Broken { reason, unprocessed: false });
            self.wake();
        }
    }

    /// Nobody reads a stream any more.
    pub(super) fn leave_reader(&mut self, place: Place) {
        let Some(stream) = self.streams.get(place) else { return };
        stream.has_reader = false;
        let dropped = std::mem::take(&mut stream.inbox).len() + std::mem::take(&mut stream.taken);
        if self.role == Role::Client && (stream.remote_open || stream.local_open) {
            self.reset(place, Reason::CANCEL);
        }
        self.held -= dropped;
        self.grant();
        self.tidy(place);
    }

    /// Nobody writes a stream any more.
    pub(super) fn leave_writer(&mut self, place: Place) {
        let Some(stream) = self.streams.get(place) else { return };
        stream.has_writer = false;
        if stream.local_open {
            self.reset(place, Reason::CANCEL);
        }
        self.tidy(place);
    }

    /// Forgets a stream that is over; one whose end the peer has not told, but which nobody reads, is ended.
    pub(super) fn tidy(&mut self, place: Place) {
        let Some(stream) = self.streams.get(place) else { return };
        if !stream.has_reader && !stream.has_writer && !stream.local_open && stream.remote_open {
            // The answer is complete without the rest of the request (RFC 9113 §8.1).
            self.reset(place, Reason::NO_ERROR);
        }
        if self.streams.get(place).is_some_and(|stream| stream.is_over()) {
            self.streams.remove(place);
            self.openers.drain(..).for_each(Waker::wake);
            // The carrier ends a connection that is done.
            self.wake();
        }
    }

    /// What was taken out of a stream's inbox was dealt with.
    pub(super) fn release(&mut self, place: Place) {
        let Some(stream) = self.streams.get(place) else { return };
        let bytes = std::mem::take(&mut stream.taken);
        if bytes > 0 {
            self.held -= bytes;
            self.allow(place, bytes as u32);
            self.grant();
        }
    }

    /// Allows the peer so much more on a stream, once it is worth a frame.
    pub(super) fn allow(&mut self, place: Place, bytes: u32) {
        let half = self.settings.stream_window_bytes / 2;
        if let Some(stream) = self.streams.get(place) {
            stream.unreleased += bytes;
            if stream.remote_open && stream.unreleased >= half {
                let more = std::mem::take(&mut stream.unreleased);
                stream.recv_window += i64::from(more);
                frame::push_window_update(&mut self.out, stream.id, more);
                self.wake();
            }
        }
    }

    /// Allows the peer as much as may still be held.
    pub(super) fn grant(&mut self) {
        let window = i64::from(self.settings.window_bytes);
        let room = i64::from(self.settings.held_bytes_max) - self.held as i64;
        let more = window.min(room) - self.recv_window;
        if more >= window / 2 {
            self.recv_window += more;
            frame::push_window_update(&mut self.out, 0, more as u32);
            self.wake();
        }
    }

    /// All streams end: the connection has.
    pub(super) fn fail(&mut self, reason: Reason) {
        if self.over.is_some() {
            return;
        }
        self.over = Some(reason);
        for (_, stream) in self.streams.each() {
            stream.break_off(Broken { reason, unprocessed: false });
        }
        self.openers.drain(..).for_each(Waker::wake);
        self.wake();
    }

    /// Takes no new streams, first as a warning: what is on its way is still taken.
    pub(super) fn wind_up(&mut self) {
        if !std::mem::replace(&mut self.winding_up, true) {
            frame::push_goaway(&mut self.out, 0x7fff_ffff, Reason::NO_ERROR);
            frame::push_ping(&mut self.out, 0, *b"last one");
            self.wake();
        }
    }

    /// Everybody who was on the way has come: none is taken after this.
    pub(super) fn take_no_more(&mut self) {
        if self.last_taken.is_none() {
            self.last_taken = Some(self.last_theirs);
            frame::push_goaway(&mut self.out, self.last_theirs, Reason::NO_ERROR);
            self.wake();
        }
    }
}
