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

use crate::veil::name::{Did, Handle, RecordId, UnixMs};

const FACTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("facts");
const RECORDS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("records");
const USES: TableDefinition<'_, &[u8; 32], &[u8; 16]> = TableDefinition::new("uses");
const ENROLMENTS: TableDefinition<'_, &[u8; 32], &[u8; 32]> = TableDefinition::new("enrolments");
const SECRETS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("subject secrets");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const CLOCK: &str = "clock";
const ORIGIN: &str = "origin";
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
    /// The record that the first of the facts holds, to find it by.
    pub record: Option<RecordId>,
    /// A source's value, as its handle, and whom it means.
    pub enrolment: Option<(Handle, Did)>,
    /// A new subject's sealed secret.
    pub secret: Option<(Did, Vec<u8>)>,
    /// A record whose uses are counted, how many of them are reserved, and how many there are. A count never goes back.
    pub uses: Option<(RecordId, u64, u64)>,
    /// The clock's high-water mark; it never goes back.
    pub clock: Option<UnixMs>,
    /// The name of the log that the store belongs to.
    pub origin: Option<String>,
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
        let version = store.with(|database| {
            let write = database.begin_write()?;
            let version = write.open_table(META)?.get(VERSION)?.map(|version| version.value().to_vec());
            if version.is_none() {
                write.open_table(META)?.insert(VERSION, VERSION_NOW)?;
                write.open_table(FACTS)?;
                write.open_table(ENROLMENTS)?;
                write.open_table(SECRETS)?;
                write.commit()?;
            } else {
                write.abort()?;
            }
            Ok(version)
        })?;
        if version.is_none_or(|version| version == VERSION_NOW) { Ok(store) } else { Err(StoreError::Version) }
    }

    /// Writes a batch durably: on disk, not just handed to the system, when this answers.
    pub fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
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
                if let Some(record) = &batch.record {
                    write.open_table(RECORDS)?.insert(&record.0, next)?;
                }
            }
            if let Some((handle, did)) = &batch.enrolment {
                write.open_table(ENROLMENTS)?.insert(&handle.0, &did.0)?;
            }
            if let Some((record, reserved, max)) = &batch.uses {
                let mut uses = write.open_table(USES)?;
                let known = uses.get(&record.0)?.map_or(0, |known| count(known.value()).0);
                let row: [u8; 16] = (u128::from((*reserved).max(known)) << 64 | u128::from(*max)).to_be_bytes();
                uses.insert(&record.0, &row)?;
            }
            if let Some((did, sealed)) = &batch.secret {
                write.open_table(SECRETS)?.insert(&did.0, sealed.as_slice())?;
            }
            {
                let mut meta = write.open_table(META)?;
                if let Some(clock) = batch.clock {
                    let known = meta.get(CLOCK)?.and_then(|known| instant(known.value()));
                    let mark = known.map_or(clock, |known| known.max(clock));
                    meta.insert(CLOCK, mark.0.to_be_bytes().as_slice())?;
                }
                if let Some(origin) = &batch.origin {
                    meta.insert(ORIGIN, origin.as_bytes())?;
                }
            }
            Ok(write.commit()?)
        })
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

    /// The fact that holds a record.
    pub fn fact_of(&self, record: &RecordId) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let read = database.begin_read()?;
            let numbers = match read.open_table(RECORDS) {
                Ok(numbers) => numbers,
                // Nothing was taken yet.
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let Some(number) = numbers.get(&record.0)? else { return Ok(None) };
            Ok(read.open_table(FACTS)?.get(number.value())?.map(|fact| fact.value().to_vec()))
        })
    }

    /// Hands over every record whose uses were counted: how many are reserved, of how many.
    pub fn uses(&self, mut each: impl FnMut(RecordId, u64, u64)) -> Result<(), StoreError> {
        self.with(|database| {
            let uses = match database.begin_read()?.open_table(USES) {
                Ok(uses) => uses,
                // Nothing was counted yet.
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for row in uses.iter()? {
                let (record, row) = row?;
                let (reserved, max) = count(row.value());
                each(RecordId(*record.value()), reserved, max);
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

    /// Every byte that rests.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.place {
            Place::Memory(memory) => memory.bytes(),
            Place::Folder(folder) => std::fs::read(folder.join("facts.redb")).expect("the store's file"),
        }
    }
}

/// How many are reserved, of how many.
fn count(row: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_be_bytes(*row);
    ((both >> 64) as u64, both as u64)
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
            record: Some(RecordId([4; 32])),
            uses: Some((RecordId([4; 32]), 3, 9)),
            enrolment: Some((Handle([1; 32]), Did([2; 32]))),
            secret: Some((Did([2; 32]), vec![3; 60])),
            clock: Some(UnixMs(5)),
            origin: Some("log.example".into()),
        };
        Store::open(&folder).and_then(|store| store.commit(&whole)).expect("a new folder");
        let store = Store::open(&folder).expect("closed before");
        store.commit(&batch(b"three")).expect("room");
        assert_eq!(store.fact_of(&RecordId([4; 32])).expect("readable").as_deref(), Some(&b"one"[..]));
        assert_eq!(store.fact_of(&RecordId([5; 32])).expect("readable"), None);
        store.commit(&Batch { uses: Some((RecordId([4; 32]), 2, 9)), ..Batch::default() }).expect("room");
        let mut uses = Vec::new();
        store.uses(|record, reserved, max| uses.push((record, reserved, max))).expect("readable");
        assert_eq!(uses, [(RecordId([4; 32]), 3, 9)], "a count never goes back");
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
