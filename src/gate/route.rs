//! Which request goes where: frames on raw bodies here, facts to the control plane's services, everything else refused.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Limited};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic_health::pb::health_server::HealthServer;
use tower::ServiceExt;

use super::ask::{Ask, Through};
use super::codec::{Broken, Deframer, PREFIX_BYTES};
use super::health::HealthDesk;
use super::inbound::{Inbound, Wire};
use super::live::State;
use super::places::Call;
use super::proxy::{Called, Caller, Known, ResponseBody, exchange};
use super::publish::{AckBody, PublishLimits, Publisher};
use super::queue::Lag;
use super::room::Held;
use super::shared::Shared;
use super::subscribe::SubscribeBody;
use super::traced::{TracedBody, traced};
use super::web::{Entered, PageBody, enter, preflight};
use crate::client::dsse;
use crate::config::{Carrier, May, Party};
use crate::judge::Listener;
use crate::ledger::{Move, Releasing};
use crate::proto;
use crate::proto::v1::{Delivery, SubscribeRequest};
use crate::status::{Refuse, trailers};
use crate::veil::consent::envelope::Signed;
use crate::veil::consent::recipient_key::RecipientKey;
use crate::veil::name::{RecordId, Spiffe};
use crate::veil::schema::Schema;
use crate::veil::terms;

/// A Subscribe request is at most this long.
const SUBSCRIBE_BYTES_MAX: usize = 64 * 1024;

/// Answers every request of every connection.
#[derive(Clone, Debug)]
pub struct Router {
    shared: Arc<Shared>,
    health: tonic::service::Routes,
}

impl Router {
    /// Joins the data plane, native and proxied, with the services of the control plane.
    pub fn new(shared: Arc<Shared>) -> Self {
        let health = tonic::service::Routes::new(HealthServer::new(HealthDesk::new(Arc::clone(&shared))));
        Self { shared, health }
    }

    /// What streams share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Answers one request.
    pub async fn answer(self, caller: Arc<Caller>, request: Request<Wire>) -> Result<Response<AnswerBody>, Infallible> {
        let state = self.shared.live.now();
        match enter(&state, request) {
            Entered::Plain(request) => self.route(&state, &caller, request).await,
            Entered::Page(request, form) => Ok(form.answer(self.route(&state, &caller, request).await?)),
            Entered::Answered(response) => Ok(response),
        }
    }

    /// Answers somebody without a certificate: a browser's question before it shows one, and nothing else.
    pub async fn answer_stranger(self, request: Request<Wire>) -> Result<Response<AnswerBody>, Infallible> {
        let state = self.shared.live.now();
        let asks = request.method() == http::Method::OPTIONS && !state.config.web.origins.is_empty();
        Ok(if asks { preflight(&state, request.headers()) } else { refused(Refuse::UnknownParty) })
    }

    async fn route(self, state: &State, caller: &Caller, request: Request<Inbound>) -> Result<Response<AnswerBody>, Infallible> {
        let Some(traces) = self.shared.traces.clone() else { return self.untraced(state, caller, request).await };
        let call = traces.begin(named(state, request.uri().path()), self.shared.clock.latest());
        Ok(traced(call, self.untraced(state, caller, request).await?))
    }

    async fn untraced(self, state: &State, caller: &Caller, request: Request<Inbound>) -> Result<Response<AnswerBody>, Infallible> {
        // Connections outlive configurations.
        let Some(known) = caller.known(state) else { return Ok(refused(Refuse::UnknownParty)) };
        // What is rare is in boxes: it need not make every call larger.
        if request.uri().path() == "/twinveil.v1.Frames/Subscribe" {
            return Ok(Box::pin(self.subscribe(state, &known.party, request)).await.unwrap_or_else(refused));
        }
        let Some(open) = self.shared.calls.begin(state.config.limits.calls_max) else { return Ok(refused(Refuse::TooMany)) };
        let answered = match request.uri().path() {
            "/twinveil.v1.Frames/Publish" => self.publish(state, &known.party, open, request),
            path if path.starts_with("/grpc.health.v1.Health/") => {
                return Box::pin(desk(self.health, &self.shared, known.party, open, request)).await;
            }
            path => match state.routes.find(path) {
                Some(called) => self.call(state, called, (caller, &known), open, request).await,
                None => {
                    let calls = known.party.may.contains(&May::Call);
                    let desks = if calls { &state.desks.callers } else { &state.desks.others };
                    return Box::pin(desk(desks.clone(), &self.shared, known.party, open, request)).await;
                }
            },
        };
        Ok(answered.unwrap_or_else(refused))
    }

