//! Frames made from a schema, where nobody recorded any: every field once, with values that sources might send, and filled up to a
//! length in what can grow, lists of numbers first.

use crate::veil::schema::{CaseValue, Content, Field, Kind, NodeId, Schema, Select, SiteId};
use crate::veil::terms::Role;
use crate::veil::wire::{END_GROUP, FIXED32, FIXED64, GROUP, VARINT, push_len_prefixed, push_tag, push_varint, zigzag};

/// Messages in messages are made down to this level; what holds itself would go on for ever.
const LEVELS_MAX: usize = 8;
/// Made-up values are these, shortened or repeated.
const TEXT: &str = "slept well, no pain; ";
const NUMBER: i64 = 72;
/// 2024-03-04T08:00:00Z.
const SECONDS: i64 = 1_709_539_200;

/// Makes frames of a schema.
#[derive(Debug)]
pub(super) struct Maker<'s> {
    schema: &'s Schema,
    /// Whether there are lists to fill; else texts are.
    lists: bool,
}

/// How much is in a frame: elements of every list, characters of every text.
#[derive(Clone, Copy, Debug)]
struct Fill {
    elements: usize,
    chars: usize,
}

impl<'s> Maker<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        let lists = schema.sites().iter().any(|site| site.repeated && site.kind.packable());
        Self { schema, lists }
    }

    /// Frames about so many subjects, as long as they can be made without exceeding `bytes`; longer where less is not possible.
    pub(super) fn frames(&self, subjects: usize, bytes: usize) -> Vec<Vec<u8>> {
        // The longest that fits: the length grows with what is filled in.
        let (mut fits, mut exceeds) = (1, bytes.max(2));
        while exceeds - fits > 1 {
            let middle = fits + (exceeds - fits) / 2;
            if self.frame(0, middle).len() <= bytes { fits = middle } else { exceeds = middle }
        }
        (0..subjects).map(|subject| self.frame(subject, fits)).collect()
    }

    fn frame(&self, subject: usize, size: usize) -> Vec<u8> {
        let (elements, chars) = if self.lists { (size, 12) } else { (1, size) };
        self.message(NodeId(0), subject, Fill { elements, chars }, 1)
    }

    /// What a frame about `subject` calls it.
    pub(super) fn name(&self, subject: usize) -> String {
        match self.schema.subject_sites().next().map(|site| site.kind) {
            Some(Kind::String | Kind::Bytes) | None => format!("bench-{subject:04}"),
            Some(_) => (subject + 1).to_string(),
        }
    }

    fn message(&self, node: NodeId, subject: usize, fill: Fill, level: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let fields = self.schema.nodes().get(node.0 as usize).map_or(&[][..], |node| &node.fields);
        for field in fields {
            match &field.content {
                Content::Leaf(id) => self.leaf(&mut out, field, *id, subject, fill),
                Content::Message(inner) if level < LEVELS_MAX && *inner > node => {
                    push_len_prefixed(&mut out, field.number, &self.message(*inner, subject, fill, level + 1));
                }
                Content::Select(select) if level < LEVELS_MAX => self.elements(&mut out, field, select, subject, fill, level),
                Content::Message(_) | Content::Select(_) | Content::Discriminator => {}
            }
        }
        out
    }

    /// An element for every case that the schema knows.
    fn elements(&self, out: &mut Vec<u8>, field: &Field, select: &Select, subject: usize, fill: Fill, level: usize) {
        let Some(key) = select.keys.first() else { return };
        for (value, case) in &key.cases {
            let mut element = Vec::new();
            match value {
                CaseValue::Bytes(text) => push_len_prefixed(&mut element, key.by, text),
                CaseValue::Int(number) => push_number(&mut element, key.by, key.kind, *number),
            }
            element.extend(self.message(*case, subject, fill, level + 1));
            push_len_prefixed(out, field.number, &element);
        }
    }

    fn leaf(&self, out: &mut Vec<u8>, field: &Field, id: SiteId, subject: usize, fill: Fill) {
        let Some(site) = self.schema.sites().get(id.0 as usize) else { return };
        let number = field.number;
        if site.repeated && site.kind.packable() {
            let values = (0..fill.elements).map(|at| number_bytes(site.kind, at as i64 * 37 % 1_900));
            match site.packed {
                true => push_len_prefixed(out, number, &values.flatten().collect::<Vec<u8>>()),
                false => values.for_each(|value| push(out, number, site.kind, &value)),
            }
            return;
        }
        match (site.kind, site.facts.role) {
            (Kind::String | Kind::Bytes, Some(Role::Subject)) => push_len_prefixed(out, number, self.name(subject).as_bytes()),
            (_, Some(Role::Subject)) => push_number(out, number, site.kind, subject as i64 + 1),
            (Kind::String | Kind::Bytes, _) => {
                let text: String = TEXT.chars().cycle().take(fill.chars).collect();
                push_len_prefixed(out, number, text.as_bytes());
            }
            (Kind::Timestamp, _) => {
                let mut inner = Vec::new();
                push_tag(&mut inner, 1, VARINT);
                push_varint(&mut inner, SECONDS as u64);
                push_len_prefixed(out, number, &inner);
            }
            (Kind::Message | Kind::Map, _) => push_len_prefixed(out, number, &[]),
            (Kind::Group, _) => {
                push_tag(out, number, GROUP);
                push_tag(out, number, END_GROUP);
            }
            (kind, Some(Role::CapturedAt)) if kind.wire_type() != FIXED32 => push_number(out, number, site.kind, SECONDS * 1_000),
            (Kind::Bool | Kind::Enum, _) => push_number(out, number, site.kind, 1),
            _ => push_number(out, number, site.kind, NUMBER),
        }
    }
}

