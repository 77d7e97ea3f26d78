//! What a delegate may do by renewing, and what not.

use super::*;

#[test]
fn a_renewal_is_of_one_record_in_force_on_the_same_terms() {
    let mut standing = Standing::default();
    let own = standing.own(|document| document["vault_key"] = json!(seal_key(1).to_string()));
    let id = standing.delegate(GUARDIAN, |document| document["rights"] = json!(["renew"]));
    let renewal = move |document: &mut Value| {
        document["status"] = json!("RenewedConsentGiven");
        document["expires"] = json!(after(59 * DAY).to_string());
        document["vault_key"] = json!(seal_key(1).to_string());
        document["replaces"] = json!([own.to_string()]);
    };
    let not_a_renewal =
        |refused: Result<RecordId, RecordRefusal>| assert!(matches!(refused, Err(RecordRefusal::NotARenewal(_))), "{refused:?}");
    not_a_renewal(standing.by(GUARDIAN, id, NOW, |document| {
        renewal(document);
        document["replaces"] = json!([]);
    }));
    for (member, value) in [
        ("purposes", json!(["dpv:AcademicResearch", "dpv:ScientificResearch"])),
        ("recipients", json!([{"spiffe": "spiffe://lab.example/reader"}, {"spiffe": "spiffe://lab.example/other"}])),
        ("rules", json!([{"effect": "permit", "match": {"category": "health"}, "treatment": "generalize"}])),
        ("vault_key", json!(seal_key(2).to_string())),
        ("jurisdiction", json!(["AT"])),
        ("storage", json!({"places": ["DE"], "retention": "P7M"})),
        ("windows", json!([{"zone": "UTC", "days": ["mon"], "from": "08:00", "to": "09:00"}])),
    ] {
        not_a_renewal(standing.by(GUARDIAN, id, NOW, |document| {
            renewal(document);
            document[member] = value;
        }));
    }
    not_a_renewal(standing.by(GUARDIAN, id, NOW, |document| {
        renewal(document);
        document["max_uses"] = json!(9);
    }));
    // nor for longer than the delegation
    let longer = standing.by(GUARDIAN, id, NOW, |document| {
        renewal(document);
        document["expires"] = json!(after(61 * DAY).to_string());
    });
    assert_eq!(longer, Err(RecordRefusal::Widens("expires".into())));
    // nor shorter than it is: that would be a withdrawal, and would end what she forbade
    not_a_renewal(standing.by(GUARDIAN, id, NOW, |document| {
        renewal(document);
        document["expires"] = json!(after(29 * DAY).to_string());
    }));
    standing.clone().by(GUARDIAN, id, NOW, renewal).expect("the same terms");
    // what was withdrawn is not brought back
    standing.withdraw(&withdraw_records(ADA, NOW, &[own]), NOW).expect("hers");
    assert_eq!(standing.by(GUARDIAN, id, NOW, renewal), Err(RecordRefusal::NotLive(own)));
    let forbid = standing.own(|document| rules(document, &[("location", "forbid")]));
    not_a_renewal(standing.by(GUARDIAN, id, NOW, |document| {
        renewal(document);
        rules(document, &[("location", "forbid")]);
        document["replaces"] = json!([forbid.to_string()]);
    }));
}

#[test]
fn what_a_delegate_renewed_of_the_subjects_stays_the_subjects_word() {
    let mut standing = Standing::default();
    let first = standing.own(|document| rules(document, &[("health", "generalize"), ("device", "forbid")]));
    standing.own(|document| rules(document, &[("device", "keep"), ("location", "keep")]));
    let id = standing.delegate(GUARDIAN, |_| ());
    standing.by(GUARDIAN, id, NOW, |document| rules(document, &[("behaviour", "keep")])).expect("good");
    let before = decides(&standing, NOW);
    assert!(
        before.contains(&(Some(Category::Device), Treatment::Strip)) && !before.contains(&(Some(Category::Behaviour), Treatment::Keep))
    );
    let renewed = standing
        .by(GUARDIAN, id, NOW, |document| {
            rules(document, &[("health", "generalize"), ("device", "forbid")]);
            document["status"] = json!("RenewedConsentGiven");
            document["expires"] = json!(after(59 * DAY).to_string());
            document["replaces"] = json!([first.to_string()]);
        })
        .expect("the same terms");
    let sorted = |mut decides: Vec<(Option<Category>, Treatment)>| {
        decides.sort_unstable();
        decides
    };
    assert_eq!(sorted(decides(&standing, NOW)), sorted(before));
    // Nor may they put something else in its place, though their key signed it.
    let wider = standing.by(GUARDIAN, id, NOW, |document| document["replaces"] = json!([renewed.to_string()]));
    assert_eq!(wider, Err(RecordRefusal::Widens("replaces".into())));
    // Its permits end with the delegation, its forbids do not.
    standing.finish(&end_delegation(ADA, ADA, &[id])).expect("hers");
    let left = [
        (Some(Category::Device), Treatment::Strip),
        (Some(Category::Device), Treatment::Keep),
        (Some(Category::Location), Treatment::Keep),
    ];
    assert_eq!(decides(&standing, NOW), left);
}

