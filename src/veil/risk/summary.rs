//! An assessment in a few numbers, without anybody's name, and what a report shows of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::against::{What, compare};
use super::document::{Assumed, Counts, Document, Finding, Summary, SummaryFlow, SummaryRule, VERSION, View, Whole};
use super::error::RiskError;
use super::read::RULES_MAX;
use super::rule::Severity;
use crate::veil::terms::{Category, Treatment};

/// Stands for recipients without a group.
pub const NO_GROUP: &str = "-";
/// The longest name of a group or rule in what is published.
const NAME_BYTES_MAX: usize = 256;
/// The longest text of a rule.
const TEXT_BYTES_MAX: usize = 2_000;
/// The most lines of each kind.
const LINES_MAX: usize = 65_536;

/// An assessment as a report shows it: recipients are groups, and neither fields nor subjects are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The form of the assessment: 1.
    pub version: u32,
    /// What was taken to be agreed.
    pub assumed: Assumed,
    /// Whether all message types, recipients and purposes were looked at.
    pub whole: bool,
    /// The assessment in a few numbers.
    pub summary: Summary,
    /// What changed since the one before; null: it was not compared with one.
    pub changes: Option<Vec<Change>>,
}

/// How often something changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Whether it is worse, or may be.
    pub worse: bool,
    /// What, such as `bites`.
    pub what: String,
    /// The rule, where it is about one.
    pub rule: Option<String>,
    /// How many recipients, or pairs of them, it is so for, once for each message type and purpose.
    pub many: usize,
}

impl Summary {
    /// What views and findings come to.
    pub(super) fn of(rules: usize, views: &[View], findings: &[Finding]) -> Self {
        let count = |of: &dyn Fn(&Finding) -> bool| {
            let mut counts = Counts::default();
            for severity in findings.iter().filter(|finding| of(finding)).filter_map(|finding| Severity::parse(&finding.severity)) {
                *counts.of(severity) += 1;
            }
            counts
        };
        Self {
            views: views.len(),
            rules,
            shown: count(&|finding| !finding.pooled && !finding.with_keys),
            with_keys: count(&|finding| !finding.pooled && finding.with_keys),
            pooled: count(&|finding| finding.pooled),
            bites: bites(views, findings),
            flows: flows(views),
        }
    }
}

fn groups(view: &View) -> BTreeSet<&str> {
    let of = view.to.iter().flat_map(|to| match to.groups.as_slice() {
        [] => vec![NO_GROUP],
        groups => groups.iter().map(String::as_str).collect(),
    });
    of.collect()
}

fn bites(views: &[View], findings: &[Finding]) -> Vec<SummaryRule> {
    let mut rules = BTreeMap::new();
    for finding in findings {
        let key = (Reverse(Severity::parse(&finding.severity)), &finding.rule, finding.pooled, finding.with_keys);
        let rule = rules.entry(key).or_insert_with(|| SummaryRule {
            rule: finding.rule.clone(),
            severity: finding.severity.clone(),
            infers: finding.infers.clone(),
            pooled: finding.pooled,
            with_keys: finding.with_keys,
            groups: Vec::new(),
        });
        let of = finding.views.iter().filter_map(|view| views.get(*view)).flat_map(groups);
        rule.groups.extend(of.map(str::to_owned));
    }
    let each_once = |mut rule: SummaryRule| {
        rule.groups.sort_unstable();
        rule.groups.dedup();
        rule
    };
    rules.into_values().map(each_once).collect()
}

/// The fields of a category that reach a group, by message type and path.
type Reached<'v> = BTreeMap<(&'v str, &'v str), Treatment>;

/// A field counts once for a group, as what shows most of it to somebody in it.
fn flows(views: &[View]) -> Vec<SummaryFlow> {
    let mut most: BTreeMap<(&str, &str), Reached<'_>> = BTreeMap::new();
    for view in views {
        for (group, field) in groups(view).into_iter().flat_map(|group| view.fields.iter().map(move |field| (group, field))) {
            let Some(treatment) = Treatment::parse(&field.treatment) else { continue };
            let fields = most.entry((group, &field.category)).or_default();
            let known = fields.entry((&view.schema, &field.path)).or_insert(treatment);
            *known = treatment.min(*known);
        }
    }
    let line = |((group, category), fields): ((&str, &str), Reached<'_>)| {
        let mut counted: BTreeMap<Treatment, usize> = BTreeMap::new();
        fields.into_values().for_each(|treatment| *counted.entry(treatment).or_default() += 1);
        let fields = counted.into_iter().map(|(treatment, many)| (treatment.word().to_owned(), many)).collect();
        SummaryFlow { group: group.to_owned(), category: category.to_owned(), fields }
    };
    most.into_iter().map(line).collect()
}

