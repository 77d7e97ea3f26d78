//! Where things rest: the store and the log.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::ConfigError;
use super::limits::within;
use super::log::LogTable;
use super::{LogSettings, StoreSettings};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreTable {
    dir: Option<PathBuf>,
    cache_mib: Option<u64>,
}

/// Relative to `folder`; `moved` is where the environment wants them.
pub(super) fn rest(
    store: StoreTable,
    log: LogTable,
    folder: &Path,
    moved: Option<String>,
) -> Result<(StoreSettings, LogSettings), ConfigError> {
    let (dir, log_dir) = match moved {
        // From the environment, a path means what it means to the caller's shell.
        Some(dir) if dir.is_empty() => return Err(ConfigError::value("TWINVEIL_STORE_DIR", "", "empty; name a folder or unset it")),
        // A store and its log belong together: where one goes, the other goes.
        Some(dir) => (PathBuf::from(&dir), PathBuf::from(dir).join("log")),
        None => (folder.join(store.dir.unwrap_or_else(|| "store".into())), folder.join("log")),
    };
    let cache_mib: usize = within("store.cache_mib", store.cache_mib, 64, 1, 65_536)?;
    let log = log.check(folder, log_dir, &dir)?;
    Ok((StoreSettings { dir, cache_bytes: cache_mib << 20 }, log))
}
