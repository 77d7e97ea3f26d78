//! HTML as text, made so that nothing from elsewhere can become markup: what is not known when this program is built goes in through
//! [`Markup::text`] and [`Markup::attribute`], which escape it, and there is no third way.

use std::fmt::Display;

/// A piece of a page.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Markup that stands in this program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text from anywhere.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        for letter in text.to_string().chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What no text of a page may hold, and what turns the direction of those around it.
                control if control.is_control() && control != '\n' => self.0.push('\u{fffd}'),
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        self
    }

    /// ` name="value"`, to be put into a tag that is open.
    pub(super) fn attribute(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    /// Text between two pieces of markup.
    pub(super) fn wrap(&mut self, open: &'static str, text: impl Display, close: &'static str) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// A text of several paragraphs.
    pub(super) fn paragraphs(&mut self, text: &str) -> &mut Self {
        for paragraph in text.split('\n').map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
            self.wrap("<p>", paragraph, "</p>\n");
        }
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_becomes_markup() {
        let mut markup = Markup::default();
        markup.raw("<p").attribute("title", "\"><script>'").raw(">").text("<b>&amp;\u{1b}[2J\u{202e}").raw("</p>");
        assert_eq!(markup.finish(), "<p title=\"&quot;&gt;&lt;script&gt;&#39;\">&lt;b&gt;&amp;amp;\u{fffd}[2J\u{fffd}</p>");
        let mut markup = Markup::default();
        markup.paragraphs("one\n\n<two>\n");
        assert_eq!(markup.finish(), "<p>one</p>\n<p>&lt;two&gt;</p>\n");
    }
}
