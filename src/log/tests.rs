use std::sync::OnceLock;

use super::memory::{Left, Memory};
use super::*;
use crate::veil::crypto::secret::Secret;
use crate::veil::crypto::sign::SignKey;
use crate::veil::merkle::leaf::{Act, Salt};
use crate::veil::merkle::tree::{Frontier, Hash};
use crate::veil::name::{RecordId, UnixMs};

const NAME: &str = "gateway.example.org/twins";
/// Batches that end within, at and beyond the ends of tiles.
const BATCHES: [usize; 7] = [1, 2, 252, 3, 1, 253, 5];

fn signer(seed: u8) -> Signer {
    let key = SignKey::from_seed(&Secret::take(&mut [seed; 32]));
    let verifier = VerifierKey::new(NAME, key.did()).expect("a name");
    Signer { key, verifier }
}

fn leaf(n: u64) -> Leaf {
    let mut object = [0; 32];
    object[..8].copy_from_slice(&n.to_be_bytes());
    Leaf::new(if n.is_multiple_of(5) { Act::Policy } else { Act::Consent }, UnixMs(0), &Salt([1; 32]), &RecordId(object))
}

fn leaves(from: u64, count: usize) -> Vec<Leaf> {
    (from..from + count as u64).map(leaf).collect()
}

/// The root over the first leaves, up to what any test appends.
fn root(size: u64) -> Hash {
    static ROOTS: OnceLock<Vec<Hash>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut tree = Frontier::default();
        let mut roots = vec![tree.root()];
        for n in 0..600 {
            assert!(tree.append(Hash::leaf(leaf(n).bytes())));
            roots.push(tree.root());
        }
        roots
    });
    roots[size as usize]
}

fn anchored(anchor: &Memory) -> Option<Anchor> {
    Some(Anchor { disk: Box::new(anchor.clone()), name: "head".into() })
}

fn open(disk: &Memory, anchor: Option<&Memory>) -> Result<(Writer, Note, Vec<Warning>), OpenError> {
    Writer::open(Arc::new(disk.clone()), anchor.and_then(anchored), signer(1))
}

fn said(note: &Note) -> Head {
    head(note, &signer(1).verifier).expect("ours")
}

/// Appends whatever is missing of the batches; what was signed on the way.
fn go_on(writer: &mut Writer) -> Result<Vec<Head>, LogError> {
    let (mut end, mut signed) = (0, Vec::new());
    for batch in BATCHES {
        end += batch as u64;
        if writer.size() < end {
            let missing = leaves(writer.size(), (end - writer.size()) as usize);
            signed.push(said(&writer.append(&missing)?));
        }
    }
    Ok(signed)
}

/// Everything that holds of a log whatever happened to it.
fn check(disk: &Memory, writer: &Writer, signed: &[Head]) {
    let copy = Copy::of(Box::new(disk.clone()));
    let audit = copy.audit(&signer(1).verifier).expect("a log");
    assert_eq!((audit.head.size, audit.head.root), (writer.size(), root(writer.size())));
    for head in signed {
        assert!(head.size <= writer.size(), "what was signed is there");
        assert_eq!(head.root, root(head.size), "and is the same");
        copy.extends(head, &audit.head).expect("the log goes on from it");
    }
}

#[test]
fn what_is_served_otherwise_once_it_was_audited_is_not_believed() {
    let disk = Memory::default();
    let (mut writer, ..) = open(&disk, None).expect("new");
    go_on(&mut writer).expect("room");
    let copy = Copy::of(Box::new(disk.clone()));
    let head = copy.audit(&signer(1).verifier).expect("a log").head;
    let mut count = 0;
    copy.each(&head, |_, _| count += 1).expect("the same");
    assert_eq!((count, copy.find(&head, |found| *found == leaf(3)).expect("the same")), (517, Some(3)));
    let other = disk.read("tile/entries/001").expect("readable").expect("full");
    disk.put("tile/entries/000", &other).expect("room");
    assert!(matches!(copy.each(&head, |_, _| ()), Err(ReadError::Doubt(Doubt::WrongTiles))));
    assert!(matches!(copy.find(&head, |found| *found == leaf(3)), Err(ReadError::Doubt(Doubt::WrongTiles))), "nor that there is none");
}

