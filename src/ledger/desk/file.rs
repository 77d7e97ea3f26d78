//! Cases as they are read.

use std::sync::Arc;

use super::cases::File;
use super::{Kept, Ledger};
use crate::veil::consent::envelope::Envelope;
use crate::veil::demand::Case;
use crate::veil::name::{Did, RecordId, UnixMs};

/// A case and every record of it.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// How it stands.
    pub case: Case,
    /// What was taken, in order.
    pub records: Arc<Vec<Kept>>,
    /// Decisions that lack signatures.
    pub drafts: Vec<Envelope>,
}

impl From<&File> for CaseFile {
    fn from(file: &File) -> Self {
        Self { case: file.case.clone(), records: Arc::clone(&file.records), drafts: file.drafts.clone() }
    }
}

impl Ledger {
    /// One case.
    pub fn demand(&self, demand: &RecordId) -> Option<CaseFile> {
        self.desk.cases().get(demand).map(CaseFile::from)
    }

    /// Cases that `shows` lets through, in the order in which they came, the first `skip` left out, `most` of them.
    pub fn demands(&self, skip: usize, most: usize, shows: impl Fn(&Case) -> bool) -> Vec<CaseFile> {
        self.desk.cases().all().filter(|file| shows(&file.case)).skip(skip).take(most).map(CaseFile::from).collect()
    }

    /// How many cases are so.
    pub fn count_demands(&self, are: impl Fn(&Case) -> bool) -> usize {
        self.desk.cases().all().filter(|file| are(&file.case)).count()
    }

    /// Demands about a subject that it was told of, and when.
    pub fn demands_told(&self, subject: &Did) -> Vec<(RecordId, UnixMs)> {
        let cases = self.desk.cases();
        let first = |file: &File| file.case.notices().first().map(|notice| (file.case.id(), notice.taken));
        cases.told(subject).filter_map(first).collect()
    }

    /// A demand as it was signed, for a subject of it that was told.
    pub fn demand_for(&self, subject: &Did, demand: &RecordId) -> Option<Envelope> {
        let cases = self.desk.cases();
        let file = cases.told(subject).find(|file| file.case.id() == *demand)?;
        file.kept(*demand).map(|kept| Envelope::clone(&kept.envelope))
    }
}
