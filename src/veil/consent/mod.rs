//! Step 3a: what did the person agree to? Signed bytes become a [`envelope::Verified`] record, records become a
//! [`standing::Standing`], and a standing says which rules decide for one recipient, purpose and instant.
//!
//! Every payload is JSON in a DSSE envelope. It is parsed once, after a signature verified, never re-serialised, and
//! bound to one gateway; a member that nobody knows, or that this gateway can't honour yet, refuses the record.

pub mod agreement;
pub mod authority;
pub mod chain;
pub mod deciding;
pub mod delegation;
pub mod delegation_end;
pub mod document;
pub mod enrolment;
pub mod envelope;
pub mod grant;
#[cfg(test)]
mod model_tests;
pub mod notice;
pub mod obligations;
pub mod query;
pub mod recipient_key;
pub mod record;
pub mod refusal;
pub mod release;
pub mod rule;
pub mod scope;
pub mod signer;
pub mod standing;
#[cfg(test)]
pub(crate) mod testing;
pub(in crate::veil) mod text;
pub mod windows;
pub mod withdrawal;

/// How far the clock of a signer may be from the gateway's.
pub const SKEW_MS_MAX: i64 = 5 * 60 * 1_000;
