//! What the measured view rests on beside schema and policy: what the subjects permit, and the operator's mandate.

use crate::cli::configured::{Record, given};
use crate::cli::terms::made_up;
use crate::cli::wallet::unsigned;
use crate::cli::{CliError, now};
use crate::client::wallet::Wallet;
use crate::config::Party;
use crate::veil::consent::deciding::{Deciding, DecidingRule};
use crate::veil::consent::document::{MatchDocument, RecipientDocument, RuleDocument};
use crate::veil::consent::envelope::{Envelope, Signed};
use crate::veil::consent::record::{Consent, SignerRole};
use crate::veil::consent::rule::{Effect, Rule};
use crate::veil::consent::standing::Head;
use crate::veil::name::{Origin, Purpose, RecordId, SealKey, Spiffe};
use crate::veil::policy::{Decision, FloorTable, decide};
use crate::veil::schema::Schema;
use crate::veil::terms::{Sensitivity, Treatment};
use crate::world::entropy;

/// What subjects permit, and what the operator's mandate does.
#[derive(Debug)]
pub(super) struct Agreed {
    subject: Vec<RuleDocument>,
    mandate: Vec<RuleDocument>,
    /// The same as they act, once signed.
    rules: [Vec<Rule>; 2],
    /// The same in words.
    pub(super) words: String,
    gateway: Origin,
    purpose: Purpose,
    /// The recipient's.
    key: SealKey,
}

impl Agreed {
    /// As the command line says: rules, or consents, or nothing; then as much as the policy lets through.
    pub(super) fn make(
        rules: &[RuleDocument],
        consents: &[Record],
        gateway: &Origin,
        party: &Party,
        purpose: &Purpose,
    ) -> Result<Self, CliError> {
        let all: Vec<RuleDocument> = Sensitivity::ALL.iter().map(|sensitivity| everything(*sensitivity)).collect();
        let from = |role| -> Vec<RuleDocument> {
            let deciding = given(consents, role, party, purpose);
            deciding.rules.iter().map(|deciding| written(deciding.rule)).collect()
        };
        let (subject, mandate, words) = match (rules, consents) {
            ([], []) => (all.clone(), all, "subjects and the operator permit everything that the policy does".to_owned()),
            (rules, []) => (rules.to_vec(), all, "subjects permit what the command line says, the operator everything".to_owned()),
            (_, consents) => {
                let (subject, mandate) = (from(SignerRole::Subject), from(SignerRole::Operator));
                let mandated = consents.iter().any(Record::is_mandate);
                let words = format!(
                    "{} rules of the consents apply, {}",
                    subject.len(),
                    if mandated { "and the mandates" } else { "the operator permits everything" }
                );
                (subject, if mandated { mandate } else { all }, words)
            }
        };
        let mut agreed = Self {
            subject,
            mandate,
            rules: Default::default(),
            words,
            gateway: gateway.clone(),
            purpose: purpose.clone(),
            key: Wallet::generate(&mut entropy()).vault_key(),
        };
        // Signed once and thrown away: what a gateway would not take is found here.
        let probe = |role| -> Result<Vec<Rule>, CliError> {
            let Some(record) = agreed.sign(&Wallet::generate(&mut entropy()), role, &[&party.spiffe])? else { return Ok(Vec::new()) };
            let verified = Signed::<Consent>::new(&record).and_then(|signed| signed.verify(gateway)).map_err(|error| unsigned(&error))?;
            Ok(verified.get().rules.clone())
        };
        agreed.rules = [probe(SignerRole::Subject)?, probe(SignerRole::Operator)?];
        Ok(agreed)
    }

    /// What is decided on that ground; `None` where nothing flows.
    pub(super) fn decide(&self, schema: &Schema, floors: &FloorTable) -> Option<Decision> {
        let [subject, mandate] = self.rules.each_ref().map(|rules| self.deciding(rules));
        let decision = decide(schema, floors, Some(&subject), Some(&mandate));
        decision.delivers(schema, Some(&subject), Some(&mandate)).then_some(decision)
    }

    fn deciding<'r>(&self, rules: &'r [Rule]) -> Deciding<'r> {
        // As a gateway has them: forbids first.
        let of = |effect: Effect| (0..).zip(rules).filter(move |(_, rule)| rule.effect == effect);
        let rules = of(Effect::Forbid).chain(of(Effect::Permit));
        let rules = rules.map(|(index, rule)| DecidingRule { record: RecordId([0; 32]), index, rule }).collect();
        Deciding { rules, recipient_key: Some(self.key), vault_key: Some(self.key), ..Deciding::default() }
    }

    /// The record that says so, to these recipients; none, where there is nothing to say.
    pub(super) fn sign(&self, wallet: &Wallet, role: SignerRole, to: &[&Spiffe]) -> Result<Option<Envelope>, CliError> {
        let rules = if role.is_mandate() { &self.mandate } else { &self.subject };
        if rules.is_empty() {
            return Ok(None);
        }
        let at = now()?;
        let terms = made_up("signed for a measurement", self.recipients(rules, to), self.purpose.as_str(), rules.clone(), at);
        let record = wallet.grant(&terms, role, &self.gateway, Head::default(), at, &mut entropy());
        record.map(Some).map_err(|refusal| unsigned(&refusal))
    }

    fn recipients(&self, rules: &[RuleDocument], to: &[&Spiffe]) -> Vec<RecipientDocument> {
        let key = rules.iter().any(|rule| rule.keys.is_some()).then(|| self.key.to_string());
        let recipient =
            |spiffe: &&Spiffe| RecipientDocument { spiffe: Some(spiffe.to_string()), key: key.clone(), ..RecipientDocument::default() };
        to.iter().map(recipient).collect()
    }
}

fn everything(sensitivity: Sensitivity) -> RuleDocument {
    written(&Rule {
        effect: Effect::Permit,
        category: None,
        sensitivity: Some(sensitivity),
        selector: None,
        treatment: Treatment::Keep,
        recipient_holds_key: false,
    })
}

/// A rule as a record has it.
fn written(rule: &Rule) -> RuleDocument {
    RuleDocument {
        effect: match rule.effect {
            Effect::Permit => "permit".into(),
            Effect::Forbid => "forbid".into(),
        },
        matches: MatchDocument {
            category: rule.category.map(|category| category.word().into()),
            sensitivity: rule.sensitivity.map(|sensitivity| sensitivity.word().into()),
            selector: rule.selector.as_ref().map(ToString::to_string),
        },
        treatment: (rule.effect == Effect::Permit).then(|| rule.treatment.word().into()),
        keys: rule.recipient_holds_key.then(|| "recipient".into()),
    }
}
