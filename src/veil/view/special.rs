//! Everything that is not copied or left out as it stands: the instructions of a view, one by one.

use super::apply::{Element, Here, KeyRecord, Walk};
use super::compile::{Code, Descent, Key, KeyTable, NodeTable, Op, SelectTable};
use crate::veil::crypto::pseudonym;
use crate::veil::outcome::Refusal;
use crate::veil::schema::KEYS_MAX;
use crate::veil::terms::Kind;
use crate::veil::transform::generalize;
use crate::veil::transform::number::{coordinate, push_image, range, read_integer, write_integer};
use crate::veil::wire::{
    LEN, Reader, VARINT, Value, bounds, copy_minimal, mend_length, push_tag, push_varint, slice, unzigzag, varint_len,
};

impl Walk<'_> {
    /// Carries out one instruction on one record.
    #[inline(never)]
    pub(super) fn special(&mut self, here: &mut Here<'_>, op: Op, tag: u64, value: &[u8]) -> Result<(), Refusal> {
        match op.code {
            Code::Drop => {}
            Code::Keep => copy_minimal(&mut self.work.out, tag, value, false)?,
            Code::KeepPacked => copy_minimal(&mut self.work.out, tag, value, true)?,
            Code::Descend => {
                let Some(descent) = here.table.descents.get(op.arg as usize) else { return Ok(()) };
                let (begin, end) = bounds(value, 0)?;
                let element = Element { descent: *descent, counter: here.ordinals + op.arg as usize, key: None };
                self.element(&element, slice(value, begin, end), here.depth)?;
            }
            Code::Bear => {
                let Some(descent) = here.table.descents.get(op.arg as usize) else { return Ok(()) };
                let (begin, end) = bounds(value, 0)?;
                self.bear(*descent, slice(value, begin, end), here.depth)?;
            }
            Code::Select => {
                let Some(select) = here.table.selects.get(op.arg as usize) else { return Ok(()) };
                let (begin, end) = bounds(value, 0)?;
                self.select(here.table, select, here.ordinals, slice(value, begin, end), here.depth)?;
            }
            Code::GeneralizeNumber | Code::GeneralizeText | Code::GeneralizeTimestamp => self.generalize(op, tag, value)?,
            Code::PlaceLatitude => here.latitude = coordinate(tag, value),
            Code::PlaceLongitude => here.longitude = coordinate(tag, value),
            Code::Pseudonymize => self.pseudonymize(op, tag, value)?,
            Code::Seal => {
                if let Some(sealed) = self.work.sealed.get_mut(op.arg as usize) {
                    push_varint(sealed, tag);
                    sealed.extend_from_slice(value);
                }
            }
        }
        Ok(())
    }

    /// An element whose case is told by a key inside it, wherever the key stands. No key, two keys, no case: stripped.
    fn select(&mut self, table: &NodeTable, select: &SelectTable, ordinals: usize, input: &[u8], depth: u32) -> Result<(), Refusal> {
        let chosen = match &*select.keys {
            [only] => only_key(only, input).map(|key| (only, key)),
            keys => ranked_key(keys, input),
        };
        let Some((by, key)) = chosen else { return Ok(()) };
        let Some(node) = by.case(key) else { return Ok(()) };
        let Some(descent) = table.descents.get(select.descent as usize) else { return Ok(()) };
        let key = KeyRecord { number: by.by, wire_type: by.kind.wire_type(), key };
        let element = Element { descent: Descent { node, ..*descent }, counter: ordinals + select.descent as usize, key: Some(key) };
        self.element(&element, input, depth)
    }

    fn generalize(&mut self, op: Op, tag: u64, value: &[u8]) -> Result<(), Refusal> {
        let program = self.program;
        let Some(site) = program.generalizers.get(op.arg as usize) else { return Ok(()) };
        let out = &mut self.work.out;
        let wire_type = (tag & 7) as u8;
        match op.code {
            Code::GeneralizeText => {
                let (begin, end) = bounds(value, 0)?;
                // A text cut to nothing was empty; where that can't be told from absent it is left out, as a zero is.
                if let Some(image) =
                    generalize::text(&site.how, slice(value, begin, end)).filter(|image| !(site.implicit && image.is_empty()))
                {
                    push_varint(out, tag);
                    push_varint(out, image.len() as u64);
                    out.extend_from_slice(image);
                }
            }
            Code::GeneralizeTimestamp => {
                let (begin, end) = bounds(value, 0)?;
                let mut seconds = 0;
                for record in Reader::new(slice(value, begin, end)) {
                    let record = record?;
                    if let (1, Value::Varint(v)) = (record.number, record.value) {
                        seconds = v as i64;
                    }
                }
                if let Some(image) = generalize::timestamp(&site.how, seconds) {
                    push_varint(out, tag);
                    push_varint(out, 1 + varint_len(image as u64) as u64);
                    push_tag(out, 1, VARINT);
                    push_varint(out, image as u64);
                }
            }
            _ if wire_type == site.kind.wire_type() => {
                let start = out.len();
                push_varint(out, tag);
                let image = out.len();
                let (made, _) = push_image(site.kind, &site.how, value, out)?;
                // INVARIANT: absent and zero look alike where the schema can't tell them apart: 0 is not sent, so an image of
                // something else that comes out as 0 is not sent either.
                if !made || site.implicit && out.get(image..).is_some_and(|image| image.iter().all(|byte| *byte == 0)) {
                    out.truncate(start);
                }
            }
            _ => {
                let (mut at, end) = bounds(value, 0)?;
                let start = out.len();
                push_varint(out, tag);
                let place = out.len();
                let room = varint_len((end - at) as u64);
                out.extend_from_slice(&[0; 10][..room]);
                while at < end {
                    // An element without an image (NaN) is left out.
                    let (_, taken) = push_image(site.kind, &site.how, slice(value, at, end), out)?;
                    at += taken;
                }
                // INVARIANT: a run in which nothing has an image is left out: that there was one would be told otherwise.
                if out.len() == place + room {
                    out.truncate(start);
                } else {
                    mend_length(out, place, room);
                }
            }
        }
        Ok(())
    }

    fn pseudonymize(&mut self, op: Op, tag: u64, value: &[u8]) -> Result<(), Refusal> {
        let program = self.program;
        let Some(site) = program.pseudonyms.get(op.arg as usize) else { return Ok(()) };
        let (Some(pseudonyms), out) = (&mut self.bindings.pseudonyms, &mut self.work.out) else { return Ok(()) };
        let index = op.arg as usize;
        if site.kind.wire_type() == LEN {
            let (begin, end) = bounds(value, 0)?;
            let Some(made) = pseudonyms.of(program, index, slice(value, begin, end)) else { return Ok(()) };
            push_varint(out, tag);
            if site.kind == Kind::String {
                let text = pseudonym::text(&made);
                push_varint(out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            } else {
                push_varint(out, 16);
                out.extend_from_slice(&made[..16]);
            }
            return Ok(());
        }
        let packed = (tag & 7) as u8 == LEN;
        let (mut at, end) = if packed { bounds(value, 0)? } else { (0, value.len()) };
        let mut images = Vec::new();
        while at < end {
            let rest = slice(value, at, end);
            let (number, taken) = read_integer(site.kind, rest)?;
            // A counter keeps its steps and loses its origin; any other number is replaced.
            let made =
                if site.sequence { pseudonyms.of(program, index, b"origin") } else { pseudonyms.of(program, index, &number.to_be_bytes()) };
            let Some(made) = made else { return Ok(()) };
            let (made, max) = (pseudonym::number(&made), range(site.kind).1 as u64);
            // Offsets stay well below the type's limit, so that counters go on counting up.
            let offset = (made & max) >> 4;
            let image = if site.sequence { (number as u64).wrapping_add(offset) } else { made };
            write_integer(site.kind, image & max, &mut images);
            at += taken;
        }
        push_varint(out, tag);
        if packed {
            push_varint(out, images.len() as u64);
        }
        out.extend_from_slice(&images);
        Ok(())
    }
}

