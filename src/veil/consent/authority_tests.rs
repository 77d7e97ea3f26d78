#[path = "renewal_tests.rs"]
mod renewal;

use serde_json::{Value, json};

use super::super::envelope::Envelope;
use super::super::testing::{
    DAY, NOW, after, agreement, consent, delegated, delegation, end_delegation, grant, key, seal_key, signed, verified, withdraw_as,
    withdraw_records, withdraw_up_to,
};
use super::*;
use crate::veil::consent::deciding::{Deciding, RecipientIdentity, mandate_deciding};
use crate::veil::consent::record::MEDIA_TYPE;
use crate::veil::consent::standing::GrantState;
use crate::veil::name::Spiffe;
use crate::veil::terms::{Category, Treatment, purpose};

/// The subject, and those who speak for it.
const ADA: u8 = 1;
const GUARDIAN: u8 = 2;
const OTHER: u8 = 3;

impl Standing {
    fn next(&self) -> (u64, Option<RecordId>) {
        (self.head().seq + 1, self.head().record)
    }

    fn submit(&mut self, envelope: &Envelope, now: UnixMs) -> Result<RecordId, RecordRefusal> {
        let record = verified::<Consent>(envelope);
        self.check(&record, now)?;
        self.apply(record, now);
        Ok(envelope.id())
    }

    /// Of the subject itself.
    fn own(&mut self, change: impl FnOnce(&mut Value)) -> RecordId {
        let (seq, prev) = self.next();
        self.submit(&grant(ADA, seq, prev, change), NOW).expect("the subject's own word")
    }

    fn delegate(&mut self, to: u8, change: impl FnOnce(&mut Value)) -> RecordId {
        let (seq, prev) = self.next();
        self.take_delegation(&delegation(ADA, to, seq, prev, change), NOW).expect("a delegation")
    }

    fn take_delegation(&mut self, envelope: &Envelope, now: UnixMs) -> Result<RecordId, RecordRefusal> {
        let record = verified::<Delegation>(envelope);
        self.check_delegation(&record, now)?;
        self.apply_delegation(record, now);
        Ok(envelope.id())
    }

    fn by(&mut self, delegate: u8, under: RecordId, now: UnixMs, change: impl FnOnce(&mut Value)) -> Result<RecordId, RecordRefusal> {
        let (seq, prev) = self.next();
        self.submit(&delegated(ADA, delegate, under, seq, prev, change), now)
    }

    fn finish(&mut self, envelope: &Envelope) -> Result<Ends, RecordRefusal> {
        let ends = self.check_end(&verified::<DelegationEnd>(envelope), NOW)?;
        self.apply_end(ends.clone());
        Ok(ends)
    }

    fn withdraw(&mut self, envelope: &Envelope, now: UnixMs) -> Result<u32, RecordRefusal> {
        let ending = self.check_withdrawal(&verified(envelope), now)?;
        let ended = ending.ended();
        self.apply_withdrawal(ending);
        Ok(ended)
    }

    fn agree(&mut self, need: u8, of: &[u8], cosigners: &[u8], change: impl FnOnce(&mut Value)) -> Result<RecordId, RecordRefusal> {
        let (seq, prev) = self.next();
        let mut envelope = agreement(ADA, seq, prev, need, of, change);
        cosigners.iter().for_each(|n| envelope.countersign(&key(*n)));
        let record = verified::<Agreement>(&envelope);
        self.check_agreement(&record, NOW)?;
        self.apply_agreement(record, NOW);
        Ok(envelope.id())
    }

    fn states(&self, at: UnixMs) -> Vec<GrantState> {
        self.grants().iter().map(|grant| grant.state(at)).collect()
    }
}

fn deciding(standing: &Standing, at: UnixMs) -> Deciding<'_> {
    let reader = Spiffe::parse("spiffe://lab.example/reader").expect("good");
    let who = RecipientIdentity { spiffe: &reader, did: None, stated_key: None };
    standing.deciding(&who, &purpose("dpv:AcademicResearch").expect("a term"), at)
}

/// Category and treatment of what decides; a forbid is a strip.
fn decides(standing: &Standing, at: UnixMs) -> Vec<(Option<Category>, Treatment)> {
    deciding(standing, at).rules.iter().map(|at| (at.rule.category, at.rule.treatment)).collect()
}

fn rules(document: &mut Value, rules: &[(&str, &str)]) {
    document["rules"] = rules
        .iter()
        .map(|(category, treatment)| match *treatment {
            "forbid" => json!({"effect": "forbid", "match": {"category": category}}),
            treatment => json!({"effect": "permit", "match": {"category": category}, "treatment": treatment}),
        })
        .collect();
}

