//! Connections to an upstream: made when needed, shared by all calls of a worker, for each of its addresses in turn. Where an upstream
//! takes only so many calls on one connection, the next call gets another: nobody waits until somebody else's stream ends. An address that
//! fails rests for a while.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::pipe::RequestBody;
use crate::config::{Party, Reach, Upstream};
use crate::gate::gathered::Gathered;
use crate::gate::guard::Guarded;
use crate::gate::listen::Keepalive;
use crate::gate::tls::{self, ClientTls};
use crate::gate::{identity, listen, workers};
use crate::status::Refuse;

/// Connecting, handshakes included, takes at most this long.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an address rests after its first failure; it doubles with each.
const REST_MIN: Duration = Duration::from_millis(100);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(5);
/// The most connections of a worker to one address.
const LINKS_MAX: usize = 128;

/// An upstream and its connections.
#[derive(Debug)]
pub(in crate::gate) struct Pool {
    upstream: Upstream,
    tls: Option<ClientTls>,
    /// Of the files that `tls` was made from.
    pem: Option<[u8; 32]>,
    keepalive: Keepalive,
    /// By worker and address: a worker's calls go over its own connections.
    places: Vec<Vec<Mutex<Place>>>,
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Place {
    links: Vec<Link>,
    failures: u32,
    rests_until: Option<Instant>,
}

/// A connection, and how many calls are on it.
#[derive(Clone, Debug)]
struct Link {
    sender: SendRequest<RequestBody>,
    calls: Arc<AtomicUsize>,
    /// How many the upstream takes at a time.
    most: Arc<AtomicUsize>,
}

impl Link {
    /// Takes a call, if the upstream does.
    fn lease(&self) -> Option<Lease> {
        let most = self.most.load(Ordering::Relaxed);
        // The worker's own calls are the only ones on it, and run one at a time.
        if self.calls.fetch_add(1, Ordering::Relaxed) >= most {
            self.calls.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Lease { sender: self.sender.clone(), on: OnLink(Arc::clone(&self.calls)) })
    }
}

/// A connection that takes a request now, and the call's place on it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) on: OnLink,
}

/// A call's place on a connection; free when dropped.
#[derive(Debug)]
pub(super) struct OnLink(Arc<AtomicUsize>);

impl Drop for OnLink {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(super) fn new(upstream: Upstream, tls: Option<(ClientTls, [u8; 32])>, keepalive: Keepalive) -> Self {
        let places = (0..workers::count()).map(|_| upstream.addresses.iter().map(|_| Mutex::default()).collect()).collect();
        let (tls, pem) = tls.unzip();
        Self { upstream, tls, pem, keepalive, places, next: AtomicUsize::new(0) }
    }

    /// Whether its connections are as good as new ones of these settings.
    pub(super) fn is_for(&self, upstream: &Upstream, pem: Option<[u8; 32]>, keepalive: Keepalive) -> bool {
        self.upstream == *upstream && self.pem == pem && self.keepalive == keepalive
    }

    /// Whether an address of it can be reached now.
    pub(in crate::gate) async fn is_reachable(&self) -> bool {
        self.sender().await.is_ok()
    }

    /// Lets go of its connections; those with calls on them close when these have ended.
    pub(super) async fn close(&self) {
        for place in self.places.iter().flatten() {
            place.lock().await.links.clear();
        }
    }

    /// Who answers there.
    pub(super) fn party(&self) -> &Party {
        &self.upstream.party
    }

    /// `:scheme` of requests to it.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// `:authority` of requests to it.
    pub(super) fn authority(&self) -> &str {
        match &self.upstream.reach {
            Reach::Tls { server_name: Some(name), .. } => name,
            _ => self.upstream.addresses.first().map_or("", |address| address),
        }
    }

