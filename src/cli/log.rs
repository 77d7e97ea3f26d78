//! `twinveil log`: a gateway's transparency log as anybody may look at it: a folder, a copy of one, or what a gateway serves, and the
//! log's key.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::table::Table;
use super::{CliError, OutputArgs, log_key, say, web};
use crate::log::{Copy, ReadError};
use crate::veil::crypto::hash::sha256;
use crate::veil::merkle::Doubt;
use crate::veil::merkle::checkpoint::{Checkpoint, Head};
use crate::veil::merkle::leaf::{Act, Leaf, Salt};
use crate::veil::merkle::note::VerifierKey;
use crate::veil::merkle::receipt::{LogProof, PROOF_BYTES_MAX};
use crate::veil::name::RecordId;

/// Look into a gateway's log, prove entries, audit all of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The log is a folder in the layout of C2SP tlog-tiles, the gateway's own or a copy of it, or the address where a gateway serves it \
over HTTP. All that is asked of anybody is the log itself, and no key of the gateway's is needed but the public one.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Checkpoint(CheckpointArgs),
    Prove(ProveArgs),
    Verify(VerifyArgs),
    List(ListArgs),
}

/// Where a log is, and whose.
#[derive(Debug, clap::Args)]
struct Place {
    /// The folder with the log's checkpoint and tile/, or where a gateway serves it
    #[arg(long, value_name = "DIR|URL", default_value = "log")]
    dir: String,
    /// The log's key (name+hash+key); log.vkey beside the folder where absent
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Print the newest checkpoint, after its signature was verified.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil log checkpoint --dir demo/log
  twinveil log checkpoint --dir demo/log > yesterday.checkpoint

Kept, it shows later whether the log was changed: `twinveil log verify --older yesterday.checkpoint`.")]
struct CheckpointArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prove that an entry is in the log.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil log prove --dir demo/log --entry 0
  twinveil log prove --dir demo/log --act policy=demo/policy.cedar

It prints a C2SP tlog-proof with the entry in it (`extra`), which `twinveil log verify` and others check offline.")]
struct ProveArgs {
    #[command(flatten)]
    place: Place,
    /// The number of the entry, from 0
    #[arg(long, value_name = "NUMBER", required_unless_present = "act")]
    entry: Option<u64>,
    /// The newest entry that says this file came into force: policy=FILE
    #[arg(long, value_name = "ACT=FILE", conflicts_with = "entry", value_parser = act)]
    act: Option<(Act, PathBuf)>,
}

/// Check all of a log, or proofs of its entries.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil log verify --dir demo/log
  twinveil log verify --dir http://127.0.0.1:7444 --key log.vkey --older yesterday.checkpoint
  twinveil log verify --key demo/log.vkey one.tlog-proof two.tlog-proof

Without proofs every entry and every tile is read, and must add up to the signed root. With proofs the log is not looked at.

Exit code 1: something does not hold.")]
struct VerifyArgs {
    /// Proofs of entries, C2SP tlog-proof with the entry in it
    #[arg(value_name = "PROOF")]
    proofs: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// A checkpoint from before, which the log must go on from
    #[arg(long, value_name = "FILE", conflicts_with = "proofs")]
    older: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// List what institutions did, by kind and hour.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil log list --dir demo/log
  twinveil log list --dir demo/log --kind policy --output json
  twinveil log list --dir http://127.0.0.1:7444 --key log.vkey

All of the log is checked first. Entries about persons show their hour and nothing else: they are only counted.

Exit code 1: the log does not hold.")]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Only these: policy, schema, key, demand, stage, decision, notice, challenge, release, report, refusals or statement
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<Act>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs one of them.
pub fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Checkpoint(args) => checkpoint(&args),
        Command::Prove(args) => prove(&args),
        Command::Verify(args) => verify(&args),
        Command::List(args) => list(&args),
    }
}

impl Place {
    fn key(&self) -> Result<VerifierKey, CliError> {
        match &self.key {
            Some(file) => log_key(file),
            // Who serves a log is not to be asked whose it is.
            None if web::is_address(&self.dir) => Err(CliError::broken("say whose log it is: `--key FILE`")),
            None => log_key(&Path::new(&self.dir).parent().unwrap_or(Path::new("")).join("log.vkey")),
        }
    }

    fn copy(&self) -> Result<Copy, CliError> {
        web::log_at(&self.dir)
    }

    fn wrong(&self, error: ReadError) -> CliError {
        web::wrong(&self.dir, error)
    }
}

fn checkpoint(args: &CheckpointArgs) -> Result<(), CliError> {
    let (key, copy) = (args.place.key()?, args.place.copy()?);
    let head = copy.head(&key).map_err(|error| args.place.wrong(error))?;
    if args.output.is_json() {
        return say(json!({"log": key.name(), "size": head.size, "root": head.root.to_string()}));
    }
    let note = copy.checkpoint().map_err(|error| args.place.wrong(error))?.to_string();
    say(note.trim_end_matches('\n'))
}

