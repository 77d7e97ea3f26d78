//! Does what people sign act as it says, when it says, and for whom it says? Over real sockets, while frames flow.

mod authority;
mod explained;
mod keys;
mod obligations;
mod records;
mod uses;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use twinveil::client::subscriber::Event;
use twinveil::proto::sample::{PatientFrame, Vitals};
use twinveil::proto::v1::Treatment;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::withdrawal::Reach;
use twinveil::veil::name::UnixMs;

use crate::harness::{Ask, Given, PATIENT, Sub, World, forbid, permit, permit_all, permit_category, soon};

pub(crate) const CARE: &str = "dpv:ServiceProvision";
const START_MS: i64 = 1_709_540_220_000;

pub(crate) fn frame(patient: &str, sequence: u64) -> PatientFrame {
    PatientFrame {
        patient_id: patient.into(),
        sequence,
        captured_at_ms: START_MS,
        note: format!("note {sequence}"),
        vitals: Some(Vitals { heart_rate_bpm: Some(73.0), temperature_c: Some(36.6), ..Vitals::default() }),
        ..PatientFrame::default()
    }
}

async fn clinician(world: &World) -> Sub {
    world.subscribe("clinician", Ask::of(PATIENT, CARE)).await
}

fn for_clinician(world: &World) -> Given {
    Given::to(world, &["clinician"], CARE)
}

