//! Subjects' pseudonym keys at rest: sealed under a key that comes from the gateway's key file, bound to the subject.

use crate::veil::crypto::CryptoRng;
use crate::veil::crypto::hash::hkdf_sha256;
use crate::veil::crypto::seal::{AeadKey, NONCE_BYTES, Suite, TAG_BYTES};
use crate::veil::crypto::secret::{Secret, Zeroizing};
use crate::veil::name::Did;

/// The length of a sealed secret: nonce, ciphertext, tag.
pub const SEALED_BYTES: usize = NONCE_BYTES + 32 + TAG_BYTES;
const KEY_LABEL: &[u8] = b"twinveil/rest/v1\0";
const SUBJECT_LABEL: &[u8] = b"twinveil/rest/subject/v1\0";

/// Seals and opens what rests.
#[derive(Debug)]
pub struct RestKey(AeadKey);

impl RestKey {
    /// From the secret in the gateway's key file.
    pub fn new(secret: &Secret<32>) -> Self {
        Self(AeadKey::portable(Suite::ChaCha20Poly1305, &hkdf_sha256(b"", secret.expose(), &[KEY_LABEL])))
    }

    /// Seals the secret of a subject.
    pub fn seal(&self, did: &Did, secret: &Secret<32>, entropy: &mut impl CryptoRng) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_BYTES];
        entropy.fill_bytes(&mut nonce);
        let mut data = Zeroizing::new(*secret.expose());
        let tag = self.0.seal(&nonce, &aad(did), &mut data[..]).expect("32 bytes are within the limit of the cipher");
        [&nonce[..], &data[..], &tag].concat()
    }

    /// Opens the secret of a subject; `None` under another key, for another subject, or damaged.
    pub fn open(&self, did: &Did, sealed: &[u8]) -> Option<Secret<32>> {
        let (nonce, data) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let mut data = Zeroizing::new(data.to_vec());
        let plain = self.0.open(nonce, &aad(did), &mut data).ok()?;
        Some(Secret::take(plain.try_into().ok()?))
    }
}

fn aad(did: &Did) -> Vec<u8> {
    [SUBJECT_LABEL, &did.0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::entropy;

    #[test]
    fn a_secret_opens_under_its_key_and_for_its_subject_only() {
        let key = |byte| RestKey::new(&Secret::take(&mut [byte; 32]));
        let secret = Secret::take(&mut [7; 32]);
        let (did, other) = (Did([1; 32]), Did([2; 32]));
        let sealed = key(1).seal(&did, &secret, &mut entropy());
        assert_eq!(sealed.len(), SEALED_BYTES);
        assert_eq!(key(1).open(&did, &sealed).expect("own").expose(), secret.expose());
        assert!(key(2).open(&did, &sealed).is_none());
        assert!(key(1).open(&other, &sealed).is_none());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(key(1).open(&did, &damaged).is_none());
            assert!(key(1).open(&did, &sealed[..at]).is_none());
        }
    }
}
