//! Turns at the desk. A record that is submitted is verified, written and put into the log by a thread of its own; whoever brings more than
//! others waits for themselves. So many of one carrier are at work, so many of all; what waits is bounded, and beyond that refused.
//! Withdrawals take no turn: nothing may stand in their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::status::Refuse;
use crate::veil::name::Spiffe;

/// How many records of one carrier are at work at once.
const OF_ONE_MAX: usize = 16;
/// Of all carriers.
const OF_ALL_MAX: usize = 128;
/// How many more of one carrier wait.
const WAITING_MAX: usize = 256;

/// Who is at work, and who waits.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    carriers: Arc<DashMap<Spiffe, Arc<Carrier>>>,
}

#[derive(Debug)]
struct Carrier {
    turns: Arc<Semaphore>,
    here: AtomicUsize,
}

/// One turn; it ends with this.
#[derive(Debug)]
pub(super) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_one: OwnedSemaphorePermit,
    _here: Here,
}

#[derive(Debug)]
struct Here(Arc<Carrier>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(OF_ALL_MAX)), carriers: Arc::default() }
    }
}

impl Turns {
    /// Waits for a turn, after everybody of the same carrier who came before.
    pub(super) async fn take(&self, carrier: &Spiffe) -> Result<Turn, Refuse> {
        let new = || Arc::new(Carrier { turns: Arc::new(Semaphore::new(OF_ONE_MAX)), here: AtomicUsize::new(0) });
        let carrier = Arc::clone(&self.carriers.entry(carrier.clone()).or_insert_with(new));
        let before = carrier.here.fetch_add(1, Ordering::Relaxed);
        let here = Here(carrier);
        if before >= OF_ONE_MAX + WAITING_MAX {
            return Err(Refuse::TooMany);
        }
        // First among their own, then among all: so nobody has more than their share of those who wait for the second.
        let of_one = Arc::clone(&here.0.turns).acquire_owned().await.map_err(|_| Refuse::Shutdown)?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.map_err(|_| Refuse::Shutdown)?;
        Ok(Turn { _of_all: of_all, _of_one: of_one, _here: here })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(n: usize) -> Spiffe {
        Spiffe::parse(&format!("spiffe://example.org/portal/{n}")).expect("an id")
    }

    #[tokio::test]
    async fn whoever_floods_waits_for_themselves_and_is_refused_where_too_many_wait() {
        let turns = Turns::default();
        let mut at_work = Vec::new();
        for _ in 0..OF_ONE_MAX {
            at_work.push(turns.take(&carrier(1)).await.expect("room"));
        }
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let turns = turns.clone();
                tokio::spawn(async move { turns.take(&carrier(1)).await.map(drop) })
            })
            .collect();
        while turns.carriers.get(&carrier(1)).expect("known").here.load(Ordering::Relaxed) < OF_ONE_MAX + WAITING_MAX {
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.take(&carrier(1)).await.err(), Some(Refuse::TooMany));
        // Others have their turn at once.
        turns.take(&carrier(2)).await.expect("room");
        at_work.clear();
        for waited in waiting {
            waited.await.expect("no panic").expect("a turn");
        }
        turns.take(&carrier(1)).await.expect("room again");
    }

    #[tokio::test]
    async fn many_carriers_are_bounded_together_and_none_is_refused() {
        let turns = Turns::default();
        let mut at_work = Vec::new();
        for n in 0..OF_ALL_MAX / OF_ONE_MAX {
            for _ in 0..OF_ONE_MAX {
                at_work.push(turns.take(&carrier(n)).await.expect("room"));
            }
        }
        let late = carrier(99);
        let mut next = std::pin::pin!(turns.take(&late));
        assert!(now(next.as_mut()).await.is_none(), "all places are taken");
        at_work.pop();
        next.await.expect("the place that came free");
    }

    /// What a future has ready, if anything.
    async fn now<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(cx) {
                std::task::Poll::Ready(ready) => Some(ready),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
