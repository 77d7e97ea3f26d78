//! How much does a proxy cost per message? The two ends of the measurement: a service that sends as fast as it may, and a client
//! that reads as fast as it can and says how many messages came, how late, and whether each that it looked into is as it should be.
//!
//! `cargo bench --bench load -- serve PORT [CERTIFICATE KEY CA]`, `… drive ADDRESS CASE WANT SECONDS [CERTIFICATE KEY CA]` and
//! `… descriptors FILE`; usually by `benches/peers/run`. CASE is `stream`, `packed`, `unary` or `paced`, then the size in bytes:
//! `stream-200`. WANT is `whole`, `strip`, `generalize` or `seal`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it found")]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use prost::Message;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use twinveil::gate::tls::{ClientTls, PemFiles};
use twinveil::http2::{self, Answer, Opener, Settings, Writing};

#[allow(dead_code, reason = "shared with other benches")]
mod frames;
use frames::{Position, Vitals};
#[path = "load/relay.rs"]
mod relay;
#[path = "load/service.rs"]
mod service;
use service::{Ask, Socket, accept, prefixed, send, serve, vitals};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Calls at the same time, but for `paced`, which is one.
const CALLS: usize = 8;
/// Between two messages of `paced`.
const PACE: Duration = Duration::from_micros(500);
/// Both ends. They gather what goes into one write, so that whoever is in between, and not they, is what the load waits for.
const SETTINGS: Settings = Settings {
    stream_window_bytes: 256 * 1024,
    window_bytes: 4 * 1024 * 1024,
    held_bytes_max: 16 * 1024 * 1024,
    streams_max: 10_000,
    header_bytes_max: 16 * 1024,
    silence: Duration::from_secs(60),
    answer_within: Duration::from_secs(20),
};
/// Of streams, one message in so many is looked into, and the first of each.
const LOOK: u64 = 1_000;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match words[..] {
        ["serve", port, ref files @ ..] => runtime.block_on(serve(port.parse()?, pem_files(files)?)),
        ["drive", address, case, want, seconds, ref files @ ..] => {
            let seconds: f64 = seconds.parse()?;
            let found = runtime.block_on(drive(address, case, want, seconds, pem_files(files)?))?;
            println!("{found}");
            Ok(())
        }
        ["relay", port, upstream] => relay::relay(port.parse()?, upstream.parse()?),
        ["descriptors", file] => Ok(std::fs::write(file, frames::descriptors())?),
        // Under `--test`: both ends against each other, for a moment.
        _ => runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?.to_string();
            tokio::spawn(accept(listener, None));
            for case in ["stream-200", "packed-200", "unary-200", "paced-200"] {
                let found = drive(&address, case, "whole", 0.05, None).await?;
                if found["messages"] == 0 || found["wrong"] != 0 {
                    return Err(format!("{case}: {found}").into());
                }
            }
            Ok(())
        }),
    }
}

fn pem_files(files: &[&str]) -> Result<Option<PemFiles>, Failure> {
    match *files {
        [] => Ok(None),
        [certificate, private_key, peer_ca] => {
            Ok(Some(PemFiles { certificate: certificate.into(), private_key: private_key.into(), peer_ca: peer_ca.into() }))
        }
        _ => Err("TLS takes certificate, key and authority".into()),
    }
}

/// What messages should look like when they have come through.
struct Want {
    vitals: Vitals,
    sealed: bool,
}

/// What the gateway adds: a sealed group, and announcements of its key.
#[derive(Clone, PartialEq, Message)]
struct Added {
    #[prost(bytes = "vec", tag = "18000")]
    group: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "18001")]
    announced: Vec<Vec<u8>>,
}

impl Want {
    fn parse(word: &str, size: usize) -> Result<Self, Failure> {
        let whole = vitals(size);
        let Vitals { sequence, captured_at_ms, modality, heart_rate_bpm, spo2_pct, .. } = whole;
        let stripped =
            Vitals { sequence, captured_at_ms, modality, heart_rate_bpm, spo2_pct, samples: whole.samples.clone(), ..Vitals::default() };
        let vitals = match word {
            "whole" => whole,
            "strip" => stripped,
            "generalize" => Vitals { position: Some(Position { latitude: 45.77, longitude: 14.36 }), ..stripped },
            "seal" => Vitals { heart_rate_bpm: 0.0, spo2_pct: 0.0, ..stripped },
            _ => return Err("wanted is `whole`, `strip`, `generalize` or `seal`".into()),
        };
        Ok(Self { vitals, sealed: word == "seal" })
    }

