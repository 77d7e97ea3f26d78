//! Writes of one turn go out together: HTTP/2 flushes after every frame of data, which here only asks for another turn. When that
//! comes, calls that were ready have said their pieces, too, and all of it is one write. What is read is read in large pieces. A
//! system call costs as much as hundreds of small messages.
//!
//! Nothing is gathered while the socket does not take what was gathered before: a call's part of it is at most the one piece
//! that it had handed over.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};

/// How much is read, and gathered, at a time, in bytes.
const BYTES: usize = 64 * 1024;

/// A connection whose writes are gathered.
#[derive(Debug)]
pub(super) struct Gathered<S> {
    io: BufReader<S>,
    held: Vec<u8>,
    written: usize,
    /// The socket did not take all of it.
    full: bool,
    /// Another turn was asked for.
    asked: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gathered<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io: BufReader::with_capacity(BYTES, io), held: Vec::new(), written: 0, full: false, asked: false }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.io).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.full = true;
                    return Poll::Pending;
                }
            }
        }
        // TLS has a buffer of its own.
        if Pin::new(&mut self.io).poll_flush(cx)?.is_pending() {
            self.full = true;
            return Poll::Pending;
        }
        self.held.clear();
        (self.written, self.full, self.asked) = (0, false, false);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<S> {
    /// A turn of HTTP/2 begins with reading.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_drain(cx)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.io).poll_read(cx, to)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.full || self.held.len() >= BYTES {
            ready!(self.poll_drain(cx))?;
        }
        let mut count = 0;
        for piece in pieces {
            let room = BYTES - self.held.len();
            let part = piece.get(..room.min(piece.len())).unwrap_or_default();
            self.held.extend_from_slice(part);
            count += part.len();
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.full {
            ready!(self.poll_drain(cx))?;
        } else if !self.held.is_empty() && !self.asked {
            self.asked = true;
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_was_written_arrives_in_order_however_small_the_pipe_is() {
        let (near, mut far) = tokio::io::duplex(1_000);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.map(|_| all)
        });
        let mut near = Gathered::new(near);
        let mut expected = Vec::new();
        for turn in 0..200u32 {
            let message = vec![turn as u8; (turn * 37 % 2_000) as usize];
            near.write_all(&message).await.expect("room");
            expected.extend_from_slice(&message);
            if turn % 7 == 0 {
                near.flush().await.expect("flushed");
                // The turn that a flush asks for: nothing comes, and what was gathered goes.
                let mut nothing = [0];
                let reading = near.read(&mut nothing);
                assert!(tokio::time::timeout(std::time::Duration::from_millis(1), reading).await.is_err());
            }
        }
        near.shutdown().await.expect("the end");
        drop(near);
        assert_eq!(reading.await.expect("no panic").expect("read"), expected);
    }

    #[tokio::test]
    async fn what_was_flushed_leaves_with_the_next_turn_and_nothing_is_gathered_while_the_socket_is_full() {
        let (near, mut far) = tokio::io::duplex(100);
        let mut near = Gathered::new(near);
        near.write_all(&[1; 60]).await.expect("gathered");
        near.flush().await.expect("asked for a turn");
        near.write_all(&[2; 60]).await.expect("gathered");
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut room = [0; 10];
        assert!(Pin::new(&mut far).poll_read(&mut cx, &mut ReadBuf::new(&mut room)).is_pending());
        assert!(Pin::new(&mut near).poll_read(&mut cx, &mut ReadBuf::new(&mut room)).is_pending(), "the turn: 20 bytes too many");
        assert!(Pin::new(&mut near).poll_write(&mut cx, &[3]).is_pending());
        assert!(Pin::new(&mut near).poll_flush(&mut cx).is_pending());
        far.read_exact(&mut [0; 100]).await.expect("what was written");
        assert!(Pin::new(&mut near).poll_write(&mut cx, &[3]).is_ready());
    }

    /// Takes so many bytes, then this.
    struct Breaks(usize, fn() -> Poll<io::Result<usize>>, bool);

    impl AsyncRead for Breaks {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Breaks {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.0 == 0 {
                return (self.1)();
            }
            let count = bytes.len().min(self.0);
            self.0 -= count;
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.2 { Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_socket_that_breaks_is_told_by_whichever_call_comes_next() {
        let gone = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let filled = |io| {
            let mut near = Gathered::new(io);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(matches!(Pin::new(&mut near).poll_write(&mut cx, &[7; 60]), Poll::Ready(Ok(60))));
            near
        };
        let kind = |done: Poll<io::Result<()>>| match done {
            Poll::Ready(Err(error)) => Some(error.kind()),
            _ => None,
        };
        // A turn, a shutdown, and a write that finds the room full.
        let mut room = [0; 4];
        assert_eq!(
            kind(Pin::new(&mut filled(Breaks(9, gone, false))).poll_read(&mut cx, &mut ReadBuf::new(&mut room))),
            Some(io::ErrorKind::ConnectionReset)
        );
        assert_eq!(kind(Pin::new(&mut filled(Breaks(9, gone, false))).poll_shutdown(&mut cx)), Some(io::ErrorKind::ConnectionReset));
        assert_eq!(
            kind(Pin::new(&mut filled(Breaks(9, || Poll::Ready(Ok(0)), false))).poll_shutdown(&mut cx)),
            Some(io::ErrorKind::WriteZero)
        );
        assert_eq!(kind(Pin::new(&mut filled(Breaks(99, gone, true))).poll_shutdown(&mut cx)), Some(io::ErrorKind::BrokenPipe));
        let mut near = filled(Breaks(9, gone, false));
        assert!(matches!(Pin::new(&mut near).poll_write(&mut cx, &[7; BYTES]), Poll::Ready(Ok(_))));
        assert_eq!(kind(Pin::new(&mut near).poll_write(&mut cx, &[7]).map_ok(drop)), Some(io::ErrorKind::ConnectionReset));
        // One that waited when it was asked to flush, and broke.
        let mut near = filled(Breaks(9, || Poll::Pending, false));
        assert!(Pin::new(&mut near).poll_read(&mut cx, &mut ReadBuf::new(&mut room)).is_pending() && near.full);
        near.io.get_mut().1 = gone;
        assert_eq!(kind(Pin::new(&mut near).poll_flush(&mut cx)), Some(io::ErrorKind::ConnectionReset));
    }
}
