//! How soon is a withdrawal answered while streams are open and under load, and does anything come behind it?
//!
//! `cargo bench --bench withdrawal [-- WAY STREAMS…]` with WAY `native` or `proxied`. `twinveil serve` runs as a process of its own with
//! mutual TLS; recipients, callers and the service behind are in this one. A person lets everybody on every stream have all of it,
//! withdraws at some moment under load, and agrees again, many times. A line of JSON for each number of streams: `ack_p50_us` and
//! `ack_p99_us` are the wait of who withdraws, from the signed record to the answer, receipt included. Anything that came behind a
//! hand-over number is counted in `frames_after_ack`, and makes it fail.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints what it found, and has failed where it can't go on")]

#[path = "../tests/it"]
mod it {
    #[allow(dead_code, unused_imports, reason = "shared with the tests")]
    pub(crate) mod harness;
}
#[path = "withdrawal/native.rs"]
mod native;
#[path = "withdrawal/proxied.rs"]
mod proxied;

use std::process::ExitCode;
use std::time::Duration;

use it::harness::World;
use serde_json::json;
use tokio::time::Instant;
use twinveil::client::dsse;
use twinveil::client::wallet::Wallet;
use twinveil::proto::v1::{WithdrawRequest, WithdrawResponse};
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::withdrawal::Reach;

/// One stream of so many is read slowly.
const SLOW_EVERY: usize = 10;
/// Streams on one connection.
const PER_CONNECTION: usize = 100;
/// Every so many messages are this large: one that is half-way out takes several pieces.
const LARGE_EVERY: u64 = 50;
const LARGE_BYTES: usize = 24 * 1024;
/// How long is waited for what may still arrive.
const QUIET: Duration = Duration::from_millis(30);
/// Until a withdrawal is handed in, at the most: it comes at another moment of the load each time.
const MOMENTS_MS: u64 = 23;

/// What one measurement is to do.
#[derive(Clone, Copy)]
struct Plan {
    streams: usize,
    withdrawals: usize,
    /// Messages that reach somebody in a second, over all streams, if all keep up.
    per_second: usize,
}

impl Plan {
    /// The streams that are read slowly.
    fn slow(&self) -> usize {
        self.streams / SLOW_EVERY
    }

    /// Between two messages that everybody gets, where `parts` of the load come at once.
    fn pace(&self, parts: usize) -> Duration {
        Duration::from_secs_f64(parts as f64 / self.per_second as f64)
    }
}

/// What came of it.
#[derive(Default)]
struct Found {
    waits: Vec<Duration>,
    after: u64,
    reset: u64,
    delivered: u64,
    lasted: Duration,
}

impl Found {
    fn show(mut self, way: &str, plan: Plan) -> bool {
        self.waits.sort_unstable();
        let rank = |percent: usize| self.waits[(self.waits.len() * percent).div_ceil(100).max(1) - 1].as_micros();
        let line = json!({
            "streams": plan.streams, "ack_p50_us": rank(50), "ack_p99_us": rank(99), "frames_after_ack": self.after, "way": way,
            "slow": plan.slow(), "reset": self.reset, "withdrawals": self.waits.len(),
            "delivered_per_s": (self.delivered as f64 / self.lasted.as_secs_f64()) as u64,
        });
        println!("{line}");
        self.after == 0
    }
}

/// Hands a withdrawal of everything in, and says how long the answer took.
async fn withdraw(world: &World, wallet: &Wallet) -> (WithdrawResponse, Duration) {
    let record = wallet.withdraw(&Reach::UpTo(100_000), SignerRole::Subject, &world.origin(), world.now()).unwrap();
    let request = WithdrawRequest { record: Some(dsse::to_proto(&record)), ..WithdrawRequest::default() };
    let (mut consents, handed_in) = (world.consents(), Instant::now());
    let answer = it::harness::soon("an answer to a withdrawal", consents.withdraw(request)).await.expect("it is taken");
    (answer.into_inner(), handed_in.elapsed())
}

/// Lets some of the load pass, another part each time.
async fn some_moment(turn: usize) {
    tokio::time::sleep(Duration::from_millis(turn as u64 * 7 % MOMENTS_MS)).await;
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let test = words.iter().any(|word| word == "--test");
    let asked =
        |way: &str| words.iter().any(|word| word == way) || !words.iter().any(|word| ["native", "proxied"].contains(&word.as_str()));
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = if test { vec![1, 20] } else { vec![1, 100, 1_000] };
    }
    let withdrawals = if test { 3 } else { 200 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut none_after = true;
    for streams in sizes {
        if asked("native") {
            let plan = Plan { streams, withdrawals, per_second: if test { 2_000 } else { 20_000 } };
            none_after &= runtime.block_on(native::measure(plan)).show("native", plan);
        }
        if asked("proxied") {
            let plan = Plan { streams, withdrawals, per_second: if test { 500 } else { 5_000 } };
            none_after &= runtime.block_on(proxied::measure(plan)).show("proxied", plan);
        }
    }
    if none_after { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
