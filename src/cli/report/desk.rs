//! Records that may be shown, fetched from a gateway's desk by a registered person.

use std::path::Path;

use serde_json::json;
use tonic::Status;
use tonic::transport::Channel;

use super::super::connect::{Connection, refused};
use super::super::wallet::{CARRIER, entry, hex, load, unsigned};
use super::super::{CliError, OutputArgs, now, say};
use crate::client::dsse;
use crate::client::wallet::Wallet;
use crate::proto::v1::demands_client::DemandsClient;
use crate::proto::v1::{DemandTaken, DisclosedDemandsRequest, LoggedRefusals, PublishedRequest, ShowDemandRequest, SubmitDemandRequest};
use crate::veil::consent::envelope::Envelope;
use crate::veil::demand::Period;
use crate::veil::demand::query::Asks;
use crate::veil::demand::record::MEDIA_TYPE as DEMAND;
use crate::veil::name::{Origin, RecordId};
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
    let (wallet, origin) = (load(wallet)?, connection.origin()?);
    let mut client = DemandsClient::new(connection.connect(Some(CARRIER)).await?);
    let (mut files, mut cases) = (Vec::new(), 0u64);
    let withheld = loop {
        let query = Some(ask(&wallet, &Asks::Disclosed(period), &origin)?);
        let request = DisclosedDemandsRequest { query, skip: cases };
        let page = client.disclosed(request).await.map_err(|status| refused(&status))?.into_inner();
        if page.demands.is_empty() {
            break page.withheld;
        }
        cases += page.demands.len() as u64;
        for envelope in page.demands.iter().flat_map(|demand| &demand.records).filter_map(|record| record.envelope.as_ref()) {
            let envelope = dsse::from_proto(envelope);
            files.push((format!("record {} of the desk", envelope.id()), envelope));
        }
    };
    let demands = files.iter().filter(|(_, envelope)| envelope.payload_type == DEMAND).map(|(_, envelope)| envelope.id());
    let persons = persons(&mut client, &wallet, &origin, demands.collect()).await?;
    let refusals = published(&mut client, &wallet, &origin, &mut files).await?;
    Ok(Fetched { files, persons, withheld, refusals })
}

/// What the operator made public of itself goes to the other records; what the gateway refused comes back.
async fn published(
    client: &mut DemandsClient<Channel>,
    wallet: &Wallet,
    origin: &Origin,
    files: &mut Vec<(String, Envelope)>,
) -> Result<Vec<LoggedRefusals>, CliError> {
    let (mut skip, mut refusals) = (0u64, Vec::<LoggedRefusals>::new());
    loop {
        let query = Some(ask(wallet, &Asks::Published, origin)?);
        let refusals_from = refusals.last().map_or(0, |last| last.entry.saturating_add(1));
        let page = client.published(PublishedRequest { query, skip, refusals_from }).await.map_err(|status| refused(&status))?.into_inner();
        // In order, so that it comes to an end whatever a gateway answers.
        if page.refusals.iter().any(|one| one.entry < refusals_from) || !page.refusals.is_sorted_by(|one, next| one.entry < next.entry) {
            return Err(CliError::broken("the gateway's answer makes no sense: refusals are not in the order of the log"));
        }
        if page.records.is_empty() && page.refusals.is_empty() {
            return Ok(refusals);
        }
        skip += page.records.len() as u64;
        for envelope in page.records.iter().filter_map(|record| record.envelope.as_ref()) {
            let envelope = dsse::from_proto(envelope);
            files.push((format!("record {} of the desk", envelope.id()), envelope));
        }
        refusals.extend(page.refusals);
    }
}

/// Why a record has no answer.
pub(super) enum Unheard {
    /// The gateway's, or none: it may have arrived.
    Refused(Status),
    /// It was not sent.
    Unsent(CliError),
}

/// Hands in what is to be made public.
pub(super) async fn hand_in(connection: &Connection, record: &Envelope) -> Result<DemandTaken, Unheard> {
    let mut client = DemandsClient::new(connection.connect(Some(CARRIER)).await.map_err(Unheard::Unsent)?);
    let request = SubmitDemandRequest { record: Some(dsse::to_proto(record)), seen: String::new() };
    Ok(client.submit(request).await.map_err(Unheard::Refused)?.into_inner())
}

/// The same, where it makes no difference why.
pub(super) async fn make_public(connection: &Connection, record: &Envelope) -> Result<DemandTaken, CliError> {
    hand_in(connection, record).await.map_err(|unheard| match unheard {
        Unheard::Refused(status) => refused(&status),
        Unheard::Unsent(error) => error,
    })
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

/// A clerk, who has to tell them, is told who they are; how many they are is all that is kept here.
async fn persons(
    client: &mut DemandsClient<Channel>,
    wallet: &Wallet,
    origin: &Origin,
    demands: Vec<RecordId>,
) -> Result<Option<Persons>, CliError> {
    let mut persons = Persons::new();
    for demand in demands {
        let query = Some(ask(wallet, &Asks::Show(demand), origin)?);
        let shown = client.show(ShowDemandRequest { query }).await.map_err(|status| refused(&status))?.into_inner();
        if !shown.subjects.is_empty() {
            persons.insert(demand, shown.subjects.len() as u64);
        }
    }
    Ok(if persons.is_empty() { None } else { Some(persons) })
}

fn ask(wallet: &Wallet, asks: &Asks, origin: &Origin) -> Result<crate::proto::intoto::Envelope, CliError> {
    Ok(dsse::to_proto(&wallet.demand_query(asks, origin, now()?).map_err(|refusal| unsigned(&refusal))?))
}
