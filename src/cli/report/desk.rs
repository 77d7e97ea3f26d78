//! Records that may be shown, fetched from a gateway's desk by a registered person.

use std::path::Path;

use tonic::transport::Channel;

use super::super::connect::{Connection, refused};
use super::super::wallet::{CARRIER, load, unsigned};
use super::super::{CliError, now};
use crate::client::dsse;
use crate::client::wallet::Wallet;
use crate::proto::v1::demands_client::DemandsClient;
use crate::proto::v1::{DisclosedDemandsRequest, ShowDemandRequest};
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
    Ok(Fetched { files, persons, withheld })
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
