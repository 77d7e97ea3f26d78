//! Withdrawal is a barrier: after the answer, no stream hands over anything under the old consent, and nobody else notices.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prost::Message;
use twinveil::proto::sample::{PatientFrame, Position};
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::withdrawal::Reach;

use super::{ADVERTISING, CARE, MAINTENANCE, RENDERING, RESEARCH, START_MS, patient_frames};
use crate::harness::{Ask, Given, PATIENT, Sub, TURBINE, World, eventually, soon};

const PARTIES: [(&str, &str); 4] = [("clinician", CARE), ("researcher", RESEARCH), ("renderer", RENDERING), ("advertiser", ADVERTISING)];

fn given(world: &World) -> Given {
    Given::to(world, &PARTIES.map(|(party, _)| party), CARE).purposes(&PARTIES.map(|(_, purpose)| purpose))
}

fn frame(patient: &str, sequence: u64, note: &str) -> PatientFrame {
    PatientFrame { patient_id: patient.into(), sequence, note: note.into(), captured_at_ms: START_MS, ..PatientFrame::default() }
}

/// What one stream saw: per view, the hand-over numbers of its frames.
struct Seen {
    stream: Vec<u8>,
    frames: HashMap<u32, Vec<u64>>,
    closed: Vec<u32>,
}

