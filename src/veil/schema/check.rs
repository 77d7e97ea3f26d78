//! What `schema check` prints: every site with what is known about it, and the ones that nobody classified.

use super::{Kind, Schema, Site};
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
