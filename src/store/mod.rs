//! Where facts rest: one embedded file, one durable transaction per change. It keeps signed records, keyed handles,
//! public keys, sealed secrets and the time; no names, no source-local identifiers, no payload of frames.
//!
//! A [`Batch`] is there whole when [`Store::commit`] answers, and otherwise not at all, or, where the disk failed in the
//! very act, whole after all: after an error the caller reads again before it goes on. An error closes the file; the
//! next call opens it again, so the store recovers when the disk does. Reads do not wait for a commit.

mod error;
mod place;
pub mod rest;
mod rows;
mod sum;

use std::path::Path;
use std::sync::{PoisonError, RwLock, TryLockError};

pub use error::StoreError;
use place::{Memory, Place};
use redb::{Database, ReadableDatabase, ReadableTable};
use rest::{Kept, RestKey};
pub use rows::Counted;
use rows::{DESK, ENROLMENTS, FACTS, HISTORY, LEAVES, LOGGED, META, RECORDS, Rows, SUBJECTS, USES, WRAPS, Writing, number};

use crate::veil::merkle::leaf::{LEAF_BYTES, Leaf};
use crate::veil::name::{Did, Handle, RecordId, UnixMs};

const CLOCK: &[u8] = b"clock";
const ORIGIN: &[u8] = b"origin";
/// How many leaves there ever were.
const LEAF_COUNT: &[u8] = b"leaves";
const ACTS: &[u8] = b"acts";

/// The most announcements that are kept for one subject's vault: half a year of one recipient's hours.
pub const WRAPS_MAX: u64 = 4_096;

/// The store.
#[derive(Debug)]
pub struct Store {
    place: Place,
    database: RwLock<Slot>,
}

/// What is written together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Facts of the subject, appended in order.
    pub facts: Vec<Vec<u8>>,
    /// The record that the first of the facts holds, to find it by.
    pub record: Option<RecordId>,
    /// A source's value, as its handle, and whom it means.
    pub enrolment: Option<(Handle, Did)>,
    /// Whose facts these are, and its row as it is with them.
    pub subject: Option<(Did, Vec<u8>)>,
    /// A record whose uses are counted, how many of them are reserved, and how many there are. A count never goes back.
    pub uses: Option<(RecordId, u64, u64)>,
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
    /// Announcements that a subject's vault opens, sealed; the oldest of a subject go where there are more than [`WRAPS_MAX`].
    pub wraps: Vec<(Did, Vec<u8>)>,
    /// What became of legal demands, sealed, appended in order.
    pub desk: Vec<Vec<u8>>,
}

/// A leaf for the log.
#[derive(Clone, Copy, Debug)]
pub struct Noted {
    /// The leaf.
    pub leaf: Leaf,
    /// The subject and the record that it is about, where it is about one.
    pub of: Option<(Did, RecordId)>,
}

/// All that rests of a subject.
#[derive(Debug, Default)]
pub struct History {
    /// Its row; see [`RestKey::open_subject`].
    pub row: Vec<u8>,
    /// Its facts, by number.
    pub facts: Vec<(u64, Vec<u8>)>,
}

impl History {
    /// What the facts come to.
    pub fn kept(&self) -> Kept {
        self.facts.iter().fold(Kept::default(), |kept, (_, fact)| kept.and(fact))
    }
}

