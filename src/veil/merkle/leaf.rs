//! What stands in the log: a small record of one size, and nothing in it that names anybody. An act of an institution says openly of
//! what kind it is; an act about a person does not. What it is about is a commitment that only salt and object together open.

use std::fmt;

use super::Doubt;
use crate::veil::crypto::hash::hmac_sha256;
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{RecordId, UnixMs};

/// The length of a leaf: version, kind, time bucket, commitment.
pub const LEAF_BYTES: usize = 42;
/// How exact a leaf says when something happened.
pub const BUCKET_MS: i64 = 3_600_000;

/// Whether a leaf says exactly when that was.
pub const fn is_exact(at: UnixMs) -> bool {
    at.0.rem_euclid(BUCKET_MS) == 0
}

const VERSION: u8 = 1;
/// The kind that an act about a person shows.
const PERSONAL: u8 = 0;
const LABEL: &[u8] = b"twinveil/log/leaf/v1\0";
const SALT_LABEL: &[u8] = b"twinveil/log/salt/v1\0";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// A grant, a refusal or a mandate was taken.
    Consent,
    /// A withdrawal was taken.
    Withdrawal,
    /// A source's value was tied to a did:key.
    Enrolment,
    /// Somebody may speak for a subject.
    Delegation,
    /// They may not any more.
    DelegationEnd,
    /// Whose signatures grants need was taken.
    Agreement,
    /// Frames of a person were handed over to a recipient, in one view and interval.
    Disclosure,
    /// An operator's policy came into force.
    Policy,
    /// A schema came into force.
    Schema,
    /// A key of the gateway came into use.
    Key,
    /// A legal demand was received.
    Demand,
    /// A stage of the human-rights test was answered.
    Stage,
    /// A demand was decided.
    Decision,
    /// Whom a demand is about was told, or is to be told later.
    Notice,
    /// A demand was challenged, or the challenge was answered.
    Challenge,
    /// Data was released under a demand.
    Release,
    /// A transparency report was published.
    Report,
    /// Frames were refused in an interval.
    Refusals,
    /// The operator states something about itself, or takes it back.
    Statement,
}

impl Act {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Consent,
        Self::Withdrawal,
        Self::Enrolment,
        Self::Delegation,
        Self::DelegationEnd,
        Self::Agreement,
        Self::Disclosure,
        Self::Policy,
        Self::Schema,
        Self::Key,
        Self::Demand,
        Self::Stage,
        Self::Decision,
        Self::Notice,
        Self::Challenge,
        Self::Release,
        Self::Report,
        Self::Refusals,
        Self::Statement,
    ];

    /// Its number in commitments, and in the open where the act is an institution's.
    pub const fn number(self) -> u8 {
        match self {
            Self::Policy => 1,
            Self::Schema => 2,
            Self::Key => 3,
            Self::Demand => 4,
            Self::Stage => 5,
            Self::Decision => 6,
            Self::Notice => 7,
            Self::Challenge => 8,
            Self::Release => 9,
            Self::Report => 10,
            Self::Refusals => 11,
            Self::Statement => 12,
            Self::Consent => 128,
            Self::Withdrawal => 129,
            Self::Enrolment => 130,
            Self::Delegation => 131,
            Self::DelegationEnd => 132,
            Self::Agreement => 133,
            Self::Disclosure => 134,
        }
    }

    /// Whether it is about a person, so that its kind is hidden.
    pub const fn is_personal(self) -> bool {
        match self {
            Self::Consent
            | Self::Withdrawal
            | Self::Enrolment
            | Self::Delegation
            | Self::DelegationEnd
            | Self::Agreement
            | Self::Disclosure => true,
            Self::Policy
            | Self::Schema
            | Self::Key
            | Self::Demand
            | Self::Stage
            | Self::Decision
            | Self::Notice
            | Self::Challenge
            | Self::Release
            | Self::Report
            | Self::Refusals
            | Self::Statement => false,
        }
    }

    const fn shown(self) -> u8 {
        if self.is_personal() { PERSONAL } else { self.number() }
    }

    /// What it is called.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Withdrawal => "withdrawal",
            Self::Enrolment => "enrolment",
            Self::Delegation => "delegation",
            Self::DelegationEnd => "end of a delegation",
            Self::Agreement => "agreement",
            Self::Disclosure => "disclosure",
            Self::Policy => "policy",
            Self::Schema => "schema",
            Self::Key => "key",
            Self::Demand => "demand",
            Self::Stage => "stage",
            Self::Decision => "decision",
            Self::Notice => "notice",
            Self::Challenge => "challenge",
            Self::Release => "release",
            Self::Report => "report",
            Self::Refusals => "refusals",
            Self::Statement => "statement",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.word() == word)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// 32 bytes that go to whomever a leaf is about. Whoever has neither these nor the object learns nothing from the leaf.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

impl Salt {
    /// Of what is published anyway, such as the hash of a policy: whoever has the object finds its leaf.
    pub const OPEN: Self = Self([0; 32]);

    /// Of a person's record: from their own secret, so that it goes where that goes. Destroying it takes all of them along.
    pub fn of(subject_key: &Secret<32>, record: &RecordId) -> Self {
        Self(hmac_sha256(subject_key.expose(), &[SALT_LABEL, &record.0]))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt")
    }
}

/// One entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf([u8; LEAF_BYTES]);

