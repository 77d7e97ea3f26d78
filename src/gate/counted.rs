//! What a view hands over is counted for its subject's history, as what was decided when the view was made.

use std::sync::Arc;

use super::ask::{Ask, Through};
use super::views::{Made, Seen, ViewMaker};
use crate::ledger::disclosing::{Says, Terms};
use crate::status::Refuse;
use crate::veil::name::{RecordId, UnixMs};
use crate::veil::policy::Decision;
use crate::veil::terms::Treatment;

impl Through {
    /// The legal demand that it rests on, and until when an order forbids to tell of it.
    fn warrant(&self) -> (Option<RecordId>, Option<UnixMs>) {
        match self {
            Self::Frames | Self::Call { .. } => (None, None),
            Self::Warrant(releasing) => (Some(releasing.demand()), releasing.untold_until()),
        }
    }
}

impl ViewMaker {
    /// From here on frames through the view are counted as what is decided now. Where nothing more can be counted, nothing is sent.
    pub(super) fn count(
        &self,
        ask: &Ask,
        seen: &mut Seen,
        (made, decided, decision): (&Made, &[u8; 32], &Decision),
        now: UnixMs,
    ) -> Result<(), Refuse> {
        let Some(subject) = &seen.subject else { return Ok(()) };
        let deciding = decision.sites.iter().filter(|site| site.treatment != Treatment::Strip);
        let mut records: Vec<RecordId> = deciding.filter_map(|site| site.reason.record()).collect();
        records.sort_unstable();
        records.dedup();
        let (warrant, hidden_until) = ask.through.warrant();
        let says = Says {
            recipient: ask.listener.spiffe.clone(),
            purpose: ask.purpose.clone(),
            schema: ask.schema.name().clone(),
            fields: Arc::clone(&made.fields),
            records,
            warrant,
            hidden_until,
        };
        let terms = Terms::new(decided, says);
        if seen.counting.as_ref().is_none_or(|counting| !counting.is_under(&terms)) {
            seen.counting = None;
            let counting = self.ledger().begin_counting(subject.did(), terms, now);
            if counting.is_none() {
                tracing::error!("as many disclosures wait for the log as can: see to the disk; no further view is made meanwhile");
            }
            seen.counting = Some(counting.ok_or(Refuse::StoreDown)?);
        }
        Ok(())
    }
}
