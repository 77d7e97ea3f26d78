//! What a configuration lets flow: frames to subscribers, requests to services behind the gateway, answers to callers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Args;
use crate::cli::agreements::{Agreements, Assumed};
use crate::cli::{CliError, configured};
use crate::config::{Config, May, Party, RoutePurpose};
use crate::gate::proxy::Table;
use crate::server;
use crate::veil::name::{Did, Purpose};
use crate::veil::policy::floor::Policy;
use crate::veil::policy::{Decision, FloorTable, decide};
use crate::veil::risk::{Assessment, Audience, Face, Rules, Way};
use crate::veil::schema::Schema;

/// Everything that flows, ready to be held against rules.
pub(super) struct Flows<'r> {
    pub(super) assessment: Assessment<'r>,
    /// The purposes that were looked at by name.
    pub(super) named: Vec<Purpose>,
}

/// One message type that can flow to some, in one way.
struct Stream {
    schema: Arc<Schema>,
    has_subject: bool,
    to: Vec<Party>,
    way: Way,
    /// The only purposes of it; none: all.
    purposes: Option<Vec<Purpose>>,
}

impl<'r> Flows<'r> {
    pub(super) fn collect(
        args: &Args,
        config: &Config,
        text: &str,
        policy: &Policy,
        agreements: &Agreements,
        rules: &'r Rules,
    ) -> Result<Self, CliError> {
        let streams = streams(args, config)?;
        let named = match args.purposes.is_empty() {
            true => configured::named_purposes(text, agreements.records()),
            false => args.purposes.iter().cloned().collect(),
        };
        let purposes = match args.purposes.is_empty() {
            true => configured::purposes(text, agreements.records()),
            false => args.purposes.clone(),
        };
        let mut flows = Self { assessment: Assessment::new(rules), named: named.iter().cloned().collect() };
        for stream in &streams {
            flows.assessment.look_at(&stream.schema);
            let asked = |purpose: &&Purpose| args.purposes.is_empty() || args.purposes.contains(purpose);
            for purpose in stream.purposes.as_ref().unwrap_or(&purposes).iter().filter(asked) {
                for party in &stream.to {
                    let floors = policy.floors(&stream.schema, &party.spiffe, purpose, &config.policy.jurisdiction);
                    let floors = floors.map_err(|error| CliError::broken(format!("`{}`: {error}", config.policy.file.display())))?;
                    let audience = Audience {
                        name: Arc::clone(&party.name),
                        recipient: party.spiffe.clone(),
                        groups: party.groups.clone(),
                        purpose: (stream.purposes.is_some() || named.contains(purpose)).then(|| purpose.clone()),
                        way: stream.way.clone(),
                    };
                    flows.add(stream, party, purpose, &floors, agreements, &audience)?;
                }
            }
        }
        Ok(flows)
    }

    fn add(
        &mut self,
        stream: &Stream,
        party: &Party,
        purpose: &Purpose,
        floors: &FloorTable,
        agreements: &Agreements,
        audience: &Audience,
    ) -> Result<(), CliError> {
        for about in agreements.subjects() {
            let [kept, sealed] =
                [Assumed::Kept, Assumed::Sealed].map(|assumed| stream.decide(about, party, purpose, floors, agreements, assumed));
            let face = match (&kept, &sealed) {
                (None, None) => continue,
                (Some(kept), sealed) => Face::new(&stream.schema, kept, sealed.as_ref().unwrap_or(kept)),
                (None, Some(sealed)) => Face::new(&stream.schema, sealed, sealed),
            };
            self.assessment.add(face, about, audience.clone()).map_err(super::coded)?;
        }
        Ok(())
    }
}

impl Stream {
    /// What is decided; none where nothing reaches the recipient.
    fn decide(
        &self,
        about: Option<Did>,
        party: &Party,
        purpose: &Purpose,
        floors: &FloorTable,
        agreements: &Agreements,
        assumed: Assumed,
    ) -> Option<Decision> {
        let (subject, mandate) = agreements.decide(about, party, purpose, assumed);
        let subject = self.has_subject.then_some(&subject);
        let decision = decide(&self.schema, floors, subject, Some(&mandate));
        // A list about several subjects goes on without the elements of those who permit nothing.
        let flows = match self.schema.is_about_several() {
            true => decision.visible(),
            false => decision.delivers(&self.schema, subject, Some(&mandate)),
        };
        flows.then_some(decision)
    }
}

/// What can flow, of what was asked for.
fn streams(args: &Args, config: &Config) -> Result<Vec<Stream>, CliError> {
    let mut named = Vec::new();
    for name in &args.to {
        named.push(configured::party(config, name)?.spiffe.clone());
    }
    let wanted = |party: &&Party| named.is_empty() || named.contains(&party.spiffe);
    let who_may = |may: May| -> Vec<Party> {
        let parties = config.parties().iter().filter(|party| party.may.contains(&may));
        parties.filter(wanted).cloned().collect()
    };
    let mut streams = Vec::new();
    for schema in server::schemas(config).map_err(CliError::broken)?.into_iter().filter(|schema| !schema.is_about_several()) {
        let has_subject = schema.subject().is_some();
        streams.push(Stream { schema, has_subject, to: who_may(May::Subscribe), way: Way::Subscribe, purposes: None });
    }
    let table = Table::load(config, None).map_err(|error| CliError::broken(format!("{}: {}", error.code, error.what)))?;
    let mut methods: Vec<_> = table.methods().collect();
    methods.sort_by(|one, other| one.path.cmp(&other.path));
    for called in methods {
        let name = called.path.trim_start_matches('/');
        let service = name.split('/').next().unwrap_or_default();
        let route = |methods: &str| config.routes.iter().find(|route| &*route.methods == methods);
        let Some(route) = route(name).or_else(|| route(service)) else { continue };
        let upstream = config.upstreams.iter().filter(|upstream| upstream.name == route.upstream).map(|upstream| &upstream.party);
        let purposes = match &route.purpose {
            RoutePurpose::Fixed(purpose) => vec![purpose.clone()],
            RoutePurpose::Metadata(_, purposes) => purposes.clone(),
        };
        for answers in [false, true] {
            let side = called.side(answers);
            let (to, way) = match answers {
                false => (upstream.clone().filter(wanted).cloned().collect(), Way::Requests(name.into())),
                true => (who_may(May::Call), Way::Answers(name.into())),
            };
            let (schema, purposes) = (Arc::clone(&side.schema), Some(purposes.clone()));
            streams.push(Stream { schema, has_subject: side.has_subject, to, way, purposes });
        }
    }
    let known: BTreeSet<String> = streams.iter().map(|stream| stream.schema.name().to_string()).collect();
    if let Some(unknown) = args.schemas.iter().find(|name| !known.contains(*name)) {
        return Err(configured::no_schema(&args.config, unknown, known.iter().map(String::as_str)));
    }
    streams.retain(|stream| args.schemas.is_empty() || args.schemas.iter().any(|name| name == stream.schema.name().as_str()));
    Ok(streams)
}
