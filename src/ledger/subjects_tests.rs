use std::sync::Arc;

use super::super::tests::{VALUE, World, clock, config, enrol, log, rest_key, row_with, source};
use super::super::{Barrier, Batch, Move, STRANGERS_MAX, StreamSettled};
use super::*;
use crate::log::memory::Memory;
use crate::store::Store;
use crate::store::rest::AtRest;
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::standing::GrantState;
use crate::veil::consent::testing::{self, grant, key, withdraw_records};

/// So few fit that most tests page.
fn small(resident_max: usize) -> Arc<Ledger> {
    let store = Arc::new(Store::in_memory().expect("memory"));
    Ledger::open_with((store, log(&Memory::default())), config(), clock(), (STRANGERS_MAX, resident_max)).expect("an empty store")
}

fn first(n: u8) -> Envelope {
    grant(n, 1, None, |_| ())
}

fn states(ledger: &Ledger, n: u8) -> Vec<GrantState> {
    let standing = ledger.standing_of(&key(n).did()).expect("readable");
    standing.grants().iter().map(|grant| grant.state(testing::NOW)).collect()
}

#[test]
fn so_many_stay_in_memory_and_all_others_come_back_as_they_were() {
    let ledger = small(8);
    for n in 20..60 {
        ledger.submit(&first(n)).expect("good");
        ledger.withdraw(&withdraw_records(n, testing::NOW, &[first(n).id()])).expect("good");
        ledger.submit(&grant(n, 2, Some(first(n).id()), |_| ())).expect("good");
        assert!(ledger.subjects.len() <= 9, "{}", ledger.subjects.len());
    }
    for n in 20..60 {
        assert_eq!(states(&ledger, n), [GrantState::Withdrawn, GrantState::Live]);
        assert!(ledger.subjects.len() <= 9);
    }
    // and they go on where they stopped
    for n in 20..60 {
        let head = ledger.standing_of(&key(n).did()).expect("readable").head();
        ledger.submit(&grant(n, head.seq + 1, head.record, |_| ())).expect("the chain goes on");
    }
}

#[test]
fn whom_a_stream_holds_stays_the_one_that_changes_reach() {
    let ledger = small(4);
    ledger.submit(&first(1)).expect("good");
    let held = ledger.subject(&key(1).did()).expect("readable").expect("known");
    let generation = held.generation();
    for n in 20..60 {
        ledger.submit(&first(n)).expect("good");
    }
    ledger.withdraw(&withdraw_records(1, testing::NOW, &[first(1).id()])).expect("good");
    assert!(held.generation() > generation, "the barrier looks at this very number");
    assert_eq!(held.standing().grants()[0].state(testing::NOW), GrantState::Withdrawn);
    assert!(Arc::ptr_eq(&held, &ledger.subject(&key(1).did()).expect("readable").expect("known")));
}

#[test]
fn operators_never_leave() {
    let ledger = small(4);
    ledger.submit(&testing::mandate(super::super::tests::OPERATOR, 1, None)).expect("an operator");
    for n in 20..60 {
        ledger.submit(&first(n)).expect("good");
    }
    assert_eq!(ledger.mandates().len(), 1);
    // Who becomes one is read first.
    let before = ledger.mandates().len();
    ledger.know(vec![key(20).did(), key(super::super::tests::OPERATOR).did()], Vec::new()).expect("readable");
    assert_eq!(ledger.mandates().len(), before + 1);
}

/// While withdrawals wait for streams others ask for the subject, as streams do that open right then.
#[derive(Debug)]
struct Asks(std::sync::Weak<Ledger>);

impl Barrier for Asks {
    fn settle(&self, subject: &Did) -> Vec<StreamSettled> {
        let ledger = self.0.upgrade().expect("open");
        for n in 100..110 {
            drop(ledger.subject(&key(n).did()));
        }
        let found = ledger.subject(subject).expect("readable").expect("known");
        let withdrawn = found.standing().grants().iter().filter(|grant| grant.state(testing::NOW) == GrantState::Withdrawn).count();
        assert_eq!(withdrawn, found.standing().grants().len(), "what is read while it settles is the new standing");
        Vec::new()
    }

    fn settle_all(&self) -> Vec<StreamSettled> {
        Vec::new()
    }

    fn carrying(&self, _subject: &Did) -> Vec<StreamSettled> {
        Vec::new()
    }
}

