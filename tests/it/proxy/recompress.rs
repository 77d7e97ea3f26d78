//! Do messages that came compressed go on compressed where a route says so, from what was veiled and nothing else?

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
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
use tonic::transport::Channel;
use tower::ServiceExt;
use twinveil::client::wallet::Wallet;

use super::{CARE, at, patient};
use crate::harness::ward::{Chart, WardAsk, chart};
use crate::harness::{Given, World, forbid, prefixed, soon};

const CANARY: &str = "Milo Feil";
const ROUTE: &str = "recompress = true";

/// A message as it stood on the wire: its flag and its bytes.
type Framed = (u8, Vec<u8>);
type Body = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;

/// A service that answers each call with charts that it is given, packed as it is told, and keeps what it was sent.
#[derive(Clone, Default)]
struct Service {
    /// `grpc-encoding` of the answers, and the flag and content of each.
    answers: Arc<Mutex<(&'static str, Vec<Framed>)>>,
    /// Headers and messages of the last call.
    got: Arc<Mutex<(HeaderMap, Vec<Framed>)>>,
    /// Whether answers stay open until the client goes, and what is sent meanwhile.
    more: Arc<Mutex<Option<mpsc::Receiver<Framed>>>>,
}

impl Service {
    fn answers(&self, encoding: &'static str, messages: Vec<Framed>) {
        *self.answers.lock().unwrap() = (encoding, messages);
    }

    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let this = this.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| this.clone().answer(request));
                    let _ended = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        address
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        *self.got.lock().unwrap() = (head.headers, messages(&body));
        let ((encoding, answers), more) = (self.answers.lock().unwrap().clone(), self.more.lock().unwrap().take());
        let (to, out) = mpsc::channel(1);
        tokio::spawn(async move {
            let data = |(flag, message): Framed| Ok(Frame::data(prefixed(flag, &message)));
            for answer in answers {
                if to.send(data(answer)).await.is_err() {
                    return;
                }
            }
            let mut more = more;
            while let Some(message) = match &mut more {
                Some(more) => more.recv().await,
                None => None,
            } {
                if to.send(data(message)).await.is_err() {
                    return;
                }
            }
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
            let _gone = to.send(Ok(Frame::trailers(trailers))).await;
        });
        let mut response = Response::new(StreamBody::new(ReceiverStream::new(out)));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        if !encoding.is_empty() {
            response.headers_mut().insert("grpc-encoding", HeaderValue::from_static(encoding));
        }
        Ok(response)
    }
}

fn messages(mut body: &[u8]) -> Vec<Framed> {
    let mut found = Vec::new();
    while let Some((&[flag, a, b, c, d], rest)) = body.split_first_chunk() {
        let (message, rest) = rest.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
        found.push((flag, message.to_vec()));
        body = rest;
    }
    assert!(body.is_empty());
    found
}

fn pack(encoding: &str, message: &impl Message) -> Framed {
    let message = message.encode_to_vec();
    (
        1,
        match encoding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(&message).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(&message).unwrap();
                encoder.finish().unwrap()
            }
            _ => ruzstd::encoding::compress_to_vec(&message[..], ruzstd::encoding::CompressionLevel::Fastest),
        },
    )
}

/// What is in a message that is packed.
fn inflated(encoding: &str, (flag, message): &Framed) -> Vec<u8> {
    assert_eq!(*flag, 1);
    let mut out = Vec::new();
    match encoding {
        "gzip" => GzDecoder::new(&message[..]).read_to_end(&mut out).unwrap(),
        _ => ZlibDecoder::new(&message[..]).read_to_end(&mut out).unwrap(),
    };
    out
}

fn long(patient: &str, number: i64) -> Chart {
    Chart { note: "slept well, no pain; ".repeat(40), name: CANARY.into(), ..chart(patient, number) }
}

fn without_name(chart: Chart) -> Chart {
    Chart { name: String::new(), ..chart }
}

fn question() -> WardAsk {
    WardAsk { patient: "p-1".into(), count: 1, word: "how did they sleep, and what did they say? ".repeat(20) }
}

