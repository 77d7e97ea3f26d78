//! The transparency log as it rests: tiles in a folder, one writer, batches at a fixed cadence. Whoever appends waits for its batch and
//! gets a proof; what is appended is a leaf already, so that nothing here knows whom or what it is about.
//!
//! Calls write to disk and wait: an async caller moves them off its threads.

pub mod disk;
mod error;
mod journal;
#[cfg(test)]
pub(crate) mod memory;
mod read;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::disk::{Disk, Folder};
pub use self::error::{LogError, OpenError, Warning};
pub use self::read::{Audit, Copy, ReadError};
use self::writer::Writer;
pub use self::writer::{Anchor, Signer};
use crate::veil::merkle::Doubt;
use crate::veil::merkle::checkpoint::{Checkpoint, Head};
use crate::veil::merkle::leaf::Leaf;
use crate::veil::merkle::note::{Note, VerifierKey};
use crate::veil::merkle::receipt::LogProof;
use crate::veil::merkle::tiles::Tile;

/// The most leaves that wait for a batch: more are refused until some are durable.
pub const WAITING_MAX: usize = 1 << 20;

/// A log.
pub struct Log {
    disk: Arc<dyn Disk>,
    verifier: VerifierKey,
    batch: Duration,
    writer: Mutex<Writer>,
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Debug)]
struct State {
    /// What is signed, and what it says.
    head: Head,
    checkpoint: Note,
    /// Leaves that are not signed yet; the first of them is number `head.size`.
    waiting: VecDeque<Leaf>,
    /// Leaves before this number are not gathered with others.
    hurried: u64,
    /// Somebody waits to write, or writes.
    busy: bool,
    /// Attempts that failed, how far the last of them would have come, and why it did not.
    failed: u64,
    tried: u64,
    why: Option<Arc<LogError>>,
    /// It was set back: nothing is signed any more.
    set_back: bool,
}

impl Log {
    /// Opens a log on a disk, or begins one. `batch` is how long leaves are gathered before they are written together.
    pub fn open(
        disk: Arc<dyn Disk>,
        anchor: Option<Anchor>,
        signer: Signer,
        batch: Duration,
    ) -> Result<(Arc<Self>, Vec<Warning>), OpenError> {
        let verifier = signer.verifier.clone();
        let (writer, checkpoint, warnings) = Writer::open(Arc::clone(&disk), anchor, signer)?;
        let head = head(&checkpoint, &verifier)?;
        let state =
            State { head, checkpoint, waiting: VecDeque::new(), hurried: 0, busy: false, failed: 0, tried: 0, why: None, set_back: false };
        let log = Self { disk, verifier, batch, writer: Mutex::new(writer), state: Mutex::new(state), woken: Condvar::new() };
        Ok((Arc::new(log), warnings))
    }

