//! Refusals that nobody meets by accident: each is reached, and lets nothing out. What `tests/coverage/run` found unreached is
//! here, or beside the code where it takes a look inside.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};
use tonic::Code;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::publish_request::Kind;
use twinveil::proto::v1::{Case, Category, FieldSensitivity, PublishOpen, PublishRequest, Sensitivity};
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::name::{Origin, ViewId};
use twinveil::veil::outcome::Refusal;
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{LoadFault, Schema, load};
use twinveil::veil::terms::{Treatment, purpose};
use twinveil::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};
use twinveil::veil::wire::push_len_prefixed;
use twinveil::world::{Clock, entropy};

use crate::fuzz::targets::shapes;
use crate::gateway::{CARE, START_MS};
use crate::harness::{Ask, Given, PATIENT, World, channel, eventually, made_folder, pem_files, prefixed, raw_call, status_of};

/// What a view that does the same everywhere makes of a frame.
fn seen(schema: &Schema, treatment: Treatment, frame: &[u8]) -> Result<Vec<u8>, Refusal> {
    let decided = Decided { treatment, holders: Holders::Vault, reason: Reason::Floor };
    let program = Arc::new(Program::compile(schema, &Decision { sites: vec![decided; schema.sites().len()] }));
    let source = BindingsSource {
        origin: &Origin::new("gateway.example.org/twins"),
        recipient: "spiffe://example.org/recipient",
        purpose: &purpose(CARE).unwrap(),
        subject_key: Some(&Secret::take(&mut [3; 32])),
        pseudonym_epoch: 0,
        view: ViewId([1; 16]),
        epoch: 1,
        suite: Suite::Aes256Gcm,
        holders: &|_| Vec::new(),
    };
    let (bindings, _) = Bindings::new(&program, &source, &mut entropy()).unwrap();
    View::new(program, bindings).apply(Raw::new(frame), &mut Space::default()).map(|veiled| veiled.bytes().to_vec())
}

fn inside(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_len_prefixed(&mut out, number, value);
    out
}

#[test]
fn what_is_broken_where_somebody_looks_refuses_the_frame() {
    let every = &shapes::schemas()[0];
    let pair = [&inside(2, b"pos")[..], &inside(3, &[0x08])].concat();
    for (treatment, broken) in [
        // A packed run that has to be written shorter, and ends in the middle of a number.
        (Treatment::Keep, inside(20, &[0x80, 0x00, 0x80])),
        (Treatment::Generalize, inside(20, &[0x01, 0x80])),
        (Treatment::Generalize, inside(21, &[0, 0, 0])),
        (Treatment::Generalize, inside(17, &[0x08])),
        (Treatment::Pseudonymize, inside(28, &[0x01, 0x80])),
        // A case of an element.
        (Treatment::Keep, inside(25, &pair)),
        (Treatment::Keep, inside(18, &[0x0a, 0x05])),
    ] {
        let frame = [&inside(15, b"kept before")[..], &broken].concat();
        assert_eq!(seen(every, treatment, &frame), Err(Refusal::Truncated), "{treatment}: {broken:?}");
        assert_eq!(seen(every, Treatment::Strip, &frame), Ok(Vec::new()), "nobody looks: {broken:?}");
    }
}

#[test]
fn what_has_no_case_no_way_to_be_coarser_or_no_known_key_is_left_out() {
    let every = &shapes::schemas()[0];
    // A key in another wire type is no key.
    let element = inside(25, &[&[0x10, 0x05][..], &inside(3, b"")].concat());
    assert_eq!(seen(every, Treatment::Keep, &element), Ok(Vec::new()));
    // A bool can't be made coarser, whoever decides so.
    assert_eq!(seen(every, Treatment::Generalize, &[0x70, 0x01]), Ok(Vec::new()));
    let cases = |key: usize| format!("'labels[\"k{key}\"]' = {{ sensitivity = \"special\", category = \"health\" }}\n");
    let side = format!("[\"t.Frame\"]\n{}", (0..12).map(cases).collect::<String>());
    let many = load(&shapes::set(shapes::EVERY), "t.Frame", Some(&side)).unwrap();
    let entry = |key: &str| inside(23, &[inside(1, key.as_bytes()), inside(2, b"value")].concat());
    assert_eq!(seen(&many, Treatment::Keep, &entry("k7")), Ok(entry("k7")));
    assert_eq!(seen(&many, Treatment::Keep, &entry("k12")), Ok(Vec::new()));
}

