use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::row::What;
use super::*;
use crate::ledger::tests::{World, clock, config, log};
use crate::store::rest::RestKey;
use crate::veil::consent::envelope::{Envelope, Payload};
use crate::veil::consent::testing::{self, DAY, HOUR, after, key};
use crate::veil::crypto::secret::Secret;
use crate::veil::demand::{About, Decision, Demand, Notice, Person, Role, Stage, State, write};
use crate::veil::name::{SchemaName, Spiffe};

const SUBJECT: u8 = 1;
pub(super) const CLERK: u8 = 21;
/// The clerk's other key.
pub(super) const CLERK_TOO: u8 = 26;
pub(super) const COUNSEL: u8 = 22;
pub(super) const ANALYST: u8 = 23;
pub(super) const ONE: u8 = 24;
const TWO: u8 = 25;
const SCHEMA: &str = "twinveil.sample.PatientFrame";
const COURT: &str = "spiffe://court.example/desk";

fn register() -> Register {
    let person = |n: u8, role| Person { keys: vec![key(n).did()], roles: BTreeSet::from([role]) };
    let persons = vec![
        Person { keys: vec![key(CLERK).did(), key(CLERK_TOO).did()], roles: BTreeSet::from([Role::Clerk]) },
        person(COUNSEL, Role::Counsel),
        person(ANALYST, Role::Analyst),
        person(ONE, Role::Approver),
        person(TWO, Role::Approver),
    ];
    Register::new(key(9).did(), persons).expect("a register")
}

pub(super) fn world() -> World {
    let world = World::new();
    world.ledger.employ(register());
    world
}

pub(super) fn restarted(world: &mut World) {
    world.restart();
    world.ledger.employ(register());
}

fn now(world: &World) -> UnixMs {
    world.ledger.clock().now().expect("right")
}

fn court() -> Spiffe {
    Spiffe::parse(COURT).expect("an id")
}

pub(super) fn signed<P: Payload>(world: &World, n: u8, said: &Value) -> Envelope {
    write::write::<P>(said, &key(n), &testing::gateway(), now(world), crate::world::random()).expect("as persons sign them")
}

fn field() -> Value {
    json!([{"schema": SCHEMA, "path": "vitals"}])
}

fn period(until: i64) -> Value {
    json!({"from": testing::NOW.to_string(), "until": after(until).to_string()})
}

fn demand(world: &World, change: impl FnOnce(&mut Value)) -> (Envelope, About) {
    let about = About { secret: Secret::take(&mut [7; 32]), subjects: BTreeSet::from([key(SUBJECT).did()]) };
    let mut said = json!({
        "received": testing::NOW.to_string(),
        "source": {"kind": "court", "jurisdiction": "DE", "home": true, "authority": "A court", "document_sha256": "ab".repeat(32),
                   "process": "order", "statute": "a law"},
        "asks": "live-data", "content": true, "everybody": false, "emergency": false, "fields": field(), "period": period(10 * DAY),
        "about": about.commitment().to_string(),
    });
    change(&mut said);
    (signed::<Demand>(world, CLERK, &said), about)
}

fn filed(world: &World, change: impl FnOnce(&mut Value)) -> RecordId {
    let (envelope, about) = demand(world, change);
    world.ledger.file_demand(&envelope, Some(about)).expect("a clerk's").record
}

fn gagged(said: &mut Value) {
    said["gag"] = json!({"basis": "a law", "until": after(30 * DAY).to_string()});
}

fn stages(world: &World, demand: RecordId) -> Vec<String> {
    let stage = |n: u8, by: u8, more: Value| {
        let mut said = json!({"demand": demand.to_string(), "n": n, "met": true, "reasoning_sha256": "cd".repeat(32)});
        said.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        world.ledger.submit_demand(&signed::<Stage>(world, by, &said)).expect("a stage").record.to_string()
    };
    vec![
        stage(1, COUNSEL, json!({"determination": "court-order", "no_challenge": {"primary_law": true, "jurisdiction": true}})),
        stage(2, COUNSEL, json!({"risks": ["licence"]})),
        stage(3, ANALYST, json!({"rights": [{"instrument": "ICCPR", "article": "17", "finding": "compatible"}]})),
    ]
}

fn decision(world: &World, demand: RecordId, stages: &[String], change: impl FnOnce(&mut Value)) -> Envelope {
    let mut said = json!({"demand": demand.to_string(), "outcome": "comply", "stages": stages, "fields": field(), "recipient": COURT,
        "period": period(10 * DAY), "reasoning_sha256": "ef".repeat(32), "notice": {"when": "before-release"}});
    change(&mut said);
    signed::<Decision>(world, ONE, &said)
}

fn deferred(said: &mut Value) {
    said["notice"] = json!({"when": "deferred", "until": after(30 * DAY).to_string(), "basis": "a law"});
}

