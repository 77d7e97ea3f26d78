//! The composition root: the only file that knows every room. It takes its sockets and its end as arguments, so that tests need
//! no fixed port and no signal.

mod parts;
mod reload;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

pub use self::parts::schemas;
use self::parts::{Acts, Parts, register, sources};
pub use self::reload::Reloader;
use crate::config::{Config, ConfigError};
use crate::gate::arrival::KEPT_BYTES_MAX;
use crate::gate::hub::Hub;
use crate::gate::listen;
use crate::gate::live::Live;
use crate::gate::room::Room;
use crate::gate::route::Router;
use crate::gate::shared::Shared;
use crate::gate::streams::Streams;
use crate::gate::views::{ViewMaker, ViewSettings};
use crate::health;
use crate::ledger::{Ledger, LedgerConfig};
use crate::log::{Log, Signer};
use crate::stop::Stop;
use crate::store::Store;
use crate::telemetry::Counters;
use crate::traces::{Exporter, traces};
use crate::veil::crypto::sign::SignKey;
use crate::veil::merkle::note::VerifierKey;
use crate::world::Clock;

/// How often the clock's high-water mark is kept.
const TICK: Duration = Duration::from_secs(5);
const MS_PER_DAY: i64 = 86_400_000;

/// Why a gateway does not start, or keeps what it has at a reload. It is the operator's move.
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
    router: Router,
    ledger: Arc<Ledger>,
    log: Arc<Log>,
    clock: Arc<Clock>,
    exporter: Option<Exporter>,
    tick: Duration,
}

impl Gateway {
    /// Loads schemas, policy, keys and store. Nothing is served yet; anything that is wrong stops it here.
    pub fn open(config: Config, clock: Arc<Clock>) -> Result<Self, StartError> {
        let parts = Parts::load(config, None)?;
        let config = Arc::clone(&parts.config);
        let store = Store::open_caching(&config.store.dir, config.store.cache_bytes)
            .map(Arc::new)
            .map_err(|error| StartError::new(error.code(), error))?;
        Ledger::claim(&store, &config.origin).map_err(|error| StartError::new(error.code(), error))?;
        let log = open_log(&config)?;
        let sign = Arc::new(SignKey::from_seed(&config.keys.sign));
        let ledger = Ledger::open(
            store,
            Arc::clone(&log),
            LedgerConfig {
                origin: config.origin.clone(),
                handle_key: config.keys.handle.clone(),
                store_key: config.keys.store.clone(),
                persons: register(&config)?,
                sign: Arc::clone(&sign),
                operators: config.operators.clone(),
                sources: sources(&config),
                disclosure_ms: i64::try_from(config.log.disclosure_s).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000),
            },
            Arc::clone(&clock),
        )
        .map_err(|error| StartError::new(error.code(), error))?;
        in_force(&ledger, parts.acts(&log))?;
        // What came due while it was down.
        if let Err(refused) = ledger.mind_desk() {
            tracing::error!(code = refused.code(), "what is due of legal demands could not be written yet");
        }
        let live = Arc::new(Live::new(parts.state(&ledger, &clock)?));
        let streams = Arc::new(Streams::default());
        ledger.attach(Arc::clone(&streams) as _);
        let settings = ViewSettings {
            origin: config.origin.clone(),
            sign,
            suite: config.seal.suite,
            epoch_ms_max: i64::try_from(config.seal.epoch_ms_max).unwrap_or(i64::MAX),
            rotation_ms: i64::from(config.pseudonym.rotation_days) * MS_PER_DAY,
        };
        let counters = Arc::<Counters>::default();
        let traces = config.traces.as_deref().map(|endpoint| traces(endpoint, Arc::clone(&counters))).transpose();
        let (traces, exporter) = traces.map_err(|_| StartError::new("TV-O04", "the endpoint of traces can't be used"))?.unzip();
        let shared = Arc::new(Shared {
            maker: ViewMaker::new(Arc::clone(&live), Arc::clone(&ledger), settings),
            live,
            hub: Hub::new(config.limits.lossless_stall_ms_max),
            calls: Arc::default(),
            room: Arc::new(Room::new(config.limits.unfinished_bytes_max)),
            kept: Arc::new(Room::new(KEPT_BYTES_MAX)),
            clock: Arc::clone(&clock),
            streams,
            counters,
            traces,
        });
        let tick = TICK.min(Duration::from_secs(config.log.disclosure_s));
        Ok(Self { router: Router::new(shared), ledger, log, clock, exporter, tick })
    }

    /// What puts a new configuration in the place of the one that is served; `load` reads it.
    pub fn reloader(&self, load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static) -> Reloader {
        Reloader::new(Arc::clone(self.router.shared()), Arc::clone(&self.log), Arc::clone(&self.clock), Box::new(load))
    }

    /// Serves until `stop` says so; open calls get a few seconds to end.
    pub async fn serve(self, sockets: Sockets, stop: Stop) {
        let shared = Arc::clone(self.router.shared());
        let facts = health::Facts { counters: Arc::clone(&shared.counters), clock: Arc::clone(&self.clock), log: self.log };
        let health = tokio::spawn(health::serve(sockets.health, Arc::new(facts), stop.clone()));
        let ticking = tokio::spawn(tick(Arc::clone(&self.ledger), Arc::clone(&shared.counters), self.tick, stop.clone()));
        let counters = Arc::clone(&shared.counters);
        let ending = tokio::spawn(end_streams(shared, stop.clone()));
        let (told, telling) = crate::stop::stop();
        let exporting = self.exporter.map(|exporter| tokio::spawn(exporter.run(telling)));
        listen::run(sockets.gate, self.router, stop).await;
        told.stop();
        if let Some(exporting) = exporting {
            // Spans of the last calls; a collector that does not answer holds nobody up for long.
            let _lost_if_late = tokio::time::timeout(TICK, exporting).await;
        }
        for task in [health, ticking, ending] {
            task.abort();
            // Its share of the store goes with it: whoever starts again on the same folder finds it closed.
            let _aborted = task.await;
        }
        let ledger = self.ledger;
        let kept = tokio::task::spawn_blocking(move || {
            let refusals = ledger.log_refusals(&counters.refusals());
            (ledger.keep_wraps(), ledger.mind_desk(), ledger.end_disclosures().and(refusals))
        });
        let Ok((wraps, desk, disclosures)) = kept.await else { return };
        if let Err(error) = desk {
            tracing::error!(code = error.code(), "what was released under legal demands is not on record yet; the next start sees to it");
        }
        if let Err(error) = wraps {
            tracing::error!(code = error.code(), "announcements for vaults were not kept; their recipients have them");
        }
        if let Err(error) = disclosures {
            tracing::error!(code = error.code(), "what was disclosed last is not in the log; the next start sees to it");
        }
    }
}

