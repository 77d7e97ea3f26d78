//! Random schemas: descriptor sets of every syntax that is read, with a side file of facts that fit.

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FieldOptions, FileDescriptorProto,
    FileDescriptorSet, MessageOptions, OneofDescriptorProto,
};

use super::super::Dice;
use super::side::Side;
use crate::veil::schema::{LoadFault, Schema, load};
use crate::veil::wire::push_len_prefixed;

/// A syntax and what a field of it can be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    pub(super) name: &'static str,
    pub(super) groups: bool,
    pub(super) required: bool,
    /// Whether `optional` has to be said for a field to have presence.
    pub(super) optional: bool,
    /// Behind the file's own bytes: an edition, and features that hold in all of it (`descriptor.proto`).
    edition: &'static [u8],
}

/// `edition = 14: EDITION_2023` (1000).
const EDITION_2023: &[u8] = &[0x70, 0xe8, 0x07];
/// `EDITION_2024` (1001), and `options = 8 { features = 50 { field_presence = IMPLICIT, repeated_field_encoding = EXPANDED } }`.
const EDITION_2024_IMPLICIT: &[u8] = &[0x70, 0xe9, 0x07, 0x42, 0x07, 0x92, 0x03, 0x04, 0x08, 0x02, 0x18, 0x02];

/// Another syntax is one more line.
const SYNTAXES: &[Syntax] = &[
    Syntax { name: "proto3", groups: false, required: false, optional: true, edition: &[] },
    Syntax { name: "proto2", groups: true, required: true, optional: false, edition: &[] },
    Syntax { name: "edition2023", groups: false, required: false, optional: false, edition: EDITION_2023 },
    Syntax { name: "edition2024", groups: false, required: false, optional: false, edition: EDITION_2024_IMPLICIT },
];

/// Nodes of a drawn schema.
const NODES_MAX: usize = 400;

const NUMBERS: [u32; 24] =
    [1, 2, 3, 4, 5, 6, 7, 9, 10, 14, 15, 16, 17, 31, 100, 127, 128, 2_047, 2_048, 17_999, 18_002, 262_144, 33_554_431, 536_870_911];

const SCALARS: [Type; 15] = [
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Bytes,
    Type::Uint32,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

const KEYS: [Type; 12] = [
    Type::String,
    Type::Int32,
    Type::Int64,
    Type::Uint32,
    Type::Uint64,
    Type::Sint32,
    Type::Sint64,
    Type::Fixed32,
    Type::Fixed64,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Bool,
];

/// What a drawn field is, for the side file.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) name: String,
    pub(super) holds: Holds,
    pub(super) repeated: bool,
    pub(super) required: bool,
    /// One of a pair of coordinates.
    pub(super) axis: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) enum Holds {
    Scalar(Type),
    Enum,
    Timestamp,
    Group,
    Message(usize),
    /// Key and value; the value may be a message.
    Map(Type, Result<Type, usize>),
}

/// A message and its fields.
pub(super) struct Kind {
    pub(super) syntax: Syntax,
    pub(super) fields: Vec<Drawn>,
}

/// A schema that loads and is not so large that the time goes into it.
pub(super) fn schema(dice: &mut Dice) -> Schema {
    loop {
        if let Some(schema) = one(dice).filter(|schema| schema.nodes().len() <= NODES_MAX) {
            return schema;
        }
    }
}

