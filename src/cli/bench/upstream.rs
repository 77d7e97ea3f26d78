//! A service behind the gateway that sends what it is told to, a message in each DATA frame, and counts what it gets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use crate::cli::CliError;
use crate::gate::codec::{Deframer, PREFIX_BYTES};
use crate::gate::tls::{self, PemFiles};
use crate::stop::Stop;

/// Messages that wait to be sent on a stream.
const AHEAD_MAX: usize = 64;
/// The largest message that is read.
const BYTES_MAX: usize = 64 << 20;

/// A body that is made as it goes.
pub(super) type Sent = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;

/// What is sent on one stream.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// With their prefixes.
    pub(super) messages: Arc<[Bytes]>,
    /// How many; then, or where it says none, it ends (or sends no more) at the stop.
    pub(super) count: Option<usize>,
    pub(super) stop: Stop,
    /// Whether the end waits for the stop.
    pub(super) lingers: bool,
}

impl Script {
    /// A body that follows it, with these trailers at the end.
    pub(super) fn body(self, trailers: Option<HeaderMap>) -> Sent {
        let (to, out) = mpsc::channel(AHEAD_MAX);
        tokio::spawn(async move {
            let mut stop = self.stop;
            let count = self.count.unwrap_or(usize::MAX);
            // One goes out however early the stop comes.
            for (at, message) in self.messages.iter().cycle().take(count).enumerate() {
                if (at > 0 && stop.is_told()) || to.send(Ok(Frame::data(message.clone()))).await.is_err() {
                    break;
                }
            }
            if self.lingers {
                tokio::select! {
                    () = stop.wait() => {}
                    () = to.closed() => {}
                }
            }
            if let Some(trailers) = trailers {
                let _gone = to.send(Ok(Frame::trailers(trailers))).await;
            }
        });
        StreamBody::new(ReceiverStream::new(out))
    }
}

/// A message with its prefix.
pub(super) fn prefixed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(message);
    out.freeze()
}

/// What was counted, and what is sent now.
#[derive(Debug)]
pub(super) struct Service {
    /// Messages that came.
    pub(super) got: AtomicU64,
    /// What a call is answered with, before the measured way is known: nothing.
    answer: Mutex<Option<Script>>,
}

impl Service {
    /// Listens on a free port of this machine, behind TLS where files are named when the first call comes.
    pub(super) async fn bind() -> Result<(TcpListener, SocketAddr), CliError> {
        let wrong = |error: std::io::Error| CliError::broken(format!("a service to measure with can't listen: {}", error.kind()));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        Ok((listener, address))
    }

    /// Serves until the command ends.
    pub(super) fn serve(listener: TcpListener, files: Option<&PemFiles>) -> Result<Arc<Self>, CliError> {
        let tls = files.map(tls::server).transpose()?.map(TlsAcceptor::from);
        let service = Arc::new(Self { got: AtomicU64::new(0), answer: Mutex::default() });
        let serving = Arc::clone(&service);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _best_effort = socket.set_nodelay(true);
                let (service, tls) = (Arc::clone(&serving), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => service.connection(socket).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await {
                                service.connection(stream).await;
                            }
                        }
                    }
                });
            }
        });
        Ok(service)
    }

    /// Answers calls like this from here on.
    pub(super) fn answers(&self, script: Script) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(script);
    }

    async fn connection(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(move |request| Arc::clone(&self).call(request));
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ended = builder.max_concurrent_streams(10_000).serve_connection(TokioIo::new(stream), service).await;
    }

    async fn call(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Sent>, Infallible> {
        let script = self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let body = request.into_body();
        // A stream is answered at once, one message after what is asked; where nothing is answered, the end comes after all of it.
        let reading = tokio::spawn(async move { count(body, &self.got).await });
        let asked_first = script.as_ref().is_some_and(|script| script.count == Some(1) && !script.lingers);
        if asked_first {
            let _counted = reading.await;
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(if script.is_some() { "0" } else { "14" }));
        let nothing = || Script { messages: Arc::new([]), count: Some(0), stop: crate::stop::stop().1, lingers: false };
        let mut response = Response::new(script.unwrap_or_else(nothing).body(Some(trailers)));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        Ok(response)
    }
}

/// Reads a body to its end and counts its messages; its trailers, if it has any.
pub(super) async fn count<B>(mut body: B, counted: &AtomicU64) -> Result<Option<HeaderMap>, ()>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut deframer = Deframer::default();
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| ())?.into_data() {
            Ok(data) => {
                deframer.push(data);
                while deframer.next(BYTES_MAX).map_err(|_| ())?.is_some() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(frame) => return Ok(frame.into_trailers().ok()),
        }
    }
    Ok(None)
}
