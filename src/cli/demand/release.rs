//! `twinveil demand release`: what is released under a demand, as the party receives it that it is released to.

use std::path::PathBuf;

use super::super::connect::Connection;
use super::super::subscribe::{Printer, print, shape};
use super::super::wallet::load;
use super::super::{CliError, words};
use super::Which;
use crate::client::subscriber::Subscriber;
use crate::client::wallet::Wallet;
use crate::proto::v1::{Delivery, SubscribeRequest};
use crate::veil::name::Purpose;

/// Receive what was decided to be released, one JSON object a line, as the party it is released to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil demand release 0a8f… --dir demo --as court --schema twinveil.sample.PatientFrame > released.ndjson

Events are those of `twinveil subscribe`. It goes on until the release is over, Ctrl-C, --count or --seconds. Where it rests on a \
subject's consent there is one release, and this is it. How many frames were handed over is put on record when it ends.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Full name of the frames' message type
    #[arg(long, value_name = "MESSAGE")]
    schema: String,
    /// What for: a DPV term, as the operator's policy for the party has it
    #[arg(long, value_name = "TERM", default_value = "dpv:LegalCompliance", value_parser = words::purpose)]
    purpose: Purpose,
    /// A wallet whose key opens what is sealed for it; may be repeated
    #[arg(long, value_name = "WALLET")]
    open: Vec<PathBuf>,
    /// End after so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Compiled descriptor set, or .proto, with the message; the samples in the program where absent
    #[arg(long, value_name = "FILE")]
    descriptor: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let shape = shape(&args.schema, args.descriptor.as_deref())?;
    let keys = args.open.iter().map(|file| load(file).map(Wallet::into_vault)).collect::<Result<Vec<_>, _>>()?;
    let request = SubscribeRequest {
        schema: args.schema.clone(),
        purpose: args.purpose.to_string(),
        delivery: Delivery::Lossless.into(),
        warrant: args.which.demand.0.to_vec().into(),
        ..SubscribeRequest::default()
    };
    let printer = Printer { subscriber: Subscriber::new(keys, None), message: shape.message(), left: args.count, out: std::io::stdout() };
    super::super::block_on(print(request, &args.connection, printer, None, args.seconds))
}
