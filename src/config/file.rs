//! The configuration as written, and the checks that make it a [`Config`].

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::error::{ConfigError, nearest};
use super::limits::{LimitsTable, SealTable, within};
use super::people::{PartyTable, PersonTable, parties, persons};
use super::proxy::{RouteTable, UpstreamTable, proxy};
use super::rest::{LogTable, StoreTable, rest};
use super::value::{descriptor_file, did, exists, is_loopback};
use super::{Config, Descriptor, Entry, Keys, Policy, Pseudonym, SchemaSource, TlsFiles, Web};
use super::{check_private, read_key};
use crate::veil::crypto::sign::SignKey;
use crate::veil::name::{Origin, SchemaName};

const BUILTIN: [&str; 2] = ["twinveil.sample.PatientFrame", "twinveil.sample.TurbineFrame"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    origin: String,
    listen: Option<String>,
    health_listen: Option<String>,
    #[serde(default)]
    insecure: bool,
    insecure_party: Option<String>,
    tls: Option<TlsTable>,
    keys: KeysTable,
    #[serde(default)]
    store: StoreTable,
    #[serde(default)]
    log: LogTable,
    policy: PolicyTable,
    #[serde(default)]
    schema: Vec<SchemaTable>,
    #[serde(default)]
    party: Vec<PartyTable>,
    #[serde(default)]
    person: Vec<PersonTable>,
    #[serde(default)]
    upstream: Vec<UpstreamTable>,
    #[serde(default)]
    route: Vec<RouteTable>,
    #[serde(default)]
    web: WebTable,
    #[serde(default)]
    traces: TracesTable,
    #[serde(default)]
    operator: OperatorTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    pseudonym: PseudonymTable,
    #[serde(default)]
    seal: SealTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    certificate: PathBuf,
    private_key: PathBuf,
    client_ca: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysTable {
    sign: PathBuf,
    handle: PathBuf,
    store: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    file: PathBuf,
    jurisdiction: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaTable {
    message: String,
    descriptor: Option<PathBuf>,
    #[serde(default)]
    proto_paths: Vec<PathBuf>,
    #[serde(default)]
    builtin: bool,
    side_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebTable {
    #[serde(default)]
    origins: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TracesTable {
    endpoint: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorTable {
    #[serde(default)]
    keys: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PseudonymTable {
    rotation_days: Option<u64>,
}

impl File {
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
            let message = error.message().replace('\n', " ");
            // serde lists what it expected; the slip is the first word in backticks, the candidates are the others.
            let mut words = message.split('`').skip(1).step_by(2);
            let hint = match message.starts_with("unknown ") {
                true => words.next().and_then(|slip| nearest(slip, words)).map(|word| format!("; did you mean `{word}`?")),
                false => None,
            };
            ConfigError::plain(format!("`{}`, line {line}: {message}{}", path.display(), hint.unwrap_or_default()))
        })
    }

    pub(super) fn check(self, folder: &Path, environment: &impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let from = |name: &str, key: &'static str, written: Option<String>| match environment(name) {
            Some(value) => (name.to_owned(), Some(value)),
            None => (key.to_owned(), written),
        };
        let listen = address(from("TWINVEIL_LISTEN", "listen", self.listen), 7443)?;
        let health_listen = address(from("TWINVEIL_HEALTH_LISTEN", "health_listen", self.health_listen), 7444)?;
        let (parties, by_spiffe) = parties(self.party)?;
        let entry = match (self.insecure, self.tls, self.insecure_party) {
            (false, Some(tls), None) => Entry::Tls(tls.check(folder)?),
            (false, None, _) => {
                return Err(ConfigError::key("tls", "missing; name `certificate`, `private_key` and `client_ca`, or see `insecure`"));
            }
            (false, _, Some(_)) => return Err(ConfigError::key("insecure_party", "only with `insecure = true`; delete it")),
            (true, Some(_), _) => return Err(ConfigError::key("tls", "not together with `insecure = true`; delete one of them")),
            (true, None, _) if !listen.ip().is_loopback() => {
                return Err(ConfigError::value(
                    "listen",
                    listen,
                    "`insecure = true` serves loopback addresses only; listen on 127.0.0.1 or set up `tls`",
                ));
            }
            (true, None, None) => {
                return Err(ConfigError::key("insecure_party", "missing; name the one party that every caller counts as"));
            }
            (true, None, Some(name)) => match parties.iter().find(|party| *party.name == *name) {
                Some(party) => Entry::Insecure(party.clone()),
                None => return Err(ConfigError::value("insecure_party", name, "no `[[party]]` has this name; add it or name another")),
            },
        };
        let keys = Keys {
            sign: read_key("keys.sign", &folder.join(self.keys.sign))?,
            handle: read_key("keys.handle", &folder.join(self.keys.handle))?,
            store: read_key("keys.store", &folder.join(self.keys.store))?,
        };
        // One key for two needs would tie what must fall apart: who can forge, who can link, who can read at rest.
        if keys.sign.expose() == keys.handle.expose()
            || keys.sign.expose() == keys.store.expose()
            || keys.handle.expose() == keys.store.expose()
        {
            return Err(ConfigError::key("keys", "two of the files hold the same key; give each its own"));
        }
        let (store, log) = rest(self.store, self.log, folder, environment("TWINVEIL_STORE_DIR"))?;
        let operators = self.operator.keys.iter().map(|key| did("operator.keys", key)).collect::<Result<Vec<_>, _>>()?;
        let persons = persons(self.person, &SignKey::from_seed(&keys.sign).did())?;
        let (upstreams, routes) = proxy(self.upstream, self.route, folder, &parties)?;
        Ok(Config {
            origin: origin(&self.origin)?,
            listen,
            health_listen,
            entry,
            keys,
            store,
            log,
            policy: self.policy.check(folder)?,
            schemas: schemas(self.schema, folder)?,
            operators,
            limits: self.limits.check()?,
            pseudonym: Pseudonym {
                rotation_days: within(
                    "pseudonym.rotation_days",
                    self.pseudonym.rotation_days,
                    Pseudonym::default().rotation_days,
                    1,
                    3_650,
                )?,
            },
            seal: self.seal.check()?,
            upstreams,
            routes,
            web: self.web.check()?,
            traces: self.traces.check()?,
            persons,
            parties,
            by_spiffe,
        })
    }
}

/// A signed-note key name (C2SP signed-note): not empty, no space, no plus; and short enough for one line.
fn origin(text: &str) -> Result<Origin, ConfigError> {
    if text.is_empty() || text.len() > 255 || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
        return Err(ConfigError::value(
            "origin",
            text.escape_debug(),
            "must be 1 to 255 bytes without spaces and `+`, such as `gateway.example.org/twins`",
        ));
    }
    Ok(Origin::new(text))
}

fn address((key, text): (String, Option<String>), default_port: u16) -> Result<SocketAddr, ConfigError> {
    match text {
        None => Ok(SocketAddr::from(([127, 0, 0, 1], default_port))),
        Some(text) => text
            .parse()
            .map_err(|_| ConfigError::value(&key, text, format!("must be an address and a port, such as `127.0.0.1:{default_port}`"))),
    }
}

impl TracesTable {
    /// In the clear, so to this machine only; a collector there sends them on.
    fn check(self) -> Result<Option<Arc<str>>, ConfigError> {
        let Some(endpoint) = self.endpoint else { return Ok(None) };
        let (host, port) = endpoint.strip_prefix("http://").and_then(|rest| rest.rsplit_once(':')).unwrap_or_default();
        if !is_loopback(host) || port.parse::<u16>().is_err() {
            let then = "must be a collector on this machine, such as `http://127.0.0.1:4317`";
            return Err(ConfigError::value("traces.endpoint", endpoint.escape_debug(), then));
        }
        Ok(Some(endpoint.into()))
    }
}

impl WebTable {
    /// Origins as browsers write them (RFC 6454 §6.2): scheme, host, port, and nothing behind.
    fn check(self) -> Result<Web, ConfigError> {
        let origin = |text: String| {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
            match !rest.is_empty() && text.len() <= 255 && rest.bytes().all(plain) {
                true => Ok(Arc::from(text)),
                false => Err(ConfigError::value(
                    "web.origins",
                    text.escape_debug(),
                    "must be an origin in lower case without a path, such as `https://ward.example.org`",
                )),
            }
        };
        Ok(Web { origins: self.origins.into_iter().map(origin).collect::<Result<_, _>>()? })
    }
}

impl TlsTable {
    fn check(self, folder: &Path) -> Result<TlsFiles, ConfigError> {
        let private_key = folder.join(self.private_key);
        check_private("tls.private_key", &private_key)?;
        Ok(TlsFiles {
            certificate: exists("tls.certificate", folder.join(self.certificate))?,
            private_key,
            client_ca: exists("tls.client_ca", folder.join(self.client_ca))?,
        })
    }
}

impl PolicyTable {
    fn check(self, folder: &Path) -> Result<Policy, ConfigError> {
        let code = &self.jurisdiction;
        let (country, part) = code.split_once('-').unwrap_or((code, "X"));
        let upper = |text: &str| text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) || part.is_empty() || part.len() > 3 || !upper(part) {
            return Err(ConfigError::value(
                "policy.jurisdiction",
                code.escape_debug(),
                "must be an ISO 3166 code, such as `DE`, `US-MA` or `EU`",
            ));
        }
        Ok(Policy { file: exists("policy.file", folder.join(self.file))?, jurisdiction: code.as_str().into() })
    }
}

