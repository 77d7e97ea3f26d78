//! What rests under the gateway's key file: each subject's pseudonym key and what its records come to, bound to the subject; and the
//! sum over all rows, which tells whether the store is what this gateway wrote.

use super::sum::Sum;
use crate::veil::crypto::CryptoRng;
use crate::veil::crypto::hash::{HmacKey, hkdf_sha256, lp, sha256};
use crate::veil::crypto::seal::{AeadKey, NONCE_BYTES, Suite, TAG_BYTES};
use crate::veil::crypto::secret::{Secret, Zeroizing};
use crate::veil::name::Did;

const KEY_LABEL: &[u8] = b"twinveil/rest/v2\0";
const ROWS_LABEL: &[u8] = b"twinveil/rest/rows/v2\0";
const SUBJECT_LABEL: &[u8] = b"twinveil/rest/subject/v2\0";
const WRAP_LABEL: &[u8] = b"twinveil/rest/wrap/v2\0";
const DESK_LABEL: &[u8] = b"twinveil/rest/desk/v2\0";
const SUM_LABEL: &[u8] = b"twinveil/rest/sum/v2\0";
const FACT_LABEL: &[u8] = b"twinveil/rest/fact/v2\0";
/// A subject's row: whether it is enrolled, then nonce, ciphertext and tag.
pub const SUBJECT_BYTES: usize = 1 + NONCE_BYTES + PLAIN_BYTES + TAG_BYTES;
const PLAIN_BYTES: usize = 32 + 8 + 32;
const ENROLLED: u8 = 1;
const STRANGER: u8 = 0;

/// Seals and opens what rests.
#[derive(Debug)]
pub struct RestKey {
    seal: AeadKey,
    rows: HmacKey,
}

/// What rests of a subject beside its records.
#[derive(Clone, Debug)]
pub struct AtRest {
    /// The key that its pseudonyms are made with.
    pub key: Secret<32>,
    /// Whether some source's value means it.
    pub enrolled: bool,
    /// How many records it has, and what they come to.
    pub kept: Kept,
}

/// How many facts there are of a subject, and what their hash chain comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many.
    pub facts: u64,
    /// `SHA-256(label | the head before | the fact)`; zeros before the first.
    pub head: [u8; 32],
}

impl Kept {
    /// With one more fact.
    pub fn and(&self, fact: &[u8]) -> Self {
        Self { facts: self.facts.saturating_add(1), head: sha256(&[FACT_LABEL, &self.head, fact]) }
    }
}

impl RestKey {
    /// From the secret in the gateway's key file.
    pub fn new(secret: &Secret<32>) -> Self {
        let seal = AeadKey::portable(Suite::ChaCha20Poly1305, &hkdf_sha256(b"", secret.expose(), &[KEY_LABEL]));
        Self { seal, rows: HmacKey::new(&hkdf_sha256(b"", secret.expose(), &[ROWS_LABEL])) }
    }

