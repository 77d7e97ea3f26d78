//! Mutual TLS for both ends: TLS 1.3 and 1.2, HTTP/2 only, every caller with a certificate.
//!
//! The cryptography is aws-lc-rs and is named at every builder: nothing is installed for the whole process, and nothing
//! that another crate installs is picked up.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// The most plaintext that waits inside TLS for the socket. What the barrier of a withdrawal can't call back is at most
/// these bytes, so the writer sets it on every connection with [`bound_send_buffer`].
pub const SEND_BUFFER_BYTES_MAX: usize = 16 * 1024;

const ALPN_H2: &[u8] = b"h2";
/// What browsers without HTTP/2 ask for.
pub(super) const ALPN_HTTP1: &[u8] = b"http/1.1";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// The PEM files of one end.
#[derive(Clone, Debug)]
pub struct PemFiles {
    /// The end's own certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// The authorities that sign the certificates of the other end.
    pub peer_ca: PathBuf,
}

/// Why TLS can't be set up. It is the move of whoever named the files.
#[derive(Debug)]
pub struct TlsError {
    file: PathBuf,
    why: String,
}

impl TlsError {
    fn new(file: &Path, why: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), why: why.to_string() }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.file.display(), self.why)
    }
}

impl std::error::Error for TlsError {}

/// The server's end: a client without a certificate from `peer_ca` is refused in the handshake.
pub fn server(files: &PemFiles) -> Result<Arc<ServerConfig>, TlsError> {
    server_with(files, false)
}

/// As [`server`], and where `web`, for browsers: HTTP/1.1 is spoken, too, and a client may come without a certificate, which is how
/// browsers ask whether a page may call. A certificate that is shown has to be good.
pub fn server_with(files: &PemFiles, web: bool) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&files.peer_ca)?, provider.clone());
    let verifier =
        if web { verifier.allow_unauthenticated() } else { verifier }.build().map_err(|error| TlsError::new(&files.peer_ca, error))?;
    let (chain, key) = own(files)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&VERSIONS)
        .map_err(|error| TlsError::new(&files.certificate, error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::new(&files.certificate, error))?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    if web {
        config.alpn_protocols.push(ALPN_HTTP1.to_vec());
    }
    // A resumed session would skip the check of the client's certificate, also after it expired.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Keeps what waits inside TLS within [`SEND_BUFFER_BYTES_MAX`].
pub fn bound_send_buffer(connection: &mut rustls::ServerConnection) {
    connection.set_buffer_limit(Some(SEND_BUFFER_BYTES_MAX));
}

/// A client's end: its own certificate, and the authorities it believes.
#[derive(Clone, Debug)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Reads the files.
    pub fn load(files: &PemFiles) -> Result<Self, TlsError> {
        let (chain, key) = own(files)?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&VERSIONS)
            .map_err(|error| TlsError::new(&files.certificate, error))?
            .with_root_certificates(roots(&files.peer_ca)?)
            .with_client_auth_cert(chain, key)
            .map_err(|error| TlsError::new(&files.certificate, error))?;
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// For the connector.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| TlsError::new(path, format!("not a PEM file with certificates: {error}")))?;
    if chain.is_empty() { Err(TlsError::new(path, "no certificate in it")) } else { Ok(chain) }
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::new(path, error))?;
    }
    Ok(Arc::new(roots))
}

fn own(files: &PemFiles) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    // A PEM error may quote its input, and the input is a key: only the kind of trouble is told.
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .map_err(|_| TlsError::new(&files.private_key, "not a readable PEM file with a private key"))?;
    Ok((certificates(&files.certificate)?, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_empty_is_named() {
        let folder = std::env::temp_dir().join(format!("twinveil-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let empty = folder.join("empty.pem");
        std::fs::write(&empty, "nothing here\n").expect("file");
        let files = PemFiles { certificate: empty.clone(), private_key: empty.clone(), peer_ca: empty.clone() };
        let missing = PemFiles { peer_ca: folder.join("missing.pem"), ..files.clone() };
        assert_eq!(server(&files).expect_err("empty").to_string(), format!("`{}`: no certificate in it", empty.display()));
        assert!(server(&missing).expect_err("missing").to_string().contains("missing.pem`: not a PEM file"));
        assert_eq!(
            ClientTls::load(&files).expect_err("no key").to_string(),
            format!("`{}`: not a readable PEM file with a private key", empty.display())
        );
        std::fs::remove_dir_all(&folder).expect("clean");
    }

    #[test]
    fn files_that_do_not_belong_together_or_hold_something_else_start_nothing() {
        let folder = std::env::temp_dir().join(format!("twinveil-tls-parts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("file");
            path
        };
        let made = |name: &str| {
            let key = rcgen::KeyPair::generate().expect("key");
            let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("certificate");
            (file(&format!("{name}.pem"), &certificate.pem()), file(&format!("{name}.key"), &key.serialize_pem()))
        };
        let ((mine, key), (_, others)) = (made("mine"), made("others"));
        let empty = file("empty.pem", "");
        let bent = file("bent.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
        let good = PemFiles { certificate: mine.clone(), private_key: key, peer_ca: mine.clone() };
        assert!(server(&good).is_ok() && ClientTls::load(&good).is_ok());
        for (files, named) in [
            (PemFiles { private_key: others, ..good.clone() }, &mine),
            (PemFiles { private_key: empty.clone(), ..good.clone() }, &empty),
            (PemFiles { certificate: empty.clone(), ..good.clone() }, &empty),
            (PemFiles { peer_ca: empty.clone(), ..good.clone() }, &empty),
            (PemFiles { peer_ca: bent.clone(), ..good.clone() }, &bent),
        ] {
            let found = [server(&files).err(), ClientTls::load(&files).err()].map(|error| error.expect("refused").to_string());
            let told = format!("`{}`: ", named.display());
            assert!(found.iter().all(|error| error.starts_with(&told)), "{found:?} do not name {told}");
        }
        std::fs::remove_dir_all(&folder).expect("clean");
    }
}
