//! Puts a new configuration in the place of the one that is served, without dropping a stream. A new one that is not good is refused
//! whole, and the one before stays; `src/manual/reload.md` says what follows for what is open.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::parts::{Parts, named, register, sources};
use super::{StartError, in_force};
use crate::config::{Config, ConfigError, Entry};
use crate::gate::shared::Shared;
use crate::log::Log;
use crate::stop::Stop;
use crate::world::Clock;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

type Load = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Reloads, one at a time.
pub struct Reloader {
    shared: Arc<Shared>,
    log: Arc<Log>,
    clock: Arc<Clock>,
    load: Load,
    /// What is looked at: files of the state that is served, and of one that was refused, so that mending it is seen.
    watched: Mutex<Vec<PathBuf>>,
    asked: Notify,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reloader")
    }
}

impl Reloader {
    pub(super) fn new(shared: Arc<Shared>, log: Arc<Log>, clock: Arc<Clock>, load: Load) -> Self {
        let watched = Mutex::new(shared.live.now().files.clone());
        Self { shared, log, clock, load, watched, asked: Notify::new() }
    }

    /// Reloads as soon as [`Self::watch`] comes to it, changed or not.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Reloads when somebody asks, and when `config` or a file that it names has changed, until `stop` says so. A change counts
    /// when two looks in a row agree: nobody's half-written policy is in force.
    pub async fn watch(self: Arc<Self>, config: PathBuf, mut stop: Stop) {
        let look = || {
            let mut files = self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
            files.push(config.clone());
            files.into_iter().map(|path| (path.clone(), looked(&path))).collect::<BTreeMap<_, _>>()
        };
        let mut known = look();
        let mut before = known.clone();
        loop {
            let asked = tokio::select! {
                () = stop.wait() => return,
                () = self.asked.notified() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let now = look();
            let settled = now == before;
            let changed = now.iter().any(|(path, look)| known.get(path).is_some_and(|known| known != look));
            before = now;
            if !(asked || settled && changed) {
                continue;
            }
            // What changes while it is read is another change.
            known.extend(before.clone());
            let reloader = Arc::clone(&self);
            // Whatever became of it was told.
            let _told = tokio::task::spawn_blocking(move || reloader.reload()).await;
            for (path, look) in look() {
                known.entry(path).or_insert(look);
            }
            before.clone_from(&known);
        }
    }

    /// Reads the configuration again and puts it in place; returns when no open stream hands over anything that was judged by the
    /// one before. Reads files and waits for streams: an async caller moves it off its threads.
    ///
    /// # Errors
    /// The new one is not good, or changes what can't change while the gateway runs; nothing of it is in force.
    pub fn reload(&self) -> Result<(), StartError> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let counters = &self.shared.counters;
        let done = self.put_in_place(&mut watched);
        match &done {
            Ok(()) => {
                counters.reloads.add(1);
                tracing::info!("the configuration was reloaded");
            }
            Err(error) => {
                counters.reloads_refused.add(1);
                tracing::error!(code = error.code(), %error, "the new configuration is refused and the old one stays; it is the operator's move");
            }
        }
        done
    }

    fn put_in_place(&self, watched: &mut Vec<PathBuf>) -> Result<(), StartError> {
        let before = self.shared.live.now();
        let config = (self.load)().map_err(|error| StartError::new("TV-O07", error))?;
        watched.extend(named(&config));
        watched.sort();
        watched.dedup();
        let fixed = fixed(&before.config, &config);
        if !fixed.is_empty() {
            let names = fixed.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(StartError::new(
                "TV-O08",
                format!("{names} can't change while the gateway runs: restart it, or set back what it was"),
            ));
        }
        let parts = Parts::load(config, Some(&before))?;
        let config = Arc::clone(&parts.config);
        let ledger = self.shared.maker.ledger();
        let acts = parts.acts(&self.log);
        let persons = register(&config)?;
        let state = parts.state(ledger, &self.clock)?;
        watched.clone_from(&state.files);
        // What comes into force is in the log before it does.
        in_force(ledger, acts)?;
        // INVARIANT: the new state is in place before generations grow; whoever finds them grown judges by it.
        ledger.know(config.operators.clone(), sources(&config)).map_err(|error| StartError::new(error.code(), error))?;
        ledger.employ(persons);
        self.shared.live.replace(state);
        before.routes.end_what_is_gone(&self.shared.live.now().routes);
        self.shared.hub.set_stall(config.limits.lossless_stall_ms_max);
        self.shared.room.set(config.limits.unfinished_bytes_max);
        ledger.rejudge_all();
        Ok(())
    }
}

/// What of a file tells that it is another: when it was written, to the nanosecond, and how long it is.
type Look = Option<(i64, i64, u64)>;

#[cfg(unix)]
fn looked(path: &std::path::Path) -> Look {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.size()))
}

#[cfg(not(unix))]
fn looked(path: &std::path::Path) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    Some((0, 0, metadata.len()))
}

/// What differs and can't while the gateway runs: names, addresses and keys that open things hang on.
fn fixed(old: &Config, new: &Config) -> Vec<&'static str> {
    let entry = match (&old.entry, &new.entry) {
        (Entry::Tls(_), Entry::Tls(_)) => None,
        (Entry::Insecure(old), Entry::Insecure(new)) => (old.spiffe != new.spiffe).then_some("insecure_party"),
        (Entry::Tls(_), Entry::Insecure(_)) | (Entry::Insecure(_), Entry::Tls(_)) => Some("insecure"),
    };
    let differs = [
        (old.origin != new.origin, "origin"),
        (old.listen != new.listen, "listen"),
        (old.health_listen != new.health_listen, "health_listen"),
        (old.store != new.store, "store"),
        (old.log != new.log, "log"),
        (old.keys.sign.expose() != new.keys.sign.expose(), "keys.sign"),
        (old.keys.handle.expose() != new.keys.handle.expose(), "keys.handle"),
        (old.keys.store.expose() != new.keys.store.expose(), "keys.store"),
        (old.pseudonym != new.pseudonym, "pseudonym"),
        (old.seal != new.seal, "seal"),
        (old.traces != new.traces, "traces"),
    ];
    entry.into_iter().chain(differs.into_iter().filter(|(differs, _)| *differs).map(|(_, name)| name)).collect()
}
