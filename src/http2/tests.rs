//! Both ends against each other, against an implementation that nobody here wrote, and against peers that don't keep to the rules.

mod others;
mod pair;
mod rules;
mod upstreams;

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Broken, Connection, Reading, Reason, Settings, Writing};

pub(super) const SETTINGS: Settings = Settings {
    stream_window_bytes: 65_535,
    window_bytes: 1024 * 1024,
    held_bytes_max: 4 * 1024 * 1024,
    streams_max: 10,
    header_bytes_max: 16 * 1024,
    silence: Duration::from_secs(30),
    answer_within: Duration::from_secs(20),
};

pub(super) fn request(path: &str) -> Request<()> {
    let mut request = Request::post(format!("http://somewhere{path}")).body(()).expect("a request");
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    request
}

pub(super) fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))])
}

/// Accepts until the connection ends, and lets each request be answered by this.
pub(super) async fn serve<S, F>(mut connection: Connection<S>, answer: impl Fn(Request<Reading>, Writing) -> F) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()> + Send + 'static,
{
    while let Some(arrived) = poll_fn(|cx| connection.poll_accept(cx)).await {
        let (request, writing) = arrived?;
        tokio::spawn(answer(request, writing));
    }
    Ok(())
}

/// Sends everything back, piece by piece, then trailers; `/big/N` gets N bytes instead.
pub(super) async fn echo(request: Request<Reading>, mut writing: Writing) {
    let big: Option<usize> = request.uri().path().strip_prefix("/big/").and_then(|count| count.parse().ok());
    let mut body = request.into_body();
    writing.head(&Response::new(()), false);
    if let Some(mut left) = big {
        while left > 0 {
            let now = left.min(10_000);
            if send(&mut writing, vec![7; now].into(), false).await.is_err() {
                return;
            }
            left -= now;
        }
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        if let Ok(data) = frame.into_data()
            && send(&mut writing, data, false).await.is_err()
        {
            return;
        }
    }
    if poll_fn(|cx| writing.poll_room(cx)).await.is_ok() {
        writing.trailers(&trailers());
    }
}

pub(super) async fn send(writing: &mut Writing, bytes: Bytes, ends: bool) -> Result<(), Broken> {
    poll_fn(|cx| writing.poll_room(cx)).await?;
    writing.data(bytes, ends);
    if ends { poll_fn(|cx| writing.poll_sent(cx)).await } else { Ok(()) }
}

/// All of a body, and its trailers.
pub(super) async fn collect(mut body: Reading) -> Result<(Vec<u8>, Option<HeaderMap>), Broken> {
    let (mut all, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => all.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    assert!(body.is_end_stream());
    Ok((all, trailers))
}
