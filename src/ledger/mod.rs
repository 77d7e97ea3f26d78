//! The one writer. A record is verified, checked against its subject's standing, made durable, and only then acts: the
//! subject's generation grows, and the barrier waits until every open stream stands on the new standing.
//!
//! Calls write to disk and wait for streams: an async caller moves them off its threads.

pub mod announced;
mod authority;
mod barrier;
pub mod desk;
pub mod disclosed;
pub mod disclosing;
mod enrol;
pub mod fact;
mod load;
mod logged;
pub mod refused;
pub mod subject;
mod subjects;
pub mod uses;
pub mod vault;
pub mod watch;

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use dashmap::DashMap;

pub use self::announced::AnnouncedKeys;
pub use self::barrier::{Barrier, StreamSettled};
use self::desk::Desk;
pub use self::desk::{CaseFile, DemandTaken, Releasing};
use self::disclosing::{Disclosing, INTERVALS_MAX};
use self::load::Touched;
pub use self::logged::Receipt;
pub use self::refused::{Move, OpenError, Refused};
pub use self::subject::Subject;
pub use self::subjects::RESIDENT_MAX;
use self::subjects::Subjects;
pub use self::uses::{Took, Uses};
use self::vault::Vaults;
pub use self::watch::{Watched, Watching};
use crate::log::Log;
use crate::store::rest::{AtRest, Kept, RestKey};
use crate::store::{Batch, NoteMark, Noted, Store};
use crate::veil::consent::enrolment;
use crate::veil::consent::envelope::{Envelope, Signed};
use crate::veil::consent::record::{Consent, SignerRole};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::standing::Standing;
use crate::veil::consent::withdrawal::Withdrawal;
use crate::veil::consent::{agreement, delegation, delegation_end};
use crate::veil::crypto::secret::Secret;
use crate::veil::crypto::sign::SignKey;
use crate::veil::demand::Register;
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{Did, Handle, Origin, RecordId, Spiffe, UnixMs};
use crate::world::{self, Clock};

/// The most subjects that signed something while no source has named them: whoever makes up keys fills no more than this.
pub const STRANGERS_MAX: usize = 65_536;

/// What the ledger must know.
#[derive(Debug)]
pub struct LedgerConfig {
    /// The gateway's name in its log; records are bound to it.
    pub origin: Origin,
    /// The gateway's key that handles are made with.
    pub handle_key: Secret<32>,
    /// The gateway's key that secrets at rest are sealed with.
    pub store_key: Secret<32>,
    /// The gateway's key that signs what it says itself about legal demands.
    pub sign: Arc<SignKey>,
    /// Who answers legal demands.
    pub persons: Register,
    /// Who signs mandates: operators and stewards.
    pub operators: Vec<Did>,
    /// The sources, and the key of the party behind each.
    pub sources: Vec<(Spiffe, Did)>,
    /// How long what is disclosed is counted together at the most, in milliseconds.
    pub disclosure_ms: i64,
}

/// Who signs for the operator and for sources, as of now.
#[derive(Debug)]
struct People {
    operators: Vec<Did>,
    sources: Vec<(Spiffe, Did)>,
}

/// All standings, and the only way to change them.
pub struct Ledger {
    store: Arc<Store>,
    log: Arc<Log>,
    config: LedgerConfig,
    people: RwLock<Arc<People>>,
    clock: Arc<Clock>,
    rest_key: RestKey,
    subjects: Subjects,
    handles: DashMap<Handle, Did>,
    mandate_generation: AtomicU64,
    enrolment_generation: AtomicU64,
    barriers: RwLock<Vec<Arc<dyn Barrier>>>,
    announced: AnnouncedKeys,
    uses: DashMap<RecordId, Arc<Uses>>,
    watched: Watched,
    vaults: Vaults,
    desk: Desk,
    disclosing: Arc<Disclosing>,
    /// Whoever notes or logs disclosures; whether the last note was written.
    recording: Mutex<bool>,
    /// Of disclosures: which one it is on the clock.
    period: AtomicI64,
    refusals: Mutex<disclosed::Logged>,
    writer: Mutex<Writer>,
    strangers_max: usize,
}

/// What only one at a time may touch.
#[derive(Debug, Default)]
struct Writer {
    /// Subjects that no source has named.
    strangers: usize,
    /// A write failed: what is on disk of these must be read before the next one.
    unsure: Option<Vec<Touched>>,
}

