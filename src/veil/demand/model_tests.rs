//! Every order of a small alphabet of records, through the real [`Case`], breadth first, until nothing new comes up.
//!
//! Beside it goes what a person would write down: [`Facts`]. From them alone, plainly, [`Facts::may_leave`] says whether something may
//! leave at an instant, and [`Facts::takes`] whether a record is taken. At every state the case must say the same, at every instant that
//! matters, also where the clock went back. That this can fail is shown by planting mistakes.
//!
//! `TWINVEIL_LONG=1` looks at more instants, more challenges, more answers and more signatures.

mod facts;
mod mistakes;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use self::facts::{Act, Facts, Gives, INSTANTS, Kind, PROBES, Says, Who};
use self::mistakes::{Before, Mistake};
use super::testing::*;
use super::words::Ruling;
use super::*;
use crate::veil::consent::envelope::{Payload, Verified};
use crate::veil::consent::record::Consent;
use crate::veil::consent::testing::{NOW, after, consent, delegated, gateway};
use crate::veil::crypto::hash::sha256;
use crate::veil::name::{RecordId, SchemaName, UnixMs};

/// One scope: a demand, and what may happen to it.
struct Scope {
    name: &'static str,
    kind: Kind,
    alphabet: Vec<Act>,
}

/// A case, what is known of it, and the ids that records name.
#[derive(Clone)]
struct Node {
    case: Case,
    facts: Facts,
    stages: [Option<RecordId>; 3],
    replaced: Option<RecordId>,
    challenges: Vec<RecordId>,
    decision: Option<RecordId>,
    begun: Option<Warrant>,
    came: Option<(usize, Act)>,
}

#[derive(Default, Debug)]
struct Seen {
    states: usize,
    steps: usize,
    taken: usize,
    releasing: usize,
}

/// What the case and the facts disagree on, and how one gets there.
#[derive(Debug)]
struct Disagreement {
    path: Vec<Act>,
    what: String,
}

/// What a record says besides its act: the records that it names.
type Named = (Act, Option<RecordId>, [Option<RecordId>; 3]);

#[derive(Default)]
struct Records {
    written: HashMap<Named, Option<Arc<Record>>>,
    consents: HashMap<Gives, Arc<Verified<Consent>>>,
}

fn explore(scope: &Scope, mistake: Option<Mistake>) -> Result<Seen, Disagreement> {
    let mut records = Records::default();
    let mut seen = Seen::default();
    let root = Node {
        case: scope.kind.open(),
        facts: Facts::default(),
        stages: [None; 3],
        replaced: None,
        challenges: Vec::new(),
        decision: None,
        begun: None,
        came: None,
    };
    let mut known = HashSet::from([root.facts.clone()]);
    let mut nodes = vec![root];
    let mut next = 0;
    while next < nodes.len() {
        let node = nodes[next].clone();
        let path = |act: Act| {
            let mut path = vec![act];
            let mut at = node.came;
            while let Some((parent, act)) = at {
                path.push(act);
                at = nodes[parent].came;
            }
            path.reverse();
            path
        };
        let mut found = Vec::new();
        for act in &scope.alphabet {
            if !node.facts.is_in_scope(&scope.kind, *act) {
                continue;
            }
            seen.steps += 1;
            let expected = node.facts.takes(&scope.kind, *act);
            // Most are refused, and change nothing.
            if mistake.is_none() && !expected && node.refuses(*act, &mut records) {
                continue;
            }
            let mut after = node.clone();
            let taken = after.step(&scope.kind, *act, mistake, &mut records);
            if taken != expected {
                let what = format!("the case {} it", if taken { "takes" } else { "refuses" });
                return Err(Disagreement { path: path(*act), what });
            }
            if !taken {
                continue;
            }
            seen.taken += 1;
            after.came = Some((next, *act));
            match after.agrees(&scope.kind, mistake) {
                Ok(leaves) => seen.releasing += usize::from(leaves),
                Err(what) => return Err(Disagreement { path: path(*act), what }),
            }
            if known.insert(after.facts.clone()) {
                found.push(after);
            }
        }
        nodes.extend(found);
        next += 1;
    }
    seen.states = nodes.len();
    Ok(seen)
}