fn prove(args: &ProveArgs) -> Result<(), CliError> {
    let (key, copy) = (args.place.key()?, args.place.copy()?);
    let wrong = |error| args.place.wrong(error);
    let entry = match (&args.act, args.entry) {
        (Some((act, file)), _) => {
            let bytes = std::fs::read(file).map_err(|error| CliError::broken(format!("`{}`: {}", file.display(), error.kind())))?;
            let object = RecordId(sha256(&[&bytes]));
            let head = copy.head(&key).map_err(wrong)?;
            let found = copy.find(&head, |leaf| leaf.is_of(*act, &Salt::OPEN, &object)).map_err(wrong)?;
            found.ok_or_else(|| CliError::found(format!("the log has no entry about `{}`: it was never in force", file.display())))?
        }
        (None, entry) => entry.unwrap_or_default(),
    };
    let proof = copy.prove(entry, &key).map_err(wrong)?.to_string();
    say(proof.trim_end_matches('\n'))
}

fn verify(args: &VerifyArgs) -> Result<(), CliError> {
    let key = args.place.key()?;
    if !args.proofs.is_empty() {
        return args.proofs.iter().try_for_each(|file| verify_proof(file, &key, args.output));
    }
    let copy = args.place.copy()?;
    let older = args.older.as_deref().map(|file| older(file, &key)).transpose()?;
    let audit = copy.audit(&key).map_err(|error| args.place.wrong(error))?;
    if let Some(older) = &older {
        copy.extends(older, &audit.head).map_err(|error| args.place.wrong(error))?;
    }
    if args.output.is_json() {
        return say(json!({
            "log": key.name(), "size": audit.head.size, "root": audit.head.root.to_string(), "personal": audit.personal,
            "institutional": audit.institutional, "older": older.map(|older| older.size),
        }));
    }
    let from = older.map(|older| format!(", and goes on from {}", older.size)).unwrap_or_default();
    say(format_args!("ok {}: {} about persons, {} of institutions{from}", audit.head.size, audit.personal, audit.institutional))
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    let (key, copy) = (args.place.key()?, args.place.copy()?);
    let wrong = |error| args.place.wrong(error);
    let audit = copy.audit(&key).map_err(wrong)?;
    let mut listed = Vec::new();
    copy.each(&audit.head, |number, leaf| {
        let act = leaf.and_then(|leaf| Some((leaf.act()?, leaf.bucket())));
        listed.extend(act.filter(|(act, _)| args.kind.is_none_or(|kind| kind == *act)).map(|(act, hour)| (number, act, hour)));
    })
    .map_err(wrong)?;
    if args.output.is_json() {
        return listed.iter().try_for_each(|(number, act, hour)| {
            say(json!({"entry": number, "what": act.word(), "hour": hour.to_string(), "log": key.name()}))
        });
    }
    let mut table = Table::new(&["entry", "what", "in the hour from"]);
    listed.iter().for_each(|(number, act, hour)| table.push([number, act, hour]));
    if !table.is_empty() {
        say(table)?;
    }
    let others = audit.institutional - listed.len() as u64;
    say(format_args!(
        "{} of {} entries; {} are about persons, {others} of institutions are not listed",
        listed.len(),
        audit.head.size,
        audit.personal
    ))
}

fn kind(text: &str) -> Result<Act, String> {
    let open = Act::ALL.into_iter().filter(|act| !act.is_personal());
    open.clone().find(|act| act.word() == text).ok_or_else(|| {
        let words: Vec<_> = open.map(Act::word).collect();
        format!("must be one of {}", words.join(", "))
    })
}

fn older(file: &Path, key: &VerifierKey) -> Result<Head, CliError> {
    let bytes = read(file)?;
    let checkpoint = Checkpoint::open(&bytes, key);
    Ok(checkpoint.map_err(|doubt| CliError::found(format!("{}: `{}`: {doubt}", doubt.code(), file.display())))?.head)
}

fn verify_proof(file: &Path, key: &VerifierKey, output: OutputArgs) -> Result<(), CliError> {
    let bytes = read(file)?;
    let verified = LogProof::parse(&bytes).and_then(|proof| {
        let leaf = Leaf::parse(proof.extra.as_deref().ok_or(Doubt::Malformed("a proof with its entry"))?)?;
        Ok((proof.index, leaf, proof.verify(leaf.bytes(), key)?))
    });
    let (entry, leaf, head) = verified.map_err(|doubt| CliError::found(format!("{}: `{}`: {doubt}", doubt.code(), file.display())))?;
    let what = leaf.act().map_or("about a person", Act::word);
    if output.is_json() {
        return say(json!({
            "entry": entry, "size": head.size, "root": head.root.to_string(), "what": what, "hour": leaf.bucket().to_string(),
        }));
    }
    say(format_args!("ok entry {entry} of {}: {what}, in the hour from {}", head.size, leaf.bucket()))
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    use io::Read;
    let unread = |error: io::Error| CliError::broken(format!("`{}` can't be read: {}", file.display(), error.kind()));
    let mut bytes = Vec::new();
    let limit = PROOF_BYTES_MAX as u64 + 1;
    std::fs::File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes)).map_err(unread)?;
    Ok(bytes)
}

fn act(text: &str) -> Result<(Act, PathBuf), String> {
    let (word, file) = text.split_once('=').unwrap_or((text, ""));
    match Act::parse(word) {
        Some(act @ Act::Policy) if !file.is_empty() => Ok((act, file.into())),
        _ => Err("must be `policy=FILE`".to_owned()),
    }
}
