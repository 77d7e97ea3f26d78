//! Making values coarser. Every function gives the *image* of a value: equal images, equal bytes.

use h3o::{LatLng, Resolution};

use crate::veil::terms::Generalizer;

/// The image of an integer, within `min..=max`; `None` where the generalizer is not for integers.
pub fn integer(how: &Generalizer, value: i128, min: i128, max: i128) -> Option<i128> {
    let image = match how {
        Generalizer::Step(step) if step.fract() == 0.0 && *step < 9e18 => floor_to(value, *step as i128)?,
        Generalizer::Step(step) => step_down(value as f64, *step, 1e-9).floor() as i128,
        Generalizer::Buckets(edges) => bucket(edges, value as f64)?.floor() as i128,
        Generalizer::TimeBucket { span_s, unit } => floor_to(value, i128::from(*span_s) * i128::from(unit.per_second()))?,
        Generalizer::Decimals(_) | Generalizer::PrefixChars(_) | Generalizer::Place { .. } => return None,
    };
    Some(image.clamp(min, max))
}

/// The image of a floating-point number; `None` for NaN and infinities, which have none.
pub fn float(how: &Generalizer, value: f64) -> Option<f64> {
    image(how, value, 1e-9)
}

/// The image of a number of 32 bits: 0.7 in steps of 0.1 stays 0.7, which such a number is 2e-8 below.
pub fn float32(how: &Generalizer, value: f32) -> Option<f32> {
    image(how, f64::from(value), 2.5e-7).map(|image| image as f32).filter(|image| image.is_finite())
}

/// `slack`: a quotient that is as near to a whole number, relative to it, counts as whole.
fn image(how: &Generalizer, value: f64, slack: f64) -> Option<f64> {
    if !value.is_finite() {
        return None;
    }
    let image = match how {
        Generalizer::Step(step) => step_down(value, *step, slack),
        Generalizer::Decimals(decimals) => round_to(value, *decimals),
        Generalizer::Buckets(edges) => bucket(edges, value)?,
        Generalizer::TimeBucket { span_s, .. } => step_down(value, *span_s as f64, slack),
        Generalizer::PrefixChars(_) | Generalizer::Place { .. } => return None,
    };
    // `+ 0.0` turns −0 into 0: the sign of a value that was rounded away must not stay.
    image.is_finite().then_some(image + 0.0)
}

/// The first characters of a text; `None` where it is not UTF-8 or the generalizer is not for text.
pub fn text<'v>(how: &Generalizer, value: &'v [u8]) -> Option<&'v [u8]> {
    let Generalizer::PrefixChars(chars) = how else { return None };
    let text = std::str::from_utf8(value).ok()?;
    let end = text.char_indices().nth(*chars as usize).map_or(text.len(), |(at, _)| at);
    value.get(..end)
}

/// The whole seconds of a `google.protobuf.Timestamp`; the nanoseconds of an image are always 0.
pub fn timestamp(how: &Generalizer, seconds: i64) -> Option<i64> {
    let Generalizer::TimeBucket { span_s, .. } = how else { return None };
    floor_to(i128::from(seconds), i128::from(*span_s)).and_then(|image| i64::try_from(image).ok())
}

/// The centre of the H3 cell of a place, in degrees; `None` for what is no place on Earth.
pub fn place(resolution: u8, latitude: f64, longitude: f64) -> Option<(f64, f64)> {
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return None;
    }
    let cell = LatLng::new(latitude, longitude).ok()?.to_cell(Resolution::try_from(resolution).ok()?);
    let centre = LatLng::from(cell);
    Some((centre.lat(), centre.lng()))
}

fn floor_to(value: i128, step: i128) -> Option<i128> {
    (step > 0).then(|| value.div_euclid(step) * step)
}

/// Down to a multiple: 0.3 in steps of 0.1 stays 0.3, thanks to the slack.
fn step_down(value: f64, step: f64, slack: f64) -> f64 {
    let quotient = value / step;
    let nearest = quotient.round();
    let whole = if (quotient - nearest).abs() <= slack * quotient.abs().max(1.0) { nearest } else { quotient.floor() };
    whole * step
}

fn round_to(value: f64, decimals: u8) -> f64 {
    let scale = 10f64.powi(i32::from(decimals));
    let scaled = value * scale;
    // From 2^53 on there are no decimals to lose.
    if scaled.abs() >= 9_007_199_254_740_992.0 { value } else { scaled.round() / scale }
}

