//! How far somebody may speak for a subject: to whom, what for, which fields, and at the most how revealing. Whatever is said in
//! a scope lies within it, or is refused with the member that does not.

use serde::{Deserialize, Serialize};

use super::document::{MatchDocument, RecipientDocument};
use super::record::{Consent, RECIPIENTS_MAX, RULES_MAX, Recipient, purpose};
use super::refusal::RecordRefusal;
use super::rule::{Effect, Rule, Which};
use super::text;
use crate::veil::name::{Purpose, SealKey};
use crate::veil::terms::Treatment;

const PURPOSES_MAX: usize = 128;

/// `"any"`, or these.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Breadth<T> {
    /// Whatever there is.
    Any(AnyWord),
    /// These and no others.
    These(Vec<T>),
}

/// The word for no bound.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum AnyWord {
    /// `any`; it is written out, as what is absent is not any.
    #[serde(rename = "any")]
    Any,
}

/// A scope as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeDocument {
    /// To whom.
    pub recipients: Breadth<RecipientDocument>,
    /// What for, DPV terms.
    pub purposes: Breadth<String>,
    /// Which fields, and at the most how revealing.
    pub permits: Breadth<PermitDocument>,
}

/// What may be permitted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitDocument {
    /// Which fields; at least one member.
    #[serde(rename = "match")]
    pub matches: MatchDocument,
    /// The least protective treatment.
    pub treatment: String,
    /// `none` or, where the treatment is `encrypt`, `recipient`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
}

/// A checked scope; `None` is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    recipients: Option<Vec<Recipient>>,
    purposes: Option<Vec<Purpose>>,
    permits: Option<Vec<Permit>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Permit {
    which: Which,
    treatment: Treatment,
    recipient_holds_key: bool,
}

impl Permit {
    /// Whether a permit of the other kind is no more than this one. Sealed to the recipient is the whole value to the recipient,
    /// whatever stands between `keep` and `encrypt`.
    fn allows(&self, which: &Which, treatment: Treatment, recipient_holds_key: bool) -> bool {
        let key = self.treatment == Treatment::Keep || (self.treatment == Treatment::Encrypt && self.recipient_holds_key);
        self.which.covers(which) && treatment >= self.treatment && (!recipient_holds_key || key)
    }
}

impl Scope {
    /// Refuses a record that says more than this.
    pub(super) fn check(&self, consent: &Consent) -> Result<(), RecordRefusal> {
        self.check_reach(&consent.recipients, &consent.purposes)?;
        for (i, rule) in consent.rules.iter().enumerate() {
            if rule.effect == Effect::Permit && !self.permits(&Which::from(rule), rule.treatment, rule.recipient_holds_key) {
                return Err(RecordRefusal::Widens(format!("rules[{i}]")));
            }
        }
        Ok(())
    }

