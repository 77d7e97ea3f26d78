//! What is being disclosed: counted in memory by whoever hands frames over, by subject and by what a view lets its recipient have. Nothing
//! here touches the disk; [`super::disclosed`] writes what was cut.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dashmap::DashMap;

use crate::proto::v1::{self, DisclosedField};
use crate::veil::crypto::hash::{lp, sha256};
use crate::veil::name::{Did, Purpose, RecordId, SchemaName, Spiffe, UnixMs};
use crate::world::{Clock, random};

/// The most intervals that are open or wait for the log: no view is made that would count in another one.
pub const INTERVALS_MAX: usize = 1 << 20;
/// With so many, those in which no view counts any more are cut early.
const INTERVALS_MANY: usize = INTERVALS_MAX / 2;

/// What a view lets its recipient have of a subject, as the subject's history tells it.
pub struct Terms {
    key: [u8; 32],
    says: Says,
}

/// What terms are made from.
#[derive(Clone, Debug)]
pub struct Says {
    /// Who receives.
    pub recipient: Spiffe,
    /// What for.
    pub purpose: Purpose,
    /// What is received.
    pub schema: SchemaName,
    /// Of it what is not stripped, as decided.
    pub fields: Arc<[DisclosedField]>,
    /// Which records decided, each once, in order.
    pub records: Vec<RecordId>,
    /// The legal demand that decided, if one did.
    pub warrant: Option<RecordId>,
    /// Until when an order forbids to tell of it.
    pub hidden_until: Option<UnixMs>,
}

impl Terms {
    /// `decided` stands for schema and treatments, so that they are not hashed again for every subject.
    pub fn new(decided: &[u8; 32], says: Says) -> Self {
        let texts = [says.recipient.as_str(), says.purpose.as_str(), says.schema.as_str()];
        let mut bytes = decided.to_vec();
        for text in texts {
            bytes.extend_from_slice(&lp(text.as_bytes()));
            bytes.extend_from_slice(text.as_bytes());
        }
        for record in says.warrant.iter().chain(&says.records) {
            bytes.extend_from_slice(&record.0);
        }
        bytes.push(u8::from(says.warrant.is_some()));
        bytes.extend_from_slice(&says.hidden_until.map_or(i64::MIN, |until| until.0).to_be_bytes());
        Self { key: sha256(&[&bytes]), says }
    }

    /// What they say.
    pub fn says(&self) -> &Says {
        &self.says
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Terms({})", self.says.recipient)
    }
}

/// Frames that were handed over under the same terms, from one instant to another.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    pub(super) did: Did,
    pub(super) terms: Arc<Terms>,
    pub(super) from: UnixMs,
    pub(super) until: UnixMs,
    pub(super) frames: u64,
    pub(super) at_least: bool,
    pub(super) id: [u8; 16],
    /// How many frames its note on disk says; none, where there is no note.
    pub(super) noted: Option<u64>,
}

impl Interval {
    /// As it is told; without a place.
    pub(super) fn disclosure(&self) -> v1::Disclosure {
        let says = self.terms.says();
        let bytes = |record: &RecordId| Bytes::copy_from_slice(&record.0);
        v1::Disclosure {
            id: Bytes::copy_from_slice(&self.id),
            place: Bytes::new(),
            recipient: says.recipient.to_string(),
            purpose: says.purpose.to_string(),
            schema: says.schema.to_string(),
            from_ms: self.from.0,
            until_ms: self.until.0,
            frames: self.frames,
            at_least: self.at_least,
            fields: says.fields.to_vec(),
            records: says.records.iter().map(bytes).collect(),
            warrant: says.warrant.as_ref().map(bytes).unwrap_or_default(),
        }
    }
}

