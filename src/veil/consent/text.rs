//! Reading the members of a payload: bounded texts, UTC instants, names. Each refusal names the member.

use serde::de::DeserializeOwned;

use super::refusal::RecordRefusal;
use crate::veil::name::{Did, Origin, RecordId, SealKey, Spiffe, UnixMs};
use crate::veil::terms::Treatment;

/// The longest text of a member, in bytes, unless it says otherwise.
pub(in crate::veil) const TEXT_BYTES_MAX: usize = 1_024;

const SHOWN_CHARS_MAX: usize = 400;

/// Reads a payload. `T` refuses unknown members; serde refuses those that are missing or there twice.
pub(in crate::veil) fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, RecordRefusal> {
    serde_json::from_slice(payload).map_err(|error| RecordRefusal::Malformed(unread(&error)))
}

/// What is wrong with a JSON text, in one line of bounded length: serde quotes what it read, and that is anybody's.
pub(in crate::veil) fn unread(error: &serde_json::Error) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

/// A text that says something and is not too long; control characters could play tricks on whoever displays it.
pub(in crate::veil) fn text(member: &str, text: &str) -> Result<(), RecordRefusal> {
    if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(RecordRefusal::member(member, "a text of 1 to 1024 bytes without control characters"));
    }
    Ok(())
}

/// A list of `at_least` to `at_most` parts.
pub(in crate::veil) fn count<T>(
    member: &str,
    list: &[T],
    at_least: usize,
    at_most: usize,
    expected: &'static str,
) -> Result<(), RecordRefusal> {
    if (at_least..=at_most).contains(&list.len()) { Ok(()) } else { Err(RecordRefusal::member(member, expected)) }
}

/// RFC 3339 with `T` and `Z`: an offset would be a second way to write the same instant.
pub(in crate::veil) fn instant(member: &str, text: &str) -> Result<UnixMs, RecordRefusal> {
    let bytes = text.as_bytes();
    let shape =
        (20..=30).contains(&bytes.len()) && bytes.get(10) == Some(&b'T') && bytes.last() == Some(&b'Z') && bytes[0].is_ascii_digit();
    let at = if shape { text.parse::<jiff::Timestamp>().ok() } else { None };
    at.map(|at| UnixMs(at.as_millisecond()))
        .ok_or_else(|| RecordRefusal::member(member, "an RFC 3339 time in UTC, such as `2026-01-31T09:00:00Z`"))
}

/// An ISO 8601 duration, such as `P6M`.
pub(in crate::veil) fn duration(member: &str, text: &str) -> Result<(), RecordRefusal> {
    let span = if text.starts_with('P') && text.len() <= 64 { text.parse::<jiff::Span>().ok() } else { None };
    span.filter(|span| span.is_positive()).map(drop).ok_or_else(|| RecordRefusal::member(member, "an ISO 8601 duration, such as `P6M`"))
}

pub(in crate::veil) fn did(member: &str, text: &str) -> Result<Did, RecordRefusal> {
    Did::parse(text).map_err(|bad| RecordRefusal::member(member, article(bad.expected)))
}

pub(in crate::veil) fn spiffe(member: &str, text: &str) -> Result<Spiffe, RecordRefusal> {
    Spiffe::parse(text).map_err(|bad| RecordRefusal::member(member, article(bad.expected)))
}

pub(in crate::veil) fn seal_key(member: &str, text: &str) -> Result<SealKey, RecordRefusal> {
    SealKey::parse(text).map_err(|bad| RecordRefusal::member(member, article(bad.expected)))
}

/// 32 bytes in lower-case hexadecimal.
pub(in crate::veil) fn record_id(member: &str, text: &str) -> Result<RecordId, RecordRefusal> {
    RecordId::parse(text).map_err(|_| RecordRefusal::member(member, "a SHA-256 in 64 lower-case hexadecimal digits"))
}

/// 16 bytes in lower-case hexadecimal, in the member `nonce`.
pub(in crate::veil) fn nonce(text: &str) -> Result<[u8; 16], RecordRefusal> {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| RecordRefusal::member("nonce", "16 random bytes in 32 lower-case hexadecimal digits"))
}

