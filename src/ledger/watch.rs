//! Whoever waits for changes of a subject's standing: wallets that are told what happens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use tokio::sync::watch;

use crate::veil::name::Did;

/// How many may wait at a time.
pub const WATCHING_MAX: usize = 1_024;

/// Subjects that somebody waits for.
#[derive(Debug, Default)]
pub struct Watched {
    by_subject: Arc<DashMap<Did, watch::Sender<()>>>,
    count: Arc<AtomicUsize>,
    /// Whoever comes now comes too late.
    shut: Mutex<bool>,
}

/// Somebody who waits.
#[derive(Debug)]
pub struct Watching {
    subject: Did,
    /// Until it is dropped.
    changes: Option<watch::Receiver<()>>,
    by_subject: Arc<DashMap<Did, watch::Sender<()>>>,
    count: Arc<AtomicUsize>,
}

impl Watched {
    /// Waits for changes from here on; none: too many do already, or the gateway stops.
    pub fn watch(&self, subject: Did) -> Option<Watching> {
        let shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        if *shut || self.count.load(Ordering::Relaxed) >= WATCHING_MAX {
            return None;
        }
        // Only here, and under the lock, does it grow.
        self.count.fetch_add(1, Ordering::Relaxed);
        let changes = self.by_subject.entry(subject).or_insert_with(|| watch::Sender::new(())).subscribe();
        let (by_subject, count) = (Arc::clone(&self.by_subject), Arc::clone(&self.count));
        Some(Watching { subject, changes: Some(changes), by_subject, count })
    }

    pub(super) fn changed(&self, subject: &Did) {
        if let Some(waiting) = self.by_subject.get(subject) {
            // An error: nobody waits any more, and whoever went last takes it away.
            let _gone = waiting.send(());
        }
    }

    /// Something that whoever waits may want to know has happened, to anybody.
    pub(super) fn all_changed(&self) {
        for waiting in self.by_subject.iter() {
            let _gone = waiting.send(());
        }
    }

    /// Ends all waiting for good.
    pub fn shut(&self) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.by_subject.clear();
    }
}

impl Watching {
    /// Comes back after a change since the last call, or since it began; false: the gateway stops.
    pub async fn changed(&mut self) -> bool {
        match &mut self.changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => false,
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.changes = None;
        // Nothing is kept of subjects that nobody waits for: anybody may ask, under any key.
        self.by_subject.remove_if(&self.subject, |_, waiting| waiting.receiver_count() == 0);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_wakes_who_waits_for_it_and_the_end_wakes_all() {
        let watched = Watched::default();
        let (one, other) = (Did([1; 32]), Did([2; 32]));
        let (mut waits, mut idle) = (watched.watch(one).expect("room"), watched.watch(other).expect("room"));
        watched.changed(&one);
        assert!(waits.changed().await);
        watched.changed(&Did([3; 32]));
        watched.shut();
        assert!(!waits.changed().await && !idle.changed().await);
        assert!(watched.watch(one).is_none(), "too late");
    }

    #[tokio::test]
    async fn so_many_wait_and_whoever_goes_makes_room() {
        let watched = Watched::default();
        let mut waiting: Vec<_> = (0..WATCHING_MAX).map(|_| watched.watch(Did([1; 32])).expect("room")).collect();
        assert!(watched.watch(Did([2; 32])).is_none() && watched.watch(Did([2; 32])).is_none());
        waiting.pop();
        assert!(watched.watch(Did([2; 32])).is_some());
        waiting.truncate(1);
        assert!(watched.by_subject.contains_key(&Did([1; 32])), "one of them still waits");
        drop(waiting);
        assert!(watched.by_subject.is_empty(), "nothing is left of who went");
    }
}
