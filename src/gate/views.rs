//! Makes views: judges, compiles (programs are shared by everybody whose decision is the same), binds keys, and words the
//! announcement. What a view was made from is remembered, so that one atomic load tells that it is still current.

use std::sync::Arc;

use dashmap::DashMap;

use super::ask::{Ask, Through};
use super::live::Live;
use super::words::{disclosed, words};
use crate::client::announce;
use crate::judge::Judgement;
use crate::ledger::disclosing::Counting;
use crate::ledger::{Ledger, Subject, Uses};
use crate::proto::v1::DisclosedField;
use crate::proto::{intoto, v1};
use crate::status::Refuse;
use crate::veil::consent::obligations::Obligations;
use crate::veil::crypto::hash::sha256;
use crate::veil::crypto::pseudonym::{self, Domain};
use crate::veil::crypto::seal::Suite;
use crate::veil::crypto::sign::SignKey;
use crate::veil::name::{Fingerprint, Origin, SealKey, UnixMs, ViewId};
use crate::veil::policy::{Decision, Holders};
use crate::veil::schema::Schema;
use crate::veil::view::{Bindings, BindingsSource, Program, View};
use crate::world::entropy;

/// How many programs are kept; those in use live on in their views.
const PROGRAMS_MAX: usize = 4_096;

/// What every view of a gateway has in common.
#[derive(Debug)]
pub struct ViewMaker {
    live: Arc<Live>,
    ledger: Arc<Ledger>,
    origin: Origin,
    sign: Arc<SignKey>,
    suite: Suite,
    epoch_ms_max: i64,
    rotation_ms: i64,
    programs: DashMap<[u8; 32], Made>,
}

/// A program, and what it lets through in words.
#[derive(Clone, Debug)]
pub(super) struct Made {
    program: Arc<Program>,
    pub(super) fields: Arc<[DisclosedField]>,
}

/// Settings of a [`ViewMaker`].
#[derive(Debug)]
pub struct ViewSettings {
    /// The gateway's name.
    pub origin: Origin,
    /// Signs announcements.
    pub sign: Arc<SignKey>,
    /// Of sealed groups.
    pub suite: Suite,
    /// How long an epoch key serves, in milliseconds.
    pub epoch_ms_max: i64,
    /// How long a pseudonym serves, in milliseconds.
    pub rotation_ms: i64,
}

/// One subject's view in a stream, and what it was made from.
#[derive(Debug)]
pub struct Seen {
    /// Whom it is of.
    pub subject: Option<Arc<Subject>>,
    /// Its number in the stream; 0 until it opens for the first time, so that numbers tell nothing of subjects who are hidden.
    pub number: u32,
    view: Option<View>,
    /// Whether frames (or elements) flow for themselves, and not only because a message is expected.
    delivers: bool,
    id: ViewId,
    epoch: u64,
    generation: u64,
    mandate_generation: u64,
    /// Of the rules that it was judged by.
    rules: u64,
    fingerprint: Fingerprint,
    valid_until: UnixMs,
    keys: Vec<Vec<SealKey>>,
    /// What the recipient was told that it takes upon itself.
    obligations: Vec<Obligations>,
    /// Of each, every message that is handed over takes one.
    uses: Vec<Arc<Uses>>,
    /// Every frame of the subject that is handed over through the view counts here.
    pub(super) counting: Option<Counting>,
    /// Bumped per change of standing or by time; says why in words.
    reason: &'static str,
}

impl Seen {
    /// A view that was not made yet.
    pub fn new(subject: Option<Arc<Subject>>, id: ViewId) -> Self {
        Self {
            subject,
            number: 0,
            view: None,
            delivers: false,
            id,
            epoch: 0,
            generation: u64::MAX,
            mandate_generation: u64::MAX,
            rules: 0,
            fingerprint: Fingerprint([0; 32]),
            valid_until: UnixMs(i64::MIN),
            keys: Vec::new(),
            obligations: Vec::new(),
            uses: Vec::new(),
            counting: None,
            reason: "subscribed",
        }
    }

