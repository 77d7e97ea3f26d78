//! The end of a delegation: by the subject, by the delegate, or by whoever handed it on. Like a withdrawal it needs no reason, waits
//! for nothing, and acts at once.

use serde::{Deserialize, Serialize};

use super::document::SignerDocument;
use super::envelope::Payload;
use super::record::IDS_MAX;
use super::refusal::RecordRefusal;
use super::signer::{Allowed, By};
use super::text;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// The media type of ends of delegations.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.delegation-end+json;v=1";

/// An end as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationEndDocument {
    /// Whose delegations.
    pub subject: String,
    /// Who ends them.
    pub signer: SignerDocument,
    /// The log origin of the gateway.
    pub gateway: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// The delegations.
    pub ends: Vec<String>,
}

/// A checked end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationEnd {
    /// Whose delegations.
    pub subject: Did,
    /// Who ends them.
    pub by: By,
    /// The gateway it is for.
    pub gateway: Origin,
    /// When it was signed, by the clock of the signer.
    pub at: UnixMs,
    /// The delegations.
    pub ends: Vec<RecordId>,
}

impl Payload for DelegationEnd {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: DelegationEndDocument = text::json(payload)?;
        let subject = text::did("subject", &document.subject)?;
        text::count("ends", &document.ends, 1, IDS_MAX, "a list of 1 to 64 record ids")?;
        Ok(Self {
            subject,
            by: document.signer.check(subject, Allowed::ForSubject)?,
            gateway: text::origin("gateway", &document.gateway)?,
            at: text::instant("at", &document.at)?,
            ends: document.ends.iter().map(|id| text::record_id("ends", id)).collect::<Result<_, _>>()?,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.by.key
    }
}
