//! The published table: which treatment exists for which type. An undefined pair is refused at load where a schema asks for it,
//! and stripped where a consent or a policy does.

use super::{Facts, Kind, Site};
use crate::veil::terms::{Category, Generalizer, Role, Sensitivity, Treatment};

/// A way to generalize, without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// [`Generalizer::Step`].
    Step,
    /// [`Generalizer::Buckets`].
    Buckets,
    /// [`Generalizer::Decimals`].
    Decimals,
    /// [`Generalizer::TimeBucket`].
    TimeBucket,
    /// [`Generalizer::PrefixChars`].
    PrefixChars,
    /// [`Generalizer::Place`].
    Place,
}

impl Method {
    /// Every method.
    pub const ALL: &'static [Self] = &[Self::Step, Self::Buckets, Self::Decimals, Self::TimeBucket, Self::PrefixChars, Self::Place];

    /// The method of a generalizer.
    pub const fn of(generalizer: &Generalizer) -> Self {
        match generalizer {
            Generalizer::Step(_) => Self::Step,
            Generalizer::Buckets(_) => Self::Buckets,
            Generalizer::Decimals(_) => Self::Decimals,
            Generalizer::TimeBucket { .. } => Self::TimeBucket,
            Generalizer::PrefixChars(_) => Self::PrefixChars,
            Generalizer::Place { .. } => Self::Place,
        }
    }

    /// The word in schemas and side files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Buckets => "buckets",
            Self::Decimals => "decimals",
            Self::TimeBucket => "time_bucket",
            Self::PrefixChars => "prefix_chars",
            Self::Place => "place",
        }
    }

    /// Whether values of the type can be generalized like this. Repeated numbers and texts are, one by one; a place is one point.
    pub const fn fits(self, kind: Kind, repeated: bool) -> bool {
        match self {
            Self::Step | Self::Buckets => is_integer(kind) || is_float(kind),
            Self::Decimals => is_float(kind),
            // Zig-zag is for small numbers of either sign; nobody writes times so.
            Self::TimeBucket => (is_integer(kind) && !kind.zigzag()) || is_float(kind) || matches!(kind, Kind::Timestamp),
            Self::PrefixChars => matches!(kind, Kind::String),
            Self::Place => is_float(kind) && !repeated,
        }
    }
}

/// Whether the type is an integer; bools and enums are not.
pub const fn is_integer(kind: Kind) -> bool {
    match kind {
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64 => true,
        Kind::Double
        | Kind::Float
        | Kind::Bool
        | Kind::String
        | Kind::Bytes
        | Kind::Enum
        | Kind::Timestamp
        | Kind::Message
        | Kind::Map
        | Kind::Group => false,
    }
}

/// Whether the type is a floating-point number.
pub const fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Double | Kind::Float)
}

/// Whether the type can be an identifier: text, bytes or an integer.
pub const fn is_identifier_kind(kind: Kind) -> bool {
    is_integer(kind) || matches!(kind, Kind::String | Kind::Bytes)
}

/// Whether the field identifies something. A keyed hash of anything else has few preimages: it is a code book, not a pseudonym.
pub fn is_identifier(facts: &Facts) -> bool {
    facts.sensitivity == Sensitivity::Identifying
        || match facts.category {
            Some(Category::Identity | Category::Contact | Category::Device | Category::Financial | Category::Site) => true,
            Some(
                Category::Location
                | Category::Health
                | Category::Biometric
                | Category::Behaviour
                | Category::Social
                | Category::Operation
                | Category::OperatorConduct
                | Category::Demand
                | Category::Time
                | Category::Environment,
            )
            | None => false,
        }
        || matches!(facts.role, Some(Role::Subject | Role::Sequence))
}

/// Whether the treatment exists for a field of this type with these facts. [`Site::allows`] also knows about `required`.
pub fn allowed(kind: Kind, repeated: bool, facts: &Facts, treatment: Treatment) -> bool {
    match treatment {
        Treatment::Keep | Treatment::Strip => true,
        Treatment::Generalize => facts.generalize.as_ref().is_some_and(|generalizer| Method::of(generalizer).fits(kind, repeated)),
        Treatment::Pseudonymize => is_identifier_kind(kind) && is_identifier(facts),
        // A fragment is merged by appending it; appended groups are not merged by every parser.
        Treatment::Encrypt => kind != Kind::Group,
    }
}

impl Site {
    /// Whether the treatment exists here. A proto2 `required` field can't be sealed: stock stubs refuse the clear frame without it.
    pub fn allows(&self, treatment: Treatment) -> bool {
        !(self.required && treatment == Treatment::Encrypt) && allowed(self.kind, self.repeated, &self.facts, treatment)
    }
}

