//! Who may speak for a subject, and whose signatures its grants need: delegations, their ends, and agreements, folded into the
//! standing.

use std::sync::Arc;

use super::agreement::Agreement;
use super::delegation::{Delegation, Right};
use super::delegation_end::DelegationEnd;
use super::envelope::Verified;
use super::grant::{Done, Stamp};
use super::record::{Consent, Status};
use super::refusal::RecordRefusal;
use super::rule::{Effect, Which};
use super::scope;
use super::signer::{By, SignerRole};
use super::standing::{Head, Link, Standing, UNSEEN_MAX};
use crate::veil::name::{RecordId, UnixMs};

/// A delegation of the chain and how it fares.
#[derive(Clone, Debug)]
pub struct Delegated {
    record: Arc<Verified<Delegation>>,
    from: UnixMs,
    taken: Stamp,
    ended: Option<Box<Done>>,
}

/// How a delegation fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelegationState {
    /// In force.
    Live,
    /// Begins later.
    NotYet,
    /// Ended by itself.
    Expired,
    /// Somebody ended it.
    Ended,
}

/// An agreement of the chain.
#[derive(Clone, Debug)]
pub struct Agreed {
    record: Arc<Verified<Agreement>>,
    taken: Stamp,
    replaced: Option<Box<Done>>,
}

/// What the end of delegations changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    by: By,
    at: UnixMs,
    delegations: Vec<RecordId>,
    unseen: Vec<RecordId>,
    grants: u32,
}

impl Ends {
    /// How many grants end.
    pub fn ended(&self) -> u32 {
        self.grants
    }

    /// Whether nothing changes: everything it names had ended before.
    pub fn is_nothing(&self) -> bool {
        self.delegations.is_empty() && self.unseen.is_empty()
    }
}

impl Delegated {
    /// The record.
    pub fn delegation(&self) -> &Delegation {
        self.record.get()
    }

    /// The id of the record.
    pub fn id(&self) -> RecordId {
        self.record.id()
    }

    /// From when it is in force.
    pub fn from(&self) -> UnixMs {
        self.from
    }

    /// When the gateway took it.
    pub fn taken(&self) -> Stamp {
        self.taken
    }

    /// Who ended it, and when.
    pub fn ended(&self) -> Option<Done> {
        self.ended.as_deref().copied()
    }

    /// How it fares at an instant. One that was handed on ends with the one it comes from, and never later.
    pub fn state(&self, at: UnixMs) -> DelegationState {
        if self.ended.is_some() {
            DelegationState::Ended
        } else if self.delegation().expires <= at {
            DelegationState::Expired
        } else if at < self.from {
            DelegationState::NotYet
        } else {
            DelegationState::Live
        }
    }
}

impl DelegationState {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NotYet => "not yet",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }
}

impl Agreed {
    /// The record.
    pub fn agreement(&self) -> &Agreement {
        self.record.get()
    }

    /// The id of the record.
    pub fn id(&self) -> RecordId {
        self.record.id()
    }

    /// When the gateway took it.
    pub fn taken(&self) -> Stamp {
        self.taken
    }

    /// Who replaced it, and when.
    pub fn replaced(&self) -> Option<Done> {
        self.replaced.as_deref().copied()
    }

    /// Whether it speaks about a record: agreements of an operator about mandates, of a subject about everything else.
    pub(super) fn binds(&self, consent: &Consent) -> bool {
        self.agreement().by.role.is_mandate() == consent.by.role.is_mandate()
    }
}

impl Standing {
    /// Every delegation of the chain, oldest first, ended ones included.
    pub fn delegations(&self) -> &[Delegated] {
        &self.delegations
    }

    /// One of them.
    pub fn delegation(&self, id: RecordId) -> Option<&Delegated> {
        self.delegations.iter().find(|delegated| delegated.id() == id)
    }

    /// Every agreement of the chain, oldest first, replaced ones included.
    pub fn agreements(&self) -> &[Agreed] {
        &self.agreements
    }

    /// One of them.
    pub fn agreement(&self, id: RecordId) -> Option<&Agreed> {
        self.agreements.iter().find(|agreed| agreed.id() == id)
    }

    /// The delegation under which somebody does something, where it is theirs, in force, and gives the right.
    pub fn delegated(&self, by: By, right: Right, now: UnixMs) -> Result<Option<&Delegation>, RecordRefusal> {
        let Some(id) = by.role.authority() else { return Ok(None) };
        let delegation = self.speaks_under(id, by, now)?;
        if delegation.allows(right) { Ok(Some(delegation)) } else { Err(RecordRefusal::NoRight(right.word())) }
    }

