//! The desk for legal demands: the one writer of cases. A record is verified, checked against its case, made durable with its entry for the
//! log, and only then acts: the barrier waits until every open stream stands on the case as it is with it.

mod cases;
mod consent;
mod file;
mod minding;
mod public;
mod release;
mod row;
mod take;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::cases::Cases;
pub use self::file::CaseFile;
pub use self::public::MadePublic;
pub use self::release::Releasing;
pub use self::row::Kept;
use self::row::{CHANGED, Row};
pub use self::take::DemandTaken;
use super::logged::Receipt;
use super::{Ledger, Refused, Writer};
use crate::store::{Batch, Noted};
use crate::veil::crypto::sign::SignKey;
use crate::veil::demand::Register;
use crate::veil::merkle::leaf::{Act, Leaf, Salt};
use crate::veil::name::{Did, RecordId, UnixMs};
use crate::world;

/// The most demands that are kept.
pub const CASES_MAX: usize = 65_536;
/// The most statements and records of reports that are kept.
pub const PUBLIC_MAX: usize = 16_384;
/// The most of them that one person makes public within [`PUBLIC_MS`]: nobody takes the room of all others.
pub const PUBLIC_OF_ONE_MAX: usize = 64;
/// A day.
pub const PUBLIC_MS: i64 = 86_400_000;
/// The largest payload of one of them, in bytes: all of them stay in memory.
pub const PUBLIC_BYTES_MAX: usize = 16 * 1_024;

/// Cases, and who may write in them.
pub(super) struct Desk {
    /// Signs notices and releases: what the gateway itself does.
    sign: Arc<SignKey>,
    cases: RwLock<Cases>,
    register: RwLock<Arc<Register>>,
    releasing: Mutex<Vec<Arc<Releasing>>>,
}

impl Desk {
    pub(super) fn new(sign: Arc<SignKey>, register: Register) -> Self {
        let register = RwLock::new(Arc::new(register));
        Self { sign, cases: RwLock::default(), register, releasing: Mutex::default() }
    }

    fn gateway(&self) -> Did {
        self.sign.did()
    }

    fn register(&self) -> Arc<Register> {
        Arc::clone(&self.register.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn cases(&self) -> RwLockReadGuard<'_, Cases> {
        self.cases.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Cases> {
        self.cases.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn releasing(&self) -> MutexGuard<'_, Vec<Arc<Releasing>>> {
        self.releasing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk({})", self.gateway())
    }
}

impl Ledger {
    /// From here on these are the persons of the desk; streams are to be judged anew ([`Self::rejudge_all`]).
    pub fn employ(&self, register: Register) {
        // One at a time with whoever takes a record.
        let _writer = self.writer();
        let register = Arc::new(register);
        *self.desk.register.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&register);
        self.desk.change().set_register(&register);
    }

    /// The persons of the desk.
    pub fn persons(&self) -> Arc<Register> {
        self.desk.register()
    }

    /// Reads rows that are on disk and not in memory; whether there were any. On an error the number of the row that is wrong.
    pub(super) fn catch_up_desk(&self) -> Result<bool, (Option<u64>, Refused)> {
        let known = self.desk.cases().rows;
        let rows = self.store.desk_from(known).map_err(|error| (None, Refused::Unavailable(error)))?;
        let (register, mut cases) = (self.desk.register(), self.desk.change());
        for sealed in &rows {
            let opened = self.rest_key.open_desk(sealed).and_then(|row| Row::read(&row)).ok_or(CHANGED);
            let applied = opened.and_then(|row| self.take_row(&mut cases, row, &register));
            applied.map_err(|code| (Some(cases.rows), Refused::Unread { fact: None, code }))?;
        }
        Ok(!rows.is_empty())
    }

    /// Makes rows durable, with entries for the log, and takes them into their cases. The number of the first entry.
    fn keep_rows(&self, writer: &mut Writer, now: UnixMs, rows: Vec<Row>, logged: &[(Act, RecordId)]) -> Result<u64, Refused> {
        let mut batch = Batch { desk: rows.iter().map(|row| self.seal_row(row)).collect(), ..Batch::default() };
        let gateway = self.desk.gateway();
        let leaf = |(act, record): &(Act, RecordId)| Leaf::new(*act, now, &Salt::OPEN, record);
        batch.leaves = logged.iter().map(|act| Noted { leaf: leaf(act), of: Some((gateway, act.1)) }).collect();
        let first = self.commit(writer, &mut batch, now, &[])?;
        self.apply_rows(rows)?;
        Ok(first)
    }

    fn seal_row(&self, row: &Row) -> Vec<u8> {
        self.rest_key.seal_desk(&mut row.write(), &mut world::entropy())
    }

    /// Takes rows that are durable into their cases.
    fn apply_rows(&self, rows: Vec<Row>) -> Result<(), Refused> {
        let (register, mut cases) = (self.desk.register(), self.desk.change());
        let mut rows = rows.into_iter();
        rows.try_for_each(|row| self.take_row(&mut cases, row, &register)).map_err(|code| Refused::Unread { fact: None, code })
    }

    fn take_row(&self, cases: &mut Cases, row: Row, register: &Arc<Register>) -> Result<(), &'static str> {
        self.written(&row);
        cases.apply(row, &self.config.origin, register)
    }

    /// That a record of the desk is in the log; none, where it is not.
    pub fn demand_receipt(&self, record: RecordId) -> Result<Option<Receipt>, Refused> {
        let leaf = self.store.leaf_of(&self.desk.gateway(), &record).map_err(Refused::Unavailable)?;
        leaf.map(|leaf| self.open_receipt(leaf)).transpose()
    }

    fn open_receipt(&self, leaf: u64) -> Result<Receipt, Refused> {
        Ok(Receipt { salt: Salt::OPEN, proof: self.logged(leaf)? })
    }
}

#[cfg(test)]
mod tests;
