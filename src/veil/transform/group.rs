//! Sealed groups, version 1: one AEAD per frame and slot, framed as SFrame (RFC 9605), its seed wrapped by HPKE (RFC 9180)
//! for each key holder. The parts are standards; their combination is ours. All labels and derivations are in this file.
//!
//! ```text
//! info     = "twinveil/sealed/v1" 00 | lp(origin) | view_id[16] | u32be(slot) | u64be(epoch) | u16be(suite) | fingerprint[32]
//! base_key = HKDF-SHA256(salt = info, ikm = seed, info = "base_key", 32)      commit: the same with "commit"
//! wrap     = HPKE.SealBase(key holder, info, aad = commit, seed)
//! KID      = slot << 8 | (epoch mod 256)       CTR = groups sealed so far under this key
//! key, salt = RFC 9605 §4.4.2                  nonce = salt XOR u96be(CTR)
//! aad      = SFrame header | "twinveil/frame/v1" 00 | the frame without fields 18000 and 18001
//! plain    = fragments | zero padding to a multiple of 32, at least 32
//! fragment = varint(levels + 1) | levels × (varint(field number) | varint(ordinal)) | varint(length) | protobuf bytes
//! ```
//! lp(x) = u32be(length of x) | x. A fragment without levels is opened by appending it to the clear frame; one with levels
//! by appending it inside that element and mending the lengths.

pub use super::fragment::OpenError;
use super::fragment::{Fragment, parse_fragments};
use crate::veil::crypto::CryptoRng;
use crate::veil::crypto::hash::{hkdf_sha256, lp};
use crate::veil::crypto::seal::{AeadKey, NONCE_BYTES, Suite, TAG_BYTES, nonce};
use crate::veil::crypto::secret::{Secret, Zeroizing};
use crate::veil::crypto::wrap::{OpenKey, unwrap, wrap};
use crate::veil::name::{Fingerprint, Origin, SealKey, ViewId};
use crate::veil::outcome::Refusal;
use crate::veil::wire::{LEN, push_tag, push_varint};

/// Sealed groups are padded to a multiple of this many bytes.
pub const PAD_BYTES: usize = 32;
/// Groups that one key may seal; then the epoch changes.
pub const GROUPS_MAX: u64 = 1 << 32;

const SEALED_LABEL: &[u8] = b"twinveil/sealed/v1\0";
const FRAME_LABEL: &[u8] = b"twinveil/frame/v1\0";
const RELEASE_LABEL: &[u8] = b"twinveil/release/v1\0";

/// What an epoch key is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The gateway.
    pub origin: Origin,
    /// The view.
    pub view: ViewId,
    /// Which set of key holders.
    pub slot: u32,
    /// Counts up within the view.
    pub epoch: u64,
    /// The cipher suite.
    pub suite: Suite,
    /// The schema.
    pub fingerprint: Fingerprint,
}

impl Epoch {
    fn info(&self) -> Vec<u8> {
        let origin = self.origin.as_str().as_bytes();
        [
            SEALED_LABEL,
            &lp(origin),
            origin,
            &self.view.0,
            &self.slot.to_be_bytes(),
            &self.epoch.to_be_bytes(),
            &self.suite.number().to_be_bytes(),
            &self.fingerprint.0,
        ]
        .concat()
    }

    /// The SFrame key id.
    pub fn kid(&self) -> u64 {
        u64::from(self.slot) << 8 | self.epoch & 0xff
    }

    fn base_key(&self, info: &[u8], seed: &[u8]) -> Secret<32> {
        hkdf_sha256(info, seed, &[b"base_key"])
    }

    fn commit(&self, info: &[u8], seed: &[u8]) -> [u8; 32] {
        *hkdf_sha256::<32>(info, seed, &[b"commit"]).expose()
    }

