//! How much does a proxy cost per message? The two ends of the measurement: a service that sends as fast as it may, and a client
//! that reads as fast as it can and says how many messages came, how late, and whether what should be gone is gone.
//!
//! `cargo bench --bench load -- serve PORT` · `cargo bench --bench load -- drive ADDRESS CASE SECONDS [STREAMS]`; usually by
//! `benches/peers/run`. CASE is `stream`, `packed` or `unary`, then the size in bytes: `stream-200`.
#![allow(clippy::print_stdout, reason = "a bench prints what it found")]

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};

#[allow(dead_code, reason = "shared with other benches")]
mod frames;
use frames::{Position, Vitals};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A message of about `size` bytes, with its prefix.
fn message(size: usize) -> Bytes {
    let mut vitals = Vitals {
        subject_id: "p-2041".into(),
        device_id: "monitor-77".into(),
        sequence: 70_001,
        captured_at_ms: 1_790_000_000_000,
        modality: 1,
        position: Some(Position { latitude: 45.772_175, longitude: 14.357_659 }),
        heart_rate_bpm: 72.0,
        spo2_pct: 97.0,
        samples: Vec::new(),
        labels: HashMap::from([("ward".to_owned(), "3B".to_owned())]),
        name: "Milo Feil".into(),
        note: "slept well, no pain".into(),
    };
    while vitals.encoded_len() < size {
        vitals.samples.push((vitals.samples.len() as i32 * 37) % 1_900 - 950);
    }
    let encoded = vitals.encode_to_vec();
    let mut out = BytesMut::with_capacity(5 + encoded.len());
    out.extend_from_slice(&[0]);
    out.extend_from_slice(&(encoded.len() as u32).to_be_bytes());
    out.extend_from_slice(&encoded);
    out.freeze()
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match words[..] {
        ["serve", port] => runtime.block_on(serve(port.parse()?)),
        ["drive", address, case, seconds] => runtime.block_on(drive(address, case, seconds.parse()?, 8)),
        ["drive", address, case, seconds, streams] => runtime.block_on(drive(address, case, seconds.parse()?, streams.parse()?)),
        // Under `--test`: both ends against each other, for a moment.
        _ => runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?.to_string();
            tokio::spawn(accept(listener));
            for case in ["stream-200", "packed-200", "unary-200"] {
                drive(&address, case, 0.05, 2).await?;
            }
            Ok(())
        }),
    }
}

async fn serve(port: u16) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    accept(listener).await;
    Ok(())
}

async fn accept(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        let _best_effort = socket.set_nodelay(true);
        tokio::spawn(async move {
            let mut builder = h2::server::Builder::new();
            builder.initial_window_size(256 * 1024).initial_connection_window_size(1024 * 1024).max_concurrent_streams(10_000);
            let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(answer(request, respond));
            }
        });
    }
}

async fn answer(request: Request<RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut asked = BytesMut::new();
    while let Some(Ok(bytes)) = body.data().await {
        let _released = body.flow_control().release_capacity(bytes.len());
        asked.extend_from_slice(&bytes);
    }
    // Ask { size = 1, packed = 2 }: see `bench.proto`.
    let ask = Ask::decode(asked.get(5..).unwrap_or_default()).unwrap_or_default();
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let Ok(mut stream) = respond.send_response(response, false) else { return };
    let one = message(ask.size as usize);
    if path.ends_with("/Look") {
        let _sent = send(&mut stream, one).await;
    } else {
        let chunk = if ask.packed { Bytes::from(one.repeat((16 * 1024 / one.len()).max(1))) } else { one };
        // Until the client goes.
        while send(&mut stream, chunk.clone()).await.is_ok() {}
    }
    let _gone = stream.send_trailers(HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]));
}

async fn send(stream: &mut SendStream<Bytes>, bytes: Bytes) -> Result<(), Failure> {
    stream.reserve_capacity(bytes.len());
    while stream.capacity() < bytes.len() {
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err("gone".into()),
        }
    }
    stream.send_data(bytes, false)?;
    Ok(())
}

