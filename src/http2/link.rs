//! Carries a connection: reads, lets streams go on, writes what they and the connection have to say, all in one.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::body::{Answer, Reading, Writing};
use super::core::{Arrived, Core, OUT_BYTES_MAX, Role};
use super::{Broken, Reason, Settings, frame};

/// How much is read in a turn, in bytes.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// What is read lands here first: one for all connections of a thread, as what is left over is at most a frame.
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A connection's state, for all who have to do with it.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Core>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, and where its answer goes.
pub type Asked = (Request<Reading>, Writing);

/// One end of a connection; it goes on while it is polled.
pub struct Connection<S> {
    io: S,
    shared: Arc<Shared>,
    /// The beginning of a frame that has not come whole.
    partial: Vec<u8>,
    /// The socket has been written to and not flushed.
    flushing: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// The turn that the socket had not taken when the timer fired last.
    stuck_in: Option<u64>,
    /// Said that it is over; only what waits to be written is left.
    ending: bool,
    /// Requests were handed out since the last turn.
    handed_out: bool,
}

impl<S> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// The server's end of a connection.
pub fn server<S: AsyncRead + AsyncWrite + Unpin>(io: S, settings: Settings) -> Connection<S> {
    Connection::new(io, Role::Server, settings)
}

/// The client's end of a connection, and how streams on it are opened.
pub fn client<S: AsyncRead + AsyncWrite + Unpin>(io: S, settings: Settings) -> (Opener, Connection<S>) {
    let connection = Connection::new(io, Role::Client, settings);
    connection.shared.lock().opener_count = 1;
    (Opener(Arc::clone(&connection.shared)), connection)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(io: S, role: Role, settings: Settings) -> Self {
        let shared = Arc::new(Shared(Mutex::new(Core::new(role, settings))));
        Self { io, shared, partial: Vec::new(), flushing: false, timer: None, stuck_in: None, ending: false, handed_out: false }
    }

    /// The next request; the connection goes on only while this is polled. `None`: it has ended in good order.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Asked, Broken>>> {
        loop {
            let arrived = self.shared.lock().arrived.pop_front();
            if let Some(Arrived { place, request }) = arrived {
                self.handed_out = true;
                let reading = Reading::new(Arc::clone(&self.shared), place);
                return Poll::Ready(Some(Ok((request.map(|()| reading), Writing::new(Arc::clone(&self.shared), place, false)))));
            }
            if std::mem::take(&mut self.handed_out) {
                // Whoever got a request has the next turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let turned = self.poll_turn(cx);
            if !self.shared.lock().arrived.is_empty() {
                continue;
            }
            return Poll::Ready(match ready!(turned) {
                Reason::NO_ERROR => None,
                reason => Some(Err(Broken { reason, unprocessed: false })),
            });
        }
    }

    /// Takes no new streams; ends when those that are open have ended.
    pub fn wind_up(&mut self) {
        self.shared.lock().wind_up();
    }

    /// Ends it, and tells the peer why.
    fn fail(&mut self, core: &mut Core, reason: Reason) {
        if core.over.is_none() {
            frame::push_goaway(&mut core.out, core.last_theirs, reason);
        }
        core.fail(reason);
        self.ending = true;
    }

    /// Writes, reads, lets streams go on; resolves when it is over.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let shared = Arc::clone(&self.shared);
        let mut core = shared.lock();
        match &mut core.carrier {
            Some(waker) => waker.clone_from(cx.waker()),
            None => core.carrier = Some(cx.waker().clone()),
        }
        core.awake = false;
        if self.poll_write(&mut core, cx).is_err() {
            core.fail(Reason::INTERNAL_ERROR);
            return Poll::Ready(Reason::INTERNAL_ERROR);
        }
        if !self.ending {
            let read = READ.take();
            let (read, gone) = self.read(&mut core, read, cx);
            READ.set(read);
            if gone {
                let open = core.streams.each().any(|(_, stream)| stream.remote_open || stream.local_open);
                let reason = if open { Reason::INTERNAL_ERROR } else { Reason::NO_ERROR };
                core.fail(reason);
                return Poll::Ready(reason);
            }
        }
        if self.is_lost(&mut core, cx) {
            core.fail(Reason::CANCEL);
            return Poll::Ready(core.over.unwrap_or(Reason::CANCEL));
        }
        let done = core.streams.len() == 0 && core.arrived.is_empty();
        let unused = core.role == Role::Client && core.opener_count == 0;
        if !self.ending && done && (unused || core.last_taken.is_some() || core.refuses) {
            if unused {
                frame::push_goaway(&mut core.out, 0, Reason::NO_ERROR);
            }
            core.fail(Reason::NO_ERROR);
            self.ending = true;
        }
        if core.waits() > 0 && !self.flushing {
            // Behind the streams that were woken: what they have to say goes out, too.
            core.awake = true;
            cx.waker().wake_by_ref();
        } else if let (true, Some(reason), false) = (self.ending, core.over, self.flushing) {
            drop(core);
            // What was said has left; the rest is a courtesy.
            let _closed = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
            return Poll::Ready(reason);
        }
        Poll::Pending
    }

    /// Writes what waits, as far as the socket takes it.
    fn poll_write(&mut self, core: &mut Core, cx: &mut Context<'_>) -> io::Result<()> {
        if core.waits() == 0 && !self.flushing {
            return Ok(());
        }
        self.flushing = true;
        while let Some(rest) = core.out.get(core.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.io).poll_write(cx, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => core.written += count,
                Poll::Pending => {
                    core.stuck = true;
                    return Ok(());
                }
            }
        }
        // TLS has a buffer of its own.
        match Pin::new(&mut self.io).poll_flush(cx)? {
            Poll::Ready(()) => {
                self.flushing = false;
                core.turned();
            }
            Poll::Pending => core.stuck = true,
        }
        Ok(())
    }

    /// Reads what is there; whether the peer is gone. Nothing is read while more waits to be written than may.
    fn read(&mut self, core: &mut Core, mut read: Vec<u8>, cx: &mut Context<'_>) -> (Vec<u8>, bool) {
        if read.is_empty() {
            read = vec![0; READ_BYTES + frame::PAYLOAD_BYTES_MAX + frame::HEAD_BYTES];
        }
        let mut all = 0;
        while all < READ_BYTES {
            if core.waits() >= OUT_BYTES_MAX {
                return (read, false);
            }
            let held = self.partial.len();
            let Some((front, room)) = read.split_at_mut_checked(held) else { return (read, true) };
            let Some(room) = room.get_mut(..READ_BYTES) else { return (read, true) };
            let mut buffer = ReadBuf::new(room);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => return (read, false),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return (read, true),
            }
            let count = buffer.filled().len();
            all += count;
            front.copy_from_slice(&self.partial);
            let input = read.get(..held + count).unwrap_or_default();
            match core.receive(input) {
                Ok(taken) => {
                    self.partial.clear();
                    self.partial.extend_from_slice(input.get(taken..).unwrap_or_default());
                    if self.partial.is_empty() {
                        self.partial = Vec::new();
                    }
                }
                Err(reason) => {
                    self.fail(core, reason);
                    return (read, false);
                }
            }
        }
        // There may be more, behind what the streams do with this.
        cx.waker().wake_by_ref();
        (read, false)
    }

    /// Asks a silent peer whether it lives; whether it did not answer, or takes nothing of what it is sent.
    fn is_lost(&mut self, core: &mut Core, cx: &mut Context<'_>) -> bool {
        let settings = core.settings;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(settings.silence)));
        while timer.as_mut().poll(cx).is_ready() {
            let heard = std::mem::take(&mut core.heard);
            let stuck_in = core.stuck.then_some(core.turn);
            let stalled = stuck_in.is_some() && self.stuck_in == stuck_in;
            self.stuck_in = stuck_in;
            if stalled || self.ending || (core.pinged && !heard) {
                return true;
            }
            let after = match heard {
                true => settings.silence,
                false => {
                    core.pinged = true;
                    frame::push_ping(&mut core.out, 0, *b"alive ? ");
                    settings.answer_within
                }
            };
            timer.as_mut().reset(Instant::now() + after);
        }
        false
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = Reason;

    /// For clients: there is nothing to accept.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        self.poll_turn(cx)
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.shared.lock().fail(Reason::CANCEL);
    }
}

