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
use crate::veil::name::StreamId;
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
    pub(super) clock: Arc<Clock>,
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
        sign: Arc::new(key(9)),
        persons: Register::new(key(9).did(), Vec::new()).expect("nobody"),
        operators: vec![key(OPERATOR).did()],
        sources: vec![(source(), key(PARTY).did())],
        disclosure_ms: testing::HOUR,
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
        let subject = self.ledger.subject(&key(n).did()).expect("readable").expect("known");
        subject.standing().grants().iter().map(|grant| grant.state(testing::NOW)).collect()
    }

    fn facts(&self) -> usize {
        self.store.rows().iter().filter(|(table, ..)| *table == "facts").count()
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
    let subject = world.ledger.subject(&key(1).did()).expect("readable").expect("known now");
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
        (grant(1, 1, None, |document| document["recipients"][0]["prid"] = json!("ab")), "TV-C08"),
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
    assert!(world.ledger.subject(&key(1).did()).expect("readable").is_none());
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
    let (facts, generation) = (world.facts(), world.ledger.subject(&key(1).did()).expect("readable").expect("known").generation());
    let again = world.ledger.withdraw(&envelope).expect("good");
    assert_eq!((again.record, again.ended, again.streams.len()), (envelope.id(), 0, 1));
    assert_eq!((world.facts(), world.ledger.subject(&key(1).did()).expect("readable").expect("known").generation()), (facts, generation));
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
    let before = world.ledger.subject(&key(1).did()).expect("readable").expect("known");
    // after the second grant ended by itself: it was in time when it was taken
    world.clock.shift(2 * DAY);
    world.restart();
    let after = world.ledger.subject_of(&source(), VALUE.as_bytes()).expect("readable").expect("enrolled");
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
    assert!(world.ledger.subject_of(&source(), VALUE.as_bytes()).expect("readable").is_none());
    let generation = world.ledger.enrolment_generation();
    assert_eq!(world.ledger.submit(&enrol(1)).expect("good").seq, 0);
    assert!(world.ledger.enrolment_generation() > generation);
    let subject = world.ledger.subject_of(&source(), VALUE.as_bytes()).expect("readable").expect("enrolled");
    assert_eq!(subject.did(), key(1).did());
    assert!(subject.enrolled());
    // the value of another source is another value, and a did means itself
    assert!(
        world
            .ledger
            .subject_of(&Spiffe::parse("spiffe://hospital.example/other").expect("good"), VALUE.as_bytes())
            .expect("readable")
            .is_none()
    );
    assert!(Arc::ptr_eq(
        &subject,
        &world.ledger.subject_of(&source(), key(1).did().to_string().as_bytes()).expect("readable").expect("itself")
    ));
    for value in [key(2).did().to_string().as_bytes(), b"did:key:z6Mk", b"did:\xff", b""] {
        assert!(world.ledger.subject_of(&source(), value).expect("readable").is_none());
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
    assert!(world.ledger.subject_of(&source(), VALUE.as_bytes()).expect("readable").is_none());
}

#[test]
fn nothing_a_source_calls_a_person_rests() {
    let world = World::new();
    world.ledger.submit(&enrol(1)).expect("good");
    world.ledger.submit(&grant(1, 1, None, |_| ())).expect("good");
    let bytes = world.store.bytes();
    let rests = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let subject = world.ledger.subject(&key(1).did()).expect("readable").expect("known");
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
    assert!(streams.asked().is_empty());
    // Who is not in memory can't be told from a stranger, and is not taken for one.
    assert_eq!(world.ledger.subject(&key(2).did()).expect_err("can't be opened").code(), "TV-L06");
    world.store.set_full(false);
    assert!(world.ledger.subject(&key(2).did()).expect("readable").is_none());
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
    let mut batch = fact::batch(world.clock.now().expect("right"), &second);
    batch.subject = Some(row_with(&world, &key(1).did(), &batch.facts));
    world.store.commit(&rest_key(), &batch).expect("room");
    world.ledger.writer().unsure = Some(vec![(key(1).did(), Some(false))]);
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
    let ledger = Ledger::open_with((store, log(&Memory::default())), config(), clock(), (2, RESIDENT_MAX)).expect("an empty store");
    ledger.submit(&grant(1, 1, None, |_| ())).expect("the first");
    ledger.withdraw(&withdraw_records(2, testing::NOW, &[RecordId([9; 32])])).expect("the second");
    assert_eq!(ledger.submit(&grant(3, 1, None, |_| ())).expect_err("full").code(), "TV-L05");
    assert_eq!(ledger.withdraw(&withdraw_records(3, testing::NOW, &[RecordId([9; 32])])).expect_err("full").code(), "TV-L05");
    // those who are known, and operators, go on
    let head = ledger.subject(&key(1).did()).expect("readable").expect("known").standing().head();
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

pub(super) fn rest_key() -> RestKey {
    RestKey::new(&config().store_key)
}

/// A subject's row with more facts, as only the gateway's key can make it.
pub(super) fn row_with(world: &World, did: &Did, facts: &[Vec<u8>]) -> (Did, Vec<u8>) {
    let history = world.store.history(did).expect("readable").expect("a subject");
    let at_rest = rest_key().open_subject(did, &history.row).expect("own");
    let kept = facts.iter().fold(at_rest.kept, |kept, fact| kept.and(fact));
    (*did, rest_key().seal_subject(did, &AtRest { kept, ..at_rest }, &mut world::entropy()))
}

#[test]
fn a_fact_that_does_not_verify_or_follow_is_not_decided_on_even_under_the_gateways_own_key() {
    let forged = |n, at: RecordId| {
        let mut envelope = if n == OPERATOR { testing::mandate(n, 2, Some(at)) } else { grant(n, 2, Some(at), |_| ()) };
        envelope.signatures[0].sig[0] ^= 1;
        envelope
    };
    let first = grant(1, 1, None, |_| ());
    let out_of_order = grant(1, 5, Some(RecordId([1; 32])), |_| ());
    for (bytes, inner) in [
        (fact::write(testing::NOW, &forged(1, first.id())), "TV-C04"),
        (fact::write(testing::NOW, &out_of_order), "TV-C14"),
        (fact::write(testing::NOW, &grant(2, 1, None, |_| ())), "TV-D05"),
        (b"short".to_vec(), "TV-C02"),
    ] {
        let mut world = World::new();
        world.ledger.submit(&first).expect("good");
        world.ledger.submit(&enrol(1)).expect("good");
        let subject = Some(row_with(&world, &key(1).did(), std::slice::from_ref(&bytes)));
        world.store.commit(&rest_key(), &Batch { facts: vec![bytes], subject, ..Batch::default() }).expect("room");
        world.restart();
        let unread = |refused: Refused| {
            assert!(matches!(refused, Refused::Unread { fact: Some(1), code } if code == inner), "{refused}");
            assert_eq!((refused.code(), refused.whose_move()), ("TV-L13", Move::Operator));
        };
        unread(world.ledger.subject(&key(1).did()).expect_err("damaged"));
        unread(world.ledger.subject_of(&source(), VALUE.as_bytes()).expect_err("damaged"));
        unread(world.ledger.submit(&grant(1, 2, Some(first.id()), |_| ())).expect_err("damaged"));
        unread(world.ledger.withdraw(&withdraw_up_to(1, testing::NOW, 1)).expect_err("damaged"));
        // Others go on.
        world.ledger.submit(&grant(2, 1, None, |_| ())).expect("another subject");
    }
    // What operators mandate is in every view: with it the gateway does not start.
    let world = World::new();
    let mandate = testing::mandate(OPERATOR, 1, None);
    world.ledger.submit(&mandate).expect("an operator");
    let bytes = vec![fact::write(testing::NOW, &forged(OPERATOR, mandate.id()))];
    let subject = Some(row_with(&world, &key(OPERATOR).did(), &bytes));
    world.store.commit(&rest_key(), &Batch { facts: bytes, subject, ..Batch::default() }).expect("room");
    let error = Ledger::open(Arc::clone(&world.store), log(&world.disk), config(), clock()).map(drop).expect_err("damaged");
    assert!(matches!(error, OpenError::BadFact { fact: 1, code: "TV-C04" }), "{error}");
    assert_eq!(error.code(), "TV-L09");
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
        Refused::Unread { fact: None, code: "TV-C04" },
        Refused::NoSuchDemand(RecordId([7; 32])),
    ];
    assert_eq!(own.iter().map(Refused::code).collect::<Vec<_>>(), Refused::ALL);
    for refused in own {
        let text = refused.to_string();
        assert!(!text.contains('\n') && !text.ends_with('.') && !text.starts_with(char::is_uppercase), "{text}");
    }
    let open = [
        OpenError::OtherOrigin { stored: "x".into() },
        OpenError::BadFact { fact: 1, code: "TV-C04" },
        OpenError::StoreBehind { noted: 1, logged: 2 },
        OpenError::LogBehind { kept: 2, logged: 1 },
        OpenError::BadDesk { row: 1, code: "TV-D05" },
    ];
    assert_eq!(open.iter().map(OpenError::code).collect::<Vec<_>>(), OpenError::ALL);
}

#[test]
fn delegations_agreements_and_ends_are_kept_and_come_back_the_same() {
    let mut world = World::new();
    let delegation = testing::delegation(1, 2, 1, None, |_| ());
    assert_eq!(world.ledger.submit(&delegation).expect("both signed").seq, 1);
    let given = testing::delegated(1, 2, delegation.id(), 2, Some(delegation.id()), |_| ());
    world.ledger.submit(&given).expect("the guardian's");
    let agreement = testing::agreement(1, 3, Some(given.id()), 1, &[2], |_| ());
    assert_eq!(world.ledger.submit(&agreement).expect("hers").seq, 3);
    let before = world.ledger.standing_of(&key(1).did()).expect("readable");
    world.restart();
    assert_eq!(format!("{:?}", world.ledger.standing_of(&key(1).did()).expect("readable")), format!("{before:?}"));
    assert_eq!(world.states(1), [GrantState::Live]);
    // The end acts when it answers, and answers as well when it is sent again.
    let streams = world.streams();
    let end = testing::end_delegation(1, 2, &[delegation.id()]);
    let (facts, answer) = (world.facts(), world.ledger.withdraw(&end).expect("the delegate's"));
    assert_eq!((answer.record, answer.ended, answer.streams.len(), world.facts()), (end.id(), 1, 1, facts + 1));
    assert_eq!(world.states(1), [GrantState::Ended]);
    let again = world.ledger.withdraw(&end).expect("again");
    assert_eq!((again.ended, again.streams.len(), world.facts()), (0, 1, facts + 1));
    assert_eq!(streams.asked(), [Some(key(1).did()); 2]);
    world.restart();
    assert_eq!(world.states(1), [GrantState::Ended]);
}

#[test]
fn a_delegation_goes_to_submit_and_its_end_to_withdraw() {
    let world = World::new();
    let delegation = testing::delegation(1, 2, 1, None, |_| ());
    let agreement = testing::agreement(1, 1, None, 1, &[2], |_| ());
    for record in [&delegation, &agreement] {
        assert_eq!(world.ledger.withdraw(record).expect_err("a grant's call").code(), "TV-C13");
    }
    let end = testing::end_delegation(1, 1, &[delegation.id()]);
    assert_eq!(world.ledger.submit(&end).expect_err("a withdrawal's call").code(), "TV-C13");
    // An end that comes first waits for its delegation, also across a restart; what is refused leaves nothing.
    let mut world = world;
    assert_eq!(world.ledger.withdraw(&end).expect("kept").ended, 0);
    world.restart();
    world.ledger.submit(&delegation).expect("the chain goes on");
    let given = testing::delegated(1, 2, delegation.id(), 2, Some(delegation.id()), |_| ());
    assert_eq!(world.ledger.submit(&given).expect_err("ended").code(), "TV-C22");
    let mandate = testing::agreement(1, 2, Some(delegation.id()), 1, &[2], |document| document["signer"]["role"] = json!("operator"));
    assert_eq!(world.ledger.submit(&mandate).expect_err("no operator").code(), "TV-L03");
}

#[test]
fn an_end_is_taken_while_the_clock_is_behind_and_not_while_the_disk_is_full() {
    let world = World::new();
    let delegation = testing::delegation(1, 2, 1, None, |_| ());
    world.ledger.submit(&delegation).expect("both signed");
    let end = testing::end_delegation(1, 1, &[delegation.id()]);
    world.clock.shift(-HOUR);
    world.store.set_full(true);
    assert_eq!(world.ledger.withdraw(&end).expect_err("full").code(), "TV-L06");
    assert_eq!(world.ledger.submit(&testing::delegation(1, 3, 2, Some(delegation.id()), |_| ())).expect_err("behind").code(), "TV-T01");
    world.store.set_full(false);
    world.ledger.withdraw(&end).expect("waits for nothing");
    let standing = world.ledger.standing_of(&key(1).did()).expect("readable");
    assert!(standing.delegations()[0].ended().is_some());
}

#[test]
fn a_use_is_on_disk_before_it_is_free_and_a_crash_loses_it() {
    let mut world = World::new();
    let waker = std::task::Waker::noop();
    let one = RecordId([1; 32]);
    let uses = world.ledger.uses(one, 1);
    assert_eq!(uses.take(waker), Took::Wait { begin: true });
    world.store.set_full(true);
    assert_eq!(world.ledger.reserve(&uses).expect_err("full").code(), "TV-L06");
    uses.wake();
    assert_eq!(uses.take(waker), Took::Wait { begin: true }, "nothing is free that is not on disk");
    world.store.set_full(false);
    world.ledger.reserve(&uses).expect("room");
    uses.wake();
    let mut kept = Vec::new();
    world.store.uses(|record, reserved, max| kept.push((record, reserved, max))).expect("readable");
    assert_eq!(kept, [(one, 1, 1)]);
    // The gateway dies before anything was handed over: the use is lost, and not there twice.
    world.restart();
    assert_eq!(world.ledger.uses(one, 1).take(waker), Took::Spent);
    assert!(world.ledger.is_spent(&one) && world.ledger.used(&one) == 1);
    assert!(!world.ledger.is_spent(&RecordId([2; 32])));
}

#[test]
fn few_uses_are_reserved_one_by_one_and_many_a_few_at_a_time() {
    let world = World::new();
    let waker = std::task::Waker::noop();
    for (n, max, most) in [(1u8, 10u64, 1u64), (2, 64, 4), (3, 1_000_000, 64)] {
        let uses = world.ledger.uses(RecordId([n; 32]), max);
        world.ledger.reserve(&uses).expect("room");
        let free = std::iter::repeat_with(|| uses.take(waker)).take_while(|took| *took == Took::One).count() as u64;
        assert_eq!(free, most, "of {max}");
    }
    // and in the end all of them, and no more
    let uses = world.ledger.uses(RecordId([4; 32]), 50);
    let mut taken = 0;
    loop {
        match uses.take(waker) {
            Took::One => taken += 1,
            Took::Spent => break,
            Took::Wait { .. } => {
                world.ledger.reserve(&uses).expect("room");
                uses.wake();
            }
        }
    }
    assert_eq!(taken, 50);
}
