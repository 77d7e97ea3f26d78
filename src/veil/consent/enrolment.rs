//! An enrolment: the holder of a did:key and the party behind a source agree that a value in the source's frames means
//! that holder. The gateway keeps a keyed hash of the value only.

use serde::{Deserialize, Serialize};

use super::envelope::Payload;
use super::refusal::RecordRefusal;
use super::text;
use crate::veil::crypto::hash::{hmac_sha256, lp};
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{Did, Handle, Origin, Spiffe, UnixMs};

/// The media type of enrolments.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.enrolment+json;v=1";
/// The longest value of a subject in frames, in bytes.
pub const VALUE_BYTES_MAX: usize = 512;

/// An enrolment as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The SPIFFE id of the source.
    pub source: String,
    /// What the source's frames say instead of the did:key; integers in decimal.
    pub value: String,
    /// Whom it means.
    pub did: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
}

/// A checked enrolment. Its `Debug` does not tell the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The gateway it is for.
    pub gateway: Origin,
    /// The source.
    pub source: Spiffe,
    /// Whom the value means; one of the two signers.
    pub did: Did,
    /// When it was signed, by the clock of the signers.
    pub at: UnixMs,
    value: Box<str>,
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrolment").field("source", &self.source).field("did", &self.did).finish_non_exhaustive()
    }
}

impl Enrolment {
    /// All of the value that may rest.
    pub fn handle(&self, handle_key: &Secret<32>) -> Handle {
        handle(handle_key, &self.source, self.value.as_bytes())
    }
}

/// `HMAC-SHA256(handle key, lp(source) | source | value)`.
pub fn handle(handle_key: &Secret<32>, source: &Spiffe, value: &[u8]) -> Handle {
    let source = source.as_str().as_bytes();
    Handle(hmac_sha256(handle_key.expose(), &[&lp(source), source, value]))
}

impl Payload for Enrolment {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: EnrolmentDocument = text::json(payload)?;
        if document.value.is_empty() || document.value.len() > VALUE_BYTES_MAX {
            return Err(RecordRefusal::member("value", "a text of 1 to 512 bytes"));
        }
        // A did:key in a frame always means itself; enrolling it for another would let one person speak as two.
        if document.value.starts_with("did:") {
            return Err(RecordRefusal::member("value", "a source's own value: a did:key means itself and needs no enrolment"));
        }
        Ok(Self {
            gateway: text::origin("gateway", &document.gateway)?,
            source: text::spiffe("source", &document.source)?,
            did: text::did("did", &document.did)?,
            at: text::instant("at", &document.at)?,
            value: document.value.into(),
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
    use super::super::testing::{GATEWAY, NOW, gateway, key, signed};
    use super::*;
    use crate::veil::consent::envelope::{Signed, Verified};
    use serde_json::{Value, json};

    fn document() -> Value {
        json!({"gateway": GATEWAY, "source": "spiffe://hospital.example/monitor", "value": "patient-4711",
               "did": key(1).did().to_string(), "at": NOW.to_string()})
    }

    fn read(document: &Value) -> Result<Verified<Enrolment>, RecordRefusal> {
        Signed::new(&signed(MEDIA_TYPE, document, &[&key(1), &key(7)]))?.verify(&gateway())
    }

    #[test]
    fn an_enrolment_carries_both_signatures_and_hides_its_value() {
        let enrolment = read(&document()).expect("good");
        assert!(enrolment.signed_by(&key(1).did()) && enrolment.signed_by(&key(7).did()));
        assert!(!format!("{enrolment:?}").contains("4711"));
    }

    #[test]
    fn a_handle_depends_on_the_key_the_source_and_the_value_and_where_they_meet() {
        let secret = |byte: u8| Secret::take(&mut [byte; 32]);
        let source = |name: &str| Spiffe::parse(&format!("spiffe://h.example/{name}")).expect("good");
        let handles = [
            handle(&secret(1), &source("a"), b"1"),
            handle(&secret(2), &source("a"), b"1"),
            handle(&secret(1), &source("b"), b"1"),
            handle(&secret(1), &source("a"), b"2"),
            handle(&secret(1), &source("a1"), b""),
        ];
        for (i, one) in handles.iter().enumerate() {
            assert!(handles.iter().skip(i + 1).all(|other| other != one));
        }
    }

    #[test]
    fn each_thing_wrong_with_an_enrolment_refuses_it() {
        for (member, value, code) in [
            ("value", json!(""), "TV-C07"),
            ("value", json!("x".repeat(513)), "TV-C07"),
            ("value", json!(key(2).did().to_string()), "TV-C07"),
            ("value", json!(4711), "TV-C06"),
            ("source", json!("monitor"), "TV-C07"),
            ("did", json!(key(2).did().to_string()), "TV-C05"),
            ("did", json!("z6Mk"), "TV-C07"),
            ("at", json!("today"), "TV-C07"),
            ("gateway", json!(""), "TV-C07"),
            ("gateway", json!("log.other.example"), "TV-C12"),
            ("ward", json!("3"), "TV-C06"),
        ] {
            let mut document = document();
            document[member] = value;
            assert_eq!(read(&document).expect_err(member).code(), code, "{member}");
        }
    }
}
