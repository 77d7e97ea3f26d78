//! HPKE (RFC 9180) as wraps use it, and X25519 (RFC 7748) inside it.

use std::convert::Infallible;

use serde_json::Value;
use twinveil::veil::crypto::hash::hmac_sha256;
use twinveil::veil::crypto::seal::{AeadKey, NONCE_BYTES, Suite};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::wrap::{OpenKey, unwrap, wrap};
use twinveil::veil::name::SealKey;

use super::{hex, hex_array, list, name, published, text, wycheproof};

/// Gives bytes that are written down, once.
struct Given(Vec<u8>);

impl rand_core::TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("keys are made of bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("keys are made of bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<_>>());
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Given {}

fn open_key(seed: &Value) -> OpenKey {
    OpenKey::from_seed(&Secret::take(&mut hex_array(seed))).unwrap()
}

#[test]
fn base_mode_of_rfc_9180_a_2_seals_and_opens() {
    let Some(file) = published("hpke/rfc9180-A2-x25519-hkdfsha256-chacha20poly1305.json") else { return };
    let base: Vec<_> = list(&file["vectors"]).iter().filter(|vector| vector["setup"]["mode"] == "0").collect();
    let [vector] = base.as_slice() else { panic!("{} vectors of base mode", base.len()) };
    let (setup, first) = (&vector["setup"], &vector["encryptions"][0]);
    assert_eq!(
        ["kem_id", "kdf_id", "aead_id"].map(|id| text(&setup[id])),
        ["32", "1", "3"],
        "DHKEM(X25519), HKDF-SHA256, ChaCha20-Poly1305"
    );
    let (info, aad, plain) = (hex(&setup["info"]), hex(&first["aad"]), hex(&first["pt"]));
    let wrapped = [hex(&setup["enc"]), hex(&first["ct"])].concat();
    let holder = open_key(&setup["skRm"]);
    assert_eq!(holder.seal_key(), SealKey(hex_array(&setup["pkRm"])));
    assert_eq!(unwrap(&holder, &info, &aad, &wrapped), Some(plain.clone()));
    // The ephemeral key is derived from bytes that are drawn: drawing the published ones makes the published wrap.
    let mut entropy = Given(hex(&setup["ikmE"]));
    assert_eq!(wrap(&holder.seal_key(), &info, &aad, &plain, &mut entropy), Some(wrapped.clone()));
    // One message a wrap: the second message of the published context is not one.
    let second = [hex(&setup["enc"]), hex(&vector["encryptions"][1]["ct"])].concat();
    assert_eq!(unwrap(&holder, &info, &hex(&vector["encryptions"][1]["aad"]), &second), None);
    for (key, info, aad) in
        [(open_key(&setup["skEm"]), &info, &aad), (open_key(&setup["skRm"]), &aad, &aad), (open_key(&setup["skRm"]), &info, &info)]
    {
        assert_eq!(unwrap(&key, info, aad, &wrapped), None);
    }
}

/// RFC 9180 §4.1 and §5.1 over a given Diffie-Hellman value, written here with HMAC alone: the wrap that whoever computes
/// `shared` opens.
fn sealed_over(shared: &[u8], enc: &[u8], holder: &SealKey, plain: &[u8]) -> Vec<u8> {
    const KEM: &[u8] = b"KEM\x00\x20";
    const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
    let extract = |salt: [u8; 32], suite: &[u8], label: &[u8], ikm: &[u8]| hmac_sha256(&salt, &[b"HPKE-v1", suite, label, ikm]);
    let expand = |secret: [u8; 32], suite: &[u8], label: &[u8], info: &[u8], bytes: u16| {
        let block = hmac_sha256(&secret, &[&bytes.to_be_bytes(), b"HPKE-v1", suite, label, info, &[1]]);
        block[..usize::from(bytes)].to_vec()
    };
    let array = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).unwrap();
    let kem_context = [enc, &holder.0].concat();
    let secret = array(expand(extract([0; 32], KEM, b"eae_prk", shared), KEM, b"shared_secret", &kem_context, 32));
    let psk_id = extract([0; 32], SUITE, b"psk_id_hash", b"");
    let info = extract([0; 32], SUITE, b"info_hash", b"");
    let context = [&[0][..], &psk_id, &info].concat();
    let secret = extract(secret, SUITE, b"secret", b"");
    let key = Secret::take(&mut array(expand(secret, SUITE, b"key", &context, 32)));
    let nonce: [u8; NONCE_BYTES] = expand(secret, SUITE, b"base_nonce", &context, 12).try_into().unwrap();
    let mut data = plain.to_vec();
    let tag = AeadKey::portable(Suite::ChaCha20Poly1305, &key).seal(&nonce, b"", &mut data).unwrap();
    [enc, &data, &tag].concat()
}

#[test]
fn x25519_of_wycheproof_is_what_opens_a_wrap() {
    let Some(file) = published("wycheproof/x25519_test.json") else { return };
    let (mut opened, mut zero) = (0, 0);
    for (_, case) in wycheproof(&file) {
        let (holder, public, shared) = (open_key(&case["private"]), hex(&case["public"]), hex(&case["shared"]));
        let wrapped = sealed_over(&shared, &public, &holder.seal_key(), b"seed");
        let found = unwrap(&holder, b"", b"", &wrapped);
        if shared.iter().all(|byte| *byte == 0) {
            // A value that the sender alone chose: RFC 9180 §7.1.4 has it refused.
            assert_eq!(found, None, "{}", name(case));
            zero += 1;
        } else {
            assert_eq!(found.as_deref(), Some(&b"seed"[..]), "{}", name(case));
            opened += 1;
        }
        assert_eq!(unwrap(&holder, b"", b"", &sealed_over(&[1; 32], &public, &holder.seal_key(), b"seed")), None, "{}", name(case));
    }
    assert!(opened > 400 && zero > 20, "{opened} opened, {zero} of low order");
    assert_eq!(opened + zero, file["numberOfTests"].as_u64().unwrap());
}
