//! Every method that can be called through the gateway: made from the configuration, checked before anything is served.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Uri;
use prost_types::FileDescriptorSet;

use super::shown;
use super::upstream::Pool;
use crate::config::{Config, Reach, Route, RoutePurpose, RouteSubject, Undecidable, Upstream};
use crate::descriptors::{self, Descriptors};
use crate::gate::ask::Term;
use crate::gate::settings::to_upstreams;
use crate::gate::tls::{ClientTls, PemFiles};
use crate::veil::crypto::hash::sha256;
use crate::veil::schema::changes::goes_on;
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
    /// Whether elements of them are about somebody each.
    pub several: bool,
}

/// A method that can be called.
#[derive(Debug)]
pub struct Called {
    /// `/package.Service/Method`.
    pub path: Arc<str>,
    /// The same, as it is asked for upstream.
    pub(super) uri: Uri,
    pub(super) upstream: Arc<Pool>,
    pub(super) request: Arc<MessageSide>,
    pub(super) response: Arc<MessageSide>,
    pub(super) purpose: RoutePurpose,
    pub(super) subject: RouteSubject,
    pub(super) undecidable: Undecidable,
    pub(super) metadata: Vec<Arc<str>>,
    pub(super) errors_pass: bool,
    pub(super) recompress: bool,
    /// Shared with what it goes on as after reloads.
    pub(in crate::gate) term: Arc<Term>,
}

impl Called {
    /// The messages of this direction.
    pub fn side(&self, answers: bool) -> &MessageSide {
        if answers { &self.response } else { &self.request }
    }

    /// What its messages look like, of this direction.
    pub fn schema(&self, answers: bool) -> &Arc<Schema> {
        &self.side(answers).schema
    }

    /// Whether a call may have more than one message in a direction.
    pub(super) fn streams(&self) -> bool {
        self.request.streams || self.response.streams
    }

    /// Whether open calls can go on as calls of `new`.
    fn goes_on_as(&self, new: &Self) -> bool {
        let same = |one: &MessageSide, other: &MessageSide| {
            one.streams == other.streams && one.has_subject == other.has_subject && goes_on(&one.schema, &other.schema)
        };
        self.upstream.party().spiffe == new.upstream.party().spiffe
            && self.purpose == new.purpose
            && self.subject == new.subject
            && same(&self.request, &new.request)
            && same(&self.response, &new.response)
    }
}

