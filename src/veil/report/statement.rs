//! A standing statement: what an operator says of itself, such as that no key was ever handed over, signed, dated, in the log, and to be
//! said again before a day that it names. Nobody can be made to say it again: where it is not, it shows as dropped.

use serde::{Deserialize, Serialize};

use crate::veil::consent::envelope::Payload;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// The media type of statements.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.statement+json;v=1";
/// The longest time until a statement has to be made again.
pub const RENEW_MS_MAX: i64 = 400 * 86_400_000;
const NAME_BYTES_MAX: usize = 64;

/// A statement as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The did:key of the registered person who makes it.
    pub author: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// 16 random bytes, hexadecimal.
    pub nonce: String,
    /// Which statement: the same word each time it is made again, such as `no-keys-handed-over`.
    pub name: String,
    /// What is stated.
    pub text: String,
    /// Until when it has to be made again; absent where it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_by: Option<String>,
}

/// A checked statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The gateway it is about.
    pub gateway: Origin,
    /// Who makes it.
    pub author: Did,
    /// When it was signed.
    pub at: UnixMs,
    /// Which statement.
    pub name: String,
    /// What is stated.
    pub text: String,
    /// Until when it has to be made again; none: it is taken back.
    pub renew_by: Option<UnixMs>,
}

/// How a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is made, and was made again each time.
    Stands,
    /// It was not made again in time.
    Dropped,
    /// It was taken back.
    TakenBack,
}

/// A statement as a report tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementLine {
    /// Which statement.
    pub name: String,
    /// What was stated, the last time.
    pub text: String,
    /// How it stands.
    pub standing: Standing,
    /// The hour in which it was first made.
    pub since: String,
    /// Until when it has, or had, to be made again; absent where it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_by: Option<String>,
    /// The entries of the log at which the words changed.
    pub reworded: Vec<u64>,
    /// The entries of the log at which it was made again too late: it had been dropped until then.
    pub lapsed: Vec<u64>,
    /// The entries of the log in which it was made, made again, or taken back.
    pub leaves: Vec<u64>,
}

/// A statement with its entry in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The number of the entry.
    pub entry: u64,
    /// Its hour.
    pub hour: UnixMs,
    /// The record.
    pub id: RecordId,
    /// What it says.
    pub statement: Statement,
}

/// Every statement as it stands at an instant, by name.
pub fn standing(stated: &[Stated], now: UnixMs) -> Vec<StatementLine> {
    let mut all: Vec<&Stated> = stated.iter().collect();
    all.sort_by(|one, other| (&one.statement.name, one.entry).cmp(&(&other.statement.name, other.entry)));
    let lines = all.chunk_by(|one, other| one.statement.name == other.statement.name).filter_map(|made| {
        let (first, last) = (made.first()?, made.last()?);
        let reworded = made.windows(2).filter(|pair| matches!(pair, [one, other] if one.statement.text != other.statement.text));
        let late = |one: &Stated, other: &Stated| one.statement.renew_by.is_none_or(|renew_by| renew_by < other.hour);
        let lapsed = made.windows(2).filter(|pair| matches!(pair, [one, other] if late(one, other)));
        Some(StatementLine {
            lapsed: lapsed.filter_map(|pair| pair.last().map(|again| again.entry)).collect(),
            name: last.statement.name.clone(),
            text: last.statement.text.clone(),
            standing: match last.statement.renew_by {
                None => Standing::TakenBack,
                Some(renew_by) if renew_by <= now => Standing::Dropped,
                Some(_) => Standing::Stands,
            },
            since: first.hour.to_string(),
            renew_by: last.statement.renew_by.map(|renew_by| renew_by.to_string()),
            reworded: reworded.filter_map(|pair| pair.last().map(|changed| changed.entry)).collect(),
            leaves: made.iter().map(|stated| stated.entry).collect(),
        })
    });
    lines.collect()
}