/// The key of an element, where it stands exactly once.
#[inline]
fn only_key<'i>(by: &KeyTable, input: &'i [u8]) -> Option<Key<'i>> {
    let mut found = None;
    for record in Reader::new(input) {
        // Broken before its case is known, it counts as hidden: hidden elements give no verdict.
        let record = record.ok()?;
        if record.number == by.by
            && let Some(key) = key_of(by.kind, record.value)
            && found.replace(key).is_some()
        {
            return None;
        }
    }
    found
}

/// The first of the keys that is present; none where any of them stands twice, also one that would not decide.
fn ranked_key<'t, 'i>(keys: &'t [KeyTable], input: &'i [u8]) -> Option<(&'t KeyTable, Key<'i>)> {
    let mut found = [None; KEYS_MAX];
    for record in Reader::new(input) {
        let record = record.ok()?;
        if let Some((by, found)) = keys.iter().zip(&mut found).find(|(by, _)| by.by == record.number)
            && let Some(key) = key_of(by.kind, record.value)
            && found.replace(key).is_some()
        {
            return None;
        }
    }
    keys.iter().zip(found).find_map(|(by, key)| Some((by, key?)))
}

/// The key in a record, if it has the key's type.
#[inline]
fn key_of(kind: Kind, value: Value<'_>) -> Option<Key<'_>> {
    Some(match (kind, value) {
        (Kind::String | Kind::Bytes, Value::Len(text)) => Key::Bytes(text),
        (Kind::Sint32 | Kind::Sint64, Value::Varint(v)) => Key::Int(unzigzag(v), v),
        (Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum, Value::Varint(v)) => Key::Int(v as i64, v),
        (Kind::Fixed32, Value::Fixed32(v)) => Key::Int(i64::from(v), v.into()),
        (Kind::Sfixed32, Value::Fixed32(v)) => Key::Int(i64::from(v as i32), v.into()),
        (Kind::Fixed64 | Kind::Sfixed64, Value::Fixed64(v)) => Key::Int(v as i64, v),
        _ => return None,
    })
}
