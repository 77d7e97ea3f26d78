//! A legal demand, as a clerk writes it down when it arrives.

use serde::{Deserialize, Serialize};

use super::head::{self, Field, FieldDocument, Head, Period, PeriodDocument};
use super::words::{Asks, SourceKind};
use crate::veil::consent::envelope::Payload;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// The media type of demands.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.demand+json;v=1";

/// A demand as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemandDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The did:key of the clerk.
    pub author: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// 16 random bytes, hexadecimal.
    pub nonce: String,
    /// When it arrived.
    pub received: String,
    /// Who demands.
    pub source: SourceDocument,
    /// What.
    pub asks: String,
    /// Whether content is demanded; else metadata.
    pub content: bool,
    /// The commitment to whom it is about; absent for everybody, and where the gateway is to be built otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Whether it is about everybody.
    pub everybody: bool,
    /// Which fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldDocument>,
    /// From when until when; absent: without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodDocument>,
    /// Whether it says that it cannot wait.
    pub emergency: bool,
    /// Whether nobody may be told; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gag: Option<GagDocument>,
}

/// Who demands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceDocument {
    /// What kind of authority.
    pub kind: String,
    /// Whose law, such as `DE` or `US-CA`.
    pub jurisdiction: String,
    /// Whether that is where the operator is at home.
    pub home: bool,
    /// Its name.
    pub authority: String,
    /// The SHA-256 of the document that came.
    pub document_sha256: String,
    /// Which legal process, such as `search warrant`.
    pub process: String,
    /// Under which law.
    pub statute: String,
}

/// That nobody may be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GagDocument {
    /// By what law.
    pub basis: String,
    /// Until when; absent: without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A checked demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Gateway, author, instant, nonce.
    pub head: Head,
    /// When it arrived.
    pub received: UnixMs,
    /// Who demands.
    pub source: Source,
    /// What.
    pub asks: Asks,
    /// Whether content is demanded; else metadata.
    pub content: bool,
    /// The commitment to whom it is about.
    pub about: Option<RecordId>,
    /// Whether it is about everybody.
    pub everybody: bool,
    /// Which fields, each once.
    pub fields: Vec<Field>,
    /// From when until when; none: without an end.
    pub period: Option<Period>,
    /// Whether it says that it cannot wait. It waits all the same.
    pub emergency: bool,
    /// Whether nobody may be told.
    pub gag: Option<Gag>,
}

/// Who demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What kind of authority.
    pub kind: SourceKind,
    /// Whose law.
    pub jurisdiction: String,
    /// Whether that is where the operator is at home.
    pub home: bool,
    /// Its name.
    pub authority: String,
    /// The SHA-256 of the document that came.
    pub document: [u8; 32],
    /// Which legal process.
    pub process: String,
    /// Under which law.
    pub statute: String,
}

/// That nobody may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gag {
    /// By what law.
    pub basis: String,
    /// Until when; none: without an end.
    pub until: Option<UnixMs>,
}

impl Gag {
    /// Whether it is in force.
    pub fn holds(&self, now: UnixMs) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Demand {
    /// Whether nobody may be told now.
    pub fn is_gagged(&self, now: UnixMs) -> bool {
        self.gag.as_ref().is_some_and(|gag| gag.holds(now))
    }
}

impl Payload for Demand {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        text::json::<DemandDocument>(payload)?.check()
    }

    fn gateway(&self) -> &Origin {
        &self.head.gateway
    }

    fn signer(&self) -> Did {
        self.head.author
    }
}

impl DemandDocument {
    fn check(self) -> Result<Demand, RecordRefusal> {
        let head = Head::check(&self.gateway, &self.author, &self.at, &self.nonce)?;
        let asks = head::word("asks", &self.asks, Asks::parse, "what is demanded, such as `live-data` or `redesign-backdoor`")?;
        let about = self.about.as_deref().map(|about| text::record_id("about", about)).transpose()?;
        let fields = Field::list(&self.fields)?;
        let period = self.period.as_ref().map(Period::check).transpose()?;
        if about.is_some() && self.everybody {
            return Err(RecordRefusal::member("about", "absent, as it must be where `everybody` is true"));
        }
        if asks.is_data() && about.is_none() && !self.everybody {
            return Err(RecordRefusal::member("about", "there, as it must be where data of somebody is demanded"));
        }
        if asks.is_redesign() && (about.is_some() || self.everybody || !fields.is_empty() || period.is_some()) {
            return Err(RecordRefusal::member(
                "asks",
                "data, as it must be where `about`, `everybody`, `fields` or `period` say of whom, which and when",
            ));
        }
        Ok(Demand {
            received: text::instant("received", &self.received)?,
            source: self.source.check()?,
            gag: self.gag.as_ref().map(GagDocument::check).transpose()?,
            head,
            asks,
            content: self.content,
            about,
            everybody: self.everybody,
            fields,
            period,
            emergency: self.emergency,
        })
    }
}

impl SourceDocument {
    fn check(self) -> Result<Source, RecordRefusal> {
        for (member, value) in [("source.authority", &self.authority), ("source.process", &self.process), ("source.statute", &self.statute)]
        {
            text::text(member, value)?;
        }
        if !is_jurisdiction(&self.jurisdiction) {
            return Err(RecordRefusal::member("source.jurisdiction", "a code of ISO 3166, such as `DE` or `US-CA`"));
        }
        Ok(Source {
            kind: head::word("source.kind", &self.kind, SourceKind::parse, "a kind of authority, such as `court` or `police`")?,
            document: text::record_id("source.document_sha256", &self.document_sha256)?.0,
            jurisdiction: self.jurisdiction,
            home: self.home,
            authority: self.authority,
            process: self.process,
            statute: self.statute,
        })
    }
}

impl GagDocument {
    fn check(&self) -> Result<Gag, RecordRefusal> {
        text::text("gag.basis", &self.basis)?;
        Ok(Gag { basis: self.basis.clone(), until: self.until.as_deref().map(|until| text::instant("gag.until", until)).transpose()? })
    }
}

/// A country, or a part of one (ISO 3166-1 alpha-2, ISO 3166-2); `EU` and the like are reserved there, too.
fn is_jurisdiction(code: &str) -> bool {
    let (country, part) = code.split_once('-').map_or((code, None), |(country, part)| (country, Some(part)));
    let part_ok = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()) && part.is_none_or(part_ok)
}
