//! What a person who watches a case would write down, and the rules in plain words.

use std::collections::BTreeSet;

use super::super::testing::{A, A_TOO, B, C, CLERK, FROM, GAG_ENDS, GATEWAY_KEY, STRANGER, UNTIL};
use super::super::words::{Asks, Ruling};
use crate::veil::name::UnixMs;

/// When the subject's own consent expires.
pub(super) const CONSENT_ENDS: i64 = (GAG_ENDS + UNTIL) / 2;
/// When records come, at the most.
pub(super) const INSTANTS: &[i64] = &[0, FROM, GAG_ENDS, CONSENT_ENDS, UNTIL];
/// When it is asked whether something may leave: before and at every end.
pub(super) const PROBES: &[i64] = &[0, FROM - 1, FROM, GAG_ENDS - 1, GAG_ENDS, CONSENT_ENDS - 1, CONSENT_ENDS, UNTIL - 1, UNTIL];

/// A key, and with it a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Who {
    Clerk,
    A,
    /// A's other key.
    AToo,
    B,
    C,
    Stranger,
    Gateway,
}

/// What a demand is like.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) asks: Asks,
    pub(super) everybody: bool,
    /// Whether the list of subjects was handed in.
    pub(super) lists: bool,
    pub(super) gag: Option<Option<i64>>,
    /// Whether it has no period.
    pub(super) endless: bool,
    pub(super) subjects: &'static [u8],
    /// When records come: the scope goes that far.
    pub(super) instants: &'static [i64],
    /// How many records are about challenges.
    pub(super) challenges: usize,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Act {
    Stage {
        n: u8,
        by: Who,
        met: bool,
    },
    Replace {
        n: u8,
        by: Who,
        met: bool,
    },
    Decide {
        says: Says,
        by: &'static [Who],
    },
    Challenge {
        by: Who,
        result: Ruling,
        replace: bool,
    },
    Notice(Who),
    Consent(Gives),
    /// The subject's consent is withdrawn.
    Withdraw,
    /// A release under the consent begins.
    Begin,
    /// What was released is written down: within the decision, or not.
    Release {
        by: Who,
        within: bool,
    },
    Wait,
}

/// What a decision says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Says {
    Refuse,
    Comply,
    /// To the end of the gag.
    Deferred,
    Part,
    OtherFields,
    Longer,
    /// Names a stage that is not in force.
    Stale,
    ByConsent,
    ByConsentDeferred,
    PartByConsent,
    /// All of it, by a consent to a part of it.
    ByNarrowConsent,
}

/// Which consent comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Gives {
    /// The subject's own, to all that is demanded; the second of the chain.
    Own,
    /// The subject's own, to a part of it; the first.
    Narrow,
    /// The subject's own, for another demand.
    ForAnother,
    /// For this demand, of somebody whom it is not about.
    OfAnother,
    /// An ordinary one.
    Ordinary,
    /// An ordinary one that a delegate signed.
    Delegates,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    /// How late it is.
    pub(super) at: i64,
    /// How late it was when something last was taken.
    pub(super) latest: i64,
    /// By question: whether its condition is met, and whether that was said a second time.
    answers: [Option<(bool, bool)>; 3],
    /// Persons who wrote something before the decision.
    wrote: u8,
    /// Persons who told; the clerk files the demand, too.
    told: u8,
    /// In order: by whom, the result, whether it took the place of the one before, and whether one took its place.
    challenges: Vec<(Who, Ruling, bool, bool)>,
    consent: Option<Gives>,
    withdrawn: bool,
    pub(super) decided: Option<Decided>,
    begun: bool,
    released: bool,
}

/// A decision that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Decided {
    pub(super) says: Says,
    /// Who signed.
    pub(super) persons: u8,
    /// Who had written until then.
    pub(super) wrote: u8,
    /// Whether all three conditions were met then.
    pub(super) met: bool,
}

impl Kind {
    /// When the next record may come.
    fn next(&self, at: i64) -> Option<i64> {
        self.instants.iter().copied().find(|instant| *instant > at)
    }
}

impl Who {
    pub(super) fn key(self) -> u8 {
        match self {
            Self::Clerk => CLERK,
            Self::A => A,
            Self::AToo => A_TOO,
            Self::B => B,
            Self::C => C,
            Self::Stranger => STRANGER,
            Self::Gateway => GATEWAY_KEY,
        }
    }

    /// The person, as a bit: A's keys are one.
    fn person(self) -> u8 {
        match self {
            Self::Clerk => 1,
            Self::A | Self::AToo => 2,
            Self::B => 4,
            Self::C => 8,
            Self::Stranger => 16,
            Self::Gateway => 32,
        }
    }

