//! AES-256-GCM and ChaCha20-Poly1305, with both backends.

use serde_json::Value;
use twinveil::veil::crypto::seal::{AeadKey, NONCE_BYTES, Suite};
use twinveil::veil::crypto::secret::Secret;

use super::{hex, hex_array, name, published, wycheproof};

/// A case for both backends: a valid one seals to what is published and opens, any other does not open.
fn check(suite: Suite, case: &Value) {
    let key = Secret::take(&mut hex_array(&case["key"]));
    let nonce: [u8; NONCE_BYTES] = hex_array(&case["iv"]);
    let (aad, plain) = (hex(&case["aad"]), hex(&case["msg"]));
    let sealed = [hex(&case["ct"]), hex(&case["tag"])].concat();
    for (backend, aead) in [("fast", AeadKey::new(suite, &key).unwrap()), ("portable", AeadKey::portable(suite, &key))] {
        let mut data = sealed.clone();
        let opened = aead.open(&nonce, &aad, &mut data).map(|plain| plain.to_vec());
        match case["result"].as_str() {
            Some("valid") => {
                assert_eq!(opened.as_ref(), Ok(&plain), "{backend}, {}", name(case));
                let mut data = plain.clone();
                let tag = aead.seal(&nonce, &aad, &mut data).unwrap();
                assert_eq!([&data[..], &tag].concat(), sealed, "{backend}, {}", name(case));
            }
            Some("invalid") => assert!(opened.is_err(), "{backend}, {}", name(case)),
            other => panic!("{other:?}: {}", name(case)),
        }
    }
}

/// Checks the cases with our sizes (key 256 bits, nonce 96, tag 128), which are the only ones that the types can hold.
fn wycheproof_of(suite: Suite, file: &str) -> Option<usize> {
    let file = published(file)?;
    let ours = wycheproof(&file)
        .filter(|(group, _)| (&group["keySize"], &group["ivSize"], &group["tagSize"]) == (&256.into(), &96.into(), &128.into()));
    Some(ours.map(|(_, case)| check(suite, case)).count())
}

#[test]
fn aes_256_gcm_of_wycheproof() {
    if let Some(checked) = wycheproof_of(Suite::Aes256Gcm, "wycheproof/aes_gcm_test.json") {
        assert_eq!(checked, 66);
    }
}

#[test]
fn chacha20_poly1305_of_wycheproof() {
    if let Some(checked) = wycheproof_of(Suite::ChaCha20Poly1305, "wycheproof/chacha20_poly1305_test.json") {
        assert_eq!(checked, 316);
    }
}

#[test]
fn chacha20_poly1305_of_rfc_8439() {
    let Some(file) = published("rfc8439/aead-2.8.2.json") else { return };
    let case = serde_json::json!({
        "tcId": 0, "comment": "RFC 8439 2.8.2", "result": "valid",
        "key": file["key"], "iv": file["nonce"], "aad": file["aad"], "msg": file["plaintext"], "ct": file["ciphertext"], "tag": file["tag"],
    });
    check(Suite::ChaCha20Poly1305, &case);
}
