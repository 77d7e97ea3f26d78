//! Bodies as they come in: over HTTP/2, or a page's over HTTP/1.1, as they are or in base64.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use http_body::{Body, Frame};
use hyper::body::Incoming;

use crate::http2::Reading;
use crate::status::Refuse;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request or an answer, as a connection brings it.
#[derive(Debug)]
pub enum Wire {
    /// Over HTTP/2.
    Stream(Reading),
    /// Over HTTP/1.1: a page's.
    One(Incoming),
}

impl Body for Wire {
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Stream(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::One(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stream(body) => body.is_end_stream(),
            Self::One(body) => body.is_end_stream(),
        }
    }
}

/// The body of a request, however it came.
#[derive(Debug)]
pub enum Inbound {
    /// As it is.
    Plain(Wire),
    /// In base64; what is left of a group of four.
    Text(Wire, BytesMut),
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Plain(body) => Pin::new(body).poll_frame(cx),
            Self::Text(body, held) => match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => Poll::Ready(Some(match frame.into_data() {
                    Ok(data) => opened(held, &data).map(Frame::data),
                    Err(trailers) => Ok(trailers),
                })),
                Some(Err(error)) => Poll::Ready(Some(Err(error))),
                None if held.is_empty() => Poll::Ready(None),
                None => {
                    held.clear();
                    Poll::Ready(Some(Err(Refuse::Malformed.into())))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::Text(body, held) => held.is_empty() && body.is_end_stream(),
        }
    }
}

/// Whole groups of four, each of which may be the last of a piece; the rest is held.
fn opened(held: &mut BytesMut, text: &[u8]) -> Result<Bytes, BoxError> {
    held.extend_from_slice(text);
    let whole = held.split_to(held.len() / 4 * 4);
    let mut out = BytesMut::with_capacity(whole.len() / 4 * 3);
    let mut rest = &whole[..];
    while !rest.is_empty() {
        // A piece ends where it is padded.
        let end = rest.iter().position(|byte| *byte == b'=').map_or(rest.len(), |at| at / 4 * 4 + 4);
        let (piece, behind) = rest.split_at_checked(end).ok_or(Refuse::Malformed)?;
        out.extend_from_slice(&BASE64.decode(piece).map_err(|_| Refuse::Malformed)?);
        rest = behind;
    }
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_comes_in_pieces_of_any_length_padded_or_not() {
        let text = [BASE64.encode(b"a"), BASE64.encode(b"bcd"), BASE64.encode(b"efghi")].concat();
        for cut in 0..text.len() {
            let mut held = BytesMut::new();
            let (one, other) = text.as_bytes().split_at(cut);
            let out = [opened(&mut held, one).expect("good"), opened(&mut held, other).expect("good")].concat();
            assert_eq!((&out[..], held.len()), (&b"abcdefghi"[..], 0), "{cut}");
        }
        for bad in ["YQ==x===", "====", "a b=", "YR=="] {
            assert!(opened(&mut BytesMut::new(), bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
