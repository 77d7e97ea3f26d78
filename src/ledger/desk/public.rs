//! What the operator makes public of itself: standing statements, and that a report was published. Each is durable, and an entry of the
//! log, before it is acknowledged; none is ever taken away.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::row::{CHANGED, Kept, Row, What};
use super::{Ledger, PUBLIC_BYTES_MAX, PUBLIC_MAX, PUBLIC_MS, PUBLIC_OF_ONE_MAX, Receipt, Refused};
use crate::store::StoreError;
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::demand::{self, Register};
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};
use crate::veil::report::PublicRecord;

/// A record was made public.
#[derive(Clone, Debug)]
pub struct MadePublic {
    /// Its id.
    pub record: RecordId,
    /// What it is.
    pub act: Act,
    /// That it is in the log.
    pub receipt: Receipt,
}

/// Everything that was made public, in order.
#[derive(Debug, Default)]
pub(super) struct Public {
    /// Each with who made it public.
    records: Vec<(Kept, Did)>,
    ids: HashSet<RecordId>,
    /// When the last statement of each name was signed.
    stated: HashMap<String, UnixMs>,
}

impl Public {
    /// Takes a record that is durable.
    pub(super) fn keep(&mut self, taken: UnixMs, envelope: Envelope, origin: &Origin) -> Result<(), RecordRefusal> {
        let record = PublicRecord::verify(&envelope, origin)?;
        if self.ids.insert(record.id()) {
            let kept = Kept { id: record.id(), act: record.act(), taken, envelope: Arc::new(envelope) };
            self.records.push((kept, record.author()));
        }
        if let PublicRecord::Statement(statement) = record {
            self.stated.insert(statement.get().name.clone(), statement.get().at);
        }
        Ok(())
    }

    /// How many the person with this key made public within a day, with whichever key.
    fn of_late(&self, author: &Did, register: &Register, now: UnixMs) -> usize {
        let person = register.person(author);
        let late = self.records.iter().rev().take_while(|(kept, _)| now.0.saturating_sub(kept.taken.0) < PUBLIC_MS);
        late.filter(|(_, by)| register.person(by) == person).count()
    }

    fn last(&self, record: &PublicRecord) -> Option<UnixMs> {
        let PublicRecord::Statement(statement) = record else { return None };
        self.stated.get(&statement.get().name).copied()
    }
}

impl Ledger {
    /// Takes a standing statement, or the record of a report. Durable, and in the log, when it answers.
    pub fn make_public(&self, envelope: &Envelope) -> Result<MadePublic, Refused> {
        if envelope.payload.len() > PUBLIC_BYTES_MAX {
            return Err(RecordRefusal::TooLarge("payload").into());
        }
        let record = PublicRecord::verify(envelope, &self.config.origin)?;
        let (id, act, now) = (record.id(), record.act(), self.clock.now()?);
        if let PublicRecord::Report(report) = &record
            && !self.desk.cases().public.ids.contains(&id)
        {
            // Whoever does not speak for the operator makes nobody read the log.
            record.speaks(&self.desk.register())?;
            let head = report.get().head;
            if !self.log.goes_on_from(&head).map_err(|error| Refused::Unavailable(StoreError::Io(error)))? {
                return Err(demand::Refused::OtherLog { size: head.size }.into());
            }
        }
        let mut writer = self.sure_writer()?;
        let register = self.desk.register();
        let (known, last, many, of_one) = {
            let public = &self.desk.cases().public;
            let of_one = public.of_late(&record.author(), &register, now);
            (public.ids.contains(&id), public.last(&record), public.records.len(), of_one)
        };
        if known {
            // The same again, whose answer may have been lost.
            drop(writer);
            let leaf = self.store.leaf_of(&self.desk.gateway(), &id).map_err(Refused::Unavailable)?;
            let receipt = self.open_receipt(leaf.ok_or(Refused::Unread { fact: None, code: CHANGED })?)?;
            return Ok(MadePublic { record: id, act, receipt });
        }
        record.check(&register, now, last)?;
        if many >= PUBLIC_MAX {
            return Err(demand::Refused::TooManyPublic.into());
        }
        if of_one >= PUBLIC_OF_ONE_MAX {
            return Err(demand::Refused::TooManyToday.into());
        }
        let row = Row { taken: now, what: What::Public { envelope: envelope.only_verified() } };
        let leaf = self.keep_rows(&mut writer, now, vec![row], &[(act, id)])?;
        drop(writer);
        Ok(MadePublic { record: id, act, receipt: self.open_receipt(leaf)? })
    }

    /// What was made public, in the order in which it was taken, the first `skip` left out, `most` of it.
    pub fn public(&self, skip: usize, most: usize) -> Vec<Kept> {
        self.desk.cases().public.records.iter().skip(skip).take(most).map(|(kept, _)| kept.clone()).collect()
    }
}

#[cfg(test)]
#[path = "public_tests.rs"]
mod tests;