    /// Makes a sealer for this epoch and the wraps of its seed, one a key holder. `None` for a key of low order.
    pub fn begin(&self, holders: &[SealKey], entropy: &mut impl CryptoRng) -> Option<(Sealer, Announced)> {
        let info = self.info();
        let seed = Secret::<32>::random(entropy);
        let commit = self.commit(&info, seed.expose());
        let wraps = holders.iter().map(|holder| wrap(holder, &info, &commit, seed.expose(), entropy)).collect::<Option<Vec<_>>>()?;
        let cipher = Cipher::new(self, &self.base_key(&info, seed.expose()))?;
        Some((Sealer { cipher, ctr: 0 }, Announced { commit, wraps }))
    }

    /// Finds the wrap that is for `key` and makes an opener; `None` where none is, or the seed is not the committed one.
    pub fn open(&self, announced: &Announced, key: &OpenKey) -> Option<Opener> {
        self.open_with(announced, &self.seed(announced, key)?)
    }

    /// The seed, for a holder who hands it on; `None` as for [`Self::open`].
    pub fn seed(&self, announced: &Announced, key: &OpenKey) -> Option<Secret<32>> {
        let info = self.info();
        let seed = announced.wraps.iter().find_map(|wrapped| unwrap(key, &info, &announced.commit, wrapped));
        self.committed(announced, seed)
    }

    /// Makes an opener from a seed; `None` where it is not the committed one.
    pub fn open_with(&self, announced: &Announced, seed: &Secret<32>) -> Option<Opener> {
        let info = self.info();
        if self.commit(&info, seed.expose()) != announced.commit {
            return None;
        }
        Some(Opener { cipher: Cipher::new(self, &self.base_key(&info, seed.expose()))?, window: Window::default() })
    }

    /// Wraps a seed for somebody whom its holder lets open the epoch later: `HPKE.SealBase(to, "twinveil/release/v1" 00 | info, aad =
    /// commit, seed)`. `None` for a key of low order.
    pub fn release(&self, commit: &[u8; 32], seed: &Secret<32>, to: &SealKey, entropy: &mut impl CryptoRng) -> Option<Vec<u8>> {
        wrap(to, &[RELEASE_LABEL, &self.info()].concat(), commit, seed.expose(), entropy)
    }

    /// The seed of such a wrap; `None` where it is for another key or epoch, or the seed is not the committed one.
    pub fn released(&self, announced: &Announced, wrapped: &[u8], key: &OpenKey) -> Option<Secret<32>> {
        let seed = unwrap(key, &[RELEASE_LABEL, &self.info()].concat(), &announced.commit, wrapped);
        self.committed(announced, seed)
    }

    fn committed(&self, announced: &Announced, seed: Option<Vec<u8>>) -> Option<Secret<32>> {
        let seed = Zeroizing::new(seed?);
        let mut seed: [u8; 32] = seed.as_slice().try_into().ok()?;
        let seed = Secret::take(&mut seed);
        (self.commit(&self.info(), seed.expose()) == announced.commit).then_some(seed)
    }
}

/// What is announced about an epoch besides what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The key commitment.
    pub commit: [u8; 32],
    /// The wrapped seeds.
    pub wraps: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Cipher {
    key: AeadKey,
    salt: Secret<NONCE_BYTES>,
    kid: u64,
}

impl Cipher {
    fn new(epoch: &Epoch, base_key: &Secret<32>) -> Option<Self> {
        let kid = epoch.kid();
        let (key, salt) = epoch.suite.key_and_salt(base_key.expose(), kid);
        Some(Self { key: AeadKey::new(epoch.suite, &key).ok()?, salt, kid })
    }

    fn nonce(&self, ctr: u64) -> [u8; NONCE_BYTES] {
        nonce(&self.salt, ctr)
    }
}

/// Seals the groups of one slot and epoch; the one owner of its counter.
#[derive(Debug)]
pub struct Sealer {
    cipher: Cipher,
    ctr: u64,
}

impl Sealer {
    /// How many groups were sealed.
    pub fn sealed(&self) -> u64 {
        self.ctr
    }

