//! Hours in which a consent permits: on these days of the week, between these times, as a clock on the wall of that zone shows
//! them.
//!
//! The wall decides: where clocks are set forward the hour that is left out is in no window, and where they are set back the hour
//! that comes twice is in its window twice. The zones are those of IANA, built in: an unknown one refuses the record.

use std::fmt;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::refusal::RecordRefusal;
use super::text;
use crate::veil::name::UnixMs;

/// The most windows of a record.
pub const WINDOWS_MAX: usize = 32;
/// How far ahead an edge is looked for: two weeks, and a day that a zone leaves out when it changes sides of the date line.
const HORIZON_DAYS: i64 = 15;
/// The last instant of the day, as a window's `to` names it.
const MIDNIGHT: &str = "24:00";
/// The days of the week, as windows name them.
pub const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A window as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowDocument {
    /// An IANA time zone, such as `Europe/Vienna`.
    pub zone: String,
    /// Days of the week: `mon` to `sun`, each at most once.
    pub days: Vec<String>,
    /// From, such as `08:00`, by the clock on the wall.
    pub from: String,
    /// Until, such as `16:30`, later than `from`; `24:00` is the end of the day.
    pub to: String,
}

/// A checked window.
#[derive(Clone, PartialEq, Eq)]
pub struct Window {
    zone: TimeZone,
    /// By [`WEEK`].
    days: [bool; 7],
    from: Time,
    /// None: the end of the day.
    to: Option<Time>,
}

impl Window {
    /// Whether it is open at an instant. What no calendar reaches is in no window.
    pub fn is_open(&self, at: UnixMs) -> bool {
        let Ok(at) = Timestamp::from_millisecond(at.0) else { return false };
        let wall = self.zone.to_datetime(at);
        self.has(wall.weekday()) && self.from <= wall.time() && self.to.is_none_or(|to| wall.time() < to)
    }

    fn has(&self, day: Weekday) -> bool {
        usize::try_from(day.to_monday_zero_offset()).ok().and_then(|place| self.days.get(place)).is_some_and(|listed| *listed)
    }

    /// Instants after `at` at which it may open or close: what the wall shows passes `from` or `to` there, or jumps.
    fn edges(&self, at: Timestamp, until: Timestamp, edges: &mut Vec<Timestamp>) {
        edges.extend(self.zone.following(at).map(|jump| jump.timestamp()).take_while(|jump| *jump <= until));
        let today = self.zone.to_datetime(at).date();
        // From yesterday: clocks that are set back over midnight show it once more.
        let mut day = today.yesterday().unwrap_or(today);
        for _ in 0..=HORIZON_DAYS + 2 {
            if self.has(day.weekday()) {
                let end = match self.to {
                    Some(to) => Some(day.to_datetime(to)),
                    None => day.tomorrow().ok().map(|next| next.to_datetime(Time::midnight())),
                };
                for wall in [Some(day.to_datetime(self.from)), end].into_iter().flatten() {
                    self.instants(wall, edges);
                }
            }
            let Ok(next) = day.tomorrow() else { return };
            day = next;
        }
    }

    /// When the wall shows this: once, twice where the clock is set back, and never where it is set forward; then nothing is lost,
    /// as the jump itself is an edge.
    fn instants(&self, wall: DateTime, edges: &mut Vec<Timestamp>) {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        edges.extend(ambiguous.earlier().ok());
        edges.extend(ambiguous.later().ok());
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (day, _) in WEEK.iter().zip(self.days).filter(|(_, listed)| *listed) {
            write!(f, "{}{day}", if first { "" } else { " " })?;
            first = false;
        }
        write!(f, " {}-", self.from.strftime("%H:%M"))?;
        match self.to {
            Some(to) => write!(f, "{}", to.strftime("%H:%M"))?,
            None => f.write_str(MIDNIGHT)?,
        }
        write!(f, " {}", self.zone.iana_name().unwrap_or_default())
    }
}

