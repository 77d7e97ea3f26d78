//! Lists about several patients: is each element judged by its own patient's standing, and nothing learnt of the others?

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::{CARE, patient, started, ward};
use crate::harness::ward::{Bed, Chart, Got, Remark, Room, Round, WardAsk, chart, serve};
use crate::harness::{Given, World, eventually, permit, permit_all, sealed_for_recipient, soon};

const ROUTE: &str = "methods = \"ward.v1.Rounds\"\nupstream = \"ward\"\ndescriptor = \"ward.binpb\"\nside_file = \"ward.fields.toml\"\n\
                     purpose = \"dpv:ServiceProvision\"";

async fn rounds(more: &str) -> (World, Got) {
    ward(&format!("subject = \"field\"\n[[route]]\n{ROUTE}\nsubject = \"field\"\n{more}")).await
}

struct Client(Grpc<Channel>);

impl Client {
    async fn of(world: &World) -> Self {
        Self(Grpc::new(world.channel("clinician").await))
    }

    async fn list(&mut self) -> Result<Round, Status> {
        self.0.ready().await.unwrap();
        let path = "/ward.v1.Rounds/List".parse().unwrap();
        self.0.unary(Request::new(WardAsk::default()), path, ProstCodec::default()).await.map(tonic::Response::into_inner)
    }

    async fn follow(&mut self) -> Result<Streaming<Round>, Status> {
        self.0.ready().await.unwrap();
        let path = "/ward.v1.Rounds/Follow".parse().unwrap();
        self.0.server_streaming(Request::new(WardAsk::default()), path, ProstCodec::default()).await.map(tonic::Response::into_inner)
    }

    async fn talk(&mut self, rounds: tokio::sync::mpsc::Receiver<Round>) -> Streaming<Round> {
        self.0.ready().await.unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(rounds);
        let path = "/ward.v1.Rounds/Talk".parse().unwrap();
        self.0.streaming(Request::new(stream), path, ProstCodec::default()).await.unwrap().into_inner()
    }
}

fn charts(patients: &[&str]) -> Round {
    let charts = (0..).zip(patients).map(|(number, id)| chart(id, number)).collect();
    Round { title: "ward 3B".into(), charts, ..Round::default() }
}

fn answers(got: &Got, rounds: &[Round]) {
    *got.rounds.lock().unwrap() = rounds.iter().map(|round| round.encode_to_vec().into()).collect();
}

fn bed(id: &str) -> Bed {
    Bed { chart: Some(chart(id, 1)), pump: "pump 7".into(), unit: "IU".into() }
}

