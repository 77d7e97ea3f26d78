//! Accepts connections: handshake, who is there, and HTTP/2 with small windows. Everything that a connection can take up is
//! bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::gathered::Gathered;
use super::proxy::Caller;
use super::route::Router;
use super::workers::Workers;
use super::{identity, tls};
use crate::config::{Config, Party};
use crate::stop::Stop;
use crate::telemetry::Counters;

/// Flow-control window of a stream, in bytes: larger ones fall out of the cache.
pub(super) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Flow-control window of a connection, in bytes.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// The header list of a request, in bytes.
pub(super) const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// A stream hands its next piece over when the one before has left HTTP/2's own buffer; one byte of room is how that is said.
pub(super) const PIECES_AHEAD: usize = 1;
/// A handshake takes at most this long.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Open calls may end by themselves for this long after a stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);

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

/// What a listener needs.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Answers requests.
    pub router: Router,
    /// Tells callers apart.
    pub door: Door,
    /// Parties and limits.
    pub config: Arc<Config>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// Accepts until `stop` says so, then lets open calls end.
pub async fn run(listener: TcpListener, listening: Listening, mut stop: Stop) {
    let places = Arc::new(Semaphore::new(listening.config.limits.connections_max));
    let mut connections = JoinSet::new();
    let workers = match Workers::start() {
        Ok(workers) => workers,
        Err(error) => {
            tracing::error!(kind = ?error.kind(), "no threads can be had: nothing is served; let the service have more");
            return stop.wait().await;
        }
    };
    loop {
        let accepted = tokio::select! {
            () = stop.wait() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let (socket, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: wait for some to be closed.
                tracing::warn!(kind = ?error.kind(), "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            listening.counters.connections_refused.add(1);
            tracing::warn!(%from, "a connection was refused: as many are open as the gateway takes");
            continue;
        };
        let Ok(socket) = socket.into_std() else { continue };
        let (listening, stop) = (listening.clone(), stop.clone());
        connections.spawn(workers.clone().run(carry(socket, from, listening, place, stop)));
    }
    drop(listener);
    let drained = tokio::time::timeout(DRAIN_MAX, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut: they did not end in time");
        connections.shutdown().await;
    }
}

async fn carry(socket: std::net::TcpStream, from: SocketAddr, listening: Listening, place: OwnedSemaphorePermit, stop: Stop) {
    // The worker's own runtime waits for the socket from here on.
    if let Ok(socket) = TcpStream::from_std(socket) {
        connection(socket, from, listening, place, stop).await;
    }
}

async fn connection(socket: TcpStream, from: SocketAddr, listening: Listening, _place: OwnedSemaphorePermit, stop: Stop) {
    // Small messages go out at once; a failure costs delay, not data.
    let _best_effort = socket.set_nodelay(true);
    match listening.door.clone() {
        Door::Insecure(party) => serve(socket, party, listening, stop).await,
        Door::Mutual(acceptor) => {
            let bound = |connection: &mut rustls::ServerConnection| tls::bound_send_buffer(connection);
            let refuse = |why: &'static str| {
                listening.counters.connections_refused.add(1);
                tracing::warn!(%from, why, "a connection was refused");
            };
            let stream = match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept_with(socket, bound)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) => return refuse("no handshake: a certificate of a known authority is needed"),
                Err(_) => return refuse("the handshake took too long"),
            };
            let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let party = match leaf.map(|leaf| identity::spiffe(leaf)) {
                Some(Ok(spiffe)) => listening.config.party(&spiffe).cloned(),
                _ => return refuse("the certificate has not exactly one SPIFFE id"),
            };
            let Some(party) = party else { return refuse("the certificate names no party of the configuration") };
            serve(stream, Arc::new(party), listening, stop).await;
        }
    }
}

async fn serve<S>(io: S, party: Arc<Party>, listening: Listening, mut stop: Stop)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    listening.counters.connections.add(1);
    let streams_max = listening.config.limits.streams_per_connection_max;
    let router = listening.router;
    let caller = Arc::new(Caller::new(party));
    let service = service_fn(move |request| {
        // In a box: it is large, and HTTP/2 moves it from hand to hand.
        Box::pin(router.clone().answer(Arc::clone(&caller), request))
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(streams_max)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_send_buf_size(PIECES_AHEAD)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .auto_date_header(false);
    let connection = builder.serve_connection(TokioIo::new(Gathered::new(io)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // hyper's error names the kind of failure, never bytes of a message.
        tracing::debug!(closed = error.is_closed(), timeout = error.is_timeout(), "a connection ended early");
    }
}
