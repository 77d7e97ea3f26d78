//! Frames before and after: raw ones have no public way to their bytes, veiled ones are made by [`super::View::apply`] alone.

use std::fmt;
use std::io::Write;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::veil::outcome::Refusal;
use crate::veil::schema::SubjectPath;
use crate::veil::terms::Kind;
use crate::veil::wire::{Reader, Value, unzigzag};

/// Frames as a source sent them, in one buffer that is shared by reference.
#[derive(Clone)]
pub struct Frames {
    buffer: Bytes,
    places: Vec<Range<u32>>,
}

/// A frame as a source sent it.
#[derive(Clone, Copy)]
pub struct Raw<'a>(pub(super) &'a [u8]);

/// A frame as one recipient may see it.
pub struct Veiled<'a>(pub(super) &'a [u8]);

/// What a frame says whom it is about: for looking up, not for showing.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct SubjectValue(Vec<u8>);

impl Frames {
    /// Takes frames that lie in `buffer` at `places`. Places outside the buffer are refused.
    pub fn new(buffer: Bytes, places: Vec<Range<u32>>) -> Result<Self, Refusal> {
        let inside = |place: &Range<u32>| place.start <= place.end && place.end as usize <= buffer.len();
        if places.iter().all(inside) { Ok(Self { buffer, places }) } else { Err(Refusal::Truncated) }
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many bytes they lie in.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// One frame.
    pub fn get(&self, index: usize) -> Option<Raw<'_>> {
        let place = self.places.get(index)?;
        self.buffer.get(place.start as usize..place.end as usize).map(Raw)
    }

    /// The same frames in memory of their own: what they lie in may be part of something much larger.
    pub fn apart(&self) -> Self {
        let mut buffer = BytesMut::with_capacity(self.places.iter().map(|place| (place.end - place.start) as usize).sum());
        let mut places = Vec::with_capacity(self.places.len());
        for place in &self.places {
            let start = buffer.len() as u32;
            buffer.extend_from_slice(self.buffer.get(place.start as usize..place.end as usize).unwrap_or_default());
            places.push(start..buffer.len() as u32);
        }
        Self { buffer: buffer.freeze(), places }
    }

    /// Leaves out the frames for which `keep` is false; it is asked in order.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut index = 0;
        self.places.retain(|_| {
            index += 1;
            keep(index - 1)
        });
        if self.places.len() < self.places.capacity() / 2 {
            self.places.shrink_to_fit();
        }
    }
}

impl<'a> Raw<'a> {
    /// A frame in somebody's own memory, such as a recording that is tried against a policy.
    pub fn new(frame: &'a [u8]) -> Self {
        Self(frame)
    }

    /// How long it is, in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whom the frame is about. Reads the top level and the messages on the way to the field, nothing else.
    pub fn subject(&self, path: &SubjectPath) -> Result<SubjectValue, Refusal> {
        let mut value = SubjectValue::default();
        self.read_subject(path, &mut value).map(|()| value)
    }

    /// As [`Self::subject`], into a value that was used before.
    pub fn read_subject(&self, path: &SubjectPath, into: &mut SubjectValue) -> Result<(), Refusal> {
        into.0.clear();
        find(self.0, &path.numbers, path.kind, &mut into.0)?;
        if into.0.is_empty() { Err(Refusal::NoSubject) } else { Ok(()) }
    }
}

/// Finds the value, which is never empty, and only one.
fn find(message: &[u8], numbers: &[u32], kind: Kind, found: &mut Vec<u8>) -> Result<(), Refusal> {
    let Some((number, deeper)) = numbers.split_first() else { return Ok(()) };
    let mut reader = Reader::new(message);
    while let Some(record) = reader.next_of(*number) {
        let record = record?;
        if !deeper.is_empty() {
            if let Value::Len(inner) = record.value {
                find(inner, deeper, kind, found)?;
            }
            continue;
        }
        if found.is_empty() {
            push_subject_text(kind, record.value, found);
            continue;
        }
        let mut again = Vec::new();
        push_subject_text(kind, record.value, &mut again);
        if !again.is_empty() && again != *found {
            return Err(Refusal::TwoSubjects);
        }
    }
    Ok(())
}

