//! `twinveil wallet enrol` and `countersign`: the wallet and the source agree that a value in the source's frames means the
//! wallet.

use std::path::PathBuf;

use super::super::connect::{Connection, refused};
use super::super::words;
use super::super::{CliError, OutputArgs, now};
use super::desk::Desk;
use super::receipts::Book;
use super::{CARRIER, from_key, load, read_envelope, told, unsigned, write_envelope};
use crate::proto::v1::SubmitResponse;
use crate::veil::consent::envelope::Envelope;
use crate::veil::name::Spiffe;

/// Tie the wallet to what a source calls its holder; else no consent acts on its frames.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The wallet and the party behind the source both sign. With the source's key at hand it is done at once; without it the \
half-signed record is printed, for `twinveil wallet countersign` where the source's key is. The gateway keeps a keyed hash \
of the value only.

Examples:
  twinveil wallet enrol --dir demo --wallet patient.json --value p-17 \\
      --source spiffe://example.org/source/hospital --source-key demo/keys/hospital.key
  twinveil wallet enrol --dir demo --wallet patient.json --value p-17 \\
      --source spiffe://example.org/source/hospital --out half.json")]
pub(super) struct Args {
    /// The wallet that is meant
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// The source whose frames hold the value
    #[arg(long, value_name = "SPIFFE", value_parser = words::spiffe)]
    source: Spiffe,
    /// What the frames say instead of the did:key
    #[arg(long, value_name = "TEXT")]
    value: String,
    /// The key of the party behind the source (64 hexadecimal digits): sign for it, too, and send
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    source_key: Option<PathBuf>,
    /// Where to write the half-signed record
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Sign an enrolment for the source, and send it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Look at the record first: the payload is base64 of JSON, and the value in it is what your frames will mean.

Example:
  twinveil wallet countersign --dir demo --key demo/keys/hospital.key half.json")]
pub(super) struct CountersignArgs {
    /// The record that the wallet signed
    #[arg(value_name = "ENVELOPE")]
    envelope: PathBuf,
    /// The key of the party behind the source (64 hexadecimal digits)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write the record with both signatures instead of sending it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let origin = args.connection.origin()?;
    let wallet = load(&args.wallet)?;
    let half = wallet.enrol(&args.source, &args.value, &origin, now()?).map_err(|refusal| unsigned(&refusal))?;
    let Some(key) = &args.source_key else { return write_envelope(&half, args.out.as_deref()) };
    let both = from_key("--source-key", key)?.countersign(&half, &origin).map_err(|refusal| unsigned(&refusal))?;
    let book = Book::open(&wallet, &args.connection)?;
    let answer = super::super::block_on(send(&both, &args.connection, book.seen()))?;
    told::taken(&answer, args.output)?;
    book.keep(&args.wallet, &answer.record, answer.receipt.as_ref())
}

pub(super) fn countersign(args: &CountersignArgs) -> Result<(), CliError> {
    let origin = args.connection.origin()?;
    let half = read_envelope(&args.envelope)?;
    let both = from_key("--key", &args.key)?.countersign(&half, &origin).map_err(|refusal| unsigned(&refusal))?;
    match &args.out {
        Some(out) => write_envelope(&both, Some(out)),
        // The receipt is the wallet's: it asks for it.
        None => told::taken(&super::super::block_on(send(&both, &args.connection, String::new()))?, args.output),
    }
}

pub(super) async fn send(record: &Envelope, connection: &Connection, seen: String) -> Result<SubmitResponse, CliError> {
    let answer = Desk::open(connection, Some(CARRIER)).await?.submit(record, seen).await;
    answer.map_err(|status| refused(&status))
}
