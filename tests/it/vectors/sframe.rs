//! SFrame (RFC 9605): headers, key schedule, nonces and whole ciphertexts; and groups of ours opened by another implementation,
//! and the other way round.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use serde_json::Value;
use sframe::CipherSuite;
use sframe::frame::{EncryptedFrame, MediaFrame, MonotonicCounter};
use sframe::key::{DecryptionKey, EncryptionKey};
use twinveil::veil::crypto::hash::hkdf_sha256;
use twinveil::veil::crypto::seal::{AeadKey, Suite, nonce};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::transform::fragment::{merge, split};
use twinveil::veil::transform::group::{OpenError, parse_header, push_header};

use super::sealed::{self, Sealing};
use super::{hex, hex_array, list, published};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number, not {value}"))
}

fn header(kid: u64, ctr: u64) -> Vec<u8> {
    let mut out = Vec::new();
    push_header(&mut out, kid, ctr);
    out
}

/// The vector of a suite.
fn vector(suite: u16) -> Option<Value> {
    let file = published("sframe/rfc9605-test-vectors.json")?;
    let found = list(&file["sframe"]).iter().find(|vector| vector["cipher_suite"] == suite);
    Some(found.unwrap_or_else(|| panic!("no vector of suite {suite}")).clone())
}

#[test]
fn headers_of_rfc_9605() {
    let Some(file) = published("sframe/rfc9605-test-vectors.json") else { return };
    let vectors = list(&file["header"]);
    for vector in vectors {
        let (kid, ctr, encoded) = (number(&vector["kid"]), number(&vector["ctr"]), hex(&vector["encoded"]));
        assert_eq!(header(kid, ctr), encoded, "{vector}");
        assert_eq!(parse_header(&[&encoded[..], b"rest"].concat()), Some((kid, ctr, encoded.len())), "{vector}");
        for cut in 0..encoded.len() {
            assert_eq!(parse_header(&encoded[..cut]), None, "{vector}");
        }
    }
    assert_eq!(vectors.len(), 289);
}

#[test]
fn suite_5_of_rfc_9605_from_base_key_to_ciphertext() {
    let Some(vector) = vector(5) else { return };
    let (kid, ctr) = (number(&vector["kid"]), number(&vector["ctr"]));
    let suite = Suite::parse(5).unwrap();
    let (key, salt) = suite.key_and_salt(&hex(&vector["base_key"]), kid);
    assert_eq!((key.expose().to_vec(), salt.expose().to_vec()), (hex(&vector["sframe_key"]), hex(&vector["sframe_salt"])));
    assert_eq!(nonce(&salt, ctr).to_vec(), hex(&vector["nonce"]));
    let aad = [header(kid, ctr), hex(&vector["metadata"])].concat();
    assert_eq!(aad, hex(&vector["aad"]));
    for aead in [AeadKey::new(suite, &key).unwrap(), AeadKey::portable(suite, &key)] {
        let mut data = hex(&vector["pt"]);
        let tag = aead.seal(&nonce(&salt, ctr), &aad, &mut data).unwrap();
        assert_eq!([header(kid, ctr), data, tag.to_vec()].concat(), hex(&vector["ct"]));
    }
}

/// Suite 4 (`AES_128_GCM_SHA256_128`) is not one of ours: it cannot be configured or announced. Its vector still judges what ours
/// share with it: the HKDF-SHA256 schedule of suite 0xF001, the nonce and the additional data; the cipher is the crate's.
#[test]
fn suite_4_of_rfc_9605_agrees_with_the_parts_that_suites_share() {
    assert_eq!(Suite::parse(4), None);
    let Some(vector) = vector(4) else { return };
    let (kid, ctr, base_key) = (number(&vector["kid"]), number(&vector["ctr"]), hex(&vector["base_key"]));
    let key = hkdf_sha256::<16>(b"", &base_key, &[&hex(&vector["sframe_key_label"])]);
    let salt = hkdf_sha256::<12>(b"", &base_key, &[&hex(&vector["sframe_salt_label"])]);
    assert_eq!((key.expose().to_vec(), salt.expose().to_vec()), (hex(&vector["sframe_key"]), hex(&vector["sframe_salt"])));
    assert_eq!(nonce(&salt, ctr).to_vec(), hex(&vector["nonce"]));
    let aad = [header(kid, ctr), hex(&vector["metadata"])].concat();
    assert_eq!(aad, hex(&vector["aad"]));
    let cipher = aes_gcm::Aes128Gcm::new(key.expose().into());
    let sealed = cipher.encrypt(&nonce(&salt, ctr).into(), Payload { msg: &hex(&vector["pt"]), aad: &aad }).unwrap();
    assert_eq!([header(kid, ctr), sealed].concat(), hex(&vector["ct"]));
}

