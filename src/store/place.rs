//! Where the store's bytes are: a file in the data folder, or memory for tests.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, StorageBackend};

use super::StoreError;

const FILE: &str = "facts.redb";
/// Pages of the file that stay in memory unless told otherwise; the system keeps more of them where it has room.
pub(super) const CACHE_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub(super) enum Place {
    /// A folder, and how many bytes of the file stay in memory.
    Folder(PathBuf, usize),
    Memory(Memory),
}

impl Place {
    /// Opens what is there, or begins anew; everything is checked before anything is read.
    pub(super) fn open(&self) -> Result<Database, StoreError> {
        let mut builder = Builder::new();
        builder.set_check_integrity_on_open(true);
        let database = match self {
            Self::Folder(folder, cache_bytes) => {
                builder.set_cache_size(*cache_bytes);
                let file = open_file(folder).map_err(StoreError::Io)?;
                builder.create_with_backend(FileBackend::new(file).map_err(redb::Error::from)?)
            }
            Self::Memory(memory) => builder.create_with_backend(memory.clone()),
        };
        Ok(database.map_err(redb::Error::from)?)
    }
}

/// The file and its folder are the gateway's alone; a new file's name is durable before anything in it is.
fn open_file(folder: &PathBuf) -> io::Result<File> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(folder.join(FILE))?;
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Memory that survives closing and opening the database, and can be told to fail like a full disk.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    bytes: InMemoryBackend,
    full: AtomicBool,
}

impl Memory {
    #[cfg(test)]
    pub(super) fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    /// What is stored, to look for what must not be.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.0.bytes.len().expect("memory")).expect("fits")];
        self.0.bytes.read(0, &mut bytes).expect("memory");
        bytes
    }

    fn room(&self) -> io::Result<()> {
        if self.0.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl StorageBackend for Memory {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.room()?;
        self.0.bytes.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.room()?;
        self.0.bytes.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.room()?;
        self.0.bytes.write(offset, data)
    }
}
