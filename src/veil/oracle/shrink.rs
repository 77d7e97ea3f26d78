//! Two frames that tell something are made small as long as they go on telling it, so that what is left says what leaks.

use super::tree::{Message, Record, Value, Way};

/// How often the view is asked; then what is small is small enough.
const ASKED_MAX: usize = 6_000;

type Still<'s> = dyn FnMut(&Message, &Message) -> bool + 's;

/// Removes records from both frames, from one, and shortens values, until nothing more can go.
pub(super) fn shrink(a: Message, b: Message, still: &mut Still<'_>) -> (Message, Message) {
    let mut pair = Pair { a, b, still, asked: 0 };
    while pair.asked < ASKED_MAX && (pair.drop_runs() | pair.drop_records() | pair.shorten()) {}
    (pair.a, pair.b)
}

struct Pair<'s, 'f> {
    a: Message,
    b: Message,
    still: &'s mut Still<'f>,
    asked: usize,
}

impl Pair<'_, '_> {
    fn accept(&mut self, a: Message, b: Message) -> bool {
        if (a == self.a && b == self.b) || self.asked >= ASKED_MAX {
            return false;
        }
        self.asked += 1;
        let still = (self.still)(&a, &b);
        if still {
            (self.a, self.b) = (a, b);
        }
        still
    }

    /// Many records at once, half of a message first: long frames get short soon.
    fn drop_runs(&mut self) -> bool {
        let mut any = false;
        for way in self.a.ways() {
            let mut size = self.a.at(&way).map_or(0, |inner| inner.records.len()) / 2;
            while size > 1 {
                let mut at = 0;
                while let Some(run) = run_of(&self.a, &way, at, size) {
                    let a = edited(&self.a, &way, |inner| drop(inner.records.drain(at..at + run.len())));
                    let b = edited(&self.b, &way, |inner| {
                        for record in &run {
                            if let Some(same) = inner.records.iter().position(|found| found == record) {
                                inner.records.remove(same);
                            }
                        }
                    });
                    if self.accept(a, b) {
                        any = true;
                    } else {
                        at += size;
                    }
                }
                size /= 2;
            }
        }
        any
    }

    fn drop_records(&mut self) -> bool {
        let mut any = false;
        // The same record in both; then in one alone.
        for (way, at) in places(&self.a) {
            let Some(record) = record_at(&self.a, &way, at).cloned() else { continue };
            let without = |message: &Message, way: &Way, at| edited(message, way, |inner| drop(inner.records.remove(at)));
            if let Some((other_way, other)) = twin(&self.b, &self.a, &way, &record)
                && self.accept(without(&self.a, &way, at), without(&self.b, &other_way, other))
            {
                any = true;
                continue;
            }
            any |= self.accept(without(&self.a, &way, at), self.b.clone());
        }
        for (way, at) in places(&self.b) {
            if record_at(&self.b, &way, at).is_some() {
                any |= self.accept(self.a.clone(), edited(&self.b, &way, |inner| drop(inner.records.remove(at))));
            }
        }
        any
    }

    fn shorten(&mut self) -> bool {
        let mut any = false;
        for (way, at) in places(&self.a) {
            let Some(record) = record_at(&self.a, &way, at).cloned() else { continue };
            for shorter in shorter(&record) {
                let put = |message: &Message, way: &Way, at: usize| {
                    edited(message, way, |inner| inner.records.get_mut(at).into_iter().for_each(|place| *place = shorter.clone()))
                };
                let twin = twin(&self.b, &self.a, &way, &record);
                let both = twin.map_or_else(|| self.b.clone(), |(way, at)| put(&self.b, &way, at));
                if self.accept(put(&self.a, &way, at), both) {
                    any = true;
                    break;
                }
            }
        }
        for (way, at) in places(&self.b) {
            let Some(record) = record_at(&self.b, &way, at).cloned() else { continue };
            for shorter in shorter(&record) {
                let b = edited(&self.b, &way, |inner| inner.records.get_mut(at).into_iter().for_each(|place| *place = shorter.clone()));
                if self.accept(self.a.clone(), b) {
                    any = true;
                    break;
                }
            }
        }
        for way in self.a.ways() {
            let tailless = |message: &Message| edited(message, &way, |inner| inner.tail.clear());
            any |= self.accept(tailless(&self.a), tailless(&self.b));
            any |= self.accept(tailless(&self.a), self.b.clone());
        }
        for way in self.b.ways() {
            any |= self.accept(self.a.clone(), edited(&self.b, &way, |inner| inner.tail.clear()));
        }
        any
    }
}

