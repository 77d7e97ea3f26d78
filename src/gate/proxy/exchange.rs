//! One call through the gateway: who calls, what for and about whom; then a request made anew, two pipes, and the end as gRPC
//! has it.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header};
use http_body::{Body, Frame};
use tokio::time::Sleep;

use super::forward::Forward;
use super::lane::Lane;
use super::pipe::{About, Fate, Fitting, Piece, Pipe};
use super::table::{Called, MessageSide};
use super::unpack::{ACCEPTED, Packing};
use crate::config::{May, Party, RoutePurpose, RouteSubject};
use crate::gate::ask::{Ask, Through};
use crate::gate::inbound::{Inbound, Wire};
use crate::gate::live::State;
use crate::gate::shared::Shared;
use crate::judge::Listener;
use crate::status::{Refuse, trailers, upstream_trailers};
use crate::stop::{Stop, Stopper, stop};
use crate::veil::name::{Purpose, Spiffe};
use crate::veil::terms;

/// A deadline that a caller may ask for is at most this long; without one, a call may last.
const DEADLINE_MAX: Duration = Duration::from_secs(100 * 24 * 60 * 60);
/// How many connections a request is offered to that close before they take it.
const TRIES_MAX: usize = 3;
/// After so many pieces of an answer it is looked at whether the call is over.
const OVER_EVERY: usize = 64;
/// The longest value of a metadata key that names a subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 1024;

/// Somebody's connection, and the lanes of the calls on it.
#[derive(Debug)]
pub struct Caller {
    spiffe: Spiffe,
    standing: Mutex<Standing>,
    lanes: Mutex<Lanes>,
}

/// Who somebody is, as of a state.
#[derive(Debug)]
struct Standing {
    generation: u64,
    party: Option<Arc<Party>>,
    /// Said when the party may call no more.
    over: (Stopper, Stop),
}

/// Who calls, and when their calls are over.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who it is.
    pub party: Arc<Party>,
    /// The party may call no more.
    pub over: Stop,
}

type Lanes = HashMap<(Arc<str>, Purpose), (Arc<Called>, Arc<Lane>, Arc<Lane>)>;

impl Caller {
    /// A connection of `party`, as of this state.
    pub fn new(party: Arc<Party>, state: &State) -> Self {
        let standing = Standing { generation: state.generation, party: Some(Arc::clone(&party)), over: stop() };
        Self { spiffe: party.spiffe.clone(), standing: Mutex::new(standing), lanes: Mutex::default() }
    }

    /// Who it is as of this state; nobody, where the party was removed. Ends calls that it may make no more, and forgets lanes of
    /// routes that are replaced.
    pub fn known(&self, state: &State) -> Option<Known> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.generation < state.generation {
            standing.generation = state.generation;
            standing.party = state.config.party(&self.spiffe).cloned().map(Arc::new);
            if !standing.party.as_ref().is_some_and(|party| party.may.contains(&May::Call)) {
                std::mem::replace(&mut standing.over, stop()).0.stop();
            }
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.retain(|_, (made_for, ..)| state.routes.find(&made_for.path).is_some_and(|called| Arc::ptr_eq(called, made_for)));
        }
        Some(Known { party: Arc::clone(standing.party.as_ref()?), over: standing.over.1.clone() })
    }

    /// The lanes of a method's calls: what is asked, and what is answered.
    fn lanes(&self, shared: &Arc<Shared>, called: &Arc<Called>, purpose: &Purpose) -> (Arc<Lane>, Arc<Lane>) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(&called.path), purpose.clone());
        if let Some((made_for, there, back)) = lanes.get(&key)
            && Arc::ptr_eq(made_for, called)
        {
            return (Arc::clone(there), Arc::clone(back));
        }
        let (there, back) = (self.lane(shared, called, false, purpose), self.lane(shared, called, true, purpose));
        lanes.insert(key, (Arc::clone(called), Arc::clone(&there), Arc::clone(&back)));
        (there, back)
    }

    fn lane(&self, shared: &Arc<Shared>, called: &Called, answers: bool, purpose: &Purpose) -> Arc<Lane> {
        let upstream = &called.upstream.party().spiffe;
        let (recipient, source, side): (&Spiffe, &Spiffe, &Arc<MessageSide>) = match answers {
            true => (&self.spiffe, upstream, &called.response),
            false => (upstream, &self.spiffe, &called.request),
        };
        let listener = Listener { spiffe: recipient.clone(), did: None, stated_key: None };
        let ask = Ask {
            listener,
            purpose: purpose.clone(),
            schema: Arc::clone(&side.schema),
            expected: !(side.streams && side.has_subject),
            through: Through::Call { path: Arc::clone(&called.path), answers, caller: self.spiffe.clone(), term: Arc::clone(&called.term) },
        };
        Lane::open(Arc::clone(shared), ask, source.clone(), Arc::clone(side))
    }
}

