//! Frames by the thousand that carry nothing (CVE-2023-44487, CVE-2024-27316, CVE-2019-9511 to -9518): the connection that they come
//! on ends and says why, and nobody else notices.

use std::time::{Duration, Instant};

use super::others::Others;
use super::raw::*;
use super::{Ceiling, gateway, long};
use crate::harness::child::Process;
use crate::harness::prefixed;
use crate::harness::ward;
use prost::Message;

/// One kind of flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    Ping,
    /// Answers to what nobody asked.
    PingAck,
    /// Windows of a hundred open streams, small and large in turn.
    Settings,
    Priority,
    /// A kind that HTTP/2 does not have.
    Unknown,
    /// Windows that nobody needs.
    WindowUpdate,
    EmptyData,
    RapidReset,
    /// Reset when the call has reached the service.
    Cancelled,
    Continuation,
    /// Calls whose answers have nowhere to go, and no end.
    ZeroWindow,
}

impl Flood {
    const ALL: [Self; 11] = [
        Self::Ping,
        Self::PingAck,
        Self::Settings,
        Self::Priority,
        Self::Unknown,
        Self::WindowUpdate,
        Self::EmptyData,
        Self::RapidReset,
        Self::Cancelled,
        Self::Continuation,
        Self::ZeroWindow,
    ];

    fn settings(self) -> &'static [(u16, u32)] {
        if self == Self::ZeroWindow { &[(INITIAL_WINDOW_SIZE, 0)] } else { &[] }
    }

    /// What comes before.
    fn first(self) -> Vec<u8> {
        let talk = |stream| frame(HEADERS, END_HEADERS, stream, &call("/ward.v1.Ward/Talk"));
        match self {
            Self::Settings => (0..100).flat_map(|at| talk(2 * at + 1)).collect(),
            Self::EmptyData => talk(1),
            Self::Continuation => frame(HEADERS, 0, 1, &call("/ward.v1.Ward/Look")),
            _ => Vec::new(),
        }
    }

    /// One of many.
    fn frame(self, turn: u32) -> Vec<u8> {
        let stream = 2 * turn + 1;
        let look = |ask: &ward::WardAsk| {
            let asks = frame(DATA, END_STREAM, stream, &prefixed(0, &ask.encode_to_vec()));
            [frame(HEADERS, END_HEADERS, stream, &call("/ward.v1.Ward/Watch")), asks].concat()
        };
        match self {
            Self::Ping => frame(PING, 0, 0, &[7; 8]),
            Self::PingAck => frame(PING, ACK, 0, &[7; 8]),
            Self::Settings => settings(&[(INITIAL_WINDOW_SIZE, if turn.is_multiple_of(2) { 0 } else { 65_535 })]),
            Self::Priority => frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7]),
            Self::Unknown => frame(77, 0, 0, b"nothing"),
            Self::WindowUpdate => frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            Self::EmptyData => frame(DATA, 0, 1, &[]),
            Self::RapidReset | Self::Cancelled => {
                let call = frame(HEADERS, END_HEADERS, stream, &call("/ward.v1.Ward/Look"));
                [call, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
            }
            Self::Continuation => frame(CONTINUATION, 0, 1, &[]),
            Self::ZeroWindow => look(&ward::WardAsk { patient: "nobody".into(), count: 1_000_000, word: String::new() }),
        }
    }

    /// How many come at once: as many as make one turn of the gateway's, or one.
    fn at_once(self) -> u32 {
        if self == Self::Cancelled { 1 } else { 100 }
    }
}

