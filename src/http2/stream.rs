//! Streams of a connection and the table that they are found in.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::task::{Context, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};

use super::Broken;

/// How much memory a stream keeps for what may come, in bytes.
const INBOX_KEPT_BYTES: usize = 16 * 1024;
/// How many larger inboxes a thread keeps for all streams of its connections.
const LENT_MAX: usize = 16;

thread_local! {
    /// Inboxes that were taken: whoever took one has it until they drop it, and then the next stream to which much comes.
    static LENT: RefCell<VecDeque<Bytes>> = const { RefCell::new(VecDeque::new()) };
}

/// A large inbox that nobody reads any more; else a new one.
#[cold]
fn large_inbox(bytes: usize) -> BytesMut {
    let had = LENT.with_borrow_mut(|lent| {
        let at = lent.iter().position(Bytes::is_unique)?;
        lent.swap_remove_back(at)?.try_into_mut().ok()
    });
    match had {
        Some(mut inbox) if inbox.capacity() >= bytes => {
            inbox.clear();
            inbox
        }
        _ => BytesMut::with_capacity(bytes),
    }
}

/// One stream (RFC 9113 §5.1).
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// What has come and was not taken; with what was taken and is not dealt with, at most a window.
    pub(super) inbox: BytesMut,
    /// How many bytes whoever took them has not dealt with.
    pub(super) taken: usize,
    /// How much came before it was taken last, where that was much.
    expects: usize,
    pub(super) trailers: Option<HeaderMap>,
    /// The head of the answer, on our side of a call.
    pub(super) answer: Option<Response<()>>,
    /// A head was seen: the next one is of trailers.
    pub(super) headed: bool,
    /// All of it has come.
    pub(super) complete: bool,
    /// Whether more may come, and whether more may go.
    pub(super) remote_open: bool,
    pub(super) local_open: bool,
    /// Why it ended before its end.
    pub(super) broken: Option<Broken>,
    /// What the peer may still send, and what it may be allowed again, in bytes.
    pub(super) recv_window: i64,
    pub(super) unreleased: u32,
    /// What may still be sent, in bytes.
    pub(super) send_window: i64,
    /// The turn in which something of it was written last, and how many bytes were in that turn.
    pub(super) turn: u64,
    pub(super) turn_bytes: usize,
    /// Whether anybody reads, and writes.
    pub(super) has_reader: bool,
    pub(super) has_writer: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// It is in the list of those that a read touched, or that wait for a turn.
    pub(super) touched: bool,
    pub(super) waits: bool,
}

impl Stream {
    pub(super) fn new(id: u32, recv_window: u32, send_window: i64) -> Self {
        Self {
            id,
            inbox: BytesMut::new(),
            taken: 0,
            expects: 0,
            trailers: None,
            answer: None,
            headed: false,
            complete: false,
            remote_open: true,
            local_open: true,
            broken: None,
            recv_window: i64::from(recv_window),
            unreleased: 0,
            send_window,
            turn: 0,
            turn_bytes: 0,
            has_reader: true,
            has_writer: true,
            reader: None,
            writer: None,
            touched: false,
            waits: false,
        }
    }

    /// Remembers whom to wake when something comes.
    pub(super) fn read_by(&mut self, cx: &Context<'_>) {
        remember(&mut self.reader, cx);
    }

