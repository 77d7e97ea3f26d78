//! The ways by which frames can reach the recipient, as far as the configuration has them: published and subscribed, or in calls.

use std::path::Path;
use std::sync::Arc;

use super::Args;
use crate::cli::{CliError, configured};
use crate::config::{Config, May, Party, Route, RoutePurpose, Upstream, nearest};
use crate::gate::proxy::{Called, Table};
use crate::veil::name::Purpose;
use crate::veil::schema::Schema;

/// A method behind the gateway, and which of its messages are measured.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub(super) called: Arc<Called>,
    /// Whether they are what is answered; else they are what is asked.
    pub(super) answers: bool,
    pub(super) route: Route,
    pub(super) upstream: Upstream,
}

impl Method {
    /// What the measured messages look like.
    pub(super) fn schema(&self) -> &Arc<Schema> {
        self.called.schema(self.answers)
    }

    /// Whether a call carries many of them.
    pub(super) fn streams(&self) -> bool {
        self.called.side(self.answers).streams
    }

    /// `package.Service/Method`.
    pub(super) fn name(&self) -> &str {
        self.called.path.trim_start_matches('/')
    }

    /// The header that says what a call is for, if it does.
    pub(super) fn purpose_header(&self) -> Option<&str> {
        match &self.route.purpose {
            RoutePurpose::Fixed(_) => None,
            RoutePurpose::Metadata(key, _) => Some(key),
        }
    }

    fn serves(&self, purpose: &Purpose) -> bool {
        match &self.route.purpose {
            RoutePurpose::Fixed(fixed) => fixed == purpose,
            RoutePurpose::Metadata(_, allowed) => allowed.contains(purpose),
        }
    }

    /// Who receives the measured messages: whoever calls, or the party behind the upstream.
    fn recipient<'m>(&'m self, caller: &'m Party) -> &'m Party {
        if self.answers { caller } else { &self.upstream.party }
    }
}

/// What the configuration has.
#[derive(Debug)]
pub(super) struct Ways {
    /// Frames of this schema can be published, and the recipient may subscribe.
    pub(super) native: Option<Arc<Schema>>,
    /// Calls of this method carry such messages.
    pub(super) proxied: Option<Method>,
}

impl Ways {
    /// As the command line asks.
    pub(super) fn find(
        args: &Args,
        config: &Config,
        schemas: &[Arc<Schema>],
        recipient: &Party,
        purpose: &Purpose,
    ) -> Result<Self, CliError> {
        let table = Table::load(config, None).map_err(|error| CliError::broken(format!("{}: {}", error.code, error.what)))?;
        let asked = args.method.as_deref().map(|name| method(config, &table, name)).transpose()?;
        let message = match (args.map.message.as_str(), &asked) {
            ("", None) => return Err(CliError::broken("say what is measured: `--schema MESSAGE`, or `--method SERVICE/METHOD`")),
            ("", Some(asked)) => asked.schema().name().to_string(),
            (message, _) => message.to_owned(),
        };
        let message = message.as_str();
        let proxied = match asked {
            Some(asked) => Some(of(asked, message).ok_or_else(|| no_message(args, message))?),
            None => {
                let mut found: Vec<Method> = table.methods().filter_map(|called| of(named(config, called)?, message)).collect();
                // Streams tell more of a message's own cost than calls that begin and end with it.
                found.sort_by(|one, other| {
                    let both_stream = |method: &Method| method.called.side(!method.answers).streams;
                    let rank = |method: &Method| (!method.answers, !method.streams(), both_stream(method));
                    rank(one).cmp(&rank(other)).then_with(|| one.called.path.cmp(&other.called.path))
                });
                found.into_iter().find(|method| method.serves(purpose) && may_call(config, method, recipient))
            }
        };
        if let (Some(method), true) = (&proxied, args.method.is_some()) {
            check(config, method, recipient, purpose)?;
        }
        let native = schemas.iter().find(|schema| schema.name().as_str() == message && !schema.is_about_several()).cloned();
        let known = native.is_some() || proxied.is_some();
        let native = native.filter(|_| recipient.may.contains(&May::Subscribe));
        match (&native, &proxied) {
            (None, None) if known => Err(CliError::broken(format!(
                "`{}` may neither subscribe nor call what carries `{message}`: add `subscribe` or `call` to its `may`",
                recipient.name
            ))),
            (None, None) => {
                let of_schemas = config.schemas.iter().map(|source| source.message.as_str());
                let of_routes: Vec<&str> = table.schemas().map(|schema| schema.name().as_str()).collect();
                match of_routes.contains(&message) {
                    true => Err(CliError::broken(format!(
                        "no route carries `{message}` to or from `{}` for {purpose}: check `purpose` of `[[route]]`, and `call` in the party's `may`",
                        recipient.name
                    ))),
                    false => Err(configured::no_schema(&args.config, message, of_schemas.chain(of_routes))),
                }
            }
            _ => Ok(Self { native, proxied }),
        }
    }
}

