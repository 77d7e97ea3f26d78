//! What stock tools ask a gRPC server for: is it well, and what does it speak?

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::{World, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_is_answered_over_grpc() {
    let world = World::start().await;
    let mut client = HealthClient::new(world.channel("portal").await);
    let answer = soon("health", client.check(HealthCheckRequest::default())).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_lists_the_contract_and_gives_its_files() {
    let world = World::start().await;
    let mut client = ServerReflectionClient::new(world.channel("portal").await);
    let ask = |what| ServerReflectionRequest { host: String::new(), message_request: Some(what) };
    let asked = [MessageRequest::ListServices(String::new()), MessageRequest::FileContainingSymbol("twinveil.v1.Consents".to_owned())];
    let requests = tokio_stream::iter(asked.map(ask));
    let mut answers = soon("reflection", client.server_reflection_info(requests)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = soon("a list", answers.message()).await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["twinveil.v1.Frames", "twinveil.v1.Keys", "twinveil.v1.Consents", "twinveil.v1.Demands", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(files)) = soon("a file", answers.message()).await.unwrap().unwrap().message_response
    else {
        panic!("no file");
    };
    assert!(!files.file_descriptor_proto.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_health_is_told_of_the_end() {
    let mut world = World::start().await;
    let mut client = HealthClient::new(world.channel("portal").await);
    let asked = HealthCheckRequest { service: "twinveil.v1.Frames".into() };
    let mut watched = soon("an answer", client.watch(asked)).await.unwrap().into_inner();
    assert_eq!(soon("a word", watched.message()).await.unwrap().unwrap().status, ServingStatus::Serving as i32);
    let stopping = tokio::spawn(async move { world.stop_serving().await });
    assert_eq!(soon("the end", watched.message()).await.unwrap_err().code(), tonic::Code::Unavailable);
    soon("the gateway to stop", stopping).await.unwrap();
}