    fn answers_questions(self) -> bool {
        matches!(self, Self::A | Self::AToo | Self::B)
    }

    fn approves(self) -> bool {
        matches!(self, Self::A | Self::AToo | Self::B | Self::C)
    }

    fn is_clerk(self) -> bool {
        matches!(self, Self::Clerk | Self::C)
    }
}

impl Says {
    pub(super) const ALL: &'static [Self] = &[
        Self::Refuse,
        Self::Comply,
        Self::Deferred,
        Self::Part,
        Self::OtherFields,
        Self::Longer,
        Self::Stale,
        Self::ByConsent,
        Self::ByConsentDeferred,
        Self::PartByConsent,
        Self::ByNarrowConsent,
    ];

    pub(super) fn rests_on_consent(self) -> bool {
        matches!(self, Self::ByConsent | Self::ByConsentDeferred | Self::PartByConsent | Self::ByNarrowConsent)
    }

    /// When what it releases is over.
    pub(super) fn until(self) -> i64 {
        if self == Self::Longer { UNTIL + 1 } else { UNTIL }
    }

    fn is_deferred(self) -> bool {
        matches!(self, Self::Deferred | Self::ByConsentDeferred)
    }

    /// Whether it says that less is released than was demanded.
    fn says_part(self) -> bool {
        matches!(self, Self::Part | Self::PartByConsent)
    }
}

impl Gives {
    pub(super) const ALL: &'static [Self] = &[Self::Own, Self::Narrow, Self::ForAnother, Self::OfAnother, Self::Ordinary, Self::Delegates];
}

impl Facts {
    pub(super) fn told(&self) -> bool {
        self.told != 0
    }

    /// Whether the scope goes that far: each question is answered at most twice.
    pub(super) fn is_in_scope(&self, kind: &Kind, act: Act) -> bool {
        match act {
            Act::Replace { n, .. } => !self.answers[usize::from(n) - 1].is_some_and(|(_, twice)| twice),
            Act::Challenge { .. } => self.challenges.len() < kind.challenges,
            Act::Wait => kind.next(self.at).is_some(),
            Act::Withdraw => self.consent.is_some() && !self.withdrawn,
            _ => true,
        }
    }

    /// THE PROMISE. Something may leave at an instant if, and only if …
    pub(super) fn may_leave(&self, kind: &Kind, probe: i64) -> bool {
        // … and a consent lets out one release …
        let unused = !self.begun && !self.released;
        let once = self.decided.as_ref().is_some_and(|decided| decided.says.rests_on_consent());
        self.may(kind, probe) && (unused || !once)
    }

    fn may(&self, kind: &Kind, probe: i64) -> bool {
        // … time that has passed stays passed …
        let now = probe.max(self.latest);
        // … live data of named persons is demanded …
        let may_at_all = kind.asks == Asks::LiveData && !kind.everybody && kind.lists;
        // … it was decided to release it …
        let Some(decided) = &self.decided else { return false };
        let releases = decided.says != Says::Refuse;
        // … by two persons or more, one of whom wrote nothing in the case before …
        let quorum = decided.persons.count_ones() >= 2 && decided.persons & !decided.wrote != 0;
        // … all three conditions were met, or the subject's own consent for this demand is in force …
        let consents = self.consent == Some(Gives::Own) && !self.withdrawn && now < CONSENT_ENDS;
        let grounds = if decided.says.rests_on_consent() { consents } else { decided.met };
        // … nobody challenges it, or has done so with success …
        let unchallenged = self.unchallenged();
        // … whom it is about was told, or may not be told yet …
        let told = self.told() || (decided.says.is_deferred() && kind.gag == Some(Some(GAG_ENDS)) && now < GAG_ENDS);
        // … and it is the time for it.
        let in_time = FROM <= now && now < decided.says.until();
        may_at_all && releases && quorum && grounds && unchallenged && told && in_time
    }

    /// Whether what has begun may go on, until what it was told when it began.
    pub(super) fn may_go_on(&self, kind: &Kind, probe: i64, until: UnixMs) -> bool {
        let now = probe.max(self.latest);
        self.may(kind, probe) && !self.released && crate::veil::consent::testing::after(now) < until
    }

    fn unchallenged(&self) -> bool {
        self.challenges.iter().all(|(_, result, _, replaced)| *replaced || *result == Ruling::Dismissed)
    }