    fn speaks_under(&self, id: RecordId, by: By, now: UnixMs) -> Result<&Delegation, RecordRefusal> {
        let live = self.delegation(id).filter(|delegated| delegated.state(now) == DelegationState::Live);
        live.map(Delegated::delegation).filter(|delegation| delegation.delegate == by.key).ok_or(RecordRefusal::NoAuthority(id))
    }

    /// Whether who signed a grant may: a delegate has the right to it, and stays within the scope.
    pub(super) fn check_speaker(&self, consent: &Consent, now: UnixMs) -> Result<(), RecordRefusal> {
        let SignerRole::Delegate(id) = consent.by.role else { return Ok(()) };
        let renews = consent.status == Status::Renewed;
        let delegation = self.speaks_under(id, consent.by, now)?;
        if !(delegation.allows(Right::Grant) || renews && delegation.allows(Right::Renew)) {
            return Err(RecordRefusal::NoRight(if renews { Right::Renew } else { Right::Grant }.word()));
        }
        // Forbids outlast the delegation: they only take away, and the subject ends them.
        if consent.permits() && consent.expires > delegation.expires {
            return Err(RecordRefusal::Widens("expires".into()));
        }
        delegation.scope.check(consent)?;
        if renews {
            return Ok(());
        }
        scope::check_vault(delegation.vault_key, consent.vault_key)?;
        let own = |id: &RecordId| self.grant(*id).is_some_and(|grant| !grant.is_own() && grant.word.by.key == consent.by.key);
        if consent.replaces.iter().all(own) { Ok(()) } else { Err(RecordRefusal::Widens("replaces".into())) }
    }

    /// Whether a permit that is evidently under an agreement has the signatures. What only a schema can tell is told where fields are
    /// decided.
    pub(super) fn check_signatures(&self, record: &Verified<Consent>) -> Result<(), RecordRefusal> {
        let permits = || record.get().rules.iter().filter(|rule| rule.effect == Effect::Permit).map(Which::from);
        for agreed in self.agreements.iter().filter(|agreed| agreed.replaced.is_none() && agreed.binds(record.get())) {
            for quorum in &agreed.agreement().rules {
                if permits().any(|which| quorum.covers(&which)) {
                    quorum.check(agreed.id(), record)?;
                }
            }
        }
        Ok(())
    }

    /// Whether who signed a withdrawal may withdraw at all.
    pub(super) fn check_withdrawer(&self, by: By, now: UnixMs) -> Result<(), RecordRefusal> {
        match by.role {
            SignerRole::Subject | SignerRole::Operator => Ok(()),
            SignerRole::Delegate(_) => self.delegated(by, Right::Withdraw, now).map(drop),
            SignerRole::Signatory(id) => {
                let agreed = self.agreement(id).filter(|agreed| agreed.replaced.is_none());
                let named = agreed.is_some_and(|agreed| agreed.agreement().rules.iter().any(|quorum| quorum.of.contains(&by.key)));
                if named { Ok(()) } else { Err(RecordRefusal::NoAuthority(id)) }
            }
        }
    }

    /// Whether a delegation is the next of the chain, in time, and no wider than the one it is handed on from.
    pub fn check_delegation(&self, record: &Verified<Delegation>, now: UnixMs) -> Result<(), RecordRefusal> {
        let delegation = record.get();
        self.check_link(&Link { id: record.id(), seq: delegation.seq, prev: delegation.prev, at: delegation.at }, now)?;
        if delegation.expires <= now {
            return Err(RecordRefusal::Expired { at: delegation.expires });
        }
        match delegation.by.role {
            SignerRole::Delegate(id) => self.speaks_under(id, delegation.by, now)?.check_handed_on(delegation),
            SignerRole::Subject | SignerRole::Operator | SignerRole::Signatory(_) => Ok(()),
        }
    }

    /// Takes a delegation that [`Self::check_delegation`] let through at the same instant.
    pub fn apply_delegation(&mut self, record: Verified<Delegation>, now: UnixMs) {
        let (id, taken) = (record.id(), self.stamp(now));
        let delegation = record.get();
        self.head = Head { seq: delegation.seq, record: Some(id) };
        let from = delegation.not_before.unwrap_or(delegation.at.min(now));
        let by = By { key: delegation.subject, role: SignerRole::Subject };
        let ended = self.unseen_ends.remove(&id).then(|| Box::new(Done { by, when: taken }));
        self.delegations.push(Delegated { record: Arc::new(record), from, taken, ended });
    }

