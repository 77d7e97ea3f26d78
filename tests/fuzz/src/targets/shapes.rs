//! Message types for the targets: the two samples, and a proto3, a proto2 and a flat type that together have every kind of
//! field, written as tables so that nothing has to be compiled.

use std::sync::OnceLock;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions};
use twinveil::proto::SAMPLES;
use twinveil::veil::schema::{Schema, load, load_annotated, load_for_calls};

/// A file: its syntax, and message types with fields as (name, number, type). `*` in front: repeated; `!`: required; `map`: a
/// map of text; `group`: a group of the type behind it.
pub(crate) type Shape = (&'static str, &'static [(&'static str, &'static [(&'static str, i32, &'static str)])]);

/// One field of each way to write one.
pub(crate) const FLAT: Shape = (
    "proto3",
    &[(
        "Flat",
        &[
            ("varint", 1, "uint64"),
            ("bytes", 2, "bytes"),
            ("packed", 3, "*uint64"),
            ("four", 4, "fixed32"),
            ("eight", 5, "fixed64"),
            ("fours", 6, "*float"),
            ("far", 2_000, "uint64"),
            ("farther", 3_000, "bytes"),
        ],
    )],
);

pub(crate) const FLAT_SIDE: &str = r#"
["t.Flat"]
varint = { sensitivity = "public", category = "operation" }
bytes = { sensitivity = "operational", category = "device" }
packed = { sensitivity = "personal", category = "health" }
four = { sensitivity = "special", category = "health" }
eight = { sensitivity = "identifying", category = "identity" }
fours = { sensitivity = "special", category = "health" }
far = { sensitivity = "personal", category = "time" }
farther = { sensitivity = "personal", category = "contact" }
"#;

pub(crate) const EVERY: Shape = (
    "proto3",
    &[
        (
            "Frame",
            &[
                ("subject", 1, "string"),
                ("i32", 2, "int32"),
                ("i64", 3, "int64"),
                ("u32", 4, "uint32"),
                ("u64", 5, "uint64"),
                ("s32", 6, "sint32"),
                ("s64", 7, "sint64"),
                ("f32", 8, "fixed32"),
                ("f64", 9, "fixed64"),
                ("sf32", 10, "sfixed32"),
                ("sf64", 11, "sfixed64"),
                ("double", 12, "double"),
                ("float", 13, "float"),
                ("bool", 14, "bool"),
                ("text", 15, "string"),
                ("bytes", 16, "bytes"),
                ("stamp", 17, "google.protobuf.Timestamp"),
                ("inner", 18, "t.Inner"),
                ("many", 19, "*t.Inner"),
                ("packed", 20, "*sint64"),
                ("doubles", 21, "*double"),
                ("words", 22, "*string"),
                ("labels", 23, "map"),
                ("whole", 24, "map"),
                ("pairs", 25, "*t.Pair"),
                ("ints", 26, "*t.IntPair"),
                ("choice", 27, "t.Choice"),
                ("counts", 28, "*uint32"),
                ("far", 2_048, "double"),
                ("tree", 536_870_911, "t.Tree"),
            ],
        ),
        (
            "Inner",
            &[("text", 1, "string"), ("number", 2, "double"), ("deep", 3, "t.Inner2"), ("list", 4, "*t.Inner2"), ("place", 5, "t.Place")],
        ),
        ("Inner2", &[("x", 1, "uint32"), ("y", 20, "string")]),
        ("Place", &[("latitude", 1, "double"), ("longitude", 2, "double")]),
        ("Tree", &[("value", 1, "int32"), ("children", 2, "*t.Tree")]),
        ("Pair", &[("extra", 1, "bytes"), ("key", 2, "string"), ("value", 3, "t.Inner2")]),
        ("IntPair", &[("value", 1, "string"), ("key", 2, "sint32"), ("list", 3, "*t.Inner2")]),
    ],
);

