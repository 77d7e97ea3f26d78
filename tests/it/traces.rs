//! Are calls told to a collector of traces, with method, status and duration, and with nothing of what they carried?

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use tokio::net::TcpListener;

use crate::harness::{eventually, prefixed, status_of, unheard};
use crate::proxy::{Client, ask, asking, bare, patient, ward};

/// What of OTLP a span of ours uses, as its `.proto`s have it.
const OTLP: &str = r#"
syntax = "proto3";
package otlp;
message Request { repeated ResourceSpans resource_spans = 1; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ScopeSpans { Scope scope = 1; repeated Span spans = 2; }
message Scope { string name = 1; string version = 2; }
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
message Status { string message = 2; int32 code = 3; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5; int32 kind = 6;
  fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated KeyValue attributes = 9; Status status = 15;
}
"#;

type Got = Arc<Mutex<Vec<Bytes>>>;

/// A collector that keeps what it is sent.
async fn collector() -> (SocketAddr, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, got) = (listener.local_addr().unwrap(), Got::default());
    let seen = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    assert_eq!(request.uri().path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    seen.lock().unwrap().push(body);
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    let frames = [Ok::<_, Infallible>(Frame::data(prefixed(0, b""))), Ok(Frame::trailers(trailers))];
                    let mut response = Response::new(StreamBody::new(tokio_stream::iter(frames)));
                    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service));
        }
    });
    (address, got)
}

/// Name, status code, and whether it counts as an error, of every span that came.
fn spans(got: &Got) -> Vec<(String, i64, bool)> {
    struct Only;
    impl protox::file::FileResolver for Only {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            protox::file::File::from_source(name, OTLP)
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Only);
    compiler.open_file("otlp.proto").unwrap();
    let pool = DescriptorPool::decode(&compiler.encode_file_descriptor_set()[..]).unwrap();
    let kind = pool.get_message_by_name("otlp.Request").unwrap();
    let mut found = Vec::new();
    let list = |message: &DynamicMessage, name: &str| -> Vec<DynamicMessage> {
        let value = message.get_field_by_name(name).unwrap().into_owned();
        value.as_list().unwrap().iter().map(|one| one.as_message().unwrap().clone()).collect()
    };
    for body in got.lock().unwrap().iter() {
        let message = DynamicMessage::decode(kind.clone(), &body[5..]).unwrap();
        assert!(message.unknown_fields().next().is_none());
        for resource in list(&message, "resource_spans") {
            for scope in list(&resource, "scope_spans") {
                for span in list(&scope, "spans") {
                    let get = |name: &str| span.get_field_by_name(name).unwrap().into_owned();
                    assert_eq!((get("trace_id").as_bytes().unwrap().len(), get("span_id").as_bytes().unwrap().len()), (16, 8));
                    assert!(get("start_time_unix_nano").as_u64() < get("end_time_unix_nano").as_u64() && get("kind") == Value::I32(2));
                    let attributes = list(&span, "attributes");
                    let keys: Vec<_> =
                        attributes.iter().map(|one| one.get_field_by_name("key").unwrap().as_str().unwrap().to_owned()).collect();
                    assert_eq!(keys, ["rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code"]);
                    let code = attributes[3]
                        .get_field_by_name("value")
                        .unwrap()
                        .as_message()
                        .unwrap()
                        .get_field_by_name("int_value")
                        .unwrap()
                        .as_i64();
                    found.push((get("name").as_str().unwrap().to_owned(), code.unwrap(), span.has_field_by_name("status")));
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_told_with_method_status_and_duration_and_nothing_of_what_they_carry() {
    let (address, got) = collector().await;
    let (mut world, _) = ward(&format!("[traces]\nendpoint = \"http://{address}\"")).await;
    patient(&world, "patient-1").await;
    let mut client = Client::of(&world).await;
    client.look(ask("patient-1")).await.unwrap();
    client.look(asking("patient-1", "fail")).await.unwrap_err();
    client.look(asking("patient-1", "cut")).await.unwrap_err();
    let mut watched = client.watch(ask("patient-1")).await.unwrap();
    while watched.message().await.unwrap().is_some() {}
    let channel = world.channel("clinician").await;
    status_of(bare(&channel, "/patient-1.Milo/Feil", vec![]).await).await;
    let look = "ward.v1.Ward/Look";
    let wanted = [(look, 0, false), (look, 6, false), (look, 14, true), ("ward.v1.Ward/Watch", 0, false), ("other", 12, true)];
    let calls = eventually("the spans of the calls", async || {
        let spans: Vec<_> = spans(&got).into_iter().filter(|(name, ..)| !name.starts_with("twinveil.v1.Consents/")).collect();
        (spans.len() >= wanted.len()).then_some(spans)
    })
    .await;
    assert_eq!(calls.iter().map(|(name, code, error)| (name.as_str(), *code, *error)).collect::<Vec<_>>(), wanted);
    // What is on its way at a stop is told as well.
    client.look(ask("patient-1")).await.unwrap();
    world.stop_serving().await;
    assert_eq!(spans(&got).iter().filter(|(name, ..)| name == look).count(), 4);
    let bytes: Vec<u8> = got.lock().unwrap().iter().flatten().copied().collect();
    for word in ["patient-1", "Milo", "Feil", "clinician", "hospital", "note", "spiffe"] {
        assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_spans_and_no_call() {
    let (_held, dead) = unheard();
    let (world, _) = ward(&format!("[traces]\nendpoint = \"http://{dead}\"")).await;
    patient(&world, "patient-1").await;
    Client::of(&world).await.look(ask("patient-1")).await.unwrap();
    eventually("a loss that is counted", async || (world.metric("twinveil_spans_lost_total").await > 0).then_some(())).await;
}
