//! One rule of a record.

use std::fmt;

use crate::veil::name::FieldPath;
use crate::veil::terms::{Category, Sensitivity, Treatment};

/// Whether a rule allows or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The field may be seen at the rule's treatment, or a more protective one.
    Permit,
    /// The field is stripped, whatever else says.
    Forbid,
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
        if let Some(sensitivity) = self.sensitivity {
            write!(f, " {sensitivity}")?;
        }
        if let Some(category) = self.category {
            write!(f, " {category}")?;
        }
        f.write_str(" data")?;
        if let Some(selector) = &self.selector {
            write!(f, " at `{selector}`")?;
        }
        match (self.effect, self.recipient_holds_key) {
            (Effect::Forbid, _) => Ok(()),
            (Effect::Permit, false) => write!(f, ": {}", self.treatment),
            (Effect::Permit, true) => write!(f, ": {}, the recipient can open it", self.treatment),
        }
    }
}
