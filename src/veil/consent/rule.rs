//! One rule of a record.

use std::fmt;

use crate::veil::name::FieldPath;
use crate::veil::terms::{self, Category, Sensitivity, Treatment};

/// Whether a rule allows or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The field may be seen at the rule's treatment, or a more protective one.
    Permit,
    /// The field is stripped, whatever else says.
    Forbid,
}

/// Which fields: all that is set must agree. At least one of the three is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    /// Fields of this category; `None`: of any.
    pub category: Option<Category>,
    /// Fields of this sensitivity; `None`: of any.
    pub sensitivity: Option<Sensitivity>,
    /// The field with this path, or everything below it; `None`: any.
    pub selector: Option<FieldPath>,
}

impl Which {
    /// Whether every field that the other one means is meant here, too, as far as words can tell: a path has no category.
    pub fn covers(&self, other: &Self) -> bool {
        self.category.is_none_or(|own| other.category == Some(own))
            && self.sensitivity.is_none_or(|own| other.sensitivity == Some(own))
            && self
                .selector
                .as_ref()
                .is_none_or(|own| other.selector.as_ref().is_some_and(|other| terms::covers(own.as_str(), other.as_str())))
    }

    /// Whether a field is meant.
    pub fn has(&self, category: Option<Category>, sensitivity: Sensitivity, path: &str) -> bool {
        self.category.is_none_or(|own| category == Some(own))
            && self.sensitivity.is_none_or(|own| sensitivity == own)
            && self.selector.as_ref().is_none_or(|own| terms::covers(own.as_str(), path))
    }
}

impl From<&Rule> for Which {
    fn from(rule: &Rule) -> Self {
        Self { category: rule.category, sensitivity: rule.sensitivity, selector: rule.selector.clone() }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sensitivity) = self.sensitivity {
            write!(f, " {sensitivity}")?;
        }
        if let Some(category) = self.category {
            write!(f, " {category}")?;
        }
        f.write_str(" data")?;
        match &self.selector {
            Some(selector) => write!(f, " at `{selector}`"),
            None => Ok(()),
        }
    }
}

/// One rule of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Allow or forbid.
    pub effect: Effect,
    /// Fields of this category; `None`: of any.
    pub category: Option<Category>,
    /// Fields of this sensitivity; `None`: of any. At least one of the three matchers is set.
    pub sensitivity: Option<Sensitivity>,
    /// The field with this path, or everything below it; `None`: any.
    pub selector: Option<FieldPath>,
    /// The least protective treatment; `Strip` for a forbid.
    pub treatment: Treatment,
    /// Where the treatment is `Encrypt`: whether the recipient gets the key too (`keys: recipient`).
    pub recipient_holds_key: bool,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.effect {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        })?;
        write!(f, "{}", Which::from(self))?;
        match (self.effect, self.recipient_holds_key) {
            (Effect::Forbid, _) => Ok(()),
            (Effect::Permit, false) => write!(f, ": {}", self.treatment),
            (Effect::Permit, true) => write!(f, ": {}, the recipient can open it", self.treatment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(category: Option<Category>, sensitivity: Option<Sensitivity>, selector: Option<&str>) -> Which {
        Which { category, sensitivity, selector: selector.map(FieldPath::new) }
    }

    #[test]
    fn what_is_meant_by_fewer_words_covers_what_is_meant_by_more() {
        let health = which(Some(Category::Health), None, None);
        let special = which(None, Some(Sensitivity::Special), None);
        let both = which(Some(Category::Health), Some(Sensitivity::Special), None);
        let vitals = which(None, None, Some("vitals"));
        let rate = which(Some(Category::Health), None, Some("vitals.heart_rate_bpm"));
        for (wide, narrow, covered) in [
            (&health, &health, true),
            (&health, &both, true),
            (&special, &both, true),
            (&both, &health, false),
            (&vitals, &rate, true),
            (&health, &rate, true),
            (&rate, &vitals, false),
            // a path may be of any category
            (&health, &vitals, false),
            (&vitals, &health, false),
        ] {
            assert_eq!(wide.covers(narrow), covered, "{wide} | {narrow}");
        }
    }

    #[test]
    fn a_field_is_meant_where_all_that_is_set_agrees() {
        let rate = which(Some(Category::Health), Some(Sensitivity::Special), Some("vitals"));
        assert!(rate.has(Some(Category::Health), Sensitivity::Special, "vitals.heart_rate_bpm"));
        assert!(!rate.has(Some(Category::Device), Sensitivity::Special, "vitals.heart_rate_bpm"));
        assert!(!rate.has(None, Sensitivity::Special, "vitals.heart_rate_bpm"));
        assert!(!rate.has(Some(Category::Health), Sensitivity::Personal, "vitals.heart_rate_bpm"));
        assert!(!rate.has(Some(Category::Health), Sensitivity::Special, "vitality"));
    }
}
