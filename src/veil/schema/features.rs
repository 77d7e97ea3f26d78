//! What a file of protobuf says about its fields beyond their type: presence, packing, delimiting, closed enums. proto2 and
//! proto3 are fixed sets of features; a file of an edition has the edition's defaults, overridden at the file, message, oneof,
//! enum or field (protobuf documentation, "Feature Settings for Editions"; google/protobuf/descriptor.proto, `FeatureSet`).

use super::declared::FeatureSet;

/// `EDITION_2023` of `google.protobuf.Edition`.
const EDITION_2023: i32 = 1_000;
/// `EDITION_2024`.
const EDITION_2024: i32 = 1_001;

/// The features that decide about bytes, as they hold at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) presence: Presence,
    /// Whether an enum has no other values than those it declares.
    pub(super) closed: bool,
    /// Whether writers pack repeated numbers.
    pub(super) packed: bool,
    /// Whether messages stand between tags, as groups do.
    pub(super) delimited: bool,
}

/// `field_presence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Explicit,
    Implicit,
    Required,
}

/// Which rules a file is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Proto2,
    Proto3,
    /// An edition that is read: labels, groups and `packed` say nothing, features say it all.
    Edition,
}

impl Features {
    const PROTO2: Self = Self { presence: Presence::Explicit, closed: true, packed: false, delimited: false };
    const PROTO3: Self = Self { presence: Presence::Implicit, closed: false, packed: true, delimited: false };
    /// The defaults of 2023, which 2024 did not change in what decides about bytes.
    const EDITION: Self = Self { presence: Presence::Explicit, closed: false, packed: true, delimited: false };

    /// Stands for what is not read.
    pub(super) const UNREAD: Self = Self::EDITION;

    /// The syntax and features of a file by its `syntax` and `edition`; `Err` says of which syntax it is, for one that is not read.
    pub(super) fn of_file(syntax: Option<&str>, edition: Option<i32>) -> Result<(Syntax, Self), String> {
        match (syntax, edition) {
            (None | Some("" | "proto2"), None) => Ok((Syntax::Proto2, Self::PROTO2)),
            (Some("proto3"), None) => Ok((Syntax::Proto3, Self::PROTO3)),
            (Some("editions"), Some(EDITION_2023 | EDITION_2024)) => Ok((Syntax::Edition, Self::EDITION)),
            (Some("editions"), Some(edition)) => Err(format!("the edition with the number {edition}; 2023 and 2024 are read")),
            (Some("editions"), None) => Err("an edition that is not named".to_owned()),
            (_, Some(edition)) => Err(format!("two syntaxes, one of them the edition with the number {edition}")),
            (Some(syntax), None) => Err(format!("the syntax `{}`", super::descriptor::shown(syntax))),
        }
    }

    /// These, with what is said further in. `Err` names what can't be said in this place, or is not known.
    pub(super) fn with(mut self, said: Option<&FeatureSet>, syntax: Syntax, at: Level) -> Result<Self, &'static str> {
        let Some(said) = said else { return Ok(self) };
        if syntax != Syntax::Edition {
            return Err("features, which only a file of an edition has");
        }
        // 0 is UNKNOWN in each of these enums: nothing was said.
        match said.field_presence {
            None | Some(0) => {}
            Some(1) => self.presence = Presence::Explicit,
            Some(2) => self.presence = Presence::Implicit,
            Some(3) if at == Level::Field => self.presence = Presence::Required,
            Some(3) => return Err("`LEGACY_REQUIRED` for more than a field"),
            Some(_) => return Err("a field presence that this gateway does not know"),
        }
        match said.enum_type {
            None | Some(0) => {}
            Some(1) => self.closed = false,
            Some(2) => self.closed = true,
            Some(_) => return Err("an enum type that this gateway does not know"),
        }
        match said.repeated_field_encoding {
            None | Some(0) => {}
            Some(1) => self.packed = true,
            Some(2) => self.packed = false,
            Some(_) => return Err("an encoding of repeated fields that this gateway does not know"),
        }
        match said.message_encoding {
            None | Some(0) => {}
            Some(1) => self.delimited = false,
            Some(2) => self.delimited = true,
            Some(_) => return Err("an encoding of messages that this gateway does not know"),
        }
        Ok(self)
    }
}

/// Where a feature is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Field,
    /// A file, message, oneof or enum.
    Around,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntaxes_and_editions_are_read_or_refused_by_name() {
        assert_eq!(Features::of_file(None, None), Ok((Syntax::Proto2, Features::PROTO2)));
        assert_eq!(Features::of_file(Some("proto3"), None), Ok((Syntax::Proto3, Features::PROTO3)));
        for edition in [EDITION_2023, EDITION_2024] {
            assert_eq!(Features::of_file(Some("editions"), Some(edition)), Ok((Syntax::Edition, Features::EDITION)));
            assert!(Features::of_file(Some("proto3"), Some(edition)).is_err());
        }
        for edition in [0, 900, 998, 999, 1_002, 9_999, 99_999, i32::MAX, -1] {
            let refused = Features::of_file(Some("editions"), Some(edition)).expect_err("not read");
            assert!(refused.contains(&format!("the number {edition};")), "{refused}");
        }
        assert!(Features::of_file(Some("editions"), None).is_err() && Features::of_file(Some("proto4"), None).is_err());
    }

    #[test]
    fn what_is_said_further_in_overrides_and_what_is_not_known_is_refused() {
        let with = |said: FeatureSet, at| Features::EDITION.with(Some(&said), Syntax::Edition, at);
        let nothing = FeatureSet::default();
        assert_eq!(with(nothing, Level::Field), Ok(Features::EDITION));
        let said = FeatureSet { field_presence: Some(2), enum_type: Some(2), repeated_field_encoding: Some(2), message_encoding: Some(2) };
        let all = Features { presence: Presence::Implicit, closed: true, packed: false, delimited: true };
        assert_eq!(with(said, Level::Around), Ok(all));
        assert_eq!(
            all.with(Some(&FeatureSet { message_encoding: Some(1), ..nothing }), Syntax::Edition, Level::Field).map(|f| f.delimited),
            Ok(false)
        );
        for unknown in [
            FeatureSet { field_presence: Some(4), ..nothing },
            FeatureSet { enum_type: Some(3), ..nothing },
            FeatureSet { repeated_field_encoding: Some(3), ..nothing },
            FeatureSet { message_encoding: Some(-1), ..nothing },
        ] {
            assert!(with(unknown, Level::Field).is_err_and(|detail| detail.ends_with("does not know")));
        }
        let required = FeatureSet { field_presence: Some(3), ..nothing };
        assert_eq!(with(required, Level::Field).map(|features| features.presence), Ok(Presence::Required));
        assert!(with(required, Level::Around).is_err());
        assert!(Features::PROTO3.with(Some(&nothing), Syntax::Proto3, Level::Field).is_err());
    }
}