/// Opens streams on a client's connection.
pub struct Opener(Arc<Shared>);

/// No stream can be opened on this connection any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unopened;

impl Opener {
    /// Whether no stream will ever be opened on it.
    pub fn is_closed(&self) -> bool {
        self.0.lock().opens_none()
    }

    /// Whether a stream may be opened now.
    pub fn may_open(&self) -> bool {
        let core = self.0.lock();
        !core.opens_none() && core.may_open()
    }

    /// Whether no stream is open.
    pub fn is_idle(&self) -> bool {
        self.0.lock().streams.len() == 0
    }

    /// Waits until a stream may be opened.
    ///
    /// # Errors
    /// None will be.
    pub async fn ready(&self) -> Result<(), Unopened> {
        std::future::poll_fn(|cx| {
            let mut core = self.0.lock();
            if core.opens_none() {
                return Poll::Ready(Err(Unopened));
            }
            if core.may_open() {
                return Poll::Ready(Ok(()));
            }
            core.openers.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Opens a stream with this request; `ends`: nothing comes behind its head.
    ///
    /// # Errors
    /// None can be opened now, or any more.
    pub fn open(&self, request: &Request<()>, ends: bool) -> Result<(Writing, Answer), Unopened> {
        let mut core = self.0.lock();
        if core.opens_none() || !core.may_open() {
            return Err(Unopened);
        }
        let place = core.open(request, ends);
        drop(core);
        let reading = Reading::new(Arc::clone(&self.0), place);
        Ok((Writing::new(Arc::clone(&self.0), place, ends), Answer::new(reading)))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        self.0.lock().opener_count += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        let mut core = self.0.lock();
        core.opener_count -= 1;
        if core.opener_count == 0 {
            core.wake();
        }
    }
}
