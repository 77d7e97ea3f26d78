//! Other frames from a frame: edits that should be invisible, and some that are not. Which are is for the projection to say.

use super::dice::Dice;
use super::draw;
use super::fate::{Fate, Oracle};
use super::tree::{Message, Record, Value};
use crate::veil::schema::{Content, NodeId, Site};
use crate::veil::terms::{Kind, Treatment};
use crate::veil::wire::varint;

impl Oracle<'_> {
    /// Another frame, some edits away.
    pub fn vary(&self, frame: &[u8], dice: &mut Dice) -> Vec<u8> {
        let mut message = Message::parse(self, frame);
        self.vary_message(&mut message, dice);
        message.encode()
    }

    pub(super) fn vary_message(&self, message: &mut Message, dice: &mut Dice) {
        for _ in 0..1 + dice.below(4) {
            // The frame itself is one message among, perhaps, thousands.
            if dice.one_in(3) {
                self.edit(message, dice);
                continue;
            }
            let ways = message.ways();
            if let Some(inner) = dice.pick(&ways).and_then(|way| message.at_mut(way)) {
                self.edit(inner, dice);
            }
        }
    }

    /// Whether the value of such a record should not be told by anything.
    pub(super) fn is_hidden(&self, node: Option<NodeId>, number: u32, wire_type: u8) -> bool {
        match self.fate(node, number, wire_type) {
            Fate::Unknown | Fate::Hidden | Fate::Leaf(_, _, Treatment::Strip) => true,
            Fate::Leaf(..) | Fate::Message(..) | Fate::Select(_) | Fate::Key => false,
        }
    }

    fn edit(&self, message: &mut Message, dice: &mut Dice) {
        let node = message.node;
        let hidden = |record: &Record| self.is_hidden(node, record.number, record.value.wire_type());
        // Mostly something hidden; sometimes anything.
        let among: Vec<usize> = if dice.one_in(8) {
            (0..message.records.len()).collect()
        } else {
            (0..message.records.len()).filter(|at| message.records.get(*at).is_some_and(hidden)).collect()
        };
        let picked = dice.pick(&among).copied();
        match dice.below(16) {
            0 => {
                if let Some(at) = picked {
                    message.records.remove(at);
                }
            }
            1 => {
                if let Some(copy) = picked.and_then(|at| message.records.get(at)).cloned() {
                    message.records.insert(dice.below(message.records.len() + 1), copy);
                }
            }
            2 | 3 => self.insert_hidden_leaf(message, dice),
            4 => {
                if let Some(record) = picked.and_then(|at| message.records.get_mut(at)) {
                    record.value = draw::other_wire_type(dice);
                }
            }
            5 => {
                let at = dice.below(message.records.len() + 1);
                let record = if dice.one_in(6) { draw::deep_group(1_999, 1 + dice.below(62)) } else { draw::unknown(dice) };
                message.records.insert(at, record);
            }
            6 => {
                if let Some(record) = picked.and_then(|at| message.records.get_mut(at)) {
                    // Long ones change how long the lengths around them are.
                    let len = if dice.one_in(4) { 100 + dice.below(200) } else { dice.below(40) };
                    record.value = Value::bytes(dice.bytes(len));
                }
            }
            7 | 8 => self.insert_invisible(message, dice),
            9 => {
                // Order among hidden and visible records.
                if let Some(at) = picked {
                    let record = message.records.remove(at);
                    message.records.insert(dice.below(message.records.len() + 1), record);
                }
            }
            10 | 11 => {
                let at = dice.below(message.records.len());
                if let Some(record) = message.records.get_mut(at) {
                    self.lengthen(node, record, dice);
                }
            }
            12 => self.other_preimage(message, dice),
            13 => self.other_secret(message, dice),
            14 => self.split_run(message, picked, dice),
            _ => self.move_key(message, dice),
        }
    }

    fn insert_hidden_leaf(&self, message: &mut Message, dice: &mut Dice) {
        let Some(node) = message.node.and_then(|node| self.schema().nodes().get(node.0 as usize)) else { return };
        let hidden: Vec<_> = node
            .fields
            .iter()
            .filter(|field| match &field.content {
                Content::Leaf(id) => self.treatment(*id) == Treatment::Strip,
                Content::Message(child) => !self.is_open(*child),
                Content::Select(_) => true,
                Content::Discriminator => false,
            })
            .collect();
        let Some(field) = dice.pick(&hidden) else { return };
        let mut budget = 4;
        if let Some(record) = draw::record(self.schema(), field, dice, 5, &mut budget) {
            message.records.insert(dice.below(message.records.len() + 1), record);
        }
    }

    /// A message or element in which nothing is visible: without its key, with two, with a key of a hidden case or of none.
    fn insert_invisible(&self, message: &mut Message, dice: &mut Dice) {
        let Some(node) = message.node.and_then(|node| self.schema().nodes().get(node.0 as usize)) else { return };
        let nested: Vec<_> = node.fields.iter().filter(|field| matches!(field.content, Content::Message(_) | Content::Select(_))).collect();
        let Some(field) = dice.pick(&nested) else { return };
        let inside = match &field.content {
            Content::Message(child) => draw::invisible(self, *child, dice, 5),
            Content::Select(select) => {
                let mut budget = 6;
                let mut element = draw::element(self.schema(), select, dice, 5, &mut budget);
                let Some(by) = dice.pick(&select.keys) else { return };
                let keys = |element: &Message| element.records.iter().filter(|record| record.number == by.by).count();
                match dice.below(4) {
                    0 => element.records.retain(|record| record.number != by.by),
                    1 => {
                        while keys(&element) < 2 {
                            let Some((value, _)) = dice.pick(&by.cases) else { return };
                            let at = dice.below(element.records.len() + 1);
                            element.records.insert(at, Record::new(by.by, draw::key(by.kind, value)));
                        }
                    }
                    2 => {
                        let other = draw::number_or_text(by.kind, dice);
                        element.records.iter_mut().filter(|record| record.number == by.by).for_each(|record| record.value = other.clone());
                    }
                    _ => {
                        let closed: Vec<_> = by.cases.iter().filter(|(_, case)| !self.is_open(*case)).collect();
                        if let Some((value, _)) = dice.pick(&closed) {
                            element.records.retain(|record| record.number != by.by);
                            element.records.insert(0, Record::new(by.by, draw::key(by.kind, value)));
                        }
                    }
                }
                element
            }
            Content::Leaf(_) | Content::Discriminator => return,
        };
        let mut record = Record::new(field.number, Value::Message { message: inside, pad: 0 });
        draw::pad(&mut record, dice, 6);
        message.records.insert(dice.below(message.records.len() + 1), record);
    }

    /// Tags, lengths and varints longer than they need be, also in a run.
    fn lengthen(&self, node: Option<NodeId>, record: &mut Record, dice: &mut Dice) {
        if dice.one_in(2) {
            record.tag_pad = dice.below(4);
        }
        let run = match self.fate(node, record.number, record.value.wire_type()) {
            Fate::Leaf(_, site, treatment) => site.repeated && site.kind.wire_type() == 0 && treatment != Treatment::Encrypt,
            _ => false,
        };
        match &mut record.value {
            Value::Bytes { bytes, .. } if run && !dice.one_in(3) => {
                let (mut out, mut at) = (Vec::new(), 0);
                while let Ok((value, end)) = varint(bytes, at) {
                    super::tree::push_padded(&mut out, value, if dice.one_in(2) { 1 + dice.below(3) } else { 0 });
                    at = end;
                }
                out.extend(bytes.iter().skip(at));
                *bytes = out;
            }
            Value::Varint { pad, .. } | Value::Bytes { pad, .. } | Value::Message { pad, .. } => *pad = dice.below(5),
            Value::Fixed64(_) | Value::Fixed32(_) | Value::Group(_) => {}
        }
    }

    fn with_treatment<'m>(&self, message: &'m mut Message, treatment: Treatment, dice: &mut Dice) -> Option<(&Site, &'m mut Record)> {
        let node = message.node;
        let find = |record: &Record| match self.fate(node, record.number, record.value.wire_type()) {
            Fate::Leaf(id, _, found) if found == treatment => self.site(id),
            _ => None,
        };
        let among: Vec<usize> = (0..message.records.len()).filter(|at| message.records.get(*at).and_then(find).is_some()).collect();
        let record = message.records.get_mut(*dice.pick(&among)?)?;
        Some((find(record)?, record))
    }

    /// Another value with, perhaps, the same image.
    fn other_preimage(&self, message: &mut Message, dice: &mut Dice) {
        let Some((site, record)) = self.with_treatment(message, Treatment::Generalize, dice) else { return };
        let near = (dice.below(9) as i64 - 4) * if dice.one_in(2) { 1 } else { 1 + dice.below(60) as i64 };
        record.value = match &record.value {
            Value::Fixed64(bits) if site.kind == Kind::Double && !dice.one_in(4) => {
                Value::Fixed64((f64::from_bits(*bits) + near as f64 / 512.0).to_bits())
            }
            Value::Fixed32(bits) if site.kind == Kind::Float && !dice.one_in(4) => {
                Value::Fixed32((f32::from_bits(*bits) + near as f32 / 512.0).to_bits())
            }
            Value::Varint { value, pad } if !dice.one_in(4) => Value::Varint { value: value.wrapping_add_signed(near), pad: *pad },
            Value::Bytes { bytes, pad } if site.kind == Kind::String && !dice.one_in(4) => {
                Value::Bytes { bytes: [&bytes[..], dice.text().as_bytes()].concat(), pad: *pad }
            }
            _ => draw::leaf(site, dice),
        };
    }

    /// Another value under seal: as long, or not.
    fn other_secret(&self, message: &mut Message, dice: &mut Dice) {
        let Some((site, record)) = self.with_treatment(message, Treatment::Encrypt, dice) else { return };
        let any_length = dice.one_in(3);
        match &mut record.value {
            Value::Bytes { bytes, .. } if !any_length => *bytes = dice.bytes(bytes.len()),
            Value::Fixed64(value) => *value = dice.word(),
            Value::Fixed32(value) => *value = dice.word() as u32,
            Value::Varint { value, .. } if !any_length => *value ^= (dice.word() & 0x3f) & (*value >> 1),
            value => *value = draw::leaf(site, dice),
        }
        if let Value::Group(_) = record.value {
            record.value = draw::group(record.number, dice);
        }
    }

    /// One run in two, at any byte.
    fn split_run(&self, message: &mut Message, picked: Option<usize>, dice: &mut Dice) {
        let Some(at) = picked else { return };
        let Some(Record { number, value: Value::Bytes { bytes, .. }, .. }) = message.records.get_mut(at) else { return };
        let (number, behind) = (*number, bytes.split_off(dice.below(bytes.len() + 1)));
        message.records.insert(at + 1, Record::new(number, Value::bytes(behind)));
    }

    /// The key of an element to another place in it; sometimes its pads, too.
    fn move_key(&self, message: &mut Message, dice: &mut Dice) {
        let Some(node) = message.node.and_then(|node| self.schema().nodes().get(node.0 as usize)) else { return };
        let Some(by) = node.fields.iter().find(|field| matches!(field.content, Content::Discriminator)) else { return };
        let Some(at) = message.records.iter().position(|record| record.number == by.number) else { return };
        let mut key = message.records.remove(at);
        draw::pad(&mut key, dice, 2);
        message.records.insert(dice.below(message.records.len() + 1), key);
    }
}
