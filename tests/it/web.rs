//! Does a browser's page get what a program gets, and no page more than the operator allows?

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use prost::Message;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use twinveil::gate::tls::ClientTls;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::subscribe_response::Kind;
use twinveil::proto::v1::{SubscribeRequest, SubscribeResponse};

use crate::gateway::patient_frames;
use crate::harness::ward::{Chart, chart};
use crate::harness::{Given, PATIENT, World, pem_files, permit_all, prefixed, raw_call, soon};
use crate::proxy::{CARE, ask, asking, patient, ward};

const ORIGIN: &str = "https://ward.example.org";
const LOOK: &str = "/ward.v1.Ward/Look";

type Page = SendRequest<Full<Bytes>>;

/// A browser without HTTP/2, with a party's certificate or without one.
async fn page(world: &World, party: Option<&str>) -> Option<Page> {
    let files = pem_files(&world.folder.0, party.unwrap_or("clinician"));
    let mut config = (*ClientTls::load(&files).unwrap().config()).clone();
    if party.is_none() {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in rustls::pki_types::CertificateDer::pem_file_iter(&files.peer_ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        config = builder.with_root_certificates(roots).with_no_client_auth();
    }
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let socket = TcpStream::connect(world.gate).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, socket)).await.ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

fn call(path: &str, kind: &str, origin: Option<&str>, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::post(path).header("host", "localhost").header("content-type", kind).header("x-grpc-web", "1");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    request.body(Full::new(body.into())).unwrap()
}

async fn sent(page: &mut Page, request: Request<Full<Bytes>>) -> Response<Incoming> {
    soon("room for a request", page.ready()).await.unwrap();
    soon("an answer", page.send_request(request)).await.unwrap()
}

/// The messages of a whole answer, and the trailers behind them.
fn parts(mut body: &[u8]) -> (Vec<Vec<u8>>, String) {
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while let Some((&[flag, a, b, c, d], rest)) = body.split_first_chunk::<5>() {
        assert!(trailers.is_empty(), "trailers are the last");
        let (message, behind) = rest.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
        match flag {
            0 => messages.push(message.to_vec()),
            0x80 => trailers = String::from_utf8(message.to_vec()).unwrap(),
            other => panic!("flag {other}"),
        }
        body = behind;
    }
    assert!(body.is_empty());
    (messages, trailers)
}

async fn whole(response: Response<Incoming>) -> Vec<u8> {
    soon("the whole answer", response.into_body().collect()).await.unwrap().to_bytes().to_vec()
}

/// Text comes in pieces, each padded for itself.
fn from_text(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    text.as_bytes().chunks(4).flat_map(|group| BASE64.decode(group).unwrap()).collect()
}