    /// Pads and seals `plain` (encoded fragments) in place, with `clear` as the frame they belong to, and appends field
    /// `number` to `out`. `aad` is room to work in.
    pub(crate) fn seal(
        &mut self,
        number: u32,
        clear: &[u8],
        plain: &mut Vec<u8>,
        aad: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if self.ctr >= GROUPS_MAX {
            return Err(Refusal::SealFailed);
        }
        aad.clear();
        push_header(aad, self.cipher.kid, self.ctr);
        let header = aad.len();
        aad.extend_from_slice(FRAME_LABEL);
        aad.extend_from_slice(clear);
        let padded = plain.len().max(1).next_multiple_of(PAD_BYTES);
        plain.resize(padded, 0);
        let tag = self.cipher.key.seal(&self.cipher.nonce(self.ctr), aad, plain).map_err(|_| Refusal::SealFailed)?;
        self.ctr += 1;
        push_tag(out, number, LEN);
        push_varint(out, (header + padded + TAG_BYTES) as u64);
        out.extend_from_slice(aad.get(..header).unwrap_or_default());
        out.extend_from_slice(plain);
        out.extend_from_slice(&tag);
        Ok(())
    }
}

#[cfg(test)]
impl Sealer {
    /// As if it had sealed all it may.
    pub(crate) fn spend(&mut self) {
        self.ctr = GROUPS_MAX;
    }
}

/// Appends the header of RFC 9605 §4.3.
pub fn push_header(out: &mut Vec<u8>, kid: u64, ctr: u64) {
    let (kid_bits, kid_bytes) = header_part(kid);
    let (ctr_bits, ctr_bytes) = header_part(ctr);
    out.push(kid_bits << 4 | ctr_bits);
    for (value, bytes) in [(kid, kid_bytes), (ctr, ctr_bytes)] {
        out.extend_from_slice(&value.to_be_bytes()[8 - bytes..]);
    }
}

/// Four bits of the config byte and how many bytes follow: values up to 7 stand in the bits themselves.
fn header_part(value: u64) -> (u8, usize) {
    if value < 8 {
        return (value as u8, 0);
    }
    let bytes = 8 - value.leading_zeros() as usize / 8;
    (0x08 | (bytes as u8 - 1), bytes)
}

/// Reads a header: key id, counter, length.
pub fn parse_header(input: &[u8]) -> Option<(u64, u64, usize)> {
    let config = *input.first()?;
    let mut at = 1;
    let mut part = |bits: u8| -> Option<u64> {
        if bits & 0x08 == 0 {
            return Some(u64::from(bits));
        }
        let bytes = usize::from(bits & 0x07) + 1;
        let value = input.get(at..at + bytes)?.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        at += bytes;
        Some(value)
    };
    let (kid, ctr) = (part(config >> 4)?, part(config & 0x0f)?);
    Some((kid, ctr, at))
}

/// Opens the groups of one slot and epoch; refuses a counter it has seen.
#[derive(Debug)]
pub struct Opener {
    cipher: Cipher,
    window: Window,
}

impl Opener {
    /// The key id that the groups carry.
    pub fn kid(&self) -> u64 {
        self.cipher.kid
    }

    /// Opens a group of the frame whose clear bytes (without fields 18000 and 18001) are given.
    pub fn open(&mut self, group: &[u8], clear: &[u8]) -> Result<Vec<Fragment>, OpenError> {
        let (kid, ctr, header) = parse_header(group).ok_or(OpenError::Malformed)?;
        if kid != self.cipher.kid {
            return Err(OpenError::OtherKey);
        }
        if !self.window.is_new(ctr) {
            return Err(OpenError::Replayed);
        }
        let (header, sealed) = group.split_at_checked(header).ok_or(OpenError::Malformed)?;
        let aad = [header, FRAME_LABEL, clear].concat();
        let mut sealed = sealed.to_vec();
        let plain = self.cipher.key.open(&self.cipher.nonce(ctr), &aad, &mut sealed).map_err(|_| OpenError::Forged)?;
        self.window.note(ctr);
        parse_fragments(plain).ok_or(OpenError::Malformed)
    }
}

/// The counters seen: the greatest, and which of the 64 before it.
#[derive(Debug, Default)]
struct Window {
    next: u64,
    seen: u64,
}

