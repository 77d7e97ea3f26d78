//! Connections to an upstream: made when needed, shared by all calls of a worker, for each of its addresses in turn. Where an upstream
//! takes only so many calls on one connection, the next call gets another: nobody waits until somebody else's stream ends. An address that
//! fails rests for a while.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::config::{Party, Reach, Upstream};
use crate::gate::guard::Guarded;
use crate::gate::tls::{self, ClientTls};
use crate::gate::{identity, workers};
use crate::http2::{self, Opener, Reason, Settings};
use crate::status::Refuse;

/// Connecting, handshakes included, takes at most this long.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an address rests after its first failure; it doubles with each.
const REST_MIN: Duration = Duration::from_millis(100);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(5);
/// The most connections of a worker to one address.
const LINKS_MAX: usize = 128;
/// How many of them are kept without a call.
const IDLE_MAX: usize = 2;

/// An upstream and its connections.
#[derive(Debug)]
pub(in crate::gate) struct Pool {
    upstream: Upstream,
    tls: Option<ClientTls>,
    /// Of the files that `tls` was made from.
    pem: Option<[u8; 32]>,
    settings: Settings,
    /// By worker and address: a worker's calls go over its own connections.
    ways: Vec<Vec<Way>>,
    next: AtomicUsize,
}

/// The way to an address.
#[derive(Debug, Default)]
struct Way {
    place: Arc<Mutex<Place>>,
    /// How often nobody was there: whoever waits for somebody else's attempt has its outcome, and does not make it again.
    failed: AtomicUsize,
}

/// The connections to an address.
#[derive(Debug, Default)]
struct Place {
    links: Vec<Opener>,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Place {
    /// A connection that takes a call now.
    fn takes_one(&mut self) -> Option<Opener> {
        if let [one] = self.links.as_slice()
            && one.may_open()
        {
            return Some(one.clone());
        }
        let mut idle = 0;
        self.links.retain(|link| {
            idle += usize::from(link.is_idle());
            !(link.is_closed() || link.is_idle() && idle > IDLE_MAX)
        });
        self.links.iter().find(|link| link.may_open()).cloned()
    }
}

impl Pool {
    pub(super) fn new(upstream: Upstream, tls: Option<(ClientTls, [u8; 32])>, settings: Settings) -> Self {
        let ways = (0..workers::count()).map(|_| upstream.addresses.iter().map(|_| Way::default()).collect()).collect();
        let (tls, pem) = tls.unzip();
        Self { upstream, tls, pem, settings, ways, next: AtomicUsize::new(0) }
    }

    /// Whether its connections are as good as new ones of these settings.
    pub(super) fn is_for(&self, upstream: &Upstream, pem: Option<[u8; 32]>, settings: Settings) -> bool {
        self.upstream == *upstream && self.pem == pem && self.settings == settings
    }

    /// Whether an address of it can be reached now.
    pub(in crate::gate) async fn is_reachable(self: &Arc<Self>) -> bool {
        self.sender().await.is_ok()
    }