fn one(dice: &mut Dice) -> Option<Schema> {
    let many = 2 + dice.below(4);
    let kinds: Vec<Kind> = (0..many).map(|index| kind(index, many, dice)).collect();
    let mut set = Vec::new();
    for syntax in SYNTAXES {
        let of = |kind: &Kind| kind.syntax == *syntax;
        let message_type = kinds.iter().enumerate().filter(|(_, kind)| of(kind)).map(|(index, kind)| message(index, kind, dice)).collect();
        let file = FileDescriptorProto {
            name: Some(format!("{}.proto", syntax.name)),
            package: Some("drawn".to_owned()),
            syntax: Some(if syntax.edition.is_empty() { syntax.name } else { "editions" }.to_owned()),
            message_type,
            ..FileDescriptorProto::default()
        };
        // `FileDescriptorSet.file` = 1.
        push_len_prefixed(&mut set, 1, &[&file.encode_to_vec(), syntax.edition].concat());
    }
    set.extend(FileDescriptorSet { file: common().into() }.encode_to_vec());
    let side = Side::draw(&kinds, dice);
    match load(&set, "drawn.M0", Some(&side)) {
        Ok(schema) => Some(schema),
        // Types that hold each other, by several keys, expand to more than is read.
        Err(error) if error.fault == LoadFault::TooLarge => None,
        Err(error) => panic!("{error}\n{side}"),
    }
}

fn kind(index: usize, many: usize, dice: &mut Dice) -> Kind {
    let syntax = *dice.pick(SYNTAXES).expect("one");
    let (mut fields, mut messages) = (Vec::new(), 0);
    for at in 0..2 + dice.below(9) {
        let required = syntax.required && dice.one_in(8);
        let holds = match dice.below(12) {
            _ if required => scalar(dice),
            // Nothing holds the root, so that roles may stand in it; others may hold themselves and each other.
            0..3 if many > 1 && messages < 3 => {
                messages += 1;
                Holds::Message(1 + dice.below(many - 1))
            }
            3 if syntax.groups => Holds::Group,
            4 if messages < 3 => {
                let value = if dice.one_in(3) && many > 1 {
                    messages += 1;
                    Err(1 + dice.below(many - 1))
                } else {
                    Ok(*dice.pick(&SCALARS).expect("one"))
                };
                Holds::Map(*dice.pick(&KEYS).expect("one"), value)
            }
            5 => Holds::Timestamp,
            6 => Holds::Enum,
            _ => scalar(dice),
        };
        let repeated = !required && (matches!(holds, Holds::Map(..)) || dice.one_in(3));
        fields.push(Drawn { name: format!("f{at}"), holds, repeated, required, axis: None });
    }
    if dice.one_in(3) {
        for axis in ["latitude", "longitude"] {
            let holds = Holds::Scalar(if dice.one_in(2) { Type::Double } else { Type::Float });
            fields.push(Drawn { name: axis.to_owned(), holds, repeated: false, required: false, axis: Some(axis) });
        }
    }
    // Something to tell elements apart by, where there is nothing else.
    if index > 0 && dice.one_in(2) {
        let holds = if dice.one_in(5) { Holds::Enum } else { Holds::Scalar(*dice.pick(&KEYS).expect("one")) };
        fields.push(Drawn { name: "key".to_owned(), holds, repeated: false, required: false, axis: None });
    }
    Kind { syntax, fields }
}

fn scalar(dice: &mut Dice) -> Holds {
    Holds::Scalar(*dice.pick(&SCALARS).expect("one"))
}

