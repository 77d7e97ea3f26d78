//! What is told line by line: statements, objectives, the process, every demand, and how to check all of it.

use super::markup::Markup;
use super::overview::day;
use super::tables::{entries, table};
use crate::veil::demand::Outcome;
use crate::veil::report::compare::written;
use crate::veil::report::countries;
use crate::veil::report::document::{DemandLine, Report};
use crate::veil::report::figures::outcome_title;
use crate::veil::report::statement::Standing;

pub(super) fn statements(page: &mut Markup, report: &Report) {
    page.raw(
        "<p>Each statement is signed, dated and in the log, and has to be made again before the day that it names. Nobody can be made to \
         make it again: one that is no longer made shows as dropped.</p>\n",
    );
    if report.statements.is_empty() {
        page.raw("<p class=\"nothing\">No statement was ever made.</p>\n");
        return;
    }
    page.raw("<ul class=\"cards\">\n");
    for line in &report.statements {
        let (class, standing) = match line.standing {
            Standing::Stands => ("stands", "Stands"),
            Standing::Dropped => ("dropped", "Dropped"),
            Standing::TakenBack => ("dropped", "Taken back"),
        };
        page.raw("<li class=\"card ").raw(class).raw("\"><p class=\"pill\">").raw(standing).raw("</p>\n");
        page.raw("<blockquote>").paragraphs(&line.text).raw("</blockquote>\n<p class=\"small\">Made since ").text(day(&line.since));
        if let Some(renew_by) = &line.renew_by {
            page.text(if line.standing == Standing::Stands { "; to be made again by " } else { "; was to be made again by " })
                .text(day(renew_by));
        }
        page.raw(if line.leaves.len() == 1 { ". Entry " } else { ". Entries " }).text(written(&line.leaves));
        if !line.reworded.is_empty() {
            page.text("; other words from entry ").text(written(&line.reworded));
        }
        if !line.lapsed.is_empty() {
            page.text("; made again too late at entry ").text(written(&line.lapsed));
        }
        page.raw(".</p></li>\n");
    }
    page.raw("</ul>\n");
}

pub(super) fn objectives(page: &mut Markup, report: &Report) {
    if report.objectives.is_empty() {
        page.raw("<p class=\"nothing\">The operator states no objectives.</p>\n");
        return;
    }
    page.raw("<p>What the operator wanted to achieve for the safety of people, in its own words.</p>\n<ul class=\"cards\">\n");
    for objective in &report.objectives {
        let (class, reached) = match objective.reached {
            Some(true) => ("stands", "Reached"),
            Some(false) => ("dropped", "Not reached"),
            None => ("open", "Not yet known"),
        };
        page.raw("<li class=\"card ").raw(class).raw("\"><p class=\"pill\">").raw(reached).raw("</p>\n");
        page.wrap("<h3>", &objective.name, "</h3>\n<dl>\n");
        page.raw("<div><dt>Measure</dt><dd>").paragraphs(&objective.measure).raw("</dd></div>\n");
        page.raw("<div><dt>Outcome</dt><dd>").paragraphs(&objective.outcome).raw("</dd></div>\n</dl></li>\n");
    }
    page.raw("</ul>\n");
}

pub(super) fn process(page: &mut Markup, report: &Report) {
    page.raw("<p>In the operator’s own words, by the elements of Ranking Digital Rights P10a.</p>\n<dl class=\"process\">\n");
    let forbidden = ("Kinds of demands that the law forbids to disclose", report.process.forbidden.as_deref());
    for (asks, said) in report.process.elements().into_iter().map(|(_, asks, said)| (asks, said)).chain([forbidden]) {
        page.wrap("<div><dt>", asks, "</dt><dd>");
        match said {
            Some(said) => page.paragraphs(said),
            None => page.raw("<p class=\"nothing\">Not stated.</p>"),
        };
        page.raw("</dd></div>\n");
    }
    page.raw("</dl>\n");
}

pub(super) fn every_demand(page: &mut Markup, report: &Report) {
    page.raw(
        "<p>Every demand that may be disclosed, in the order of the log. Its records lie beside this page, as they were signed.</p>\n",
    );
    if report.demands.is_empty() {
        page.raw("<p class=\"nothing\">None in this period.</p>\n");
        return;
    }
    page.raw("<ol class=\"demands\">\n");
    for line in &report.demands {
        page.raw("<li class=\"demand\">\n");
        demand(page, line);
        page.raw("</li>\n");
    }
    page.raw("</ol>\n");
}

fn said(word: &str) -> String {
    word.replace(['-', '_'], " ")
}

