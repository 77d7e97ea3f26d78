//! What was released under a demand, interval by interval. The gateway writes it.

use serde::{Deserialize, Serialize};

use super::head::{Field, FieldDocument, Head, Period};
use crate::veil::consent::envelope::Payload;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::name::{Did, Origin, RecordId};

/// The media type of releases under a demand; a subject's own release of sealed data is another record.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.demand-release+json;v=1";

/// A release as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The did:key of the gateway.
    pub author: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// 16 random bytes, hexadecimal.
    pub nonce: String,
    /// The demand.
    pub demand: String,
    /// The decision that the release rests on.
    pub decision: String,
    /// From when, RFC 3339 UTC.
    pub from: String,
    /// Until when.
    pub until: String,
    /// How many frames were handed over.
    pub frames: u64,
    /// Which fields were decided to be shown; whether they were there does not appear.
    pub fields: Vec<FieldDocument>,
}

/// A checked release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Gateway, author, instant, nonce.
    pub head: Head,
    /// The demand.
    pub demand: RecordId,
    /// The decision that the release rests on.
    pub decision: RecordId,
    /// From when until when.
    pub period: Period,
    /// How many frames were handed over.
    pub frames: u64,
    /// Which fields were decided to be shown.
    pub fields: Vec<Field>,
}

impl Payload for Release {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: ReleaseDocument = text::json(payload)?;
        let (from, until) = (text::instant("from", &document.from)?, text::instant("until", &document.until)?);
        if until < from {
            return Err(RecordRefusal::member("until", "at or after `from`"));
        }
        Ok(Self {
            head: Head::check(&document.gateway, &document.author, &document.at, &document.nonce)?,
            demand: text::record_id("demand", &document.demand)?,
            decision: text::record_id("decision", &document.decision)?,
            period: Period { from, until },
            frames: document.frames,
            fields: Field::list(&document.fields)?,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.head.gateway
    }

    fn signer(&self) -> Did {
        self.head.author
    }
}
