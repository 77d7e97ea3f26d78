//! One recipient's side of the demo: what it should get, what it gets, and whether the two agree.
//!
//! A recipient can't tell whose frame it holds: that is what the gateway is for. The demo can, because it plays the subjects,
//! too: a subject's standing names its view in every stream, and the frames of a view come in order and without loss. So the
//! next frame of a view is the next one that its source sent about that subject.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::cast::Recipient;
use super::feed::Prepared;
use super::instances::Shape;
use super::tally::{Tally, Treatments};
use crate::client::subscriber::Received;
use crate::proto::v1::{StreamBarrier, View};
use crate::veil::schema::{Schema, SiteId};
use crate::veil::terms::Treatment;

/// One recipient.
#[derive(Debug)]
pub(super) struct Seat {
    /// Who.
    pub(super) recipient: &'static Recipient,
    /// What its frames are.
    pub(super) schema: Arc<Schema>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stream: Bytes,
    /// By subject.
    lines: Vec<Line>,
    /// By their numbers in the stream.
    views: HashMap<u32, Seen>,
    /// Frames of views whose subject is not known yet.
    early: Vec<(u32, Arc<Treatments>, Instant)>,
    tally: Tally,
    withdrawal: Withdrawal,
    /// The stream was cut off, and nobody has said so yet.
    cut_off: bool,
}

/// Frames about one subject on their way to this recipient.
#[derive(Debug, Default)]
struct Line {
    /// Whether the subject lets this recipient have anything.
    open: bool,
    /// The number of the subject's view in the stream.
    view: Option<u32>,
    /// What is in each, and when it was sent where its latency counts.
    sent: VecDeque<(Shape, Option<Instant>)>,
    /// What its view did last, in whichever stream.
    treatments: Option<Arc<Treatments>>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Seen {
    subject: Option<usize>,
    open: bool,
    treatments: Arc<Treatments>,
    /// The last hand-over number before it.
    after: u64,
}

/// What a view did differently from one frame on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The last hand-over number before it.
    pub(super) after: u64,
    /// Site, treatment before, treatment since.
    pub(super) sites: Vec<(SiteId, Treatment, Treatment)>,
}

#[derive(Debug, Default)]
enum Withdrawal {
    #[default]
    None,
    /// Asked for; what came since in the stream, as view and hand-over number.
    Asked { subject: usize, stream: Bytes, since: Vec<(u32, u64)> },
    /// In force.
    Settled { subject: usize, stream: Bytes, view: u32, last_handover: u64, frames_after: u64 },
}

/// What a screen shows of a seat.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// What it got.
    pub(super) tally: Tally,
    /// The treatments of every view that is open.
    pub(super) views: Vec<Arc<Treatments>>,
    /// Frames that came after the withdrawal and should not have.
    pub(super) frames_after_withdrawal: u64,
}