impl Kind {
    fn open(&self) -> Case {
        let opened = demand(|said| {
            said["asks"] = json!(self.asks.word());
            if let Some(until) = self.gag {
                said["gag"] = gag(until);
            }
            if self.endless {
                said.as_object_mut().expect("an object").remove("period");
            }
            if self.subjects.len() != 1 {
                said["about"] = json!(about(self.subjects).commitment().to_string());
            }
            if self.everybody || self.asks.is_redesign() {
                said.as_object_mut().expect("an object").remove("about");
                said["everybody"] = json!(self.everybody);
            }
            if self.asks.is_redesign() {
                said.as_object_mut().expect("an object").remove("fields");
                said.as_object_mut().expect("an object").remove("period");
            }
        });
        let list = (self.lists && opened.get().about.is_some()).then(|| about(self.subjects));
        Case::open(opened, list.as_ref(), register(), NOW).expect("a case")
    }
}

impl Node {
    /// Whether the case, asked before, refuses a record.
    fn refuses(&self, act: Act, records: &mut Records) -> bool {
        let now = after(self.facts.at);
        match act {
            Act::Wait | Act::Withdraw | Act::Begin | Act::Consent(_) => false,
            _ => records.of(self, act).is_none_or(|record| self.case.check(&record, now).is_err()),
        }
    }

    /// Lets the act happen, if the case takes it.
    fn step(&mut self, kind: &Kind, act: Act, mistake: Option<Mistake>, records: &mut Records) -> bool {
        let now = after(self.facts.at);
        match act {
            Act::Wait => {}
            Act::Withdraw => {
                if let Some(consented) = self.case.consents.values().next() {
                    let id = consented.record.id();
                    self.case.consent_ended(id, now);
                }
            }
            Act::Consent(gives) => {
                let id = self.case.id();
                let mut said = Arc::clone(records.consents.entry(gives).or_insert_with(|| consent_of(gives, id)));
                let mut bent = self.case.clone();
                Mistake::bend(mistake, &mut bent, &mut Before::Consent(&mut said));
                if bent.consent(said, now).is_err() {
                    return false;
                }
                self.case = bent;
            }
            Act::Begin => match self.warrant(now, mistake) {
                Ok(warrant) if warrant.once() => {
                    self.case.begin_once(now);
                    self.begun = Some(warrant);
                }
                _ => return false,
            },
            Act::Stage { .. } | Act::Replace { .. } | Act::Decide { .. } | Act::Challenge { .. } | Act::Notice(_) | Act::Release { .. } => {
                let Some(record) = records.of(self, act) else { return false };
                let id = record.id();
                if !self.take((*record).clone(), now, mistake) {
                    return false;
                }
                self.name(act, id);
            }
        }
        self.facts.happened(kind, act);
        true
    }

    fn take(&mut self, record: Record, now: UnixMs, mistake: Option<Mistake>) -> bool {
        if mistake.is_none() {
            return self.case.take(record, now).is_ok();
        }
        let (mut bent, mut checked) = (self.case.clone(), record.clone());
        Mistake::bend(mistake, &mut bent, &mut Before::Check(&mut checked));
        if bent.check(&checked, now).is_err() {
            return false;
        }
        // What only the mistake lets through is put there.
        if self.case.retake(record, now).is_err()
            && let Record::Decision(decision) = checked
        {
            self.case.decision = Some(Filed { record: Arc::new(decision), taken: now, replaced: false });
        }
        true
    }

    fn name(&mut self, act: Act, id: RecordId) {
        match act {
            Act::Stage { n, .. } | Act::Replace { n, .. } => {
                self.replaced = self.stages[usize::from(n) - 1].replace(id).or(self.replaced);
            }
            Act::Challenge { .. } => self.challenges.push(id),
            Act::Decide { .. } => self.decision = Some(id),
            Act::Notice(_) | Act::Release { .. } | Act::Consent(_) | Act::Withdraw | Act::Begin | Act::Wait => {}
        }
    }

    fn warrant(&self, now: UnixMs, mistake: Option<Mistake>) -> Result<Warrant, Refused> {
        let Some(planted) = mistake else { return self.case.warrant(now) };
        let mut bent = self.case.clone();
        Mistake::bend(mistake, &mut bent, &mut Before::Warrant);
        let now = planted.clock(now);
        bent.latest = planted.remembers(bent.latest);
        bent.warrant(now).map(|warrant| planted.widen(warrant, &bent))
    }