    /// Lets go of its connections; those with calls on them close when these have ended.
    pub(super) async fn close(&self) {
        for way in self.ways.iter().flatten() {
            way.place.lock().await.links.clear();
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
    pub(super) fn authority(&self) -> Cow<'_, str> {
        match &self.upstream.reach {
            Reach::Tls { server_name: Some(name), .. } if name.parse::<Ipv6Addr>().is_ok() => format!("[{name}]").into(),
            Reach::Tls { server_name: Some(name), .. } => (&**name).into(),
            _ => self.upstream.addresses.first().map_or("", |address| address).into(),
        }
    }

    /// A connection that takes a request now.
    pub(super) async fn sender(self: &Arc<Self>) -> Result<Opener, Refuse> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let worker = workers::index();
        let ways = self.ways.get(worker).map(Vec::as_slice).unwrap_or_default();
        let failed_before: Vec<_> = ways.iter().map(|way| way.failed.load(Ordering::Acquire)).collect();
        let mut failed = Vec::new();
        let mut full = false;
        // First whom nothing speaks against, then those that somebody connects to just now; if all rest, whoever comes next.
        for (resting, waiting) in [(false, false), (false, true), (true, true)] {
            for turn in 0..ways.len() {
                let index = (first + turn) % ways.len();
                let Some(way) = ways.get(index) else { continue };
                // Who has failed this call is not tried again for it: another wait for the same answer.
                if failed.contains(&index) {
                    continue;
                }
                let mut place = match Arc::clone(&way.place).try_lock_owned() {
                    Ok(place) => place,
                    Err(_) if waiting => Arc::clone(&way.place).lock_owned().await,
                    Err(_) => continue,
                };
                if place.rests_until.is_some_and(|until| until > Instant::now()) != resting {
                    continue;
                }
                if let Some(link) = place.takes_one() {
                    return Ok(link);
                }
                if place.links.len() >= LINKS_MAX {
                    full = true;
                    continue;
                }
                if failed_before.get(index).is_some_and(|before| *before != way.failed.load(Ordering::Acquire)) {
                    // Whom this call waited for has tried it meanwhile.
                    failed.push(index);
                    continue;
                }
                // A task of its own: where a caller's deadline passes first, what comes of it is known to the next.
                match tokio::spawn(Arc::clone(self).connect_to(worker, index, place)).await {
                    Ok(Some(link)) => return Ok(link),
                    Ok(None) | Err(_) => failed.push(index),
                }
            }
        }
        Err(if full { Refuse::TooMany } else { Refuse::NoUpstream })
    }

    /// Connects to an address, and notes what came of it.
    async fn connect_to(self: Arc<Self>, worker: usize, index: usize, mut place: OwnedMutexGuard<Place>) -> Option<Opener> {
        let (address, way) = (self.upstream.addresses.get(index)?, self.ways.get(worker)?.get(index)?);
        match self.connect(address).await {
            Ok(link) => {
                (place.failures, place.rests_until) = (0, None);
                place.links.push(link.clone());
                Some(link)
            }
            Err(why) => {
                way.failed.fetch_add(1, Ordering::Release);
                place.failures = place.failures.saturating_add(1);
                let rest = REST_MIN.saturating_mul(1 << place.failures.min(10)).min(REST_MAX);
                place.rests_until = Some(Instant::now() + rest);
                tracing::warn!(upstream = %self.upstream.name, %address, why, "an upstream could not be reached");
                None
            }
        }
    }

    async fn connect(&self, address: &str) -> Result<Opener, &'static str> {
        match tokio::time::timeout(CONNECT_MAX, self.connect_within(address)).await {
            Ok(connected) => connected,
            Err(_) => Err("no connection in time"),
        }
    }

    async fn connect_within(&self, address: &str) -> Result<Opener, &'static str> {
        let socket = TcpStream::connect(address).await.map_err(|_| "no connection")?;
        // Small messages go out at once; a failure costs delay, not data.
        let _best_effort = socket.set_nodelay(true);
        let (Some(tls), Reach::Tls { server_name, .. }) = (&self.tls, &self.upstream.reach) else {
            return Ok(self.handshake(socket));
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
        Ok(self.handshake(stream))
    }

    fn handshake<S>(&self, io: S) -> Opener
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = Guarded::new(io, None, self.settings.silence + self.settings.answer_within);
        let (verdict, upstream) = (io.verdict(), Arc::clone(&self.upstream.name));
        let (opener, connection) = http2::client(io, self.settings);
        tokio::spawn(async move {
            let why = match (connection.await, verdict.get()) {
                (_, Some(why)) => why,
                (Reason::ENHANCE_YOUR_CALM, None) => "it asked for too much",
                (reason, None) => return tracing::debug!(?reason, "a connection to an upstream ended"),
            };
            tracing::warn!(%upstream, why, "a connection to an upstream was cut off");
        });
        opener
    }
}
