//! A serialized `FileDescriptorSet` as types by name. prost-types drops custom options, so the few descriptor messages that
//! matter are declared here (google/protobuf/descriptor.proto) with our extension as a field of its own.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message as _;

use super::Kind;
use super::error::{LoadError, LoadFault};
use crate::proto::v1::FieldSensitivity;

/// The most bytes of a descriptor set.
pub(super) const SET_BYTES_MAX: usize = 16 << 20;
/// The most message types in a descriptor set.
const MESSAGES_MAX: usize = 65_536;
/// The most fields of one message.
const FIELDS_MAX: usize = 65_536;
/// The longest full name.
const NAME_BYTES_MAX: usize = 1_024;
/// The deepest nesting of message declarations in one another.
const NESTING_MAX: usize = 64;
/// The greatest field number (protobuf language specification, "Assigning Field Numbers").
const NUMBER_MAX: u32 = (1 << 29) - 1;

#[derive(Clone, PartialEq, prost::Message)]
struct FileSet {
    #[prost(message, repeated, tag = "1")]
    file: Vec<FileProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FileProto {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    package: Option<String>,
    #[prost(message, repeated, tag = "4")]
    message_type: Vec<MessageProto>,
    #[prost(message, repeated, tag = "5")]
    enum_type: Vec<EnumProto>,
    #[prost(string, optional, tag = "12")]
    syntax: Option<String>,
    #[prost(int32, optional, tag = "14")]
    edition: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MessageProto {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    field: Vec<FieldProto>,
    #[prost(message, repeated, tag = "3")]
    nested_type: Vec<MessageProto>,
    #[prost(message, repeated, tag = "4")]
    enum_type: Vec<EnumProto>,
    #[prost(message, repeated, tag = "5")]
    extension_range: Vec<RangeProto>,
    #[prost(message, optional, tag = "7")]
    options: Option<MessageOptions>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeProto {
    #[prost(int32, optional, tag = "1")]
    start: Option<i32>,
    /// Exclusive.
    #[prost(int32, optional, tag = "2")]
    end: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MessageOptions {
    #[prost(bool, optional, tag = "7")]
    map_entry: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FieldProto {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    number: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    label: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    r#type: Option<i32>,
    #[prost(string, optional, tag = "6")]
    type_name: Option<String>,
    #[prost(message, optional, tag = "8")]
    options: Option<FieldOptions>,
    /// Also set where the field is `optional` in proto3: such a field is alone in a oneof of the compiler's making.
    #[prost(int32, optional, tag = "9")]
    oneof_index: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FieldOptions {
    #[prost(bool, optional, tag = "16")]
    debug_redact: Option<bool>,
    /// `twinveil.v1.field`. Compilers write one occurrence a statement, so there may be several to merge.
    #[prost(bytes = "vec", repeated, tag = "51818")]
    field: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EnumProto {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    value: Vec<EnumValueProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EnumValueProto {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(int32, optional, tag = "2")]
    number: Option<i32>,
}

/// Every type of a descriptor set, by full name.
pub(super) struct Types {
    messages: HashMap<Arc<str>, MessageType>,
    enums: HashMap<Arc<str>, Vec<(Arc<str>, i32)>>,
}

/// A message type.
pub(super) struct MessageType {
    pub(super) name: Arc<str>,
    /// The file, where it is of a syntax that can't be read.
    pub(super) unread_file: Option<Arc<str>>,
    /// Whether its file has the presence rules of proto3.
    pub(super) proto3: bool,
    pub(super) map_entry: bool,
    /// Ascending by number.
    pub(super) fields: Vec<FieldType>,
    /// Start inclusive, end exclusive.
    pub(super) extensions: Vec<(i32, i32)>,
}

/// What a message type takes over from its file.
struct Origin {
    unread_file: Option<Arc<str>>,
    proto3: bool,
}

/// A field of a message type.
pub(super) struct FieldType {
    pub(super) name: Arc<str>,
    pub(super) number: u32,
    pub(super) label: Label,
    /// Whether it is a member of a oneof.
    pub(super) in_oneof: bool,
    pub(super) holds: Holds,
    pub(super) annotation: Option<FieldSensitivity>,
    /// The author's `debug_redact`.
    pub(super) redact: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Singular,
    Required,
    Repeated,
}

/// What a field holds, types by full name.
pub(super) enum Holds {
    Scalar(Kind),
    Enum(Arc<str>),
    Message(Arc<str>),
    Group(Arc<str>),
}

impl MessageType {
    pub(super) fn field(&self, name: &str) -> Option<&FieldType> {
        self.fields.iter().find(|field| &*field.name == name)
    }

    pub(super) fn numbered(&self, number: u32) -> Option<&FieldType> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// `message.field`, in backticks.
    pub(super) fn place(&self, field: &FieldType) -> String {
        format!("`{}.{}`", self.name, field.name)
    }
}

impl FieldType {
    pub(super) fn repeated(&self) -> bool {
        self.label == Label::Repeated
    }
}

impl Types {
    /// Reads a descriptor set. Types are checked on their own here; whether they resolve is asked of reachable ones only.
    pub(super) fn read(set: &[u8]) -> Result<Self, LoadError> {
        let unreadable = |detail: String| LoadError::new(LoadFault::Unreadable, "", detail);
        if set.len() > SET_BYTES_MAX {
            return Err(unreadable(format!("a descriptor set of {} bytes, the gateway reads {SET_BYTES_MAX}", set.len())));
        }
        let set = FileSet::decode(set).map_err(|cause| unreadable(format!("not a descriptor set: {cause}")))?;
        let mut types = Self { messages: HashMap::new(), enums: HashMap::new() };
        for file in set.file {
            let name: Arc<str> = file.name.unwrap_or_default().into();
            let readable = file.edition.is_none() && matches!(file.syntax.as_deref(), None | Some("" | "proto2" | "proto3"));
            let from = Origin { unread_file: (!readable).then(|| Arc::clone(&name)), proto3: file.syntax.as_deref() == Some("proto3") };
            let package = file.package.unwrap_or_default();
            for r#enum in file.enum_type {
                types.add_enum(&package, r#enum)?;
            }
            for message in file.message_type {
                types.add_message(&package, message, &from, 0)?;
            }
        }
        Ok(types)
    }

    pub(super) fn message(&self, name: &str) -> Option<&MessageType> {
        self.messages.get(name)
    }

    /// The message type of a field, through which its own fields are judged; for a map the entry.
    pub(super) fn of(&self, field: &FieldType) -> Option<&MessageType> {
        match &field.holds {
            Holds::Message(name) | Holds::Group(name) => self.message(name),
            Holds::Scalar(_) | Holds::Enum(_) => None,
        }
    }

    /// The entry type, where the field is a map.
    pub(super) fn map_entry(&self, field: &FieldType) -> Option<&MessageType> {
        self.of(field).filter(|message| message.map_entry && field.repeated())
    }

    /// The names of an enum with their numbers.
    pub(super) fn enum_values(&self, name: &str) -> &[(Arc<str>, i32)] {
        self.enums.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn has_enum(&self, name: &str) -> bool {
        self.enums.contains_key(name)
    }

    /// The names of the messages that somebody may have meant.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.messages.values().filter(|message| !message.map_entry).map(|message| &*message.name)
    }

    fn add_enum(&mut self, scope: &str, r#enum: EnumProto) -> Result<(), LoadError> {
        let name = full_name(scope, r#enum.name)?;
        let values =
            r#enum.value.into_iter().map(|value| (value.name.unwrap_or_default().into(), value.number.unwrap_or_default())).collect();
        match self.enums.insert(Arc::clone(&name), values) {
            None => Ok(()),
            Some(_) => Err(LoadError::new(LoadFault::Malformed, format!("`{name}`"), "declared twice")),
        }
    }

    fn add_message(&mut self, scope: &str, message: MessageProto, from: &Origin, nesting: usize) -> Result<(), LoadError> {
        let name = full_name(scope, message.name)?;
        let malformed = |detail: String| LoadError::new(LoadFault::Malformed, format!("`{name}`"), detail);
        if nesting > NESTING_MAX || self.messages.len() >= MESSAGES_MAX || message.field.len() > FIELDS_MAX {
            return Err(LoadError::new(
                LoadFault::Unreadable,
                format!("`{name}`"),
                "more messages, fields or levels than the gateway reads",
            ));
        }
        for r#enum in message.enum_type {
            self.add_enum(&name, r#enum)?;
        }
        for nested in message.nested_type {
            self.add_message(&name, nested, from, nesting + 1)?;
        }
        let mut fields = message.field.into_iter().map(|field| read_field(&name, field)).collect::<Result<Vec<_>, _>>()?;
        fields.sort_by_key(|field| field.number);
        if let Some(twice) = fields.windows(2).find_map(|pair| match pair {
            [a, b] if a.number == b.number => Some(b),
            _ => None,
        }) {
            return Err(malformed(format!("`{}` takes the number {} of another field", twice.name, twice.number)));
        }
        let mut names: Vec<_> = fields.iter().map(|field| &*field.name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(*b),
            _ => None,
        }) {
            return Err(malformed(format!("two fields are named `{twice}`")));
        }
        let map_entry = message.options.and_then(|options| options.map_entry).unwrap_or_default();
        if map_entry && !matches!(fields.as_slice(), [key, value] if is_map_key(key) && key.number == 1 && value.number == 2) {
            return Err(malformed("a map entry without a key and a value".to_owned()));
        }
        let extensions =
            message.extension_range.into_iter().map(|range| (range.start.unwrap_or_default(), range.end.unwrap_or_default())).collect();
        let read = MessageType {
            name: Arc::clone(&name),
            unread_file: from.unread_file.clone(),
            proto3: from.proto3,
            map_entry,
            fields,
            extensions,
        };
        match self.messages.insert(Arc::clone(&name), read) {
            None => Ok(()),
            Some(_) => Err(malformed("declared twice".to_owned())),
        }
    }
}

/// Map keys are integers, bools and strings (protobuf language specification, "Maps").
fn is_map_key(field: &FieldType) -> bool {
    matches!(&field.holds, Holds::Scalar(kind) if !matches!(kind, Kind::Double | Kind::Float | Kind::Bytes))
}

fn full_name(scope: &str, name: Option<String>) -> Result<Arc<str>, LoadError> {
    let name = name.unwrap_or_default();
    let full = if scope.is_empty() { name.clone() } else { format!("{scope}.{name}") };
    if is_identifier(&name) && full.len() <= NAME_BYTES_MAX {
        Ok(full.into())
    } else {
        Err(LoadError::new(LoadFault::Malformed, "", format!("a declaration in `{}` has no proper name", shown(scope))))
    }
}

/// A letter or underscore, then letters, digits and underscores (protobuf language specification, `ident`).
pub(super) fn is_identifier(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Text that was not checked yet, short and without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn read_field(message: &str, field: FieldProto) -> Result<FieldType, LoadError> {
    let name = field.name.unwrap_or_default();
    let malformed = |detail: &str| LoadError::new(LoadFault::Malformed, format!("`{message}.{}`", shown(&name)), detail);
    if !is_identifier(&name) || name.len() > NAME_BYTES_MAX {
        return Err(malformed("not a proper name"));
    }
    let number = field.number.and_then(|number| u32::try_from(number).ok()).filter(|number| (1..=NUMBER_MAX).contains(number));
    let Some(number) = number else { return Err(malformed("a field number that protobuf does not have")) };
    let label = match field.label {
        None | Some(1) => Label::Singular,
        Some(2) => Label::Required,
        Some(3) => Label::Repeated,
        Some(_) => return Err(malformed("an unknown label")),
    };
    // A compiler writes full names, with a dot in front.
    let type_name = || -> Arc<str> { field.type_name.as_deref().map_or("", |name| name.strip_prefix('.').unwrap_or(name)).into() };
    let holds = match field.r#type {
        Some(1) => Holds::Scalar(Kind::Double),
        Some(2) => Holds::Scalar(Kind::Float),
        Some(3) => Holds::Scalar(Kind::Int64),
        Some(4) => Holds::Scalar(Kind::Uint64),
        Some(5) => Holds::Scalar(Kind::Int32),
        Some(6) => Holds::Scalar(Kind::Fixed64),
        Some(7) => Holds::Scalar(Kind::Fixed32),
        Some(8) => Holds::Scalar(Kind::Bool),
        Some(9) => Holds::Scalar(Kind::String),
        Some(10) => Holds::Group(type_name()),
        Some(11) => Holds::Message(type_name()),
        Some(12) => Holds::Scalar(Kind::Bytes),
        Some(13) => Holds::Scalar(Kind::Uint32),
        Some(14) => Holds::Enum(type_name()),
        Some(15) => Holds::Scalar(Kind::Sfixed32),
        Some(16) => Holds::Scalar(Kind::Sfixed64),
        Some(17) => Holds::Scalar(Kind::Sint32),
        Some(18) => Holds::Scalar(Kind::Sint64),
        _ => return Err(malformed("an unknown type")),
    };
    let options = field.options.unwrap_or_default();
    let annotation = if options.field.is_empty() {
        None
    } else {
        let fault = |detail: String| LoadError::new(LoadFault::Facts, format!("`{message}.{name}`"), detail);
        let decode =
            |bytes: &[u8]| FieldSensitivity::decode(bytes).map_err(|cause| fault(format!("`twinveil.v1.field` can't be read: {cause}")));
        for statement in &options.field {
            // What a newer vocabulary says must not be dropped in silence: what was not understood is missing when encoded again.
            if decode(statement)?.encoded_len() != statement.len() {
                return Err(fault("`twinveil.v1.field` says something that this gateway does not know".to_owned()));
            }
        }
        // Concatenated encodings are the merged message (protobuf encoding, "Last One Wins").
        let annotation = decode(&options.field.concat())?;
        Some(annotation)
    };
    let in_oneof = field.oneof_index.is_some();
    Ok(FieldType { number, label, in_oneof, holds, annotation, redact: options.debug_redact.unwrap_or_default(), name: name.into() })
}
