//! The gateway's desk for legal demands, as a person sees it.

use std::path::Path;

use bytes::Bytes;
use serde_json::Value;
use tonic::Status;
use tonic::transport::Channel;

use super::super::connect::{Connection, MESSAGE_BYTES_MAX, refused};
use super::super::wallet::{CARRIER, hex, load, unsigned};
use super::super::{CliError, now};
use crate::client::dsse;
use crate::client::wallet::Wallet;
use crate::proto::v1::demands_client::DemandsClient;
use crate::proto::v1::{
    DemandRecord, DemandTaken, DisclosedDemand, DisclosedDemandsRequest, FileDemandRequest, ListDemandsRequest, ListDemandsResponse,
    LoggedRefusals, PublishedRequest, ShowDemandRequest, ShowDemandResponse, SubmitDemandRequest, WhomRequest,
};
use crate::veil::consent::envelope::{Envelope, Payload};
use crate::veil::demand::query::Asks;
use crate::veil::demand::{About, Period};
use crate::veil::name::{Did, Origin, RecordId, Spiffe};
use crate::world::entropy;

/// More than a desk keeps of one case, or of a period.
pub(super) const RECORDS_MAX: u64 = 1 << 20;

/// One connection to it, and who speaks.
pub(in crate::cli) struct Desk {
    client: DemandsClient<Channel>,
    pub(super) wallet: Wallet,
    pub(super) origin: Origin,
}

impl Desk {
    /// Connects, for whoever has the wallet.
    pub(in crate::cli) async fn open(connection: &Connection, wallet: &Path) -> Result<Self, CliError> {
        let (wallet, origin) = (load(wallet)?, connection.origin()?);
        Ok(Self { client: client(connection).await?, wallet, origin })
    }

    /// The did:keys of whom sources call so.
    pub(super) async fn whom(&mut self, values: Vec<(Spiffe, String)>) -> Result<Vec<Did>, CliError> {
        let query = Some(self.ask(&Asks::Whom(values.clone()))?);
        let dids = self.client.whom(WhomRequest { query }).await.map_err(|status| refused(&status))?.into_inner().dids;
        let found = |((source, value), did): (&(Spiffe, String), &String)| {
            let nobody =
                || CliError::found(format!("`{source}` calls nobody `{}` here: the subject is not enrolled", super::super::plain(value)));
            if did.is_empty() { Err(nobody()) } else { Did::parse(did).map_err(|_| nonsense("a key that is none")) }
        };
        if dids.len() != values.len() {
            return Err(nonsense("not as many keys as values"));
        }
        values.iter().zip(&dids).map(found).collect()
    }

    pub(super) async fn file(&mut self, record: &Envelope, about: Option<About>) -> Result<DemandTaken, CliError> {
        let (subjects, secret) = match about {
            Some(about) => (about.subjects.iter().map(ToString::to_string).collect(), about.secret.expose().to_vec().into()),
            None => Default::default(),
        };
        let request = FileDemandRequest { record: Some(dsse::to_proto(record)), subjects, secret, seen: String::new() };
        Ok(self.client.file(request).await.map_err(|status| refused(&status))?.into_inner())
    }

    /// Signs what is said of a demand, and hands it in.
    pub(super) async fn say<P: Payload>(&mut self, demand: RecordId, mut said: Value) -> Result<DemandTaken, CliError> {
        super::set(&mut said, "demand", Some(demand.to_string()));
        let record = self.wallet.file::<P>(&said, &self.origin, now()?, &mut entropy()).map_err(|refusal| unsigned(&refusal))?;
        self.submit(&record).await
    }

    pub(super) async fn submit(&mut self, record: &Envelope) -> Result<DemandTaken, CliError> {
        submit(&mut self.client, record).await.map_err(|status| refused(&status))
    }

    /// A demand with all its records, which come an answer at a time.
    pub(super) async fn show(&mut self, demand: RecordId) -> Result<ShowDemandResponse, CliError> {
        let mut shown = self.show_from(demand, 0).await?;
        while (shown.records.len() as u64) < shown.records_in_all {
            let more = self.show_from(demand, shown.records.len() as u64).await?;
            if more.records.is_empty() || shown.records.len() as u64 > RECORDS_MAX {
                return Err(nonsense("records of a demand that never come"));
            }
            shown.records.extend(more.records);
            shown = ShowDemandResponse { records: shown.records, ..more };
        }
        Ok(shown)
    }

    /// Whom a demand is about, as clerks are told.
    pub(in crate::cli) async fn subjects(&mut self, demand: RecordId) -> Result<Vec<String>, CliError> {
        Ok(self.show_from(demand, u64::MAX).await?.subjects)
    }

    async fn show_from(&mut self, demand: RecordId, skip: u64) -> Result<ShowDemandResponse, CliError> {
        let query = Some(self.ask(&Asks::Show(demand))?);
        Ok(self.client.show(ShowDemandRequest { query, skip }).await.map_err(|status| refused(&status))?.into_inner())
    }

