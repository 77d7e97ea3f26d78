//! gRPC-Web (the protocol's `PROTOCOL-WEB.md`): what browsers can't do over HTTP is undone on the way in and done on the way out. Trailers
//! go into the body, behind the flag 0x80; the text form is base64. Pages call only from origins that the operator allows.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use data_encoding::BASE64;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};

use super::codec::PREFIX_BYTES;
use super::inbound::{BoxError, Inbound, Wire};
use super::live::State;
use super::route::{AnswerBody, refused};
use crate::config::Web;
use crate::status::Refuse;

/// The flag of a message that is trailers.
const TRAILERS: u8 = 0x80;
/// For how long a browser may remember what it may send, in seconds.
const REMEMBERED_S: &str = "600";
/// What pages send beside the metadata of routes.
const HEADERS: &str = "content-type, x-grpc-web, x-user-agent, grpc-timeout";

/// How a page wants its answer.
#[derive(Clone, Debug)]
pub(super) struct Form {
    text: bool,
    origin: Option<HeaderValue>,
}

/// What a request turned out to be.
#[derive(Debug)]
pub(super) enum Entered {
    /// gRPC as it is.
    Plain(Request<Inbound>),
    /// A page's call, without what made it one.
    Page(Request<Inbound>, Form),
    /// Answered: a browser's question, or nothing that is served.
    Answered(Response<AnswerBody>),
}

/// Tells pages from programs.
pub(super) fn enter(state: &State, request: Request<Wire>) -> Entered {
    let web = &state.config.web;
    let one = request.version() < http::Version::HTTP_2;
    let text = match web.origins.is_empty() {
        true => None,
        false => match is_text(request.headers()) {
            None if request.method() == Method::OPTIONS => return Entered::Answered(preflight(state, request.headers())),
            text => text,
        },
    };
    let Some(text) = text else {
        // Over HTTP/1.1 there are pages only.
        return if one { Entered::Answered(refused(Refuse::Malformed)) } else { Entered::Plain(request.map(Inbound::Plain)) };
    };
    let origin = match request.headers().get(header::ORIGIN) {
        Some(origin) if !allows(web, origin) => return Entered::Answered(forbidden()),
        origin => origin.cloned(),
    };
    let mut request = request.map(|body| if text { Inbound::Text(body, BytesMut::new()) } else { Inbound::Plain(body) });
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Entered::Page(request, Form { text, origin })
}

/// Whether a request is gRPC-Web, and in the text form.
fn is_text(headers: &HeaderMap) -> Option<bool> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match value.split(';').next().unwrap_or_default().trim() {
        "application/grpc-web" | "application/grpc-web+proto" => Some(false),
        "application/grpc-web-text" | "application/grpc-web-text+proto" => Some(true),
        _ => None,
    }
}

fn allows(web: &Web, origin: &HeaderValue) -> bool {
    web.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
}

fn forbidden() -> Response<AnswerBody> {
    let mut response = refused(Refuse::OtherOrigin);
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

/// A browser asks before it lets a page call (Fetch, "CORS-preflight request"). It shows no certificate then, and learns nothing
/// but what an allowed origin may send.
pub(super) fn preflight(state: &State, headers: &HeaderMap) -> Response<AnswerBody> {
    let Some(origin) = headers.get(header::ORIGIN).filter(|origin| allows(&state.config.web, origin)) else { return forbidden() };
    let mut response = Response::new(AnswerBody::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let mut allowed = HEADERS.to_owned();
    for key in state.routes.metadata() {
        if !allowed.split(", ").any(|known| *known == **key) {
            allowed.push_str(", ");
            allowed.push_str(key);
        }
    }
    let to = response.headers_mut();
    cross(to, origin.clone());
    to.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        to.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    to.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED_S));
    response
}

/// Only that origin; its browser shows the certificate of whoever sits there.
fn cross(to: &mut HeaderMap, origin: HeaderValue) {
    to.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    to.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    to.insert(header::VARY, HeaderValue::from_static("origin"));
}

impl Form {
    /// An answer as the page wants it.
    pub(super) fn answer(self, response: Response<AnswerBody>) -> Response<AnswerBody> {
        let (mut head, body) = response.into_parts();
        let kind = if self.text { "application/grpc-web-text+proto" } else { "application/grpc-web+proto" };
        let exposed: Vec<_> = head.headers.keys().filter(|key| **key != header::CONTENT_TYPE).map(|key| key.as_str().to_owned()).collect();
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(origin) = self.origin {
            cross(&mut head.headers, origin);
            if let Ok(exposed) = HeaderValue::try_from(exposed.join(", ")) {
                head.headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
        }
        Response::from_parts(head, AnswerBody::Page(Box::new(PageBody { body, text: self.text })))
    }
}

/// An answer whose trailers are in the body.
#[derive(Debug)]
pub struct PageBody {
    body: AnswerBody,
    text: bool,
}

impl PageBody {
    pub(super) fn body(&mut self) -> &mut AnswerBody {
        &mut self.body
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let data = match frame?.into_data() {
                Ok(data) => data,
                Err(frame) => frame.into_trailers().map(|trailers| written(&trailers)).unwrap_or_default(),
            };
            Ok(Frame::data(if this.text { BASE64.encode(&data).into() } else { data }))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Trailers as a message: lines as in HTTP/1.1, keys in lower case.
fn written(trailers: &HeaderMap) -> Bytes {
    let mut lines = BytesMut::new();
    for (key, value) in trailers {
        lines.extend_from_slice(key.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + lines.len());
    out.put_u8(TRAILERS);
    out.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(&lines);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_that_is_no_text_or_none_at_all_is_no_pages() {
        let of = |value: &[u8]| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_bytes(value).expect("a value"))]);
        assert_eq!((is_text(&HeaderMap::new()), is_text(&of(b"application/grpc-web\xff"))), (None, None));
        assert_eq!((is_text(&of(b"application/grpc-web")), is_text(&of(b"application/grpc-web-text"))), (Some(false), Some(true)));
    }

    #[test]
    fn trailers_are_lines_behind_their_flag() {
        let trailers = crate::status::trailers(None);
        assert_eq!(&written(&trailers)[..], b"\x80\0\0\0\x10grpc-status: 0\r\n");
    }

    #[test]
    fn only_the_content_types_of_the_protocol_are_pages() {
        let of = |text: &'static str| is_text(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(text))]));
        assert_eq!((of("application/grpc-web"), of("application/grpc-web+proto; charset=utf-8")), (Some(false), Some(false)));
        assert_eq!((of("application/grpc-web-text"), of("application/grpc-web-text+proto")), (Some(true), Some(true)));
        assert_eq!((of("application/grpc"), of("application/grpc-webx"), of("text/plain")), (None, None, None));
        assert_eq!(is_text(&HeaderMap::new()), None);
        assert!(!allows(&Web { origins: vec!["https://a.org".into()] }, &HeaderValue::from_static("https://a.org.evil.org")));
    }
}
