//! A whole gateway in the test's own process: made by `twinveil init`, on free ports, behind mutual TLS, with wallets, sources
//! and recipients that talk to it as anybody's would. Every wait has an end and says what it waited for.

pub(crate) mod child;
#[cfg(target_os = "linux")]
pub(crate) mod disk;
pub(crate) mod front;
mod people;
pub(crate) mod recompute;
mod streams;
pub(crate) mod ward;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use twinveil::cli::init;
use twinveil::config::{Config, Entry, read_key};
use twinveil::gate::tls::{ClientTls, PemFiles};
use twinveil::proto::v1::consents_client::ConsentsClient;
use twinveil::server::{Gateway, Reloader, Sockets, StartError};
use twinveil::stop::{Stopper, stop};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::name::{Origin, Spiffe, UnixMs};
use twinveil::world::Clock;

pub(crate) use people::{Given, forbid, permit, permit_all, permit_category, sealed_for_recipient};
pub(crate) use streams::{Ask, NO_ROOM, Source, Sub, acks, end_of, filled, prefixed, raw_call, status_of};

/// Nothing in a test takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The name in the sample configuration.
pub(crate) const ORIGIN: &str = "gateway.example.org/twins";
pub(crate) const PATIENT: &str = "twinveil.sample.PatientFrame";
pub(crate) const TURBINE: &str = "twinveil.sample.TurbineFrame";

/// Waits, for a bounded time, and says for what.
pub(crate) async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(done) => done,
        Err(_) => panic!("waited {} s for {what}", PATIENCE.as_secs()),
    }
}