impl Store {
    /// Opens the store in a folder of its own, or begins one. What is in it is believed once [`Self::authenticate`] said so.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::at(Place::Folder(folder.into()))
    }

    /// A store in memory, for tests: it lasts as long as this value.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::at(Place::Memory(Memory::default()))
    }

    fn at(place: Place) -> Result<Self, StoreError> {
        let store = Self { database: RwLock::default(), place };
        if store.with(rows::begin)? { Ok(store) } else { Err(StoreError::Version) }
    }

    /// Reads everything once: that it is what was written under this key, all of it and no more.
    pub fn authenticate(&self, key: &RestKey) -> Result<Counted, StoreError> {
        self.with(|database| Ok(rows::authenticate(&database.begin_read()?, key)))?
    }

    /// Writes a batch durably: on disk, not just handed to the system, when this answers. The number of its first leaf.
    pub fn commit(&self, key: &RestKey, batch: &Batch) -> Result<u64, StoreError> {
        self.commit_all(key, std::slice::from_ref(batch))
    }

    /// The same for several, all of them or none.
    pub fn commit_all(&self, key: &RestKey, batches: &[Batch]) -> Result<u64, StoreError> {
        let first = self.with(|database| {
            let Some(mut writing) = Writing::begin(database, key)? else { return Ok(None) };
            let first = writing.get(META, LEAF_COUNT)?.map_or(0, |bytes| number(&bytes));
            for batch in batches {
                write(&mut writing, batch)?;
            }
            if let Some(logged) = batches.iter().map(|batch| batch.logged).max() {
                writing.remove(LEAVES, &[]..&logged.min(first).to_be_bytes())?;
            }
            writing.commit()?;
            Ok(Some(first))
        })?;
        first.ok_or(StoreError::WrongKey)
    }

    /// How many leaves there ever were.
    pub fn leaf_count(&self) -> Result<u64, StoreError> {
        Ok(self.meta(LEAF_COUNT)?.map_or(0, |bytes| number(&bytes)))
    }

    /// Hands over every leaf that is kept from number `from`, in order.
    pub fn leaves_from(&self, from: u64, mut each: impl FnMut(u64, Leaf)) -> Result<(), StoreError> {
        let mut damaged = false;
        self.with(|database| {
            for row in database.begin_read()?.open_table(LEAVES)?.range::<&[u8]>(&from.to_be_bytes()[..]..)? {
                let (at, leaf) = row?;
                match Leaf::parse(leaf.value()) {
                    Ok(leaf) => each(number(at.value()), leaf),
                    Err(_) => damaged = true,
                }
            }
            Ok(())
        })?;
        if damaged { Err(StoreError::Damaged(format!("a leaf is not {LEAF_BYTES} bytes of its kind"))) } else { Ok(()) }
    }

    /// The number of the leaf about a subject's record.
    pub fn leaf_of(&self, did: &Did, record: &RecordId) -> Result<Option<u64>, StoreError> {
        Ok(self.get(LOGGED, &of(did, &record.0))?.map(|bytes| number(&bytes)))
    }

    /// Every record of a subject that has a leaf, and its number.
    pub fn leaves_of(&self, did: &Did) -> Result<Vec<(RecordId, u64)>, StoreError> {
        self.with(|database| {
            let mut found = Vec::new();
            let (first, last) = (of(did, &[0; 32]), of(did, &[0xff; 32]));
            for row in database.begin_read()?.open_table(LOGGED)?.range::<&[u8]>(&first[..]..=&last[..])? {
                let (key, leaf) = row?;
                if let Some((_, record)) = key.value().split_first_chunk::<32>()
                    && let Ok(record) = record.try_into()
                {
                    found.push((RecordId(record), number(leaf.value())));
                }
            }
            Ok(found)
        })
    }

    /// The institutional acts that are in force, as the ledger wrote them.
    pub fn acts(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.meta(ACTS)
    }

    /// All that rests of a subject, as of one instant; none: no such subject.
    pub fn history(&self, did: &Did) -> Result<Option<History>, StoreError> {
        self.with(|database| {
            let read = database.begin_read()?;
            let row = read.open_table(SUBJECTS)?.get(&did.0[..])?.map(|row| row.value().to_vec());
            let Some(row) = row else { return Ok(Ok(None)) };
            let (facts, mut history) = (read.open_table(FACTS)?, History { row, facts: Vec::new() });
            let (first, last) = (of(did, &0u64.to_be_bytes()), of(did, &u64::MAX.to_be_bytes()));
            for entry in read.open_table(HISTORY)?.range::<&[u8]>(&first[..]..=&last[..])? {
                let (entry, _) = entry?;
                let at = entry.value().get(32..).unwrap_or_default();
                match facts.get(at)? {
                    Some(fact) => history.facts.push((number(at), fact.value().to_vec())),
                    None => return Ok(Err(StoreError::Damaged(format!("fact {} is not there", number(at))))),
                }
            }
            Ok(Ok(Some(history)))
        })?
    }

    /// Announcements that a subject's vault opens, from number `from` on, the oldest first, `most` of them; sealed.
    pub fn wraps_of(&self, did: &Did, from: u64, most: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.with(|database| {
            let (first, last) = (of(did, &from.to_be_bytes()), of(did, &u64::MAX.to_be_bytes()));
            let rows = database.begin_read()?.open_table(WRAPS)?;
            let found = rows.range::<&[u8]>(&first[..]..=&last[..])?.take(most).map(|row| {
                let (key, wrap) = row?;
                Ok((number(key.value().get(32..).unwrap_or_default()), wrap.value().to_vec()))
            });
            found.collect()
        })
    }

    /// What became of legal demands, from number `from` on, in order; sealed.
    pub fn desk_from(&self, from: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        self.with(|database| {
            let rows = database.begin_read()?.open_table(DESK)?;
            rows.range::<&[u8]>(&from.to_be_bytes()[..]..)?.map(|row| Ok(row?.1.value().to_vec())).collect()
        })
    }

    /// The fact that holds a record.
    pub fn fact_of(&self, record: &RecordId) -> Result<Option<Vec<u8>>, StoreError> {
        match self.get(RECORDS, &record.0)? {
            Some(at) => self.get(FACTS, &at),
            None => Ok(None),
        }
    }

    /// Hands over every record whose uses were counted: how many are reserved, of how many.
    pub fn uses(&self, mut each: impl FnMut(RecordId, u64, u64)) -> Result<(), StoreError> {
        self.with(|database| {
            for row in database.begin_read()?.open_table(USES)?.iter()? {
                let (record, row) = row?;
                let (reserved, max) = used(row.value());
                if let Ok(record) = record.value().try_into() {
                    each(RecordId(record), reserved, max);
                }
            }
            Ok(())
        })
    }

    /// Whom a source's value means.
    pub fn enrolled(&self, handle: &Handle) -> Result<Option<Did>, StoreError> {
        Ok(self.get(ENROLMENTS, &handle.0)?.and_then(|did| did.try_into().ok()).map(Did))
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

    fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(META, key)
    }

    fn get(&self, table: Rows, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| Ok(database.begin_read()?.open_table(table)?.get(key)?.map(|value| value.value().to_vec())))
    }

    /// While the file is opened again, which takes the longer the more is in it, nobody waits for it: whoever asks is refused.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let slot = match self.database.try_read() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(slot)) => slot.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(reopening()),
        };
        if let Some(database) = &slot.open {
            return match work(database) {
                Ok(done) => Ok(done),
                Err(error) => {
                    let failed = slot.times;
                    drop(slot);
                    self.close(failed);
                    Err(error.into())
                }
            };
        }
        drop(slot);
        let mut slot = match self.database.try_write() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(slot)) => slot.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(reopening()),
        };
        // Somebody else may have opened it in between.
        let database = match slot.open.take() {
            Some(database) => database,
            None => self.place.open()?,
        };
        slot.times += 1;
        let done = work(&database)?;
        slot.open = Some(database);
        Ok(done)
    }

    /// After an error the database takes nothing more until it is opened again: it is dropped, and so closed.
    fn close(&self, failed: u64) {
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if slot.times == failed {
            slot.open = None;
        }
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

    /// Changes a row as somebody without the key could.
    #[cfg(test)]
    pub(crate) fn tamper(&self, table: &str, key: &[u8], value: Option<&[u8]>) {
        self.with(|database| rows::tamper(database, table, key, value)).expect("room");
    }

    /// Every table, and its rows.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Vec<rows::Row> {
        self.with(rows::all).expect("readable")
    }
}

