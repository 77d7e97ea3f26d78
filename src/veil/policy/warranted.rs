//! What a recipient may have under a legal demand: the fields that were decided to be released, and no other, whatever is public or was
//! agreed to elsewhere. The schema's floors and the operator's policy take away from it as from any consent.

use super::super::consent::deciding::Deciding;
use super::super::consent::rule::Effect;
use super::super::schema::{Schema, Site};
use super::super::terms::Treatment;
use super::decide::{align_pairs, decide_site, drop_without_required, matches, strip};
use super::{Decision, Floor, FloorTable, Reason};

/// Decides every site of a schema: what `released` permits, each field with all below it, and nothing else.
pub fn warranted(schema: &Schema, floors: &FloorTable, released: &Deciding<'_>) -> Decision {
    let nothing = Floor { treatment: Treatment::Strip, policy: None };
    let decided = |(index, site): (usize, &Site)| {
        if !released.rules.iter().any(|at| at.rule.effect == Effect::Permit && matches(at.rule, site)) {
            return strip(Reason::NotWarranted);
        }
        let mut decided = decide_site(site, floors.0.get(index).unwrap_or(&nothing), Some(released), None);
        if let Reason::Consent(decision, _) = decided.reason {
            decided.reason = Reason::Warrant(decision);
        }
        decided
    };
    let mut decision = Decision { sites: schema.sites().iter().enumerate().map(decided).collect() };
    align_pairs(schema, &mut decision);
    drop_without_required(schema, &mut decision);
    decision
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::veil::consent::deciding::DecidingRule;
    use crate::veil::consent::rule::Rule;
    use crate::veil::name::{FieldPath, RecordId, SealKey};
    use crate::veil::policy::Holders;
    use crate::veil::schema::{load_annotated, selector};

    const DECISION: RecordId = RecordId([9; 32]);

    fn schema(message: &str) -> Schema {
        load_annotated(crate::proto::SAMPLES, message).expect("built in")
    }

    fn patient() -> Schema {
        schema("twinveil.sample.PatientFrame")
    }

    fn released(path: &str, treatment: Treatment) -> Rule {
        let selector = Some(FieldPath::new(path));
        Rule {
            effect: Effect::Permit,
            category: None,
            sensitivity: None,
            selector,
            treatment,
            recipient_holds_key: treatment == Treatment::Encrypt,
        }
    }

    fn kept(paths: &[&str]) -> Vec<Rule> {
        paths.iter().map(|path| released(path, Treatment::Keep)).collect()
    }

    fn decided(schema: &Schema, floor: Treatment, rules: &[Rule]) -> Decision {
        let floors = FloorTable(vec![Floor { treatment: floor, policy: None }; schema.sites().len()]);
        let numbered = (0..).zip(rules).map(|(index, rule)| DecidingRule { record: DECISION, index, rule });
        warranted(schema, &floors, &Deciding { rules: numbered.collect(), recipient_key: Some(SealKey([1; 32])), ..Deciding::default() })
    }

    /// What is not stripped, and how it is treated.
    fn shown(schema: &Schema, decision: &Decision) -> Vec<(String, Treatment)> {
        let sites = schema.sites().iter().zip(&decision.sites).filter(|(_, decided)| decided.treatment != Treatment::Strip);
        sites.map(|(site, decided)| (site.path.to_string(), decided.treatment)).collect()
    }

    #[test]
    fn exactly_what_was_decided_is_released_and_nothing_that_is_public() {
        let schema = patient();
        let decision = decided(&schema, Treatment::Keep, &kept(&["vitals.heart_rate_bpm"]));
        assert_eq!(shown(&schema, &decision), [("vitals.heart_rate_bpm".to_owned(), Treatment::Keep)]);
        let at = |path: &str| schema.sites().iter().position(|site| site.path.as_str() == path).expect("a site");
        assert_eq!(decision.sites[at("vitals.heart_rate_bpm")].reason, Reason::Warrant(DECISION));
        assert_eq!(decision.sites[at("note")].reason, Reason::NotWarranted);
        assert!(shown(&schema, &decided(&schema, Treatment::Keep, &[])).is_empty());
    }

    #[test]
    fn floors_and_policy_take_away_from_it() {
        let schema = patient();
        let with = |floor| shown(&schema, &decided(&schema, floor, &kept(&["vitals", "identity", "note"])));
        assert!(!with(Treatment::Generalize).is_empty());
        assert!(with(Treatment::Generalize).iter().all(|(_, treatment)| *treatment >= Treatment::Generalize));
        assert!(with(Treatment::Encrypt).is_empty(), "there is nobody to seal to");
        assert!(with(Treatment::Strip).is_empty());
        let rules = kept(&["vitals"]);
        let numbered = rules.iter().map(|rule| DecidingRule { record: DECISION, index: 0, rule }).collect();
        let none = warranted(&schema, &FloorTable(Vec::new()), &Deciding { rules: numbered, ..Deciding::default() });
        assert!(shown(&schema, &none).is_empty(), "no policy allows anything");
    }

    #[test]
    fn a_subject_who_consents_says_how() {
        let schema = patient();
        let rules = [released("vitals.heart_rate_bpm", Treatment::Generalize), released("note", Treatment::Encrypt)];
        let decision = decided(&schema, Treatment::Keep, &rules);
        let expected = [("note", Treatment::Encrypt), ("vitals.heart_rate_bpm", Treatment::Generalize)];
        let mut found = shown(&schema, &decision);
        found.sort();
        assert_eq!(found, expected.map(|(path, treatment)| (path.to_owned(), treatment)));
        let sealed = decision.sites.iter().find(|site| site.treatment == Treatment::Encrypt).expect("sealed");
        assert_eq!(sealed.holders, Holders::VaultAndRecipient);
    }

    #[test]
    fn one_coordinate_alone_is_no_place() {
        let schema = patient();
        assert!(shown(&schema, &decided(&schema, Treatment::Keep, &kept(&["position.latitude"]))).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_outside_what_was_decided_is_ever_shown(chosen in prop::collection::btree_set(0usize..200, 0..12), turbine: bool) {
            let schema = schema(if turbine { "twinveil.sample.TurbineFrame" } else { "twinveil.sample.PatientFrame" });
            let paths: Vec<&str> = chosen.iter().filter_map(|at| schema.sites().get(*at)).map(|site| site.path.as_str()).collect();
            for (path, _) in shown(&schema, &decided(&schema, Treatment::Keep, &kept(&paths))) {
                prop_assert!(paths.iter().any(|released| selector::covers(released, &path)), "{}", path);
            }
        }
    }
}
