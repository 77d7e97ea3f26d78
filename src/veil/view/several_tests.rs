//! Is every element of a list seen as its own subject lets it be seen, and nothing of the others learnt? Views are held against a
//! reference that takes hidden elements and fields out of decoded messages, and encodes the rest.

#![cfg(feature = "gateway")]

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::veil::crypto::seal::Suite;
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{Origin, ViewId};
use crate::veil::policy::{Decided, Decision, Holders, Reason};
use crate::veil::schema::tests::compile;
use crate::veil::schema::{SEALED_FIELD, Schema, load_for_calls};
use crate::veil::terms::{Treatment, purpose};
use crate::veil::view::{Bindings, BindingsSource, Program};
use crate::veil::wire::{Reader, push_len_prefixed};
use crate::world::entropy;

const PROTO: &str = r#"
syntax = "proto3";
package t;
message Census { string title = 1; repeated Bed beds = 2; repeated Room rooms = 3; map<string, Note> notes = 40; string memo = 5; }
message Room { string name = 1; repeated Bed beds = 2; string steward = 3; }
message Bed { Who who = 1; double heart_rate = 2; string unit = 3; repeated Visit visits = 4; }
message Who { string id = 1; string name = 2; }
message Visit { string by = 1; }
message Note { string text = 1; }
"#;

const SIDE: &str = r#"
["t.Census"]
title = { sensitivity = "public", category = "operation" }
memo = { sensitivity = "operational", category = "operation" }
'notes.key' = { sensitivity = "identifying", category = "identity", role = "subject" }
'notes.value.text' = { sensitivity = "special", category = "health" }
["t.Room"]
name = { sensitivity = "public", category = "site" }
steward = { sensitivity = "operational", category = "operation" }
["t.Bed"]
heart_rate = { sensitivity = "special", category = "health" }
unit = { sensitivity = "public", category = "operation" }
["t.Who"]
id = { sensitivity = "identifying", category = "identity", role = "subject" }
name = { sensitivity = "identifying", category = "identity" }
["t.Visit"]
by = { sensitivity = "personal", category = "social" }
"#;

#[derive(Clone, PartialEq, Message)]
struct Census {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(message, repeated, tag = "2")]
    beds: Vec<Bed>,
    #[prost(message, repeated, tag = "3")]
    rooms: Vec<Room>,
    #[prost(string, tag = "5")]
    memo: String,
    // A map is a list of these.
    #[prost(message, repeated, tag = "40")]
    notes: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Room {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    beds: Vec<Bed>,
    #[prost(string, tag = "3")]
    steward: String,
}

#[derive(Clone, PartialEq, Message)]
struct Bed {
    #[prost(message, tag = "1")]
    who: Option<Who>,
    #[prost(double, tag = "2")]
    heart_rate: f64,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(message, repeated, tag = "4")]
    visits: Vec<Visit>,
}

#[derive(Clone, PartialEq, Message)]
struct Who {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Visit {
    #[prost(string, tag = "1")]
    by: String,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, tag = "2")]
    value: Option<Note>,
}

#[derive(Clone, PartialEq, Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
}

/// Enrolled: `ada` permits all, `bob` the heart rate alone, `eve` nothing. Anybody else is nobody.
const NAMES: [&str; 5] = ["ada", "bob", "eve", "who", ""];

fn schema() -> Schema {
    load_for_calls(&compile(PROTO), "t.Census", Some(SIDE)).expect("loads")
}

