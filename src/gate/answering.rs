//! Answers one request of a connection: what the router says is handed to the stream piece by piece, when it has room and not before.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::inbound::Wire;
use super::proxy::Caller;
use super::route::{AnswerBody, Router};
use crate::http2::{Broken, Reading, Reason, Writing};

/// Answers; ends when everything was handed over, or the caller is gone.
pub(super) async fn answer(router: Router, caller: Option<Arc<Caller>>, request: Request<Reading>, mut writing: Writing) {
    let request = request.map(Wire::Stream);
    // In a box: it is large, and a task is moved before it runs.
    let mut answered = Box::pin(async {
        match caller {
            Some(caller) => router.answer(caller, request).await,
            None => router.answer_stranger(request).await,
        }
    });
    // Whoever has gone away need not be answered.
    let response = poll_fn(|cx| match answered.as_mut().poll(cx) {
        Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
        Poll::Pending => writing.poll_broken(cx).map(|_| None),
    });
    let Some(response) = response.await else { return };
    drop(answered);
    let (head, body) = response.into_parts();
    let ends = body.is_end_stream();
    writing.head(&Response::from_parts(head, ()), ends);
    let mut handing = Handing { body, ended: ends };
    // A stream that broke off has no more to be told.
    let _told = poll_fn(|cx| handing.poll(&mut writing, cx)).await;
}

/// A body on its way to a stream.
struct Handing {
    body: AnswerBody,
    ended: bool,
}

impl Handing {
    fn poll(&mut self, writing: &mut Writing, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.ended {
            let Poll::Ready(room) = writing.poll_room(cx) else {
                // What the caller still sends goes on, whether or not they take what they are answered.
                self.body.drive(cx);
                ready!(self.body.poll_over(cx));
                // What waits would come too late, and nothing can be told behind it.
                self.ended = true;
                writing.reset(Reason::CANCEL);
                break;
            };
            room?;
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.ended = self.body.is_end_stream();
                        writing.data(data, self.ended);
                    }
                    Err(frame) => {
                        self.ended = true;
                        writing.trailers(&frame.into_trailers().unwrap_or_default());
                    }
                },
                Some(Err(_)) => {
                    // A message is half-way out: only a reset takes it back.
                    self.ended = true;
                    writing.reset(Reason::INTERNAL_ERROR);
                }
                None => {
                    self.ended = true;
                    writing.data(Bytes::new(), true);
                }
            }
        }
        writing.poll_sent(cx)
    }
}