/// Asks again and again until it is so.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// A folder that ends with the test, and with the last test what it was copied from.
#[derive(Debug)]
pub(crate) struct Folder(pub PathBuf, Option<Arc<Folder>>);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("twinveil-it-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path, None)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An address where nobody listens, nor can anybody else as long as the socket is held.
pub(crate) fn unheard() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Two folders as `twinveil init` makes them, once for all tests that run together: `own`, which gateways are started from, and
/// `strangers`.
fn made() -> Arc<Folder> {
    static MADE: Mutex<Weak<Folder>> = Mutex::new(Weak::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.upgrade().unwrap_or_else(|| {
        let both = Arc::new(Folder::new());
        for name in ["own", "strangers"] {
            init::fill_folder(&both.join(name)).unwrap();
        }
        *made = Arc::downgrade(&both);
        both
    })
}

/// The folder of somebody else's gateway.
pub(crate) fn strangers_folder() -> Folder {
    copied("strangers")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A fresh folder with everything that a gateway needs.
pub(crate) fn made_folder() -> Folder {
    copied("own")
}

fn copied(name: &str) -> Folder {
    let (made, mut folder) = (made(), Folder::new());
    copy(&made.join(name), &folder.0);
    folder.1 = Some(made);
    folder
}

/// One gateway and everybody around it.
pub(crate) struct World {
    pub folder: Folder,
    pub clock: Arc<Clock>,
    pub gate: SocketAddr,
    pub health: SocketAddr,
    serving: Option<(Stopper, JoinHandle<()>)>,
    reloader: Option<Arc<Reloader>>,
    portal: Channel,
}

impl World {
    /// A gateway with the sample configuration.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// The sample configuration with these lines behind it.
    pub(crate) async fn with(lines: &str) -> Self {
        let folder = made_folder();
        let file = folder.join("twinveil.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}\n{lines}\n")).unwrap();
        Self::at(folder, Arc::new(Clock::new())).await.expect("the sample configuration starts")
    }

    /// The sample configuration, and a clock that stands at half past: no hour ends before a test says so.
    pub(crate) async fn in_mid_hour() -> Self {
        const HOUR_MS: i64 = 3_600_000;
        let clock = Arc::new(Clock::new());
        let past = clock.now().expect("the test's clock is right").0.rem_euclid(HOUR_MS);
        clock.shift((HOUR_MS / 2 - past).rem_euclid(HOUR_MS));
        Self::at(made_folder(), clock).await.expect("the sample configuration starts")
    }

    /// A gateway on a folder that is there.
    pub(crate) async fn at(folder: Folder, clock: Arc<Clock>) -> Result<Self, StartError> {
        let gateway = open(&folder, &clock).await?;
        let plain = matches!(load(&folder).entry, Entry::Insecure(_));
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let sockets = Sockets { gate: bind().await.unwrap(), health: bind().await.unwrap() };
        let (gate, health) = (sockets.gate.local_addr().unwrap(), sockets.health.local_addr().unwrap());
        let (stopper, stop) = stop();
        let file = folder.join("twinveil.toml");
        let reloader = Some(Arc::new(gateway.reloader(move || Config::load_with(&file, |_| None))));
        let serving = Some((stopper, tokio::spawn(gateway.serve(sockets, stop))));
        let portal = match plain {
            // Every caller is one party there, and that one hands nothing in.
            true => Endpoint::from_shared(format!("http://{gate}")).unwrap().connect_lazy(),
            false => channel(gate, &pem_files(&folder.0, "portal")).await.expect("the portal connects"),
        };
        Ok(Self { folder, clock, gate, health, serving, reloader, portal })
    }

    /// The people and parties around a gateway that serves a folder elsewhere.
    async fn around(folder: Folder, gate: SocketAddr, health: SocketAddr) -> Self {
        let portal = channel(gate, &pem_files(&folder.0, "portal")).await.expect("the portal connects");
        Self { folder, clock: Arc::default(), gate, health, serving: None, reloader: None, portal }
    }

    /// Stops as an operator would, and waits until it has.
    pub(crate) async fn stop(mut self) -> (Folder, Arc<Clock>) {
        self.stop_serving().await;
        let folder = std::mem::replace(&mut self.folder, Folder::new());
        (folder, Arc::clone(&self.clock))
    }

    /// As [`Self::stop`], for tests that watch what happens meanwhile.
    pub(crate) async fn stop_serving(&mut self) {
        let (stopper, serving) = self.serving.take().expect("serving");
        // It holds a share of the store.
        self.reloader = None;
        stopper.stop();
        soon("the gateway to stop", serving).await.expect("it stops without a panic");
    }

    /// Stops and starts again on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let (folder, clock) = self.stop().await;
        Self::at(folder, clock).await.expect("what was written starts again")
    }

    /// Puts what the folder says now in the place of what is served.
    pub(crate) async fn reload(&self) -> Result<(), StartError> {
        let reloader = self.reloader();
        soon("a reload", tokio::task::spawn_blocking(move || reloader.reload())).await.expect("no panic")
    }

    pub(crate) fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(self.reloader.as_ref().expect("serving"))
    }

    /// Changes a file of the folder.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.folder.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = change(text.clone());
        assert_ne!(changed, text, "nothing to change in {name}");
        std::fs::write(path, changed).unwrap();
    }

    pub(crate) fn now(&self) -> UnixMs {
        self.clock.now().expect("the test's clock is right")
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin::new(ORIGIN)
    }

    /// The name in a party's certificate.
    pub(crate) fn spiffe(&self, party: &str) -> Spiffe {
        load(&self.folder).party_named(party).expect("a party of the sample").spiffe.clone()
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self, party: &str) -> Channel {
        channel(self.gate, &pem_files(&self.folder.0, party)).await.expect("a party connects")
    }

    /// A connection with the smallest windows: what is not read stays at the gateway.
    pub(crate) async fn narrow_channel(&self, party: &str) -> Channel {
        let narrow = |endpoint: Endpoint| endpoint.initial_stream_window_size(16_384).initial_connection_window_size(65_535);
        channel_with(self.gate, &pem_files(&self.folder.0, party), narrow).await.expect("a party connects")
    }

    /// Where wallets hand in what they sign.
    pub(crate) fn consents(&self) -> ConsentsClient<Channel> {
        ConsentsClient::new(self.portal.clone())
    }

    /// A key in the folder.
    pub(crate) fn key(&self, name: &str) -> Secret<32> {
        read_key(name, &self.folder.join(&format!("keys/{name}.key"))).unwrap()
    }

    /// One answer of the health port.
    pub(crate) async fn http(&self, path: &str) -> String {
        let (headers, body) = self.http_bytes(path).await;
        format!("{headers}\r\n\r\n{}", String::from_utf8(body).unwrap())
    }

    /// The same in two parts.
    pub(crate) async fn http_bytes(&self, path: &str) -> (String, Vec<u8>) {
        let (health, path) = (self.health, path.to_owned());
        let asking = tokio::task::spawn_blocking(move || {
            let mut socket = std::net::TcpStream::connect(health).unwrap();
            write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).unwrap();
            let at = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("headers");
            let body = answer.split_off(at + 4);
            answer.truncate(at);
            (String::from_utf8(answer).unwrap(), body)
        });
        soon("an answer of the health port", asking).await.unwrap()
    }

    /// One number of the metrics.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.http("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("no metric `{name}`"));
        line.parse().unwrap()
    }

    /// Waits until a number of the metrics has begun to grow and grows no more: as often as it is looked at, for a while.
    pub(crate) async fn settled(&self, name: &str) -> u64 {
        const ALIKE: u32 = 10;
        let (mut before, mut alike) = (0, 0);
        eventually(&format!("`{name}` to grow no more"), async || {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = self.metric(name).await;
            alike = if std::mem::replace(&mut before, now) == now { alike + 1 } else { 0 };
            (now > 0 && alike == ALIKE).then_some(now)
        })
        .await
    }

    /// Waits until no stream of a recipient is open.
    pub(crate) async fn no_stream_left(&self) {
        eventually("the last stream to be closed", async || {
            let opened = self.metric("twinveil_streams_opened_total").await;
            (opened == self.metric("twinveil_streams_closed_total").await).then_some(())
        })
        .await;
    }
}