impl Payload for Statement {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: StatementDocument = text::json(payload)?;
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if document.name.is_empty() || document.name.len() > NAME_BYTES_MAX || !document.name.bytes().all(is_word) {
            return Err(RecordRefusal::member("name", "a word of at most 64 lower-case letters, digits and `-`"));
        }
        text::text("text", &document.text)?;
        text::nonce(&document.nonce)?;
        let at = text::instant("at", &document.at)?;
        let renew_by = document.renew_by.as_deref().map(|renew_by| text::instant("renew_by", renew_by)).transpose()?;
        if renew_by.is_some_and(|renew_by| renew_by <= at || renew_by.0.saturating_sub(at.0) > RENEW_MS_MAX) {
            return Err(RecordRefusal::member("renew_by", "after `at`, by 400 days at most"));
        }
        Ok(Self {
            gateway: text::origin("gateway", &document.gateway)?,
            author: text::did("author", &document.author)?,
            at,
            name: document.name,
            text: document.text,
            renew_by,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.author
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn stated(entry: u64, name: &str, text: &str, at: i64, renew_by: Option<i64>) -> Stated {
        let statement = Statement {
            gateway: Origin::new("g"),
            author: Did([1; 32]),
            at: UnixMs(at * DAY),
            name: name.into(),
            text: text.into(),
            renew_by: renew_by.map(|day| UnixMs(day * DAY)),
        };
        Stated { entry, hour: UnixMs(at * DAY), id: RecordId([entry as u8; 32]), statement }
    }

    #[test]
    fn a_statement_that_is_not_made_again_shows_as_dropped() {
        let all = [
            stated(9, "keys", "None.", 100, Some(200)),
            stated(4, "keys", "None.", 10, Some(110)),
            stated(5, "taps", "No taps.", 10, Some(110)),
        ];
        let at = |day: i64| standing(&all, UnixMs(day * DAY)).iter().map(|line| line.standing).collect::<Vec<_>>();
        assert_eq!(at(105), [Standing::Stands, Standing::Stands]);
        assert_eq!(at(110), [Standing::Stands, Standing::Dropped]);
        assert_eq!(at(200), [Standing::Dropped, Standing::Dropped]);
        let lines = standing(&all, UnixMs(150 * DAY));
        assert_eq!((lines[0].leaves.as_slice(), lines[0].since.as_str()), (&[4, 9][..], "1970-01-11T00:00:00Z"));
    }

    #[test]
    fn one_that_was_made_again_too_late_shows_that_it_had_lapsed() {
        let all =
            [stated(1, "keys", "None.", 1, Some(9)), stated(2, "keys", "None.", 8, Some(20)), stated(3, "keys", "None.", 30, Some(99))];
        let line = &standing(&all, UnixMs(31 * DAY))[0];
        assert_eq!((line.standing, line.lapsed.as_slice()), (Standing::Stands, &[3][..]));
    }

    #[test]
    fn other_words_and_taking_back_are_told() {
        let all = [
            stated(1, "keys", "None.", 1, Some(9)),
            stated(2, "keys", "Almost none.", 2, Some(9)),
            stated(3, "keys", "Almost none.", 3, None),
        ];
        let lines = standing(&all, UnixMs(4 * DAY));
        assert_eq!((lines[0].standing, lines[0].reworded.as_slice(), &lines[0].renew_by), (Standing::TakenBack, &[2][..], &None));
    }

    fn document() -> StatementDocument {
        StatementDocument {
            gateway: "gateway.example.org/twins".into(),
            author: Did([1; 32]).to_string(),
            at: "2026-01-31T09:00:00Z".into(),
            nonce: "00112233445566778899aabbccddeeff".into(),
            name: "no-keys-handed-over".into(),
            text: "No key was ever handed over.".into(),
            renew_by: Some("2027-01-31T09:00:00Z".into()),
        }
    }

    #[test]
    fn what_is_no_statement_is_refused_by_member() {
        let parse = |change: &dyn Fn(&mut StatementDocument)| {
            let mut document = document();
            change(&mut document);
            Statement::parse(&serde_json::to_vec(&document).expect("texts"))
        };
        assert!(parse(&|_| {}).is_ok() && parse(&|d| d.renew_by = None).is_ok());
        for (member, change) in [
            ("name", &(|d: &mut StatementDocument| d.name = "No keys".into()) as &dyn Fn(&mut StatementDocument)),
            ("name", &|d| d.name = String::new()),
            ("name", &|d| d.name = "x".repeat(65)),
            ("text", &|d| d.text = "\u{1b}[2J".into()),
            ("nonce", &|d| d.nonce = "00".into()),
            ("renew_by", &|d| d.renew_by = Some(d.at.clone())),
            ("renew_by", &|d| d.renew_by = Some("2027-03-08T09:00:00Z".into())),
            ("author", &|d| d.author = "ada".into()),
        ] {
            match parse(change) {
                Err(RecordRefusal::BadMember { member: found, .. }) => assert_eq!(found, member),
                other => panic!("{member}: {other:?}"),
            }
        }
    }
}
