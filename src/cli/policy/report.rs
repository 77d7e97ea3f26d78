//! What is printed: which fields, for whom, how often, and an example of each.

use std::path::Path;

use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::DiffArgs;
use super::change::{Change, Changes, Treated, ViewChange};
use super::image::{Comparisons, Found, Image};
use crate::cli::agreements::{ASSUMED, Agreements};
use crate::cli::input::Shape;
use crate::cli::table::Table;
use crate::cli::{CliError, plain, say};
use crate::veil::name::Purpose;
use crate::veil::policy::Reason;
use crate::veil::terms::Treatment;

/// Characters of a value that a table shows; the JSON has all.
const SHOWN_CHARS_MAX: usize = 48;

pub(super) struct Report<'r> {
    pub(super) args: &'r DiffArgs,
    pub(super) recipients: usize,
    pub(super) purposes: usize,
    pub(super) agreements: &'r Agreements,
    pub(super) changes: &'r Changes,
    /// The recording, what was found in it, and how its frames are read; none, where no recording is given.
    pub(super) seen: Option<(&'r Path, &'r Comparisons, &'r Shape)>,
}

/// Changes that are the same for several purposes.
struct Alike<'r> {
    of: &'r ViewChange,
    purposes: Vec<&'r Purpose>,
}

impl Report<'_> {
    /// Prints; an error where something changes.
    pub(super) fn tell(&self) -> Result<(), CliError> {
        say(if self.args.output.is_json() { self.json() } else { self.text() })?;
        self.verdict()
    }

    /// An error where something changes.
    pub(super) fn verdict(&self) -> Result<(), CliError> {
        let all = self.changes.0.iter().flat_map(|of| &of.changes);
        let mut paths: Vec<&str> = all.map(|change| change.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        match paths.len() {
            0 => Ok(()),
            1 => Err(CliError::found("1 field is treated differently")),
            many => Err(CliError::found(format!("{many} fields are treated differently"))),
        }
    }

    fn found(&self, of: &ViewChange, change: &Change) -> Option<&Found> {
        self.seen.as_ref().and_then(|(_, comparisons, _)| comparisons.found(change, &of.recipient, &of.purpose))
    }

    pub(super) fn text(&self) -> String {
        let frames = match &self.seen {
            Some((file, comparisons, _)) => format!("{}, from `{}`", comparisons.frames(), plain(&file.display().to_string())),
            None => "none: treatments alone are compared".to_owned(),
        };
        let mut lines = vec![
            format!("old       {}", self.args.old.display()),
            format!("new       {}", self.args.new.display()),
            format!("schema    {}", self.args.map.message),
            format!("frames    {frames}"),
            format!("assumed   {}", self.agreements.words()),
            format!("compared  {}, {}", counted(self.recipients, "recipient"), counted(self.purposes, "purpose")),
            String::new(),
        ];
        for alike in self.alike() {
            lines.push(self.block(&alike));
        }
        if self.changes.0.is_empty() {
            lines.push("nothing is treated differently".to_owned());
        }
        lines.join("\n").trim_end().to_owned()
    }

    fn block(&self, Alike { of, purposes }: &Alike<'_>) -> String {
        let purposes: Vec<String> = purposes.iter().map(ToString::to_string).collect();
        let whose = of.subject.map(|did| format!(", by the consents of {did}")).unwrap_or_default();
        let reach = match of.delivers {
            [false, true] => "frames did not reach it, and will\n",
            [true, false] => "frames reached it, and will not\n",
            _ => "",
        };
        let seen = self.seen.is_some();
        let mut head = vec!["tells", "path", "before", "after"];
        head.extend(if seen { vec!["frames", "saw", "will see"] } else { vec![] });
        let mut table = Table::new(&head);
        for change in &of.changes {
            let [before, after] = change.sides.each_ref().map(|side| treatment_cell(side.as_ref()));
            let tells = change.tells().word();
            match self.found(of, change) {
                Some(found) => {
                    let [saw, sees] = self.example(found, change).map(|shown| shown.as_ref().map_or_else(String::new, cell));
                    table.push([&tells, &change.path, &before, &after, &found.frames, &saw, &sees]);
                }
                None => table.push([&tells, &change.path, &before, &after]),
            }
        }
        format!("{} for {}{whose}\n{reach}\n{table}\n", of.recipient, purposes.join(", "))
    }

    pub(super) fn json(&self) -> String {
        let compared = json!({
            "kind": "compared", "old": self.args.old, "new": self.args.new, "schema": self.args.map.message,
            "frames": self.seen.as_ref().map(|(_, comparisons, _)| comparisons.frames()), "assumed": self.agreements.words(),
            "recipients": self.recipients, "purposes": self.purposes, "different": !self.changes.0.is_empty(),
        });
        let mut lines = vec![compared.to_string()];
        for of in &self.changes.0 {
            for change in &of.changes {
                let found = self.found(of, change);
                let examples = found.map_or([None, None], |found| self.example(found, change));
                let side = |at: usize| {
                    change.sides[at].as_ref().map(|treated| {
                        json!({
                            "treatment": treated.treatment.word(), "how": treated.how, "key_holders": key_holders(treated),
                            "reason": reason(treated), "example": examples[at].as_ref().map(Shown::json),
                        })
                    })
                };
                let line = json!({
                    "kind": "change", "recipient": of.recipient.as_str(), "purpose": of.purpose.as_str(),
                    "subject": of.subject.map(|did| did.to_string()), "delivers_before": of.delivers[0], "delivers_after": of.delivers[1],
                    "path": change.path, "tells": change.tells().word(), "before": side(0), "after": side(1),
                    "frames": found.map(|found| found.frames),
                });
                lines.push(line.to_string());
            }
        }
        lines.join("\n")
    }

    /// Each kind of change once, with all purposes that it is for.
    fn alike(&self) -> Vec<Alike<'_>> {
        let mut all: Vec<Alike<'_>> = Vec::new();
        let same = |a: &ViewChange, b: &ViewChange| {
            let of =
                |one: &ViewChange| -> Vec<_> { one.changes.iter().map(|change| format!("{:?}", (&change.path, &change.sides))).collect() };
            (&a.recipient, a.subject, a.delivers) == (&b.recipient, b.subject, b.delivers) && of(a) == of(b)
        };
        for of in &self.changes.0 {
            match all.iter_mut().find(|alike| same(alike.of, of)) {
                Some(alike) => alike.purposes.push(&of.purpose),
                None => all.push(Alike { of, purposes: vec![&of.purpose] }),
            }
        }
        all
    }

    fn example(&self, found: &Found, change: &Change) -> [Option<Shown>; 2] {
        let Some(images) = &found.example else { return [None, None] };
        images.each_ref().map(|image| match image {
            Image::Nothing => Some(Shown::Nothing),
            Image::Sealed(holders, _) => Some(Shown::Sealed(holders.words())),
            Image::Clear(bytes) => self.value(bytes, &change.path).map(Shown::Value),
        })
    }

    /// The value alone, out of the messages around it.
    fn value(&self, message: &[u8], path: &str) -> Option<Value> {
        let (.., shape) = self.seen.as_ref()?;
        let message = DynamicMessage::decode(shape.message().clone(), message).ok()?;
        let mut value = serde_json::to_value(&message).ok()?;
        let last = path.rsplit('.').next().unwrap_or(path);
        loop {
            value = match value {
                Value::Object(members) if members.len() == 1 => members.into_iter().next()?.1,
                Value::Array(list) if list.len() == 1 && list.iter().all(Value::is_object) => list.into_iter().next()?,
                // The other coordinate of a place stands beside it.
                Value::Object(mut members) if members.contains_key(last) => members.remove(last)?,
                other => return Some(other),
            };
        }
    }
}

