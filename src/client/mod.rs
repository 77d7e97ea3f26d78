//! What a wallet and a subscriber need: nothing here asks a gateway for anything but bytes.

pub mod announce;
pub mod authority;
pub mod demand;
mod demand_query;
pub mod dsse;
pub mod exported;
pub mod fhir;
pub mod history;
mod obligation;
pub mod receipts;
pub mod subscriber;
pub mod terms;
pub mod wallet;
