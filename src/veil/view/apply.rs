//! The hot loop. One walk over the bytes of a frame: maximal runs of kept records are copied as they are, everything else by
//! its instruction; lengths of messages are mended behind. What cannot be judged is refused whole, and nothing of it leaves.

use std::sync::Arc;

use super::bindings::Bindings;
use super::compile::{Code, Descent, Key, NodeTable, Op, Program, SelectTable};
use super::frame::{Raw, Veiled};
use crate::veil::crypto::pseudonym;
use crate::veil::outcome::Refusal;
use crate::veil::schema::SEALED_FIELD;
use crate::veil::terms::Kind;
use crate::veil::transform::fragment::push_fragment;
use crate::veil::transform::generalize;
use crate::veil::transform::number::{coordinate, number_len, push_float, push_image, range, read_integer, write_integer};
use crate::veil::wire::{
    DEPTH_MAX, FIXED32, FIXED64, LEN, Reader, VARINT, Value, bounds, copy_minimal, mend_length, minimal_len, minimal_varint, push_tag, push_varint, skip, split_tag,
    unzigzag, varint, varint_len, write_varint,
};

/// A program and the bindings of one subject and stream.
#[derive(Debug)]
pub struct View {
    program: Arc<Program>,
    bindings: Bindings,
}

/// Room to work in: buffers that live as long as a stream and serve all its views, so that a frame allocates nothing.
#[derive(Debug, Default)]
pub struct Space {
    out: Vec<u8>,
    /// Per slot: sealed records of the message that is being walked, as a stack.
    sealed: [Vec<u8>; SLOTS_MAX],
    /// Per slot: finished fragments of this frame.
    fragments: [Vec<u8>; SLOTS_MAX],
    path: Vec<(u32, u32)>,
    /// How many elements of each walked field of the open messages came out, as a stack.
    ordinals: Vec<u32>,
    plain: Vec<u8>,
    aad: Vec<u8>,
    group: Vec<u8>,
}

impl View {
    /// Joins a program with the bindings that were made for it.
    pub fn new(program: Arc<Program>, bindings: Bindings) -> Self {
        Self { program, bindings }
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Whether a key has sealed as much as it may.
    pub fn spent(&self) -> bool {
        self.bindings.spent()
    }

    /// Makes what the recipient may see of a frame. On a refusal nothing of the frame remains.
    pub fn apply<'s>(&mut self, frame: Raw<'_>, space: &'s mut Space) -> Result<Veiled<'s>, Refusal> {
        let work = &mut *space;
        work.out.clear();
        work.out.reserve(frame.0.len() + 64);
        for buffer in work.sealed.iter_mut().chain(&mut work.fragments) {
            buffer.clear();
        }
        work.path.clear();
        work.ordinals.clear();
        let mut walk = Walk { program: &self.program, bindings: &mut self.bindings, work, seals: !self.program.slots.is_empty() };
        let done = walk.message(0, frame.0, 1).and_then(|()| if walk.seals { walk.seal_groups() } else { Ok(()) });
        match done {
            Ok(()) => Ok(Veiled(&space.out)),
            Err(refusal) => {
                space.out.clear();
                Err(refusal)
            }
        }
    }
}

struct Walk<'w> {
    program: &'w Program,
    bindings: &'w mut Bindings,
    work: &'w mut Space,
    seals: bool,
}

