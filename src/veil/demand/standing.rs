//! Where a case stands: what is missing, whose move it is, and when time does something.

use super::case::Case;
use super::refused::Refused;
use super::words::{Outcome, Question, Ruling};
use crate::veil::name::{RecordId, UnixMs};
use crate::veil::terms::words;

words! {
    /// How far a case is.
    State {
        /// Not all three questions are answered.
        Received = "received",
        /// They are, and nothing is decided.
        Reviewed = "reviewed",
        /// It was decided that something is released.
        Approved = "approved",
        /// It was decided that nothing is.
        Refused = "refused",
    }
}

words! {
    /// Whose move it is.
    Whose {
        /// A clerk's.
        Clerk = "clerk",
        /// Counsel's.
        Counsel = "counsel",
        /// Counsel's, or an analyst's.
        CounselOrAnalyst = "counsel or analyst",
        /// An analyst's.
        Analyst = "analyst",
        /// Two approvers'.
        Approvers = "approvers",
        /// A court's.
        Court = "court",
        /// The gateway's, by itself.
        Gateway = "gateway",
    }
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The list of whom it is about.
    Subjects,
    /// The answer to a question.
    Answer(Question),
    /// A decision.
    Decision,
    /// The ruling on a challenge.
    Ruling(RecordId),
    /// Word to whom it is about.
    Notice,
    /// Word to whom it is about, when nobody forbids it any more.
    NoticeAt(UnixMs),
}

/// Where a case stands at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How far it is.
    pub state: State,
    /// What was decided.
    pub outcome: Option<Outcome>,
    /// What is missing, in the order in which it is due.
    pub missing: Vec<Missing>,
    /// Until when a release may begin, or why not.
    pub release: Result<UnixMs, Refused>,
    /// Whether nobody may be told of it, so that it is not disclosed either.
    pub gagged: bool,
    /// When time next changes something; [`UnixMs::NEVER`]: never.
    pub next: UnixMs,
}

impl Missing {
    /// Whose move it is.
    pub const fn whose(self) -> Whose {
        match self {
            Self::Subjects | Self::Notice => Whose::Clerk,
            Self::Answer(Question::NoChallenge) => Whose::Counsel,
            Self::Answer(Question::Risk) => Whose::CounselOrAnalyst,
            Self::Answer(Question::Rights) => Whose::Analyst,
            Self::Decision => Whose::Approvers,
            Self::Ruling(_) => Whose::Court,
            Self::NoticeAt(_) => Whose::Gateway,
        }
    }
}

impl Case {
    /// Where the case stands.
    pub fn standing(&self, now: UnixMs) -> Standing {
        let now = self.passed(now);
        Standing {
            state: self.state(),
            outcome: self.decision.as_ref().map(|decision| decision.get().outcome),
            missing: self.missing(now),
            release: self.warrant(now).map(|warrant| warrant.until()),
            gagged: self.demand().is_gagged(now),
            next: self.next_change(now),
        }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        match &self.decision {
            Some(decision) if decision.get().outcome.releases() => State::Approved,
            Some(_) => State::Refused,
            None if Question::ALL.iter().all(|question| self.answer(*question).is_some()) => State::Reviewed,
            None => State::Received,
        }
    }

    /// Whether the gateway tells now whom it is about: a gag has ended, and nobody has told them.
    pub fn tells(&self, now: UnixMs) -> bool {
        self.untold_until().is_some_and(|until| until <= self.passed(now))
    }

    /// The end of a gag after which the gateway tells, where nobody has told them yet.
    pub fn untold_until(&self) -> Option<UnixMs> {
        let demand = self.demand();
        let ends = demand.gag.as_ref().and_then(|gag| gag.until);
        ends.filter(|_| demand.about.is_some() && self.notices.is_empty())
    }

    fn missing(&self, now: UnixMs) -> Vec<Missing> {
        let demand = self.demand();
        let mut missing = Vec::new();
        if demand.about.is_some() && self.subjects.is_none() {
            missing.push(Missing::Subjects);
        }
        if self.decision.is_none() {
            let unanswered = Question::ALL.iter().filter(|question| demand.asks.is_data() && self.answer(**question).is_none());
            missing.extend(unanswered.map(|question| Missing::Answer(*question)));
        }
        let open = self.challenged().filter(|challenge| challenge.get().result == Ruling::Pending);
        missing.extend(open.map(|challenge| Missing::Ruling(challenge.id())));
        if self.decision.is_none() {
            missing.push(Missing::Decision);
        }
        if demand.about.is_some() && self.notices.is_empty() {
            missing.push(match (demand.is_gagged(now), self.untold_until()) {
                (_, Some(until)) => Missing::NoticeAt(until),
                (true, None) | (false, None) => Missing::Notice,
            });
        }
        missing
    }

    /// When time next changes something: a gag ends, a release begins or is over, a consent does.
    fn next_change(&self, now: UnixMs) -> UnixMs {
        let gag = self.demand().gag.as_ref().and_then(|gag| gag.until);
        let terms = self.decision.as_ref().and_then(|decision| decision.get().release.as_ref());
        let consents = self.consents.values().map(|consented| consented.record.get());
        let instants = gag
            .into_iter()
            .chain(terms.into_iter().flat_map(|terms| [terms.period.from, terms.period.until]))
            .chain(consents.flat_map(|consent| [Some(consent.expires), consent.not_before]).flatten());
        instants.filter(|at| *at > now).min().unwrap_or(UnixMs::NEVER)
    }
}
