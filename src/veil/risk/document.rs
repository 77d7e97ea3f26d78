//! An assessment as a document: JSON with stable members, to keep, to embed in a report, and to compare the next one with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::{RiskError, RiskFault};
use super::rule::Severity;

/// The most bytes of an earlier assessment.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// The form that is written and read.
pub(super) const VERSION: u32 = 1;

/// A whole assessment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Always `risk`.
    pub kind: String,
    /// The form: 1.
    pub version: u32,
    /// The gateway's name in its own log.
    pub gateway: String,
    /// Where it is run.
    pub jurisdiction: String,
    /// What is taken to be agreed.
    pub assumed: Assumed,
    /// What was asked for.
    pub asked: Asked,
    /// The purposes that were looked at, `*` for all others aside.
    pub purposes: Vec<String>,
    /// The rules that were held against the views: id → the rule as it is written.
    pub rules: BTreeMap<String, String>,
    /// What flows: views that differ, each with everybody who gets it.
    pub views: Vec<View>,
    /// What can be inferred from it, worst first.
    pub findings: Vec<Finding>,
    /// The whole in a few numbers, without anybody's name.
    pub summary: Summary,
}

/// What is taken to be agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumed {
    /// What subjects say.
    pub subjects: Whole,
    /// What the operator's mandates say.
    pub operator: Whole,
}

/// Where an agreement comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whole {
    /// Everything that can be permitted is, and keys are handed over.
    Everything,
    /// Records that were named decide.
    Records,
}

/// What was asked for; an empty list is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Full names of message types.
    pub schemas: Vec<String>,
    /// SPIFFE ids.
    pub recipients: Vec<String>,
    /// DPV terms.
    pub purposes: Vec<String>,
}

/// What some recipients get of a message type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The full name of the message type.
    pub schema: String,
    /// The did:key of whose records decided; null: it is the same for all subjects.
    pub subject: Option<String>,
    /// Everybody who gets it.
    pub to: Vec<To>,
    /// What kinds of data flow.
    pub categories: Vec<Category>,
    /// The fields of which something flows, or may.
    pub fields: Vec<Field>,
}

/// Who gets a view, and what for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct To {
    /// The SPIFFE id.
    pub recipient: String,
    /// What the operator calls them.
    pub name: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// A DPV term, or `*`: anything that neither policy nor records name.
    pub purpose: String,
    /// `subscribe`, `requests` or `answers`.
    pub way: String,
    /// The method, for calls.
    pub method: Option<String>,
}

/// How much of a kind of data flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// The category.
    pub category: String,
    /// What is done to the fields, most revealing first: treatment → how many.
    pub fields: Vec<(String, usize)>,
}

/// What is done to a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The path.
    pub path: String,
    /// The category.
    pub category: String,
    /// The sensitivity.
    pub sensitivity: String,
    /// The treatment.
    pub treatment: String,
    /// How it is generalized, in words.
    pub how: Option<String>,
    /// Whether the recipient can open it, where it is encrypted.
    pub opens: Opens,
}

/// Whether a recipient reads the value of a field that is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Opens {
    /// It has the key, by the records that were named.
    Yes,
    /// Whoever agrees may hand over the key.
    May,
    /// It is not sealed, or only for others.
    No,
}

/// A rule that bites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The id of the rule.
    pub rule: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// What can be inferred.
    pub infers: String,
    /// Why.
    pub reason: String,
    /// Publications that show it.
    pub sources: Vec<String>,
    /// The position of the view, or of the two that are pooled.
    pub views: Vec<usize>,
    /// Whether two views are needed.
    pub pooled: bool,
    /// By which fields two views are joined; empty for one.
    pub joined_by: Vec<String>,
    /// Whether keys have to be handed over first.
    pub with_keys: bool,
    /// By what each need of the rule is met.
    pub through: Vec<Through>,
    /// What would stop it: any one of these; the first is what the rule suggests.
    pub stops: Vec<Stop>,
}

