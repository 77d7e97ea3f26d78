//! Upstreams that are not what they should be, and calls that end before they answer: does the caller learn whose move it is, and
//! does nothing get across?

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tonic::{Code, Status};
use twinveil::cli::certs;
use twinveil::config::Config;
use twinveil::gate::tls::{ClientTls, PemFiles, server};
use twinveil::veil::name::Spiffe;

use super::{CARE, Client, World, ask, asking, at, folder, patient, ward};
use crate::harness::ward::{self as service, chart};
use crate::harness::{Folder, eventually, pem_files, prefixed, raw_call, soon};

/// Who agreed to nothing: none of what is theirs may be in any byte.
const SECRET: &str = "nobody-enrolled-this-one";
const UPSTREAM_TLS: &str =
    "tls = { certificate = \"certs/ward-gateway.pem\", private_key = \"certs/ward-gateway.key\", ca = \"certs/ward-ca.pem\" }";

/// The code of a refusal, and the gateway's own.
fn refused(status: &Status) -> (Code, String) {
    (status.code(), status.message().split(':').next().unwrap_or_default().to_owned())
}

/// Certificates of a service that says it is `spiffe`, and of the gateway in front of it.
fn certificates(folder: &Folder, name: &str, spiffe: &str) -> PemFiles {
    let parties = vec![("gateway".to_owned(), Spiffe::parse("spiffe://example.org/gateway").unwrap())];
    certs::run(certs::Args { dir: folder.join(name), server: spiffe.to_owned(), parties }).unwrap();
    let file = |end: &str| folder.join(name).join(end);
    PemFiles { certificate: file("server.pem"), private_key: file("server.key"), peer_ca: file("ca.pem") }
}

/// A gateway that reaches the ward over TLS, with its certificates from `one`; it believes the authorities of all that are named.
fn over_tls(address: SocketAddr, made: &Folder, one: &str, believed: &[&str]) -> Folder {
    let plain = folder(&address.to_string(), "");
    for file in ["gateway.pem", "gateway.key"] {
        std::fs::copy(made.join(one).join(file), plain.join(&format!("certs/ward-{file}"))).unwrap();
    }
    let authorities: String = believed.iter().map(|name| std::fs::read_to_string(made.join(name).join("ca.pem")).unwrap()).collect();
    std::fs::write(plain.join("certs/ward-ca.pem"), authorities).unwrap();
    let text = std::fs::read_to_string(plain.join("twinveil.toml")).unwrap();
    let (before, rest) = text.rsplit_once("insecure = true").unwrap();
    std::fs::write(plain.join("twinveil.toml"), format!("{before}{UPSTREAM_TLS}{rest}")).unwrap();
    plain
}