impl Window {
    fn is_new(&self, ctr: u64) -> bool {
        if ctr >= self.next {
            return true;
        }
        let age = self.next - 1 - ctr;
        age < 64 && self.seen >> age & 1 == 0
    }

    fn note(&mut self, ctr: u64) {
        if ctr >= self.next {
            let ahead = ctr + 1 - self.next;
            self.seen = if ahead >= 64 { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.next = ctr + 1;
        } else {
            self.seen |= 1 << (self.next - 1 - ctr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
    use crate::veil::transform::fragment::{merge, push_fragment, split};
    use proptest::prelude::*;

    struct Steps(u64);

    impl rand_core::TryRng for Steps {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.try_next_u64().map(|word| word as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Ok(self.0 ^ self.0 >> 29)
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
            for byte in out {
                *byte = (self.try_next_u64()? >> 32) as u8;
            }
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Steps {}

    fn epoch(suite: Suite) -> Epoch {
        Epoch {
            origin: Origin::new("twinveil.example/a"),
            view: ViewId([3; 16]),
            slot: 1,
            epoch: 258,
            suite,
            fingerprint: Fingerprint([4; 32]),
        }
    }

    fn holder(seed: u8) -> OpenKey {
        OpenKey::from_seed(&Secret::take(&mut [seed; 32])).expect("a key")
    }

    #[test]
    fn headers_of_rfc_9605_4_3_read_back() {
        // RFC 9605 Appendix C.1: KID 7, CTR 7 is one byte; KID 8 needs a byte of its own.
        let cases: [(u64, u64, &[u8]); 4] =
            [(0, 0, &[0x00]), (7, 7, &[0x77]), (8, 0xff, &[0x88, 0x08, 0xff]), (0x1_02, 0x1_0000, &[0x9a, 1, 2, 1, 0, 0])];
        for (kid, ctr, bytes) in cases {
            let mut out = Vec::new();
            push_header(&mut out, kid, ctr);
            assert_eq!((&out[..], parse_header(&out)), (bytes, Some((kid, ctr, bytes.len()))));
        }
    }

    #[test]
    fn the_key_holder_opens_and_nobody_else() {
        for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
            let (mine, other) = (holder(1), holder(2));
            let (mut sealer, announced) = epoch(suite).begin(&[mine.seal_key()], &mut Steps(1)).expect("begin");
            let mut fragments = Vec::new();
            push_fragment(&mut fragments, &[], b"\x08\x05");
            push_fragment(&mut fragments, &[(9, 1)], b"\x10\x06");
            let clear = b"\x4a\x00\x4a\x00".to_vec();
            let mut frame = clear.clone();
            sealer.seal(SEALED_FIELD, &clear, &mut fragments, &mut Vec::new(), &mut frame).expect("seal");

            assert!(epoch(suite).open(&announced, &other).is_none());
            let mut opener = epoch(suite).open(&announced, &mine).expect("mine");
            let (seen, groups) = split(&frame, SEALED_FIELD, ANNOUNCEMENT_FIELD).expect("split");
            assert_eq!((&seen, groups.len()), (&clear, 1));
            assert_eq!(opener.open(groups[0], b"another frame"), Err(OpenError::Forged));
            let opened = opener.open(groups[0], &seen).expect("open");
            assert_eq!(merge(&seen, &opened).expect("merge"), b"\x4a\x00\x4a\x02\x10\x06\x08\x05");
            assert_eq!(opener.open(groups[0], &seen), Err(OpenError::Replayed));
        }
    }

    #[test]
    fn an_announcement_for_another_epoch_or_commitment_does_not_open() {
        let mine = holder(1);
        let (_, announced) = epoch(Suite::Aes256Gcm).begin(&[mine.seal_key()], &mut Steps(1)).expect("begin");
        let moved = Epoch { epoch: 259, ..epoch(Suite::Aes256Gcm) };
        assert!(moved.open(&announced, &mine).is_none());
        let bent = Announced { commit: [0; 32], ..announced };
        assert!(epoch(Suite::Aes256Gcm).open(&bent, &mine).is_none());
    }

    #[test]
    fn a_seed_that_is_wrapped_well_and_not_the_committed_one_does_not_open() {
        let (mine, epoch) = (holder(1), epoch(Suite::Aes256Gcm));
        let wrapped = |commit: [u8; 32], seed: &[u8]| Announced {
            commit,
            wraps: vec![wrap(&mine.seal_key(), &epoch.info(), &commit, seed, &mut Steps(1)).expect("a good key")],
        };
        let commit = epoch.commit(&epoch.info(), &[2; 32]);
        assert!(epoch.open(&wrapped(commit, &[2; 32]), &mine).is_some());
        assert!(epoch.open(&wrapped([9; 32], &[2; 32]), &mine).is_none(), "committed to something else");
        assert!(epoch.open(&wrapped(commit, &[2; 31]), &mine).is_none(), "a short seed");
    }

    #[test]
    fn a_released_seed_opens_for_whom_it_was_released_and_nothing_else_does() {
        let (mine, theirs, of) = (holder(1), holder(2), epoch(Suite::Aes256Gcm));
        let (_, announced) = of.begin(&[mine.seal_key()], &mut Steps(1)).expect("begin");
        let seed = of.seed(&announced, &mine).expect("mine");
        let wrapped = of.release(&announced.commit, &seed, &theirs.seal_key(), &mut Steps(2)).expect("a good key");
        let released = of.released(&announced, &wrapped, &theirs).expect("theirs");
        assert!(of.open_with(&announced, &released).is_some());
        assert!(of.released(&announced, &wrapped, &mine).is_none(), "another's");
        assert!(Epoch { epoch: 259, ..epoch(Suite::Aes256Gcm) }.released(&announced, &wrapped, &theirs).is_none(), "of another epoch");
        assert!(of.open_with(&announced, &Secret::take(&mut [9; 32])).is_none(), "not the committed one");
        assert!(of.release(&announced.commit, &seed, &SealKey([0; 32]), &mut Steps(2)).is_none(), "a key of low order");
    }

    #[test]
    fn a_spent_key_seals_nothing() {
        let (mut sealer, _) = epoch(Suite::ChaCha20Poly1305).begin(&[], &mut Steps(1)).expect("begin");
        sealer.spend();
        let mut out = Vec::new();
        let sealed = sealer.seal(SEALED_FIELD, b"", &mut b"\x01\x02\x08\x05".to_vec(), &mut Vec::new(), &mut out);
        assert_eq!((sealed, out), (Err(Refusal::SealFailed), Vec::new()));
    }

    #[test]
    fn groups_with_nothing_in_them_look_like_small_ones() {
        let (mut sealer, _) = epoch(Suite::ChaCha20Poly1305).begin(&[], &mut Steps(1)).expect("begin");
        let (mut empty, mut small) = (Vec::new(), Vec::new());
        sealer.seal(SEALED_FIELD, b"", &mut Vec::new(), &mut Vec::new(), &mut empty).expect("seal");
        sealer.seal(SEALED_FIELD, b"", &mut b"\x01\x02\x08\x05".to_vec(), &mut Vec::new(), &mut small).expect("seal");
        assert_eq!(empty.len(), small.len());
    }

    proptest! {
        #[test]
        fn the_window_takes_each_counter_once(mut ctrs in proptest::collection::vec(0u64..200, 1..100)) {
            let mut window = Window::default();
            let mut seen = std::collections::BTreeSet::new();
            ctrs.push(300);
            for ctr in ctrs {
                if window.is_new(ctr) {
                    prop_assert!(seen.insert(ctr), "{} twice", ctr);
                    window.note(ctr);
                } else {
                    prop_assert!(seen.contains(&ctr) || seen.last().is_some_and(|last| last - ctr >= 64));
                }
            }
        }

        #[test]
        fn hostile_groups_never_panic(group in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut opener = {
                let mine = holder(1);
                let (_, announced) = epoch(Suite::Aes256Gcm).begin(&[mine.seal_key()], &mut Steps(1)).expect("begin");
                epoch(Suite::Aes256Gcm).open(&announced, &mine).expect("mine")
            };
            prop_assert!(opener.open(&group, b"").is_err());
        }
    }
}
