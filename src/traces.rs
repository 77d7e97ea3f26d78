//! Traces of the gateway itself, as OpenTelemetry spans to a collector (OTLP over gRPC, `opentelemetry/proto/collector/trace/v1`):
//! one span a call, with method, status and duration. No payload, no subject, no caller; a path that nobody serves is not named,
//! as whoever calls can write anything into it.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::stop::Stop;
use crate::telemetry::Counters;
use crate::veil::name::UnixMs;
use crate::world::random;

/// Spans that wait for the collector; more are let go and counted.
const WAITING_MAX: usize = 4_096;
/// Spans of one message.
const BATCH_MAX: usize = 512;
/// How long spans wait for others at the most.
const EVERY: Duration = Duration::from_secs(2);
/// How long the collector may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The status codes of servers that count as errors (OpenTelemetry, "Semantic conventions for gRPC").
const ERRORS: [i32; 7] = [2, 4, 12, 13, 14, 15, 10];

/// Where spans go.
#[derive(Clone, Debug)]
pub struct Traces {
    to: mpsc::Sender<Span>,
    counters: Arc<Counters>,
}

/// Spans on their way to the collector.
#[derive(Debug)]
pub struct Exporter {
    from: mpsc::Receiver<Span>,
    client: Grpc<Channel>,
    counters: Arc<Counters>,
}

/// The endpoint is no address of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEndpoint;

/// Both ends.
pub fn traces(endpoint: &str, counters: Arc<Counters>) -> Result<(Traces, Exporter), BadEndpoint> {
    let (to, from) = mpsc::channel(WAITING_MAX);
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(|_| BadEndpoint)?;
    let client = Grpc::new(endpoint.timeout(ANSWER_MAX).connect_timeout(ANSWER_MAX).connect_lazy());
    Ok((Traces { to, counters: Arc::clone(&counters) }, Exporter { from, client, counters }))
}

/// A call that has begun. It is told when it ends, also where nobody says how.
#[derive(Debug)]
pub struct Call {
    traces: Traces,
    method: Arc<str>,
    at: UnixMs,
    began: Instant,
    code: i32,
}

impl Traces {
    /// A call of a method of ours, `/package.Service/Method`, begins.
    pub fn begin(&self, method: Arc<str>, at: UnixMs) -> Call {
        // Whoever is gone before the end has cancelled.
        Call { traces: self.clone(), method, at, began: Instant::now(), code: tonic::Code::Cancelled as i32 }
    }
}

impl Call {
    /// Its status is known.
    pub fn note(&mut self, code: i32) {
        self.code = code;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let start = u64::try_from(self.at.0).unwrap_or(0).saturating_mul(1_000_000);
        let took = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let path = self.method.trim_start_matches('/');
        let (service, method) = path.split_once('/').unwrap_or((path, ""));
        let text = |key: &str, value: &str| KeyValue::new(key, AnyValue { text: Some(value.to_owned()), int: None });
        let mut attributes = vec![text("rpc.system", "grpc"), text("rpc.service", service), text("rpc.method", method)];
        attributes.push(KeyValue::new("rpc.grpc.status_code", AnyValue { text: None, int: Some(i64::from(self.code)) }));
        let (trace, own): ([u8; 16], [u8; 8]) = (random(), random());
        let span = Span {
            trace_id: trace.to_vec(),
            span_id: own.to_vec(),
            name: path.to_owned(),
            kind: SERVER,
            start_ns: start,
            end_ns: start.saturating_add(took),
            attributes,
            status: ERRORS.contains(&self.code).then_some(SpanStatus { code: ERROR }),
        };
        if self.traces.to.try_send(span).is_err() {
            self.traces.counters.spans_lost.add(1);
        }
    }
}

impl Exporter {
    /// Sends spans until `stop` says so, and then what is left.
    pub async fn run(mut self, mut stop: Stop) {
        let mut spans = Vec::new();
        loop {
            let stopping = tokio::select! {
                () = stop.wait() => true,
                () = self.collect(&mut spans) => false,
            };
            if stopping {
                while let Ok(span) = self.from.try_recv() {
                    spans.push(span);
                }
            }
            while !spans.is_empty() {
                let rest = spans.split_off(spans.len().min(BATCH_MAX));
                self.send(std::mem::replace(&mut spans, rest)).await;
            }
            if stopping {
                return;
            }
        }
    }

    /// Waits for a batch, or for what has come after a while.
    async fn collect(&mut self, spans: &mut Vec<Span>) {
        let until = Instant::now() + EVERY;
        while spans.len() < BATCH_MAX {
            match tokio::time::timeout_at(until, self.from.recv()).await {
                Ok(Some(span)) => spans.push(span),
                // Nobody will send any more: the stop is about to come.
                Ok(None) => return tokio::time::sleep_until(until).await,
                Err(_) => return,
            }
        }
    }

    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let scope = Scope { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let service = KeyValue::new("service.name", AnyValue { text: Some(env!("CARGO_PKG_NAME").to_owned()), int: None });
        let message = ExportRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes: vec![service] }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
            }],
        };
        let sent = async {
            self.client.ready().await.ok()?;
            let request = tonic::Request::new(message);
            let codec = ProstCodec::<ExportRequest, ExportResponse>::default();
            self.client.unary(request, PathAndQuery::from_static(EXPORT), codec).await.ok()
        };
        // The collector's words are not ours to log.
        if !matches!(tokio::time::timeout(ANSWER_MAX, sent).await, Ok(Some(_))) {
            self.counters.spans_lost.add(count);
            tracing::warn!(spans = count, "traces were lost: the collector did not take them");
        }
    }
}

const SERVER: i32 = 2;
const ERROR: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_ns: u64,
    #[prost(fixed64, tag = "8")]
    end_ns: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<SpanStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanStatus {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

impl KeyValue {
    fn new(key: &str, value: AnyValue) -> Self {
        Self { key: key.to_owned(), value: Some(value) }
    }
}

/// One of the two: the members of a `oneof`.
#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    int: Option<i64>,
}