/// Carries a call through.
pub(in crate::gate) async fn exchange(
    shared: &Arc<Shared>,
    called: &Arc<Called>,
    caller: &Caller,
    known: &Known,
    bytes_max: usize,
    request: Request<Inbound>,
) -> Result<Response<ResponseBody>, Refuse> {
    if !known.party.may.contains(&May::Call) {
        return Err(Refuse::NotAllowed);
    }
    shared.counters.calls.add(1);
    let (head, body) = request.into_parts();
    let purpose = purpose(&called.purpose, &head.headers)?;
    let deadline = timeout(&head.headers)?.map(|after| Box::pin(tokio::time::sleep(after)));
    let packing = Packing::of(&head.headers).ok_or(Refuse::Compressed)?;
    let (there, back) = caller.lanes(shared, called, &purpose);
    let value = match &called.subject {
        RouteSubject::Field | RouteSubject::None => None,
        RouteSubject::Certificate => Some(known.party.spiffe.as_str().as_bytes().to_vec()),
        RouteSubject::Metadata(key) => {
            let mut values = head.headers.get_all(&**key).iter();
            match (values.next(), values.next()) {
                (None, _) => Some(Vec::new()),
                (Some(value), None) if value.len() <= SUBJECT_BYTES_MAX => Some(value.as_bytes().to_vec()),
                _ => return Err(Refuse::Malformed),
            }
        }
    };
    let about = |lane: &Lane| match &value {
        None => Ok(About::EachItself),
        Some(value) if value.is_empty() => Ok(About::Call(None)),
        Some(value) => lane.subject_of(value).map(About::Call),
    };
    let (about_there, about_back) = (about(&there)?, about(&back)?);
    let fitting = |lane, about, packing, again| Fitting { lane, about, packing, again, undecidable: called.undecidable, bytes_max };
    let fate = Arc::<Fate>::default();
    let again = if called.recompress { packing.again() } else { Packing::None };
    let mut forward = Forward::new(Pipe::new(body, fitting(there, about_there, packing, again)), Arc::clone(&fate));
    let mut to_ask = to_ask(called, &head.headers);
    again.tell(to_ask.headers_mut());
    let asked = head.headers;
    let mut ended = Ended { fate, deadline, over: called.streams().then(|| over(known.over.clone(), called.term.over())) };
    let mut tries = 0;
    let answer = loop {
        tries += 1;
        let upstream = ended.unless_over(called.upstream.sender()).await??;
        let Ok((writing, mut answer)) = upstream.open(&to_ask, false) else {
            // Others were quicker, or the connection closes.
            if tries < TRIES_MAX { continue } else { return Err(Refuse::UpstreamBroke) }
        };
        forward.send_to(writing);
        let answered = poll_fn(|cx| {
            forward.drive(cx);
            Pin::new(&mut answer).poll(cx)
        });
        match ended.unless_over(answered).await? {
            Ok(answer) => break answer,
            // An upstream that closes its connection in good order (GOAWAY) may do so just now: nothing of the request was looked
            // at there, nor judged here, and another connection takes it.
            Err(broken) if broken.unprocessed && forward.is_untouched() && tries < TRIES_MAX => {}
            Err(_) => return Err(ended.fate.get().unwrap_or(Refuse::UpstreamBroke)),
        }
    };
    let (head, body) = answer.into_parts();
    let mut response_headers = HeaderMap::new();
    response_headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response_headers.insert("grpc-accept-encoding", HeaderValue::from_static(ACCEPTED));
    pass(called, &head.headers, &mut response_headers);
    let is_grpc = head.headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if head.status != http::StatusCode::OK || !is_grpc {
        return Err(Refuse::NotGrpc);
    }
    let over = head.headers.contains_key("grpc-status");
    let packing = Packing::of(&head.headers).ok_or(Refuse::NotGrpc)?;
    let again = if called.recompress { packing.again_for(&asked) } else { Packing::None };
    let pipe = if over {
        // All there is, is in the headers (gRPC, "Trailers-Only").
        response_headers.extend(upstream_trailers(&head.headers, called.errors_pass));
        None
    } else {
        again.tell(&mut response_headers);
        Some(Pipe::new(Inbound::Plain(Wire::Stream(body)), fitting(back, about_back, packing, again)))
    };
    let mut response =
        Response::new(ResponseBody { pipe, forward, called: Arc::clone(called), ended, shared: Arc::clone(shared), pieces: 0 });
    *response.headers_mut() = response_headers;
    Ok(response)
}

