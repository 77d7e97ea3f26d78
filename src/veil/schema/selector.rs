//! Selectors: where in a message a fact or a rule stands. `vitals.heart_rate_bpm`, `labels["ward"]`,
//! `attributes[key="user.id"].value`, `code.coding[code=8867-4]`.
//!
//! ```text
//! selector = segment *( "." segment )
//! segment  = name [ "[" ( value | name "=" value ) "]" ]     the bare value is a map key
//! value    = '"' *( any but '"' and '\', '\"', '\\' ) '"' | 1*( letter | digit | one of _ - + . : / )
//! ```

use std::fmt;

use super::descriptor::{is_identifier, shown};
pub use crate::veil::terms::covers;

/// The longest selector.
pub const SELECTOR_BYTES_MAX: usize = 1_024;
/// The most segments of a selector.
pub const SEGMENTS_MAX: usize = 64;

/// A parsed selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// From the outside in; not empty.
    pub segments: Vec<Segment>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The name of the field.
    pub field: String,
    /// Which of its elements.
    pub filter: Option<Filter>,
}

/// Which elements of a map or a repeated message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The discriminating field of the element; `None`: the key of a map.
    pub by: Option<String>,
    /// The value it has, as text.
    pub value: String,
}

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSelector {
    /// The text.
    pub text: String,
    /// The position, in bytes from 0.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for BadSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "selector `{}`, character {}: expected {}", shown(&self.text), self.at + 1, self.expected)
    }
}

impl std::error::Error for BadSelector {}

impl Selector {
    /// Reads a selector.
    pub fn parse(text: &str) -> Result<Self, BadSelector> {
        let mut parser = Parser { text, at: 0 };
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(parser.expected("at most 1,024 bytes"));
        }
        if let Some(at) = text.find(char::is_control) {
            return Err(BadSelector { at, ..parser.expected("no control character") });
        }
        let mut segments = vec![parser.segment()?];
        while !parser.rest().is_empty() {
            if !parser.take('.') {
                return Err(parser.expected("`.`, `[` or the end"));
            }
            if segments.len() >= SEGMENTS_MAX {
                return Err(parser.expected("at most 64 segments"));
            }
            segments.push(parser.segment()?);
        }
        Ok(Self { segments })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, expected: &'static str) -> BadSelector {
        BadSelector { text: self.text.to_owned(), at: self.at, expected }
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn run(&mut self, member: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let (run, _) = rest.split_at(rest.bytes().take_while(|&byte| member(byte)).count());
        self.at += run.len();
        run
    }

    fn segment(&mut self) -> Result<Segment, BadSelector> {
        let start = self.at;
        let field = self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_identifier(field) {
            self.at = start;
            return Err(self.expected("the name of a field"));
        }
        let filter = if self.take('[') { Some(self.filter()?) } else { None };
        Ok(Segment { field: field.to_owned(), filter })
    }

    fn filter(&mut self) -> Result<Filter, BadSelector> {
        let first = self.value()?;
        let filter = match first {
            Value::Bare(name) if self.rest().starts_with('=') => {
                if !is_identifier(name) {
                    return Err(self.expected("the name of a field before `=`"));
                }
                self.at += 1;
                Filter { by: Some(name.to_owned()), value: self.value()?.into_text() }
            }
            value => Filter { by: None, value: value.into_text() },
        };
        if self.take(']') { Ok(filter) } else { Err(self.expected("`]`")) }
    }

    fn value(&mut self) -> Result<Value<'a>, BadSelector> {
        if !self.take('"') {
            let bare = self.run(|byte| byte.is_ascii_alphanumeric() || b"_-+.:/".contains(&byte));
            return if bare.is_empty() {
                Err(self.expected("a value, in quotes where it has other than letters, digits and `_-+.:/`"))
            } else {
                Ok(Value::Bare(bare))
            };
        }
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(Value::Quoted(text));
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    _ => {
                        self.at += at;
                        return Err(self.expected("`\\\"` or `\\\\`"));
                    }
                },
                other => text.push(other),
            }
        }
        self.at = self.text.len();
        Err(self.expected("a closing quote"))
    }
}

enum Value<'a> {
    Bare(&'a str),
    Quoted(String),
}

