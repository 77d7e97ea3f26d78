//! What a log says, read by whoever doubts it: notes, checkpoints, proofs, keys, tiles. Whatever is read is written again byte for byte,
//! and nothing that nobody signed is believed.
//!
//! Input: a mode, then what it needs.

use std::sync::OnceLock;

use twinveil::client::exported::{Exported, NotExported};
use twinveil::client::receipts::Receipt;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::merkle::Doubt;
use twinveil::veil::merkle::checkpoint::Checkpoint;
use twinveil::veil::merkle::leaf::Leaf;
use twinveil::veil::merkle::note::{Note, VerifierKey};
use twinveil::veil::merkle::proof::{extends, includes};
use twinveil::veil::merkle::receipt::LogProof;
use twinveil::veil::merkle::tiles::{self, Edge, Shelf, Tile};
use twinveil::veil::merkle::tree::{Frontier, Hash};
use twinveil::veil::name::{RecordId, UnixMs};

use super::{Input, one_line};

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 9 {
        0 => note(input.rest()),
        1 => checkpoint(input.rest()),
        2 => proof(input.rest()),
        3 => key(input.rest()),
        4 => tile(input),
        5 => signed(input),
        6 => arithmetic(input),
        7 => tree(input.rest()),
        _ => history(input.rest()),
    }
}

const NAME: &str = "log.example/twins";

fn ours() -> &'static (SignKey, VerifierKey) {
    static OURS: OnceLock<(SignKey, VerifierKey)> = OnceLock::new();
    OURS.get_or_init(|| {
        let key = SignKey::from_seed(&Secret::take(&mut [5; 32]));
        let verifier = VerifierKey::new(NAME, key.did()).expect("a name");
        (key, verifier)
    })
}

fn doubted(doubt: Doubt) {
    one_line(&doubt.to_string());
    assert!(Doubt::ALL.contains(&doubt.code()));
}

fn note(bytes: &[u8]) {
    match Note::parse(bytes) {
        Ok(note) => {
            assert_eq!(note.to_string().as_bytes(), bytes);
            assert!(note.open(std::slice::from_ref(&ours().1)).is_err(), "nobody signed it");
        }
        Err(doubt) => doubted(doubt),
    }
    assert!(Checkpoint::open(bytes, &ours().1).is_err(), "nobody signed it");
}

fn checkpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Checkpoint::parse(text) {
        Ok(checkpoint) => {
            assert_eq!(checkpoint.text(), text);
            assert!(checkpoint.head.size > 0 || checkpoint.head.root == Hash::empty());
        }
        Err(doubt) => doubted(doubt),
    }
}

fn proof(bytes: &[u8]) {
    match LogProof::parse(bytes) {
        Ok(proof) => {
            assert_eq!(proof.to_string().as_bytes(), bytes);
            let entry = proof.extra.clone().unwrap_or_default();
            assert!(proof.verify(&entry, &ours().1).is_err(), "nobody signed it");
        }
        Err(doubt) => doubted(doubt),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(Receipt::check(RecordId([0; 32]), &[0; 32], text, &ours().1).is_err(), "nobody signed it");
    }
}

fn key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match VerifierKey::parse(text) {
        Ok(key) => assert_eq!(key.to_string(), text),
        Err(doubt) => doubted(doubt),
    }
}

/// Input: a path with its length, a width, the content.
fn tile(mut input: Input<'_>) {
    if let Ok(path) = std::str::from_utf8(input.piece())
        && let Some(tile) = Tile::parse(path)
    {
        assert_eq!(tile.to_string(), path);
        assert!(!path.contains("..") && !path.starts_with('/') && (1..=256).contains(&tile.width));
        assert!(tile.first().checked_add(255).is_some());
    }
    let width = u16::from(input.byte()) + 1;
    let bytes = input.rest();
    if let Some(entries) = tiles::parse_entries(bytes, width) {
        assert_eq!(entries.len(), usize::from(width));
        let written = tiles::write_entries(entries.iter().copied()).expect("they were written so");
        assert!(bytes.starts_with(&written));
    }
    if let Some(hashes) = tiles::parse_hashes(bytes, width) {
        assert!(bytes.starts_with(&tiles::write_hashes(&hashes)));
    }
    if let Ok(leaf) = Leaf::parse(bytes) {
        assert_eq!(leaf.bytes()[..], *bytes);
        one_line(&leaf.bucket().to_string());
    }
}