impl Published {
    /// Of an assessment, and what changed since an earlier one.
    ///
    /// # Errors
    /// The earlier one can't be compared with.
    pub fn of(document: &Document, before: Option<&Document>) -> Result<Self, RiskError> {
        let changes = before.map(|before| compare(before, document)).transpose()?.map(|differences| {
            let mut counted: BTreeMap<(bool, What, Option<String>), usize> = BTreeMap::new();
            for difference in differences {
                *counted.entry((!difference.worse, difference.what, difference.rule)).or_default() += 1;
            }
            let change = |((better, what, rule), many): ((bool, What, Option<String>), usize)| Change {
                worse: !better,
                what: what.word().to_owned(),
                rule,
                many,
            };
            counted.into_iter().map(change).collect()
        });
        let asked = &document.asked;
        Ok(Self {
            version: VERSION,
            assumed: document.assumed.clone(),
            whole: asked.schemas.is_empty() && asked.recipients.is_empty() && asked.purposes.is_empty(),
            // Made anew: what stands in the file is somebody's word for what its findings come to.
            summary: Summary::of(document.rules.len(), &document.views, &document.findings),
            changes,
        })
    }

    /// What it was made from, in words.
    pub fn basis(&self) -> String {
        let agreed = match (self.assumed.subjects, self.assumed.operator) {
            (Whole::Everything, Whole::Everything) => {
                "It takes for granted that persons and the operator permit whatever is allowed to be agreed, and hand over every key."
            }
            (Whole::Records, Whole::Records) => "It holds for the consents and mandates that it was made with.",
            (Whole::Records, Whole::Everything) => {
                "It holds for the consents that it was made with, where the operator permits whatever is allowed."
            }
            (Whole::Everything, Whole::Records) => {
                "It holds for the mandates that it was made with, where persons permit whatever is allowed, and hand over every key."
            }
        };
        let part = if self.whole { "" } else { " Only some kinds of data, recipients or purposes were looked at." };
        let (views, rules) = (self.summary.views, self.summary.rules);
        format!("{agreed}{part} What flows comes to {views} different views, against which {rules} rules were held.")
    }

    /// Whether it is one, and names nobody. Nothing of it can be made again by whoever does not have the configuration.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let Summary { views, rules, shown, with_keys, pooled, bites, flows } = &self.summary;
        if self.version != VERSION {
            return Err(format!("it is not of version {VERSION}"));
        }
        let changes = self.changes.as_deref().unwrap_or_default();
        if *rules > RULES_MAX || [bites.len(), flows.len(), changes.len()].iter().any(|lines| *lines > LINES_MAX) {
            return Err("it has more rules or lines than an assessment can have".to_owned());
        }
        bites.iter().try_for_each(bite)?;
        flows.iter().try_for_each(flow)?;
        changes.iter().try_for_each(change)?;
        let bitten: BTreeSet<&str> = bites.iter().map(|bite| bite.rule.as_str()).collect();
        let each_once = flows.is_sorted_by(|one, next| (&one.group, &one.category) < (&next.group, &next.category));
        if bitten.len() > *rules || !each_once || (*views == 0 && !(bites.is_empty() && flows.is_empty())) {
            return Err("its numbers do not fit together".to_owned());
        }
        for (counts, kind) in [(shown, (false, Some(false))), (with_keys, (false, Some(true))), (pooled, (true, None))] {
            for (severity, many) in counts.each() {
                let is_so = |bite: &&SummaryRule| {
                    bite.pooled == kind.0 && kind.1.is_none_or(|with_keys| bite.with_keys == with_keys) && bite.severity == severity.word()
                };
                let named = bites.iter().filter(is_so).count();
                if named > many || (named == 0) != (many == 0) {
                    return Err(format!("its findings of severity {} are not those of the rules that it names", severity.word()));
                }
            }
        }
        Ok(())
    }
}

impl SummaryRule {
    /// In which case it bites, in words.
    pub const fn how(&self) -> &'static str {
        match (self.pooled, self.with_keys) {
            (false, false) => "by what is shown",
            (false, true) => "where keys are handed over",
            (true, false) => "by two who pool",
            (true, true) => "by two who pool, where keys are handed over",
        }
    }
}