#[test]
fn a_subject_that_is_a_number_is_known_by_its_digits() {
    let side = "[\"t.Frame\"]\ni64 = { sensitivity = \"identifying\", category = \"identity\", role = \"subject\" }";
    let schema = load(&shapes::set(shapes::EVERY), "t.Frame", Some(side)).unwrap_or_else(|error| panic!("{error}"));
    let frame = [0x18, 0x07];
    let subject = Raw::new(&frame).subject(schema.subject().expect("it has one")).expect("it is there");
    assert_eq!(subject.as_bytes(), b"7");
    assert_eq!(seen(&schema, Treatment::Keep, &frame), Ok(frame.to_vec()));
    assert_eq!(seen(&schema, Treatment::Strip, &frame), Ok(Vec::new()));
}

/// The flat shape after a change to its files.
fn changed(change: impl FnOnce(&mut FileDescriptorSet)) -> Vec<u8> {
    let mut set = FileDescriptorSet::decode(&shapes::set(shapes::EVERY)[..]).unwrap();
    change(&mut set);
    set.encode_to_vec()
}

#[track_caller]
fn refused(set: &[u8], root: &str, side: Option<&str>, fault: LoadFault) {
    let error = load(set, root, side).expect_err("refused");
    assert_eq!(error.fault, fault, "{error}");
}

#[test]
fn descriptor_sets_that_no_compiler_makes_are_refused() {
    let bad = || EnumDescriptorProto { name: Some("9".into()), ..EnumDescriptorProto::default() };
    refused(&changed(|set| set.file[1].enum_type.push(bad())), "t.Frame", None, LoadFault::Malformed);
    refused(&changed(|set| set.file[1].message_type[0].enum_type.push(bad())), "t.Frame", None, LoadFault::Malformed);
    refused(&changed(|set| set.file[1].enum_type = vec![set.file[1].enum_type[0].clone(); 2]), "t.Frame", None, LoadFault::Malformed);
    let entry = |set: &mut FileDescriptorSet, drop: i32| {
        let entries: &mut Vec<DescriptorProto> = &mut set.file[1].message_type[0].nested_type;
        entries.iter_mut().for_each(|entry| entry.field.retain(|field| field.number() != drop));
    };
    for number in [1, 2] {
        let side = "[\"t.Frame\"]\n'labels[\"one\"]' = { sensitivity = \"special\", category = \"health\" }";
        let error = load(&changed(|set| entry(set, number)), "t.Frame", Some(side)).expect_err("half an entry");
        assert!(matches!(error.fault, LoadFault::Malformed | LoadFault::Selector), "{error}");
    }
}

#[test]
fn a_required_field_inside_a_case_refuses_the_schema() {
    const SHAPE: shapes::Shape = (
        "proto2",
        &[("Whole", &[("parts", 1, "*t.Part")]), ("Part", &[("code", 1, "!uint32"), ("name", 2, "string"), ("text", 3, "string")])],
    );
    let side = "[\"t.Whole\"]\n'parts[name=\"a\"].text' = { sensitivity = \"special\", category = \"health\" }";
    refused(&shapes::set(SHAPE), "t.Whole", Some(side), LoadFault::Required);
}

/// A message `t.M` with one annotated field: text, or a map of text.
fn annotated(map: bool, annotation: &FieldSensitivity) -> Vec<u8> {
    let options = inside(8, &inside(51_818, &annotation.encode_to_vec()));
    let shape: shapes::Shape = if map { ("proto3", &[("M", &[("f", 1, "map")])]) } else { ("proto3", &[("M", &[("f", 1, "string")])]) };
    let mut set = FileDescriptorSet::decode(&shapes::set(shape)[..]).unwrap();
    let mut message = set.file[1].message_type.remove(0);
    let field = message.field.remove(0).encode_to_vec();
    // prost knows no options but Google's own: they are put in by hand.
    let message = [message.encode_to_vec(), inside(2, &[field, options].concat())].concat();
    let file = [set.file[1].encode_to_vec(), inside(4, &message)].concat();
    inside(1, &file)
}

