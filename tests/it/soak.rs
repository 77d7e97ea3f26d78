//! Does it stay as it was when it began? Mixed load through `twinveil serve` with mutual TLS, native and proxied, while people grant,
//! replace and withdraw: nobody gets what they may not see at that time, memory is flat, and nothing is logged that should not be.
//! `TWINVEIL_SOAK_SECONDS` says for how long: ten seconds in the usual run, ten minutes in the long one.

mod load;
mod people;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use self::load::Load;
use self::people::People;
use crate::harness::child::Process;
use crate::harness::ward;

/// What is resident may grow by so much between the second third of the time and the last.
const GROWTH: f64 = 1.05;
const GROWTH_KIB: u64 = 8 * 1024;
/// The same for a run so short that caches still fill.
const SHORT_GROWTH_KIB: u64 = 64 * 1024;

fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_mixed_load_with_consents_that_change_nothing_leaks_and_nothing_grows() {
    let long = super::withstand::long();
    let by_default = if long { 600 } else { 10 };
    let seconds: u64 = std::env::var("TWINVEIL_SOAK_SECONDS").map_or(by_default, |seconds| seconds.parse().unwrap());
    let (address, got) = ward::serve().await;
    // What the store keeps of its file stays small, so that whatever grows is something else.
    let mut process = Process::start(crate::proxy::folder(&address.to_string(), "[store]\ncache_mib = 4")).await;
    let people = Arc::new(People::enrol(&process.world).await);
    let load = Load::start(&process.world, &people, got).await;
    let mut resident = Vec::new();
    for _ in 0..seconds * 4 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        resident.push(process.resident_kib());
        load.goes_on();
        process.is_well();
        people.change_one(&process.world).await;
    }
    let tally = load.stop().await;
    let third = resident.len() / 3;
    let thirds = [0, 1, 2].map(|at| median(resident[at * third..(at + 1) * third].to_vec()));
    let violations = people.violations();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{{\"soak_seconds\":{seconds},\"frames_published\":{},\"frames_received\":{},\"calls\":{},\"messages_received\":{},\"consent_changes\":{},\
         \"withdrawals\":{},\"streams_settled\":{},\"violations\":{},\"rss_thirds_kib\":[{},{},{}],\"rss_peak_kib\":{}}}",
        count(&tally.published),
        count(&tally.received),
        count(&tally.calls),
        count(&tally.messages),
        people.changes(),
        people.withdrawals(),
        people.settled(),
        violations.len(),
        thirds[0],
        thirds[1],
        thirds[2],
        process.peak_kib()
    );
    assert!(violations.is_empty(), "{:#?}", &violations[..violations.len().min(5)]);
    for (what, least) in [(&tally.published, 100), (&tally.received, 200), (&tally.calls, 20), (&tally.messages, 20)] {
        assert!(count(what) >= least * seconds / 10, "the load was none: {tally:?}");
    }
    // Both ways were taken: what may be seen was, what may not was not.
    assert!(count(&tally.shown) > 0 && count(&tally.hidden) > 0 && people.settled() > 0, "{tally:?}");
    let room = if seconds >= 120 { GROWTH_KIB } else { SHORT_GROWTH_KIB };
    let most = (thirds[1] as f64 * GROWTH) as u64 + room;
    assert!(thirds[2] <= most, "memory grows: {thirds:?} KiB in thirds of the time");
    process.is_well();
}
