//! One use of each counted consent for each message that is handed over, taken before it is. Where uses have to be reserved on disk
//! first, the message waits, and nobody's thread does.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::ledger::{Ledger, Took, Uses};

/// How long a stream waits before it asks a store again that could not write.
const RETRY: Duration = Duration::from_secs(1);

/// Takes one of each, or none.
pub(super) fn take(all: &[Arc<Uses>], ledger: &Arc<Ledger>, waker: &Waker) -> Took {
    for (taken, uses) in all.iter().enumerate() {
        let took = uses.take(waker);
        if took == Took::One {
            continue;
        }
        give_back(all.get(..taken).unwrap_or_default());
        if took == (Took::Wait { begin: true }) {
            tokio::spawn(reserve(Arc::clone(ledger), Arc::clone(uses)));
        }
        return took;
    }
    if all.iter().any(|uses| uses.is_spent()) {
        ledger.used_up();
    }
    Took::One
}

/// They were not handed over after all.
pub(super) fn give_back(taken: &[Arc<Uses>]) {
    taken.iter().for_each(|uses| uses.give_back());
}

async fn reserve(ledger: Arc<Ledger>, uses: Arc<Uses>) {
    let reserving = {
        let uses = Arc::clone(&uses);
        tokio::task::spawn_blocking(move || ledger.reserve(&uses))
    };
    if let Ok(Err(refused)) = reserving.await {
        tracing::error!(code = refused.code(), "uses of a consent could not be counted: nothing is sent under it until they can");
        tokio::time::sleep(RETRY).await;
    }
    uses.wake();
}
