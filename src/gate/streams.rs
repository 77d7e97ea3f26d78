//! Every open stream of frames, native or proxied: what the barrier of a withdrawal settles.

use std::sync::{Arc, Weak};

use dashmap::DashMap;

use crate::ledger::{Barrier, StreamSettled};
use crate::veil::name::{Did, StreamId};

/// A stream that hands frames over.
pub(super) trait Settle: Send + Sync + std::fmt::Debug {
    /// Returns when nothing of the subject (of anybody, where `None`) will be handed over under an older standing; says where
    /// the stream stands, if it ever showed the subject.
    fn settle(&self, subject: Option<&Did>) -> Option<StreamSettled>;

    /// Where it stands, if it shows the subject.
    fn settled(&self, subject: &Did) -> Option<StreamSettled>;
}

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
}

impl Barrier for Streams {
    fn settle(&self, subject: &Did) -> Vec<StreamSettled> {
        self.open().iter().filter_map(|stream| stream.settle(Some(subject))).collect()
    }

    fn settle_all(&self) -> Vec<StreamSettled> {
        self.open().iter().filter_map(|stream| stream.settle(None)).collect()
    }

    fn carrying(&self, subject: &Did) -> Vec<StreamSettled> {
        self.open().iter().filter_map(|stream| stream.settled(subject)).collect()
    }
}
