//! `twinveil certs`: certificates to develop with. Never for production: the authority's key lies beside what it signs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};

use super::{CliError, say};
use crate::veil::name::Spiffe;

/// What every file and every certificate says about itself.
const MARK: &str = "development only";

/// Make a development authority, a server certificate and one client certificate per party.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil certs --dir certs --party hospital=spiffe://example.org/source/hospital
  twinveil certs --dir certs --server spiffe://ward.example.org/gateway \\
      --party nurse=spiffe://ward.example.org/nurse

The files are for development only: they are valid for a year, for localhost, 127.0.0.1 and ::1, and the key of the \
authority lies beside them. Nothing is overwritten.")]
pub struct Args {
    /// Folder for the files; made where it does not exist
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// SPIFFE id of the server
    #[arg(long, value_name = "SPIFFE", default_value = "spiffe://example.org/gateway")]
    pub server: String,
    /// A party: its file name and its SPIFFE id; may be repeated
    #[arg(long = "party", value_name = "NAME=SPIFFE", value_parser = parse_party)]
    pub parties: Vec<(String, Spiffe)>,
}

/// Reads `name=spiffe://…`. The name becomes a file name, so it is letters, digits, `.`, `_`, `-` and doesn't begin with a dot.
fn parse_party(text: &str) -> Result<(String, Spiffe), String> {
    let (name, id) = text.split_once('=').ok_or("must be `NAME=spiffe://trust-domain/path`")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(format!("`{}`: a name is 1 to 64 letters, digits, `.`, `_` or `-`", name.escape_debug()));
    }
    if name == "ca" || name == "server" {
        return Err(format!("`{name}`: taken by the files of the gateway; choose another name"));
    }
    Ok((name.to_owned(), Spiffe::parse(id).map_err(|bad| format!("`{}`: {bad}", id.escape_debug()))?))
}

/// Makes the files and says which.
pub fn run(args: Args) -> Result<(), CliError> {
    let server =
        Spiffe::parse(&args.server).map_err(|bad| CliError::broken(format!("`--server {}`: {bad}", args.server.escape_debug())))?;
    let files = write(&args.dir, &server, &args.parties)?;
    for file in &files {
        say(file.display())?;
    }
    say(format_args!("{} files, {MARK}: valid for a year, on this machine", files.len()))
}

/// Writes the authority, the server's and the parties' certificates and keys; none where one of the files exists.
pub(super) fn write(dir: &Path, server: &Spiffe, parties: &[(String, Spiffe)]) -> Result<Vec<PathBuf>, CliError> {
    let names = ["ca", "server"].into_iter().chain(parties.iter().map(|(name, _)| name.as_str()));
    for file in names.flat_map(|name| [dir.join(format!("{name}.pem")), dir.join(format!("{name}.key"))]) {
        if file.exists() {
            return Err(CliError::broken(format!(
                "`{}` exists and is not overwritten; delete it or choose another `--dir`",
                file.display()
            )));
        }
    }
    std::fs::create_dir_all(dir).map_err(|error| CliError::broken(format!("`{}` can't be made: {}", dir.display(), error.kind())))?;

    let yesterday = yesterday()?;
    let made = |error: rcgen::Error| CliError::broken(format!("a certificate can't be made: {error}"));
    let mut params = dated(&format!("Twinveil authority, {MARK}"), yesterday);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().map_err(made)?).map_err(made)?;
    let mut files = pair(dir, "ca", &ca.pem(), ca.key())?;

    let leaf = |name: &str, id: &Spiffe, hosts: Vec<SanType>, usage: ExtendedKeyUsagePurpose| {
        let mut params = dated(&format!("{name}, {MARK}"), yesterday);
        params.subject_alt_names = hosts;
        params.subject_alt_names.push(SanType::URI(id.as_str().try_into()?));
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &ca)?.pem(), key))
    };
    let hosts = vec![
        SanType::DnsName("localhost".try_into().map_err(made)?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let (pem, key) = leaf("server", server, hosts, ExtendedKeyUsagePurpose::ServerAuth).map_err(made)?;
    files.extend(pair(dir, "server", &pem, &key)?);
    for (name, id) in parties {
        let (pem, key) = leaf(name, id, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth).map_err(made)?;
        files.extend(pair(dir, name, &pem, &key)?);
    }
    Ok(files)
}

/// From yesterday, for clocks that lag, to the same month and day of next year.
fn dated(name: &str, yesterday: jiff::civil::Date) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, MARK);
    let (month, day) = (yesterday.month().unsigned_abs(), yesterday.day().unsigned_abs());
    params.not_before = date_time_ymd(yesterday.year().into(), month, day);
    // 29 February has no next year's twin.
    params.not_after = date_time_ymd(i32::from(yesterday.year()) + 1, month, day.min(28));
    params
}

