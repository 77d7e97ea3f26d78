//! AEAD for sealed groups. Two backends behind one joint: aws-lc-rs where it is built in (assembly), the RustCrypto
//! crates everywhere; each is the other's oracle.

use super::hash::{hkdf_sha256, hkdf_sha512};
use super::secret::Secret;

/// The length of an authentication tag.
pub const TAG_BYTES: usize = 16;
/// The length of a nonce.
pub const NONCE_BYTES: usize = 12;
const KEY_BYTES: usize = 32;

/// A cipher suite, by its number in the SFrame registry (RFC 9605 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// `AES_256_GCM_SHA512_128`, registered as 0x0005.
    Aes256Gcm,
    /// ChaCha20-Poly1305 with SHA-256, 0xF001 from the private-use range.
    ChaCha20Poly1305,
}

impl Suite {
    /// The number.
    pub const fn number(self) -> u16 {
        match self {
            Self::Aes256Gcm => 0x0005,
            Self::ChaCha20Poly1305 => 0xF001,
        }
    }

    /// Reads the number; an unknown suite is `None`.
    pub const fn parse(number: u32) -> Option<Self> {
        match number {
            0x0005 => Some(Self::Aes256Gcm),
            0xF001 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// Key and salt of RFC 9605 §4.4.2 for a base key and key id.
    pub fn key_and_salt(self, base_key: &[u8], kid: u64) -> (Secret<KEY_BYTES>, Secret<NONCE_BYTES>) {
        let tail = [&kid.to_be_bytes()[..], &self.number().to_be_bytes()].concat();
        let key_info: [&[u8]; 2] = [b"SFrame 1.0 Secret key ", &tail];
        let salt_info: [&[u8]; 2] = [b"SFrame 1.0 Secret salt ", &tail];
        match self {
            Self::Aes256Gcm => (hkdf_sha512(b"", base_key, &key_info), hkdf_sha512(b"", base_key, &salt_info)),
            Self::ChaCha20Poly1305 => (hkdf_sha256(b"", base_key, &key_info), hkdf_sha256(b"", base_key, &salt_info)),
        }
    }
}

/// The nonce of RFC 9605 §4.4.3: the salt XOR the counter.
pub fn nonce(salt: &Secret<NONCE_BYTES>, ctr: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = *salt.expose();
    for (byte, count) in nonce[4..].iter_mut().zip(ctr.to_be_bytes()) {
        *byte ^= count;
    }
    nonce
}

/// A key that seals and opens, its schedule prepared.
pub struct AeadKey(Backend);

/// The tag did not match, or the input is longer than the cipher takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AeadError;

impl AeadKey {
    /// Prepares a key with the fastest backend that is built in.
    pub fn new(suite: Suite, key: &Secret<KEY_BYTES>) -> Result<Self, AeadError> {
        #[cfg(feature = "fast-aead")]
        return fast::Key::new(suite, key).map(|key| Self(Backend::Fast(key)));
        #[cfg(not(feature = "fast-aead"))]
        return Ok(Self::portable(suite, key));
    }

    /// Prepares a key with the portable backend.
    pub fn portable(suite: Suite, key: &Secret<KEY_BYTES>) -> Self {
        Self(Backend::Portable(portable::Key::new(suite, key)))
    }

    /// Encrypts `data` in place and returns the tag. A nonce is used once.
    pub fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_BYTES], AeadError> {
        match &self.0 {
            #[cfg(feature = "fast-aead")]
            Backend::Fast(key) => key.seal(nonce, aad, data),
            Backend::Portable(key) => key.seal(nonce, aad, data),
        }
    }

    /// Checks and decrypts `data` (ciphertext, then tag); the plaintext is the front of it.
    pub fn open<'d>(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], data: &'d mut [u8]) -> Result<&'d mut [u8], AeadError> {
        match &self.0 {
            #[cfg(feature = "fast-aead")]
            Backend::Fast(key) => key.open(nonce, aad, data),
            Backend::Portable(key) => key.open(nonce, aad, data),
        }
    }
}

impl std::fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AeadKey")
    }
}

enum Backend {
    #[cfg(feature = "fast-aead")]
    Fast(fast::Key),
    Portable(portable::Key),
}

#[cfg(feature = "fast-aead")]
mod fast {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

    use super::{AeadError, KEY_BYTES, NONCE_BYTES, Secret, Suite, TAG_BYTES};

    pub(super) struct Key(LessSafeKey);

    impl Key {
        pub(super) fn new(suite: Suite, key: &Secret<KEY_BYTES>) -> Result<Self, AeadError> {
            let algorithm = match suite {
                Suite::Aes256Gcm => &AES_256_GCM,
                Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            };
            UnboundKey::new(algorithm, key.expose()).map(|key| Self(LessSafeKey::new(key))).map_err(|_| AeadError)
        }

