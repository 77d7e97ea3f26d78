//! What is answered to a demand. Whoever drafts it signs first; it counts when two approvers have signed the same bytes.

use serde::{Deserialize, Serialize};

use super::head::{self, Field, FieldDocument, Head, Period, PeriodDocument};
use super::words::{Outcome, Reason, When};
use crate::veil::consent::envelope::Payload;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::name::{Did, Origin, RecordId, Spiffe, UnixMs};

/// The media type of decisions.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.decision+json;v=1";
/// The longest release: a year, a leap day included.
pub const RELEASE_MS_MAX: i64 = 366 * 86_400 * 1_000;

/// A decision as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The did:key of the approver who drafts it, and signs first.
    pub author: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// 16 random bytes, hexadecimal.
    pub nonce: String,
    /// The demand.
    pub demand: String,
    /// How it is answered.
    pub outcome: String,
    /// The stages that are in force, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<String>,
    /// The subject's own consent for this demand, where the release rests on it and not on the stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// Which fields are released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldDocument>,
    /// To which party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// From when until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodDocument>,
    /// Why less than what was demanded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The SHA-256 of the reasoning, which is kept elsewhere.
    pub reasoning_sha256: String,
    /// When whom it is about is told; there where something is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<NoticeDueDocument>,
}

/// When whom it is about is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeDueDocument {
    /// `before-release` or `deferred`.
    pub when: String,
    /// Deferred: until when; the end of the gag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Deferred: by what law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
}

/// A checked decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Gateway, author, instant, nonce.
    pub head: Head,
    /// The demand.
    pub demand: RecordId,
    /// How it is answered.
    pub outcome: Outcome,
    /// The stages that are in force.
    pub stages: Vec<RecordId>,
    /// What is released; there where the outcome releases something.
    pub release: Option<Terms>,
    /// Why less than what was demanded.
    pub reasons: Vec<Reason>,
    /// The SHA-256 of the reasoning.
    pub reasoning: [u8; 32],
}

/// What is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The subject's own consent, where it rests on one.
    pub consent: Option<RecordId>,
    /// Which fields, each once.
    pub fields: Vec<Field>,
    /// To which party.
    pub recipient: Spiffe,
    /// From when until when.
    pub period: Period,
    /// When whom it is about is told.
    pub notice: NoticeDue,
}

/// When whom a demand is about is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeDue {
    /// Before anything is released.
    BeforeRelease,
    /// When the gag ends.
    Deferred {
        /// Until when.
        until: UnixMs,
        /// By what law.
        basis: String,
    },
}

impl Payload for Decision {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        text::json::<DecisionDocument>(payload)?.check()
    }

    fn gateway(&self) -> &Origin {
        &self.head.gateway
    }

    fn signer(&self) -> Did {
        self.head.author
    }
}

impl DecisionDocument {
    fn check(self) -> Result<Decision, RecordRefusal> {
        let outcome = head::word("outcome", &self.outcome, Outcome::parse, "an answer, such as `refuse` or `comply-in-part`")?;
        Ok(Decision {
            head: Head::check(&self.gateway, &self.author, &self.at, &self.nonce)?,
            demand: text::record_id("demand", &self.demand)?,
            outcome,
            stages: head::ids("stages", &self.stages, 3, "a list of at most 3 record ids")?,
            release: self.release(outcome)?,
            reasons: self.reasons(outcome)?,
            reasoning: text::record_id("reasoning_sha256", &self.reasoning_sha256)?.0,
        })
    }

    fn reasons(&self, outcome: Outcome) -> Result<Vec<Reason>, RecordRefusal> {
        text::count("reasons", &self.reasons, 0, Reason::ALL.len(), "a list of reasons, each once")?;
        let mut reasons = Vec::with_capacity(self.reasons.len());
        for reason in &self.reasons {
            let reason = head::word("reasons", reason, Reason::parse, "a list of reasons, such as `overbroad` or `no_key`")?;
            if reasons.contains(&reason) {
                return Err(RecordRefusal::member("reasons", "a list of reasons, each once"));
            }
            reasons.push(reason);
        }
        let expected = match outcome {
            Outcome::Comply if !reasons.is_empty() => "absent, as it must be where all is released",
            Outcome::ComplyInPart | Outcome::Refuse if reasons.is_empty() => "there, as less than what was demanded is released",
            Outcome::NoData if !reasons.contains(&Reason::NotHeld) => "one with `not_held`, as there is no data",
            Outcome::Unable if !reasons.contains(&Reason::NoKey) => "one with `no_key`, as the gateway is unable",
            Outcome::Comply | Outcome::ComplyInPart | Outcome::Refuse | Outcome::NoData | Outcome::Unable => return Ok(reasons),
        };
        Err(RecordRefusal::member("reasons", expected))
    }

    /// All that a release needs, or nothing of it.
    fn release(&self, outcome: Outcome) -> Result<Option<Terms>, RecordRefusal> {
        let fields = Field::list(&self.fields)?;
        if !outcome.releases() {
            let none = self.consent.is_none() && fields.is_empty() && self.recipient.is_none() && self.period.is_none();
            if none && self.notice.is_none() {
                return Ok(None);
            }
            return Err(RecordRefusal::member(
                "outcome",
                "`comply` or `comply-in-part`, as it must be where `consent`, `fields`, `recipient`, `period` or `notice` is there",
            ));
        }
        let needed = |member| RecordRefusal::member(member, "there, as it must be where something is released");
        if fields.is_empty() {
            return Err(needed("fields"));
        }
        let period = Period::check(self.period.as_ref().ok_or_else(|| needed("period"))?)?;
        if period.until.0.saturating_sub(period.from.0) > RELEASE_MS_MAX {
            return Err(RecordRefusal::member("period.until", "at most 366 days after `period.from`"));
        }
        Ok(Some(Terms {
            consent: self.consent.as_deref().map(|id| text::record_id("consent", id)).transpose()?,
            fields,
            recipient: text::spiffe("recipient", self.recipient.as_deref().ok_or_else(|| needed("recipient"))?)?,
            period,
            notice: self.notice.as_ref().ok_or_else(|| needed("notice"))?.check()?,
        }))
    }
}

impl NoticeDueDocument {
    fn check(&self) -> Result<NoticeDue, RecordRefusal> {
        let when = head::word("notice.when", &self.when, When::parse, "`before-release` or `deferred`")?;
        match (when, self.until.as_deref(), self.basis.as_deref()) {
            (When::BeforeRelease, None, None) => Ok(NoticeDue::BeforeRelease),
            (When::BeforeRelease, _, _) => {
                Err(RecordRefusal::member("notice.when", "`deferred`, as it must be where `until` or `basis` is there"))
            }
            (When::Deferred, Some(until), Some(basis)) => {
                text::text("notice.basis", basis)?;
                Ok(NoticeDue::Deferred { until: text::instant("notice.until", until)?, basis: basis.into() })
            }
            (When::Deferred, _, _) => Err(RecordRefusal::member("notice", "one with `until` and `basis`, as what is deferred has both")),
        }
    }
}
