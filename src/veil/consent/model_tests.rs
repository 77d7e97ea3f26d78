//! The fold against a plain one that keeps the whole history and recomputes everything from it, each time it is asked: random stories
//! of grants, replacements, renewals, withdrawals, delegations, ends, hours and time that goes by. A story that fails is shrunk and printed.

mod history;

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use self::history::{Delegated, Granted, History, Withdrawn};
use super::deciding::RecipientIdentity;
use super::delegation::Delegation;
use super::delegation_end::DelegationEnd;
use super::envelope::Envelope;
use super::record::Consent;
use super::rule::Effect;
use super::standing::Standing;
use super::testing::{
    DAY, HOUR, NOW, delegated, delegation, end_delegation, grant, key, verified, withdraw_as, withdraw_records, withdraw_up_to,
};
use crate::veil::name::{RecordId, Spiffe, UnixMs};
use crate::veil::terms::purpose;

const RECIPIENTS: [&str; 2] = ["spiffe://lab.example/reader", "spiffe://lab.example/other"];
const PURPOSES: [&str; 2] = ["dpv:AcademicResearch", "dpv:ScientificResearch"];
/// The subject's key, and those of who may speak for it.
const SUBJECT: u8 = 1;
const DELEGATES: [u8; 2] = [2, 3];

/// What a grant says. Recipients and purposes are sets of bits.
#[derive(Clone, Debug)]
struct Says {
    recipients: u8,
    purposes: u8,
    keep: bool,
    forbids: bool,
    refuses: bool,
    hours: bool,
    begins_h: i64,
    lasts_h: i64,
    replaces: Option<usize>,
}

#[derive(Clone, Debug)]
enum Step {
    Grant(Says),
    GrantBy { delegate: usize, under: usize, says: Says },
    Renew { which: usize, by: Option<(usize, usize)>, lasts_h: i64 },
    Delegate { to: usize, narrow: bool, lasts_h: i64 },
    End { which: usize, by_delegate: bool },
    EndAhead,
    Withdraw { which: usize, by: Option<usize> },
    WithdrawAhead(Says),
    WithdrawUpTo { seq: u64, by: Option<usize> },
    Wait(i64),
}

fn says() -> impl Strategy<Value = Says> {
    let who = (1u8..4, 1u8..4, any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    let when = (prop::bool::weighted(0.3), prop_oneof![3 => Just(0i64), 1 => 1i64..30], 1i64..96, prop::option::weighted(0.3, 0usize..8));
    (who, when).prop_map(|((recipients, purposes, keep, forbids, refuses), (hours, begins_h, lasts_h, replaces))| Says {
        recipients,
        purposes,
        keep,
        forbids,
        refuses,
        hours: hours && !refuses,
        begins_h: if replaces.is_some() { 0 } else { begins_h },
        lasts_h,
        replaces,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => says().prop_map(Step::Grant),
        4 => (0usize..2, 0usize..4, says()).prop_map(|(delegate, under, says)| Step::GrantBy { delegate, under, says }),
        2 => (0usize..8, prop::option::weighted(0.8, (0usize..2, 0usize..4)), 1i64..140)
            .prop_map(|(which, by, lasts_h)| Step::Renew { which, by, lasts_h }),
        3 => (0usize..2, any::<bool>(), 1i64..200).prop_map(|(to, narrow, lasts_h)| Step::Delegate { to, narrow, lasts_h }),
        1 => (0usize..4, any::<bool>()).prop_map(|(which, by_delegate)| Step::End { which, by_delegate }),
        1 => Just(Step::EndAhead),
        2 => (0usize..8, prop::option::of(0usize..4)).prop_map(|(which, by)| Step::Withdraw { which, by }),
        1 => says().prop_map(Step::WithdrawAhead),
        1 => (1u64..14, prop::option::of(0usize..4)).prop_map(|(seq, by)| Step::WithdrawUpTo { seq, by }),
        2 => (0i64..40).prop_map(Step::Wait),
    ]
}

fn listed(bits: u8, names: [&str; 2]) -> Vec<&str> {
    names.into_iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, name)| name).collect()
}

