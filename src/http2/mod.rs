//! HTTP/2 (RFC 9113) for the data path: both ends of a connection, built around what a gateway does, which is to take what has
//! come, all of it, and to hand on one piece at a time.
//!
//! * What comes is appended to the inbox of its stream, however many frames it came in; a reader takes the inbox whole.
//! * What goes is written once, behind its frame's head, into the connection's buffer; all streams share one write a turn.
//! * Windows are small and bound what a stream may hold; what a connection may hold is bounded beside it, so that a stream that
//!   nobody reads does not stop the others.
//! * What a peer may ask for that costs work is counted (`budget`); header blocks are bounded in bytes, fields and frames.
//!
//! `core` and `receive` are the state of a connection without its socket, `link` carries it, `body` is what streams look like from
//! outside. What is not here: server push, priorities (both ignored, as RFC 9113 has it), upgrades from HTTP/1.1, CONNECT.

mod body;
mod budget;
mod core;
mod frame;
mod head;
mod hpack;
mod link;
mod receive;
mod stream;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use body::{Answer, Reading, Writing};
pub use link::{Asked, Connection, Opener, Unopened, client, server};

/// Why a stream or a connection ends (RFC 9113 §7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reason(pub u32);

impl Reason {
    /// No error: what remains is not needed.
    pub const NO_ERROR: Self = Self(0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// This end can't go on.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// More came than the window allowed.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// A frame for a stream that has ended.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame of a length that it can't have.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// Not looked at; it can be tried again.
    pub const REFUSED_STREAM: Self = Self(7);
    /// Not needed any more.
    pub const CANCEL: Self = Self(8);
    /// A header block that can't be read.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// The peer asks for more than it may.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NO_ERROR => "NO_ERROR",
            Self::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            Self::INTERNAL_ERROR => "INTERNAL_ERROR",
            Self::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
            Self::STREAM_CLOSED => "STREAM_CLOSED",
            Self::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
            Self::REFUSED_STREAM => "REFUSED_STREAM",
            Self::CANCEL => "CANCEL",
            Self::COMPRESSION_ERROR => "COMPRESSION_ERROR",
            Self::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
            Self(code) => return write!(f, "Reason({code})"),
        })
    }
}

/// A stream, or its connection, ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Why.
    pub reason: Reason,
    /// The peer did not look at it: it can be tried on another connection.
    pub unprocessed: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream broke off: {:?}", self.reason)
    }
}

impl std::error::Error for Broken {}

/// How a connection is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What a stream may hold that nobody has read, in bytes; 65,535 at the least.
    pub stream_window_bytes: u32,
    /// What a peer may have on its way on all streams, in bytes; 65,535 at the least.
    pub window_bytes: u32,
    /// What all streams together may hold that nobody has read, in bytes; a window at the least.
    pub held_bytes_max: u32,
    /// How many streams a client may have open.
    pub streams_max: u32,
    /// The list of fields of a head, in bytes as HPACK counts them.
    pub header_bytes_max: u32,
    /// A connection that was silent for so long is asked whether it lives.
    pub silence: Duration,
    /// And has so long to answer.
    pub answer_within: Duration,
}
