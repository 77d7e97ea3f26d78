//! A frame as records that can be edited, encoded again as it was written.

use super::fate::Oracle;
use super::records::{Value as Seen, read_as_far};
use super::values::key_of;
use crate::veil::schema::{Content, NodeId};
use crate::veil::wire::{FIXED32, FIXED64, GROUP, LEN, VARINT, push_varint, varint_len};

/// Messages nested deeper than this are bytes; views refuse them earlier.
const LEVELS_MAX: usize = 70;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Message {
    /// What the schema knows it as.
    pub(super) node: Option<NodeId>,
    pub(super) records: Vec<Record>,
    /// What stands behind the last whole record.
    pub(super) tail: Vec<u8>,
}

/// A record. Pads count the empty bytes that make a varint longer than it need be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: u32,
    pub(super) tag_pad: usize,
    pub(super) value: Value,
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Varint {
        value: u64,
        pad: usize,
    },
    Fixed64(u64),
    Fixed32(u32),
    Bytes {
        bytes: Vec<u8>,
        pad: usize,
    },
    Message {
        message: Message,
        pad: usize,
    },
    /// With its end tag.
    Group(Vec<u8>),
}

/// The way to a message: the places of records, from the outside in.
pub(super) type Way = Vec<usize>;

impl Value {
    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        Self::Bytes { bytes, pad: 0 }
    }

    pub(super) fn varint(value: u64) -> Self {
        Self::Varint { value, pad: 0 }
    }

    pub(super) fn wire_type(&self) -> u8 {
        match self {
            Self::Varint { .. } => VARINT,
            Self::Fixed64(_) => FIXED64,
            Self::Fixed32(_) => FIXED32,
            Self::Bytes { .. } | Self::Message { .. } => LEN,
            Self::Group(_) => GROUP,
        }
    }
}

impl Record {
    pub(super) fn new(number: u32, value: Value) -> Self {
        Self { number, tag_pad: 0, value }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        push_padded(out, u64::from(self.number) << 3 | u64::from(self.value.wire_type()), self.tag_pad);
        match &self.value {
            Value::Varint { value, pad } => push_padded(out, *value, *pad),
            Value::Fixed64(value) => out.extend(value.to_le_bytes()),
            Value::Fixed32(value) => out.extend(value.to_le_bytes()),
            Value::Bytes { bytes, pad } => {
                push_padded(out, bytes.len() as u64, *pad);
                out.extend(bytes);
            }
            Value::Message { message, pad } => {
                let bytes = message.encode();
                push_padded(out, bytes.len() as u64, *pad);
                out.extend(bytes);
            }
            Value::Group(inside) => out.extend(inside),
        }
    }
}

impl Message {
    /// Reads a frame, as far as it is whole.
    pub(super) fn parse(oracle: &Oracle<'_>, frame: &[u8]) -> Self {
        Self::parse_at(oracle, Some(NodeId(0)), frame, 1)
    }

    fn parse_at(oracle: &Oracle<'_>, node: Option<NodeId>, input: &[u8], level: usize) -> Self {
        let (read, broken) = read_as_far(input, 1);
        let tail = broken.and_then(|(_, at)| input.get(at..)).unwrap_or_default().to_vec();
        let records = read.into_iter().map(|record| {
            let value = match record.value {
                Seen::Varint(value) => Value::Varint { value, pad: record.raw.len() - varint_len(value) },
                Seen::Fixed64(value) => Value::Fixed64(value),
                Seen::Fixed32(value) => Value::Fixed32(value),
                Seen::Group(inside) => Value::Group(inside.to_vec()),
                Seen::Len(bytes) => {
                    let pad = record.raw.len() - bytes.len() - varint_len(bytes.len() as u64);
                    match inner_node(oracle, node, record.number, bytes) {
                        Some(inner) if level < LEVELS_MAX => {
                            Value::Message { message: Self::parse_at(oracle, inner, bytes, level + 1), pad }
                        }
                        _ => Value::Bytes { bytes: bytes.to_vec(), pad },
                    }
                }
            };
            Record { number: record.number, tag_pad: record.tag_len - tag_len(record.number), value }
        });
        Self { node, records: records.collect(), tail }
    }

    /// The bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.records.iter().for_each(|record| record.encode(&mut out));
        out.extend(&self.tail);
        out
    }

    /// The way to every message in it, itself first.
    pub(super) fn ways(&self) -> Vec<Way> {
        let mut ways = vec![Vec::new()];
        for (at, record) in self.records.iter().enumerate() {
            if let Value::Message { message, .. } = &record.value {
                ways.extend(message.ways().into_iter().map(|way| [vec![at], way].concat()));
            }
        }
        ways
    }

    pub(super) fn at(&self, way: &[usize]) -> Option<&Self> {
        let Some((first, rest)) = way.split_first() else { return Some(self) };
        match &self.records.get(*first)?.value {
            Value::Message { message, .. } => message.at(rest),
            _ => None,
        }
    }

    pub(super) fn at_mut(&mut self, way: &[usize]) -> Option<&mut Self> {
        let Some((first, rest)) = way.split_first() else { return Some(self) };
        match &mut self.records.get_mut(*first)?.value {
            Value::Message { message, .. } => message.at_mut(rest),
            _ => None,
        }
    }
}

/// Whether the value is a message of the schema, and which: `Some(None)` for an element without a case.
fn inner_node(oracle: &Oracle<'_>, node: Option<NodeId>, number: u32, bytes: &[u8]) -> Option<Option<NodeId>> {
    match &oracle.field(node, number)?.content {
        Content::Message(child) => Some(Some(*child)),
        Content::Select(select) => Some(key_of(select, bytes).map(|(_, _, case)| case)),
        Content::Leaf(_) | Content::Discriminator => None,
    }
}

pub(super) fn tag_len(number: u32) -> usize {
    varint_len(u64::from(number) << 3)
}

/// A varint with so many empty bytes at its top, ten bytes at the most.
pub(super) fn push_padded(out: &mut Vec<u8>, value: u64, pad: usize) {
    push_varint(out, value);
    let pad = pad.min(10 - varint_len(value));
    if pad > 0 {
        if let Some(last) = out.last_mut() {
            *last |= 0x80;
        }
        out.extend(std::iter::repeat_n(0x80, pad - 1));
        out.push(0);
    }
}
