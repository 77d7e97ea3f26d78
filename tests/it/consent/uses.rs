//! Consents that count their uses: so many messages and no more, whoever takes them, also across a restart.

use std::cell::Cell;
use std::time::{Duration, Instant};

use twinveil::client::dsse;
use twinveil::client::subscriber::Event;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::{Notice, NoticesRequest};
use twinveil::veil::consent::query::Asks;

use super::{CARE, clinician, for_clinician, frame};
use crate::harness::{Ask, Given, PATIENCE, PATIENT, Sub, World, permit, soon};

/// Everything that comes until there is enough and then, for a while, nothing: frames, and whether the last view is open.
async fn taken(stream: &mut Sub, enough: impl Fn(&[u64], bool) -> bool) -> (Vec<u64>, bool) {
    let mut frames = Vec::new();
    let mut last = Instant::now();
    loop {
        let open = stream.views.last().is_some_and(|view| view.open);
        match tokio::time::timeout(Duration::from_millis(700), stream.next()).await {
            Ok(Ok(Some(event))) => {
                last = Instant::now();
                if let Event::Frame(received) = event {
                    let frame: PatientFrame = prost::Message::decode(&received.message[..]).unwrap();
                    frames.push(frame.sequence);
                }
            }
            Ok(ended) => panic!("the stream ended: {ended:?}"),
            Err(_) if enough(&frames, open) => return (frames, open),
            // Each use is on disk before its frame goes: that may take a while.
            Err(_) => assert!(last.elapsed() < PATIENCE, "no more than {frames:?} came, and the view is open: {open}"),
        }
    }
}

/// So many frames, and that there will be no more.
fn closed_after(count: usize) -> impl Fn(&[u64], bool) -> bool {
    move |frames, open| frames.len() >= count && !open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_for_two_uses_lets_two_frames_through_and_closes() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &for_clinician(&world).uses(2)).await;
    let mut stream = clinician(&world).await;
    let frames: Vec<_> = (1..=5).map(|n| frame("ada", n)).collect();
    world.publish("hospital", PATIENT, &frames).await;
    assert_eq!(taken(&mut stream, closed_after(2)).await, (vec![1, 2], false), "closed after the last one, and nothing is made up for");
    let grant = world.standing(&ada).await.grants[0].clone();
    assert_eq!((grant.state.as_str(), grant.max_uses, grant.used), ("used up", 2, 2));
    assert!(!world.explain(&ada, "clinician", CARE, PATIENT).await.delivers);

    // Also after a restart.
    drop(stream);
    let world = world.restart().await;
    assert_eq!(world.standing(&ada).await.grants[0].state, "used up");
    let mut stream = clinician(&world).await;
    // Somebody else's frame behind it: when that comes, the first one was judged.
    let ben = world.patient("ben").await;
    world.grant(&ben, &for_clinician(&world)).await;
    world.publish("hospital", PATIENT, &[frame("ada", 6), frame("ben", 60)]).await;
    assert_eq!(taken(&mut stream, |frames, _| !frames.is_empty()).await, (vec![60], true));
    assert_eq!(stream.views.iter().filter(|view| view.open).count(), 1, "ben's");
    // What is granted again counts anew.
    world.grant(&ada, &for_clinician(&world).uses(1)).await;
    world.publish("hospital", PATIENT, &[frame("ada", 7), frame("ada", 8)]).await;
    assert_eq!(taken(&mut stream, closed_after(1)).await, (vec![7], false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uses_are_counted_for_all_recipients_together() {
    let world = World::start().await;
    let (ada, ben) = (world.patient("ada").await, world.patient("ben").await);
    world.grant(&ada, &Given::to(&world, &["clinician", "researcher"], CARE).rules(vec![permit("sequence", "keep")]).uses(40)).await;
    world.grant(&ben, &for_clinician(&world)).await;
    let (mut one, mut two) = (clinician(&world).await, clinician(&world).await);
    // Two streams of one recipient and batches from two sources at a time: every frame once in each, up to the forty.
    let frames = |from: u64| (from..from + 30).map(|n| frame("ada", n)).collect::<Vec<_>>();
    let (first, second) = (frames(1), frames(31));
    tokio::join!(world.publish("hospital", PATIENT, &first), world.publish("hospital", PATIENT, &second));
    let came = [Cell::new(0), Cell::new(0)];
    let all_of = |at: usize| {
        let came = &came;
        move |frames: &[u64], open: bool| {
            came[at].set(frames.len());
            came[0].get() + came[1].get() >= 40 && !open
        }
    };
    let ((of_one, open_one), (of_two, open_two)) = tokio::join!(taken(&mut one, all_of(0)), taken(&mut two, all_of(1)));
    assert_eq!(of_one.len() + of_two.len(), 40, "{of_one:?} {of_two:?}");
    assert!(!open_one && !open_two, "both know that it is over");
    // Whoever does not count goes on.
    world.publish("hospital", PATIENT, &[frame("ada", 99), frame("ben", 100)]).await;
    let goes_on = |frames: &[u64], _: bool| !frames.is_empty();
    assert_eq!((taken(&mut one, goes_on).await, taken(&mut two, goes_on).await), ((vec![100], true), (vec![100], true)));
    let standing = world.standing(&ada).await;
    assert_eq!((standing.grants[0].used, standing.grants[0].state.as_str()), (40, "used up"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_granted_is_told_when_it_is_used_up_and_once() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let counted = world.grant(&ada, &for_clinician(&world).uses(3)).await;
    let mut stream = clinician(&world).await;
    let notices = async |past: bool| {
        let query = ada.query(&Asks::Notices, &world.origin(), world.now()).unwrap();
        let request = NoticesRequest { query: Some(dsse::to_proto(&query)), past };
        soon("notices", world.consents().notices(request)).await.unwrap().into_inner()
    };
    let next = async |notices: &mut tonic::Streaming<Notice>| {
        let notice = soon("a notice", notices.message()).await.expect("open").expect("more");
        (notice.what, notice.record.to_vec(), notice.by)
    };
    let mut live = notices(false).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1), frame("ada", 2)]).await;
    assert_eq!(stream.messages::<PatientFrame>(2).await.len(), 2);
    world.publish("hospital", PATIENT, &[frame("ada", 3)]).await;
    assert_eq!(next(&mut live).await, ("used up".to_owned(), counted.0.to_vec(), String::new()));
    // What is told next is something else.
    let second = world.grant(&ada, &for_clinician(&world)).await;
    assert_eq!(next(&mut live).await, ("granted".to_owned(), second.0.to_vec(), "subject".to_owned()));
    let mut past = notices(true).await;
    let told = [next(&mut past).await.0, next(&mut past).await.0, next(&mut past).await.0];
    assert_eq!(told, ["granted", "granted", "used up"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_nobody_may_see_uses_nothing_and_a_withdrawal_ends_what_is_left() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    world.grant(&ada, &for_clinician(&world).uses(100)).await;
    let _other = world.subscribe("researcher", Ask::of(PATIENT, CARE)).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    assert_eq!(world.standing(&ada).await.grants[0].used, 0);
    let mut stream = clinician(&world).await;
    world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    assert_eq!(stream.message::<PatientFrame>().await.sequence, 2);
    assert_eq!(world.standing(&ada).await.grants[0].used, 1);
    assert_eq!(world.withdraw_all(&ada).await.ended, 1);
    assert!(!stream.view().await.open);
    assert_eq!(world.standing(&ada).await.grants[0].state, "withdrawn");
}
