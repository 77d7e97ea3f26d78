//! Sources and recipients over the generated clients, and calls that no proper client makes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tower::ServiceExt;
use twinveil::client::subscriber::{Event, Received, Subscriber};
use twinveil::proto::intoto;
use twinveil::proto::v1::frames_client::FramesClient;
use twinveil::proto::v1::publish_request::Kind;
use twinveil::proto::v1::{
    Delivery, End, Header, PublishBatch, PublishOpen, PublishRequest, PublishResponse, SubscribeRequest, SubscribeResponse, View,
};
use twinveil::veil::crypto::wrap::OpenKey;

use super::{World, eventually, soon};

/// A source's open call.
pub(crate) struct Source {
    requests: mpsc::Sender<PublishRequest>,
    acks: Streaming<PublishResponse>,
}

impl World {
    /// Opens a source's call.
    pub(crate) async fn source(&self, party: &str, schema: &str) -> Source {
        let channel = self.channel(party).await;
        Source::open(channel, schema).await.expect("a source may publish")
    }

    /// Sends whole frames over a call of its own; all of them are taken.
    pub(crate) async fn publish<M: Message>(&self, party: &str, schema: &str, frames: &[M]) {
        let mut source = self.source(party, schema).await;
        let ack = source.send(frames).await;
        assert_eq!((ack.accepted, ack.refused.as_slice()), (frames.len() as u64, &[][..]));
        source.finish().await.expect("a call that ends well");
    }

    /// Opens a recipient's stream and reads its header.
    pub(crate) async fn subscribe(&self, party: &str, ask: Ask) -> Sub {
        let channel = self.channel(party).await;
        Sub::open(channel, ask).await.expect("a recipient may subscribe")
    }
}

impl Source {
    pub(crate) async fn open(channel: Channel, schema: &str) -> Result<Self, Status> {
        let (requests, reader) = mpsc::channel(1);
        let open = PublishRequest { kind: Some(Kind::Open(PublishOpen { schema: schema.into() })) };
        requests.send(open).await.unwrap();
        let mut client = FramesClient::new(channel).max_encoding_message_size(64 << 20);
        let answer = soon("the answer to Publish", client.publish(ReceiverStream::new(reader))).await?;
        Ok(Self { requests, acks: answer.into_inner() })
    }

    /// Sends a batch of encoded frames and does not wait.
    pub(crate) async fn push(&self, frames: Vec<Vec<u8>>) {
        let frames = frames.into_iter().map(Bytes::from).collect();
        let batch = PublishRequest { kind: Some(Kind::Batch(PublishBatch { frames })) };
        soon("room for a batch", self.requests.send(batch)).await.expect("the call is open");
    }

    /// The next acknowledgement.
    pub(crate) async fn ack(&mut self) -> Result<PublishResponse, Status> {
        let answer = soon("an acknowledgement", self.acks.message()).await?;
        answer.ok_or_else(|| Status::ok("the call ended"))
    }

    /// Sends a batch of encoded frames and waits for its acknowledgement.
    pub(crate) async fn send_bytes(&mut self, frames: Vec<Vec<u8>>) -> PublishResponse {
        self.push(frames).await;
        self.ack().await.expect("a batch is acknowledged")
    }

    /// Sends a batch and waits for its acknowledgement.
    pub(crate) async fn send<M: Message>(&mut self, frames: &[M]) -> PublishResponse {
        self.send_bytes(frames.iter().map(Message::encode_to_vec).collect()).await
    }

    /// Ends the call; the acknowledgements that came after the last one read.
    pub(crate) async fn finish(self) -> Result<Vec<PublishResponse>, Status> {
        let Self { requests, mut acks } = self;
        drop(requests);
        let mut last = Vec::new();
        while let Some(ack) = soon("the end of Publish", acks.message()).await? {
            last.push(ack);
        }
        Ok(last)
    }
}

/// What a recipient asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    request: SubscribeRequest,
    keys: Vec<[u8; 32]>,
}

impl Ask {
    pub(crate) fn of(schema: &str, purpose: &str) -> Self {
        let delivery = Delivery::Lossless.into();
        let request = SubscribeRequest { schema: schema.into(), purpose: purpose.into(), delivery, ..SubscribeRequest::default() };
        Self { request, keys: Vec::new() }
    }

    pub(crate) fn newest(mut self) -> Self {
        self.request.delivery = Delivery::Newest.into();
        self
    }