fn no_authority(id: RecordId) -> RecordRefusal {
    RecordRefusal::NoAuthority(id)
}

#[test]
fn a_delegate_grants_under_a_delegation_in_force_and_nobody_else_does() {
    let mut standing = Standing::default();
    let later = standing.delegate(GUARDIAN, |document| document["not_before"] = json!(after(DAY).to_string()));
    assert_eq!(standing.by(GUARDIAN, later, NOW, |_| ()), Err(no_authority(later)), "not yet");
    let id = standing.delegate(GUARDIAN, |_| ());
    assert_eq!(standing.by(OTHER, id, NOW, |_| ()), Err(no_authority(id)), "another's");
    let unknown = RecordId([9; 32]);
    assert_eq!(standing.by(GUARDIAN, unknown, NOW, |_| ()), Err(no_authority(unknown)));
    standing.by(GUARDIAN, id, NOW, |_| ()).expect("the guardian's grant");
    assert_eq!(standing.grants()[0].consent().by, By { key: key(GUARDIAN).did(), role: SignerRole::Delegate(id) });
    assert_eq!(decides(&standing, NOW), [(Some(Category::Health), Treatment::Keep)]);
    let long = |document: &mut Value| document["expires"] = json!(after(90 * DAY).to_string());
    assert_eq!(standing.by(GUARDIAN, id, after(60 * DAY), long), Err(no_authority(id)), "over");
}

#[test]
fn a_delegation_stands_in_the_chain_and_comes_once() {
    let mut standing = Standing::default();
    standing.own(|_| ());
    let (seq, prev) = standing.next();
    let record = delegation(ADA, GUARDIAN, seq, prev, |_| ());
    let out_of_order = delegation(ADA, GUARDIAN, 1, None, |_| ());
    assert_eq!(standing.take_delegation(&out_of_order, NOW).expect_err("order").code(), "TV-C14");
    assert_eq!(standing.take_delegation(&record, after(-DAY)).expect_err("future").code(), "TV-C18");
    assert_eq!(standing.take_delegation(&record, after(60 * DAY)).expect_err("over").code(), "TV-C17");
    let id = standing.take_delegation(&record, NOW).expect("good");
    assert_eq!(standing.head(), Head { seq: 2, record: Some(id) });
    assert_eq!(standing.take_delegation(&record, NOW), Err(RecordRefusal::TakenBefore { seq: 2 }));
    // an ended one does not come back
    assert!(standing.finish(&end_delegation(ADA, ADA, &[id])).expect("the subject's").ended() == 0);
    assert_eq!(standing.take_delegation(&record, NOW), Err(RecordRefusal::TakenBefore { seq: 2 }));
}

#[test]
fn a_grant_that_widens_a_delegation_is_refused_by_the_member_that_does() {
    let mut standing = Standing::default();
    let id = standing.delegate(GUARDIAN, |document| {
        document["scope"] = json!({"recipients": [{"spiffe": "spiffe://lab.example/reader"}], "purposes": ["dpv:AcademicResearch"],
                                   "permits": [{"match": {"category": "health"}, "treatment": "generalize"}]});
        document["vault_key"] = json!(seal_key(1).to_string());
    });
    for (member, value, widens) in [
        ("expires", json!(after(60 * DAY + 1).to_string()), "expires"),
        ("recipients", json!([{"spiffe": "spiffe://lab.example/other"}]), "recipients"),
        ("purposes", json!(["dpv:Advertising"]), "purposes"),
        ("rules", json!([{"effect": "permit", "match": {"category": "health"}, "treatment": "keep"}]), "rules[0]"),
        ("vault_key", json!(seal_key(2).to_string()), "vault_key"),
    ] {
        let refused = standing.by(GUARDIAN, id, NOW, |document| {
            rules(document, &[("health", "generalize")]);
            document[member] = value;
        });
        assert_eq!(refused, Err(RecordRefusal::Widens(widens.into())), "{member}");
    }
    let within = standing.by(GUARDIAN, id, NOW, |document| {
        rules(document, &[("health", "generalize"), ("location", "forbid")]);
        document["vault_key"] = json!(seal_key(1).to_string());
    });
    within.expect("within the scope");
    assert_eq!(deciding(&standing, NOW).vault_key, Some(seal_key(1)));
}

