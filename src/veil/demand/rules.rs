//! The rules: what is taken into a case, and when something may leave.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::case::{Case, Consented, Filed, RECORDS_MAX, RELEASES_MAX};
use super::challenge::Challenge;
use super::decision::{Decision, NoticeDue, Terms};
use super::entry::Record;
use super::head::{Field, Period};
use super::notice::Notice;
use super::refused::Refused;
use super::release::Release;
use super::stage::Stage;
use super::warrant::{Permit, Warrant};
use super::words::{Asks, Outcome, Question, Role, Ruling};
use crate::veil::consent::SKEW_MS_MAX;
use crate::veil::consent::envelope::Verified;
use crate::veil::consent::record::{Consent, Matcher, SignerRole};
use crate::veil::consent::rule::{Effect, Rule};
use crate::veil::name::{Did, RecordId, UnixMs};
use crate::veil::terms::{self, Treatment};

/// How many different persons must sign a decision.
pub const APPROVERS_MIN: usize = 2;

impl Case {
    /// Whether a record is one that the case takes now, from who may write it.
    pub fn check(&self, record: &Record, now: UnixMs) -> Result<(), Refused> {
        let now = self.passed(now);
        if record.head().at.0.saturating_sub(now.0) > SKEW_MS_MAX {
            return Err(Refused::FromTheFuture { now });
        }
        self.check_place(record, now)?;
        self.check_speakers(record)
    }

    /// Whether something may leave now, and what. `Ok` lets a release begin.
    pub fn warrant(&self, now: UnixMs) -> Result<Warrant, Refused> {
        let warrant = self.judge(now)?;
        match warrant.consent {
            Some(consent) if self.begun || !self.releases.is_empty() => Err(Refused::Used(consent)),
            _ => Ok(warrant),
        }
    }

    /// Whether a release that has begun under a warrant may go on.
    pub fn holds(&self, warrant: &Warrant, now: UnixMs) -> Result<(), Refused> {
        let now = self.passed(now);
        if warrant.demand != self.id() {
            return Err(Refused::OtherCase(warrant.demand));
        }
        if warrant.until() <= now {
            return Err(Refused::Over { until: warrant.until() });
        }
        self.judge(now)?;
        match warrant.consent {
            // It was told that it ended, and a consent is for one.
            Some(consent) if !self.releases.is_empty() => Err(Refused::Used(consent)),
            _ => Ok(()),
        }
    }

    /// Whether whoever signed is registered, and for that.
    fn check_speakers(&self, record: &Record) -> Result<(), Refused> {
        let author = record.head().author;
        match record {
            Record::Stage(stage) => match stage.get().question() {
                Question::NoChallenge => self.check_role(author, &[Role::Counsel]),
                Question::Risk => self.check_role(author, &[Role::Counsel, Role::Analyst]),
                Question::Rights => self.check_role(author, &[Role::Analyst]),
            },
            Record::Challenge(_) => self.check_role(author, &[Role::Clerk]),
            Record::Notice(_) if author == self.register.gateway() => Ok(()),
            Record::Notice(_) => self.check_role(author, &[Role::Clerk]),
            Record::Release(_) if author == self.register.gateway() => Ok(()),
            Record::Release(_) => Err(Refused::Unregistered(author)),
            Record::Decision(decision) => {
                // Every signature is an approver's: what nobody answers for has no place under a decision.
                decision.keys().iter().try_for_each(|key| self.check_role(*key, &[Role::Approver]))?;
                self.check_quorum(decision)
            }
        }
    }

    fn check_role(&self, key: Did, roles: &[Role]) -> Result<(), Refused> {
        if self.register.person(&key).is_none() {
            return Err(Refused::Unregistered(key));
        }
        match roles {
            [first, ..] if !roles.iter().any(|role| self.register.has(&key, *role)) => Err(Refused::NoRole(*first)),
            _ => Ok(()),
        }
    }

