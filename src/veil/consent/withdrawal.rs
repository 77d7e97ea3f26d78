//! A withdrawal: ends permits, needs no reason, waits for nothing, and may be signed ahead.

use serde::{Deserialize, Serialize};

use super::document::SignerDocument;
use super::envelope::Payload;
use super::record::{self, IDS_MAX, MEDIA_TYPE, WITHDRAWN};
use super::refusal::RecordRefusal;
use super::signer::{Allowed, By};
use super::text;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// A withdrawal as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawDocument {
    /// Always `ConsentWithdrawn`.
    pub status: String,
    /// Whose permits end.
    pub subject: String,
    /// Who speaks.
    pub signer: SignerDocument,
    /// The log origin of the gateway.
    pub gateway: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// These records …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraws: Option<Vec<String>>,
    /// … or every record up to this number; exactly one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraws_up_to: Option<u64>,
}

/// A checked withdrawal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Whose permits end.
    pub subject: Did,
    /// Who signs, and as whom.
    pub by: By,
    /// The gateway it is for.
    pub gateway: Origin,
    /// When it was signed, by the clock of the signer.
    pub at: UnixMs,
    /// Which permits.
    pub reach: Reach,
}

/// Which permits a withdrawal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of these records, taken already or not.
    Records(Vec<RecordId>),
    /// Those of every record up to this number.
    UpTo(u64),
}

impl Payload for Withdrawal {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        if record::status_of(payload).is_some_and(|status| status != WITHDRAWN) {
            return Err(RecordRefusal::WrongCall { call: "Submit" });
        }
        let document: WithdrawDocument = text::json(payload)?;
        let subject = text::did("subject", &document.subject)?;
        let by = document.signer.check(subject, Allowed::ToWithdraw)?;
        let reach = match (&document.withdraws, document.withdraws_up_to) {
            (Some(ids), None) => {
                text::count("withdraws", ids, 1, IDS_MAX, "a list of 1 to 64 record ids")?;
                Reach::Records(ids.iter().map(|id| text::record_id("withdraws", id)).collect::<Result<_, _>>()?)
            }
            (None, Some(seq)) if seq > 0 => Reach::UpTo(seq),
            (None, Some(_)) => return Err(RecordRefusal::member("withdraws_up_to", "a number from 1")),
            (Some(_), Some(_)) | (None, None) => {
                return Err(RecordRefusal::member("withdraws", "there, or else `withdraws_up_to`, but not both"));
            }
        };
        Ok(Self { subject, by, gateway: text::origin("gateway", &document.gateway)?, at: text::instant("at", &document.at)?, reach })
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

    fn document() -> Value {
        let did = key(1).did().to_string();
        json!({"status": WITHDRAWN, "subject": did, "signer": {"key": did, "role": "subject"}, "gateway": GATEWAY,
               "at": NOW.to_string(), "withdraws": ["aa".repeat(32)]})
    }

    fn read(document: &Value) -> Result<Withdrawal, RecordRefusal> {
        let envelope = signed(MEDIA_TYPE, document, &[&key(1)]);
        Signed::<Withdrawal>::new(&envelope)?.verify(&gateway()).map(|verified| verified.get().clone())
    }

    fn with(member: &str, value: Value) -> Result<Withdrawal, RecordRefusal> {
        let mut document = document();
        document[member] = value;
        read(&document)
    }

    #[test]
    fn a_withdrawal_names_ids_or_a_number() {
        assert_eq!(read(&document()).expect("good").reach, Reach::Records(vec![RecordId([0xaa; 32])]));
        let mut up_to = document();
        up_to.as_object_mut().expect("object").remove("withdraws");
        up_to["withdraws_up_to"] = json!(7);
        assert_eq!(read(&up_to).expect("good").reach, Reach::UpTo(7));
    }

    #[test]
    fn each_thing_wrong_with_a_withdrawal_refuses_it() {
        assert_eq!(with("withdraws_up_to", json!(7)).expect_err("both").code(), "TV-C07");
        assert_eq!(with("withdraws", Value::Null).expect_err("none").code(), "TV-C07");
        assert_eq!(with("withdraws", json!([])).expect_err("empty").code(), "TV-C07");
        assert_eq!(with("withdraws", json!(vec!["aa".repeat(32); 65])).expect_err("many").code(), "TV-C07");
        assert_eq!(with("withdraws", json!(["aa"])).expect_err("no id").code(), "TV-C07");
        let mut up_to_none = document();
        up_to_none.as_object_mut().expect("object").remove("withdraws");
        up_to_none["withdraws_up_to"] = json!(0);
        assert_eq!(read(&up_to_none).expect_err("numbers begin with 1").code(), "TV-C07");
        assert_eq!(with("subject", json!("z6Mk")).expect_err("no key").code(), "TV-C07");
        assert_eq!(with("gateway", json!("")).expect_err("no gateway").code(), "TV-C07");
        assert_eq!(with("at", json!("now")).expect_err("time").code(), "TV-C07");
        assert_eq!(with("reason", json!("why not")).expect_err("unknown").code(), "TV-C06");
        assert_eq!(with("subject", json!(key(2).did().to_string())).expect_err("other").code(), "TV-C11");
        assert_eq!(with("status", json!("ConsentGiven")).expect_err("grant").code(), "TV-C13");
        let did = key(1).did().to_string();
        assert_eq!(with("signer", json!({"key": did, "role": "subject", "authority": "x"})).expect_err("authority").code(), "TV-C07");
        assert_eq!(with("signer", json!({"key": did, "role": "delegate"})).expect_err("delegate").code(), "TV-C07");
    }
}
