//! Can the rule fail that histories say exactly what was handed over? What a gateway tells is bent, as one would tell it that loses an
//! interval or miscounts: each such mistake has to be found in what a play brought about, and without one nothing may be.

use std::sync::Arc;

use twinveil::proto::v1::{DisclosedField, Disclosure};

use super::Player;
use super::judge::{histories, judge};
use super::play::play;
use super::stage::Stage;
use super::steps::drawn;
use crate::harness::PATIENT;

/// What a gateway does wrong with one interval, or with each.
#[derive(Clone, Copy, Debug)]
enum Mistake {
    /// It is cut, and lost.
    Lost,
    /// The first frame of it, as a count that begins too late would have it.
    OneLess,
    /// Told when it is cut, and once more.
    Twice,
    /// Counted to another recipient.
    ToAnother,
    /// Under another purpose.
    ForAnother,
    /// In somebody else's history.
    OfSomebodyElse,
    /// One of its fields is not told.
    WithoutAField,
    /// One that was stripped is told.
    WithAField,
}

/// Fields that are shown at some times and not at others.
const FIELDS: [&str; 2] = ["note", "vitals.heart_rate_bpm"];

impl Mistake {
    const ALL: [Self; 8] = [
        Self::Lost,
        Self::OneLess,
        Self::Twice,
        Self::ToAnother,
        Self::ForAnother,
        Self::OfSomebodyElse,
        Self::WithoutAField,
        Self::WithAField,
    ];

    /// Whether it makes something else of an interval.
    fn changes(self, one: &Disclosure) -> bool {
        let missing = missing(one);
        match self {
            Self::WithoutAField => one.schema == PATIENT && missing.len() < FIELDS.len(),
            Self::WithAField => one.schema == PATIENT && !missing.is_empty(),
            _ => true,
        }
    }

    /// Bends the interval of this number, of all that it changes; whether there is one.
    fn bend(self, told: &mut [Vec<Disclosure>], which: usize) -> bool {
        let lines = |(person, lines): (usize, &Vec<Disclosure>)| {
            let changed = lines.iter().enumerate().filter(|(_, one)| self.changes(one));
            changed.map(|(line, _)| (person, line)).collect::<Vec<_>>()
        };
        let all: Vec<_> = told.iter().enumerate().flat_map(lines).collect();
        let Some((person, line)) = all.get(which % all.len().max(1)).copied() else { return false };
        let people = told.len();
        let one = &mut told[person][line];
        match self {
            Self::Lost => drop(told[person].remove(line)),
            Self::OneLess => one.frames = one.frames.checked_sub(1).expect("what handed nothing over is not told"),
            Self::Twice => {
                let again = one.clone();
                told[person].push(again);
            }
            Self::ToAnother => one.recipient = swapped(&one.recipient, "recipient/clinician", "recipient/researcher"),
            Self::ForAnother => one.purpose = swapped(&one.purpose, super::stage::CARE_TERM, super::stage::RESEARCH_TERM),
            Self::OfSomebodyElse => {
                let moved = told[person].remove(line);
                told[(person + 1) % people].push(moved);
            }
            Self::WithoutAField => {
                let field = one.fields.iter().position(|field| FIELDS.contains(&field.path.as_str())).expect("it changes this one");
                one.fields.remove(field);
            }
            Self::WithAField => {
                let first = one.fields.first().cloned().unwrap_or_default();
                one.fields.push(DisclosedField { path: missing(one)[0].into(), ..first });
            }
        }
        true
    }
}

/// Which of the fields that the play decides about an interval does not tell.
fn missing(one: &Disclosure) -> Vec<&'static str> {
    FIELDS.into_iter().filter(|path| one.fields.iter().all(|field| field.path != *path)).collect()
}

fn swapped(text: &str, one: &str, other: &str) -> String {
    if text.contains(one) { text.replace(one, other) } else { text.replace(other, one) }
}

/// Plays in which each mistake has to be found, and how often it is tried in each.
const PLAYS: u64 = 6;
const INTERVALS: usize = 40;
/// Who reads slowly, or breaks off, may have lost what a history tells, so that not every interval can be held to its last frame, and a
/// play may give no occasion for a mistake: so many plays, and one that is still not found goes unnoticed.
const PLAYS_MAX: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_loses_an_interval_or_miscounts_is_found_by_the_play() {
    let mut player = Player { stage: Arc::new(Stage::set().await), runs: 0 };
    let mut found = [0; Mistake::ALL.len()];
    let mut bent = [0; Mistake::ALL.len()];
    for seed in 101..101 + PLAYS_MAX {
        if seed >= 101 + PLAYS && found.iter().zip(&bent).all(|(found, bent)| is_noticed(*found, *bent)) {
            break;
        }
        player.runs += 1;
        let mut run = play(&player.stage, player.runs, &drawn(seed, 120)).await;
        let (wrong, _) = judge(&run);
        assert_eq!(wrong, Vec::<String>::new(), "as it is, nothing is wrong with the play of seed {seed}");
        let told = run.told.clone();
        for (at, mistake) in Mistake::ALL.into_iter().enumerate() {
            for which in 0..INTERVALS {
                if mistake.bend(&mut run.told, which * 7 + at) {
                    bent[at] += 1;
                    found[at] += usize::from(!histories(&run).is_empty());
                }
                run.told.clone_from(&told);
            }
        }
    }
    for (at, mistake) in Mistake::ALL.into_iter().enumerate() {
        println!("{mistake:?}: found {} times of {}", found[at], bent[at]);
        assert!(is_noticed(found[at], bent[at]), "{mistake:?} goes unnoticed: {} of {}", found[at], bent[at]);
    }
}

/// Tried often enough, and found more often than one time in ten.
const fn is_noticed(found: usize, bent: usize) -> bool {
    bent >= INTERVALS && found * 10 > bent
}
