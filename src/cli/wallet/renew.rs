//! `twinveil wallet renew`: the same terms once more, in the place of what comes to its end.

use std::path::PathBuf;

use super::super::connect::Connection;
use super::super::{CliError, OutputArgs, now};
use super::desk::{self, Desk};
use super::grant::MS_PER_DAY;
use super::receipts::Book;
use super::told;
use super::{CARRIER, Role, Speaker, cosign, load, unsigned};
use crate::client::wallet::{Terms, Voice};
use crate::proto::v1::StandingResponse;
use crate::veil::name::UnixMs;
use crate::world::entropy;

/// Renew a grant on exactly the same terms.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The record that it renews ends in the same instant: there is no gap. What was withdrawn, or is over, is not renewed but \
granted again. `twinveil wallet standing` says what needs renewal.

Examples:
  twinveil wallet renew --dir demo --wallet patient.json 5f3ac0b1 --days 30
  twinveil wallet renew --dir demo --wallet guardian.json 5f3ac0b1 --days 30 \\
      --for did:key:z6Mk… --authority 0a8f…")]
pub(super) struct Args {
    /// The record: its id, or the first 8 digits or more
    #[arg(value_name = "ID")]
    id: String,
    /// The wallet that signs
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// For how many days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3_653))]
    days: u16,
    /// As whom to speak: `subject`, or `operator` for a mandate
    #[arg(long, value_enum, default_value_t = Role::Subject, hide_possible_values = true)]
    role: Role,
    #[command(flatten)]
    speaker: Speaker,
    /// Another wallet whose signature an agreement asks for; may be repeated
    #[arg(long, value_name = "WALLET")]
    cosign: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    super::super::block_on(send(args))
}

async fn send(args: &Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let voice = args.speaker.voice(&wallet, args.role.into());
    let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
    let standing = desk.standing(&wallet, &voice, &origin).await?;
    let [id] = desk::whole_ids(std::slice::from_ref(&args.id), &standing)?[..] else {
        return Err(CliError::broken("one record at a time"));
    };
    let record = desk.record(&wallet, &voice, id, &origin).await?;
    let book = Book::open(&wallet, &args.connection)?;
    let sign = |standing: &StandingResponse| {
        let at = now()?;
        let expires = UnixMs(at.0 + i64::from(args.days) * MS_PER_DAY);
        let (terms, vault_key) = Terms::renewing(&record, expires).map_err(|refusal| unsigned(&refusal))?;
        // The vault is a part of the terms, whoever renews them.
        let voice = Voice { vault_key, ..voice };
        let renewed = wallet.grant_as(&voice, &terms, &origin, desk::head(standing)?, at, &mut entropy());
        cosign::with(&args.cosign, renewed.map_err(|refusal| unsigned(&refusal))?, &origin)
    };
    let answer = desk.submit_next((&wallet, &voice), &origin, &book, sign).await?;
    told::taken(&answer, args.output)?;
    book.keep(&args.wallet, &answer.record, answer.receipt.as_ref())
}
