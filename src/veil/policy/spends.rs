//! Which counted consents a message uses that is handed over under a decision: those that one of its fields rests on, and those that
//! its delivery does. When in doubt it is used: a use may be lost, and none is gained.

use super::super::consent::deciding::{Counted, Deciding};
use super::super::consent::rule::Effect;
use super::super::name::RecordId;
use super::super::schema::Schema;
use super::super::terms::{Sensitivity, Treatment};
use super::Decision;
use super::decide::matches;

/// The counted records that each message uses, and how often each may be.
pub fn spends(schema: &Schema, decision: &Decision, subject: Option<&Deciding<'_>>, mandate: Option<&Deciding<'_>>) -> Vec<Counted> {
    let delivery = match schema.subject_sites().map(|site| site.facts.sensitivity).max() {
        None | Some(Sensitivity::Public) => (false, false),
        Some(Sensitivity::Operational) => (true, true),
        Some(Sensitivity::Personal | Sensitivity::Special | Sensitivity::Identifying) => (true, false),
    };
    let mut spends = Vec::new();
    for (deciding, delivers) in [(subject, delivery.0), (mandate, delivery.1)] {
        let Some(deciding) = deciding.filter(|deciding| !deciding.counted.is_empty()) else { continue };
        let is_counted = |record: RecordId| deciding.counted.iter().any(|counted| counted.record == record);
        let permits = || deciding.rules.iter().filter(|at| at.rule.effect == Effect::Permit && at.rule.treatment != Treatment::Strip);
        let all = delivers && permits().all(|at| is_counted(at.record));
        let shows = |record: RecordId| {
            let of_record = || permits().filter(|at| at.record == record);
            let visible = schema.sites().iter().zip(&decision.sites).filter(|(_, decided)| decided.treatment != Treatment::Strip);
            visible.into_iter().any(|(site, _)| of_record().any(|at| matches(at.rule, site)))
        };
        spends.extend(deciding.counted.iter().filter(|counted| all || shows(counted.record)));
    }
    spends
}