/// A name that may be shown: of a group, a rule or a category, and of nobody.
fn name(text: &str) -> Result<(), String> {
    let tells = ["did:", "spiffe:"].iter().any(|scheme| text.contains(scheme));
    let bad = text.trim().is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control);
    if bad || tells { Err("a group or rule has a name that is none, or is somebody’s".to_owned()) } else { Ok(()) }
}

fn bite(bite: &SummaryRule) -> Result<(), String> {
    name(&bite.rule)?;
    bite.groups.iter().try_for_each(|group| name(group))?;
    let text = &bite.infers;
    let bad_text = text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control);
    match Severity::parse(&bite.severity) {
        Some(_) if !bad_text && !bite.groups.is_empty() && bite.groups.is_sorted_by(|one, next| one < next) => Ok(()),
        _ => Err("a rule bites nobody, or how is not said".to_owned()),
    }
}

fn flow(flow: &SummaryFlow) -> Result<(), String> {
    name(&flow.group)?;
    let counted: Vec<_> = flow.fields.iter().map(|(word, many)| Treatment::parse(word).filter(|_| *many > 0)).collect();
    let flows = counted.iter().all(|treatment| treatment.is_some_and(|treatment| treatment != Treatment::Strip));
    let is_known = flow.category.is_empty() || Category::parse(&flow.category).is_some();
    match !counted.is_empty() && flows && is_known && counted.is_sorted_by(|one, next| one < next) {
        true => Ok(()),
        false => Err("a category or treatment is none, or nothing of it flows".to_owned()),
    }
}

