//! One rule a test, by hand; `model_tests` holds all of them against every order of a small alphabet.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::testing::*;
use super::*;
use crate::veil::consent;
use crate::veil::consent::envelope::{Envelope, Payload, Signed};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::testing::{self, HOUR, NOW, after, gateway, key, other_gateway};
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{RecordId, SchemaName, UnixMs};
use crate::veil::terms::Treatment;

/// Inside the release, before a gag of these tests ends.
fn within() -> UnixMs {
    after(2 * HOUR)
}

fn take(case: &mut Case, envelope: &Envelope) -> Result<RecordId, &'static str> {
    take_at(case, envelope, NOW)
}

fn take_at(case: &mut Case, envelope: &Envelope, now: UnixMs) -> Result<RecordId, &'static str> {
    case.take(record(envelope), now).map(|()| envelope.id()).map_err(|refused| refused.code())
}

fn may(case: &Case, now: UnixMs) -> Result<Warrant, &'static str> {
    case.warrant(now).map_err(|refused| refused.code())
}

/// A case in which all is well: reviewed, told, approved by A and C.
fn approved(change: impl FnOnce(&mut Value)) -> Case {
    let mut case = case(change);
    let stages = review(&mut case);
    let id = case.id();
    take(&mut case, &notice(id, CLERK)).expect("a clerk's");
    take(&mut case, &comply(id, &stages, &[A, C], |_| ())).expect("approved");
    case
}

#[test]
fn with_three_stages_met_two_approvers_and_notice_a_warrant_is_made_and_says_no_more_than_was_demanded() {
    let case = approved(|_| ());
    assert_eq!(may(&case, NOW), Err("TV-Q18"));
    let warrant = may(&case, after(FROM)).expect("in time");
    assert_eq!((warrant.demand(), warrant.recipient().as_str(), warrant.once()), (case.id(), AGENCY, false));
    assert_eq!((warrant.from(), warrant.until()), (after(FROM), after(UNTIL)));
    assert_eq!(warrant.subjects(), &BTreeSet::from([did(SUBJECT)]));
    let deciding = warrant.deciding(&SchemaName::new(SCHEMA));
    let paths: Vec<_> = deciding.rules.iter().map(|at| at.rule.selector.as_ref().map_or("any", |path| path.as_str())).collect();
    assert_eq!(paths, ["vitals", "note"]);
    assert_eq!(deciding.valid_until, after(UNTIL));
    assert!(warrant.deciding(&SchemaName::new("twinveil.sample.TurbineFrame")).rules.is_empty(), "another schema");
    assert_eq!(case.standing(within()).missing, []);
    assert_eq!(case.standing(within()).release, Ok(after(UNTIL)));
}

#[test]
fn a_warrant_does_not_outlive_its_period() {
    let case = approved(|_| ());
    let warrant = may(&case, after(UNTIL - 1)).expect("the last instant");
    assert_eq!(case.holds(&warrant, after(UNTIL - 1)), Ok(()));
    assert_eq!(may(&case, after(UNTIL)), Err("TV-Q19"));
    assert_eq!(case.holds(&warrant, after(UNTIL)), Err(Refused::Over { until: after(UNTIL) }));
}

#[test]
fn a_clock_that_goes_back_does_not_undo_what_happened() {
    let mut case = approved(|_| ());
    let (id, decision) = (case.id(), case.decision().expect("decided").id());
    take_at(&mut case, &release(id, decision, GATEWAY_KEY, |_| ()), after(UNTIL)).expect("the gateway's");
    assert_eq!(may(&case, within()), Err("TV-Q19"), "the period was over when the last record came");
    // nor does a gag come back
    let mut gagged = self::case(|said| said["gag"] = gag(Some(GAG_ENDS)));
    let stages = review(&mut gagged);
    let id = gagged.id();
    take(&mut gagged, &comply(id, &stages, &[A, C], deferred)).expect("approved");
    assert!(may(&gagged, within()).is_ok() && !gagged.tells(within()));
    let told = challenge(id, CLERK, "dismissed", None);
    take_at(&mut gagged, &told, after(GAG_ENDS)).expect("a clerk's");
    assert_eq!(may(&gagged, within()), Err("TV-Q17"));
    assert!(gagged.tells(within()) && gagged.standing(within()).missing == [Missing::NoticeAt(after(GAG_ENDS))]);
}

#[test]
fn without_notice_nothing_leaves_unless_a_gag_with_an_end_defers_it() {
    for (gag_until, deferral, at_decision, then) in [
        (None, false, Ok(()), Err("TV-Q17")),
        (None, true, Err("TV-Q15"), Err("TV-Q20")),
        (Some(None), false, Ok(()), Err("TV-Q17")),
        (Some(None), true, Err("TV-Q15"), Err("TV-Q20")),
        (Some(Some(GAG_ENDS)), false, Ok(()), Err("TV-Q17")),
        (Some(Some(GAG_ENDS)), true, Ok(()), Ok(after(GAG_ENDS))),
        // deferred beyond the gag, or short of it
        (Some(Some(GAG_ENDS + 1)), true, Err("TV-Q15"), Err("TV-Q20")),
        (Some(Some(GAG_ENDS - 1)), true, Err("TV-Q15"), Err("TV-Q20")),
    ] {
        let mut case = case(|said| {
            if let Some(until) = gag_until {
                said["gag"] = gag(until);
            }
        });
        let stages = review(&mut case);
        let change = |said: &mut Value| {
            if deferral {
                deferred(said)
            }
        };
        let id = case.id();
        assert_eq!(take(&mut case, &comply(id, &stages, &[A, C], change)).map(drop), at_decision, "{gag_until:?} {deferral}");
        assert_eq!(may(&case, within()).map(|warrant| warrant.until()), then, "{gag_until:?} {deferral}");
    }
}