impl<'w> Walk<'w> {
    fn message(&mut self, node: u32, input: &[u8], depth: u32) -> Result<(), Refusal> {
        let program = self.program;
        let Some(table) = program.nodes.get(node as usize) else { return Ok(()) };
        if depth > DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        let ordinals = self.work.ordinals.len();
        if self.seals {
            self.work.ordinals.resize(ordinals + table.descents.len(), 0);
        }
        let (mut latitude, mut longitude) = (None, None);
        let mut pos = 0;
        // Everything from `run` to the record at hand is kept as it is, and not yet copied.
        let mut run = 0;
        while let Some(&first) = input.get(pos) {
            let start = pos;
            let (op, tag, minimal) = if first < 0x80 {
                pos += 1;
                (table.dense[first as usize], u64::from(first), true)
            } else {
                let (tag, after) = varint(input, pos)?;
                pos = after;
                let op = usize::try_from(tag).ok().and_then(|tag| table.dense.get(tag)).copied().unwrap_or_else(|| table.sparse(tag));
                (op, tag, after - start == varint_len(tag))
            };
            // First the end of the record: nothing is judged before it is known to be whole.
            let value = pos;
            pos = match op.code {
                Code::DropLen | Code::KeepLen | Code::KeepPacked | Code::Descend | Code::Select => bounds(input, pos)?.1,
                Code::KeepVarint | Code::DropVarint => varint(input, pos)?.1,
                Code::KeepFixed64 | Code::DropFixed64 => fixed(input, pos, 8)?,
                Code::KeepFixed32 | Code::DropFixed32 => fixed(input, pos, 4)?,
                _ => {
                    let (number, wire_type) = split_tag(tag)?;
                    skip(input, pos, number, wire_type, depth)?
                }
            };
            match op.code {
                Code::KeepFixed64 | Code::KeepFixed32 | Code::KeepGroup if minimal => continue,
                Code::KeepVarint if minimal && minimal_varint(input, value, pos) => continue,
                Code::KeepLen if minimal && minimal_len(input, value, pos) => continue,
                _ => {}
            }
            if run < start {
                self.work.out.extend_from_slice(slice(input, run, start));
            }
            run = pos;
            match op.code {
                Code::Unknown | Code::DropLen | Code::DropVarint | Code::DropFixed64 | Code::DropFixed32 => {}
                Code::KeepVarint | Code::KeepLen | Code::KeepFixed64 | Code::KeepFixed32 | Code::KeepGroup | Code::KeepPacked => {
                    let packed = op.code == Code::KeepPacked;
                    copy_minimal(&mut self.work.out, tag, slice(input, value, pos), packed)?;
                }
                Code::Descend => {
                    let Some(descent) = table.descents.get(op.arg as usize) else { continue };
                    let (begin, end) = bounds(input, value)?;
                    let element = Element { descent: *descent, counter: ordinals + op.arg as usize, key: None };
                    self.element(&element, slice(input, begin, end), depth)?;
                }
                Code::Select => {
                    let Some(select) = table.selects.get(op.arg as usize) else { continue };
                    let (begin, end) = bounds(input, value)?;
                    self.select(table, select, ordinals, slice(input, begin, end), depth)?;
                }
                Code::GeneralizeNumber | Code::GeneralizeText | Code::GeneralizeTimestamp => self.generalize(op, tag, slice(input, value, pos))?,
                Code::PlaceLatitude => latitude = coordinate(tag, slice(input, value, pos)),
                Code::PlaceLongitude => longitude = coordinate(tag, slice(input, value, pos)),
                Code::Pseudonymize => self.pseudonymize(op, tag, slice(input, value, pos))?,
                Code::Seal => {
                    if let Some(sealed) = self.work.sealed.get_mut(op.arg as usize) {
                        push_varint(sealed, tag);
                        sealed.extend_from_slice(slice(input, value, pos));
                    }
                }
            }
        }
        if run < pos {
            self.work.out.extend_from_slice(slice(input, run, pos));
        }
        if let (Some(pair), Some(lat), Some(lng)) = (&table.place, latitude, longitude)
            && let Some((lat, lng)) = generalize::place(pair.resolution, lat, lng)
        {
            for ((number, kind), degrees) in [(pair.latitude, lat), (pair.longitude, lng)] {
                push_float(&mut self.work.out, number, kind, degrees);
            }
        }
        self.work.ordinals.truncate(ordinals);
        Ok(())
    }

    /// A message or element: it comes out only if something visible is in it.
    fn element(&mut self, element: &Element<'_>, input: &[u8], depth: u32) -> Result<(), Refusal> {
        let Descent { node, number, repeated } = element.descent;
        let marks = self.marks();
        if self.seals {
            let ordinal = self.work.ordinals.get(element.counter).copied().unwrap_or(0);
            self.work.path.push((number, ordinal));
        }
        let start = self.work.out.len();
        push_tag(&mut self.work.out, number, LEN);
        // Room for the length, guessed by the input's; mended behind.
        let at = self.work.out.len();
        let room = varint_len(input.len() as u64);
        self.work.out.extend_from_slice(&[0; 10][..room]);
        if let Some(key) = &element.key {
            key.push(&mut self.work.out);
        }
        let body = self.work.out.len();
        self.message(node, input, depth + 1)?;
        let visible = self.work.out.len() > body;
        if visible {
            mend_length(&mut self.work.out, at, room);
        } else {
            self.work.out.truncate(start);
        }
        if self.seals {
            self.settle(element, repeated && visible, &marks);
            self.work.path.pop();
            if visible && let Some(count) = self.work.ordinals.get_mut(element.counter) {
                *count += 1;
            }
        }
        Ok(())
    }

    fn marks(&self) -> [usize; SLOTS_MAX] {
        let mut marks = [0; SLOTS_MAX];
        for (mark, sealed) in marks.iter_mut().zip(&self.work.sealed) {
            *mark = sealed.len();
        }
        marks
    }

