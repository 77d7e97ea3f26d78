//! An agreement on signatures: for these fields a permit counts only where so many of these keys signed the grant, too. Two
//! guardians; the works council and the operator.

use serde::{Deserialize, Serialize};

use super::document::{MatchDocument, SignerDocument};
use super::envelope::{Payload, Verified};
use super::record::IDS_MAX;
use super::refusal::RecordRefusal;
use super::rule::Which;
use super::signer::{Allowed, By};
use super::text;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// The media type of agreements.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.agreement+json;v=1";
/// The most rules of an agreement.
pub const QUORUMS_MAX: usize = 16;
/// The most keys of a rule: with the signer's own they fit an envelope.
pub const KEYS_MAX: usize = 15;

/// An agreement as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementDocument {
    /// Whose grants it binds.
    pub subject: String,
    /// Who speaks: the subject, or the operator about mandates.
    pub signer: SignerDocument,
    /// The log origin of the gateway.
    pub gateway: String,
    /// The number in the subject's chain, from 1.
    pub seq: u64,
    /// The id of the record before it; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// Who must sign what; empty only where it ends others.
    pub rules: Vec<QuorumDocument>,
    /// Agreements that end when this one is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

/// Who must sign what.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuorumDocument {
    /// Which fields; absent: all.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<MatchDocument>,
    /// How many of the keys.
    pub need: u8,
    /// The did:keys.
    pub of: Vec<String>,
}

/// A checked agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Whose grants it binds.
    pub subject: Did,
    /// Who speaks.
    pub by: By,
    /// The gateway it is for.
    pub gateway: Origin,
    /// The number in the subject's chain.
    pub seq: u64,
    /// The record before it.
    pub prev: Option<RecordId>,
    /// When it was signed, by the clock of the signer.
    pub at: UnixMs,
    /// Who must sign what.
    pub rules: Vec<Quorum>,
    /// Agreements that end when this one is taken.
    pub replaces: Vec<RecordId>,
}

/// So many of these keys must sign permits for these fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Which fields; none: all.
    pub which: Option<Which>,
    /// How many.
    pub need: u8,
    /// The keys, each once.
    pub of: Vec<Did>,
}

impl Quorum {
    /// How many of the keys signed; an error where they are too few.
    pub(super) fn check<T>(&self, agreement: RecordId, record: &Verified<T>) -> Result<(), RecordRefusal> {
        let have = u8::try_from(record.signers_among(&self.of)).unwrap_or(u8::MAX);
        if have >= self.need { Ok(()) } else { Err(RecordRefusal::TooFewSignatures { agreement, need: self.need, have }) }
    }

    /// Whether every field of `which` is under this rule.
    pub(super) fn covers(&self, which: &Which) -> bool {
        self.which.as_ref().is_none_or(|own| own.covers(which))
    }
}

impl std::fmt::Display for Quorum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} sign ", self.need, self.of.len())?;
        match &self.which {
            None => f.write_str("every permit"),
            Some(which) => write!(f, "permits of{which}"),
        }
    }
}

impl Payload for Agreement {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: AgreementDocument = text::json(payload)?;
        let subject = text::did("subject", &document.subject)?;
        text::count("replaces", &document.replaces, 0, IDS_MAX, "a list of at most 64 record ids")?;
        text::count("rules", &document.rules, usize::from(document.replaces.is_empty()), QUORUMS_MAX, "a list of 1 to 16 rules")?;
        Ok(Self {
            subject,
            by: document.signer.check(subject, Allowed::OwnWord)?,
            gateway: text::origin("gateway", &document.gateway)?,
            seq: document.seq,
            prev: text::place_in_chain(document.seq, document.prev.as_deref())?,
            at: text::instant("at", &document.at)?,
            rules: document.rules.iter().enumerate().map(|(i, rule)| rule.check(i)).collect::<Result<_, _>>()?,
            replaces: document.replaces.iter().map(|id| text::record_id("replaces", id)).collect::<Result<_, _>>()?,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.by.key
    }
}

impl QuorumDocument {
    fn check(&self, i: usize) -> Result<Quorum, RecordRefusal> {
        let bad = |member: &str, expected| RecordRefusal::member(format!("rules[{i}].{member}"), expected);
        text::count(&format!("rules[{i}].of"), &self.of, 1, KEYS_MAX, "a list of 1 to 15 did:keys")?;
        let mut of = Vec::with_capacity(self.of.len());
        for key in &self.of {
            let did = text::did(&format!("rules[{i}].of"), key)?;
            if of.contains(&did) {
                return Err(bad("of", "free of keys that are there twice"));
            }
            of.push(did);
        }
        if self.need == 0 || usize::from(self.need) > of.len() {
            return Err(bad("need", "a number from 1 to how many keys there are"));
        }
        let which = self.matches.as_ref().map(|matches| matches.check(&format!("rules[{i}]"))).transpose()?;
        Ok(Quorum { which, need: self.need, of })
    }
}
