use std::sync::Arc;

use super::super::tests::{OPERATOR, VALUE, World, clock, config, enrol, log};
use super::*;
use crate::log::Copy;
use crate::log::disk::Disk;
use crate::log::memory::Memory;
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::testing::{self, HOUR, grant, key, withdraw_records, withdraw_up_to};
use crate::veil::crypto::hash::sha256;
use crate::veil::merkle::leaf::BUCKET_MS;
use crate::veil::name::UnixMs;

/// The receipt shows that the record is in the log as such an act; the number of its entry.
fn holds(world: &World, receipt: &Receipt, act: Act, record: &Envelope) -> u64 {
    let leaf = Leaf::parse(receipt.proof.extra.as_deref().expect("the leaf")).expect("a leaf");
    let head = receipt.proof.verify(leaf.bytes(), world.ledger.log.verifier()).expect("in the log");
    assert!(head.size > receipt.proof.index && leaf.is_of(act, &receipt.salt, &record.id()));
    assert!(leaf.act().is_none() && leaf.bucket() == UnixMs(testing::NOW.0 / BUCKET_MS * BUCKET_MS));
    receipt.proof.index
}

#[test]
fn every_record_that_is_taken_is_in_the_log_when_it_answers() {
    let world = World::new();
    let (given, mandate) = (grant(1, 1, None, |_| ()), testing::mandate(OPERATOR, 1, None));
    let withdrawal = withdraw_records(1, testing::NOW, &[given.id()]);
    let submit = |record: &Envelope| world.ledger.submit(record).expect("good").receipt;
    assert_eq!(holds(&world, &submit(&given), Act::Consent, &given), 0);
    assert_eq!(holds(&world, &submit(&enrol(1)), Act::Enrolment, &enrol(1)), 1);
    assert_eq!(holds(&world, &submit(&mandate), Act::Consent, &mandate), 2);
    let receipt = world.ledger.withdraw(&withdrawal).expect("good").receipt.expect("something ended");
    assert_eq!(holds(&world, &receipt, Act::Withdrawal, &withdrawal), 3);
    // Sent again they are the entries that they were.
    assert_eq!(holds(&world, &submit(&enrol(1)), Act::Enrolment, &enrol(1)), 1);
    let again = world.ledger.withdraw(&withdrawal).expect("good").receipt.expect("it was kept");
    assert_eq!(holds(&world, &again, Act::Withdrawal, &withdrawal), 3);
    let nothing = world.ledger.withdraw(&withdraw_up_to(1, UnixMs(testing::NOW.0 - HOUR), 1)).expect("good");
    assert_eq!((nothing.ended, nothing.receipt, world.ledger.log.size()), (0, None, 4));
    let records: Vec<_> =
        world.ledger.receipts(&key(1).did(), 0, 9, |_| true).expect("room").into_iter().map(|(record, _)| record).collect();
    assert_eq!(records, [given.id(), enrol(1).id(), withdrawal.id()]);
    let some = |from, most| world.ledger.receipts(&key(1).did(), from, most, |_| true).expect("room").len();
    assert_eq!((some(1, 9), some(1, 1), some(4, 9)), (2, 1, 0));
    assert_eq!(world.ledger.receipts(&key(5).did(), 0, 9, |_| true).expect("room").len(), 0, "nobody we know");
}

