//! C2SP `tlog-tiles`: a tree and its entries as static files that never change. Names, contents, which files a longer log adds,
//! and how a proof is read out of the few that it needs.

use std::fmt;

use super::Doubt;
use super::proof::Subtrees;
use super::tree::{Hash, SIZE_MAX};

/// How many levels of the tree a tile spans.
pub const HEIGHT: u32 = 8;
/// How many hashes, or entries, a full tile has.
pub const WIDTH: u64 = 1 << HEIGHT;
/// Tiles of a tree with at most [`SIZE_MAX`] leaves have no higher level.
pub const LEVEL_MAX: u8 = 7;
/// The longest entry: its length is written in two bytes.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;
/// The longest path of a tile.
const PATH_BYTES_MAX: usize = 64;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// The entries themselves.
    Entries,
    /// The roots of complete subtrees with 256^level leaves.
    Hashes(u8),
}

/// A tile by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// What it holds.
    pub shelf: Shelf,
    /// Its number on the shelf.
    pub index: u64,
    /// How much it holds: 1 to 255 where it is partial, 256 where it is full.
    pub width: u16,
}

impl Tile {
    /// Whether it never grows.
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == WIDTH
    }

    /// The same place, full: what may stand there in its stead.
    pub fn full(self) -> Self {
        Self { width: WIDTH as u16, ..self }
    }

    /// The number of the first hash or entry in it, counted on its shelf.
    pub fn first(&self) -> u64 {
        self.index.saturating_mul(WIDTH)
    }

    /// Reads `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > PATH_BYTES_MAX {
            return None;
        }
        let (shelf, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, super::decimal(width).filter(|width| (1..WIDTH).contains(width))?),
            None => (rest, WIDTH),
        };
        let shelf = match shelf {
            "entries" => Shelf::Entries,
            level => Shelf::Hashes(super::decimal(level).and_then(|level| u8::try_from(level).ok()).filter(|level| *level <= LEVEL_MAX)?),
        };
        let mut index = 0u64;
        let mut parts = number.split('/').peekable();
        while let Some(part) = parts.next() {
            let digits = if parts.peek().is_some() { part.strip_prefix('x')? } else { part };
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
        }
        let tile = Self { shelf, index, width: u16::try_from(width).ok()? };
        // One name each: no more zeros in front than the one path has.
        (index <= SIZE_MAX / WIDTH && tile.to_string() == path).then_some(tile)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shelf {
            Shelf::Entries => f.write_str("tile/entries/")?,
            Shelf::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let (mut above, mut groups) = (self.index / 1_000, Vec::new());
        while above > 0 {
            groups.push(above % 1_000);
            above /= 1_000;
        }
        for group in groups.iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", self.index % 1_000)?;
        if !self.is_full() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// The tiles that a tree of `size` has and the one of `older` has not: entries first, then hashes level by level.
pub fn added(older: u64, size: u64) -> Vec<Tile> {
    let mut added = Vec::new();
    on_shelf(&mut added, Shelf::Entries, older, size);
    for level in 0..=LEVEL_MAX {
        let [older, size] = [older, size].map(|size| size >> (HEIGHT * u32::from(level)));
        on_shelf(&mut added, Shelf::Hashes(level), older, size);
    }
    added
}

/// How many full tiles a level has in a tree of `size`; for a leaf of that number also the tile that it is in.
pub fn full(level: u8, size: u64) -> u64 {
    size.checked_shr(HEIGHT * (u32::from(level) + 1)).unwrap_or(0)
}

/// Every tile that proofs in a tree of `size` are read from.
pub fn all(size: u64) -> Vec<Tile> {
    added(0, size)
}

fn on_shelf(added: &mut Vec<Tile>, shelf: Shelf, older: u64, size: u64) {
    if older < size {
        added.extend((older / WIDTH..size / WIDTH).map(|index| Tile { shelf, index, width: WIDTH as u16 }));
        if !size.is_multiple_of(WIDTH) {
            added.push(Tile { shelf, index: size / WIDTH, width: (size % WIDTH) as u16 });
        }
    }
}

/// The tile with a hash or entry of a shelf, in a tree that has `count` of them there.
pub fn holding(shelf: Shelf, number: u64, count: u64) -> Option<Tile> {
    let index = number / WIDTH;
    let width = count.checked_sub(index * WIDTH).filter(|_| number < count)?.min(WIDTH);
    Some(Tile { shelf, index, width: width as u16 })
}

/// The content of a tile of hashes.
pub fn write_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads the content of a tile of hashes, or the front of one that has grown meanwhile.
pub fn parse_hashes(bytes: &[u8], width: u16) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    let whole = rest.is_empty() && hashes.len() as u64 <= WIDTH;
    hashes.get(..usize::from(width)).filter(|_| whole).map(|hashes| hashes.iter().copied().map(Hash).collect())
}

/// The content of a bundle of entries: each with its length in front, two bytes, big-endian. `None` where one is too long.
pub fn write_entries<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Some(bytes)
}

/// Reads the content of a bundle of entries, or the front of one that has grown meanwhile.
pub fn parse_entries(mut bytes: &[u8], width: u16) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        entries.push(entry);
        bytes = rest;
    }
    let whole = bytes.is_empty() && entries.len() as u64 <= WIDTH && entries.len() >= usize::from(width);
    entries.truncate(usize::from(width));
    whole.then_some(entries)
}

