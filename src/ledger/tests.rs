use serde_json::json;

use std::time::Duration;

use super::*;
use crate::log::memory::Memory;
use crate::log::{Log, LogError, Signer};
use crate::store::StoreError;
use crate::veil::consent::deciding::{RecipientIdentity, mandate_deciding};
use crate::veil::consent::standing::{GrantState, Head};
use crate::veil::consent::testing::{self, DAY, GATEWAY, HOUR, grant, key, signed, withdraw_records, withdraw_up_to};
use crate::veil::crypto::sign::SignKey;
use crate::veil::merkle::note::VerifierKey;
use crate::veil::terms::purpose;

const SOURCE: &str = "spiffe://hospital.example/monitor";
pub(super) const VALUE: &str = "patient-4711-canary";
/// Keys by their part: the subject is 1, the other subject 2, the source's party 7, the operator 8.
const PARTY: u8 = 7;
pub(super) const OPERATOR: u8 = 8;

/// Answers with one stream, and remembers whom it was asked about.
#[derive(Debug, Default)]
struct Streams(Mutex<Vec<Option<Did>>>);

impl Streams {
    fn settled(&self, did: Option<Did>) -> Vec<StreamSettled> {
        self.0.lock().expect("not poisoned").push(did);
        let purpose = purpose("dpv:AcademicResearch").expect("term");
        vec![StreamSettled {
            stream: StreamId([1; 16]),
            recipient: Spiffe::parse("spiffe://lab.example/reader").expect("good"),
            purpose,
            last_handover: 41,
            view: 1,
        }]
    }

    fn asked(&self) -> Vec<Option<Did>> {
        std::mem::take(&mut self.0.lock().expect("not poisoned"))
    }
}

impl Barrier for Streams {
    fn settle(&self, subject: &Did) -> Vec<StreamSettled> {
        self.settled(Some(*subject))
    }

    fn settle_all(&self) -> Vec<StreamSettled> {
        self.settled(None)
    }

    fn carrying(&self, subject: &Did) -> Vec<StreamSettled> {
        self.settled(Some(*subject))
    }
}

/// A gateway's ledger whose clock begins where the test records were signed.
pub(super) struct World {
    pub(super) store: Arc<Store>,
    pub(super) disk: Memory,
    clock: Arc<Clock>,
    pub(super) ledger: Arc<Ledger>,
}

/// The gateway's log on a disk.
pub(super) fn log(disk: &Memory) -> Arc<Log> {
    let key = key(9);
    let verifier = VerifierKey::new(GATEWAY, key.did()).expect("a name");
    Log::open(Arc::new(disk.clone()), None, Signer { key, verifier }, Duration::ZERO).expect("as it was").0
}

pub(super) fn config() -> LedgerConfig {
    LedgerConfig {
        origin: testing::gateway(),
        handle_key: Secret::take(&mut [5; 32]),
        store_key: Secret::take(&mut [7; 32]),
        operators: vec![key(OPERATOR).did()],
        sources: vec![(source(), key(PARTY).did())],
    }
}

pub(super) fn source() -> Spiffe {
    Spiffe::parse(SOURCE).expect("good")
}

/// A clock that says `testing::NOW`.
pub(super) fn clock() -> Arc<Clock> {
    let real = Clock::new().now().expect("right");
    let clock = Clock::new();
    clock.shift(testing::NOW.0 - real.0);
    Arc::new(clock)
}

impl World {
    pub(super) fn new() -> Self {
        let (store, disk, clock) = (Arc::new(Store::in_memory().expect("memory")), Memory::default(), clock());
        let ledger = Ledger::open(Arc::clone(&store), log(&disk), config(), Arc::clone(&clock)).expect("an empty store");
        Self { store, disk, clock, ledger }
    }

    pub(super) fn restart(&mut self) {
        self.ledger = Ledger::open(Arc::clone(&self.store), log(&self.disk), config(), Arc::clone(&self.clock)).expect("what was written");
    }

    fn streams(&self) -> Arc<Streams> {
        let streams = Arc::new(Streams::default());
        self.ledger.attach(Arc::clone(&streams) as Arc<dyn Barrier>);
        streams
    }

    pub(super) fn states(&self, n: u8) -> Vec<GrantState> {
        let subject = self.ledger.subject(&key(n).did()).expect("known");
        subject.standing().grants().iter().map(|grant| grant.state(testing::NOW)).collect()
    }

