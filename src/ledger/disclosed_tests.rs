use super::super::tests::{World, config, log};
use super::*;
use crate::ledger::disclosing::Disclosing;
use crate::veil::consent::testing::{self, HOUR, grant, key, withdraw_up_to};
use crate::veil::merkle::note::VerifierKey;
use crate::veil::terms::purpose;

const RECORD: RecordId = RecordId([6; 32]);

fn says(recipient: &str) -> Says {
    let field = v1::DisclosedField { path: "vitals.heart_rate".into(), treatment: v1::Treatment::Keep.into(), ..Default::default() };
    Says {
        recipient: Spiffe::parse(&format!("spiffe://lab.example/{recipient}")).expect("good"),
        purpose: purpose("dpv:AcademicResearch").expect("a term"),
        schema: SchemaName::new("a.B"),
        fields: [field].into(),
        records: vec![RECORD],
        warrant: None,
        hidden_until: None,
    }
}

fn terms(recipient: &str) -> Terms {
    Terms::new(&[1; 32], says(recipient))
}

impl World {
    /// With a subject.
    fn of_one() -> Self {
        let world = Self::new();
        world.ledger.submit(&grant(1, 1, None, |_| ())).expect("good");
        world
    }

    fn now(&self) -> UnixMs {
        self.clock.now().expect("right")
    }

    fn counts(&self, recipient: &str) -> Counting {
        self.ledger.begin_counting(did(), terms(recipient), self.now()).expect("room")
    }

    /// The next interval on the clock.
    fn later(&self) {
        self.clock.shift(HOUR);
        self.ledger.log_disclosures(Vec::new).expect("room");
    }

    fn shown(&self) -> Vec<Shown> {
        let shown = self.ledger.disclosed(&did(), 0, 99, self.now(), |_| true).expect("readable");
        for one in &shown {
            let log = VerifierKey::new(testing::GATEWAY, key(9).did()).expect("a name");
            let leaf = Leaf::parse(one.receipt.proof.extra.as_deref().expect("the entry")).expect("a leaf");
            one.receipt.proof.verify(leaf.bytes(), &log).expect("in the log");
            assert!(leaf.is_of(Act::Disclosure, &one.receipt.salt, &RecordId(sha256(&[&one.bytes]))));
            assert_eq!(one.disclosure.place[..], one.place.commitment());
        }
        shown
    }

    /// Recipient's last letter, frames, whether that is all; of what is in the log.
    fn told(&self) -> Vec<(String, u64, bool)> {
        self.shown().iter().map(|one| said(&one.disclosure)).collect()
    }

    fn open(&self) -> Vec<(String, u64, bool)> {
        self.ledger.under_way(&did(), self.now(), |_| true).iter().map(said).collect()
    }
}

fn said(disclosure: &v1::Disclosure) -> (String, u64, bool) {
    (disclosure.recipient.rsplit('/').next().unwrap_or_default().to_owned(), disclosure.frames, disclosure.at_least)
}

fn did() -> Did {
    key(1).did()
}

fn exactly(told: &[(&str, u64)]) -> Vec<(String, u64, bool)> {
    told.iter().map(|(recipient, frames)| ((*recipient).to_owned(), *frames, false)).collect()
}

fn sorted(mut told: Vec<(String, u64, bool)>) -> Vec<(String, u64, bool)> {
    told.sort();
    told
}

