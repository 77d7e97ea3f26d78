//! What all records of a subject add up to at an instant.
//!
//! A standing is a fold over verified records in the order in which the gateway took them: the same records at the same
//! instants give the same standing. Grants stand in a chain; withdrawals wait for nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::SKEW_MS_MAX;
use super::envelope::Verified;
use super::record::Consent;
use super::refusal::RecordRefusal;
use super::withdrawal::{Reach, Withdrawal};
use crate::veil::name::{RecordId, UnixMs};

pub use super::chain::Head;
pub use super::rule::{Effect, Rule};

/// The most grants and refusals that a subject's chain has.
pub const RECORDS_MAX: usize = 1_000;
/// The most withdrawals of records not yet seen that are kept for a subject.
pub const UNSEEN_MAX: usize = 1_024;

/// What all records of a subject add up to.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    head: Head,
    grants: Vec<Grant>,
    /// Withdrawn before they arrived.
    unseen: BTreeSet<RecordId>,
    /// Numbers up to which records that arrive later are withdrawn, if they were signed by then.
    bounds: Vec<Bound>,
}

/// A record of the chain and how it fares.
#[derive(Clone, Debug)]
pub struct Grant {
    consent: Arc<Verified<Consent>>,
    from: UnixMs,
    withdrawn: bool,
    replaced: bool,
}

/// How a record fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// In force.
    Live,
    /// Begins later.
    NotYet,
    /// Ended by itself.
    Expired,
    /// Its permits were withdrawn.
    Withdrawn,
    /// A later record took its place.
    Replaced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    seq: u64,
    signed_by: UnixMs,
}

impl Bound {
    fn reaches(self, consent: &Consent) -> bool {
        consent.seq <= self.seq && consent.at <= self.signed_by
    }
}

/// What a withdrawal changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    grants: Vec<usize>,
    unseen: Vec<RecordId>,
    bound: Option<Bound>,
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

impl Grant {
    /// The record.
    pub fn consent(&self) -> &Consent {
        self.consent.get()
    }

    /// The id of the record.
    pub fn id(&self) -> RecordId {
        self.consent.id()
    }

    /// From when it is in force.
    pub fn from(&self) -> UnixMs {
        self.from
    }

    /// How it fares at an instant.
    pub fn state(&self, at: UnixMs) -> GrantState {
        if self.replaced {
            GrantState::Replaced
        } else if self.withdrawn {
            GrantState::Withdrawn
        } else if self.consent().expires <= at {
            GrantState::Expired
        } else if at < self.from {
            GrantState::NotYet
        } else {
            GrantState::Live
        }
    }

    /// Whether its permits are, or will be, in force.
    fn permits_after(&self, at: UnixMs) -> bool {
        !self.replaced && !self.withdrawn && self.consent().permits() && at < self.consent().expires
    }

    /// Whether any of its rules is, or will be, in force: a withdrawal leaves forbids standing.
    fn acts_after(&self, at: UnixMs) -> bool {
        !self.replaced && at < self.consent().expires && (!self.withdrawn || self.consent().forbids())
    }
}

impl Standing {
    /// Where the chain stands.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Every record of the chain, oldest first, ended ones included.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether a grant, refusal or mandate is the next of the chain, and in time.
    pub fn check(&self, record: &Verified<Consent>, now: UnixMs) -> Result<(), RecordRefusal> {
        let consent = record.get();
        if let Some(known) = self.grants.iter().find(|grant| grant.id() == record.id()) {
            return Err(RecordRefusal::TakenBefore { seq: known.consent().seq });
        }
        if consent.seq != self.head.seq.saturating_add(1) || consent.prev != self.head.record {
            return Err(RecordRefusal::OutOfOrder { head: self.head });
        }
        if self.grants.len() >= RECORDS_MAX {
            return Err(RecordRefusal::TooMany("records"));
        }
        if consent.at.0.saturating_sub(now.0) > SKEW_MS_MAX {
            return Err(RecordRefusal::FromTheFuture { now });
        }
        if consent.expires <= now {
            return Err(RecordRefusal::Expired { at: consent.expires });
        }
        for id in &consent.replaces {
            if !self.grants.iter().any(|grant| grant.id() == *id && grant.acts_after(now)) {
                return Err(RecordRefusal::NotLive(*id));
            }
        }
        // A swap that begins later would leave a gap, or leave standing what it is meant to end.
        if !consent.replaces.is_empty() && consent.not_before.is_some_and(|from| from > now) {
            return Err(RecordRefusal::member("not_before", "absent, as it must be where `replaces` swaps at once"));
        }
        Ok(())
    }