    fn facts(&self) -> usize {
        let mut facts = 0;
        self.store.facts_from(0, |_, _| facts += 1).expect("readable");
        facts
    }
}

fn enrolment(n: u8, change: impl FnOnce(&mut serde_json::Value), keys: &[&SignKey]) -> Envelope {
    let mut document =
        json!({"gateway": GATEWAY, "source": SOURCE, "value": VALUE, "did": key(n).did().to_string(), "at": testing::NOW.to_string()});
    change(&mut document);
    signed(enrolment::MEDIA_TYPE, &document, keys)
}

pub(super) fn enrol(n: u8) -> Envelope {
    enrolment(n, |_| (), &[&key(n), &key(PARTY)])
}

#[test]
fn a_grant_is_in_force_when_it_answers() {
    let world = World::new();
    let streams = world.streams();
    let envelope = grant(1, 1, None, |_| ());
    let answer = world.ledger.submit(&envelope).expect("good");
    assert_eq!((answer.record, answer.seq), (envelope.id(), 1));
    let subject = world.ledger.subject(&key(1).did()).expect("known now");
    assert_eq!((subject.generation(), subject.standing().head()), (1, Head { seq: 1, record: Some(envelope.id()) }));
    assert_eq!(streams.asked(), [Some(key(1).did())]);
}

#[test]
fn what_is_wrong_with_a_record_leaves_no_trace() {
    let world = World::new();
    let good = grant(1, 1, None, |_| ());
    let mut forged = good.clone();
    forged.signatures[0].sig[9] ^= 1;
    let mut by_another = good.clone();
    by_another.signatures.clear();
    by_another.countersign(&key(2));
    let mut other_type = good.clone();
    other_type.payload_type = "text/plain".into();
    for (envelope, code) in [
        (forged, "TV-C04"),
        (by_another, "TV-C05"),
        (other_type, "TV-C03"),
        (grant(1, 1, None, |document| document["gateway"] = json!("log.other.example")), "TV-C12"),
        (grant(1, 1, None, |document| document["subject"] = json!(key(2).did().to_string())), "TV-C11"),
        (grant(1, 1, None, |document| document["max_uses"] = json!(1)), "TV-C08"),
        (grant(1, 1, None, |document| document["extra"] = json!(1)), "TV-C06"),
        (grant(1, 2, Some(RecordId([3; 32])), |_| ()), "TV-C14"),
        (grant(1, 1, None, |document| document["at"] = json!(testing::after(HOUR).to_string())), "TV-C18"),
        (grant(1, 1, None, |document| document["replaces"] = json!(["ab".repeat(32)])), "TV-C16"),
        (withdraw_up_to(1, testing::NOW, 1), "TV-C13"),
        (testing::mandate(1, 1, None), "TV-L03"),
    ] {
        assert_eq!(world.ledger.submit(&envelope).expect_err(code).code(), code);
    }
    assert_eq!(world.ledger.withdraw(&good).expect_err("a grant").code(), "TV-C13");
    assert!(world.ledger.subject(&key(1).did()).is_none());
    assert_eq!(world.facts(), 0);
}

#[test]
fn a_replayed_or_forked_grant_is_refused_and_the_fork_is_told_the_head() {
    let world = World::new();
    let first = grant(1, 1, None, |_| ());
    world.ledger.submit(&first).expect("good");
    assert!(matches!(world.ledger.submit(&first), Err(Refused::Record(RecordRefusal::TakenBefore { seq: 1 }))));
    let fork = grant(1, 1, None, |document| document["method"] = json!("on my other phone"));
    let Err(Refused::Record(RecordRefusal::OutOfOrder { head })) = world.ledger.submit(&fork) else { panic!("a fork") };
    // the wallet rebases and signs again
    let rebased = grant(1, head.seq + 1, head.record, |document| document["method"] = json!("on my other phone"));
    assert_eq!(world.ledger.submit(&rebased).expect("rebased").seq, 2);
    assert_eq!(world.facts(), 2);
}

