//! What a command takes from the operator's own configuration and files, to try it: schemas, parties, policy, consents, recordings.

use std::path::Path;

use super::input::MapArgs;
use super::{CliError, publish, read_text};
use crate::config::{Config, Descriptor, Party, nearest};
use crate::veil::consent::envelope::{Envelope, Payload, Signed};
use crate::veil::consent::record::Consent;
use crate::veil::name::Origin;
use crate::veil::oracle::Dice;
use crate::veil::policy::floor::Policy;
use crate::veil::schema::Schema;

/// That a configuration has no such schema; the nearest of those that it has.
pub(super) fn no_schema<'n>(file: &Path, message: &str, names: impl Iterator<Item = &'n str>) -> CliError {
    let hint = nearest(message, names).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    CliError::broken(format!("`{}` has no schema `{message}`{hint}", file.display()))
}

/// A party by its name or SPIFFE id.
pub(super) fn party<'c>(config: &'c Config, name: &str) -> Result<&'c Party, CliError> {
    config.parties().iter().find(|party| *party.name == *name || party.spiffe.as_str() == name).ok_or_else(|| {
        let hint = nearest(name, config.parties().iter().map(|party| &*party.name));
        CliError::broken(format!("no party `{name}`{}", hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()))
    })
}

/// The operator's policy, as text and loaded.
pub(super) fn policy(config: &Config) -> Result<(String, Policy), CliError> {
    let groups = |party: &Party| party.groups.iter().map(ToString::to_string).collect();
    let known: Vec<_> = config.parties().iter().map(|party| (party.spiffe.clone(), groups(party))).collect();
    let text = read_text(&config.policy.file)?;
    let policy = Policy::load(&text, &known).map_err(|error| CliError::broken(format!("`{}`: {error}", config.policy.file.display())))?;
    Ok((text, policy))
}

/// A consent from its envelope, verified, or from its payload alone.
pub(super) fn consent(file: &Path, origin: &Origin) -> Result<Consent, CliError> {
    let text = read_text(file)?;
    let wrong = |error: &dyn std::fmt::Display| CliError::broken(format!("`{}`: {error}", file.display()));
    let envelope = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.get("payloadType").is_some());
    if envelope {
        let envelope = Envelope::parse_json(text.as_bytes()).map_err(|error| wrong(&error))?;
        let verified = Signed::<Consent>::new(&envelope).and_then(|signed| signed.verify(origin)).map_err(|error| wrong(&error))?;
        return Ok(verified.get().clone());
    }
    let consent = Consent::parse(text.as_bytes()).map_err(|error| wrong(&error))?;
    if consent.gateway() == origin { Ok(consent) } else { Err(wrong(&format!("it is for `{}`, not for `{origin}`", consent.gateway()))) }
}

/// How the recording is read: the descriptor and the subject are the configuration's, where nobody says otherwise.
pub(super) fn map(args: &MapArgs, config: &Config, schema: &Schema) -> MapArgs {
    let mut map = args.clone();
    let source = config.schemas.iter().find(|source| source.message.as_str() == map.message);
    if map.descriptor.is_none()
        && let Some(Descriptor::File(file)) = source.map(|source| &source.descriptor)
    {
        (map.descriptor, map.proto_paths) = (Some(file.path.clone()), file.proto_paths.clone());
    }
    if source.is_some_and(|source| source.side_file.is_some())
        && let Some(site) = schema.subject().and_then(|path| schema.sites().get(path.site.0 as usize))
    {
        map.subject_field.get_or_insert_with(|| site.path.as_str().to_owned());
    }
    map
}

/// Frames of a recording; of more than `most` every one is as likely as the others.
pub(super) fn recorded(file: &Path, map: &MapArgs, most: usize, dice: &mut Dice) -> Result<Vec<Vec<u8>>, CliError> {
    let mut frames = Vec::new();
    for (seen, frame) in publish::open(file, map)?.enumerate() {
        let (_, frame) = frame?;
        if frames.len() < most {
            frames.push(frame.bytes);
        } else if let Some(place) = frames.get_mut(dice.below(seen + 1)) {
            *place = frame.bytes;
        }
    }
    if frames.is_empty() { Err(CliError::broken(format!("`{}` has no frame", file.display()))) } else { Ok(frames) }
}