    /// Remembers whom to wake when something may go, or nothing will any more.
    pub(super) fn written_by(&mut self, cx: &Context<'_>) {
        remember(&mut self.writer, cx);
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// Makes room for what comes: after much, as much again.
    #[inline]
    pub(super) fn append(&mut self, body: &[u8]) {
        if self.inbox.capacity() < body.len() {
            if self.expects > 0 && self.inbox.is_empty() {
                self.inbox = large_inbox(self.expects.max(body.len()));
            } else {
                self.inbox.reserve(body.len());
            }
        }
        self.inbox.extend_from_slice(body);
    }

    /// All that has come. Memory that was for much is not kept here: the stream may be idle from here on.
    pub(super) fn take_inbox(&mut self) -> Bytes {
        self.taken += self.inbox.len();
        if self.inbox.capacity() <= INBOX_KEPT_BYTES {
            return self.inbox.split().freeze();
        }
        let inbox = std::mem::take(&mut self.inbox);
        // Whoever has it may have it for long: little is not to keep the memory of much.
        let little = (inbox.len() < inbox.capacity() / 2).then(|| Bytes::copy_from_slice(&inbox));
        self.expects = if inbox.len() > INBOX_KEPT_BYTES { inbox.len().next_power_of_two() } else { 0 };
        let inbox = inbox.freeze();
        LENT.with_borrow_mut(|lent| {
            if lent.len() >= LENT_MAX {
                lent.pop_front();
            }
            lent.push_back(inbox.clone());
        });
        little.unwrap_or(inbox)
    }

    /// Ends it in both directions. What has come whole stays readable.
    pub(super) fn break_off(&mut self, broken: Broken) {
        if self.remote_open || self.local_open {
            self.broken.get_or_insert(broken);
        }
        (self.remote_open, self.local_open) = (false, false);
        self.wake_reader();
        self.wake_writer();
    }

    /// Whether nobody has anything to do with it any more.
    pub(super) fn is_over(&self) -> bool {
        !self.remote_open && !self.local_open && !self.has_reader && !self.has_writer
    }
}

fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// Where a stream is in the table, for as long as somebody reads or writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

/// The streams of a connection: dense, with the way from an id.
#[derive(Debug, Default)]
pub(super) struct Table {
    streams: Vec<Option<Stream>>,
    free: Vec<usize>,
    by_id: HashMap<u32, usize, BuildHasherDefault<IdHasher>>,
    /// The last that was asked for: frames of a stream come in runs.
    last: Option<(u32, usize)>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn enter(&mut self, stream: Stream) -> Place {
        let id = stream.id;
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(slot) = self.streams.get_mut(index) {
                    *slot = Some(stream);
                }
                index
            }
            None => {
                self.streams.push(Some(stream));
                self.streams.len() - 1
            }
        };
        self.by_id.insert(id, index);
        Place(index)
    }

    #[inline]
    pub(super) fn find(&mut self, id: u32) -> Option<Place> {
        if let Some((last, index)) = self.last
            && last == id
        {
            return Some(Place(index));
        }
        let index = *self.by_id.get(&id)?;
        self.last = Some((id, index));
        Some(Place(index))
    }

    #[inline]
    pub(super) fn get(&mut self, place: Place) -> Option<&mut Stream> {
        self.streams.get_mut(place.0)?.as_mut()
    }

    pub(super) fn each(&mut self) -> impl Iterator<Item = (Place, &mut Stream)> {
        self.streams.iter_mut().enumerate().filter_map(|(index, slot)| Some((Place(index), slot.as_mut()?)))
    }

    pub(super) fn remove(&mut self, place: Place) {
        let Some(stream) = self.streams.get_mut(place.0).and_then(Option::take) else { return };
        self.by_id.remove(&stream.id);
        self.last = None;
        self.free.push(place.0);
        if self.by_id.is_empty() {
            // A connection that had many streams once need not remember it.
            *self = Self::default();
        }
    }
}

/// Ids are counted upwards by whoever opens streams: spread, so that they don't fall into few places, whoever chooses them.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_gives_all_and_keeps_little() {
        let mut stream = Stream::new(1, 10, 10);
        for bytes in [5, 40_000, 70_000, 100, 20_000, 0, 300] {
            let came: Vec<u8> = (0..bytes).map(|at: usize| at as u8).collect();
            came.chunks(999).for_each(|body| stream.append(body));
            assert_eq!(stream.take_inbox(), came);
            assert!(stream.inbox.is_empty() && stream.inbox.capacity() <= INBOX_KEPT_BYTES);
        }
    }

    #[test]
    fn little_does_not_keep_the_memory_that_was_for_much() {
        let mut stream = Stream::new(1, 10, 10);
        stream.append(&[7; 200_000]);
        drop(stream.take_inbox());
        stream.append(&[8; 100]);
        let little = stream.take_inbox();
        assert!(LENT.with_borrow(|lent| lent.iter().all(Bytes::is_unique)), "nobody has any of it");
        stream.append(&[7; 30_000]);
        let much = stream.take_inbox();
        assert!(!LENT.with_borrow(|lent| lent.iter().all(Bytes::is_unique)));
        assert_eq!((little.len(), much.len()), (100, 30_000));
    }

    #[test]
    fn a_large_inbox_is_used_again_once_its_reader_is_done() {
        let much = vec![7; 40_000];
        let (mut one, mut other) = (Stream::new(1, 10, 10), Stream::new(3, 10, 10));
        let read = |stream: &mut Stream| {
            stream.append(&much);
            stream.take_inbox()
        };
        drop((read(&mut one), read(&mut other)));
        let held = read(&mut one);
        let at = held.as_ptr();
        assert_ne!(read(&mut other).as_ptr(), at, "somebody still reads it");
        assert_eq!(held, much);
        drop(held);
        let again: Vec<_> = (0..2).map(|_| read(&mut other)).collect();
        assert!(again.iter().any(|inbox| inbox.as_ptr() == at));
        for _ in 0..100 {
            read(&mut one);
        }
        assert!(LENT.with_borrow(VecDeque::len) <= LENT_MAX);
    }

    #[test]
    fn places_are_used_again_and_ids_are_found() {
        let mut table = Table::default();
        let places: Vec<Place> = (0..100).map(|n| table.enter(Stream::new(2 * n + 1, 10, 10))).collect();
        for (n, place) in places.iter().enumerate() {
            assert_eq!(table.find(2 * n as u32 + 1), Some(*place));
        }
        assert_eq!(table.find(2), None);
        assert_eq!(table.find(7), Some(places[3]));
        table.remove(places[3]);
        assert_eq!((table.find(7), table.len()), (None, 99));
        assert_eq!(table.enter(Stream::new(301, 10, 10)), places[3]);
        assert_eq!(table.find(301), Some(places[3]));
        let all: Vec<Place> = table.each().map(|(place, _)| place).collect();
        all.into_iter().for_each(|place| table.remove(place));
        assert_eq!((table.len(), table.streams.len()), (0, 0));
    }
}
