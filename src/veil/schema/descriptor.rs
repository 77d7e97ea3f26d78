//! A serialized `FileDescriptorSet` as types by name, the features of their files resolved.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message as _;

use super::Kind;
use super::declared::{EnumProto, FeatureSet, FieldProto, FileSet, MessageProto};
use super::error::{LoadError, LoadFault};
use super::features::{Features, Level, Presence, Syntax};
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

/// Every type of a descriptor set, by full name.
pub(super) struct Types {
    messages: HashMap<Arc<str>, MessageType>,
    enums: HashMap<Arc<str>, EnumType>,
    /// Declared extensions: the message that is extended, the number, the extension's name.
    extensions: Vec<(String, i32, String)>,
}

/// An enum.
pub(super) struct EnumType {
    /// Names and numbers.
    pub(super) values: Vec<(Arc<str>, i32)>,
    /// Whether parsers take any other value for an unknown field.
    pub(super) closed: bool,
}

/// A message type.
pub(super) struct MessageType {
    pub(super) name: Arc<str>,
    /// The file and its syntax, where that is not read.
    pub(super) unread: Option<Arc<str>>,
    pub(super) map_entry: bool,
    /// Ascending by number.
    pub(super) fields: Vec<FieldType>,
}

/// What a declaration takes over from what is around it.
#[derive(Clone)]
struct Around {
    /// As [`MessageType::unread`].
    unread: Option<Arc<str>>,
    syntax: Syntax,
    features: Features,
}

/// A field of a message type.
pub(super) struct FieldType {
    pub(super) name: Arc<str>,
    pub(super) number: u32,
    pub(super) label: Label,
    /// Whether an absent field and a zero are the same.
    pub(super) implicit: bool,
    /// Whether writers pack it.
    pub(super) packed: bool,
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
        let mut types = Self { messages: HashMap::new(), enums: HashMap::new(), extensions: Vec::new() };
        for file in set.file {
            let name = file.name.unwrap_or_default();
            let (syntax, features, unread) = match Features::of_file(file.syntax.as_deref(), file.edition) {
                Ok((syntax, features)) => {
                    let said = file.options.and_then(|options| options.features);
                    let features = features.with(said.as_ref(), syntax, Level::Around);
                    let features =
                        features.map_err(|detail| LoadError::new(LoadFault::Malformed, format!("file `{}`", shown(&name)), detail))?;
                    (syntax, features, None)
                }
                // Its types are known by name; to reach one of them is refused.
                Err(syntax) => (Syntax::Edition, Features::UNREAD, Some(format!("the file `{}` is of {syntax}", shown(&name)).into())),
            };
            let around = Around { unread, syntax, features };
            let package = file.package.unwrap_or_default();
            types.add_extensions(file.extension);
            for r#enum in file.enum_type {
                types.add_enum(&package, r#enum, &around)?;
            }
            for message in file.message_type {
                types.add_message(&package, message, &around, 0)?;
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

    pub(super) fn r#enum(&self, name: &str) -> Option<&EnumType> {
        self.enums.get(name)
    }

    /// The name of a declared extension of a message with this number.
    pub(super) fn extension(&self, message: &str, number: u32) -> Option<&str> {
        let is = |(extendee, extension, _): &&(String, i32, String)| extendee == message && u32::try_from(*extension) == Ok(number);
        self.extensions.iter().find(is).map(|(.., name)| name.as_str())
    }

    /// The names of the messages that somebody may have meant.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.messages.values().filter(|message| !message.map_entry).map(|message| &*message.name)
    }

    fn add_extensions(&mut self, extensions: Vec<FieldProto>) {
        self.extensions.extend(extensions.into_iter().map(|extension| {
            let extendee = extension.extendee.unwrap_or_default();
            let extendee = extendee.strip_prefix('.').unwrap_or(&extendee).to_owned();
            (extendee, extension.number.unwrap_or_default(), extension.name.unwrap_or_default())
        }));
    }

