//! Stands between a socket and HTTP/2, and ends connections that cost work or memory and carry nothing: floods of frames that are no
//! messages (PING, SETTINGS, RST_STREAM, PRIORITY, empty DATA, windows opened for nothing), whoever never says who they are, and whoever
//! does not take what was written for them.
//!
//! HTTP/2's own limits stay where they are: CONTINUATION frames, lists of headers, streams reset before anybody saw them, small DATA frames.

mod walk;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use self::walk::{CONTROL_COST, Found, Walk};

/// For how long a connection that is ended is listened to, so that the other end finds the reason and not a reset.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it is read at a time, in bytes.
const LINGER_BYTES: usize = 4 * 1024;

/// What a guard lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Control frames in a second, and at once.
    control_frames: u64,
    /// The other end takes what was written within this time.
    stall: Duration,
}

impl Bounds {
    pub(super) fn new(control_frames_per_second: u32, stall: Duration) -> Self {
        Self { control_frames: u64::from(control_frames_per_second), stall }
    }
}

/// Why a guard ended its connection, if it did.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict(Arc<OnceLock<&'static str>>);

impl Verdict {
    pub(super) fn get(&self) -> Option<&'static str> {
        self.0.get().copied()
    }

    fn end<T>(&self, why: &'static str) -> Poll<io::Result<T>> {
        self.0.get_or_init(|| why);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A guarded connection.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    io: S,
    bounds: Bounds,
    verdict: Verdict,
    /// None: not HTTP/2.
    walk: Option<Walk>,
    allowance: Allowance,
    /// Until the first frame begins.
    opening: Option<Pin<Box<Sleep>>>,
    /// Since the socket took less than it was given.
    waiting: Option<Pin<Box<Sleep>>>,
    /// What is read instead, once it is over; how much of it was read.
    farewell: Option<(Vec<u8>, usize)>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// A connection of a client that begins to speak HTTP/2 within this time.
    pub(super) fn of_client(io: S, bounds: Bounds, opening: Duration) -> Self {
        Self { opening: Some(Box::pin(tokio::time::sleep(opening))), ..Self::new(io, bounds, Some(Walk::of_client())) }
    }

    /// A connection to a server of HTTP/2.
    pub(super) fn of_server(io: S, bounds: Bounds) -> Self {
        Self::new(io, bounds, Some(Walk::of_server()))
    }

    /// A connection of which only what is written is looked at.
    pub(super) fn of_writer(io: S, bounds: Bounds) -> Self {
        Self::new(io, bounds, None)
    }

    fn new(io: S, bounds: Bounds, walk: Option<Walk>) -> Self {
        let (verdict, allowance) = (Verdict::default(), Allowance::new(bounds.control_frames));
        Self { io, bounds, verdict, walk, allowance, opening: None, waiting: None, farewell: None, linger: None }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// What a write came to: the time runs while anything is left, however little of it leaves at a time.
    fn written<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>, all: impl Fn(&T) -> bool) -> Poll<io::Result<T>> {
        match &done {
            Poll::Ready(Ok(count)) if all(count) => self.waiting = None,
            Poll::Ready(Err(_)) => {}
            Poll::Ready(Ok(_)) | Poll::Pending => {
                let stall = self.bounds.stall;
                let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
                if waiting.as_mut().poll(cx).is_ready() {
                    return self.verdict.end("it did not take what was sent");
                }
            }
        }
        done
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some((frames, read)) = &mut this.farewell {
            let rest = frames.get(*read..).unwrap_or_default();
            let count = rest.len().min(to.remaining());
            to.put_slice(rest.get(..count).unwrap_or_default());
            *read += count;
            // Behind it is the end.
            return Poll::Ready(Ok(()));
        }
        let before = to.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, to)?;
        if let (Some(opening), true) = (&mut this.opening, read.is_pending())
            && opening.as_mut().poll(cx).is_ready()
        {
            return this.verdict.end("it said nothing");
        }
        let (Poll::Ready(()), Some(walk)) = (read, &mut this.walk) else { return read.map(Ok) };
        let allowance = &mut this.allowance;
        let found = walk.go(to.filled().get(before..).unwrap_or_default(), |cost| allowance.spend(cost, Instant::now));
        if walk.has_begun() {
            this.opening = None;
        }
        if let Found::Until(count) = found {
            to.set_filled(before + count);
            this.verdict.0.get_or_init(|| "it sent too many control frames");
            this.farewell = Some((walk.farewell(), 0));
            if count == 0 {
                // Nothing read would be the end.
                return Pin::new(this).poll_read(cx, to);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &done {
            this.allowance.earn(*count);
        }
        this.written(cx, done, |count| *count == bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_flush(cx);
        this.written(cx, done, |()| true)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_shutdown(cx);
        std::task::ready!(this.written(cx, done, |()| true))?;
        if this.farewell.is_none() {
            return Poll::Ready(Ok(()));
        }
        // What is unread when a socket is closed turns the end into a reset, and the reason is lost with it.
        let linger = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut room = [0; LINGER_BYTES];
        loop {
            if linger.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut room = ReadBuf::new(&mut room);
            match std::task::ready!(Pin::new(&mut this.io).poll_read(cx, &mut room)) {
                Ok(()) if !room.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// What control frames may cost: so much in a second, and what is sent to the other end on top, as answers to it may be due.
#[derive(Debug)]
struct Allowance {
    left: u64,
    most: u64,
    at: Option<Instant>,
}

impl Allowance {
    fn new(frames: u64) -> Self {
        let most = frames * CONTROL_COST;
        Self { left: most, most, at: None }
    }

    fn earn(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes as u64).min(self.most);
    }

    /// Asks for the time only when what is left may not do.
    fn spend(&mut self, cost: u64, now: impl FnOnce() -> Instant) -> bool {
        if self.left < self.most / 2 || self.at.is_none() {
            let now = now();
            let since = self.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            let more = (since.as_secs_f64().min(1.0) * self.most as f64) as u64;
            self.left = self.left.saturating_add(more).min(self.most);
        }
        match self.left.checked_sub(cost) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests;
