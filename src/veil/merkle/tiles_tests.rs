use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::super::proof::{consistency, extends, includes, inclusion, peaks, root};
use super::super::tree::{Frontier, naive};
use super::*;

type Files = BTreeMap<String, Vec<u8>>;

/// The tiles of a log that grows in steps, as files; partial ones of every step.
fn files(steps: &[u64]) -> (Files, Vec<Hash>) {
    let (mut files, mut size, mut edge) = (Files::new(), 0, Edge::default());
    let leaves = naive::leaves(steps.iter().sum::<u64>() as usize);
    for step in steps {
        let (older, mut full) = (size, BTreeMap::new());
        for _ in 0..*step {
            edge.append(leaves[size as usize], |level, hashes| drop(full.insert((level, super::full(level, size)), write_hashes(hashes))));
            size += 1;
        }
        for tile in added(older, size) {
            let bytes = match tile.shelf {
                Shelf::Entries => {
                    let entries: Vec<_> = (tile.first()..tile.first() + u64::from(tile.width)).map(u64::to_be_bytes).collect();
                    write_entries(entries.iter().map(|entry| &entry[..])).expect("short")
                }
                Shelf::Hashes(level) if tile.is_full() => full.remove(&(level, tile.index)).expect("completed in this step"),
                Shelf::Hashes(level) => write_hashes(edge.partial(level)),
            };
            files.insert(tile.to_string(), bytes);
        }
        assert!(full.is_empty(), "every completed tile is one that was added");
    }
    (files, leaves)
}

fn source(files: &Files) -> impl FnMut(Tile) -> Result<Vec<u8>, String> {
    |tile| files.get(&tile.to_string()).cloned().ok_or_else(|| format!("{tile} is missing"))
}

#[test]
fn a_path_is_the_one_that_the_standard_writes() {
    for (tile, path) in [
        (Tile { shelf: Shelf::Hashes(0), index: 1_234_067, width: 256 }, "tile/0/x001/x234/067"),
        (Tile { shelf: Shelf::Hashes(0), index: 273, width: 112 }, "tile/0/273.p/112"),
        (Tile { shelf: Shelf::Hashes(7), index: 0, width: 1 }, "tile/7/000.p/1"),
        (Tile { shelf: Shelf::Entries, index: 999, width: 256 }, "tile/entries/999"),
        (Tile { shelf: Shelf::Entries, index: 1_000, width: 255 }, "tile/entries/x001/000.p/255"),
    ] {
        assert_eq!(tile.to_string(), path);
        assert_eq!(Tile::parse(path), Some(tile), "{path}");
    }
}

#[test]
fn every_other_path_is_refused() {
    let beyond = format!("tile/0/{}000", "x999/".repeat(9));
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/1",
        "tile/0/0001",
        "tile/00/000",
        "tile/8/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/x001/",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/entries/../../key",
        "tile/0/../000",
        "/tile/0/000",
        "tile/entry/000",
        "tile/0/00a",
        "tile/0/x00a/000",
        "tile/0/١٢٣",
        "tile/0/000 ",
        "tile/data/000",
        &beyond,
    ] {
        assert_eq!(Tile::parse(path), None, "{path}");
    }
}

#[test]
fn a_tree_of_70000_has_the_tiles_of_the_standard() {
    let shelf = |size, shelf| all(size).into_iter().filter(|tile| tile.shelf == shelf).map(|tile| tile.width).collect::<Vec<_>>();
    for shelved in [Shelf::Entries, Shelf::Hashes(0)] {
        let widths = shelf(70_000, shelved);
        assert_eq!((widths.len(), widths[273], widths[..273].iter().all(|width| *width == 256)), (274, 112, true));
    }
    assert_eq!(shelf(70_000, Shelf::Hashes(1)), [256, 17]);
    assert_eq!(shelf(70_000, Shelf::Hashes(2)), [1]);
    assert_eq!(shelf(70_000, Shelf::Hashes(3)), [0; 0]);
    assert_eq!((shelf(256, Shelf::Hashes(0)), shelf(256, Shelf::Hashes(1))), (vec![256], vec![1]));
    assert_eq!(added(256, 256), []);
    assert_eq!(all(0), []);
}

#[test]
fn proofs_out_of_tiles_are_those_of_the_standard() {
    let (files, leaves) = files(&[1, 254, 1, 1, 255, 256, 700]);
    for size in [1u64, 255, 256, 257, 512, 768, 1_468] {
        let tree = &leaves[..size as usize];
        let mut reader = TileReader::new(source(&files), size);
        let root_hash = root(size, &mut reader).expect("tiles");
        assert_eq!(root_hash, naive::mth(tree));
        for index in [0, 1, 200, 255, 256, 300, 511, 512, size - 1].into_iter().filter(|index| *index < size) {
            let path = inclusion(index, size, &mut TileReader::new(source(&files), size)).expect("tiles").expect("within");
            assert_eq!(path, naive::path(index as usize, tree));
            assert!(includes(&leaves[index as usize], index, size, &path, &root_hash));
        }
        for older in [1, 255, 256, 257, 512, 700].into_iter().filter(|older| *older < size) {
            let proof = consistency(older, size, &mut reader).expect("tiles").expect("older");
            assert!(extends(older, &naive::mth(&leaves[..older as usize]), size, &root_hash, &proof));
        }
        let edge = Edge::read(size, &mut source(&files)).expect("tiles");
        assert_eq!(edge.peaks(), peaks(size, &mut reader).expect("tiles"));
        assert_eq!(Frontier::new(size, edge.peaks()).expect("one for each bit").root(), root_hash);
    }
}

