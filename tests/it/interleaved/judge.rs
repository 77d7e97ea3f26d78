//! Holds what came in a run against what may have come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use twinveil::proto::v1::Disclosure;
use twinveil::veil::name::RecordId;

use super::model::Window;
use super::play::{Came, Heard, Run, Sent};
use super::stage::{CARE_TERM, RESEARCH_TERM};
use super::steps::{CARE, CLINICIAN, HEART, HOSPITAL, NOTE, RESEARCHER};
use crate::harness::PATIENT;

/// The schema of what is said on the call.
const CHART: &str = "ward.v1.Chart";

/// What came about in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Messages that came, and messages of which nothing may have come and nothing did.
    pub(super) shown: usize,
    pub(super) hidden: usize,
    /// Messages that came with less than all of it.
    pub(super) parts: usize,
    pub(super) resets: usize,
    /// Uses of counted consents that nothing else can explain.
    pub(super) uses: usize,
    pub(super) taken: usize,
    pub(super) refused: usize,
    /// Frames whose hand-over number was held against one that was stated.
    pub(super) stated: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        let Self { shown, hidden, parts, resets, uses, taken, refused, stated } = other;
        self.shown += shown;
        self.hidden += hidden;
        self.parts += parts;
        self.resets += resets;
        self.uses += uses;
        self.taken += taken;
        self.refused += refused;
        self.stated += stated;
    }
}

/// All that is wrong with a run.
pub(super) fn judge(run: &Run) -> (Vec<String>, Tally) {
    let mut judging = Judging { run, wrong: run.wrong.clone(), tally: Tally::default(), used: BTreeMap::new() };
    (judging.tally.taken, judging.tally.refused) = run.changes;
    for stream in &run.streams {
        judging.stream(stream);
    }
    judging.call();
    judging.uses();
    judging.wrong.extend(histories(run));
    for (id, person) in &run.unsaid {
        // One that was reset may have been gone before the withdrawal came; who reads slowly has not noticed yet.
        if run.streams.iter().any(|stream| stream.id == *id && !stream.reset && !stream.seat.slow) {
            judging.wrong.push(format!("a withdrawal of person {person} says nothing of a stream that showed them"));
        }
    }
    (judging.wrong, judging.tally)
}

struct Judging<'r> {
    run: &'r Run,
    wrong: Vec<String>,
    tally: Tally,
    /// By counted grant: its messages.
    used: BTreeMap<RecordId, u64>,
}

impl Judging<'_> {
    fn stream(&mut self, stream: &Heard) {
        let run = self.run;
        let to = stream.seat.to;
        let (mut last, mut handover) = (None, 0);
        for came in &stream.came {
            if last.is_some_and(|last| came.number <= last) || came.handover <= handover {
                self.wrong.push(format!("{:?}: frame {} comes out of turn", stream.seat, came.number));
            }
            (last, handover) = (Some(came.number), came.handover);
            let sent = run.frames[came.number];
            let window = self.window(stream, came, sent);
            self.came(&format!("{:?}: frame", stream.seat), to, came, sent, window);
            // The end of one that came large was handed over after somebody slow began to read it.
            if let (true, Some(since)) = (sent.large && came.mask & NOTE != 0, came.since) {
                let possible = run.people[sent.person].possible(to, Window::between(since, came.at), &run.time, None);
                if !possible.contains(&Some(came.mask)) {
                    self.wrong.push(format!("{:?}: the rest of frame {} came after {:?} was over", stream.seat, came.number, came.mask));
                }
            }
        }
        self.tally.resets += usize::from(stream.reset);
        if stream.reset && !run.frames.iter().any(|sent| sent.large) {
            self.wrong.push(format!("{:?}: reset, and nothing can be half-way out", stream.seat));
        }
        if !stream.seat.slow {
            let sent = run.frames.iter().enumerate().filter(|(_, sent)| sent.at > stream.opened);
            self.all_came(&format!("{:?}: frame", stream.seat), to, sent, &stream.came);
        }
    }

    /// When a frame was handed over: between being sent and being there, and before or behind what was stated of the stream.
    fn window(&mut self, stream: &Heard, came: &Came, sent: Sent) -> Window {
        let mut window = Window::between(sent.at, came.at);
        for stated in self.run.stated.get(&stream.id).into_iter().flatten() {
            if came.handover <= stated.last_handover {
                window.until = window.until.min(stated.until).max(window.from);
                continue;
            }
            window.from = window.from.max(stated.from.min(window.until));
            if stated.person == sent.person {
                window.facts = window.facts.max(stated.facts);
                self.tally.stated += 1;
            }
        }
        window
    }

    /// One message that came: at some instant of the window exactly this may have been shown.
    fn came(&mut self, what: &str, to: (u8, u8), came: &Came, sent: Sent, window: Window) {
        let run = self.run;
        let history = &run.people[sent.person];
        let possible = history.possible(to, window, &run.time, None);
        if !possible.contains(&Some(came.mask)) {
            let (number, mask, person) = (came.number, came.mask, sent.person);
            let span = window.until.duration_since(window.from);
            self.wrong.push(format!("{what} {number} of person {person} shows {mask:b}, possible in {span:?} was {possible:?}"));
        }
        self.tally.shown += 1;
        self.tally.parts += usize::from(came.mask != 3);
        self.charge(to, sent, Some(came.mask), window);
    }

    /// Charges a message to a counted consent, if it is the only one that can explain it.
    fn charge(&mut self, to: (u8, u8), sent: Sent, shown: Option<u8>, window: Window) {
        let history = &self.run.people[sent.person];
        let [counted] = history.counted(to, window)[..] else { return };
        if !history.possible(to, window, &self.run.time, Some(true)).contains(&shown) {
            *self.used.entry(counted.id).or_default() += 1;
            self.tally.uses += 1;
        }
    }

    /// What was to be seen all the time from being sent until something later had come has come.
    fn all_came<'s>(&mut self, what: &str, to: (u8, u8), sent: impl Iterator<Item = (usize, &'s Sent)>, came: &[Came]) {
        let numbers: BTreeMap<usize, Instant> = came.iter().map(|came| (came.number, came.at)).collect();
        for (number, sent) in sent.filter(|(number, _)| !numbers.contains_key(number)) {
            // What comes behind the last one may be on its way.
            let Some((_, later)) = numbers.range(number..).next() else { continue };
            let window = Window::between(sent.at, *later);
            if !self.run.people[sent.person].possible(to, window, &self.run.time, None).contains(&None) {
                self.wrong.push(format!("{what} {number} of person {} never came", sent.person));
            }
            self.tally.hidden += 1;
        }
    }

    /// The call: what the service got, and what of that came back.
    fn call(&mut self) {
        let run = self.run;
        let (there, back) = ((HOSPITAL, CARE), (CLINICIAN, CARE));
        let heard: BTreeMap<usize, Came> = run.there.iter().map(|came| (came.number, *came)).collect();
        for came in &run.there {
            let sent = run.charts[came.number];
            self.came("there: chart", there, came, sent, Window::between(sent.at, came.at));
        }
        self.all_came("there: chart", there, run.charts.iter().enumerate(), &run.there);
        for came in &run.back {
            let Some(first) = heard.get(&came.number) else {
                self.wrong.push(format!("chart {} came back from where it never was", came.number));
                continue;
            };
            let sent = run.charts[came.number];
            let window = Window::between(sent.at, came.at);
            let possible = run.people[sent.person].possible(back, window, &run.time, None);
            if !possible.iter().flatten().any(|mask| mask & first.mask == came.mask) {
                self.wrong
                    .push(format!("back: chart {} shows {:b} of {:b}, possible was {possible:?}", came.number, came.mask, first.mask));
            }
            self.tally.shown += 1;
        }
        let answered = run.charts.iter().enumerate().filter(|(number, _)| heard.contains_key(number));
        self.all_came("back: chart", back, answered, &run.back);
    }

    fn uses(&mut self) {
        let granted = self.run.people.iter().flat_map(|history| &history.0);
        let max: BTreeMap<_, _> = granted.filter_map(|fact| fact.what.uses()).collect();
        for (id, used) in &self.used {
            if max.get(id).is_some_and(|max| used > max) {
                self.wrong.push(format!("a consent for {:?} uses was used {used} times", max.get(id)));
            }
        }
    }
}

