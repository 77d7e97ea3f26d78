//! Why a signed record is not taken. Every variant is the sender's move: the record has to change before it is sent again.

use std::fmt;

use super::chain::Head;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// Why a signed record is not taken.
///
/// The text may quote what the sender wrote: it goes back to the sender, and only the code into a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordRefusal {
    /// A part of the envelope is larger than the gateway takes.
    TooLarge(&'static str),
    /// The envelope is not the JSON form of DSSE.
    NotAnEnvelope(String),
    /// The payload has another media type than the call takes.
    WrongType {
        /// The media type that the call takes.
        expected: &'static str,
    },
    /// No signature verifies under the did:key that its `keyid` names.
    BadSignature,
    /// The signature of a key that must have signed is missing.
    NotSignedBy(Did),
    /// The payload is not the JSON it should be: a member unknown, missing, twice, or of another type.
    Malformed(String),
    /// A member has a value that it can't have.
    BadMember {
        /// Where, such as `rules[2].treatment`.
        member: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A member that the format has and this gateway can't honour.
    NotYet(String),
    /// A purpose that is not a DPV term.
    UnknownPurpose {
        /// What the record says.
        purpose: String,
        /// The nearest term.
        nearest: Option<String>,
    },
    /// A permit without an end, or with one too far away.
    Endless,
    /// The signer does not speak for the subject.
    NotYours,
    /// Signed for another gateway.
    WrongGateway {
        /// This gateway.
        expected: Origin,
    },
    /// A withdrawal where a grant is taken, or the other way round.
    WrongCall {
        /// The call that takes it.
        call: &'static str,
    },
    /// Not the next record of the subject's chain.
    OutOfOrder {
        /// Where the chain stands: sign again as number `seq + 1` after this record.
        head: Head,
    },
    /// The very same record was taken before; nothing changed now.
    TakenBefore {
        /// Its number.
        seq: u64,
    },
    /// `replaces` names a record that is not in force.
    NotLive(RecordId),
    /// The record ended before it arrived.
    Expired {
        /// When it ended.
        at: UnixMs,
    },
    /// The record says it was signed later than now.
    FromTheFuture {
        /// The gateway's clock.
        now: UnixMs,
    },
    /// A query that is older, or newer, than five minutes.
    Stale {
        /// The gateway's clock.
        now: UnixMs,
    },
    /// A subject can't have more records.
    TooMany(&'static str),
    /// A statement about a key names another workload than the one that brings it.
    WrongHolder,
    /// The delegation (or agreement) that the signer names is unknown, not the signer's, or not in force.
    NoAuthority(RecordId),
    /// The delegation does not give this right.
    NoRight(&'static str),
    /// A member goes beyond the delegation.
    Widens(String),
    /// A renewal is not of one record in force, on the same terms.
    NotARenewal(&'static str),
    /// An agreement asks for more signatures.
    TooFewSignatures {
        /// The agreement.
        agreement: RecordId,
        /// How many of its keys must sign.
        need: u8,
        /// How many did.
        have: u8,
    },
    /// No such record in the subject's chain.
    UnknownRecord(RecordId),
}

impl RecordRefusal {
    /// Every code.
    pub const ALL: &'static [&'static str] = &[
        "TV-C01", "TV-C02", "TV-C03", "TV-C04", "TV-C05", "TV-C06", "TV-C07", "TV-C08", "TV-C09", "TV-C10", "TV-C11", "TV-C12", "TV-C13",
        "TV-C14", "TV-C15", "TV-C16", "TV-C17", "TV-C18", "TV-C19", "TV-C20", "TV-C21", "TV-C22", "TV-C23", "TV-C24", "TV-C25", "TV-C26",
        "TV-C27",
    ];

    /// The stable code; the manual has an entry for each.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "TV-C01",
            Self::NotAnEnvelope(_) => "TV-C02",
            Self::WrongType { .. } => "TV-C03",
            Self::BadSignature => "TV-C04",
            Self::NotSignedBy(_) => "TV-C05",
            Self::Malformed(_) => "TV-C06",
            Self::BadMember { .. } => "TV-C07",
            Self::NotYet(_) => "TV-C08",
            Self::UnknownPurpose { .. } => "TV-C09",
            Self::Endless => "TV-C10",
            Self::NotYours => "TV-C11",
            Self::WrongGateway { .. } => "TV-C12",
            Self::WrongCall { .. } => "TV-C13",
            Self::OutOfOrder { .. } => "TV-C14",
            Self::TakenBefore { .. } => "TV-C15",
            Self::NotLive(_) => "TV-C16",
            Self::Expired { .. } => "TV-C17",
            Self::FromTheFuture { .. } => "TV-C18",
            Self::Stale { .. } => "TV-C19",
            Self::TooMany(_) => "TV-C20",
            Self::WrongHolder => "TV-C21",
            Self::NoAuthority(_) => "TV-C22",
            Self::NoRight(_) => "TV-C23",
            Self::Widens(_) => "TV-C24",
            Self::NotARenewal(_) => "TV-C25",
            Self::TooFewSignatures { .. } => "TV-C26",
            Self::UnknownRecord(_) => "TV-C27",
        }
    }

    /// A member with a value it can't have.
    pub(crate) fn member(member: impl Into<String>, expected: &'static str) -> Self {
        Self::BadMember { member: member.into(), expected }
    }
}

impl fmt::Display for RecordRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(part) => write!(f, "the {part} of the envelope is larger than the gateway takes: shorten it and sign again"),
            Self::NotAnEnvelope(why) => write!(f, "not a DSSE envelope in JSON: {why}"),
            Self::WrongType { expected } => write!(f, "the payload type is not `{expected}`: sign it under that type"),
            Self::BadSignature => {
                f.write_str("no signature verifies under the did:key in its `keyid`: sign the exact payload and name the key")
            }
            Self::NotSignedBy(did) => write!(f, "the signature of `{did}` is missing: have its holder sign too"),
            Self::Malformed(why) => write!(f, "the payload is not what its type says: {why}"),
            Self::BadMember { member, expected } => write!(f, "`{member}` is not {expected}: correct it and sign again"),
            Self::NotYet(member) => write!(f, "`{member}` is not accepted by this gateway yet: leave it out and sign again"),
            Self::UnknownPurpose { purpose, nearest: Some(nearest) } => {
                write!(f, "`{purpose}` is not a DPV purpose: did you mean `{nearest}`?")
            }
            Self::UnknownPurpose { purpose, nearest: None } => {
                write!(f, "`{purpose}` is not a DPV purpose, such as `dpv:AcademicResearch`")
            }
            Self::Endless => f.write_str("a permit needs an `expires` at most ten years after `at`: add one and sign again"),
            Self::NotYours => f.write_str("`signer.key` does not speak for `subject` in this role: sign with the subject's own key"),
            Self::WrongGateway { expected } => write!(f, "the record is for another gateway: this one is `{expected}`, sign again for it"),
            Self::WrongCall { call } => write!(f, "this record goes to `{call}`: send it there"),
            Self::OutOfOrder { head: Head { seq, record: Some(record) } } => {
                write!(f, "not the next record: the head is number {seq}, `{record}`; sign again after it")
            }
            Self::OutOfOrder { head: Head { record: None, .. } } => {
                f.write_str("not the next record: there is none yet; sign again as number 1")
            }
            Self::TakenBefore { seq } => write!(f, "this record was taken before, as number {seq}: there is nothing to do"),
            Self::NotLive(record) => write!(f, "`replaces` names `{record}`, which is not in force: leave it out and sign again"),
            Self::Expired { at } => write!(f, "the record ended at {at}: sign again with a later `expires`"),
            Self::FromTheFuture { now } => write!(f, "`at` is later than now, {now}: set the clock of the wallet and sign again"),
            Self::Stale { now } => write!(f, "`at` is not within five minutes of now, {now}: sign the query again"),
            Self::TooMany(what) => write!(f, "the subject has as many {what} as the gateway keeps: go on with a new did:key"),
            Self::WrongHolder => {
                f.write_str("the key statement names another workload than the caller: have it signed for the caller's SPIFFE id")
            }
            Self::NoAuthority(id) => {
                write!(f, "`{id}` gives the signer no authority: it is unknown, another's, or no longer (or not yet) in force")
            }
            Self::NoRight(right) => write!(f, "the delegation does not give the right to {right}: have the subject sign, or delegate it"),
            Self::Widens(member) => write!(f, "`{member}` goes beyond the delegation: say less, or have the subject sign"),
            Self::NotARenewal(why) => write!(f, "not a renewal: {why}; sign what is new as `ConsentGiven`"),
            Self::UnknownRecord(id) => write!(f, "`{id}` is no record of the subject's chain: ask for one that its standing lists"),
            Self::TooFewSignatures { agreement, need, have } => {
                write!(f, "agreement `{agreement}` asks for {need} signatures and {have} are there: have the others sign, too")
            }
        }
    }
}