/// A view in which fields whose path ends in one of `named` are treated, and all others stripped.
fn view(schema: &Schema, named: &[(&str, Treatment)], key: u8) -> View {
    let of = |path: &str| named.iter().find(|(end, _)| path.ends_with(end)).map_or(Treatment::Strip, |(_, treatment)| *treatment);
    let sites = schema.sites().iter().map(|site| Decided {
        treatment: of(site.path.as_str()),
        holders: Holders::MandateVault,
        reason: Reason::Public,
    });
    let program = Arc::new(Program::compile(schema, &Decision { sites: sites.collect() }));
    let secret = Secret::take(&mut [key; 32]);
    let source = BindingsSource {
        origin: &Origin::new("gateway.example.org/twins"),
        recipient: "spiffe://example.org/recipient",
        purpose: &purpose("dpv:ServiceProvision").expect("a DPV term"),
        subject_key: (key > 0).then_some(&secret),
        pseudonym_epoch: 0,
        view: ViewId([key; 16]),
        epoch: 1,
        suite: Suite::ChaCha20Poly1305,
        holders: &|_| Vec::new(),
    };
    let (bindings, _) = Bindings::new(&program, &source, &mut entropy()).expect("no key holder, so no bad key");
    View::new(program, bindings)
}

struct Ward {
    around: View,
    views: HashMap<&'static str, View>,
    nobody_shows: bool,
    space: Space,
}

struct Those<'w>(&'w mut HashMap<&'static str, View>, bool);

impl Elements for Those<'_> {
    fn whose(&mut self, subject: Option<SubjectValue>) -> Whose<'_> {
        let name = subject.as_ref().map(|value| std::str::from_utf8(value.as_bytes()).unwrap_or("who"));
        match name {
            Some("eve") => Whose::Hidden,
            Some(name) if self.0.contains_key(name) => self.0.get_mut(name).map_or(Whose::Hidden, Whose::Of),
            _ if self.1 => Whose::Nobody,
            _ => Whose::Hidden,
        }
    }
}

const KEEP: Treatment = Treatment::Keep;
const ADA: [(&str, Treatment); 6] =
    [("heart_rate", KEEP), ("who.id", KEEP), ("who.name", KEEP), ("visits.by", KEEP), ("notes.key", KEEP), ("value.text", KEEP)];
const NOBODY: [(&str, Treatment); 3] = [("title", KEEP), ("rooms.name", KEEP), ("unit", KEEP)];

impl Ward {
    fn new(schema: &Schema, nobody_shows: bool) -> Self {
        let ada = [&ADA[..], &[("unit", KEEP)]].concat();
        let bob = [("heart_rate", KEEP), ("unit", KEEP)];
        let views = HashMap::from([("ada", view(schema, &ada, 1)), ("bob", view(schema, &bob, 2))]);
        Self { around: view(schema, &NOBODY, 0), views, nobody_shows, space: Space::default() }
    }

    fn see(&mut self, message: &[u8]) -> Result<(Vec<u8>, usize), Refusal> {
        let mut those = Those(&mut self.views, self.nobody_shows);
        let veiled = self.around.apply_each(Raw::new(message), &mut self.space, &mut those, true)?.map(|veiled| veiled.bytes().to_vec());
        Ok((veiled.expect("it is expected"), self.space.borne))
    }

    /// In a stream.
    fn pass(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let mut those = Those(&mut self.views, self.nobody_shows);
        let veiled = self.around.apply_each(Raw::new(message), &mut self.space, &mut those, false)?;
        Ok(veiled.map(|veiled| veiled.bytes().to_vec()))
    }
}

/// What is left of an element.
fn bed(bed: &Bed, nobody_shows: bool) -> Option<Bed> {
    let whose = bed.who.as_ref().map_or("", |who| &who.id);
    let made = match whose {
        "ada" => {
            Bed { who: bed.who.clone(), visits: bed.visits.iter().filter(|visit| !visit.by.is_empty()).cloned().collect(), ..bed.clone() }
        }
        "bob" => Bed { heart_rate: bed.heart_rate, unit: bed.unit.clone(), ..Bed::default() },
        "eve" => return None,
        _ if nobody_shows => Bed { unit: bed.unit.clone(), ..Bed::default() },
        _ => return None,
    };
    Some(made).filter(|made| *made != Bed::default())
}

