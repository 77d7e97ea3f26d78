//! What a new version of a schema makes of an old one: which places were added, removed or changed, which of them are protected
//! less than before, and which messages can be reached for the first time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Facts, Reached, Schema, Site};
use crate::veil::terms::Generalizer;

/// A difference between two versions of a schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<'a> {
    /// A message type that no frame could hold before.
    Reachable(&'a Reached),
    /// A new field of a message type that is judged as one somewhere: what is done there is done to it, too.
    Inside {
        /// The message type.
        message: &'a str,
        /// The number of the field.
        number: u32,
        /// Its name.
        field: &'a str,
    },
    /// The new one has a site that the old one had not.
    Added {
        /// The site.
        site: &'a Site,
        /// The message type that it stands in.
        message: &'a str,
        /// Whether the message stood at this place before: if so it got a field, or the place is judged in more detail.
        below_known: bool,
    },
    /// The old one had a site that the new one has not.
    Removed(&'a Site),
    /// The site differs in number, type or facts.
    Changed {
        /// As it was.
        old: &'a Site,
        /// As it is.
        new: &'a Site,
        /// What of it, in words.
        what: Vec<&'static str>,
        /// In what it is protected less than before.
        weaker: Vec<&'static str>,
    },
}

impl Change<'_> {
    /// The stable word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Reachable(_) => "reachable",
            Self::Inside { .. } => "inside",
            Self::Added { .. } => "added",
            Self::Removed(_) => "removed",
            Self::Changed { .. } => "changed",
        }
    }

    /// In what something is protected less than before; a new field inside something that is judged as one has no say of its own.
    pub fn weaker(&self) -> &[&'static str] {
        match self {
            Self::Changed { weaker, .. } => weaker,
            Self::Inside { .. } => &["comes out with the message around it"],
            Self::Reachable(_) | Self::Added { .. } | Self::Removed(_) => &[],
        }
    }

    /// The path of a site, or the name of a message or of its field.
    pub fn place(&self) -> String {
        match self {
            Self::Reachable(message) => message.message.to_string(),
            Self::Inside { message, field, .. } => format!("{message}.{field}"),
            Self::Added { site, .. } | Self::Removed(site) | Self::Changed { new: site, .. } => site.path.as_str().to_owned(),
        }
    }
}

/// What changed from one version of a schema to the next: message types first, then sites by path.
pub fn changes<'a>(old: &'a Schema, new: &'a Schema) -> Vec<Change<'a>> {
    let mut changes = reach(old, new);
    let (before, after) = (by_path(old), by_path(new));
    let stood: BTreeSet<(&str, &str)> = old.nodes.iter().map(|node| (node.path.as_str(), &*node.message)).collect();
    let mut sites: Vec<(&str, Change<'_>)> = Vec::new();
    for (path, &(site, _)) in &before {
        match after.get(path) {
            None => sites.push((path, Change::Removed(site))),
            Some(&(new, _)) if site != new => sites.push((path, compare(site, new))),
            Some(_) => {}
        }
    }
    for (path, &(site, (at, message))) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
        sites.push((path, Change::Added { site, message, below_known: stood.contains(&(at, message)) }));
    }
    sites.sort_by_key(|(path, _)| *path);
    changes.extend(sites.into_iter().map(|(_, change)| change));
    changes
}

/// Whether what began under `old` can go on under `new`: the subject is found in the same place, and what both know has the same
/// number and type. Facts may differ.
pub fn goes_on(old: &Schema, new: &Schema) -> bool {
    let place = |schema: &Schema| schema.subject.as_ref().map(|path| (path.numbers.clone(), path.kind));
    let same_wire = |change: &Change<'_>| match change {
        Change::Changed { what, .. } => !what.iter().any(|what| ["number", "type"].contains(what)),
        Change::Reachable(_) | Change::Inside { .. } | Change::Added { .. } | Change::Removed(_) => true,
    };
    old.fingerprint == new.fingerprint || (old.name == new.name && place(old) == place(new) && changes(old, new).iter().all(same_wire))
}

/// Every site with the path and type of the message that it stands in.
fn by_path(schema: &Schema) -> BTreeMap<&str, (&Site, (&str, &str))> {
    let mut at = BTreeMap::new();
    for node in &schema.nodes {
        for field in &node.fields {
            if let super::Content::Leaf(id) = field.content {
                at.insert(id, (node.path.as_str(), &*node.message));
            }
        }
    }
    let place = |id: usize| at.get(&super::SiteId(u32::try_from(id).unwrap_or(u32::MAX))).copied().unwrap_or_default();
    schema.sites.iter().enumerate().map(|(id, site)| (site.path.as_str(), (site, place(id)))).collect()
}

