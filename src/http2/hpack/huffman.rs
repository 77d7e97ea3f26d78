//! The static Huffman code of HPACK (RFC 7541 Appendix B). It is canonical: the lengths are all there is to it.

use std::sync::LazyLock;

/// The end of a string; it must not occur in one (RFC 7541 §5.2).
const EOS: u16 = 256;

/// How many bits each symbol takes, 0 to 255 and then `EOS`.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// What a byte of the input leads to.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A symbol, and how many bits of the byte belong to it.
    Symbol(u16, u8),
    /// On with the next byte, in this table.
    On(u16),
    /// No code begins so.
    None,
}

static TABLES: LazyLock<Vec<[Step; 256]>> = LazyLock::new(tables);

fn tables() -> Vec<[Step; 256]> {
    let mut order: Vec<u16> = (0..=EOS).collect();
    let length = |symbol: u16| LENGTHS.get(usize::from(symbol)).copied().unwrap_or(0);
    order.sort_by_key(|symbol| (length(*symbol), *symbol));
    let mut tables = vec![[Step::None; 256]];
    let (mut code, mut before) = (0u32, length(order.first().copied().unwrap_or(EOS)));
    for symbol in order {
        let bits = length(symbol);
        code <<= bits - before;
        before = bits;
        enter(&mut tables, symbol, code, bits);
        code += 1;
    }
    tables
}

/// Enters one code, byte by byte from its front.
fn enter(tables: &mut Vec<[Step; 256]>, symbol: u16, code: u32, bits: u8) {
    let (mut table, mut left) = (0, bits);
    while left > 8 {
        left -= 8;
        let byte = (code >> left) as u8;
        let more = u16::try_from(tables.len()).unwrap_or(u16::MAX);
        let slot = tables.get_mut(table).and_then(|table| table.get_mut(usize::from(byte)));
        table = match slot {
            Some(Step::On(next)) => usize::from(*next),
            Some(slot) => {
                *slot = Step::On(more);
                tables.push([Step::None; 256]);
                usize::from(more)
            }
            None => return,
        };
    }
    let first = ((code << (8 - left)) & 0xff) as usize;
    if let Some(slots) = tables.get_mut(table).and_then(|table| table.get_mut(first..first + (1 << (8 - left)))) {
        slots.fill(Step::Symbol(symbol, left));
    }
}

/// Decodes a string, at most `bytes_max` bytes; `None` where it is none.
pub(super) fn decode(mut text: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let tables = &*TABLES;
    let mut out = Vec::with_capacity((text.len() * 8 / 5).min(bytes_max));
    let (mut held, mut bits, mut table) = (0u32, 0u32, 0usize);
    // How many bits of the code that is being read have gone by.
    let mut behind = 0u32;
    loop {
        while bits < 8 {
            let Some((byte, rest)) = text.split_first() else { break };
            (held, bits, text) = (held << 8 | u32::from(*byte), bits + 8, rest);
        }
        if bits == 0 {
            return (behind == 0).then_some(out);
        }
        // Past the end there are ones, as padding has to be.
        let byte = if bits >= 8 { held >> (bits - 8) } else { held << (8 - bits) | (0xff >> bits) } & 0xff;
        match *tables.get(table)?.get(byte as usize)? {
            Step::Symbol(EOS, _) | Step::None => return None,
            Step::Symbol(symbol, used) if u32::from(used) <= bits => {
                if out.len() == bytes_max {
                    return None;
                }
                out.push(symbol as u8);
                bits -= u32::from(used);
                (table, behind) = (0, 0);
            }
            Step::On(next) if bits >= 8 => {
                bits -= 8;
                (table, behind) = (usize::from(next), behind + 8);
            }
            // A code that ends behind the text: what is left must be padding, less than a byte of ones.
            Step::Symbol(..) | Step::On(_) => {
                let ones = held & ((1 << bits) - 1) == (1 << bits) - 1;
                return (behind == 0 && bits < 8 && ones).then_some(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strings_of_the_standard_are_read() {
        // RFC 7541 C.4, C.6.
        let reads = |hex: &[u8], text: &str| assert_eq!(decode(hex, 100).as_deref(), Some(text.as_bytes()));
        reads(&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff], "www.example.com");
        reads(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache");
        reads(&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key");
        reads(&[0x64, 0x02], "302");
        reads(&[], "");
    }

    #[test]
    fn bad_padding_the_end_symbol_and_long_strings_are_refused() {
        // `0` is 00000; padding of zeros, and of a whole byte.
        assert_eq!(decode(&[0x00], 100), None);
        assert_eq!(decode(&[0x07], 100), Some(b"0".to_vec()));
        assert_eq!(decode(&[0x07, 0xff], 100), None);
        assert_eq!(decode(&[0xff], 100), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff], 100), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xfc], 100), None);
        assert_eq!(decode(&[0xf1, 0xe3, 0xc2, 0xff], 2), None);
    }

    #[test]
    fn every_byte_has_a_code_and_no_code_begins_another() {
        let (mut held, mut codes) = (Vec::new(), 0u64);
        for symbol in 0..=EOS {
            // Kraft: a full prefix code has a sum of one.
            codes += 1 << (32 - u32::from(LENGTHS[usize::from(symbol)]));
            held.push(symbol);
        }
        assert_eq!(codes, 1 << 32);
        let symbols = TABLES.iter().flatten().filter_map(|step| match step {
            Step::Symbol(symbol, _) => Some(*symbol),
            _ => None,
        });
        let mut found: Vec<u16> = symbols.collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, held);
    }
}
