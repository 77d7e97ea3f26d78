//! A disk that can be full: of a file system's own, so that what is written to it fails as it would anywhere.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk of a few megabytes, in memory; it goes with the test. `None` where the system lets nobody mount one.
pub(crate) struct Small(PathBuf);

impl Small {
    pub(crate) fn new(name: &str) -> Option<Self> {
        let path = std::env::temp_dir().join(format!("twinveil-disk-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let small = Self(path);
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(&small.0).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(small)
    }

    /// Puts parts of a gateway's folder on it, its store or its log, which are not there yet.
    pub(crate) fn holds(&self, dir: &Path, parts: &[&str]) {
        for part in parts {
            std::fs::create_dir(self.0.join(part)).unwrap();
            let _none_yet = std::fs::remove_dir(dir.join(part));
            std::os::unix::fs::symlink(self.0.join(part), dir.join(part)).unwrap();
        }
    }

    /// Leaves no byte.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        for piece in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _best_effort = Command::new("umount").arg(&self.0).output();
        let _best_effort = std::fs::remove_dir(&self.0);
    }
}
