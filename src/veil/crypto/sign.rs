//! Ed25519 (RFC 8032), verified strictly: small-order keys and non-canonical encodings are refused.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::CryptoRng;
use super::secret::Secret;
use crate::veil::name::Did;

/// A signing key; its public half is a [`Did`].
pub struct SignKey(SigningKey);

impl SignKey {
    /// From the 32-byte seed of RFC 8032 §5.1.5.
    pub fn from_seed(seed: &Secret<32>) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// A fresh key, and its seed to keep.
    pub fn random(entropy: &mut impl CryptoRng) -> (Self, Secret<32>) {
        let seed = Secret::random(entropy);
        (Self::from_seed(&seed), seed)
    }

    /// The public half.
    pub fn did(&self) -> Did {
        Did(self.0.verifying_key().to_bytes())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignKey({})", self.did())
    }
}

/// Whether the holder of `did` signed the message. Weak keys and malleable signatures never verify.
pub fn verify(did: &Did, message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(&did.0), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn test_2_of_rfc_8032_signs_and_verifies() {
        let seed = HEXLOWER.decode(b"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").expect("hex");
        let key = SignKey::from_seed(&Secret::take(&mut seed.try_into().expect("32 bytes")));
        assert_eq!(HEXLOWER.encode(&key.did().0), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = key.sign(&[0x72]);
        assert!(HEXLOWER.encode(&signature).starts_with("92a009a9f0d4cab8720e820b5f642540"));
        assert!(verify(&key.did(), &[0x72], &signature));
        assert!(!verify(&key.did(), &[0x73], &signature));
    }

    #[test]
    fn a_small_order_key_verifies_nothing() {
        // The neutral element signs every message with R = identity, S = 0 under a lax verifier.
        let mut point = [0u8; 32];
        point[0] = 1;
        let mut signature = [0u8; 64];
        signature[0] = 1;
        assert!(!verify(&Did(point), b"anything", &signature));
    }
}
