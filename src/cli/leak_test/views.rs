//! Which views are tried: the gateway's own decisions, at the extremes and in between.

use std::collections::BTreeSet;

use crate::config::Party;
use crate::veil::consent::deciding::{Deciding, DecidingRule};
use crate::veil::consent::record::{Consent, Matcher, SignerRole};
use crate::veil::consent::rule::{Effect, Rule};
use crate::veil::dpv::PURPOSES;
use crate::veil::name::{Purpose, RecordId, SealKey};
use crate::veil::oracle::Dice;
use crate::veil::policy::{Decision, FloorTable, decide};
use crate::veil::schema::Schema;
use crate::veil::terms::{self, Sensitivity, Treatment};

/// A key that nobody holds: which one it is does not matter to a decision, that there is one does.
const SOME_KEY: SealKey = SealKey([9; 32]);

/// A decision, and for whom it was made.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) decision: Decision,
    /// Recipient, purpose and permission; the first of those with this decision.
    pub(super) about: String,
    /// How many others have the same.
    pub(super) alike: usize,
}

/// Decisions, each once.
pub(super) struct Candidates<'s> {
    schema: &'s Schema,
    consents: &'s [Consent],
    random: u32,
    found: Vec<Candidate>,
}

/// Purposes that the policy or a consent names, and one that stands for all the others.
pub(super) fn purposes(policy: &str, consents: &[Consent]) -> Vec<Purpose> {
    let literals = policy.split("Purpose::\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut named: BTreeSet<Purpose> = literals.filter_map(terms::purpose).collect();
    named.extend(consents.iter().flat_map(|consent| consent.purposes.iter().cloned()));
    let other = PURPOSES.iter().filter_map(|term| terms::purpose(&format!("dpv:{term}"))).find(|purpose| !named.contains(purpose));
    named.into_iter().chain(other).collect()
}

impl<'s> Candidates<'s> {
    pub(super) fn new(schema: &'s Schema, consents: &'s [Consent], random: u32) -> Self {
        Self { schema, consents, random, found: Vec::new() }
    }

    /// The decisions for one recipient and purpose.
    pub(super) fn add(&mut self, party: &Party, purpose: &Purpose, floors: &FloorTable, dice: &mut Dice) {
        let about = |permission: &str| format!("{} for {purpose}, {permission}", party.spiffe);
        self.push(decide(self.schema, floors, None, None), about("nothing permitted"));
        for (treatment, permission) in [(Treatment::Keep, "everything permitted"), (Treatment::Encrypt, "everything sealed")] {
            let rules: Vec<Rule> = Sensitivity::ALL.iter().map(|sensitivity| permit(*sensitivity, treatment)).collect();
            let all = deciding(&rules);
            self.push(decide(self.schema, floors, Some(&all), Some(&all)), about(permission));
        }
        if !self.consents.is_empty() {
            let subject = given(self.consents, SignerRole::Subject, party, purpose);
            let mandate = given(self.consents, SignerRole::Operator, party, purpose);
            self.push(decide(self.schema, floors, Some(&subject), Some(&mandate)), about("the consents given"));
        }
        for _ in 0..self.random {
            // A rule for every field: what is decided is never above the floors.
            let rules = self.schema.sites().iter().map(|site| Rule {
                selector: Some(site.path.clone()),
                sensitivity: None,
                ..permit(site.facts.sensitivity, *dice.pick(Treatment::ALL).unwrap_or(&Treatment::Strip))
            });
            let rules: Vec<Rule> = rules.collect();
            let drawn = deciding(&rules);
            self.push(decide(self.schema, floors, Some(&drawn), Some(&drawn)), about("treatments drawn"));
        }
    }

    fn push(&mut self, decision: Decision, about: String) {
        let done = |decision: &Decision| decision.sites.iter().map(|site| (site.treatment, site.holders)).collect::<Vec<_>>();
        let wanted = done(&decision);
        match self.found.iter_mut().find(|found| done(&found.decision) == wanted) {
            Some(found) => found.alike += 1,
            None => self.found.push(Candidate { decision, about, alike: 0 }),
        }
    }

    pub(super) fn into_distinct(self) -> Vec<Candidate> {
        self.found
    }
}

fn permit(sensitivity: Sensitivity, treatment: Treatment) -> Rule {
    Rule {
        effect: Effect::Permit,
        category: None,
        sensitivity: Some(sensitivity),
        selector: None,
        treatment,
        recipient_holds_key: treatment == Treatment::Encrypt,
    }
}

fn deciding(rules: &[Rule]) -> Deciding<'_> {
    let rules = (0..).zip(rules).map(|(index, rule)| DecidingRule { record: RecordId([0; 32]), index, rule }).collect();
    Deciding { rules, recipient_key: Some(SOME_KEY), vault_key: Some(SOME_KEY), ..Deciding::default() }
}

/// What the consents say to this recipient and purpose, as if all of them were in force. One that names a recipient by its
/// did:key is taken to mean whoever is tried.
pub(in crate::cli) fn given<'c>(consents: &'c [Consent], role: SignerRole, party: &Party, purpose: &Purpose) -> Deciding<'c> {
    let mut deciding = Deciding::default();
    let mut permits = Vec::new();
    for consent in consents.iter().filter(|consent| consent.by.role.is_mandate() == role.is_mandate()) {
        let named = consent.recipients.iter().find(|recipient| match &recipient.who {
            Matcher::Spiffe(spiffe) => *spiffe == party.spiffe,
            Matcher::Did(_) => true,
        });
        let purposed = consent.purposes.contains(purpose);
        if (named.is_none() && !consent.recipients.is_empty()) || (!purposed && !consent.purposes.is_empty()) {
            continue;
        }
        let rules = |effect: Effect| {
            let all = (0u32..).zip(&consent.rules).filter(move |(_, rule)| rule.effect == effect);
            all.map(|(index, rule)| DecidingRule { record: RecordId([0; 32]), index, rule })
        };
        deciding.rules.extend(rules(Effect::Forbid));
        if let (Some(recipient), true) = (named, purposed) {
            permits.extend(rules(Effect::Permit));
            deciding.recipient_key = recipient.key.or(deciding.recipient_key);
            deciding.vault_key = consent.vault_key.or(deciding.vault_key);
        }
    }
    deciding.rules.append(&mut permits);
    deciding
}
