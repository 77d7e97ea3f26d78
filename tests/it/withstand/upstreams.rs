//! Services that die, stall, reset, flood, or answer something that is not gRPC, in the middle of a message: the caller gets what was
//! whole and judged, then a status; other routes and other calls go on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, Status};

use super::Ceiling;
use super::raw::{ACK, ENHANCE_YOUR_CALM, PING, SETTINGS, frame, settings};
use crate::harness::child::Process;
use crate::harness::ward::chart;
use crate::harness::{eventually, prefixed, soon};
use crate::proxy::{Client, ask, patient};

/// What a service does after the first whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Half of a message, and its process is gone.
    Dies,
    /// Half of a message, and a reset of the call.
    Resets,
    /// Half of a message, and the end with a good status.
    EndsWell,
    /// Half of a message, and nothing more.
    Stalls,
    /// An end without a word.
    SaysNothing,
    /// A prefix that claims more than one may be long.
    Claims,
    /// A prefix with a flag that is none.
    Flags,
    /// A message that is not what the schema says.
    Garbage,
    /// A megabyte of text, which begins like a prefix.
    Text,
}

/// A service whose answer to everything is one chart, and then this.
async fn service(then: Arc<Mutex<Then>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(connection(socket, Arc::clone(&then)));
        }
    });
    address
}

async fn connection(socket: TcpStream, then: Arc<Mutex<Then>>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let (dies, mut dead) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        tokio::select! {
            _ = dead.recv() => return,
            request = connection.accept() => {
                let Some(Ok((_, respond))) = request else { return };
                let then = *then.lock().unwrap();
                let dies = dies.clone();
                tokio::spawn(async move {
                    let _gone = answer(respond, then).await;
                    if then == Then::Dies {
                        let _already = dies.send(()).await;
                    }
                });
            }
        }
    }
}

