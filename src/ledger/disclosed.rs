//! What was disclosed goes on the record: noted every few seconds so that a crash loses little, and logged when its interval is over. All
//! of it off the way of frames; `src/manual/disclosure.md` says what is promised.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message;

use super::disclosing::{Counting, Interval, Says, Terms};
use super::{Ledger, OpenError, Receipt, Refused, Subject};
use crate::proto::v1;
use crate::store::{Batch, DisclosedRow, NoteMark, Noted};
use crate::veil::crypto::hash::sha256;
use crate::veil::merkle::leaf::{Act, Leaf, Salt};
use crate::veil::merkle::place::Place;
use crate::veil::name::{Did, Purpose, RecordId, SchemaName, Spiffe, UnixMs};
use crate::world::{self, random};

/// So many notes or disclosures are written together: whoever hands a record in meanwhile waits for no more.
const TOGETHER_MAX: usize = 1_024;
/// So many notes that grew are written at a time.
const RENEWED_MAX: usize = 1_024;

/// A disclosure as its subject is shown it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The bytes that the log commits to.
    pub bytes: Vec<u8>,
    /// What they say.
    pub disclosure: v1::Disclosure,
    /// Its place among the subject's.
    pub place: Place,
    /// That it is in the log.
    pub receipt: Receipt,
}

/// A disclosure as it rests.
struct AtRest {
    hidden_until: UnixMs,
    place: Place,
    bytes: Vec<u8>,
}

impl AtRest {
    fn write(&self) -> Vec<u8> {
        [&self.hidden_until.0.to_be_bytes()[..], &self.place.bytes(), &self.bytes].concat()
    }

    fn read(plain: &[u8]) -> Option<Self> {
        let (hidden_until, rest) = plain.split_first_chunk::<8>()?;
        let (place, bytes) = Place::read(rest)?;
        Some(Self { hidden_until: UnixMs(i64::from_be_bytes(*hidden_until)), place, bytes: bytes.to_vec() })
    }

    /// The number and hash that the next one stands behind.
    fn next(&self) -> (u64, [u8; 32]) {
        (self.place.number.saturating_add(1), sha256(&[&self.bytes]))
    }
}

const CHANGED: Refused = Refused::Unread { fact: None, code: "TV-D05" };

impl Ledger {
    /// A view of a subject begins to count what it hands over; none: no more can be counted, and nothing may be handed over.
    pub fn begin_counting(&self, did: Did, terms: Terms, now: UnixMs) -> Option<Counting> {
        self.disclosing.begin(did, terms, now)
    }

    /// Notes what is being disclosed, and that nothing before is missing. Call it every few seconds.
    pub(super) fn note(&self, now: UnixMs, mark: Option<NoteMark>) -> Result<(), Refused> {
        let mut stopped = self.recording();
        // A tick that comes late takes nothing back.
        if *stopped {
            return Ok(());
        }
        *stopped = mark.is_some_and(|mark| mark.stopped);
        // The last word is about all.
        let renewed_max = if mark.is_some_and(|mark| mark.stopped) { usize::MAX } else { RENEWED_MAX };
        self.note_all(now, mark, renewed_max)
    }