    /// Whether case and facts say the same at every instant that matters; `Ok(true)`: something may leave at one of them.
    fn agrees(&self, kind: &Kind, mistake: Option<Mistake>) -> Result<bool, String> {
        let mut leaves = false;
        for probe in PROBES {
            let (now, at) = (after(*probe), format!("{:.1} h", *probe as f64 / 3_600_000.0));
            let expected = self.facts.may_leave(kind, *probe);
            let warrant = self.warrant(now, mistake);
            if warrant.is_ok() != expected {
                return Err(format!(
                    "at {at} the case says {:?}",
                    warrant.map(|warrant| warrant.until()).map_err(|refused| refused.code())
                ));
            }
            if let Ok(warrant) = &warrant {
                leaves = true;
                self.stays_within(kind, warrant, now).map_err(|what| format!("at {at} {what}"))?;
            }
            if let Some(begun) = &self.begun {
                let expected = self.facts.may_go_on(kind, *probe, begun.until());
                if mistake.is_none() && self.case.holds(begun, now).is_ok() != expected {
                    return Err(format!("at {at} what has begun should{} go on", if expected { "" } else { " not" }));
                }
            }
        }
        Ok(leaves)
    }

    /// Nothing outside subjects, fields, period, recipient.
    fn stays_within(&self, kind: &Kind, warrant: &Warrant, now: UnixMs) -> Result<(), String> {
        let now = now.max(after(self.facts.latest));
        let Some(decided) = &self.facts.decided else { return Err("nothing was decided".into()) };
        let demanded = self.case.demand();
        let by_consent = decided.says.rests_on_consent();
        if warrant.demand() != self.case.id() || Some(warrant.decision()) != self.decision || warrant.once() != by_consent {
            return Err("it is a warrant for something else".into());
        }
        let theirs: Vec<u8> = if by_consent { vec![SUBJECT] } else { kind.subjects.to_vec() };
        if *warrant.subjects() != theirs.iter().map(|n| did(*n)).collect() {
            return Err("it is about others".into());
        }
        let within = |field: &Field| demanded.fields.iter().any(|around| around.schema == field.schema && around.path == field.path);
        if warrant.fields().is_empty() || !warrant.fields().iter().all(within) {
            return Err("it lets out what was not demanded".into());
        }
        let rules = warrant.deciding(&SchemaName::new(SCHEMA)).rules.len();
        if rules != warrant.fields().len() || !warrant.deciding(&SchemaName::new("other.Frame")).rules.is_empty() {
            return Err("its rules are not its fields".into());
        }
        if warrant.recipient().as_str() != AGENCY {
            return Err("it is for somebody else".into());
        }
        let ends = decided.says.until().min(if self.facts.told() { i64::MAX } else { GAG_ENDS });
        if warrant.from() < after(FROM) || warrant.until() > after(ends) || now < warrant.from() || warrant.until() <= now {
            return Err("it is for another time".into());
        }
        Ok(())
    }
}

fn consent_of(gives: Gives, demand: RecordId) -> Arc<Verified<Consent>> {
    let other = RecordId([9; 32]);
    let next = |document: &mut Value, seq: u64| {
        document["seq"] = json!(seq);
        document["prev"] = json!("ab".repeat(32));
    };
    let expires = |document: &mut Value| document["expires"] = json!(after(facts::CONSENT_ENDS).to_string());
    match gives {
        Gives::Own => own_consent(SUBJECT, demand, |document| {
            next(document, 2);
            expires(document);
        }),
        Gives::Narrow => own_consent(SUBJECT, demand, |document| {
            expires(document);
            document["rules"] = json!([{"effect": "permit", "match": {"selector": "vitals"}, "treatment": "keep"}]);
        }),
        Gives::ForAnother => own_consent(SUBJECT, other, |document| next(document, 3)),
        Gives::OfAnother => own_consent(3, demand, |_| ()),
        Gives::Ordinary => Arc::new(consent(SUBJECT, 1, None, |document| next(document, 4))),
        Gives::Delegates => Arc::new(crate::veil::consent::testing::verified(&delegated(SUBJECT, 4, other, 5, Some(other), |_| ()))),
    }
}

