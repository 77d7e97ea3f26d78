//! A case: a demand and everything that was taken about it, in the order in which it was taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::about::{About, SUBJECTS_MAX};
use super::challenge::Challenge;
use super::decision::Decision;
use super::entry::Record;
use super::notice::Notice;
use super::record::Demand;
use super::refused::Refused;
use super::register::Register;
use super::release::Release;
use super::stage::Stage;
use super::words::{Question, Role, Ruling};
use crate::veil::consent::SKEW_MS_MAX;
use crate::veil::consent::envelope::Verified;
use crate::veil::consent::record::Consent;
use crate::veil::consent::standing::Standing;
use crate::veil::name::{Did, RecordId, UnixMs};

/// The most stages, challenges and notices of a case, each.
pub const RECORDS_MAX: usize = 256;
/// The most releases of a case: every hour of a year, and as many changes.
pub const RELEASES_MAX: usize = 17_568;

/// A demand and everything that was taken about it.
#[derive(Clone, Debug)]
pub struct Case {
    pub(super) demand: Arc<Verified<Demand>>,
    pub(super) taken: UnixMs,
    pub(super) subjects: Option<Arc<BTreeSet<Did>>>,
    pub(super) register: Arc<Register>,
    /// The latest instant at which something was taken: time that has passed, whatever a clock says later.
    pub(super) latest: UnixMs,
    /// Who wrote in the case until it was decided.
    pub(super) authors: BTreeSet<Did>,
    pub(super) stages: Vec<Filed<Stage>>,
    pub(super) challenges: Vec<Filed<Challenge>>,
    pub(super) notices: Vec<Filed<Notice>>,
    pub(super) consents: BTreeMap<Did, Consented>,
    pub(super) decision: Option<Filed<Decision>>,
    pub(super) releases: Vec<Filed<Release>>,
    /// Whether a release under a one-use consent has begun.
    pub(super) begun: bool,
}

/// A record of a case, and how it fares.
#[derive(Clone, Debug)]
pub struct Filed<T> {
    /// The record.
    pub record: Arc<Verified<T>>,
    /// When it was taken, by the gateway's clock.
    pub taken: UnixMs,
    /// Whether another one took its place.
    pub replaced: bool,
}

/// A subject's own consent for this demand.
#[derive(Clone, Debug)]
pub(super) struct Consented {
    pub(super) record: Arc<Verified<Consent>>,
    /// Withdrawn, or replaced.
    pub(super) ended: bool,
}

impl<T> Filed<T> {
    fn new(record: Verified<T>, taken: UnixMs) -> Self {
        Self { record: Arc::new(record), taken, replaced: false }
    }

    /// What it says.
    pub fn get(&self) -> &T {
        self.record.get()
    }

    /// The id of the record.
    pub fn id(&self) -> RecordId {
        self.record.id()
    }
}

impl Case {
    /// Opens a case: a clerk wrote the demand, and the list of whom it is about is the one that it commits to.
    pub fn open(demand: Verified<Demand>, about: Option<&About>, register: Arc<Register>, now: UnixMs) -> Result<Self, Refused> {
        let author = demand.get().head.author;
        if register.person(&author).is_none() {
            return Err(Refused::Unregistered(author));
        }
        if !register.has(&author, Role::Clerk) {
            return Err(Refused::NoRole(Role::Clerk));
        }
        if demand.get().head.at.0.saturating_sub(now.0) > SKEW_MS_MAX {
            return Err(Refused::FromTheFuture { now });
        }
        Self::reopen(demand, about, register, now)
    }

    /// Opens a case again that was opened before: whether its clerk may still open one is not asked.
    pub fn reopen(demand: Verified<Demand>, about: Option<&About>, register: Arc<Register>, taken: UnixMs) -> Result<Self, Refused> {
        let subjects = match about {
            None => None,
            Some(about) => {
                let sizes = (1..=SUBJECTS_MAX).contains(&about.subjects.len());
                if !sizes || demand.get().about != Some(about.commitment()) {
                    return Err(Refused::UnknownSubjects);
                }
                Some(Arc::new(about.subjects.clone()))
            }
        };
        Ok(Self {
            authors: BTreeSet::from([demand.get().head.author]),
            demand: Arc::new(demand),
            taken,
            subjects,
            register,
            latest: taken,
            stages: Vec::new(),
            challenges: Vec::new(),
            notices: Vec::new(),
            consents: BTreeMap::new(),
            decision: None,
            releases: Vec::new(),
            begun: false,
        })
    }

    /// Takes a record, if [`Self::check`] lets it through.
    pub fn take(&mut self, record: Record, now: UnixMs) -> Result<(), Refused> {
        self.check(&record, now)?;
        self.apply(record, now);
        Ok(())
    }

    /// Takes a record again that was taken before. What it says is judged as then; whether its signer is still registered, and for
    /// that, is not asked here: [`Self::warrant`] asks whose keys they are.
    pub fn retake(&mut self, record: Record, taken: UnixMs) -> Result<(), Refused> {
        self.check_place(&record, self.passed(taken))?;
        self.apply(record, taken);
        Ok(())
    }

