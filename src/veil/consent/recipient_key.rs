//! A statement of a recipient's did:key: this workload opens what is sealed for me, with this key.

use serde::{Deserialize, Serialize};

use super::envelope::Payload;
use super::refusal::RecordRefusal;
use super::text;
use crate::veil::name::{Did, Origin, SealKey, Spiffe, UnixMs};

/// The media type of recipient key statements.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.recipient-key+json;v=1";

/// A statement as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientKeyDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// Who states it, as consents name them.
    pub did: String,
    /// The workload that speaks for them.
    pub spiffe: String,
    /// The X25519 Multikey.
    pub key: String,
    /// Until when, RFC 3339 UTC.
    pub expires: String,
}

/// A checked statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientKey {
    /// The gateway it is for.
    pub gateway: Origin,
    /// Who states it.
    pub did: Did,
    /// The workload.
    pub spiffe: Spiffe,
    /// The key.
    pub key: SealKey,
    /// Until when.
    pub expires: UnixMs,
}

impl RecipientKey {
    /// Refuses a statement that has ended, or that another workload than its own brings.
    pub fn check(&self, caller: &Spiffe, now: UnixMs) -> Result<(), RecordRefusal> {
        if &self.spiffe != caller {
            return Err(RecordRefusal::WrongHolder);
        }
        if self.expires <= now { Err(RecordRefusal::Expired { at: self.expires }) } else { Ok(()) }
    }
}

impl Payload for RecipientKey {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: RecipientKeyDocument = text::json(payload)?;
        Ok(Self {
            gateway: text::origin("gateway", &document.gateway)?,
            did: text::did("did", &document.did)?,
            spiffe: text::spiffe("spiffe", &document.spiffe)?,
            key: text::seal_key("key", &document.key)?,
            expires: text::instant("expires", &document.expires)?,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.did
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GATEWAY, NOW, gateway, key, seal_key, signed};
    use super::*;
    use crate::veil::consent::envelope::Signed;
    use serde_json::{Value, json};

    fn read(member: &str, value: Value) -> Result<RecipientKey, RecordRefusal> {
        let mut document = json!({"gateway": GATEWAY, "did": key(3).did().to_string(), "spiffe": "spiffe://lab.example/reader",
                                  "key": seal_key(3).to_string(), "expires": NOW.to_string()});
        document[member] = value;
        let envelope = signed(MEDIA_TYPE, &document, &[&key(3)]);
        Signed::<RecipientKey>::new(&envelope)?.verify(&gateway()).map(|verified| verified.get().clone())
    }

    #[test]
    fn a_statement_binds_a_key_to_its_workload_until_it_ends() {
        let statement = read("gateway", json!(GATEWAY)).expect("good");
        let caller = Spiffe::parse("spiffe://lab.example/reader").expect("good");
        let other = Spiffe::parse("spiffe://lab.example/other").expect("good");
        assert_eq!(statement.check(&caller, UnixMs(NOW.0 - 1)), Ok(()));
        assert_eq!(statement.check(&caller, NOW), Err(RecordRefusal::Expired { at: NOW }));
        assert_eq!(statement.check(&other, UnixMs(NOW.0 - 1)), Err(RecordRefusal::WrongHolder));
    }

    #[test]
    fn each_thing_wrong_with_a_statement_refuses_it() {
        for (member, value, code) in [
            ("did", json!(key(2).did().to_string()), "TV-C05"),
            ("did", json!("z6Mk"), "TV-C07"),
            ("gateway", json!(""), "TV-C07"),
            ("key", json!(key(2).did().to_string()), "TV-C07"),
            ("spiffe", json!("reader"), "TV-C07"),
            ("expires", json!("never"), "TV-C07"),
            ("gateway", json!("log.other.example"), "TV-C12"),
            ("scope", json!("all"), "TV-C06"),
        ] {
            assert_eq!(read(member, value).expect_err(member).code(), code);
        }
    }
}