#[test]
fn what_views_count_is_one_disclosure_of_the_hour_and_the_next_hour_another() {
    let world = World::of_one();
    let (one, same, other) = (world.counts("a"), world.counts("a"), world.counts("b"));
    for _ in 0..3 {
        one.one();
        same.one();
    }
    other.one();
    drop(same);
    assert_eq!((sorted(world.open()), world.told()), (exactly(&[("a", 6), ("b", 1)]), vec![]));
    world.later();
    assert_eq!((world.open(), sorted(world.told())), (vec![], exactly(&[("a", 6), ("b", 1)])));
    one.one();
    world.later();
    world.later();
    assert_eq!(world.told().len(), 3, "an hour without a frame says nothing");
    let shown = world.shown();
    assert_eq!(said(&shown[2].disclosure), ("a".into(), 1, false));
    assert!(shown[2].disclosure.from_ms >= shown[0].disclosure.until_ms.max(shown[1].disclosure.until_ms));
    let mut before = (0, [0; 32]);
    for one in &shown {
        assert_eq!((one.place.number, one.place.before), before, "each stands behind the one before");
        before = (one.place.number + 1, sha256(&[&one.bytes]));
    }
    assert_eq!(world.ledger.disclosed(&did(), 0, 1, world.now(), |_| true).expect("readable"), shown[..1]);
    let from = shown[1].receipt.proof.index;
    assert_eq!(world.ledger.disclosed(&did(), from, 9, world.now(), |_| true).expect("readable"), shown[1..]);
    assert_eq!(world.ledger.disclosed(&did(), 0, 9, world.now(), |one| said(one).0 == "b").expect("readable").len(), 1);
    assert_eq!(world.ledger.disclosed(&key(2).did(), 0, 9, world.now(), |_| true).expect("readable"), []);
}

#[test]
fn a_view_that_hands_nothing_over_was_never_there() {
    let world = World::of_one();
    for _ in 0..10 {
        drop(world.counts("a"));
    }
    world.later();
    assert_eq!((world.told(), world.open()), (vec![], vec![]));
}

#[test]
fn a_withdrawal_cuts_and_what_comes_behind_it_is_another_interval() {
    let world = World::of_one();
    let counting = world.counts("a");
    counting.one();
    world.clock.shift(1_000);
    world.ledger.withdraw(&withdraw_up_to(1, world.now(), 9)).expect("good");
    let withdrawn = world.now();
    world.clock.shift(1_000);
    counting.one();
    counting.one();
    assert_eq!(world.open(), exactly(&[("a", 1), ("a", 2)]));
    world.later();
    let shown = world.shown();
    assert_eq!(shown.iter().map(|one| one.disclosure.frames).collect::<Vec<_>>(), [1, 2]);
    assert!(shown[0].disclosure.until_ms <= withdrawn.0 && shown[1].disclosure.from_ms <= withdrawn.0 + 50);
}

#[test]
fn what_is_stopped_in_good_order_loses_nothing_and_leaves_no_gap() {
    let mut world = World::of_one();
    let counting = world.counts("a");
    counting.one();
    world.ledger.end_disclosures().expect("room");
    drop(counting);
    world.restart();
    assert_eq!((world.told(), world.open()), (exactly(&[("a", 1)]), vec![]));
    assert_eq!(world.ledger.gaps().expect("readable"), []);
}

#[test]
fn after_a_crash_what_was_noted_is_told_as_at_least_so_much_and_the_rest_as_a_gap() {
    let mut world = World::of_one();
    let (counting, later) = (world.counts("a"), world.counts("b"));
    counting.one();
    let noted = world.now();
    world.ledger.tick().expect("room");
    counting.one();
    later.one();
    world.clock.shift(3_000);
    world.restart();
    assert_eq!(world.open(), [("a".to_owned(), 1, true)]);
    world.ledger.log_disclosures(Vec::new).expect("room");
    assert_eq!((world.told(), world.open()), (vec![("a".to_owned(), 1, true)], vec![]));
    let gaps = world.ledger.gaps().expect("readable");
    assert!(gaps.len() == 1 && gaps[0].0 >= noted && gaps[0].1.0 >= noted.0 + 3_000, "{gaps:?}");
    // Logged once, whatever comes.
    world.restart();
    world.later();
    assert_eq!(world.told().len(), 1);
}

