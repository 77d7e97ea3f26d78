//! What is wrong with a configuration, in the operator's words.

use std::fmt;

/// Why a configuration is refused. It is the operator's move; the text says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    /// A refusal about the file as a whole.
    pub(super) fn plain(text: String) -> Self {
        Self(text)
    }

    /// A key whose value can't stand.
    pub(super) fn value(key: &str, value: impl fmt::Display, then: impl fmt::Display) -> Self {
        Self(format!("`{key}` is `{value}`: {then}"))
    }

    /// A key that is wrong in itself: missing, or one too many.
    pub(super) fn key(key: &str, then: impl fmt::Display) -> Self {
        Self(format!("`{key}`: {then}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The candidate that `word` is most likely a slip of: at most a third of its letters differ.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = word.chars().count();
    // What a person mistypes is short; the work stays bounded for what isn't.
    if letters > 64 {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 256)
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, _)| *edits * 3 <= letters.max(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, one row at a time.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(&other) {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        assert_eq!(nearest("lisen", ["origin", "listen", "insecure"]), Some("listen"));
        assert_eq!(nearest("heart_rat_bpm", ["heart_rate_bpm", "spo2_pct"]), Some("heart_rate_bpm"));
        assert_eq!(nearest("colour", ["origin", "listen"]), None);
        assert_eq!((edits("kitten", "sitting"), edits("", "abc"), edits("abc", "")), (3, 3, 3));
    }
}
