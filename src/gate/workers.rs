//! Threads that carry connections: one runtime each, so that all that belongs to a connection, its calls and their way to the
//! upstream runs on one processor, and what several calls have to send goes out in one write.
//!
//! With a shared runtime a call that has something to send wakes the connection's task, which runs next and writes that little
//! alone. Here tasks take turns: every call that is ready says its piece first.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, available_parallelism};

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Which of the workers this is, from 0; 0 elsewhere, too.
pub(super) fn index() -> usize {
    INDEX.get()
}

/// How many workers there are: one for each processor.
pub(super) fn count() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The workers of a listener; they end, with all they carry, when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Workers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtimes: Vec<(Handle, oneshot::Sender<()>)>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts them.
    pub(super) fn start() -> io::Result<Self> {
        let start = |index| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let (handle, (alive, ended)) = (runtime.handle().clone(), oneshot::channel::<()>());
            Builder::new().name(format!("twinveil-{index}")).spawn(move || {
                INDEX.set(index);
                // Nothing is ever sent: it ends when the other end is dropped.
                let _dropped = runtime.block_on(ended);
            })?;
            Ok((handle, alive))
        };
        let runtimes = (0..count()).map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(Self(Arc::new(Inner { runtimes, next: AtomicUsize::new(0) })))
    }

    /// Runs a task on one of the workers, in turn; returns when it has ended. Dropping what is returned ends it, too.
    pub(super) async fn run(self, task: impl Future<Output = ()> + Send + 'static) {
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed);
        let Some((worker, _)) = self.0.runtimes.get(turn % self.0.runtimes.len().max(1)) else { return };
        let running = worker.spawn(task);
        let _guard = AbortOnDrop(running.abort_handle());
        // A task that panicked or was ended has ended.
        drop(running.await);
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    use std::time::Duration;

    #[tokio::test]
    async fn tasks_are_spread_and_end_with_whoever_asked_for_them() {
        let workers = Workers::start().expect("threads");
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        for _ in 0..2 * count() {
            let seen = Arc::clone(&seen);
            workers.clone().run(async move { drop(seen.lock().map(|mut seen| seen.insert(index()))) }).await;
        }
        assert_eq!(seen.lock().expect("no panic").len(), count());
        let (sender, ended) = oneshot::channel::<()>();
        let forever = workers.run(async move {
            let _kept = sender;
            std::future::pending::<()>().await;
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), forever).await.is_err());
        assert!(ended.await.is_err(), "the task was dropped");
    }
}
