//! Everybody at once: a source, recipients of every kind with a slow one among them, and callers of every kind of method.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message;
use tokio::task::JoinHandle;
use twinveil::client::subscriber::Event;
use twinveil::proto::sample::{Activity, PatientFrame, Position, Vitals};

use super::people::{HIDDEN, PEOPLE, People, name};
use crate::gateway::{ADVERTISING, CARE, RENDERING, RESEARCH, START_MS};
use crate::harness::ward::{Chart, Got};
use crate::harness::{Ask, PATIENT, Source, Sub, World, soon};
use crate::proxy::{Client, ask};

/// How many frames and charts are on their way at the most, and more.
const REMEMBERED: usize = 200_000;

/// What came about.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) published: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) messages: AtomicU64,
    /// Notes that came, and messages that came without.
    pub(super) shown: AtomicU64,
    pub(super) hidden: AtomicU64,
}

impl Tally {
    fn note(&self, shown: bool) {
        if shown { &self.shown } else { &self.hidden }.fetch_add(1, Ordering::Relaxed);
    }
}

/// When numbered things were sent.
#[derive(Default)]
struct Sent(Mutex<(u64, VecDeque<Instant>)>);

impl Sent {
    fn next(&self) -> u64 {
        let mut sent = self.0.lock().unwrap();
        sent.1.push_back(Instant::now());
        if sent.1.len() > REMEMBERED {
            sent.1.pop_front();
            sent.0 += 1;
        }
        sent.0 + sent.1.len() as u64 - 1
    }

    fn at(&self, number: u64) -> Instant {
        let sent = self.0.lock().unwrap();
        let index = number.checked_sub(sent.0).and_then(|index| usize::try_from(index).ok());
        *index.and_then(|index| sent.1.get(index)).unwrap_or_else(|| panic!("nothing was sent with the number {number}"))
    }
}

/// All tasks of the load.
pub(super) struct Load {
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What each task has.
#[derive(Clone)]
struct Share {
    people: Arc<People>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    frames: Arc<Sent>,
    charts: Arc<Sent>,
}

impl Share {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

impl Load {
    pub(super) async fn start(world: &World, people: &Arc<People>, got: Got) -> Self {
        let share = Share {
            people: Arc::clone(people),
            tally: Arc::default(),
            stop: Arc::default(),
            frames: Arc::default(),
            charts: Arc::default(),
        };
        let mut tasks = Vec::new();
        for (party, purpose) in
            [("clinician", CARE), ("clinician", CARE), ("researcher", RESEARCH), ("renderer", RENDERING), ("advertiser", ADVERTISING)]
        {
            let sub = world.subscribe(party, Ask::of(PATIENT, purpose)).await;
            tasks.push(tokio::spawn(receives(sub, party, Duration::ZERO, share.clone())));
        }
        let slow = Sub::open(world.narrow_channel("clinician").await, Ask::of(PATIENT, CARE).newest()).await.unwrap();
        tasks.push(tokio::spawn(receives(slow, "clinician", Duration::from_millis(20), share.clone())));
        tasks.push(tokio::spawn(publishes(world.source("hospital", PATIENT).await, share.clone())));
        tasks.push(tokio::spawn(looks(Client::of(world).await, share.clone())));
        tasks.push(tokio::spawn(watches(Client::of(world).await, share.clone())));
        tasks.push(tokio::spawn(talks(Client::of(world).await, share.clone())));
        tasks.push(tokio::spawn(serves(got, share.clone())));
        Self { tally: share.tally, stop: share.stop, tasks }
    }

    /// Whether all tasks are alive.
    pub(super) fn goes_on(&self) {
        assert!(self.tasks.iter().all(|task| !task.is_finished()), "a part of the load has ended");
    }

    /// Ends it, and waits until everybody has read what was for them.
    pub(super) async fn stop(self) -> Arc<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            soon("a part of the load to end", task).await.unwrap();
        }
        self.tally
    }
}

fn frame(number: u64) -> PatientFrame {
    PatientFrame {
        patient_id: name(number as usize % PEOPLE),
        device_id: HIDDEN.into(),
        sequence: number,
        captured_at_ms: START_MS,
        position: Some(Position { latitude: 48.2, longitude: 16.4, altitude_m: 200.0, speed_m_s: 3.0 }),
        vitals: Some(Vitals { heart_rate_bpm: Some(72.0), ..Vitals::default() }),
        activity: Some(Activity { steps: Some(700), ..Activity::default() }),
        note: format!("note {number}"),
        ..PatientFrame::default()
    }
}

