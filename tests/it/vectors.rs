//! Do the published vectors of every standard come out, and do our own? The published ones are read where they lie beside the
//! project; none is copied into it.

mod aead;
mod dpv;
mod hashes;
mod hpke;
mod log;
mod release;
pub(crate) mod sealed;
mod sframe;
mod signatures;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where a published file or folder is; `None`, and said so, where they are not on this machine.
pub(crate) fn place(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    if !folder.exists() {
        eprintln!("SKIPPED `{name}`: no published vectors in `{}`", folder.display());
        return None;
    }
    Some(folder.join(name))
}

/// The text of one.
fn published_text(name: &str) -> Option<String> {
    Some(std::fs::read_to_string(place(name)?).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// A file of published vectors.
fn published(name: &str) -> Option<Value> {
    let text = published_text(name)?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| panic!("a list, not {value}"), Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}"))
}

fn hex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text(value).as_bytes()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn hex_array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap_or_else(|_| panic!("{N} bytes, not {value}"))
}

/// Every case of a Wycheproof file with the group it stands in.
fn wycheproof(file: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    list(&file["testGroups"]).iter().flat_map(|group| list(&group["tests"]).iter().map(move |case| (group, case)))
}

/// What a case is called in messages.
fn name(case: &Value) -> String {
    format!("tcId {} ({}, {})", case["tcId"], case["comment"], case["flags"])
}
