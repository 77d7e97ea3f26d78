//! Every method that can be called through the gateway: made from the configuration, checked before anything is served.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::upstream::Pool;
use crate::config::{Config, Route, RoutePurpose, RouteSubject, Undecidable};
use crate::descriptors;
use crate::gate::tls::ClientTls;
use crate::veil::schema::{self, Method, Schema};
use crate::veil::terms::Sensitivity;

/// The messages of one direction of a method.
#[derive(Debug)]
pub struct MessageSide {
    /// What they look like.
    pub schema: Arc<Schema>,
    /// Whether a call may have more than one.
    pub streams: bool,
    /// Whether they are about somebody.
    pub has_subject: bool,
}

/// A method that can be called.
#[derive(Debug)]
pub struct Called {
    /// `/package.Service/Method`.
    pub path: Arc<str>,
    pub(super) upstream: Arc<Pool>,
    pub(super) request: Arc<MessageSide>,
    pub(super) response: Arc<MessageSide>,
    pub(super) purpose: RoutePurpose,
    pub(super) subject: RouteSubject,
    pub(super) undecidable: Undecidable,
    pub(super) metadata: Vec<Arc<str>>,
    pub(super) errors_pass: bool,
}

/// Every method that can be called, and what their services look like.
#[derive(Debug, Default)]
pub struct Table {
    methods: HashMap<Arc<str>, Arc<Called>>,
    descriptors: Vec<Vec<u8>>,
}

/// Why a route can't be served. It is the operator's move.
#[derive(Debug)]
pub struct RouteError {
    /// The stable code.
    pub code: &'static str,
    /// Which route, and what is wrong.
    pub what: String,
}

const BAD_ROUTE: &str = "TV-O06";

impl Table {
    /// Reads the descriptor sets and side files of all routes.
    ///
    /// # Errors
    /// [`RouteError`] names the route and says what to mend.
    pub fn load(config: &Config) -> Result<Self, RouteError> {
        let mut pools = HashMap::new();
        for upstream in &config.upstreams {
            let tls = match &upstream.reach {
                crate::config::Reach::Insecure => None,
                crate::config::Reach::Tls { files, .. } => {
                    let files = crate::gate::tls::PemFiles {
                        certificate: files.certificate.clone(),
                        private_key: files.private_key.clone(),
                        peer_ca: files.client_ca.clone(),
                    };
                    Some(ClientTls::load(&files).map_err(|error| RouteError { code: "TV-O03", what: error.to_string() })?)
                }
            };
            pools.insert(Arc::clone(&upstream.name), Arc::new(Pool::new(upstream.clone(), tls)));
        }
        let mut table = Self::default();
        // A route for one method goes before the route for its service.
        let (methods, services): (Vec<&Route>, Vec<&Route>) = config.routes.iter().partition(|route| route.methods.contains('/'));
        for route in methods.into_iter().chain(services) {
            let bad = |what: String| RouteError { code: BAD_ROUTE, what: format!("route `{}`: {what}", route.methods) };
            let upstream = pools.get(&route.upstream).ok_or_else(|| bad("its upstream is not configured".to_owned()))?;
            let set = descriptors::read(&route.descriptor.path, &route.descriptor.proto_paths)
                .map_err(|error| RouteError { code: "TV-O02", what: format!("route `{}`: {error}", route.methods) })?
                .set;
            let side = route.side_file.as_deref().map(|path| read(path).and_then(|bytes| text(path, bytes))).transpose()?;
            let found = schema::methods(&set)
                .map_err(|error| RouteError { code: error.code(), what: format!("route `{}`: {error}", route.methods) })?;
            let wanted =
                |method: &&Method| *method.service == *route.methods || format!("{}/{}", method.service, method.name) == *route.methods;
            let wanted: Vec<&Method> = found.iter().filter(wanted).collect();
            if wanted.is_empty() {
                return Err(bad(format!("`{}` has no such service or method", route.descriptor.path.display())));
            }
            let mut loaded: BTreeMap<&str, Arc<Schema>> = BTreeMap::new();
            for method in wanted {
                let side_of = |message: &Arc<str>, streams: bool| -> Result<Arc<MessageSide>, RouteError> {
                    let schema = match loaded.get(&**message) {
                        Some(schema) => Arc::clone(schema),
                        None => {
                            let schema = schema::load(&set, message, side.as_deref()).map_err(|error| RouteError {
                                code: error.code(),
                                what: format!("route `{}`: `{message}`: {error}", route.methods),
                            })?;
                            Arc::new(schema)
                        }
                    };
                    if route.subject == RouteSubject::None
                        && let Some(site) =
                            schema.sites().iter().find(|site| site.facts.classified() && site.facts.sensitivity > Sensitivity::Operational)
                    {
                        return Err(bad(format!(
                            "`subject = \"none\"`, but `{}` of `{message}` is {}; say where the subject is",
                            site.path, site.facts.sensitivity
                        )));
                    }
                    let has_subject = match &route.subject {
                        RouteSubject::None => false,
                        RouteSubject::Field => schema.subject().is_some(),
                        RouteSubject::Metadata(_) | RouteSubject::Certificate => true,
                    };
                    Ok(Arc::new(MessageSide { schema, streams, has_subject }))
                };
                let request = side_of(&method.input, method.client_streaming)?;
                let response = side_of(&method.output, method.server_streaming)?;
                loaded.insert(&method.input, Arc::clone(&request.schema));
                loaded.insert(&method.output, Arc::clone(&response.schema));
                let path: Arc<str> = format!("/{}/{}", method.service, method.name).into();
                table.methods.entry(Arc::clone(&path)).or_insert_with(|| {
                    Arc::new(Called {
                        path,
                        upstream: Arc::clone(upstream),
                        request,
                        response,
                        purpose: route.purpose.clone(),
                        subject: route.subject.clone(),
                        undecidable: route.undecidable,
                        metadata: route.metadata.clone(),
                        errors_pass: route.errors_pass,
                    })
                });
            }
            table.descriptors.push(set);
        }
        Ok(table)
    }

    /// The method of a path `/package.Service/Method`.
    pub fn find(&self, path: &str) -> Option<&Arc<Called>> {
        self.methods.get(path)
    }

    /// The descriptor sets of all routes, for reflection.
    pub fn descriptors(&self) -> &[Vec<u8>] {
        &self.descriptors
    }

    /// The message types of all routes.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.methods.values().flat_map(|called| [&called.request.schema, &called.response.schema])
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RouteError> {
    std::fs::read(path).map_err(|error| RouteError { code: "TV-O02", what: format!("can't read `{}`: {}", path.display(), error.kind()) })
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, RouteError> {
    String::from_utf8(bytes).map_err(|_| RouteError { code: "TV-O02", what: format!("`{}` is not UTF-8 text", path.display()) })
}
