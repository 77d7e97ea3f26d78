//! `twinveil wallet standing`: what all records of a wallet add up to, now.

use std::path::PathBuf;

use serde_json::json;

use super::super::connect::Connection;
use super::super::table::Table;
use super::super::{CliError, OutputArgs, say};
use super::desk::{self, Desk};
use super::withdraw::{instant, stream_json, streams};
use super::{CARRIER, hex, load};
use crate::proto::v1::StandingResponse;
use crate::veil::name::Did;

/// How much of a record id is shown in tables.
const SHOWN_DIGITS: usize = 12;

/// Show every grant of the wallet, and who receives now.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil wallet standing --dir demo --wallet patient.json

Tables show the first digits of record ids, which the other commands take; `--output json` has them in full.")]
pub(super) struct Args {
    /// The wallet
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let standing = super::super::block_on(async {
        let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
        desk.standing(&wallet, &origin).await
    })?;
    if args.output.is_json() { say(as_json(&wallet.did(), &standing)) } else { say(as_text(&wallet.did(), &standing)?) }
}

fn as_json(did: &Did, standing: &StandingResponse) -> serde_json::Value {
    let grants = standing.grants.iter().map(|grant| {
        json!({
            "record": hex(&grant.record), "seq": grant.seq, "state": grant.state,
            "not_before": instant(grant.not_before_ms), "expires": instant(grant.expires_ms),
            "recipients": grant.recipients, "purposes": grant.purposes, "rules": grant.rules,
        })
    });
    let head = if standing.head.is_empty() { None } else { Some(hex(&standing.head)) };
    json!({
        "did": did.to_string(), "seq": standing.seq, "head": head,
        "grants": grants.collect::<Vec<_>>(), "streams": standing.streams.iter().map(stream_json).collect::<Vec<_>>(),
    })
}

fn as_text(did: &Did, standing: &StandingResponse) -> Result<String, CliError> {
    let head = desk::head(standing)?;
    let mut text = format!("did   {did}\nhead  {}", head.record.map_or_else(|| "0".to_owned(), |record| format!("{}:{record}", head.seq)));
    if standing.grants.is_empty() {
        text.push_str("\n\nnothing was granted: nobody receives anything that needs consent");
        return Ok(text);
    }
    let mut grants = Table::new(&["record", "number", "state", "until", "recipients", "purposes", "rules"]);
    for grant in &standing.grants {
        let id = hex(&grant.record);
        let list = |list: &[String], none: &str| if list.is_empty() { none.to_owned() } else { list.join("\n") };
        grants.push([
            &id.get(..SHOWN_DIGITS).unwrap_or(&id),
            &grant.seq,
            &grant.state,
            &instant(grant.expires_ms).unwrap_or_else(|| "for good".into()),
            &list(&grant.recipients, "everyone"),
            &list(&grant.purposes, "everything"),
            &list(&grant.rules, ""),
        ]);
    }
    text.push_str(&format!("\n\n{grants}"));
    if !standing.streams.is_empty() {
        text.push_str(&format!("\n\n{}", streams(&standing.streams)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{Grant, StreamBarrier};

    fn standing() -> StandingResponse {
        StandingResponse {
            seq: 2,
            head: vec![0xaa; 32].into(),
            grants: vec![
                Grant {
                    record: vec![0xbb; 32].into(),
                    seq: 1,
                    state: "live".into(),
                    not_before_ms: 1_000,
                    expires_ms: 2_000,
                    recipients: vec!["spiffe://a/b".into(), "spiffe://a/c".into()],
                    purposes: vec!["dpv:ServiceProvision".into()],
                    rules: vec!["keep health".into()],
                },
                Grant {
                    record: vec![0xaa; 32].into(),
                    seq: 2,
                    state: "live".into(),
                    expires_ms: i64::MAX,
                    rules: vec!["never location".into()],
                    ..Grant::default()
                },
            ],
            streams: vec![StreamBarrier {
                stream_id: vec![1; 16].into(),
                recipient: "spiffe://a/b".into(),
                purpose: "dpv:ServiceProvision".into(),
                last_handover: 9,
                view: 1,
            }],
        }
    }

    #[test]
    fn every_grant_and_stream_has_a_line_and_no_end_is_said_in_words() {
        let text = as_text(&Did([1; 32]), &standing()).expect("text");
        for part in [
            "head  2:aaaa",
            "bbbbbbbbbbbb  1",
            "1970-01-01T00:00:02Z",
            "for good",
            "everyone",
            "everything",
            "never location",
            "last hand-over",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains(&"bb".repeat(32)));
    }

    #[test]
    fn programs_get_whole_ids_and_nulls() {
        let json = as_json(&Did([1; 32]), &standing());
        assert_eq!(json["head"], "aa".repeat(32));
        assert_eq!(json["grants"][0]["expires"], "1970-01-01T00:00:02Z");
        assert!(json["grants"][1]["expires"].is_null());
        assert_eq!(json["streams"][0]["last_handover"], 9);
    }

    #[test]
    fn nothing_granted_is_said() {
        let text = as_text(&Did([1; 32]), &StandingResponse::default()).expect("text");
        assert!(text.contains("head  0\n") && text.ends_with("nobody receives anything that needs consent"), "{text}");
    }
}