/// Sends at most so many frames on one connection; how many, and what the gateway said to them.
async fn burst(process: &Process, flood: Flood, count: u32) -> (u32, Heard) {
    let mut peer = Peer::open(&process.world, "clinician", flood.settings()).await;
    let mut sent = 0;
    let mut taken = peer.say(&flood.first()).await.is_ok();
    while taken && sent < count && !peer.heard().ended {
        let frames: Vec<u8> = (sent..sent + flood.at_once()).flat_map(|turn| flood.frame(turn)).collect();
        taken = peer.say(&frames).await.is_ok();
        sent += flood.at_once();
    }
    (sent, peer.end().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flood_ends_its_own_connection_and_no_frame_of_anybody_else_is_late_for_good() {
    let (mut process, got) = gateway("").await;
    let mut others = Others::open(&process.world).await;
    others.rounds(5).await;
    for (before, flood) in Flood::ALL.into_iter().enumerate() {
        let before = before as u64;
        let ((sent, heard), ()) = tokio::join!(burst(&process, flood, 30_000), others.rounds(20));
        assert_eq!(heard.goaway, Some(ENHANCE_YOUR_CALM), "{flood:?} after {sent} frames: {heard:?}");
        assert_eq!(process.world.metric("twinveil_connections_cut_total").await, before + 1, "{flood:?}: {}", process.said());
        process.is_well();
    }
    let said = process.said();
    assert_eq!(said.matches("a connection was cut off").count(), Flood::ALL.len(), "{said}");
    assert!(!said.contains("h2"), "nothing that they sent is quoted: {said}");
    assert!(got.messages.lock().unwrap().iter().all(|message| !message.windows(6).any(|part| part == b"nobody")));
    Ceiling::of(8, 300).with_windows(3).holds("floods", &process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_and_never_reads_the_answers_is_cut_off_with_what_was_written_for_them() {
    let (mut process, _) = gateway("[limits]\nkeepalive_ms = 1000\nkeepalive_timeout_ms = 1000").await;
    let mut others = Others::open(&process.world).await;
    let wide = [(INITIAL_WINDOW_SIZE, 0x7fff_ffff)];
    // Answers to pings, and answers of a service: more than all buffers on the way hold.
    let mut pings = Peer::deaf(&process.world, "clinician", &wide).await;
    let mut asks = Peer::deaf(&process.world, "clinician", &wide).await;
    asks.say(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000u32.to_be_bytes())).await.unwrap();
    crate::proxy::patient(&process.world, "asked-for").await;
    let ask = ward::WardAsk { patient: "asked-for".into(), count: 1_000_000, word: String::new() }.encode_to_vec();
    for stream in (1..20).step_by(2) {
        asks.say(&frame(HEADERS, END_HEADERS, stream, &call("/ward.v1.Ward/Watch"))).await.unwrap();
        asks.say(&frame(DATA, END_STREAM, stream, &prefixed(0, &ask))).await.unwrap();
    }
    let flood = async {
        let ping = frame(PING, 0, 0, &[7; 8]);
        // Under the limit for those who read.
        while pings.say(&ping.repeat(8)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if process.said().contains("not take what was sent") {
                break;
            }
        }
    };
    tokio::join!(crate::harness::soon("one that does not read to be cut off", flood), others.rounds(50));
    crate::harness::eventually("both to be cut off", async || {
        (process.said().matches("not take what was sent").count() == 2).then_some(())
    })
    .await;
    process.is_well();
    Ceiling::of(8, 30).with_windows(8).holds("answers that nobody reads", &process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_headers_that_are_bombs_are_not_opened() {
    let (mut process, got) = gateway("").await;
    let mut others = Others::open(&process.world).await;
    let open = async || Peer::open(&process.world, "clinician", &[(HEADER_TABLE_SIZE, u32::MAX)]).await;
    // A long entry that is kept, and named again and again: a kilobyte asks for four megabytes.
    let mut bomb = [call("/ward.v1.Ward/Look"), header(true, "x-long", &"y".repeat(3_900))].concat();
    bomb.extend(std::iter::repeat_n(0x80 | 62, 1_000));
    let mut peer = open().await;
    peer.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await.unwrap();
    assert_eq!(peer.end().await.goaway, Some(ENHANCE_YOUR_CALM));
    // More than the limit says, in plain words: the call ends, and the connection need not.
    let mut peer = open().await;
    let long = [call("/ward.v1.Ward/Look"), (0..20).flat_map(|at| header(false, &format!("x-{at}"), &"z".repeat(900))).collect()].concat();
    let (first, rest) = long.split_at(16_000);
    peer.say(&[frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 1, rest)].concat()).await.unwrap();
    crate::harness::eventually("an answer", async || (!peer.heard().headers.is_empty() || !peer.heard().resets.is_empty()).then_some(()))
        .await;
    // A table that was never agreed on, and an index that is in none.
    for bad in [&[0x3f, 0xe1, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0xff, 0x7f]] {
        let mut peer = open().await;
        let block = [bad, &call("/ward.v1.Ward/Look")].concat();
        peer.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await.unwrap();
        assert!(peer.end().await.goaway.is_some_and(|code| code != 0));
    }
    others.rounds(5).await;
    assert!(got.calls.lock().unwrap().iter().all(|(path, _)| path == "/ward.v1.Ward/Talk"));
    process.is_well();
    Ceiling::of(8, 8).holds("lists of headers", &process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_pieces_with_much_padding_take_up_no_more_than_a_window() {
    let (mut process, _) = gateway("").await;
    let mut others = Others::open(&process.world).await;
    let mut peer = Peer::open(&process.world, "clinician", &[]).await;
    peer.say(&frame(HEADERS, END_HEADERS, 1, &call("/ward.v1.Ward/Talk"))).await.unwrap();
    // The prefix of a message that is as long as one may be, then a byte at a time.
    peer.say(&frame(DATA, 0, 1, &[0, 0, 16, 0, 0])).await.unwrap();
    let one = frame(DATA, PADDED, 1, &[&[255, 1][..], &[0; 255]].concat());
    let send = async {
        for _ in 0..500 {
            if peer.say(&one.repeat(20)).await.is_err() || peer.heard().ended {
                break;
            }
        }
    };
    tokio::join!(send, others.rounds(50));
    process.is_well();
    Ceiling::of(8, 8).with_windows(1).holds("padding", &process);
}

/// Floods at a pace, connection after connection, until the time is up; how many frames and connections that were.
async fn keep_on(process: &Process, flood: Flood, per_second: u32, time: Duration) -> (u64, u64) {
    let (began, mut frames, mut connections) = (Instant::now(), 0u64, 0);
    while began.elapsed() < time {
        let mut peer = Peer::open(&process.world, "clinician", flood.settings()).await;
        connections += 1;
        let mut turn = 0;
        let mut taken = peer.say(&flood.first()).await.is_ok();
        while taken && !peer.heard().ended && peer.heard().goaway.is_none() && began.elapsed() < time {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let due = (began.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
            let count = due.saturating_sub(frames).min(u64::from(per_second) / 50) as u32;
            let some: Vec<Vec<u8>> = (turn..turn + count).map(|turn| flood.frame(turn)).collect();
            for some in some.chunks(flood.at_once() as usize) {
                taken =
                    taken && tokio::time::timeout(Duration::from_secs(1), peer.say(&some.concat())).await.is_ok_and(|said| said.is_ok());
            }
            turn += count;
            frames += u64::from(count);
        }
    }
    (frames, connections)
}

/// Ten thousand in a second for half a minute, each kind; others are looked at with it and without it in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_floods_that_go_on_others_keep_nine_tenths_of_their_rate() {
    if !long() {
        return;
    }
    const TURNS: u32 = 6;
    let seconds = std::env::var("TWINVEIL_WITHSTAND_SECONDS").map_or(30, |seconds| seconds.parse().unwrap());
    let turn = Duration::from_secs(seconds) / TURNS;
    let (address, _) = ward::serve().await;
    let mut process = Process::pinned(crate::proxy::folder(&address.to_string(), "")).await;
    let others = Others::open(&process.world).await.pace(500);
    others.shares(Duration::from_secs(2)).await;
    let mut failed = Vec::new();
    for flood in Flood::ALL {
        let (before, watch) = (process.resident_kib(), process.watch());
        let (mut quiet, mut loud, mut sent) = ([0.0; 2], [0.0; 2], (0, 0));
        for _ in 0..TURNS {
            let alone = others.shares(turn).await;
            let ((frames, connections), beside) = tokio::join!(keep_on(&process, flood, 10_000, turn), others.shares(turn));
            for at in 0..2 {
                quiet[at] += alone[at] / f64::from(TURNS);
                loud[at] += beside[at] / f64::from(TURNS);
            }
            sent = (sent.0 + frames, sent.1 + connections);
            process.is_well();
        }
        let ratio = [loud[0] / quiet[0], loud[1] / quiet[1]];
        println!(
            "{{\"flood\":\"{flood:?}\",\"seconds\":{seconds},\"frames\":{},\"connections\":{},\"without\":[{:.3},{:.3}],\"with\":[{:.3},{:.3}],\
             \"ratio_native\":{:.3},\"ratio_proxied\":{:.3},\"rss_before_kib\":{before},\"rss_most_kib\":{}}}",
            sent.0,
            sent.1,
            quiet[0],
            quiet[1],
            loud[0],
            loud[1],
            ratio[0],
            ratio[1],
            watch.most_kib()
        );
        if ratio[0] < 0.9 || ratio[1] < 0.9 {
            failed.push((flood, ratio));
        }
    }
    assert!(failed.is_empty(), "others did not keep their rate: {failed:?}");
    Ceiling::of(16, 600).with_windows(4).holds("floods that go on", &process);
}