#[test]
fn a_subject_that_is_read_while_it_changes_is_one_and_new() {
    let ledger = small(2);
    let count = 100u8..124;
    for n in count.clone() {
        ledger.submit(&first(n)).expect("good");
    }
    ledger.attach(Arc::new(Asks(Arc::downgrade(&ledger))));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            // Readers that push each other's subjects out all the time.
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for n in count.clone() {
                        let (one, two) = (ledger.subject(&key(n).did()), ledger.subject(&key(n).did()));
                        let (one, two) = (one.expect("readable").expect("known"), two.expect("readable").expect("known"));
                        assert!(Arc::ptr_eq(&one, &two), "two of one subject");
                    }
                }
            });
        }
        for n in count.clone() {
            ledger.withdraw(&withdraw_records(n, testing::NOW, &[first(n).id()])).expect("good");
            assert_eq!(states(&ledger, n), [GrantState::Withdrawn]);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for n in count {
        assert_eq!(states(&ledger, n), [GrantState::Withdrawn]);
    }
}

#[test]
fn a_store_that_cant_be_read_is_no_stranger() {
    let mut world = World::new();
    world.ledger.submit(&enrol(1)).expect("good");
    world.ledger.submit(&first(1)).expect("good");
    world.restart();
    // Under the running gateway a record goes, and the store's own file says nothing of it.
    let fact = world.store.rows().into_iter().find(|(table, ..)| *table == "facts").expect("one");
    world.store.tamper("facts", &fact.1, None);
    let refused = world.ledger.subject_of(&source(), VALUE.as_bytes()).expect_err("not all there");
    assert_eq!(refused.code(), "TV-L06", "{refused}");
    world.store.tamper("facts", &fact.1, Some(b"other bytes"));
    let refused = world.ledger.subject_of(&source(), VALUE.as_bytes()).expect_err("changed");
    assert_eq!((refused.code(), refused.whose_move()), ("TV-L13", Move::Operator));
    world.store.tamper("facts", &fact.1, Some(&fact.2));
    assert_eq!(states(&world.ledger, 1), [GrantState::Live]);
}

#[test]
fn a_withdrawal_cut_out_of_the_running_store_gives_no_standing() {
    let mut world = World::new();
    world.ledger.submit(&first(1)).expect("good");
    world.ledger.withdraw(&withdraw_records(1, testing::NOW, &[first(1).id()])).expect("good");
    world.restart();
    for (table, key_of, _) in world.store.rows().into_iter().filter(|(table, ..)| ["facts", "history"].contains(&table.as_str())) {
        if key_of.last() == Some(&1) {
            world.store.tamper(&table, &key_of, None);
        }
    }
    assert_eq!(world.ledger.subject(&key(1).did()).expect_err("one is missing").code(), "TV-L13");
    let error = Ledger::open(Arc::clone(&world.store), log(&world.disk), config(), clock()).map(drop).expect_err("changed");
    assert_eq!(error.code(), "TV-D05");
}

#[test]
fn the_strangers_of_a_store_are_counted_at_its_start() {
    let mut world = World::new();
    world.ledger.submit(&testing::mandate(super::super::tests::OPERATOR, 1, None)).expect("an operator");
    world.ledger.submit(&first(2)).expect("a stranger");
    world.ledger.submit(&first(3)).expect("a stranger");
    world.ledger.submit(&first(1)).expect("a stranger");
    world.ledger.submit(&enrol(1)).expect("none any more");
    assert_eq!(world.ledger.writer().strangers, 2);
    world.restart();
    assert_eq!(world.ledger.writer().strangers, 2);
}

#[test]
fn a_new_subject_whose_write_failed_after_it_got_to_disk_is_one_from_the_next_write_on() {
    let mut world = World::new();
    world.ledger.submit(&first(2)).expect("good");
    let at_rest = AtRest { key: crate::veil::crypto::secret::Secret::take(&mut [4; 32]), enrolled: false, kept: Kept::default() };
    let mut batch = fact::batch(testing::NOW, &first(3));
    let kept = at_rest.kept.and(&batch.facts[0]);
    let row = rest_key().seal_subject(&key(3).did(), &AtRest { kept, ..at_rest }, &mut crate::world::entropy());
    batch.subject = Some((key(3).did(), row));
    world.store.commit(&rest_key(), &batch).expect("room");
    world.ledger.writer().unsure = Some(vec![(key(3).did(), None)]);
    world.ledger.tick().expect("room");
    assert_eq!((world.ledger.writer().strangers, states(&world.ledger, 3)), (2, vec![GrantState::Live]));
    let more = Batch { subject: Some(row_with(&world, &key(3).did(), &[])), ..Batch::default() };
    world.store.commit(&rest_key(), &more).expect("room");
    world.restart();
    assert_eq!(world.ledger.writer().strangers, 2);
}
