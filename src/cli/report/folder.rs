//! Files of a report: envelopes as they were signed, and whose keys are whose.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{CliError, certs};
use crate::veil::consent::envelope::{Envelope, JSON_BYTES_MAX};
use crate::veil::demand::{Person, Register, Role};
use crate::veil::name::{Did, RecordId};
use crate::veil::report::refusals::REFUSALS_BYTES_MAX;
use crate::veil::report::{Persons, RefusalsFile, ReportDoubt};

/// The most records of a folder.
const RECORDS_MAX: usize = 1 << 20;

/// Whose keys are whose, as a file: no names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterFile {
    persons: Vec<PersonFile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonFile {
    keys: Vec<String>,
    roles: Vec<String>,
}

impl RegisterFile {
    /// The register of a gateway that signs with this key.
    pub(super) fn read(file: &Path, gateway: Did) -> Result<Arc<Register>, CliError> {
        let bad = |why: String| CliError::broken(format!("`{}`: {why}", file.display()));
        let register: Self = serde_json::from_slice(&bytes(file, JSON_BYTES_MAX * 16)?).map_err(|error| bad(error.to_string()))?;
        let person = |(n, person): (usize, &PersonFile)| {
            let key =
                |key: &String| Did::parse(key).map_err(|error| bad(format!("person {}: `{}`: {error}", n + 1, super::super::plain(key))));
            let role = |role: &String| {
                Role::parse(role).ok_or_else(|| bad(format!("person {}: `{}` is no role", n + 1, super::super::plain(role))))
            };
            Ok::<_, CliError>(Person {
                keys: person.keys.iter().map(key).collect::<Result<_, _>>()?,
                roles: person.roles.iter().map(role).collect::<Result<BTreeSet<_>, _>>()?,
            })
        };
        let persons = register.persons.iter().enumerate().map(person).collect::<Result<_, _>>()?;
        Register::new(gateway, persons).map(Arc::new).map_err(|error| bad(error.to_string()))
    }

    /// As it is written beside a report.
    pub(super) fn of(register: &Register) -> Self {
        let person = |person: &Person| PersonFile {
            keys: person.keys.iter().map(ToString::to_string).collect(),
            roles: person.roles.iter().map(ToString::to_string).collect(),
        };
        Self { persons: register.persons().iter().map(person).collect() }
    }

    pub(super) fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }
}

/// Envelopes by the names of their files, and what of a folder is none.
pub(super) type Envelopes = (Vec<(String, Envelope)>, Vec<ReportDoubt>);

/// The envelopes of a folder, by name; none where there is no such folder. What is no envelope is a doubt.
pub(super) fn envelopes(folder: &Path) -> Result<Envelopes, CliError> {
    let unread = |error: std::io::Error| CliError::broken(format!("`{}` can't be read: {}", folder.display(), error.kind()));
    let mut names = match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>().map_err(unread)?,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unread(error)),
    };
    names.retain(|name| name.to_string_lossy().ends_with(".json"));
    names.sort();
    if names.len() > RECORDS_MAX {
        return Err(CliError::broken(format!("`{}` has more than {RECORDS_MAX} records", folder.display())));
    }
    let (mut read, mut doubts) = (Vec::new(), Vec::new());
    for name in names {
        let file = super::super::plain(&name.to_string_lossy());
        match Envelope::parse_json(&bytes(&folder.join(&name), JSON_BYTES_MAX)?) {
            Ok(envelope) => read.push((file, envelope)),
            Err(why) => doubts.push(ReportDoubt::NoRecord { file, why }),
        }
    }
    Ok((read, doubts))
}

/// How many persons each demand names: `{"demand id": number}`.
pub(super) fn persons(file: &Path) -> Result<Persons, CliError> {
    let bad = |why: String| CliError::broken(format!("`{}`: {why}", file.display()));
    let numbers: std::collections::BTreeMap<String, u64> =
        serde_json::from_slice(&bytes(file, 64 << 20)?).map_err(|error| bad(error.to_string()))?;
    let pair = |(id, number): (String, u64)| {
        let id = RecordId::parse(&id).map_err(|_| bad(format!("`{}` is no demand’s id", super::super::plain(&id))))?;
        Ok((id, number))
    };
    numbers.into_iter().map(pair).collect()
}

/// What a gateway refused, as a report keeps it.
pub(super) fn refusals(file: &Path) -> Result<RefusalsFile, CliError> {
    let read = RefusalsFile::parse(&bytes(file, REFUSALS_BYTES_MAX)?);
    read.map_err(|why| CliError::broken(format!("`{}`: {why}", file.display())))
}

/// A file that is not larger than it may be.
pub(super) fn bytes(file: &Path, most: usize) -> Result<Vec<u8>, CliError> {
    let unread = |error: std::io::Error| CliError::broken(format!("`{}` can't be read: {}", file.display(), error.kind()));
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|opened| opened.take(most as u64 + 1).read_to_end(&mut bytes)).map_err(unread)?;
    if bytes.len() > most { Err(CliError::broken(format!("`{}` is larger than {most} bytes", file.display()))) } else { Ok(bytes) }
}

/// A folder that is new or empty.
pub(super) fn fresh(folder: &Path) -> Result<(), CliError> {
    let broken = |error: std::io::Error| CliError::broken(format!("`{}`: {}", folder.display(), error.kind()));
    std::fs::create_dir_all(folder).map_err(broken)?;
    match std::fs::read_dir(folder).map_err(broken)?.next() {
        None => Ok(()),
        Some(_) => Err(CliError::broken(format!("`{}` is not empty and is left as it is; choose another folder", folder.display()))),
    }
}

/// Writes a file that is not there yet.
pub(super) fn write(folder: &Path, name: &str, content: &str) -> Result<(), CliError> {
    certs::create(&folder.join(name), content.as_bytes(), 0o644)
}
