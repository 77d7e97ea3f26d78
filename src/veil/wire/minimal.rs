//! Making what was written at length minimal: equal values, equal bytes.

use super::{LEN, VARINT, bounds, push_varint, slice, varint, varint_len, write_varint};
use crate::veil::outcome::Refusal;

/// Whether the varint that ends at `end` has no empty byte at its top.
#[inline]
pub(crate) fn minimal_varint(input: &[u8], begin: usize, end: usize) -> bool {
    end - begin == 1 || input.get(end - 1) != Some(&0)
}

/// Whether the length in front of a value that ends at `end` is minimal.
#[inline]
pub(crate) fn minimal_len(input: &[u8], begin: usize, end: usize) -> bool {
    match input.get(begin) {
        Some(&first) if first < 0x80 => true,
        _ => varint(input, begin).is_ok_and(|(len, at)| at - begin == varint_len(len) && at + len as usize == end),
    }
}

/// Whether every varint of a packed run is whole and minimal. Many bytes are looked at together and without a branch, so that it
/// costs next to nothing; only where four bytes in a row go on are the varints looked at one by one.
pub(crate) fn minimal_run(run: &[u8]) -> bool {
    let (padded, long) = if run.len() < 64 {
        short_run(run)
    } else {
        let (padded, two) = pairs(run);
        // Where no two in a row go on, as with most samples, no four do.
        (padded, two && fours(run))
    };
    let cut = run.last().is_some_and(|last| *last >= 0x80);
    // A varint that is too long has nine bytes that go on.
    !padded && !cut && (!long || whole_run(run))
}

/// Whether an empty byte stands behind one that goes on, and whether two in a row go on. Compiles to vector instructions.
fn pairs(run: &[u8]) -> (bool, bool) {
    let (padded, two) =
        run.iter().zip(from(run, 1)).fold((0, 0), |(padded, two), (a, b)| (padded | (a & u8::from(*b == 0) << 7), two | (a & b)));
    (padded >= 0x80, two >= 0x80)
}

/// Whether four in a row go on. Compiles to vector instructions.
fn fours(run: &[u8]) -> bool {
    let fours = run.iter().zip(from(run, 1)).zip(from(run, 2).zip(from(run, 3)));
    fours.fold(0, |long, ((a, b), (c, d))| long | (a & b & c & d)) >= 0x80
}

fn from(run: &[u8], begin: usize) -> std::slice::Iter<'_, u8> {
    run.get(begin..).unwrap_or_default().iter()
}

/// The same, eight bytes at a time: vectors cost more than they save here.
fn short_run(run: &[u8]) -> (bool, bool) {
    let (mut padded, mut long, mut at) = (0, 0, 0);
    let mut look = |bytes: u64, next: u64| {
        let go_on = bytes & TOPS;
        // What the borrow of an empty byte marks beside it does not follow one that goes on.
        padded |= next.wrapping_sub(ONES) & !next & go_on;
        let two = go_on & go_on >> 8;
        long |= two & two >> 16;
    };
    while let (Some(bytes), Some(next)) = (eight(run, at), eight(run, at + 1)) {
        look(bytes, next);
        at += 8;
    }
    // The last eight, some of them for the second time; what is made up around them is neither empty nor goes on.
    let bytes = run.len().checked_sub(8).and_then(|last| eight(run, last));
    let bytes = bytes.unwrap_or_else(|| run.iter().rev().fold(1, |bytes, byte| bytes << 8 | u64::from(*byte)));
    look(bytes, bytes >> 8 | 1 << 56);
    (padded != 0, long != 0)
}

/// Eight bytes as they lie, the first lowest.
#[inline]
fn eight(run: &[u8], at: usize) -> Option<u64> {
    run.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u64::from_le_bytes(*bytes))
}

/// The top bit of each of eight bytes.
const TOPS: u64 = 0x8080_8080_8080_8080;
/// One in each of eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Whether every varint of a run can be read.
fn whole_run(run: &[u8]) -> bool {
    let mut at = 0;
    while at < run.len() {
        let Ok((_, after)) = varint(run, at) else { return false };
        at = after;
    }
    true
}

/// Copies a record with its tag, length and varints made minimal.
pub(crate) fn copy_minimal(out: &mut Vec<u8>, tag: u64, value: &[u8], packed: bool) -> Result<(), Refusal> {
    push_varint(out, tag);
    match (tag & 7) as u8 {
        VARINT => push_varint(out, varint(value, 0)?.0),
        LEN => {
            let (mut at, end) = bounds(value, 0)?;
            let place = out.len();
            let room = varint_len((end - at) as u64);
            out.extend_from_slice(&[0; 10][..room]);
            if packed && !minimal_run(slice(value, at, end)) {
                while at < end {
                    let (number, after) = varint(slice(value, 0, end), at)?;
                    push_varint(out, number);
                    at = after;
                }
            } else {
                out.extend_from_slice(slice(value, at, end));
            }
            mend_length(out, place, room);
        }
        _ => out.extend_from_slice(value),
    }
    Ok(())
}