#[test]
fn what_was_deferred_ends_with_the_gag_and_goes_on_when_they_were_told() {
    let mut case = case(|said| said["gag"] = gag(Some(GAG_ENDS)));
    let stages = review(&mut case);
    let id = case.id();
    take(&mut case, &comply(id, &stages, &[A, C], deferred)).expect("approved");
    let warrant = may(&case, after(GAG_ENDS - 1)).expect("untold, as nobody may tell");
    assert_eq!(case.standing(within()).next, after(GAG_ENDS));
    assert_eq!(may(&case, after(GAG_ENDS)), Err("TV-Q17"));
    assert_eq!(case.holds(&warrant, after(GAG_ENDS)), Err(Refused::Over { until: after(GAG_ENDS) }));
    let own = notice(id, GATEWAY_KEY);
    assert_eq!(take_at(&mut case, &own, after(GAG_ENDS - 1)), Err("TV-Q25"));
    assert!(!case.tells(after(GAG_ENDS - 1)) && case.tells(after(GAG_ENDS)));
    take_at(&mut case, &own, after(GAG_ENDS)).expect("the gag has ended");
    assert!(!case.tells(after(GAG_ENDS)));
    assert_eq!(may(&case, after(GAG_ENDS)).expect("told").until(), after(UNTIL));
}

#[test]
fn a_gag_that_has_ended_defers_nothing() {
    let mut case = case(|said| said["gag"] = gag(Some(GAG_ENDS)));
    let stages = review(&mut case);
    let decision = comply(case.id(), &stages, &[A, C], deferred);
    assert_eq!(take_at(&mut case, &decision, after(GAG_ENDS)), Err("TV-Q15"));
    let told = notice(case.id(), GATEWAY_KEY);
    take_at(&mut case, &told, after(GAG_ENDS)).expect("the gag has ended");
    assert_eq!(take_at(&mut case, &decision, after(GAG_ENDS - 1)), Err("TV-Q15"), "time does not go back");
}

#[test]
fn a_gag_without_an_end_is_told_of_by_a_clerk_or_by_nobody() {
    let mut case = case(|said| said["gag"] = gag(None));
    assert_eq!(case.standing(NOW).missing.last(), Some(&Missing::Notice));
    let id = case.id();
    assert_eq!(take_at(&mut case, &notice(id, GATEWAY_KEY), UnixMs(i64::MAX - 1)), Err("TV-Q25"));
    assert!(!case.tells(UnixMs(i64::MAX - 1)));
    take(&mut case, &notice(id, CLERK)).expect("a clerk's");
}

#[test]
fn stages_are_answered_by_who_is_registered_for_it() {
    let id = case(|_| ()).id();
    for (by, n, expected) in [
        (A, 1, None),
        (A_TOO, 3, None),
        (CLERK, 1, Some("TV-Q03")),
        (C, 2, Some("TV-Q03")),
        (C, 3, Some("TV-Q03")),
        (GONE, 1, Some("TV-Q03")),
        (STRANGER, 1, Some("TV-Q02")),
        (GATEWAY_KEY, 1, Some("TV-Q02")),
    ] {
        assert_eq!(take(&mut case(|_| ()), &stage(id, by, n, true, |_| ())).err(), expected, "{by} {n}");
    }
    let only = |roles: &[Role]| {
        let mut persons = persons();
        persons[1].roles = roles.iter().copied().collect();
        let mut case = case(|_| ());
        case.set_register(Arc::new(Register::new(did(GATEWAY_KEY), persons).expect("a register")));
        [1, 2, 3].map(|n| take(&mut case, &stage(id, A, n, true, |_| ())).is_ok())
    };
    assert_eq!(only(&[Role::Counsel]), [true, true, false]);
    assert_eq!(only(&[Role::Analyst]), [false, true, true]);
    assert_eq!(only(&[Role::Approver, Role::Clerk]), [false, false, false]);
}

#[test]
fn a_demand_is_filed_by_a_clerk_and_a_challenge_and_a_notice_too() {
    let said = said_demand(|_| ());
    for (by, expected) in [(CLERK, None), (C, None), (A, Some("TV-Q03")), (STRANGER, Some("TV-Q02"))] {
        let envelope = signed::<Demand>(by, &said).expect("good");
        let verified = Signed::<Demand>::new(&envelope).and_then(|signed| signed.verify(&gateway())).expect("verifies");
        let opened = Case::open(verified, Some(&about(&[SUBJECT])), register(), NOW);
        assert_eq!(opened.err().map(|refused| refused.code()), expected, "{by}");
        let mut case = case(|_| ());
        let id = case.id();
        assert_eq!(take(&mut case, &challenge(id, by, "pending", None)).err(), expected, "{by}");
        assert_eq!(take(&mut case, &notice(id, by)).err(), expected, "{by}");
    }
}

#[test]
fn the_list_of_subjects_is_the_one_that_the_demand_commits_to() {
    for wrong in [about(&[2]), about(&[SUBJECT, 2]), about(&[]), About { secret: Secret::take(&mut [1; 32]), ..about(&[SUBJECT]) }] {
        let opened = Case::open(demand(|_| ()), Some(&wrong), register(), NOW);
        assert_eq!(opened.expect_err("another list").code(), "TV-Q23");
    }
    let mut case = Case::open(demand(|_| ()), None, register(), NOW).expect("the list may come later, or not at all");
    assert_eq!(case.standing(NOW).missing.first(), Some(&Missing::Subjects));
    let stages = review(&mut case);
    let id = case.id();
    assert_eq!(take(&mut case, &comply(id, &stages, &[A, C], |_| ())), Err("TV-Q23"));
    assert!(take(&mut case, &refuse(id, &stages, &[A, C], |_| ())).is_ok());
}

#[test]
fn a_stage_is_answered_once_and_replaced_by_name_until_the_decision() {
    let mut case = case(|_| ());
    let id = case.id();
    let first = stage(id, A, 1, true, |_| ());
    take(&mut case, &first).expect("in its place");
    assert_eq!(take(&mut case, &first), Err("TV-Q04"), "the same");
    let other = stage(id, B, 1, false, |_| ());
    assert_eq!(take(&mut case, &other), Err("TV-Q05"), "a conflicting one");
    let second = stage(id, B, 1, false, |said| said["replaces"] = json!(first.id().to_string()));
    take(&mut case, &second).expect("by name");
    assert_eq!(case.answer(Question::NoChallenge).map(|stage| stage.id()), Some(second.id()));
    let again = stage(id, A_TOO, 1, true, |said| said["replaces"] = json!(first.id().to_string()));
    assert_eq!(take(&mut case, &again), Err("TV-Q06"), "what was replaced is not replaced again");
    let of_another = stage(id, B, 2, true, |said| said["replaces"] = json!(second.id().to_string()));
    assert_eq!(take(&mut case, &of_another), Err("TV-Q06"), "of another question");
    take(&mut case, &refuse(id, &[second.id()], &[A, C], |_| ())).expect("decided");
    let late = stage(id, A, 1, true, |said| said["replaces"] = json!(second.id().to_string()));
    assert_eq!(take(&mut case, &late), Err("TV-Q07"));
}

