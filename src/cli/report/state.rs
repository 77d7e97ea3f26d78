//! `twinveil report state`: signs a standing statement.

use std::path::PathBuf;

use super::super::{CliError, now, say};
use super::hour;
use crate::config::read_key;
use crate::veil::consent::envelope::{Envelope, Payload};
use crate::veil::crypto::sign::SignKey;
use crate::veil::name::UnixMs;
use crate::veil::report::statement::{MEDIA_TYPE, RENEW_MS_MAX, Statement, StatementDocument};
use crate::world::entropy;

/// Sign a standing statement, make one again, or take it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil report state --key ada.key --gateway gateway.example.org/twins --name no-keys-handed-over \\
      --text 'No key was ever handed over to anybody.' --renew-by 2027-02-01 > statement.json

It prints the signed statement, which goes to the gateway's desk. Make it again under the same name before that day: one that is not \
made again shows as dropped.")]
pub(super) struct Args {
    /// The key of a registered person, 32 bytes in hexadecimal
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
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
    let seed = read_key("key", &args.key)?;
    let key = SignKey::from_seed(&seed);
    let mut nonce = [0; 16];
    rand_nonce(&mut nonce);
    let document = StatementDocument {
        gateway: args.gateway.clone(),
        author: key.did().to_string(),
        at: UnixMs(now()?.0 / 1_000 * 1_000).to_string(),
        nonce: data_encoding::HEXLOWER.encode(&nonce),
        name: args.name.clone(),
        text: args.text.clone(),
        renew_by: args.renew_by.map(|at| at.to_string()),
    };
    let payload = serde_json::to_vec(&document).map_err(|_| CliError::broken("the statement has no JSON form"))?;
    Statement::parse(&payload)
        .map_err(|refusal| CliError::broken(format!("{}: {refusal} (at most {} days)", refusal.code(), RENEW_MS_MAX / 86_400_000)))?;
    say(Envelope::sign(MEDIA_TYPE, payload, &key).to_json())
}

fn rand_nonce(nonce: &mut [u8; 16]) {
    use crate::veil::crypto::secret::Secret;
    nonce.copy_from_slice(Secret::<16>::random(&mut entropy()).expose());
}