async fn started(folder: Folder) -> World {
    World::at(folder, Default::default()).await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_only_the_right_party_that_speaks_http2_gets_a_call() {
    let made = Folder::new();
    let hospital = "spiffe://example.org/source/hospital";
    let right = certificates(&made, "right", hospital);
    let other = certificates(&made, "other", "spiffe://example.org/source/windfarm");
    // Believed as an authority, and it lets the gateway in; only the name in its certificate is another party's.
    let impostor = PemFiles { peer_ca: right.peer_ca.clone(), ..other.clone() };
    let stranger_to = PemFiles { peer_ca: other.peer_ca, ..right.clone() };
    let mut old = (*server(&right).unwrap()).clone();
    old.alpn_protocols.clear();
    let (shown, shows) = watch::channel(server(&impostor).unwrap());
    let (address, got) = service::serve_tls(shows).await;
    let world = started(over_tls(address, &made, "right", &["right", "other"])).await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let none = |got: &service::Got| got.calls.lock().unwrap().is_empty() && got.messages.lock().unwrap().is_empty();
    let no_upstream = (Code::Unavailable, "TV-G19".to_owned());
    assert_eq!(refused(&client.look(ask("p-1")).await.unwrap_err()), no_upstream, "another party");
    shown.send(Arc::new(old)).unwrap();
    assert_eq!(refused(&client.look(ask("p-1")).await.unwrap_err()), no_upstream, "no HTTP/2");
    // The service asks for a certificate of another authority. Over TLS 1.3 the gateway learns of it after its handshake.
    shown.send(server(&stranger_to).unwrap()).unwrap();
    let status = client.look(ask("p-1")).await.unwrap_err();
    assert!(status.code() == Code::Unavailable && ["TV-G19", "TV-G20"].contains(&&*refused(&status).1), "{status:?}");
    assert!(none(&got));
    shown.send(server(&right).unwrap()).unwrap();
    assert_eq!(client.look(ask("p-1")).await.unwrap().into_inner(), chart("p-1", 0));
    assert_eq!(got.asks(), [ask("p-1")]);
}

#[test]
fn a_name_that_no_server_can_have_is_refused_when_the_configuration_is_read() {
    let made = Folder::new();
    certificates(&made, "right", "spiffe://example.org/source/hospital");
    let folder = over_tls("127.0.0.1:1".parse().unwrap(), &made, "right", &["right"]);
    let file = folder.join("twinveil.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let load = |from: &str, to: &str| {
        assert!(good.contains(from));
        std::fs::write(&file, good.replace(from, to)).unwrap();
        Config::load_with(&file, |_| None).map(drop).map_err(|error| error.to_string())
    };
    load("ward-ca.pem\" }", "ward-ca.pem\", server_name = \"ward.example.org\" }").unwrap();
    load("\"127.0.0.1:1\"", "\"[::1]:1\", \"ward:1\"").unwrap();
    let said = load("ward-ca.pem\" }", "ward-ca.pem\", server_name = \"not a name!\" }").unwrap_err();
    assert!(said.contains("upstream.tls.server_name") && said.contains("not a name!"), "{said}");
    let said = load("\"127.0.0.1:1\"", "\"127.0.0.1:1\", \"not a name!:1\"").unwrap_err();
    assert!(said.contains("upstream.addresses") && said.contains("not a name!"), "{said}");
    // Requests carry the address, also where one name stands for all.
    let named = good.replace("ward-ca.pem\" }", "ward-ca.pem\", server_name = \"ward\" }");
    std::fs::write(&file, named.replace("127.0.0.1:1", "a b:1")).unwrap();
    let said = Config::load_with(&file, |_| None).map(drop).unwrap_err().to_string();
    assert!(said.contains("upstream.addresses") && said.contains("a b:1"), "{said}");
}

/// What a socket does with a connection.
#[derive(Clone, Copy)]
enum Does {
    /// Reads and never says anything.
    Nothing,
    /// Resets it.
    Reset,
    /// Says something that is not HTTP/2.
    Garbage,
}

/// A socket that is no gRPC service, and every byte that it was sent.
async fn socket(does: Does) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, bytes) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
    let kept = Arc::clone(&bytes);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            if matches!(does, Does::Reset) {
                // Without a wait for what is unsent, the end is a reset.
                socket.set_zero_linger().unwrap();
                continue;
            }
            tokio::spawn(async move {
                if matches!(does, Does::Garbage) {
                    let _gone = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
                }
                let mut some = [0; 4096];
                while let Ok(count @ 1..) = socket.read(&mut some).await {
                    kept.lock().unwrap().extend_from_slice(&some[..count]);
                }
            });
        }
    });
    (address, bytes)
}

