//! Messages in calls: from a service of our own through the gateway to a client of our own, or the other way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;
use tower::ServiceExt;

use super::made::Maker;
use super::matter::{Matter, Size};
use super::native::{ARRIVES_MAX, LOOK_EVERY};
use super::place::CALLER;
use super::rig::{Rig, Run, STREAMS};
use super::sizing::each_bytes;
use super::upstream::{Script, Service, count, prefixed};
use super::way::Method;
use crate::cli::CliError;
use crate::cli::connect::refused;
use crate::config::RouteSubject;
use crate::stop::{Stop, stop};

/// Calls at a time.
pub(super) const CALLS: usize = 8;
/// Subjects that headers name.
const SUBJECTS: usize = 8;

/// A client, and the service behind the gateway.
#[derive(Clone, Debug)]
pub(super) struct Proxied<'r> {
    rig: &'r Rig,
    matter: &'r Matter,
    calling: Calling,
    service: Arc<Service>,
    channel: Channel,
}

/// How a method is called.
#[derive(Clone, Debug)]
struct Calling {
    method: Arc<Method>,
    /// What is asked where answers are measured, by subject.
    asks: Arc<[Bytes]>,
    /// What headers say of subject and purpose, by subject.
    headers: Arc<[HeaderMap]>,
}

/// Everybody whom calls of a method name, beside those in the measured messages.
pub(super) fn subjects(method: &Method, caller: &str) -> BTreeSet<String> {
    match &method.route.subject {
        RouteSubject::Field if method.called.schema(false).subject_sites().next().is_some() => {
            let maker = Maker::new(method.called.schema(false));
            (0..SUBJECTS).map(|subject| maker.name(subject)).collect()
        }
        RouteSubject::Metadata(_) => (0..SUBJECTS).map(in_header).collect(),
        RouteSubject::Certificate => BTreeSet::from([caller.to_owned()]),
        RouteSubject::Field | RouteSubject::None => BTreeSet::new(),
    }
}

fn in_header(subject: usize) -> String {
    format!("bench-{subject:04}")
}

impl<'r> Proxied<'r> {
    /// Connects; nothing is called yet.
    pub(super) async fn open(rig: &'r Rig, matter: &'r Matter, method: &Method, service: Arc<Service>) -> Result<Self, CliError> {
        let maker = Maker::new(method.called.schema(false));
        let asks = maker.frames(SUBJECTS, 1).iter().map(|frame| prefixed(frame)).collect();
        let headers = (0..SUBJECTS).map(|subject| headers(method, matter, subject)).collect::<Result<_, _>>()?;
        let calling = Calling { method: Arc::new(method.clone()), asks, headers };
        let channel = rig.connect(CALLER).await?;
        Ok(Self { rig, matter, calling, service, channel })
    }

    /// Calls for every size, so that every view is made.
    pub(super) async fn warm(&self) -> Result<(), CliError> {
        for size in &self.matter.sizes {
            self.run(size, Duration::from_millis(20)).await?;
        }
        Ok(())
    }

    /// Carries messages of this size for a while, as fast as they go.
    pub(super) async fn run(&self, size: &Size, lasts: Duration) -> Result<Run, CliError> {
        let (told, telling) = stop();
        let messages: Arc<[Bytes]> = size.frames.iter().map(|frame| prefixed(frame)).collect();
        let (answers, streams) = (self.calling.method.answers, self.calling.method.streams());
        let script = Script { messages, count: (!streams).then_some(1), stop: telling.clone(), lingers: false };
        self.service.answers(if answers { script.clone() } else { one_answer() });
        let (came, cpu_us, began) = (Arc::<AtomicU64>::default(), self.rig.cpu_us()?, Instant::now());
        let before = self.service.got.load(Ordering::Relaxed);
        let mut calls = JoinSet::new();
        for at in 0..CALLS {
            let (calling, channel, script, came, telling) =
                (self.calling.clone(), self.channel.clone(), script.clone(), Arc::clone(&came), telling.clone());
            calls.spawn(async move { calling.repeat(&channel, at, &script, &came, &telling).await });
        }
        tokio::time::sleep(lasts).await;
        told.stop();
        while let Some(ended) = calls.join_next().await {
            ended.map_err(|_| CliError::broken("a call was not made"))??;
        }
        let cpu_us = self.rig.cpu_us()?.saturating_sub(cpu_us);
        let frames = if answers { came.load(Ordering::Relaxed) } else { self.service.got.load(Ordering::Relaxed) - before };
        if frames == 0 {
            return Err(CliError::found(format!("no message of `{}` came through", self.calling.method.name())));
        }
        Ok(Run { bytes: size.bytes(), frames, seconds: began.elapsed().as_secs_f64(), cpu_us })
    }

