//! Frames that are published, to recipients that subscribe: all of them get every frame.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::matter::{Matter, Size};
use super::place::{RECIPIENT, SOURCE};
use super::rig::{Rig, Run, STREAMS};
use super::sizing::each_bytes;
use crate::cli::CliError;
use crate::cli::connect::{MESSAGE_BYTES_MAX, refused};
use crate::proto::v1::frames_client::FramesClient;
use crate::proto::v1::{
    Delivery, PublishBatch, PublishOpen, PublishRequest, PublishResponse, SubscribeRequest, SubscribeResponse, publish_request,
    subscribe_response,
};

/// Frames that wait for their acknowledgement.
const UNACKNOWLEDGED_MAX: u64 = 2_048;
/// What was sent arrives within this time.
pub(super) const ARRIVES_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether it has.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What recipients have got.
#[derive(Debug, Default)]
struct Got {
    frames: AtomicU64,
    failed: Mutex<Option<CliError>>,
}

impl Got {
    fn fails(&self, error: CliError) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Waits until so many frames have come.
    async fn wait(&self, frames: u64) -> Result<(), CliError> {
        let until = Instant::now() + ARRIVES_MAX;
        loop {
            if let Some(error) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                return Err(error);
            }
            let got = self.frames.load(Ordering::Relaxed);
            if got == frames {
                return Ok(());
            }
            if got > frames || Instant::now() > until {
                return Err(CliError::found(format!("{frames} frames were on their way to the recipients, and {got} came")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// A source and its recipients.
#[derive(Debug)]
pub(super) struct Native<'r> {
    rig: &'r Rig,
    matter: &'r Matter,
    recipients: u64,
    batch: usize,
    publisher: Publisher,
    got: Arc<Got>,
    /// What they have got when nothing is on its way.
    settled: u64,
    _reading: JoinSet<()>,
    /// Streams whose memory is measured.
    more: JoinSet<()>,
}

impl<'r> Native<'r> {
    /// Opens the streams and sends a frame of every subject, so that every view is made.
    pub(super) async fn open(rig: &'r Rig, matter: &'r Matter, recipients: usize, batch: usize) -> Result<Self, CliError> {
        let (got, mut reading) = (Arc::<Got>::default(), JoinSet::new());
        for _ in 0..recipients {
            let stream = subscribe(rig.connect(RECIPIENT).await?, matter).await?;
            reading.spawn(read(stream, Arc::clone(&got)));
        }
        let publisher = Publisher::open(rig.connect(SOURCE).await?, matter).await?;
        let more = JoinSet::new();
        let mut native = Self { rig, matter, recipients: recipients as u64, batch, publisher, got, settled: 0, _reading: reading, more };
        for size in &matter.sizes {
            native.send_once(size).await?;
        }
        Ok(native)
    }

    /// Sends frames of this size for a while, as fast as the gateway takes them.
    pub(super) async fn run(&mut self, size: &Size, lasts: Duration) -> Result<Run, CliError> {
        let (cpu_us, began, sent) = (self.rig.cpu_us()?, Instant::now(), self.publisher.sent);
        let mut frames = size.frames.iter().cycle();
        while began.elapsed() < lasts {
            self.publisher.send(frames.by_ref().take(self.batch).cloned().collect()).await?;
        }
        self.settle().await?;
        let (frames, seconds) = (self.publisher.sent - sent, began.elapsed().as_secs_f64());
        Ok(Run { bytes: size.bytes(), frames, seconds, cpu_us: self.rig.cpu_us()?.saturating_sub(cpu_us) })
    }

    /// What one stream more takes in memory, when it has a view of every subject and nothing is on its way. The streams stay open, so that
    /// whoever measures next finds no memory that they gave back, until [`Native::close`].
    pub(super) async fn stream_bytes(&mut self) -> Result<u64, CliError> {
        let channels = self.rig.connect_for_streams(RECIPIENT).await?;
        let mut resident = [0; 2];
        for (resident, count) in resident.iter_mut().zip(STREAMS) {
            for channel in channels.iter().cycle().take(count - self.more.len()) {
                let stream = subscribe(channel.clone(), self.matter).await?;
                self.more.spawn(read(stream, Arc::clone(&self.got)));
                self.recipients += 1;
            }
            if let Some(size) = self.matter.sizes.first() {
                self.send_once(size).await?;
            }
            *resident = self.rig.resident_bytes().await?;
        }
        Ok(each_bytes(STREAMS, resident))
    }

    /// Closes the streams whose memory was measured.
    pub(super) async fn close(&mut self) {
        self.recipients -= self.more.len() as u64;
        self.more.shutdown().await;
    }

    async fn send_once(&mut self, size: &Size) -> Result<(), CliError> {
        for frames in size.frames.chunks(self.batch) {
            self.publisher.send(frames.to_vec()).await?;
        }
        self.settle().await
    }

    /// Waits until nothing is on its way.
    async fn settle(&mut self) -> Result<(), CliError> {
        let accepted = self.publisher.settle().await?;
        self.settled += accepted * self.recipients;
        self.got.wait(self.settled).await
    }
}

/// A source's stream.
#[derive(Debug)]
struct Publisher {
    requests: mpsc::Sender<PublishRequest>,
    acks: Streaming<PublishResponse>,
    sent: u64,
    through: u64,
    settled: u64,
}

impl Publisher {
    async fn open(channel: Channel, matter: &Matter) -> Result<Self, CliError> {
        let (requests, reader) = mpsc::channel(1);
        let open = publish_request::Kind::Open(PublishOpen { schema: matter.schema.name().to_string() });
        requests.send(PublishRequest { kind: Some(open) }).await.map_err(|_| gone())?;
        let answered = FramesClient::new(channel).publish(ReceiverStream::new(reader)).await;
        let acks = answered.map_err(|status| refused(&status))?.into_inner();
        Ok(Self { requests, acks, sent: 0, through: 0, settled: 0 })
    }

    async fn send(&mut self, frames: Vec<bytes::Bytes>) -> Result<(), CliError> {
        while self.sent - self.through > UNACKNOWLEDGED_MAX {
            self.acknowledged().await?;
        }
        self.sent += frames.len() as u64;
        let request = PublishRequest { kind: Some(publish_request::Kind::Batch(PublishBatch { frames })) };
        if self.requests.send(request).await.is_err() {
            // The stream ended; its status says why.
            self.acknowledged().await?;
            return Err(gone());
        }
        Ok(())
    }

    /// Waits until all is acknowledged; how many frames that were since the last time.
    async fn settle(&mut self) -> Result<u64, CliError> {
        while self.through < self.sent {
            self.acknowledged().await?;
        }
        Ok(self.through - std::mem::replace(&mut self.settled, self.through))
    }

    async fn acknowledged(&mut self) -> Result<(), CliError> {
        let ack = self.acks.message().await.map_err(|status| refused(&status))?.ok_or_else(gone)?;
        if let Some(frame) = ack.refused.first() {
            return Err(CliError::found(format!("the gateway refused a frame: {}", frame.code)));
        }
        if let Some(later) = ack.refused_later.first() {
            return Err(CliError::found(format!("{} frames could not be judged for a recipient: {}", later.frames, later.code)));
        }
        self.through = ack.through;
        Ok(())
    }
}

fn gone() -> CliError {
    CliError::broken("the gateway ended the stream of the source")
}

async fn subscribe(channel: Channel, matter: &Matter) -> Result<Streaming<SubscribeResponse>, CliError> {
    let request = SubscribeRequest {
        schema: matter.schema.name().to_string(),
        purpose: matter.purpose.to_string(),
        delivery: Delivery::Lossless.into(),
        ..SubscribeRequest::default()
    };
    let mut client = FramesClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(client.subscribe(request).await.map_err(|status| refused(&status))?.into_inner())
}

/// Counts what comes.
async fn read(mut stream: Streaming<SubscribeResponse>, got: Arc<Got>) {
    use subscribe_response::Kind;
    loop {
        match stream.message().await {
            Ok(Some(message)) => match message.kind {
                Some(Kind::Batch(batch)) => drop(got.frames.fetch_add(batch.frames.len() as u64, Ordering::Relaxed)),
                Some(Kind::Gap(gap)) => {
                    return got.fails(CliError::found(format!("{} frames were lost on the way to a recipient", gap.frames)));
                }
                Some(Kind::End(end)) => {
                    return got.fails(CliError::broken(format!("a recipient's stream ended: {}: {}", end.code, end.reason)));
                }
                Some(Kind::Header(_) | Kind::View(_)) | None => {}
            },
            Ok(None) => return got.fails(CliError::broken("a recipient's stream ended")),
            Err(status) => return got.fails(refused(&status)),
        }
    }
}
