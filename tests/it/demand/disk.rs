//! The desk on a disk of its own that somebody else fills: its store, with the file that gateways have, or its log.

use std::collections::BTreeSet;

use serde_json::Value;
use tonic::Status;
use twinveil::log::Copy;
use twinveil::proto::v1::ShowDemandResponse;
use twinveil::veil::merkle::leaf::Act;
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::merkle::receipt::LogProof;
use twinveil::veil::name::{Did, RecordId};

use super::{AsksDesk, House, ShowDemandRequest, code, id};
use crate::consent::frame;
use crate::harness::disk::Small;
use crate::harness::{PATIENT, eventually, made_folder};

/// A desk with a part of its folder on a disk of its own; none where this system lets nobody mount one.
async fn with_on_a_small_disk(part: &str) -> Option<(Small, House)> {
    let (disk, folder) = (Small::new(&format!("desk-{part}"))?, made_folder());
    disk.holds(&folder.0, &[part]);
    Some((disk, House::start_in(folder).await))
}

/// Released by what this folder's desk has decided, to whom it was told.
async fn released(house: &House, asked: &Value, subject: Did) -> RecordId {
    let demand = id(&house.file(asked, &[subject]).await.expect("a clerk's"));
    let stages = house.met(demand).await;
    house.decide(demand, house.comply(&stages, asked)).await.expect("two approvers");
    house.notify(demand).await;
    demand
}

/// A case, or that there is none. After every write that the full disk refuses, also the gateway's own, the store's file is opened again,
/// and meanwhile nothing is read.
async fn once_open(house: &House, demand: RecordId) -> Result<ShowDemandResponse, Status> {
    eventually("the store to be open", async || {
        let query = house.query(&house.clerk, &AsksDesk::Show(demand));
        match house.desk().await.show(ShowDemandRequest { query, skip: 0 }).await {
            Err(status) if status.message().starts_with("TV-L06: ") => None,
            answer => Some(answer.map(tonic::Response::into_inner)),
        }
    })
    .await
}

/// What a case has in the log: for each record its entry.
async fn entries(house: &House, demand: RecordId) -> Vec<u64> {
    let records = house.show(demand).await.records;
    let proof = |proof: &str| LogProof::parse(proof.as_bytes()).expect("a proof").index;
    records.iter().map(|record| proof(&record.receipt.as_ref().expect("in the log").proof)).collect()
}

