//! Do recordings of real monitors, tracks and turbines come out exactly as they should? Each is replayed as `twinveil replay`
//! does, and every frame that arrives is compared with what was worked out by hand from the frame that was sent.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use prost::Message;
use twinveil::cli::input::{Recording, Replay};
use twinveil::proto::sample::{PatientFrame, TurbineFrame};

use crate::harness::recompute::{self, levelled};
use crate::harness::{Ask, Given, PATIENT, Sub, TURBINE, World, permit_all};

type Expect = fn(&PatientFrame) -> PatientFrame;
const RECIPIENTS: [(&str, &str, Expect); 4] = [
    ("clinician", "dpv:ServiceProvision", recompute::clinician),
    ("researcher", "dpv:ScientificResearch", recompute::researcher),
    ("renderer", "dpv:ServicePersonalisation", recompute::renderer),
    ("advertiser", "dpv:Advertising", recompute::advertiser),
];

/// A folder of recordings, where there is one on this machine.
fn recordings(name: &str) -> Option<Vec<Recording>> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if !folder.exists() {
        eprintln!("SKIPPED: no recordings in `{}`", folder.display());
        return None;
    }
    Some(Replay::open(&folder).expect("mappings cover it").0)
}

async fn patients_come_out_right(recordings: Vec<Recording>) -> usize {
    let world = World::start().await;
    let subjects: BTreeSet<String> = recordings.iter().flat_map(|recording| recording.subjects().unwrap()).collect();
    for subject in &subjects {
        let person = world.patient(subject).await;
        let given =
            Given::to(&world, &RECIPIENTS.map(|(party, ..)| party), RECIPIENTS[0].1).purposes(&RECIPIENTS.map(|(_, purpose, _)| purpose));
        world.grant(&person, &given.rules(permit_all())).await;
    }
    let mut streams: Vec<Sub> = Vec::new();
    for (party, purpose, _) in RECIPIENTS {
        streams.push(world.subscribe(party, Ask::of(PATIENT, purpose)).await);
    }
    let mut source = world.source("hospital", PATIENT).await;
    let (mut count, mut origins) = (0, HashMap::new());
    for recording in recordings {
        let frames: Vec<_> = recording.frames().unwrap().map(|frame| frame.unwrap()).collect();
        for batch in frames.chunks(200) {
            let ack = source.send_bytes(batch.iter().map(|frame| frame.bytes.clone()).collect()).await;
            count += batch.len();
            assert_eq!((ack.accepted, ack.refused.len()), (count as u64, 0), "{}", recording.name());
            for (sub, (party, _, expect)) in streams.iter_mut().zip(RECIPIENTS) {
                for sent in batch {
                    let sent = PatientFrame::decode(&sent.bytes[..]).unwrap();
                    let mut came = sub.message::<PatientFrame>().await;
                    if party == "researcher" {
                        // Every counter keeps its steps; its origin is one a person.
                        let origin = came.sequence - sent.sequence;
                        assert_eq!(*origins.entry(sent.patient_id.clone()).or_insert(origin), origin);
                        came.sequence = sent.sequence;
                    }
                    assert_eq!(levelled(came), expect(&sent), "{party}, {} at {} ms", recording.name(), sent.captured_at_ms);
                }
            }
        }
    }
    assert_eq!(world.metric("twinveil_frames_out_total").await, 4 * count as u64);
    for sub in &streams {
        assert_eq!((sub.views.len(), sub.lost), (subjects.len(), 0));
    }
    let different: BTreeSet<u64> = origins.values().copied().collect();
    assert_eq!(different.len(), subjects.len());
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ecg_of_360_hz_comes_out_right() {
    let Some(recordings) = recordings("patients/mitdb-100") else { return };
    let frames = patients_come_out_right(recordings).await;
    // 108,000 rows in chunks of 90, and a row a beat.
    assert_eq!(frames, 1_200 + 372);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vital_signs_of_a_bedside_monitor_come_out_right() {
    let Some(mut recordings) = recordings("patients/mimic2-s00001") else { return };
    recordings.retain(|recording| recording.name().ends_with("vitals.csv"));
    assert_eq!(patients_come_out_right(recordings).await, 1_936);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gps_tracks_come_out_right() {
    let Some(recordings) = recordings("tracks") else { return };
    assert_eq!(patients_come_out_right(recordings).await, 104 + 296 + 3_098);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn persons_come_out_right() {
    let Some(recordings) = recordings("identity") else { return };
    assert_eq!(patients_come_out_right(recordings).await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scada_data_of_turbines_comes_out_right() {
    let Some(mut recordings) = recordings("assets") else { return };
    recordings.retain(|recording| recording.name().starts_with("turbine"));
    let world = World::start().await;
    let mut stewards = HashMap::new();
    for recording in &recordings {
        for subject in recording.subjects().unwrap() {
            let steward = world.wallet();
            world.enrol("windfarm", &subject, &steward).await;
            stewards.insert(subject, steward);
        }
    }
    world.mandate(&Given::to(&world, &["vendor"], "dpv:TechnicalServiceProvision")).await;
    let mut vendor = world.subscribe("vendor", Ask::of(TURBINE, "dpv:TechnicalServiceProvision")).await;
    let mut clinician = world.subscribe("clinician", Ask::of(TURBINE, "dpv:ServiceProvision")).await;
    let mut source = world.source("windfarm", TURBINE).await;
    let mut count = 0;
    for recording in &recordings {
        let frames: Vec<_> = recording.frames().unwrap().map(|frame| frame.unwrap()).collect();
        for batch in frames.chunks(200) {
            source.send_bytes(batch.iter().map(|frame| frame.bytes.clone()).collect()).await;
            for sent in batch {
                let sent = TurbineFrame::decode(&sent.bytes[..]).unwrap();
                let received = vendor.frame().await;
                assert_eq!(TurbineFrame::decode(&received.clear[..]).unwrap(), recompute::vendor(&sent), "{}", recording.name());
                assert_eq!((received.groups, received.opened), (1, 0));
                count += 1;
            }
        }
    }
    assert_eq!((count, stewards.len(), vendor.views.len()), (2 * 4_458, 2, 2));
    // Without a policy for it, not even what is public goes with frames about an asset.
    assert!(clinician.is_quiet(std::time::Duration::from_millis(30)).await);
}
