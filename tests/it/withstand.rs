//! Does the gateway withstand whoever wants it down? Floods, slow readers, idle streams and broken upstreams against `twinveil serve` as
//! a process of its own, while other people's streams go on: memory under the ceiling that the manual states, no panic, no byte of what
//! was not judged, and an end that says why.

mod floods;
mod held;
mod nonsense;
mod others;
mod raw;
mod submits;
mod upstreams;

use std::collections::BTreeMap;

use crate::harness::child::Process;
use crate::harness::ward::{self, Got};

/// Whether there is time for the full size.
pub(crate) fn long() -> bool {
    std::env::var_os("TWINVEIL_LONG").is_some()
}

/// A gateway in front of a ward, with these lines in its configuration, and other people's streams through it.
async fn gateway(lines: &str) -> (Process, Got) {
    let (address, got) = ward::serve().await;
    (Process::start(crate::proxy::folder(&address.to_string(), lines)).await, got)
}

/// What the page on limits says that may be resident, in KiB: by what is open.
#[derive(Clone, Copy, Debug)]
struct Ceiling(u64);

impl Ceiling {
    /// A gateway that does nothing.
    const BASE_KIB: u64 = 96 * 1024;
    const CONNECTION_KIB: u64 = 384;
    const STREAM_KIB: u64 = 24;
    const WINDOW_KIB: u64 = 4 * 1024;
    const RECORD_KIB: u64 = 12;
    const KEPT_KIB: u64 = 64 * 1024;

    fn of(connections: u64, streams: u64) -> Self {
        Self(Self::BASE_KIB + connections * Self::CONNECTION_KIB + streams * Self::STREAM_KIB)
    }

    /// As many connections may have sent what nobody takes.
    fn with_windows(self, connections: u64) -> Self {
        Self(self.0 + connections * Self::WINDOW_KIB)
    }

    /// Large messages that are half-way.
    fn with_unfinished(self, kib: u64) -> Self {
        Self(self.0 + kib)
    }

    /// What batches keep that wait.
    fn with_kept(self) -> Self {
        Self(self.0 + Self::KEPT_KIB)
    }

    #[track_caller]
    #[expect(clippy::print_stdout, reason = "figures, for whoever runs the long tests")]
    fn holds(self, what: &str, process: &Process) {
        let peak = process.peak_kib();
        println!("{{\"withstood\":{what:?},\"peak_kib\":{peak},\"resident_kib\":{},\"ceiling_kib\":{}}}", process.resident_kib(), self.0);
        assert!(peak <= self.0, "{what}: {peak} KiB were resident, of {} KiB", self.0);
    }
}

#[test]
fn the_page_on_limits_states_the_ceiling_that_is_tested() {
    let page = crate::manual::read("src/manual/limits.md");
    let stated: BTreeMap<&str, &str> = page.lines().filter_map(|line| line.strip_prefix("| memory: ")?.split_once(" | ")).collect();
    let says = |what: &str, kib: u64| {
        let value = if kib.is_multiple_of(1024) { format!("{} MiB", kib / 1024) } else { format!("{kib} KiB") };
        assert!(stated.get(what).is_some_and(|cell| cell.starts_with(&value)), "`{what}` should be {value}: {stated:?}");
    };
    says("the gateway itself", Ceiling::BASE_KIB);
    says("a connection", Ceiling::CONNECTION_KIB);
    says("an open stream or call", Ceiling::STREAM_KIB);
    says("a record of somebody in memory", Ceiling::RECORD_KIB);
    says("what a connection has sent and nobody has taken", Ceiling::WINDOW_KIB);
    says("what came together with batches that wait", Ceiling::KEPT_KIB);
}