#[test]
fn a_log_in_any_batches_has_one_tree() {
    let disk = Memory::default();
    let (mut writer, note, warnings) = open(&disk, None).expect("new");
    assert_eq!((said(&note).size, warnings), (0, vec![Warning::NoAnchor]));
    let signed = go_on(&mut writer).expect("room");
    assert_eq!(signed.len(), BATCHES.len());
    check(&disk, &writer, &signed);
    assert!(!disk.paths().iter().any(|path| path.starts_with("tile/0/000.p/")), "partial tiles go when a full one follows");
    assert!(disk.paths().contains(&"tile/0/001.p/3".to_owned()), "not while somebody may read them: {:?}", disk.paths());
    let (again, note, _) = open(&disk, None).expect("as it was");
    assert_eq!((again.size(), said(&note)), (517, signed[6]));
}

#[test]
fn a_crash_between_any_two_steps_loses_nothing_signed_and_signs_nothing_twice() {
    let (disk, anchor) = (Memory::default(), Memory::default());
    let mut writer = open(&disk, Some(&anchor)).expect("new").0;
    go_on(&mut writer).expect("room");
    let steps = disk.steps();
    assert!(steps > 40, "{steps}");
    for step in 0..steps {
        for left in [Left::Nothing, Left::Half, Left::All] {
            let (disk, anchor) = (Memory::default(), Memory::default());
            disk.fail_at(step, true);
            let mut signed = Vec::new();
            if let Ok((mut writer, note, _)) = open(&disk, Some(&anchor)) {
                signed.push(said(&note));
                // Each batch by itself, so that all that was signed before the crash is known.
                let mut end = 0;
                for batch in BATCHES {
                    match writer.append(&leaves(end, batch)) {
                        Ok(note) => signed.push(said(&note)),
                        Err(_) => break,
                    }
                    end += batch as u64;
                }
            }
            // What stands in the anchor was signed, answered or not.
            let anchored = anchor.read("head").expect("memory").map(|text| said(&Note::parse(&text).expect("whole")));
            signed.extend(anchored);
            disk.restart(left);
            let (mut writer, note, _) = open(&disk, Some(&anchor)).unwrap_or_else(|error| panic!("step {step}, {left:?}: {error}"));
            signed.push(said(&note));
            check(&disk, &writer, &signed);
            signed.extend(go_on(&mut writer).expect("room"));
            check(&disk, &writer, &signed);
        }
    }
}

#[test]
fn a_write_that_fails_is_told_and_the_next_one_makes_up_for_it() {
    let disk = Memory::default();
    go_on(&mut open(&disk, None).expect("new").0).expect("room");
    for step in 0..disk.steps() {
        let disk = Memory::default();
        disk.fail_at(step, false);
        // The beginning may be what fails.
        let mut writer = open(&disk, None).or_else(|_| open(&disk, None)).expect("the second time").0;
        let mut signed = Vec::new();
        while writer.size() < 517 {
            signed.extend(go_on(&mut writer).unwrap_or_default());
        }
        signed.push(said(&writer.append(&[]).expect("room")));
        check(&disk, &writer, &signed);
        // And not only what readers see: what outlives a crash.
        disk.restart(Left::Nothing);
        check(&disk, &open(&disk, None).expect("as it was").0, &signed);
    }
}

