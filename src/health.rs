//! Health and metrics over plain HTTP/1.1, for load balancers and Prometheus: no payload, no subject, no recipient.

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

use crate::stop::Stop;
use crate::telemetry::Counters;
use crate::world::Clock;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// A request's headers come within this time.
const HEADERS_MAX: Duration = Duration::from_secs(5);

/// Serves `/healthz` (200 while frames may flow, 503 otherwise) and `/metrics` until `stop` says so.
pub async fn serve(listener: TcpListener, counters: Arc<Counters>, clock: Arc<Clock>, mut stop: Stop) {
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
        let (counters, clock) = (Arc::clone(&counters), Arc::clone(&clock));
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &counters, &clock);
                async move { Ok::<_, Infallible>(answer) }
            });
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

fn answer(request: &Request<Incoming>, counters: &Counters, clock: &Clock) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => match clock.now() {
            Ok(_) => (StatusCode::OK, "serving\n".to_owned()),
            Err(behind) => (StatusCode::SERVICE_UNAVAILABLE, format!("{behind}\n")),
        },
        (&Method::GET, "/metrics") => (StatusCode::OK, counters.prometheus()),
        _ => (StatusCode::NOT_FOUND, "here are /healthz and /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}