    /// What one open call more takes in memory, when a message has gone through it; none, where calls end with their message.
    pub(super) async fn stream_bytes(&self) -> Result<Option<u64>, CliError> {
        let Some(size) = self.matter.sizes.first().filter(|_| self.calling.method.streams()) else { return Ok(None) };
        let channels = self.rig.connect_for_streams(CALLER).await?;
        let (told, telling) = stop();
        let messages: Arc<[Bytes]> = size.frames.iter().take(1).map(|frame| prefixed(frame)).collect();
        let script = Script { messages, count: Some(1), stop: telling, lingers: true };
        let answers = self.calling.method.answers;
        self.service.answers(if answers { script.clone() } else { one_answer() });
        let (mut calls, mut resident, came) = (JoinSet::new(), [0; 2], Arc::<AtomicU64>::default());
        let before = self.service.got.load(Ordering::Relaxed);
        let through = || if answers { came.load(Ordering::Relaxed) } else { self.service.got.load(Ordering::Relaxed) - before };
        for (resident, count) in resident.iter_mut().zip(STREAMS) {
            for (at, channel) in channels.iter().cycle().take(count - calls.len()).enumerate() {
                let (calling, channel, script, came) = (self.calling.clone(), channel.clone(), script.clone(), Arc::clone(&came));
                calls.spawn(async move { calling.call(&channel, at, &script, &came).await });
            }
            let until = Instant::now() + ARRIVES_MAX;
            while through() < count as u64 {
                if let Some(ended) = calls.try_join_next() {
                    ended.map_err(|_| CliError::broken("a call was not made"))??;
                    return Err(CliError::found("a call ended before its message came"));
                }
                if Instant::now() > until {
                    return Err(CliError::found(format!("{count} calls were made, and messages of {} came through", through())));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            *resident = self.rig.resident_bytes().await?;
        }
        told.stop();
        while let Some(ended) = calls.join_next().await {
            ended.map_err(|_| CliError::broken("a call was not made"))??;
        }
        Ok(Some(each_bytes(STREAMS, resident)))
    }
}

/// What is answered where what is asked is measured: a message with nothing in it.
fn one_answer() -> Script {
    Script { messages: Arc::new([prefixed(&[])]), count: Some(1), stop: never(), lingers: false }
}

/// A stop that nobody says: whoever could is kept as long as the process.
fn never() -> Stop {
    static NEVER: std::sync::OnceLock<(crate::stop::Stopper, Stop)> = std::sync::OnceLock::new();
    NEVER.get_or_init(stop).1.clone()
}

fn headers(method: &Method, matter: &Matter, subject: usize) -> Result<HeaderMap, CliError> {
    let mut headers = HeaderMap::new();
    let mut say = |key: &str, value: &str| {
        let (key, value) = (key.parse::<http::HeaderName>(), value.parse::<http::HeaderValue>());
        let (Ok(key), Ok(value)) = (key, value) else { return Err(CliError::broken("a header of the route can't be sent")) };
        headers.insert(key, value);
        Ok(())
    };
    if let Some(key) = method.purpose_header() {
        say(key, matter.purpose.as_str())?;
    }
    if let RouteSubject::Metadata(key) = &method.route.subject {
        say(key, &in_header(subject))?;
    }
    say(header::CONTENT_TYPE.as_str(), "application/grpc")?;
    say(header::TE.as_str(), "trailers")?;
    Ok(headers)
}

impl Calling {
    /// Calls until it is over: a stream ends then by itself, others are called again and again.
    async fn repeat(&self, channel: &Channel, at: usize, script: &Script, came: &AtomicU64, over: &Stop) -> Result<(), CliError> {
        let mut times = at;
        loop {
            // Every message of a size has its turn, also where a call has one.
            let mut turned: Vec<Bytes> = script.messages.to_vec();
            turned.rotate_left(times % script.messages.len().max(1));
            self.call(channel, times, &Script { messages: turned.into(), ..script.clone() }, came).await?;
            times += 1;
            if over.is_told() {
                return Ok(());
            }
        }
    }

    /// One call, to its end.
    async fn call(&self, channel: &Channel, at: usize, script: &Script, came: &AtomicU64) -> Result<(), CliError> {
        let body = match self.method.answers {
            true => Script {
                messages: self.asks.get(at % SUBJECTS).cloned().into_iter().collect(),
                count: Some(1),
                stop: never(),
                lingers: false,
            },
            false => script.clone(),
        };
        let mut request = Request::post(&*self.method.called.path)
            .body(tonic::body::Body::new(body.body(None)))
            .map_err(|_| CliError::broken("the method can't be called"))?;
        *request.headers_mut() = self.headers.get(at % SUBJECTS).cloned().unwrap_or_default();
        let unreachable = || CliError::broken("the connection to the gateway broke");
        let answer = channel.clone().oneshot(request).await.map_err(|_| unreachable())?;
        let (head, body) = answer.into_parts();
        let trailers = count(body, came).await.map_err(|()| unreachable())?;
        match Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers?)) {
            Some(status) if status.code() == tonic::Code::Ok => Ok(()),
            Some(status) => Err(refused(&status)),
            None => Err(unreachable()),
        }
    }
}
