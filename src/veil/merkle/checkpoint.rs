//! C2SP `tlog-checkpoint`: what a log says about all of itself, in three lines of a signed note.

use super::Doubt;
use super::note::{Note, VerifierKey};
use super::tree::Hash;
use crate::veil::crypto::sign::SignKey;

const MALFORMED: Doubt = Doubt::Malformed("a checkpoint");

/// The size and root of a log's tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many entries the log has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// A head as a log signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// What it says.
    pub head: Head,
    /// Lines behind it, opaque; ours have none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// Signs a head; the name of the key is the origin.
    pub fn sign(head: &Head, signer: &VerifierKey, key: &SignKey) -> Result<Note, Doubt> {
        let checkpoint = Self { origin: signer.name().into(), head: *head, extensions: Vec::new() };
        Note::sign(&checkpoint.text(), signer, key)
    }

    /// Reads a checkpoint that `log` signed, in its own name.
    pub fn open(bytes: &[u8], log: &VerifierKey) -> Result<Self, Doubt> {
        let note = Note::parse(bytes)?;
        let (text, _) = note.open(std::slice::from_ref(log))?;
        let checkpoint = Self::parse(text)?;
        if checkpoint.origin == log.name() { Ok(checkpoint) } else { Err(Doubt::OtherLog) }
    }

    /// Reads the text of a note: origin, size, root, and extension lines, none of them empty.
    pub fn parse(text: &str) -> Result<Self, Doubt> {
        let lines: Vec<_> = text.strip_suffix('\n').ok_or(MALFORMED)?.split('\n').collect();
        let [origin, size, root, extensions @ ..] = lines.as_slice() else { return Err(MALFORMED) };
        if origin.is_empty() || extensions.iter().any(|line| line.is_empty()) {
            return Err(MALFORMED);
        }
        let head = Head { size: super::decimal(size).ok_or(MALFORMED)?, root: Hash::parse(root).ok_or(MALFORMED)? };
        if head.size == 0 && head.root != Hash::empty() {
            return Err(MALFORMED);
        }
        Ok(Self { origin: (*origin).into(), head, extensions: extensions.iter().map(|line| (*line).to_owned()).collect() })
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.head.size, self.head.root);
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::crypto::secret::Secret;

    fn key() -> (SignKey, VerifierKey) {
        let key = SignKey::from_seed(&Secret::take(&mut [5; 32]));
        let verifier = VerifierKey::new("log.example/twins", key.did()).expect("a name");
        (key, verifier)
    }

    const HEAD: Head = Head { size: 20_852_163, root: Hash([7; 32]) };

    #[test]
    fn a_checkpoint_is_read_back_by_its_key_alone() {
        let (key, log) = key();
        let signed = Checkpoint::sign(&HEAD, &log, &key).expect("a text").to_string();
        assert!(
            signed.starts_with("log.example/twins\n20852163\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\n— log.example/twins "),
            "{signed}"
        );
        let read = Checkpoint::open(signed.as_bytes(), &log).expect("ours");
        assert_eq!((read.head, read.extensions.len()), (HEAD, 0));
        let other = SignKey::from_seed(&Secret::take(&mut [6; 32]));
        assert_eq!(
            Checkpoint::open(signed.as_bytes(), &VerifierKey::new(log.name(), other.did()).expect("a name")),
            Err(Doubt::UnknownKey)
        );
        let renamed = VerifierKey::new("log.example/other", log.key()).expect("a name");
        assert_eq!(Checkpoint::open(signed.as_bytes(), &renamed), Err(Doubt::UnknownKey));
        // Signed by the key in another log's name.
        let borrowed = Note::sign("log.example/other\n1\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n", &log, &key).expect("a text");
        assert_eq!(Checkpoint::open(borrowed.to_string().as_bytes(), &log), Err(Doubt::OtherLog));
        let words = Note::sign("just words\n", &log, &key).expect("a text");
        assert!(matches!(Checkpoint::open(words.to_string().as_bytes(), &log), Err(Doubt::Malformed(_))));
    }

    #[test]
    fn every_single_bit_of_a_checkpoint_counts() {
        let (key, log) = key();
        let signed = Checkpoint::sign(&HEAD, &log, &key).expect("a text").to_string().into_bytes();
        for at in 0..signed.len() {
            for bit in 0..8 {
                let mut bent = signed.clone();
                bent[at] ^= 1 << bit;
                assert!(Checkpoint::open(&bent, &log).is_err(), "byte {at}, bit {bit}");
            }
            assert!(Checkpoint::open(&signed[..at], &log).is_err(), "the first {at} bytes");
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let root = HEAD.root.to_string();
        let good = format!("log\n7\n{root}\n");
        assert_eq!(Checkpoint::parse(&good).expect("good").text(), good);
        let more = format!("{good}more\n");
        assert_eq!(Checkpoint::parse(&more).expect("an extension").extensions, ["more"]);
        assert_eq!(Checkpoint::parse(&more).expect("an extension").text(), more);
        for bad in [
            String::new(),
            "\n".into(),
            "log\n7\n".into(),
            format!("log\n7\n{root}"),
            format!("\n7\n{root}\n"),
            format!("log\n07\n{root}\n"),
            format!("log\n+7\n{root}\n"),
            format!("log\n-7\n{root}\n"),
            format!("log\n 7\n{root}\n"),
            format!("log\n\n{root}\n"),
            format!("log\n9223372036854775808\n{root}\n"),
            format!("log\n0\n{root}\n"),
            format!("log\n7\n{}\n", &root[1..]),
            format!("log\n7\n{root}=\n"),
            format!("log\n7\n{root}\n\n"),
            format!("log\n7\n{root}\n\nmore\n"),
            format!("log\n7\n\n{root}\n"),
        ] {
            assert_eq!(Checkpoint::parse(&bad), Err(Doubt::Malformed("a checkpoint")), "{bad:?}");
        }
        assert!(Checkpoint::parse(&format!("log\n0\n{}\n", Hash::empty())).is_ok());
    }
}
