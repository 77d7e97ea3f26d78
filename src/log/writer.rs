//! The one that writes a log: batches of leaves in, a signed checkpoint out. The order of its writes is what keeps a log from ever
//! having two roots for one size:
//!
//! 1. the batch and the head behind it, durably (the journal);
//! 2. the tiles; those that are full durably, and then the journal begins anew behind them;
//! 3. only now the head is signed; the anchor, durably; the checkpoint.
//!
//! A crash between two writes leaves either a head that nobody signed, with exactly these leaves before it, or one that is signed and
//! durable. What was lost of tiles is written again from the journal.

use std::sync::Arc;

use super::disk::Disk;
use super::journal::{self, Journal};
use super::{LogError, OpenError, Warning};
use crate::veil::crypto::sign::SignKey;
use crate::veil::merkle::Doubt;
use crate::veil::merkle::checkpoint::{Checkpoint, Head};
use crate::veil::merkle::leaf::Leaf;
use crate::veil::merkle::note::{Note, VerifierKey};
use crate::veil::merkle::proof;
use crate::veil::merkle::tiles::{self, Edge, Shelf, Tile, TileError, TileReader, WIDTH};
use crate::veil::merkle::tree::{Frontier, Hash};

const JOURNAL: &str = "journal";
/// What the log says of itself, where everybody finds it.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// A newer checkpoint than the log has, which somebody showed: it was set back, and is to stay closed.
pub(super) const SHOWN: &str = "shown";
/// The longest checkpoint of ours; a file that is longer is none.
const CHECKPOINT_BYTES_MAX: usize = 4_096;

/// Who signs: the gateway's key under the log's name.
#[derive(Debug)]
pub struct Signer {
    /// The key.
    pub key: SignKey,
    /// Its public half, named.
    pub verifier: VerifierKey,
}

/// A file beside the data folder that holds the newest checkpoint, so that a backup put back in its place is noticed.
#[derive(Debug)]
pub struct Anchor {
    /// Where it is.
    pub disk: Box<dyn Disk>,
    /// The file's name there.
    pub name: String,
}

/// A log that is open for writing.
#[derive(Debug)]
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    anchor: Option<Anchor>,
    signer: Signer,
    tree: Frontier,
    edge: Edge,
    /// The leaves behind the last full bundle.
    bundle: Vec<Leaf>,
    /// What is in the journal.
    base: Frontier,
    batches: Vec<Vec<Leaf>>,
    check: [u8; 16],
    /// What is on disk of the journal is not known to be what was written: it is written anew before anything else.
    unsure: bool,
    /// Tiles that are due, in order.
    due: Vec<(Tile, Vec<u8>)>,
    signed: Option<Head>,
}

impl Writer {
    /// Opens a log, or begins one; mends what a crash left. Refuses one that is older than what it signed, or contradicts it.
    pub(super) fn open(disk: Arc<dyn Disk>, anchor: Option<Anchor>, signer: Signer) -> Result<(Self, Note, Vec<Warning>), OpenError> {
        let mut warnings = Vec::new();
        let known = disk.read(CHECKPOINT)?;
        let journal = match disk.read(JOURNAL)? {
            Some(bytes) => Journal::parse(&bytes).ok_or(OpenError::Damaged("the journal is not what was written"))?,
            None if known.is_some() || disk.read(&first_tile())?.is_some() => {
                return Err(OpenError::Damaged("the journal is missing"));
            }
            None => {
                let (bytes, check) = journal::write(&Frontier::default(), &[]);
                disk.put_durably(JOURNAL, &bytes)?;
                Journal { base: Frontier::default(), batches: Vec::new(), torn: false, check }
            }
        };
        let edge = Edge::read(journal.base.size(), &mut source(&*disk)).map_err(unreadable)?;
        if edge.peaks() != journal.base.peaks() {
            return Err(OpenError::Damaged("the tiles are not those of the journal"));
        }
        let mut writer = Self {
            disk,
            anchor,
            signer,
            tree: journal.base.clone(),
            edge,
            bundle: Vec::new(),
            base: journal.base,
            batches: Vec::new(),
            check: journal.check,
            unsure: journal.torn,
            due: Vec::new(),
            signed: None,
        };
        writer.sweep();
        for batch in journal.batches {
            writer.grow(&batch);
            writer.batches.push(batch);
        }
        writer.write_due()?;
        if let Some(warning) = writer.compare(known.as_deref(), "checkpoint")? {
            warnings.push(warning);
        }
        writer.compare(writer.disk.read(SHOWN)?.as_deref(), "checkpoint that was shown")?;
        match &writer.anchor {
            None => warnings.push(Warning::NoAnchor),
            Some(anchor) => {
                let known = anchor.disk.read(&anchor.name)?;
                if known.is_none() && writer.tree.size() > 0 {
                    warnings.push(Warning::NewAnchor);
                }
                if let Some(warning) = writer.compare(known.as_deref(), "anchor")? {
                    warnings.push(warning);
                }
            }
        }
        let note = writer.publish()?;
        Ok((writer, note, warnings))
    }

