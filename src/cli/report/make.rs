//! `twinveil report make`.

use std::path::{Path, PathBuf};

use super::super::{CliError, complain, log_key, now, read_text, say};
use super::{WholeLog, folder, hour};
use crate::veil::consent::envelope::Envelope;
use crate::veil::demand::Period;
use crate::veil::name::{Origin, UnixMs};
use crate::veil::report::{Entries, Evidence, Ground, Making, Report, ReportDoubt, Words, csv, html};

/// Make a transparency report of a period.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil report make --from 2026-01-01 --until 2027-01-01 --log demo/log --vkey demo/log.vkey \\
      --disclosed cases --register register.json --persons persons.json --words report.toml --out report-2026

The folder gets report.html, report.json, report.csv, register.json and the records in disclosed/ and statements/. Publish all of it. \
A record that does not hold, a demand under a gag, or a statement that is in the log and not here, and nothing is written. A period is \
reported once: of two reports of one period the difference could tell how many persons a single demand names.

Exit code 1: something does not hold.")]
pub(super) struct Args {
    /// From this day on, at its beginning in UTC, or RFC 3339
    #[arg(long, value_name = "DAY", value_parser = hour)]
    from: UnixMs,
    /// Until the beginning of this day
    #[arg(long, value_name = "DAY", value_parser = hour)]
    until: UnixMs,
    /// The log: a folder, or where a gateway serves it
    #[arg(long, value_name = "DIR|URL", default_value = "log")]
    log: String,
    /// The log's key (name+hash+key)
    #[arg(long, value_name = "FILE", default_value = "log.vkey")]
    vkey: PathBuf,
    /// A folder with the records of demands that may be shown, one DSSE envelope a file (*.json)
    #[arg(long, value_name = "DIR")]
    disclosed: PathBuf,
    /// A folder with the operator's statements, of whatever time
    #[arg(long, value_name = "DIR")]
    statements: Option<PathBuf>,
    /// Whose keys are whose: {"persons": [{"keys": ["did:key:…"], "roles": ["clerk", …]}, …]}
    #[arg(long, value_name = "FILE")]
    register: PathBuf,
    /// How many persons each demand names: {"demand id": number, …}; where one is missing, persons are not counted
    #[arg(long, value_name = "FILE")]
    persons: Option<PathBuf>,
    /// What the operator says of itself, TOML: [operator], [process], [[objective]]
    #[arg(long, value_name = "FILE")]
    words: PathBuf,
    /// A folder that is new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// What does not hold, line by line.
pub(super) fn told(doubts: &[ReportDoubt]) -> Result<(), CliError> {
    for doubt in doubts {
        complain(format_args!("{}: {doubt}", doubt.code()));
    }
    match doubts.len() {
        0 => Ok(()),
        1 => Err(CliError::found("1 thing does not hold")),
        many => Err(CliError::found(format!("{many} things do not hold"))),
    }
}

/// Makes it.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    if args.until <= args.from {
        return Err(CliError::broken("--until is not after --from"));
    }
    let words = Words::parse(&read_text(&args.words)?)
        .map_err(|doubt| CliError::broken(format!("{}: `{}`: {doubt}", doubt.code(), args.words.display())))?;
    let key = log_key(&args.vkey)?;
    let register = folder::RegisterFile::read(&args.register, key.key())?;
    let persons = args.persons.as_deref().map(folder::persons).transpose()?;
    let (mut files, mut doubts) = read(&args.disclosed)?;
    if let Some(statements) = &args.statements {
        let (more, wrong) = read(statements)?;
        files.extend(more);
        doubts.extend(wrong);
    }
    folder::fresh(&args.out)?;
    let log = WholeLog::read(&args.log, &key)?;
    let mut entries = Entries::new(log.head);
    log.leaves.iter().for_each(|(number, leaf)| entries.push(*number, leaf));
    let gateway = Origin::new(key.name());
    let period = Period { from: args.from, until: args.until };
    let made = UnixMs(now()?.0 / 1_000 * 1_000);
    let ground = Ground { gateway: &gateway, register: &register, entries: &entries, period, made };
    let evidence = Evidence::gather(&ground, &files);
    doubts.extend(evidence.doubts.iter().cloned());
    told(&doubts)?;
    let report = Report::count(&Making { ground, log: &key, words: &words, persons: persons.as_ref() }, &evidence);
    write(&args.out, &report, &folder::RegisterFile::of(&register), &files, &evidence)?;
    say(format_args!(
        "{}: {} demands, {} statements, counted from {} entries of `{}`",
        args.out.display(),
        report.demands.len(),
        report.statements.len(),
        log.head.size,
        super::super::plain(&log.place)
    ))
}

fn read(from: &Path) -> Result<(Vec<(String, Envelope)>, Vec<ReportDoubt>), CliError> {
    if !from.is_dir() {
        return Err(CliError::broken(format!("`{}` is no folder", from.display())));
    }
    folder::envelopes(from)
}

/// The report's own record of a period holds what it counts: records of other periods stay where they were published.
fn write(
    out: &Path,
    report: &Report,
    register: &folder::RegisterFile,
    files: &[(String, Envelope)],
    evidence: &Evidence,
) -> Result<(), CliError> {
    for below in ["disclosed", "statements"] {
        folder::fresh(&out.join(below))?;
    }
    let stated = |id| evidence.stated.iter().any(|stated| stated.id == id);
    let mut written = std::collections::BTreeSet::new();
    for (_, envelope) in files.iter().filter(|(_, envelope)| evidence.holds(envelope.id())) {
        if written.insert(envelope.id()) {
            let below = if stated(envelope.id()) { "statements" } else { "disclosed" };
            folder::write(&out.join(below), &format!("{}.json", envelope.id()), &format!("{}\n", envelope.to_json()))?;
        }
    }
    folder::write(out, "register.json", &register.to_json())?;
    folder::write(out, "report.csv", &csv(report))?;
    folder::write(out, "report.html", &html(report))?;
    // Last: a folder with it is whole.
    folder::write(out, "report.json", &report.to_json())
}
