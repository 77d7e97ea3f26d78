//! `twinveil demand stage`: one of the three questions of the human-rights test, answered.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::{CliError, words};
use super::{Signer, Which, digest, set, tell};
use crate::veil::demand::Stage;
use crate::veil::name::RecordId;

/// Answer one of the three stages: can the law be challenged, is there a risk, is complying in line with human rights?
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Counsel answers 1 and 2, an analyst 2 and 3. A stage is met (`--met`) only where neither law nor jurisdiction can be challenged \
(1), a risk is named (2), and rights are and none of them violated (3).

Examples:
  twinveil demand stage 0a8f… --dir demo --wallet counsel.json --n 1 --met --determination court-order \\
      --primary-law --jurisdiction --reasoning stage-1.md
  twinveil demand stage 0a8f… --dir demo --wallet counsel.json --n 2 --met --risk licence --reasoning stage-2.md
  twinveil demand stage 0a8f… --dir demo --wallet analyst.json --n 3 --right 'ICCPR:17=violated' --reasoning stage-3.md")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Which question: 1, 2 or 3
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3))]
    n: u8,
    /// Its condition is met
    #[arg(long)]
    met: bool,
    /// Stage 1: who determined it: court-order, in-house-counsel or outside-counsel
    #[arg(long, value_name = "WHO")]
    determination: Option<String>,
    /// Stage 1: the law itself cannot be challenged effectively
    #[arg(long)]
    primary_law: bool,
    /// Stage 1: that it reaches here cannot be challenged effectively
    #[arg(long)]
    jurisdiction: bool,
    /// Stage 2: what is at risk, such as safety, liberty, blocking or licence; may be repeated
    #[arg(long, value_name = "RISK")]
    risk: Vec<String>,
    /// Stage 3: a right and what complying does to it, such as `ICCPR:17=compatible`; may be repeated
    #[arg(long, value_name = "WHERE:ARTICLE=FINDING", value_parser = right)]
    right: Vec<Value>,
    /// The reasoning, which is kept elsewhere; its hash goes into the record
    #[arg(long, value_name = "FILE")]
    reasoning: PathBuf,
    /// What it rests on; hashes go into the record; may be repeated
    #[arg(long, value_name = "FILE")]
    evidence: Vec<PathBuf>,
    /// The answer to the same question that this one takes the place of
    #[arg(long, value_name = "ID", value_parser = words::record)]
    replaces: Option<RecordId>,
    #[command(flatten)]
    signer: Signer,
}

fn right(text: &str) -> Result<Value, String> {
    let parts = text.split_once('=').and_then(|(right, finding)| Some((right.rsplit_once(':')?, finding)));
    let ((instrument, article), finding) = parts.ok_or("write `WHERE:ARTICLE=FINDING`, such as `ICCPR:17=compatible`")?;
    Ok(json!({"instrument": instrument, "article": article, "finding": finding}))
}

pub(super) async fn run(args: &Args) -> Result<(), CliError> {
    let mut said = json!({"n": args.n, "met": args.met, "reasoning_sha256": digest(&args.reasoning)?});
    if args.n == 1 {
        set(&mut said, "determination", args.determination.clone());
        set(&mut said, "no_challenge", Some(json!({"primary_law": args.primary_law, "jurisdiction": args.jurisdiction})));
    }
    for (member, list) in [("risks", args.risk.iter().cloned().map(Value::from).collect()), ("rights", args.right.clone())] {
        set(&mut said, member, Some(list).filter(|list: &Vec<Value>| !list.is_empty()));
    }
    let evidence = args.evidence.iter().map(|file| digest(file)).collect::<Result<Vec<_>, _>>()?;
    set(&mut said, "evidence", Some(evidence).filter(|evidence| !evidence.is_empty()));
    set(&mut said, "replaces", args.replaces.map(|id| id.to_string()));
    let mut desk = args.signer.desk().await?;
    tell(&desk.say::<Stage>(args.which.demand, said).await?, args.signer.output)
}