#[test]
fn each_right_is_needed_for_what_it_is_for() {
    let mut standing = Standing::default();
    let own = standing.own(|_| ());
    let only = |right: &'static str| move |document: &mut Value| document["rights"] = json!([right]);
    let [view, grant, renew, withdraw] = ["view", "grant", "renew", "withdraw"].map(|right| standing.delegate(GUARDIAN, only(right)));
    let renewed = move |document: &mut Value| {
        document["status"] = json!("RenewedConsentGiven");
        document["expires"] = json!(after(59 * DAY).to_string());
        document["replaces"] = json!([own.to_string()]);
    };
    for id in [view, renew, withdraw] {
        assert_eq!(standing.by(GUARDIAN, id, NOW, |_| ()), Err(RecordRefusal::NoRight("grant")));
    }
    for id in [view, withdraw] {
        assert_eq!(standing.by(GUARDIAN, id, NOW, renewed), Err(RecordRefusal::NoRight("renew")));
    }
    let by = |id| By { key: key(GUARDIAN).did(), role: SignerRole::Delegate(id) };
    for id in [view, grant, renew] {
        let all = withdraw_as(ADA, GUARDIAN, "delegate", id, "withdraws_up_to", json!(9));
        assert_eq!(standing.withdraw(&all, NOW), Err(RecordRefusal::NoRight("withdraw")));
        assert_eq!(standing.delegated(by(id), Right::View, NOW).is_ok(), id == view);
    }
    assert!(standing.delegated(By { key: key(ADA).did(), role: SignerRole::Subject }, Right::View, NOW).expect("herself").is_none());
    standing.clone().by(GUARDIAN, renew, NOW, renewed).expect("renews");
    standing.clone().by(GUARDIAN, grant, NOW, renewed).expect("who may grant may renew");
    standing.clone().by(GUARDIAN, grant, NOW, |_| ()).expect("grants");
    let all = withdraw_as(ADA, GUARDIAN, "delegate", withdraw, "withdraws_up_to", json!(9));
    assert_eq!(standing.withdraw(&all, NOW), Ok(1), "what the subject granted, too");
    assert_eq!(standing.grants()[0].over().map(|(state, done)| (state, done.by)), Some((GrantState::Withdrawn, by(withdraw))));
}

#[test]
fn the_subjects_own_word_goes_before_a_delegates() {
    let mut standing = Standing::default();
    let id = standing.delegate(GUARDIAN, |_| ());
    standing.by(GUARDIAN, id, NOW, |document| rules(document, &[("health", "keep"), ("device", "forbid")])).expect("good");
    let by_guardian = [(Some(Category::Device), Treatment::Strip), (Some(Category::Health), Treatment::Keep)];
    assert_eq!(decides(&standing, NOW), by_guardian);
    // A forbid of hers is added, whoever permits.
    standing.own(|document| {
        rules(document, &[("location", "forbid")]);
        document["recipients"] = json!([]);
        document["purposes"] = json!([]);
    });
    let location = (Some(Category::Location), Treatment::Strip);
    assert_eq!(decides(&standing, NOW), [location, by_guardian[0], by_guardian[1]]);
    // A permit of hers to the same recipient and purpose decides alone, narrow as it is, also out of its hours …
    let narrow = standing.own(|document| {
        rules(document, &[("health", "generalize")]);
        document["windows"] = json!([{"zone": "UTC", "days": ["sat"], "from": "08:00", "to": "10:00"}]);
    });
    assert_eq!(decides(&standing, NOW), [location, (Some(Category::Health), Treatment::Generalize)]);
    assert_eq!(deciding(&standing, NOW).valid_until, after(3_600_000));
    assert_eq!(decides(&standing, after(3_600_000)), [location]);
    // … until it is over.
    standing.withdraw(&withdraw_records(ADA, NOW, &[narrow]), NOW).expect("hers");
    assert_eq!(decides(&standing, NOW), [location, by_guardian[0], by_guardian[1]]);
    // A refusal without more says no.
    standing.own(|document| {
        document["status"] = json!("ConsentRefused");
        document["rules"] = json!([]);
    });
    assert_eq!(decides(&standing, NOW), [location]);
}

/// Whether it comes before the refusal or behind it, by name or by number: else a delegate's permit would decide where the subject said
/// no.
#[test]
fn a_withdrawal_leaves_a_refusal_standing_whichever_came_first() {
    for (ahead, by_number) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut standing = Standing::default();
        let id = standing.delegate(GUARDIAN, |_| ());
        standing.by(GUARDIAN, id, NOW, |document| rules(document, &[("health", "keep")])).expect("good");
        let (seq, prev) = standing.next();
        let refusal = grant(ADA, seq, prev, |document| {
            document["status"] = json!("ConsentRefused");
            document["rules"] = json!([]);
        });
        let named = withdraw_records(ADA, NOW, &[refusal.id()]);
        let withdrawal = if by_number { withdraw_up_to(ADA, NOW, seq) } else { named };
        let guardians = u32::from(by_number);
        if ahead {
            assert_eq!(standing.withdraw(&withdrawal, NOW), Ok(guardians));
        }
        let refused = standing.submit(&refusal, NOW).expect("the next of the chain");
        if !ahead {
            assert_eq!(standing.withdraw(&withdrawal, NOW), Ok(guardians));
        }
        standing.by(GUARDIAN, id, NOW, |document| rules(document, &[("health", "keep")])).expect("made later");
        assert_eq!(standing.states(NOW)[1], GrantState::Live, "ahead: {ahead}, by number: {by_number}");
        assert_eq!(decides(&standing, NOW), [], "ahead: {ahead}, by number: {by_number}");
        // The subject ends it with another word.
        standing.own(|document| {
            rules(document, &[("health", "generalize")]);
            document["replaces"] = json!([refused.to_string()]);
        });
        assert_eq!(decides(&standing, NOW), [(Some(Category::Health), Treatment::Generalize)]);
    }
}

