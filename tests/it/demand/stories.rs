//! Demands that need a month to pass, or a look at all that a gateway is: of a court under a gag, and of an agency. Those of the police, of
//! a company and of a person who consents are told by the command line (`cli/desk`).

use std::time::Duration;

use serde_json::json;
use twinveil::client::dsse;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::RecordRequest;
use twinveil::veil::consent::query::Asks;

use super::{DAY, House, code};
use crate::consent::{CARE, frame};
use crate::harness::{Ask, Given, PATIENT, eventually, soon};

const MONTH: i64 = 30 * DAY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_court_order_under_a_gag_releases_what_was_decided_and_its_subject_is_told_when_the_gag_ends() {
    let house = House::start().await;
    let (ada, ben) = (house.world.patient("ada").await, house.world.patient("ben").await);
    let whom = house.whom(&house.clerk, &[("hospital", "ada"), ("hospital", "nobody")]).await.expect("a clerk");
    assert_eq!(whom, [ada.did().to_string(), String::new()]);
    let gag_until = house.at(MONTH);
    let asked = house.asked(|said| said["gag"] = json!({"basis": "StPO § 101", "until": gag_until}));
    let demand = super::id(&house.file(&asked, &[ada.did()]).await.expect("a clerk's"));
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28");
    let stages = house.met(demand).await;
    let mut decision = house.comply(&stages, &asked);
    (decision["outcome"], decision["reasons"]) = ("comply-in-part".into(), json!(["overbroad"]));
    decision["fields"] = json!([{"schema": PATIENT, "path": "vitals.heart_rate_bpm"}]);
    decision["notice"] = json!({"when": "deferred", "until": gag_until, "basis": "StPO § 101"});
    let taken = house.decide(demand, decision).await.expect("two approvers");
    assert_eq!((taken.state.as_str(), taken.receipt.is_some()), ("approved", true));

    // What people agreed to elsewhere goes on as it was.
    house.world.grant(&ben, &Given::to(&house.world, &["clinician"], CARE)).await;
    let mut clinician = house.world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut court = house.release("authority", demand, PATIENT).await.expect("released to it");
    assert_eq!(code(house.release("clinician", demand, PATIENT).await), "TV-G28", "to nobody else");
    house.world.publish("hospital", PATIENT, &[frame("ben", 1), frame("ada", 1), frame("ada", 2)]).await;
    let released: Vec<PatientFrame> = court.messages(2).await;
    for frame in &released {
        assert_eq!((frame.sequence, frame.note.as_str(), frame.patient_id.as_str(), frame.captured_at_ms), (0, "", "", 0), "{frame:?}");
        let vitals = frame.vitals.as_ref().expect("vitals");
        assert_eq!((vitals.heart_rate_bpm, vitals.temperature_c), (Some(73.0), None));
    }
    assert_eq!(clinician.message::<PatientFrame>().await.sequence, 1);
    // The subject is told nothing yet, and what is public tells nothing of the case.
    let mut notices = house.notices(&ada).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), notices.message()).await.is_err());
    let disclosed = house.disclosed().await;
    assert_eq!((disclosed.demands.len(), disclosed.withheld), (0, 1));
    drop(court);
    eventually("the release to be on record", async || house.kinds(demand).await.contains(&"release".to_owned()).then_some(())).await;

    house.world.clock.shift(MONTH + 1_000);
    let notice = tokio::time::timeout(Duration::from_secs(20), notices.message()).await.expect("in time").expect("open").expect("a notice");
    assert_eq!((notice.what.as_str(), notice.record.to_vec()), ("demand", demand.0.to_vec()));
    assert_eq!(house.kinds(demand).await, ["demand", "stage", "stage", "stage", "decision", "release", "notice"]);
    // She reads what was demanded; and now it is disclosed.
    let query = ada.query(&Asks::Record(demand), &house.world.origin(), house.world.now()).expect("a query");
    let record = soon("the demand", house.world.consents().record(RecordRequest { query: Some(dsse::to_proto(&query)) })).await;
    assert_eq!(dsse::from_proto(record.expect("hers").into_inner().record.as_ref().expect("one")).id(), demand);
    let query = ben.query(&Asks::Record(demand), &house.world.origin(), house.world.now()).expect("a query");
    assert!(soon("no demand", house.world.consents().record(RecordRequest { query: Some(dsse::to_proto(&query)) })).await.is_err());
    let disclosed = house.disclosed().await;
    assert_eq!((disclosed.demands.len(), disclosed.demands[0].records.len(), disclosed.withheld), (1, 7, 0));
    assert!(disclosed.demands[0].records.iter().all(|record| record.receipt.is_some()));
    let release = disclosed.demands[0].records.iter().find(|record| record.kind == "release").expect("one");
    let said: serde_json::Value = serde_json::from_slice(&release.envelope.as_ref().expect("signed").payload).expect("JSON");
    assert_eq!((&said["frames"], &said["fields"][0]["path"]), (&2.into(), &"vitals.heart_rate_bpm".into()));
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28", "the period is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demand_for_a_back_door_is_written_down_answered_and_changes_nothing() {
    let house = House::start().await;
    let ada = house.world.patient("ada").await;
    house.world.grant(&ada, &Given::to(&house.world, &["clinician"], CARE)).await;
    let before = everything(&house, &ada).await;
    let asked = house.asked(|said| {
        (said["asks"], said["source"]["kind"]) = ("redesign-backdoor".into(), "intelligence".into());
        let said = said.as_object_mut().expect("an object");
        for member in ["fields", "period"] {
            said.remove(member);
        }
    });
    let demand = super::id(&house.file(&asked, &[]).await.expect("a clerk's"));
    let comply = json!({"outcome": "comply", "fields": [{"schema": PATIENT, "path": "vitals"}], "reasoning_sha256": "ef".repeat(32),
        "recipient": house.world.spiffe("authority").to_string(), "period": {"from": house.at(0), "until": house.at(DAY)},
        "notice": {"when": "before-release"}});
    assert_eq!(code(house.decide(demand, comply).await), "TV-Q11");
    let refusal = json!({"outcome": "refuse", "reasons": ["redesign_out_of_scope"], "reasoning_sha256": "ef".repeat(32)});
    assert_eq!(house.decide(demand, refusal).await.expect("two approvers").state, "refused");
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28");
    assert_eq!(house.kinds(demand).await, ["demand", "decision"]);
    assert_eq!(everything(&house, &ada).await, before, "policy, schemas, keys and views are what they were");
}

/// Policy, schemas and keys as files, and a view as it is explained.
async fn everything(house: &House, ada: &twinveil::client::wallet::Wallet) -> Vec<String> {
    let mut all: Vec<String> = ["policy.cedar", "twinveil.toml", "log.vkey", "keys/sign.key", "keys/store.key", "keys/handle.key"]
        .map(|file| std::fs::read_to_string(house.world.folder.join(file)).expect("a file"))
        .into();
    let mut explained = house.world.explain(ada, "clinician", CARE, PATIENT).await;
    explained.at_ms = 0;
    all.push(format!("{explained:?}"));
    all
}