fn reference(census: &Census, nobody_shows: bool) -> Census {
    let beds = |beds: &[Bed]| beds.iter().filter_map(|one| bed(one, nobody_shows)).collect::<Vec<_>>();
    let rooms = census.rooms.iter().map(|room| Room { name: room.name.clone(), beds: beds(&room.beds), steward: String::new() });
    let note = |entry: &&Entry| entry.key == "ada";
    let notes = census
        .notes
        .iter()
        .filter(note)
        .map(|entry| Entry { value: entry.value.clone().filter(|note| *note != Note::default()), key: entry.key.clone() });
    Census {
        title: census.title.clone(),
        beds: beds(&census.beds),
        rooms: rooms.filter(|room| *room != Room::default()).collect(),
        memo: String::new(),
        notes: notes.collect(),
    }
}

fn any_bed() -> impl Strategy<Value = Bed> {
    let who = prop::option::of(("[a-z]{0,3}", prop::sample::select(&NAMES[..])).prop_map(|(name, id)| Who { id: id.into(), name }));
    let visits = prop::collection::vec("[a-z]{0,2}".prop_map(|by| Visit { by }), 0..3);
    (who, prop::sample::select(&[0.0, 60.5, 181.0][..]), prop::sample::select(&["", "bpm"][..]), visits)
        .prop_map(|(who, heart_rate, unit, visits)| Bed { who, heart_rate, unit: unit.into(), visits })
}

fn any_census() -> impl Strategy<Value = Census> {
    let room =
        ("[a-z]{0,2}", prop::collection::vec(any_bed(), 0..4), "[a-z]{0,2}").prop_map(|(name, beds, steward)| Room { name, beds, steward });
    let entry = (prop::sample::select(&NAMES[..]), prop::option::of("[a-z]{0,3}".prop_map(|text| Note { text })))
        .prop_map(|(key, value)| Entry { key: key.into(), value });
    let rooms = prop::collection::vec(room, 0..3);
    ("[a-z]{0,3}", prop::collection::vec(any_bed(), 0..6), rooms, "[a-z]{0,3}", prop::collection::vec(entry, 0..4))
        .prop_map(|(title, beds, rooms, memo, notes)| Census { title, beds, rooms, memo, notes })
}

proptest! {
    #[test]
    fn each_element_comes_out_as_its_own_subject_has_it_and_hidden_ones_do_not(census in any_census(), nobody_shows: bool) {
        let (seen, out) = Ward::new(&schema(), nobody_shows).see(&census.encode_to_vec()).expect("well-formed");
        let wanted = reference(&census, nobody_shows);
        prop_assert_eq!(&Census::decode(&seen[..]).expect("well-formed"), &wanted);
        prop_assert_eq!(seen, wanted.encode_to_vec());
        prop_assert_eq!(out, wanted.beds.len() + wanted.rooms.iter().map(|room| room.beds.len()).sum::<usize>() + wanted.notes.len());
    }

    #[test]
    fn hidden_elements_tell_nothing_wherever_they_stand_and_whatever_is_in_them(
        census in any_census(),
        hidden in prop::collection::vec((any_bed(), prop::collection::vec(any::<u8>(), 0..12), 0usize..8), 1..5),
    ) {
        let schema = schema();
        let plain = Ward::new(&schema, false).see(&census.encode_to_vec()).expect("well-formed");
        let mut records: Vec<Vec<u8>> = Vec::new();
        let encoded = census.encode_to_vec();
        let (mut reader, mut begin) = (Reader::new(&encoded), 0);
        while let Some(record) = reader.next() {
            record.expect("just encoded");
            records.push(encoded[begin..reader.position()].to_vec());
            begin = reader.position();
        }
        for (bed, junk, at) in hidden {
            let eve = Bed { who: Some(Who { id: "eve".into(), name: "x".into() }), ..bed };
            // Hers, and broken behind; without a name, and broken.
            let eves = [eve.encode_to_vec(), if at % 2 == 0 { junk.clone() } else { Vec::new() }].concat();
            let mut record = Vec::new();
            push_len_prefixed(&mut record, 2, &eves);
            let names = |bytes: &[u8]| bytes.windows(3).any(|three| NAMES[..2].iter().any(|name| name.as_bytes() == three));
            if !names(&junk) {
                push_len_prefixed(&mut record, 2, &junk);
            }
            records.insert(at.min(records.len()), record);
        }
        prop_assert_eq!(Ward::new(&schema, false).see(&records.concat()).expect("what is hidden gives no verdict"), plain);
    }

    #[test]
    fn whatever_comes_is_judged_or_refused(message in prop::collection::vec(any::<u8>(), 0..64), nobody_shows: bool) {
        if let Ok((seen, _)) = Ward::new(&schema(), nobody_shows).see(&message) {
            prop_assert!(Reader::new(&seen).all(|record| record.is_ok()));
        }
    }
}

