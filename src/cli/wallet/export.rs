//! `twinveil wallet export`: what stands, in the form of others; and what was handed over, to be taken along.

use std::path::PathBuf;

use super::super::connect::Connection;
use super::super::{CliError, now, say};
use super::desk::Desk;
use super::{CARRIER, Speaker, history, load, unsigned};
use crate::client::fhir::{Acts, Held, bundle};
use crate::client::wallet::{Voice, Wallet};
use crate::proto::v1::{Grant, StandingResponse};
use crate::veil::consent::envelope::{Signed, Verified};
use crate::veil::consent::record::{Consent, SignerRole};
use crate::veil::name::{Did, Origin, RecordId};

/// Write the standing consents of the wallet as FHIR R5 resources, or its history to take along.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every record that permits something now or later becomes a resource `Consent` of a Bundle, with the base decision `deny`; what others \
forbid, or permit with more protection, is an exception in it. Treatments, hours and counted uses are modifier extensions, which a \
reader must understand or refuse. The signed record is attached.

A history is a line that says what it is, and a line for each disclosure that is in the log, with all that proves it: \
`twinveil wallet history --exported` checks it with the log's key, and no gateway is asked. Where a line does not hold, or one is missing, \
nothing is written.

Examples:
  twinveil wallet export --fhir --dir demo --wallet patient.json
  twinveil wallet export --fhir --dir demo --wallet patient.json --out consents.json
  twinveil wallet export --history --dir demo --wallet patient.json --out history.ndjson")]
pub(super) struct Args {
    /// As an HL7 FHIR R5 Bundle of `Consent` resources (JSON)
    #[arg(long, required_unless_present = "history", conflicts_with = "history")]
    fhir: bool,
    /// Who was handed what so far, each line with its proof (one JSON object a line)
    #[arg(long)]
    history: bool,
    /// The key of the gateway's log (name+hash+key); what the wallet pinned, or DIR/log.vkey, where absent
    #[arg(long, value_name = "FILE", requires = "history")]
    log_key: Option<PathBuf>,
    /// The wallet
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// Write it to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let voice = args.speaker.voice(&wallet, SignerRole::Subject);
    if args.history {
        let (found, log) = history::fetched(&args.wallet, args.speaker, args.log_key.as_deref(), &args.connection)?;
        let text = history::exported(found, voice.subject, &log)?;
        return match &args.out {
            None => say(text.trim_end()),
            // It tells who had what of somebody.
            Some(out) => super::super::certs::create(out, text.as_bytes(), 0o600),
        };
    }
    let held = super::super::block_on(held(args, &wallet, &voice, &origin))?;
    let text = format!("{:#}", bundle(&held, now()?));
    match &args.out {
        None => say(text),
        Some(out) => super::super::certs::create(out, format!("{text}\n").as_bytes(), 0o644),
    }
}

/// Every record that still says something, as it was signed; nothing is taken on the gateway's word.
async fn held(args: &Args, wallet: &Wallet, voice: &Voice, origin: &Origin) -> Result<Vec<Held>, CliError> {
    let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
    let standing = desk.standing(wallet, voice, origin).await?;
    let mut held = Vec::new();
    for grant in &standing.grants {
        let Some(acts) = acts(grant) else { continue };
        let id = grant.record[..].try_into().map(RecordId);
        let id = id.map_err(|_| CliError::broken("the gateway's answer makes no sense: a grant without a record id"))?;
        let envelope = desk.record(wallet, voice, id, origin).await?;
        let verified = Signed::<Consent>::new(&envelope).and_then(|signed| signed.verify(origin));
        let record = verified.map_err(|refusal| unsigned(&refusal))?;
        if record.get().subject != voice.subject {
            return Err(CliError::broken("the gateway's answer makes no sense: a record about somebody else"));
        }
        // What an operator signed with this key is about no person.
        if !record.get().by.role.is_mandate() {
            let acts = if acts == Acts::Whole && lacks(&standing, &record) { Acts::Unsigned } else { acts };
            held.push(Held { envelope, record, acts });
        }
    }
    Ok(held)
}

/// What of a grant acts, by the word that the standing has for it; a word that is not known acts in full where it forbids.
fn acts(grant: &Grant) -> Option<Acts> {
    match grant.state.as_str() {
        "live" | "out of hours" | "not yet" => Some(Acts::Whole),
        "expired" | "replaced" => None,
        _ => Some(Acts::Forbids),
    }
}

/// Whether an agreement asks for signatures that a record does not have, for whatever fields.
fn lacks(standing: &StandingResponse, record: &Verified<Consent>) -> bool {
    let signed = |key: &String| Did::parse(key).is_ok_and(|did| record.signed_by(&did));
    let mut quorums = standing.agreements.iter().flat_map(|agreement| &agreement.of);
    quorums.any(|of| of.keys.iter().filter(|key| signed(key)).count() < of.need as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_is_over_forbids_still_until_it_expires() {
        let grant = |state: &str| Grant { state: state.into(), ..Grant::default() };
        for (state, expected) in [
            ("live", Some(Acts::Whole)),
            ("out of hours", Some(Acts::Whole)),
            ("not yet", Some(Acts::Whole)),
            ("withdrawn", Some(Acts::Forbids)),
            ("ended", Some(Acts::Forbids)),
            ("used up", Some(Acts::Forbids)),
            ("a word of tomorrow", Some(Acts::Forbids)),
            ("expired", None),
            ("replaced", None),
        ] {
            assert_eq!(acts(&grant(state)), expected, "{state}");
        }
    }
}
