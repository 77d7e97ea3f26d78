//! Accepts connections: handshake, who is there, and HTTP/2 with small windows; HTTP/1.1 where browsers may call. Everything that a connection can take up is
//! bounded.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::gathered::Gathered;
use super::guard::{Bounds, Guarded};
use super::handover::PIECE_BYTES;
use super::places::{Full, Place, Places};
use super::proxy::Caller;
use super::route::Router;
use super::subscribe::Shared;
use super::workers::Workers;
use super::{identity, tls};
use crate::config::{Limits, Party};
use crate::stop::Stop;

/// Flow-control window of a stream, in bytes: larger ones fall out of the cache.
pub(super) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Flow-control window of a connection, in bytes: as many small messages as one stream may have on their way while its reader waits;
/// HTTP/2's guard against floods of small DATA frames allows half of it for what they cost beside their bytes.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// The header list of a request, in bytes.
pub(super) const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// A stream hands its next piece over when the one before has left HTTP/2's own buffer; one byte of room is how that is said.
pub(super) const PIECES_AHEAD: usize = 1;
/// A handshake takes at most this long.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How silent connections are asked whether they live, and what is let pass of those that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keepalive {
    pub(super) after: Duration,
    pub(super) timeout: Duration,
    pub(super) bounds: Bounds,
}

impl Keepalive {
    pub(super) fn of(limits: &Limits) -> Self {
        let (after, timeout) = (Duration::from_millis(limits.keepalive_ms), Duration::from_millis(limits.keepalive_timeout_ms));
        // What is written is taken in as long as a silent connection may live.
        Self { after, timeout, bounds: Bounds::new(limits.control_frames_per_second_max, after + timeout) }
    }
}

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

/// Accepts until `stop` says so, then lets open calls end, for as long as the configuration says.
pub async fn run(listener: TcpListener, router: Router, mut stop: Stop) {
    let (live, counters) = (&router.shared().live, &router.shared().counters);
    let places = Arc::<Places>::default();
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
        let place = match places.take(from.ip(), live.now().config.limits.connections_max) {
            Ok(place) => place,
            Err(full) => {
                counters.connections_refused.add(1);
                let why = match full {
                    Full::All => "as many are open as the gateway takes",
                    Full::Address => "as many of its address are not known yet as the gateway takes",
                };
                tracing::warn!(%from, why, "a connection was refused");
                continue;
            }
        };
        let Ok(socket) = socket.into_std() else { continue };
        connections.spawn(workers.clone().run(carry(socket, from, router.clone(), place, stop.clone())));
    }
    drop(listener);
    let drain = Duration::from_millis(live.now().config.limits.drain_ms_max);
    let drained = tokio::time::timeout(drain, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut: they did not end in time");
        connections.shutdown().await;
    }
    live.now().routes.close().await;
}

async fn carry(socket: std::net::TcpStream, from: SocketAddr, router: Router, place: Place, stop: Stop) {
    // The worker's own runtime waits for the socket from here on.
    if let Ok(socket) = TcpStream::from_std(socket) {
        connection(socket, from, router, place, stop).await;
    }
}

async fn connection(socket: TcpStream, from: SocketAddr, router: Router, mut place: Place, stop: Stop) {
    // Small messages go out at once; a failure costs delay, not data.
    let _best_effort = socket.set_nodelay(true);
    // Not kept: a state holds on to upstreams, and connections outlive states.
    let state = || router.shared().live.now();
    let counters = Arc::clone(&router.shared().counters);
    let refuse = |why: &'static str| {
        counters.connections_refused.add(1);
        tracing::warn!(%from, why, "a connection was refused");
    };
    let door = state().door.clone();
    match door {
        Door::Insecure(party) => {
            place.known();
            let caller = Arc::new(Caller::new(party, &state()));
            let one = match state().config.web.origins.is_empty() {
                true => false,
                false => match tokio::time::timeout(HANDSHAKE_MAX, speaks_one(&socket)).await {
                    Ok(Ok(one)) => one,
                    _ => return refuse("it said nothing"),
                },
            };
            serve(socket, from, Some(caller), one, router, stop).await;
        }
        Door::Mutual(acceptor) => {
            let bound = |connection: &mut rustls::ServerConnection| tls::bound_send_buffer(connection);
            let stream = match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept_with(socket, bound)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) => return refuse("no handshake: a certificate of a known authority is needed"),
                Err(_) => return refuse("the handshake took too long"),
            };
            let one = stream.get_ref().1.alpn_protocol() == Some(tls::ALPN_HTTP1);
            let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let caller = match leaf.map(|leaf| identity::spiffe(leaf)) {
                // Only where browsers may ask before they show one.
                None => None,
                Some(Err(_)) => return refuse("the certificate has not exactly one SPIFFE id"),
                Some(Ok(spiffe)) => {
                    let state = state();
                    match state.config.party(&spiffe) {
                        Some(party) => {
                            place.known();
                            Some(Arc::new(Caller::new(Arc::new(party.clone()), &state)))
                        }
                        None => return refuse("the certificate names no party of the configuration"),
                    }
                }
            };
            serve(stream, from, caller, one, router, stop).await;
        }
    }
}

