//! `twinveil wallet`: the keys of a subject, steward or operator, and everything that is signed with them.

mod agree;
mod cosign;
mod delegate;
mod desk;
mod enrol;
mod export;
mod grant;
mod history;
mod hours;
mod notices;
mod receipts;
mod release;
mod renew;
pub(super) mod rule;
mod speaker;
mod standing;
mod told;
mod withdraw;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::connect::Connection;
use super::{CliError, OutputArgs, say};
use crate::client::wallet::{Wallet, WalletError};
use crate::config::read_key;
use crate::proto::v1::SubmitResponse;
use crate::veil::consent::delegation_end;
use crate::veil::consent::envelope::{Envelope, JSON_BYTES_MAX};
use crate::veil::consent::record::{SignerRole, WITHDRAWN};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::crypto::secret::Secret;
use crate::veil::name::UnixMs;
use crate::world::entropy;
pub(super) use desk::Desk;
pub(super) use receipts::entry;
pub(super) use speaker::Speaker;

/// The party that hands records in unless the command line says.
pub(super) const CARRIER: &str = "portal";

/// `RecordRefusal::TakenBefore`: the very same record is there already.
const TAKEN_BEFORE: &str = "TV-C15";

/// Make keys; grant, withdraw and see consents.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys stay in the wallet's file; only what they signed is sent. Whoever hands a record in needs a certificate of a party \
that may submit (`--as`, unless said: portal), and is not who it speaks for.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(NewArgs),
    Show(ShowArgs),
    Enrol(enrol::Args),
    Countersign(enrol::CountersignArgs),
    Grant(Box<grant::Args>),
    Renew(renew::Args),
    Withdraw(withdraw::Args),
    Standing(standing::Args),
    Receipts(receipts::Args),
    History(history::Args),
    Notices(notices::Args),
    Export(export::Args),
    Release(release::Args),
    Delegate(delegate::Args),
    EndDelegation(delegate::EndArgs),
    Agree(agree::Args),
    Cosign(cosign::Args),
    Submit(SubmitArgs),
}

/// Make a wallet: a file with fresh keys that only you can read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil wallet new patient.json
  twinveil wallet new operator.json --from-key demo/keys/operator.key

It prints the did:key that consents speak of, and the key that data is sealed for. Keep a copy of the file: without it \
nobody can withdraw what it granted, or open what was sealed for it.")]
struct NewArgs {
    /// The file; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Sign with the key in this file (64 hexadecimal digits, as `twinveil init` makes them) instead of a fresh one
    #[arg(long, value_name = "FILE")]
    from_key: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Print the public half of a wallet.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil wallet show patient.json")]
struct ShowArgs {
    /// The wallet
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// Send a record that was signed offline.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil wallet submit grant.json --dir demo")]
struct SubmitArgs {
    /// The signed record, a DSSE envelope in JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// As whom a wallet speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// For the person or asset that the wallet is.
    Subject,
    /// For the operator: the record is a mandate.
    Operator,
}

impl From<Role> for SignerRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Subject => Self::Subject,
            Role::Operator => Self::Operator,
        }
    }
}

/// Runs one of them.
pub fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::New(args) => new(&args),
        Command::Show(args) => show(&load(&args.file)?, args.output),
        Command::Enrol(args) => enrol::run(&args),
        Command::Countersign(args) => enrol::countersign(&args),
        Command::Grant(args) => grant::run(&args),
        Command::Renew(args) => renew::run(&args),
        Command::Withdraw(args) => withdraw::run(&args),
        Command::Standing(args) => standing::run(&args),
        Command::Receipts(args) => receipts::run(&args),
        Command::History(args) => history::run(&args),
        Command::Notices(args) => notices::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Release(args) => release::run(&args),
        Command::Delegate(args) => delegate::run(&args),
        Command::EndDelegation(args) => delegate::end(&args),
        Command::Agree(args) => agree::run(&args),
        Command::Cosign(args) => cosign::run(&args),
        Command::Submit(args) => super::block_on(submit(&args)),
    }
}

fn new(args: &NewArgs) -> Result<(), CliError> {
    let wallet = match &args.from_key {
        Some(file) => from_key("--from-key", file)?,
        None => Wallet::generate(&mut entropy()),
    };
    wallet.save(&args.file).map_err(|error| wrong(&error))?;
    show(&wallet, args.output)
}

fn show(wallet: &Wallet, output: OutputArgs) -> Result<(), CliError> {
    if output.is_json() {
        return say(json!({"did": wallet.did().to_string(), "key": wallet.vault_key().to_string()}));
    }
    say(format_args!("did  {}\nkey  {}", wallet.did(), wallet.vault_key()))
}

/// Sends what was signed to where it belongs.
async fn submit(args: &SubmitArgs) -> Result<(), CliError> {
    let envelope = read_envelope(&args.file)?;
    let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
    if is_withdrawal(&envelope) {
        let answer = desk.withdraw(&envelope, String::new()).await?;
        return told::ended(&answer, args.output);
    }
    match desk.submit(&envelope, String::new()).await {
        Ok(answer) => told::taken(&answer, args.output),
        // Whoever sends it again is not sure that it arrived: it did.
        Err(status) if super::connect::code(&status) == TAKEN_BEFORE => told::taken(&as_taken(&envelope), args.output),
        Err(status) => Err(super::connect::refused(&status)),
    }
}

/// What the gateway answered the first time.
fn as_taken(envelope: &Envelope) -> SubmitResponse {
    let payload: Option<serde_json::Value> = serde_json::from_slice(&envelope.payload).ok();
    let seq = payload.and_then(|payload| payload.get("seq").and_then(serde_json::Value::as_u64));
    SubmitResponse { record: envelope.id().0.to_vec().into(), seq: seq.unwrap_or_default(), receipt: None }
}