fn write(document: &mut Value, says: &Says, replaces: Option<RecordId>, now: i64) {
    document["at"] = json!(UnixMs(now).to_string());
    if says.begins_h > 0 {
        document["not_before"] = json!(UnixMs(now + says.begins_h * HOUR).to_string());
    }
    document["expires"] = json!(UnixMs(now + (says.begins_h + says.lasts_h) * HOUR).to_string());
    document["recipients"] = listed(says.recipients, RECIPIENTS).into_iter().map(|id| json!({"spiffe": id})).collect();
    document["purposes"] = json!(listed(says.purposes, PURPOSES));
    let permit = json!({"effect": "permit", "match": {"category": "health"}, "treatment": if says.keep { "keep" } else { "generalize" }});
    let forbid = json!({"effect": "forbid", "match": {"category": "location"}});
    document["rules"] = [(!says.refuses).then_some(permit), says.forbids.then_some(forbid)].into_iter().flatten().collect();
    if says.refuses {
        document["status"] = json!("ConsentRefused");
    }
    if says.hours {
        let days = super::windows::WEEK;
        document["windows"] = json!([{"zone": "UTC", "days": days, "from": "08:00", "to": "12:00"}]);
    }
    document["replaces"] = replaces.iter().map(RecordId::to_string).collect();
}

/// The standing and the history of one story.
struct Story {
    standing: Standing,
    history: History,
    now: i64,
}

impl Story {
    fn next(&self) -> (u64, Option<RecordId>) {
        (self.standing.head().seq + 1, self.standing.head().record)
    }

    fn written(&self, says: &Says, by: Option<(u8, RecordId)>) -> (Envelope, Option<RecordId>) {
        let (seq, prev) = self.next();
        let replaces = says.replaces.and_then(|which| self.history.grants.get(which)).map(|grant| grant.id);
        let change = |document: &mut Value| write(document, says, replaces, self.now);
        let envelope = match by {
            None => grant(SUBJECT, seq, prev, change),
            Some((delegate, under)) => delegated(SUBJECT, delegate, under, seq, prev, change),
        };
        (envelope, replaces)
    }

    fn grant(&mut self, says: &Says, by: Option<(u8, RecordId)>) -> Result<(), TestCaseError> {
        let (envelope, replaces) = self.written(says, by);
        let takes = self.history.takes(says, replaces, by, self.now);
        self.submit(&envelope, says.clone(), replaces, by, (takes, None))
    }

    fn renew(&mut self, which: usize, lasts_h: i64, by: Option<(u8, RecordId)>) -> Result<(), TestCaseError> {
        let Some(grant) = self.history.grants.get(which) else { return Ok(()) };
        let says = Says { begins_h: 0, lasts_h, replaces: Some(which), ..grant.says.clone() };
        // A refusal has nothing to renew: as a renewal it would be no record at all.
        if says.refuses {
            return Ok(());
        }
        let (takes, word) = (self.history.renews(grant, lasts_h, by, self.now), by.map(|_| grant.word));
        let (mut envelope, replaces) = self.written(&says, by);
        let payload = String::from_utf8(envelope.payload).expect("JSON").replace("ConsentGiven", "RenewedConsentGiven");
        envelope.payload = payload.into_bytes();
        envelope.signatures.clear();
        envelope.countersign(&key(by.map_or(SUBJECT, |(delegate, _)| delegate)));
        self.submit(&envelope, says, replaces, by, (takes, word))
    }

