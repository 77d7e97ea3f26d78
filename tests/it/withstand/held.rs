//! What is held for others: streams that say nothing, messages that never end, answers that nobody takes, places that nobody fills.

use std::net::SocketAddr;
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::publish_request::Kind;
use twinveil::proto::v1::{PublishBatch, PublishOpen, PublishRequest};

use super::others::Others;
use super::raw::*;
use super::{Ceiling, gateway, long};
use crate::gateway::{ADVERTISING, CARE, RENDERING, RESEARCH, START_MS};
use crate::harness::ward::{Chart, WardAsk, chart};
use crate::harness::{Ask, Given, PATIENT, Sub, World, end_of, eventually, forbid, prefixed, raw_call, soon};
use crate::proxy::{Client, asking, patient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_streams_take_up_what_the_manual_says_and_give_it_back() {
    let (streams, per_connection): (u32, u32) = if long() { (10_000, 250) } else { (1_000, 250) };
    let (mut process, _) = gateway("[limits]\nstreams_max = 20000").await;
    let mut others = Others::open(&process.world).await;
    let before = process.resident_kib();
    let mut idle = Vec::new();
    for _ in 0..streams / per_connection / 2 {
        let channel = process.world.channel("clinician").await;
        for _ in 0..per_connection {
            idle.push(Sub::open(channel.clone(), Ask::of(PATIENT, CARE)).await.unwrap());
        }
    }
    let native = process.resident_kib();
    let mut calls = Vec::new();
    for _ in 0..streams / per_connection / 2 {
        let mut client = Client::of(&process.world).await;
        for _ in 0..per_connection {
            let (to, from) = tokio::sync::mpsc::channel(1);
            calls.push((to, soon("the head of a call", client.talk(from)).await.unwrap()));
        }
    }
    let proxied = process.resident_kib();
    others.rounds(10).await;
    let each = |kib: u64| kib as f64 / f64::from(streams / 2);
    println!(
        "{{\"idle_streams\":{streams},\"native_kib_each\":{:.2},\"proxied_kib_each\":{:.2}}}",
        each(native.saturating_sub(before)),
        each(proxied.saturating_sub(native))
    );
    process.is_well();
    let connections = 2 * u64::from(streams / per_connection) + 8;
    Ceiling::of(connections, u64::from(streams)).holds("idle streams", &process);
    drop((idle, calls));
    eventually("the streams to be closed", async || {
        let opened = process.world.metric("twinveil_streams_opened_total").await;
        (opened == process.world.metric("twinveil_streams_closed_total").await + 1).then_some(())
    })
    .await;
    others.rounds(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_faster_than_it_is_taken_waits_where_it_comes_from() {
    let (mut process, got) = gateway("").await;
    patient(&process.world, "p-1").await;
    // Less than the windows of a connection to a service and of a stream hold, and the sockets' buffers that are not under windows.
    const ON_THE_WAY: usize = 4 * 1024;
    let mut client = Client::of(&process.world).await;
    let endless = WardAsk { count: u32::MAX, ..asking("p-1", "kibibytes") };
    let mut answers = soon("the head of a call", client.watch(endless)).await.unwrap();
    for number in 0..if long() { 40_000 } else { 8_000 } {
        assert_eq!(soon("a chart", answers.message()).await.unwrap().unwrap().at_ms, number);
        if number % 8 == 7 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let sent = got.sent.load(std::sync::atomic::Ordering::Relaxed);
            assert!(sent - number as usize <= ON_THE_WAY, "{sent} KiB were sent, {number} KiB taken");
        }
    }
    drop(answers);
    process.is_well();
    Ceiling::of(8, 1).holds("a service that is faster than who calls it", &process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_somebody_whom_streams_carry_take_up_what_the_manual_says() {
    let (mut process, _) = gateway("[store]\ncache_mib = 1").await;
    let world = &process.world;
    let person = world.patient("p-1").await;
    let mut before = world.grant(&person, &many_words(world)).await;
    let mut resident = Vec::new();
    // As many as one subject may have, in the long run; the first of them fill what is kept once.
    let (first, all) = if long() { (100, 980) } else { (50, 300) };
    for _ in 1..all {
        before = world.grant(&person, &many_words(world).replaces(before)).await;
        resident.push(process.resident_kib());
    }
    process.is_well();
    let each = resident[all - 2].saturating_sub(resident[first]) as f64 / (all - first) as f64;
    println!(
        "{{\"withstood\":\"records of a subject\",\"records\":{all},\"kib_each\":{each:.2},\"ceiling_kib_each\":{}}}",
        Ceiling::RECORD_KIB
    );
    assert!(each <= Ceiling::RECORD_KIB as f64, "{each} KiB a record");
}

/// A grant with several recipients, purposes and rules.
fn many_words(world: &World) -> Given {
    let parties = ["clinician", "hospital", "researcher", "renderer", "advertiser"];
    let given = Given::to(world, &parties, CARE).purposes(&[CARE, RESEARCH, RENDERING, ADVERTISING]);
    ["device_id", "blob", "note"].into_iter().fold(given, |given, path| given.and(forbid(path)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_never_end_take_up_one_room_and_then_large_ones_are_refused_by_name() {
    let (mut process, got) = gateway("[limits]\nunfinished_bytes_max = 33554432").await;
    let mut others = Others::open(&process.world).await;
    let begun = |claim: u32, bytes: usize| {
        let mut body = prefixed(0, &vec![0x41; bytes]).to_vec();
        body[1..5].copy_from_slice(&claim.to_be_bytes());
        let pieces: Vec<bytes::Bytes> = body.chunks(16_000).map(bytes::Bytes::copy_from_slice).collect();
        pieces
    };
    // Forty of a megabyte for a service and twenty of four for frames; all but the last byte.
    let mut open = Vec::new();
    for (party, path, count, claim) in
        [("clinician", "/ward.v1.Ward/Talk", 40, 1 << 20), ("hospital", "/twinveil.v1.Frames/Publish", 20, 4 << 20)]
    {
        let channel = process.world.channel(party).await;
        for _ in 0..count {
            open.push(raw_call(channel.clone(), path, "application/grpc", begun(claim, claim as usize - 1), false).await);
        }
    }
    // Who is refused is told so; nobody else hears anything as long as the sender is there.
    let mut ends: Vec<_> = open.into_iter().map(|(response, sender)| (tokio::spawn(end_of(response)), sender)).collect();
    let refused = |ends: &[(JoinHandle<_>, _)]| ends.iter().filter(|(end, _)| end.is_finished()).count();
    eventually("most to be refused", async || (refused(&ends) >= 30).then_some(())).await;
    assert!(got.messages.lock().unwrap().is_empty(), "half a message is none");
    // What is small goes on; what is large does when there is room again.
    others.rounds(10).await;
    Ceiling::of(12, 80).with_windows(2).with_unfinished(32 * 1024).holds("messages that never end", &process);
    let ended: Vec<_> = ends.extract_if(.., |(end, _)| end.is_finished()).collect();
    assert!((30..56).contains(&ended.len()), "{} were refused", ended.len());
    for (end, _) in ended {
        let (code, text) = end.await.expect("no panic");
        assert_eq!((code, text.split(':').next()), (Code::ResourceExhausted, Some("TV-G27")));
    }
    drop(ends);
    patient(&process.world, "large").await;
    let mut client = Client::of(&process.world).await;
    eventually("room for a large message", async || {
        let sent = large_chart(900_000);
        let taken = client.record(vec![sent]).await;
        taken.is_ok_and(|answer| answer.count == 1).then_some(())
    })
    .await;
    process.is_well();
}

fn large_chart(bytes: usize) -> Chart {
    Chart { blob: vec![7; bytes], ..chart("large", 1) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_four_mebibytes_goes_through_and_leaves_nothing_behind() {
    let (mut process, _) = gateway("[limits]\nframe_bytes_max = 8388608\nbatch_bytes_max = 16777216\nqueue_bytes_max = 16777216").await;
    let world = &process.world;
    patient(world, "p-1").await;
    let channel = world.channel("clinician").await;
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(16 << 20).max_encoding_message_size(16 << 20);
    let mut sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut source = world.source("hospital", PATIENT).await;
    let large = PatientFrame { patient_id: "p-1".into(), captured_at_ms: START_MS, note: "n".repeat(4 << 20), ..PatientFrame::default() };
    let mut rests = Vec::new();
    for _ in 0..6 {
        grpc.ready().await.unwrap();
        let request = tonic::Request::new(asking("p-1", "large"));
        let path = "/ward.v1.Ward/Look".parse().unwrap();
        let answer = grpc.unary(request, path, tonic_prost::ProstCodec::<WardAsk, Chart>::default()).await.unwrap();
        assert_eq!(answer.into_inner().blob, vec![7; 4 << 20]);
        source.send(std::slice::from_ref(&large)).await;
        assert_eq!(sub.message::<PatientFrame>().await.note.len(), 4 << 20);
        rests.push(process.resident_kib());
    }
    process.is_well();
    // A few copies of one at a time: as it came, as it goes, and for the next.
    Ceiling::of(8, 8).with_unfinished(8 * 8 * 1024).holds("messages of 4 MiB", &process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_that_once_carried_a_large_message_do_not_keep_its_memory() {
    const STREAMS: usize = 100;
    let (mut process, _) = gateway("").await;
    patient(&process.world, "large").await;
    let mut client = Client::on(process.world.channel("clinician").await);
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let (to, from) = tokio::sync::mpsc::channel(1);
        let mut answers = soon("the head", client.talk(from)).await.unwrap();
        let sent = large_chart(1_000_000);
        to.send(sent.clone()).await.unwrap();
        assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(sent));
        open.push((to, answers));
    }
    process.is_well();
    Ceiling::of(4, STREAMS as u64).with_windows(2).with_unfinished(16 * 1024).holds("streams that carried large messages", &process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_never_reads_what_is_said_to_it_does_not_pile_it_up() {
    let (mut process, _) = gateway("").await;
    let mut others = Others::open(&process.world).await;
    // PublishRequest { open { schema } }, then batches of sixty thousand frames without a byte: each is refused by its number.
    let schema = [&[0x0a, PATIENT.len() as u8][..], PATIENT.as_bytes()].concat();
    let opening = prefixed(0, &[&[0x0a, schema.len() as u8][..], &schema].concat());
    let frames = [0x0a, 0].repeat(60_000);
    let batch = prefixed(0, &[&[0x12, 0xc0, 0xa9, 0x07][..], &frames].concat());
    // Of the answer only the head is read.
    let channel = process.world.narrow_channel("hospital").await;
    let pieces = vec![opening, batch.clone()];
    let (answer, sender) = raw_call(channel, "/twinveil.v1.Frames/Publish", "application/grpc", pieces, false).await;
    let sender = sender.unwrap();
    let push = async {
        for _ in 0..60 {
            let sent = sender.send(Ok(http_body::Frame::data(batch.clone())));
            if tokio::time::timeout(Duration::from_millis(300), sent).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(push, others.rounds(20));
    eventually("the first batch to be refused", async || {
        (process.world.metric("twinveil_frames_refused_total").await >= 60_000).then_some(())
    })
    .await;
    drop(answer);
    process.is_well();
    Ceiling::of(8, 8).with_windows(1).holds("acknowledgements that nobody reads", &process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_that_waits_for_a_slow_recipient_does_not_keep_the_much_that_came_with_it() {
    let (mut process, _) = gateway("").await;
    let world = &process.world;
    patient(world, "p-1").await;
    let _unread = Sub::open(world.narrow_channel("clinician").await, Ask::of(PATIENT, CARE).newest()).await.unwrap();
    // PublishRequest { batch { frames } }: one of a few bytes about somebody who consents, and one of 48 KiB about nobody.
    let batch = |frame: PatientFrame| {
        let batch = PublishBatch { frames: vec![frame.encode_to_vec().into()] };
        prefixed(0, &PublishRequest { kind: Some(Kind::Batch(batch)) }.encode_to_vec())
    };
    let of = |patient: &str, note: usize| PatientFrame {
        patient_id: patient.into(),
        captured_at_ms: START_MS,
        note: "n".repeat(note),
        ..PatientFrame::default()
    };
    let both = bytes::Bytes::from([batch(of("p-1", 10)), batch(of("nobody", 48 * 1024))].concat());
    let open = PublishRequest { kind: Some(Kind::Open(PublishOpen { schema: PATIENT.into() })) };
    let opening = prefixed(0, &open.encode_to_vec());
    let channel = world.channel("hospital").await;
    let (answer, sender) = raw_call(channel, "/twinveil.v1.Frames/Publish", "application/grpc", vec![opening], false).await;
    let sender = sender.unwrap();
    let reading = tokio::spawn(end_of(answer));
    let count = if long() { 40_000 } else { 8_000 };
    for _ in 0..count {
        sender.send(Ok(http_body::Frame::data(both.clone()))).await.unwrap();
    }
    drop(sender);
    assert_eq!(reading.await.expect("no panic").0, Code::Ok);
    process.is_well();
    Ceiling::of(8, 8).with_windows(1).with_kept().holds("little that came with much", &process);
}

/// A stranger's connection that goes as far as this and no further; returns when the gateway has ended it.
async fn stranger(gate: SocketAddr, said: &[u8]) {
    let mut socket = TcpStream::connect(gate).await.unwrap();
    let _refused_already = socket.write_all(said).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut rest)).await;
    // A reset is an end, too.
    drop(ended.expect("it is not waited for"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_never_begins_holds_no_place_for_long_and_one_address_not_all_of_them() {
    let (mut process, _) = gateway("[limits]\nconnections_max = 40").await;
    let mut others = Others::open(&process.world).await;
    let world = &process.world;
    // A known party that says nothing more, or half of the preface.
    let (silent, halting) = (Peer::silent(world, "clinician", b"").await, Peer::silent(world, "clinician", &PREFACE[..9]).await);
    // Nobody knows these: a quarter of the places is for all who come from one address.
    let mut strangers = tokio::task::JoinSet::new();
    for at in 0..30 {
        let gate = world.gate;
        strangers.spawn(async move { stranger(gate, if at % 2 == 0 { b"" } else { b"\x16\x03\x01\x02\x00\x01" }).await });
    }
    eventually("those past a quarter to be refused", async || {
        (world.metric("twinveil_connections_refused_total").await >= 20).then_some(())
    })
    .await;
    others.rounds(5).await;
    strangers.join_all().await;
    for quiet in [silent, halting] {
        let end = tokio::time::timeout(Duration::from_secs(20), quiet.over()).await;
        end.expect("it is not waited for");
    }
    eventually("both to be counted", async || (world.metric("twinveil_connections_cut_total").await == 2).then_some(())).await;
    assert_eq!(process.said().matches("it said nothing").count(), 2, "{}", process.said());
    // There is room again.
    drop(process.world.channel("researcher").await);
    process.is_well();
}
