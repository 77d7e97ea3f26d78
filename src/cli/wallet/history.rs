//! `twinveil wallet history`: who was handed what, each line proved against the log, and held against what was told before.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::connect::Connection;
use super::super::table::Table;
use super::super::words::word;
use super::super::{CliError, OutputArgs, complain, now, plain, say};
use super::desk::Desk;
use super::receipts::Book;
use super::{CARRIER, Speaker, hex, load};
use crate::client::exported::{Exported, NotExported};
use crate::client::history::{Flaw, Line, check, denied, is_within};
use crate::client::wallet::Voice;
use crate::proto::v1::{self, Disclosure, HistoryGap, HistoryResponse};
use crate::veil::consent::record::SignerRole;
use crate::veil::merkle::Doubt;
use crate::veil::merkle::note::VerifierKey;
use crate::veil::name::{Did, UnixMs};

/// Show who was handed how many frames of the wallet's subject, what for, and how its fields were treated.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every line is an entry of the gateway's log, which nobody can link to you who does not have the line. Each is checked here: that it is in \
the log, that none is missing between them, and that nothing is gone that was told before (kept beside the wallet, WALLET.history). Lines \
name what was decided for each field, not whether it was there. The last hour is not in the log yet.

Examples:
  twinveil wallet history --wallet patient.json --dir demo
  twinveil wallet history --wallet patient.json --dir demo --from 2026-11-01T00:00:00Z --output json
  twinveil wallet history --wallet guardian.json --dir demo --for did:key:z6Mk… --authority 0a8f…
  twinveil wallet history --exported history.ndjson --log-key log.vkey

With --exported everybody checks what somebody took along with `twinveil wallet export --history`, and asks no gateway. That a line is \
of whoever the file says, only they can say: the line itself names nobody.

Exit code 1: a line does not hold, or some are missing.")]
pub(super) struct Args {
    /// The wallet
    #[arg(long, value_name = "FILE", required_unless_present = "exported")]
    wallet: Option<PathBuf>,
    /// An exported history, instead of asking the gateway
    #[arg(long, value_name = "FILE", conflicts_with_all = ["wallet", "subject", "authority"])]
    exported: Option<PathBuf>,
    /// Show what was handed over after this instant (RFC 3339, UTC)
    #[arg(long, value_name = "INSTANT")]
    from: Option<jiff::Timestamp>,
    /// Show what was handed over before this instant
    #[arg(long, value_name = "INSTANT")]
    until: Option<jiff::Timestamp>,
    #[command(flatten)]
    speaker: Speaker,
    /// The key of the gateway's log (name+hash+key); what the wallet pinned, or DIR/log.vkey, where absent
    #[arg(long, value_name = "FILE")]
    log_key: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    /// From when until when lines are shown.
    fn time(&self) -> (Option<UnixMs>, Option<UnixMs>) {
        let at = |at: Option<jiff::Timestamp>| at.map(|at| UnixMs(at.as_millisecond()));
        (at(self.from), at(self.until))
    }

    fn shows(&self, disclosure: &Disclosure) -> bool {
        let (from, until) = self.time();
        is_within(disclosure, from, until)
    }
}

/// What was found out.
pub(super) struct Found {
    lines: Vec<Line>,
    under_way: Vec<Disclosure>,
    gaps: Vec<HistoryGap>,
    flaws: Vec<Flaw>,
    /// Of the subject's own, who is told of every place.
    whole: bool,
    /// Whose it is and of when, where it was exported.
    exported: Option<(Did, UnixMs)>,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let found = match (&args.exported, &args.wallet) {
        (Some(file), _) => read(file, args)?,
        (None, Some(wallet)) => fetched(wallet, args.speaker, args.log_key.as_deref(), &args.connection)?.0,
        (None, None) => return Err(CliError::broken("`--wallet` or `--exported` says whose history it is")),
    };
    if args.output.is_json() {
        as_json(args, &found)?
    } else {
        as_text(args, &found)?
    }
    holds(&found.flaws)
}

