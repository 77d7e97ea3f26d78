//! A configuration's schemas, policy, routes and certificates: everything that a start and a reload load alike, and that either takes
//! whole or not at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

use super::StartError;
use crate::config::{Config, Descriptor, Entry, Reach, TlsFiles};
use crate::control::{consents::ConsentDesk, demands::DemandDesk, keys::KeyDesk};
use crate::descriptors;
use crate::gate::live::Door;
use crate::gate::live::{Desks, State};
use crate::gate::proxy::Table;
use crate::gate::tls::{self, PemFiles};
use crate::judge::Judge;
use crate::ledger::Ledger;
use crate::log::Log;
use crate::proto;
use crate::proto::v1::{consents_server::ConsentsServer, demands_server::DemandsServer, keys_server::KeysServer};
use crate::veil::crypto::hash::sha256;
use crate::veil::crypto::sign::SignKey;
use crate::veil::demand::{Person, Register};
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{Did, RecordId, Spiffe};
use crate::veil::policy::floor::Policy;
use crate::veil::schema::{self, Schema};
use crate::world::Clock;

/// What was loaded and found good.
pub(super) struct Parts {
    pub(super) config: Arc<Config>,
    schemas: Vec<Arc<Schema>>,
    policy: Policy,
    policy_text: String,
    routes: Table,
    door: Door,
    files: Vec<PathBuf>,
}

/// What institutions decide, and the hash of what they decided.
pub(super) type Acts = BTreeSet<(Act, RecordId)>;

impl Parts {
    /// Loads all that a configuration names; of the state `before`, connections to upstreams are taken over.
    pub(super) fn load(config: Config, before: Option<&State>) -> Result<Self, StartError> {
        let mut files = named(&config);
        let schemas = load_schemas(&config, &mut files)?;
        let recipients: Vec<_> = config.parties().iter().map(|party| (party.spiffe.clone(), groups(&party.groups))).collect();
        let text = read(&config.policy.file)?;
        let policy = Policy::load(&text, &recipients)
            .map_err(|error| StartError::new(error.code(), format!("`{}`: {error}", config.policy.file.display())))?;
        let routes = Table::load(&config, before.map(|before| &*before.routes)).map_err(|error| StartError::new(error.code, error.what))?;
        files.extend_from_slice(routes.files());
        files.sort();
        files.dedup();
        let schemas = with_routes(schemas, &routes);
        let door = door(&config)?;
        Ok(Self { config: Arc::new(config), schemas, policy, policy_text: text, routes, door, files })
    }

    /// What of it everybody is to find in the log: the policy, the schemas and the gateway's key, each by its hash.
    pub(super) fn acts(&self, log: &Log) -> Acts {
        let object = |bytes: &[u8]| RecordId(sha256(&[bytes]));
        let schemas = self.schemas.iter().map(|schema| (Act::Schema, RecordId(schema.fingerprint().0)));
        let policy = (Act::Policy, object(self.policy_text.as_bytes()));
        schemas.chain([policy, (Act::Key, object(log.verifier().to_string().as_bytes()))]).collect()
    }

    /// Joins them with what stays.
    pub(super) fn state(self, ledger: &Arc<Ledger>, clock: &Arc<Clock>) -> Result<State, StartError> {
        let Self { config, schemas, policy, policy_text: _, routes, door, files } = self;
        let judge = Arc::new(Judge::new(schemas, policy, config.policy.jurisdiction.to_string(), Arc::clone(ledger)));
        let desks = Desks { callers: desks(&judge, ledger, clock, Some(&routes))?, others: desks(&judge, ledger, clock, None)? };
        Ok(State { generation: 0, config, judge, routes: Arc::new(routes), door, desks, files })
    }
}

/// Every file that a configuration names, the configuration itself and its keys aside.
pub(super) fn named(config: &Config) -> Vec<PathBuf> {
    let mut files = vec![config.policy.file.clone()];
    let mut tls = |tls: &TlsFiles| files.extend([tls.certificate.clone(), tls.private_key.clone(), tls.client_ca.clone()]);
    if let Entry::Tls(own) = &config.entry {
        tls(own);
    }
    for upstream in &config.upstreams {
        if let Reach::Tls { files, .. } = &upstream.reach {
            tls(files);
        }
    }
    for source in &config.schemas {
        if let Descriptor::File(file) = &source.descriptor {
            files.push(file.path.clone());
        }
        files.extend(source.side_file.clone());
    }
    for route in &config.routes {
        files.push(route.descriptor.path.clone());
        files.extend(route.side_file.clone());
    }
    files
}

