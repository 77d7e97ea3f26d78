//! `twinveil report publish`: puts into the log that a report was published.

use std::path::{Path, PathBuf};

use tonic::Code;

use super::super::connect::Connection;
use super::super::demand::desk::{Unheard, hand_in};
use super::super::wallet::{load, unsigned};
use super::super::{CliError, OutputArgs, block_on, now};
use super::{desk, folder, make};
use crate::veil::consent::envelope::Envelope;
use crate::veil::name::{Did, Origin};
use crate::veil::report::document::REPORT_BYTES_MAX;
use crate::veil::report::{Publication, Report, ReportDoubt, csv, html, publication};
use crate::world::entropy;

/// Sign that a report is published, and put it into the log.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil report publish report-2026 --dir demo --wallet clerk.json

A clerk or an approver signs. The record names the period, the log and the SHA-256 of report.json; the folder keeps it in published/, \
and `twinveil report verify` finds its entry: whoever changes report.json afterwards has another report than the one in the log. Do it \
before the folder goes to where everybody reads it. Run it again where it was cut off: the same record is handed in again.")]
pub(super) struct Args {
    /// The folder of the report, as `twinveil report make` wrote it
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The wallet of a clerk or approver
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Does it.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let bytes = folder::bytes(&args.folder.join("report.json"), REPORT_BYTES_MAX)?;
    let not_read = |doubt: &ReportDoubt| CliError::found(format!("{}: {doubt}", doubt.code()));
    let report = Report::parse(&bytes).map_err(|doubt| not_read(&doubt))?;
    // What nobody could verify is not put on record.
    report.words().check().and_then(|()| report.check_risk()).map_err(|doubt| not_read(&doubt))?;
    let origin = args.connection.origin()?;
    if report.gateway != origin.to_string() {
        let theirs = super::super::plain(&report.gateway);
        return Err(CliError::broken(format!(
            "the report is of `{theirs}`, and not of `{origin}`: name its gateway with `--dir` or `--origin`"
        )));
    }
    let mut doubts = Vec::new();
    for (file, content) in [("report.csv", csv(&report)), ("report.html", html(&report))] {
        if folder::bytes(&args.folder.join(file), 4 * REPORT_BYTES_MAX)? != content.as_bytes() {
            doubts.push(ReportDoubt::NotOfReport(file));
        }
    }
    make::told(&doubts)?;
    let wallet = load(&args.wallet)?;
    let below = args.folder.join("published");
    let said = Publication::said(&report, &bytes);
    let record = match signed_before(&below, &origin, wallet.did(), &said)? {
        Some(record) => record,
        None => {
            let record = wallet.file::<Publication>(&said, &origin, now()?, &mut entropy()).map_err(|refusal| unsigned(&refusal))?;
            std::fs::create_dir_all(&below).map_err(|error| CliError::broken(format!("`{}`: {}", below.display(), error.kind())))?;
            // Before it is handed in: if the answer is lost, the same one is handed in again.
            folder::write(&below, &name(&record), &format!("{}\n", record.to_json()))?;
            record
        }
    };
    match block_on(async { Ok(hand_in(&args.connection, &record).await) })? {
        Ok(taken) => desk::tell(&taken, args.output),
        Err(unheard) => {
            if matches!(&unheard, Unheard::Refused(status) if !may_have_arrived(status.code())) {
                let _gone = std::fs::remove_file(below.join(name(&record)));
            }
            Err(unheard.into())
        }
    }
}

fn name(record: &Envelope) -> String {
    format!("{}.json", record.id())
}

/// A record of the same, by the same, that was signed before.
fn signed_before(below: &Path, origin: &Origin, author: Did, said: &serde_json::Value) -> Result<Option<Envelope>, CliError> {
    let (files, _) = folder::envelopes(below)?;
    let is_same = |envelope: &Envelope| {
        let document: Option<serde_json::Value> = serde_json::from_slice(&envelope.payload).ok();
        let member = |name: &str| document.as_ref().and_then(|document| document.get(name)).cloned();
        let head = [("gateway", origin.to_string()), ("author", author.to_string())];
        envelope.payload_type == publication::MEDIA_TYPE
            && head.into_iter().all(|(name, value)| member(name) == Some(value.into()))
            && said.as_object().is_some_and(|said| said.iter().all(|(name, value)| member(name).as_ref() == Some(value)))
    };
    Ok(files.into_iter().map(|(_, envelope)| envelope).find(is_same))
}

/// Whether somebody may have taken a record that has no good answer.
const fn may_have_arrived(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
    )
}
