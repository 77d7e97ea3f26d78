//! The promise in its literal form: equal projections, then equal clear bytes, groups of equal length, and an equal verdict.

use std::collections::BTreeSet;

use super::dice::Dice;
use super::differs::{Differs, What, differences};
use super::fate::Oracle;
use super::projection::Projection;
use super::shrink::shrink;
use super::tree::Message;
use crate::veil::outcome::Refusal;
use crate::veil::schema::{SEALED_FIELD, SiteId};
use crate::veil::wire::{Reader, Value};

/// Bytes behind the text of a sealed group: the tag of both suites.
const TAG_BYTES: usize = 16;

/// A view: a frame in, what is sent out.
pub type UnderTest<'v> = dyn FnMut(&[u8]) -> Result<Vec<u8>, Refusal> + 'v;

/// What a recipient sees of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: the frame was refused.
    Refused,
    /// Bytes.
    Sent {
        /// Without the sealed groups.
        clear: Vec<u8>,
        /// Bytes of padded text in each group.
        groups: Vec<usize>,
    },
}

/// What was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Variations that had the projection of their frame.
    pub kept: u64,
    /// Variations that had another one: nothing is promised about them.
    pub discarded: u64,
    /// Sites in which a kept variation differed from its frame.
    pub covered: BTreeSet<SiteId>,
}

/// Two frames that must look alike and do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The frames, as small as they could be made.
    pub frames: [Vec<u8>; 2],
    /// What the recipient sees of them.
    pub seen: [Seen; 2],
    /// Where the frames differ: what leaks is one of these.
    pub fields: Vec<Differs>,
    /// What was tried with the frame until then.
    pub tried: Tally,
}

impl Seen {
    /// Takes the sealed groups out of what was sent.
    pub fn of(sent: Result<Vec<u8>, Refusal>) -> Self {
        let Ok(sent) = sent else { return Self::Refused };
        let (mut clear, mut groups) = (Vec::new(), Vec::new());
        let (mut reader, mut begin) = (Reader::new(&sent), 0);
        while let Some(record) = reader.next() {
            let end = reader.position();
            match record {
                Ok(record) if record.number == SEALED_FIELD => match record.value {
                    Value::Len(group) => groups.push(text_len(group)),
                    _ => clear.extend(sent.get(begin..end).unwrap_or_default()),
                },
                Ok(_) => clear.extend(sent.get(begin..end).unwrap_or_default()),
                // What can't be read is compared as it is.
                Err(_) => clear.extend(sent.get(begin..).unwrap_or_default()),
            }
            begin = end;
        }
        Self::Sent { clear, groups }
    }

    /// The clear bytes; none where the frame was refused.
    pub fn clear(&self) -> &[u8] {
        match self {
            Self::Refused => &[],
            Self::Sent { clear, .. } => clear,
        }
    }
}

/// A group without its header (RFC 9605 §4.3: a byte, and up to eight for each of key id and counter) and tag. Headers grow with
/// the counter, which counts frames and not what is in them.
fn text_len(group: &[u8]) -> usize {
    let part = |bits: u8| if bits & 8 == 0 { 0 } else { usize::from(bits & 7) + 1 };
    let header = group.first().map_or(0, |config| 1 + part(config >> 4) + part(config & 0x0f));
    group.len().saturating_sub(header + TAG_BYTES)
}

impl Oracle<'_> {
    /// Tries so many variations of a frame.
    ///
    /// # Errors
    /// The first two frames that must look alike and do not, made small.
    pub fn check(&self, frame: &[u8], tries: usize, dice: &mut Dice, view: &mut UnderTest<'_>) -> Result<Tally, Box<Leak>> {
        let mut tally = Tally::default();
        let first = Message::parse(self, frame);
        let (projection, seen) = (self.project(frame), Seen::of(view(frame)));
        for _ in 0..tries {
            let (other, bytes) = self.another(&first, frame, dice);
            if !same(&projection, &self.project(&bytes)) {
                tally.discarded += 1;
                continue;
            }
            tally.kept += 1;
            if Seen::of(view(&bytes)) != seen {
                return Err(Box::new(Leak { tried: tally, ..self.leak(first, other, view) }));
            }
            tally.covered.extend(differences(self, &first, &other).iter().filter_map(|differs| match differs.what {
                What::Site(site, _) => Some(site),
                What::Unknown | What::Hidden | What::Message | What::Key | What::Broken => None,
            }));
        }
        Ok(tally)
    }

    /// A variation that is another frame: an edit may find nothing to do.
    fn another(&self, first: &Message, frame: &[u8], dice: &mut Dice) -> (Message, Vec<u8>) {
        let mut other = first.clone();
        loop {
            self.vary_message(&mut other, dice);
            let bytes = other.encode();
            if bytes != frame {
                return (other, bytes);
            }
        }
    }

    /// Whether two frames must look alike and do not: then what is seen of each.
    pub fn tells_apart(&self, frames: [&[u8]; 2], view: &mut UnderTest<'_>) -> Option<[Seen; 2]> {
        let [a, b] = frames;
        if !same(&self.project(a), &self.project(b)) {
            return None;
        }
        let (a, b) = (Seen::of(view(a)), Seen::of(view(b)));
        (a != b).then_some([a, b])
    }

    fn leak(&self, a: Message, b: Message, view: &mut UnderTest<'_>) -> Leak {
        let mut still = |a: &Message, b: &Message| self.tells_apart([&a.encode(), &b.encode()], view).is_some();
        // A view that answers differently to the same frame leaks something else than this frame: it stays as it is.
        let (a, b) = if still(&a, &b) { shrink(a, b, &mut still) } else { (a, b) };
        let frames = [a.encode(), b.encode()];
        let seen = [Seen::of(view(&frames[0])), Seen::of(view(&frames[1]))];
        Leak { frames, seen, fields: differences(self, &a, &b), tried: Tally::default() }
    }
}

/// Two refused frames look alike: the recipient gets neither.
fn same(a: &Result<Projection, Refusal>, b: &Result<Projection, Refusal>) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => a == b,
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

impl Leak {
    /// Where the clear bytes begin to differ; `None` where only groups or the verdict do.
    pub fn first_difference(&self) -> Option<usize> {
        let [a, b] = &self.seen;
        let (a, b) = (a.clear(), b.clear());
        (a != b).then(|| a.iter().zip(b).take_while(|(a, b)| a == b).count())
    }
}
