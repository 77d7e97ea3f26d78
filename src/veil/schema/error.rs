//! Why a schema is refused at load. Nothing here comes from a frame: a schema and its side file are the operator's own text.

use std::fmt;

use crate::veil::logsafe::LogSafe;

/// An enum of faults with stable codes and what to do about each.
macro_rules! faults {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal, $todo:literal;)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable code; the manual has an entry for each.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// What to do about it.
            pub const fn todo(self) -> &'static str {
                match self { $(Self::$variant => $todo),+ }
            }
        }
    };
}
pub(in crate::veil) use faults;

faults! {
    /// What is wrong with a schema or its side file.
    LoadFault {
        /// The bytes are no descriptor set, or more than the gateway reads.
        Unreadable = "TV-S01", "build the descriptor set anew (`protoc --include_imports --descriptor_set_out`)";
        /// The descriptor set contradicts itself.
        Malformed = "TV-S02", "build the descriptor set anew, with the compiler that belongs to the `.proto` file";
        /// A file of an edition or syntax that is not read.
        Editions = "TV-S03", "give the gateway a version of the file in proto2, proto3, or the edition 2023 or 2024";
        /// The message type of the frames is not in the descriptor set.
        UnknownRoot = "TV-S04", "name a message type of the descriptor set";
        /// A field has a type that is not in the descriptor set.
        UnresolvedType = "TV-S05", "build the descriptor set with its imports (`protoc --include_imports`)";
        /// A field, or a declared extension of the frames' message, has a number that the gateway keeps for itself.
        Reserved = "TV-S06", "give it another number: 18000 and 18001 stay free";
        /// The schema expands to more nodes, sites or levels than the gateway holds.
        TooLarge = "TV-S07", "classify large messages as a whole";
        /// The side file is not TOML of the documented form.
        SideFile = "TV-S08", "mend the side file";
        /// A message or field that is named does not exist.
        UnknownName = "TV-S09", "mend the name";
        /// A selector can't be read, or does not fit the field it stands on.
        Selector = "TV-S10", "mend the selector";
        /// Facts that are incomplete, unknown or contradict each other.
        Facts = "TV-S11", "mend the classification";
        /// A generalization that does not fit the type.
        Generalize = "TV-S12", "mend `generalize`";
        /// The floor is a treatment that does not exist for the type.
        Undefined = "TV-S13", "choose another floor";
        /// Cases that don't fit the field or each other.
        Cases = "TV-S14", "mend the cases";
        /// A proto2 `required` field that could be left out of a message that is sent.
        Required = "TV-S15", "classify the message around it as a whole, or the field as `public` without a floor";
        /// A role on a field that can't play it, or on two.
        Role = "TV-S16", "give the role to one singular field";
        /// A field that the schema's author marked `debug_redact` is classified as public.
        Redacted = "TV-S17", "classify it as `operational` at the least";
        /// A classification that would never be looked at.
        Shadowed = "TV-S18", "remove one of the two";
    }
}

/// A schema that is not taken, and whose move it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// What kind of fault.
    pub fault: LoadFault,
    /// Where: a message, `message.field`, or a line of the side file; empty where it is the whole.
    pub place: String,
    /// What exactly.
    pub detail: String,
}

impl LoadError {
    pub(super) fn new(fault: LoadFault, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { fault, place: printable(place.into()), detail: printable(detail.into()) }
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.fault.code()
    }
}

/// One line of bounded length: names in a descriptor set are anybody's bytes until they are checked.
fn printable(text: String) -> String {
    if text.len() <= SHOWN_MAX && !text.contains(char::is_control) {
        return text;
    }
    text.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

/// More than the longest path.
const SHOWN_MAX: usize = 8_192;

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}: {}", self.detail, self.fault.todo())
    }
}

impl std::error::Error for LoadError {}
/// Schemas and side files are the operator's; no frame is in them.
impl LogSafe for LoadError {}

/// `, did you mean …?` with the nearest of the candidates; empty where none is near.
pub(in crate::veil) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let most = (word.chars().count() / 3).clamp(1, 4);
    let nearest = candidates
        .into_iter()
        // An edit distance is at least the difference in length: skip what can't be near.
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * most)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= most)
        .min();
    nearest.map_or_else(String::new, |(_, candidate)| format!(" (did you mean `{candidate}`?)"))
}

/// Levenshtein's edit distance over characters, letter case ignored.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (to, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let best = (diagonal + usize::from(from != *to)).min(left + 1).min(*above + 1);
            diagonal = *above;
            *above = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_in_order() {
        for (i, fault) in LoadFault::ALL.iter().enumerate() {
            assert_eq!(fault.code(), format!("TV-S{:02}", i + 1));
        }
    }

    #[test]
    fn an_error_is_one_line_of_bounded_length_whatever_is_named_in_it() {
        let error = LoadError::new(LoadFault::Malformed, "`a\u{1b}[2J\n.b`", "x".repeat(2 * SHOWN_MAX));
        assert_eq!((error.place.as_str(), error.detail.len()), ("`a[2J.b`", SHOWN_MAX));
    }

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        assert_eq!(did_you_mean("heart_rat", ["spo2", "heart_rate", "heart"]), " (did you mean `heart_rate`?)");
        assert_eq!(did_you_mean("helth", ["health", "identity"]), " (did you mean `health`?)");
        assert_eq!(did_you_mean("weather", ["identity", "x"]), "");
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
