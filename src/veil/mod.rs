//! The pure core: bytes, facts and an instant in; bytes and an outcome out. No I/O, no async, no clock, no entropy of its own.

pub mod base64;
pub mod consent;
pub mod crypto;
pub mod demand;
pub mod dpv;
pub mod logsafe;
pub mod merkle;
pub mod name;
pub mod oracle;
pub mod outcome;
pub mod policy;
pub mod report;
pub mod risk;
pub mod schema;
pub mod terms;
pub mod transform;
pub mod view;
pub mod wire;