#[test]
fn a_decision_names_the_stages_that_are_in_force_all_of_them_and_no_others() {
    let mut case = case(|_| ());
    let mut stages = review(&mut case);
    let id = case.id();
    let second = stage(id, A, 2, true, |said| said["replaces"] = json!(stages[1].to_string()));
    take(&mut case, &second).expect("by name");
    assert_eq!(take(&mut case, &comply(id, &stages, &[A, C], |_| ())), Err("TV-Q08"), "one was replaced");
    assert_eq!(take(&mut case, &comply(id, &stages[..1], &[A, C], |_| ())), Err("TV-Q08"));
    assert_eq!(take(&mut case, &refuse(id, &[], &[A, C], |_| ())), Err("TV-Q08"));
    stages[1] = second.id();
    assert!(take(&mut case, &comply(id, &stages, &[A, C], |_| ())).is_ok());
}

#[test]
fn nothing_is_released_with_a_stage_unanswered_or_not_met() {
    for missing in 1..=3u8 {
        for answered in [false, true] {
            let mut case = case(|_| ());
            let id = case.id();
            let mut stages = Vec::new();
            for n in 1..=3 {
                if n != missing || answered {
                    stages.push(take(&mut case, &stage(id, A, n, n != missing, |_| ())).expect("in its place"));
                }
            }
            assert_eq!(take(&mut case, &comply(id, &stages, &[B, C], |_| ())), Err("TV-Q12"), "{missing} {answered}");
            assert!(take(&mut case, &refuse(id, &stages, &[B, C], |_| ())).is_ok(), "to refuse is always allowed");
        }
    }
}

#[test]
fn two_different_persons_approve_one_of_whom_wrote_nothing_in_the_case() {
    for (by, expected) in [
        (&[A, C][..], None),
        (&[C, B], None),
        (&[A_TOO, C], None),
        (&[A, A_TOO, C], None),
        (&[C], Some("TV-Q09")),
        // one person with two keys
        (&[A, A_TOO], Some("TV-Q09")),
        (&[A, A], Some("TV-Q09")),
        // both wrote stages
        (&[A, B], Some("TV-Q10")),
        (&[A, A_TOO, B], Some("TV-Q10")),
        (&[CLERK, C], Some("TV-Q03")),
        (&[C, A, CLERK], Some("TV-Q03")),
        (&[C, GONE], Some("TV-Q03")),
        (&[C, STRANGER], Some("TV-Q02")),
        (&[C, GATEWAY_KEY], Some("TV-Q02")),
    ] {
        let mut case = case(|_| ());
        let stages = review(&mut case);
        let id = case.id();
        assert_eq!(take(&mut case, &comply(id, &stages, by, |_| ())).err(), expected, "{by:?}");
        assert_eq!(take(&mut case, &refuse(id, &stages, by, |_| ())).err(), expected.or(Some("TV-Q07")), "{by:?}");
    }
    // C wrote, too: the notice.
    let mut case = case(|_| ());
    let stages = review(&mut case);
    let id = case.id();
    take(&mut case, &notice(id, C)).expect("a clerk, too");
    assert_eq!(take(&mut case, &comply(id, &stages, &[A, C], |_| ())), Err("TV-Q10"));
    // What was replaced was written all the same.
    let mut case = self::case(|_| ());
    let first = take(&mut case, &stage(id, B, 1, true, |_| ())).expect("in its place");
    let again = take(&mut case, &stage(id, A, 1, true, |said| said["replaces"] = json!(first.to_string()))).expect("by name");
    assert_eq!(take(&mut case, &refuse(id, &[again], &[A, B], |_| ())), Err("TV-Q10"));
}

#[test]
fn a_forged_approval_is_none() {
    let mut case = case(|_| ());
    let stages = review(&mut case);
    let mut forged = comply(case.id(), &stages, &[A, C], |_| ());
    forged.signatures[1].sig[3] ^= 1;
    assert_eq!(take(&mut case, &forged), Err("TV-Q09"));
    let mut moved = comply(case.id(), &stages, &[A], |_| ());
    let of_another = refuse(case.id(), &stages, &[A, C], |_| ());
    moved.signatures.push(of_another.signatures[1].clone());
    assert_eq!(take(&mut case, &moved), Err("TV-Q09"), "a signature over other bytes");
    let mut renamed = comply(case.id(), &stages, &[A, STRANGER], |_| ());
    renamed.signatures[1].keyid = did(C).to_string();
    assert_eq!(take(&mut case, &renamed), Err("TV-Q09"), "a stranger under the name of an approver");
}

#[test]
fn who_lost_their_roles_approves_nothing_new_and_a_key_that_is_gone_takes_its_approvals_along() {
    let mut approved = approved(|_| ());
    let mut persons = persons();
    persons[3].roles.clear();
    approved.set_register(Arc::new(Register::new(did(GATEWAY_KEY), persons.clone()).expect("a register")));
    assert!(may(&approved, within()).is_ok(), "approved when C might");
    let mut other = case(|_| ());
    other.set_register(Arc::new(Register::new(did(GATEWAY_KEY), persons.clone()).expect("a register")));
    let stages = review(&mut other);
    let id = other.id();
    assert_eq!(take(&mut other, &comply(id, &stages, &[A, C], |_| ())), Err("TV-Q03"));
    persons.remove(3);
    approved.set_register(Arc::new(Register::new(did(GATEWAY_KEY), persons.clone()).expect("a register")));
    assert_eq!(may(&approved, within()), Err("TV-Q02"));
    // A becomes C's other name: then one person approved.
    persons[1].keys.push(did(C));
    approved.set_register(Arc::new(Register::new(did(GATEWAY_KEY), persons).expect("a register")));
    assert_eq!(may(&approved, within()), Err("TV-Q09"));
}

