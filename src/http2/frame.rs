//! Frames on the wire (RFC 9113 §4, §6): their nine-byte heads, and how each is written.

use super::Reason;

/// Length of a frame's head, in bytes.
pub(super) const HEAD_BYTES: usize = 9;
/// The longest payload that is taken or sent, in bytes: the least that every peer takes (RFC 9113 §4.2).
pub(super) const PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// What a client begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITISED: u8 = 0x20;

/// What stands in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    /// Reads it; the reserved bit is ignored.
    #[inline]
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, e, f, g, h] = *bytes;
        Self { len: u32::from_be_bytes([0, a, b, c]) as usize, kind, flags, stream: u31([e, f, g, h]) }
    }

    /// Whether a flag is set.
    #[inline]
    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload of DATA or HEADERS without padding (RFC 9113 §6.1).
    pub(super) fn unpadded(self, payload: &[u8]) -> Result<&[u8], Reason> {
        if !self.has(PADDED) {
            return Ok(payload);
        }
        let (padding, rest) = payload.split_first().ok_or(Reason::FRAME_SIZE_ERROR)?;
        let len = rest.len().checked_sub(usize::from(*padding)).ok_or(Reason::PROTOCOL_ERROR)?;
        Ok(rest.get(..len).unwrap_or_default())
    }
}

/// 31 bits; the one above is reserved.
#[inline]
pub(super) fn u31(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

#[inline]
pub(super) fn push_head(out: &mut Vec<u8>, len: usize, kind: u8, flags: u8, stream: u32) {
    // INVARIANT: nothing longer than `PAYLOAD_BYTES_MAX` is ever written.
    let [_, a, b, c] = u32::try_from(len).unwrap_or(0).to_be_bytes();
    let [e, f, g, h] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, e, f, g, h]);
}

pub(super) fn push_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    push_head(out, 4, RST_STREAM, 0, stream);
    out.extend_from_slice(&reason.0.to_be_bytes());
}

pub(super) fn push_window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    push_head(out, 4, WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&bytes.to_be_bytes());
}

pub(super) fn push_ping(out: &mut Vec<u8>, flags: u8, opaque: [u8; 8]) {
    push_head(out, 8, PING, flags, 0);
    out.extend_from_slice(&opaque);
}

pub(super) fn push_goaway(out: &mut Vec<u8>, last: u32, reason: Reason) {
    push_head(out, 8, GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&reason.0.to_be_bytes());
}

/// SETTINGS with these pairs (RFC 9113 §6.5.1).
pub(super) fn push_settings(out: &mut Vec<u8>, pairs: &[(u16, u32)]) {
    push_head(out, 6 * pairs.len(), SETTINGS, 0, 0);
    for (key, value) in pairs {
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// A header block, in as many frames as it takes.
pub(super) fn push_block(out: &mut Vec<u8>, stream: u32, block: &[u8], ends: bool) {
    let mut pieces = block.chunks(PAYLOAD_BYTES_MAX).peekable();
    let mut kind = HEADERS;
    let mut flags = if ends { END_STREAM } else { 0 };
    loop {
        let piece = pieces.next().unwrap_or_default();
        let last = pieces.peek().is_none();
        push_head(out, piece.len(), kind, if last { flags | END_HEADERS } else { flags }, stream);
        out.extend_from_slice(piece);
        if last {
            return;
        }
        (kind, flags) = (CONTINUATION, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_read_as_they_were_written() {
        let mut out = Vec::new();
        push_head(&mut out, 16_384, DATA, END_STREAM, 0x7fff_fffd);
        let head = Head::read(out.first_chunk().expect("nine bytes"));
        assert_eq!(head, Head { len: 16_384, kind: DATA, flags: END_STREAM, stream: 0x7fff_fffd });
        assert_eq!(Head::read(&[0, 0, 0, 0, 0, 0x80, 0, 0, 1]).stream, 1);
    }

    #[test]
    fn padding_is_cut_off_and_never_longer_than_what_it_pads() {
        let head = |flags| Head { len: 0, kind: DATA, flags, stream: 1 };
        assert_eq!(head(0).unpadded(b"\x01ab"), Ok(&b"\x01ab"[..]));
        assert_eq!(head(PADDED).unpadded(b"\x01ab"), Ok(&b"a"[..]));
        assert_eq!(head(PADDED).unpadded(b"\x02ab"), Ok(&b""[..]));
        assert_eq!(head(PADDED).unpadded(b"\x03ab"), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(head(PADDED).unpadded(b""), Err(Reason::FRAME_SIZE_ERROR));
    }

    #[test]
    fn long_blocks_go_on_in_continuations() {
        let mut out = Vec::new();
        push_block(&mut out, 1, &[7; PAYLOAD_BYTES_MAX + 1], true);
        let first = Head::read(out.first_chunk().expect("a head"));
        assert_eq!((first.kind, first.flags, first.len), (HEADERS, END_STREAM, PAYLOAD_BYTES_MAX));
        let second = Head::read(out[HEAD_BYTES + PAYLOAD_BYTES_MAX..].first_chunk().expect("a head"));
        assert_eq!((second.kind, second.flags, second.len), (CONTINUATION, END_HEADERS, 1));
        let mut out = Vec::new();
        push_block(&mut out, 1, &[], false);
        assert_eq!(out, [0, 0, 0, HEADERS, END_HEADERS, 0, 0, 0, 1]);
    }
}
