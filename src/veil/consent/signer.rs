//! Who signed a record, and by what right they speak for its subject.

use std::fmt;

use super::document::SignerDocument;
use super::refusal::RecordRefusal;
use super::text;
use crate::veil::name::{Did, RecordId};

/// As whom the signer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignerRole {
    /// For themselves.
    Subject,
    /// For the operator of an asset: the record is a mandate.
    Operator,
    /// For the subject, under this delegation.
    Delegate(RecordId),
    /// As one of those whose signatures this agreement asks for: withdraws, and does nothing else.
    Signatory(RecordId),
}

impl SignerRole {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Operator => "operator",
            Self::Delegate(_) => "delegate",
            Self::Signatory(_) => "signatory",
        }
    }

    /// The record that the signer speaks under; none where they speak for themselves.
    pub const fn authority(self) -> Option<RecordId> {
        match self {
            Self::Subject | Self::Operator => None,
            Self::Delegate(id) | Self::Signatory(id) => Some(id),
        }
    }

    /// Whether it speaks for an operator; a steward's key may speak for itself, too.
    pub const fn is_mandate(self) -> bool {
        matches!(self, Self::Operator)
    }
}

/// Who did something, and by what right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct By {
    /// The key that signed.
    pub key: Did,
    /// As whom.
    pub role: SignerRole,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            SignerRole::Subject | SignerRole::Operator => f.write_str(self.role.word()),
            SignerRole::Delegate(_) | SignerRole::Signatory(_) => write!(f, "{} {}", self.role.word(), self.key),
        }
    }
}

impl fmt::Debug for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SignerDocument {
    /// Who speaks for `subject` here; `allowed` are the roles in which a document of this kind is signed.
    pub(super) fn check(&self, subject: Did, allowed: Allowed) -> Result<By, RecordRefusal> {
        let key = text::did("signer.key", &self.key)?;
        let authority = self.authority.as_deref().map(|id| text::record_id("signer.authority", id)).transpose()?;
        let role = match (self.role.as_str(), authority) {
            ("subject", None) => SignerRole::Subject,
            ("operator", None) if allowed != Allowed::ForSubject => SignerRole::Operator,
            ("subject" | "operator", Some(_)) if allowed != Allowed::ForSubject || self.role == "subject" => {
                return Err(RecordRefusal::member("signer.authority", "absent, as it must be where nobody speaks for another"));
            }
            ("delegate", Some(id)) if allowed != Allowed::OwnWord => SignerRole::Delegate(id),
            ("signatory", Some(id)) if allowed == Allowed::ToWithdraw => SignerRole::Signatory(id),
            ("delegate", None) if allowed != Allowed::OwnWord => {
                return Err(RecordRefusal::member("signer.authority", "there, as a delegate names the delegation"));
            }
            ("signatory", None) if allowed == Allowed::ToWithdraw => {
                return Err(RecordRefusal::member("signer.authority", "there, as a signatory names the agreement"));
            }
            _ => return Err(RecordRefusal::member("signer.role", allowed.words())),
        };
        match role {
            SignerRole::Subject | SignerRole::Operator if key != subject => Err(RecordRefusal::NotYours),
            SignerRole::Delegate(_) if key == subject => {
                Err(RecordRefusal::member("signer.role", "`subject`, as the subject's own key speaks"))
            }
            _ => Ok(By { key, role }),
        }
    }
}

/// In which roles a kind of document is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Subject or operator: about their own grants.
    OwnWord,
    /// Subject, operator, or a delegate.
    ToGrant,
    /// Subject or a delegate.
    ForSubject,
    /// Whoever may end something.
    ToWithdraw,
}

impl Allowed {
    const fn words(self) -> &'static str {
        match self {
            Self::OwnWord => "`subject` or `operator`",
            Self::ToGrant => "`subject`, `operator` or `delegate`",
            Self::ForSubject => "`subject` or `delegate`",
            Self::ToWithdraw => "`subject`, `operator`, `delegate` or `signatory`",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::key;
    use super::*;

    #[test]
    fn a_role_goes_with_its_authority_and_its_kind_of_document() {
        let (own, other) = (key(1).did(), key(2).did());
        let id = RecordId([7; 32]);
        let check = |signer: Did, role: &str, authority: Option<RecordId>, allowed| {
            SignerDocument { key: signer.to_string(), role: role.into(), authority: authority.map(|id| id.to_string()) }.check(own, allowed)
        };
        use Allowed::{ForSubject, OwnWord, ToGrant, ToWithdraw};
        for (signer, role, authority, allowed, expected) in [
            (own, "subject", None, OwnWord, Ok(SignerRole::Subject)),
            (own, "operator", None, OwnWord, Ok(SignerRole::Operator)),
            (own, "operator", None, ForSubject, Err("TV-C07")),
            (own, "operator", Some(id), ForSubject, Err("TV-C07")),
            (own, "subject", Some(id), ToGrant, Err("TV-C07")),
            (own, "subject", Some(id), ForSubject, Err("TV-C07")),
            (other, "subject", None, ToWithdraw, Err("TV-C11")),
            (other, "operator", None, ToGrant, Err("TV-C11")),
            (other, "delegate", Some(id), ToGrant, Ok(SignerRole::Delegate(id))),
            (other, "delegate", Some(id), ForSubject, Ok(SignerRole::Delegate(id))),
            (other, "delegate", Some(id), ToWithdraw, Ok(SignerRole::Delegate(id))),
            (other, "delegate", Some(id), OwnWord, Err("TV-C07")),
            (other, "delegate", None, OwnWord, Err("TV-C07")),
            (other, "delegate", None, ToGrant, Err("TV-C07")),
            (own, "delegate", Some(id), ToGrant, Err("TV-C07")),
            (other, "signatory", Some(id), ToWithdraw, Ok(SignerRole::Signatory(id))),
            (other, "signatory", None, ToWithdraw, Err("TV-C07")),
            (other, "signatory", Some(id), ToGrant, Err("TV-C07")),
            (other, "guardian", Some(id), ToWithdraw, Err("TV-C07")),
        ] {
            let found = check(signer, role, authority, allowed).map(|by| by.role).map_err(|refusal| refusal.code());
            assert_eq!(found, expected, "{role} {allowed:?}");
        }
    }

    #[test]
    fn whoever_speaks_for_another_is_named() {
        let key = key(2).did();
        assert_eq!(By { key, role: SignerRole::Subject }.to_string(), "subject");
        assert_eq!(format!("{:?}", By { key, role: SignerRole::Delegate(RecordId([1; 32])) }), format!("delegate {key}"));
        assert_eq!(SignerRole::Operator.authority(), None);
        assert_eq!(SignerRole::Signatory(RecordId([1; 32])).authority(), Some(RecordId([1; 32])));
    }
}
