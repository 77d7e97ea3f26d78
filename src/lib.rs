//! Twinveil.

pub mod proto;
pub mod veil;
