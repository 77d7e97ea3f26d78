//! When a row was captured.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;

use super::InputError;

/// How the cells of the time column are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Clock {
    /// An instant with its offset: `2014-01-01T01:00:00+01:00`, `2011-06-26T21:18:40Z`.
    Rfc3339,
    /// A number of units since an instant.
    Since {
        /// The instant, in milliseconds since 1970-01-01T00:00:00Z.
        base_ms: i64,
        /// How many milliseconds a unit has: 1,000 for seconds.
        unit_ms: f64,
    },
    /// A number of milliseconds since the row before.
    Gaps {
        /// The instant before the first row.
        base_ms: i64,
    },
    /// A local time in a form of strftime, such as `%m/%d/%Y %H:%M`; without a time of day, midnight.
    Local {
        /// The form.
        form: String,
        /// What the local time is ahead of UTC.
        offset: Offset,
    },
    /// Every row at the same instant: there is no time column.
    Fixed {
        /// The instant.
        at_ms: i64,
    },
}

impl Clock {
    /// From words: `rfc3339`, `seconds`, `milliseconds`, `gaps-ms`, or a strftime form with a `%` in it. `base` and `offset`
    /// are taken where the form needs them and refused where it doesn't.
    pub(super) fn parse(format: &str, base: Option<&str>, offset: Option<&str>) -> Result<Self, InputError> {
        let unused = |name: &str, value: Option<&str>| match value {
            Some(_) => Err(InputError::new(format!("time format `{format}` takes no {name}"))),
            None => Ok(()),
        };
        let needed =
            || instant(base.ok_or_else(|| InputError::new(format!("time format `{format}` needs the instant that it counts from")))?);
        if !format.contains('%') {
            unused("UTC offset", offset)?;
        }
        match format {
            "rfc3339" => unused("base", base).map(|()| Self::Rfc3339),
            "seconds" => Ok(Self::Since { base_ms: needed()?, unit_ms: 1e3 }),
            "milliseconds" => Ok(Self::Since { base_ms: needed()?, unit_ms: 1.0 }),
            "gaps-ms" => Ok(Self::Gaps { base_ms: needed()? }),
            form if form.contains('%') => {
                unused("base", base)?;
                Ok(Self::Local { form: form.to_owned(), offset: utc_offset(offset.unwrap_or("+00:00"))? })
            }
            other => Err(InputError::new(format!(
                "unknown time format `{other}`; it is `rfc3339`, `seconds`, `milliseconds`, `gaps-ms` or a form such as `%m/%d/%Y %H:%M`"
            ))),
        }
    }

    /// Reads a cell; `before_ms` is the instant of the row before.
    pub(super) fn read(&self, cell: &str, before_ms: Option<i64>) -> Result<i64, &'static str> {
        let number = || cell.trim().parse::<f64>().ok().filter(|number| number.is_finite()).ok_or("not a finite number");
        let later = |base_ms: i64, ms: f64| {
            let sum = base_ms as f64 + ms;
            if sum.abs() < 1e15 { Ok(base_ms + ms.round() as i64) } else { Err("further away than time goes") }
        };
        match self {
            Self::Rfc3339 => {
                cell.trim().parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| "not an RFC 3339 time with an offset")
            }
            Self::Since { base_ms, unit_ms } => later(*base_ms, number()? * unit_ms),
            Self::Gaps { base_ms } => later(before_ms.unwrap_or(*base_ms), number()?),
            Self::Local { form, offset } => BrokenDownTime::parse(form, cell.trim())
                .and_then(|time| time.to_datetime())
                .and_then(|local: DateTime| offset.to_timestamp(local))
                .map(Timestamp::as_millisecond)
                .map_err(|_| "not a time of the expected form"),
            Self::Fixed { at_ms } => Ok(*at_ms),
        }
    }
}

/// Reads an RFC 3339 instant to milliseconds.
pub(super) fn instant(text: &str) -> Result<i64, InputError> {
    text.parse::<Timestamp>()
        .map(Timestamp::as_millisecond)
        .map_err(|_| InputError::new(format!("`{text}` is not an RFC 3339 time, such as `2024-03-04T08:00:00Z`")))
}

/// Reads `+01:00` or `-07:00`.
fn utc_offset(text: &str) -> Result<Offset, InputError> {
    let wrong = || InputError::new(format!("`{text}` is not an offset from UTC, such as `+01:00`"));
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (None, Some(rest)) => (-1, rest),
        (None, None) => return Err(wrong()),
    };
    let (hours, minutes) = rest.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2).ok_or_else(wrong)?;
    let (hours, minutes): (i32, i32) = (hours.parse().map_err(|_| wrong())?, minutes.parse().map_err(|_| wrong())?);
    if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
        return Err(wrong());
    }
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_reads_the_same_instant() {
        let at = instant("2014-01-01T00:00:00Z").expect("instant");
        let read = |format: &str, base, offset, cell: &str| Clock::parse(format, base, offset).expect("format").read(cell, None);
        assert_eq!(read("rfc3339", None, None, "2014-01-01T01:00:00+01:00"), Ok(at));
        assert_eq!(read("seconds", Some("2013-12-31T23:00:00Z"), None, "3600.0004"), Ok(at));
        assert_eq!(read("milliseconds", Some("2013-12-31T23:59:59Z"), None, "1000"), Ok(at));
        assert_eq!(read("%m/%d/%Y %H:%M", None, Some("-07:00"), "12/31/2013 17:00"), Ok(at));
        assert_eq!(read("%m/%d/%Y %H:%M", None, None, "1/1/2014 0:00"), Ok(at));
        assert_eq!(read("%Y-%m-%d %H:%M:%S", None, None, "2014-01-01  00:00:00"), Ok(at));
        assert_eq!(read("%Y-%m-%d", None, None, "2014-01-01"), Ok(at));
    }

    #[test]
    fn gaps_add_up() {
        let clock = Clock::parse("gaps-ms", Some("1970-01-01T00:00:01Z"), None).expect("format");
        assert_eq!((clock.read("800", None), clock.read("810", Some(1_800))), (Ok(1_800), Ok(2_610)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (format, base, offset) in [
            ("secnds", None, None),
            ("seconds", None, None),
            ("seconds", Some("yesterday"), None),
            ("rfc3339", Some("2014-01-01T00:00:00Z"), None),
            ("rfc3339", None, Some("+01:00")),
            ("%Y", Some("2014-01-01T00:00:00Z"), None),
            ("%Y", None, Some("CET")),
            ("%Y", None, Some("+1:00")),
            ("%Y", None, Some("+15:00")),
        ] {
            assert!(Clock::parse(format, base, offset).is_err(), "{format} {base:?} {offset:?}");
        }
        let since = Clock::Since { base_ms: 0, unit_ms: 1e3 };
        for cell in ["", "x", "NaN", "1e300", "-1e15"] {
            assert!(since.read(cell, None).is_err(), "{cell}");
        }
        assert!(Clock::Rfc3339.read("2014-01-01T01:00:00", None).is_err());
        assert!(Clock::Local { form: "%Y-%m-%d".into(), offset: Offset::UTC }.read("2014-02-30", None).is_err());
    }
}