/// The sources, and the key of the party behind each.
pub(super) fn sources(config: &Config) -> Vec<(Spiffe, Did)> {
    config.parties().iter().filter_map(|party| Some((party.spiffe.clone(), party.key?))).collect()
}

/// Messages of routes can be asked about (`explain`) by their names, too; frames go first where both have one.
fn with_routes(mut schemas: Vec<Arc<Schema>>, routes: &Table) -> Vec<Arc<Schema>> {
    for schema in routes.schemas() {
        if !schemas.iter().any(|known| known.name() == schema.name()) {
            schemas.push(Arc::clone(schema));
        }
    }
    schemas
}

/// The persons of the desk, and the gateway's own key.
pub(super) fn register(config: &Config) -> Result<Register, StartError> {
    let persons = config.persons.iter().map(|person| Person { keys: person.keys.clone(), roles: person.roles.clone() });
    let gateway = SignKey::from_seed(&config.keys.sign).did();
    Register::new(gateway, persons.collect()).map_err(|bad| StartError::new("TV-O02", format!("`person`: {bad}")))
}

fn groups(groups: &[Arc<str>]) -> Vec<String> {
    groups.iter().map(ToString::to_string).collect()
}

fn read(path: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|error| StartError::new("TV-O02", format!("can't read `{}`: {}", path.display(), error.kind())))
}

/// Loads every schema of a configuration.
pub fn schemas(config: &Config) -> Result<Vec<Arc<Schema>>, StartError> {
    load_schemas(config, &mut Vec::new())
}

fn load_schemas(config: &Config, files: &mut Vec<PathBuf>) -> Result<Vec<Arc<Schema>>, StartError> {
    let mut load = |source: &crate::config::SchemaSource| {
        let bytes = match &source.descriptor {
            Descriptor::Builtin => proto::SAMPLES.to_vec(),
            Descriptor::File(file) => {
                let read = descriptors::read(&file.path, &file.proto_paths)
                    .map_err(|error| StartError::new("TV-O02", format!("schema `{}`: {error}", source.message)))?;
                files.extend(read.files);
                read.set
            }
        };
        let side = source.side_file.as_deref().map(read).transpose()?;
        let schema = schema::load(&bytes, source.message.as_str(), side.as_deref())
            .map_err(|error| StartError::new(error.code(), format!("schema `{}`: {error}", source.message)))?;
        Ok(Arc::new(schema))
    };
    config.schemas.iter().map(&mut load).collect()
}

fn door(config: &Config) -> Result<Door, StartError> {
    Ok(match &config.entry {
        Entry::Insecure(party) => Door::Insecure(Arc::new(party.clone())),
        Entry::Tls(files) => {
            let files = PemFiles {
                certificate: files.certificate.clone(),
                private_key: files.private_key.clone(),
                peer_ca: files.client_ca.clone(),
            };
            Door::Mutual(TlsAcceptor::from(
                tls::server_with(&files, !config.web.origins.is_empty()).map_err(|error| StartError::new("TV-O03", error))?,
            ))
        }
    })
}

/// The control plane's services, and reflection: of ours, and of `routes` for those who may call them.
fn desks(judge: &Arc<Judge>, ledger: &Arc<Ledger>, clock: &Arc<Clock>, routes: Option<&Table>) -> Result<Routes, StartError> {
    let described = || {
        let own = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::CONTRACT)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        match routes {
            Some(routes) => own.register_file_descriptor_set(routes.shown()),
            None => own,
        }
    };
    let wrong = |error| StartError::new("TV-O04", error);
    Ok(Routes::new(ConsentsServer::new(ConsentDesk::new(Arc::clone(judge), Arc::clone(clock))))
        .add_service(DemandsServer::new(DemandDesk::new(Arc::clone(ledger), Arc::clone(clock))))
        .add_service(KeysServer::new(KeyDesk::new(Arc::clone(ledger))))
        .add_service(described().build_v1().map_err(wrong)?)
        .add_service(described().build_v1alpha().map_err(wrong)?))
}