    fn submit(
        &mut self,
        envelope: &Envelope,
        says: Says,
        replaces: Option<RecordId>,
        by: Option<(u8, RecordId)>,
        (takes, word): (bool, Option<(Option<u8>, u64)>),
    ) -> Result<(), TestCaseError> {
        let record = verified::<Consent>(envelope);
        let taken = self.standing.check(&record, UnixMs(self.now));
        prop_assert_eq!(taken.is_ok(), takes, "{:?}", taken);
        if taken.is_ok() {
            let consent = record.get();
            self.history.grants.push(Granted {
                id: record.id(),
                at: consent.at.0,
                from: consent.not_before.unwrap_or(consent.at).0,
                expires: consent.expires.0,
                says,
                replaces,
                by,
                word: word.unwrap_or((by.map(|(key, _)| key), consent.seq)),
                cut_short: false,
            });
            self.standing.apply(record, UnixMs(self.now));
        }
        Ok(())
    }

    fn delegate(&mut self, envelope: &Envelope, narrow: bool) {
        let record = verified::<Delegation>(envelope);
        self.standing.check_delegation(&record, UnixMs(self.now)).expect("the next of the chain");
        let delegate = DELEGATES.into_iter().find(|n| key(*n).did() == record.get().delegate).expect("one of them");
        self.history.delegations.push(Delegated { id: record.id(), delegate, narrow, expires: record.get().expires.0 });
        self.standing.apply_delegation(record, UnixMs(self.now));
    }

    fn delegation(&self, to: usize, narrow: bool, lasts_h: i64) -> Envelope {
        let (seq, prev) = self.next();
        delegation(SUBJECT, DELEGATES[to], seq, prev, |document| {
            document["at"] = json!(UnixMs(self.now).to_string());
            document["expires"] = json!(UnixMs(self.now + lasts_h * HOUR).to_string());
            if narrow {
                document["scope"] = json!({"recipients": [{"spiffe": RECIPIENTS[0]}], "purposes": [PURPOSES[0]],
                                           "permits": [{"match": {"category": "health"}, "treatment": "generalize"}]});
            }
        })
    }

    fn end(&mut self, by: u8, id: RecordId) {
        let end = verified::<DelegationEnd>(&end_delegation(SUBJECT, by, &[id]));
        let ends = self.standing.check_end(&end, UnixMs(self.now)).expect("either side ends it");
        self.standing.apply_end(ends);
        self.history.end(id, self.now);
    }