impl Records {
    /// The record of an act, which names what stands; none where the act has nothing to name.
    fn of(&mut self, node: &Node, act: Act) -> Option<Arc<Record>> {
        let names = match act {
            Act::Replace { n, .. } => Some(node.stages[usize::from(n) - 1]?),
            Act::Challenge { replace: true, .. } => Some(*node.challenges.last()?),
            Act::Release { .. } => Some(node.decision.unwrap_or(RecordId([7; 32]))),
            Act::Decide { says: Says::Stale, .. } => Some(node.replaced.unwrap_or(RecordId([8; 32]))),
            _ => None,
        };
        let stages = if matches!(act, Act::Decide { .. }) { node.stages } else { [None; 3] };
        let demand = &node.case;
        self.written.entry((act, names, stages)).or_insert_with(|| written(demand, act, names, stages).map(Arc::new)).clone()
    }
}

/// A record as its signers would have signed it. That signatures are verified other tests show.
fn assumed<P: Payload>(by: &[Who], mut said: Value) -> Option<Verified<P>> {
    said["gateway"] = json!(gateway().to_string());
    said["author"] = json!(did(by.first()?.key()).to_string());
    said["at"] = json!(NOW.to_string());
    said["nonce"] = json!("ab".repeat(16));
    let payload = said.to_string().into_bytes();
    let value = P::parse(&payload).ok()?;
    let mut keys: Vec<_> = by.iter().map(|who| did(who.key())).collect();
    keys.dedup();
    Some(Verified::assumed(value, RecordId(sha256(&[&payload])), keys))
}

fn written(case: &Case, act: Act, names: Option<RecordId>, stages: [Option<RecordId>; 3]) -> Option<Record> {
    let id = case.id();
    let named = |said: &mut Value, member: &str| {
        if let Some(names) = names {
            said[member] = json!(names.to_string());
        }
    };
    match act {
        Act::Stage { n, by, met } | Act::Replace { n, by, met } => {
            let mut said = said_stage(id, n, met);
            named(&mut said, "replaces");
            assumed(&[by], said).map(Record::Stage)
        }
        Act::Challenge { by, result, .. } => {
            let mut said = json!({"demand": id.to_string(), "where": "High Court", "filed": NOW.to_string(), "result": result.word(),
                                  "reasoning_sha256": "cd".repeat(32)});
            named(&mut said, "replaces");
            assumed(&[by], said).map(Record::Challenge)
        }
        Act::Notice(by) => assumed(&[by], json!({"demand": id.to_string(), "how": "letter"})).map(Record::Notice),
        Act::Release { by, within } => {
            let path = if within { "note" } else { "identity" };
            let mut said = json!({"demand": id.to_string(), "from": after(FROM).to_string(), "until": after(FROM + 1).to_string(), "frames": 7,
                                  "fields": [{"schema": SCHEMA, "path": path}]});
            named(&mut said, "decision");
            assumed(&[by], said).map(Record::Release)
        }
        Act::Decide { says, by } => {
            let mut in_force: Vec<_> = stages.into_iter().flatten().collect();
            if says == Says::Stale {
                in_force.pop();
                in_force.extend(names);
            }
            assumed(by, says.said(case, &in_force)).map(Record::Decision)
        }
        Act::Consent(_) | Act::Withdraw | Act::Begin | Act::Wait => None,
    }
}

impl Says {
    fn said(self, case: &Case, stages: &[RecordId]) -> Value {
        let mut said = json!({"demand": case.id().to_string(), "reasoning_sha256": "cd".repeat(32)});
        said["stages"] = json!(stages.iter().map(RecordId::to_string).collect::<Vec<_>>());
        if self == Self::Refuse {
            said["outcome"] = json!("refuse");
            said["reasons"] = json!(["overbroad"]);
            return said;
        }
        let field = |path: &str| json!({"schema": SCHEMA, "path": path});
        let period = |until: i64| json!({"from": after(FROM).to_string(), "until": after(until).to_string()});
        said["outcome"] = json!("comply");
        said["recipient"] = json!(AGENCY);
        said["fields"] = json!([field("vitals"), field("note")]);
        said["period"] = period(UNTIL);
        said["notice"] = json!({"when": "before-release"});
        if self.rests_on_consent() {
            let own = consent_of(Gives::Own, case.id());
            said["consent"] = json!(own.id().to_string());
        }
        let mut part = || {
            said["outcome"] = json!("comply-in-part");
            said["reasons"] = json!(["overbroad"]);
        };
        match self {
            Self::Refuse | Self::Comply | Self::Stale | Self::ByConsent => {}
            Self::Deferred | Self::ByConsentDeferred => deferred(&mut said),
            Self::Part => {
                part();
                said["fields"] = json!([field("note")]);
            }
            Self::OtherFields => {
                part();
                said["fields"] = json!([field("note"), field("identity")]);
            }
            Self::Longer => {
                part();
                said["fields"] = json!([field("note")]);
                said["period"] = period(UNTIL + 1);
            }
            Self::PartByConsent => part(),
            Self::ByNarrowConsent => {
                let narrow = consent_of(Gives::Narrow, case.id());
                said["consent"] = json!(narrow.id().to_string());
            }
        }
        said
    }
}