    /// Whether two different persons signed, one of whom wrote nothing in the case before. Whose key a key is the register says now: of a
    /// key that is gone nobody knows whose it was.
    fn check_quorum(&self, decision: &Verified<Decision>) -> Result<(), Refused> {
        let person = |key: &Did| self.register.person(key).ok_or(Refused::Unregistered(*key));
        let approvers = decision.keys().iter().map(person).collect::<Result<BTreeSet<_>, _>>()?;
        if approvers.len() < APPROVERS_MIN {
            return Err(Refused::TooFewApprovers { have: approvers.len() });
        }
        let authors = self.authors.iter().map(person).collect::<Result<BTreeSet<_>, _>>()?;
        if approvers.is_subset(&authors) { Err(Refused::NoOutsider) } else { Ok(()) }
    }

    /// Whether a record has its place in the case, whoever wrote it.
    pub(super) fn check_place(&self, record: &Record, now: UnixMs) -> Result<(), Refused> {
        if record.demand() != self.id() {
            return Err(Refused::OtherCase(record.demand()));
        }
        if self.has(record.id()) {
            return Err(Refused::TakenBefore);
        }
        match record {
            Record::Stage(stage) => self.check_stage(stage.get()),
            Record::Challenge(challenge) => self.check_challenge(challenge.get()),
            Record::Notice(notice) => self.check_notice(notice.get(), now),
            Record::Decision(decision) => self.check_decision(decision.get(), now),
            Record::Release(release) => self.check_release(release.get()),
        }
    }

    fn check_stage(&self, stage: &Stage) -> Result<(), Refused> {
        if self.decision.is_some() {
            return Err(Refused::Decided);
        }
        if self.stages.len() >= RECORDS_MAX {
            return Err(Refused::TooMany);
        }
        let question = stage.question();
        match (self.answer(question).map(Filed::id), stage.replaces) {
            (None, None) => Ok(()),
            (Some(by), None) => Err(Refused::Answered { question, by }),
            (Some(by), Some(replaces)) if by == replaces => Ok(()),
            (_, Some(replaces)) => Err(Refused::NotInForce(replaces)),
        }
    }

    /// A challenge may come at any time: what it stops is stopped from then on.
    fn check_challenge(&self, challenge: &Challenge) -> Result<(), Refused> {
        if self.challenges.len() >= RECORDS_MAX {
            return Err(Refused::TooMany);
        }
        let Some(replaces) = challenge.replaces else { return Ok(()) };
        match self.challenges.iter().find(|known| !known.replaced && known.id() == replaces) {
            None => Err(Refused::NotInForce(replaces)),
            Some(known) if known.get().result == Ruling::Upheld => Err(Refused::Upheld(replaces)),
            Some(_) => Ok(()),
        }
    }

    /// A clerk may tell at any time, also where a gag was lifted before its end. The gateway waits for the end.
    fn check_notice(&self, notice: &Notice, now: UnixMs) -> Result<(), Refused> {
        if self.notices.len() >= RECORDS_MAX {
            return Err(Refused::TooMany);
        }
        match &self.demand().gag {
            Some(gag) if gag.holds(now) && notice.head.author == self.register.gateway() => Err(Refused::Gagged { until: gag.until }),
            _ => Ok(()),
        }
    }

    pub(super) fn check_consent(&self, consent: &Verified<Consent>) -> Result<(), Refused> {
        let said = consent.get();
        match said.demand {
            Some(demand) if demand == self.id() => {}
            Some(other) => return Err(Refused::OtherCase(other)),
            None => return Err(Refused::NoConsent(consent.id())),
        }
        if self.decision.is_some() {
            return Err(Refused::Decided);
        }
        let subjects = self.subjects.as_ref().ok_or(Refused::UnknownSubjects)?;
        // Never a delegate's, and never of somebody else.
        if said.by.role != SignerRole::Subject || !subjects.contains(&said.subject) {
            return Err(Refused::NoConsent(consent.id()));
        }
        // An older one that comes again does not undo what came after it.
        match self.consents.get(&said.subject) {
            Some(known) if said.seq <= known.record.get().seq => Err(Refused::TakenBefore),
            Some(_) | None => Ok(()),
        }
    }

