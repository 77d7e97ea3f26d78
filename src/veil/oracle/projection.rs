//! All that a recipient's bytes may depend on. Made slowly and plainly: records are read one by one, every place is looked up in
//! the schema and the decision, and nothing is taken from the tables that a view is compiled to.

use std::collections::BTreeMap;

use super::fate::{Fate, Oracle};
use super::records::{Value, read};
use super::values::{classes, degrees, float_of, image, key_of, plain};
use crate::veil::outcome::Refusal;
use crate::veil::policy::Holders;
use crate::veil::schema::{NodeId, SiteId};
use crate::veil::terms::{Axis, Generalizer, Treatment};
use crate::veil::transform::generalize;
use crate::veil::wire::{DEPTH_MAX, varint_len};

/// What a recipient may learn of a frame. Equal projections, equal bytes; sealed groups of equal length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Projection {
    /// What is in clear, in the order in which it is sent.
    pub clear: Vec<Shown>,
    /// Bytes of text in the sealed group of each slot, padding included.
    pub sealed: Vec<usize>,
}

/// One record in clear.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shown {
    /// The field number.
    pub number: u32,
    /// What it holds.
    pub holds: Holds,
}

/// What a record in clear holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holds {
    /// A kept value, or an image.
    Value(Plain),
    /// Pseudonyms; they are functions of these values.
    StandIns {
        /// Of which site.
        site: SiteId,
        /// Whether they stand in one run.
        packed: bool,
        /// Of what.
        of: Vec<Class>,
    },
    /// A message or element in which something is visible.
    Message {
        /// The key that chose its case.
        key: Option<(u32, Plain)>,
        /// What is visible.
        inside: Vec<Shown>,
    },
}

/// A value in its only form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plain {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 5.
    Fixed32(u32),
    /// Wire type 2.
    Bytes(Vec<u8>),
    /// Wire type 2: varints in one run.
    Run(Vec<u64>),
    /// Wire type 3, with its end tag. What is kept as one is kept to the byte inside.
    Group(Vec<u8>),
}

/// The values that have one pseudonym.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Text or bytes.
    Bytes(Vec<u8>),
    /// A number as its type has it.
    Number(i128),
    /// A counter, in the range of its type that is counted in.
    Counter(u64),
}

/// A message on the way out.
#[derive(Default)]
struct Walked {
    shown: Vec<Shown>,
    /// How many elements of each field are shown.
    elements: BTreeMap<u32, usize>,
    /// Per set of key holders: bytes of sealed records that stand in this message itself.
    loose: BTreeMap<Holders, usize>,
    /// Per set: the way to an element that is in clear, and the bytes that are sealed in it.
    placed: BTreeMap<Holders, Vec<Fragment>>,
}

/// The way to an element, and bytes in it.
type Fragment = (Vec<(u32, usize)>, usize);

