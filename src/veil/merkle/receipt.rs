//! C2SP `tlog-proof`: that an entry is in a log, in one text that can be checked offline with the log's key alone.

use std::fmt;

use super::Doubt;
use super::checkpoint::{Checkpoint, Head};
use super::note::{NOTE_BYTES_MAX, Note, VerifierKey};
use super::proof::{HASHES_MAX, includes};
use super::tree::Hash;
use crate::veil::base64;

/// The longest proof in bytes.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + EXTRA_BYTES_MAX * 2 + HASHES_MAX * 45 + 100;
/// The most that a proof carries along.
pub const EXTRA_BYTES_MAX: usize = 64 << 10;
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
const MALFORMED: Doubt = Doubt::Malformed("a proof of a log (`c2sp.org/tlog-proof@v1`)");

/// A proof as read; nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// What is carried along; nobody signed it.
    pub extra: Option<Vec<u8>>,
    /// The entry's number in the log, from 0.
    pub index: u64,
    /// From the entry's sibling to the root.
    pub path: Vec<Hash>,
    /// What the log signed.
    pub checkpoint: Note,
}

impl LogProof {
    /// Reads a proof and nothing more.
    pub fn parse(bytes: &[u8]) -> Result<Self, Doubt> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= PROOF_BYTES_MAX).ok_or(MALFORMED)?;
        let (head, note) = text.split_once("\n\n").ok_or(MALFORMED)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(MALFORMED);
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(encoded) => {
                lines.next();
                let extra = base64::decode(encoded).ok_or(MALFORMED)?;
                Some(extra).filter(|extra| extra.len() <= EXTRA_BYTES_MAX).ok_or(MALFORMED).map(Some)?
            }
            None => None,
        };
        let index = lines.next().and_then(|line| super::decimal(line.strip_prefix("index ")?)).ok_or(MALFORMED)?;
        let path: Vec<_> = lines.take(HASHES_MAX + 1).map(|line| Hash::parse(line).ok_or(MALFORMED)).collect::<Result<_, _>>()?;
        if path.len() > HASHES_MAX {
            return Err(MALFORMED);
        }
        Ok(Self { extra, index, path, checkpoint: Note::parse(note.as_bytes())? })
    }

    /// Whether `log` signed a tree that has the entry at this place; the head that it signed.
    pub fn verify(&self, entry: &[u8], log: &VerifierKey) -> Result<Head, Doubt> {
        let (text, _) = self.checkpoint.open(std::slice::from_ref(log))?;
        let Checkpoint { origin, head, .. } = Checkpoint::parse(text)?;
        if origin != log.name() {
            return Err(Doubt::OtherLog);
        }
        match includes(&Hash::leaf(entry), self.index, head.size, &self.path, &head.root) {
            true => Ok(head),
            false => Err(Doubt::NotIncluded),
        }
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64::encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::naive;
    use super::*;
    use crate::veil::crypto::secret::Secret;
    use crate::veil::crypto::sign::SignKey;

    fn proof(extra: Option<&[u8]>) -> (LogProof, VerifierKey) {
        let key = SignKey::from_seed(&Secret::take(&mut [5; 32]));
        let log = VerifierKey::new("log.example/twins", key.did()).expect("a name");
        let leaves = naive::leaves(11);
        let head = Head { size: 11, root: naive::mth(&leaves) };
        let checkpoint = Checkpoint::sign(&head, &log, &key).expect("a text");
        (LogProof { extra: extra.map(Into::into), index: 6, path: naive::path(6, &leaves), checkpoint }, log)
    }

    #[test]
    fn a_proof_is_read_back_and_holds_for_its_entry_alone() {
        for extra in [None, Some(&b""[..]), Some(b"anything")] {
            let (proof, log) = proof(extra);
            let text = proof.to_string();
            let read = LogProof::parse(text.as_bytes()).expect("just written");
            assert_eq!(read, proof, "{text}");
            assert_eq!(read.verify(&6u64.to_be_bytes(), &log).expect("in the log").size, 11);
            assert_eq!(read.verify(&7u64.to_be_bytes(), &log), Err(Doubt::NotIncluded));
            assert_eq!(LogProof { index: 7, ..read.clone() }.verify(&6u64.to_be_bytes(), &log), Err(Doubt::NotIncluded));
            let other = VerifierKey::new("log.example/other", log.key()).expect("a name");
            assert_eq!(read.verify(&6u64.to_be_bytes(), &other), Err(Doubt::UnknownKey));
        }
    }

    #[test]
    fn a_proof_under_what_is_no_checkpoint_of_the_log_is_refused() {
        let (proof, log) = proof(None);
        let key = SignKey::from_seed(&Secret::take(&mut [5; 32]));
        let under = |text: &str| {
            let checkpoint = Note::sign(text, &log, &key).expect("a text");
            LogProof { checkpoint, ..proof.clone() }.verify(&6u64.to_be_bytes(), &log)
        };
        assert!(matches!(under("just words\n"), Err(Doubt::Malformed(_))));
        // Signed by the key in another log's name.
        assert_eq!(under("log.example/other\n1\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"), Err(Doubt::OtherLog));
    }

    #[test]
    fn every_single_bit_of_a_proof_counts() {
        let (proof, log) = proof(None);
        let text = proof.to_string().into_bytes();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bent = text.clone();
                bent[at] ^= 1 << bit;
                let believed = LogProof::parse(&bent).and_then(|proof| proof.verify(&6u64.to_be_bytes(), &log));
                assert!(believed.is_err(), "byte {at}, bit {bit}");
            }
            assert!(
                LogProof::parse(&text[..at]).and_then(|proof| proof.verify(&6u64.to_be_bytes(), &log)).is_err(),
                "the first {at} bytes"
            );
        }
    }

    #[test]
    fn every_refusal_of_a_proof() {
        let (good, log) = proof(Some(b"x"));
        let text = good.to_string();
        let moved = LogProof::parse(text.replacen("\n\n", "\n\n\n", 1).as_bytes()).expect("a note all the same");
        assert_eq!(moved.verify(&6u64.to_be_bytes(), &log), Err(Doubt::BadSignature));
        let hash = Hash::empty().to_string();
        for bad in [
            String::new(),
            text.replacen("@v1", "@v2", 1),
            text.replacen("extra ", "extra", 1),
            text.replacen("extra eA==", "extra eA=", 1),
            text.replacen("extra eA==", "extra eA==eA==", 1),
            text.replacen("extra eA==", "extra eA==\nextra eA==", 1),
            text.replacen("extra eA==", &format!("extra {}", base64::encode(&vec![0; EXTRA_BYTES_MAX + 1])), 1),
            text.replacen("index 6", "index 06", 1),
            text.replacen("index 6", "index -6", 1),
            text.replacen("index 6", "index 9223372036854775808", 1),
            text.replacen("index 6", "Index 6", 1),
            text.replacen("index 6\n", "", 1),
            text.replacen("index 6", &format!("index 6\n{}", &hash[1..]), 1),
            text.replacen("index 6", &format!("index 6{}", format!("\n{hash}").repeat(HASHES_MAX - 3)), 1),
            text.replacen("\n\n", "\n", 1),
            text.replace('\n', "\r\n"),
        ] {
            assert!(bad != text && matches!(LogProof::parse(bad.as_bytes()), Err(Doubt::Malformed(_))), "{bad:?}");
        }
    }
}
