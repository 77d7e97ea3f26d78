use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BOUNDS: Bounds = Bounds { control_frames: 100, stall: Duration::from_millis(300) };
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PING: &[u8; 17] = b"\0\0\x08\x06\0\0\0\0\0payload!";

/// What HTTP/2 gets to read of a client that says this.
async fn read(said: &[u8]) -> (Vec<u8>, io::Result<usize>, Option<&'static str>) {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let mut near = Guarded::of_client(near, BOUNDS, Duration::from_secs(10));
    far.write_all(said).await.expect("room");
    drop(far);
    let mut all = Vec::new();
    let ended = near.read_to_end(&mut all).await;
    (all, ended, near.verdict().get())
}

#[tokio::test]
async fn a_flood_ends_in_a_list_of_headers_that_no_reader_of_http2_bears() {
    let few = [&PREFACE[..], &PING.repeat(50)].concat();
    let (all, _, verdict) = read(&few).await;
    assert_eq!((all, verdict), (few, None));
    let (all, ended, verdict) = read(&[&PREFACE[..], &PING.repeat(500)].concat()).await;
    assert!(ended.is_ok());
    assert_eq!(verdict, Some("it sent too many control frames"));
    let passed = all.len() - Walk::of_client().farewell().len();
    let pings = (passed - PREFACE.len()) / PING.len();
    assert_eq!(passed, PREFACE.len() + pings * PING.len(), "whole frames");
    assert!((70..200).contains(&pings), "{pings}");
    assert!(all.ends_with(&Walk::of_client().farewell()));
}

#[tokio::test]
async fn what_is_sent_earns_what_is_answered_and_answers_do_not() {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let mut near = Guarded::of_server(near, BOUNDS);
    let mut room = vec![0; PING.len()];
    for _ in 0..1_000 {
        near.write_all(&[0; 100]).await.expect("room");
        far.write_all(PING).await.expect("room");
        near.read_exact(&mut room).await.expect("earned");
    }
    assert_eq!(near.verdict().get(), None);
    let mut passed = 0;
    while near.verdict().get().is_none() {
        near.write_all(PING).await.expect("room");
        far.write_all(PING).await.expect("room");
        near.read_exact(&mut room).await.expect("a frame, or the farewell");
        passed += 1;
    }
    assert!((70..1_000).contains(&passed), "{passed}");
}

#[test]
fn time_earns_so_many_in_a_second_and_no_more_at_once() {
    let began = Instant::now();
    let mut allowance = Allowance::new(100);
    let mut spend =
        |ms: u64, frames: u64| (0..frames).filter(|_| allowance.spend(CONTROL_COST, || began + Duration::from_millis(ms))).count();
    assert_eq!(spend(0, 200), 100);
    assert_eq!(spend(100, 200), 10);
    assert_eq!((2..1_000).map(|turn| spend(turn * 100, 10)).sum::<usize>(), 9_980);
    assert_eq!(spend(1_000_000, 1_000), 100);
    // A clock that stands still, or is asked out of turn, gives nothing.
    assert_eq!(spend(5, 10), 0);
}

#[tokio::test]
async fn whoever_does_not_begin_is_not_waited_for() {
    for said in [&b""[..], &PREFACE[..5], &PREFACE[..], &[&PREFACE[..], &PING[..8]].concat()] {
        let (near, mut far) = tokio::io::duplex(1_000);
        let mut near = Guarded::of_client(near, BOUNDS, Duration::from_millis(100));
        far.write_all(said).await.expect("room");
        let mut all = Vec::new();
        let ended = near.read_to_end(&mut all).await;
        assert_eq!((ended.map_err(|error| error.kind()), near.verdict().get()), (Err(io::ErrorKind::TimedOut), Some("it said nothing")));
        assert_eq!(all, said);
    }
    let (near, mut far) = tokio::io::duplex(1_000);
    let mut near = Guarded::of_client(near, BOUNDS, Duration::from_millis(200));
    far.write_all(&[&PREFACE[..], &PING[..9]].concat()).await.expect("room");
    let mut room = [0; 1_000];
    near.read_exact(&mut room[..33]).await.expect("a frame begins");
    let more = tokio::time::timeout(Duration::from_millis(400), near.read(&mut room)).await;
    assert!(more.is_err(), "from here on HTTP/2 asks whether it lives");
}

#[tokio::test]
async fn whoever_takes_nothing_or_next_to_nothing_is_let_go_and_whoever_is_slow_is_not() {
    // Nothing.
    let (near, _far) = tokio::io::duplex(1_000);
    let mut near = Guarded::of_writer(near, BOUNDS);
    let ended = near.write_all(&[0; 2_000]).await.expect_err("it is given up");
    assert_eq!((ended.kind(), near.verdict().get()), (io::ErrorKind::TimedOut, Some("it did not take what was sent")));
    // A byte now and then: it moves, and holds all that waits.
    let (near, mut far) = tokio::io::duplex(1_000);
    let mut near = Guarded::of_writer(near, BOUNDS);
    let drip = tokio::spawn(async move {
        while far.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(near.write_all(&[0; 2_000]).await.expect_err("it is given up").kind(), io::ErrorKind::TimedOut);
    drop(near);
    drip.await.expect("no panic");
    // All of it each time, for longer than one may take.
    let (near, mut far) = tokio::io::duplex(1_000);
    let mut near = Guarded::of_writer(near, BOUNDS);
    let slow = tokio::spawn(async move {
        let mut room = [0; 1_000];
        while far.read_exact(&mut room).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    for _ in 0..20 {
        near.write_all(&[0; 1_000]).await.expect("in time");
        near.flush().await.expect("in time");
    }
    assert_eq!(near.verdict().get(), None);
    drop(near);
    slow.await.expect("no panic");
}

#[tokio::test]
async fn an_end_is_said_before_the_rest_is_thrown_away_and_not_for_ever() {
    let (near, mut far) = tokio::io::duplex(1_000);
    let mut near = Guarded::of_server(near, BOUNDS);
    far.write_all(&PING.repeat(50)).await.expect("room");
    let mut all = Vec::new();
    let flood = tokio::spawn(async move {
        while far.write_all(PING).await.is_ok() {
            tokio::task::yield_now().await;
        }
        far
    });
    near.read_to_end(&mut all).await.expect("the farewell");
    near.write_all(b"goodbye").await.expect("room");
    let ended = tokio::time::timeout(10 * LINGER, near.shutdown()).await;
    ended.expect("the flood goes on, and is not listened to").expect("an end");
    drop(near);
    let mut told = Vec::new();
    flood.await.expect("no panic").read_to_end(&mut told).await.expect("no reset");
    assert_eq!(told, b"goodbye");
}