/// A record was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The id of the record.
    pub record: RecordId,
    /// The subject's counter after it; 0 for an enrolment.
    pub seq: u64,
    /// That it is in the log.
    pub receipt: Receipt,
}

/// A withdrawal is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// The id of the withdrawal.
    pub record: RecordId,
    /// How many grants ended.
    pub ended: u32,
    /// Where the open streams that carried the subject stood.
    pub streams: Vec<StreamSettled>,
    /// That it is in the log; `None` where there was nothing to end, and so nothing was kept.
    pub receipt: Option<Receipt>,
}

impl Ledger {
    /// Authenticates what rests; an empty store begins a ledger. What the log lacks is appended to it.
    pub fn open(store: Arc<Store>, log: Arc<Log>, config: LedgerConfig, clock: Arc<Clock>) -> Result<Arc<Self>, OpenError> {
        Self::open_with((store, log), config, clock, (STRANGERS_MAX, RESIDENT_MAX))
    }

    fn open_with(
        (store, log): (Arc<Store>, Arc<Log>),
        mut config: LedgerConfig,
        clock: Arc<Clock>,
        (strangers_max, resident_max): (usize, usize),
    ) -> Result<Arc<Self>, OpenError> {
        Self::claim(&store, &config.origin)?;
        logged::compare(&store, &log)?;
        if let Some(mark) = store.clock()? {
            clock.raise(mark);
        }
        let desk = Desk::new(Arc::clone(&config.sign), config.persons.clone());
        let ledger = Self {
            rest_key: RestKey::new(&config.store_key),
            store,
            log,
            people: RwLock::new(Arc::new(People {
                operators: std::mem::take(&mut config.operators),
                sources: std::mem::take(&mut config.sources),
            })),
            subjects: Subjects::new(resident_max),
            handles: DashMap::new(),
            mandate_generation: AtomicU64::new(0),
            enrolment_generation: AtomicU64::new(0),
            barriers: RwLock::default(),
            announced: AnnouncedKeys::default(),
            uses: DashMap::new(),
            watched: Watched::default(),
            vaults: Vaults::default(),
            desk,
            disclosing: Arc::new(Disclosing::new(Arc::clone(&clock), INTERVALS_MAX)),
            recording: Mutex::default(),
            period: AtomicI64::new(clock.now().map_or(0, |now| now.0.div_euclid(config.disclosure_ms.max(1)))),
            refusals: Mutex::new(disclosed::Logged::since(clock.mark())),
            writer: Mutex::default(),
            strangers_max,
            config,
            clock,
        };
        ledger.begin(&mut ledger.writer())?;
        Ok(Arc::new(ledger))
    }

    /// Makes changes wait for the streams behind `barrier`, too.
    pub fn attach(&self, barrier: Arc<dyn Barrier>) {
        self.barriers.write().unwrap_or_else(PoisonError::into_inner).push(barrier);
    }

    /// From here on these sign for the operator and for sources; streams are to be judged anew ([`Self::rejudge_all`]).
    pub fn know(&self, operators: Vec<Did>, sources: Vec<(Spiffe, Did)>) -> Result<(), Refused> {
        // INVARIANT: operators are in memory while they are operators, so that a mandate is never missed.
        let read = operators.iter().map(|did| self.subject(did)).collect::<Result<Vec<_>, _>>()?;
        *self.people.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(People { operators, sources });
        drop(read);
        Ok(())
    }

    /// What all views stand on has changed beside the ledger. Returns when no open stream hands over anything that was judged
    /// before.
    pub fn rejudge_all(&self) -> Vec<StreamSettled> {
        self.mandate_generation.fetch_add(1, Ordering::Release);
        let barriers = self.barriers.read().unwrap_or_else(PoisonError::into_inner).clone();
        barriers.iter().flat_map(|barrier| barrier.settle_all()).collect()
    }