/// Whether a plain connection begins as HTTP/1.1 does, and not with the preface of HTTP/2 (RFC 9113 §3.4).
async fn speaks_one(socket: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; 3];
    loop {
        let seen = socket.peek(&mut first).await?;
        if seen == 0 || !b"PRI".starts_with(first.get(..seen).unwrap_or_default()) {
            return Ok(true);
        }
        if seen == first.len() {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn serve<S>(io: S, from: SocketAddr, caller: Option<Arc<Caller>>, one: bool, router: Router, stop: Stop)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::clone(router.shared());
    shared.counters.connections.add(1);
    let limits = shared.live.now().config.limits.clone();
    let keepalive = Keepalive::of(&limits);
    let called = caller.clone();
    let service = service_fn(move |request| {
        let (router, caller) = (router.clone(), called.clone());
        // In a box: it is large, and HTTP/2 moves it from hand to hand.
        Box::pin(async move {
            match caller {
                Some(caller) => router.answer(caller, request).await,
                None => router.answer_stranger(request).await,
            }
        })
    });
    let (ended, verdict) = if one {
        let io = Guarded::of_writer(io, keepalive.bounds);
        let verdict = io.verdict();
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_MAX).max_buf_size(PIECE_BYTES);
        let connection = builder.serve_connection(TokioIo::new(io), service);
        (until_over(connection, |connection| connection.graceful_shutdown(), caller, &shared, stop).await, verdict)
    } else {
        let io = Guarded::of_client(io, keepalive.bounds, HANDSHAKE_MAX);
        let verdict = io.verdict();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(limits.streams_per_connection_max)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_send_buf_size(PIECES_AHEAD)
            .keep_alive_interval(keepalive.after)
            .keep_alive_timeout(keepalive.timeout)
            .auto_date_header(false);
        let connection = builder.serve_connection(TokioIo::new(Gathered::new(io)), service);
        (until_over(connection, |connection| connection.graceful_shutdown(), caller, &shared, stop).await, verdict)
    };
    // HTTP/2 has limits of its own, and says no more when they are passed.
    let calmed = || ended.as_ref().err().is_some_and(is_calmed).then_some("it asked too much of HTTP/2");
    if let Some(why) = verdict.get().or_else(calmed) {
        shared.counters.connections_cut.add(1);
        tracing::warn!(%from, why, "a connection was cut off");
    }
    if let Err(error) = ended {
        // hyper's error names the kind of failure, never bytes of a message.
        tracing::debug!(closed = error.is_closed(), timeout = error.is_timeout(), "a connection ended early");
    }
}

/// Whether HTTP/2 ended a connection because of what it took up.
fn is_calmed(error: &hyper::Error) -> bool {
    let http2 = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    http2.is_some_and(|error| error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
}

/// Serves until the connection ends; no new calls are taken on it from when the gateway stops or the party is removed.
async fn until_over<C>(
    connection: C,
    wind_up: impl Fn(Pin<&mut C>),
    caller: Option<Arc<Caller>>,
    shared: &Shared,
    mut stop: Stop,
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = std::pin::pin!(connection);
    let mut changes = shared.live.changes();
    let Some(caller) = caller else {
        // One question is answered in this time; a place is not held by somebody whom nobody knows.
        return tokio::time::timeout(HANDSHAKE_MAX, connection).await.unwrap_or(Ok(()));
    };
    loop {
        let over = tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.wait() => true,
            Ok(()) = changes.changed() => caller.known(&shared.live.now()).is_none(),
        };
        if over {
            wind_up(connection.as_mut());
            return connection.await;
        }
    }
}
