//! What a wallet and a subscriber need: nothing here asks a gateway for anything but bytes.

pub mod dsse;
pub mod wallet;
