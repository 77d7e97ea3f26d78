//! `twinveil wallet cosign`: add a signature to a record that asks for more than one.

use std::path::PathBuf;

use super::super::connect::Connection;
use super::super::{CliError, OutputArgs};
use super::receipts::Book;
use super::{enrol, load, read_envelope, told, unsigned, write_envelope};
use crate::veil::consent::envelope::Envelope;
use crate::veil::name::Origin;

/// Add the wallet's signature to a delegation, a grant or an agreement, and send it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A delegation becomes whole with the signature of the delegate. A grant or an agreement may need those of others, where an \
agreement asks for them. Look at the record first: the payload is base64 of JSON, and signing is agreeing.

Examples:
  twinveil wallet cosign --dir demo --wallet guardian.json half.json
  twinveil wallet cosign --dir demo --wallet council.json grant.json --out both.json")]
pub(super) struct Args {
    /// The record
    #[arg(value_name = "ENVELOPE")]
    envelope: PathBuf,
    /// The wallet that signs, too
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// Write the record with the signature instead of sending it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let origin = args.connection.origin()?;
    let record = with(std::slice::from_ref(&args.wallet), read_envelope(&args.envelope)?, &origin)?;
    match &args.out {
        Some(out) => write_envelope(&record, Some(out)),
        None => {
            let book = Book::open(&load(&args.wallet)?, &args.connection)?;
            let answer = super::super::block_on(enrol::send(&record, &args.connection, book.seen()))?;
            told::taken(&answer, args.output)?;
            book.keep(&args.wallet, &answer.record, answer.receipt.as_ref())
        }
    }
}

/// The record with the signatures of these wallets.
pub(super) fn with(wallets: &[PathBuf], mut record: Envelope, origin: &Origin) -> Result<Envelope, CliError> {
    for wallet in wallets {
        record = load(wallet)?.cosign(&record, origin).map_err(|refusal| unsigned(&refusal))?;
    }
    Ok(record)
}
