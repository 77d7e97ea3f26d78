//! That a report was published: signed by whoever speaks for the operator, and in the log, so that another report of the same time shows.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::document::{Hours, Report};
use super::doubt::ReportDoubt;
use super::entries::Entries;
use crate::veil::consent::envelope::{Envelope, Payload, Signed, Verified};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::text;
use crate::veil::crypto::hash::sha256;
use crate::veil::demand::{Period, Register};
use crate::veil::merkle::checkpoint::Head;
use crate::veil::merkle::leaf::{Act, is_exact};
use crate::veil::merkle::tree::Hash;
use crate::veil::name::{Did, Origin, RecordId, UnixMs};

/// The media type of these records.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.report+json;v=1";

/// The record of a report as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicationDocument {
    /// The log origin of the gateway.
    pub gateway: String,
    /// The did:key of the registered person who publishes it.
    pub author: String,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
    /// 16 random bytes, hexadecimal.
    pub nonce: String,
    /// Of when the report is.
    pub period: Hours,
    /// The SHA-256 of its `report.json`.
    pub report_sha256: String,
    /// The log that it was counted from, as it says itself.
    pub log: HeadDocument,
}

/// A log, up to a size.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadDocument {
    /// How many entries it had.
    pub size: u64,
    /// The root over them, base64.
    pub root: String,
}

/// A checked record of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The gateway it is about.
    pub gateway: Origin,
    /// Who publishes it.
    pub author: Did,
    /// When it was signed.
    pub at: UnixMs,
    /// Of when the report is.
    pub period: Period,
    /// The SHA-256 of its `report.json`.
    pub report: RecordId,
    /// What its log had signed.
    pub head: Head,
}

impl Publication {
    /// What is said of a report whose `report.json` has these bytes; whoever signs adds who and when.
    pub fn said(report: &Report, bytes: &[u8]) -> Value {
        json!({
            "period": report.period, "report_sha256": RecordId(sha256(&[bytes])).to_string(),
            "log": {"size": report.log.size, "root": report.log.root},
        })
    }
}

impl Payload for Publication {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: PublicationDocument = text::json(payload)?;
        text::nonce(&document.nonce)?;
        let hour = |member: &str, text: &str| {
            let at = text::instant(member, text)?;
            if is_exact(at) { Ok(at) } else { Err(RecordRefusal::member(member, "the beginning of an hour")) }
        };
        let period = Period { from: hour("period.from", &document.period.from)?, until: hour("period.until", &document.period.until)? };
        if period.until <= period.from {
            return Err(RecordRefusal::member("period.until", "after `period.from`"));
        }
        let root = Hash::parse(&document.log.root).ok_or_else(|| RecordRefusal::member("log.root", "a SHA-256 in base64"))?;
        Ok(Self {
            gateway: text::origin("gateway", &document.gateway)?,
            author: text::did("author", &document.author)?,
            at: text::instant("at", &document.at)?,
            period,
            report: text::record_id("report_sha256", &document.report_sha256)?,
            head: Head { size: document.log.size, root },
        })
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.author
    }
}

/// What the log says of reports: of one, and of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publications {
    /// The entry of the report itself, its first.
    pub own: Option<u64>,
    /// Entries of other reports in whose period some of this one's lies.
    pub same_time: Vec<u64>,
    /// Entries of reports whose records are not there: of when those are, they do not say.
    pub unknown: Vec<u64>,
    /// What does not hold.
    pub doubts: Vec<ReportDoubt>,
}

