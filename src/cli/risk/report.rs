//! What is printed: what flows, what can be inferred from it, what changed.

use serde_json::json;

use crate::cli::agreements::Agreements;
use crate::cli::table::Table;
use crate::cli::{CliError, OutputArgs, plain, say};
use crate::veil::risk::document::{Finding, To, View};
use crate::veil::risk::{Counts, Difference, Document, Opens};

/// Fields that a table names of each need; the JSON has all.
const NAMED_MAX: usize = 6;

/// Prints the assessment and, where there is an earlier one, what changed.
pub(super) fn tell(
    document: &Document,
    differences: Option<&[Difference]>,
    agreements: &Agreements,
    output: OutputArgs,
) -> Result<(), CliError> {
    if !output.is_json() {
        return say(text(document, differences, agreements));
    }
    say(serde_json::to_string(document).map_err(|_| CliError::broken("the assessment could not be written"))?)?;
    for Difference { worse, what, rule, who, schema, paths } in differences.into_iter().flatten() {
        let schema = (!schema.is_empty()).then_some(schema);
        let line = json!({
            "kind": "difference", "worse": worse, "what": what.word(), "rule": rule, "who": who, "schema": schema, "paths": paths,
        });
        say(line)?;
    }
    Ok(())
}

fn text(document: &Document, differences: Option<&[Difference]>, agreements: &Agreements) -> String {
    let keys = if agreements.records().is_empty() { ", and hand over every key" } else { "" };
    let mut lines = vec![
        format!("gateway  {}, in {}", plain(&document.gateway), plain(&document.jurisdiction)),
        format!("assumed  {}{keys}", agreements.words()),
        format!("rules    {}", document.summary.rules),
        format!("views    {} that differ", document.summary.views),
    ];
    if let Some(differences) = differences {
        lines.push(format!("\nSINCE THE EARLIER ASSESSMENT\n\n{}", changes(differences)));
    }
    lines.push(format!("\nWHAT FLOWS\n\n{}", flows(&document.views)));
    lines.push("\nWHAT CAN BE INFERRED".to_owned());
    let mut rest = document.findings.as_slice();
    while let [first, ..] = rest {
        // They stand in order: with one rule, those that are alike follow each other.
        let alike = rest.iter().take_while(|other| is_like(first, other)).count();
        let (block, later) = rest.split_at(alike);
        lines.push(format!("\n{}", findings(block)));
        rest = later;
    }
    let summary = &document.summary;
    let counted = [("shown", summary.shown), ("with keys", summary.with_keys), ("pooled", summary.pooled)];
    let mut table = Table::new(&["findings", "critical", "high", "medium", "low"]);
    for (name, Counts { critical, high, medium, low }) in counted {
        table.push([&name, &critical, &high, &medium, &low]);
    }
    lines.push(format!("\n{table}"));
    lines.join("\n")
}

fn flows(views: &[View]) -> String {
    let mut table = Table::new(&["view", "message, to whom", "what", "how"]);
    for (index, view) in views.iter().enumerate() {
        let whose = view.subject.as_ref().map(|subject| format!("\nby the consents of {subject}")).unwrap_or_default();
        let to: Vec<String> = view.to.iter().map(audience).collect();
        let (mut what, mut how) = (Vec::new(), Vec::new());
        for category in &view.categories {
            let of = || view.fields.iter().filter(|field| field.category == category.category);
            for (treatment, _) in &category.fields {
                for opens in [Opens::Yes, Opens::May, Opens::No] {
                    let many = of().filter(|field| field.treatment == *treatment && field.opens == opens).count();
                    if many > 0 {
                        what.push(category.category.clone());
                        how.push(format!("{treatment}{}: {}", opened(opens), counted(many, "field")));
                    }
                }
            }
        }
        table.push([&(index + 1), &format!("{}\n{}{whose}", view.schema, to.join("\n")), &what.join("\n"), &how.join("\n")]);
    }
    if table.is_empty() { "nothing flows".to_owned() } else { table.to_string() }
}

const fn opened(opens: Opens) -> &'static str {
    match opens {
        Opens::Yes => ", opened",
        Opens::May => ", may be opened",
        Opens::No => "",
    }
}

fn audience(to: &To) -> String {
    let purpose = if to.purpose == "*" { "any other purpose" } else { &to.purpose };
    let way = to.method.as_ref().map(|method| format!(", {} of {method}", to.way)).unwrap_or_default();
    format!("{} for {purpose}{way}", to.name)
}

fn is_like(one: &Finding, other: &Finding) -> bool {
    (&one.rule, one.pooled, one.with_keys) == (&other.rule, other.pooled, other.with_keys)
}

fn findings(block: &[Finding]) -> String {
    let Some(first) = block.first() else { return String::new() };
    let how = match (first.pooled, first.with_keys) {
        (false, false) => "",
        (false, true) => ", where keys are handed over",
        (true, false) => ", for two who pool",
        (true, true) => ", for two who pool, where keys are handed over",
    };
    let mut table = Table::new(&["view", "through", "stopped by"]);
    for finding in block {
        let views: Vec<String> = finding.views.iter().map(|view| (view + 1).to_string()).collect();
        let path = |view: usize, path: &str| match finding.pooled {
            true => format!("{}: {path}", view + 1),
            false => path.to_owned(),
        };
        let mut through: Vec<String> = Vec::new();
        for need in &finding.through {
            through.push(format!("{}:", need.need));
            through.extend(some(need.fields.iter().map(|(view, field)| format!("  {}", path(*view, field)))));
        }
        if finding.pooled {
            through.push("joined by:".to_owned());
            through.extend(some(finding.joined_by.iter().map(|field| format!("  {field}"))));
        }
        let mut stops = Vec::new();
        for (index, stop) in finding.stops.iter().enumerate() {
            stops.extend((index > 0).then(|| "or".to_owned()));
            stops.extend(some(stop.fields.iter().map(|field| format!("{} {}", field.floor, path(field.view, &field.path)))));
        }
        table.push([&views.join(" + "), &through.join("\n"), &stops.join("\n")]);
    }
    let sources: String = first.sources.iter().map(|source| format!("\n  {source}")).collect();
    format!("{}  {}{how}: {}\n{}{sources}\n\n{table}", first.severity, first.rule, first.infers, first.reason)
}

/// The first, and how many more there are.
fn some(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = all.collect();
    let more = all.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        all.truncate(NAMED_MAX);
        all.push(format!("  and {more} more"));
    }
    all
}

fn changes(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "nothing changed".to_owned();
    }
    let mut table = Table::new(&["", "what", "rule", "who", "message", "fields"]);
    for difference in differences {
        let worse = if difference.worse { "worse" } else { "better" };
        let what = difference.what.word().replace('_', " ");
        let rule = difference.rule.as_deref().unwrap_or_default();
        let fields = some(difference.paths.iter().cloned()).join("\n");
        table.push([&worse, &what, &rule, &difference.who, &difference.schema, &fields]);
    }
    table.to_string()
}

fn counted(many: usize, what: &str) -> String {
    format!("{many} {what}{}", if many == 1 { "" } else { "s" })
}
