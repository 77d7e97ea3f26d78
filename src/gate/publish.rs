//! A source's stream: frames in, acknowledgements out. A frame is taken, refused by name, or not acknowledged; never lost in
//! between.

use std::collections::HashMap;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use prost::Message;
use tokio::sync::mpsc;

use super::arrival::Arrival;
use super::chunk::{Chunk, Tally};
use super::codec::{Broken, Deframer, framed};
use super::room::FREE_BYTES;
use super::shared::Shared;
use crate::config::{Limits, May};
use crate::ledger::Subject;
use crate::proto::v1::{PublishOpen, PublishResponse, Refused, RefusedLater};
use crate::status::{Refuse, trailers};
use crate::veil::name::{Did, Spiffe};
use crate::veil::outcome::Refusal;
use crate::veil::schema::Schema;
use crate::veil::schema::changes::goes_on;
use crate::veil::view::{Frames, SubjectValue};
use crate::veil::wire::{Reader, Value};

/// How many acknowledgements may wait for a source that does not read them.
const ACKS_MAX: usize = 64;
/// The most frames of a batch: what is said about each of them is longer than the shortest of them.
const FRAMES_MAX: usize = 65_536;
/// How many subjects a stream remembers.
const REMEMBERED_MAX: usize = 10_000;

/// Limits of a source's stream.
#[derive(Clone, Copy, Debug)]
pub struct PublishLimits {
    /// The largest frame, in bytes.
    pub frame_bytes_max: usize,
    /// The largest message, in bytes.
    pub batch_bytes_max: usize,
}

impl PublishLimits {
    /// As configured.
    pub fn of(limits: &Limits) -> Self {
        Self { frame_bytes_max: limits.frame_bytes_max, batch_bytes_max: limits.batch_bytes_max }
    }
}

/// One open Publish call.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    source: Spiffe,
    /// Of the state that it was allowed under.
    generation: u64,
    limits: PublishLimits,
    schema: Option<Arc<Schema>>,
    /// Subjects seen in this stream. Only those that are enrolled: enrolment may come later.
    known: HashMap<SubjectValue, Arc<Subject>>,
    tally: Arc<Tally>,
    through: u64,
    accepted: u64,
}

impl Publisher {
    /// A stream of a source that may publish.
    pub fn new(shared: Arc<Shared>, source: Spiffe, generation: u64, limits: PublishLimits) -> Self {
        Self { shared, source, generation, limits, schema: None, known: HashMap::new(), tally: Arc::default(), through: 0, accepted: 0 }
    }

