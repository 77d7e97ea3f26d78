//! What a command takes from the operator's own configuration and files, to try it: schemas, parties, policy, consents, recordings.

use std::collections::BTreeSet;
use std::path::Path;

use super::input::MapArgs;
use super::{CliError, publish, read_text};
use crate::config::{Config, Descriptor, Party, nearest};
use crate::veil::consent::deciding::{Deciding, DecidingRule};
use crate::veil::consent::envelope::{Envelope, Payload, Signed};
use crate::veil::consent::record::{Consent, Matcher, SignerRole};
use crate::veil::consent::rule::Effect;
use crate::veil::crypto::hash::sha256;
use crate::veil::dpv::PURPOSES;
use crate::veil::name::{Origin, Purpose, RecordId};
use crate::veil::oracle::Dice;
use crate::veil::policy::floor::Policy;
use crate::veil::schema::Schema;
use crate::veil::terms;

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
    policy_in(&config.policy.file, config)
}

/// A policy in another file, for the same parties.
pub(super) fn policy_in(file: &Path, config: &Config) -> Result<(String, Policy), CliError> {
    let groups = |party: &Party| party.groups.iter().map(ToString::to_string).collect();
    let known: Vec<_> = config.parties().iter().map(|party| (party.spiffe.clone(), groups(party))).collect();
    let text = read_text(file)?;
    let policy = Policy::load(&text, &known).map_err(|error| CliError::broken(format!("`{}`: {error}", file.display())))?;
    Ok((text, policy))
}

/// A consent that somebody named.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: RecordId,
    pub(super) consent: Consent,
}

impl Record {
    /// Whether it speaks for the operator.
    pub(super) fn is_mandate(&self) -> bool {
        self.consent.by.role.is_mandate()
    }
}

/// A consent from its envelope, verified, or from its payload alone.
pub(super) fn consent(file: &Path, origin: &Origin) -> Result<Record, CliError> {
    let text = read_text(file)?;
    let wrong = |error: &dyn std::fmt::Display| CliError::broken(format!("`{}`: {error}", file.display()));
    let envelope = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.get("payloadType").is_some());
    if envelope {
        let envelope = Envelope::parse_json(text.as_bytes()).map_err(|error| wrong(&error))?;
        let verified = Signed::<Consent>::new(&envelope).and_then(|signed| signed.verify(origin)).map_err(|error| wrong(&error))?;
        return Ok(Record { id: verified.id(), consent: verified.get().clone() });
    }
    let consent = Consent::parse(text.as_bytes()).map_err(|error| wrong(&error))?;
    let id = RecordId(sha256(&[text.as_bytes()]));
    if consent.gateway() == origin {
        Ok(Record { id, consent })
    } else {
        Err(wrong(&format!("it is for `{}`, not for `{origin}`", consent.gateway())))
    }
}

/// Purposes that the policy or a consent names.
pub(super) fn named_purposes(policy: &str, consents: &[Record]) -> BTreeSet<Purpose> {
    let literals = policy.split("Purpose::\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut named: BTreeSet<Purpose> = literals.filter_map(terms::purpose).collect();
    named.extend(consents.iter().flat_map(|record| record.consent.purposes.iter().cloned()));
    named
}

/// Purposes that the policy or a consent names, and one that stands for all the others.
pub(super) fn purposes(policy: &str, consents: &[Record]) -> Vec<Purpose> {
    let named = named_purposes(policy, consents);
    let other = PURPOSES.iter().filter_map(|term| terms::purpose(&format!("dpv:{term}"))).find(|purpose| !named.contains(purpose));
    named.into_iter().chain(other).collect()
}

/// What the consents say to this recipient and purpose, as if all of them were in force. One that names a recipient by its
/// did:key is taken to mean whoever is tried.
pub(super) fn given<'c>(
    consents: impl IntoIterator<Item = &'c Record>,
    role: SignerRole,
    party: &Party,
    purpose: &Purpose,
) -> Deciding<'c> {
    let mut deciding = Deciding::default();
    let mut permits = Vec::new();
    // One for a legal demand permits nothing else.
    let counts = |record: &&Record| record.is_mandate() == role.is_mandate() && record.consent.demand.is_none();
    for Record { id, consent } in consents.into_iter().filter(counts) {
        let named = consent.recipients.iter().find(|recipient| match &recipient.who {
            Matcher::Spiffe(spiffe) => *spiffe == party.spiffe,
            Matcher::Did(_) => true,
        });
        let purposed = consent.purposes.contains(purpose);
        if (named.is_none() && !consent.recipients.is_empty()) || (!purposed && !consent.purposes.is_empty()) {
            continue;
        }
        let rules = |effect: Effect| {
            let all = (0u32..).zip(&consent.rules).filter(move |(_, rule)| rule.effect == effect);
            all.map(|(index, rule)| DecidingRule { record: *id, index, rule })
        };
        deciding.rules.extend(rules(Effect::Forbid));
        if let (Some(recipient), true) = (named, purposed) {
            permits.extend(rules(Effect::Permit));
            deciding.recipient_key = recipient.key.or(deciding.recipient_key);
            deciding.vault_key = consent.vault_key.or(deciding.vault_key);
        }
    }
    deciding.rules.append(&mut permits);
    deciding
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