/// Every method that can be called, and what their services look like.
#[derive(Debug, Default)]
pub struct Table {
    methods: HashMap<Arc<str>, Arc<Called>>,
    pools: HashMap<Arc<str>, Arc<Pool>>,
    descriptors: Vec<Vec<u8>>,
    files: Vec<PathBuf>,
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
    /// Reads the descriptor sets and side files of all routes. Connections to upstreams that are as `before` are taken over.
    ///
    /// # Errors
    /// [`RouteError`] names the route and says what to mend.
    pub fn load(config: &Config, before: Option<&Self>) -> Result<Self, RouteError> {
        let mut table = Self::default();
        for upstream in &config.upstreams {
            let old = before.and_then(|before| before.pools.get(&upstream.name));
            table.pools.insert(Arc::clone(&upstream.name), pool(upstream, config, old)?);
        }
        let pools = table.pools.clone();
        // A route for one method goes before the route for its service.
        let (methods, services): (Vec<&Route>, Vec<&Route>) = config.routes.iter().partition(|route| route.methods.contains('/'));
        for route in methods.into_iter().chain(services) {
            let bad = |what: String| RouteError { code: BAD_ROUTE, what: format!("route `{}`: {what}", route.methods) };
            let upstream = pools.get(&route.upstream).ok_or_else(|| bad("its upstream is not configured".to_owned()))?;
            let Descriptors { set, files, .. } = descriptors::read(&route.descriptor.path, &route.descriptor.proto_paths)
                .map_err(|error| RouteError { code: "TV-O02", what: format!("route `{}`: {error}", route.methods) })?;
            table.files.extend(files);
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
                            let load = if route.subject == RouteSubject::Field { schema::load_for_calls } else { schema::load };
                            let schema = load(&set, message, side.as_deref()).map_err(|error| RouteError {
                                code: error.code(),
                                what: format!("route `{}`: `{message}`: {error}", route.methods),
                            })?;
                            say_several(&schema);
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
                        RouteSubject::Field => schema.subject_sites().next().is_some(),
                        RouteSubject::Metadata(_) | RouteSubject::Certificate => true,
                    };
                    let several = schema.is_about_several();
                    Ok(Arc::new(MessageSide { schema, streams, has_subject, several }))
                };
                let request = side_of(&method.input, method.client_streaming)?;
                let response = side_of(&method.output, method.server_streaming)?;
                loaded.insert(&method.input, Arc::clone(&request.schema));
                loaded.insert(&method.output, Arc::clone(&response.schema));
                let path: Arc<str> = format!("/{}/{}", method.service, method.name).into();
                let uri = Uri::builder().scheme(upstream.scheme()).authority(&*upstream.authority()).path_and_query(&*path).build();
                let uri = uri.map_err(|_| bad(format!("`{path}` at `{}` is no URI", upstream.authority())))?;
                table.methods.entry(Arc::clone(&path)).or_insert_with(|| {
                    Arc::new(Called {
                        path,
                        uri,
                        upstream: Arc::clone(upstream),
                        request,
                        response,
                        purpose: route.purpose.clone(),
                        subject: route.subject.clone(),
                        undecidable: route.undecidable,
                        metadata: route.metadata.clone(),
                        errors_pass: route.errors_pass,
                        recompress: route.recompress,
                        term: Arc::new(Term::begin()),
                    })
                });
            }
            table.descriptors.push(set);
        }
        if let Some(before) = before {
            table.follow(before);
        }
        Ok(table)
    }

    /// Open calls of `before` go on as calls of this one where they can.
    fn follow(&mut self, before: &Self) {
        for (path, called) in &mut self.methods {
            if let (Some(old), Some(called)) = (before.methods.get(path), Arc::get_mut(called))
                && old.goes_on_as(called)
            {
                called.term = Arc::clone(&old.term);
            }
        }
    }

    /// Ends open calls that can't go on as calls of `new`.
    pub fn end_what_is_gone(&self, new: &Self) {
        for (path, called) in &self.methods {
            if !new.find(path).is_some_and(|other| Arc::ptr_eq(&called.term, &other.term)) {
                called.term.end();
            }
        }
    }

    /// Lets go of connections to upstreams; they close when the last call on them has ended.
    pub async fn close(&self) {
        for pool in self.pools.values() {
            pool.close().await;
        }
    }

    /// The upstreams of a service; none, where it has no route.
    pub(in crate::gate) fn upstreams(&self, service: &str) -> Vec<Arc<Pool>> {
        let of = |called: &&Arc<Called>| called.path.trim_start_matches('/').split('/').next() == Some(service);
        let mut pools: Vec<Arc<Pool>> = Vec::new();
        for called in self.methods.values().filter(of) {
            if !pools.iter().any(|pool| Arc::ptr_eq(pool, &called.upstream)) {
                pools.push(Arc::clone(&called.upstream));
            }
        }
        pools
    }

    /// Metadata that some route lets pass.
    pub fn metadata(&self) -> impl Iterator<Item = &Arc<str>> {
        self.methods.values().flat_map(|called| &called.metadata)
    }

    /// The files that descriptor sets were made from.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The method of a path `/package.Service/Method`.
    pub fn find(&self, path: &str) -> Option<&Arc<Called>> {
        self.methods.get(path)
    }

    /// Every method that can be called.
    pub fn methods(&self) -> impl Iterator<Item = &Arc<Called>> {
        self.methods.values()
    }

    /// What the services with routes look like, for reflection: their methods with routes, and no comment.
    pub fn shown(&self) -> FileDescriptorSet {
        shown::shown(&self.descriptors, |path| self.methods.contains_key(path))
    }

    /// The message types of all routes.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.methods.values().flat_map(|called| [&called.request.schema, &called.response.schema])
    }
}

/// What an operator would else look for in vain.
fn say_several(schema: &Schema) {
    for bearer in schema.bearers() {
        let elements = schema.nodes().get(bearer.node.0 as usize).map_or("", |node| node.path.as_str());
        tracing::info!(
            schema = %schema.name(),
            elements,
            "each of these elements is judged by its own subject; what would be encrypted in them is left out"
        );
    }
}

fn pool(upstream: &Upstream, config: &Config, old: Option<&Arc<Pool>>) -> Result<Arc<Pool>, RouteError> {
    let tls = match &upstream.reach {
        Reach::Insecure => None,
        Reach::Tls { files, .. } => {
            let files = PemFiles {
                certificate: files.certificate.clone(),
                private_key: files.private_key.clone(),
                peer_ca: files.client_ca.clone(),
            };
            let pem = [&files.certificate, &files.private_key, &files.peer_ca].map(|path| read(path));
            let [certificate, private_key, peer_ca] = pem;
            let pem = sha256(&[&sha256(&[&certificate?]), &sha256(&[&private_key?]), &sha256(&[&peer_ca?])]);
            let tls = ClientTls::load(&files).map_err(|error| RouteError { code: "TV-O03", what: error.to_string() })?;
            Some((tls, pem))
        }
    };
    let settings = to_upstreams(&config.limits);
    match old {
        Some(old) if old.is_for(upstream, tls.as_ref().map(|(_, pem)| *pem), settings) => Ok(Arc::clone(old)),
        _ => Ok(Arc::new(Pool::new(upstream.clone(), tls, settings))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RouteError> {
    std::fs::read(path).map_err(|error| RouteError { code: "TV-O02", what: format!("can't read `{}`: {}", path.display(), error.kind()) })
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, RouteError> {
    String::from_utf8(bytes).map_err(|_| RouteError { code: "TV-O02", what: format!("`{}` is not UTF-8 text", path.display()) })
}
