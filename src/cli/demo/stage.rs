//! What everybody in the demo shares: the subjects, the recipients' seats, and how much was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{Mutex, watch};

use super::cast::{self, Allows, RECIPIENTS};
use super::desk::{Desk, Subject};
use super::feed::Prepared;
use super::seat::Seat;
use crate::cli::CliError;
use crate::cli::simulate::What;
use crate::proto::v1::StreamBarrier;
use crate::veil::schema::{Schema, load};

/// A source's tap: it is shut for a moment when a recipient has to begin again, so that both know which frame comes next.
#[derive(Debug)]
pub(super) struct Tap {
    open: watch::Sender<bool>,
    /// Everything that was sent is acknowledged, and so on its way to every recipient.
    idle: watch::Sender<bool>,
    one: Mutex<()>,
}

impl Default for Tap {
    fn default() -> Self {
        Self { open: watch::Sender::new(true), idle: watch::Sender::new(false), one: Mutex::default() }
    }
}

impl Tap {
    /// Does something while nothing flows.
    pub(super) async fn shut_for<T>(&self, work: impl Future<Output = T>) -> T {
        let _one_at_a_time = self.one.lock().await;
        self.open.send_replace(false);
        // An error would mean that the other end is gone, which is here.
        drop(self.idle.subscribe().wait_for(|idle| *idle).await);
        let done = work.await;
        self.open.send_replace(true);
        done
    }

    /// What the source looks at.
    pub(super) fn opened(&self) -> watch::Receiver<bool> {
        self.open.subscribe()
    }

    /// What the source says.
    pub(super) fn is_idle(&self, idle: bool) {
        self.idle.send_replace(idle);
    }
}

/// What everybody shares.
#[derive(Debug)]
pub(super) struct Stage {
    /// Patients first, then turbines.
    pub(super) subjects: Vec<Subject>,
    /// In the order of [`RECIPIENTS`].
    pub(super) seats: Vec<Arc<Seat>>,
    /// By source, in the order of [`SOURCES`]: frames that the gateway took.
    pub(super) accepted: [Arc<AtomicU64>; 2],
    /// In the same order.
    taps: [Tap; 2],
    /// By subject: frames that were sent.
    sent: Vec<AtomicU64>,
}

/// What the two sources send, and the names of their parties.
pub(super) const SOURCES: [(What, &str); 2] = [(What::Patients, "hospital"), (What::Turbines, "windfarm")];

impl Subject {
    /// What it signs for itself.
    pub(super) fn allows(&self) -> Vec<Allows> {
        match self.what {
            What::Patients => cast::patient(self.number),
            What::Turbines => cast::steward(self.number),
        }
    }
}

impl Stage {
    /// Seats for all recipients of what these subjects allow.
    pub(super) fn new(subjects: Vec<Subject>) -> Result<Self, CliError> {
        let open: Vec<Vec<usize>> =
            subjects.iter().map(|subject| subject.allows().iter().map(|allows| allows.recipient).collect()).collect();
        let seats = RECIPIENTS.iter().enumerate().map(|(at, recipient)| {
            let open = open.iter().map(|allowed| allowed.contains(&at));
            Ok(Arc::new(Seat::new(recipient, schema(recipient.what)?, open)))
        });
        let sent = subjects.iter().map(|_| AtomicU64::new(0)).collect();
        Ok(Self { seats: seats.collect::<Result<_, CliError>>()?, subjects, accepted: Default::default(), taps: Default::default(), sent })
    }

    /// The tap of a source.
    pub(super) fn tap(&self, what: What) -> &Tap {
        let [patients, turbines] = &self.taps;
        match what {
            What::Patients => patients,
            What::Turbines => turbines,
        }
    }

