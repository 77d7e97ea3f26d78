//! Slow recipients: who asked for the newest frames is told exactly what it missed; for who asked for all of them sources wait,
//! for a bounded time. Nobody else notices.

use std::time::Duration;

use twinveil::proto::sample::PatientFrame;

use super::{CARE, START_MS};
use crate::harness::{Ask, Given, PATIENT, Sub, World};

/// A queue of some sixteen batches.
fn limits(stall_ms: u32) -> String {
    format!("[limits]\nframe_bytes_max = 4096\nbatch_bytes_max = 8192\nqueue_bytes_max = 16384\nlossless_stall_ms_max = {stall_ms}")
}

fn batch(patients: &[&str], number: u64) -> Vec<PatientFrame> {
    let note = "a note that makes the frame some two hundred bytes long, so that queues and windows are full soon enough. ".repeat(2);
    let frame = |id: &str, sequence| PatientFrame {
        patient_id: id.into(),
        sequence,
        note: note.clone(),
        captured_at_ms: START_MS,
        ..PatientFrame::default()
    };
    (0..4).flat_map(|i| patients.iter().map(move |id| (*id, number * 4 + i))).map(|(id, sequence)| frame(id, sequence)).collect()
}

async fn with_patients(stall_ms: u32, consenting: &[&str], hidden: &[&str]) -> World {
    let world = World::with(&limits(stall_ms)).await;
    for id in consenting {
        let person = world.patient(id).await;
        world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    }
    for id in hidden {
        world.patient(id).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asked_for_the_newest_frames_is_told_exactly_how_many_were_dropped() {
    // `late` comes only while the stream is stuck: its frames are dropped before the recipient saw any of it.
    let world = with_patients(500, &["ada", "ben", "late"], &["hidden"]).await;
    let mut stuck = Sub::open(world.narrow_channel("clinician").await, Ask::of(PATIENT, CARE).newest()).await.unwrap();
    let mut source = world.source("hospital", PATIENT).await;
    let mut accepted = 0;
    for number in 0..120 {
        let patients: &[&str] = if (60..=70).contains(&number) { &["late", "hidden"] } else { &["ada", "hidden", "ben"] };
        let frames = batch(patients, number);
        accepted += frames.len() as u64;
        assert_eq!(source.send(&frames).await.accepted, accepted, "nobody waits for who wants the newest");
    }
    let sent = 109 * 8 + 11 * 4;
    let mut last = (0, 0);
    let mut received = 0;
    while last != (479, 479) {
        let frame = stuck.message::<PatientFrame>().await;
        received += 1;
        // Two patients, in turn.
        if received % 2 == 0 { last.0 = frame.sequence } else { last.1 = frame.sequence }
    }
    assert!(stuck.lost > 100, "the test made a gap");
    assert_eq!(received + stuck.lost, sent, "of the hidden patient nothing is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_wait_for_a_lossless_recipient_who_comes_back_in_time_and_nothing_is_lost() {
    let world = with_patients(8_000, &["ada"], &[]).await;
    let mut slow = Sub::open(world.narrow_channel("clinician").await, Ask::of(PATIENT, CARE)).await.unwrap();
    let mut source = world.source("hospital", PATIENT).await;
    let mut acknowledged = 0;
    for number in 0.. {
        source.push(batch(&["ada"], number).iter().map(prost::Message::encode_to_vec).collect()).await;
        match tokio::time::timeout(Duration::from_millis(300), source.ack()).await {
            Ok(ack) => acknowledged = ack.unwrap().accepted,
            // The source is held back.
            Err(_) => break,
        }
        assert!(number < 2_000, "somebody has to wait at some time");
    }
    let frames = slow.messages::<PatientFrame>(acknowledged as usize + 4).await;
    assert!(frames.iter().enumerate().all(|(index, frame)| frame.sequence == index as u64));
    assert_eq!(source.ack().await.unwrap().accepted, acknowledged + 4);
    assert_eq!(slow.lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lossless_recipient_who_stays_away_is_given_up_with_a_reason_and_nobody_else_notices() {
    // Longer than the other two, who read as fast as they can, are ever kept from it.
    let world = with_patients(2_000, &["ada"], &[]).await;
    let mut slow = Sub::open(world.narrow_channel("clinician").await, Ask::of(PATIENT, CARE)).await.unwrap();
    let mut fast = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut newest = world.subscribe("clinician", Ask::of(PATIENT, CARE).newest()).await;
    let reading = tokio::spawn(async move {
        let frames = fast.messages::<PatientFrame>(800).await;
        assert!(frames.iter().enumerate().all(|(index, frame)| frame.sequence == index as u64));
    });
    let reading_newest = tokio::spawn(async move {
        let mut last = 0;
        while last < 799 {
            last = newest.message::<PatientFrame>().await.sequence;
        }
    });
    let mut source = world.source("hospital", PATIENT).await;
    for number in 0..200 {
        assert_eq!(source.send(&batch(&["ada"], number)).await.accepted, (number + 1) * 4);
    }
    reading.await.expect("the other recipient has every frame");
    reading_newest.await.expect("so has the third, up to the last");
    let (frames, end) = slow.rest().await;
    assert!(frames.len() < 800 && frames.iter().enumerate().all(|(index, frame)| frame.handover == index as u64 + 1));
    assert_eq!(slow.end.as_ref().map(|end| end.code.as_str()), Some("TV-G05"));
    let status = end.expect_err("a status says the same");
    assert_eq!((status.code(), &status.message()[..6]), (tonic::Code::ResourceExhausted, "TV-G05"));
    // It may come back.
    let mut again = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    source.send(&batch(&["ada"], 200)).await;
    assert_eq!(again.message::<PatientFrame>().await.sequence, 800);
}
