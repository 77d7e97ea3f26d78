//! What a grant, refusal or mandate says, whoever signs it and when.

use serde::{Deserialize, Serialize};

use crate::veil::consent::document::{
    ConsentDocument, ControllerDocument, NoticeDocument, RecipientDocument, RuleDocument, StorageDocument, WithdrawalDocument,
};
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::windows::WindowDocument;
use crate::veil::dpv;
use crate::veil::name::{SealKey, UnixMs};

/// What a grant, refusal or mandate says; the wallet adds who, when, for which gateway and where in the chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// `ConsentGiven`, `RenewedConsentGiven` or `ConsentRefused`.
    pub status: String,
    /// How it was expressed, such as `signed in the wallet`.
    pub method: String,
    /// From when, RFC 3339 UTC; absent: at once.
    #[serde(default)]
    pub not_before: Option<String>,
    /// Until when; a permit needs one.
    #[serde(default)]
    pub expires: Option<String>,
    /// How many messages may be handed over under it; none: any number.
    #[serde(default)]
    pub max_uses: Option<u64>,
    /// At which hours of the week; none: always.
    #[serde(default)]
    pub windows: Vec<WindowDocument>,
    /// The one legal demand that it is for, by the id of its record; absent: for none. Then it is for one use, by one `spiffe`.
    #[serde(default)]
    pub demand: Option<String>,
    /// The privacy notice that was shown.
    pub notice: NoticeDocument,
    /// Who answers for the processing.
    pub controllers: Vec<ControllerDocument>,
    /// Who may receive; empty: everyone, where nothing is permitted.
    pub recipients: Vec<RecipientDocument>,
    /// What for, DPV terms; empty: everything, where nothing is permitted.
    pub purposes: Vec<String>,
    /// Where it may rest, and how long.
    pub storage: StorageDocument,
    /// Whose law applies.
    pub jurisdiction: Vec<String>,
    /// How to withdraw.
    pub withdrawal: WithdrawalDocument,
    /// What is allowed and forbidden.
    pub rules: Vec<RuleDocument>,
    /// Records that end when this one is taken.
    #[serde(default)]
    pub replaces: Vec<String>,
}

impl Terms {
    /// The terms of a record again, for a record that takes its place and ends later. What the gateway would not take as a renewal
    /// is found there.
    pub fn renewing(record: &Envelope, expires: UnixMs) -> Result<(Self, Option<SealKey>), RecordRefusal> {
        let document: ConsentDocument =
            serde_json::from_slice(&record.payload).map_err(|_| RecordRefusal::NotARenewal("the record is no grant"))?;
        let vault_key = document.vault_key.as_deref().and_then(|key| SealKey::parse(key).ok());
        let terms = Self {
            status: dpv::RENEWED.into(),
            method: document.method,
            not_before: None,
            expires: Some(expires.to_string()),
            max_uses: document.max_uses,
            windows: document.windows,
            demand: document.demand,
            notice: document.notice,
            controllers: document.controllers,
            recipients: document.recipients,
            purposes: document.purposes,
            storage: document.storage,
            jurisdiction: document.jurisdiction,
            withdrawal: document.withdrawal,
            rules: document.rules,
            replaces: vec![record.id().to_string()],
        };
        Ok((terms, vault_key))
    }
}
