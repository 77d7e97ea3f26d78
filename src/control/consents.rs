//! Signed records in, standing and reasons out. A record is judged by its signature, whoever carries it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::carrier;
use super::explained::explained;
use super::history::told;
use super::notices::tell;
use super::shown::{barrier, receipt, refuse, viewer};
use super::turns::Turns;
use crate::client::dsse;
use crate::config::May;
use crate::judge::{Judge, Listener};
use crate::ledger::{Ledger, Refused};
use crate::proto::intoto;
use crate::proto::v1::consents_server::Consents;
use crate::proto::v1::{
    self, ExplainRequest, ExplainResponse, HistoryRequest, HistoryResponse, NoticesRequest, ReceiptsRequest, ReceiptsResponse,
    RecordRequest, RecordResponse, StandingRequest, StandingResponse, SubmitRequest, SubmitResponse, WithdrawRequest, WithdrawResponse,
    WrapsRequest, WrapsResponse,
};
use crate::status::Refuse;
use crate::veil::consent::envelope::{Envelope, Signed};
use crate::veil::consent::query::{Asks, Query};
use crate::veil::consent::record::SignerRole;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::standing::Standing;
use crate::veil::name::UnixMs;
use crate::world::Clock;

/// The most receipts of one answer.
const RECEIPTS_MAX: usize = 64;
/// The most announcements of one answer.
const WRAPS_MAX: usize = 256;
/// How many notices wait for a wallet that is slow to read; then it is not asked what happened until it has read them.
const NOTICES_WAITING_MAX: usize = 64;

/// The service.
#[derive(Clone, Debug)]
pub struct ConsentDesk {
    judge: Arc<Judge>,
    clock: Arc<Clock>,
    turns: Turns,
}

impl ConsentDesk {
    /// A desk over the judge's ledger.
    pub fn new(judge: Arc<Judge>, clock: Arc<Clock>) -> Self {
        Self { judge, clock, turns: Turns::default() }
    }

    /// Verifies a query and that it was signed about now.
    fn query(&self, envelope: Option<&intoto::Envelope>) -> Result<(Query, UnixMs), Status> {
        let envelope = envelope.map(dsse::from_proto).ok_or(Refuse::Malformed)?;
        let now = self.clock.now().map_err(|_| Refuse::ClockBehind)?;
        let verified = Signed::<Query>::new(&envelope).and_then(|signed| signed.verify(self.judge.ledger().origin()));
        let query = verified.and_then(|query| query.get().check_fresh(now).map(|()| query.get().clone()));
        Ok((query.map_err(|refused| refuse(&Refused::from(refused)))?, now))
    }
}

pub(super) fn envelope(record: Option<&intoto::Envelope>) -> Result<Envelope, Status> {
    Ok(record.map(dsse::from_proto).ok_or(Refuse::Malformed)?)
}

/// Writing waits for the disk: away from the threads that carry frames.
pub(super) async fn write<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refused> + Send + 'static) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|refused| refuse(&refused)),
        Err(_) => Err(Refuse::StoreDown.into()),
    }
}

/// The standing of whom a query is about; its records may have to be read.
async fn standing_of(ledger: &Arc<Ledger>, query: &Query) -> Result<Arc<Standing>, Status> {
    let (ledger, subject) = (Arc::clone(ledger), query.subject);
    write(move || ledger.standing_of(&subject)).await
}

/// What a sender saw of the log before. Whatever it is, it stands in no record's way; where it shows that the log was set back, the
/// log signs nothing any more, so that no receipt will contradict it.
pub(super) fn witness(ledger: &Ledger, seen: &str) {
    if !seen.is_empty()
        && let Err(error) = ledger.witness(seen)
    {
        let code = error.code();
        tracing::error!(code, %error, "a sender has a checkpoint that this log does not stand on; it is the operator's move");
    }
}