    /// Refuses a scope that is wider than this.
    pub(super) fn check_within(&self, inner: &Self) -> Result<(), RecordRefusal> {
        fn these<T>(inner: Option<&Vec<T>>) -> &[T] {
            inner.map_or(&[], Vec::as_slice)
        }
        // Empty lists stand for everybody and everything here as in a record that forbids.
        self.check_reach(these(inner.recipients.as_ref()), these(inner.purposes.as_ref())).map_err(|refusal| match refusal {
            RecordRefusal::Widens(member) => RecordRefusal::Widens(format!("scope.{member}")),
            other => other,
        })?;
        let permits = match (&self.permits, &inner.permits) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(inner)) => inner.iter().all(|permit| self.permits(&permit.which, permit.treatment, permit.recipient_holds_key)),
        };
        if permits { Ok(()) } else { Err(RecordRefusal::Widens("scope.permits".into())) }
    }

    /// Whether all of what a record permits is to recipients and for purposes of this scope.
    pub(super) fn reaches(&self, consent: &Consent) -> bool {
        self.check_reach(&consent.recipients, &consent.purposes).is_ok()
    }

    /// Whether some of a record is to a recipient and for a purpose of this scope, and so to be seen by who has it.
    pub fn touches(&self, consent: &Consent) -> bool {
        let recipient = consent.recipients.is_empty() || consent.recipients.iter().any(|recipient| self.has_recipient(recipient));
        recipient && (consent.purposes.is_empty() || consent.purposes.iter().any(|purpose| self.has_purpose(purpose)))
    }

    /// Whether a workload may be told of, for a purpose.
    pub fn has(&self, who: &super::record::Matcher, purpose: &Purpose) -> bool {
        self.recipients.as_ref().is_none_or(|all| all.iter().any(|known| known.who == *who)) && self.has_purpose(purpose)
    }

    fn check_reach(&self, recipients: &[Recipient], purposes: &[Purpose]) -> Result<(), RecordRefusal> {
        if (recipients.is_empty() && self.recipients.is_some()) || !recipients.iter().all(|recipient| self.has_recipient(recipient)) {
            return Err(RecordRefusal::Widens("recipients".into()));
        }
        if (purposes.is_empty() && self.purposes.is_some()) || !purposes.iter().all(|purpose| self.has_purpose(purpose)) {
            return Err(RecordRefusal::Widens("purposes".into()));
        }
        Ok(())
    }

    fn has_recipient(&self, recipient: &Recipient) -> bool {
        // A key that the scope names is the only one; who may choose another would choose who opens.
        let same = |known: &Recipient| {
            known.who == recipient.who && (known.key.is_none() || recipient.key.is_none() || known.key == recipient.key)
        };
        self.recipients.as_ref().is_none_or(|all| all.iter().any(same))
    }

    fn has_purpose(&self, purpose: &Purpose) -> bool {
        self.purposes.as_ref().is_none_or(|all| all.contains(purpose))
    }

    fn permits(&self, which: &Which, treatment: Treatment, recipient_holds_key: bool) -> bool {
        self.permits.as_ref().is_none_or(|all| all.iter().any(|permit| permit.allows(which, treatment, recipient_holds_key)))
    }

    /// What may be permitted, in words.
    pub fn words(&self) -> Vec<String> {
        let Some(permits) = &self.permits else { return vec!["anything".into()] };
        let rule = |permit: &Permit| Rule {
            effect: Effect::Permit,
            category: permit.which.category,
            sensitivity: permit.which.sensitivity,
            selector: permit.which.selector.clone(),
            treatment: permit.treatment,
            recipient_holds_key: permit.recipient_holds_key,
        };
        permits.iter().map(|permit| rule(permit).to_string()).collect()
    }

    /// To whom; none: anybody.
    pub fn recipients(&self) -> Option<&[Recipient]> {
        self.recipients.as_deref()
    }

    /// What for; none: anything.
    pub fn purposes(&self) -> Option<&[Purpose]> {
        self.purposes.as_deref()
    }
}

/// Whether a vault that a record names is the one that the delegation allows: another would be opened by whoever chose it.
pub(super) fn check_vault(allowed: Option<SealKey>, named: Option<SealKey>) -> Result<(), RecordRefusal> {
    if named.is_none() || named == allowed { Ok(()) } else { Err(RecordRefusal::Widens("vault_key".into())) }
}

impl<T> Breadth<T> {
    /// Whatever there is.
    pub const ANY: Self = Self::Any(AnyWord::Any);

    fn these(&self) -> Option<&[T]> {
        match self {
            Self::Any(AnyWord::Any) => None,
            Self::These(these) => Some(these),
        }
    }
}

impl ScopeDocument {
    pub(super) fn check(&self) -> Result<Scope, RecordRefusal> {
        let recipients = self.recipients.these().map(|these| {
            text::count("scope.recipients", these, 1, RECIPIENTS_MAX, "`any`, or a list of 1 to 64 recipients")?;
            these.iter().enumerate().map(|(i, recipient)| recipient.check("scope.recipients", i, false)).collect::<Result<Vec<_>, _>>()
        });
        let purposes = self.purposes.these().map(|these| {
            text::count("scope.purposes", these, 1, PURPOSES_MAX, "`any`, or a list of 1 to 128 purposes")?;
            these.iter().map(|term| purpose(term)).collect::<Result<Vec<_>, _>>()
        });
        let permits = self.permits.these().map(|these| {
            text::count("scope.permits", these, 1, RULES_MAX, "`any`, or a list of 1 to 256 permits")?;
            these.iter().enumerate().map(|(i, permit)| permit.check(&format!("scope.permits[{i}]"))).collect::<Result<Vec<_>, _>>()
        });
        Ok(Scope { recipients: recipients.transpose()?, purposes: purposes.transpose()?, permits: permits.transpose()? })
    }
}

impl PermitDocument {
    fn check(&self, at: &str) -> Result<Permit, RecordRefusal> {
        let bad = |member: &str, expected| RecordRefusal::member(format!("{at}.{member}"), expected);
        let treatment = Treatment::parse(&self.treatment).ok_or_else(|| bad("treatment", "a treatment, such as `keep` or `encrypt`"))?;
        let recipient_holds_key = text::holds_key(&format!("{at}.keys"), self.keys.as_deref(), treatment)?;
        Ok(Permit { which: self.matches.check(at)?, treatment, recipient_holds_key })
    }
}