#[test]
fn on_a_full_disk_nothing_is_answered_until_there_is_room() {
    let disk = Memory::default();
    let (log, _) = Log::open(Arc::new(disk.clone()), None, signer(1), Duration::ZERO).expect("new");
    log.push(0, leaf(0)).expect("in order");
    log.settle(0).expect("room");
    disk.set_full(true);
    log.push(1, leaf(1)).expect("in order");
    let error = log.settle(1).expect_err("full");
    assert_eq!(error.code(), "TV-M08");
    assert!(error.to_string().starts_with("the log can't be written: "), "{error}");
    assert_eq!((log.size(), said(&log.checkpoint()).size), (1, 1));
    assert!(log.settle(1).is_err(), "still full");
    disk.set_full(false);
    log.push(1, leaf(1)).expect("has its place");
    log.push(2, leaf(2)).expect("in order");
    let proof = log.settle(2).expect("room again");
    assert_eq!(proof.verify(leaf(2).bytes(), log.verifier()).expect("in the log"), Head { size: 3, root: root(3) });
    assert_eq!(log.settle(1).expect("with it").index, 1);
}

#[test]
fn an_older_copy_is_noticed_by_its_anchor_or_its_checkpoint() {
    let (disk, anchor) = (Memory::default(), Memory::default());
    let mut writer = open(&disk, Some(&anchor)).expect("new").0;
    writer.append(&leaves(0, 300)).expect("room");
    let yesterday = disk.backup();
    writer.append(&leaves(300, 40)).expect("room");
    let today = disk.backup();
    let error = open(&yesterday.backup(), Some(&anchor)).expect_err("older");
    assert!(matches!(error, OpenError::RolledBack { what: "anchor", known: 340, found: 300 }), "{error}");
    let (_, _, warnings) = open(&yesterday.backup(), None).expect("nobody knows");
    assert_eq!(warnings, [Warning::NoAnchor]);
    // The journal alone: the checkpoint beside it knows better.
    let mixed = today.backup();
    mixed.change("journal", |journal| *journal = yesterday.read("journal").expect("memory").expect("there"));
    let error = open(&mixed, None).expect_err("older");
    assert!(matches!(error, OpenError::RolledBack { what: "checkpoint", known: 340, found: 300 }), "{error}");
    // A log that went on another way from the same backup.
    let fork = yesterday.backup();
    open(&fork, None).expect("nobody knows").0.append(&leaves(1_000, 40)).expect("room");
    assert!(matches!(open(&fork, Some(&anchor)), Err(OpenError::Forked { what: "anchor", size: 340 })));
    // An anchor that begins later is written, and said to be new.
    let late = Memory::default();
    assert_eq!(open(&today.backup(), Some(&late)).expect("newest").2, [Warning::NewAnchor]);
    assert!(open(&yesterday.backup(), Some(&late)).is_err());
}

#[test]
fn what_is_not_as_it_was_written_is_refused() {
    let disk = Memory::default();
    open(&disk, None).expect("new").0.append(&leaves(0, 300)).expect("room");
    let with = |change: &dyn Fn(&Memory)| {
        let disk = disk.backup();
        change(&disk);
        open(&disk, None).map(|(writer, _, warnings)| (writer.size(), warnings))
    };
    assert!(matches!(with(&|disk| disk.remove("journal")), Err(OpenError::Damaged("the journal is missing"))));
    assert!(matches!(with(&|disk| disk.change("journal", |bytes| bytes[20] ^= 1)), Err(OpenError::Damaged(_))));
    assert!(matches!(with(&|disk| disk.remove("tile/1/000.p/1")), Err(OpenError::Damaged("a tile is missing"))));
    assert!(matches!(with(&|disk| disk.change("tile/1/000.p/1", |bytes| bytes[0] ^= 1)), Err(OpenError::Damaged(_))));
    // A torn last batch is the same as one that was never written; here the checkpoint knows that it was.
    assert!(matches!(with(&|disk| disk.change("journal", |bytes| bytes.truncate(bytes.len() - 1))), Err(OpenError::RolledBack { .. })));
    // Nothing stands on these two: one is signed anew, the other written again.
    let torn = with(&|disk| disk.change("checkpoint", |bytes| bytes.truncate(40))).expect("signed anew");
    assert_eq!(torn, (300, vec![Warning::TornCheckpoint, Warning::NoAnchor]));
    assert_eq!(with(&|disk| disk.change("tile/0/001.p/44", |bytes| bytes.clear())).expect("written again").0, 300);
    let other = Writer::open(Arc::new(disk.backup()), None, signer(2)).map(drop);
    assert!(matches!(other, Err(OpenError::OtherLog { what: "checkpoint", doubt: Doubt::UnknownKey })));
}