    /// Takes a record that [`Self::check`] let through at the same instant.
    pub fn apply(&mut self, record: Verified<Consent>, now: UnixMs) {
        let id = record.id();
        let consent = record.get();
        for grant in &mut self.grants {
            grant.replaced |= consent.replaces.contains(&grant.consent.id());
        }
        self.head = Head { seq: consent.seq, record: Some(id) };
        let withdrawn = self.unseen.remove(&id) || self.bounds.iter().any(|bound| bound.reaches(consent));
        // Without `not_before` it is in force as soon as it is taken, also where the signer's clock is a little ahead.
        let from = consent.not_before.unwrap_or(consent.at.min(now));
        self.grants.push(Grant { consent: Arc::new(record), from, withdrawn, replaced: false });
    }

    /// What a withdrawal changes. It is never out of order; the one refusal bounds what is kept for records nobody saw.
    pub fn check_withdrawal(&self, withdrawal: &Verified<Withdrawal>, now: UnixMs) -> Result<Ending, RecordRefusal> {
        let mut ending = Ending { grants: Vec::new(), unseen: Vec::new(), bound: None };
        match &withdrawal.get().reach {
            Reach::Records(ids) => {
                for id in ids {
                    match self.grants.iter().position(|grant| grant.id() == *id) {
                        Some(at) if self.grants[at].permits_after(now) && !ending.grants.contains(&at) => ending.grants.push(at),
                        Some(_) => {}
                        None if !self.unseen.contains(id) && !ending.unseen.contains(id) => ending.unseen.push(*id),
                        None => {}
                    }
                }
            }
            Reach::UpTo(seq) => {
                let reached = |grant: &Grant| grant.consent().seq <= *seq && grant.permits_after(now);
                ending.grants = self.grants.iter().enumerate().filter(|(_, grant)| reached(grant)).map(|(at, _)| at).collect();
                // Signed ahead with a number ahead, it reaches what was signed by then, and nothing made later.
                let bound = Bound { seq: *seq, signed_by: withdrawal.get().at.min(now) };
                let known = |known: &Bound| known.seq >= bound.seq && known.signed_by >= bound.signed_by;
                ending.bound = (bound.seq > self.head.seq && !self.bounds.iter().any(known)).then_some(bound);
            }
        }
        let kept = self.unseen.len() + self.bounds.len();
        let added = ending.unseen.len() + usize::from(ending.bound.is_some());
        if kept + added > UNSEEN_MAX && added > 0 && ending.grants.is_empty() {
            return Err(RecordRefusal::TooMany("withdrawals of records not seen"));
        }
        Ok(ending)
    }

    /// Ends what [`Self::check_withdrawal`] found.
    pub fn apply_withdrawal(&mut self, ending: Ending) {
        for at in ending.grants {
            if let Some(grant) = self.grants.get_mut(at) {
                grant.withdrawn = true;
            }
        }
        self.unseen.extend(ending.unseen);
        if let Some(bound) = ending.bound {
            self.bounds.retain(|known| known.seq > bound.seq || known.signed_by > bound.signed_by);
            self.bounds.push(bound);
        }
    }
}

impl GrantState {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::Live, Self::NotYet, Self::Expired, Self::Withdrawn, Self::Replaced];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NotYet => "not yet",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Replaced => "replaced",
        }
    }
}

impl fmt::Display for GrantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
