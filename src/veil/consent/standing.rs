//! What all records of a subject add up to at an instant.
//!
//! A standing is a fold over verified records in the order in which the gateway took them: the same records at the same
//! instants give the same standing. Grants, delegations and agreements stand in a chain; withdrawals, and ends of delegations, wait
//! for nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::SKEW_MS_MAX;
use super::authority::{Agreed, Delegated};
use super::envelope::Verified;
use super::grant::{Done, Stamp, Word};
use super::record::{Consent, Status};
use super::refusal::RecordRefusal;
use super::signer::{By, SignerRole};
use super::withdrawal::{Reach, Withdrawal};
use crate::veil::name::{RecordId, UnixMs};

pub use super::chain::Head;
pub use super::grant::{Grant, GrantState};
pub use super::rule::{Effect, Rule};

/// The most records of a subject's chain.
pub const RECORDS_MAX: usize = 1_000;
/// The most withdrawals of records not yet seen that are kept for a subject; others than the subject fill at most half.
pub const UNSEEN_MAX: usize = 1_024;

/// What all records of a subject add up to.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub(super) head: Head,
    /// How many records changed something.
    pub(super) changes: u64,
    pub(super) grants: Vec<Grant>,
    pub(super) delegations: Vec<Delegated>,
    pub(super) agreements: Vec<Agreed>,
    /// Withdrawn before they arrived, and by whom.
    unseen: BTreeSet<(RecordId, By)>,
    /// Numbers up to which records that arrive later are withdrawn, if they were signed by then.
    bounds: Vec<Bound>,
    /// Delegations that the subject ended before they arrived.
    pub(super) unseen_ends: BTreeSet<RecordId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    seq: u64,
    signed_by: UnixMs,
    by: By,
}

/// What a withdrawal changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    by: By,
    at: UnixMs,
    grants: Vec<usize>,
    unseen: Vec<RecordId>,
    bound: Option<Bound>,
}

/// Where a record wants to stand in the chain.
pub(super) struct Link {
    pub(super) id: RecordId,
    pub(super) seq: u64,
    pub(super) prev: Option<RecordId>,
    pub(super) at: UnixMs,
}

impl Ending {
    /// How many grants end.
    pub fn ended(&self) -> u32 {
        u32::try_from(self.grants.len()).unwrap_or(u32::MAX)
    }

    /// Whether nothing changes: everything it names was withdrawn before.
    pub fn is_nothing(&self) -> bool {
        self.grants.is_empty() && self.unseen.is_empty() && self.bound.is_none()
    }
}

