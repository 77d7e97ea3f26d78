//! `report.csv`: every figure and every word in one long table (RFC 4180, UTF-8), for whoever counts in a spreadsheet.

use super::compare::written;
use super::document::Report;
use super::table::{Figure, Value};

const COLUMNS: [&str; 11] = ["section", "table", "row", "row_title", "column", "column_title", "value", "least", "most", "unit", "entries"];

/// The whole of it.
pub fn csv(report: &Report) -> String {
    let mut lines = Lines(String::new());
    lines.push(COLUMNS);
    let text = |lines: &mut Lines, section: &str, row: &str, column: &str, value: &str| {
        lines.push([section, "", row, "", column, "", value, "", "", "text", ""]);
    };
    for (column, value) in [
        ("format", report.format.as_str()),
        ("gateway", &report.gateway),
        ("from", &report.period.from),
        ("until", &report.period.until),
        ("made", &report.made),
        ("log_key", &report.log.key),
        ("log_size", &report.log.size.to_string()),
        ("log_root", &report.log.root),
        ("operator", &report.operator.name),
        ("about", report.operator.about.as_deref().unwrap_or_default()),
        ("contact", report.operator.contact.as_deref().unwrap_or_default()),
    ] {
        text(&mut lines, "report", "", column, value);
    }
    for table in &report.tables {
        let total = table.total.iter().map(|figures| ("total", "Total", figures));
        let rows = table.rows.iter().map(|row| (row.id.as_str(), row.title.as_str(), &row.figures)).chain(total);
        for (row, row_title, figures) in rows {
            for (column, figure) in table.columns.iter().zip(figures) {
                lines.figure([&table.id, row, row_title, &column.id, &column.title], figure);
            }
        }
    }
    for demand in &report.demands {
        let stage = |met: &Option<bool>| met.map_or("not answered", |met| if met { "met" } else { "not met" });
        let stages: Vec<&str> = demand.stages.iter().map(stage).collect();
        for (column, value) in [
            ("entry", demand.entry.to_string()),
            ("hour", demand.hour.clone()),
            ("jurisdiction", demand.jurisdiction.clone()),
            ("source", demand.source.clone()),
            ("authority", demand.authority.clone()),
            ("process", demand.process.clone()),
            ("statute", demand.statute.clone()),
            ("asks", demand.asks.clone()),
            ("content", demand.content.to_string()),
            ("about", demand.about.clone()),
            ("emergency", demand.emergency.to_string()),
            ("gag_basis", demand.gag_basis.clone().unwrap_or_default()),
            ("stages", stages.join("; ")),
            ("outcome", demand.outcome.clone().unwrap_or_default()),
            ("reasons", demand.reasons.join("; ")),
            ("by_consent", demand.by_consent.to_string()),
            ("challenges", demand.challenges.join("; ")),
            ("told", demand.told.clone().unwrap_or_default()),
            ("releases", demand.releases.to_string()),
            ("entries", written(&demand.leaves)),
        ] {
            text(&mut lines, "demand", &demand.demand, column, &value);
        }
    }
    for statement in &report.statements {
        let standing = serde_json::to_value(statement.standing).ok();
        for (column, value) in [
            ("text", statement.text.as_str()),
            ("standing", standing.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default()),
            ("since", &statement.since),
            ("renew_by", statement.renew_by.as_deref().unwrap_or_default()),
            ("lapsed", &written(&statement.lapsed)),
            ("entries", &written(&statement.leaves)),
        ] {
            text(&mut lines, "statement", &statement.name, column, value);
        }
    }
    risk(&mut lines, report);
    for (number, objective) in (1..).zip(&report.objectives) {
        let reached = objective.reached.map_or("not yet known", |reached| if reached { "yes" } else { "no" });
        for (column, value) in
            [("name", objective.name.as_str()), ("measure", &objective.measure), ("outcome", &objective.outcome), ("reached", reached)]
        {
            text(&mut lines, "objective", &format!("{number}"), column, value);
        }
    }
    for (number, asks, said) in report.process.elements() {
        text(&mut lines, "process", &format!("RDR P10a {number}"), asks, said.unwrap_or_default());
    }
    text(&mut lines, "process", "RDR P11a 8", "forbidden", report.process.forbidden.as_deref().unwrap_or_default());
    for element in &report.elements {
        let row = format!("{} {}", element.standard, element.number);
        text(&mut lines, "element", &row, if element.answered { "answered" } else { "not answered" }, &element.places.join("; "));
    }
    lines.0
}

