//! Do the fuzz targets hold over what is committed? Seeds, and whatever fuzzing found: every input that once broke something
//! stays in `tests/fuzz/regressions`.
//!
//! `TWINVEIL_SEEDS=overwrite cargo test --test it fuzz` writes the seeds anew.

mod seeds;
#[path = "../fuzz/src/targets/mod.rs"]
pub(crate) mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use targets::TARGETS;

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(kind).join(target)
}

/// The files of a folder by name; none where there is no folder.
fn inputs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_seed_and_every_finding_holds() {
    let mut broken = Vec::new();
    for (target, run) in TARGETS {
        let mut count = 0;
        for kind in ["corpus", "regressions"] {
            for (name, input) in inputs(&folder(kind, target)) {
                count += 1;
                if catch_unwind(|| run(&input)).is_err() {
                    broken.push(format!("{kind}/{target}/{name}"));
                }
            }
        }
        run(b"");
        assert!(count > 0, "no input for `{target}`");
    }
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn the_seeds_are_what_their_generator_writes() {
    let overwrite = std::env::var("TWINVEIL_SEEDS").is_ok_and(|word| word == "overwrite");
    for (target, _) in TARGETS {
        let (folder, made) = (folder("corpus", target), seeds::of(target));
        if overwrite {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            for (name, seed) in &made {
                fs::write(folder.join(name), seed).unwrap();
            }
        }
        let names = |seeds: &BTreeMap<String, Vec<u8>>| seeds.keys().cloned().collect::<Vec<_>>();
        let found = inputs(&folder);
        assert_eq!(names(&found), names(&made), "`{target}`");
        for (name, seed) in &made {
            assert!(found[name] == *seed, "`{target}/{name}` is not what the generator writes");
            assert!(seed.len() <= 4_096, "`{target}/{name}`: {} bytes, and libFuzzer reads 4096", seed.len());
        }
    }
}
