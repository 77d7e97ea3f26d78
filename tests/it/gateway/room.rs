//! Large messages that are half-way have one room: whoever finds none is told so by name, wherever they ask, and what is small goes on.

use prost::Message;
use tonic::Code;
use twinveil::proto::sample::PatientFrame;

use super::{CARE, START_MS};
use crate::harness::{Ask, Given, NO_ROOM, PATIENT, Sub, World, eventually, filled, prefixed, raw_call, status_of};

async fn with_ada() -> World {
    let world = World::with(NO_ROOM).await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE)).await;
    world
}

fn frame(sequence: u64, bytes: usize) -> PatientFrame {
    PatientFrame { patient_id: "ada".into(), sequence, captured_at_ms: START_MS, note: "n".repeat(bytes), ..PatientFrame::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_record_finds_no_room_by_name_and_small_frames_go_on() {
    let world = with_ada().await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let halves = filled(&world).await;
    let record = prefixed(0, &[0x0a; 30_000]);
    let path = "/twinveil.v1.Consents/Submit";
    let (response, _) = raw_call(world.channel("portal").await, path, "application/grpc", vec![record], true).await;
    let (code, text) = status_of(response).await;
    assert_eq!((code, text.split(':').next()), (Code::ResourceExhausted, Some("TV-G27")));
    world.publish("hospital", PATIENT, &[frame(1, 10)]).await;
    assert_eq!(clinician.message::<PatientFrame>().await.sequence, 1);
    drop(halves);
    eventually("room for a large frame", async || {
        let mut source = world.source("hospital", PATIENT).await;
        source.push(vec![frame(2, 30_000).encode_to_vec()]).await;
        source.ack().await.ok().filter(|ack| ack.accepted == 1).map(drop)
    })
    .await;
    assert_eq!(clinician.message::<PatientFrame>().await.sequence, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_for_whose_frames_there_is_no_room_gets_those_before_and_the_reason() {
    let world = with_ada().await;
    let mut slow = Sub::open(world.narrow_channel("clinician").await, Ask::of(PATIENT, CARE)).await.unwrap();
    let halves = filled(&world).await;
    let mut source = world.source("hospital", PATIENT).await;
    // None needs room by itself. A small one and what comes behind it, handed over together, do.
    for number in 0..20 {
        let bytes = if number % 2 == 0 { 5_800 } else { 13_000 };
        assert_eq!(source.send(&[frame(number, bytes)]).await.accepted, number + 1);
    }
    let (frames, end) = slow.rest().await;
    let status = end.expect_err("it ends with the reason");
    assert_eq!((status.code(), status.message().split(':').next()), (Code::ResourceExhausted, Some("TV-G27")), "{status:?}");
    let came: Vec<u64> = frames.iter().map(|frame| PatientFrame::decode(&frame.clear[..]).unwrap().sequence).collect();
    assert!(came.len() < 20 && came.iter().copied().eq(0..came.len() as u64), "{came:?}");
    drop(halves);
}