/// A case in which something may leave.
pub(super) fn approved(world: &World, gag: bool) -> RecordId {
    let demand = if gag { filed(world, gagged) } else { filed(world, |_| ()) };
    let stages = stages(world, demand);
    let half = if gag { decision(world, demand, &stages, deferred) } else { decision(world, demand, &stages, |_| ()) };
    assert_eq!(world.ledger.submit_demand(&half).expect("a draft").signatures_missing, 1);
    let both = write::approve(&half, &key(TWO), &testing::gateway()).expect("the same bytes");
    let taken = world.ledger.submit_demand(&both).expect("two approvers");
    assert_eq!((taken.state, taken.signatures_missing, taken.receipt.is_some()), (State::Approved, 0, true));
    if !gag {
        let told = json!({"demand": demand.to_string(), "how": "letter"});
        world.ledger.submit_demand(&signed::<Notice>(world, CLERK, &told)).expect("a clerk's");
    }
    demand
}

pub(super) fn begin(world: &World, demand: RecordId) -> Result<Arc<Releasing>, Refused> {
    world.ledger.begin_release(demand, &court(), &SchemaName::new(SCHEMA))
}

fn kinds(world: &World, demand: RecordId) -> Vec<&'static str> {
    world.ledger.demand(&demand).expect("a case").records.iter().map(|kept| kept.act.word()).collect()
}

const WHOLE: [&str; 5] = ["demand", "stage", "stage", "stage", "decision"];

#[test]
fn something_leaves_after_three_stages_two_approvers_and_word_to_the_subject_and_not_before() {
    let world = world();
    let demand = filed(&world, |_| ());
    assert_eq!(begin(&world, demand).expect_err("undecided").code(), "TV-Q20");
    let stages = stages(&world, demand);
    let half = decision(&world, demand, &stages, |_| ());
    world.ledger.submit_demand(&half).expect("a draft");
    assert_eq!(begin(&world, demand).expect_err("one approver").code(), "TV-Q20");
    let both = write::approve(&half, &key(TWO), &testing::gateway()).expect("the same bytes");
    world.ledger.submit_demand(&both).expect("two approvers");
    assert_eq!(begin(&world, demand).expect_err("untold").code(), "TV-Q17");
    let told = json!({"demand": demand.to_string(), "how": "letter"});
    world.ledger.submit_demand(&signed::<Notice>(&world, CLERK, &told)).expect("a clerk's");
    let releasing = begin(&world, demand).expect("now it may");
    assert!(releasing.is_about(&key(SUBJECT).did()) && !releasing.is_about(&key(2).did()));
    // Whom it is not for is told what whoever knows of no demand is told.
    let other = Spiffe::parse("spiffe://lab.example/reader").expect("an id");
    assert_eq!(world.ledger.begin_release(demand, &other, &SchemaName::new(SCHEMA)).expect_err("another").code(), "TV-L14");
    assert_eq!(world.ledger.begin_release(demand, &court(), &SchemaName::new("a.B")).expect_err("no field").code(), "TV-Q13");
}

#[test]
fn every_record_is_in_the_log_once_a_decision_with_its_quorum_and_what_is_sent_again_changes_nothing() {
    let world = world();
    let before = world.store.leaf_count().expect("readable");
    let demand = approved(&world, true);
    assert_eq!(world.store.leaf_count().expect("readable") - before, 5, "a draft is no act of the house");
    assert_eq!(kinds(&world, demand), WHOLE);
    for kept in world.ledger.demand(&demand).expect("a case").records.iter() {
        let again = if kept.act == Act::Demand {
            world.ledger.file_demand(&kept.envelope, None).expect("known")
        } else {
            world.ledger.submit_demand(&kept.envelope).expect("known")
        };
        let receipt = again.receipt.expect("its receipt");
        let leaf = Leaf::new(kept.act, kept.taken, &receipt.salt, &kept.id);
        assert_eq!(receipt.proof.extra.as_deref(), Some(&leaf.bytes()[..]), "the entry is about the record");
    }
    assert_eq!(world.store.leaf_count().expect("readable") - before, 5);
}

