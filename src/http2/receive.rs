//! What comes in: frames, one after the other (RFC 9113 §6), each within bounds.

use super::core::{Arrived, Block, Core, Role};
use super::frame::{self, HEAD_BYTES, Head, PAYLOAD_BYTES_MAX, PREFACE, u31};
use super::head::Fields;
use super::stream::{Place, Stream};
use super::{Broken, Reason};

/// A header block comes in at most so many frames.
const BLOCK_FRAMES_MAX: usize = 8;
/// The largest window (RFC 9113 §6.9.1).
const WINDOW_MAX: i64 = 0x7fff_ffff;
/// What a peer's asking costs, in tokens of its budget.
const COST: u32 = 1;
/// A reset may come behind work that was begun for it. Not dearer: when an upstream stalls, the deadlines of all its callers end in resets.
const RESET_COST: u32 = 3;

const SETTINGS_HEADER_TABLE_SIZE: u16 = 1;
const SETTINGS_ENABLE_PUSH: u16 = 2;
const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
const SETTINGS_MAX_FRAME_SIZE: u16 = 5;

impl Core {
    /// Takes all whole frames; how many bytes that were.
    ///
    /// # Errors
    /// What ends the connection; the peer is to be told.
    pub(super) fn receive(&mut self, input: &[u8]) -> Result<usize, Reason> {
        let mut rest = input;
        if !self.greeted {
            let seen = rest.len().min(PREFACE.len());
            if rest.get(..seen) != PREFACE.get(..seen) {
                return Err(Reason::PROTOCOL_ERROR);
            }
            let Some(behind) = rest.get(PREFACE.len()..) else { return Ok(0) };
            (self.greeted, rest) = (true, behind);
        }
        self.heard = true;
        let taken = loop {
            let Some((head, behind)) = rest.split_first_chunk::<HEAD_BYTES>() else { break Ok(()) };
            let head = Head::read(head);
            if head.len > PAYLOAD_BYTES_MAX {
                break Err(Reason::FRAME_SIZE_ERROR);
            }
            let Some((payload, behind)) = behind.split_at_checked(head.len) else { break Ok(()) };
            if let Err(reason) = self.frame(head, payload) {
                break Err(reason);
            }
            rest = behind;
        };
        self.wake_touched();
        taken.map(|()| input.len() - rest.len())
    }

