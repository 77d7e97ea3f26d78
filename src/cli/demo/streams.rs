//! The demo's two kinds of streams: a source that sends frames at a rate, a recipient that reads what it may see.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::Rate;
use super::cast::Recipient;
use super::desk::Desk;
use super::feed::Prepared;
use super::seat::Seat;
use super::stage::Stage;
use crate::cli::CliError;
use crate::cli::connect::{MESSAGE_BYTES_MAX, refused};
use crate::cli::simulate::What;
use crate::client::subscriber::{Event, Subscriber};
use crate::proto::v1::frames_client::FramesClient;
use crate::proto::v1::{
    Delivery, PublishBatch, PublishOpen, PublishRequest, PublishResponse, SubscribeRequest, SubscribeResponse, publish_request,
};
use crate::veil::crypto::secret::Secret;
use crate::veil::crypto::wrap::OpenKey;

/// Frames of a batch.
const BATCH_FRAMES: u64 = 64;
/// Batches that wait for their acknowledgement.
const UNACKNOWLEDGED_MAX: usize = 32;
/// How often a subject's streams are looked up until all of them are known, and how many times at the most.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 1_000;
/// Subjects that are asked for at a time.
const ASKED_AT_ONCE: usize = 16;

/// A source's stream.
#[derive(Debug)]
pub(super) struct Source {
    /// Patients or turbines.
    pub(super) what: What,
    /// What it sends.
    pub(super) frames: mpsc::Receiver<Result<Prepared, CliError>>,
    /// How fast.
    pub(super) rate: Rate,
    /// Frames that the gateway took.
    pub(super) accepted: Arc<AtomicU64>,
}

impl Source {
    /// Sends until `stop` says so and everything that was sent is acknowledged.
    pub(super) async fn publish(self, channel: Channel, stage: Arc<Stage>, stop: watch::Receiver<bool>) -> Result<(), CliError> {
        let tap = stage.tap(self.what);
        let ended = self.send_all(channel, &stage, stop).await;
        // Whoever waits for it waits no more.
        tap.is_idle(true);
        ended
    }

    async fn send_all(mut self, channel: Channel, stage: &Stage, mut stop: watch::Receiver<bool>) -> Result<(), CliError> {
        let (requests, reader) = mpsc::channel(1);
        let open = publish_request::Kind::Open(PublishOpen { schema: self.what.message().to_owned() });
        requests.send(PublishRequest { kind: Some(open) }).await.map_err(|_| gone())?;
        let answered = FramesClient::new(channel).publish(ReceiverStream::new(reader)).await;
        let mut acks = answered.map_err(|status| refused(&status))?.into_inner();
        let begun = Instant::now();
        let (mut sent, mut waiting) = (0u64, VecDeque::new());
        let tap = stage.tap(self.what);
        let mut opened = tap.opened();
        while !*stop.borrow() {
            if !*opened.borrow_and_update() {
                if waiting.is_empty() {
                    tap.is_idle(true);
                    tokio::select! {
                        _ = stop.changed() => {}
                        _ = opened.changed() => {}
                    }
                    tap.is_idle(false);
                } else {
                    let ack = acks.message().await;
                    self.acknowledged(ack, &mut waiting)?;
                }
                continue;
            }
            let due = self.rate.due(begun.elapsed()).saturating_sub(sent).min(BATCH_FRAMES);
            let room = waiting.len() < UNACKNOWLEDGED_MAX;
            if due == 0 || !room {
                tokio::select! {
                    _ = stop.changed() => {}
                    ack = acks.message() => self.acknowledged(ack, &mut waiting)?,
                    () = tokio::time::sleep_until(begun + self.rate.when(sent + 1)), if room => {}
                }
                continue;
            }
            let batch = self.take(due).await?;
            sent += batch.len() as u64;
            waiting.push_back(sent);
            stage.about_to_send(self.what, &batch);
            let batch = PublishBatch { frames: batch.into_iter().map(|frame| frame.bytes).collect() };
            let request = PublishRequest { kind: Some(publish_request::Kind::Batch(batch)) };
            if requests.send(request).await.is_err() {
                // The stream ended; its status says why.
                let ended = acks.message().await;
                self.acknowledged(ended, &mut waiting)?;
                return Err(gone());
            }
        }
        drop(requests);
        while let Some(ack) = acks.message().await.map_err(|status| refused(&status))? {
            self.acknowledged(Ok(Some(ack)), &mut waiting)?;
        }
        if waiting.is_empty() { Ok(()) } else { Err(gone()) }
    }

    /// The next frames: at least one, and as many of `count` as are ready.
    async fn take(&mut self, count: u64) -> Result<Vec<Prepared>, CliError> {
        let first = self.frames.recv().await.ok_or_else(|| CliError::broken("there are no more frames"))?;
        let mut batch = vec![first?];
        while (batch.len() as u64) < count
            && let Ok(next) = self.frames.try_recv()
        {
            batch.push(next?);
        }
        Ok(batch)
    }

