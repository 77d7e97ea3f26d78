//! Which rules decide for one recipient, purpose and instant.
//!
//! A forbid wins and matches a certificate, or everyone. A permit counts where it names both the recipient and the
//! purpose; what is absent is not "any". Of all permits that decide, the most protective treatment holds.
//!
//! Where the subject has a permit (or a plain refusal) in force for the recipient and purpose, delegates' records say nothing on it;
//! else they decide like the subject's own. The subject's forbids always count. What a delegate renewed is the subject's word if it was,
//! also when the delegation has ended and with it what it permits: then nobody permits anything in its place.

use super::obligations::Obligations;
use super::record::{Matcher, Recipient};
use super::rule::{Effect, Rule, Which};
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
    /// For which fields permits do not count, as signatures are missing that an agreement asks for.
    pub lacking: Vec<Lacking<'a>>,
    /// The recipient's key, as the deciding record (or a statement by its did:key) names it.
    pub recipient_key: Option<SealKey>,
    /// The vault of the signer, as the newest deciding record names it.
    pub vault_key: Option<SealKey>,
    /// What the deciding permits oblige the recipient to.
    pub obligations: Vec<&'a Obligations>,
    /// Deciding records whose uses are counted.
    pub counted: Vec<Counted>,
    /// When this stops being right by itself.
    pub valid_until: UnixMs,
}

/// A record whose uses are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The record.
    pub record: RecordId,
    /// How many there are.
    pub max: u64,
}

/// An instant, and which records were used up by then: a standing does not know.
#[derive(Clone, Copy)]
pub struct Moment<'m> {
    at: UnixMs,
    spent: &'m dyn Fn(&RecordId) -> bool,
}

impl<'m> Moment<'m> {
    /// This instant, with these records used up.
    pub fn new(at: UnixMs, spent: &'m dyn Fn(&RecordId) -> bool) -> Self {
        Self { at, spent }
    }
}

impl From<UnixMs> for Moment<'_> {
    fn from(at: UnixMs) -> Self {
        Self { at, spent: &|_| false }
    }
}

/// Fields for which the permits of a record do not count.
#[derive(Clone, Copy, Debug)]
pub struct Lacking<'a> {
    /// The record.
    pub record: RecordId,
    /// The agreement whose signatures it lacks.
    pub agreement: RecordId,
    /// Which fields; none: all.
    pub which: Option<&'a Which>,
}

impl Default for Deciding<'_> {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            lacking: Vec::new(),
            recipient_key: None,
            vault_key: None,
            obligations: Vec::new(),
            counted: Vec::new(),
            valid_until: UnixMs::NEVER,
        }
    }
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

impl<'a> Deciding<'a> {
    /// Adds what a record that decides says: its permits, and the keys that it names. Newest last: what the newest one names holds.
    fn permit(&mut self, grant: &'a Grant, named: &[&Recipient], who: &RecipientIdentity<'_>) {
        self.rules.extend(rules(grant, Effect::Permit));
        self.recipient_key = key_of(named, who).or(self.recipient_key);
        self.vault_key = grant.consent().vault_key.or(self.vault_key);
        self.obligations.push(&grant.consent().obligations);
        self.counted.extend(grant.consent().max_uses.map(|max| Counted { record: grant.id(), max }));
    }

    fn join(&mut self, other: Self) {
        self.rules.extend(other.rules);
        self.lacking.extend(other.lacking);
        self.recipient_key = other.recipient_key.or(self.recipient_key);
        self.vault_key = other.vault_key.or(self.vault_key);
        self.obligations.extend(other.obligations);
        self.counted.extend(other.counted);
        self.valid_until = self.valid_until.min(other.valid_until);
    }

    /// Whether a permit counts for anything: no agreement asks for more signatures on all that it means.
    pub fn counts(&self, at: &DecidingRule<'_>) -> bool {
        let covered = |lacking: &Lacking<'_>| lacking.which.is_none_or(|which| which.covers(&Which::from(at.rule)));
        !self.lacking.iter().any(|lacking| lacking.record == at.record && covered(lacking))
    }
}

impl Standing {
    /// Which rules decide, by the subject's own word and that of who speaks for them, what `who` may have for `purpose` at an
    /// instant.
    pub fn deciding<'m>(&self, who: &RecipientIdentity<'_>, purpose: &Purpose, at: impl Into<Moment<'m>>) -> Deciding<'_> {
        self.deciding_as(false, who, purpose, at.into())
    }