/// A patient who keeps their name to themselves, and a service whose gateway has this route.
async fn given(route: &str) -> (World, Service, Wallet) {
    let service = Service::default();
    let world = at(&service.serve().await.to_string(), route).await;
    let person = world.patient("p-1").await;
    world.enrol("clinician", "p-1", &person).await;
    world.grant(&person, &Given::to(&world, &["clinician", "hospital"], CARE).and(forbid("name"))).await;
    (world, service, person)
}

async fn asked(channel: &Channel, method: &str, headers: &[(&'static str, &'static str)], message: Framed) -> Response<tonic::body::Body> {
    let body = http_body_util::Full::new(prefixed(message.0, &message.1));
    let mut request = Request::post(format!("/ward.v1.Ward/{method}")).body(tonic::body::Body::new(body)).unwrap();
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")].iter().chain(headers) {
        request.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    soon("an answer", channel.clone().oneshot(request)).await.unwrap()
}

/// The whole answer: `grpc-encoding`, messages, how it ended.
async fn answered(response: Response<tonic::body::Body>) -> (Option<String>, Vec<Framed>, String) {
    let (head, body) = response.into_parts();
    let encoding = head.headers.get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
    let body = soon("the end", body.collect()).await.unwrap();
    let ended = body.trailers().unwrap_or(&head.headers).get("grpc-status").unwrap().to_str().unwrap().to_owned();
    (encoding, messages(&body.to_bytes()), ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_messages_go_on_compressed_both_ways_and_hold_what_was_veiled_alone() {
    let (world, service, _person) = given(ROUTE).await;
    let channel = world.channel("clinician").await;
    for encoding in ["gzip", "deflate"] {
        service.answers(encoding, vec![pack(encoding, &long("p-1", 1)), pack(encoding, &long("p-1", 2))]);
        let headers = [("grpc-encoding", encoding), ("grpc-accept-encoding", "identity,deflate, gzip")];
        let response = asked(&channel, "Watch", &headers, pack(encoding, &question())).await;
        let (told, answers, ended) = answered(response).await;
        assert_eq!((told.as_deref(), &*ended), (Some(encoding), "0"));
        let (head, got) = service.got.lock().unwrap().clone();
        assert_eq!(head["grpc-encoding"], encoding);
        assert!(got.len() == 1 && got[0].1.len() * 4 < question().encoded_len(), "{}", got[0].1.len());
        assert_eq!(WardAsk::decode(&inflated(encoding, &got[0])[..]).unwrap(), question());
        assert_eq!(answers.len(), 2);
        for (answer, number) in answers.iter().zip([1, 2]) {
            let whole = inflated(encoding, answer);
            assert!(answer.1.len() * 4 < whole.len());
            assert!(!whole.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
            assert_eq!(Chart::decode(&whole[..]).unwrap(), without_name(long("p-1", number)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_take_a_packing_and_what_was_not_packed_get_none() {
    let (world, service, _person) = given(ROUTE).await;
    let channel = world.channel("clinician").await;
    let plain = |chart: &Chart| (0, chart.encode_to_vec());
    let expected = plain(&without_name(long("p-1", 1)));
    // What the client takes, what it sends, how the service answers, whether that answer is packed.
    for (takes, sends, encoding, packed) in [
        (&[][..], "gzip", "gzip", true),
        (&[("grpc-accept-encoding", "identity,deflate")], "gzip", "gzip", true),
        (&[("grpc-accept-encoding", "identity,zstd")], "zstd", "zstd", true),
        (&[("grpc-accept-encoding", "gzip")], "", "gzip", false),
        (&[("grpc-accept-encoding", "gzip")], "", "", false),
    ] {
        service.answers(encoding, vec![if packed { pack(encoding, &long("p-1", 1)) } else { plain(&long("p-1", 1)) }]);
        let mut headers = takes.to_vec();
        let mut message = (0, question().encode_to_vec());
        if !sends.is_empty() {
            headers.push(("grpc-encoding", sends));
            message = pack(sends, &question());
        }
        let (told, answers, ended) = answered(asked(&channel, "Look", &headers, message).await).await;
        assert_eq!((answers, &*ended), (vec![expected.clone()], "0"), "{takes:?} {encoding}");
        assert!(told.is_none() || !packed, "{told:?}");
        let (head, got) = service.got.lock().unwrap().clone();
        let on = if sends == "gzip" { 1 } else { 0 };
        assert_eq!((got[0].0, head.contains_key("grpc-encoding")), (on, on == 1), "{sends}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_option_nothing_compressed_comes_out() {
    let (world, service, _person) = given("").await;
    let channel = world.channel("clinician").await;
    service.answers("gzip", vec![pack("gzip", &long("p-1", 1))]);
    let headers = [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")];
    let (told, answers, _) = answered(asked(&channel, "Look", &headers, pack("gzip", &question())).await).await;
    assert_eq!((told, answers), (None, vec![(0, without_name(long("p-1", 1)).encode_to_vec())]));
    let (head, got) = service.got.lock().unwrap().clone();
    assert_eq!((got, head.contains_key("grpc-encoding")), (vec![(0, question().encode_to_vec())], false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_out_does_not_depend_on_what_was_stripped_nor_does_its_length() {
    let (world, service, _person) = given(ROUTE).await;
    let channel = world.channel("clinician").await;
    let headers = [("grpc-accept-encoding", "gzip")];
    let mut seen = Vec::new();
    // One repeats what is kept, which would pack well beside it; one does not; one is long.
    for name in ["slept well, no pain; ".repeat(3), "x7Qp!".into(), "Milo ".repeat(500)] {
        service.answers("gzip", vec![pack("gzip", &Chart { name, ..long("p-1", 1) })]);
        seen.push(answered(asked(&channel, "Look", &headers, (0, question().encode_to_vec())).await).await);
    }
    assert_eq!(seen[0].1[0].0, 1);
    assert!(seen.iter().all(|one| *one == seen[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_in_the_middle_ends_what_is_compressed_too() {
    let (world, service, person) = given(ROUTE).await;
    let _other = patient(&world, "p-2").await;
    let channel = world.channel("clinician").await;
    service.answers("gzip", vec![pack("gzip", &long("p-1", 1))]);
    let (more, rest) = mpsc::channel(1);
    *service.more.lock().unwrap() = Some(rest);
    let response = asked(&channel, "Watch", &[("grpc-accept-encoding", "gzip")], (0, question().encode_to_vec())).await;
    let mut body = response.into_body();
    let first = soon("the first", body.frame()).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(Chart::decode(&inflated("gzip", &messages(&first)[0])[..]).unwrap(), without_name(long("p-1", 1)));
    let settled = world.withdraw_all(&person).await;
    assert!(settled.streams.iter().any(|stream| stream.last_handover == 1), "{settled:?}");
    more.send(pack("gzip", &long("p-1", 2))).await.unwrap();
    more.send(pack("gzip", &long("p-2", 3))).await.unwrap();
    drop(more);
    let rest = soon("the rest", body.collect()).await.unwrap();
    assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");
    let rest = messages(&rest.to_bytes());
    assert_eq!(rest.len(), 1, "nothing of the one who withdrew");
    assert_eq!(Chart::decode(&inflated("gzip", &rest[0])[..]).unwrap(), long("p-2", 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_message_that_is_half_way_out_at_a_withdrawal_is_cut_off() {
    let (world, service, person) = given("recompress = true\n[limits]\nframe_bytes_max = 8388608").await;
    // A half of it does not compress.
    let mut state = 7u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u8
    });
    let blob: Vec<u8> = noise.take(2 << 20).chain(std::iter::repeat_n(7, 2 << 20)).collect();
    service.answers("gzip", vec![pack("gzip", &Chart { blob, ..long("p-1", 1) })]);
    let channel = world.narrow_channel("clinician").await;
    let response = asked(&channel, "Watch", &[("grpc-accept-encoding", "gzip")], (0, question().encode_to_vec())).await;
    let mut body = response.into_body();
    let first = soon("the beginning", body.frame()).await.unwrap().unwrap().into_data().unwrap();
    let packed = u32::from_be_bytes(first[1..5].try_into().unwrap());
    assert!(first[0] == 1 && (1 << 20..3 << 20).contains(&packed), "{} {packed}", first[0]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.withdraw_all(&person).await;
    assert!(soon("the reset", body.collect()).await.is_err());
    assert_eq!(world.metric("twinveil_streams_cut_off_total").await, 1);
}