/// How many frames a view handed over.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    /// One more: a load, an addition and a store, and no locked instruction, as nobody else writes.
    #[inline]
    fn one(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An interval that is open.
#[derive(Debug)]
struct Open {
    terms: Arc<Terms>,
    from: UnixMs,
    /// When something was last found to have been counted.
    until: UnixMs,
    frames: u64,
    /// Views that count here, and how much of each is in `frames`.
    views: Vec<(Arc<Count>, u64)>,
    id: [u8; 16],
    noted: Option<u64>,
}

impl Open {
    /// Takes over what was counted.
    fn gather(&mut self, now: UnixMs) {
        for (count, taken) in &mut self.views {
            let counted = count.get();
            if counted != *taken {
                self.frames += counted.wrapping_sub(*taken);
                self.until = self.until.max(now);
            }
            *taken = counted;
        }
    }

    fn as_of(&self, did: Did) -> Interval {
        let Self { from, until, frames, id, noted, .. } = *self;
        Interval { did, terms: Arc::clone(&self.terms), from, until, frames, at_least: false, id, noted }
    }
}

/// All of it.
pub(super) struct Disclosing {
    clock: Arc<Clock>,
    open: DashMap<Did, Vec<Open>>,
    /// Cut, and not in the log.
    waiting: Mutex<Vec<Interval>>,
    count: AtomicUsize,
    most: usize,
    /// What waits is to be logged at the next occasion.
    due: AtomicBool,
    /// Beside it what nobody counts in any more.
    crowded: AtomicBool,
}

/// One view's right to count; what it counted is taken over when it ends.
pub struct Counting {
    count: Arc<Count>,
    did: Did,
    terms: Arc<Terms>,
    of: Arc<Disclosing>,
}

impl Counting {
    /// One frame is handed over. INVARIANT: called under the lock of the stream that the view is of, and nowhere else.
    #[inline]
    pub fn one(&self) {
        self.count.one();
    }

    /// Whether frames under these terms count here.
    pub fn is_under(&self, terms: &Terms) -> bool {
        self.terms.key == terms.key
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.of.end(self);
    }
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counting({})", self.count.get())
    }
}

impl fmt::Debug for Disclosing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disclosing({})", self.count.load(Ordering::Relaxed))
    }
}

impl Disclosing {
    pub(super) fn new(clock: Arc<Clock>, most: usize) -> Self {
        let [due, crowded] = Default::default();
        Self { clock, open: DashMap::new(), waiting: Mutex::default(), count: AtomicUsize::new(0), most, due, crowded }
    }