    /// Whether a message is this one and nothing else; and how many announcements it has.
    fn judge(&self, message: &[u8]) -> Result<(bool, u64), Failure> {
        let (vitals, added) = (Vitals::decode(message)?, Added::decode(message)?);
        let nothing_else = vitals.encoded_len() + added.encoded_len() == message.len();
        let right = vitals == self.vitals && nothing_else && added.group.is_empty() != self.sealed;
        if !right {
            let (samples, group) = (vitals.samples.len(), added.group.len());
            let shown = Vitals { samples: Vec::new(), ..vitals };
            eprintln!("wrong: {shown:?} with {samples} samples and {group} sealed bytes, of {}", message.len());
        }
        Ok((right, added.announced.len() as u64))
    }
}

/// What came.
#[derive(Default)]
struct Found {
    messages: u64,
    checked: u64,
    wrong: u64,
    announced: u64,
    late: Vec<Duration>,
}

/// One kind of call, made again and again.
struct Calls {
    address: String,
    scheme: &'static str,
    path: &'static str,
    /// What a call begins with.
    first: Bytes,
    want: Want,
    found: Mutex<Found>,
}

impl Calls {
    fn found<T>(&self, act: impl FnOnce(&mut Found) -> T) -> T {
        act(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn drive(address: &str, case: &str, want: &str, seconds: f64, files: Option<PemFiles>) -> Result<serde_json::Value, Failure> {
    let (shape, size) = case.split_once('-').ok_or("a case is SHAPE-SIZE")?;
    let size: u32 = size.parse()?;
    let path = match shape {
        "stream" | "packed" => "Watch",
        "unary" => "Look",
        "paced" => "Echo",
        _ => return Err("a case is `stream`, `packed`, `unary` or `paced`, then the size".into()),
    };
    let paced = shape == "paced";
    let first = if paced { prefixed(&vitals(size as usize)) } else { prefixed(&Ask { size, packed: shape == "packed" }) };
    let scheme = if files.is_some() { "https" } else { "http" };
    let want = Want::parse(want, size as usize)?;
    let calls = Arc::new(Calls { address: address.to_owned(), scheme, path, first, want, found: Mutex::default() });

    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let socket: Box<dyn Socket> = match files {
        Some(files) => {
            let connector = TlsConnector::from(ClientTls::load(&files)?.config());
            Box::new(connector.connect(ServerName::try_from("localhost")?, socket).await?)
        }
        None => Box::new(socket),
    };
    let (opener, connection) = http2::client(socket, SETTINGS);
    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
    tasks.spawn(async move { Err(format!("the connection ended: {:?}", connection.await).into()) });
    for _ in 0..if paced { 1 } else { CALLS } {
        let (calls, opener) = (Arc::clone(&calls), opener.clone());
        tasks.spawn(async move { if paced { calls.echo(opener).await } else { calls.read_on(opener).await } });
    }

    // Nothing ends by itself.
    let mut pass = async |seconds: f64| -> Result<(), Failure> {
        match tokio::time::timeout(Duration::from_secs_f64(seconds), tasks.join_next()).await {
            Err(_elapsed) => Ok(()),
            Ok(Some(ended)) => ended?.and(Err("the connection ended".into())),
            Ok(None) => Err("no call".into()),
        }
    };
    pass((seconds / 2.0).min(0.5)).await?;
    let before = calls.found(|found| {
        found.late.clear();
        found.messages
    });
    let began = Instant::now();
    println!("begin");
    std::io::stdout().flush()?;
    pass(seconds).await?;
    let elapsed = began.elapsed().as_secs_f64();
    let found = calls.found(std::mem::take);
    let mut late = found.late;
    late.sort_unstable();
    let at = |part: f64| late.get((late.len() as f64 * part) as usize).map(|late| (late.as_secs_f64() * 1e7).round() / 10.0);
    let messages = found.messages - before;
    Ok(serde_json::json!({
        "messages": messages, "frames_per_s": (messages as f64 / elapsed).round(), "p50_us": at(0.5), "p99_us": at(0.99),
        "checked": found.checked, "wrong": found.wrong, "announced": found.announced,
    }))
}

impl Calls {
    async fn open(&self, opener: &Opener, end: bool) -> Result<(Writing, Answer), Failure> {
        let request = Request::post(format!("{}://{}/bench.Bench/{}", self.scheme, self.address, self.path))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        opener.ready().await.map_err(|_| "the connection takes no calls")?;
        let (mut writing, answer) = opener.open(&request, false).map_err(|_| "the connection takes no call")?;
        poll_fn(|cx| writing.poll_room(cx)).await?;
        writing.data(self.first.clone(), end);
        Ok((writing, answer))
    }

    /// Calls, reads to the end, calls again.
    async fn read_on(&self, opener: Opener) -> Result<(), Failure> {
        loop {
            let begin = Instant::now();
            let (_sent, answer) = self.open(&opener, true).await?;
            let (head, mut body) = answer.await?.into_parts();
            let (mut cut, mut trailers) = (Cut::default(), head.headers);
            while let Some(frame) = body.frame().await {
                match frame?.into_data() {
                    Ok(bytes) => drop(cut.take(bytes, self)?),
                    Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
                }
            }
            if self.path != "Look" || trailers.get("grpc-status").is_none_or(|status| status != "0") {
                return Err(format!("a call ended with {trailers:?}").into());
            }
            self.found(|found| found.late.push(begin.elapsed()));
        }
    }

    /// Sends a message every half millisecond, and waits for none.
    async fn echo(&self, opener: Opener) -> Result<(), Failure> {
        // The runtime's own clock is too coarse.
        let (ticks, mut ticked) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut next = Instant::now();
            while ticks.send(()).is_ok() {
                next += PACE;
                #[allow(clippy::disallowed_methods, reason = "a thread that serves nobody")]
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        let mut sent = VecDeque::from([Instant::now()]);
        let (mut writing, answer) = self.open(&opener, false).await?;
        let (head, mut body) = answer.await?.into_parts();
        let (mut cut, mut trailers) = (Cut::default(), HeaderMap::new());
        loop {
            tokio::select! {
                Some(()) = ticked.recv() => {
                    sent.push_back(Instant::now());
                    send(&mut writing, self.first.clone()).await?;
                }
                frame = body.frame() => match frame.transpose()?.map(http_body::Frame::into_data) {
                    Some(Ok(bytes)) => for _ in 0..cut.take(bytes, self)? {
                        let begin = sent.pop_front().ok_or("more came back than was sent")?;
                        self.found(|found| found.late.push(begin.elapsed()));
                    },
                    Some(Err(frame)) => trailers = frame.into_trailers().unwrap_or_default(),
                    None => return Err(format!("the echo ended: {head:?} {trailers:?}").into()),
                }
            }
        }
    }
}

/// Cuts messages out of what comes.
#[derive(Default)]
struct Cut {
    held: BytesMut,
    begun: bool,
}

impl Cut {
    /// Counts whole messages where they lie, and looks into some; what is left over waits for the rest.
    fn take(&mut self, mut bytes: Bytes, calls: &Calls) -> Result<u64, Failure> {
        if !self.held.is_empty() {
            self.held.extend_from_slice(&bytes);
            bytes = self.held.split().freeze();
        }
        let mut count = 0;
        calls.found(|found| {
            while let Some((&[_, a, b, c, d], rest)) = bytes.split_first_chunk::<5>() {
                let len = u32::from_be_bytes([a, b, c, d]) as usize;
                let Some(message) = rest.get(..len) else { break };
                if !std::mem::replace(&mut self.begun, true) && calls.path != "Look" || found.messages.is_multiple_of(LOOK) {
                    let (right, announced) = calls.want.judge(message)?;
                    found.checked += 1;
                    found.wrong += u64::from(!right);
                    found.announced += announced;
                }
                found.messages += 1;
                count += 1;
                bytes.advance(5 + len);
            }
            self.held.extend_from_slice(&bytes);
            Ok(count)
        })
    }
}
