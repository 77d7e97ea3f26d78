//! The subject's own consent for one demand: it stands in the subject's chain, and its case knows of it.

use std::sync::Arc;

use super::row::{Row, What};
use super::{Ledger, Refused};
use crate::veil::consent::envelope::{Envelope, Verified};
use crate::veil::consent::record::Consent;
use crate::veil::consent::standing::Standing;
use crate::veil::name::{Did, RecordId, UnixMs};

impl Ledger {
    /// What is written beside a consent that is for a demand, and nothing for any other. Refused where the case does not take it; to
    /// whomever was not told of the demand, there is none.
    pub(in crate::ledger) fn consent_row(
        &self,
        consent: &Verified<Consent>,
        envelope: &Envelope,
        now: UnixMs,
    ) -> Result<Option<ConsentRow>, Refused> {
        let Some(demand) = consent.get().demand else { return Ok(None) };
        let told = self.desk.cases().told(&consent.get().subject).find(|file| file.case.id() == demand).map(|file| file.case.clone());
        let mut case = told.ok_or(Refused::NoSuchDemand(demand))?;
        case.consent(Arc::new(consent.clone()), now)?;
        let row = Row { taken: now, what: What::Consented { envelope: envelope.clone() } };
        Ok(Some(ConsentRow { sealed: self.seal_row(&row), row }))
    }

    /// It is durable.
    pub(in crate::ledger) fn consented(&self, row: Option<ConsentRow>) -> Result<(), Refused> {
        row.map_or(Ok(()), |row| self.apply_rows(vec![row.row]))
    }

    /// A standing has changed: consents of it that were withdrawn or replaced release nothing any more.
    pub(in crate::ledger) fn end_consents(&self, standing: &Standing, now: UnixMs) {
        let over = |consent: &RecordId| standing.grant(*consent).is_some_and(|grant| grant.over().is_some());
        let ended: Vec<RecordId> = self.desk.cases().consents().keys().filter(|consent| over(consent)).copied().collect();
        if !ended.is_empty() {
            let mut cases = self.desk.change();
            ended.into_iter().for_each(|consent| cases.consent_ended(consent, now));
        }
    }

    /// At a start: consents that were withdrawn since.
    pub(in crate::ledger) fn end_all_consents(&self, now: UnixMs) -> Result<(), Refused> {
        let subjects: Vec<Did> = self.desk.cases().all().flat_map(|file| file.case.subjects().into_iter().flatten().copied()).collect();
        if self.desk.cases().consents().is_empty() {
            return Ok(());
        }
        for subject in subjects {
            self.end_consents(&*self.standing_of(&subject)?, now);
        }
        Ok(())
    }
}

/// A row that is written together with the fact of a consent.
pub(in crate::ledger) struct ConsentRow {
    pub(in crate::ledger) sealed: Vec<u8>,
    row: Row,
}
