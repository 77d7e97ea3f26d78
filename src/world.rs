//! The only place that asks for time and entropy.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::veil::consent::SKEW_MS_MAX;
use crate::veil::crypto::CryptoRng;
use crate::veil::logsafe::LogSafe;
use crate::veil::name::UnixMs;

/// Random bytes of the operating system.
///
/// # Panics
/// A draw panics where the operating system has no random bytes to give: going on with others would break every key
/// made from them. On the platforms that we build for this ends with early boot.
pub fn entropy() -> impl CryptoRng {
    getrandom::rand_core::UnwrapErr(getrandom::SysRng)
}

/// So many bytes that nobody guesses.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut entropy(), &mut bytes);
    bytes
}

fn fill(entropy: &mut impl CryptoRng, bytes: &mut [u8]) {
    entropy.fill_bytes(bytes);
}

/// Time that does not run backwards: the later of the system's and the highest instant ever seen, which the ledger keeps
/// durably, so that setting the clock back revives no expired consent.
#[derive(Debug)]
pub struct Clock {
    mark: AtomicI64,
    shift: AtomicI64,
}

/// The system's clock is more than five minutes behind what was seen before: nothing is decided until it is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockBehind {
    /// What the system says.
    pub system: UnixMs,
    /// The latest instant seen.
    pub mark: UnixMs,
}

impl ClockBehind {
    /// The stable code; the manual has an entry for it.
    pub const CODE: &'static str = "TV-T01";
}

impl fmt::Display for ClockBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system clock says {}, but it was {} before: set the clock of this machine", self.system, self.mark)
    }
}

impl std::error::Error for ClockBehind {}
impl LogSafe for ClockBehind {}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// The system's clock, nothing seen yet.
    pub const fn new() -> Self {
        Self { mark: AtomicI64::new(i64::MIN), shift: AtomicI64::new(0) }
    }

    /// The later of the system's clock and the latest instant seen.
    pub fn now(&self) -> Result<UnixMs, ClockBehind> {
        let system = system_ms().saturating_add(self.shift.load(Ordering::Relaxed));
        let mark = self.mark.fetch_max(system, Ordering::AcqRel);
        if system.saturating_add(SKEW_MS_MAX) < mark {
            return Err(ClockBehind { system: UnixMs(system), mark: UnixMs(mark) });
        }
        Ok(UnixMs(system.max(mark)))
    }

    /// Now; where the system's clock is behind, which stops decisions, the latest instant seen: for what goes on all the same.
    pub fn latest(&self) -> UnixMs {
        self.now().unwrap_or_else(|behind| behind.mark)
    }

    /// The latest instant seen; before the first, the beginning of all.
    pub fn mark(&self) -> UnixMs {
        UnixMs(self.mark.load(Ordering::Acquire))
    }

    /// Takes over what was seen elsewhere, or before a restart.
    pub fn raise(&self, mark: UnixMs) {
        self.mark.fetch_max(mark.0, Ordering::AcqRel);
    }

    /// Moves what the system says, for tests and simulations: positive is later. Adds up.
    pub fn shift(&self, ms: i64) {
        self.shift.fetch_add(ms, Ordering::Relaxed);
    }
}

fn system_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        // Before 1970: certainly behind every mark.
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;

    #[test]
    fn time_does_not_run_backwards() {
        let clock = Clock::new();
        let before = clock.now().expect("right");
        clock.shift(-60_000);
        assert!(clock.now().expect("a minute behind is within bounds") >= before);
        clock.shift(120_000);
        assert!(clock.now().expect("ahead").0 >= before.0 + 60_000);
    }

    #[test]
    fn a_clock_far_behind_fails_until_it_is_right_again() {
        let clock = Clock::new();
        clock.now().expect("right");
        clock.shift(-SKEW_MS_MAX - 60_000);
        let error = clock.now().expect_err("behind");
        assert!(error.system < error.mark);
        clock.shift(SKEW_MS_MAX + 60_000);
        clock.now().expect("right again");
    }

    #[test]
    fn a_mark_from_before_a_restart_counts() {
        let clock = Clock::new();
        let ahead = UnixMs(clock.now().expect("right").0 + 1_000_000);
        clock.raise(UnixMs(0));
        clock.raise(ahead);
        assert_eq!(clock.mark(), ahead);
        assert_eq!(clock.now().expect_err("behind").mark, ahead);
    }

    #[test]
    fn entropy_gives_different_bytes() {
        let mut entropy = entropy();
        assert_ne!(entropy.next_u64(), entropy.next_u64());
    }
}
