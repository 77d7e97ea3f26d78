//! What was decided of a schema's fields, as it is told: to who gets them, and in the history of whom they are about.

use std::sync::Arc;

use crate::proto::v1::{self, DisclosedField};
use crate::veil::policy::{Decided, Decision};
use crate::veil::schema::{Schema, Site};
use crate::veil::terms::Treatment;

/// A view in words: every classified field and what is done to it.
pub(super) fn words(schema: &Schema, decision: &Decision) -> Vec<v1::FieldView> {
    let sites = schema.sites().iter().zip(&decision.sites).filter(|(site, _)| site.facts.classified());
    sites
        .map(|(site, decided)| v1::FieldView {
            path: site.path.to_string(),
            treatment: v1::Treatment::from(decided.treatment).into(),
            how: match (&site.facts.generalize, decided.treatment) {
                (Some(how), Treatment::Generalize) => how.to_string(),
                _ => String::new(),
            },
        })
        .collect()
}

/// What a history says of a view: the fields that are not stripped.
pub(super) fn disclosed(schema: &Schema, decision: &Decision) -> Arc<[DisclosedField]> {
    let sites = schema.sites().iter().zip(&decision.sites).filter(|(_, decided)| decided.treatment != Treatment::Strip);
    let field = |(site, decided): (&Site, &Decided)| DisclosedField {
        path: site.path.to_string(),
        treatment: v1::Treatment::from(decided.treatment).into(),
        sensitivity: v1::Sensitivity::from(site.facts.sensitivity).into(),
        category: site.facts.category.map_or(0, |category| v1::Category::from(category).into()),
    };
    sites.map(field).collect()
}
