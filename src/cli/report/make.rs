//! `twinveil report make`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::connect::Connection;
use super::super::{CliError, block_on, complain, log_key, now, read_text, say};
use super::{WholeLog, desk, folder, hour, risk};
use crate::config::Config;
use crate::veil::consent::envelope::Envelope;
use crate::veil::demand::{Period, Person, Register};
use crate::veil::name::{Did, Origin, UnixMs};
use crate::veil::report::publication::{self, Publications};
use crate::veil::report::{Entries, Evidence, Ground, Making, RefusalsFile, Report, ReportDoubt, Words, csv, html, statement};

/// Make a transparency report of a period.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil report make --from 2026-01-01 --until 2027-01-01 --dir demo --wallet clerk.json \\
      --words report.toml --out report-2026
  twinveil report make --from 2026-01-01 --until 2027-01-01 --dir demo --disclosed cases \\
      --register register.json --words report.toml --out report-2026

With --wallet a registered person fetches from the desk what may be shown; a clerk is also told how many persons are concerned. The \
folder gets report.html, report.json, report.csv, register.json, refusals.json and the records in disclosed/, statements/ and published/. Publish all \
of it, after `twinveil report publish` has put it into the log. \
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
    /// The wallet of a registered person, who fetches the records from the desk
    #[arg(long, value_name = "FILE", required_unless_present = "disclosed")]
    wallet: Option<PathBuf>,
    /// A folder with the records of demands that may be shown, one DSSE envelope a file (*.json), instead of the desk
    #[arg(long, value_name = "FOLDER", conflicts_with = "wallet")]
    disclosed: Option<PathBuf>,
    /// A folder with the operator's statements and the records of its reports, of whatever time, beside those of the desk
    #[arg(long, value_name = "FOLDER")]
    statements: Option<PathBuf>,
    /// What the gateway refused, as refusals.json of a report has it, instead of the desk
    #[arg(long, value_name = "FILE", conflicts_with = "wallet")]
    refusals: Option<PathBuf>,
    /// An assessment, as `twinveil risk --output json` prints it: what of it may be published goes into the report; may be repeated
    #[arg(long, value_name = "FILE")]
    risk: Vec<PathBuf>,
    /// The one before, of the same schemas, recipients and purposes: the report says what changed since; may be repeated
    #[arg(long, value_name = "FILE", requires = "risk")]
    risk_before: Vec<PathBuf>,
    /// Whose keys are whose, instead of what twinveil.toml says: {"persons": [{"keys": ["did:key:…"], "roles": ["clerk", …]}, …]}
    #[arg(long, value_name = "FILE")]
    register: Option<PathBuf>,
    /// How many persons each demand names: {"demand id": number, …}; where one is missing, persons are not counted
    #[arg(long, value_name = "FILE")]
    persons: Option<PathBuf>,
    /// What the operator says of itself, TOML: [operator], [process], [[objective]]
    #[arg(long, value_name = "FILE")]
    words: PathBuf,
    /// The log: a folder, or where a gateway serves it; DIR/log where absent
    #[arg(long, value_name = "FOLDER|URL")]
    log: Option<String>,
    /// The log's key (name+hash+key); DIR/log.vkey where absent
    #[arg(long, value_name = "FILE")]
    vkey: Option<PathBuf>,
    /// A folder that is new or empty
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    connection: Connection,
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
    let dir = &args.connection.dir;
    let key = log_key(&args.vkey.clone().unwrap_or_else(|| dir.join("log.vkey")))?;
    let register = match &args.register {
        Some(file) => folder::RegisterFile::read(file, key.key())?,
        None => configured(&dir.join("twinveil.toml"), key.key())?,
    };
    let risk = risk::read(&args.risk, &args.risk_before, key.name())?;
    let period = Period { from: args.from, until: args.until };
    let mut refusals = args.refusals.as_deref().map(folder::refusals).transpose()?.unwrap_or_default();
    let (mut files, mut doubts, mut persons) = match (&args.disclosed, &args.wallet) {
        (Some(folder), _) => read(folder).map(|(files, doubts)| (files, doubts, None))?,
        (None, Some(wallet)) => {
            let fetched = block_on(desk::fetch(&args.connection, wallet, period))?;
            complain(format_args!("demands of the period that may not be disclosed now: {}", fetched.withheld));
            refusals = RefusalsFile::of(fetched.refusals.iter().map(|one| &one.object[..]));
            (fetched.files, Vec::new(), fetched.persons)
        }
        (None, None) => return Err(CliError::broken("--wallet or --disclosed says where the records are")),
    };
    if let Some(file) = &args.persons {
        persons = Some(folder::persons(file)?);
    }
    if let Some(statements) = &args.statements {
        let (more, wrong) = read(statements)?;
        files.extend(more);
        doubts.extend(wrong);
    }
    folder::fresh(&args.out)?;
    let log = WholeLog::read(&args.log.clone().unwrap_or_else(|| dir.join("log").to_string_lossy().into_owned()), &key)?;
    let mut entries = Entries::new(log.head);
    log.leaves.iter().for_each(|(number, leaf)| entries.push(*number, leaf));
    let gateway = Origin::new(key.name());
    let published = Publications::gather((&gateway, &register, &entries), &period, None, &files);
    doubts.extend(published.doubts.iter().filter(|doubt| !matches!(doubt, ReportDoubt::NoRecord { .. })).cloned());
    let made = UnixMs(now()?.0 / 1_000 * 1_000);
    let ground = Ground { gateway: &gateway, register: &register, entries: &entries, period, made };
    let evidence = Evidence::gather(&ground, &files, &refusals);
    doubts.extend(evidence.doubts.iter().cloned());
    told(&doubts)?;
    for entry in &published.same_time {
        complain(format_args!(
            "entry {entry} of the log is a report of the same time: two of them could tell more of persons than each does"
        ));
    }
    let report = Report::count(&Making { ground, log: &key, words: &words, persons: persons.as_ref(), risk: &risk }, &evidence);
    report.check_risk().map_err(|doubt| CliError::found(format!("{}: {doubt}", doubt.code())))?;
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

/// Whose keys are whose, as the gateway's configuration says.
fn configured(file: &Path, gateway: Did) -> Result<Arc<Register>, CliError> {
    let config = Config::load(file)?;
    let persons = config.persons.iter().map(|person| Person { keys: person.keys.clone(), roles: person.roles.clone() });
    Register::new(gateway, persons.collect()).map(Arc::new).map_err(CliError::broken)
}

fn read(from: &Path) -> Result<folder::Envelopes, CliError> {
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
    for below in ["disclosed", "statements", "published"] {
        folder::fresh(&out.join(below))?;
    }
    let mut written = std::collections::BTreeSet::new();
    for (_, envelope) in files.iter().filter(|(_, envelope)| evidence.holds(envelope.id())) {
        if written.insert(envelope.id()) {
            let below = match envelope.payload_type.as_str() {
                statement::MEDIA_TYPE => "statements",
                publication::MEDIA_TYPE => "published",
                _ => "disclosed",
            };
            folder::write(&out.join(below), &format!("{}.json", envelope.id()), &format!("{}\n", envelope.to_json()))?;
        }
    }
    folder::write(out, "register.json", &register.to_json())?;
    folder::write(out, "refusals.json", &evidence.refusals().to_json())?;
    folder::write(out, "report.csv", &csv(report))?;
    folder::write(out, "report.html", &html(report))?;
    // Last: a folder with it is whole.
    folder::write(out, "report.json", &report.to_json())
}
