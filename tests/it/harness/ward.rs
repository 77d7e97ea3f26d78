//! A service that knows nothing of the gateway, on plain HTTP/2, and clients that know nothing of it either: `ward.v1.Ward`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::prefixed;

pub(crate) const PROTO: &str = r#"
syntax = "proto3";
package ward.v1;
message Ask { string patient = 1; uint32 count = 2; string word = 3; }
message Chart { string patient = 1; int64 at_ms = 2; double heart_rate = 3; string note = 4; bytes blob = 5; string name = 6; }
service Ward {
  rpc Look(Ask) returns (Chart);
  rpc Watch(Ask) returns (stream Chart);
  rpc Record(stream Chart) returns (Ask);
  rpc Talk(stream Chart) returns (stream Chart);
}
message Round {
  string title = 1; repeated Chart charts = 2; repeated Room rooms = 3; map<string, Remark> remarks = 4; string steward = 5;
}
message Room { string name = 1; repeated Bed beds = 2; }
message Bed { Chart chart = 1; string pump = 2; string unit = 3; }
message Remark { string text = 1; }
service Rounds {
  rpc List(Ask) returns (Round);
  rpc Follow(Ask) returns (stream Round);
  rpc Talk(stream Round) returns (stream Round);
}
"#;

pub(crate) const SIDE: &str = r#"
["ward.v1.Ask"]
patient = { sensitivity = "identifying", category = "identity", role = "subject" }
count = { sensitivity = "public", category = "operation" }
word = { sensitivity = "public", category = "operation" }
["ward.v1.Chart"]
patient = { sensitivity = "identifying", category = "identity", role = "subject" }
at_ms = { sensitivity = "personal", category = "time" }
heart_rate = { sensitivity = "special", category = "health" }
note = { sensitivity = "special", category = "health" }
blob = { sensitivity = "special", category = "health" }
name = { sensitivity = "identifying", category = "identity" }
["ward.v1.Round"]
title = { sensitivity = "public", category = "operation" }
steward = { sensitivity = "operational", category = "operation" }
'remarks.key' = { sensitivity = "identifying", category = "identity", role = "subject" }
'remarks.value.text' = { sensitivity = "special", category = "health" }
["ward.v1.Room"]
name = { sensitivity = "public", category = "site" }
["ward.v1.Bed"]
pump = { sensitivity = "operational", category = "device" }
unit = { sensitivity = "public", category = "operation" }
"#;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WardAsk {
    #[prost(string, tag = "1")]
    pub patient: String,
    #[prost(uint32, tag = "2")]
    pub count: u32,
    #[prost(string, tag = "3")]
    pub word: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Chart {
    #[prost(string, tag = "1")]
    pub patient: String,
    #[prost(int64, tag = "2")]
    pub at_ms: i64,
    #[prost(double, tag = "3")]
    pub heart_rate: f64,
    #[prost(string, tag = "4")]
    pub note: String,
    #[prost(bytes = "vec", tag = "5")]
    pub blob: Vec<u8>,
    #[prost(string, tag = "6")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Round {
    #[prost(string, tag = "1")]
    pub title: String,
    #[prost(message, repeated, tag = "2")]
    pub charts: Vec<Chart>,
    #[prost(message, repeated, tag = "3")]
    pub rooms: Vec<Room>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub remarks: BTreeMap<String, Remark>,
    #[prost(string, tag = "5")]
    pub steward: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Room {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub beds: Vec<Bed>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bed {
    #[prost(message, tag = "1")]
    pub chart: Option<Chart>,
    #[prost(string, tag = "2")]
    pub pump: String,
    #[prost(string, tag = "3")]
    pub unit: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Remark {
    #[prost(string, tag = "1")]
    pub text: String,
}

/// The descriptor set of the service.
pub(crate) fn descriptors() -> Vec<u8> {
    struct Only;
    impl protox::file::FileResolver for Only {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            if name == "ward.proto" { protox::file::File::from_source(name, PROTO) } else { Err(protox::Error::file_not_found(name)) }
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Only);
    compiler.open_file("ward.proto").expect("compiles");
    compiler.encode_file_descriptor_set()
}

/// What the service was sent, as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    pub calls: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    pub messages: Arc<Mutex<Vec<Bytes>>>,
    /// What it says about its rounds.
    pub rounds: Arc<Mutex<Vec<Bytes>>>,
    /// Connections that were accepted, and those that have ended.
    pub connections: Arc<(AtomicUsize, AtomicUsize)>,
    /// Messages that its connections took from it.
    pub sent: Arc<AtomicUsize>,
    /// It takes all that it is sent, whether or not anybody takes what it answers.
    pub hoards: Arc<AtomicBool>,
}

impl Got {
    pub(crate) fn asks(&self) -> Vec<WardAsk> {
        self.messages.lock().unwrap().iter().map(|message| WardAsk::decode(&message[..]).unwrap()).collect()
    }

    pub(crate) fn charts(&self) -> Vec<Chart> {
        self.messages.lock().unwrap().iter().map(|message| Chart::decode(&message[..]).unwrap()).collect()
    }
}

/// Serves until the test ends.
pub(crate) async fn serve() -> (SocketAddr, Got) {
    serve_on(TcpListener::bind("127.0.0.1:0").await.unwrap())
}

/// The same behind mutual TLS; of two certificates the first counts until the other end of the channel says otherwise.
pub(crate) async fn serve_tls(tls: tokio::sync::watch::Receiver<Arc<rustls::ServerConfig>>) -> (SocketAddr, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, got) = (listener.local_addr().unwrap(), Got::default());
    let seen = got.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (seen, tls) = (seen.clone(), tokio_rustls::TlsAcceptor::from(Arc::clone(&tls.borrow())));
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(socket).await else { return };
                let service = service_fn(move |request| answer(seen.clone(), request));
                let _ended =
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, got)
}

