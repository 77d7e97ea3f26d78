//! What is refused, by code and by nobody's guess; what is right beside it passes.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};
use tonic::{Code, Status};
use twinveil::gate::tls::PemFiles;
use twinveil::proto::sample::{PatientFrame, Vitals};
use twinveil::proto::v1::keys_client::KeysClient;
use twinveil::proto::v1::publish_request::Kind;
use twinveil::proto::v1::{
    AnnouncedRequest, Delivery, PublishBatch, PublishOpen, PublishRequest, PublishResponse, StandingRequest, SubmitRequest,
    SubscribeRequest,
};
use twinveil::world::Clock;

use super::{ADVERTISING, CARE, START_MS};
use crate::harness::{
    Ask, Given, NO_ROOM, PATIENT, Source, Sub, World, acks, channel, eventually, filled, made_folder, pem_files, prefixed, raw_call, soon,
    status_of, strangers_folder,
};

const PUBLISH: &str = "/twinveil.v1.Frames/Publish";
const SUBSCRIBE: &str = "/twinveil.v1.Frames/Subscribe";

fn frame(patient: &str, sequence: u64) -> PatientFrame {
    PatientFrame { patient_id: patient.into(), sequence, captured_at_ms: START_MS, ..PatientFrame::default() }
}

fn refused(ack: &PublishResponse) -> Vec<(u64, &str)> {
    ack.refused.iter().map(|one| (one.index, one.code.as_str())).collect()
}

fn says(status: &Status, code: Code, text: &str) {
    assert_eq!((status.code(), status.message().split(':').next()), (code, Some(text)), "{status:?}");
}