    /// A source is about to send these frames.
    pub(super) fn about_to_send(&self, what: What, frames: &[Prepared]) {
        // One instant for all: the batch is handed to the stream as one.
        let at = Instant::now();
        for seat in self.seats.iter().filter(|seat| seat.recipient.what == what) {
            seat.expect(frames, at);
        }
        for frame in frames {
            if let Some(sent) = self.sent.get(frame.subject) {
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many frames about a subject were sent.
    pub(super) fn sent(&self, subject: usize) -> u64 {
        self.sent.get(subject).map_or(0, |sent| sent.load(Ordering::Relaxed))
    }

    /// The streams that a subject was told of.
    pub(super) fn learn(&self, subject: usize, streams: &[StreamBarrier]) -> Result<(), CliError> {
        for barrier in streams {
            for seat in &self.seats {
                let about = |why: String| CliError::found(format!("what `{}` receives is not right: {why}", seat.recipient.name));
                seat.learn(subject, barrier).map_err(about)?;
            }
        }
        Ok(())
    }

    /// Asks where a subject's views are.
    pub(super) async fn ask_views(&self, mut desk: Desk, subject: usize) -> Result<(), CliError> {
        let Some(who) = self.subjects.get(subject) else { return Ok(()) };
        let streams = desk.streams(who).await?;
        self.learn(subject, &streams)
    }

    /// The two patients with the most frames among those who let everybody in: one withdraws at half-time, the other opens more.
    pub(super) fn actors(&self) -> Option<[usize; 2]> {
        let open = |(_, subject): &(usize, &Subject)| {
            subject.what == What::Patients && subject.allows().iter().any(|allows| allows.recipient == cast::ADVERTISER)
        };
        let mut open: Vec<usize> = self.subjects.iter().enumerate().filter(open).map(|(at, _)| at).collect();
        // Stable: of equals the first ones.
        open.sort_by_key(|at| std::cmp::Reverse(self.sent(*at)));
        Some([*open.first()?, *open.get(1)?])
    }

    /// Frames that the gateway took.
    pub(super) fn frames_in(&self) -> u64 {
        self.accepted.iter().map(|accepted| accepted.load(Ordering::Relaxed)).sum()
    }

    /// Frames that were sent and did not arrive yet.
    pub(super) fn pending(&self) -> usize {
        self.seats.iter().map(|seat| seat.pending()).sum()
    }
}

/// The schema of a sample, as the gateway reads it.
pub(super) fn schema(what: What) -> Result<Arc<Schema>, CliError> {
    load(crate::proto::SAMPLES, what.message(), None).map(Arc::new).map_err(CliError::broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wallet::Wallet;
    use crate::world::entropy;

    fn subjects(patients: usize, turbines: usize) -> Vec<Subject> {
        let subject = |what, number| Subject { name: format!("{what:?}-{number}"), what, number, wallet: Wallet::generate(&mut entropy()) };
        (0..patients)
            .map(|number| subject(What::Patients, number))
            .chain((0..turbines).map(|number| subject(What::Turbines, number)))
            .collect()
    }

    #[test]
    fn recipients_expect_what_subjects_allow_and_nothing_else() {
        let stage = Stage::new(subjects(3, 1)).expect("samples");
        let expects = |recipient: usize| (0..4).filter(|subject| stage.seats[recipient].looks_for(*subject)).collect::<Vec<_>>();
        assert_eq!(expects(cast::CLINICIAN), [0, 1, 2]);
        assert_eq!(expects(cast::ADVERTISER), [0, 1]);
        assert_eq!(expects(cast::VENDOR), [3]);
    }

    #[tokio::test]
    async fn nothing_flows_while_a_tap_is_shut() {
        let tap = Arc::new(Tap::default());
        let mut opened = tap.opened();
        let shut = tokio::spawn({
            let tap = Arc::clone(&tap);
            async move { tap.shut_for(async { 7 }).await }
        });
        opened.wait_for(|open| !open).await.expect("shut");
        assert!(!shut.is_finished(), "it waits for the source");
        tap.is_idle(true);
        assert_eq!(shut.await.expect("done"), 7);
        assert!(*opened.borrow());
    }

    #[test]
    fn those_act_who_are_heard_most() {
        let stage = Stage::new(subjects(5, 1)).expect("samples");
        assert_eq!(stage.actors(), Some([0, 1]));
        stage.sent[4].store(9, Ordering::Relaxed);
        stage.sent[2].store(90, Ordering::Relaxed);
        stage.sent[5].store(90, Ordering::Relaxed);
        assert_eq!(stage.actors(), Some([4, 0]), "the third patient shuts the advertiser out");
        assert_eq!(Stage::new(subjects(1, 1)).expect("samples").actors(), None);
    }
}