    /// Whether it may still be used at `now`.
    #[inline]
    pub fn is_current(&self, mandate_generation: u64, now: UnixMs) -> bool {
        let generation = self.subject.as_ref().map_or(0, |subject| subject.generation());
        generation == self.generation
            && mandate_generation == self.mandate_generation
            && now < self.valid_until
            && self.view.as_ref().is_none_or(|view| !view.spent())
    }

    /// The view, where frames flow.
    #[inline]
    pub fn view(&mut self) -> Option<&mut View> {
        self.view.as_mut()
    }

    /// The view, and where what goes through it is counted; a frame about nobody is not.
    #[inline]
    pub fn view_and_count(&mut self) -> Option<(&mut View, Option<&Counting>)> {
        Some((self.view.as_mut()?, self.counting.as_ref()))
    }

    /// A frame, or an element of a message, is handed over.
    #[inline]
    pub fn count(&self) {
        if let Some(counting) = &self.counting {
            counting.one();
        }
    }

    /// Whether frames flow.
    pub fn is_open(&self) -> bool {
        self.view.is_some()
    }

    /// What each message takes one of; mostly nothing.
    #[inline]
    pub fn uses(&self) -> &[Arc<Uses>] {
        &self.uses
    }

    /// What it was made from is used up: it has to be made anew.
    pub fn expire(&mut self) {
        self.valid_until = UnixMs(i64::MIN);
    }

    /// Whether its subject's elements may be seen in a message about several.
    pub fn shows_elements(&self) -> bool {
        self.delivers
    }

    /// Takes the view out, for as long as others are looked at.
    pub fn lend(&mut self) -> Option<View> {
        self.view.take()
    }

    /// The view is back.
    pub fn give_back(&mut self, view: View) {
        self.view = Some(view);
    }

    /// When it stops being right by itself.
    pub fn valid_until(&self) -> UnixMs {
        self.valid_until
    }

    /// The schema that it was made by.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Closes it for good: nothing may flow any more.
    pub fn close(&mut self) {
        (self.view, self.counting) = (None, None);
        self.delivers = false;
        self.valid_until = UnixMs(i64::MIN);
    }
}

impl ViewMaker {
    /// A maker.
    pub fn new(live: Arc<Live>, ledger: Arc<Ledger>, settings: ViewSettings) -> Self {
        let ViewSettings { origin, sign, suite, epoch_ms_max, rotation_ms } = settings;
        Self { live, ledger, origin, sign, suite, epoch_ms_max, rotation_ms, programs: DashMap::new() }
    }

    /// The ledger whose standings count.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The gateway's name.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key that signs announcements.
    pub fn sign(&self) -> &SignKey {
        &self.sign
    }

    /// Judges anew and makes the view that follows. Returns what is to be announced, if anything changed for the recipient.
    /// `shown` counts the views of the stream that ever opened: this one gets the next number when it does.
    pub fn refresh(&self, ask: &Ask, seen: &mut Seen, shown: &mut u32, now: UnixMs) -> Result<Option<v1::View>, Refuse> {
        let first = seen.number == 0;
        if first {
            seen.number = shown.saturating_add(1);
        }
        let refreshed = self.judge_anew(ask, seen, now);
        match (first, seen.is_open()) {
            (true, true) => *shown = seen.number,
            (true, false) => seen.number = 0,
            (false, _) => {}
        }
        refreshed
    }

