//! The service behind the proxy.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use twinveil::gate::tls::{self, PemFiles};
use twinveil::http2::{self, Reading, Writing};

use crate::frames::{Position, Vitals};
use crate::{Failure, SETTINGS};

/// A message of about `size` bytes.
pub(crate) fn vitals(size: usize) -> Vitals {
    let mut vitals = Vitals {
        subject_id: "p-2041".into(),
        device_id: "monitor-77".into(),
        sequence: 70_001,
        captured_at_ms: 1_790_000_000_000,
        modality: 1,
        position: Some(Position { latitude: 45.772_175, longitude: 14.357_659 }),
        heart_rate_bpm: 72.0,
        spo2_pct: 97.0,
        samples: Vec::new(),
        labels: HashMap::from([("ward".to_owned(), "3B".to_owned())]),
        name: "Milo Feil".into(),
        note: "slept well, no pain".into(),
    };
    while vitals.encoded_len() < size {
        vitals.samples.push((vitals.samples.len() as i32 * 37) % 1_900 - 950);
    }
    vitals
}

/// A message of about `size` bytes with its prefix, made once.
fn made(size: u32) -> Bytes {
    static MADE: Mutex<BTreeMap<u32, Bytes>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry(size).or_insert_with(|| prefixed(&vitals(size as usize))).clone()
}

/// A message with its prefix.
pub(crate) fn prefixed(message: &impl Message) -> Bytes {
    let encoded = message.encode_to_vec();
    Bytes::from([&[0][..], &(encoded.len() as u32).to_be_bytes(), &encoded].concat())
}

/// What is asked for.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ask {
    #[prost(uint32, tag = "1")]
    pub(crate) size: u32,
    #[prost(bool, tag = "2")]
    pub(crate) packed: bool,
}

/// With TLS or without.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// Serves on this port, or where it is 0 on a free one, which it prints.
pub(crate) async fn serve(port: u16, files: Option<PemFiles>) -> Result<(), Failure> {
    let tls = files.map(|files| tls::server(&files)).transpose()?.map(TlsAcceptor::from);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    accept(listener, tls).await;
    Ok(())
}

/// Serves whoever connects.
pub(crate) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>) {
    while let Ok((socket, _)) = listener.accept().await {
        let _best_effort = socket.set_nodelay(true);
        let tls = tls.clone();
        tokio::spawn(async move {
            let socket: Box<dyn Socket> = match tls {
                Some(tls) => match tls.accept(socket).await {
                    Ok(socket) => Box::new(socket),
                    Err(error) => return eprintln!("a handshake failed: {error}"),
                },
                None => Box::new(socket),
            };
            let mut connection = http2::server(socket, SETTINGS);
            while let Some(Ok((request, writing))) = poll_fn(|cx| connection.poll_accept(cx)).await {
                tokio::spawn(answer(request, writing));
            }
        });
    }
}

/// Ends when the call does, or the client goes.
async fn answer(request: Request<Reading>, mut writing: Writing) -> Result<(), Failure> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    if path.ends_with("/Echo") {
        writing.head(&response, false);
        while let Some(frame) = body.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                send(&mut writing, bytes).await?;
            }
        }
        return end(&mut writing).await;
    }
    let mut asked = BytesMut::new();
    while let Some(frame) = body.frame().await {
        asked.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    let ask = Ask::decode(asked.get(5..).unwrap_or_default())?;
    writing.head(&response, false);
    let one = made(ask.size);
    if path.ends_with("/Look") {
        send(&mut writing, one).await?;
        return end(&mut writing).await;
    }
    let chunk = if ask.packed { Bytes::from(one.repeat((16 * 1024 / one.len()).max(1))) } else { one };
    loop {
        send(&mut writing, chunk.clone()).await?;
    }
}

async fn end(writing: &mut Writing) -> Result<(), Failure> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    poll_fn(|cx| writing.poll_sent(cx)).await?;
    writing.trailers(&trailers);
    Ok(())
}

/// Sends a DATA frame when there is room.
pub(crate) async fn send(writing: &mut Writing, bytes: Bytes) -> Result<(), Failure> {
    poll_fn(|cx| writing.poll_room(cx)).await?;
    writing.data(bytes, false);
    Ok(())
}