/// The guardian puts the same terms in the place of a record, for longer.
fn renew(standing: &mut Standing, under: RecordId, old: RecordId, terms: impl FnOnce(&mut Value)) -> Result<RecordId, RecordRefusal> {
    standing.by(GUARDIAN, under, NOW, |document| {
        terms(document);
        document["status"] = json!("RenewedConsentGiven");
        document["expires"] = json!(after(59 * DAY).to_string());
        document["replaces"] = json!([old.to_string()]);
    })
}

#[test]
fn what_has_not_begun_is_not_begun_by_renewing_it() {
    let mut standing = Standing::default();
    let later = standing.own(|document| document["not_before"] = json!(after(DAY).to_string()));
    let id = standing.delegate(GUARDIAN, |_| ());
    assert!(matches!(renew(&mut standing, id, later, |_| ()), Err(RecordRefusal::NotARenewal(_))));
}

#[test]
fn nobody_speaks_in_the_subjects_place_when_a_renewal_has_ended() {
    let mut standing = Standing::default();
    let first = standing.own(|document| rules(document, &[("health", "generalize")]));
    let (theirs, others) = (standing.delegate(GUARDIAN, |_| ()), standing.delegate(OTHER, |_| ()));
    let longer = |document: &mut Value| {
        rules(document, &[("health", "keep")]);
        document["expires"] = json!(after(60 * DAY).to_string());
    };
    standing.by(OTHER, others, NOW, longer).expect("good");
    renew(&mut standing, theirs, first, |document| rules(document, &[("health", "generalize")])).expect("the same terms");
    standing.finish(&end_delegation(ADA, GUARDIAN, &[theirs])).expect("their own");
    assert_eq!((decides(&standing, NOW), deciding(&standing, NOW).valid_until), (vec![], after(59 * DAY)));
    assert_eq!(decides(&standing, after(59 * DAY)), [(Some(Category::Health), Treatment::Keep)], "as if it had come to its end");
}

#[test]
fn a_renewed_record_does_not_name_the_keys_again() {
    let mut standing = Standing::default();
    let [old, new] = [1, 2].map(|n| standing.own(|document| document["vault_key"] = json!(seal_key(n).to_string())));
    let id = standing.delegate(GUARDIAN, |document| document["vault_key"] = json!(seal_key(1).to_string()));
    renew(&mut standing, id, old, |document| document["vault_key"] = json!(seal_key(1).to_string())).expect("the same terms");
    assert!(standing.grant(new).is_some_and(|grant| grant.permits_after(NOW)));
    assert_eq!(deciding(&standing, NOW).vault_key, Some(seal_key(2)));
}

#[test]
fn what_a_delegate_renewed_of_anothers_is_not_theirs_to_replace() {
    let mut standing = Standing::default();
    let (theirs, others) = (standing.delegate(GUARDIAN, |_| ()), standing.delegate(OTHER, |_| ()));
    let terms = |document: &mut Value| rules(document, &[("health", "keep"), ("device", "forbid")]);
    let said = standing.by(OTHER, others, NOW, terms).expect("good");
    let renewed = renew(&mut standing, theirs, said, terms).expect("the same terms");
    let replaces = |document: &mut Value| document["replaces"] = json!([renewed.to_string()]);
    assert_eq!(standing.by(GUARDIAN, theirs, NOW, replaces), Err(RecordRefusal::Widens("replaces".into())));
    standing.by(OTHER, others, NOW, replaces).expect("their own word");
}

#[test]
fn a_withdrawal_reaches_what_delegates_put_in_the_place_of_what_it_names() {
    for by_number in [false, true] {
        let mut standing = Standing::default();
        let first = standing.own(|_| ());
        let seq = standing.head().seq;
        let id = standing.delegate(GUARDIAN, |_| ());
        let again = renew(&mut standing, id, first, |_| ()).expect("the same terms");
        renew(&mut standing, id, again, |_| ()).expect("once more");
        let withdrawal = if by_number { withdraw_up_to(ADA, NOW, seq) } else { withdraw_records(ADA, NOW, &[first]) };
        assert_eq!(standing.withdraw(&withdrawal, NOW), Ok(1));
        assert_eq!(decides(&standing, NOW), []);
    }
}

#[test]
fn a_delegates_clock_withdraws_nothing_that_is_signed_later() {
    let mut standing = Standing::default();
    let id = standing.delegate(GUARDIAN, |_| ());
    let mut withdrawal = withdraw_as(ADA, GUARDIAN, "delegate", id, "withdraws_up_to", json!(u64::MAX));
    let fast = String::from_utf8(withdrawal.payload).expect("JSON").replace(&NOW.to_string(), &after(240_000).to_string());
    withdrawal.payload = fast.into_bytes();
    withdrawal.signatures.clear();
    withdrawal.countersign(&key(GUARDIAN));
    assert_eq!(standing.withdraw(&withdrawal, NOW), Ok(0));
    standing.finish(&end_delegation(ADA, ADA, &[id])).expect("hers");
    let (seq, prev) = standing.next();
    let again = grant(ADA, seq, prev, |document| document["at"] = json!(after(60_000).to_string()));
    standing.submit(&again, after(60_000)).expect("the next of the chain");
    assert_eq!(standing.states(after(60_000)), [GrantState::Live]);
}