/// The same where somebody listens already.
pub(crate) fn serve_on(listener: TcpListener) -> (SocketAddr, Got) {
    let (address, got) = (listener.local_addr().unwrap(), Got::default());
    let seen = got.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let seen = seen.clone();
            let connections = Arc::clone(&seen.connections);
            connections.0.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(seen.clone(), request));
                let _ended =
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
                connections.1.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    (address, got)
}

pub(crate) fn chart(patient: &str, number: i64) -> Chart {
    Chart {
        patient: patient.into(),
        at_ms: number,
        heart_rate: 60.0 + number as f64,
        note: format!("note {number}"),
        blob: vec![],
        name: "Milo Feil".into(),
    }
}

type Body = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;

/// The messages of a body as they come.
async fn messages(mut body: Incoming, got: Got, to: mpsc::Sender<Bytes>) {
    let mut held = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        held.extend_from_slice(&frame.into_data().unwrap_or_default());
        while held.len() >= 5 {
            let len = u32::from_be_bytes([held[1], held[2], held[3], held[4]]) as usize;
            if held.len() < 5 + len {
                break;
            }
            assert_eq!(held[0], 0, "nothing compressed comes out of the gateway");
            let message = Bytes::copy_from_slice(&held[5..5 + len]);
            held.drain(..5 + len);
            got.messages.lock().unwrap().push(message.clone());
            if to.send(message).await.is_err() {
                return;
            }
        }
    }
}

/// What comes, however late somebody takes it.
fn hoarded(mut from: mpsc::Receiver<Bytes>) -> mpsc::Receiver<Bytes> {
    let (keep, mut kept) = mpsc::unbounded_channel();
    let (to, taken) = mpsc::channel(1);
    tokio::spawn(async move { while from.recv().await.is_some_and(|message| keep.send(message).is_ok()) {} });
    tokio::spawn(async move {
        while let Some(message) = kept.recv().await {
            if to.send(message).await.is_err() {
                return;
            }
        }
    });
    taken
}

