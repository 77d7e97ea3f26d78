//! Fans frames out: each batch once, by reference, to a bounded queue per subscription. A lossless subscription whose queue is full makes
//! sources wait, for a bounded time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::chunk::Chunk;
use super::queue::{Ended, Queue};
use crate::stop::{Stop, Stopper, stop};
use crate::veil::name::SchemaName;

/// Everybody who listens, by schema.
#[derive(Debug)]
pub struct Hub {
    topics: RwLock<Topics>,
    stall_ms_max: AtomicU64,
    stopper: Stopper,
    stopping: Stop,
}

#[derive(Debug, Default)]
struct Topics {
    queues: HashMap<SchemaName, Arc<Vec<Arc<Queue>>>>,
    /// Whoever comes now comes too late.
    shut: bool,
}

impl Hub {
    /// A hub whose sources wait at most `stall_ms_max` for a lossless subscription that stopped reading.
    pub fn new(stall_ms_max: u64) -> Self {
        let (stopper, stopping) = stop();
        Self { topics: RwLock::default(), stall_ms_max: AtomicU64::new(stall_ms_max), stopper, stopping }
    }

    /// Sources wait for so long from now on.
    pub fn set_stall(&self, stall_ms_max: u64) {
        self.stall_ms_max.store(stall_ms_max, Ordering::Relaxed);
    }

    /// Adds a queue; where the gateway stops, it has ended.
    pub fn join(&self, schema: &SchemaName, queue: Arc<Queue>) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.shut {
            queue.end(Ended::Shutdown);
        }
        let topic = topics.queues.entry(schema.clone()).or_default();
        let mut queues = Vec::clone(topic);
        queues.push(queue);
        *topic = Arc::new(queues);
    }

    /// Removes a queue.
    pub fn leave(&self, schema: &SchemaName, queue: &Arc<Queue>) {
        queue.leave();
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.queues.get_mut(schema) {
            *topic = Arc::new(topic.iter().filter(|other| !Arc::ptr_eq(other, queue)).cloned().collect());
        }
    }

    fn queues(&self, schema: &SchemaName) -> Option<Arc<Vec<Arc<Queue>>>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).queues.get(schema).cloned()
    }

    /// Tells sources when to stop.
    pub fn stopping(&self) -> Stop {
        self.stopping.clone()
    }

    /// Gives a chunk to everybody who listens: first to all with room, then to those who make sources wait. Returns when
    /// every queue has it, or gave up on its reader.
    pub async fn publish(&self, schema: &SchemaName, chunk: Arc<Chunk>) {
        let Some(queues) = self.queues(schema) else { return };
        let full: Vec<&Arc<Queue>> = queues.iter().filter(|queue| !queue.offer(&chunk)).collect();
        if full.is_empty() {
            return;
        }
        let deadline = tokio::time::Instant::now() + Duration::from_millis(self.stall_ms_max.load(Ordering::Relaxed));
        for queue in full {
            queue.offer_until(&chunk, deadline).await;
        }
    }

    /// Ends every queue, and every source's call.
    pub fn shut_down(&self) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.shut = true;
        for queue in topics.queues.values().flat_map(|queues| queues.iter()) {
            queue.end(Ended::Shutdown);
        }
        drop(topics);
        self.stopper.stop();
    }
}