#[test]
fn a_delegate_replaces_what_the_delegate_said_and_nothing_of_the_subjects() {
    let mut standing = Standing::default();
    let own = standing.own(|_| ());
    let id = standing.delegate(GUARDIAN, |_| ());
    let replaces = |id: RecordId| move |document: &mut Value| document["replaces"] = json!([id.to_string()]);
    assert_eq!(standing.by(GUARDIAN, id, NOW, replaces(own)), Err(RecordRefusal::Widens("replaces".into())));
    let first = standing.by(GUARDIAN, id, NOW, |_| ()).expect("good");
    standing.by(GUARDIAN, id, NOW, replaces(first)).expect("their own");
    assert_eq!(standing.states(NOW), [GrantState::Live, GrantState::Replaced, GrantState::Live]);
}

#[test]
fn either_side_ends_a_delegation_and_what_was_granted_under_it_ends_too() {
    for by in [ADA, GUARDIAN] {
        let mut standing = Standing::default();
        let id = standing.delegate(GUARDIAN, |_| ());
        standing.by(GUARDIAN, id, NOW, |document| rules(document, &[("health", "keep"), ("device", "forbid")])).expect("good");
        standing.own(|document| document["purposes"] = json!(["dpv:ScientificResearch"]));
        let ends = standing.finish(&end_delegation(ADA, by, &[id])).expect("either side");
        assert_eq!((ends.ended(), ends.is_nothing()), (1, false));
        assert_eq!(standing.states(NOW), [GrantState::Ended, GrantState::Live]);
        assert_eq!(decides(&standing, NOW), [(Some(Category::Device), Treatment::Strip)], "a forbid stays");
        assert_eq!(standing.delegations()[0].state(NOW), DelegationState::Ended);
        assert_eq!(standing.delegations()[0].ended().map(|done| done.by.key), Some(key(by).did()));
        assert_eq!(standing.by(GUARDIAN, id, NOW, |_| ()), Err(no_authority(id)));
        let again = standing.finish(&end_delegation(ADA, by, &[id])).expect("sent again");
        assert!(again.is_nothing() && again.ended() == 0);
    }
}

#[test]
fn nobody_else_ends_a_delegation() {
    let mut standing = Standing::default();
    let id = standing.delegate(GUARDIAN, |_| ());
    let others = standing.delegate(OTHER, |_| ());
    assert_eq!(standing.finish(&end_delegation(ADA, OTHER, &[id])), Err(no_authority(id)));
    assert_eq!(standing.finish(&end_delegation(ADA, OTHER, &[others, id])), Err(no_authority(id)));
    let unknown = RecordId([9; 32]);
    assert_eq!(standing.finish(&end_delegation(ADA, OTHER, &[others, unknown])), Err(no_authority(unknown)));
    assert!(standing.delegations().iter().all(|delegated| delegated.state(NOW) == DelegationState::Live));
}

#[test]
fn an_end_that_comes_before_its_delegation_is_kept_for_it() {
    let mut standing = Standing::default();
    let record = delegation(ADA, GUARDIAN, 1, None, |_| ());
    let ends = standing.finish(&end_delegation(ADA, ADA, &[record.id()])).expect("kept");
    assert_eq!((ends.ended(), ends.is_nothing()), (0, false));
    let id = standing.take_delegation(&record, NOW).expect("the chain goes on");
    assert_eq!(standing.delegations()[0].state(NOW), DelegationState::Ended);
    assert_eq!(standing.by(GUARDIAN, id, NOW, |_| ()), Err(no_authority(id)));
    // and there is an end to what is kept
    let ids: Vec<RecordId> = (0..=UNSEEN_MAX as u32).map(|n| RecordId([n.to_be_bytes(); 8].concat().try_into().expect("32"))).collect();
    for chunk in ids[..UNSEEN_MAX].chunks(64) {
        standing.finish(&end_delegation(ADA, ADA, chunk)).expect("room");
    }
    assert_eq!(standing.finish(&end_delegation(ADA, ADA, &ids[UNSEEN_MAX..])).expect_err("full").code(), "TV-C20");
}

