//! Fields, and the two tables that indices point into (RFC 7541 §2.3).

use std::collections::VecDeque;
use std::sync::LazyLock;

use http::{HeaderName, HeaderValue};

/// What is added to a field's own length (RFC 7541 §4.1), in bytes.
const OVERHEAD_BYTES: usize = 32;

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http2) enum Name {
    Authority,
    Method,
    Path,
    Scheme,
    Status,
    Regular(HeaderName),
}

impl Name {
    /// As it is written; `None` for what no field may be called.
    pub(super) fn read(name: &[u8]) -> Option<Self> {
        Some(match name {
            b":authority" => Self::Authority,
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":scheme" => Self::Scheme,
            b":status" => Self::Status,
            // Upper case is malformed (RFC 9113 §8.2.1).
            _ => Self::Regular(HeaderName::from_lowercase(name).ok()?),
        })
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Authority => ":authority",
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Scheme => ":scheme",
            Self::Status => ":status",
            Self::Regular(name) => name.as_str(),
        }
    }
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http2) struct Field {
    pub(in crate::http2) name: Name,
    pub(in crate::http2) value: HeaderValue,
}

impl Field {
    /// Its size as tables and lists count it, in bytes.
    pub(in crate::http2) fn size(&self) -> usize {
        self.name.as_str().len() + self.value.len() + OVERHEAD_BYTES
    }
}

/// RFC 7541 Appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"), (":scheme", "http"),
    (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""), ("accept-encoding", "gzip, deflate"), ("accept-language", ""),
    ("accept-ranges", ""), ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""),
    ("cache-control", ""), ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""), ("expect", ""),
    ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""),
    ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let field =
        |(name, value): &(&str, &'static str)| Some(Field { name: Name::read(name.as_bytes())?, value: HeaderValue::from_static(value) });
    STATIC.iter().filter_map(field).collect()
});

/// The static table, in order; its first field has the index 1.
pub(super) fn fields() -> &'static [Field] {
    &FIELDS
}

/// Both tables of one direction; the dynamic one changes with every block.
#[derive(Debug)]
pub(super) struct Table {
    dynamic: VecDeque<Field>,
    size: usize,
    bytes_max: usize,
}

impl Table {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { dynamic: VecDeque::new(), size: 0, bytes_max }
    }

    /// The field with this index (RFC 7541 §2.3.3).
    pub(super) fn get(&self, index: usize) -> Option<&Field> {
        let fields = fields();
        match index.checked_sub(1)? {
            index if index < fields.len() => fields.get(index),
            index => self.dynamic.get(index - fields.len()),
        }
    }

    /// The index of a field that is in the dynamic table.
    pub(super) fn find(&self, name: &Name, value: &[u8]) -> Option<usize> {
        let at = self.dynamic.iter().position(|field| field.value.as_bytes() == value && field.name == *name)?;
        Some(fields().len() + 1 + at)
    }

    /// Adds a field in front; old ones go as there is no room (RFC 7541 §4.4).
    pub(super) fn add(&mut self, field: Field) {
        let size = field.size();
        self.shrink(self.bytes_max.saturating_sub(size));
        if size <= self.bytes_max {
            self.size += size;
            self.dynamic.push_front(field);
        }
    }

    pub(super) fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.shrink(bytes_max);
    }

    fn shrink(&mut self, bytes: usize) {
        while self.size > bytes {
            let Some(oldest) = self.dynamic.pop_back() else { return };
            self.size -= oldest.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_static_field_has_a_name_and_old_dynamic_ones_make_room() {
        assert_eq!(fields().len(), 61);
        let mut table = Table::new(100);
        let field = |text: &'static str| Field { name: Name::read(b"x").expect("a name"), value: HeaderValue::from_static(text) };
        table.add(field("one"));
        table.add(field("two"));
        assert_eq!((table.get(62), table.get(63)), (Some(&field("two")), Some(&field("one"))));
        table.add(field("three"));
        assert_eq!((table.get(62), table.get(64), table.size), (Some(&field("three")), None, 74));
        // One that is larger than the table empties it.
        table.resize(38);
        assert_eq!(table.get(62), Some(&field("three")));
        table.add(field("too long"));
        assert_eq!((table.get(62), table.size), (None, 0));
        assert_eq!(table.get(0), None);
    }
}
