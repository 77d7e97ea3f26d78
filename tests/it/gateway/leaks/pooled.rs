//! A day of recordings, and recipients who put together all that they got of it: is there anything of the gateway's own making by
//! which a person in one stream is a person in another?
//!
//! Nothing is named beforehand. Every number, every run of bytes and every length in what came is taken, at any depth and as if it
//! were protobuf wherever it reads as such; what two streams have in common about one person, and not about everybody, must be data
//! of the source that both may see, as worked out by hand from what was sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use prost::Message;
use twinveil::cli::input::Replay;
use twinveil::proto::intoto;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::subscribe_response::Kind;
use twinveil::proto::v1::{EpochKey, SubscribeResponse, View};
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
use twinveil::veil::wire::{Reader, Value};

use crate::harness::recompute;
use crate::harness::{Ask, Given, PATIENT, Sub, World, permit, permit_all, sealed_for_recipient};

/// Something that could be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Token {
    Number(u64),
    Bytes(Vec<u8>),
}

/// Takes apart what reads as protobuf, at any depth. Numbers below 256 are words of enums, positions and counts of everybody;
/// bytes below 8 are too short to name somebody. Ciphertext is not looked into: by chance it reads as anything.
pub(crate) fn tokens(bytes: &[u8], found: &mut BTreeSet<Token>) {
    let records = Reader::new(bytes).collect::<Result<Vec<_>, _>>();
    if bytes.len() >= 8 {
        // Of a message it is what it says that counts, in whatever order.
        let whole = records.as_ref().map_or_else(
            |_| bytes.to_vec(),
            |records| {
                let mut parts: Vec<_> = records.iter().map(|record| format!("{}: {:?}", record.number, record.value)).collect();
                parts.sort();
                parts.join("\n").into_bytes()
            },
        );
        found.insert(Token::Bytes(whole));
    }
    for record in records.unwrap_or_default() {
        match record.value {
            Value::Varint(number) | Value::Fixed64(number) if number >= 256 => drop(found.insert(Token::Number(number))),
            Value::Fixed32(number) if number >= 256 => drop(found.insert(Token::Number(number.into()))),
            Value::Len(opaque) if record.number == SEALED_FIELD || record.number == ANNOUNCEMENT_FIELD => {
                found.insert(Token::Bytes(opaque.to_vec()));
            }
            Value::Len(inner) => tokens(inner, found),
            _ => {}
        }
    }
}

/// What an announcement has of its own.
pub(crate) fn announced(envelope: &intoto::Envelope, found: &mut BTreeSet<Token>) -> EpochKey {
    let key = EpochKey::decode(envelope.payload.clone()).unwrap();
    let whole = [&key.view_id[..], &key.commit].into_iter().chain(key.wraps.iter().map(|wrap| &wrap[..]));
    let parts = key.wraps.iter().map(|wrap| &wrap[..32]).chain(envelope.signatures.iter().map(|one| &one.sig[..]));
    found.extend(whole.chain(parts).map(|bytes| Token::Bytes(bytes.to_vec())));
    // What is left is the same for everybody, or it is found.
    tokens(&EpochKey { view_id: Vec::new().into(), commit: Vec::new().into(), wraps: Vec::new(), ..key.clone() }.encode_to_vec(), found);
    key
}

/// What two hold in common about one of several, and not about all of them.
pub(crate) fn joins(one: &[BTreeSet<Token>], other: &[BTreeSet<Token>], about: usize) -> BTreeSet<Token> {
    let of_all = |token: &Token| one.iter().chain(other).all(|tokens| tokens.contains(token));
    one[about].intersection(&other[about]).filter(|token| !of_all(token)).cloned().collect()
}

/// Who listens, what for, and what they may see of a frame.
type Listening = (&'static str, &'static str, fn(&PatientFrame) -> PatientFrame);

