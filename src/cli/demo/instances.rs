//! How many values of which field a frame holds: what a treatment was applied to, counted from the frame as its source sent it.
//!
//! An *instance* is one field that is present in one message: a repeated number or text counts once, however many values it
//! has; every entry of a map and every element of a repeated message counts for itself. Present means on the wire, so a proto3
//! field with its default value is none. The key of an entry counts with its value. What the schema has no place for (unknown
//! fields, elements that no case names) is counted apart: it is always stripped.

use std::collections::HashSet;
use std::sync::Arc;

use crate::veil::outcome::Refusal;
use crate::veil::schema::{CaseValue, Content, Kind, NodeId, Schema, Select, SiteId};
use crate::veil::wire::{DEPTH_MAX, Reader, Value, unzigzag};

/// The instances in a frame: how many of each site, and how many that have no site. Frames of one build share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape(Arc<[(Option<SiteId>, u32)]>);

impl Shape {
    /// Sites, ascending, and how many instances each has; `None` stands for what has no site, and comes first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Option<SiteId>, u64)> + '_ {
        self.0.iter().map(|(site, count)| (*site, u64::from(*count)))
    }
}

/// Counts frames of one schema.
#[derive(Debug)]
pub(super) struct Counting {
    schema: Arc<Schema>,
    counts: Vec<u32>,
    nowhere: u32,
    known: HashSet<Shape>,
}

impl Counting {
    /// Nothing counted yet.
    pub(super) fn new(schema: Arc<Schema>) -> Self {
        let counts = vec![0; schema.sites().len()];
        Self { schema, counts, nowhere: 0, known: HashSet::new() }
    }

    /// The instances in one frame.
    pub(super) fn count(&mut self, frame: &[u8]) -> Result<Shape, Refusal> {
        self.counts.fill(0);
        self.nowhere = 0;
        let schema = Arc::clone(&self.schema);
        self.message(&schema, NodeId(0), frame, 0)?;
        let nowhere = (self.nowhere > 0).then_some((None, self.nowhere));
        let sites = (0u32..).zip(&self.counts).filter(|(_, count)| **count > 0).map(|(site, count)| (Some(SiteId(site)), *count));
        let shape = Shape(nowhere.into_iter().chain(sites).collect());
        if let Some(known) = self.known.get(&shape) {
            return Ok(known.clone());
        }
        self.known.insert(shape.clone());
        Ok(shape)
    }

    fn message(&mut self, schema: &Schema, node: NodeId, message: &[u8], depth: u32) -> Result<(), Refusal> {
        if depth >= DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        let fields = schema.nodes().get(node.0 as usize).map(|node| &node.fields[..]).unwrap_or_default();
        let mut met: Vec<u32> = Vec::new();
        for record in Reader::new(message) {
            let record = record?;
            let first = !met.contains(&record.number);
            if first {
                met.push(record.number);
            }
            let field = fields.binary_search_by_key(&record.number, |field| field.number).ok().and_then(|at| fields.get(at));
            match (field.map(|field| &field.content), record.value) {
                (Some(Content::Leaf(site)), _) => {
                    if (first || counts_apart(schema, *site))
                        && let Some(count) = self.counts.get_mut(site.0 as usize)
                    {
                        *count += 1;
                    }
                }
                (Some(Content::Message(child)), Value::Len(inner)) => self.message(schema, *child, inner, depth + 1)?,
                (Some(Content::Select(select)), Value::Len(element)) => match case(select, element)? {
                    Some(child) => self.message(schema, child, element, depth + 1)?,
                    None => self.nowhere += 1,
                },
                (Some(Content::Discriminator), _) => {}
                // A message field that holds no message, and fields that the schema does not have.
                (Some(Content::Message(_) | Content::Select(_)) | None, _) => self.nowhere += u32::from(first),
            }
        }
        Ok(())
    }
}

/// Whether every occurrence of a leaf counts: messages and maps that are judged as one.
fn counts_apart(schema: &Schema, site: SiteId) -> bool {
    let kind = schema.sites().get(site.0 as usize).map(|site| site.kind);
    matches!(kind, Some(Kind::Timestamp | Kind::Message | Kind::Map | Kind::Group))
}

/// Which case an element is of, by the first of the keys that is present; an absent key names nothing.
fn case(select: &Select, element: &[u8]) -> Result<Option<NodeId>, Refusal> {
    for by in &select.keys {
        let mut key = None;
        for record in Reader::new(element) {
            let record = record?;
            if record.number == by.by {
                key = key_of(by.kind, record.value);
            }
        }
        if let Some(key) = key {
            return Ok(by.cases.iter().find(|(value, _)| *value == key).map(|(_, node)| *node));
        }
    }
    Ok(None)
}