/// How many entries of an act there are, in a log that holds.
fn logged(house: &House, act: Act) -> usize {
    let key = std::fs::read_to_string(house.world.folder.join("log.vkey")).expect("a file");
    let (copy, key) = (Copy::open(&house.world.folder.join("log")), VerifierKey::parse(key.trim_end()).expect("a key"));
    let (head, mut count) = (copy.audit(&key).expect("it adds up").head, 0);
    copy.each(&head, |_, leaf| count += usize::from(leaf.is_some_and(|leaf| leaf.act() == Some(act)))).expect("it was read");
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_no_record_of_the_desk_is_acknowledged_no_release_begins_and_with_room_the_same_ones_are_taken_once() {
    let Some((disk, house)) = with_on_a_small_disk("store").await else {
        println!("SKIPPED that the desk refuses on a full disk and recovers: this system lets nobody mount a small one");
        return;
    };
    let (ada, ben) = (house.world.patient("ada").await, house.world.patient("ben").await);
    let asked = house.asked(|_| ());
    let (going_on, decided) = (released(&house, &asked, ada.did()).await, released(&house, &asked, ben.did()).await);
    let waiting = id(&house.file(&asked, &[ben.did()]).await.expect("a clerk's"));
    let stages = house.met(waiting).await;
    let both = house.drafted(waiting, house.comply(&stages, &asked)).await.expect("a draft");
    let mut court = house.release("authority", going_on, PATIENT).await.expect("released to it");

    // Until the room that the file has inside is used up, demands are taken; from then on they are refused, and the next ones, too.
    disk.fill();
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    while refused.len() < 3 {
        assert!(taken.len() < 4_000, "the disk is full, and nothing is refused");
        let (record, about) = house.signed_demand(&house.asked(|_| ()), &[ada.did()]);
        match house.hand_in(&record, about.clone()).await {
            Ok(answer) => taken.push(id(&answer)),
            Err(status) => {
                assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
                let said = status.message();
                assert!(said.starts_with("TV-L06: ") && said.contains("send it again later") && said.contains("see to its disk"), "{said}");
                refused.push((record, about));
            }
        }
    }
    assert_eq!(code(house.submit(&both).await), "TV-L06");
    let unless_closed = async || Some(code(house.release("authority", waiting, PATIENT).await)).filter(|code| code != "TV-G17");
    assert_eq!(eventually("the store to be open", unless_closed).await, "TV-G28", "what was not acknowledged does not act");
    assert_eq!(code(house.release("authority", decided, PATIENT).await), "TV-G17", "nothing begins that is not on disk");
    let shown = once_open(&house, refused[0].0.id()).await;
    assert_eq!(code(shown), "TV-L14", "no case was opened");
    // What has begun goes on, and is counted.
    house.world.publish("hospital", PATIENT, &[frame("ada", 1), frame("ben", 1), frame("ada", 2)]).await;
    court.frames(2).await;
    drop(court);
    house.world.no_stream_left().await;
    let shown = once_open(&house, going_on).await.expect("a case");
    let last = shown.records.last().map(|record| record.kind.as_str());
    assert_eq!(last, Some("notice"), "that it has ended can't be written down");

    disk.empty();
    for (record, about) in &refused {
        let first = eventually("room", async || house.hand_in(record, about.clone()).await.ok()).await;
        let again = house.hand_in(record, about.clone()).await.expect("the same again");
        assert_eq!((id(&first), again.demand), (record.id(), first.demand.clone()));
        taken.push(id(&first));
    }
    assert_eq!(house.submit(&both).await.expect("room").state, "approved");
    house.notify(waiting).await;
    let mut others = Vec::new();
    for demand in [decided, waiting] {
        others.push(house.release("authority", demand, PATIENT).await.expect("room"));
    }
    house.world.publish("hospital", PATIENT, &[frame("ben", 2)]).await;
    for other in &mut others {
        other.frames(1).await;
    }
    drop(others);
    let record = "the releases to be on record";
    for demand in [going_on, decided, waiting] {
        eventually(record, async || house.kinds(demand).await.contains(&"release".to_owned()).then_some(())).await;
    }
    let house = house.restart().await;
    let frames = async |demand| {
        let records = house.show(demand).await.records;
        let release = records.iter().find(|record| record.kind == "release").expect("one").envelope.as_ref().expect("signed");
        serde_json::from_slice::<Value>(&release.payload).expect("JSON")["frames"].as_u64()
    };
    assert_eq!([frames(going_on).await, frames(decided).await, frames(waiting).await], [Some(2), Some(1), Some(1)]);

    // Nothing in the log is missing, and nothing is there twice.
    let mut seen = BTreeSet::new();
    for demand in [going_on, decided, waiting] {
        let kinds = house.kinds(demand).await;
        assert_eq!(
            kinds.iter().filter(|kind| *kind != "notice").collect::<Vec<_>>(),
            ["demand", "stage", "stage", "stage", "decision", "release"]
        );
        let entries = entries(&house, demand).await;
        assert!(entries.iter().all(|entry| seen.insert(*entry)), "{entries:?}");
    }
    for demand in &taken {
        assert_eq!(house.kinds(*demand).await, ["demand"]);
        assert!(seen.insert(entries(&house, *demand).await[0]));
    }
    assert_eq!(house.list(&house.clerk).await.expect("a clerk").min(64), (taken.len() + 3).min(64));
    for (act, count) in [(Act::Demand, taken.len() + 3), (Act::Stage, 9), (Act::Decision, 3), (Act::Release, 3), (Act::Notice, 3)] {
        assert_eq!(logged(&house, act), count, "{act}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_log_alone_has_no_room_the_desk_says_so_and_the_same_record_has_its_entry_once_with_room() {
    let Some((disk, house)) = with_on_a_small_disk("log").await else {
        println!("SKIPPED that the desk says where its log has no room: this system lets nobody mount a small one");
        return;
    };
    let ada = house.world.patient("ada").await;
    let decided = released(&house, &house.asked(|_| ()), ada.did()).await;
    disk.fill();
    let (mut taken, mut refused) = (0, Vec::new());
    while refused.len() < 3 {
        assert!(taken < 4_000, "the disk is full, and nothing is refused");
        let (record, about) = house.signed_demand(&house.asked(|_| ()), &[ada.did()]);
        match house.hand_in(&record, about.clone()).await {
            Ok(_) => taken += 1,
            Err(status) => {
                assert!(status.message().starts_with("TV-L10: "), "{status:?}");
                refused.push((record, about));
            }
        }
    }
    assert_eq!(code(house.release("authority", decided, PATIENT).await), "TV-G17", "nothing leaves while its reasons may not be on record");
    disk.empty();
    for (record, about) in &refused {
        let again = eventually("the log to go on", async || house.hand_in(record, about.clone()).await.ok()).await;
        assert_eq!((id(&again), again.receipt.is_some()), (record.id(), true));
        assert_eq!(house.kinds(record.id()).await, ["demand"]);
    }
    let mut court = house.release("authority", decided, PATIENT).await.expect("room");
    house.world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    court.frames(1).await;
    drop(court);
    let house = house.restart().await;
    assert_eq!(logged(&house, Act::Demand), taken + refused.len() + 1);
}
