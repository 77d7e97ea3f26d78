//! H3: the cells of PyPI's `h3`, the authors' own library, on ten thousand points.

use twinveil::veil::transform::generalize::place;

use super::{ran, script};

#[test]
fn places_fall_into_the_cells_of_the_authors_library() {
    let Some(mut points) = script("h3", "judge_h3.py") else { return };
    points.arg("points");
    let (mut lines, mut resolutions) = (String::new(), [0; 16]);
    for line in ran(points, "").lines() {
        let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [resolution, latitude, longitude] = numbers[..] else { panic!("{line}") };
        // Around a pentagon on the antimeridian, a point may be counted on past it.
        let longitude = if longitude.abs() > 180.0 { longitude - 360.0 * longitude.signum() } else { longitude };
        let (lat, lng) = place(resolution as u8, latitude, longitude).unwrap_or_else(|| panic!("no place: {line}"));
        lines += &format!("{resolution} {latitude:?} {longitude:?} {lat:?} {lng:?}\n");
        resolutions[resolution as usize] += 1;
    }
    assert!(resolutions.iter().sum::<u32>() >= 10_000 && resolutions.iter().all(|points| *points > 200), "{resolutions:?}");
    let verdict = ran(script("h3", "judge_h3.py").unwrap(), &lines);
    assert!(verdict.starts_with("10000 cells are the same"), "{verdict}");
    println!("{verdict}");
}
