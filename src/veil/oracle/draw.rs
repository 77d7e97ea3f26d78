//! Frames drawn from a schema: every kind of field, in every legal form and some that are not.

use super::dice::Dice;
use super::fate::Oracle;
use super::tree::{Message, Record, Value, push_padded};
use crate::veil::schema::{CaseValue, Content, Field, NodeId, Schema, Select, Site};
use crate::veil::terms::{Generalizer, Kind};
use crate::veil::wire::{DEPTH_MAX, LEN, push_varint, zigzag};

/// Records in one drawn message, more or less.
const RECORDS_MAX: usize = 40;

/// Draws the bytes of a frame. One in twelve is broken or hostile somewhere.
pub fn frame(schema: &Schema, dice: &mut Dice) -> Vec<u8> {
    let mut budget = RECORDS_MAX;
    let mut message = message(schema, NodeId(0), dice, 1, &mut budget);
    if dice.one_in(12) {
        hostile(&mut message, dice);
    }
    message.encode()
}

/// A message of a node; `budget` bounds the records of the whole frame.
pub(super) fn message(schema: &Schema, node: NodeId, dice: &mut Dice, depth: usize, budget: &mut usize) -> Message {
    let mut made = Message { node: Some(node), ..Message::default() };
    let fields = schema.nodes().get(node.0 as usize).map_or(&[][..], |node| &node.fields);
    for field in fields {
        let many = match dice.below(8) {
            0..3 => 0,
            3..6 => 1,
            6 => 2,
            _ if field.repeated => 4,
            _ => 1,
        };
        for _ in 0..many {
            if *budget == 0 {
                break;
            }
            *budget -= 1;
            if let Some(record) = record(schema, field, dice, depth, budget) {
                made.records.push(record);
            }
        }
    }
    if dice.one_in(4) {
        made.records.push(unknown(dice));
    }
    // Sources may write fields in any order.
    if dice.one_in(3) {
        for at in 1..made.records.len() {
            made.records.swap(at, dice.below(at + 1));
        }
    }
    made
}

/// A record of a field.
pub(super) fn record(schema: &Schema, field: &Field, dice: &mut Dice, depth: usize, budget: &mut usize) -> Option<Record> {
    let value = match &field.content {
        Content::Discriminator => return None,
        Content::Leaf(id) => leaf(schema.sites().get(id.0 as usize)?, dice),
        Content::Message(_) | Content::Select(_) if depth > 6 && !dice.one_in(4) => return None,
        Content::Message(child) => Value::Message { message: message(schema, *child, dice, depth + 1, budget), pad: 0 },
        Content::Select(select) => Value::Message { message: element(schema, select, dice, depth + 1, budget), pad: 0 },
    };
    let mut record = Record::new(field.number, value);
    if dice.one_in(16) {
        record.value = other_wire_type(dice);
    }
    pad(&mut record, dice, 10);
    Some(record)
}

/// An element: mostly with the key of a case, sometimes with another, two or none.
pub(super) fn element(schema: &Schema, select: &Select, dice: &mut Dice, depth: usize, budget: &mut usize) -> Message {
    let Some(by) = dice.pick(&select.keys) else { return Message::default() };
    let Some((value, case)) = dice.pick(&by.cases) else { return Message::default() };
    let mut made = message(schema, *case, dice, depth, budget);
    let keys = if dice.one_in(10) { dice.below(3) } else { 1 };
    for _ in 0..keys {
        let mut key = Record::new(by.by, key(by.kind, value));
        if dice.one_in(10) {
            key.value = number_or_text(by.kind, dice);
        }
        pad(&mut key, dice, 10);
        let at = if dice.one_in(2) { 0 } else { dice.below(made.records.len() + 1) };
        made.records.insert(at, key);
    }
    made
}

/// The key of a case as its type is written.
pub(super) fn key(kind: Kind, value: &CaseValue) -> Value {
    match (value, kind.wire_type()) {
        (CaseValue::Bytes(text), _) => Value::bytes(text.to_vec()),
        (CaseValue::Int(number), 0) if kind.zigzag() => Value::varint(zigzag(*number)),
        (CaseValue::Int(number), 1) => Value::Fixed64(*number as u64),
        (CaseValue::Int(number), 5) => Value::Fixed32(*number as u32),
        (CaseValue::Int(number), _) => Value::varint(*number as u64),
    }
}

