//! A question about a standing: of the subject, or of a delegate with the right to view. Fresh for five minutes, so that a copy found later answers nobody.

use serde::{Deserialize, Serialize};

use super::SKEW_MS_MAX;
use super::document::SignerDocument;
use super::envelope::Payload;
use super::record;
use super::refusal::RecordRefusal;
use super::signer::{Allowed, By, SignerRole};
use super::text;
use crate::veil::name::{Did, Origin, Purpose, RecordId, SchemaName, Spiffe, UnixMs};

/// The media type of queries.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.query+json;v=1";

/// A query as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// Who asks, about themselves.
    pub subject: String,
    /// Who signs, where it is a delegate; absent: the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerDocument>,
    /// `standing`, `explain`, `record`, `receipts`, `notices`, `wraps` or `history`.
    pub kind: String,
    /// Explain: what this workload gets …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// … that speaks for this did:key, if for any …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// … for this purpose …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// … of frames of this schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Explain: as it would be decided at this instant, RFC 3339 UTC; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Record: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
}

/// A checked query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The gateway it is for.
    pub gateway: Origin,
    /// About whom.
    pub subject: Did,
    /// Who asks, and by what right.
    pub by: By,
    /// What is asked.
    pub asks: Asks,
    /// When it was signed, by the clock of the signer.
    pub at: UnixMs,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// What all records add up to.
    Standing,
    /// That its records are in the log.
    Receipts,
    /// What a recipient gets, and why.
    Explain {
        /// The recipient.
        recipient: Spiffe,
        /// The did:key that it speaks for, as consents may name it.
        holder: Option<Did>,
        /// The purpose.
        purpose: Purpose,
        /// The schema.
        schema: SchemaName,
        /// The instant; none: now.
        as_of: Option<UnixMs>,
    },
    /// A record as it was signed.
    Record(RecordId),
    /// What happens to grants and delegations, from now on.
    Notices,
    /// The announcements of epochs that the subject's vault opens.
    Wraps,
    /// What was disclosed, to whom.
    History,
}

impl Query {
    /// The instant that it asks about, which is not gone by: what was decided then is not known from what stands today.
    pub fn instant(&self, now: UnixMs) -> Result<UnixMs, RecordRefusal> {
        match self.asks {
            Asks::Explain { as_of: Some(at), .. } if at.0 < now.0.saturating_sub(SKEW_MS_MAX) => {
                Err(RecordRefusal::member("as_of", "now or later: what will be decided can be told, what was decided can't"))
            }
            Asks::Explain { as_of: Some(at), .. } => Ok(at.max(now)),
            _ => Ok(now),
        }
    }

    /// Refuses a query that was not signed about now.
    pub fn check_fresh(&self, now: UnixMs) -> Result<(), RecordRefusal> {
        if self.at.0.abs_diff(now.0) > SKEW_MS_MAX.unsigned_abs() { Err(RecordRefusal::Stale { now }) } else { Ok(()) }
    }
}