#[test]
fn annotations_that_say_half_of_it_are_refused() {
    let half = FieldSensitivity { sensitivity: Sensitivity::Special.into(), ..FieldSensitivity::default() };
    let whole = FieldSensitivity { category: Category::Health.into(), ..half.clone() };
    let cases = |facts: &FieldSensitivity| FieldSensitivity {
        cases: vec![Case { value: "one".into(), path: String::new(), field: Some(facts.clone()) }],
        ..FieldSensitivity::default()
    };
    for (map, good, bad) in [(false, whole.clone(), half.clone()), (true, cases(&whole), cases(&half))] {
        let schema = load(&annotated(map, &good), "t.M", None).unwrap_or_else(|error| panic!("{error}"));
        assert!(schema.sites().iter().any(|site| site.facts.classified()));
        refused(&annotated(map, &bad), "t.M", None, LoadFault::Facts);
    }
    let side = "[\"t.Frame\"]\ni64 = { sensitivity = \"personal\", category = \"time\", generalize = { time_bucket = \"1w\" } }";
    refused(&shapes::set(shapes::EVERY), "t.Frame", Some(side), LoadFault::Generalize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_not_what_the_contract_says_bring_no_frame_in() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE)).await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let open = PublishRequest { kind: Some(Kind::Open(PublishOpen { schema: PATIENT.into() })) }.encode_to_vec();
    let frame = |sequence| PatientFrame { patient_id: "ada".into(), sequence, captured_at_ms: START_MS, ..PatientFrame::default() };
    let whole = inside(1, &frame(1).encode_to_vec());
    let (publish, subscribe, grpc) = ("/twinveil.v1.Frames/Publish", "/twinveil.v1.Frames/Subscribe", "application/grpc");
    let endless = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
    for (party, path, kind, pieces, code, text) in [
        ("hospital", publish, grpc, vec![prefixed(0, &inside(1, &[0xff]))], Code::InvalidArgument, "TV-G04"),
        // A batch with a whole frame in front of what is broken: nothing of the batch is taken.
        (
            "hospital",
            publish,
            grpc,
            vec![prefixed(0, &open), prefixed(0, &inside(2, &[&whole[..], &[0x0a]].concat()))],
            Code::InvalidArgument,
            "TV-G04",
        ),
        (
            "hospital",
            publish,
            grpc,
            vec![prefixed(0, &open), prefixed(0, &inside(2, &[&whole[..], &[0x10, 1]].concat()))],
            Code::InvalidArgument,
            "TV-G04",
        ),
        ("clinician", subscribe, grpc, vec![endless], Code::ResourceExhausted, "TV-G11"),
        ("clinician", subscribe, grpc, vec![prefixed(0, &[0x0a, 0x05])], Code::InvalidArgument, "TV-G04"),
        ("clinician", subscribe, "text/plain", vec![prefixed(0, &[])], Code::InvalidArgument, "TV-G04"),
    ] {
        let (response, _) = raw_call(world.channel(party).await, path, kind, pieces, true).await;
        let (found, message) = status_of(response).await;
        assert_eq!((found, message.split(':').next()), (code, Some(text)), "{path}: {message}");
    }
    assert_eq!(world.metric("twinveil_frames_in_total").await, 0);
    // The first frame that the recipient gets is the first whole one.
    world.publish("hospital", PATIENT, &[frame(7)]).await;
    assert_eq!(clinician.message::<PatientFrame>().await.sequence, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_fails_on_a_frame_ends_the_stream_without_it() {
    let folder = made_folder();
    let file = folder.join("policy.cedar");
    let policy = std::fs::read_to_string(&file).unwrap();
    let overflow = "@id(\"overflows\") forbid (principal, action, resource) \
                    when { 9223372036854775807 + (if context.jurisdiction == \"nowhere\" then 0 else 1) == 0 };";
    std::fs::write(&file, format!("{policy}\n{overflow}\n")).unwrap();
    let world = World::at(folder, Arc::new(Clock::new())).await.expect("it loads; what overflows is known later");
    let ada = world.patient("ada").await;
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE)).await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let frame = PatientFrame { patient_id: "ada".into(), sequence: 1, captured_at_ms: START_MS, ..PatientFrame::default() };
    world.publish("hospital", PATIENT, &[frame]).await;
    let (frames, end) = clinician.rest().await;
    assert!(frames.is_empty(), "no floors, no frames");
    let status = end.expect_err("it ends with the reason");
    assert_eq!((status.code(), status.message().split(':').next()), (Code::Internal, Some("TV-G12")), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_the_gateway_takes_are_closed_before_a_word() {
    // The wallets' portal has the first.
    let world = World::with("[limits]\nconnections_max = 2\n").await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE)).await;
    let second = world.channel("hospital").await;
    let third = channel(world.gate, &pem_files(&world.folder.0, "clinician")).await;
    assert!(third.is_err(), "a third connection");
    drop(second);
    eventually("room for another connection", async || channel(world.gate, &pem_files(&world.folder.0, "clinician")).await.ok()).await;
}
