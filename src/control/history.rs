//! What was disclosed of a subject, as it is told: all of it to the subject, to a delegate what is to recipients and for purposes of the
//! delegation's scope.

use bytes::Bytes;

use super::page::Page;
use super::shown::{receipt, viewer};
use crate::ledger::disclosed::Shown;
use crate::ledger::{Ledger, Refused};
use crate::proto::v1;
use crate::veil::consent::query::Query;
use crate::veil::consent::record::SignerRole;
use crate::veil::name::{Spiffe, UnixMs};
use crate::veil::terms;

/// The most disclosures of one answer.
const DISCLOSED_MAX: usize = 64;
/// The same in every answer, so that it tells nothing.
const COMPLETENESS: &str = "complete but for what an order forbids to show yet, and for the gaps";

/// A page of it, from entry `from` of the log on.
pub(super) fn told(ledger: &Ledger, query: &Query, from: u64, now: UnixMs) -> Result<v1::HistoryResponse, Refused> {
    let standing = ledger.standing_of(&query.subject)?;
    let view = viewer(&standing, query, now)?;
    let shows = |disclosure: &v1::Disclosure| {
        let (recipient, purpose) = (Spiffe::parse(&disclosure.recipient), terms::purpose(&disclosure.purpose));
        matches!((recipient, purpose), (Ok(recipient), Some(purpose)) if view.explains(&recipient, &purpose).is_ok())
    };
    let own = query.by.role == SignerRole::Subject;
    // Before what is logged: what is logged meanwhile is told twice, and taken out.
    let mut under_way = ledger.under_way(&query.subject, now, |disclosure| own || shows(disclosure));
    let disclosed = ledger.disclosed(&query.subject, from, DISCLOSED_MAX, now, |disclosure| own || shows(disclosure))?;
    under_way.retain(|open| !disclosed.iter().any(|shown| shown.disclosure.id == open.id));
    under_way.iter_mut().for_each(|open| open.id = Bytes::new());
    let gaps = ledger.gaps()?.into_iter().map(|(from, until)| v1::HistoryGap { from_ms: from.0, until_ms: until.0 });
    Ok(v1::HistoryResponse {
        disclosed: Page::of(disclosed.iter().map(|shown| line(shown, own))),
        under_way,
        gaps: gaps.collect(),
        completeness: COMPLETENESS.to_owned(),
    })
}

/// Numbers tell how much else there is: they are the subject's own.
fn line(shown: &Shown, own: bool) -> v1::Disclosed {
    let place = own.then(|| v1::DisclosurePlace {
        blind: Bytes::copy_from_slice(&shown.place.blind),
        number: shown.place.number,
        before: Bytes::copy_from_slice(&shown.place.before),
    });
    v1::Disclosed { record: Bytes::copy_from_slice(&shown.bytes), place, receipt: Some(receipt(&shown.receipt)) }
}
