//! Nothing leaks sideways: not into the log, metrics, errors or the store, not to other recipients; and recipients who put together
//! all that they received have nothing to join a person by.

mod canaries;
mod everywhere;
pub(crate) mod pooled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message;
use twinveil::client::wallet::Wallet;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::EpochKey;
use twinveil::proto::v1::subscribe_response::Kind;
use twinveil::veil::name::{SealKey, UnixMs};
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
use twinveil::veil::transform::fragment::split;

use super::{CARE, RESEARCH};
use crate::harness::{Ask, Given, PATIENT, Sub, World, permit, permit_all, sealed_for_recipient, strangers_folder};

const DAY_MS: i64 = 86_400_000;

/// Everything in a stream that could tell one subject from another, by kind.
fn identifiers(sub: &Sub) -> BTreeMap<&'static str, BTreeSet<Vec<u8>>> {
    let mut found = BTreeMap::<_, BTreeSet<Vec<u8>>>::new();
    let mut note = |kind: &'static str, value: &[u8]| {
        assert!(!value.is_empty(), "{kind}");
        found.entry(kind).or_default().insert(value.to_vec());
    };
    note("stream", &sub.header.stream_id);
    for view in &sub.views {
        note("label", view.subject.as_bytes());
        for envelope in &view.keys {
            let key = EpochKey::decode(envelope.payload.clone()).unwrap();
            note("view id", &key.view_id);
            note("commitment", &key.commit);
            key.wraps.iter().for_each(|wrap| note("wrap", wrap));
            key.wraps.iter().for_each(|wrap| note("encapsulated key", &wrap[..32]));
            envelope.signatures.iter().for_each(|signature| note("signature", &signature.sig));
        }
    }
    for message in sub.kept.iter().flatten() {
        let Some(Kind::Batch(batch)) = &message.kind else { continue };
        for frame in &batch.frames {
            let (clear, groups) = split(&frame.message, SEALED_FIELD, ANNOUNCEMENT_FIELD).unwrap();
            let typed = PatientFrame::decode(&clear[..]).unwrap();
            note("patient", typed.patient_id.as_bytes());
            if typed.device_id.len() == 26 {
                note("device", typed.device_id.as_bytes());
                note("counter", &typed.sequence.to_be_bytes());
            }
            groups.iter().for_each(|group| note("group", group));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_who_pool_all_they_received_share_no_identifier() {
    let world = World::start().await;
    let person = world.patient("ada").await;
    let lab = world.wallet();
    let rules: Vec<_> = permit_all().into_iter().chain([permit("device_id", "pseudonymize"), permit("sequence", "pseudonymize")]).collect();
    // One key for all of them, even: sealing to it makes no two wraps alike.
    let given =
        Given::to(&world, &["clinician", "researcher"], CARE).purposes(&[CARE, "dpv:ImproveHealthcare", RESEARCH, "dpv:AcademicResearch"]);
    world.grant(&person, &given.rules(rules).and(sealed_for_recipient("note")).key(lab.vault_key())).await;
    let mut streams = Vec::new();
    for (party, purpose) in
        [("clinician", CARE), ("clinician", "dpv:ImproveHealthcare"), ("researcher", RESEARCH), ("researcher", "dpv:AcademicResearch")]
    {
        streams.push(world.subscribe(party, Ask::of(PATIENT, purpose)).await.keeping());
    }
    let mut again = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await.keeping();
    let frames: Vec<_> = (1..=10)
        .map(|sequence| PatientFrame {
            patient_id: "ada".into(),
            device_id: "monitor-7".into(),
            sequence,
            note: format!("note {sequence}"),
            ..PatientFrame::default()
        })
        .collect();
    world.publish("hospital", PATIENT, &frames).await;
    for sub in streams.iter_mut().chain([&mut again]) {
        sub.frames(10).await;
    }
    let seen: Vec<_> = streams.iter().map(identifiers).collect();
    for (i, one) in seen.iter().enumerate() {
        assert_eq!(one["patient"].len(), 1, "within a stream a person stays recognisable");
        for other in &seen[i + 1..] {
            let (mine, theirs): (BTreeSet<_>, BTreeSet<_>) = (one.values().flatten().collect(), other.values().flatten().collect());
            assert_eq!(mine.intersection(&theirs).collect::<Vec<_>>(), Vec::<&&Vec<u8>>::new());
        }
    }
    // For the same recipient and purpose people stay the same, streams do not.
    let (first, again) = (&seen[0], identifiers(&again));
    assert_eq!((&first["patient"], &first["label"]), (&again["patient"], &again["label"]));
    for kind in ["stream", "view id", "commitment", "wrap", "group"] {
        assert!(first[kind].is_disjoint(&again[kind]), "{kind}");
    }
}

/// What a clinician is sent of the same ten frames, about somebody whom the source calls so.
async fn about(world: &World, value: &str) -> BTreeMap<&'static str, BTreeSet<Vec<u8>>> {
    let mut sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await.keeping();
    let frames: Vec<_> = (1..=10)
        .map(|sequence| PatientFrame {
            patient_id: value.into(),
            device_id: "monitor-7".into(),
            sequence,
            note: format!("note {sequence}"),
            ..PatientFrame::default()
        })
        .collect();
    world.publish("hospital", PATIENT, &frames).await;
    sub.frames(10).await;
    let found = identifiers(&sub);
    assert!(["patient", "device", "counter", "label", "wrap", "group"].iter().all(|kind| found.contains_key(kind)), "{found:?}");
    found
}

/// Enrols somebody who lets the clinician have everything, with a stand-in for each identifier and counter and a sealed note.
async fn consented(world: &World, value: &str, person: &Wallet, lab: SealKey) {
    world.enrol("hospital", value, person).await;
    let rules = permit_all().into_iter().chain([permit("device_id", "pseudonymize"), permit("sequence", "pseudonymize")]).collect();
    let given = Given::to(world, &["clinician"], CARE).until(UnixMs(world.now().0 + 60 * DAY_MS));
    world.grant(person, &given.rules(rules).and(sealed_for_recipient("note")).key(lab)).await;
}

fn nothing_in_common(one: &BTreeMap<&'static str, BTreeSet<Vec<u8>>>, other: &BTreeMap<&'static str, BTreeSet<Vec<u8>>>) {
    let (mine, theirs): (BTreeSet<_>, BTreeSet<_>) = (one.values().flatten().collect(), other.values().flatten().collect());
    assert_eq!(mine.intersection(&theirs).collect::<Vec<_>>(), Vec::<&&Vec<u8>>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_give_one_recipient_nothing_in_common_about_one_person() {
    let (one, other) = (World::start().await, World::at(strangers_folder(), Arc::default()).await.expect("another gateway"));
    // The same wallet, what the source calls its owner, recipient, purpose, key of the recipient and frames.
    let (person, lab) = (one.wallet_of([91; 32]), one.wallet().vault_key());
    let mut seen = Vec::new();
    for world in [&one, &other] {
        consented(world, "ada", &person, lab).await;
        seen.push(about(world, "ada").await);
    }
    nothing_in_common(&seen[0], &seen[1]);
    // Where it may, the same gateway says that it is the same person.
    assert_eq!(about(&one, "ada").await["patient"], seen[0]["patient"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_with_two_keys_is_two_people_to_everybody() {
    let world = World::start().await;
    let lab = world.wallet().vault_key();
    // One hand holds both.
    let keys = [world.wallet_of([92; 32]), world.wallet_of([93; 32])];
    let mut seen = Vec::new();
    for (value, key) in ["ada-at-work", "ada-at-home"].into_iter().zip(&keys) {
        consented(&world, value, key, lab).await;
        seen.push(about(&world, value).await);
    }
    nothing_in_common(&seen[0], &seen[1]);
    // Neither shows or ends anything of the other.
    assert_eq!(world.standing(&keys[0]).await.grants.len(), 1);
    world.withdraw_all(&keys[0]).await;
    let states = [world.standing(&keys[0]).await, world.standing(&keys[1]).await].map(|standing| standing.grants[0].state.clone());
    assert_eq!(states, ["withdrawn", "live"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_their_days_are_over_pseudonyms_have_nothing_in_common_with_those_before() {
    let world = World::start().await;
    let person = world.wallet();
    consented(&world, "ada", &person, world.wallet().vault_key()).await;
    let before = about(&world, "ada").await;
    assert_eq!(about(&world, "ada").await["patient"], before["patient"]);
    // `rotation_days` of the sample configuration.
    world.clock.shift(30 * DAY_MS);
    nothing_in_common(&before, &about(&world, "ada").await);
}