/// A value as it is shown.
enum Shown {
    Nothing,
    Sealed(&'static str),
    Value(Value),
}

impl Shown {
    fn json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Sealed(holders) => json!({ "sealed": holders }),
            Self::Value(value) => json!({ "value": value }),
        }
    }
}

fn cell(shown: &Shown) -> String {
    let text = match shown {
        Shown::Nothing => "nothing".to_owned(),
        Shown::Sealed(_) => "sealed".to_owned(),
        Shown::Value(value) => value.to_string(),
    };
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// What is done, and below it why.
fn treatment_cell(treated: Option<&Treated>) -> String {
    let Some(treated) = treated else { return "nothing".to_owned() };
    let with = treated.how.clone().or_else(|| key_holders(treated).map(|holders| format!("for {holders}")));
    let with = with.map(|with| format!(" {with}")).unwrap_or_default();
    format!("{}{with}\n{}", treated.treatment, reason(treated))
}

/// Who decided; what is taken to be permitted has no record.
fn reason(treated: &Treated) -> String {
    match &treated.reason {
        Reason::Consent(record, _) | Reason::Mandate(record, _) if *record == ASSUMED => "taken to be permitted".to_owned(),
        reason => reason.to_string(),
    }
}

fn key_holders(treated: &Treated) -> Option<&'static str> {
    (treated.treatment == Treatment::Encrypt).then(|| treated.holders.words())
}

fn counted(many: usize, what: &str) -> String {
    format!("{many} {what}{}", if many == 1 { "" } else { "s" })
}