/// In the same house for another purpose identifiers are stand-ins, and all else is as in care.
fn improvement(frame: &PatientFrame) -> PatientFrame {
    let mut frame = recompute::clinician(frame);
    if let Some(identity) = &mut frame.identity {
        for name in [&mut identity.given_name, &mut identity.family_name, &mut identity.address] {
            *name = recompute::STAND_IN.into();
        }
    }
    frame
}

/// A researcher's counters have an origin of their own.
fn research(frame: &PatientFrame) -> PatientFrame {
    PatientFrame { sequence: 0, ..recompute::researcher(frame) }
}

const LISTENING: [Listening; 5] = [
    ("clinician", "dpv:ServiceProvision", recompute::clinician),
    ("clinician", "dpv:ImproveHealthcare", improvement),
    ("researcher", "dpv:ScientificResearch", research),
    ("researcher", "dpv:AcademicResearch", research),
    ("renderer", "dpv:ServicePersonalisation", recompute::renderer),
];

/// What came, by person, in the order in which people first appeared; what only counts within the stream is held to be that, and
/// taken out. Positions say in what order things came, which is the rhythm that all share.
fn by_person(kept: &[SubscribeResponse], people: usize) -> Vec<BTreeSet<Token>> {
    let mut found = vec![BTreeSet::new(); people];
    let (mut views, mut handover) = (0, 0);
    let mut sealed = HashMap::<u32, u64>::new();
    let mut sizes = BTreeSet::new();
    for message in kept {
        match &message.kind {
            Some(Kind::View(view)) => {
                views += 1;
                assert_eq!((view.view, view.open), (views, true), "views are counted as they come");
                let person = &mut found[views as usize - 1];
                for envelope in &view.keys {
                    let key = announced(envelope, person);
                    assert_eq!((key.epoch, key.slot), (1, 0), "epochs count within the view");
                }
                let view = View { view: 0, ..view.clone() };
                sizes.insert(view.encoded_len());
                tokens(&View { keys: Vec::new(), ..view }.encode_to_vec(), person);
            }
            Some(Kind::Batch(batch)) => {
                assert_eq!(batch.first_handover, handover + 1, "hand-overs are counted from 1, without gaps");
                handover += batch.frames.len() as u64;
                for frame in &batch.frames {
                    let person = &mut found[frame.view as usize - 1];
                    tokens(&frame.message, person);
                    let records = Reader::new(&frame.message).map(Result::unwrap);
                    for record in records.filter(|record| record.number == SEALED_FIELD) {
                        let Value::Len(group) = record.value else { panic!("a group is bytes") };
                        let count = sealed.entry(frame.view).or_default();
                        let head = sframe_head(group);
                        assert_eq!(head.counter, *count, "groups are counted within the view");
                        assert_eq!((group.len() - head.len - 16) % 32, 0, "as long as anything in steps of 32");
                        *count += 1;
                    }
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(views as usize == people && sizes.len() == 1, "no view is longer than another: {sizes:?}");
    found
}

struct Head {
    len: usize,
    counter: u64,
}

/// RFC 9605, section 4.3: one byte of configuration, then the key id and the counter where they don't fit into it.
fn sframe_head(group: &[u8]) -> Head {
    let config = group[0];
    let (long_key, key) = (config >> 7 == 1, usize::from(config >> 4 & 7));
    let (long_counter, counter) = (config >> 3 & 1 == 1, usize::from(config & 7));
    let key_len = if long_key { key + 1 } else { 0 };
    let counter_len = if long_counter { counter + 1 } else { 0 };
    let bytes = &group[1 + key_len..1 + key_len + counter_len];
    let value = if long_counter { bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)) } else { counter as u64 };
    Head { len: 1 + key_len + counter_len, counter: value }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_recordings_leaves_nothing_to_join_people_by_but_what_both_may_see() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folders = ["patients", "tracks", "identity", "wearables"].map(|name| data.join(name));
    if folders.iter().all(|folder| !folder.exists()) {
        eprintln!("SKIPPED: no recordings in `{}`", data.display());
        return;
    }
    let recordings: Vec<_> = folders.iter().filter(|folder| folder.exists()).flat_map(|folder| Replay::open(folder).unwrap().0).collect();
    let mut sent: Vec<Vec<u8>> = Vec::new();
    for recording in recordings.iter().filter(|recording| recording.message() == PATIENT) {
        sent.extend(recording.frames().unwrap().map(|frame| frame.unwrap().bytes));
    }
    let typed: Vec<PatientFrame> = sent.iter().map(|frame| PatientFrame::decode(&frame[..]).unwrap()).collect();
    // In the order in which they first appear.
    let mut people: Vec<&str> = Vec::new();
    let mut who = BTreeMap::new();
    for frame in &typed {
        who.entry(frame.patient_id.as_str()).or_insert_with(|| {
            people.push(&frame.patient_id);
            people.len() - 1
        });
    }
    let world = World::start().await;
    let lab = world.wallet();
    let parties = LISTENING.map(|(party, ..)| party);
    for value in &people {
        let person = world.patient(value).await;
        // One key for all of them, even.
        let given = Given::to(&world, &parties, LISTENING[0].1).purposes(&LISTENING.map(|(_, purpose, _)| purpose));
        let rules: Vec<_> = permit_all().into_iter().chain([permit("patient_id", "pseudonymize"), sealed_for_recipient("note")]).collect();
        world.grant(&person, &given.rules(rules).key(lab.vault_key())).await;
    }
    let mut streams: Vec<Sub> = Vec::new();
    // The first one twice: the same recipient for the same purpose, who may know people again.
    for (party, purpose, _) in LISTENING.into_iter().chain([LISTENING[0]]) {
        streams.push(world.subscribe(party, Ask::of(PATIENT, purpose)).await.keeping());
    }
    let mut source = world.source("hospital", PATIENT).await;
    for batch in sent.chunks(200) {
        source.push(batch.to_vec()).await;
        for stream in &mut streams {
            stream.frames(batch.len()).await;
        }
        assert!(source.ack().await.unwrap().refused.is_empty());
    }
    let came: Vec<_> = streams.iter().map(|stream| by_person(stream.kept.as_ref().unwrap(), people.len())).collect();
    let seen = |(.., sees): &Listening| {
        let mut seen = vec![BTreeSet::new(); people.len()];
        typed.iter().for_each(|frame| tokens(&sees(frame).encode_to_vec(), &mut seen[who[frame.patient_id.as_str()]]));
        seen
    };
    let permitted: Vec<Vec<BTreeSet<Token>>> = LISTENING.iter().map(seen).collect();
    let mut shared = 0;
    for one in 0..LISTENING.len() {
        for other in one + 1..LISTENING.len() {
            assert_ne!(streams[one].header.stream_id, streams[other].header.stream_id);
            for (person, value) in people.iter().enumerate() {
                let found = joins(&came[one], &came[other], person);
                let not_theirs: Vec<_> = found
                    .iter()
                    .filter(|token| !permitted[one][person].contains(token) || !permitted[other][person].contains(token))
                    .collect();
                assert!(not_theirs.is_empty(), "{:?} and {:?} know `{value}` by {not_theirs:x?}", &LISTENING[one].1, &LISTENING[other].1);
                shared += found.len();
            }
        }
    }
    // The comparison finds what there is: kept values in both, and a person again where that may be.
    assert!(shared > 1_000, "{shared}");
    let label = |view: usize| {
        let mut found = BTreeSet::new();
        tokens(streams[0].views[view].subject.as_bytes(), &mut found);
        found
    };
    assert!((0..people.len()).all(|person| joins(&came[0], &came[LISTENING.len()], person).is_superset(&label(person))));
    println!(
        "{} frames about {} people in {} streams: {shared} values in common, all of them the sources'",
        sent.len(),
        people.len(),
        LISTENING.len()
    );
}
