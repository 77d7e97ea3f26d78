//! Does a gateway come back as it was, refuse to start on what is not right, and refuse to decide on a clock that is not?

use std::sync::Arc;

use tonic::Code;
use twinveil::client::dsse;
use twinveil::config::Config;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::WithdrawRequest;
use twinveil::server::{Gateway, StartError};
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::withdrawal::Reach;
use twinveil::world::Clock;

use crate::consent::{CARE, frame};
use crate::harness::{Ask, Folder, Given, PATIENT, Sub, World, made_folder, soon, strangers_folder};

const MINUTE_MS: i64 = 60_000;

async fn with_patients() -> (World, [twinveil::client::wallet::Wallet; 3]) {
    let world = World::start().await;
    let people = [world.patient("ada").await, world.patient("ben").await, world.patient("eve").await];
    for person in &people[..2] {
        world.grant(person, &Given::to(&world, &["clinician"], CARE)).await;
    }
    world.withdraw_all(&people[1]).await;
    (world, people)
}

/// The pseudonyms that frames of a patient come under.
async fn pseudonym(world: &World, patient: &str, sequence: u64) -> String {
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    world.publish("hospital", PATIENT, &[frame("eve", sequence), frame("ben", sequence), frame(patient, sequence)]).await;
    let came = clinician.message::<PatientFrame>().await;
    assert_eq!(came.sequence, sequence);
    came.patient_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_every_standing_is_back_and_what_was_withdrawn_stays_withdrawn() {
    let (world, [ada, ben, eve]) = with_patients().await;
    let before = pseudonym(&world, "ada", 1).await;
    let standings = [world.standing(&ada).await, world.standing(&ben).await, world.standing(&eve).await];
    let world = world.restart().await;
    let after = pseudonym(&world, "ada", 2).await;
    assert_eq!(before, after, "a person stays recognisable to the same recipient");
    for (person, before) in [&ada, &ben, &eve].into_iter().zip(standings) {
        let mut now = world.standing(person).await;
        now.streams.clear();
        assert_eq!(now, twinveil::proto::v1::StandingResponse { streams: Vec::new(), ..before });
    }
    // The chain goes on where it stood.
    world.grant(&ben, &Given::to(&world, &["clinician"], CARE)).await;
    assert_eq!(world.standing(&ben).await.seq, 2);
}

/// Opens once, as `serve` does.
fn open(folder: &Folder, clock: Clock) -> Result<Gateway, StartError> {
    let config = Config::load_with(&folder.join("twinveil.toml"), |_| None).expect("the configuration itself is right");
    Gateway::open(config, Arc::new(clock))
}

fn says(folder: &Folder, code: &str, part: &str) {
    let error = open(folder, Clock::new()).expect_err(code);
    let text = error.to_string();
    assert!(error.code() == code && text.contains(part) && !text.contains('\n'), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_not_right_stops_the_start_by_name() {
    let (world, _) = with_patients().await;
    says(&world.folder, "TV-D01", "another process has it open");
    let (folder, _) = world.stop().await;
    let swap = |name: &str, from: &std::path::Path, check: &dyn Fn()| {
        let file = folder.join(name);
        let kept = std::fs::read(&file).unwrap();
        let bytes = if from.is_dir() { std::fs::read(from.join(name)).unwrap() } else { std::fs::read(from).unwrap() };
        std::fs::write(&file, bytes).unwrap();
        check();
        std::fs::write(&file, kept).unwrap();
    };
    swap("keys/store.key", &strangers_folder().0, &|| says(&folder, "TV-L08", "do not open under the configured key"));
    swap("twinveil.toml", &folder.join("twinveil.toml"), &|| {
        let file = folder.join("twinveil.toml");
        let text = std::fs::read_to_string(&file).unwrap().replace("gateway.example.org/twins", "gateway.example.org/others");
        std::fs::write(&file, text).unwrap();
        says(&folder, "TV-L07", "belongs to the log `gateway.example.org/twins`");
    });
    swap("policy.cedar", &folder.join("twinveil.toml"), &|| says(&folder, "TV-P02", "policy.cedar"));
    let file = folder.join("store/facts.redb");
    let good = std::fs::read(&file).unwrap();
    // One bit, wherever a signed record stands.
    let at = good.windows(9).position(|window| window == b"\"gateway\"").expect("a record in its envelope");
    let mut flipped = good.clone();
    flipped[at] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    let error = open(&folder, Clock::new()).expect_err("damaged");
    assert!(["TV-D02", "TV-L09"].contains(&error.code()), "{error}");
    std::fs::write(&file, &good[..good.len() / 2]).unwrap();
    assert!(open(&folder, Clock::new()).expect_err("cut off").code().starts_with("TV-D"));
    std::fs::write(&file, b"no store at all").unwrap();
    assert!(open(&folder, Clock::new()).expect_err("something else").code().starts_with("TV-D"));
    std::fs::write(&file, &good).unwrap();
    open(&folder, Clock::new()).expect("as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cant_be_written_stops_the_start() {
    let folder = made_folder();
    std::fs::write(folder.join("store"), "a file where the folder should be").unwrap();
    says(&folder, "TV-D03", "data folder");
    std::fs::remove_file(folder.join("store")).unwrap();
    std::fs::create_dir(folder.join("store")).unwrap();
    #[cfg(target_os = "linux")]
    {
        // A disk without a free byte.
        std::os::unix::fs::symlink("/dev/full", folder.join("store/facts.redb")).unwrap();
        let error = open(&folder, Clock::new()).expect_err("full");
        assert!(error.code().starts_with("TV-D"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_another_handle_key_nobody_is_taken_for_somebody_else() {
    let (world, _) = with_patients().await;
    let (folder, clock) = world.stop().await;
    std::fs::copy(strangers_folder().join("keys/handle.key"), folder.join("keys/handle.key")).unwrap();
    let world = World::at(folder, clock).await.expect("nothing in the store says which handle key made it");
    let mut source = world.source("hospital", PATIENT).await;
    let ack = source.send(&[frame("ada", 1)]).await;
    assert_eq!((ack.accepted, ack.refused[0].code.as_str()), (0, "TV-G01"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_clock_is_behind_nothing_is_decided_and_withdrawing_still_works() {
    let (world, [ada, ..]) = with_patients().await;
    let mut open = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    open.frame().await;
    let grant = world.signed(&ada, SignerRole::Subject, &Given::to(&world, &["clinician"], CARE)).await;
    let withdrawal = ada.withdraw(&Reach::UpTo(9), SignerRole::Subject, &world.origin(), world.now()).unwrap();
    assert!(world.http("/healthz").await.starts_with("HTTP/1.1 200"));
    world.clock.shift(-30 * MINUTE_MS);
    // An open stream ends before it hands over another frame.
    let mut source = world.source("hospital", PATIENT).await;
    source.send(&[frame("ada", 2)]).await;
    let (frames, end) = open.rest().await;
    assert_eq!((frames.len(), open.end.as_ref().map(|end| end.code.as_str())), (0, Some("TV-G07")));
    assert_eq!(end.expect_err("an end").code(), Code::Unavailable);
    let status = Sub::open(world.channel("clinician").await, Ask::of(PATIENT, CARE)).await.err().expect("no stream");
    assert_eq!((status.code(), &status.message()[..6]), (Code::Unavailable, "TV-G07"));
    let status = world.submit(&grant).await.expect_err("no grant");
    assert_eq!((status.code(), &status.message()[..6]), (Code::Unavailable, "TV-T01"));
    assert!(world.http("/healthz").await.starts_with("HTTP/1.1 503"));
    let request = WithdrawRequest { record: Some(dsse::to_proto(&withdrawal)), ..WithdrawRequest::default() };
    assert_eq!(soon("a withdrawal", world.consents().withdraw(request)).await.expect("always").into_inner().ended, 1);
    // Right again, everything goes on, and the withdrawal stands.
    world.clock.shift(30 * MINUTE_MS);
    assert_eq!(world.standing(&ada).await.grants[0].state, "withdrawn");
    world.submit(&grant).await.expect("taken; signed before the withdrawal, it is reached by it");
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE)).await;
    let states: Vec<_> = world.standing(&ada).await.grants.into_iter().map(|grant| grant.state).collect();
    assert_eq!(states, ["withdrawn", "withdrawn", "live"]);
    let mut again = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    source.send(&[frame("ada", 3)]).await;
    assert_eq!(again.message::<PatientFrame>().await.sequence, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_the_clock_back_over_a_restart_revives_nothing() {
    let (world, [_, _, eve]) = with_patients().await;
    let until = twinveil::veil::name::UnixMs(world.now().0 + 10 * MINUTE_MS);
    world.grant(&eve, &Given::to(&world, &["clinician"], CARE).until(until)).await;
    world.clock.shift(30 * MINUTE_MS);
    assert_eq!(world.standing(&eve).await.grants[0].state, "expired");
    // Something that is written, so that the time is.
    world.patient("another").await;
    let (folder, _) = world.stop().await;
    // The machine starts again at a time when eve's consent was good.
    let clock = Arc::new(Clock::new());
    let world = World::at(folder, Arc::clone(&clock)).await.expect("it starts, and waits for the clock");
    assert!(world.http("/healthz").await.starts_with("HTTP/1.1 503"));
    let status = Sub::open(world.channel("clinician").await, Ask::of(PATIENT, CARE)).await.err().expect("no stream");
    assert_eq!(&status.message()[..6], "TV-G07");
    clock.shift(30 * MINUTE_MS);
    assert_eq!(world.standing(&eve).await.grants[0].state, "expired");
}