#[test]
fn what_was_taken_before_is_taken_again_whoever_has_left_since() {
    let old = approved(|_| ());
    let mut persons = persons();
    persons[1].roles.clear();
    persons[0].roles.clear();
    let fewer = Arc::new(Register::new(did(GATEWAY_KEY), persons).expect("a register"));
    let mut again = Case::reopen((*old.demand).clone(), Some(&about(&[SUBJECT])), fewer, NOW).expect("opened before");
    let stages = old.stages().iter().map(|filed| Record::Stage((*filed.record).clone()));
    let notices = old.notices().iter().map(|filed| Record::Notice((*filed.record).clone()));
    let decision = old.decision().map(|filed| Record::Decision((*filed.record).clone()));
    for record in stages.chain(notices).chain(decision) {
        assert!(again.check(&record, NOW).is_err() || matches!(record, Record::Stage(_)), "nobody of them may now");
        again.retake(record, NOW).expect("taken before");
    }
    assert_eq!(again.warrant(within()), old.warrant(within()));
    // Its place it must have all the same.
    let stray = stage(RecordId([9; 32]), A, 1, true, |_| ());
    assert_eq!(again.retake(record(&stray), NOW).expect_err("another case").code(), "TV-Q01");
}

#[test]
fn what_nobody_may_release_is_refused_whatever_the_stages_say() {
    let data = |said: &mut Value, asks: &str| said["asks"] = json!(asks);
    let nothing = |said: &mut Value, asks: &str| {
        data(said, asks);
        for member in ["about", "fields", "period"] {
            said.as_object_mut().expect("an object").remove(member);
        }
    };
    for asks in Asks::ALL {
        let mut case = if asks.is_redesign() {
            Case::open(demand(|said| nothing(said, asks.word())), None, register(), NOW).expect("a case")
        } else {
            case(|said| data(said, asks.word()))
        };
        let stages = review(&mut case);
        let id = case.id();
        take(&mut case, &notice(id, CLERK)).expect("a clerk's");
        let expected = if *asks == Asks::LiveData { None } else { Some("TV-Q11") };
        assert_eq!(take(&mut case, &comply(id, &stages, &[A, C], |_| ())).err(), expected, "{asks}");
        assert_eq!(may(&case, within()).is_ok(), expected.is_none(), "{asks}");
    }
    let everybody = demand(|said| {
        said.as_object_mut().expect("an object").remove("about");
        said["everybody"] = json!(true);
    });
    let mut case = Case::open(everybody, None, register(), NOW).expect("a case");
    let stages = review(&mut case);
    let id = case.id();
    assert_eq!(take(&mut case, &comply(id, &stages, &[A, C], |_| ())), Err("TV-Q11"));
}

#[test]
fn what_is_released_lies_within_what_was_demanded() {
    let field = |path: &str| json!({"schema": SCHEMA, "path": path});
    let part = |said: &mut Value, fields: Value| {
        said["outcome"] = json!("comply-in-part");
        said["reasons"] = json!(["overbroad"]);
        said["fields"] = fields;
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut case = case(|_| ());
        let stages = review(&mut case);
        let id = case.id();
        take(&mut case, &comply(id, &stages, &[A, C], change)).err()
    };
    let period = |from: i64, until: i64| json!({"from": after(from).to_string(), "until": after(until).to_string()});
    assert_eq!(with(&|said| part(said, json!([field("vitals.heart_rate_bpm")]))), None, "below a demanded one");
    for beyond in
        [json!([field("vitals"), field("identity")]), json!([field("vital")]), json!([{"schema": "other.Frame", "path": "vitals"}])]
    {
        assert_eq!(with(&|said| part(said, beyond.clone())), Some("TV-Q13"), "{beyond}");
    }
    for (from, until) in [(FROM - 1, UNTIL), (FROM, UNTIL + 1), (UNTIL, UNTIL + HOUR)] {
        let beyond = |said: &mut Value| {
            part(said, json!([field("vitals")]));
            said["period"] = period(from, until);
        };
        assert_eq!(with(&beyond), Some("TV-Q13"), "{from} {until}");
    }
    // What the outcome says is so.
    assert_eq!(with(&|said| part(said, json!([field("vitals"), field("note")]))), Some("TV-Q28"), "all of it is no part");
    assert_eq!(with(&|said| said["fields"] = json!([field("vitals")])), Some("TV-Q28"), "a part is not all of it");
    assert_eq!(with(&|said| said["period"] = period(FROM, UNTIL - 1)), Some("TV-Q28"), "a part of the time is not all of it");
}

#[test]
fn a_demand_without_an_end_is_not_complied_with_in_full() {
    let endless = |said: &mut Value| drop(said.as_object_mut().expect("an object").remove("period"));
    for (outcome, expected) in [("comply", Some("TV-Q28")), ("comply-in-part", None)] {
        let mut case = case(endless);
        let stages = review(&mut case);
        let decision = comply(case.id(), &stages, &[A, C], |said| {
            said["outcome"] = json!(outcome);
            if outcome == "comply-in-part" {
                said["reasons"] = json!(["overbroad"]);
            }
        });
        assert_eq!(take(&mut case, &decision).err(), expected, "{outcome}");
    }
}

#[test]
fn while_a_challenge_is_pending_or_upheld_nothing_leaves() {
    let mut case = approved(|_| ());
    let id = case.id();
    let warrant = may(&case, within()).expect("unchallenged");
    let pending = challenge(id, CLERK, "pending", None);
    take(&mut case, &pending).expect("at any time");
    assert_eq!(may(&case, within()), Err("TV-Q16"));
    assert_eq!(case.holds(&warrant, within()), Err(Refused::Challenged(pending.id())));
    assert_eq!(case.standing(within()).missing, [Missing::Ruling(pending.id())]);
    assert_eq!(Missing::Ruling(pending.id()).whose(), Whose::Court);
    let dismissed = challenge(id, CLERK, "dismissed", Some(pending.id()));
    take(&mut case, &dismissed).expect("by name");
    assert_eq!(case.holds(&warrant, within()), Ok(()));
    let upheld = challenge(id, C, "upheld", Some(dismissed.id()));
    take(&mut case, &upheld).expect("an appeal");
    assert_eq!(may(&case, within()), Err("TV-Q16"));
    assert_eq!(take(&mut case, &challenge(id, CLERK, "dismissed", Some(upheld.id()))), Err("TV-Q26"), "what was upheld stays so");
    assert_eq!(take(&mut case, &challenge(id, CLERK, "dismissed", Some(pending.id()))), Err("TV-Q04"), "the very same");
    assert_eq!(take(&mut case, &challenge(id, C, "dismissed", Some(pending.id()))), Err("TV-Q06"), "replaced already");
    take(&mut case, &challenge(id, CLERK, "dismissed", None)).expect("another challenge");
    assert_eq!(may(&case, within()), Err("TV-Q16"), "one that was dismissed does not outweigh one that was upheld");
    // Nor is a release decided meanwhile.
    let mut case = self::case(|_| ());
    let stages = review(&mut case);
    take(&mut case, &challenge(id, CLERK, "pending", None)).expect("at any time");
    assert_eq!(take(&mut case, &comply(id, &stages, &[A, C], |_| ())), Err("TV-Q16"));
}

