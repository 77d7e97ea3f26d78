//! The hot loop. One walk over the bytes of a frame: maximal runs of kept records are copied as they are, everything else by
//! its instruction; lengths of messages are mended behind. What cannot be judged is refused whole, and nothing of it leaves.

use std::sync::Arc;

use super::bindings::Bindings;
use super::compile::{Class, Descent, Key, NodeTable, Op, PlacePair, Program};
use super::frame::{Raw, SubjectValue, Veiled};
use super::several::Elements;
use crate::veil::outcome::Refusal;
use crate::veil::schema::SEALED_FIELD;
use crate::veil::transform::fragment::push_fragment;
use crate::veil::transform::generalize;
use crate::veil::transform::number::push_float;
use crate::veil::wire::{
    DEPTH_MAX, FIXED32, FIXED64, LEN, TAG_MIN, VARINT, bounds, mend_length, minimal_len, minimal_run, minimal_varint, push_tag,
    push_varint, short_end, skip, slice, split_tag, varint, varint_len, window, write_varint,
};

/// A program and the bindings of one subject and stream.
#[derive(Debug)]
pub struct View {
    pub(super) program: Arc<Program>,
    pub(super) bindings: Bindings,
}

/// Room to work in: buffers that live as long as a stream and serve all its views, so that a frame allocates nothing.
#[derive(Debug, Default)]
pub struct Space {
    pub(super) out: Vec<u8>,
    /// How many elements with a subject of their own came out.
    pub(super) borne: usize,
    /// Per slot: sealed records of the message that is being walked, as a stack.
    pub(super) sealed: [Vec<u8>; SLOTS_MAX],
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
        self.walk(frame, space, (None, None), true)?;
        Ok(Veiled(&space.out))
    }

    /// The same for a frame that is likely about whom the last one was about, who is looked for in the same walk. `None`: it is not,
    /// or can't be judged, or the walk does not come by; nothing has changed, and [`Raw::read_subject`] knows more.
    pub fn apply_about<'s>(&mut self, frame: Raw<'_>, subject: &SubjectValue, space: &'s mut Space) -> Option<Veiled<'s>> {
        self.walk(frame, space, (None, Some(subject.as_bytes())), true).ok()?;
        Some(Veiled(&space.out))
    }

    /// The same into `space`; without `elements`, those that have a subject of their own are left out. Whether there is anything to
    /// send: a frame that is not `expected` comes only with such an element.
    #[inline]
    pub(super) fn walk(
        &mut self,
        frame: Raw<'_>,
        space: &mut Space,
        (elements, about): (Option<&mut dyn Elements>, Option<&[u8]>),
        expected: bool,
    ) -> Result<bool, Refusal> {
        let work = &mut *space;
        work.out.clear();
        work.out.reserve(frame.0.len() + 64);
        let seals = !self.program.slots.is_empty();
        if seals {
            work.sealed.iter_mut().chain(&mut work.fragments).for_each(Vec::clear);
            work.path.clear();
            work.ordinals.clear();
        }
        // A cast, so that all parts of the walk live as long as each other.
        let elements = elements.map(|elements| elements as &mut dyn Elements);
        let mut walk = Walk { program: &self.program, bindings: &mut self.bindings, work, seals, elements, about, is_about: false };
        let done = walk.message(0, frame.0, 1).and_then(|()| {
            if walk.about.is_some() && !walk.is_about {
                return Err(Refusal::NoSubject);
            }
            let comes = expected || walk.work.borne > 0;
            if walk.seals && comes { walk.seal_groups().map(|()| true) } else { Ok(comes) }
        });
        done.inspect_err(|_| space.out.clear())
    }
}

pub(super) struct Walk<'w> {
    pub(super) program: &'w Program,
    pub(super) bindings: &'w mut Bindings,
    pub(super) work: &'w mut Space,
    pub(super) seals: bool,
    /// Who knows the views of elements that have a subject of their own.
    pub(super) elements: Option<&'w mut (dyn Elements + 'w)>,
    /// Whom the frame is to be about, and whether it says so.
    pub(super) about: Option<&'w [u8]>,
    pub(super) is_about: bool,
}

impl<'w> Walk<'w> {
    pub(super) fn message(&mut self, node: u32, input: &[u8], depth: u32) -> Result<(), Refusal> {
        let program = self.program;
        let Some(table) = program.nodes.get(node as usize) else { return Ok(()) };
        if depth > DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        let ordinals = self.work.ordinals.len();
        if self.seals {
            self.work.ordinals.resize(ordinals + table.descents.len(), 0);
        }
        let mut here = Here { table, ordinals, depth, latitude: None, longitude: None };
        let mut pos = 0;
        // Everything from `run` to the record at hand is kept as it is, and not yet copied.
        let mut run = 0;
        while pos < input.len() {
            let start = pos;
            // First the end of the record: nothing is judged before it is known to be whole.
            let Met { mut op, tag, value, end, minimal } = meet(table, input, pos, depth)?;
            pos = end;
            match op.class {
                Class::Keep if minimal => continue,
                Class::KeepPacked if minimal && minimal_packed(input, value, end) => continue,
                Class::Subject => {
                    if depth == 1 {
                        self.meet_subject(slice(input, value, end))?;
                    }
                    op = Op::new(op.code, op.arg);
                    if op.class == Class::Keep && minimal {
                        continue;
                    }
                }
                _ => {}
            }
            push_run(&mut self.work.out, input, run, start);
            run = pos;
            if op.class != Class::Drop {
                self.special(&mut here, op, tag, slice(input, value, pos))?;
            } else if tag < TAG_MIN {
                return Err(Refusal::BadTag);
            }
        }
        push_run(&mut self.work.out, input, run, pos);
        if let Some(pair) = &table.place {
            push_place(&mut self.work.out, pair, here.latitude, here.longitude);
        }
        if self.seals {
            self.work.ordinals.truncate(ordinals);
        }
        Ok(())
    }

