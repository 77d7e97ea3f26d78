//! Upstreams and routes: which methods of foreign services go where, and how their messages are judged.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use serde::Deserialize;

use super::error::ConfigError;
use super::value::{descriptor_file, exists, is_loopback, word};
use super::{DescriptorFile, Party, TlsFiles, check_private};
use crate::veil::name::Purpose;
use crate::veil::terms;

/// The most addresses of one upstream.
const ADDRESSES_MAX: usize = 64;

/// A service behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What the operator calls it.
    pub name: Arc<str>,
    /// Where it listens: `host:port`, one or several that serve the same.
    pub addresses: Vec<Arc<str>>,
    /// Who it is: receives requests, and is the source of responses.
    pub party: Party,
    /// How it is reached.
    pub reach: Reach,
}

/// How an upstream is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Mutual TLS; its certificate has to carry its party's SPIFFE id.
    Tls {
        /// The gateway's certificate and key, and the authorities that the upstream's certificate may come from (`client_ca`).
        files: TlsFiles,
        /// The name that its certificate has to be for. Default the host of the address.
        server_name: Option<Arc<str>>,
    },
    /// Plain HTTP/2 to loopback addresses.
    Insecure,
}

/// Methods that go to an upstream, and how their messages are judged.
#[derive(Clone, Debug)]
pub struct Route {
    /// `package.Service`, or `package.Service/Method`.
    pub methods: Arc<str>,
    /// The name of the upstream.
    pub upstream: Arc<str>,
    /// What describes the service.
    pub descriptor: DescriptorFile,
    /// Facts about its fields. Default none.
    pub side_file: Option<PathBuf>,
    /// What for.
    pub purpose: RoutePurpose,
    /// Where the subject is.
    pub subject: RouteSubject,
    /// What happens to a message of a stream that can't be judged.
    pub undecidable: Undecidable,
    /// Metadata that passes in both directions, in lower case.
    pub metadata: Vec<Arc<str>>,
    /// Whether texts and details of the upstream's errors pass. Default false.
    pub errors_pass: bool,
    /// Whether messages that came compressed go on compressed. Default false.
    pub recompress: bool,
}

/// Where the purpose of a call comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutePurpose {
    /// Always the same.
    Fixed(Purpose),
    /// From a header, if it is one of these.
    Metadata(Arc<str>, Vec<Purpose>),
}

/// Where the subject of a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteSubject {
    /// In the field with the role `subject`.
    Field,
    /// In a header of the call.
    Metadata(Arc<str>),
    /// The caller is it: the SPIFFE id of the certificate.
    Certificate,
    /// There is none, and no field exceeds `operational`.
    None,
}