#[test]
fn a_withdrawal_answers_with_where_each_stream_stood_and_twice_changes_nothing() {
    let world = World::new();
    let streams = world.streams();
    let given = grant(1, 1, None, |_| ());
    world.ledger.submit(&given).expect("good");
    streams.asked();
    let envelope = withdraw_records(1, testing::NOW, &[given.id()]);
    let answer = world.ledger.withdraw(&envelope).expect("good");
    assert_eq!((answer.record, answer.ended, answer.streams.len(), answer.streams[0].last_handover), (envelope.id(), 1, 1, 41));
    assert_eq!(world.states(1), [GrantState::Withdrawn]);
    let (facts, generation) = (world.facts(), world.ledger.subject(&key(1).did()).expect("known").generation());
    let again = world.ledger.withdraw(&envelope).expect("good");
    assert_eq!((again.record, again.ended, again.streams.len()), (envelope.id(), 0, 1));
    assert_eq!((world.facts(), world.ledger.subject(&key(1).did()).expect("known").generation()), (facts, generation));
    assert_eq!(streams.asked(), [Some(key(1).did()); 2]);
}

#[test]
fn a_withdrawal_before_its_grant_outlives_a_restart() {
    let mut world = World::new();
    let given = grant(1, 1, None, |_| ());
    assert_eq!(world.ledger.withdraw(&withdraw_records(1, testing::NOW, &[given.id()])).expect("good").ended, 0);
    world.restart();
    world.ledger.submit(&given).expect("the chain goes on");
    assert_eq!(world.states(1), [GrantState::Withdrawn]);
}

#[test]
fn an_old_withdrawal_signed_ahead_does_not_reach_a_new_grant() {
    let world = World::new();
    let first = grant(1, 1, None, |_| ());
    world.ledger.submit(&first).expect("good");
    let ahead = [withdraw_records(1, testing::NOW, &[first.id()]), withdraw_up_to(1, testing::NOW, 1)];
    world.ledger.submit(&grant(1, 2, Some(first.id()), |_| ())).expect("good");
    for envelope in &ahead {
        world.ledger.withdraw(envelope).expect("good");
        assert_eq!(world.states(1), [GrantState::Withdrawn, GrantState::Live]);
    }
}

#[test]
fn nobody_withdraws_for_another() {
    let world = World::new();
    let given = grant(1, 1, None, |_| ());
    world.ledger.submit(&given).expect("good");
    assert_eq!(world.ledger.withdraw(&withdraw_records(2, testing::NOW, &[given.id()])).expect("their own").ended, 0);
    assert_eq!(world.states(1), [GrantState::Live]);
}

#[test]
fn a_swap_narrows_at_once() {
    let world = World::new();
    let first = grant(1, 1, None, |_| ());
    world.ledger.submit(&first).expect("good");
    world.ledger.submit(&grant(1, 2, Some(first.id()), |document| document["replaces"] = json!([first.id().to_string()]))).expect("good");
    assert_eq!(world.states(1), [GrantState::Replaced, GrantState::Live]);
}

#[test]
fn a_restart_gives_the_same_standings_keys_and_enrolments() {
    let mut world = World::new();
    let first = grant(1, 1, None, |_| ());
    world.ledger.submit(&first).expect("good");
    world.ledger.submit(&enrol(1)).expect("good");
    world
        .ledger
        .submit(&grant(1, 2, Some(first.id()), |document| document["expires"] = json!(testing::after(HOUR).to_string())))
        .expect("good");
    world.ledger.withdraw(&withdraw_records(1, testing::NOW, &[first.id()])).expect("good");
    world.ledger.submit(&testing::mandate(OPERATOR, 1, None)).expect("good");
    let before = world.ledger.subject(&key(1).did()).expect("known");
    // after the second grant ended by itself: it was in time when it was taken
    world.clock.shift(2 * DAY);
    world.restart();
    let after = world.ledger.subject_of(&source(), VALUE.as_bytes()).expect("enrolled");
    assert_eq!(after.did(), key(1).did());
    assert_eq!(format!("{:?}", after.standing()), format!("{:?}", before.standing()));
    assert_eq!(after.pseudonym_key().expose(), before.pseudonym_key().expose());
    assert_eq!(world.ledger.mandates().len(), 1);
    // and goes on where it stopped
    world.ledger.withdraw(&withdraw_up_to(1, testing::NOW, 2)).expect("good");
    world.restart();
}

