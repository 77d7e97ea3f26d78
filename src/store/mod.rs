//! Where facts rest: one embedded file, one durable transaction per change. It keeps signed records, keyed handles,
//! public keys, sealed secrets and the time; no names, no source-local identifiers, no payload of frames.
//!
//! A [`Batch`] is there whole when [`Store::commit`] answers, and otherwise not at all, or, where the disk failed in the
//! very act, whole after all: after an error the caller reads again before it goes on. An error closes the file; the
//! next call opens it again, so the store recovers when the disk does.

mod place;
pub mod rest;

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use place::{Memory, Place};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::veil::merkle::leaf::{LEAF_BYTES, Leaf};
use crate::veil::name::{Did, Handle, RecordId, UnixMs};

const FACTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("facts");
const ENROLMENTS: TableDefinition<'_, &[u8; 32], &[u8; 32]> = TableDefinition::new("enrolments");
const SECRETS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("subject secrets");
/// Leaves that may not be in the log yet, by their number there.
const LEAVES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("leaves");
/// Which leaf is about which record, by signer and record.
const RECORDS: TableDefinition<'_, &[u8; 64], u64> = TableDefinition::new("records in the log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const CLOCK: &str = "clock";
const ORIGIN: &str = "origin";
/// How many leaves there ever were.
const LEAF_COUNT: &str = "leaves";
const ACTS: &str = "acts";
const VERSION: &str = "version";
const VERSION_NOW: &[u8] = &[1];

/// The store.
#[derive(Debug)]
pub struct Store {
    place: Place,
    database: Mutex<Option<Database>>,
}

/// What is written together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Facts, appended in order.
    pub facts: Vec<Vec<u8>>,
    /// A source's value, as its handle, and whom it means.
    pub enrolment: Option<(Handle, Did)>,
    /// A new subject's sealed secret.
    pub secret: Option<(Did, Vec<u8>)>,
    /// The clock's high-water mark; it never goes back.
    pub clock: Option<UnixMs>,
    /// The name of the log that the store belongs to.
    pub origin: Option<String>,
    /// Leaves that the log is to have, appended in order.
    pub leaves: Vec<Noted>,
    /// Leaves below this number are in the log, and need not be kept.
    pub logged: u64,
    /// What institutional acts are in force, as the ledger writes them.
    pub acts: Option<Vec<u8>>,
}

/// A leaf for the log.
#[derive(Clone, Copy, Debug)]
pub struct Noted {
    /// The leaf.
    pub leaf: Leaf,
    /// The signer and the record that it is about, where it is about one.
    pub of: Option<(Did, RecordId)>,
}