/// As somebody takes it along; and lines under a first line that holds.
fn history(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (key, log) = ours();
    match Exported::read(text, log) {
        Ok((exported, _)) => {
            let again = Exported::read(&exported.to_text(log), log).expect("as it is written");
            assert_eq!((again.0.subject, again.0.made, again.0.whole), (exported.subject, exported.made, exported.whole));
        }
        Err(error @ (NotExported::NoHead | NotExported::OtherLog(_))) => drop(error.to_string()),
    }
    let none = Exported { subject: key.did(), made: UnixMs(0), whole: true, gaps: Vec::new(), lines: Vec::new() };
    let (read, flaws) = Exported::read(&(none.to_text(log) + text), log).expect("a first line");
    assert!(read.lines.is_empty() && flaws.len() == text.lines().count(), "nobody signed them");
    flaws.iter().for_each(|flaw| one_line(&flaw.to_string()));
}

/// Input: where to bend it and how, then a text, signed properly.
fn signed(mut input: Input<'_>) {
    let (at, how) = (usize::from(input.byte()) | usize::from(input.byte()) << 8, input.byte());
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    let (key, verifier) = ours();
    let Ok(note) = Note::sign(text, verifier, key) else { return };
    let mut bytes = note.to_string().into_bytes();
    assert_eq!(Note::parse(&bytes).as_ref(), Ok(&note));
    assert_eq!(note.open(std::slice::from_ref(verifier)), Ok((text, verifier)));
    if how == 0 {
        return;
    }
    let at = at % bytes.len();
    bytes[at] ^= how;
    if let Ok(note) = Note::parse(&bytes) {
        // Bent in the signature's name it is somebody else's; nothing that opens says anything else.
        assert!(note.open(std::slice::from_ref(verifier)).is_err());
    }
}

/// Input: numbers, then hashes.
fn arithmetic(mut input: Input<'_>) {
    let mut number = || {
        let mut number = [0; 8];
        number.iter_mut().for_each(|byte| *byte = input.byte());
        u64::from_be_bytes(number)
    };
    let (index, size, older) = (number(), number(), number());
    let hashes: Vec<_> = input.rest().chunks_exact(32).map(|chunk| Hash(chunk.try_into().expect("32 bytes"))).collect();
    let [leaf, root, path @ ..] = hashes.as_slice() else { return };
    if includes(leaf, index, size, path, root) {
        assert!(path.is_empty() && size == 1 && leaf == root, "nobody finds a path by chance");
    }
    if extends(older, leaf, size, root, path) {
        assert!(path.is_empty() && (older == 0 || (older == size && leaf == root)), "nor a proof");
    }
    if let Some(tile) = tiles::holding(Shelf::Entries, index, size) {
        assert!(tile.first() <= index && index - tile.first() < u64::from(tile.width));
    }
}

/// Input: entries of a byte each; both ways to keep a tree's edge agree.
fn tree(entries: &[u8]) {
    let (mut tree, mut edge) = (Frontier::default(), Edge::default());
    for entry in entries.iter().take(1_024) {
        let leaf = Hash::leaf(&[*entry]);
        assert!(tree.append(leaf));
        edge.append(leaf, |_, hashes| assert_eq!(hashes.len(), 256));
    }
    assert_eq!(tree.peaks(), edge.peaks());
    assert_eq!(Frontier::new(tree.size(), edge.peaks()).expect("one for each bit").root(), tree.root());
}