#[test]
fn a_full_disk_acknowledges_nothing_and_nothing_is_lost_when_there_is_room() {
    let mut world = world();
    let (envelope, about) = demand(&world, gagged);
    world.store.set_full(true);
    assert_eq!(world.ledger.file_demand(&envelope, Some(about.clone())).expect_err("full").code(), "TV-L06");
    world.store.set_full(false);
    assert_eq!(world.ledger.count_demands(|_| true), 0);
    let demand = world.ledger.file_demand(&envelope, Some(about)).expect("room").record;
    let stages = stages(&world, demand);
    let half = decision(&world, demand, &stages, deferred);
    world.ledger.submit_demand(&half).expect("a draft");
    let both = write::approve(&half, &key(TWO), &testing::gateway()).expect("the same bytes");
    world.store.set_full(true);
    assert_eq!(world.ledger.submit_demand(&both).expect_err("full").code(), "TV-L06");
    assert!(begin(&world, demand).is_err(), "what was not acknowledged does not act");
    world.store.set_full(false);
    world.ledger.submit_demand(&both).expect("room");
    world.store.set_full(true);
    assert_eq!(begin(&world, demand).expect_err("full").code(), "TV-L06", "nothing begins that is not on disk");
    world.store.set_full(false);
    begin(&world, demand).expect("room");
    restarted(&mut world);
    assert_eq!(kinds(&world, demand), WHOLE);
}

#[test]
fn whoever_it_is_about_is_told_on_the_day_a_gag_ends_by_itself_and_also_after_a_gateway_was_down_on_it() {
    for down in [false, true] {
        let mut world = world();
        let demand = approved(&world, true);
        world.ledger.mind_desk().expect("room");
        assert_eq!((kinds(&world, demand), world.ledger.demands_told(&key(SUBJECT).did())), (WHOLE.to_vec(), Vec::new()));
        assert_eq!(world.ledger.demand_for(&key(SUBJECT).did(), &demand), None);
        if down {
            world.ledger.clock().shift(60 * DAY);
            restarted(&mut world);
        } else {
            world.ledger.clock().shift(30 * DAY - HOUR);
            world.ledger.mind_desk().expect("room");
            assert_eq!(kinds(&world, demand), WHOLE, "an hour before");
            world.ledger.clock().shift(HOUR);
        }
        world.ledger.mind_desk().expect("room");
        let told = kinds(&world, demand);
        assert_eq!((told.len(), told.last()), (6, Some(&"notice")));
        assert_eq!(world.ledger.demands_told(&key(SUBJECT).did()).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [demand]);
        assert!(world.ledger.demands_told(&key(2).did()).is_empty());
        assert_eq!(world.ledger.demand_for(&key(SUBJECT).did(), &demand).expect("told").id(), demand);
        world.ledger.mind_desk().expect("room");
        assert_eq!(kinds(&world, demand).len(), 6, "once");
    }
}

#[test]
fn what_was_released_is_on_record_when_it_ends_hour_by_hour_and_after_a_crash_as_far_as_it_was_counted() {
    let mut world = world();
    let demand = approved(&world, false);
    let frames = |world: &World| -> Vec<u64> {
        world.ledger.demand(&demand).expect("a case").case.releases().iter().map(|release| release.get().frames).collect()
    };
    let first = begin(&world, demand).expect("it may");
    first.handed_over(7);
    world.ledger.mind_desk().expect("room");
    assert!(frames(&world).is_empty(), "it goes on");
    world.ledger.clock().shift(HOUR);
    world.ledger.mind_desk().expect("room");
    assert_eq!(frames(&world), [7]);
    first.handed_over(4);
    first.end();
    world.ledger.mind_desk().expect("room");
    world.ledger.mind_desk().expect("room");
    assert_eq!(frames(&world), [7, 4]);
    let second = begin(&world, demand).expect("it may");
    second.handed_over(5);
    world.ledger.mind_desk().expect("room");
    second.handed_over(2);
    restarted(&mut world);
    world.ledger.mind_desk().expect("room");
    world.ledger.mind_desk().expect("room");
    assert_eq!(frames(&world), [7, 4, 5], "that it began is known, and how far it was counted");
    drop(begin(&world, demand).expect("it may"));
    world.ledger.mind_desk().expect("room");
    assert_eq!(frames(&world), [7, 4, 5, 0], "its caller went away before anything was handed over");
    let third = begin(&world, demand).expect("it may");
    world.ledger.holds(&third).expect("it goes on");
    world.ledger.clock().shift(10 * DAY);
    assert_eq!(world.ledger.holds(&third).expect_err("over").code(), "TV-Q19");
    third.end();
    world.ledger.mind_desk().expect("room");
    let last = world.ledger.demand(&demand).expect("a case").case.releases().last().expect("one").get().clone();
    assert_eq!((last.frames, last.period.until), (0, after(10 * DAY)), "nothing is on record beyond the period");
}

