//! The operator's policy, in [Cedar](https://docs.cedarpolicy.com): the least protective treatment that a recipient may get for
//! a field. A policy only ever takes away: what it permits still needs the consent of whom the data is about.
//!
//! # The language
//!
//! A policy answers: may this **recipient** see this **field** at this **treatment**, in this context?
//!
//! | part | written as | is |
//! | --- | --- | --- |
//! | principal | `Recipient::"spiffe://…"`, `in Group::"research"` | who receives: a `[[party]]` of the configuration, and its groups |
//! | action | `Action::"keep"`, `"generalize"`, `"pseudonymize"`, `"encrypt"` | the treatment; `strip` needs no permission |
//! | resource | `in Category::"health"`, `in Sensitivity::"special"` | the field, by what the schema says about it; a set of them stands in a condition: `when { resource in [Category::"health", …] }` |
//! | | `resource.path`, `resource.schema`, `resource.kind` | its path as `schema check` prints it, the full name of the frame's message type, and its type, such as `"float"` |
//! | | `resource has role && resource.role == "subject"` | what the gateway uses it for, where it uses it |
//! | context | `context.purpose == Purpose::"dpv:…"` | what for: a term of the DPV purpose taxonomy |
//! | | `context.jurisdiction` | where the recipient is, as the configuration says |
//!
//! For every field the gateway asks from `keep` to `encrypt`; the first treatment that is permitted is the floor, and its policy
//! is the reason that `explain` names (give it an `@id`). Nothing permitted: the field is stripped. `forbid` wins over `permit`,
//! per treatment: forbidding `keep` leaves `generalize` as it was. A permission for `keep` needs no further ones for the more
//! protective treatments, as a consent may always ask for more protection than the floor.
//!
//! # What can go wrong
//!
//! A policy is checked against this vocabulary when it is loaded: an unknown category, sensitivity, group, recipient, purpose or
//! action, a type error, a condition that can never be true, or a template refuses the file, and the gateway does not start with
//! it. Not checked are texts that are compared with `path`, `schema`, `kind`, `role` and `jurisdiction`: `twinveil explain` shows
//! what comes out. Should a policy fail while it is evaluated (an overflow), there is no floor table and so no view: Cedar would
//! leave that policy out, and a `forbid` that is left out fails open.
//!
//! # Example
//!
//! ```
//! use twinveil::veil::{name::Spiffe, policy::floor::Policy, schema, terms};
//!
//! let policy = r#"
//!     @id("vitals-coarse-for-research")
//!     permit (
//!         principal in Group::"research",
//!         action in [Action::"generalize", Action::"encrypt"],
//!         resource in Category::"health"
//!     ) when { context.purpose == Purpose::"dpv:ScientificResearch" };
//!
//!     @id("never-text")
//!     forbid (principal, action, resource) when { resource.path like "note*" };
//! "#;
//! let lab = Spiffe::parse("spiffe://university.example/lab")?;
//! let policy = Policy::load(policy, &[(lab.clone(), vec!["research".to_owned()])])?;
//!
//! let schema = schema::load_annotated(twinveil::proto::SAMPLES, "twinveil.sample.PatientFrame")?;
//! let purpose = terms::purpose("dpv:ScientificResearch").expect("a DPV term");
//! let floors = policy.floors(&schema, &lab, &purpose, "EU")?;
//! let floor = |path: &str| {
//!     let site = schema.sites().iter().position(|site| site.path.as_str() == path).expect("a path of the schema");
//!     floors.0[site].treatment
//! };
//! assert_eq!(floor("vitals.heart_rate_bpm"), terms::Treatment::Generalize);
//! assert_eq!(floor("identity.given_name"), terms::Treatment::Strip);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use cedar_policy as cedar;
use cedar_policy::ffi::DetailedError;
use cedar_policy::{EntityUid, RestrictedExpression};

