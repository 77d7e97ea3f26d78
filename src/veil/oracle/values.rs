//! Values: read as their type has them, kept in their only form, or as their image.

use super::projection::{Class, Plain};
use super::records::{Read, Value, read, scan_depth};
use crate::veil::outcome::Refusal;
use crate::veil::schema::{CaseValue, NodeId, Select, Site};
use crate::veil::terms::{Generalizer, Kind, Role};
use crate::veil::transform::generalize;
use crate::veil::wire::{LEN, push_varint, unzigzag, varint, zigzag};

/// The key that decides about an element, by its field number, and its case: the first in rank that is there. `None` where it
/// has none, any of them stands twice, the deciding one has no case, or the element is broken.
pub(super) fn key_of(select: &Select, element: &[u8]) -> Option<(u32, Plain, NodeId)> {
    let records = read(element, scan_depth()).ok()?;
    let mut deciding = None;
    for by in &select.keys {
        let mut keys = records.iter().filter(|record| record.number == by.by).filter_map(|record| key(by.kind, &record.value));
        let first = keys.next();
        if keys.next().is_some() {
            return None;
        }
        if let (None, Some(found)) = (&deciding, first) {
            deciding = Some((by, found));
        }
    }
    let (by, (plain, value)) = deciding?;
    by.cases.iter().find(|(case, _)| *case == value).map(|(_, node)| (by.by, plain, *node))
}

/// A key as it is sent and as it is compared: integers as on the wire, zig-zag undone, as two's complement.
fn key(kind: Kind, value: &Value<'_>) -> Option<(Plain, CaseValue)> {
    if kind.wire_type() != value.wire_type() {
        return None;
    }
    Some(match *value {
        Value::Len(bytes) => (Plain::Bytes(bytes.to_vec()), CaseValue::Bytes(bytes.into())),
        Value::Varint(raw) if kind.zigzag() => (Plain::Varint(raw), CaseValue::Int(unzigzag(raw))),
        Value::Varint(raw) => (Plain::Varint(raw), CaseValue::Int(raw as i64)),
        Value::Fixed64(raw) => (Plain::Fixed64(raw), CaseValue::Int(raw as i64)),
        Value::Fixed32(raw) if kind == Kind::Sfixed32 => (Plain::Fixed32(raw), CaseValue::Int(i64::from(raw as i32))),
        Value::Fixed32(raw) => (Plain::Fixed32(raw), CaseValue::Int(i64::from(raw))),
        Value::Group(_) => return None,
    })
}

/// A kept value in its only form.
pub(super) fn plain(site: &Site, record: &Read<'_>) -> Result<Plain, Refusal> {
    Ok(match record.value {
        Value::Varint(value) => Plain::Varint(value),
        Value::Fixed64(value) => Plain::Fixed64(value),
        Value::Fixed32(value) => Plain::Fixed32(value),
        Value::Group(_) => Plain::Group(record.raw.to_vec()),
        Value::Len(run) if site.kind.wire_type() == 0 => {
            let numbers: Result<Vec<u64>, Refusal> = numbers(site.kind, run)?.into_iter().map(varint_in).collect();
            Plain::Run(numbers?)
        }
        Value::Len(bytes) => Plain::Bytes(bytes.to_vec()),
    })
}

fn varint_in(bytes: &[u8]) -> Result<u64, Refusal> {
    varint(bytes, 0).map(|(value, _)| value)
}

/// The numbers of a run, each as it stands there.
fn numbers(kind: Kind, mut run: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let mut found = Vec::new();
    while !run.is_empty() {
        let len = match kind.wire_type() {
            0 => varint(run, 0)?.1,
            1 => 8,
            _ => 4,
        };
        let (number, rest) = run.split_at_checked(len).ok_or(Refusal::Truncated)?;
        found.push(number);
        run = rest;
    }
    Ok(found)
}

/// The value of a number, as its type has it: what is too wide for the type is cut (protobuf encoding, "Signed Integers").
fn integer(kind: Kind, bytes: &[u8]) -> Result<i128, Refusal> {
    let raw = match kind.wire_type() {
        0 => varint_in(bytes)?,
        1 => u64::from_le_bytes(bytes.try_into().map_err(|_| Refusal::Truncated)?),
        _ => u64::from(u32::from_le_bytes(bytes.try_into().map_err(|_| Refusal::Truncated)?)),
    };
    Ok(match kind {
        Kind::Int32 | Kind::Sfixed32 => i128::from(raw as i32),
        Kind::Int64 | Kind::Sfixed64 => i128::from(raw as i64),
        Kind::Uint32 | Kind::Fixed32 => i128::from(raw as u32),
        Kind::Sint32 => i128::from(unzigzag(u64::from(raw as u32)) as i32),
        Kind::Sint64 => i128::from(unzigzag(raw)),
        _ => i128::from(raw),
    })
}

fn float(kind: Kind, bytes: &[u8]) -> Result<f64, Refusal> {
    Ok(match kind {
        Kind::Float => f64::from(f32::from_le_bytes(bytes.try_into().map_err(|_| Refusal::Truncated)?)),
        _ => f64::from_le_bytes(bytes.try_into().map_err(|_| Refusal::Truncated)?),
    })
}

pub(super) fn float_of(kind: Kind, value: f64) -> Plain {
    if kind == Kind::Float { Plain::Fixed32((value as f32).to_bits()) } else { Plain::Fixed64(value.to_bits()) }
}

