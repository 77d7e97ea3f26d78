//! Streams of `Subscribe`: one source, frames of somebody who leaves and somebody who stays, recipients that see all of both.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message;
use tokio::time::Instant;
use tonic::transport::Channel;
use twinveil::client::subscriber::Event;
use twinveil::proto::sample::PatientFrame;

use super::it::harness::child::Process;
use super::it::harness::front::CARE;
use super::it::harness::{Ask, Given, PATIENT, Source, Sub, eventually, made_folder, soon};
use super::{Found, LARGE_BYTES, LARGE_EVERY, PER_CONNECTION, Plan, QUIET, some_moment, withdraw};

const LEAVER: &str = "leaver";
const STAYER: &str = "stayer";
/// A source sends at least so seldom: several frames make one batch where they come faster.
const TICK: Duration = Duration::from_millis(5);

/// What the recipients of one run share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// The number of the next frame.
    next: AtomicU64,
    delivered: AtomicU64,
    /// By stream: frames of whoever leaves, with the view and hand-over number they came under.
    came: Mutex<HashMap<Vec<u8>, Vec<Came>>>,
    /// Streams that were reset.
    reset: AtomicU64,
}

struct Came {
    at: Instant,
    view: u32,
    handover: u64,
}

/// What a stream that is read has said of who leaves: the number of the newest frame, and how often the view was closed.
#[derive(Default)]
struct Said {
    newest: AtomicU64,
    closed: AtomicU64,
}