use super::{Floor, FloorTable};
use crate::veil::dpv::PURPOSES;
use crate::veil::logsafe::LogSafe;
use crate::veil::name::{PolicyId, Purpose, Spiffe};
use crate::veil::schema::{Schema, Site, did_you_mean, faults};
use crate::veil::terms::{Category, Sensitivity, Treatment};

/// The most bytes of a policy file.
pub const POLICY_BYTES_MAX: usize = 1 << 20;

/// The treatments that need a permission, in the order in which they are asked for.
const ASKED: [Treatment; 4] = [Treatment::Keep, Treatment::Generalize, Treatment::Pseudonymize, Treatment::Encrypt];

faults! {
    /// What is wrong with a policy.
    PolicyFault {
        /// More text than the gateway reads.
        TooLarge = "TV-P01", "shorten the policy";
        /// Not Cedar.
        Syntax = "TV-P02", "mend the policy";
        /// A template: it would wait for values that nobody fills in.
        Template = "TV-P03", "write a policy without slots";
        /// Two policies with one id.
        DuplicateId = "TV-P04", "give each policy an `@id` of its own";
        /// A category, sensitivity, group, recipient, purpose, action or type that does not exist.
        UnknownName = "TV-P05", "mend the name";
        /// A type error, or a condition that can never be true.
        Invalid = "TV-P06", "mend the policy";
        /// The list of recipients contradicts itself.
        Parties = "TV-P07", "mend the `[[party]]` entries of the configuration";
        /// Floors were asked for a recipient that is not in the list.
        UnknownRecipient = "TV-P08", "add a `[[party]]` entry to the configuration";
        /// A policy failed while it was evaluated; nothing is sent.
        Evaluation = "TV-P09", "mend the policy";
    }
}

/// A policy that is not taken, or that failed, and whose move it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// What kind of fault.
    pub fault: PolicyFault,
    /// Which policy.
    pub policy: Option<PolicyId>,
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// What exactly.
    pub detail: String,
}

impl PolicyError {
    fn new(fault: PolicyFault, detail: impl Into<String>) -> Self {
        Self { fault, policy: None, line: None, detail: detail.into() }
    }

    fn about(self, policy: &PolicyId) -> Self {
        Self { policy: Some(policy.clone()), ..self }
    }

    fn on_line(self, line: Option<usize>) -> Self {
        Self { line, ..self }
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.fault.code()
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.policy, self.line) {
            (Some(policy), Some(line)) => write!(f, "policy `{policy}`, line {line}: ")?,
            (Some(policy), None) => write!(f, "policy `{policy}`: ")?,
            (None, Some(line)) => write!(f, "policy file, line {line}: ")?,
            (None, None) => {}
        }
        write!(f, "{}: {}", self.detail, self.fault.todo())
    }
}

impl std::error::Error for PolicyError {}
/// Policies and parties are the operator's; no frame and no person is in them.
impl LogSafe for PolicyError {}

/// A policy file that was checked against the vocabulary.
#[derive(Debug)]
pub struct Policy {
    policies: cedar::PolicySet,
    vocabulary: cedar::Schema,
    /// Our name of each policy, and its place in the file.
    ids: HashMap<cedar::PolicyId, (usize, PolicyId)>,
    recipients: BTreeMap<Spiffe, BTreeSet<String>>,
}

