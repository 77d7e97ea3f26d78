//! The only room that names a crypto crate: one joint per need. Keys don't know what they protect.

pub mod hash;
pub mod pseudonym;
pub mod seal;
pub mod secret;
pub mod sign;
pub mod wrap;

pub use rand_core::CryptoRng;
