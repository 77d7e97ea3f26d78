//! Reading what rests: at the start, that it is what was left; after a write that failed, what of it got to disk.

use std::sync::{Arc, MutexGuard};

use super::{Ledger, OpenError, Ordering, Refused, Subject, Uses, Writer};
use crate::store::{Batch, StoreError};
use crate::veil::name::Did;

/// A subject that a batch is about, and whether it was enrolled before: `None` where it was not there.
pub(super) type Touched = (Did, Option<bool>);

impl Ledger {
    /// At a start: authenticates what rests, reads who speaks for operators, and appends what the log lacks.
    pub(super) fn begin(&self, writer: &mut Writer) -> Result<(), OpenError> {
        let counted = self.store.authenticate(&self.rest_key)?;
        if self.store.origin()?.is_none() {
            self.store.commit(&self.rest_key, &Batch { origin: Some(self.config.origin.to_string()), ..Batch::default() })?;
        }
        self.store.uses(|record, reserved, max| {
            self.uses.insert(record, Arc::new(Uses::new(record, max, reserved)));
        })?;
        writer.strangers = usize::try_from(counted.strangers).unwrap_or(usize::MAX);
        for did in &self.people().operators {
            if self.subject(did).map_err(unread)?.is_some_and(|operator| !operator.enrolled()) {
                writer.strangers = writer.strangers.saturating_sub(1);
            }
        }
        self.begin_desk()?;
        self.hand_over_all()?;
        match self.log.next() {
            next if next > self.log.size() => self.log.settle(next - 1).map(drop).map_err(OpenError::Unlogged),
            _ => Ok(()),
        }
    }

    fn begin_desk(&self) -> Result<(), OpenError> {
        self.catch_up_desk().map_err(|(row, refused)| match (row, refused) {
            (Some(row), Refused::Unread { code, .. }) => OpenError::BadDesk { row, code },
            (_, refused) => unread(refused),
        })?;
        self.end_all_consents(self.clock.mark()).map_err(unread)
    }

    /// The writer, with everything in memory that is on disk of whom is in memory.
    pub(super) fn sure_writer(&self) -> Result<MutexGuard<'_, Writer>, Refused> {
        let mut writer = self.writer();
        if let Some(touched) = writer.unsure.take()
            && let Err(error) = self.find_out(&mut writer, &touched)
        {
            writer.unsure = Some(touched);
            return Err(error);
        }
        Ok(writer)
    }

    /// What of a batch that failed is on disk acts; streams stand on it before this answers.
    fn find_out(&self, writer: &mut Writer, touched: &[Touched]) -> Result<(), Refused> {
        // All is read before anything acts: where it can't be, the same is tried again.
        let histories =
            touched.iter().map(|(did, _)| self.store.history(did)).collect::<Result<Vec<_>, _>>().map_err(Refused::Unavailable)?;
        self.hand_over_all().map_err(Refused::Unavailable)?;
        let of_desk = self.catch_up_desk().map_err(|(_, refused)| refused)?;
        for ((did, before), history) in touched.iter().zip(histories) {
            let Some(history) = history else { continue };
            let subject = self.subject(did)?;
            if let Some(subject) = &subject {
                self.catch_up(subject, &history)?;
                self.end_consents(&subject.standing(), self.clock.mark());
                self.count(writer, did, *before, Some(subject.enrolled()));
            }
        }
        self.enrolment_generation.fetch_add(1, Ordering::Release);
        for (did, _) in touched {
            self.settle(did);
        }
        if of_desk {
            self.rejudge_all();
        }
        Ok(())
    }

    /// How many strangers there are, where one became a subject, or was enrolled.
    fn count(&self, writer: &mut Writer, did: &Did, before: Option<bool>, after: Option<bool>) {
        let stranger = |enrolled: Option<bool>| usize::from(enrolled == Some(false) && !self.is_operator(did));
        writer.strangers = (writer.strangers + stranger(after)).saturating_sub(stranger(before));
    }

    /// A subject is on disk, or is enrolled there: it acts from here on.
    pub(super) fn admit(&self, writer: &mut Writer, subject: Arc<Subject>, before: Option<bool>) -> Arc<Subject> {
        self.count(writer, &subject.did(), before, Some(subject.enrolled()));
        // Whoever asked in between has read it from disk already: there is one of each.
        let subject = self.subjects.admit(subject, &self.people().operators);
        self.enrolment_generation.fetch_add(1, Ordering::Release);
        subject
    }
}

/// Why a start fails on a subject.
fn unread(refused: Refused) -> OpenError {
    match refused {
        Refused::Unread { fact, code } => OpenError::BadFact { fact: fact.unwrap_or_default(), code },
        Refused::Unavailable(error) => OpenError::Store(error),
        other => OpenError::Store(StoreError::Damaged(other.to_string())),
    }
}