fn plain(long: bool) -> Kind {
    let (instants, challenges) = if long { (INSTANTS, 3) } else { (&[0, GAG_ENDS, UNTIL][..], 2) };
    Kind { asks: Asks::LiveData, everybody: false, lists: true, gag: None, endless: false, subjects: &[SUBJECT], instants, challenges }
}

const RULINGS: [Ruling; 3] = [Ruling::Pending, Ruling::Upheld, Ruling::Dismissed];
const SETS: &[&[Who]] = {
    use Who::{A, AToo, B, C, Clerk, Stranger};
    &[&[A, C], &[B, C], &[A, B], &[A, AToo], &[C], &[A, AToo, C], &[C, Stranger], &[C, A, Clerk], &[A, B, C]]
};

fn stages(by: &[Who], met: &[bool]) -> Vec<Act> {
    let each = (1..=3).flat_map(|n| by.iter().flat_map(move |by| met.iter().map(move |met| Act::Stage { n, by: *by, met: *met })));
    each.collect()
}

fn decisions(says: &[Says], by: &[&'static [Who]]) -> Vec<Act> {
    says.iter().flat_map(|says| by.iter().map(|by| Act::Decide { says: *says, by })).collect()
}

/// Who answers the questions, whether they are met, who replaces whom, and who approves.
fn of_stages(long: bool) -> Scope {
    let mut alphabet = stages(&[Who::A, Who::B], &[true, false]);
    let replaced = alphabet.clone().into_iter().filter_map(|act| match act {
        // The questions are alike.
        Act::Stage { n, by, met } => (n == 3 || long).then_some(Act::Replace { n, by, met }),
        _ => None,
    });
    alphabet.extend(replaced);
    alphabet.extend(decisions(&[Says::Comply, Says::Stale], SETS));
    alphabet.extend(decisions(&[Says::Refuse], if long { SETS } else { &SETS[2..4] }));
    alphabet.extend([Act::Notice(Who::Clerk), Act::Notice(Who::C)]);
    Scope { name: "stages and approvals", kind: plain(long), alphabet }
}

/// Gags, notices, challenges, time and releases.
fn of_notice(gag: Option<Option<i64>>, long: bool) -> Scope {
    let mut alphabet = stages(&[Who::A], &[true]);
    alphabet.extend(decisions(&[Says::Comply, Says::Deferred, Says::Refuse], &SETS[..1]));
    alphabet.extend([Who::Clerk, Who::Gateway, Who::Stranger].map(Act::Notice));
    let placed = RULINGS.into_iter().flat_map(|result| [(result, false), (result, true)]);
    alphabet.extend(placed.map(|(result, replace)| Act::Challenge { by: Who::Clerk, result, replace }));
    alphabet.extend([(Who::Gateway, true), (Who::Gateway, false), (Who::Clerk, true)].map(|(by, within)| Act::Release { by, within }));
    alphabet.push(Act::Wait);
    if long {
        alphabet.extend(decisions(&[Says::Part], &SETS[..1]));
        alphabet.push(Act::Challenge { by: Who::A, result: Ruling::Dismissed, replace: true });
    }
    Scope { name: "notice, challenges and time", kind: Kind { gag, ..plain(long) }, alphabet }
}

/// The subject's own consent, used once or twice, withdrawn, expired, another's.
fn of_consent(gag: Option<Option<i64>>, subjects: &'static [u8], long: bool) -> Scope {
    let says = [Says::ByConsent, Says::ByConsentDeferred, Says::PartByConsent, Says::ByNarrowConsent, Says::Comply, Says::Refuse];
    let mut alphabet: Vec<Act> = Gives::ALL.iter().map(|gives| Act::Consent(*gives)).collect();
    alphabet.extend([Act::Withdraw, Act::Begin, Act::Wait, Act::Notice(Who::Clerk)]);
    alphabet.extend(decisions(&says, if long { &SETS[2..4] } else { &SETS[2..3] }));
    alphabet.extend([Act::Release { by: Who::Gateway, within: true }]);
    let rulings = [(Ruling::Pending, false), (Ruling::Dismissed, true)];
    alphabet.extend(rulings.map(|(result, replace)| Act::Challenge { by: Who::Clerk, result, replace }));
    if long {
        alphabet.extend([Act::Notice(Who::Gateway), Act::Stage { n: 1, by: Who::A, met: true }]);
        alphabet.push(Act::Challenge { by: Who::Clerk, result: Ruling::Upheld, replace: true });
    }
    Scope { name: "the subject's own consent", kind: Kind { gag, subjects, instants: INSTANTS, ..plain(long) }, alphabet }
}

/// A demand of this kind, with everything that could be decided.
fn of_kind(kind: Kind, long: bool) -> Scope {
    let mut alphabet = stages(if long { &[Who::A, Who::B] } else { &[Who::A] }, &[true]);
    alphabet.extend(decisions(Says::ALL, if long { &SETS[..3] } else { &SETS[..1] }));
    alphabet.extend([Act::Notice(Who::Clerk), Act::Consent(Gives::Own), Act::Begin, Act::Wait]);
    Scope { name: "kinds of demands", kind, alphabet }
}

fn kinds(long: bool) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Asks::ALL.iter().map(|asks| Kind { asks: *asks, ..plain(long) }).collect();
    kinds.push(Kind { everybody: true, ..plain(long) });
    kinds.push(Kind { everybody: true, asks: Asks::StoredData, ..plain(long) });
    kinds.push(Kind { lists: false, ..plain(long) });
    kinds.push(Kind { endless: true, ..plain(long) });
    kinds.push(Kind { subjects: &[SUBJECT, 2], ..plain(long) });
    kinds.push(Kind { gag: Some(Some(GAG_ENDS)), endless: true, ..plain(long) });
    kinds
}