/// Whether any of the windows is open at an instant; no windows are always open.
pub(super) fn open(windows: &[Window], at: UnixMs) -> bool {
    windows.is_empty() || windows.iter().any(|window| window.is_open(at))
}

/// The next instant at which what [`open`] says changes; where none is near, an instant to ask again at.
pub(super) fn next_edge(windows: &[Window], at: UnixMs) -> UnixMs {
    let bounds =
        Timestamp::from_millisecond(at.0).ok().and_then(|at| Some((at, at.checked_add(Span::new().hours(24 * HORIZON_DAYS)).ok()?)));
    let (false, Some((from, until))) = (windows.is_empty(), bounds) else { return UnixMs::NEVER };
    let mut edges = Vec::new();
    for window in windows {
        window.edges(from, until, &mut edges);
    }
    edges.retain(|edge| from < *edge && *edge <= until);
    edges.sort_unstable();
    let now = open(windows, at);
    let changes = edges.into_iter().map(|edge| UnixMs(edge.as_millisecond())).find(|edge| open(windows, *edge) != now);
    changes.unwrap_or(UnixMs(until.as_millisecond()))
}

impl WindowDocument {
    pub(super) fn check(&self, i: usize) -> Result<Window, RecordRefusal> {
        let bad = |member: &str, expected| RecordRefusal::member(format!("windows[{i}].{member}"), expected);
        text::count(&format!("windows[{i}].days"), &self.days, 1, WEEK.len(), "a list of 1 to 7 days")?;
        let mut days = [false; 7];
        for word in &self.days {
            let place = WEEK.iter().position(|day| day == word);
            let listed = place.and_then(|place| days.get_mut(place)).ok_or_else(|| bad("days", "of the days `mon` to `sun`"))?;
            if std::mem::replace(listed, true) {
                return Err(bad("days", "free of days that are there twice"));
            }
        }
        let from = time(&self.from).ok_or_else(|| bad("from", "a time of day, such as `08:00`"))?;
        let to = match self.to.as_str() {
            MIDNIGHT => None,
            to => Some(time(to).ok_or_else(|| bad("to", "a time of day, such as `16:30`, or `24:00`"))?),
        };
        if to.is_some_and(|to| to <= from) {
            return Err(bad("to", "later than `from`: write a window over midnight as two"));
        }
        let zone = zone(&self.zone).ok_or_else(|| bad("zone", "an IANA time zone, such as `Europe/Vienna`"))?;
        Ok(Window { zone, days, from, to })
    }
}

/// `HH:MM`, in this form alone.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse::<i8>().ok())?;
    Time::new(two(hour)?, two(minute)?, 0, 0).ok()
}