#[test]
fn a_proof_reads_a_tile_or_two_of_each_level() {
    let (files, _) = files(&[70_000]);
    for index in [0, 40_000, 65_535, 65_536, 69_999] {
        let mut read = Vec::new();
        let mut count = |tile: Tile| {
            read.push(tile);
            source(&files)(tile)
        };
        inclusion(index, 70_000, &mut TileReader::new(&mut count, 70_000)).expect("tiles").expect("within");
        assert!(read.len() <= 6, "{index}: {read:?}");
        let once: std::collections::BTreeSet<_> = read.iter().collect();
        assert_eq!(once.len(), read.len(), "{read:?}");
    }
}

#[test]
fn a_full_tile_stands_in_for_a_partial_one() {
    let (files, leaves) = files(&[300]);
    let grown = |tile: Tile| source(&files)(tile).or_else(|_| source(&files)(tile.full()));
    let path = inclusion(7, 100, &mut TileReader::new(grown, 100)).expect("tiles").expect("within");
    assert_eq!(path, naive::path(7, &leaves[..100]));
}

#[test]
fn what_is_no_such_tile_is_refused() {
    let (files, _) = files(&[300]);
    let with = |change: fn(&mut Vec<u8>)| {
        let source = |tile: Tile| {
            let mut bytes = source(&files)(tile)?;
            change(&mut bytes);
            Ok::<_, String>(bytes)
        };
        inclusion(7, 300, &mut TileReader::new(source, 300))
    };
    let wrong = Err(TileError::Doubt(Doubt::WrongTiles));
    assert_eq!(with(|bytes| bytes.truncate(bytes.len() - 1)), wrong);
    assert_eq!(with(|bytes| bytes.truncate(bytes.len() - 32)), wrong);
    assert_eq!(with(|bytes| bytes.extend(vec![0; 8_192])), wrong);
    assert!(matches!(inclusion(7, 400, &mut TileReader::new(source(&files), 400)), Err(TileError::Source(_))));
    let cut = Edge::read(300, &mut |tile: Tile| source(&files)(tile).map(|bytes| bytes[32..].to_vec()));
    assert_eq!(cut, Err(TileError::Doubt(Doubt::WrongTiles)));
}

#[test]
fn bundles_hold_what_was_put_in_and_nothing_else_is_one() {
    let entries: Vec<&[u8]> = vec![b"", b"a", &[7; 300]];
    let bytes = write_entries(entries.iter().copied()).expect("short");
    assert_eq!(parse_entries(&bytes, 3), Some(entries.clone()));
    assert_eq!(parse_entries(&bytes, 2), Some(entries[..2].to_vec()));
    assert_eq!((parse_entries(&bytes, 4), parse_entries(&bytes[..bytes.len() - 1], 3), parse_entries(&[0], 0)), (None, None, None));
    assert_eq!(parse_entries(&[0; 2 * 257], 1), None, "more than a tile holds");
    assert_eq!(write_entries([&[0; ENTRY_BYTES_MAX + 1][..]]), None);
    assert!(write_entries([&[0; ENTRY_BYTES_MAX][..]]).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_log_in_any_steps_has_the_tiles_that_its_proofs_need(steps in proptest::collection::vec(1u64..400, 1..8), index in any::<prop::sample::Index>(), older in any::<prop::sample::Index>()) {
        let (files, leaves) = files(&steps);
        let size = leaves.len() as u64;
        let (index, older) = (index.index(leaves.len()), older.index(leaves.len()) + 1);
        let sure = |done: Result<Option<Vec<Hash>>, TileError<String>>| done.expect("tiles");
        let path = sure(inclusion(index as u64, size, &mut TileReader::new(source(&files), size)));
        prop_assert_eq!(path, Some(naive::path(index, &leaves)));
        if older < leaves.len() {
            let proof = sure(consistency(older as u64, size, &mut TileReader::new(source(&files), size)));
            prop_assert_eq!(proof, Some(naive::proof(older, &leaves)));
        }
        for path in files.keys() {
            let again = Tile::parse(path).map(|tile| tile.to_string());
            prop_assert_eq!(again.as_ref(), Some(path));
        }
    }

    #[test]
    fn any_text_as_a_path_ends_in_an_answer(path in "(tile/)?[0-9x/.p]{0,40}|\\PC{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..100), width in any::<u16>()) {
        if let Some(tile) = Tile::parse(&path) {
            prop_assert_eq!(tile.to_string(), path);
        }
        let _ = (parse_entries(&bytes, width), parse_hashes(&bytes, width));
        let never: Result<Vec<u8>, Infallible> = Ok(bytes);
        let _ = TileReader::new(|_| never.clone(), u64::from(width)).subtree(u32::from(width % 70), u64::from(width));
    }
}