#[test]
fn everybody_gets_a_proof_and_batches_are_fewer_than_leaves() {
    let disk = Memory::default();
    let (log, _) = Log::open(Arc::new(disk.clone()), None, signer(1), Duration::from_millis(20)).expect("new");
    let order = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..4 {
                    let number = {
                        let mut next = order.lock().expect("not poisoned");
                        log.push(*next, leaf(*next)).expect("in order");
                        *next += 1;
                        *next - 1
                    };
                    let proof = log.settle(number).expect("room");
                    assert_eq!((proof.index, proof.extra.as_deref()), (number, Some(&leaf(number).bytes()[..])));
                    proof.verify(leaf(number).bytes(), log.verifier()).expect("in the log");
                }
            });
        }
    });
    assert_eq!((log.size(), said(&log.checkpoint()).root), (64, root(64)));
    let bundles = disk.paths().iter().filter(|path| path.starts_with("tile/entries/000.p/")).count();
    assert!((4..64).contains(&bundles), "{bundles} batches for 64 leaves of 16 that wait");
}

#[test]
fn a_leaf_that_is_hurried_is_not_gathered_with_others() {
    // Longer than any test may take: whoever waits for it, waits in vain.
    let (log, _) = Log::open(Arc::new(Memory::default()), None, signer(1), Duration::from_secs(3_600)).expect("new");
    for number in 0..2 {
        log.push(number, leaf(number)).expect("in order");
    }
    std::thread::scope(|scope| {
        let gathers = scope.spawn(|| log.settle(0).expect("room").index);
        log.hurry(1);
        assert_eq!(log.settle(1).expect("room").index, 1);
        assert_eq!(gathers.join().expect("no panic"), 0, "what came before it goes with it");
    });
    assert_eq!(log.size(), 2);
}

#[test]
fn leaves_come_in_order_or_not_at_all() {
    let (log, _) = Log::open(Arc::new(Memory::default()), None, signer(1), Duration::ZERO).expect("new");
    assert!(log.push(1, leaf(1)).is_err(), "a gap");
    log.push(0, leaf(0)).expect("in order");
    log.push(0, leaf(9)).expect("it has its place, and keeps its leaf");
    assert_eq!((log.next(), log.size()), (1, 0));
    assert!(log.settle(1).is_err(), "nobody waits for a leaf that never came");
    log.settle(0).expect("room").verify(leaf(0).bytes(), log.verifier()).expect("the first");
}

