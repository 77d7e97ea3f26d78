//! Writes header blocks. What is the same in every call of a connection is indexed; all else is written out, and never indexed
//! (RFC 7541 §7.1.3): what one caller sends must not show in the length of another's.

use http::{HeaderValue, header};

use super::table::{Field, Name, Table, fields};

/// How large a table is kept, at most, in bytes; the peer may allow less.
const TABLE_BYTES_MAX: usize = 2_048;
/// Longer values are not worth a place in the table.
const VALUE_BYTES_MAX: usize = 256;

/// Writes the blocks of one direction of a connection.
#[derive(Debug)]
pub(in crate::http2) struct Encoder {
    table: Table,
    bytes_max: usize,
    /// The least that was allowed since the last block, where that has changed (RFC 7541 §4.2).
    least: Option<usize>,
}

impl Encoder {
    pub(in crate::http2) fn new() -> Self {
        Self { table: Table::new(TABLE_BYTES_MAX), bytes_max: TABLE_BYTES_MAX, least: Some(TABLE_BYTES_MAX) }
    }

    /// The peer says how large a table it keeps.
    pub(in crate::http2) fn allow(&mut self, bytes: usize) {
        let bytes = bytes.min(TABLE_BYTES_MAX);
        if bytes != self.bytes_max {
            self.bytes_max = bytes;
            self.least = Some(self.least.map_or(bytes, |least| least.min(bytes)));
        }
    }

    /// Begins a block.
    pub(in crate::http2) fn begin(&mut self, out: &mut Vec<u8>) {
        let Some(least) = self.least.take() else { return };
        self.table.resize(least);
        integer(out, 0x20, 5, least);
        if least != self.bytes_max {
            self.table.resize(self.bytes_max);
            integer(out, 0x20, 5, self.bytes_max);
        }
    }

    /// Writes a field.
    pub(in crate::http2) fn push(&mut self, out: &mut Vec<u8>, name: &Name, value: &[u8]) {
        if let Some(index) = common(name, value) {
            return integer(out, 0x80, 7, index);
        }
        if !same_in_every_call(name) || value.len() > VALUE_BYTES_MAX {
            // Never indexed (§6.2.3).
            return literal(out, 0x10, 4, name, value);
        }
        if let Some(index) = self.table.find(name, value) {
            return integer(out, 0x80, 7, index);
        }
        literal(out, 0x40, 6, name, value);
        // INVARIANT: whoever writes a field has it from a header, a URI or a status: all of them are values.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            self.table.add(Field { name: name.clone(), value });
        }
    }
}

/// The static index of what gRPC sends with every call.
fn common(name: &Name, value: &[u8]) -> Option<usize> {
    match (name, value) {
        (Name::Method, b"POST") => Some(3),
        (Name::Scheme, b"http") => Some(6),
        (Name::Scheme, b"https") => Some(7),
        (Name::Status, b"200") => Some(8),
        _ => None,
    }
}

/// Whether a field says nothing about who calls, or what for.
fn same_in_every_call(name: &Name) -> bool {
    match name {
        Name::Authority | Name::Method | Name::Path | Name::Scheme | Name::Status => true,
        Name::Regular(name) => {
            *name == header::CONTENT_TYPE
                || *name == header::TE
                || matches!(name.as_str(), "grpc-accept-encoding" | "grpc-encoding" | "grpc-status")
        }
    }
}

fn literal(out: &mut Vec<u8>, pattern: u8, prefix_bits: u32, name: &Name, value: &[u8]) {
    match fields().iter().position(|field| field.name == *name) {
        Some(at) => integer(out, pattern, prefix_bits, at + 1),
        None => {
            out.push(pattern);
            string(out, name.as_str().as_bytes());
        }
    }
    string(out, value);
}

/// As it is: Huffman's code would save bytes, and cost more time than they do.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

fn integer(out: &mut Vec<u8>, pattern: u8, prefix_bits: u32, value: usize) {
    let full = (1usize << prefix_bits) - 1;
    if value < full {
        return out.push(pattern | value as u8);
    }
    out.push(pattern | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::super::decode::Decoder;
    use super::*;
    use proptest::prelude::*;

    fn field(name: &str, value: &str) -> Field {
        Field { name: Name::read(name.as_bytes()).expect("a name"), value: HeaderValue::from_str(value).expect("a value") }
    }

    fn block(encoder: &mut Encoder, fields: &[Field]) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        fields.iter().for_each(|field| encoder.push(&mut out, &field.name, field.value.as_bytes()));
        out
    }

    #[test]
    fn what_repeats_is_one_byte_and_metadata_is_never_indexed() {
        let mut encoder = Encoder::new();
        let fields = [field(":method", "POST"), field(":path", "/ward.v1.Ward/Look"), field("content-type", "application/grpc")];
        block(&mut encoder, &fields);
        assert_eq!(block(&mut encoder, &fields), [0x83, 0xbf, 0xbe]);
        let metadata = [field("x-patient", "p-1")];
        let first = block(&mut encoder, &metadata);
        assert_eq!((first[0], &first), (0x10, &block(&mut encoder, &metadata)));
    }

    #[test]
    fn a_smaller_table_is_announced_and_kept_to() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(1_000));
        let fields = [field(":path", "/a/b")];
        assert_eq!(decoder.read(&block(&mut encoder, &fields), drop), Ok(true));
        encoder.allow(0);
        encoder.allow(64);
        let out = block(&mut encoder, &fields);
        assert_eq!(out[..2], [0x20, 0x3f]);
        assert_eq!(decoder.read(&out, drop), Ok(true));
        assert_eq!(decoder.read(&block(&mut encoder, &fields), |found| assert_eq!(found, fields[0])), Ok(true));
    }

    #[test]
    fn what_is_common_is_what_the_static_table_says() {
        for field in fields() {
            if let Some(index) = common(&field.name, field.value.as_bytes()) {
                assert_eq!(fields()[index - 1], *field);
            }
        }
        assert_eq!(common(&Name::Method, b"PUT"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            blocks in proptest::collection::vec(proptest::collection::vec((0usize..8, "[ -~]{0,300}"), 0..10), 1..20),
            sizes in proptest::collection::vec(0usize..3_000, 20),
        ) {
            let names = [":path", ":authority", "content-type", "grpc-status", "x-other", "te", "user-agent", "x-more"];
            let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(100_000));
            for (fields, size) in blocks.iter().zip(sizes) {
                let fields: Vec<Field> = fields.iter().map(|(name, value)| field(names[*name], value.trim())).collect();
                let mut found = Vec::new();
                prop_assert_eq!(decoder.read(&block(&mut encoder, &fields), |field| found.push(field)), Ok(true));
                prop_assert_eq!(found, fields);
                encoder.allow(size);
            }
        }
    }
}
