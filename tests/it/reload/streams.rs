//! Schemas that change under open streams.

use std::time::Duration;

use http_body_util::BodyExt;
use prost::Message;
use tonic::{Code, Status};
use twinveil::proto::v1::publish_request::Kind;
use twinveil::proto::v1::{PublishOpen, PublishRequest};

use crate::gateway::CARE;
use crate::harness::ward::{self, Chart, chart};
use crate::harness::{Ask, Given, PATIENT, World, acks, made_folder, permit_all, prefixed, raw_call, soon};

const CHART: &str = "ward.v1.Chart";

/// A gateway whose frames are charts, described by a `.proto` with an import.
async fn charts() -> World {
    let folder = made_folder();
    std::fs::create_dir_all(folder.join("proto/parts")).unwrap();
    let (ask, rest) = ward::PROTO.split_once("message Chart").unwrap();
    let proto = format!("{}import \"parts/ask.proto\";\nmessage Chart{rest}", ask.split("message Ask").next().unwrap());
    std::fs::write(folder.join("proto/ward.proto"), proto).unwrap();
    std::fs::write(folder.join("proto/parts/ask.proto"), ask).unwrap();
    std::fs::write(
        folder.join("ward.fields.toml"),
        ward::SIDE.split_once("[\"ward.v1.Chart\"]").map(|(_, chart)| format!("[\"ward.v1.Chart\"]{chart}")).unwrap(),
    )
    .unwrap();
    let rule = "@id(\"ward\") permit (principal in Group::\"clinical\", action == Action::\"keep\", resource) when { resource.schema like \"ward.v1.*\" };\n";
    let policy = folder.join("policy.cedar");
    std::fs::write(&policy, std::fs::read_to_string(&policy).unwrap() + rule).unwrap();
    let file = folder.join("twinveil.toml");
    let lines = format!(
        "[[schema]]\nmessage = \"{CHART}\"\ndescriptor = \"proto/ward.proto\"\nproto_paths = [\"proto\"]\nside_file = \"ward.fields.toml\"\n"
    );
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &lines).unwrap();
    World::at(folder, Default::default()).await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_of_a_schema_change_under_an_open_stream_and_wire_types_do_not() {
    let world = charts().await;
    let person = world.patient("p-1").await;
    world.grant(&person, &Given::to(&world, &["clinician"], CARE).rules(permit_all())).await;
    let mut sub = world.subscribe("clinician", Ask::of(CHART, CARE)).await.keeping();
    let mut source = world.source("hospital", CHART).await;
    source.send(&[chart("p-1", 1)]).await;
    assert_eq!(sub.message::<Chart>().await, chart("p-1", 1));
    world.edit("ward.fields.toml", |text| {
        text.replace(
            "note = { sensitivity = \"special\", category = \"health\" }",
            "note = { sensitivity = \"special\", category = \"health\", floor = \"strip\" }",
        )
    });
    world.reload().await.unwrap();
    source.send(&[chart("p-1", 2)]).await;
    assert_eq!(sub.message::<Chart>().await, Chart { note: String::new(), ..chart("p-1", 2) });
    // The recipient is told of the new schema before it sees anything of it.
    let kept = sub.kept.clone().unwrap();
    let header = kept.iter().filter_map(|message| match &message.kind {
        Some(twinveil::proto::v1::subscribe_response::Kind::Header(header)) => Some(header),
        _ => None,
    });
    let headers: Vec<_> = header.collect();
    assert_eq!((headers.len(), &headers[0].stream_id), (1, &sub.header.stream_id));
    assert_ne!(headers[0].schema_fingerprint, sub.header.schema_fingerprint);
    // A field more in an imported file: streams go on.
    world.edit("proto/ward.proto", |text| text.replace("string name = 6;", "string name = 6; uint32 bed = 7;"));
    world.reload().await.unwrap();
    source.send(&[chart("p-1", 3)]).await;
    assert_eq!(sub.message::<Chart>().await, Chart { note: String::new(), ..chart("p-1", 3) });
    // Another type: they end, at both sides.
    world.edit("proto/ward.proto", |text| text.replace("double heart_rate = 3;", "string heart_rate = 3;"));
    world.reload().await.unwrap();
    let (frames, ended) = sub.rest().await;
    assert_eq!((frames.len(), ended.unwrap_err().code()), (0, Code::Aborted));
    assert_eq!(sub.end.map(|end| end.code), Some("TV-G24".to_owned()));
    assert_eq!(source.ack().await.unwrap_err().code(), Code::Aborted);
    let mut again = world.subscribe("clinician", Ask::of(CHART, CARE)).await;
    assert!(again.is_quiet(Duration::from_millis(20)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_came_in_one_piece_nothing_is_taken_after_the_right_to_publish_is_gone() {
    let world = World::start().await;
    let open = PublishRequest { kind: Some(Kind::Open(PublishOpen { schema: PATIENT.into() })) }.encode_to_vec();
    // Frames that name nobody are refused: the answer is longer than the batch, so that what it waits for is the source's reading.
    const FRAMES: usize = 60;
    const BATCHES: usize = 4_000;
    let batch = prefixed(0, &[&[0x12, 2 * FRAMES as u8][..], &[0x0a, 0].repeat(FRAMES)].concat());
    let body = [&prefixed(0, &open)[..], &batch.repeat(BATCHES)].concat();
    let channel = world.narrow_channel("hospital").await;
    let (response, _kept) = raw_call(channel, "/twinveil.v1.Frames/Publish", "application/grpc", vec![body.into()], false).await;
    // The gateway waits for a source that does not read.
    let taken = world.settled("twinveil_frames_refused_total").await;
    assert!(taken < (FRAMES * BATCHES) as u64);
    world.edit("twinveil.toml", |text| text.replace("source/hospital\"\nmay = [\"publish\"]", "source/hospital\"\nmay = [\"call\"]"));
    world.reload().await.unwrap();
    let body = soon("the end", response.into_body().collect()).await.unwrap();
    let status = Status::from_header_map(body.trailers().expect("trailers")).expect("a status");
    assert!(status.code() == Code::PermissionDenied && status.message().starts_with("TV-G03"), "{status:?}");
    assert_eq!(world.metric("twinveil_frames_refused_total").await, taken, "not one more was looked at");
    assert_eq!(acks(&body.to_bytes()).last().map(|ack| ack.through), Some(taken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_gone_ends_its_streams_at_both_sides() {
    let world = charts().await;
    let mut sub = world.subscribe("clinician", Ask::of(CHART, CARE)).await;
    let mut source = world.source("hospital", CHART).await;
    world.edit("twinveil.toml", |text| text.split(&format!("[[schema]]\nmessage = \"{CHART}\"")).next().unwrap().to_owned());
    world.reload().await.unwrap();
    let (frames, ended) = sub.rest().await;
    assert_eq!((frames.len(), ended.unwrap_err().code()), (0, Code::Aborted));
    assert_eq!(sub.end.map(|end| end.code), Some("TV-G24".to_owned()));
    assert_eq!(source.ack().await.unwrap_err().code(), Code::Aborted);
}