    /// Records of demands of a period that may be told to everybody; how many demands more there are that may not.
    pub(in crate::cli) async fn disclosed(&mut self, period: Period) -> Result<(Vec<Envelope>, u64), CliError> {
        let mut records = Vec::new();
        let (mut skip, mut under_way) = (0u64, None::<(Bytes, u64)>);
        // One query for all answers: what a gag forbids to tell when the first is asked for stays out of all.
        let query = self.ask(&Asks::Disclosed(period))?;
        loop {
            let skip_records = under_way.as_ref().map_or(0, |(_, told)| *told);
            let request = DisclosedDemandsRequest { query: Some(query.clone()), skip, skip_records };
            let page = self.client.disclosed(request).await.map_err(|status| refused(&status))?.into_inner();
            if let Some((demand, _)) = &under_way
                && page.demands.first().is_none_or(|first| first.demand != demand || first.records.is_empty())
            {
                return Err(nonsense("a demand whose other records never come"));
            }
            if page.demands.is_empty() {
                return Ok((records, page.withheld));
            }
            for DisclosedDemand { records: some, demand, records_in_all } in page.demands {
                let told = under_way.take().map_or(0, |(_, told)| told) + some.len() as u64;
                envelopes(&some, &mut records)?;
                if told < records_in_all {
                    under_way = Some((demand, told));
                    break;
                }
                skip += 1;
            }
            if skip.max(records.len() as u64) > RECORDS_MAX {
                return Err(nonsense("demands without an end"));
            }
        }
    }

    /// What the operator made public of itself, and what the gateway refused by itself, with its entries.
    pub(in crate::cli) async fn published(&mut self) -> Result<(Vec<Envelope>, Vec<LoggedRefusals>), CliError> {
        let (mut records, mut refusals) = (Vec::new(), Vec::<LoggedRefusals>::new());
        loop {
            let query = Some(self.ask(&Asks::Published)?);
            let refusals_from = refusals.last().map_or(0, |last| last.entry.saturating_add(1));
            let request = PublishedRequest { query, skip: records.len() as u64, refusals_from };
            let page = self.client.published(request).await.map_err(|status| refused(&status))?.into_inner();
            if page.records.is_empty() && page.refusals.is_empty() {
                return Ok((records, refusals));
            }
            envelopes(&page.records, &mut records)?;
            for one in page.refusals {
                if refusals.last().is_some_and(|last| one.entry <= last.entry) {
                    return Err(nonsense("refusals that are not in the order of the log"));
                }
                refusals.push(one);
            }
            if records.len().max(refusals.len()) as u64 > RECORDS_MAX {
                return Err(nonsense("statements or refusals without an end"));
            }
        }
    }

    pub(super) async fn list(&mut self, skip: u64) -> Result<ListDemandsResponse, CliError> {
        let query = Some(self.ask(&Asks::List)?);
        Ok(self.client.list(ListDemandsRequest { query, skip }).await.map_err(|status| refused(&status))?.into_inner())
    }

    fn ask(&self, asks: &Asks) -> Result<crate::proto::intoto::Envelope, CliError> {
        let query = self.wallet.demand_query(asks, &self.origin, now()?).map_err(|refusal| unsigned(&refusal))?;
        Ok(dsse::to_proto(&query))
    }
}

/// Why a record has no answer.
pub(in crate::cli) enum Unheard {
    /// The gateway's, or none: it may have arrived.
    Refused(Status),
    /// It was not sent.
    Unsent(CliError),
}

impl From<Unheard> for CliError {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::Refused(status) => refused(&status),
            Unheard::Unsent(error) => error,
        }
    }
}

/// Hands in what somebody has signed.
pub(in crate::cli) async fn hand_in(connection: &Connection, record: &Envelope) -> Result<DemandTaken, Unheard> {
    let mut client = client(connection).await.map_err(Unheard::Unsent)?;
    submit(&mut client, record).await.map_err(Unheard::Refused)
}

async fn client(connection: &Connection) -> Result<DemandsClient<Channel>, CliError> {
    // A record may be answered with where very many streams stand.
    Ok(DemandsClient::new(connection.connect(Some(CARRIER)).await?).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

async fn submit(client: &mut DemandsClient<Channel>, record: &Envelope) -> Result<DemandTaken, Status> {
    let request = SubmitDemandRequest { record: Some(dsse::to_proto(record)), seen: String::new() };
    Ok(client.submit(request).await?.into_inner())
}

fn envelopes(records: &[DemandRecord], into: &mut Vec<Envelope>) -> Result<(), CliError> {
    for record in records {
        into.push(dsse::from_proto(record.envelope.as_ref().ok_or_else(|| nonsense("a record without what was signed"))?));
    }
    Ok(())
}

/// The ids of the stages that are in force: those that no later one takes the place of.
pub(super) fn stages(shown: &ShowDemandResponse) -> Vec<String> {
    let of_kind = shown.records.iter().filter(|record| record.kind == "stage");
    let replaced: Vec<String> = of_kind.clone().filter_map(|record| member(record.envelope.as_ref()?, "replaces")).collect();
    of_kind.map(|record| hex(&record.record)).filter(|id| !replaced.contains(id)).collect()
}

fn member(envelope: &crate::proto::intoto::Envelope, name: &str) -> Option<String> {
    let said: Value = serde_json::from_slice(&envelope.payload).ok()?;
    said.get(name)?.as_str().map(str::to_owned)
}

pub(super) fn nonsense(what: &str) -> CliError {
    CliError::broken(format!("the gateway's answer makes no sense: {what}"))
}