    /// A connection that takes a request now.
    pub(super) async fn sender(&self) -> Result<Lease, Refuse> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let places = self.places.get(workers::index()).map(Vec::as_slice).unwrap_or_default();
        let mut failed = Vec::new();
        let mut full = false;
        // First whom nothing speaks against, then those that somebody connects to just now; if all rest, whoever comes next.
        for (resting, waiting) in [(false, false), (false, true), (true, true)] {
            for turn in 0..places.len() {
                let index = (first + turn) % places.len();
                let (Some(place), Some(address)) = (places.get(index), self.upstream.addresses.get(index)) else { continue };
                // Who has failed this call is not tried again for it: another wait for the same answer.
                if failed.contains(&index) {
                    continue;
                }
                let mut place = match place.try_lock() {
                    Ok(place) => place,
                    Err(_) if waiting => place.lock().await,
                    Err(_) => continue,
                };
                if place.rests_until.is_some_and(|until| until > Instant::now()) != resting {
                    continue;
                }
                place.links.retain(|link| !link.sender.is_closed());
                if let Some(lease) = place.links.iter().find_map(Link::lease) {
                    return Ok(lease);
                }
                if place.links.len() >= LINKS_MAX {
                    full = true;
                    continue;
                }
                match self.connect(address).await {
                    Ok(link) => {
                        let lease = link.lease();
                        (place.failures, place.rests_until) = (0, None);
                        place.links.push(link);
                        match lease {
                            Some(lease) => return Ok(lease),
                            // It takes no calls at all.
                            None => full = true,
                        }
                    }
                    Err(why) => {
                        failed.push(index);
                        place.failures = place.failures.saturating_add(1);
                        let rest = REST_MIN.saturating_mul(1 << place.failures.min(10)).min(REST_MAX);
                        place.rests_until = Some(Instant::now() + rest);
                        tracing::warn!(upstream = %self.upstream.name, %address, why, "an upstream could not be reached");
                    }
                }
            }
        }
        Err(if full { Refuse::TooMany } else { Refuse::NoUpstream })
    }

    async fn connect(&self, address: &str) -> Result<Link, &'static str> {
        match tokio::time::timeout(CONNECT_MAX, self.connect_within(address)).await {
            Ok(connected) => connected,
            Err(_) => Err("no connection in time"),
        }
    }

    async fn connect_within(&self, address: &str) -> Result<Link, &'static str> {
        let socket = TcpStream::connect(address).await.map_err(|_| "no connection")?;
        // Small messages go out at once; a failure costs delay, not data.
        let _best_effort = socket.set_nodelay(true);
        let (Some(tls), Reach::Tls { server_name, .. }) = (&self.tls, &self.upstream.reach) else {
            return handshake(socket, self.keepalive, &self.upstream.name).await;
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(server_name.as_deref().unwrap_or(host).to_owned()).map_err(|_| "the name is no server name")?;
        let bound = |connection: &mut rustls::ClientConnection| connection.set_buffer_limit(Some(tls::SEND_BUFFER_BYTES_MAX));
        let stream = TlsConnector::from(tls.config()).connect_with(name, socket, bound).await.map_err(|_| "no TLS handshake")?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        match leaf.map(|leaf| identity::spiffe(leaf)) {
            Some(Ok(spiffe)) if spiffe == self.upstream.party.spiffe => {}
            _ => return Err("its certificate is another party's"),
        }
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("it does not speak HTTP/2");
        }
        handshake(stream, self.keepalive, &self.upstream.name).await
    }
}

async fn handshake<S>(io: S, keepalive: Keepalive, upstream: &str) -> Result<Link, &'static str>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = Guarded::of_server(io, keepalive.bounds);
    let (verdict, upstream) = (io.verdict(), upstream.to_owned());
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(listen::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(listen::CONNECTION_WINDOW_BYTES)
        .max_header_list_size(listen::HEADER_BYTES_MAX)
        .max_send_buf_size(listen::PIECES_AHEAD)
        .keep_alive_interval(keepalive.after)
        .keep_alive_timeout(keepalive.timeout)
        .handshake(TokioIo::new(Gathered::new(io)))
        .await
        .map_err(|_| "no HTTP/2 handshake")?;
    let most = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
    let link = Link { sender, calls: Arc::default(), most: Arc::clone(&most) };
    tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        let ended = std::future::poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            most.store(connection.current_max_send_streams(), Ordering::Relaxed);
            ended
        });
        // hyper's error names the kind of failure, never bytes of a message.
        if let Err(error) = ended.await {
            tracing::debug!(closed = error.is_closed(), timeout = error.is_timeout(), "a connection to an upstream ended early");
        }
        if let Some(why) = verdict.get() {
            tracing::warn!(%upstream, why, "a connection to an upstream was cut off");
        }
    });
    Ok(link)
}
