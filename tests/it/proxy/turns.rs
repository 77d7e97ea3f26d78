//! What goes on beside each other: the two directions of one call, and calls that share a connection's thread.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::Code;
use tower::ServiceExt;

use super::{Client, asking, patient, ward};
use crate::harness::ward::{Chart, WardAsk, chart};
use crate::harness::{eventually, prefixed, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_says_all_before_it_listens_is_heard_to_the_end() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    got.hoards.store(true, Ordering::Relaxed);
    // Its windows hold a few answers, and it sends hundreds of times as much before it takes the first.
    let mut client = Client::on(world.narrow_channel("clinician").await);
    let (to, from) = tokio::sync::mpsc::channel(1);
    let mut answers = soon("the head", client.talk(from)).await.unwrap();
    let said = |number| Chart { note: "x".repeat(64 << 10), name: String::new(), ..chart("p-1", number) };
    const COUNT: i64 = 96;
    for number in 0..COUNT {
        soon("the gateway to take what is said", to.send(said(number))).await.unwrap();
    }
    drop(to);
    eventually("the service to have heard all of it", async || (got.messages.lock().unwrap().len() == COUNT as usize).then_some(())).await;
    for number in 0..COUNT {
        assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(said(number)));
    }
    assert_eq!(soon("the end", answers.message()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_a_call_whose_caller_takes_nothing() {
    let (world, got) = ward("").await;
    patient(&world, "p-1").await;
    let mut client = Client::on(world.narrow_channel("clinician").await);
    let mut asks = tonic::Request::new(WardAsk { count: 10_000, ..asking("p-1", "kibibytes") });
    // Of which the caller itself keeps only the head of the answer.
    asks.metadata_mut().insert("grpc-timeout", "3S".parse().unwrap());
    let answers = soon("the head", client.watch_until(asks)).await.unwrap();
    eventually("the gateway to end it", async || (world.metric("twinveil_calls_refused_total").await == 1).then_some(())).await;
    eventually("the service to be let go", async || {
        let sent = got.sent.load(Ordering::Relaxed);
        (sent > 0 && sent < 10_000).then_some(())
    })
    .await;
    drop(answers);
}

/// Messages of nobody, which are large when they are opened: nothing of them goes on. Far more of them than have come at a time.
const BOMBS: usize = 4_000;
/// As many of them would be looked at together if only their packed length counted.
const AT_A_TIME: u64 = 1_000;

/// A chart with a long note, in 41 bytes (RFC 8878, 3.1.1): a frame of one raw block, and seven that say one byte again and again.
fn bomb() -> Vec<u8> {
    const BLOCKS: u32 = 7;
    const BLOCK_BYTES: u32 = 128 << 10;
    let block = |last: bool, kind: u32, size: u32| (u32::from(last) | kind << 1 | size << 3).to_le_bytes()[..3].to_vec();
    let mut note = vec![0x22];
    prost::encoding::encode_varint(u64::from(BLOCKS * BLOCK_BYTES), &mut note);
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    frame.extend([block(false, 0, note.len() as u32), note].concat());
    for at in 1..=BLOCKS {
        frame.extend([block(at == BLOCKS, 1, BLOCK_BYTES), vec![b'x']].concat());
    }
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_small_packed_and_large_open_is_looked_at_in_turns() {
    let (world, _) = ward("").await;
    patient(&world, "p-1").await;
    let packed = prefixed(1, &bomb());
    let all: Bytes = packed.repeat(BOMBS).into();
    let request = http::Request::post("/ward.v1.Ward/Record").header("content-type", "application/grpc").header("grpc-encoding", "zstd");
    // Then nothing more, so that the call goes on.
    let pieces =
        tokio_stream::StreamExt::chain(tokio_stream::once(Ok::<_, std::convert::Infallible>(Frame::data(all))), tokio_stream::pending());
    let request = request.body(tonic::body::Body::new(StreamBody::new(pieces))).unwrap();
    let channel = world.channel("clinician").await;
    let call = tokio::spawn(async move { channel.oneshot(request).await });
    // As often as the lane's lock is free somebody else may have it.
    let first = eventually("the first of them to be passed over", async || {
        let withheld = world.metric("twinveil_messages_withheld_total").await;
        (withheld > 0).then_some(withheld)
    })
    .await;
    assert!(first < AT_A_TIME, "{first} of them were looked at before anybody else had a turn");
    let mut client = Client::of(&world).await;
    let answer = soon("an answer beside it", client.look(super::ask("p-1"))).await;
    assert_eq!(answer.map(|answer| answer.into_inner().patient).map_err(|status| status.code()), Ok::<_, Code>("p-1".to_owned()));
    call.abort();
}