    /// What was sealed inside an element goes into a fragment of its own, if the element came out and could be taken for
    /// another; else it is wrapped as a record of the message around it, where appending merges or adds it.
    fn settle(&mut self, element: &Element<'_>, addressed: bool, marks: &[usize; SLOTS_MAX]) {
        let work = &mut *self.work;
        for ((sealed, fragments), mark) in work.sealed.iter_mut().zip(&mut work.fragments).zip(marks) {
            let inside = sealed.len() - mark;
            if inside == 0 {
                continue;
            }
            if addressed {
                push_fragment(fragments, &work.path, slice(sealed, *mark, sealed.len()));
                sealed.truncate(*mark);
            } else {
                let mut key = Vec::new();
                if let Some(record) = &element.key {
                    record.push(&mut key);
                }
                let mut header = [0u8; 20];
                let mut len = write_varint(&mut header, u64::from(element.descent.number) << 3 | u64::from(LEN));
                len += write_varint(&mut header[len..], (key.len() + inside) as u64);
                let gap = len + key.len();
                sealed.resize(mark + gap + inside, 0);
                sealed.copy_within(*mark..mark + inside, mark + gap);
                sealed[*mark..mark + len].copy_from_slice(&header[..len]);
                sealed[mark + len..mark + gap].copy_from_slice(&key);
            }
        }
    }

    /// An element whose case is told by a key inside it, wherever the key stands. No key, two keys, no case: stripped.
    fn select(&mut self, table: &NodeTable, select: &SelectTable, ordinals: usize, input: &[u8], depth: u32) -> Result<(), Refusal> {
        let mut found = None;
        for record in Reader::new(input) {
            // Broken before its case is known, it counts as hidden: hidden elements give no verdict.
            let Ok(record) = record else { return Ok(()) };
            if record.number == select.by
                && let Some(key) = key_of(select.kind, record.value)
                && found.replace(key).is_some()
            {
                return Ok(());
            }
        }
        let Some(key) = found else { return Ok(()) };
        let Some(node) = select.case(key) else { return Ok(()) };
        let Some(descent) = table.descents.get(select.descent as usize) else { return Ok(()) };
        let key = KeyRecord { number: select.by, wire_type: select.kind.wire_type(), key };
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
                if let Some(image) = generalize::text(&site.how, slice(value, begin, end)) {
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
                let made = push_image(site.kind, &site.how, value, out)?;
                // INVARIANT: absent and zero look alike where the schema can't tell them apart: 0 is not sent, so an image of
                // something else that comes out as 0 is not sent either.
                if !made || site.implicit && out.get(image..).is_some_and(|image| image.iter().all(|byte| *byte == 0)) {
                    out.truncate(start);
                }
            }
            _ => {
                let (mut at, end) = bounds(value, 0)?;
                push_varint(out, tag);
                let place = out.len();
                let room = varint_len((end - at) as u64);
                out.extend_from_slice(&[0; 10][..room]);
                while at < end {
                    let number = slice(value, at, end);
                    at += number_len(site.kind, number)?;
                    // An element without an image (NaN) is left out.
                    push_image(site.kind, &site.how, number, out)?;
                }
                mend_length(out, place, room);
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
            let made = if site.sequence { pseudonyms.of(program, index, b"origin") } else { pseudonyms.of(program, index, &number.to_be_bytes()) };
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

    fn seal_groups(&mut self) -> Result<(), Refusal> {
        let work = &mut *self.work;
        let clear = work.out.len();
        for ((sealer, sealed), fragments) in self.bindings.sealers.iter_mut().zip(&work.sealed).zip(&work.fragments) {
            work.plain.clear();
            if !sealed.is_empty() {
                push_fragment(&mut work.plain, &[], sealed);
            }
            work.plain.extend_from_slice(fragments);
            work.group.clear();
            sealer.seal(SEALED_FIELD, slice(&work.out, 0, clear), &mut work.plain, &mut work.aad, &mut work.group)?;
            work.out.extend_from_slice(&work.group);
        }
        Ok(())
    }
}

/// As many slots as there are sets of key holders.
const SLOTS_MAX: usize = crate::veil::policy::Holders::ALL.len();

struct Element<'a> {
    descent: Descent,
    /// Where the count of its field's elements stands.
    counter: usize,
    /// The key that chose its case.
    key: Option<KeyRecord<'a>>,
}

#[inline]
fn slice(input: &[u8], begin: usize, end: usize) -> &[u8] {
    input.get(begin..end).unwrap_or_default()
}

#[inline]
fn fixed(input: &[u8], pos: usize, bytes: usize) -> Result<usize, Refusal> {
    if input.len() - pos >= bytes { Ok(pos + bytes) } else { Err(Refusal::Truncated) }
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

/// The record of the key that chose the case of an element.
#[derive(Clone, Copy)]
struct KeyRecord<'a> {
    number: u32,
    wire_type: u8,
    key: Key<'a>,
}

impl KeyRecord<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        push_tag(out, self.number, self.wire_type);
        match (self.key, self.wire_type) {
            (Key::Bytes(text), _) => {
                push_varint(out, text.len() as u64);
                out.extend_from_slice(text);
            }
            (Key::Int(_, raw), FIXED32) => out.extend_from_slice(&(raw as u32).to_le_bytes()),
            (Key::Int(_, raw), FIXED64) => out.extend_from_slice(&raw.to_le_bytes()),
            (Key::Int(_, raw), _) => push_varint(out, raw),
        }
    }
}