    #[inline]
    fn frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.kind == frame::DATA && self.has_settings && self.block.is_none() {
            return self.data(head, payload);
        }
        // Nothing may come between the frames of a block (§4.3), and settings are first (§3.4).
        if self.block.is_some() && head.kind != frame::CONTINUATION || !self.has_settings && head.kind != frame::SETTINGS {
            return Err(Reason::PROTOCOL_ERROR);
        }
        match head.kind {
            frame::HEADERS => self.headers(head, payload),
            frame::CONTINUATION => self.continuation(head, payload),
            frame::RST_STREAM => self.reset_by_peer(head, payload),
            frame::SETTINGS => self.settings(head, payload),
            frame::PING => self.ping(head, payload),
            frame::GOAWAY => self.goaway(head, payload),
            frame::WINDOW_UPDATE => self.window_update(head, payload),
            frame::PRIORITY => match (head.stream, head.len) {
                (0, _) => Err(Reason::PROTOCOL_ERROR),
                (_, 5) => self.spend(COST),
                _ => Err(Reason::FRAME_SIZE_ERROR),
            },
            frame::PUSH_PROMISE => Err(Reason::PROTOCOL_ERROR),
            // What is not known is ignored (§5.5).
            _ => self.spend(COST),
        }
    }

    fn spend(&mut self, tokens: u32) -> Result<(), Reason> {
        if self.budget.spend(tokens) { Ok(()) } else { Err(Reason::ENHANCE_YOUR_CALM) }
    }

    /// Whether a stream was never opened. Servers open none, so none has an even number, and 0 is the connection's.
    fn is_idle(&self, id: u32) -> bool {
        let opened = match self.role {
            Role::Client => id < self.next_ours,
            Role::Server => id <= self.last_theirs,
        };
        !opened || id.is_multiple_of(2)
    }

    fn touch(&mut self, place: Place) {
        if let Some(stream) = self.streams.get(place)
            && !std::mem::replace(&mut stream.touched, true)
        {
            self.touched.push(place);
        }
    }

    #[inline]
    fn data(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        self.recv_window -= head.len as i64;
        if self.recv_window < 0 {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let body = head.unpadded(payload)?;
        let ends = head.has(frame::END_STREAM);
        if body.is_empty() && !ends {
            self.spend(COST)?;
        }
        let Some(place) = self.streams.find(head.stream) else {
            if self.is_idle(head.stream) {
                return Err(Reason::PROTOCOL_ERROR);
            }
            // On its way when the stream ended.
            self.grant();
            return Ok(());
        };
        let Some(stream) = self.streams.get(place) else { return Ok(()) };
        stream.recv_window -= head.len as i64;
        // An answer begins with its head (§8.1).
        let early = self.role == Role::Client && !stream.headed;
        if stream.recv_window < 0 || !stream.remote_open || early {
            let reason = match () {
                () if !stream.remote_open => Reason::STREAM_CLOSED,
                () if early => Reason::PROTOCOL_ERROR,
                () => Reason::FLOW_CONTROL_ERROR,
            };
            self.grant();
            return self.refuse(head.stream, place, reason);
        }
        if stream.has_reader {
            stream.append(body);
            self.held += body.len();
        }
        if ends {
            stream.remote_open = false;
            stream.complete = true;
        }
        if !std::mem::replace(&mut stream.touched, true) {
            self.touched.push(place);
        }
        if ends {
            self.tidy(place);
        } else if body.len() < head.len {
            // Nobody reads padding, so nobody else gives it back.
            self.allow(place, (head.len - body.len()) as u32);
        }
        self.grant();
        Ok(())
    }

    /// A frame that a stream can't take ends it, also one that has ended on our side. One that was reset stays so: what comes on it was
    /// on its way (§5.1). A peer that makes us reset streams pays as one that resets them.
    fn refuse(&mut self, id: u32, place: Place, reason: Reason) -> Result<(), Reason> {
        let Some(stream) = self.streams.get(place) else { return Ok(()) };
        let pays = stream.broken.is_none() && self.role == Role::Server;
        if stream.remote_open || stream.local_open {
            self.reset(place, reason);
        } else if stream.broken.is_none() {
            frame::push_reset(&mut self.out, id, reason);
        }
        self.leave(place);
        if pays { self.spend(RESET_COST) } else { Ok(()) }
    }

    /// Lets go of a stream that broke off: of its request, too, where nobody has begun with it.
    fn leave(&mut self, place: Place) {
        if let Some(at) = self.arrived.iter().position(|arrived| arrived.place == place) {
            self.arrived.remove(at);
            self.leave_reader(place);
            self.leave_writer(place);
        } else {
            self.tidy(place);
        }
    }

    fn headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream == 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let mut block = head.unpadded(payload)?;
        if head.has(frame::PRIORITISED) {
            block = block.get(5..).ok_or(Reason::FRAME_SIZE_ERROR)?;
        }
        let ends = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.whole_block(head.stream, ends, block);
        }
        self.block = Some(Block { stream: head.stream, ends, bytes: block.to_vec(), frames: 1 });
        Ok(())
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        let block = self.block.as_mut().filter(|block| block.stream == head.stream).ok_or(Reason::PROTOCOL_ERROR)?;
        block.frames += 1;
        if block.frames > BLOCK_FRAMES_MAX || block.bytes.len() + payload.len() > self.settings.header_bytes_max as usize {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        block.bytes.extend_from_slice(payload);
        match head.has(frame::END_HEADERS) {
            true => match self.block.take() {
                Some(Block { stream, ends, bytes, .. }) => self.whole_block(stream, ends, &bytes),
                None => Ok(()),
            },
            false => Ok(()),
        }
    }

    fn whole_block(&mut self, id: u32, ends: bool, block: &[u8]) -> Result<(), Reason> {
        let mut fields = Fields::default();
        // Read in any case: the tables of both sides have to agree.
        let fits = self.decoder.read(block, |field| fields.push(field)).map_err(|_| Reason::COMPRESSION_ERROR)?;
        match (self.streams.find(id), self.role) {
            (Some(place), Role::Server) => self.trailers(id, place, ends, fits, fields),
            (Some(place), Role::Client) => match self.streams.get(place).is_some_and(|stream| stream.headed) {
                true => self.trailers(id, place, ends, fits, fields),
                false => self.answer(id, place, ends, fits, fields),
            },
            (None, Role::Server) if self.is_idle(id) => self.request(id, ends, fits, fields),
            (None, Role::Client) if self.is_idle(id) => Err(Reason::PROTOCOL_ERROR),
            // On its way when the stream ended.
            (None, _) => self.spend(COST),
        }
    }

    fn request(&mut self, id: u32, ends: bool, fits: bool, fields: Fields) -> Result<(), Reason> {
        if id.is_multiple_of(2) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.last_theirs = id;
        if self.last_taken.is_some() {
            // The peer was told that this one is not taken.
            return self.spend(COST);
        }
        let refused = |core: &mut Self, reason| {
            core.spend(COST)?;
            frame::push_reset(&mut core.out, id, reason);
            Ok(())
        };
        if self.streams.len() >= self.settings.streams_max as usize {
            return refused(self, Reason::REFUSED_STREAM);
        }
        if !fits {
            return refused(self, Reason::ENHANCE_YOUR_CALM);
        }
        let Some(request) = fields.request() else { return refused(self, Reason::PROTOCOL_ERROR) };
        let mut stream = Stream::new(id, self.settings.stream_window_bytes, self.their_window);
        stream.headed = true;
        (stream.remote_open, stream.complete) = (!ends, ends);
        let place = self.streams.enter(stream);
        self.arrived.push_back(Arrived { place, request });
        Ok(())
    }

    fn answer(&mut self, id: u32, place: Place, ends: bool, fits: bool, fields: Fields) -> Result<(), Reason> {
        let answer = fields.response().filter(|_| fits);
        let Some(stream) = self.streams.get(place) else { return Ok(()) };
        match answer {
            // More is to come (§8.1).
            Some(answer) if answer.status().is_informational() && !ends => return self.spend(COST),
            Some(answer) if !answer.status().is_informational() && stream.remote_open => {
                stream.answer = Some(answer);
                stream.headed = true;
                (stream.remote_open, stream.complete) = (!ends, ends);
                self.touch(place);
                self.tidy(place);
            }
            _ => return self.refuse(id, place, Reason::PROTOCOL_ERROR),
        }
        Ok(())
    }

    fn trailers(&mut self, id: u32, place: Place, ends: bool, fits: bool, fields: Fields) -> Result<(), Reason> {
        let trailers = fields.trailers().filter(|_| ends && fits);
        let Some(stream) = self.streams.get(place) else { return Ok(()) };
        if !stream.remote_open {
            self.spend(COST)?;
            return self.refuse(id, place, Reason::STREAM_CLOSED);
        }
        match trailers {
            Some(trailers) => {
                stream.trailers = Some(trailers);
                (stream.remote_open, stream.complete) = (false, true);
                self.touch(place);
                self.tidy(place);
            }
            None => return self.refuse(id, place, Reason::PROTOCOL_ERROR),
        }
        Ok(())
    }

    fn reset_by_peer(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        let reason = payload.try_into().map(|code| Reason(u32::from_be_bytes(code))).map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.spend(if self.role == Role::Server { RESET_COST } else { COST })?;
        let Some(place) = self.streams.find(head.stream) else { return Ok(()) };
        if let Some(stream) = self.streams.get(place) {
            stream.break_off(Broken { reason, unprocessed: reason == Reason::REFUSED_STREAM });
        }
        self.leave(place);
        Ok(())
    }

    fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if head.has(frame::ACK) {
            return match (head.len, self.has_settings) {
                (0, true) => self.spend(COST),
                (0, false) => Err(Reason::PROTOCOL_ERROR),
                _ => Err(Reason::FRAME_SIZE_ERROR),
            };
        }
        let (pairs, odd) = payload.as_chunks::<6>();
        if !odd.is_empty() {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        self.spend(COST + pairs.len() as u32)?;
        self.has_settings = true;
        for [a, b, c, d, e, f] in pairs {
            let value = u32::from_be_bytes([*c, *d, *e, *f]);
            match u16::from_be_bytes([*a, *b]) {
                SETTINGS_HEADER_TABLE_SIZE => self.encoder.allow(value as usize),
                SETTINGS_ENABLE_PUSH if value > 1 => return Err(Reason::PROTOCOL_ERROR),
                SETTINGS_MAX_CONCURRENT_STREAMS => {
                    self.their_streams_max = value;
                    self.openers.drain(..).for_each(std::task::Waker::wake);
                }
                SETTINGS_INITIAL_WINDOW_SIZE => self.resize_windows(i64::from(value))?,
                SETTINGS_MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => return Err(Reason::PROTOCOL_ERROR),
                _ => {}
            }
        }
        frame::push_head(&mut self.out, 0, frame::SETTINGS, frame::ACK, 0);
        Ok(())
    }

    /// Windows of open streams follow, below zero if need be (§6.9.2).
    fn resize_windows(&mut self, window: i64) -> Result<(), Reason> {
        if window > WINDOW_MAX {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let more = window - self.their_window;
        self.their_window = window;
        for (_, stream) in self.streams.each() {
            stream.send_window += more;
            if stream.send_window > WINDOW_MAX {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
            stream.wake_writer();
        }
        Ok(())
    }

    fn ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let opaque: [u8; 8] = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        self.spend(COST)?;
        if !head.has(frame::ACK) {
            frame::push_ping(&mut self.out, frame::ACK, opaque);
        } else if self.winding_up && opaque == *b"last one" {
            self.take_no_more();
        } else {
            self.pinged = false;
        }
        Ok(())
    }

    fn goaway(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let last = payload.first_chunk::<8>().map(|[a, b, c, d, ..]| u31([*a, *b, *c, *d])).ok_or(Reason::FRAME_SIZE_ERROR)?;
        self.spend(COST)?;
        if self.role == Role::Client {
            self.refuses = true;
            self.openers.drain(..).for_each(std::task::Waker::wake);
            for (_, stream) in self.streams.each() {
                if stream.id > last {
                    // Never looked at (§6.8).
                    stream.break_off(Broken { reason: Reason::REFUSED_STREAM, unprocessed: true });
                }
            }
        }
        Ok(())
    }

    fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        let more = payload.try_into().map(|bytes| i64::from(u31(bytes))).map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        self.spend(COST)?;
        if head.stream == 0 {
            if more == 0 {
                return Err(Reason::PROTOCOL_ERROR);
            }
            self.send_window += more;
            if self.send_window > WINDOW_MAX {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
            self.wake_waiting();
            return Ok(());
        }
        let Some(place) = self.streams.find(head.stream) else {
            return if self.is_idle(head.stream) { Err(Reason::PROTOCOL_ERROR) } else { Ok(()) };
        };
        let Some(stream) = self.streams.get(place) else { return Ok(()) };
        stream.send_window += more;
        let broken = match () {
            () if more == 0 => Some(Reason::PROTOCOL_ERROR),
            () if stream.send_window > WINDOW_MAX => Some(Reason::FLOW_CONTROL_ERROR),
            () => None,
        };
        match broken {
            Some(reason) => return self.refuse(head.stream, place, reason),
            None => stream.wake_writer(),
        }
        Ok(())
    }
}