async fn answer(got: Got, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    got.calls.lock().unwrap().push((head.uri.path().to_owned(), head.headers.clone()));
    let (rounds, sent) = (got.rounds.lock().unwrap().clone(), Arc::clone(&got.sent));
    let (to, out) = mpsc::channel(4);
    let (sender, mut incoming) = mpsc::channel(4);
    if got.hoards.load(Ordering::Relaxed) {
        incoming = hoarded(incoming);
    }
    tokio::spawn(messages(body, got, sender));
    let mut response = Response::new(StreamBody::new(ReceiverStream::new(out)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("x-ward", HeaderValue::from_static("3B, Milo Feil"));
    response.headers_mut().insert("x-request-id", HeaderValue::from_static("17"));
    let trailers = |status: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(status));
        trailers.insert("grpc-message", HeaderValue::from_static("patient Milo Feil has a record already"));
        trailers.insert("grpc-status-details-bin", HeaderValue::from_static("TWlsbyBGZWls"));
        trailers.insert("x-trace", HeaderValue::from_static("Milo Feil"));
        trailers
    };
    let is_round = head.uri.path().starts_with("/ward.v1.Rounds/");
    let talks = head.uri.path().ends_with("/Talk");
    let records = head.uri.path().ends_with("/Record");
    if is_round && !talks {
        tokio::spawn(async move {
            // What is asked counts, also where the answer does not depend on it.
            if incoming.recv().await.is_none() {
                return;
            }
            for round in rounds {
                if to.send(Ok(Frame::data(prefixed(0, &round)))).await.is_err() {
                    return;
                }
            }
            let _gone = to.send(Ok(Frame::trailers(trailers("0")))).await;
        });
        return Ok(response);
    }
    if !talks && !records {
        let ask = WardAsk::decode(incoming.recv().await.unwrap_or_default()).unwrap_or_default();
        match ask.word.as_str() {
            // Trailers-only.
            "fail" => {
                response.headers_mut().extend(trailers("6"));
                return Ok(response);
            }
            "html" => {
                response.headers_mut().insert("content-type", HeaderValue::from_static("text/html"));
                return Ok(response);
            }
            "snappy" => {
                response.headers_mut().insert("grpc-encoding", HeaderValue::from_static("snappy"));
            }
            "stall" => {
                // Held open until the client goes.
                tokio::spawn(async move { to.closed().await });
                return Ok(response);
            }
            "cut" => return Ok(response),
            _ => {}
        }
        let count = if head.uri.path().ends_with("/Look") { 1 } else { ask.count.max(1) };
        let broken = ask.word == "broken";
        let patient = if ask.patient.is_empty() { "p-1".to_owned() } else { ask.patient };
        tokio::spawn(async move {
            for number in 0..count {
                let mut message = chart(&patient, number.into()).encode_to_vec();
                if ask.word == "large" {
                    message = Chart { blob: vec![7; 4 << 20], ..chart(&patient, number.into()) }.encode_to_vec();
                }
                if ask.word == "kibibytes" {
                    message = Chart { blob: vec![7; 1 << 10], ..chart(&patient, number.into()) }.encode_to_vec();
                }
                if broken && number == 1 {
                    message.extend_from_slice(&[0x0a, 0x7f]);
                }
                if to.send(Ok(Frame::data(prefixed(0, &message)))).await.is_err() {
                    return;
                }
                sent.fetch_add(1, Ordering::Relaxed);
            }
            let _gone = to.send(Ok(Frame::trailers(trailers("0")))).await;
        });
        return Ok(response);
    }
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(message) = incoming.recv().await {
            count += 1;
            if talks && to.send(Ok(Frame::data(prefixed(0, &message)))).await.is_err() {
                return;
            }
        }
        if records {
            let _gone = to.send(Ok(Frame::data(prefixed(0, &WardAsk { count, ..WardAsk::default() }.encode_to_vec())))).await;
        }
        let _gone = to.send(Ok(Frame::trailers(trailers("0")))).await;
    });
    Ok(response)
}
