//! Tables of a page. On a narrow screen a row becomes a list of its figures, each with the name of its column.

use super::markup::Markup;
use crate::veil::report::compare::written;
use crate::veil::report::document::Report;
use crate::veil::report::table::{Figure, Table, Value};

/// A table with its caption; what it counts stands above.
pub(super) fn table(page: &mut Markup, table: &Table) {
    page.raw("<div class=\"block\"").attribute("id", &table.id).raw(">\n");
    page.wrap("<h3>", &table.title, "</h3>\n").wrap("<p class=\"says\">", &table.says, "</p>\n");
    grid(page, table);
    page.raw("</div>\n");
}

/// The table alone, behind a chart that has its title.
pub(super) fn grid(page: &mut Markup, table: &Table) {
    if table.rows.is_empty() {
        page.raw("<p class=\"nothing\">Nothing to count in this period.</p>\n");
        return;
    }
    page.raw(if table.columns.len() <= 3 { "<table class=\"figures few\">\n" } else { "<table class=\"figures\">\n" }).wrap(
        "<caption>",
        &table.title,
        "</caption>\n",
    );
    page.wrap("<thead><tr><th scope=\"col\">", capital(&table.of), "</th>");
    for column in &table.columns {
        page.wrap("<th scope=\"col\">", &column.title, "</th>");
    }
    page.raw("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        line(page, &row.title, &row.figures, table);
    }
    page.raw("</tbody>\n");
    if let Some(total) = &table.total {
        page.raw("<tfoot>\n");
        line(page, "All", total, table);
        page.raw("</tfoot>\n");
    }
    page.raw("</table>\n");
}

fn line(page: &mut Markup, title: &str, figures: &[Figure], table: &Table) {
    page.wrap("<tr><th scope=\"row\">", title, "</th>");
    for (column, figure) in table.columns.iter().zip(figures) {
        page.raw(match figure.value {
            Value::Count(0) | Value::Sum(0) => "<td class=\"zero\"",
            Value::None => "<td class=\"none\"",
            Value::Between { .. } => "<td class=\"between\"",
            Value::Count(_) | Value::Sum(_) | Value::MedianHours(_) => "<td",
        });
        page.attribute("data-label", &column.title).wrap("><span>", figure.value, "</span></td>");
    }
    page.raw("</tr>\n");
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What stands behind every figure, entry by entry.
pub(super) fn entries(page: &mut Markup, report: &Report) {
    page.raw("<details class=\"entries\"><summary>The entries behind every figure</summary>\n");
    for table in &report.tables {
        let total = table.total.iter().map(|figures| ("All", figures));
        let rows = table.rows.iter().map(|row| (row.title.as_str(), &row.figures)).chain(total);
        let figures =
            rows.flat_map(|(row, figures)| table.columns.iter().zip(figures).map(move |(column, figure)| (row, &column.title, figure)));
        let mut figures = figures.filter(|(_, _, figure)| !figure.leaves.is_empty()).peekable();
        if figures.peek().is_none() {
            continue;
        }
        page.wrap("<h4>", &table.title, "</h4>\n<dl class=\"leaves\">\n");
        for (row, column, figure) in figures {
            page.raw("<div><dt>").text(row).raw(" · ").text(column).raw(" · ").text(figure.value);
            page.wrap("</dt><dd>", written(&figure.leaves), "</dd></div>\n");
        }
        page.raw("</dl>\n");
    }
    page.raw("</details>\n");
}
