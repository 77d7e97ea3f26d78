//! Who may see what, from nothing but what was handed in and when: the whole history, gone through from its beginning for each
//! question. Shares no code with the gateway, not even the names of states.

use std::collections::BTreeSet;
use std::time::Instant;

use twinveil::veil::name::RecordId;

use super::steps::Says;

const HOUR_MS: i64 = 3_600_000;
/// The gateway's clock counts whole milliseconds.
const ROUNDING_MS: i64 = 2;

/// What was taken.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Granted(Box<Granted>),
    Delegated,
    /// Of a delegation, and all that was granted under it.
    Ended {
        id: RecordId,
    },
    Withdrawn {
        ids: Vec<RecordId>,
    },
}

impl Fact {
    /// How often a counted grant may be used.
    pub(super) fn uses(&self) -> Option<(RecordId, u64)> {
        match self {
            Self::Granted(granted) => Some((granted.id, granted.says.uses?)),
            Self::Delegated | Self::Ended { .. } | Self::Withdrawn { .. } => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Granted {
    pub(super) id: RecordId,
    pub(super) says: Says,
    pub(super) from_ms: i64,
    pub(super) expires_ms: i64,
    pub(super) replaces: Option<RecordId>,
    /// The delegation.
    pub(super) under: Option<RecordId>,
}

/// Something that came into force between two instants, which nobody knows better: when it was handed in, and when it was answered.
#[derive(Clone, Debug)]
pub(super) struct During<T> {
    pub(super) what: T,
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// The gateway's clock: what it said once, and by how much it was moved on.
#[derive(Debug)]
pub(super) struct Time {
    pub(super) began: Instant,
    pub(super) began_ms: i64,
    pub(super) moves: Vec<During<i64>>,
}

impl Time {
    /// What the clock may have said between two instants, given that nothing was handed in or answered between them.
    fn between(&self, from: Instant, until: Instant) -> BTreeSet<i64> {
        let mut said = BTreeSet::new();
        for moved in known(&self.moves, from)..=begun(&self.moves, until) {
            let by: i64 = self.moves[..moved].iter().map(|moved| moved.what).sum();
            let at = |instant: Instant| self.began_ms + by + instant.duration_since(self.began).as_millis() as i64;
            said.extend([at(from) - ROUNDING_MS, at(until) + ROUNDING_MS]);
        }
        said
    }
}

/// How many were answered by then.
fn known<T>(all: &[During<T>], at: Instant) -> usize {
    all.iter().take_while(|one| one.until <= at).count()
}

/// How many were handed in by then.
fn begun<T>(all: &[During<T>], at: Instant) -> usize {
    all.iter().take_while(|one| one.from <= at).count()
}

/// When a message was handed over, as far as anybody knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Instant,
    pub(super) until: Instant,
    /// How many facts were in force by then for certain.
    pub(super) facts: usize,
}

impl Window {
    pub(super) fn between(from: Instant, until: Instant) -> Self {
        Self { from, until: until.max(from), facts: 0 }
    }
}

/// What may be shown: nothing, not even that there is something; or the number, and these of the rest.
pub(super) type Shown = Option<u8>;

/// All that a person has said, in order.
#[derive(Debug, Default)]
pub(super) struct History(pub(super) Vec<During<Fact>>);

impl History {
    /// All that may be shown to a recipient for a purpose in a window. `spent`: where counted consents were used up, too, which nobody
    /// knows here; only then, where `Some(true)`.
    pub(super) fn possible(&self, to: (u8, u8), window: Window, time: &Time, spent: Option<bool>) -> BTreeSet<Shown> {
        let mut cuts = BTreeSet::from([window.from, window.until]);
        let edges = self.0.iter().flat_map(|fact| [fact.from, fact.until]);
        let moves = time.moves.iter().flat_map(|moved| [moved.from, moved.until]);
        cuts.extend(edges.chain(moves).filter(|at| (window.from..=window.until).contains(at)));
        let cuts: Vec<Instant> = cuts.into_iter().collect();
        let mut possible = BTreeSet::new();
        for at in 0..cuts.len() {
            let (from, until) = (cuts[at], cuts.get(at + 1).copied().unwrap_or(cuts[at]));
            let least = known(&self.0, from).max(window.facts);
            for facts in least..=begun(&self.0, until).max(least) {
                for now_ms in time.between(from, until) {
                    for spent in spent.map_or(vec![true, false], |spent| vec![spent]) {
                        possible.extend(self.shown(facts, to, now_ms, spent));
                    }
                }
            }
        }
        possible
    }

    /// The counted grants that may have permitted something in a window.
    pub(super) fn counted(&self, to: (u8, u8), window: Window) -> Vec<&Granted> {
        let facts = self.0[..begun(&self.0, window.until)].iter();
        let counted = facts.filter_map(|fact| match &fact.what {
            Fact::Granted(granted) if granted.says.uses.is_some() && is_for(granted, to) => Some(&**granted),
            _ => None,
        });
        counted.collect()
    }

    /// What is shown after so many facts; where several counted consents may or may not be used up, each way.
    fn shown(&self, facts: usize, to: (u8, u8), now_ms: i64, spent: bool) -> Vec<Shown> {
        let facts: Vec<&Fact> = self.0[..facts].iter().map(|fact| &fact.what).collect();
        let grants = || facts.iter().filter_map(|fact| if let Fact::Granted(granted) = fact { Some(&**granted) } else { None });
        let replaced = |id: RecordId| grants().any(|other| other.replaces == Some(id));
        let lasts = |grant: &Granted| grant.from_ms <= now_ms && now_ms < grant.expires_ms && !replaced(grant.id);
        let over = |grant: &Granted| {
            facts.iter().any(|fact| match fact {
                Fact::Withdrawn { ids } => ids.contains(&grant.id),
                Fact::Ended { id } => grant.under == Some(*id),
                Fact::Granted(_) | Fact::Delegated => false,
            })
        };
        let open = |grant: &Granted| !grant.says.hours || (8..16).contains(&now_ms.div_euclid(HOUR_MS).rem_euclid(24));
        // Where the person has spoken themselves, nobody speaks for them.
        let spoke = grants().any(|grant| is_for(grant, to) && grant.under.is_none() && lasts(grant) && !over(grant));
        let heard: Vec<&Granted> =
            grants().filter(|grant| is_for(grant, to) && lasts(grant) && (grant.under.is_none() || !spoke)).collect();
        let forbidden = heard.iter().filter(|grant| !grant.says.refuses).fold(0, |all, grant| all | grant.says.forbids);
        let permits: Vec<_> = heard.into_iter().filter(|grant| !grant.says.refuses && !over(grant) && open(grant)).collect();
        let (counted, free): (Vec<_>, Vec<_>) = permits.into_iter().partition(|grant| grant.says.uses.is_some());
        let ways = if spent { 1 } else { 1 << counted.len().min(6) };
        let all = (0..ways).map(|way: u32| {
            let left = counted.iter().enumerate().filter(|(at, _)| way >> at & 1 == 1).map(|(_, grant)| grant);
            let permits: Vec<_> = free.iter().chain(left).collect();
            let permitted = permits.iter().fold(0, |all, grant| all | grant.says.permits);
            (!permits.is_empty()).then_some(permitted & !forbidden)
        });
        all.collect()
    }
}

fn is_for(grant: &Granted, (recipient, purpose): (u8, u8)) -> bool {
    grant.says.recipients & recipient != 0 && grant.says.purposes & purpose != 0
}