#[test]
fn delegations_their_ends_and_agreements_are_in_the_log_and_stay_there() {
    let mut world = World::new();
    let delegation = testing::delegation(1, 2, 1, None, |_| ());
    let given = testing::delegated(1, 2, delegation.id(), 2, Some(delegation.id()), |_| ());
    let agreement = testing::agreement(1, 3, Some(given.id()), 1, &[2], |_| ());
    let end = testing::end_delegation(1, 2, &[delegation.id()]);
    let acts = [(&delegation, Act::Delegation), (&given, Act::Consent), (&agreement, Act::Agreement), (&end, Act::DelegationEnd)];
    for (entry, (record, act)) in (0..).zip(acts) {
        let receipt = match act {
            Act::DelegationEnd => world.ledger.withdraw(record).expect("good").receipt.expect("something ended"),
            _ => world.ledger.submit(record).expect("good").receipt,
        };
        assert_eq!(holds(&world, &receipt, act, record), entry);
    }
    // The end again is the entry that it was; one that has nothing to end is none.
    let again = world.ledger.withdraw(&end).expect("good").receipt.expect("it was kept");
    assert_eq!((holds(&world, &again, Act::DelegationEnd, &end), world.ledger.log.size()), (3, 4));
    let nothing = world.ledger.withdraw(&testing::end_delegation(1, 1, &[delegation.id()])).expect("good");
    assert_eq!((nothing.ended, nothing.receipt, world.ledger.log.size()), (0, None, 4));
    // All of them are the subject's, whoever signed.
    let all = |world: &World| world.ledger.receipts(&key(1).did(), 0, 9, |_| true).expect("room");
    assert_eq!(all(&world).iter().map(|(record, _)| *record).collect::<Vec<_>>(), acts.map(|(record, _)| record.id()));
    assert_eq!(world.ledger.receipts(&key(2).did(), 0, 9, |_| true).expect("room").len(), 0);
    let some = world.ledger.receipts(&key(1).did(), 0, 1, |record| record != delegation.id()).expect("room");
    assert_eq!((some.len(), some[0].0), (1, given.id()), "what is not shown takes nobody's place");

    world.restart();
    for ((record, act), (_, receipt)) in acts.iter().zip(all(&world)) {
        holds(&world, &receipt, *act, record);
    }
    assert_eq!(world.ledger.log.size(), 4);
}

#[test]
fn a_record_whose_leaf_did_not_get_into_the_log_is_logged_at_the_next_start() {
    let mut world = World::new();
    let first = grant(1, 1, None, |_| ());
    world.ledger.submit(&first).expect("good");
    world.disk.set_full(true);
    let second = grant(1, 2, Some(first.id()), |_| ());
    let refused = world.ledger.submit(&second).expect_err("no receipt");
    assert_eq!((refused.code(), refused.whose_move()), ("TV-L10", super::super::Move::Ours));
    assert_eq!(world.states(1).len(), 2, "it is in force");
    let withdrawal = withdraw_records(1, testing::NOW, &[first.id()]);
    assert_eq!(world.ledger.withdraw(&withdrawal).expect_err("no receipt").code(), "TV-L10");
    assert_eq!(world.ledger.log.size(), 1);
    world.disk.set_full(false);
    // The withdrawal again: now it is answered, and what waited is in the log.
    let receipt = world.ledger.withdraw(&withdrawal).expect("room").receipt.expect("it was kept");
    assert_eq!((holds(&world, &receipt, Act::Withdrawal, &withdrawal), world.ledger.log.size()), (2, 3));

    world.disk.set_full(true);
    let third = grant(1, 3, Some(second.id()), |_| ());
    world.ledger.submit(&third).expect_err("no receipt");
    world.disk.set_full(false);
    world.restart();
    assert_eq!(world.ledger.log.size(), 4, "appended at the start");
    let receipts = world.ledger.receipts(&key(1).did(), 3, 9, |_| true).expect("room");
    assert_eq!((receipts.len(), holds(&world, &receipts[0].1, Act::Consent, &third)), (1, 3));
}

#[test]
fn whoever_finds_a_leaf_before_it_is_handed_over_gets_its_receipt() {
    let world = World::new();
    let given = grant(1, 1, None, |_| ());
    world.ledger.submit(&given).expect("good");
    // What is durable and not yet with the log, as between the two steps of who writes.
    let record = RecordId([7; 32]);
    let subject = world.ledger.subject(&key(1).did()).expect("readable").expect("known");
    let leaf = Leaf::new(Act::Consent, testing::NOW, &subject.salt(&record), &record);
    let batch = Batch { leaves: vec![Noted { leaf, of: Some((key(1).did(), record)) }], ..Batch::default() };
    assert_eq!(world.ledger.store.commit(&world.ledger.rest_key, &batch).expect("room"), 1);
    assert_eq!(world.ledger.log.next(), 1);
    let receipts = world.ledger.receipts(&key(1).did(), 0, 9, |_| true).expect("what is durable has a receipt");
    assert_eq!(receipts.iter().map(|(record, receipt)| (*record, receipt.proof.index)).collect::<Vec<_>>(), [(given.id(), 0), (record, 1)]);
    // The step that is late changes nothing, and the next leaf stands behind it.
    world.ledger.hand_over(1, &batch.leaves).expect("it has its place");
    assert_eq!(holds(&world, &world.ledger.submit(&enrol(1)).expect("good").receipt, Act::Enrolment, &enrol(1)), 2);
}

