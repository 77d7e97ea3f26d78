//! That a demand is challenged, and how it goes. While a challenge is pending, and where it was upheld, nothing is released.

use serde::{Deserialize, Serialize};

use super::head::{self, Head};
use super::words::Ruling;
use crate::veil::consent::envelope::Payload;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// The media type of challenges.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.challenge+json;v=1";

/// A challenge as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The did:key of the clerk.
    pub author: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// 16 random bytes, hexadecimal.
    pub nonce: String,
    /// The demand.
    pub demand: String,
    /// Before which court or body.
    #[serde(rename = "where")]
    pub before: String,
    /// When it was filed.
    pub filed: String,
    /// `pending`, `upheld` or `dismissed`.
    pub result: String,
    /// The SHA-256 of the reasoning, which is kept elsewhere.
    pub reasoning_sha256: String,
    /// The record of the same challenge that this one takes the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// A checked challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Gateway, author, instant, nonce.
    pub head: Head,
    /// The demand.
    pub demand: RecordId,
    /// Before which court or body.
    pub before: String,
    /// When it was filed.
    pub filed: UnixMs,
    /// How it stands.
    pub result: Ruling,
    /// The SHA-256 of the reasoning.
    pub reasoning: [u8; 32],
    /// The record that this one takes the place of.
    pub replaces: Option<RecordId>,
}

impl Payload for Challenge {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: ChallengeDocument = text::json(payload)?;
        text::text("where", &document.before)?;
        Ok(Self {
            head: Head::check(&document.gateway, &document.author, &document.at, &document.nonce)?,
            demand: text::record_id("demand", &document.demand)?,
            filed: text::instant("filed", &document.filed)?,
            result: head::word("result", &document.result, Ruling::parse, "`pending`, `upheld` or `dismissed`")?,
            reasoning: text::record_id("reasoning_sha256", &document.reasoning_sha256)?.0,
            replaces: document.replaces.as_deref().map(|id| text::record_id("replaces", id)).transpose()?,
            before: document.before,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.head.gateway
    }

    fn signer(&self) -> Did {
        self.head.author
    }
}