    /// How many leaves are durable.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root at an earlier size, read from the tiles.
    pub(super) fn root_at(&self, size: u64) -> Result<Hash, OpenError> {
        proof::root(size, &mut TileReader::new(source(&*self.disk), size)).map_err(unreadable)
    }

    /// Appends a batch and signs; everything that an earlier call left undone is done first. After an error nothing is signed; the
    /// leaves may be durable all the same ([`Self::size`]).
    pub(super) fn append(&mut self, leaves: &[Leaf]) -> Result<Note, LogError> {
        self.mend()?;
        self.write_due()?;
        for batch in leaves.chunks(journal::BATCH_MAX) {
            self.journal(batch)?;
            self.write_due()?;
        }
        self.publish()
    }

    /// Writes the journal anew where it is not known what is on disk.
    fn mend(&mut self) -> Result<(), LogError> {
        if self.unsure {
            let (bytes, check) = journal::write(&self.base, &self.batches);
            self.disk.put_durably(JOURNAL, &bytes)?;
            (self.check, self.unsure) = (check, false);
        }
        Ok(())
    }

    /// Makes a batch durable, and its head with it.
    fn journal(&mut self, leaves: &[Leaf]) -> Result<(), LogError> {
        let mut tree = self.tree.clone();
        if !leaves.iter().all(|leaf| tree.append(Hash::leaf(leaf.bytes()))) {
            return Err(LogError::Full);
        }
        let (bytes, check) = journal::write_batch(&self.check, leaves, &tree.root());
        // INVARIANT: until it is known what is on disk, nothing is appended to it.
        self.unsure = true;
        self.disk.append_durably(JOURNAL, &bytes)?;
        (self.check, self.unsure) = (check, false);
        self.grow(leaves);
        self.batches.push(leaves.to_vec());
        Ok(())
    }

    /// Takes leaves that are durable into the tree, and notes the tiles that are due.
    fn grow(&mut self, leaves: &[Leaf]) {
        let older = self.tree.size();
        let mut full = Vec::new();
        for leaf in leaves {
            let (hash, size) = (Hash::leaf(leaf.bytes()), self.tree.size());
            self.tree.append(hash);
            self.bundle.push(*leaf);
            if self.bundle.len() as u64 == WIDTH {
                let tile = Tile { shelf: Shelf::Entries, index: size / WIDTH, width: WIDTH as u16 };
                full.push((tile, entries(&self.bundle)));
                self.bundle.clear();
            }
            self.edge.append(hash, |level, hashes| {
                let index = tiles::full(level, size);
                full.push((Tile { shelf: Shelf::Hashes(level), index, width: WIDTH as u16 }, tiles::write_hashes(hashes)));
            });
        }
        self.due.append(&mut full);
        for tile in tiles::added(older, self.tree.size()).into_iter().filter(|tile| !tile.is_full()) {
            let bytes = match tile.shelf {
                Shelf::Entries => entries(&self.bundle),
                Shelf::Hashes(level) => tiles::write_hashes(self.edge.partial(level)),
            };
            self.due.push((tile, bytes));
        }
    }

    /// Writes what is due. Where a tile became full, the journal begins anew behind it.
    fn write_due(&mut self) -> Result<(), LogError> {
        let mut written = 0;
        let mut done = Ok(());
        for (tile, bytes) in &self.due {
            let path = tile.to_string();
            // Only what the journal can't write again has to outlive a crash: it has leaves, and not what became of full tiles.
            let passing = !tile.is_full() && matches!(tile.shelf, Shelf::Entries | Shelf::Hashes(0));
            done = if passing { self.disk.put(&path, bytes) } else { self.disk.put_durably(&path, bytes) };
            if done.is_err() {
                break;
            }
            written += 1;
        }
        self.due.drain(..written);
        done?;
        let full = self.tree.size() / WIDTH * WIDTH;
        if full > self.base.size() {
            self.begin_anew(full)?;
        }
        Ok(())
    }

    /// The journal without what full tiles hold.
    fn begin_anew(&mut self, full: u64) -> Result<(), LogError> {
        let (mut base, mut rest) = (self.base.clone(), Vec::new());
        for batch in &self.batches {
            let inside = usize::try_from(full.saturating_sub(base.size())).unwrap_or(usize::MAX).min(batch.len());
            let (before, behind) = batch.split_at(inside);
            for leaf in before {
                base.append(Hash::leaf(leaf.bytes()));
            }
            if !behind.is_empty() {
                rest.push(behind.to_vec());
            }
        }
        let (bytes, check) = journal::write(&base, &rest);
        self.unsure = true;
        self.disk.put_durably(JOURNAL, &bytes)?;
        let older = std::mem::replace(&mut self.base, base);
        (self.batches, self.check, self.unsure) = (rest, check, false);
        self.tidy(older.size(), full);
        Ok(())
    }

