//! Choices drawn from a seed: the same seed, the same choices, on every machine.

/// A generator of choices (SplitMix64, Steele, Lea and Flood 2014). For trials, never for keys.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `sides`; 0 for none.
    pub fn below(&mut self, sides: usize) -> usize {
        if sides == 0 { 0 } else { (self.word() % sides as u64) as usize }
    }

    /// Whether it is the one of so many.
    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// One of them; `None` where there is none.
    pub fn pick<'t, T>(&mut self, of: &'t [T]) -> Option<&'t T> {
        of.get(self.below(of.len()))
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.word() as u8).collect()
    }

    /// An integer, of a width that is itself drawn: small ones are as likely as great ones.
    pub fn integer(&mut self) -> i64 {
        let bits = self.below(64) as u32;
        let value = self.word() as i64 >> bits;
        match self.below(12) {
            0 => 0,
            1 => i64::from(i32::MAX) + (value & 3),
            2 => i64::from(u32::MAX) + (value & 3),
            3 => i64::from(i32::MIN) - (value & 3),
            4 => i64::MIN,
            5 => i64::MAX,
            _ => value,
        }
    }

    /// A floating-point number; NaN, infinities and −0 among them.
    pub fn float(&mut self) -> f64 {
        match self.below(16) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -0.0,
            4 => 0.0,
            5 => f64::from_bits(self.word()),
            6 => f64::MAX,
            7 => 1e-300,
            8..=10 => (self.word() % 36_000) as f64 / 100.0 - 180.0,
            11..=13 => (self.word() % 2_000) as f64 / 8.0 - 125.0,
            _ => self.integer() as f64,
        }
    }

    /// A short text, ASCII or not.
    pub fn text(&mut self) -> String {
        let len = self.below(7);
        (0..len).map(|_| ['a', 'k', 'ž', '9', '雪', ' ', '\u{1f600}'][self.below(7)]).collect()
    }

    /// Another seed.
    pub fn seed(&mut self) -> u64 {
        self.word()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for the seed 1234567, as published with the reference implementation.
        let mut dice = Dice::new(1_234_567);
        assert_eq!([dice.word(), dice.word()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn nothing_to_choose_from_gives_nothing() {
        let mut dice = Dice::new(1);
        assert_eq!((dice.below(0), dice.pick::<u8>(&[])), (0, None));
    }
}
