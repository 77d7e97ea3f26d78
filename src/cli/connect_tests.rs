use super::*;
use crate::cli::certs;

fn folder(name: &str, config: Option<&str>) -> PathBuf {
    let path = std::env::temp_dir().join(format!("twinveil-connect-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("folder");
    if let Some(config) = config {
        std::fs::write(path.join("twinveil.toml"), config).expect("file");
    }
    path
}

/// A connection whose folder goes away with the test.
struct Tidy(Connection);

impl std::ops::Deref for Tidy {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl std::ops::DerefMut for Tidy {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Drop for Tidy {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_dir_all(&self.0.dir);
    }
}

fn connection(dir: PathBuf) -> Tidy {
    Tidy(Connection { dir, party: None, gateway: None, certs: None, origin: None, insecure: false })
}

fn fails(connection: &Connection) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(connection.connect(Some("portal"))).expect_err("no connection").to_string()
}

#[test]
fn an_address_is_a_host_and_a_port() {
    for (text, host, shown) in [
        ("127.0.0.1:7443", "127.0.0.1", "127.0.0.1:7443"),
        ("[::1]:7443", "::1", "[::1]:7443"),
        ("0.0.0.0:7443", "127.0.0.1", "127.0.0.1:7443"),
        ("[::]:7443", "::1", "[::1]:7443"),
        ("gateway.example.org:7443", "gateway.example.org", "gateway.example.org:7443"),
    ] {
        let address = Address::parse(text).expect(text);
        assert_eq!((address.host.as_str(), address.to_string().as_str()), (host, shown));
    }
    for bad in ["", "7443", ":7443", "host:", "host:70000", "a b:1", "http://a:1"] {
        assert!(Address::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_origin_comes_from_the_folder_or_the_command_line() {
    let mut to = connection(folder("origin", Some("origin = \"log.example/a\"\n[keys]\nsign = \"unreadable\"\n")));
    assert_eq!(to.origin().expect("told").as_str(), "log.example/a");
    to.origin = Some("log.example/b".into());
    assert_eq!(to.origin().expect("said").as_str(), "log.example/b");
    let nowhere = connection(folder("no-origin", None)).origin().expect_err("nobody says");
    assert!(nowhere.to_string().ends_with("names no gateway: say `--dir` or `--origin`"), "{nowhere}");
}

#[test]
fn what_is_missing_is_named_before_anything_is_sent() {
    let mut to = connection(folder("missing", Some("listen = \"127.0.0.1:0\"")));
    assert!(fails(&to).contains("takes any free port"));
    to.gateway = Some("127.0.0.1:1".into());
    assert!(fails(&to).contains("portal.pem` does not exist"), "{}", fails(&to));
    to.party = Some("../x".into());
    assert!(fails(&to).contains("the name of a party"));
    to.insecure = true;
    to.gateway = Some("192.0.2.1:1".into());
    assert!(fails(&to).contains("in the clear"));
    std::fs::write(to.dir.join("twinveil.toml"), "origin = \n").expect("file");
    assert!(fails(&to).contains("line 1: not TOML"), "{}", fails(&to));
}

#[test]
fn where_nobody_listens_it_is_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let mut to = connection(folder("nobody", None));
    to.insecure = true;
    to.gateway = Some(address.to_string());
    assert_eq!(
        fails(&to),
        format!("nobody listens on `{address}`: start the gateway with `twinveil serve`, or name another with `--gateway`")
    );
}

#[test]
fn a_server_that_speaks_no_tls_or_is_of_another_authority_is_not_talked_to() {
    let dir = folder("tls", None);
    let made = |certs: &Path| {
        let party = ("portal".to_owned(), Spiffe::parse("spiffe://example.org/portal").expect("id"));
        certs::write(certs, &Spiffe::parse("spiffe://example.org/gateway").expect("id"), &[party]).expect("made")
    };
    made(&dir.join("certs"));
    made(&dir.join("other"));

    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let mut to = connection(dir.clone());
    to.gateway = Some(deaf.local_addr().expect("address").to_string());
    let server = std::thread::spawn(move || {
        use std::io::Write;
        let (mut socket, _) = deaf.accept().expect("client");
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("written");
    });
    let error = fails(&to);
    assert!(error.contains("hangs up or does not speak TLS"), "{error}");
    server.join().expect("server");

    // Its own certificate from another authority; then ours, but it trusts the other authority's clients only.
    for (own, peers, says) in
        [("other", "certs", "is not from an authority in"), ("certs", "other", "the gateway refused the certificate of `portal`")]
    {
        let file = |folder: &str, name: &str| dir.join(folder).join(name);
        let files = PemFiles { certificate: file(own, "server.pem"), private_key: file(own, "server.key"), peer_ca: file(peers, "ca.pem") };
        let config = crate::gate::tls::server(&files).expect("server");
        let other = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        to.gateway = Some(other.local_addr().expect("address").to_string());
        let server = std::thread::spawn(move || {
            let (mut socket, _) = other.accept().expect("client");
            let mut connection = rustls::ServerConnection::new(config).expect("server");
            // It ends in the middle, on one side or the other: that is what the test is about.
            while connection.complete_io(&mut socket).is_ok() && connection.is_handshaking() {}
        });
        let error = fails(&to);
        assert!(error.contains(says), "{error}");
        server.join().expect("server");
    }
    std::fs::remove_dir_all(&dir).expect("clean");
}

#[test]
fn a_refusal_with_a_code_is_a_denial_and_trouble_is_not() {
    use tonic::{Code, Status};
    for (status, denied) in [
        (Status::new(Code::PermissionDenied, "TV-G03: your party may not do this"), true),
        (Status::new(Code::InvalidArgument, "TV-C07: `rules` is not a list"), true),
        (Status::new(Code::Unavailable, "TV-G17: the gateway can't reach its store"), false),
        (Status::new(Code::PermissionDenied, "a proxy says no"), false),
        (Status::new(Code::Unavailable, "transport error"), false),
    ] {
        let expected = if denied { CliError::denied(status.message()) } else { CliError::broken("x") };
        assert_eq!(refused(&status).code(), expected.code(), "{status:?}");
    }
    assert_eq!(code(&Status::new(Code::Aborted, "TV-C14: not the next record")), "TV-C14");
    assert_eq!(code(&Status::new(Code::Aborted, "transport error")), "");
}
