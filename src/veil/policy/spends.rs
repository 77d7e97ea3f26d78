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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::SAMPLES;
    use crate::veil::consent::deciding::DecidingRule;
    use crate::veil::consent::rule::Rule;
    use crate::veil::name::FieldPath;
    use crate::veil::policy::{Floor, FloorTable, decide};
    use crate::veil::schema::load_annotated;

    fn permit(path: &str, treatment: Treatment) -> Rule {
        let selector = Some(FieldPath::new(path));
        Rule { effect: Effect::Permit, category: None, sensitivity: None, selector, treatment, recipient_holds_key: false }
    }

    /// One rule a record; the records with these numbers count.
    fn deciding<'r>(rules: &'r [Rule], counted: &[u8]) -> Deciding<'r> {
        let rules = (0u8..).zip(rules).map(|(n, rule)| DecidingRule { record: RecordId([n; 32]), index: 0, rule }).collect();
        let counted = counted.iter().map(|n| Counted { record: RecordId([*n; 32]), max: 5 }).collect();
        Deciding { rules, counted, ..Deciding::default() }
    }

    fn spent(message: &str, subject: &Deciding<'_>, mandate: &Deciding<'_>) -> Vec<u8> {
        let schema = load_annotated(SAMPLES, message).expect("built in");
        let floors = FloorTable(schema.sites().iter().map(|_| Floor { treatment: Treatment::Keep, policy: None }).collect());
        let decision = decide(&schema, &floors, Some(subject), Some(mandate));
        spends(&schema, &decision, Some(subject), Some(mandate)).iter().map(|counted| counted.record.0[0]).collect()
    }

    const PATIENT: &str = "twinveil.sample.PatientFrame";
    const TURBINE: &str = "twinveil.sample.TurbineFrame";

    #[test]
    fn a_message_uses_the_counted_records_that_its_fields_rest_on() {
        let rules = [permit("vitals", Treatment::Keep), permit("note", Treatment::Keep), permit("nowhere", Treatment::Keep)];
        let none = deciding(&[], &[]);
        assert_eq!(spent(PATIENT, &deciding(&rules, &[0]), &none), [0]);
        assert_eq!(spent(PATIENT, &deciding(&rules, &[0, 1]), &none), [0, 1]);
        assert!(spent(PATIENT, &deciding(&rules, &[]), &none).is_empty());
        assert!(spent(PATIENT, &deciding(&rules, &[2]), &none).is_empty(), "no field rests on it");
        // The stricter of two decides, and the other is used with it: it is a permit for what is seen.
        let both = [permit("vitals", Treatment::Keep), permit("vitals", Treatment::Generalize)];
        assert_eq!(spent(PATIENT, &deciding(&both, &[0]), &none), [0]);
    }

    #[test]
    fn where_delivery_rests_on_counted_records_alone_each_message_uses_them() {
        let rules = [permit("nowhere", Treatment::Keep), permit("elsewhere", Treatment::Keep)];
        let none = deciding(&[], &[]);
        assert_eq!(spent(PATIENT, &deciding(&rules, &[0, 1]), &none), [0, 1]);
        assert_eq!(spent(TURBINE, &none, &deciding(&rules, &[0, 1])), [0, 1]);
        // A mandate delivers no patient's frames.
        assert!(spent(PATIENT, &none, &deciding(&rules, &[0, 1])).is_empty());
        let condition = [permit("condition", Treatment::Keep)];
        assert_eq!(spent(TURBINE, &none, &deciding(&condition, &[0])), [0]);
    }
}