impl Payload for Query {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: QueryDocument = text::json(payload)?;
        let explains = (&document.recipient, &document.purpose, &document.schema);
        let alone = document.holder.is_none() && document.as_of.is_none() && explains == (&None, &None, &None);
        let asks = match (document.kind.as_str(), &document.record, explains) {
            ("standing", None, _) if alone => Asks::Standing,
            ("receipts", None, _) if alone => Asks::Receipts,
            ("notices", None, _) if alone => Asks::Notices,
            ("wraps", None, _) if alone => Asks::Wraps,
            ("history", None, _) if alone => Asks::History,
            ("record", Some(record), _) if alone => Asks::Record(text::record_id("record", record)?),
            ("explain", None, (Some(recipient), Some(purpose), Some(schema))) => {
                text::text("schema", schema)?;
                Asks::Explain {
                    recipient: text::spiffe("recipient", recipient)?,
                    holder: document.holder.as_deref().map(|holder| text::did("holder", holder)).transpose()?,
                    purpose: record::purpose(purpose)?,
                    schema: SchemaName::new(schema.as_str()),
                    as_of: document.as_of.as_deref().map(|at| text::instant("as_of", at)).transpose()?,
                }
            }
            ("standing" | "explain" | "record" | "receipts" | "notices" | "wraps" | "history", ..) => {
                let expected = "`standing`, `receipts`, `notices`, `wraps` or `history` alone, `record` with one, or `explain` with a \
                                `recipient`, `purpose` and `schema`";
                return Err(RecordRefusal::member("kind", expected));
            }
            _ => {
                let expected = "`standing`, `explain`, `record`, `receipts`, `notices`, `wraps` or `history`";
                return Err(RecordRefusal::member("kind", expected));
            }
        };
        let subject = text::did("subject", &document.subject)?;
        let by = match &document.signer {
            Some(signer) => signer.check(subject, Allowed::ForSubject)?,
            None => By { key: subject, role: SignerRole::Subject },
        };
        Ok(Self { gateway: text::origin("gateway", &document.gateway)?, subject, by, asks, at: text::instant("at", &document.at)? })
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.by.key
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GATEWAY, NOW, gateway, key, signed};
    use super::*;
    use crate::veil::consent::envelope::Signed;
    use serde_json::{Value, json};

    fn read(extra: Value) -> Result<Query, RecordRefusal> {
        let mut document = json!({"gateway": GATEWAY, "subject": key(1).did().to_string(), "at": NOW.to_string()});
        for (member, value) in extra.as_object().expect("object") {
            document[member] = value.clone();
        }
        let envelope = signed(MEDIA_TYPE, &document, &[&key(1)]);
        Signed::<Query>::new(&envelope)?.verify(&gateway()).map(|verified| verified.get().clone())
    }

    #[test]
    fn a_query_asks_for_the_standing_the_receipts_or_an_explanation() {
        assert_eq!(read(json!({"kind": "standing"})).expect("good").asks, Asks::Standing);
        assert_eq!(read(json!({"kind": "receipts"})).expect("good").asks, Asks::Receipts);
        let explain = json!({"kind": "explain", "recipient": "spiffe://lab.example/r", "purpose": "dpv:AcademicResearch", "schema": "a.B"});
        assert!(matches!(read(explain).expect("good").asks, Asks::Explain { .. }));
        assert_eq!(read(json!({"kind": "notices"})).expect("good").asks, Asks::Notices);
        assert_eq!(read(json!({"kind": "wraps"})).expect("good").asks, Asks::Wraps);
        assert_eq!(read(json!({"kind": "history"})).expect("good").asks, Asks::History);
        let record = read(json!({"kind": "record", "record": "ab".repeat(32)})).expect("good");
        assert_eq!((record.asks, record.by.role), (Asks::Record(RecordId([0xab; 32])), SignerRole::Subject));
    }

    #[test]
    fn a_delegate_asks_about_the_subject_by_name() {
        let signer = json!({"key": key(1).did().to_string(), "role": "delegate", "authority": "ab".repeat(32)});
        let query = read(json!({"kind": "standing", "subject": key(2).did().to_string(), "signer": signer})).expect("good");
        assert_eq!((query.subject, query.by.key, query.by.role), (key(2).did(), key(1).did(), SignerRole::Delegate(RecordId([0xab; 32]))));
    }

    #[test]
    fn each_thing_wrong_with_a_query_refuses_it() {
        for (extra, code) in [
            (json!({"kind": "everything"}), "TV-C07"),
            (json!({"kind": "standing", "schema": "a.B"}), "TV-C07"),
            (json!({"kind": "receipts", "recipient": "spiffe://lab.example/r"}), "TV-C07"),
            (json!({"kind": "notices", "holder": key(2).did().to_string()}), "TV-C07"),
            (json!({"kind": "history", "record": "ab".repeat(32)}), "TV-C07"),
            (json!({"kind": "record"}), "TV-C07"),
            (json!({"kind": "record", "record": "ab"}), "TV-C07"),
            (json!({"kind": "standing", "record": "ab".repeat(32)}), "TV-C07"),
            (json!({"kind": "standing", "signer": {"key": key(1).did().to_string(), "role": "operator"}}), "TV-C07"),
            (json!({"kind": "explain", "schema": "a.B"}), "TV-C07"),
            (json!({"kind": "explain", "recipient": "spiffe://lab.example/r", "purpose": "dpv:Fun", "schema": "a.B"}), "TV-C09"),
            (json!({"kind": "explain", "recipient": "lab", "purpose": "dpv:AcademicResearch", "schema": "a.B"}), "TV-C07"),
            (json!({"kind": "explain", "recipient": "spiffe://lab.example/r", "purpose": "dpv:AcademicResearch", "schema": " "}), "TV-C07"),
            (
                json!({"kind": "explain", "recipient": "spiffe://lab.example/r", "purpose": "dpv:AcademicResearch", "schema": "a.B",
                    "holder": "z6Mk"}),
                "TV-C07",
            ),
            (json!({"kind": "standing", "subject": "z6Mk"}), "TV-C07"),
            (json!({"kind": "standing", "gateway": ""}), "TV-C07"),
            (json!({"kind": "standing", "at": "now"}), "TV-C07"),
            (json!({"kind": "standing", "subject": key(2).did().to_string()}), "TV-C05"),
            (json!({"kind": "standing", "as_of": NOW.to_string()}), "TV-C07"),
            (
                json!({"kind": "explain", "recipient": "spiffe://lab.example/r", "purpose": "dpv:AcademicResearch", "schema": "a.B",
                    "as_of": "tomorrow"}),
                "TV-C07",
            ),
            (json!({"kind": "standing", "verbose": true}), "TV-C06"),
        ] {
            assert_eq!(read(extra).expect_err(code).code(), code);
        }
    }

    #[test]
    fn an_explanation_may_be_about_later_and_not_about_before() {
        let explain = |at: UnixMs| {
            read(json!({"kind": "explain", "recipient": "spiffe://lab.example/r", "purpose": "dpv:AcademicResearch", "schema": "a.B",
                        "as_of": at.to_string()}))
        };
        let later = UnixMs(NOW.0 + 86_400_000);
        assert_eq!(explain(later).expect("good").instant(NOW), Ok(later));
        assert_eq!(explain(UnixMs(NOW.0 - SKEW_MS_MAX)).expect("good").instant(NOW), Ok(NOW), "a clock that is a little behind");
        assert_eq!(explain(UnixMs(NOW.0 - SKEW_MS_MAX - 1)).expect("good").instant(NOW).expect_err("gone by").code(), "TV-C07");
        assert_eq!(read(json!({"kind": "standing"})).expect("good").instant(NOW), Ok(NOW));
    }

    #[test]
    fn a_query_is_fresh_for_five_minutes_either_way() {
        let query = read(json!({"kind": "standing"})).expect("good");
        for (shift, fresh) in [(0, true), (SKEW_MS_MAX, true), (-SKEW_MS_MAX, true), (SKEW_MS_MAX + 1, false), (-SKEW_MS_MAX - 1, false)] {
            assert_eq!(query.check_fresh(UnixMs(NOW.0 + shift)).is_ok(), fresh, "{shift}");
        }
    }
}
