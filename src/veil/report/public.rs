//! What an operator makes public of itself at its desk: standing statements, and that a report was published.

use super::publication::{self, Publication};
use super::statement::{self, Statement};
use crate::veil::consent::SKEW_MS_MAX;
use crate::veil::consent::envelope::{Envelope, Signed, Verified};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::demand::{Refused, Register, Role};
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// How long ago it may have been signed when it is handed in.
pub const AGE_MS_MAX: i64 = 7 * 86_400_000;
/// Who speaks for the operator: who files what arrives, and who answers for what leaves.
const SPEAKERS: [Role; 2] = [Role::Clerk, Role::Approver];

/// A verified record of this kind.
#[derive(Clone, Debug)]
pub enum PublicRecord {
    /// A standing statement.
    Statement(Verified<Statement>),
    /// That a report was published.
    Report(Verified<Publication>),
}

impl PublicRecord {
    /// Whether a payload type is one of these.
    pub fn is_type(payload_type: &str) -> bool {
        [statement::MEDIA_TYPE, publication::MEDIA_TYPE].contains(&payload_type)
    }

    /// Verifies an envelope as what its payload type says it is.
    pub fn verify(envelope: &Envelope, gateway: &Origin) -> Result<Self, RecordRefusal> {
        match envelope.payload_type.as_str() {
            statement::MEDIA_TYPE => Ok(Self::Statement(Signed::new(envelope)?.verify(gateway)?)),
            publication::MEDIA_TYPE => Ok(Self::Report(Signed::new(envelope)?.verify(gateway)?)),
            _ => Err(RecordRefusal::WrongType { expected: "one of `application/vnd.twinveil.{statement,report}+json;v=1`" }),
        }
    }

    /// SHA-256 of the payload.
    pub fn id(&self) -> RecordId {
        match self {
            Self::Statement(record) => record.id(),
            Self::Report(record) => record.id(),
        }
    }

    /// What it is in the log.
    pub const fn act(&self) -> Act {
        match self {
            Self::Statement(_) => Act::Statement,
            Self::Report(_) => Act::Report,
        }
    }

    /// Who made it.
    pub fn author(&self) -> Did {
        match self {
            Self::Statement(record) => record.get().author,
            Self::Report(record) => record.get().author,
        }
    }

    /// When it was signed.
    pub fn at(&self) -> UnixMs {
        match self {
            Self::Statement(record) => record.get().at,
            Self::Report(record) => record.get().at,
        }
    }

    /// Whether whoever made it speaks for the operator.
    pub fn speaks(&self, register: &Register) -> Result<(), Refused> {
        let author = self.author();
        register.person(&author).ok_or(Refused::Unregistered(author))?;
        if SPEAKERS.iter().any(|role| register.has(&author, *role)) { Ok(()) } else { Err(Refused::NoRole(Role::Clerk)) }
    }

    /// Whether it is taken now, from whoever signed it. `last`: when the last statement of the same name was signed.
    pub fn check(&self, register: &Register, now: UnixMs, last: Option<UnixMs>) -> Result<(), Refused> {
        self.speaks(register)?;
        let at = self.at();
        if at.0.saturating_sub(now.0) > SKEW_MS_MAX {
            return Err(Refused::FromTheFuture { now });
        }
        let over = |record: &Verified<Statement>| record.get().renew_by.is_some_and(|renew_by| renew_by <= now);
        let is_over = matches!(self, Self::Statement(record) if over(record));
        if is_over || now.0.saturating_sub(at.0) > AGE_MS_MAX || last.is_some_and(|last| at < last) {
            return Err(Refused::Outdated { now });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::veil::consent::testing::{DAY, GATEWAY, HOUR, NOW, after, gateway, key, signed};
    use crate::veil::demand::Person;

    fn statement(by: u8, change: impl FnOnce(&mut Value)) -> PublicRecord {
        let mut document = json!({
            "gateway": GATEWAY, "author": key(by).did().to_string(), "at": NOW.to_string(), "nonce": "00".repeat(16),
            "name": "no-taps", "text": "No taps.", "renew_by": after(30 * DAY).to_string(),
        });
        change(&mut document);
        PublicRecord::verify(&signed(statement::MEDIA_TYPE, &document, &[&key(by)]), &gateway()).expect("good")
    }

    #[test]
    fn who_speaks_for_the_operator_and_when() {
        let person = |n: u8, roles: &[Role]| Person { keys: vec![key(n).did()], roles: roles.iter().copied().collect() };
        let persons =
            vec![person(1, &[Role::Clerk]), person(2, &[Role::Approver]), person(3, &[Role::Counsel, Role::Analyst]), person(4, &[])];
        let register = Register::new(key(9).did(), persons).expect("good");
        let check = |record: &PublicRecord, now| record.check(&register, now, None).map_err(|refused| refused.code());
        for (by, expected) in [(1, Ok(())), (2, Ok(())), (3, Err("TV-Q03")), (4, Err("TV-Q03")), (5, Err("TV-Q02"))] {
            assert_eq!(check(&statement(by, |_| ()), NOW), expected, "{by}");
        }
        let good = statement(1, |_| ());
        for (now, expected) in [
            (after(-SKEW_MS_MAX), Ok(())),
            (after(-SKEW_MS_MAX - 1), Err("TV-Q24")),
            (after(7 * DAY), Ok(())),
            (after(7 * DAY + 1), Err("TV-Q29")),
        ] {
            assert_eq!(check(&good, now), expected, "{now}");
        }
        let short = statement(1, |said| said["renew_by"] = after(HOUR).to_string().into());
        assert_eq!((check(&short, after(HOUR - 1)), check(&short, after(HOUR))), (Ok(()), Err("TV-Q29")));
        let last = |last| good.check(&register, NOW, Some(last)).map_err(|refused| refused.code());
        assert_eq!((last(NOW), last(after(1))), (Ok(()), Err("TV-Q29")), "what was said before does not come after");
    }
}