    /// A steward's key may speak for itself and for the operator: a record counts only in the role it was signed in.
    fn deciding_as(&self, mandate: bool, who: &RecipientIdentity<'_>, purpose: &Purpose, moment: Moment<'_>) -> Deciding<'_> {
        let Moment { at, spent } = moment;
        let (mut own, mut delegates) = (Deciding::default(), Deciding::default());
        let mut spoke = false;
        let mut grants: Vec<_> = self.grants().iter().filter(|grant| grant.consent().by.role.is_mandate() == mandate).collect();
        // What was said last names the keys, not what was renewed last.
        grants.sort_by_key(|grant| grant.word.seq);
        for grant in grants {
            let consent = grant.consent();
            // A word on one legal demand permits nothing else, and is no word on anything else either.
            if consent.demand.is_some() {
                continue;
            }
            if !consent.purposes.is_empty() && !consent.purposes.contains(purpose) {
                continue;
            }
            let named: Vec<&Recipient> = consent.recipients.iter().filter(|recipient| recipient.matches(who)).collect();
            if named.is_empty() && !consent.recipients.is_empty() {
                continue;
            }
            let lasts = grant.from() <= at && at < consent.expires;
            let (forbids_now, permits_now, stands) = match grant.state(at) {
                GrantState::Live => (true, true, true),
                // Hours are for what is permitted.
                GrantState::Closed => (true, false, true),
                // What ends is what was permitted, not what was forbidden.
                GrantState::Withdrawn => (lasts, false, false),
                // Nor is it unsaid when a delegation ends.
                GrantState::Ended => (lasts, false, lasts),
                GrantState::NotYet | GrantState::Expired | GrantState::Replaced => (false, false, false),
            };
            for boundary in grant.boundaries(at).into_iter().flatten().filter(|boundary| *boundary > at) {
                own.valid_until = own.valid_until.min(boundary);
            }
            let deciding = if grant.is_own() { &mut own } else { &mut delegates };
            if forbids_now {
                deciding.rules.extend(rules(grant, Effect::Forbid));
            }
            // A record that permits names its recipients and purposes; an empty list would be "any".
            let to_them = !named.is_empty() && !consent.purposes.is_empty();
            let used_up = consent.max_uses.is_some() && spent(&grant.id());
            if permits_now && consent.permits() && to_them && !used_up {
                deciding.permit(grant, &named, who);
                deciding.lacking.extend(self.lacking(grant));
            }
            // The subject's own word on this recipient and purpose, also where it says: not now, or not at all.
            let says = consent.permits() || consent.rules.is_empty();
            spoke |= grant.is_own() && to_them && says && stands;
        }
        if !spoke {
            own.join(delegates);
        }
        // Stable: within each effect the order of records stays.
        own.rules.sort_by_key(|deciding| deciding.rule.effect == Effect::Permit);
        own
    }

    /// Whether a record's permits lack signatures for any fields.
    pub fn lacks_signatures(&self, grant: &Grant) -> bool {
        self.lacking(grant).next().is_some()
    }

    /// For which fields a record's permits lack signatures.
    fn lacking<'a>(&'a self, grant: &'a Grant) -> impl Iterator<Item = Lacking<'a>> {
        let agreements = self.agreements().iter().filter(|agreed| agreed.replaced().is_none() && agreed.binds(grant.consent()));
        agreements.flat_map(move |agreed| {
            let short = agreed.agreement().rules.iter().filter(move |quorum| quorum.check(agreed.id(), grant.record()).is_err());
            short.map(move |quorum| Lacking { record: grant.id(), agreement: agreed.id(), which: quorum.which.as_ref() })
        })
    }
}

/// The mandates of all operators as one: forbids of any first, then permits of any; where two name a key, the last one's.
/// What their keys signed for themselves is no part of it.
pub fn mandate_deciding<'a, 'm>(
    mandates: impl IntoIterator<Item = &'a Standing>,
    who: &RecipientIdentity<'_>,
    purpose: &Purpose,
    at: impl Into<Moment<'m>>,
) -> Deciding<'a> {
    let moment = at.into();
    let mut all = Deciding::default();
    for mandate in mandates {
        all.join(mandate.deciding_as(true, who, purpose, moment));
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
