//! What a wallet and a subscriber need: nothing here asks a gateway for anything but bytes.

pub mod announce;
pub mod dsse;
pub mod receipts;
pub mod subscriber;
pub mod wallet;
