//! gRPC messages on HTTP/2 (gRPC over HTTP/2, "Length-Prefixed-Message"): raw bytes in, only [`Veiled`] frames and words out.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::room::{Held, Room};
use crate::proto::v1::{Batch, SubscribeResponse, subscribe_response};
use crate::veil::view::Veiled;
use crate::veil::wire::{LEN, push_tag, push_varint, varint_len};

/// Flag and length in front of every message.
pub const PREFIX_BYTES: usize = 5;

/// Why a stream of messages can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The compressed flag is set, or is no flag.
    Compressed,
    /// A message is larger than the gateway takes.
    TooLarge,
    /// The gateway holds as much of unfinished messages as it takes.
    NoRoom,
}

/// Cuts a byte stream into messages, without copying those that arrive whole.
#[derive(Debug, Default)]
pub struct Deframer {
    /// The message that came in pieces, and nothing behind it.
    partial: BytesMut,
    whole: Bytes,
    /// For what is partial; none where few bytes are read at all.
    held: Option<Held>,
}

impl Deframer {
    /// One that asks this room for what it holds of unfinished messages.
    pub fn within(room: Arc<Room>) -> Self {
        Self { held: Some(Held::none(room)), ..Self::default() }
    }

    /// Takes bytes as they arrive, when no whole message is left.
    pub fn push(&mut self, mut bytes: Bytes) {
        if !self.whole.is_empty() {
            // Something was left: it is in front.
            self.partial.extend_from_slice(&std::mem::take(&mut self.whole));
        }
        if !self.partial.is_empty() {
            self.fill(&mut bytes, PREFIX_BYTES);
            if let Some(&[_, a, b, c, d]) = self.partial.first_chunk::<PREFIX_BYTES>() {
                self.fill(&mut bytes, PREFIX_BYTES + u32::from_be_bytes([a, b, c, d]) as usize);
            }
        }
        self.whole = bytes;
        self.let_go_of_whole();
    }

    /// Takes as many bytes from the front as the partial message lacks to be so long.
    fn fill(&mut self, bytes: &mut Bytes, len: usize) {
        let missing = len.saturating_sub(self.partial.len()).min(bytes.len());
        self.partial.extend_from_slice(&bytes.split_to(missing));
    }

    /// The next whole message, at most `bytes_max` long; a compressed one is broken.
    pub fn next(&mut self, bytes_max: usize) -> Result<Option<Bytes>, Broken> {
        let len = match self.peek(bytes_max)? {
            Some((true, _)) => return Err(Broken::Compressed),
            Some((false, message)) => message.len(),
            None => return Ok(None),
        };
        let mut message = if self.partial.is_empty() {
            let message = self.whole.split_to(PREFIX_BYTES + len);
            self.let_go_of_whole();
            message
        } else {
            let message = std::mem::take(&mut self.partial).freeze();
            self.let_go();
            message
        };
        Ok(Some(message.split_off(PREFIX_BYTES)))
    }

    /// The next whole message where it lies, and whether it is compressed. It stays until [`Self::pass`].
    #[inline]
    pub fn peek(&mut self, bytes_max: usize) -> Result<Option<(bool, &[u8])>, Broken> {
        let held = if self.partial.is_empty() { self.whole.len() } else { self.partial.len() };
        let front: &[u8] = if self.partial.is_empty() { &self.whole } else { &self.partial };
        let Some(&[flag, a, b, c, d]) = front.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if flag > 1 {
            return Err(Broken::Compressed);
        }
        if len > bytes_max {
            return Err(Broken::TooLarge);
        }
        if held - PREFIX_BYTES < len {
            if self.partial.is_empty() {
                // The rest will be copied behind it once; make room for all of it.
                let mut partial = BytesMut::with_capacity(PREFIX_BYTES + len);
                partial.extend_from_slice(&std::mem::take(&mut self.whole));
                self.partial = partial;
            }
            let fits = self.held.as_mut().is_none_or(|room| room.hold(held));
            return if fits { Ok(None) } else { Err(Broken::NoRoom) };
        }
        let front: &[u8] = if self.partial.is_empty() { &self.whole } else { &self.partial };
        Ok(front.get(PREFIX_BYTES..PREFIX_BYTES + len).map(|message| (flag == 1, message)))
    }

    /// Goes on behind a message of this length.
    #[inline]
    pub fn pass(&mut self, len: usize) {
        if self.partial.is_empty() {
            self.whole.advance((PREFIX_BYTES + len).min(self.whole.len()));
            self.let_go_of_whole();
        } else {
            self.partial = BytesMut::new();
            self.let_go();
        }
    }

    /// Nothing left of a piece would keep all of it.
    #[inline]
    fn let_go_of_whole(&mut self) {
        if self.whole.is_empty() {
            self.whole = Bytes::new();
        }
    }

    /// Memory of a message that has gone is not kept for the next one, which may be far off.
    fn let_go(&mut self) {
        if let Some(held) = &mut self.held {
            held.release();
        }
    }

    /// Whether there are bytes that [`Self::peek`] has not found to be less than a message.
    pub fn has_more(&self) -> bool {
        self.partial.is_empty() && self.whole.len() >= PREFIX_BYTES
    }

