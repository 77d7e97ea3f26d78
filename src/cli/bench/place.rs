//! The folder of the gateway that is measured: the operator's configuration as it is, but for what must not be theirs. Keys, store and
//! certificates are fresh, addresses are of this machine, and a few parties sign and carry what a measurement needs.

use std::net::SocketAddr;
use std::path::Path;

use toml::{Table, Value};

use super::way::{self, Method};
use crate::cli::{CliError, certs, init, read_text};
use crate::client::wallet::Wallet;
use crate::config::{Config, Party, Reach};
use crate::gate::tls::PemFiles;
use crate::veil::name::{Did, Spiffe};
use crate::world::entropy;

/// Certificates in the folder, by who shows them.
pub(super) const RECIPIENT: &str = "recipient";
pub(super) const CALLER: &str = "caller";
pub(super) const SOURCE: &str = "source";
pub(super) const DESK: &str = "desk";
/// Who is there only to be measured with.
const GATEWAY_ID: &str = "spiffe://bench.invalid/gateway";
const SOURCE_ID: &str = "spiffe://bench.invalid/source";
const DESK_ID: &str = "spiffe://bench.invalid/desk";
/// The configuration's own: replaced, or of no use to a measurement.
const REPLACED: [&str; 10] = ["listen", "health_listen", "insecure", "insecure_party", "tls", "keys", "store", "operator", "web", "traces"];

/// What is made for a measurement.
#[derive(Debug)]
pub(super) struct Made {
    /// Signs mandates.
    pub(super) operator: Wallet,
    /// Countersigns for every source.
    pub(super) house: Wallet,
    /// Who publishes.
    pub(super) source: Spiffe,
    /// The other end of the gateway's connections to the upstream, where those are encrypted.
    pub(super) upstream: Option<PemFiles>,
}

/// The upstream of a measurement: its method, where it listens, and who calls it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind<'b> {
    pub(super) method: &'b Method,
    pub(super) address: SocketAddr,
    pub(super) caller: &'b Party,
}

/// Fills a folder.
pub(super) fn fill(folder: &Path, file: &Path, recipient: &Party, behind: Option<Behind<'_>>) -> Result<Made, CliError> {
    let text = read_text(file)?;
    let wrong = |error: &dyn std::fmt::Display| CliError::broken(format!("`{}`: {error}", file.display()));
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| wrong(&error.message()))?;
    let id = |text: &str| Spiffe::parse(text).map_err(CliError::broken);
    let made = Made {
        operator: Wallet::generate(&mut entropy()),
        house: Wallet::generate(&mut entropy()),
        source: id(SOURCE_ID)?,
        upstream: behind.and_then(|behind| encrypted(behind.method).then(|| pem_files(&folder.join("upstream"), "server"))),
    };
    REPLACED.iter().for_each(|key| drop(table.remove(*key)));
    let keys = folder.join("keys");
    make_folder(&keys)?;
    for name in ["sign", "handle", "store"] {
        init::write_key(&keys.join(format!("{name}.key")))?;
    }
    let own: Table = OWN.replace("@OPERATOR@", &made.operator.did().to_string()).parse().map_err(|error| wrong(&error))?;
    table.extend(own);
    let from = way::folder(file);
    anchored(table.get_mut("policy"), &from);
    tables(&mut table, "schema").for_each(|schema| anchored(Some(schema), &from));
    parties(&mut table, made.house.did(), behind);
    match behind {
        None => ["route", "upstream"].iter().for_each(|key| drop(table.remove(*key))),
        Some(behind) => route(&mut table, behind, &from),
    }
    let text = toml::to_string(&table).map_err(|error| wrong(&error))?;
    certs::create(&folder.join("twinveil.toml"), text.as_bytes(), 0o600)?;

    let caller = behind.map_or(recipient, |behind| behind.caller);
    let shown = [(RECIPIENT, &recipient.spiffe), (CALLER, &caller.spiffe), (SOURCE, &made.source), (DESK, &id(DESK_ID)?)];
    let shown: Vec<(String, Spiffe)> = shown.map(|(name, id)| (name.to_owned(), id.clone())).to_vec();
    certs::write(&folder.join("certs"), &id(GATEWAY_ID)?, &shown)?;
    if let Some(behind) = behind.filter(|_| made.upstream.is_some()) {
        let party = &behind.method.upstream.party.spiffe;
        certs::write(&folder.join("upstream"), party, &[("gateway".to_owned(), id(GATEWAY_ID)?)])?;
    }
    // What the operator wrote is good; this says whether it still is.
    Config::load_with(&folder.join("twinveil.toml"), |_| None)
        .map_err(|error| CliError::broken(format!("the configuration can't be taken over: {error}")))?;
    Ok(made)
}

