//! Where two frames differ, in the words of their schema.

use std::fmt;

use super::fate::{Fate, Oracle};
use super::tree::{Message, Record, Value};
use crate::veil::schema::{NodeId, SiteId};
use crate::veil::terms::Treatment;

/// A place in which two frames differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Differs {
    /// The path in the schema; for what it does not know, the message and the field number.
    pub path: String,
    /// What stands there.
    pub what: What,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A leaf, and what is done to it.
    Site(SiteId, Treatment),
    /// Nothing in the schema, or not with this wire type.
    Unknown,
    /// A message or list in which everything is stripped.
    Hidden,
    /// A message or element: that it is there.
    Message,
    /// The key of an element.
    Key,
    /// Bytes that are no record.
    Broken,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (", self.path)?;
        match self.what {
            What::Site(_, treatment) => write!(f, "{treatment})"),
            What::Unknown => f.write_str("not in the schema)"),
            What::Hidden => f.write_str("all of it strip)"),
            What::Message => f.write_str("that it is there)"),
            What::Key => f.write_str("the key of an element)"),
            What::Broken => f.write_str("broken bytes)"),
        }
    }
}

/// Every place in which two frames differ, each once.
pub(super) fn differences(oracle: &Oracle<'_>, a: &Message, b: &Message) -> Vec<Differs> {
    let mut found = Vec::new();
    compare(oracle, a, b, &mut found);
    found.sort();
    found.dedup();
    found
}

fn compare(oracle: &Oracle<'_>, a: &Message, b: &Message, found: &mut Vec<Differs>) {
    // What is the same at both ends is left aside first: frames may be long.
    let same = a.records.iter().zip(&b.records).take_while(|(a, b)| a == b).count();
    let (rest_a, rest_b) = (a.records.get(same..).unwrap_or_default(), b.records.get(same..).unwrap_or_default());
    let end = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(a, b)| a == b).count();
    let cut = |rest: &[Record]| rest.len() - end;
    let (rest_a, rest_b) = (rest_a.get(..cut(rest_a)).unwrap_or_default(), rest_b.get(..cut(rest_b)).unwrap_or_default());
    let (mut only_a, mut only_b) = (unmatched(rest_a, rest_b), unmatched(rest_b, rest_a));
    if only_a.is_empty() && only_b.is_empty() {
        // The same records in another order: what is hidden moved, or else everything that stands elsewhere did.
        let moved: Vec<Differs> =
            a.records.iter().zip(&b.records).filter(|(a, b)| a != b).map(|(record, _)| describe(oracle, a.node, record)).collect();
        let hidden: Vec<Differs> = moved.iter().filter(|differs| !is_visible(differs.what)).cloned().collect();
        found.extend(if hidden.is_empty() { moved } else { hidden });
    }
    // Messages of one field are compared with each other, in order.
    only_a.retain(|record| {
        let partner = only_b.iter().position(|other| {
            other.number == record.number
                && matches!((&record.value, &other.value), (Value::Message { message: a, .. }, Value::Message { message: b, .. }) if a.node == b.node)
        });
        let Some(at) = partner else { return true };
        if let (Value::Message { message: inner_a, pad: pad_a }, Value::Message { message: inner_b, pad: pad_b }) =
            (&record.value, &only_b.remove(at).value)
        {
            compare(oracle, inner_a, inner_b, found);
            if inner_a == inner_b || pad_a != pad_b {
                found.push(describe(oracle, a.node, record));
            }
        }
        false
    });
    for (message, records) in [(a, only_a), (b, only_b)] {
        records.into_iter().for_each(|record| all_of(oracle, message.node, record, found));
    }
    if a.tail != b.tail {
        found.push(Differs { path: path_of(oracle, a.node), what: What::Broken });
    }
}

/// The records of `a` that `b` has not; equal ones count.
fn unmatched<'m>(a: &'m [Record], b: &[Record]) -> Vec<&'m Record> {
    let mut left: Vec<&Record> = b.iter().collect();
    let mut only = Vec::new();
    for record in a {
        match left.iter().position(|other| *other == record) {
            Some(at) => drop(left.remove(at)),
            None => only.push(record),
        }
    }
    only
}

fn all_of(oracle: &Oracle<'_>, node: Option<NodeId>, record: &Record, found: &mut Vec<Differs>) {
    found.push(describe(oracle, node, record));
    if let Value::Message { message, .. } = &record.value {
        message.records.iter().for_each(|inner| all_of(oracle, message.node, inner, found));
    }
}

fn describe(oracle: &Oracle<'_>, node: Option<NodeId>, record: &Record) -> Differs {
    let field = oracle.field(node, record.number);
    let path = field.map_or_else(|| format!("{}#{}", path_of(oracle, node), record.number), |field| field.path.as_str().to_owned());
    let what = match oracle.fate(node, record.number, record.value.wire_type()) {
        Fate::Unknown => What::Unknown,
        Fate::Key => What::Key,
        Fate::Hidden => What::Hidden,
        Fate::Leaf(id, _, treatment) => What::Site(id, treatment),
        Fate::Message(..) | Fate::Select(_) => What::Message,
    };
    Differs { path, what }
}

fn path_of(oracle: &Oracle<'_>, node: Option<NodeId>) -> String {
    let node = node.and_then(|node| oracle.schema().nodes().get(node.0 as usize));
    node.map_or_else(|| "an element without a case".to_owned(), |node| node.path.as_str().to_owned())
}

fn is_visible(what: What) -> bool {
    match what {
        What::Site(_, treatment) => treatment == Treatment::Keep,
        What::Message => true,
        What::Unknown | What::Hidden | What::Key | What::Broken => false,
    }
}
