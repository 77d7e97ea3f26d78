//! Records in: demands, and what is written about them.

use super::cases::File;
use super::row::{Row, What};
use super::{CASES_MAX, Ledger, Receipt, Refused};
use crate::ledger::StreamSettled;
use crate::veil::consent::envelope::{Envelope, Signed, Verified};
use crate::veil::demand::{self, APPROVERS_MIN, About, Case, Demand, Record, State, write};
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{RecordId, UnixMs};

/// The most decisions of a case that wait for signatures.
pub(super) const DRAFTS_MAX: usize = 16;

/// A record of the desk was taken.
#[derive(Clone, Debug)]
pub struct DemandTaken {
    /// Its id.
    pub record: RecordId,
    /// The demand that it is about.
    pub demand: RecordId,
    /// How far the case is with it.
    pub state: State,
    /// How many more persons have to sign before a decision is in force.
    pub signatures_missing: usize,
    /// That it is in the log; none while a decision lacks signatures.
    pub receipt: Option<Receipt>,
    /// Where open streams stood that were settled.
    pub streams: Vec<StreamSettled>,
}

impl Ledger {
    /// Takes a demand, with whom it is about. Durable, and in the log, when it answers.
    pub fn file_demand(&self, envelope: &Envelope, about: Option<About>) -> Result<DemandTaken, Refused> {
        let demand: Verified<Demand> = Signed::new(envelope)?.verify(&self.config.origin)?;
        let envelope = envelope.only_verified();
        let id = demand.id();
        let now = self.clock.now()?;
        let mut writer = self.sure_writer()?;
        if let Some(taken) = self.taken_before(id, id)? {
            // The same again, whose answer may have been lost.
            return Ok(taken);
        }
        if self.desk.cases().len() >= CASES_MAX {
            return Err(demand::Refused::TooMany.into());
        }
        if demand.get().about.is_some() && about.is_none() {
            return Err(demand::Refused::UnknownSubjects.into());
        }
        let state = Case::open(demand, about.as_ref(), self.desk.register(), now)?.state();
        let row = Row { taken: now, what: What::Filed { envelope, about } };
        let leaf = self.keep_rows(&mut writer, now, vec![row], &[(Act::Demand, id)])?;
        drop(writer);
        let receipt = Some(self.open_receipt(leaf)?);
        Ok(DemandTaken { record: id, demand: id, state, signatures_missing: 0, receipt, streams: Vec::new() })
    }

    /// Takes a stage, a decision, a challenge or a notice. Durable, in the log, and in force on every open stream, when it answers.
    pub fn submit_demand(&self, envelope: &Envelope) -> Result<DemandTaken, Refused> {
        let mut record = Record::verify(envelope, &self.config.origin)?;
        let (id, demand) = (record.id(), record.demand());
        let now = self.clock.now()?;
        let mut writer = self.sure_writer()?;
        let file = self.file(&demand)?;
        if let Some(taken) = self.taken_before(demand, id)? {
            return Ok(taken);
        }
        let mut envelope = envelope.only_verified();
        if matches!(record, Record::Decision(_)) {
            // Every signature on the same bytes that was handed in so far, each once.
            let draft = file.drafts.iter().find(|draft| draft.id() == id).unwrap_or(&envelope);
            envelope = write::merge(draft, &envelope)?.unwrap_or(envelope);
            record = Record::verify(&envelope, &self.config.origin)?;
        }
        let act = super::cases::act(&envelope.payload_type).ok_or(Refused::NoSuchDemand(demand))?;
        let (what, missing) = match file.case.check(&record, now) {
            Ok(()) => (What::Taken { envelope }, 0),
            Err(demand::Refused::TooFewApprovers { have }) => (What::Drafted { envelope }, APPROVERS_MIN.saturating_sub(have)),
            Err(demand::Refused::NoOutsider) => (What::Drafted { envelope }, 1),
            Err(refused) => return Err(refused.into()),
        };
        if missing > 0 {
            return self.draft(&file, now, what, (id, demand), missing, &mut writer);
        }
        let leaf = self.keep_rows(&mut writer, now, vec![Row { taken: now, what }], &[(act, id)])?;
        drop(writer);
        let streams = self.settle_case(demand, act);
        let receipt = Some(self.open_receipt(leaf)?);
        Ok(DemandTaken { record: id, demand, state: self.file(&demand)?.case.state(), signatures_missing: 0, receipt, streams })
    }

    /// Keeps a decision that lacks signatures: it is no act of the house yet, and not in the log.
    fn draft(
        &self,
        file: &File,
        now: UnixMs,
        what: What,
        (record, demand): (RecordId, RecordId),
        missing: usize,
        writer: &mut crate::ledger::Writer,
    ) -> Result<DemandTaken, Refused> {
        let What::Drafted { envelope } = &what else { return Err(Refused::NoSuchDemand(demand)) };
        let before = file.drafts.iter().find(|draft| draft.id() == record);
        if before.is_none() && file.drafts.len() >= DRAFTS_MAX {
            return Err(demand::Refused::TooMany.into());
        }
        if before != Some(envelope) {
            self.keep_rows(writer, now, vec![Row { taken: now, what }], &[])?;
        }
        let state = file.case.state();
        Ok(DemandTaken { record, demand, state, signatures_missing: missing, receipt: None, streams: Vec::new() })
    }

    /// A case as it is now.
    pub(super) fn file(&self, demand: &RecordId) -> Result<File, Refused> {
        self.desk.cases().get(demand).cloned().ok_or(Refused::NoSuchDemand(*demand))
    }

    fn taken_before(&self, demand: RecordId, record: RecordId) -> Result<Option<DemandTaken>, Refused> {
        let state = {
            let cases = self.desk.cases();
            let Some(file) = cases.get(&demand).filter(|file| file.kept(record).is_some()) else { return Ok(None) };
            file.case.state()
        };
        let receipt = self.demand_receipt(record)?;
        Ok(Some(DemandTaken { record, demand, state, signatures_missing: 0, receipt, streams: Vec::new() }))
    }

    /// What a record of a case may have changed for streams is in force on all of them when this answers; and whom it is about is told of
    /// a notice.
    pub(super) fn settle_case(&self, demand: RecordId, act: Act) -> Vec<StreamSettled> {
        if act == Act::Notice
            && let Ok(file) = self.file(&demand)
        {
            file.case.subjects().into_iter().flatten().for_each(|subject| self.watched.changed(subject));
        }
        match act {
            Act::Decision | Act::Challenge | Act::Notice => self.rejudge_all(),
            _ => Vec::new(),
        }
    }
}