    fn judge_anew(&self, ask: &Ask, seen: &mut Seen, now: UnixMs) -> Result<Option<v1::View>, Refuse> {
        // Generations are read before what they stand for: a change in between is found at the next look.
        let mandate_generation = self.ledger.mandate_generation();
        let generation = seen.subject.as_ref().map_or(0, |subject| subject.generation());
        let state = self.live.now();
        let schema = state.stands(ask).inspect_err(|_| seen.close())?;
        let reason = match () {
            () if seen.generation == u64::MAX => "subscribed",
            () if seen.rules != state.generation => "the operator's rules changed",
            () if seen.generation != generation => "the subject's consent changed",
            () if seen.mandate_generation != mandate_generation => "the operator's mandate changed",
            () => "time",
        };
        let standing = seen.subject.as_ref().map(|subject| subject.standing());
        let judged = match &ask.through {
            Through::Warrant(releasing) => {
                let subject = seen.subject.as_ref().map(|subject| subject.did());
                state.judge.judge_release(&schema, &ask.listener, &ask.purpose, releasing, subject.as_ref())
            }
            Through::Frames | Through::Call { .. } => state.judge.judge(&schema, &ask.listener, &ask.purpose, standing.as_deref(), now),
        };
        let judgement = match judged {
            Ok(judgement) => judgement,
            Err(error) => {
                seen.close();
                tracing::error!(code = error.code(), schema = %ask.schema.name(), recipient = %ask.listener.spiffe, "the policy could not be evaluated");
                return Err(Refuse::PolicyFailed);
            }
        };
        (seen.generation, seen.mandate_generation, seen.reason) = (generation, mandate_generation, reason);
        (seen.rules, seen.fingerprint) = (state.generation, schema.fingerprint());
        let was_open = seen.is_open();
        seen.delivers = judgement.delivers;
        seen.uses = judgement.spends.iter().map(|counted| self.ledger.uses(counted.record, counted.max)).collect();
        if !judgement.delivers && !ask.expects(seen.subject.is_some()) {
            (seen.view, seen.counting) = (None, None);
            seen.keys.clear();
            seen.valid_until = judgement.valid_until;
            return Ok(was_open.then(|| self.closed(ask, seen, now)));
        }
        let of_element = (schema.is_about_several() && seen.subject.is_some()).then(|| judgement.decision.in_elements(&schema));
        let decision = of_element.as_ref().unwrap_or(&judgement.decision);
        let (made, decided) = self.program(&schema, decision);
        if let Err(refuse) = self.count(ask, seen, (&made, &decided, decision), now) {
            seen.close();
            return Err(refuse);
        }
        let program = made.program;
        let keys: Vec<Vec<SealKey>> = program.slots().iter().map(|holders| judgement.holders(*holders)).collect();
        let boundary = self.boundary(&judgement, now);
        // A call has nowhere to say them.
        let obligations = match ask.through {
            Through::Frames | Through::Warrant(_) => judgement.obligations.clone(),
            Through::Call { .. } => Vec::new(),
        };
        let told = seen.keys == keys && seen.obligations == obligations;
        let unchanged = seen.view.as_ref().is_some_and(|view| Arc::ptr_eq(view.program(), &program) && !view.spent()) && told;
        if unchanged && reason != "time" {
            seen.valid_until = boundary.min(seen.valid_until);
            return Ok(None);
        }
        seen.epoch += 1;
        let source = BindingsSource {
            origin: &self.origin,
            recipient: ask.listener.spiffe.as_str(),
            purpose: &ask.purpose,
            subject_key: seen.subject.as_ref().map(|subject| subject.pseudonym_key()),
            pseudonym_epoch: self.pseudonym_epoch(now),
            view: seen.id,
            epoch: seen.epoch,
            suite: self.suite,
            holders: &|holders: Holders| judgement.holders(holders),
        };
        let Some((bindings, announced)) = Bindings::new(&program, &source, &mut entropy()) else {
            // Whoever named the key withholds their own frames, and nobody else's.
            tracing::warn!(schema = %ask.schema.name(), recipient = %ask.listener.spiffe, "a key is of low order: nothing can be sealed to it, and nothing is sent");
            (seen.view, seen.counting) = (None, None);
            seen.keys.clear();
            seen.valid_until = boundary;
            return Ok(was_open.then(|| self.closed(ask, seen, now)));
        };
        let keys_announced: Vec<_> = announced.iter().map(|(epoch, announced)| announce::sign(&self.sign, epoch, announced)).collect();
        self.ledger.announced().note(seen.id, seen.epoch, &ask.listener.spiffe, &keys_announced);
        if let Some(subject) = &seen.subject {
            let for_vault = program.slots().iter().zip(&keys_announced).filter(|(holders, _)| judgement.is_for_vault(**holders));
            for_vault.for_each(|(_, key)| self.note_wrap(ask, subject, key, now));
        }
        if let Through::Warrant(releasing) = &ask.through {
            releasing.shows(&schema, decision);
        }
        let view = v1::View {
            view: seen.number,
            subject: self.label(ask, seen, now),
            open: true,
            fields: words(&schema, decision),
            keys: keys_announced,
            reason: reason.to_owned(),
            obligations: obligations.iter().map(Into::into).collect(),
        };
        seen.obligations = obligations;
        seen.view = Some(View::new(program, bindings));
        seen.keys = keys;
        seen.valid_until = boundary;
        Ok(Some(view))
    }

