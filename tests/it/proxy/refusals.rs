//! Routes that can't be served, and calls that no message of goes on.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use std::io::Write;
use tonic::{Code, Status};
use tower::ServiceExt;

use super::{Client, World, ask, folder, patient, ward};
use crate::harness::{Folder, NO_ROOM, filled, pem_files, prefixed, soon, status_of};

/// Why a gateway does not start on the folder after this change.
async fn why(route: &str, change: impl FnOnce(&Folder)) -> String {
    let folder = folder("127.0.0.1:1", route);
    change(&folder);
    World::at(folder, Default::default()).await.err().expect("it does not start").to_string()
}

fn replace(folder: &Folder, file: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(folder.join(file), text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_that_cannot_be_served_are_named_at_the_start() {
    let said = why("", |folder| replace(folder, "twinveil.toml", "methods = \"ward.v1.Ward\"", "methods = \"ward.v1.Word\"")).await;
    assert!(said.contains("ward.v1.Word") && said.contains("no such service or method"), "{said}");
    let said = why("", |folder| std::fs::write(folder.join("ward.binpb"), b"\xff\xff").unwrap()).await;
    assert!(said.contains("no `FileDescriptorSet`"), "{said}");
    let said = why("", |folder| {
        std::fs::write(folder.join("ward.proto"), "syntax = \"proto3\"; message {").unwrap();
        replace(folder, "twinveil.toml", "descriptor = \"ward.binpb\"", "descriptor = \"ward.proto\"");
    })
    .await;
    assert!(said.starts_with("TV-O02") && said.contains("ward.proto"), "{said}");
    let said = why("", |folder| std::fs::write(folder.join("ward.fields.toml"), b"\xff").unwrap()).await;
    assert!(said.contains("is not UTF-8 text"), "{said}");
    let said = why("", |folder| replace(folder, "ward.fields.toml", "note = ", "nota = ")).await;
    assert!(said.contains("nota"), "{said}");
    let said = why("subject = \"none\"", |_| ()).await;
    assert!(said.contains("`ward.v1.Ask`") && said.contains("say where the subject is"), "{said}");
    let public = "patient = { sensitivity = \"public\", category = \"operation\" }\ncount";
    let asked = "patient = { sensitivity = \"identifying\", category = \"identity\", role = \"subject\" }\ncount";
    let said = why("subject = \"none\"", |folder| replace(folder, "ward.fields.toml", asked, public)).await;
    assert!(said.contains("`ward.v1.Chart`") && said.contains("say where the subject is"), "{said}");
    let tls = "tls = { certificate = \"ward.fields.toml\", private_key = \"certs/portal.key\", ca = \"certs/ca.pem\" }";
    let said = why("", |folder| replace(folder, "twinveil.toml", "insecure = true", tls)).await;
    assert!(said.contains("ward.fields.toml"), "{said}");
}

/// A call of `Look` with these headers, and how it ended.
async fn call(world: &World, method: &str, headers: &[(&str, &str)], body: Bytes) -> (Code, String) {
    let mut request = http::Request::builder().method(method).uri("/ward.v1.Ward/Look").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = StreamBody::new(tokio_stream::iter([Ok::<_, Status>(Frame::data(body))]));
    let request = request.body(tonic::body::Body::new(body)).unwrap();
    let answer = soon("an answer", world.channel("clinician").await.oneshot(request)).await.expect("an answer");
    let (code, text) = status_of(answer).await;
    (code, text.split(':').next().unwrap_or_default().to_owned())
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_not_understood_do_not_reach_the_upstream() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    let body = || prefixed(0, &ask("p-1").encode_to_vec());
    let malformed = (Code::InvalidArgument, "TV-G04".to_owned());
    assert_eq!(call(&world, "POST", &[("content-type", "text/html")], body()).await, malformed);
    assert_eq!(call(&world, "GET", &[GRPC], body()).await, malformed);
    assert_eq!(call(&world, "POST", &[GRPC, ("grpc-timeout", "soon")], body()).await, malformed);
    assert_eq!(call(&world, "POST", &[GRPC, ("grpc-encoding", "snappy")], body()).await.1, "TV-G10");
    assert!(got.calls.lock().unwrap().is_empty() && got.messages.lock().unwrap().is_empty());
    assert_eq!(call(&world, "POST", &[GRPC], body()).await.0, Code::Ok);
    assert_eq!(got.asks(), [ask("p-1")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_requests_are_judged_and_bombs_are_not_opened() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let message = ask("p-1").encode_to_vec();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&message).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&message[..], ruzstd::encoding::CompressionLevel::Fastest);
    for (name, packed) in [("gzip", gzip(&message)), ("deflate", zlib.finish().unwrap()), ("zstd", zstd)] {
        assert_eq!(call(&world, "POST", &[GRPC, ("grpc-encoding", name)], prefixed(1, &packed)).await.0, Code::Ok, "{name}");
    }
    assert_eq!(got.asks(), [ask("p-1"), ask("p-1"), ask("p-1")]);
    // The same of somebody who agreed to nothing: opened, judged, and without the name.
    let other = gzip(&ask("p-2").encode_to_vec());
    assert_eq!(call(&world, "POST", &[GRPC, ("grpc-encoding", "gzip")], prefixed(1, &other)).await.0, Code::Ok);
    assert_eq!(got.asks().last().map(|ask| ask.patient.clone()), Some(String::new()));
    let before = got.messages.lock().unwrap().len();
    let bomb = gzip(&vec![0; 32 << 20]);
    assert_eq!(call(&world, "POST", &[GRPC, ("grpc-encoding", "gzip")], prefixed(1, &bomb)).await.1, "TV-G11");
    let broken = gzip(&[&message[..], &[0x0a, 0x7f]].concat());
    assert_eq!(call(&world, "POST", &[GRPC, ("grpc-encoding", "gzip")], prefixed(1, &broken)).await.1, "TV-G22");
    assert_eq!(got.messages.lock().unwrap().len(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_shows_no_certificate_of_its_partys_gets_nothing() {
    let (address, got) = crate::harness::ward::serve().await;
    let plain = folder(&format!("localhost:{}", address.port()), "");
    let files = pem_files(&plain.0, "portal");
    assert!(files.certificate.exists());
    let tls = "tls = { certificate = \"certs/portal.pem\", private_key = \"certs/portal.key\", ca = \"certs/ca.pem\" }";
    replace(&plain, "twinveil.toml", "insecure = true", tls);
    let world = World::at(plain, Default::default()).await.unwrap_or_else(|error| panic!("{error}"));
    patient(&world, "p-1").await;
    let error = soon("an end", Client::of(&world).await.look(ask("p-1"))).await.unwrap_err();
    assert_eq!((error.code(), error.message().split(':').next()), (Code::Unavailable, Some("TV-G19")));
    assert!(got.calls.lock().unwrap().is_empty() && got.messages.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_an_upstream_may_be_for_an_ipv6_address() {
    let plain = folder("[::1]:1", "");
    let tls =
        "tls = { certificate = \"certs/portal.pem\", private_key = \"certs/portal.key\", ca = \"certs/ca.pem\", server_name = \"::1\" }";
    replace(&plain, "twinveil.toml", "insecure = true", tls);
    let world = World::at(plain, Default::default()).await.unwrap_or_else(|error| panic!("{error}"));
    patient(&world, "p-1").await;
    let error = soon("an end", Client::of(&world).await.look(ask("p-1"))).await.unwrap_err();
    assert_eq!((error.code(), error.message().split(':').next()), (Code::Unavailable, Some("TV-G19")), "nobody is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_purpose_of_a_call_is_one_that_the_route_allows() {
    let (address, got) = crate::harness::ward::serve().await;
    let made = folder(&address.to_string(), "");
    let stated = "purpose_metadata = \"x-purpose\"\npurposes = [\"dpv:ServiceProvision\"]\nsubject = \"field\"";
    replace(&made, "twinveil.toml", "purpose = \"dpv:ServiceProvision\"\nsubject = \"field\"", stated);
    let world = World::at(made, Default::default()).await.unwrap_or_else(|error| panic!("{error}"));
    patient(&world, "p-1").await;
    let body = || prefixed(0, &ask("p-1").encode_to_vec());
    for headers in [&[GRPC][..], &[GRPC, ("x-purpose", "dpv:Marketing")], &[GRPC, ("x-purpose", "no purpose")]] {
        assert_ne!(call(&world, "POST", headers, body()).await.0, Code::Ok, "{headers:?}");
    }
    assert!(got.calls.lock().unwrap().is_empty());
    assert_eq!(call(&world, "POST", &[GRPC, ("x-purpose", "dpv:ServiceProvision")], body()).await.0, Code::Ok);
    assert_eq!(got.asks(), [ask("p-1")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_large_once_it_is_opened_needs_room_like_any_other() {
    let (world, got) = ward(NO_ROOM).await;
    patient(&world, "p-1").await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&crate::proxy::asking("p-1", &"w".repeat(30_000)).encode_to_vec()).unwrap();
    let packed = prefixed(1, &gzip.finish().unwrap());
    let halves = filled(&world).await;
    let headers = [GRPC, ("grpc-encoding", "gzip")];
    assert_eq!(call(&world, "POST", &headers, packed.clone()).await, (Code::ResourceExhausted, "TV-G27".to_owned()));
    assert!(got.messages.lock().unwrap().is_empty());
    drop(halves);
    crate::harness::eventually("room for it", async || (call(&world, "POST", &headers, packed.clone()).await.0 == Code::Ok).then_some(()))
        .await;
    assert_eq!(got.asks().last().map(|ask| ask.word.len()), Some(30_000));
}