#[test]
fn records_of_another_case_or_gateway_are_not_taken() {
    let (mut one, two) = (case(|_| ()), case(|said| said["emergency"] = json!(true)));
    let stages = review(&mut one);
    for envelope in [
        stage(two.id(), A, 1, true, |_| ()),
        comply(two.id(), &stages, &[A, C], |_| ()),
        notice(two.id(), CLERK),
        challenge(two.id(), CLERK, "pending", None),
        release(two.id(), RecordId([7; 32]), GATEWAY_KEY, |_| ()),
    ] {
        assert_eq!(take(&mut one, &envelope), Err("TV-Q01"), "{}", envelope.payload_type);
        assert_eq!(Record::verify(&envelope, &other_gateway()).expect_err("another's").code(), "TV-C12");
    }
    let mut of_consent = notice(one.id(), CLERK);
    of_consent.payload_type = "application/vnd.twinveil.release+json;v=1".into();
    assert_eq!(Record::verify(&of_consent, &gateway()).expect_err("no record of a case").code(), "TV-C03");
    of_consent.payload_type = Stage::MEDIA_TYPE.into();
    assert_eq!(Record::verify(&of_consent, &gateway()).expect_err("signed under another type").code(), "TV-C04");
}

#[test]
fn two_demands_about_the_same_subject_do_not_help_each_other() {
    let mut one = approved(|_| ());
    let mut two = case(|said| said["emergency"] = json!(true));
    let of_two = review(&mut two);
    let id = two.id();
    take(&mut two, &notice(id, CLERK)).expect("a clerk's");
    let narrower = comply(id, &of_two, &[A, C], |said| {
        said["outcome"] = json!("comply-in-part");
        said["reasons"] = json!(["overbroad"]);
        said["fields"] = json!([{"schema": SCHEMA, "path": "note"}]);
    });
    take(&mut two, &narrower).expect("approved");
    let (wide, narrow) = (may(&one, within()).expect("one"), may(&two, within()).expect("two"));
    assert_eq!((wide.fields().len(), narrow.fields().len()), (2, 1));
    assert_eq!(two.holds(&wide, within()), Err(Refused::OtherCase(one.id())), "a warrant is held against its own case");
    let id = one.id();
    take(&mut one, &challenge(id, CLERK, "pending", None)).expect("at any time");
    assert!(one.holds(&wide, within()).is_err() && two.holds(&narrow, within()).is_ok());
}

/// A case that rests on the subject's own consent: no stages, told, approved by A and B.
fn consented(change: impl FnOnce(&mut Value)) -> Result<Case, &'static str> {
    let mut case = case(|_| ());
    let id = case.id();
    take(&mut case, &notice(id, CLERK)).expect("a clerk's");
    let own = own_consent(SUBJECT, id, change);
    case.consent(Arc::clone(&own), NOW).map_err(|refused| refused.code())?;
    take(&mut case, &comply(id, &[], &[A, B], |said| said["consent"] = json!(own.id().to_string())))?;
    Ok(case)
}

#[test]
fn the_subjects_own_consent_stands_for_the_stages_once() {
    let mut case = consented(|_| ()).expect("good");
    let warrant = may(&case, within()).expect("by consent");
    assert!(warrant.once() && warrant.consent().is_some());
    case.begin_once(within());
    assert_eq!(may(&case, within()), Err("TV-Q22"), "no second one begins");
    assert_eq!(case.holds(&warrant, within()), Ok(()), "the first goes on");
    let (id, decision) = (case.id(), case.decision().expect("decided").id());
    take_at(&mut case, &release(id, decision, GATEWAY_KEY, |_| ()), within()).expect("the gateway's");
    assert_eq!(case.holds(&warrant, within()).expect_err("it ended").code(), "TV-Q22");
    assert_eq!(may(&case, within()), Err("TV-Q22"));
}

#[test]
fn a_release_that_nobody_saw_begin_uses_the_consent_all_the_same() {
    let mut case = consented(|_| ()).expect("good");
    let (id, decision) = (case.id(), case.decision().expect("decided").id());
    take_at(&mut case, &release(id, decision, GATEWAY_KEY, |_| ()), within()).expect("the gateway's");
    assert_eq!(may(&case, within()), Err("TV-Q22"));
}

#[test]
fn a_consent_is_withdrawn_and_expires_like_any_other() {
    let mut case = consented(|_| ()).expect("good");
    let warrant = may(&case, within()).expect("by consent");
    case.consent_ended(warrant.consent().expect("by consent"), within());
    assert_eq!(may(&case, within()), Err("TV-Q14"));
    assert_eq!(case.holds(&warrant, within()).expect_err("withdrawn").code(), "TV-Q14");
    let short = consented(|document| document["expires"] = json!(after(3 * HOUR).to_string())).expect("good");
    assert_eq!(may(&short, within()).expect("in time").until(), after(3 * HOUR));
    assert_eq!(may(&short, after(3 * HOUR)), Err("TV-Q14"));
    let later = consented(|document| document["not_before"] = json!(after(3 * HOUR).to_string())).expect("good");
    assert_eq!(may(&later, within()), Err("TV-Q18"));
    assert_eq!(may(&later, after(3 * HOUR)).expect("begun").from(), after(3 * HOUR));
}

