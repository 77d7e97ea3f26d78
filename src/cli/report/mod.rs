//! `twinveil report`: the transparency report, made and checked from the public log and the records that may be shown.

mod desk;
mod folder;
mod make;
mod publish;
mod risk;
mod state;
mod verify;

use super::CliError;
use super::web::{log_at, wrong};
use crate::log::Copy;
use crate::veil::merkle::checkpoint::Head;
use crate::veil::merkle::leaf::{Leaf, is_exact};
use crate::veil::merkle::note::VerifierKey;
use crate::veil::name::UnixMs;

/// Make a transparency report, publish it, or count one again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A report is counted from the public log and the records that may be shown, and whoever has both can count it again. It is a folder: \
report.html to publish, report.json and report.csv for programs, and the records as they were signed.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Make(Box<make::Args>),
    Verify(verify::Args),
    Publish(publish::Args),
    State(Box<state::Args>),
}

/// Runs one of them.
pub fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Make(args) => make::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::State(args) => state::run(&args),
    }
}

/// A log that was read to its end, and holds.
struct WholeLog {
    place: String,
    copy: Copy,
    head: Head,
    leaves: Vec<(u64, Leaf)>,
}

impl WholeLog {
    /// Reads a log in a folder, or over HTTP, and checks all of it.
    fn read(place: &str, key: &VerifierKey) -> Result<Self, CliError> {
        let copy = log_at(place)?;
        let wrong = |error| wrong(place, error);
        let head = copy.audit(key).map_err(wrong)?.head;
        let mut leaves = Vec::new();
        // What persons have in the log is not counted here, and need not be held.
        copy.each(&head, |number, leaf| leaves.extend(leaf.filter(|leaf| leaf.act().is_some()).map(|leaf| (number, leaf))))
            .map_err(wrong)?;
        Ok(Self { place: place.to_owned(), copy, head, leaves })
    }
}

/// An instant on the command line: a day, from its beginning in UTC, or RFC 3339. It is the beginning of an hour, as entries of the log
/// say no more.
fn hour(text: &str) -> Result<UnixMs, String> {
    let day = text.parse::<jiff::civil::Date>().ok().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|day| day.timestamp());
    let instant = if text.len() == 10 { day } else { text.parse::<jiff::Timestamp>().ok() };
    let at = instant.ok_or("not a day, such as `2026-01-31`, or an RFC 3339 time")?.as_millisecond();
    match UnixMs(at) {
        at if is_exact(at) => Ok(at),
        _ => Err("not the beginning of an hour: entries of the log say no more than the hour".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_and_ends_with_an_hour() {
        assert_eq!(hour("1970-01-02"), Ok(UnixMs(86_400_000)));
        assert_eq!(hour("1970-01-01T03:00:00+02:00"), Ok(UnixMs(3_600_000)));
        for bad in ["1970-01-01T00:30:00Z", "yesterday", "1970-13-01", "", "1970-01-01T00"] {
            assert!(hour(bad).is_err(), "{bad}");
        }
    }
}
