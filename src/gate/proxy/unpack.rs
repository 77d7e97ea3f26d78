//! Compressed messages (gRPC, "Compression"): opened within bounds, so that they can be judged. Whether they go on compressed is for
//! [`pack`](super::pack).

use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What the gateway can open, for `grpc-accept-encoding`.
pub(super) const ACCEPTED: &str = "identity,gzip,deflate,zstd";
/// A zstd frame may ask for a window of at most this many bytes.
const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How the compressed messages of a body are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Not at all: none may be.
    None,
    Gzip,
    /// The zlib format, as gRPC has it.
    Deflate,
    Zstd,
}

/// Why a message was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unopened {
    /// It is not what the header says.
    Malformed,
    /// It is larger than the gateway takes.
    TooLarge,
}

impl Packing {
    /// By the header `grpc-encoding`; `None` where the gateway does not know it.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        Some(match headers.get("grpc-encoding").map(|value| value.as_bytes()) {
            None | Some(b"identity") => Self::None,
            Some(b"gzip") => Self::Gzip,
            Some(b"deflate") => Self::Deflate,
            Some(b"zstd") => Self::Zstd,
            Some(_) => return None,
        })
    }

    /// Opens one message; at most `bytes_max` come out, whatever it claims.
    pub(super) fn open(self, message: &[u8], bytes_max: usize) -> Result<Bytes, Unopened> {
        match self {
            Self::None => Err(Unopened::Malformed),
            Self::Gzip => read(MultiGzDecoder::new(message), bytes_max),
            Self::Deflate => read(ZlibDecoder::new(message), bytes_max),
            Self::Zstd => {
                let mut rest = message;
                let mut out = Vec::new();
                while !rest.is_empty() {
                    let window = window(rest);
                    let mut decoder = FrameDecoder::new();
                    decoder.init(&mut rest).map_err(|_| Unopened::Malformed)?;
                    if decoder.content_size() > bytes_max as u64 || window > WINDOW_BYTES_MAX {
                        return Err(Unopened::TooLarge);
                    }
                    loop {
                        let finished = decoder
                            .decode_blocks(&mut rest, BlockDecodingStrategy::UptoBytes(64 * 1024))
                            .map_err(|_| Unopened::Malformed)?;
                        while let Some(bytes) = decoder.collect().filter(|bytes| !bytes.is_empty()) {
                            if out.len() + bytes.len() > bytes_max {
                                return Err(Unopened::TooLarge);
                            }
                            out.extend_from_slice(&bytes);
                        }
                        if finished {
                            break;
                        }
                    }
                }
                Ok(out.into())
            }
        }
    }
}

/// The window that a zstd frame asks for (RFC 8878 §3.1.1.1.2), in bytes; 0 where the content size is the window.
fn window(frame: &[u8]) -> u64 {
    match (frame.get(4), frame.get(5)) {
        (Some(descriptor), Some(window)) if descriptor & 0x20 == 0 => {
            let base = 1u64 << (10 + u64::from(window >> 3));
            base + base / 8 * u64::from(window & 7)
        }
        _ => 0,
    }
}

fn read(from: impl Read, bytes_max: usize) -> Result<Bytes, Unopened> {
    let mut out = Vec::new();
    from.take(bytes_max as u64 + 1).read_to_end(&mut out).map_err(|_| Unopened::Malformed)?;
    if out.len() > bytes_max { Err(Unopened::TooLarge) } else { Ok(out.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use http::HeaderValue;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_compressed_comes_out_again_and_no_more_than_allowed() {
        let message = vec![7u8; 5_000];
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&message).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(&message[..], ruzstd::encoding::CompressionLevel::Fastest);
        for (packing, packed) in [(Packing::Gzip, gzip(&message)), (Packing::Deflate, zlib.finish().unwrap()), (Packing::Zstd, zstd)] {
            assert_eq!(packing.open(&packed, 5_000).as_deref(), Ok(&message[..]), "{packing:?}");
            assert_eq!(packing.open(&packed, 4_999), Err(Unopened::TooLarge), "{packing:?}");
            assert_eq!(packing.open(&packed[..packed.len() / 2], 5_000), Err(Unopened::Malformed), "{packing:?}");
            assert_eq!(packing.open(b"nothing of that kind", 5_000), Err(Unopened::Malformed), "{packing:?}");
        }
        assert_eq!(Packing::None.open(&message, 5_000), Err(Unopened::Malformed));
    }

    #[test]
    fn a_small_bomb_is_not_opened() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(Packing::Gzip.open(&bomb, 1 << 20), Err(Unopened::TooLarge));
    }

    #[test]
    fn a_zstd_frame_is_held_to_its_window_and_its_blocks() {
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        // RFC 8878: no content size, a window of 2^(10+14) bytes; one raw block, the last, of three bytes.
        let frame = |window: u8, block: [u8; 3]| [&magic[..], &[0, window], &block, b"abc"].concat();
        let raw = [0x19, 0, 0];
        assert_eq!(Packing::Zstd.open(&frame(0, raw), 100).as_deref(), Ok(&b"abc"[..]));
        assert_eq!(Packing::Zstd.open(&frame(0, raw), 2), Err(Unopened::TooLarge));
        assert_eq!(Packing::Zstd.open(&frame(14 << 3, raw), 100), Err(Unopened::TooLarge));
        // Each frame of a message by its own, not by the first one's.
        assert_eq!(Packing::Zstd.open(&[frame(0, raw), frame(0, raw)].concat(), 100).as_deref(), Ok(&b"abcabc"[..]));
        assert_eq!(Packing::Zstd.open(&[frame(0, raw), frame(14 << 3, raw)].concat(), 100), Err(Unopened::TooLarge));
        // The reserved type of a block.
        assert_eq!(Packing::Zstd.open(&frame(0, [0x1f, 0, 0]), 100), Err(Unopened::Malformed));
        // It says how much will come out: 200 bytes, in one segment.
        let claims = [&magic[..], &[0x20, 200], &raw, b"abc"].concat();
        assert_eq!(Packing::Zstd.open(&claims, 100), Err(Unopened::TooLarge));
    }

    #[test]
    fn an_unknown_encoding_is_told_from_none() {
        let headers = |value: &'static str| HeaderMap::from_iter([("grpc-encoding".parse().unwrap(), HeaderValue::from_static(value))]);
        assert_eq!(Packing::of(&HeaderMap::new()), Some(Packing::None));
        assert_eq!(Packing::of(&headers("gzip")), Some(Packing::Gzip));
        assert_eq!(Packing::of(&headers("snappy")), None);
    }
}
