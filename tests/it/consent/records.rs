//! Records that are refused: nothing of them acts, whoever carries them, and whoever sent them is told why.

use serde_json::{Value, json};
use tonic::{Code, Status};
use twinveil::client::dsse;
use twinveil::client::wallet::Wallet;
use twinveil::proto::v1::{StandingRequest, WithdrawRequest};
use twinveil::veil::consent::envelope::{Envelope, Signature};
use twinveil::veil::consent::query::Asks;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::standing::Head;
use twinveil::veil::consent::withdrawal::Reach;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::name::{Did, Origin, Spiffe};
use twinveil::world::entropy;

use super::{CARE, frame, in_ms};
use crate::harness::{Ask, Given, PATIENT, World, soon};

fn sign_key(n: u8) -> SignKey {
    SignKey::from_seed(&Secret::take(&mut [n; 32]))
}

fn wallet(n: u8) -> Wallet {
    Wallet::from_seeds(Secret::take(&mut [n; 32]), Secret::random(&mut entropy())).unwrap()
}

/// The same record with something else in it, signed by whoever.
fn changed(record: &Envelope, signer: &SignKey, change: impl FnOnce(&mut Value)) -> Envelope {
    let mut document: Value = serde_json::from_slice(&record.payload).unwrap();
    change(&mut document);
    Envelope::sign(&record.payload_type, serde_json::to_vec(&document).unwrap(), signer)
}

fn says(status: &Status, code: Code, text: &str) {
    assert_eq!((status.code(), status.message().split(':').next()), (code, Some(text)), "{status:?}");
}

