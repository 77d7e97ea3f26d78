//! A record of a case, of whatever kind.

use super::challenge::{self, Challenge};
use super::decision::{self, Decision};
use super::head::Head;
use super::notice::{self, Notice};
use super::release::{self, Release};
use super::stage::{self, Stage};
use crate::veil::consent::envelope::{Envelope, Signed, Verified};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::name::{Origin, RecordId};

/// A verified record of a case, but for the demand that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// One of the three questions, answered.
    Stage(Verified<Stage>),
    /// What is answered to the demand.
    Decision(Verified<Decision>),
    /// That the demand is challenged.
    Challenge(Verified<Challenge>),
    /// That whom it is about was told.
    Notice(Verified<Notice>),
    /// What was released.
    Release(Verified<Release>),
}

impl Record {
    /// Verifies an envelope as what its payload type says it is.
    pub fn verify(envelope: &Envelope, gateway: &Origin) -> Result<Self, RecordRefusal> {
        Ok(match envelope.payload_type.as_str() {
            stage::MEDIA_TYPE => Self::Stage(Signed::new(envelope)?.verify(gateway)?),
            decision::MEDIA_TYPE => Self::Decision(Signed::new(envelope)?.verify(gateway)?),
            challenge::MEDIA_TYPE => Self::Challenge(Signed::new(envelope)?.verify(gateway)?),
            notice::MEDIA_TYPE => Self::Notice(Signed::new(envelope)?.verify(gateway)?),
            release::MEDIA_TYPE => Self::Release(Signed::new(envelope)?.verify(gateway)?),
            _ => {
                return Err(RecordRefusal::WrongType {
                    expected: "one of `application/vnd.twinveil.{stage,decision,challenge,notice,demand-release}+json;v=1`",
                });
            }
        })
    }

    /// SHA-256 of the payload.
    pub fn id(&self) -> RecordId {
        match self {
            Self::Stage(record) => record.id(),
            Self::Decision(record) => record.id(),
            Self::Challenge(record) => record.id(),
            Self::Notice(record) => record.id(),
            Self::Release(record) => record.id(),
        }
    }

    /// The demand that it is of.
    pub fn demand(&self) -> RecordId {
        match self {
            Self::Stage(record) => record.get().demand,
            Self::Decision(record) => record.get().demand,
            Self::Challenge(record) => record.get().demand,
            Self::Notice(record) => record.get().demand,
            Self::Release(record) => record.get().demand,
        }
    }

    /// What it begins with.
    pub fn head(&self) -> &Head {
        match self {
            Self::Stage(record) => &record.get().head,
            Self::Decision(record) => &record.get().head,
            Self::Challenge(record) => &record.get().head,
            Self::Notice(record) => &record.get().head,
            Self::Release(record) => &record.get().head,
        }
    }
}
