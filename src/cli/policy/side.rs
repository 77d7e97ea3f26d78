//! One side of a comparison: a policy, and the configuration that it stands in.

use std::path::Path;
use std::sync::Arc;

use super::DiffArgs;
use crate::cli::{CliError, configured};
use crate::config::{Config, May, Party, nearest};
use crate::server;
use crate::veil::consent::deciding::Deciding;
use crate::veil::name::{Purpose, Spiffe};
use crate::veil::policy::floor::Policy;
use crate::veil::policy::{Decision, decide};
use crate::veil::schema::Schema;

/// A policy, and the configuration that it stands in.
pub(super) struct Side {
    pub(super) config: Config,
    pub(super) schema: Arc<Schema>,
    /// As it is written.
    pub(super) text: String,
    policy: Policy,
}

impl Side {
    pub(super) fn load(file: &Path, args: &DiffArgs) -> Result<Self, CliError> {
        let whole = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
        let named = if whole { file } else { &args.config };
        let config = Config::load(named)?;
        let (text, policy) = if whole { configured::policy(&config)? } else { configured::policy_in(file, &config)? };
        let message = args.map.message.as_str();
        let found = server::schemas(&config).map_err(CliError::broken)?.into_iter().find(|schema| schema.name().as_str() == message);
        let Some(schema) = found else {
            return Err(configured::no_schema(named, message, config.schemas.iter().map(|source| source.message.as_str())));
        };
        if schema.is_about_several() {
            return Err(CliError::broken(format!("`{message}` is about several subjects: it is for calls, and no frame")));
        }
        Ok(Self { config, schema, text, policy })
    }

    /// A recipient, as this side knows it; none where it may not subscribe.
    fn recipient(&self, named: impl Fn(&Party) -> bool) -> Option<&Party> {
        self.config.parties().iter().find(|party| named(party) && party.may.contains(&May::Subscribe))
    }

    /// What a recipient gets; none where no frame reaches it.
    pub(super) fn decide(
        &self,
        recipient: &Spiffe,
        purpose: &Purpose,
        subject: &Deciding<'_>,
        mandate: &Deciding<'_>,
    ) -> Result<Option<Decision>, CliError> {
        let Some(party) = self.recipient(|party| party.spiffe == *recipient) else { return Ok(None) };
        let floors = self.policy.floors(&self.schema, &party.spiffe, purpose, &self.config.policy.jurisdiction);
        let decision = decide(&self.schema, &floors.map_err(CliError::broken)?, Some(subject), Some(mandate));
        Ok(decision.delivers(&self.schema, Some(subject), Some(mandate)).then_some(decision))
    }
}

/// The recipients that were named, or all that may subscribe on either side.
pub(super) fn recipients(sides: &[Side; 2], named: &[String]) -> Result<Vec<Party>, CliError> {
    let all = || sides.iter().flat_map(|side| side.config.parties()).filter(|party| party.may.contains(&May::Subscribe));
    let mut found: Vec<Party> = Vec::new();
    if named.is_empty() {
        for party in all() {
            if !found.iter().any(|known| known.spiffe == party.spiffe) {
                found.push(party.clone());
            }
        }
        return Ok(found);
    }
    for name in named {
        let is = |party: &Party| *party.name == **name || party.spiffe.as_str() == name;
        let Some(party) = sides.iter().find_map(|side| side.recipient(is)) else {
            let hint = nearest(name, all().map(|party| &*party.name)).map(|near| format!("; did you mean `{near}`?"));
            return Err(CliError::broken(format!("no party `{name}` that may subscribe{}", hint.unwrap_or_default())));
        };
        found.push(party.clone());
    }
    Ok(found)
}