#[test]
fn a_delegation_is_handed_on_as_deep_as_it_says_and_never_wider() {
    let mut standing = Standing::default();
    let flat = standing.delegate(GUARDIAN, |_| ());
    let hand_on = |standing: &mut Standing, by: u8, under: RecordId, to: u8, change: &dyn Fn(&mut Value)| {
        let (seq, prev) = standing.next();
        let mut document: Value = serde_json::from_slice(&delegation(ADA, to, seq, prev, |_| ()).payload).expect("json");
        document["signer"] = json!({"key": key(by).did().to_string(), "role": "delegate", "authority": under.to_string()});
        change(&mut document);
        standing.take_delegation(&signed(crate::veil::consent::delegation::MEDIA_TYPE, &document, &[&key(by), &key(to)]), NOW)
    };
    assert_eq!(hand_on(&mut standing, GUARDIAN, flat, OTHER, &|_| ()), Err(RecordRefusal::Widens("depth".into())));
    let deep = standing.delegate(GUARDIAN, |document| {
        document["depth"] = json!(2);
        document["rights"] = json!(["grant", "withdraw"]);
        document["scope"]["purposes"] = json!(["dpv:AcademicResearch"]);
    });
    let fits = |document: &mut Value| {
        document["rights"] = json!(["grant"]);
        document["scope"]["purposes"] = json!(["dpv:AcademicResearch"]);
        document["depth"] = json!(1);
    };
    for (member, value, widens) in [
        ("depth", json!(2), "depth"),
        ("rights", json!(["grant", "view"]), "rights"),
        ("expires", json!(after(61 * DAY).to_string()), "expires"),
        ("vault_key", json!(seal_key(5).to_string()), "vault_key"),
        ("scope", json!({"recipients": "any", "purposes": "any", "permits": "any"}), "scope.purposes"),
    ] {
        let refused = hand_on(&mut standing, GUARDIAN, deep, OTHER, &|document| {
            fits(document);
            document[member] = value.clone();
        });
        assert_eq!(refused, Err(RecordRefusal::Widens(widens.into())));
    }
    assert_eq!(hand_on(&mut standing, OTHER, deep, 4, &fits), Err(no_authority(deep)), "not theirs to hand on");
    let second = hand_on(&mut standing, GUARDIAN, deep, OTHER, &fits).expect("narrower");
    let third = hand_on(&mut standing, OTHER, second, 4, &|document| {
        fits(document);
        document["depth"] = json!(0);
    })
    .expect("narrower still");
    standing.by(4, third, NOW, |_| ()).expect("within all of them");
    assert_eq!(standing.states(NOW), [GrantState::Live]);
    // the last one does not end the one above, and the first ends all below
    let up = signed(
        crate::veil::consent::delegation_end::MEDIA_TYPE,
        &json!({"subject": key(ADA).did().to_string(), "gateway": "log.hospital.example", "at": NOW.to_string(), "ends": [deep.to_string()],
                "signer": {"key": key(4).did().to_string(), "role": "delegate", "authority": third.to_string()}}),
        &[&key(4)],
    );
    assert_eq!(standing.finish(&up), Err(no_authority(deep)));
    assert_eq!(standing.finish(&end_delegation(ADA, GUARDIAN, &[deep, second])).expect("those below, too").ended(), 1);
    assert_eq!(standing.states(NOW), [GrantState::Ended]);
    let states: Vec<_> = standing.delegations().iter().map(|delegated| delegated.state(NOW).word()).collect();
    assert_eq!(states, ["live", "ended", "ended", "ended"]);
}

