//! Whatever somebody may try to get a record taken, or a frame released, that must not be.

use serde_json::json;
use twinveil::client::wallet::Wallet;
use twinveil::proto::sample::PatientFrame;
use twinveil::veil::demand::{Decision, Notice, Stage};
use twinveil::world::entropy;

use super::{DAY, House, code, id, id_of};
use crate::consent::frame;
use crate::harness::{PATIENT, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_registered_or_not_for_that_writes_and_reads_nothing() {
    let house = House::start().await;
    let ada = house.world.patient("ada").await;
    let demand = house.filed(&[ada.did()], |_| ()).await;
    let stranger = Wallet::generate(&mut entropy());
    assert_eq!(code(house.list(&stranger).await), "TV-Q02");
    assert_eq!(code(house.whom(&house.counsel, &[("hospital", "ada")]).await), "TV-Q03");
    assert_eq!(house.list(&house.two).await.expect("a registered person"), 1);
    let first = json!({"n": 1, "met": true, "determination": "court-order", "no_challenge": {"primary_law": true, "jurisdiction": true},
                       "reasoning_sha256": "cd".repeat(32)});
    for (by, refused) in [(&stranger, "TV-Q02"), (&house.clerk, "TV-Q03"), (&house.analyst, "TV-Q03"), (&ada, "TV-Q02")] {
        assert_eq!(code(house.say::<Stage>(by, demand, first.clone()).await), refused);
    }
    assert_eq!(code(house.say::<Notice>(&house.one, demand, json!({"how": "letter"})).await), "TV-Q03");
    house.say::<Stage>(&house.counsel, demand, first.clone()).await.expect("counsel's");
    // The same question again, without a word on the answer that is there.
    assert_eq!(code(house.say::<Stage>(&house.counsel, demand, first).await), "TV-Q05");
    let other = json!({"n": 2, "met": true, "risks": ["safety"], "reasoning_sha256": "cd".repeat(32), "replaces": "ab".repeat(32)});
    assert_eq!(code(house.say::<Stage>(&house.counsel, demand, other).await), "TV-Q06");
    let nowhere = json!({"n": 2, "met": true, "risks": ["safety"], "reasoning_sha256": "cd".repeat(32)});
    assert_eq!(code(house.say::<Stage>(&house.counsel, twinveil::veil::name::RecordId([7; 32]), nowhere).await), "TV-L14");
    assert_eq!(house.kinds(demand).await, ["demand", "stage"]);
    for warrant in [&b"\x07"[..], &[7; 33]] {
        let refused = house.release_under("authority", warrant, PATIENT).await.err().expect("no such thing");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_approver_counts_for_nothing_and_an_author_alone_approves_nothing() {
    let house = House::start().await;
    let ada = house.world.patient("ada").await;
    let asked = house.asked(|_| ());
    let demand = id(&house.file(&asked, &[ada.did()]).await.expect("a clerk's"));
    let stages = house.met(demand).await;
    let mut said = house.comply(&stages, &asked);
    said["demand"] = demand.to_string().into();
    let half = house.sign::<Decision>(&house.one, &said);
    let mut forged = half.clone();
    let mut signature = forged.signatures[0].clone();
    signature.keyid = house.two.did().to_string();
    forged.signatures.push(signature);
    assert_eq!(house.submit(&forged).await.expect("one approver's").signatures_missing, 1);
    // Twice by the same is once.
    assert_eq!(house.submit(&half).await.expect("the same").signatures_missing, 1);
    let by_clerk = house.clerk.approve(&half, &house.world.origin()).expect("the same bytes");
    assert_eq!(code(house.submit(&by_clerk).await), "TV-Q03");
    let mut others = house.comply(&stages[..2], &asked);
    others["demand"] = demand.to_string().into();
    assert_eq!(code(house.submit(&house.sign::<Decision>(&house.one, &others)).await), "TV-Q08");
    for (member, value, refused) in [
        ("fields", json!([{"schema": PATIENT, "path": "note"}]), "TV-Q13"),
        ("period", json!({"from": house.at(0), "until": house.at(20 * DAY)}), "TV-Q13"),
        ("notice", json!({"when": "deferred", "until": house.at(DAY), "basis": "a law"}), "TV-Q15"),
        ("consent", json!("ab".repeat(32)), "TV-Q14"),
    ] {
        let mut said = house.comply(&stages, &asked);
        (said[member], said["demand"]) = (value, demand.to_string().into());
        assert_eq!(code(house.submit(&house.sign::<Decision>(&house.one, &said)).await), refused, "{member}");
    }
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keys_of_one_person_are_no_two_approvers_also_after_a_reload() {
    let house = House::start().await;
    let ada = house.world.patient("ada").await;
    let asked = house.asked(|_| ());
    let demand = id(&house.file(&asked, &[ada.did()]).await.expect("a clerk's"));
    let stages = house.met(demand).await;
    let (one, two) = (house.one.did().to_string(), house.two.did().to_string());
    house.world.edit("twinveil.toml", |text| {
        let (before, after) = text.split_once("[[person]]\nname = \"two\"").expect("the last person");
        let rest = after.split_once("roles = [\"approver\"]\n").expect("roles").1;
        format!("{before}{rest}").replace(&format!("keys = [\"{one}\"]"), &format!("keys = [\"{one}\", \"{two}\"]"))
    });
    house.world.reload().await.expect("one person fewer");
    let taken = house.decide(demand, house.comply(&stages, &asked)).await.expect("a draft");
    assert_eq!(taken.signatures_missing, 1);
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28");
    // A key under two persons is refused, and the register before stays.
    house.world.edit("twinveil.toml", |text| format!("{text}\n[[person]]\nname = \"two\"\nkeys = [\"{two}\"]\nroles = [\"approver\"]\n"));
    assert!(house.world.reload().await.expect_err("under two").to_string().contains("under two persons"));
    assert_eq!(house.list(&house.two).await.expect("registered"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_nobody_and_an_unclear_list_is_refused() {
    let house = House::start().await;
    let ada = house.world.patient("ada").await;
    let asked = house.asked(|said| said["everybody"] = true.into());
    let demand = id(&house.file(&asked, &[]).await.expect("written down all the same"));
    let stages = house.met(demand).await;
    assert_eq!(code(house.decide(demand, house.comply(&stages, &asked)).await), "TV-Q11");
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G28");
    // A list that is not the one that the record commits to.
    let (origin, now) = (house.world.origin(), house.world.now());
    let said = house.asked(|_| ());
    let filed = house.clerk.file_demand(&said, [ada.did()].into(), &origin, now, &mut entropy()).expect("signed");
    let request = |subjects: Vec<String>, secret: Vec<u8>| twinveil::proto::v1::FileDemandRequest {
        record: Some(twinveil::client::dsse::to_proto(&filed.0)),
        subjects,
        secret: secret.into(),
        seen: String::new(),
    };
    let secret = filed.1.as_ref().expect("a list").secret.expose().to_vec();
    let mut desk = house.desk().await;
    assert_eq!(code(desk.file(request(Vec::new(), Vec::new())).await), "TV-Q23");
    assert_eq!(code(desk.file(request(vec![house.one.did().to_string()], secret.clone())).await), "TV-Q23");
    assert_eq!(code(desk.file(request(vec!["ada".into()], secret.clone())).await), "TV-G04");
    assert_eq!(code(desk.file(request(vec![ada.did().to_string()], vec![1; 31])).await), "TV-G04");
    desk.file(request(vec![ada.did().to_string()], secret)).await.expect("the list");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_ends_with_its_period_and_two_demands_stay_apart() {
    let house = House::start().await;
    let (ada, ben) = (house.world.patient("ada").await, house.world.patient("ben").await);
    let mut demands = Vec::new();
    for (subject, days) in [(&ada, 1), (&ben, 10)] {
        let asked = house.asked(|said| said["period"]["until"] = house.at(days * DAY).into());
        let demand = id(&house.file(&asked, &[subject.did()]).await.expect("a clerk's"));
        let stages = house.met(demand).await;
        house.decide(demand, house.comply(&stages, &asked)).await.expect("two approvers");
        house.notify(demand).await;
        demands.push(demand);
    }
    let mut of_ada = house.release("authority", demands[0], PATIENT).await.expect("released");
    let mut of_ben = house.release("authority", demands[1], PATIENT).await.expect("released");
    let frames = [frame("ada", 1), frame("ben", 1)];
    house.world.publish("hospital", PATIENT, &frames).await;
    assert!(of_ada.message::<PatientFrame>().await.vitals.is_some() && of_ben.message::<PatientFrame>().await.vitals.is_some());
    house.world.clock.shift(DAY);
    house.world.publish("hospital", PATIENT, &frames).await;
    let (late, end) = of_ada.rest().await;
    assert!(late.is_empty());
    assert_eq!(code(end), "TV-G29");
    of_ben.frame().await;
    assert_eq!(code(house.release("authority", demands[0], PATIENT).await), "TV-G28");
    // Who was removed from the configuration receives nothing any more, whatever was decided.
    house.world.edit("twinveil.toml", |text| {
        text.replacen("groups = [\"authorities\"]\nmay = [\"subscribe\"]", "groups = [\"authorities\"]\nmay = []", 1)
    });
    house.world.reload().await.expect("good");
    house.world.publish("hospital", PATIENT, &frames).await;
    let (late, end) = of_ben.rest().await;
    assert!(late.is_empty());
    assert_eq!(code(end), "TV-G03");
    eventually("both releases to be on record", async || {
        let on_record = async |demand| house.kinds(demand).await.iter().any(|kind| kind == "release");
        (on_record(demands[0]).await && on_record(demands[1]).await).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gag_that_is_over_defers_nothing_and_a_clock_that_jumps_back_releases_nothing() {
    let house = House::start().await;
    let ada = house.world.patient("ada").await;
    let gag_until = house.at(DAY);
    let asked = house.asked(|said| said["gag"] = json!({"basis": "a law", "until": gag_until}));
    let demand = id(&house.file(&asked, &[ada.did()]).await.expect("a clerk's"));
    let stages = house.met(demand).await;
    house.world.clock.shift(DAY + 1_000);
    let mut late = house.comply(&stages, &asked);
    late["notice"] = json!({"when": "deferred", "until": gag_until, "basis": "a law"});
    assert_eq!(code(house.decide(demand, late).await), "TV-Q15");
    house.world.clock.shift(-DAY);
    assert_eq!(code(house.release("authority", demand, PATIENT).await), "TV-G07", "the clock is behind what was recorded");
    house.world.clock.shift(DAY);
    let taken = house.decide(demand, house.comply(&stages, &asked)).await.expect("two approvers");
    assert_ne!(id_of(&taken.record), demand);
}
