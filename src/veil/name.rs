//! A newtype for every identity: what is a subject can't be taken for a source.

use std::fmt;
use std::sync::Arc;

use super::logsafe::LogSafe;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// Later than every instant that a record may name.
    pub const NEVER: Self = Self(i64::MAX);
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => f.write_str("never"),
        }
    }
}

impl LogSafe for UnixMs {}

/// Why a text is not the name it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName {
    /// What was expected, such as "did:key with an Ed25519 key".
    pub expected: &'static str,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a {}", self.expected)
    }
}

impl std::error::Error for BadName {}

/// A key that names its holder: an Ed25519 public key, written as did:key (W3C CCG did:key, multicodec 0xed).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did(pub [u8; 32]);

const ED25519_PUB: [u8; 2] = [0xed, 0x01];
const X25519_PUB: [u8; 2] = [0xec, 0x01];

fn multikey(prefix: [u8; 2], key: &[u8; 32]) -> String {
    let mut bytes = [0u8; 34];
    bytes[..2].copy_from_slice(&prefix);
    bytes[2..].copy_from_slice(key);
    format!("z{}", bs58::encode(bytes).into_string())
}

fn parse_multikey(prefix: [u8; 2], text: &str) -> Option<[u8; 32]> {
    let encoded = text.strip_prefix('z')?;
    // 34 bytes are at most 47 base58 characters.
    if encoded.len() > 48 {
        return None;
    }
    let bytes = bs58::decode(encoded).into_vec().ok()?;
    bytes.strip_prefix(&prefix)?.try_into().ok()
}

impl Did {
    /// Reads `did:key:z6Mk…`. A fragment is refused: the key is the whole name.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        text.strip_prefix("did:key:")
            .and_then(|key| parse_multikey(ED25519_PUB, key))
            .map(Self)
            .ok_or(BadName { expected: "did:key with an Ed25519 key" })
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "did:key:{}", multikey(ED25519_PUB, &self.0))
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An X25519 public key that data can be sealed to, written as a Multikey (`z6LS…`, multicodec 0xec).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealKey(pub [u8; 32]);

impl SealKey {
    /// Reads a Multikey, with or without `did:key:` in front.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let key = text.strip_prefix("did:key:").unwrap_or(text);
        parse_multikey(X25519_PUB, key).map(Self).ok_or(BadName { expected: "X25519 Multikey (z6LS…)" })
    }
}

impl fmt::Display for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&multikey(X25519_PUB, &self.0))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A workload, as its certificate names it (SPIFFE-ID §2): `spiffe://trust-domain/path`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spiffe(Arc<str>);

impl Spiffe {
    /// Reads a SPIFFE id by the character rules of SPIFFE-ID §2.1–2.3: at most 2,048 bytes, no empty, `.` or `..` segment.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let bad = BadName { expected: "SPIFFE id (spiffe://trust-domain/path)" };
        let rest = text.strip_prefix("spiffe://").ok_or(bad)?;
        let (domain, path) = rest.split_once('/').ok_or(bad)?;
        let domain_ok = !domain.is_empty()
            && domain.len() <= 255
            && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'));
        let segment_ok = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        if text.len() <= 2048 && domain_ok && path.split('/').all(segment_ok) { Ok(Self(text.into())) } else { Err(bad) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Spiffe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Spiffe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Institutions name workloads; no person is in it.
impl LogSafe for Spiffe {}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl LogSafe for $name {}
    };
}

text_name! {
    /// The full name of a message type that frames have, such as `twinveil.sample.PatientFrame`.
    SchemaName
}
text_name! {
    /// A field's path from the root of the frame, such as `vitals.heart_rate_bpm` or `labels["ward"]`.
    FieldPath
}
text_name! {
    /// The id of a policy of the operator, from its `@id` annotation or its place in the file.
    PolicyId
}
text_name! {
    /// A purpose: a term of the W3C DPV purpose taxonomy, `dpv:` in front. Made by [`super::terms::purpose`] only.
    Purpose
}
text_name! {
    /// A gateway's name in its own log; consents are bound to it.
    Origin
}

macro_rules! byte_name {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Reads lower-case hexadecimal.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                data_encoding::HEXLOWER
                    .decode(text.as_bytes())
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or(BadName { expected: stringify!($name) })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

byte_name! {
    /// SHA-256 of a record's payload.
    RecordId, 32
}
byte_name! {
    /// HMAC of (source, subject value) under the gateway's handle key: all that rests of a source-local identifier.
    Handle, 32
}
byte_name! {
    /// SHA-256 over a schema as the gateway reads it.
    Fingerprint, 32
}
byte_name! {
    /// Names a view in key announcements; random per stream and subject.
    ViewId, 16
}
byte_name! {
    /// Names a stream in its header and in a withdrawal's answer; random.
    StreamId, 16
}

impl LogSafe for RecordId {}
impl LogSafe for Fingerprint {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn did_key_of_the_w3c_ccg_method_reads_back() {
        // did:key method, test vectors, ed25519-x25519, seed 0…0
        let text = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
        let did = Did::parse(text).expect("published vector");
        assert_eq!(did.to_string(), text);
        assert_eq!(data_encoding::HEXLOWER.encode(&did.0), "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29");
    }

    #[test]
    fn did_key_of_another_kind_is_refused() {
        for text in ["did:key:z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F", "did:web:example.org", "did:key:z", "did:key:z6Mk0OIl"] {
            assert!(Did::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spiffe_ids_keep_the_character_rules() {
        assert!(Spiffe::parse("spiffe://hospital.example/gateway/ward-3").is_ok());
        for text in [
            "spiffe://Hospital/x",
            "spiffe://h",
            "spiffe://h/",
            "spiffe://h/a//b",
            "spiffe://h/..",
            "http://h/x",
            "spiffe://h/ä",
            "spiffe://h/x?y",
        ] {
            assert!(Spiffe::parse(text).is_err(), "{text}");
        }
    }
}
