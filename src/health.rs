//! Health, metrics and the transparency log over plain HTTP/1.1, for load balancers, Prometheus and whoever audits: no payload, no
//! subject, no recipient. The log's paths are those of C2SP `tlog-tiles`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::log::Log;
use crate::stop::Stop;
use crate::telemetry::Counters;
use crate::world::Clock;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// A request's headers come within this time.
const HEADERS_MAX: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Debug)]
pub struct Facts {
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Whether frames may flow.
    pub clock: Arc<Clock>,
    /// The log.
    pub log: Arc<Log>,
}

/// Serves `/healthz` (200 while frames may flow, 503 otherwise), `/metrics`, `/checkpoint` and `/tile/…` until `stop` says so.
pub async fn serve(listener: TcpListener, facts: Arc<Facts>, mut stop: Stop) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.wait() => return,
            accepted = listener.accept() => accepted,
        };
        let (Ok((socket, _)), Ok(place)) = (accepted, Arc::clone(&places).try_acquire_owned()) else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let facts = Arc::clone(&facts);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&facts)));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS_MAX)
                .keep_alive(false)
                .serve_connection(TokioIo::new(socket), service);
            // Whoever asked is gone, or asked nonsense: nothing to keep.
            let _ended = connection.await;
            drop(place);
        });
    }
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn answer(request: Request<Incoming>, facts: Arc<Facts>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let plain = |status, text: String| respond(status, TEXT, None, text.into());
    Ok(match (request.method(), path.as_str()) {
        (&Method::GET, "/healthz") => match facts.clock.now() {
            Ok(_) => plain(StatusCode::OK, "serving\n".to_owned()),
            Err(behind) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{behind}\n")),
        },
        (&Method::GET, "/metrics") => plain(StatusCode::OK, facts.counters.prometheus()),
        (&Method::GET, path) if path == "/checkpoint" || path.starts_with("/tile/") => {
            let (file, checkpoint) = (path.trim_start_matches('/').to_owned(), path == "/checkpoint");
            let found = tokio::task::spawn_blocking(move || facts.log.file(&file)).await;
            match (found.ok().flatten(), checkpoint) {
                (None, _) => plain(StatusCode::NOT_FOUND, "the log has no such file\n".to_owned()),
                // It changes with every batch; a tile never does.
                (Some(bytes), true) => respond(StatusCode::OK, "text/plain; charset=utf-8", Some("no-cache"), bytes.into()),
                (Some(bytes), false) => {
                    respond(StatusCode::OK, "application/octet-stream", Some("public, max-age=31536000, immutable"), bytes.into())
                }
            }
        }
        _ => plain(StatusCode::NOT_FOUND, "here are /healthz, /metrics, /checkpoint and /tile/\n".to_owned()),
    })
}

fn respond(status: StatusCode, kind: &'static str, cached: Option<&'static str>, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(cached) = cached {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cached));
    }
    response
}