/// What replaces the operator's own.
const OWN: &str = r#"
[tls]
certificate = "certs/server.pem"
private_key = "certs/server.key"
client_ca = "certs/ca.pem"
[keys]
sign = "keys/sign.key"
handle = "keys/handle.key"
store = "keys/store.key"
[operator]
keys = ["@OPERATOR@"]
"#;

fn make_folder(path: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(path).map_err(|error| CliError::broken(format!("`{}` can't be made: {}", path.display(), error.kind())))
}

/// The files of an end, with the authority of the other.
pub(super) fn pem_files(certs: &Path, name: &str) -> PemFiles {
    let file = |name: String| certs.join(name);
    PemFiles { certificate: file(format!("{name}.pem")), private_key: file(format!("{name}.key")), peer_ca: file("ca.pem".into()) }
}

fn encrypted(method: &Method) -> bool {
    matches!(method.upstream.reach, Reach::Tls { .. })
}

/// The tables of a list of tables.
fn tables<'t>(table: &'t mut Table, key: &str) -> impl Iterator<Item = &'t mut Value> {
    table.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Paths start at the folder of the operator's configuration.
fn anchored(table: Option<&mut Value>, from: &Path) {
    let anchor = |path: &mut Value| {
        if let Value::String(path) = path {
            *path = from.join(&*path).display().to_string();
        }
    };
    let Some(table) = table.and_then(Value::as_table_mut) else { return };
    for key in ["file", "descriptor", "side_file"] {
        table.get_mut(key).map(anchor);
    }
    table.get_mut("proto_paths").and_then(Value::as_array_mut).into_iter().flatten().for_each(anchor);
}

/// Whoever names subjects can enrol them, and the parties of the measurement are there.
fn parties(table: &mut Table, house: Did, behind: Option<Behind<'_>>) {
    let key = Value::from(house.to_string());
    let named = |table: &Value| table.get("spiffe").and_then(Value::as_str).map(str::to_owned);
    for party in tables(table, "party") {
        let id = named(party);
        let is = |spiffe: &Spiffe| id.as_deref() == Some(spiffe.as_str());
        let Some(table) = party.as_table_mut() else { continue };
        table.remove("key");
        if behind.is_some_and(|behind| is(&behind.method.upstream.party.spiffe) || is(&behind.caller.spiffe)) {
            table.insert("key".into(), key.clone());
            if let Some(may) = table.entry("may").or_insert_with(|| Value::Array(Vec::new())).as_array_mut() {
                may.push("publish".into());
            }
        }
    }
    let own = |name: &str, id: &str, may: &str| {
        [("name", name.into()), ("spiffe", id.into()), ("may", vec![Value::from(may)].into())]
            .map(|(key, value): (&str, Value)| (key.to_owned(), value))
    };
    let mut source = Table::from_iter(own("twinveil-bench-source", SOURCE_ID, "publish"));
    source.insert("key".into(), key);
    let desk = Table::from_iter(own("twinveil-bench-desk", DESK_ID, "submit"));
    if let Some(parties) = table.entry("party").or_insert_with(|| Value::Array(Vec::new())).as_array_mut() {
        parties.extend([source, desk].map(Value::Table));
    }
}

/// The one route, and the upstream in the place of the operator's.
fn route(table: &mut Table, behind: Behind<'_>, from: &Path) {
    let Method { route, upstream, .. } = behind.method;
    let text = |table: &Value, key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
    let keep = |table: &mut Table, list: &str, key: &str, wanted: &str| {
        if let Some(list) = table.get_mut(list).and_then(Value::as_array_mut) {
            list.retain(|table| text(table, key).is_some_and(|found| found.trim_start_matches('/') == wanted));
        }
    };
    keep(table, "route", "methods", &route.methods);
    keep(table, "upstream", "name", &upstream.name);
    tables(table, "route").for_each(|route| anchored(Some(route), from));
    for upstream in tables(table, "upstream").filter_map(Value::as_table_mut) {
        upstream.insert("addresses".into(), vec![Value::from(behind.address.to_string())].into());
        if encrypted(behind.method) {
            let files = [("certificate", "upstream/gateway.pem"), ("private_key", "upstream/gateway.key"), ("ca", "upstream/ca.pem")];
            let files = files.map(|(key, file)| (key.to_owned(), Value::from(file)));
            upstream.insert("tls".into(), Value::Table(Table::from_iter(files)));
        }
    }
}