fn remark(text: &str) -> Remark {
    Remark { text: text.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_patient_of_a_list_is_shown_as_they_agreed_and_the_others_not_at_all() {
    let (world, got) = rounds("").await;
    patient(&world, "p-1").await;
    let partly = world.patient("p-2").await;
    let rules =
        vec![permit("charts.heart_rate", "keep"), permit("charts.patient", "pseudonymize"), permit("rooms.beds.chart.at_ms", "keep")];
    world.grant(&partly, &Given::to(&world, &["clinician"], CARE).rules(rules)).await;
    world.patient("p-3").await;
    let whole = Round {
        title: "ward 3B".into(),
        // p-3 agreed to nothing, p-9 is not known, one has no name.
        charts: ["p-3", "p-1", "p-9", "", "p-2", "p-1"].map(|id| chart(id, 5)).into(),
        rooms: vec![
            Room { name: "1".into(), beds: vec![bed("p-3"), bed("p-2"), bed("p-1")] },
            Room { name: String::new(), beds: vec![bed("p-3")] },
            Room { name: "2".into(), beds: vec![bed("p-9"), Bed { unit: "IU".into(), ..Bed::default() }] },
        ],
        remarks: BTreeMap::from([("p-1".into(), remark("stable")), ("p-2".into(), remark("better")), ("p-3".into(), remark("worse"))]),
        steward: "Dr. Feil".into(),
    };
    answers(&got, std::slice::from_ref(&whole));
    let mut client = Client::of(&world).await;
    let seen = client.list().await.unwrap();
    let [first, second, third] = &seen.charts[..] else { panic!("three: {:?}", seen.charts) };
    assert_eq!((first, third), (&chart("p-1", 5), &chart("p-1", 5)));
    assert!(!second.patient.is_empty() && second.patient != "p-2");
    assert_eq!(*second, Chart { patient: second.patient.clone(), heart_rate: 65.0, ..Chart::default() });
    assert_eq!(
        seen.rooms,
        [
            Room {
                name: "1".into(),
                beds: vec![
                    Bed { chart: Some(Chart { at_ms: 1, ..Chart::default() }), pump: String::new(), unit: "IU".into() },
                    // An operational field: the steward of the bed is who lies in it.
                    bed("p-1"),
                ],
            },
            Room { name: "2".into(), beds: vec![] },
        ],
        "an empty room without a name is none"
    );
    assert_eq!(seen.remarks, BTreeMap::from([("p-1".into(), remark("stable"))]));
    assert_eq!((&*seen.title, &*seen.steward), ("ward 3B", ""), "around the elements, what nobody has to agree to");

    // With the hidden ones gone, and others hidden in their place, every byte is the same.
    let mut fewer = whole.clone();
    fewer.charts.retain(|chart| matches!(&*chart.patient, "p-1" | "p-2"));
    fewer.rooms = vec![
        Room { name: "1".into(), beds: vec![bed("p-2"), bed("p-9"), bed("p-9"), bed("p-1")] },
        Room { name: "2".into(), beds: vec![bed("p-3")] },
    ];
    fewer.remarks.remove("p-3");
    answers(&got, &[fewer]);
    assert_eq!(client.list().await.unwrap(), seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_agrees_a_list_is_empty_and_a_stream_of_lists_silent() {
    let (world, got) = rounds("").await;
    answers(&got, &[charts(&["p-1", "p-2"])]);
    let mut client = Client::of(&world).await;
    assert_eq!(client.list().await.unwrap(), charts(&[]), "what is public needs nobody");
    patient(&world, "p-1").await;
    answers(&got, &[charts(&["p-2"]), charts(&["p-1"]), charts(&[]), charts(&["p-2", "p-1", "p-3"])]);
    let mut followed = client.follow().await.unwrap();
    assert_eq!(soon("a list", followed.message()).await.unwrap(), Some(charts(&["p-1"])));
    let mut last = charts(&["p-2", "p-1"]);
    last.charts.remove(0);
    assert_eq!(soon("another", followed.message()).await.unwrap(), Some(last));
    assert_eq!(soon("the end", followed.message()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_takes_one_patient_out_of_open_streams_and_leaves_the_others() {
    let (world, got) = rounds("").await;
    let (goes, stays) = (patient(&world, "p-1").await, patient(&world, "p-2").await);
    let mut client = Client::of(&world).await;
    let (to, from) = tokio::sync::mpsc::channel(1);
    let mut answers = client.talk(from).await;
    to.send(charts(&["p-1", "p-2"])).await.unwrap();
    assert_eq!(soon("both", answers.message()).await.unwrap(), Some(charts(&["p-1", "p-2"])));
    assert_eq!(world.standing(&goes).await.streams.len(), 2, "one lane there, one back");
    let settled = world.withdraw_all(&goes).await;
    assert_eq!(settled.streams.len(), 2, "{settled:?}");
    assert!(settled.streams.iter().all(|stream| stream.last_handover == 1), "{settled:?}");
    to.send(charts(&["p-1", "p-2"])).await.unwrap();
    let left = Round { charts: vec![chart("p-2", 1)], ..charts(&[]) };
    assert_eq!(soon("one", answers.message()).await.unwrap(), Some(left.clone()));
    let sent = got.messages.lock().unwrap().last().cloned().unwrap();
    assert_eq!(Round::decode(sent).unwrap(), left, "nor does the ward get it");
    assert_eq!(world.standing(&stays).await.streams.len(), 2);
    // And back again, with everybody on one lane.
    world.grant(&goes, &Given::to(&world, &["clinician", "hospital"], CARE)).await;
    to.send(charts(&["p-1", "p-2"])).await.unwrap();
    assert_eq!(soon("both again", answers.message()).await.unwrap(), Some(charts(&["p-1", "p-2"])));
}

/// A list that is half-way out while `who` withdraws; whether it still arrives whole.
async fn half_way(who: &str) -> (World, Result<Option<Round>, Status>) {
    let (world, got) = rounds("[limits]\nframe_bytes_max = 8388608").await;
    let mut people = BTreeMap::new();
    for id in ["p-1", "p-2", "p-4"] {
        people.insert(id, patient(&world, id).await);
    }
    people.insert("p-3", world.patient("p-3").await);
    world.grant(&people["p-3"], &Given::to(&world, &["hospital"], CARE)).await;
    let mut round = charts(&["p-1", "p-3", "p-2"]);
    round.charts[0].blob = vec![7; 4 << 20];
    answers(&got, &[round]);
    let mut client = Client(Grpc::new(world.narrow_channel("clinician").await).max_decoding_message_size(16 << 20));
    let mut followed = soon("the head", client.follow()).await.unwrap();
    // What was asked and the list; the window is full long before it is out.
    eventually("the list to be on its way", async || (world.metric("twinveil_messages_out_total").await == 2).then_some(())).await;
    world.withdraw_all(&people[who]).await;
    let arrived = soon("the list, or a reset", followed.message()).await;
    (world, arrived)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_half_way_out_is_cut_off_when_anybody_in_it_withdraws() {
    for who in ["p-1", "p-2"] {
        let (world, arrived) = half_way(who).await;
        let error = arrived.expect_err(who);
        assert!(matches!(error.code(), Code::Internal | Code::Aborted | Code::Cancelled | Code::Unknown), "{error:?}");
        assert_eq!(world.metric("twinveil_streams_cut_off_total").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_goes_on_when_somebody_withdraws_who_is_hidden_in_it_or_not_there() {
    for who in ["p-3", "p-4"] {
        let (world, arrived) = half_way(who).await;
        let arrived = arrived.expect(who).expect("a list");
        assert_eq!(arrived.charts.iter().map(|chart| &*chart.patient).collect::<Vec<_>>(), ["p-1", "p-2"], "{who}");
        assert_eq!(world.metric("twinveil_streams_cut_off_total").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_elements_are_left_out_where_hidden_and_end_the_call_where_seen() {
    let (world, got) = rounds("").await;
    patient(&world, "p-1").await;
    let good = charts(&["p-1"]);
    let with = |element: &[u8]| {
        let mut message = good.encode_to_vec();
        message.extend_from_slice(&[0x12, element.len() as u8]);
        message.extend_from_slice(element);
        vec![Bytes::from(message)]
    };
    let mut client = Client::of(&world).await;
    for hidden in [&b"\x0a\x03p-9\x1a"[..], b"\x0a\x7f", b"\x0a\x03p-1\x0a\x03p-9", b"\x0a\x03p-1\x1a\x7f"] {
        *got.rounds.lock().unwrap() = with(hidden);
        assert_eq!(client.list().await.unwrap(), good, "{hidden:?}");
    }
    // Whose it is, is known, and what is shown of it can't be told from what is not.
    let mut message = good.encode_to_vec();
    message.extend_from_slice(b"\x22\x09\x0a\x03p-1\x12\x02\x0a\x7f");
    *got.rounds.lock().unwrap() = vec![message.into()];
    let error = client.list().await.expect_err("undecidable");
    assert_eq!(error.message().split(':').next(), Some("TV-G22"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_sealed_in_an_element_is_left_out_and_explained() {
    let (world, got) = rounds("").await;
    let person = world.patient("p-1").await;
    let holder = twinveil::veil::crypto::wrap::OpenKey::from_seed(&twinveil::veil::crypto::secret::Secret::take(&mut [9; 32])).unwrap();
    let mut rules = permit_all();
    rules.push(sealed_for_recipient("charts.note"));
    world.grant(&person, &Given::to(&world, &["clinician"], CARE).rules(rules).key(holder.seal_key())).await;
    answers(&got, &[charts(&["p-1"])]);
    let seen = Client::of(&world).await.list().await.unwrap();
    assert_eq!(seen.charts, [Chart { note: String::new(), ..chart("p-1", 0) }]);
    let explained = world.explain(&person, "clinician", CARE, "ward.v1.Round").await;
    let of = |path: &str| explained.fields.iter().find(|field| field.path == path).unwrap_or_else(|| panic!("{path}")).clone();
    assert!(explained.delivers);
    assert_eq!(of("charts.note").reason, "nothing is encrypted in an element of a list about several subjects");
    assert_eq!(of("charts.note").treatment(), twinveil::proto::v1::Treatment::Strip);
    assert_eq!(of("steward").reason, "no mandate covers it", "what is around is not theirs to give");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobodys_elements_come_out_with_the_mandate_where_their_being_there_needs_no_more() {
    let (address, got) = serve().await;
    // The list of pumps: the subject field is operational.
    let route = format!("subject = \"field\"\n[[route]]\n{}\nsubject = \"field\"\n", ROUTE.replace("ward.fields.toml", "pumps.toml"));
    let side = crate::harness::ward::SIDE.replace(
        "patient = { sensitivity = \"identifying\", category = \"identity\", role = \"subject\" }\nat_ms",
        "patient = { sensitivity = \"operational\", category = \"device\", role = \"subject\" }\nat_ms",
    );
    let side = side.replace("'remarks.key' = { sensitivity = \"identifying\", category = \"identity\", role = \"subject\" }\n", "");
    let side = side.replace("'remarks.value.text' = { sensitivity = \"special\", category = \"health\" }\n", "");
    let world = super::started_with(&address.to_string(), &route, &[("pumps.toml", &side)]).await.unwrap_or_else(|error| panic!("{error}"));
    answers(
        &got,
        &[Round { steward: "shift 2".into(), rooms: vec![Room { name: "1".into(), beds: vec![bed("p-9")] }], ..charts(&["p-9"]) }],
    );
    let mut client = Client::of(&world).await;
    assert_eq!(client.list().await.unwrap(), Round { rooms: vec![Room { name: "1".into(), beds: vec![] }], ..charts(&[]) });
    let mandate = Given::to(&world, &["clinician"], CARE).rules(permit_all());
    world.mandate(&mandate).await;
    let seen = client.list().await.unwrap();
    assert_eq!(seen.steward, "shift 2");
    assert_eq!(
        seen.charts,
        [Chart { patient: "p-9".into(), ..Chart::default() }],
        "operational, and nothing that a person has to agree to"
    );
    let pump = Bed { chart: Some(Chart { patient: "p-9".into(), ..Chart::default() }), ..bed("") };
    assert_eq!(seen.rooms, [Room { name: "1".into(), beds: vec![pump] }]);
    let mut followed = client.follow().await.unwrap();
    assert_eq!(soon("a list", followed.message()).await.unwrap(), Some(seen));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn such_messages_are_no_frames_and_no_calls_about_one() {
    let (world, _) = rounds("").await;
    let source = crate::harness::Source::open(world.channel("hospital").await, "ward.v1.Round").await;
    let refused = match source {
        Err(status) => status,
        Ok(mut source) => source.ack().await.expect_err("no frames"),
    };
    assert_eq!((refused.code(), refused.message().split(':').next()), (Code::NotFound, Some("TV-G02")));
    let refused = crate::harness::Sub::open(world.channel("clinician").await, crate::harness::Ask::of("ward.v1.Round", CARE)).await;
    assert_eq!(refused.err().map(|status| status.code()), Some(Code::NotFound));
    let by_call = format!("subject = \"field\"\n[[route]]\n{ROUTE}\nsubject = \"certificate\"\n");
    let error = started("127.0.0.1:1", &by_call).await.err().expect("not started").to_string();
    assert!(error.contains("TV-S16") && error.contains("only a route with `subject = \"field\"`"), "{error}");
}
