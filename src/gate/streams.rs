//! Every open stream of frames, native or proxied: what the barrier of a withdrawal settles.

use std::sync::{Arc, Weak};
use std::time::Duration;

use dashmap::DashMap;
use tokio::runtime::Handle;

use crate::ledger::{Barrier, StreamSettled};
use crate::veil::name::{Did, StreamId};

/// A stream that hands frames over.
pub(super) trait Settle: Send + Sync + std::fmt::Debug {
    /// Returns when nothing of the subject (of anybody, where `None`) will be handed over under an older standing; says where
    /// the stream stands, if it ever showed the subject.
    fn settle(&self, subject: Option<&Did>) -> Option<StreamSettled>;

    /// Wakes it, where it has something to say since it was settled.
    fn tell(&self);

    /// Where it stands, if it shows the subject.
    fn settled(&self, subject: &Did) -> Option<StreamSettled>;
}

/// So many streams are woken at once after they were settled, and then as many again after a moment: what a thousand of them have to
/// say would stand before the answer that everything is settled for.
const TOLD_AT_ONCE: usize = 16;
const BETWEEN: Duration = Duration::from_millis(1);

/// Every open stream.
#[derive(Debug, Default)]
pub struct Streams(DashMap<StreamId, Weak<dyn Settle>>);

impl Streams {
    /// How many are open.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From here on the barrier settles it.
    pub(super) fn enter(&self, id: StreamId, stream: Weak<dyn Settle>) {
        self.0.insert(id, stream);
    }

    /// It hands nothing over any more.
    pub(super) fn leave(&self, id: &StreamId) {
        self.0.remove(id);
    }

    fn open(&self) -> Vec<Arc<dyn Settle>> {
        self.0.iter().filter_map(|entry| entry.upgrade()).collect()
    }

    /// First all are settled, and then those that have to say so are woken, which nobody waits for.
    fn settle_open(&self, subject: Option<&Did>) -> Vec<StreamSettled> {
        let open = self.open();
        let settled = open.iter().filter_map(|stream| stream.settle(subject)).collect();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(tell(open))),
            // Without a runtime nobody waits for an answer on one.
            Err(_) => open.iter().for_each(|stream| stream.tell()),
        }
        settled
    }
}

async fn tell(streams: Vec<Arc<dyn Settle>>) {
    for some in streams.chunks(TOLD_AT_ONCE) {
        some.iter().for_each(|stream| stream.tell());
        tokio::time::sleep(BETWEEN).await;
    }
}

impl Barrier for Streams {
    fn settle(&self, subject: &Did) -> Vec<StreamSettled> {
        self.settle_open(Some(subject))
    }

    fn settle_all(&self) -> Vec<StreamSettled> {
        self.settle_open(None)
    }

    fn carrying(&self, subject: &Did) -> Vec<StreamSettled> {
        self.open().iter().filter_map(|stream| stream.settled(subject)).collect()
    }
}
