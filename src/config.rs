//! File and environment → a checked [`Config`]. Everything that can be wrong is found here, before a socket is opened:
//! unknown keys, values out of range, key files that others can read, two parties with one name.
//!
//! Only three things come from the environment, because only they differ between two starts of the same gateway:
//! `TWINVEIL_LISTEN`, `TWINVEIL_HEALTH_LISTEN`, `TWINVEIL_STORE_DIR`. Relative paths start at the folder of the file.

mod error;
mod file;
mod keyfile;
mod limits;
mod people;
mod proxy;
mod rest;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{ConfigError, nearest};
pub use keyfile::{check_private, read_key};
pub use proxy::{Reach, Route, RoutePurpose, RouteSubject, Undecidable, Upstream};

use crate::veil::crypto::seal::Suite;
use crate::veil::crypto::secret::Secret;
use crate::veil::demand::Role;
use crate::veil::name::{Did, Origin, SchemaName, Spiffe};

/// The most parties a gateway knows.
pub const PARTIES_MAX: usize = 1_000;

/// A gateway's whole configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// The gateway's name in its own log; consents are bound to it.
    pub origin: Origin,
    /// Where gRPC is served. Default `127.0.0.1:7443`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where health and metrics are served. Default `127.0.0.1:7444`; port 0 takes a free one.
    pub health_listen: SocketAddr,
    /// How a caller proves who they are.
    pub entry: Entry,
    /// The gateway's own keys.
    pub keys: Keys,
    /// Where the store is, and what of it stays in memory.
    pub store: StoreSettings,
    /// The transparency log.
    pub log: LogSettings,
    /// The operator's policy.
    pub policy: Policy,
    /// The message types that frames may have.
    pub schemas: Vec<SchemaSource>,
    /// Who may sign for the operator; empty: there are no mandates. Default empty.
    pub operators: Vec<Did>,
    /// Bounds of everything that grows.
    pub limits: Limits,
    /// How pseudonyms are made.
    pub pseudonym: Pseudonym,
    /// How groups are sealed.
    pub seal: Seal,
    /// Services behind the gateway. Default none.
    pub upstreams: Vec<Upstream>,
    /// What of them can be called. Default nothing.
    pub routes: Vec<Route>,
    /// Browsers.
    pub web: Web,
    /// Where traces go: `http://host:port` of an OTLP/gRPC collector on this machine. Default none.
    pub traces: Option<Arc<str>>,
    /// Who answers legal demands. Default nobody: none is taken.
    pub persons: Vec<Person>,
    parties: Vec<Party>,
    by_spiffe: HashMap<Spiffe, usize>,
}

/// How a caller proves who they are.
#[derive(Debug)]
pub enum Entry {
    /// Mutual TLS: every caller has a certificate.
    Tls(TlsFiles),
    /// Plain HTTP/2 on a loopback address, every caller is this one party. Development only.
    Insecure(Party),
}

/// PEM files for mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The gateway's certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// The authorities that sign the certificates of parties.
    pub client_ca: PathBuf,
}

/// What is done for browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Web {
    /// The origins whose pages may call, as browsers write them: `https://ward.example.org`. Default none: gRPC-Web is off.
    pub origins: Vec<Arc<str>>,
}

/// The gateway's own keys, each 32 bytes.
#[derive(Debug)]
pub struct Keys {
    /// The Ed25519 seed that signs checkpoints and announcements.
    pub sign: Secret<32>,
    /// The key under which source-local identifiers become handles.
    pub handle: Secret<32>,
    /// The key that encrypts what rests.
    pub store: Secret<32>,
}

/// Where the store is, and what of it stays in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder of the store. Default `store`.
    pub dir: PathBuf,
    /// How many bytes of its file stay in memory at the most. Default 64 MiB; 1 MiB to 64 GiB.
    pub cache_bytes: usize,
}

/// Where the log is and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The folder of the log. Default `log`; below the store's folder where the environment names that.
    pub dir: PathBuf,
    /// How long entries are gathered before they are written together. Default 10 ms; 0 to 1,000.
    pub batch_ms: u64,
    /// How long what is disclosed is counted together before it is logged. Default 3,600 s; 1 to 3,600.
    pub disclosure_s: u64,
    /// A file outside the data folders that knows the newest checkpoint. Default none: nobody here notices an older copy put back.
    pub anchor: Option<PathBuf>,
}

/// The operator's policy.
#[derive(Debug)]
pub struct Policy {
    /// The Cedar file.
    pub file: PathBuf,
    /// Where the gateway is run: an ISO 3166 code such as `DE`, `US-MA`, or `EU`.
    pub jurisdiction: Arc<str>,
}

/// A message type that frames may have, and where its schema stands.
#[derive(Debug)]
pub struct SchemaSource {
    /// The full name of the message type.
    pub message: SchemaName,
    /// Its descriptor set.
    pub descriptor: Descriptor,
    /// Facts about fields that the descriptor does not carry. Default none.
    pub side_file: Option<PathBuf>,
}

/// Where a descriptor set is.
#[derive(Debug, PartialEq, Eq)]
pub enum Descriptor {
    /// One of the samples in the program.
    Builtin,
    /// A file of the operator's.
    File(DescriptorFile),
}

