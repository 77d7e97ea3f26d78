//! What does a log of ten million entries cost: appending to it, proving an entry, checking a proof, starting with it, keeping it?
//!
//! `cargo bench --bench log -- 10000000` makes a log of so many entries in a folder of its own under `TMPDIR` (a million unless said;
//! 82 bytes of disk each) and prints a line of JSON for each figure. What is there before anything is measured is written without
//! waiting for the disk; what is measured is written as a gateway writes it: every batch is durable and signed when it is answered.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinveil::log::{Copy, Disk, Folder, Log, Signer};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::merkle::leaf::{Act, Leaf, Salt};
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::merkle::receipt::LogProof;
use twinveil::veil::name::{RecordId, UnixMs};

/// Entries that are settled together: one caller alone, what a thousand callers send in `log.batch_ms`, and the most of a burst.
const BATCHES: [u64; 3] = [1, 1_000, 50_000];

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _left_over = std::fs::remove_dir_all(&self.0);
    }
}

/// How much is asked of the log.
struct Effort {
    leaves: u64,
    /// The longest that one kind of append is measured.
    append: Duration,
    proofs: u64,
    starts: usize,
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let asked = words.iter().find(|word| !word.starts_with("--")).map(|word| word.parse().expect("how many entries, a number"));
    // Each once, so that it is not broken: a test run does not fill a disk.
    let effort = match words.iter().any(|word| word == "--test") {
        true => Effort { leaves: asked.unwrap_or(2_000), append: Duration::from_millis(20), proofs: 50, starts: 2 },
        false => Effort { leaves: asked.unwrap_or(1_000_000), append: Duration::from_secs(10), proofs: 20_000, starts: 7 },
    };
    assert!(effort.leaves > 0, "a log with nothing in it proves nothing");
    measure(&effort, &Place(std::env::temp_dir().join(format!("twinveil-bench-log-{}", std::process::id()))));
}

fn measure(effort: &Effort, place: &Place) {
    let begun = Instant::now();
    fill(effort.leaves, place);
    let leaves = effort.leaves;
    say("made", leaves, &format!("\"seconds\":{:.1}", begun.elapsed().as_secs_f64()));
    let kept = weigh(&place.0);
    say(
        "disk",
        leaves,
        &format!(
            "\"files\":{},\"bytes_per_leaf\":{:.2},\"allocated_bytes_per_leaf\":{:.2}",
            kept.files,
            kept.bytes as f64 / leaves as f64,
            kept.allocated as f64 / leaves as f64
        ),
    );

    let mut started = Vec::new();
    for _ in 0..effort.starts {
        let begun = Instant::now();
        let log = open(place);
        started.push(begun.elapsed());
        assert_eq!(log.size(), leaves, "as it was left");
    }
    say("start", leaves, &format!("\"p50_us\":{},\"most_us\":{}", at(&mut started, 50), at(&mut started, 100)));

    proofs(effort, place);

    let copy = Copy::open(&place.0);
    let key = signer().verifier;
    let begun = Instant::now();
    let audit = copy.audit(&key).expect("our own log");
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(audit.personal, leaves);
    say("audit", leaves, &format!("\"seconds\":{seconds:.1},\"leaves_per_s\":{:.0}", leaves as f64 / seconds));

    // Last, as the log grows by it.
    let log = open(place);
    for batch in BATCHES {
        let (mut took, begun) = (Vec::new(), Instant::now());
        while took.is_empty() || begun.elapsed() < effort.append {
            let before = Instant::now();
            append(&log, batch);
            took.push(before.elapsed());
        }
        let per_s = (took.len() as u64 * batch) as f64 / begun.elapsed().as_secs_f64();
        say(
            "append",
            leaves,
            &format!("\"batch\":{batch},\"appends_per_s\":{per_s:.0},\"p50_us\":{},\"p99_us\":{}", at(&mut took, 50), at(&mut took, 99)),
        );
    }
}

