//! The consent record as it is written: the members of ISO/IEC TS 27560 as the W3C DPV guide profiles them (table 7.2),
//! and ours. [`super::record`] says what each may hold.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::windows::WindowDocument;

/// A consent record, member by member.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentDocument {
    /// A UUID that the wallet chose.
    pub record_id: String,
    /// Whom or what the data is about: a did:key used for this relation only.
    pub subject: String,
    /// Who speaks.
    pub signer: SignerDocument,
    /// The log origin of the gateway; the record says nothing to another.
    pub gateway: String,
    /// The number in the subject's chain, from 1.
    pub seq: u64,
    /// The id of the record before it; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    /// `ConsentGiven`, `RenewedConsentGiven` or `ConsentRefused`.
    pub status: String,
    /// How it was expressed, such as `signed in the wallet`.
    pub method: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// From when; absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Until when; a permit needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// How many messages may be handed over under it, where something is permitted; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u64>,
    /// At which hours of the week, where something is permitted; absent: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowDocument>,
    /// For which legal demand, and for nothing else: one use, one recipient, signed by the subject. Absent: for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<String>,
    /// The privacy notice that was shown.
    pub notice: NoticeDocument,
    /// Who answers for the processing.
    pub controllers: Vec<ControllerDocument>,
    /// Who may receive; empty: everyone, in a record that only forbids.
    pub recipients: Vec<RecipientDocument>,
    /// What for, DPV terms; empty: everything, in a record that only forbids.
    pub purposes: Vec<String>,
    /// Where it may rest, and how long.
    pub storage: StorageDocument,
    /// Whose law applies, such as `DE`.
    pub jurisdiction: Vec<String>,
    /// How to withdraw.
    pub withdrawal: WithdrawalDocument,
    /// The X25519 Multikey of the signer's vault; absent: nothing is sealed for the signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_key: Option<String>,
    /// What is allowed and forbidden.
    pub rules: Vec<RuleDocument>,
    /// Records that end when this one is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

/// Who speaks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerDocument {
    /// The did:key that signs.
    pub key: String,
    /// `subject`, `operator` for a mandate, `delegate`, or `signatory` of an agreement.
    pub role: String,
    /// The delegation, or agreement, that the signer acts under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// The privacy notice that was shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeDocument {
    /// Where it is.
    pub uri: String,
    /// Which text it was.
    pub sha256: String,
    /// Its language (BCP 47), such as `en`.
    pub lang: String,
}

/// Who answers for the processing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerDocument {
    /// A URI or other id.
    pub id: String,
    /// The legal name.
    pub name: String,
    /// The postal address.
    pub address: String,
    /// Where questions go.
    pub contact: String,
    /// What kind of organisation, such as `Hospital`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its part, such as `DataController`.
    pub role: String,
}

/// Who may receive. Exactly one way to match.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientDocument {
    /// The workload with this certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spiffe: Option<String>,
    /// The holder of this did:key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did: Option<String>,
    /// The X25519 Multikey that the recipient opens sealed fields with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whoever holds a credential; not accepted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Value>,
    /// A private relation identifier (DSNP); not accepted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prid: Option<Value>,
}

/// Where data may rest, and how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageDocument {
    /// Places, such as `DE` or `WithinDevice`.
    pub places: Vec<String>,
    /// An ISO 8601 duration.
    pub retention: String,
}

/// How to withdraw.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalDocument {
    /// Where.
    pub uri: String,
    /// Whether a withdrawal was signed together with the grant.
    pub pre_signed: bool,
}

/// One rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDocument {
    /// `permit` or `forbid`.
    pub effect: String,
    /// Which fields; at least one member.
    #[serde(rename = "match")]
    pub matches: MatchDocument,
    /// The least protective treatment; a forbid has none, or `strip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treatment: Option<String>,
    /// `none` or, where the treatment is `encrypt`, `recipient`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
}

/// Which fields: all members that are there must agree.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchDocument {
    /// A category, such as `health`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// A sensitivity, such as `special`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<String>,
    /// A path, such as `vitals.heart_rate_bpm`, and everything below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}