impl std::error::Error for RecordRefusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_code_in_order_and_speaks_in_one_line() {
        let id = RecordId([7; 32]);
        let now = UnixMs(0);
        let all = [
            RecordRefusal::TooLarge("payload"),
            RecordRefusal::NotAnEnvelope("x".into()),
            RecordRefusal::WrongType { expected: "a/b" },
            RecordRefusal::BadSignature,
            RecordRefusal::NotSignedBy(Did([1; 32])),
            RecordRefusal::Malformed("x".into()),
            RecordRefusal::member("rules", "a list"),
            RecordRefusal::NotYet("max_uses".into()),
            RecordRefusal::UnknownPurpose { purpose: "dpv:X".into(), nearest: None },
            RecordRefusal::Endless,
            RecordRefusal::NotYours,
            RecordRefusal::WrongGateway { expected: Origin::new("o") },
            RecordRefusal::WrongCall { call: "Withdraw" },
            RecordRefusal::OutOfOrder { head: Head { seq: 1, record: Some(id) } },
            RecordRefusal::TakenBefore { seq: 1 },
            RecordRefusal::NotLive(id),
            RecordRefusal::Expired { at: now },
            RecordRefusal::FromTheFuture { now },
            RecordRefusal::Stale { now },
            RecordRefusal::TooMany("records"),
            RecordRefusal::WrongHolder,
            RecordRefusal::NoAuthority(id),
            RecordRefusal::NoRight("grant"),
            RecordRefusal::Widens("purposes".into()),
            RecordRefusal::NotARenewal("`replaces` names no record"),
            RecordRefusal::TooFewSignatures { agreement: id, need: 2, have: 1 },
            RecordRefusal::UnknownRecord(id),
        ];
        assert_eq!(all.iter().map(RecordRefusal::code).collect::<Vec<_>>(), RecordRefusal::ALL);
        for refusal in all {
            let text = refusal.to_string();
            assert!(!text.contains('\n') && !text.ends_with('.') && !text.starts_with(char::is_uppercase), "{text}");
        }
    }
}
