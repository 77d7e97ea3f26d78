//! FHIR: what `wallet export` writes is read by PyPI's `fhir.resources`, and permits what the gateway permits.

use std::process::Command;

use serde_json::{Value, json};
use twinveil::client::authority::DelegationTerms;
use twinveil::client::wallet::Voice;
use twinveil::proto::v1::{Explained, Sensitivity};
use twinveil::veil::consent::delegation::{Capacity, Right};
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::standing::Head;
use twinveil::veil::consent::withdrawal::Reach;
use twinveil::veil::name::UnixMs;
use twinveil::world::entropy;

use super::{ran, script};
use crate::harness::{Given, PATIENT, World, forbid, permit, permit_all, permit_category};

const CARE: &str = "dpv:ServiceProvision";
const RESEARCH: &str = "dpv:ScientificResearch";

/// What the export permits of each field: the treatments.
fn judged(bundle: &Value, fields: &[Explained], actor: &str, purpose: &str, at: UnixMs) -> Vec<Vec<String>> {
    let ask = |field: &Explained| {
        json!({
            "actor": actor, "purpose": purpose.trim_start_matches("dpv:"), "at": at.to_string(), "path": field.path,
            "category": field.category().as_str_name().to_lowercase(), "sensitivity": field.sensitivity().as_str_name().to_lowercase(),
        })
    };
    let asks: Vec<Value> = fields.iter().map(ask).collect();
    let judge = script("fhir.resources", "judge_fhir.py").expect("asked for before");
    let text = tokio::task::block_in_place(|| ran(judge, &json!({ "bundle": bundle, "asks": asks }).to_string()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exported_consents_permit_in_fhir_what_the_gateway_permits_and_no_more() {
    if script("fhir.resources", "judge_fhir.py").is_none() {
        return;
    }
    let world = World::start().await;
    let (ada, guardian) = (world.patient("ada").await, world.wallet());
    // Coarse health data, but the note as it is, which the category takes back; no labels; and for everybody no places.
    let rules =
        vec![permit_category("health", "generalize"), permit("note", "keep"), permit_category("identity", "keep"), forbid("labels")];
    let care = world.grant(&ada, &Given::to(&world, &["clinician"], CARE).rules(rules)).await;
    world
        .grant(&ada, &Given::to(&world, &["clinician"], CARE).rules(vec![permit("vitals.spo2_pct", "pseudonymize"), forbid("position")]))
        .await;
    // Of what is withdrawn the forbid goes on.
    let over = world.grant(&ada, &Given::to(&world, &["clinician"], CARE).rules(permit_all()).and(forbid("identity.birth_date"))).await;
    world.withdraw(&ada, &Reach::Records(vec![over]), SignerRole::Subject).await;
    // Later, and so not now.
    let later = UnixMs(world.now().0 + 1_800_000);
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE).rules(vec![permit_category("device", "keep")]).from(later)).await;
    // A guardian who says more than the person: to the clinician it does not count, to the researcher it does.
    let head = |standing: &twinveil::proto::v1::StandingResponse| Head {
        seq: standing.seq,
        record: standing.head[..].try_into().ok().map(twinveil::veil::name::RecordId),
    };
    let terms = DelegationTerms {
        delegate: guardian.did(),
        capacity: Capacity::Guardian,
        not_before: None,
        expires: UnixMs(world.now().0 + 7_200_000),
        rights: vec![Right::Grant],
        depth: 0,
        scope: serde_json::from_value(json!({"recipients": "any", "purposes": "any", "permits": "any"})).unwrap(),
        vault_key: None,
    };
    let own = ada.voice(SignerRole::Subject);
    let half = ada.delegate(&own, &terms, &world.origin(), head(&world.standing(&ada).await), world.now()).unwrap();
    let both = guardian.cosign(&half, &world.origin()).unwrap();
    world.submit(&both).await.expect("both have signed");
    let voice = Voice { subject: ada.did(), role: SignerRole::Delegate(both.id()), vault_key: None };
    let wide = Given::to(&world, &["clinician", "researcher"], CARE).purposes(&[CARE, RESEARCH]).rules(permit_all());
    let record =
        guardian.grant_as(&voice, wide.terms(), &world.origin(), head(&world.standing(&ada).await), world.now(), &mut entropy()).unwrap();
    world.submit(&record).await.expect("the guardian's grant");

    let (file, out) = (world.folder.join("ada.json"), world.folder.join("consents.json"));
    ada.save(&file).unwrap();
    let mut cli = Command::new(env!("CARGO_BIN_EXE_twinveil"));
    cli.args(["wallet", "export", "--fhir", "--wallet"]).arg(&file).arg("--out").arg(&out);
    cli.arg("--dir").arg(&world.folder.0).args(["--gateway", &world.gate.to_string()]);
    tokio::task::block_in_place(|| ran(cli, ""));
    let bundle: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    let entries = bundle["entry"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["resource"]["id"]), (4, &care.to_string().into()), "what permits, and nothing that is over");
    let attached = entries[3]["resource"]["sourceAttachment"][0]["data"].as_str().unwrap();
    assert_eq!(data_encoding::BASE64.decode(attached.as_bytes()).unwrap(), record.to_json().as_bytes(), "the evidence goes with it");

    for (party, purpose) in
        [("clinician", CARE), ("researcher", RESEARCH), ("researcher", CARE), ("renderer", "dpv:ServicePersonalisation")]
    {
        let told = world.explain(&ada, party, purpose, PATIENT).await;
        let fields: Vec<Explained> = told.fields.into_iter().filter(|field| field.sensitivity() != Sensitivity::Public).collect();
        let judged = judged(&bundle, &fields, world.spiffe(party).as_str(), purpose, world.now());
        let mut decided = (0, 0);
        for (field, permitted) in fields.iter().zip(&judged) {
            let nobody = field.reason == "no consent covers it" || field.decided_by == "forbid";
            if nobody {
                decided.0 += 1;
                assert!(permitted.is_empty(), "{party}: {field:?}: {permitted:?}");
            } else if field.decided_by == "consent" {
                decided.1 += 1;
                let treatment = field.treatment().as_str_name().to_lowercase();
                assert_eq!(*permitted, [treatment], "{party}: {field:?}");
            }
        }
        match (party, purpose) {
            ("clinician", _) => assert!(decided.0 > 8 && decided.1 > 8, "{decided:?}"),
            ("renderer", _) => assert!(decided.0 == fields.len(), "{decided:?}"),
            _ => {}
        }
    }
    // What begins later is permitted then, and in FHIR, too.
    let told = world.explain(&ada, "clinician", CARE, PATIENT).await;
    let device: Vec<Explained> = told.fields.into_iter().filter(|field| field.path == "device_id").collect();
    assert_eq!(judged(&bundle, &device, world.spiffe("clinician").as_str(), CARE, later), [["keep"]]);

    // A stranger's folder is not written over.
    let mut cli = Command::new(env!("CARGO_BIN_EXE_twinveil"));
    cli.args(["wallet", "export", "--fhir", "--wallet"]).arg(&file).arg("--out").arg(&out);
    cli.arg("--dir").arg(&world.folder.0).args(["--gateway", &world.gate.to_string()]);
    assert_eq!(tokio::task::block_in_place(|| cli.output().unwrap()).status.code(), Some(3), "the file is there");
}