fn change(change: &Change) -> Result<(), String> {
    change.rule.as_deref().map_or(Ok(()), name)?;
    match What::parse(&change.what) {
        Some(what) if what.is_worse() == change.worse && change.many > 0 => Ok(()),
        _ => Err("what changed is not said in words that there are".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(schema: &str, groups: &[&str], fields: &[(&str, &str, &str)]) -> Value {
        let fields = fields.iter().map(|(path, category, treatment)| {
            json!({"path": path, "category": category, "sensitivity": "personal", "treatment": treatment, "how": null, "opens": "no"})
        });
        let to = json!([{"recipient": "spiffe://canary.example/a", "name": "canary", "groups": groups, "purpose": "*", "way": "subscribe", "method": null}]);
        json!({"schema": schema, "subject": "did:key:canary", "to": to, "categories": [], "fields": fields.collect::<Vec<_>>()})
    }

    fn document(change: impl FnOnce(&mut Value)) -> Document {
        let finding = |rule: &str, severity: &str, views: &[usize], with_keys: bool| {
            json!({"rule": rule, "severity": severity, "infers": "where somebody lives", "reason": "because", "sources": [], "views": views,
                   "pooled": views.len() > 1, "joined_by": [], "with_keys": with_keys, "through": [], "stops": []})
        };
        let mut document = json!({
            "kind": "risk", "version": 1, "gateway": "g", "jurisdiction": "DE", "assumed": {"subjects": "everything", "operator": "records"},
            "asked": {"schemas": [], "recipients": [], "purposes": []}, "purposes": [], "rules": {"a": "", "b": "", "c": ""},
            "views": [
                view("x.Y", &["care", "all"], &[("p", "health", "generalize"), ("q", "health", "keep"), ("r", "", "encrypt")]),
                view("x.Y", &["care"], &[("p", "health", "keep")]),
                view("x.Y", &[], &[("p", "location", "pseudonymize")]),
            ],
            "findings": [finding("a", "high", &[0], false), finding("a", "high", &[1], false), finding("b", "low", &[0, 2], true)],
            "summary": {"views": 9, "rules": 9, "shown": Counts::default(), "with_keys": Counts::default(), "pooled": Counts::default(), "bites": []},
        });
        change(&mut document);
        Document::parse(&document.to_string()).expect("an assessment, of a program that counted less")
    }

    #[test]
    fn what_is_published_is_counted_anew_by_group_and_names_nobody() {
        let published = Published::of(&document(|_| ()), None).expect("nothing to compare");
        published.check().expect("it is what it comes to");
        let Summary { views, rules, shown, with_keys, pooled, bites, flows } = &published.summary;
        assert_eq!((*views, *rules, shown.high, with_keys.high, pooled.low), (3, 3, 2, 0, 1));
        let groups: Vec<_> = bites.iter().map(|bite| (bite.rule.as_str(), bite.groups.join(" "))).collect();
        assert_eq!(groups, [("a", "all care".to_owned()), ("b", "- all care".to_owned())]);
        let flows: Vec<_> = flows.iter().map(|flow| format!("{} {} {:?}", flow.group, flow.category, flow.fields)).collect();
        let expected = [
            "- location [(\"pseudonymize\", 1)]",
            "all  [(\"encrypt\", 1)]",
            "all health [(\"keep\", 1), (\"generalize\", 1)]",
            "care  [(\"encrypt\", 1)]",
            "care health [(\"keep\", 2)]",
        ];
        assert_eq!(flows, expected, "a field counts once, as what shows most of it");
        let text = serde_json::to_string(&published).expect("texts");
        assert!(["canary", "x.Y", "spiffe", "did:"].iter().all(|told| !text.contains(told)), "{text}");
    }

    #[test]
    fn what_changed_is_counted_and_of_nobody() {
        let before = document(|document| {
            document["findings"] = json!([]);
            document["views"][2]["fields"][0]["treatment"] = "keep".into();
        });
        let published = Published::of(&document(|_| ()), Some(&before)).expect("of the same");
        published.check().expect("good");
        let told: Vec<_> =
            published.changes.iter().flatten().map(|change| (change.worse, change.what.as_str(), change.rule.as_deref())).collect();
        assert!(told.contains(&(true, "bites", Some("a"))) && told.contains(&(false, "shows_less", None)), "{told:?}");
        assert!(told.first().is_some_and(|(worse, ..)| *worse), "what is worse stands first");
        assert!(!serde_json::to_string(&published).expect("texts").contains("canary"));
        let same = Published::of(&before, Some(&before)).expect("of the same");
        assert_eq!(same.changes, Some(Vec::new()));
        let other = document(|document| document["asked"]["schemas"] = json!(["x.Y"]));
        assert!(!Published::of(&other, None).expect("alone").whole);
        assert_eq!(Published::of(&document(|_| ()), Some(&other)).expect_err("of something else").code(), "TV-A07");
    }

    #[test]
    fn what_does_not_fit_together_or_names_somebody_is_not_shown() {
        let bent = |change: &dyn Fn(&mut Value)| {
            let mut published =
                serde_json::to_value(Published::of(&document(|_| ()), Some(&document(|_| ()))).expect("good")).expect("texts");
            change(&mut published);
            serde_json::from_value::<Published>(published).map_err(|error| error.to_string()).and_then(|published| published.check())
        };
        assert_eq!(bent(&|_| ()), Ok(()));
        let change = json!({"worse": true, "what": "bites", "rule": "a", "many": 1});
        assert_eq!(bent(&|p| p["changes"] = json!([change])), Ok(()));
        let all: [&dyn Fn(&mut Value); 17] = [
            &|p| p["motto"] = "x".into(),
            &|p| p["summary"]["motto"] = "x".into(),
            &|p| p["version"] = 2.into(),
            &|p| p["summary"]["rules"] = 1.into(),
            &|p| p["summary"]["rules"] = 1_001.into(),
            &|p| p["summary"]["views"] = 0.into(),
            &|p| p["summary"]["shown"]["high"] = 0.into(),
            &|p| p["summary"]["pooled"]["critical"] = 1.into(),
            &|p| p["summary"]["bites"][0]["severity"] = "grave".into(),
            &|p| p["summary"]["bites"][0]["groups"] = json!(["spiffe://a.example/b"]),
            &|p| p["summary"]["bites"][0]["groups"] = json!([]),
            &|p| p["summary"]["bites"][0]["infers"] = "a\nb".into(),
            &|p| p["summary"]["flows"][0]["group"] = "did:key:z6Mk".into(),
            &|p| p["summary"]["flows"][0]["category"] = "gossip".into(),
            &|p| p["summary"]["flows"][0]["fields"] = json!([["strip", 1]]),
            &|p| p["changes"] = json!([{"worse": false, "what": "bites", "rule": "a", "many": 1}]),
            &|p| p["changes"] = json!([{"worse": true, "what": "bites", "rule": "a", "many": 0}]),
        ];
        for (number, change) in all.iter().enumerate() {
            assert!(bent(*change).is_err(), "{number}");
        }
    }
}
