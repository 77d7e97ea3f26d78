//! A release that is going on: frames to one party under one demand. That it began is durable before anything is handed over, and how far it
//! got is written down as it goes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::row::{ReleaseId, Row, What};
use super::{Ledger, Refused};
use crate::veil::consent::deciding::Deciding;
use crate::veil::demand::{self, Field, Warrant};
use crate::veil::name::{Did, RecordId, SchemaName, Spiffe, UnixMs};
use crate::veil::policy::Decision;
use crate::veil::schema::Schema;
use crate::veil::terms::{Treatment, covers};
use crate::world::random;

/// A release that is going on. What is handed over under it is counted here.
#[derive(Debug)]
pub struct Releasing {
    pub(super) id: ReleaseId,
    warrant: Warrant,
    schema: SchemaName,
    untold_until: Option<UnixMs>,
    frames: AtomicU64,
    ended: AtomicBool,
    noted: Mutex<Noted>,
}

/// What of it is written down.
#[derive(Debug)]
pub(super) struct Noted {
    /// What is on record ends here.
    pub(super) from: UnixMs,
    /// How many frames are on record.
    pub(super) frames: u64,
    /// How many more are counted on disk.
    pub(super) counted: u64,
    /// What was shown since.
    pub(super) fields: BTreeSet<Field>,
}

impl Releasing {
    /// What it rests on.
    pub fn warrant(&self) -> &Warrant {
        &self.warrant
    }

    /// The demand.
    pub fn demand(&self) -> RecordId {
        self.warrant.demand()
    }

    /// Until when those whom it is about may not be told of it.
    pub fn untold_until(&self) -> Option<UnixMs> {
        self.untold_until
    }

    /// Whether frames about somebody are released.
    pub fn is_about(&self, subject: &Did) -> bool {
        self.warrant.subjects().contains(subject)
    }

    /// What policy decides from.
    pub fn deciding(&self) -> Deciding<'_> {
        self.warrant.deciding(&self.schema)
    }

    /// From here on this is shown.
    pub fn shows(&self, schema: &Schema, decision: &Decision) {
        let shown = |field: &&Field| {
            field.schema == *schema.name()
                && schema
                    .sites()
                    .iter()
                    .zip(&decision.sites)
                    .any(|(site, decided)| decided.treatment != Treatment::Strip && covers(field.path.as_str(), site.path.as_str()))
        };
        let fields = self.warrant.fields().iter().filter(shown).cloned();
        self.noted().fields.extend(fields);
    }

    /// So many frames were handed over.
    pub fn handed_over(&self, frames: u64) {
        self.frames.fetch_add(frames, Ordering::Relaxed);
    }

    /// Nothing is handed over any more. What became of it is written down by [`Ledger::mind_desk`].
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(super) fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many frames there were, and whether that is all. Read in this order: after the end none is added.
    pub(super) fn so_far(&self) -> (bool, u64) {
        let ended = self.ended.load(Ordering::Acquire);
        (ended, self.frames.load(Ordering::Relaxed))
    }
}

impl Ledger {
    /// Lets a release begin, where the case of a demand lets something leave now to this party. Durable when it answers; a consent for one
    /// release is used up by it.
    pub fn begin_release(&self, demand: RecordId, recipient: &Spiffe, schema: &SchemaName) -> Result<Arc<Releasing>, Refused> {
        let writer = self.sure_writer()?;
        // Whoever gets nothing makes nobody wait for the log; nor does a withdrawal wait behind this for its disk.
        self.leaving(demand, recipient, schema)?;
        drop(writer);
        self.log_up_to(self.log.next())?;
        let mut writer = self.sure_writer()?;
        // What it rests on is in the log before anything leaves, also what came meanwhile: the decision, and who was told.
        self.log_all()?;
        let (now, warrant, untold_until) = self.leaving(demand, recipient, schema)?;
        let id = random();
        let fields = warrant.fields().iter().filter(|field| field.schema == *schema).cloned().collect();
        let what = What::Begun { release: id, demand, decision: warrant.decision(), fields };
        self.keep_rows(&mut writer, now, vec![Row { taken: now, what }], &[])?;
        let noted = Mutex::new(Noted { from: now, frames: 0, counted: 0, fields: BTreeSet::new() });
        let (frames, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        let releasing = Arc::new(Releasing { id, warrant, schema: schema.clone(), untold_until, frames, ended, noted });
        // INVARIANT: before the writer is free, so that nobody takes it for one that a crash cut off.
        self.desk.releasing().push(Arc::clone(&releasing));
        drop(writer);
        Ok(releasing)
    }

    /// What may leave now to this party of frames of a schema, and until when those whom it is about may not be told.
    fn leaving(&self, demand: RecordId, recipient: &Spiffe, schema: &SchemaName) -> Result<(UnixMs, Warrant, Option<UnixMs>), Refused> {
        let now = self.clock.now()?;
        let file = self.file(&demand)?;
        let (warrant, untold_until) = (file.case.warrant(now)?, file.case.untold_until());
        if warrant.recipient() != recipient {
            // Whom it is for is told to nobody else.
            return Err(Refused::NoSuchDemand(demand));
        }
        if !warrant.fields().iter().any(|field| field.schema == *schema) {
            return Err(demand::Refused::Beyond("fields").into());
        }
        Ok((now, warrant, untold_until))
    }

    /// Whether a release may go on.
    pub fn holds(&self, releasing: &Releasing) -> Result<(), Refused> {
        let now = self.clock.now()?;
        let cases = self.desk.cases();
        let file = cases.get(&releasing.demand()).ok_or(Refused::NoSuchDemand(releasing.demand()))?;
        Ok(file.case.holds(&releasing.warrant, now)?)
    }
}