    fn add_enum(&mut self, scope: &str, r#enum: EnumProto, around: &Around) -> Result<(), LoadError> {
        let name = full_name(scope, r#enum.name)?;
        let malformed = |detail: &str| LoadError::new(LoadFault::Malformed, format!("`{name}`"), detail);
        let said = r#enum.options.and_then(|options| options.features);
        let features = around.features(said.as_ref(), Level::Around).map_err(malformed)?;
        let values =
            r#enum.value.into_iter().map(|value| (value.name.unwrap_or_default().into(), value.number.unwrap_or_default())).collect();
        match self.enums.insert(Arc::clone(&name), EnumType { values, closed: features.closed }) {
            None => Ok(()),
            Some(_) => Err(malformed("declared twice")),
        }
    }

    fn add_message(&mut self, scope: &str, message: MessageProto, around: &Around, nesting: usize) -> Result<(), LoadError> {
        let name = full_name(scope, message.name)?;
        let malformed = |detail: String| LoadError::new(LoadFault::Malformed, format!("`{name}`"), detail);
        if nesting > NESTING_MAX || self.messages.len() >= MESSAGES_MAX || message.field.len() > FIELDS_MAX {
            return Err(LoadError::new(
                LoadFault::Unreadable,
                format!("`{name}`"),
                "more messages, fields or levels than the gateway reads",
            ));
        }
        let options = message.options.unwrap_or_default();
        let features = around.features(options.features.as_ref(), Level::Around).map_err(|detail| malformed(detail.to_owned()))?;
        let around = Around { features, ..around.clone() };
        self.add_extensions(message.extension);
        for r#enum in message.enum_type {
            self.add_enum(&name, r#enum, &around)?;
        }
        for nested in message.nested_type {
            self.add_message(&name, nested, &around, nesting + 1)?;
        }
        // A oneof stands between the message and its members.
        let mut oneofs = Vec::with_capacity(message.oneof_decl.len());
        for oneof in message.oneof_decl {
            let said = oneof.options.and_then(|options| options.features);
            let features = around.features(said.as_ref(), Level::Around).map_err(|detail| malformed(detail.to_owned()))?;
            oneofs.push(Around { features, ..around.clone() });
        }
        let map_entry = options.map_entry.unwrap_or_default();
        let read = |field: FieldProto| {
            let oneof = field.oneof_index.and_then(|index| oneofs.get(usize::try_from(index).ok()?));
            read_field(&name, field, oneof.unwrap_or(&around), map_entry)
        };
        let mut fields = message.field.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        for field in &mut fields {
            // Maps are never delimited; their entries are nested in this message.
            if let Holds::Group(name) = &field.holds
                && self.messages.get(name).is_some_and(|inner| inner.map_entry)
            {
                field.holds = Holds::Message(Arc::clone(name));
            }
        }
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
        if map_entry && !matches!(fields.as_slice(), [key, value] if is_map_key(key) && key.number == 1 && value.number == 2) {
            return Err(malformed("a map entry without a key and a value".to_owned()));
        }
        let read = MessageType { name: Arc::clone(&name), unread: around.unread.clone(), map_entry, fields };
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

impl Around {
    /// The features with what is said further in. What a file that is not read says is not looked at.
    fn features(&self, said: Option<&FeatureSet>, at: Level) -> Result<Features, &'static str> {
        if self.unread.is_some() { Ok(self.features) } else { self.features.with(said, self.syntax, at) }
    }
}

fn read_field(message: &str, field: FieldProto, around: &Around, in_entry: bool) -> Result<FieldType, LoadError> {
    let name = field.name.unwrap_or_default();
    let malformed = |detail: &str| LoadError::new(LoadFault::Malformed, format!("`{message}.{}`", shown(&name)), detail);
    if !is_identifier(&name) || name.len() > NAME_BYTES_MAX {
        return Err(malformed("not a proper name"));
    }
    let number = field.number.and_then(|number| u32::try_from(number).ok()).filter(|number| (1..=NUMBER_MAX).contains(number));
    let Some(number) = number else { return Err(malformed("a field number that protobuf does not have")) };
    let options = field.options.unwrap_or_default();
    let features = around.features(options.features.as_ref(), Level::Field).map_err(malformed)?;
    let edition = around.syntax == Syntax::Edition && around.unread.is_none();
    let in_oneof = field.oneof_index.is_some();
    let label = match field.label {
        None | Some(1) if features.presence == Presence::Required && !in_oneof => Label::Required,
        None | Some(1) => Label::Singular,
        Some(2) if edition => return Err(malformed("the label `required`, which editions don't have")),
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
        Some(10) if edition => return Err(malformed("a group, which editions don't have")),
        Some(10) => Holds::Group(type_name()),
        Some(11) if features.delimited && !in_entry => Holds::Group(type_name()),
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
    if edition && options.packed.is_some() {
        return Err(malformed("the option `packed`, which editions don't have"));
    }
    let (singular, scalar) = (label == Label::Singular, matches!(holds, Holds::Scalar(_) | Holds::Enum(_)));
    let packable = match &holds {
        Holds::Scalar(kind) => kind.packable(),
        Holds::Enum(_) => true,
        Holds::Message(_) | Holds::Group(_) => false,
    };
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
    Ok(FieldType {
        number,
        label,
        implicit: features.presence == Presence::Implicit && singular && scalar && !in_oneof && !in_entry,
        packed: options.packed.unwrap_or(features.packed) && label == Label::Repeated && packable,
        holds,
        annotation,
        redact: options.debug_redact.unwrap_or_default(),
        name: name.into(),
    })
}
