//! Policies after which no rule bites: what is suggested, in the language that it is put in force in.

use std::collections::{BTreeMap, BTreeSet};

use super::flows::Flows;
use crate::veil::name::{Purpose, Spiffe};
use crate::veil::risk::Audience;
use crate::veil::terms::Treatment;

/// Fields that get the same floor, for one recipient and message type.
type Floors<'f> = BTreeMap<(&'f Spiffe, &'f str, Treatment, Vec<&'f str>), BTreeSet<Option<&'f Purpose>>>;

/// Policies to add to this one; a comment where none is needed.
pub(super) fn policies(flows: &Flows<'_>, policy: &str) -> String {
    let floors = floors(flows);
    if floors.is_empty() {
        return "// No rule bites: nothing to add.".to_owned();
    }
    let mut lines = vec![
        "// Suggested by `twinveil risk`: with these no rule of it bites. What is left may be less than a recipient needs: take what you"
            .to_owned(),
        "// can do without, and mend the rest in another way.".to_owned(),
    ];
    let taken = |number: usize| policy.contains(&format!("\"risk-{number}\""));
    let mut number = (1..).find(|number| !taken(*number)).unwrap_or(1);
    for ((recipient, schema, floor, paths), purposes) in &floors {
        let paths: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
        let when = format!(
            "when {{\n  resource.schema == {schema:?} &&\n  {} &&\n  [{}].contains(resource.path)\n}};",
            purpose(purposes, &flows.named),
            paths.join(", ")
        );
        let below: Vec<String> =
            Treatment::ALL.iter().filter(|treatment| *treatment < floor).map(|treatment| format!("Action::\"{treatment}\"")).collect();
        let actions = if *floor == Treatment::Strip { "action".to_owned() } else { format!("action in [{}]", below.join(", ")) };
        lines.push(format!("\n@id(\"risk-{number}\")\nforbid (principal == Recipient::\"{recipient}\", {actions}, resource)\n{when}"));
        // Whoever was permitted more was permitted this; the policy may not have said so.
        if *floor != Treatment::Strip {
            lines.push(format!(
                "\n@id(\"risk-{number}-instead\")\npermit (principal == Recipient::\"{recipient}\", action == Action::\"{floor}\", resource)\n{when}"
            ));
        }
        number = (number + 1..).find(|number| !taken(*number)).unwrap_or(number + 1);
    }
    lines.join("\n")
}

fn floors<'f>(flows: &'f Flows<'_>) -> Floors<'f> {
    // What one field of one recipient needs, for one purpose: the strictest.
    let mut strictest: BTreeMap<(&Spiffe, &str, Option<&Purpose>, &str), Treatment> = BTreeMap::new();
    for (view, site, floor) in flows.assessment.remedies() {
        let Some(view) = flows.assessment.views().get(view) else { continue };
        let Some(site) = view.face.schema().sites().get(site.0 as usize) else { continue };
        for Audience { recipient, purpose, .. } in &view.to {
            let known =
                strictest.entry((recipient, view.face.schema().name().as_str(), purpose.as_ref(), site.path.as_str())).or_insert(floor);
            *known = floor.max(*known);
        }
    }
    let mut by_purpose: BTreeMap<(&Spiffe, &str, Option<&Purpose>, Treatment), Vec<&str>> = BTreeMap::new();
    for ((recipient, schema, purpose, path), floor) in strictest {
        by_purpose.entry((recipient, schema, purpose, floor)).or_default().push(path);
    }
    let mut floors = Floors::new();
    for ((recipient, schema, purpose, floor), paths) in by_purpose {
        floors.entry((recipient, schema, floor, paths)).or_default().insert(purpose);
    }
    floors
}

/// The condition that the purpose is one of these; none stands for all that are not named.
fn purpose(purposes: &BTreeSet<Option<&Purpose>>, named: &[Purpose]) -> String {
    let list = |purposes: &mut dyn Iterator<Item = &Purpose>| {
        let terms: Vec<String> = purposes.map(|purpose| format!("Purpose::\"{purpose}\"")).collect();
        format!("[{}].contains(context.purpose)", terms.join(", "))
    };
    let those = list(&mut purposes.iter().copied().flatten());
    let others = || format!("!{}", list(&mut named.iter()));
    match (purposes.contains(&None), purposes.len()) {
        (false, _) => those,
        // Cedar knows no type of an empty list.
        (true, 1) if named.is_empty() => "true".to_owned(),
        (true, 1) => others(),
        (true, _) => format!("({those} || {})", others()),
    }
}