    /// Whether bytes of an unfinished message are held.
    pub fn is_midway(&self) -> bool {
        !self.whole.is_empty() || !self.partial.is_empty()
    }
}

/// A message with its prefix.
pub fn framed(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + len);
    out.put_u8(0);
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    // INVARIANT: BytesMut grows as needed, so that encoding can't run out of room.
    message.encode(&mut out).unwrap_or_default();
    out.freeze()
}

/// Collects veiled frames into one `SubscribeResponse { batch }`.
#[derive(Debug, Default)]
pub struct BatchWriter {
    frames: Vec<u8>,
    count: u64,
}

impl BatchWriter {
    /// Appends a frame; this is the only way by which bytes of frames get out.
    pub fn push(&mut self, view: u32, frame: &Veiled<'_>) {
        let message = frame.bytes();
        // Frame { view = 1, message = 2 } inside Batch.frames = 2.
        let inner = 1 + varint_len(u64::from(view)) + 1 + varint_len(message.len() as u64) + message.len();
        push_tag(&mut self.frames, 2, LEN);
        push_varint(&mut self.frames, inner as u64);
        push_tag(&mut self.frames, 1, 0);
        push_varint(&mut self.frames, u64::from(view));
        push_tag(&mut self.frames, 2, LEN);
        push_varint(&mut self.frames, message.len() as u64);
        self.frames.extend_from_slice(message);
        self.count += 1;
    }

    /// How many bytes are collected.
    pub fn bytes(&self) -> usize {
        self.frames.len()
    }

    /// How many frames are collected.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The message with its prefix; the writer is empty again.
    pub fn finish(&mut self, first_handover: u64, out: &mut BytesMut) {
        let head = SubscribeResponse { kind: Some(subscribe_response::Kind::Batch(Batch { first_handover, frames: Vec::new() })) };
        let head_batch = match &head.kind {
            Some(subscribe_response::Kind::Batch(batch)) => batch.encoded_len(),
            _ => 0,
        };
        let batch = head_batch + self.frames.len();
        let len = 1 + varint_len(batch as u64) + batch;
        out.reserve(PREFIX_BYTES + len);
        out.put_u8(0);
        out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
        // SubscribeResponse.batch = 3, Batch.first_handover = 1.
        let mut prefix = Vec::with_capacity(24);
        push_tag(&mut prefix, 3, LEN);
        push_varint(&mut prefix, batch as u64);
        if first_handover > 0 {
            push_tag(&mut prefix, 1, 0);
            push_varint(&mut prefix, first_handover);
        }
        out.extend_from_slice(&prefix);
        out.extend_from_slice(&self.frames);
        self.frames.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn compressed_and_oversized_messages_are_refused() {
        let mut deframer = Deframer::default();
        deframer.push(Bytes::from_static(&[1, 0, 0, 0, 0]));
        assert_eq!(deframer.next(10), Err(Broken::Compressed));
        let mut deframer = Deframer::default();
        deframer.push(Bytes::from_static(&[0, 0, 0, 0, 11]));
        assert_eq!(deframer.next(10), Err(Broken::TooLarge));
    }

    #[test]
    fn unfinished_messages_take_up_no_more_room_than_there_is() {
        let room = Arc::new(Room::new(256 * 1024));
        let begun = |length: u32, bytes: usize| {
            let mut deframer = Deframer::within(Arc::clone(&room));
            deframer.push([&[0][..], &length.to_be_bytes(), &vec![0; bytes]].concat().into());
            deframer
        };
        // A claim is nothing yet; bytes are.
        let mut claims: Vec<_> = (0..100).map(|_| begun(1 << 20, 100)).collect();
        assert!(claims.iter_mut().all(|claim| claim.next(1 << 20) == Ok(None)) && room.held() == 0);
        let mut large: Vec<_> = (0..3).map(|_| begun(100_000, 99_999)).collect();
        let found: Vec<_> = large.iter_mut().map(|large| large.next(1 << 20)).collect();
        assert_eq!(found, [Ok(None), Ok(None), Err(Broken::NoRoom)]);
        large[0].push(Bytes::from_static(b"!"));
        assert_eq!(large[0].next(1 << 20).map(|message| message.map(|message| message.len())), Ok(Some(100_000)));
        assert_eq!((large[2].next(1 << 20), room.held()), (Ok(None), 256 * 1024));
        large[1].push(Bytes::from_static(b"!"));
        let (_, message) = large[1].peek(1 << 20).expect("whole").expect("whole");
        let taken = message.len();
        large[1].pass(taken);
        assert_eq!(room.held(), 128 * 1024);
        drop(large);
        assert_eq!(room.held(), 0);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_messages_are_the_same(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8), cuts in proptest::collection::vec(1usize..30, 1..60)) {
            let mut stream = Vec::new();
            for message in &messages {
                stream.push(0);
                stream.extend_from_slice(&(message.len() as u32).to_be_bytes());
                stream.extend_from_slice(message);
            }
            let (mut deframer, mut found, mut rest) = (Deframer::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                deframer.push(Bytes::copy_from_slice(now));
                while let Some(message) = deframer.next(100).expect("well-formed") {
                    found.push(message.to_vec());
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert!(!deframer.is_midway());
        }
    }
}
