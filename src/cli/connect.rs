//! The way to a gateway: where it is, who calls, what consents are bound to. Every command that talks to one has these
//! options.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::{CliError, plain};
use crate::gate::identity;
use crate::gate::tls::{ClientTls, PemFiles};
use crate::veil::name::{Origin, Spiffe};

/// Where a gateway listens unless something says otherwise.
const DEFAULT_ADDRESS: &str = "127.0.0.1:7443";
/// Longer than this nobody waits for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a gateway may take to say its first word.
const WELCOME_MAX: Duration = Duration::from_secs(2);
/// How often a silent gateway is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The largest message that is taken: the largest batch a gateway may be told to send, and its frame.
pub(super) const MESSAGE_BYTES_MAX: usize = (256 << 20) + (1 << 20);

/// Where the gateway is, and who calls.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Folder of the gateway, as `twinveil init` makes it: its twinveil.toml says where, its certs/ who you are
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Whose certificate to show: NAME.pem and NAME.key of the certificates
    #[arg(long = "as", value_name = "NAME")]
    pub party: Option<String>,
    /// Where the gateway listens, instead of what the folder says
    #[arg(long, value_name = "HOST:PORT")]
    pub gateway: Option<String>,
    /// Folder of the certificates, instead of DIR/certs
    #[arg(long, value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// The gateway's name, which consents are bound to, instead of what the folder says
    #[arg(long, value_name = "NAME")]
    pub origin: Option<String>,
    /// Plain HTTP/2, for a gateway with `insecure = true` on this machine
    #[arg(long)]
    pub insecure: bool,
}

/// What a client takes from a gateway's configuration. It reads neither keys nor anything that it would have to check.
#[derive(Debug, Default)]
struct Told {
    origin: Option<String>,
    listen: Option<String>,
    insecure: bool,
}

impl Told {
    fn read(file: &Path) -> Result<Self, CliError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(CliError::broken(format!("`{}` can't be read: {}", file.display(), error.kind()))),
        };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().and_then(|span| text.get(..span.start)).map_or(0, |before| before.matches('\n').count()) + 1;
            CliError::broken(format!("`{}`, line {line}: not TOML: {}", file.display(), plain(error.message())))
        })?;
        let text = |key: &str| table.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        Ok(Self {
            origin: text("origin"),
            listen: text("listen"),
            insecure: table.get("insecure").and_then(toml::Value::as_bool) == Some(true),
        })
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
}

