//! Reading a log without its keys: proofs, and the audit of a copy from its first leaf to the signed root.

use std::fmt;
use std::io;
use std::path::Path;

use super::disk::{Disk, Folder};
use super::writer::{CHECKPOINT, source};
use crate::veil::merkle::Doubt;
use crate::veil::merkle::checkpoint::{Checkpoint, Head};
use crate::veil::merkle::leaf::Leaf;
use crate::veil::merkle::note::{NOTE_BYTES_MAX, Note, VerifierKey};
use crate::veil::merkle::proof::{self, includes};
use crate::veil::merkle::receipt::LogProof;
use crate::veil::merkle::tiles::{self, Edge, Shelf, Tile, TileError, TileReader, TileSource, WIDTH};
use crate::veil::merkle::tree::{Frontier, Hash};

/// Why a copy of a log can't be read, or is not believed.
#[derive(Debug)]
pub enum ReadError {
    /// A file is missing or can't be read.
    Io(io::Error),
    /// What it says is not believed.
    Doubt(Doubt),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Doubt(doubt) => write!(f, "{doubt}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Doubt> for ReadError {
    fn from(doubt: Doubt) -> Self {
        Self::Doubt(doubt)
    }
}

impl From<TileError<io::Error>> for ReadError {
    fn from(error: TileError<io::Error>) -> Self {
        match error {
            TileError::Source(error) => Self::Io(error),
            TileError::Doubt(doubt) => Self::Doubt(doubt),
        }
    }
}

/// A folder in the layout of `tlog-tiles`: a log's own, or a copy of it.
#[derive(Debug)]
pub struct Copy {
    disk: Box<dyn Disk>,
}

/// What an audit found: every entry stands under the signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// What is signed.
    pub head: Head,
    /// How many entries are about persons.
    pub personal: u64,
    /// How many are acts of institutions.
    pub institutional: u64,
}

impl Copy {
    /// The copy in a folder.
    pub fn open(folder: &Path) -> Self {
        Self::of(Box::new(Folder::look(folder)))
    }

    /// The copy on a disk.
    pub fn of(disk: Box<dyn Disk>) -> Self {
        Self { disk }
    }