fn load(folder: &Folder) -> Config {
    Config::load_with(&folder.join("twinveil.toml"), |_| None).expect("a checked configuration")
}

/// Opens; a gateway that has just stopped may hold the folder a moment longer.
async fn open(folder: &Folder, clock: &Arc<Clock>) -> Result<Gateway, StartError> {
    let mut tries = 0;
    loop {
        match Gateway::open(load(folder), Arc::clone(clock)) {
            Err(error) if matches!(error.code(), "TV-D01" | "TV-M10") && tries < 100 => tries += 1,
            answer => return answer,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The certificate and key of a party, and whom it believes.
pub(crate) fn pem_files(folder: &Path, party: &str) -> PemFiles {
    let certs = folder.join("certs");
    PemFiles {
        certificate: certs.join(format!("{party}.pem")),
        private_key: certs.join(format!("{party}.key")),
        peer_ca: certs.join("ca.pem"),
    }
}

/// Connects with a certificate.
pub(crate) async fn channel(gate: SocketAddr, files: &PemFiles) -> Result<Channel, tonic::transport::Error> {
    channel_with(gate, files, |endpoint| endpoint).await
}

async fn channel_with(
    gate: SocketAddr,
    files: &PemFiles,
    shape: impl FnOnce(Endpoint) -> Endpoint,
) -> Result<Channel, tonic::transport::Error> {
    let tls = TlsConnector::from(ClientTls::load(files).unwrap().config());
    let connector = tower::service_fn(move |_: Uri| {
        let tls = tls.clone();
        async move {
            let socket = TcpStream::connect(gate).await?;
            socket.set_nodelay(true)?;
            let stream = tls.connect(ServerName::try_from("localhost").expect("a name"), socket).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    let endpoint = shape(Endpoint::from_shared(format!("https://localhost:{}", gate.port())).unwrap());
    soon("a connection to the gateway", endpoint.connect_with_connector(connector)).await
}
