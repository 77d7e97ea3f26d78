//! Hours of the week on the command line: `mon-fri 08:00-16:30 Europe/Vienna`.

use crate::veil::consent::windows::{WEEK, WindowDocument};

/// Reads hours; which times and zones there are is checked where the record is signed.
pub(super) fn window(text: &str) -> Result<WindowDocument, String> {
    let bad = || "write `DAYS FROM-TO ZONE`, such as `mon-fri 08:00-16:30 Europe/Vienna`".to_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    let [days, hours, zone] = words[..] else { return Err(bad()) };
    let (from, to) = hours.split_once('-').ok_or_else(bad)?;
    let mut listed = Vec::new();
    for part in days.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let place = |day: &str| WEEK.iter().position(|known| *known == day).ok_or_else(|| format!("no day `{day}`; `mon` to `sun`"));
        let (first, last) = (place(first)?, place(last)?);
        // `fri-mon` goes over the end of the week.
        let count = (last + WEEK.len() - first) % WEEK.len() + 1;
        listed.extend(WEEK.iter().cycle().skip(first).take(count).map(|day| (*day).to_owned()));
    }
    Ok(WindowDocument { zone: zone.into(), days: listed, from: from.into(), to: to.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_days_times_and_a_zone() {
        let read = |text: &str| {
            let window = window(text).expect(text);
            (window.days.join(" "), window.from, window.to, window.zone)
        };
        let hours = |days: &str| (days.to_owned(), "08:00".to_owned(), "16:30".to_owned(), "Europe/Vienna".to_owned());
        for (days, means) in [
            ("mon", "mon"),
            ("mon-fri", "mon tue wed thu fri"),
            ("mon,wed-thu", "mon wed thu"),
            ("sat-mon", "sat sun mon"),
            ("mon-sun", "mon tue wed thu fri sat sun"),
        ] {
            assert_eq!(read(&format!("{days} 08:00-16:30 Europe/Vienna")), hours(means));
        }
    }

    #[test]
    fn each_slip_is_named() {
        for (text, says) in [
            ("", "write `DAYS FROM-TO ZONE`"),
            ("mon-fri 08:00-16:30", "write `DAYS FROM-TO ZONE`"),
            ("mon-fri 08:00 Europe/Vienna", "write `DAYS FROM-TO ZONE`"),
            ("mo-fr 08:00-16:30 Europe/Vienna", "no day `mo`"),
            (" 08:00-16:30 Europe/Vienna", "write `DAYS FROM-TO ZONE`"),
        ] {
            assert!(window(text).expect_err(text).contains(says), "{text}");
        }
    }
}