/// What happens to a message of a stream that can't be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undecidable {
    /// The call ends.
    #[default]
    RejectStream,
    /// The message is left out and counted.
    DropAndReport,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamTable {
    name: String,
    addresses: Vec<String>,
    party: String,
    tls: Option<UpstreamTls>,
    #[serde(default)]
    insecure: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpstreamTls {
    certificate: PathBuf,
    private_key: PathBuf,
    ca: PathBuf,
    server_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    methods: String,
    upstream: String,
    descriptor: PathBuf,
    #[serde(default)]
    proto_paths: Vec<PathBuf>,
    side_file: Option<PathBuf>,
    purpose: Option<String>,
    purpose_metadata: Option<String>,
    #[serde(default)]
    purposes: Vec<String>,
    subject: String,
    subject_metadata: Option<String>,
    #[serde(default)]
    undecidable: Undecidable,
    #[serde(default)]
    metadata: Vec<String>,
    #[serde(default)]
    errors: Errors,
    #[serde(default)]
    recompress: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Errors {
    #[default]
    Replace,
    Pass,
}

impl UpstreamTable {
    fn check(self, folder: &Path, parties: &[Party]) -> Result<Upstream, ConfigError> {
        let name = word("upstream.name", &self.name)?;
        if self.addresses.is_empty() || self.addresses.len() > ADDRESSES_MAX {
            return Err(ConfigError::value("upstream.addresses", name, format!("needs 1 to {ADDRESSES_MAX} addresses")));
        }
        for address in &self.addresses {
            let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
            if host.is_empty() || port.parse::<u16>().is_err() || address.parse::<http::uri::Authority>().is_err() {
                return Err(ConfigError::value("upstream.addresses", address.escape_debug(), "must be `host:port`"));
            }
            if self.insecure && !is_loopback(host) {
                let then = "`insecure = true` reaches loopback addresses only; set up `tls` or use 127.0.0.1";
                return Err(ConfigError::value("upstream.addresses", address.escape_debug(), then));
            }
        }
        let Some(party) = parties.iter().find(|party| *party.name == *self.party) else {
            return Err(ConfigError::value(
                "upstream.party",
                self.party.escape_debug(),
                "no `[[party]]` has this name; add it or name another",
            ));
        };
        let reach = match (self.tls, self.insecure) {
            (None, true) => Reach::Insecure,
            (Some(tls), false) => {
                let private_key = folder.join(tls.private_key);
                check_private("upstream.tls.private_key", &private_key)?;
                let files = TlsFiles {
                    certificate: exists("upstream.tls.certificate", folder.join(tls.certificate))?,
                    private_key,
                    client_ca: exists("upstream.tls.ca", folder.join(tls.ca))?,
                };
                let hosts = self.addresses.iter().map(|address| ("upstream.addresses", host(address)));
                let named = tls.server_name.as_deref().map(|name| ("upstream.tls.server_name", name));
                // One name for all addresses, or each address by its host.
                let mut names = named.into_iter().chain(hosts.filter(|_| named.is_none()));
                if let Some((key, bad)) = names.find(|(_, name)| ServerName::try_from(*name).is_err()) {
                    return Err(ConfigError::value(key, bad.escape_debug(), "must be a DNS name or an IP address"));
                }
                Reach::Tls { files, server_name: tls.server_name.map(Into::into) }
            }
            _ => return Err(ConfigError::value("upstream.tls", name, "needs either `tls` or `insecure = true`")),
        };
        Ok(Upstream { name, addresses: self.addresses.into_iter().map(Into::into).collect(), party: party.clone(), reach })
    }
}

/// The host of `host:port`, without the brackets of IPv6.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']'])
}

impl RouteTable {
    fn check(self, folder: &Path, upstreams: &[Upstream]) -> Result<Route, ConfigError> {
        let methods = self.methods.trim_start_matches('/');
        if methods.is_empty() || methods.split('/').count() > 2 || methods.split('/').any(str::is_empty) {
            let then = "must be `package.Service` or `package.Service/Method`";
            return Err(ConfigError::value("route.methods", self.methods.escape_debug(), then));
        }
        // What the gateway answers itself is never forwarded.
        if ["twinveil.v1.", "grpc.health.", "grpc.reflection."].iter().any(|own| methods.starts_with(own)) {
            return Err(ConfigError::value("route.methods", methods, "the gateway's own services have no routes; delete it"));
        }
        if !upstreams.iter().any(|upstream| *upstream.name == *self.upstream) {
            let then = "no `[[upstream]]` has this name; add it or name another";
            return Err(ConfigError::value("route.upstream", self.upstream.escape_debug(), then));
        }
        let purpose = match (self.purpose, self.purpose_metadata, self.purposes.is_empty()) {
            (Some(purpose), None, true) => RoutePurpose::Fixed(term(&purpose)?),
            (None, Some(key), false) => {
                let purposes = self.purposes.iter().map(|purpose| term(purpose)).collect::<Result<_, _>>()?;
                RoutePurpose::Metadata(header("route.purpose_metadata", &key)?, purposes)
            }
            _ => return Err(ConfigError::value("route.purpose", methods, "needs either `purpose`, or `purpose_metadata` with `purposes`")),
        };
        let subject = match (self.subject.as_str(), self.subject_metadata) {
            ("field", None) => RouteSubject::Field,
            ("certificate", None) => RouteSubject::Certificate,
            ("none", None) => RouteSubject::None,
            ("metadata", Some(key)) => RouteSubject::Metadata(header("route.subject_metadata", &key)?),
            _ => {
                let then = "must be `field`, `certificate`, `none`, or `metadata` with `subject_metadata`";
                return Err(ConfigError::value("route.subject", self.subject.escape_debug(), then));
            }
        };
        Ok(Route {
            methods: methods.into(),
            upstream: self.upstream.into(),
            descriptor: descriptor_file("route", folder, self.descriptor, self.proto_paths)?,
            side_file: self.side_file.map(|path| exists("route.side_file", folder.join(path))).transpose()?,
            purpose,
            subject,
            undecidable: self.undecidable,
            metadata: self.metadata.iter().map(|key| header("route.metadata", key)).collect::<Result<_, _>>()?,
            errors_pass: self.errors == Errors::Pass,
            recompress: self.recompress,
        })
    }
}

fn term(text: &str) -> Result<Purpose, ConfigError> {
    terms::purpose(text)
        .ok_or_else(|| ConfigError::value("route.purpose", text.escape_debug(), "no DPV term, such as `dpv:ServiceProvision`"))
}

/// A metadata key that a route may let pass: in lower case, and none that gRPC or HTTP uses itself.
fn header(key: &'static str, text: &str) -> Result<Arc<str>, ConfigError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    let own = ["te", "content-type", "content-length", "host", "connection", "transfer-encoding", "upgrade"].contains(&text);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(plain) || own || text.starts_with("grpc-") {
        return Err(ConfigError::value(
            key,
            text.escape_debug(),
            "must be a metadata key in lower case that is not one of gRPC's or HTTP's own",
        ));
    }
    Ok(text.into())
}

pub(super) fn proxy(
    upstreams: Vec<UpstreamTable>,
    routes: Vec<RouteTable>,
    folder: &Path,
    parties: &[Party],
) -> Result<(Vec<Upstream>, Vec<Route>), ConfigError> {
    let upstreams = upstreams.into_iter().map(|table| table.check(folder, parties)).collect::<Result<Vec<_>, _>>()?;
    let mut names = HashSet::new();
    if let Some(twice) = upstreams.iter().find(|upstream| !names.insert(&upstream.name)) {
        return Err(ConfigError::value("upstream.name", &twice.name, "two upstreams have this name; rename one"));
    }
    let routes = routes.into_iter().map(|table| table.check(folder, &upstreams)).collect::<Result<Vec<_>, _>>()?;
    let mut methods = HashSet::new();
    if let Some(twice) = routes.iter().find(|route| !methods.insert(&route.methods)) {
        return Err(ConfigError::value("route.methods", &twice.methods, "two routes are for the same; delete one"));
    }
    Ok((upstreams, routes))
}
