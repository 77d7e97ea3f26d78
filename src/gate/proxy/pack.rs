//! Messages that came compressed and may go on compressed (`recompress` of a route): packed again, each for itself, from what was
//! veiled and nothing else. `src/manual/proxy.md` says what lengths then tell.

use std::cell::RefCell;

use bytes::BytesMut;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use http::{HeaderMap, HeaderValue};

use super::unpack::Packing;
use crate::gate::codec::PREFIX_BYTES;

/// RFC 1952 §2.3: deflate, no flags, no time, nothing about level and system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// CRC-32 and length behind it.
const GZIP_TAIL_BYTES: usize = 8;

impl Packing {
    /// As what is packed again. zstd is not: the encoder at hand takes longer than what it saves is worth.
    pub(super) fn again(self) -> Self {
        match self {
            Self::Gzip | Self::Deflate => self,
            Self::None | Self::Zstd => Self::None,
        }
    }

    /// As [`Self::again`], if whoever sent these headers takes it (`grpc-accept-encoding`).
    pub(super) fn again_for(self, headers: &HeaderMap) -> Self {
        let Some(name) = self.again().name() else { return Self::None };
        let lists = headers.get_all("grpc-accept-encoding").iter().filter_map(|value| value.to_str().ok());
        if lists.flat_map(|list| list.split(',')).any(|taken| taken.trim() == name) { self } else { Self::None }
    }

    /// Says in the headers of a body that messages in it may be packed.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        if let Some(name) = self.name() {
            headers.insert("grpc-encoding", HeaderValue::from_static(name));
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Packs the message that begins at `start` of `out` with its prefix and is the last one there; leaves it as it is where that
    /// is no longer.
    pub(super) fn pack(self, out: &mut BytesMut, start: usize) {
        if self.again() == Self::None {
            return;
        }
        PACKER.with_borrow_mut(|packer| {
            let Some(message) = out.get(start + PREFIX_BYTES..) else { return };
            let Some(packed) = packer.pack(self, message) else { return };
            // INVARIANT: it is shorter than a message, whose length has four bytes.
            let Ok(len) = u32::try_from(packed.len()) else { return };
            let [a, b, c, d] = len.to_be_bytes();
            out.truncate(start);
            out.extend_from_slice(&[1, a, b, c, d]);
            out.extend_from_slice(packed);
        });
    }
}

thread_local! {
    /// Its tables are large; nothing of one message helps to pack the next.
    static PACKER: RefCell<Packer> = RefCell::default();
}

#[derive(Default)]
struct Packer {
    /// Without a head of its own, and with that of zlib.
    raw: Option<Compress>,
    zlib: Option<Compress>,
    out: Vec<u8>,
}