#[test]
fn a_value_means_a_subject_once_both_signed() {
    let world = World::new();
    assert!(world.ledger.subject_of(&source(), VALUE.as_bytes()).is_none());
    let generation = world.ledger.enrolment_generation();
    assert_eq!(world.ledger.submit(&enrol(1)).expect("good").seq, 0);
    assert!(world.ledger.enrolment_generation() > generation);
    let subject = world.ledger.subject_of(&source(), VALUE.as_bytes()).expect("enrolled");
    assert_eq!(subject.did(), key(1).did());
    assert!(subject.enrolled());
    // the value of another source is another value, and a did means itself
    assert!(world.ledger.subject_of(&Spiffe::parse("spiffe://hospital.example/other").expect("good"), VALUE.as_bytes()).is_none());
    assert!(Arc::ptr_eq(&subject, &world.ledger.subject_of(&source(), key(1).did().to_string().as_bytes()).expect("itself")));
    for value in [key(2).did().to_string().as_bytes(), b"did:key:z6Mk", b"did:\xff", b""] {
        assert!(world.ledger.subject_of(&source(), value).is_none());
    }
    // sent again it is the same; for somebody else it is taken
    world.ledger.submit(&enrol(1)).expect("the same");
    assert_eq!(world.ledger.submit(&enrol(2)).expect_err("taken").code(), "TV-L04");
}

#[test]
fn an_enrolment_lacks_no_signature() {
    let world = World::new();
    for (envelope, code) in [
        (enrolment(1, |_| (), &[&key(1)]), "TV-L01"),
        (enrolment(1, |_| (), &[&key(1), &key(1)]), "TV-L01"),
        (enrolment(1, |_| (), &[&key(1), &key(2)]), "TV-L01"),
        (enrolment(1, |_| (), &[&key(PARTY)]), "TV-C05"),
        (enrolment(1, |_| (), &[]), "TV-C04"),
        // the party alone, as both
        (enrolment(PARTY, |_| (), &[&key(PARTY), &key(PARTY)]), "TV-L01"),
        (enrolment(1, |document| document["source"] = json!("spiffe://hospital.example/other"), &[&key(1), &key(PARTY)]), "TV-L02"),
        (enrolment(1, |document| document["gateway"] = json!("log.other.example"), &[&key(1), &key(PARTY)]), "TV-C12"),
        (enrolment(1, |document| document["at"] = json!(testing::after(HOUR).to_string()), &[&key(1), &key(PARTY)]), "TV-C18"),
    ] {
        assert_eq!(world.ledger.submit(&envelope).expect_err(code).code(), code);
    }
    assert!(world.ledger.subject_of(&source(), VALUE.as_bytes()).is_none());
}

#[test]
fn nothing_a_source_calls_a_person_rests() {
    let world = World::new();
    world.ledger.submit(&enrol(1)).expect("good");
    world.ledger.submit(&grant(1, 1, None, |_| ())).expect("good");
    let bytes = world.store.bytes();
    let rests = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let subject = world.ledger.subject(&key(1).did()).expect("known");
    assert!(!rests(VALUE.as_bytes()));
    assert!(!rests(data_encoding::BASE64.encode(VALUE.as_bytes()).as_bytes()));
    assert!(!rests(subject.pseudonym_key().expose()));
    assert!(rests(&key(1).did().0), "the search finds what does rest");
}

#[test]
fn a_mandate_changes_every_stream() {
    let world = World::new();
    let streams = world.streams();
    let mandate = testing::mandate(OPERATOR, 1, None);
    world.ledger.submit(&mandate).expect("an operator");
    assert_eq!(world.ledger.mandate_generation(), 1);
    assert_eq!(streams.asked(), [None]);
    let reader = Spiffe::parse("spiffe://lab.example/reader").expect("good");
    let who = RecipientIdentity { spiffe: &reader, did: None, stated_key: None };
    let rules = || {
        let mandates = world.ledger.mandates();
        mandate_deciding(mandates.iter().map(|mandate| &**mandate), &who, &purpose("dpv:AcademicResearch").expect("term"), testing::NOW)
            .rules
            .len()
    };
    assert_eq!(rules(), 1);
    world.ledger.withdraw(&withdraw_records(OPERATOR, testing::NOW, &[mandate.id()])).expect("good");
    assert_eq!((rules(), world.ledger.mandate_generation()), (0, 2));
    // what a person signs changes no mandate
    world.ledger.submit(&grant(1, 1, None, |_| ())).expect("good");
    assert_eq!(world.ledger.mandate_generation(), 2);
}

