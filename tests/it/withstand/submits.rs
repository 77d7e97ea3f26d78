//! A carrier that hands in records without end: grants of keys that it makes up, forged ones, and the same one again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tonic::Code;
use twinveil::client::dsse;
use twinveil::client::wallet::Wallet;
use twinveil::proto::v1::SubmitRequest;
use twinveil::proto::v1::consents_client::ConsentsClient;
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::standing::Head;
use twinveil::world::entropy;

use super::others::Others;
use super::{Ceiling, long};
use crate::gateway::CARE;
use crate::harness::Given;
use crate::harness::child::Process;
use crate::harness::{World, ward};

/// More than may be at work and wait of one carrier.
const AT_ONCE: usize = 320;

/// For one answer to the flood: as many records wait as may, and each is written to the disk in its turn.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the flood was answered.
#[derive(Debug, Default)]
struct Answers {
    taken: AtomicU64,
    refused: AtomicU64,
    too_many: AtomicU64,
}

fn record(world: &World, given: &Given, number: usize) -> Envelope {
    let made_up = Wallet::generate(&mut entropy());
    let mut record = given.sign(&made_up, SignerRole::Subject, &world.origin(), Head::default(), world.now());
    if number.is_multiple_of(3) {
        record.signatures[0].sig[7] ^= 1;
    }
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_records_is_bounded_and_nobody_elses_records_or_frames_wait_for_it() {
    let (address, _got) = ward::serve().await;
    let folder = crate::proxy::folder(&address.to_string(), "");
    let file = folder.join("twinveil.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let carries =
        text.replace("groups = [\"research\"]\nmay = [\"subscribe\"]", "groups = [\"research\"]\nmay = [\"subscribe\", \"submit\"]");
    assert_ne!(carries, text);
    std::fs::write(&file, carries).unwrap();
    let mut process = Process::start(folder).await;
    let world = &process.world;
    let mut others = Others::open(world).await;
    let person = world.patient("p-1").await;

    let (stop, answers) = (Arc::<AtomicBool>::default(), Arc::<Answers>::default());
    let given = Given::to(world, &["clinician"], CARE);
    let mut flood = Vec::new();
    let each = if long() { 100 } else { 6 };
    // As many connections as there are places for the calls of the flood, each of which keeps its share of it under way.
    for connection in 0..4 {
        let portal = ConsentsClient::new(world.channel("researcher").await);
        for caller in 0..AT_ONCE / 4 {
            let records: Vec<_> = (0..each).map(|number| record(world, &given, connection + caller + number)).collect();
            let (mut portal, stop, answers) = (portal.clone(), Arc::clone(&stop), Arc::clone(&answers));
            flood.push(tokio::spawn(async move {
                for record in records.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let request = SubmitRequest { record: Some(dsse::to_proto(record)), ..SubmitRequest::default() };
                    let answer = tokio::time::timeout(PATIENCE, portal.submit(request)).await;
                    let counter = match answer.expect("an answer in a flood") {
                        Ok(_) => &answers.taken,
                        Err(status) if status.code() == Code::ResourceExhausted => &answers.too_many,
                        Err(status) if status.message().starts_with("TV-") => &answers.refused,
                        Err(status) => panic!("{status:?}"),
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
    }
    // Somebody else's word counts at once, again and again, and their frames go on.
    for _ in 0..if long() { 100 } else { 8 } {
        world.grant(&person, &given).await;
        others.rounds(5).await;
        assert_eq!(world.withdraw_all(&person).await.ended, 1);
    }
    assert!(flood.iter().all(|caller| !caller.is_finished()), "the flood went on all the time");
    stop.store(true, Ordering::Relaxed);
    for caller in flood {
        caller.await.unwrap();
    }
    process.is_well();
    Ceiling::of(16, AT_ONCE as u64).holds("a flood of records", &process);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (taken, refused, too_many) = (count(&answers.taken), count(&answers.refused), count(&answers.too_many));
    println!("{{\"flood\":\"records\",\"taken\":{taken},\"refused\":{refused},\"too_many\":{too_many}}}");
    assert!(taken > 0 && refused > 0 && too_many > 0, "{answers:?}");
}
