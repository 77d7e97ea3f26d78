//! From what was measured to how many cores are needed: a straight line through the costs of some sizes, and a margin on top.

/// What the frames of one size cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// How long a frame is.
    pub(super) bytes: f64,
    /// What it costs in processor time.
    pub(super) cpu_us: f64,
}

/// What a frame costs by its length: so much for every frame, and so much for each of its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    pub(super) fixed_us: f64,
    pub(super) per_byte_us: f64,
}

impl Cost {
    /// The line of least squares. Neither part is ever negative: where noise says so, the other part alone explains the points.
    /// `None` without a point.
    pub(super) fn fit(points: &[Point]) -> Option<Self> {
        let count = points.len() as f64;
        let mean = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / count;
        if points.is_empty() {
            return None;
        }
        let (bytes, cpu_us) = (mean(|point| point.bytes), mean(|point| point.cpu_us));
        let spread: f64 = points.iter().map(|point| (point.bytes - bytes).powi(2)).sum();
        let together: f64 = points.iter().map(|point| (point.bytes - bytes) * (point.cpu_us - cpu_us)).sum();
        let per_byte_us = if spread > 0.0 { (together / spread).max(0.0) } else { 0.0 };
        let fixed_us = cpu_us - per_byte_us * bytes;
        if fixed_us >= 0.0 {
            return Some(Self { fixed_us, per_byte_us });
        }
        let squares: f64 = points.iter().map(|point| point.bytes.powi(2)).sum();
        let products: f64 = points.iter().map(|point| point.bytes * point.cpu_us).sum();
        Some(Self { fixed_us: 0.0, per_byte_us: products / squares })
    }

    /// What a frame of this length costs.
    pub(super) fn of(self, bytes: f64) -> f64 {
        self.fixed_us + self.per_byte_us * bytes
    }

    /// How many cores frames of this length and rate keep busy, times the headroom.
    pub(super) fn cores(self, frames_per_s: f64, bytes: f64, headroom: f64) -> f64 {
        frames_per_s * self.of(bytes) / 1e6 * headroom
    }
}

/// Where the processor time of a frame goes: parts of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shares {
    /// The walk through the views, without sealing.
    pub(super) apply: f64,
    /// Sealing.
    pub(super) seal: f64,
    /// Everything else: the kernel, TLS, HTTP/2, queues.
    pub(super) transport: f64,
}

impl Shares {
    /// Of a frame that costs `whole_us`, with `views` views applied to it. What was measured apart may come out above the whole.
    pub(super) fn of(whole_us: f64, views: f64, apply_us: f64, seal_us: f64) -> Self {
        let (apply, seal) = ((apply_us - seal_us).max(0.0) * views, seal_us * views);
        let whole = whole_us.max(apply + seal).max(f64::MIN_POSITIVE);
        Self { apply: apply / whole, seal: seal / whole, transport: (whole - apply - seal) / whole }
    }
}

/// What each takes, where few and many were held; nothing, where noise is larger.
pub(super) fn each_bytes([few, many]: [usize; 2], [with_few, with_many]: [u64; 2]) -> u64 {
    with_many.saturating_sub(with_few) / many.saturating_sub(few).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(points: &[(f64, f64)]) -> Cost {
        let points: Vec<Point> = points.iter().map(|&(bytes, cpu_us)| Point { bytes, cpu_us }).collect();
        Cost::fit(&points).expect("points")
    }

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn points_on_a_line_give_the_line_and_others_the_one_with_the_least_squares() {
        let cost = fit(&[(200.0, 1.2), (1_000.0, 2.0), (4_000.0, 5.0)]);
        assert!(close(cost.fixed_us, 1.0) && close(cost.per_byte_us, 0.001), "{cost:?}");
        // Worked out by hand: the mean is (2, 2), the slope 3/2 / 2.
        let cost = fit(&[(1.0, 1.0), (2.0, 2.5), (3.0, 2.5)]);
        assert!(close(cost.per_byte_us, 0.75) && close(cost.fixed_us, 0.5), "{cost:?}");
    }

    #[test]
    fn no_part_of_a_cost_is_negative() {
        assert_eq!(fit(&[(100.0, 3.0), (200.0, 1.0)]), Cost { fixed_us: 2.0, per_byte_us: 0.0 });
        assert_eq!(fit(&[(100.0, 1.0), (200.0, 3.0)]), Cost { fixed_us: 0.0, per_byte_us: 700.0 / 50_000.0 });
        assert_eq!(fit(&[(100.0, 3.0)]), Cost { fixed_us: 3.0, per_byte_us: 0.0 });
        assert_eq!(fit(&[(100.0, 3.0), (100.0, 5.0)]), Cost { fixed_us: 4.0, per_byte_us: 0.0 });
        assert_eq!(Cost::fit(&[]), None);
    }

    #[test]
    fn cores_are_rate_times_cost_times_headroom() {
        let cost = Cost { fixed_us: 1.0, per_byte_us: 0.001 };
        assert!(close(cost.of(1_000.0), 2.0));
        assert!(close(cost.cores(100_000.0, 1_000.0, 2.0), 0.4));
        assert!(close(cost.cores(1e6, 0.0, 1.0), 1.0));
    }

    #[test]
    fn shares_add_up_to_one() {
        let shares = Shares::of(10.0, 2.0, 1.5, 0.5);
        assert!(close(shares.apply, 0.2) && close(shares.seal, 0.1) && close(shares.transport, 0.7), "{shares:?}");
        let shares = Shares::of(1.0, 1.0, 4.0, 1.0);
        assert!(close(shares.apply, 0.75) && close(shares.seal, 0.25) && close(shares.transport, 0.0), "{shares:?}");
    }

    #[test]
    fn memory_is_the_difference_shared_out() {
        assert_eq!(each_bytes([10, 60], [1_000, 6_000]), 100);
        assert_eq!(each_bytes([10, 60], [1_000, 900]), 0);
        assert_eq!(each_bytes([10, 10], [0, 10]), 10);
    }
}
