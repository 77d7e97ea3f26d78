//! What changed from one assessment to the next, and what of it is worse.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Document, Field, Finding, Opens, To, View};
use super::error::{RiskError, RiskFault};
use super::face::Shown;

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Whether it is worse, or may be.
    pub worse: bool,
    /// What it is.
    pub what: What,
    /// The rule, where it is about one.
    pub rule: Option<String>,
    /// Who gets something, in words: one recipient, or two that pool what they get.
    pub who: String,
    /// The full name of the message type; empty where it is about two.
    pub schema: String,
    /// The fields, where it is about some.
    pub paths: Vec<String>,
}

/// The kinds of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A rule bites that did not, or bites without keys where it needed them.
    Bites,
    /// A rule that was not there before bites.
    NewRuleBites,
    /// A rule that did bite is gone, or is another one now: nobody can say whether it still would.
    Unassessed,
    /// Somebody gets what they did not get.
    Flows,
    /// Fields show more.
    ShowsMore,
    /// Fields are made coarser in another way: that may be more.
    ShowsOtherwise,
    /// Fields show less.
    ShowsLess,
    /// Somebody gets no more what they got.
    NoLongerFlows,
    /// A rule does not bite any more.
    NoLongerBites,
}

impl What {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Bites,
        Self::NewRuleBites,
        Self::Unassessed,
        Self::Flows,
        Self::ShowsMore,
        Self::ShowsOtherwise,
        Self::ShowsLess,
        Self::NoLongerFlows,
        Self::NoLongerBites,
    ];

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.word() == word)
    }

    /// The same for people.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Bites => "A rule bites that did not, or needs no key any more",
            Self::NewRuleBites => "A rule that was not there before bites",
            Self::Unassessed => "A rule that did bite is gone or was changed",
            Self::Flows => "Somebody gets what they did not get",
            Self::ShowsMore => "Fields show more",
            Self::ShowsOtherwise => "Fields are made coarser in another way",
            Self::ShowsLess => "Fields show less",
            Self::NoLongerFlows => "Somebody gets no more what they got",
            Self::NoLongerBites => "A rule does not bite any more",
        }
    }

    /// The stable word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bites => "bites",
            Self::NewRuleBites => "new_rule_bites",
            Self::Unassessed => "unassessed",
            Self::Flows => "flows",
            Self::ShowsMore => "shows_more",
            Self::ShowsOtherwise => "shows_otherwise",
            Self::ShowsLess => "shows_less",
            Self::NoLongerFlows => "no_longer_flows",
            Self::NoLongerBites => "no_longer_bites",
        }
    }

    /// Whether it is worse, or may be.
    pub const fn is_worse(self) -> bool {
        match self {
            Self::Bites | Self::NewRuleBites | Self::Unassessed | Self::Flows | Self::ShowsMore | Self::ShowsOtherwise => true,
            Self::ShowsLess | Self::NoLongerFlows | Self::NoLongerBites => false,
        }
    }
}

/// One recipient of one message type, for one purpose, in one way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    recipient: String,
    purpose: String,
    way: String,
    method: Option<String>,
    schema: String,
    subject: Option<String>,
}

impl Flow {
    fn of(view: &View, to: &To) -> Self {
        Self {
            recipient: to.recipient.clone(),
            purpose: to.purpose.clone(),
            way: to.way.clone(),
            method: to.method.clone(),
            schema: view.schema.clone(),
            subject: view.subject.clone(),
        }
    }

    fn words(&self) -> String {
        let method = self.method.as_ref().map(|method| format!(", {} of `{method}`", self.way)).unwrap_or_default();
        let subject = self.subject.as_ref().map(|subject| format!(", by the consents of {subject}")).unwrap_or_default();
        let purpose = if self.purpose == "*" { "any other purpose" } else { &self.purpose };
        format!("{} for {purpose}{method}{subject}", self.recipient)
    }
}

/// How badly a rule bites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    WithKeys,
    Now,
}

