//! Names as they stand on the command line, and in what it prints.

use crate::veil::name::{Did, Purpose, RecordId, SealKey, Spiffe};
use crate::veil::terms;

/// A word of the contract as it is written everywhere else.
pub(super) fn word(name: &str) -> String {
    name.to_ascii_lowercase()
}

pub(super) fn spiffe(text: &str) -> Result<Spiffe, String> {
    Spiffe::parse(text).map_err(|bad| bad.to_string())
}

pub(super) fn did(text: &str) -> Result<Did, String> {
    Did::parse(text).map_err(|bad| bad.to_string())
}

pub(super) fn seal_key(text: &str) -> Result<SealKey, String> {
    SealKey::parse(text).map_err(|bad| bad.to_string())
}

pub(super) fn record(text: &str) -> Result<RecordId, String> {
    RecordId::parse(text).map_err(|_| "not the id of a record: 64 lower-case hexadecimal digits".to_owned())
}

pub(super) fn purpose(text: &str) -> Result<Purpose, String> {
    terms::purpose(text).ok_or_else(|| {
        let term = text.strip_prefix("dpv:").unwrap_or(text);
        match crate::config::nearest(term, crate::veil::dpv::PURPOSES.iter().copied()) {
            Some(near) => format!("not a DPV purpose; did you mean `dpv:{near}`?"),
            None => "not a DPV purpose, such as `dpv:ServiceProvision`".to_owned(),
        }
    })
}
