//! Frames of one batch on their way from a source to everybody who listens, by reference, and what becomes of them later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arrival::Kept;
use crate::ledger::Subject;
use crate::veil::name::Spiffe;
use crate::veil::outcome::Refusal;
use crate::veil::view::{Frames, Raw};

/// What a chunk takes up beside the bytes of its frames, and for each of them.
const CHUNK_BYTES: usize = 256;
const FRAME_BYTES: usize = 18;

/// Frames of one batch, each with whom it is about.
#[derive(Debug)]
pub struct Chunk {
    frames: Frames,
    /// By frame: a position in `subjects`.
    about: Vec<u16>,
    subjects: Vec<Option<Arc<Subject>>>,
    source: Spiffe,
    tally: Arc<Tally>,
    /// What it lies in is counted for as long as it is here.
    _kept: Option<Arc<Kept>>,
}

impl Chunk {
    /// Joins frames with their subjects; `about` has one entry a frame.
    pub fn new(
        (frames, kept): (Frames, Option<Arc<Kept>>),
        about: Vec<u16>,
        subjects: Vec<Option<Arc<Subject>>>,
        source: Spiffe,
        tally: Arc<Tally>,
    ) -> Self {
        debug_assert_eq!(frames.len(), about.len());
        Self { frames, about, subjects, source, tally, _kept: kept }
    }

    /// How many bytes of memory it is, at least half of what it keeps.
    pub(super) fn bytes(&self) -> usize {
        self.frames.bytes() + self.frames.len() * FRAME_BYTES + CHUNK_BYTES
    }

    /// How many frames there are.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// One frame and its subject.
    pub fn get(&self, index: usize) -> Option<(Raw<'_>, Option<&Arc<Subject>>)> {
        let raw = self.frames.get(index)?;
        let about = *self.about.get(index)? as usize;
        Some((raw, self.subjects.get(about)?.as_ref()))
    }

    /// Who sent it.
    pub fn source(&self) -> &Spiffe {
        &self.source
    }

    /// Where later refusals are counted for the source.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// What became of a source's frames after they were acknowledged.
#[derive(Debug, Default)]
pub struct Tally([AtomicU64; Refusal::ALL.len()]);

impl Tally {
    /// Counts a frame that a view refused.
    pub fn refuse(&self, refusal: Refusal) {
        if let Some(at) = Refusal::ALL.iter().position(|one| *one == refusal)
            && let Some(count) = self.0.get(at)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts that are not zero.
    pub fn refused(&self) -> Vec<(Refusal, u64)> {
        let counts = Refusal::ALL.iter().zip(&self.0).map(|(refusal, count)| (*refusal, count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}