    /// What the end of delegations changes. It is never out of order.
    pub fn check_end(&self, end: &Verified<DelegationEnd>, now: UnixMs) -> Result<Ends, RecordRefusal> {
        let DelegationEnd { by, ends, .. } = end.get();
        if let SignerRole::Delegate(own) = by.role
            && self.delegation(own).is_none_or(|delegated| delegated.delegation().delegate != by.key)
        {
            return Err(RecordRefusal::NoAuthority(own));
        }
        let mut found = Ends { by: *by, at: now, delegations: Vec::new(), unseen: Vec::new(), grants: 0 };
        for id in ends {
            let by_delegate = by.role.authority();
            if self.delegation(*id).is_none() {
                match by_delegate {
                    Some(_) => return Err(RecordRefusal::NoAuthority(*id)),
                    None if !self.unseen_ends.contains(id) && !found.unseen.contains(id) => found.unseen.push(*id),
                    None => {}
                }
                continue;
            }
            if by_delegate.is_some_and(|own| !self.comes_from(*id, own)) {
                return Err(RecordRefusal::NoAuthority(*id));
            }
            let below = self.delegations.iter().filter(|delegated| delegated.ended.is_none() && self.comes_from(delegated.id(), *id));
            for delegated in below {
                if !found.delegations.contains(&delegated.id()) {
                    found.delegations.push(delegated.id());
                }
            }
        }
        let kept = self.unseen_ends.len() + found.unseen.len();
        if kept > UNSEEN_MAX && !found.unseen.is_empty() && found.delegations.is_empty() {
            return Err(RecordRefusal::TooMany("ends of delegations not seen"));
        }
        let made_under = |id: Option<RecordId>| id.is_some_and(|id| found.delegations.contains(&id));
        let ending = self.grants.iter().filter(|grant| grant.permits_after(now) && made_under(grant.consent().by.role.authority()));
        found.grants = u32::try_from(ending.count()).unwrap_or(u32::MAX);
        Ok(found)
    }

    /// Ends what [`Self::check_end`] found, and what was granted under it.
    pub fn apply_end(&mut self, ends: Ends) {
        let done = Done { by: ends.by, when: self.stamp(ends.at) };
        for delegated in self.delegations.iter_mut().filter(|delegated| ends.delegations.contains(&delegated.record.id())) {
            delegated.ended = Some(Box::new(done));
        }
        for grant in &mut self.grants {
            let under = grant.consent().by.role.authority();
            if under.is_some_and(|id| ends.delegations.contains(&id)) && grant.permits_after(ends.at) {
                grant.ended = Some(Box::new(done));
            }
        }
        self.unseen_ends.extend(ends.unseen);
    }

    /// Whether a delegation is another one, or was handed on from it, in however many steps. A step goes to an older record, so it
    /// comes to an end.
    fn comes_from(&self, id: RecordId, from: RecordId) -> bool {
        let mut at = Some(id);
        while let Some(id) = at {
            if id == from {
                return true;
            }
            at = self.delegation(id).and_then(|delegated| delegated.delegation().by.role.authority());
        }
        false
    }

    /// Whether an agreement is the next of the chain, in time, and has the signatures that those which it replaces ask for.
    pub fn check_agreement(&self, record: &Verified<Agreement>, now: UnixMs) -> Result<(), RecordRefusal> {
        let agreement = record.get();
        self.check_link(&Link { id: record.id(), seq: agreement.seq, prev: agreement.prev, at: agreement.at }, now)?;
        for id in &agreement.replaces {
            let same = |agreed: &&Agreed| agreed.replaced.is_none() && agreed.agreement().by.role == agreement.by.role;
            let agreed = self.agreement(*id).filter(same).ok_or(RecordRefusal::NotLive(*id))?;
            agreed.agreement().rules.iter().try_for_each(|quorum| quorum.check(*id, record))?;
        }
        Ok(())
    }

    /// Takes an agreement that [`Self::check_agreement`] let through at the same instant.
    pub fn apply_agreement(&mut self, record: Verified<Agreement>, now: UnixMs) {
        let (id, taken) = (record.id(), self.stamp(now));
        let agreement = record.get();
        for agreed in self.agreements.iter_mut().filter(|agreed| agreement.replaces.contains(&agreed.record.id())) {
            agreed.replaced = Some(Box::new(Done { by: agreement.by, when: taken }));
        }
        self.head = Head { seq: agreement.seq, record: Some(id) };
        self.agreements.push(Agreed { record: Arc::new(record), taken, replaced: None });
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
