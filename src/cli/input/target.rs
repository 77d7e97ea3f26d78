//! A place in a message, as text: `vitals.heart_rate_bpm`, `vitals.rr_ms[]` (appends), `labels["ward"]` (map entry),
//! `waveforms[channel=ecg_ii_mv].samples[]` (in the element with that channel, made where it is missing).

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::InputError;
use crate::config::nearest;

/// A place, resolved against a message type: what can be wrong with it was found.
#[derive(Clone, Debug)]
pub(super) struct Target {
    path: String,
    steps: Vec<Step>,
    leaf: Leaf,
}

#[derive(Clone, Debug)]
enum Step {
    Field(FieldDescriptor),
    Element { list: FieldDescriptor, by: FieldDescriptor, is: Value },
}

#[derive(Clone, Debug)]
enum Leaf {
    Field(FieldDescriptor),
    Append(FieldDescriptor),
    Entry(FieldDescriptor, MapKey),
}

impl Target {
    /// Reads a path.
    pub(super) fn resolve(message: &MessageDescriptor, path: &str) -> Result<Self, InputError> {
        let wrong = |why: String| InputError::new(format!("field `{path}`: {why}"));
        let segments = split(path).ok_or_else(|| wrong("a `[` is not closed".into()))?;
        let mut at = message.clone();
        let mut steps = Vec::new();
        let last = segments.len().saturating_sub(1);
        for (i, segment) in segments.iter().enumerate() {
            let (name, index) = match segment.split_once('[') {
                Some((name, rest)) => (name, Some(rest.strip_suffix(']').ok_or_else(|| wrong(format!("`{segment}` must end with `]`")))?)),
                None => (*segment, None),
            };
            let field = at.get_field_by_name(name).ok_or_else(|| {
                let names: Vec<String> = at.fields().map(|field| field.name().to_owned()).collect();
                let hint = nearest(name, names.iter().map(String::as_str)).map(|near| format!("; did you mean `{near}`?"));
                wrong(format!("`{}` has no field `{name}`{}", at.full_name(), hint.unwrap_or_default()))
            })?;
            let done = |steps, leaf| Ok(Self { path: path.to_owned(), steps, leaf });
            if field.is_map() {
                let key = index.ok_or_else(|| wrong(format!("`{name}` is a map; write `{name}[\"key\"]`")))?;
                let entry = map_entry(&field).ok_or_else(|| wrong(format!("`{name}` is a map without entries")))?;
                let parsed = parse(&entry.0, key.trim_matches('"'), None).ok().and_then(Value::into_map_key);
                let key = parsed.ok_or_else(|| wrong(format!("`{key}` is no key of `{name}`")))?;
                return if i == last && scalar(&entry.1) {
                    done(steps, Leaf::Entry(field, key))
                } else {
                    Err(wrong(format!("the values of `{name}` are not scalars")))
                };
            }
            match (index, field.is_list(), field.kind()) {
                (Some(""), true, kind) if i == last && scalar(&kind) => return done(steps, Leaf::Append(field)),
                (Some(select), true, Kind::Message(element)) if i < last && !select.is_empty() => {
                    let (by, is) = select.split_once('=').ok_or_else(|| wrong(format!("write `{name}[field=value]`")))?;
                    let by = element.get_field_by_name(by).filter(|by| !by.is_list() && !by.is_map());
                    let by = by.ok_or_else(|| wrong(format!("`{}` can't be chosen by `{select}`", element.full_name())))?;
                    let is = parse(&by.kind(), is.trim_matches('"'), None).map_err(wrong)?;
                    steps.push(Step::Element { list: field, by, is });
                    at = element;
                }
                (None, false, Kind::Message(inner)) if i < last => {
                    steps.push(Step::Field(field));
                    at = inner;
                }
                (None, false, kind) if i == last && scalar(&kind) => return done(steps, Leaf::Field(field)),
                (_, true, Kind::Message(_)) => return Err(wrong(format!("`{name}` is a list of messages; write `{name}[field=value].…`"))),
                (_, true, _) => return Err(wrong(format!("`{name}` is a list; write `{name}[]` at the end"))),
                (Some(_), false, _) => return Err(wrong(format!("`{name}` is not a list"))),
                (None, false, Kind::Message(_)) => return Err(wrong(format!("`{name}` is a message; name a field in it"))),
                (None, false, _) => return Err(wrong(format!("`{name}` can't be read from text, or has nothing below it"))),
            }
        }
        Err(wrong("empty".into()))
    }

