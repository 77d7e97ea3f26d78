//! `twinveil report verify`.

use std::path::PathBuf;

use serde_json::json;

use super::super::web::wrong;
use super::super::{CliError, OutputArgs, log_key, say};
use super::make::told;
use super::{WholeLog, folder};
use crate::veil::name::Origin;
use crate::veil::report::document::REPORT_BYTES_MAX;
use crate::veil::report::publication::Publications;
use crate::veil::report::{Entries, Evidence, Ground, Making, Report, ReportDoubt, compare, csv, html};

/// Count a report again, from the log and the records beside it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil report verify report-2026 --log http://127.0.0.1:7444 --vkey log.vkey

The whole log is read and must add up to its signed root, and go on from the one that the report was counted from. Every record must \
be signed, by whom its kind asks for, and be in the log; every figure must be what is counted, but those of persons, which nobody \
outside can count: they are held to the rules of what may be shown, and must add up. report.csv and report.html must say what \
report.json says.

Exit code 1: something differs; every difference is a line.")]
pub(super) struct Args {
    /// The folder of the report
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The log: a folder, or where a gateway serves it
    #[arg(long, value_name = "DIR|URL")]
    log: String,
    /// The log's key (name+hash+key)
    #[arg(long, value_name = "FILE")]
    vkey: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// Counts again.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let key = log_key(&args.vkey)?;
    let bytes = folder::bytes(&args.dir.join("report.json"), REPORT_BYTES_MAX)?;
    let not_read = |doubt: ReportDoubt| CliError::found(format!("{}: {doubt}", doubt.code()));
    let said = Report::parse(&bytes).map_err(not_read)?;
    let no_instant = || not_read(ReportDoubt::NoReport("a time or root in it is none".into()));
    let (period, made, head) =
        (said.period().ok_or_else(no_instant)?, said.made().ok_or_else(no_instant)?, said.head().ok_or_else(no_instant)?);
    said.words().check().map_err(not_read)?;
    said.check_risk().map_err(not_read)?;
    if said.log.key != key.to_string() {
        return Err(not_read(ReportDoubt::OtherLog));
    }
    let log = WholeLog::read(&args.log, &key)?;
    if let Err(error) = log.copy.extends(&head, &log.head) {
        return match error {
            crate::log::ReadError::Doubt(_) => Err(not_read(ReportDoubt::OtherLog)),
            io => Err(wrong(&args.log, io)),
        };
    }
    let mut entries = Entries::new(head);
    log.leaves.iter().for_each(|(number, leaf)| entries.push(*number, leaf));
    let register = folder::RegisterFile::read(&args.dir.join("register.json"), key.key())?;
    let (mut files, mut doubts) = folder::envelopes(&args.dir.join("disclosed"))?;
    for below in ["statements", "published"] {
        let (more, wrong) = folder::envelopes(&args.dir.join(below))?;
        files.extend(more);
        doubts.extend(wrong);
    }
    let gateway = Origin::new(key.name());
    // The record of a report stands behind the log that the report was counted from.
    let mut whole = Entries::new(log.head);
    log.leaves.iter().for_each(|(number, leaf)| whole.push(*number, leaf));
    let published = Publications::gather((&gateway, &register, &whole), &period, Some((&said, &bytes)), &files);
    doubts.extend(published.doubts.iter().filter(|doubt| !matches!(doubt, ReportDoubt::NoRecord { .. })).cloned());
    let ground = Ground { gateway: &gateway, register: &register, entries: &entries, period, made };
    let evidence = Evidence::gather(&ground, &files, &folder::refusals(&args.dir.join("refusals.json"))?);
    doubts.extend(evidence.doubts.iter().cloned());
    let counted = Report::count(&Making { ground, log: &key, words: &said.words(), persons: None, risk: &said.risk }, &evidence);
    doubts.extend(compare(&said, &counted));
    for (file, content) in [("report.csv", csv(&said)), ("report.html", html(&said))] {
        if folder::bytes(&args.dir.join(file), 4 * REPORT_BYTES_MAX)? != content.as_bytes() {
            doubts.push(ReportDoubt::NotOfReport(file));
        }
    }
    told(&doubts)?;
    let figures: usize = said.tables.iter().map(|table| table.rows.iter().map(|row| row.figures.len()).sum::<usize>()).sum();
    if args.output.is_json() {
        return say(json!({
            "log": key.name(), "size": head.size, "figures": figures, "demands": said.demands.len(), "statements": said.statements.len(),
            "records": files.len(), "report_entry": published.own, "same_time": published.same_time, "unknown_reports": published.unknown,
            "vouched_for": {"by": "operator", "assessments": said.risk.len()},
        }));
    }
    let own =
        published.own.map_or("the report itself is not in the log".to_owned(), |number| format!("the report itself is entry {number}"));
    say(format_args!(
        "ok {figures} figures of {} demands and {} records, up to entry {}; {own}",
        said.demands.len(),
        files.len(),
        head.size
    ))?;
    if !said.risk.is_empty() {
        say(format_args!(
            "the operator vouches for {} of risks: whoever has no configuration can't make them again",
            assessments(said.risk.len())
        ))?;
    }
    for entry in &published.same_time {
        say(format_args!("entry {entry} is another report of the same time"))?;
    }
    for entry in &published.unknown {
        say(format_args!("entry {entry} is another report, and its record is not here: of when it is, the log does not say"))?;
    }
    Ok(())
}

fn assessments(many: usize) -> String {
    if many == 1 { "1 assessment".to_owned() } else { format!("{many} assessments") }
}
