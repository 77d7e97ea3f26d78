//! `report.html`: one file that an operator publishes as it is. Nothing in it is fetched from anywhere and nothing in it runs: styles
//! are inline and named by their hash in the page's own Content-Security-Policy, charts are inline SVG.

mod chart;
mod lines;
mod markup;
mod overview;
pub(super) mod risk;
mod sections;
mod tables;

use self::markup::Markup;
use super::document::Report;
use crate::veil::base64;
use crate::veil::crypto::hash::sha256;

const STYLE: &str = include_str!("style.css");

/// The sections, by id and title.
const SECTIONS: [(&str, &str); 10] = [
    ("demands", "Demands"),
    ("test", "The three-stage test"),
    ("answers", "Answers"),
    ("statements", "Standing statements"),
    ("objectives", "Safety objectives"),
    ("process", "How demands are handled"),
    ("every-demand", "Every demand"),
    ("refusals", "What the gateway refused"),
    ("risk", "What could be inferred"),
    ("check", "Check this report"),
];

/// The whole page.
pub fn html(report: &Report) -> String {
    let mut page = Markup::default();
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        base64::encode(&sha256(&[STYLE.as_bytes()]))
    );
    page.raw("<meta http-equiv=\"Content-Security-Policy\"").attribute("content", policy).raw(">\n");
    page.raw(
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n",
    );
    page.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n");
    page.raw("<title>Transparency report: ").text(&report.operator.name).raw(", ").text(overview::days(report)).raw("</title>\n");
    page.raw("<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#report\">Skip to the report</a>\n");
    overview::header(&mut page, report);
    page.raw("<nav aria-label=\"Contents\"><ul>\n");
    for (id, title) in SECTIONS {
        page.raw("<li><a href=\"#").raw(id).raw("\">").raw(title).raw("</a></li>\n");
    }
    page.raw("</ul></nav>\n<main id=\"report\">\n");
    for ((id, title), section) in SECTIONS.into_iter().zip(sections::ALL) {
        page.raw("<section id=\"").raw(id).raw("\">\n<h2>").raw(title).raw("</h2>\n");
        section(&mut page, report);
        page.raw("</section>\n");
    }
    page.raw("</main>\n");
    page.raw("<footer><p>Counted by Twinveil from the log <strong>").text(&report.gateway).raw("</strong> up to entry ");
    page.text(report.log.size).raw(", on ").text(overview::day(&report.made)).raw(".</p></footer>\n</body>\n</html>\n");
    page.finish()
}
