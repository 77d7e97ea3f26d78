use proptest::prelude::*;
use serde_json::json;

use super::super::testing::{DAY, HOUR, NOW, after, consent, grant, key, seal_key, verified, withdraw_records, withdraw_up_to, withdrawal};
use super::*;
use crate::veil::consent::deciding::{Deciding, RecipientIdentity, mandate_deciding};
use crate::veil::name::{Did, Purpose, SealKey, Spiffe};
use crate::veil::terms::purpose;

fn reader() -> Spiffe {
    Spiffe::parse("spiffe://lab.example/reader").expect("good")
}

fn research() -> Purpose {
    purpose("dpv:AcademicResearch").expect("a DPV term")
}

fn deciding(standing: &Standing, at: UnixMs) -> Deciding<'_> {
    let who = RecipientIdentity { spiffe: &reader(), did: None, stated_key: None };
    standing.deciding(&who, &research(), at)
}

/// (record number, effect) of each deciding rule.
fn effects(standing: &Standing, at: UnixMs) -> Vec<(u64, Effect)> {
    let number = |id: RecordId| standing.grants().iter().find(|grant| grant.id() == id).expect("of the chain").consent().seq;
    deciding(standing, at).rules.iter().map(|deciding| (number(deciding.record), deciding.rule.effect)).collect()
}

impl Standing {
    fn take(&mut self, change: impl FnOnce(&mut serde_json::Value)) -> RecordId {
        let record = consent(1, self.head.seq + 1, self.head.record, change);
        self.check(&record, NOW).expect("the next of the chain");
        let id = record.id();
        self.apply(record, NOW);
        id
    }

    fn end(&mut self, envelope: &super::super::envelope::Envelope, now: UnixMs) -> u32 {
        let ending = self.check_withdrawal(&withdrawal(envelope), now).expect("withdrawals don't wait");
        let ended = ending.ended();
        self.apply_withdrawal(ending);
        ended
    }
}

#[test]
fn a_consent_for_a_legal_demand_permits_nothing_and_is_no_word_on_anything_else() {
    use crate::veil::consent::testing::{delegated, delegation};
    let mut standing = Standing::default();
    standing.take(|document| {
        document["demand"] = json!("ab".repeat(32));
        document["max_uses"] = json!(1);
        document["rules"] = json!([{"effect": "permit", "match": {"selector": "vitals"}, "treatment": "keep"}]);
    });
    assert!(effects(&standing, NOW).is_empty());
    assert!(deciding(&standing, NOW).counted.is_empty());
    // A delegate's permit to the same recipient decides as if it were not there.
    let given = delegation(1, 2, 2, standing.head.record, |_| ());
    standing.apply_delegation(verified(&given), NOW);
    let by_delegate: Verified<Consent> = verified(&delegated(1, 2, given.id(), 3, standing.head.record, |_| ()));
    standing.check(&by_delegate, NOW).expect("within the delegation");
    standing.apply(by_delegate, NOW);
    assert_eq!(effects(&standing, NOW), [(3, Effect::Permit)]);
}

#[test]
fn grants_come_in_the_order_of_the_chain_and_a_fork_is_told_the_head() {
    let mut standing = Standing::default();
    assert_eq!(
        standing.check(&consent(1, 2, Some(RecordId([9; 32])), |_| ()), NOW),
        Err(RecordRefusal::OutOfOrder { head: Head::default() })
    );
    let first = standing.take(|_| ());
    let head = Head { seq: 1, record: Some(first) };
    assert_eq!(standing.head(), head);
    // a second device that made its own number 1
    let fork = consent(1, 1, None, |document| document["method"] = json!("on my other phone"));
    assert_eq!(standing.check(&fork, NOW), Err(RecordRefusal::OutOfOrder { head }));
    // the right number after the wrong record
    assert_eq!(standing.check(&consent(1, 2, Some(RecordId([9; 32])), |_| ()), NOW), Err(RecordRefusal::OutOfOrder { head }));
    assert_eq!(standing.check(&consent(1, 3, Some(first), |_| ()), NOW), Err(RecordRefusal::OutOfOrder { head }));
    assert_eq!(standing.check(&consent(1, 2, Some(first), |_| ()), NOW), Ok(()));
}