#[test]
fn a_failed_write_acts_on_nothing_and_the_ledger_recovers_with_its_store() {
    let mut world = World::new();
    let first = grant(1, 1, None, |_| ());
    world.ledger.submit(&first).expect("good");
    let streams = world.streams();
    world.store.set_full(true);
    let second = grant(1, 2, Some(first.id()), |_| ());
    let withdrawal = withdraw_records(1, testing::NOW, &[first.id()]);
    for _ in 0..2 {
        let refused = world.ledger.submit(&second).expect_err("full");
        assert_eq!((refused.code(), refused.whose_move()), ("TV-L06", Move::Ours));
        assert_eq!(world.ledger.withdraw(&withdrawal).expect_err("full").code(), "TV-L06");
        assert_eq!(world.ledger.submit(&enrol(2)).expect_err("full").code(), "TV-L06");
    }
    assert_eq!(world.states(1), [GrantState::Live]);
    assert!(world.ledger.subject(&key(2).did()).is_none());
    assert!(streams.asked().is_empty());
    world.store.set_full(false);
    assert_eq!(world.ledger.withdraw(&withdrawal).expect("room").ended, 1);
    world.ledger.submit(&second).expect("room");
    world.ledger.submit(&enrol(2)).expect("room");
    world.restart();
    assert_eq!(world.states(1), [GrantState::Withdrawn, GrantState::Live]);
}

#[test]
fn a_write_that_failed_after_it_got_to_disk_is_read_before_the_next() {
    let world = World::new();
    let first = grant(1, 1, None, |_| ());
    world.ledger.submit(&first).expect("good");
    let streams = world.streams();
    // the disk has the second record, the ledger was told that it failed
    let second = grant(1, 2, Some(first.id()), |_| ());
    let now = world.clock.now().expect("right");
    world.store.commit(&Batch { facts: vec![fact::write(now, &second)], ..Batch::default() }).expect("room");
    world.ledger.writer().unsure = true;
    assert!(matches!(world.ledger.submit(&second), Err(Refused::Record(RecordRefusal::TakenBefore { seq: 2 }))));
    assert_eq!(streams.asked(), [Some(key(1).did())]);
    assert_eq!(world.states(1), [GrantState::Live, GrantState::Live]);
}

#[test]
fn a_clock_set_back_stops_grants_and_lets_withdrawals_through() {
    let world = World::new();
    let first = grant(1, 1, None, |_| ());
    world.ledger.submit(&first).expect("good");
    world.clock.shift(-HOUR);
    let refused = world.ledger.submit(&grant(1, 2, Some(first.id()), |_| ())).expect_err("behind");
    assert_eq!((refused.code(), refused.whose_move()), ("TV-T01", Move::Operator));
    assert_eq!(world.ledger.tick().expect_err("behind").code(), "TV-T01");
    assert_eq!(world.ledger.withdraw(&withdraw_records(1, testing::NOW, &[first.id()])).expect("waits for nothing").ended, 1);
}

#[test]
fn the_time_outlives_a_restart() {
    let mut world = World::new();
    world.clock.shift(DAY);
    world.ledger.tick().expect("room");
    // the machine comes back with a clock a day behind
    world.clock = clock();
    world.restart();
    assert_eq!(world.ledger.submit(&grant(1, 1, None, |_| ())).expect_err("behind").code(), "TV-T01");
    world.clock.shift(DAY + HOUR);
    world.ledger.submit(&grant(1, 1, None, |_| ())).expect("right again");
}

#[test]
fn a_grant_that_is_over_is_refused() {
    let world = World::new();
    world.clock.shift(31 * DAY);
    assert_eq!(world.ledger.submit(&grant(1, 1, None, |_| ())).expect_err("over").code(), "TV-C17");
}

