//! The desk for legal demands: what arrived, what was found, who approved what, and what may leave, as facts and signatures.
//!
//! Signed records fold into a [`Case`], in the order in which they were taken. A case says at any instant what is missing and whose move
//! it is ([`Case::standing`]), and whether something may leave now ([`Case::warrant`]). A [`Warrant`] is made nowhere else: without the
//! three stages met and two approvers, or the subject's own consent for this demand, there is no way to one. This room opens no bytes:
//! what a warrant lets out goes through a view, like everything.

pub mod about;
pub mod case;
#[cfg(test)]
mod case_tests;
pub mod challenge;
pub mod decision;
mod entry;
pub mod head;
#[cfg(test)]
mod model_tests;
pub mod notice;
pub mod query;
pub mod record;
pub mod refused;
pub mod register;
pub mod release;
mod rules;
pub mod stage;
pub mod standing;
#[cfg(test)]
mod testing;
pub mod warrant;
pub mod words;
pub mod write;

pub use self::about::About;
pub use self::case::{Case, Filed};
pub use self::challenge::Challenge;
pub use self::decision::Decision;
pub use self::entry::Record;
pub use self::head::{Field, Head, Period};
pub use self::notice::Notice;
pub use self::record::Demand;
pub use self::refused::Refused;
pub use self::register::{Person, Register};
pub use self::release::Release;
pub use self::rules::APPROVERS_MIN;
pub use self::stage::Stage;
pub use self::standing::{Missing, Standing, State, Whose};
pub use self::warrant::Warrant;
pub use self::words::{Asks, Outcome, Question, Reason, Role, SourceKind};