/// The file, while it is open, and how often it was opened.
#[derive(Debug, Default)]
struct Slot {
    open: Option<Database>,
    times: u64,
}

fn reopening() -> StoreError {
    StoreError::Io(std::io::Error::new(std::io::ErrorKind::WouldBlock, "the file is being opened again after an error"))
}

fn write(writing: &mut Writing<'_>, batch: &Batch) -> Result<(), redb::Error> {
    let first = writing.next(FACTS)?;
    for (at, fact) in (first..).zip(&batch.facts) {
        writing.put(FACTS, &at.to_be_bytes(), fact)?;
        if let Some((did, _)) = &batch.subject {
            writing.put(HISTORY, &of(did, &at.to_be_bytes()), &[])?;
        }
    }
    if let Some(record) = &batch.record {
        writing.put(RECORDS, &record.0, &first.to_be_bytes())?;
    }
    if let Some((handle, did)) = &batch.enrolment {
        writing.put(ENROLMENTS, &handle.0, &did.0)?;
    }
    if let Some((record, reserved, max)) = &batch.uses {
        let known = writing.get(USES, &record.0)?.map_or(0, |known| used(&known).0);
        let row = (u128::from((*reserved).max(known)) << 64 | u128::from(*max)).to_be_bytes();
        writing.put(USES, &record.0, &row)?;
    }
    if let Some((did, row)) = &batch.subject {
        writing.put(SUBJECTS, &did.0, row)?;
    }
    let mut leaf = writing.get(META, LEAF_COUNT)?.map_or(0, |bytes| number(&bytes));
    for noted in &batch.leaves {
        writing.put(LEAVES, &leaf.to_be_bytes(), &noted.leaf.bytes()[..])?;
        if let Some((did, record)) = &noted.of {
            writing.put(LOGGED, &of(did, &record.0), &leaf.to_be_bytes())?;
        }
        leaf += 1;
    }
    writing.put(META, LEAF_COUNT, &leaf.to_be_bytes())?;
    if let Some(acts) = &batch.acts {
        writing.put(META, ACTS, acts)?;
    }
    if let Some(clock) = batch.clock {
        let known = writing.get(META, CLOCK)?.and_then(|known| instant(&known));
        let mark = known.map_or(clock, |known| known.max(clock));
        writing.put(META, CLOCK, &mark.0.to_be_bytes())?;
    }
    if let Some(origin) = &batch.origin {
        writing.put(META, ORIGIN, origin.as_bytes())?;
    }
    for (did, wrap) in &batch.wraps {
        let at = writing.next_of(WRAPS, &did.0)?;
        writing.put(WRAPS, &of(did, &at.to_be_bytes()), wrap)?;
        let oldest = (at + 1).saturating_sub(WRAPS_MAX);
        writing.remove(WRAPS, &of(did, &0u64.to_be_bytes())..&of(did, &oldest.to_be_bytes()))?;
    }
    let first = writing.next(DESK)?;
    for (at, row) in (first..).zip(&batch.desk) {
        writing.put(DESK, &at.to_be_bytes(), row)?;
    }
    Ok(())
}

