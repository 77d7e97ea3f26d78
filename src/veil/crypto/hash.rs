//! SHA-2, HMAC (RFC 2104) and HKDF (RFC 5869).

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::secret::Secret;

/// SHA-256 over the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC-SHA-256 over the parts, one after the other. The caller makes the parts unambiguous.
pub fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of any length (RFC 2104 §2)"),
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A key of HMAC-SHA-256 for many short messages: what depends on the key alone is computed once.
#[derive(Clone)]
pub struct HmacKey(Hmac<Sha256>);

impl HmacKey {
    /// Prepares a key.
    pub fn new(key: &Secret<32>) -> Self {
        match Hmac::<Sha256>::new_from_slice(key.expose()) {
            Ok(mac) => Self(mac),
            Err(_) => unreachable!("HMAC takes keys of any length (RFC 2104 §2)"),
        }
    }

    /// As [`hmac_sha256`].
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HmacKey")
    }
}

/// HKDF-SHA-256 (extract and expand) to `N` bytes; `N` ≤ 8,160.
pub fn hkdf_sha256<const N: usize>(salt: &[u8], ikm: &[u8], info: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= 255 * 32, "HKDF expands to at most 255 hashes (RFC 5869 §2.3)") };
    Secret::fill(|out| {
        let expanded = Hkdf::<Sha256>::new(Some(salt), ikm).expand_multi_info(info, out);
        debug_assert!(expanded.is_ok(), "N is within 255 × 32 bytes");
    })
}

/// HKDF-SHA-512 (extract and expand) to `N` bytes; `N` ≤ 16,320.
pub fn hkdf_sha512<const N: usize>(salt: &[u8], ikm: &[u8], info: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= 255 * 64, "HKDF expands to at most 255 hashes (RFC 5869 §2.3)") };
    Secret::fill(|out| {
        let expanded = Hkdf::<Sha512>::new(Some(salt), ikm).expand_multi_info(info, out);
        debug_assert!(expanded.is_ok(), "N is within 255 × 64 bytes");
    })
}

/// A part with its length in front (four bytes, big-endian), so that neighbouring parts can't run together.
pub fn lp(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn hmac_of_rfc_4231_case_1() {
        // RFC 4231 §4.2 has a 20-byte key; HMAC pads with zeros (RFC 2104 §2), so 32 bytes with zeros behind are the same key.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            HEXLOWER.encode(&hmac_sha256(&key, &[b"Hi ", b"There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        let prepared = HmacKey::new(&Secret::take(&mut key.clone()));
        assert_eq!(prepared.mac(&[b"Hi", b" There"]), hmac_sha256(&key, &[b"Hi There"]));
        assert_eq!(prepared.mac(&[]), hmac_sha256(&key, &[]), "used again it is as new");
    }

    #[test]
    fn hkdf_of_rfc_5869_case_1() {
        let salt: Vec<u8> = (0x00..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let okm = hkdf_sha256::<42>(&salt, &[0x0b; 22], &[&info]);
        assert_eq!(HEXLOWER.encode(okm.expose()), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    }
}