/// Reads until every source has sent its last frame: the one with a position, which every recipient sees something of.
async fn read(mut sub: Sub, marks: usize, progress: Arc<AtomicU64>) -> Seen {
    let (mut frames, mut marked) = (HashMap::<u32, Vec<u64>>::new(), 0);
    while marked < marks {
        let received = sub.frame().await;
        frames.entry(received.view).or_default().push(received.handover);
        progress.fetch_add(1, Ordering::Relaxed);
        let message = PatientFrame::decode(&received.message[..]).unwrap();
        marked += usize::from(message.position.is_some());
    }
    let closed = sub.views.iter().filter(|view| !view.open).map(|view| view.view).collect();
    Seen { stream: sub.header.stream_id.to_vec(), frames, closed }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_withdrawal_is_answered_none_of_a_hundred_streams_under_load_hands_over_more_of_the_subject() {
    const STREAMS_PER_PARTY: usize = 25;
    const SOURCES: usize = 3;
    // Short queues: sources send as fast as the slowest of a hundred reads.
    let world = World::with("[limits]\nframe_bytes_max = 16384\nbatch_bytes_max = 65536\nqueue_bytes_max = 65536").await;
    let mut people = HashMap::new();
    for source in 0..SOURCES {
        for name in ["leaver", "stayer"] {
            let id = format!("{name}-{source}");
            let person = world.patient(&id).await;
            world.grant(&person, &given(&world)).await;
            people.insert(id, person);
        }
    }
    let (mut readers, mut progress) = (Vec::new(), Vec::new());
    for (party, purpose) in PARTIES {
        let channel = world.channel(party).await;
        for _ in 0..STREAMS_PER_PARTY {
            let sub = Sub::open(channel.clone(), Ask::of(PATIENT, purpose)).await.unwrap();
            let seen = Arc::new(AtomicU64::new(0));
            readers.push(tokio::spawn(read(sub, SOURCES, Arc::clone(&seen))));
            progress.push(seen);
        }
    }
    let seen_by_each = |count| progress.iter().all(|seen| seen.load(Ordering::Relaxed) >= count).then_some(());
    let first: Vec<_> = people.keys().map(|id| frame(id, 0, "first")).collect();
    world.publish("hospital", PATIENT, &first).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut sources = Vec::new();
    for number in 0..SOURCES {
        let (mut source, stop) = (world.source("hospital", PATIENT).await, Arc::clone(&stop));
        sources.push(tokio::spawn(async move {
            let mut sequence = 0;
            while !stop.load(Ordering::Relaxed) {
                let batch: Vec<_> = (0..5)
                    .flat_map(|_| {
                        sequence += 1;
                        ["leaver", "stayer"].map(|name| frame(&format!("{name}-{number}"), sequence, "some words"))
                    })
                    .collect();
                assert_eq!(source.send(&batch).await.accepted, sequence * 2);
            }
            let mut last = frame(&format!("stayer-{number}"), sequence + 1, "");
            last.position = Some(Position { latitude: 48.2, longitude: 16.4, altitude_m: 200.0, speed_m_s: 3.0 });
            source.send(&[last]).await;
            // With the first frame.
            sequence + 2
        }));
    }
    eventually("load on every stream", async || seen_by_each(200)).await;
    let answer = world.withdraw_all(&people["leaver-0"]).await;
    eventually("more load after the withdrawal", async || seen_by_each(400)).await;
    stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for source in sources {
        sent.push(soon("a source to end", source).await.unwrap() as usize);
    }
    assert_eq!((answer.ended, answer.streams.len()), (1, PARTIES.len() * STREAMS_PER_PARTY));
    let barriers: HashMap<Vec<u8>, _> = answer.streams.into_iter().map(|barrier| (barrier.stream_id.to_vec(), barrier)).collect();
    for reader in readers {
        let seen = soon("a recipient to see the last frames", reader).await.expect("a stream without a gap");
        let barrier = &barriers[&seen.stream];
        assert!(seen.frames[&barrier.view].iter().all(|handover| *handover <= barrier.last_handover), "nothing after the answer");
        assert_eq!(seen.closed, [barrier.view], "the recipient is told, of this view alone");
        // Of everybody else, every frame came.
        let mut others: Vec<usize> =
            seen.frames.iter().filter(|(view, _)| **view != barrier.view).map(|(_, frames)| frames.len()).collect();
        let mut expected: Vec<usize> = sent.clone();
        expected.extend(sent.iter().skip(1).map(|frames| frames - 1));
        others.sort_unstable();
        expected.sort_unstable();
        assert_eq!(others, expected);
    }
    assert_eq!(world.metric("twinveil_streams_cut_off_total").await, 0);
    world.no_stream_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_half_way_out_when_consent_ends_is_cut_off_with_its_stream_and_no_other() {
    let world = World::start().await;
    let (ada, ben) = (world.patient("ada").await, world.patient("ben").await);
    for person in [&ada, &ben] {
        world.grant(person, &given(&world)).await;
    }
    let mut stuck = Sub::open(world.narrow_channel("clinician").await, Ask::of(PATIENT, CARE)).await.unwrap();
    let mut reading = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let long = "long ".repeat(60_000);
    world.publish("hospital", PATIENT, &[frame("ben", 1, ""), frame("ada", 1, &long)]).await;
    let came = reading.messages::<PatientFrame>(2).await;
    assert_eq!(came[1].note, long);
    eventually("the frame to be on its way to both", async || (world.metric("twinveil_frames_out_total").await == 4).then_some(())).await;
    let answer = world.withdraw_all(&ada).await;
    assert_eq!(answer.streams.iter().map(|barrier| (barrier.view, barrier.last_handover)).collect::<Vec<_>>(), [(2, 2), (2, 2)]);
    world.publish("hospital", PATIENT, &[frame("ada", 2, ""), frame("ben", 2, "")]).await;
    let (frames, end) = stuck.rest().await;
    assert!(frames.len() <= 1, "ben's first frame at the most");
    end.expect_err("the stream is reset, so that the rest of the frame never comes");
    assert_eq!(world.metric("twinveil_streams_cut_off_total").await, 1);
    assert_eq!(reading.message::<PatientFrame>().await.sequence, 2);
    assert_eq!(reading.views.iter().filter(|view| !view.open).count(), 1);
    // Whoever was cut off subscribes again, and the other subject's frames go on.
    let mut again = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    world.publish("hospital", PATIENT, &[frame("ben", 3, "")]).await;
    assert_eq!(again.message::<PatientFrame>().await.sequence, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_half_way_out_when_consent_expires_is_cut_off_too() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &given(&world)).await;
    let mut stuck = Sub::open(world.narrow_channel("clinician").await, Ask::of(PATIENT, CARE)).await.unwrap();
    world.publish("hospital", PATIENT, &[frame("ada", 1, &"long ".repeat(60_000))]).await;
    eventually("the frame to be on its way", async || (world.metric("twinveil_frames_out_total").await == 1).then_some(())).await;
    world.clock.shift(2 * 3_600_000);
    let (frames, end) = stuck.rest().await;
    end.expect_err("the stream is reset, so that the rest of the frame never comes");
    assert_eq!((frames.len(), world.metric("twinveil_streams_cut_off_total").await), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_recipient_who_stopped_reading_is_judged_again_before_it_goes() {
    let world = World::start().await;
    let (ada, ben) = (world.patient("ada").await, world.patient("ben").await);
    for person in [&ada, &ben] {
        world.grant(person, &given(&world)).await;
    }
    let mut stuck = Sub::open(world.narrow_channel("clinician").await, Ask::of(PATIENT, CARE)).await.unwrap();
    let frames: Vec<_> =
        (0..1_000).flat_map(|n| ["ada", "ben"].map(|id| frame(id, n, "a note of a hundred and some bytes, for weight"))).collect();
    world.publish("hospital", PATIENT, &frames).await;
    // Until the stream is stuck.
    world.settled("twinveil_frames_out_total").await;
    let answer = world.withdraw_all(&ada).await;
    let barrier = &answer.streams[0];
    assert!(barrier.last_handover < 2_000, "most of it waits");
    let (mut adas, mut bens) = (Vec::new(), 0);
    while bens < 1_000 {
        let received = stuck.frame().await;
        if received.view == barrier.view { adas.push(received.handover) } else { bens += 1 }
    }
    assert!(!adas.is_empty() && adas.iter().all(|handover| *handover <= barrier.last_handover), "{adas:?}, {barrier:?}");
    assert!(adas.len() < 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mandate_that_is_withdrawn_ends_what_it_opened() {
    let world = World::start().await;
    let steward = world.wallet();
    world.enrol("windfarm", "turbine-1", &steward).await;
    let (operator, mandate) = world.mandate(&Given::to(&world, &["vendor"], MAINTENANCE)).await;
    let mut vendor = world.subscribe("vendor", Ask::of(TURBINE, MAINTENANCE)).await;
    let frame = |sequence| twinveil::proto::sample::TurbineFrame { asset_id: "turbine-1".into(), sequence, ..Default::default() };
    world.publish("windfarm", TURBINE, &[frame(1)]).await;
    assert_eq!(vendor.message::<twinveil::proto::sample::TurbineFrame>().await.sequence, 1);
    let answer = world.withdraw(&operator, &Reach::Records(vec![mandate]), SignerRole::Operator).await;
    assert_eq!((answer.ended, answer.streams.len(), answer.streams[0].last_handover), (1, 1, 1));
    assert!(!vendor.view().await.open);
    let last = super::last_before_a_mandate(&world).await;
    world.publish("windfarm", TURBINE, &[frame(2), last]).await;
    assert_eq!(vendor.message::<twinveil::proto::sample::TurbineFrame>().await.sequence, 0, "the last one, and the first that comes");
    world.mandate(&Given::to(&world, &["vendor"], MAINTENANCE)).await;
    world.publish("windfarm", TURBINE, &[frame(3)]).await;
    // The second frame waited for nobody: it was judged when it came.
    assert_eq!(vendor.message::<twinveil::proto::sample::TurbineFrame>().await.sequence, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_sent_twice_answers_as_well_and_changes_nothing() {
    let world = World::start().await;
    let person = world.patient("ada").await;
    world.grant(&person, &given(&world)).await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    world
        .publish(
            "hospital",
            PATIENT,
            &patient_frames(1, 1).into_iter().map(|f| PatientFrame { patient_id: "ada".into(), ..f }).collect::<Vec<_>>(),
        )
        .await;
    clinician.frame().await;
    let first = world.withdraw_all(&person).await;
    let second = world.withdraw_all(&person).await;
    assert_eq!((first.ended, second.ended), (1, 0));
    assert_eq!(first.streams, second.streams);
    assert!(!clinician.view().await.open);
    assert!(clinician.is_quiet(std::time::Duration::from_millis(50)).await);
}