/// Opens the log before anything is served; what its operator should know is said.
fn open_log(config: &Config) -> Result<Arc<Log>, StartError> {
    let key = SignKey::from_seed(&config.keys.sign);
    let verifier = VerifierKey::new(config.origin.as_str(), key.did()).map_err(|doubt| StartError::new(doubt.code(), doubt))?;
    let settings = &config.log;
    let batch = Duration::from_millis(settings.batch_ms);
    let opened = Log::open_folder(&settings.dir, settings.anchor.as_deref(), Signer { key, verifier }, batch);
    let (log, warnings) = opened.map_err(|error| StartError::new(error.code(), error))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(entries = log.size(), "the log is open");
    Ok(log)
}

/// Puts into the log what the operator has put in force.
fn in_force(ledger: &Ledger, acts: Acts) -> Result<(), StartError> {
    ledger.in_force(&acts).map_err(|refused| StartError::new(refused.code(), refused))
}

async fn tick(ledger: Arc<Ledger>, counters: Arc<Counters>, every: Duration, mut stop: Stop) {
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(every) => {}
        }
        let (ledger, counters) = (Arc::clone(&ledger), Arc::clone(&counters));
        let kept = tokio::task::spawn_blocking(move || {
            (ledger.keep_wraps(), ledger.mind_desk(), ledger.tick(), ledger.log_disclosures(|| counters.refusals()))
        });
        let Ok((wraps, desk, mark, disclosures)) = kept.await else { continue };
        if let Err(error) = wraps {
            tracing::error!(code = error.code(), "announcements for vaults could not be kept yet");
        }
        if let Err(error) = desk {
            tracing::error!(code = error.code(), "what is due of legal demands could not be written yet");
        }
        if let Err(error) = mark {
            tracing::error!(code = error.code(), "the clock's mark, and what is being disclosed, could not be kept");
        }
        if let Err(error) = disclosures {
            tracing::error!(code = error.code(), "what was disclosed could not be logged yet");
        }
    }
}

async fn end_streams(shared: Arc<Shared>, mut stop: Stop) {
    stop.wait().await;
    shared.hub.shut_down();
    shared.maker.ledger().watched().shut();
    std::future::pending::<()>().await;
}
