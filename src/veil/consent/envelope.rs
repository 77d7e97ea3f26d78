//! DSSE (secure-systems-lab/dsse, protocol.md and envelope.md): signatures over exact bytes and their media type.
//!
//! [`Signed`] is what came in; [`Verified`] is what may be used. The way from one to the other is [`Signed::verify`].

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::refusal::RecordRefusal;
use super::text;
use crate::veil::base64;
use crate::veil::crypto::hash::sha256;
use crate::veil::crypto::sign::{self, SignKey};
use crate::veil::name::{Did, Origin, RecordId};

/// The largest payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1_024;
/// The most signatures of an envelope.
pub const SIGNATURES_MAX: usize = 16;
/// The largest JSON form of an envelope, in bytes.
pub const JSON_BYTES_MAX: usize = 128 * 1_024;
const TYPE_BYTES_MAX: usize = 128;
const KEYID_BYTES_MAX: usize = 128;
const SIGNATURE_BYTES_MAX: usize = 128;

/// A payload, its media type and signatures over both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The exact bytes that were signed.
    pub payload: Vec<u8>,
    /// The media type of the payload.
    pub payload_type: String,
    /// Signatures, in any order.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The did:key of the signer: tried, never trusted.
    pub keyid: String,
    /// The signature (Ed25519: 64 bytes).
    pub sig: Vec<u8>,
}

/// What a payload type is, and who must have signed it.
pub trait Payload: Sized {
    /// The media type.
    const MEDIA_TYPE: &'static str;

    /// Reads the payload strictly; an unknown member is an error.
    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal>;

    /// The gateway that the payload is bound to.
    fn gateway(&self) -> &Origin;

    /// The key that speaks in the payload, and so must have signed it.
    fn signer(&self) -> Did;

    /// Another key that must have signed, too, where the payload is an agreement of two.
    fn cosigner(&self) -> Option<Did> {
        None
    }
}

/// An envelope that claims to hold a `T`.
pub struct Signed<'e, T> {
    envelope: &'e Envelope,
    payload: PhantomData<fn() -> T>,
}

/// A `T` that its signer signed for this gateway. Only [`Signed::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    id: RecordId,
    keys: Vec<Did>,
}

impl<'e, T: Payload> Signed<'e, T> {
    /// Takes an envelope of the right size and type.
    pub fn new(envelope: &'e Envelope) -> Result<Self, RecordRefusal> {
        envelope.check_sizes()?;
        if envelope.payload_type != T::MEDIA_TYPE {
            return Err(RecordRefusal::WrongType { expected: T::MEDIA_TYPE });
        }
        Ok(Self { envelope, payload: PhantomData })
    }

    /// Verifies the signatures, then parses, then checks that the signer whom the payload names is among the keys that
    /// signed and that the payload is for `gateway`.
    pub fn verify(&self, gateway: &Origin) -> Result<Verified<T>, RecordRefusal> {
        let keys = self.envelope.signers();
        if keys.is_empty() {
            return Err(RecordRefusal::BadSignature);
        }
        let value = T::parse(&self.envelope.payload)?;
        if let Some(missing) = [Some(value.signer()), value.cosigner()].into_iter().flatten().find(|key| !keys.contains(key)) {
            return Err(RecordRefusal::NotSignedBy(missing));
        }
        if value.gateway() != gateway {
            return Err(RecordRefusal::WrongGateway { expected: gateway.clone() });
        }
        Ok(Verified { value, id: self.envelope.id(), keys })
    }
}

impl<T> Verified<T> {
    /// What these keys would have signed: for tests of what is done with very many records.
    #[cfg(test)]
    pub(crate) fn assumed(value: T, id: RecordId, keys: Vec<Did>) -> Self {
        Self { value, id, keys }
    }

    /// What was signed.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// SHA-256 of the payload.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// Every key that signed, each once.
    pub fn keys(&self) -> &[Did] {
        &self.keys
    }

    /// Whether `did` signed.
    pub fn signed_by(&self, did: &Did) -> bool {
        self.keys.contains(did)
    }

    /// How many different keys out of `among` signed: the n of n-of-m.
    pub fn signers_among(&self, among: &[Did]) -> usize {
        // INVARIANT: `keys` holds no key twice, so a key counts once however often it signed or is listed.
        self.keys.iter().filter(|key| among.contains(key)).count()
    }
}

