//! Demands of a court, the police, an agency and a company, and a person who consents to one release.

use std::time::Duration;

use serde_json::json;
use twinveil::client::dsse;
use twinveil::proto::sample::{Action, Condition, Demand as Load, PatientFrame, TurbineFrame};
use twinveil::proto::v1::RecordRequest;
use twinveil::veil::consent::query::Asks;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::withdrawal::Reach;
use twinveil::veil::demand::{Challenge, Stage};

use super::{DAY, House, LEGAL, code};
use crate::consent::{CARE, frame};
use crate::harness::{Ask, Given, PATIENT, TURBINE, World, eventually, permit, soon};

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
async fn a_police_request_that_fails_the_third_stage_releases_nothing() {
    let house = House::start().await;
    let ada = house.world.patient("ada").await;
    let asked = house.asked(|said| (said["source"]["kind"], said["emergency"]) = ("police".into(), true.into()));
    let demand = super::id(&house.file(&asked, &[ada.did()]).await.expect("a clerk's"));
    let mut stages = house.met(demand).await;
    let violated = json!({"n": 3, "met": false, "rights": [{"instrument": "ICCPR", "article": "17", "finding": "violated"}],
                          "reasoning_sha256": "cd".repeat(32), "replaces": stages[2]});
    let third = house.say::<Stage>(&house.analyst, demand, violated).await.expect("another answer before the decision");
    stages[2] = super::id_of(&third.record).to_string();
    assert_eq!(code(house.decide(demand, house.comply(&stages, &asked)).await), "TV-Q12");
    let refusal = json!({"outcome": "refuse", "stages": stages, "reasons": ["human_rights"], "reasoning_sha256": "ef".repeat(32)});
    assert_eq!(house.decide(demand, refusal).await.expect("two approvers").state, "refused");
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28");
    let shown = house.show(demand).await.demand.expect("a case");
    assert!(shown.refused.starts_with("TV-Q21") && shown.recipient.is_empty(), "{shown:?}");
    // It is disclosed at once: nobody forbids it.
    assert_eq!(house.disclosed().await.demands.len(), 1);
    let late = json!({"n": 3, "met": true, "rights": [{"instrument": "ICCPR", "article": "17", "finding": "compatible"}],
                      "reasoning_sha256": "cd".repeat(32), "replaces": stages[2]});
    assert_eq!(code(house.say::<Stage>(&house.analyst, demand, late).await), "TV-Q07");
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

fn turbine(sequence: u64) -> TurbineFrame {
    TurbineFrame {
        asset_id: "wt-7".into(),
        sequence,
        condition: Some(Condition { gearbox_c: 61.5, ..Condition::default() }),
        actions: vec![Action { operator_id: "badge-4".into(), command: "stop".into(), ..Action::default() }],
        demand: Some(Load { setpoint_kw: 2_000.0, ..Load::default() }),
        ..TurbineFrame::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_asked_for_shift_patterns_gives_the_condition_of_a_machine_and_nothing_of_who_ran_it() {
    let house = House::start().await;
    // The steward's key is the turbine's.
    let steward = house.world.wallet();
    house.world.enrol("windfarm", "wt-7", &steward).await;
    let fields =
        json!([{"schema": TURBINE, "path": "actions"}, {"schema": TURBINE, "path": "demand"}, {"schema": TURBINE, "path": "condition"}]);
    let asked = house.asked(|said| (said["fields"], said["source"]["kind"]) = (fields, "civil".into()));
    let demand = super::id(&house.file(&asked, &[steward.did()]).await.expect("a clerk's"));
    let stages = house.met(demand).await;
    let mut decision = house.comply(&stages, &asked);
    (decision["outcome"], decision["reasons"]) = ("comply-in-part".into(), json!(["overbroad"]));
    decision["fields"] = json!([{"schema": TURBINE, "path": "condition"}]);
    house.decide(demand, decision).await.expect("two approvers");
    assert_eq!(code(house.release("authority", demand, TURBINE).await), "TV-G28", "the steward was not told");
    house.notify(demand).await;
    let notice = soon("a notice", house.notices(&steward).await.message()).await.expect("open").expect("one");
    assert_eq!(notice.what, "demand");
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28", "no field of these frames");
    let mut company = house.release("authority", demand, TURBINE).await.expect("released to it");
    house.world.publish("windfarm", TURBINE, &[turbine(1)]).await;
    let expected = TurbineFrame { condition: turbine(1).condition, ..TurbineFrame::default() };
    assert_eq!(company.message::<TurbineFrame>().await, expected, "not even what is public");
    // A challenge stops an open stream; a ruling lets it begin again.
    let challenge = json!({"where": "Landgericht Sample", "filed": house.at(0), "result": "pending", "reasoning_sha256": "aa".repeat(32)});
    let challenge = house.say::<Challenge>(&house.clerk, demand, challenge).await.expect("a clerk's");
    house.world.publish("windfarm", TURBINE, &[turbine(2)]).await;
    let (frames, end) = company.rest().await;
    assert!(frames.is_empty());
    assert_eq!(code(end), "TV-G29");
    assert_eq!(code(house.release("authority", demand, TURBINE).await), "TV-G28");
    let ruling = json!({"where": "Landgericht Sample", "filed": house.at(0), "result": "dismissed", "reasoning_sha256": "aa".repeat(32),
                        "replaces": super::id_of(&challenge.record).to_string()});
    house.say::<Challenge>(&house.clerk, demand, ruling).await.expect("a clerk's");
    let mut company = house.release("authority", demand, TURBINE).await.expect("again");
    house.world.publish("windfarm", TURBINE, &[turbine(3)]).await;
    company.frame().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_consents_to_one_release_in_her_own_case_and_takes_it_back() {
    let house = House::start().await;
    let (ada, ben) = (house.world.patient("ada").await, house.world.patient("ben").await);
    let asked = house.asked(|said| said["source"]["kind"] = "civil".into());
    let demand = super::id(&house.file(&asked, &[ada.did(), ben.did()]).await.expect("a clerk's"));
    house.notify(demand).await;
    let given = |world: &World| {
        let given = Given::to(world, &["authority"], LEGAL).rules(vec![permit("vitals.heart_rate_bpm", "generalize")]).uses(1);
        given.demand(demand)
    };
    let consent = house.world.grant(&ada, &given(&house.world)).await;
    // It is a word on this demand, and on nothing else.
    assert!(!house.world.explain(&ada, "authority", LEGAL, PATIENT).await.delivers);
    let mut decision = house.comply(&[], &asked);
    (decision["outcome"], decision["reasons"]) = ("comply-in-part".into(), json!(["no_instance_consent"]));
    (decision["fields"], decision["consent"]) = (json!([{"schema": PATIENT, "path": "vitals.heart_rate_bpm"}]), consent.to_string().into());
    house.decide(demand, decision).await.expect("two approvers, and her consent");
    let mut authority = house.release("authority", demand, PATIENT).await.expect("once");
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28", "she consented to one");
    house.world.publish("hospital", PATIENT, &[frame("ben", 1), frame("ada", 1)]).await;
    let released: PatientFrame = authority.message().await;
    let vitals = released.vitals.as_ref().expect("vitals");
    assert_eq!((vitals.heart_rate_bpm, vitals.temperature_c, released.note.as_str()), (Some(70.0), None, ""), "as she said");
    assert_eq!(house.world.withdraw(&ada, &Reach::Records(vec![consent]), SignerRole::Subject).await.ended, 1);
    house.world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    let (frames, end) = authority.rest().await;
    assert!(frames.is_empty());
    assert_eq!(code(end), "TV-G29");
    let house = house.restart().await;
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28", "also after a restart");
    eventually("the release to be on record", async || house.kinds(demand).await.contains(&"release".to_owned()).then_some(())).await;
}
