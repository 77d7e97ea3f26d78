//! What rests of the desk: a row for everything that happened, in order, sealed. Nothing else decides how a case stands, so that reading
//! the rows again gives the same cases.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::client::dsse;
use crate::proto::intoto;
use crate::veil::consent::envelope::Envelope;
use crate::veil::crypto::secret::{Secret, Zeroizing};
use crate::veil::demand::{About, Field};
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{Did, FieldPath, RecordId, SchemaName, UnixMs};

/// The store is not what this gateway left.
pub(super) const CHANGED: &str = "TV-D05";
/// Names one release, from its beginning to its last record.
pub(super) type ReleaseId = [u8; 16];

/// A record that was taken.
#[derive(Clone, Debug)]
pub struct Kept {
    /// SHA-256 of its payload.
    pub id: RecordId,
    /// What it is.
    pub act: Act,
    /// When it was taken, by the gateway's clock.
    pub taken: UnixMs,
    /// As it was signed.
    pub envelope: Arc<Envelope>,
}

/// What happened, and when.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// By the gateway's clock.
    pub(super) taken: UnixMs,
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A demand came.
    Filed { envelope: Envelope, about: Option<About> },
    /// A record was taken into its case.
    Taken { envelope: Envelope },
    /// A decision was signed that lacks signatures.
    Drafted { envelope: Envelope },
    /// A subject consented to one demand.
    Consented { envelope: Envelope },
    /// A release begins.
    Begun { release: ReleaseId, demand: RecordId, decision: RecordId, fields: Vec<Field> },
    /// So far, since it began or since its last record.
    Counted { release: ReleaseId, demand: RecordId, frames: u64 },
    /// It is on record, up to here; `ended`: all of it.
    Released { release: ReleaseId, envelope: Envelope, ended: bool },
    /// The operator made something public of itself.
    Public { envelope: Envelope },
}

impl Row {
    /// As it rests, before it is sealed.
    pub(super) fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut written = Written { taken: self.taken.0, ..Written::default() };
        match &self.what {
            What::Filed { envelope, about } => {
                written.set(FILED, envelope);
                if let Some(about) = about {
                    written.secret = Bytes::copy_from_slice(about.secret.expose());
                    written.subjects = about.subjects.iter().map(|did| Bytes::copy_from_slice(&did.0)).collect();
                }
            }
            What::Taken { envelope } => written.set(TAKEN, envelope),
            What::Drafted { envelope } => written.set(DRAFTED, envelope),
            What::Consented { envelope } => written.set(CONSENTED, envelope),
            What::Begun { release, demand, decision, fields } => {
                written.of(BEGUN, release, demand);
                written.decision = Bytes::copy_from_slice(&decision.0);
                written.fields = fields.iter().map(|field| WrittenField::from(field.clone())).collect();
            }
            What::Counted { release, demand, frames } => {
                written.of(COUNTED, release, demand);
                written.frames = *frames;
            }
            What::Released { release, envelope, ended } => {
                written.set(RELEASED, envelope);
                written.release = Bytes::copy_from_slice(release);
                written.ended = *ended;
            }
            What::Public { envelope } => written.set(PUBLIC, envelope),
        }
        Zeroizing::new(written.encode_to_vec())
    }

    /// Reads it again; `None`: it is not what was written.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let written = Written::decode(bytes).ok()?;
        let envelope = || written.envelope.as_ref().map(dsse::from_proto);
        let release = || written.release[..].try_into().ok();
        let id = |bytes: &Bytes| bytes[..].try_into().ok().map(RecordId);
        let what = match written.kind {
            FILED => What::Filed { envelope: envelope()?, about: written.about()? },
            TAKEN => What::Taken { envelope: envelope()? },
            DRAFTED => What::Drafted { envelope: envelope()? },
            CONSENTED => What::Consented { envelope: envelope()? },
            BEGUN => What::Begun {
                release: release()?,
                demand: id(&written.demand)?,
                decision: id(&written.decision)?,
                fields: written.fields.iter().cloned().map(Field::from).collect(),
            },
            COUNTED => What::Counted { release: release()?, demand: id(&written.demand)?, frames: written.frames },
            RELEASED => What::Released { release: release()?, envelope: envelope()?, ended: written.ended },
            PUBLIC => What::Public { envelope: envelope()? },
            _ => return None,
        };
        Some(Self { taken: UnixMs(written.taken), what })
    }
}

