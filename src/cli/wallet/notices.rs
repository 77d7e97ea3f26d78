//! `twinveil wallet notices`: what happens to grants and delegations, as it happens.

use std::path::PathBuf;

use serde_json::json;

use super::super::connect::{Connection, refused};
use super::super::{CliError, OutputArgs, say};
use super::desk::Desk;
use super::instant;
use super::{CARRIER, Speaker, hex, load};
use crate::proto::v1::Notice;
use crate::veil::consent::record::SignerRole;

/// Be told when something is granted, withdrawn, about to end or over, and by whom.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It goes on until Ctrl-C or --count. Something is `expiring` a week before its end, or in the last quarter of what is \
shorter than four weeks.

Examples:
  twinveil wallet notices --dir demo --wallet patient.json
  twinveil wallet notices --dir demo --wallet patient.json --past --output json")]
pub(super) struct Args {
    /// The wallet
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// Begin with what has happened so far
    #[arg(long)]
    past: bool,
    /// End after so many notices
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    super::super::block_on(listen(args))
}

async fn listen(args: &Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let voice = args.speaker.voice(&wallet, SignerRole::Subject);
    let mut notices = Desk::open(&args.connection, Some(CARRIER)).await?.notices(&wallet, &voice, args.past, &origin).await?;
    let mut told = 0;
    while args.count.is_none_or(|count| told < count) {
        let Some(notice) = notices.message().await.map_err(|status| refused(&status))? else { break };
        if args.output.is_json() {
            say(as_json(&notice))?
        } else {
            say(as_text(&notice))?
        }
        told += 1;
    }
    Ok(())
}

fn as_json(notice: &Notice) -> serde_json::Value {
    let by = (!notice.by.is_empty()).then_some(&notice.by);
    json!({"at": instant(notice.at_ms), "what": notice.what, "record": hex(&notice.record), "by": by})
}

fn as_text(notice: &Notice) -> String {
    let by = if notice.by.is_empty() { String::new() } else { format!("  by {}", notice.by) };
    format!("{}  {}  {}{by}", instant(notice.at_ms).unwrap_or_default(), hex(&notice.record), notice.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_says_when_what_and_by_whom_where_somebody_did_it() {
        let granted = Notice { at_ms: 2_000, what: "granted".into(), record: vec![0xaa; 32].into(), by: "subject".into() };
        assert_eq!(as_text(&granted), format!("1970-01-01T00:00:02Z  {}  granted  by subject", "aa".repeat(32)));
        let expired = Notice { what: "expired".into(), by: String::new(), ..granted };
        assert!(as_text(&expired).ends_with("  expired"));
        assert_eq!(as_json(&expired)["by"], serde_json::Value::Null);
    }
}