#[tonic::async_trait]
impl Consents for ConsentDesk {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let party = carrier(&request, May::Submit)?;
        let SubmitRequest { record, seen } = request.into_inner();
        let record = envelope(record.as_ref())?;
        let ledger = Arc::clone(self.judge.ledger());
        let turn = self.turns.take(&party.spiffe).await?;
        let submitted = write(move || {
            // It ends with the work, also where nobody waits for the answer any more.
            let _turn = turn;
            witness(&ledger, &seen);
            ledger.submit(&record)
        })
        .await?;
        Ok(Response::new(SubmitResponse {
            record: Bytes::copy_from_slice(&submitted.record.0),
            seq: submitted.seq,
            receipt: Some(receipt(&submitted.receipt)),
        }))
    }

    async fn withdraw(&self, request: Request<WithdrawRequest>) -> Result<Response<WithdrawResponse>, Status> {
        // Whoever has a certificate may carry a withdrawal: nothing may stand in its way.
        let WithdrawRequest { record, seen } = request.into_inner();
        let record = envelope(record.as_ref())?;
        let ledger = Arc::clone(self.judge.ledger());
        let withdrawn = write(move || {
            witness(&ledger, &seen);
            ledger.withdraw(&record)
        })
        .await?;
        Ok(Response::new(WithdrawResponse {
            record: Bytes::copy_from_slice(&withdrawn.record.0),
            ended: withdrawn.ended,
            streams: withdrawn.streams.into_iter().map(barrier).collect(),
            receipt: withdrawn.receipt.as_ref().map(receipt),
        }))
    }

    async fn receipts(&self, request: Request<ReceiptsRequest>) -> Result<Response<ReceiptsResponse>, Status> {
        carrier(&request, May::Submit)?;
        let ReceiptsRequest { query, from } = request.into_inner();
        let (query, now) = self.query(query.as_ref())?;
        if query.asks != Asks::Receipts {
            return Err(Refuse::Malformed.into());
        }
        let ledger = Arc::clone(self.judge.ledger());
        let found = write(move || {
            let standing = ledger.standing_of(&query.subject)?;
            let view = viewer(&standing, &query, now)?;
            ledger.receipts(&query.subject, from, RECEIPTS_MAX, |record| view.shows_receipt(record))
        })
        .await?;
        let kept =
            found.iter().map(|(record, found)| v1::Kept { record: Bytes::copy_from_slice(&record.0), receipt: Some(receipt(found)) });
        Ok(Response::new(ReceiptsResponse { receipts: kept.collect() }))
    }

    async fn standing(&self, request: Request<StandingRequest>) -> Result<Response<StandingResponse>, Status> {
        carrier(&request, May::Submit)?;
        let (query, now) = self.query(request.into_inner().query.as_ref())?;
        if query.asks != Asks::Standing {
            return Err(Refuse::Malformed.into());
        }
        let ledger = self.judge.ledger();
        let standing = standing_of(ledger, &query).await?;
        let view = viewer(&standing, &query, now).map_err(|refusal| refuse(&refusal.into()))?;
        Ok(Response::new(view.standing(ledger, ledger.streams_of(&query.subject), now)))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        carrier(&request, May::Submit)?;
        let (query, now) = self.query(request.into_inner().query.as_ref())?;
        let Asks::Explain { recipient, holder, purpose, schema, as_of: _ } = &query.asks else { return Err(Refuse::Malformed.into()) };
        let schema = self.judge.schema(schema.as_str()).ok_or(Refuse::UnknownSchema)?;
        let listener = Listener { spiffe: recipient.clone(), did: *holder, stated_key: None };
        let standing = standing_of(self.judge.ledger(), &query).await?;
        let view = viewer(&standing, &query, now).and_then(|view| view.explains(recipient, purpose).map(|()| view));
        let view = view.map_err(|refusal| refuse(&refusal.into()))?;
        let at = query.instant(now).map_err(|refusal| refuse(&refusal.into()))?;
        let judged = self.judge.judge(schema, &listener, purpose, Some(&standing), at).map_err(|error| {
            tracing::error!(code = error.code(), schema = %schema.name(), "the policy could not be evaluated");
            Status::from(Refuse::PolicyFailed)
        })?;
        Ok(Response::new(explained(schema, &judged, view, &self.judge.ledger().mandates(), at)))
    }

    async fn wraps(&self, request: Request<WrapsRequest>) -> Result<Response<WrapsResponse>, Status> {
        carrier(&request, May::Submit)?;
        let WrapsRequest { query, from } = request.into_inner();
        let (query, _) = self.query(query.as_ref())?;
        if query.asks != Asks::Wraps {
            return Err(Refuse::Malformed.into());
        }
        // Whoever speaks for somebody does not hold their vault, and needs not know who received when.
        if query.by.role != SignerRole::Subject {
            return Err(refuse(&RecordRefusal::Widens("wraps".into()).into()));
        }
        let ledger = Arc::clone(self.judge.ledger());
        let wraps = write(move || ledger.wraps(&query.subject, from, WRAPS_MAX)).await?;
        Ok(Response::new(WrapsResponse { wraps }))
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        carrier(&request, May::Submit)?;
        let HistoryRequest { query, from } = request.into_inner();
        let (query, now) = self.query(query.as_ref())?;
        if query.asks != Asks::History {
            return Err(Refuse::Malformed.into());
        }
        let ledger = Arc::clone(self.judge.ledger());
        Ok(Response::new(write(move || told(&ledger, &query, from, now)).await?))
    }

    async fn record(&self, request: Request<RecordRequest>) -> Result<Response<RecordResponse>, Status> {
        carrier(&request, May::Submit)?;
        let (query, now) = self.query(request.into_inner().query.as_ref())?;
        let Asks::Record(record) = query.asks else { return Err(Refuse::Malformed.into()) };
        let ledger = Arc::clone(self.judge.ledger());
        let standing = standing_of(&ledger, &query).await?;
        let view = viewer(&standing, &query, now).map_err(|refusal| refuse(&refusal.into()))?;
        if !view.shows(record) {
            return Err(refuse(&RecordRefusal::Widens("record".into()).into()));
        }
        let demands = view.shows_demands();
        let found = write(move || match ledger.record_of(&query.subject, record)? {
            // Whoever was told of a legal demand may read it.
            None if demands => Ok(ledger.demand_for(&query.subject, &record)),
            found => Ok(found),
        });
        let found = found.await?;
        let found = found.ok_or_else(|| refuse(&RecordRefusal::UnknownRecord(record).into()))?;
        Ok(Response::new(RecordResponse { record: Some(dsse::to_proto(&found)) }))
    }

    type NoticesStream = ReceiverStream<Result<v1::Notice, Status>>;

    async fn notices(&self, request: Request<NoticesRequest>) -> Result<Response<Self::NoticesStream>, Status> {
        carrier(&request, May::Submit)?;
        let request = request.into_inner();
        let (query, now) = self.query(request.query.as_ref())?;
        if query.asks != Asks::Notices {
            return Err(Refuse::Malformed.into());
        }
        let ledger = Arc::clone(self.judge.ledger());
        let standing = standing_of(&ledger, &query).await?;
        viewer(&standing, &query, now).map_err(|refusal| refuse(&refusal.into()))?;
        let watching = ledger.watched().watch(query.subject).ok_or(Refuse::TooMany)?;
        let (out, notices) = mpsc::channel(NOTICES_WAITING_MAX);
        tokio::spawn(tell(ledger, query, watching, request.past, out));
        Ok(Response::new(ReceiverStream::new(notices)))
    }
}
