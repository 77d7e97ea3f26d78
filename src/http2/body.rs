//! What streams look like from outside: what comes can be read, what goes can be written, each until it is dropped.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Response};
use http_body::{Body, Frame};

use super::link::Shared;
use super::stream::Place;
use super::{Broken, Reason};

/// What comes on a stream: all that has come is one piece. Whoever asks for the next piece has dealt with the one before: until then
/// the peer is allowed nothing in its place.
pub struct Reading {
    shared: Arc<Shared>,
    place: Place,
}

impl Reading {
    pub(super) fn new(shared: Arc<Shared>, place: Place) -> Self {
        Self { shared, place }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut core = self.shared.lock();
        core.release(self.place);
        let Some(stream) = core.streams.get(self.place) else { return Poll::Ready(None) };
        if !stream.inbox.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(stream.take_inbox()))));
        }
        if let Some(trailers) = stream.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if stream.complete {
            return Poll::Ready(None);
        }
        if let Some(broken) = stream.broken {
            return Poll::Ready(Some(Err(broken)));
        }
        stream.read_by(cx);
        Poll::Pending
    }
}

impl Body for Reading {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        let mut core = self.shared.lock();
        core.streams.get(self.place).is_none_or(|stream| stream.complete && stream.inbox.is_empty() && stream.trailers.is_none())
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.shared.lock().leave_reader(self.place);
    }
}

/// The answer to a request of ours; then what comes behind its head.
pub struct Answer(Option<Reading>);

impl Answer {
    pub(super) fn new(reading: Reading) -> Self {
        Self(Some(reading))
    }
}

impl Future for Answer {
    type Output = Result<Response<Reading>, Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(reading) = &self.0 else { return Poll::Pending };
        let mut core = reading.shared.lock();
        let Some(stream) = core.streams.get(reading.place) else { return Poll::Pending };
        let answer = match (stream.answer.take(), stream.broken) {
            (Some(answer), _) => answer,
            (None, Some(broken)) => return Poll::Ready(Err(broken)),
            (None, None) => {
                stream.read_by(cx);
                return Poll::Pending;
            }
        };
        drop(core);
        match self.0.take() {
            Some(reading) => Poll::Ready(Ok(answer.map(|()| reading))),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// What goes on a stream, one piece at a time.
pub struct Writing {
    shared: Arc<Shared>,
    place: Place,
    /// What of the last piece waits for room.
    rest: Bytes,
    /// Nothing comes behind it.
    ends: bool,
}

impl Writing {
    pub(super) fn new(shared: Arc<Shared>, place: Place, ends: bool) -> Self {
        Self { shared, place, rest: Bytes::new(), ends }
    }

    /// Sends the head of the answer.
    pub fn head(&mut self, response: &Response<()>, ends: bool) {
        self.ends |= ends;
        self.shared.lock().send_response(self.place, response, ends);
    }

    /// Whether a piece may be handed over now: the socket took the turn before, the windows are open, and nothing waits.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut core = self.shared.lock();
        let Some(stream) = core.streams.get(self.place) else { return Poll::Pending };
        if let Some(broken) = stream.broken {
            return Poll::Ready(Err(broken));
        }
        stream.written_by(cx);
        loop {
            // Behind the end nothing comes: nobody has to open a window for it.
            if self.rest.is_empty() && self.ends {
                return Poll::Ready(Ok(()));
            }
            let room = core.room(self.place);
            if room == 0 {
                return Poll::Pending;
            }
            if self.rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let now = room.min(self.rest.len());
            core.send_data(self.place, self.rest.get(..now).unwrap_or_default(), self.ends && now == self.rest.len());
            // An empty rest would keep the memory of the piece, and all that lies beside it.
            self.rest = if now < self.rest.len() { self.rest.split_off(now) } else { Bytes::new() };
        }
    }

    /// Whether everything has left, the end included.
    pub fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.rest.is_empty() {
            std::task::ready!(self.poll_room(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Resolves when the stream breaks off, and not before.
    pub fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        let mut core = self.shared.lock();
        let Some(stream) = core.streams.get(self.place) else { return Poll::Pending };
        match stream.broken {
            Some(broken) => Poll::Ready(broken),
            None => {
                stream.written_by(cx);
                Poll::Pending
            }
        }
    }

    /// Hands a piece over. To be called when there is room.
    pub fn data(&mut self, bytes: Bytes, ends: bool) {
        self.ends |= ends;
        let mut core = self.shared.lock();
        let now = if bytes.is_empty() { 0 } else { core.room(self.place).min(bytes.len()) };
        if now > 0 || (bytes.is_empty() && ends) {
            core.send_data(self.place, bytes.get(..now).unwrap_or_default(), ends && now == bytes.len());
        }
        drop(core);
        if now < bytes.len() {
            self.rest = bytes;
            self.rest.advance(now);
        }
    }

    /// Sends trailers, the end. To be called when there is room, or nothing was sent.
    pub fn trailers(&mut self, trailers: &HeaderMap) {
        self.ends = true;
        self.shared.lock().send_trailers(self.place, trailers);
    }

    /// Breaks it off.
    pub fn reset(&mut self, reason: Reason) {
        self.rest = Bytes::new();
        self.shared.lock().reset(self.place, reason);
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writing")
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.shared.lock().leave_writer(self.place);
    }
}