    /// The checkpoint, as it stands there.
    pub fn checkpoint(&self) -> Result<Note, ReadError> {
        let bytes = self.disk.read(CHECKPOINT)?.ok_or(io::ErrorKind::NotFound).map_err(io::Error::from)?;
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Doubt::Malformed("a checkpoint").into());
        }
        Ok(Note::parse(&bytes)?)
    }

    /// The head that `log` signed.
    pub fn head(&self, log: &VerifierKey) -> Result<Head, ReadError> {
        Ok(Checkpoint::open(self.checkpoint()?.to_string().as_bytes(), log)?.head)
    }

    /// Proves an entry. What is wrong with the tiles shows: the proof has been checked.
    pub fn prove(&self, index: u64, log: &VerifierKey) -> Result<LogProof, ReadError> {
        let checkpoint = self.checkpoint()?;
        let head = Checkpoint::open(checkpoint.to_string().as_bytes(), log)?.head;
        prove(&*self.disk, index, &head, checkpoint)
    }

    /// The number of the entry, the newest where there are several, that is this leaf's or passes; none where no entry is, and all of them
    /// are what the head says.
    pub fn find(&self, head: &Head, mut wanted: impl FnMut(&Leaf) -> bool) -> Result<Option<u64>, ReadError> {
        let mut found = None;
        self.entries_under(head, |number, entry| {
            if Leaf::parse(entry).is_ok_and(|leaf| wanted(&leaf)) {
                found = Some(number);
            }
        })?;
        Ok(found)
    }

    /// Hands over every entry under a head, in order; one that is no leaf of this log as none. What was handed over is believed once this
    /// has answered that it is what the head says.
    pub fn each(&self, head: &Head, mut each: impl FnMut(u64, Option<Leaf>)) -> Result<(), ReadError> {
        self.entries_under(head, |number, entry| each(number, Leaf::parse(entry).ok()))
    }

    /// Whether the copy is the log that `log` signed: every entry, every hash of every tile.
    pub fn audit(&self, log: &VerifierKey) -> Result<Audit, ReadError> {
        let head = self.head(log)?;
        let mut audit = Audit { head, personal: 0, institutional: 0 };
        let (mut tree, mut edge, mut doubt) = (Frontier::default(), Edge::default(), None);
        self.entries(head.size, |number, entry| {
            match Leaf::parse(entry).map(|leaf| leaf.act().is_some()) {
                Ok(true) => audit.institutional += 1,
                Ok(false) => audit.personal += 1,
                Err(malformed) => doubt = doubt.or(Some(malformed)),
            }
            let hash = Hash::leaf(entry);
            tree.append(hash);
            edge.append(hash, |level, hashes| {
                let index = tiles::full(level, number);
                if !self.holds(Tile { shelf: Shelf::Hashes(level), index, width: WIDTH as u16 }, hashes) {
                    doubt = doubt.or(Some(Doubt::WrongTiles));
                }
            });
        })?;
        for tile in tiles::all(head.size).into_iter().filter(|tile| !tile.is_full()) {
            if let Shelf::Hashes(level) = tile.shelf
                && !self.holds(tile, edge.partial(level))
            {
                doubt = doubt.or(Some(Doubt::WrongTiles));
            }
        }
        match doubt {
            Some(doubt) => Err(doubt.into()),
            None if tree.root() != head.root => Err(Doubt::WrongTiles.into()),
            None => Ok(audit),
        }
    }

    /// Whether the log under a head begins with what it signed earlier.
    pub fn extends(&self, older: &Head, head: &Head) -> Result<(), ReadError> {
        extends(&*self.disk, older, head)
    }

    fn holds(&self, tile: Tile, hashes: &[Hash]) -> bool {
        let there = source(&*self.disk).tile(tile).ok().and_then(|bytes| tiles::parse_hashes(&bytes, tile.width));
        there.is_some_and(|there| there == hashes)
    }

    /// Entries that have to come to the root of a head: whoever serves a log may answer otherwise the second time.
    fn entries_under(&self, head: &Head, mut each: impl FnMut(u64, &[u8])) -> Result<(), ReadError> {
        let mut tree = Frontier::default();
        self.entries(head.size, |number, entry| {
            tree.append(Hash::leaf(entry));
            each(number, entry);
        })?;
        if tree.root() == head.root { Ok(()) } else { Err(Doubt::WrongTiles.into()) }
    }

    fn entries(&self, size: u64, mut each: impl FnMut(u64, &[u8])) -> Result<(), ReadError> {
        for tile in tiles::all(size).into_iter().filter(|tile| tile.shelf == Shelf::Entries) {
            let bytes = source(&*self.disk).tile(tile)?;
            let entries = tiles::parse_entries(&bytes, tile.width).ok_or(Doubt::WrongTiles)?;
            for (number, entry) in (tile.first()..).zip(entries) {
                each(number, entry);
            }
        }
        Ok(())
    }
}

/// Whether the log under a head begins with what an older one says. The tiles that are read are those of the newer one.
pub(super) fn extends(disk: &dyn Disk, older: &Head, head: &Head) -> Result<(), ReadError> {
    if older.size > head.size || (older.size == head.size && older.root != head.root) {
        return Err(Doubt::Forked.into());
    }
    let proof = proof::consistency(older.size, head.size, &mut TileReader::new(source(disk), head.size))?.unwrap_or_default();
    match proof::extends(older.size, &older.root, head.size, &head.root, &proof) {
        true => Ok(()),
        false => Err(Doubt::Forked.into()),
    }
}

/// Reads an entry and its path; checks that they lead to the head.
pub(super) fn prove(disk: &dyn Disk, index: u64, head: &Head, checkpoint: Note) -> Result<LogProof, ReadError> {
    let bundle = tiles::holding(Shelf::Entries, index, head.size).ok_or(Doubt::NotIncluded)?;
    let bytes = source(disk).tile(bundle)?;
    let entries = tiles::parse_entries(&bytes, bundle.width).ok_or(Doubt::WrongTiles)?;
    let within = usize::try_from(index - bundle.first()).map_err(|_| Doubt::WrongTiles)?;
    let entry = *entries.get(within).ok_or(Doubt::WrongTiles)?;
    let path = proof::inclusion(index, head.size, &mut TileReader::new(source(disk), head.size))?.ok_or(Doubt::NotIncluded)?;
    if !includes(&Hash::leaf(entry), index, head.size, &path, &head.root) {
        return Err(Doubt::WrongTiles.into());
    }
    Ok(LogProof { extra: Some(entry.to_vec()), index, path, checkpoint })
}
