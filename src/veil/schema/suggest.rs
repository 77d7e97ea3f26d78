//! A side file to begin with: what names, types, `debug_redact` and comments say about the fields of a schema, as lines for a person
//! to review. What they say nothing about stays a comment, and so unclassified and stripped. `table.rs` has the rules.

mod comments;
mod table;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use self::table::{Kinds, RULES, Rule, Then, found, words};
use super::descriptor::{FieldType, Holds, Label, MessageType, Types};
use super::error::{LoadError, LoadFault};
use super::load::{find_root, load_for_calls, vet};
use super::rules::{TIMESTAMP, judged_as_one};
use super::table::{is_identifier_kind, is_integer};
use super::{Bearer, Kind, Schema};
use crate::veil::terms::{Category, Sensitivity, Treatment};

/// A proposed side file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The side file. It loads, unless `refused` says why not.
    pub text: String,
    /// `message.field` of what a person must decide, in the order of the text.
    pub undecided: Vec<String>,
    /// Why the schema does not load with it: `required` fields of the frames' own message, which no one else can call public.
    pub refused: Option<LoadError>,
}

/// Proposes a side file for frames of type `message`. Annotated fields are left to their annotations.
///
/// # Errors
/// As [`super::load`] where the descriptor set is not read, its root is not there, or a number of the gateway is taken.
pub fn suggest(set: &[u8], message: &str) -> Result<Suggestion, LoadError> {
    let types = Types::read(set)?;
    let root = find_root(&types, message)?;
    let reached: Vec<&MessageType> = vet(&types, root)?
        .into_iter()
        .filter(|found| !found.map_entry && (found.name == root.name || !judged_as_one(&found.name)))
        .collect();
    let comments = comments::read(set);
    let writer = Writer {
        types: &types,
        comments: &comments,
        firm: firm(&reached),
        redacted: redacted(&types, root),
        people: reached.iter().any(|message| about_people(message)),
        root: &root.name,
    };
    let subjects: Vec<String> = reached
        .iter()
        .flat_map(|message| message.fields.iter().filter(|field| writer.subject(message, field)).map(|field| message.place(field)))
        .collect();
    // Exactly one candidate, and our own loader takes it: else somebody has to say.
    let mut made = None;
    if let [only] = &subjects[..] {
        let with = writer.write(&reached, Some(only));
        if let Ok(schema) = load_for_calls(set, message, Some(&with.0)) {
            let said = several(&schema);
            made = schema.subject_sites().next().is_some().then(|| (with.0.replacen("\n[", &format!("{said}\n["), 1), with.1));
        }
    }
    let (text, undecided) = made.unwrap_or_else(|| writer.write(&reached, None));
    let refused = load_for_calls(set, message, Some(&text)).err();
    Ok(Suggestion { text, undecided, refused })
}

/// What a reader has to know about elements that have a subject of their own.
fn several(schema: &Schema) -> String {
    let path = |bearer: &Bearer| schema.nodes().get(bearer.node.0 as usize).map(|node| format!("each of `{}`", node.path));
    let elements: Vec<_> = schema.bearers().iter().filter_map(path).collect();
    if elements.is_empty() {
        return String::new();
    }
    format!(
        "# Several subjects in one message: {} is judged by the one that it names.\n\
         # For calls on a route with `subject = \"field\"`; frames are about one subject each.\n",
        elements.join(", ")
    )
}

/// What is proposed about a field.
#[derive(Clone)]
struct Proposal {
    sensitivity: Sensitivity,
    category: Category,
    floor: Option<Treatment>,
    generalize: Option<String>,
    why: String,
}

struct Writer<'a> {
    types: &'a Types,
    comments: &'a HashMap<String, String>,
    /// Messages with `required` fields: judged as one, or not at all.
    firm: HashSet<Arc<str>>,
    /// Messages that stand in something which its author redacts.
    redacted: HashSet<Arc<str>>,
    /// Whether frames are about people.
    people: bool,
    /// The frames' own message.
    root: &'a str,
}

/// The messages that have a `required` field.
fn firm(reached: &[&MessageType]) -> HashSet<Arc<str>> {
    let is = |message: &&&MessageType| message.fields.iter().any(|field| field.label == Label::Required);
    reached.iter().filter(is).map(|message| Arc::clone(&message.name)).collect()
}