fn tells(bytes: &Mutex<Vec<u8>>) -> bool {
    bytes.lock().unwrap().windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_hangs_up_or_talks_something_else_is_unavailable() {
    for (does, name) in [(Does::Reset, "resets"), (Does::Garbage, "garbage")] {
        let (address, bytes) = socket(does).await;
        let world = at(&address.to_string(), "").await;
        let mut client = Client::of(&world).await;
        // It depends on who is faster where that is noticed.
        for _ in 0..20 {
            let status = soon("an end", client.look(ask(SECRET))).await.unwrap_err();
            assert!(status.code() == Code::Unavailable && ["TV-G19", "TV-G20"].contains(&&*refused(&status).1), "{name}: {status:?}");
        }
        assert!(!tells(&bytes), "{name}");
        assert_eq!(world.metric("twinveil_calls_total").await, 20, "{name}");
    }
}

/// A call of `Look` by a client that keeps no deadline itself: how it ended.
async fn call(world: &World, timeout: &str) -> (Code, String) {
    let tls = TlsConnector::from(ClientTls::load(&pem_files(&world.folder.0, "clinician")).unwrap().config());
    let stream = tls.connect(ServerName::try_from("localhost").unwrap(), TcpStream::connect(world.gate).await.unwrap()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("https://localhost:{}/ward.v1.Ward/Look", world.gate.port()))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(http_body_util::Full::new(prefixed(0, &ask(SECRET).encode_to_vec())))
        .unwrap();
    let (head, body) = soon("an answer", sender.send_request(request)).await.unwrap().into_parts();
    let body = soon("the end", body.collect()).await.unwrap();
    let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(body.trailers()?)).expect("a status");
    assert!(body.to_bytes().is_empty());
    refused(&status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_a_call_that_is_not_answered_and_one_that_is_not_connected() {
    let late = (Code::DeadlineExceeded, "TV-G23".to_owned());
    let (address, bytes) = socket(Does::Nothing).await;
    let world = at(&address.to_string(), "").await;
    let began = Instant::now();
    assert_eq!(call(&world, "2S").await, late);
    assert!(began.elapsed() >= Duration::from_secs(2));
    let begun = || bytes.lock().unwrap().starts_with(b"PRI * HTTP/2.0");
    eventually("the service to have the call", async || begun().then_some(())).await;
    assert!(!tells(&bytes), "it has the call, and nothing of the patient");

    let made = Folder::new();
    certificates(&made, "right", "spiffe://example.org/source/hospital");
    let (address, bytes) = socket(Does::Nothing).await;
    let world = started(over_tls(address, &made, "right", &["right"])).await;
    let began = Instant::now();
    assert_eq!(call(&world, "2S").await, late);
    assert!(began.elapsed() < Duration::from_secs(5), "it does not wait for the connection");
    eventually("the service to have something", async || (!bytes.lock().unwrap().is_empty()).then_some(())).await;
    assert!(!tells(&bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_never_finishes_its_handshake_is_given_up() {
    let made = Folder::new();
    certificates(&made, "right", "spiffe://example.org/source/hospital");
    let (address, bytes) = socket(Does::Nothing).await;
    let world = started(over_tls(address, &made, "right", &["right"])).await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let began = Instant::now();
    let status = soon("an end", client.look(ask("p-1"))).await.unwrap_err();
    assert_eq!(refused(&status), (Code::Unavailable, "TV-G19".to_owned()));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(9), "once, and not again for the same call: {took:?}");
    // Whoever comes meanwhile waits for the attempt that is made, and for none of their own.
    let hellos = |bytes: &Mutex<Vec<u8>>| bytes.lock().unwrap().windows(3).filter(|window| *window == [0x16, 3, 1]).count();
    let before = hellos(&bytes);
    let calls = (0..20).map(|_| {
        let mut client = Client(client.0.clone());
        tokio::spawn(async move { client.look(ask("p-1")).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let status = soon("an end", call).await.unwrap().unwrap_err();
        assert_eq!(refused(&status), (Code::Unavailable, "TV-G19".to_owned()));
    }
    let more = hellos(&bytes) - before;
    assert!((1..=3).contains(&more), "{more} attempts for 20 calls at once");
    // The first words of TLS, and never a call.
    assert!(bytes.lock().unwrap().first() == Some(&0x16) && bytes.lock().unwrap().len() < 4096);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_a_compression_that_the_gateway_cannot_open_is_not_passed_on() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let status = client.look(asking("p-1", "snappy")).await.unwrap_err();
    assert_eq!(refused(&status), (Code::Internal, "TV-G21".to_owned()));
    let status = client.watch(asking("p-1", "snappy")).await.unwrap_err();
    assert_eq!(refused(&status), (Code::Internal, "TV-G21".to_owned()));
    assert!(!status.message().contains("Milo"));
    assert_eq!(got.asks().len(), 2);
    assert_eq!(client.look(ask("p-1")).await.unwrap().into_inner(), chart("p-1", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_clock_that_is_behind_nothing_goes_on() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let (to, from) = tokio::sync::mpsc::channel(1);
    let mut answers = soon("the headers", client.talk(from)).await.unwrap();
    to.send(chart("p-1", 1)).await.unwrap();
    assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(chart("p-1", 1)));
    world.clock.shift(-24 * 3_600_000);
    to.send(chart("p-1", 2)).await.unwrap();
    let behind = (Code::Unavailable, "TV-G07".to_owned());
    assert_eq!(refused(&soon("the end", answers.message()).await.unwrap_err()), behind);
    assert_eq!(refused(&client.look(ask("p-1")).await.unwrap_err()), behind);
    assert_eq!(got.charts(), [chart("p-1", 1)]);
    world.clock.shift(24 * 3_600_000);
    assert_eq!(client.look(ask("p-1")).await.unwrap().into_inner(), chart("p-1", 0));
}

/// Cedar finds out when it evaluates it.
fn overflows(schema: &str) -> String {
    format!(
        "@id(\"overflows\") forbid (principal, action, resource) when {{ resource.schema like \"{schema}\" && \
         9223372036854775807 + (if context.jurisdiction == \"nowhere\" then 0 else 1) == 0 }};\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_fails_lets_no_message_and_no_list_through() {
    let rounds = "methods = \"ward.v1.Rounds\"\nupstream = \"ward\"\ndescriptor = \"ward.binpb\"\nside_file = \"ward.fields.toml\"";
    let (world, got) = ward(&format!("subject = \"field\"\n[[route]]\n{rounds}\npurpose = \"{CARE}\"\nsubject = \"field\"")).await;
    patient(&world, "p-1").await;
    let list = service::Round { title: "ward 3B".into(), charts: vec![chart("p-1", 1)], ..Default::default() };
    *got.rounds.lock().unwrap() = vec![list.encode_to_vec().into()];
    let channel = world.channel("clinician").await;
    let mut client = Client::on(channel.clone());
    let look = async |path: &str| {
        let (response, _) = raw_call(channel.clone(), path, "application/grpc", vec![prefixed(0, &ask("p-1").encode_to_vec())], true).await;
        let (head, body) = response.into_parts();
        let body = soon("the end", body.collect()).await.unwrap();
        let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(body.trailers()?)).expect("a status");
        (refused(&status), body.to_bytes())
    };
    let failed = ((Code::Internal, "TV-G12".to_owned()), Bytes::new());
    let (one, several) = ("/ward.v1.Ward/Look", "/ward.v1.Rounds/List");
    assert_eq!((look(one).await.0.0, look(several).await.0.0), (Code::Ok, Code::Ok));
    let (to, from) = tokio::sync::mpsc::channel(1);
    let mut answers = soon("the headers", client.talk(from)).await.unwrap();
    to.send(chart("p-1", 1)).await.unwrap();
    assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(chart("p-1", 1)));
    let good = std::fs::read_to_string(world.folder.join("policy.cedar")).unwrap();

    // Answers can't be judged: the service is asked, and nobody hears what it says.
    for schema in ["ward.v1.Chart", "ward.v1.Round"] {
        std::fs::write(world.folder.join("policy.cedar"), good.clone() + &overflows(schema)).unwrap();
        world.reload().await.unwrap();
        let before = got.messages.lock().unwrap().len();
        let (ill, well) = if schema.ends_with("Chart") { (one, several) } else { (several, one) };
        assert_eq!(look(ill).await, failed, "{schema}");
        let (status, body) = look(well).await;
        assert!(status.0 == Code::Ok && !body.is_empty(), "{schema}");
        assert_eq!(got.messages.lock().unwrap().len(), before + 2);
    }
    // Requests can't be judged, either: nothing gets to the service, nor on the stream that was open.
    std::fs::write(world.folder.join("policy.cedar"), good.clone() + &overflows("ward.*")).unwrap();
    world.reload().await.unwrap();
    let before = got.messages.lock().unwrap().len();
    assert_eq!((look(one).await, look(several).await), (failed.clone(), failed.clone()));
    to.send(chart("p-1", 2)).await.unwrap();
    assert_eq!(refused(&soon("the end", answers.message()).await.unwrap_err()), failed.0);
    assert_eq!(got.messages.lock().unwrap().len(), before);
}

/// A service that answers when it is let go, and how many calls have come.
async fn held(go: watch::Receiver<bool>) -> (SocketAddr, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (came, calls) = watch::channel(0);
    tokio::spawn(async move {
        let came = Arc::new(came);
        while let Ok((socket, _)) = listener.accept().await {
            let (go, came) = (go.clone(), Arc::clone(&came));
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (mut go, came) = (go.clone(), Arc::clone(&came));
                async move {
                    request.into_body().collect().await?;
                    came.send_modify(|count| *count += 1);
                    let _gone = go.wait_for(|go| *go).await;
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    let message = prefixed(0, &chart("p-1", 0).encode_to_vec());
                    let body = [Ok::<_, std::convert::Infallible>(Frame::data(message)), Ok(Frame::trailers(trailers))];
                    let response = http::Response::builder().header("content-type", "application/grpc");
                    Ok::<_, hyper::Error>(response.body(StreamBody::new(tokio_stream::iter(body))).unwrap())
                }
            });
            tokio::spawn(hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service));
        }
    });
    (address, calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_somebody_who_may_call_no_more_is_kept() {
    let (go, goes) = watch::channel(false);
    let (address, mut calls) = held(goes).await;
    let world = at(&address.to_string(), "").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let waiting = tokio::spawn(async move { client.look(ask("p-1")).await });
    soon("the call at the upstream", calls.wait_for(|count| *count == 1)).await.unwrap();
    world.edit("twinveil.toml", |text| text.replace("\"subscribe\", \"call\"", "\"subscribe\", \"publish\""));
    world.reload().await.unwrap();
    go.send(true).unwrap();
    let status = soon("the end", waiting).await.unwrap().map(tonic::Response::into_inner).unwrap_err();
    assert_eq!(refused(&status), (Code::PermissionDenied, "TV-G03".to_owned()));
}

/// A service that takes one call on each connection, and says nothing on it but that it has begun.
async fn one_call_each() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let handshake = h2::server::Builder::new().max_concurrent_streams(1).handshake::<_, Bytes>(socket);
                let Ok(mut connection) = handshake.await else { return };
                let mut begun = Vec::new();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                    begun.push((request, respond.send_response(head, false)));
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_gets_so_many_connections_and_no_more_however_few_calls_it_takes_on_each() {
    // The most connections of a worker to one address: all calls of a connection are one worker's.
    const LINKS: usize = 128;
    let world = at(&one_call_each().await.to_string(), "[limits]\nstreams_per_connection_max = 256").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let mut open = Vec::new();
    for _ in 0..LINKS {
        open.push(soon("the head of an answer", client.watch(ask("p-1"))).await.unwrap());
    }
    let status = soon("a refusal", client.watch(ask("p-1"))).await.unwrap_err();
    assert_eq!(refused(&status), (Code::ResourceExhausted, "TV-G16".to_owned()));
    drop(open);
    eventually("room for another call", async || client.watch(ask("p-1")).await.ok()).await;
}
