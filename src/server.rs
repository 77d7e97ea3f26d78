//! The composition root: the only file that knows every room. It takes its sockets and its end as arguments, so that tests need
//! no fixed port and no signal.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

use crate::config::{Config, Descriptor, Entry};
use crate::control::{consents::ConsentDesk, keys::KeyDesk};
use crate::descriptors;
use crate::gate::hub::Hub;
use crate::gate::listen::{self, Door, Listening};
use crate::gate::proxy::Table;
use crate::gate::route::Router;
use crate::gate::streams::Streams;
use crate::gate::subscribe::Shared;
use crate::gate::tls::{self, PemFiles};
use crate::gate::views::{ViewMaker, ViewSettings};
use crate::health;
use crate::judge::Judge;
use crate::ledger::{Ledger, LedgerConfig};
use crate::proto;
use crate::proto::v1::{consents_server::ConsentsServer, keys_server::KeysServer};
use crate::stop::Stop;
use crate::store::Store;
use crate::telemetry::Counters;
use crate::veil::crypto::sign::SignKey;
use crate::veil::policy::floor::Policy;
use crate::veil::schema::{self, Schema};
use crate::world::Clock;

/// How often the clock's high-water mark is kept.
const TICK: Duration = Duration::from_secs(5);
const MS_PER_DAY: i64 = 86_400_000;

/// Why a gateway does not start. It is the operator's move.
#[derive(Debug)]
pub struct StartError {
    code: &'static str,
    what: String,
}

impl StartError {
    fn new(code: &'static str, what: impl fmt::Display) -> Self {
        Self { code, what: what.to_string() }
    }

    /// The stable code; the manual has an entry for it.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.what)
    }
}

impl std::error::Error for StartError {}

/// The sockets of a gateway.
#[derive(Debug)]
pub struct Sockets {
    /// For gRPC.
    pub gate: TcpListener,
    /// For health and metrics.
    pub health: TcpListener,
}

impl Sockets {
    /// Binds what the configuration says.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let bind = |address: std::net::SocketAddr| async move {
            TcpListener::bind(address)
                .await
                .map_err(|error| StartError::new("TV-O01", format!("can't listen on `{address}`: {}", error.kind())))
        };
        Ok(Self { gate: bind(config.listen).await?, health: bind(config.health_listen).await? })
    }
}

/// A gateway that is ready to serve.
#[derive(Debug)]
pub struct Gateway {
    listening: Listening,
    shared: Arc<Shared>,
    ledger: Arc<Ledger>,
    clock: Arc<Clock>,
}

