//! Does `Explain` name what stands behind every field, and does it tell what will be decided later?

use serde_json::json;
use tonic::Code;
use twinveil::client::dsse;
use twinveil::client::wallet::{Terms, Voice, Wallet};
use twinveil::proto::v1::{ExplainRequest, ExplainResponse};
use twinveil::veil::consent::query::Asks;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::standing::Head;
use twinveil::veil::name::{SchemaName, UnixMs};
use twinveil::veil::terms::purpose;
use twinveil::world::entropy;

use super::{CARE, for_clinician, in_ms};
use crate::harness::{Given, PATIENT, TURBINE, World, forbid, permit, permit_category, soon};

const MINUTE: i64 = 60_000;

impl World {
    async fn foretold(&self, wallet: &Wallet, at: UnixMs) -> ExplainResponse {
        let (recipient, purpose) = (self.spiffe("clinician"), purpose(CARE).unwrap());
        self.explained(wallet, &Asks::Explain { recipient, holder: None, purpose, schema: SchemaName::new(PATIENT), as_of: Some(at) }).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_a_beginning_and_a_renewal_are_foretold() {
    let world = World::start().await;
    let (ada, ben) = (world.patient("ada").await, world.patient("ben").await);
    let end = in_ms(&world, 60 * MINUTE);
    let first = world.signed(&ada, SignerRole::Subject, &for_clinician(&world).until(end)).await;
    world.submit(&first).await.expect("a grant");
    let before = world.foretold(&ada, UnixMs(end.0 - 1)).await;
    assert_eq!((before.delivers, before.at_ms, before.valid_until_ms), (true, end.0 - 1, end.0));
    let after = world.foretold(&ada, end).await;
    assert_eq!((after.delivers, after.valid_until_ms, after.records.len()), (false, 0, 0));
    assert!(after.fields.iter().any(|field| field.decided_by == "default" && field.reason == "no consent covers it"));
    // Nothing of the sort is so now.
    assert!(world.explain(&ada, "clinician", CARE, PATIENT).await.delivers);

    // Renewed, it is the renewal that decides.
    let (terms, vault_key) = Terms::renewing(&first, in_ms(&world, 180 * MINUTE)).unwrap();
    let voice = Voice { vault_key, ..ada.voice(SignerRole::Subject) };
    let head = Head { seq: 1, record: Some(first.id()) };
    let renewed = ada.grant_as(&voice, &terms, &world.origin(), head, world.now(), &mut entropy()).unwrap();
    world.submit(&renewed).await.expect("the same terms, for longer");
    let later = world.foretold(&ada, in_ms(&world, 120 * MINUTE)).await;
    assert_eq!((later.delivers, &later.records[0].record[..]), (true, &renewed.id().0[..]));

    let start = in_ms(&world, 60 * MINUTE);
    world.grant(&ben, &for_clinician(&world).from(start).until(in_ms(&world, 90 * MINUTE))).await;
    for (at, delivers) in [(start.0 - 1, false), (start.0, true)] {
        assert_eq!(world.foretold(&ben, UnixMs(at)).await.delivers, delivers, "{}", at - start.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_of_the_week_are_foretold_and_what_is_gone_by_is_not_told() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let windows = json!([{"zone": "UTC", "days": ["mon"], "from": "08:00", "to": "16:30"}]);
    let given = for_clinician(&world).until(in_ms(&world, 15 * 1_440 * MINUTE));
    world.grant(&ada, &given.windows(serde_json::from_value(windows).unwrap())).await;
    // 1970-01-05 was a Monday: the next one after tomorrow, and its hours.
    let monday = (world.now().0 / MINUTE / 1_440 + 3).div_euclid(7) * 7 + 4;
    for (minute, delivers) in [(8 * 60 - 1, false), (8 * 60, true), (16 * 60 + 29, true), (16 * 60 + 30, false)] {
        let at = UnixMs((monday * 1_440 + minute) * MINUTE);
        let told = world.foretold(&ada, at).await;
        assert_eq!((told.delivers, told.at_ms), (delivers, at.0), "{at}");
    }
    let asks = Asks::Explain {
        recipient: world.spiffe("clinician"),
        holder: None,
        purpose: purpose(CARE).unwrap(),
        schema: SchemaName::new(PATIENT),
        as_of: Some(in_ms(&world, -60 * MINUTE)),
    };
    let query = ada.query(&asks, &world.origin(), world.now()).unwrap();
    let request = ExplainRequest { query: Some(dsse::to_proto(&query)) };
    let status = soon("a refusal", world.consents().explain(request)).await.expect_err("gone by");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("TV-C07") && status.message().contains("`as_of`"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_names_a_record_a_policy_or_a_default() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let rules = vec![permit_category("health", "keep"), permit_category("identity", "keep"), permit("note", "keep"), forbid("note")];
    let record = world.grant(&ada, &for_clinician(&world).rules(rules)).await;
    let (operator, mandate) = world.mandate(&Given::to(&world, &["vendor"], "dpv:TechnicalServiceProvision")).await;
    let told = world.explain(&ada, "clinician", CARE, PATIENT).await;
    for field in &told.fields {
        let (by_record, by_policy) = (field.record == record.0[..], !field.policy.is_empty());
        match field.decided_by.as_str() {
            "consent" | "forbid" => assert!(by_record && !by_policy, "{field:?}"),
            "policy" => assert!(!by_record && by_policy, "{field:?}"),
            "schema" | "default" => assert!(field.record.is_empty() && !by_policy && !field.reason.is_empty(), "{field:?}"),
            other => panic!("{other}: {field:?}"),
        }
    }
    let by = |path: &str| told.fields.iter().find(|field| field.path == path).unwrap().decided_by.clone();
    assert_eq!((by("vitals.heart_rate_bpm"), by("note"), by("device_id")), ("consent".into(), "forbid".into(), "default".into()));
    let [signed] = &told.records[..] else { panic!("{:?}", told.records) };
    assert_eq!((&signed.record[..], signed.role.as_str(), &signed.signer), (&record.0[..], "subject", &ada.did().to_string()));
    assert!(signed.authority.is_empty() && signed.expires_ms > world.now().0);

    let told = world.explain(&ada, "vendor", "dpv:TechnicalServiceProvision", TURBINE).await;
    let condition = told.fields.iter().find(|field| field.path == "condition.gearbox_c").unwrap();
    assert_eq!((condition.decided_by.as_str(), &condition.record[..]), ("mandate", &mandate.0[..]));
    let time = told.fields.iter().find(|field| field.path == "captured_at_ms").unwrap();
    assert_eq!((time.decided_by.as_str(), time.policy.as_str()), ("policy", "maintenance-time"));
    assert_eq!((told.records[0].role.as_str(), &told.records[0].signer), ("operator", &operator.did().to_string()));
}