#[test]
fn on_a_full_disk_everything_waits_and_is_told_when_there_is_room() {
    let world = World::of_one();
    let counting = world.counts("a");
    counting.one();
    world.store.set_full(true);
    world.clock.shift(HOUR);
    assert_eq!(world.ledger.log_disclosures(Vec::new).expect_err("full").code(), "TV-L06");
    assert!(world.ledger.tick().is_err());
    counting.one();
    assert_eq!(world.open(), exactly(&[("a", 1), ("a", 1)]));
    world.store.set_full(false);
    world.ledger.log_disclosures(Vec::new).expect("room: it is due still");
    assert_eq!((world.told(), world.open()), (exactly(&[("a", 1)]), exactly(&[("a", 1)])));
    world.store.authenticate(&world.ledger.rest_key).expect("as it was left");
}

#[test]
fn so_many_intervals_are_counted_and_no_view_is_made_that_would_need_another() {
    let clock = super::super::tests::clock();
    let disclosing = Arc::new(Disclosing::new(clock, 2));
    let begin = |recipient| disclosing.begin(did(), terms(recipient), testing::NOW);
    let (one, other) = (begin("a").expect("room"), begin("b").expect("room"));
    assert!(begin("c").is_none() && disclosing.begin(key(2).did(), terms("a"), testing::NOW).is_none());
    let _same = begin("a").expect("it counts where there is one");
    one.one();
    drop((one, _same));
    assert!(begin("c").is_none(), "what was counted is kept");
    drop(other);
    let again = begin("c").expect("room again");
    // With so many, what nobody counts in any more goes early.
    assert!(disclosing.take_due());
    assert_eq!(disclosing.unnoted(9).iter().map(|interval| interval.frames).collect::<Vec<_>>(), [1]);
    drop(again);
}

