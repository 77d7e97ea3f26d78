//! Random side files: facts for most fields, whole, by field or by key, always ones that fit.

use std::fmt::Write as _;

use prost_types::field_descriptor_proto::Type;

use super::super::Dice;
use super::schemas::{Drawn, Holds, Kind};
use crate::veil::terms::{Category, Sensitivity};

/// The text of a side file.
pub(super) struct Side<'k> {
    kinds: &'k [Kind],
    text: String,
    /// Roles stand once in a schema.
    sequenced: bool,
}

impl<'k> Side<'k> {
    pub(super) fn draw(kinds: &'k [Kind], dice: &mut Dice) -> String {
        let mut side = Self { kinds, text: String::new(), sequenced: false };
        for (index, kind) in kinds.iter().enumerate() {
            let _ = writeln!(side.text, "[\"drawn.M{index}\"]");
            let resolution = dice.below(16);
            for field in &kind.fields {
                side.field(index, field, resolution, dice);
            }
        }
        side.text
    }

    fn line(&mut self, selector: &str, facts: &str) {
        let _ = writeln!(self.text, "'{selector}' = {{ {facts} }}");
    }

    fn field(&mut self, index: usize, field: &Drawn, resolution: usize, dice: &mut Dice) {
        if field.required {
            return self.line(&field.name, "sensitivity = \"public\", category = \"operation\"");
        }
        if let Some(axis) = field.axis {
            let how = format!("{}, generalize = {{ place = {{ h3_resolution = {resolution}, axis = \"{axis}\" }} }}", facts(dice));
            return self.line(&field.name, &how);
        }
        // Nobody classifies everything.
        if dice.one_in(8) {
            return;
        }
        match &field.holds {
            Holds::Message(other) => match dice.below(4) {
                0 => self.line(&field.name, &facts(dice)),
                1..3 if field.repeated => self.elements(field, *other, dice),
                _ => {}
            },
            Holds::Map(key, value) => self.map(field, *key, *value, dice),
            Holds::Enum | Holds::Group => self.line(&field.name, &facts(dice)),
            Holds::Timestamp => {
                let how = if dice.one_in(2) { ", generalize = { time_bucket = \"15min\" }" } else { "" };
                self.line(&field.name, &format!("{}{how}", facts(dice)));
            }
            Holds::Scalar(of) => {
                let mut text = format!("{}{}", facts(dice), generalizer(*of, dice));
                if index == 0 && is_integer(*of) && !field.repeated && !self.sequenced && dice.one_in(3) {
                    self.sequenced = true;
                    text.push_str(", role = \"sequence\"");
                }
                self.line(&field.name, &text);
            }
        }
    }

    /// Elements by a field of theirs; facts for one or two others.
    fn elements(&mut self, field: &Drawn, other: usize, dice: &mut Dice) {
        let Some(kind) = self.kinds.get(other) else { return };
        let keys: Vec<&Drawn> = kind
            .fields
            .iter()
            .filter(|inner| {
                !inner.repeated
                    && !inner.required
                    && match inner.holds {
                        Holds::Scalar(of) => of != Type::Double && of != Type::Float && inner.axis.is_none(),
                        Holds::Enum => true,
                        Holds::Timestamp | Holds::Group | Holds::Message(_) | Holds::Map(..) => false,
                    }
            })
            .collect();
        let Some(first) = dice.pick(&keys) else { return };
        // Sometimes a second key, which decides where the first is absent.
        let second = dice.pick(&keys).filter(|second| second.name != first.name && dice.one_in(2));
        let mut ranked: Vec<&str> = Vec::new();
        for key in [Some(first), second].into_iter().flatten() {
            ranked.push(&key.name);
            let leaf = |inner: &&Drawn| {
                !ranked.contains(&&*inner.name) && !inner.required && inner.axis.is_none() && matches!(inner.holds, Holds::Scalar(_))
            };
            let leaves: Vec<&Drawn> = kind.fields.iter().filter(leaf).collect();
            for value in values(&key.holds, dice) {
                let Some(leaf) = dice.pick(&leaves) else { return };
                let Holds::Scalar(of) = leaf.holds else { return };
                let text = format!("{}{}", facts(dice), generalizer(of, dice));
                self.line(&format!("{}[{}={value}].{}", field.name, key.name, leaf.name), &text);
            }
        }
    }