    fn check_release(&self, release: &Release) -> Result<(), Refused> {
        if self.releases.len() >= RELEASES_MAX {
            return Err(Refused::TooMany);
        }
        let decision = self.decision.as_ref().ok_or(Refused::Undecided)?;
        let terms = decision.get().release.as_ref().ok_or(Refused::Declined(decision.get().outcome))?;
        if release.decision != decision.id() {
            return Err(Refused::NotInForce(release.decision));
        }
        if !all_within(&terms.fields, &release.fields) {
            return Err(Refused::Beyond("fields"));
        }
        if terms.period.covers(&release.period) { Ok(()) } else { Err(Refused::Beyond("period")) }
    }

    fn check_decision(&self, decision: &Decision, now: UnixMs) -> Result<(), Refused> {
        if self.decision.is_some() {
            return Err(Refused::Decided);
        }
        let named: BTreeSet<RecordId> = decision.stages.iter().copied().collect();
        let in_force: BTreeSet<RecordId> = self.stages.iter().filter(|stage| !stage.replaced).map(Filed::id).collect();
        if named != in_force {
            return Err(Refused::OtherStages);
        }
        match &decision.release {
            None => Ok(()),
            Some(terms) => self.check_terms(decision.outcome, terms, now),
        }
    }

    /// Whether this may be released at all: what the three stages, or a consent, allow of what was demanded.
    fn check_terms(&self, outcome: Outcome, terms: &Terms, now: UnixMs) -> Result<(), Refused> {
        let demand = self.demand();
        if demand.asks != Asks::LiveData || demand.everybody {
            return Err(Refused::NeverReleased { asks: demand.asks, everybody: demand.everybody });
        }
        let subjects = self.subjects.as_ref().ok_or(Refused::UnknownSubjects)?;
        if let Some(challenge) = self.challenged() {
            return Err(Refused::Challenged(challenge.id()));
        }
        match terms.consent {
            None => self.check_stages_met()?,
            Some(id) => check_within_consent(terms, self.consented(id, now)?.record.get())?,
        }
        if !all_within(&demand.fields, &terms.fields) {
            return Err(Refused::Beyond("fields"));
        }
        if demand.period.is_some_and(|period| !period.covers(&terms.period)) {
            return Err(Refused::Beyond("period"));
        }
        if terms.period.until <= now {
            return Err(Refused::Over { until: terms.period.until });
        }
        // A demand without an end is never complied with in full, and neither is one about others than who consented.
        let whole = all_within(&terms.fields, &demand.fields) && demand.period == Some(terms.period);
        let of_all = terms.consent.is_none() || subjects.len() == 1;
        if (outcome == Outcome::Comply) != (whole && of_all) {
            return Err(Refused::NotThatOutcome(outcome));
        }
        match &terms.notice {
            NoticeDue::BeforeRelease => Ok(()),
            NoticeDue::Deferred { until, .. } => {
                let gag_ends = demand.gag.as_ref().and_then(|gag| gag.until);
                if gag_ends == Some(*until) && now < *until { Ok(()) } else { Err(Refused::NoDeferral) }
            }
        }
    }

    fn check_stages_met(&self) -> Result<(), Refused> {
        let unmet = |question: &&Question| !self.answer(**question).is_some_and(|stage| stage.get().met);
        match Question::ALL.iter().find(unmet) {
            None => Ok(()),
            Some(question) => Err(Refused::NotMet(*question)),
        }
    }

    /// A consent that is in force: neither ended nor expired. One that begins later is, too; nothing leaves before.
    fn consented(&self, id: RecordId, now: UnixMs) -> Result<&Consented, Refused> {
        let in_force = |consented: &&Consented| consented.record.id() == id && !consented.ended && now < consented.record.get().expires;
        self.consents.values().find(in_force).ok_or(Refused::NoConsent(id))
    }

