//! Bytes that must not be seen: zeroised when dropped, never printed.

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroize;
pub use zeroize::Zeroizing;

/// `N` secret bytes.
///
/// It has no telling `Debug`, no `Display`, and is wiped when dropped.
#[derive(Clone)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes over the bytes; the caller's copy is wiped.
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let kept = Box::new(*bytes);
        bytes.zeroize();
        Self(kept)
    }

    /// Fresh random bytes.
    pub fn random(entropy: &mut impl CryptoRng) -> Self {
        let mut bytes = Box::new([0; N]);
        entropy.fill_bytes(&mut bytes[..]);
        Self(bytes)
    }

    /// The bytes, for the one call that needs them.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Writes the bytes in place, so that no copy is left elsewhere.
    pub(crate) fn fill(write: impl FnOnce(&mut [u8; N])) -> Self {
        let mut bytes = Box::new([0; N]);
        write(&mut bytes);
        Self(bytes)
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Secret::take(&mut [0xab; 32]);
        assert_eq!(format!("{secret:?}"), "Secret<32>");
    }

    #[test]
    fn taking_a_secret_wipes_the_callers_copy() {
        let mut bytes = [7; 16];
        let secret = Secret::take(&mut bytes);
        assert_eq!((bytes, *secret.expose()), ([0; 16], [7; 16]));
    }
}
