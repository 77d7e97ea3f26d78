//! What recipients take upon themselves is told with the view, and joins no two of them.

use twinveil::proto::v1::Obligation;

use super::{CARE, clinician, for_clinician, frame};
use crate::harness::{Ask, Given, PATIENT, World};

fn obligation(places: &[&str], retention: &str) -> Obligation {
    let places = places.iter().map(|place| (*place).into()).collect();
    Obligation { places, retention: retention.into(), jurisdictions: vec!["AT".into()] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_says_what_each_deciding_consent_obliges_to_and_says_it_again_when_that_changes() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let first = world.grant(&ada, &for_clinician(&world).storage(&["DE", "AT"], "P6M")).await;
    world.grant(&ada, &for_clinician(&world)).await;
    // To another, with other terms: not this recipient's.
    world.grant(&ada, &Given::to(&world, &["researcher"], CARE).storage(&["FR"], "P9D")).await;
    let mut stream = clinician(&world).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    let view = stream.view().await;
    assert_eq!(view.obligations, [obligation(&["AT"], "P30D"), obligation(&["AT", "DE"], "P6M")]);
    stream.frame().await;
    assert_eq!(world.explain(&ada, "clinician", CARE, PATIENT).await.obligations, view.obligations);
    // Nothing but the terms changes: the fields are what they were, and the recipient is told.
    world.grant(&ada, &for_clinician(&world).storage(&["AT"], "P1D").replaces(first)).await;
    let again = stream.view().await;
    assert_eq!((again.fields, again.open), (view.fields, true));
    assert_eq!(again.obligations, [obligation(&["AT"], "P1D"), obligation(&["AT"], "P30D")]);
    world.withdraw_all(&ada).await;
    let closed = stream.view().await;
    assert!(!closed.open && closed.obligations.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_record_to_two_recipients_obliges_both_and_names_itself_to_neither() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let given = Given::to(&world, &["clinician", "researcher"], CARE);
    let record = world.grant(&ada, &given).await;
    let mut views = Vec::new();
    for party in ["clinician", "researcher"] {
        let mut stream = world.subscribe(party, Ask::of(PATIENT, CARE)).await;
        world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
        // The policy lets clinicians have something. A researcher may get no view for this purpose.
        let view = match party {
            "clinician" => Some(stream.view().await),
            _ => tokio::time::timeout(std::time::Duration::from_millis(500), stream.view()).await.ok(),
        };
        views.extend(view.map(|view| (stream.header.clone(), view)));
    }
    for (header, view) in &views {
        assert_eq!(view.obligations, [obligation(&["AT"], "P30D")]);
        let said = format!("{header:?}{view:?}");
        let bytes = [prost::Message::encode_to_vec(header), prost::Message::encode_to_vec(view)].concat();
        assert!(!said.contains(&record.to_string()) && !bytes.windows(32).any(|window| window == record.0), "the record is named");
        assert!(!said.contains(&ada.did().to_string()));
    }
}