    async fn call(
        &self,
        state: &State,
        called: &Arc<Called>,
        (caller, known): (&Caller, &Known),
        open: Call,
        request: Request<Inbound>,
    ) -> Result<Response<AnswerBody>, Refuse> {
        check_grpc(&request)?;
        let answered = exchange(&self.shared, called, caller, known, state.config.limits.frame_bytes_max, request).await;
        match answered {
            Ok(response) => Ok(response.map(|body| AnswerBody::Proxied(Box::new(body), open))),
            Err(refuse) => {
                self.shared.counters.calls_refused.add(1);
                self.shared.counters.refused_for(refuse.code());
                tracing::debug!(code = refuse.code(), method = %called.path, caller = %known.party.spiffe, "a call was refused");
                Err(refuse)
            }
        }
    }

    fn publish(self, state: &State, caller: &Party, open: Call, request: Request<Inbound>) -> Result<Response<AnswerBody>, Refuse> {
        check_grpc(&request)?;
        if !caller.may.contains(&May::Publish) {
            return Err(Refuse::NotAllowed);
        }
        let limits = PublishLimits::of(&state.config.limits);
        let publisher = Publisher::new(self.shared, caller.spiffe.clone(), state.generation, limits);
        Ok(streaming(AnswerBody::Acks(publisher.run(request.into_body()), open)))
    }

    async fn subscribe(self, state: &State, caller: &Party, request: Request<Inbound>) -> Result<Response<AnswerBody>, Refuse> {
        check_grpc(&request)?;
        if !caller.may.contains(&May::Subscribe) {
            return Err(Refuse::NotAllowed);
        }
        // What is large and half-way takes its room here, too.
        let held = Held::none(Arc::clone(&self.shared.room));
        let asked = Limited::new(Asked { body: request.into_body(), bytes: 0, held }, SUBSCRIBE_BYTES_MAX + PREFIX_BYTES);
        let body = asked.collect().await.map_err(|error| if error.is::<tonic::Status>() { Refuse::NoRoom } else { Refuse::TooLarge })?;
        let mut deframer = Deframer::default();
        deframer.push(body.to_bytes());
        let message = match deframer.next(SUBSCRIBE_BYTES_MAX) {
            Ok(message) => message.ok_or(Refuse::Malformed)?,
            Err(Broken::Compressed) => return Err(Refuse::Compressed),
            Err(Broken::TooLarge) => return Err(Refuse::TooLarge),
            Err(Broken::NoRoom) => return Err(Refuse::NoRoom),
        };
        if deframer.is_midway() {
            return Err(Refuse::Malformed);
        }
        let wanted = SubscribeRequest::decode(message).map_err(|_| Refuse::Malformed)?;
        let schema = state.judge.schema_of_frames(&wanted.schema).cloned().ok_or(Refuse::UnknownSchema)?;
        let purpose = terms::purpose(&wanted.purpose).ok_or(Refuse::UnknownPurpose)?;
        let now = self.shared.clock.now().map_err(|_| Refuse::ClockBehind)?;
        if self.shared.streams.len() >= state.config.limits.streams_max {
            return Err(Refuse::TooMany);
        }
        let stated = match &wanted.key {
            None => None,
            Some(envelope) => {
                let envelope = dsse::from_proto(envelope);
                let signed = Signed::<RecipientKey>::new(&envelope).and_then(|signed| signed.verify(self.shared.maker.origin()));
                let stated = signed.map_err(|_| Refuse::BadKeyStatement)?;
                stated.get().check(&caller.spiffe, now).map_err(|_| Refuse::BadKeyStatement)?;
                Some((stated.get().did, stated.get().key))
            }
        };
        let lag = match wanted.delivery() {
            Delivery::Newest => Lag::DropOldest,
            Delivery::Lossless | Delivery::Unspecified => Lag::Wait,
        };
        let listener = Listener {
            spiffe: caller.spiffe.clone(),
            did: stated.as_ref().map(|stated| stated.0),
            stated_key: stated.as_ref().map(|stated| stated.1),
        };
        let through = match wanted.warrant.is_empty() {
            true => Through::Frames,
            false => Through::Warrant(self.begin_release(&caller.spiffe, &wanted.warrant, &schema).await?),
        };
        let ask = Ask { listener, purpose, schema, expected: false, through };
        let body = SubscribeBody::open(self.shared, ask, lag, state.config.limits.queue_bytes_max);
        Ok(streaming(AnswerBody::Frames(Box::new(body))))
    }
}