impl Address {
    fn parse(text: &str) -> Result<Self, CliError> {
        let bad = || CliError::broken(format!("`{}` is no address; write `HOST:PORT`, such as `{DEFAULT_ADDRESS}`", plain(text)));
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // Whoever listens everywhere also listens here.
        let host = match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() && ip.is_ipv4() => Ipv4Addr::LOCALHOST.to_string(),
            Ok(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
            _ => host.to_owned(),
        };
        let name = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'));
        if name { Ok(Self { host, port }) } else { Err(bad()) }
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

impl Connection {
    fn config_file(&self) -> PathBuf {
        self.dir.join("twinveil.toml")
    }

    /// The gateway's name.
    pub fn origin(&self) -> Result<Origin, CliError> {
        let told = match &self.origin {
            Some(origin) => Some(origin.clone()),
            None => Told::read(&self.config_file())?.origin,
        };
        let missing = || CliError::broken(format!("`{}` names no gateway: say `--dir` or `--origin`", self.config_file().display()));
        told.filter(|origin| !origin.trim().is_empty()).map(Origin::new).ok_or_else(missing)
    }

    /// The PEM files of the party that calls; `default` is who calls unless the command line says.
    fn pem_files(&self, default: Option<&str>) -> Result<(String, PemFiles), CliError> {
        let party =
            self.party.as_deref().or(default).ok_or_else(|| CliError::broken("say who you are: `--as NAME`, such as `--as clinician`"))?;
        if party.is_empty() || party.contains(['/', '\\']) || party.starts_with('.') {
            return Err(CliError::broken(format!("`--as {}`: the name of a party, not of a file", plain(party))));
        }
        let certs = self.certs.clone().unwrap_or_else(|| self.dir.join("certs"));
        let file = |name: &str, ending: &str| certs.join(format!("{name}.{ending}"));
        let files = PemFiles { certificate: file(party, "pem"), private_key: file(party, "key"), peer_ca: file("ca", "pem") };
        for file in [&files.certificate, &files.private_key, &files.peer_ca] {
            if !file.exists() {
                let shown = file.display();
                return Err(CliError::broken(format!(
                    "`{shown}` does not exist: name the folder with `--dir` or `--certs`, and yourself with `--as`"
                )));
            }
        }
        Ok((party.to_owned(), files))
    }

    /// The SPIFFE id of the party that calls, as its certificate says.
    pub fn identity(&self, default: Option<&str>) -> Result<Spiffe, CliError> {
        let (_, files) = self.pem_files(default)?;
        let shown = files.certificate.display();
        let leaf = CertificateDer::from_pem_file(&files.certificate)
            .map_err(|_| CliError::broken(format!("`{shown}`: not a PEM file with a certificate")))?;
        identity::spiffe(&leaf).map_err(|error| CliError::broken(format!("`{shown}`: {error}")))
    }

    /// Connects; what is wrong with address, certificates or handshake is said here.
    pub async fn connect(&self, default: Option<&str>) -> Result<Channel, CliError> {
        let told = Told::read(&self.config_file())?;
        let address = Address::parse(self.gateway.as_deref().or(told.listen.as_deref()).unwrap_or(DEFAULT_ADDRESS))?;
        if address.port == 0 {
            return Err(CliError::broken("the configuration takes any free port: say which it is with `--gateway HOST:PORT`"));
        }
        let insecure = self.insecure || (told.insecure && address.is_loopback());
        if insecure && !address.is_loopback() {
            return Err(CliError::broken(format!("`{address}` is not this machine: `--insecure` would send everything in the clear")));
        }
        let tls = if insecure {
            None
        } else {
            let (party, files) = self.pem_files(default)?;
            let config = ClientTls::load(&files).map_err(CliError::broken)?.config();
            let host = ServerName::try_from(address.host.clone())
                .map_err(|_| CliError::broken(format!("`{address}` has no name that a certificate could have")))?;
            Some(Tls { connector: TlsConnector::from(config), host, party: party.into(), ca: files.peer_ca.display().to_string().into() })
        };
        let scheme = if insecure { "http" } else { "https" };
        let uri: Uri = format!("{scheme}://{address}").parse().map_err(|_| CliError::broken(format!("`{address}` is no address")))?;
        let endpoint = Endpoint::from(uri).connect_timeout(CONNECT_MAX).http2_keep_alive_interval(KEEP_ALIVE).keep_alive_while_idle(true);
        let connector = tower::service_fn(move |_: Uri| {
            let (address, tls) = (address.clone(), tls.clone());
            async move { dial(address, tls).await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(connector).await.map_err(|error| match find::<DialError>(&error) {
            Some(why) => why.to_cli(),
            None => CliError::broken("the gateway can't be reached: it did not answer in time"),
        })
    }
}

/// What TLS needs.
#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    host: ServerName<'static>,
    party: Arc<str>,
    ca: Arc<str>,
}

trait Wire: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Wire for T {}

/// Why there is no connection.
#[derive(Debug)]
enum DialError {
    Unreachable { address: Address, kind: std::io::ErrorKind },
    Refused { party: Arc<str> },
    Untrusted { ca: Arc<str>, why: rustls::CertificateError },
    NoTls { address: Address },
}

impl DialError {
    fn to_cli(&self) -> CliError {
        match self {
            Self::Refused { .. } => CliError::denied(self),
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::NoTls { .. } => CliError::broken(self),
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { address, kind: std::io::ErrorKind::ConnectionRefused } => {
                write!(f, "nobody listens on `{address}`: start the gateway with `twinveil serve`, or name another with `--gateway`")
            }
            Self::Unreachable { address, kind } => write!(f, "`{address}` can't be reached: {kind}: check `--gateway`"),
            Self::Refused { party } => {
                write!(
                    f,
                    "the gateway refused the certificate of `{party}`: its operator issues certificates and adds parties to the configuration"
                )
            }
            // An authority of the same name with another key shows as a bad signature.
            Self::Untrusted { ca, why: rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature } => {
                write!(
                    f,
                    "the gateway's certificate is not from an authority in `{ca}`: name the right certificates with `--certs`, and don't go on if they are"
                )
            }
            Self::Untrusted {
                ca: _,
                why: rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext { .. },
            } => f.write_str("the gateway's certificate is for another host: name the one it is for with `--gateway`"),
            Self::Untrusted { ca: _, why } => write!(f, "the gateway's certificate is not good: {why}: its operator has to renew it"),
            Self::NoTls { address } => {
                write!(f, "`{address}` hangs up or does not speak TLS: use `--insecure` for a gateway with `insecure = true`")
            }
        }
    }
}

impl Error for DialError {}

async fn dial(address: Address, tls: Option<Tls>) -> Result<Box<dyn Wire + Send + Unpin>, DialError> {
    let unreachable = |error: std::io::Error| DialError::Unreachable { address: address.clone(), kind: error.kind() };
    let socket = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    // Small messages go out at once; a failure costs delay, not data.
    let _best_effort = socket.set_nodelay(true);
    let Some(Tls { connector, host, party, ca }) = tls else { return Ok(Box::new(socket)) };
    match connector.connect(host, socket).await {
        Ok(stream) => welcome(stream, party).await,
        Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => DialError::Untrusted { ca, why: why.clone() },
            Some(rustls::Error::AlertReceived(_)) => DialError::Refused { party },
            // Whatever is no gateway answers with something else, or hangs up.
            Some(_) | None => DialError::NoTls { address },
        }),
    }
}

/// With TLS 1.3 a client's certificate is judged after the client's part of the handshake is done. A gateway that takes it speaks
/// first (RFC 9113 §3.4); one that does not closes. Whoever does neither may be a proxy that waits for the client.
async fn welcome(stream: TlsStream<TcpStream>, party: Arc<str>) -> Result<Box<dyn Wire + Send + Unpin>, DialError> {
    let mut stream = BufReader::new(stream);
    match tokio::time::timeout(WELCOME_MAX, stream.fill_buf()).await {
        Ok(Ok([])) | Ok(Err(_)) => Err(DialError::Refused { party }),
        Ok(Ok(_)) | Err(_) => Ok(Box::new(stream)),
    }
}

/// The first error of that kind in the chain.
fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inside = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()).and_then(|inner| inner.downcast_ref::<E>());
        if let Some(found) = error.downcast_ref::<E>().or(inside) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What a status means for whoever called: a gateway that says no gives a code; everything else is trouble on the way.
pub(super) fn refused(status: &tonic::Status) -> CliError {
    let message = plain(status.message());
    if message.starts_with("TV-") {
        return match status.code() {
            tonic::Code::Unavailable | tonic::Code::Internal | tonic::Code::Unknown => CliError::broken(message),
            _ => CliError::denied(message),
        };
    }
    match status.code() {
        tonic::Code::Unimplemented => CliError::broken("whatever listens there is no gateway, or an older one: check `--gateway`"),
        tonic::Code::OutOfRange => CliError::broken("the gateway sent a message that is larger than this program takes"),
        _ => CliError::broken("the connection to the gateway broke: it was stopped, the network failed, or only one side speaks TLS"),
    }
}

/// The code that a gateway's refusal begins with.
pub(super) fn code(status: &tonic::Status) -> &str {
    status.message().split(':').next().filter(|code| code.starts_with("TV-")).unwrap_or_default()
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
