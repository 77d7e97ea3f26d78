//! Writing records: what is said, and around it who says it, when, for which gateway, and the bytes that hide it.

use serde_json::Value;

use super::decision::Decision;
use crate::veil::consent::envelope::{Envelope, Payload, Signed, pae};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::crypto::sign::{self, SignKey};
use crate::veil::name::{Did, Origin, UnixMs};

/// What every record begins with; whoever signs adds it.
const HEAD: [&str; 4] = ["gateway", "author", "at", "nonce"];

/// Signs a record of a case. `said` is its JSON without `gateway`, `author`, `at` and `nonce`; what would be refused by its content is
/// refused here, before it is signed.
pub fn write<P: Payload>(said: &Value, key: &SignKey, gateway: &Origin, now: UnixMs, nonce: [u8; 16]) -> Result<Envelope, RecordRefusal> {
    let Value::Object(said) = said else {
        return Err(RecordRefusal::Malformed("not a JSON object".into()));
    };
    if let Some(member) = HEAD.into_iter().find(|member| said.contains_key(*member)) {
        return Err(RecordRefusal::member(member, "absent, as whoever signs writes it"));
    }
    let mut record = said.clone();
    let head = [gateway.to_string(), key.did().to_string(), now.to_string(), data_encoding::HEXLOWER.encode(&nonce)];
    record.extend(HEAD.into_iter().map(String::from).zip(head.into_iter().map(Value::String)));
    let payload = Value::Object(record).to_string().into_bytes();
    P::parse(&payload)?;
    let envelope = Envelope::sign(P::MEDIA_TYPE, payload, key);
    envelope.check_sizes()?;
    Ok(envelope)
}

/// Adds an approver's signature to a decision: to the same bytes that the others signed.
pub fn approve(decision: &Envelope, key: &SignKey, gateway: &Origin) -> Result<Envelope, RecordRefusal> {
    let verified = Signed::<Decision>::new(decision)?.verify(gateway)?;
    let mut more = decision.clone();
    if !verified.signed_by(&key.did()) {
        more.countersign(key);
        more.check_sizes()?;
    }
    Ok(more)
}

/// The signatures of two envelopes over the same bytes in one; `None`: they are not the same bytes. What does not verify is left
/// behind, so that it takes nobody's room.
pub fn merge(one: &Envelope, other: &Envelope) -> Result<Option<Envelope>, RecordRefusal> {
    if one.payload != other.payload || one.payload_type != other.payload_type {
        return Ok(None);
    }
    let message = pae(&one.payload_type, &one.payload);
    let mut merged = Envelope { signatures: Vec::new(), ..one.clone() };
    for signature in one.signatures.iter().chain(&other.signatures) {
        let known = merged.signatures.iter().any(|known| known.keyid == signature.keyid);
        if !known && Did::parse(&signature.keyid).is_ok_and(|key| sign::verify(&key, &message, &signature.sig)) {
            merged.signatures.push(signature.clone());
        }
    }
    merged.check_sizes()?;
    Ok(Some(merged))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::notice::Notice;
    use super::super::testing::{A, B, CLERK, demand, refuse, said_demand};
    use super::*;
    use crate::veil::consent::testing::{NOW, gateway, key, other_gateway};
    use crate::veil::demand::Demand;

    #[test]
    fn whoever_signs_writes_the_head_and_nobody_else() {
        let said = said_demand(|_| ());
        let envelope = write::<Demand>(&said, &key(CLERK), &gateway(), NOW, [7; 16]).expect("good");
        let verified = Signed::<Demand>::new(&envelope).and_then(|signed| signed.verify(&gateway())).expect("verifies");
        let head = &verified.get().head;
        assert_eq!((head.author, head.at, head.nonce), (key(CLERK).did(), NOW, [7; 16]));
        for member in HEAD {
            let mut said = said.clone();
            said[member] = json!("x");
            let refusal = write::<Demand>(&said, &key(CLERK), &gateway(), NOW, [7; 16]).expect_err(member);
            assert!(matches!(refusal, RecordRefusal::BadMember { member: named, .. } if named == member));
        }
        assert_eq!(write::<Demand>(&json!([]), &key(CLERK), &gateway(), NOW, [7; 16]).expect_err("a list").code(), "TV-C06");
    }

    #[test]
    fn what_would_be_refused_is_not_signed() {
        let said = json!({"demand": "ab".repeat(32), "how": "letter\nby hand"});
        assert_eq!(write::<Notice>(&said, &key(CLERK), &gateway(), NOW, [7; 16]).expect_err("two lines").code(), "TV-C07");
    }

    #[test]
    fn signatures_over_the_same_bytes_come_together_whoever_signed_first() {
        let one = refuse(demand(|_| ()).id(), &[], &[A], |_| ());
        let two = approve(&one, &key(B), &gateway()).expect("good");
        assert_eq!((one.signatures.len(), two.signatures.len()), (1, 2));
        assert_eq!(approve(&two, &key(B), &gateway()).expect("good"), two, "a key signs once");
        // B signs a copy that A's signature is missing from: it does not verify alone, as A drafted it.
        let mut alone = two.clone();
        alone.signatures.remove(0);
        assert!(Signed::<Decision>::new(&alone).and_then(|signed| signed.verify(&gateway())).is_err());
        let merged = merge(&alone, &one).expect("sizes").expect("the same bytes");
        assert_eq!(merged.signatures.len(), 2);
        assert!(Signed::<Decision>::new(&merged).and_then(|signed| signed.verify(&gateway())).is_ok());
        let other = refuse(demand(|_| ()).id(), &[], &[A], |said| said["reasons"] = json!(["overbroad", "no_key"]));
        assert_eq!(merge(&one, &other), Ok(None));
        assert_eq!(approve(&one, &key(B), &other_gateway()).expect_err("another's").code(), "TV-C12");
    }

    #[test]
    fn what_does_not_verify_takes_nobodys_room() {
        let good = refuse(demand(|_| ()).id(), &[], &[A, B], |_| ());
        let mut bad = good.clone();
        for signature in &mut bad.signatures {
            signature.sig[7] ^= 1;
        }
        bad.signatures = vec![bad.signatures[1].clone(); 16];
        let merged = merge(&bad, &good).expect("room").expect("the same bytes");
        assert_eq!(merged, good);
        let mut both = bad.clone();
        both.signatures[15] = good.signatures[1].clone();
        assert_eq!(merge(&both, &good).expect("room").expect("the same bytes").signatures.len(), 2);
    }
}
