//! Who is who: parties, whom certificates name, and persons, who answer legal demands.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Deserialize;

use super::error::ConfigError;
use super::value::{did, word};
use super::{May, PARTIES_MAX, Party, Person};
use crate::veil::demand::Role;
use crate::veil::demand::register::{KEYS_MAX, PERSONS_MAX};
use crate::veil::name::{Did, Spiffe};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartyTable {
    name: String,
    spiffe: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    may: Vec<May>,
    key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonTable {
    name: String,
    keys: Vec<String>,
    roles: Vec<String>,
}

type Parties = (Vec<Party>, HashMap<Spiffe, usize>);

pub(super) fn parties(tables: Vec<PartyTable>) -> Result<Parties, ConfigError> {
    if tables.len() > PARTIES_MAX {
        return Err(ConfigError::value("party", tables.len(), format!("at most {PARTIES_MAX} parties")));
    }
    let mut names = HashSet::new();
    let mut by_spiffe = HashMap::new();
    let mut parties = Vec::with_capacity(tables.len());
    for table in tables {
        let name = word("party.name", &table.name)?;
        if !names.insert(name.clone()) {
            return Err(ConfigError::value("party.name", name, "two parties have this name; rename one"));
        }
        let spiffe = Spiffe::parse(&table.spiffe).map_err(|bad| ConfigError::value("party.spiffe", table.spiffe.escape_debug(), bad))?;
        if by_spiffe.insert(spiffe.clone(), parties.len()).is_some() {
            return Err(ConfigError::value("party.spiffe", spiffe, "two parties have this id; give each its own certificate"));
        }
        let groups = table.groups.iter().map(|group| word("party.groups", group)).collect::<Result<Vec<_>, _>>()?;
        let may: BTreeSet<May> = table.may.into_iter().collect();
        let key = table.key.as_deref().map(|key| did("party.key", key)).transpose()?;
        if key.is_some() && !may.contains(&May::Publish) && !may.contains(&May::Call) {
            return Err(ConfigError::value(
                "party.key",
                name,
                "only a source countersigns; add `publish` or `call` to `may` or delete `key`",
            ));
        }
        parties.push(Party { name, spiffe, groups, may, key });
    }
    Ok((parties, by_spiffe))
}

/// Two who must agree are two people: nobody is there twice, under whichever key. The gateway signs for itself alone.
pub(super) fn persons(tables: Vec<PersonTable>, gateway: &Did) -> Result<Vec<Person>, ConfigError> {
    if tables.len() > PERSONS_MAX {
        return Err(ConfigError::value("person", tables.len(), format!("at most {PERSONS_MAX} persons")));
    }
    let (mut names, mut known) = (HashSet::new(), HashSet::new());
    let mut persons = Vec::with_capacity(tables.len());
    for table in tables {
        let name = word("person.name", &table.name)?;
        if !names.insert(name.clone()) {
            return Err(ConfigError::value("person.name", name, "two persons have this name; rename one"));
        }
        if table.keys.is_empty() || table.keys.len() > KEYS_MAX {
            return Err(ConfigError::value("person.keys", name, format!("needs 1 to {KEYS_MAX} keys")));
        }
        let mut keys = Vec::with_capacity(table.keys.len());
        for text in &table.keys {
            let key = did("person.keys", text)?;
            if key == *gateway {
                return Err(ConfigError::value("person.keys", key, "the gateway's own key; a person signs with one of their own"));
            }
            if keys.contains(&key) {
                return Err(ConfigError::value("person.keys", key, "named twice; delete one"));
            }
            if !known.insert(key) {
                return Err(ConfigError::value("person.keys", key, "under two persons; whose it is has to be certain: delete one"));
            }
            keys.push(key);
        }
        let roles = table.roles.iter().map(|text| role(text)).collect::<Result<_, _>>()?;
        persons.push(Person { name, keys, roles });
    }
    Ok(persons)
}

fn role(text: &str) -> Result<Role, ConfigError> {
    Role::parse(text).ok_or_else(|| {
        let words: Vec<_> = Role::ALL.iter().map(|role| format!("`{role}`")).collect();
        ConfigError::value("person.roles", text.escape_debug(), format!("must be one of {}", words.join(", ")))
    })
}
