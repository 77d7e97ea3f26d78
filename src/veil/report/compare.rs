//! A report held against what is counted again: every figure, every entry behind it, every line.

use super::document::Report;
use super::doubt::ReportDoubt;
use super::figures::{PERSONS, untold};
use super::table::{Figure, Table};

/// The most that is told of; a report in which more differs is another report.
const DOUBTS_MAX: usize = 1_000;

/// What of a report is not as it is counted.
pub fn compare(said: &Report, counted: &Report) -> Vec<ReportDoubt> {
    let mut found = Found(Vec::new());
    let Report { format, gateway, period, made, log, operator, process, objectives, elements, tables, demands, statements, risk } = said;
    found.same("format", format, &counted.format);
    found.same("gateway", gateway, &counted.gateway);
    found.same("period", &format!("{} to {}", period.from, period.until), &format!("{} to {}", counted.period.from, counted.period.until));
    found.same("made", made, &counted.made);
    found.same(
        "log",
        &format!("{} {} {}", log.key, log.size, log.root),
        &format!("{} {} {}", counted.log.key, counted.log.size, counted.log.root),
    );
    for (place, same) in [
        ("operator", *operator == counted.operator),
        ("process", *process == counted.process),
        ("objectives", *objectives == counted.objectives),
        ("risk", *risk == counted.risk),
    ] {
        found.same(place, if same { "the same" } else { "something" }, if same { "the same" } else { "something else" });
    }
    let element = |element: &super::document::Element| {
        // Whether persons are counted is the report's own word.
        let answered = element.places.iter().any(|place| place == PERSONS) || element.answered;
        (format!("elements/{} {}", element.standard, element.number), format!("{} {answered} {}", element.asks, element.places.join(" ")))
    };
    found.lists(elements.iter().map(element), counted.elements.iter().map(element));
    found.lists(
        demands.iter().map(|line| (format!("demands/{}", line.demand), json(line))),
        counted.demands.iter().map(|line| (format!("demands/{}", line.demand), json(line))),
    );
    found.lists(
        statements.iter().map(|line| (format!("statements/{}", line.name), json(line))),
        counted.statements.iter().map(|line| (format!("statements/{}", line.name), json(line))),
    );
    found.lists(
        tables.iter().map(|table| (table.id.clone(), heads(table))),
        counted.tables.iter().map(|table| (table.id.clone(), heads(table))),
    );
    for table in tables {
        if let Some(counted) = counted.table(&table.id) {
            found.table(table, counted);
        }
    }
    found.0
}

fn json<T: serde::Serialize>(line: &T) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

/// Everything of a table but its figures.
fn heads(table: &Table) -> String {
    let rows: Vec<&str> = table.rows.iter().flat_map(|row| [row.id.as_str(), row.title.as_str()]).collect();
    let columns: Vec<&str> = table.columns.iter().flat_map(|column| [column.id.as_str(), column.title.as_str()]).collect();
    let Table { title, says, answers, of, total, .. } = table;
    format!("{title} | {says} | {} | {of} | {} | {} | {}", answers.join(" "), columns.join(" "), rows.join(" "), total.is_some())
}

struct Found(Vec<ReportDoubt>);

impl Found {
    fn push(&mut self, doubt: ReportDoubt) {
        if self.0.len() < DOUBTS_MAX {
            self.0.push(doubt);
        }
    }

    fn same(&mut self, place: &str, said: &str, counted: &str) {
        if said != counted {
            self.push(ReportDoubt::Differs { place: place.into(), said: cut(said), counted: cut(counted) });
        }
    }

    /// Lines by their names, in whatever order.
    fn lists(&mut self, said: impl Iterator<Item = (String, String)>, counted: impl Iterator<Item = (String, String)>) {
        let (said, counted): (Vec<_>, Vec<_>) = (said.collect(), counted.collect());
        for (place, line) in &said {
            match counted.iter().find(|(other, _)| other == place) {
                Some((_, other)) => self.same(place, line, other),
                None => self.push(ReportDoubt::Differs { place: place.clone(), said: "that it is there".into(), counted: "not".into() }),
            }
        }
        for (place, _) in counted.iter().filter(|(place, _)| !said.iter().any(|(other, _)| other == place)) {
            self.push(ReportDoubt::Differs { place: place.clone(), said: "nothing".into(), counted: "there".into() });
        }
        let order = |list: &[(String, String)]| list.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>().join(" ");
        if said.len() == counted.len() {
            self.same("order", &order(&said), &order(&counted));
        }
    }

    fn table(&mut self, said: &Table, counted: &Table) {
        let persons = said.id == PERSONS;
        if let Some(place) = untold(said).filter(|_| persons) {
            self.push(ReportDoubt::TellsPersons(place));
        }
        for row in &said.rows {
            let Some(other) = counted.row(&row.id) else { continue };
            for ((column, said_figure), counted_figure) in said.columns.iter().zip(&row.figures).zip(&other.figures) {
                self.figure(&format!("{}/{}/{}", said.id, row.id, column.id), said_figure, counted_figure, persons);
            }
        }
        for (column, (said_figure, counted_figure)) in
            said.columns.iter().zip(said.total.iter().flatten().zip(counted.total.iter().flatten()))
        {
            self.figure(&format!("{}/total/{}", said.id, column.id), said_figure, counted_figure, persons);
        }
    }

    /// Of persons only the entries behind a figure can be counted again.
    fn figure(&mut self, place: &str, said: &Figure, counted: &Figure, persons: bool) {
        if said.value != counted.value && !persons {
            self.same(place, &said.value.to_string(), &counted.value.to_string());
        }
        self.same(&format!("{place}/leaves"), &written(&said.leaves), &written(&counted.leaves));
    }
}

/// Entries, runs of them as `4–9`.
pub(super) fn written(leaves: &[u64]) -> String {
    let runs = leaves.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let texts: Vec<String> = runs
        .map(|run| match run {
            [first, .., last] if run.len() > 2 => format!("{first}–{last}"),
            run => run.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
        .collect();
    if texts.is_empty() { "none".into() } else { texts.join(", ") }
}

fn cut(text: &str) -> String {
    let short: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    if short.len() < text.len() && short.chars().count() == 200 { format!("`{short}…`") } else { format!("`{short}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_entries_are_written_short() {
        assert_eq!(written(&[]), "none");
        assert_eq!(written(&[4]), "4");
        assert_eq!(written(&[4, 5]), "4, 5");
        assert_eq!(written(&[1, 4, 5, 6, 9, u64::MAX]), format!("1, 4–6, 9, {}", u64::MAX));
    }
}
