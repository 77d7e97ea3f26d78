//! What a report is counted from: signed records, each with its entry in the log, case by case and held to the rules of the desk as far
//! as these can be held to by whoever does not know whom a demand is about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::doubt::ReportDoubt;
use super::entries::{Entries, Entry};
use super::public::PublicRecord;
use super::refusals::{self, RefusalsFile, RefusedHours};
use super::statement::{Stated, Statement};
use crate::veil::consent::envelope::{Envelope, Signed, Verified};
use crate::veil::demand::record::MEDIA_TYPE as DEMAND;
use crate::veil::demand::{Case, Decision, Demand, Field, Period, Question, Record, Refused, Register, Release};
use crate::veil::merkle::leaf::{Act, BUCKET_MS};
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// How many different persons must have signed a decision.
const APPROVERS_MIN: usize = 2;

/// Where records come from, and what they are held to.
#[derive(Clone, Debug)]
pub struct Ground<'a> {
    /// The gateway.
    pub gateway: &'a Origin,
    /// Whose keys are whose.
    pub register: &'a Arc<Register>,
    /// What the log says.
    pub entries: &'a Entries,
    /// Of when the report is: demands that were taken then.
    pub period: Period,
    /// When it is made: what is under a gag then is not shown.
    pub made: UnixMs,
}

/// A record with its entry in the log.
#[derive(Clone, Debug)]
pub struct Logged<T> {
    /// The number of the entry.
    pub entry: u64,
    /// Its hour.
    pub hour: UnixMs,
    /// What it is about.
    pub of: T,
}

/// A demand that may be shown, and all that became of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// The demand with its stages, challenges and notices.
    pub case: Case,
    /// The entry of the demand.
    pub entry: u64,
    /// Its hour.
    pub hour: UnixMs,
    /// The decision.
    pub decision: Option<Logged<Verified<Decision>>>,
    /// What was released.
    pub releases: Vec<Logged<Verified<Release>>>,
    entries: BTreeMap<RecordId, (u64, UnixMs)>,
}

/// Everything that a report is counted from.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Cases of the period, in the order of the log.
    pub told: Vec<Told>,
    /// Statements, of whatever time.
    pub stated: Vec<Stated>,
    /// The entries of reports that were published before the log had the size that it is counted at, each with its record.
    pub published: BTreeMap<u64, RecordId>,
    /// What the gateway refused by itself in the period, by entry.
    pub refused: BTreeMap<u64, RefusedHours>,
    /// What does not hold.
    pub doubts: Vec<ReportDoubt>,
}

impl Evidence {
    /// Verifies records and puts each where it belongs. `files` are envelopes with the names of their files.
    pub fn gather(ground: &Ground<'_>, files: &[(String, Envelope)], refusals: &RefusalsFile) -> Self {
        let (refused, doubts) = refusals::gather(ground.entries, &ground.period, refusals);
        let mut evidence = Self { refused, doubts, ..Self::default() };
        let (mut demands, mut records) = (Vec::new(), Vec::new());
        for (file, envelope) in files {
            let taken = match envelope.payload_type.as_str() {
                DEMAND => Signed::new(envelope).and_then(|signed| signed.verify(ground.gateway)).map(|demand| demands.push(demand)),
                kind if PublicRecord::is_type(kind) => PublicRecord::verify(envelope, ground.gateway).map(|record| match record {
                    PublicRecord::Statement(statement) => evidence.state(ground, &statement),
                    // Those that came later are not counted.
                    PublicRecord::Report(report) => {
                        let entry = ground.entries.find(Act::Report, &report.id());
                        evidence.published.extend(entry.map(|entry| (entry.number, report.id())));
                    }
                }),
                _ => Record::verify(envelope, ground.gateway).map(|record| records.push(record)),
            };
            if let Err(why) = taken {
                evidence.doubts.push(ReportDoubt::NoRecord { file: file.clone(), why });
            }
        }
        demands.into_iter().for_each(|demand| evidence.open(ground, demand));
        evidence.told.sort_by_key(|told| told.entry);
        evidence.fill(ground, records);
        evidence.told.retain(|told| ground.period.from <= told.hour && told.hour < ground.period.until);
        let shown: BTreeSet<u64> = evidence.stated.iter().map(|stated| stated.entry).chain(evidence.published.keys().copied()).collect();
        let public = ground.entries.of(Act::Statement).chain(ground.entries.of(Act::Report));
        let hidden = public.filter(|entry| !shown.contains(&entry.number));
        evidence.doubts.extend(hidden.map(|entry| ReportDoubt::Hidden { act: entry.act, entry: entry.number }));
        evidence
    }