    /// Reads the call to its end, in a task of its own; the answer's body.
    pub fn run<B>(self, body: B) -> AckBody
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let (acks, reader) = mpsc::channel(ACKS_MAX);
        tokio::spawn(self.read(body, acks));
        AckBody { acks: reader }
    }

    async fn read<B>(mut self, body: B, acks: mpsc::Sender<Ack>)
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let mut body = std::pin::pin!(body);
        let mut deframer = Deframer::within(Arc::clone(&self.shared.room));
        let kept = Arc::clone(&self.shared.kept);
        let mut stopping = self.shared.hub.stopping();
        let mut changes = self.shared.live.changes();
        let end = 'call: loop {
            let frame = tokio::select! {
                biased;
                // What was not acknowledged the source sends again.
                () = stopping.wait() => break Some(Refuse::Shutdown),
                Ok(()) = changes.changed() => match self.renew() {
                    Ok(()) => continue,
                    Err(refuse) => break Some(refuse),
                },
                frame = body.frame() => frame.transpose().map_err(drop),
            };
            let data = match frame {
                Ok(None) if deframer.is_midway() => break Some(Refuse::Malformed),
                Ok(None) => break None,
                // The source is gone in mid-stream; what was acknowledged stays.
                Err(()) => return,
                Ok(Some(frame)) => frame.into_data().unwrap_or_default(),
            };
            let mut arrival = Arrival::new(&kept, data.len());
            deframer.push(data);
            loop {
                let message = match deframer.next(self.limits.batch_bytes_max) {
                    Ok(Some(message)) => message,
                    Ok(None) => break,
                    Err(Broken::Compressed) => break 'call Some(Refuse::Compressed),
                    Err(Broken::TooLarge) => break 'call Some(Refuse::TooLarge),
                    Err(Broken::NoRoom) => break 'call Some(Refuse::NoRoom),
                };
                match self.message(message, &mut arrival).await {
                    Ok(Some(ack)) => {
                        let ack = framed(&ack);
                        let large = ack.len() > FREE_BYTES;
                        if acks.send(Ack::Data(ack)).await.is_err() {
                            return;
                        }
                        // What is said about thousands of frames is read before more of it is made.
                        if large && acks.reserve_many(ACKS_MAX).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => {}
                    Err(refuse) => break 'call Some(refuse),
                }
            }
        };
        if end.is_none() && self.through > 0 {
            // A last word: what was refused after it had been acknowledged.
            let last = self.ack(Vec::new());
            if !last.refused_later.is_empty() && acks.send(Ack::Data(framed(&last))).await.is_err() {
                return;
            }
        }
        // The source may be gone already; then nobody asks how it ended.
        let _gone = acks.send(Ack::End(end)).await;
    }

    /// Goes on under the state of this moment, if the source may.
    fn renew(&mut self) -> Result<(), Refuse> {
        let state = self.shared.live.now();
        if state.generation == self.generation {
            return Ok(());
        }
        state.allows(&self.source, May::Publish)?;
        if let Some(schema) = &self.schema {
            let now = state.judge.schema(schema.name().as_str()).filter(|now| goes_on(schema, now));
            self.schema = Some(Arc::clone(now.ok_or(Refuse::Reloaded)?));
        }
        self.limits = PublishLimits::of(&state.config.limits);
        self.generation = state.generation;
        Ok(())
    }

    /// Handles one `PublishRequest`.
    async fn message(&mut self, message: Bytes, arrival: &mut Arrival<'_>) -> Result<Option<PublishResponse>, Refuse> {
        self.renew()?;
        let mut answer = None;
        for record in Reader::new(&message) {
            let record = record.map_err(|_| Refuse::Malformed)?;
            match (record.number, record.value) {
                (1, Value::Len(open)) if self.schema.is_none() => {
                    let open = PublishOpen::decode(open).map_err(|_| Refuse::Malformed)?;
                    let state = self.shared.live.now();
                    self.schema = Some(Arc::clone(state.judge.schema_of_frames(&open.schema).ok_or(Refuse::UnknownSchema)?));
                }
                (2, Value::Len(batch)) if answer.is_none() => {
                    let schema = self.schema.clone().ok_or(Refuse::Malformed)?;
                    answer = Some(self.batch(&schema, message.slice_ref(batch), (arrival, message.len())).await?);
                }
                _ => return Err(Refuse::Malformed),
            }
        }
        Ok(answer)
    }

    async fn batch(
        &mut self,
        schema: &Schema,
        batch: Bytes,
        (arrival, message_bytes): (&mut Arrival<'_>, usize),
    ) -> Result<PublishResponse, Refuse> {
        let places = places(&batch)?;
        let frames = Frames::new(batch, places).map_err(|_| Refuse::Malformed)?;
        let first = self.through;
        self.through += frames.len() as u64;
        let mut sorted = Sorted { taken: vec![false; frames.len()], ..Sorted::default() };
        for index in 0..frames.len() {
            match self.place(schema, &frames, index, &mut sorted) {
                Ok(()) => {}
                Err(code) => {
                    self.shared.counters.refused_for(code);
                    sorted.refused.push(Refused { index: first + index as u64, code: code.to_owned() });
                }
            }
        }
        let Sorted { refused, taken, about, subjects, .. } = sorted;
        let mut frames = frames;
        frames.retain(|index| taken.get(index).copied().unwrap_or(false));
        self.accepted += frames.len() as u64;
        let counters = &self.shared.counters;
        counters.frames_in.add(frames.len() as u64);
        counters.frames_refused.add(refused.len() as u64);
        if !refused.is_empty() {
            tracing::warn!(source = %self.source, schema = %schema.name(), frames = refused.len(), "frames were refused");
        }
        if !frames.is_empty() {
            let chunk = Chunk::new(arrival.keep(frames, message_bytes), about, subjects, self.source.clone(), Arc::clone(&self.tally));
            self.shared.hub.publish(schema.name(), Arc::new(chunk)).await;
        }
        Ok(self.ack(refused))
    }

    fn ack(&self, refused: Vec<Refused>) -> PublishResponse {
        let later = self.tally.refused().into_iter();
        PublishResponse {
            through: self.through,
            accepted: self.accepted,
            refused,
            refused_later: later.map(|(refusal, frames)| RefusedLater { code: refusal.code().to_owned(), frames }).collect(),
        }
    }

    /// Finds whom a frame is about. Reads no more of it than the way to the subject.
    fn place(&mut self, schema: &Schema, frames: &Frames, index: usize, sorted: &mut Sorted) -> Result<(), &'static str> {
        let raw = frames.get(index).ok_or(Refusal::Truncated.code())?;
        if raw.len() > self.limits.frame_bytes_max {
            return Err(Refusal::TooLarge.code());
        }
        let subject = match schema.subject() {
            None => None,
            Some(path) => {
                let value = raw.subject(path).map_err(Refusal::code)?;
                Some(self.subject(value).map_err(Refuse::code)?.ok_or(Refuse::NotEnrolled.code())?)
            }
        };
        let did = subject.as_ref().map(|subject| subject.did());
        let position = match sorted.last {
            // Frames of one subject come in runs.
            Some((last, position)) if last == did => position,
            _ => *sorted.positions.entry(did).or_insert_with(|| {
                sorted.subjects.push(subject);
                sorted.subjects.len() - 1
            }),
        };
        sorted.last = Some((did, position));
        sorted.about.push(u16::try_from(position).map_err(|_| Refusal::TooLarge.code())?);
        if let Some(taken) = sorted.taken.get_mut(index) {
            *taken = true;
        }
        Ok(())
    }

    fn subject(&mut self, value: SubjectValue) -> Result<Option<Arc<Subject>>, Refuse> {
        if let Some(subject) = self.known.get(&value) {
            return Ok(Some(Arc::clone(subject)));
        }
        let Some(subject) = self.shared.subject_of(&self.source, value.as_bytes())? else { return Ok(None) };
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        self.known.insert(value, Arc::clone(&subject));
        Ok(Some(subject))
    }
}