#[test]
fn a_case_follows_the_standing_of_its_subjects() {
    use testing::{agreement, verified, withdraw_records, withdrawal};
    let mut case = case(|_| ());
    let id = case.id();
    let mut standing = consent::standing::Standing::default();
    case.follow(&standing, NOW);
    let own = own_consent(SUBJECT, id, |_| ());
    standing.check(&own, NOW).expect("the next of the chain");
    standing.apply((*own).clone(), NOW);
    case.follow(&standing, NOW);
    take(&mut case, &notice(id, CLERK)).expect("a clerk's");
    take(&mut case, &comply(id, &[], &[A, B], |said| said["consent"] = json!(own.id().to_string()))).expect("it is there");
    assert!(may(&case, within()).is_ok());
    // An agreement that asks for another signature, for fields that only a schema can tell: when in doubt it is missing.
    let mut bound = case.clone();
    let mut other = standing.clone();
    let health =
        agreement(SUBJECT, 2, other.head().record, 1, &[2], |document| document["rules"][0]["match"] = json!({"category": "health"}));
    other.apply_agreement(verified(&health), NOW);
    bound.follow(&other, within());
    assert_eq!(may(&bound, within()), Err("TV-Q14"));
    // Withdrawn, it stays so, also where an older reading comes late.
    let before = standing.clone();
    let ending = standing.check_withdrawal(&withdrawal(&withdraw_records(SUBJECT, NOW, &[own.id()])), within()).expect("theirs");
    standing.apply_withdrawal(ending);
    case.follow(&standing, within());
    assert_eq!(may(&case, within()), Err("TV-Q14"));
    case.follow(&before, within());
    assert_eq!(may(&case, within()), Err("TV-Q14"));
}

#[test]
fn a_consent_goes_no_further_than_its_words() {
    let rules = |rules: Value| consented(|document| document["rules"] = rules).err();
    let permit = |path: &str, treatment: &str| json!({"effect": "permit", "match": {"selector": path}, "treatment": treatment});
    assert_eq!(rules(json!([permit("vitals", "keep")])), Some("TV-Q13"), "not the note");
    assert_eq!(rules(json!([permit("vitals.heart_rate_bpm", "keep"), permit("note", "keep")])), Some("TV-Q13"), "not all vitals");
    let to = |spiffe: &str| consented(|document| document["recipients"] = json!([{"spiffe": spiffe}])).err();
    assert_eq!((to(AGENCY), to("spiffe://agency.example/other")), (None, Some("TV-Q13")));
    // The treatment is the subject's.
    let coarse = consented(|document| document["rules"] = json!([permit("vitals", "generalize"), permit("note", "keep")])).expect("good");
    let warrant = may(&coarse, within()).expect("by consent");
    let deciding = warrant.deciding(&SchemaName::new(SCHEMA));
    let treatments: Vec<_> = deciding.rules.iter().map(|at| at.rule.treatment).collect();
    assert_eq!(treatments, [Treatment::Generalize, Treatment::Keep]);
}

#[test]
fn a_consent_that_is_not_the_subjects_own_for_this_demand_is_none() {
    let mut case = case(|_| ());
    let id = case.id();
    let other = RecordId([9; 32]);
    assert_eq!(case.consent(own_consent(SUBJECT, other, |_| ()), NOW).expect_err("another demand").code(), "TV-Q01");
    assert_eq!(case.consent(own_consent(2, id, |_| ()), NOW).expect_err("not a subject of it").code(), "TV-Q14");
    assert_eq!(case.consent(Arc::new(testing::consent(SUBJECT, 1, None, |_| ())), NOW).expect_err("an ordinary one").code(), "TV-Q14");
    // A delegate's is not even read.
    let delegated = testing::delegated(SUBJECT, 3, RecordId([8; 32]), 2, Some(other), |document| {
        document["demand"] = json!(id.to_string());
        document["max_uses"] = json!(1);
        document["rules"] = json!([{"effect": "permit", "match": {"selector": "vitals"}, "treatment": "keep"}]);
    });
    let read = Signed::<consent::record::Consent>::new(&delegated).and_then(|signed| signed.verify(&gateway()));
    assert!(matches!(read, Err(RecordRefusal::BadMember { member, .. }) if member == "signer.role"));
    // One that was never handed in, or too late, decides nothing.
    let own = own_consent(SUBJECT, id, |_| ());
    let names = |said: &mut Value| said["consent"] = json!(own.id().to_string());
    assert_eq!(take(&mut case, &comply(id, &[], &[A, B], names)), Err("TV-Q14"));
    case.consent(Arc::clone(&own), NOW).expect("good");
    case.consent_ended(own.id(), NOW);
    assert_eq!(take(&mut case, &comply(id, &[], &[A, B], names)), Err("TV-Q14"), "withdrawn");
    take(&mut case, &refuse(id, &[], &[A, B], |_| ())).expect("refused");
    assert_eq!(case.consent(own, NOW).expect_err("late").code(), "TV-Q07");
}

#[test]
fn who_consents_consents_for_themselves() {
    let both = |said: &mut Value| said["about"] = json!(about(&[SUBJECT, 2]).commitment().to_string());
    let mut case = Case::open(demand(both), Some(&about(&[SUBJECT, 2])), register(), NOW).expect("a case");
    let id = case.id();
    take(&mut case, &notice(id, CLERK)).expect("a clerk's");
    let own = own_consent(2, id, |_| ());
    case.consent(Arc::clone(&own), NOW).expect("good");
    let whole = comply(id, &[], &[A, B], |said| said["consent"] = json!(own.id().to_string()));
    assert_eq!(take(&mut case, &whole), Err("TV-Q28"), "the other one did not");
    let part = comply(id, &[], &[A, B], |said| {
        said["consent"] = json!(own.id().to_string());
        said["outcome"] = json!("comply-in-part");
        said["reasons"] = json!(["no_instance_consent"]);
    });
    take(&mut case, &part).expect("for one of them");
    assert_eq!(may(&case, within()).expect("by consent").subjects(), &BTreeSet::from([did(2)]));
}