fn key_of(kind: Kind, value: Value<'_>) -> Option<CaseValue> {
    Some(match value {
        Value::Len(text) => CaseValue::Bytes(text.into()),
        Value::Varint(number) if kind.zigzag() => CaseValue::Int(unzigzag(number)),
        Value::Varint(number) | Value::Fixed64(number) => CaseValue::Int(number.cast_signed()),
        Value::Fixed32(number) if kind == Kind::Sfixed32 => CaseValue::Int(i64::from(number.cast_signed())),
        Value::Fixed32(number) => CaseValue::Int(i64::from(number)),
        Value::Group(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use prost::Message;

    use super::*;
    use crate::proto::sample::{Action, Identity, PatientFrame, TurbineFrame, Vitals, Waveform};
    use crate::veil::schema::load;

    fn counting(message: &str) -> Counting {
        Counting::new(Arc::new(load(crate::proto::SAMPLES, message, None).expect("a sample")))
    }

    fn by_path(counting: &mut Counting, frame: &[u8]) -> Vec<(String, u64)> {
        let shape = counting.count(frame).expect("well-formed");
        let sites = counting.schema.sites();
        shape.iter().map(|(site, count)| (site.map_or("?".to_owned(), |site| sites[site.0 as usize].path.to_string()), count)).collect()
    }

    #[test]
    fn every_field_that_is_present_counts_once_a_message() {
        let mut counting = counting("twinveil.sample.PatientFrame");
        let wave = |samples: usize| Waveform { channel: "ecg".into(), rate_hz: 250.0, samples: vec![0.5; samples] };
        let frame = PatientFrame {
            patient_id: "p".into(),
            identity: Some(Identity { city: "Vienna".into(), ..Identity::default() }),
            vitals: Some(Vitals { heart_rate_bpm: Some(0.0), rr_ms: vec![1, 2, 3], ..Vitals::default() }),
            waveforms: vec![wave(7), wave(0)],
            labels: HashMap::from([("ward".into(), "1A".into()), ("nobody knows".into(), "x".into())]),
            ..PatientFrame::default()
        };
        let expected = [
            ("?", 1),
            ("patient_id", 1),
            ("identity.city", 1),
            ("vitals.heart_rate_bpm", 1),
            ("vitals.rr_ms", 1),
            ("waveforms.channel", 2),
            ("waveforms.rate_hz", 2),
            ("waveforms.samples", 1),
            ("labels[\"ward\"]", 1),
        ];
        let mut expected: Vec<(String, u64)> = expected.map(|(path, count)| (path.to_owned(), count)).to_vec();
        let mut found = by_path(&mut counting, &frame.encode_to_vec());
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_element_of_a_repeated_message_counts_for_itself() {
        let act = |at_ms| Action { operator_id: "b".into(), command: "derate".into(), at_ms };
        let frame = TurbineFrame { asset_id: "t".into(), actions: vec![act(1), act(2), act(0)], ..TurbineFrame::default() };
        let found = by_path(&mut counting("twinveil.sample.TurbineFrame"), &frame.encode_to_vec());
        let of = |path: &str| found.iter().find(|(found, _)| found == path).map(|(_, count)| *count);
        assert_eq!((of("asset_id"), of("actions.command"), of("actions.at_ms"), of("sequence")), (Some(1), Some(3), Some(2), None));
    }

    #[test]
    fn a_number_that_is_sent_value_by_value_counts_once_too() {
        // vitals { rr_ms: 1, rr_ms: 2 }, not packed; then a field that the schema does not have, twice.
        let frame = [0x42, 0x04, 0x40, 0x01, 0x40, 0x02, 0xf8, 0x07, 0x01, 0xf8, 0x07, 0x01];
        let found = by_path(&mut counting("twinveil.sample.PatientFrame"), &frame);
        assert_eq!(found, [("?".to_owned(), 1), ("vitals.rr_ms".to_owned(), 1)]);
    }

    #[test]
    fn frames_of_one_build_share_what_was_counted() {
        let mut counting = counting("twinveil.sample.PatientFrame");
        let frame = |sequence| PatientFrame { patient_id: "p".into(), sequence, ..PatientFrame::default() }.encode_to_vec();
        let (one, two, other) = (counting.count(&frame(1)), counting.count(&frame(2)), counting.count(&frame(0)));
        let (one, two, other) = (one.expect("good"), two.expect("good"), other.expect("good"));
        assert!(Arc::ptr_eq(&one.0, &two.0));
        assert_ne!(one, other);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(counting("twinveil.sample.PatientFrame").count(&[0x0a, 0x05, 1]), Err(Refusal::Truncated));
        assert_eq!(counting("twinveil.sample.PatientFrame").count(&[0x07]), Err(Refusal::BadTag));
    }
}
