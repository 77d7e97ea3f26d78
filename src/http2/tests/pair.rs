//! Our client and our server.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::*;
use crate::http2::{client, server};

/// A server that echoes, and a client's opener to it; the pipe between them holds so many bytes.
fn pair(bytes: usize, settings: Settings) -> crate::http2::Opener {
    let (near, far) = tokio::io::duplex(bytes);
    tokio::spawn(serve(server(far, settings), echo));
    let (opener, connection) = client(near, settings);
    tokio::spawn(connection);
    opener
}

#[tokio::test]
async fn what_is_sent_comes_back_however_narrow_the_pipe_is() {
    for (bytes, window) in [(100, 65_535), (3_000, 65_535), (1 << 20, 256 * 1024)] {
        let opener = pair(bytes, Settings { stream_window_bytes: window, ..SETTINGS });
        let calls = (0..8).map(|n| {
            let opener = opener.clone();
            tokio::spawn(async move {
                opener.ready().await.expect("open");
                let (mut writing, answer) = opener.open(&request("/a.B/C"), false).expect("room");
                let sent: Vec<u8> = (0..300_000u32).map(|at| (at * (n + 1)) as u8).collect();
                let back = tokio::spawn(async move { collect(answer.await.expect("an answer").into_body()).await });
                for piece in sent.chunks(9_000) {
                    send(&mut writing, Bytes::copy_from_slice(piece), false).await.expect("taken");
                }
                send(&mut writing, Bytes::new(), true).await.expect("taken");
                assert_eq!(back.await.expect("no panic").expect("whole"), (sent, Some(trailers())));
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.expect("no panic");
        }
    }
}

#[tokio::test]
async fn more_calls_than_streams_wait_for_each_other() {
    let opener = pair(1 << 16, SETTINGS);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let opener = opener.clone();
            tokio::spawn(async move {
                let (writing, answer) = loop {
                    opener.ready().await.expect("open");
                    if let Ok(opened) = opener.open(&request("/big/1000"), true) {
                        break opened;
                    }
                };
                let answer = answer.await.expect("an answer");
                assert_eq!(collect(answer.into_body()).await.expect("whole").0.len(), 1_000);
                drop(writing);
            })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_stop_the_others() {
    let opener = pair(1 << 16, SETTINGS);
    let unread: Vec<_> = (0..5).map(|_| opener.open(&request("/big/1000000"), true).expect("room")).collect();
    let (_writing, answer) = opener.open(&request("/big/3000000"), true).expect("room");
    assert_eq!(collect(answer.await.expect("an answer").into_body()).await.expect("whole").0.len(), 3_000_000);
    drop(unread);
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_at_the_other_end() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (told, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let watch = move |request: Request<Reading>, mut writing: Writing| {
        let told = told.clone();
        async move {
            let broken = poll_fn(|cx| writing.poll_broken(cx)).await;
            let body = collect(request.into_body()).await.map(|_| ());
            told.send((broken, body)).expect("somebody listens");
        }
    };
    tokio::spawn(serve(server(far, SETTINGS), watch));
    let (opener, connection) = client(near, SETTINGS);
    tokio::spawn(connection);
    let opened = opener.open(&request("/"), false).expect("room");
    tokio::task::yield_now().await;
    drop(opened);
    let cancelled = Broken { reason: Reason::CANCEL, unprocessed: false };
    assert_eq!(ended.recv().await, Some((cancelled, Err(cancelled))));
}

#[tokio::test]
async fn a_server_that_winds_up_answers_what_it_has_and_takes_no_more() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (mut accepting, (opener, connection)) = (server(far, SETTINGS), client(near, SETTINGS));
    let client = tokio::spawn(connection);
    let (mut writing, answer) = opener.open(&request("/"), false).expect("room");
    let (request_in, writing_in) = poll_fn(|cx| accepting.poll_accept(cx)).await.expect("one").expect("open");
    accepting.wind_up();
    let serving = tokio::spawn(serve(accepting, echo));
    tokio::spawn(echo(request_in, writing_in));
    while !opener.is_closed() {
        tokio::task::yield_now().await;
    }
    assert!(opener.open(&request("/"), false).is_err() && opener.ready().await.is_err());
    send(&mut writing, Bytes::from_static(b"still"), true).await.expect("taken");
    assert_eq!(collect(answer.await.expect("an answer").into_body()).await.expect("whole").0, b"still");
    drop(writing);
    assert_eq!(serving.await.expect("no panic"), Ok(()));
    assert_eq!(client.await.expect("no panic"), Reason::NO_ERROR);
}

#[tokio::test]
async fn a_client_that_nobody_needs_any_more_says_goodbye() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(serve(server(far, SETTINGS), echo));
    let (opener, connection) = client(near, SETTINGS);
    let connection = tokio::spawn(connection);
    let (writing, answer) = opener.clone().open(&request("/big/10"), true).expect("room");
    drop(opener);
    assert_eq!(collect(answer.await.expect("an answer").into_body()).await.expect("whole").0.len(), 10);
    drop(writing);
    assert_eq!(connection.await.expect("no panic"), Reason::NO_ERROR);
    assert_eq!(serving.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn a_peer_that_is_silent_is_asked_and_given_up() {
    let soon = Duration::from_millis(20);
    let settings = Settings { silence: soon, answer_within: soon, ..SETTINGS };
    let (near, _far) = tokio::io::duplex(1 << 16);
    let (opener, connection) = client(near, settings);
    let (_writing, answer) = opener.open(&request("/"), true).expect("room");
    assert_eq!(connection.await, Reason::CANCEL);
    assert_eq!(answer.await.map(drop), Err(Broken { reason: Reason::CANCEL, unprocessed: false }));
    // One that answers stays, however often it is asked.
    let opener = pair(1 << 16, Settings { silence: soon, ..SETTINGS });
    tokio::time::sleep(10 * soon).await;
    let (_writing, answer) = opener.open(&request("/big/10"), true).expect("room");
    assert!(collect(answer.await.expect("an answer").into_body()).await.is_ok());
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up_however_much_it_says() {
    use tokio::io::AsyncWriteExt;
    let soon = Duration::from_millis(20);
    let (near, far) = tokio::io::duplex(100);
    let serving = tokio::spawn(serve(server(near, Settings { silence: soon, answer_within: soon, ..SETTINGS }), echo));
    let (_unread, mut talks) = tokio::io::split(far);
    let mut hello = crate::http2::frame::PREFACE.to_vec();
    crate::http2::frame::push_settings(&mut hello, &[]);
    talks.write_all(&hello).await.expect("taken");
    let mut ping = Vec::new();
    crate::http2::frame::push_ping(&mut ping, 0, [0; 8]);
    while !serving.is_finished() {
        // A refusal to take more is the end that is waited for.
        let _refused = talks.write_all(&ping).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(serving.await.expect("no panic"), Ok(()).and(Err(Broken { reason: Reason::CANCEL, unprocessed: false })));
}

#[tokio::test]
async fn a_piece_that_is_half_way_out_ends_with_its_stream() {
    let (near, far) = tokio::io::duplex(1 << 20);
    // Nobody reads, and after a while nobody will.
    let hold = |request: Request<Reading>, writing: Writing| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop((request, writing));
    };
    tokio::spawn(serve(server(far, SETTINGS), hold));
    let (opener, connection) = client(near, SETTINGS);
    tokio::spawn(connection);
    let (mut writing, answer) = opener.open(&request("/"), false).expect("room");
    poll_fn(|cx| writing.poll_room(cx)).await.expect("room");
    // Twice the window of a stream.
    writing.data(vec![7; 140_000].into(), true);
    let broken = Broken { reason: Reason::CANCEL, unprocessed: false };
    assert_eq!(poll_fn(|cx| writing.poll_sent(cx)).await, Err(broken));
    assert_eq!(answer.await.map(drop), Err(broken));
}

/// A socket that fails in a way of its own.
struct Failing {
    writes: fn() -> std::io::Result<usize>,
    flushes: fn() -> std::io::Result<()>,
}

impl AsyncRead for Failing {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Failing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready((self.writes)().map(|count| count.min(bytes.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready((self.flushes)())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_socket_that_can_not_be_written_to_ends_its_calls() {
    for failing in [
        Failing { writes: || Ok(0), flushes: || Ok(()) },
        Failing { writes: || Err(std::io::ErrorKind::BrokenPipe.into()), flushes: || Ok(()) },
        Failing { writes: || Ok(usize::MAX), flushes: || Err(std::io::ErrorKind::BrokenPipe.into()) },
    ] {
        let (opener, connection) = client(failing, SETTINGS);
        let (mut writing, answer) = opener.open(&request("/"), false).expect("room");
        assert_eq!(connection.await, Reason::INTERNAL_ERROR);
        let broken = Broken { reason: Reason::INTERNAL_ERROR, unprocessed: false };
        assert_eq!(poll_fn(|cx| writing.poll_broken(cx)).await, broken);
        assert_eq!(send(&mut writing, Bytes::from_static(b"x"), false).await, Err(broken));
        assert_eq!(answer.await.map(drop), Err(broken));
        assert!(opener.is_closed());
    }
}