#[test]
fn a_delegates_withdrawal_reaches_the_scope_and_no_further() {
    let mut standing = Standing::default();
    let inside = standing.own(|_| ());
    let outside = standing.own(|document| document["purposes"] = json!(["dpv:AcademicResearch", "dpv:ScientificResearch"]));
    let id = standing.delegate(GUARDIAN, |document| document["scope"]["purposes"] = json!(["dpv:AcademicResearch"]));
    let by_id = |id_: RecordId| withdraw_as(ADA, GUARDIAN, "delegate", id, "withdraws", json!([id_.to_string()]));
    assert_eq!(standing.withdraw(&by_id(outside), NOW), Err(RecordRefusal::Widens("withdraws".into())));
    assert_eq!(standing.withdraw(&withdraw_as(ADA, GUARDIAN, "delegate", id, "withdraws_up_to", json!(99)), NOW), Ok(1));
    assert_eq!(standing.states(NOW), [GrantState::Withdrawn, GrantState::Live]);
    assert_eq!(standing.withdraw(&by_id(inside), NOW), Ok(0), "sent again");
    // Signed ahead of its grant it reaches what is in the scope when it comes.
    let (seq, prev) = standing.next();
    let next = |change: &dyn Fn(&mut Value)| grant(ADA, seq, prev, change);
    let within = next(&|document| document["at"] = json!(after(1_000).to_string()));
    let beyond = next(&|document| document["purposes"] = json!(["dpv:Advertising"]));
    for record in [&within, &beyond] {
        standing.withdraw(&by_id(record.id()), NOW).expect("kept");
    }
    for (record, state) in [(within, GrantState::Withdrawn), (beyond, GrantState::Live)] {
        let mut standing = standing.clone();
        standing.submit(&record, NOW).expect("the chain goes on");
        assert_eq!(standing.states(NOW)[2], state);
    }
    // Others than the subject fill half of what is kept; three are there.
    let ids: Vec<_> =
        (3..UNSEEN_MAX as u32 / 2).map(|n| RecordId([n.to_be_bytes(); 8].concat().try_into().expect("32")).to_string()).collect();
    for chunk in ids.chunks(60) {
        standing.withdraw(&withdraw_as(ADA, GUARDIAN, "delegate", id, "withdraws", json!(chunk)), NOW).expect("room");
    }
    assert_eq!(standing.withdraw(&by_id(RecordId([0xee; 32])), NOW).expect_err("half").code(), "TV-C20");
    standing.withdraw(&withdraw_records(ADA, NOW, &[RecordId([0xee; 32])]), NOW).expect("the subject has room");
}

#[test]
fn what_a_delegate_withdrew_stays_withdrawn_when_the_delegation_ends() {
    let mut standing = Standing::default();
    let id = standing.delegate(GUARDIAN, |_| ());
    standing.own(|_| ());
    standing.withdraw(&withdraw_as(ADA, GUARDIAN, "delegate", id, "withdraws_up_to", json!(2)), NOW).expect("may");
    standing.finish(&end_delegation(ADA, ADA, &[id])).expect("hers");
    assert_eq!(standing.states(NOW), [GrantState::Withdrawn]);
    let late = withdraw_as(ADA, GUARDIAN, "delegate", id, "withdraws_up_to", json!(2));
    assert_eq!(standing.withdraw(&late, NOW), Err(no_authority(id)));
}

#[test]
fn the_subject_withdraws_what_a_delegate_granted() {
    let mut standing = Standing::default();
    let id = standing.delegate(GUARDIAN, |_| ());
    standing.by(GUARDIAN, id, NOW, |_| ()).expect("may");
    assert_eq!(standing.withdraw(&withdraw_up_to(ADA, NOW, 2), NOW), Ok(1));
    assert!(decides(&standing, NOW).is_empty());
}

/// A grant of the subject with more signatures.
fn cosigned(standing: &Standing, by: &[u8], change: impl FnOnce(&mut Value)) -> Envelope {
    let (seq, prev) = standing.next();
    let mut envelope = grant(ADA, seq, prev, change);
    by.iter().for_each(|n| envelope.countersign(&key(*n)));
    envelope
}

#[test]
fn an_agreement_asks_for_signatures_of_different_keys() {
    let mut standing = Standing::default();
    let id = standing.agree(2, &[GUARDIAN, OTHER, 4], &[], |_| ()).expect("hers");
    let short = |have| Err(RecordRefusal::TooFewSignatures { agreement: id, need: 2, have });
    for (by, have) in [(&[][..], 0), (&[GUARDIAN], 1), (&[GUARDIAN, GUARDIAN], 1), (&[GUARDIAN, 5], 1)] {
        let record = cosigned(&standing, by, |_| ());
        assert_eq!(standing.submit(&record, NOW), short(have), "{by:?}");
    }
    let record = cosigned(&standing, &[OTHER, 4], |_| ());
    standing.submit(&record, NOW).expect("two of three");
    assert_eq!(decides(&standing, NOW).len(), 1);
    assert!(deciding(&standing, NOW).lacking.is_empty());
    // forbids need nobody
    standing.own(|document| rules(document, &[("location", "forbid")]));
    // nor does a delegate's grant need fewer
    let delegation = standing.delegate(GUARDIAN, |_| ());
    assert_eq!(standing.by(GUARDIAN, delegation, NOW, |_| ()), short(1));
}

