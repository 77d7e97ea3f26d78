//! `twinveil report state`: makes a standing statement.

use std::path::PathBuf;

use serde_json::json;

use super::super::connect::Connection;
use super::super::demand::desk::hand_in;
use super::super::wallet::{load, unsigned, write_envelope};
use super::super::{CliError, OutputArgs, block_on, now};
use super::{desk, folder, hour};
use crate::veil::consent::envelope::{Envelope, JSON_BYTES_MAX};
use crate::veil::name::UnixMs;
use crate::veil::report::{Statement, statement};
use crate::world::entropy;

/// Make a standing statement, make one again, or take it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil report state --dir demo --wallet clerk.json --name no-keys-handed-over \\
      --text 'No key was ever handed over to anybody.' --renew-by 2027-02-01
  twinveil report state --dir demo --wallet clerk.json --name no-keys-handed-over --text 'Not any more.' --take-back
  twinveil report state --origin gateway.example.org/twins --wallet clerk.json --name no-taps --text 'No taps.' \\
      --renew-by 2027-02-01 --offline --out statement.json
  twinveil report state --dir demo --record statement.json

A clerk or an approver signs. When it answers, the statement is in the log, for good. Make it again under the same name before the day \
that it names: one that is not made again shows as dropped. What was signed offline is taken for 7 days.")]
pub(super) struct Args {
    /// The wallet of a clerk or approver
    #[arg(long, value_name = "FILE", required_unless_present = "record")]
    wallet: Option<PathBuf>,
    /// Which statement: the same word each time, such as `no-keys-handed-over`
    #[arg(long, value_name = "WORD", required_unless_present = "record")]
    name: Option<String>,
    /// What is stated
    #[arg(long, value_name = "TEXT", required_unless_present = "record")]
    text: Option<String>,
    /// By when it is made again, 400 days from now at most
    #[arg(long, value_name = "DAY", value_parser = hour, required_unless_present_any = ["take_back", "record"])]
    renew_by: Option<UnixMs>,
    /// It is stated no longer
    #[arg(long, conflicts_with = "renew_by")]
    take_back: bool,
    /// Only sign: print the statement, or write it to --out
    #[arg(long)]
    offline: bool,
    /// Where to write the statement that was signed offline
    #[arg(long, value_name = "FILE", requires = "offline")]
    out: Option<PathBuf>,
    /// Hand in this statement, which was signed offline
    #[arg(long, value_name = "FILE", conflicts_with_all = ["wallet", "name", "text", "renew_by", "take_back", "offline"])]
    record: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Signs it, and unless it is to stay offline hands it in.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let signed = args.statement()?;
    if args.offline {
        return write_envelope(&signed, args.out.as_deref());
    }
    block_on(async { desk::tell(&hand_in(&args.connection, &signed).await?, args.output) })
}

impl Args {
    fn statement(&self) -> Result<Envelope, CliError> {
        if let Some(file) = &self.record {
            let read = Envelope::parse_json(&folder::bytes(file, JSON_BYTES_MAX)?)
                .map_err(|why| CliError::broken(format!("{}: `{}`: {why}", why.code(), file.display())))?;
            return match read.payload_type.as_str() {
                statement::MEDIA_TYPE => Ok(read),
                _ => Err(CliError::broken(format!("`{}` is no statement", file.display()))),
            };
        }
        let (Some(wallet), Some(name), Some(text)) = (&self.wallet, &self.name, &self.text) else {
            return Err(CliError::broken("--wallet, --name and --text say who states what"));
        };
        let mut said = json!({"name": name, "text": text});
        if let (Some(renew_by), Some(members)) = (self.renew_by, said.as_object_mut()) {
            members.insert("renew_by".into(), renew_by.to_string().into());
        }
        let signed = load(wallet)?.file::<Statement>(&said, &self.connection.origin()?, now()?, &mut entropy());
        signed.map_err(|refusal| unsigned(&refusal))
    }
}