pub(super) fn degrees(value: &Value<'_>) -> Option<f64> {
    match *value {
        Value::Fixed64(bits) => Some(f64::from_bits(bits)),
        Value::Fixed32(bits) => Some(f64::from(f32::from_bits(bits))),
        _ => None,
    }
}

/// The image of a record; `None` where it has none, or one that its schema can't tell from absent.
pub(super) fn image(site: &Site, how: &Generalizer, value: &Value<'_>) -> Result<Option<Plain>, Refusal> {
    let image = match *value {
        Value::Len(text) if site.kind == Kind::String => generalize::text(how, text).map(|image| Plain::Bytes(image.to_vec())),
        Value::Len(inside) if site.kind == Kind::Timestamp => timestamp(how, inside)?,
        Value::Len(run) => return packed_image(site.kind, how, run),
        Value::Varint(raw) => {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, raw);
            number_image(site.kind, how, &bytes)?
        }
        Value::Fixed64(raw) => number_image(site.kind, how, &raw.to_le_bytes())?,
        Value::Fixed32(raw) => number_image(site.kind, how, &raw.to_le_bytes())?,
        Value::Group(_) => None,
    };
    Ok(image.filter(|image| !(site.implicit && is_zero(image))))
}

fn is_zero(plain: &Plain) -> bool {
    match plain {
        Plain::Varint(value) | Plain::Fixed64(value) => *value == 0,
        Plain::Fixed32(value) => *value == 0,
        Plain::Bytes(bytes) => bytes.is_empty(),
        Plain::Run(_) | Plain::Group(_) => false,
    }
}

fn number_image(kind: Kind, how: &Generalizer, bytes: &[u8]) -> Result<Option<Plain>, Refusal> {
    if matches!(kind, Kind::Double | Kind::Float) {
        let value = float(kind, bytes)?;
        let image = if kind == Kind::Float { generalize::float32(how, value as f32).map(f64::from) } else { generalize::float(how, value) };
        return Ok(image.map(|image| float_of(kind, image)));
    }
    let bits = if matches!(kind, Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32) { 32 } else { 64 };
    let signed = !matches!(kind, Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64);
    let (least, most) = if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    let Some(image) = generalize::integer(how, integer(kind, bytes)?, least, most) else { return Ok(None) };
    Ok(Some(match kind.wire_type() {
        0 if kind.zigzag() => Plain::Varint(zigzag(image as i64)),
        0 => Plain::Varint(image as u64),
        1 => Plain::Fixed64(image as u64),
        _ => Plain::Fixed32(image as u32),
    }))
}

/// What has no image is left out of its run, and a run with nothing in it is left out.
fn packed_image(kind: Kind, how: &Generalizer, run: &[u8]) -> Result<Option<Plain>, Refusal> {
    let (mut varints, mut bytes) = (Vec::new(), Vec::new());
    for number in numbers(kind, run)? {
        match number_image(kind, how, number)? {
            Some(Plain::Varint(value)) => varints.push(value),
            Some(Plain::Fixed64(value)) => bytes.extend(value.to_le_bytes()),
            Some(Plain::Fixed32(value)) => bytes.extend(value.to_le_bytes()),
            _ => {}
        }
    }
    let run = if kind.wire_type() == 0 { Plain::Run(varints) } else { Plain::Bytes(bytes) };
    Ok(Some(run).filter(|run| !matches!(run, Plain::Run(run) if run.is_empty()) && !is_zero(run)))
}

/// The last whole seconds that stand in a `google.protobuf.Timestamp`, made coarser.
fn timestamp(how: &Generalizer, inside: &[u8]) -> Result<Option<Plain>, Refusal> {
    let mut seconds = 0;
    for record in read(inside, scan_depth())? {
        if let (1, Value::Varint(value)) = (record.number, record.value) {
            seconds = value as i64;
        }
    }
    Ok(generalize::timestamp(how, seconds).map(|image| {
        let mut bytes = vec![0x08];
        push_varint(&mut bytes, image as u64);
        Plain::Bytes(bytes)
    }))
}

/// What the pseudonyms of a record are functions of, and whether they stand in one run.
pub(super) fn classes(site: &Site, value: &Value<'_>) -> Result<(bool, Vec<Class>), Refusal> {
    let number = |bytes: &[u8]| {
        let number = integer(site.kind, bytes)?;
        // Counters are shifted within the range of their type, signs aside.
        let bits = if matches!(site.kind, Kind::Int32 | Kind::Sint32 | Kind::Sfixed32) {
            31
        } else if matches!(site.kind, Kind::Uint32 | Kind::Fixed32) {
            32
        } else if matches!(site.kind, Kind::Uint64 | Kind::Fixed64) {
            64
        } else {
            63
        };
        let counted = (number as u128 & ((1u128 << bits) - 1)) as u64;
        Ok(if site.facts.role == Some(Role::Sequence) { Class::Counter(counted) } else { Class::Number(number) })
    };
    match *value {
        Value::Len(bytes) if site.kind.wire_type() == LEN => Ok((false, vec![Class::Bytes(bytes.to_vec())])),
        Value::Len(run) => Ok((true, numbers(site.kind, run)?.into_iter().map(number).collect::<Result<_, Refusal>>()?)),
        Value::Varint(raw) => {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, raw);
            Ok((false, vec![number(&bytes)?]))
        }
        Value::Fixed64(raw) => Ok((false, vec![number(&raw.to_le_bytes())?])),
        Value::Fixed32(raw) => Ok((false, vec![number(&raw.to_le_bytes())?])),
        Value::Group(_) => Ok((false, Vec::new())),
    }
}
