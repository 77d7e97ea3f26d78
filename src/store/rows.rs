//! Tables, and the only way rows come and go: each change of a row changes the sum over all rows in the same transaction.

use std::ops::Range;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle, WriteTransaction,
};

use super::StoreError;
use super::rest::RestKey;
use super::sum::Sum;
use crate::world;

pub(super) type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Facts by number, in the order in which they were taken.
pub(super) const FACTS: Rows = TableDefinition::new("facts");
/// Which fact holds which record.
pub(super) const RECORDS: Rows = TableDefinition::new("records");
/// Which facts are a subject's: `did | number`, and nothing.
pub(super) const HISTORY: Rows = TableDefinition::new("history");
/// Uses by record: `reserved | of how many`.
pub(super) const USES: Rows = TableDefinition::new("uses");
/// Whom a source's value means: the did:key by handle.
pub(super) const ENROLMENTS: Rows = TableDefinition::new("enrolments");
/// Subjects' rows by did:key, as [`RestKey::seal_subject`] makes them.
pub(super) const SUBJECTS: Rows = TableDefinition::new("subjects");
/// Leaves that may not be in the log yet, by their number there.
pub(super) const LEAVES: Rows = TableDefinition::new("leaves");
/// Which leaf is about which record: `did | record`.
pub(super) const LOGGED: Rows = TableDefinition::new("records in the log");
/// Announcements that a subject's vault opens: `did | number`, sealed.
pub(super) const WRAPS: Rows = TableDefinition::new("vault wraps");
/// What became of legal demands, in the order in which it was taken: by number, sealed.
pub(super) const DESK: Rows = TableDefinition::new("desk");
/// The clock's mark, the log's name, how many leaves there ever were, the acts in force.
pub(super) const META: Rows = TableDefinition::new("meta");
/// What the sum is over.
const SUMMED: [Rows; 11] = [FACTS, RECORDS, HISTORY, USES, ENROLMENTS, SUBJECTS, LEAVES, LOGGED, WRAPS, DESK, META];

/// What the sum is not over: the format's version, and the sealed sum.
const SEAL: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("seal");
const VERSION: &str = "version";
const SUM: &str = "sum";
const VERSION_NOW: &[u8] = &[2];

/// Makes the tables that a file lacks: all of a new one's, and those that came later to one that is there (an empty table changes no
/// sum). False: it is of another version, and left alone.
pub(super) fn begin(database: &Database) -> Result<bool, redb::Error> {
    let known = |read: ReadTransaction| match read.open_table(SEAL) {
        Ok(seal) => Ok(seal.get(VERSION)?.map(|version| version.value() == VERSION_NOW)),
        // Nothing of ours, or of the first version, which had its version elsewhere.
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(read.list_tables()?.next().map(|_| false)),
        Err(error) => Err(redb::Error::from(error)),
    };
    let known = known(database.begin_read()?)?;
    if known == Some(false) {
        return Ok(false);
    }
    let there = database.begin_read()?.list_tables()?.count();
    // And the table of the seal.
    if there <= SUMMED.len() {
        let write = database.begin_write()?;
        write.open_table(SEAL)?.insert(VERSION, VERSION_NOW)?;
        for table in SUMMED {
            write.open_table(table)?;
        }
        write.commit()?;
    }
    Ok(true)
}

/// A transaction, and the sum as it will be.
pub(super) struct Writing<'k> {
    write: WriteTransaction,
    key: &'k RestKey,
    sum: Sum,
}

impl<'k> Writing<'k> {
    /// `None`: the sum does not open under this key.
    pub(super) fn begin(database: &Database, key: &'k RestKey) -> Result<Option<Self>, redb::Error> {
        let mut write = database.begin_write()?;
        // A record's bytes come from outside: two phases keep a torn write from ever looking like a whole one.
        write.set_two_phase_commit(true);
        let sum = match write.open_table(SEAL)?.get(SUM)? {
            Some(sealed) => key.open_sum(sealed.value()),
            None => Some(Sum::default()),
        };
        Ok(sum.map(|sum| Self { write, key, sum }))
    }

    pub(super) fn get(&self, table: Rows, key: &[u8]) -> Result<Option<Vec<u8>>, redb::Error> {
        Ok(self.write.open_table(table)?.get(key)?.map(|value| value.value().to_vec()))
    }

    /// The number behind the last row of a table whose keys are numbers.
    pub(super) fn next(&self, table: Rows) -> Result<u64, redb::Error> {
        Ok(self.write.open_table(table)?.last()?.map_or(0, |(key, _)| number(key.value()).saturating_add(1)))
    }

    pub(super) fn put(&mut self, table: Rows, key: &[u8], value: &[u8]) -> Result<(), redb::Error> {
        let name = table.name();
        let mut rows = self.write.open_table(table)?;
        if let Some(before) = rows.insert(key, value)? {
            self.sum.subtract(&self.key.row(name, key, before.value()));
        }
        self.sum.add(&self.key.row(name, key, value));
        Ok(())
    }