    /// What a legal demand releases.
    pub(crate) fn under(mut self, demand: &[u8]) -> Self {
        self.request.warrant = demand.to_vec().into();
        self
    }

    /// A statement that brings a key.
    pub(crate) fn stating(mut self, statement: intoto::Envelope) -> Self {
        self.request.key = Some(statement);
        self
    }

    /// Opens with the private key of this seed.
    pub(crate) fn opening(mut self, seed: [u8; 32]) -> Self {
        self.keys.push(seed);
        self
    }
}

/// A recipient's stream, read as a recipient reads it.
pub(crate) struct Sub {
    stream: Streaming<SubscribeResponse>,
    reader: Subscriber,
    ready: VecDeque<Event>,
    pub header: Header,
    /// Every view message so far.
    pub views: Vec<View>,
    /// Frames that the gateway said were dropped.
    pub lost: u64,
    /// The last word, if it was said.
    pub end: Option<End>,
    /// Every message as received, where somebody wants them: see [`Self::keeping`].
    pub kept: Option<Vec<SubscribeResponse>>,
}

impl Sub {
    pub(crate) async fn open(channel: Channel, ask: Ask) -> Result<Self, Status> {
        let mut client = FramesClient::new(channel).max_decoding_message_size(64 << 20);
        let stream = soon("the answer to Subscribe", client.subscribe(ask.request)).await?.into_inner();
        let keys = ask.keys.iter().map(|seed| OpenKey::from_seed(&twinveil::veil::crypto::secret::Secret::take(&mut { *seed })).unwrap());
        let mut sub = Self {
            stream,
            reader: Subscriber::new(keys.collect(), None),
            ready: VecDeque::new(),
            header: Header::default(),
            views: Vec::new(),
            lost: 0,
            end: None,
            kept: None,
        };
        match sub.next().await? {
            Some(Event::Begins(header)) => sub.header = header,
            other => panic!("a stream begins with a header, not with {other:?}"),
        }
        Ok(sub)
    }

    /// Keeps every message from here on, to look at as a whole.
    pub(crate) fn keeping(mut self) -> Self {
        self.kept = Some(Vec::new());
        self
    }

    /// What comes next; `None` at a good end.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Status> {
        soon("the next message of a stream", self.wait()).await
    }

    async fn wait(&mut self) -> Result<Option<Event>, Status> {
        while self.ready.is_empty() {
            let Some(message) = self.stream.message().await? else { return Ok(None) };
            if let Some(kept) = &mut self.kept {
                kept.push(message.clone());
            }
            self.ready.extend(self.reader.take(message).unwrap_or_else(|error| panic!("a stream that is not to be believed: {error}")));
        }
        let event = self.ready.pop_front();
        match &event {
            Some(Event::View(view)) => self.views.push(view.clone()),
            Some(Event::Gap(frames)) => self.lost += frames,
            Some(Event::Ends(end)) => self.end = Some(end.clone()),
            _ => {}
        }
        Ok(event)
    }

    /// Whether the next event has come already, with the one before.
    pub(crate) fn has_at_hand(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next frame, whatever else is said before.
    pub(crate) async fn frame(&mut self) -> Received {
        loop {
            match self.next().await {
                Ok(Some(Event::Frame(frame))) => return frame,
                Ok(Some(Event::Begins(_) | Event::View(_) | Event::Gap(_))) => {}
                other => panic!("a frame was awaited and not {other:?}"),
            }
        }
    }

    pub(crate) async fn frames(&mut self, count: usize) -> Vec<Received> {
        let mut frames = Vec::with_capacity(count);
        while frames.len() < count {
            frames.push(self.frame().await);
        }
        frames
    }

    /// The next frame as a message, opened where the keys at hand open it.
    pub(crate) async fn message<M: Message + Default>(&mut self) -> M {
        M::decode(&self.frame().await.message[..]).expect("stock stubs parse what comes")
    }

    pub(crate) async fn messages<M: Message + Default>(&mut self, count: usize) -> Vec<M> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            messages.push(self.message().await);
        }
        messages
    }

    /// The next view, which must come before any frame.
    pub(crate) async fn view(&mut self) -> View {
        match self.next().await {
            Ok(Some(Event::View(view))) => view,
            other => panic!("a view was awaited and not {other:?}"),
        }
    }

    /// Reads to the end: the frames on the way, and how it ended.
    pub(crate) async fn rest(&mut self) -> (Vec<Received>, Result<(), Status>) {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(Event::Frame(frame))) => frames.push(frame),
                Ok(Some(_)) => {}
                Ok(None) => return (frames, Ok(())),
                Err(status) => return (frames, Err(status)),
            }
        }
    }

    /// Whether nothing at all comes for this long.
    pub(crate) async fn is_quiet(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.wait()).await.is_err()
    }
}