/// By what a need is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Through {
    /// The need.
    pub need: String,
    /// The position of a view and the path of a field in it.
    pub fields: Vec<(usize, String)>,
}

/// A way to stop a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The need that is left unmet.
    pub need: String,
    /// All of these.
    pub fields: Vec<StopField>,
}

/// A floor that a field should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopField {
    /// The position of the view.
    pub view: usize,
    /// The path.
    pub path: String,
    /// The least that should be done to it.
    pub floor: String,
}

/// The whole in a few numbers, without anybody's name: recipients are groups here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// How many views differ.
    pub views: usize,
    /// How many rules were held against them.
    pub rules: usize,
    /// Findings of one view, by what is shown.
    pub shown: Counts,
    /// Findings of one view that need keys to be handed over.
    pub with_keys: Counts,
    /// Findings that need two views together, with or without keys.
    pub pooled: Counts,
    /// The rules that bite.
    pub bites: Vec<SummaryRule>,
    /// What flows to which groups, by group and category.
    #[serde(default)]
    pub flows: Vec<SummaryFlow>,
}

/// What kind of data flows to a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryFlow {
    /// The group of recipients; `-` stands for recipients without a group.
    pub group: String,
    /// The category; empty where nothing is said.
    pub category: String,
    /// How many fields at which treatment, most revealing first; a field counts once, as what shows most of it to somebody in the group.
    pub fields: Vec<(String, usize)>,
}

/// How many, by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Critical.
    pub critical: usize,
    /// High.
    pub high: usize,
    /// Medium.
    pub medium: usize,
    /// Low.
    pub low: usize,
}

/// A rule that bites, for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryRule {
    /// The id of the rule.
    pub rule: String,
    /// Its severity.
    pub severity: String,
    /// What can be inferred.
    #[serde(default)]
    pub infers: String,
    /// Whether two recipients have to pool what they get.
    pub pooled: bool,
    /// Whether keys have to be handed over first.
    pub with_keys: bool,
    /// The groups of recipients; `-` stands for recipients without a group.
    pub groups: Vec<String>,
}

impl Document {
    /// Reads one that was written earlier.
    ///
    /// # Errors
    /// It is none, of another version, or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, RiskError> {
        let none = |detail: String| RiskError::new(RiskFault::NoDocument, "", detail);
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(RiskError::new(RiskFault::TooLarge, "", format!("{} bytes, at most {DOCUMENT_BYTES_MAX} are read", text.len())));
        }
        // Differences that were printed with it are of no interest here.
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
        let not = |cause: serde_json::Error| none(format!("not an assessment: {cause}"));
        let value = values.next().ok_or_else(|| none("it is empty".to_owned()))?.map_err(not)?;
        if !values.all(|value| value.is_ok_and(|value| value.get("kind").is_some_and(|kind| kind == "difference"))) {
            return Err(none("something else follows the assessment".to_owned()));
        }
        let (kind, version) = (value.get("kind"), value.get("version"));
        if kind.is_none_or(|kind| kind != "risk") || version.is_none_or(|version| *version != VERSION) {
            return Err(none(format!("not an assessment in version {VERSION}")));
        }
        let read: Self = serde_json::from_value(value).map_err(not)?;
        let views = read.findings.iter().flat_map(|finding| &finding.views);
        match views.max().is_some_and(|view| *view >= read.views.len()) || read.findings.iter().any(|finding| finding.views.is_empty()) {
            true => Err(none("a finding is about a view that is not there".to_owned())),
            false => Ok(read),
        }
    }
}

impl Counts {
    /// How many of each severity, worst first.
    pub const fn each(&self) -> [(Severity, usize); 4] {
        let Self { critical, high, medium, low } = *self;
        [(Severity::Critical, critical), (Severity::High, high), (Severity::Medium, medium), (Severity::Low, low)]
    }

    /// How many are of this severity, or worse.
    pub fn at_least(&self, least: Severity) -> usize {
        self.each().iter().filter(|(severity, _)| *severity >= least).map(|(_, many)| many).sum()
    }
}
