//! Frames in which every field of a schema has a value of its own that occurs nowhere else, and the search for them.

use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};
use twinveil::proto::SAMPLES;

/// At the front of every text that a source or person wrote.
pub(super) const CANARY: &str = "canary-b7f1";

/// A field with a value of its own.
#[derive(Debug)]
pub(super) struct Planted {
    /// As views spell it, such as `vitals.heart_rate_bpm` or `labels["ward"]`.
    pub path: String,
    spellings: Vec<Vec<u8>>,
}

impl Planted {
    /// Whether one of the forms in which the value could be written is in these bytes.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.spellings.iter().any(|spelling| contains(bytes, spelling))
    }
}

/// A frame, and what is in it.
pub(super) struct Filled {
    pub bytes: Vec<u8>,
    pub planted: Vec<Planted>,
}

impl Filled {
    /// The first value found.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Option<&str> {
        self.planted.iter().find(|planted| planted.is_in(bytes)).map(|planted| planted.path.as_str())
    }
}

/// Whether the bytes hold a text with the mark, in one of the forms that records, logs and files use.
pub(super) fn canary_in(bytes: &[u8]) -> bool {
    text_spellings(CANARY).iter().any(|spelling| contains(bytes, spelling))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let (Some(first), rest) = (part.first(), bytes) else { return false };
    let mut rest = rest;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(part) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

fn text_spellings(text: &str) -> Vec<Vec<u8>> {
    let base64 = |from: usize| {
        // Wherever in a base64 text it begins, one of these is in it; the last characters depend on what follows.
        let whole = (text.len() - from) / 3 * 4;
        data_encoding::BASE64_NOPAD.encode(&text.as_bytes()[from..])[..whole].to_owned().into_bytes()
    };
    let hex = data_encoding::HEXLOWER.encode(text.as_bytes());
    let list = format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_owned();
    vec![text.into(), hex.into_bytes(), list.into_bytes(), base64(0), base64(1), base64(2)]
}

/// A frame of the sample schema with every field set, about this subject (the value of field 1). Enums are left out: they have no
/// value of their own.
pub(super) fn fill(schema: &str, subject: &str) -> Filled {
    let pool = DescriptorPool::decode(SAMPLES).unwrap();
    let mut filler = Filler { count: 0, planted: Vec::new() };
    let mut message = filler.message(&pool.get_message_by_name(schema).unwrap(), "");
    let field = message.descriptor().get_field(1).unwrap();
    message.set_field(&field, Value::String(subject.into()));
    filler.planted[0].spellings = text_spellings(subject);
    Filled { bytes: message.encode_to_vec(), planted: filler.planted }
}

struct Filler {
    count: u32,
    planted: Vec<Planted>,
}

impl Filler {
    fn message(&mut self, descriptor: &MessageDescriptor, path: &str) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            let path = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
            if let Some(value) = self.field(&field, &path) {
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, path: &str) -> Option<Value> {
        if field.is_map() {
            // The keys that the schema has cases for, and one that it has not: its key is planted, too.
            let unknown = format!("{CANARY}-key");
            let mut entries = std::collections::HashMap::new();
            for key in ["ward", "diagnosis", "trial", &unknown] {
                let value = self.leaf(&Kind::String, &format!("{path}[\"{key}\"]"))?;
                entries.insert(MapKey::String(key.to_owned()), value);
            }
            self.planted.push(Planted { path: path.to_owned(), spellings: text_spellings(&unknown) });
            return Some(Value::Map(entries));
        }
        if let Kind::Message(message) = field.kind() {
            let message = Value::Message(self.message(&message, path));
            return Some(if field.is_list() { Value::List(vec![message]) } else { message });
        }
        let value = if field.is_list() {
            let values: Vec<_> = (0..4).map(|_| self.leaf(&field.kind(), path)).collect::<Option<_>>()?;
            Value::List(values)
        } else {
            self.leaf(&field.kind(), path)?
        };
        // As it stands on the wire, tag and all: four bytes alone may come about by chance.
        let mut alone = DynamicMessage::new(field.parent_message().clone());
        alone.set_field(field, value.clone());
        self.planted.last_mut()?.spellings.push(alone.encode_to_vec());
        Some(value)
    }

    fn leaf(&mut self, kind: &Kind, path: &str) -> Option<Value> {
        self.count += 1;
        let n = self.count;
        let (value, spellings) = match kind {
            Kind::String => {
                let text = format!("{CANARY}-{n:03}-{}", path.chars().filter(char::is_ascii_alphanumeric).collect::<String>());
                (Value::String(text.clone()), text_spellings(&text))
            }
            Kind::Uint64 | Kind::Int64 => {
                let number = 7_310_952_000_000 + u64::from(n) * 1_000_003;
                let signed = i64::try_from(number).unwrap();
                let value = if matches!(kind, Kind::Int64) { Value::I64(signed) } else { Value::U64(number) };
                (value, vec![number.to_string().into_bytes(), number.to_le_bytes().into(), number.to_be_bytes().into()])
            }
            Kind::Uint32 => {
                let number = 2_073_109_520 + n * 1_009;
                (Value::U32(number), vec![number.to_string().into_bytes()])
            }
            Kind::Float => {
                let number = 1_000.731_1_f32 + n as f32 * 3.0;
                (Value::F32(number), vec![number.to_string().into_bytes()])
            }
            Kind::Double => {
                let number = 40.073_109_528_461 + f64::from(n) * 0.1;
                (Value::F64(number), vec![number.to_string().into_bytes(), number.to_le_bytes().into()])
            }
            Kind::Enum(_) => return None,
            other => panic!("{path}: a {other:?} has no canary yet"),
        };
        match self.planted.last_mut() {
            // One more of a list.
            Some(last) if last.path == path => last.spellings.extend(spellings),
            _ => self.planted.push(Planted { path: path.to_owned(), spellings }),
        }
        Some(value)
    }
}