const GAGS: [Option<Option<i64>>; 3] = [None, Some(None), Some(Some(GAG_ENDS))];

fn scopes(long: bool) -> Vec<Scope> {
    let mut scopes = vec![of_stages(long)];
    scopes.extend(GAGS.map(|gag| of_notice(gag, long)));
    scopes.extend(GAGS.map(|gag| of_consent(gag, &[SUBJECT], long)));
    scopes.push(of_consent(None, &[SUBJECT, 2], long));
    scopes.extend(kinds(long).into_iter().map(|kind| of_kind(kind, long)));
    scopes
}

#[test]
fn there_is_no_way_to_a_release_without_its_conditions() {
    let long = std::env::var_os("TWINVEIL_LONG").is_some();
    let (mut all, began) = (Seen::default(), Instant::now());
    for scope in scopes(long) {
        let seen = explore(&scope, None).unwrap_or_else(|wrong| panic!("{}, {:?}: {wrong:#?}", scope.name, scope.kind));
        println!("{:30} {seen:?}, {:.1} s", scope.name, began.elapsed().as_secs_f64());
        all.states += seen.states;
        all.steps += seen.steps;
        all.taken += seen.taken;
        all.releasing += seen.releasing;
    }
    println!("{all:?} in {:.1} s", began.elapsed().as_secs_f64());
    assert!(all.states > 20_000 && all.steps > 300_000 && all.releasing > 1_000, "the scope has shrunk: {all:?}");
}

#[test]
fn a_case_that_forgot_a_rule_would_be_found_out() {
    for mistake in Mistake::ALL {
        let scope = mistake.shows_in();
        let found = explore(&scope, Some(*mistake)).expect_err(&format!("{mistake:?} goes unnoticed"));
        println!("{mistake:?}: after {} acts {}: {:?}", found.path.len(), found.what, found.path);
    }
}
