//! Peers that don't keep to the rules, frame by frame.

use std::task::Context;

use super::*;
use crate::http2::core::{Core, Role, TURN_BYTES};
use crate::http2::frame::{self, END_HEADERS, END_STREAM, HEAD_BYTES, Head, PREFACE, push_head};
use crate::http2::head::write_request;
use crate::http2::hpack::Encoder;

/// A server that has been greeted.
fn greeted() -> Core {
    let mut core = Core::new(Role::Server, SETTINGS);
    let mut hello = PREFACE.to_vec();
    frame::push_settings(&mut hello, &[]);
    assert_eq!(core.receive(&hello), Ok(hello.len()));
    core.turned();
    core
}

pub(super) fn written(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_head(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

fn block() -> Vec<u8> {
    let mut block = Vec::new();
    write_request(&mut Encoder::new(), &request("/a.B/C"), &mut block);
    block
}

fn asks(stream: u32, flags: u8) -> Vec<u8> {
    written(frame::HEADERS, flags | END_HEADERS, stream, &block())
}

/// What a core has said since the last turn: kinds of frames, streams, and for resets the reason.
pub(super) fn said(core: &mut Core) -> Vec<(u8, u32, Option<Reason>)> {
    let (out, mut found) = (std::mem::take(&mut core.out), Vec::new());
    let mut rest = &out[..];
    while let Some((head, behind)) = rest.split_first_chunk::<HEAD_BYTES>() {
        let head = Head::read(head);
        let (payload, behind) = behind.split_at(head.len);
        let reason = (head.kind == frame::RST_STREAM).then(|| Reason(u32::from_be_bytes(payload.try_into().expect("four"))));
        found.push((head.kind, head.stream, reason));
        rest = behind;
    }
    core.turned();
    found
}

#[test]
fn what_breaks_the_connection() {
    let ping = written(frame::PING, 0, 0, &[0; 8]);
    let cases: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("a frame that is too long", vec![0, 0x40, 1, 0, 0, 0, 0, 0, 1], Reason::FRAME_SIZE_ERROR),
        ("data on no stream", written(frame::DATA, 0, 0, b"x"), Reason::PROTOCOL_ERROR),
        ("data on a stream that was never opened", written(frame::DATA, 0, 1, b"x"), Reason::PROTOCOL_ERROR),
        ("headers on no stream", asks(0, 0), Reason::PROTOCOL_ERROR),
        ("headers on a stream of the server's", asks(2, 0), Reason::PROTOCOL_ERROR),
        ("headers with less than a priority", written(frame::HEADERS, 0x24, 1, &[0; 4]), Reason::FRAME_SIZE_ERROR),
        ("padded headers without their padding", written(frame::HEADERS, frame::PADDED | END_HEADERS, 1, &[]), Reason::FRAME_SIZE_ERROR),
        (
            "headers that are shorter than their padding",
            written(frame::HEADERS, frame::PADDED | END_HEADERS, 1, &[9]),
            Reason::PROTOCOL_ERROR,
        ),
        ("a block that can't be read", written(frame::HEADERS, END_HEADERS, 1, &[0x80]), Reason::COMPRESSION_ERROR),
        ("a frame between those of a block", [written(frame::HEADERS, 0, 1, &block()), ping.clone()].concat(), Reason::PROTOCOL_ERROR),
        (
            "a block that goes on elsewhere",
            [written(frame::HEADERS, 0, 1, &[]), written(frame::CONTINUATION, 0, 3, &[])].concat(),
            Reason::PROTOCOL_ERROR,
        ),
        ("a continuation of nothing", written(frame::CONTINUATION, 0, 1, &[]), Reason::PROTOCOL_ERROR),
        ("a short priority", written(frame::PRIORITY, 0, 1, &[0; 4]), Reason::FRAME_SIZE_ERROR),
        ("a priority of no stream", written(frame::PRIORITY, 0, 0, &[0; 5]), Reason::PROTOCOL_ERROR),
        ("a reset of no stream", written(frame::RST_STREAM, 0, 0, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("a reset of a stream that was never opened", written(frame::RST_STREAM, 0, 1, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("a short reset", written(frame::RST_STREAM, 0, 1, &[0; 3]), Reason::FRAME_SIZE_ERROR),
        ("settings of a stream", written(frame::SETTINGS, 0, 1, &[]), Reason::PROTOCOL_ERROR),
        ("settings of an odd length", written(frame::SETTINGS, 0, 0, &[0; 5]), Reason::FRAME_SIZE_ERROR),
        ("an acknowledgement with settings", written(frame::SETTINGS, frame::ACK, 0, &[0; 6]), Reason::FRAME_SIZE_ERROR),
        ("a push that is neither on nor off", written(frame::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), Reason::PROTOCOL_ERROR),
        ("a window that is too large", written(frame::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), Reason::FLOW_CONTROL_ERROR),
        ("frames that are too short", written(frame::SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]), Reason::PROTOCOL_ERROR),
        ("a push", written(frame::PUSH_PROMISE, END_HEADERS, 1, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("a ping of a stream", written(frame::PING, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("a short ping", written(frame::PING, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        ("a goodbye of a stream", written(frame::GOAWAY, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("a short goodbye", written(frame::GOAWAY, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        ("a window update of nothing", written(frame::WINDOW_UPDATE, 0, 0, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("a short window update", written(frame::WINDOW_UPDATE, 0, 0, &[0; 3]), Reason::FRAME_SIZE_ERROR),
        ("a window beyond all bounds", written(frame::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), Reason::FLOW_CONTROL_ERROR),
        ("an update of a stream that was never opened", written(frame::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), Reason::PROTOCOL_ERROR),
        (
            "padding that is longer than the frame",
            [asks(1, 0), written(frame::DATA, frame::PADDED, 1, &[9])].concat(),
            Reason::PROTOCOL_ERROR,
        ),
    ];
    for (what, bytes, reason) in cases {
        assert_eq!(greeted().receive(&bytes), Err(reason), "{what}");
    }
    let mut core = Core::new(Role::Server, SETTINGS);
    assert_eq!(core.receive(b"GET / HTTP/1.1\r\n"), Err(Reason::PROTOCOL_ERROR));
    let mut core = Core::new(Role::Server, SETTINGS);
    assert_eq!(core.receive(&PREFACE[..10]), Ok(0));
    assert_eq!(core.receive(&[&PREFACE[..], &ping].concat()), Err(Reason::PROTOCOL_ERROR), "settings come first");
    let mut core = Core::new(Role::Server, SETTINGS);
    let acknowledged = written(frame::SETTINGS, frame::ACK, 0, &[]);
    assert_eq!(core.receive(&[&PREFACE[..], &acknowledged].concat()), Err(Reason::PROTOCOL_ERROR));
}

#[test]
fn what_breaks_a_stream_and_leaves_the_others() {
    let data = |flags, len: usize| written(frame::DATA, flags, 1, &vec![0; len]);
    let cases: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("data behind the end", [asks(1, END_STREAM), data(0, 1)].concat(), Reason::STREAM_CLOSED),
        ("headers behind the end", [asks(1, END_STREAM), asks(1, END_STREAM)].concat(), Reason::STREAM_CLOSED),
        ("trailers that are not the end", [asks(1, 0), written(frame::HEADERS, END_HEADERS, 1, &[])].concat(), Reason::PROTOCOL_ERROR),
        (
            "trailers with a path",
            [asks(1, 0), written(frame::HEADERS, END_HEADERS | END_STREAM, 1, &[0x84])].concat(),
            Reason::PROTOCOL_ERROR,
        ),
        ("no path", written(frame::HEADERS, END_HEADERS, 1, &[0x83, 0x86]), Reason::PROTOCOL_ERROR),
        ("more than the window", [asks(1, 0), data(0, 16_384).repeat(4)].concat(), Reason::FLOW_CONTROL_ERROR),
        ("an update of nothing", [asks(1, 0), written(frame::WINDOW_UPDATE, 0, 1, &[0; 4])].concat(), Reason::PROTOCOL_ERROR),
        (
            "a window beyond all bounds",
            [asks(1, 0), written(frame::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
            Reason::FLOW_CONTROL_ERROR,
        ),
        ("too many streams", (0..11).flat_map(|n| asks(2 * n + 1, 0)).collect(), Reason::REFUSED_STREAM),
    ];
    for (what, bytes, reason) in cases {
        let mut core = greeted();
        assert_eq!(core.receive(&bytes), Ok(bytes.len()), "{what}");
        let resets: Vec<_> = said(&mut core).into_iter().filter_map(|(.., reason)| reason).collect();
        assert_eq!(resets, [reason], "{what}");
        assert_eq!(core.receive(&asks(101, 0)).map(drop), Ok(()), "{what}");
    }
}

#[test]
fn a_list_of_fields_has_its_bounds() {
    // Compressed to little: the same long field, a thousand times.
    let mut long = vec![0x40, 1, b'a', 0x7f, 0xf1, 0x06];
    long.extend_from_slice(&[b'x'; 1_000]);
    long.extend_from_slice(&[0xbe; 1_000]);
    let mut core = greeted();
    assert!(core.receive(&written(frame::HEADERS, END_HEADERS, 1, &long)).is_ok());
    assert_eq!(said(&mut core), [(frame::RST_STREAM, 1, Some(Reason::ENHANCE_YOUR_CALM))]);
    // And continuations: many empty ones, or few long ones.
    for (count, payload) in [(9, vec![]), (2, vec![0; 16_000])] {
        let mut bytes = written(frame::HEADERS, 0, 1, &[]);
        bytes.extend(written(frame::CONTINUATION, 0, 1, &payload).repeat(count));
        assert_eq!(greeted().receive(&bytes), Err(Reason::ENHANCE_YOUR_CALM));
    }
}

#[test]
fn padding_is_given_back_though_nobody_reads_it() {
    let mut core = greeted();
    let padded = written(frame::DATA, frame::PADDED, 1, &[&[255][..], &[0; 255]].concat());
    core.receive(&asks(1, 0)).expect("well-formed");
    for _ in 0..10 {
        // Each time most of the window of the stream, and not one byte of data.
        core.receive(&padded.repeat(150)).expect("within the window");
        assert!(said(&mut core).contains(&(frame::WINDOW_UPDATE, 1, None)));
    }
}

#[test]
fn whoever_asks_too_much_is_told_to_calm_down() {
    let cases = [
        ("pings", written(frame::PING, 0, 0, &[0; 8])),
        ("settings", written(frame::SETTINGS, 0, 0, &[])),
        ("priorities", written(frame::PRIORITY, 0, 1, &[0; 5])),
        ("frames that are not known", written(200, 0, 0, &[])),
        ("empty data", written(frame::DATA, 0, 1, &[])),
        ("padded empty data", written(frame::DATA, frame::PADDED, 1, &[0])),
        ("window updates", written(frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("trailers behind the end", written(frame::HEADERS, END_HEADERS | END_STREAM, 3, &[])),
        ("goodbyes", written(frame::GOAWAY, 0, 0, &[0; 8])),
        ("headers of a stream that has gone", written(frame::HEADERS, END_HEADERS, 5, &[])),
    ];
    for (what, bytes) in cases {
        let mut core = greeted();
        core.receive(&[asks(1, 0), asks(3, END_STREAM), asks(5, 0)].concat()).expect("well-formed");
        core.receive(&written(frame::RST_STREAM, 0, 5, &[0; 4])).expect("well-formed");
        assert_eq!(core.receive(&bytes.repeat(20_000)), Err(Reason::ENHANCE_YOUR_CALM), "{what}");
        assert!(core.out.len() < 200_000, "{what}: {}", core.out.len());
    }
    // Requests that are reset at once.
    let mut core = greeted();
    let rapid: Vec<u8> =
        (0..20_000).flat_map(|n| [asks(2 * n + 1, END_STREAM), written(frame::RST_STREAM, 0, 2 * n + 1, &[0; 4])].concat()).collect();
    assert_eq!(core.receive(&rapid), Err(Reason::ENHANCE_YOUR_CALM));
    assert!(core.arrived.len() <= 1 && core.streams.len() <= 1);
    // And those that the server has to reset, by data or headers behind their end, or trailers that are none; nobody begins with them.
    let breaks: [fn(u32) -> Vec<u8>; 3] = [
        |id| [asks(id, END_STREAM), written(frame::DATA, 0, id, b"x")].concat(),
        |id| [asks(id, END_STREAM), asks(id, END_STREAM)].concat(),
        |id| [asks(id, 0), written(frame::HEADERS, END_HEADERS, id, &[])].concat(),
    ];
    for breaks in breaks {
        let mut core = greeted();
        let provoked: Vec<u8> = (0..20_000).flat_map(|n| breaks(2 * n + 1)).collect();
        assert_eq!(core.receive(&provoked), Err(Reason::ENHANCE_YOUR_CALM));
        assert!(core.arrived.len() <= 1 && core.streams.len() <= 1, "{} {}", core.arrived.len(), core.streams.len());
    }
    // And more of them than may be open, each of which is answered.
    let mut core = greeted();
    let many: Vec<u8> = (0..20_000).flat_map(|n| asks(2 * n + 1, 0)).collect();
    assert_eq!(core.receive(&many), Err(Reason::ENHANCE_YOUR_CALM));
    assert!(core.streams.len() == 10 && core.out.len() < 200_000, "{}", core.out.len());
}

#[test]
fn requests_that_come_after_the_last_one_are_passed_over() {
    let mut core = greeted();
    core.wind_up();
    core.receive(&[asks(1, 0), written(frame::PING, frame::ACK, 0, b"last one"), asks(3, 0)].concat()).expect("well-formed");
    assert_eq!((core.last_taken, core.arrived.len(), core.streams.len()), (Some(1), 1, 1));
    // What belongs to it is passed over, too, and not for ever.
    core.receive(&written(frame::DATA, END_STREAM, 3, b"x")).expect("on its way");
    let many: Vec<u8> = (2..20_000).flat_map(|n| asks(2 * n + 1, 0)).collect();
    assert_eq!(core.receive(&many), Err(Reason::ENHANCE_YOUR_CALM));
}

#[test]
fn nothing_is_written_past_a_window_or_while_the_socket_is_stuck() {
    let mut core = greeted();
    // Streams may be sent 10 bytes.
    core.receive(&written(frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10])).expect("well-formed");
    core.receive(&[asks(1, END_STREAM), asks(3, END_STREAM)].concat()).expect("well-formed");
    let (one, other) = (core.arrived[0].place, core.arrived[1].place);
    assert_eq!(core.room(one), 10);
    core.send_data(one, &[0; 10], false);
    assert_eq!((core.room(one), core.room(other)), (0, 10));
    assert_eq!(core.room(one), 0);
    core.receive(&written(frame::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 3])).expect("well-formed");
    assert_eq!(core.room(one), 3);
    // Smaller windows for all: below zero.
    core.receive(&written(frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])).expect("well-formed");
    assert_eq!((core.room(one), core.room(other)), (0, 1));
    core.receive(&written(frame::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])).expect("well-formed");
    // So much a turn, a frame at most.
    assert_eq!(core.room(one), frame::PAYLOAD_BYTES_MAX);
    core.send_data(one, &[0; 5], false);
    assert_eq!(core.room(one), frame::PAYLOAD_BYTES_MAX);
    core.send_data(one, &[0; TURN_BYTES - 5], false);
    assert_eq!((core.room(one), core.room(other)), (0, frame::PAYLOAD_BYTES_MAX));
    core.stuck = true;
    assert_eq!(core.room(other), 0);
    core.turned();
    assert_eq!((core.room(one), core.room(other)), (frame::PAYLOAD_BYTES_MAX, frame::PAYLOAD_BYTES_MAX));
    // What all streams share: 65,535 bytes, of which a turn and ten are gone.
    core.receive(&written(frame::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xf0])).expect("well-formed");
    for left in [40_949, 24_565, 8_181] {
        core.send_data(one, &[0; 16_384], false);
        core.turned();
        assert_eq!(core.send_window, left);
    }
    assert_eq!(core.room(other), 8_181);
    core.send_data(one, &[0; 8_181], false);
    core.turned();
    assert_eq!(core.room(other), 0);
    core.receive(&written(frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9])).expect("well-formed");
    assert_eq!(core.room(other), 9);
}

#[test]
fn what_is_held_is_bounded_and_what_is_read_is_allowed_again() {
    let settings = Settings { window_bytes: 100_000, held_bytes_max: 120_000, stream_window_bytes: 65_535, ..SETTINGS };
    let mut core = Core::new(Role::Server, settings);
    let mut hello = PREFACE.to_vec();
    frame::push_settings(&mut hello, &[]);
    core.receive(&hello).expect("well-formed");
    said(&mut core);
    core.receive(&[asks(1, 0), asks(3, 0)].concat()).expect("well-formed");
    let place = core.arrived[0].place;
    for stream in [1, 1, 1, 3, 3, 3] {
        core.receive(&written(frame::DATA, 0, stream, &[0; 16_000])).expect("allowed");
    }
    // Never more on its way than may be held.
    assert!(core.held == 96_000 && core.recv_window <= 120_000 - 96_000, "{}", core.recv_window);
    assert_eq!(said(&mut core).len(), 0);
    assert_eq!(core.receive(&written(frame::DATA, 0, 3, &[0; 16_000])), Err(Reason::FLOW_CONTROL_ERROR));
    let cx = Context::from_waker(std::task::Waker::noop());
    core.streams.get(place).expect("open").read_by(&cx);
    assert_eq!(core.streams.get(place).expect("open").take_inbox().len(), 48_000);
    assert!(core.held == 96_000 && said(&mut core).is_empty(), "taken is not dealt with");
    core.release(place);
    assert_eq!(said(&mut core), [(frame::WINDOW_UPDATE, 1, None), (frame::WINDOW_UPDATE, 0, None)]);
    core.release(place);
    assert!(core.held == 48_000 && said(&mut core).is_empty(), "once");
    // Nobody reads the other one: what it held is free again.
    core.leave_reader(core.arrived[1].place);
    assert_eq!(core.held, 0);
}