/// Whether a message or a field of it is named for a person, or for what only a person has.
fn about_people(message: &MessageType) -> bool {
    let person = |word: &String| matches!(&**word, "patient" | "person" | "user" | "wearer" | "wearable" | "vitals" | "human" | "resident");
    let of_person = |rule: &&Rule| rule.then == Then::Subject || matches!(rule.category, Category::Health | Category::Biometric);
    words(&message.name).iter().any(person)
        || message
            .fields
            .iter()
            .map(|field| words(&field.name))
            .any(|name| RULES.iter().filter(of_person).any(|rule| found(rule, &name).is_some()))
}

/// The messages that can be reached through a field marked `debug_redact`.
fn redacted(types: &Types, root: &MessageType) -> HashSet<Arc<str>> {
    let mut seen = HashSet::new();
    let mut open = vec![(root, false)];
    while let Some((message, redact)) = open.pop() {
        if seen.insert((Arc::clone(&message.name), redact)) {
            open.extend(message.fields.iter().filter_map(|field| Some((types.of(field)?, redact || field.redact))));
        }
    }
    seen.into_iter().filter(|(_, redact)| *redact).map(|(name, _)| name).collect()
}

impl Writer<'_> {
    fn write(&self, reached: &[&MessageType], subject: Option<&String>) -> (String, Vec<String>) {
        let (mut tables, mut undecided) = (String::new(), Vec::new());
        for message in reached.iter().filter(|message| !self.inert(message)) {
            let mut lines = String::new();
            for field in &message.fields {
                self.line(message, field, subject, &mut lines, &mut undecided);
            }
            if !lines.is_empty() {
                let _ = write!(tables, "\n[\"{}\"]\n{lines}", message.name);
            }
        }
        let mut text = format!(
            "# Proposed for `{}` from names, types and comments. Nobody has reviewed it: read every line, then take its\n\
             # `# review` away. What says `# decide` is stripped until somebody did: {} to decide.\n",
            self.root,
            undecided.len()
        );
        if subject.is_none() {
            text.push_str("# Nothing says whom a frame is about: give one field `role = \"subject\"`, unless it is about nobody.\n");
        }
        (text + &tables, undecided)
    }

    fn line(&self, message: &MessageType, field: &FieldType, subject: Option<&String>, out: &mut String, undecided: &mut Vec<String>) {
        if field.annotation.is_some() {
            return;
        }
        let kind = self.kind(field);
        let inner = self.types.of(field).filter(|inner| kind == Kind::Message && !judged_as_one(&inner.name) && !inner.fields.is_empty());
        let firm_inside = inner.is_some_and(|inner| self.firm.contains(&inner.name));
        if field.label != Label::Required && inner.is_some() && !firm_inside {
            self.by_key(field, out);
            return;
        }
        let proposal = if inner.is_some() || kind == Kind::Group { self.whole(field) } else { self.propose(message, field) };
        let Some(proposal) = proposal.filter(|_| field.label != Label::Required) else {
            let why = match (field.label, kind) {
                (Label::Required, _) => "required: only `public` without a floor is taken here",
                (_, Kind::Map) => "a map: by its keys, or as one",
                _ if firm_inside => "`required` fields are inside: judge it as one, or those as `public`",
                _ if self.people => "it could be a person's; nothing more is known from its name, type or comment",
                _ => "nothing is known from its name, type or comment",
            };
            undecided.push(format!("{}.{}", message.name, field.name));
            // Left out, such a field would be looked into, and its required fields refused: as one and stripped, it is as safe.
            let _ = match field.label {
                Label::Singular | Label::Repeated if firm_inside => {
                    writeln!(
                        out,
                        "{} = {{ sensitivity = \"identifying\", category = \"identity\", floor = \"strip\" }} # decide: {why}",
                        field.name
                    )
                }
                _ => writeln!(out, "# {} = {{ sensitivity = \"…\", category = \"…\" }} # decide: {why}", field.name),
            };
            self.by_key(field, out);
            return;
        };
        let place = message.place(field);
        let role = if subject == Some(&place) { ", role = \"subject\"" } else { "" };
        let floor = proposal.floor.map_or_else(String::new, |floor| format!(", floor = \"{floor}\""));
        let how = proposal.generalize.map_or_else(String::new, |how| format!(", generalize = {{ {how} }}"));
        let _ = writeln!(
            out,
            "{} = {{ sensitivity = \"{}\", category = \"{}\"{role}{floor}{how} }} # review: {}",
            field.name, proposal.sensitivity, proposal.category, proposal.why
        );
    }

    /// Messages with required fields share the fate of the field around them: what is said about their own is not looked at.
    fn inert(&self, message: &MessageType) -> bool {
        self.firm.contains(&message.name) && &*message.name != self.root
    }

    /// For maps with text keys and lists of keyed elements: how a line for one key looks.
    fn by_key(&self, field: &FieldType, out: &mut String) {
        let Some(element) = self.types.of(field).filter(|_| field.repeated() && matches!(field.holds, Holds::Message(_))) else { return };
        let facts = "{ sensitivity = \"…\", category = \"…\" }";
        if element.map_entry {
            if matches!(element.numbered(1).map(|key| &key.holds), Some(Holds::Scalar(Kind::String))) {
                let _ = writeln!(out, "# '{}[\"KEY\"]' = {facts} # review: other keys are then stripped", field.name);
            }
            return;
        }
        let is_key = |field: &&FieldType| {
            matches!(field.holds, Holds::Scalar(Kind::String)) && !field.repeated() && matches!(&*field.name, "key" | "name" | "code")
        };
        let Some(key) = element.fields.iter().find(is_key) else { return };
        let Some(value) = element.fields.iter().find(|other| other.name.contains("value")) else { return };
        let _ = writeln!(
            out,
            "# '{}[{}=\"KEY\"].{}' = {facts} # review: elements with other keys are then stripped",
            field.name, key.name, value.name
        );
    }

    /// As one: as harmful as the worst inside; nothing where any part is not known.
    fn whole(&self, field: &FieldType) -> Option<Proposal> {
        let mut open = vec![self.types.of(field)?];
        let mut seen: HashSet<&str> = HashSet::new();
        let mut worst: Option<Proposal> = None;
        while let Some(message) = open.pop().filter(|message| !judged_as_one(&message.name)) {
            if !seen.insert(&message.name) {
                continue;
            }
            for field in &message.fields {
                if let Some(inner) = self.types.of(field).filter(|inner| !judged_as_one(&inner.name)) {
                    open.push(inner);
                    continue;
                }
                let found = self.propose(message, field)?;
                if worst.as_ref().is_none_or(|worst| found.sensitivity > worst.sensitivity) {
                    worst = Some(Proposal { why: format!("as one, with `{}` inside, of which {}", field.name, found.why), ..found });
                }
            }
        }
        let group = matches!(field.holds, Holds::Group(_));
        worst.map(|worst| Proposal {
            floor: worst.floor.map(|_| if group { Treatment::Strip } else { Treatment::Encrypt }),
            generalize: None,
            ..worst
        })
    }

    fn subject(&self, message: &MessageType, field: &FieldType) -> bool {
        let by_name = self.by_words(&words(&field.name), self.kind(field), |_| true).is_some_and(|(rule, _)| rule.then == Then::Subject);
        by_name && field.label == Label::Singular && field.annotation.is_none() && !self.inert(message)
    }

    fn by_words(&self, text: &[String], kind: Kind, only: impl Fn(&Rule) -> bool) -> Option<(&'static Rule, &'static str)> {
        RULES.iter().filter(|rule| rule.kinds.hold(kind) && only(rule)).find_map(|rule| Some((rule, found(rule, text)?)))
    }

    /// The rule that fits a field best, and what says so.
    fn judge(&self, message: &MessageType, field: &FieldType) -> Option<(&'static Rule, String)> {
        let kind = self.kind(field);
        let mut best = self.by_words(&words(&field.name), kind, |_| true).map(|(rule, word)| (rule, format!("the name says `{word}`")));
        // A comment may only make it stronger: what a comment does not mention is no proof.
        if let Some(comment) = self.comments.get(&format!("{}.{}", message.name, field.name))
            && let Some((rule, word)) =
                self.by_words(&words(comment), kind, |rule| rule.sensitivity >= Sensitivity::Personal && rule.then != Then::Bucket)
            && best.as_ref().is_none_or(|(named, _)| rule.sensitivity > named.sensitivity)
        {
            best = Some((rule, format!("its comment says `{word}`")));
        }
        if best.is_none() && kind == Kind::Timestamp {
            best = RULES.iter().find(|rule| rule.then == Then::Bucket).map(|rule| (rule, "it is a point in time".to_owned()));
        }
        // A temperature is a machine's or a body's: where people are near, nobody can tell by the name.
        best.filter(|(rule, _)| !(self.people && rule.sensitivity < Sensitivity::Personal && rule.kinds == Kinds::Numbers))
    }

    fn propose(&self, message: &MessageType, field: &FieldType) -> Option<Proposal> {
        let kind = self.kind(field);
        if self.redacts(message, field) {
            return Some(Proposal {
                sensitivity: Sensitivity::Identifying,
                category: Category::Identity,
                floor: Some(Treatment::Strip),
                generalize: None,
                why: "its author marked it `debug_redact`".to_owned(),
            });
        }
        let (rule, why) = self.judge(message, field)?;
        let floor = match rule.then {
            Then::Strip => Some(Treatment::Strip),
            Then::Subject | Then::Pseudonym if is_identifier_kind(kind) => Some(Treatment::Pseudonymize),
            Then::Subject | Then::Pseudonym if kind == Kind::Group => Some(Treatment::Strip),
            Then::Subject | Then::Pseudonym => Some(Treatment::Encrypt),
            Then::Nothing | Then::Latitude | Then::Longitude | Then::Bucket => None,
        };
        let generalize = match rule.then {
            Then::Latitude if self.paired(message) => Some("place = { h3_resolution = 7, axis = \"latitude\" }".to_owned()),
            Then::Longitude if self.paired(message) => Some("place = { h3_resolution = 7, axis = \"longitude\" }".to_owned()),
            Then::Bucket if !field.repeated() || kind != Kind::Timestamp => bucket(kind, &words(&field.name)),
            _ => None,
        };
        Some(Proposal { sensitivity: rule.sensitivity, category: rule.category, floor, generalize, why })
    }

    fn redacts(&self, message: &MessageType, field: &FieldType) -> bool {
        field.redact || self.redacted.contains(&message.name)
    }

    /// Whether the message has exactly one coordinate of each axis, and both are ours to classify.
    fn paired(&self, message: &MessageType) -> bool {
        let of = |axis: Then| {
            let mut found = message.fields.iter().filter(|field| self.judge(message, field).is_some_and(|(rule, _)| rule.then == axis));
            let ours = found
                .next()
                .is_some_and(|field| field.label == Label::Singular && field.annotation.is_none() && !self.redacts(message, field));
            ours && found.next().is_none()
        };
        of(Then::Latitude) && of(Then::Longitude)
    }

    fn kind(&self, field: &FieldType) -> Kind {
        match &field.holds {
            Holds::Scalar(kind) => *kind,
            Holds::Enum(_) => Kind::Enum,
            Holds::Group(_) => Kind::Group,
            Holds::Message(_) if self.types.map_entry(field).is_some() => Kind::Map,
            Holds::Message(name) if &**name == TIMESTAMP => Kind::Timestamp,
            Holds::Message(_) => Kind::Message,
        }
    }
}

