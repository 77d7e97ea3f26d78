//! RFC 6962 trees and proofs, and C2SP notes, checkpoints and tiles.

use std::fs;
use std::path::Path;

use serde_json::Value;
use twinveil::veil::merkle::Doubt;
use twinveil::veil::merkle::checkpoint::Checkpoint;
use twinveil::veil::merkle::note::{Note, VerifierKey};
use twinveil::veil::merkle::proof::{extends, includes};
use twinveil::veil::merkle::tiles::{self, Shelf, Tile};
use twinveil::veil::merkle::tree::{Frontier, Hash};

use super::{hex, hex_array, list, place, published, published_text, text};

#[test]
fn roots_of_rfc_6962() {
    let Some(file) = published("rfc6962/roots.json") else { return };
    let root = |at: usize| Hash(hex_array(&file["roots_by_size"][at]));
    let (mut tree, mut edge) = (Frontier::default(), tiles::Edge::default());
    assert_eq!(tree.root(), root(0));
    for (at, leaf) in list(&file["leaf_inputs_hex"]).iter().enumerate() {
        let leaf = Hash::leaf(&hex(leaf));
        assert!(tree.append(leaf));
        edge.append(leaf, |_, _| panic!("a tile is not full yet"));
        assert_eq!((tree.root(), Hash::join(&edge.peaks())), (root(at + 1), Some(root(at + 1))));
    }
    assert_eq!(tree.size(), 8);
}

fn probes(folder: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(probes(&path));
        } else {
            found.push((path.display().to_string(), serde_json::from_slice(&fs::read(&path).unwrap()).unwrap()));
        }
    }
    found
}

/// A hash that is one; the probes have others, too.
fn hash(value: &Value) -> Option<Hash> {
    Hash::parse(value.as_str()?)
}

fn path(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(hash).collect())
}

#[test]
fn inclusion_probes_of_transparency_dev() {
    let Some(folder) = place("rfc6962/testdata/inclusion") else { return };
    let probes = probes(&folder);
    for (name, probe) in &probes {
        let number = |member: &str| probe[member].as_u64();
        let holds = || {
            let (leaf, root) = (hash(&probe["leafHash"])?, hash(&probe["root"])?);
            Some(includes(&leaf, number("leafIdx")?, number("treeSize")?, &path(&probe["proof"])?, &root))
        };
        assert_eq!(holds() == Some(true), probe["wantErr"] == false, "{name}: {}", probe["desc"]);
    }
    assert_eq!(probes.len(), 98);
}

#[test]
fn consistency_probes_of_transparency_dev() {
    let Some(folder) = place("rfc6962/testdata/consistency") else { return };
    let probes = probes(&folder);
    let mut no_hashes = 0;
    for (name, probe) in &probes {
        let number = |member: &str| probe[member].as_u64();
        let good = probe["wantErr"] == false;
        let (Some(older), Some(newer)) = (hash(&probe["root1"]), hash(&probe["root2"])) else {
            // Equal sizes with equal "roots" that are no hashes: we have no such roots.
            no_hashes += u32::from(good);
            continue;
        };
        let holds =
            path(&probe["proof"]).is_some_and(|path| extends(number("size1").unwrap(), &older, number("size2").unwrap(), &newer, &path));
        assert_eq!(holds, good, "{name}: {}", probe["desc"]);
    }
    assert_eq!((probes.len(), no_hashes), (98, 1));
}

#[test]
fn notes_of_c2sp_and_of_go_open_under_their_keys() {
    for (note, key) in [
        ("c2sp/signed-note-example.note", "c2sp/signed-note-example.vkey"),
        ("c2sp/golang-peterneumann.note", "c2sp/golang-peterneumann.vkey"),
    ] {
        let (Some(text), Some(key)) = (published_text(note), published_text(key)) else { return };
        let key = VerifierKey::parse(key.trim_end()).unwrap();
        let parsed = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.to_string(), text, "{note}");
        let (said, by) = parsed.open(std::slice::from_ref(&key)).unwrap();
        assert!(text.starts_with(said) && *by == key, "{note}");
        let bent = text.replacen('e', "E", 1);
        assert_eq!(Note::parse(bent.as_bytes()).unwrap().open(std::slice::from_ref(&key)), Err(Doubt::BadSignature), "{note}");
    }
}

#[test]
fn the_checkpoint_of_c2sp_is_read_and_its_signers_are_strangers() {
    let Some(text) = published_text("c2sp/checkpoint-example.note") else { return };
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.to_string(), text);
    let body = text.split_once("\n\n").unwrap().0;
    let checkpoint = Checkpoint::parse(&format!("{body}\n")).unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.head.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.text(), format!("{body}\n"));
    let key = VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    assert_eq!(Checkpoint::open(text.as_bytes(), &key), Err(Doubt::UnknownKey));
}

#[test]
fn paths_and_sizes_of_tiles_are_those_of_c2sp() {
    let Some(file) = published("c2sp/tile-layout.json") else { return };
    for example in list(&file["path_encoding"]) {
        let tile = Tile { shelf: Shelf::Hashes(0), index: example["index"].as_u64().unwrap(), width: 256 };
        let path = format!("tile/0/{}", text(&example["path"]));
        assert_eq!((tile.to_string(), Tile::parse(&path)), (path, Some(tile)));
    }
    for size in [70_000, 256] {
        let expected = &file[format!("tree_size_{size}")];
        let all = tiles::all(size);
        let count = |level: u8, full: bool| {
            all.iter()
                .filter(|tile| tile.shelf == Shelf::Hashes(level) && tile.is_full() == full)
                .map(|tile| u64::from(tile.width))
                .collect::<Vec<_>>()
        };
        for level in 0..3 {
            let stated = |what: &str| expected[format!("level{level}_{what}")].as_u64();
            assert_eq!(count(level, true).len() as u64, stated("full").unwrap_or(0), "{size}, level {level}");
            assert_eq!(count(level, false), stated("partial_width").into_iter().collect::<Vec<_>>(), "{size}, level {level}");
        }
    }
}
