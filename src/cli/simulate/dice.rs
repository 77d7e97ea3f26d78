//! Numbers that look random and are the same for the same seed. For simulation only: nothing secret is made of them.

/// A generator; SplitMix64 (Steele, Lea, Flood 2014, figure 16).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// For one twin of one simulation: neighbours share nothing.
    pub(super) fn new(seed: u64, kind: u64, number: u32) -> Self {
        let mut dice = Self(seed);
        for part in [kind, number.into()] {
            dice = Self(dice.next() ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        dice
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Evenly in [low, high).
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Around 0 with standard deviation 1, by the sum of twelve: never beyond ±6, so bounds hold.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of several.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T; 8]) -> T {
        from[(self.next() % 8) as usize]
    }
}

/// A value that wanders around its home and comes back: a discrete Ornstein–Uhlenbeck process.
#[derive(Clone, Debug)]
pub(super) struct Wander {
    home: f64,
    away: f64,
    /// What is left of the distance after a step.
    keep: f64,
    step: f64,
}

impl Wander {
    /// Around `home` with standard deviation `spread`; the memory lasts about `steps` steps.
    pub(super) fn new(home: f64, spread: f64, steps: f64) -> Self {
        let keep = (-1.0 / steps).exp();
        Self { home, away: 0.0, keep, step: spread * (1.0 - keep * keep).sqrt() }
    }

    pub(super) fn next(&mut self, dice: &mut Dice) -> f64 {
        self.away = self.away * self.keep + self.step * dice.normal();
        self.home + self.away
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_mean_and_the_spread_they_should() {
        let mut dice = Dice::new(1, 2, 3);
        let draws: Vec<f64> = (0..20_000).map(|_| dice.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let spread = (draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64).sqrt();
        assert!(mean.abs() < 0.03 && (spread - 1.0).abs() < 0.03, "{mean} {spread}");
        let mut wander = Wander::new(70.0, 4.0, 50.0);
        let draws: Vec<f64> = (0..200_000).map(|_| wander.next(&mut dice)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let spread = (draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64).sqrt();
        assert!((mean - 70.0).abs() < 0.5 && (spread - 4.0).abs() < 0.5, "{mean} {spread}");
    }
}
