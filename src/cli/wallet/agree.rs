//! `twinveil wallet agree`: whose signatures grants need.

use std::path::PathBuf;

use super::super::connect::Connection;
use super::super::words;
use super::super::{CliError, OutputArgs, now};
use super::desk::{self, Desk};
use super::receipts::Book;
use super::told;
use super::{CARRIER, Role, cosign, load, rule, unsigned, write_envelope};
use crate::proto::v1::StandingResponse;
use crate::veil::consent::agreement::QuorumDocument;
use crate::veil::consent::document::MatchDocument;
use crate::veil::consent::record::SignerRole;
use crate::veil::name::Did;

/// Ask for more signatures than the wallet's own on what it grants.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
From then on a permit counts for these fields only where so many of the keys signed the grant, too: also one that was \
granted before. Any one of them withdraws alone. An agreement ends when another replaces it, and that one needs the \
signatures which the old one asks for.

Examples:
  twinveil wallet agree --dir demo --wallet child.json --need 2 \\
      --of did:key:z6Mk…,did:key:z6Mk…
  twinveil wallet agree --dir demo --wallet operator.json --role operator \\
      --match operator_conduct --need 2 --of did:key:z6Mk…,did:key:z6Mk…
  twinveil wallet agree --dir demo --wallet child.json --replaces 77b1c0de \\
      --cosign one.json --cosign other.json")]
pub(super) struct Args {
    /// The wallet whose grants it binds
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// Which fields: a category, `sensitivity:WORD` or a path; all where absent; may be repeated
    #[arg(long = "match", value_name = "MATCH", value_parser = rule::matching, requires = "of")]
    matches: Vec<MatchDocument>,
    /// How many of the keys
    #[arg(long, value_name = "N", requires = "of")]
    need: Option<u8>,
    /// Whose signatures count: did:keys
    #[arg(long, value_name = "DID[,DID…]", value_delimiter = ',', value_parser = words::did, requires = "need", required_unless_present = "replaces")]
    of: Vec<Did>,
    /// An agreement that ends when this one is taken (its id, or the first 8 digits or more); may be repeated
    #[arg(long, value_name = "ID")]
    replaces: Vec<String>,
    /// As whom to speak: `subject`, or `operator` about mandates
    #[arg(long, value_enum, default_value_t = Role::Subject, hide_possible_values = true)]
    role: Role,
    /// Another wallet that signs, too, as an agreement which this one replaces asks for; may be repeated
    #[arg(long, value_name = "WALLET")]
    cosign: Vec<PathBuf>,
    /// Write the record, for `twinveil wallet cosign`, instead of sending it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    fn rules(&self) -> Vec<QuorumDocument> {
        let of: Vec<String> = self.of.iter().map(Did::to_string).collect();
        let rule = |matches| QuorumDocument { matches, need: self.need.unwrap_or_default(), of: of.clone() };
        match (self.of.is_empty(), self.matches.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => vec![rule(None)],
            (false, false) => self.matches.iter().cloned().map(|matches| rule(Some(matches))).collect(),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    super::super::block_on(send(args))
}

async fn send(args: &Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let voice = wallet.voice(SignerRole::Subject);
    let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
    let sign = |standing: &StandingResponse| {
        let replaces = desk::whole_ids(&args.replaces, standing)?;
        let record = wallet.agree(args.rules(), &replaces, args.role.into(), &origin, desk::head(standing)?, now()?);
        cosign::with(&args.cosign, record.map_err(|refusal| unsigned(&refusal))?, &origin)
    };
    if args.out.is_some() {
        let record = sign(&desk.standing(&wallet, &voice, &origin).await?)?;
        return write_envelope(&record, args.out.as_deref());
    }
    let book = Book::open(&wallet, &args.connection)?;
    let answer = desk.submit_next((&wallet, &voice), &origin, &book, sign).await?;
    told::taken(&answer, args.output)?;
    book.keep(&args.wallet, &answer.record, answer.receipt.as_ref())
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches};

    use super::*;

    fn args(line: &str) -> Result<Args, String> {
        let words = ["agree", "--wallet", "w.json"].into_iter().chain(line.split(' '));
        let matches = Args::augment_args(clap::Command::new("agree")).try_get_matches_from(words).map_err(|error| error.to_string())?;
        Args::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn an_agreement_has_a_rule_for_each_match_or_one_for_all_or_ends_another() {
        let of = format!("--of {},{}", Did([1; 32]), Did([2; 32]));
        let rules = |line: &str| args(line).expect(line).rules();
        let all = rules(&format!("--need 2 {of}"));
        assert_eq!((all.len(), all[0].need, all[0].of.len(), all[0].matches.is_none()), (1, 2, 2, true));
        let two = rules(&format!("--need 1 {of} --match operator_conduct --match path:actions"));
        assert_eq!(
            two.iter().filter_map(|rule| rule.matches.as_ref()).filter_map(|matches| matches.category.as_deref()).next(),
            Some("operator_conduct")
        );
        assert_eq!(two.len(), 2);
        assert!(rules("--replaces 77b1c0de").is_empty());
        for line in ["--need 2", "--match health --replaces 77b1c0de", &of, "--need 1 --of z6Mk"] {
            assert!(args(line).is_err(), "{line}");
        }
    }
}