impl Standing {
    /// Where the chain stands.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Every grant, refusal and mandate of the chain, oldest first, ended ones included.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// One of them.
    pub fn grant(&self, id: RecordId) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.id() == id)
    }

    /// How many grants permit something, now or later.
    pub fn live(&self, at: UnixMs) -> usize {
        self.grants.iter().filter(|grant| grant.permits_after(at)).count()
    }

    /// How many records changed something: the number of the last change.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether a grant, refusal or mandate is the next of the chain, in time, and said by who may say it.
    pub fn check(&self, record: &Verified<Consent>, now: UnixMs) -> Result<(), RecordRefusal> {
        let consent = record.get();
        self.check_link(&Link { id: record.id(), seq: consent.seq, prev: consent.prev, at: consent.at }, now)?;
        if consent.expires <= now {
            return Err(RecordRefusal::Expired { at: consent.expires });
        }
        for id in &consent.replaces {
            if !self.grant(*id).is_some_and(|grant| grant.acts_after(now)) {
                return Err(RecordRefusal::NotLive(*id));
            }
        }
        // A swap that begins later would leave a gap, or leave standing what it is meant to end.
        if !consent.replaces.is_empty() && consent.not_before.is_some_and(|from| from > now) {
            return Err(RecordRefusal::member("not_before", "absent, as it must be where `replaces` swaps at once"));
        }
        self.check_speaker(consent, now)?;
        if consent.status == Status::Renewed {
            self.check_renewal(consent, now)?;
        }
        self.check_signatures(record)
    }

    /// A renewal leaves everything as it is but the end.
    fn check_renewal(&self, consent: &Consent, now: UnixMs) -> Result<(), RecordRefusal> {
        let [renewed] = consent.replaces[..] else {
            return Err(RecordRefusal::NotARenewal("`replaces` does not name exactly one record"));
        };
        let renewed = self.grant(renewed).filter(|grant| grant.permits_after(now));
        let by_delegate = consent.by.role.authority().is_some();
        if by_delegate && renewed.is_some_and(|grant| grant.from > now) {
            return Err(RecordRefusal::NotARenewal("what it replaces has not begun"));
        }
        match renewed.map(Grant::consent) {
            None => Err(RecordRefusal::NotARenewal("what it replaces permits nothing any more")),
            // The count would begin anew: that is a grant.
            Some(old) if old.max_uses.is_some() || consent.max_uses.is_some() => {
                Err(RecordRefusal::NotARenewal("what counts its uses is granted again"))
            }
            // Else whoever may only renew would withdraw, and end what the subject forbade.
            Some(old) if by_delegate && consent.expires < old.expires => Err(RecordRefusal::NotARenewal("it ends before what it replaces")),
            Some(old) if old.terms != consent.terms || old.by.role.is_mandate() != consent.by.role.is_mandate() => {
                Err(RecordRefusal::NotARenewal("its terms are not those of what it replaces"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether a record is the next of the chain, and not from the future.
    pub(super) fn check_link(&self, link: &Link, now: UnixMs) -> Result<(), RecordRefusal> {
        if let Some(seq) = self.seq_of(link.id) {
            return Err(RecordRefusal::TakenBefore { seq });
        }
        if link.seq != self.head.seq.saturating_add(1) || link.prev != self.head.record {
            return Err(RecordRefusal::OutOfOrder { head: self.head });
        }
        if self.grants.len() + self.delegations.len() + self.agreements.len() >= RECORDS_MAX {
            return Err(RecordRefusal::TooMany("records"));
        }
        if link.at.0.saturating_sub(now.0) > SKEW_MS_MAX {
            return Err(RecordRefusal::FromTheFuture { now });
        }
        Ok(())
    }

    /// Whether a record is of the chain.
    pub fn has(&self, record: RecordId) -> bool {
        self.seq_of(record).is_some()
    }

    fn seq_of(&self, id: RecordId) -> Option<u64> {
        let delegation = || self.delegation(id).map(|delegated| delegated.delegation().seq);
        let agreement = || self.agreement(id).map(|agreed| agreed.agreement().seq);
        self.grant(id).map(|grant| grant.consent().seq).or_else(delegation).or_else(agreement)
    }

    /// Takes a record that [`Self::check`] let through at the same instant.
    pub fn apply(&mut self, record: Verified<Consent>, now: UnixMs) {
        let (id, when) = (record.id(), self.stamp(now));
        let consent = record.get();
        let mut word = Word { by: consent.by, seq: consent.seq };
        for grant in self.grants.iter_mut().filter(|grant| consent.replaces.contains(&grant.consent.id())) {
            if consent.status == Status::Renewed && consent.by.role.authority().is_some() {
                word = grant.word;
            }
            grant.replaced = Some(Box::new(Done { by: consent.by, when }));
        }
        self.head = Head { seq: consent.seq, record: Some(id) };
        let by_name = self.unseen.iter().filter(|(unseen, _)| *unseen == id).map(|(_, by)| *by);
        let by_number = self.bounds.iter().filter(|bound| consent.seq <= bound.seq && consent.at <= bound.signed_by).map(|bound| bound.by);
        // What ends is what was permitted, whichever came first: a refusal has nothing to end, and stands.
        let withdrawn = by_name.chain(by_number).find(|by| consent.permits() && self.reaches(*by, &record));
        self.unseen.retain(|(unseen, _)| *unseen != id);
        // Without `not_before` it is in force as soon as it is taken, also where the signer's clock is a little ahead.
        let from = consent.not_before.unwrap_or(consent.at.min(now));
        let withdrawn = withdrawn.map(|by| Box::new(Done { by, when }));
        self.grants.push(Grant { consent: Arc::new(record), from, taken: when, word, withdrawn, replaced: None, ended: None });
    }

    /// The next change.
    pub(super) fn stamp(&mut self, at: UnixMs) -> Stamp {
        self.changes += 1;
        Stamp { change: self.changes, at }
    }

    /// What a withdrawal changes. It is never out of order. It is refused where somebody speaks for the subject who may not, and where
    /// more would be kept for records nobody saw than there is room for.
    pub fn check_withdrawal(&self, withdrawal: &Verified<Withdrawal>, now: UnixMs) -> Result<Ending, RecordRefusal> {
        let by = withdrawal.get().by;
        self.check_withdrawer(by, now)?;
        let mut ending = Ending { by, at: now, grants: Vec::new(), unseen: Vec::new(), bound: None };
        match &withdrawal.get().reach {
            Reach::Records(ids) => {
                for id in ids {
                    match self.standing_for(*id) {
                        Some(at) if !self.reaches(by, self.grants[at].record()) => {
                            return Err(RecordRefusal::Widens("withdraws".into()));
                        }
                        Some(at) if self.grants[at].permits_after(now) && !ending.grants.contains(&at) => ending.grants.push(at),
                        Some(_) => {}
                        None if !self.unseen.contains(&(*id, by)) && !ending.unseen.contains(id) => ending.unseen.push(*id),
                        None => {}
                    }
                }
            }
            Reach::UpTo(seq) => {
                let reached = |grant: &Grant| grant.word.seq <= *seq && grant.permits_after(now) && self.reaches(by, grant.record());
                ending.grants = self.grants.iter().enumerate().filter(|(_, grant)| reached(grant)).map(|(at, _)| at).collect();
                // Signed ahead with a number ahead, it reaches what was signed by then, and nothing made later.
                // The subject's clock may be as fast as it may be for records; a delegate's reaches no further than the delegation.
                let skew = if by.role.authority().is_none() { SKEW_MS_MAX } else { 0 };
                let latest = UnixMs(now.0.saturating_add(skew));
                let bound = Bound { seq: *seq, signed_by: withdrawal.get().at.min(latest), by };
                let known = |known: &Bound| known.seq >= bound.seq && known.signed_by >= bound.signed_by && known.by == by;
                ending.bound = (bound.seq > self.head.seq && !self.bounds.iter().any(known)).then_some(bound);
            }
        }
        let kept = self.unseen.len() + self.bounds.len() + self.unseen_ends.len();
        let added = ending.unseen.len() + usize::from(ending.bound.is_some());
        let room = if by.role.authority().is_none() { UNSEEN_MAX } else { UNSEEN_MAX / 2 };
        if kept + added > room && added > 0 && ending.grants.is_empty() {
            return Err(RecordRefusal::TooMany("withdrawals of records not seen"));
        }
        Ok(ending)
    }

    /// Ends what [`Self::check_withdrawal`] found.
    pub fn apply_withdrawal(&mut self, ending: Ending) {
        let done = Done { by: ending.by, when: self.stamp(ending.at) };
        for at in ending.grants {
            if let Some(grant) = self.grants.get_mut(at) {
                grant.withdrawn = Some(Box::new(done));
            }
        }
        self.unseen.extend(ending.unseen.into_iter().map(|id| (id, ending.by)));
        if let Some(bound) = ending.bound {
            self.bounds.retain(|known| known.by != bound.by || known.seq > bound.seq || known.signed_by > bound.signed_by);
            self.bounds.push(bound);
        }
    }

    /// Where the record is that was meant, or what delegates put in its place by renewing it.
    fn standing_for(&self, id: RecordId) -> Option<usize> {
        let meant = self.grant(id)?.word.seq;
        self.grants.iter().rposition(|grant| grant.word.seq == meant)
    }

    /// Whether somebody's withdrawal reaches a record: the subject's every one, a delegate's those in the scope, a signatory's those
    /// that count by signatures which the agreement asks for.
    fn reaches(&self, by: By, record: &Verified<Consent>) -> bool {
        match by.role {
            SignerRole::Subject | SignerRole::Operator => true,
            SignerRole::Delegate(id) => {
                let scope = self.delegation(id).map(|delegated| &delegated.delegation().scope);
                scope.is_some_and(|scope| !record.get().by.role.is_mandate() && scope.reaches(record.get()))
            }
            SignerRole::Signatory(id) => self.agreement(id).is_some_and(|agreed| {
                let mut quorums = agreed.agreement().rules.iter().filter(|quorum| quorum.of.contains(&by.key));
                agreed.binds(record.get()) && quorums.any(|quorum| quorum.check(id, record).is_ok())
            }),
        }
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
