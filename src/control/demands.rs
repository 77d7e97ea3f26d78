//! The desk for legal demands: records in, cases out. A record or a query is judged by its signature, whoever carries it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::carrier;
use super::case::{id, records, shown, state};
use super::consents::{envelope, witness, write};
use super::page::{Page, place};
use super::shown::{barrier, receipt, refuse};
use super::turns::Turns;
use crate::client::dsse;
use crate::config::May;
use crate::ledger::desk::MadePublic;
use crate::ledger::{DemandTaken, Ledger, Refused};
use crate::proto::intoto;
use crate::proto::v1::demands_server::Demands;
use crate::proto::v1::{
    self, DisclosedDemand, DisclosedDemandsRequest, DisclosedDemandsResponse, FileDemandRequest, ListDemandsRequest, ListDemandsResponse,
    LoggedRefusals, PublishedRequest, PublishedResponse, ShowDemandRequest, ShowDemandResponse, SubmitDemandRequest, WhomRequest,
    WhomResponse,
};
use crate::status::Refuse;
use crate::veil::consent::envelope::Signed;
use crate::veil::crypto::secret::Secret;
use crate::veil::demand::query::{Asks, Query};
use crate::veil::demand::{self, About, Case, Role};
use crate::veil::name::{Did, UnixMs};
use crate::veil::report::PublicRecord;
use crate::world::Clock;

/// The most demands of one answer.
const LISTED_MAX: usize = 256;
/// The most demands of one answer with all their records.
const DISCLOSED_MAX: usize = 64;
/// The most statements and records of reports of one answer.
const PUBLISHED_MAX: usize = 256;
/// The most intervals of refusals of one answer.
const REFUSALS_MAX: usize = 1_024;

/// The service.
#[derive(Clone, Debug)]
pub struct DemandDesk {
    ledger: Arc<Ledger>,
    clock: Arc<Clock>,
    turns: Turns,
}

impl DemandDesk {
    /// A desk over the ledger's cases.
    pub fn new(ledger: Arc<Ledger>, clock: Arc<Clock>) -> Self {
        Self { ledger, clock, turns: Turns::default() }
    }

    /// Verifies a query, that it was signed about now, and that a registered person asks: in this role, where one is needed.
    fn query(&self, envelope: Option<&intoto::Envelope>, role: Option<Role>) -> Result<(Query, UnixMs), Status> {
        let envelope = envelope.map(dsse::from_proto).ok_or(Refuse::Malformed)?;
        let now = self.clock.now().map_err(|_| Refuse::ClockBehind)?;
        let verified = Signed::<Query>::new(&envelope).and_then(|signed| signed.verify(self.ledger.origin()));
        let query = verified.and_then(|query| query.get().check_fresh(now).map(|()| query.get().clone()));
        let query = query.map_err(|refused| refuse(&Refused::from(refused)))?;
        self.is_registered(&query.person, role).map_err(|refused| refuse(&refused.into()))?;
        Ok((query, now))
    }

    fn is_registered(&self, person: &Did, role: Option<Role>) -> Result<(), demand::Refused> {
        let register = self.ledger.persons();
        let known = register.person(person).and(Some(()));
        known.ok_or(demand::Refused::Unregistered(*person))?;
        // Whoever has left has no role, and reads nothing any more.
        let has = match role {
            Some(role) => register.has(person, role),
            None => Role::ALL.iter().any(|role| register.has(person, *role)),
        };
        if has { Ok(()) } else { Err(demand::Refused::NoRole(role.unwrap_or(Role::Clerk))) }
    }

    fn taken(&self, taken: DemandTaken) -> Response<v1::DemandTaken> {
        let state = self.ledger.demand(&taken.demand).map_or(taken.state.word(), |file| state(&file.case));
        Response::new(v1::DemandTaken {
            record: id(taken.record),
            demand: id(taken.demand),
            state: state.to_owned(),
            signatures_missing: u32::try_from(taken.signatures_missing).unwrap_or(u32::MAX),
            receipt: taken.receipt.as_ref().map(receipt),
            streams: taken.streams.into_iter().map(barrier).collect(),
        })
    }
}

#[tonic::async_trait]
impl Demands for DemandDesk {
    async fn whom(&self, request: Request<WhomRequest>) -> Result<Response<WhomResponse>, Status> {
        carrier(&request, May::Submit)?;
        let (query, _) = self.query(request.into_inner().query.as_ref(), Some(Role::Clerk))?;
        let Asks::Whom(values) = query.asks else { return Err(Refuse::Malformed.into()) };
        let ledger = Arc::clone(&self.ledger);
        let dids = write(move || {
            let whom = |(source, value)| Ok(ledger.subject_of(&source, String::as_bytes(&value))?.map(|subject| subject.did().to_string()));
            values.into_iter().map(|value| whom(value).map(Option::unwrap_or_default)).collect::<Result<Vec<_>, Refused>>()
        });
        Ok(Response::new(WhomResponse { dids: dids.await? }))
    }

    async fn file(&self, request: Request<FileDemandRequest>) -> Result<Response<v1::DemandTaken>, Status> {
        let party = carrier(&request, May::Submit)?;
        let FileDemandRequest { record, subjects, secret, seen } = request.into_inner();
        let (record, about) = (envelope(record.as_ref())?, about(&subjects, &secret)?);
        let ledger = Arc::clone(&self.ledger);
        let turn = self.turns.take(&party.spiffe).await?;
        let taken = write(move || {
            let _turn = turn;
            witness(&ledger, &seen);
            ledger.file_demand(&record, about)
        });
        Ok(self.taken(taken.await?))
    }

