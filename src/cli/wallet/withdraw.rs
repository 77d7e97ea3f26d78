//! `twinveil wallet withdraw`: one call, no reason asked, in force when it answers.

use std::path::PathBuf;

use super::super::connect::Connection;
use super::super::words;
use super::super::{CliError, OutputArgs, now};
use super::desk::{self, Desk};
use super::receipts::Book;
use super::{CARRIER, Role, Speaker, load, speaker, told, unsigned, write_envelope};
use crate::client::wallet::{Voice, Wallet};
use crate::proto::v1::WithdrawResponse;
use crate::veil::consent::record::SignerRole;
use crate::veil::consent::withdrawal::Reach;
use crate::veil::name::{Did, RecordId};

/// End what was granted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
No reason is asked. When it answers it is in force on every open stream: for each it says the last frame that was handed \
over under the old consent. It ends permits only; to end a forbid, grant with `--replaces`. Signed ahead, with \
`--offline`, it waits in a drawer until `twinveil wallet submit` sends it; it never reaches grants that are made later.

Examples:
  twinveil wallet withdraw --dir demo --wallet patient.json --all
  twinveil wallet withdraw --dir demo --wallet patient.json 5f3ac0b1
  twinveil wallet withdraw --dir demo --wallet guardian.json --all \\
      --for did:key:z6Mk… --authority 0a8f…
  twinveil wallet withdraw --dir demo --wallet council.json 5f3a… \\
      --of did:key:z6Mk… --agreement 77b1…
  twinveil wallet withdraw --dir demo --wallet patient.json --up-to 7 \\
      --offline --out withdrawal.json")]
pub(super) struct Args {
    /// The wallet that granted
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// Records: their ids, or the first 8 digits or more
    #[arg(value_name = "ID", required_unless_present_any = ["all", "up_to"], conflicts_with_all = ["all", "up_to"])]
    ids: Vec<String>,
    /// Everything that was granted so far
    #[arg(long, conflicts_with = "up_to")]
    all: bool,
    /// Every record up to this number
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    up_to: Option<u64>,
    /// As whom to speak: `subject`, or `operator` for a mandate
    #[arg(long, value_enum, default_value_t = Role::Subject, hide_possible_values = true)]
    role: Role,
    #[command(flatten)]
    speaker: Speaker,
    /// As one of those whose signatures this agreement asks for: its whole id; with --of
    #[arg(long, value_name = "ID", value_parser = speaker::record, requires = "of", conflicts_with_all = ["subject", "all"])]
    agreement: Option<RecordId>,
    /// The subject whose agreement it is
    #[arg(long, value_name = "DID", value_parser = words::did, requires = "agreement")]
    of: Option<Did>,
    /// Only sign: print the record, or write it to --out, for `twinveil wallet submit`
    #[arg(long, conflicts_with = "all")]
    offline: bool,
    /// Where to write the record that was signed offline
    #[arg(long, value_name = "FILE", requires = "offline")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    if !args.offline {
        return super::super::block_on(send(args));
    }
    let reach = args.reach_offline().ok_or_else(|| CliError::broken("offline, a withdrawal takes whole record ids: 64 digits"))?;
    let wallet = load(&args.wallet)?;
    let record = wallet.withdraw_as(&args.voice(&wallet), &reach, &args.connection.origin()?, now()?);
    write_envelope(&record.map_err(|refusal| unsigned(&refusal))?, args.out.as_deref())
}

impl Args {
    fn voice(&self, wallet: &Wallet) -> Voice {
        match (self.of, self.agreement) {
            (Some(subject), Some(agreement)) => Voice { subject, role: SignerRole::Signatory(agreement), vault_key: None },
            _ => self.speaker.voice(wallet, self.role.into()),
        }
    }

    /// What can be said without asking the gateway.
    fn reach_offline(&self) -> Option<Reach> {
        match self.up_to {
            Some(seq) => Some(Reach::UpTo(seq)),
            None if self.all => None,
            None => desk::in_full(&self.ids).map(Reach::Records),
        }
    }
}

async fn send(args: &Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let voice = args.voice(&wallet);
    let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
    let reach = match args.reach_offline() {
        Some(reach) => reach,
        None if args.agreement.is_some() => {
            return Err(CliError::broken("under an agreement, a withdrawal takes whole record ids: 64 digits"));
        }
        None => {
            let standing = desk.standing(&wallet, &voice, &origin).await?;
            if args.all && standing.seq == 0 {
                return told::ended(&WithdrawResponse::default(), args.output);
            }
            if args.all { Reach::UpTo(standing.seq) } else { Reach::Records(desk::whole_ids(&args.ids, &standing)?) }
        }
    };
    let record = wallet.withdraw_as(&voice, &reach, &origin, now()?).map_err(|refusal| unsigned(&refusal))?;
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
        let words = ["withdraw", "--wallet", "w.json"].into_iter().chain(line.split_terminator(' '));
        let matches = Args::augment_args(clap::Command::new("withdraw")).try_get_matches_from(words).map_err(|error| error.to_string())?;
        Args::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn a_withdrawal_names_records_or_a_number_or_all() {
        let id = "aa".repeat(32);
        assert_eq!(args(&id).expect("id").reach_offline(), Some(Reach::Records(vec![RecordId([0xaa; 32])])));
        assert_eq!(args("--up-to 7").expect("number").reach_offline(), Some(Reach::UpTo(7)));
        assert_eq!(args("--all").expect("all").reach_offline(), None);
        assert_eq!(args("aaaaaaaa").expect("beginning").reach_offline(), None);
        for line in ["", "--all aaaaaaaa", "--all --up-to 7", "--up-to 0", "--all --offline", "--up-to 7 --out x"] {
            assert!(args(line).is_err(), "{line}");
        }
    }
}