#[test]
fn a_record_sent_again_is_not_taken_again() {
    let mut standing = Standing::default();
    standing.take(|_| ());
    standing.take(|_| ());
    assert_eq!(standing.check(&consent(1, 1, None, |_| ()), NOW), Err(RecordRefusal::TakenBefore { seq: 1 }));
}

#[test]
fn a_record_that_is_over_or_from_the_future_is_refused() {
    let standing = Standing::default();
    let record = consent(1, 1, None, |_| ());
    assert_eq!(standing.check(&record, after(30 * DAY)), Err(RecordRefusal::Expired { at: after(30 * DAY) }));
    assert_eq!(standing.check(&record, after(-SKEW_MS_MAX)), Ok(()));
    let now = after(-SKEW_MS_MAX - 1);
    assert_eq!(standing.check(&record, now), Err(RecordRefusal::FromTheFuture { now }));
}

#[test]
fn a_grant_begins_when_taken_or_when_it_says() {
    let mut standing = Standing::default();
    let early = after(-1_000);
    standing.apply(consent(1, 1, None, |_| ()), early);
    assert_eq!(standing.grants()[0].state(early), GrantState::Live, "the signer's clock is a second ahead");
    standing.take(|document| document["not_before"] = json!(after(DAY).to_string()));
    let states = |at| standing.grants().iter().map(|grant| grant.state(at)).collect::<Vec<_>>();
    assert_eq!(states(NOW), [GrantState::Live, GrantState::NotYet]);
    assert_eq!(states(after(DAY)), [GrantState::Live, GrantState::Live]);
    assert_eq!(states(after(30 * DAY)), [GrantState::Expired, GrantState::Expired]);
}

#[test]
fn a_withdrawal_ends_permits_and_leaves_forbids() {
    let mut standing = Standing::default();
    let id = standing.take(|document| {
        document["rules"] = json!([
            {"effect": "permit", "match": {"category": "health"}, "treatment": "keep"},
            {"effect": "forbid", "match": {"category": "location"}},
        ]);
    });
    assert_eq!(effects(&standing, NOW), [(1, Effect::Forbid), (1, Effect::Permit)]);
    assert_eq!(standing.end(&withdraw_records(1, NOW, &[id]), NOW), 1);
    assert_eq!(effects(&standing, NOW), [(1, Effect::Forbid)]);
    assert_eq!(standing.grants()[0].state(NOW), GrantState::Withdrawn);
}

#[test]
fn a_withdrawal_sent_twice_changes_nothing() {
    let mut standing = Standing::default();
    let id = standing.take(|_| ());
    let envelope = withdraw_records(1, NOW, &[id, id, RecordId([9; 32])]);
    assert_eq!(standing.end(&envelope, NOW), 1);
    assert!(standing.check_withdrawal(&withdrawal(&envelope), NOW).expect("good").is_nothing());
    let all = withdraw_up_to(1, NOW, 1);
    assert!(standing.check_withdrawal(&withdrawal(&all), NOW).expect("good").is_nothing());
}

#[test]
fn a_withdrawal_before_its_grant_is_kept_for_it() {
    let mut standing = Standing::default();
    let record = consent(1, 1, None, |_| ());
    assert_eq!(standing.end(&withdraw_records(1, NOW, &[record.id()]), NOW), 0);
    assert_eq!(standing.check(&record, NOW), Ok(()), "the chain goes on");
    standing.apply(record, NOW);
    assert_eq!(standing.grants()[0].state(NOW), GrantState::Withdrawn);
    assert!(effects(&standing, NOW).is_empty());
}

#[test]
fn an_old_withdrawal_signed_ahead_does_not_reach_a_new_grant() {
    let mut standing = Standing::default();
    let first = standing.take(|_| ());
    let by_number = withdraw_up_to(1, NOW, 1);
    let by_id = withdraw_records(1, NOW, &[first]);
    standing.take(|document| document["at"] = json!(after(1_000).to_string()));
    for envelope in [by_number, by_id] {
        standing.end(&envelope, after(2 * HOUR));
        assert_eq!(effects(&standing, after(2 * HOUR)), [(2, Effect::Permit)]);
    }
}