/// A document, looked at by what is compared.
struct Side<'d> {
    document: &'d Document,
    flows: BTreeMap<Flow, &'d View>,
    /// By rule and flow.
    alone: BTreeMap<(&'d str, Flow), Level>,
    /// By rule, subject and two recipients, in order.
    pooled: BTreeMap<Pool<'d>, Level>,
}

type Pool<'d> = (&'d str, Option<&'d str>, [&'d str; 2]);

impl<'d> Side<'d> {
    fn of(document: &'d Document) -> Self {
        let mut side = Self { document, flows: BTreeMap::new(), alone: BTreeMap::new(), pooled: BTreeMap::new() };
        for view in &document.views {
            side.flows.extend(view.to.iter().map(|to| (Flow::of(view, to), view)));
        }
        for finding in &document.findings {
            let level = if finding.with_keys { Level::WithKeys } else { Level::Now };
            side.take(finding, level);
        }
        side
    }

    fn take(&mut self, finding: &'d Finding, level: Level) {
        let (rule, document) = (finding.rule.as_str(), self.document);
        let views: Vec<&View> = finding.views.iter().filter_map(|view| document.views.get(*view)).collect();
        if let [view] = views.as_slice() {
            for to in &view.to {
                let known = self.alone.entry((rule, Flow::of(view, to))).or_insert(level);
                *known = level.max(*known);
            }
        }
        if let [one, other] = views.as_slice() {
            for (a, b) in one.to.iter().flat_map(|a| other.to.iter().map(move |b| (a, b))) {
                let mut both = [a.recipient.as_str(), b.recipient.as_str()];
                both.sort_unstable();
                let known = self.pooled.entry((rule, one.subject.as_deref(), both)).or_insert(level);
                *known = level.max(*known);
            }
        }
    }

    /// The flow under which this one is here: for a purpose that nobody here names, the one of all others.
    fn here(&self, flow: &Flow) -> Flow {
        let named = self.document.purposes.contains(&flow.purpose) || flow.way != "subscribe";
        if named { flow.clone() } else { Flow { purpose: "*".to_owned(), ..flow.clone() } }
    }

    fn view(&self, flow: &Flow) -> Option<&'d View> {
        self.flows.get(&self.here(flow)).copied()
    }

    fn level(&self, rule: &'d str, flow: &Flow) -> Option<Level> {
        self.alone.get(&(rule, self.here(flow))).copied()
    }

    /// How badly the rule bites where two pool what they get: also, where it does for one of them alone.
    fn level_pooled(&self, (rule, subject, both): &Pool<'_>) -> Option<Level> {
        let ours = |of: &str, flow: &Flow| of == *rule && flow.subject.as_deref() == *subject && both.contains(&flow.recipient.as_str());
        let alone = self.alone.iter().filter(|((of, flow), _)| ours(of, flow)).map(|(_, level)| *level).max();
        alone.max(self.pooled.get(&(*rule, *subject, *both)).copied())
    }
}

/// What changed from `old` to `new`, worse first.
///
/// # Errors
/// The two are about something else, so that the difference would say nothing.
pub fn compare(old: &Document, new: &Document) -> Result<Vec<Difference>, RiskError> {
    for (same, what) in [
        (old.gateway == new.gateway, "another gateway"),
        (old.assumed == new.assumed, "other agreements: given records, or everything permitted"),
        (old.asked == new.asked, "other schemas, recipients or purposes"),
    ] {
        if !same {
            return Err(RiskError::new(RiskFault::Incomparable, "", format!("the earlier assessment is about {what}")));
        }
    }
    let (before, after) = (Side::of(old), Side::of(new));
    let mut found = Vec::new();
    flows(&before, &after, &mut found);
    bites(&before, &after, &mut found);
    found.sort_unstable_by(|one, other| (!one.worse, one.what, one).cmp(&(!other.worse, other.what, other)));
    Ok(found)
}

