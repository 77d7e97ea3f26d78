//! Values as they stand in several tables.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DescriptorFile;
use super::error::ConfigError;
use crate::veil::name::Did;

pub(super) fn did(key: &str, text: &str) -> Result<Did, ConfigError> {
    Did::parse(text).map_err(|bad| ConfigError::value(key, text, format!("{bad}; keys are written `did:key:z6Mk…`")))
}

/// Names that people type and policies quote.
pub(super) fn word(key: &str, text: &str) -> Result<Arc<str>, ConfigError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
        return Err(ConfigError::value(key, text.escape_debug(), "must be 1 to 64 letters, digits, `.`, `_` or `-`"));
    }
    Ok(text.into())
}

pub(super) fn exists(key: &str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(ConfigError::value(key, path.display(), "there is no such file; paths start at the folder of the configuration"))
    }
}

/// A descriptor set or a `.proto`, and the folders of its imports.
pub(super) fn descriptor_file(table: &str, folder: &Path, path: PathBuf, proto_paths: Vec<PathBuf>) -> Result<DescriptorFile, ConfigError> {
    let path = exists(&format!("{table}.descriptor"), folder.join(path))?;
    let key = format!("{table}.proto_paths");
    if !proto_paths.is_empty() && path.extension().is_none_or(|ending| ending != "proto") {
        return Err(ConfigError::key(&key, "only where `descriptor` is a `.proto`; delete it"));
    }
    let proto_paths: Vec<_> = proto_paths.into_iter().map(|path| folder.join(path)).collect();
    match proto_paths.iter().find(|path| !path.is_dir()) {
        Some(none) => {
            Err(ConfigError::value(&key, none.display(), "there is no such folder; paths start at the folder of the configuration"))
        }
        None => Ok(DescriptorFile { path, proto_paths }),
    }
}

/// Whether a host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