fn schemas(tables: Vec<SchemaTable>, folder: &Path) -> Result<Vec<SchemaSource>, ConfigError> {
    if tables.is_empty() {
        return Err(ConfigError::key("schema", "missing; without a `[[schema]]` every frame would be refused"));
    }
    let mut seen = HashSet::new();
    let check = |table: SchemaTable| {
        if !seen.insert(table.message.clone()) {
            return Err(ConfigError::value("schema.message", &table.message, "named twice; delete one"));
        }
        let descriptor = match (table.builtin, table.descriptor) {
            (true, None) if BUILTIN.contains(&table.message.as_str()) => Descriptor::Builtin,
            (true, None) => {
                return Err(ConfigError::value(
                    "schema.message",
                    table.message,
                    format!("not built in; built in are `{}`", BUILTIN.join("` and `")),
                ));
            }
            (false, Some(path)) => Descriptor::File(descriptor_file("schema", folder, path, table.proto_paths)?),
            (true, Some(path)) => {
                return Err(ConfigError::value(
                    "schema.descriptor",
                    path.display(),
                    "not together with `builtin = true`; delete one of them",
                ));
            }
            (false, None) => return Err(ConfigError::value("schema.message", table.message, "needs `descriptor` or `builtin = true`")),
        };
        let side_file = table.side_file.map(|path| exists("schema.side_file", folder.join(path))).transpose()?;
        Ok(SchemaSource { message: SchemaName::new(table.message), descriptor, side_file })
    };
    tables.into_iter().map(check).collect()
}
