//! What a wallet knows of what was disclosed: every line checked against the log and against the lines beside it, and what was shown
//! once is kept, so that a gateway that denies it later contradicts its own signature.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::receipts::Receipt;
use crate::proto::v1::{self, Disclosed, Disclosure};
use crate::veil::base64;
use crate::veil::crypto::hash::sha256;
use crate::veil::merkle::Doubt;
use crate::veil::merkle::leaf::Act;
use crate::veil::merkle::note::VerifierKey;
use crate::veil::merkle::place::Place;
use crate::veil::merkle::tree::Hash;
use crate::veil::name::{RecordId, UnixMs};

/// A disclosure that is in the log.
#[derive(Clone, Debug)]
pub struct Line {
    /// SHA-256 of the disclosure.
    pub record: RecordId,
    /// What it says.
    pub disclosure: Disclosure,
    /// That it is in the log.
    pub receipt: Receipt,
    /// Its place among the subject's, where it was told.
    place: Option<Place>,
    told: Disclosed,
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A line is not what the log has, or the log is not to be believed.
    Unproved(RecordId, Doubt),
    /// A line does not open the place that it commits to.
    NoPlace(RecordId),
    /// Lines are missing in front of this one, or another one is in its place.
    Missing {
        /// The line.
        record: RecordId,
        /// The number that it should have.
        expected: u64,
        /// The number that it has.
        found: u64,
    },
    /// The gateway told of this one before, and does not any more.
    Denied(RecordId),
}

impl Flaw {
    /// Every code that is a history's own.
    pub const ALL: &'static [&'static str] = &["TV-K05", "TV-K06", "TV-K07"];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unproved(_, doubt) => doubt.code(),
            Self::NoPlace(_) => "TV-K05",
            Self::Missing { .. } => "TV-K06",
            Self::Denied(_) => "TV-K07",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unproved(record, doubt) => write!(f, "the disclosure `{record}` is not believed: {doubt}"),
            Self::NoPlace(record) => write!(f, "the disclosure `{record}` does not say which one it is: others may be missing"),
            Self::Missing { record, expected, found } => write!(
                f,
                "disclosures are missing: `{record}` is number {found}, and number {expected} should be here: keep what you have, and show it"
            ),
            Self::Denied(record) => {
                write!(f, "the gateway told of the disclosure `{record}` before and denies it now: its receipt proves it")
            }
        }
    }
}

/// A line as it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineDocument {
    record: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    salt: String,
    proof: String,
}

impl Line {
    /// Checks that `log` has what a gateway tells. Whether a line has to say its place, [`check`] knows.
    pub fn read(told: &Disclosed, log: &VerifierKey) -> Result<Self, Flaw> {
        let record = RecordId(sha256(&[&told.record]));
        let unproved = |doubt| Flaw::Unproved(record, doubt);
        let malformed = || unproved(Doubt::Malformed("a disclosure"));
        let disclosure = Disclosure::decode(&told.record[..]).map_err(|_| malformed())?;
        if disclosure.from_ms > disclosure.until_ms || disclosure.id.len() != 16 {
            return Err(malformed());
        }
        let given = told.receipt.as_ref().ok_or_else(malformed)?;
        let receipt = Receipt::check(record, &given.salt, &given.proof, log).map_err(unproved)?;
        if receipt.act != Act::Disclosure {
            return Err(unproved(Doubt::NotIncluded));
        }
        let place = told.place.as_ref().map(|place| place_of(place).filter(|place| place.commitment()[..] == disclosure.place[..]));
        match place {
            Some(None) => Err(Flaw::NoPlace(record)),
            place => Ok(Self { record, disclosure, receipt, place: place.flatten(), told: told.clone() }),
        }
    }

    /// As one line of a file.
    pub fn to_json(&self) -> String {
        let Disclosed { record, receipt, .. } = &self.told;
        let v1::Receipt { salt, proof } = receipt.clone().unwrap_or_default();
        let place = self.place.map(|place| base64::encode(&place.bytes()));
        let document = LineDocument { record: base64::encode(record), place, salt: base64::encode(&salt), proof };
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads it back and checks it again.
    pub fn parse_json(text: &str, log: &VerifierKey) -> Result<Self, Flaw> {
        let torn = || Flaw::Unproved(RecordId(sha256(&[text.as_bytes()])), Doubt::Malformed("a line of a history"));
        let document: LineDocument = serde_json::from_str(text).map_err(|_| torn())?;
        let bytes = |text: &str| base64::decode(text).map(Bytes::from).ok_or_else(torn);
        let place = document.place.map(|place| bytes(&place).and_then(|place| Ok(Place::read(&place).ok_or_else(torn)?.0))).transpose()?;
        let told = Disclosed {
            record: bytes(&document.record)?,
            place: place.map(|place| v1::DisclosurePlace {
                blind: Bytes::copy_from_slice(&place.blind),
                number: place.number,
                before: Bytes::copy_from_slice(&place.before),
            }),
            receipt: Some(v1::Receipt { salt: bytes(&document.salt)?, proof: document.proof }),
        };
        Self::read(&told, log)
    }

    /// Whether any of its interval is in this time.
    pub fn is_within(&self, from: Option<UnixMs>, until: Option<UnixMs>) -> bool {
        is_within(&self.disclosure, from, until)
    }
}

/// Whether any of a disclosure's interval is in this time.
pub fn is_within(disclosure: &Disclosure, from: Option<UnixMs>, until: Option<UnixMs>) -> bool {
    from.is_none_or(|from| disclosure.until_ms >= from.0) && until.is_none_or(|until| disclosure.from_ms < until.0)
}

fn place_of(place: &v1::DisclosurePlace) -> Option<Place> {
    Some(Place { blind: place.blind[..].try_into().ok()?, number: place.number, before: place.before[..].try_into().ok()? })
}

/// Holds lines against each other: that none is missing, and that the log which they are in is one. `whole`: of the subject's own, who is
/// told of every place.
pub fn check(lines: &[Line], whole: bool) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut roots: BTreeMap<u64, Hash> = BTreeMap::new();
    let mut entries: BTreeMap<u64, RecordId> = BTreeMap::new();
    let mut rows: BTreeMap<&[u8], Vec<(Place, &Line)>> = BTreeMap::new();
    for line in lines {
        let head = line.receipt.head;
        let root = *roots.entry(head.size).or_insert(head.root) != head.root;
        let entry = *entries.entry(line.receipt.entry()).or_insert(line.record) != line.record;
        if root || entry {
            flaws.push(Flaw::Unproved(line.record, Doubt::Forked));
        }
        match line.place {
            Some(place) => rows.entry(&line.disclosure.warrant).or_default().push((place, line)),
            None if whole => flaws.push(Flaw::NoPlace(line.record)),
            None => {}
        }
    }
    for mut row in rows.into_values() {
        row.sort_by_key(|(place, line)| (place.number, line.receipt.entry()));
        let mut next = (0, [0; 32]);
        for (place, line) in row {
            if (place.number, place.before) != next {
                flaws.push(Flaw::Missing { record: line.record, expected: next.0, found: place.number });
            }
            next = (place.number.saturating_add(1), line.record.0);
        }
    }
    flaws
}

/// What was told before and is not any more.
pub fn denied(kept: &[Line], told: &[Line]) -> Vec<Flaw> {
    let told: BTreeSet<RecordId> = told.iter().map(|line| line.record).collect();
    kept.iter().filter(|line| !told.contains(&line.record)).map(|line| Flaw::Denied(line.record)).collect()
}

#[cfg(test)]
#[path = "history_tests.rs"]
pub(super) mod tests;
