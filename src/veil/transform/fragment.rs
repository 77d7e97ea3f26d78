//! Fragments: the plaintext of a sealed group, and how it goes back into the clear frame it was taken from.

use crate::veil::outcome::Refusal;
use crate::veil::wire::{Reader, Record, Value, push_len_prefixed, push_varint, varint};

/// How deep a fragment's path may lead.
const LEVELS_MAX: u64 = 64;

/// Why a group was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The group has no SFrame header, or its plaintext is no list of fragments.
    Malformed,
    /// The group is sealed under another key: not mine.
    OtherKey,
    /// The counter was seen before, or is too old to tell.
    Replayed,
    /// The tag does not match: bent on the way, or moved to another frame.
    Forged,
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the sealed group is malformed",
            Self::OtherKey => "the sealed group is for another key",
            Self::Replayed => "the sealed group was seen before",
            Self::Forged => "the sealed group does not belong to this frame, or was changed",
        })
    }
}

impl std::error::Error for OpenError {}

/// Protobuf bytes and where they belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// (field number, ordinal of the element in the clear frame) per level; empty: the frame itself.
    pub path: Vec<(u32, u32)>,
    /// Records of the message at that place.
    pub body: Vec<u8>,
}

/// Appends a fragment: `path` leads to the element it belongs into.
pub(crate) fn push_fragment(out: &mut Vec<u8>, path: &[(u32, u32)], body: &[u8]) {
    push_varint(out, path.len() as u64 + 1);
    for (number, ordinal) in path {
        push_varint(out, u64::from(*number));
        push_varint(out, u64::from(*ordinal));
    }
    push_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// Reads the plaintext of a group; `None` where it is no list of fragments.
pub(super) fn parse_fragments(plain: &[u8]) -> Option<Vec<Fragment>> {
    let mut found = Vec::new();
    let mut rest = Varints { input: plain, at: 0 };
    // Zero ends the list: it is padding.
    while let Some(levels) = rest.next().and_then(|first| first.checked_sub(1)) {
        if levels > LEVELS_MAX {
            return None;
        }
        let mut path = Vec::new();
        for _ in 0..levels {
            path.push((u32::try_from(rest.next()?).ok()?, u32::try_from(rest.next()?).ok()?));
        }
        let len = usize::try_from(rest.next()?).ok()?;
        let end = rest.at.checked_add(len)?;
        found.push(Fragment { path, body: plain.get(rest.at..end)?.to_vec() });
        rest.at = end;
    }
    Some(found)
}

struct Varints<'a> {
    input: &'a [u8],
    at: usize,
}

impl Varints<'_> {
    fn next(&mut self) -> Option<u64> {
        let (value, end) = varint(self.input, self.at).ok()?;
        self.at = end;
        Some(value)
    }
}

/// A frame taken apart: its clear bytes and its sealed groups.
pub fn split(frame: &[u8], sealed_field: u32, announcement_field: u32) -> Result<(Vec<u8>, Vec<&[u8]>), Refusal> {
    let (mut clear, mut groups) = (Vec::with_capacity(frame.len()), Vec::new());
    let mut reader = Reader::new(frame);
    let mut begin = 0;
    while let Some(record) = reader.next() {
        let end = reader.position();
        match record? {
            Record { number, value: Value::Len(group) } if number == sealed_field => groups.push(group),
            Record { number, .. } if number == announcement_field => {}
            _ => clear.extend_from_slice(frame.get(begin..end).unwrap_or_default()),
        }
        begin = end;
    }
    Ok((clear, groups))
}

/// Puts fragments back where they belong. A fragment that leads to no element of the clear frame is refused.
pub fn merge(clear: &[u8], fragments: &[Fragment]) -> Result<Vec<u8>, OpenError> {
    let borrowed: Vec<Place<'_>> = fragments.iter().map(|f| (f.path.as_slice(), f.body.as_slice())).collect();
    merge_level(clear, &borrowed)
}

/// The rest of the way to an element, and what belongs there.
type Place<'a> = (&'a [(u32, u32)], &'a [u8]);

fn merge_level(message: &[u8], fragments: &[Place<'_>]) -> Result<Vec<u8>, OpenError> {
    let mut out = Vec::with_capacity(message.len() + fragments.iter().map(|f| f.1.len() + 4).sum::<usize>());
    let mut placed = 0;
    let mut counts: Vec<(u32, u32)> = Vec::new();
    let mut reader = Reader::new(message);
    let mut begin = 0;
    while let Some(record) = reader.next() {
        let record = record.map_err(|_| OpenError::Malformed)?;
        let end = reader.position();
        let ordinal = match counts.iter_mut().find(|count| count.0 == record.number) {
            Some(count) => {
                count.1 += 1;
                count.1
            }
            None => {
                counts.push((record.number, 0));
                0
            }
        };
        let inside: Vec<_> = fragments
            .iter()
            .filter_map(|(path, body)| match path.split_first() {
                Some((first, rest)) if *first == (record.number, ordinal) => Some((rest, *body)),
                _ => None,
            })
            .collect();
        match record.value {
            Value::Len(value) if !inside.is_empty() => {
                placed += inside.len();
                push_len_prefixed(&mut out, record.number, &merge_level(value, &inside)?);
            }
            _ => out.extend_from_slice(message.get(begin..end).unwrap_or_default()),
        }
        begin = end;
    }
    for (_, body) in fragments.iter().filter(|(path, _)| path.is_empty()) {
        placed += 1;
        out.extend_from_slice(body);
    }
    if placed == fragments.len() { Ok(out) } else { Err(OpenError::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fragment_that_leads_nowhere_is_refused() {
        let astray = Fragment { path: vec![(9, 2)], body: vec![0x08, 0x01] };
        assert_eq!(merge(b"\x4a\x00\x4a\x00", &[astray]), Err(OpenError::Malformed));
    }

    #[test]
    fn what_is_no_list_of_fragments_is_not_opened() {
        let endless = [&[1][..], &[0xff; 9], &[1]].concat();
        for plain in [&[2, 9][..], &[2, 9, 1], &[1, 5, 1], &[66], &endless] {
            assert_eq!(parse_fragments(plain), None, "{plain:?}");
        }
        let inside = Fragment { path: vec![(9, 0)], body: vec![0x08, 0x01] };
        for clear in [&b"\x4a"[..], b"\x4a\x01\x08", b"\x48\x01"] {
            assert_eq!(merge(clear, std::slice::from_ref(&inside)), Err(OpenError::Malformed), "{clear:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_padding_ends_it(paths in proptest::collection::vec(proptest::collection::vec((1u32..1000, 0u32..300), 0..4), 0..6), padding in 0usize..40) {
            let mut plain = Vec::new();
            let written: Vec<Fragment> = paths.into_iter().map(|path| Fragment { path, body: vec![0x08, 0x01] }).collect();
            for fragment in &written {
                push_fragment(&mut plain, &fragment.path, &fragment.body);
            }
            plain.resize(plain.len() + padding, 0);
            prop_assert_eq!(parse_fragments(&plain), Some(written));
        }

        #[test]
        fn hostile_plaintext_never_panics(plain in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(found) = parse_fragments(&plain) {
                let _ = merge(&plain, &found);
            }
        }
    }
}