impl Envelope {
    /// A payload signed by one key.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SignKey) -> Self {
        let mut envelope = Self { payload, payload_type: payload_type.into(), signatures: Vec::new() };
        envelope.countersign(key);
        envelope
    }

    /// Adds a signature.
    pub fn countersign(&mut self, key: &SignKey) {
        let sig = key.sign(&pae(&self.payload_type, &self.payload)).to_vec();
        self.signatures.push(Signature { keyid: key.did().to_string(), sig });
    }

    /// SHA-256 of the payload: the id of the record in it.
    pub fn id(&self) -> RecordId {
        RecordId(sha256(&[&self.payload]))
    }

    /// Whether every part is within its limit.
    pub fn check_sizes(&self) -> Result<(), RecordRefusal> {
        let too_large = |part| Err(RecordRefusal::TooLarge(part));
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            return too_large("payload");
        }
        if self.payload_type.len() > TYPE_BYTES_MAX {
            return too_large("payload type");
        }
        if self.signatures.len() > SIGNATURES_MAX {
            return too_large("list of signatures");
        }
        if self.signatures.iter().any(|signature| signature.keyid.len() > KEYID_BYTES_MAX || signature.sig.len() > SIGNATURE_BYTES_MAX) {
            return too_large("signature");
        }
        Ok(())
    }

    /// The JSON form: base64 of the standard alphabet.
    pub fn to_json(&self) -> String {
        let signatures =
            self.signatures.iter().map(|signature| SignatureJson { keyid: signature.keyid.clone(), sig: base64::encode(&signature.sig) });
        let json = EnvelopeJson {
            payload: base64::encode(&self.payload),
            payload_type: self.payload_type.clone(),
            signatures: signatures.collect(),
        };
        serde_json::to_string(&json).expect("texts and lists always have a JSON form")
    }

    /// Reads the JSON form, base64 of either alphabet (DSSE allows both).
    pub fn parse_json(json: &[u8]) -> Result<Self, RecordRefusal> {
        if json.len() > JSON_BYTES_MAX {
            return Err(RecordRefusal::TooLarge("JSON form"));
        }
        let json: EnvelopeJson = serde_json::from_slice(json).map_err(|error| RecordRefusal::NotAnEnvelope(text::unread(&error)))?;
        let signatures =
            json.signatures.into_iter().map(|signature| Ok(Signature { keyid: signature.keyid, sig: bytes("sig", &signature.sig)? }));
        let envelope = Self {
            payload: bytes("payload", &json.payload)?,
            payload_type: json.payload_type,
            signatures: signatures.collect::<Result<_, _>>()?,
        };
        envelope.check_sizes()?;
        Ok(envelope)
    }

    /// The same with the signatures that verify, each key's once, and its name as everybody writes it: nothing else that a sender put
    /// beside them goes on.
    pub fn only_verified(&self) -> Self {
        let signatures = self.verified().map(|(did, signature)| Signature { keyid: did.to_string(), sig: signature.sig.clone() }).collect();
        Self { payload: self.payload.clone(), payload_type: self.payload_type.clone(), signatures }
    }

    /// The keys whose signatures verify, each once. A `keyid` that is no did:key has nothing to try and is passed over.
    fn signers(&self) -> Vec<Did> {
        self.verified().map(|(did, _)| did).collect()
    }

    fn verified(&self) -> impl Iterator<Item = (Did, &Signature)> {
        let (message, mut seen) = (pae(&self.payload_type, &self.payload), Vec::new());
        self.signatures.iter().filter_map(move |signature| {
            let did = Did::parse(&signature.keyid).ok().filter(|did| !seen.contains(did))?;
            sign::verify(&did, &message, &signature.sig).then(|| {
                seen.push(did);
                (did, signature)
            })
        })
    }
}