impl Store {
    /// Opens the store in a folder of its own, or begins one.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::at(Place::Folder(folder.into()))
    }

    /// A store in memory, for tests: it lasts as long as this value.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::at(Place::Memory(Memory::default()))
    }

    fn at(place: Place) -> Result<Self, StoreError> {
        let store = Self { database: Mutex::new(None), place };
        store.begin()?;
        Ok(store)
    }

    /// Makes the tables that are not there.
    fn begin(&self) -> Result<(), StoreError> {
        let version = self.with(|database| {
            let write = database.begin_write()?;
            let version = write.open_table(META)?.get(VERSION)?.map(|version| version.value().to_vec());
            let logs = write.open_table(META)?.get(LEAF_COUNT)?.is_some();
            match version.as_deref() {
                Some(VERSION_NOW) if !logs => {
                    // From before there was a log: the ledger notes what is missing.
                    write.open_table(LEAVES)?;
                    write.open_table(RECORDS)?;
                    write.commit()?;
                }
                Some(_) => write.abort()?,
                None => {
                    write.open_table(META)?.insert(VERSION, VERSION_NOW)?;
                    write.open_table(META)?.insert(LEAF_COUNT, 0u64.to_be_bytes().as_slice())?;
                    write.open_table(FACTS)?;
                    write.open_table(ENROLMENTS)?;
                    write.open_table(SECRETS)?;
                    write.open_table(LEAVES)?;
                    write.open_table(RECORDS)?;
                    write.commit()?;
                }
            }
            Ok(version)
        })?;
        if version.is_none_or(|version| version == VERSION_NOW) { Ok(()) } else { Err(StoreError::Version) }
    }

    /// Writes a batch durably: on disk, not just handed to the system, when this answers. The number of its first leaf.
    pub fn commit(&self, batch: &Batch) -> Result<u64, StoreError> {
        self.with(|database| {
            let mut write = database.begin_write()?;
            // A record's bytes come from outside: two phases keep a torn write from ever looking like a whole one.
            write.set_two_phase_commit(true);
            {
                let mut facts = write.open_table(FACTS)?;
                let next = facts.last()?.map_or(0, |(seq, _)| seq.value() + 1);
                for (seq, fact) in (next..).zip(&batch.facts) {
                    facts.insert(seq, fact.as_slice())?;
                }
            }
            if let Some((handle, did)) = &batch.enrolment {
                write.open_table(ENROLMENTS)?.insert(&handle.0, &did.0)?;
            }
            if let Some((did, sealed)) = &batch.secret {
                write.open_table(SECRETS)?.insert(&did.0, sealed.as_slice())?;
            }
            let mut leaf = write.open_table(META)?.get(LEAF_COUNT)?.map_or(0, |bytes| count(bytes.value()));
            let first = leaf;
            {
                let mut leaves = write.open_table(LEAVES)?;
                let mut records = write.open_table(RECORDS)?;
                for noted in &batch.leaves {
                    leaves.insert(leaf, noted.leaf.bytes().as_slice())?;
                    if let Some((did, record)) = &noted.of {
                        records.insert(&of(did, record), leaf)?;
                    }
                    leaf += 1;
                }
                leaves.retain_in(..batch.logged.min(first), |_, _| false)?;
            }
            {
                let mut meta = write.open_table(META)?;
                meta.insert(LEAF_COUNT, leaf.to_be_bytes().as_slice())?;
                if let Some(acts) = &batch.acts {
                    meta.insert(ACTS, acts.as_slice())?;
                }
                if let Some(clock) = batch.clock {
                    let known = meta.get(CLOCK)?.and_then(|known| instant(known.value()));
                    let mark = known.map_or(clock, |known| known.max(clock));
                    meta.insert(CLOCK, mark.0.to_be_bytes().as_slice())?;
                }
                if let Some(origin) = &batch.origin {
                    meta.insert(ORIGIN, origin.as_bytes())?;
                }
            }
            write.commit()?;
            Ok(first)
        })
    }

    /// How many leaves there ever were; `None` in a store from before there was a log.
    pub fn leaf_count(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.meta(LEAF_COUNT)?.map(|bytes| count(&bytes)))
    }

    /// Hands over every leaf that is kept from number `from`, in order.
    pub fn leaves_from(&self, from: u64, mut each: impl FnMut(u64, Leaf)) -> Result<(), StoreError> {
        let mut damaged = false;
        self.with(|database| {
            for row in database.begin_read()?.open_table(LEAVES)?.range(from..)? {
                let (number, leaf) = row?;
                match Leaf::parse(leaf.value()) {
                    Ok(leaf) => each(number.value(), leaf),
                    Err(_) => damaged = true,
                }
            }
            Ok(())
        })?;
        if damaged { Err(StoreError::Damaged(format!("a leaf is not {LEAF_BYTES} bytes of its kind"))) } else { Ok(()) }
    }

    /// The number of the leaf about a signer's record.
    pub fn leaf_of(&self, did: &Did, record: &RecordId) -> Result<Option<u64>, StoreError> {
        self.with(|database| Ok(database.begin_read()?.open_table(RECORDS)?.get(&of(did, record))?.map(|number| number.value())))
    }

    /// Every record of a signer that has a leaf, and its number.
    pub fn leaves_of(&self, did: &Did) -> Result<Vec<(RecordId, u64)>, StoreError> {
        self.with(|database| {
            let (first, last) = (of(did, &RecordId([0; 32])), of(did, &RecordId([0xff; 32])));
            let mut found = Vec::new();
            for row in database.begin_read()?.open_table(RECORDS)?.range::<&[u8; 64]>(&first..=&last)? {
                let (key, number) = row?;
                if let Some((_, record)) = key.value().split_first_chunk::<32>()
                    && let Ok(record) = record.try_into()
                {
                    found.push((RecordId(record), number.value()));
                }
            }
            Ok(found)
        })
    }

    /// The institutional acts that are in force, as the ledger wrote them.
    pub fn acts(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.meta(ACTS)
    }

    /// Hands over every fact from number `from`, in order. The store is busy meanwhile.
    pub fn facts_from(&self, from: u64, mut each: impl FnMut(u64, &[u8])) -> Result<(), StoreError> {
        self.with(|database| {
            for row in database.begin_read()?.open_table(FACTS)?.range(from..)? {
                let (seq, fact) = row?;
                each(seq.value(), fact.value());
            }
            Ok(())
        })
    }

    /// Hands over every enrolment.
    pub fn enrolments(&self, mut each: impl FnMut(Handle, Did)) -> Result<(), StoreError> {
        self.with(|database| {
            for row in database.begin_read()?.open_table(ENROLMENTS)?.iter()? {
                let (handle, did) = row?;
                each(Handle(*handle.value()), Did(*did.value()));
            }
            Ok(())
        })
    }

    /// Hands over every subject's sealed secret.
    pub fn secrets(&self, mut each: impl FnMut(Did, &[u8])) -> Result<(), StoreError> {
        self.with(|database| {
            for row in database.begin_read()?.open_table(SECRETS)?.iter()? {
                let (did, sealed) = row?;
                each(Did(*did.value()), sealed.value());
            }
            Ok(())
        })
    }

    /// The clock's high-water mark.
    pub fn clock(&self) -> Result<Option<UnixMs>, StoreError> {
        match self.meta(CLOCK)? {
            Some(bytes) => instant(&bytes).map(Some).ok_or_else(|| StoreError::Damaged("the clock's mark has another length".into())),
            None => Ok(None),
        }
    }

    /// The name of the log that the store belongs to.
    pub fn origin(&self) -> Result<Option<String>, StoreError> {
        match self.meta(ORIGIN)? {
            Some(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| StoreError::Damaged("the log's name is not text".into())),
            None => Ok(None),
        }
    }

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let meta = database.begin_read()?.open_table(META)?;
            Ok(meta.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let mut slot: MutexGuard<'_, Option<Database>> = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => self.place.open()?,
        };
        // After an error the database takes nothing more until it is opened again: it is dropped, and so closed.
        let done = work(&database)?;
        *slot = Some(database);
        Ok(done)
    }

    /// Makes every write fail as on a full disk, or succeed again.
    #[cfg(test)]
    pub(crate) fn set_full(&self, full: bool) {
        match &self.place {
            Place::Memory(memory) => memory.set_full(full),
            Place::Folder(_) => panic!("only memory is ever told to be full"),
        }
    }

    /// Makes it one from before there was a log.
    #[cfg(test)]
    pub(crate) fn forget_log(&self) {
        let forget = |database: &Database| {
            let write = database.begin_write()?;
            write.delete_table(LEAVES)?;
            write.delete_table(RECORDS)?;
            write.open_table(META)?.remove(LEAF_COUNT)?;
            write.open_table(META)?.remove(ACTS)?;
            Ok(write.commit()?)
        };
        self.with(forget).and_then(|()| self.begin()).expect("room");
    }

    /// Every byte that rests.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.place {
            Place::Memory(memory) => memory.bytes(),
            Place::Folder(folder) => std::fs::read(folder.join("facts.redb")).expect("the store's file"),
        }
    }
}

