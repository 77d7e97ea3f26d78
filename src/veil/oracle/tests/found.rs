//! Pairs of frames that once told something, and the projections of a few that are easily mistaken.

use super::super::Oracle;
use super::views::Real;
use super::ward;

/// Both must look alike.
fn alike(a: &[u8], b: &[u8]) {
    let schema = ward::schema();
    let decision = ward::decision(&schema);
    let (oracle, mut real) = (Oracle::new(&schema, &decision), Real::new(&schema, &decision));
    assert_eq!(oracle.project(a).is_ok(), oracle.project(b).is_ok());
    if let (Ok(a), Ok(b)) = (oracle.project(a), oracle.project(b)) {
        assert_eq!(a, b);
    }
    assert_eq!(oracle.tells_apart([a, b], &mut |frame| real.apply(frame)), None, "{a:02x?} {b:02x?}");
}

#[test]
fn a_run_in_which_nothing_has_an_image_is_not_told() {
    let nan = f32::NAN.to_le_bytes();
    alike(&[&[0x62, 4][..], &nan].concat(), &[]);
    alike(&[0x62, 0], &[]);
}

#[test]
fn a_prefix_of_nothing_is_not_told_where_empty_and_absent_are_the_same() {
    alike(&[0x6a, 0], &[]);
}

#[test]
fn a_broken_varint_in_a_kept_run_is_refused_however_the_others_were_written() {
    alike(&[0x42, 2, 0x05, 0x80], &[0x42, 3, 0x85, 0x00, 0x80]);
    let too_long = [&[0x42, 12][..], &[0xff; 11], &[1]].concat();
    alike(&too_long, &[&[0x42, 14, 0x85, 0][..], &too_long[2..]].concat());
}

#[test]
fn a_sint32_that_is_too_wide_has_the_image_of_what_parsers_read() {
    // 14: sint32 in buckets; 3 (zig-zag 6), and the same with bit 32 set.
    alike(&[0x70, 6], &[0x70, 0x86, 0x80, 0x80, 0x80, 0x10]);
}

#[test]
fn hidden_elements_and_keys_are_not_told() {
    let element = |inside: &[u8]| [&[0x2a, inside.len() as u8][..], inside].concat();
    // A hidden case, a case that is not there, no key, two keys, a broken one, and one with its key alone.
    for inside in [
        &[0x0a, 3, b'p', b'o', b's', 0x10, 1][..],
        &[0x0a, 1, b'x', 0x10, 1],
        &[0x10, 1],
        &[0x0a, 2, b'h', b'r', 0x0a, 2, b'h', b'r', 0x10, 1],
        &[0x0a, 2, b'h', b'r', 0x10],
        &[0x0a, 2, b'h', b'r'],
    ] {
        alike(&element(inside), &[]);
    }
    alike(&element(&[0x0a, 2, b'h', b'r', 0x10, 7]), &element(&[0x10, 7, 0x8a, 0, 0x82, 0, b'h', b'r']));
}

#[test]
fn a_sealed_group_is_as_long_as_its_bucket() {
    let sealed = |len: u8| [vec![0x3a, len], vec![1; len.into()]].concat();
    // 32 bytes hold a fragment's two bytes, and tag and length of 28 bytes.
    alike(&sealed(28), &[]);
    let schema = ward::schema();
    let decision = ward::decision(&schema);
    let oracle = Oracle::new(&schema, &decision);
    let bucket = |len: u8| oracle.project(&sealed(len)).expect("whole").sealed;
    assert_eq!([bucket(0), bucket(28), bucket(29)], [[32], [32], [64]]);
}
