//! `twinveil demand notify`: that whom a demand is about was told.

use serde_json::json;

use super::super::CliError;
use super::{Signer, Which, tell};
use crate::veil::demand::Notice;

/// Put on record that whom a demand is about was told, as a clerk; their wallets are told with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
When a gag ends the gateway tells them by itself.

Example:
  twinveil demand notify 0a8f… --dir demo --wallet clerk.json --how letter")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// How they were told, such as `letter` or `wallet`
    #[arg(long, value_name = "TEXT")]
    how: String,
    #[command(flatten)]
    signer: Signer,
}

pub(super) async fn run(args: &Args) -> Result<(), CliError> {
    let mut desk = args.signer.desk().await?;
    tell(&desk.say::<Notice>(args.which.demand, json!({"how": args.how})).await?, args.signer.output)
}
