//! One schema with something of everything, and one decision about it.

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use super::schemas::{field, of_message};
use crate::veil::policy::{Decided, Decision, Holders, Reason};
use crate::veil::schema::{Schema, load};
use crate::veil::terms::Treatment;

const SIDE: &str = r#"
["ward.Frame"]
patient = { sensitivity = "personal", category = "identity" }
secret = { sensitivity = "special", category = "identity" }
rate = { sensitivity = "personal", category = "health", generalize = { step = 5 } }
sealed = { sensitivity = "special", category = "identity" }
samples = { sensitivity = "personal", category = "health" }
count = { sensitivity = "special", category = "social" }
plain = { sensitivity = "personal", category = "social" }
steps = { sensitivity = "personal", category = "behaviour", generalize = { step = 0.5 } }
prefix = { sensitivity = "personal", category = "contact", generalize = { prefix_chars = 2 } }
level = { sensitivity = "personal", category = "health", generalize = { buckets = [-10, 0, 10] } }
'pairs[key="hr"].value' = { sensitivity = "personal", category = "health" }
'pairs[key="pos"].value' = { sensitivity = "special", category = "location" }
["ward.Inner"]
a = { sensitivity = "personal", category = "health" }
hidden = { sensitivity = "special", category = "identity" }
["ward.Hidden"]
x = { sensitivity = "special", category = "identity" }
"#;

/// What is done to each path; everything else is stripped.
const TREATMENTS: [(&str, Treatment); 11] = [
    ("patient", Treatment::Keep),
    ("rate", Treatment::Generalize),
    ("sealed", Treatment::Encrypt),
    ("samples", Treatment::Keep),
    ("plain", Treatment::Keep),
    ("steps", Treatment::Generalize),
    ("prefix", Treatment::Generalize),
    ("level", Treatment::Generalize),
    ("inner.a", Treatment::Keep),
    ("list.a", Treatment::Keep),
    (r#"pairs[key="hr"].value"#, Treatment::Keep),
];

pub(super) fn schema() -> Schema {
    let many = |mut field: FieldDescriptorProto| {
        field.set_label(Label::Repeated);
        field
    };
    let holds = |name: &str, number, what: &str| {
        let mut field = field(name, number, Type::Message);
        of_message(&mut field, format!(".ward.{what}"));
        field
    };
    let message = |name: &str, field| DescriptorProto { name: Some(name.to_owned()), field, ..DescriptorProto::default() };
    let frame = vec![
        field("patient", 1, Type::String),
        field("secret", 2, Type::String),
        holds("inner", 3, "Inner"),
        many(holds("list", 4, "Inner")),
        many(holds("pairs", 5, "Pair")),
        field("rate", 6, Type::Double),
        field("sealed", 7, Type::Bytes),
        many(field("samples", 8, Type::Int32)),
        holds("hidden", 9, "Hidden"),
        field("count", 10, Type::Int32),
        field("plain", 11, Type::Int32),
        many(field("steps", 12, Type::Float)),
        field("prefix", 13, Type::String),
        field("level", 14, Type::Sint32),
    ];
    let set = FileDescriptorSet {
        file: vec![FileDescriptorProto {
            name: Some("ward.proto".to_owned()),
            package: Some("ward".to_owned()),
            syntax: Some("proto3".to_owned()),
            message_type: vec![
                message("Frame", frame),
                message("Inner", vec![field("a", 1, Type::Int32), field("hidden", 2, Type::Bytes)]),
                message("Pair", vec![field("key", 1, Type::String), field("value", 2, Type::Int32)]),
                message("Hidden", vec![field("x", 1, Type::Int32), holds("again", 2, "Hidden")]),
            ],
            ..FileDescriptorProto::default()
        }],
    };
    load(&set.encode_to_vec(), "ward.Frame", Some(SIDE)).expect("loads")
}

pub(super) fn decision(schema: &Schema) -> Decision {
    let sites = schema.sites().iter().map(|site| {
        let found = TREATMENTS.iter().find(|(path, _)| *path == site.path.as_str());
        Decided { treatment: found.map_or(Treatment::Strip, |found| found.1), holders: Holders::Vault, reason: Reason::Floor }
    });
    Decision { sites: sites.collect() }
}