impl Gateway {
    /// Loads schemas, policy, keys and store. Nothing is served yet; anything that is wrong stops it here.
    pub fn open(config: Config, clock: Arc<Clock>) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let schemas = schemas(&config)?;
        let recipients: Vec<_> = config.parties().iter().map(|party| (party.spiffe.clone(), groups(&party.groups))).collect();
        let text = read(&config.policy.file)?;
        let policy = Policy::load(&text, &recipients)
            .map_err(|error| StartError::new(error.code(), format!("`{}`: {error}", config.policy.file.display())))?;
        let store = Store::open(&config.store_dir).map(Arc::new).map_err(|error| StartError::new(error.code(), error))?;
        let ledger = Ledger::open(
            store,
            LedgerConfig {
                origin: config.origin.clone(),
                handle_key: config.keys.handle.clone(),
                store_key: config.keys.store.clone(),
                operators: config.operators.clone(),
                sources: config.parties().iter().filter_map(|party| Some((party.spiffe.clone(), party.key?))).collect(),
            },
            Arc::clone(&clock),
        )
        .map_err(|error| StartError::new(error.code(), error))?;
        let routes = Table::load(&config).map_err(|error| StartError::new(error.code, error.what))?;
        let schemas = with_routes(schemas, &routes);
        let judge = Arc::new(Judge::new(schemas, policy, config.policy.jurisdiction.to_string(), Arc::clone(&ledger)));
        let counters = Arc::new(Counters::default());
        let streams = Arc::new(Streams::default());
        ledger.attach(Arc::clone(&streams) as _);
        let settings = ViewSettings {
            origin: config.origin.clone(),
            sign: Arc::new(SignKey::from_seed(&config.keys.sign)),
            suite: config.seal.suite,
            epoch_ms_max: i64::try_from(config.seal.epoch_ms_max).unwrap_or(i64::MAX),
            rotation_ms: i64::from(config.pseudonym.rotation_days) * MS_PER_DAY,
        };
        let shared = Arc::new(Shared {
            maker: ViewMaker::new(Arc::clone(&judge), settings),
            hub: Hub::new(Duration::from_millis(config.limits.lossless_stall_ms_max)),
            clock: Arc::clone(&clock),
            streams,
            counters: Arc::clone(&counters),
        });
        let control = control(&judge, &ledger, &clock)?;
        let router = Router::new(Arc::clone(&shared), Arc::clone(&config), Arc::new(routes), control);
        let door = door(&config)?;
        Ok(Self { listening: Listening { router, door, config, counters }, shared, ledger, clock })
    }

    /// Serves until `stop` says so; open calls get a few seconds to end.
    pub async fn serve(self, sockets: Sockets, stop: Stop) {
        let health =
            tokio::spawn(health::serve(sockets.health, Arc::clone(&self.listening.counters), Arc::clone(&self.clock), stop.clone()));
        let ticking = tokio::spawn(tick(Arc::clone(&self.ledger), stop.clone()));
        let ending = tokio::spawn(end_streams(Arc::clone(&self.shared), stop.clone()));
        listen::run(sockets.gate, self.listening, stop).await;
        for task in [health, ticking, ending] {
            task.abort();
            // Its share of the store goes with it: whoever starts again on the same folder finds it closed.
            let _aborted = task.await;
        }
    }
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

async fn tick(ledger: Arc<Ledger>, mut stop: Stop) {
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        let ledger = Arc::clone(&ledger);
        let kept = tokio::task::spawn_blocking(move || ledger.tick()).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(code = error.code(), "the clock's mark could not be kept");
        }
    }
}

async fn end_streams(shared: Arc<Shared>, mut stop: Stop) {
    stop.wait().await;
    shared.hub.shut_down();
    std::future::pending::<()>().await;
}

fn groups(groups: &[Arc<str>]) -> Vec<String> {
    groups.iter().map(ToString::to_string).collect()
}

fn read(path: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|error| StartError::new("TV-O02", format!("can't read `{}`: {}", path.display(), error.kind())))
}

/// Loads every schema of a configuration.
pub fn schemas(config: &Config) -> Result<Vec<Arc<Schema>>, StartError> {
    let load = |source: &crate::config::SchemaSource| {
        let bytes = match &source.descriptor {
            Descriptor::Builtin => proto::SAMPLES.to_vec(),
            Descriptor::File(file) => {
                descriptors::read(&file.path, &file.proto_paths).map_err(|error| StartError::new("TV-O02", error))?.set
            }
        };
        let side = source.side_file.as_deref().map(read).transpose()?;
        let schema = schema::load(&bytes, source.message.as_str(), side.as_deref())
            .map_err(|error| StartError::new(error.code(), format!("schema `{}`: {error}", source.message)))?;
        Ok(Arc::new(schema))
    };
    config.schemas.iter().map(load).collect()
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
            Door::Mutual(TlsAcceptor::from(tls::server(&files).map_err(|error| StartError::new("TV-O03", error))?))
        }
    })
}

fn control(judge: &Arc<Judge>, ledger: &Arc<Ledger>, clock: &Arc<Clock>) -> Result<Routes, StartError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    // Serving from the first request on: whatever could be wrong has stopped the start before.
    drop(reporter);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::CONTRACT)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| StartError::new("TV-O04", error))?;
    Ok(Routes::new(ConsentsServer::new(ConsentDesk::new(Arc::clone(judge), Arc::clone(clock))))
        .add_service(KeysServer::new(KeyDesk::new(Arc::clone(ledger))))
        .add_service(health)
        .add_service(reflection))
}