/// The form in which subject values are compared and enrolled: text and bytes as they are, integers in decimal.
fn push_subject_text(kind: Kind, value: Value<'_>, out: &mut Vec<u8>) {
    let number = match (kind, value) {
        (Kind::String | Kind::Bytes, Value::Len(bytes)) => return out.extend_from_slice(bytes),
        (Kind::Int64, Value::Varint(v)) => i128::from(v as i64),
        (Kind::Int32, Value::Varint(v)) => i128::from(v as i32),
        (Kind::Uint64, Value::Varint(v)) | (Kind::Fixed64, Value::Fixed64(v)) => i128::from(v),
        (Kind::Uint32, Value::Varint(v)) => i128::from(v as u32),
        (Kind::Sint64, Value::Varint(v)) => i128::from(unzigzag(v)),
        (Kind::Sint32, Value::Varint(v)) => i128::from(unzigzag(u64::from(v as u32))),
        (Kind::Fixed32, Value::Fixed32(v)) => i128::from(v),
        (Kind::Sfixed64, Value::Fixed64(v)) => i128::from(v as i64),
        (Kind::Sfixed32, Value::Fixed32(v)) => i128::from(v as i32),
        _ => return,
    };
    // Writing to memory can't fail.
    let _written = write!(out, "{number}");
}

impl SubjectValue {
    /// The bytes, for the look-up.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> Veiled<'a> {
    /// The bytes, for the wire.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frames({} in {} bytes)", self.places.len(), self.buffer.len())
    }
}

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

impl fmt::Debug for Veiled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Veiled({} bytes)", self.0.len())
    }
}

impl fmt::Debug for SubjectValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectValue")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::schema::SiteId;

    fn path(numbers: &[u32], kind: Kind) -> SubjectPath {
        SubjectPath { numbers: numbers.to_vec(), kind, site: SiteId(0) }
    }

    #[test]
    fn the_subject_is_found_behind_hidden_fields_and_inside_messages() {
        let frame = [0x10, 0x07, 0x1a, 0x05, 0x0a, 0x03, b'a', b'b', b'c'];
        assert_eq!(Raw::new(&frame).subject(&path(&[3, 1], Kind::String)), Ok(SubjectValue(b"abc".to_vec())));
        assert_eq!(Raw::new(&frame).subject(&path(&[2], Kind::Uint32)), Ok(SubjectValue(b"7".to_vec())));
    }

    #[test]
    fn no_subject_an_empty_one_and_two_are_refused() {
        assert_eq!(Raw::new(&[0x10, 0x07]).subject(&path(&[1], Kind::String)), Err(Refusal::NoSubject));
        assert_eq!(Raw::new(&[0x0a, 0x00]).subject(&path(&[1], Kind::String)), Err(Refusal::NoSubject));
        assert_eq!(Raw::new(&[0x0a, 0x01, b'a', 0x0a, 0x01, b'b']).subject(&path(&[1], Kind::String)), Err(Refusal::TwoSubjects));
        assert!(Raw::new(&[0x0a, 0x01, b'a', 0x0a, 0x01, b'a']).subject(&path(&[1], Kind::String)).is_ok());
    }

    #[test]
    fn a_place_outside_its_buffer_is_no_frame() {
        let frames = |place| Frames::new(Bytes::from_static(b"abc"), vec![place]).map(|frames| frames.len());
        assert_eq!(frames(1..3), Ok(1));
        for place in [0..4, 4..4, Range { start: 2, end: 1 }] {
            assert_eq!(frames(place), Err(Refusal::Truncated));
        }
    }

    #[test]
    fn what_is_broken_on_the_way_to_the_subject_refuses_the_frame() {
        for frame in [&[0x1a][..], &[0x1a, 0x01, 0x0a], &[0x1a, 0x02, 0x0a, 0x05], &[0x1a, 0x01, 0x07]] {
            let refusal = Raw::new(frame).subject(&path(&[3, 1], Kind::String)).expect_err("broken");
            assert!(matches!(refusal, Refusal::Truncated | Refusal::BadTag), "{frame:?}: {refusal}");
        }
    }

    #[test]
    fn a_number_that_is_wider_than_its_type_is_the_same_subject() {
        let subject = |kind, frame: &[u8]| Raw::new(frame).subject(&path(&[1], kind)).map(|value| value.as_bytes().to_vec());
        for kind in [Kind::Sint32, Kind::Uint32, Kind::Int32] {
            let value = subject(kind, &[0x08, 0x06]).expect("a subject");
            assert_eq!(subject(kind, &[0x08, 0x86, 0x80, 0x80, 0x80, 0x10]), Ok(value), "{kind:?}");
        }
    }

    #[test]
    fn a_wire_type_that_clashes_is_no_subject() {
        assert_eq!(Raw::new(&[0x08, 0x01]).subject(&path(&[1], Kind::String)), Err(Refusal::NoSubject));
    }

    #[test]
    fn printing_a_frame_shows_its_length_alone() {
        assert_eq!(format!("{:?}", Raw::new(b"secret")), "Raw(6 bytes)");
    }
}
