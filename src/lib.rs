//! Twinveil.

pub mod client;
#[cfg(feature = "gateway")]
pub mod ledger;
pub mod proto;
#[cfg(feature = "gateway")]
pub mod store;
pub mod veil;
#[cfg(feature = "gateway")]
pub mod world;