/// Where tiles come from.
pub trait TileSource {
    /// Why one can't be had.
    type Error;

    /// The content of a tile, or of the full one at its place.
    fn tile(&mut self, tile: Tile) -> Result<Vec<u8>, Self::Error>;
}

impl<E, F: FnMut(Tile) -> Result<Vec<u8>, E>> TileSource for F {
    type Error = E;

    fn tile(&mut self, tile: Tile) -> Result<Vec<u8>, E> {
        self(tile)
    }
}

/// Why a proof can't be read out of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileError<E> {
    /// The source has none.
    Source(E),
    /// What it gave is no such tile.
    Doubt(Doubt),
}

/// Subtrees of a tree of some size, out of tiles. A proof reads a tile of each level or two; each is asked for once.
#[derive(Debug)]
pub struct TileReader<S> {
    source: S,
    size: u64,
    known: Vec<(Tile, Vec<Hash>)>,
}

impl<S: TileSource> TileReader<S> {
    /// Reads what a tree of `size` has.
    pub fn new(source: S, size: u64) -> Self {
        Self { source, size, known: Vec::new() }
    }

    fn hashes(&mut self, tile: Tile) -> Result<&[Hash], TileError<S::Error>> {
        let at = match self.known.iter().position(|(known, _)| *known == tile) {
            Some(at) => at,
            None => {
                let bytes = self.source.tile(tile).map_err(TileError::Source)?;
                let hashes = parse_hashes(&bytes, tile.width).ok_or(TileError::Doubt(Doubt::WrongTiles))?;
                self.known.push((tile, hashes));
                self.known.len() - 1
            }
        };
        Ok(self.known.get(at).map_or(&[], |(_, hashes)| hashes))
    }
}

impl<S: TileSource> Subtrees for TileReader<S> {
    type Error = TileError<S::Error>;

    fn subtree(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        let wrong = TileError::Doubt(Doubt::WrongTiles);
        let (floor, inner) = (level / HEIGHT, level % HEIGHT);
        let shelf = Shelf::Hashes(u8::try_from(floor).ok().filter(|floor| *floor <= LEVEL_MAX).ok_or(wrong)?);
        let wrong = || TileError::Doubt(Doubt::WrongTiles);
        let from = index << inner;
        let tile = holding(shelf, from, self.size >> (HEIGHT * floor)).ok_or_else(wrong)?;
        let within = usize::try_from(from % WIDTH).map_err(|_| wrong())?;
        let hashes = self.hashes(tile)?.get(within..within + (1 << inner)).ok_or_else(wrong)?;
        Ok(complete(hashes))
    }
}

/// The root over a power of two of hashes.
fn complete(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks(2).map(|pair| if let [left, right] = pair { Hash::node(left, right) } else { Hash::empty() }).collect();
    }
    row.first().copied().unwrap_or_else(Hash::empty)
}

/// The tiles at the right edge of a tree: what more leaves are appended to. The entries are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// For each level the hashes of its last tile, where that is not full.
    partial: Vec<Vec<Hash>>,
}

impl Edge {
    /// Reads it from the tiles of a tree.
    pub fn read<S: TileSource>(size: u64, source: &mut S) -> Result<Self, TileError<S::Error>> {
        let mut partial = Vec::new();
        for level in 0..=LEVEL_MAX {
            let count = size >> (HEIGHT * u32::from(level));
            if count == 0 {
                break;
            }
            partial.push(match holding(Shelf::Hashes(level), count - 1, count).filter(|tile| !tile.is_full()) {
                None => Vec::new(),
                Some(tile) => {
                    let bytes = source.tile(tile).map_err(TileError::Source)?;
                    parse_hashes(&bytes, tile.width).ok_or(TileError::Doubt(Doubt::WrongTiles))?
                }
            });
        }
        Ok(Self { partial })
    }

    /// Appends a leaf; every tile that it completes goes to `full`, by its level, the lowest first.
    pub fn append(&mut self, leaf: Hash, mut full: impl FnMut(u8, &[Hash])) {
        let mut hash = leaf;
        for level in 0..=LEVEL_MAX {
            if self.partial.len() <= usize::from(level) {
                self.partial.push(Vec::new());
            }
            let Some(row) = self.partial.get_mut(usize::from(level)) else { return };
            row.push(hash);
            if (row.len() as u64) < WIDTH {
                return;
            }
            full(level, row);
            hash = complete(row);
            row.clear();
        }
    }

    /// The hashes of the last tile of a level; empty where that is full, or there is none.
    pub fn partial(&self, level: u8) -> &[Hash] {
        self.partial.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// The roots of the complete subtrees, as [`super::tree::Frontier::peaks`] has them.
    pub fn peaks(&self) -> Vec<Hash> {
        let mut peaks = Vec::new();
        for row in self.partial.iter().rev() {
            let mut rest = row.as_slice();
            while !rest.is_empty() {
                let (peak, behind) = rest.split_at(1 << rest.len().ilog2());
                peaks.push(complete(peak));
                rest = behind;
            }
        }
        peaks
    }
}

#[cfg(test)]
#[path = "tiles_tests.rs"]
mod tests;