/// A file that describes messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorFile {
    /// A `.proto`, or a compiled `FileDescriptorSet` with all imports.
    pub path: PathBuf,
    /// Where imports of a `.proto` are looked for. Default: its own folder.
    pub proto_paths: Vec<PathBuf>,
}

/// Somebody with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What the operator calls them.
    pub name: Arc<str>,
    /// What their certificate says.
    pub spiffe: Spiffe,
    /// The groups that policies speak of. Default none.
    pub groups: Vec<Arc<str>>,
    /// What they may do. Default nothing.
    pub may: BTreeSet<May>,
    /// A source's countersigning key. Default none: the source can't enrol subjects.
    pub key: Option<Did>,
}

/// Somebody who answers legal demands. However many keys they have, they are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What the operator calls them; it stands in no record and no report.
    pub name: Arc<str>,
    /// The did:keys that they sign with.
    pub keys: Vec<Did>,
    /// What they may sign; empty: nothing any more, and what they signed stays theirs.
    pub roles: BTreeSet<Role>,
}

/// What a party may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum May {
    /// Send frames.
    Publish,
    /// Receive views.
    Subscribe,
    /// Submit consent records.
    Submit,
    /// Call services behind the gateway.
    Call,
}

/// Bounds of everything that grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame that is taken. Default 1 MiB; 1 KiB to 64 MiB.
    pub frame_bytes_max: usize,
    /// The largest batch of frames in one message. Default 4 MiB; not below `frame_bytes_max`, at most 256 MiB.
    pub batch_bytes_max: usize,
    /// The most that waits for one slow recipient. Default 4 MiB; not below `frame_bytes_max`, at most 1 GiB.
    pub queue_bytes_max: usize,
    /// How long a lossless recipient may hold a source back. Default 5,000 ms; 0 to 600,000.
    pub lossless_stall_ms_max: u64,
    /// Open connections. Default 1,024; 1 to 65,536.
    pub connections_max: usize,
    /// Open streams of recipients. Default 10,000; 1 to 1,000,000.
    pub streams_max: usize,
    /// Open calls, of every kind but streams of recipients. Default 10,000; 1 to 1,000,000.
    pub calls_max: usize,
    /// Open streams on one connection. Default 256; 1 to 65,536.
    pub streams_per_connection_max: u32,
    /// How long open calls may go on after a stop. Default 5,000 ms; 0 to 600,000.
    pub drain_ms_max: u64,
    /// How long a connection is silent before it is asked whether it lives. Default 30,000 ms; 1,000 to 3,600,000.
    pub keepalive_ms: u64,
    /// How long it may take to answer that. Default 20,000 ms; 1,000 to 600,000.
    pub keepalive_timeout_ms: u64,
    /// Of large messages that are half-way, over all streams. Default 256 MiB; not below four of `batch_bytes_max`, at most 1 TiB.
    pub unfinished_bytes_max: usize,
}

/// How pseudonyms are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pseudonym {
    /// After how many days a recipient sees new pseudonyms. Default 30; 1 to 3,650.
    pub rotation_days: u32,
}

/// How groups are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The cipher suite. Default ChaCha20-Poly1305.
    pub suite: Suite,
    /// How long one key seals. Default and most 3,600,000 ms; at least 1,000.
    pub epoch_ms_max: u64,
}

/// Who carries a request; put into its extensions by whoever accepted the connection.
#[derive(Clone, Debug)]
pub struct Carrier(pub Arc<Party>);

impl Config {
    /// Reads and checks the file, with what the environment overrides.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, |name| std::env::var(name).ok())
    }

    /// As [`Config::load`], with `environment` in place of the process's own.
    pub fn load_with(path: &Path, environment: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::plain(format!("`{}` can't be read: {}; `twinveil init` makes one", path.display(), error.kind()))
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        file::File::parse(&text, path)?.check(folder, &environment)
    }

    /// Everyone the gateway knows.
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// Whose certificate says `spiffe`.
    pub fn party(&self, spiffe: &Spiffe) -> Option<&Party> {
        self.by_spiffe.get(spiffe).and_then(|at| self.parties.get(*at))
    }

    /// Whom the operator calls `name`.
    pub fn party_named(&self, name: &str) -> Option<&Party> {
        self.parties.iter().find(|party| &*party.name == name)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 1 << 20,
            batch_bytes_max: 4 << 20,
            queue_bytes_max: 4 << 20,
            lossless_stall_ms_max: 5_000,
            connections_max: 1_024,
            streams_max: 10_000,
            calls_max: 10_000,
            streams_per_connection_max: 256,
            drain_ms_max: 5_000,
            keepalive_ms: 30_000,
            keepalive_timeout_ms: 20_000,
            unfinished_bytes_max: 256 << 20,
        }
    }
}

impl Default for Pseudonym {
    fn default() -> Self {
        Self { rotation_days: 30 }
    }
}

impl Default for Seal {
    fn default() -> Self {
        Self { suite: Suite::ChaCha20Poly1305, epoch_ms_max: 3_600_000 }
    }
}