/// Which of the two calls takes it; the gateway checks everything.
fn is_withdrawal(envelope: &Envelope) -> bool {
    let payload: Option<serde_json::Value> = serde_json::from_slice(&envelope.payload).ok();
    envelope.payload_type == delegation_end::MEDIA_TYPE
        || payload.is_some_and(|payload| payload.get("status").and_then(serde_json::Value::as_str) == Some(WITHDRAWN))
}

/// A wallet that signs with a key file of `twinveil init`; its vault is fresh.
fn from_key(option: &str, file: &Path) -> Result<Wallet, CliError> {
    loop {
        let sign = read_key(option, file).map_err(CliError::broken)?;
        // One seed in 2^256 is no X25519 key.
        if let Some(wallet) = Wallet::from_seeds(sign, Secret::random(&mut entropy())) {
            return Ok(wallet);
        }
    }
}

pub(super) fn load(file: &Path) -> Result<Wallet, CliError> {
    Wallet::load(file).map_err(|error| wrong(&error))
}

/// A file that can't be made or read needs no look into the manual; the rest says so.
fn wrong(error: &WalletError) -> CliError {
    match error {
        WalletError::File { path, source } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            CliError::broken(format!("`{}` exists and is not overwritten; choose another name", path.display()))
        }
        WalletError::File { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
            CliError::broken(format!("`{}` does not exist; `twinveil wallet new` makes a wallet", path.display()))
        }
        WalletError::File { path, source } => CliError::broken(format!("`{}`: {}", path.display(), source.kind())),
        WalletError::Readable { .. } | WalletError::Broken { .. } | WalletError::Doubtful { .. } => {
            CliError::broken(format!("{}: {error}", error.code()))
        }
    }
}

/// What the wallet itself refuses to sign.
pub(super) fn unsigned(refusal: &RecordRefusal) -> CliError {
    CliError::broken(format!("{}: {}", refusal.code(), super::plain(&refusal.to_string())))
}

pub(super) fn read_envelope(file: &Path) -> Result<Envelope, CliError> {
    use std::io::Read;
    let unread = |error: std::io::Error| CliError::broken(format!("`{}` can't be read: {}", file.display(), error.kind()));
    let mut json = Vec::new();
    let limit = JSON_BYTES_MAX as u64 + 1;
    std::fs::File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut json)).map_err(unread)?;
    Envelope::parse_json(json.trim_ascii())
        .map_err(|refusal| CliError::broken(format!("`{}`: {}", file.display(), super::plain(&refusal.to_string()))))
}

/// Puts a signed record where it was asked for; signed records are no secrets, and existing files are left alone.
pub(super) fn write_envelope(envelope: &Envelope, out: Option<&Path>) -> Result<(), CliError> {
    match out {
        None => say(envelope.to_json()),
        Some(file) => super::certs::create(file, format!("{}\n", envelope.to_json()).as_bytes(), 0o644),
    }
}

/// 32 bytes as they are written everywhere.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// An instant in a gateway's answer; 0 and the end of all time are no instants.
pub(super) fn instant(ms: i64) -> Option<String> {
    (ms != 0 && ms != i64::MAX).then(|| UnixMs(ms).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("twinveil-wallet-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("folder");
        path
    }

    const TEXT: OutputArgs = OutputArgs { output: super::super::Output::Text };

    #[test]
    fn a_wallet_is_never_overwritten() {
        let dir = folder("twice");
        let args = NewArgs { file: dir.join("w.json"), from_key: None, output: TEXT };
        new(&args).expect("made");
        let did = load(&args.file).expect("reads back").did();
        assert!(new(&args).expect_err("exists").to_string().ends_with("exists and is not overwritten; choose another name"));
        assert_eq!(load(&args.file).expect("untouched").did(), did);
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn the_key_files_of_init_sign_as_wallets() {
        let dir = folder("hex");
        super::super::certs::create(&dir.join("operator.key"), format!("{}\n", "07".repeat(32)).as_bytes(), 0o600).expect("file");
        let args = NewArgs { file: dir.join("w.json"), from_key: Some(dir.join("operator.key")), output: TEXT };
        new(&args).expect("made");
        let expected = crate::veil::crypto::sign::SignKey::from_seed(&Secret::take(&mut [7; 32])).did();
        assert_eq!(load(&args.file).expect("reads back").did(), expected);
        let missing = load(&dir.join("none.json")).expect_err("missing").to_string();
        assert!(missing.ends_with("does not exist; `twinveil wallet new` makes a wallet"), "{missing}");
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn an_envelope_is_read_back_as_it_was_written_and_nothing_else_is_one() {
        let dir = folder("envelope");
        let wallet = Wallet::generate(&mut entropy());
        let reach = crate::veil::consent::withdrawal::Reach::UpTo(3);
        let origin = crate::veil::name::Origin::new("log.example");
        let envelope = wallet.withdraw(&reach, SignerRole::Subject, &origin, UnixMs(0)).expect("signed");
        let file = dir.join("w.json");
        write_envelope(&envelope, Some(&file)).expect("written");
        assert_eq!(read_envelope(&file).expect("read"), envelope);
        assert!(is_withdrawal(&envelope));
        assert!(write_envelope(&envelope, Some(&file)).is_err(), "an existing file is left alone");
        std::fs::write(dir.join("x.json"), "{}").expect("file");
        assert!(read_envelope(&dir.join("x.json")).expect_err("none").to_string().contains("not a DSSE envelope"));
        std::fs::write(dir.join("long.json"), vec![b' '; JSON_BYTES_MAX + 1]).expect("file");
        assert!(read_envelope(&dir.join("long.json")).is_err());
        std::fs::remove_dir_all(&dir).expect("clean");
    }
}
