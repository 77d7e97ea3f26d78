//! Who may see what in a call, and until when.

use tonic::Code;
use twinveil::proto::intoto;
use twinveil::proto::v1::EpochKey;

use super::{CARE, Client, ask, patient, ward};
use crate::harness::ward::{Chart, WardAsk, chart};
use crate::harness::{Given, eventually, permit, permit_all, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_consent_a_call_is_answered_and_says_nothing() {
    let (world, got) = ward("").await;
    let mut client = Client::of(&world).await;
    assert_eq!(client.look(ask("p-1")).await.unwrap().into_inner(), Chart::default());
    // What is public needs nobody.
    assert_eq!(got.asks(), [WardAsk { patient: String::new(), ..ask("p-1") }]);
    let mut watched = client.watch(ask("p-1")).await.unwrap();
    assert_eq!(watched.message().await.unwrap(), None, "not even that there are messages");
    assert_eq!(client.record((0..3).map(|number| chart("p-1", number)).collect()).await.unwrap().count, 0);
    assert_eq!(got.messages.lock().unwrap().len(), 2, "the two questions, and none of the charts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_are_treated_by_the_subjects_consent() {
    let (world, got) = ward("").await;
    let person = world.patient("p-1").await;
    world.enrol("clinician", "p-1", &person).await;
    let rules = vec![permit("patient", "pseudonymize"), permit("heart_rate", "keep"), permit("at_ms", "keep"), permit("count", "keep")];
    world.grant(&person, &Given::to(&world, &["clinician"], CARE).rules(rules)).await;
    world.grant(&person, &Given::to(&world, &["hospital"], CARE).rules(permit_all())).await;
    let mut client = Client::of(&world).await;
    let seen = client.look(ask("p-1")).await.unwrap().into_inner();
    assert_eq!((seen.heart_rate, &*seen.note, &*seen.name), (60.0, "", ""));
    assert!(!seen.patient.is_empty() && seen.patient != "p-1");
    assert_eq!(got.asks(), [ask("p-1")], "the ward gets what it was let have");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_is_in_force_on_open_calls_when_it_answers() {
    let (world, got) = ward("").await;
    let person = patient(&world, "p-1").await;
    let stays = patient(&world, "p-2").await;
    let mut client = Client::of(&world).await;
    let (to, from) = tokio::sync::mpsc::channel(1);
    let mut answers = client.talk(from).await.unwrap();
    to.send(chart("p-1", 1)).await.unwrap();
    assert_eq!(answers.message().await.unwrap(), Some(chart("p-1", 1)));
    let settled = world.withdraw_all(&person).await;
    assert_eq!(settled.streams.len(), 2, "one lane there, one back: {settled:?}");
    assert!(settled.streams.iter().all(|stream| stream.last_handover >= 1));
    let before = got.messages.lock().unwrap().len();
    to.send(chart("p-1", 2)).await.unwrap();
    to.send(chart("p-2", 3)).await.unwrap();
    assert_eq!(soon("the other patient's", answers.message()).await.unwrap(), Some(chart("p-2", 3)));
    assert_eq!(got.messages.lock().unwrap().len(), before + 1);
    assert_eq!(client.look(ask("p-1")).await.unwrap().into_inner(), Chart::default());
    drop(stays);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_half_way_out_at_a_withdrawal_is_cut_off() {
    let (world, _) = ward("[limits]\nframe_bytes_max = 8388608").await;
    let person = patient(&world, "p-1").await;
    let channel = world.narrow_channel("clinician").await;
    let mut client = Client(tonic::client::Grpc::new(channel).max_decoding_message_size(16 << 20));
    // The client reads only the head of the answer: the window is full long before the message is out.
    let mut watched = soon("the head", client.watch(super::asking("p-1", "large"))).await.unwrap();
    // What was asked, and the answer.
    eventually("the answer to be on its way", async || (world.metric("twinveil_messages_out_total").await == 2).then_some(())).await;
    world.withdraw_all(&person).await;
    let error = soon("the reset", watched.message()).await.unwrap_err();
    assert!(matches!(error.code(), Code::Internal | Code::Aborted | Code::Cancelled | Code::Unknown), "{error:?}");
    assert_eq!(world.metric("twinveil_streams_cut_off_total").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subject_can_come_with_the_call() {
    let (world, got) = ward("subject = \"metadata\"\nsubject_metadata = \"x-patient\"").await;
    patient(&world, "p-1").await;
    let mut client = Client::of(&world).await;
    let with = |values: &[&str]| {
        let mut request = tonic::Request::new(ask("p-1"));
        values.iter().for_each(|value| {
            request.metadata_mut().append("x-patient", value.parse().unwrap());
        });
        request
    };
    assert_eq!(client.look(with(&["p-1"])).await.unwrap().into_inner(), chart("p-1", 0));
    assert_eq!(client.look(with(&[])).await.unwrap().into_inner(), Chart::default());
    assert_eq!(client.look(with(&["p-9"])).await.unwrap().into_inner(), Chart::default());
    assert_eq!(client.look(with(&["p-1", "p-1"])).await.unwrap_err().code(), Code::InvalidArgument);
    assert!(got.calls.lock().unwrap().iter().all(|(_, headers)| !headers.contains_key("x-patient")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_groups_are_announced_in_band_once_a_stream_and_until_heard_in_unary_calls() {
    use prost::Message;
    use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
    use twinveil::veil::wire::{Reader, Value};
    let (world, _) = ward("").await;
    let person = world.patient("p-1").await;
    world.enrol("clinician", "p-1", &person).await;
    let holder = twinveil::veil::crypto::wrap::OpenKey::from_seed(&twinveil::veil::crypto::secret::Secret::take(&mut [9; 32])).unwrap();
    let mut rules = permit_all();
    rules.push(crate::harness::sealed_for_recipient("note"));
    world.grant(&person, &Given::to(&world, &["clinician"], CARE).rules(rules).key(holder.seal_key())).await;
    world.grant(&person, &Given::to(&world, &["hospital"], CARE)).await;
    let channel = world.channel("clinician").await;
    let call = async |path: &str| {
        use http_body_util::BodyExt;
        let body = crate::harness::prefixed(0, &ask("p-1").encode_to_vec());
        let mut rest = super::bare(&channel, path, vec![body]).await.into_body().collect().await.unwrap().to_bytes();
        let mut found = Vec::new();
        while rest.len() >= 5 {
            let len = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
            let message = rest.slice(5..5 + len);
            rest = rest.slice(5 + len..);
            let (mut groups, mut keys) = (0, Vec::new());
            for record in Reader::new(&message) {
                match record.unwrap() {
                    record if record.number == SEALED_FIELD => groups += 1,
                    record if record.number == ANNOUNCEMENT_FIELD => {
                        let Value::Len(key) = record.value else { panic!("bytes") };
                        let signed = intoto::Envelope::decode(key).unwrap();
                        keys.push(EpochKey::decode(&signed.payload[..]).unwrap());
                    }
                    _ => {}
                }
            }
            assert!(Chart::decode(message).unwrap().note.is_empty());
            found.push((groups, keys.len()));
        }
        found
    };
    assert_eq!(call("/ward.v1.Ward/Look").await, [(1, 1)]);
    assert_eq!(call("/ward.v1.Ward/Look").await, [(1, 0)]);
    assert_eq!(call("/ward.v1.Ward/Watch").await, [(1, 1), (1, 0), (1, 0)]);
    assert_eq!(call("/ward.v1.Ward/Watch").await, [(1, 1), (1, 0), (1, 0)]);
}
