//! Does everybody get what consent and policy allow, and nothing else? Frames over real sockets, from simulated twins.

use twinveil::cli::simulate::{Simulation, What};

use crate::harness::{Ask, Given, PATIENT, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke() {
    let world = World::start().await;
    let ada = world.patient("patient-00001").await;
    world.grant(&ada, &Given::to(&world, &["clinician"], "dpv:ServiceProvision")).await;
    let mut sub = world.subscribe("clinician", Ask::of(PATIENT, "dpv:ServiceProvision")).await;
    let frames: Vec<Vec<u8>> = Simulation::new(What::Patients, 1, 1, 0).take(20).map(|frame| frame.bytes).collect();
    let mut source = world.source("hospital", PATIENT).await;
    let ack = source.send_bytes(frames).await;
    println!("{ack:?}");
    let got = sub.frames(20).await;
    println!("{:?} {:?}", got[0], sub.views);
}
