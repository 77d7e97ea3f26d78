//! A case of the desk as it is told: how it stands, whose move it is, and its records, an answer at a time.

use bytes::Bytes;

use super::page::Page;
use super::shown::receipt;
use crate::client::dsse;
use crate::ledger::desk::Kept;
use crate::ledger::{Ledger, Refused};
use crate::proto::v1::{self, DemandRecord};
use crate::veil::demand::{Case, Missing};
use crate::veil::name::{RecordId, UnixMs};

/// As many records as have room, the first `skip` left out, each with its receipt.
pub(super) fn records(page: &mut Page, ledger: &Ledger, all: &[Kept], skip: usize) -> Result<Vec<DemandRecord>, Refused> {
    page.fill(all.iter().skip(skip).map(|kept| record(ledger, kept)))
}

fn record(ledger: &Ledger, kept: &Kept) -> Result<DemandRecord, Refused> {
    let receipt = ledger.demand_receipt(kept.id)?.as_ref().map(receipt);
    Ok(DemandRecord {
        record: id(kept.id),
        kind: kept.act.word().to_owned(),
        taken_ms: kept.taken.0,
        envelope: Some(dsse::to_proto(&kept.envelope)),
        receipt,
    })
}

pub(super) fn id(record: RecordId) -> Bytes {
    Bytes::copy_from_slice(&record.0)
}

/// How far a case is, in one word.
pub(super) fn state(case: &Case) -> &'static str {
    if case.challenged().is_some() { "challenged" } else { case.state().word() }
}

pub(super) fn shown(case: &Case, now: UnixMs) -> v1::Demand {
    let (said, standing) = (case.demand(), case.standing(now));
    let warrant = case.warrant(now);
    let gag = said.gag.as_ref().filter(|_| standing.gagged);
    v1::Demand {
        demand: id(case.id()),
        state: state(case).to_owned(),
        taken_ms: case.taken().0,
        source: format!("{} {}", said.source.kind, said.source.jurisdiction),
        asks: said.asks.to_string(),
        outcome: standing.outcome.map(|outcome| outcome.to_string()).unwrap_or_default(),
        gagged: standing.gagged,
        gag_until_ms: gag.and_then(|gag| gag.until).map_or(0, |until| until.0),
        notified: !case.notices().is_empty(),
        recipient: warrant.as_ref().map(|warrant| warrant.recipient().to_string()).unwrap_or_default(),
        from_ms: warrant.as_ref().map_or(0, |warrant| warrant.from().0),
        until_ms: warrant.as_ref().map_or(0, |warrant| warrant.until().0),
        refused: warrant.as_ref().err().map(|refused| format!("{}: {refused}", refused.code())).unwrap_or_default(),
        missing: standing.missing.iter().map(|missing| words(*missing)).collect(),
    }
}

/// What is missing, and whose move it is.
fn words(missing: Missing) -> String {
    let what = match missing {
        Missing::Subjects => "the list of whom it is about".to_owned(),
        Missing::Answer(question) => format!("stage {}", question.number()),
        Missing::Decision => "a decision".to_owned(),
        Missing::Ruling(challenge) => format!("the ruling on challenge {challenge}"),
        Missing::Notice => "notice to whom it is about".to_owned(),
        Missing::NoticeAt(at) => format!("notice to whom it is about, at {at}"),
    };
    format!("{}: {what}", missing.whose())
}