/// Writes the length of everything behind `at + room` to `at`, minimal.
#[inline]
pub(crate) fn mend_length(out: &mut Vec<u8>, at: usize, room: usize) {
    let len = out.len() - at - room;
    if room == 1
        && len < 0x80
        && let Some(byte) = out.get_mut(at)
    {
        *byte = len as u8;
        return;
    }
    mend_long_length(out, at, room, len);
}

fn mend_long_length(out: &mut Vec<u8>, at: usize, room: usize, len: usize) {
    let need = varint_len(len as u64);
    if need < room {
        out.copy_within(at + room.., at + need);
        out.truncate(at + need + len);
    } else if need > room {
        let end = out.len();
        out.resize(end + need - room, 0);
        out.copy_within(at + room..end, at + need);
    }
    write_varint(&mut out[at..], len as u64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_written_at_length_come_out_minimal() {
        let cases: [(u64, &[u8], bool, &[u8]); 4] = [
            (0x08, &[0x85, 0x80, 0x00], false, &[0x08, 0x05]),
            (0x0a, &[0x82, 0x00, b'a', b'b'], false, &[0x0a, 0x02, b'a', b'b']),
            (0x0a, &[0x04, 0x81, 0x00, 0x80, 0x00], true, &[0x0a, 0x02, 0x01, 0x00]),
            (0x0d, &[1, 2, 3, 4], false, &[0x0d, 1, 2, 3, 4]),
        ];
        for (tag, value, packed, expected) in cases {
            let mut out = Vec::new();
            copy_minimal(&mut out, tag, value, packed).expect("legal");
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_run_with_a_broken_varint_is_refused_however_the_others_were_written() {
        let long = [&[0x01][..], &[0xff; 11], &[0x01]].concat();
        let wide = [&[0x01, 0x02][..], &[0xff; 9], &[0x02]].concat();
        let broken: [&[u8]; 4] = [&[0x05, 0x80], &[0x85, 0x00, 0x80], &long, &wide];
        for run in broken {
            let value = [&[run.len() as u8][..], run].concat();
            assert!(copy_minimal(&mut Vec::new(), 0x0a, &value, true).is_err(), "{run:?}");
        }
        let widest = [&[0xff; 9][..], &[0x01]].concat();
        assert!(minimal_run(&widest) && minimal_run(&[]));
    }

    #[test]
    fn a_record_that_is_not_whole_is_refused() {
        for (tag, value, packed) in [(0x08, &[0x80][..], false), (0x0a, &[0x02, 1], false), (0x0a, &[0x03, 0x80, 0x00, 0x80], true)] {
            assert_eq!(copy_minimal(&mut Vec::new(), tag, value, packed), Err(Refusal::Truncated), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn a_run_is_minimal_exactly_if_each_of_its_varints_is(run in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0x80), Just(0x81), Just(0xff), any::<u8>()], 0..100)) {
            let mut at = 0;
            let mut expected = true;
            while at < run.len() && expected {
                expected = varint(&run, at).is_ok_and(|(value, after)| {
                    let minimal = after - at == varint_len(value);
                    at = after;
                    minimal
                });
            }
            prop_assert_eq!(minimal_run(&run), expected);
        }

        #[test]
        fn a_run_is_left_as_it_is_where_writing_it_anew_would_not_change_it(run in proptest::collection::vec(proptest::sample::select(vec![0u8, 1, 2, 0x7f, 0x80, 0x81, 0xff, 0xff, 0xff]), 0..40)) {
            let (mut anew, mut at, mut whole) = (Vec::new(), 0, true);
            while at < run.len() && whole {
                match varint(&run, at) {
                    Ok((number, after)) => {
                        push_varint(&mut anew, number);
                        at = after;
                    }
                    Err(_) => whole = false,
                }
            }
            prop_assert_eq!(minimal_run(&run), whole && anew == run);
        }

        #[test]
        fn a_mended_length_is_what_stands_behind_it(room in 1usize..=4, body in 0usize..300) {
            let mut out = vec![0xee];
            out.resize(1 + room + body, 7);
            mend_length(&mut out, 1, room);
            let (len, at) = varint(&out, 1).expect("a length");
            prop_assert_eq!((len as usize, at - 1, out.len() - at), (body, varint_len(body as u64), body));
        }
    }
}