/// What is wrong is said, each thing in a line.
fn holds(flaws: &[Flaw]) -> Result<(), CliError> {
    flaws.iter().for_each(|flaw| complain(format_args!("twinveil: {}: {flaw}", flaw.code())));
    match flaws.len() {
        0 => Ok(()),
        count => Err(CliError::found(format!("the history does not hold: {count} things are wrong with it"))),
    }
}

/// Asks the gateway, checks every line, and keeps what is new beside the wallet.
pub(super) fn fetched(
    file: &Path,
    speaker: Speaker,
    log_key: Option<&Path>,
    connection: &Connection,
) -> Result<(Found, VerifierKey), CliError> {
    let (wallet, origin) = (load(file)?, connection.origin()?);
    let book = Book::open_with(&wallet, connection, log_key)?;
    let Some(key) = book.key() else {
        return Err(CliError::broken("the key of the gateway's log is not known: say `--log-key FILE`, or `--dir` with a log.vkey in it"));
    };
    let voice = speaker.voice(&wallet, SignerRole::Subject);
    let told = super::super::block_on(async { Desk::open(connection, Some(CARRIER)).await?.history(&wallet, &voice, &origin).await })?;
    let file = Kept::file(file, &voice);
    let kept = Kept::read(&file, key)?;
    let mut found = examine(told, &kept, key, speaker.authority().is_none());
    if let (Some(before), Some(newest)) = (book.head(), found.lines.iter().max_by_key(|line| line.receipt.head.size)) {
        let now = newest.receipt.head;
        if now.size < before.size || (now.size == before.size && now.root != before.root) {
            found.flaws.push(Flaw::Unproved(newest.record, Doubt::Forked));
        }
    }
    Kept::add(&file, &kept, &found.lines)?;
    Ok((found, key.clone()))
}

/// What somebody took along.
fn read(file: &Path, args: &Args) -> Result<Found, CliError> {
    let key = super::super::log_key(&args.log_key.clone().unwrap_or_else(|| args.connection.dir.join("log.vkey")))?;
    let read = Exported::read(&super::super::read_text(file)?, &key);
    let (exported, flaws) = read.map_err(|error| match error {
        NotExported::NoHead => CliError::broken(format!("`{}` is {error}", file.display())),
        NotExported::OtherLog(_) => CliError::found(format!("`{}` is {}", file.display(), plain(&error.to_string()))),
    })?;
    let gaps = exported.gaps.iter().map(|(from, until)| HistoryGap { from_ms: from.0, until_ms: until.0 }).collect();
    let of = Some((exported.subject, exported.made));
    Ok(Found { lines: exported.lines, under_way: Vec::new(), gaps, flaws, whole: exported.whole, exported: of })
}

/// As it is taken along: all that is in the log, where all of it holds.
pub(super) fn exported(found: Found, subject: Did, log: &VerifierKey) -> Result<String, CliError> {
    holds(&found.flaws)?;
    let gaps = found.gaps.iter().map(|gap| (UnixMs(gap.from_ms), UnixMs(gap.until_ms))).collect();
    let mut lines = found.lines;
    lines.sort_by_key(|line| line.receipt.entry());
    Ok(Exported { subject, made: now()?, whole: found.whole, gaps, lines }.to_text(log))
}

fn examine(told: HistoryResponse, kept: &Kept, key: &VerifierKey, own: bool) -> Found {
    let (mut lines, mut flaws) = (Vec::new(), kept.flaws.clone());
    for disclosed in &told.disclosed {
        match Line::read(disclosed, key) {
            Ok(line) => lines.push(line),
            Err(flaw) => flaws.push(flaw),
        }
    }
    flaws.extend(check(&lines, own));
    // A delegate's scope may have become narrower; a subject is told of everything for good.
    if own {
        flaws.extend(denied(&kept.lines, &lines));
    }
    Found { lines, under_way: told.under_way, gaps: told.gaps, flaws, whole: own, exported: None }
}

