//! Files of editions that say what editions don't have, or what this gateway does not know.

use super::*;
use crate::veil::schema::declared::{
    EnumOptions, EnumProto, FeatureSet, FieldOptions, FieldProto, FileOptions, FileProto, FileSet, MessageOptions, MessageProto,
    OneofOptions, OneofProto,
};

/// A message encoding that there is not.
const UNKNOWN: Option<FeatureSet> =
    Some(FeatureSet { field_presence: None, enum_type: None, repeated_field_encoding: None, message_encoding: Some(9) });

fn edition(change: impl FnOnce(&mut FileProto)) -> Vec<u8> {
    let field = FieldProto { name: Some("a".into()), number: Some(1), label: Some(1), r#type: Some(9), ..FieldProto::default() };
    let message = MessageProto { name: Some("M".into()), field: vec![field], ..MessageProto::default() };
    let mut file = FileProto {
        name: Some("e.proto".into()),
        package: Some("t".into()),
        message_type: vec![message],
        syntax: Some("editions".into()),
        edition: Some(1_000),
        ..FileProto::default()
    };
    change(&mut file);
    FileSet { file: vec![file] }.encode_to_vec()
}

fn expect_malformed(words: &str, change: impl FnOnce(&mut FileProto)) {
    expect(&refused(&edition(change), None), LoadFault::Malformed, words);
}

#[test]
fn unknown_features_are_refused_wherever_they_stand() {
    let unknown = |place: &str| format!("{place}: an encoding of messages that this gateway does not know");
    assert!(load(&edition(|_| ()), "t.M", None).is_ok(), "the file as such is read");
    expect_malformed(&unknown("file `e.proto`"), |file| file.options = Some(FileOptions { features: UNKNOWN }));
    expect_malformed(&unknown("`t.M`"), |file| {
        file.message_type[0].options = Some(MessageOptions { features: UNKNOWN, ..MessageOptions::default() });
    });
    expect_malformed(&unknown("`t.M`"), |file| {
        file.message_type[0].oneof_decl = vec![OneofProto { options: Some(OneofOptions { features: UNKNOWN }) }];
    });
    expect_malformed(&unknown("`t.M.a`"), |file| {
        file.message_type[0].field[0].options = Some(FieldOptions { features: UNKNOWN, ..FieldOptions::default() });
    });
    expect_malformed(&unknown("`t.E`"), |file| {
        file.enum_type = vec![EnumProto { name: Some("E".into()), value: vec![], options: Some(EnumOptions { features: UNKNOWN }) }];
    });
}

#[test]
fn what_features_have_replaced_is_refused() {
    expect_malformed("the label `required`", |file| file.message_type[0].field[0].label = Some(2));
    expect_malformed("a group, which editions", |file| file.message_type[0].field[0].r#type = Some(10));
    expect_malformed("the option `packed`", |file| {
        file.message_type[0].field[0].options = Some(FieldOptions { packed: Some(true), ..FieldOptions::default() });
    });
}

#[test]
fn a_oneof_that_there_is_not_says_nothing_about_its_members() {
    for index in [-1, 7] {
        let set = edition(|file| file.message_type[0].field[0].oneof_index = Some(index));
        let schema = load(&set, "t.M", None).expect("loads");
        assert_eq!((paths(&schema), unclassified(&schema)), (vec!["a"], vec!["a"]), "{index}");
    }
}
