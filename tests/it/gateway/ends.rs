//! Calls that end in the middle: whoever is left goes on, nothing stays behind, and a stop is announced.

use bytes::Bytes;
use prost::Message;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::publish_request::Kind;
use twinveil::proto::v1::{PublishBatch, PublishOpen, PublishRequest};

use super::{CARE, patient_frames};
use crate::harness::{Ask, Given, PATIENT, World, eventually, prefixed, raw_call, status_of};

async fn with_patient() -> (World, Vec<PatientFrame>) {
    with_patient_and("").await
}

async fn with_patient_and(lines: &str) -> (World, Vec<PatientFrame>) {
    let world = World::with(lines).await;
    let frames = patient_frames(1, 40);
    let person = world.patient(&frames[0].patient_id).await;
    world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    (world, frames)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_dies_inside_a_message_takes_nobody_along() {
    let (world, frames) = with_patient().await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let open = PublishRequest { kind: Some(Kind::Open(PublishOpen { schema: PATIENT.into() })) };
    let batch = |frames: &[PatientFrame]| PublishRequest {
        kind: Some(Kind::Batch(PublishBatch { frames: frames.iter().map(|frame| frame.encode_to_vec().into()).collect() })),
    };
    let whole = prefixed(0, &batch(&frames[..3]).encode_to_vec());
    let half = prefixed(0, &batch(&frames[3..9]).encode_to_vec());
    let half = half.slice(..half.len() / 2);
    let pieces = vec![prefixed(0, &open.encode_to_vec()), whole, half];
    let channel = world.channel("hospital").await;
    let (response, kept) = raw_call(channel.clone(), "/twinveil.v1.Frames/Publish", "application/grpc", pieces, false).await;
    assert_eq!(clinician.messages::<PatientFrame>(3).await.len(), 3);
    // The whole connection goes, in the middle of a message.
    drop((response, kept, channel));
    world.publish("hospital", PATIENT, &frames[9..]).await;
    for sent in &frames[9..] {
        assert_eq!(clinician.message::<PatientFrame>().await.sequence, sent.sequence, "no half of a frame came between");
    }
    assert_eq!(world.metric("twinveil_frames_in_total").await, 3 + 31);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_goes_leaves_nothing_behind_and_the_others_go_on() {
    let (world, frames) = with_patient().await;
    let mut staying = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut going = Vec::new();
    for _ in 0..5 {
        going.push(world.subscribe("clinician", Ask::of(PATIENT, CARE)).await);
    }
    let mut source = world.source("hospital", PATIENT).await;
    source.send(&frames[..10]).await;
    going[0].frame().await;
    drop(going);
    eventually("the gone to be let go of", async || (world.metric("twinveil_streams_closed_total").await == 5).then_some(())).await;
    source.send(&frames[10..]).await;
    for sent in &frames {
        assert_eq!(staying.message::<PatientFrame>().await.sequence, sent.sequence);
    }
    drop(staying);
    world.no_stream_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_says_so_on_every_call_and_loses_nothing_that_it_acknowledged() {
    let (mut world, frames) = with_patient_and("[limits]\ndrain_ms_max = 9000").await;
    let mut busy = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut idle = world.subscribe("vendor", Ask::of(PATIENT, CARE)).await;
    let mut source = world.source("hospital", PATIENT).await;
    source.send(&frames).await;
    let began = std::time::Instant::now();
    world.stop_serving().await;
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "nobody had to be cut off");
    let (received, end) = busy.rest().await;
    assert_eq!(received.len(), frames.len());
    assert_eq!(end.expect_err("an end is told").code(), tonic::Code::Unavailable);
    for sub in [&mut busy, &mut idle] {
        let _read = sub.rest().await;
        assert_eq!(sub.end.as_ref().map(|end| end.code.as_str()), Some("TV-G06"));
    }
    let status = source.ack().await.expect_err("no more frames are taken");
    assert_eq!((status.code(), &status.message()[..6]), (tonic::Code::Unavailable, "TV-G06"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_ends_inside_a_message_is_told_so() {
    let (world, frames) = with_patient().await;
    let open = PublishRequest { kind: Some(Kind::Open(PublishOpen { schema: PATIENT.into() })) };
    let batch = PublishRequest { kind: Some(Kind::Batch(PublishBatch { frames: vec![frames[0].encode_to_vec().into()] })) };
    let half: Bytes = prefixed(0, &batch.encode_to_vec()).slice(..20);
    let pieces = vec![prefixed(0, &open.encode_to_vec()), half];
    let (response, _) = raw_call(world.channel("hospital").await, "/twinveil.v1.Frames/Publish", "application/grpc", pieces, true).await;
    let (code, message) = status_of(response).await;
    assert_eq!((code, &message[..6]), (tonic::Code::InvalidArgument, "TV-G04"));
}