    /// The subject's wallet can open, and release, what is sealed from here on.
    fn note_wrap(&self, ask: &Ask, subject: &Subject, key: &intoto::Envelope, now: UnixMs) {
        let wrap = v1::VaultWrap {
            number: 0,
            key: Some(key.clone()),
            recipient: ask.listener.spiffe.to_string(),
            purpose: ask.purpose.to_string(),
            schema: ask.schema.name().to_string(),
            from_ms: now.0,
        };
        if !self.ledger.note_wrap(subject.did(), wrap) {
            tracing::error!("announcements for vaults come faster than the disk takes them: some are with their recipients only");
        }
    }

    fn closed(&self, ask: &Ask, seen: &Seen, now: UnixMs) -> v1::View {
        let reason = seen.reason.to_owned();
        v1::View { view: seen.number, subject: self.label(ask, seen, now), open: false, reason, ..v1::View::default() }
    }

    /// A view holds until consent says otherwise, its key is old, or pseudonyms rotate.
    fn boundary(&self, judgement: &Judgement, now: UnixMs) -> UnixMs {
        let rotation = (i64::from(self.pseudonym_epoch(now)) + 1).saturating_mul(self.rotation_ms);
        judgement.valid_until.min(UnixMs(rotation)).min(UnixMs(now.0.saturating_add(self.epoch_ms_max)))
    }

    fn pseudonym_epoch(&self, now: UnixMs) -> u32 {
        u32::try_from(now.0 / self.rotation_ms.max(1)).unwrap_or(0)
    }

    fn label(&self, ask: &Ask, seen: &Seen, now: UnixMs) -> String {
        let Some(subject) = &seen.subject else { return String::new() };
        let domain =
            Domain { recipient: ask.listener.spiffe.as_str(), purpose: ask.purpose.as_str(), field: "", epoch: self.pseudonym_epoch(now) };
        pseudonym::text(&pseudonym::pseudonym(subject.pseudonym_key(), domain, &subject.did().0))
    }

    /// The program, and what stands for schema and treatments.
    fn program(&self, schema: &Schema, decision: &Decision) -> (Made, [u8; 32]) {
        let sites: Vec<u8> = decision.sites.iter().flat_map(|site| [site.treatment as u8, site.holders as u8]).collect();
        let key = sha256(&[&schema.fingerprint().0, &sites]);
        if let Some(made) = self.programs.get(&key) {
            return (made.clone(), key);
        }
        if self.programs.len() >= PROGRAMS_MAX {
            self.programs.retain(|_, made| Arc::strong_count(&made.program) > 1);
        }
        let made = Made { program: Arc::new(Program::compile(schema, decision)), fields: disclosed(schema, decision) };
        self.programs.insert(key, made.clone());
        (made, key)
    }
}