/// The pre-authentication encoding: what is signed (DSSE protocol.md, "Signature Definition").
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn bytes(member: &str, text: &str) -> Result<Vec<u8>, RecordRefusal> {
    let bytes = base64::decode(text).or_else(|| base64::decode_url(text));
    bytes.ok_or_else(|| RecordRefusal::NotAnEnvelope(format!("`{member}` is not base64")))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeJson {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<SignatureJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureJson {
    #[serde(default)]
    keyid: String,
    sig: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{GATEWAY, gateway, key, other_gateway};
    use super::*;

    /// `did|gateway`, so that nothing but the envelope is under test.
    #[derive(Debug, PartialEq)]
    struct Note(Did, Origin);

    impl Payload for Note {
        const MEDIA_TYPE: &'static str = "text/note";

        fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
            let text = std::str::from_utf8(payload).map_err(|_| RecordRefusal::Malformed("utf-8".into()))?;
            let (did, gateway) = text.split_once('|').ok_or_else(|| RecordRefusal::Malformed("no `|`".into()))?;
            Ok(Self(super::super::text::did("did", did)?, Origin::new(gateway)))
        }

        fn gateway(&self) -> &Origin {
            &self.1
        }

        fn signer(&self) -> Did {
            self.0
        }
    }

    fn note(by: &SignKey) -> Envelope {
        Envelope::sign(Note::MEDIA_TYPE, format!("{}|{GATEWAY}", by.did()).into_bytes(), by)
    }

    fn verify(envelope: &Envelope) -> Result<Verified<Note>, RecordRefusal> {
        Signed::new(envelope)?.verify(&gateway())
    }

    #[test]
    fn only_signatures_that_verify_go_on_each_once() {
        let mut envelope = Envelope::sign("a/b", b"{}".to_vec(), &key(1));
        envelope.countersign(&key(2));
        let good = envelope.clone();
        envelope.countersign(&key(1));
        envelope.signatures.push(Signature { keyid: "whatever somebody wants to be read".into(), sig: vec![7; 64] });
        envelope.signatures.insert(0, Signature { keyid: key(3).did().to_string(), sig: vec![7; 64] });
        assert_eq!(envelope.only_verified(), good);
        assert_eq!(envelope.only_verified().id(), envelope.id());
    }

    #[test]
    fn pae_is_the_published_one() {
        // DSSE protocol.md, "Test Vectors"
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn what_the_signer_signed_verifies_under_the_id_of_its_payload() {
        let envelope = note(&key(1));
        let verified = verify(&envelope).expect("good");
        assert_eq!(verified.id().0, sha256(&[&envelope.payload]));
        assert!(verified.signed_by(&key(1).did()) && !verified.signed_by(&key(2).did()));
    }

    #[test]
    fn a_forged_signature_is_refused() {
        let mut envelope = note(&key(1));
        envelope.signatures[0].sig[5] ^= 1;
        assert_eq!(verify(&envelope), Err(RecordRefusal::BadSignature));
        let mut envelope = note(&key(1));
        envelope.signatures[0].sig.pop();
        assert_eq!(verify(&envelope), Err(RecordRefusal::BadSignature));
    }

    #[test]
    fn a_signature_by_somebody_else_is_refused() {
        let mut envelope = note(&key(1));
        envelope.signatures.clear();
        envelope.countersign(&key(2));
        assert_eq!(verify(&envelope), Err(RecordRefusal::NotSignedBy(key(1).did())));
        // and calling the key another name does not help
        envelope.signatures[0].keyid = key(1).did().to_string();
        assert_eq!(verify(&envelope), Err(RecordRefusal::BadSignature));
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // The identity point: with R = identity and s = 0 the plain equation holds for every message.
        let mut identity = [0u8; 32];
        identity[0] = 1;
        let did = Did(identity);
        let sig = [&identity[..], &[0u8; 32]].concat();
        let envelope = Envelope {
            payload: format!("{did}|{GATEWAY}").into_bytes(),
            payload_type: Note::MEDIA_TYPE.into(),
            signatures: vec![Signature { keyid: did.to_string(), sig }],
        };
        assert_eq!(verify(&envelope), Err(RecordRefusal::BadSignature));
    }

    #[test]
    fn a_payload_of_another_type_or_for_another_gateway_is_refused() {
        let mut envelope = note(&key(1));
        assert_eq!(Signed::<Note>::new(&envelope).expect("sizes").verify(&other_gateway()).expect_err("other").code(), "TV-C12");
        envelope.payload_type = "text/other".into();
        assert_eq!(verify(&envelope), Err(RecordRefusal::WrongType { expected: "text/note" }));
    }

    #[test]
    fn a_key_counts_once_however_often_it_signs_or_is_listed() {
        let mut envelope = note(&key(1));
        envelope.countersign(&key(1));
        let listed = [key(1).did(), key(1).did(), key(2).did()];
        assert_eq!(verify(&envelope).expect("good").signers_among(&listed), 1);
        envelope.countersign(&key(2));
        assert_eq!(verify(&envelope).expect("good").signers_among(&listed), 2);
    }

    #[test]
    fn a_signature_without_a_did_in_its_keyid_is_passed_over() {
        let mut envelope = note(&key(1));
        envelope.signatures[0].keyid = "my key".into();
        assert_eq!(verify(&envelope), Err(RecordRefusal::BadSignature));
    }

    #[test]
    fn each_size_is_refused_one_past_its_limit() {
        let good = note(&key(1));
        let part = |change: &dyn Fn(&mut Envelope)| {
            let mut envelope = good.clone();
            change(&mut envelope);
            envelope.check_sizes()
        };
        assert_eq!(part(&|e| e.payload = vec![0; PAYLOAD_BYTES_MAX]), Ok(()));
        assert_eq!(part(&|e| e.payload = vec![0; PAYLOAD_BYTES_MAX + 1]), Err(RecordRefusal::TooLarge("payload")));
        assert_eq!(part(&|e| e.payload_type = "x".repeat(129)), Err(RecordRefusal::TooLarge("payload type")));
        let large = Envelope { payload: vec![0; PAYLOAD_BYTES_MAX + 1], ..good.clone() };
        assert_eq!(verify(&large), Err(RecordRefusal::TooLarge("payload")), "nor is its signature looked at");
        assert_eq!(part(&|e| e.signatures = vec![e.signatures[0].clone(); SIGNATURES_MAX]), Ok(()));
        assert_eq!(
            part(&|e| e.signatures = vec![e.signatures[0].clone(); SIGNATURES_MAX + 1]),
            Err(RecordRefusal::TooLarge("list of signatures"))
        );
        assert_eq!(part(&|e| e.signatures[0].sig = vec![0; 129]), Err(RecordRefusal::TooLarge("signature")));
        assert_eq!(part(&|e| e.signatures[0].keyid = "x".repeat(129)), Err(RecordRefusal::TooLarge("signature")));
        assert_eq!(Envelope::parse_json(&vec![b' '; JSON_BYTES_MAX + 1]), Err(RecordRefusal::TooLarge("JSON form")));
    }

    #[test]
    fn what_a_refusal_quotes_has_no_control_characters_and_an_end() {
        let name = format!("\\u001b[2J{}", "x".repeat(10_000));
        for refusal in [
            Envelope::parse_json(format!("{{\"{name}\":1}}").as_bytes()).expect_err("unknown"),
            text::json::<SignatureJson>(format!("{{\"{name}\":1}}").as_bytes()).err().expect("unknown"),
        ] {
            let text = refusal.to_string();
            assert!(text.contains("[2Jxxx") && text.len() < 600 && !text.contains(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn the_largest_envelope_fits_its_json_form() {
        let signature = Signature { keyid: "k".repeat(KEYID_BYTES_MAX), sig: vec![0; SIGNATURE_BYTES_MAX] };
        let envelope = Envelope {
            payload: vec![0; PAYLOAD_BYTES_MAX],
            payload_type: "t".repeat(TYPE_BYTES_MAX),
            signatures: vec![signature; SIGNATURES_MAX],
        };
        assert_eq!(Envelope::parse_json(envelope.to_json().as_bytes()), Ok(envelope));
    }

    #[test]
    fn json_that_is_no_envelope_is_refused() {
        for json in [
            "",
            "{}",
            r#"{"payload":"!","payloadType":"t","signatures":[]}"#,
            r#"{"payload":"","payloadType":"t","signatures":[{"keyid":"k","sig":"!"}]}"#,
            r#"{"payload":"","payloadType":"t","signatures":[],"x":1}"#,
        ] {
            assert_eq!(Envelope::parse_json(json.as_bytes()).expect_err(json).code(), "TV-C02");
        }
        let long = format!(r#"{{"payload":"","payloadType":"{}","signatures":[]}}"#, "t".repeat(TYPE_BYTES_MAX + 1));
        assert_eq!(Envelope::parse_json(long.as_bytes()), Err(RecordRefusal::TooLarge("payload type")));
    }

    proptest! {
        #[test]
        fn the_json_form_reads_back(payload: Vec<u8>, payload_type in "[a-z/+;=]{0,40}", sig: [u8; 32], keyid in "[ -~]{0,60}") {
            let envelope = Envelope { payload, payload_type, signatures: vec![Signature { keyid, sig: sig.to_vec() }] };
            prop_assert_eq!(Envelope::parse_json(envelope.to_json().as_bytes()), Ok(envelope));
        }

        #[test]
        fn no_changed_byte_verifies(at in 0usize..2_000, bit in 0u8..8) {
            let mut envelope = note(&key(1));
            let at = at % envelope.payload.len();
            envelope.payload[at] ^= 1 << bit;
            prop_assert!(verify(&envelope).is_err());
        }

        #[test]
        fn any_json_is_read_or_refused(json: Vec<u8>) {
            let _ = Envelope::parse_json(&json);
        }
    }
}
