//! Proofs from a log's tiles, held against the crate `sigstore-merkle`: what ours makes holds there, and what is bent holds neither here
//! nor there. The judge is a program of its own (`tests/judges/merkle`), which `tests/run` builds.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use data_encoding::HEXLOWER;
use twinveil::log::{Log, Signer};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::merkle::leaf::{Act, Leaf, Salt};
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::merkle::proof::{consistency, extends, includes, inclusion, root};
use twinveil::veil::merkle::tiles::{Tile, TileReader};
use twinveil::veil::merkle::tree::Hash;
use twinveil::veil::name::{RecordId, UnixMs};

use super::ran;
use crate::harness::Folder;

/// The judge; `None`, and said so, where it was not built. On CI it must be.
fn judge() -> Option<Command> {
    let Some(judge) = std::env::var_os("TWINVEIL_MERKLE_JUDGE") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "sigstore-merkle: TWINVEIL_MERKLE_JUDGE is not set, and this is CI");
        eprintln!("SKIPPED sigstore-merkle: TWINVEIL_MERKLE_JUDGE is not set (tests/run sets it)");
        return None;
    };
    Some(Command::new(judge))
}

fn hex(hash: &Hash) -> String {
    HEXLOWER.encode(&hash.0)
}

fn bent(hash: &Hash) -> Hash {
    let mut bent = *hash;
    bent.0[7] ^= 0x10;
    bent
}

/// Proofs in the judge's words, and what ours says of each.
#[derive(Default)]
struct Docket {
    lines: String,
    ours: Vec<bool>,
}

impl Docket {
    fn included(&mut self, leaf: &Hash, (index, size): (u64, u64), path: &[Hash], root: &Hash) {
        self.enter("included", (index, size), (leaf, root), path, includes(leaf, index, size, path, root));
    }

    fn extends(&mut self, (older, older_root): (u64, &Hash), (size, root): (u64, &Hash), path: &[Hash]) {
        self.enter("extends", (older, size), (older_root, root), path, extends(older, older_root, size, root, path));
    }

    fn enter(&mut self, kind: &str, (one, other): (u64, u64), (first, second): (&Hash, &Hash), path: &[Hash], ours: bool) {
        write!(self.lines, "{kind} {one} {other} {} {}", hex(first), hex(second)).unwrap();
        path.iter().for_each(|hash| write!(self.lines, " {}", hex(hash)).unwrap());
        self.lines.push('\n');
        self.ours.push(ours);
    }
}

#[test]
fn sigstores_verifier_agrees_with_ours_on_every_proof_good_and_bent() {
    let Some(judge) = judge() else { return };
    let folder = Folder::new();
    let key = SignKey::from_seed(&Secret::take(&mut [9; 32]));
    let verifier = VerifierKey::new("log.example/twins", key.did()).unwrap();
    let (log, _) = Log::open_folder(&folder.join("log"), None, Signer { key, verifier }, Duration::ZERO).unwrap();
    let leaf = |number: u64| Leaf::new(Act::Consent, UnixMs(1), &Salt([1; 32]), &RecordId([number as u8; 32]));
    // Over the edge of a tile and of a row of tiles, and some in between.
    let (mut docket, mut older) = (Docket::default(), Vec::<(u64, Hash)>::new());
    for size in [1, 2, 3, 7, 8, 100, 255, 256, 257, 511, 513, 700] {
        for number in log.size()..size {
            log.push(number, leaf(number)).unwrap();
        }
        log.settle(size - 1).unwrap();
        let mut tree = TileReader::new(|tile: Tile| log.file(&tile.to_string()).ok_or(tile), size);
        let head = root(size, &mut tree).unwrap();
        for index in
            [0, 1, 6, 7, 99, 254, 255, 256, 300, 510, 512, 699].into_iter().chain([size / 2, size - 1]).filter(|index| *index < size)
        {
            let (entry, path) = (Hash::leaf(leaf(index).bytes()), inclusion(index, size, &mut tree).unwrap().unwrap());
            docket.included(&entry, (index, size), &path, &head);
            docket.included(&bent(&entry), (index, size), &path, &head);
            docket.included(&entry, (index, size), &path, &bent(&head));
            docket.included(&entry, (index ^ 1, size), &path, &head);
            for at in 0..path.len() {
                let mut other = path.clone();
                other[at] = bent(&path[at]);
                docket.included(&entry, (index, size), &other, &head);
                other.remove(at);
                docket.included(&entry, (index, size), &other, &head);
            }
        }
        for (before, root_before) in &older {
            let path = consistency(*before, size, &mut tree).unwrap().unwrap();
            docket.extends((*before, root_before), (size, &head), &path);
            docket.extends((*before, &bent(root_before)), (size, &head), &path);
            docket.extends((*before, root_before), (size, &bent(&head)), &path);
            for at in 0..path.len() {
                let mut other = path.clone();
                other[at] = bent(&path[at]);
                docket.extends((*before, root_before), (size, &head), &other);
            }
        }
        older.push((size, head));
    }
    let verdicts = ran(judge, &docket.lines);
    let verdicts: Vec<_> = verdicts.lines().collect();
    assert_eq!(verdicts.len(), docket.ours.len());
    for ((line, ours), theirs) in docket.lines.lines().zip(&docket.ours).zip(verdicts) {
        assert_eq!(theirs, if *ours { "yes" } else { "no" }, "{line}");
    }
    let good = docket.ours.iter().filter(|ours| **ours).count();
    assert!(good > 150 && docket.ours.len() > 5 * good, "{good} good ones of {}", docket.ours.len());
}
