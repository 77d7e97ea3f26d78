//! `twinveil wallet receipts`: what a wallet has to show that its records were taken, checked offline.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::connect::Connection;
use super::super::table::Table;
use super::super::{CliError, OutputArgs, complain, log_key, say};
use super::desk::Desk;
use super::{CARRIER, Speaker, load, wrong};
use crate::client::receipts::LogBook;
use crate::client::wallet::Wallet;
use crate::proto::v1;
use crate::veil::consent::record::SignerRole;
use crate::veil::merkle::Doubt;
use crate::veil::merkle::checkpoint::Head;
use crate::veil::merkle::note::VerifierKey;
use crate::veil::merkle::receipt::LogProof;
use crate::veil::name::RecordId;

/// Show the receipts of a wallet's records, or check them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Whatever a gateway takes from this wallet, it answers with a receipt: that the record is in its log, signed. The wallet keeps \
it, and pins the log's key (DIR/log.vkey, or --log-key) with the first. Nobody is asked when receipts are checked.

Examples:
  twinveil wallet receipts --wallet patient.json
  twinveil wallet receipts --wallet patient.json --verify
  twinveil wallet receipts --wallet patient.json --fetch --dir demo
  twinveil wallet receipts --wallet guardian.json --fetch --dir demo \\
      --for did:key:z6Mk… --authority 0a8f…
  twinveil wallet receipts --wallet patient.json --out proofs

Exit code 1 with --verify: a receipt does not hold, or two contradict each other.")]
pub(super) struct Args {
    /// The wallet
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// Check every receipt again, and all against each other
    #[arg(long)]
    verify: bool,
    /// Ask the gateway for receipts that are missing
    #[arg(long)]
    fetch: bool,
    #[command(flatten)]
    speaker: Speaker,
    /// The key of the gateway's log (name+hash+key), to pin; DIR/log.vkey where absent
    #[arg(long, value_name = "FILE", requires = "fetch")]
    log_key: Option<PathBuf>,
    /// Write each proof into this folder as RECORD.tlog-proof, for others: it tells them nothing of the record
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// What a wallet has of the log of the gateway that it talks to.
pub(super) struct Book(Option<LogBook>);

impl Book {
    /// As it was before the gateway is asked. Receipts stand in no record's way: what is wrong with them is said.
    pub(super) fn open(wallet: &Wallet, connection: &Connection) -> Result<Self, CliError> {
        Self::open_with(wallet, connection, None)
    }

    pub(super) fn open_with(wallet: &Wallet, connection: &Connection, given: Option<&Path>) -> Result<Self, CliError> {
        let origin = connection.origin()?;
        let pinned = match wallet.log(&origin) {
            Ok(pinned) => pinned,
            Err(doubt) => {
                complain(format_args!("twinveil: {}: what the wallet has of the log can't be used: {doubt}", doubt.code()));
                return Ok(Self(None));
            }
        };
        let file = given.map_or_else(|| connection.dir.join("log.vkey"), Path::to_owned);
        let told = if file.exists() { Some(log_key(&file)?) } else { None };
        match (pinned, told) {
            (Some(book), Some(told)) if *book.key() != told && told.name() == origin.as_str() => Err(CliError::found(format!(
                "`{}` is not the key that the wallet pinned for the log `{}`: find out which is right before anything is sent",
                file.display(),
                super::super::plain(told.name())
            ))),
            (Some(book), _) => Ok(Self(Some(book))),
            (None, Some(told)) if told.name() == origin.as_str() => Ok(Self(Some(LogBook::new(told)))),
            (None, _) => Ok(Self(None)),
        }
    }

    /// The key of the log, where it is known.
    pub(super) fn key(&self) -> Option<&VerifierKey> {
        self.0.as_ref().map(LogBook::key)
    }

    /// How many entries the log had when the wallet last heard of it, and what they came to.
    pub(super) fn head(&self) -> Option<Head> {
        Some(self.0.as_ref()?.newest()?.head)
    }

    /// The newest checkpoint that the wallet has, for the gateway to hold itself against.
    pub(super) fn seen(&self) -> String {
        let newest = self.0.as_ref().and_then(LogBook::newest);
        newest.map(|receipt| receipt.proof().checkpoint.to_string()).unwrap_or_default()
    }

    /// Checks an answer's receipt and keeps it in the wallet's file.
    pub(super) fn keep(&self, file: &Path, record: &[u8], receipt: Option<&v1::Receipt>) -> Result<(), CliError> {
        match receipt {
            Some(_) => self.keep_if_any(file, record, receipt),
            None => Err(CliError::found("the record was taken, and the gateway gave no receipt: it is older than this program")),
        }
    }

