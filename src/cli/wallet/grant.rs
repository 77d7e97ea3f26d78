//! `twinveil wallet grant`: who may have what, for which purpose, until when.

use std::path::PathBuf;

use serde::Deserialize;

use super::super::connect::Connection;
use super::super::{CliError, OutputArgs, now, plain, read_text, words};
use super::desk::{self, Desk};
use super::receipts::Book;
use super::{CARRIER, Role, Speaker, cosign, hours, load, rule, told, unsigned, write_envelope};
use crate::client::wallet::{Terms, Voice, Wallet};
use crate::proto::v1::StandingResponse;
use crate::veil::consent::document::{
    ControllerDocument, NoticeDocument, RecipientDocument, RuleDocument, StorageDocument, WithdrawalDocument,
};
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::standing::Head;
use crate::veil::consent::windows::WindowDocument;
use crate::veil::dpv;
use crate::veil::name::{Did, Origin, RecordId, SealKey, Spiffe, UnixMs};
use crate::world::entropy;

pub(super) const MS_PER_DAY: i64 = 86_400_000;

/// Grant, narrow or forbid: sign the next record of the wallet and send it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
MATCH is a category (health, location …), `sensitivity:WORD`, or the path of a field and all below it. TREATMENT is the \
most that the recipient may have: keep, generalize, pseudonymize, encrypt or strip. Where rules meet, a forbid wins, then \
the more protective treatment. What no rule permits is not passed on.

Examples:
  twinveil wallet grant --dir demo --wallet patient.json --days 30 \\
      --to spiffe://example.org/recipient/clinician --purpose dpv:ServiceProvision \\
      --permit health=keep --permit identity=keep --forbid location
  twinveil wallet grant --dir demo --wallet patient.json --days 90 \\
      --to spiffe://example.org/recipient/researcher --purpose dpv:ScientificResearch \\
      --permit sensitivity:special=generalize --permit note=encrypt
  twinveil wallet grant --dir demo --wallet operator.json --role operator --days 365 \\
      --to spiffe://example.org/recipient/vendor --purpose dpv:TechnicalServiceProvision \\
      --permit operation=keep --permit site=encrypt
  twinveil wallet grant --dir demo --wallet patient.json --days 30 \\
      --to spiffe://example.org/recipient/clinician --purpose dpv:ServiceProvision \\
      --permit health=keep --hours 'mon-fri 08:00-16:30 Europe/Vienna'
  twinveil wallet grant --dir demo --wallet guardian.json --days 30 \\
      --for did:key:z6Mk… --authority 0a8f… --permit health=keep \\
      --to spiffe://example.org/recipient/clinician --purpose dpv:ServiceProvision
  twinveil wallet grant --dir demo --wallet patient.json --forbid location \\
      --offline --head 0 --out refusal.json")]
