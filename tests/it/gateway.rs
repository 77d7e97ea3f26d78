//! Does everybody get what consent and policy allow, and nothing else? Frames of simulated twins over real sockets.

mod barrier;
mod ends;
mod lag;
pub(crate) mod leaks;
mod refusals;
mod room;
mod services;

use prost::Message;
use twinveil::cli::simulate::{Simulation, What};
use twinveil::proto::sample::{PatientFrame, TurbineFrame};

use crate::harness::recompute::{self, levelled, origin_of};
use crate::harness::{Ask, Given, PATIENT, TURBINE, World, permit};

/// 2024-03-04 08:17 UTC: not on a boundary of anything.
pub(crate) const START_MS: i64 = 1_709_540_220_000;

pub(crate) const CARE: &str = "dpv:ServiceProvision";
pub(crate) const RESEARCH: &str = "dpv:ScientificResearch";
pub(crate) const RENDERING: &str = "dpv:ServicePersonalisation";
pub(crate) const ADVERTISING: &str = "dpv:Advertising";
pub(crate) const MAINTENANCE: &str = "dpv:TechnicalServiceProvision";

/// Frames of one patient, with a note in some.
pub(crate) fn patient_frames(number: u32, count: usize) -> Vec<PatientFrame> {
    let frames = Simulation::new(What::Patients, 7, number, START_MS).filter(|frame| frame.subject == format!("patient-{number:05}"));
    let typed = frames.take(count).map(|frame| PatientFrame::decode(&frame.bytes[..]).unwrap());
    typed
        .enumerate()
        .map(|(index, frame)| if index % 5 == 0 { PatientFrame { note: format!("note {index}"), ..frame } } else { frame })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recipient_gets_exactly_the_fields_that_consent_and_policy_allow() {
    let world = World::start().await;
    let parties = [("clinician", CARE), ("researcher", RESEARCH), ("renderer", RENDERING), ("advertiser", ADVERTISING)];
    let mut sent = Vec::new();
    for number in 1..=2 {
        let frames = patient_frames(number, 60);
        let person = world.patient(&frames[0].patient_id).await;
        let given = Given::to(&world, &parties.map(|(party, _)| party), CARE).purposes(&parties.map(|(_, purpose)| purpose));
        world.grant(&person, &given).await;
        sent.push(frames);
    }
    let mut streams = Vec::new();
    for (party, purpose) in parties {
        streams.push(world.subscribe(party, Ask::of(PATIENT, purpose)).await);
    }
    for frames in &sent {
        world.publish("hospital", PATIENT, frames).await;
    }
    let expected: [fn(&PatientFrame) -> PatientFrame; 4] =
        [recompute::clinician, recompute::researcher, recompute::renderer, recompute::advertiser];
    for ((sub, expect), (party, _)) in streams.iter_mut().zip(expected).zip(parties) {
        for frames in &sent {
            let mut came = sub.messages::<PatientFrame>(frames.len()).await;
            if party == "researcher" {
                assert_ne!(origin_of(&mut came, frames), 0, "the counter lost its origin");
            }
            for (came, sent) in came.into_iter().zip(frames) {
                assert_eq!(levelled(came), expect(sent), "{party}, frame {}", sent.sequence);
            }
        }
        assert_eq!(sub.views.iter().map(|view| (view.view, view.open)).collect::<Vec<_>>(), [(1, true), (2, true)], "{party}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_takes_away_from_what_the_policy_allows_and_never_adds() {
    let world = World::start().await;
    let frames = patient_frames(1, 12);
    let person = world.patient(&frames[0].patient_id).await;
    let given = Given::to(&world, &["clinician", "advertiser"], CARE).purposes(&[CARE, ADVERTISING]);
    world.grant(&person, &given.rules(vec![permit("vitals.heart_rate_bpm", "generalize"), permit("note", "keep")])).await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut advertiser = world.subscribe("advertiser", Ask::of(PATIENT, ADVERTISING)).await;
    world.publish("hospital", PATIENT, &frames).await;
    for sent in &frames {
        let full = recompute::researcher(sent);
        let vitals = full.vitals.map(|vitals| twinveil::proto::sample::Vitals {
            heart_rate_bpm: vitals.heart_rate_bpm,
            ..twinveil::proto::sample::Vitals::default()
        });
        let expected = PatientFrame { vitals, note: sent.note.clone(), ..PatientFrame::default() };
        assert_eq!(clinician.message::<PatientFrame>().await, expected);
        // The policy lets advertisers have neither.
        assert!(advertiser.is_quiet(std::time::Duration::from_millis(1)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_person_who_did_not_consent_nobody_learns_even_that_there_are_frames() {
    let world = World::start().await;
    let (hidden, seen) = (patient_frames(1, 20), patient_frames(2, 20));
    world.patient(&hidden[0].patient_id).await;
    let person = world.patient(&seen[0].patient_id).await;
    world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut other_purpose = world.subscribe("clinician", Ask::of(PATIENT, "dpv:ImproveHealthcare")).await;
    let mixed: Vec<_> = hidden.iter().zip(&seen).flat_map(|(one, other)| [one.clone(), other.clone()]).collect();
    world.publish("hospital", PATIENT, &mixed).await;
    let came = clinician.messages::<PatientFrame>(20).await;
    assert!(came.iter().zip(&seen).all(|(came, sent)| came.device_id == sent.device_id && came.sequence == sent.sequence));
    assert_eq!(clinician.views.iter().map(|view| view.view).collect::<Vec<_>>(), [1], "numbers tell nothing of the hidden");
    assert!(other_purpose.is_quiet(std::time::Duration::from_millis(50)).await);
}

/// A frame of a turbine whose steward lets the vendor have what people did at it, sealed, whatever the operator says. When it comes, all
/// that was sent before it has been judged.
async fn last_before_a_mandate(world: &World) -> TurbineFrame {
    let steward = world.wallet();
    world.enrol("windfarm", "turbine-last", &steward).await;
    world.grant(&steward, &Given::to(world, &["vendor"], MAINTENANCE).rules(vec![permit("actions", "keep")])).await;
    let action = twinveil::proto::sample::Action { operator_id: "badge-2".into(), command: "stop".into(), at_ms: START_MS };
    TurbineFrame { asset_id: "turbine-last".into(), actions: vec![action], ..TurbineFrame::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_gets_by_the_operators_mandate_what_is_operational_and_no_more() {
    let world = World::start().await;
    let frames: Vec<TurbineFrame> = Simulation::new(What::Turbines, 5, 1, START_MS)
        .take(400)
        .enumerate()
        .map(|(index, frame)| {
            let mut frame = TurbineFrame::decode(&frame.bytes[..]).unwrap();
            if index % 7 == 0 {
                let at_ms = frame.captured_at_ms;
                frame.actions.push(twinveil::proto::sample::Action { operator_id: "badge-1".into(), command: "derate".into(), at_ms });
            }
            frame
        })
        .collect();
    let steward = world.wallet();
    world.enrol("windfarm", &frames[0].asset_id, &steward).await;
    let mut vendor = world.subscribe("vendor", Ask::of(TURBINE, MAINTENANCE)).await;
    // No mandate yet: nothing. Frames are judged when they are handed over: these have to be gone by then.
    let last = last_before_a_mandate(&world).await;
    world.publish("windfarm", TURBINE, &[&frames[..3], &[last]].concat()).await;
    let received = vendor.frame().await;
    assert_eq!(TurbineFrame::decode(&received.clear[..]).unwrap(), TurbineFrame::default(), "the last one, and the first that comes");
    assert_eq!((vendor.views.len(), received.groups, received.opened), (1, 1, 0));
    world.mandate(&Given::to(&world, &["vendor"], MAINTENANCE)).await;
    world.publish("windfarm", TURBINE, &frames[3..]).await;
    for sent in &frames[3..] {
        let received = vendor.frame().await;
        assert_eq!(TurbineFrame::decode(&received.clear[..]).unwrap(), recompute::vendor(sent), "{}", sent.sequence);
        assert_eq!((received.groups, received.opened), (1, 0), "sealed to the operator's vault, not to the vendor");
    }
    // The steward's word opens what is about people, sealed to the steward.
    world.grant(&steward, &Given::to(&world, &["vendor"], MAINTENANCE).rules(vec![permit("actions", "keep")])).await;
    let view = vendor.view().await;
    let actions: Vec<_> = view.fields.iter().filter(|field| field.path.starts_with("actions")).map(|field| field.treatment()).collect();
    assert_eq!(actions, [twinveil::proto::v1::Treatment::Encrypt; 3]);
    assert_eq!(view.keys.len(), 2, "one slot for the operator's vault, one for the steward's");
}