/// A value of a site, single or in a run.
pub(super) fn leaf(site: &Site, dice: &mut Dice) -> Value {
    if site.repeated && site.kind.packable() && !dice.one_in(3) {
        let mut run = Vec::new();
        for _ in 0..dice.below(6) {
            push_number(&mut run, &near(site, dice), dice);
        }
        if dice.one_in(24) {
            run.extend(dice.bytes(1));
        }
        return Value::bytes(run);
    }
    near(site, dice)
}

/// A value that is likely to lie where its generalizer changes the image.
fn near(site: &Site, dice: &mut Dice) -> Value {
    let edge = match &site.facts.generalize {
        Some(Generalizer::Step(step)) => step * (dice.below(9) as f64 - 4.0),
        Some(Generalizer::Buckets(edges)) => dice.pick(edges).copied().unwrap_or_default(),
        Some(Generalizer::TimeBucket { span_s, unit }) => (span_s.saturating_mul(unit.per_second())) as f64 * dice.below(4) as f64,
        Some(Generalizer::Decimals(decimals)) => dice.below(100) as f64 * 10f64.powi(-i32::from(*decimals)),
        _ => return number_or_text(site.kind, dice),
    };
    if dice.one_in(3) {
        return number_or_text(site.kind, dice);
    }
    match site.kind {
        Kind::Double => Value::Fixed64((edge + (dice.below(5) as f64 - 2.0) * 1e-3).to_bits()),
        Kind::Float => Value::Fixed32(((edge + (dice.below(5) as f64 - 2.0) * 1e-3) as f32).to_bits()),
        Kind::Timestamp => timestamp(edge as i64 + dice.below(5) as i64 - 2, dice),
        kind => integer(kind, (edge as i64).saturating_add(dice.below(5) as i64 - 2)),
    }
}

/// An integer as its type is written.
pub(super) fn integer(kind: Kind, value: i64) -> Value {
    match kind {
        Kind::Sint32 => Value::varint(zigzag(i64::from(value as i32))),
        Kind::Sint64 => Value::varint(zigzag(value)),
        Kind::Int32 | Kind::Enum => Value::varint(i64::from(value as i32) as u64),
        Kind::Uint32 => Value::varint(u64::from(value as u32)),
        Kind::Bool => Value::varint(value as u64 & 1),
        Kind::Fixed32 | Kind::Sfixed32 => Value::Fixed32(value as u32),
        Kind::Fixed64 | Kind::Sfixed64 => Value::Fixed64(value as u64),
        _ => Value::varint(value as u64),
    }
}

fn timestamp(seconds: i64, dice: &mut Dice) -> Value {
    let mut inside = Message::default();
    inside.records.push(Record::new(1, Value::varint(seconds as u64)));
    if !dice.one_in(3) {
        inside.records.push(Record::new(2, Value::varint(dice.word() % 1_000_000_000)));
    }
    if dice.one_in(8) {
        inside.records.push(unknown(dice));
    }
    Value::bytes(inside.encode())
}

/// Any value of a type.
pub(super) fn number_or_text(kind: Kind, dice: &mut Dice) -> Value {
    match kind {
        Kind::Double => Value::Fixed64(dice.float().to_bits()),
        Kind::Float => Value::Fixed32((dice.float() as f32).to_bits()),
        Kind::String if dice.one_in(12) => Value::bytes(dice.bytes(3)),
        Kind::String => Value::bytes(dice.text().into_bytes()),
        Kind::Bytes => {
            let len = dice.below(9);
            Value::bytes(dice.bytes(len))
        }
        Kind::Timestamp => timestamp(dice.integer(), dice),
        Kind::Message | Kind::Map => {
            let mut inside = Message::default();
            for number in 1..=dice.below(3) as u32 {
                inside.records.push(Record::new(number, Value::varint(dice.word() % 300)));
            }
            Value::bytes(inside.encode())
        }
        // The end tag is written where the number of the group is known; until then it is no group.
        Kind::Group => Value::Group(Vec::new()),
        // Varints may be wider than their type.
        kind if kind.wire_type() == 0 && dice.one_in(12) => Value::varint(dice.word()),
        kind => integer(kind, dice.integer()),
    }
}

/// A field that the schema does not know, or one of the gateway's own.
pub(super) fn unknown(dice: &mut Dice) -> Record {
    let number = *dice.pick(&[1_999, 18_000, 18_001, 30_000, 536_870_900, 7_777]).unwrap_or(&1_999);
    match dice.below(4) {
        0 => Record::new(number, group(number, dice)),
        1 => Record::new(number, other_wire_type(dice)),
        2 => Record::new(number, Value::bytes(b"unknown".to_vec())),
        _ => Record::new(number, Value::varint(dice.word())),
    }
}

