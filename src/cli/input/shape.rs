//! A message type as input sees it: where its frames say whom they are about, when they were captured, and their number.

use prost::Message;
use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::InputError;
use super::target::Target;
use crate::config::nearest;
use crate::veil::terms::{Role, TimeUnit};

/// How deep a role may stand.
const DEPTH_MAX: usize = 16;

/// A message type and its roles.
#[derive(Clone, Debug)]
pub struct Shape {
    message: MessageDescriptor,
    subject: Option<Target>,
    captured_at: Option<(Target, TimeUnit)>,
    sequence: Option<Target>,
}

impl Shape {
    /// One of the sample messages in the program.
    pub fn builtin(message: &str) -> Result<Self, InputError> {
        Self::load(crate::proto::SAMPLES, message)
    }

    /// A message of a compiled `FileDescriptorSet` with all imports.
    pub fn load(descriptors: &[u8], message: &str) -> Result<Self, InputError> {
        // prost-reflect panics on editions, so they are turned away before it sees them.
        let files = prost_types::FileDescriptorSet::decode(descriptors).map_err(|_| InputError::new("not a compiled FileDescriptorSet"))?;
        if let Some(file) = files.file.iter().find(|file| !matches!(file.syntax(), "" | "proto2" | "proto3")) {
            return Err(InputError::new(format!("`{}` uses editions; recordings are read for proto2 and proto3 only", file.name())));
        }
        let pool = DescriptorPool::decode(descriptors)
            .map_err(|error| InputError::new(format!("the descriptor set does not hold together: {error}")))?;
        match pool.get_message_by_name(message) {
            Some(found) => Ok(Self::new(found)),
            None => {
                let names: Vec<String> = pool.all_messages().map(|message| message.full_name().to_owned()).collect();
                let hint = nearest(message, names.iter().map(String::as_str)).map(|name| format!("; did you mean `{name}`?"));
                Err(InputError::new(format!("no message `{message}` in the descriptor set{}", hint.unwrap_or_default())))
            }
        }
    }

    fn new(message: MessageDescriptor) -> Self {
        let mut shape = Self { message: message.clone(), subject: None, captured_at: None, sequence: None };
        if let Some(annotation) = message.parent_pool().get_extension_by_name("twinveil.v1.field") {
            shape.find_roles(&message, &annotation, &mut Vec::new());
        }
        shape
    }

    /// For a schema whose roles stand in a side file: the path of the field that names the subject.
    pub fn with_subject(mut self, path: &str) -> Result<Self, InputError> {
        self.subject = Some(Target::resolve(&self.message, path)?);
        Ok(self)
    }

    /// The message type.
    pub fn message(&self) -> &MessageDescriptor {
        &self.message
    }

    fn find_roles(&mut self, message: &MessageDescriptor, annotation: &ExtensionDescriptor, above: &mut Vec<FieldDescriptor>) {
        for field in message.fields().filter(|field| field.cardinality() != Cardinality::Repeated) {
            let options = field.options();
            let facts = options.get_extension(annotation).into_owned();
            let number = |facts: &DynamicMessage, name: &str| facts.get_field_by_name(name).and_then(|value| value.as_enum_number());
            let role = match facts.as_message().and_then(|facts| number(facts, "role")) {
                Some(1) => Some(Role::Subject),
                Some(2) => Some(Role::CapturedAt),
                Some(3) => Some(Role::Sequence),
                _ => None,
            };
            let unit = facts
                .as_message()
                .and_then(|facts| facts.get_field_by_name("generalize")?.as_message().and_then(|how| number(how, "unit")));
            above.push(field.clone());
            match role {
                Some(Role::Subject) => self.subject = self.subject.take().or_else(|| Some(Target::plain(above))),
                Some(Role::Sequence) => self.sequence = self.sequence.take().or_else(|| Some(Target::plain(above))),
                Some(Role::CapturedAt) => {
                    let unit = match unit {
                        Some(2) => TimeUnit::Seconds,
                        Some(3) => TimeUnit::Microseconds,
                        Some(4) => TimeUnit::Nanoseconds,
                        _ => TimeUnit::Milliseconds,
                    };
                    self.captured_at = self.captured_at.take().or_else(|| Some((Target::plain(above), unit)));
                }
                None => {}
            }
            if let Kind::Message(inner) = field.kind()
                && above.len() < DEPTH_MAX
                && !above.iter().rev().skip(1).any(|outer| outer.kind() == field.kind())
            {
                self.find_roles(&inner, annotation, above);
            }
            above.pop();
        }
    }

    /// Writes whom a frame is about.
    pub(super) fn set_subject(&self, frame: &mut DynamicMessage, subject: &str) -> Result<(), InputError> {
        let target = self.subject.as_ref().ok_or_else(|| self.no_subject())?;
        let value = target.parse(subject, None).map_err(InputError::new)?;
        target.write(frame, value);
        Ok(())
    }