/// Flag, length, message.
pub(crate) fn prefixed(flag: u8, message: &[u8]) -> Bytes {
    [&[flag][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat().into()
}

/// A call with a body of these pieces, byte for byte. Without an end the call stays open: the sender is handed back.
pub(crate) async fn raw_call(
    channel: Channel,
    path: &str,
    content_type: &str,
    pieces: Vec<Bytes>,
    end: bool,
) -> (http::Response<tonic::body::Body>, Option<mpsc::Sender<Result<Frame<Bytes>, Status>>>) {
    let (sender, reader) = mpsc::channel(pieces.len().max(1));
    for piece in pieces {
        sender.send(Ok(Frame::data(piece))).await.unwrap();
    }
    let body = tonic::body::Body::new(StreamBody::new(ReceiverStream::new(reader)));
    let request = http::Request::post(path).header("content-type", content_type).header("te", "trailers").body(body).unwrap();
    let kept = (!end).then_some(sender);
    let response = soon("an answer to a raw call", channel.oneshot(request)).await.expect("an answer");
    (response, kept)
}

/// How a call ended, wherever that is said.
pub(crate) async fn status_of(response: http::Response<tonic::body::Body>) -> (Code, String) {
    soon("the end of a call", end_of(response)).await
}

/// The same of a call that ends whenever it does.
pub(crate) async fn end_of(response: http::Response<tonic::body::Body>) -> (Code, String) {
    let (parts, body) = response.into_parts();
    let trailers = body.collect().await.ok().and_then(|body| body.trailers().cloned());
    let headers = if parts.headers.contains_key("grpc-status") { parts.headers } else { trailers.expect("a status") };
    let status = Status::from_header_map(&headers).expect("a status");
    (status.code(), status.message().to_owned())
}

/// The acknowledgements in a raw answer.
pub(crate) fn acks(body: &[u8]) -> Vec<PublishResponse> {
    let (mut acks, mut rest) = (Vec::new(), body);
    while let Some((&[_, a, b, c, d], after)) = rest.split_first_chunk::<5>() {
        let (message, behind) = after.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
        acks.push(PublishResponse::decode(message).unwrap());
        rest = behind;
    }
    acks
}

/// Limits with room for two large messages that are half-way.
pub(crate) const NO_ROOM: &str = "[limits]\nframe_bytes_max = 40000\nbatch_bytes_max = 40000\nunfinished_bytes_max = 160000\n";

/// A message that is half-way and stays so until this is dropped.
pub(crate) struct HalfWay {
    _sender: Option<mpsc::Sender<Result<Frame<Bytes>, Status>>>,
    ended: JoinHandle<(Code, String)>,
}

/// Fills the room that [`NO_ROOM`] leaves, until somebody is refused some.
pub(crate) async fn filled(world: &World) -> Vec<HalfWay> {
    let channel = world.channel("hospital").await;
    let open = |halves: &[HalfWay]| halves.iter().filter(|half| !half.ended.is_finished()).count();
    let mut halves: Vec<HalfWay> = Vec::new();
    eventually("the room to be full", async || {
        if open(&halves) < 3 {
            let begun = prefixed(0, &[0x0a; 30_000]).slice(..25_000);
            let (response, _sender) =
                raw_call(channel.clone(), "/twinveil.v1.Frames/Publish", "application/grpc", vec![begun], false).await;
            halves.push(HalfWay { _sender, ended: tokio::spawn(end_of(response)) });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Of three one is refused, and that there is no room says that the others have theirs.
        (open(&halves) == 2 && halves.len() > 2).then_some(())
    })
    .await;
    let (refused, kept): (Vec<_>, Vec<_>) = halves.into_iter().partition(|half| half.ended.is_finished());
    for half in refused {
        let (code, text) = half.ended.await.expect("no panic");
        assert_eq!((code, text.split(':').next()), (Code::ResourceExhausted, Some("TV-G27")));
    }
    kept
}
