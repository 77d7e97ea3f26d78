//! Enrolments: which value of a source stands for whom, said by both.

use super::{Batch, Ledger, Ordering, Refused, Submitted};
use crate::veil::consent::SKEW_MS_MAX;
use crate::veil::consent::enrolment::Enrolment;
use crate::veil::consent::envelope::{Envelope, Signed};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::merkle::leaf::Act;

impl Ledger {
    /// Takes an enrolment.
    pub(super) fn enrol(&self, envelope: &Envelope) -> Result<Submitted, Refused> {
        let record = Signed::<Enrolment>::new(envelope)?.verify(&self.config.origin)?;
        let enrolment = record.get();
        let source = &enrolment.source;
        let people = self.people();
        let mut parties = people.sources.iter().filter(|(known, _)| known == source).map(|(_, party)| party).peekable();
        if parties.peek().is_none() {
            return Err(Refused::UnknownSource(source.clone()));
        }
        // Two keys, two consents: one key for both would be one party agreeing with itself.
        if !parties.any(|party| record.signed_by(party) && *party != enrolment.did) {
            return Err(Refused::NotCountersigned(source.clone()));
        }
        let now = self.clock.now()?;
        if enrolment.at.0.saturating_sub(now.0) > SKEW_MS_MAX {
            return Err(RecordRefusal::FromTheFuture { now }.into());
        }
        let (id, did, handle) = (record.id(), enrolment.did, enrolment.handle(&self.config.handle_key));
        let mut writer = self.sure_writer()?;
        let bound = match self.store.enrolled(&handle).map_err(Refused::Unavailable)? {
            Some(bound) if bound == did => true,
            Some(_) => return Err(Refused::HandleTaken(source.clone())),
            None => false,
        };
        let (known, before) = (self.subject(&did)?, self.store.leaf_of(&did, &id).map_err(Refused::Unavailable)?);
        let (subject, leaf) = match known.clone().zip(before) {
            // The same record again, whose answer may have been lost.
            Some(logged) if bound => logged,
            _ => {
                let batch = Batch { enrolment: Some((handle, did)), ..Batch::default() };
                let (subject, _, leaf) = self.keep(&mut writer, known, (did, Act::Enrolment, id), now, batch)?;
                (subject, leaf)
            }
        };
        if !bound {
            // Another value of the same subject, too, is one that was nobody's before.
            self.enrolment_generation.fetch_add(1, Ordering::Release);
        }
        drop(writer);
        self.settle(&did);
        Ok(Submitted { record: id, seq: 0, receipt: self.receipt(&subject, id, leaf)? })
    }
}
