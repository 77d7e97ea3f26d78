//! What is printed: what was tried, and the two frames where something leaks.

use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::super::wallet::hex;
use super::super::{CliError, OutputArgs, say};
use super::{Outcome, Plan};
use crate::veil::oracle::{Leak, Seen};

/// Bytes of a frame that are shown; shrunken frames are seldom longer.
const SHOWN_BYTES_MAX: usize = 512;
/// Fields that are named.
const NAMED_MAX: usize = 20;

pub(super) struct Report<'p> {
    pub(super) plan: &'p Plan,
    pub(super) outcome: &'p Outcome,
}

impl Report<'_> {
    /// Prints; an error where something leaks.
    pub(super) fn tell(&self, output: OutputArgs) -> Result<(), CliError> {
        if output.is_json() {
            say(self.json())?
        } else {
            say(self.text())?
        }
        let Some((_, leak)) = &self.outcome.leak else { return Ok(()) };
        let names: Vec<String> = leak.fields.iter().map(ToString::to_string).collect();
        Err(CliError::found(format!("a view tells what it may not: {}", names.join(", "))))
    }

    pub(super) fn text(&self) -> String {
        let (plan, outcome) = (self.plan, self.outcome);
        let mut lines = vec![
            format!("schema      {}", plan.schema.name()),
            format!("frames      {}, {}", plan.frames.len(), super::super::plain(&plan.source)),
            format!(
                "views       {} that differ, for {} and {}",
                plan.candidates.len(),
                counted(plan.recipients, "recipient"),
                counted(plan.purposes, "purpose")
            ),
            format!("variations  {} tried, {} put aside as visible", outcome.kept, outcome.discarded),
            format!("hidden      {} of {} fields that a view does not keep were varied", outcome.varied.len(), outcome.hidden.len()),
        ];
        if let Some((index, leak)) = &outcome.leak {
            lines.push(String::new());
            if let Some(candidate) = plan.candidates.get(*index) {
                let others = if candidate.alike == 0 { String::new() } else { format!(", and {} alike", counted(candidate.alike, "view")) };
                lines.push(format!("leak        {}{others}", candidate.about));
            }
            for field in leak.fields.iter().take(NAMED_MAX) {
                lines.push(format!("through     {field}"));
            }
            for (frame, seen, name) in [(&leak.frames[0], &leak.seen[0], "one"), (&leak.frames[1], &leak.seen[1], "other")] {
                lines.push(format!("frame       {name}: {}", shown(frame)));
                lines.extend(self.decoded(frame).map(|json| format!("            {json}")));
                lines.push(format!("sent        {}", sent(seen)));
            }
            lines.push(format!("difference  {}", difference(leak)));
        } else {
            let missing = self.not_varied();
            if !missing.is_empty() {
                lines.push(format!("not varied  {}", missing.join(", ")));
            }
            lines.push(String::new());
            lines.push("no view told anything".to_owned());
        }
        lines.join("\n")
    }

    pub(super) fn json(&self) -> String {
        let (plan, outcome) = (self.plan, self.outcome);
        let tried = json!({
            "kind": "tried", "schema": plan.schema.name().as_str(), "frames": plan.frames.len(), "views": plan.candidates.len(),
            "recipients": plan.recipients, "purposes": plan.purposes, "seed": plan.seed, "variations": outcome.kept,
            "put_aside": outcome.discarded, "fields_varied": outcome.varied.len(), "fields_hidden": outcome.hidden.len(),
            "not_varied": self.not_varied(), "leaks": outcome.leak.is_some(),
        });
        let Some((index, leak)) = &outcome.leak else { return tried.to_string() };
        let side = |at: usize| {
            let (frame, seen) = (leak.frames.get(at), leak.seen.get(at));
            json!({
                "frame_hex": frame.map(|frame| hex(frame)),
                "frame": frame.and_then(|frame| self.decoded(frame)).and_then(|text| serde_json::from_str::<Value>(&text).ok()),
                "refused": seen == Some(&Seen::Refused),
                "clear_hex": seen.map(|seen| hex(seen.clear())),
                "groups": match seen { Some(Seen::Sent { groups, .. }) => groups.clone(), _ => Vec::new() },
            })
        };
        let fields: Vec<String> = leak.fields.iter().map(|field| field.path.clone()).collect();
        let leak = json!({
            "kind": "leak", "view": plan.candidates.get(*index).map(|candidate| candidate.about.clone()), "fields": fields,
            "one": side(0), "other": side(1), "first_difference": leak.first_difference(),
        });
        format!("{tried}\n{leak}")
    }

    fn not_varied(&self) -> Vec<String> {
        let path = |site: &crate::veil::schema::SiteId| self.plan.schema.sites().get(site.0 as usize).map(|site| site.path.to_string());
        self.outcome.hidden.difference(&self.outcome.varied).filter_map(path).collect()
    }

    /// The protobuf JSON form, where the frame has one.
    fn decoded(&self, frame: &[u8]) -> Option<String> {
        let shape = self.plan.map.shape().ok()?;
        let message = DynamicMessage::decode(shape.message().clone(), frame).ok()?;
        serde_json::to_string(&message).ok().map(|text| super::super::plain(&text))
    }
}

fn counted(many: usize, what: &str) -> String {
    format!("{many} {what}{}", if many == 1 { "" } else { "s" })
}

fn shown(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_BYTES_MAX) {
        _ if bytes.is_empty() => "(no bytes)".to_owned(),
        Some(head) if head.len() < bytes.len() => format!("{}… ({} bytes)", hex(head), bytes.len()),
        _ => hex(bytes),
    }
}

fn sent(seen: &Seen) -> String {
    match seen {
        Seen::Refused => "nothing: it is refused".to_owned(),
        Seen::Sent { clear, groups } if groups.is_empty() => shown(clear),
        Seen::Sent { clear, groups } => {
            let lens: Vec<String> = groups.iter().map(ToString::to_string).collect();
            format!("{}, sealed groups of {} bytes", shown(clear), lens.join(" and "))
        }
    }
}

fn difference(leak: &Leak) -> String {
    match (leak.first_difference(), &leak.seen) {
        (_, [Seen::Refused, _] | [_, Seen::Refused]) => "one is refused, the other is not".to_owned(),
        (Some(at), [a, b]) => {
            let tail = |seen: &Seen| shown(seen.clear().get(at..).unwrap_or_default());
            format!("from byte {at}: {} and {}", tail(a), tail(b))
        }
        (None, _) => "in the length of sealed groups".to_owned(),
    }
}
