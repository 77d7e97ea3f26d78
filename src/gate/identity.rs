//! Who a caller is: the SPIFFE id in the certificate that TLS verified. Nothing else in it counts, and nothing that the
//! caller says about themselves does.

use std::fmt;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::veil::logsafe::LogSafe;
use crate::veil::name::Spiffe;

/// Why a certificate does not say who its holder is. It is the move of whoever issued it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// Not one X.509 certificate whose extensions can be read.
    Unreadable,
    /// It is a signing authority's, not a workload's.
    Authority,
    /// No URI among its names.
    NoUri,
    /// More than one URI among its names.
    ManyUris,
    /// The URI is not a SPIFFE id.
    NotSpiffe,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "the certificate can't be read",
            Self::Authority => "the certificate is a signing authority's, not a workload's",
            Self::NoUri => "the certificate names no SPIFFE id",
            Self::ManyUris => "the certificate names more than one URI",
            Self::NotSpiffe => "the URI in the certificate is not a SPIFFE id",
        })
    }
}

impl std::error::Error for IdentityError {}
impl LogSafe for IdentityError {}

/// The SPIFFE id of a leaf certificate (DER), by the rules of X509-SVID: exactly one URI name (§2), not an authority's (§4.1, §4.3).
///
/// The chain is TLS's business: call this only with the leaf of a verified handshake.
pub fn spiffe(certificate: &[u8]) -> Result<Spiffe, IdentityError> {
    let (rest, certificate) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
    if !rest.is_empty() {
        return Err(IdentityError::Unreadable);
    }
    let constraints = certificate.basic_constraints().map_err(|_| IdentityError::Unreadable)?;
    let usage = certificate.key_usage().map_err(|_| IdentityError::Unreadable)?;
    if constraints.is_some_and(|c| c.value.ca) || usage.is_some_and(|u| u.value.key_cert_sign() || u.value.crl_sign()) {
        return Err(IdentityError::Authority);
    }
    let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?.ok_or(IdentityError::NoUri)?;
    let mut uri = None;
    for name in &names.value.general_names {
        match name {
            GeneralName::URI(_) if uri.is_some() => return Err(IdentityError::ManyUris),
            GeneralName::URI(text) => uri = Some(*text),
            // What can't be read may be a second URI.
            GeneralName::Invalid(..) => return Err(IdentityError::Unreadable),
            _ => {}
        }
    }
    Spiffe::parse(uri.ok_or(IdentityError::NoUri)?).map_err(|_| IdentityError::NotSpiffe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("ascii"))
    }

    fn made(names: Vec<SanType>, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        change(&mut params);
        params.self_signed(&KeyPair::generate().expect("key")).expect("certificate").der().to_vec()
    }

    #[test]
    fn the_one_uri_of_a_certificate_is_the_identity() {
        let dns = SanType::DnsName("localhost".try_into().expect("ascii"));
        let der = made(vec![dns, uri("spiffe://example.org/source/hospital")], |_| ());
        assert_eq!(spiffe(&der).map(|id| id.to_string()), Ok("spiffe://example.org/source/hospital".into()));
    }

    #[test]
    fn a_certificate_without_a_uri_is_nobody() {
        assert_eq!(spiffe(&made(vec![], |_| ())), Err(IdentityError::NoUri));
        assert_eq!(
            spiffe(&made(vec![SanType::DnsName("spiffe.example.org".try_into().expect("ascii"))], |_| ())),
            Err(IdentityError::NoUri)
        );
    }

    #[test]
    fn two_uris_are_refused_also_where_they_agree() {
        for second in ["spiffe://example.org/b", "https://example.org", "spiffe://example.org/a"] {
            assert_eq!(spiffe(&made(vec![uri("spiffe://example.org/a"), uri(second)], |_| ())), Err(IdentityError::ManyUris));
        }
    }

    #[test]
    fn a_uri_that_is_no_spiffe_id_is_refused() {
        for bad in ["https://example.org/a", "spiffe://Example.org/a", "spiffe://example.org", "spiffe://example.org/a/../b"] {
            assert_eq!(spiffe(&made(vec![uri(bad)], |_| ())), Err(IdentityError::NotSpiffe), "{bad}");
        }
    }

    #[test]
    fn an_authority_is_not_a_workload() {
        let id = || vec![uri("spiffe://example.org/a")];
        assert_eq!(spiffe(&made(id(), |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))), Err(IdentityError::Authority));
        assert_eq!(spiffe(&made(id(), |p| p.key_usages = vec![KeyUsagePurpose::KeyCertSign])), Err(IdentityError::Authority));
        assert_eq!(spiffe(&made(id(), |p| p.key_usages = vec![KeyUsagePurpose::CrlSign])), Err(IdentityError::Authority));
    }

    #[test]
    fn names_and_limits_that_stand_twice_or_can_not_be_read_are_refused() {
        let id = || vec![uri("spiffe://example.org/a")];
        let with = |names: Vec<SanType>, arc: u64, content: &[u8], times: usize| {
            made(names, |params| {
                let extension = || rcgen::CustomExtension::from_oid_content(&[2, 5, 29, arc], content.to_vec());
                params.custom_extensions = (0..times).map(|_| extension()).collect();
            })
        };
        // Basic constraints, key usage and alternative names (RFC 5280 §4.2.1): each at most once.
        for (arc, content) in [(19, &[0x30, 0x00][..]), (15, &[0x03, 0x02, 0x07, 0x80]), (17, &[0x30, 0x03, 0x86, 0x01, b'a'])] {
            assert_eq!(spiffe(&with(if arc == 17 { vec![] } else { id() }, arc, content, 2)), Err(IdentityError::Unreadable), "{arc}");
        }
        // A name of a kind that there is not.
        assert_eq!(spiffe(&with(vec![], 17, &[0x30, 0x03, 0x8f, 0x01, b'a'], 1)), Err(IdentityError::Unreadable));
    }

    #[test]
    fn what_is_not_one_certificate_is_refused() {
        let mut der = made(vec![uri("spiffe://example.org/a")], |_| ());
        der.push(0);
        assert_eq!(spiffe(&der), Err(IdentityError::Unreadable));
        der.truncate(100);
        assert_eq!(spiffe(&der), Err(IdentityError::Unreadable));
        assert_eq!(spiffe(b""), Err(IdentityError::Unreadable));
    }
}