    fn map(&mut self, field: &Drawn, key: Type, value: Result<Type, usize>, dice: &mut Dice) {
        if dice.one_in(3) {
            return self.line(&field.name, &facts(dice));
        }
        let inside = value.err().and_then(|other| {
            let kind = self.kinds.get(other)?;
            let leaves: Vec<&Drawn> = kind
                .fields
                .iter()
                .filter(|inner| !inner.required && inner.axis.is_none() && matches!(inner.holds, Holds::Scalar(_)))
                .collect();
            dice.pick(&leaves).copied()
        });
        // All entries alike, in two parts.
        if dice.one_in(3) {
            self.line(&format!("{}.key", field.name), &format!("{}{}", facts(dice), generalizer(key, dice)));
            match (value, inside) {
                (Ok(of), _) => self.line(&format!("{}.value", field.name), &format!("{}{}", facts(dice), generalizer(of, dice))),
                (Err(_), Some(leaf)) => self.line(&format!("{}.value.{}", field.name, leaf.name), &facts(dice)),
                (Err(_), None) => {}
            }
            return;
        }
        for case in values(&Holds::Scalar(key), dice) {
            match (value, inside) {
                (Ok(of), _) => {
                    let text = format!("{}{}", facts(dice), generalizer(of, dice));
                    self.line(&format!("{}[{case}]", field.name), &text);
                }
                (Err(_), Some(leaf)) if dice.one_in(2) => {
                    self.line(&format!("{}[{case}].{}", field.name, leaf.name), &facts(dice));
                }
                (Err(_), _) => self.line(&format!("{}[{case}]", field.name), &facts(dice)),
            }
        }
    }
}

/// Values of a key, no two the same. Sometimes so many that they are searched.
fn values(key: &Holds, dice: &mut Dice) -> Vec<String> {
    let many = if dice.one_in(5) { 12 } else { 1 + dice.below(3) };
    let all: Vec<String> = match key {
        Holds::Enum => ["NONE", "ONE", "MANY", "LESS"].map(str::to_owned).to_vec(),
        Holds::Scalar(Type::Bool) => ["true", "false"].map(str::to_owned).to_vec(),
        Holds::Scalar(Type::String | Type::Bytes) => {
            (0..many).map(|at| if at == 2 { "\"\"".to_owned() } else { format!("\"k.{at}\"") }).collect()
        }
        Holds::Scalar(Type::Int32 | Type::Int64 | Type::Sint32 | Type::Sint64 | Type::Sfixed32 | Type::Sfixed64) => {
            (0..many as i64).map(|at| (at * 150 - 151).to_string()).collect()
        }
        _ => (0..many as i64).map(|at| (at * 150).to_string()).collect(),
    };
    all.into_iter().take(many).collect()
}

fn facts(dice: &mut Dice) -> String {
    let sensitivity = dice.pick(Sensitivity::ALL).expect("one");
    // Categories that identify are drawn often: pseudonyms need them.
    let category = if dice.one_in(2) { Category::Identity } else { *dice.pick(Category::ALL).expect("one") };
    let floor = if dice.one_in(12) { ", floor = \"strip\"" } else { "" };
    format!("sensitivity = \"{sensitivity}\", category = \"{category}\"{floor}")
}

fn is_integer(of: Type) -> bool {
    !matches!(of, Type::Double | Type::Float | Type::Bool | Type::String | Type::Bytes | Type::Enum | Type::Message | Type::Group)
}

fn generalizer(of: Type, dice: &mut Dice) -> String {
    if dice.one_in(3) {
        return String::new();
    }
    let how = match of {
        Type::Bool | Type::Bytes | Type::Enum | Type::Message | Type::Group => return String::new(),
        Type::String => format!("prefix_chars = {}", 1 + dice.below(4)),
        Type::Double | Type::Float => match dice.below(4) {
            0 => format!("decimals = {}", dice.below(4)),
            1 => "buckets = [-1.5, 0.0, 10.25, 1e6]".to_owned(),
            2 => "time_bucket = \"1h\"".to_owned(),
            _ => format!("step = {}", [0.5, 5.0, 0.1][dice.below(3)]),
        },
        Type::Sint32 | Type::Sint64 if dice.one_in(2) => "step = 7".to_owned(),
        Type::Sint32 | Type::Sint64 => "buckets = [-100, 0, 85, 90]".to_owned(),
        Type::Uint32 | Type::Uint64 | Type::Fixed32 | Type::Fixed64 if dice.one_in(3) => "buckets = [0, 85, 90, 1000]".to_owned(),
        _ => match dice.below(3) {
            0 => format!("step = {}", [5, 60, 4096][dice.below(3)]),
            1 => format!("time_bucket = \"30s\", unit = \"{}\"", ["s", "ms", "us", "ns"][dice.below(4)]),
            _ => "buckets = [0, 85, 90, 1000]".to_owned(),
        },
    };
    format!(", generalize = {{ {how} }}")
}
