//! Ed25519, the names made of keys, and what DSSE signs.

use serde_json::Value;
use twinveil::veil::consent::envelope::{Envelope, pae};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::{SignKey, verify};
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::name::{Did, SealKey};

use super::{hex, hex_array, list, name, published, text, wycheproof};

fn sign_key(seed: &Value) -> SignKey {
    SignKey::from_seed(&Secret::take(&mut hex_array(seed)))
}

#[test]
fn ed25519_of_rfc_8032() {
    let Some(file) = published("rfc8032/ed25519-7.1.json") else { return };
    for vector in list(&file["vectors"]) {
        let (key, message, signature) = (sign_key(&vector["secret"]), hex(&vector["msg"]), hex(&vector["sig"]));
        assert_eq!(key.did(), Did(hex_array(&vector["public"])), "{}", vector["name"]);
        assert_eq!(key.sign(&message).to_vec(), signature, "{}", vector["name"]);
        assert!(verify(&key.did(), &message, &signature), "{}", vector["name"]);
        assert!(!verify(&key.did(), &[&message[..], b"x"].concat(), &signature), "{}", vector["name"]);
    }
    assert_eq!(list(&file["vectors"]).len(), 3);
}

/// Valid cases that strict verification refuses, by number: none, as no case has a key or a commitment of small order.
const STRICTER: [u64; 0] = [];

#[test]
fn ed25519_of_wycheproof_verified_strictly() {
    let Some(file) = published("wycheproof/ed25519_test.json") else { return };
    let (mut checked, mut stricter) = (0, Vec::new());
    for (group, case) in wycheproof(&file) {
        let good = verify(&Did(hex_array(&group["publicKey"]["pk"])), &hex(&case["msg"]), &hex(&case["sig"]));
        match (case["result"].as_str(), good) {
            (Some("valid"), true) | (Some("invalid"), false) => {}
            (Some("valid"), false) => stricter.push(case["tcId"].as_u64().unwrap()),
            other => panic!("{other:?}: {}", name(case)),
        }
        checked += 1;
    }
    assert_eq!(stricter, STRICTER, "what strict verification refuses beyond the standard");
    assert_eq!(checked, file["numberOfTests"].as_u64().unwrap());
}

/// What strict verification refuses beyond RFC 8032 §5.1.7, by name: `A` or `R` of small order. A verifier after the letter takes
/// these, and so one signature for many messages.
#[test]
fn signatures_over_points_of_small_order_are_refused_here_and_taken_by_the_letter() {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    let point = |first: u8, last: u8| {
        let mut point = [0; 32];
        (point[0], point[31]) = (first, last);
        point
    };
    let order_2 = data_encoding::HEXLOWER.decode(b"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f").unwrap();
    let (identity, order_2) = (point(1, 0), <[u8; 32]>::try_from(order_2).unwrap());
    let signature = |r: [u8; 32]| [r, [0; 32]].concat();
    for (what, key, r, messages) in [
        ("the identity as key", identity, identity, 8),
        ("a key of order 2", order_2, identity, 1),
        ("order 2 in both", order_2, order_2, 1),
    ] {
        let signature = signature(r);
        let lax = |message: &[u8]| {
            let key = VerifyingKey::from_bytes(&key).unwrap();
            key.verify(message, &Signature::from_slice(&signature).unwrap()).is_ok()
        };
        let taken = (0..8u8).filter(|message| lax(&[*message])).count();
        assert!(taken >= messages, "{what}: {taken} of 8 messages by the letter");
        assert!((0..8u8).all(|message| !verify(&Did(key), &[message], &signature)), "{what}");
    }
}

fn base58(text: &str) -> Vec<u8> {
    bs58::decode(text).into_vec().unwrap()
}

fn base64url(value: &Value) -> Vec<u8> {
    data_encoding::BASE64URL_NOPAD.decode(text(value).as_bytes()).unwrap()
}

fn fragment(id: &Value) -> &str {
    text(id).split_once('#').unwrap().1
}

#[test]
fn did_keys_of_the_method_are_what_keys_are_called() {
    let Some(file) = published("did-key/ed25519-x25519.json") else { return };
    let vectors = file.as_object().unwrap();
    for (did, vector) in vectors {
        let key = sign_key(&vector["seed"]);
        assert_eq!(key.did().to_string(), *did);
        assert_eq!(Did::parse(did), Ok(key.did()));
        let agreement = &vector["keyAgreementKeyPair"];
        let (private, public) = match agreement["privateKeyBase58"].as_str() {
            Some(private) => (base58(private), base58(text(&agreement["publicKeyBase58"]))),
            None => (base64url(&agreement["privateKeyJwk"]["d"]), base64url(&agreement["publicKeyJwk"]["x"])),
        };
        let opens = OpenKey::from_seed(&Secret::take(&mut private.try_into().unwrap())).unwrap().seal_key();
        assert_eq!(opens.0.to_vec(), public);
        assert_eq!(opens.to_string(), fragment(&agreement["id"]));
        assert_eq!(SealKey::parse(fragment(&agreement["id"])), Ok(opens));
        // One is not the other, whatever it is called.
        assert!(Did::parse(&format!("did:key:{opens}")).is_err() && SealKey::parse(did.trim_start_matches("did:key:")).is_err());
    }
    assert_eq!(vectors.len(), 5);
}

#[test]
fn x25519_did_keys_of_the_method_are_the_multikeys_of_consents() {
    let Some(file) = published("did-key/x25519.json") else { return };
    let mut checked = 0;
    for (did, document) in file["didDocument"].as_object().unwrap() {
        let Some(public) = document["verificationMethod"][0]["publicKeyBase58"].as_str() else { continue };
        let key = SealKey::parse(did.trim_start_matches("did:key:")).unwrap();
        assert_eq!((key.0.to_vec(), format!("did:key:{key}")), (base58(public), did.clone()));
        assert!(Did::parse(did).is_err(), "a key that seals signs nothing");
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn the_example_of_dsse_is_read_and_encoded() {
    let Some(file) = published("dsse/example.json") else { return };
    let encoded = pae(text(&file["payload_type"]), text(&file["body_utf8"]).as_bytes());
    assert_eq!(encoded, text(&file["pae_utf8"]).as_bytes());
    let envelope = Envelope::parse_json(file["envelope"].to_string().as_bytes()).unwrap();
    assert_eq!((envelope.payload_type.as_str(), &envelope.payload[..]), (text(&file["payload_type"]), text(&file["body_utf8"]).as_bytes()));
    assert_eq!(pae(&envelope.payload_type, &envelope.payload), encoded);
    assert_eq!(envelope.signatures.len(), 1, "by an ECDSA key, which speaks for nobody here");
}