async fn refused(world: &World, record: &Envelope, code: Code, text: &str) {
    says(&world.submit(record).await.expect_err(text), code, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_replayed_forked_forged_foreign_or_late_are_refused_and_nothing_acts() {
    let world = World::start().await;
    let (ada, signs) = (wallet(1), sign_key(1));
    world.enrol("hospital", "ada", &ada).await;
    let given = Given::to(&world, &["clinician"], CARE);
    let good = world.signed(&ada, SignerRole::Subject, &given).await;
    let eve = sign_key(2);
    let eves = eve.did().to_string();

    // Forged: other bytes under her signature, another's signature under her bytes, somebody speaking for her.
    let mut forged = good.clone();
    forged.payload = String::from_utf8(forged.payload).unwrap().replace("keep", "keep ").into();
    refused(&world, &forged, Code::PermissionDenied, "TV-C04").await;
    let mut borrowed = good.clone();
    borrowed.signatures = changed(&good, &eve, |_| ()).signatures;
    assert_eq!(world.submit(&borrowed).await.expect_err("borrowed").code(), Code::PermissionDenied);
    assert_eq!(world.submit(&changed(&good, &eve, |_| ())).await.expect_err("by another").code(), Code::PermissionDenied);
    let for_her = changed(&good, &eve, |record| record["signer"]["key"] = json!(eves));
    refused(&world, &for_her, Code::PermissionDenied, "TV-C11").await;
    let mut unsigned = good.clone();
    unsigned.signatures.clear();
    assert_ne!(world.submit(&unsigned).await.expect_err("unsigned").code(), Code::Ok);

    // A key of low order signs everything; it signs nothing here.
    let mut point = [0; 32];
    point[0] = 1;
    let weak = Did(point).to_string();
    let mut record = changed(&good, &signs, |record| (record["subject"], record["signer"]["key"]) = (json!(weak), json!(weak)));
    let mut signature = vec![0; 64];
    signature[0] = 1;
    record.signatures = vec![Signature { keyid: weak, sig: signature }];
    refused(&world, &record, Code::PermissionDenied, "TV-C04").await;

    // Foreign, late, early, and with members that nobody here can honour.
    let other = given.sign(&ada, SignerRole::Subject, &Origin::new("gateway.example.org/other"), Head::default(), world.now());
    refused(&world, &other, Code::InvalidArgument, "TV-C12").await;
    let past = in_ms(&world, -1).to_string();
    let long_ago = in_ms(&world, -7_200_000).to_string();
    refused(
        &world,
        &changed(&good, &signs, |record| (record["at"], record["expires"]) = (json!(long_ago), json!(past))),
        Code::InvalidArgument,
        "TV-C17",
    )
    .await;
    let ahead = in_ms(&world, 600_000).to_string();
    refused(&world, &changed(&good, &signs, |record| record["at"] = json!(ahead)), Code::InvalidArgument, "TV-C18").await;
    refused(&world, &changed(&good, &signs, |record| record["recipients"][0]["prid"] = json!("ab")), Code::InvalidArgument, "TV-C08").await;
    refused(&world, &changed(&good, &signs, |record| record["demand"] = json!("ab")), Code::InvalidArgument, "TV-C07").await;
    refused(&world, &changed(&good, &signs, |record| record["extra"] = json!(1)), Code::InvalidArgument, "TV-C06").await;
    refused(&world, &changed(&good, &signs, |record| record["purposes"] = json!(["dpv:Nonsense"])), Code::InvalidArgument, "TV-C09").await;
    let endless = |record: &mut Value| drop(record.as_object_mut().unwrap().remove("expires"));
    refused(&world, &changed(&good, &signs, endless), Code::InvalidArgument, "TV-C10").await;
    let withdrawal = ada.withdraw(&Reach::UpTo(1), SignerRole::Subject, &world.origin(), world.now()).unwrap();
    refused(&world, &withdrawal, Code::InvalidArgument, "TV-C13").await;

    // None of it acted; the good one does, once.
    assert_eq!(world.standing(&ada).await.seq, 0);
    world.submit(&good).await.expect("the good one");
    refused(&world, &good, Code::InvalidArgument, "TV-C15").await;

    // Forked: two records on the same head; the second one is told where the head is.
    let fork = changed(&good, &signs, |record| record["record_id"] = json!("00000000-0000-4000-8000-000000000001"));
    let status = world.submit(&fork).await.expect_err("forked");
    says(&status, Code::Aborted, "TV-C14");
    assert!(status.message().contains(&good.id().to_string()), "{}", status.message());
    let rebased = world.signed(&ada, SignerRole::Subject, &given).await;
    assert_eq!(world.submit(&rebased).await.expect("signed again on the head").seq, 2);
    let unknown = Given::to(&world, &["clinician"], CARE).replaces(withdrawal.id());
    refused(&world, &world.signed(&ada, SignerRole::Subject, &unknown).await, Code::InvalidArgument, "TV-C16").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_withdraws_asks_or_mandates_for_somebody_else() {
    let world = World::start().await;
    let (ada, eve) = (wallet(1), sign_key(2));
    world.enrol("hospital", "ada", &ada).await;
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE)).await;
    let withdrawal = ada.withdraw(&Reach::UpTo(9), SignerRole::Subject, &world.origin(), world.now()).unwrap();
    let mut consents = world.consents();
    for forged in
        [changed(&withdrawal, &eve, |_| ()), changed(&withdrawal, &eve, |record| record["signer"]["key"] = json!(eve.did().to_string()))]
    {
        let request = WithdrawRequest { record: Some(dsse::to_proto(&forged)), ..WithdrawRequest::default() };
        let status = soon("a refusal", consents.withdraw(request)).await.expect_err("not hers");
        assert!(matches!(status.code(), Code::PermissionDenied | Code::InvalidArgument), "{status:?}");
    }
    assert_eq!(world.standing(&ada).await.grants[0].state, "live");
    let query = ada.query(&Asks::Standing, &world.origin(), world.now()).unwrap();
    let old = ada.query(&Asks::Standing, &world.origin(), in_ms(&world, -600_000)).unwrap();
    let explain = Asks::Explain {
        recipient: world.spiffe("clinician"),
        holder: None,
        purpose: twinveil::veil::terms::purpose(CARE).unwrap(),
        schema: twinveil::veil::name::SchemaName::new(PATIENT),
        as_of: None,
    };
    let explain = ada.query(&explain, &world.origin(), world.now()).unwrap();
    for (query, code, text) in [
        (changed(&query, &eve, |_| ()), Code::PermissionDenied, "TV-C05"),
        (old, Code::InvalidArgument, "TV-C19"),
        (explain, Code::InvalidArgument, "TV-G04"),
    ] {
        let request = StandingRequest { query: Some(dsse::to_proto(&query)) };
        says(&soon("a refusal", consents.standing(request)).await.expect_err(text), code, text);
    }
    let mandate = world.signed(&ada, SignerRole::Operator, &Given::to(&world, &["vendor"], CARE)).await;
    refused(&world, &mandate, Code::FailedPrecondition, "TV-L03").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolment_needs_both_sides_a_known_source_and_a_free_value() {
    let world = World::start().await;
    let (ada, eve) = (wallet(1), wallet(2));
    let (origin, hospital) = (world.origin(), world.spiffe("hospital"));
    let half = ada.enrol(&hospital, "ada", &origin, world.now()).unwrap();
    refused(&world, &half, Code::InvalidArgument, "TV-L01").await;
    let by_eve = eve.countersign(&half, &origin).unwrap();
    refused(&world, &by_eve, Code::InvalidArgument, "TV-L01").await;
    let party = world.holder_of("hospital");
    let wind = world.holder_of("windfarm").countersign(&half, &origin).unwrap();
    refused(&world, &wind, Code::InvalidArgument, "TV-L01").await;
    let elsewhere = Spiffe::parse("spiffe://example.org/source/elsewhere").unwrap();
    let unknown = party.countersign(&ada.enrol(&elsewhere, "ada", &origin, world.now()).unwrap(), &origin).unwrap();
    refused(&world, &unknown, Code::FailedPrecondition, "TV-L02").await;
    // One key for both sides is one party agreeing with itself.
    let alone = party.enrol(&hospital, "ada", &origin, world.now()).unwrap();
    refused(&world, &alone, Code::InvalidArgument, "TV-L01").await;
    world.submit(&party.countersign(&half, &origin).unwrap()).await.expect("both sides");
    let second = party.countersign(&eve.enrol(&hospital, "ada", &origin, world.now()).unwrap(), &origin).unwrap();
    refused(&world, &second, Code::FailedPrecondition, "TV-L04").await;
    // Whoever is enrolled by one source is a stranger to the other.
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE)).await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut other = world.source("windfarm", PATIENT).await;
    assert_eq!(other.send(&[frame("ada", 1)]).await.refused[0].code, "TV-G01");
    world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    assert_eq!(clinician.message::<twinveil::proto::sample::PatientFrame>().await.sequence, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_signed_ahead_stops_a_grant_that_comes_after_it() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let grant = world.signed(&ada, SignerRole::Subject, &Given::to(&world, &["clinician"], CARE)).await;
    let answer = world.withdraw(&ada, &Reach::Records(vec![grant.id()]), SignerRole::Subject).await;
    assert_eq!(answer.ended, 0);
    world.submit(&grant).await.expect("taken, and withdrawn already");
    assert_eq!(world.standing(&ada).await.grants[0].state, "withdrawn");
    // What is granted after the withdrawal is granted.
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE)).await;
    assert_eq!(world.standing(&ada).await.grants[1].state, "live");
}