    /// As [`Self::keep`], where an answer may have none.
    pub(super) fn keep_if_any(&self, file: &Path, record: &[u8], receipt: Option<&v1::Receipt>) -> Result<(), CliError> {
        let Some(receipt) = receipt else { return Ok(()) };
        let Some(book) = &self.0 else {
            complain("twinveil: the key of the gateway's log is not known here (no log.vkey in the folder): its receipt is not kept");
            return Ok(());
        };
        let checked = RecordId::parse(&super::hex(record))
            .map_err(|_| Doubt::Malformed("a record id"))
            .and_then(|record| book.check(record, &receipt.salt, &receipt.proof));
        let checked = checked.map_err(|doubt| {
            CliError::found(format!("{}: the record was taken, and its receipt is not believed: {doubt}", doubt.code()))
        })?;
        Wallet::keep_log(file, book.key(), |book| book.keep(checked)).map_err(|error| wrong(&error))
    }
}

/// The number of a receipt's entry, unchecked.
pub(in crate::cli) fn entry(receipt: &v1::Receipt) -> Option<u64> {
    LogProof::parse(receipt.proof.as_bytes()).ok().map(|proof| proof.index)
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    // What is in the wallet's file is the wallet's, whoever it speaks for.
    if !args.fetch && args.speaker.authority().is_some() {
        return Err(CliError::broken("`--for` and `--authority` say whose receipts are asked for: add `--fetch`, or leave them out"));
    }
    if args.fetch {
        super::super::block_on(fetch(args))?;
    }
    let books = load(&args.wallet)?.logs().map_err(|doubt| CliError::found(format!("{}: {doubt}", doubt.code())))?;
    if let Some(out) = &args.out {
        write(out, &books)?;
    }
    if args.verify {
        return verify(&books, args.output);
    }
    if args.output.is_json() {
        return rows(&books).try_for_each(|(log, receipt)| {
            say(json!({
                "record": receipt.record.to_string(), "act": receipt.act.word(), "entry": receipt.entry(), "size": receipt.head.size,
                "root": receipt.head.root.to_string(), "hour": receipt.bucket.to_string(), "log": log.to_string(),
            }))
        });
    }
    let mut table = Table::new(&["entry", "of", "what", "in the hour from", "record", "log"]);
    for (log, receipt) in rows(&books) {
        let record = receipt.record.to_string();
        let shown = record.get(..12).unwrap_or(&record);
        table.push([&receipt.entry(), &receipt.head.size, &receipt.act, &receipt.bucket, &shown, &super::super::plain(log.name())]);
    }
    match rows(&books).next() {
        Some(_) => say(table),
        None => say("no receipts: nothing was sent from this wallet, or the log's key was not known"),
    }
}

fn rows(books: &[LogBook]) -> impl Iterator<Item = (&VerifierKey, &crate::client::receipts::Receipt)> {
    books.iter().flat_map(|book| book.receipts().iter().map(move |receipt| (book.key(), receipt)))
}

async fn fetch(args: &Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let book = Book::open_with(&wallet, &args.connection, args.log_key.as_deref())?;
    if book.0.is_none() {
        return Err(CliError::broken("the key of the gateway's log is not known: say `--log-key FILE`, or `--dir` with a log.vkey in it"));
    }
    let voice = args.speaker.voice(&wallet, SignerRole::Subject);
    let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
    for kept in desk.receipts(&wallet, &voice, &origin).await? {
        book.keep_if_any(&args.wallet, &kept.record, kept.receipt.as_ref())?;
    }
    Ok(())
}

fn write(out: &Path, books: &[LogBook]) -> Result<(), CliError> {
    std::fs::create_dir_all(out).map_err(|error| CliError::broken(format!("`{}`: {}", out.display(), error.kind())))?;
    for (_, receipt) in rows(books) {
        let file = out.join(format!("{}.tlog-proof", receipt.record));
        let written = std::fs::write(&file, receipt.proof().to_string());
        written.map_err(|error| CliError::broken(format!("`{}`: {}", file.display(), error.kind())))?;
    }
    Ok(())
}

fn verify(books: &[LogBook], output: OutputArgs) -> Result<(), CliError> {
    let good: usize = books.iter().map(|book| book.receipts().len()).sum();
    let doubts: Vec<_> = books.iter().flat_map(LogBook::doubts).collect();
    if output.is_json() {
        let told: Vec<_> = doubts.iter().map(|(record, doubt)| json!({"record": record, "code": doubt.code()})).collect();
        say(json!({"receipts": good, "doubtful": told}))?;
    } else if doubts.is_empty() {
        say(format_args!("ok {good}"))?;
    }
    match doubts.first() {
        None => Ok(()),
        Some((record, doubt)) => Err(CliError::found(format!(
            "{}: the receipt of `{}` does not hold: {doubt}{}",
            doubt.code(),
            super::super::plain(record),
            if doubts.len() > 1 { format!(" (and {} more)", doubts.len() - 1) } else { String::new() }
        ))),
    }
}
