//! A history that somebody takes along: lines of text, the first of which says what it is, and each other is a disclosure with all that
//! proves it. Whoever has the log's key checks it, and asks nobody.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::history::{Flaw, Line, check};
use crate::veil::merkle::note::VerifierKey;
use crate::veil::name::{Did, UnixMs};

/// The form, in the first line.
pub const FORMAT: &str = "twinveil-history/v1";

/// A history, and until when it goes.
#[derive(Clone, Debug)]
pub struct Exported {
    /// Whose it is, as whoever exported it says: no line names them.
    pub subject: Did,
    /// When the gateway was asked.
    pub made: UnixMs,
    /// Of the subject's own, so that it shows where a line is missing; else what a delegate was shown.
    pub whole: bool,
    /// From when until when something may be missing, as the gateway had not stopped in good order.
    pub gaps: Vec<(UnixMs, UnixMs)>,
    /// What was disclosed.
    pub lines: Vec<Line>,
}

/// Why a text is no exported history of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotExported {
    /// Its first line is none.
    NoHead,
    /// It is of a log of this name, or of this name and another key.
    OtherLog(String),
}

impl fmt::Display for NotExported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHead => write!(f, "no exported history: its first line does not say `{FORMAT}`"),
            Self::OtherLog(name) => write!(f, "a history of the log `{name}` under another key: find out which key is right"),
        }
    }
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadDocument {
    format: String,
    log: String,
    subject: String,
    made: String,
    whole: bool,
    gaps: Vec<GapDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GapDocument {
    from: String,
    until: String,
}

impl Exported {
    /// As it stands in a file.
    pub fn to_text(&self, log: &VerifierKey) -> String {
        let gap = |(from, until): &(UnixMs, UnixMs)| GapDocument { from: from.to_string(), until: until.to_string() };
        let head = HeadDocument {
            format: FORMAT.to_owned(),
            log: log.to_string(),
            subject: self.subject.to_string(),
            made: self.made.to_string(),
            whole: self.whole,
            gaps: self.gaps.iter().map(gap).collect(),
        };
        let mut text = serde_json::to_string(&head).unwrap_or_default() + "\n";
        self.lines.iter().for_each(|line| text += &(line.to_json() + "\n"));
        text
    }

    /// Reads it, and checks every line against what `log` signed, and all against each other. What does not hold is beside it.
    pub fn read(text: &str, log: &VerifierKey) -> Result<(Self, Vec<Flaw>), NotExported> {
        let mut written = text.lines();
        let head: HeadDocument = written.next().and_then(|head| serde_json::from_str(head).ok()).ok_or(NotExported::NoHead)?;
        let of = VerifierKey::parse(&head.log).map_err(|_| NotExported::NoHead)?;
        if head.format != FORMAT {
            return Err(NotExported::NoHead);
        }
        if of != *log {
            return Err(NotExported::OtherLog(of.name().to_owned()));
        }
        let gap = |gap: &GapDocument| Ok((instant(&gap.from)?, instant(&gap.until)?));
        let gaps = head.gaps.iter().map(gap).collect::<Result<_, _>>()?;
        let subject = Did::parse(&head.subject).map_err(|_| NotExported::NoHead)?;
        let (mut lines, mut flaws) = (Vec::new(), Vec::new());
        for line in written {
            match Line::parse_json(line, log) {
                Ok(line) => lines.push(line),
                Err(flaw) => flaws.push(flaw),
            }
        }
        flaws.extend(check(&lines, head.whole));
        Ok((Self { subject, made: instant(&head.made)?, whole: head.whole, gaps, lines }, flaws))
    }
}

fn instant(text: &str) -> Result<UnixMs, NotExported> {
    text.parse::<jiff::Timestamp>().map(|at| UnixMs(at.as_millisecond())).map_err(|_| NotExported::NoHead)
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::history;
    use super::*;
    use crate::veil::crypto::secret::Secret;
    use crate::veil::crypto::sign::SignKey;

    fn exported(whole: bool) -> (Exported, VerifierKey) {
        let (told, log) = history(3);
        let lines = told.iter().map(|told| Line::read(told, &log).expect("in the log")).collect();
        let subject = SignKey::from_seed(&Secret::take(&mut [1; 32])).did();
        (Exported { subject, made: UnixMs(9_000), whole, gaps: vec![(UnixMs(1_000), UnixMs(2_000))], lines }, log)
    }

    #[test]
    fn what_is_taken_along_reads_back_and_each_line_still_holds() {
        let (taken, log) = exported(true);
        let text = taken.to_text(&log);
        assert_eq!(text.lines().count(), 1 + taken.lines.len());
        let (read, flaws) = Exported::read(&text, &log).expect("as it was written");
        assert_eq!(flaws, []);
        assert_eq!((read.subject, read.made, read.whole, &read.gaps), (taken.subject, taken.made, true, &taken.gaps));
        let records = |all: &Exported| all.lines.iter().map(|line| line.record).collect::<Vec<_>>();
        assert_eq!((records(&read), read.to_text(&log)), (records(&taken), text));
    }

    #[test]
    fn a_line_that_is_left_out_bent_or_added_shows() {
        let (taken, log) = exported(true);
        let text = taken.to_text(&log);
        let lines: Vec<&str> = text.lines().collect();
        for gone in 1..lines.len() - 1 {
            let fewer: Vec<_> = lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| *line).collect();
            let (_, flaws) = Exported::read(&fewer.join("\n"), &log).expect("a head");
            // The last of a row leaves no hole behind it: what is newer than what somebody took along is always missing.
            assert!(gone >= 3 || flaws.iter().any(|flaw| matches!(flaw, Flaw::Missing { .. })), "line {gone}: {flaws:?}");
        }
        let mut bent = lines.clone();
        let other = bent[1].replacen("\"salt\":\"", "\"salt\":\"A", 1);
        bent[1] = &other;
        assert_eq!(Exported::read(&bent.join("\n"), &log).expect("a head").1.len(), 2, "one that does not hold, and one that is missing");
        assert!(!Exported::read(&(text.clone() + "{}\n"), &log).expect("a head").1.is_empty());
    }

    #[test]
    fn what_says_something_else_in_its_first_line_is_none() {
        let (taken, log) = exported(false);
        let text = taken.to_text(&log);
        for (from, to) in [
            (FORMAT, "twinveil-history/v2"),
            ("\"whole\":false", "\"whole\":0"),
            ("\"gaps\"", "\"holes\""),
            ("1970-01-01T00:00:09Z", "soon"),
        ] {
            let bent = text.replacen(from, to, 1);
            assert_ne!(bent, text);
            assert_eq!(Exported::read(&bent, &log).map(drop), Err(NotExported::NoHead), "{to}");
        }
        assert_eq!(Exported::read("", &log).map(drop), Err(NotExported::NoHead));
        let other = VerifierKey::new("log.example", SignKey::from_seed(&Secret::take(&mut [6; 32])).did()).expect("a name");
        assert_eq!(Exported::read(&text, &other).map(drop), Err(NotExported::OtherLog("log.example".into())));
    }
}