    /// Takes an acknowledgement. Every frame of the demo is good: one that is refused would make its counts wrong.
    fn acknowledged(&self, ack: Result<Option<PublishResponse>, tonic::Status>, waiting: &mut VecDeque<u64>) -> Result<(), CliError> {
        let ack = ack.map_err(|status| refused(&status))?.ok_or_else(gone)?;
        if let Some(frame) = ack.refused.first() {
            return Err(CliError::found(format!("the gateway refused frame {} of a source: {}", frame.index + 1, frame.code)));
        }
        if let Some(later) = ack.refused_later.first() {
            return Err(CliError::found(format!("{} frames could not be judged for a recipient: {}", later.frames, later.code)));
        }
        while waiting.front().is_some_and(|through| *through <= ack.through) {
            waiting.pop_front();
        }
        self.accepted.store(ack.accepted, Ordering::Relaxed);
        Ok(())
    }
}

fn gone() -> CliError {
    CliError::broken("the gateway ended the stream of a source")
}

/// Subscribes; the stream is open when this answers.
pub(super) async fn subscribe(channel: Channel, recipient: &Recipient) -> Result<Streaming<SubscribeResponse>, CliError> {
    let request = SubscribeRequest {
        schema: recipient.what.message().to_owned(),
        purpose: recipient.purpose.to_owned(),
        delivery: Delivery::Lossless.into(),
        ..SubscribeRequest::default()
    };
    let mut client = FramesClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(client.subscribe(request).await.map_err(|status| refused(&status))?.into_inner())
}

/// A recipient's way in.
#[derive(Debug)]
pub(super) struct Reader {
    /// The recipient's own connection.
    pub(super) channel: Channel,
    /// Where what it gets is counted.
    pub(super) seat: Arc<Seat>,
    /// What it opens sealed groups with.
    pub(super) key: Secret<32>,
}

impl Reader {
    /// Reads the recipient's stream for as long as the demo lasts, and begins again where a withdrawal cuts it off in the
    /// middle of a frame.
    pub(super) async fn receive(self, mut stream: Streaming<SubscribeResponse>, stage: Arc<Stage>) -> Result<(), CliError> {
        loop {
            self.read(stream).await?;
            let recipient = self.seat.recipient;
            let again = async {
                self.seat.begins_again();
                subscribe(self.channel.clone(), recipient).await
            };
            stream = stage.tap(recipient.what).shut_for(again).await?;
        }
    }

    /// Reads one stream. It ends well only where a withdrawal cut it off.
    async fn read(&self, mut stream: Streaming<SubscribeResponse>) -> Result<(), CliError> {
        let seat = &self.seat;
        let about =
            |what: &dyn std::fmt::Display| CliError::broken(format!("what `{}` receives is not right: {what}", seat.recipient.name));
        let mut subscriber = Subscriber::new(OpenKey::from_seed(&self.key).into_iter().collect(), None);
        let mut handed_over = 0;
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Err(about(&"the stream ended")),
                Err(_) if seat.may_be_cut_off() => return Ok(()),
                Err(status) => return Err(refused(&status)),
            };
            let at = std::time::Instant::now();
            for event in subscriber.take(message).map_err(|error| about(&error))? {
                match event {
                    Event::Begins(header) => seat.begins(header.stream_id),
                    Event::View(view) => seat.view(&view, handed_over),
                    Event::Frame(frame) => {
                        handed_over = frame.handover;
                        seat.frame(&frame, at).map_err(|why| about(&why))?;
                    }
                    Event::Gap(frames) => return Err(about(&format_args!("{frames} frames were lost"))),
                    Event::Ends(end) => return Err(about(&format_args!("{}: {}", end.code, end.reason))),
                }
            }
        }
    }
}

/// Asks for every subject in which views of which streams it is, as soon as frames about it are under way.
pub(super) async fn find_views(desk: Desk, stage: Arc<Stage>) -> Result<(), CliError> {
    let looked_for = |subject: &usize| stage.sent(*subject) > 0 && stage.seats.iter().any(|seat| seat.looks_for(*subject));
    let mut asked = vec![0u32; stage.subjects.len()];
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let mut waiting = (0..stage.subjects.len()).filter(looked_for);
        let mut asking = JoinSet::new();
        loop {
            while asking.len() < ASKED_AT_ONCE
                && let Some(subject) = waiting.next()
            {
                if let Some(asked) = asked.get_mut(subject) {
                    *asked += 1;
                    if *asked > LOOKS_MAX {
                        return Err(CliError::found("a recipient gets nothing of a subject that allows it something"));
                    }
                }
                let (desk, stage) = (desk.clone(), Arc::clone(&stage));
                asking.spawn(async move { stage.ask_views(desk, subject).await });
            }
            match asking.join_next().await {
                Some(Ok(answered)) => answered?,
                Some(Err(_)) => return Err(CliError::broken("nobody asks for views any more")),
                None => break,
            }
        }
    }
}