/// Every type, in the order of the published table.
pub(in crate::veil) const KINDS: &[Kind] = &[
    Kind::Double,
    Kind::Float,
    Kind::Int32,
    Kind::Int64,
    Kind::Uint32,
    Kind::Uint64,
    Kind::Sint32,
    Kind::Sint64,
    Kind::Fixed32,
    Kind::Fixed64,
    Kind::Sfixed32,
    Kind::Sfixed64,
    Kind::Bool,
    Kind::String,
    Kind::Bytes,
    Kind::Enum,
    Kind::Timestamp,
    Kind::Message,
    Kind::Map,
    Kind::Group,
];

/// The table as Markdown, for the manual.
pub fn markdown() -> String {
    let mut text = String::from("| type | keep | generalize | pseudonymize | encrypt | strip |\n| --- | --- | --- | --- | --- | --- |\n");
    for &kind in KINDS {
        let methods: Vec<_> = Method::ALL.iter().filter(|method| method.fits(kind, false)).map(|method| method.word()).collect();
        let generalize = if methods.is_empty() { "–".to_owned() } else { methods.join(", ") };
        let pseudonymize = if is_identifier_kind(kind) { "identifiers" } else { "–" };
        let encrypt = if allowed(kind, false, &Facts::UNCLASSIFIED, Treatment::Encrypt) { "yes" } else { "–" };
        text.push_str(&format!("| {} | yes | {generalize} | {pseudonymize} | {encrypt} | yes |\n", kind.word()));
    }
    text.push_str(
        "\nRepeated fields are treated value by value, except for `place`, which is for one point. Identifiers are fields that are `identifying`, \
         of the category `identity`, `contact`, `device`, `financial` or `site`, or of the role `subject` or `sequence`. \
         A proto2 `required` field can't be encrypted.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(generalize: Option<Generalizer>) -> Facts {
        Facts { sensitivity: Sensitivity::Special, category: Some(Category::Health), role: None, floor: Treatment::Keep, generalize }
    }

    #[test]
    fn bools_enums_and_measurements_are_never_pseudonymized() {
        let identity = Facts { sensitivity: Sensitivity::Identifying, category: Some(Category::Identity), ..facts(None) };
        for &kind in KINDS {
            assert_eq!(allowed(kind, false, &identity, Treatment::Pseudonymize), is_identifier_kind(kind), "{kind:?}");
            assert!(!allowed(kind, false, &facts(None), Treatment::Pseudonymize), "{kind:?}");
        }
        for kind in [Kind::Bool, Kind::Enum, Kind::Double, Kind::Float, Kind::Map, Kind::Message, Kind::Timestamp, Kind::Group] {
            assert!(!is_identifier_kind(kind), "{kind:?}");
        }
    }

    #[test]
    fn nothing_is_generalized_without_a_method_that_fits() {
        for &kind in KINDS {
            assert!(!allowed(kind, false, &facts(None), Treatment::Generalize), "{kind:?}");
        }
        assert!(allowed(Kind::Float, true, &facts(Some(Generalizer::Decimals(1))), Treatment::Generalize));
        assert!(!allowed(Kind::Uint32, true, &facts(Some(Generalizer::Decimals(1))), Treatment::Generalize));
        assert!(!allowed(Kind::Bytes, false, &facts(Some(Generalizer::PrefixChars(1))), Treatment::Generalize));
        assert!(!allowed(Kind::Bool, false, &facts(Some(Generalizer::Step(1.0))), Treatment::Generalize));
        assert!(!Method::Place.fits(Kind::Double, true));
        assert!(Method::TimeBucket.fits(Kind::Timestamp, false));
    }

    #[test]
    fn keep_and_strip_exist_for_everything_and_encrypt_for_all_but_groups() {
        for &kind in KINDS {
            assert!(allowed(kind, false, &facts(None), Treatment::Keep) && allowed(kind, true, &facts(None), Treatment::Strip));
            assert_eq!(allowed(kind, false, &facts(None), Treatment::Encrypt), kind != Kind::Group);
        }
    }

    #[test]
    fn the_published_table_has_a_row_for_every_type() {
        let table = markdown();
        for kind in KINDS {
            assert!(table.contains(&format!("| {} | yes |", kind.word())), "{kind:?}");
        }
        assert!(table.contains("| string | yes | prefix_chars | identifiers | yes | yes |"));
        assert!(table.contains("| group | yes | – | – | – | yes |"));
    }
}