#[test]
fn releases_are_the_gateways_word_and_stay_within_the_decision() {
    let mut case = approved(|_| ());
    let (id, decision) = (case.id(), case.decision().expect("decided").id());
    let with =
        |by: u8, change: &dyn Fn(&mut Value)| case.check(&record(&release(id, decision, by, change)), within()).err().map(|r| r.code());
    assert_eq!(with(GATEWAY_KEY, &|_| ()), None);
    assert_eq!(with(CLERK, &|_| ()), Some("TV-Q02"));
    assert_eq!(with(A, &|_| ()), Some("TV-Q02"));
    assert_eq!(with(GATEWAY_KEY, &|said| said["fields"] = json!([{"schema": SCHEMA, "path": "identity"}])), Some("TV-Q13"));
    assert_eq!(with(GATEWAY_KEY, &|said| said["until"] = json!(after(UNTIL + 1).to_string())), Some("TV-Q13"));
    assert_eq!(with(GATEWAY_KEY, &|said| said["decision"] = json!("ab".repeat(32))), Some("TV-Q06"));
    // What is told of it comes after a challenge, too.
    take(&mut case, &challenge(id, CLERK, "pending", None)).expect("at any time");
    take(&mut case, &release(id, decision, GATEWAY_KEY, |_| ())).expect("what happened is written down");
    let mut undecided = self::case(|_| ());
    assert_eq!(take(&mut undecided, &release(id, decision, GATEWAY_KEY, |_| ())), Err("TV-Q20"));
    take(&mut undecided, &refuse(id, &[], &[A, B], |_| ())).expect("refused");
    let of_refusal = undecided.decision().expect("decided").id();
    assert_eq!(take(&mut undecided, &release(id, of_refusal, GATEWAY_KEY, |_| ())), Err("TV-Q21"));
}

#[test]
fn a_record_from_the_future_waits_for_its_time() {
    let mut case = case(|_| ());
    let early = notice(case.id(), CLERK);
    let mut envelope = early.clone();
    let text = String::from_utf8(early.payload).expect("JSON").replace(&NOW.to_string(), &after(6 * 60_000).to_string());
    envelope = Envelope::sign(&envelope.payload_type, text.into_bytes(), &key(CLERK));
    assert_eq!(take(&mut case, &envelope), Err("TV-Q24"));
    assert!(take_at(&mut case, &envelope, after(2 * 60_000)).is_ok());
}

#[test]
fn each_kind_of_record_is_refused_one_past_its_number_and_none_crowds_out_another() {
    let mut case = case(|_| ());
    let id = case.id();
    let told = |n: usize| signed::<Notice>(CLERK, &json!({"demand": id.to_string(), "how": format!("letter {n}")})).expect("good");
    for n in 0..256 {
        take(&mut case, &told(n)).expect("room");
    }
    assert_eq!(take(&mut case, &told(256)), Err("TV-Q27"));
    take(&mut case, &challenge(id, CLERK, "pending", None)).expect("what stops has room of its own");
}

#[test]
fn a_standing_says_what_is_missing_and_whose_move_it_is() {
    let mut case = case(|_| ());
    let moves = |case: &Case| case.standing(NOW).missing.iter().map(|missing| missing.whose().word()).collect::<Vec<_>>().join(", ");
    assert_eq!(case.state(), State::Received);
    assert_eq!(moves(&case), "counsel, counsel or analyst, analyst, approvers, clerk");
    let stages = review(&mut case);
    assert_eq!((case.state(), &*moves(&case)), (State::Reviewed, "approvers, clerk"));
    let id = case.id();
    take(&mut case, &comply(id, &stages, &[A, C], |_| ())).expect("approved");
    assert_eq!((case.state(), &*moves(&case)), (State::Approved, "clerk"));
    let standing = case.standing(NOW);
    assert_eq!((standing.release, standing.outcome, standing.gagged), (Err(Refused::Untold), Some(Outcome::Comply), false));
    assert_eq!((standing.next, case.standing(after(FROM)).next), (after(FROM), after(UNTIL)));
    assert_eq!(case.standing(after(UNTIL)).next, UnixMs::NEVER);
}

/// What is wrong with a payload of a kind, by the name of the member.
fn named<P: Payload>(said: &Value) -> String {
    match signed::<P>(CLERK, said) {
        Ok(_) => "nothing".into(),
        Err(RecordRefusal::BadMember { member, .. }) => member,
        Err(refusal) => refusal.code().into(),
    }
}

#[test]
fn what_a_demand_says_fits_together() {
    let with = |change: &dyn Fn(&mut Value)| named::<Demand>(&said_demand(change));
    let without = |member: &str| with(&|said| drop(said.as_object_mut().expect("an object").remove(member)));
    assert_eq!(with(&|_| ()), "nothing");
    for member in ["received", "source", "asks", "content", "everybody", "emergency"] {
        assert_eq!(without(member), "TV-C06", "{member}");
    }
    assert_eq!(without("about"), "about");
    assert_eq!(without("period"), "nothing");
    assert_eq!(with(&|said| said["extra"] = json!(1)), "TV-C06");
    assert_eq!(with(&|said| said["source"]["extra"] = json!(1)), "TV-C06");
    assert_eq!(with(&|said| said["gag"] = json!({"basis": "x", "extra": 1})), "TV-C06");
    assert_eq!(with(&|said| said["gag"] = json!({"basis": " "})), "gag.basis");
    assert_eq!(with(&|said| said["everybody"] = json!(true)), "about");
    assert_eq!(with(&|said| said["asks"] = json!("redesign-backdoor")), "asks");
    assert_eq!(with(&|said| said["asks"] = json!("everything")), "asks");
    assert_eq!(with(&|said| said["source"]["kind"] = json!("neighbour")), "source.kind");
    assert_eq!(with(&|said| said["source"]["document_sha256"] = json!("ab")), "source.document_sha256");
    for (code, expected) in [
        ("DE", "nothing"),
        ("US-CA", "nothing"),
        ("EU", "nothing"),
        ("de", "source.jurisdiction"),
        ("DEU", "source.jurisdiction"),
        ("US-", "source.jurisdiction"),
        ("US-CALI", "source.jurisdiction"),
    ] {
        assert_eq!(with(&|said| said["source"]["jurisdiction"] = json!(code)), expected, "{code}");
    }
    assert_eq!(with(&|said| said["period"]["until"] = said["period"]["from"].clone()), "period.until");
    assert_eq!(with(&|said| said["fields"][1] = said["fields"][0].clone()), "fields[1]");
    let many = |n: usize| with(&|said| said["fields"] = (0..n).map(|n| json!({"schema": SCHEMA, "path": format!("f{n}")})).collect());
    assert_eq!((many(256), many(257)), ("nothing".into(), "fields".into()));
}

