//! `twinveil wallet standing`: what all records of a wallet add up to, now.

use std::path::PathBuf;

use serde_json::json;

use super::super::connect::Connection;
use super::super::table::Table;
use super::super::{CliError, OutputArgs, say};
use super::desk::{self, Desk};
use super::instant;
use super::told::{stream_json, streams};
use super::{CARRIER, Speaker, hex, load};
use crate::proto::v1::{Grant, StandingResponse};
use crate::veil::consent::record::SignerRole;
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
    speaker: Speaker,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let voice = args.speaker.voice(&wallet, SignerRole::Subject);
    let standing = super::super::block_on(async {
        let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
        desk.standing(&wallet, &voice, &origin).await
    })?;
    if args.output.is_json() { say(as_json(&voice.subject, &standing)) } else { say(as_text(&voice.subject, &standing)?) }
}

fn as_json(did: &Did, standing: &StandingResponse) -> serde_json::Value {
    let grants = standing.grants.iter().map(|grant| {
        json!({
            "record": hex(&grant.record), "seq": grant.seq, "state": grant.state,
            "not_before": instant(grant.not_before_ms), "expires": instant(grant.expires_ms),
            "recipients": grant.recipients, "purposes": grant.purposes, "rules": grant.rules, "hours": grant.windows,
            "max_uses": (grant.max_uses != 0).then_some(grant.max_uses), "used": grant.used,
            "needs_renewal": grant.needs_renewal, "delegate": some(&grant.delegate), "authority": some(&hex(&grant.authority)),
            "over_by": some(&grant.over_by), "over": instant(grant.over_ms),
        })
    });
    let delegations = standing.delegations.iter().map(|delegation| {
        json!({
            "record": hex(&delegation.record), "seq": delegation.seq, "state": delegation.state, "delegate": delegation.delegate,
            "capacity": delegation.capacity, "rights": delegation.rights, "not_before": instant(delegation.not_before_ms),
            "expires": instant(delegation.expires_ms), "depth": delegation.depth, "recipients": delegation.recipients,
            "purposes": delegation.purposes, "permits": delegation.permits, "authority": some(&hex(&delegation.authority)),
            "over_by": some(&delegation.over_by), "over": instant(delegation.over_ms),
        })
    });
    let agreements = standing.agreements.iter().map(|agreement| {
        let of: Vec<_> = agreement.of.iter().map(|of| json!({"need": of.need, "of": of.keys})).collect();
        json!({"record": hex(&agreement.record), "seq": agreement.seq, "rules": agreement.rules, "of": of})
    });
    let head = if standing.head.is_empty() { None } else { Some(hex(&standing.head)) };
    json!({
        "did": did.to_string(), "seq": standing.seq, "head": head,
        "grants": grants.collect::<Vec<_>>(), "delegations": delegations.collect::<Vec<_>>(),
        "agreements": agreements.collect::<Vec<_>>(), "streams": standing.streams.iter().map(stream_json).collect::<Vec<_>>(),
    })
}

fn as_text(did: &Did, standing: &StandingResponse) -> Result<String, CliError> {
    let head = desk::head(standing)?;
    let mut text = format!("did   {did}\nhead  {}", head.record.map_or_else(|| "0".to_owned(), |record| format!("{}:{record}", head.seq)));
    if !standing.delegations.is_empty() {
        text.push_str(&format!("\n\n{}", delegations(standing)));
    }
    for agreement in &standing.agreements {
        let id = hex(&agreement.record);
        text.push_str(&format!("\n\nagreement {}: {}", id.get(..SHOWN_DIGITS).unwrap_or(&id), agreement.rules.join("; ")));
    }
    if standing.grants.is_empty() {
        text.push_str("\n\nnothing was granted: nobody receives anything that needs consent");
        return Ok(text);
    }
    let mut grants = Table::new(&["record", "number", "state", "until", "recipients", "purposes", "rules", "by"]);
    for grant in &standing.grants {
        let id = hex(&grant.record);
        let list = |list: &[String], none: &str| if list.is_empty() { none.to_owned() } else { list.join("\n") };
        grants.push([
            &id.get(..SHOWN_DIGITS).unwrap_or(&id),
            &grant.seq,
            &state(&grant.state, &grant.over_by),
            &until(grant),
            &list(&grant.recipients, "everyone"),
            &list(&grant.purposes, "everything"),
            &list(&grant.rules, ""),
            &by(&grant.delegate),
        ]);
    }
    text.push_str(&format!("\n\n{grants}"));
    if !standing.streams.is_empty() {
        text.push_str(&format!("\n\n{}", streams(&standing.streams)));
    }
    Ok(text)
}