/// The SFrame metadata of a group: the label, then the clear bytes.
fn metadata(clear: &[u8]) -> Vec<u8> {
    [b"twinveil/frame/v1\0", clear].concat()
}

#[test]
fn another_implementation_opens_our_groups() {
    let mut sealing = Sealing::of(sealed::SIMPLE, Suite::Aes256Gcm);
    let (kid, base_key) = (sealing.epochs[0].0.kid(), sealing.base_key(0, sealed::RECIPIENT));
    let theirs = DecryptionKey::derive_from(CipherSuite::AesGcm256Sha512, kid, base_key.expose()).unwrap();
    for ctr in 0..300u64 {
        let sent = sealing.send(sealed::FRAME);
        let (clear, groups) = split(&sent, 18_000, 18_001).unwrap();
        let group = EncryptedFrame::try_with_meta_data(groups[0], metadata(&clear)).unwrap();
        assert_eq!((group.header().key_id(), group.header().counter()), (kid, ctr));
        let opened = group.decrypt(&theirs).unwrap();
        let fragments = sealed::fragments(opened.payload());
        assert_eq!(merge(&clear, &fragments).unwrap(), sealed::OPENED, "group {ctr}");
        let moved = EncryptedFrame::try_with_meta_data(groups[0], metadata(b"other")).unwrap();
        assert!(moved.decrypt(&theirs).is_err(), "bound to its frame");
    }
}

#[test]
fn we_open_groups_of_another_implementation() {
    let sealing = Sealing::of(sealed::SIMPLE, Suite::Aes256Gcm);
    let (kid, base_key) = (sealing.epochs[0].0.kid(), sealing.base_key(0, sealed::RECIPIENT));
    let theirs = EncryptionKey::derive_from(CipherSuite::AesGcm256Sha512, kid, base_key.expose()).unwrap();
    let mut ours = sealing.opener(0, sealed::RECIPIENT).unwrap();
    // One fragment without levels: field 2, "ill".
    let mut plain = vec![1, 5, 0x12, 3, b'i', b'l', b'l'];
    plain.resize(32, 0);
    let clear = [0x0a, 1, b'p'];
    let mut counter = MonotonicCounter::default();
    for _ in 0..300 {
        let group = MediaFrame::try_with_meta_data(&mut counter, &plain, metadata(&clear)).unwrap().encrypt(&theirs).unwrap();
        let group = group.sframe_cipher_text();
        assert_eq!(ours.open(group, b"other"), Err(OpenError::Forged));
        let fragments = ours.open(group, &clear).unwrap();
        assert_eq!(merge(&clear, &fragments).unwrap(), [&clear[..], &plain[2..7]].concat());
        assert_eq!(ours.open(group, &clear), Err(OpenError::Replayed));
    }
    // Keys for another id are other keys.
    let other = EncryptionKey::derive_from(
        CipherSuite::AesGcm256Sha512,
        kid + 1,
        Secret::take(&mut hex_array::<32>(&"00".repeat(32).into())).expose(),
    )
    .unwrap();
    let foreign = MediaFrame::try_with_meta_data(&mut counter, &plain, metadata(&clear)).unwrap().encrypt(&other).unwrap();
    assert_eq!(ours.open(foreign.sframe_cipher_text(), &clear), Err(OpenError::OtherKey));
}