impl Leaf {
    /// Of an act at an instant; `object` is the SHA-256 of what it is about, for records their id.
    pub fn new(act: Act, at: UnixMs, salt: &Salt, object: &RecordId) -> Self {
        let bucket = u64::try_from(at.0.max(0) / BUCKET_MS).unwrap_or_default();
        let mut bytes = [0; LEAF_BYTES];
        let commitment = commitment(act, salt, object);
        let whole = [VERSION, act.shown()].into_iter().chain(bucket.to_be_bytes()).chain(commitment);
        for (byte, value) in bytes.iter_mut().zip(whole) {
            *byte = value;
        }
        Self(bytes)
    }

    /// Reads an entry. Only the form is looked at: what it is about, it does not say.
    pub fn parse(bytes: &[u8]) -> Result<Self, Doubt> {
        let leaf = Self(bytes.try_into().map_err(|_| Doubt::Malformed("a leaf of this log"))?);
        let shown = [PERSONAL].into_iter().chain(Act::ALL.into_iter().filter(|act| !act.is_personal()).map(Act::number));
        match leaf.0 {
            [VERSION, kind, ..] if shown.into_iter().any(|known| known == kind) => Ok(leaf),
            _ => Err(Doubt::Malformed("a leaf of this log")),
        }
    }

    /// As it stands in the log.
    pub fn bytes(&self) -> &[u8; LEAF_BYTES] {
        &self.0
    }

    /// The kind of an institution's act; an act about a person has none that shows.
    pub fn act(&self) -> Option<Act> {
        let [_, kind, ..] = self.0;
        Act::ALL.into_iter().find(|act| !act.is_personal() && act.number() == kind)
    }

    /// The beginning of the hour in which it happened.
    pub fn bucket(&self) -> UnixMs {
        let [_, _, a, b, c, d, e, f, g, h, ..] = self.0;
        let hours = i64::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h])).unwrap_or(i64::MAX);
        UnixMs(hours.saturating_mul(BUCKET_MS))
    }

    /// Whether it is about this act and object: needs the salt.
    pub fn is_of(&self, act: Act, salt: &Salt, object: &RecordId) -> bool {
        let [_, shown, ..] = self.0;
        shown == act.shown() && self.0.ends_with(&commitment(act, salt, object))
    }
}

/// `HMAC-SHA256(salt, label | kind | SHA-256(object))`.
fn commitment(act: Act, salt: &Salt, object: &RecordId) -> [u8; 32] {
    hmac_sha256(&salt.0, &[LABEL, &[act.number()], &object.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: RecordId = RecordId([3; 32]);
    const AT: UnixMs = UnixMs(1_790_000_123_456);

    #[test]
    fn an_act_about_a_person_shows_the_hour_and_nothing_else() {
        let personal = Act::ALL.into_iter().filter(|act| act.is_personal());
        let leaves: Vec<Leaf> = personal.map(|act| Leaf::new(act, AT, &Salt([9; 32]), &OBJECT)).collect();
        assert_eq!(leaves.len(), 7);
        for leaf in leaves.iter().copied() {
            assert_eq!((leaf.act(), leaf.bucket()), (None, UnixMs(AT.0 / BUCKET_MS * BUCKET_MS)));
            assert_eq!(leaf.bytes()[..10], leaves[0].bytes()[..10], "kinds look alike");
            assert_eq!(Leaf::parse(leaf.bytes()), Ok(leaf));
        }
        let different: std::collections::BTreeSet<_> = leaves.iter().map(|leaf| *leaf.bytes()).collect();
        assert_eq!(different.len(), leaves.len(), "and no two are the same");
    }

    #[test]
    fn an_act_of_an_institution_says_its_kind() {
        for act in Act::ALL.into_iter().filter(|act| !act.is_personal()) {
            let leaf = Leaf::new(act, AT, &Salt::OPEN, &OBJECT);
            assert_eq!((leaf.act(), Act::parse(act.word())), (Some(act), Some(act)));
            assert!(leaf.is_of(act, &Salt::OPEN, &OBJECT));
        }
    }

    #[test]
    fn only_kind_salt_and_object_together_open_a_leaf() {
        let salt = Salt([9; 32]);
        let leaf = Leaf::new(Act::Consent, AT, &salt, &OBJECT);
        assert!(leaf.is_of(Act::Consent, &salt, &OBJECT));
        assert!(!leaf.is_of(Act::Withdrawal, &salt, &OBJECT) && !leaf.is_of(Act::Policy, &salt, &OBJECT));
        assert!(!leaf.is_of(Act::Consent, &Salt([8; 32]), &OBJECT));
        assert!(!leaf.is_of(Act::Consent, &salt, &RecordId([4; 32])));
        for bit in 10 * 8..LEAF_BYTES * 8 {
            let mut bent = leaf;
            bent.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!bent.is_of(Act::Consent, &salt, &OBJECT));
        }
    }

    #[test]
    fn what_is_no_leaf_is_refused() {
        let leaf = Leaf::new(Act::Key, AT, &Salt::OPEN, &OBJECT);
        for bad in [&leaf.bytes()[..41], &[&leaf.bytes()[..], &[0]].concat(), &[2; 42], &[1, 200].repeat(21), b""] {
            assert_eq!(Leaf::parse(bad), Err(Doubt::Malformed("a leaf of this log")));
        }
        assert_eq!(format!("{:?}", Salt([1; 32])), "Salt", "a salt is not printed");
        assert_eq!(Leaf::new(Act::Key, UnixMs(-5), &Salt::OPEN, &OBJECT).bucket(), UnixMs(0));
    }
}