#[test]
fn a_withdrawal_up_to_a_number_ahead_reaches_what_was_signed_by_then_only() {
    let mut standing = Standing::default();
    standing.end(&withdraw_up_to(1, after(HOUR), u64::MAX), NOW);
    standing.take(|_| ());
    // Their clocks may be as fast as this.
    let latest = after(SKEW_MS_MAX);
    standing.take(|document| document["at"] = json!(latest.to_string()));
    assert!(effects(&standing, latest).is_empty());
    let later = UnixMs(latest.0 + 1);
    let (seq, prev) = (3, standing.head().record);
    let record = consent(1, seq, prev, |document| document["at"] = json!(later.to_string()));
    assert_eq!(standing.check(&record, later), Ok(()));
    standing.apply(record, later);
    assert_eq!(effects(&standing, later), [(3, Effect::Permit)], "a time in the future reaches no further than its arrival");
}

#[test]
fn a_fast_clock_does_not_save_a_grant_from_the_withdrawal_behind_it() {
    let fast = after(120_000);
    let (record, withdrawal) = (consent(1, 1, None, |document| document["at"] = json!(fast.to_string())), withdraw_up_to(1, fast, 1));
    for ahead in [true, false] {
        let (mut standing, record) = (Standing::default(), record.clone());
        if ahead {
            standing.end(&withdrawal, NOW);
        }
        standing.apply(record, NOW);
        if !ahead {
            standing.end(&withdrawal, NOW);
        }
        assert_eq!(standing.grants()[0].state(NOW), GrantState::Withdrawn, "ahead: {ahead}");
    }
}

#[test]
fn a_swap_leaves_no_gap_and_ends_forbids_too() {
    let mut standing = Standing::default();
    let first = standing.take(|document| document["rules"] = json!([{"effect": "forbid", "match": {"category": "health"}}]));
    let second = standing.take(|document| document["replaces"] = json!([first.to_string()]));
    assert_eq!(effects(&standing, NOW), [(2, Effect::Permit)]);
    assert_eq!(standing.grants()[0].state(NOW), GrantState::Replaced);
    // what is replaced can't be replaced again, nor what nobody saw, nor what is over
    for (id, now) in [(first, NOW), (RecordId([9; 32]), NOW), (second, after(30 * DAY))] {
        let record = consent(1, 3, Some(second), |document| {
            document["replaces"] = json!([id.to_string()]);
            document["expires"] = json!(after(60 * DAY).to_string());
        });
        assert_eq!(standing.check(&record, now), Err(RecordRefusal::NotLive(id)));
    }
    let later = consent(1, 3, Some(second), |document| {
        document["replaces"] = json!([second.to_string()]);
        document["not_before"] = json!(after(DAY).to_string());
    });
    assert_eq!(standing.check(&later, NOW).expect_err("a gap").code(), "TV-C07");
}

#[test]
fn a_forbid_that_outlived_a_withdrawal_ends_in_order() {
    let mut standing = Standing::default();
    let mixed = standing.take(|document| {
        document["rules"] =
            json!([{"effect": "permit", "match": {"category": "health"}, "treatment": "keep"}, {"effect": "forbid", "match": {"category": "location"}}]);
    });
    standing.end(&withdraw_up_to(1, NOW, 1), NOW);
    standing.take(|document| document["replaces"] = json!([mixed.to_string()]));
    assert_eq!(effects(&standing, NOW), [(2, Effect::Permit)]);
    // a withdrawn permit without a forbid has nothing left to end
    let second = standing.head().record.expect("two");
    standing.end(&withdraw_up_to(1, NOW, 2), NOW);
    let record = consent(1, 3, Some(second), |document| document["replaces"] = json!([second.to_string()]));
    assert_eq!(standing.check(&record, NOW), Err(RecordRefusal::NotLive(second)));
}

