//! `twinveil report state`: signs a standing statement.

use std::path::PathBuf;

use serde_json::json;

use super::super::wallet::{load, unsigned};
use super::super::{CliError, now, say};
use super::hour;
use crate::veil::name::{Origin, UnixMs};
use crate::veil::report::Statement;
use crate::world::entropy;

/// Sign a standing statement, make one again, or take it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil report state --wallet ada.json --gateway gateway.example.org/twins --name no-keys-handed-over \\
      --text 'No key was ever handed over to anybody.' --renew-by 2027-02-01 > statement.json

It prints the signed statement. Make it again under the same name before that day: one that is not made again shows as dropped.")]
pub(super) struct Args {
    /// The wallet of a registered person
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// The gateway's name
    #[arg(long, value_name = "NAME")]
    gateway: String,
    /// Which statement: the same word each time, such as `no-keys-handed-over`
    #[arg(long, value_name = "WORD")]
    name: String,
    /// What is stated
    #[arg(long, value_name = "TEXT")]
    text: String,
    /// By when it is made again, 400 days from now at most
    #[arg(long, value_name = "DAY", value_parser = hour, required_unless_present = "take_back")]
    renew_by: Option<UnixMs>,
    /// It is stated no longer
    #[arg(long, conflicts_with = "renew_by")]
    take_back: bool,
}

/// Signs it.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let mut said = json!({"name": args.name, "text": args.text});
    if let (Some(renew_by), Some(members)) = (args.renew_by, said.as_object_mut()) {
        members.insert("renew_by".into(), renew_by.to_string().into());
    }
    let gateway = Origin::new(args.gateway.as_str());
    let signed = load(&args.wallet)?.file::<Statement>(&said, &gateway, now()?, &mut entropy());
    say(signed.map_err(|refusal| unsigned(&refusal))?.to_json())
}
