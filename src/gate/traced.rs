//! An answer whose end is told to whoever collects traces.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};

use super::route::AnswerBody;
use crate::traces::Call;

/// The body of an answer, and the call that ends with it.
#[derive(Debug)]
pub struct TracedBody {
    body: AnswerBody,
    call: Call,
}

/// Tells how the call ends: by the status in the headers, in the trailers, or not at all.
pub(super) fn traced(mut call: Call, response: Response<AnswerBody>) -> Response<AnswerBody> {
    if let Some(code) = status(response.headers()) {
        call.note(code);
        return response;
    }
    response.map(|body| AnswerBody::Traced(Box::new(TracedBody { body, call })))
}

fn status(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

impl TracedBody {
    pub(super) fn body(&mut self) -> &mut AnswerBody {
        &mut self.body
    }
}

impl Body for TracedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(status) {
                    this.call.note(code);
                }
            }
            Some(Err(_)) => this.call.note(tonic::Code::Aborted as i32),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
