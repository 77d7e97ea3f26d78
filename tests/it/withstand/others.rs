//! Other people's streams, native and proxied, on connections of their own: every message of theirs arrives and is right, whatever
//! somebody else does meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Streaming;
use twinveil::proto::sample::PatientFrame;

use crate::gateway::{CARE, START_MS};
use crate::harness::ward::{Chart, chart};
use crate::harness::{Ask, PATIENT, Source, Sub, World, soon};
use crate::proxy::{Client, patient};

const WHO: &str = "somebody-else";

fn frame(number: u64) -> PatientFrame {
    PatientFrame {
        patient_id: WHO.into(),
        sequence: number,
        captured_at_ms: START_MS,
        note: format!("note {number}, and some words that make it as long as a frame is"),
        ..PatientFrame::default()
    }
}

/// A native stream and a proxied call, both open.
pub(super) struct Others {
    source: Source,
    sub: Sub,
    to: mpsc::Sender<Chart>,
    answers: Streaming<Chart>,
    number: u64,
}

impl Others {
    pub(super) async fn open(world: &World) -> Self {
        patient(world, WHO).await;
        let sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
        let source = world.source("hospital", PATIENT).await;
        let (to, from) = mpsc::channel(64);
        let answers = soon("the head of a call", Client::of(world).await.talk(from)).await.unwrap();
        Self { source, sub, to, answers, number: 0 }
    }

    /// So many frames and charts, one after the other, there and back.
    pub(super) async fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            self.number += 1;
            let (number, sent) = (self.number, frame(self.number));
            assert_eq!(self.source.send(std::slice::from_ref(&sent)).await.accepted, number);
            assert_eq!(came(self.sub.message().await), sent);
            self.to.send(chart(WHO, number as i64)).await.unwrap();
            assert_eq!(soon("an echo", self.answers.message()).await.unwrap(), Some(chart(WHO, number as i64)));
        }
    }

    /// Goes on at a pace, in tasks of its own.
    pub(super) fn pace(self, per_second: u64) -> Paced {
        let Self { mut source, mut sub, to, mut answers, number } = self;
        let counts = [Arc::<AtomicU64>::default(), Arc::default()];
        let (native, proxied) = (Arc::clone(&counts[0]), Arc::clone(&counts[1]));
        let tasks = vec![
            tokio::spawn(async move {
                let mut pace = Pace::new(per_second);
                loop {
                    let frames: Vec<_> = pace.due().await.map(|at| frame(number + at)).collect();
                    source.send(&frames).await;
                }
            }),
            tokio::spawn(async move {
                let mut pace = Pace::new(per_second);
                loop {
                    for at in pace.due().await {
                        soon("room for a chart", to.send(chart(WHO, (number + at) as i64))).await.unwrap();
                    }
                }
            }),
            tokio::spawn(async move {
                for at in number + 1.. {
                    assert_eq!(came(sub.message().await), frame(at));
                    native.fetch_add(1, Ordering::Relaxed);
                }
            }),
            tokio::spawn(async move {
                for at in number + 1.. {
                    assert_eq!(soon("an echo", answers.message()).await.unwrap(), Some(chart(WHO, at as i64)));
                    proxied.fetch_add(1, Ordering::Relaxed);
                }
            }),
        ];
        Paced { counts, tasks, per_second }
    }
}

/// A frame as the clinician gets it, with the number of the person instead of its stand-in.
fn came(frame: PatientFrame) -> PatientFrame {
    assert!(!frame.patient_id.is_empty() && frame.patient_id != WHO, "a stand-in");
    PatientFrame { patient_id: WHO.into(), ..frame }
}

/// Says what is due by now.
struct Pace {
    per_second: u64,
    began: Instant,
    sent: u64,
}

impl Pace {
    fn new(per_second: u64) -> Self {
        Self { per_second, began: Instant::now(), sent: 0 }
    }

    /// Waits until something is; numbers from 1. Who is behind does not get all of it at once.
    async fn due(&mut self) -> std::ops::RangeInclusive<u64> {
        loop {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let due = (self.began.elapsed().as_secs_f64() * self.per_second as f64) as u64;
            if due > self.sent {
                let first = self.sent + 1;
                self.sent = due.min(self.sent + 500);
                return first..=self.sent;
            }
        }
    }
}

/// Streams that go on by themselves.
pub(super) struct Paced {
    /// What arrived and was right: native, proxied.
    counts: [Arc<AtomicU64>; 2],
    tasks: Vec<JoinHandle<()>>,
    per_second: u64,
}

impl Paced {
    /// What part of what was due in this time arrived: native, proxied.
    pub(super) async fn shares(&self, time: Duration) -> [f64; 2] {
        let counts = || [0, 1].map(|at| self.counts[at].load(Ordering::Relaxed));
        let (before, began) = (counts(), Instant::now());
        tokio::time::sleep(time).await;
        let (after, due) = (counts(), began.elapsed().as_secs_f64() * self.per_second as f64);
        assert!(self.tasks.iter().all(|task| !task.is_finished()), "a stream has broken");
        [0, 1].map(|at| (after[at] - before[at]) as f64 / due)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
