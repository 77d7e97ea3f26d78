//! Reads header blocks (RFC 7541 §6).

use http::HeaderValue;

use super::huffman;
use super::table::{Field, Name, Table};

/// How large a dynamic table may be, in bytes: the default of SETTINGS_HEADER_TABLE_SIZE, which is never changed.
const TABLE_BYTES: usize = 4_096;

/// Why a block can't be read; the connection can't go on, as the tables no longer agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http2) struct Unread;

/// Reads the blocks of one direction of a connection.
#[derive(Debug)]
pub(in crate::http2) struct Decoder {
    table: Table,
    /// What the list of a block may amount to, in bytes as HPACK counts them.
    list_bytes_max: usize,
}

impl Decoder {
    pub(in crate::http2) fn new(list_bytes_max: usize) -> Self {
        Self { table: Table::new(TABLE_BYTES), list_bytes_max }
    }

    /// Reads a block field by field; whether its list is within bounds. One that is not is read all the same, for the table's sake.
    pub(in crate::http2) fn read(&mut self, block: &[u8], mut each: impl FnMut(Field)) -> Result<bool, Unread> {
        let (mut rest, mut bytes, mut resizes) = (block, 0usize, true);
        while let Some(first) = rest.first().copied() {
            if first & 0xe0 == 0x20 {
                // A new size for the table, in front of all fields (§4.2, §6.3).
                let size = integer(&mut rest, 5)?;
                if size > TABLE_BYTES || !resizes {
                    return Err(Unread);
                }
                self.table.resize(size);
                continue;
            }
            resizes = false;
            let field = if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                self.table.get(index).ok_or(Unread)?.clone()
            } else {
                let keeps = first & 0x40 != 0;
                let index = integer(&mut rest, if keeps { 6 } else { 4 })?;
                let field = self.literal(index, &mut rest)?;
                if keeps {
                    self.table.add(field.clone());
                }
                field
            };
            bytes = bytes.saturating_add(field.size());
            if bytes <= self.list_bytes_max {
                each(field);
            }
        }
        Ok(bytes <= self.list_bytes_max)
    }

    fn literal(&self, index: usize, rest: &mut &[u8]) -> Result<Field, Unread> {
        let name = match index {
            0 => string(rest, self.list_bytes_max, Name::read)?,
            index => self.table.get(index).ok_or(Unread)?.name.clone(),
        };
        let value = string(rest, self.list_bytes_max, |text| HeaderValue::from_bytes(text).ok())?;
        Ok(Field { name, value })
    }
}

/// An integer (RFC 7541 §5.1); nothing here is larger than 2^28.
fn integer(rest: &mut &[u8], prefix_bits: u32) -> Result<usize, Unread> {
    let (first, mut behind) = rest.split_first().ok_or(Unread)?;
    let full = (1usize << prefix_bits) - 1;
    let mut value = usize::from(*first) & full;
    if value == full {
        for shift in [0, 7, 14, 21] {
            let (byte, more) = behind.split_first().ok_or(Unread)?;
            behind = more;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *rest = behind;
                return Ok(value);
            }
        }
        return Err(Unread);
    }
    *rest = behind;
    Ok(value)
}

/// A string (RFC 7541 §5.2) as what it stands for.
fn string<T>(rest: &mut &[u8], bytes_max: usize, stands_for: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, Unread> {
    let packed = rest.first().ok_or(Unread)? & 0x80 != 0;
    let len = integer(rest, 7)?;
    let (text, behind) = rest.split_at_checked(len).ok_or(Unread)?;
    *rest = behind;
    let found = if packed { stands_for(&huffman::decode(text, bytes_max).ok_or(Unread)?) } else { stands_for(text) };
    found.ok_or(Unread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        let text = |field: Field| (field.name.as_str().to_owned(), field.value.to_str().unwrap_or_default().to_owned());
        let fits = decoder.read(block, |field| fields.push(text(field))).ok()?;
        fits.then_some(fields)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn the_requests_of_the_standard_are_read_plain_and_packed() {
        // RFC 7541 C.3.1, C.3.2, C.3.3 and, with Huffman's code, C.4.1.
        let mut decoder = Decoder::new(1_000);
        let mut first = vec![0x82, 0x86, 0x84, 0x41, 0x0f];
        first.extend_from_slice(b"www.example.com");
        let request = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
        assert_eq!(list(&mut decoder, &first), pairs(&request));
        let mut second = vec![0x82, 0x86, 0x84, 0xbe, 0x58, 0x08];
        second.extend_from_slice(b"no-cache");
        assert_eq!(list(&mut decoder, &second), pairs(&[&request[..], &[("cache-control", "no-cache")]].concat()));
        let mut third = vec![0x82, 0x87, 0x85, 0xbf, 0x40, 0x0a];
        third.extend_from_slice(b"custom-key\x0ccustom-value");
        let request = [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), (":authority", "www.example.com")];
        assert_eq!(list(&mut decoder, &third), pairs(&[&request[..], &[("custom-key", "custom-value")]].concat()));
        let packed = [0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        let request = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
        assert_eq!(list(&mut Decoder::new(1_000), &packed), pairs(&request));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let reads = |block: &[u8]| Decoder::new(1_000).read(block, drop);
        for bad in [
            &[0x80][..],                           // the index 0
            &[0xbe],                               // nothing there
            &[0xff],                               // an index that is cut off
            &[0x3f],                               // a size that is cut off
            &[0x7e, 0x00],                         // a name where nothing is
            &[0x40],                               // no string at all
            &[0x40, 0x7f],                         // a length that is cut off
            &[0x7f],                               // an integer that is cut off
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0x01], // one without end
            &[0x3f, 0xe2, 0x1f],                   // a table of 4,097 bytes
            &[0x82, 0x20],                         // a new size behind a field
            &[0x40, 0x03, b'a', b'b'],             // a string that is cut off
            &[0x40, 0x01, b'A', 0x00],             // a name in upper case
            &[0x40, 0x00, 0x00],                   // no name
            &[0x40, 0x01, b'a', 0x01, 0x0a],       // a line feed in a value
            &[0x40, 0x81, 0x00, 0x00],             // padding of zeros
            &[0x40, 0x08, b':', b'u', b'n', b'k', b'n', b'o', b'w', b'n', 0x00],
        ] {
            assert_eq!(reads(bad), Err(Unread), "{bad:x?}");
        }
        assert_eq!(reads(&[0x3f, 0xe1, 0x1f, 0x82]), Ok(true));
    }

    #[test]
    fn a_list_that_is_too_long_is_told_and_the_table_goes_on() {
        let mut decoder = Decoder::new(100);
        let mut block = vec![0x40, 0x01, b'a', 0x32];
        block.extend_from_slice(&[b'x'; 50]);
        block.extend_from_slice(&[0xbe, 0xbe]);
        let mut seen = 0;
        assert_eq!(decoder.read(&block, |_| seen += 1), Ok(false));
        assert_eq!(seen, 1);
        assert_eq!(decoder.read(&[0xbe], |_| seen += 1), Ok(true));
    }
}
