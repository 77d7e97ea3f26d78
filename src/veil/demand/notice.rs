//! That whom a demand is about was told: by a clerk or, when a gag ends, by the gateway itself.

use serde::{Deserialize, Serialize};

use super::head::Head;
use crate::veil::consent::envelope::Payload;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::name::{Did, Origin, RecordId};

/// The media type of notices.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.notice+json;v=1";

/// A notice as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The did:key of the clerk, or of the gateway.
    pub author: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// 16 random bytes, hexadecimal.
    pub nonce: String,
    /// The demand.
    pub demand: String,
    /// How they were told, such as `letter` or `wallet`.
    pub how: String,
}

/// A checked notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Gateway, author, instant, nonce.
    pub head: Head,
    /// The demand.
    pub demand: RecordId,
    /// How they were told.
    pub how: String,
}

impl Payload for Notice {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: NoticeDocument = text::json(payload)?;
        text::text("how", &document.how)?;
        Ok(Self {
            head: Head::check(&document.gateway, &document.author, &document.at, &document.nonce)?,
            demand: text::record_id("demand", &document.demand)?,
            how: document.how,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.head.gateway
    }

    fn signer(&self) -> Did {
        self.head.author
    }
}