impl Policy {
    /// Reads and checks a policy file. `recipients`: everyone who may receive, with their groups.
    ///
    /// # Errors
    /// [`PolicyError`] names the policy and line; nothing in the file is skipped.
    pub fn load(text: &str, recipients: &[(Spiffe, Vec<String>)]) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            let detail = format!("a policy file of {} bytes, the gateway reads {POLICY_BYTES_MAX}", text.len());
            return Err(PolicyError::new(PolicyFault::TooLarge, detail));
        }
        let recipients = check_parties(recipients)?;
        let words = Words::of(&recipients);
        let vocabulary = words.vocabulary()?;
        let policies: cedar::PolicySet = text.parse().map_err(|cause: cedar::ParseErrors| {
            let cause = DetailedError::from(&cause);
            PolicyError::new(PolicyFault::Syntax, sentence(&cause)).on_line(line_of(text, &cause))
        })?;
        if let Some(template) = policies.templates().next() {
            let line = text.find("?principal").or_else(|| text.find("?resource")).map(|at| line_at(text, at));
            return Err(PolicyError::new(PolicyFault::Template, format!("`{}` is a template", template.id())).on_line(line));
        }
        let mut file: Vec<&cedar::Policy> = policies.policies().collect();
        // Cedar numbers policies in the order of the file: policy0, policy1, …
        file.sort_by_key(|policy| number_of(policy.id()));
        let mut ids = HashMap::new();
        let mut taken = HashSet::new();
        let mut from = 0;
        for (place, policy) in file.into_iter().enumerate() {
            let id = PolicyId::new(policy.annotation("id").map_or_else(|| policy.id().to_string(), str::to_owned));
            let source = policy.to_cedar().unwrap_or_default();
            let start = text.get(from..).and_then(|rest| rest.find(&source)).map(|at| from + at);
            from = start.map_or(from, |start| start + source.len());
            let line = start.map(|start| line_at(text, start));
            if id.as_str().is_empty() || id.as_str().chars().any(char::is_control) {
                return Err(PolicyError::new(PolicyFault::DuplicateId, "an `@id` that can't be shown").on_line(line));
            }
            if !taken.insert(id.clone()) {
                return Err(PolicyError::new(PolicyFault::DuplicateId, "a second policy has this id").about(&id).on_line(line));
            }
            for literal in policy.entity_literals() {
                words.check(&literal).map_err(|error| {
                    let at = source.find(&literal.to_string()).zip(start).map(|(at, start)| line_at(text, start + at));
                    error.about(&id).on_line(at.or(line))
                })?;
            }
            ids.insert(policy.id().clone(), (place, id));
        }
        let result = cedar::Validator::new(vocabulary.clone()).validate(&policies, cedar::ValidationMode::Strict);
        let errors = result.validation_errors().map(|error| (error.policy_id(), DetailedError::from(error)));
        // A warning says that a policy can never apply, or that its text does not read as it looks: both refuse.
        let warnings = result.validation_warnings().map(|warning| (warning.policy_id(), DetailedError::from(warning)));
        let first = errors.chain(warnings).min_by_key(|(policy, cause)| (number_of(policy), line_of(text, cause)));
        if let Some((policy, cause)) = first {
            let error = PolicyError::new(PolicyFault::Invalid, sentence(&cause)).on_line(line_of(text, &cause));
            return Err(match ids.get(policy) {
                Some((_, id)) => error.about(id),
                None => error,
            });
        }
        Ok(Self { policies, vocabulary, ids, recipients })
    }

    /// The least protective treatment for every site of the schema.
    ///
    /// # Errors
    /// Where a policy fails while it is evaluated there is no table at all: leaving the policy out could leave out a `forbid`.
    pub fn floors(&self, schema: &Schema, recipient: &Spiffe, purpose: &Purpose, jurisdiction: &str) -> Result<FloorTable, PolicyError> {
        let Some(groups) = self.recipients.get(recipient) else {
            return Err(PolicyError::new(PolicyFault::UnknownRecipient, format!("no recipient `{recipient}`")));
        };
        let principal = uid("Recipient", recipient.as_str())?;
        let parents = groups.iter().map(|group| uid("Group", group)).collect::<Result<_, _>>()?;
        let mut entities = vec![cedar::Entity::new_no_attrs(principal.clone(), parents)];
        let mut fields = Vec::with_capacity(schema.sites().len());
        for (index, site) in schema.sites().iter().enumerate() {
            let Some(category) = site.facts.category else {
                // Nobody classified it: it is stripped whatever a policy says.
                fields.push(None);
                continue;
            };
            let field = uid("Field", &index.to_string())?;
            let parents = HashSet::from([uid("Category", category.word())?, uid("Sensitivity", site.facts.sensitivity.word())?]);
            entities.push(cedar::Entity::new(field.clone(), attributes(schema, site), parents).map_err(|cause| evaluation(&cause))?);
            fields.push(Some(field));
        }
        let entities = cedar::Entities::from_entities(entities, Some(&self.vocabulary)).map_err(|cause| evaluation(&cause))?;
        let ask = Ask { entities, principal, purpose: uid("Purpose", purpose.as_str())?, jurisdiction };
        let floors = fields.into_iter().map(|field| match field {
            None => Ok(Floor { treatment: Treatment::Strip, policy: None }),
            Some(field) => self.floor(&ask, &field),
        });
        Ok(FloorTable(floors.collect::<Result<_, _>>()?))
    }

    fn floor(&self, ask: &Ask<'_>, field: &EntityUid) -> Result<Floor, PolicyError> {
        for treatment in ASKED {
            let context = cedar::Context::from_pairs([
                ("purpose".to_owned(), RestrictedExpression::new_entity_uid(ask.purpose.clone())),
                ("jurisdiction".to_owned(), RestrictedExpression::new_string(ask.jurisdiction.to_owned())),
            ])
            .map_err(|cause| evaluation(&cause))?;
            let action = uid("Action", treatment.word())?;
            let request = cedar::Request::new(ask.principal.clone(), action, field.clone(), context, Some(&self.vocabulary))
                .map_err(|cause| evaluation(&cause))?;
            let response = cedar::Authorizer::new().is_authorized(&request, &self.policies, &ask.entities);
            if let Some(cedar::AuthorizationError::PolicyEvaluationError(error)) = response.diagnostics().errors().next() {
                let failed = PolicyError::new(PolicyFault::Evaluation, one_line(&error.inner().to_string()));
                return Err(match self.ids.get(error.policy_id()) {
                    Some((_, id)) => failed.about(id),
                    None => failed,
                });
            }
            if response.decision() == cedar::Decision::Allow {
                let first = response.diagnostics().reason().filter_map(|policy| self.ids.get(policy)).min();
                return Ok(Floor { treatment, policy: first.map(|(_, id)| id.clone()) });
            }
        }
        Ok(Floor { treatment: Treatment::Strip, policy: None })
    }
}