/// The request as the upstream gets it: nothing of the caller's is in it but what the route lets pass.
fn to_ask(called: &Called, headers: &HeaderMap) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = called.uri.clone();
    let to = request.headers_mut();
    to.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    to.insert(header::TE, HeaderValue::from_static("trailers"));
    to.insert("grpc-accept-encoding", HeaderValue::from_static(ACCEPTED));
    if let Some(timeout) = headers.get("grpc-timeout") {
        to.insert("grpc-timeout", timeout.clone());
    }
    pass(called, headers, to);
    request
}

/// What the route lets pass, both ways.
fn pass(called: &Called, from: &HeaderMap, to: &mut HeaderMap) {
    for key in &called.metadata {
        let Ok(name) = HeaderName::from_bytes(key.as_bytes()) else { continue };
        for value in from.get_all(&name) {
            to.append(name.clone(), value.clone());
        }
    }
}

fn purpose(from: &RoutePurpose, headers: &HeaderMap) -> Result<Purpose, Refuse> {
    match from {
        RoutePurpose::Fixed(purpose) => Ok(purpose.clone()),
        RoutePurpose::Metadata(key, allowed) => {
            let stated = headers.get(&**key).and_then(|value| value.to_str().ok()).and_then(terms::purpose);
            stated.filter(|stated| allowed.contains(stated)).ok_or(Refuse::UnknownPurpose)
        }
    }
}

/// The deadline of a call (gRPC over HTTP/2, "Timeout"): at most eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Refuse> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let text = value.to_str().map_err(|_| Refuse::Malformed)?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(Refuse::Malformed)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refuse::Malformed);
    }
    let count: u64 = digits.parse().map_err(|_| Refuse::Malformed)?;
    let after = match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return Err(Refuse::Malformed),
    };
    Ok(Some(after.min(DEADLINE_MAX)))
}

/// What can end a call from outside its bodies.
struct Ended {
    fate: Arc<Fate>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// The operator ends it: unary calls are judged when their message comes, streams may wait for one for long.
    over: Option<Pin<Box<dyn Future<Output = Refuse> + Send>>>,
}

/// Ends when the party may call no more, or the route is gone.
fn over(mut party: Stop, mut route: Stop) -> Pin<Box<dyn Future<Output = Refuse> + Send>> {
    Box::pin(async move {
        tokio::select! {
            () = party.wait() => Refuse::NotAllowed,
            () = route.wait() => Refuse::Reloaded,
        }
    })
}