/// Proofs of entries all over the log, each as the text that a wallet keeps; and how long somebody needs who checks one.
fn proofs(effort: &Effort, place: &Place) {
    let (copy, key) = (Copy::open(&place.0), signer().verifier);
    let (mut proving, mut checking, mut bytes, mut hashes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for turn in 0..effort.proofs {
        // A stride that meets every part of the log and no tile twice in a row.
        let number = turn.wrapping_mul(7_919_000_003) % effort.leaves;
        let begun = Instant::now();
        let text = copy.prove(number, &key).expect("there").to_string();
        proving.push(begun.elapsed());
        let begun = Instant::now();
        let proof = LogProof::parse(text.as_bytes()).expect("just written");
        let head = proof.verify(leaf(number).bytes(), &key).expect("it is in the log");
        checking.push(begun.elapsed());
        assert_eq!(head.size, effort.leaves);
        assert!(proof.verify(leaf(number + 1).bytes(), &key).is_err(), "of this entry and no other");
        hashes = hashes.max(proof.path.len());
        bytes.push(text.len());
    }
    bytes.sort_unstable();
    say(
        "proof",
        effort.leaves,
        &format!(
            "\"p50_us\":{},\"p99_us\":{},\"bytes_p50\":{},\"bytes_most\":{},\"hashes\":{hashes}",
            at(&mut proving, 50),
            at(&mut proving, 99),
            bytes[bytes.len() / 2],
            bytes[bytes.len() - 1]
        ),
    );
    say("verification", effort.leaves, &format!("\"p50_us\":{},\"p99_us\":{}", at(&mut checking, 50), at(&mut checking, 99)));
}

fn leaf(number: u64) -> Leaf {
    let mut object = [0; 32];
    object[..8].copy_from_slice(&number.to_be_bytes());
    Leaf::new(Act::Consent, UnixMs(0), &Salt([1; 32]), &RecordId(object))
}

fn signer() -> Signer {
    let key = SignKey::from_seed(&Secret::take(&mut [1; 32]));
    let verifier = VerifierKey::new("bench.example/log", key.did()).expect("a name");
    Signer { key, verifier }
}

fn open(place: &Place) -> Arc<Log> {
    Log::open_folder(&place.0, None, signer(), Duration::ZERO).expect("a log").0
}

fn append(log: &Log, count: u64) {
    let first = log.next();
    for number in first..first + count {
        log.push(number, leaf(number)).expect("in order");
    }
    log.settle(first + count - 1).expect("room");
}

/// A log of so many entries, as one that grew in large batches.
fn fill(leaves: u64, place: &Place) {
    let disk = Unsynced { folder: Folder::hold(&place.0).expect("a folder of our own"), root: place.0.clone() };
    let log = Log::open(Arc::new(disk), None, signer(), Duration::ZERO).expect("a new log").0;
    while log.next() < leaves {
        append(&log, (leaves - log.next()).min(50_000));
    }
    drop(log);
    // What was written without waiting is not to be written while something is measured.
    let _none_there = std::process::Command::new("sync").status();
}

/// A folder that waits for no disk.
#[derive(Debug)]
struct Unsynced {
    folder: Folder,
    root: PathBuf,
}

impl Disk for Unsynced {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.folder.read(path)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.folder.put(path, bytes)
    }

    fn put_durably(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.folder.put(path, bytes)
    }

    fn append_durably(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).open(self.root.join(path))?.write_all(bytes)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.folder.remove_folder(path)
    }
}

#[derive(Default)]
struct Kept {
    files: u64,
    /// What is in the files.
    bytes: u64,
    /// What the file system sets aside for them, folders included.
    allocated: u64,
}

fn weigh(path: &Path) -> Kept {
    let about = std::fs::metadata(path).expect("there");
    let mut kept = Kept { allocated: allocated(&about), ..Kept::default() };
    if about.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder of our own") {
            let below = weigh(&entry.expect("an entry").path());
            kept.files += below.files;
            kept.bytes += below.bytes;
            kept.allocated += below.allocated;
        }
    } else {
        (kept.files, kept.bytes) = (1, about.len());
    }
    kept
}

#[cfg(unix)]
fn allocated(about: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(about) * 512
}

#[cfg(not(unix))]
fn allocated(about: &std::fs::Metadata) -> u64 {
    about.len()
}

/// Microseconds that so many in a hundred took no longer than.
fn at(took: &mut [Duration], percent: usize) -> u128 {
    took.sort_unstable();
    took[((took.len() - 1) * percent).div_ceil(100)].as_micros()
}

#[expect(clippy::print_stdout, reason = "figures, for whoever runs it")]
fn say(figure: &str, leaves: u64, rest: &str) {
    println!("{{\"figure\":\"{figure}\",\"leaves\":{leaves},{rest}}}");
}