/// What a withdrawal stated of a stream, and when the person agreed again.
struct Stated {
    last_handover: u64,
    until: Instant,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

pub(super) async fn measure(plan: Plan) -> Found {
    let process = Process::start(made_folder()).await;
    let world = &process.world;
    let (leaver, stayer) = (world.patient(LEAVER).await, world.patient(STAYER).await);
    let given = Given::to(world, &["clinician"], CARE);
    for person in [&leaver, &stayer] {
        world.grant(person, &given).await;
    }
    let shared = Arc::new(Shared::default());
    let (mut readers, mut said) = (Vec::new(), Vec::new());
    let pace = plan.pace(plan.streams);
    let mut channel = world.channel("clinician").await;
    for number in 0..plan.streams {
        let slow = number < plan.slow();
        if !slow && (number - plan.slow()).is_multiple_of(PER_CONNECTION) {
            channel = world.channel("clinician").await;
        }
        let reader = Reader {
            channel: if slow { world.narrow_channel("clinician").await } else { channel.clone() },
            said: Arc::default(),
            pause: slow.then(|| pace * 2),
        };
        if !slow {
            said.push(Arc::clone(&reader.said));
        }
        readers.push(tokio::spawn(reader.read(Arc::clone(&shared))));
    }
    let source = tokio::spawn(send(world.source("hospital", PATIENT).await, pace, Arc::clone(&shared)));
    let mut found = Found::default();
    let mut barriers = HashMap::<_, Vec<_>>::new();
    let all = |least: u64, of: fn(&Said) -> &AtomicU64| said.iter().all(|said| of(said).load(Ordering::Relaxed) >= least).then_some(());
    let began = Instant::now();
    for turn in 0..plan.withdrawals {
        let first = shared.next.load(Ordering::Relaxed).max(1);
        eventually("every stream to show who leaves", async || all(first, |said| &said.newest)).await;
        some_moment(turn).await;
        let (answer, wait) = withdraw(world, &leaver).await;
        assert!(answer.ended > 0 && answer.streams.len() >= said.len(), "all streams that are read are told of: {}", answer.streams.len());
        found.waits.push(wait);
        // What may still arrive has, where the closed view has.
        eventually("every stream to say so", async || all(turn as u64 + 1, |said| &said.closed)).await;
        tokio::time::sleep(QUIET).await;
        let until = Instant::now();
        for stated in answer.streams {
            let kept = Stated { last_handover: stated.last_handover, until };
            barriers.entry((stated.stream_id.to_vec(), stated.view)).or_default().push(kept);
        }
        world.grant(&leaver, &given).await;
    }
    found.lasted = began.elapsed();
    found.delivered = shared.delivered.load(Ordering::Relaxed);
    shared.stop.store(true, Ordering::Relaxed);
    for task in readers.into_iter().chain([source]) {
        soon("a part of the load to end", task).await.unwrap();
    }
    found.reset = shared.reset.load(Ordering::Relaxed);
    assert!(found.reset <= world.metric("twinveil_streams_cut_off_total").await, "whoever was reset was cut off");
    let came = shared.came.lock().unwrap();
    assert!(came.values().map(Vec::len).sum::<usize>() >= plan.withdrawals * said.len(), "who leaves was to be seen");
    for (stream, frames) in came.iter() {
        let after = |frame: &&Came| {
            let stated = barriers.get(&(stream.clone(), frame.view)).map(Vec::as_slice).unwrap_or_default();
            stated.iter().any(|stated| frame.handover > stated.last_handover && frame.at < stated.until)
        };
        found.after += frames.iter().filter(after).count() as u64;
    }
    found
}

/// A frame of somebody, `LARGE_EVERY`th a large one.
fn frame(number: u64) -> Vec<u8> {
    let who = if number.is_multiple_of(2) { LEAVER } else { STAYER };
    let words = if (number / 2).is_multiple_of(LARGE_EVERY) { LARGE_BYTES } else { 80 };
    PatientFrame { patient_id: who.into(), sequence: number, note: format!("{who} {}", "x".repeat(words)), ..PatientFrame::default() }
        .encode_to_vec()
}

async fn send(mut source: Source, pace: Duration, shared: Arc<Shared>) {
    let batch = (TICK.as_secs_f64() / pace.as_secs_f64()).ceil() as u64;
    let mut tick = tokio::time::interval(pace * batch as u32);
    // One that can't keep up sends as fast as it may, and no faster afterwards.
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shared.goes_on() {
        tick.tick().await;
        let first = shared.next.fetch_add(batch, Ordering::Relaxed);
        source.send_bytes((first..first + batch).map(frame).collect()).await;
    }
    source.finish().await.unwrap();
}

/// Notes what has come.
fn note(event: &Event, stream: &[u8], said: &Said, shared: &Shared) {
    let received = match event {
        Event::Frame(received) => received,
        Event::View(view) if !view.open => {
            said.closed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        _ => return,
    };
    shared.delivered.fetch_add(1, Ordering::Relaxed);
    let frame = PatientFrame::decode(&received.message[..]).unwrap();
    if frame.note.starts_with(LEAVER) {
        let came = Came { at: Instant::now(), view: received.view, handover: received.handover };
        shared.came.lock().unwrap().entry(stream.to_vec()).or_default().push(came);
        said.newest.store(frame.sequence, Ordering::Relaxed);
    }
}

/// Somebody who reads, and subscribes again when a frame that was half-way out has reset the stream.
struct Reader {
    channel: Channel,
    said: Arc<Said>,
    /// After each message, where it is read slowly.
    pause: Option<Duration>,
}

impl Reader {
    async fn read(self, shared: Arc<Shared>) {
        while shared.goes_on() {
            let ask = Ask::of(PATIENT, CARE);
            // Whoever reads slowly holds nobody up.
            let ask = if self.pause.is_some() { ask.newest() } else { ask };
            let mut sub = Sub::open(self.channel.clone(), ask).await.unwrap();
            while shared.goes_on() {
                let Ok(event) = sub.next().await else {
                    shared.reset.fetch_add(1, Ordering::Relaxed);
                    // A view that was cut off is as good as closed.
                    self.said.closed.fetch_add(1, Ordering::Relaxed);
                    break;
                };
                note(&event.expect("it goes on"), &sub.header.stream_id, &self.said, &shared);
                if let Some(pause) = self.pause {
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}