#[test]
fn strangers_are_bounded_and_an_enrolment_makes_room() {
    let store = Arc::new(Store::in_memory().expect("memory"));
    let ledger = Ledger::open_with((store, log(&Memory::default())), config(), clock(), 2).expect("an empty store");
    ledger.submit(&grant(1, 1, None, |_| ())).expect("the first");
    ledger.withdraw(&withdraw_records(2, testing::NOW, &[RecordId([9; 32])])).expect("the second");
    assert_eq!(ledger.submit(&grant(3, 1, None, |_| ())).expect_err("full").code(), "TV-L05");
    assert_eq!(ledger.withdraw(&withdraw_records(3, testing::NOW, &[RecordId([9; 32])])).expect_err("full").code(), "TV-L05");
    // those who are known, and operators, go on
    let head = ledger.subject(&key(1).did()).expect("known").standing().head();
    ledger.submit(&grant(1, 2, head.record, |_| ())).expect("known");
    ledger.submit(&testing::mandate(OPERATOR, 1, None)).expect("an operator");
    ledger.submit(&enrol(1)).expect("no stranger any more");
    ledger.submit(&grant(3, 1, None, |_| ())).expect("room");
}

#[test]
fn a_folder_of_another_log_or_under_another_key_does_not_open() {
    let world = World::new();
    world.ledger.submit(&grant(1, 1, None, |_| ())).expect("good");
    let open = |config| Ledger::open(Arc::clone(&world.store), log(&world.disk), config, clock()).map(drop);
    assert_eq!(open(LedgerConfig { origin: testing::other_gateway(), ..config() }).expect_err("other").code(), "TV-L07");
    assert_eq!(open(LedgerConfig { store_key: Secret::take(&mut [6; 32]), ..config() }).expect_err("other").code(), "TV-L08");
    assert_eq!(open(config()).map_err(|error| error.code()), Ok(()));
}

#[test]
fn a_fact_that_does_not_verify_or_follow_stops_the_start() {
    let forged = {
        let mut envelope = grant(1, 2, None, |_| ());
        envelope.signatures[0].sig[0] ^= 1;
        envelope
    };
    let out_of_order = grant(1, 5, Some(RecordId([1; 32])), |_| ());
    for (bytes, inner) in [
        (fact::write(testing::NOW, &forged), "TV-C04"),
        (fact::write(testing::NOW, &out_of_order), "TV-C14"),
        (fact::write(testing::NOW, &grant(2, 1, None, |_| ())), "TV-D02"),
        (b"short".to_vec(), "TV-C02"),
    ] {
        let world = World::new();
        world.ledger.submit(&grant(1, 1, None, |_| ())).expect("good");
        world.store.commit(&Batch { facts: vec![bytes], ..Batch::default() }).expect("room");
        let error = Ledger::open(Arc::clone(&world.store), log(&world.disk), config(), clock()).map(drop).expect_err("damaged");
        assert!(matches!(error, OpenError::BadFact { fact: 1, code } if code == inner), "{error}");
        assert_eq!(error.code(), "TV-L09");
    }
}

#[test]
fn an_operator_who_is_one_no_longer_mandates_nothing() {
    let world = World::new();
    world.ledger.submit(&testing::mandate(OPERATOR, 1, None)).expect("an operator");
    let later = Ledger::open(Arc::clone(&world.store), log(&world.disk), LedgerConfig { operators: Vec::new(), ..config() }, clock())
        .expect("what was written");
    assert!(later.mandates().is_empty());
}

#[test]
fn what_the_ledger_says_is_one_line_with_a_code_and_a_move() {
    let source = source();
    let own = [
        Refused::NotCountersigned(source.clone()),
        Refused::UnknownSource(source.clone()),
        Refused::NotAnOperator,
        Refused::HandleTaken(source),
        Refused::TooManyStrangers,
        Refused::Unavailable(StoreError::InUse),
        Refused::Unlogged(Arc::new(LogError::SetBack)),
    ];
    assert_eq!(own.iter().map(Refused::code).collect::<Vec<_>>(), Refused::ALL);
    for refused in own {
        let text = refused.to_string();
        assert!(!text.contains('\n') && !text.ends_with('.') && !text.starts_with(char::is_uppercase), "{text}");
    }
    let open = [
        OpenError::OtherOrigin { stored: "x".into() },
        OpenError::WrongKey,
        OpenError::BadFact { fact: 1, code: "TV-C04" },
        OpenError::StoreBehind { noted: 1, logged: 2 },
        OpenError::LogBehind { kept: 2, logged: 1 },
    ];
    assert_eq!(open.iter().map(OpenError::code).collect::<Vec<_>>(), OpenError::ALL);
}
