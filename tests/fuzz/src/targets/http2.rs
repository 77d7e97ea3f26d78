//! HTTP/2 against whoever comes: a server that echoes and bytes that nobody checked, a client and an answer that nobody checked, and
//! both ends against each other over pipes of any width, where everything that was sent has to come back.
//!
//! Input: a mode, then bytes for the wire, or steps.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use twinveil::http2::{Answer, Connection, Opener, Reading, Reason, Settings, Writing, client, server};

use super::Input;

const SETTINGS: Settings = Settings {
    stream_window_bytes: 65_535,
    window_bytes: 100_000,
    held_bytes_max: 200_000,
    streams_max: 4,
    header_bytes_max: 4_096,
    silence: Duration::from_secs(3_600),
    answer_within: Duration::from_secs(3_600),
};
/// What a peer that asks for answers may make the other end hold and say, beside what it sent itself.
const SAID_BYTES_MAX: usize = 2 * 1024 * 1024;

thread_local! {
    /// Timers need one, though none of them fires.
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime without threads");
}

pub(super) fn run(data: &[u8]) {
    RUNTIME.with(|runtime| {
        let _entered = runtime.enter();
        let mut input = Input(data);
        match input.byte() % 3 {
            0 => hostile_client(input),
            1 => hostile_server(input),
            _ => both(input),
        }
    });
}

/// One direction of a connection.
#[derive(Default)]
struct Way {
    held: VecDeque<u8>,
    room: usize,
    over: bool,
    all: usize,
}

/// An end of a connection in memory.
struct End {
    from: Rc<RefCell<Way>>,
    to: Rc<RefCell<Way>>,
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut way = self.from.borrow_mut();
        if way.held.is_empty() {
            return if way.over { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let count = way.held.len().min(to.remaining());
        let bytes: Vec<u8> = way.held.drain(..count).collect();
        to.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut way = self.to.borrow_mut();
        let count = bytes.len().min(way.room.saturating_sub(way.held.len()));
        if count == 0 {
            return Poll::Pending;
        }
        way.held.extend(&bytes[..count]);
        way.all += count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to.borrow_mut().over = true;
        Poll::Ready(Ok(()))
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A server's call: sends back what comes, and an end behind it.
struct Echo {
    body: Reading,
    writing: Writing,
    ended: bool,
}

impl Echo {
    /// Goes on as far as it can; whether it is over.
    fn go_on(&mut self) -> bool {
        let mut cx = context();
        while !self.ended {
            match self.writing.poll_room(&mut cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return true,
                Poll::Pending => return false,
            }
            match Pin::new(&mut self.body).poll_frame(&mut cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.writing.data(data, false);
                    }
                }
                Poll::Ready(Some(Err(_))) => return true,
                Poll::Ready(None) => {
                    self.ended = true;
                    self.writing.trailers(&HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]));
                }
            }
        }
        self.writing.poll_sent(&mut cx).is_ready()
    }
}

/// A server with its calls; whether its connection is over.
struct Serving {
    connection: Connection<End>,
    calls: Vec<Echo>,
}

impl Serving {
    fn go_on(&mut self) -> bool {
        loop {
            match self.connection.poll_accept(&mut context()) {
                Poll::Ready(Some(Ok((request, mut writing)))) => {
                    writing.head(&Response::new(()), false);
                    self.calls.push(Echo { body: request.into_body(), writing, ended: false });
                    assert!(self.calls.len() <= 1_000, "requests that nobody paid for");
                }
                Poll::Ready(_) => return true,
                Poll::Pending => break,
            }
        }
        self.calls.retain_mut(|call| !call.go_on());
        assert!(self.calls.len() <= SETTINGS.streams_max as usize, "more calls than may be open");
        false
    }
}

fn hostile_client(mut input: Input<'_>) {
    let (there, back) = (Rc::<RefCell<Way>>::default(), Rc::<RefCell<Way>>::default());
    let mut serving = Serving { connection: server(End { from: there.clone(), to: back.clone() }, SETTINGS), calls: Vec::new() };
    if input.byte().is_multiple_of(2) {
        there.borrow_mut().held.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    }
    let mut sent = 0;
    loop {
        let piece = input.piece();
        there.borrow_mut().held.extend(piece);
        there.borrow_mut().over = input.is_empty();
        sent += piece.len();
        back.borrow_mut().room = usize::from(input.byte()) * 100;
        for _ in 0..4 {
            if serving.go_on() {
                return;
            }
            // What is said is read, some time.
            back.borrow_mut().held.clear();
        }
        // An acknowledgement is as long as the question, a refusal shorter than what it refuses.
        let said = back.borrow().all;
        assert!(said <= SAID_BYTES_MAX + 20 * sent, "{said} bytes said to {sent}");
        if input.is_empty() {
            return;
        }
    }
}

fn hostile_server(mut input: Input<'_>) {
    let (there, back) = (Rc::<RefCell<Way>>::default(), Rc::<RefCell<Way>>::default());
    there.borrow_mut().room = 1 << 20;
    let (opener, mut connection) = client(End { from: back.clone(), to: there.clone() }, SETTINGS);
    let mut calls: Vec<Call> = (0..3).filter_map(|number| Call::open(&opener, number)).collect();
    back.borrow_mut().held.extend(b"\0\0\0\x04\0\0\0\0\0");
    loop {
        back.borrow_mut().held.extend(input.piece());
        back.borrow_mut().over = input.is_empty();
        for _ in 0..3 {
            let over = Pin::new(&mut connection).poll(&mut context()).is_ready();
            for call in &mut calls {
                call.send(1_000);
                call.read();
            }
            there.borrow_mut().held.clear();
            if over {
                assert!(opener.is_closed() && calls.iter().all(|call| call.is_over()), "a call outlived its connection");
                return;
            }
        }
        if input.is_empty() {
            return;
        }
    }
}

