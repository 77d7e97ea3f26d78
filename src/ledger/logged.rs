//! What the ledger does is in the log: a leaf is durable with its record, and handed to the log in the order of the store. Leaf number n
//! of the store is entry n of the log, so that nothing is logged twice and, whenever the gateway stopped, what is missing is known.

use std::collections::BTreeSet;

use super::{Ledger, OpenError, Refused, Subject};
use crate::log::{Log, LogError};
use crate::store::{Batch, Noted, Store, StoreError};
use crate::veil::merkle::leaf::{Act, Leaf, Salt};
use crate::veil::merkle::receipt::LogProof;
use crate::veil::name::{Did, Origin, RecordId};

/// That a record is in the log: for its subject and who signed it, who alone can show what the leaf is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// With it and the record whoever has both finds the leaf to be about that record.
    pub salt: Salt,
    /// The leaf, as what is carried along, and its proof.
    pub proof: LogProof,
}

/// Refuses a store and a log of which one was set back.
pub(super) fn compare(store: &Store, log: &Log) -> Result<(), OpenError> {
    let (noted, logged) = (store.leaf_count()?, log.size());
    if noted < logged {
        return Err(OpenError::StoreBehind { noted, logged });
    }
    let mut kept = None;
    store.leaves_from(0, |number, _| kept = kept.or(Some(number)))?;
    let kept = kept.unwrap_or(noted);
    if logged < kept { Err(OpenError::LogBehind { kept, logged }) } else { Ok(()) }
}

impl Ledger {
    /// Refuses a store that belongs to another log; one that belongs to none belongs to the ledger that is opened on it.
    pub fn claim(store: &Store, origin: &Origin) -> Result<(), OpenError> {
        match store.origin()? {
            Some(stored) if stored != origin.as_str() => Err(OpenError::OtherOrigin { stored }),
            _ => Ok(()),
        }
    }

    /// Waits until a leaf that is durable is in the log, and proves it. Whoever found it in the store may be ahead of who handed it over.
    pub(super) fn logged(&self, leaf: u64) -> Result<LogProof, Refused> {
        if self.log.next() <= leaf {
            self.hand_over_all().map_err(Refused::Unavailable)?;
        }
        self.log.settle(leaf).map_err(Refused::Unlogged)
    }

    /// Waits until the record's leaf is in the log.
    pub(super) fn receipt(&self, subject: &Subject, record: RecordId, leaf: u64) -> Result<Receipt, Refused> {
        Ok(Receipt { salt: subject.salt(&record), proof: self.logged(leaf)? })
    }

    /// The same for who takes something back: they do not wait for others to be written with.
    pub(super) fn receipt_at_once(&self, subject: &Subject, record: RecordId, leaf: u64) -> Result<Receipt, Refused> {
        self.log.hurry(leaf);
        self.receipt(subject, record, leaf)
    }

    /// The receipts of a subject's records that `shows` lets through and whose entry is number `from` or later, in the order of the
    /// log, `most` of them.
    pub fn receipts(
        &self,
        did: &Did,
        from: u64,
        most: usize,
        shows: impl Fn(RecordId) -> bool,
    ) -> Result<Vec<(RecordId, Receipt)>, Refused> {
        let Some(subject) = self.subject(did)? else { return Ok(Vec::new()) };
        let mut records = self.store.leaves_of(did).map_err(Refused::Unavailable)?;
        records.retain(|(record, leaf)| *leaf >= from && shows(*record));
        records.sort_by_key(|(_, leaf)| *leaf);
        records.truncate(most);
        records.into_iter().map(|(record, leaf)| Ok((record, self.receipt(&subject, record, leaf)?))).collect()
    }

    /// What institutions decided and is in force from now on: what of it is new is in the log when this answers.
    pub fn in_force(&self, acts: &BTreeSet<(Act, RecordId)>) -> Result<(), Refused> {
        // A clock that is behind stops decisions, not the log: the latest instant seen stands for now.
        let now = self.clock.latest();
        let mut writer = self.sure_writer()?;
        let bytes: Vec<u8> = acts.iter().flat_map(|(act, object)| [act.number()].into_iter().chain(object.0)).collect();
        let before = self.store.acts().map_err(Refused::Unavailable)?.unwrap_or_default();
        let known: BTreeSet<&[u8]> = before.chunks(33).collect();
        let new = acts.iter().zip(bytes.chunks(33)).filter(|(_, written)| !known.contains(written));
        let leaves: Vec<_> = new.map(|((act, object), _)| Noted { leaf: Leaf::new(*act, now, &Salt::OPEN, object), of: None }).collect();
        if before == bytes {
            // An earlier attempt may have come so far and no further.
            return self.log_all();
        }
        let mut batch = Batch { leaves, acts: Some(bytes), ..Batch::default() };
        let first = self.commit(&mut writer, &mut batch, now, &[])?;
        drop(writer);
        match batch.leaves.len() as u64 {
            0 => Ok(()),
            count => self.logged(first + count - 1).map(drop),
        }
    }

    /// Holds the log against a checkpoint that somebody was given earlier; see [`Log::witness`].
    pub fn witness(&self, checkpoint: &str) -> Result<(), LogError> {
        self.log.witness(checkpoint.as_bytes())
    }

    /// Gives leaves that are durable to the log. Where it lacks some before them, all that it lacks.
    pub(super) fn hand_over(&self, first: u64, leaves: &[Noted]) -> Result<(), Refused> {
        if self.log.next() < first {
            return self.hand_over_all().map_err(Refused::Unavailable);
        }
        for (number, noted) in (first..).zip(leaves) {
            // More wait than may: what can't be handed over now is handed over with a later one.
            if self.log.push(number, noted.leaf).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Waits until every leaf that is durable is in the log. With the writer at hand there is none after them.
    pub(super) fn log_all(&self) -> Result<(), Refused> {
        self.log_up_to(self.store.leaf_count().map_err(Refused::Unavailable)?)
    }

    /// Waits until the first so many leaves are in the log, and lets nobody wait for others.
    pub(super) fn log_up_to(&self, count: u64) -> Result<(), Refused> {
        let Some(last) = count.checked_sub(1) else { return Ok(()) };
        self.log.hurry(last);
        self.logged(last).map(drop)
    }

    /// Gives the log everything that the store has and it has not.
    pub(super) fn hand_over_all(&self) -> Result<(), StoreError> {
        let mut refused = false;
        self.store.leaves_from(self.log.next(), |number, leaf| {
            refused = refused || self.log.push(number, leaf).is_err();
        })
    }
}

#[cfg(test)]
#[path = "logged_tests.rs"]
mod tests;
