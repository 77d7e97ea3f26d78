//! Legal demands, from the letter that arrives to the last frame that leaves, or does not: over real sockets, with what persons sign.

mod bad;
#[cfg(target_os = "linux")]
mod disk;
mod stories;
mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tonic::Status;
use twinveil::client::dsse;
use twinveil::client::wallet::Wallet;
use twinveil::proto::v1::demands_client::DemandsClient;
use twinveil::proto::v1::{
    DemandTaken, DisclosedDemandsRequest, DisclosedDemandsResponse, FileDemandRequest, ListDemandsRequest, Notice, NoticesRequest,
    ShowDemandRequest, ShowDemandResponse, SubmitDemandRequest, WhomRequest,
};
use twinveil::veil::consent::envelope::{Envelope, Payload};
use twinveil::veil::consent::query::Asks;
use twinveil::veil::demand::query::Asks as AsksDesk;
use twinveil::veil::demand::{self, About, Decision, Period, Stage};
use twinveil::veil::name::{Did, RecordId, Spiffe, UnixMs};
use twinveil::world::{Clock, entropy};

use crate::harness::{Ask, Folder, PATIENT, Sub, World, made_folder, soon};

/// The purpose that the sample policy has for the authority.
pub(crate) const LEGAL: &str = "dpv:LegalCompliance";
const DAY: i64 = 86_400_000;

/// A gateway, and whoever answers demands.
pub(crate) struct House {
    pub world: World,
    pub clerk: Wallet,
    pub counsel: Wallet,
    pub analyst: Wallet,
    pub one: Wallet,
    pub two: Wallet,
}

