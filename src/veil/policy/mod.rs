//! Step 3b: what may this recipient have? The operator's policy gives a floor table per schema, recipient and purpose;
//! [`decide`] joins it with the schema's floors and the consents into a treatment and a reason for every site.

mod decide;
#[cfg(feature = "policy")]
pub mod floor;
mod spends;
mod warranted;

pub use decide::decide;
pub use spends::spends;
pub use warranted::warranted;

use super::name::{FieldPath, PolicyId, RecordId};
use super::terms::Treatment;

/// What the operator's policy allows at the least, for every site of a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct FloorTable(pub Vec<Floor>);

/// The operator's word on one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    /// The least protective treatment.
    pub treatment: Treatment,
    /// Which policy says so; `None`: no policy allows anything more.
    pub policy: Option<PolicyId>,
}

/// A treatment and its reason for every site.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// By [`super::schema::SiteId`].
    pub sites: Vec<Decided>,
}

/// What is done to one site, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// What is done.
    pub treatment: Treatment,
    /// Who can open it, where it is encrypted.
    pub holders: Holders,
    /// Who decided.
    pub reason: Reason,
}

/// Who can open a sealed value. A vault always can, where its owner named one; each variant is a slot of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holders {
    /// The subject's vault alone.
    Vault,
    /// The recipient, by the subject's word, and the subject's vault.
    VaultAndRecipient,
    /// The vault of whoever signed the operator's mandate.
    MandateVault,
    /// The recipient, by the mandate's word, and the mandate's vault.
    MandateVaultAndRecipient,
}

impl Holders {
    /// Every set of key holders.
    pub const ALL: &'static [Self] = &[Self::Vault, Self::VaultAndRecipient, Self::MandateVault, Self::MandateVaultAndRecipient];

    /// Who it is, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Vault => "the subject",
            Self::VaultAndRecipient => "the recipient and the subject",
            Self::MandateVault => "the operator",
            Self::MandateVaultAndRecipient => "the recipient and the operator",
        }
    }
}

/// Who decided a treatment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody classified the field.
    Unclassified,
    /// The schema's own floor.
    Floor,
    /// A policy of the operator.
    Policy(PolicyId),
    /// No policy of the operator allows it.
    NoPolicy,
    /// A rule of a consent of the subject, counted from 0.
    Consent(RecordId, u32),
    /// A rule of the operator's mandate, counted from 0.
    Mandate(RecordId, u32),
    /// No consent of the subject covers it.
    NoConsent,
    /// No mandate of the operator covers it.
    NoMandate,
    /// A record permits it, and lacks signatures that this agreement asks for.
    Unsigned(RecordId),
    /// A rule that forbids, counted from 0.
    Forbidden(RecordId, u32),
    /// It would be encrypted, but nobody named a key for it.
    NoKey,
    /// The treatment that was decided does not exist for this type.
    Undefined(Treatment),
    /// A coordinate can't be more precise than its pair.
    Pair(FieldPath),
    /// A proto2 `required` field of the same message is stripped; stock stubs refuse the message without it.
    Required(FieldPath),
    /// It would be encrypted, in an element that is about one of several subjects: sealed groups are for whole messages.
    InElement,
    /// Public, and nothing says otherwise.
    Public,
    /// Released under this decision of a legal demand.
    Warrant(RecordId),
    /// It is not among what was decided to be released under a legal demand.
    NotWarranted,
}

impl Reason {
    /// What decided, in one word: `default` where nothing was said and so nothing is shown, or nothing better is possible.
    pub const fn decided_by(&self) -> &'static str {
        match self {
            Self::Consent(..) => "consent",
            Self::Mandate(..) => "mandate",
            Self::Forbidden(..) => "forbid",
            Self::Unsigned(_) => "agreement",
            Self::Policy(_) => "policy",
            Self::Floor | Self::Public => "schema",
            Self::Warrant(_) => "warrant",
            Self::Unclassified
            | Self::NoPolicy
            | Self::NoConsent
            | Self::NoMandate
            | Self::NoKey
            | Self::Undefined(_)
            | Self::Pair(_)
            | Self::Required(_)
            | Self::InElement
            | Self::NotWarranted => "default",
        }
    }

    /// The record that decided, where one did.
    pub const fn record(&self) -> Option<RecordId> {
        match self {
            Self::Consent(record, _)
            | Self::Mandate(record, _)
            | Self::Forbidden(record, _)
            | Self::Unsigned(record)
            | Self::Warrant(record) => Some(*record),
            _ => None,
        }
    }

    /// The policy that decided, where one did.
    pub const fn policy(&self) -> Option<&PolicyId> {
        if let Self::Policy(id) = self { Some(id) } else { None }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unclassified => f.write_str("the schema does not classify it"),
            Self::Floor => f.write_str("the schema's floor"),
            Self::Policy(id) => write!(f, "policy `{id}`"),
            Self::NoPolicy => f.write_str("no policy allows it"),
            Self::Consent(record, rule) => write!(f, "consent {}, rule {rule}", short(record)),
            Self::Mandate(record, rule) => write!(f, "mandate {}, rule {rule}", short(record)),
            Self::NoConsent => f.write_str("no consent covers it"),
            Self::NoMandate => f.write_str("no mandate covers it"),
            Self::Unsigned(agreement) => write!(f, "agreement {} asks for more signatures", short(agreement)),
            Self::Forbidden(record, rule) => write!(f, "forbidden by {}, rule {rule}", short(record)),
            Self::NoKey => f.write_str("nobody named a key to encrypt it to"),
            Self::Undefined(treatment) => write!(f, "`{treatment}` does not exist for this type"),
            Self::Pair(other) => write!(f, "the coordinate beside it, `{other}`, is not more precise"),
            Self::Required(other) => write!(f, "`{other}`, required beside it, is left out"),
            Self::InElement => f.write_str("nothing is encrypted in an element of a list about several subjects"),
            Self::Public => f.write_str("public"),
            Self::Warrant(decision) => write!(f, "legal demand, decision {}", short(decision)),
            Self::NotWarranted => f.write_str("not among what the legal demand releases"),
        }
    }
}

/// The first eight hexadecimal digits: enough to find a record by.
fn short(record: &RecordId) -> String {
    record.to_string().chars().take(8).collect()
}