#[test]
fn what_a_stage_says_fits_together() {
    let id = RecordId([7; 32]);
    let with = |n: u8, change: &dyn Fn(&mut Value)| {
        let mut said = said_stage(id, n, true);
        change(&mut said);
        named::<Stage>(&said)
    };
    for n in 1..=3 {
        assert_eq!(with(n, &|_| ()), "nothing", "{n}");
        assert_eq!(named::<Stage>(&said_stage(id, n, false)), "nothing", "{n}");
        assert_eq!(with(n, &|said| said["n"] = json!(4)), "n");
        assert_eq!(with(n, &|said| said["n"] = json!(n % 3 + 1)), "n", "{n}");
        assert_eq!(with(n, &|said| said["extra"] = json!(1)), "TV-C06");
        assert_eq!(with(n, &|said| said["evidence"] = json!(["ab".repeat(32), "ab".repeat(32)])), "evidence");
    }
    assert_eq!(with(1, &|said| said["no_challenge"]["primary_law"] = json!(false)), "met");
    assert_eq!(with(1, &|said| said["no_challenge"]["jurisdiction"] = json!(false)), "met");
    assert_eq!(with(1, &|said| said["determination"] = json!("hearsay")), "determination");
    assert_eq!(with(1, &|said| drop(said.as_object_mut().expect("an object").remove("no_challenge"))), "no_challenge");
    assert_eq!(with(2, &|said| drop(said.as_object_mut().expect("an object").remove("risks"))), "met");
    assert_eq!(with(2, &|said| said["risks"] = json!(["boredom"])), "risks");
    assert_eq!(with(2, &|said| said["risks"] = json!(["safety", "safety"])), "risks");
    assert_eq!(with(3, &|said| said["rights"] = json!([])), "met");
    let violated = json!({"instrument": "ICCPR", "article": "19", "finding": "violated"});
    assert_eq!(with(3, &|said| said["rights"].as_array_mut().expect("a list").push(violated.clone())), "met");
    assert_eq!(with(3, &|said| said["rights"][0]["finding"] = json!("unclear")), "rights[0].finding");
    assert_eq!(with(1, &|said| said["risks"] = json!(["safety"])), "n", "of two stages");
}

#[test]
fn what_a_decision_says_fits_together() {
    let comply = |change: &dyn Fn(&mut Value)| {
        let demanded = said_demand(|_| ());
        let mut said = json!({"demand": "ab".repeat(32), "outcome": "comply", "recipient": AGENCY, "reasoning_sha256": "cd".repeat(32),
                              "fields": demanded["fields"], "period": demanded["period"], "notice": {"when": "before-release"}});
        change(&mut said);
        named::<Decision>(&said)
    };
    assert_eq!(comply(&|_| ()), "nothing");
    for member in ["recipient", "fields", "period", "notice"] {
        assert_eq!(comply(&|said| drop(said.as_object_mut().expect("an object").remove(member))), member);
    }
    assert_eq!(comply(&|said| said["reasons"] = json!(["overbroad"])), "reasons");
    assert_eq!(comply(&|said| said["outcome"] = json!("comply-in-part")), "reasons");
    assert_eq!(comply(&|said| (said["outcome"], said["reasons"]) = (json!("refuse"), json!(["overbroad"]))), "outcome");
    assert_eq!(comply(&|said| said["outcome"] = json!("maybe")), "outcome");
    assert_eq!(comply(&|said| said["recipient"] = json!("agency")), "recipient");
    assert_eq!(comply(&|said| said["period"]["until"] = json!(after(FROM + decision::RELEASE_MS_MAX).to_string())), "nothing");
    assert_eq!(comply(&|said| said["period"]["until"] = json!(after(FROM + decision::RELEASE_MS_MAX + 1).to_string())), "period.until");
    assert_eq!(comply(&|said| said["notice"] = json!({"when": "deferred"})), "notice");
    assert_eq!(comply(&|said| said["notice"] = json!({"when": "deferred", "until": NOW.to_string()})), "notice");
    assert_eq!(comply(&|said| said["notice"] = json!({"when": "before-release", "basis": "x"})), "notice.when");
    assert_eq!(comply(&|said| said["notice"] = json!({"when": "never"})), "notice.when");
    assert_eq!(comply(&|said| said["stages"] = json!(vec!["ab".repeat(32); 2])), "stages");
    assert_eq!(comply(&|said| said["override"] = json!(true)), "TV-C06");
    let other = |outcome: &str, reasons: Value| {
        named::<Decision>(&json!({"demand": "ab".repeat(32), "outcome": outcome, "reasons": reasons, "reasoning_sha256": "cd".repeat(32)}))
    };
    assert_eq!(other("refuse", json!([])), "reasons");
    assert_eq!(other("refuse", json!(["overbroad", "overbroad"])), "reasons");
    assert_eq!(other("refuse", json!(["because"])), "reasons");
    assert_eq!((other("no-data", json!(["overbroad"])), other("no-data", json!(["not_held"]))), ("reasons".into(), "nothing".into()));
    assert_eq!((other("unable", json!(["not_held"])), other("unable", json!(["no_key"]))), ("reasons".into(), "nothing".into()));
}

#[test]
fn what_is_cut_short_or_doubled_is_no_record() {
    let good = notice(RecordId([7; 32]), CLERK);
    for len in 0..good.payload.len() {
        assert!(Notice::parse(&good.payload[..len]).is_err(), "{len}");
    }
    let text = String::from_utf8(good.payload).expect("JSON");
    assert_eq!(Notice::parse(text.replacen('{', r#"{"how":"again","#, 1).as_bytes()).expect_err("twice").code(), "TV-C06");
    for nonce in ["", "ab", "ABABABABABABABABABABABABABABABAB"] {
        let changed = text.replace(&format!("{CLERK:02x}").repeat(16), nonce);
        assert!(matches!(Notice::parse(changed.as_bytes()), Err(RecordRefusal::BadMember { member, .. }) if member == "nonce"), "{nonce}");
    }
    // An ordinary permit for the agency's own purposes has no part in this.
    assert_eq!(testing::consent(SUBJECT, 1, None, |_| ()).get().demand, None);
}