    /// What may leave now, uses aside.
    fn judge(&self, now: UnixMs) -> Result<Warrant, Refused> {
        let now = self.passed(now);
        let filed = self.decision.as_ref().ok_or(Refused::Undecided)?;
        let terms = filed.get().release.as_ref().ok_or(Refused::Declined(filed.get().outcome))?;
        self.check_quorum(&filed.record)?;
        if let Some(challenge) = self.challenged() {
            return Err(Refused::Challenged(challenge.id()));
        }
        if self.releases.len() >= RELEASES_MAX {
            return Err(Refused::TooMany);
        }
        let listed = self.subjects.as_ref().ok_or(Refused::UnknownSubjects)?;
        let Period { mut from, mut until } = terms.period;
        let consented = terms.consent.map(|id| self.consented(id, now)).transpose()?.map(|consented| consented.record.get());
        let subjects = match consented {
            None => Arc::clone(listed),
            Some(consent) => {
                from = from.max(consent.not_before.unwrap_or(from));
                until = until.min(consent.expires);
                Arc::new(BTreeSet::from([consent.subject]))
            }
        };
        match &terms.notice {
            _ if !self.notices.is_empty() => {}
            // Nobody was told, as nobody may be yet: when that ends, it does not go on untold.
            NoticeDue::Deferred { until: told, .. } if now < *told => until = until.min(*told),
            NoticeDue::Deferred { .. } | NoticeDue::BeforeRelease => return Err(Refused::Untold),
        }
        if until <= now {
            return Err(Refused::Over { until });
        }
        if now < from {
            return Err(Refused::NotYet { from });
        }
        Ok(Warrant {
            demand: self.id(),
            decision: filed.id(),
            consent: terms.consent,
            subjects,
            fields: terms.fields.as_slice().into(),
            permits: permits(terms, consented).into(),
            recipient: terms.recipient.clone(),
            recipient_key: consented.and_then(|consent| consent.recipients.first()).and_then(|recipient| recipient.key),
            period: Period { from, until },
        })
    }
}

/// Whether each of `inner` is one of `outer`, or below one.
fn all_within(outer: &[Field], inner: &[Field]) -> bool {
    inner.iter().all(|field| outer.iter().any(|around| around.covers(field)))
}

fn check_within_consent(terms: &Terms, consent: &Consent) -> Result<(), Refused> {
    let to_them = consent.recipients.iter().any(|recipient| matches!(&recipient.who, Matcher::Spiffe(id) if *id == terms.recipient));
    if !to_them {
        return Err(Refused::Beyond("recipient"));
    }
    let permitted = |field: &Field| consent.rules.iter().any(|rule| is_for(rule, field));
    if !terms.fields.iter().all(permitted) {
        return Err(Refused::Beyond("fields"));
    }
    Ok(())
}

fn is_for(rule: &Rule, field: &Field) -> bool {
    rule.effect == Effect::Permit && rule.selector.as_ref().is_some_and(|path| terms::covers(path.as_str(), field.path.as_str()))
}

/// The released fields as rules: kept, or, where the subject consented, as the subject said.
fn permits(terms: &Terms, consent: Option<&Consent>) -> Vec<Permit> {
    let permit = |field: &Field, treatment, recipient_holds_key| Permit {
        schema: field.schema.clone(),
        rule: Rule {
            effect: Effect::Permit,
            category: None,
            sensitivity: None,
            selector: Some(field.path.clone()),
            treatment,
            recipient_holds_key,
        },
    };
    match consent {
        None => terms.fields.iter().map(|field| permit(field, Treatment::Keep, false)).collect(),
        Some(consent) => {
            let rules = |field| consent.rules.iter().filter(move |rule| is_for(rule, field)).map(move |rule| (field, rule));
            terms.fields.iter().flat_map(rules).map(|(field, rule)| permit(field, rule.treatment, rule.recipient_holds_key)).collect()
        }
    }
}