#[test]
fn a_permit_needs_the_recipient_and_the_purpose() {
    let mut standing = Standing::default();
    standing.take(|_| ());
    let (reader, other) = (reader(), Spiffe::parse("spiffe://lab.example/other").expect("good"));
    let who = |spiffe| RecipientIdentity { spiffe, did: None, stated_key: None };
    assert_eq!(standing.deciding(&who(&reader), &research(), NOW).rules.len(), 1);
    assert!(standing.deciding(&who(&other), &research(), NOW).rules.is_empty());
    assert!(standing.deciding(&who(&reader), &purpose("dpv:Advertising").expect("term"), NOW).rules.is_empty());
}

#[test]
fn a_forbid_for_everyone_and_everything_reaches_every_recipient_and_purpose() {
    let mut standing = Standing::default();
    standing.take(|document| {
        document["rules"] = json!([{"effect": "forbid", "match": {"category": "location"}}]);
        document["recipients"] = json!([]);
        document["purposes"] = json!([]);
    });
    let other = Spiffe::parse("spiffe://any.example/one").expect("good");
    let who = RecipientIdentity { spiffe: &other, did: None, stated_key: None };
    assert_eq!(standing.deciding(&who, &purpose("dpv:Advertising").expect("term"), NOW).rules.len(), 1);
}

#[test]
fn forbids_stand_before_permits_with_their_places_in_the_record() {
    let mut standing = Standing::default();
    standing.take(|_| ());
    standing.take(|document| {
        document["rules"] =
            json!([{"effect": "permit", "match": {"category": "device"}, "treatment": "keep"}, {"effect": "forbid", "match": {"category": "location"}}]);
    });
    let rules: Vec<_> = deciding(&standing, NOW).rules.iter().map(|deciding| (deciding.rule.effect, deciding.index)).collect();
    assert_eq!(rules, [(Effect::Forbid, 1), (Effect::Permit, 0), (Effect::Permit, 0)]);
}

#[test]
fn a_decision_holds_until_the_nearest_beginning_or_end() {
    let mut standing = Standing::default();
    assert_eq!(deciding(&standing, NOW).valid_until, UnixMs::NEVER);
    standing.take(|_| ());
    assert_eq!(deciding(&standing, NOW).valid_until, after(30 * DAY));
    let second = standing.take(|document| {
        document["not_before"] = json!(after(DAY).to_string());
        document["expires"] = json!(after(2 * DAY).to_string());
    });
    assert_eq!(deciding(&standing, NOW).valid_until, after(DAY));
    assert_eq!(deciding(&standing, after(DAY)).valid_until, after(2 * DAY));
    standing.end(&withdraw_records(1, NOW, &[second]), NOW);
    assert_eq!(deciding(&standing, NOW).valid_until, after(30 * DAY));
    assert_eq!(deciding(&standing, after(30 * DAY)).valid_until, UnixMs::NEVER);
}

#[test]
fn a_permit_acts_in_its_hours_and_a_forbid_beside_it_always() {
    // NOW is a Saturday, 10:00 in Vienna.
    let mut standing = Standing::default();
    let id = standing.take(|document| {
        document["windows"] = json!([{"zone": "Europe/Vienna", "days": ["sat", "mon"], "from": "08:00", "to": "12:00"}]);
        document["rules"] = json!([
            {"effect": "permit", "match": {"category": "health"}, "treatment": "keep"},
            {"effect": "forbid", "match": {"category": "location"}},
        ]);
    });
    let (closes, opens) = (after(2 * HOUR), after(46 * HOUR));
    let seen = |standing: &Standing, at| (standing.grants()[0].state(at), effects(standing, at).len(), deciding(standing, at).valid_until);
    assert_eq!(seen(&standing, NOW), (GrantState::Live, 2, closes));
    assert_eq!(seen(&standing, closes), (GrantState::Closed, 1, opens));
    assert_eq!(seen(&standing, opens), (GrantState::Live, 2, after(50 * HOUR)));
    // its end comes before the next edge
    assert_eq!(seen(&standing, after(30 * DAY - 1)).2, after(30 * DAY));
    // withdrawn at another hour it does not open again
    assert_eq!(standing.end(&withdraw_records(1, NOW, &[id]), closes), 1);
    assert_eq!(seen(&standing, opens), (GrantState::Withdrawn, 1, after(30 * DAY)));
}

