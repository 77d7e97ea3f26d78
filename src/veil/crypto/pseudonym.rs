//! Pairwise pseudonyms: a keyed hash that differs by subject, recipient, purpose, field and epoch, in the shape of
//! OpenID Connect's pairwise `sub`. Destroying the subject's key erases every link.

use super::hash::{hmac_sha256, lp};
use super::secret::Secret;

const LABEL: &[u8] = b"twinveil/pid/v1\0";

/// What a pseudonym is bound to besides the value.
#[derive(Clone, Copy, Debug)]
pub struct Domain<'a> {
    /// The recipient, as consents name it.
    pub recipient: &'a str,
    /// The purpose.
    pub purpose: &'a str,
    /// The field's path.
    pub field: &'a str,
    /// Counts rotations.
    pub epoch: u32,
}

/// The 32 bytes that every form of a pseudonym is cut from:
/// `HMAC-SHA256(K_subject, label | lp(recipient) | lp(purpose) | lp(field) | u32be(epoch) | value)`.
pub fn pseudonym(subject_key: &Secret<32>, domain: Domain<'_>, value: &[u8]) -> [u8; 32] {
    let [recipient, purpose, field] = [domain.recipient, domain.purpose, domain.field].map(str::as_bytes);
    hmac_sha256(
        subject_key.expose(),
        &[LABEL, &lp(recipient), recipient, &lp(purpose), purpose, &lp(field), field, &domain.epoch.to_be_bytes(), value],
    )
}

/// The text form: 128 bits in lower-case base32 without padding, 26 characters.
pub fn text(pseudonym: &[u8; 32]) -> String {
    let mut text = data_encoding::BASE32_NOPAD.encode(&pseudonym[..16]);
    text.make_ascii_lowercase();
    text
}

/// The integer form: the leading 64 bits.
pub fn number(pseudonym: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *pseudonym;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_domain_counts() {
        let key = Secret::take(&mut [1; 32]);
        let domain = Domain { recipient: "spiffe://h/a", purpose: "dpv:ServiceProvision", field: "device_id", epoch: 0 };
        let pid = pseudonym(&key, domain, b"v");
        let others = [
            pseudonym(&Secret::take(&mut [2; 32]), domain, b"v"),
            pseudonym(&key, Domain { recipient: "spiffe://h/b", ..domain }, b"v"),
            pseudonym(&key, Domain { purpose: "dpv:Marketing", ..domain }, b"v"),
            pseudonym(&key, Domain { field: "device_i", ..domain }, b"v"),
            pseudonym(&key, Domain { epoch: 1, ..domain }, b"v"),
            pseudonym(&key, domain, b"w"),
        ];
        assert!(others.iter().all(|other| *other != pid));
        assert_eq!(text(&pid).len(), 26);
    }
}