fn demand(page: &mut Markup, line: &DemandLine) {
    page.raw("<h3><span class=\"entry\">Entry ")
        .text(line.entry)
        .raw("</span> ")
        .text(countries::title(&line.jurisdiction))
        .raw(" · ")
        .text(said(&line.source));
    page.raw(" · ").text(said(&line.asks)).raw("</h3>\n<p class=\"answer\">");
    page.raw(match line.outcome.as_deref() {
        Some("comply" | "comply-in-part") => "<span class=\"pill released\">",
        Some(_) => "<span class=\"pill kept\">",
        None => "<span class=\"pill\">",
    });
    page.text(line.outcome.as_deref().and_then(Outcome::parse).map_or("Not decided yet", outcome_title)).raw("</span>");
    // Where nobody's data is asked for, and where the person consented, there is nothing to examine.
    let examined = if line.stages.iter().all(Option::is_none) { &[][..] } else { &line.stages[..] };
    for (n, stage) in (1..).zip(examined) {
        let (class, met) = match stage {
            Some(true) => ("<span class=\"stage met\">", "met"),
            Some(false) => ("<span class=\"stage unmet\">", "not met"),
            None => ("<span class=\"stage\">", "not answered"),
        };
        page.raw(class).text(format_args!("Stage {n} {met}")).raw("</span>");
    }
    page.raw("</p>\n<dl>\n");
    let mut item = |name: &'static str, value: &str| {
        page.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>\n");
    };
    item("Taken", &format!("{}, {} UTC", day(&line.hour), line.hour.get(11..16).unwrap_or_default()));
    item("Authority", &line.authority);
    item("Legal process", &format!("{}, {}", line.process, line.statute));
    item(
        "About",
        match line.about.as_str() {
            "named" => "named persons or assets",
            "everybody" => "everybody",
            _ => "nobody in particular",
        },
    );
    if !line.reasons.is_empty() {
        item("Reasons", &line.reasons.iter().map(|reason| said(reason)).collect::<Vec<_>>().join("; "));
    }
    if line.by_consent {
        item("Released by", "the person’s own consent to this one demand");
    }
    if line.releases > 0 {
        item("Releases", &line.releases.to_string());
    }
    if !line.challenges.is_empty() {
        item("Challenges", &line.challenges.join("; "));
    }
    if line.emergency {
        item("Emergency", "it says that it cannot wait");
    }
    if let Some(basis) = &line.gag_basis {
        item("Order not to tell", &format!("ended; it was based on {basis}"));
    }
    if let Some(told) = &line.told {
        item("Told", &day(told));
    }
    item("Entries", &written(&line.leaves));
    item("Record", &line.demand);
    page.raw("</dl>\n");
}

pub(super) fn check(page: &mut Markup, report: &Report) {
    page.raw(
        "<p>Nobody has to believe this page. Every figure but those of persons is counted from the public log and the records that lie \
         beside this page, and whoever has both counts again:</p>\n<pre><code>twinveil report verify FOLDER --log URL --vkey log.vkey</code></pre>\n",
    );
    page.raw("<dl class=\"log\">\n");
    for (name, value) in
        [("Log", &report.gateway), ("Key", &report.log.key), ("Entries", &report.log.size.to_string()), ("Root", &report.log.root)]
    {
        page.raw("<div><dt>").raw(name).wrap("</dt><dd><code>", value, "</code></dd></div>\n");
    }
    page.raw("</dl>\n");
    if let Some(acts) = report.table("acts") {
        table(page, acts);
    }
    page.raw("<div class=\"block\"><h3>What standards ask for</h3>\n<p class=\"says\">The elements of Ranking Digital Rights P11a and P10a, and where this report answers them.</p>\n");
    page.raw("<table class=\"standards\">\n<caption>Elements of standards</caption>\n<thead><tr><th scope=\"col\">Element</th><th scope=\"col\">Asks for</th><th scope=\"col\">Answered</th></tr></thead>\n<tbody>\n");
    for element in &report.elements {
        page.wrap("<tr><th scope=\"row\">", format_args!("{} {}", element.standard, element.number), "</th>");
        page.wrap("<td data-label=\"Asks for\"><span>", &element.asks, "</span></td><td data-label=\"Answered\"><span>");
        page.text(if element.answered { "Yes" } else { "No" }).raw("</span></td></tr>\n");
    }
    page.raw("</tbody>\n</table>\n</div>\n");
    if let Some(orders) = report.table("orders-to-provide-information") {
        table(page, orders);
    }
    entries(page, report);
    if let Some(contact) = &report.operator.contact {
        page.raw("<p>Questions: ").text(contact).raw("</p>\n");
    }
}
