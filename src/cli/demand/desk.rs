//! The gateway's desk for legal demands, as a person sees it.

use serde_json::Value;
use tonic::transport::Channel;

use super::super::connect::{Connection, refused};
use super::super::wallet::{CARRIER, hex, load, unsigned};
use super::super::{CliError, now};
use super::Signer;
use crate::client::dsse;
use crate::client::wallet::Wallet;
use crate::proto::v1::demands_client::DemandsClient;
use crate::proto::v1::{
    DemandTaken, FileDemandRequest, ListDemandsRequest, ListDemandsResponse, ShowDemandRequest, ShowDemandResponse, SubmitDemandRequest,
    WhomRequest,
};
use crate::veil::consent::envelope::{Envelope, Payload};
use crate::veil::demand::About;
use crate::veil::demand::query::Asks;
use crate::veil::name::{Did, Origin, RecordId, Spiffe};
use crate::world::entropy;

/// One connection to it, and who speaks.
pub(super) struct Desk {
    client: DemandsClient<Channel>,
    pub(super) wallet: Wallet,
    pub(super) origin: Origin,
}

impl Desk {
    pub(super) async fn open(signer: &Signer) -> Result<Self, CliError> {
        let connection: &Connection = &signer.connection;
        let (wallet, origin) = (load(&signer.wallet)?, connection.origin()?);
        Ok(Self { client: DemandsClient::new(connection.connect(Some(CARRIER)).await?), wallet, origin })
    }

    /// The did:keys of whom sources call so.
    pub(super) async fn whom(&mut self, values: Vec<(Spiffe, String)>) -> Result<Vec<Did>, CliError> {
        let query = Some(dsse::to_proto(&self.ask(&Asks::Whom(values.clone()))?));
        let dids = self.client.whom(WhomRequest { query }).await.map_err(|status| refused(&status))?.into_inner().dids;
        let found = |((source, value), did): (&(Spiffe, String), &String)| {
            let nobody =
                || CliError::found(format!("`{source}` calls nobody `{}` here: the subject is not enrolled", super::super::plain(value)));
            if did.is_empty() { Err(nobody()) } else { Did::parse(did).map_err(|_| nonsense()) }
        };
        if dids.len() != values.len() {
            return Err(nonsense());
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
        let request = SubmitDemandRequest { record: Some(dsse::to_proto(record)), seen: String::new() };
        Ok(self.client.submit(request).await.map_err(|status| refused(&status))?.into_inner())
    }

    pub(super) async fn show(&mut self, demand: RecordId) -> Result<ShowDemandResponse, CliError> {
        let query = Some(dsse::to_proto(&self.ask(&Asks::Show(demand))?));
        Ok(self.client.show(ShowDemandRequest { query }).await.map_err(|status| refused(&status))?.into_inner())
    }

    pub(super) async fn list(&mut self, skip: u64) -> Result<ListDemandsResponse, CliError> {
        let query = Some(dsse::to_proto(&self.ask(&Asks::List)?));
        Ok(self.client.list(ListDemandsRequest { query, skip }).await.map_err(|status| refused(&status))?.into_inner())
    }

    fn ask(&self, asks: &Asks) -> Result<Envelope, CliError> {
        self.wallet.demand_query(asks, &self.origin, now()?).map_err(|refusal| unsigned(&refusal))
    }
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

fn nonsense() -> CliError {
    CliError::broken("the gateway's answer makes no sense: not as many keys as values, or none")
}