async fn world() -> (World, crate::harness::ward::Got) {
    let (world, got) = ward("metadata = [\"x-request-id\"]\n[web]\norigins = [\"https://ward.example.org\"]").await;
    patient(&world, "p-1").await;
    (world, got)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_calls_a_service_behind_the_gateway_in_either_form() {
    let (world, got) = world().await;
    let mut page = page(&world, Some("clinician")).await.unwrap();
    let message = prefixed(0, &ask("p-1").encode_to_vec());
    for kind in ["application/grpc-web", "application/grpc-web+proto"] {
        let answer = sent(&mut page, call(LOOK, kind, Some(ORIGIN), message.clone())).await;
        assert_eq!((answer.status(), &answer.headers()["content-type"]), (StatusCode::OK, &"application/grpc-web+proto".parse().unwrap()));
        assert_eq!(answer.headers()["access-control-allow-origin"], ORIGIN);
        assert!(answer.headers()["access-control-expose-headers"].to_str().unwrap().contains("x-request-id"));
        let (messages, trailers) = parts(&whole(answer).await);
        assert_eq!(messages.iter().map(|message| Chart::decode(&message[..]).unwrap()).collect::<Vec<_>>(), [chart("p-1", 0)]);
        assert_eq!(trailers, "grpc-status: 0\r\n");
    }
    // In base64, in two pieces.
    let (one, other) = message.split_at(7);
    let text = [BASE64.encode(one), BASE64.encode(other)].concat();
    let answer = sent(&mut page, call("/ward.v1.Ward/Watch", "application/grpc-web-text", Some(ORIGIN), text)).await;
    assert_eq!(answer.headers()["content-type"], "application/grpc-web-text+proto");
    let (messages, trailers) = parts(&from_text(&whole(answer).await));
    let charts: Vec<_> = messages.iter().map(|message| Chart::decode(&message[..]).unwrap()).collect();
    assert_eq!((charts, trailers.as_str()), ((0..3).map(|number| chart("p-1", number)).collect(), "grpc-status: 0\r\n"));
    assert_eq!(got.asks().len(), 3);
    // The upstream sees nothing of the web.
    let calls = got.calls.lock().unwrap().clone();
    assert!(calls.iter().all(|(_, headers)| headers["content-type"] == "application/grpc" && !headers.contains_key("origin")));
    drop(calls);
    // Errors are told as well, wherever they come from.
    let answer =
        sent(&mut page, call(LOOK, "application/grpc-web", Some(ORIGIN), prefixed(0, &asking("p-1", "fail").encode_to_vec()))).await;
    assert_eq!(answer.headers()["grpc-status"], "6");
    whole(answer).await;
    for (kind, body) in
        [("application/grpc-web-text", &b"AAAA=x"[..]), ("application/grpc-web", &[0x80, 0, 0, 0, 0]), ("application/grpc", &message)]
    {
        let answer = sent(&mut page, call(LOOK, kind, Some(ORIGIN), Bytes::copy_from_slice(body))).await;
        assert!(answer.headers().get("grpc-status").is_some_and(|status| status == "3"), "{kind} {:?}", answer.headers());
        whole(answer).await;
    }
    assert!(got.asks().iter().all(|ask| ask.patient.is_empty() || ask.patient == "p-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_subscribes() {
    let (world, _) = world().await;
    let frames = patient_frames(1, 3);
    let person = world.patient(&frames[0].patient_id).await;
    world.grant(&person, &Given::to(&world, &["clinician"], CARE).rules(permit_all())).await;
    let wanted = SubscribeRequest { schema: PATIENT.into(), purpose: CARE.into(), ..SubscribeRequest::default() };
    let request = call("/twinveil.v1.Frames/Subscribe", "application/grpc-web", Some(ORIGIN), prefixed(0, &wanted.encode_to_vec()));
    let mut page = page(&world, Some("clinician")).await.unwrap();
    let mut body = sent(&mut page, request).await.into_body();
    world.publish("hospital", PATIENT, &frames).await;
    let (mut bytes, mut came) = (Vec::new(), Vec::new());
    while came.len() < frames.len() {
        bytes.extend_from_slice(&soon("frames", body.frame()).await.unwrap().unwrap().into_data().unwrap());
        while bytes.len() >= 5 {
            let len = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
            if bytes.len() < 5 + len {
                break;
            }
            if let Some(Kind::Batch(batch)) = SubscribeResponse::decode(&bytes[5..5 + len]).unwrap().kind {
                came.extend(batch.frames.iter().map(|frame| PatientFrame::decode(&frame.message[..]).unwrap()));
            }
            bytes.drain(..5 + len);
        }
    }
    let notes = |frames: &[PatientFrame]| frames.iter().map(|frame| (frame.sequence, frame.note.clone())).collect::<Vec<_>>();
    assert_eq!(notes(&came), notes(&frames));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_and_people_without_a_certificate_get_nothing() {
    let (world, got) = world().await;
    let message = prefixed(0, &ask("p-1").encode_to_vec());
    let mut own = page(&world, Some("clinician")).await.unwrap();
    for origin in ["https://evil.example.org", "https://ward.example.org.evil.org", "null", "http://ward.example.org"] {
        let answer = sent(&mut own, call(LOOK, "application/grpc-web", Some(origin), message.clone())).await;
        assert_eq!((answer.status(), answer.headers().get("access-control-allow-origin")), (StatusCode::FORBIDDEN, None), "{origin}");
        assert!(answer.headers()["grpc-message"].to_str().unwrap().starts_with("TV-G26"));
        whole(answer).await;
    }
    // Browsers ask first, and show no certificate then.
    let preflight = |origin: &str| {
        let request = Request::builder().method(Method::OPTIONS).uri(LOOK).header("host", "localhost").header("origin", origin);
        request.header("access-control-request-method", "POST").body(Full::default()).unwrap()
    };
    let mut nobody = page(&world, None).await.unwrap();
    for browser in [&mut own, &mut nobody] {
        let answer = sent(browser, preflight(ORIGIN)).await;
        assert_eq!((answer.status(), &answer.headers()["access-control-allow-origin"]), (StatusCode::NO_CONTENT, &ORIGIN.parse().unwrap()));
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
        assert!(answer.headers()["access-control-allow-headers"].to_str().unwrap().ends_with(", x-request-id"));
        assert_eq!(sent(browser, preflight("https://evil.example.org")).await.status(), StatusCode::FORBIDDEN);
    }
    for kind in ["application/grpc-web", "application/grpc"] {
        let answer = sent(&mut nobody, call(LOOK, kind, Some(ORIGIN), message.clone())).await;
        assert_eq!(answer.headers()["grpc-status"], "7");
        assert!(answer.headers()["grpc-message"].to_str().unwrap().starts_with("TV-G14"));
        whole(answer).await;
    }
    assert!(got.calls.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_2_it_is_the_same_and_without_web_there_is_none_of_it() {
    let (world, _) = world().await;
    let message = prefixed(0, &ask("p-1").encode_to_vec());
    let channel = world.channel("clinician").await;
    let (answer, _) = raw_call(channel, LOOK, "application/grpc-web+proto", vec![message.clone()], true).await;
    assert_eq!((answer.version(), &answer.headers()["content-type"]), (Version::HTTP_2, &"application/grpc-web+proto".parse().unwrap()));
    let body = answer.into_body().collect().await.unwrap();
    assert!(body.trailers().is_none());
    let (messages, trailers) = parts(&body.to_bytes());
    assert_eq!((messages.len(), trailers.as_str()), (1, "grpc-status: 0\r\n"));
    let (plain, got) = ward("").await;
    assert!(page(&plain, Some("clinician")).await.is_none(), "no HTTP/1.1 is offered");
    let (answer, _) = raw_call(plain.channel("clinician").await, LOOK, "application/grpc-web+proto", vec![message], true).await;
    assert_eq!(answer.headers()["grpc-status"], "3");
    assert!(got.calls.lock().unwrap().is_empty());
    // A page whose right to come was taken away, at a reload.
    let mut page = page(&world, Some("clinician")).await.unwrap();
    world.edit("twinveil.toml", |text| text.replace("origins = [\"https://ward.example.org\"]", "origins = []"));
    world.reload().await.unwrap();
    let answer = sent(&mut page, call(LOOK, "application/grpc-web", Some(ORIGIN), prefixed(0, b""))).await;
    assert_eq!(answer.headers()["grpc-status"], "3");
}
