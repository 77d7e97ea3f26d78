//! Step 1: bytes in. The protobuf wire format (protobuf.dev, "Encoding") read in place: borrowed, no allocation, bounded
//! depth; and written with every varint minimal.

mod minimal;
mod reader;
mod writer;

pub(crate) use minimal::{copy_minimal, mend_length, minimal_len, minimal_run, minimal_varint};
pub use reader::{Reader, Record, Value, bounds, skip, varint};
pub(crate) use reader::{short_end, slice, split_tag, window};
pub use writer::{push_len_prefixed, push_tag, push_varint, varint_len, write_varint};

/// How deep messages and groups may nest, the frame itself included.
pub const DEPTH_MAX: u32 = 64;

/// The greatest field number (2^29 − 1).
pub const NUMBER_MAX: u32 = (1 << 29) - 1;

/// The smallest tag: field number 1.
pub(crate) const TAG_MIN: u64 = 1 << 3;

/// Wire type of a varint.
pub const VARINT: u8 = 0;
/// Wire type of eight bytes.
pub const FIXED64: u8 = 1;
/// Wire type of a length and that many bytes.
pub const LEN: u8 = 2;
/// Wire type of the start of a group.
pub const GROUP: u8 = 3;
/// Wire type of the end of a group.
pub const END_GROUP: u8 = 4;
/// Wire type of four bytes.
pub const FIXED32: u8 = 5;

/// Undoes zig-zag.
pub const fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Zig-zag: small magnitudes get small varints.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
