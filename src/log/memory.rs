//! A disk in memory that can be full, fail once, or crash between any two steps of any write.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::Disk;

type Files = BTreeMap<String, Vec<u8>>;

/// Shared by its clones, as a disk is by who opens it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<Inner>>);

#[derive(Clone, Debug, Default)]
struct Inner {
    /// What readers see.
    files: Files,
    /// What outlives a crash in any case.
    durable: Files,
    /// What was put in place whole: after a crash it is the old one or the new one.
    whole: BTreeSet<String>,
    /// Steps of writes so far.
    steps: usize,
    /// The step that does not happen.
    fails: Option<usize>,
    /// After that one no other happens.
    crashes: bool,
    full: bool,
}

/// What a crash leaves of what was not durable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    Nothing,
    Half,
    All,
}

impl Memory {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("not poisoned")
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.inner().full = full;
    }

    pub(crate) fn steps(&self) -> usize {
        self.inner().steps
    }

    /// The step with this number, from now, fails; with `crashes` all after it, too.
    pub(crate) fn fail_at(&self, step: usize, crashes: bool) {
        let mut inner = self.inner();
        inner.fails = Some(inner.steps + step);
        inner.crashes = crashes;
    }

    /// The machine comes up again.
    pub(crate) fn restart(&self, left: Left) {
        let mut inner = self.inner();
        let mut files = inner.durable.clone();
        for (path, seen) in &inner.files {
            let durable = inner.durable.get(path);
            if durable == Some(seen) {
                continue;
            }
            let kept = match (left, durable) {
                (Left::Nothing, _) => continue,
                (Left::All, _) => seen.clone(),
                (Left::Half, _) if inner.whole.contains(path) => seen.clone(),
                (Left::Half, Some(before)) if seen.starts_with(before) => seen[..before.len() + (seen.len() - before.len()) / 2].to_vec(),
                (Left::Half, _) => seen[..seen.len() / 2].to_vec(),
            };
            files.insert(path.clone(), kept);
        }
        *inner = Inner { durable: files.clone(), files, ..Inner::default() };
    }

    /// A disk of its own with the same files.
    pub(crate) fn backup(&self) -> Self {
        let files = self.inner().files.clone();
        Self(Arc::new(Mutex::new(Inner { durable: files.clone(), files, ..Inner::default() })))
    }

    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.inner();
        change(inner.files.get_mut(path).expect("there"));
        inner.durable = inner.files.clone();
    }

    pub(crate) fn remove(&self, path: &str) {
        let mut inner = self.inner();
        inner.files.remove(path).expect("there");
        inner.durable.remove(path);
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.inner().files.keys().cloned().collect()
    }
}

impl Inner {
    fn step(&mut self) -> io::Result<()> {
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let now = self.steps;
        self.steps += 1;
        match self.fails {
            Some(step) if now == step || (self.crashes && now > step) => Err(io::Error::other("the step does not happen")),
            _ => Ok(()),
        }
    }
}

impl Disk for Memory {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.inner().files.get(path).cloned())
    }

    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        inner.whole.remove(path);
        inner.files.insert(path.into(), bytes.into());
        Ok(())
    }

    fn put_durably(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        inner.whole.insert(path.into());
        inner.files.insert(path.into(), bytes.into());
        inner.step()?;
        inner.durable.insert(path.into(), bytes.into());
        Ok(())
    }

    fn append_durably(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.whole.remove(path);
        if let Err(error) = inner.step() {
            let half = &bytes[..bytes.len() / 2];
            if !inner.full {
                inner.files.get_mut(path).ok_or(io::ErrorKind::NotFound)?.extend_from_slice(half);
            }
            return Err(error);
        }
        inner.files.get_mut(path).ok_or(io::ErrorKind::NotFound)?.extend_from_slice(bytes);
        inner.step()?;
        let whole = inner.files.get(path).cloned().unwrap_or_default();
        inner.durable.insert(path.into(), whole);
        Ok(())
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        let folder = format!("{path}/");
        inner.files.retain(|path, _| !path.starts_with(&folder));
        inner.durable.retain(|path, _| !path.starts_with(&folder));
        Ok(())
    }
}
