//! Which views are tried: the gateway's own decisions, at the extremes and in between.

use crate::cli::agreements::SOME_KEY;
use crate::cli::configured::{Record, given};
use crate::config::Party;
use crate::veil::consent::deciding::{Deciding, DecidingRule};
use crate::veil::consent::record::SignerRole;
use crate::veil::consent::rule::{Effect, Rule};
use crate::veil::name::{Purpose, RecordId};
use crate::veil::oracle::Dice;
use crate::veil::policy::{Decision, FloorTable, decide};
use crate::veil::risk::everything;
use crate::veil::schema::Schema;
use crate::veil::terms::{Sensitivity, Treatment};

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
    consents: &'s [Record],
    random: u32,
    found: Vec<Candidate>,
}

impl<'s> Candidates<'s> {
    pub(super) fn new(schema: &'s Schema, consents: &'s [Record], random: u32) -> Self {
        Self { schema, consents, random, found: Vec::new() }
    }

    /// The decisions for one recipient and purpose.
    pub(super) fn add(&mut self, party: &Party, purpose: &Purpose, floors: &FloorTable, dice: &mut Dice) {
        let about = |permission: &str| format!("{} for {purpose}, {permission}", party.spiffe);
        self.push(decide(self.schema, floors, None, None), about("nothing permitted"));
        for (treatment, permission) in [(Treatment::Keep, "everything permitted"), (Treatment::Encrypt, "everything sealed")] {
            let rules = everything(treatment);
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
