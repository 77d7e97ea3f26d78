//! DSSE both ways: what `securesystemslib` makes verifies here, what we make verifies there, and neither takes what the other
//! should refuse.

use serde_json::{Value, json};
use twinveil::veil::consent::envelope::{Envelope, Payload, Signed, Verified};
use twinveil::veil::consent::refusal::RecordRefusal;
use twinveil::veil::consent::withdrawal::Withdrawal;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::name::Origin;

use super::{ran, script};
use crate::harness::ORIGIN;

fn key(seed: u8) -> SignKey {
    SignKey::from_seed(&Secret::take(&mut [seed; 32]))
}

fn payload() -> String {
    let did = key(1).did();
    json!({
        "status": "ConsentWithdrawn", "subject": did.to_string(), "signer": { "key": did.to_string(), "role": "subject" },
        "gateway": ORIGIN, "at": "2026-01-31T09:00:00Z", "withdraws_up_to": 1,
    })
    .to_string()
}

fn ours(seeds: &[u8]) -> Envelope {
    let mut envelope = Envelope::sign(Withdrawal::MEDIA_TYPE, payload().into_bytes(), &key(seeds[0]));
    seeds[1..].iter().for_each(|seed| envelope.countersign(&key(*seed)));
    envelope
}

fn verify(envelope: &Envelope) -> Result<Verified<Withdrawal>, RecordRefusal> {
    Signed::new(envelope)?.verify(&Origin::new(ORIGIN))
}

/// How many of the three keys signed, if the envelope is believed at all.
fn signers(envelope: &Envelope) -> Result<usize, RecordRefusal> {
    let keys = [1, 2, 3].map(|seed| key(seed).did());
    verify(envelope).map(|verified| verified.signers_among(&keys))
}

fn judged(ask: &Value) -> Option<Value> {
    Some(serde_json::from_str(&ran(script("securesystemslib (DSSE)", "judge_dsse.py")?, &ask.to_string())).unwrap())
}

#[test]
fn our_envelopes_are_judged_alike_by_securesystemslib() {
    let tampered = {
        let mut envelope = ours(&[1]);
        let text = String::from_utf8(envelope.payload).unwrap().replace("\"withdraws_up_to\":1", "\"withdraws_up_to\":9");
        envelope.payload = text.into_bytes();
        envelope
    };
    let retyped = Envelope { payload_type: "application/json".into(), ..ours(&[1]) };
    let twice = ours(&[1, 1]);
    let cases = [
        (ours(&[1]), 1, "verified by 1"),
        (ours(&[1]), 2, "refused"),
        (ours(&[1, 3]), 2, "verified by 2"),
        (ours(&[1, 2, 3]), 3, "verified by 3"),
        (ours(&[1, 9]), 2, "refused"),
        (tampered.clone(), 1, "refused"),
        (retyped.clone(), 1, "refused"),
        (twice.clone(), 2, "not read: Multiple signatures found"),
    ];
    let dids = [1, 2, 3].map(|seed| key(seed).did().to_string());
    let ask: Vec<_> = cases
        .iter()
        .map(|(envelope, threshold, _)| {
            let envelope: Value = serde_json::from_str(&envelope.to_json()).unwrap();
            json!({ "envelope": envelope, "keys": dids, "threshold": threshold })
        })
        .collect();
    let Some(judged) = judged(&json!({ "verify": ask, "sign": [] })) else { return };
    let verdicts = judged["verify"].as_array().unwrap();
    for (index, ((envelope, threshold, expected), verdict)) in cases.iter().zip(verdicts).enumerate() {
        assert!(verdict.as_str().unwrap().starts_with(expected), "case {index}: {verdict}");
        let enough = signers(envelope).is_ok_and(|count| count >= *threshold);
        assert_eq!(enough, expected.starts_with("verified"), "case {index}: both say the same");
    }
    assert_eq!(verdicts.len(), cases.len());
    assert_eq!(signers(&twice), Ok(1), "a key counts once, however often it signed");
    assert_eq!(
        (signers(&tampered), signers(&retyped)),
        (Err(RecordRefusal::BadSignature), Err(RecordRefusal::WrongType { expected: Withdrawal::MEDIA_TYPE }))
    );
}

#[test]
fn envelopes_of_securesystemslib_are_judged_here() {
    let signed_by = |seeds: &[u8]| {
        let seeds: Vec<_> = seeds.iter().map(|seed| data_encoding::HEXLOWER.encode(&[*seed; 32])).collect();
        json!({ "payload": payload(), "type": Withdrawal::MEDIA_TYPE, "seeds": seeds })
    };
    let Some(judged) = judged(&json!({ "verify": [], "sign": [signed_by(&[1]), signed_by(&[1, 3]), signed_by(&[2])] })) else { return };
    let envelopes: Vec<_> =
        judged["sign"].as_array().unwrap().iter().map(|envelope| Envelope::parse_json(envelope.to_string().as_bytes()).unwrap()).collect();
    let [one, two, other] = envelopes.as_slice() else { panic!("{envelopes:?}") };
    assert_eq!((signers(one), signers(two)), (Ok(1), Ok(2)));
    // Ed25519 signatures of the same key over the same bytes are the same.
    assert_eq!((one, two), (&ours(&[1]), &ours(&[1, 3])));
    assert_eq!(signers(other), Err(RecordRefusal::NotSignedBy(key(1).did())));
    let mut twice = one.clone();
    twice.signatures.push(one.signatures[0].clone());
    assert_eq!(signers(&twice), Ok(1), "short of two");
    let mut borrowed = two.clone();
    borrowed.signatures[1].keyid = key(2).did().to_string();
    assert_eq!(signers(&borrowed), Ok(1), "the name of a key is tried, not trusted");
    let mut tampered = two.clone();
    tampered.payload.push(b' ');
    assert_eq!(signers(&tampered), Err(RecordRefusal::BadSignature));
}
