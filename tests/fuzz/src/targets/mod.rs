//! What is fuzzed, as functions over bytes. `tests/fuzz` runs them under libFuzzer; `tests/it/fuzz.rs` runs them over every
//! input that is committed. A target panics where something does not hold; it never fails because of its input.

mod apply;
mod consent;
mod demand;
mod http2;
mod log;
mod open;
mod policy;
mod schema;
mod several;
pub(crate) mod shapes;
mod wire;

use std::convert::Infallible;

/// What must hold of every input.
pub(crate) type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its folder of inputs.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("wire", wire::run),
    ("schema", schema::run),
    ("consent", consent::run),
    ("demand", demand::run),
    ("policy", policy::run),
    ("apply", apply::run),
    ("several", several::run),
    ("open", open::run),
    ("http2", http2::run),
    ("log", log::run),
];

/// The bytes of a test case, taken from the front. Where there are none left, zeros and empty pieces come.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A piece with its length in front, one byte.
    fn piece(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (piece, rest) = self.0.split_at(len);
        self.0 = rest;
        piece
    }

    /// A piece with its length in front, two bytes, little-endian.
    fn long_piece(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        let (piece, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        piece
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Entropy that is the same every time, so that a finding can be run again.
struct Steps(u64);

impl rand_core::TryRng for Steps {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|word| word as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0 ^ self.0 >> 29)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = (self.try_next_u64()? >> 32) as u8;
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Steps {}

/// What people read in a terminal or a log is one line without control characters, whatever was in the input.
fn one_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "control characters in {text:?}");
}