#[derive(Default)]
struct Sorted {
    refused: Vec<Refused>,
    taken: Vec<bool>,
    about: Vec<u16>,
    subjects: Vec<Option<Arc<Subject>>>,
    /// Where each subject stands in `subjects`, and the one before.
    positions: HashMap<Option<Did>, usize>,
    last: Option<(Option<Did>, usize)>,
}

/// Where the frames of a `PublishBatch` lie.
fn places(batch: &[u8]) -> Result<Vec<Range<u32>>, Refuse> {
    let mut places = Vec::new();
    for record in Reader::new(batch) {
        if places.len() >= FRAMES_MAX {
            return Err(Refuse::TooLarge);
        }
        match record.map_err(|_| Refuse::Malformed)? {
            crate::veil::wire::Record { number: 1, value: Value::Len(frame) } => {
                // A slice of `batch`: its place is where it points to.
                let begin = frame.as_ptr() as usize - batch.as_ptr() as usize;
                let place = |at: usize| u32::try_from(at).map_err(|_| Refuse::TooLarge);
                places.push(place(begin)?..place(begin + frame.len())?);
            }
            _ => return Err(Refuse::Malformed),
        }
    }
    Ok(places)
}

enum Ack {
    Data(Bytes),
    End(Option<Refuse>),
}

/// The body of a Publish response.
#[derive(Debug)]
pub struct AckBody {
    acks: mpsc::Receiver<Ack>,
}

impl std::fmt::Debug for Ack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ack")
    }
}

impl Body for AckBody {
    type Data = Bytes;
    type Error = Refuse;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refuse>>> {
        self.acks.poll_recv(cx).map(|ack| {
            ack.map(|ack| match ack {
                Ack::Data(bytes) => Ok(Frame::data(bytes)),
                Ack::End(end) => Ok(Frame::trailers(trailers(end))),
            })
        })
    }
}
