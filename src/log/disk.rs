//! Where a log's files are: a folder, or memory that tests make fail. What is promised of each write is all that the log builds on.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Files by their path below a folder, such as `tile/0/000`.
pub trait Disk: Debug + Send + Sync {
    /// The whole file; `None` where there is none.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// Puts a file in place of the one before. Readers see one or the other; after a crash it may be either, or broken.
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// As [`Self::put`], and it outlives a crash when this answers. Until then either is whole.
    fn put_durably(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Adds to the end of a file that exists. It outlives a crash when this answers; until then any part of it may be there.
    fn append_durably(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a folder with everything in it; none there is fine.
    fn remove_folder(&self, path: &str) -> io::Result<()>;
}

/// A folder of the file system, held against other processes while this lives.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    _held: Option<File>,
}

/// Who has it open, for a second process to find.
const LOCK: &str = ".lock";

impl Folder {
    /// Opens or makes a folder that one process at a time writes to.
    pub fn hold(root: &Path) -> io::Result<Self> {
        make_durably(root)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(root.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { root: root.into(), _held: Some(file) }),
            Err(std::fs::TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// A folder to read from, whoever writes to it.
    pub fn look(root: &Path) -> Self {
        Self { root: root.into(), _held: None }
    }

    /// Writes a file beside its place; the caller renames it.
    fn beside(&self, path: &str, bytes: &[u8]) -> io::Result<(PathBuf, PathBuf, File)> {
        let target = self.root.join(path);
        let mut beside = target.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        Ok((target, beside, file))
    }
}

impl Disk for Folder {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.root.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        // What is there already stays: readers keep what they have open, and nothing is written twice.
        if self.read(path)?.is_some_and(|there| there == bytes) {
            return Ok(());
        }
        if let Some(folder) = self.root.join(path).parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (target, beside, _) = self.beside(path, bytes)?;
        std::fs::rename(beside, target)
    }

    fn put_durably(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if let Some(folder) = self.root.join(path).parent() {
            make_durably(folder)?;
        }
        let (target, beside, file) = self.beside(path, bytes)?;
        file.sync_all()?;
        std::fs::rename(beside, &target)?;
        target.parent().map_or(Ok(()), sync_folder)
    }

    fn append_durably(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.root.join(path))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        match std::fs::remove_dir_all(self.root.join(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Makes a folder and those above it, each name durable.
fn make_durably(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    make_durably(above)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(above)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?.sync_all()
}

/// There is no way to, and none is needed: names are in the journal of the file system.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
