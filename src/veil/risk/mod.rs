//! What recipients could infer: rules over what the decisions of a policy let them see. One [`Face`] is what some recipients get of
//! one message type; a [`Rule`] names fields that tell more together than each of them was meant to. Rules are held against every
//! face, and against two at a time that can be joined.
//!
//! It looks at decisions, never at bytes: what it says is true of every frame. What it does not know is said in
//! `src/manual/risk.md`: rules are knowledge that somebody wrote down, and a view without findings is not anonymous.

mod against;
mod assess;
pub mod document;
mod error;
mod face;
mod read;
mod rule;
mod stop;
mod summary;
mod write;

pub use against::{Difference, What, compare};
pub use assess::{Assessment, Audience, Bite, Hit, VIEWS_MAX, View, Way};
pub use document::{Asked, Assumed, Counts, DOCUMENT_BYTES_MAX, Document, Finding, Opens, Summary, SummaryFlow, SummaryRule, Whole};
pub use error::{RiskError, RiskFault};
pub use face::{Face, Shown, everything};
pub use read::{RULES_BYTES_MAX, RULES_MAX};
pub use rule::{Enough, Matcher, NEEDS_MAX, Need, Rule, Rules, Severity};
pub use summary::{Change, NO_GROUP, Published};
pub use write::Circumstances;

#[cfg(test)]
mod tests;