#[test]
fn what_an_order_hides_is_logged_at_once_shown_later_and_leaves_no_gap() {
    let world = World::of_one();
    let until = UnixMs(world.now().0 + 10 * HOUR);
    let hidden = Says { warrant: Some(RecordId([8; 32])), hidden_until: Some(until), ..says("court") };
    let (open, gagged) = (world.counts("a"), world.ledger.begin_counting(did(), Terms::new(&[1; 32], hidden), world.now()).expect("room"));
    for _ in 0..3 {
        open.one();
        gagged.one();
        assert_eq!(world.open(), exactly(&[("a", 1)]));
        world.later();
    }
    let before = world.log_size();
    let visible = world.shown();
    assert_eq!(visible.iter().map(|one| one.place.number).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(visible.iter().all(|one| one.disclosure.warrant.is_empty()));
    world.clock.shift(8 * HOUR);
    let all = world.shown();
    let court: Vec<_> = all.iter().filter(|one| one.disclosure.warrant[..] == [8; 32]).collect();
    assert_eq!(court.iter().map(|one| one.place.number).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(all.len() == 6 && court.iter().all(|one| one.receipt.proof.index < before), "it was in the log all the time");
}

impl World {
    fn log_size(&self) -> u64 {
        self.ledger.log.size()
    }
}

#[test]
fn nothing_of_it_is_in_clear_at_rest() {
    let world = World::of_one();
    let counting = world.counts("canary-reader");
    counting.one();
    world.ledger.tick().expect("room");
    let noted = world.store.bytes();
    world.later();
    for bytes in [noted, world.store.bytes()] {
        for canary in [&b"canary-reader"[..], b"heart_rate", &RECORD.0] {
            assert!(!bytes.windows(canary.len()).any(|window| window == canary));
        }
    }
}

#[test]
fn what_was_refused_is_one_entry_of_the_interval_about_nobody() {
    let mut world = World::of_one();
    let size = world.log_size();
    world.clock.shift(HOUR);
    world.ledger.log_disclosures(|| vec![("TV-W01", 3), ("TV-G03", 0)]).expect("room");
    world.clock.shift(HOUR);
    world.ledger.log_disclosures(|| vec![("TV-W01", 3)]).expect("room");
    world.clock.shift(HOUR);
    world.ledger.log_disclosures(|| vec![("TV-W01", 4), ("TV-G03", 2)]).expect("room");
    world.restart();
    let objects = world.ledger.refusal_objects(0, 9).expect("readable");
    let read = |(leaf, object): &(u64, Vec<u8>)| (*leaf, v1::Refusals::decode(object.as_slice()).expect("what was written"));
    let refusals: Vec<_> = objects.iter().map(read).collect();
    let counts = |at: usize| refusals[at].1.counts.iter().map(|one| (one.code.as_str(), one.count)).collect::<Vec<_>>();
    assert_eq!((refusals.len(), counts(0), counts(1)), (2, vec![("TV-W01", 3)], vec![("TV-W01", 1), ("TV-G03", 2)]));
    assert_eq!(refusals.iter().map(|(leaf, _)| *leaf).collect::<Vec<_>>(), [size, size + 1]);
    assert!(refusals[0].1.until_ms <= refusals[1].1.from_ms && refusals[0].1.id != refusals[1].1.id);
    let copy = crate::log::Copy::of(Box::new(world.disk.clone()));
    let head = copy.head(world.ledger.log.verifier()).expect("signed");
    let object = RecordId(sha256(&[&refusals[1].1.encode_to_vec()]));
    let found = copy.find(&head, |leaf| leaf.is_of(Act::Refusals, &Salt::OPEN, &object)).expect("readable");
    assert_eq!(found, Some(size + 1));
}

#[test]
fn disclosures_of_many_subjects_are_written_together_and_each_has_a_row_of_its_own() {
    let world = World::new();
    let people: Vec<u8> = (10..40).collect();
    for n in &people {
        world.ledger.submit(&grant(*n, 1, None, |_| ())).expect("good");
    }
    let counting: Vec<_> =
        people.iter().map(|n| world.ledger.begin_counting(key(*n).did(), terms("a"), world.now()).expect("room")).collect();
    for _ in 0..2 {
        counting.iter().for_each(Counting::one);
        world.later();
    }
    for n in &people {
        let shown = world.ledger.disclosed(&key(*n).did(), 0, 9, world.now(), |_| true).expect("readable");
        assert_eq!(shown.iter().map(|one| (one.place.number, one.disclosure.frames)).collect::<Vec<_>>(), [(0, 1), (1, 1)]);
    }
    // A second ledger on the same log and store finds nothing to add.
    let (store, disk) = (Arc::clone(&world.store), world.disk.clone());
    let size = world.log_size();
    let again = Ledger::open(store, log(&disk), config(), Arc::clone(&world.clock)).expect("as it was left");
    assert_eq!(again.log.size(), size);
}

#[test]
fn a_row_that_was_changed_or_put_elsewhere_is_not_shown_and_is_noticed_at_the_start() {
    let world = World::of_one();
    let counting = world.counts("a");
    for _ in 0..2 {
        counting.one();
        world.later();
    }
    let rows: Vec<_> = world.store.rows().into_iter().filter(|(table, ..)| table == "disclosed").collect();
    let [(table, first, value), (_, second, other)] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    let mut bent = value.clone();
    bent[40] ^= 1;
    world.store.tamper(table, first, Some(&bent));
    let told = || world.ledger.disclosed(&did(), 0, 9, world.now(), |_| true);
    assert_eq!(told().expect_err("changed").code(), "TV-L13");
    // Of the same subject, and whole: the entry of the log is not its own, which the wallet sees.
    world.store.tamper(table, first, Some(other));
    world.store.tamper(table, second, Some(value));
    for one in told().expect("they open") {
        let leaf = Leaf::parse(one.receipt.proof.extra.as_deref().expect("the entry")).expect("a leaf");
        assert!(!leaf.is_of(Act::Disclosure, &one.receipt.salt, &RecordId(sha256(&[&one.bytes]))));
    }
    let error = Ledger::open(Arc::clone(&world.store), log(&world.disk), config(), Arc::clone(&world.clock));
    assert_eq!(error.map(drop).expect_err("changed").code(), "TV-D05");
}