fn in_ms(world: &World, ms: i64) -> UnixMs {
    UnixMs(world.now().0 + ms)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_ends_by_itself_and_says_so_on_an_idle_stream() {
    let world = World::start().await;
    let (ada, ben) = (world.patient("ada").await, world.patient("ben").await);
    world.grant(&ada, &for_clinician(&world).until(in_ms(&world, 5_000))).await;
    world.grant(&ben, &for_clinician(&world)).await;
    let mut clinician = clinician(&world).await;
    world.publish("hospital", PATIENT, &[frame("ben", 1), frame("ada", 1)]).await;
    clinician.frames(2).await;
    let view = clinician.view().await;
    assert_eq!((view.view, view.open, view.reason.as_str()), (2, false, "time"));
    world.publish("hospital", PATIENT, &[frame("ada", 2), frame("ben", 2)]).await;
    let received = clinician.frame().await;
    assert_eq!((received.view, received.handover), (1, 3), "only ben's");
    assert_eq!(world.standing(&ada).await.grants[0].state, "expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_that_begins_later_opens_by_itself() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &for_clinician(&world).from(in_ms(&world, 5_000))).await;
    assert_eq!(world.standing(&ada).await.grants[0].state, "not yet");
    let mut clinician = clinician(&world).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    let view = clinician.view().await;
    assert!(view.open && world.now() >= UnixMs(world.standing(&ada).await.grants[0].not_before_ms));
    world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    assert_eq!(clinician.message::<PatientFrame>().await.sequence, 2, "what came before is not handed out afterwards");
    assert_eq!(world.standing(&ada).await.grants[0].state, "live");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_widens_an_open_stream_and_is_announced_before_its_first_frame() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &for_clinician(&world).rules(vec![permit("sequence", "keep"), permit("vitals.heart_rate_bpm", "generalize")])).await;
    let mut clinician = clinician(&world).await;
    let mut source = world.source("hospital", PATIENT).await;
    source.send(&[frame("ada", 1)]).await;
    let narrow = clinician.message::<PatientFrame>().await;
    let rate = |frame: &PatientFrame| frame.vitals.as_ref().and_then(|vitals| vitals.heart_rate_bpm);
    assert_eq!((rate(&narrow), narrow.vitals.as_ref().unwrap().temperature_c, narrow.note.as_str()), (Some(70.0), None, ""));
    world.grant(&ada, &for_clinician(&world).rules(vec![permit("note", "keep"), permit_category("health", "keep")])).await;
    let view = clinician.view().await;
    assert_eq!((view.view, view.open, view.reason.as_str()), (1, true, "the subject's consent changed"));
    let treatment = |path: &str| view.fields.iter().find(|field| field.path == path).unwrap().treatment();
    // Of two permits the more protective one holds.
    assert_eq!(treatment("vitals.heart_rate_bpm"), Treatment::Generalize);
    assert_eq!((treatment("note"), treatment("vitals.temperature_c")), (Treatment::Keep, Treatment::Keep));
    assert_eq!(treatment("identity.given_name"), Treatment::Strip);
    source.send(&[frame("ada", 2)]).await;
    let wide = clinician.message::<PatientFrame>().await;
    assert_eq!((rate(&wide), wide.vitals.as_ref().unwrap().temperature_c, wide.note.as_str()), (Some(70.0), Some(36.6), "note 2"));
    // What is forbidden is gone, whatever is permitted.
    world.grant(&ada, &for_clinician(&world).rules(vec![forbid("vitals")])).await;
    source.send(&[frame("ada", 3)]).await;
    let forbidden = clinician.message::<PatientFrame>().await;
    assert_eq!((forbidden.vitals, forbidden.note.as_str()), (None, "note 3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_replaces_another_narrows_without_a_gap_under_load() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let wide = world.grant(&ada, &for_clinician(&world)).await;
    let mut clinician = clinician(&world).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut source = world.source("hospital", PATIENT).await;
    let publishing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut sequence = 0;
            while !stop.load(Ordering::Relaxed) {
                sequence += 10;
                source.send(&(sequence - 9..=sequence).map(|n| frame("ada", n)).collect::<Vec<_>>()).await;
            }
            sequence
        }
    });
    let before = clinician.messages::<PatientFrame>(50).await;
    assert!(before.iter().all(|frame| !frame.note.is_empty()));
    let rules = vec![permit("sequence", "keep"), permit("vitals", "generalize")];
    world.grant(&ada, &for_clinician(&world).rules(rules).replaces(wide)).await;
    stop.store(true, Ordering::Relaxed);
    let sent = soon("the source to end", publishing).await.unwrap();
    world.publish("hospital", PATIENT, &[frame("ada", sent + 1)]).await;
    let (mut last, mut narrowed) = (50, false);
    while last <= sent {
        match clinician.next().await.unwrap().expect("open") {
            Event::Frame(received) => {
                let frame: PatientFrame = prost::Message::decode(&received.message[..]).unwrap();
                last += 1;
                assert_eq!((frame.sequence, frame.note.is_empty()), (last, narrowed), "every frame, each under the view announced before");
            }
            Event::View(view) => {
                assert!(view.open && !narrowed, "it never closes in between");
                narrowed = true;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(narrowed, "what was published after the answer is narrow");
    let states: Vec<_> = world.standing(&ada).await.grants.into_iter().map(|grant| grant.state).collect();
    assert_eq!(states, ["replaced", "live"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_who_gets_what_and_why_now() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let first = world.grant(&ada, &for_clinician(&world).rules(vec![permit("note", "keep"), forbid("identity.address")])).await;
    let mut open = clinician(&world).await;
    let _unrelated = world.subscribe("advertiser", Ask::of(PATIENT, "dpv:Advertising")).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    open.frame().await;
    let standing = world.standing(&ada).await;
    assert_eq!((standing.seq, standing.head.to_vec()), (1, first.0.to_vec()));
    let grant = &standing.grants[0];
    assert_eq!(
        (grant.state.as_str(), grant.purposes.clone(), grant.recipients.clone()),
        ("live", vec![CARE.into()], vec![world.spiffe("clinician").to_string()])
    );
    assert_eq!(grant.rules, ["permit data at `note`: keep", "forbid data at `identity.address`"]);
    let streams: Vec<_> = standing.streams.iter().map(|stream| (stream.stream_id.clone(), stream.last_handover)).collect();
    assert_eq!(streams, [(open.header.stream_id.clone(), 1)], "those that carry her, and no other");
    let explained = world.explain(&ada, "clinician", CARE, PATIENT).await;
    let field = |path: &str| explained.fields.iter().find(|field| field.path == path).unwrap();
    assert!(explained.delivers && explained.valid_until_ms == grant.expires_ms);
    assert_eq!(field("note").treatment(), Treatment::Keep);
    assert!(field("note").reason.contains(&first.to_string()[..8]), "{}", field("note").reason);
    assert_eq!(field("identity.address").treatment(), Treatment::Strip);
    assert!(field("identity.city").reason.contains("consent"), "{}", field("identity.city").reason);
    // For whom she granted nothing, nothing is delivered.
    assert!(!world.explain(&ada, "advertiser", "dpv:Advertising", PATIENT).await.delivers);
    assert_eq!(world.withdraw(&ada, &Reach::Records(vec![first]), SignerRole::Subject).await.ended, 1);
    assert!(!world.explain(&ada, "clinician", CARE, PATIENT).await.delivers);
    assert_eq!(world.standing(&ada).await.grants[0].state, "withdrawn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consent_for_one_purpose_and_recipient_is_no_consent_for_another() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &for_clinician(&world).rules(permit_all())).await;
    let mut right = clinician(&world).await;
    let mut other_purpose = world.subscribe("clinician", Ask::of(PATIENT, "dpv:ImproveHealthcare")).await;
    let mut other_party = world.subscribe("researcher", Ask::of(PATIENT, CARE)).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    assert_eq!(right.message::<PatientFrame>().await.sequence, 1);
    for sub in [&mut other_purpose, &mut other_party] {
        assert!(sub.is_quiet(Duration::from_millis(30)).await);
    }
}