    fn people(&self) -> Arc<People> {
        Arc::clone(&self.people.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a grant, a refusal, a mandate, a delegation, an agreement or an enrolment, by its payload type. Durable and in force when it answers.
    pub fn submit(&self, envelope: &Envelope) -> Result<Submitted, Refused> {
        match envelope.payload_type.as_str() {
            enrolment::MEDIA_TYPE => return self.enrol(envelope),
            delegation::MEDIA_TYPE | agreement::MEDIA_TYPE => return self.take_authority(envelope),
            delegation_end::MEDIA_TYPE => return Err(RecordRefusal::WrongCall { call: "Withdraw" }.into()),
            _ => {}
        }
        let consent = Signed::<Consent>::new(envelope)?.verify(&self.config.origin)?;
        let did = consent.get().subject;
        if consent.get().by.role == SignerRole::Operator && !self.is_operator(&did) {
            return Err(Refused::NotAnOperator);
        }
        let now = self.clock.now()?;
        let mut writer = self.sure_writer()?;
        let known = self.subject(&did)?;
        let mut standing = known.as_ref().map(|subject| Standing::clone(&subject.standing())).unwrap_or_default();
        standing.check(&consent, now)?;
        let (record, seq) = (consent.id(), consent.get().seq);
        let for_demand = self.consent_row(&consent, envelope, now)?;
        let desk = for_demand.iter().map(|row| row.sealed.clone()).collect();
        let batch = Batch { desk, ..fact::batch(now, envelope) };
        let (subject, kept, leaf) = self.keep(&mut writer, known, (did, Act::Consent, record), now, batch)?;
        standing.apply(consent, now);
        self.end_consents(&standing, now);
        subject.replace(standing, kept);
        self.consented(for_demand)?;
        drop(writer);
        self.settle(&did);
        Ok(Submitted { record, seq, receipt: self.receipt(&subject, record, leaf)? })
    }

    /// Takes a withdrawal, or the end of a delegation. Durable, and in force on every open stream, when it answers. It waits for no chain, and not
    /// for the clock: where that is behind, the latest instant seen stands for now.
    pub fn withdraw(&self, envelope: &Envelope) -> Result<Withdrawn, Refused> {
        match envelope.payload_type.as_str() {
            delegation_end::MEDIA_TYPE => return self.end_delegations(envelope),
            delegation::MEDIA_TYPE | agreement::MEDIA_TYPE => return Err(RecordRefusal::WrongCall { call: "Submit" }.into()),
            _ => {}
        }
        let withdrawal = Signed::<Withdrawal>::new(envelope)?.verify(&self.config.origin)?;
        let (did, record) = (withdrawal.get().subject, withdrawal.id());
        let now = self.clock.latest();
        let mut writer = self.sure_writer()?;
        let known = self.subject(&did)?;
        let mut standing = known.as_ref().map(|subject| Standing::clone(&subject.standing())).unwrap_or_default();
        let ending = standing.check_withdrawal(&withdrawal, now)?;
        let ended = ending.ended();
        let logged = if ending.is_nothing() {
            let leaf = self.store.leaf_of(&did, &record).map_err(Refused::Unavailable)?;
            known.zip(leaf)
        } else {
            let (subject, kept, leaf) = self.keep(&mut writer, known, (did, Act::Withdrawal, record), now, fact::batch(now, envelope))?;
            standing.apply_withdrawal(ending);
            self.end_consents(&standing, now);
            subject.replace(standing, kept);
            Some((subject, leaf))
        };
        drop(writer);
        // Also where nothing changed: whoever sends it again, because the first answer was lost, gets an answer as good.
        let streams = self.settle(&did);
        let receipt = logged.map(|(subject, leaf)| self.receipt_at_once(&subject, record, leaf)).transpose()?;
        Ok(Withdrawn { record, ended, streams, receipt })
    }

    /// The standings of the operators, for [`crate::veil::consent::deciding::mandate_deciding`].
    pub fn mandates(&self) -> Vec<Arc<Standing>> {
        self.people().operators.iter().filter_map(|did| self.subjects.resident(did)).map(|subject| subject.standing()).collect()
    }

    /// Grows with every change of a mandate, and of what else all views stand on. Read it before [`Self::mandates`].
    pub fn mandate_generation(&self) -> u64 {
        self.mandate_generation.load(Ordering::Acquire)
    }

    /// Grows with every enrolment and every new subject: an earlier `None` of [`Self::subject_of`] may be one no longer.
    pub fn enrolment_generation(&self) -> u64 {
        self.enrolment_generation.load(Ordering::Acquire)
    }

    /// What the records of a key add up to; nothing, where it signed none.
    pub fn standing_of(&self, did: &Did) -> Result<Arc<Standing>, Refused> {
        Ok(self.subject(did)?.map(|subject| subject.standing()).unwrap_or_default())
    }

    /// Where the open streams stand that carry a subject.
    pub fn streams_of(&self, did: &Did) -> Vec<StreamSettled> {
        let barriers = self.barriers.read().unwrap_or_else(PoisonError::into_inner).clone();
        barriers.iter().flat_map(|barrier| barrier.carrying(did)).collect()
    }

    /// The key announcements that were made lately.
    pub fn announced(&self) -> &AnnouncedKeys {
        &self.announced
    }

    /// Whoever waits for changes of a standing.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// A record of a subject's chain, as it was signed; none, where it is not there.
    pub fn record_of(&self, did: &Did, record: RecordId) -> Result<Option<Envelope>, Refused> {
        if !self.standing_of(did)?.has(record) {
            return Ok(None);
        }
        let fact = self.store.fact_of(&record).map_err(Refused::Unavailable)?;
        Ok(fact.map(|fact| fact::envelope(&fact)).transpose()?.map(|(_, envelope)| envelope))
    }

    /// The gateway's name in its log.
    pub fn origin(&self) -> &Origin {
        &self.config.origin
    }

    /// The clock that decisions are made by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Makes the time durable, so that a restart can't go back before it, and what is being disclosed. Call it every few seconds.
    pub fn tick(&self) -> Result<(), Refused> {
        let now = self.clock.now()?;
        self.note(now, Some(NoteMark { at: now, stopped: false, gap: None }))
    }

    /// Makes a batch durable, with its leaf for the log, and with the subject's row. What the subject's records come to then, and the
    /// number of the leaf.
    fn keep(
        &self,
        writer: &mut Writer,
        known: Option<Arc<Subject>>,
        (did, act, record): (Did, Act, RecordId),
        now: UnixMs,
        mut batch: Batch,
    ) -> Result<(Arc<Subject>, Kept, u64), Refused> {
        let mut entropy = world::entropy();
        let before = known.as_ref().map(|subject| subject.enrolled());
        let at_rest = match &known {
            Some(subject) => AtRest { key: subject.pseudonym_key().clone(), enrolled: subject.enrolled(), kept: subject.kept() },
            None if batch.enrolment.is_none() && !self.is_operator(&did) && writer.strangers >= self.strangers_max => {
                return Err(Refused::TooManyStrangers);
            }
            None => AtRest { key: Secret::random(&mut entropy), enrolled: false, kept: Kept::default() },
        };
        let enrolled = at_rest.enrolled || batch.enrolment.is_some();
        let at_rest = AtRest { enrolled, kept: batch.facts.iter().fold(at_rest.kept, |kept, fact| kept.and(fact)), ..at_rest };
        batch.subject = Some((did, self.rest_key.seal_subject(&did, &at_rest, &mut entropy)));
        let kept = at_rest.kept;
        let subject =
            known.unwrap_or_else(|| Arc::new(Subject::new(did, AtRest { kept: Kept::default(), ..at_rest }, Standing::default())));
        batch.leaves = vec![Noted { leaf: subject.leaf(act, now, &record), of: Some((did, record)) }];
        let leaf = self.commit(writer, &mut batch, now, &[(did, before)])?;
        if enrolled {
            subject.enrol();
        }
        let subject = if before == Some(enrolled) { subject } else { self.admit(writer, subject, before) };
        Ok((subject, kept, leaf))
    }

    /// The number of the batch's first leaf. INVARIANT: nothing acts before this answers `Ok`.
    fn commit(&self, writer: &mut Writer, batch: &mut Batch, now: UnixMs, about: &[Touched]) -> Result<u64, Refused> {
        batch.clock = Some(now);
        batch.logged = self.log.size();
        let leaf = self.store.commit(&self.rest_key, batch).map_err(|error| {
            writer.unsure = Some(about.to_vec());
            Refused::Unavailable(error)
        })?;
        // Durable, and yet to be taken into memory.
        self.hand_over(leaf, &batch.leaves).inspect_err(|_| writer.unsure = Some(about.to_vec()))?;
        Ok(leaf)
    }

    /// Waits until every stream stands on the new standing. What an operator's key signs may change the mandate, which
    /// every stream stands on.
    fn settle(&self, did: &Did) -> Vec<StreamSettled> {
        self.watched.changed(did);
        let mandate = self.is_operator(did);
        if mandate {
            self.mandate_generation.fetch_add(1, Ordering::Release);
        }
        let barriers = self.barriers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let settled = barriers.iter().flat_map(|barrier| if mandate { barrier.settle_all() } else { barrier.settle(did) }).collect();
        // What is counted up to here was handed over under what stood before.
        self.disclosing.cut(did);
        settled
    }

    fn is_operator(&self, did: &Did) -> bool {
        self.people().operators.contains(did)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({})", self.config.origin)
    }
}

#[cfg(test)]
mod tests;
