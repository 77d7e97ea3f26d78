//! Does every term of the Data Privacy Vocabulary that is read or written here exist, in the module that it is said to be of?

use std::collections::BTreeSet;

use twinveil::veil::demand::Reason;
use twinveil::veil::dpv;
use twinveil::veil::terms::{Category, Treatment, purpose};

use super::published_text;

/// The terms of a module: the first column of its list.
fn terms(module: &str) -> Option<BTreeSet<String>> {
    let text = published_text(&format!("dpv/{module}.csv"))?;
    let terms: BTreeSet<String> =
        text.lines().skip(1).filter_map(|line| Some(line.strip_prefix('"')?.split_once('"')?.0.to_owned())).collect();
    assert!(terms.len() > 3, "{module}");
    Some(terms)
}

#[test]
fn every_term_of_the_vocabulary_exists() {
    let Some(purposes) = terms("purposes") else { return };
    let unknown: Vec<_> = dpv::PURPOSES.iter().filter(|term| !purposes.contains(**term)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // And none is missing, but for the two properties in the list.
    let classes = purposes.iter().filter(|term| !term.starts_with("has"));
    let refused: Vec<_> = classes.filter(|term| purpose(&format!("dpv:{term}")).is_none()).collect();
    assert!(refused.is_empty(), "{refused:?}");

    let measures = Treatment::ALL.iter().filter_map(|treatment| dpv::technical_measure(*treatment)).collect();
    let data = Category::ALL.iter().filter_map(|category| dpv::personal_data(*category)).collect();
    for (module, used) in [
        ("consent_status", vec![dpv::GIVEN, dpv::RENEWED, dpv::REFUSED, dpv::WITHDRAWN]),
        ("legal_basis", vec![dpv::CONSENT]),
        ("processing", vec![dpv::DISCLOSE]),
        ("technical_measures", measures),
        ("pd", data),
        ("justifications", Reason::ALL.iter().filter_map(|reason| reason.dpv()).collect()),
    ] {
        let known = terms(module).unwrap();
        assert!(!used.is_empty(), "{module}");
        for term in used {
            assert!(known.contains(term), "`{term}` is not in `{module}`");
        }
    }
}

#[test]
fn every_purpose_that_examples_name_exists() {
    // What people copy: the sample policy, the page on signing, the README.
    for name in ["src/cli/assets/policy.cedar", "src/manual/signing.md", "README.md"] {
        let text = crate::manual::read(name);
        let named: BTreeSet<&str> =
            text.split("dpv:").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap()).collect();
        let unknown: Vec<_> = named.iter().filter(|term| !term.is_empty() && purpose(&format!("dpv:{term}")).is_none()).collect();
        assert!(named.len() > 1 && unknown.is_empty(), "{name}: {unknown:?}");
    }
}
