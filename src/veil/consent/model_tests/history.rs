//! The plain one: it keeps what happened, and recomputes everything from it.

use std::collections::BTreeSet;

use super::super::testing::HOUR;
use super::Says;
use crate::veil::name::RecordId;

/// What happened, in order; nothing is ever folded.
#[derive(Default)]
pub(super) struct History {
    pub(super) grants: Vec<Granted>,
    pub(super) delegations: Vec<Delegated>,
    pub(super) withdrawals: Vec<Withdrawn>,
    /// Delegations that were ended, seen or not.
    pub(super) ends: BTreeSet<RecordId>,
}

pub(super) struct Granted {
    pub(super) id: RecordId,
    pub(super) at: i64,
    pub(super) from: i64,
    pub(super) expires: i64,
    pub(super) says: Says,
    pub(super) replaces: Option<RecordId>,
    /// The delegate's key and the delegation.
    pub(super) by: Option<(u8, RecordId)>,
    /// Who said it first, where delegates renewed it: a delegate's key, or none; and the number of that record.
    pub(super) word: (Option<u8>, u64),
    /// Its permits ended with a delegation before anything else ended them.
    pub(super) cut_short: bool,
}

pub(super) struct Delegated {
    pub(super) id: RecordId,
    pub(super) delegate: u8,
    pub(super) narrow: bool,
    pub(super) expires: i64,
}

pub(super) struct Withdrawn {
    pub(super) named: Option<RecordId>,
    pub(super) up_to: u64,
    pub(super) at: i64,
    /// The chain's length then.
    pub(super) head: u64,
    pub(super) by: Option<RecordId>,
}

impl History {
    pub(super) fn delegation(&self, id: RecordId) -> Option<&Delegated> {
        self.delegations.iter().find(|delegated| delegated.id == id)
    }

    pub(super) fn in_scope(&self, id: RecordId, says: &Says) -> bool {
        self.delegation(id).is_some_and(|delegated| !delegated.narrow || (says.recipients == 1 && says.purposes == 1))
    }

    pub(super) fn is_replaced(&self, grant: &Granted) -> bool {
        self.grants.iter().any(|other| other.replaces == Some(grant.id))
    }

    /// Whether its permits were withdrawn: a refusal has none, and stands.
    pub(super) fn is_withdrawn(&self, grant: &Granted) -> bool {
        !grant.says.refuses
            && self.withdrawals.iter().any(|withdrawn| {
                let meant =
                    |id: RecordId| self.grants.iter().find(|named| named.id == id).is_some_and(|named| named.word.1 == grant.word.1);
                let named = withdrawn.named.is_some_and(meant);
                let counted = grant.word.1 <= withdrawn.up_to && (grant.word.1 <= withdrawn.head || grant.at <= withdrawn.at);
                (named || counted) && withdrawn.by.is_none_or(|by| self.in_scope(by, &grant.says))
            })
    }

    pub(super) fn is_ended(&self, grant: &Granted) -> bool {
        !grant.says.refuses && grant.by.is_some_and(|(_, under)| self.ends.contains(&under))
    }

    pub(super) fn permits_after(&self, grant: &Granted, at: i64) -> bool {
        !grant.says.refuses && at < grant.expires && !self.is_replaced(grant) && !self.is_withdrawn(grant) && !self.is_ended(grant)
    }

    pub(super) fn end(&mut self, id: RecordId, now: i64) {
        let ends = |grant: &Granted| grant.by.is_some_and(|(_, under)| under == id) && self.permits_after(grant, now);
        let cut_short: Vec<usize> = self.grants.iter().enumerate().filter(|(_, grant)| ends(grant)).map(|(at, _)| at).collect();
        for at in cut_short {
            self.grants[at].cut_short = true;
        }
        self.ends.insert(id);
    }

    pub(super) fn in_force(&self, id: RecordId, delegate: u8, now: i64) -> bool {
        self.delegation(id).is_some_and(|delegated| delegated.delegate == delegate && now < delegated.expires) && !self.ends.contains(&id)
    }

    /// Whether the gateway should take a grant.
    pub(super) fn takes(&self, says: &Says, replaces: Option<RecordId>, by: Option<(u8, RecordId)>, now: i64) -> bool {
        let replaced = replaces.map(|id| self.grants.iter().find(|grant| grant.id == id));
        let acts = |grant: &Granted| {
            let over = self.is_withdrawn(grant) || self.is_ended(grant);
            !self.is_replaced(grant) && now < grant.expires && (!over || grant.says.forbids)
        };
        let swaps = replaced.is_none_or(|grant| grant.is_some_and(acts));
        let speaks = by.is_none_or(|(delegate, under)| {
            let expires = now + (says.begins_h + says.lasts_h) * HOUR;
            let scope = self.delegation(under).is_some_and(|delegated| {
                let fits = !delegated.narrow || (says.recipients == 1 && says.purposes == 1 && (says.refuses || !says.keep));
                fits && (says.refuses || expires <= delegated.expires)
            });
            let own = replaced.flatten().is_none_or(|grant| grant.word.0 == Some(delegate));
            self.in_force(under, delegate, now) && scope && own
        });
        swaps && speaks
    }

    /// Whether it should take a renewal: on the same terms, and by a delegate for no shorter and for no longer than the delegation.
    pub(super) fn renews(&self, grant: &Granted, lasts_h: i64, by: Option<(u8, RecordId)>, now: i64) -> bool {
        let expires = now + lasts_h * HOUR;
        let speaks = by.is_none_or(|(delegate, under)| {
            let scope = self.delegation(under).is_some_and(|delegated| {
                let says = &grant.says;
                expires <= delegated.expires && (!delegated.narrow || (says.recipients == 1 && says.purposes == 1 && !says.keep))
            });
            self.in_force(under, delegate, now) && scope && expires >= grant.expires && grant.from <= now
        });
        self.permits_after(grant, now) && speaks
    }

    /// Which records forbid and permit.
    pub(super) fn decides(&self, recipient: u8, purpose: u8, at: i64) -> BTreeSet<(RecordId, bool)> {
        let to = |grant: &&Granted| grant.says.recipients & recipient != 0 && grant.says.purposes & purpose != 0;
        let lasts = |grant: &Granted| grant.from <= at && at < grant.expires && !self.is_replaced(grant);
        let over = |grant: &Granted| self.is_withdrawn(grant) || self.is_ended(grant);
        // 08:00 to 12:00 UTC, every day.
        let open = |grant: &Granted| !grant.says.hours || (8..12).contains(&(at.div_euclid(HOUR).rem_euclid(24)));
        // A refusal without rules says no to all of it; one with forbids says these.
        let says = |grant: &Granted| !grant.says.refuses || !grant.says.forbids;
        let spoke = self
            .grants
            .iter()
            .filter(to)
            .any(|grant| grant.word.0.is_none() && lasts(grant) && says(grant) && (!over(grant) || grant.cut_short));
        let mut decides = BTreeSet::new();
        for grant in self.grants.iter().filter(to).filter(|grant| lasts(grant) && (grant.word.0.is_none() || !spoke)) {
            if grant.says.forbids {
                decides.insert((grant.id, false));
            }
            if !grant.says.refuses && !over(grant) && open(grant) {
                decides.insert((grant.id, true));
            }
        }
        decides
    }
}
