//! What a subject is told of: what was granted, by whom, what comes to its end, and what did. Read off a standing; nothing is
//! kept for it.

use super::authority::Delegated;
use super::grant::{Done, Grant, GrantState, Stamp};
use super::record::Status;
use super::signer::By;
use super::standing::Standing;
use crate::veil::name::{RecordId, UnixMs};

/// How long before its end something is said to be expiring, at the most: a week; of what lasts less than four, a quarter.
pub const LEAD_MS_MAX: i64 = 7 * 86_400 * 1_000;

/// Something that happened to a grant, a delegation or an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When, by the gateway's clock.
    pub at: UnixMs,
    /// What.
    pub what: Happened,
    /// To which record.
    pub record: RecordId,
    /// Who did it; nobody, where time did.
    pub by: Option<By>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A grant was taken.
    Granted,
    /// A grant was taken in the place of one with the same terms.
    Renewed,
    /// A record that only forbids, or refuses, was taken.
    Refused,
    /// A grant comes to its end.
    Expiring,
    /// A grant has come to its end.
    Expired,
    /// A grant was withdrawn.
    Withdrawn,
    /// A grant ended with the delegation that it was made under.
    Ended,
    /// Another record took the place of a grant.
    Replaced,
    /// A delegation was taken.
    Delegated,
    /// A delegation comes to its end.
    DelegationExpiring,
    /// A delegation has come to its end.
    DelegationExpired,
    /// A delegation was ended.
    DelegationEnded,
    /// An agreement was taken.
    Agreed,
    /// An agreement was replaced.
    AgreementReplaced,
}

impl Happened {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Renewed => "renewed",
            Self::Refused => "refused",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Ended => "ended",
            Self::Replaced => "replaced",
            Self::Delegated => "delegated",
            Self::DelegationExpiring => "delegation expiring",
            Self::DelegationExpired => "delegation expired",
            Self::DelegationEnded => "delegation ended",
            Self::Agreed => "agreed",
            Self::AgreementReplaced => "agreement replaced",
        }
    }
}

/// Up to where somebody was told. Records count by the number of their change: one may be on its way to disk while it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The last change.
    pub change: u64,
    /// What time did until then.
    pub at: UnixMs,
}

impl Told {
    /// Nothing, so far.
    pub const NOTHING: Self = Self { change: 0, at: UnixMs(i64::MIN) };
}

impl Standing {
    /// Where the telling stands when everything until now was told.
    pub fn told(&self, now: UnixMs) -> Told {
        Told { change: self.changes(), at: now }
    }

    /// What happened since then, in order.
    pub fn notices(&self, since: Told, now: UnixMs) -> Vec<Notice> {
        let mut found = Found { since, now, notices: Vec::new() };
        for grant in self.grants() {
            found.grant(grant);
        }
        for delegated in self.delegations() {
            found.delegation(delegated);
        }
        for agreed in self.agreements() {
            let by = agreed.agreement().by;
            found.done(agreed.id(), Happened::Agreed, Some(Done { by, when: agreed.taken() }));
            found.done(agreed.id(), Happened::AgreementReplaced, agreed.replaced());
        }
        found.notices.sort_by_key(|(change, notice)| (notice.at, *change));
        found.notices.into_iter().map(|(_, notice)| notice).collect()
    }

    /// When time next does something; [`UnixMs::NEVER`]: never.
    pub fn next_notice(&self, now: UnixMs) -> UnixMs {
        let grants = self.grants().iter().filter(|grant| grant.permits_after(now)).map(|grant| (grant.from(), grant.consent().expires));
        let delegations = self.delegations().iter().filter(|delegated| delegated.ended().is_none());
        let lives = grants.chain(delegations.map(|delegated| (delegated.from(), delegated.delegation().expires)));
        lives.flat_map(|(from, expires)| [expiring_from(from, expires), expires]).filter(|at| *at > now).min().unwrap_or(UnixMs::NEVER)
    }
}