/// A client's call.
struct Call {
    number: u32,
    writing: Option<Writing>,
    answer: Option<Answer>,
    body: Option<Reading>,
    sent: usize,
    read: usize,
    /// Nothing more is sent.
    ended: bool,
    /// It ended with its trailers, or it broke.
    complete: bool,
    broken: bool,
}

/// What a call sends, byte by byte.
fn byte_of(number: u32, at: usize) -> u8 {
    (number as usize * 31 + at * 7 + at / 251) as u8
}

impl Call {
    fn open(opener: &Opener, number: u32) -> Option<Self> {
        let request = Request::post(format!("http://somewhere/a.B/{number}")).body(()).expect("a request");
        let (writing, answer) = opener.open(&request, false).ok()?;
        let (sent, read, ended, complete, broken) = (0, 0, false, false, false);
        Some(Self { number, writing: Some(writing), answer: Some(answer), body: None, sent, read, ended, complete, broken })
    }

    fn is_over(&self) -> bool {
        self.complete || self.broken
    }

    /// Sends so many bytes where there is room; whether it did.
    fn send(&mut self, bytes: usize) -> bool {
        let Some(writing) = self.writing.as_mut().filter(|_| !self.ended) else { return false };
        match writing.poll_room(&mut context()) {
            Poll::Ready(Ok(())) => {
                let piece: Vec<u8> = (self.sent..self.sent + bytes).map(|at| byte_of(self.number, at)).collect();
                self.sent += bytes;
                writing.data(Bytes::from(piece), false);
                true
            }
            Poll::Ready(Err(_)) => {
                (self.ended, self.broken) = (true, true);
                false
            }
            Poll::Pending => false,
        }
    }

    /// Says that this was all; whether it could.
    fn end(&mut self) -> bool {
        let Some(writing) = self.writing.as_mut().filter(|_| !self.ended) else { return false };
        self.ended = matches!(writing.poll_room(&mut context()), Poll::Ready(Ok(())));
        if self.ended {
            writing.data(Bytes::new(), true);
        }
        self.ended
    }

    /// Reads what has come; whether anything did. It is what was sent, in order, or nothing is checked that is a stranger's.
    fn read(&mut self) -> bool {
        let mut cx = context();
        if let Some(writing) = &mut self.writing {
            // What waits for room goes on.
            let _sent = writing.poll_sent(&mut cx);
        }
        if let Some(answer) = &mut self.answer {
            match Pin::new(answer).poll(&mut cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(answer)) => self.body = Some(answer.into_body()),
                Poll::Ready(Err(_)) => self.broken = true,
            }
            self.answer = None;
            return true;
        }
        let Some(body) = &mut self.body else { return false };
        match Pin::new(body).poll_frame(&mut cx) {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    self.read += data.len();
                    self.check(&data);
                }
                true
            }
            Poll::Ready(Some(Err(_))) => !std::mem::replace(&mut self.broken, true),
            Poll::Ready(None) => !std::mem::replace(&mut self.complete, true),
        }
    }

    fn check(&self, data: &[u8]) {
        if self.number >= OURS {
            let from = self.read - data.len();
            assert!(self.read <= self.sent, "more came back than was sent");
            assert!(data.iter().enumerate().all(|(at, byte)| *byte == byte_of(self.number, from + at)), "other bytes came back");
        }
    }
}

/// Calls with such numbers are answered by an echo.
const OURS: u32 = 1_000;

fn both(mut input: Input<'_>) {
    let (there, back) = (Rc::<RefCell<Way>>::default(), Rc::<RefCell<Way>>::default());
    let mut serving = Serving { connection: server(End { from: there.clone(), to: back.clone() }, SETTINGS), calls: Vec::new() };
    let (opener, mut connection) = client(End { from: back.clone(), to: there.clone() }, SETTINGS);
    let mut calls: Vec<Call> = Vec::new();
    let mut number = OURS;
    while !input.is_empty() {
        let which = usize::from(input.byte());
        let (at, few) = (which % calls.len().max(1), calls.len() < 8);
        match (input.byte() % 8, calls.get_mut(at)) {
            (0, _) if few => {
                number += 1;
                calls.extend(Call::open(&opener, number));
            }
            (1, Some(call)) => drop(call.send(usize::from(input.byte()) * 100)),
            (2, Some(call)) => drop(call.end()),
            (3, Some(call)) => drop(call.read()),
            (4, Some(_)) if which > 200 => drop(calls.swap_remove(at)),
            (5, Some(call)) if which > 200 => {
                if let Some(writing) = &mut call.writing {
                    writing.reset(Reason::CANCEL);
                    (call.ended, call.broken) = (true, true);
                }
            }
            (6, _) => drop(Pin::new(&mut connection).poll(&mut context())),
            (7, _) => drop(serving.go_on()),
            _ => {}
        }
        there.borrow_mut().room = which * 50;
        back.borrow_mut().room = which * 30;
    }
    // Nobody is in anybody's way any more: everything arrives.
    (there.borrow_mut().room, back.borrow_mut().room) = (5_000, 5_000);
    for round in 0.. {
        let over = Pin::new(&mut connection).poll(&mut context()).is_ready() | serving.go_on();
        assert!(!over, "a connection ended that nobody ended");
        for call in &mut calls {
            call.end();
            while call.read() {}
        }
        if calls.iter().all(Call::is_over) {
            break;
        }
        assert!(round < 100_000, "it does not go on");
    }
    for call in calls {
        assert!(call.broken || (call.complete && call.read == call.sent), "{} of {} came back", call.read, call.sent);
    }
}