#[test]
fn a_store_or_a_log_that_was_set_back_does_not_open() {
    let mut world = World::new();
    let first = grant(1, 1, None, |_| ());
    world.ledger.submit(&first).expect("good");
    let yesterday = world.disk.backup();
    world.ledger.submit(&enrol(1)).expect("good");
    world.ledger.submit(&grant(1, 2, Some(first.id()), |_| ())).expect("good");
    let open = |store: &Arc<Store>, disk: &Memory| Ledger::open(Arc::clone(store), log(disk), config(), clock()).map(drop);
    assert!(matches!(open(&world.store, &yesterday), Err(OpenError::LogBehind { kept: 2, logged: 1 })));
    let empty = Arc::new(Store::in_memory().expect("memory"));
    let error = open(&empty, &world.disk.backup()).expect_err("behind");
    assert!(matches!(error, OpenError::StoreBehind { noted: 0, logged: 3 }), "{error}");
    world.restart();
}

#[test]
fn what_institutions_put_in_force_is_logged_openly_when_it_changes() {
    let mut world = World::new();
    let act = |act, text: &[u8]| (act, RecordId(sha256(&[text])));
    let (policy, schema, other) = (act(Act::Policy, b"one"), act(Act::Schema, b"two"), act(Act::Policy, b"three"));
    world.ledger.in_force(&[policy, schema].into()).expect("room");
    assert_eq!(world.ledger.log.size(), 2);
    world.restart();
    world.ledger.in_force(&[policy, schema].into()).expect("room");
    assert_eq!(world.ledger.log.size(), 2, "nothing changed");
    world.ledger.in_force(&[other, schema].into()).expect("room");
    world.ledger.in_force(&[policy, schema].into()).expect("room");
    let copy = Copy::of(Box::new(world.disk.clone()));
    let audit = copy.audit(world.ledger.log.verifier()).expect("a log");
    assert_eq!((audit.institutional, audit.personal), (4, 0));
    let found = |(act, object): (Act, RecordId)| copy.find(&audit.head, |leaf| leaf.is_of(act, &Salt::OPEN, &object)).expect("readable");
    assert_eq!((found(policy), found(schema), found(other)), (Some(3), Some(1), Some(2)), "the newest of each");
}

#[test]
fn what_is_put_in_force_a_second_time_is_in_the_log_too_when_it_answers() {
    let world = World::new();
    let acts: BTreeSet<_> = [(Act::Policy, RecordId(sha256(&[b"one"])))].into();
    world.disk.set_full(true);
    for _ in 0..2 {
        assert_eq!(world.ledger.in_force(&acts).expect_err("it is not in the log").code(), "TV-L10");
    }
    world.disk.set_full(false);
    world.ledger.in_force(&acts).expect("room");
    assert_eq!(world.ledger.log.size(), 1, "once");
}

#[test]
fn the_log_names_nobody_and_nothing_that_can_be_looked_up() {
    let world = World::new();
    let given = grant(1, 1, None, |_| ());
    world.ledger.submit(&given).expect("good");
    world.ledger.submit(&enrol(1)).expect("good");
    let subject = world.ledger.subject(&key(1).did()).expect("readable").expect("known");
    let handle = crate::veil::consent::enrolment::handle(&config().handle_key, &super::super::tests::source(), VALUE.as_bytes());
    let hidden: [&[u8]; 6] =
        [&key(1).did().0, VALUE.as_bytes(), &given.id().0, &enrol(1).id().0, &handle.0, subject.pseudonym_key().expose()];
    let files: Vec<_> = world.disk.paths().into_iter().map(|path| world.disk.read(&path).expect("memory").expect("there")).collect();
    assert!(files.len() > 4);
    for secret in hidden {
        assert!(files.iter().all(|file| !file.windows(secret.len()).any(|window| window == secret)), "{secret:?}");
    }
}
