//! Which rules decide for one recipient, purpose and instant.
//!
//! A forbid wins and matches a certificate, or everyone. A permit counts where it names both the recipient and the
//! purpose; what is absent is not "any". Of all permits that decide, the most protective treatment holds.

use super::record::{Matcher, Recipient, SignerRole};
use super::rule::{Effect, Rule};
use super::standing::{Grant, GrantState, Standing};
use crate::veil::name::{Did, Purpose, RecordId, SealKey, Spiffe, UnixMs};

/// A recipient as the gateway knows it.
#[derive(Clone, Copy, Debug)]
pub struct RecipientIdentity<'a> {
    /// By its certificate.
    pub spiffe: &'a Spiffe,
    /// By a did:key whose holder said that this workload speaks for them.
    pub did: Option<&'a Did>,
    /// The key in that statement.
    pub stated_key: Option<SealKey>,
}

/// The rules that decide for one recipient, purpose and instant, and the keys that go with them.
#[derive(Clone, Debug)]
pub struct Deciding<'a> {
    /// Forbids first, then the permits that decide.
    pub rules: Vec<DecidingRule<'a>>,
    /// The recipient's key, as the deciding record (or a statement by its did:key) names it.
    pub recipient_key: Option<SealKey>,
    /// The vault of the signer, as the newest deciding record names it.
    pub vault_key: Option<SealKey>,
    /// When this stops being right by itself.
    pub valid_until: UnixMs,
}

/// A rule and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct DecidingRule<'a> {
    /// The record.
    pub record: RecordId,
    /// The position in the record, from 0.
    pub index: u32,
    /// The rule.
    pub rule: &'a Rule,
}

impl Standing {
    /// Which rules decide, by the subject's own word, what `who` may have for `purpose` at an instant.
    pub fn deciding(&self, who: &RecipientIdentity<'_>, purpose: &Purpose, at: UnixMs) -> Deciding<'_> {
        self.deciding_as(SignerRole::Subject, who, purpose, at)
    }

    /// A steward's key may speak for itself and for the operator: a record counts only in the role it was signed in.
    fn deciding_as(&self, role: SignerRole, who: &RecipientIdentity<'_>, purpose: &Purpose, at: UnixMs) -> Deciding<'_> {
        let mut deciding = Deciding { rules: Vec::new(), recipient_key: None, vault_key: None, valid_until: UnixMs::NEVER };
        let mut permits = Vec::new();
        for grant in self.grants() {
            let consent = grant.consent();
            if consent.role != role {
                continue;
            }
            if !consent.purposes.is_empty() && !consent.purposes.contains(purpose) {
                continue;
            }
            let named: Vec<&Recipient> = consent.recipients.iter().filter(|recipient| recipient.matches(who)).collect();
            if named.is_empty() && !consent.recipients.is_empty() {
                continue;
            }
            let (forbids_now, permits_now) = match grant.state(at) {
                GrantState::Live => (true, true),
                // Withdrawing ends what was permitted, not what was forbidden.
                GrantState::Withdrawn => (grant.from() <= at && at < consent.expires, false),
                GrantState::NotYet | GrantState::Expired | GrantState::Replaced => (false, false),
            };
            for boundary in grant.boundaries().into_iter().flatten().filter(|boundary| *boundary > at) {
                deciding.valid_until = deciding.valid_until.min(boundary);
            }
            if forbids_now {
                deciding.rules.extend(rules(grant, Effect::Forbid));
            }
            // A record that permits names its recipients and purposes; an empty list would be "any".
            if permits_now && consent.permits() && !named.is_empty() && !consent.purposes.is_empty() {
                permits.extend(rules(grant, Effect::Permit));
                // Newest last: what the newest deciding record names holds.
                deciding.recipient_key = key_of(&named, who).or(deciding.recipient_key);
                deciding.vault_key = consent.vault_key.or(deciding.vault_key);
            }
        }
        deciding.rules.append(&mut permits);
        deciding
    }
}

/// The mandates of all operators as one: forbids of any first, then permits of any; where two name a key, the last one's.
/// What their keys signed for themselves is no part of it.
pub fn mandate_deciding<'a>(
    mandates: impl IntoIterator<Item = &'a Standing>,
    who: &RecipientIdentity<'_>,
    purpose: &Purpose,
    at: UnixMs,
) -> Deciding<'a> {
    let mut all = Deciding { rules: Vec::new(), recipient_key: None, vault_key: None, valid_until: UnixMs::NEVER };
    for mandate in mandates {
        let one = mandate.deciding_as(SignerRole::Operator, who, purpose, at);
        all.rules.extend(one.rules);
        all.recipient_key = one.recipient_key.or(all.recipient_key);
        all.vault_key = one.vault_key.or(all.vault_key);
        all.valid_until = all.valid_until.min(one.valid_until);
    }
    // Stable: within each effect the order of operators and records stays.
    all.rules.sort_by_key(|deciding| deciding.rule.effect == Effect::Permit);
    all
}

/// The rules of one effect, with their places in the record.
fn rules(grant: &Grant, effect: Effect) -> impl Iterator<Item = DecidingRule<'_>> {
    let all = (0u32..).zip(&grant.consent().rules);
    all.filter(move |(_, rule)| rule.effect == effect).map(|(index, rule)| DecidingRule { record: grant.id(), index, rule })
}

/// The key that the record gives the recipient, else the one that the matched did:key states.
fn key_of(named: &[&Recipient], who: &RecipientIdentity<'_>) -> Option<SealKey> {
    let by_did = named.iter().any(|recipient| matches!(recipient.who, Matcher::Did(_)));
    named.iter().rev().find_map(|recipient| recipient.key).or(if by_did { who.stated_key } else { None })
}

impl Recipient {
    fn matches(&self, who: &RecipientIdentity<'_>) -> bool {
        match &self.who {
            Matcher::Spiffe(id) => id == who.spiffe,
            Matcher::Did(did) => who.did == Some(did),
        }
    }
}

impl Grant {
    /// When it begins and ends by itself; never where it is over for good.
    fn boundaries(&self) -> [Option<UnixMs>; 2] {
        let consent = self.consent();
        match self.state(UnixMs(i64::MIN)) {
            GrantState::Replaced => [None, None],
            GrantState::Withdrawn if !consent.forbids() => [None, None],
            GrantState::Withdrawn | GrantState::Live | GrantState::NotYet | GrantState::Expired => {
                [Some(self.from()), Some(consent.expires)]
            }
        }
    }
}
