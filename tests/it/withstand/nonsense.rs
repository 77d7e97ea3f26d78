//! Clients that do not speak gRPC, break off, or vanish: each gets a status that says whose move it is, and of a message that was not
//! whole and judged no byte gets across.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use prost::Message;
use tonic::Code;
use tower::ServiceExt;

use super::others::Others;
use super::raw::*;
use super::{Ceiling, gateway};
use crate::gateway::{CARE, START_MS};
use crate::harness::ward::chart;
use crate::harness::{Ask, PATIENT, eventually, prefixed, raw_call, soon, status_of};
use crate::proxy::patient;
use twinveil::proto::sample::PatientFrame;

const PATHS: [(&str, &str); 4] = [
    ("clinician", "/ward.v1.Ward/Talk"),
    ("clinician", "/ward.v1.Ward/Look"),
    ("hospital", "/twinveil.v1.Frames/Publish"),
    ("clinician", "/twinveil.v1.Frames/Subscribe"),
];
/// In every message that must not get across.
const CANARY: &str = "canary-7d51";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_grpc_is_answered_with_a_status_and_goes_nowhere() {
    let (mut process, got) = gateway("").await;
    for (party, path) in PATHS {
        let channel = process.world.channel(party).await;
        for (method, content_type) in [
            ("POST", Some("text/html")),
            ("POST", Some("application/json")),
            ("POST", Some("application/grpcx")),
            ("POST", Some("application/grpc+json")),
            ("POST", Some("application/grpc-web")),
            ("POST", Some("")),
            ("POST", None),
            ("GET", Some("application/grpc")),
            ("PUT", Some("application/grpc")),
            ("OPTIONS", Some("application/grpc")),
        ] {
            let mut request = http::Request::builder().method(method).uri(path);
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            let body = tonic::body::Body::new(Full::new(prefixed(0, CANARY.as_bytes())));
            let answer = soon("an answer", channel.clone().oneshot(request.body(body).unwrap())).await.unwrap();
            let (code, text) = status_of(answer).await;
            assert_eq!((code, text.split(':').next()), (Code::InvalidArgument, Some("TV-G04")), "{method} {path} {content_type:?}");
        }
    }
    assert!(got.calls.lock().unwrap().is_empty() && got.messages.lock().unwrap().is_empty());
    process.is_well();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_that_lie_end_the_call_after_what_was_whole() {
    let (mut process, got) = gateway("").await;
    patient(&process.world, "p-1").await;
    let whole = prefixed(0, &chart("p-1", 1).encode_to_vec());
    let claims = |flag: u8, len: u32| Bytes::from([&[flag][..], &len.to_be_bytes(), CANARY.as_bytes()].concat());
    let cases: [(Bytes, Code, &str); 8] = [
        // Longer than one may be, up to all that a prefix can say.
        (claims(0, (1 << 20) + 1), Code::ResourceExhausted, "TV-G11"),
        (claims(0, u32::MAX), Code::ResourceExhausted, "TV-G11"),
        // No flag, and a flag without a header that explains it.
        (claims(2, 11), Code::InvalidArgument, "TV-G04"),
        (claims(255, 11), Code::InvalidArgument, "TV-G04"),
        (claims(1, 11), Code::InvalidArgument, "TV-G04"),
        // More than there is, and a prefix that is none.
        (claims(0, 12), Code::InvalidArgument, "TV-G04"),
        (claims(0, 1 << 20), Code::InvalidArgument, "TV-G04"),
        (Bytes::from_static(&[0, 0, 0]), Code::InvalidArgument, "TV-G04"),
    ];
    let channel = process.world.channel("clinician").await;
    for (lie, code, own) in &cases {
        // In one piece, and a byte at a time.
        let all = [&whole[..], lie].concat();
        for pieces in [vec![Bytes::from(all.clone())], all.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect()] {
            let before = got.messages.lock().unwrap().len();
            let (answer, _) = raw_call(channel.clone(), "/ward.v1.Ward/Talk", "application/grpc", pieces, true).await;
            let (found, text) = status_of(answer).await;
            assert_eq!((found, text.split(':').next()), (*code, Some(*own)), "{lie:?}");
            let after = got.messages.lock().unwrap().len();
            assert!(after <= before + 1, "the whole one at the most");
        }
    }
    // Native streams: the contract's own messages.
    let source = process.world.channel("hospital").await;
    for (lie, ..) in &cases {
        let (answer, _) = raw_call(source.clone(), "/twinveil.v1.Frames/Publish", "application/grpc", vec![lie.clone()], true).await;
        let (found, text) = status_of(answer).await;
        assert!(matches!(found, Code::InvalidArgument | Code::ResourceExhausted | Code::Unimplemented), "{lie:?}: {text}");
        let (answer, _) = raw_call(channel.clone(), "/twinveil.v1.Frames/Subscribe", "application/grpc", vec![lie.clone()], true).await;
        assert_ne!(status_of(answer).await.0, Code::Ok, "{lie:?}");
    }
    let telling = |message: &Bytes| message.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
    assert!(!got.messages.lock().unwrap().iter().any(telling));
    assert!(!process.said().contains(CANARY));
    process.is_well();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_takes_its_calls_with_it_and_leaves_no_half_message() {
    let (mut process, got) = gateway("").await;
    let mut others = Others::open(&process.world).await;
    let mut sub = process.world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    others.rounds(1).await;
    let before = got.messages.lock().unwrap().len();
    patient(&process.world, "p-1").await;
    let half = prefixed(0, &chart("p-1", 1).encode_to_vec());
    let (half, _) = half.split_at(half.len() - 1);
    let frame_of = PatientFrame { patient_id: "p-1".into(), captured_at_ms: START_MS, note: CANARY.into(), ..PatientFrame::default() };
    for _ in 0..20 {
        let mut peer = Peer::open(&process.world, "clinician", &[]).await;
        for (stream, path) in [(1, "/ward.v1.Ward/Talk"), (3, "/ward.v1.Ward/Record"), (5, "/ward.v1.Ward/Look")] {
            peer.say(&frame(HEADERS, END_HEADERS, stream, &call(path))).await.unwrap();
            peer.say(&frame(DATA, 0, stream, half)).await.unwrap();
        }
        let mut source = Peer::open(&process.world, "hospital", &[]).await;
        source.say(&frame(HEADERS, END_HEADERS, 1, &call("/twinveil.v1.Frames/Publish"))).await.unwrap();
        let batch = prefixed(0, &frame_of.encode_to_vec());
        source.say(&frame(DATA, 0, 1, &batch[..batch.len() - 1])).await.unwrap();
        // And is gone, without a word.
        drop((peer, source));
    }
    others.rounds(10).await;
    let came = got.messages.lock().unwrap().len();
    assert_eq!(came, before + 10, "the others' and nobody else's");
    // Nothing was published either: what comes next is the next of the others.
    for _ in 0..11 {
        assert!(sub.message::<PatientFrame>().await.note.starts_with("note "));
    }
    assert!(sub.is_quiet(Duration::from_millis(50)).await);
    process.is_well();
    Ceiling::of(48, 90).holds("clients that vanish", &process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_no_calls_at_all_end_in_a_status_or_a_reset() {
    let (mut process, got) = gateway("").await;
    let mut others = Others::open(&process.world).await;
    let calls = got.calls.lock().unwrap().len();
    let list = |headers: &[(&str, &str)]| headers.iter().flat_map(|(name, value)| header(false, name, value)).collect::<Vec<u8>>();
    let cases = [
        // A tunnel to somewhere else.
        list(&[(":method", "CONNECT"), (":authority", "127.0.0.1:22")]),
        list(&[(":method", "POST"), (":scheme", "https"), (":path", "http://other.example/x"), (":authority", "other.example")]),
        list(&[(":method", "POST"), (":scheme", "https"), (":path", "*"), (":authority", "localhost")]),
        // No path, two paths, a word in capitals, a header of HTTP/1.1.
        list(&[(":method", "POST"), (":scheme", "https"), (":authority", "localhost")]),
        list(&[(":method", "POST"), (":scheme", "https"), (":path", "/a"), (":path", "/b"), (":authority", "localhost")]),
        [call("/ward.v1.Ward/Look"), header(false, "X-Capitals", "1")].concat(),
        [call("/ward.v1.Ward/Look"), header(false, "connection", "keep-alive")].concat(),
        [call("/ward.v1.Ward/Look"), header(false, "content-length", "-1")].concat(),
        // After the path was settled, another.
        [call("/ward.v1.Ward/Nothing"), header(false, ":path", "/ward.v1.Ward/Look")].concat(),
    ];
    for (at, block) in cases.iter().enumerate() {
        let mut peer = Peer::open(&process.world, "clinician", &[]).await;
        peer.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, block)).await.unwrap();
        eventually("an end", async || {
            let heard = peer.heard();
            (heard.goaway.is_some() || heard.resets.contains_key(&1) || heard.headers.contains_key(&1)).then_some(())
        })
        .await;
        others.rounds(1).await;
        assert_eq!(got.calls.lock().unwrap().len(), calls, "case {at} reached the service");
        process.is_well();
    }
}
