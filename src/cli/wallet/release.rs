//! `twinveil wallet release`: lets a recipient open, later, what was sealed for the wallet's vault.

use std::path::PathBuf;

use serde_json::json;

use super::super::connect::Connection;
use super::super::words;
use super::super::{CliError, OutputArgs, now, say};
use super::desk::Desk;
use super::instant;
use super::{CARRIER, hex, load, unsigned, write_envelope};
use crate::client::announce;
use crate::proto::v1::VaultWrap;
use crate::veil::consent::release::EPOCHS_MAX;
use crate::veil::name::{Did, Origin, SealKey, Spiffe};
use crate::veil::transform::group::{Announced, Epoch};
use crate::world::entropy;

/// Let a recipient open what was sealed for this wallet's vault.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What a consent gives as `encrypt` is sealed for your vault. A recipient gets it closed, and may keep it (`subscribe --keep`). With a \
release it opens what it kept of the epochs that you choose, and nothing else: an epoch is an hour of one stream at most. It can't be \
taken back. The release names your did:key.

Examples:
  twinveil wallet release --wallet patient.json --list --dir demo
  twinveil wallet release --wallet patient.json --dir demo \\
      --recipient spiffe://example.org/recipient/researcher --key z6LS… \\
      --from 2026-01-31T09:00:00Z --to 2026-01-31T10:00:00Z --out release.json
  twinveil open frames.kept --schema twinveil.sample.PatientFrame \\
      --open researcher.json --release release.json")]
pub(super) struct Args {
    /// The wallet
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// Show which epochs there are, and release nothing
    #[arg(long, conflicts_with_all = ["key", "out"])]
    list: bool,
    /// Whose frames: the recipient's SPIFFE id
    #[arg(long, value_name = "SPIFFE", value_parser = words::spiffe, required_unless_present = "list")]
    recipient: Option<Spiffe>,
    /// The key that the recipient opens with, as `wallet show` prints it
    #[arg(long, value_name = "KEY", value_parser = words::seal_key, required_unless_present = "list")]
    key: Option<SealKey>,
    /// Epochs that began at this instant or later, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<jiff::Timestamp>,
    /// Epochs that began before this instant
    #[arg(long, value_name = "TIME")]
    to: Option<jiff::Timestamp>,
    /// The did:key that the gateway must have signed announcements with; DIR/log.vkey says it where absent
    #[arg(long, value_name = "DID", value_parser = words::did)]
    gateway_key: Option<Did>,
    /// Where the signed release goes, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let wraps = super::super::block_on(async {
        let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
        desk.wraps(&wallet, &origin).await
    })?;
    let gateway = gateway_key(args)?;
    let mut chosen = Vec::new();
    for wrap in wraps.iter().filter(|wrap| chooses(args, wrap)) {
        chosen.push((wrap, believed(wrap, &gateway, &origin)?));
    }
    if args.list {
        return chosen.iter().try_for_each(|(wrap, (epoch, announced))| {
            let own = epoch.seed(announced, wallet.vault()).is_some();
            if args.output.is_json() {
                say(json!({"view": hex(&epoch.view.0), "slot": epoch.slot, "epoch": epoch.epoch, "from": instant(wrap.from_ms),
                           "recipient": wrap.recipient, "purpose": wrap.purpose, "schema": wrap.schema, "own": own}))
            } else {
                let from = instant(wrap.from_ms).unwrap_or_default();
                let [recipient, purpose] = [&wrap.recipient, &wrap.purpose].map(|text| super::super::plain(text));
                say(format_args!("{from}  {}  {}  {recipient}  {purpose}", hex(&epoch.view.0), epoch.epoch))
            }
        });
    }
    let (Some(recipient), Some(key)) = (&args.recipient, &args.key) else {
        return Err(CliError::broken("say for whom: `--recipient` and `--key`"));
    };
    if chosen.len() > EPOCHS_MAX {
        let found = chosen.len();
        return Err(CliError::broken(format!("{found} epochs are more than one release takes, {EPOCHS_MAX}: say `--from` and `--to`")));
    }
    let epochs: Vec<_> = chosen.into_iter().map(|(_, epoch)| epoch).collect();
    let release = wallet.release(&epochs, (recipient, key), &origin, now()?, &mut entropy()).map_err(|refusal| unsigned(&refusal))?;
    let Some(release) = release else {
        return Err(CliError::found("nothing was sealed for this wallet's vault in what was asked for: `--list` shows what there is"));
    };
    write_envelope(&release, args.out.as_deref())
}

/// Who signs announcements: the same key that signs the log.
fn gateway_key(args: &Args) -> Result<Did, CliError> {
    let file = args.connection.dir.join("log.vkey");
    match args.gateway_key {
        Some(did) => Ok(did),
        None if file.exists() => Ok(super::super::log_key(&file)?.key()),
        None => Err(CliError::broken("the gateway's key is not known: say `--gateway-key DID`, or `--dir` with a log.vkey in it")),
    }
}

fn chooses(args: &Args, wrap: &VaultWrap) -> bool {
    let recipient = args.recipient.as_ref().is_none_or(|recipient| recipient.as_str() == wrap.recipient);
    recipient
        && args.from.is_none_or(|from| from.as_millisecond() <= wrap.from_ms)
        && args.to.is_none_or(|to| wrap.from_ms < to.as_millisecond())
}

fn believed(wrap: &VaultWrap, gateway: &Did, origin: &Origin) -> Result<(Epoch, Announced), CliError> {
    let key =
        wrap.key.as_ref().ok_or_else(|| CliError::broken("the gateway's answer makes no sense: an epoch without its announcement"))?;
    announce::verify(key, gateway, origin).map_err(|error| CliError::found(error.to_string()))
}