pub(in crate::veil) fn origin(member: &str, name: &str) -> Result<Origin, RecordRefusal> {
    text(member, name)?;
    Ok(Origin::new(name))
}

/// The place of a record in its subject's chain: 1 without a record before it, or more with one.
pub(in crate::veil) fn place_in_chain(seq: u64, prev: Option<&str>) -> Result<Option<RecordId>, RecordRefusal> {
    let prev = prev.map(|prev| record_id("prev", prev)).transpose()?;
    if seq == 0 || (seq == 1) != prev.is_none() {
        return Err(RecordRefusal::member("seq", "1 without a `prev`, or more with one"));
    }
    Ok(prev)
}

/// From when until when: nothing reaches back, and nothing ends before it begins.
pub(in crate::veil) fn lifetime(at: UnixMs, not_before: Option<UnixMs>, expires: UnixMs) -> Result<(), RecordRefusal> {
    if not_before.is_some_and(|from| from < at) {
        return Err(RecordRefusal::member("not_before", "at or after `at`: consent does not reach back"));
    }
    if expires <= not_before.unwrap_or(at) {
        return Err(RecordRefusal::member("expires", "after the beginning"));
    }
    Ok(())
}

/// Whether the recipient gets the key of what is encrypted.
pub(in crate::veil) fn holds_key(member: &str, keys: Option<&str>, treatment: Treatment) -> Result<bool, RecordRefusal> {
    match keys {
        None | Some("none") => Ok(false),
        Some("recipient") if treatment == Treatment::Encrypt => Ok(true),
        Some("recipient") => Err(RecordRefusal::member(member, "`none`, as it must be unless the treatment is `encrypt`")),
        Some(_) => Err(RecordRefusal::member(member, "`none` or `recipient`")),
    }
}

fn article(expected: &'static str) -> &'static str {
    match expected {
        "did:key with an Ed25519 key" => "a did:key with an Ed25519 key (did:key:z6Mk…)",
        "X25519 Multikey (z6LS…)" => "an X25519 Multikey (z6LS…)",
        "SPIFFE id (spiffe://trust-domain/path)" => "a SPIFFE id (spiffe://trust-domain/path)",
        other => other,
    }
}

/// The word of the list that takes the fewest edits to reach, if they are few.
pub(in crate::veil) fn nearest<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    if word.len() > 64 {
        return None;
    }
    let worst = word.len() / 3 + 1;
    words
        .iter()
        .map(|candidate| (edits(word, candidate), *candidate))
        .min()
        .filter(|(edits, _)| *edits <= worst)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in bytes, upper and lower case being the same.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replace = corner + usize::from(!x.eq_ignore_ascii_case(&y));
            corner = row[j + 1];
            row[j + 1] = replace.min(corner + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_one_way() {
        assert_eq!(instant("at", "1970-01-01T00:00:01.5Z").expect("good"), UnixMs(1_500));
        for text in [
            "1970-01-01T00:00:01+00:00",
            "1970-01-01 00:00:01Z",
            "1970-01-01T00:00:01",
            "1970-01-01",
            "-000001-01-01T00:00:00Z",
            "",
            "é970-01-01T00:00:01Z",
        ] {
            assert_eq!(instant("at", text).expect_err(text).code(), "TV-C07");
        }
    }

    #[test]
    fn a_duration_is_iso_8601_and_not_negative() {
        for text in ["P6M", "P1Y2M", "PT12H", "P30D"] {
            assert_eq!(duration("storage.retention", text), Ok(()), "{text}");
        }
        for text in ["6 months", "", "P", "-P6M", "P0D", "forever"] {
            assert!(duration("storage.retention", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_word_finds_its_neighbour_and_a_strange_one_none() {
        assert_eq!(nearest("academicreserch", crate::veil::dpv::PURPOSES), Some("AcademicResearch"));
        assert_eq!(nearest("xyz", crate::veil::dpv::PURPOSES), None);
        assert_eq!(nearest(&"a".repeat(65), crate::veil::dpv::PURPOSES), None);
    }
}