#[test]
fn a_subject_consents_to_one_release_which_is_taken_before_anything_is_handed_over() {
    let mut world = world();
    let demand = filed(&world, |_| ());
    let consent = |world: &World, n: u8, seq: u64, demand: RecordId| {
        let prev = world.ledger.standing_of(&key(n).did()).expect("readable").head().record;
        testing::grant(n, seq, prev, |document| {
            document["demand"] = json!(demand.to_string());
            document["max_uses"] = json!(1);
            document["at"] = json!(now(world).to_string());
            document["recipients"] = json!([{"spiffe": COURT}]);
            document["rules"] = json!([{"effect": "permit", "match": {"selector": "vitals"}, "treatment": "generalize"}]);
        })
    };
    // Nobody was told, so there is nothing to consent to; and for others there never is.
    assert_eq!(world.ledger.submit(&consent(&world, SUBJECT, 1, demand)).expect_err("untold").code(), "TV-L14");
    let told = json!({"demand": demand.to_string(), "how": "letter"});
    world.ledger.submit_demand(&signed::<Notice>(&world, CLERK, &told)).expect("a clerk's");
    assert_eq!(world.ledger.submit(&consent(&world, 2, 1, demand)).expect_err("not about them").code(), "TV-L14");
    let record = world.ledger.submit(&consent(&world, SUBJECT, 1, demand)).expect("told").record;
    let half = decision(&world, demand, &[], |said| said["consent"] = json!(record.to_string()));
    let both = write::approve(&half, &key(TWO), &testing::gateway()).expect("the same bytes");
    world.ledger.submit_demand(&both).expect("without a stage");
    restarted(&mut world);
    let releasing = begin(&world, demand).expect("once");
    assert_eq!(begin(&world, demand).expect_err("twice").code(), "TV-Q22");
    world.ledger.holds(&releasing).expect("it goes on");
    world.ledger.withdraw(&testing::withdraw_records(SUBJECT, now(&world), &[record])).expect("hers");
    assert_eq!(world.ledger.holds(&releasing).expect_err("withdrawn").code(), "TV-Q14");
    drop(releasing);
    restarted(&mut world);
    assert!(begin(&world, demand).is_err(), "also after a restart");
}

#[test]
fn nothing_of_a_demand_rests_in_the_clear_and_a_changed_row_stops_the_start() {
    let world = world();
    let demand = filed(&world, |said| said["source"]["authority"] = json!("authority-canary"));
    let bytes = world.store.bytes();
    for canary in [&b"authority-canary"[..], key(SUBJECT).did().to_string().as_bytes(), &key(SUBJECT).did().0] {
        assert!(!bytes.windows(canary.len()).any(|window| window == canary));
    }
    // A row that is sealed under the right key, and does not follow from those before it.
    let rest_key = RestKey::new(&config().store_key);
    let mut row = Row { taken: now(&world), what: What::Counted { release: [1; 16], demand, frames: 3 } }.write();
    let desk = vec![rest_key.seal_desk(&mut row, &mut world::entropy())];
    world.store.commit(&rest_key, &Batch { desk, ..Batch::default() }).expect("room");
    let opened = Ledger::open(Arc::clone(&world.store), log(&world.disk), config(), clock()).map(drop).expect_err("changed");
    assert!(matches!(opened, crate::ledger::OpenError::BadDesk { row: 1, code: "TV-D05" }), "{opened}");
}

#[test]
fn two_keys_of_one_person_are_one_approver_and_strangers_sign_nothing() {
    let world = World::new();
    let mut persons = register().persons().to_vec();
    persons.truncate(4);
    persons[3].keys.push(key(TWO).did());
    world.ledger.employ(Register::new(key(9).did(), persons).expect("a register"));
    let demand = filed(&world, |_| ());
    let stages = stages(&world, demand);
    let half = decision(&world, demand, &stages, |_| ());
    world.ledger.submit_demand(&half).expect("a draft");
    let both = write::approve(&half, &key(TWO), &testing::gateway()).expect("the same bytes");
    assert_eq!(world.ledger.submit_demand(&both).expect("still a draft").signatures_missing, 1);
    let stranger = write::approve(&half, &key(30), &testing::gateway()).expect("the same bytes");
    assert_eq!(world.ledger.submit_demand(&stranger).expect_err("nobody").code(), "TV-Q02");
    assert_eq!(begin(&world, demand).expect_err("one person").code(), "TV-Q20");
    let stage = json!({"demand": demand.to_string(), "n": 3, "met": false, "reasoning_sha256": "cd".repeat(32)});
    assert_eq!(world.ledger.submit_demand(&signed::<Stage>(&world, CLERK, &stage)).expect_err("a clerk").code(), "TV-Q05");
    assert_eq!(world.ledger.file_demand(&demand_by(&world, COUNSEL), None).expect_err("no clerk").code(), "TV-Q03");
}

fn demand_by(world: &World, n: u8) -> Envelope {
    let said = json!({
        "received": testing::NOW.to_string(),
        "source": {"kind": "intelligence", "jurisdiction": "DE", "home": true, "authority": "An agency", "document_sha256": "ab".repeat(32),
                   "process": "letter", "statute": "none"},
        "asks": "redesign-backdoor", "content": true, "everybody": false, "emergency": false,
    });
    signed::<Demand>(world, n, &said)
}