fn flows(before: &Side<'_>, after: &Side<'_>, found: &mut Vec<Difference>) {
    let keys: BTreeSet<&Flow> = before.flows.keys().chain(after.flows.keys()).collect();
    for flow in keys {
        let mut tell = |what: What, paths: Vec<String>| {
            found.push(Difference { worse: what.is_worse(), what, rule: None, who: flow.words(), schema: flow.schema.clone(), paths });
        };
        let paths = |view: &View| view.fields.iter().map(|field| field.path.clone()).collect();
        match (before.view(flow), after.view(flow)) {
            (None, Some(view)) => tell(What::Flows, paths(view)),
            (Some(view), None) => tell(What::NoLongerFlows, paths(view)),
            (Some(old), Some(new)) => {
                for (what, paths) in fields(old, new) {
                    tell(what, paths);
                }
            }
            (None, None) => {}
        }
    }
}

fn fields(old: &View, new: &View) -> BTreeMap<What, Vec<String>> {
    let by_path = |view: &View| view.fields.iter().map(|field| (field.path.clone(), field.clone())).collect::<BTreeMap<_, _>>();
    let (old, new) = (by_path(old), by_path(new));
    let mut changed: BTreeMap<What, Vec<String>> = BTreeMap::new();
    for path in old.keys().chain(new.keys().filter(|path| !old.contains_key(*path))) {
        let (was, is) = (old.get(path), new.get(path));
        let [before, after] = [was, is].map(shown);
        let more = after.0 < before.0 || after.1 < before.1;
        let what = match before == after {
            true if was.map(|field| &field.how) == is.map(|field| &field.how) => continue,
            true => What::ShowsOtherwise,
            false if more => What::ShowsMore,
            false => What::ShowsLess,
        };
        changed.entry(what).or_default().push(path.clone());
    }
    changed
}

/// How much is shown of a field, and how much with keys.
fn shown(field: Option<&Field>) -> (Shown, Shown) {
    let Some(field) = field else { return (Shown::Nothing, Shown::Nothing) };
    let now = match (field.treatment.as_str(), field.opens) {
        ("generalize", _) => Shown::Coarse,
        ("pseudonymize", _) => Shown::StandIn,
        ("encrypt" | "strip", Opens::May | Opens::No) => Shown::Nothing,
        // An unknown word is taken for the worst.
        _ => Shown::Whole,
    };
    (now, if field.opens == Opens::No { now } else { Shown::Whole })
}

fn bites(before: &Side<'_>, after: &Side<'_>, found: &mut Vec<Difference>) {
    let mut tell = |rule: &str, levels: [Option<Level>; 2], who: String, schema: &str| {
        if let Some(what) = bites_how(rule, levels, before.document, after.document) {
            let (rule, schema) = (Some(rule.to_owned()), schema.to_owned());
            found.push(Difference { worse: what.is_worse(), what, rule, who, schema, paths: Vec::new() });
        }
    };
    let alone: BTreeSet<&(&str, Flow)> = before.alone.keys().chain(after.alone.keys()).collect();
    for (rule, flow) in alone {
        // Of a purpose that has got a name, and of all others.
        tell(rule, [before.level(rule, flow), after.level(rule, flow)], flow.words(), &flow.schema);
    }
    let pooled: BTreeSet<&Pool<'_>> = before.pooled.keys().chain(after.pooled.keys()).collect();
    for pool in pooled {
        let [one, other] = pool.2;
        let who = if one == other { format!("{one}, for several purposes") } else { format!("{one} and {other} together") };
        tell(pool.0, [before.level_pooled(pool), after.level_pooled(pool)], who, "");
    }
}

/// What it means that a rule bit like this, and does like that.
fn bites_how(rule: &str, [was, is]: [Option<Level>; 2], old: &Document, new: &Document) -> Option<What> {
    let (written, writes) = (old.rules.get(rule), new.rules.get(rule));
    if is > was {
        Some(if written.is_none() { What::NewRuleBites } else { What::Bites })
    } else if is < was {
        Some(if written == writes { What::NoLongerBites } else { What::Unassessed })
    } else {
        None
    }
}