    fn withdraw(&mut self, named: Option<RecordId>, up_to: u64, by: Option<usize>) -> Result<(), TestCaseError> {
        let under = by.map(|which| self.history.delegations.get(which));
        let envelope = match (under, named) {
            (Some(None), _) => return Ok(()),
            (None, Some(id)) => withdraw_records(SUBJECT, UnixMs(self.now), &[id]),
            (None, None) => withdraw_up_to(SUBJECT, UnixMs(self.now), up_to),
            (Some(Some(delegated)), named) => {
                let (member, reach) = match named {
                    Some(id) => ("withdraws", json!([id.to_string()])),
                    None => ("withdraws_up_to", json!(up_to)),
                };
                let mut envelope = withdraw_as(SUBJECT, delegated.delegate, "delegate", delegated.id, member, reach);
                let payload = String::from_utf8(envelope.payload).expect("JSON").replace(&NOW.to_string(), &UnixMs(self.now).to_string());
                envelope.payload = payload.into_bytes();
                envelope.signatures.clear();
                envelope.countersign(&key(delegated.delegate));
                envelope
            }
        };
        let allowed = under.flatten().is_none_or(|delegated| {
            let known = named.and_then(|id| self.history.grants.iter().find(|grant| grant.id == id));
            self.history.in_force(delegated.id, delegated.delegate, self.now)
                && known.is_none_or(|grant| self.history.in_scope(delegated.id, &grant.says))
        });
        let by = under.flatten().map(|delegated| delegated.id);
        let ending = self.standing.check_withdrawal(&verified(&envelope), UnixMs(self.now));
        prop_assert_eq!(ending.is_ok(), allowed, "{:?}", ending);
        if let Ok(ending) = ending {
            self.standing.apply_withdrawal(ending);
            let head = self.standing.head().seq;
            self.history.withdrawals.push(Withdrawn { named, up_to: if named.is_some() { 0 } else { up_to }, at: self.now, head, by });
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Grant(says) => self.grant(says, None)?,
            Step::GrantBy { delegate, under, says } => {
                if let Some(id) = self.history.delegations.get(*under).map(|delegated| delegated.id) {
                    self.grant(says, Some((DELEGATES[*delegate], id)))?;
                }
            }
            Step::Renew { which, by, lasts_h } => {
                let under = by.map(|(delegate, under)| (DELEGATES[delegate], self.history.delegations.get(under).map(|found| found.id)));
                match under {
                    Some((_, None)) => {}
                    Some((delegate, Some(id))) => self.renew(*which, *lasts_h, Some((delegate, id)))?,
                    None => self.renew(*which, *lasts_h, None)?,
                }
            }
            Step::Delegate { to, narrow, lasts_h } => {
                let envelope = self.delegation(*to, *narrow, *lasts_h);
                self.delegate(&envelope, *narrow);
            }
            Step::End { which, by_delegate } => {
                if let Some(delegated) = self.history.delegations.get(*which) {
                    let (by, id) = (if *by_delegate { delegated.delegate } else { SUBJECT }, delegated.id);
                    self.end(by, id);
                }
            }
            Step::EndAhead => {
                let envelope = self.delegation(0, false, 50);
                self.end(SUBJECT, envelope.id());
                self.delegate(&envelope, false);
            }
            Step::Withdraw { which, by } => {
                if let Some(id) = self.history.grants.get(*which).map(|grant| grant.id) {
                    self.withdraw(Some(id), 0, *by)?;
                }
            }
            Step::WithdrawAhead(says) => {
                let id = self.written(says, None).0.id();
                self.withdraw(Some(id), 0, None)?;
                self.grant(says, None)?;
            }
            Step::WithdrawUpTo { seq, by } => self.withdraw(None, *seq, *by)?,
            Step::Wait(hours) => self.now += hours * HOUR,
        }
        Ok(())
    }

    /// The fold and the history say the same, now and later, and until the fold says that it may change.
    fn agree(&self) -> Result<(), TestCaseError> {
        for at in [0, 5, 29, 77].map(|hours| self.now + hours * HOUR) {
            for (recipient, id) in RECIPIENTS.into_iter().enumerate() {
                for (what, term) in PURPOSES.into_iter().enumerate() {
                    let (spiffe, purpose) = (Spiffe::parse(id).expect("an id"), purpose(term).expect("a term"));
                    let who = RecipientIdentity { spiffe: &spiffe, did: None, stated_key: None };
                    let deciding = self.standing.deciding(&who, &purpose, UnixMs(at));
                    let found: BTreeSet<_> = deciding.rules.iter().map(|at| (at.record, at.rule.effect == Effect::Permit)).collect();
                    let recomputed = |at| self.history.decides(1 << recipient, 1 << what, at);
                    prop_assert_eq!(&found, &recomputed(at), "to {} for {} at {}", id, term, UnixMs(at));
                    prop_assert!(deciding.valid_until.0 > at);
                    let last = deciding.valid_until.0.saturating_sub(1).min(at + 400 * HOUR);
                    for later in [at + 1, (at + last) / 2, last] {
                        prop_assert_eq!(&found, &recomputed(later.min(last)), "until {}", deciding.valid_until);
                    }
                }
            }
        }
        let permitting = self.history.grants.iter().filter(|grant| self.history.permits_after(grant, self.now)).count();
        prop_assert_eq!(self.standing.live(UnixMs(self.now)), permitting);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("TWINVEIL_LONG").is_some() { 20_000 } else { 256 }))]
    #[test]
    fn the_fold_says_what_the_whole_history_says(steps in prop::collection::vec(step(), 1..18)) {
        let mut story = Story { standing: Standing::default(), history: History::default(), now: NOW.0 - DAY };
        for step in &steps {
            story.step(step)?;
            story.agree()?;
        }
    }
}