    /// A subject's row.
    pub fn seal_subject(&self, did: &Did, subject: &AtRest, entropy: &mut impl CryptoRng) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(PLAIN_BYTES));
        plain.extend_from_slice(subject.key.expose());
        plain.extend_from_slice(&subject.kept.facts.to_be_bytes());
        plain.extend_from_slice(&subject.kept.head);
        let flag = if subject.enrolled { ENROLLED } else { STRANGER };
        let mut row = vec![flag];
        row.extend(self.seal(&[SUBJECT_LABEL, &did.0, &[flag]].concat(), &mut plain, entropy));
        row
    }

    /// Opens a subject's row; `None` under another key, for another subject, or damaged.
    pub fn open_subject(&self, did: &Did, row: &[u8]) -> Option<AtRest> {
        let (flag, sealed) = row.split_first()?;
        let plain = self.open(&[SUBJECT_LABEL, &did.0, &[*flag]].concat(), sealed)?;
        let (key, rest) = plain.split_first_chunk::<32>()?;
        let (facts, head) = rest.split_first_chunk::<8>()?;
        let kept = Kept { facts: u64::from_be_bytes(*facts), head: head.try_into().ok()? };
        Some(AtRest { key: Secret::take(&mut { *key }), enrolled: *flag == ENROLLED, kept })
    }

    /// Something of a subject that tells who received its frames, and when.
    pub fn seal_wrap(&self, did: &Did, wrap: &mut [u8], entropy: &mut impl CryptoRng) -> Vec<u8> {
        self.seal(&[WRAP_LABEL, &did.0].concat(), wrap, entropy)
    }

    /// Opens it; `None` under another key, for another subject, or damaged.
    pub fn open_wrap(&self, did: &Did, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.open(&[WRAP_LABEL, &did.0].concat(), sealed)
    }

    /// Something about a legal demand.
    pub fn seal_desk(&self, row: &mut [u8], entropy: &mut impl CryptoRng) -> Vec<u8> {
        self.seal(DESK_LABEL, row, entropy)
    }

    /// Opens it; `None` under another key, or damaged.
    pub fn open_desk(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.open(DESK_LABEL, sealed)
    }

    /// Whether a subject's row says that no source's value means it.
    pub(super) fn is_stranger(row: &[u8]) -> bool {
        row.first() != Some(&ENROLLED)
    }

    pub(super) fn seal_sum(&self, sum: &Sum, entropy: &mut impl CryptoRng) -> Vec<u8> {
        self.seal(SUM_LABEL, &mut sum.bytes(), entropy)
    }

    pub(super) fn open_sum(&self, sealed: &[u8]) -> Option<Sum> {
        let plain = self.open(SUM_LABEL, sealed)?;
        Some(Sum::from_bytes(plain[..].try_into().ok()?))
    }

    /// The keyed hash of a row.
    pub(super) fn row(&self, table: &str, key: &[u8], value: &[u8]) -> Sum {
        let (table, of_table, of_key) = (table.as_bytes(), lp(table.as_bytes()), lp(key));
        Sum::from_bytes(self.rows.mac(&[&of_table, table, &of_key, key, value]))
    }

    /// `nonce | ciphertext | tag`.
    fn seal(&self, aad: &[u8], plain: &mut [u8], entropy: &mut impl CryptoRng) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_BYTES];
        entropy.fill_bytes(&mut nonce);
        let tag = self.seal.seal(&nonce, aad, plain).expect("a row is within the limit of the cipher");
        [&nonce[..], plain, &tag].concat()
    }

    fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, data) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let mut data = Zeroizing::new(data.to_vec());
        let plain = self.seal.open(nonce, aad, &mut data).ok()?.len();
        data.truncate(plain);
        Some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::entropy;

    #[test]
    fn a_subject_opens_under_its_key_and_for_itself_only() {
        let key = |byte| RestKey::new(&Secret::take(&mut [byte; 32]));
        let kept = Kept::default().and(b"one").and(b"two");
        let subject = AtRest { key: Secret::take(&mut [7; 32]), enrolled: true, kept };
        let (did, other) = (Did([1; 32]), Did([2; 32]));
        let row = key(1).seal_subject(&did, &subject, &mut entropy());
        assert!(row.len() == SUBJECT_BYTES && !RestKey::is_stranger(&row));
        let opened = key(1).open_subject(&did, &row).expect("own");
        assert_eq!((opened.key.expose(), opened.enrolled, opened.kept), (subject.key.expose(), true, kept));
        assert!(key(2).open_subject(&did, &row).is_none());
        assert!(key(1).open_subject(&other, &row).is_none());
        for at in 0..row.len() {
            let mut damaged = row.clone();
            damaged[at] ^= 1;
            assert!(key(1).open_subject(&did, &damaged).is_none());
            assert!(key(1).open_subject(&did, &row[..at]).is_none());
        }
    }

    #[test]
    fn what_records_come_to_depends_on_each_and_on_their_order() {
        let none = Kept::default();
        assert_ne!(none.and(b"one").and(b"two"), none.and(b"two").and(b"one"));
        assert_ne!(none.and(b"one"), none.and(b"one").and(b""));
        assert_eq!(none.and(b"one").and(b"two").facts, 2);
    }

    #[test]
    fn a_sum_opens_under_its_key_only_and_rows_do_not_run_together() {
        let key = |byte| RestKey::new(&Secret::take(&mut [byte; 32]));
        let sum = key(1).row("facts", b"a", b"bc");
        let sealed = key(1).seal_sum(&sum, &mut entropy());
        assert_eq!(key(1).open_sum(&sealed), Some(sum));
        assert_eq!(key(2).open_sum(&sealed), None);
        assert_ne!(sum, key(1).row("facts", b"ab", b"c"));
        assert_ne!(sum, key(1).row("factsa", b"", b"bc"));
        assert_ne!(sum, key(2).row("facts", b"a", b"bc"));
    }
}