fn no_message(args: &Args, message: &str) -> CliError {
    CliError::broken(format!("`{}` neither takes nor answers `{message}`", args.method.as_deref().unwrap_or_default()))
}

/// The direction of a method that carries a message; answers first.
fn of(method: Method, message: &str) -> Option<Method> {
    let carries = |answers: &bool| method.called.schema(*answers).name().as_str() == message;
    let answers = [true, false].into_iter().find(carries)?;
    Some(Method { answers, ..method })
}

/// A method by its name.
fn method(config: &Config, table: &Table, name: &str) -> Result<Method, CliError> {
    let path = format!("/{}", name.trim_start_matches('/'));
    table.find(&path).and_then(|called| named(config, called)).ok_or_else(|| {
        let hint = nearest(&path, table.methods().map(|called| &*called.path));
        let hint = hint.map(|near| format!("; did you mean `{}`?", near.trim_start_matches('/'))).unwrap_or_default();
        CliError::broken(format!("no route has the method `{name}`{hint}"))
    })
}

/// With what the configuration says of it.
fn named(config: &Config, called: &Arc<Called>) -> Option<Method> {
    let name = called.path.trim_start_matches('/');
    let service = name.split('/').next().unwrap_or_default();
    let route = |wanted: &str| config.routes.iter().find(|route| &*route.methods == wanted);
    let route = route(name).or_else(|| route(service))?;
    let upstream = config.upstreams.iter().find(|upstream| upstream.name == route.upstream)?;
    Some(Method { called: Arc::clone(called), answers: true, route: route.clone(), upstream: upstream.clone() })
}

/// Whether the recipient takes part in calls of it.
fn may_call(config: &Config, method: &Method, recipient: &Party) -> bool {
    match method.answers {
        true => recipient.may.contains(&May::Call),
        false => method.upstream.party.spiffe == recipient.spiffe && config.parties().iter().any(|party| party.may.contains(&May::Call)),
    }
}

fn check(config: &Config, method: &Method, recipient: &Party, purpose: &Purpose) -> Result<(), CliError> {
    if !method.serves(purpose) {
        return Err(CliError::broken(format!("the route of `{}` does not serve {purpose}", method.name())));
    }
    if !may_call(config, method, recipient) {
        let to = &method.recipient(recipient).name;
        return Err(CliError::broken(match method.answers {
            true => format!("`{to}` may not call: add `call` to its `may`"),
            false => format!("what `{}` takes goes to `{to}`, not to `{}`", method.name(), recipient.name),
        }));
    }
    Ok(())
}

/// Who calls, where the recipient does not.
pub(super) fn caller<'c>(config: &'c Config, method: &Method, recipient: &'c Party) -> Option<&'c Party> {
    match method.answers {
        true => Some(recipient),
        false => config.parties().iter().find(|party| party.may.contains(&May::Call)),
    }
}

/// The folder of a configuration.
pub(super) fn folder(config: &Path) -> std::path::PathBuf {
    let folder = config.parent().unwrap_or(Path::new(""));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}
