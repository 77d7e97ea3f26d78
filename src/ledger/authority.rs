//! Delegations, their ends, and agreements: taken as grants and withdrawals are.

use super::fact::{self, Said};
use super::{Ledger, Refused, Submitted, Withdrawn};
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::standing::Standing;

impl Ledger {
    /// Takes a delegation or an agreement.
    pub(super) fn take_authority(&self, envelope: &Envelope) -> Result<Submitted, Refused> {
        let said = Said::verify(envelope, &self.config.origin)?;
        if let Said::Agreement(agreement) = &said
            && agreement.get().by.role.is_mandate()
            && !self.is_operator(&agreement.get().subject)
        {
            return Err(Refused::NotAnOperator);
        }
        let (did, (act, record)) = (said.subject(), said.act());
        let now = self.clock.now()?;
        let mut writer = self.sure_writer()?;
        let known = self.subject(&did)?;
        let mut standing = known.as_ref().map(|subject| Standing::clone(&subject.standing())).unwrap_or_default();
        said.take(&mut standing, now)?;
        let seq = standing.head().seq;
        let (subject, kept, leaf) = self.keep(&mut writer, known, (did, act, record), now, fact::batch(now, envelope))?;
        subject.replace(standing, kept);
        drop(writer);
        self.settle(&did);
        Ok(Submitted { record, seq, receipt: self.receipt(&subject, record, leaf)? })
    }

    /// Ends delegations, and what was granted under them. Like a withdrawal it waits for no chain, and not for the clock.
    pub(super) fn end_delegations(&self, envelope: &Envelope) -> Result<Withdrawn, Refused> {
        let said = Said::verify(envelope, &self.config.origin)?;
        let (did, (act, record)) = (said.subject(), said.act());
        let now = self.clock.latest();
        let mut writer = self.sure_writer()?;
        let known = self.subject(&did)?;
        let mut standing = known.as_ref().map(|subject| Standing::clone(&subject.standing())).unwrap_or_default();
        let before = standing.live(now);
        let (ended, logged) = if said.take(&mut standing, now)? {
            let (subject, kept, leaf) = self.keep(&mut writer, known, (did, act, record), now, fact::batch(now, envelope))?;
            let ended = u32::try_from(before.saturating_sub(standing.live(now))).unwrap_or(u32::MAX);
            subject.replace(standing, kept);
            (ended, Some((subject, leaf)))
        } else {
            let leaf = self.store.leaf_of(&did, &record).map_err(Refused::Unavailable)?;
            (0, known.zip(leaf))
        };
        drop(writer);
        // Also where nothing changed: whoever sends it again, because the first answer was lost, gets an answer as good.
        let streams = self.settle(&did);
        let receipt = logged.map(|(subject, leaf)| self.receipt_at_once(&subject, record, leaf)).transpose()?;
        Ok(Withdrawn { record, ended, streams, receipt })
    }
}
