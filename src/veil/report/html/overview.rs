//! The top of the page: whose report, of when, and the figures that are asked for first.

use super::markup::Markup;
use crate::veil::demand::Outcome;
use crate::veil::report::document::Report;
use crate::veil::report::figures::PERSONS;
use crate::veil::report::table::{Figure, Value};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// `31 January 2026`, of an RFC 3339 instant.
pub(super) fn day(instant: &str) -> String {
    let number = |from: usize, to: usize| instant.get(from..to).and_then(|digits| digits.parse::<usize>().ok());
    match (number(0, 4), number(5, 7).and_then(|month| MONTHS.get(month.wrapping_sub(1))), number(8, 10)) {
        (Some(year), Some(month), Some(day)) => format!("{day} {month} {year}"),
        _ => instant.to_owned(),
    }
}

/// `Jan`, of `2026-01`.
pub(super) fn month(month: &str) -> String {
    let number = month.get(5..7).and_then(|digits| digits.parse::<usize>().ok());
    let name = number.and_then(|number| MONTHS.get(number.wrapping_sub(1))).and_then(|name| name.get(..3));
    name.unwrap_or(month).to_owned()
}

/// The first and last day of the period.
pub(super) fn days(report: &Report) -> String {
    let last = report.period().map(|period| crate::veil::name::UnixMs(period.until.0 - 1).to_string());
    format!("{} to {}", day(&report.period.from), day(last.as_deref().unwrap_or(&report.period.until)))
}

fn sum<'r>(report: &'r Report, table: &str, column: &str) -> Option<&'r Figure> {
    report.table(table)?.sum(column)
}

fn count(report: &Report, table: &str, column: &str) -> u64 {
    sum(report, table, column).and_then(Figure::count).unwrap_or_default()
}

/// What happened in the period, in numbers.
struct Story {
    received: u64,
    forbidden: u64,
    released: u64,
    nothing: u64,
    open: u64,
    countries: usize,
    redesign: u64,
    persons: Value,
}

impl Story {
    fn new(report: &Report) -> Self {
        let outcomes = |releases: bool| {
            let asked = Outcome::ALL.iter().filter(move |outcome| outcome.releases() == releases);
            asked.map(|outcome| count(report, "countries", outcome.word())).sum()
        };
        let countries = report.table("countries").map(|table| table.rows.iter().filter(|row| row.id != "forbidden").count());
        Self {
            received: count(report, "countries", "received"),
            forbidden: count(report, "months", "forbidden"),
            released: outcomes(true),
            nothing: outcomes(false),
            open: count(report, "countries", "open"),
            countries: countries.unwrap_or_default(),
            redesign: count(report, "redesign", "received"),
            persons: sum(report, PERSONS, "all").map_or(Value::None, |figure| figure.value),
        }
    }
}

/// `no demand`, `1 demand`, `12 demands`.
fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{} {many}", Value::Count(count)),
    }
}

pub(super) fn header(page: &mut Markup, report: &Report) {
    let story = Story::new(report);
    page.raw("<header>\n").wrap("<p class=\"operator\">", &report.operator.name, "</p>\n");
    page.raw("<h1>Transparency report</h1>\n").wrap("<p class=\"period\">", days(report), "</p>\n");
    if let Some(about) = &report.operator.about {
        page.raw("<div class=\"about\">").paragraphs(about).raw("</div>\n");
    }
    lead(page, &story);
    page.raw("<ul class=\"tiles\">\n");
    let tiles = [
        ("Demands received", Value::Count(story.received).to_string(), "all that were received, also those that may not be disclosed"),
        ("Data released", Value::Count(story.released).to_string(), "demands complied with, wholly or in part"),
        ("Nothing released", Value::Count(story.nothing).to_string(), "refused, not held, or sealed so that nobody here can open it"),
        ("May not be disclosed", Value::Count(story.forbidden).to_string(), "demands of which only the hour may be told"),
        ("Persons affected", story.persons.to_string(), persons_note(story.persons)),
        (
            "Redesigns demanded",
            Value::Count(story.redesign).to_string(),
            "demands for back doors, separate instances, other identification",
        ),
    ];
    for (title, value, note) in tiles {
        page.wrap("<li><span class=\"title\">", title, "</span>").wrap("<strong>", value, "</strong>");
        page.wrap("<span class=\"note\">", note, "</span></li>\n");
    }
    page.raw("</ul>\n</header>\n");
}

const fn persons_note(persons: Value) -> &'static str {
    match persons {
        Value::Between { .. } => "named in demands; a range, so that no small count can be told",
        Value::Count(_) => "named in demands that may be disclosed",
        Value::Sum(_) | Value::MedianHours(_) | Value::None => "not stated for this period",
    }
}

fn lead(page: &mut Markup, story: &Story) {
    page.raw("<p class=\"lead\">");
    page.text(match story.received {
        0 => "No legal demand was received in this period.".to_owned(),
        received => format!(
            "In this period {} {} received",
            counted(received, "legal demand", "legal demands"),
            if received == 1 { "was" } else { "were" }
        ),
    });
    if story.received > 0 {
        match story.countries {
            0 => page.text("."),
            1 => page.text(", from one country."),
            countries => page.text(format!(", from {countries} countries.")),
        };
        page.text(match story.released {
            0 => " No data was released under any of those that may be disclosed.".to_owned(),
            released => format!(" Data was released under {}.", counted(released, "demand", "of them")),
        });
        let is = |count: u64| if count == 1 { "is" } else { "are" };
        let parts = [
            (story.nothing, format!("under {} nothing was released", Value::Count(story.nothing))),
            (story.open, format!("{} {} not decided yet", Value::Count(story.open), is(story.open))),
            (story.forbidden, format!("of {} nothing but the hour may be told", Value::Count(story.forbidden))),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text).collect();
        match parts.split_last() {
            None => {}
            Some((last, [])) => drop(page.text(format!(" And {last}."))),
            Some((last, others)) => {
                let text =
                    format!("{}, and {last}", others.iter().map(|other| format!("{other}, ")).collect::<String>().trim_end_matches(", "));
                let mut letters = text.chars();
                let first = letters.next().into_iter().flat_map(char::to_uppercase);
                page.text(format!(" {}.", first.chain(letters).collect::<String>()));
            }
        }
    }
    page.raw("</p>\n");
}