/// What the operator assessed: what flows and which rules bite, each assessment as a table of its own.
fn risk(lines: &mut Lines, report: &Report) {
    for (number, one) in (1..).zip(&report.risk) {
        let table = format!("assessment {number}");
        let mut line = |row: &str, row_title: &str, column: &str, value: &str, unit: &str| {
            lines.push(["risk", &table, row, row_title, column, "", value, "", "", unit, ""]);
        };
        line("basis", "", "", &one.basis(), "text");
        for flow in &one.summary.flows {
            flow.fields.iter().for_each(|(treatment, many)| line(&flow.group, &flow.category, treatment, &many.to_string(), "fields"));
        }
        for bite in &one.summary.bites {
            let groups = bite.groups.join("; ");
            for (column, value) in [("severity", bite.severity.as_str()), ("how", bite.how()), ("groups", &groups)] {
                line(&bite.rule, &bite.infers, column, value, "text");
            }
        }
        let summary = &one.summary;
        for (kind, of) in [("shown", summary.shown), ("with_keys", summary.with_keys), ("pooled", summary.pooled)] {
            of.each().iter().for_each(|(severity, many)| line(kind, "", severity.word(), &many.to_string(), "findings"));
        }
        for change in one.changes.iter().flatten() {
            let worse = if change.worse { "worse" } else { "better" };
            line(change.rule.as_deref().unwrap_or_default(), &change.what, worse, &change.many.to_string(), "changes");
        }
    }
}

struct Lines(String);

impl Lines {
    fn push(&mut self, cells: [&str; 11]) {
        for (at, cell) in cells.into_iter().enumerate() {
            if at > 0 {
                self.0.push(',');
            }
            self.cell(cell);
        }
        self.0.push_str("\r\n");
    }

    /// Quoted where need be. A cell that a spreadsheet would take for a formula gets a quotation mark in front, as spreadsheets do it.
    fn cell(&mut self, text: &str) {
        let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if !formula && !text.contains([',', '"', '\n', '\r']) {
            return self.0.push_str(text);
        }
        self.0.push('"');
        if formula {
            self.0.push('\'');
        }
        self.0.push_str(&text.replace('"', "\"\""));
        self.0.push('"');
    }

    fn figure(&mut self, [table, row, row_title, column, column_title]: [&str; 5], figure: &Figure) {
        let text = |number: u64| number.to_string();
        let (value, least, most, unit) = match figure.value {
            Value::Count(count) => (text(count), String::new(), String::new(), "count"),
            Value::Sum(sum) => (text(sum), String::new(), String::new(), "sum"),
            Value::Between { least, most } => (String::new(), text(least), text(most), "suppressed count"),
            Value::MedianHours(hours) => (text(hours), String::new(), String::new(), "hours"),
            Value::None => (String::new(), String::new(), String::new(), "none"),
        };
        let entries = figure.leaves.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        self.push(["figure", table, row, row_title, column, column_title, &value, &least, &most, unit, &entries]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_none_is_a_formula() {
        let mut lines = Lines(String::new());
        lines.push(["a", "b,c", "d\"e", "f\ng", "=1+1", "@x", "-1", "+1", "", "ü", "x=1"]);
        assert_eq!(lines.0, "a,\"b,c\",\"d\"\"e\",\"f\ng\",\"'=1+1\",\"'@x\",\"'-1\",\"'+1\",,ü,x=1\r\n");
    }
}