const FILED: u32 = 1;
const TAKEN: u32 = 2;
const DRAFTED: u32 = 3;
const CONSENTED: u32 = 4;
const BEGUN: u32 = 5;
const COUNTED: u32 = 6;
const RELEASED: u32 = 7;
const PUBLIC: u32 = 8;

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(int64, tag = "2")]
    taken: i64,
    #[prost(message, optional, tag = "3")]
    envelope: Option<intoto::Envelope>,
    #[prost(bytes = "bytes", tag = "4")]
    secret: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    subjects: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "6")]
    release: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    demand: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    decision: Bytes,
    #[prost(message, repeated, tag = "9")]
    fields: Vec<WrittenField>,
    #[prost(uint64, tag = "10")]
    frames: u64,
    #[prost(bool, tag = "11")]
    ended: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WrittenField {
    #[prost(string, tag = "1")]
    schema: String,
    #[prost(string, tag = "2")]
    path: String,
}

impl Written {
    fn set(&mut self, kind: u32, envelope: &Envelope) {
        self.kind = kind;
        self.envelope = Some(dsse::to_proto(envelope));
    }

    fn of(&mut self, kind: u32, release: &ReleaseId, demand: &RecordId) {
        self.kind = kind;
        self.release = Bytes::copy_from_slice(release);
        self.demand = Bytes::copy_from_slice(&demand.0);
    }

    /// Whom a demand is about; inside `None` where it came without a list.
    fn about(&self) -> Option<Option<About>> {
        if self.secret.is_empty() {
            return Some(None);
        }
        let mut secret: [u8; 32] = self.secret[..].try_into().ok()?;
        let subjects = self.subjects.iter().map(|did| did[..].try_into().ok().map(Did)).collect::<Option<BTreeSet<_>>>()?;
        Some(Some(About { secret: Secret::take(&mut secret), subjects }))
    }
}

impl From<Field> for WrittenField {
    fn from(field: Field) -> Self {
        Self { schema: field.schema.to_string(), path: field.path.to_string() }
    }
}

impl From<WrittenField> for Field {
    fn from(field: WrittenField) -> Self {
        Self { schema: SchemaName::new(field.schema), path: FieldPath::new(field.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::consent::testing;

    #[test]
    fn every_row_reads_back_and_what_is_none_is_refused() {
        let envelope = testing::grant(1, 1, None, |_| ());
        let about = About { secret: Secret::take(&mut [7; 32]), subjects: BTreeSet::from([Did([1; 32]), Did([2; 32])]) };
        let field = Field { schema: SchemaName::new("a.B"), path: FieldPath::new("c.d") };
        let (release, demand) = ([3; 16], RecordId([4; 32]));
        let all = [
            What::Filed { envelope: envelope.clone(), about: Some(about) },
            What::Filed { envelope: envelope.clone(), about: None },
            What::Taken { envelope: envelope.clone() },
            What::Drafted { envelope: envelope.clone() },
            What::Consented { envelope: envelope.clone() },
            What::Begun { release, demand, decision: RecordId([5; 32]), fields: vec![field] },
            What::Counted { release, demand, frames: 9 },
            What::Released { release, envelope: envelope.clone(), ended: true },
            What::Public { envelope },
        ];
        for what in all {
            let row = Row { taken: UnixMs(-5), what };
            let bytes = row.write();
            let again = Row::read(&bytes).expect("just written");
            assert_eq!((again.taken, again.write()), (row.taken, bytes));
        }
        assert!(Row::read(&[]).is_none() && Row::read(&[0xff]).is_none());
    }
}