impl Publications {
    /// Holds records of reports against a whole log, and against a report and the bytes of its `report.json`, where there is one already.
    pub fn gather(
        (gateway, register, log): (&Origin, &Register, &Entries),
        period: &Period,
        report: Option<(&Report, &[u8])>,
        files: &[(String, Envelope)],
    ) -> Self {
        let mut found = Self::default();
        let mut known = Vec::new();
        for (file, envelope) in files.iter().filter(|(_, envelope)| envelope.payload_type == MEDIA_TYPE) {
            match Signed::new(envelope).and_then(|signed| signed.verify(gateway)) {
                Ok(record) => known.extend(found.take((register, log), period, report, &record)),
                Err(why) => found.doubts.push(ReportDoubt::NoRecord { file: file.clone(), why }),
            }
        }
        found.unknown = log.of(Act::Report).map(|entry| entry.number).filter(|number| !known.contains(number)).collect();
        found.same_time.sort_unstable();
        found.same_time.dedup();
        found
    }

    /// The entry of a record.
    fn take(
        &mut self,
        (register, log): (&Register, &Entries),
        period: &Period,
        report: Option<(&Report, &[u8])>,
        record: &Verified<Publication>,
    ) -> Option<u64> {
        let (id, said) = (record.id(), record.get());
        if register.person(&said.author).is_none() {
            self.doubts.push(ReportDoubt::Stranger(id));
        }
        let Some(entry) = log.find(Act::Report, &id) else {
            self.doubts.push(ReportDoubt::NotInLog(id));
            return None;
        };
        match report.filter(|(_, bytes)| said.report == RecordId(sha256(&[bytes]))) {
            Some((report, _)) => {
                if Some(said.period) != report.period() || Some(said.head) != report.head() {
                    let told = |period: &Period, size: u64| format!("{} to {}, {size} entries", period.from, period.until);
                    self.doubts.push(ReportDoubt::Differs {
                        place: format!("published/{id}"),
                        said: told(&said.period, said.head.size),
                        counted: told(period, report.log.size),
                    });
                }
                self.own = Some(self.own.map_or(entry.number, |own| own.min(entry.number)));
            }
            None if said.period.from < period.until && period.from < said.period.until => self.same_time.push(entry.number),
            None => {}
        }
        Some(entry.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::consent::testing::{GATEWAY, NOW, gateway, key, signed};
    use crate::veil::demand::{Person, Role};
    use crate::veil::merkle::leaf::{Leaf, Salt};

    const ROOT: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn document(change: impl FnOnce(&mut Value)) -> Value {
        let mut document = json!({
            "gateway": GATEWAY, "author": key(1).did().to_string(), "at": NOW.to_string(), "nonce": "00".repeat(16),
            "period": {"from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
            "report_sha256": "ab".repeat(32), "log": {"size": 7, "root": ROOT},
        });
        change(&mut document);
        document
    }

    #[test]
    fn what_is_no_record_of_a_report_is_refused_by_member() {
        let parse = |change: &dyn Fn(&mut Value)| Publication::parse(document(change).to_string().as_bytes());
        let good = parse(&|_| ()).expect("good");
        assert_eq!((good.report, good.head.size, good.author), (RecordId([0xab; 32]), 7, key(1).did()));
        for (member, change) in [
            ("nonce", &(|d: &mut Value| d["nonce"] = "00".into()) as &dyn Fn(&mut Value)),
            ("period.from", &|d| d["period"]["from"] = "2026-01-01T00:30:00Z".into()),
            ("period.until", &|d| d["period"]["until"] = d["period"]["from"].clone()),
            ("report_sha256", &|d| d["report_sha256"] = "AB".into()),
            ("log.root", &|d| d["log"]["root"] = "x".into()),
            ("author", &|d| d["author"] = "ada".into()),
            ("at", &|d| d["at"] = "yesterday".into()),
        ] {
            match parse(change) {
                Err(RecordRefusal::BadMember { member: found, .. }) => assert_eq!(found, member),
                other => panic!("{member}: {other:?}"),
            }
        }
        assert_eq!(parse(&|d| d["motto"] = "x".into()).expect_err("unknown").code(), "TV-C06");
    }

    #[test]
    fn reports_of_the_same_time_are_told_and_those_without_a_record_too() {
        let person = Person { keys: vec![key(1).did()], roles: [Role::Clerk].into() };
        let register = Register::new(key(9).did(), vec![person]).expect("good");
        let envelope = |n: u8, change: &dyn Fn(&mut Value)| signed(MEDIA_TYPE, &document(change), &[&key(n)]);
        let files = [
            ("same".to_owned(), envelope(1, &|_| ())),
            ("later".into(), envelope(1, &|d| d["period"] = json!({"from": "2027-01-01T00:00:00Z", "until": "2028-01-01T00:00:00Z"}))),
            ("stranger".into(), envelope(2, &|d| d["author"] = key(2).did().to_string().into())),
            ("never".into(), envelope(1, &|d| d["log"]["size"] = 8.into())),
            ("forged".into(), envelope(2, &|_| ())),
        ];
        let mut log = Entries::new(Head { size: 9, root: Hash::empty() });
        let unknown = RecordId([7; 32]);
        let ids = [files[0].1.id(), files[1].1.id(), unknown, files[2].1.id()];
        (3..).zip(ids).for_each(|(number, id)| log.push(number, &Leaf::new(Act::Report, NOW, &Salt::OPEN, &id)));
        let instant = |text: &str| text::instant("", text).expect("an instant");
        let period = Period { from: instant("2026-12-01T00:00:00Z"), until: instant("2026-12-02T00:00:00Z") };
        let found = Publications::gather((&gateway(), &register, &log), &period, None, &files);
        assert_eq!((found.own, found.same_time.as_slice(), found.unknown.as_slice()), (None, &[3, 6][..], &[5][..]));
        assert_eq!(found.doubts.iter().map(ReportDoubt::code).collect::<Vec<_>>(), ["TV-R07", "TV-R02", "TV-R01"]);
    }

    #[test]
    fn a_record_that_says_otherwise_of_the_report_than_it_says_itself_is_found() {
        let register = Register::new(key(9).did(), vec![Person { keys: vec![key(1).did()], roles: [Role::Clerk].into() }]).expect("good");
        let report = Report {
            format: super::super::document::FORMAT.into(),
            gateway: GATEWAY.into(),
            period: Hours { from: "2026-01-01T00:00:00Z".into(), until: "2027-01-01T00:00:00Z".into() },
            made: NOW.to_string(),
            log: super::super::document::LogHead { key: String::new(), size: 7, root: ROOT.into() },
            operator: super::super::operator::Operator { name: "A house".into(), about: None, contact: None },
            process: super::super::operator::Process::default(),
            objectives: Vec::new(),
            elements: Vec::new(),
            tables: Vec::new(),
            demands: Vec::new(),
            statements: Vec::new(),
            risk: Vec::new(),
        };
        let bytes = report.to_json().into_bytes();
        let found = |change: &dyn Fn(&mut Value)| {
            let mut said = document(|_| ());
            said.as_object_mut().expect("an object").extend(Publication::said(&report, &bytes).as_object().expect("an object").clone());
            change(&mut said);
            let envelope = signed(MEDIA_TYPE, &said, &[&key(1)]);
            let mut log = Entries::new(Head { size: 9, root: Hash::empty() });
            log.push(4, &Leaf::new(Act::Report, NOW, &Salt::OPEN, &envelope.id()));
            let period = report.period().expect("hours");
            let found = Publications::gather((&gateway(), &register, &log), &period, Some((&report, &bytes)), &[("own".into(), envelope)]);
            (found.own, found.same_time.len(), found.doubts.iter().map(ReportDoubt::code).collect::<Vec<_>>())
        };
        assert_eq!(found(&|_| ()), (Some(4), 0, vec![]));
        assert_eq!(found(&|said| said["period"]["from"] = "2025-01-01T00:00:00Z".into()), (Some(4), 0, vec!["TV-R08"]));
        assert_eq!(found(&|said| said["log"]["size"] = 8.into()), (Some(4), 0, vec!["TV-R08"]));
        assert_eq!(found(&|said| said["report_sha256"] = "ab".repeat(32).into()), (None, 1, vec![]), "of the same time, and another");
    }
}
