//! A decision as it is explained: a treatment for every field, and who stands behind it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::shown::View;
use crate::judge::Judgement;
use crate::proto::v1::{self, Decider, ExplainResponse, Explained};
use crate::veil::consent::signer::By;
use crate::veil::consent::standing::Standing;
use crate::veil::name::{RecordId, UnixMs};
use crate::veil::policy::Decided;
use crate::veil::schema::{Schema, Site};
use crate::veil::terms::Treatment;

/// Every field, and the records that decided.
pub(super) fn explained(schema: &Schema, judged: &Judgement, view: View<'_>, mandates: &[Arc<Standing>], at: UnixMs) -> ExplainResponse {
    let decided = &judged.decision.sites;
    let records: BTreeSet<RecordId> = decided.iter().filter_map(|decided| decided.reason.record()).collect();
    let by_subject = |record: RecordId| view.shows(record).then(|| decider(view.of(), record)).flatten();
    let by_operator = |record: RecordId| mandates.iter().find_map(|mandate| decider(mandate, record));
    ExplainResponse {
        fields: schema.sites().iter().zip(decided).map(|(site, decided)| field(site, decided)).collect(),
        valid_until_ms: instant(judged.valid_until),
        delivers: judged.delivers,
        obligations: judged.obligations.iter().map(Into::into).collect(),
        at_ms: at.0,
        records: records.into_iter().filter_map(|record| by_subject(record).or_else(|| by_operator(record))).collect(),
    }
}

fn field(site: &Site, decided: &Decided) -> Explained {
    let how = site.facts.generalize.as_ref().filter(|_| decided.treatment == Treatment::Generalize);
    Explained {
        path: site.path.to_string(),
        sensitivity: v1::Sensitivity::from(site.facts.sensitivity).into(),
        category: site.facts.category.map_or(v1::Category::Unspecified, Into::into).into(),
        treatment: v1::Treatment::from(decided.treatment).into(),
        how: how.map(ToString::to_string).unwrap_or_default(),
        reason: decided.reason.to_string(),
        key_holders: if decided.treatment == Treatment::Encrypt { decided.holders.words().to_owned() } else { String::new() },
        decided_by: decided.reason.decided_by().to_owned(),
        record: decided.reason.record().map(id).unwrap_or_default(),
        policy: decided.reason.policy().map(ToString::to_string).unwrap_or_default(),
    }
}

/// Who signed a record of a standing, and by what right.
fn decider(standing: &Standing, record: RecordId) -> Option<Decider> {
    let of = |By { key, role }: By, word: &str, expires: UnixMs| Decider {
        record: id(record),
        role: word.to_owned(),
        signer: key.to_string(),
        authority: role.authority().map(id).unwrap_or_default(),
        expires_ms: instant(expires),
    };
    let granted = standing.grant(record).map(|grant| {
        let consent = grant.consent();
        of(consent.by, consent.by.role.word(), consent.expires)
    });
    granted.or_else(|| standing.agreement(record).map(|agreed| of(agreed.agreement().by, "agreement", UnixMs::NEVER)))
}

fn id(record: RecordId) -> Bytes {
    Bytes::copy_from_slice(&record.0)
}

/// In milliseconds; 0 for never.
fn instant(at: UnixMs) -> i64 {
    if at == UnixMs::NEVER { 0 } else { at.0 }
}