fn person(name: &str, keys: &[&Wallet], roles: &str) -> String {
    let keys: Vec<_> = keys.iter().map(|wallet| format!("\"{}\"", wallet.did())).collect();
    format!("[[person]]\nname = \"{name}\"\nkeys = [{}]\nroles = [{roles}]\n", keys.join(", "))
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::start_in(made_folder()).await
    }

    async fn start_in(folder: Folder) -> Self {
        let [clerk, counsel, analyst, one, two] = std::array::from_fn(|_| Wallet::generate(&mut entropy()));
        let persons = [
            person("clerk", &[&clerk], "\"clerk\""),
            person("counsel", &[&counsel], "\"counsel\""),
            person("analyst", &[&analyst], "\"analyst\""),
            person("one", &[&one], "\"approver\""),
            person("two", &[&two], "\"approver\""),
        ];
        let file = folder.join("twinveil.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}\n{}\n", persons.concat())).unwrap();
        let world = World::at(folder, Arc::new(Clock::new())).await.expect("the sample configuration starts");
        Self { world, clerk, counsel, analyst, one, two }
    }

    pub(crate) async fn restart(self) -> Self {
        Self { world: self.world.restart().await, ..self }
    }

    async fn desk(&self) -> DemandsClient<tonic::transport::Channel> {
        DemandsClient::new(self.world.channel("portal").await)
    }

    pub(crate) fn at(&self, ms: i64) -> String {
        UnixMs(self.world.now().0 + ms).to_string()
    }

    /// A demand of a court for a patient's vitals as they come in, for ten days.
    pub(crate) fn asked(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut said = json!({
            "received": self.at(0),
            "source": {"kind": "court", "jurisdiction": "DE", "home": true, "authority": "Amtsgericht Sample",
                       "document_sha256": "ab".repeat(32), "process": "court order", "statute": "StPO § 100a"},
            "asks": "live-data", "content": true, "everybody": false, "emergency": false,
            "fields": [{"schema": PATIENT, "path": "vitals"}], "period": {"from": self.at(-1_000), "until": self.at(10 * DAY)},
        });
        change(&mut said);
        said
    }

    /// Files a demand about these subjects.
    pub(crate) async fn file(&self, said: &Value, subjects: &[Did]) -> Result<DemandTaken, Status> {
        let (record, about) = self.signed_demand(said, subjects);
        self.hand_in(&record, about).await
    }

    fn signed_demand(&self, said: &Value, subjects: &[Did]) -> (Envelope, Option<About>) {
        let subjects: BTreeSet<Did> = subjects.iter().copied().collect();
        let (origin, now) = (self.world.origin(), self.world.now());
        self.clerk.file_demand(said, subjects, &origin, now, &mut entropy()).expect("as clerks sign them")
    }

    async fn hand_in(&self, record: &Envelope, about: Option<About>) -> Result<DemandTaken, Status> {
        let (subjects, secret) = about.map_or_else(Default::default, |about| {
            (about.subjects.iter().map(ToString::to_string).collect(), about.secret.expose().to_vec().into())
        });
        let request = FileDemandRequest { record: Some(dsse::to_proto(record)), subjects, secret, seen: String::new() };
        let mut desk = self.desk().await;
        soon("an answer to a demand", desk.file(request)).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn filed(&self, subjects: &[Did], change: impl FnOnce(&mut Value)) -> RecordId {
        id(&self.file(&self.asked(change), subjects).await.expect("a clerk's"))
    }

    pub(crate) async fn submit(&self, record: &Envelope) -> Result<DemandTaken, Status> {
        let request = SubmitDemandRequest { record: Some(dsse::to_proto(record)), seen: String::new() };
        let mut desk = self.desk().await;
        soon("an answer to a record", desk.submit(request)).await.map(tonic::Response::into_inner)
    }

    pub(crate) fn sign<P: Payload>(&self, by: &Wallet, said: &Value) -> Envelope {
        by.file::<P>(said, &self.world.origin(), self.world.now(), &mut entropy()).expect("as persons sign them")
    }

    pub(crate) async fn say<P: Payload>(&self, by: &Wallet, demand: RecordId, mut said: Value) -> Result<DemandTaken, Status> {
        said["demand"] = demand.to_string().into();
        self.submit(&self.sign::<P>(by, &said)).await
    }

    /// All three stages, each met; their ids.
    pub(crate) async fn met(&self, demand: RecordId) -> Vec<String> {
        let mut ids = Vec::new();
        for (by, said) in [
            (&self.counsel, json!({"n": 1, "determination": "court-order", "no_challenge": {"primary_law": true, "jurisdiction": true}})),
            (&self.counsel, json!({"n": 2, "risks": ["licence"]})),
            (&self.analyst, json!({"n": 3, "rights": [{"instrument": "ICCPR", "article": "17", "finding": "compatible"}]})),
        ] {
            let mut said = said;
            (said["met"], said["reasoning_sha256"]) = (true.into(), "cd".repeat(32).into());
            ids.push(id_of(&self.say::<Stage>(by, demand, said).await.expect("a stage").record).to_string());
        }
        ids
    }

    /// A decision to release all that [`Self::asked`] demands.
    pub(crate) fn comply(&self, stages: &[String], asked: &Value) -> Value {
        json!({"outcome": "comply", "stages": stages, "fields": asked["fields"], "period": asked["period"],
               "recipient": self.world.spiffe("authority").to_string(), "reasoning_sha256": "ef".repeat(32),
               "notice": {"when": "before-release"}})
    }

    /// Drafted by one approver, signed by another.
    pub(crate) async fn decide(&self, demand: RecordId, said: Value) -> Result<DemandTaken, Status> {
        self.submit(&self.drafted(demand, said).await?).await
    }

    /// Handed in with one signature; with the other, to be handed in.
    async fn drafted(&self, demand: RecordId, mut said: Value) -> Result<Envelope, Status> {
        said["demand"] = demand.to_string().into();
        let half = self.sign::<Decision>(&self.one, &said);
        assert_eq!(self.submit(&half).await?.signatures_missing, 1);
        Ok(self.two.approve(&half, &self.world.origin()).expect("the same bytes"))
    }

    pub(crate) async fn notify(&self, demand: RecordId) {
        self.say::<demand::Notice>(&self.clerk, demand, json!({"how": "letter"})).await.expect("a clerk's");
    }

    pub(crate) async fn show(&self, demand: RecordId) -> ShowDemandResponse {
        let query = self.query(&self.clerk, &AsksDesk::Show(demand));
        let mut desk = self.desk().await;
        soon("a case", desk.show(ShowDemandRequest { query, skip: 0 })).await.expect("a registered person").into_inner()
    }

    pub(crate) async fn disclosed(&self) -> DisclosedDemandsResponse {
        let period = Period { from: UnixMs(0), until: UnixMs(self.world.now().0 + DAY) };
        let query = self.query(&self.analyst, &AsksDesk::Disclosed(period));
        let mut desk = self.desk().await;
        soon("what is disclosed", desk.disclosed(DisclosedDemandsRequest { query, ..Default::default() }))
            .await
            .expect("a registered person")
            .into_inner()
    }

    pub(crate) fn query(&self, by: &Wallet, asks: &AsksDesk) -> Option<twinveil::proto::intoto::Envelope> {
        Some(dsse::to_proto(&by.demand_query(asks, &self.world.origin(), self.world.now()).expect("a query")))
    }

    pub(crate) async fn list(&self, by: &Wallet) -> Result<usize, Status> {
        let query = self.query(by, &AsksDesk::List);
        let mut desk = self.desk().await;
        Ok(soon("a list", desk.list(ListDemandsRequest { query, skip: 0 })).await?.into_inner().demands.len())
    }

    pub(crate) async fn whom(&self, by: &Wallet, values: &[(&str, &str)]) -> Result<Vec<String>, Status> {
        let values =
            values.iter().map(|(source, value)| (self.world.spiffe(source), (*value).to_owned())).collect::<Vec<(Spiffe, String)>>();
        let query = self.query(by, &AsksDesk::Whom(values));
        let mut desk = self.desk().await;
        Ok(soon("whom they mean", desk.whom(WhomRequest { query })).await?.into_inner().dids)
    }

    /// Subscribes as a party to what a demand releases.
    pub(crate) async fn release(&self, party: &str, demand: RecordId, schema: &str) -> Result<Sub, Status> {
        self.release_under(party, &demand.0, schema).await
    }

    /// The same under what may be the id of no record.
    pub(crate) async fn release_under(&self, party: &str, warrant: &[u8], schema: &str) -> Result<Sub, Status> {
        Sub::open(self.world.channel(party).await, Ask::of(schema, LEGAL).under(warrant)).await
    }

    /// What a wallet is told of, from the beginning.
    pub(crate) async fn notices(&self, wallet: &Wallet) -> tonic::Streaming<Notice> {
        let query = wallet.query(&Asks::Notices, &self.world.origin(), self.world.now()).expect("a query");
        let request = NoticesRequest { query: Some(dsse::to_proto(&query)), past: true };
        soon("notices", self.world.consents().notices(request)).await.expect("a subject may ask").into_inner()
    }

    /// The kinds of the records of a case.
    pub(crate) async fn kinds(&self, demand: RecordId) -> Vec<String> {
        self.show(demand).await.records.into_iter().map(|record| record.kind).collect()
    }
}

pub(crate) fn id(taken: &DemandTaken) -> RecordId {
    id_of(&taken.demand)
}

fn id_of(bytes: &[u8]) -> RecordId {
    RecordId(bytes.try_into().expect("32 bytes"))
}

/// The code that a refusal begins with.
pub(crate) fn code<T>(answer: Result<T, Status>) -> String {
    let status = answer.err().expect("a refusal");
    status.message().split(':').next().unwrap_or_default().to_owned()
}
