//! What every record of a case begins with, and the pieces that more than one of them has.

use serde::{Deserialize, Serialize};

use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::name::{Did, FieldPath, Origin, RecordId, SchemaName, UnixMs};
use crate::veil::terms;

/// The most fields that a record names.
pub const FIELDS_MAX: usize = 256;

/// What every record begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The gateway it is for.
    pub gateway: Origin,
    /// Who wrote it.
    pub author: Did,
    /// When it was signed, by the clock of the signer.
    pub at: UnixMs,
    /// 16 random bytes, which hide the record in the log until it is disclosed.
    pub nonce: [u8; 16],
}

/// A field of frames of a schema, and everything below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field {
    /// The frames.
    pub schema: SchemaName,
    /// Where in them.
    pub path: FieldPath,
}

/// From an instant until before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    /// The first instant.
    pub from: UnixMs,
    /// The first one after.
    pub until: UnixMs,
}

/// A field as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDocument {
    /// The full name of the message type.
    pub schema: String,
    /// The path from the root of the frame; everything below it is meant, too.
    pub path: String,
}

/// A period as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodDocument {
    /// The first instant, RFC 3339 UTC.
    pub from: String,
    /// The first one after.
    pub until: String,
}

impl Head {
    pub(super) fn check(gateway: &str, author: &str, at: &str, nonce: &str) -> Result<Self, RecordRefusal> {
        Ok(Self {
            gateway: text::origin("gateway", gateway)?,
            author: text::did("author", author)?,
            at: text::instant("at", at)?,
            nonce: text::nonce(nonce)?,
        })
    }
}

impl Field {
    /// Whether another field is this one, or below it.
    pub fn covers(&self, other: &Self) -> bool {
        self.schema == other.schema && terms::covers(self.path.as_str(), other.path.as_str())
    }

    /// As it is written.
    pub fn document(&self) -> FieldDocument {
        FieldDocument { schema: self.schema.to_string(), path: self.path.to_string() }
    }

    /// Reads a list in which nothing stands twice.
    pub(super) fn list(fields: &[FieldDocument]) -> Result<Vec<Self>, RecordRefusal> {
        text::count("fields", fields, 0, FIELDS_MAX, "a list of at most 256 fields")?;
        let mut list = Vec::with_capacity(fields.len());
        for (i, field) in fields.iter().enumerate() {
            text::text(&format!("fields[{i}].schema"), &field.schema)?;
            text::text(&format!("fields[{i}].path"), &field.path)?;
            let field = Self { schema: SchemaName::new(field.schema.as_str()), path: FieldPath::new(field.path.as_str()) };
            if list.contains(&field) {
                return Err(RecordRefusal::member(format!("fields[{i}]"), "a field that is not there yet"));
            }
            list.push(field);
        }
        Ok(list)
    }
}

impl Period {
    /// Whether another period lies in this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.from <= other.from && other.until <= self.until
    }

    /// As it is written.
    pub fn document(&self) -> PeriodDocument {
        PeriodDocument { from: self.from.to_string(), until: self.until.to_string() }
    }

    pub(super) fn check(period: &PeriodDocument) -> Result<Self, RecordRefusal> {
        let (from, until) = (text::instant("period.from", &period.from)?, text::instant("period.until", &period.until)?);
        if until <= from {
            return Err(RecordRefusal::member("period.until", "after `period.from`"));
        }
        Ok(Self { from, until })
    }
}

/// SHA-256 values, each once.
pub(super) fn ids(member: &'static str, list: &[String], at_most: usize, expected: &'static str) -> Result<Vec<RecordId>, RecordRefusal> {
    text::count(member, list, 0, at_most, expected)?;
    let mut ids = Vec::with_capacity(list.len());
    for id in list {
        let id = text::record_id(member, id)?;
        if ids.contains(&id) {
            return Err(RecordRefusal::member(member, "free of what is there twice"));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// A word of a list.
pub(super) fn word<T>(member: &str, word: &str, parse: fn(&str) -> Option<T>, expected: &'static str) -> Result<T, RecordRefusal> {
    parse(word).ok_or_else(|| RecordRefusal::member(member, expected))
}
