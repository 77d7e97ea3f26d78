//! What `schema check` prints: every site with what is known about it, the ones that nobody classified, and what changed.

use std::collections::BTreeMap;
use std::fmt;

use super::{Facts, Kind, Schema, Site};
use crate::veil::name::FieldPath;
use crate::veil::terms::{Category, Generalizer, Role, Sensitivity, Treatment};

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    /// The path from the root.
    pub path: &'a FieldPath,
    /// The type.
    pub kind: Kind,
    /// Whether it may occur more than once.
    pub repeated: bool,
    /// How harmful; `Identifying` where nobody classified the field.
    pub sensitivity: Sensitivity,
    /// What kind of data.
    pub category: Option<Category>,
    /// What the gateway uses it for.
    pub role: Option<Role>,
    /// The least protective treatment that is ever allowed.
    pub floor: Treatment,
    /// How it is generalized.
    pub generalize: Option<&'a Generalizer>,
    /// Whether somebody classified the field; if not it is always stripped.
    pub classified: bool,
    /// Whether the schema's author marked it `debug_redact`.
    pub redact: bool,
}

/// Every site, in the order of the schema.
pub fn rows(schema: &Schema) -> impl Iterator<Item = Row<'_>> {
    schema.sites().iter().map(|Site { path, kind, repeated, redact, facts, .. }| Row {
        path,
        kind: *kind,
        repeated: *repeated,
        sensitivity: facts.sensitivity,
        category: facts.category,
        role: facts.role,
        floor: facts.floor,
        generalize: facts.generalize.as_ref(),
        classified: facts.classified(),
        redact: *redact,
    })
}

/// The sites that nobody classified: what makes the check fail.
pub fn unclassified(schema: &Schema) -> impl Iterator<Item = &FieldPath> {
    schema.sites().iter().filter(|site| !site.facts.classified()).map(|site| &site.path)
}

/// A difference between two versions of a schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<'a> {
    /// The new one has a site that the old one had not.
    Added(&'a Site),
    /// The old one had a site that the new one has not.
    Removed(&'a Site),
    /// The site differs in number, type or facts.
    Changed {
        /// As it was.
        old: &'a Site,
        /// As it is.
        new: &'a Site,
    },
}

/// What changed from one version of a schema to the next, by path.
pub fn changes<'a>(old: &'a Schema, new: &'a Schema) -> Vec<Change<'a>> {
    let by_path = |schema: &'a Schema| schema.sites().iter().map(|site| (site.path.as_str(), site)).collect::<BTreeMap<_, _>>();
    let (before, after) = (by_path(old), by_path(new));
    let mut changes: Vec<(&str, Change<'_>)> = Vec::new();
    for (path, &site) in &before {
        match after.get(path) {
            None => changes.push((path, Change::Removed(site))),
            Some(&new) if site != new => changes.push((path, Change::Changed { old: site, new })),
            Some(_) => {}
        }
    }
    changes.extend(after.iter().filter(|(path, _)| !before.contains_key(*path)).map(|(path, site)| (*path, Change::Added(site))));
    changes.sort_by_key(|(path, _)| *path);
    changes.into_iter().map(|(_, change)| change).collect()
}

/// The facts in words.
struct Words<'a>(&'a Site);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Site { number, kind, repeated, packed, facts, .. } = self.0;
        let label = if *packed {
            "packed "
        } else if *repeated {
            "repeated "
        } else {
            ""
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
            Self::Added(site) => write!(f, "+ {}: {}", site.path, Words(site)),
            Self::Removed(site) => write!(f, "- {}: {}", site.path, Words(site)),
            Self::Changed { old, new } => write!(f, "~ {}: {} (was {})", new.path, Words(new), Words(old)),
        }
    }
}
