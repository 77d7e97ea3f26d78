//! Header compression (RFC 7541): blocks in, fields out, and the other way round.

mod decode;
mod encode;
mod huffman;
mod table;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use table::{Field, Name};
