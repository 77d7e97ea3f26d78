//! What the gateway refused by itself, hour by hour and by reason: objects that entries of the log commit to. Nobody is in them.

use std::collections::BTreeMap;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::doubt::ReportDoubt;
use super::entries::Entries;
use super::table::{Figure, Head, Row, Table, Value, head};
use crate::proto::v1;
use crate::veil::base64;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::crypto::hash::sha256;
use crate::veil::demand::Period;
use crate::veil::merkle::leaf::Act;
use crate::veil::name::RecordId;
use crate::veil::outcome::Refusal;

/// The largest `refusals.json`, in bytes.
pub const REFUSALS_BYTES_MAX: usize = 64 << 20;
/// The most reasons of one interval: more than there are.
const REASONS_MAX: usize = 256;

/// `refusals.json`: the bytes that entries of the log commit to, in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusalsFile {
    /// Messages `twinveil.v1.Refusals`, in the order of the log.
    pub objects: Vec<String>,
}

/// What was refused in an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedHours {
    /// How often, by reason.
    pub counts: BTreeMap<String, u64>,
    object: Vec<u8>,
}

impl RefusalsFile {
    /// Of objects as they came.
    pub fn of<'o>(objects: impl IntoIterator<Item = &'o [u8]>) -> Self {
        Self { objects: objects.into_iter().map(base64::encode).collect() }
    }

    /// Reads the file.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| error.to_string().chars().filter(|c| !c.is_control()).take(400).collect())
    }

    /// As it is written.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }
}

/// Intervals whose entries are of a period, by entry, and what does not hold of the file.
pub(super) fn gather(entries: &Entries, period: &Period, file: &RefusalsFile) -> (BTreeMap<u64, RefusedHours>, Vec<ReportDoubt>) {
    let (mut refused, mut doubts) = (BTreeMap::new(), Vec::new());
    for (number, text) in (1..).zip(&file.objects) {
        let none =
            |why: &str| ReportDoubt::NoRecord { file: format!("refusals.json, {number}"), why: RecordRefusal::Malformed(why.into()) };
        let Some(object) = base64::decode(text) else {
            doubts.push(none("not base64"));
            continue;
        };
        let id = RecordId(sha256(&[&object]));
        let Some(entry) = entries.find(Act::Refusals, &id) else {
            doubts.push(ReportDoubt::NotInLog(id));
            continue;
        };
        match counts(&object) {
            Some(counts) if period.from <= entry.hour && entry.hour < period.until => {
                refused.insert(entry.number, RefusedHours { counts, object });
            }
            Some(_) => {}
            None => doubts.push(none("not what a gateway counts")),
        }
    }
    (refused, doubts)
}

