//! What does a gateway cost that serves a million people: its start, its memory, finding one of them and deciding about them?
//!
//! `cargo bench --bench subjects` makes stores of 1,000, 100,000 and a million subjects, each enrolled and with two signed consents, in
//! folders under `TMPDIR` (5 GB for the largest), and prints a line of JSON for each. `TWINVEIL_SUBJECTS=N,N` asks for others;
//! `TWINVEIL_SUBJECTS_KEPT=FOLDER` keeps them there, and measures those that a run before left. The files are in the system's cache when
//! they are measured: a cold start reads them once more from the disk.

#[path = "subjects/generate.rs"]
mod generate;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use generate::People;
use twinveil::judge::{Judge, Listener};
use twinveil::ledger::{Ledger, RESIDENT_MAX};
use twinveil::proto::SAMPLES;
use twinveil::store::Store;
use twinveil::veil::name::Spiffe;
use twinveil::veil::policy::floor::Policy;
use twinveil::veil::schema::load;
use twinveil::veil::terms;
use twinveil::world::Clock;

const POLICY: &str = r#"
@id("research")
permit (principal, action == Action::"keep", resource) when { context.purpose == Purpose::"dpv:AcademicResearch" };
"#;

fn main() {
    let test = std::env::args().any(|word| word == "--test");
    let asked = std::env::var("TWINVEIL_SUBJECTS").ok();
    let sizes: Vec<u64> = match (asked, test) {
        (Some(sizes), _) => sizes.split(',').map(|size| size.trim().parse().expect("numbers, with commas between")).collect(),
        (None, true) => vec![30],
        (None, false) => vec![1_000, 100_000, 1_000_000],
    };
    let kept = std::env::var_os("TWINVEIL_SUBJECTS_KEPT").map(PathBuf::from);
    for size in sizes {
        let folder = match &kept {
            Some(folder) => folder.join(size.to_string()),
            None => std::env::temp_dir().join(format!("twinveil-subjects-{size}-{}", std::process::id())),
        };
        measure(&People { count: size, folder, kept: kept.is_some() });
    }
}

#[expect(clippy::print_stdout, reason = "figures, for whoever runs it")]
fn measure(people: &People) {
    let begun = Instant::now();
    // Written last: what was begun only is not taken for whole.
    let whole = people.folder.join("whole");
    if !whole.exists() {
        let _left_half_made = std::fs::remove_dir_all(&people.folder);
        people.write();
        std::fs::write(whole, "").expect("room");
    }
    let made = begun.elapsed();
    let bytes = std::fs::metadata(people.folder.join("store/facts.redb")).expect("it was made").len();

    let before = resident_bytes();
    let begun = Instant::now();
    let store = Arc::new(Store::open(&people.folder.join("store")).expect("as it was left"));
    let opened = begun.elapsed();
    let log = people.log();
    let ledger = Ledger::open(store, log, people.config(), Arc::new(Clock::new())).expect("as it was left");
    let started = begun.elapsed();
    let idle = resident_bytes().saturating_sub(before);

    // A stride through all of them: nobody is asked for twice before everybody else was.
    let source = generate::source();
    let find = |n: u64| ledger.subject_of(&source, generate::value(n).as_bytes()).expect("readable").expect("enrolled");
    let asked = people.count.min(20_000);
    let stride = |k: u64| k.wrapping_mul(7_919) % people.count;
    let read = each(asked, |k| drop(black_box(find(stride(k)))));
    let few = people.count.min(RESIDENT_MAX as u64 / 2);
    (0..few).for_each(|n| drop(find(n)));
    let found = each(200_000.min(few * 100), |k| drop(black_box(find(k % few))));
    let nobody = each(100_000.min(asked * 100), |k| {
        assert!(black_box(ledger.subject_of(&source, format!("nobody-{k}").as_bytes())).expect("readable").is_none());
    });

    let schema = Arc::new(load(SAMPLES, "twinveil.sample.PatientFrame", None).expect("our own sample"));
    let (recipient, purpose) = (generate::recipient(), terms::purpose("dpv:AcademicResearch").expect("a DPV term"));
    let policy = Policy::load(POLICY, &[(recipient.clone(), Vec::new())]).expect("a policy");
    let judge = Judge::new(vec![Arc::clone(&schema)], policy, "EU".to_owned(), Arc::clone(&ledger));
    let listener = Listener { spiffe: Spiffe::clone(&recipient), did: None, stated_key: None };
    let now = ledger.clock().now().expect("right");
    let standings: Vec<_> = (0..few.min(1_000)).map(|k| find(stride(k)).standing()).collect();
    let decide = |k: u64| judge.judge(&schema, &listener, &purpose, Some(&standings[k as usize % standings.len()]), now).expect("a policy");
    assert!(decide(0).delivers, "the consents that were made permit something");
    let decided = each(20_000.min(few * 100), |k| drop(black_box(decide(k))));
    let busy = resident_bytes().saturating_sub(before);

    println!(
        "{{\"subjects\":{},\"records\":{},\"store_bytes\":{bytes},\"made_ms\":{},\"start_ms\":{},\"of_these_integrity_ms\":{},\
         \"idle_bytes\":{idle},\"idle_bytes_per_subject\":{},\"busy_bytes\":{busy},\"lookup_ns\":{found},\"lookup_from_disk_ns\":{read},\
         \"lookup_of_nobody_ns\":{nobody},\"decide_ns\":{decided}}}",
        people.count,
        people.count * 2,
        made.as_millis(),
        started.as_millis(),
        opened.as_millis(),
        idle / people.count,
    );
}

/// Nanoseconds of one of so many.
fn each(count: u64, mut work: impl FnMut(u64)) -> u128 {
    let begun = Instant::now();
    (0..count).for_each(&mut work);
    begun.elapsed().as_nanos() / u128::from(count.max(1))
}

/// What of this process is in memory, files of the system's cache aside; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1_024
}