impl Packer {
    /// `None` where it would not be shorter.
    fn pack(&mut self, packing: Packing, message: &[u8]) -> Option<&[u8]> {
        let Self { raw, zlib, out } = self;
        out.clear();
        let (compress, head, tail_bytes) = match packing {
            Packing::Gzip => (raw.get_or_insert_with(|| Compress::new(Compression::fast(), false)), &GZIP_HEAD[..], GZIP_TAIL_BYTES),
            Packing::Deflate => (zlib.get_or_insert_with(|| Compress::new(Compression::fast(), true)), &[][..], 0),
            Packing::None | Packing::Zstd => return None,
        };
        let room = message.len().checked_sub(head.len() + tail_bytes + 1)?;
        out.extend_from_slice(head);
        out.resize(head.len() + room, 0);
        compress.reset();
        let ended = compress.compress(message, out.get_mut(head.len()..)?, FlushCompress::Finish);
        if !matches!(ended, Ok(Status::StreamEnd)) {
            return None;
        }
        out.truncate(head.len() + usize::try_from(compress.total_out()).ok()?);
        if packing == Packing::Gzip {
            let mut crc = Crc::new();
            crc.update(message);
            out.extend_from_slice(&crc.sum().to_le_bytes());
            out.extend_from_slice(&crc.amount().to_le_bytes());
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::crypto::hash::sha256;
    use bytes::BufMut;
    use http::HeaderName;

    const BOTH: [Packing; 2] = [Packing::Gzip, Packing::Deflate];

    fn framed(before: &[u8], message: &[u8]) -> BytesMut {
        let mut out = BytesMut::from(before);
        out.put_u8(0);
        out.put_u32(message.len() as u32);
        out.extend_from_slice(message);
        out
    }

    fn packed(packing: Packing, message: &[u8]) -> Option<Vec<u8>> {
        let mut out = framed(b"before", message);
        packing.pack(&mut out, 6);
        let whole = framed(b"before", message);
        assert!(out.starts_with(b"before") && out.len() <= whole.len());
        match out[6] {
            0 => {
                assert_eq!(out, whole);
                None
            }
            flag => {
                assert_eq!((flag, &out[7..11]), (1, &((out.len() - 11) as u32).to_be_bytes()[..]));
                Some(out[11..].to_vec())
            }
        }
    }

    #[test]
    fn what_is_packed_opens_again_and_is_shorter() {
        let message = b"slept well, no pain; ".repeat(50);
        for packing in BOTH {
            for _ in 0..2 {
                let packed = packed(packing, &message).expect("shorter");
                assert!(packed.len() < message.len() / 4, "{packing:?}: {}", packed.len());
                assert_eq!(packing.open(&packed, message.len()).as_deref(), Ok(&message[..]), "{packing:?}");
            }
        }
        // Others' reader takes it, too.
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed(Packing::Gzip, &message).expect("shorter")[..]), &mut read)
            .expect("gzip");
        assert_eq!(read, message);
    }

    #[test]
    fn what_would_not_be_shorter_and_what_is_not_packed_again_stay_as_they_are() {
        // As sealed groups look.
        let noise: Vec<u8> = (0..60u8).flat_map(|at| sha256(&[&[at]])).collect();
        for packing in BOTH {
            for message in [&b""[..], b"a", b"short", &noise] {
                assert_eq!(packed(packing, message), None, "{packing:?} of {}", message.len());
            }
        }
        let message = [7; 5_000];
        assert_eq!((packed(Packing::None, &message), packed(Packing::Zstd, &message)), (None, None));
    }

    #[test]
    fn nothing_of_a_message_is_in_the_next() {
        let (secret, other) = (b"the patient is Milo Feil; ".repeat(40), b"there is nothing to report ".repeat(40));
        for packing in BOTH {
            let alone = packed(packing, &other);
            packed(packing, &secret).expect("shorter");
            assert_eq!(packed(packing, &other), alone, "{packing:?}: the same, whatever came before");
        }
    }

    #[test]
    fn a_packing_is_for_those_who_take_it() {
        let headers = |values: &[&'static str]| {
            let name = || HeaderName::from_static("grpc-accept-encoding");
            values.iter().map(|value| (name(), HeaderValue::from_static(value))).fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(name, value);
                all
            })
        };
        for (values, takes) in [
            (&[][..], Packing::None),
            (&["identity"], Packing::None),
            (&["identity, deflate,gzip"], Packing::Gzip),
            (&["identity", "gzip"], Packing::Gzip),
            (&["xgzip,gzip2"], Packing::None),
        ] {
            assert_eq!(Packing::Gzip.again_for(&headers(values)), takes, "{values:?}");
        }
        assert_eq!(Packing::Zstd.again_for(&headers(&["zstd"])), Packing::None);
        let mut told = HeaderMap::new();
        Packing::None.tell(&mut told);
        assert!(told.is_empty());
        Packing::Deflate.tell(&mut told);
        assert_eq!(told.get("grpc-encoding").map(HeaderValue::as_bytes), Some(&b"deflate"[..]));
    }
}