    /// The persons have changed.
    pub fn set_register(&mut self, register: Arc<Register>) {
        self.register = register;
    }

    /// Takes from a subject's standing what it says on this demand: consents for it, and that they are over. Of several the newest
    /// counts; what comes after the decision says nothing on it, and neither does what lacks a signature that an agreement asks for.
    pub fn follow(&mut self, standing: &Standing, now: UnixMs) {
        let id = self.id();
        for grant in standing.grants().iter().filter(|grant| grant.consent().demand == Some(id)) {
            // What is refused here has no part in the case; it stands in the subject's chain all the same.
            let _has_no_part = self.consent(Arc::new(grant.record().clone()), now);
            if grant.over().is_some() || standing.lacks_signatures(grant) {
                self.consent_ended(grant.id(), now);
            }
        }
    }

    /// Takes a subject's own consent for this demand, which stands in the subject's chain. Of several the newest counts.
    pub fn consent(&mut self, consent: Arc<Verified<Consent>>, now: UnixMs) -> Result<(), Refused> {
        self.check_consent(&consent)?;
        self.pass(now);
        self.consents.insert(consent.get().subject, Consented { record: consent, ended: false });
        Ok(())
    }

    /// A consent was withdrawn, or another record took its place.
    pub fn consent_ended(&mut self, consent: RecordId, now: UnixMs) {
        self.pass(now);
        for consented in self.consents.values_mut().filter(|consented| consented.record.id() == consent) {
            consented.ended = true;
        }
    }

    /// A release under a one-use consent begins: no other will. Whoever lets it begin makes this durable first.
    pub fn begin_once(&mut self, now: UnixMs) {
        self.pass(now);
        self.begun = true;
    }

    /// The id of the demand, which names the case.
    pub fn id(&self) -> RecordId {
        self.demand.id()
    }

    /// The demand.
    pub fn demand(&self) -> &Demand {
        self.demand.get()
    }

    /// When it was taken.
    pub fn taken(&self) -> UnixMs {
        self.taken
    }

    /// Whom it is about, where the list is there.
    pub fn subjects(&self) -> Option<&BTreeSet<Did>> {
        self.subjects.as_deref()
    }

    /// Every stage in order, replaced ones included.
    pub fn stages(&self) -> &[Filed<Stage>] {
        &self.stages
    }

    /// The answer to a question that is in force.
    pub fn answer(&self, question: Question) -> Option<&Filed<Stage>> {
        self.stages.iter().find(|stage| !stage.replaced && stage.get().question() == question)
    }

    /// Every challenge in order, replaced records included.
    pub fn challenges(&self) -> &[Filed<Challenge>] {
        &self.challenges
    }

    /// A challenge that is pending or was upheld.
    pub fn challenged(&self) -> Option<&Filed<Challenge>> {
        self.challenges.iter().find(|challenge| !challenge.replaced && challenge.get().result != Ruling::Dismissed)
    }

    /// Every notice, in order.
    pub fn notices(&self) -> &[Filed<Notice>] {
        &self.notices
    }

    /// The decision.
    pub fn decision(&self) -> Option<&Filed<Decision>> {
        self.decision.as_ref()
    }

    /// Every release, in order.
    pub fn releases(&self) -> &[Filed<Release>] {
        &self.releases
    }

    fn apply(&mut self, record: Record, taken: UnixMs) {
        self.pass(taken);
        let taken = self.latest;
        // Whoever drafts a decision has not written in the case by it, and nothing later is held against who approved it. The gateway,
        // which tells by itself, is nobody.
        let author = record.head().author;
        if self.decision.is_none() && !matches!(record, Record::Decision(_)) && author != self.register.gateway() {
            self.authors.insert(author);
        }
        match record {
            Record::Stage(record) => {
                replace(&mut self.stages, record.get().replaces);
                self.stages.push(Filed::new(record, taken));
            }
            Record::Challenge(record) => {
                replace(&mut self.challenges, record.get().replaces);
                self.challenges.push(Filed::new(record, taken));
            }
            Record::Notice(record) => self.notices.push(Filed::new(record, taken)),
            Record::Decision(record) => self.decision = Some(Filed::new(record, taken)),
            Record::Release(record) => self.releases.push(Filed::new(record, taken)),
        }
    }

    fn pass(&mut self, now: UnixMs) {
        self.latest = self.passed(now);
    }

    /// The instant to judge by: a clock that went back does not undo what happened.
    pub(super) fn passed(&self, now: UnixMs) -> UnixMs {
        self.latest.max(now)
    }

    /// Whether the case has a record.
    pub(super) fn has(&self, id: RecordId) -> bool {
        self.stages.iter().map(Filed::id).any(|known| known == id)
            || self.challenges.iter().map(Filed::id).any(|known| known == id)
            || self.notices.iter().map(Filed::id).any(|known| known == id)
            || self.decision.iter().map(Filed::id).any(|known| known == id)
            || self.releases.iter().map(Filed::id).any(|known| known == id)
    }
}

fn replace<T>(filed: &mut [Filed<T>], replaces: Option<RecordId>) {
    for old in filed.iter_mut().filter(|old| replaces == Some(old.id())) {
        old.replaced = true;
    }
}
