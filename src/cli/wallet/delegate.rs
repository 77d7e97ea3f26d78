//! `twinveil wallet delegate` and `end-delegation`: who speaks for the wallet, how far, until when.

use std::path::PathBuf;

use super::super::connect::Connection;
use super::super::words;
use super::super::{CliError, OutputArgs, now};
use super::desk::{self, Desk};
use super::grant::{MS_PER_DAY, recipient};
use super::receipts::Book;
use super::told;
use super::{CARRIER, Speaker, cosign, load, rule, unsigned, write_envelope};
use crate::client::authority::DelegationTerms;
use crate::proto::v1::StandingResponse;
use crate::veil::consent::delegation::{Capacity, Right};
use crate::veil::consent::document::RecipientDocument;
use crate::veil::consent::record::SignerRole;
use crate::veil::consent::scope::{Breadth, PermitDocument, ScopeDocument};
use crate::veil::name::{Did, UnixMs};

/// The word for no bound.
const ANY: &str = "any";

/// Let another wallet speak for this one: a guardian, a proxy, the steward of an asset.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Both sign. With the delegate's wallet at hand it is done at once; without it the half-signed record is printed, for \
`twinveil wallet cosign` where that wallet is. Rights: view, grant, renew, withdraw. What the delegate grants stays within \
the recipients, purposes and treatments named here; `any` is written out. The wallet's own word goes before the delegate's. \
Either side ends it with `end-delegation`, and what was granted under it ends with it.

Examples:
  twinveil wallet delegate --dir demo --wallet child.json --to did:key:z6Mk… --days 365 \\
      --capacity guardian --may view,grant,renew,withdraw \\
      --recipient any --purpose any --permit any --delegate-wallet guardian.json
  twinveil wallet delegate --dir demo --wallet turbine.json --to did:key:z6Mk… --days 365 \\
      --capacity steward --may view,grant --permit operation=generalize --out half.json \\
      --recipient spiffe://example.org/recipient/vendor --purpose dpv:TechnicalServiceProvision")]
pub(super) struct Args {
    /// The wallet that delegates
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// Who will speak: a did:key
    #[arg(long, value_name = "DID", value_parser = words::did)]
    to: Did,
    /// As what: guardian, proxy or steward
    #[arg(long, value_name = "WORD", value_parser = capacity)]
    capacity: Capacity,
    /// What the delegate may do
    #[arg(long, value_name = "RIGHT[,RIGHT…]", value_delimiter = ',', value_parser = right, required = true)]
    may: Vec<Right>,
    /// To whom: SPIFFE ids or did:keys, or `any`
    #[arg(long, value_name = "ID[,ID…]", value_delimiter = ',', required = true)]
    recipient: Vec<String>,
    /// What for: DPV terms, or `any`
    #[arg(long, value_name = "TERM[,TERM…]", value_delimiter = ',', required = true)]
    purpose: Vec<String>,
    /// Which fields, and at the most how revealing, or `any`; may be repeated
    #[arg(long, value_name = "MATCH=TREATMENT", required = true)]
    permit: Vec<String>,
    /// For how many days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3_653))]
    days: u16,
    /// How many times it may be handed on, 0 to 3
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=3))]
    depth: u8,
    /// The delegate's wallet: sign for it, too, and send
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    delegate_wallet: Option<PathBuf>,
    /// Where to write the half-signed record
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

fn capacity(text: &str) -> Result<Capacity, String> {
    let found = Capacity::ALL.iter().copied().find(|capacity| capacity.word() == text);
    found.ok_or_else(|| format!("no capacity `{text}`; `guardian`, `proxy` or `steward`"))
}

fn right(text: &str) -> Result<Right, String> {
    Right::parse(text).ok_or_else(|| format!("no right `{text}`; `view`, `grant`, `renew` or `withdraw`"))
}

