//! Signed records in, standing and reasons out. A record is judged by its signature, whoever carries it.

use std::sync::Arc;

use bytes::Bytes;
use tonic::{Code, Request, Response, Status};

use super::carrier;
use crate::client::dsse;
use crate::config::May;
use crate::judge::{Judge, Listener};
use crate::ledger::{Ledger, Move, Receipt, Refused, StreamSettled};
use crate::proto::intoto;
use crate::proto::v1::consents_server::Consents;
use crate::proto::v1::{
    self, ExplainRequest, ExplainResponse, Explained, ReceiptsRequest, ReceiptsResponse, StandingRequest, StandingResponse, StreamBarrier,
    SubmitRequest, SubmitResponse, WithdrawRequest, WithdrawResponse,
};
use crate::status::{Refuse, status};
use crate::veil::consent::envelope::{Envelope, Signed};
use crate::veil::consent::query::{Asks, Query};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::standing::Grant;
use crate::veil::name::UnixMs;
use crate::veil::policy::Holders;
use crate::veil::terms::Treatment;
use crate::world::Clock;

/// The most receipts of one answer.
const RECEIPTS_MAX: usize = 64;

/// The service.
#[derive(Clone, Debug)]
pub struct ConsentDesk {
    judge: Arc<Judge>,
    clock: Arc<Clock>,
}

impl ConsentDesk {
    /// A desk over the judge's ledger.
    pub fn new(judge: Arc<Judge>, clock: Arc<Clock>) -> Self {
        Self { judge, clock }
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

fn envelope(record: Option<&intoto::Envelope>) -> Result<Envelope, Status> {
    Ok(record.map(dsse::from_proto).ok_or(Refuse::Malformed)?)
}

/// The sender gets the whole story: it may quote what the sender wrote. The log gets the code.
fn refuse(refused: &Refused) -> Status {
    tracing::info!(code = refused.code(), "a record or query was refused");
    let grpc = match refused {
        // Somebody was faster: sign again on the head that the text names.
        Refused::Record(RecordRefusal::OutOfOrder { .. }) => Code::Aborted,
        Refused::Record(RecordRefusal::BadSignature | RecordRefusal::NotSignedBy(_) | RecordRefusal::NotYours) => Code::PermissionDenied,
        Refused::Clock(_) => Code::Unavailable,
        _ => match refused.whose_move() {
            Move::Sender => Code::InvalidArgument,
            Move::Operator => Code::FailedPrecondition,
            Move::Ours => Code::Unavailable,
        },
    };
    status(grpc, refused.code(), refused)
}

/// Writing waits for the disk: away from the threads that carry frames.
async fn write<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refused> + Send + 'static) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|refused| refuse(&refused)),
        Err(_) => Err(Refuse::StoreDown.into()),
    }
}

/// What a sender saw of the log before. Whatever it is, it stands in no record's way; where it shows that the log was set back, the
/// log signs nothing any more, so that no receipt will contradict it.
fn witness(ledger: &Ledger, seen: &str) {
    if !seen.is_empty()
        && let Err(error) = ledger.witness(seen)
    {
        let code = error.code();
        tracing::error!(code, %error, "a sender has a checkpoint that this log does not stand on; it is the operator's move");
    }
}

fn receipt(receipt: &Receipt) -> v1::Receipt {
    v1::Receipt { salt: Bytes::copy_from_slice(&receipt.salt.0), proof: receipt.proof.to_string() }
}

fn barrier(settled: StreamSettled) -> StreamBarrier {
    StreamBarrier {
        stream_id: Bytes::copy_from_slice(&settled.stream.0),
        recipient: settled.recipient.to_string(),
        purpose: settled.purpose.to_string(),
        last_handover: settled.last_handover,
        view: settled.view,
    }
}

#[tonic::async_trait]
impl Consents for ConsentDesk {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        carrier(&request, May::Submit)?;
        let SubmitRequest { record, seen } = request.into_inner();
        let record = envelope(record.as_ref())?;
        let ledger = Arc::clone(self.judge.ledger());
        let submitted = write(move || {
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
        let (query, _) = self.query(query.as_ref())?;
        if query.asks != Asks::Receipts {
            return Err(Refuse::Malformed.into());
        }
        let ledger = Arc::clone(self.judge.ledger());
        let found = write(move || ledger.receipts(&query.subject, from, RECEIPTS_MAX)).await?;
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
        let standing = ledger.standing_of(&query.subject);
        let head = standing.head();
        Ok(Response::new(StandingResponse {
            seq: head.seq,
            head: head.record.map(|record| Bytes::copy_from_slice(&record.0)).unwrap_or_default(),
            grants: standing.grants().iter().map(|grant| granted(grant, now)).collect(),
            streams: ledger.streams_of(&query.subject).into_iter().map(barrier).collect(),
        }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        carrier(&request, May::Submit)?;
        let (query, now) = self.query(request.into_inner().query.as_ref())?;
        let Asks::Explain { recipient, holder, purpose, schema } = &query.asks else { return Err(Refuse::Malformed.into()) };
        let schema = self.judge.schema(schema.as_str()).ok_or(Refuse::UnknownSchema)?;
        let listener = Listener { spiffe: recipient.clone(), did: *holder, stated_key: None };
        let standing = self.judge.ledger().standing_of(&query.subject);
        let judged = self.judge.judge(schema, &listener, purpose, Some(&standing), now).map_err(|error| {
            tracing::error!(code = error.code(), schema = %schema.name(), "the policy could not be evaluated");
            Status::from(Refuse::PolicyFailed)
        })?;
        let fields = schema.sites().iter().zip(&judged.decision.sites).map(|(site, decided)| {
            let encrypted = decided.treatment == Treatment::Encrypt;
            Explained {
                path: site.path.to_string(),
                sensitivity: v1::Sensitivity::from(site.facts.sensitivity).into(),
                category: site.facts.category.map_or(v1::Category::Unspecified, Into::into).into(),
                treatment: v1::Treatment::from(decided.treatment).into(),
                how: match (&site.facts.generalize, decided.treatment) {
                    (Some(how), Treatment::Generalize) => how.to_string(),
                    _ => String::new(),
                },
                reason: decided.reason.to_string(),
                key_holders: if encrypted { holders(decided.holders).to_owned() } else { String::new() },
            }
        });
        let valid_until_ms = if judged.valid_until == UnixMs::NEVER { 0 } else { judged.valid_until.0 };
        Ok(Response::new(ExplainResponse { fields: fields.collect(), valid_until_ms, delivers: judged.delivers }))
    }
}

const fn holders(holders: Holders) -> &'static str {
    match holders {
        Holders::Vault => "the subject",
        Holders::VaultAndRecipient => "the recipient and the subject",
        Holders::MandateVault => "the operator",
        Holders::MandateVaultAndRecipient => "the recipient and the operator",
    }
}

fn granted(grant: &Grant, now: UnixMs) -> v1::Grant {
    let consent = grant.consent();
    v1::Grant {
        record: Bytes::copy_from_slice(&grant.id().0),
        seq: consent.seq,
        state: grant.state(now).word().to_owned(),
        not_before_ms: grant.from().0,
        expires_ms: consent.expires.0,
        recipients: consent.recipients.iter().map(|recipient| recipient.who.to_string()).collect(),
        purposes: consent.purposes.iter().map(ToString::to_string).collect(),
        rules: consent.rules.iter().map(ToString::to_string).collect(),
    }
}