    /// The number behind the last row of those of a subject.
    pub(super) fn next_of(&self, table: Rows, did: &[u8]) -> Result<u64, redb::Error> {
        let (first, last) = ([did, &[0; 8]].concat(), [did, &[0xff; 8]].concat());
        let rows = self.write.open_table(table)?;
        let last = rows.range::<&[u8]>(&first[..]..=&last[..])?.next_back().transpose()?;
        Ok(last.map_or(0, |(key, _)| number(key.value().get(32..).unwrap_or_default()).saturating_add(1)))
    }

    /// Takes the rows from one key to before another away.
    pub(super) fn remove(&mut self, table: Rows, range: Range<&[u8]>) -> Result<(), redb::Error> {
        let name = table.name();
        let (sum, rest_key) = (&mut self.sum, self.key);
        self.write.open_table(table)?.retain_in::<&[u8], _>(range, |key, value| {
            sum.subtract(&rest_key.row(name, key, value));
            false
        })?;
        Ok(())
    }

    pub(super) fn commit(self) -> Result<(), redb::Error> {
        let sealed = self.key.seal_sum(&self.sum, &mut world::entropy());
        self.write.open_table(SEAL)?.insert(SUM, sealed.as_slice())?;
        self.write.commit()?;
        Ok(())
    }
}

/// What a start counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Subjects.
    pub subjects: u64,
    /// Subjects that no source's value means.
    pub strangers: u64,
}

/// Reads every row, and compares what they add up to with what rests: the store is what was written under this key, all of it and no
/// more.
pub(super) fn authenticate(read: &ReadTransaction, key: &RestKey) -> Result<Counted, StoreError> {
    let sealed = read.open_table(SEAL).map_err(redb::Error::from)?.get(SUM).map_err(redb::Error::from)?;
    let rests = match &sealed {
        Some(sealed) => key.open_sum(sealed.value()).ok_or(StoreError::WrongKey)?,
        // New: without a row, too.
        None => Sum::default(),
    };
    // The records are most of the bytes: they are read beside everything else.
    let (facts, others) = std::thread::scope(|scope| {
        let facts = scope.spawn(|| add_up(read, key, &[FACTS]));
        let others = add_up(read, key, &SUMMED[1..]);
        (facts.join(), others)
    });
    let (facts, _) = facts.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let (mut sum, counted) = others?;
    sum.add(&facts);
    if sum == rests { Ok(counted) } else { Err(StoreError::NotAsLeft) }
}

fn add_up(read: &ReadTransaction, key: &RestKey, tables: &[Rows]) -> Result<(Sum, Counted), redb::Error> {
    let (mut sum, mut counted) = (Sum::default(), Counted::default());
    for table in tables {
        let name = table.name();
        let rows = read.open_table(*table)?;
        if name == SUBJECTS.name() {
            counted.subjects = rows.len()?;
        }
        for row in rows.iter()? {
            let (row, value) = row?;
            sum.add(&key.row(name, row.value(), value.value()));
            counted.strangers += u64::from(name == SUBJECTS.name() && RestKey::is_stranger(value.value()));
        }
    }
    Ok((sum, counted))
}

/// A number as the key of a row: rows are in the order of numbers.
pub(super) fn number(key: &[u8]) -> u64 {
    key.try_into().map(u64::from_be_bytes).unwrap_or_default()
}

/// Changes the file as somebody without the key could.
#[cfg(test)]
pub(super) fn tamper(database: &Database, table: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut rows = write.open_table(TableDefinition::<&[u8], &[u8]>::new(table))?;
        match value {
            Some(value) => drop(rows.insert(key, value)?),
            None => drop(rows.remove(key)?),
        }
    }
    Ok(write.commit()?)
}

/// A table's name, a key and a value of it.
#[cfg(test)]
pub(crate) type Row = (String, Vec<u8>, Vec<u8>);

#[cfg(test)]
pub(super) fn all(database: &Database) -> Result<Vec<Row>, redb::Error> {
    let (read, mut all) = (database.begin_read()?, Vec::new());
    for table in SUMMED {
        for row in read.open_table(table)?.iter()? {
            let (key, value) = row?;
            all.push((table.name().to_owned(), key.value().to_vec(), value.value().to_vec()));
        }
    }
    Ok(all)
}

/// The file as it was before a table came.
#[cfg(test)]
pub(super) fn without(database: &Database, table: &str) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    write.delete_table(TableDefinition::<&[u8], &[u8]>::new(table))?;
    Ok(write.commit()?)
}

#[cfg(test)]
pub(super) fn of_a_later_version(database: &Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    write.open_table(SEAL)?.insert(VERSION, [3u8].as_slice())?;
    Ok(write.commit()?)
}
