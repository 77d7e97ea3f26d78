//! Charts as inline SVG: bars in a row, and columns over time. All words stand beside the SVG as text of the page, so that they have the
//! page's size and language at every width; a chart has its table behind it, which says the same.

use super::markup::Markup;

/// A part of a bar: which colour, and how much.
pub(super) type Part = (&'static str, u64);

/// A bar with its label.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) parts: Vec<Part>,
    /// What stands behind it; the sum of its parts, as a rule.
    pub(super) value: String,
}

/// What colours mean.
pub(super) type Legend<'a> = &'a [(&'static str, &'a str)];

pub(super) fn legend(page: &mut Markup, legend: Legend<'_>) {
    page.raw("<ul class=\"legend\">");
    for (colour, meaning) in legend {
        page.raw("<li><svg class=\"key\" viewBox=\"0 0 1 1\" aria-hidden=\"true\"><rect class=\"").raw(colour);
        page.raw("\" width=\"1\" height=\"1\"/></svg>").text(meaning).raw("</li>");
    }
    page.raw("</ul>\n");
}

/// Bars below each other. The longest is as wide as there is room.
pub(super) fn bars(page: &mut Markup, bars: &[Bar]) {
    let most = bars.iter().map(|bar| sum(&bar.parts)).max().unwrap_or_default().max(1);
    page.raw("<div class=\"bars\">\n");
    for bar in bars {
        page.wrap("<div class=\"bar\"><span class=\"label\">", &bar.label, "</span>");
        page.raw("<svg class=\"track\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
        page.raw("<rect class=\"ground\" width=\"1000\" height=\"10\"/>");
        let mut from = 0;
        for (colour, count) in bar.parts.iter().filter(|(_, count)| *count > 0) {
            // A part that is there is seen, however small.
            let width = share(*count, most, 1_000).max(4);
            page.raw("<rect class=\"").raw(colour).raw("\"").attribute("x", from).attribute("width", width).raw(" height=\"10\"/>");
            from += width;
        }
        page.wrap("</svg><span class=\"value\">", &bar.value, "</span></div>\n");
    }
    page.raw("</div>\n");
}

/// Columns beside each other, from the left to the right.
pub(super) fn columns(page: &mut Markup, columns: &[Bar]) {
    let most = columns.iter().map(|column| sum(&column.parts)).max().unwrap_or_default().max(1);
    page.raw("<div class=\"columns\">\n");
    for column in columns {
        page.wrap("<div class=\"column\"><span class=\"value\">", &column.value, "</span>");
        page.raw("<svg viewBox=\"0 0 10 1000\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
        page.raw("<rect class=\"ground\" y=\"994\" width=\"10\" height=\"6\"/>");
        let mut from = 1_000;
        for (colour, count) in column.parts.iter().filter(|(_, count)| *count > 0) {
            let height = share(*count, most, 1_000).max(8).min(from);
            from -= height;
            page.raw("<rect class=\"")
                .raw(colour)
                .raw("\"")
                .attribute("y", from)
                .raw(" width=\"10\"")
                .attribute("height", height)
                .raw("/>");
        }
        // Where there is little room, a letter has to do.
        let (first, rest) = column.label.split_at(column.label.chars().next().map_or(0, char::len_utf8));
        page.wrap("</svg><span class=\"label\">", first, "<span class=\"rest\">").wrap("", rest, "</span></span></div>\n");
    }
    page.raw("</div>\n");
}

fn sum(parts: &[Part]) -> u64 {
    parts.iter().map(|(_, count)| count).fold(0, |sum, count| sum.saturating_add(*count))
}

fn share(count: u64, most: u64, of: u64) -> u64 {
    let share = u128::from(count) * u128::from(of) / u128::from(most.max(1));
    u64::try_from(share).unwrap_or(of).min(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share_and_what_is_there_is_seen() {
        let bar = |label: &str, parts: &[Part]| Bar { label: label.into(), parts: parts.into(), value: sum(parts).to_string() };
        let mut page = Markup::default();
        bars(&mut page, &[bar("<a>", &[("c1", 3), ("c2", 1)]), bar("b", &[("c1", 2), ("c2", 0)]), bar("c", &[("c2", u64::MAX)])]);
        let text = page.finish();
        assert!(text.contains("&lt;a&gt;") && !text.contains("<a>"));
        assert!(text.contains("class=\"c2\" x=\"0\" width=\"1000\"") && text.contains("width=\"4\""), "{text}");
        let mut page = Markup::default();
        columns(&mut page, &[bar("Jan", &[("c1", 1), ("c2", 1)]), bar("Feb", &[])]);
        let text = page.finish();
        assert!(text.contains("class=\"c1\" y=\"500\" width=\"10\" height=\"500\"") && text.contains("y=\"0\""), "{text}");
    }
}
