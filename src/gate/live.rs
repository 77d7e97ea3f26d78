//! What a reload replaces, as one: configuration, schemas, policy, routes, certificates, and what is told of them. Whoever begins
//! something takes the state of that moment; whoever goes on asks [`State::stands`] when the generation has grown.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::ask::{Ask, Through};
use super::proxy::Table;
use crate::config::{Config, May, Party};
use crate::judge::Judge;
use crate::status::Refuse;
use crate::veil::name::Spiffe;
use crate::veil::schema::Schema;
use crate::veil::schema::changes::goes_on;

/// How callers are told apart.
#[derive(Clone)]
pub enum Door {
    /// By their certificates.
    Mutual(TlsAcceptor),
    /// Not at all: loopback only, one fixed party.
    Insecure(Arc<Party>),
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mutual(_) => "Door::Mutual",
            Self::Insecure(_) => "Door::Insecure",
        })
    }
}

/// Everything that a reload replaces. Made whole or not at all, and never changed afterwards.
#[derive(Debug)]
pub struct State {
    /// Grows with every reload; 0 is the start.
    pub generation: u64,
    /// Parties, limits, upstreams, routes.
    pub config: Arc<Config>,
    /// Schemas and policy.
    pub judge: Arc<Judge>,
    /// What can be called.
    pub routes: Arc<Table>,
    /// Tells callers apart.
    pub door: Door,
    /// The services of the control plane.
    pub desks: Desks,
    /// Every file that it was made from.
    pub files: Vec<PathBuf>,
}

/// The services of the control plane, which show a caller what it may call.
#[derive(Clone, Debug)]
pub struct Desks {
    /// For parties that may call what is behind the gateway.
    pub callers: tonic::service::Routes,
    /// For all others.
    pub others: tonic::service::Routes,
}

/// The state that counts.
#[derive(Debug)]
pub struct Live {
    state: RwLock<Arc<State>>,
    changes: watch::Sender<u64>,
}

impl Live {
    /// Begins with this.
    pub fn new(state: State) -> Self {
        let changes = watch::Sender::new(state.generation);
        Self { state: RwLock::new(Arc::new(state)), changes }
    }

    /// The state of this moment.
    pub fn now(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another in its place; open streams are to be settled after this.
    pub fn replace(&self, mut state: State) {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.generation = current.generation + 1;
        let generation = state.generation;
        *current = Arc::new(state);
        drop(current);
        self.changes.send_replace(generation);
    }

    /// Tells of every replacement from here on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl State {
    /// Whether the party may (still) do this.
    pub fn allows(&self, spiffe: &Spiffe, may: May) -> Result<(), Refuse> {
        let party = self.config.party(spiffe).ok_or(Refuse::UnknownParty)?;
        if party.may.contains(&may) { Ok(()) } else { Err(Refuse::NotAllowed) }
    }

    /// Whether what was opened as `ask` may go on, and under which facts.
    ///
    /// # Errors
    /// The party is gone or has lost the right, or what it asked for has changed so much that it has to ask anew.
    pub fn stands(&self, ask: &Ask) -> Result<Arc<Schema>, Refuse> {
        let schema = match &ask.through {
            Through::Frames | Through::Warrant(_) => {
                self.allows(&ask.listener.spiffe, May::Subscribe)?;
                if let Some(releasing) = ask.releasing() {
                    self.judge.ledger().holds(releasing).map_err(|refused| {
                        tracing::info!(code = refused.code(), "a release under a legal demand ends");
                        Refuse::ReleaseOver
                    })?;
                }
                self.judge.schema(ask.schema.name().as_str())
            }
            Through::Call { path, answers, caller, term } => {
                self.allows(caller, May::Call)?;
                self.routes.find(path).filter(|called| Arc::ptr_eq(&called.term, term)).map(|called| called.schema(*answers))
            }
        };
        let schema = schema.ok_or(Refuse::Reloaded)?;
        if Arc::ptr_eq(schema, &ask.schema) || goes_on(&ask.schema, schema) { Ok(Arc::clone(schema)) } else { Err(Refuse::Reloaded) }
    }
}