#[test]
fn what_is_used_up_permits_nothing_and_is_still_the_subjects_word() {
    use crate::veil::consent::deciding::Moment;
    use crate::veil::consent::testing::{delegated, delegation};
    let mut standing = Standing::default();
    let id = standing.take(|document| {
        document["max_uses"] = json!(3);
        document["rules"] = json!([
            {"effect": "permit", "match": {"category": "health"}, "treatment": "keep"},
            {"effect": "forbid", "match": {"category": "location"}},
        ]);
    });
    let under = delegation(1, 2, 2, Some(id), |_| ());
    standing.apply_delegation(verified(&under), NOW);
    standing.apply(verified(&delegated(1, 2, under.id(), 3, Some(under.id()), |_| ())), NOW);
    let who = RecipientIdentity { spiffe: &reader(), did: None, stated_key: None };
    let at = |spent: &dyn Fn(&RecordId) -> bool| {
        let deciding = standing.deciding(&who, &research(), Moment::new(NOW, spent));
        (deciding.rules.iter().map(|at| at.rule.effect).collect::<Vec<_>>(), deciding.counted.len())
    };
    assert_eq!(at(&|_| false), (vec![Effect::Forbid, Effect::Permit], 1));
    // Once it is used up, nobody else's wider word takes its place while it lasts.
    assert_eq!(at(&|record| *record == id), (vec![Effect::Forbid], 0));
    assert_eq!(standing.deciding(&who, &research(), after(30 * DAY - 1)).counted.len(), 1);
}

#[test]
fn keys_come_from_the_newest_deciding_record_or_the_did_that_matched() {
    let mut standing = Standing::default();
    let did = key(3).did();
    let keys = |standing: &Standing, did: Option<&Did>, stated: Option<SealKey>| {
        let who = RecipientIdentity { spiffe: &reader(), did, stated_key: stated };
        let deciding = standing.deciding(&who, &research(), NOW);
        (deciding.recipient_key, deciding.vault_key)
    };
    standing.take(|document| document["vault_key"] = json!(seal_key(1).to_string()));
    assert_eq!(keys(&standing, Some(&did), Some(seal_key(3))), (None, Some(seal_key(1))), "a stated key needs a matched did");
    standing.take(|document| document["recipients"] = json!([{"did": did.to_string()}]));
    assert_eq!(keys(&standing, None, Some(seal_key(3))), (None, Some(seal_key(1))));
    assert_eq!(keys(&standing, Some(&did), Some(seal_key(3))), (Some(seal_key(3)), Some(seal_key(1))));
    standing.take(|document| document["recipients"][0]["key"] = json!(seal_key(4).to_string()));
    assert_eq!(keys(&standing, Some(&did), Some(seal_key(3))), (Some(seal_key(4)), Some(seal_key(1))));
    standing.end(&withdraw_up_to(1, NOW, 3), NOW);
    assert_eq!(keys(&standing, Some(&did), Some(seal_key(3))), (None, None), "no permit, no key");
}

#[test]
fn mandates_of_two_operators_decide_as_one() {
    let mut one = Standing::default();
    one.take(|document| document["signer"]["role"] = json!("operator"));
    one.take(|_| ());
    let mut two = Standing::default();
    let forbid = grant(2, 1, None, |document| {
        document["signer"]["role"] = json!("operator");
        document["rules"] = json!([{"effect": "forbid", "match": {"category": "site"}}]);
    });
    two.apply(verified(&forbid), NOW);
    let reader = reader();
    let who = RecipientIdentity { spiffe: &reader, did: None, stated_key: None };
    let merged = mandate_deciding([&one, &two], &who, &research(), NOW);
    assert_eq!(merged.rules.iter().map(|deciding| deciding.rule.effect).collect::<Vec<_>>(), [Effect::Forbid, Effect::Permit]);
    assert_eq!(merged.valid_until, after(30 * DAY));
    // and a key's own word is apart from its mandate
    assert_eq!(effects(&one, NOW), [(2, Effect::Permit)]);
    assert!(two.deciding(&who, &research(), NOW).rules.is_empty());
}

