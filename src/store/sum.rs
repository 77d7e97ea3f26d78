//! A sum of keyed hashes modulo 2^256: rows come by addition and go by subtraction, in any order (an additive multiset hash: Clarke and
//! others, *Incremental Multiset Hash Functions and Their Application to Memory Integrity Checking*, 2003).

/// The sum; four limbs, the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum([u64; 4]);

impl Sum {
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*bytes);
        }
        Self(limbs)
    }

    pub(super) fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (bytes, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&self.0) {
            *bytes = limb.to_le_bytes();
        }
        bytes
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, other) in self.0.iter_mut().zip(&other.0) {
            let (sum, over) = limb.overflowing_add(*other);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || again);
        }
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (limb, other) in self.0.iter_mut().zip(&other.0) {
            let (rest, under) = limb.overflowing_sub(*other);
            let (rest, again) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, under || again);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_carries_over_all_limbs_and_wraps() {
        let (mut all, one) = (Sum::from_bytes([0xff; 32]), Sum([1, 0, 0, 0]));
        all.add(&one);
        assert_eq!(all, Sum::default());
        all.subtract(&one);
        assert_eq!(all.bytes(), [0xff; 32]);
        let mut limb = Sum([u64::MAX, 0, 0, 0]);
        limb.add(&one);
        assert_eq!(limb, Sum([0, 1, 0, 0]));
    }

    proptest! {
        #[test]
        fn what_comes_and_goes_leaves_nothing_in_any_order(rows in prop::collection::vec(any::<[u8; 32]>(), 0..20), seed in any::<u64>()) {
            let mut sum = Sum::default();
            rows.iter().for_each(|row| sum.add(&Sum::from_bytes(*row)));
            let mut order = rows.clone();
            order.sort_by_key(|row| u64::from(row[0]) ^ seed);
            let mut again = Sum::default();
            order.iter().for_each(|row| again.add(&Sum::from_bytes(*row)));
            prop_assert_eq!(sum, again);
            order.iter().for_each(|row| sum.subtract(&Sum::from_bytes(*row)));
            prop_assert_eq!(sum, Sum::default());
        }
    }
}
