//! `twinveil demand list` and `show`: how demands stand.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::table::Table;
use super::super::wallet::{hex, instant};
use super::super::{CliError, certs, plain, say};
use super::desk::{RECORDS_MAX, nonsense};
use super::{Signer, Which};
use crate::client::dsse;
use crate::proto::v1::{Demand, DemandRecord};

/// List every demand, and how it stands.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil demand list --dir demo --wallet clerk.json")]
pub(super) struct ListArgs {
    #[command(flatten)]
    signer: Signer,
}

/// Show one demand: how it stands, whose move it is, and every record of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil demand show 0a8f… --dir demo --wallet counsel.json")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Write every record, as it was signed, into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    signer: Signer,
}

pub(super) async fn list(args: &ListArgs) -> Result<(), CliError> {
    let mut desk = args.signer.desk().await?;
    let mut table = Table::new(&["taken", "demand", "state", "from", "asks", "outcome", "gag until"]);
    let mut seen = 0;
    loop {
        let page = desk.list(seen).await?.demands;
        if page.is_empty() {
            break;
        }
        seen += page.len() as u64;
        if seen > RECORDS_MAX {
            return Err(nonsense("demands without an end"));
        }
        for demand in &page {
            if args.signer.output.is_json() {
                say(as_json(demand))?;
                continue;
            }
            let taken = instant(demand.taken_ms).unwrap_or_default();
            let id = hex(&demand.demand);
            table.push([&taken, &id, &demand.state, &demand.source, &demand.asks, &demand.outcome, &gag(demand)]);
        }
    }
    match (args.signer.output.is_json(), table.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => say("no demands"),
        (false, false) => say(table),
    }
}

fn gag(demand: &Demand) -> String {
    match demand.gagged {
        true => instant(demand.gag_until_ms).unwrap_or_else(|| "without an end".to_owned()),
        false => String::new(),
    }
}

pub(super) async fn run(args: &Args) -> Result<(), CliError> {
    let mut desk = args.signer.desk().await?;
    let shown = desk.show(args.which.demand).await?;
    let demand = shown.demand.unwrap_or_default();
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).map_err(|error| CliError::broken(format!("`{}`: {}", out.display(), error.kind())))?;
        for record in &shown.records {
            let Some(envelope) = &record.envelope else { continue };
            let file = out.join(format!("{}.{}.json", hex(&record.record), record.kind));
            certs::create(&file, format!("{}\n", dsse::from_proto(envelope).to_json()).as_bytes(), 0o644)?;
        }
    }
    if args.signer.output.is_json() {
        let mut told = as_json(&demand);
        super::set(&mut told, "records", Some(shown.records.iter().map(record).collect::<Vec<_>>()));
        super::set(&mut told, "subjects", Some(shown.subjects.clone()));
        let drafts: Vec<_> = shown.drafts.iter().map(|draft| dsse::from_proto(draft).id().to_string()).collect();
        super::set(&mut told, "drafts", Some(drafts));
        return say(told);
    }
    let line = |name: &str, text: &str| if text.is_empty() { Ok(()) } else { say(format_args!("{name:<9}{}", plain(text))) };
    line("demand", &hex(&demand.demand))?;
    line("from", &demand.source)?;
    line("asks", &demand.asks)?;
    line("state", &demand.state)?;
    line("outcome", &demand.outcome)?;
    line("gag", &gag(&demand))?;
    line("told", if demand.notified { "yes" } else { "" })?;
    if demand.refused.is_empty() {
        line("released", &format!("to {} until {}", demand.recipient, instant(demand.until_ms).unwrap_or_default()))?;
    } else {
        line("nothing", &format!("is released: {}", demand.refused))?;
    }
    for missing in &demand.missing {
        line("missing", missing)?;
    }
    for did in &shown.subjects {
        line("about", did)?;
    }
    let mut table = Table::new(&["taken", "what", "record", "entry"]);
    for one in &shown.records {
        table.push([
            &instant(one.taken_ms).unwrap_or_default(),
            &one.kind,
            &hex(&one.record),
            &entry(one).map(|entry| entry.to_string()).unwrap_or_default(),
        ]);
    }
    say(table)
}

/// The number of a record's entry in the log.
fn entry(record: &DemandRecord) -> Option<u64> {
    super::super::wallet::entry(record.receipt.as_ref()?)
}

fn record(one: &DemandRecord) -> Value {
    let said: Option<Value> = one.envelope.as_ref().and_then(|envelope| serde_json::from_slice(&envelope.payload).ok());
    json!({"record": hex(&one.record), "kind": one.kind, "taken": instant(one.taken_ms), "entry": entry(one), "said": said})
}

fn as_json(demand: &Demand) -> Value {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "demand": hex(&demand.demand), "state": demand.state, "taken": instant(demand.taken_ms), "source": demand.source,
        "asks": demand.asks, "outcome": some(&demand.outcome), "gagged": demand.gagged, "gag_until": instant(demand.gag_until_ms),
        "told": demand.notified, "recipient": some(&demand.recipient), "from": instant(demand.from_ms), "until": instant(demand.until_ms),
        "refused": some(&demand.refused), "missing": demand.missing,
    })
}
