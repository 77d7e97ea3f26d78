//! Where things rest: the store and the log.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::ConfigError;
use super::limits::within;
use super::{LogSettings, StoreSettings};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreTable {
    dir: Option<PathBuf>,
    cache_mib: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogTable {
    dir: Option<PathBuf>,
    batch_ms: Option<u64>,
    disclosure_s: Option<u64>,
    anchor: Option<PathBuf>,
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

impl LogTable {
    fn check(self, folder: &Path, dir: PathBuf, store_dir: &Path) -> Result<LogSettings, ConfigError> {
        let dir = self.dir.map_or(dir, |dir| folder.join(dir));
        if dir == store_dir {
            return Err(ConfigError::value("log.dir", dir.display(), "the folder of the store; give the log one of its own"));
        }
        let anchor = self.anchor.map(|anchor| folder.join(anchor));
        if let Some(anchor) = &anchor
            && (anchor.starts_with(&dir) || anchor.starts_with(store_dir) || anchor.file_name().is_none())
        {
            let then = "must be a file outside the folders of log and store, where no backup of them puts an older one back";
            return Err(ConfigError::value("log.anchor", anchor.display(), then));
        }
        let batch_ms = within("log.batch_ms", self.batch_ms, 10, 0, 1_000)?;
        Ok(LogSettings { dir, batch_ms, disclosure_s: within("log.disclosure_s", self.disclosure_s, 3_600, 1, 3_600)?, anchor })
    }
}