/// A key of rows about a subject.
fn of(did: &Did, part: &[u8]) -> Vec<u8> {
    [&did.0[..], part].concat()
}

/// How many are reserved, of how many.
fn used(row: &[u8]) -> (u64, u64) {
    let both = row.try_into().map(u128::from_be_bytes).unwrap_or_default();
    ((both >> 64) as u64, both as u64)
}

fn instant(bytes: &[u8]) -> Option<UnixMs> {
    bytes.try_into().ok().map(i64::from_be_bytes).map(UnixMs)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::veil::crypto::secret::Secret;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("twinveil-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    const DID: Did = Did([2; 32]);

    fn facts(store: &Store) -> Vec<(u64, Vec<u8>)> {
        store.history(&DID).expect("readable").expect("a subject").facts
    }

    fn batch(fact: &[u8]) -> Batch {
        Batch { facts: vec![fact.to_vec()], subject: Some((DID, vec![3; 60])), ..Batch::default() }
    }

    fn key() -> RestKey {
        RestKey::new(&Secret::take(&mut [9; 32]))
    }

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let folder = folder("again");
        let whole = Batch {
            facts: vec![b"one".to_vec(), b"two".to_vec()],
            record: Some(RecordId([4; 32])),
            uses: Some((RecordId([4; 32]), 3, 9)),
            enrolment: Some((Handle([1; 32]), DID)),
            subject: Some((DID, vec![3; 60])),
            clock: Some(UnixMs(5)),
            origin: Some("log.example".into()),
            ..Batch::default()
        };
        Store::open(&folder).and_then(|store| store.commit(&key(), &whole)).expect("a new folder");
        let store = Store::open(&folder).expect("closed before");
        store.commit(&key(), &batch(b"three")).expect("room");
        assert_eq!(store.fact_of(&RecordId([4; 32])).expect("readable").as_deref(), Some(&b"one"[..]));
        assert_eq!(store.fact_of(&RecordId([5; 32])).expect("readable"), None);
        store.commit(&key(), &Batch { uses: Some((RecordId([4; 32]), 2, 9)), ..Batch::default() }).expect("room");
        let mut uses = Vec::new();
        store.uses(|record, reserved, max| uses.push((record, reserved, max))).expect("readable");
        assert_eq!(uses, [(RecordId([4; 32]), 3, 9)], "a count never goes back");
        assert_eq!(facts(&store), [(0, b"one".to_vec()), (1, b"two".to_vec()), (2, b"three".to_vec())]);
        assert_eq!(store.enrolled(&Handle([1; 32])).expect("readable"), Some(DID));
        assert_eq!(store.enrolled(&Handle([2; 32])).expect("readable"), None);
        assert_eq!(store.history(&DID).expect("readable").expect("a subject").row, [3; 60]);
        assert!(store.history(&Did([3; 32])).expect("readable").is_none());
        assert_eq!(store.clock().expect("readable"), Some(UnixMs(5)));
        assert_eq!(store.origin().expect("readable").as_deref(), Some("log.example"));
        drop(store);
        std::fs::remove_dir_all(folder).expect("own folder");
    }

    #[test]
    fn the_mark_of_the_clock_never_goes_back() {
        let store = Store::in_memory().expect("memory");
        for (mark, kept) in [(5, 5), (3, 5), (8, 8)] {
            store.commit(&key(), &Batch { clock: Some(UnixMs(mark)), ..Batch::default() }).expect("room");
            assert_eq!(store.clock().expect("readable"), Some(UnixMs(kept)));
        }
    }

    #[test]
    fn a_full_disk_leaves_nothing_half_written_and_the_store_recovers() {
        let store = Store::in_memory().expect("memory");
        store.commit(&key(), &batch(b"one")).expect("room");
        store.set_full(true);
        let whole = Batch { facts: vec![vec![7; 100_000]; 3], enrolment: Some((Handle([1; 32]), Did([2; 32]))), ..Batch::default() };
        assert_eq!(store.commit(&key(), &whole).expect_err("full").code(), "TV-D03");
        assert!(store.commit(&key(), &whole).is_err(), "still full");
        store.set_full(false);
        assert_eq!(facts(&store), [(0, b"one".to_vec())]);
        store.commit(&key(), &batch(b"two")).expect("room again");
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
        Store::open(&folder).and_then(|store| store.commit(&key(), &batch(&[9; 5_000]))).expect("a new folder");
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
    fn a_store_of_another_version_is_left_alone() {
        const FIRST: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
        for later in [true, false] {
            let memory = Memory::default();
            let place = || Place::Memory(memory.clone());
            if later {
                Store::at(place()).and_then(|store| store.with(rows::of_a_later_version)).expect("room");
            } else {
                let database = place().open().expect("memory");
                let write = database.begin_write().expect("room");
                write.open_table(FIRST).and_then(|mut meta| Ok(meta.insert("version", [1u8].as_slice()).map(drop)?)).expect("room");
                write.commit().expect("room");
            }
            let before = memory.bytes();
            assert_eq!(Store::at(place()).expect_err("another").code(), "TV-D04");
            assert_eq!(memory.bytes().len(), before.len());
        }
    }

    fn written() -> Store {
        let store = Store::in_memory().expect("memory");
        let whole = Batch {
            record: Some(RecordId([4; 32])),
            uses: Some((RecordId([4; 32]), 3, 9)),
            enrolment: Some((Handle([1; 32]), DID)),
            clock: Some(UnixMs(5)),
            origin: Some("log.example".into()),
            leaves: vec![Noted { leaf: leaf(), of: Some((DID, RecordId([4; 32]))) }],
            acts: Some(vec![1; 33]),
            wraps: vec![(DID, vec![6; 90])],
            desk: vec![vec![5; 90]],
            ..batch(b"one")
        };
        store.commit(&key(), &whole).expect("room");
        store
    }

    fn leaf() -> Leaf {
        use crate::veil::merkle::leaf::{Act, Salt};
        Leaf::new(Act::Consent, UnixMs(0), &Salt([1; 32]), &RecordId([4; 32]))
    }

    #[test]
    fn whatever_row_was_altered_added_or_removed_is_noticed() {
        let store = written();
        let counted = store.authenticate(&key()).expect("as it was left");
        assert_eq!((counted.subjects, counted.strangers), (1, 1));
        let rows = store.rows();
        let tables: std::collections::BTreeSet<_> = rows.iter().map(|(table, ..)| table.as_str()).collect();
        assert_eq!(tables.len(), 11, "each has a row: {tables:?}");
        let noticed = |how: &str| assert_eq!(store.authenticate(&key()).expect_err(how).code(), "TV-D05");
        for (table, at, value) in &rows {
            store.tamper(table, at, None);
            noticed("removed");
            let mut altered = value.clone();
            altered.push(0);
            store.tamper(table, at, Some(&altered));
            noticed("altered");
            store.tamper(table, at, Some(value));
            let mut another = at.clone();
            another.push(0);
            store.tamper(table, &another, Some(value));
            noticed("added");
            store.tamper(table, &another, None);
            store.authenticate(&key()).expect("as it was");
        }
        assert_eq!(store.authenticate(&RestKey::new(&Secret::take(&mut [8; 32]))).expect_err("another key").code(), "TV-L08");
    }

    #[test]
    fn rows_that_are_taken_away_are_no_part_of_the_sum_and_several_batches_are_one() {
        let store = written();
        let more: Vec<_> = [b"two", b"six"].map(|fact| Batch { leaves: vec![Noted { leaf: leaf(), of: None }], ..batch(fact) }).into();
        assert_eq!(store.commit_all(&key(), &more).expect("room"), 1);
        assert_eq!(facts(&store).len(), 3);
        store.commit(&key(), &Batch { logged: 2, ..Batch::default() }).expect("room");
        let mut kept = Vec::new();
        store.leaves_from(0, |at, _| kept.push(at)).expect("readable");
        assert_eq!((kept, store.leaf_count().expect("readable")), (vec![2], 3));
        store.authenticate(&key()).expect("as it was left");
    }

    #[test]
    fn so_many_wraps_of_a_subject_are_kept_and_the_oldest_go() {
        let store = Store::in_memory().expect("memory");
        let batch = Batch { wraps: vec![(DID, vec![6; 9]); WRAPS_MAX as usize + 3], ..Batch::default() };
        store.commit(&key(), &batch).expect("room");
        store.commit(&key(), &Batch { wraps: vec![(Did([3; 32]), vec![7; 9])], ..Batch::default() }).expect("room");
        let kept = store.wraps_of(&DID, 0, usize::MAX).expect("readable");
        assert_eq!((kept.len() as u64, kept[0].0), (WRAPS_MAX, 3));
        assert_eq!(store.wraps_of(&DID, WRAPS_MAX, 2).expect("readable").iter().map(|(at, _)| *at).collect::<Vec<_>>(), [4096, 4097]);
        assert_eq!(store.wraps_of(&Did([3; 32]), 0, 9).expect("readable"), [(0, vec![7; 9])]);
        store.authenticate(&key()).expect("as it was left");
    }

    #[test]
    fn what_became_of_demands_is_read_in_order_and_a_file_from_before_there_were_any_goes_on() {
        let store = Store::in_memory().expect("memory");
        store.commit(&key(), &batch(b"one")).expect("room");
        let Place::Memory(memory) = &store.place else { panic!("in memory") };
        let before = memory.clone();
        store.with(|database| rows::without(database, "desk")).expect("room");
        drop(store);
        let store = Store::at(Place::Memory(before)).expect("what lacks a table gets it");
        store.authenticate(&key()).expect("as it was left");
        for row in [b"a", b"b"] {
            store.commit(&key(), &Batch { desk: vec![row.to_vec(), row.to_vec()], ..Batch::default() }).expect("room");
        }
        assert_eq!(store.desk_from(0).expect("readable"), [b"a", b"a", b"b", b"b"]);
        assert_eq!(store.desk_from(3).expect("readable"), [b"b"]);
        store.authenticate(&key()).expect("as it was left");
    }

    #[test]
    fn an_older_row_put_back_is_noticed() {
        let store = written();
        let before = store.rows();
        store.commit(&key(), &Batch { uses: Some((RecordId([4; 32]), 9, 9)), ..Batch::default() }).expect("room");
        let (table, at, value) = before.into_iter().find(|(table, ..)| *table == "uses").expect("a row");
        store.tamper(&table, &at, Some(&value));
        assert_eq!(store.authenticate(&key()).expect_err("set back").code(), "TV-D05");
    }

    #[test]
    fn a_read_does_not_wait_for_a_commit() {
        let store = written();
        store
            .with(|database| {
                let _writing = database.begin_write()?;
                // Another thread reads while this one has a transaction open.
                let read = std::thread::scope(|scope| scope.spawn(|| store.enrolled(&Handle([1; 32]))).join().expect("no panic"));
                assert_eq!(read.expect("readable"), Some(DID));
                Ok(())
            })
            .expect("room");
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
