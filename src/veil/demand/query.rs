//! What a registered person asks the desk. Fresh for five minutes, so that a copy found later answers nobody.

use serde::{Deserialize, Serialize};

use super::head::PeriodDocument;
use super::{Period, about};
use crate::veil::consent::SKEW_MS_MAX;
use crate::veil::consent::envelope::Payload;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::name::{Did, Origin, RecordId, Spiffe, UnixMs};

/// The media type of these queries.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.demand-query+json;v=1";

/// A query as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The did:key of the person who asks.
    pub person: String,
    /// `show`, `list`, `disclosed`, `published` or `whom`.
    pub kind: String,
    /// Show: this demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<String>,
    /// Disclosed: demands that came in this interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodDocument>,
    /// Whom: how sources call them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ValueDocument>,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
}

/// How a source calls a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueDocument {
    /// The source's SPIFFE id.
    pub source: String,
    /// As in its frames; integers in decimal.
    pub value: String,
}

/// A checked query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The gateway it is for.
    pub gateway: Origin,
    /// Who asks.
    pub person: Did,
    /// What.
    pub asks: Asks,
    /// When it was signed, by the clock of the signer.
    pub at: UnixMs,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// One demand.
    Show(RecordId),
    /// All demands.
    List,
    /// What may be shown to everybody of those that came in an interval.
    Disclosed(Period),
    /// What the operator made public of itself, and what the gateway refused.
    Published,
    /// Whom sources call so.
    Whom(Vec<(Spiffe, String)>),
}

impl Query {
    /// Refuses a query that was not signed about now.
    pub fn check_fresh(&self, now: UnixMs) -> Result<(), RecordRefusal> {
        if self.at.0.abs_diff(now.0) > SKEW_MS_MAX.unsigned_abs() { Err(RecordRefusal::Stale { now }) } else { Ok(()) }
    }
}

impl Payload for Query {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: QueryDocument = text::json(payload)?;
        text::count("values", &document.values, 0, about::SUBJECTS_MAX, "a list of at most 4096 values")?;
        let asks = match (document.kind.as_str(), &document.demand, &document.period, document.values.as_slice()) {
            ("show", Some(demand), None, []) => Asks::Show(text::record_id("demand", demand)?),
            ("list", None, None, []) => Asks::List,
            ("published", None, None, []) => Asks::Published,
            ("disclosed", None, Some(period), []) => Asks::Disclosed(Period::check(period)?),
            ("whom", None, None, [_, ..]) => Asks::Whom(document.values.iter().map(ValueDocument::check).collect::<Result<_, _>>()?),
            _ => {
                return Err(RecordRefusal::member(
                    "kind",
                    "`show` with a `demand`, `list`, `published`, `disclosed` with a `period`, or `whom` with `values`",
                ));
            }
        };
        Ok(Self {
            gateway: text::origin("gateway", &document.gateway)?,
            person: text::did("person", &document.person)?,
            asks,
            at: text::instant("at", &document.at)?,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.person
    }
}

impl ValueDocument {
    fn check(&self) -> Result<(Spiffe, String), RecordRefusal> {
        text::text("values.value", &self.value)?;
        Ok((text::spiffe("values.source", &self.source)?, self.value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::veil::consent::envelope::Signed;
    use crate::veil::consent::testing::{GATEWAY, NOW, gateway, key, signed};

    fn read(extra: Value) -> Result<Query, RecordRefusal> {
        let mut document = json!({"gateway": GATEWAY, "person": key(1).did().to_string(), "at": NOW.to_string()});
        for (member, value) in extra.as_object().expect("object") {
            document[member] = value.clone();
        }
        let envelope = signed(MEDIA_TYPE, &document, &[&key(1)]);
        Signed::<Query>::new(&envelope)?.verify(&gateway()).map(|verified| verified.get().clone())
    }

    #[test]
    fn a_person_asks_for_one_demand_for_all_for_what_is_disclosed_and_whom_a_value_means() {
        assert_eq!(read(json!({"kind": "list"})).expect("good").asks, Asks::List);
        assert_eq!(read(json!({"kind": "show", "demand": "ab".repeat(32)})).expect("good").asks, Asks::Show(RecordId([0xab; 32])));
        let period = json!({"from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"});
        assert!(matches!(read(json!({"kind": "disclosed", "period": period})).expect("good").asks, Asks::Disclosed(_)));
        let values = json!([{"source": "spiffe://hospital.example/monitor", "value": "p-17"}]);
        assert!(matches!(read(json!({"kind": "whom", "values": values})).expect("good").asks, Asks::Whom(found) if found.len() == 1));
    }

    #[test]
    fn each_thing_wrong_with_a_query_refuses_it() {
        let period = json!({"from": "2027-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"});
        for (extra, code) in [
            (json!({"kind": "everything"}), "TV-C07"),
            (json!({"kind": "show"}), "TV-C07"),
            (json!({"kind": "show", "demand": "ab"}), "TV-C07"),
            (json!({"kind": "list", "demand": "ab".repeat(32)}), "TV-C07"),
            (json!({"kind": "disclosed"}), "TV-C07"),
            (json!({"kind": "disclosed", "period": period}), "TV-C07"),
            (json!({"kind": "whom"}), "TV-C07"),
            (json!({"kind": "whom", "values": [{"source": "hospital", "value": "p-17"}]}), "TV-C07"),
            (json!({"kind": "list", "person": key(2).did().to_string()}), "TV-C05"),
            (json!({"kind": "list", "all": true}), "TV-C06"),
        ] {
            assert_eq!(read(extra).expect_err(code).code(), code);
        }
        let query = read(json!({"kind": "list"})).expect("good");
        for (shift, fresh) in [(0, true), (SKEW_MS_MAX, true), (SKEW_MS_MAX + 1, false), (-SKEW_MS_MAX - 1, false)] {
            assert_eq!(query.check_fresh(UnixMs(NOW.0 + shift)).is_ok(), fresh, "{shift}");
        }
    }
}