    /// Whom a frame is about.
    pub(super) fn subject(&self, frame: &DynamicMessage) -> Result<String, InputError> {
        let target = self.subject.as_ref().ok_or_else(|| self.no_subject())?;
        let text = match target.read(frame) {
            Some(Value::String(text)) => text,
            Some(Value::Bytes(bytes)) => String::from_utf8(bytes.to_vec()).map_err(|_| InputError::new("the subject is not UTF-8"))?,
            Some(Value::I32(number)) => number.to_string(),
            Some(Value::I64(number)) => number.to_string(),
            Some(Value::U32(number)) => number.to_string(),
            Some(Value::U64(number)) => number.to_string(),
            _ => String::new(),
        };
        if text.is_empty() {
            Err(InputError::new(format!("the frame does not say whom it is about (`{}`)", target.path())))
        } else {
            Ok(text)
        }
    }

    /// Writes when a frame was captured, where the schema has a place for it.
    pub(super) fn set_captured_at(&self, frame: &mut DynamicMessage, at_ms: i64) {
        let Some((target, unit)) = &self.captured_at else { return };
        let per_second = i128::from(unit.per_second());
        let count = i64::try_from(i128::from(at_ms) * per_second / 1_000).unwrap_or(i64::MAX);
        let value = match target.kind() {
            Kind::Double => Value::F64(at_ms as f64 / 1e3),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(count.try_into().unwrap_or(0)),
            Kind::Message(message) => {
                let mut timestamp = DynamicMessage::new(message);
                timestamp.set_field_by_number(1, Value::I64(at_ms.div_euclid(1_000)));
                timestamp.set_field_by_number(2, Value::I32(i32::try_from(at_ms.rem_euclid(1_000) * 1_000_000).unwrap_or(0)));
                Value::Message(timestamp)
            }
            _ => Value::I64(count),
        };
        target.write(frame, value);
    }

    /// When a frame was captured; 0 where it does not say.
    pub(super) fn captured_at(&self, frame: &DynamicMessage) -> i64 {
        let Some((target, unit)) = &self.captured_at else { return 0 };
        let scaled = |count: i128| i64::try_from(count * 1_000 / i128::from(unit.per_second())).unwrap_or(0);
        match target.read(frame) {
            Some(Value::I64(count)) => scaled(count.into()),
            Some(Value::U64(count)) => scaled(count.into()),
            Some(Value::I32(count)) => scaled(count.into()),
            Some(Value::U32(count)) => scaled(count.into()),
            Some(Value::F64(seconds)) => (seconds * 1e3).round() as i64,
            Some(Value::Message(timestamp)) => {
                let seconds = timestamp.get_field_by_number(1).and_then(|value| value.as_i64()).unwrap_or(0);
                let nanos = timestamp.get_field_by_number(2).and_then(|value| value.as_i32()).unwrap_or(0);
                seconds.saturating_mul(1_000).saturating_add(i64::from(nanos / 1_000_000))
            }
            _ => 0,
        }
    }

    /// Writes a frame's number, where the schema has a place for it.
    pub(super) fn set_sequence(&self, frame: &mut DynamicMessage, number: u64) {
        let Some(target) = &self.sequence else { return };
        // The text form fits every integer type; a counter that outgrew its type stays away.
        if let Ok(value) = target.parse(&number.to_string(), None) {
            target.write(frame, value);
        }
    }

    fn no_subject(&self) -> InputError {
        InputError::new(format!("`{}` has no field with the role SUBJECT; annotate it, or name the field", self.message.full_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_of_the_samples_are_found() {
        for (message, subject, at) in [
            ("twinveil.sample.PatientFrame", "patient_id", "captured_at_ms"),
            ("twinveil.sample.TurbineFrame", "asset_id", "captured_at_ms"),
        ] {
            let shape = Shape::builtin(message).expect("built in");
            assert_eq!(shape.subject.as_ref().map(Target::path), Some(subject));
            assert!(shape.captured_at.as_ref().is_some_and(|(target, unit)| target.path() == at && *unit == TimeUnit::Milliseconds));
            assert_eq!(shape.sequence.as_ref().map(Target::path), Some("sequence"));
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let shape = Shape::builtin("twinveil.sample.PatientFrame").expect("built in");
        let mut frame = DynamicMessage::new(shape.message().clone());
        assert!(shape.subject(&frame).is_err());
        shape.set_subject(&mut frame, "p-1").expect("text");
        shape.set_captured_at(&mut frame, -1_500);
        shape.set_sequence(&mut frame, 9);
        assert_eq!((shape.subject(&frame).as_deref(), shape.captured_at(&frame)), (Ok("p-1"), -1_500));
        assert_eq!(frame.get_field_by_name("sequence").and_then(|value| value.as_u64()), Some(9));
    }

    #[test]
    fn an_unknown_message_is_told_with_a_near_one() {
        let error = Shape::builtin("twinveil.sample.PatientFrme").expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "no message `twinveil.sample.PatientFrme` in the descriptor set; did you mean `twinveil.sample.PatientFrame`?"
        );
        assert_eq!(Shape::load(b"\xff", "x").expect_err("noise").to_string(), "not a compiled FileDescriptorSet");
    }

    #[test]
    fn editions_are_turned_away_by_name() {
        let file =
            prost_types::FileDescriptorProto { name: Some("new.proto".into()), syntax: Some("editions".into()), ..Default::default() };
        let set = prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec();
        assert!(Shape::load(&set, "x").expect_err("editions").to_string().starts_with("`new.proto` uses editions"));
    }
}