#[test]
fn what_is_kept_for_records_nobody_saw_is_bounded() {
    let mut standing = Standing::default();
    let id = |n: usize| RecordId(crate::veil::crypto::hash::sha256(&[&n.to_be_bytes()]));
    for chunk in (0..UNSEEN_MAX).collect::<Vec<_>>().chunks(64) {
        standing.end(&withdraw_records(1, NOW, &chunk.iter().map(|n| id(*n)).collect::<Vec<_>>()), NOW);
    }
    let more = withdraw_records(1, NOW, &[id(UNSEEN_MAX)]);
    assert_eq!(standing.check_withdrawal(&withdrawal(&more), NOW).expect_err("full").code(), "TV-C20");
    // what ends something is taken all the same
    let live = standing.take(|_| ());
    assert_eq!(standing.end(&withdraw_records(1, NOW, &[live, id(UNSEEN_MAX)]), NOW), 1);
}

#[test]
fn a_chain_is_bounded() {
    let mut standing = Standing::default();
    let first = standing.take(|_| ());
    let grant = standing.grants[0].clone();
    standing.grants.resize(RECORDS_MAX, grant);
    assert_eq!(standing.check(&consent(1, 2, Some(first), |_| ()), NOW), Err(RecordRefusal::TooMany("records")));
}

#[test]
fn a_rule_reads_as_a_sentence() {
    let mut standing = Standing::default();
    standing.take(|document| {
        document["rules"] = json!([
            {"effect": "permit", "match": {"category": "health", "selector": "vitals"}, "treatment": "encrypt", "keys": "recipient"},
            {"effect": "forbid", "match": {"sensitivity": "identifying"}},
        ]);
    });
    let words: Vec<_> = standing.grants()[0].consent().rules.iter().map(Rule::to_string).collect();
    assert_eq!(words, ["permit health data at `vitals`: encrypt, the recipient can open it", "forbid identifying data"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Any mix of grants and withdrawals: no permit of a withdrawn record decides, forbids never end by withdrawal, and
    /// the fold depends on nothing but the records.
    #[test]
    fn a_withdrawn_permit_never_decides_again(steps in prop::collection::vec((0u8..3, 1u64..8), 1..12)) {
        let run = || {
            let mut standing = Standing::default();
            let mut withdrawn = BTreeSet::new();
            let mut forbids = 0;
            for (kind, number) in &steps {
                match kind {
                    0 => {
                        let forbid = number % 2 == 0;
                        forbids += usize::from(forbid);
                        standing.take(|document| if forbid {
                            document["rules"] = json!([
                                {"effect": "permit", "match": {"category": "health"}, "treatment": "keep"},
                                {"effect": "forbid", "match": {"category": "location"}},
                            ]);
                        });
                    }
                    1 => {
                        standing.end(&withdraw_up_to(1, NOW, *number), NOW);
                        withdrawn.extend(standing.grants().iter().filter(|grant| grant.consent().seq <= *number).map(Grant::id));
                    }
                    _ => {
                        if let Some(grant) = standing.grants().get(usize::try_from(*number).expect("small") - 1) {
                            let id = grant.id();
                            standing.end(&withdraw_records(1, NOW, &[id]), NOW);
                            withdrawn.insert(id);
                        }
                    }
                }
            }
            (standing, withdrawn, forbids)
        };
        let (standing, withdrawn, forbids) = run();
        let rules = deciding(&standing, NOW).rules;
        prop_assert!(rules.iter().all(|d| d.rule.effect == Effect::Forbid || !withdrawn.contains(&d.record)));
        prop_assert_eq!(rules.iter().filter(|d| d.rule.effect == Effect::Forbid).count(), forbids);
        prop_assert_eq!(format!("{standing:?}"), format!("{:?}", run().0));
    }
}
