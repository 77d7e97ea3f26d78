//! `twinveil demand approve` and `refuse`: a decision, drafted by one approver and signed by a second.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::wallet::unsigned;
use super::super::{CliError, words};
use super::desk::{Desk, stages};
use super::{PeriodArgs, Signer, Which, digest, field, set, tell};
use crate::client::dsse;
use crate::veil::demand::Decision;
use crate::veil::name::{RecordId, Spiffe};

/// Decide that something is released, as an approver; or sign what another approver drafted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A decision counts when two approvers have signed the same bytes, one of whom wrote nothing else in the case. `comply` releases \
all that was demanded, `comply-in-part` less. With `--consent` it rests on the subject's own consent for the demand, and not on \
the three stages.

Examples:
  twinveil demand approve 0a8f… --dir demo --wallet one.json --outcome comply-in-part --reason overbroad \\
      --field twinveil.sample.PatientFrame:vitals.heart_rate_bpm --to spiffe://example.org/recipient/court \\
      --from 2026-03-01T00:00:00Z --until 2026-04-01T00:00:00Z --deferred-until 2026-05-01T00:00:00Z --basis 'StPO § 101' \\
      --reasoning decision.md
  twinveil demand approve 0a8f… --dir demo --wallet two.json --cosign")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Sign the decision that waits for a signature, instead of drafting one
    #[arg(long, conflicts_with_all = ["outcome", "field", "to", "from", "until", "consent", "reason", "deferred_until", "basis", "reasoning"])]
    cosign: bool,
    /// Which of several that wait: its id
    #[arg(long, value_name = "ID", requires = "cosign", value_parser = words::record)]
    decision: Option<RecordId>,
    /// comply or comply-in-part
    #[arg(long, value_name = "OUTCOME", required_unless_present = "cosign")]
    outcome: Option<String>,
    /// A field that is released, and all below it; may be repeated
    #[arg(long, value_name = "SCHEMA:PATH", value_parser = field)]
    field: Vec<Value>,
    /// The party that frames are released to
    #[arg(long, value_name = "SPIFFE", value_parser = words::spiffe)]
    to: Option<Spiffe>,
    #[command(flatten)]
    period: PeriodArgs,
    /// The subject's consent that it rests on
    #[arg(long, value_name = "ID", value_parser = words::record)]
    consent: Option<RecordId>,
    /// Why less than what was demanded, such as overbroad; may be repeated
    #[arg(long, value_name = "REASON")]
    reason: Vec<String>,
    /// Whom it is about is told at the end of the gag, then; before anything is released where absent
    #[arg(long, value_name = "INSTANT", requires = "basis")]
    deferred_until: Option<jiff::Timestamp>,
    /// By what law that is deferred
    #[arg(long, value_name = "LAW", requires = "deferred_until")]
    basis: Option<String>,
    /// The reasoning, which is kept elsewhere; its hash goes into the record
    #[arg(long, value_name = "FILE", required_unless_present = "cosign")]
    reasoning: Option<PathBuf>,
    #[command(flatten)]
    signer: Signer,
}

/// Decide that nothing is released, as an approver. Another one signs with `twinveil demand approve --cosign`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil demand refuse 0a8f… --dir demo --wallet one.json --reason human_rights --reasoning decision.md
  twinveil demand refuse 0a8f… --dir demo --wallet one.json --outcome unable --reason no_key --reasoning decision.md
  twinveil demand approve 0a8f… --dir demo --wallet two.json --cosign")]
pub(super) struct RefuseArgs {
    #[command(flatten)]
    which: Which,
    /// refuse, no-data (there is nothing) or unable (what there is the gateway cannot open)
    #[arg(long, value_name = "OUTCOME", default_value = "refuse")]
    outcome: String,
    /// Why, such as human_rights, insufficient_process, redesign_out_of_scope, not_held or no_key; may be repeated
    #[arg(long, value_name = "REASON", required = true)]
    reason: Vec<String>,
    /// The reasoning, which is kept elsewhere; its hash goes into the record
    #[arg(long, value_name = "FILE")]
    reasoning: PathBuf,
    #[command(flatten)]
    signer: Signer,
}

pub(super) async fn run(args: &Args) -> Result<(), CliError> {
    let mut desk = args.signer.desk().await?;
    if args.cosign {
        return cosign(args, &mut desk).await;
    }
    let mut said = said(args.outcome.as_deref().unwrap_or_default(), args.reasoning.as_ref(), &args.reason)?;
    set(&mut said, "fields", Some(args.field.clone()));
    set(&mut said, "recipient", args.to.as_ref().map(ToString::to_string));
    set(&mut said, "period", args.period.document());
    set(&mut said, "consent", args.consent.map(|id| id.to_string()));
    let notice = match (args.deferred_until, &args.basis) {
        (Some(until), Some(basis)) => json!({"when": "deferred", "until": until.to_string(), "basis": basis}),
        _ => json!({"when": "before-release"}),
    };
    set(&mut said, "notice", Some(notice));
    decide(&mut desk, args.which.demand, said, &args.signer).await
}

pub(super) async fn refuse(args: &RefuseArgs) -> Result<(), CliError> {
    let mut desk = args.signer.desk().await?;
    let said = said(&args.outcome, Some(&args.reasoning), &args.reason)?;
    decide(&mut desk, args.which.demand, said, &args.signer).await
}

fn said(outcome: &str, reasoning: Option<&PathBuf>, reasons: &[String]) -> Result<Value, CliError> {
    let reasoning = reasoning.ok_or_else(|| CliError::broken("say where the reasoning is: `--reasoning FILE`"))?;
    let mut said = json!({"outcome": outcome, "reasoning_sha256": digest(reasoning)?});
    set(&mut said, "reasons", Some(reasons.to_vec()).filter(|reasons| !reasons.is_empty()));
    Ok(said)
}

/// A decision names the stages that are in force, all of them.
async fn decide(desk: &mut Desk, demand: RecordId, mut said: Value, signer: &Signer) -> Result<(), CliError> {
    let stages = stages(&desk.show(demand).await?);
    set(&mut said, "stages", Some(stages).filter(|stages| !stages.is_empty()));
    tell(&desk.say::<Decision>(demand, said).await?, signer.output)
}

async fn cosign(args: &Args, desk: &mut Desk) -> Result<(), CliError> {
    let shown = desk.show(args.which.demand).await?;
    let waiting = shown.drafts.iter().map(dsse::from_proto);
    let waiting: Vec<_> = waiting.filter(|draft| args.decision.is_none_or(|id| draft.id() == id)).collect();
    let draft = match waiting.as_slice() {
        [draft] => draft,
        [] => return Err(CliError::found("no decision of this demand waits for a signature: `twinveil demand show` says how it stands")),
        several => {
            let ids: Vec<_> = several.iter().map(|draft| draft.id().to_string()).collect();
            return Err(CliError::broken(format!("several decisions wait: say which with `--decision ID`: {}", ids.join(", "))));
        }
    };
    let both = desk.wallet.approve(draft, &desk.origin).map_err(|refusal| unsigned(&refusal))?;
    tell(&desk.submit(&both).await?, args.signer.output)
}