fn of(did: &Did, record: &RecordId) -> [u8; 64] {
    let mut key = [0; 64];
    for (byte, value) in key.iter_mut().zip(did.0.iter().chain(&record.0)) {
        *byte = *value;
    }
    key
}

fn count(bytes: &[u8]) -> u64 {
    bytes.try_into().map(u64::from_be_bytes).unwrap_or_default()
}

fn instant(bytes: &[u8]) -> Option<UnixMs> {
    bytes.try_into().ok().map(i64::from_be_bytes).map(UnixMs)
}

/// Why the store can't be read or written. Always the operator's move.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it open.
    InUse,
    /// It is not what was written.
    Damaged(String),
    /// The system refused: no space, no permission, a broken disk.
    Io(std::io::Error),
    /// Written by a later version.
    Version,
}

impl StoreError {
    /// Every code.
    pub const ALL: &'static [&'static str] = &["TV-D01", "TV-D02", "TV-D03", "TV-D04"];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InUse => "TV-D01",
            Self::Damaged(_) => "TV-D02",
            Self::Io(_) => "TV-D03",
            Self::Version => "TV-D04",
        }
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::InUse,
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::PreviousIo => Self::Io(std::io::Error::other("an earlier write failed")),
            redb::Error::UpgradeRequired(_) => Self::Version,
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("data folder: another process has it open: stop that one, or give this one a folder of its own"),
            Self::Damaged(why) => write!(f, "data folder: not what was written: {why}: restore it from its backup"),
            Self::Io(why) => write!(f, "data folder: {why}: see to its disk and its permissions"),
            Self::Version => f.write_str("data folder: written by a later version: start that version"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::InUse | Self::Damaged(_) | Self::Version => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("twinveil-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    fn facts(store: &Store) -> Vec<(u64, Vec<u8>)> {
        let mut facts = Vec::new();
        store.facts_from(0, |seq, fact| facts.push((seq, fact.to_vec()))).expect("readable");
        facts
    }

    fn batch(fact: &[u8]) -> Batch {
        Batch { facts: vec![fact.to_vec()], ..Batch::default() }
    }

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let folder = folder("again");
        let whole = Batch {
            facts: vec![b"one".to_vec(), b"two".to_vec()],
            enrolment: Some((Handle([1; 32]), Did([2; 32]))),
            secret: Some((Did([2; 32]), vec![3; 60])),
            clock: Some(UnixMs(5)),
            origin: Some("log.example".into()),
            ..Batch::default()
        };
        Store::open(&folder).and_then(|store| store.commit(&whole)).expect("a new folder");
        let store = Store::open(&folder).expect("closed before");
        store.commit(&batch(b"three")).expect("room");
        assert_eq!(facts(&store), [(0, b"one".to_vec()), (1, b"two".to_vec()), (2, b"three".to_vec())]);
        let (mut enrolments, mut secrets) = (Vec::new(), Vec::new());
        store.enrolments(|handle, did| enrolments.push((handle, did))).expect("readable");
        store.secrets(|did, sealed| secrets.push((did, sealed.to_vec()))).expect("readable");
        assert_eq!(enrolments, [(Handle([1; 32]), Did([2; 32]))]);
        assert_eq!(secrets, [(Did([2; 32]), vec![3; 60])]);
        assert_eq!(store.clock().expect("readable"), Some(UnixMs(5)));
        assert_eq!(store.origin().expect("readable").as_deref(), Some("log.example"));
        drop(store);
        std::fs::remove_dir_all(folder).expect("own folder");
    }

    #[test]
    fn the_mark_of_the_clock_never_goes_back() {
        let store = Store::in_memory().expect("memory");
        for (mark, kept) in [(5, 5), (3, 5), (8, 8)] {
            store.commit(&Batch { clock: Some(UnixMs(mark)), ..Batch::default() }).expect("room");
            assert_eq!(store.clock().expect("readable"), Some(UnixMs(kept)));
        }
    }

    #[test]
    fn a_full_disk_leaves_nothing_half_written_and_the_store_recovers() {
        let store = Store::in_memory().expect("memory");
        store.commit(&batch(b"one")).expect("room");
        store.set_full(true);
        let whole = Batch { facts: vec![vec![7; 100_000]; 3], enrolment: Some((Handle([1; 32]), Did([2; 32]))), ..Batch::default() };
        assert_eq!(store.commit(&whole).expect_err("full").code(), "TV-D03");
        assert!(store.commit(&whole).is_err(), "still full");
        store.set_full(false);
        assert_eq!(facts(&store), [(0, b"one".to_vec())]);
        store.commit(&batch(b"two")).expect("room again");
        assert_eq!(facts(&store).len(), 2);
    }

    #[test]
    fn a_folder_has_one_gateway() {
        let folder = folder("lock");
        let store = Store::open(&folder).expect("a new folder");
        assert_eq!(Store::open(&folder).expect_err("open").code(), "TV-D01");
        drop(store);
        Store::open(&folder).expect("closed");
        std::fs::remove_dir_all(folder).expect("own folder");
    }

    #[test]
    fn a_damaged_or_unreadable_file_is_refused() {
        let folder = folder("damage");
        Store::open(&folder).and_then(|store| store.commit(&batch(&[9; 5_000]))).expect("a new folder");
        let path = folder.join("facts.redb");
        let good = std::fs::read(&path).expect("there");
        std::fs::write(&path, b"something else entirely").expect("own file");
        assert!(Store::open(&folder).is_err());
        // one flipped bit in a record
        let at = good.windows(64).position(|window| window == [9; 64]).expect("the fact");
        let mut flipped = good;
        flipped[at + 10] ^= 1;
        std::fs::write(&path, &flipped).expect("own file");
        assert_eq!(Store::open(&folder).expect_err("flipped").code(), "TV-D02");
        std::fs::remove_dir_all(&folder).expect("own folder");
        std::fs::write(&folder, b"a file, not a folder").expect("own file");
        assert_eq!(Store::open(&folder).expect_err("no folder").code(), "TV-D03");
        std::fs::remove_file(folder).expect("own file");
    }

    #[test]
    fn a_store_of_a_later_version_is_left_alone() {
        let store = Store::in_memory().expect("memory");
        store
            .with(|database| {
                let write = database.begin_write()?;
                write.open_table(META)?.insert(VERSION, [2u8].as_slice())?;
                Ok(write.commit()?)
            })
            .expect("room");
        let Place::Memory(memory) = &store.place else { panic!("memory") };
        let again = memory.clone();
        drop(store.database.lock().expect("not poisoned").take());
        assert_eq!(Store::at(Place::Memory(again)).expect_err("later").code(), "TV-D04");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_folder_or_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder("mode");
        let _store = Store::open(&folder).expect("a new folder");
        for (path, mode) in [(folder.clone(), 0o700), (folder.join("facts.redb"), 0o600)] {
            assert_eq!(std::fs::metadata(path).expect("there").permissions().mode() & 0o777, mode);
        }
        std::fs::remove_dir_all(folder).expect("own folder");
    }
}