#[test]
fn a_checkpoint_that_the_log_does_not_have_ends_its_signing() {
    let disk = Memory::default();
    let (log, _) = Log::open(Arc::new(disk.clone()), None, signer(1), Duration::ZERO).expect("new");
    let push = |log: &Log, count| (log.next()..log.next() + count).for_each(|n| log.push(n, leaf(n)).expect("in order"));
    push(&log, 10);
    log.settle(9).expect("room");
    let yesterday = disk.backup();
    push(&log, 5);
    let newest = log.settle(14).expect("room").checkpoint.to_string();
    log.witness(newest.as_bytes()).expect("its own");
    let (old, _) = Log::open(Arc::new(yesterday.clone()), None, signer(1), Duration::ZERO).expect("nobody knows");
    let by_another = Checkpoint::sign(&Head { size: 99, root: root(1) }, &signer(2).verifier, &signer(2).key).expect("a text").to_string();
    assert!(matches!(old.witness(by_another.as_bytes()), Err(LogError::Doubt(Doubt::UnknownKey))), "others can't stop it");
    push(&old, 1);
    old.settle(10).expect("still believed");
    push(&old, 1);
    assert!(matches!(old.witness(newest.as_bytes()), Err(LogError::SetBack)));
    assert_eq!(old.settle(11).expect_err("nothing is signed any more").code(), "TV-M09");
    drop(old);
    let error = open(&yesterday, None).map(drop).expect_err("nor after a restart");
    assert!(matches!(error, OpenError::RolledBack { what: "checkpoint that was shown", known: 15, found: 11 }), "{error}");
}

mod folders {
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("twinveil-log-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn a_folder_holds_a_log_for_one_process_and_anybody_audits_it() {
        let root_folder = folder("one");
        let (dir, anchor) = (root_folder.join("data/log"), root_folder.join("elsewhere/head"));
        let open = || Log::open_folder(&dir, Some(&anchor), signer(1), Duration::ZERO);
        let (log, _) = open().expect("new");
        for n in 0..300 {
            log.push(n, leaf(n)).expect("in order");
        }
        let proof = log.settle(299).expect("room");
        assert!(matches!(open(), Err(OpenError::InUse)));
        let copy = Copy::open(&dir);
        let audit = copy.audit(log.verifier()).expect("a log");
        assert_eq!((audit.head.size, audit.institutional, audit.personal), (300, 60, 240));
        assert_eq!(copy.prove(299, log.verifier()).expect("there"), proof);
        assert!(matches!(copy.prove(300, log.verifier()), Err(ReadError::Doubt(Doubt::NotIncluded))));
        assert_eq!(copy.find(&audit.head, |found| *found == leaf(7)).expect("readable"), Some(7));
        assert_eq!(std::fs::read(&anchor).expect("an anchor"), log.checkpoint().to_string().into_bytes());
        assert_eq!(log.file("tile/0/000").expect("full").len(), 8_192);
        for path in ["journal", ".lock", "tile/0/../../journal", "/etc/passwd", "tile/0/002", ""] {
            assert_eq!(log.file(path), None, "{path}");
        }
        drop(log);
        let (log, warnings) = open().expect("closed");
        assert_eq!((log.size(), warnings), (300, Vec::new()));
        std::fs::remove_dir_all(root_folder).expect("own folder");
    }

    #[test]
    fn one_flipped_byte_anywhere_is_found() {
        let dir = folder("flip");
        let (log, _) = Log::open_folder(&dir, None, signer(1), Duration::ZERO).expect("new");
        for n in 0..300 {
            log.push(n, leaf(n)).expect("in order");
        }
        log.settle(299).expect("room");
        let (copy, key) = (Copy::open(&dir), log.verifier().clone());
        let current = ["checkpoint", "tile/entries/000", "tile/entries/001.p/44", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"];
        assert_eq!(files(&dir).len(), current.len() + 2, "and the journal, and who holds it: {:?}", files(&dir));
        for path in current {
            let good = std::fs::read(dir.join(path)).expect("there");
            for at in (0..good.len()).step_by(good.len() / 37 + 1) {
                let mut bent = good.clone();
                bent[at] ^= 0x20;
                std::fs::write(dir.join(path), &bent).expect("own file");
                assert!(copy.audit(&key).is_err(), "{path}, byte {at}");
            }
            std::fs::remove_file(dir.join(path)).expect("own file");
            assert!(copy.audit(&key).is_err(), "{path} is missing");
            std::fs::write(dir.join(path), good).expect("own file");
        }
        copy.audit(&key).expect("as it was");
        std::fs::remove_dir_all(dir).expect("own folder");
    }
}
