//! A lane: one direction of one method on one client connection, for one purpose. It has a view for each subject; all calls of
//! that kind share it, and the barrier of a withdrawal settles it.

mod out;
mod several;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use prost::Message;

pub(super) use self::out::Out;
use super::table::MessageSide;
use crate::gate::ask::Ask;
use crate::gate::shared::Shared;
use crate::gate::streams::Settle;
use crate::gate::uses;
use crate::gate::views::Seen;
use crate::ledger::disclosing::Counting;
use crate::ledger::{StreamSettled, Subject, Took};
use crate::proto::v1;
use crate::status::Refuse;
use crate::veil::name::{Did, Spiffe, StreamId, UnixMs, ViewId};
use crate::veil::outcome::Refusal;
use crate::veil::schema::ANNOUNCEMENT_FIELD;
use crate::veil::view::{Raw, Space, SubjectValue};
use crate::veil::wire::push_len_prefixed;
use crate::world::random;

/// How many subjects a lane remembers; after that it begins anew.
const REMEMBERED_MAX: usize = 10_000;

/// One direction of one method on one connection, for one purpose.
#[derive(Debug)]
pub(in crate::gate) struct Lane {
    id: StreamId,
    pub(super) ask: Ask,
    /// Whose values subjects are.
    source: Spiffe,
    pub(super) side: Arc<MessageSide>,
    pub(super) shared: Arc<Shared>,
    state: Mutex<Views>,
}

/// The views of a lane, used under its lock.
#[derive(Debug, Default)]
pub(super) struct Views {
    handed_over: u64,
    seen: Vec<Seen>,
    /// By view: its announcement in band, and the epoch that was handed over last in a unary call.
    announced: Vec<Announcement>,
    by_subject: HashMap<Option<Did>, usize>,
    known: HashMap<SubjectValue, Arc<Subject>>,
    /// Messages about one subject come in runs: whom the last was about, and the value and the place of it.
    asked: SubjectValue,
    last: Option<Last>,
    last_place: Option<(Option<Did>, usize)>,
    space: Space,
    shown: u32,
    /// Grows when everything is forgotten: positions from before mean nothing any more.
    round: u64,
    /// Counts messages about several subjects.
    met: u64,
}

#[derive(Debug)]
struct Last {
    value: SubjectValue,
    subject: Arc<Subject>,
    /// Once a message of theirs was seen through it.
    view: Option<usize>,
}

#[derive(Debug, Default)]
struct Announcement {
    /// Records of field 18001.
    records: Vec<u8>,
    /// Counts changes.
    change: u64,
    /// The change that calls have handed over.
    handed_over: u64,
    /// The last message about several subjects in which it was met.
    met: u64,
}

/// Which view a message went through, and as of what: what is half-way out may go on only as long as that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    view: usize,
    round: u64,
    change: u64,
}

/// What became of a message.
pub(super) enum Veiling {
    /// It is among those that go out, and says there through which views; `announced`: the announcement is with it.
    Done { announced: bool },
    /// Nothing of it may be seen, and not that there is one.
    Withheld,
}

impl Views {
    fn forget(&mut self) {
        self.seen.clear();
        self.announced.clear();
        self.by_subject.clear();
        self.known.clear();
        (self.last, self.last_place) = (None, None);
        self.round += 1;
    }

    fn enter(&mut self, key: Option<Did>, subject: Option<&Arc<Subject>>) -> usize {
        let index = self.seen.len();
        self.seen.push(Seen::new(subject.cloned(), ViewId(random())));
        self.announced.push(Announcement::default());
        self.by_subject.insert(key, index);
        index
    }
}