async fn publishes(mut source: Source, share: Share) {
    while share.goes_on() {
        let batch: Vec<_> = (0..16).map(|_| frame(share.frames.next())).collect();
        source.send(&batch).await;
        share.tally.published.fetch_add(batch.len() as u64, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    source.finish().await.unwrap();
}

async fn receives(mut sub: Sub, party: &'static str, pause: Duration, share: Share) {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(1), sub.next()).await;
        let event = match next {
            Ok(event) => event.unwrap_or_else(|status| panic!("the stream of the {party} ended: {status}")),
            Err(_) if share.goes_on() => continue,
            // Nothing more is on its way.
            Err(_) => return,
        };
        let Some(Event::Frame(received)) = event else { continue };
        share.people.handed_over(&sub.header.stream_id, received.view, received.handover);
        share.people.looked_into(party, &received.message);
        share.tally.received.fetch_add(1, Ordering::Relaxed);
        // Of the others' frames not even the number is as it was.
        if party == "clinician" {
            let frame = PatientFrame::decode(&received.message[..]).unwrap();
            let (person, note) = (frame.sequence as usize % PEOPLE, !frame.note.is_empty());
            assert!(!note || frame.note == format!("note {}", frame.sequence), "somebody else's note");
            share.people.saw(party, person, note, share.frames.at(frame.sequence));
            share.tally.note(note);
        }
        if !pause.is_zero() && share.goes_on() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// What came of a chart: whether anything of it did.
fn looked(who: &str, person: usize, chart: &Chart, sent: Instant, share: &Share) {
    share.people.looked_into(who, &chart.blob);
    share.tally.messages.fetch_add(1, Ordering::Relaxed);
    if *chart != Chart::default() {
        share.people.saw(who, person, !chart.note.is_empty(), sent);
    }
    share.tally.note(!chart.note.is_empty());
}

async fn looks(mut client: Client, share: Share) {
    for turn in 0.. {
        if !share.goes_on() {
            return;
        }
        let (person, sent) = (turn % PEOPLE, Instant::now());
        let chart = soon("an answer", client.look(ask(&name(person)))).await.unwrap().into_inner();
        looked("a caller", person, &chart, sent, &share);
        share.tally.calls.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

async fn watches(mut client: Client, share: Share) {
    for turn in 0.. {
        if !share.goes_on() {
            return;
        }
        let (person, sent) = (turn % PEOPLE, Instant::now());
        let mut answers = soon("the head", client.watch(ask(&name(person)))).await.unwrap();
        // One that hides the person from the service gets what the service says of somebody else, whom nobody enrolled.
        while let Some(chart) = soon("an answer", answers.message()).await.unwrap() {
            looked("a watcher", person, &chart, sent, &share);
        }
        share.tally.calls.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn talks(mut client: Client, share: Share) {
    while share.goes_on() {
        let (to, from) = tokio::sync::mpsc::channel(8);
        let mut answers = soon("the head", client.talk(from)).await.unwrap();
        let mine = share.clone();
        let saying = tokio::spawn(async move {
            for _ in 0..200 {
                let number = mine.charts.next();
                let chart = Chart {
                    patient: name(number as usize % PEOPLE),
                    at_ms: number as i64,
                    heart_rate: 72.0,
                    note: format!("note {number}"),
                    blob: HIDDEN.into(),
                    name: String::new(),
                };
                to.send(chart).await.unwrap();
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
        });
        while let Some(chart) = soon("an echo", answers.message()).await.unwrap() {
            let (number, person) = (chart.at_ms as u64, chart.at_ms as usize % PEOPLE);
            assert!(chart.note.is_empty() || chart.note == format!("note {number}"), "somebody else's note");
            looked("a talker", person, &chart, share.charts.at(number), &share);
        }
        saying.await.unwrap();
        share.tally.calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// Looks at what the service was sent.
async fn serves(got: Got, share: Share) {
    while share.goes_on() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        got.calls.lock().unwrap().clear();
        let messages = std::mem::take(&mut *got.messages.lock().unwrap());
        for message in messages {
            share.people.looked_into("the service", &message);
            // Questions have no note.
            let Ok(chart) = Chart::decode(&message[..]) else { continue };
            if !chart.note.is_empty() {
                let person = chart.at_ms as usize % PEOPLE;
                share.people.saw("the service", person, true, share.charts.at(chart.at_ms as u64));
            }
        }
    }
}
