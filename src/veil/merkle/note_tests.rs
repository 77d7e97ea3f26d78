use super::*;
use crate::veil::crypto::secret::Secret;
use proptest::prelude::*;

fn signer(seed: u8, name: &str) -> (SignKey, VerifierKey) {
    let key = SignKey::from_seed(&Secret::take(&mut [seed; 32]));
    let verifier = VerifierKey::new(name, key.did()).expect("a name");
    (key, verifier)
}

/// From the documentation of Go's `golang.org/x/mod/sumdb/note`.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_example_of_the_reference_opens() {
    let key = VerifierKey::parse(PETER).expect("a key");
    assert_eq!((key.to_string().as_str(), key.name()), (PETER, "PeterNeumann"));
    let note = Note::parse(NOTE.as_bytes()).expect("a note");
    assert_eq!(note.to_string(), NOTE);
    let (text, by) = note.open(std::slice::from_ref(&key)).expect("signed");
    assert_eq!((text, by), (NOTE.split_once("\n\n").map(|(text, _)| format!("{text}\n")).expect("a text").as_str(), &key));
    assert_eq!(note.open(&[]), Err(Doubt::UnknownKey));
}

#[test]
fn several_sign_and_each_known_one_must_verify() {
    let text = "one\n\ntwo\n";
    let (one, two, stranger) = (signer(1, "one.example"), signer(2, "two.example"), signer(3, "three.example"));
    let mut note = Note::sign(text, &one.1, &one.0).expect("a text");
    note.join(&Note::sign(text, &two.1, &two.0).expect("a text")).expect("the same text");
    note.join(&Note::sign(text, &two.1, &two.0).expect("a text")).expect("twice is once");
    let read = Note::parse(note.to_string().as_bytes()).expect("a note");
    assert_eq!(read, note);
    for keys in [vec![one.1.clone()], vec![two.1.clone()], vec![stranger.1.clone(), two.1.clone()]] {
        assert_eq!(read.open(&keys).expect("known").0, text);
    }
    assert_eq!(read.open(&[two.1.clone(), one.1.clone()]).expect("known").1, &one.1, "whoever signed first");
    assert_eq!(read.open(std::slice::from_ref(&stranger.1)), Err(Doubt::UnknownKey));
    // A second signature in a known name that does not verify spoils the note, whatever the first says.
    let mut bad = note.clone();
    bad.signatures[1].bytes[9] ^= 1;
    assert_eq!(bad.open(&[one.1.clone(), two.1.clone()]), Err(Doubt::BadSignature));
    assert!(bad.open(std::slice::from_ref(&one.1)).is_ok(), "nobody looks at those of strangers");
    assert_eq!(note.join(&Note::sign("other\n", &two.1, &two.0).expect("a text")), Err(MALFORMED));
    let (wrong, _) = signer(9, "x");
    assert_eq!(Note::sign(text, &one.1, &wrong), Err(MALFORMED), "the key is not the name's");
}

#[test]
fn every_refusal_of_a_note() {
    let line = "— a.example AAAAAAE=\n";
    assert!(Note::parse(format!("text\n\n{line}").as_bytes()).is_ok());
    assert!(Note::parse(format!("text\n\n{}", line.repeat(SIGNATURES_MAX)).as_bytes()).is_ok());
    let bad = [
        String::new(),
        "\n".into(),
        "text\n".into(),
        "text\n\n".into(),
        format!("text\n{line}"),
        format!("text\n\n{}", line.trim_end()),
        format!("text\n\n{line}\n"),
        format!("te\rxt\n\n{line}"),
        format!("te\0xt\n\n{line}"),
        format!("te\txt\n\n{line}"),
        format!("text\n\n{}", line.repeat(SIGNATURES_MAX + 1)),
        format!("{}\n\n{line}", "x".repeat(NOTE_BYTES_MAX)),
        "text\n\n- a.example AAAAAAE=\n".into(),
        "text\n\n—a.example AAAAAAE=\n".into(),
        "text\n\n— a.exampleAAAAAAE=\n".into(),
        "text\n\n—  AAAAAAE=\n".into(),
        "text\n\n— a+b AAAAAAE=\n".into(),
        "text\n\n— a\u{a0}b AAAAAAE=\n".into(),
        "text\n\n— a.example  AAAAAAE=\n".into(),
        "text\n\n— a.example AAAAAAE\n".into(),
        "text\n\n— a.example AAAAAAF=\n".into(),
        "text\n\n— a.example AAAAAA==\n".into(),
        "text\n\n— a.example AAAAAAE= \n".into(),
        format!("text\n\n— {} AAAAAAE=\n", "n".repeat(NAME_BYTES_MAX + 1)),
    ];
    for bad in bad {
        assert_eq!(Note::parse(bad.as_bytes()), Err(MALFORMED), "{bad:?}");
    }
    assert_eq!(Note::parse(&[b"te\xfft\n\n", line.as_bytes()].concat()), Err(MALFORMED), "no UTF-8");
    let (key, name) = signer(1, "a.example");
    for text in ["", "text", "te\rxt\n"] {
        assert_eq!(Note::sign(text, &name, &key), Err(MALFORMED));
    }
}

#[test]
fn every_refusal_of_a_key() {
    for bad in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T!",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
    ] {
        assert!(matches!(VerifierKey::parse(bad), Err(Doubt::Malformed(_))), "{bad:?}");
    }
    assert!(VerifierKey::new("", Did([1; 32])).is_err() && VerifierKey::new("a b", Did([1; 32])).is_err());
}

#[test]
fn a_key_with_a_plus_in_its_base64_is_read() {
    let found = (0..=255).map(|seed| signer(seed, "plus.example").1).find(|key| key.to_string().matches('+').count() > 2);
    let key = found.expect("one in two keys has one");
    assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key));
}

#[test]
fn every_single_bit_of_a_note_counts() {
    let keys = [VerifierKey::parse(PETER).expect("a key")];
    for at in 0..NOTE.len() {
        for bit in 0..8 {
            let mut bent = NOTE.as_bytes().to_vec();
            bent[at] ^= 1 << bit;
            assert!(Note::parse(&bent).and_then(|note| note.open(&keys).map(drop)).is_err(), "byte {at}, bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_read_is_written_as_it_was(text in "([^\\x00-\\x1f]{0,20}\n){1,4}", name in "[^\\s+\\x00-\\x1f\\x7f-\\x9f]{1,20}", junk in "\\PC{0,200}") {
        let (key, verifier) = signer(4, &name);
        let note = Note::sign(&text, &verifier, &key).expect("a text");
        let written = note.to_string();
        let read = Note::parse(written.as_bytes()).expect("just written");
        prop_assert_eq!(&read, &note);
        prop_assert_eq!(read.open(std::slice::from_ref(&verifier)).expect("signed").0, text.as_str());
        let parsed = VerifierKey::parse(&verifier.to_string());
        prop_assert_eq!(parsed.as_ref(), Ok(&verifier));
        if let Ok(note) = Note::parse(junk.as_bytes()) {
            prop_assert_eq!(note.to_string(), junk);
        }
    }
}