impl Ended {
    async fn unless_over<T>(&mut self, doing: impl Future<Output = T>) -> Result<T, Refuse> {
        tokio::select! {
            biased;
            done = doing => Ok(done),
            refuse = std::future::poll_fn(|cx| self.poll_over(cx)) => Err(refuse),
        }
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Refuse> {
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Refuse::Deadline);
        }
        match &mut self.over {
            Some(over) => over.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// What the upstream answers, on the way to the client.
pub struct ResponseBody {
    /// None once the end was told, or where there is nothing but headers.
    pipe: Option<Pipe>,
    /// What the client still sends goes on meanwhile.
    forward: Forward,
    called: Arc<Called>,
    ended: Ended,
    shared: Arc<Shared>,
    /// How many pieces since it was looked at whether the call is over.
    pieces: usize,
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResponseBody({})", self.called.path)
    }
}

impl ResponseBody {
    /// What the caller still sends goes on as far as it can.
    pub(in crate::gate) fn drive(&mut self, cx: &mut Context<'_>) {
        if self.pipe.is_some() {
            self.forward.drive(cx);
        }
    }

    /// Resolves when the deadline has passed, or the operator has ended the call.
    pub(in crate::gate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let refuse = std::task::ready!(self.ended.poll_over(cx));
        self.tell(refuse);
        self.pipe = None;
        Poll::Ready(())
    }

    fn tell(&self, refuse: Refuse) {
        self.shared.counters.calls_refused.add(1);
        self.shared.counters.refused_for(refuse.code());
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Refuse;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refuse>>> {
        let this = self.get_mut();
        let Some(pipe) = &mut this.pipe else { return Poll::Ready(None) };
        this.forward.drive(cx);
        this.pieces += 1;
        // An upstream that always has something to say does not keep a call open. A message that is half-way out is finished.
        let over = if this.pieces >= OVER_EVERY && pipe.is_between() {
            this.pieces = 0;
            this.ended.poll_over(cx)
        } else {
            Poll::Pending
        };
        let polled = match over {
            Poll::Ready(refuse) => Poll::Ready(Piece::Refused(refuse)),
            Poll::Pending => pipe.poll(cx),
        };
        let end = match polled {
            Poll::Ready(Piece::Data(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Pending => Err(std::task::ready!(this.ended.poll_over(cx))),
            Poll::Ready(Piece::End(Some(headers))) if headers.contains_key("grpc-status") => Ok(headers),
            Poll::Ready(Piece::End(_) | Piece::Broke) => Err(this.ended.fate.get().unwrap_or(Refuse::UpstreamBroke)),
            Poll::Ready(Piece::Refused(refuse)) => Err(refuse),
        };
        this.pipe = None;
        Poll::Ready(Some(match end {
            Ok(headers) => {
                let mut trailers = upstream_trailers(&headers, this.called.errors_pass);
                pass(&this.called, &headers, &mut trailers);
                Ok(Frame::trailers(trailers))
            }
            Err(refuse) => {
                this.tell(refuse);
                match refuse {
                    // A message is half-way out: only a reset takes it back.
                    Refuse::CutOff => Err(refuse),
                    refuse => Ok(Frame::trailers(trailers(Some(refuse)))),
                }
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.pipe.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_eight_digits_and_a_unit() {
        let of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("grpc-timeout"), HeaderValue::from_static(text))]);
            timeout(&headers)
        };
        assert_eq!(of("250m"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(of("1H"), Ok(Some(Duration::from_secs(3_600))));
        assert_eq!(of("99999999H"), Ok(Some(DEADLINE_MAX)));
        for bad in ["", "m", "-1m", "123456789m", "5", "5s", "5x", "1.5S"] {
            assert_eq!(of(bad), Err(Refuse::Malformed), "{bad}");
        }
        let no_text = HeaderValue::from_bytes(b"5\xffS").unwrap();
        assert_eq!(timeout(&HeaderMap::from_iter([(HeaderName::from_static("grpc-timeout"), no_text)])), Err(Refuse::Malformed));
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
    }
}