    /// Opens a log in a folder of its own; `anchor` is a file outside of it.
    pub fn open_folder(
        folder: &Path,
        anchor: Option<&Path>,
        signer: Signer,
        batch: Duration,
    ) -> Result<(Arc<Self>, Vec<Warning>), OpenError> {
        let anchor = anchor.map(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            Anchor { disk: Box::new(Folder::look(path.parent().unwrap_or(Path::new("")))), name }
        });
        Self::open(Arc::new(Folder::hold(folder)?), anchor, signer, batch)
    }

    /// Whose checkpoints these are.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// How many entries are signed.
    pub fn size(&self) -> u64 {
        self.state().head.size
    }

    /// How many entries there will be once everything that waits is written.
    pub fn next(&self) -> u64 {
        let state = self.state();
        state.head.size + state.waiting.len() as u64
    }

    /// The newest checkpoint.
    pub fn checkpoint(&self) -> Note {
        self.state().checkpoint.clone()
    }

    /// Gives a leaf its place, which is `number`: they come in order. One that has its place already keeps it.
    pub fn push(&self, number: u64, leaf: Leaf) -> Result<(), LogError> {
        let mut state = self.state();
        let next = state.head.size + state.waiting.len() as u64;
        if number < next {
            return Ok(());
        }
        if number > next || state.waiting.len() >= WAITING_MAX {
            return Err(LogError::Io(std::io::ErrorKind::QuotaExceeded.into()));
        }
        state.waiting.push_back(leaf);
        Ok(())
    }

    /// The leaf with this number is written as soon as can be, and all before it: whoever waits for it does not wait for others.
    pub fn hurry(&self, number: u64) {
        let mut state = self.state();
        state.hurried = state.hurried.max(number.saturating_add(1));
        drop(state);
        self.woken.notify_all();
    }

    /// Waits until the leaf with this number, which was pushed, is durable and signed; proves it.
    pub fn settle(&self, number: u64) -> Result<LogProof, Arc<LogError>> {
        let checkpoint = self.signed(number)?;
        let head = head(&checkpoint, &self.verifier).map_err(|_| Arc::new(LogError::Contradiction))?;
        self.prove(number, &head, checkpoint).map_err(|error| {
            Arc::new(match error {
                ReadError::Io(error) => LogError::Io(error),
                ReadError::Doubt(doubt) => LogError::Doubt(doubt),
            })
        })
    }

    /// Proves an entry that is signed, under the newest checkpoint.
    fn prove(&self, number: u64, head: &Head, checkpoint: Note) -> Result<LogProof, ReadError> {
        read::prove(&*self.disk, number, head, checkpoint)
    }

    /// The checkpoint of the batch that a leaf is in, or of a later one. Whoever comes first writes for all that wait by then.
    fn signed(&self, number: u64) -> Result<Note, Arc<LogError>> {
        let mut state = self.state();
        let before = state.failed;
        loop {
            if state.set_back {
                return Err(Arc::new(LogError::SetBack));
            }
            if number < state.head.size {
                return Ok(state.checkpoint.clone());
            }
            if number - state.head.size >= state.waiting.len() as u64 {
                return Err(Arc::new(LogError::Doubt(Doubt::NotIncluded)));
            }
            if state.failed > before
                && number < state.tried
                && let Some(why) = &state.why
            {
                return Err(Arc::clone(why));
            }
            if state.busy {
                state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.busy = true;
            let turn = Turn(self);
            if !self.batch.is_zero() {
                let gathered = self.woken.wait_timeout_while(state, self.batch, |state| state.hurried <= state.head.size);
                state = gathered.unwrap_or_else(PoisonError::into_inner).0;
            }
            let leaves: Vec<_> = state.waiting.iter().copied().collect();
            let first = state.head.size;
            drop(state);
            let done = self.write(first, &leaves);
            state = self.state();
            self.take(&mut state, first + leaves.len() as u64, done);
            // Also where writing panicked somebody else takes the next turn.
            drop(state);
            drop(turn);
            state = self.state();
        }
    }

    /// Writes what is not durable of the leaves from `first` on, and signs.
    fn write(&self, first: u64, leaves: &[Leaf]) -> Result<(Head, Note), LogError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // An attempt before may have come half-way: what is durable keeps its place.
        let durable = usize::try_from(writer.size().saturating_sub(first)).unwrap_or(usize::MAX);
        let checkpoint = writer.append(leaves.get(durable..).unwrap_or(&[]))?;
        let head = head(&checkpoint, &self.verifier).map_err(|_| LogError::Contradiction)?;
        Ok((head, checkpoint))
    }

    fn take(&self, state: &mut State, tried: u64, done: Result<(Head, Note), LogError>) {
        match done {
            Ok((head, checkpoint)) => {
                let signed = usize::try_from(head.size.saturating_sub(state.head.size)).unwrap_or(usize::MAX);
                state.waiting.drain(..signed.min(state.waiting.len()));
                (state.head, state.checkpoint) = (head, checkpoint);
            }
            Err(error) => {
                state.failed += 1;
                state.tried = tried;
                state.why = Some(Arc::new(error));
            }
        }
    }

    /// Takes a checkpoint that somebody was given earlier. One that this log signed and does not have shows that it was set back:
    /// nothing is signed from then on. Says whether the log is still believed.
    pub fn witness(&self, checkpoint: &[u8]) -> Result<(), LogError> {
        let shown = Checkpoint::open(checkpoint, &self.verifier).map_err(LogError::Doubt)?.head;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match writer.compare_head(&shown, "checkpoint that was shown") {
            Ok(()) => Ok(()),
            Err(OpenError::RolledBack { .. } | OpenError::Forked { .. }) => {
                self.state().set_back = true;
                // Where it can't be kept, the next start does not know.
                let _unkept = self.disk.put_durably(writer::SHOWN, checkpoint);
                Err(LogError::SetBack)
            }
            Err(OpenError::Io(error)) => Err(LogError::Io(error)),
            Err(_) => Err(LogError::Doubt(Doubt::WrongTiles)),
        }
    }

    /// Whether it is, or goes on from, a log that had this head.
    pub fn goes_on_from(&self, head: &Head) -> std::io::Result<bool> {
        let signed = self.state().head;
        match read::extends(&*self.disk, head, &signed) {
            Ok(()) => Ok(true),
            Err(ReadError::Doubt(Doubt::Forked)) => Ok(false),
            Err(ReadError::Io(error)) => Err(error),
            Err(ReadError::Doubt(_)) => Err(std::io::ErrorKind::InvalidData.into()),
        }
    }

    /// What is served at a path: the checkpoint, or a tile.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        let known = path == writer::CHECKPOINT || Tile::parse(path).is_some();
        known.then(|| self.disk.read(path).ok().flatten()).flatten()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever writes; its end wakes the others, however it came.
struct Turn<'a>(&'a Log);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().busy = false;
        self.0.woken.notify_all();
    }
}

fn head(checkpoint: &Note, log: &VerifierKey) -> Result<Head, OpenError> {
    let signed = Checkpoint::open(checkpoint.to_string().as_bytes(), log);
    Ok(signed.map_err(|doubt| OpenError::OtherLog { what: "checkpoint", doubt })?.head)
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.verifier.name())
    }
}

#[cfg(test)]
mod tests;