    /// What the gateway refused, as a report shows it.
    pub fn refusals(&self) -> RefusalsFile {
        refusals::file(&self.refused)
    }

    /// Whether a record is one of those that the report is counted from.
    pub fn holds(&self, record: RecordId) -> bool {
        let of_case = |told: &Told| told.case.id() == record || told.entries.contains_key(&record);
        let is_public = self.stated.iter().any(|stated| stated.id == record) || self.published.values().any(|id| *id == record);
        is_public || self.told.iter().any(of_case)
    }

    fn state(&mut self, ground: &Ground<'_>, statement: &Verified<Statement>) {
        let Some(entry) = ground.entries.find(Act::Statement, &statement.id()) else {
            return self.doubts.push(ReportDoubt::NotInLog(statement.id()));
        };
        if ground.register.person(&statement.get().author).is_none() {
            self.doubts.push(ReportDoubt::Stranger(statement.id()));
        }
        let statement = Stated { entry: entry.number, hour: entry.hour, id: statement.id(), statement: statement.get().clone() };
        if !self.stated.contains(&statement) {
            self.stated.push(statement);
        }
    }

    fn open(&mut self, ground: &Ground<'_>, demand: Verified<Demand>) {
        let id = demand.id();
        if self.told.iter().any(|told| told.case.id() == id) {
            return;
        }
        if demand.get().is_gagged(ground.made) {
            let until = demand.get().gag.as_ref().and_then(|gag| gag.until);
            self.doubts.push(ReportDoubt::Gagged { demand: id, until });
        }
        let Some(entry) = ground.entries.find(Act::Demand, &id) else { return self.doubts.push(ReportDoubt::NotInLog(id)) };
        let taken = instant(entry, demand.get().head.at);
        let author = demand.get().head.author;
        let register = Arc::clone(ground.register);
        let opened = match has_left(ground.register, &author) {
            true => Case::reopen(demand, None, register, taken),
            false => Case::open(demand, None, register, taken),
        };
        match opened {
            Ok(case) => self.told.push(Told {
                case,
                entry: entry.number,
                hour: entry.hour,
                decision: None,
                releases: Vec::new(),
                entries: BTreeMap::new(),
            }),
            Err(why) => self.doubts.push(ReportDoubt::OutOfPlace { record: id, why }),
        }
    }

    /// Records go into their cases in the order of the log.
    fn fill(&mut self, ground: &Ground<'_>, records: Vec<Record>) {
        let mut placed = BTreeMap::new();
        for record in records {
            match ground.entries.find(act(&record), &record.id()) {
                Some(entry) => drop(placed.insert(entry.number, (*entry, record))),
                None => self.doubts.push(ReportDoubt::NotInLog(record.id())),
            }
        }
        for (entry, record) in placed.into_values() {
            let id = record.id();
            let Some(told) = self.told.iter_mut().find(|told| told.case.id() == record.demand()) else {
                self.doubts.push(ReportDoubt::WithoutDemand(id));
                continue;
            };
            match told.take(ground.register, &entry, record) {
                Ok(()) => drop(told.entries.insert(id, (entry.number, entry.hour))),
                Err(why) => self.doubts.push(ReportDoubt::OutOfPlace { record: id, why }),
            }
        }
    }
}

impl Told {
    /// The entry of one of its records; of the demand, where it is none of them.
    pub fn entry_of(&self, record: &RecordId) -> u64 {
        self.entries.get(record).map_or(self.entry, |(number, _)| *number)
    }

    /// The hour of one of its records.
    pub fn hour_of(&self, record: &RecordId) -> Option<UnixMs> {
        self.entries.get(record).map(|(_, hour)| *hour)
    }

    /// The entries of all of its records, the demand's first.
    pub fn all_entries(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.entries.values().map(|(number, _)| *number).chain([self.entry]).collect();
        all.sort_unstable();
        all
    }

    fn take(&mut self, register: &Register, entry: &Entry, record: Record) -> Result<(), Refused> {
        let taken = instant(entry, record.head().at);
        match record {
            Record::Decision(decision) => {
                if self.decision.is_some() {
                    return Err(Refused::Decided);
                }
                self.check_decision(register, &decision, taken)?;
                self.decision = Some(Logged { entry: entry.number, hour: entry.hour, of: decision });
                Ok(())
            }
            Record::Release(release) => {
                self.check_release(register, release.get())?;
                self.releases.push(Logged { entry: entry.number, hour: entry.hour, of: release });
                Ok(())
            }
            Record::Stage(_) if self.decision.is_some() => Err(Refused::Decided),
            Record::Stage(_) | Record::Challenge(_) | Record::Notice(_) => match has_left(register, &record.head().author) {
                true => self.case.retake(record, taken),
                false => self.case.take(record, taken),
            },
        }
    }

