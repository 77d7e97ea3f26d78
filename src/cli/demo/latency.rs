//! How long frames took: a histogram of microseconds in buckets that grow with the value, so that a quantile is right to
//! within 1.6 % and takes no more room the longer it runs.

use std::time::Duration;

/// Buckets of a doubling, as a power of two.
const FINE_BITS: u32 = 5;
const FINE: u64 = 1 << FINE_BITS;

/// Durations, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    buckets: Vec<u64>,
    count: u64,
}

impl Latency {
    /// Counts one.
    pub(super) fn add(&mut self, took: Duration) {
        let bucket = bucket(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
    }

    /// The microseconds that a share of all stay within: the middle of the bucket where it falls. `None` where none was counted.
    pub(super) fn quantile_us(&self, share: f64) -> Option<u64> {
        let wanted = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= wanted {
                return Some(middle(bucket));
            }
        }
        None
    }
}

/// Values below 32 have a bucket each; from there on every doubling has 32.
fn bucket(us: u64) -> usize {
    if us < FINE {
        return us as usize;
    }
    let shift = us.ilog2() - FINE_BITS;
    ((u64::from(shift) << FINE_BITS) + (us >> shift)) as usize
}

fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * FINE {
        return bucket;
    }
    let shift = (bucket >> FINE_BITS) - 1;
    let low = (bucket - (shift << FINE_BITS)) << shift;
    low + ((1 << shift) - 1) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile_us(0.5), None);
        (1..=31).for_each(|us| latency.add(Duration::from_micros(us)));
        assert_eq!((latency.quantile_us(0.5), latency.quantile_us(0.99), latency.quantile_us(0.0)), (Some(16), Some(31), Some(1)));
        latency.add(Duration::from_secs(3_600));
        assert_eq!(latency.quantile_us(0.5), Some(16));
        assert!(latency.quantile_us(1.0).is_some_and(|us| us.abs_diff(3_600_000_000) < 60_000_000));
    }

    proptest! {
        #[test]
        fn a_bucket_is_within_two_per_cent_of_what_is_in_it(us in 0..u64::MAX) {
            let shown = middle(bucket(us));
            prop_assert!(shown.abs_diff(us) as f64 <= us as f64 * 0.016, "{us} {shown}");
        }

        #[test]
        fn buckets_keep_the_order(a in any::<u64>(), b in any::<u64>()) {
            prop_assert!(bucket(a.min(b)) <= bucket(a.max(b)));
        }
    }
}