    /// The field at the end of `fields`, none of which is repeated.
    pub(super) fn plain(fields: &[FieldDescriptor]) -> Self {
        let path = fields.iter().map(|field| field.name().to_owned()).collect::<Vec<_>>().join(".");
        let (leaf, above) = fields.split_last().expect("a role stands on a field");
        Self { path, steps: above.iter().cloned().map(Step::Field).collect(), leaf: Leaf::Field(leaf.clone()) }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether writing adds to a list.
    pub(super) fn appends(&self) -> bool {
        matches!(self.leaf, Leaf::Append(_))
    }

    /// Whether the place is in an element of a list.
    pub(super) fn in_element(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Element { .. }))
    }

    /// The type of one value.
    pub(super) fn kind(&self) -> Kind {
        match &self.leaf {
            Leaf::Field(field) | Leaf::Append(field) => field.kind(),
            Leaf::Entry(map, _) => map_entry(map).map_or(Kind::String, |(_, value)| value),
        }
    }

    /// Reads a cell; see [`parse`].
    pub(super) fn parse(&self, cell: &str, scale: Option<f64>) -> Result<Value, String> {
        parse(&self.kind(), cell, scale)
    }

    /// Writes one value, making what is missing on the way.
    pub(super) fn write(&self, message: &mut DynamicMessage, value: Value) {
        self.write_all(message, std::iter::once(value));
    }

    /// As [`Target::write`]; of several values, a place that does not append keeps the last.
    pub(super) fn write_all(&self, message: &mut DynamicMessage, values: impl IntoIterator<Item = Value>) {
        let Some(owner) = descend(&self.steps, message, true) else { return };
        match &self.leaf {
            Leaf::Field(field) => values.into_iter().for_each(|value| owner.set_field(field, value)),
            Leaf::Append(field) => {
                if let Some(list) = owner.get_field_mut(field).as_list_mut() {
                    list.extend(values);
                }
            }
            Leaf::Entry(map, key) => {
                if let Some(map) = owner.get_field_mut(map).as_map_mut() {
                    values.into_iter().for_each(|value| drop(map.insert(key.clone(), value)));
                }
            }
        }
    }

    /// Writes where every list element on the way is there already.
    pub(super) fn write_under_existing(&self, message: &mut DynamicMessage, value: Value) {
        if descend(&self.steps, message, false).is_some() {
            self.write(message, value);
        }
    }

    /// The value of a place in no list; `None` where it is unset.
    pub(super) fn read(&self, message: &DynamicMessage) -> Option<Value> {
        let Leaf::Field(leaf) = &self.leaf else { return None };
        let mut owner = message.clone();
        for step in &self.steps {
            let Step::Field(field) = step else { return None };
            owner = owner.has_field(field).then(|| owner.get_field(field).as_message().cloned())??;
        }
        owner.has_field(leaf).then(|| owner.get_field(leaf).into_owned())
    }
}

fn descend<'m>(steps: &[Step], message: &'m mut DynamicMessage, make: bool) -> Option<&'m mut DynamicMessage> {
    let Some((step, below)) = steps.split_first() else { return Some(message) };
    let inner = match step {
        Step::Field(field) => message.get_field_mut(field).as_message_mut()?,
        Step::Element { list, by, is } => {
            if !make && !message.has_field(list) {
                return None;
            }
            let elements = message.get_field_mut(list).as_list_mut()?;
            let found = elements.iter().position(|element| element.as_message().is_some_and(|element| *element.get_field(by) == *is));
            let at = match found {
                Some(at) => at,
                None if make => {
                    let Kind::Message(kind) = list.kind() else { return None };
                    let mut element = DynamicMessage::new(kind);
                    element.set_field(by, is.clone());
                    elements.push(Value::Message(element));
                    elements.len() - 1
                }
                None => return None,
            };
            elements.get_mut(at)?.as_message_mut()?
        }
    };
    descend(below, inner, make)
}

/// Splits at dots outside of brackets.
fn split(path: &str) -> Option<Vec<&str>> {
    let (mut depth, mut start, mut segments) = (0u32, 0, Vec::new());
    for (i, b) in path.bytes().enumerate() {
        match b {
            b'[' => depth += 1,
            b']' => depth = depth.checked_sub(1)?,
            b'.' if depth == 0 => {
                segments.push(path.get(start..i)?);
                start = i + 1;
            }
            _ => {}
        }
    }
    segments.push(path.get(start..)?);
    (depth == 0).then_some(segments)
}