/// Message types, and fields of those that are judged as one.
fn reach<'a>(old: &'a Schema, new: &'a Schema) -> Vec<Change<'a>> {
    let known: BTreeMap<&str, &Reached> = old.reached.iter().map(|message| (&*message.message, message)).collect();
    let mut changes = Vec::new();
    for message in &new.reached {
        let Some(before) = known.get(&*message.message) else {
            changes.push(Change::Reachable(message));
            continue;
        };
        let fresh = message.fields.iter().filter(|(number, _)| before.fields.iter().all(|(other, _)| other != number));
        if message.as_one {
            changes.extend(fresh.map(|(number, field)| Change::Inside { message: &message.message, number: *number, field }));
        }
    }
    changes.sort_by_key(Change::place);
    changes
}

fn compare<'a>(old: &'a Site, new: &'a Site) -> Change<'a> {
    let (was, is) = (&old.facts, &new.facts);
    let note = |notes: [(bool, &'static str); 6]| notes.into_iter().filter(|(applies, _)| *applies).map(|(_, note)| note).collect();
    let weaker = note([
        (is.classified() && !was.classified(), "always stripped before"),
        (was.classified() && is.classified() && is.sensitivity < was.sensitivity, "sensitivity"),
        (was.classified() && is.classified() && is.floor < was.floor, "floor"),
        (finer(was.generalize.as_ref(), is.generalize.as_ref()), "generalization"),
        (old.redact && !new.redact, "no longer redacted by its author"),
        (was.role.is_some() && is.role.is_none(), "role"),
    ]);
    let what = note([
        (old.number != new.number, "number"),
        (old.kind != new.kind || old.repeated != new.repeated || old.packed != new.packed, "type"),
        (old.required != new.required || old.implicit != new.implicit, "presence"),
        (was.classified() != is.classified() || was.sensitivity != is.sensitivity || was.category != is.category, "classification"),
        (was.floor != is.floor || was.generalize != is.generalize, "treatment"),
        (was.role != is.role || old.redact != new.redact, "marks"),
    ]);
    Change::Changed { old, new, what, weaker }
}

/// Whether images may tell more than before. What can't be compared counts as finer.
fn finer(old: Option<&Generalizer>, new: Option<&Generalizer>) -> bool {
    match (old, new) {
        // Without one there is no image: what would be generalized is withheld.
        (_, None) | (None, Some(_)) => false,
        (Some(Generalizer::Step(old)), Some(Generalizer::Step(new))) => new < old,
        (Some(Generalizer::Decimals(old)), Some(Generalizer::Decimals(new))) => new > old,
        (Some(Generalizer::TimeBucket { span_s: old, unit: was }), Some(Generalizer::TimeBucket { span_s: new, unit: is })) => {
            new < old || was != is
        }
        (Some(Generalizer::PrefixChars(old)), Some(Generalizer::PrefixChars(new))) => new > old,
        (Some(Generalizer::Buckets(old)), Some(Generalizer::Buckets(new))) => new.iter().any(|edge| !old.contains(edge)),
        (Some(Generalizer::Place { resolution: old, axis: was }), Some(Generalizer::Place { resolution: new, axis: is })) => {
            new > old || was != is
        }
        (Some(old), Some(new)) => old != new,
    }
}

/// The facts in words.
struct Words<'a>(&'a Site);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Site { number, kind, repeated, packed, facts, .. } = self.0;
        let label = match (packed, repeated) {
            (true, _) => "packed ",
            (false, true) => "repeated ",
            (false, false) => "",
        };
        write!(f, "{label}{} = {number}", kind.word())?;
        let Facts { sensitivity, category: Some(category), role, floor, generalize } = facts else { return f.write_str(", unclassified") };
        write!(f, ", {sensitivity} {category}, floor {floor}")?;
        if let Some(role) = role {
            write!(f, ", role {role}")?;
        }
        if let Some(generalize) = generalize {
            write!(f, ", {generalize}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reachable(message) => write!(f, "+ message {}: reachable for the first time", message.message),
            Self::Inside { message, number, field } => {
                write!(f, "! {message}.{field} = {number}: new in a message that is judged as one, and comes out with it")
            }
            Self::Added { site, message, below_known: true } => write!(f, "+ {}: {}, new in `{message}`", site.path, Words(site)),
            Self::Added { site, message, below_known: false } => {
                write!(f, "+ {}: {}, in `{message}`, which was not here before", site.path, Words(site))
            }
            Self::Removed(site) => write!(f, "- {}: {}", site.path, Words(site)),
            Self::Changed { old, new, what, weaker } => {
                let (mark, what) = (if weaker.is_empty() { '~' } else { '!' }, what.join(", "));
                write!(f, "{mark} {}: {} (was {}): {what}", new.path, Words(new), Words(old))?;
                if weaker.is_empty() { Ok(()) } else { write!(f, "; WEAKER: {}", weaker.join(", ")) }
            }
        }
    }
}
