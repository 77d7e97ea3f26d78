//! Servers that don't keep to the rules, frame by frame, and what becomes of the calls that they have.

use super::rules::{said, written};
use super::*;
use crate::http2::core::{Core, Role};
use crate::http2::frame::{self, END_HEADERS, END_STREAM};
use crate::http2::stream::Place;

/// `:status: 200`.
const OK: &[u8] = &[0x88];
/// `:status: 100`, written out.
const CONTINUE: &[u8] = &[0x08, 3, b'1', b'0', b'0'];

/// A client that was greeted, and a call of it on stream 1 whose request goes on.
fn calling() -> (Core, Place) {
    let mut core = Core::new(Role::Client, SETTINGS);
    let mut hello = Vec::new();
    frame::push_settings(&mut hello, &[]);
    assert_eq!(core.receive(&hello), Ok(hello.len()));
    let place = core.open(&request("/a.B/C"), false);
    core.turned();
    (core, place)
}

fn head(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    written(frame::HEADERS, flags | END_HEADERS, stream, block)
}

fn data(flags: u8, stream: u32) -> Vec<u8> {
    written(frame::DATA, flags, stream, b"x")
}

#[test]
fn what_breaks_a_connection_to_an_upstream() {
    for (what, bytes) in [
        ("an answer to nothing", head(0, 3, OK)),
        ("a stream of the server's", head(0, 2, OK)),
        ("data of nothing", data(0, 3)),
        ("a reset of nothing", written(frame::RST_STREAM, 0, 3, &[0; 4])),
        ("an update of nothing", written(frame::WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1])),
        ("a push", written(frame::PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
    ] {
        assert_eq!(calling().0.receive(&bytes), Err(Reason::PROTOCOL_ERROR), "{what}");
    }
    let (mut core, _) = calling();
    // Windows that are open already follow, and none may be larger than there are numbers for.
    let raised = written(frame::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0, 0]);
    assert_eq!(core.receive(&raised), Ok(raised.len()));
    assert_eq!(core.receive(&written(frame::SETTINGS, 0, 0, &[0, 4, 0, 2, 0, 0])), Err(Reason::FLOW_CONTROL_ERROR));
}

#[test]
fn an_answer_that_is_none_ends_its_call_and_no_other() {
    // Compressed to little: the same long field, a thousand times.
    let mut long = vec![0x88, 0x40, 1, b'a', 0x7f, 0xf1, 0x06];
    long.extend_from_slice(&[b'x'; 1_000]);
    long.extend_from_slice(&[0xbe; 1_000]);
    let cases: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("data before the head", data(0, 1), Reason::PROTOCOL_ERROR),
        ("no status", head(0, 1, &[]), Reason::PROTOCOL_ERROR),
        ("a status that is none", head(0, 1, &[0x08, 4, b'2', b'0', b'0', b'0']), Reason::PROTOCOL_ERROR),
        ("a path", head(0, 1, &[0x88, 0x84]), Reason::PROTOCOL_ERROR),
        ("more to come, and the end", head(END_STREAM, 1, CONTINUE), Reason::PROTOCOL_ERROR),
        ("more fields than are taken", head(0, 1, &long), Reason::PROTOCOL_ERROR),
        ("data behind the end", [head(END_STREAM, 1, OK), data(0, 1)].concat(), Reason::STREAM_CLOSED),
        ("a head behind the end", [head(END_STREAM, 1, OK), head(END_STREAM, 1, &[])].concat(), Reason::STREAM_CLOSED),
        ("trailers that are not the end", [head(0, 1, OK), head(0, 1, &[])].concat(), Reason::PROTOCOL_ERROR),
        ("trailers with a status", [head(0, 1, OK), head(END_STREAM, 1, OK)].concat(), Reason::PROTOCOL_ERROR),
    ];
    for (what, bytes, reason) in cases {
        let (mut core, place) = calling();
        let other = core.open(&request("/a.B/D"), true);
        core.turned();
        assert_eq!(core.receive(&bytes), Ok(bytes.len()), "{what}");
        assert_eq!(said(&mut core), [(frame::RST_STREAM, 1, Some(reason))], "{what}");
        let broken = core.streams.get(place).and_then(|stream| stream.broken);
        assert_eq!(broken, Some(Broken { reason, unprocessed: false }), "{what}");
        let answered = [head(0, 3, CONTINUE), head(0, 3, OK), data(END_STREAM, 3)].concat();
        assert_eq!(core.receive(&answered), Ok(answered.len()), "{what}");
        let other = core.streams.get(other).expect("somebody reads it");
        assert_eq!((other.answer.is_some(), &other.inbox[..], other.complete), (true, &b"x"[..], true), "{what}");
    }
}

#[test]
fn an_answer_to_a_call_that_was_given_up_is_passed_over() {
    let (mut core, place) = calling();
    core.leave_writer(place);
    assert_eq!(said(&mut core), [(frame::RST_STREAM, 1, Some(Reason::CANCEL))]);
    let late = [head(0, 1, OK), data(0, 1), written(frame::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), head(END_STREAM, 1, &[])].concat();
    // Its reader has not gone yet; then it has, too.
    for streams in [1, 0] {
        assert_eq!(core.receive(&late), Ok(late.len()), "on its way when it ended");
        assert_eq!((said(&mut core), core.streams.len()), (Vec::new(), streams));
        core.leave_reader(place);
    }
    let reset = written(frame::RST_STREAM, 0, 1, &[0; 4]);
    assert_eq!((core.receive(&reset), said(&mut core)), (Ok(reset.len()), Vec::new()));
}

#[test]
fn calls_that_an_upstream_did_not_look_at_can_be_tried_elsewhere() {
    let (mut core, taken) = calling();
    let late = core.open(&request("/a.B/D"), true);
    assert!(!core.opens_none());
    let goodbye = written(frame::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(core.receive(&goodbye), Ok(goodbye.len()));
    assert!(core.opens_none());
    let broken = |core: &mut Core, place| core.streams.get(place).and_then(|stream| stream.broken);
    assert_eq!(broken(&mut core, late), Some(Broken { reason: Reason::REFUSED_STREAM, unprocessed: true }));
    assert_eq!(broken(&mut core, taken), None);
    assert_eq!(core.receive(&head(END_STREAM, 1, OK)).map(drop), Ok(()));
}

#[test]
fn nothing_is_said_on_a_stream_behind_its_reset() {
    let (mut core, place) = calling();
    core.receive(&data(0, 1)).expect("well-formed");
    assert_eq!(said(&mut core), [(frame::RST_STREAM, 1, Some(Reason::PROTOCOL_ERROR))]);
    core.send_data(place, b"more", false);
    core.send_trailers(place, &trailers());
    core.send_response(place, &Response::new(()), true);
    core.reset(place, Reason::CANCEL);
    assert_eq!(said(&mut core), []);
}