/// Every message that came is in the history of whom it is about, with what of it was shown; where nothing was lost on the way, and
/// nothing else is.
pub(super) fn histories(run: &Run) -> Vec<String> {
    let mut all = Vec::new();
    for (person, told) in run.told.iter().enumerate() {
        let told = counts(told);
        let said = |to, schema, mask| told.get(&(party(to), schema, mask)).copied().unwrap_or_default();
        for to in run.streams.iter().map(|stream| stream.seat.to).collect::<BTreeSet<_>>() {
            let streams = || run.streams.iter().filter(|stream| stream.seat.to == to);
            let is_all = streams().all(|stream| !stream.reset && !stream.seat.slow);
            for mask in 0..=NOTE | HEART {
                let came = streams().flat_map(|stream| &stream.came);
                let came = came.filter(|came| run.frames[came.number].person == person && came.mask == mask).count() as u64;
                let told = said(to, PATIENT, mask);
                if told < came || (is_all && told != came) {
                    all.push(format!("{to:?} got {came} frames {mask:b} of person {person}, whose history says {told}"));
                }
            }
        }
        // What came back had been shown before, by another decision: only how many, there.
        for (to, came) in [((HOSPITAL, CARE), &run.there), ((CLINICIAN, CARE), &run.back)] {
            let came = came.iter().filter(|came| run.charts[came.number].person == person).count() as u64;
            let told: u64 = (0..=NOTE | HEART).map(|mask| said(to, CHART, mask)).sum();
            if told < came {
                all.push(format!("{to:?} got {came} charts of person {person}, whose history says {told}"));
            }
        }
        let known: u64 = told.iter().filter(|((_, schema, _), _)| [PATIENT, CHART].contains(schema)).map(|(_, count)| count).sum();
        if known != told.values().sum::<u64>() {
            all.push(format!("the history of person {person} says of what nobody sent"));
        }
    }
    all
}

/// Frames by whom they went to and what for, schema, and what of them was let through.
type Counts<'r> = BTreeMap<((String, String), &'r str, u8), u64>;

fn counts(told: &[Disclosure]) -> Counts<'_> {
    let mut counts = Counts::new();
    for one in told {
        let has = |paths: &[&str]| u8::from(one.fields.iter().any(|field| paths.contains(&field.path.as_str())));
        let mask = has(&["note"]) * NOTE + has(&["vitals.heart_rate_bpm", "heart_rate"]) * HEART;
        *counts.entry(((one.recipient.clone(), one.purpose.clone()), one.schema.as_str(), mask)).or_default() += one.frames;
    }
    counts
}

/// As a history names whom it went to, and what for.
fn party((recipient, purpose): (u8, u8)) -> (String, String) {
    let party = match recipient {
        CLINICIAN => "recipient/clinician",
        RESEARCHER => "recipient/researcher",
        _ => "source/hospital",
    };
    let term = if purpose == CARE { CARE_TERM } else { RESEARCH_TERM };
    (format!("spiffe://example.org/{party}"), term.to_owned())
}