#[test]
fn an_agreement_by_category_binds_its_fields_and_no_others() {
    let mut standing = Standing::default();
    let conduct = |document: &mut Value| document["rules"][0]["match"] = json!({"category": "operator_conduct"});
    let id = standing.agree(1, &[GUARDIAN], &[], conduct).expect("hers");
    let refused = cosigned(&standing, &[], |document| rules(document, &[("operator_conduct", "keep")]));
    assert_eq!(standing.submit(&refused, NOW), Err(RecordRefusal::TooFewSignatures { agreement: id, need: 1, have: 0 }));
    standing.own(|document| rules(document, &[("operation", "keep")]));
    // Which category a path has only a schema knows: the fields are told where they are decided.
    let path =
        standing.own(|document| document["rules"] = json!([{"effect": "permit", "match": {"selector": "actions"}, "treatment": "keep"}]));
    let deciding = deciding(&standing, NOW);
    let lacking: Vec<_> = deciding.lacking.iter().filter(|lacking| lacking.record == path).collect();
    let [lacking] = lacking[..] else { panic!("{lacking:?}") };
    assert_eq!((lacking.agreement, lacking.which.and_then(|which| which.category)), (id, Some(Category::OperatorConduct)));
    assert!(deciding.rules.iter().all(|at| deciding.counts(at)), "other fields of it count");
}

#[test]
fn an_agreement_binds_what_was_granted_before_and_ends_by_the_signatures_it_asks_for() {
    let mut standing = Standing::default();
    standing.own(|_| ());
    let id = standing.agree(2, &[GUARDIAN, OTHER], &[], |_| ()).expect("hers");
    let lacks = |standing: &Standing| {
        let deciding = deciding(standing, NOW);
        deciding.rules.iter().any(|at| !deciding.counts(at))
    };
    assert!(lacks(&standing));
    let ends = |document: &mut Value| (document["rules"], document["replaces"]) = (json!([]), json!([id.to_string()]));
    assert_eq!(standing.agree(1, &[4], &[], ends), Err(RecordRefusal::TooFewSignatures { agreement: id, need: 2, have: 0 }));
    assert_eq!(standing.agree(1, &[4], &[OTHER], ends), Err(RecordRefusal::TooFewSignatures { agreement: id, need: 2, have: 1 }));
    let unknown = RecordId([9; 32]);
    let none = |document: &mut Value| document["replaces"] = json!([unknown.to_string()]);
    assert_eq!(standing.agree(1, &[4], &[], none), Err(RecordRefusal::NotLive(unknown)));
    standing.agree(1, &[4], &[GUARDIAN, OTHER], ends).expect("both");
    assert!(!lacks(&standing));
    assert!(standing.agreements()[0].replaced().is_some());
    assert_eq!(standing.agree(1, &[4], &[GUARDIAN, OTHER], ends), Err(RecordRefusal::NotLive(id)), "once");
}

#[test]
fn any_one_of_an_agreements_keys_withdraws_what_counts_by_it() {
    let mut standing = Standing::default();
    let id = standing
        .agree(2, &[GUARDIAN, OTHER, 4], &[], |document| document["rules"][0]["match"] = json!({"category": "health"}))
        .expect("hers");
    let signed_by_two = cosigned(&standing, &[GUARDIAN, OTHER], |_| ());
    let signed_by_two = standing.submit(&signed_by_two, NOW).expect("two of three");
    let others = standing.own(|document| rules(document, &[("device", "keep")]));
    let by = |by: u8, what: RecordId| withdraw_as(ADA, by, "signatory", id, "withdraws", json!([what.to_string()]));
    assert_eq!(standing.withdraw(&by(5, signed_by_two), NOW), Err(no_authority(id)), "not one of them");
    assert_eq!(standing.withdraw(&by(4, others), NOW), Err(RecordRefusal::Widens("withdraws".into())), "not under the agreement");
    let unknown = RecordId([9; 32]);
    let elsewhere = withdraw_as(ADA, 4, "signatory", unknown, "withdraws", json!([others.to_string()]));
    assert_eq!(standing.withdraw(&elsewhere, NOW), Err(no_authority(unknown)));
    assert_eq!(standing.clone().withdraw(&by(4, signed_by_two), NOW), Ok(1), "also who did not sign");
    let all = withdraw_as(ADA, GUARDIAN, "signatory", id, "withdraws_up_to", json!(9));
    assert_eq!(standing.withdraw(&all, NOW), Ok(1));
    assert_eq!(standing.states(NOW), [GrantState::Withdrawn, GrantState::Live]);
}

