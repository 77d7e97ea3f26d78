//! Wrapping a seed for a key holder: HPKE (RFC 9180) base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20-Poly1305.

use std::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};

use super::CryptoRng;
use super::secret::Secret;
use crate::veil::name::SealKey;

/// The length of the encapsulated key in front of a wrap.
pub const ENCAPSULATED_BYTES: usize = 32;

/// A private X25519 key; its public half is a [`SealKey`].
pub struct OpenKey {
    private: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: SealKey,
}

impl OpenKey {
    /// From 32 secret bytes (RFC 9180 §7.1.2 `DeserializePrivateKey`).
    pub fn from_seed(seed: &Secret<32>) -> Option<Self> {
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(seed.expose()).ok()?;
        let public = X25519HkdfSha256::sk_to_pk(&private).to_bytes();
        Some(Self { private, public: SealKey(public.into()) })
    }

    /// The public half.
    pub fn seal_key(&self) -> SealKey {
        self.public
    }
}

impl fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenKey({})", self.public)
    }
}

/// `enc ‖ ct` of `HPKE.SealBase(to, info, aad, plain)`. `None` for a public key of low order.
pub fn wrap(to: &SealKey, info: &[u8], aad: &[u8], plain: &[u8], entropy: &mut impl CryptoRng) -> Option<Vec<u8>> {
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.0).ok()?;
    let (enc, ct) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(&OpModeS::Base, &to, info, plain, aad, entropy)
            .ok()?;
    Some([&enc.to_bytes()[..], &ct].concat())
}

/// The plaintext of a wrap; `None` where it is for somebody else or not what `info` and `aad` say.
pub fn unwrap(key: &OpenKey, info: &[u8], aad: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
    let (enc, ct) = wrapped.split_at_checked(ENCAPSULATED_BYTES)?;
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(enc).ok()?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(&OpModeR::Base, &key.private, &enc, info, ct, aad).ok()
}
