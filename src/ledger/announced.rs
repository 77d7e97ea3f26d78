//! Key announcements that were made lately, so that a recipient who missed one can ask again. Wraps only: nobody but the key
//! holders reads a seed out of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::proto::intoto::Envelope;
use crate::veil::name::{Spiffe, ViewId};

/// How many epochs are remembered; the oldest go first.
pub const EPOCHS_MAX: usize = 65_536;

/// Announcements by view and epoch.
#[derive(Debug, Default)]
pub struct AnnouncedKeys(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_epoch: HashMap<(ViewId, u64), (Spiffe, Vec<Envelope>)>,
    order: VecDeque<(ViewId, u64)>,
}

impl AnnouncedKeys {
    /// Notes what was announced to a recipient. A view without sealed groups announces nothing.
    pub fn note(&self, view: ViewId, epoch: u64, recipient: &Spiffe, keys: &[Envelope]) {
        if keys.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.order.len() >= EPOCHS_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.by_epoch.remove(&oldest);
        }
        if kept.by_epoch.insert((view, epoch), (recipient.clone(), keys.to_vec())).is_none() {
            kept.order.push_back((view, epoch));
        }
    }

    /// What was announced to this recipient, and to no other.
    pub fn find(&self, view: ViewId, epoch: u64, recipient: &Spiffe) -> Option<Vec<Envelope>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_epoch.get(&(view, epoch)).filter(|(owner, _)| owner == recipient).map(|(_, keys)| keys.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(name: &str) -> Spiffe {
        Spiffe::parse(&format!("spiffe://example.org/{name}")).expect("an id")
    }

    #[test]
    fn an_announcement_is_found_by_its_recipient_alone() {
        let keys = AnnouncedKeys::default();
        keys.note(ViewId([1; 16]), 3, &recipient("a"), &[Envelope::default()]);
        assert!(keys.find(ViewId([1; 16]), 3, &recipient("a")).is_some());
        assert!(keys.find(ViewId([1; 16]), 3, &recipient("b")).is_none());
        assert!(keys.find(ViewId([1; 16]), 4, &recipient("a")).is_none());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let keys = AnnouncedKeys::default();
        for epoch in 0..=EPOCHS_MAX as u64 {
            keys.note(ViewId([1; 16]), epoch, &recipient("a"), &[Envelope::default()]);
        }
        assert!(keys.find(ViewId([1; 16]), 0, &recipient("a")).is_none());
        assert!(keys.find(ViewId([1; 16]), EPOCHS_MAX as u64, &recipient("a")).is_some());
    }
}