#[test]
fn an_operators_agreement_is_about_mandates_alone() {
    let mut standing = Standing::default();
    let id = standing.agree(1, &[OTHER], &[], |document| document["signer"]["role"] = json!("operator")).expect("the operator's");
    standing.own(|_| ());
    let (seq, prev) = standing.next();
    let mandate = |by: &[u8]| {
        let mut document: Value = serde_json::from_slice(&grant(ADA, seq, prev, |_| ()).payload).expect("json");
        document["signer"]["role"] = json!("operator");
        let keys: Vec<_> = [ADA].iter().chain(by).map(|n| key(*n)).collect();
        signed(MEDIA_TYPE, &document, &keys.iter().collect::<Vec<_>>())
    };
    assert_eq!(standing.submit(&mandate(&[]), NOW), Err(RecordRefusal::TooFewSignatures { agreement: id, need: 1, have: 0 }));
    standing.submit(&mandate(&[OTHER]), NOW).expect("signed by both");
    assert!(deciding(&standing, NOW).lacking.is_empty());
    let reader = Spiffe::parse("spiffe://lab.example/reader").expect("good");
    let who = RecipientIdentity { spiffe: &reader, did: None, stated_key: None };
    let mandates = mandate_deciding([&standing], &who, &purpose("dpv:AcademicResearch").expect("a term"), NOW);
    assert!(mandates.rules.len() == 1 && mandates.lacking.is_empty());
    // what a record in the role of the subject says is no mandate, and so for its agreements
    let own = |document: &mut Value| document["replaces"] = json!([id.to_string()]);
    assert_eq!(standing.agree(1, &[4], &[OTHER], own), Err(RecordRefusal::NotLive(id)));
    assert!(consent(ADA, 1, None, |_| ()).get().by.role == SignerRole::Subject);
}

#[test]
fn each_thing_wrong_with_an_agreement_refuses_it() {
    let did = |n: u8| key(n).did().to_string();
    let read = |change: &dyn Fn(&mut Value)| {
        let envelope = agreement(ADA, 1, None, 1, &[GUARDIAN], change);
        super::super::envelope::Signed::<Agreement>::new(&envelope).and_then(|signed| signed.verify(&super::super::testing::gateway()))
    };
    let words: Vec<_> = read(&|document| document["rules"][0]["match"] = json!({"category": "operator_conduct"}))
        .expect("good")
        .get()
        .rules
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(words, ["1 of 1 sign permits of operator_conduct data"]);
    for (member, value, code) in [
        ("rules", json!([]), "TV-C07"),
        ("rules", json!([{"need": 0, "of": [did(2)]}]), "TV-C07"),
        ("rules", json!([{"need": 2, "of": [did(2)]}]), "TV-C07"),
        ("rules", json!([{"need": 1, "of": [did(2), did(2)]}]), "TV-C07"),
        ("rules", json!([{"need": 1, "of": []}]), "TV-C07"),
        ("rules", json!([{"need": 1, "of": (1..=16).map(did).collect::<Vec<_>>()}]), "TV-C07"),
        ("rules", json!([{"need": 1, "of": ["z6Mk"]}]), "TV-C07"),
        ("rules", json!([{"need": 1, "of": [did(2)], "match": {}}]), "TV-C07"),
        ("rules", json!(vec![json!({"need": 1, "of": [did(2)]}); 17]), "TV-C07"),
        ("rules", json!([{"need": 300, "of": [did(2)]}]), "TV-C06"),
        ("replaces", json!(["ab"]), "TV-C07"),
        ("replaces", json!(vec!["ab".repeat(32); 65]), "TV-C07"),
        ("seq", json!(0), "TV-C07"),
        ("subject", json!(did(2)), "TV-C11"),
        ("signer", json!({"key": did(2), "role": "delegate", "authority": "ab".repeat(32)}), "TV-C07"),
        ("at", json!("now"), "TV-C07"),
        ("subject", json!("z6Mk"), "TV-C07"),
        ("gateway", json!(""), "TV-C07"),
        ("until", json!("then"), "TV-C06"),
    ] {
        assert_eq!(read(&|document| document[member] = value.clone()).expect_err(member).code(), code, "{member} = {value}");
    }
}

#[test]
fn an_agreement_stands_in_the_chain_and_replaces_only_what_is_in_force() {
    let mut standing = Standing::default();
    let first = standing.agree(1, &[GUARDIAN], &[], |_| ()).expect("the subject's word");
    let out_of_order = verified::<Agreement>(&agreement(ADA, 1, None, 1, &[OTHER], |_| ()));
    assert_eq!(standing.check_agreement(&out_of_order, NOW).expect_err("order").code(), "TV-C14");
    let replaces = |id: RecordId| move |document: &mut Value| document["replaces"] = json!([id.to_string()]);
    let unknown = RecordId([9; 32]);
    assert_eq!(standing.agree(1, &[OTHER], &[], replaces(unknown)), Err(RecordRefusal::NotLive(unknown)));
    standing.agree(1, &[OTHER], &[GUARDIAN], replaces(first)).expect("with the signature that it asks for");
    assert_eq!(standing.agree(1, &[OTHER], &[GUARDIAN], replaces(first)), Err(RecordRefusal::NotLive(first)), "replaced before");
}