impl Lane {
    /// Opens a lane; the barrier settles it from here on.
    pub(super) fn open(shared: Arc<Shared>, ask: Ask, source: Spiffe, side: Arc<MessageSide>) -> Arc<Self> {
        let id = StreamId(random());
        let lane = Arc::new(Self { id, ask, source, side, shared: Arc::clone(&shared), state: Mutex::default() });
        let settled: std::sync::Weak<Self> = Arc::downgrade(&lane);
        shared.streams.enter(id, settled);
        lane
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Views> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom a value that this lane's source uses stands for.
    pub(super) fn subject_of(&self, value: &[u8]) -> Result<Option<Arc<Subject>>, Refuse> {
        self.shared.subject_of(&self.source, value)
    }

    /// Whom a message is about: nobody, where it does not say so or they are not enrolled; then nobody has consented.
    pub(super) fn subject_in(&self, views: &mut Views, raw: Raw<'_>) -> Result<Option<Arc<Subject>>, Veto> {
        let Some(path) = self.ask.schema.subject() else { return Ok(None) };
        match raw.read_subject(path, &mut views.asked) {
            Ok(()) => {}
            Err(Refusal::NoSubject) => return Ok(None),
            Err(refusal) => return Err(Veto::Message(refusal)),
        }
        if let Some(last) = views.last.as_ref().filter(|last| last.value == views.asked) {
            return Ok(Some(Arc::clone(&last.subject)));
        }
        let known = match views.known.get(&views.asked) {
            Some(known) => Some(Arc::clone(known)),
            None => self.subject_of(views.asked.as_bytes()).map_err(Veto::End)?,
        };
        let Some(subject) = known else { return Ok(None) };
        views.known.entry(views.asked.clone()).or_insert_with(|| Arc::clone(&subject));
        views.last = Some(Last { value: views.asked.clone(), subject: Arc::clone(&subject), view: None });
        Ok(Some(subject))
    }

    /// Sees a message through the view of whom the last one was about, if it is about them: they are looked for in the same walk.
    /// `None`: nothing is known of it yet.
    pub(super) fn veil_as_last(
        &self,
        views: &mut Views,
        raw: Raw<'_>,
        due: impl FnOnce(Mark, bool) -> bool,
        now: UnixMs,
        out: &mut Out,
    ) -> Option<Result<Veiling, Veto>> {
        let mandate_generation = self.shared.maker.ledger().mandate_generation();
        let Views { seen, announced: announcements, space, round, last: Some(Last { value, view: Some(index), .. }), .. } = views else {
            return None;
        };
        let index = *index;
        let (seen, announcement) = (seen.get_mut(index)?, announcements.get(index)?);
        if !seen.is_current(mandate_generation, now) || !seen.uses().is_empty() {
            return None;
        }
        let (view, counting) = seen.view_and_count()?;
        let veiled = view.apply_about(raw, value, space)?;
        let mark = Mark { view: index, round: *round, change: announcement.change };
        Some(out.hand_out(&veiled, announcement, mark, due).inspect(|_| counting.into_iter().for_each(Counting::one)))
    }

    /// Sees a message through the subject's view and appends what comes out, with its prefix. `due` is asked whether this call
    /// is to have the announcement now, given that calls of the lane have (or have not) handed it over.
    pub(super) fn veil(
        &self,
        views: &mut Views,
        raw: Raw<'_>,
        subject: Option<&Arc<Subject>>,
        due: impl FnOnce(Mark, bool) -> bool,
        (now, waker): (UnixMs, &Waker),
        out: &mut Out,
    ) -> Result<Veiling, Veto> {
        let index = self.place_of(views, subject);
        if let (Some(last), Some(subject)) = (&mut views.last, subject)
            && Arc::ptr_eq(&last.subject, subject)
        {
            last.view = Some(index);
        }
        let mandate_generation = self.shared.maker.ledger().mandate_generation();
        let Views { seen, announced: announcements, space, shown, round, .. } = views;
        let (Some(seen), Some(announcement)) = (seen.get_mut(index), announcements.get_mut(index)) else { return Ok(Veiling::Withheld) };
        if !seen.is_current(mandate_generation, now) {
            refresh(&self.shared, &self.ask, seen, announcement, shown, now).map_err(Veto::End)?;
        }
        if !seen.uses().is_empty() {
            self.use_one(seen, announcement, shown, (now, waker))?;
        }
        let mark = Mark { view: index, round: *round, change: announcement.change };
        let taken = seen.uses().to_vec();
        let Some((view, counting)) = seen.view_and_count() else {
            // A key of low order closes views that are expected, too: then the message comes empty.
            if !self.ask.expected {
                return Ok(Veiling::Withheld);
            }
            return out.hand_out_empty(mark);
        };
        let veiled = view.apply(raw, space).map_err(|refusal| {
            uses::give_back(&taken);
            Veto::Message(refusal)
        })?;
        out.hand_out(&veiled, announcement, mark, due).inspect(|_| counting.into_iter().for_each(Counting::one))
    }

    /// Takes one use of each counted consent that the view rests on; where they are used up, makes the view anew.
    fn use_one(
        &self,
        seen: &mut Seen,
        announcement: &mut Announcement,
        shown: &mut u32,
        (now, waker): (UnixMs, &Waker),
    ) -> Result<(), Veto> {
        while seen.is_open() && !seen.uses().is_empty() {
            match uses::take(seen.uses(), self.shared.maker.ledger(), waker) {
                Took::One => return Ok(()),
                Took::Wait { .. } => return Err(Veto::Wait),
                // What is made now does not rest on what is used up.
                Took::Spent => {
                    seen.expire();
                    refresh(&self.shared, &self.ask, seen, announcement, shown, now).map_err(Veto::End)?;
                }
            }
        }
        Ok(())
    }

    /// Whether what is left of the last message may still be handed over.
    pub(super) fn holds(&self, views: &mut Views, out: &Out, now: UnixMs) -> bool {
        out.views().all(|mark| self.still_holds(views, mark, now))
    }

    fn still_holds(&self, views: &mut Views, mark: Mark, now: UnixMs) -> bool {
        let mandate_generation = self.shared.maker.ledger().mandate_generation();
        let Views { seen, announced, shown, round, .. } = views;
        let (Some(seen), Some(announcement)) = (seen.get_mut(mark.view), announced.get_mut(mark.view)) else { return false };
        if mark.round == *round && !seen.is_current(mandate_generation, now) {
            // A change of standing that changes nothing for this recipient leaves the view as it was.
            let refreshed = refresh(&self.shared, &self.ask, seen, announcement, shown, now);
            return refreshed.is_ok() && announcement.change == mark.change;
        }
        mark.round == *round && announcement.change == mark.change
    }

    /// Counts messages that the connection takes now.
    pub(super) fn hand_over(&self, views: &mut Views, messages: u64) {
        views.handed_over += messages;
        self.shared.counters.messages_out.add(messages);
    }

    /// The announcement has left with a message.
    pub(super) fn note_announced(&self, views: &mut Views, mark: Mark) {
        if mark.round == views.round
            && let Some(announcement) = views.announced.get_mut(mark.view)
        {
            announcement.handed_over = announcement.handed_over.max(mark.change);
        }
    }

    fn place_of(&self, views: &mut Views, subject: Option<&Arc<Subject>>) -> usize {
        let key = subject.map(|subject| subject.did());
        if let Some((_, index)) = views.last_place.as_ref().filter(|(last, _)| *last == key) {
            return *index;
        }
        let index = match views.by_subject.get(&key) {
            Some(index) => *index,
            None => {
                if views.seen.len() >= REMEMBERED_MAX {
                    views.forget();
                }
                views.enter(key, subject)
            }
        };
        views.last_place = Some((key, index));
        index
    }

    fn settled_in(&self, views: &Views, view: u32) -> StreamSettled {
        StreamSettled {
            stream: self.id,
            recipient: self.ask.listener.spiffe.clone(),
            purpose: self.ask.purpose.clone(),
            last_handover: views.handed_over,
            view,
        }
    }
}

/// Why a message does not go out.
pub(super) enum Veto {
    /// The message can't be judged.
    Message(Refusal),
    /// Nothing can.
    End(Refuse),
    /// It waits until uses of a consent are reserved; the waker is called then.
    Wait,
}

fn refresh(
    shared: &Shared,
    ask: &Ask,
    seen: &mut Seen,
    announcement: &mut Announcement,
    shown: &mut u32,
    now: UnixMs,
) -> Result<(), Refuse> {
    let showed = seen.shows_elements();
    let refreshed = shared.maker.refresh(ask, seen, shown, now);
    if ask.schema.is_about_several() && seen.shows_elements() != showed {
        // Nobody's view is made either way: whether elements go through it has changed.
        announcement.change += 1;
    }
    if let Some(view) = refreshed? {
        announcement.change += 1;
        announcement.records = records(&view);
    }
    Ok(())
}

fn records(view: &v1::View) -> Vec<u8> {
    let mut records = Vec::new();
    for key in &view.keys {
        push_len_prefixed(&mut records, ANNOUNCEMENT_FIELD, &key.encode_to_vec());
    }
    records
}

impl Settle for Lane {
    /// INVARIANT: messages are judged and handed over under the lock, and generations were bumped before: who comes after this
    /// finds them.
    fn settle(&self, subject: Option<&Did>) -> Option<StreamSettled> {
        let views = self.lock();
        let view = match subject {
            Some(subject) => views.by_subject.get(&Some(*subject)).and_then(|index| views.seen.get(*index)).map(|seen| seen.number)?,
            None => 0,
        };
        (subject.is_none() || view > 0).then(|| self.settled_in(&views, view))
    }

    /// Calls have nowhere to say it: what is on its way is looked at when the connection takes more.
    fn tell(&self) {}

    fn settled(&self, subject: &Did) -> Option<StreamSettled> {
        let views = self.lock();
        let seen = views.by_subject.get(&Some(*subject)).and_then(|index| views.seen.get(*index));
        seen.filter(|seen| seen.is_open()).map(|seen| self.settled_in(&views, seen.number))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.streams.leave(&self.id);
    }
}