pub(super) struct Args {
    /// The wallet that signs
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// Recipients: SPIFFE ids, or did:keys
    #[arg(long, value_name = "ID[,ID…]", value_delimiter = ',', value_parser = recipient)]
    to: Vec<RecipientDocument>,
    /// Purposes: DPV terms, such as dpv:ServiceProvision
    #[arg(long, value_name = "TERM[,TERM…]", value_delimiter = ',')]
    purpose: Vec<String>,
    /// What they may have; may be repeated
    #[arg(long, value_name = "MATCH=TREATMENT", value_parser = rule::permit)]
    permit: Vec<RuleDocument>,
    /// What they, or without --to everyone, may not have; may be repeated
    #[arg(long, value_name = "MATCH", value_parser = rule::forbid)]
    forbid: Vec<RuleDocument>,
    /// For how many days; a permit has to end
    #[arg(long, value_name = "N", conflicts_with = "expires", value_parser = clap::value_parser!(u16).range(1..=3_653))]
    days: Option<u16>,
    /// Until when (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    expires: Option<jiff::Timestamp>,
    /// From when (RFC 3339); at once where absent
    #[arg(long, value_name = "INSTANT")]
    not_before: Option<jiff::Timestamp>,
    /// At which hours of the week only, such as `mon-fri 08:00-16:30 Europe/Vienna`; may be repeated
    #[arg(long, value_name = "HOURS", value_parser = hours::window)]
    hours: Vec<WindowDocument>,
    /// How many messages may be handed over under it, counted for all recipients together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    uses: Option<u64>,
    /// Only for this legal demand, one release, and nothing else; the id is in the notice of it
    #[arg(long, value_name = "ID", value_parser = words::record)]
    demand: Option<RecordId>,
    /// The recipient's key for what is encrypted (z6LS…); needs exactly one recipient
    #[arg(long, value_name = "KEY", value_parser = seal_key)]
    key: Option<String>,
    /// Let the recipients open what is encrypted; without it only this wallet can
    #[arg(long)]
    give_key: bool,
    /// A record that ends when this one is taken (its id, or the first 8 digits or more); may be repeated
    #[arg(long, value_name = "ID")]
    replaces: Vec<String>,
    /// Notice, controllers, storage, jurisdiction and withdrawal (JSON); DIR/terms.json where absent
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,
    /// As whom to speak: `subject`, or `operator` for a mandate
    #[arg(long, value_enum, default_value_t = Role::Subject, hide_possible_values = true)]
    role: Role,
    #[command(flatten)]
    speaker: Speaker,
    /// Another wallet whose signature an agreement asks for; may be repeated
    #[arg(long, value_name = "WALLET")]
    cosign: Vec<PathBuf>,
    /// Only sign: print the record, or write it to --out, for `twinveil wallet submit`
    #[arg(long, requires = "head")]
    offline: bool,
    /// Where the chain of the wallet stands: number and id of its last record; 0 before the first
    #[arg(long, value_name = "SEQ:ID", requires = "offline", value_parser = chain_head)]
    head: Option<Head>,
    /// Where to write the record that was signed offline
    #[arg(long, value_name = "FILE", requires = "offline")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// The part of a record that is the same for everybody whom one organisation asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    method: String,
    notice: NoticeDocument,
    controllers: Vec<ControllerDocument>,
    storage: StorageDocument,
    jurisdiction: Vec<String>,
    withdrawal: WithdrawalDocument,
}

pub(super) fn recipient(text: &str) -> Result<RecipientDocument, String> {
    if text.starts_with("did:") {
        let did = Did::parse(text).map_err(|bad| bad.to_string())?;
        return Ok(RecipientDocument { did: Some(did.to_string()), ..RecipientDocument::default() });
    }
    let spiffe =
        Spiffe::parse(text).map_err(|_| "neither a SPIFFE id (spiffe://trust-domain/path) nor a did:key (did:key:z6Mk…)".to_owned())?;
    Ok(RecipientDocument { spiffe: Some(spiffe.to_string()), ..RecipientDocument::default() })
}

fn seal_key(text: &str) -> Result<String, String> {
    SealKey::parse(text).map(|key| key.to_string()).map_err(|bad| format!("{bad}; `twinveil wallet show` prints the one of a wallet"))
}

fn chain_head(text: &str) -> Result<Head, String> {
    let bad = || "write `SEQ:ID`, as `twinveil wallet standing` prints it, or `0`".to_owned();
    if text == "0" {
        return Ok(Head::default());
    }
    let (seq, record) = text.split_once(':').ok_or_else(bad)?;
    let seq = seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(bad)?;
    Ok(Head { seq, record: Some(RecordId::parse(record).map_err(|_| bad())?) })
}

/// Signs, and unless it is to stay offline sends.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let wallet = load(&args.wallet)?;
    let origin = args.connection.origin()?;
    let terms = args.terms(now()?)?;
    if let (true, Some(head)) = (args.offline, args.head) {
        let ids =
            desk::in_full(&args.replaces).ok_or_else(|| CliError::broken("offline, `--replaces` takes whole record ids: 64 digits"))?;
        let voice = args.speaker.voice(&wallet, args.role.into());
        let record = args.sign(&wallet, &voice, &origin, terms, head, &ids).map_err(|refusal| unsigned(&refusal))?;
        let record = cosign::with(&args.cosign, record, &origin)?;
        return write_envelope(&record, args.out.as_deref());
    }
    super::super::block_on(send(args, &wallet, &origin, terms))
}

async fn send(args: &Args, wallet: &Wallet, origin: &Origin, terms: Terms) -> Result<(), CliError> {
    let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
    let voice = args.speaker.voice(wallet, args.role.into());
    let sign = |standing: &StandingResponse| {
        let ids = desk::whole_ids(&args.replaces, standing)?;
        let voice = Voice { vault_key: voice.vault_key.or_else(|| args.speaker.vault(standing)), ..voice };
        let record = args.sign(wallet, &voice, origin, terms.clone(), desk::head(standing)?, &ids);
        cosign::with(&args.cosign, record.map_err(|refusal| unsigned(&refusal))?, origin)
    };
    let book = Book::open(wallet, &args.connection)?;
    let answer = desk.submit_next((wallet, &voice), origin, &book, sign).await?;
    told::taken(&answer, args.output)?;
    book.keep(&args.wallet, &answer.record, answer.receipt.as_ref())
}

