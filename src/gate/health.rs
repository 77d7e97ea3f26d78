//! `grpc.health.v1`: the gateway answers, for itself and for the services behind it; nothing of it is forwarded. A service behind
//! the gateway serves while each upstream of its routes has an address that can be reached.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::shared::Shared;
use crate::config::{Carrier, May};
use crate::status::Refuse;
use crate::veil::name::Spiffe;

/// What the gateway serves itself; the empty name is the gateway as a whole.
const OWN: [&str; 5] = ["", "twinveil.v1.Frames", "twinveil.v1.Consents", "twinveil.v1.Demands", "twinveil.v1.Keys"];
/// How often whoever watches is told of changes.
const EVERY: Duration = Duration::from_secs(2);

/// The service.
#[derive(Clone, Debug)]
pub struct HealthDesk {
    shared: Arc<Shared>,
}

impl HealthDesk {
    /// Of this gateway.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn status(&self, service: &str, caller: &Spiffe) -> ServingStatus {
        if OWN.contains(&service) {
            return ServingStatus::Serving;
        }
        let state = self.shared.live.now();
        let upstreams = match state.allows(caller, May::Call) {
            Ok(()) => state.routes.upstreams(service),
            Err(_) => Vec::new(),
        };
        if upstreams.is_empty() {
            return ServingStatus::ServiceUnknown;
        }
        for upstream in upstreams {
            if !upstream.is_reachable().await {
                return ServingStatus::NotServing;
            }
        }
        ServingStatus::Serving
    }

    /// Tells whoever watches, until they or the gateway are gone.
    async fn tell(self, service: String, caller: Spiffe, to: mpsc::Sender<Result<HealthCheckResponse, Status>>) {
        let mut stopping = self.shared.hub.stopping();
        let mut changes = self.shared.live.changes();
        let mut told = None;
        loop {
            let status = self.status(&service, &caller).await;
            if told.replace(status) != Some(status) && to.send(Ok(HealthCheckResponse { status: status.into() })).await.is_err() {
                return;
            }
            let end = tokio::select! {
                () = to.closed() => return,
                () = stopping.wait() => Some(Refuse::Shutdown),
                Ok(()) = changes.changed() => self.shared.live.now().config.party(&caller).is_none().then_some(Refuse::UnknownParty),
                () = tokio::time::sleep(EVERY) => None,
            };
            if let Some(refuse) = end {
                // Whoever is gone need not be told.
                let _gone = to.send(Err(refuse.into())).await;
                return;
            }
        }
    }
}

fn caller<T>(request: &Request<T>) -> Result<Spiffe, Status> {
    let Carrier(party) = request.extensions().get::<Carrier>().ok_or(Refuse::UnknownParty)?;
    Ok(party.spiffe.clone())
}

#[tonic::async_trait]
impl Health for HealthDesk {
    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let caller = caller(&request)?;
        match self.status(&request.into_inner().service, &caller).await {
            ServingStatus::ServiceUnknown => Err(Refuse::UnknownService.into()),
            status => Ok(Response::new(HealthCheckResponse { status: status.into() })),
        }
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = caller(&request)?;
        let (to, stream) = mpsc::channel(1);
        tokio::spawn(self.clone().tell(request.into_inner().service, caller, to));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