impl Router {
    /// Begins what a legal demand releases; on disk before anything is handed over.
    async fn begin_release(&self, caller: &Spiffe, demand: &[u8], schema: &Schema) -> Result<Arc<Releasing>, Refuse> {
        let demand = RecordId(demand.try_into().map_err(|_| Refuse::Malformed)?);
        let (ledger, caller, schema) = (Arc::clone(self.shared.maker.ledger()), caller.clone(), schema.name().clone());
        let begun = tokio::task::spawn_blocking(move || ledger.begin_release(demand, &caller, &schema)).await;
        begun.map_err(|_| Refuse::StoreDown)?.map_err(|refused| {
            tracing::info!(code = refused.code(), "a release under a legal demand was refused");
            match refused.whose_move() {
                Move::Ours => Refuse::StoreDown,
                Move::Sender | Move::Operator => Refuse::NoRelease,
            }
        })
    }
}

/// A method's path, if there is such a method: nothing else that a caller writes is told.
fn named(state: &State, path: &str) -> Arc<str> {
    if let Some(called) = state.routes.find(path) {
        return Arc::clone(&called.path);
    }
    OWN.get(path).map_or_else(|| "other".into(), Arc::clone)
}

/// The paths of all methods of the gateway's own services.
static OWN: LazyLock<BTreeSet<Arc<str>>> = LazyLock::new(|| {
    let sets = [proto::CONTRACT, tonic_health::pb::FILE_DESCRIPTOR_SET].map(FileDescriptorSet::decode);
    let files = sets.into_iter().flatten().flat_map(|set| set.file);
    let services = files.flat_map(|file| {
        file.service
            .into_iter()
            .map(move |service| (format!("/{}.{}", file.package.as_deref().unwrap_or_default(), service.name()), service.method))
    });
    let own = services.flat_map(|(service, methods)| methods.into_iter().map(move |method| format!("{service}/{}", method.name())));
    let reflection = ["v1", "v1alpha"].map(|version| format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"));
    own.chain(reflection).map(Arc::from).collect()
});

/// Lets a service of ours answer.
async fn desk(
    services: tonic::service::Routes,
    shared: &Shared,
    caller: Arc<Party>,
    open: Call,
    mut request: Request<Inbound>,
) -> Result<Response<AnswerBody>, Infallible> {
    request.extensions_mut().insert(Carrier(caller));
    let held = Held::none(Arc::clone(&shared.room));
    let response = services.oneshot(request.map(|body| tonic::body::Body::new(Asked { body, bytes: 0, held }))).await?;
    Ok(if is_unknown(&response) { refused(Refuse::UnknownMethod) } else { response.map(|body| AnswerBody::Control(body, open)) })
}

/// What is asked and collected as a whole, by a service of ours or where a stream begins: the room for it is held here.
struct Asked {
    body: Inbound,
    bytes: usize,
    held: Held,
}

impl Body for Asked {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        this.bytes += frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        // As a status, which the service hands on; of any other error it makes one that says nothing.
        Poll::Ready(if this.held.hold(this.bytes) { frame } else { Some(Err(tonic::Status::from(Refuse::NoRoom).into())) })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

fn check_grpc(request: &Request<Inbound>) -> Result<(), Refuse> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let grpc = content_type == "application/grpc" || content_type.starts_with("application/grpc+proto");
    if grpc && request.method() == http::Method::POST { Ok(()) } else { Err(Refuse::Malformed) }
}

/// Whether no service has the method: the answer is a bare `UNIMPLEMENTED`, without a word.
fn is_unknown<B>(response: &Response<B>) -> bool {
    let unimplemented = HeaderValue::from(tonic::Code::Unimplemented as i32);
    let headers = response.headers();
    headers.get("grpc-status") == Some(&unimplemented) && !headers.contains_key("grpc-message")
}

fn streaming(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A trailers-only answer (gRPC over HTTP/2, "Responses").
pub(super) fn refused(refuse: Refuse) -> Response<AnswerBody> {
    let mut response = streaming(AnswerBody::Empty);
    response.headers_mut().extend(trailers(Some(refuse)));
    response
}

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// A recipient's stream.
    Frames(Box<SubscribeBody>),
    /// What an upstream answers.
    Proxied(Box<ResponseBody>, Call),
    /// A source's acknowledgements.
    Acks(AckBody, Call),
    /// Of the control plane.
    Control(tonic::body::Body, Call),
    /// To a page.
    Page(Box<PageBody>),
    /// Told when it ends.
    Traced(Box<TracedBody>),
    /// A refusal, which is all in the headers.
    Empty,
}

impl AnswerBody {
    /// What goes the other way meanwhile, and needs no room in the answer.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(proxied) = self.proxied() {
            proxied.drive(cx);
        }
    }

    /// Resolves when a call is over that waits for who is answered.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.proxied().map_or(Poll::Pending, |proxied| proxied.poll_over(cx))
    }

    fn proxied(&mut self) -> Option<&mut ResponseBody> {
        match self {
            Self::Proxied(body, _) => Some(body),
            Self::Page(page) => page.body().proxied(),
            Self::Traced(traced) => traced.body().proxied(),
            Self::Frames(_) | Self::Acks(..) | Self::Control(..) | Self::Empty => None,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Frames(body) => Pin::new(body.as_mut()).poll_frame(cx).map_err(Into::into),
            Self::Proxied(body, _) => Pin::new(body.as_mut()).poll_frame(cx).map_err(Into::into),
            Self::Acks(body, _) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Control(body, _) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Page(body) => Pin::new(body.as_mut()).poll_frame(cx),
            Self::Traced(body) => Pin::new(body.as_mut()).poll_frame(cx),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Proxied(body, _) => body.is_end_stream(),
            // A refusal has no body: its headers end the stream, or clients over gRPC's C core don't read it.
            Self::Control(body, _) => body.is_end_stream(),
            Self::Page(body) => body.is_end_stream(),
            Self::Traced(body) => body.is_end_stream(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_gateway_has_its_name_in_traces() {
        let missing = [
            "/twinveil.v1.Frames/Subscribe",
            "/twinveil.v1.Consents/History",
            "/twinveil.v1.Demands/Disclosed",
            "/twinveil.v1.Keys/Announced",
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ];
        assert_eq!(missing.into_iter().find(|path| !OWN.contains(*path)), None);
        // Two of reflection, two of health at least, and nothing that nobody serves.
        let services = ["twinveil.v1.", "grpc.health.v1.Health/", "grpc.reflection.v1.", "grpc.reflection.v1alpha."];
        assert!(OWN.iter().all(|path| services.iter().any(|service| path[1..].starts_with(service))), "{OWN:?}");
    }
}