fn yesterday() -> Result<jiff::civil::Date, CliError> {
    let now = super::now()?;
    let now =
        jiff::Timestamp::from_millisecond(now.0).map_err(|_| CliError::broken(format!("the clock of this machine says {now}: set it")))?;
    let today = jiff::tz::Offset::UTC.to_datetime(now).date();
    Ok(today.yesterday().unwrap_or(today))
}

fn pair(dir: &Path, name: &str, certificate: &str, key: &KeyPair) -> Result<Vec<PathBuf>, CliError> {
    let (pem, key_file) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    // Text before the first BEGIN is commentary (RFC 7468 §5.2).
    create(&pem, format!("{name}: {MARK}\n{certificate}").as_bytes(), 0o644)?;
    create(&key_file, format!("{name}: {MARK}\n{}", key.serialize_pem()).as_bytes(), 0o600)?;
    Ok(vec![pem, key_file])
}

/// Writes a new file with the given mode; an existing one is refused, also where it appeared a moment ago.
pub(super) fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), CliError> {
    new_file(path, mode)
        .and_then(|mut file| file.write_all(content))
        .map_err(|error| CliError::broken(format!("`{}` can't be written: {}", path.display(), error.kind())))
}

/// The same before anything is in it.
pub(super) fn new_file(path: &Path, mode: u32) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{identity, tls};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, HandshakeKind, ServerConfig, ServerConnection};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("twinveil-certs-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    fn make(dir: &Path) -> Result<Vec<PathBuf>, CliError> {
        let hospital = parse_party("hospital=spiffe://example.org/source/hospital").expect("party");
        write(dir, &Spiffe::parse("spiffe://example.org/gateway").expect("id"), &[hospital])
    }

    fn files(dir: &Path, own: &str, ca: &str) -> tls::PemFiles {
        tls::PemFiles {
            certificate: dir.join(format!("{own}.pem")),
            private_key: dir.join(format!("{own}.key")),
            peer_ca: dir.join(format!("{ca}.pem")),
        }
    }

    /// A handshake in memory, and what the server has to say right after it; the server's end.
    fn meet(server: Arc<ServerConfig>, client: Arc<ClientConfig>, host: &str) -> Result<ServerConnection, rustls::Error> {
        let mut server = ServerConnection::new(server)?;
        let mut client = rustls::ClientConnection::new(client, ServerName::try_from(host.to_owned()).expect("host"))?;
        while server.is_handshaking() || client.is_handshaking() || server.wants_write() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).expect("memory");
            // Nothing to read would be the end of the connection.
            if !wire.is_empty() {
                server.read_tls(&mut &wire[..]).expect("memory");
            }
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).expect("memory");
            client.read_tls(&mut &wire[..]).expect("memory");
            client.process_new_packets()?;
        }
        Ok(server)
    }

    /// The client's id as the server reads it.
    fn handshake(server: &tls::PemFiles, client: &tls::PemFiles, host: &str) -> Result<Spiffe, rustls::Error> {
        let client = tls::ClientTls::load(client).expect("client").config();
        let server = meet(tls::server(server).expect("server"), client, host)?;
        assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
        Ok(identity::spiffe(&server.peer_certificates().expect("required")[0]).expect("one SPIFFE id"))
    }

    #[test]
    fn a_caller_who_comes_again_shows_the_certificate_again() {
        let dir = folder("again");
        make(&dir).expect("made");
        let own = tls::server(&files(&dir, "server", "ca")).expect("server");
        let client = tls::ClientTls::load(&files(&dir, "hospital", "ca")).expect("client").config();
        for _ in 0..3 {
            let server = meet(Arc::clone(&own), Arc::clone(&client), "localhost").expect("handshake");
            assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        }
        // The same client is one that a server with tickets would know again.
        let mut lax = (*own).clone();
        lax.send_tls13_tickets = 2;
        lax.session_storage = rustls::server::ServerSessionMemoryCache::new(8);
        let (lax, mut kinds) = (Arc::new(lax), Vec::new());
        for _ in 0..2 {
            kinds.push(meet(Arc::clone(&lax), Arc::clone(&client), "localhost").expect("handshake").handshake_kind());
        }
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn both_ends_meet_with_the_files_and_the_gateway_knows_who_called() {
        let dir = folder("meet");
        make(&dir).expect("made");
        for host in ["localhost", "127.0.0.1", "::1"] {
            let id = handshake(&files(&dir, "server", "ca"), &files(&dir, "hospital", "ca"), host).expect("handshake");
            assert_eq!(id.as_str(), "spiffe://example.org/source/hospital");
        }
        assert!(handshake(&files(&dir, "server", "ca"), &files(&dir, "hospital", "ca"), "example.org").is_err());
        let own = CertificateDer::from_pem_file(dir.join("server.pem")).expect("pem");
        assert_eq!(identity::spiffe(&own).expect("own id").as_str(), "spiffe://example.org/gateway");
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn a_certificate_of_another_authority_is_refused() {
        let (ours, theirs) = (folder("ours"), folder("theirs"));
        make(&ours).expect("made");
        make(&theirs).expect("made");
        let mut stranger = files(&theirs, "hospital", "ca");
        stranger.peer_ca = ours.join("ca.pem");
        assert!(handshake(&files(&ours, "server", "ca"), &stranger, "localhost").is_err());
        std::fs::remove_dir_all(&ours).expect("clean");
        std::fs::remove_dir_all(&theirs).expect("clean");
    }

    #[test]
    fn a_server_certificate_is_no_client_certificate() {
        let dir = folder("usage");
        make(&dir).expect("made");
        assert!(handshake(&files(&dir, "server", "ca"), &files(&dir, "server", "ca"), "localhost").is_err());
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn keys_are_the_owners_alone_and_every_file_is_marked() {
        let dir = folder("modes");
        make(&dir).expect("made");
        for name in ["ca", "server", "hospital"] {
            let key = dir.join(format!("{name}.key"));
            assert_eq!(std::fs::metadata(&key).expect("key").permissions().mode() & 0o777, 0o600);
            for file in [key, dir.join(format!("{name}.pem"))] {
                assert!(std::fs::read_to_string(file).expect("text").contains(MARK));
            }
        }
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_half_made() {
        let dir = folder("again");
        std::fs::create_dir_all(&dir).expect("folder");
        std::fs::write(dir.join("hospital.key"), "mine").expect("file");
        let error = make(&dir).expect_err("exists");
        assert!(error.to_string().contains("hospital.key` exists and is not overwritten"), "{error}");
        assert_eq!(std::fs::read_dir(&dir).expect("folder").count(), 1);
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn a_party_that_is_no_file_name_or_no_id_is_refused() {
        for bad in [
            "hospital",
            "=spiffe://a/b",
            "../x=spiffe://a/b",
            ".x=spiffe://a/b",
            "ca=spiffe://a/b",
            "server=spiffe://a/b",
            "x=https://a/b",
            "a b=spiffe://a/b",
        ] {
            assert!(parse_party(bad).is_err(), "{bad}");
        }
    }
}