    /// Removes partial tiles below the last full ones: a crash may have left them broken, and the journal does not write them again.
    fn sweep(&self) {
        let full = self.base.size() / WIDTH;
        for index in full.saturating_sub(2)..full {
            self.remove_partial(Shelf::Entries, index);
            self.remove_partial(Shelf::Hashes(0), index);
        }
    }

    fn remove_partial(&self, shelf: Shelf, index: u64) {
        // Left over they harm nobody: a full tile is read before them.
        let _left_over = self.disk.remove_folder(&format!("{}.p", Tile { shelf, index, width: WIDTH as u16 }));
    }

    /// Removes partial tiles whose full ones are there; those of the newest full tile stay, as somebody may be reading them.
    fn tidy(&self, older: u64, full: u64) {
        for shelf in [Shelf::Entries, Shelf::Hashes(0)].into_iter().chain((1..=tiles::LEVEL_MAX).map(Shelf::Hashes)) {
            let level = if let Shelf::Hashes(level) = shelf { level } else { 0 };
            let [before, now] = [older, full].map(|size| tiles::full(level, size).saturating_sub(1));
            (before..now).for_each(|index| self.remove_partial(shelf, index));
        }
    }

    /// Signs the head that is durable, and says so to the anchor and to everybody.
    fn publish(&mut self) -> Result<Note, LogError> {
        self.mend()?;
        let head = Head { size: self.tree.size(), root: self.tree.root() };
        // "A log MUST not sign any checkpoint which is inconsistent with any checkpoint it previously signed."
        if self.signed.is_some_and(|signed| signed.size > head.size || (signed.size == head.size && signed.root != head.root)) {
            return Err(LogError::Contradiction);
        }
        let note = Checkpoint::sign(&head, &self.signer.verifier, &self.signer.key).map_err(LogError::Doubt)?;
        let text = note.to_string();
        if let Some(anchor) = &self.anchor {
            anchor.disk.put_durably(&anchor.name, text.as_bytes()).map_err(LogError::Anchor)?;
        }
        self.disk.put(CHECKPOINT, text.as_bytes())?;
        self.signed = Some(head);
        Ok(note)
    }

    /// Holds the log against what it once signed.
    fn compare(&self, known: Option<&[u8]>, what: &'static str) -> Result<Option<Warning>, OpenError> {
        let Some(bytes) = known else { return Ok(None) };
        let head = match Checkpoint::open(bytes.get(..CHECKPOINT_BYTES_MAX).unwrap_or(bytes), &self.signer.verifier) {
            Ok(checkpoint) => checkpoint.head,
            // Half-written when the machine stopped: it is written anew. An anchor is never half-written.
            Err(Doubt::Malformed(_)) if what == CHECKPOINT => return Ok(Some(Warning::TornCheckpoint)),
            Err(Doubt::Malformed(_)) => return Err(OpenError::Damaged("the anchor, or what was shown, is no checkpoint")),
            Err(doubt) => return Err(OpenError::OtherLog { what, doubt }),
        };
        self.compare_head(&head, what).map(|()| None)
    }

    /// Refuses a head that this log does not have and should have.
    pub(super) fn compare_head(&self, head: &Head, what: &'static str) -> Result<(), OpenError> {
        if head.size > self.tree.size() {
            return Err(OpenError::RolledBack { what, known: head.size, found: self.tree.size() });
        }
        match self.root_at(head.size)? == head.root {
            true => Ok(()),
            false => Err(OpenError::Forked { what, size: head.size }),
        }
    }
}

fn first_tile() -> String {
    Tile { shelf: Shelf::Hashes(0), index: 0, width: WIDTH as u16 }.to_string()
}

fn entries(leaves: &[Leaf]) -> Vec<u8> {
    tiles::write_entries(leaves.iter().map(|leaf| &leaf.bytes()[..])).unwrap_or_default()
}

/// Tiles of a disk. A full one goes before the partial one, which it is the end of: a crash may have left that one broken. Where there is
/// neither, it may have become full in between, and the partial one was tidied away.
pub(super) fn source(disk: &dyn Disk) -> impl FnMut(Tile) -> std::io::Result<Vec<u8>> {
    move |tile| {
        for path in [tile.full(), tile, tile.full()] {
            if let Some(bytes) = disk.read(&path.to_string())? {
                return Ok(bytes);
            }
        }
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn unreadable(error: TileError<std::io::Error>) -> OpenError {
    match error {
        TileError::Source(error) if error.kind() == std::io::ErrorKind::NotFound => OpenError::Damaged("a tile is missing"),
        TileError::Source(error) => OpenError::Io(error),
        TileError::Doubt(_) => OpenError::Damaged("a tile has another length"),
    }
}