fn push_number(out: &mut Vec<u8>, number: u32, kind: Kind, value: i64) {
    push(out, number, kind, &number_bytes(kind, value));
}

fn push(out: &mut Vec<u8>, number: u32, kind: Kind, value: &[u8]) {
    push_tag(out, number, kind.wire_type());
    out.extend_from_slice(value);
}

/// A number as its type is written.
fn number_bytes(kind: Kind, value: i64) -> Vec<u8> {
    match kind {
        Kind::Double => (value as f64 / 2.0).to_le_bytes().to_vec(),
        Kind::Float => (value as f32 / 2.0).to_le_bytes().to_vec(),
        kind => match kind.wire_type() {
            FIXED64 => value.to_le_bytes().to_vec(),
            FIXED32 => (value as i32).to_le_bytes().to_vec(),
            _ => {
                let mut bytes = Vec::new();
                push_varint(&mut bytes, if kind.zigzag() { zigzag(value) } else { value as u64 });
                bytes
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::schema::load;
    use crate::veil::view::Raw;
    use prost::Message;

    fn sample() -> Schema {
        load(crate::proto::SAMPLES, "twinveil.sample.PatientFrame", None).expect("our own")
    }

    #[test]
    fn a_frame_is_what_its_type_says_names_its_subject_and_is_as_long_as_asked_for() {
        let schema = sample();
        let maker = Maker::new(&schema);
        for bytes in [700, 1_000, 4_000] {
            let frame = maker.frames(4, bytes).pop().expect("four");
            assert!(frame.len() <= bytes && frame.len() > bytes - 80, "{} of {bytes}", frame.len());
            let read = crate::proto::sample::PatientFrame::decode(&frame[..]).expect("a frame");
            assert_eq!(read.patient_id, "bench-0003");
            assert!(read.position.is_some() && !read.waveforms.is_empty() && read.labels.contains_key("diagnosis"), "{read:?}");
            let subject = Raw::new(&frame).subject(schema.subject().expect("one")).expect("named");
            assert_eq!(subject.as_bytes(), maker.name(3).as_bytes());
        }
        assert!(maker.frames(1, 1)[0].len() > 1, "what has to be in it is in it");
    }

    #[test]
    fn what_holds_itself_ends_and_texts_grow_where_there_is_no_list() {
        let proto = "syntax = \"proto3\"; package t; message Frame { uint32 id = 1; string note = 2; Tree tree = 3; } \
                     message Tree { string name = 1; Tree left = 2; repeated Tree more = 3; }";
        let folder = std::env::temp_dir().join(format!("twinveil-made-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        std::fs::write(folder.join("tree.proto"), proto).expect("file");
        let set = crate::descriptors::read(&folder.join("tree.proto"), &[]).expect("compiles").set;
        std::fs::remove_dir_all(&folder).expect("clean");
        let side = "[\"t.Frame\"]\nid = { sensitivity = \"identifying\", category = \"identity\", role = \"subject\" }\n\
                    note = { sensitivity = \"public\", category = \"operation\" }\n";
        let schema = load(&set, "t.Frame", Some(side)).expect("loads");
        let maker = Maker::new(&schema);
        let frame = maker.frames(7, 500).pop().expect("seven");
        assert!(frame.len() <= 500 && frame.len() > 400, "{}", frame.len());
        let subject = Raw::new(&frame).subject(schema.subject().expect("one")).expect("named");
        assert_eq!((subject.as_bytes(), maker.name(6).as_str()), (&b"7"[..], "7"));
    }
}