fn of(id: &str) -> Bed {
    Bed { who: Some(Who { id: id.into(), name: "n".into() }), heart_rate: 60.0, unit: "bpm".into(), visits: vec![] }
}

#[test]
fn an_element_that_names_two_is_left_out_also_where_nobodys_are_shown() {
    let schema = schema();
    let mut two = of("ada").encode_to_vec();
    push_len_prefixed(&mut two, 1, &Who { id: "bob".into(), name: String::new() }.encode_to_vec());
    let mut broken = of("eve").encode_to_vec();
    broken.extend_from_slice(&[0x0a, 0x05]);
    let mut message = Vec::new();
    push_len_prefixed(&mut message, 2, &two);
    push_len_prefixed(&mut message, 2, &broken);
    assert_eq!(Ward::new(&schema, true).see(&message), Ok((Vec::new(), 0)));
    // The same twice is one.
    let mut same = of("ada").encode_to_vec();
    push_len_prefixed(&mut same, 1, &Who { id: "ada".into(), name: String::new() }.encode_to_vec());
    message.clear();
    push_len_prefixed(&mut message, 2, &same);
    assert_eq!(Ward::new(&schema, true).see(&message), Ok((message, 1)));
}

#[test]
fn a_broken_element_that_would_be_seen_refuses_the_message_whole() {
    let schema = schema();
    let mut message = Census { title: "t".into(), beds: vec![of("ada")], ..Census::default() }.encode_to_vec();
    let mut broken = of("bob").encode_to_vec();
    // Behind the name, in what `find` does not look into.
    push_len_prefixed(&mut broken, 4, &[0x0a, 0x05]);
    push_len_prefixed(&mut message, 2, &broken);
    let mut ward = Ward::new(&schema, false);
    assert!(ward.see(&message).is_ok(), "bob's visits are hidden: skipped, unseen");
    ward.views.insert("bob", view(&schema, &ADA, 2));
    assert_eq!(ward.see(&message), Err(Refusal::Truncated));
    assert!(ward.space.out.is_empty());
    // Also where it is nobody's, and nobody's visits are shown.
    let mut ward = Ward::new(&schema, true);
    ward.views.remove("bob");
    ward.around = view(&schema, &[&NOBODY[..], &[("visits.by", KEEP)]].concat(), 0);
    assert_eq!(ward.see(&message), Err(Refusal::Truncated));
    assert!(ward.space.out.is_empty());
}

#[test]
fn without_anybody_who_knows_the_views_no_element_comes_out() {
    let schema = schema();
    let message = Census { title: "t".into(), beds: vec![of("ada")], ..Census::default() }.encode_to_vec();
    let everything = [&ADA[..], &NOBODY[..]].concat();
    let mut space = Space::default();
    let mut around = view(&schema, &everything, 1);
    assert_eq!(around.apply(Raw::new(&message), &mut space).expect("well-formed").bytes(), b"\x0a\x01t");
}

#[test]
fn a_view_of_another_schema_shows_nothing() {
    let message = Census { beds: vec![of("ada")], ..Census::default() }.encode_to_vec();
    let mut ward = Ward::new(&schema(), false);
    let other = crate::veil::schema::load_annotated(crate::proto::SAMPLES, "twinveil.sample.PatientFrame").expect("loads");
    ward.views.insert("ada", view(&other, &[("", KEEP)], 1));
    assert_eq!(ward.see(&message), Ok((Vec::new(), 0)));
}

