//! What a peer may ask for that costs work and brings nothing: acknowledgements, resets, empty frames. A bucket of tokens that time
//! and answered work refill; who empties it is told to calm down and loses the connection.

use tokio::time::Instant;

/// What a connection may ask for at once.
const TOKENS_MAX: u32 = 4_000;
/// What time gives back, tokens per second.
const PER_SECOND: u32 = 1_000;

/// Tokens of one connection.
#[derive(Debug)]
pub(super) struct Budget {
    tokens: u32,
    /// Up to when time has given.
    since: Instant,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { tokens: TOKENS_MAX, since: Instant::now() }
    }

    /// Whether this may still be asked for.
    #[inline]
    pub(super) fn spend(&mut self, tokens: u32) -> bool {
        if self.tokens < tokens {
            // The clock is asked only when tokens run out.
            self.refill(Instant::now());
        }
        match self.tokens.checked_sub(tokens) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// Work was done that the peer may answer.
    #[inline]
    pub(super) fn earn(&mut self, tokens: u32) {
        self.tokens = (self.tokens + tokens).min(TOKENS_MAX);
    }

    fn refill(&mut self, now: Instant) {
        let elapsed_ms = u32::try_from((now - self.since).as_millis()).unwrap_or(u32::MAX);
        let given = elapsed_ms.saturating_mul(PER_SECOND / 1_000);
        if given > 0 {
            self.since = now;
            self.earn(given.min(TOKENS_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn tokens_run_out_and_come_back_with_time_and_work() {
        let mut budget = Budget::new();
        assert!(budget.spend(TOKENS_MAX - 5));
        let later = |budget: &Budget, ms| budget.since + Duration::from_millis(ms);
        budget.refill(later(&budget, 10));
        assert_eq!(budget.tokens, 15);
        budget.earn(2);
        assert_eq!(budget.tokens, 17);
        budget.refill(later(&budget, 1_000_000_000));
        assert_eq!(budget.tokens, TOKENS_MAX);
        // As of now nothing more comes for a long time.
        assert!(budget.spend(TOKENS_MAX) && !budget.spend(1));
    }
}
