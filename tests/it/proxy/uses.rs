//! Consents that count their uses, on calls: an answer is a use, and so is each message of a stream.

use prost::Message;
use tonic::client::Grpc;
use tonic::{Request, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use super::{CARE, Client, ask, patient, ward};
use crate::harness::ward::{Chart, Round, WardAsk, chart};
use crate::harness::{Given, soon};

/// A route for the ward's rounds, too.
const ROUNDS: &str = "subject = \"field\"\n[[route]]\nmethods = \"ward.v1.Rounds\"\nupstream = \"ward\"\ndescriptor = \"ward.binpb\"\n\
                      side_file = \"ward.fields.toml\"\npurpose = \"dpv:ServiceProvision\"\nsubject = \"field\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_use_is_one_answer_and_later_calls_say_nothing() {
    let (world, _) = ward("").await;
    let person = world.patient("p-1").await;
    world.grant(&person, &Given::to(&world, &["clinician"], CARE).uses(1)).await;
    let mut client = Client::of(&world).await;
    let first = client.look(ask("p-1")).await.unwrap().into_inner();
    assert_eq!((first.heart_rate, &*first.name), (60.0, "Milo Feil"));
    for _ in 0..2 {
        assert_eq!(client.look(ask("p-1")).await.unwrap().into_inner(), Chart::default());
    }
    // Another connection has a lane of its own, and the same count.
    assert_eq!(Client::of(&world).await.look(ask("p-1")).await.unwrap().into_inner(), Chart::default());
    let grant = world.standing(&person).await.grants[0].clone();
    assert_eq!((grant.state.as_str(), grant.used), ("used up", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_calls_at_once_get_no_more_answers_than_there_are_uses() {
    let (world, _) = ward("").await;
    let person = world.patient("p-1").await;
    world.grant(&person, &Given::to(&world, &["clinician"], CARE).uses(20)).await;
    let mut calls = Vec::new();
    for _ in 0..4 {
        let mut client = Client::of(&world).await;
        calls.push(tokio::spawn(async move {
            let mut told = 0;
            for _ in 0..10 {
                told += u32::from(client.look(ask("p-1")).await.unwrap().into_inner() != Chart::default());
            }
            told
        }));
    }
    let mut told = 0;
    for call in calls {
        told += soon("the calls", call).await.unwrap();
    }
    assert_eq!(told, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_for_others_when_one_consent_is_used_up() {
    let (world, _) = ward("").await;
    let counted = world.patient("p-1").await;
    world.enrol("clinician", "p-1", &counted).await;
    world.grant(&counted, &Given::to(&world, &["hospital"], CARE)).await;
    world.grant(&counted, &Given::to(&world, &["clinician"], CARE).uses(3)).await;
    let _free = patient(&world, "p-2").await;
    let mut client = Client::of(&world).await;
    let (to, from) = tokio::sync::mpsc::channel(32);
    let mut answers = client.talk(from).await.unwrap();
    for number in 1..=6 {
        to.send(chart("p-1", number)).await.unwrap();
    }
    to.send(chart("p-2", 7)).await.unwrap();
    for number in 1..=3 {
        assert_eq!(soon("a chart", answers.message()).await.unwrap(), Some(chart("p-1", number)));
    }
    assert_eq!(soon("the other's", answers.message()).await.unwrap(), Some(chart("p-2", 7)));
    drop(to);
    assert_eq!(soon("the end", answers.message()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_element_of_a_list_is_a_use_of_its_own_subjects_consent() {
    let (world, got) = ward(ROUNDS).await;
    let counted = world.patient("p-1").await;
    world.grant(&counted, &Given::to(&world, &["clinician"], CARE).uses(2)).await;
    let _free = patient(&world, "p-2").await;
    let charts = vec![chart("p-1", 1), chart("p-2", 2), chart("p-1", 3)];
    let round = Round { title: "ward 3B".into(), charts: charts.clone(), ..Round::default() };
    *got.rounds.lock().unwrap() = vec![round.encode_to_vec().into()];
    let mut client = Grpc::new(world.channel("clinician").await);
    let mut list = async || {
        client.ready().await.unwrap();
        let path: PathAndQuery = "/ward.v1.Rounds/List".parse().unwrap();
        let answer = client.unary(Request::new(WardAsk::default()), path, ProstCodec::<WardAsk, Round>::default()).await;
        answer.unwrap().into_inner().charts
    };
    // Two elements in one message are one use of it.
    assert_eq!(list().await, charts);
    assert_eq!(list().await, charts);
    assert_eq!(list().await, charts[1..2]);
    assert_eq!(world.standing(&counted).await.grants[0].used, 2);
}