async fn with_ada() -> World {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let given = Given::to(&world, &["clinician", "advertiser"], CARE).purposes(&[CARE, ADVERTISING]);
    world.grant(&ada, &given).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_cant_be_judged_are_refused_by_index_and_code_and_the_good_ones_pass() {
    let world = World::with("[limits]\nframe_bytes_max = 2048\n").await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE)).await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let good = |sequence| frame("ada", sequence).encode_to_vec();
    let with = |extra: &[u8]| [&good(99)[..], extra].concat();
    let large = PatientFrame { note: "x".repeat(2_048), ..frame("ada", 99) }.encode_to_vec();
    let mut source = world.source("hospital", PATIENT).await;
    let first = source
        .send_bytes(vec![
            good(1),
            with(&[0x0a, 0x7f]),                                                             // 1: runs past its end
            with(&[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), // 2: eleven bytes of varint
            with(&[0x07]),                                                                   // 3: wire type 7
            with(&[0x9b, 0x06, 0xa4, 0x06]),                                                 // 4: a group that another number closes
            good(2),
            large,                                  // 6
            frame("", 99).encode_to_vec(),          // 7: about nobody
            with(&frame("ben", 0).encode_to_vec()), // 8: about two
            frame("eve", 99).encode_to_vec(),       // 9: not enrolled
            Vec::new(),                             // 10: nothing at all
            good(3),
        ])
        .await;
    assert_eq!((first.through, first.accepted), (12, 3));
    assert_eq!(
        refused(&first),
        [
            (1, "TV-W01"),
            (2, "TV-W02"),
            (3, "TV-W03"),
            (4, "TV-W04"),
            (6, "TV-W06"),
            (7, "TV-W07"),
            (8, "TV-W08"),
            (9, "TV-G01"),
            (10, "TV-W07")
        ]
    );
    // Positions count through the stream.
    let second = source.send_bytes(vec![good(4), with(&[0x0a, 0x7f])]).await;
    assert_eq!((second.through, second.accepted, refused(&second)), (14, 4, vec![(13, "TV-W01")]));
    for sequence in 1..=4 {
        assert_eq!(clinician.message::<PatientFrame>().await.sequence, sequence);
    }
    // Enrolled meanwhile, the same subject is known from the next frame on.
    let eve = world.patient("eve").await;
    world.grant(&eve, &Given::to(&world, &["clinician"], CARE)).await;
    assert_eq!(refused(&source.send(&[frame("eve", 5)]).await), []);
    assert_eq!(clinician.message::<PatientFrame>().await.sequence, 5);
    assert_eq!(world.metric("twinveil_frames_refused_total").await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_inside_a_hidden_message_is_a_verdict_for_nobody_who_does_not_see_it() {
    let world = with_ada().await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut advertiser = world.subscribe("advertiser", Ask::of(PATIENT, ADVERTISING)).await;
    // Vitals of two bytes that are no message.
    let broken = [&frame("ada", 1).encode_to_vec()[..], &[0x42, 0x02, 0x0d, 0x00]].concat();
    let whole = PatientFrame { vitals: Some(Vitals { heart_rate_bpm: Some(61.0), ..Vitals::default() }), ..frame("ada", 2) };
    let mut source = world.source("hospital", PATIENT).await;
    let ack = source.send_bytes(vec![broken, whole.encode_to_vec()]).await;
    assert_eq!((ack.accepted, refused(&ack)), (2, vec![]), "to find whom it is about, nothing else is parsed");
    assert_eq!(clinician.message::<PatientFrame>().await.sequence, 2);
    assert_eq!(advertiser.frames(2).await.len(), 2);
    let last = source.finish().await.expect("a good end");
    let later: Vec<_> = last.iter().flat_map(|ack| &ack.refused_later).map(|one| (one.code.as_str(), one.frames)).collect();
    assert_eq!(later, [("TV-W01", 1)], "the source is told, in the last word at the latest");
    let metrics = world.http("/metrics").await;
    assert!(metrics.contains("twinveil_view_refusals_total{code=\"TV-W01\"} 1\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_and_wire_types_that_clash_are_stripped() {
    let world = with_ada().await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let known = PatientFrame { vitals: Some(Vitals { heart_rate_bpm: Some(61.0), ..Vitals::default() }), ..frame("ada", 1) };
    let mut bytes = known.encode_to_vec();
    bytes.extend_from_slice(&[0xfa, 0x01, 0x06]); // field 31, unknown
    bytes.extend_from_slice(b"secret");
    bytes.extend_from_slice(&[0x15, 1, 2, 3, 4]); // device_id as fixed32
    bytes.extend_from_slice(&[0x42, 0x05, 0xf8, 0x01, 0x2a, 0x6a, 0x00]); // in vitals: fields 31 and 13, unknown
    bytes.extend_from_slice(&[0x82, 0xe5, 0x08, 0x01, 0x78]); // a forged sealed group, field 18000
    let mut source = world.source("hospital", PATIENT).await;
    source.send_bytes(vec![bytes]).await;
    let received = clinician.frame().await;
    let mut came = PatientFrame::decode(&received.clear[..]).unwrap();
    assert_eq!(came.patient_id.len(), 26);
    came.patient_id = "ada".into();
    assert_eq!((came, received.groups), (known.clone(), 0));
    let expected = known.encoded_len() - "ada".len() + 26;
    assert!(received.clear.len() <= expected + 2, "not a byte more than the known fields, which may stand in two pieces");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_schemas_and_purposes_are_refused() {
    let world = with_ada().await;
    let source = world.channel("hospital").await;
    let mut publishing = Source::open(source, "hospital.v1.Other").await.expect("the call opens");
    says(&publishing.ack().await.expect_err("no such schema"), Code::NotFound, "TV-G02");
    let recipient = world.channel("clinician").await;
    for (schema, purpose, code, text) in [
        ("hospital.v1.Other", CARE, Code::NotFound, "TV-G02"),
        (PATIENT, "dpv:Nonsense", Code::InvalidArgument, "TV-G08"),
        (PATIENT, "", Code::InvalidArgument, "TV-G08"),
        (PATIENT, "ServiceProvision", Code::InvalidArgument, "TV-G08"),
    ] {
        says(&Sub::open(recipient.clone(), Ask::of(schema, purpose)).await.err().expect(purpose), code, text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_without_the_right_is_refused() {
    let world = with_ada().await;
    let clinician = world.channel("clinician").await;
    says(&Source::open(clinician.clone(), PATIENT).await.err().expect("no source"), Code::PermissionDenied, "TV-G03");
    let hospital = world.channel("hospital").await;
    says(&Sub::open(hospital.clone(), Ask::of(PATIENT, CARE)).await.err().expect("no recipient"), Code::PermissionDenied, "TV-G03");
    let mut consents = twinveil::proto::v1::consents_client::ConsentsClient::new(clinician);
    says(&soon("a refusal", consents.submit(SubmitRequest::default())).await.unwrap_err(), Code::PermissionDenied, "TV-G03");
    says(&soon("a refusal", consents.standing(StandingRequest::default())).await.unwrap_err(), Code::PermissionDenied, "TV-G03");
    let mut keys = KeysClient::new(hospital);
    says(&soon("a refusal", keys.announced(AnnouncedRequest::default())).await.unwrap_err(), Code::PermissionDenied, "TV-G03");
    let mut records = world.consents();
    says(&soon("a refusal", records.submit(SubmitRequest::default())).await.unwrap_err(), Code::InvalidArgument, "TV-G04");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_oversized_and_malformed_messages_and_unknown_methods_are_refused() {
    let world = World::with("[limits]\nframe_bytes_max = 2048\nbatch_bytes_max = 262144\n").await;
    let (hospital, clinician) = (world.channel("hospital").await, world.channel("clinician").await);
    let open = PublishRequest { kind: Some(Kind::Open(PublishOpen { schema: PATIENT.into() })) }.encode_to_vec();
    let batch = PublishRequest { kind: Some(Kind::Batch(PublishBatch { frames: vec![Bytes::from(vec![0; 8])] })) }.encode_to_vec();
    let ask =
        SubscribeRequest { schema: PATIENT.into(), purpose: CARE.into(), delivery: Delivery::Newest.into(), ..SubscribeRequest::default() }
            .encode_to_vec();
    let many = PublishRequest { kind: Some(Kind::Batch(PublishBatch { frames: vec![Bytes::new(); 65_537] })) }.encode_to_vec();
    let grpc = "application/grpc";
    for (path, kind, pieces, code, text) in [
        (PUBLISH, grpc, vec![prefixed(1, &open)], Code::Unimplemented, "TV-G10"),
        (PUBLISH, grpc, vec![prefixed(0, &open), prefixed(1, &batch)], Code::Unimplemented, "TV-G10"),
        (PUBLISH, grpc, vec![prefixed(0, &open), prefixed(0, &[0; 262_145])], Code::ResourceExhausted, "TV-G11"),
        (PUBLISH, grpc, vec![prefixed(0, &batch)], Code::InvalidArgument, "TV-G04"),
        (PUBLISH, grpc, vec![prefixed(0, &open), prefixed(0, &open)], Code::InvalidArgument, "TV-G04"),
        (PUBLISH, grpc, vec![prefixed(0, &open), prefixed(0, &[0x12, 0x7f])], Code::InvalidArgument, "TV-G04"),
        (PUBLISH, grpc, vec![prefixed(0, &open), prefixed(0, &[0x1a, 0x00])], Code::InvalidArgument, "TV-G04"),
        (PUBLISH, grpc, vec![prefixed(0, &open), prefixed(0, &many)], Code::ResourceExhausted, "TV-G11"),
        (PUBLISH, "application/json", vec![prefixed(0, &open)], Code::InvalidArgument, "TV-G04"),
        (PUBLISH, "application/grpc-web", vec![prefixed(0, &open)], Code::InvalidArgument, "TV-G04"),
        (SUBSCRIBE, grpc, vec![prefixed(1, &ask)], Code::Unimplemented, "TV-G10"),
        (SUBSCRIBE, grpc, vec![prefixed(0, &[0; 70_000])], Code::ResourceExhausted, "TV-G11"),
        (SUBSCRIBE, grpc, vec![prefixed(0, &ask), prefixed(0, &ask)], Code::InvalidArgument, "TV-G04"),
        (SUBSCRIBE, grpc, vec![prefixed(0, &ask).slice(..9)], Code::InvalidArgument, "TV-G04"),
        (SUBSCRIBE, grpc, vec![], Code::InvalidArgument, "TV-G04"),
        ("/twinveil.v1.Frames/Peek", grpc, vec![prefixed(0, &ask)], Code::Unimplemented, "TV-G13"),
        ("/twinveil.v1.Consents/Override", grpc, vec![prefixed(0, &ask)], Code::Unimplemented, "TV-G13"),
        ("/hospital.v1.Monitor/Watch", grpc, vec![prefixed(0, &ask)], Code::Unimplemented, "TV-G13"),
        ("/", grpc, vec![], Code::Unimplemented, "TV-G13"),
    ] {
        let channel = if path == SUBSCRIBE { clinician.clone() } else { hospital.clone() };
        let (response, _) = raw_call(channel, path, kind, pieces, true).await;
        let (found, message) = status_of(response).await;
        assert_eq!((found, message.split(':').next()), (code, Some(text)), "{path}: {message}");
    }
    assert_eq!(world.metric("twinveil_frames_in_total").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_call_broke_stays_acknowledged() {
    let world = with_ada().await;
    let open = PublishRequest { kind: Some(Kind::Open(PublishOpen { schema: PATIENT.into() })) }.encode_to_vec();
    let frames = vec![frame("ada", 1).encode_to_vec().into()];
    let batch = PublishRequest { kind: Some(Kind::Batch(PublishBatch { frames })) }.encode_to_vec();
    let pieces = vec![prefixed(0, &open), prefixed(0, &batch), prefixed(1, &batch)];
    let (response, _) = raw_call(world.channel("hospital").await, PUBLISH, "application/grpc", pieces, true).await;
    let body = soon("the whole answer", response.into_body().collect()).await.unwrap();
    let trailers = body.trailers().cloned().expect("trailers");
    assert_eq!(trailers.get("grpc-status").unwrap(), "12");
    assert_eq!(acks(&body.to_bytes()).iter().map(|ack| ack.accepted).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_than_the_gateway_takes_are_refused() {
    let world = World::with("[limits]\nstreams_max = 2\n").await;
    let channel = world.channel("clinician").await;
    let first = Sub::open(channel.clone(), Ask::of(PATIENT, CARE)).await.unwrap();
    let _second = Sub::open(channel.clone(), Ask::of(PATIENT, CARE)).await.unwrap();
    says(&Sub::open(channel.clone(), Ask::of(PATIENT, CARE)).await.err().expect("full"), Code::ResourceExhausted, "TV-G16");
    drop(first);
    crate::harness::eventually("room for another stream", async || Sub::open(channel.clone(), Ask::of(PATIENT, CARE)).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_the_gateway_takes_are_refused_and_streams_of_recipients_are_none_of_them() {
    let world = World::with("[limits]\ncalls_max = 2\n").await;
    let channel = world.channel("hospital").await;
    let first = Source::open(channel.clone(), PATIENT).await.unwrap();
    let _second = Source::open(channel.clone(), PATIENT).await.unwrap();
    says(&Source::open(channel.clone(), PATIENT).await.err().expect("full"), Code::ResourceExhausted, "TV-G16");
    let mut portal = world.consents();
    says(&soon("a refusal", portal.submit(SubmitRequest::default())).await.unwrap_err(), Code::ResourceExhausted, "TV-G16");
    let _stream = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    drop(first);
    crate::harness::eventually("room for another call", async || Source::open(channel.clone(), PATIENT).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_half_asked_for_takes_its_room_like_other_messages() {
    let world = World::with(NO_ROOM).await;
    let _halves = filled(&world).await;
    let large = SubscribeRequest { schema: "x".repeat(60_000), ..SubscribeRequest::default() };
    let half = prefixed(0, &large.encode_to_vec()).slice(..50_000);
    let channel = world.channel("clinician").await;
    let (response, _rest) = raw_call(channel, SUBSCRIBE, "application/grpc", vec![half], false).await;
    let (code, text) = status_of(response).await;
    assert_eq!((code, text.split(':').next()), (Code::ResourceExhausted, Some("TV-G27")));
}

/// Whether a caller with these files gets any answer but a closed door.
async fn is_let_in(world: &World, files: &PemFiles) -> bool {
    let Ok(channel) = channel(world.gate, files).await else { return false };
    let request = prefixed(0, b"");
    let body = tonic::body::Body::new(http_body_util::Full::new(request));
    let call = http::Request::post("/twinveil.v1.Frames/Peek").header("content-type", "application/grpc").body(body).unwrap();
    soon("an answer, or a closed door", tower::ServiceExt::oneshot(channel, call)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_the_gateway_does_not_know_is_let_in_nowhere() {
    let folder = made_folder();
    // A second authority that the operator trusts, which signs what it likes.
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let ca = folder.join("certs/ca.pem");
    let both = format!("{}\n{}", std::fs::read_to_string(&ca).unwrap(), authority.pem());
    std::fs::write(&ca, both).unwrap();
    let made = |until: i32, name: &str, ids: &[&str], usage: ExtendedKeyUsagePurpose| {
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params.subject_alt_names = ids.iter().map(|id| SanType::URI((*id).try_into().unwrap())).collect();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join(&format!("certs/{name}.pem")), params.signed_by(&key, &authority).unwrap().pem()).unwrap();
        std::fs::write(folder.join(&format!("certs/{name}.key")), key.serialize_pem()).unwrap();
    };
    let make = |name: &str, ids: &[&str], usage| made(4_096, name, ids, usage);
    const CLINICIAN: &str = "spiffe://example.org/recipient/clinician";
    made(2_020, "over", &[CLINICIAN], ExtendedKeyUsagePurpose::ClientAuth);
    make("good", &[CLINICIAN], ExtendedKeyUsagePurpose::ClientAuth);
    make("nobody", &["spiffe://example.org/recipient/nobody"], ExtendedKeyUsagePurpose::ClientAuth);
    make("two", &[CLINICIAN, "spiffe://example.org/source/hospital"], ExtendedKeyUsagePurpose::ClientAuth);
    make("unnamed", &[], ExtendedKeyUsagePurpose::ClientAuth);
    make("no-spiffe", &["https://example.org/recipient/clinician"], ExtendedKeyUsagePurpose::ClientAuth);
    make("a-server", &[CLINICIAN], ExtendedKeyUsagePurpose::ServerAuth);
    let world = World::at(folder, Arc::new(Clock::new())).await.expect("starts");
    assert!(is_let_in(&world, &pem_files(&world.folder.0, "good")).await, "the test's own authority is believed");
    let (own, strangers) = (pem_files(&world.folder.0, "clinician"), strangers_folder());
    let stranger = PemFiles { peer_ca: own.peer_ca.clone(), ..pem_files(&strangers.0, "clinician") };
    assert!(!is_let_in(&world, &stranger).await, "signed by another authority");
    for name in ["nobody", "two", "unnamed", "no-spiffe", "a-server", "over"] {
        assert!(!is_let_in(&world, &pem_files(&world.folder.0, name)).await, "{name}");
    }
    // A client may try more than once.
    eventually("all of them to be counted", async || (world.metric("twinveil_connections_refused_total").await >= 7).then_some(())).await;
    // Nor does anybody get an answer without TLS.
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", world.gate)).unwrap();
    let answer = match soon("a connection", plain.connect()).await {
        Err(_) => None,
        Ok(channel) => Sub::open(channel, Ask::of(PATIENT, CARE)).await.ok().map(|_| ()),
    };
    assert_eq!(answer, None);
}
