use serde_json::{Value, json};

use super::super::tests::{ANALYST, CLERK, CLERK_TOO, COUNSEL, ONE, restarted, signed, world};
use super::*;
use crate::ledger::tests::World;
use crate::veil::consent::envelope::Signature;
use crate::veil::consent::testing::{DAY, HOUR, after, key};
use crate::veil::merkle::checkpoint::Checkpoint;
use crate::veil::merkle::leaf::Leaf;
use crate::veil::report::{Publication, Statement};

fn statement(world: &World, by: u8, change: impl FnOnce(&mut Value)) -> Envelope {
    let mut said = json!({"name": "no-taps", "text": "No taps.", "renew_by": after(300 * DAY).to_string()});
    change(&mut said);
    signed::<Statement>(world, by, &said)
}

#[test]
fn what_is_made_public_is_in_the_log_once_and_stays() {
    let mut world = world();
    let before = world.store.leaf_count().expect("readable");
    let first = statement(&world, CLERK, |_| ());
    world.store.set_full(true);
    assert_eq!(world.ledger.make_public(&first).expect_err("full").code(), "TV-L06");
    world.store.set_full(false);
    assert!(world.ledger.public(0, 9).is_empty(), "what was not acknowledged is not there");
    let made = world.ledger.make_public(&first).expect("a clerk's");
    let again = world.ledger.make_public(&first).expect("the same");
    assert_eq!((made.record, made.receipt.proof.index), (again.record, again.receipt.proof.index));
    let head = Checkpoint::open(world.ledger.log.checkpoint().to_string().as_bytes(), world.ledger.log.verifier()).expect("signed").head;
    let report = |size: u64| {
        let period = json!({"from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"});
        json!({"period": period, "report_sha256": "ab".repeat(32), "log": {"size": size, "root": head.root.to_string()}})
    };
    let published = world.ledger.make_public(&signed::<Publication>(&world, ONE, &report(head.size))).expect("an approver's");
    for size in [head.size - 1, head.size + 900] {
        let refused = world.ledger.make_public(&signed::<Publication>(&world, ONE, &report(size))).expect_err("another log");
        assert_eq!(refused.code(), "TV-Q30", "{size}");
    }
    assert_eq!(world.store.leaf_count().expect("readable") - before, 2);
    restarted(&mut world);
    let kept = world.ledger.public(0, 9);
    assert_eq!(
        kept.iter().map(|kept| (kept.id, kept.act)).collect::<Vec<_>>(),
        [(made.record, Act::Statement), (published.record, Act::Report)]
    );
    for (kept, made) in kept.iter().zip([made, published]) {
        let leaf = Leaf::new(kept.act, kept.taken, &made.receipt.salt, &kept.id);
        assert_eq!(made.receipt.proof.extra.as_deref(), Some(&leaf.bytes()[..]), "the entry is about the record");
    }
    assert_eq!(world.ledger.public(1, 9).len(), 1);
    assert_eq!(world.ledger.make_public(&first).expect("also after a restart").receipt.proof.index, again.receipt.proof.index);
}

#[test]
fn nobody_else_speaks_for_the_operator_and_nothing_said_before_comes_after() {
    let mut world = world();
    for (by, code) in [(COUNSEL, "TV-Q03"), (ANALYST, "TV-Q03"), (30, "TV-Q02"), (9, "TV-Q02")] {
        assert_eq!(world.ledger.make_public(&statement(&world, by, |_| ())).expect_err("nobody").code(), code, "{by}");
    }
    let mut forged = statement(&world, 30, |_| ());
    forged.payload =
        String::from_utf8(forged.payload).expect("JSON").replace(&key(30).did().to_string(), &key(CLERK).did().to_string()).into();
    assert_eq!(world.ledger.make_public(&forged).expect_err("changed").code(), "TV-C04");
    forged.signatures.clear();
    forged.countersign(&key(30));
    assert_eq!(world.ledger.make_public(&forged).expect_err("another's").code(), "TV-C05");
    let early = statement(&world, CLERK, |_| ());
    world.ledger.clock().shift(HOUR);
    world.ledger.make_public(&statement(&world, ONE, |said| drop(said.as_object_mut().map(|said| said.remove("renew_by"))))).expect("back");
    restarted(&mut world);
    assert_eq!(world.ledger.make_public(&early).expect_err("it was taken back since").code(), "TV-Q29");
    world.ledger.make_public(&statement(&world, CLERK, |said| said["name"] = json!("another"))).expect("another name");
    assert!(world.ledger.submit_demand(&early).is_err(), "it is of no case");
    assert_eq!(world.ledger.public(0, 9).len(), 2);
    let mut noisy = statement(&world, CLERK, |said| said["name"] = json!("a-third"));
    let sent = noisy.clone();
    noisy.signatures.push(Signature { keyid: "whatever somebody wants to be read".into(), sig: vec![7; 64] });
    world.ledger.make_public(&noisy).expect("a clerk's");
    assert_eq!(*world.ledger.public(2, 1)[0].envelope, sent, "nothing but what a clerk signed is made public");
    let padded = [&sent.payload[..], &[b' '; PUBLIC_BYTES_MAX]].concat();
    let padded = Envelope::sign(&sent.payload_type, padded, &key(CLERK));
    assert_eq!(world.ledger.make_public(&padded).expect_err("much of nothing").code(), "TV-C01");
}

#[test]
fn one_person_makes_so_much_public_a_day_and_leaves_room_for_others() {
    let mut world = world();
    let named = |world: &World, by: u8, name: &str| statement(world, by, |said| said["name"] = json!(name));
    for n in 0..PUBLIC_OF_ONE_MAX {
        world.ledger.make_public(&named(&world, CLERK, &format!("name-{n}"))).expect("a clerk's");
    }
    let refused = world.ledger.make_public(&named(&world, CLERK, "one-more")).expect_err("enough");
    assert_eq!(refused.code(), "TV-Q32");
    assert_eq!(world.ledger.make_public(&named(&world, CLERK_TOO, "one-more")).expect_err("the same person").code(), "TV-Q32");
    world.ledger.make_public(&named(&world, ONE, "another")).expect("somebody else's");
    restarted(&mut world);
    assert_eq!(world.ledger.make_public(&named(&world, CLERK, "one-more")).expect_err("also then").code(), "TV-Q32");
    let first = world.ledger.public(0, 1)[0].envelope.clone();
    world.ledger.make_public(&first).expect("the same again is none more");
    world.ledger.clock().shift(PUBLIC_MS);
    world.ledger.make_public(&named(&world, CLERK, "one-more")).expect("a new day");
}