pub(crate) const EVERY_SIDE: &str = r#"
["t.Frame"]
subject = { sensitivity = "identifying", category = "identity", role = "subject" }
i32 = { sensitivity = "special", category = "health", generalize = { step = 5 } }
i64 = { sensitivity = "personal", category = "time", role = "captured_at", generalize = { time_bucket = "1h", unit = "ms" } }
u32 = { sensitivity = "special", category = "health", generalize = { buckets = [0, 85, 90, 95] } }
u64 = { sensitivity = "personal", category = "device", role = "sequence" }
s32 = { sensitivity = "special", category = "health", generalize = { step = 100 } }
s64 = { sensitivity = "special", category = "health", generalize = { step = 7 } }
f32 = { sensitivity = "operational", category = "operation", generalize = { step = 16 } }
f64 = { sensitivity = "operational", category = "time", generalize = { time_bucket = "1d", unit = "ns" } }
sf32 = { sensitivity = "operational", category = "operation", generalize = { buckets = [-100, 0, 100] } }
sf64 = { sensitivity = "operational", category = "operation", generalize = { step = 1000000 } }
double = { sensitivity = "special", category = "health", generalize = { decimals = 2 } }
float = { sensitivity = "special", category = "health", generalize = { step = 0.1 } }
bool = { sensitivity = "special", category = "health" }
text = { sensitivity = "personal", category = "contact", generalize = { prefix_chars = 2 } }
bytes = { sensitivity = "identifying", category = "biometric" }
stamp = { sensitivity = "personal", category = "time", generalize = { time_bucket = "15min" } }
packed = { sensitivity = "special", category = "health", generalize = { step = 3 } }
doubles = { sensitivity = "special", category = "health", generalize = { step = 0.5 } }
words = { sensitivity = "personal", category = "social", generalize = { prefix_chars = 1 } }
'labels["one"]' = { sensitivity = "special", category = "health" }
'labels["two"]' = { sensitivity = "public", category = "operation" }
whole = { sensitivity = "special", category = "health" }
'pairs[key="hr"].value' = { sensitivity = "special", category = "health" }
'pairs[key="hr"].extra' = { sensitivity = "personal", category = "device" }
'pairs[key="pos"].value.x' = { sensitivity = "personal", category = "location", generalize = { step = 10 } }
'ints[key=-1].value' = { sensitivity = "personal", category = "contact" }
'ints[key=7].list.y' = { sensitivity = "personal", category = "contact", generalize = { prefix_chars = 1 } }
choice = { sensitivity = "public", category = "operation" }
counts = { sensitivity = "personal", category = "behaviour", generalize = { step = 500 } }
far = { sensitivity = "special", category = "health", generalize = { step = 1 } }
["t.Inner"]
text = { sensitivity = "personal", category = "contact", generalize = { prefix_chars = 3 } }
number = { sensitivity = "special", category = "health", generalize = { buckets = [0, 10, 20] } }
["t.Inner2"]
x = { sensitivity = "special", category = "health" }
y = { sensitivity = "identifying", category = "identity" }
["t.Place"]
latitude = { sensitivity = "personal", category = "location", generalize = { place = { h3_resolution = 6, axis = "latitude" } } }
longitude = { sensitivity = "personal", category = "location", generalize = { place = { h3_resolution = 6, axis = "longitude" } } }
["t.Tree"]
value = { sensitivity = "special", category = "health", generalize = { step = 2 } }
"#;

pub(crate) const OLD: Shape = (
    "proto2",
    &[
        (
            "Old",
            &[
                ("id", 1, "!string"),
                ("count", 2, "int32"),
                ("numbers", 3, "*int64"),
                ("part", 4, "t.Part"),
                ("parts", 5, "*t.Part"),
                ("block", 6, "group t.Block"),
            ],
        ),
        ("Part", &[("code", 1, "!uint32"), ("text", 2, "string")]),
        ("Block", &[("inside", 1, "string")]),
    ],
);

pub(crate) const OLD_SIDE: &str = r#"
["t.Old"]
id = { sensitivity = "public", category = "operation", role = "subject" }
count = { sensitivity = "special", category = "health", generalize = { step = 5 } }
numbers = { sensitivity = "special", category = "health", generalize = { step = 10 } }
block = { sensitivity = "special", category = "health" }
["t.Part"]
code = { sensitivity = "public", category = "operation" }
text = { sensitivity = "identifying", category = "identity", generalize = { prefix_chars = 1 } }
"#;

/// Lists about several subjects, one in a message and one in a map.
const LIST: Shape = (
    "proto3",
    &[
        ("List", &[("title", 1, "string"), ("beds", 2, "*t.Bed"), ("room", 3, "t.Room"), ("notes", 4, "map"), ("memo", 5, "string")]),
        ("Room", &[("name", 1, "string"), ("beds", 2, "*t.Bed")]),
        ("Bed", &[("who", 1, "t.Who"), ("rate", 2, "double"), ("words", 3, "*string"), ("count", 4, "int64")]),
        ("Who", &[("id", 1, "string"), ("part", 2, "t.Part")]),
        ("Part", &[("text", 1, "string")]),
    ],
);

const LIST_SIDE: &str = r#"
["t.List"]
title = { sensitivity = "public", category = "operation" }
memo = { sensitivity = "operational", category = "operation" }
'notes.key' = { sensitivity = "identifying", category = "identity", role = "subject" }
'notes.value' = { sensitivity = "special", category = "health", generalize = { prefix_chars = 2 } }
["t.Room"]
name = { sensitivity = "operational", category = "site" }
["t.Bed"]
rate = { sensitivity = "special", category = "health", generalize = { step = 5 } }
words = { sensitivity = "personal", category = "social" }
count = { sensitivity = "public", category = "operation", generalize = { step = 10 } }
["t.Who"]
id = { sensitivity = "identifying", category = "identity", role = "subject" }
["t.Part"]
text = { sensitivity = "identifying", category = "identity" }
"#;