fn counts(object: &[u8]) -> Option<BTreeMap<String, u64>> {
    let read = v1::Refusals::decode(object).ok().filter(|read| read.counts.len() <= REASONS_MAX)?;
    let mut counts = BTreeMap::new();
    for v1::RefusedCount { code, count } in read.counts {
        let is_code = matches!(code.as_bytes(), [b'T', b'V', b'-', b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9']);
        if !is_code || counts.insert(code, count).is_some() {
            return None;
        }
    }
    Some(counts)
}

/// The file of what a report counts.
pub(super) fn file(refused: &BTreeMap<u64, RefusedHours>) -> RefusalsFile {
    RefusalsFile::of(refused.values().map(|one| one.object.as_slice()))
}

/// The table of reasons; an entry whose object is not there is told as such.
pub(super) fn table(refused: &BTreeMap<u64, RefusedHours>, entries: &Entries, period: &Period) -> Table {
    let within = entries.of(Act::Refusals).filter(|entry| period.from <= entry.hour && entry.hour < period.until);
    let unshown: Vec<u64> = within.map(|entry| entry.number).filter(|number| !refused.contains_key(number)).collect();
    let mut reasons: BTreeMap<&str, (Vec<u64>, u64)> = BTreeMap::new();
    for (entry, one) in refused {
        for (code, count) in &one.counts {
            let (leaves, sum) = reasons.entry(code).or_default();
            leaves.push(*entry);
            *sum = sum.saturating_add(*count);
        }
    }
    let figures = |leaves: Vec<u64>, sum: u64| vec![Figure::counting(leaves.clone()), Figure { value: Value::Sum(sum), leaves }];
    let all: Vec<u64> = refused.keys().chain(&unshown).copied().collect();
    let sum = reasons.values().fold(0, |sum: u64, (_, one)| sum.saturating_add(*one));
    let total = vec![Figure::counting(all), Figure { value: Value::Sum(sum), leaves: refused.keys().copied().collect() }];
    let mut rows: Vec<Row> = reasons
        .into_iter()
        .map(|(code, (leaves, sum))| Row { id: code.to_owned(), title: title(code), figures: figures(leaves, sum) })
        .collect();
    let none = Figure { value: Value::None, leaves: Vec::new() };
    if !unshown.is_empty() {
        rows.push(Row { id: "unshown".into(), title: "Not shown with this report".into(), figures: vec![Figure::counting(unshown), none] });
    }
    Table {
        id: "refused".into(),
        title: "What the gateway refused, by reason".into(),
        says:
            "Frames and calls that the gateway refused by itself, without anybody deciding: what could not be judged, or was not allowed. \
               It counts by reason over all that passes, and writes an entry an hour where there was something; no person, source or \
               recipient is in it. The first column has the entries in which a reason occurs, the second what they add up to."
                .into(),
        answers: Vec::new(),
        of: "reason".into(),
        columns: vec![head("entries", "Entries"), Head { id: "refused".into(), title: "Refused".into() }],
        rows,
        total: Some(total),
    }
}

/// What a reason is called: the code, where this program has no words for it.
pub fn title(code: &str) -> String {
    let of_frame = Refusal::ALL.iter().find(|refusal| refusal.code() == code).map(ToString::to_string);
    let words = of_frame.or_else(|| OF_THE_GATE.iter().find(|(known, _)| *known == code).map(|(_, words)| (*words).to_owned()));
    words.map_or_else(|| code.to_owned(), |words| format!("{code}: {words}"))
}

/// What the gate refuses, in words for whoever reads a report.
const OF_THE_GATE: [(&str, &str); 29] = [
    ("TV-G01", "the subject of the frame is not enrolled"),
    ("TV-G02", "no such schema"),
    ("TV-G03", "the caller may not do this"),
    ("TV-G04", "the message is not one of the contract"),
    ("TV-G05", "the recipient stopped reading"),
    ("TV-G06", "the gateway was stopping"),
    ("TV-G07", "the gateway’s clock was wrong"),
    ("TV-G08", "the purpose is no DPV term"),
    ("TV-G09", "a statement about a key did not hold"),
    ("TV-G10", "the message was compressed"),
    ("TV-G11", "the message was too large"),
    ("TV-G12", "the operator’s policy could not be evaluated"),
    ("TV-G13", "no such method"),
    ("TV-G14", "the certificate names nobody known"),
    ("TV-G15", "consent ended half-way through a frame"),
    ("TV-G16", "as many streams were open as are allowed"),
    ("TV-G17", "the store could not be reached"),
    ("TV-G18", "no such announcement of a key"),
    ("TV-G19", "the service behind the gateway could not be reached"),
    ("TV-G20", "the service behind the gateway broke off"),
    ("TV-G21", "the service behind the gateway did not answer in gRPC"),
    ("TV-G22", "a proxied message could not be judged"),
    ("TV-G23", "the caller’s deadline passed"),
    ("TV-G24", "schema or route were changed under an open stream"),
    ("TV-G25", "no such service for the caller"),
    ("TV-G26", "a page of another origin called"),
    ("TV-G27", "as many large messages were held as are allowed"),
    ("TV-G28", "nothing is released under that legal demand"),
    ("TV-G29", "what was released under a legal demand is over"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::merkle::checkpoint::Head as LogHead;
    use crate::veil::merkle::leaf::{BUCKET_MS, Leaf, Salt};
    use crate::veil::merkle::tree::Hash;
    use crate::veil::name::UnixMs;

    fn object(n: u8, counts: &[(&str, u64)]) -> Vec<u8> {
        let counts = counts.iter().map(|(code, count)| v1::RefusedCount { code: (*code).into(), count: *count }).collect();
        v1::Refusals { id: vec![n; 16].into(), from_ms: 0, until_ms: 1, counts }.encode_to_vec()
    }

    #[test]
    fn reasons_add_up_over_the_hours_of_the_period_and_what_is_not_shown_is_told() {
        let objects = [
            object(1, &[("TV-W01", 3), ("TV-G03", 1)]),
            object(2, &[("TV-W01", 4)]),
            object(3, &[("TV-W01", 50)]),
            object(4, &[("TV-W01", 700)]),
            object(5, &[("<b>", 1)]),
        ];
        let mut entries = Entries::new(LogHead { size: 20, root: Hash::empty() });
        for (number, (hour, object)) in (7..).zip([(1, &objects[0]), (2, &objects[1]), (9, &objects[2]), (2, &objects[4]), (3, &vec![1])]) {
            let leaf = Leaf::new(Act::Refusals, UnixMs(hour * BUCKET_MS), &Salt::OPEN, &RecordId(sha256(&[object])));
            entries.push(number, &leaf);
        }
        let period = Period { from: UnixMs(BUCKET_MS), until: UnixMs(9 * BUCKET_MS) };
        let read = RefusalsFile::parse(RefusalsFile::of(objects.iter().map(Vec::as_slice)).to_json().as_bytes()).expect("just written");
        let (refused, doubts) = gather(&entries, &period, &read);
        let codes: Vec<_> = doubts.iter().map(ReportDoubt::code).collect();
        assert_eq!(codes, ["TV-R02", "TV-R01"], "one that is not in the log, and one that is and is none");
        assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [7, 8], "the third is of a later hour");
        assert_eq!(file(&refused).objects, read.objects[..2]);
        let table = table(&refused, &entries, &period);
        assert!(table.is_whole());
        let sum = |row: &str| table.figure(row, "refused").map(|figure| (figure.value, figure.leaves.clone()));
        assert_eq!(sum("TV-W01"), Some((Value::Sum(7), vec![7, 8])));
        assert_eq!(sum("TV-G03"), Some((Value::Sum(1), vec![7])));
        assert_eq!(table.figure("unshown", "entries").map(|figure| figure.leaves.clone()), Some(vec![10, 11]));
        assert_eq!(table.sum("refused").map(|sum| sum.value), Some(Value::Sum(8)));
        assert_eq!(table.sum("entries").and_then(Figure::count), Some(4));
        assert!(RefusalsFile::parse(b"{\"objects\": [], \"x\": 1}").is_err());
    }

    #[test]
    fn a_reason_without_words_is_told_by_its_code() {
        assert_eq!(title("TV-W01"), "TV-W01: a field runs past the end of the frame");
        assert_eq!(title("TV-Z99"), "TV-Z99");
    }
}