        pub(super) fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_BYTES], AeadError> {
            let tag =
                self.0.seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), data).map_err(|_| AeadError)?;
            tag.as_ref().try_into().map_err(|_| AeadError)
        }

        pub(super) fn open<'d>(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], data: &'d mut [u8]) -> Result<&'d mut [u8], AeadError> {
            self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), data).map_err(|_| AeadError)
        }
    }
}

mod portable {
    use aes_gcm::Aes256Gcm;
    use chacha20poly1305::ChaCha20Poly1305;
    use chacha20poly1305::aead::{AeadInOut, KeyInit};

    use super::{AeadError, KEY_BYTES, NONCE_BYTES, Secret, Suite, TAG_BYTES};

    pub(super) enum Key {
        Aes(Box<Aes256Gcm>),
        ChaCha(Box<ChaCha20Poly1305>),
    }

    impl Key {
        pub(super) fn new(suite: Suite, key: &Secret<KEY_BYTES>) -> Self {
            match suite {
                Suite::Aes256Gcm => Self::Aes(Box::new(Aes256Gcm::new(key.expose().into()))),
                Suite::ChaCha20Poly1305 => Self::ChaCha(Box::new(ChaCha20Poly1305::new(key.expose().into()))),
            }
        }

        pub(super) fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_BYTES], AeadError> {
            match self {
                Self::Aes(key) => key.encrypt_inout_detached(nonce.into(), aad, data.into()).map(Into::into),
                Self::ChaCha(key) => key.encrypt_inout_detached(nonce.into(), aad, data.into()).map(Into::into),
            }
            .map_err(|_| AeadError)
        }

        pub(super) fn open<'d>(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], data: &'d mut [u8]) -> Result<&'d mut [u8], AeadError> {
            let at = data.len().checked_sub(TAG_BYTES).ok_or(AeadError)?;
            let (data, tag) = data.split_at_mut(at);
            let tag: [u8; TAG_BYTES] = (&*tag).try_into().map_err(|_| AeadError)?;
            match self {
                Self::Aes(key) => key.decrypt_inout_detached(nonce.into(), aad, (&mut *data).into(), (&tag).into()),
                Self::ChaCha(key) => key.decrypt_inout_detached(nonce.into(), aad, (&mut *data).into(), (&tag).into()),
            }
            .map_err(|_| AeadError)?;
            Ok(data)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    #[test]
    fn chacha20_poly1305_of_rfc_8439_2_8_2() {
        let key = HEXLOWER.decode(b"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f").expect("hex");
        let key = Secret::take(&mut key.try_into().expect("32 bytes"));
        let nonce = HEXLOWER.decode(b"070000004041424344454647").expect("hex").try_into().expect("12 bytes");
        let aad = HEXLOWER.decode(b"50515253c0c1c2c3c4c5c6c7").expect("hex");
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        for aead in [AeadKey::new(Suite::ChaCha20Poly1305, &key).expect("key"), AeadKey::portable(Suite::ChaCha20Poly1305, &key)] {
            let mut data = plain.to_vec();
            let tag = aead.seal(&nonce, &aad, &mut data).expect("seal");
            assert_eq!(HEXLOWER.encode(&tag), "1ae10b594f09e26a7e902ecbd0600691");
            assert!(HEXLOWER.encode(&data).starts_with("d31a8d34648e60db7b86afbc53ef7ec2"));
        }
    }

    proptest! {
        #[test]
        fn each_backend_opens_what_the_other_sealed(key in any::<[u8; 32]>(), nonce in any::<[u8; 12]>(), aad in proptest::collection::vec(any::<u8>(), 0..80), plain in proptest::collection::vec(any::<u8>(), 0..300), flip in any::<prop::sample::Index>()) {
            let key = Secret::take(&mut { key });
            for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
                let (one, other) = (AeadKey::new(suite, &key).expect("key"), AeadKey::portable(suite, &key));
                for (sealer, opener) in [(&one, &other), (&other, &one)] {
                    let mut data = plain.clone();
                    let tag = sealer.seal(&nonce, &aad, &mut data).expect("seal");
                    data.extend_from_slice(&tag);
                    let mut bent = data.clone();
                    let at = flip.index(bent.len());
                    bent[at] ^= 1;
                    prop_assert!(opener.open(&nonce, &aad, &mut bent).is_err());
                    prop_assert_eq!(&*opener.open(&nonce, &aad, &mut data).expect("open"), &plain[..]);
                }
            }
        }
    }
}