fn bucket(edges: &[f64], value: f64) -> Option<f64> {
    let above = edges.partition_point(|edge| *edge <= value);
    edges.get(above.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::terms::TimeUnit;
    use proptest::prelude::*;

    const I64: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);

    #[test]
    fn numbers_round_down_also_below_zero() {
        let step = Generalizer::Step(5.0);
        assert_eq!([72, 70, -1, 0].map(|v| integer(&step, v, I64.0, I64.1)), [Some(70), Some(70), Some(-5), Some(0)]);
        assert_eq!(float(&Generalizer::Step(0.1), 0.3), Some(3.0 * 0.1));
        assert_eq!(float(&Generalizer::Step(0.5), -0.2), Some(-0.5));
    }

    #[test]
    fn the_image_of_a_number_of_32_bits_is_its_own_image() {
        for tenths in -2_000..2_000 {
            let value = tenths as f32 / 10.0;
            let image = float32(&Generalizer::Step(0.1), value).expect("finite");
            assert!((image - value).abs() <= 2e-5, "{value} became {image}");
            assert_eq!(float32(&Generalizer::Step(0.1), image), Some(image), "{value}");
        }
        assert_eq!(float32(&Generalizer::Step(0.1), 0.69), Some(0.6));
        assert_eq!(float32(&Generalizer::Buckets(vec![1e300]), 1.0), None, "an edge that the type can't hold");
    }

    #[test]
    fn decimals_leave_no_minus_zero() {
        assert_eq!(float(&Generalizer::Decimals(1), -0.04).map(f64::to_bits), Some(0));
        assert_eq!(float(&Generalizer::Decimals(2), 45.772_175), Some(45.77));
    }

    #[test]
    fn buckets_take_the_lower_edge_and_clamp_below_the_first() {
        let how = Generalizer::Buckets(vec![0.0, 85.0, 90.0, 95.0]);
        assert_eq!([-3.0, 0.0, 84.9, 90.0, 99.0].map(|v| float(&how, v)), [Some(0.0), Some(0.0), Some(0.0), Some(90.0), Some(95.0)]);
    }

    #[test]
    fn times_fall_to_the_start_of_their_bucket_in_their_unit() {
        for (unit, per) in [(TimeUnit::Seconds, 1), (TimeUnit::Milliseconds, 1_000), (TimeUnit::Nanoseconds, 1_000_000_000)] {
            let how = Generalizer::TimeBucket { span_s: 3_600, unit };
            assert_eq!(integer(&how, 7_300 * per, I64.0, I64.1), Some(7_200 * per));
            assert_eq!(integer(&how, -per, I64.0, I64.1), Some(-3_600 * per));
        }
    }

    #[test]
    fn text_is_cut_between_characters_and_must_be_text() {
        assert_eq!(text(&Generalizer::PrefixChars(2), "Žižek".as_bytes()), Some("Ži".as_bytes()));
        assert_eq!(text(&Generalizer::PrefixChars(9), b"abc"), Some(&b"abc"[..]));
        assert_eq!(text(&Generalizer::PrefixChars(9), &[0xff]), None);
    }

    #[test]
    fn a_generalizer_for_other_values_or_none_at_all_gives_no_image() {
        let bucket = |span_s| Generalizer::TimeBucket { span_s, unit: TimeUnit::Seconds };
        let place = Generalizer::Place { resolution: 6, axis: crate::veil::terms::Axis::Latitude };
        for how in [Generalizer::Step(0.0), Generalizer::Buckets(vec![]), bucket(0), Generalizer::Decimals(1), place.clone()] {
            assert_eq!(integer(&how, 7, I64.0, I64.1), None, "{how}");
        }
        for how in [Generalizer::Step(0.0), Generalizer::Buckets(vec![]), bucket(0), place, Generalizer::PrefixChars(1)] {
            assert_eq!((float(&how, 7.0), float32(&how, 7.0)), (None, None), "{how}");
        }
        assert_eq!((text(&bucket(60), b"text"), timestamp(&Generalizer::Step(1.0), 7), timestamp(&bucket(0), 7)), (None, None, None));
        assert_eq!(super::place(16, 45.0, 14.0), None);
    }

    #[test]
    fn what_is_no_place_or_number_has_no_image() {
        assert_eq!(place(6, 91.0, 0.0), None);
        assert_eq!(place(6, f64::NAN, 0.0), None);
        assert_eq!(float(&Generalizer::Step(1.0), f64::INFINITY), None);
    }

    proptest! {
        #[test]
        fn an_image_is_its_own_image(value in -1e9f64..1e9, step in 1u32..1000, decimals in 0u8..6) {
            for how in [Generalizer::Step(f64::from(step)), Generalizer::Decimals(decimals), Generalizer::Buckets(vec![-1e6, 0.0, 10.0])] {
                let image = float(&how, value).expect("finite");
                prop_assert_eq!(float(&how, image), Some(image));
            }
        }

        #[test]
        fn a_cell_centre_lies_in_its_cell(latitude in -89.9f64..89.9, longitude in -180.0f64..180.0, resolution in 0u8..=12) {
            let (lat, lng) = place(resolution, latitude, longitude).expect("a place");
            let again = place(resolution, lat, lng).expect("a place");
            prop_assert!((again.0 - lat).abs() < 1e-9 && (again.1 - lng).abs() < 1e-9);
        }

        #[test]
        fn integers_stay_in_range(value in any::<i32>(), step in 1u32..100_000) {
            let image = integer(&Generalizer::Step(f64::from(step)), i128::from(value), i128::from(i32::MIN), i128::from(i32::MAX)).expect("step");
            prop_assert!(i32::try_from(image).is_ok());
        }
    }
}
