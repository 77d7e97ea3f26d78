//! `twinveil demand`: the desk for legal demands, as the persons see it who answer them.

mod approve;
mod challenge;
pub(super) mod desk;
mod file;
mod notify;
mod release;
mod show;
mod stage;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::desk::Desk;
use super::connect::Connection;
use super::wallet::hex;
use super::{CliError, OutputArgs, say, words};
use crate::proto::v1::DemandTaken;
use crate::veil::crypto::hash::sha256;
use crate::veil::name::RecordId;

/// Answer legal demands: file them, examine them in three stages, decide with two signatures, tell whom they are about.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Whoever signs is a `[[person]]` of the gateway's configuration: clerks file demands, notices and challenges, counsel and \
analysts answer the three stages, two approvers sign the decision. Keys stay in the wallets; whoever hands a record in needs a \
certificate of a party that may submit (`--as`, unless said: portal). Nothing is released without all three stages met and two \
approvers, or the subject's own consent for the demand.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    File(file::Args),
    Stage(stage::Args),
    Approve(approve::Args),
    Refuse(approve::RefuseArgs),
    Notify(notify::Args),
    Challenge(challenge::Args),
    Release(release::Args),
    List(show::ListArgs),
    Show(show::Args),
}

/// Who signs, and where it goes.
#[derive(Debug, clap::Args)]
struct Signer {
    /// The wallet of the person who signs
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

impl Signer {
    /// The desk, as the person sees it.
    async fn desk(&self) -> Result<Desk, CliError> {
        Desk::open(&self.connection, &self.wallet).await
    }
}

/// Which demand.
#[derive(Debug, clap::Args)]
struct Which {
    /// The id of the demand, as `twinveil demand list` prints it
    #[arg(value_name = "DEMAND", value_parser = words::record)]
    demand: RecordId,
}

/// Runs one of them.
pub fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::File(args) => super::block_on(file::run(&args)),
        Command::Stage(args) => super::block_on(stage::run(&args)),
        Command::Approve(args) => super::block_on(approve::run(&args)),
        Command::Refuse(args) => super::block_on(approve::refuse(&args)),
        Command::Notify(args) => super::block_on(notify::run(&args)),
        Command::Challenge(args) => super::block_on(challenge::run(&args)),
        Command::Release(args) => release::run(&args),
        Command::List(args) => super::block_on(show::list(&args)),
        Command::Show(args) => super::block_on(show::run(&args)),
    }
}

/// What became of a record.
fn tell(taken: &DemandTaken, output: OutputArgs) -> Result<(), CliError> {
    let (record, demand) = (hex(&taken.record), hex(&taken.demand));
    if output.is_json() {
        let logged = taken.receipt.is_some();
        return say(
            json!({"record": record, "demand": demand, "state": taken.state, "signatures_missing": taken.signatures_missing, "logged": logged}),
        );
    }
    say(format_args!("record  {record}\ndemand  {demand}\nstate   {}", super::plain(&taken.state)))?;
    match taken.signatures_missing {
        0 => Ok(()),
        missing => say(format_args!("missing  {missing} more approver: `twinveil demand approve {demand} --cosign` signs the same bytes")),
    }
}

/// The SHA-256 of a document that is kept elsewhere.
fn digest(file: &Path) -> Result<String, CliError> {
    let bytes = std::fs::read(file).map_err(|error| CliError::broken(format!("`{}` can't be read: {}", file.display(), error.kind())))?;
    Ok(hex(&sha256(&[&bytes])))
}

/// `SCHEMA:PATH`.
fn field(text: &str) -> Result<Value, String> {
    match text.split_once(':') {
        Some((schema, path)) if !schema.is_empty() && !path.is_empty() => Ok(json!({"schema": schema, "path": path})),
        _ => Err("write `SCHEMA:PATH`, such as `twinveil.sample.PatientFrame:vitals`".to_owned()),
    }
}

/// From when until when.
#[derive(Debug, clap::Args)]
struct PeriodArgs {
    /// From when (RFC 3339)
    #[arg(long, value_name = "INSTANT", requires = "until")]
    from: Option<jiff::Timestamp>,
    /// Until when (RFC 3339)
    #[arg(long, value_name = "INSTANT", requires = "from")]
    until: Option<jiff::Timestamp>,
}

impl PeriodArgs {
    fn document(&self) -> Option<Value> {
        let (from, until) = (self.from?, self.until?);
        Some(json!({"from": from.to_string(), "until": until.to_string()}))
    }
}

/// Puts a member in where it is there.
fn set(said: &mut Value, member: &str, value: Option<impl Into<Value>>) {
    if let (Some(value), Some(said)) = (value, said.as_object_mut()) {
        said.insert(member.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_schema_and_a_path() {
        assert_eq!(field("a.B:c.d").expect("good"), json!({"schema": "a.B", "path": "c.d"}));
        for bad in ["a.B", "a.B:", ":c", ""] {
            assert!(field(bad).is_err(), "{bad}");
        }
    }
}