    async fn submit(&self, request: Request<SubmitDemandRequest>) -> Result<Response<v1::DemandTaken>, Status> {
        let party = carrier(&request, May::Submit)?;
        let SubmitDemandRequest { record, seen } = request.into_inner();
        let record = envelope(record.as_ref())?;
        let ledger = Arc::clone(&self.ledger);
        let turn = self.turns.take(&party.spiffe).await?;
        if PublicRecord::is_type(&record.payload_type) {
            let made = write(move || {
                let _turn = turn;
                witness(&ledger, &seen);
                ledger.make_public(&record)
            });
            return Ok(Response::new(made_public(&made.await?)));
        }
        let taken = write(move || {
            let _turn = turn;
            witness(&ledger, &seen);
            ledger.submit_demand(&record)
        });
        Ok(self.taken(taken.await?))
    }

    async fn show(&self, request: Request<ShowDemandRequest>) -> Result<Response<ShowDemandResponse>, Status> {
        carrier(&request, May::Submit)?;
        let ShowDemandRequest { query, skip } = request.into_inner();
        let (query, now) = self.query(query.as_ref(), None)?;
        let Asks::Show(demand) = query.asks else { return Err(Refuse::Malformed.into()) };
        let file = self.ledger.demand(&demand).ok_or_else(|| refuse(&Refused::NoSuchDemand(demand)))?;
        let to_clerk = self.ledger.persons().has(&query.person, Role::Clerk);
        let subjects = file.case.subjects().filter(|_| to_clerk).into_iter().flatten().map(ToString::to_string).collect();
        let shown = shown(&file.case, now);
        let drafts = file.drafts.iter().map(dsse::to_proto).collect();
        let ledger = Arc::clone(&self.ledger);
        let records_in_all = file.records.len() as u64;
        let records = write(move || records(&mut Page::default(), &ledger, &file.records, place(skip))).await?;
        Ok(Response::new(ShowDemandResponse { demand: Some(shown), records, subjects, drafts, records_in_all }))
    }

    async fn list(&self, request: Request<ListDemandsRequest>) -> Result<Response<ListDemandsResponse>, Status> {
        carrier(&request, May::Submit)?;
        let ListDemandsRequest { query, skip } = request.into_inner();
        let (query, now) = self.query(query.as_ref(), None)?;
        if query.asks != Asks::List {
            return Err(Refuse::Malformed.into());
        }
        let found = self.ledger.demands(place(skip), LISTED_MAX, |_| true);
        Ok(Response::new(ListDemandsResponse { demands: Page::of(found.iter().map(|file| shown(&file.case, now))) }))
    }

    async fn disclosed(&self, request: Request<DisclosedDemandsRequest>) -> Result<Response<DisclosedDemandsResponse>, Status> {
        carrier(&request, May::Submit)?;
        let DisclosedDemandsRequest { query, skip, skip_records } = request.into_inner();
        let (query, now) = self.query(query.as_ref(), None)?;
        let Asks::Disclosed(period) = query.asks else { return Err(Refuse::Malformed.into()) };
        let came = move |case: &Case| period.from <= case.taken() && case.taken() < period.until;
        // Whoever asks for further answers with the same query has the same demands in all of them, though a gag ends meanwhile.
        let now = now.min(query.at);
        let ledger = Arc::clone(&self.ledger);
        let answer = write(move || {
            let found = ledger.demands(place(skip), DISCLOSED_MAX, |case| came(case) && !case.demand().is_gagged(now));
            let withheld = ledger.count_demands(|case| came(case) && case.demand().is_gagged(now));
            let (mut page, mut leave_out, mut demands) = (Page::default(), place(skip_records), Vec::new());
            for file in &found {
                if page.is_full() {
                    break;
                }
                let records = records(&mut page, &ledger, &file.records, std::mem::take(&mut leave_out))?;
                let (demand, records_in_all) = (id(file.case.id()), file.records.len() as u64);
                demands.push(DisclosedDemand { records, demand, records_in_all });
            }
            Ok(DisclosedDemandsResponse { demands, withheld: withheld as u64 })
        });
        Ok(Response::new(answer.await?))
    }

    async fn published(&self, request: Request<PublishedRequest>) -> Result<Response<PublishedResponse>, Status> {
        carrier(&request, May::Submit)?;
        let PublishedRequest { query, skip, refusals_from } = request.into_inner();
        let (query, _) = self.query(query.as_ref(), None)?;
        if query.asks != Asks::Published {
            return Err(Refuse::Malformed.into());
        }
        let ledger = Arc::clone(&self.ledger);
        let answer = write(move || {
            let records = records(&mut Page::default(), &ledger, &ledger.public(place(skip), PUBLISHED_MAX), 0)?;
            let refusals = ledger.refusal_objects(refusals_from, REFUSALS_MAX)?;
            let refusals = refusals.into_iter().map(|(entry, object)| LoggedRefusals { entry, object: object.into() });
            Ok(PublishedResponse { records, refusals: Page::of(refusals) })
        });
        Ok(Response::new(answer.await?))
    }
}

fn made_public(made: &MadePublic) -> v1::DemandTaken {
    v1::DemandTaken {
        record: id(made.record),
        state: made.act.word().to_owned(),
        receipt: Some(receipt(&made.receipt)),
        ..v1::DemandTaken::default()
    }
}

/// Whom a demand is about, as it was handed in.
fn about(subjects: &[String], secret: &[u8]) -> Result<Option<About>, Status> {
    if subjects.is_empty() && secret.is_empty() {
        return Ok(None);
    }
    let mut secret: [u8; 32] = secret.try_into().map_err(|_| Refuse::Malformed)?;
    let subjects = subjects.iter().map(|did| Did::parse(did)).collect::<Result<_, _>>().map_err(|_| Refuse::Malformed)?;
    Ok(Some(About { secret: Secret::take(&mut secret), subjects }))
}