    /// Whether the case takes it.
    pub(super) fn takes(&self, kind: &Kind, act: Act) -> bool {
        let open = self.decided.is_none();
        match act {
            Act::Wait | Act::Withdraw => true,
            Act::Stage { n, by, .. } => open && by.answers_questions() && self.answers[usize::from(n) - 1].is_none(),
            Act::Replace { n, by, .. } => open && by.answers_questions() && self.answers[usize::from(n) - 1].is_some(),
            Act::Notice(by) => {
                let gagged = kind.gag.is_some_and(|until| until.is_none_or(|until| self.at < until));
                let may = by.is_clerk() || (by == Who::Gateway && !gagged);
                may && self.told & by.person() == 0
            }
            Act::Challenge { by, result, replace } => {
                let before = self.challenges.last();
                let placed = if replace {
                    before.is_some_and(|(_, result, _, _)| *result != Ruling::Upheld)
                } else {
                    // The very same is no new one.
                    !self.challenges.iter().any(|known| (known.0, known.1, known.2) == (by, result, false))
                };
                by.is_clerk() && placed
            }
            Act::Consent(gives) => {
                // Of two the newer counts, and an older one that comes again does not.
                let newer = match gives {
                    Gives::Own => self.consent != Some(Gives::Own),
                    Gives::Narrow => self.consent.is_none(),
                    Gives::ForAnother | Gives::OfAnother | Gives::Ordinary | Gives::Delegates => false,
                };
                open && newer && kind.lists && !kind.everybody && !kind.asks.is_redesign()
            }
            Act::Begin => self.may_leave(kind, self.at) && self.decided.as_ref().is_some_and(|decided| decided.says.rests_on_consent()),
            Act::Release { by, within } => {
                let releases = self.decided.as_ref().is_some_and(|decided| decided.says != Says::Refuse);
                // The very same is no new one.
                by == Who::Gateway && within && releases && !self.released
            }
            Act::Decide { says, by } => open && self.is_approved(by) && self.may_decide(kind, says),
        }
    }

    fn is_approved(&self, by: &[Who]) -> bool {
        let persons: BTreeSet<u8> = by.iter().map(|who| who.person()).collect();
        by.iter().all(|who| who.approves()) && persons.len() >= 2 && persons.iter().any(|person| self.wrote_or_filed() & person == 0)
    }

    fn wrote_or_filed(&self) -> u8 {
        self.wrote | Who::Clerk.person()
    }

    fn all_met(&self) -> bool {
        self.answers.iter().all(|answer| answer.is_some_and(|(met, _)| met))
    }

    fn may_decide(&self, kind: &Kind, says: Says) -> bool {
        let now = self.at;
        if says == Says::Refuse {
            return true;
        }
        let may_at_all = kind.asks == Asks::LiveData && !kind.everybody && kind.lists && self.unchallenged() && now < says.until();
        let grounds = if says.rests_on_consent() {
            self.consent == Some(Gives::Own) && !self.withdrawn && now < CONSENT_ENDS && says != Says::ByNarrowConsent
        } else {
            self.all_met()
        };
        let within = match says {
            Says::OtherFields | Says::Stale => false,
            Says::Longer => kind.endless,
            _ => true,
        };
        // The word for it is the right one.
        let whole = !kind.endless && says != Says::Part && (!says.rests_on_consent() || kind.subjects.len() == 1);
        let named = whole != (says.says_part() || says == Says::Longer);
        let notice = !says.is_deferred() || (kind.gag == Some(Some(GAG_ENDS)) && now < GAG_ENDS);
        may_at_all && grounds && within && named && notice
    }

    /// Writes down what was taken.
    pub(super) fn happened(&mut self, kind: &Kind, act: Act) {
        if act != Act::Wait {
            self.latest = self.at;
        }
        let open = self.decided.is_none();
        let mut wrote = |by: Who| {
            if open {
                self.wrote |= by.person();
            }
        };
        match act {
            Act::Stage { n, by, met } => {
                wrote(by);
                self.answers[usize::from(n) - 1] = Some((met, false));
            }
            Act::Replace { n, by, met } => {
                wrote(by);
                self.answers[usize::from(n) - 1] = Some((met, true));
            }
            Act::Notice(by) => {
                wrote(by);
                self.told |= by.person();
            }
            Act::Challenge { by, result, replace } => {
                wrote(by);
                if let (true, Some(before)) = (replace, self.challenges.last_mut()) {
                    before.3 = true;
                }
                self.challenges.push((by, result, replace, false));
            }
            Act::Consent(gives) => {
                self.consent = Some(gives);
                self.withdrawn = false;
            }
            Act::Withdraw => self.withdrawn = true,
            Act::Begin => self.begun = true,
            Act::Release { .. } => self.released = true,
            Act::Wait => self.at = kind.next(self.at).unwrap_or(self.at),
            Act::Decide { says, by } => {
                let persons = by.iter().fold(0, |persons, who| persons | who.person());
                self.decided = Some(Decided { says, persons, wrote: self.wrote_or_filed(), met: self.all_met() });
            }
        }
    }
}