impl Seat {
    /// A recipient with nothing yet; `open` says of every subject whether it lets this recipient have anything.
    pub(super) fn new(recipient: &'static Recipient, schema: Arc<Schema>, open: impl Iterator<Item = bool>) -> Self {
        let lines = open.map(|open| Line { open, ..Line::default() }).collect();
        let tally = Tally::new(schema.sites().len());
        let state = State {
            stream: Bytes::new(),
            lines,
            views: HashMap::new(),
            early: Vec::new(),
            tally,
            withdrawal: Withdrawal::None,
            cut_off: false,
        };
        Self { recipient, schema, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream begins.
    pub(super) fn begins(&self, stream: Bytes) {
        self.lock().stream = stream;
    }

    /// A source is about to send these; `at`: now, where their latency counts.
    pub(super) fn expect(&self, frames: &[Prepared], at: Option<Instant>) {
        let mut state = self.lock();
        for frame in frames {
            if let Some(line) = state.lines.get_mut(frame.subject).filter(|line| line.open) {
                line.sent.push_back((frame.shape.clone(), at));
            }
        }
    }

    /// Whether frames of the subject are expected here, and nobody knows yet in which view.
    pub(super) fn looks_for(&self, subject: usize) -> bool {
        self.lock().lines.get(subject).is_some_and(|line| line.open && line.view.is_none())
    }

    /// What a subject was told about an open stream; if it is this one, its view is known from here on.
    pub(super) fn learn(&self, subject: usize, barrier: &StreamBarrier) -> Result<(), String> {
        let mut state = self.lock();
        // View 0 is none: the stream has shown nothing of the subject.
        if barrier.view == 0 || state.stream != barrier.stream_id || state.stream.is_empty() {
            return Ok(());
        }
        let state = &mut *state;
        let (now, later) = std::mem::take(&mut state.early).into_iter().partition(|(view, ..)| *view == barrier.view);
        state.early = later;
        let now: Vec<(u32, Arc<Treatments>, Instant)> = now;
        // What came was sent, also where the view has been closed since.
        now.into_iter().try_for_each(|(_, treatments, at)| state.settle(subject, &treatments, at))?;
        if let Some(line) = state.lines.get_mut(subject) {
            line.view = Some(barrier.view);
            if let Some(seen) = state.views.get_mut(&barrier.view) {
                seen.subject = Some(subject);
                line.shows(seen);
            }
        }
        Ok(())
    }

    /// A view begins, changes or closes; `handed_over` frames came before it.
    pub(super) fn view(&self, view: &View, handed_over: u64) {
        let mut state = self.lock();
        let state = &mut *state;
        let subject = state.lines.iter().position(|line| line.view == Some(view.view));
        let treatments = Arc::new(Treatments::announced(&self.schema, &view.fields));
        let seen = Seen { subject, open: view.open, treatments, after: handed_over };
        if let Some(line) = subject.and_then(|subject| state.lines.get_mut(subject)) {
            line.shows(&seen);
        }
        state.views.insert(view.view, seen);
    }

    /// A frame came.
    pub(super) fn frame(&self, frame: &Received, at: Instant) -> Result<(), String> {
        let mut state = self.lock();
        state.tally.groups += frame.groups as u64;
        state.tally.opened += frame.opened as u64;
        let state = &mut *state;
        match &mut state.withdrawal {
            Withdrawal::Asked { stream, since, .. } if *stream == state.stream => since.push((frame.view, frame.handover)),
            Withdrawal::Settled { stream, view, last_handover, frames_after, .. } if *stream == state.stream => {
                *frames_after += u64::from(frame.view == *view && frame.handover > *last_handover);
            }
            // In a later stream the subject has no view, so that a frame about it would belong to nobody.
            Withdrawal::None | Withdrawal::Asked { .. } | Withdrawal::Settled { .. } => {}
        }
        let seen = state.views.get(&frame.view).ok_or_else(|| format!("a frame of view {}, which was not announced", frame.view))?;
        let treatments = Arc::clone(&seen.treatments);
        match seen.subject {
            Some(subject) => state.settle(subject, &treatments, at),
            None => {
                state.early.push((frame.view, treatments, at));
                Ok(())
            }
        }
    }

    /// A subject is about to withdraw: whatever comes from now on is held against the gateway's answer.
    pub(super) fn withdrawal_asked(&self, subject: usize) {
        let mut state = self.lock();
        state.withdrawal = Withdrawal::Asked { subject, stream: state.stream.clone(), since: Vec::new() };
    }

    /// The gateway answered; the last hand-over number under the old consent, if the answer names this stream.
    pub(super) fn withdrawal_answered(&self, streams: &[StreamBarrier]) -> Option<u64> {
        let mut state = self.lock();
        let Withdrawal::Asked { subject, stream, since } = std::mem::take(&mut state.withdrawal) else { return None };
        let barrier = streams.iter().find(|barrier| barrier.stream_id == stream)?;
        let (view, last_handover) = (barrier.view, barrier.last_handover);
        let frames_after = since.iter().filter(|(of, handover)| *of == view && *handover > last_handover).count() as u64;
        state.withdrawal = Withdrawal::Settled { subject, stream, view, last_handover, frames_after };
        Some(last_handover)
    }

    /// Whether a subject has begun to withdraw: then, and only then, a stream may be cut off in the middle of a frame.
    pub(super) fn may_be_cut_off(&self) -> bool {
        !matches!(self.lock().withdrawal, Withdrawal::None)
    }

    /// The stream was cut off, and another one is about to begin. Nothing that was sent before comes any more.
    pub(super) fn begins_again(&self) {
        let mut state = self.lock();
        state.cut_off = true;
        state.stream = Bytes::new();
        state.views.clear();
        state.early.clear();
        for line in &mut state.lines {
            line.view = None;
            line.sent.clear();
        }
        let withdrawn = match &state.withdrawal {
            Withdrawal::Asked { subject, .. } | Withdrawal::Settled { subject, .. } => Some(*subject),
            Withdrawal::None => None,
        };
        if let Some(line) = withdrawn.and_then(|subject| state.lines.get_mut(subject)) {
            line.open = false;
        }
    }

    /// Whether the stream was cut off since this was last asked.
    pub(super) fn was_cut_off(&self) -> bool {
        std::mem::take(&mut self.lock().cut_off)
    }

    /// What changed in the view of a subject.
    pub(super) fn changes(&self, subject: usize) -> Vec<Change> {
        self.lock().lines.get(subject).map(|line| line.changes.clone()).unwrap_or_default()
    }

    /// Frames that were sent and did not come yet, or came and belong to nobody yet.
    pub(super) fn pending(&self) -> usize {
        let state = self.lock();
        state.early.len().max(state.lines.iter().map(|line| line.sent.len()).sum())
    }

    /// What there is to show.
    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot {
            tally: state.tally.clone(),
            views: state.views.values().filter(|seen| seen.open).map(|seen| Arc::clone(&seen.treatments)).collect(),
            frames_after_withdrawal: match state.withdrawal {
                Withdrawal::Settled { frames_after, .. } => frames_after,
                Withdrawal::None | Withdrawal::Asked { .. } => 0,
            },
        }
    }
}

impl Line {
    /// The subject's view is like this from here on.
    fn shows(&mut self, seen: &Seen) {
        if !seen.open {
            self.open = false;
            self.sent.clear();
            return;
        }
        let before = self.treatments.replace(Arc::clone(&seen.treatments));
        let sites = before.map(|before| before.changes(&seen.treatments)).unwrap_or_default();
        if !sites.is_empty() {
            self.changes.push(Change { after: seen.after, sites });
        }
    }
}

impl State {
    /// A frame about a subject came: it is the next one that was sent.
    fn settle(&mut self, subject: usize, treatments: &Treatments, at: Instant) -> Result<(), String> {
        let sent = self.lines.get_mut(subject).and_then(|line| line.sent.pop_front());
        let (shape, sent_at) = sent.ok_or("a frame came that no source sent, or that nobody allowed")?;
        self.tally.add(&shape, treatments, sent_at.map(|sent_at| at.saturating_duration_since(sent_at)));
        Ok(())
    }
}

#[cfg(test)]
#[path = "seat_tests.rs"]
mod tests;
