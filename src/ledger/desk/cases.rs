//! Every case in memory, as the rows of the store add up to them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::public::Public;
use super::row::{CHANGED, Kept, ReleaseId, Row, What};
use crate::veil::consent::envelope::{Envelope, Signed, Verified};
use crate::veil::consent::record::Consent;
use crate::veil::demand::{Case, Demand, Field, Record, Register, stage};
use crate::veil::demand::{challenge, decision, notice, record, release};
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// Every case.
#[derive(Debug, Default)]
pub(super) struct Cases {
    /// How many rows of the store are in it.
    pub(super) rows: u64,
    order: Vec<RecordId>,
    by_demand: HashMap<RecordId, File>,
    /// Which demand a subject's consent is for, while the consent counts.
    consents: HashMap<RecordId, RecordId>,
    /// What the operator made public of itself.
    pub(super) public: Public,
}

/// A case and everything that lies in its file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) case: Case,
    /// Every record that was taken, in order.
    pub(super) records: Arc<Vec<Kept>>,
    /// Decisions that lack signatures, as far as they are signed.
    pub(super) drafts: Vec<Envelope>,
    /// Releases that have begun and are not on record to their end.
    pub(super) open: BTreeMap<ReleaseId, Open>,
}

/// A release that is not on record to its end.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) decision: RecordId,
    pub(super) fields: Vec<Field>,
    /// What is on record ends here.
    pub(super) from: UnixMs,
    /// What was counted since.
    pub(super) frames: u64,
    /// When that was.
    pub(super) at: UnixMs,
}

/// What an envelope of a case is, by its payload type.
pub(super) fn act(payload_type: &str) -> Option<Act> {
    Some(match payload_type {
        record::MEDIA_TYPE => Act::Demand,
        stage::MEDIA_TYPE => Act::Stage,
        decision::MEDIA_TYPE => Act::Decision,
        challenge::MEDIA_TYPE => Act::Challenge,
        notice::MEDIA_TYPE => Act::Notice,
        release::MEDIA_TYPE => Act::Release,
        _ => return None,
    })
}

impl File {
    /// A record that was taken.
    pub(super) fn kept(&self, id: RecordId) -> Option<&Kept> {
        self.records.iter().find(|kept| kept.id == id)
    }

    fn keep(&mut self, taken: UnixMs, envelope: &Envelope) {
        if let Some(act) = act(&envelope.payload_type) {
            let kept = Kept { id: envelope.id(), act, taken, envelope: Arc::new(envelope.clone()) };
            Arc::make_mut(&mut self.records).push(kept);
        }
    }
}

impl Cases {
    pub(super) fn get(&self, demand: &RecordId) -> Option<&File> {
        self.by_demand.get(demand)
    }

    /// In the order in which they came.
    pub(super) fn all(&self) -> impl Iterator<Item = &File> {
        self.order.iter().filter_map(|id| self.by_demand.get(id))
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The persons have changed.
    pub(super) fn set_register(&mut self, register: &Arc<Register>) {
        self.by_demand.values_mut().for_each(|file| file.case.set_register(Arc::clone(register)));
    }

    /// For which demands consents count, each with the consent.
    pub(super) fn consents(&self) -> &HashMap<RecordId, RecordId> {
        &self.consents
    }

    /// A consent does not count any more.
    pub(super) fn consent_ended(&mut self, consent: RecordId, now: UnixMs) {
        if let Some(file) = self.consents.remove(&consent).and_then(|demand| self.by_demand.get_mut(&demand)) {
            file.case.consent_ended(consent, now);
        }
    }

    /// Takes a row that is durable. What was signed is verified again, and judged as when it was taken.
    pub(super) fn apply(&mut self, row: Row, origin: &Origin, register: &Arc<Register>) -> Result<(), &'static str> {
        let taken = row.taken;
        match row.what {
            What::Filed { envelope, about } => {
                let demand: Verified<Demand> = verified(&envelope, origin)?;
                let id = demand.id();
                let case = Case::reopen(demand, about.as_ref(), Arc::clone(register), taken).map_err(|refused| refused.code())?;
                let mut file = File { case, records: Arc::default(), drafts: Vec::new(), open: BTreeMap::new() };
                file.keep(taken, &envelope);
                if self.by_demand.insert(id, file).is_none() {
                    self.order.push(id);
                }
            }
            What::Taken { envelope } => drop(self.retake(taken, &envelope, origin)?),
            What::Drafted { envelope } => {
                let record = Record::verify(&envelope, origin).map_err(|refusal| refusal.code())?;
                let file = self.file(&record.demand())?;
                file.drafts.retain(|draft| draft.id() != envelope.id());
                file.drafts.push(envelope);
            }
            What::Consented { envelope } => {
                let consent: Verified<Consent> = verified(&envelope, origin)?;
                let (id, demand) = (consent.id(), consent.get().demand.ok_or(CHANGED)?);
                self.file(&demand)?.case.consent(Arc::new(consent), taken).map_err(|refused| refused.code())?;
                self.consents.insert(id, demand);
            }
            What::Begun { release, demand, decision, fields } => {
                let file = self.file(&demand)?;
                let terms = file.case.decision().and_then(|decision| decision.get().release.as_ref());
                if terms.is_some_and(|terms| terms.consent.is_some()) {
                    file.case.begin_once(taken);
                }
                file.open.insert(release, Open { decision, fields, from: taken, frames: 0, at: taken });
            }
            What::Counted { release, demand, frames } => {
                let open = self.file(&demand)?.open.get_mut(&release).ok_or(CHANGED)?;
                (open.frames, open.at) = (frames, taken);
            }
            What::Released { release, envelope, ended } => {
                let file = self.retake(taken, &envelope, origin)?;
                let until = file.case.releases().last().map_or(taken, |release| release.get().period.until);
                match file.open.get_mut(&release).filter(|_| !ended) {
                    Some(open) => (open.from, open.frames, open.at) = (until, 0, until),
                    None => drop(file.open.remove(&release)),
                }
            }
            What::Public { envelope } => self.public.keep(taken, envelope, origin).map_err(|refusal| refusal.code())?,
        }
        self.rows += 1;
        Ok(())
    }

    fn file(&mut self, demand: &RecordId) -> Result<&mut File, &'static str> {
        self.by_demand.get_mut(demand).ok_or(CHANGED)
    }

    fn retake(&mut self, taken: UnixMs, envelope: &Envelope, origin: &Origin) -> Result<&mut File, &'static str> {
        let record = Record::verify(envelope, origin).map_err(|refusal| refusal.code())?;
        let file = self.file(&record.demand())?;
        file.case.retake(record, taken).map_err(|refused| refused.code())?;
        file.drafts.retain(|draft| draft.id() != envelope.id());
        file.keep(taken, envelope);
        Ok(file)
    }

    /// The subjects of every case that was told to them, and to whom.
    pub(super) fn told(&self, subject: &Did) -> impl Iterator<Item = &File> {
        let told = move |file: &&File| !file.case.notices().is_empty() && file.case.subjects().is_some_and(|all| all.contains(subject));
        self.all().filter(told)
    }
}

fn verified<T: crate::veil::consent::envelope::Payload>(envelope: &Envelope, origin: &Origin) -> Result<Verified<T>, &'static str> {
    Signed::new(envelope).and_then(|signed| signed.verify(origin)).map_err(|refusal| refusal.code())
}
