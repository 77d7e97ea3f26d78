//! C2SP `signed-note`: a text and the keys that signed it, Ed25519 alone. A text is not looked at before a signature by a known key
//! has been verified.

use std::fmt;

use data_encoding::HEXLOWER;

use super::Doubt;
use crate::veil::base64;
use crate::veil::crypto::hash::sha256;
use crate::veil::crypto::sign::{self, SignKey};
use crate::veil::name::Did;

/// The longest note. Sixteen post-quantum signatures, which others may add, have room.
pub const NOTE_BYTES_MAX: usize = 256 << 10;
/// The most signatures of a note.
pub const SIGNATURES_MAX: usize = 64;
/// The longest name of a key.
pub const NAME_BYTES_MAX: usize = 255;
/// "Ed25519 signatures as specified by this document".
const ED25519: u8 = 0x01;
const MALFORMED: Doubt = Doubt::Malformed("a signed note");

/// Who signs: a name and a key. Written `name+hash+key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: Did,
}

impl VerifierKey {
    /// Refuses a name that no key can have: empty, too long, with spaces or a plus.
    pub fn new(name: &str, key: Did) -> Result<Self, Doubt> {
        if is_name(name) { Ok(Self { name: name.into(), key }) } else { Err(Doubt::Malformed("the name of a log's key")) }
    }

    /// Its name; for a log's key, the origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub fn key(&self) -> Did {
        self.key
    }

    /// `SHA-256(name || 0x0A || 0x01 || public key)[:4]`.
    pub fn id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = sha256(&[self.name.as_bytes(), b"\n", &[ED25519], &self.key.0]);
        [a, b, c, d]
    }

    /// Reads `name+hash+key`.
    pub fn parse(text: &str) -> Result<Self, Doubt> {
        let malformed = || Doubt::Malformed("a verifier key (`name+hash+key`, Ed25519)");
        let (name, rest) = text.split_once('+').ok_or_else(malformed)?;
        // The base64 may have a plus of its own.
        let (hash, encoded) = rest.split_once('+').filter(|(_, encoded)| encoded.len() == 44).ok_or_else(malformed)?;
        let bytes = base64::decode(encoded).ok_or_else(malformed)?;
        let key = bytes.strip_prefix(&[ED25519]).and_then(|key| key.try_into().ok()).map(Did).ok_or_else(malformed)?;
        let parsed = Self::new(name, key).map_err(|_| malformed())?;
        if HEXLOWER.encode(&parsed.id()) == hash { Ok(parsed) } else { Err(malformed()) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = base64::encode(&[&[ED25519][..], &self.key.0].concat());
        write!(f, "{}+{}+{encoded}", self.name, HEXLOWER.encode(&self.id()))
    }
}

/// "Key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus (U+002B) characters."
fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// One line below the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// A note as read; nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs a text. Refused where it can't be the text of a note: no newline at its end, or control characters in it.
    pub fn sign(text: &str, signer: &VerifierKey, key: &SignKey) -> Result<Self, Doubt> {
        if !is_text(text) || key.did() != signer.key {
            return Err(MALFORMED);
        }
        let signature = NoteSignature { name: signer.name.clone(), id: signer.id(), bytes: key.sign(text.as_bytes()).to_vec() };
        Ok(Self { text: text.into(), signatures: vec![signature] })
    }

    /// Adds the signature of another note over the same text, such as a witness's.
    pub fn join(&mut self, other: &Self) -> Result<(), Doubt> {
        let new = other.signatures.iter().filter(|one| !self.signatures.contains(one));
        let joined: Vec<_> = self.signatures.iter().chain(new).cloned().collect();
        if other.text != self.text || joined.len() > SIGNATURES_MAX {
            return Err(MALFORMED);
        }
        self.signatures = joined;
        Ok(())
    }

    /// Reads a note and nothing more.
    pub fn parse(bytes: &[u8]) -> Result<Self, Doubt> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(MALFORMED);
        }
        let all = std::str::from_utf8(bytes).ok().filter(|all| is_text(all)).ok_or(MALFORMED)?;
        // "the text is separated from the signatures by the last empty line in the note"
        let (text, lines) = all.rfind("\n\n").and_then(|at| Some((all.get(..=at)?, all.get(at + 2..)?))).ok_or(MALFORMED)?;
        let lines: Vec<_> = lines.split_terminator('\n').collect();
        if lines.is_empty() || lines.len() > SIGNATURES_MAX {
            return Err(MALFORMED);
        }
        let signatures = lines.into_iter().map(|line| NoteSignature::parse(line).ok_or(MALFORMED)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), signatures })
    }

    /// The text, where one of `keys` signed it; which one, is the first of them. Every signature in the name of one of `keys` must
    /// verify; those of others are not looked at.
    pub fn open<'k>(&self, keys: &'k [VerifierKey]) -> Result<(&str, &'k VerifierKey), Doubt> {
        let mut first = None;
        for signature in &self.signatures {
            let Some(key) = keys.iter().find(|key| key.name == signature.name && key.id() == signature.id) else { continue };
            if !sign::verify(&key.key, self.text.as_bytes(), &signature.bytes) {
                return Err(Doubt::BadSignature);
            }
            first.get_or_insert(key);
        }
        Ok((&self.text, first.ok_or(Doubt::UnknownKey)?))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, id, bytes } in &self.signatures {
            writeln!(f, "— {name} {}", base64::encode(&[&id[..], bytes].concat()))?;
        }
        Ok(())
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
        let decoded = base64::decode(encoded)?;
        let (id, bytes) = decoded.split_first_chunk::<4>().filter(|(_, bytes)| !bytes.is_empty())?;
        is_name(name).then(|| Self { name: name.into(), id: *id, bytes: bytes.into() })
    }
}

/// "MUST NOT contain any ASCII control characters (those below U+0020) other than newline".
fn is_text(text: &str) -> bool {
    text.ends_with('\n') && !text.bytes().any(|b| b < 0x20 && b != b'\n')
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
