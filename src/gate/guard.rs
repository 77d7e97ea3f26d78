//! Stands between a socket and HTTP, and ends connections that hold a place and bring nothing: whoever never says who they are, and
//! whoever does not take what was written for them. Floods are counted by HTTP/2 itself.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// For how long a connection that was ended is listened to, so that the other end finds the reason and not a reset.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it is read at a time, in bytes.
const LINGER_BYTES: usize = 4 * 1024;
/// The preface of a client and the head of a frame (RFC 9113 §3.4, §4.1).
const OPENING_BYTES: usize = 24 + 9;

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
    verdict: Verdict,
    /// Until it has begun, and how much of that has come.
    opening: Option<Pin<Box<Sleep>>>,
    said: usize,
    /// The other end takes what was written within this time.
    stall: Duration,
    /// Since the socket took less than it was given.
    waiting: Option<Pin<Box<Sleep>>>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// A connection that begins to speak HTTP/2 within `opening`, where that is asked, and takes what is written within `stall`.
    pub(super) fn new(io: S, opening: Option<Duration>, stall: Duration) -> Self {
        let opening = opening.map(|opening| Box::pin(tokio::time::sleep(opening)));
        Self { io, verdict: Verdict::default(), opening, said: 0, stall, waiting: None, linger: None }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// What a write came to: the time runs while anything is left, however little of it leaves at a time.
    #[inline]
    fn written<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>, all: impl Fn(&T) -> bool) -> Poll<io::Result<T>> {
        match &done {
            Poll::Ready(Ok(count)) if all(count) => self.waiting = None,
            Poll::Ready(Err(_)) => {}
            Poll::Ready(Ok(_)) | Poll::Pending => {
                let stall = self.stall;
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
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(opening) = &mut this.opening else { return Pin::new(&mut this.io).poll_read(cx, to) };
        let before = to.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, to)?;
        if read.is_pending() && opening.as_mut().poll(cx).is_ready() {
            return this.verdict.end("it said nothing");
        }
        this.said += to.filled().len() - before;
        if this.said >= OPENING_BYTES {
            this.opening = None;
        }
        read.map(Ok)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.written(cx, done, |count| *count == bytes.len())
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_flush(cx);
        this.written(cx, done, |()| true)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            let done = Pin::new(&mut this.io).poll_shutdown(cx);
            std::task::ready!(this.written(cx, done, |()| true))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const SOON: Duration = Duration::from_millis(400);
    const LATE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn whoever_does_not_begin_is_not_waited_for() {
        for said in [&b""[..], b"PRI *", &[b'P'; OPENING_BYTES - 1]] {
            let (near, mut far) = tokio::io::duplex(1_000);
            let mut near = Guarded::new(near, Some(SOON), LATE);
            far.write_all(said).await.expect("room");
            let mut all = Vec::new();
            let ended = near.read_to_end(&mut all).await.map_err(|error| error.kind());
            assert_eq!((ended, near.verdict().get()), (Err(io::ErrorKind::TimedOut), Some("it said nothing")));
            assert_eq!(all, said);
        }
        let (near, mut far) = tokio::io::duplex(1_000);
        let mut near = Guarded::new(near, Some(SOON), LATE);
        far.write_all(&[b'P'; OPENING_BYTES]).await.expect("room");
        let mut room = [0; 1_000];
        near.read_exact(&mut room[..OPENING_BYTES]).await.expect("it begins");
        let more = tokio::time::timeout(2 * SOON, near.read(&mut room)).await;
        assert!(more.is_err(), "from here on HTTP asks whether it lives");
    }

    #[tokio::test]
    async fn whoever_takes_nothing_or_next_to_nothing_is_let_go_and_whoever_is_slow_is_not() {
        // Nothing.
        let (near, _far) = tokio::io::duplex(1_000);
        let mut near = Guarded::new(near, None, SOON);
        let ended = near.write_all(&[0; 2_000]).await.expect_err("it is given up");
        assert_eq!((ended.kind(), near.verdict().get()), (io::ErrorKind::TimedOut, Some("it did not take what was sent")));
        // A byte now and then: it moves, and holds all that waits.
        let (near, mut far) = tokio::io::duplex(1_000);
        let mut near = Guarded::new(near, None, SOON);
        let drip = tokio::spawn(async move {
            while far.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert_eq!(near.write_all(&[0; 2_000]).await.expect_err("it is given up").kind(), io::ErrorKind::TimedOut);
        drop(near);
        drip.await.expect("no panic");
        // All of it each time, for longer than one may take.
        let (near, mut far) = tokio::io::duplex(1_000);
        let mut near = Guarded::new(near, None, 5 * SOON);
        let slow = tokio::spawn(async move {
            let mut room = [0; 1_000];
            while far.read_exact(&mut room).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        });
        for _ in 0..40 {
            near.write_all(&[0; 1_000]).await.expect("in time");
            near.flush().await.expect("in time");
        }
        assert_eq!(near.verdict().get(), None);
        drop(near);
        slow.await.expect("no panic");
    }

    #[tokio::test]
    async fn an_end_is_said_before_the_rest_is_thrown_away_and_not_for_ever() {
        let (near, mut far) = tokio::io::duplex(1_000);
        let mut near = Guarded::new(near, None, LATE);
        let flood = tokio::spawn(async move {
            while far.write_all(&[7; 100]).await.is_ok() {
                tokio::task::yield_now().await;
            }
            far
        });
        near.write_all(b"goodbye").await.expect("room");
        let ended = tokio::time::timeout(10 * LINGER, near.shutdown()).await;
        ended.expect("the flood goes on, and is not listened to").expect("an end");
        drop(near);
        let mut told = Vec::new();
        flood.await.expect("no panic").read_to_end(&mut told).await.expect("no reset");
        assert_eq!(told, b"goodbye");
    }

    /// A socket that is gone.
    struct Gone;

    impl AsyncRead for Gone {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }

    impl AsyncWrite for Gone {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }
    }

    #[tokio::test]
    async fn a_socket_that_is_gone_is_not_waited_for_and_nobody_is_blamed() {
        let mut near = Guarded::new(Gone, Some(LATE), LATE);
        assert_eq!(near.read_u8().await.expect_err("gone").kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(near.write_u8(7).await.expect_err("gone").kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(near.shutdown().await.expect_err("gone").kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(near.verdict().get(), None);
    }
}