/// How it fares, and who ended it.
fn state(state: &str, over_by: &str) -> String {
    if over_by.is_empty() { state.to_owned() } else { format!("{state}\nby {over_by}") }
}

/// Until when, at which hours, and whether somebody has to see to it.
fn until(grant: &Grant) -> String {
    let mut lines = vec![instant(grant.expires_ms).unwrap_or_else(|| "for good".into())];
    if grant.needs_renewal {
        lines.push("needs renewal".into());
    }
    if grant.max_uses != 0 {
        lines.push(format!("{} of {} uses left", grant.max_uses.saturating_sub(grant.used), grant.max_uses));
    }
    lines.extend(grant.windows.iter().cloned());
    lines.join("\n")
}

fn by(delegate: &str) -> String {
    if delegate.is_empty() { "the subject".into() } else { delegate.to_owned() }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn delegations(standing: &StandingResponse) -> Table {
    let mut table = Table::new(&["delegation", "number", "state", "until", "delegate", "rights", "recipients", "purposes", "may permit"]);
    for delegation in &standing.delegations {
        let id = hex(&delegation.record);
        let list = |list: &[String]| if list.is_empty() { "any".to_owned() } else { list.join("\n") };
        table.push([
            &id.get(..SHOWN_DIGITS).unwrap_or(&id),
            &delegation.seq,
            &state(&delegation.state, &delegation.over_by),
            &instant(delegation.expires_ms).unwrap_or_default(),
            &format!("{}\n{}", delegation.capacity, delegation.delegate),
            &delegation.rights.join("\n"),
            &list(&delegation.recipients),
            &list(&delegation.purposes),
            &delegation.permits.join("\n"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{Agreement, Delegation, Signatories, StreamBarrier};

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
                    windows: vec!["mon 08:00-16:30 Europe/Vienna".into()],
                    needs_renewal: true,
                    max_uses: 9,
                    used: 2,
                    delegate: "did:key:z6MkGuardian".into(),
                    authority: vec![0xdd; 32].into(),
                    ..Grant::default()
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
            delegations: vec![Delegation {
                record: vec![0xdd; 32].into(),
                seq: 3,
                state: "ended".into(),
                delegate: "did:key:z6MkGuardian".into(),
                capacity: "guardian".into(),
                rights: vec!["view".into(), "grant".into()],
                expires_ms: 3_000,
                permits: vec!["anything".into()],
                over_by: "subject".into(),
                over_ms: 2_500,
                ..Delegation::default()
            }],
            agreements: vec![Agreement {
                record: vec![0xee; 32].into(),
                seq: 4,
                rules: vec!["2 of 2 sign every permit".into()],
                of: vec![Signatories { need: 2, keys: vec!["did:key:z6MkCouncil".into()] }],
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
            "needs renewal",
            "7 of 9 uses left",
            "mon 08:00-16:30 Europe/Vienna",
            "did:key:z6MkGuardian",
            "the subject",
            "by subject",
            "dddddddddddd  3",
            "agreement eeeeeeeeeeee: 2 of 2 sign every permit",
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
        assert_eq!((&json["grants"][0]["needs_renewal"], &json["grants"][1]["delegate"]), (&json!(true), &json!(null)));
        assert_eq!(
            (&json["delegations"][0]["over_by"], &json["delegations"][0]["over"]),
            (&json!("subject"), &json!("1970-01-01T00:00:02.5Z"))
        );
        assert_eq!(json["agreements"][0]["of"][0]["of"][0], "did:key:z6MkCouncil");
    }

    #[test]
    fn nothing_granted_is_said() {
        let text = as_text(&Did([1; 32]), &StandingResponse::default()).expect("text");
        assert!(text.contains("head  0\n") && text.ends_with("nobody receives anything that needs consent"), "{text}");
    }
}