fn map_entry(field: &FieldDescriptor) -> Option<(Kind, Kind)> {
    let Kind::Message(entry) = field.kind() else { return None };
    Some((entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind()))
}

fn scalar(kind: &Kind) -> bool {
    match kind {
        Kind::Message(message) => message.full_name() == "google.protobuf.Timestamp",
        Kind::Bytes => false,
        _ => true,
    }
}

/// Reads a cell as a value of `kind`. With a `scale`, a number is multiplied by it and rounded where the type is an integer;
/// without, an integer has to be one.
pub(super) fn parse(kind: &Kind, cell: &str, scale: Option<f64>) -> Result<Value, String> {
    let number = || {
        let number = cell.trim().parse::<f64>().ok().filter(|number| number.is_finite()).ok_or("not a finite number")?;
        Ok::<f64, String>(number * scale.unwrap_or(1.0))
    };
    let integer = || {
        // Large counters lose digits as floating-point numbers, so plain digits never take that way.
        if scale.is_none()
            && let Ok(exact) = cell.trim().parse::<i128>()
        {
            return Ok(exact);
        }
        let number = number()?;
        let whole = if scale.is_some() { number.round() } else { number };
        if whole.fract() != 0.0 { Err("not a whole number".to_owned()) } else { Ok(whole as i128) }
    };
    let range = || "out of the range of the field".to_owned();
    match kind {
        Kind::Double => number().map(Value::F64),
        // Straight to 32 bits: rounding twice could miss the nearest value.
        Kind::Float if scale.is_none() => cell
            .trim()
            .parse::<f32>()
            .ok()
            .filter(|number| number.is_finite())
            .map(Value::F32)
            .ok_or_else(|| "not a finite number".to_owned()),
        Kind::Float => Some(number()? as f32).filter(|number| number.is_finite()).map(Value::F32).ok_or_else(range),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer()?.try_into().map(Value::I32).map_err(|_| range()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer()?.try_into().map(Value::I64).map_err(|_| range()),
        Kind::Uint32 | Kind::Fixed32 => integer()?.try_into().map(Value::U32).map_err(|_| range()),
        Kind::Uint64 | Kind::Fixed64 => integer()?.try_into().map(Value::U64).map_err(|_| range()),
        Kind::Bool => match cell.trim() {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err("not `true` or `false`".into()),
        },
        Kind::String => Ok(Value::String(cell.to_owned())),
        Kind::Enum(words) => {
            let by_number = || cell.trim().parse().ok().and_then(|number| words.get_value(number));
            let word = words.get_value_by_name(cell.trim()).or_else(by_number);
            word.map(|word| Value::EnumNumber(word.number())).ok_or_else(|| format!("not a word of `{}`", words.full_name()))
        }
        Kind::Message(message) if scalar(kind) => {
            let at: jiff::Timestamp = cell.trim().parse().map_err(|_| "not an RFC 3339 time".to_owned())?;
            let mut timestamp = DynamicMessage::new(message.clone());
            timestamp.set_field_by_number(1, Value::I64(at.as_nanosecond().div_euclid(1_000_000_000).try_into().map_err(|_| range())?));
            timestamp.set_field_by_number(2, Value::I32(at.as_nanosecond().rem_euclid(1_000_000_000).try_into().map_err(|_| range())?));
            Ok(Value::Message(timestamp))
        }
        Kind::Bytes | Kind::Message(_) => Err("the field can't be read from text".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::cli::input::Shape;
    use crate::proto::sample::PatientFrame;
    use proptest::prelude::*;
    use prost::Message;

    fn patient() -> MessageDescriptor {
        static PATIENT: LazyLock<MessageDescriptor> =
            LazyLock::new(|| Shape::builtin("twinveil.sample.PatientFrame").expect("built in").message().clone());
        PATIENT.clone()
    }

    fn target(path: &str) -> Target {
        Target::resolve(&patient(), path).expect("resolves")
    }

    #[test]
    fn every_form_of_path_writes_where_it_says() {
        let mut frame = DynamicMessage::new(patient());
        for (path, cell) in [
            ("patient_id", "p"),
            ("modality", "TRACK"),
            ("vitals.heart_rate_bpm", "61.5"),
            ("vitals.rr_ms[]", "800"),
            ("vitals.rr_ms[]", "810.0"),
            ("labels[\"ward\"]", "3"),
            ("waveforms[channel=a.b].samples[]", "1"),
            ("waveforms[channel=c].samples[]", "2"),
            ("waveforms[channel=a.b].samples[]", "3"),
            ("waveforms[channel=a.b].rate_hz", "250"),
        ] {
            let target = target(path);
            let value = target.parse(cell, None).expect("value");
            target.write(&mut frame, value);
        }
        let frame = PatientFrame::decode(&frame.encode_to_vec()[..]).expect("typed");
        let vitals = frame.vitals.expect("vitals");
        assert_eq!((frame.patient_id.as_str(), frame.modality, vitals.heart_rate_bpm, vitals.rr_ms), ("p", 3, Some(61.5), vec![800, 810]));
        assert_eq!(frame.labels.get("ward").map(String::as_str), Some("3"));
        let waves: Vec<_> = frame.waveforms.iter().map(|wave| (wave.channel.as_str(), wave.rate_hz, wave.samples.clone())).collect();
        assert_eq!(waves, [("a.b", 250.0, vec![1.0, 3.0]), ("c", 0.0, vec![2.0])]);
    }

    #[test]
    fn a_set_under_a_missing_element_makes_none() {
        let mut frame = DynamicMessage::new(patient());
        target("waveforms[channel=a].rate_hz").write_under_existing(&mut frame, Value::F32(250.0));
        assert!(frame.encode_to_vec().is_empty());
    }

    #[test]
    fn a_path_that_leads_nowhere_is_refused_with_a_hint() {
        for (path, says) in [
            ("vitals.heart_rat_bpm", "`twinveil.sample.Vitals` has no field `heart_rat_bpm`; did you mean `heart_rate_bpm`?"),
            ("", "`twinveil.sample.PatientFrame` has no field ``"),
            ("vitals", "`vitals` is a message; name a field in it"),
            ("vitals.rr_ms", "`rr_ms` is a list; write `rr_ms[]` at the end"),
            ("vitals.heart_rate_bpm[]", "`heart_rate_bpm` is not a list"),
            ("vitals.heart_rate_bpm.x", "can't be read from text, or has nothing below it"),
            ("labels", "`labels` is a map; write `labels[\"key\"]`"),
            ("waveforms.samples[]", "`waveforms` is a list of messages; write `waveforms[field=value].…`"),
            ("waveforms[channel].samples[]", "write `waveforms[field=value]`"),
            ("waveforms[samples=1].rate_hz", "`twinveil.sample.Waveform` can't be chosen by `samples=1`"),
            ("waveforms[channel=a.rate_hz", "a `[` is not closed"),
            ("labels]", "a `[` is not closed"),
        ] {
            let error = Target::resolve(&patient(), path).expect_err(path).to_string();
            assert!(error.contains(says), "{path}: {error}");
        }
    }

    #[test]
    fn a_cell_that_does_not_fit_is_refused_and_not_quoted() {
        for (path, cell, says) in [
            ("vitals.heart_rate_bpm", "secret", "not a finite number"),
            ("vitals.heart_rate_bpm", "NaN", "not a finite number"),
            ("vitals.heart_rate_bpm", "inf", "not a finite number"),
            ("vitals.heart_rate_bpm", "1e60", "not a finite number"),
            ("vitals.rr_ms[]", "1.5", "not a whole number"),
            ("vitals.rr_ms[]", "-1", "out of the range of the field"),
            ("vitals.rr_ms[]", "4294967296", "out of the range of the field"),
            ("modality", "WAVE", "not a word of `twinveil.sample.Modality`"),
        ] {
            assert_eq!(target(path).parse(cell, None).expect_err(cell), says);
        }
        assert_eq!(target("vitals.rr_ms[]").parse("0.813889", Some(1000.0)), Ok(Value::U32(814)));
        assert_eq!(target("sequence").parse("18446744073709551615", None), Ok(Value::U64(u64::MAX)));
    }

    proptest! {
        #[test]
        fn no_path_and_no_cell_makes_it_panic(path in "[a-z_.\\[\\]=\"]{0,30}", cell in "\\PC{0,20}", scale in proptest::option::of(any::<f64>())) {
            let _ = Target::resolve(&patient(), &path);
            for place in ["sequence", "captured_at_ms", "vitals.rr_ms[]", "vitals.spo2_pct", "modality"] {
                let _ = target(place).parse(&cell, scale);
            }
        }
    }
}