/// `any` alone, or each part read.
fn breadth<T>(option: &str, parts: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Breadth<T>, CliError> {
    if parts == [ANY] {
        return Ok(Breadth::ANY);
    }
    let read = |part: &String| read(part).map_err(|why| CliError::broken(format!("`{option}`: {why}")));
    Ok(Breadth::These(parts.iter().map(read).collect::<Result<_, _>>()?))
}

fn permit(text: &str) -> Result<PermitDocument, String> {
    let rule = rule::permit(text)?;
    Ok(PermitDocument { matches: rule.matches, treatment: rule.treatment.unwrap_or_default(), keys: None })
}

impl Args {
    fn scope(&self) -> Result<ScopeDocument, CliError> {
        Ok(ScopeDocument {
            recipients: breadth::<RecipientDocument>("--recipient", &self.recipient, recipient)?,
            purposes: breadth("--purpose", &self.purpose, |term| Ok(term.to_owned()))?,
            permits: breadth("--permit", &self.permit, permit)?,
        })
    }
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    super::super::block_on(send(args))
}

async fn send(args: &Args) -> Result<(), CliError> {
    let (wallet, origin, scope) = (load(&args.wallet)?, args.connection.origin()?, args.scope()?);
    let voice = args.speaker.voice(&wallet, SignerRole::Subject);
    let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
    let sign = |standing: &StandingResponse| {
        let at = now()?;
        let terms = DelegationTerms {
            delegate: args.to,
            capacity: args.capacity,
            not_before: None,
            expires: UnixMs(at.0 + i64::from(args.days) * MS_PER_DAY),
            rights: args.may.clone(),
            depth: args.depth,
            scope: scope.clone(),
            vault_key: voice.vault_key.or_else(|| args.speaker.vault(standing)),
        };
        wallet.delegate(&voice, &terms, &origin, desk::head(standing)?, at).map_err(|refusal| unsigned(&refusal))
    };
    let Some(delegate) = &args.delegate_wallet else {
        let half = sign(&desk.standing(&wallet, &voice, &origin).await?)?;
        return write_envelope(&half, args.out.as_deref());
    };
    let both = |standing: &StandingResponse| cosign::with(std::slice::from_ref(delegate), sign(standing)?, &origin);
    let book = Book::open(&wallet, &args.connection)?;
    let answer = desk.submit_next((&wallet, &voice), &origin, &book, both).await?;
    told::taken(&answer, args.output)?;
    book.keep(&args.wallet, &answer.record, answer.receipt.as_ref())
}

/// End a delegation, from either side.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It acts at once, as a withdrawal does: what was granted under the delegation ends on every open stream when it answers. What \
the delegate forbade stays.

Examples:
  twinveil wallet end-delegation --dir demo --wallet child.json 0a8f33c1
  twinveil wallet end-delegation --dir demo --wallet guardian.json \\
      --for did:key:z6Mk… --authority 0a8f…")]
pub(super) struct EndArgs {
    /// The delegations: their ids, or the first 8 digits or more; the delegate's own where absent
    #[arg(value_name = "ID", required_unless_present = "authority")]
    ids: Vec<String>,
    /// The wallet that delegated, or the delegate's
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn end(args: &EndArgs) -> Result<(), CliError> {
    super::super::block_on(send_end(args))
}

async fn send_end(args: &EndArgs) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let voice = args.speaker.voice(&wallet, SignerRole::Subject);
    let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
    let ids = match (desk::in_full(&args.ids), args.speaker.authority()) {
        (Some(ids), Some(own)) if ids.is_empty() => vec![own],
        // Nothing has to be asked: a delegate without the right to view ends it all the same.
        (Some(ids), _) => ids,
        (None, _) => desk::whole_ids(&args.ids, &desk.standing(&wallet, &voice, &origin).await?)?,
    };
    let record = wallet.end_delegations(&voice, &ids, &origin, now()?).map_err(|refusal| unsigned(&refusal))?;
    let book = Book::open(&wallet, &args.connection)?;
    let answer = desk.withdraw(&record, book.seen()).await?;
    told::ended(&answer, args.output)?;
    book.keep_if_any(&args.wallet, &answer.record, answer.receipt.as_ref())
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches};

    use super::*;

    fn args(line: &str) -> Result<Args, String> {
        let to = Did([7; 32]).to_string();
        let words = ["delegate", "--wallet", "w.json", "--to", &to, "--days", "9"].into_iter().chain(line.split(' '));
        let matches = Args::augment_args(clap::Command::new("delegate")).try_get_matches_from(words).map_err(|error| error.to_string())?;
        Args::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn a_scope_is_any_or_a_list_and_never_left_out() {
        let some = "--recipient spiffe://a/b,spiffe://a/c --purpose dpv:AcademicResearch --permit health=keep --permit note=encrypt";
        let scope = args(&format!("--capacity guardian --may view,grant {some}")).expect("good").scope().expect("good");
        let json = serde_json::to_value(&scope).expect("json");
        assert_eq!(json["recipients"][1]["spiffe"], "spiffe://a/c");
        assert_eq!((&json["permits"][1]["match"]["selector"], &json["permits"][1]["treatment"]), (&"note".into(), &"encrypt".into()));
        let any = args("--capacity steward --may view --recipient any --purpose any --permit any").expect("good").scope().expect("good");
        assert_eq!(
            serde_json::to_value(&any).expect("json"),
            serde_json::json!({"recipients": "any", "purposes": "any", "permits": "any"})
        );
        assert!(args("--capacity steward --may view --recipient any --purpose any").is_err(), "nothing is any by being absent");
        for (line, says) in [
            ("--capacity friend --may view --recipient any --purpose any --permit any", "no capacity `friend`"),
            ("--capacity proxy --may sell --recipient any --purpose any --permit any", "no right `sell`"),
            ("--capacity proxy --may view --recipient any --purpose any --permit any --depth 4", "4"),
            ("--capacity proxy --may view --recipient any --purpose any --permit any --for did:key:z6Mk", "did:key"),
        ] {
            assert!(args(line).expect_err(line).contains(says), "{line}");
        }
        for (line, says) in
            [("--recipient any,spiffe://a/b --permit any", "--recipient"), ("--recipient any --permit helth=keep", "--permit")]
        {
            let error = args(&format!("--capacity proxy --may view --purpose any {line}")).expect("read later").scope().expect_err(line);
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