/// What was told before, in a file beside the wallet: one line each, which is only ever added to.
struct Kept {
    lines: Vec<Line>,
    flaws: Vec<Flaw>,
}

impl Kept {
    /// A delegate keeps those of each subject apart.
    fn file(wallet: &Path, voice: &Voice) -> PathBuf {
        let mut name = wallet.as_os_str().to_owned();
        match voice.role {
            SignerRole::Delegate(_) => name.push(format!(".{}.history", hex(&voice.subject.0[..4]))),
            _ => name.push(".history"),
        }
        name.into()
    }

    fn read(file: &Path, key: &VerifierKey) -> Result<Self, CliError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(CliError::broken(format!("`{}`: {}", file.display(), error.kind()))),
        };
        let (mut lines, mut flaws) = (Vec::new(), Vec::new());
        for line in text.lines() {
            match Line::parse_json(line, key) {
                Ok(line) => lines.push(line),
                Err(flaw) => flaws.push(flaw),
            }
        }
        Ok(Self { lines, flaws })
    }

    fn add(file: &Path, kept: &Self, lines: &[Line]) -> Result<(), CliError> {
        let known: std::collections::BTreeSet<_> = kept.lines.iter().map(|line| line.record).collect();
        let new: String = lines.iter().filter(|line| !known.contains(&line.record)).map(|line| line.to_json() + "\n").collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(file).and_then(|mut file| file.write_all(new.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|error| CliError::broken(format!("`{}`: {}", file.display(), error.kind())))
    }
}

/// The last line: how far this is all there is. Of what was exported that is what its lines prove, and not what its first line says.
fn completeness(found: &Found) -> String {
    if !found.flaws.is_empty() {
        return "This does not hold: whether it is complete can't be told.".to_owned();
    }
    let gaps = match found.gaps.len() {
        0 => "",
        _ => ", and for the gaps above, in which the gateway did not stop in good order",
    };
    let but = format!("but for what an order forbids to show yet{gaps}");
    let scope = "This is what the delegation's scope shows: whether lines are missing, only the subject can see.";
    match (found.exported, found.whole) {
        (None, true) => format!("This is complete {but}."),
        (None, false) => format!("{scope} It is complete {but}."),
        (Some((subject, made)), true) => format!(
            "No line is missing before the last one, nor before the last one of a legal demand that is shown, {but}. That these were \
             the last ones until {made}, and that all of it is of {subject}, whoever exported it says."
        ),
        (Some((subject, made)), false) => {
            format!("{scope} That it is all of that until {made} {but}, and of {subject}, whoever exported it says.")
        }
    }
}

fn as_text(args: &Args, found: &Found) -> Result<(), CliError> {
    let mut table = Table::new(&["from", "until", "who", "what for", "frames", "of", "fields", "under", "in the log"]);
    let mut push = |disclosure: &Disclosure, entry: &str| {
        table.push([
            &UnixMs(disclosure.from_ms),
            &UnixMs(disclosure.until_ms),
            &plain(&disclosure.recipient),
            &plain(&disclosure.purpose),
            &frames(disclosure),
            &plain(&disclosure.schema),
            &classes(disclosure).join("\n"),
            &under(disclosure).join("\n"),
            &entry,
        ]);
    };
    let mut lines: Vec<&Line> = found.lines.iter().filter(|line| args.shows(&line.disclosure)).collect();
    lines.sort_by_key(|line| (line.disclosure.from_ms, line.receipt.entry()));
    lines.iter().for_each(|line| push(&line.disclosure, &format!("entry {}", line.receipt.entry())));
    found.under_way.iter().filter(|open| args.shows(open)).for_each(|open| push(open, "not yet"));
    if table.is_empty() {
        say("nothing was handed over")?;
    } else {
        say(table)?;
    }
    for gap in found.gaps.iter().filter(|gap| within(args, gap)) {
        say(format_args!("gap from {} until {}: what was handed over may be missing", UnixMs(gap.from_ms), UnixMs(gap.until_ms)))?;
    }
    say(completeness(found))
}