/// The schema that lists are judged by.
pub(crate) fn list() -> &'static Schema {
    static LISTS: OnceLock<Schema> = OnceLock::new();
    LISTS.get_or_init(|| load_for_calls(&set(LIST), "t.List", Some(LIST_SIDE)).unwrap_or_else(|error| panic!("{error}")))
}

/// The schemas that frames are judged by.
pub(crate) fn schemas() -> &'static [Schema] {
    static SCHEMAS: OnceLock<Vec<Schema>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        vec![
            load(&set(EVERY), "t.Frame", Some(EVERY_SIDE)).unwrap_or_else(|error| panic!("{error}")),
            load_annotated(SAMPLES, "twinveil.sample.PatientFrame").unwrap_or_else(|error| panic!("{error}")),
            load_annotated(SAMPLES, "twinveil.sample.TurbineFrame").unwrap_or_else(|error| panic!("{error}")),
            load(&set(OLD), "t.Old", Some(OLD_SIDE)).unwrap_or_else(|error| panic!("{error}")),
            load(&set(FLAT), "t.Flat", Some(FLAT_SIDE)).unwrap_or_else(|error| panic!("{error}")),
        ]
    })
}

/// The descriptor set of a shape, of package `t`.
pub(crate) fn set((syntax, messages): Shape) -> Vec<u8> {
    let stamp = DescriptorProto {
        name: Some("Timestamp".into()),
        field: vec![field("seconds", 1, "int64"), field("nanos", 2, "int32")],
        ..DescriptorProto::default()
    };
    let google = FileDescriptorProto {
        name: Some("google/protobuf/timestamp.proto".into()),
        package: Some("google.protobuf".into()),
        message_type: vec![stamp],
        syntax: Some("proto3".into()),
        ..FileDescriptorProto::default()
    };
    let zero = prost_types::EnumValueDescriptorProto { name: Some("NONE".into()), number: Some(0), options: None };
    let choice = EnumDescriptorProto { name: Some("Choice".into()), value: vec![zero], ..EnumDescriptorProto::default() };
    let own = FileDescriptorProto {
        name: Some("t.proto".into()),
        package: Some("t".into()),
        dependency: vec!["google/protobuf/timestamp.proto".into()],
        message_type: messages.iter().map(|(name, fields)| message(name, fields)).collect(),
        enum_type: vec![choice],
        syntax: Some(syntax.into()),
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![google, own] }.encode_to_vec()
}

fn message(name: &str, fields: &[(&str, i32, &str)]) -> DescriptorProto {
    let mut made = DescriptorProto { name: Some(name.into()), ..DescriptorProto::default() };
    for &(field_name, number, of) in fields {
        if of == "map" {
            let mut letters = field_name.chars();
            let entry = letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>() + "Entry";
            made.field.push(field(field_name, number, &format!("*t.{name}.{entry}")));
            made.nested_type.push(DescriptorProto {
                name: Some(entry),
                field: vec![field("key", 1, "string"), field("value", 2, "string")],
                options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
                ..DescriptorProto::default()
            });
        } else {
            made.field.push(field(field_name, number, of));
        }
    }
    made
}

fn field(name: &str, number: i32, of: &str) -> FieldDescriptorProto {
    let (label, of) = match of.split_at_checked(1) {
        Some(("*", of)) => (Label::Repeated, of),
        Some(("!", of)) => (Label::Required, of),
        _ => (Label::Optional, of),
    };
    let (kind, of) = match of {
        "double" => (Type::Double, ""),
        "float" => (Type::Float, ""),
        "int32" => (Type::Int32, ""),
        "int64" => (Type::Int64, ""),
        "uint32" => (Type::Uint32, ""),
        "uint64" => (Type::Uint64, ""),
        "sint32" => (Type::Sint32, ""),
        "sint64" => (Type::Sint64, ""),
        "fixed32" => (Type::Fixed32, ""),
        "fixed64" => (Type::Fixed64, ""),
        "sfixed32" => (Type::Sfixed32, ""),
        "sfixed64" => (Type::Sfixed64, ""),
        "bool" => (Type::Bool, ""),
        "string" => (Type::String, ""),
        "bytes" => (Type::Bytes, ""),
        "t.Choice" => (Type::Enum, of),
        _ => of.strip_prefix("group ").map_or((Type::Message, of), |group| (Type::Group, group)),
    };
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name: (!of.is_empty()).then(|| format!(".{of}")),
        ..FieldDescriptorProto::default()
    }
}
