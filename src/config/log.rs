//! Where the log is and how it is written, as the file says it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::LogSettings;
use super::error::ConfigError;
use super::limits::within;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogTable {
    dir: Option<PathBuf>,
    batch_ms: Option<u64>,
    disclosure_s: Option<u64>,
    anchor: Option<PathBuf>,
}

impl LogTable {
    pub(super) fn check(self, folder: &Path, dir: PathBuf, store_dir: &Path) -> Result<LogSettings, ConfigError> {
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
