//! Messages about several subjects, on their way through a lane: each element through its own subject's view, what is around
//! them through nobody's, all of it under the one lock.

use std::sync::Arc;
use std::task::Waker;

use super::{Lane, Mark, Out, REMEMBERED_MAX, Veiling, Veto, Views, refresh};
use crate::gate::uses;
use crate::gate::views::Seen;
use crate::ledger::{Subject, Uses};
use crate::status::Refuse;
use crate::veil::name::UnixMs;
use crate::veil::view::{Elements, Raw, SubjectValue, Whose};

impl Lane {
    /// Sees a message through nobody's view and the views of its elements' subjects, as [`Lane::veil`] does through one.
    pub(in crate::gate::proxy) fn veil_each(
        &self,
        views: &mut Views,
        raw: Raw<'_>,
        due: impl FnOnce(Mark, bool) -> bool,
        (now, waker): (UnixMs, &Waker),
        out: &mut Out,
    ) -> Result<Veiling, Veto> {
        // Not in the middle of a message: positions stay what they are.
        if views.seen.len() >= REMEMBERED_MAX {
            views.forget();
        }
        let nobody = self.place_of(views, None);
        let mandate_generation = self.shared.maker.ledger().mandate_generation();
        views.met += 1;
        let round = views.round;
        let (Some(seen), Some(announcement)) = (views.seen.get_mut(nobody), views.announced.get_mut(nobody)) else {
            return Ok(Veiling::Withheld);
        };
        if !seen.is_current(mandate_generation, now) {
            refresh(&self.shared, &self.ask, seen, announcement, &mut views.shown, now).map_err(Veto::End)?;
        }
        self.use_one(seen, announcement, &mut views.shown, (now, waker))?;
        let taken = seen.uses().to_vec();
        let message = Mark { view: nobody, round, change: announcement.change };
        let nobody_shows = seen.shows_elements();
        let Some(mut around) = seen.lend() else {
            // A key of low order closes it; then the answer to a unary call comes empty.
            if self.side.streams {
                return Ok(Veiling::Withheld);
            }
            return out.hand_out_empty(message);
        };
        let mut space = std::mem::take(&mut views.space);
        let mut met =
            Met { lane: self, views: &mut *views, mandate_generation, now, waker, nobody_shows, marks: Vec::new(), taken, failed: None };
        let veiled = around.apply_each(raw, &mut space, &mut met, !self.side.streams);
        let Met { marks: elements, taken, failed, .. } = met;
        if failed.is_some() || !matches!(veiled, Ok(Some(_))) {
            uses::give_back(&taken);
        }
        if let Some(seen) = views.seen.get_mut(nobody) {
            seen.give_back(around);
        }
        let done = match (failed, veiled) {
            (Some(veto), _) => Err(veto),
            (None, Err(refusal)) => Err(Veto::Message(refusal)),
            // That there was a message would tell of the elements that were left out.
            (None, Ok(None)) => Ok(Veiling::Withheld),
            (None, Ok(Some(veiled))) => match views.announced.get(nobody) {
                None => Ok(Veiling::Withheld),
                Some(announcement) => out.hand_out(&veiled, announcement, message, due).inspect(|_| {
                    elements.iter().filter_map(|mark| views.seen.get(mark.view)).for_each(Seen::count);
                    out.with_elements(elements);
                }),
            },
        };
        views.space = space;
        done
    }
}

/// The elements of one message: whose they are, and through which views they went.
struct Met<'l> {
    lane: &'l Lane,
    views: &'l mut Views,
    mandate_generation: u64,
    now: UnixMs,
    waker: &'l Waker,
    nobody_shows: bool,
    marks: Vec<Mark>,
    /// Uses of counted consents.
    taken: Vec<Arc<Uses>>,
    /// Why nothing can be judged, or not now.
    failed: Option<Veto>,
}

impl Met<'_> {
    fn subject(&mut self, value: SubjectValue) -> Result<Option<Arc<Subject>>, Refuse> {
        if let Some(subject) = self.views.known.get(&value) {
            return Ok(Some(Arc::clone(subject)));
        }
        let Some(subject) = self.lane.subject_of(value.as_bytes())? else { return Ok(None) };
        self.views.known.insert(value, Arc::clone(&subject));
        Ok(Some(subject))
    }
}

impl Elements for Met<'_> {
    fn whose(&mut self, subject: Option<SubjectValue>) -> Whose<'_> {
        let subject = match subject.map_or(Ok(None), |value| self.subject(value)) {
            Ok(subject) => subject,
            Err(refuse) => {
                self.failed = Some(Veto::End(refuse));
                return Whose::Hidden;
            }
        };
        let Some(subject) = subject else {
            return if self.nobody_shows { Whose::Nobody } else { Whose::Hidden };
        };
        let key = Some(subject.did());
        let index = match self.views.by_subject.get(&key) {
            Some(index) => *index,
            None => self.views.enter(key, Some(&subject)),
        };
        let Views { seen, announced, shown, round, met, .. } = &mut *self.views;
        let (Some(seen), Some(announcement)) = (seen.get_mut(index), announced.get_mut(index)) else { return Whose::Hidden };
        let refreshed = match seen.is_current(self.mandate_generation, self.now) {
            true => Ok(()),
            false => refresh(&self.lane.shared, &self.lane.ask, seen, announcement, shown, self.now),
        };
        if let Err(refuse) = refreshed {
            self.failed = Some(Veto::End(refuse));
            return Whose::Hidden;
        }
        let first = announcement.met != *met;
        if first && !seen.uses().is_empty() {
            if let Err(veto) = self.lane.use_one(seen, announcement, shown, (self.now, self.waker)) {
                self.failed = Some(veto);
                return Whose::Hidden;
            }
            self.taken.extend_from_slice(seen.uses());
        }
        let Some(view) = seen.view() else { return Whose::Hidden };
        if first {
            announcement.met = *met;
            self.marks.push(Mark { view: index, round: *round, change: announcement.change });
        }
        Whose::Of(view)
    }
}
