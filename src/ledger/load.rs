//! Reading what rests: all of it at the start, and what may have got there after a write that failed.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard};

use super::fact::{self, Said};
use super::{Ledger, OpenError, Ordering, Refused, Subject, Writer};
use crate::store::{Noted, StoreError};
use crate::veil::consent::standing::Standing;
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{Did, Handle};

impl Ledger {
    /// The writer, with everything in memory that is on disk.
    pub(super) fn sure_writer(&self) -> Result<MutexGuard<'_, Writer>, Refused> {
        let mut writer = self.writer();
        if writer.unsure {
            let changed = self.load(&mut writer).map_err(|error| {
                Refused::Unavailable(match error {
                    OpenError::Store(error) => error,
                    other => StoreError::Damaged(other.to_string()),
                })
            })?;
            self.hand_over_all().map_err(Refused::Unavailable)?;
            writer.unsure = false;
            for did in changed {
                self.settle(&did);
            }
        }
        Ok(writer)
    }

    /// Takes in every secret, enrolment and fact that is not in memory yet; says whose standing changed.
    pub(super) fn load(&self, writer: &mut Writer) -> Result<BTreeSet<Did>, OpenError> {
        self.load_subjects(writer)?;
        self.load_enrolments(writer)?;
        self.load_facts(writer)
    }

    fn load_subjects(&self, writer: &mut Writer) -> Result<(), OpenError> {
        let mut wrong = false;
        self.store.secrets(|did, sealed| {
            if self.subject(&did).is_none() {
                match self.rest_key.open(&did, sealed) {
                    Some(key) => self.admit(writer, &Arc::new(Subject::new(did, key))),
                    None => wrong = true,
                }
            }
        })?;
        if wrong { Err(OpenError::WrongKey) } else { Ok(()) }
    }

    fn load_enrolments(&self, writer: &mut Writer) -> Result<(), OpenError> {
        let mut orphaned = false;
        self.store.enrolments(|handle, did| {
            if !self.handles.contains_key(&handle) {
                match self.subject(&did) {
                    Some(subject) => self.bind(writer, handle, &subject),
                    None => orphaned = true,
                }
            }
        })?;
        if orphaned { Err(StoreError::Damaged("an enrolment without its subject".into()).into()) } else { Ok(()) }
    }

    fn load_facts(&self, writer: &mut Writer) -> Result<BTreeSet<Did>, OpenError> {
        let mut changed = BTreeSet::new();
        let mut failed = None;
        let mut next = writer.next_fact;
        self.store.facts_from(writer.next_fact, |number, bytes| {
            if failed.is_some() {
                return;
            }
            let done = if number == next { self.replay(bytes) } else { Err("TV-D02") };
            match done {
                Ok((did, leaf)) => {
                    changed.insert(did);
                    if let Some(missing) = &mut writer.unlogged {
                        missing.push(leaf);
                    }
                }
                Err(code) => failed = Some(OpenError::BadFact { fact: number, code }),
            }
            next = number.saturating_add(1);
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        writer.next_fact = next;
        Ok(changed)
    }

    /// Takes one fact as it was taken at first: checked at the instant that it was taken.
    fn replay(&self, bytes: &[u8]) -> Result<(Did, Noted), &'static str> {
        let (taken, said) = fact::read(bytes, &self.config.origin).map_err(|refusal| refusal.code())?;
        let (did, act, record) = match &said {
            Said::Consent(consent) => (consent.get().subject, Act::Consent, consent.id()),
            Said::Withdrawal(withdrawal) => (withdrawal.get().subject, Act::Withdrawal, withdrawal.id()),
        };
        let subject = self.subject(&did).ok_or("TV-D02")?;
        let mut standing = Standing::clone(&subject.standing());
        match said {
            Said::Consent(consent) => {
                standing.check(&consent, taken).map_err(|refusal| refusal.code())?;
                standing.apply(*consent, taken);
            }
            Said::Withdrawal(withdrawal) => {
                let ending = standing.check_withdrawal(&withdrawal, taken).map_err(|refusal| refusal.code())?;
                standing.apply_withdrawal(ending);
            }
        }
        subject.replace(standing);
        Ok((did, Noted { leaf: subject.leaf(act, taken, &record), of: Some((did, record)) }))
    }

    /// A subject that is on disk comes into memory.
    pub(super) fn admit(&self, writer: &mut Writer, subject: &Arc<Subject>) {
        if !self.is_operator(&subject.did()) {
            writer.strangers += 1;
        }
        self.subjects.insert(subject.did(), Arc::clone(subject));
        self.enrolment_generation.fetch_add(1, Ordering::Release);
    }

    /// A handle that is on disk comes into memory.
    pub(super) fn bind(&self, writer: &mut Writer, handle: Handle, subject: &Arc<Subject>) {
        if subject.enrol() && !self.is_operator(&subject.did()) {
            writer.strangers = writer.strangers.saturating_sub(1);
        }
        self.handles.insert(handle, Arc::clone(subject));
        self.enrolment_generation.fetch_add(1, Ordering::Release);
    }
}
