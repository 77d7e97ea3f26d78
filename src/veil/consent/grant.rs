//! A grant, refusal or mandate of a chain, and how it fares.

use std::fmt;
use std::sync::Arc;

use super::envelope::Verified;
use super::record::Consent;
use super::signer::By;
use super::windows;
use crate::veil::name::{RecordId, UnixMs};

/// A record of the chain and how it fares.
#[derive(Clone, Debug)]
pub struct Grant {
    pub(super) consent: Arc<Verified<Consent>>,
    pub(super) from: UnixMs,
    pub(super) taken: Stamp,
    /// Whose it is.
    pub(super) word: Word,
    pub(super) withdrawn: Option<Box<Done>>,
    pub(super) replaced: Option<Box<Done>>,
    /// With the delegation that it was made under.
    pub(super) ended: Option<Box<Done>>,
}

/// Whose word a record is: of whoever signed it; or, where a delegate renewed it, of whom the old one was of. Else a renewal would undo
/// what the subject forbade, or put an older word before a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Who said it first.
    pub(super) by: By,
    /// The number of the record in which they did.
    pub(super) seq: u64,
}

/// When something was taken: the number of the change, and the gateway's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Counts the changes of a standing, from 1.
    pub change: u64,
    /// By the gateway's clock.
    pub at: UnixMs,
}

/// What ended something, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Who did it.
    pub by: By,
    /// When.
    pub when: Stamp,
}

/// How a record fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// In force.
    Live,
    /// In force, at other hours.
    Closed,
    /// Begins later.
    NotYet,
    /// Ended by itself.
    Expired,
    /// Its permits were withdrawn.
    Withdrawn,
    /// The delegation that it was made under has ended, and its permits with it.
    Ended,
    /// A later record took its place.
    Replaced,
}

impl Grant {
    /// The record.
    pub fn consent(&self) -> &Consent {
        self.consent.get()
    }

    /// The record with its signatures.
    pub fn record(&self) -> &Verified<Consent> {
        &self.consent
    }

    /// The id of the record.
    pub fn id(&self) -> RecordId {
        self.consent.id()
    }

    /// Whether it is the subject's own word (of a mandate: the operator's), and stays so though a delegate renewed it.
    pub(super) fn is_own(&self) -> bool {
        self.word.by.role.authority().is_none()
    }

    /// From when it is in force.
    pub fn from(&self) -> UnixMs {
        self.from
    }

    /// When the gateway took it.
    pub fn taken(&self) -> Stamp {
        self.taken
    }

    /// Who ended its permits, and when: by withdrawing them, by ending the delegation they were made under, or by a record that
    /// took their place.
    pub fn over(&self) -> Option<(GrantState, Done)> {
        let of = |state, done: &Option<Box<Done>>| done.as_deref().map(|done| (state, *done));
        of(GrantState::Withdrawn, &self.withdrawn)
            .or_else(|| of(GrantState::Ended, &self.ended))
            .or_else(|| of(GrantState::Replaced, &self.replaced))
    }

    /// How it fares at an instant.
    pub fn state(&self, at: UnixMs) -> GrantState {
        if self.replaced.is_some() {
            GrantState::Replaced
        } else if self.withdrawn.is_some() {
            GrantState::Withdrawn
        } else if self.ended.is_some() {
            GrantState::Ended
        } else if self.consent().expires <= at {
            GrantState::Expired
        } else if at < self.from {
            GrantState::NotYet
        } else if !windows::open(&self.consent().windows, at) {
            GrantState::Closed
        } else {
            GrantState::Live
        }
    }

    /// Whether its permits are, or will be, in force.
    pub fn permits_after(&self, at: UnixMs) -> bool {
        self.consent().permits() && self.over().is_none() && at < self.consent().expires
    }

    /// Whether any of its rules is, or will be, in force: a withdrawal leaves forbids standing, and so does the end of a delegation.
    pub(super) fn acts_after(&self, at: UnixMs) -> bool {
        let permits = self.withdrawn.is_none() && self.ended.is_none();
        self.replaced.is_none() && at < self.consent().expires && (permits || self.consent().forbids())
    }

    /// When it begins and ends by itself, and its hours do next; never where it is over for good.
    pub(super) fn boundaries(&self, at: UnixMs) -> [Option<UnixMs>; 3] {
        let consent = self.consent();
        match self.state(at) {
            GrantState::Replaced | GrantState::Expired => [None; 3],
            GrantState::Withdrawn if !consent.forbids() => [None; 3],
            // The subject's word that a delegate renewed is said until it would have come to its end.
            GrantState::Ended if !consent.forbids() && !self.is_own() => [None; 3],
            GrantState::Withdrawn | GrantState::Ended | GrantState::NotYet => [Some(self.from()), Some(consent.expires), None],
            GrantState::Live | GrantState::Closed => [None, Some(consent.expires), Some(windows::next_edge(&consent.windows, at))],
        }
    }
}

impl GrantState {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::Live, Self::Closed, Self::NotYet, Self::Expired, Self::Withdrawn, Self::Ended, Self::Replaced];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Closed => "out of hours",
            Self::NotYet => "not yet",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Ended => "ended",
            Self::Replaced => "replaced",
        }
    }
}

impl fmt::Display for GrantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