impl Args {
    fn terms(&self, now: UnixMs) -> Result<Terms, CliError> {
        let file = self.terms.clone().unwrap_or_else(|| self.connection.dir.join("terms.json"));
        let frame: Frame = serde_json::from_str(&read_text(&file)?).map_err(|error| {
            CliError::broken(format!("`{}`: {}; `twinveil init` writes an example", file.display(), plain(&error.to_string())))
        })?;
        if self.permit.is_empty() && self.forbid.is_empty() {
            return Err(CliError::broken("say what: `--permit MATCH=TREATMENT` or `--forbid MATCH`"));
        }
        let expires = match (self.days, self.expires) {
            (Some(days), _) => Some(UnixMs(self.not_before.map_or(now.0, |from| from.as_millisecond()) + i64::from(days) * MS_PER_DAY)),
            (None, Some(expires)) => Some(UnixMs(expires.as_millisecond())),
            (None, None) if self.permit.is_empty() => None,
            (None, None) => return Err(CliError::broken("say until when: `--days N` or `--expires INSTANT`, ten years at the most")),
        };
        if !self.permit.is_empty() && (self.to.is_empty() || self.purpose.is_empty()) {
            return Err(CliError::broken("say to whom and what for: `--to ID` and `--purpose TERM`, such as `dpv:ServiceProvision`"));
        }
        Ok(Terms {
            status: if self.permit.is_empty() { dpv::REFUSED } else { dpv::GIVEN }.into(),
            method: frame.method,
            not_before: self.not_before.map(|from| UnixMs(from.as_millisecond()).to_string()),
            expires: expires.map(|until| until.to_string()),
            // For a legal demand a consent is for one release.
            max_uses: self.uses.or(self.demand.map(|_| 1)),
            windows: self.hours.clone(),
            demand: self.demand.map(|demand| demand.to_string()),
            notice: frame.notice,
            controllers: frame.controllers,
            recipients: self.recipients()?,
            purposes: self.purpose.clone(),
            storage: frame.storage,
            jurisdiction: frame.jurisdiction,
            withdrawal: frame.withdrawal,
            rules: self.rules()?,
            replaces: Vec::new(),
        })
    }

    fn recipients(&self) -> Result<Vec<RecipientDocument>, CliError> {
        let mut recipients = self.to.clone();
        if let Some(key) = &self.key {
            let [only] = &mut recipients[..] else {
                return Err(CliError::broken("`--key` needs exactly one recipient: grant to each in a record of its own"));
            };
            only.key = Some(key.clone());
        }
        Ok(recipients)
    }

    fn rules(&self) -> Result<Vec<RuleDocument>, CliError> {
        let mut rules: Vec<RuleDocument> = self.permit.iter().chain(&self.forbid).cloned().collect();
        let mut sealed = rules.iter_mut().filter(|rule| rule.treatment.as_deref() == Some("encrypt")).peekable();
        if self.give_key {
            if sealed.peek().is_none() {
                return Err(CliError::broken("`--give-key` needs a rule that encrypts, such as `--permit health=encrypt`"));
            }
            sealed.for_each(|rule| rule.keys = Some("recipient".into()));
        }
        Ok(rules)
    }

    fn sign(
        &self,
        wallet: &Wallet,
        voice: &Voice,
        origin: &Origin,
        mut terms: Terms,
        head: Head,
        replaces: &[RecordId],
    ) -> Result<Envelope, RecordRefusal> {
        terms.replaces = replaces.iter().map(RecordId::to_string).collect();
        // Asked anew: a record must not be older than the gateway's answer that it builds on.
        let at = now().map_err(|_| RecordRefusal::Malformed("the clock of this machine can't be read".into()))?;
        if terms
            .not_before
            .as_deref()
            .and_then(|from| from.parse::<jiff::Timestamp>().ok())
            .is_some_and(|from| from.as_millisecond() < at.0)
        {
            // `not_before` in the past means at once.
            terms.not_before = None;
        }
        wallet.grant_as(voice, &terms, origin, head, at, &mut entropy())
    }
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
