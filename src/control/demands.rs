//! The desk for legal demands: records in, cases out. A record or a query is judged by its signature, whoever carries it.

use std::sync::Arc;

use bytes::Bytes;
use tonic::{Request, Response, Status};

use super::carrier;
use super::consents::{envelope, witness, write};
use super::shown::{barrier, receipt, refuse};
use super::turns::Turns;
use crate::client::dsse;
use crate::config::May;
use crate::ledger::desk::{Kept, MadePublic};
use crate::ledger::{CaseFile, DemandTaken, Ledger, Refused};
use crate::proto::intoto;
use crate::proto::v1::demands_server::Demands;
use crate::proto::v1::{
    self, DemandRecord, DisclosedDemand, DisclosedDemandsRequest, DisclosedDemandsResponse, FileDemandRequest, ListDemandsRequest,
    ListDemandsResponse, LoggedRefusals, PublishedRequest, PublishedResponse, ShowDemandRequest, ShowDemandResponse, SubmitDemandRequest,
    WhomRequest, WhomResponse,
};
use crate::status::Refuse;
use crate::veil::consent::envelope::Signed;
use crate::veil::crypto::secret::Secret;
use crate::veil::demand::query::{Asks, Query};
use crate::veil::demand::{self, About, Case, Missing, Role};
use crate::veil::name::{Did, RecordId, UnixMs};
use crate::veil::report::PublicRecord;
use crate::world::Clock;