/// A whole group of that number.
pub(super) fn group(number: u32, dice: &mut Dice) -> Value {
    let mut inside = Message::default();
    for _ in 0..dice.below(3) {
        inside.records.push(Record::new(1 + dice.below(9) as u32, Value::varint(dice.word() % 1_000)));
    }
    let mut bytes = inside.encode();
    push_varint(&mut bytes, u64::from(number) << 3 | 4);
    Value::Group(bytes)
}

/// A value that hardly any field has.
pub(super) fn other_wire_type(dice: &mut Dice) -> Value {
    match dice.below(4) {
        0 => Value::Fixed64(dice.word()),
        1 => Value::Fixed32(dice.word() as u32),
        2 => Value::varint(dice.word()),
        _ => {
            let len = dice.below(12);
            Value::bytes(dice.bytes(len))
        }
    }
}

/// Makes tag, length and varint longer than they need be, one time in `many`.
pub(super) fn pad(record: &mut Record, dice: &mut Dice, many: usize) {
    if let Value::Group(inside) = &mut record.value
        && inside.is_empty()
    {
        record.value = group(record.number, dice);
    }
    if dice.one_in(many) {
        record.tag_pad = dice.below(3);
    }
    if dice.one_in(many)
        && let Value::Varint { pad, .. } | Value::Bytes { pad, .. } | Value::Message { pad, .. } = &mut record.value
    {
        *pad = dice.below(4);
    }
}

fn push_number(run: &mut Vec<u8>, number: &Value, dice: &mut Dice) {
    match number {
        Value::Varint { value, .. } => push_padded(run, *value, if dice.one_in(10) { 1 + dice.below(3) } else { 0 }),
        Value::Fixed64(value) => run.extend(value.to_le_bytes()),
        Value::Fixed32(value) => run.extend(value.to_le_bytes()),
        Value::Bytes { .. } | Value::Message { .. } | Value::Group(_) => {}
    }
}

/// Breaks a message somewhere, or nests something in it near the limits.
pub(super) fn hostile(message: &mut Message, dice: &mut Dice) {
    let ways = message.ways();
    let Some(inner) = dice.pick(&ways).and_then(|way| message.at_mut(way)) else { return };
    match dice.below(6) {
        0 => {
            let len = 1 + dice.below(4);
            inner.tail = dice.bytes(len);
        }
        1 => inner.tail = vec![0x0a, 0x7f, 1],
        2 => {
            inner.tail = dice.pick(&[[0x00, 0x01], [0x07, 0x01], [0x0e, 0x00], [0x0c, 0x00]]).map(|tail| tail.to_vec()).unwrap_or_default()
        }
        3 => inner.tail = vec![0xff; 11],
        4 => inner.records.push(deep_group(1_999, DEPTH_MAX as usize - 4 + dice.below(6))),
        _ => {
            let at = dice.below(inner.records.len());
            let Some(record) = inner.records.get_mut(at) else { return };
            let mut bytes = Vec::new();
            for _ in 0..DEPTH_MAX as usize - 4 + dice.below(8) {
                let mut outer = Vec::new();
                push_varint(&mut outer, u64::from(record.number) << 3 | u64::from(LEN));
                push_varint(&mut outer, bytes.len() as u64);
                outer.extend(bytes);
                bytes = outer;
            }
            record.value = Value::bytes(bytes);
        }
    }
}

/// Groups in one another.
pub(super) fn deep_group(number: u32, levels: usize) -> Record {
    let (mut open, mut close) = (Vec::new(), Vec::new());
    for _ in 1..levels.max(1) {
        push_varint(&mut open, u64::from(number) << 3 | 3);
        push_varint(&mut close, u64::from(number) << 3 | 4);
    }
    push_varint(&mut close, u64::from(number) << 3 | 4);
    Record::new(number, Value::Group([open, close].concat()))
}

/// A message with nothing visible in it: hidden leaves, unknown fields, or nothing at all.
pub(super) fn invisible(oracle: &Oracle<'_>, node: NodeId, dice: &mut Dice, depth: usize) -> Message {
    let mut budget = 6;
    let mut made = message(oracle.schema(), node, dice, depth, &mut budget);
    made.records.retain(|record| {
        let value = &record.value;
        !matches!(value, Value::Message { .. }) && oracle.is_hidden(Some(node), record.number, value.wire_type())
    });
    if dice.one_in(3) {
        made.records.push(unknown(dice));
    }
    made
}