fn as_json(args: &Args, found: &Found) -> Result<(), CliError> {
    let mut lines: Vec<&Line> = found.lines.iter().filter(|line| args.shows(&line.disclosure)).collect();
    lines.sort_by_key(|line| (line.disclosure.from_ms, line.receipt.entry()));
    let logged = lines.iter().map(|line| {
        let mut told = told(&line.disclosure);
        told["id"] = json!(line.record.to_string());
        told["entry"] = json!(line.receipt.entry());
        told
    });
    let under_way = found.under_way.iter().filter(|open| args.shows(open)).map(told);
    let gaps = found.gaps.iter().filter(|gap| within(args, gap));
    say(json!({
        "disclosed": logged.collect::<Vec<_>>(),
        "under_way": under_way.collect::<Vec<_>>(),
        "gaps": gaps.map(|gap| json!({"from": UnixMs(gap.from_ms).to_string(), "until": UnixMs(gap.until_ms).to_string()})).collect::<Vec<_>>(),
        "flaws": found.flaws.iter().map(|flaw| json!({"code": flaw.code(), "what": flaw.to_string()})).collect::<Vec<_>>(),
        "completeness": completeness(found),
    }))
}

fn within(args: &Args, gap: &HistoryGap) -> bool {
    let (from, until) = args.time();
    from.is_none_or(|from| gap.until_ms >= from.0) && until.is_none_or(|until| gap.from_ms < until.0)
}

fn told(disclosure: &Disclosure) -> Value {
    let field = |field: &v1::DisclosedField| {
        json!({"path": plain(&field.path), "treatment": word(field.treatment().as_str_name()), "category": word(field.category().as_str_name()),
               "sensitivity": word(field.sensitivity().as_str_name())})
    };
    json!({
        "from": UnixMs(disclosure.from_ms).to_string(), "until": UnixMs(disclosure.until_ms).to_string(),
        "recipient": plain(&disclosure.recipient), "purpose": plain(&disclosure.purpose), "schema": plain(&disclosure.schema),
        "frames": disclosure.frames, "at_least": disclosure.at_least,
        "fields": disclosure.fields.iter().map(field).collect::<Vec<_>>(),
        "records": disclosure.records.iter().map(|record| hex(record)).collect::<Vec<_>>(),
        "demand": if disclosure.warrant.is_empty() { Value::Null } else { json!(hex(&disclosure.warrant)) },
    })
}

fn frames(disclosure: &Disclosure) -> String {
    if disclosure.at_least { format!("{} or more", disclosure.frames) } else { disclosure.frames.to_string() }
}

/// Kinds of data, and how their fields are treated.
fn classes(disclosure: &Disclosure) -> Vec<String> {
    let mut classes: BTreeMap<(String, i32), usize> = BTreeMap::new();
    for field in &disclosure.fields {
        *classes.entry((word(field.category().as_str_name()), field.treatment)).or_default() += 1;
    }
    let class = |((category, treatment), count): (&(String, i32), &usize)| {
        let treatment = v1::Treatment::try_from(*treatment).map_or("?".to_owned(), |treatment| word(treatment.as_str_name()));
        format!("{category} {treatment} ({count})")
    };
    classes.iter().map(class).collect()
}

fn under(disclosure: &Disclosure) -> Vec<String> {
    let short = |id: &[u8]| hex(id.get(..6).unwrap_or(id));
    let demand = (!disclosure.warrant.is_empty()).then(|| format!("demand {}", short(&disclosure.warrant)));
    demand.into_iter().chain(disclosure.records.iter().map(|record| short(record))).collect()
}
