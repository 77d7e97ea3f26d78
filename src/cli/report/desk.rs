//! Records that may be shown, fetched from a gateway's desk by a registered person.

use std::path::Path;

use serde_json::json;

use super::super::connect::Connection;
use super::super::demand::desk::Desk;
use super::super::wallet::{entry, hex};
use super::super::{CliError, OutputArgs, say};
use crate::proto::v1::{DemandTaken, LoggedRefusals};
use crate::veil::consent::envelope::Envelope;
use crate::veil::demand::Period;
use crate::veil::demand::record::MEDIA_TYPE as DEMAND;
use crate::veil::report::Persons;

/// What the desk may tell everybody of a period, and what it tells a clerk beside it.
pub(super) struct Fetched {
    /// Records with names of their own.
    pub(super) files: Vec<(String, Envelope)>,
    /// How many persons each demand names; none where the desk does not tell who asks.
    pub(super) persons: Option<Persons>,
    /// How many demands may not be shown.
    pub(super) withheld: u64,
    /// What the gateway refused by itself, with its entries.
    pub(super) refusals: Vec<LoggedRefusals>,
}

/// Fetches it.
pub(super) async fn fetch(connection: &Connection, wallet: &Path, period: Period) -> Result<Fetched, CliError> {
    let mut desk = Desk::open(connection, wallet).await?;
    let (mut records, withheld) = desk.disclosed(period).await?;
    let mut persons = Persons::new();
    for demand in records.iter().filter(|record| record.payload_type == DEMAND).map(Envelope::id) {
        let subjects = desk.subjects(demand).await?;
        if !subjects.is_empty() {
            persons.insert(demand, subjects.len() as u64);
        }
    }
    let (published, refusals) = desk.published().await?;
    records.extend(published);
    let files = records.into_iter().map(|record| (format!("record {} of the desk", record.id()), record)).collect();
    Ok(Fetched { files, persons: (!persons.is_empty()).then_some(persons), withheld, refusals })
}

/// What became of it.
pub(super) fn tell(taken: &DemandTaken, output: OutputArgs) -> Result<(), CliError> {
    let (record, entry) = (hex(&taken.record), taken.receipt.as_ref().and_then(entry));
    if output.is_json() {
        return say(json!({"record": record, "kind": taken.state, "entry": entry}));
    }
    let entry = entry.map_or("none that can be read".to_owned(), |entry| entry.to_string());
    say(format_args!("record  {record}\nkind    {}\nentry   {entry}", super::super::plain(&taken.state)))
}
