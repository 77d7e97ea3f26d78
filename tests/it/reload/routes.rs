//! Routes that come, change and go, and what is told of them.

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::ward::{self, Chart, chart};
use crate::harness::{prefixed, soon, status_of, unheard};
use crate::proxy::{Client, ask, asking, at, bare, patient, ward};
use tonic::transport::Channel;
use twinveil::cli::certs;
use twinveil::veil::name::Spiffe;

const ONE_METHOD: &str = "methods = \"ward.v1.Ward/Look\"";
const WHOLE: &str = "methods = \"ward.v1.Ward\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_route_serves_on_open_connections_and_one_that_is_gone_ends_its_calls() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    world.edit("twinveil.toml", |text| text.replace(WHOLE, ONE_METHOD));
    world.reload().await.unwrap();
    let channel = world.channel("clinician").await;
    let mut client = Client::on(channel.clone());
    client.look(ask("p-1")).await.unwrap();
    assert_eq!(client.watch(ask("p-1")).await.unwrap_err().code(), Code::Unimplemented);
    // The route takes the `.proto` itself, too.
    std::fs::write(world.folder.join("ward.proto"), ward::PROTO).unwrap();
    world.edit("twinveil.toml", |text| text.replace(ONE_METHOD, WHOLE).replace("ward.binpb", "ward.proto"));
    world.reload().await.unwrap();
    let mut watched = client.watch(ask("p-1")).await.unwrap();
    assert_eq!(watched.message().await.unwrap(), Some(chart("p-1", 0)));
    // Open calls of either kind, waiting for their upstream.
    let mut waiting = soon("the head", client.watch(asking("p-1", "stall"))).await.unwrap();
    let (_to, from) = tokio::sync::mpsc::channel(1);
    let mut recorder = Client::on(channel);
    let recording = tokio::spawn(async move { recorder.record_from(from).await });
    crate::harness::eventually("the call at the upstream", async || {
        got.calls.lock().unwrap().iter().any(|(path, _)| path.ends_with("/Record")).then_some(())
    })
    .await;
    world.edit("policy.cedar", |text| text + "// nothing\n");
    world.reload().await.unwrap();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), waiting.message()).await.is_err(), "it goes on");
    world.edit("twinveil.toml", |text| text.replace(WHOLE, ONE_METHOD));
    world.reload().await.unwrap();
    assert_eq!(soon("the end", waiting.message()).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(soon("the end", recording).await.unwrap().unwrap_err().code(), Code::Aborted);
    client.look(ask("p-1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_call_is_judged_anew_before_its_next_message_and_ends_with_the_right_to_call() {
    let (world, _) = ward("").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let (to, from) = tokio::sync::mpsc::channel(1);
    let mut answers = soon("the headers", client.talk(from)).await.unwrap();
    to.send(chart("p-1", 1)).await.unwrap();
    assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(chart("p-1", 1)));
    world.edit("policy.cedar", |text| text + super::NO_NOTES);
    world.reload().await.unwrap();
    to.send(chart("p-1", 2)).await.unwrap();
    assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(Chart { note: String::new(), ..chart("p-1", 2) }));
    world.edit("ward.fields.toml", |text| {
        text.replace("blob = {", "# blob = {").replace("category = \"time\" }", "category = \"time\", floor = \"strip\" }")
    });
    world.reload().await.unwrap();
    to.send(chart("p-1", 3)).await.unwrap();
    let expected = Chart { note: String::new(), at_ms: 0, ..chart("p-1", 3) };
    assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(expected));
    let mut idle = soon("the head", client.watch(asking("p-1", "stall"))).await.unwrap();
    world.edit("twinveil.toml", |text| text.replace("\"subscribe\", \"call\"", "\"subscribe\", \"publish\""));
    world.reload().await.unwrap();
    for stream in [&mut answers, &mut idle] {
        assert_eq!(soon("the end", stream.message()).await.unwrap_err().code(), Code::PermissionDenied);
    }
    assert_eq!(client.look(ask("p-1")).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_purpose_is_another_call_also_for_one_that_never_waits() {
    let (world, _) = ward("").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let (to, from) = tokio::sync::mpsc::channel(1);
    let mut answers = soon("the headers", client.talk(from)).await.unwrap();
    let talking = tokio::spawn(async move { while to.send(chart("p-1", 1)).await.is_ok() {} });
    assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(chart("p-1", 1)));
    world.edit("twinveil.toml", |text| text.replace("purpose = \"dpv:ServiceProvision\"", "purpose = \"dpv:ImproveHealthcare\""));
    world.reload().await.unwrap();
    // What was on its way before the reload answered is all that comes.
    let end = soon("the end", async {
        loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                other => break other,
            }
        }
    });
    assert_eq!(end.await.unwrap_err().code(), Code::Aborted);
    soon("the talker to be told", talking).await.unwrap();
    // Nobody consented to the new one.
    assert_eq!(client.look(ask("p-1")).await.unwrap().into_inner(), Chart::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_an_upstream_stay_while_it_is_the_same_and_end_where_it_is_gone() {
    use std::sync::atomic::Ordering;
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    let count = || (got.connections.0.load(Ordering::Relaxed), got.connections.1.load(Ordering::Relaxed));
    let mut client = Client::of(&world).await;
    for round in 0..3 {
        client.look(ask("p-1")).await.unwrap();
        world.edit("policy.cedar", |text| format!("{text}// {round}\n"));
        world.reload().await.unwrap();
    }
    client.look(ask("p-1")).await.unwrap();
    assert_eq!(count(), (1, 0));
    // The service has moved.
    let (address, moved) = ward::serve().await;
    world.edit("twinveil.toml", |text| {
        let (before, rest) = text.rsplit_once("\naddresses = [").unwrap();
        format!("{before}\naddresses = [\"{address}\"]{}", rest.split_once(']').unwrap().1)
    });
    world.reload().await.unwrap();
    client.look(ask("p-1")).await.unwrap();
    assert_eq!((moved.asks().len(), moved.connections.0.load(Ordering::Relaxed)), (1, 1));
    crate::harness::eventually("the old connection to end", async || (count() == (1, 1)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_for_an_upstream_are_renewed_and_only_its_own_party_is_believed() {
    use twinveil::gate::tls::{PemFiles, server};
    let folder = crate::harness::Folder::new();
    let made = |name: &str, server: &str| {
        let parties = vec![("gateway".to_owned(), Spiffe::parse("spiffe://example.org/gateway").unwrap())];
        certs::run(certs::Args { dir: folder.join(name), server: server.to_owned(), parties }).unwrap();
        let file = |end: &str| folder.join(name).join(end);
        PemFiles { certificate: file("server.pem"), private_key: file("server.key"), peer_ca: file("ca.pem") }
    };
    let hospital = "spiffe://example.org/source/hospital";
    let (one, other) = (made("one", hospital), made("other", hospital));
    let impostor = made("impostor", "spiffe://example.org/source/windfarm");
    let (shown, shows) = tokio::sync::watch::channel(server(&one).unwrap());
    let (address, got) = ward::serve_tls(shows).await;
    let world = at(&address.to_string(), "").await;
    patient(&world, "p-1").await;
    let renew = |name: &str| {
        for file in ["gateway.pem", "gateway.key", "ca.pem"] {
            std::fs::copy(folder.join(name).join(file), world.folder.join("certs").join(format!("ward-{file}"))).unwrap();
        }
    };
    renew("one");
    world.edit("twinveil.toml", |text| {
        let (before, rest) = text.rsplit_once("insecure = true").unwrap();
        let tls =
            "tls = { certificate = \"certs/ward-gateway.pem\", private_key = \"certs/ward-gateway.key\", ca = \"certs/ward-ca.pem\" }";
        format!("{before}{tls}{rest}")
    });
    world.reload().await.unwrap();
    let mut client = Client::of(&world).await;
    client.look(ask("p-1")).await.unwrap();
    // The service has new certificates: the connection that is there serves on, and new ones need the new authority.
    shown.send(server(&other).unwrap()).unwrap();
    client.look(ask("p-1")).await.unwrap();
    renew("other");
    world.reload().await.unwrap();
    client.look(ask("p-1")).await.unwrap();
    assert_eq!(got.asks().len(), 3);
    // A certificate of a good authority, for another party.
    shown.send(server(&impostor).unwrap()).unwrap();
    renew("impostor");
    world.reload().await.unwrap();
    let error = client.look(ask("p-1")).await.unwrap_err();
    assert!(error.code() == Code::Unavailable && error.message().starts_with("TV-G19"), "{error:?}");
    assert_eq!(got.asks().len(), 3);
}

async fn services(channel: Channel) -> Vec<String> {
    let mut client = ServerReflectionClient::new(channel);
    let asked = ServerReflectionRequest { host: String::new(), message_request: Some(MessageRequest::ListServices(String::new())) };
    let answers = soon("reflection", client.server_reflection_info(tokio_stream::iter([asked]))).await;
    let answer = soon("a list", answers.unwrap().into_inner().message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("no list") };
    list.service.into_iter().map(|service| service.name).collect()
}

async fn file_of(channel: Channel, symbol: &str) -> Option<Vec<u8>> {
    let mut client = ServerReflectionClient::new(channel);
    let asked = MessageRequest::FileContainingSymbol(symbol.to_owned());
    let asked = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
    let answers = soon("reflection", client.server_reflection_info(tokio_stream::iter([asked]))).await;
    match soon("a file", answers.unwrap().into_inner().message()).await.ok()??.message_response {
        Some(MessageResponse::FileDescriptorResponse(files)) => files.file_descriptor_proto.into_iter().next(),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_shows_what_the_caller_may_call_and_nothing_of_side_files() {
    let (world, got) = ward("").await;
    let (calls, other) = (world.channel("clinician").await, world.channel("portal").await);
    assert!(services(calls.clone()).await.contains(&"ward.v1.Ward".to_owned()));
    assert!(!services(other.clone()).await.contains(&"ward.v1.Ward".to_owned()));
    assert!(services(other.clone()).await.contains(&"twinveil.v1.Consents".to_owned()));
    assert_eq!(file_of(other, "ward.v1.Ward").await, None);
    let file = file_of(calls.clone(), "ward.v1.Ward").await.expect("the service");
    let seen = |word: &str| file.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(seen("heart_rate") && seen("Look") && seen("Watch") && !seen("special") && !seen("identifying"));
    world.edit("twinveil.toml", |text| text.replace(WHOLE, ONE_METHOD));
    world.reload().await.unwrap();
    let file = file_of(calls, "ward.v1.Ward").await.expect("the service");
    let seen = |word: &str| file.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(seen("Look") && !seen("Watch"));
    assert!(got.calls.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_says_whether_a_service_behind_it_can_be_reached() {
    let (place, address) = unheard();
    let world = at(&address.to_string(), "").await;
    let of = |name: &str| HealthCheckRequest { service: name.to_owned() };
    let mut client = HealthClient::new(world.channel("clinician").await);
    let mut stranger = HealthClient::new(world.channel("portal").await);
    assert_eq!(client.check(of("ward.v1.Ward")).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    assert_eq!(client.check(of("twinveil.v1.Frames")).await.unwrap().into_inner().status(), ServingStatus::Serving);
    for (client, name) in [(&mut client, "ward.v2.Ward"), (&mut stranger, "ward.v1.Ward")] {
        assert_eq!(client.check(of(name)).await.unwrap_err().code(), Code::NotFound);
    }
    let mut watched = client.watch(of("ward.v1.Ward")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let got = ward::serve_on(place.listen(16).unwrap()).1;
    assert_eq!(soon("a change", watched.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(client.check(of("ward.v1.Ward")).await.unwrap().into_inner().status(), ServingStatus::Serving);
    assert!(got.calls.lock().unwrap().is_empty(), "nothing of it is forwarded");
    let unknown = stranger.watch(of("ward.v1.Ward")).await.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!(unknown.status(), ServingStatus::ServiceUnknown);
    // Not even where somebody writes a route for it.
    world.edit("twinveil.toml", |text| text.replace(WHOLE, "methods = \"grpc.health.v1.Health\""));
    let error = world.reload().await.unwrap_err();
    assert!(error.to_string().contains("the gateway's own services have no routes"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_calls_get_their_time_at_a_stop_and_upstreams_are_let_go() {
    let (mut world, _) = ward("[limits]\ndrain_ms_max = 9000").await;
    patient(&world, "p-1").await;
    let channel = world.channel("clinician").await;
    let mut client = Client::on(channel.clone());
    let (to, from) = tokio::sync::mpsc::channel(1);
    let mut answers = soon("the headers", client.talk(from)).await.unwrap();
    to.send(chart("p-1", 1)).await.unwrap();
    assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(chart("p-1", 1)));
    let talking = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        to.send(chart("p-1", 2)).await.unwrap();
        let echo = soon("an echo after the stop", answers.message()).await.unwrap();
        drop(to);
        (echo, soon("the end", answers.message()).await.unwrap())
    });
    let began = std::time::Instant::now();
    world.stop_serving().await;
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "it ends with the last call");
    assert_eq!(talking.await.unwrap(), (Some(chart("p-1", 2)), None));
    // A call that does not end is cut when its time is over.
    let (mut short, _) = ward("[limits]\ndrain_ms_max = 200").await;
    patient(&short, "p-1").await;
    let mut client = Client::of(&short).await;
    let mut waiting = soon("the head", client.watch(asking("p-1", "stall"))).await.unwrap();
    let began = std::time::Instant::now();
    short.stop_serving().await;
    // Less than where nothing is configured.
    assert!(began.elapsed() >= std::time::Duration::from_millis(200) && began.elapsed() < std::time::Duration::from_secs(5));
    assert!(soon("the cut", waiting.message()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_refused_says_so_in_its_own_words() {
    let (world, _) = ward("").await;
    let channel = world.channel("clinician").await;
    let answer = bare(&channel, "/grpc.health.v1.Health/Check", vec![prefixed(0, b"\x0a\x01x")]).await;
    let (code, text) = status_of(answer).await;
    assert!(code == Code::NotFound && text.starts_with("TV-G25"), "{text}");
}
