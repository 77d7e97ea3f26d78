//! `twinveil demand challenge`: that a demand is challenged, and how it goes.

use std::path::PathBuf;

use serde_json::json;

use super::super::{CliError, now, words};
use super::{Signer, Which, digest, set, tell};
use crate::veil::demand::Challenge;
use crate::veil::name::RecordId;

/// Put a challenge on record, as a clerk. While it is pending, and where it was upheld, nothing is released.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil demand challenge 0a8f… --dir demo --wallet clerk.json --court 'Landgericht Sample' --reasoning brief.md
  twinveil demand challenge 0a8f… --dir demo --wallet clerk.json --court 'Landgericht Sample' --result dismissed \\
      --replaces 77b1… --reasoning ruling.md")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Before which court or body
    #[arg(long, value_name = "NAME")]
    court: String,
    /// When it was filed (RFC 3339); now where absent
    #[arg(long, value_name = "INSTANT")]
    filed: Option<jiff::Timestamp>,
    /// pending, upheld or dismissed
    #[arg(long, value_name = "RESULT", default_value = "pending")]
    result: String,
    /// The record of the same challenge that this one takes the place of
    #[arg(long, value_name = "ID", value_parser = words::record)]
    replaces: Option<RecordId>,
    /// The reasoning, which is kept elsewhere; its hash goes into the record
    #[arg(long, value_name = "FILE")]
    reasoning: PathBuf,
    #[command(flatten)]
    signer: Signer,
}

pub(super) async fn run(args: &Args) -> Result<(), CliError> {
    let filed = match args.filed {
        Some(filed) => filed.to_string(),
        None => now()?.to_string(),
    };
    let mut said = json!({"where": args.court, "filed": filed, "result": args.result, "reasoning_sha256": digest(&args.reasoning)?});
    set(&mut said, "replaces", args.replaces.map(|id| id.to_string()));
    let mut desk = args.signer.desk().await?;
    tell(&desk.say::<Challenge>(args.which.demand, said).await?, args.signer.output)
}
