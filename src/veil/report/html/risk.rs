//! What recipients could infer, as the operator assessed it: what flows to which groups, which rules bite, and what changed.

use super::markup::Markup;
use crate::veil::report::document::Report;
use crate::veil::risk::{Change, NO_GROUP, Published, SummaryFlow, SummaryRule, What};
use crate::veil::terms::Treatment;

const TREATMENTS: [(Treatment, &str); 4] = [
    (Treatment::Keep, "As they are"),
    (Treatment::Generalize, "Made coarser"),
    (Treatment::Pseudonymize, "As stand-ins"),
    (Treatment::Encrypt, "Sealed"),
];

pub(super) fn section(page: &mut Markup, report: &Report) {
    page.raw(
        "<p>What those who receive data could infer from it, by rules that somebody wrote down, from what the gateway’s configuration lets \
         through. The operator vouches for this section: nobody can make it again who does not have the configuration. Recipients are \
         told by their groups. Where no rule bites, data is not anonymous for that.</p>\n",
    );
    if report.risk.is_empty() {
        page.raw("<p class=\"nothing\">No assessment of risks is part of this report.</p>\n");
        return;
    }
    for (number, one) in (1..).zip(&report.risk) {
        page.raw("<div class=\"block\"").attribute("id", format_args!("assessment-{number}")).raw(">\n<h3>Assessment");
        if report.risk.len() > 1 {
            page.text(format_args!(" {number}"));
        }
        page.wrap("</h3>\n<p class=\"says\">", one.basis(), "</p>\n");
        flows(page, &one.summary.flows);
        findings(page, &one.summary.bites);
        counts(page, one);
        changes(page, one.changes.as_deref());
        page.raw("</div>\n");
    }
}

fn caption(page: &mut Markup, class: &'static str, title: &'static str, heads: &[&str]) {
    page.raw("<h4>").raw(title).raw("</h4>\n<table class=\"").raw(class).raw("\">\n<caption>").raw(title).raw("</caption>\n<thead><tr>");
    for head in heads {
        page.wrap("<th scope=\"col\">", head, "</th>");
    }
    page.raw("</tr></thead>\n<tbody>\n");
}

fn cell(page: &mut Markup, label: &str, text: impl std::fmt::Display) {
    page.raw("<td").attribute("data-label", label).wrap("><span>", text, "</span></td>");
}

fn flows(page: &mut Markup, flows: &[SummaryFlow]) {
    if flows.is_empty() {
        page.raw("<h4>What flows to whom</h4>\n<p class=\"nothing\">Nothing flows.</p>\n");
        return;
    }
    let heads: Vec<&str> = ["Group and kind of data"].into_iter().chain(TREATMENTS.map(|(_, title)| title)).collect();
    caption(page, "figures", "What flows to whom: how many fields", &heads);
    for flow in flows {
        page.wrap("<tr><th scope=\"row\">", format_args!("{}, {}", group(&flow.group), kind(&flow.category)), "</th>");
        for (treatment, title) in TREATMENTS {
            let many = flow.fields.iter().find(|(word, _)| word == treatment.word()).map_or(0, |(_, many)| *many);
            page.raw(if many == 0 { "<td class=\"zero\"" } else { "<td" }).attribute("data-label", title).wrap(
                "><span>",
                many,
                "</span></td>",
            );
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody>\n</table>\n");
}

fn findings(page: &mut Markup, bites: &[SummaryRule]) {
    if bites.is_empty() {
        page.raw("<h4>What can be inferred</h4>\n<p class=\"nothing\">No rule bites.</p>\n");
        return;
    }
    caption(page, "standards", "What can be inferred", &["What, and by which rule", "Severity", "How", "By whom"]);
    for bite in bites {
        let infers = if bite.infers.is_empty() { bite.rule.clone() } else { format!("{} ({})", bite.infers, bite.rule) };
        page.wrap("<tr><th scope=\"row\">", infers, "</th>");
        cell(page, "Severity", &bite.severity);
        cell(page, "How", bite.how());
        cell(page, "By whom", bite.groups.iter().map(|one| group(one)).collect::<Vec<_>>().join(", "));
        page.raw("</tr>\n");
    }
    page.raw("</tbody>\n</table>\n");
}

fn counts(page: &mut Markup, one: &Published) {
    let heads = ["Findings", "Critical", "High", "Medium", "Low"];
    caption(page, "figures", "How many findings", &heads);
    let summary = &one.summary;
    for (title, of) in
        [("By what is shown", summary.shown), ("Where keys are handed over", summary.with_keys), ("By two who pool", summary.pooled)]
    {
        page.wrap("<tr><th scope=\"row\">", title, "</th>");
        for (label, (_, many)) in heads.into_iter().skip(1).zip(of.each()) {
            cell(page, label, many);
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody>\n</table>\n");
}

fn changes(page: &mut Markup, changes: Option<&[Change]>) {
    let Some(changes) = changes else {
        page.raw("<h4>What changed</h4>\n<p class=\"nothing\">It was not compared with an earlier one.</p>\n");
        return;
    };
    if changes.is_empty() {
        page.raw("<h4>What changed</h4>\n<p>Nothing changed since the one before.</p>\n");
        return;
    }
    caption(page, "standards", "What changed since the one before", &["What", "Rule", "How often", "That is"]);
    for change in changes {
        page.wrap("<tr><th scope=\"row\">", What::parse(&change.what).map_or("", What::told), "</th>");
        cell(page, "Rule", change.rule.as_deref().unwrap_or("–"));
        cell(page, "How often", change.many);
        cell(page, "That is", if change.worse { "worse" } else { "better" });
        page.raw("</tr>\n");
    }
    page.raw("</tbody>\n</table>\n");
}

fn group(name: &str) -> &str {
    if name == NO_GROUP { "recipients without a group" } else { name }
}

fn kind(category: &str) -> &str {
    if category.is_empty() { "not classified" } else { category }
}
