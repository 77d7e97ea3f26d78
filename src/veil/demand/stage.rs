//! An answer to one of the three questions of the human-rights test: cannot the law be challenged, is there a risk, is complying in
//! line with human rights?

use serde::{Deserialize, Serialize};

use super::head::{self, Head};
use super::words::{Determination, Finding, Question, Risk};
use crate::veil::consent::envelope::Payload;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::name::{Did, Origin, RecordId};

/// The media type of stages.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.stage+json;v=1";
/// The most pieces of evidence, and the most rights, of a stage.
pub const EVIDENCE_MAX: usize = 64;

/// A stage as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The did:key of whoever answers: counsel for 1, counsel or an analyst for 2, an analyst for 3.
    pub author: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// 16 random bytes, hexadecimal.
    pub nonce: String,
    /// The demand.
    pub demand: String,
    /// Which question, 1 to 3.
    pub n: u8,
    /// Whether its condition is met.
    pub met: bool,
    /// Stage 1: who determined it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub determination: Option<String>,
    /// Stage 1: what cannot be challenged effectively.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_challenge: Option<NoChallengeDocument>,
    /// Stage 2: what is at risk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<String>,
    /// Stage 3: right by right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<RightDocument>,
    /// The SHA-256 of the reasoning, which is kept elsewhere.
    pub reasoning_sha256: String,
    /// SHA-256 values of what it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The answer to the same question that this one takes the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// What cannot be challenged effectively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoChallengeDocument {
    /// The law itself.
    pub primary_law: bool,
    /// That it reaches here.
    pub jurisdiction: bool,
}

/// What an analysis finds about one right.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RightDocument {
    /// Where it stands, such as `ICCPR`.
    pub instrument: String,
    /// Which article, such as `17`.
    pub article: String,
    /// `compatible` or `violated`.
    pub finding: String,
}

/// A checked stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Gateway, author, instant, nonce.
    pub head: Head,
    /// The demand.
    pub demand: RecordId,
    /// What is answered, and how.
    pub answer: Answer,
    /// Whether the condition is met.
    pub met: bool,
    /// The SHA-256 of the reasoning.
    pub reasoning: [u8; 32],
    /// SHA-256 values of what it rests on.
    pub evidence: Vec<RecordId>,
    /// The answer that this one takes the place of.
    pub replaces: Option<RecordId>,
}

/// An answer to one of the questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 1: what cannot be challenged, and who determined it.
    NoChallenge {
        /// Who determined it.
        determination: Determination,
        /// Whether the law itself cannot be challenged.
        primary_law: bool,
        /// Whether its jurisdiction cannot be challenged.
        jurisdiction: bool,
    },
    /// 2: what is at risk.
    Risks(Vec<Risk>),
    /// 3: right by right.
    Rights(Vec<Right>),
}

/// What an analysis finds about one right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Where it stands.
    pub instrument: String,
    /// Which article.
    pub article: String,
    /// What complying does to it.
    pub finding: Finding,
}

impl Stage {
    /// Which question it answers.
    pub const fn question(&self) -> Question {
        match self.answer {
            Answer::NoChallenge { .. } => Question::NoChallenge,
            Answer::Risks(_) => Question::Risk,
            Answer::Rights(_) => Question::Rights,
        }
    }
}

impl Answer {
    /// Whether the condition can be met: what is needed for it is there.
    fn allows(&self) -> bool {
        match self {
            Self::NoChallenge { primary_law, jurisdiction, .. } => *primary_law && *jurisdiction,
            Self::Risks(risks) => !risks.is_empty(),
            Self::Rights(rights) => !rights.is_empty() && rights.iter().all(|right| right.finding == Finding::Compatible),
        }
    }
}

impl Payload for Stage {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        text::json::<StageDocument>(payload)?.check()
    }

    fn gateway(&self) -> &Origin {
        &self.head.gateway
    }

    fn signer(&self) -> Did {
        self.head.author
    }
}

impl StageDocument {
    fn check(self) -> Result<Stage, RecordRefusal> {
        let answer = self.answer()?;
        if self.met && !answer.allows() {
            return Err(RecordRefusal::member(
                "met",
                "false, as it must be unless law and jurisdiction cannot be challenged (1), a risk is named (2), and rights are, none of them violated (3)",
            ));
        }
        Ok(Stage {
            head: Head::check(&self.gateway, &self.author, &self.at, &self.nonce)?,
            demand: text::record_id("demand", &self.demand)?,
            answer,
            met: self.met,
            reasoning: text::record_id("reasoning_sha256", &self.reasoning_sha256)?.0,
            evidence: head::ids("evidence", &self.evidence, EVIDENCE_MAX, "a list of at most 64 SHA-256 values")?,
            replaces: self.replaces.as_deref().map(|id| text::record_id("replaces", id)).transpose()?,
        })
    }

    fn answer(&self) -> Result<Answer, RecordRefusal> {
        let first = self.determination.is_some() || self.no_challenge.is_some();
        let (second, third) = (!self.risks.is_empty(), !self.rights.is_empty());
        match self.n {
            1 if !second && !third => self.first(),
            2 if !first && !third => {
                text::count("risks", &self.risks, 0, Risk::ALL.len(), "a list of risks, each once")?;
                let mut risks = Vec::with_capacity(self.risks.len());
                for risk in &self.risks {
                    let risk = head::word("risks", risk, Risk::parse, "a list of risks, such as `safety` or `blocking`")?;
                    if risks.contains(&risk) {
                        return Err(RecordRefusal::member("risks", "a list of risks, each once"));
                    }
                    risks.push(risk);
                }
                Ok(Answer::Risks(risks))
            }
            3 if !first && !second => {
                text::count("rights", &self.rights, 0, EVIDENCE_MAX, "a list of at most 64 rights")?;
                Ok(Answer::Rights(self.rights.iter().enumerate().map(|(i, right)| right.check(i)).collect::<Result<_, _>>()?))
            }
            1..=3 => Err(RecordRefusal::member("n", "the stage that the members are of: `no_challenge` of 1, `risks` of 2, `rights` of 3")),
            _ => Err(RecordRefusal::member("n", "1, 2 or 3")),
        }
    }

    fn first(&self) -> Result<Answer, RecordRefusal> {
        let determination = self.determination.as_deref().and_then(Determination::parse);
        let missing = |member, expected| RecordRefusal::member(member, expected);
        let no_challenge = self.no_challenge.ok_or_else(|| missing("no_challenge", "there, as stage 1 needs it"))?;
        Ok(Answer::NoChallenge {
            determination: determination
                .ok_or_else(|| missing("determination", "`court-order`, `in-house-counsel` or `outside-counsel`, as stage 1 needs it"))?,
            primary_law: no_challenge.primary_law,
            jurisdiction: no_challenge.jurisdiction,
        })
    }
}

impl RightDocument {
    fn check(&self, i: usize) -> Result<Right, RecordRefusal> {
        text::text(&format!("rights[{i}].instrument"), &self.instrument)?;
        text::text(&format!("rights[{i}].article"), &self.article)?;
        let finding = head::word(&format!("rights[{i}].finding"), &self.finding, Finding::parse, "`compatible` or `violated`")?;
        Ok(Right { instrument: self.instrument.clone(), article: self.article.clone(), finding })
    }
}