impl Oracle<'_> {
    /// The projection of a frame.
    ///
    /// # Errors
    /// Where what is visible can't be told from what is not: the frame is refused. Hidden subtrees are not a cause.
    pub fn project(&self, frame: &[u8]) -> Result<Projection, Refusal> {
        let walked = self.message(NodeId(0), frame, 1)?;
        let sealed = self.slots().iter().map(|slot| {
            let loose = walked.loose.get(slot).copied().unwrap_or(0);
            let own = if loose == 0 { 0 } else { fragment_len(&(Vec::new(), loose)) };
            let placed = walked.placed.get(slot).map_or(0, |placed| placed.iter().map(fragment_len).sum());
            // Up to the next multiple of 32, at least 32 (manual, "Sealed groups").
            (own + placed).max(1).next_multiple_of(32)
        });
        Ok(Projection { clear: walked.shown, sealed: sealed.collect() })
    }

    fn message(&self, node: NodeId, input: &[u8], depth: u32) -> Result<Walked, Refusal> {
        let mut walked = Walked::default();
        if !self.decides() {
            return Ok(walked);
        }
        if depth > DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        let mut place: [Option<f64>; 2] = [None, None];
        for record in read(input, depth)? {
            match self.fate(Some(node), record.number, record.value.wire_type()) {
                Fate::Unknown | Fate::Key | Fate::Hidden => {}
                Fate::Leaf(id, site, Treatment::Encrypt) => {
                    if let Some(holders) = self.holders(id) {
                        *walked.loose.entry(holders).or_default() += tag_len(site.number) + record.raw.len();
                    }
                }
                Fate::Leaf(_, site, Treatment::Generalize) => match site.facts.generalize {
                    Some(Generalizer::Place { axis: Axis::Latitude, .. }) => place[0] = degrees(&record.value),
                    Some(Generalizer::Place { axis: Axis::Longitude, .. }) => place[1] = degrees(&record.value),
                    Some(ref how) => {
                        if let Some(image) = image(site, how, &record.value)? {
                            walked.show(record.number, Holds::Value(image));
                        }
                    }
                    None => {}
                },
                Fate::Leaf(id, site, Treatment::Pseudonymize) => {
                    let (packed, of) = classes(site, &record.value)?;
                    walked.show(record.number, Holds::StandIns { site: id, packed, of });
                }
                Fate::Leaf(_, site, Treatment::Keep) => walked.show(record.number, Holds::Value(plain(site, &record)?)),
                Fate::Leaf(_, _, Treatment::Strip) => {}
                Fate::Message(child, repeated) => {
                    let Value::Len(inside) = record.value else { continue };
                    let inside = self.message(child, inside, depth + 1)?;
                    walked.element(record.number, repeated, None, inside);
                }
                Fate::Select(select) => {
                    let Value::Len(element) = record.value else { continue };
                    let Some((by, key, case)) = key_of(select, element) else { continue };
                    if !self.is_open(case) {
                        continue;
                    }
                    let inside = self.message(case, element, depth + 1)?;
                    walked.element(record.number, true, Some((by, key)), inside);
                }
            }
        }
        if let (Some((latitude, longitude, resolution)), [Some(north), Some(east)]) = (self.place(node), place)
            && let Some((north, east)) = generalize::place(resolution, north, east)
        {
            for (site, degrees) in [(latitude, north), (longitude, east)] {
                walked.show(site.number, Holds::Value(float_of(site.kind, degrees)));
            }
        }
        Ok(walked)
    }
}

impl Walked {
    fn show(&mut self, number: u32, holds: Holds) {
        self.shown.push(Shown { number, holds });
    }

    /// An element in which something is visible is sent, and what is sealed in it is addressed or merged. One in which nothing
    /// is visible is sealed whole, with its key, in the message around it.
    fn element(&mut self, number: u32, repeated: bool, key: Option<(u32, Plain)>, inside: Walked) {
        let visible = !inside.shown.is_empty();
        let ordinal = self.elements.get(&number).copied().unwrap_or(0);
        let key_len = key.as_ref().map_or(0, |(by, key)| tag_len(*by) + plain_len(key));
        for (holders, bytes) in inside.loose {
            if repeated && visible {
                self.placed.entry(holders).or_default().push((vec![(number, ordinal)], bytes));
            } else {
                let content = key_len + bytes;
                *self.loose.entry(holders).or_default() += tag_len(number) + varint_len(content as u64) + content;
            }
        }
        for (holders, fragments) in inside.placed {
            let deeper = fragments.into_iter().map(|(way, bytes)| ([vec![(number, ordinal)], way].concat(), bytes));
            self.placed.entry(holders).or_default().extend(deeper);
        }
        if visible {
            *self.elements.entry(number).or_default() += 1;
            self.show(number, Holds::Message { key, inside: inside.shown });
        }
    }
}

/// `varint(levels + 1) | levels × (varint(number) | varint(ordinal)) | varint(length) | body` (manual, "Sealed groups").
fn fragment_len((way, bytes): &Fragment) -> usize {
    let levels: usize = way.iter().map(|(number, ordinal)| varint_len(u64::from(*number)) + varint_len(*ordinal as u64)).sum();
    varint_len(way.len() as u64 + 1) + levels + varint_len(*bytes as u64) + bytes
}

fn tag_len(number: u32) -> usize {
    varint_len(u64::from(number) << 3)
}

fn plain_len(plain: &Plain) -> usize {
    match plain {
        Plain::Varint(value) => varint_len(*value),
        Plain::Fixed64(_) => 8,
        Plain::Fixed32(_) => 4,
        Plain::Bytes(bytes) => varint_len(bytes.len() as u64) + bytes.len(),
        Plain::Run(run) => {
            let len: usize = run.iter().map(|value| varint_len(*value)).sum();
            varint_len(len as u64) + len
        }
        Plain::Group(inside) => inside.len(),
    }
}