/// A zone by the name that IANA has for it. Case is not ignored: there is one way to write a zone.
fn zone(name: &str) -> Option<TimeZone> {
    let place = name == "UTC" || name.contains('/');
    let zone = if place && name.len() <= 64 { TimeZoneDatabase::bundled().get(name).ok()? } else { return None };
    (zone.iana_name() == Some(name)).then_some(zone)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MINUTE: i64 = 60_000;

    fn window(zone: &str, days: &[&str], from: &str, to: &str) -> Result<Window, RecordRefusal> {
        let document = json!({"zone": zone, "days": days, "from": from, "to": to});
        serde_json::from_value::<WindowDocument>(document).expect("a window's members").check(0)
    }

    fn good(zone: &str, days: &[&str], from: &str, to: &str) -> Window {
        window(zone, days, from, to).expect("good")
    }

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<Timestamp>().expect("an instant").as_millisecond())
    }

    const WEEKDAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri"];

    #[test]
    fn clinic_hours_open_and_close_on_the_wall_of_their_zone() {
        let hours = [good("Europe/Vienna", WEEKDAYS, "08:00", "16:30")];
        // 2026-01-30 is a Friday; Vienna is an hour ahead.
        for (instant, is_open, next) in [
            ("2026-01-30T06:59:59.999Z", false, "2026-01-30T07:00:00Z"),
            ("2026-01-30T07:00:00Z", true, "2026-01-30T15:30:00Z"),
            ("2026-01-30T15:29:59.999Z", true, "2026-01-30T15:30:00Z"),
            ("2026-01-30T15:30:00Z", false, "2026-02-02T07:00:00Z"),
            ("2026-02-01T12:00:00Z", false, "2026-02-02T07:00:00Z"),
            // two hours ahead after the last Sunday in March
            ("2026-03-27T16:00:00Z", false, "2026-03-30T06:00:00Z"),
        ] {
            assert_eq!((open(&hours, at(instant)), next_edge(&hours, at(instant))), (is_open, at(next)), "{instant}");
        }
    }

    #[test]
    fn an_hour_that_is_left_out_is_in_no_window_and_one_that_comes_twice_is_twice() {
        // Forward on 2026-03-29: after 01:59:59 the wall in Vienna shows 03:00.
        let hidden = [good("Europe/Vienna", &["sun"], "02:00", "03:00")];
        assert_eq!(next_edge(&hidden, at("2026-03-28T12:00:00Z")), at("2026-04-05T00:00:00Z"));
        let cut = [good("Europe/Vienna", &["sun"], "02:30", "03:30")];
        assert_eq!(next_edge(&cut, at("2026-03-29T00:00:00Z")), at("2026-03-29T01:00:00Z"), "03:00 on the wall");
        assert_eq!(next_edge(&cut, at("2026-03-29T01:00:00Z")), at("2026-03-29T01:30:00Z"));
        // Back on 2026-10-25: 02:00 to 03:00 comes twice.
        let twice = [good("Europe/Vienna", &["sun"], "02:15", "02:45")];
        let mut edges = vec![at("2026-10-24T12:00:00Z")];
        for _ in 0..4 {
            edges.push(next_edge(&twice, *edges.last().expect("one")));
        }
        let expected =
            ["2026-10-24T12:00:00Z", "2026-10-25T00:15:00Z", "2026-10-25T00:45:00Z", "2026-10-25T01:15:00Z", "2026-10-25T01:45:00Z"];
        assert_eq!(edges, expected.map(at));
    }

    #[test]
    fn windows_that_meet_are_one_and_what_never_closes_is_asked_again() {
        let night = [good("UTC", &["mon"], "22:00", "24:00"), good("UTC", &["tue"], "00:00", "06:00")];
        assert_eq!(next_edge(&night, at("2026-02-02T23:00:00Z")), at("2026-02-03T06:00:00Z"));
        let always = [good("UTC", &["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "00:00", "24:00")];
        assert!(open(&always, at("2026-02-02T23:59:59.999Z")));
        assert_eq!(next_edge(&always, at("2026-02-02T00:00:00Z")), at("2026-02-17T00:00:00Z"));
        assert!(open(&[], at("2026-02-02T00:00:00Z")));
        assert_eq!(next_edge(&[], at("2026-02-02T00:00:00Z")), UnixMs::NEVER);
    }

    #[test]
    fn a_day_that_a_zone_left_out_is_in_no_window() {
        // Samoa went from Thursday, 29 December 2011, to Saturday.
        let fridays = [good("Pacific/Apia", &["fri"], "00:00", "24:00")];
        assert_eq!(next_edge(&fridays, at("2011-12-29T12:00:00Z")), at("2012-01-05T10:00:00Z"));
    }

    #[test]
    fn what_no_calendar_reaches_is_in_no_window() {
        let hours = [good("UTC", WEEKDAYS, "08:00", "16:30")];
        for beyond in [UnixMs::NEVER, UnixMs(i64::MIN)] {
            assert!(!open(&hours, beyond));
            assert_eq!(next_edge(&hours, beyond), UnixMs::NEVER);
        }
        // So near its end that no fortnight comes, and that no day comes behind it.
        assert_eq!(next_edge(&hours, at("9999-12-29T12:00:00Z")), UnixMs::NEVER);
        let always = [good("UTC", &["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "00:00", "24:00")];
        assert_eq!(next_edge(&always, at("9999-12-15T22:00:00Z")), at("9999-12-30T22:00:00Z"));
    }

    #[test]
    fn a_window_reads_as_it_is_said() {
        assert_eq!(good("Europe/Vienna", &["wed", "mon"], "08:00", "16:30").to_string(), "mon wed 08:00-16:30 Europe/Vienna");
        assert_eq!(good("UTC", &["sun"], "22:00", "24:00").to_string(), "sun 22:00-24:00 UTC");
    }

    #[test]
    fn each_thing_wrong_with_a_window_is_named() {
        for (zone, days, from, to, named) in [
            ("Europe/Wien", &["mon"][..], "08:00", "16:30", "zone"),
            ("europe/vienna", &["mon"], "08:00", "16:30", "zone"),
            ("+01:00", &["mon"], "08:00", "16:30", "zone"),
            ("CET", &["mon"], "08:00", "16:30", "zone"),
            ("Etc/Unknown", &["mon"], "08:00", "16:30", "zone"),
            ("", &["mon"], "08:00", "16:30", "zone"),
            ("UTC", &[], "08:00", "16:30", "days"),
            ("UTC", &["Mon"], "08:00", "16:30", "days"),
            ("UTC", &["mon", "mon"], "08:00", "16:30", "days"),
            ("UTC", &["mon", "tue", "wed", "thu", "fri", "sat", "sun", "mon"], "08:00", "16:30", "days"),
            ("UTC", &["mon"], "8:00", "16:30", "from"),
            ("UTC", &["mon"], "08:60", "16:30", "from"),
            ("UTC", &["mon"], "08:6", "16:30", "from"),
            ("UTC", &["mon"], "0800", "16:30", "from"),
            ("UTC", &["mon"], "24:00", "24:00", "from"),
            ("UTC", &["mon"], "08:00", "16", "to"),
            ("UTC", &["mon"], "08:00", "08:00", "to"),
            ("UTC", &["mon"], "22:00", "06:00", "to"),
        ] {
            let refusal = window(zone, days, from, to).expect_err(named);
            assert!(matches!(&refusal, RecordRefusal::BadMember { member, .. } if *member == format!("windows[0].{named}")), "{refusal}");
        }
        assert!(
            serde_json::from_value::<WindowDocument>(json!({"zone": "UTC", "days": ["mon"], "from": "08:00", "to": "09:00", "but": 1}))
                .is_err()
        );
    }

    fn drawn() -> impl Strategy<Value = Vec<Window>> {
        let zone = prop::sample::select(vec![
            "UTC",
            "Europe/Vienna",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Africa/Casablanca",
        ]);
        let window = (zone, 1u8..128, 0i8..24, 0i8..60, 1i8..=24).prop_map(|(zone, days, hour, minute, length)| {
            let listed: Vec<&str> = WEEK.into_iter().enumerate().filter(|(i, _)| days >> i & 1 == 1).map(|(_, day)| day).collect();
            let end = hour + length;
            let to = if end >= 24 { MIDNIGHT.to_owned() } else { format!("{end:02}:{minute:02}") };
            good(zone, &listed, &format!("{hour:02}:{minute:02}"), &to)
        });
        prop::collection::vec(window, 1..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Minute by minute, around the days on which clocks are set, nothing changes before the edge, and at it something does.
        #[test]
        fn an_edge_is_the_next_minute_at_which_something_changes(
            windows in drawn(),
            month in prop::sample::select(vec!["2026-03-27", "2026-03-07", "2026-10-23", "2026-10-30", "2026-04-03", "2027-02-06"]),
            minute in 0i64..4_320,
        ) {
            let start = UnixMs(at(&format!("{month}T00:00:00Z")).0 + minute * MINUTE);
            let edge = next_edge(&windows, start);
            let now = open(&windows, start);
            let horizon = start.0 + HORIZON_DAYS * 24 * 60 * MINUTE;
            let slow = (1..).map(|n| UnixMs(start.0 + n * MINUTE)).take_while(|at| at.0 < horizon).find(|at| open(&windows, *at) != now);
            prop_assert_eq!(edge, slow.unwrap_or(UnixMs(horizon)));
        }
    }
}
