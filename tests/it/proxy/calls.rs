//! Calls of every kind, and their ends.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Request};
use tower::ServiceExt;

use super::{Client, ask, asking, at, bare, patient, ward};
use crate::harness::ward::{chart, serve};
use crate::harness::{prefixed, soon, status_of, unheard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unary_and_streaming_calls_go_through_both_ways() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    assert_eq!(client.look(ask("p-1")).await.unwrap().into_inner(), chart("p-1", 0));
    let mut watched = client.watch(ask("p-1")).await.unwrap();
    for number in 0..3 {
        assert_eq!(watched.message().await.unwrap(), Some(chart("p-1", number)));
    }
    assert_eq!(watched.message().await.unwrap(), None);
    got.messages.lock().unwrap().clear();
    let sent: Vec<_> = (0..50).map(|number| chart("p-1", number)).collect();
    assert_eq!(client.record(sent.clone()).await.unwrap().count, 50);
    assert_eq!(got.charts(), sent);
    // Both ways at once, one message at a time: nothing waits for more than is there.
    let (to, from) = tokio::sync::mpsc::channel(1);
    let mut answers = soon("the headers of the answer", client.talk(from)).await.unwrap();
    for number in 0..5 {
        to.send(chart("p-1", number)).await.unwrap();
        assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(chart("p-1", number)));
    }
    drop(to);
    assert_eq!(soon("the end after half-close", answers.message()).await.unwrap(), None);
    assert!(world.metric("twinveil_messages_out_total").await >= 65);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_go_through_in_pieces() {
    let (world, _) = ward("[limits]\nframe_bytes_max = 8388608").await;
    patient(&world, "p-1").await;
    let mut client = Client(tonic::client::Grpc::new(world.channel("clinician").await).max_decoding_message_size(16 << 20));
    let answer = client.look(asking("p-1", "large")).await.unwrap().into_inner();
    assert_eq!(answer.blob, vec![7; 4 << 20]);
    let small = ward("").await.0;
    patient(&small, "p-1").await;
    let error = Client::of(&small).await.look(asking("p-1", "large")).await.unwrap_err();
    assert_eq!((error.code(), error.message().split(':').next()), (Code::ResourceExhausted, Some("TV-G11")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_the_upstream_do_not_pass_and_its_code_does() {
    let (world, _) = ward("metadata = [\"x-request-id\"]").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let error = client.look(asking("p-1", "fail")).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists);
    assert!(!error.message().contains("Milo") && error.details().is_empty(), "{error:?}");
    let answer = client.look(ask("p-1")).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "17");
    assert!(answer.metadata().get("x-ward").is_none() && answer.metadata().get("x-trace").is_none());
    let (open, _) = ward("errors = \"pass\"").await;
    patient(&open, "p-1").await;
    let error = Client::of(&open).await.look(asking("p-1", "fail")).await.unwrap_err();
    assert_eq!((error.message(), error.details()), ("patient Milo Feil has a record already", &b"Milo Feil"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_callers_metadata_only_what_the_route_names_reaches_the_upstream() {
    let (world, got) = ward("metadata = [\"x-request-id\"]").await;
    patient(&world, "p-1").await;
    let mut request = Request::new(ask("p-1"));
    request.metadata_mut().insert("x-request-id", "17".parse().unwrap());
    request.metadata_mut().insert("authorization", "Bearer secret".parse().unwrap());
    request.set_timeout(Duration::from_secs(5));
    Client::of(&world).await.look(request).await.unwrap();
    let (path, headers) = got.calls.lock().unwrap()[0].clone();
    assert_eq!(path, "/ward.v1.Ward/Look");
    let names: std::collections::BTreeSet<_> = headers.keys().map(ToString::to_string).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["content-type", "grpc-accept-encoding", "grpc-timeout", "te", "x-request-id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_of_every_kind_are_told() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let mut late = Request::new(asking("p-1", "stall"));
    late.set_timeout(Duration::from_millis(200));
    assert_eq!(soon("the deadline", client.look(late)).await.unwrap_err().code(), Code::DeadlineExceeded);
    for (word, code, own) in [("cut", Code::Unavailable, "TV-G20"), ("html", Code::Internal, "TV-G21")] {
        let error = soon("an end", client.look(asking("p-1", word))).await.unwrap_err();
        assert_eq!((error.code(), error.message().split(':').next()), (code, Some(own)), "{word}");
    }
    // No route, no byte.
    let before = got.calls.lock().unwrap().len();
    let channel = world.channel("clinician").await;
    let answer = bare(&channel, "/ward.v2.Ward/Look", vec![prefixed(0, b"\x0a\x01x")]).await;
    assert_eq!(status_of(answer).await.0, Code::Unimplemented);
    let stranger = world.channel("researcher").await;
    let answer = bare(&stranger, "/ward.v1.Ward/Look", vec![prefixed(0, b"\x0a\x01x")]).await;
    assert_eq!(status_of(answer).await.0, Code::PermissionDenied);
    assert_eq!(got.calls.lock().unwrap().len(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_judged_is_not_forwarded() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    let channel = world.channel("clinician").await;
    let broken = [&ask("p-1").encode_to_vec()[..], &[0x0a, 0x7f]].concat();
    let cases: [(Vec<Bytes>, Code, &str); 5] = [
        (vec![prefixed(0, &broken)], Code::InvalidArgument, "TV-G22"),
        (vec![prefixed(1, &broken)], Code::InvalidArgument, "TV-G04"),
        (vec![prefixed(7, &broken)], Code::InvalidArgument, "TV-G04"),
        // Two requests where there is one, and half of one.
        (vec![prefixed(0, b""), prefixed(0, b"")], Code::InvalidArgument, "TV-G04"),
        (vec![Bytes::from_static(&[0, 0, 0, 0, 9, 1])], Code::InvalidArgument, "TV-G04"),
    ];
    for (body, code, own) in cases {
        let (found, text) = status_of(bare(&channel, "/ward.v1.Ward/Look", body).await).await;
        assert_eq!((found, text.split(':').next()), (code, Some(own)));
    }
    assert!(got.messages.lock().unwrap().iter().all(|message| message.is_empty()), "{:?}", got.messages);
    // The upstream's own broken message ends the stream, or is left out.
    let mut watched = Client::of(&world).await.watch(asking("p-1", "broken")).await.unwrap();
    assert_eq!(watched.message().await.unwrap(), Some(chart("p-1", 0)));
    assert_eq!(watched.message().await.unwrap_err().code(), Code::InvalidArgument);
    let (lenient, _) = ward("undecidable = \"drop-and-report\"").await;
    patient(&lenient, "p-1").await;
    let mut watched = Client::of(&lenient).await.watch(asking("p-1", "broken")).await.unwrap();
    assert_eq!(watched.message().await.unwrap(), Some(chart("p-1", 0)));
    assert_eq!(watched.message().await.unwrap(), Some(chart("p-1", 2)));
    assert_eq!(watched.message().await.unwrap(), None);
    assert_eq!(lenient.metric("twinveil_messages_withheld_total").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_known_subject_that_is_broken_further_in_is_not_forwarded() {
    let (world, got) = ward("subject = \"metadata\"\nsubject_metadata = \"x-patient\"").await;
    patient(&world, "p-1").await;
    let channel = world.channel("clinician").await;
    let broken = [&ask("p-1").encode_to_vec()[..], &[0x12, 0x7f]].concat();
    let body = http_body_util::Full::new(prefixed(0, &broken));
    let request = http::Request::post("/ward.v1.Ward/Look").header("content-type", "application/grpc").header("x-patient", "p-1");
    let answer = soon("an answer", channel.oneshot(request.body(tonic::body::Body::new(body)).unwrap())).await.unwrap();
    let (code, text) = status_of(answer).await;
    assert_eq!((code, text.split(':').next()), (Code::InvalidArgument, Some("TV-G22")));
    assert!(got.messages.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_addresses_those_that_answer_serve() {
    let (_held, dead) = unheard();
    let alive = serve().await.0;
    let world = at(&format!("{dead},{alive}"), "").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    for _ in 0..4 {
        assert_eq!(client.look(ask("p-1")).await.unwrap().into_inner(), chart("p-1", 0));
    }
    let nobody = at(&dead.to_string(), "").await;
    patient(&nobody, "p-1").await;
    let error = soon("an answer without an upstream", Client::of(&nobody).await.look(ask("p-1"))).await.unwrap_err();
    assert_eq!((error.code(), error.message().split(':').next()), (Code::Unavailable, Some("TV-G19")));
}