/// An hour, in the unit that the name says; none where it says none: a bucket in a wrong unit rounds nothing.
fn bucket(kind: Kind, name: &[String]) -> Option<String> {
    if !is_integer(kind) {
        return Some("time_bucket = \"1h\"".to_owned());
    }
    let unit = |words: &[&str]| name.iter().any(|word| words.contains(&word.as_str()));
    let unit = match () {
        () if unit(&["ns", "nano", "nanos", "nanoseconds"]) => "ns",
        () if unit(&["us", "micro", "micros", "microseconds"]) => "us",
        () if unit(&["ms", "milli", "millis", "milliseconds"]) => "ms",
        () if unit(&["s", "sec", "secs", "seconds"]) => "s",
        () => return None,
    };
    Some(format!("time_bucket = \"1h\", unit = \"{unit}\""))
}

impl Suggestion {
    /// Whether everything that the schema has is classified by the proposal.
    pub fn complete(&self) -> bool {
        self.undecided.is_empty() && self.refused.is_none()
    }

    /// Whether what keeps the schema from loading is among what a person must decide.
    pub fn accounts_for_refusal(&self) -> bool {
        let named = |error: &LoadError| self.undecided.iter().any(|field| error.place == format!("`{field}`"));
        self.refused.as_ref().is_none_or(|error| error.fault == LoadFault::Required && named(error))
    }
}