    fn recording(&self) -> MutexGuard<'_, bool> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_all(&self, now: UnixMs, mark: Option<NoteMark>, renewed_max: usize) -> Result<(), Refused> {
        let unnoted = self.disclosing.unnoted(renewed_max);
        let mut parts = unnoted.chunks(TOGETHER_MAX).peekable();
        if parts.peek().is_none() && mark.is_some() {
            return self.note_some(&[], now, mark);
        }
        while let Some(part) = parts.next() {
            self.note_some(part, now, mark.filter(|_| parts.peek().is_none()))?;
            self.disclosing.noted(part);
        }
        Ok(())
    }

    fn note_some(&self, part: &[Interval], now: UnixMs, noted: Option<NoteMark>) -> Result<(), Refused> {
        let note = |interval: &Interval| {
            let hidden_until = interval.terms.says().hidden_until.unwrap_or(UnixMs(i64::MIN));
            let mut plain = [&interval.did.0[..], &hidden_until.0.to_be_bytes(), &interval.disclosure().encode_to_vec()].concat();
            (interval.id, self.rest_key.seal_note(&interval.id, &mut plain, &mut world::entropy()))
        };
        let mut batch = Batch { under_way: part.iter().map(note).collect(), noted, ..Batch::default() };
        let mut writer = self.sure_writer()?;
        self.commit(&mut writer, &mut batch, now, &[]).map(drop)
    }

    /// At a start: what was not stopped in good order leaves a gap, and what was under way is logged as far as it is known.
    pub(super) fn find_disclosures(&self) -> Result<(), OpenError> {
        // A clock that is behind stops decisions; that there is a gap is so all the same.
        let now = self.clock.latest();
        let mark = self.store.noted()?;
        let stopped = mark.is_some_and(|mark| mark.stopped);
        let gap = mark.filter(|mark| !mark.stopped).map(|mark| (mark.at, now.max(mark.at)));
        let known = self.store.clock()?.unwrap_or(now);
        let mut found = Vec::new();
        for (id, sealed) in self.store.notes()? {
            let plain = self.rest_key.open_note(&id, &sealed);
            let interval = plain.and_then(|plain| interval_of(&id, &plain));
            let mut interval = interval.ok_or(OpenError::Store(crate::store::StoreError::NotAsLeft))?;
            if !stopped {
                (interval.at_least, interval.until) = (true, known.max(interval.until));
            }
            found.push(interval);
        }
        self.disclosing.found(found);
        let noted = Some(NoteMark { at: now, stopped: false, gap });
        self.store.commit(&self.rest_key, &Batch { noted, ..Batch::default() })?;
        Ok(())
    }

    /// Logs what is due: everything where an interval is over on the clock, else what can't wait. `refused` says how often what was
    /// refused since the process began. Call it every few seconds.
    pub fn log_disclosures(&self, refused: impl FnOnce() -> Vec<(&'static str, u64)>) -> Result<(), Refused> {
        let now = self.clock.latest();
        let period = now.0.div_euclid(self.config.disclosure_ms.max(1));
        let is_over = self.period.swap(period, std::sync::atomic::Ordering::Relaxed) != period;
        if is_over {
            self.disclosing.cut_all();
        }
        if !self.disclosing.take_due() && !is_over {
            return Ok(());
        }
        let refusals = if is_over { self.log_refusals(&refused()) } else { Ok(()) };
        let logged = self.log_waiting(now);
        if logged.is_err() {
            self.disclosing.make_due();
        }
        // What was refused is counted on, and told with the next interval.
        logged.and(refusals)
    }

    /// Logs everything: nothing is handed over any more.
    pub fn end_disclosures(&self) -> Result<(), Refused> {
        let now = self.clock.latest();
        self.disclosing.cut_all();
        let logged = self.log_waiting(now);
        // Also where they could not be logged: they are noted, and nothing is missing.
        self.note(now, Some(NoteMark { at: now, stopped: true, gap: None }))?;
        logged
    }

    fn log_waiting(&self, now: UnixMs) -> Result<(), Refused> {
        let _alone = self.recording();
        // INVARIANT: what is logged was noted before. So a note that is gone says that its disclosure is in the log.
        self.note_all(now, None, 0)?;
        self.disclosing.shuffle();
        let (mut unread, mut last) = (HashSet::new(), None);
        loop {
            let some = self.disclosing.next(TOGETHER_MAX, &unread);
            if some.is_empty() {
                break;
            }
            last = self.log_some(&some, now, &mut unread)?.or(last);
            let done: Vec<_> = some.into_iter().filter(|interval| !unread.contains(&interval.did)).collect();
            self.disclosing.logged(&done);
        }
        match last {
            Some(leaf) => self.logged(leaf).map(drop),
            None => Ok(()),
        }
    }

    /// The number of the last leaf. Who can't be read is told, and waits.
    fn log_some(&self, some: &[Interval], now: UnixMs, unread: &mut HashSet<Did>) -> Result<Option<u64>, Refused> {
        let mut heads: HashMap<(Did, Option<RecordId>), (u64, [u8; 32])> = HashMap::new();
        let mut batch = Batch::default();
        let mut writer = self.sure_writer()?;
        // A write that failed may have come to the disk all the same.
        let ids: Vec<_> = some.iter().map(|interval| interval.id).collect();
        let under_way = self.store.under_way(&ids).map_err(Refused::Unavailable)?;
        for interval in some.iter().zip(under_way).filter_map(|(interval, is_there)| is_there.then_some(interval)) {
            let (did, warrant) = (interval.did, interval.terms.says().warrant);
            if unread.contains(&did) {
                continue;
            }
            let head = heads.get(&(did, warrant)).copied().map_or_else(|| self.head(&did, warrant), Ok);
            let (subject, (number, before)) = match (self.subject(&did), head) {
                (Ok(Some(subject)), Ok(head)) => (subject, head),
                (Err(refused @ Refused::Unavailable(_)), _) | (_, Err(refused @ Refused::Unavailable(_))) => return Err(refused),
                _ => {
                    tracing::error!("what was disclosed of a subject waits: its records can't be read");
                    unread.insert(did);
                    continue;
                }
            };
            let place = Place::behind(number, before, random());
            let disclosure = v1::Disclosure { place: Bytes::copy_from_slice(&place.commitment()), ..interval.disclosure() };
            let hidden_until = interval.terms.says().hidden_until.unwrap_or(UnixMs(i64::MIN));
            let at_rest = AtRest { hidden_until, place, bytes: disclosure.encode_to_vec() };
            let next = at_rest.next();
            batch.leaves.push(Noted { leaf: subject.leaf(Act::Disclosure, now, &RecordId(next.1)), of: None });
            let sealed = self.rest_key.seal_disclosed(&did, &mut at_rest.write(), &mut world::entropy());
            batch.disclosed.push(DisclosedRow { did, under_warrant: warrant.is_some(), id: interval.id, sealed });
            heads.insert((did, warrant), next);
        }
        let Some(more) = batch.leaves.len().checked_sub(1) else { return Ok(None) };
        Ok(Some(self.commit(&mut writer, &mut batch, now, &[])? + more as u64))
    }

    /// The number and hash that a subject's next disclosure stands behind.
    fn head(&self, did: &Did, warrant: Option<RecordId>) -> Result<(u64, [u8; 32]), Refused> {
        let Some(warrant) = warrant else {
            let last = self.store.last_disclosed(did, false).map_err(Refused::Unavailable)?;
            return last.map_or(Ok((0, [0; 32])), |sealed| Ok(self.open_disclosed(did, &sealed)?.next()));
        };
        // Few demands, and few hours each.
        for (_, sealed) in self.store.disclosed_of(did, true, 0, usize::MAX).map_err(Refused::Unavailable)?.into_iter().rev() {
            let at_rest = self.open_disclosed(did, &sealed)?;
            if v1::Disclosure::decode(at_rest.bytes.as_slice()).is_ok_and(|disclosure| disclosure.warrant[..] == warrant.0) {
                return Ok(at_rest.next());
            }
        }
        Ok((0, [0; 32]))
    }

    fn open_disclosed(&self, did: &Did, sealed: &[u8]) -> Result<AtRest, Refused> {
        self.rest_key.open_disclosed(did, sealed).and_then(|plain| AtRest::read(&plain)).ok_or(CHANGED)
    }

    /// What was disclosed of a subject, that no order hides at `now` and `shows` lets through, whose entry is number `from` or later; in the
    /// order of the log, `most` of it.
    pub fn disclosed(
        &self,
        did: &Did,
        from: u64,
        most: usize,
        now: UnixMs,
        shows: impl Fn(&v1::Disclosure) -> bool,
    ) -> Result<Vec<Shown>, Refused> {
        let Some(subject) = self.subject(did)? else { return Ok(Vec::new()) };
        let mut found: Vec<(u64, AtRest, v1::Disclosure)> = Vec::new();
        for under_warrant in [false, true] {
            let (mut from, mut of_these) = (from, 0);
            while of_these < most {
                let rows = self.store.disclosed_of(did, under_warrant, from, TOGETHER_MAX).map_err(Refused::Unavailable)?;
                let Some((last, _)) = rows.last() else { break };
                from = last.saturating_add(1);
                for (leaf, sealed) in rows {
                    let at_rest = self.open_disclosed(did, &sealed)?;
                    let disclosure = v1::Disclosure::decode(at_rest.bytes.as_slice()).map_err(|_| CHANGED)?;
                    if of_these < most && at_rest.hidden_until <= now && shows(&disclosure) {
                        of_these += 1;
                        found.push((leaf, at_rest, disclosure));
                    }
                }
            }
        }
        found.sort_by_key(|(leaf, ..)| *leaf);
        found.truncate(most);
        found.into_iter().map(|(leaf, at_rest, disclosure)| self.shown(&subject, leaf, at_rest, disclosure)).collect()
    }

    fn shown(&self, subject: &Subject, leaf: u64, at_rest: AtRest, disclosure: v1::Disclosure) -> Result<Shown, Refused> {
        let receipt = self.receipt(subject, RecordId(sha256(&[&at_rest.bytes])), leaf)?;
        Ok(Shown { bytes: at_rest.bytes, disclosure, place: at_rest.place, receipt })
    }

    /// What is counted of a subject and not in the log yet, without what an order hides at `now`; the oldest first.
    pub fn under_way(&self, did: &Did, now: UnixMs, shows: impl Fn(&v1::Disclosure) -> bool) -> Vec<v1::Disclosure> {
        let mut found = self.disclosing.of(did);
        found.retain(|interval| interval.terms.says().hidden_until.is_none_or(|until| until <= now));
        found.sort_by_key(|interval| interval.from);
        found.iter().map(Interval::disclosure).filter(|disclosure| shows(disclosure)).collect()
    }

    /// Times in which the gateway did not stop in good order, so that something may be missing.
    pub fn gaps(&self) -> Result<Vec<(UnixMs, UnixMs)>, Refused> {
        self.store.gaps().map_err(Refused::Unavailable)
    }

    /// Logs how often what was refused since the last time, if anything was. `totals`: by code, since the start of the process.
    pub fn log_refusals(&self, totals: &[(&'static str, u64)]) -> Result<(), Refused> {
        let now = self.clock.latest();
        // Where a write fails and comes to the disk all the same, they are told twice rather than not at all.
        let mut known = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let before = |code: &str| known.counts.get(code).copied().unwrap_or_default();
        let counts =
            totals.iter().map(|(code, total)| v1::RefusedCount { code: (*code).to_owned(), count: total.saturating_sub(before(code)) });
        let counts: Vec<_> = counts.filter(|counted| counted.count > 0).collect();
        let leaf = if counts.is_empty() {
            None
        } else {
            let id = Bytes::copy_from_slice(&random::<16>());
            let object = v1::Refusals { id, from_ms: known.from.unwrap_or(now).0, until_ms: now.0, counts }.encode_to_vec();
            let leaf = Leaf::new(Act::Refusals, now, &Salt::OPEN, &RecordId(sha256(&[&object])));
            let mut batch = Batch { leaves: vec![Noted { leaf, of: None }], refusals: Some(object), ..Batch::default() };
            let mut writer = self.sure_writer()?;
            Some(self.commit(&mut writer, &mut batch, now, &[])?)
        };
        (known.from, known.counts) = (Some(now), totals.iter().copied().collect());
        leaf.map_or(Ok(()), |leaf| self.logged(leaf).map(drop))
    }

    /// What was refused, interval by interval, as the bytes that entries of the log commit to, each with the number of its entry: from
    /// there on, `most` of it.
    pub fn refusal_objects(&self, from: u64, most: usize) -> Result<Vec<(u64, Vec<u8>)>, Refused> {
        let mut rows = self.store.refusals(from, most).map_err(Refused::Unavailable)?;
        // Others will be there when they can be found in the log.
        let logged = self.log.size();
        rows.retain(|(leaf, _)| *leaf < logged);
        Ok(rows)
    }
}

/// What was logged of refusals.
#[derive(Debug, Default)]
pub(super) struct Logged {
    from: Option<UnixMs>,
    counts: HashMap<&'static str, u64>,
}

impl Logged {
    /// Nothing was, since then.
    pub(super) fn since(from: UnixMs) -> Self {
        Self { from: Some(from), counts: HashMap::new() }
    }
}

/// An interval that a note tells of: whoever counted in it is gone.
fn interval_of(id: &[u8], plain: &[u8]) -> Option<Interval> {
    let (did, rest) = plain.split_first_chunk::<32>()?;
    let (hidden_until, rest) = rest.split_first_chunk::<8>()?;
    let v1::Disclosure { recipient, purpose, schema, from_ms, until_ms, frames, fields, records, warrant, .. } =
        v1::Disclosure::decode(rest).ok()?;
    let record = |record: &Bytes| Some(RecordId(record[..].try_into().ok()?));
    let hidden_until = UnixMs(i64::from_be_bytes(*hidden_until));
    let says = Says {
        recipient: Spiffe::parse(&recipient).ok()?,
        purpose: Purpose::new(purpose),
        schema: SchemaName::new(schema),
        fields: fields.into(),
        records: records.iter().map(record).collect::<Option<_>>()?,
        warrant: if warrant.is_empty() { None } else { Some(record(&warrant)?) },
        hidden_until: (hidden_until.0 != i64::MIN).then_some(hidden_until),
    };
    Some(Interval {
        did: Did(*did),
        terms: Arc::new(Terms::new(&[0; 32], says)),
        from: UnixMs(from_ms),
        until: UnixMs(until_ms),
        frames,
        at_least: false,
        id: id.try_into().ok()?,
        noted: Some(frames),
    })
}

#[cfg(test)]
#[path = "disclosed_tests.rs"]
mod tests;