/// What stays the same over the sites of a schema.
struct Ask<'a> {
    entities: cedar::Entities,
    principal: EntityUid,
    purpose: EntityUid,
    jurisdiction: &'a str,
}

fn attributes(schema: &Schema, site: &Site) -> HashMap<String, RestrictedExpression> {
    let text = |name: &str, value: &str| (name.to_owned(), RestrictedExpression::new_string(value.to_owned()));
    let role = site.facts.role.map(|role| text("role", role.word()));
    [text("path", site.path.as_str()), text("schema", schema.name().as_str()), text("kind", site.kind.word())]
        .into_iter()
        .chain(role)
        .collect()
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, PolicyError> {
    let kind = kind.parse::<cedar::EntityTypeName>().map_err(|cause| evaluation(&cause))?;
    Ok(EntityUid::from_type_name_and_id(kind, cedar::EntityId::new(id)))
}

fn evaluation(cause: &dyn fmt::Display) -> PolicyError {
    PolicyError::new(PolicyFault::Evaluation, one_line(&cause.to_string()))
}

fn check_parties(recipients: &[(Spiffe, Vec<String>)]) -> Result<BTreeMap<Spiffe, BTreeSet<String>>, PolicyError> {
    let mut checked = BTreeMap::new();
    for (recipient, groups) in recipients {
        if let Some(group) = groups.iter().find(|group| group.is_empty() || group.len() > 256 || group.chars().any(char::is_control)) {
            let detail = format!("recipient `{recipient}`: a group is named `{}`", one_line(group));
            return Err(PolicyError::new(PolicyFault::Parties, detail));
        }
        if checked.insert(recipient.clone(), groups.iter().cloned().collect()).is_some() {
            return Err(PolicyError::new(PolicyFault::Parties, format!("recipient `{recipient}` stands twice")));
        }
    }
    Ok(checked)
}

/// Every entity that a policy may name.
struct Words {
    by_type: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Words {
    fn of(recipients: &BTreeMap<Spiffe, BTreeSet<String>>) -> Self {
        let by_type = BTreeMap::from([
            ("Action", ASKED.iter().map(|treatment| treatment.word().to_owned()).collect()),
            ("Category", Category::ALL.iter().map(|category| category.word().to_owned()).collect()),
            ("Group", recipients.values().flatten().cloned().collect()),
            ("Purpose", PURPOSES.iter().map(|term| format!("dpv:{term}")).collect()),
            ("Recipient", recipients.keys().map(|recipient| recipient.as_str().to_owned()).collect()),
            ("Sensitivity", Sensitivity::ALL.iter().map(|sensitivity| sensitivity.word().to_owned()).collect()),
        ]);
        Self { by_type }
    }

    fn check(&self, literal: &EntityUid) -> Result<(), PolicyError> {
        let (kind, id) = (literal.type_name().to_string(), literal.id().unescaped());
        let unknown = |detail: String| Err(PolicyError::new(PolicyFault::UnknownName, one_line(&detail)));
        match self.by_type.get(kind.as_str()) {
            Some(known) if known.contains(id) => Ok(()),
            Some(_) if kind == "Action" && id == Treatment::Strip.word() => unknown("`strip` needs no permission".to_owned()),
            Some(known) => unknown(format!("no `{literal}`{}", did_you_mean(id, known.iter().map(String::as_str)))),
            None if kind == "Field" => unknown(format!("`{literal}`: fields are named by `resource.path`")),
            None => unknown(format!("no type `{kind}`{}", did_you_mean(&kind, self.by_type.keys().copied()))),
        }
    }

    /// The Cedar schema: enumerated types have no other members than these.
    fn vocabulary(&self) -> Result<cedar::Schema, PolicyError> {
        let mut text = String::new();
        for (kind, words) in &self.by_type {
            let quoted: Vec<_> = words.iter().map(|word| format!("\"{}\"", cedar::EntityId::new(word).escaped())).collect();
            match *kind {
                "Action" => text.push_str(&format!(
                    "action {} appliesTo {{ principal: [Recipient], resource: [Field], context: {{ purpose: Purpose, jurisdiction: String }} }};\n",
                    quoted.join(", ")
                )),
                "Recipient" => text.push_str("entity Recipient in [Group];\n"),
                // An enumeration has at least one member.
                _ if quoted.is_empty() => text.push_str(&format!("entity {kind};\n")),
                _ => text.push_str(&format!("entity {kind} enum [{}];\n", quoted.join(", "))),
            }
        }
        text.push_str("entity Field in [Category, Sensitivity] { path: String, schema: String, kind: String, role?: String };\n");
        cedar::Schema::from_cedarschema_str(&text).map(|(schema, _)| schema).map_err(|cause| {
            PolicyError::new(PolicyFault::Parties, format!("no vocabulary comes of the parties: {}", one_line(&cause.to_string())))
        })
    }
}

/// `policy12` → 12.
fn number_of(id: &cedar::PolicyId) -> usize {
    id.to_string().trim_start_matches("policy").parse().unwrap_or(usize::MAX)
}

fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

fn line_of(text: &str, cause: &DetailedError) -> Option<usize> {
    let own = cause.source_locations.iter().map(|label| label.loc.start).min();
    own.map(|at| line_at(text, at)).or_else(|| cause.related.iter().find_map(|related| line_of(text, related)))
}

/// Cedar's message and advice in one line.
fn sentence(cause: &DetailedError) -> String {
    let help = cause.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
    one_line(&format!("{}{help}", cause.message))
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

#[cfg(test)]
mod tests;
