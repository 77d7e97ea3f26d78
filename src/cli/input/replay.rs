//! A folder of recordings as frames, by the mappings in the program.

use std::path::{Path, PathBuf};

use glob::MatchOptions;

use super::csv::{Rows, subjects};
use super::mapping::{self, Family, Mapping};
use super::shape::Shape;
use super::{Frame, InputError};

/// The mappings in the program, one file per family of recordings.
const MAPPINGS: [(&str, &str); 5] = [
    ("patients.toml", include_str!("../assets/mappings/patients.toml")),
    ("tracks.toml", include_str!("../assets/mappings/tracks.toml")),
    ("wearables.toml", include_str!("../assets/mappings/wearables.toml")),
    ("identity.toml", include_str!("../assets/mappings/identity.toml")),
    ("assets.toml", include_str!("../assets/mappings/assets.toml")),
];
/// How deep a folder of recordings is searched.
const DEPTH_MAX: usize = 8;
/// The most files that are looked at.
const FILES_MAX: usize = 100_000;
/// What looks like a recording, and is named where no mapping covers it.
const ENDINGS: [&str; 4] = ["csv", "tsv", "ndjson", "jsonl"];

/// Opens folders of recordings.
#[derive(Clone, Copy, Debug)]
pub struct Replay;

/// One file that a mapping covers.
#[derive(Clone, Debug)]
pub struct Recording {
    path: PathBuf,
    name: String,
    mapping: Mapping,
}

impl Replay {
    /// Every recording below `dir`, by name, and the names of those that no mapping covers. Links are not followed.
    pub fn open(dir: &Path) -> Result<(Vec<Recording>, Vec<String>), InputError> {
        Self::open_with(dir, &builtin()?)
    }

    /// One file, where a mapping in the program covers it. Patterns name folders, too, so the whole path counts.
    pub fn file(path: &Path) -> Result<Option<Recording>, InputError> {
        let name = path.display().to_string();
        let whole =
            path.canonicalize().map_err(|error| InputError::new(format!("can't be read: {}", error.kind())).in_file(name.clone()))?;
        let family = builtin()?.into_iter().find(|family| matches(family, &whole));
        Ok(family.map(|family| Recording { path: whole, name, mapping: family.mapping }))
    }

    /// As [`Replay::open`], with other mappings: the first that matches counts.
    pub fn open_with(dir: &Path, families: &[Family]) -> Result<(Vec<Recording>, Vec<String>), InputError> {
        let unreadable = |path: &Path, error: std::io::Error| {
            InputError::new(format!("can't be read: {}", error.kind())).in_file(path.display().to_string())
        };
        let root = dir.canonicalize().map_err(|error| unreadable(dir, error))?;
        let mut files = Vec::new();
        let mut folders = vec![(root.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for entry in std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))? {
                let entry = entry.map_err(|error| unreadable(&folder, error))?;
                // Links are followed: a recording may lie elsewhere. A circle of them ends at the depth that is read.
                match std::fs::metadata(entry.path()) {
                    Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => folders.push((entry.path(), depth + 1)),
                    Ok(kind) if kind.is_dir() => {}
                    // One that leads nowhere is named like any other file that can't be replayed.
                    Ok(_) | Err(_) => files.push(entry.path()),
                }
                if files.len() > FILES_MAX {
                    return Err(
                        InputError::new(format!("more than {FILES_MAX} files; name a smaller folder")).in_file(dir.display().to_string())
                    );
                }
            }
        }
        files.sort();
        let (mut recordings, mut unmapped) = (Vec::new(), Vec::new());
        for path in files {
            let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
            match families.iter().find(|family| matches(family, &path)) {
                Some(family) => recordings.push(Recording { path, name, mapping: family.mapping.clone() }),
                None if path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))) => {
                    unmapped.push(name)
                }
                None => {}
            }
        }
        Ok((recordings, unmapped))
    }
}

/// The mappings in the program, over the sample messages.
pub fn builtin() -> Result<Vec<Family>, InputError> {
    let mut families = Vec::new();
    for (name, text) in MAPPINGS {
        families.extend(mapping::parse(text, Shape::builtin).map_err(|error| error.in_file(name))?);
    }
    Ok(families)
}

/// A pattern is compared with as many last parts of the path as it has itself, so a folder inside may be opened alone.
fn matches(family: &Family, path: &Path) -> bool {
    let parts = family.files.as_str().split('/').count();
    let all: Vec<_> = path.components().collect();
    let tail: PathBuf = all.iter().skip(all.len().saturating_sub(parts)).collect();
    family.files.matches_path_with(&tail, MatchOptions { require_literal_separator: true, ..MatchOptions::default() })
}

impl Recording {
    /// One file with a mapping of one's own.
    pub fn new(path: &Path, mapping: Mapping) -> Self {
        Self { path: path.to_owned(), name: path.display().to_string(), mapping }
    }

    /// The file, as the opened folder calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The full name of the message type.
    pub fn message(&self) -> &str {
        self.mapping.shape.message().full_name()
    }

    /// Every subject in it, in order of appearance; reads one column at most.
    pub fn subjects(&self) -> Result<Vec<String>, InputError> {
        subjects(&self.path, &self.mapping).map_err(|error| error.in_file(&self.name))
    }

    /// Its frames in time order. After an error there are no more.
    pub fn frames(&self) -> Result<impl Iterator<Item = Result<Frame, InputError>> + Send + use<>, InputError> {
        Rows::open(&self.path, &self.name, &self.mapping)
    }
}