/// The most demands of one answer.
const LISTED_MAX: usize = 256;
/// The most demands of one answer with all their records.
const DISCLOSED_MAX: usize = 64;
/// The most statements and records of reports of one answer.
const PUBLISHED_MAX: usize = 256;
/// So many bytes of payload, and no further one begins: clients take answers of 4 MiB.
const PUBLISHED_BYTES_MAX: usize = 1 << 20;
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
        let (query, now) = self.query(request.into_inner().query.as_ref(), None)?;
        let Asks::Show(demand) = query.asks else { return Err(Refuse::Malformed.into()) };
        let file = self.ledger.demand(&demand).ok_or_else(|| refuse(&Refused::NoSuchDemand(demand)))?;
        let to_clerk = self.ledger.persons().has(&query.person, Role::Clerk);
        let subjects = file.case.subjects().filter(|_| to_clerk).into_iter().flatten().map(ToString::to_string).collect();
        let shown = shown(&file.case, now);
        let drafts = file.drafts.iter().map(dsse::to_proto).collect();
        let ledger = Arc::clone(&self.ledger);
        let records = write(move || records(&ledger, &file)).await?;
        Ok(Response::new(ShowDemandResponse { demand: Some(shown), records, subjects, drafts }))
    }

    async fn list(&self, request: Request<ListDemandsRequest>) -> Result<Response<ListDemandsResponse>, Status> {
        carrier(&request, May::Submit)?;
        let ListDemandsRequest { query, skip } = request.into_inner();
        let (query, now) = self.query(query.as_ref(), None)?;
        if query.asks != Asks::List {
            return Err(Refuse::Malformed.into());
        }
        let found = self.ledger.demands(usize::try_from(skip).unwrap_or(usize::MAX), LISTED_MAX, |_| true);
        Ok(Response::new(ListDemandsResponse { demands: found.iter().map(|file| shown(&file.case, now)).collect() }))
    }

    async fn disclosed(&self, request: Request<DisclosedDemandsRequest>) -> Result<Response<DisclosedDemandsResponse>, Status> {
        carrier(&request, May::Submit)?;
        let DisclosedDemandsRequest { query, skip } = request.into_inner();
        let (query, now) = self.query(query.as_ref(), None)?;
        let Asks::Disclosed(period) = query.asks else { return Err(Refuse::Malformed.into()) };
        let came = move |case: &Case| period.from <= case.taken() && case.taken() < period.until;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let ledger = Arc::clone(&self.ledger);
        let answer = write(move || {
            let found = ledger.demands(skip, DISCLOSED_MAX, |case| came(case) && !case.demand().is_gagged(now));
            let withheld = ledger.count_demands(|case| came(case) && case.demand().is_gagged(now));
            let demands = found.iter().map(|file| Ok(DisclosedDemand { records: records(&ledger, file)? }));
            let demands = demands.collect::<Result<Vec<_>, Refused>>()?;
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
            let kept = ledger.public(usize::try_from(skip).unwrap_or(usize::MAX), PUBLISHED_MAX);
            let mut bytes = 0;
            let fits = |kept: &&Kept| {
                let fits = bytes < PUBLISHED_BYTES_MAX;
                bytes += kept.envelope.payload.len();
                fits
            };
            let records = kept.iter().take_while(fits).map(|kept| record(&ledger, kept)).collect::<Result<_, Refused>>()?;
            let refusals = ledger.refusal_objects(refusals_from, REFUSALS_MAX)?;
            let refusals = refusals.into_iter().map(|(entry, object)| LoggedRefusals { entry, object: object.into() });
            Ok(PublishedResponse { records, refusals: refusals.collect() })
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

fn id(record: RecordId) -> Bytes {
    Bytes::copy_from_slice(&record.0)
}

/// How far a case is, in one word.
fn state(case: &Case) -> &'static str {
    if case.challenged().is_some() { "challenged" } else { case.state().word() }
}

fn shown(case: &Case, now: UnixMs) -> v1::Demand {
    let (said, standing) = (case.demand(), case.standing(now));
    let warrant = case.warrant(now);
    let gag = said.gag.as_ref().filter(|_| standing.gagged);
    v1::Demand {
        demand: id(case.id()),
        state: state(case).to_owned(),
        taken_ms: case.taken().0,
        source: format!("{} {}", said.source.kind, said.source.jurisdiction),
        asks: said.asks.to_string(),
        outcome: standing.outcome.map(|outcome| outcome.to_string()).unwrap_or_default(),
        gagged: standing.gagged,
        gag_until_ms: gag.and_then(|gag| gag.until).map_or(0, |until| until.0),
        notified: !case.notices().is_empty(),
        recipient: warrant.as_ref().map(|warrant| warrant.recipient().to_string()).unwrap_or_default(),
        from_ms: warrant.as_ref().map_or(0, |warrant| warrant.from().0),
        until_ms: warrant.as_ref().map_or(0, |warrant| warrant.until().0),
        refused: warrant.as_ref().err().map(|refused| format!("{}: {refused}", refused.code())).unwrap_or_default(),
        missing: standing.missing.iter().map(|missing| words(*missing)).collect(),
    }
}

/// What is missing, and whose move it is.
fn words(missing: Missing) -> String {
    let what = match missing {
        Missing::Subjects => "the list of whom it is about".to_owned(),
        Missing::Answer(question) => format!("stage {}", question.number()),
        Missing::Decision => "a decision".to_owned(),
        Missing::Ruling(challenge) => format!("the ruling on challenge {challenge}"),
        Missing::Notice => "notice to whom it is about".to_owned(),
        Missing::NoticeAt(at) => format!("notice to whom it is about, at {at}"),
    };
    format!("{}: {what}", missing.whose())
}

/// The records of a case, each with its receipt.
fn records(ledger: &Ledger, file: &CaseFile) -> Result<Vec<DemandRecord>, Refused> {
    file.records.iter().map(|kept| record(ledger, kept)).collect()
}

fn record(ledger: &Ledger, kept: &Kept) -> Result<DemandRecord, Refused> {
    let receipt = ledger.demand_receipt(kept.id)?.as_ref().map(receipt);
    Ok(DemandRecord {
        record: id(kept.id),
        kind: kept.act.word().to_owned(),
        taken_ms: kept.taken.0,
        envelope: Some(dsse::to_proto(&kept.envelope)),
        receipt,
    })
}
