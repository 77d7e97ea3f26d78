//! What a client sends, on the way to the upstream: judged when the stream there has room, and not before.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::pipe::{Fate, Piece, Pipe};
use crate::http2::{Reason, Writing};
use crate::status::Refuse;

/// One direction of a call, and the stream that it goes to.
#[derive(Debug)]
pub(super) struct Forward {
    pipe: Pipe,
    fate: Arc<Fate>,
    /// None before a stream is opened, and when all was sent or nothing more is wanted.
    to: Option<Writing>,
    ended: bool,
}

impl Forward {
    pub(super) fn new(pipe: Pipe, fate: Arc<Fate>) -> Self {
        Self { pipe, fate, to: None, ended: false }
    }

    /// Sends to this stream from here on.
    pub(super) fn send_to(&mut self, writing: Writing) {
        self.to = Some(writing);
        self.ended = false;
    }

    /// Whether nothing was judged yet, so that all of it can go elsewhere.
    pub(super) fn is_untouched(&self) -> bool {
        !self.pipe.has_begun()
    }

    /// Goes on as far as it can.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(to) = &mut self.to else { return };
        while !self.ended {
            match to.poll_room(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return,
                // The upstream wants no more of it; what it has to say, its answer says.
                Poll::Ready(Err(_)) => break,
            }
            let end = match self.pipe.poll(cx) {
                Poll::Pending => return,
                Poll::Ready(Piece::Data(bytes)) => {
                    self.ended = self.pipe.is_done();
                    to.data(bytes, self.ended);
                    continue;
                }
                // Trailers of requests have no meaning in gRPC.
                Poll::Ready(Piece::End(_)) => None,
                Poll::Ready(Piece::Broke) => Some(Refuse::Malformed),
                Poll::Ready(Piece::Refused(refuse)) => Some(refuse),
            };
            self.ended = true;
            match end {
                None => to.data(Bytes::new(), true),
                Some(refuse) => {
                    self.fate.end(refuse);
                    to.reset(Reason::CANCEL);
                }
            }
        }
        if to.poll_sent(cx).is_ready() {
            self.to = None;
        }
    }
}
