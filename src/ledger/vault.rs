//! Key announcements for subjects' vaults, kept so that a wallet can open, take along and release what was sealed for it. They are gathered
//! and written together: no stream waits for the disk. What a crash loses of the last seconds its recipients have, too: the wrap for
//! the vault is in their announcement.

use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;

use super::{Ledger, Refused};
use crate::proto::v1::VaultWrap;
use crate::store::Batch;
use crate::veil::name::Did;
use crate::world;

/// The most that wait to be written; more are not kept by the gateway.
pub const WAITING_MAX: usize = 65_536;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Vaults {
    waiting: Mutex<Vec<(Did, VaultWrap)>>,
    /// Whoever writes: nobody reads what is kept while some of it is neither here nor there.
    writing: Mutex<()>,
}

impl Vaults {
    fn waiting(&self) -> MutexGuard<'_, Vec<(Did, VaultWrap)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Notes an announcement that opens something for a subject's vault; false: too many wait.
    pub fn note_wrap(&self, did: Did, wrap: VaultWrap) -> bool {
        let mut waiting = self.vaults.waiting();
        let room = waiting.len() < WAITING_MAX;
        if room {
            waiting.push((did, wrap));
        }
        room
    }

    /// Writes what was noted. Call it every few seconds, and at the end.
    pub fn keep_wraps(&self) -> Result<(), Refused> {
        let _alone = self.vaults.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut *self.vaults.waiting());
        if waiting.is_empty() {
            return Ok(());
        }
        // A clock that is behind stops decisions; what was sealed before is kept all the same.
        let now = self.clock.latest();
        let sealed =
            waiting.iter().map(|(did, wrap)| (*did, self.rest_key.seal_wrap(did, &mut wrap.encode_to_vec(), &mut world::entropy())));
        let mut batch = Batch { wraps: sealed.collect(), ..Batch::default() };
        let kept = self.sure_writer().and_then(|mut writer| self.commit(&mut writer, &mut batch, now, &[]));
        if kept.is_err() {
            // In front of what was noted meanwhile. Where it got to disk after all it is there twice, and opens twice.
            let mut later = self.vaults.waiting();
            let newer = std::mem::replace(&mut *later, waiting);
            let room = WAITING_MAX.saturating_sub(later.len());
            later.extend(newer.into_iter().take(room));
        }
        kept.map(drop)
    }

    /// What is kept for a subject's vault from number `from` on, the oldest first, `most` of it.
    pub fn wraps(&self, did: &Did, from: u64, most: usize) -> Result<Vec<VaultWrap>, Refused> {
        self.keep_wraps()?;
        let sealed = self.store.wraps_of(did, from, most).map_err(Refused::Unavailable)?;
        let open = |(number, sealed): (u64, Vec<u8>)| {
            let plain = self.rest_key.open_wrap(did, &sealed).and_then(|plain| VaultWrap::decode(plain.as_slice()).ok());
            plain.map(|wrap| VaultWrap { number, ..wrap }).ok_or(Refused::Unread { fact: None, code: "TV-D05" })
        };
        sealed.into_iter().map(open).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::World;
    use super::*;
    use crate::veil::consent::testing::key;

    fn wrap(recipient: &str) -> VaultWrap {
        VaultWrap { recipient: recipient.into(), ..VaultWrap::default() }
    }

    fn kept(world: &World, n: u8) -> Vec<(u64, String)> {
        let wraps = world.ledger.wraps(&key(n).did(), 0, 9).expect("room");
        wraps.into_iter().map(|wrap| (wrap.number, wrap.recipient)).collect()
    }

    #[test]
    fn what_is_noted_is_the_subjects_alone_outlives_a_restart_and_names_nobody_at_rest() {
        let mut world = World::new();
        for (n, recipient) in [(1, "spiffe://lab.example/one"), (2, "spiffe://lab.example/two"), (1, "spiffe://lab.example/three")] {
            assert!(world.ledger.note_wrap(key(n).did(), wrap(recipient)));
        }
        world.ledger.keep_wraps().expect("room");
        world.restart();
        assert_eq!(kept(&world, 1), [(0, "spiffe://lab.example/one".to_owned()), (1, "spiffe://lab.example/three".to_owned())]);
        assert_eq!(kept(&world, 2), [(0, "spiffe://lab.example/two".to_owned())]);
        assert_eq!(kept(&world, 3), []);
        let bytes = world.store.bytes();
        assert!(!bytes.windows(11).any(|window| window == b"lab.example"));
    }

    #[test]
    fn on_a_full_disk_they_wait_and_are_kept_when_there_is_room() {
        let world = World::new();
        world.ledger.note_wrap(key(1).did(), wrap("one"));
        world.store.set_full(true);
        assert_eq!(world.ledger.keep_wraps().expect_err("full").code(), "TV-L06");
        world.ledger.note_wrap(key(1).did(), wrap("two"));
        world.store.set_full(false);
        assert_eq!(kept(&world, 1), [(0, "one".to_owned()), (1, "two".to_owned())]);
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let world = World::new();
        let noted = (0..=WAITING_MAX).filter(|_| world.ledger.note_wrap(key(1).did(), VaultWrap::default())).count();
        assert_eq!(noted, WAITING_MAX);
    }
}
