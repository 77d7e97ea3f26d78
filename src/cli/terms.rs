//! What records say beside who gets what, where a command signs them for people that it made up.

use crate::client::wallet::Terms;
use crate::veil::consent::document::{
    ControllerDocument, NoticeDocument, RecipientDocument, RuleDocument, StorageDocument, WithdrawalDocument,
};
use crate::veil::dpv;
use crate::veil::name::UnixMs;

/// How long such a record holds.
const HOLDS_MS: i64 = 24 * 3_600 * 1_000;
/// The privacy notice: nobody reads it, so its hash is of nothing (SHA-256 of the empty text).
const NOTICE_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The terms of a record that begins at once.
pub(super) fn made_up(method: &str, recipients: Vec<RecipientDocument>, purpose: &str, rules: Vec<RuleDocument>, now: UnixMs) -> Terms {
    let permits = rules.iter().any(|rule| rule.effect == "permit");
    Terms {
        status: if permits { dpv::GIVEN } else { dpv::REFUSED }.into(),
        method: method.into(),
        not_before: None,
        expires: permits.then(|| UnixMs(now.0.saturating_add(HOLDS_MS)).to_string()),
        max_uses: None,
        windows: Vec::new(),
        demand: None,
        notice: NoticeDocument { uri: "https://example.org/notice".into(), sha256: NOTICE_SHA256.into(), lang: "en".into() },
        controllers: vec![ControllerDocument {
            id: "https://example.org".into(),
            name: "Sample Hospital and Wind Farm".into(),
            address: "1 Sample Street".into(),
            contact: "dpo@example.org".into(),
            kind: "Organisation".into(),
            role: "DataController".into(),
        }],
        recipients,
        purposes: vec![purpose.into()],
        storage: StorageDocument { places: vec!["EU".into()], retention: "P1D".into() },
        jurisdiction: vec!["EU".into()],
        withdrawal: WithdrawalDocument { uri: "https://example.org/withdraw".into(), pre_signed: false },
        rules,
        replaces: Vec::new(),
    }
}