#[derive(Clone, PartialEq, Message)]
struct Ask {
    #[prost(uint32, tag = "1")]
    size: u32,
    #[prost(bool, tag = "2")]
    packed: bool,
}

/// What came.
#[derive(Default)]
struct Found {
    messages: AtomicU64,
    kept: AtomicU64,
    checked: AtomicU64,
    stop: AtomicBool,
}

async fn drive(address: &str, case: &str, seconds: f64, streams: usize) -> Result<(), Failure> {
    let (shape, size) = case.split_once('-').ok_or("a case is SHAPE-SIZE")?;
    let ask = Ask { size: size.parse()?, packed: shape == "packed" }.encode_to_vec();
    let ask = Bytes::from([&[0][..], &(ask.len() as u32).to_be_bytes(), &ask].concat());
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(256 * 1024).initial_connection_window_size(1024 * 1024);
    let (sender, connection) = builder.handshake::<_, Bytes>(socket).await?;
    tokio::spawn(connection);
    let found = Arc::new(Found::default());
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..streams {
        let (sender, ask, found, unary) = (sender.clone(), ask.clone(), Arc::clone(&found), shape == "unary");
        let address = address.to_owned();
        tasks.push(tokio::spawn(async move {
            let mut late = Vec::new();
            while !found.stop.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let path = if unary { "Look" } else { "Watch" };
                let request = Request::post(format!("http://{address}/bench.Bench/{path}"))
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(())?;
                let mut sender = sender.clone().ready().await?;
                let (response, mut stream) = sender.send_request(request, false)?;
                stream.send_data(ask.clone(), true)?;
                let mut body = response.await?.into_body();
                read(&mut body, &found).await?;
                late.push(begin.elapsed());
            }
            Ok::<_, Failure>(late)
        }));
    }
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    found.stop.store(true, Ordering::Relaxed);
    let elapsed = began.elapsed();
    let mut late = Vec::new();
    for task in tasks {
        late.extend(tokio::time::timeout(Duration::from_secs(5), task).await???);
    }
    late.sort_unstable();
    let at = |part: f64| late.get((late.len() as f64 * part) as usize).map_or(0.0, |late| late.as_secs_f64() * 1e6);
    let messages = found.messages.load(Ordering::Relaxed);
    let (p50, p99) = if shape == "unary" { (at(0.5), at(0.99)) } else { (0.0, 0.0) };
    println!(
        "{{\"case\":\"{case}\",\"messages\":{messages},\"seconds\":{:.3},\"frames_per_s\":{:.0},\"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\"checked\":{},\"kept\":{}}}",
        elapsed.as_secs_f64(),
        messages as f64 / elapsed.as_secs_f64(),
        found.checked.load(Ordering::Relaxed),
        found.kept.load(Ordering::Relaxed),
    );
    Ok(())
}

/// Counts messages; looks into every thousandth for what should be gone.
async fn read(body: &mut RecvStream, found: &Found) -> Result<(), Failure> {
    let mut held = BytesMut::new();
    while let Some(bytes) = body.data().await {
        let mut bytes = bytes?;
        body.flow_control().release_capacity(bytes.len())?;
        // Whole messages where they lie; what is left over waits for the rest.
        if !held.is_empty() {
            held.extend_from_slice(&bytes);
            bytes = held.split().freeze();
        }
        while let Some((&[_, a, b, c, d], rest)) = bytes.split_first_chunk::<5>() {
            let len = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some(message) = rest.get(..len) else { break };
            if found.messages.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_000) {
                let vitals = Vitals::decode(message)?;
                let gone = vitals.subject_id.is_empty() && vitals.device_id.is_empty() && vitals.name.is_empty() && vitals.note.is_empty();
                let gone = gone && vitals.labels.is_empty() && vitals.position.is_none();
                found.checked.fetch_add(1, Ordering::Relaxed);
                found.kept.fetch_add(u64::from(!gone || vitals.sequence != 70_001), Ordering::Relaxed);
            }
            bytes.advance(5 + len);
        }
        held.extend_from_slice(&bytes);
        if found.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
    Ok(())
}