impl Value<'_> {
    fn into_text(self) -> String {
        match self {
            Self::Bare(text) => text.to_owned(),
            Self::Quoted(text) => text,
        }
    }
}

/// The text in quotes, as paths have it.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(field: &str, by: Option<&str>, value: Option<&str>) -> Segment {
        Segment { field: field.into(), filter: value.map(|value| Filter { by: by.map(Into::into), value: value.into() }) }
    }

    #[test]
    fn the_documented_forms_are_read() {
        let cases = [
            ("vitals.heart_rate_bpm", vec![step("vitals", None, None), step("heart_rate_bpm", None, None)]),
            (r#"labels["ward"]"#, vec![step("labels", None, Some("ward"))]),
            ("shifts[-3]", vec![step("shifts", None, Some("-3"))]),
            (r#"attributes[key="user.id"].value"#, vec![step("attributes", Some("key"), Some("user.id")), step("value", None, None)]),
            ("code.coding[code=8867-4]", vec![step("code", None, None), step("coding", Some("code"), Some("8867-4"))]),
            (r#"m["a\"]\\.="]"#, vec![step("m", None, Some(r#"a"]\.="#))]),
            (r#"m[""]"#, vec![step("m", None, Some(""))]),
        ];
        for (text, segments) in cases {
            assert_eq!(Selector::parse(text), Ok(Selector { segments }), "{text}");
        }
    }

    #[test]
    fn each_refusal_names_the_place() {
        let cases = [
            ("", 0, "the name of a field"),
            ("a..b", 2, "the name of a field"),
            ("a.", 2, "the name of a field"),
            ("1a", 0, "the name of a field"),
            ("a b", 1, "`.`, `[` or the end"),
            ("a[]", 2, "a value, in quotes where it has other than letters, digits and `_-+.:/`"),
            ("a[k=]", 4, "a value, in quotes where it has other than letters, digits and `_-+.:/`"),
            ("a[8-8=1]", 5, "the name of a field before `=`"),
            ("a[b", 3, "`]`"),
            ("a[\"b]", 5, "a closing quote"),
            (r#"a["\n"]"#, 3, "`\\\"` or `\\\\`"),
            ("a\n", 1, "no control character"),
            ("a[b]c", 4, "`.`, `[` or the end"),
        ];
        for (text, at, expected) in cases {
            assert_eq!(Selector::parse(text), Err(BadSelector { text: text.into(), at, expected }), "{text:?}");
        }
        assert!(Selector::parse(&"a".repeat(SELECTOR_BYTES_MAX)).is_ok());
        assert!(Selector::parse(&"a".repeat(SELECTOR_BYTES_MAX + 1)).is_err());
        assert!(Selector::parse(&["a"; SEGMENTS_MAX].join(".")).is_ok());
        assert!(Selector::parse(&["a"; SEGMENTS_MAX + 1].join(".")).is_err());
    }

    #[test]
    fn a_selector_covers_itself_and_what_is_below() {
        for (selector, path, covered) in [
            ("vitals", "vitals.heart", true),
            ("vitals.heart", "vitals.heart", true),
            ("vit", "vitals.heart", false),
            ("labels", r#"labels["ward"]"#, true),
            (r#"labels["ward"]"#, r#"labels["ward"].x"#, true),
            (r#"labels["w"#, r#"labels["w.x"]"#, false),
            (r#"a[key="user"#, r#"a[key="user.id"].value"#, false),
            (r#"a[key="x\"]"#, r#"a[key="x\"].y"].value"#, false),
            ("vitals.heart", "vitals", false),
            ("", "vitals", false),
        ] {
            assert_eq!(covers(selector, path), covered, "{selector} {path}");
        }
    }

    proptest! {
        #[test]
        fn every_key_survives_quoting(key in "[^\\p{Cc}]{0,40}") {
            let read = Selector::parse(&format!("m[{}]", quoted(&key))).expect("quoted text is read");
            prop_assert_eq!(read.segments, vec![step("m", None, Some(&key))]);
        }

        #[test]
        fn no_text_panics(text in ".{0,60}", path in ".{0,60}") {
            let _ = Selector::parse(&text);
            let _ = covers(&text, &path);
        }
    }
}