    /// What a case asks of a decision, but for what needs the list of whom the demand is about, or a person's own consent: neither is
    /// public.
    fn check_decision(&self, register: &Register, decision: &Verified<Decision>, taken: UnixMs) -> Result<(), Refused> {
        let asked = Record::Decision(decision.clone());
        match self.case.check(&asked, taken) {
            Ok(()) => return Ok(()),
            Err(Refused::UnknownSubjects | Refused::NoRole(_)) => {}
            Err(why) => return Err(why),
        }
        let authors = self.case.stages().iter().map(|stage| stage.get().head.author);
        let authors = authors.chain(self.case.challenges().iter().map(|challenge| challenge.get().head.author));
        let authors = authors.chain(self.case.notices().iter().map(|notice| notice.get().head.author));
        let authors = authors.chain([self.case.demand().head.author]);
        check_quorum(register, decision, authors)?;
        let Some(terms) = &decision.get().release else { return Ok(()) };
        if let Some(challenge) = self.case.challenged() {
            return Err(Refused::Challenged(challenge.id()));
        }
        let unmet = |question: &&Question| !self.case.answer(**question).is_some_and(|stage| stage.get().met);
        if let (None, Some(question)) = (terms.consent, Question::ALL.iter().find(unmet)) {
            return Err(Refused::NotMet(*question));
        }
        if !covers(&self.case.demand().fields, &terms.fields) {
            return Err(Refused::Beyond("fields"));
        }
        match self.case.demand().period {
            Some(period) if !period.covers(&terms.period) => Err(Refused::Beyond("period")),
            _ => Ok(()),
        }
    }

    fn check_release(&self, register: &Register, release: &Release) -> Result<(), Refused> {
        if release.head.author != register.gateway() {
            return Err(Refused::Unregistered(release.head.author));
        }
        let decision = self.decision.as_ref().ok_or(Refused::Undecided)?;
        let terms = decision.of.get().release.as_ref().ok_or(Refused::Declined(decision.of.get().outcome))?;
        if release.decision != decision.of.id() {
            return Err(Refused::NotInForce(release.decision));
        }
        if !covers(&terms.fields, &release.fields) {
            return Err(Refused::Beyond("fields"));
        }
        if terms.period.covers(&release.period) { Ok(()) } else { Err(Refused::Beyond("period")) }
    }
}

/// Two different persons signed, one of whom wrote nothing in the case before.
fn check_quorum(register: &Register, decision: &Verified<Decision>, authors: impl Iterator<Item = Did>) -> Result<(), Refused> {
    use crate::veil::demand::Role::Approver;
    let person = |key: &Did| register.person(key).ok_or(Refused::Unregistered(*key));
    if !decision.keys().iter().all(|key| register.has(key, Approver) || has_left(register, key)) {
        return Err(Refused::NoRole(Approver));
    }
    let approvers = decision.keys().iter().map(person).collect::<Result<BTreeSet<_>, _>>()?;
    let authors = authors.map(|key| person(&key)).collect::<Result<BTreeSet<_>, _>>()?;
    match approvers.len() {
        have if have < APPROVERS_MIN => Err(Refused::TooFewApprovers { have }),
        _ if approvers.is_subset(&authors) => Err(Refused::NoOutsider),
        _ => Ok(()),
    }
}

/// Whether the key is that of somebody who has no role any more: what they did while they had one stays done.
fn has_left(register: &Register, key: &Did) -> bool {
    register.persons().iter().any(|person| person.roles.is_empty() && person.keys.contains(key))
}

fn covers(outer: &[Field], inner: &[Field]) -> bool {
    inner.iter().all(|field| outer.iter().any(|outer| outer.covers(field)))
}

/// The instant at which a record was taken, as nearly as the log says: its entry tells the hour.
fn instant(entry: &Entry, at: UnixMs) -> UnixMs {
    UnixMs(at.0.clamp(entry.hour.0, entry.hour.0.saturating_add(BUCKET_MS - 1)))
}

fn act(record: &Record) -> Act {
    match record {
        Record::Stage(_) => Act::Stage,
        Record::Decision(_) => Act::Decision,
        Record::Challenge(_) => Act::Challenge,
        Record::Notice(_) => Act::Notice,
        Record::Release(_) => Act::Release,
    }
}