impl Grant {
    /// Whether it comes to its end soon, so that who wants it to go on renews it.
    pub fn needs_renewal(&self, at: UnixMs) -> bool {
        self.permits_after(at) && expiring_from(self.from(), self.consent().expires) <= at
    }
}

fn expiring_from(from: UnixMs, expires: UnixMs) -> UnixMs {
    let lead = expires.0.saturating_sub(from.0) / 4;
    UnixMs(expires.0.saturating_sub(lead.min(LEAD_MS_MAX)))
}

struct Found {
    since: Told,
    now: UnixMs,
    notices: Vec<(u64, Notice)>,
}

impl Found {
    fn grant(&mut self, grant: &Grant) {
        let consent = grant.consent();
        let what = match (consent.status, consent.permits()) {
            (Status::Renewed, true) => Happened::Renewed,
            (Status::Given, true) => Happened::Granted,
            (Status::Given | Status::Renewed | Status::Refused, _) => Happened::Refused,
        };
        self.done(grant.id(), what, Some(Done { by: consent.by, when: grant.taken() }));
        match grant.over() {
            Some((state, done)) => {
                let what = match state {
                    GrantState::Withdrawn => Happened::Withdrawn,
                    GrantState::Ended => Happened::Ended,
                    _ => Happened::Replaced,
                };
                self.done(grant.id(), what, Some(done));
                self.life(grant.id(), grant.from(), consent.expires, Some(done.when), (Happened::Expiring, Happened::Expired));
            }
            None if consent.permits() => {
                self.life(grant.id(), grant.from(), consent.expires, None, (Happened::Expiring, Happened::Expired));
            }
            None => {}
        }
    }

    fn delegation(&mut self, delegated: &Delegated) {
        let (id, delegation) = (delegated.id(), delegated.delegation());
        self.done(id, Happened::Delegated, Some(Done { by: delegation.by, when: delegated.taken() }));
        self.done(id, Happened::DelegationEnded, delegated.ended());
        let ended = delegated.ended().map(|done| done.when);
        self.life(id, delegated.from(), delegation.expires, ended, (Happened::DelegationExpiring, Happened::DelegationExpired));
    }

    fn done(&mut self, record: RecordId, what: Happened, done: Option<Done>) {
        if let Some(Done { by, when }) = done.filter(|done| done.when.change > self.since.change) {
            self.notices.push((when.change, Notice { at: when.at, what, record, by: Some(by) }));
        }
    }