    /// The frame says whom it is about.
    #[inline]
    fn meet_subject(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let Some(about) = self.about else { return Ok(()) };
        let (begin, end) = bounds(value, 0)?;
        self.is_about = slice(value, begin, end) == about;
        if self.is_about { Ok(()) } else { Err(Refusal::TwoSubjects) }
    }

    /// A message or element: it comes out only if something visible is in it.
    pub(super) fn element(&mut self, element: &Element<'_>, input: &[u8], depth: u32) -> Result<(), Refusal> {
        let Descent { node, number, repeated } = element.descent;
        let marks = if self.seals { self.marks() } else { [0; SLOTS_MAX] };
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

/// A message on the way through it.
pub(super) struct Here<'t> {
    pub(super) table: &'t NodeTable,
    /// Where the counts of its elements stand.
    pub(super) ordinals: usize,
    pub(super) depth: u32,
    pub(super) latitude: Option<f64>,
    pub(super) longitude: Option<f64>,
}

/// A record on the way: what is done with it, and where it lies.
struct Met {
    op: Op,
    tag: u64,
    /// Where its value begins: behind the tag.
    value: usize,
    end: usize,
    /// Whether tag and varint, or tag and length, were written in their shortest form.
    minimal: bool,
}

/// Finds the instruction and the end of the record at `pos`. One look at eight bytes is enough for nearly all of them.
#[inline(always)]
fn meet(table: &NodeTable, input: &[u8], pos: usize, depth: u32) -> Result<Met, Refusal> {
    let window = window(input, pos);
    let first = window as u8;
    let Some(&op) = table.dense.get(usize::from(first)) else { return meet_long(table, input, pos, depth) };
    let Some((end, minimal)) = short_end(window, pos) else { return meet_long(table, input, pos, depth) };
    if end > input.len() {
        return Err(Refusal::Truncated);
    }
    Ok(Met { op, tag: first.into(), value: pos + 1, end, minimal })
}

/// Records with long tags, long varints or long lengths, and groups.
#[inline(never)]
fn meet_long(table: &NodeTable, input: &[u8], pos: usize, depth: u32) -> Result<Met, Refusal> {
    let (tag, value) = varint(input, pos)?;
    let (number, wire_type) = split_tag(tag)?;
    let op = usize::try_from(tag).ok().and_then(|tag| table.dense.get(tag)).copied().unwrap_or_else(|| table.sparse(tag));
    let end = skip(input, value, number, wire_type, depth)?;
    let minimal = value - pos == varint_len(tag)
        && match wire_type {
            VARINT => minimal_varint(input, value, end),
            LEN => minimal_len(input, value, end),
            _ => true,
        };
    Ok(Met { op, tag, value, end, minimal })
}

#[inline]
fn minimal_packed(input: &[u8], value: usize, end: usize) -> bool {
    bounds(input, value).is_ok_and(|(begin, _)| minimal_run(slice(input, begin, end)))
}

/// Copies `input[begin..end]`. Short runs take a copy of fixed length, which needs no call; what is too much is cut off again.
#[inline(always)]
fn push_run(out: &mut Vec<u8>, input: &[u8], begin: usize, end: usize) {
    if begin >= end {
        return;
    }
    let run = input.get(begin..).unwrap_or_default();
    match (end - begin, run.first_chunk::<SHORT_RUN>()) {
        (len @ ..=SHORT_RUN, Some(chunk)) => {
            let at = out.len() + len;
            out.extend_from_slice(chunk);
            out.truncate(at);
        }
        _ => out.extend_from_slice(slice(input, begin, end)),
    }
}

/// Runs up to this many bytes are copied by a copy of fixed length.
const SHORT_RUN: usize = 32;

#[inline(never)]
fn push_place(out: &mut Vec<u8>, pair: &PlacePair, latitude: Option<f64>, longitude: Option<f64>) {
    let (Some(latitude), Some(longitude)) = (latitude, longitude) else { return };
    if let Some((latitude, longitude)) = generalize::place(pair.resolution, latitude, longitude) {
        for ((number, kind), degrees) in [(pair.latitude, latitude), (pair.longitude, longitude)] {
            push_float(out, number, kind, degrees);
        }
    }
}

/// As many slots as there are sets of key holders.
const SLOTS_MAX: usize = crate::veil::policy::Holders::ALL.len();

pub(super) struct Element<'a> {
    pub(super) descent: Descent,
    /// Where the count of its field's elements stands.
    pub(super) counter: usize,
    /// The key that chose its case.
    pub(super) key: Option<KeyRecord<'a>>,
}

/// The record of the key that chose the case of an element.
#[derive(Clone, Copy)]
pub(super) struct KeyRecord<'a> {
    pub(super) number: u32,
    pub(super) wire_type: u8,
    pub(super) key: Key<'a>,
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
