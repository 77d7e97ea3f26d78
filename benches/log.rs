//! How fast does the log take entries, and what does a proof cost at its size? `TWINVEIL_LOG_LEAVES` says how many it has (a
//! million unless said).
//!
//! The log is in a folder of its own on the disk of `TMPDIR`; every batch is durable before it is answered, so appending one at a time
//! costs the disk's flush.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use twinveil::log::{Copy, Log, Signer};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::merkle::leaf::{Act, Leaf, Salt};
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::name::{RecordId, UnixMs};

/// Entries that are written together where batches are measured: what a thousand callers send in ten milliseconds.
const BATCH: u64 = 1_000;

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _left_over = std::fs::remove_dir_all(&self.0);
    }
}

fn leaf(n: u64) -> Leaf {
    let mut object = [0; 32];
    object[..8].copy_from_slice(&n.to_be_bytes());
    Leaf::new(Act::Consent, UnixMs(0), &Salt([1; 32]), &RecordId(object))
}

fn open(place: &Place) -> Arc<Log> {
    let key = SignKey::from_seed(&Secret::take(&mut [1; 32]));
    let verifier = VerifierKey::new("bench.example/log", key.did()).expect("a name");
    Log::open_folder(&place.0, None, Signer { key, verifier }, Duration::ZERO).expect("a log").0
}

fn append(log: &Log, count: u64) {
    let first = log.next();
    for n in first..first + count {
        log.push(n, leaf(n)).expect("in order");
    }
    log.settle(first + count - 1).expect("room");
}

fn log(c: &mut Criterion) {
    let place = Place(std::env::temp_dir().join(format!("twinveil-bench-log-{}", std::process::id())));
    let log = open(&place);
    // Each once, so that it is not broken: a test run does not fill a disk.
    let whole = if std::env::args().any(|word| word == "--test") { 2_000 } else { 1_000_000 };
    let size = std::env::var("TWINVEIL_LOG_LEAVES").ok().and_then(|text| text.parse().ok()).unwrap_or(whole);
    while log.next() < size {
        append(&log, (size - log.next()).min(50_000));
    }
    let (copy, key) = (Copy::open(&place.0), log.verifier().clone());
    let proof = copy.prove(size / 3, &key).expect("there").to_string();
    eprintln!("log: {size} entries, a proof of {} bytes", proof.len());

    let mut group = c.benchmark_group("log");
    group.sample_size(20);
    let mut n = 0;
    group.bench_function(format!("prove/{size}"), |b| {
        b.iter_batched(
            || {
                n = (n + 7_919) % size;
                n
            },
            |n| copy.prove(n, &key).expect("there"),
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("append/1", |b| b.iter(|| append(&log, 1)));
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function(format!("append/{BATCH}"), |b| b.iter(|| append(&log, BATCH)));
    group.finish();

    drop(log);
    let mut group = c.benchmark_group("log");
    group.sample_size(10);
    group.bench_function(format!("open/{size}"), |b| b.iter(|| open(&place)));
    group.finish();
}

criterion_group!(benches, log);
criterion_main!(benches);