    fn now(&self) -> UnixMs {
        self.clock.latest()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Interval>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody's view begins to count; none: no more intervals can be counted.
    pub(super) fn begin(self: &Arc<Self>, did: Did, terms: Terms, now: UnixMs) -> Option<Counting> {
        let mut of = self.open.entry(did).or_default();
        let known = of.iter().position(|open| open.terms.key == terms.key);
        if known.is_none() && self.count.load(Ordering::Relaxed) >= self.most {
            drop(of);
            self.open.remove_if(&did, |_, of| of.is_empty());
            return None;
        }
        let at = known.unwrap_or_else(|| {
            let (terms, id) = (Arc::new(terms), random());
            of.push(Open { terms, from: now, until: now, frames: 0, views: Vec::new(), id, noted: None });
            self.more(1);
            of.len() - 1
        });
        let (open, count) = (of.get_mut(at)?, Arc::<Count>::default());
        open.views.push((Arc::clone(&count), 0));
        Some(Counting { count, did, terms: Arc::clone(&open.terms), of: Arc::clone(self) })
    }

    fn more(&self, by: usize) {
        if self.count.fetch_add(by, Ordering::Relaxed) + by >= INTERVALS_MANY.min(self.most / 2) {
            self.crowded.store(true, Ordering::Relaxed);
        }
    }

    fn less(&self, by: usize) {
        self.count.fetch_sub(by, Ordering::Relaxed);
    }

    fn end(&self, counting: &Counting) {
        let now = self.now();
        let Some(mut of) = self.open.get_mut(&counting.did) else { return };
        let Some(at) = of.iter().position(|open| open.terms.key == counting.terms.key) else { return };
        let Some(open) = of.get_mut(at) else { return };
        let Some(view) = open.views.iter().position(|(count, _)| Arc::ptr_eq(count, &counting.count)) else { return };
        open.gather(now);
        open.views.swap_remove(view);
        // Nothing was handed over, and nobody wrote of it: it never was.
        if open.views.is_empty() && open.frames == 0 {
            of.swap_remove(at);
            self.less(1);
        }
        let none = of.is_empty();
        drop(of);
        if none {
            self.open.remove_if(&counting.did, |_, of| of.is_empty());
        }
    }

    /// Cuts what is open of a subject: what is counted from here on is another interval.
    pub(super) fn cut(&self, did: &Did) {
        if let Some(mut of) = self.open.get_mut(did) {
            self.cut_each(*did, &mut of, self.now(), |_| true);
        }
        self.open.remove_if(did, |_, of| of.is_empty());
    }

    /// Cuts everything.
    pub(super) fn cut_all(&self) {
        self.cut_where(|_| true);
    }

    fn cut_where(&self, wanted: impl Fn(&Open) -> bool) {
        let now = self.now();
        self.open.retain(|did, of| {
            self.cut_each(*did, of, now, &wanted);
            !of.is_empty()
        });
    }

    fn cut_each(&self, did: Did, of: &mut Vec<Open>, now: UnixMs, wanted: impl Fn(&Open) -> bool) {
        // Where the disk takes nothing, intervals become longer rather than more.
        let has_room = self.count.load(Ordering::Relaxed) < self.most;
        let mut cut = Vec::new();
        of.retain_mut(|open| {
            if !wanted(open) {
                return true;
            }
            open.gather(now);
            let is_live = !open.views.is_empty();
            if open.frames == 0 {
                (open.from, open.until) = (now, now);
            } else if has_room || !is_live {
                cut.push(open.as_of(did));
                (open.from, open.until, open.frames, open.id, open.noted) = (now, now, 0, random(), None);
                self.more(usize::from(is_live));
                return is_live;
            }
            if !is_live {
                self.less(1);
            }
            is_live
        });
        self.waiting().extend(cut);
    }

    /// Whether what waits is to be logged now, before its time; once.
    pub(super) fn take_due(&self) -> bool {
        let crowded = self.crowded.swap(false, Ordering::Relaxed);
        if crowded {
            self.cut_where(|open| open.views.is_empty());
        }
        self.due.swap(false, Ordering::Relaxed) || crowded
    }

    /// What waits is to be logged at the next occasion.
    pub(super) fn make_due(&self) {
        self.due.store(true, Ordering::Relaxed);
    }

    /// Something that was found on disk.
    pub(super) fn found(&self, intervals: Vec<Interval>) {
        self.more(intervals.len());
        self.waiting().extend(intervals);
        self.make_due();
    }

    /// What is open or waits of a subject, as of now.
    pub(super) fn of(&self, did: &Did) -> Vec<Interval> {
        let (now, mut found) = (self.now(), Vec::new());
        // Open ones first: what is cut meanwhile is found twice, and not nowhere.
        if let Some(mut of) = self.open.get_mut(did) {
            for open in of.iter_mut() {
                open.gather(now);
                found.extend((open.frames > 0).then(|| open.as_of(*did)));
            }
        }
        let waiting = self.waiting();
        found.retain(|open| !waiting.iter().any(|interval| interval.id == open.id));
        found.extend(waiting.iter().filter(|interval| interval.did == *did).cloned());
        found
    }

    /// What notes on disk lack: everything without one, and of the others so many that say the least.
    pub(super) fn unnoted(&self, renewed_max: usize) -> Vec<Interval> {
        let now = self.now();
        let (mut new, mut grown): (Vec<Interval>, Vec<Interval>) = Default::default();
        let mut sort = |interval: Interval| match interval.noted {
            None => new.push(interval),
            Some(noted) if noted < interval.frames => grown.push(interval),
            Some(_) => {}
        };
        // Open ones first: what is cut meanwhile is found among those that wait, and twice is no harm.
        for mut of in self.open.iter_mut() {
            let did = *of.key();
            for open in of.iter_mut() {
                open.gather(now);
                if open.frames > 0 {
                    sort(open.as_of(did));
                }
            }
        }
        self.waiting().iter().cloned().for_each(&mut sort);
        if grown.len() > renewed_max {
            grown.select_nth_unstable_by_key(renewed_max, |interval| interval.noted.unwrap_or_default());
            grown.truncate(renewed_max);
        }
        new.append(&mut grown);
        new
    }

    /// Notes of these are on disk.
    pub(super) fn noted(&self, intervals: &[Interval]) {
        let said: HashMap<[u8; 16], u64> = intervals.iter().map(|interval| (interval.id, interval.frames)).collect();
        for interval in intervals {
            if let Some(mut of) = self.open.get_mut(&interval.did)
                && let Some(open) = of.iter_mut().find(|open| open.id == interval.id)
            {
                open.noted = Some(interval.frames);
            }
        }
        for waiting in self.waiting().iter_mut() {
            if let Some(frames) = said.get(&waiting.id) {
                waiting.noted = Some(*frames);
            }
        }
    }

    /// Puts what waits into an order that does not tell of instants, but for each subject the order that it has.
    pub(super) fn shuffle(&self) {
        let salt: [u8; 32] = random();
        self.waiting().sort_by_cached_key(|interval| sha256(&[&salt, &interval.did.0]));
    }

    /// What waits and has a note, but for these subjects; so many.
    pub(super) fn next(&self, most: usize, but_for: &HashSet<Did>) -> Vec<Interval> {
        let waiting = self.waiting();
        let found = waiting.iter().filter(|interval| interval.noted.is_some() && !but_for.contains(&interval.did));
        found.take(most).cloned().collect()
    }

    /// These are in the log.
    pub(super) fn logged(&self, intervals: &[Interval]) {
        let ids: HashSet<[u8; 16]> = intervals.iter().map(|interval| interval.id).collect();
        let mut waiting = self.waiting();
        let before = waiting.len();
        waiting.retain(|interval| !ids.contains(&interval.id));
        self.less(before - waiting.len());
    }
}
