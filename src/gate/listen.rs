//! Accepts connections: handshake, who is there, and HTTP/2 with small windows; HTTP/1.1 where browsers may call. Everything that a connection can take up is
//! bounded.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answering::answer;
use super::guard::Guarded;
use super::handover::PIECE_BYTES;
use super::inbound::Wire;
use super::live::Door;
use super::places::{Full, Place, Places};
use super::proxy::Caller;
use super::route::Router;
use super::settings::of_callers;
use super::shared::Shared;
use super::workers::Workers;
use super::{identity, tls};
use crate::http2::{self, Broken, Reason};
use crate::stop::Stop;

/// A handshake takes at most this long.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

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
    // What is written is taken in as long as a silent connection may live.
    let io = Guarded::new(io, (!one).then_some(HANDSHAKE_MAX), Duration::from_millis(limits.keepalive_ms + limits.keepalive_timeout_ms));
    let verdict = io.verdict();
    let cut = |why: &'static str| {
        shared.counters.connections_cut.add(1);
        tracing::warn!(%from, why, "a connection was cut off");
    };
    if !one {
        let connection = Serving { connection: http2::server(io, of_callers(&limits)), router, caller: caller.clone() };
        let ended = until_over(connection, |serving| serving.get_mut().connection.wind_up(), caller, &shared, stop).await;
        match (verdict.get(), ended) {
            (Some(why), _) => cut(why),
            (None, Err(Broken { reason: Reason::ENHANCE_YOUR_CALM, .. })) => cut("it asked for too much"),
            (None, Err(Broken { reason: Reason::CANCEL, .. })) => cut("it did not answer, or did not take what was sent"),
            (None, Err(broken)) => tracing::debug!(reason = ?broken.reason, "a connection ended early"),
            (None, Ok(())) => {}
        }
        return;
    }
    let called = caller.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, caller, request) = (router.clone(), called.clone(), request.map(Wire::One));
        async move {
            match caller {
                Some(caller) => router.answer(caller, request).await,
                None => router.answer_stranger(request).await,
            }
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_MAX).max_buf_size(PIECE_BYTES);
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let ended = until_over(connection, |connection| connection.graceful_shutdown(), caller, &shared, stop).await;
    if let Some(why) = verdict.get() {
        cut(why);
    } else if let Err(error) = ended {
        // hyper's error names the kind of failure, never bytes of a message.
        tracing::debug!(closed = error.is_closed(), timeout = error.is_timeout(), "a connection ended early");
    }
}

/// A connection whose requests are answered, each by a task of its own.
struct Serving<S> {
    connection: http2::Connection<S>,
    router: Router,
    caller: Option<Arc<Caller>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Serving<S> {
    type Output = Result<(), Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while let Some(arrived) = std::task::ready!(self.connection.poll_accept(cx)) {
            let (request, writing) = arrived?;
            tokio::spawn(answer(self.router.clone(), self.caller.clone(), request, writing));
        }
        Poll::Ready(Ok(()))
    }
}

/// Serves until the connection ends; no new calls are taken on it from when the gateway stops or the party is removed.
async fn until_over<C, E>(
    connection: C,
    wind_up: impl Fn(Pin<&mut C>),
    caller: Option<Arc<Caller>>,
    shared: &Shared,
    mut stop: Stop,
) -> Result<(), E>
where
    C: Future<Output = Result<(), E>>,
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