async fn answer(mut respond: SendResponse<Bytes>, then: Then) -> Result<(), h2::Error> {
    let response = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(response, false)?;
    let message = prefixed(0, &chart("p-1", 0).encode_to_vec());
    stream.send_data(message.clone(), false)?;
    let half = message.slice(..message.len() - 3);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    match then {
        Then::Dies => stream.send_data(half, false)?,
        Then::Resets => {
            stream.send_data(half, false)?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        Then::EndsWell => {
            stream.send_data(half, false)?;
            stream.send_trailers(trailers)?;
        }
        Then::Stalls => {
            stream.send_data(half, false)?;
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        Then::SaysNothing => stream.send_data(Bytes::new(), true)?,
        Then::Claims => stream.send_data(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff, 1]), false)?,
        Then::Flags => stream.send_data(Bytes::from_static(&[9, 0, 0, 0, 1, 1]), false)?,
        Then::Garbage => {
            stream.send_data(prefixed(0, &[0x0a, 0x7f, 1]), false)?;
            stream.send_trailers(trailers)?;
        }
        Then::Text => {
            stream.reserve_capacity(1 << 20);
            stream.send_data(Bytes::from(b"<html>canary-3b3b".repeat(60_000)), true)?;
        }
    }
    // Dropped at once, the stream would take back what has not left yet.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

fn own(status: &Status) -> (Code, &str) {
    (status.code(), status.message().split(':').next().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_service_does_in_mid_message_the_caller_gets_the_whole_ones_and_a_status() {
    let then = Arc::new(Mutex::new(Then::Dies));
    let address = service(Arc::clone(&then)).await;
    let mut process = Process::start(crate::proxy::folder(&address.to_string(), "")).await;
    patient(&process.world, "p-1").await;
    let mut client = Client::of(&process.world).await;
    for (does, code, its) in [
        (Then::Dies, Code::Unavailable, "TV-G20"),
        (Then::Resets, Code::Unavailable, "TV-G20"),
        (Then::EndsWell, Code::Unavailable, "TV-G20"),
        (Then::SaysNothing, Code::Unavailable, "TV-G20"),
        (Then::Claims, Code::ResourceExhausted, "TV-G11"),
        (Then::Flags, Code::InvalidArgument, "TV-G04"),
        (Then::Garbage, Code::InvalidArgument, "TV-G22"),
        (Then::Text, Code::InvalidArgument, "TV-G04"),
    ] {
        *then.lock().unwrap() = does;
        // Again and again: what is broken is made anew.
        for _ in 0..5 {
            let mut answers = eventually("the head of an answer", async || match client.watch(ask("p-1")).await {
                Ok(answers) => Some(answers),
                // A connection that was just going: nothing came, and the caller may try again.
                Err(status) => {
                    assert_eq!(own(&status), (Code::Unavailable, "TV-G20"), "{does:?}");
                    None
                }
            })
            .await;
            // A reset may overtake what was sent before it.
            match soon("the whole one", answers.message()).await {
                Err(status) if matches!(does, Then::Dies | Then::Resets) => {
                    assert_eq!(own(&status), (Code::Unavailable, "TV-G20"), "{does:?}");
                    continue;
                }
                whole => assert_eq!(whole.map_err(|status| (does, status)).unwrap(), Some(chart("p-1", 0)), "{does:?}"),
            }
            let status = soon("the end", answers.message()).await.unwrap_err();
            assert_eq!(own(&status), (code, its), "{does:?}");
            assert!(!status.message().contains("canary"), "{status:?}");
        }
    }
    *then.lock().unwrap() = Then::Stalls;
    let mut late = tonic::Request::new(ask("p-1"));
    // The head has to come before that, also over a connection that is made anew.
    late.set_timeout(Duration::from_secs(3));
    let mut answers = soon("the head", client.watch_until(late)).await.unwrap();
    assert_eq!(soon("the whole one", answers.message()).await.unwrap(), Some(chart("p-1", 0)));
    let status = soon("the deadline", answers.message()).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    assert!(!process.said().contains("canary"));
    process.is_well();
    Ceiling::of(8, 16).with_windows(1).holds("services that break off", &process);
}

/// A service that takes connections and floods them with what it was not asked for; the code that it was told to go with.
async fn flooding() -> (SocketAddr, Arc<Mutex<Vec<u32>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, told) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u32>>>::default());
    let codes = Arc::clone(&told);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let codes = Arc::clone(&codes);
            tokio::spawn(async move {
                let (mut read, mut write) = socket.into_split();
                let reading = tokio::spawn(async move {
                    use tokio::io::AsyncReadExt;
                    let mut all = Vec::new();
                    let _ended = read.read_to_end(&mut all).await;
                    all
                });
                let _gone = write.write_all(&[settings(&[]), frame(SETTINGS, ACK, 0, &[])].concat()).await;
                while !reading.is_finished() && write.write_all(&frame(PING, 0, 0, &[7; 8]).repeat(100)).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                let all = reading.await.unwrap();
                // The last frame that is GOAWAY: stream 0, eight bytes and a reason.
                let at = all.windows(9).rposition(|head| head[3..] == [7, 0, 0, 0, 0, 0]);
                if let Some(at) = at.filter(|at| all.len() >= at + 17) {
                    codes.lock().unwrap().push(u32::from_be_bytes(all[at + 13..at + 17].try_into().unwrap()));
                }
            });
        }
    });
    (address, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_floods_the_gateway_is_cut_off_and_its_calls_end() {
    let (address, told) = flooding().await;
    let mut process = Process::start(crate::proxy::folder(&address.to_string(), "")).await;
    patient(&process.world, "p-1").await;
    let mut client = Client::of(&process.world).await;
    for _ in 0..3 {
        let status = soon("an end", client.look(ask("p-1"))).await.unwrap_err();
        assert!(status.code() == Code::Unavailable && ["TV-G19", "TV-G20"].contains(&own(&status).1), "{status:?}");
    }
    eventually("a word to the service", async || told.lock().unwrap().contains(&ENHANCE_YOUR_CALM).then_some(())).await;
    assert!(process.said().contains("a connection to an upstream was cut off"), "{}", process.said());
    process.is_well();
    Ceiling::of(8, 8).holds("a service that floods", &process);
}