fn message(index: usize, kind: &Kind, dice: &mut Dice) -> DescriptorProto {
    let name = format!("M{index}");
    let mut made = DescriptorProto { name: Some(name.clone()), ..DescriptorProto::default() };
    let mut numbers = NUMBERS.to_vec();
    let mut oneof = None;
    for drawn in &kind.fields {
        let number = numbers.remove(if dice.one_in(2) { 0 } else { dice.below(numbers.len()) });
        let mut field = field(&drawn.name, number, Type::Int32);
        field.set_label(match (drawn.repeated, drawn.required) {
            (true, _) => Label::Repeated,
            (_, true) => Label::Required,
            _ => Label::Optional,
        });
        match &drawn.holds {
            Holds::Scalar(of) => field.set_type(*of),
            Holds::Enum => {
                field.set_type(Type::Enum);
                field.type_name = Some(".drawn.E".to_owned());
            }
            Holds::Timestamp => of_message(&mut field, ".google.protobuf.Timestamp".to_owned()),
            Holds::Group => {
                let inner = format!("Group{number}");
                made.nested_type.push(DescriptorProto {
                    name: Some(inner.clone()),
                    field: vec![self::field("x", 1, Type::Int32)],
                    ..DescriptorProto::default()
                });
                field.set_type(Type::Group);
                field.type_name = Some(format!(".drawn.{name}.{inner}"));
            }
            Holds::Message(other) => of_message(&mut field, format!(".drawn.M{other}")),
            Holds::Map(key, value) => {
                let inner = format!("Entry{number}");
                made.nested_type.push(entry(&inner, *key, *value));
                of_message(&mut field, format!(".drawn.{name}.{inner}"));
            }
        }
        if kind.syntax.edition.is_empty() && drawn.repeated && dice.one_in(2) {
            field.options = Some(FieldOptions { packed: Some(dice.one_in(2)), ..FieldOptions::default() });
        }
        if !drawn.repeated && !drawn.required && drawn.axis.is_none() && !matches!(drawn.holds, Holds::Group) {
            if dice.one_in(5) {
                // Members of one oneof; that two of them are on the wire is for the source not to do.
                let index = *oneof.get_or_insert_with(|| {
                    made.oneof_decl.push(OneofDescriptorProto { name: Some("choice".to_owned()), ..OneofDescriptorProto::default() });
                    made.oneof_decl.len() as i32 - 1
                });
                field.oneof_index = Some(index);
            } else if kind.syntax.optional && dice.one_in(3) {
                made.oneof_decl.push(OneofDescriptorProto { name: Some(format!("_{}", drawn.name)), ..OneofDescriptorProto::default() });
                field.oneof_index = Some(made.oneof_decl.len() as i32 - 1);
                field.proto3_optional = Some(true);
            }
        }
        made.field.push(field);
    }
    made
}

pub(super) fn of_message(field: &mut FieldDescriptorProto, name: String) {
    field.set_type(Type::Message);
    field.type_name = Some(name);
}

pub(super) fn field(name: &str, number: u32, of: Type) -> FieldDescriptorProto {
    let mut field = FieldDescriptorProto { name: Some(name.to_owned()), number: Some(number as i32), ..FieldDescriptorProto::default() };
    field.set_label(Label::Optional);
    field.set_type(of);
    field
}

fn entry(name: &str, key: Type, value: Result<Type, usize>) -> DescriptorProto {
    let mut held = field("value", 2, Type::Int32);
    match value {
        Ok(of) => held.set_type(of),
        Err(other) => of_message(&mut held, format!(".drawn.M{other}")),
    }
    DescriptorProto {
        name: Some(name.to_owned()),
        field: vec![field("key", 1, key), held],
        options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
        ..DescriptorProto::default()
    }
}

/// What all use: an enum, and the well-known type.
fn common() -> [FileDescriptorProto; 2] {
    let value = |name: &str, number| EnumValueDescriptorProto { name: Some(name.to_owned()), number: Some(number), options: None };
    let kinds = EnumDescriptorProto {
        name: Some("E".to_owned()),
        value: vec![value("NONE", 0), value("ONE", 1), value("MANY", 300), value("LESS", -2)],
        ..EnumDescriptorProto::default()
    };
    let timestamp = DescriptorProto {
        name: Some("Timestamp".to_owned()),
        field: vec![field("seconds", 1, Type::Int64), field("nanos", 2, Type::Int32)],
        ..DescriptorProto::default()
    };
    let file = |name: &str, package: &str| FileDescriptorProto {
        name: Some(name.to_owned()),
        package: Some(package.to_owned()),
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    [
        FileDescriptorProto { enum_type: vec![kinds], ..file("common.proto", "drawn") },
        FileDescriptorProto { message_type: vec![timestamp], ..file("google/protobuf/timestamp.proto", "google.protobuf") },
    ]
}