#[test]
fn pseudonyms_are_each_subjects_own() {
    let schema = schema();
    let mut ward = Ward::new(&schema, false);
    for (name, key) in [("ada", 1), ("bob", 2)] {
        ward.views.insert(name, view(&schema, &[("who.id", Treatment::Pseudonymize), ("who.name", Treatment::Pseudonymize)], key));
    }
    let message = Census { beds: vec![of("ada"), of("bob"), of("ada")], ..Census::default() }.encode_to_vec();
    let seen = Census::decode(&ward.see(&message).expect("well-formed").0[..]).expect("well-formed");
    let [ada, bob, again] = &seen.beds[..] else { panic!("three: {seen:?}") };
    assert_eq!(ada, again);
    let names: Vec<_> = [ada, bob].map(|bed| bed.who.clone().expect("somebody").name).into();
    assert!(names[0] != names[1], "the same name under two keys");
    // Nobody has no key: what should be a pseudonym is left out.
    let mut nobody = Ward::new(&schema, true);
    nobody.around = view(&schema, &[("who.id", Treatment::Pseudonymize)], 0);
    let message = Census { beds: vec![of("who")], ..Census::default() }.encode_to_vec();
    assert_eq!(nobody.see(&message), Ok((Vec::new(), 0)));
}

#[test]
fn nothing_is_sealed_in_an_element_and_what_is_around_is() {
    let schema = schema();
    let seal = Treatment::Encrypt;
    let all = [("memo", seal), ("rooms.steward", seal), ("heart_rate", seal), ("who.id", seal), ("rooms.name", KEEP)];
    let ada = [("heart_rate", seal), ("unit", KEEP), ("memo", seal)];
    assert_eq!(view(&schema, &all, 0).program().slots(), [Holders::MandateVault]);
    assert!(view(&schema, &ada[..2], 1).program().slots().is_empty());
    let mut ward = Ward::new(&schema, true);
    ward.around = view(&schema, &all, 0);
    ward.views.insert("ada", view(&schema, &ada, 1));
    let room = Room { name: "3B".into(), beds: vec![of("ada"), of("who")], steward: "s".into() };
    let message = Census { memo: "m".into(), rooms: vec![room.clone(), room], ..Census::default() }.encode_to_vec();
    let (seen, out) = ward.see(&message).expect("well-formed");
    assert_eq!(out, 2, "ada's beds; of nobody's all would be sealed");
    let clear = Census::decode(&seen[..]).expect("well-formed");
    let wanted = Bed { unit: "bpm".into(), ..Bed::default() };
    assert_eq!(
        clear.rooms,
        [
            Room { name: "3B".into(), beds: vec![wanted.clone()], steward: String::new() },
            Room { name: "3B".into(), beds: vec![wanted], steward: String::new() }
        ]
    );
    let groups = Reader::new(&seen).filter(|record| record.as_ref().is_ok_and(|record| record.number == SEALED_FIELD)).count();
    assert_eq!((groups, clear.memo.as_str()), (1, ""));
}

#[test]
fn a_message_without_a_visible_element_is_not_told_by_a_counter_either() {
    let schema = schema();
    let mut ward = Ward::new(&schema, false);
    ward.around = view(&schema, &[("memo", Treatment::Encrypt), ("title", KEEP)], 0);
    let list = |id: &str| Census { title: "t".into(), memo: "m".into(), beds: vec![of(id)], ..Census::default() }.encode_to_vec();
    // The counter of a group is in the lowest bits of its first byte, up to 7 (RFC 9605, section 4.3).
    let counter = |seen: &[u8]| {
        let group = Reader::new(seen).find_map(|record| record.ok().filter(|record| record.number == SEALED_FIELD));
        let Some(crate::veil::wire::Value::Len(group)) = group.map(|record| record.value) else { panic!("a group") };
        group[0] & 0x0f
    };
    assert_eq!(counter(&ward.pass(&list("ada")).expect("legal").expect("hers")), 0);
    assert_eq!(ward.pass(&list("eve")), Ok(None));
    assert_eq!(ward.pass(&list("nobody")), Ok(None));
    assert_eq!(counter(&ward.pass(&list("bob")).expect("legal").expect("his")), 1);
}
