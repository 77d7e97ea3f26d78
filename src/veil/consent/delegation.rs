//! A delegation: the subject (or, a step further, a delegate) and the delegate agree that the delegate speaks for the subject,
//! within a scope and until an end. Both sign; either side ends it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::document::SignerDocument;
use super::envelope::Payload;
use super::record::PERMIT_MS_MAX;
use super::refusal::RecordRefusal;
use super::scope::{Scope, ScopeDocument};
use super::signer::{Allowed, By};
use super::text;
use crate::veil::name::{Did, Origin, RecordId, SealKey, UnixMs};

/// The media type of delegations.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.delegation+json;v=1";
/// How many times a delegation may be handed on, at the most.
pub const DEPTH_MAX: u8 = 3;

/// A delegation as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationDocument {
    /// For whom the delegate will speak.
    pub subject: String,
    /// Who delegates: the subject, or a delegate whose own delegation has depth left.
    pub signer: SignerDocument,
    /// The did:key that will speak; it signs, too.
    pub delegate: String,
    /// As what: `guardian`, `proxy` or `steward`.
    pub capacity: String,
    /// The log origin of the gateway.
    pub gateway: String,
    /// The number in the subject's chain, from 1.
    pub seq: u64,
    /// The id of the record before it; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// From when; absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Until when.
    pub expires: String,
    /// What the delegate may do: `view`, `grant`, `renew`, `withdraw`.
    pub rights: Vec<String>,
    /// How many times it may be handed on; 0 unless it says.
    #[serde(default)]
    pub depth: u8,
    /// How far.
    pub scope: ScopeDocument,
    /// The only vault that the delegate's grants may name; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_key: Option<String>,
}

/// A checked delegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// For whom the delegate speaks.
    pub subject: Did,
    /// Who delegates.
    pub by: By,
    /// Who speaks.
    pub delegate: Did,
    /// As what.
    pub capacity: Capacity,
    /// The gateway it is for.
    pub gateway: Origin,
    /// The number in the subject's chain.
    pub seq: u64,
    /// The record before it.
    pub prev: Option<RecordId>,
    /// When it was signed, by the clock of the signer.
    pub at: UnixMs,
    /// From when, where it says so.
    pub not_before: Option<UnixMs>,
    /// Until when.
    pub expires: UnixMs,
    /// What the delegate may do, each once.
    pub rights: Vec<Right>,
    /// How many times it may be handed on.
    pub depth: u8,
    /// How far.
    pub scope: Scope,
    /// The only vault that the delegate's grants may name.
    pub vault_key: Option<SealKey>,
}

/// What a delegate may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// See what is granted, and why a recipient gets what it gets.
    View,
    /// Grant and forbid.
    Grant,
    /// Renew what is granted, on the same terms.
    Renew,
    /// Withdraw.
    Withdraw,
}

impl Right {
    /// Every right.
    pub const ALL: &'static [Self] = &[Self::View, Self::Grant, Self::Renew, Self::Withdraw];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Grant => "grant",
            Self::Renew => "renew",
            Self::Withdraw => "withdraw",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|right| right.word() == word)
    }
}

/// As what a delegate speaks. It informs; rights and scope say what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// For somebody who can't (yet) speak for themselves.
    Guardian,
    /// For somebody who asked for it.
    Proxy,
    /// For an asset.
    Steward,
}

impl Capacity {
    /// Every capacity.
    pub const ALL: &'static [Self] = &[Self::Guardian, Self::Proxy, Self::Steward];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Guardian => "guardian",
            Self::Proxy => "proxy",
            Self::Steward => "steward",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Payload for Delegation {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: DelegationDocument = text::json(payload)?;
        let subject = text::did("subject", &document.subject)?;
        let by = document.signer.check(subject, Allowed::ForSubject)?;
        let delegate = text::did("delegate", &document.delegate)?;
        if delegate == subject || delegate == by.key {
            return Err(RecordRefusal::member("delegate", "somebody else than who delegates, or the subject"));
        }
        let capacity = Capacity::ALL.iter().copied().find(|capacity| capacity.word() == document.capacity);
        let capacity = capacity.ok_or_else(|| RecordRefusal::member("capacity", "`guardian`, `proxy` or `steward`"))?;
        let prev = text::place_in_chain(document.seq, document.prev.as_deref())?;
        let at = text::instant("at", &document.at)?;
        let not_before = document.not_before.as_deref().map(|from| text::instant("not_before", from)).transpose()?;
        let expires = text::instant("expires", &document.expires)?;
        text::lifetime(at, not_before, expires)?;
        if expires.0.saturating_sub(at.0) > PERMIT_MS_MAX {
            return Err(RecordRefusal::Endless);
        }
        text::count("rights", &document.rights, 1, Right::ALL.len(), "a list of 1 to 4 rights")?;
        let mut rights = Vec::with_capacity(document.rights.len());
        for word in &document.rights {
            let right = Right::parse(word).filter(|right| !rights.contains(right));
            rights.push(right.ok_or_else(|| RecordRefusal::member("rights", "of `view`, `grant`, `renew`, `withdraw`, each once"))?);
        }
        if document.depth > DEPTH_MAX {
            return Err(RecordRefusal::member("depth", "a number from 0 to 3"));
        }
        Ok(Self {
            subject,
            by,
            delegate,
            capacity,
            gateway: text::origin("gateway", &document.gateway)?,
            seq: document.seq,
            prev,
            at,
            not_before,
            expires,
            rights,
            depth: document.depth,
            scope: document.scope.check()?,
            vault_key: document.vault_key.as_deref().map(|key| text::seal_key("vault_key", key)).transpose()?,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.by.key
    }

    fn cosigner(&self) -> Option<Did> {
        Some(self.delegate)
    }
}

impl Delegation {
    /// Whether the delegate may do this.
    pub fn allows(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// Refuses one that hands on more than this one has.
    pub(super) fn check_handed_on(&self, next: &Self) -> Result<(), RecordRefusal> {
        let widens = |member: &str| Err(RecordRefusal::Widens(member.into()));
        if next.depth >= self.depth {
            return widens("depth");
        }
        if !next.rights.iter().all(|right| self.allows(*right)) {
            return widens("rights");
        }
        if next.expires > self.expires {
            return widens("expires");
        }
        super::scope::check_vault(self.vault_key, next.vault_key)?;
        self.scope.check_within(&next.scope)
    }
}

#[cfg(test)]
#[path = "delegation_tests.rs"]
mod tests;