/// Every record, the last and innermost first, so that removing one moves none that is still to come.
fn places(message: &Message) -> Vec<(Way, usize)> {
    let mut places = Vec::new();
    for way in message.ways() {
        let records = message.at(&way).map_or(0, |inner| inner.records.len());
        places.extend((0..records).map(|at| (way.clone(), at)));
    }
    places.sort_by(|(a, i), (b, j)| [&b[..], &[*j]].concat().cmp(&[&a[..], &[*i]].concat()));
    places
}

/// So many records from there on, or as many as there are.
fn run_of(message: &Message, way: &[usize], at: usize, size: usize) -> Option<Vec<Record>> {
    let records = &message.at(way)?.records;
    let run = records.get(at..(at + size).min(records.len()))?;
    (!run.is_empty()).then(|| run.to_vec())
}

fn record_at<'m>(message: &'m Message, way: &[usize], at: usize) -> Option<&'m Record> {
    message.at(way)?.records.get(at)
}

/// Where an equal record stands in the other frame, in a message of the same kind.
fn twin(other: &Message, own: &Message, way: &[usize], record: &Record) -> Option<(Way, usize)> {
    let node = own.at(way)?.node;
    let mut ways = other.ways();
    // The same place, if it has it.
    ways.sort_by_key(|found| found != way);
    ways.into_iter().find_map(|way| {
        let inner = other.at(&way).filter(|inner| inner.node == node)?;
        let at = inner.records.iter().position(|found| found == record)?;
        Some((way, at))
    })
}

fn edited(message: &Message, way: &[usize], edit: impl FnOnce(&mut Message)) -> Message {
    let mut message = message.clone();
    if let Some(inner) = message.at_mut(way) {
        edit(inner);
    }
    message
}

/// Smaller forms of a record, the smallest first.
fn shorter(record: &Record) -> Vec<Record> {
    let with = |value: Value| Record { value, ..record.clone() };
    let mut found = Vec::new();
    if record.tag_pad > 0 {
        found.push(Record { tag_pad: 0, ..record.clone() });
    }
    match &record.value {
        Value::Varint { value, pad } => {
            if *pad > 0 {
                found.push(with(Value::varint(*value)));
            }
            found.extend([0, 1, value >> 7].into_iter().filter(|less| less < value).map(|value| with(Value::Varint { value, pad: *pad })));
        }
        Value::Fixed64(value) => found.extend((*value != 0).then(|| with(Value::Fixed64(0)))),
        Value::Fixed32(value) => found.extend((*value != 0).then(|| with(Value::Fixed32(0)))),
        Value::Bytes { bytes, pad } => {
            if *pad > 0 {
                found.push(with(Value::bytes(bytes.clone())));
            }
            for len in [0, bytes.len() / 2, bytes.len().saturating_sub(1)] {
                if len < bytes.len() {
                    found.push(with(Value::Bytes { bytes: bytes[..len].to_vec(), pad: *pad }));
                }
            }
        }
        Value::Message { message, pad } => {
            if *pad > 0 {
                found.push(with(Value::Message { message: message.clone(), pad: 0 }));
            }
        }
        Value::Group(inside) => {
            let mut end = Vec::new();
            crate::veil::wire::push_varint(&mut end, u64::from(record.number) << 3 | 4);
            if *inside != end {
                found.push(with(Value::Group(end)));
            }
        }
    }
    found
}
