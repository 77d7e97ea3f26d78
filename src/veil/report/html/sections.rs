//! The sections of the page: each chart with the table behind it.

use super::chart::{Bar, Legend, bars, columns, legend};
use super::lines;
use super::markup::Markup;
use super::overview::month;
use super::risk;
use super::tables::{grid, table};
use crate::veil::demand::Outcome;
use crate::veil::report::document::Report;
use crate::veil::report::table::{Figure, Row, Table, Value};

/// Writes a section's body.
pub(super) type Section = fn(&mut Markup, &Report);

/// In the order of the page.
pub(super) const ALL: [Section; 10] = [
    demands,
    test,
    answers,
    lines::statements,
    lines::objectives,
    lines::process,
    lines::every_demand,
    refusals,
    risk::section,
    lines::check,
];

const OUTCOMES: [(&str, &str, &str); 7] = [
    ("c1", "comply", "Complied with"),
    ("c2", "comply-in-part", "Complied with in part"),
    ("c3", "refuse", "Refused"),
    ("c4", "no-data", "No such data"),
    ("c5", "unable", "Could not be opened"),
    ("c6", "open", "Not decided yet"),
    ("c7", "forbidden", "May not be disclosed"),
];

fn demands(page: &mut Markup, report: &Report) {
    charted(page, report, "months", &[("c5", "Disclosed here"), ("c7", "May not be disclosed")], |page, table| {
        let column = |row: &Row| {
            let count = |column| count(table, &row.id, column);
            let shown = count("disclosed") + count("forbidden");
            Bar {
                label: month(&row.id),
                parts: vec![("c5", count("disclosed")), ("c7", count("forbidden"))],
                value: if shown == 0 { String::new() } else { Value::Count(shown).to_string() },
            }
        };
        // Past some width words would run together; the table has them all.
        let from = table.rows.len().saturating_sub(24);
        columns(page, &table.rows.iter().skip(from).map(column).collect::<Vec<_>>());
    });
    let meanings: Vec<(&'static str, &str)> = OUTCOMES.map(|(colour, _, title)| (colour, title)).into();
    charted(page, report, "countries", &meanings, by_outcome);
    charted(page, report, "asks", &meanings, by_outcome);
    plain(page, report, &["persons"]);
    charted(page, report, "sources", &meanings, by_outcome);
    plain(page, report, &["processes", "content", "reach", "emergencies"]);
}

fn test(page: &mut Markup, report: &Report) {
    page.raw(
        "<p>Data is released only where all of three conditions are met: the law and its jurisdiction cannot be challenged effectively; \
         there is an identifiable risk in not complying; and complying is in line with international human-rights norms. Two persons \
         sign, one of whom had no part in the case. There is no other way, but one: the person concerned consents to this one demand.</p>\n",
    );
    charted(page, report, "stages", &[("c5", "Met"), ("c3", "Not met"), ("c6", "Not answered")], |page, table| {
        let bar = |row: &Row| {
            let count = |column| count(table, &row.id, column);
            let parts = vec![("c5", count("met")), ("c3", count("not-met")), ("c6", count("not-answered"))];
            Bar {
                label: row.title.clone(),
                value: format!("{} of {} met", count("met"), parts.iter().map(|(_, count)| count).sum::<u64>()),
                parts,
            }
        };
        bars(page, &table.rows.iter().map(bar).collect::<Vec<_>>());
    });
    plain(page, report, &["determinations", "risks", "rights"]);
}

fn answers(page: &mut Markup, report: &Report) {
    charted(
        page,
        report,
        "reasons",
        &[("c3", "Refused"), ("c2", "In part"), ("c4", "No such data"), ("c5", "Could not be opened")],
        |page, table| {
            let bar = |row: &Row| {
                let count = |outcome: Outcome| count(table, &row.id, outcome.word());
                let parts = vec![
                    ("c3", count(Outcome::Refuse)),
                    ("c2", count(Outcome::ComplyInPart)),
                    ("c4", count(Outcome::NoData)),
                    ("c5", count(Outcome::Unable)),
                ];
                Bar { label: row.title.clone(), value: parts.iter().map(|(_, count)| count).sum::<u64>().to_string(), parts }
            };
            bars(page, &table.rows.iter().map(bar).collect::<Vec<_>>());
        },
    );
    plain(page, report, &["redesign", "scope", "challenges", "notices", "releases", "times"]);
}

fn refusals(page: &mut Markup, report: &Report) {
    plain(page, report, &["refused"]);
}

fn by_outcome(page: &mut Markup, table: &Table) {
    let bar = |row: &Row| {
        let received = count(table, &row.id, "received");
        let part = |(colour, column, _): (&'static str, &str, &str)| {
            let forbidden = row.id == "forbidden" && column == "forbidden";
            (colour, if forbidden { received } else { count(table, &row.id, column) })
        };
        Bar { label: row.title.clone(), parts: OUTCOMES.map(part).into(), value: Value::Count(received).to_string() }
    };
    bars(page, &table.rows.iter().map(bar).collect::<Vec<_>>());
}

fn count(table: &Table, row: &str, column: &str) -> u64 {
    table.figure(row, column).and_then(Figure::count).unwrap_or_default()
}

/// A chart and, behind it, its table.
fn charted(page: &mut Markup, report: &Report, id: &str, meanings: Legend<'_>, draw: impl Fn(&mut Markup, &Table)) {
    let Some(table) = report.table(id) else { return };
    page.raw("<div class=\"block\"").attribute("id", &table.id).raw(">\n");
    page.wrap("<h3>", &table.title, "</h3>\n").wrap("<p class=\"says\">", &table.says, "</p>\n");
    if !table.rows.is_empty() {
        page.raw("<figure>\n").wrap(
            "<figcaption>",
            format_args!("{}, as a chart; the table below says the same.", table.title),
            "</figcaption>\n",
        );
        draw(page, table);
        legend(page, meanings);
        page.raw("</figure>\n");
    }
    grid(page, table);
    page.raw("</div>\n");
}

fn plain(page: &mut Markup, report: &Report, ids: &[&str]) {
    ids.iter().filter_map(|id| report.table(id)).for_each(|found| table(page, found));
}