    /// What time did before somebody was faster.
    fn life(&mut self, record: RecordId, from: UnixMs, expires: UnixMs, ended: Option<Stamp>, what: (Happened, Happened)) {
        for (at, what) in [(expiring_from(from, expires), what.0), (expires, what.1)] {
            if self.since.at < at && at <= self.now && ended.is_none_or(|ended| at < ended.at) {
                self.notices.push((u64::MAX, Notice { at, what, record, by: None }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::delegation_end::DelegationEnd;
    use super::super::signer::SignerRole;
    use super::super::testing::{
        DAY, HOUR, NOW, after, agreement, consent, delegated, delegation, end_delegation, key, verified, withdraw_records, withdrawal,
    };
    use super::*;

    fn take(standing: &mut Standing, now: UnixMs, change: impl FnOnce(&mut Value)) -> RecordId {
        let record = consent(1, standing.head().seq + 1, standing.head().record, change);
        standing.check(&record, now).expect("the next");
        let id = record.id();
        standing.apply(record, now);
        id
    }

    fn words(standing: &Standing, since: Told, now: UnixMs) -> Vec<(&'static str, i64)> {
        standing.notices(since, now).iter().map(|notice| (notice.what.word(), (notice.at.0 - NOW.0) / HOUR)).collect()
    }

    #[test]
    fn a_grant_is_told_of_from_its_beginning_to_its_end_once() {
        let mut standing = Standing::default();
        take(&mut standing, NOW, |_| ());
        assert_eq!(words(&standing, Told::NOTHING, NOW), [("granted", 0)]);
        let told = standing.told(NOW);
        assert!(words(&standing, told, after(HOUR)).is_empty());
        // 30 days: a week before
        assert_eq!(standing.next_notice(NOW), after(23 * DAY));
        assert!(!standing.grants()[0].needs_renewal(after(23 * DAY - 1)) && standing.grants()[0].needs_renewal(after(23 * DAY)));
        assert_eq!(words(&standing, told, after(23 * DAY)), [("expiring", 23 * 24)]);
        let told = standing.told(after(23 * DAY));
        assert_eq!(standing.next_notice(after(23 * DAY)), after(30 * DAY));
        assert_eq!(words(&standing, told, after(40 * DAY)), [("expired", 30 * 24)]);
        assert!(!standing.grants()[0].needs_renewal(after(30 * DAY)));
        assert_eq!(standing.next_notice(after(30 * DAY)), UnixMs::NEVER);
        assert_eq!(words(&standing, Told::NOTHING, after(40 * DAY)).len(), 3);
    }

    #[test]
    fn what_was_ended_does_not_expire_and_says_who_did_it() {
        let mut standing = Standing::default();
        let id = take(&mut standing, NOW, |_| ());
        let told = standing.told(NOW);
        let ending = standing.check_withdrawal(&withdrawal(&withdraw_records(1, NOW, &[id])), after(25 * DAY)).expect("hers");
        standing.apply_withdrawal(ending);
        assert_eq!(words(&standing, told, after(40 * DAY)), [("expiring", 23 * 24), ("withdrawn", 25 * 24)]);
        let by = By { key: key(1).did(), role: SignerRole::Subject };
        assert_eq!(standing.notices(told, after(40 * DAY))[1].by, Some(by));
        assert!(!standing.grants()[0].needs_renewal(after(25 * DAY)));
        // a change that is taken later, at an instant that was told of, is told all the same
        let told = Told { at: after(40 * DAY), ..standing.told(NOW) };
        take(&mut standing, after(26 * DAY), |document| document["expires"] = json!(after(90 * DAY).to_string()));
        assert_eq!(words(&standing, told, after(40 * DAY)), [("granted", 26 * 24)]);
    }

    #[test]
    fn delegations_agreements_forbids_renewals_and_replacements_are_told() {
        let mut standing = Standing::default();
        let id = take(&mut standing, NOW, |_| ());
        take(&mut standing, NOW, |document| {
            document["status"] = json!("RenewedConsentGiven");
            document["replaces"] = json!([id.to_string()]);
        });
        take(&mut standing, NOW, |document| document["rules"] = json!([{"effect": "forbid", "match": {"category": "site"}}]));
        let record = delegation(1, 2, 4, standing.head().record, |_| ());
        standing.apply_delegation(verified(&record), NOW);
        let given = delegated(1, 2, record.id(), 5, standing.head().record, |_| ());
        standing.apply(verified(&given), NOW);
        let first = agreement(1, 6, standing.head().record, 1, &[2], |_| ());
        standing.apply_agreement(verified(&first), NOW);
        let second = agreement(1, 7, standing.head().record, 1, &[3], |document| document["replaces"] = json!([first.id().to_string()]));
        standing.apply_agreement(verified(&second), NOW);
        let ends = standing.check_end(&verified::<DelegationEnd>(&end_delegation(1, 2, &[record.id()])), after(54 * DAY)).expect("may");
        standing.apply_end(ends);
        let told: Vec<_> = standing.notices(Told::NOTHING, after(54 * DAY)).iter().map(|notice| notice.what.word()).collect();
        let expected = "granted, replaced, renewed, refused, delegated, granted, agreed, agreement replaced, agreed, expiring, expiring, \
                        expired, expired, delegation expiring, delegation ended";
        assert_eq!(told.join(", "), expected);
    }
}
