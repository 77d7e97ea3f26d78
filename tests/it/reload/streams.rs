//! Schemas that change under open streams.

use tonic::Code;

use crate::gateway::CARE;
use crate::harness::ward::{self, Chart, chart};
use crate::harness::{Ask, Given, World, made_folder, permit_all};

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
    assert!(again.is_quiet(std::time::Duration::from_millis(20)).await);
}
