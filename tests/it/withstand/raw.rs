//! HTTP/2 by hand: frames that no proper client makes, over mutual TLS.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use twinveil::gate::tls::ClientTls;

use crate::harness::{World, pem_files, soon};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
/// END_STREAM, and the answer to SETTINGS and PING.
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The settings for the table of headers, and for the windows of streams.
pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
/// Why a connection is ended that asks too much.
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A header as a literal that is not kept (RFC 7541 §6.2.2), or kept (§6.2.1).
pub(super) fn header(kept: bool, name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| {
        let mut out = Vec::new();
        match text.len() {
            len @ ..127 => out.push(len as u8),
            len => {
                out.push(127);
                let mut rest = len - 127;
                while rest >= 128 {
                    out.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                out.push(rest as u8);
            }
        }
        out.extend_from_slice(text.as_bytes());
        out
    };
    [&[if kept { 0x40 } else { 0 }][..], &string(name), &string(value)].concat()
}

/// The headers of a gRPC call.
pub(super) fn call(path: &str) -> Vec<u8> {
    let list = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    list.iter().flat_map(|(name, value)| header(false, name, value)).collect()
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// The code of a GOAWAY.
    pub(super) goaway: Option<u32>,
    pub(super) resets: BTreeMap<u32, u32>,
    /// Lists of headers, by stream.
    pub(super) headers: BTreeMap<u32, usize>,
    pub(super) data_bytes: usize,
    pub(super) ended: bool,
}

/// One connection.
pub(super) struct Peer {
    write: WriteHalf<TlsStream<tokio::net::TcpStream>>,
    /// Of one that does not listen.
    unread: Option<ReadHalf<TlsStream<tokio::net::TcpStream>>>,
    heard: Arc<Mutex<Heard>>,
    reading: Option<JoinHandle<()>>,
}

impl Peer {
    /// Connects as a party and says nothing yet.
    async fn connect(world: &World, party: &str, receive_bytes: Option<u32>) -> TlsStream<tokio::net::TcpStream> {
        let tls = TlsConnector::from(ClientTls::load(&pem_files(&world.folder.0, party)).unwrap().config());
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let socket = soon("a connection", socket.connect(world.gate)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        soon("a handshake", tls.connect(ServerName::try_from("localhost").unwrap(), socket)).await.unwrap()
    }

    /// One that reads what comes and says that it has settings.
    pub(super) async fn open(world: &World, party: &str, values: &[(u16, u32)]) -> Self {
        let (mut read, write) = tokio::io::split(Self::connect(world, party, None).await);
        let heard = Arc::<Mutex<Heard>>::default();
        let told = Arc::clone(&heard);
        let reading = tokio::spawn(async move {
            let _ended = listen(&mut read, &told).await;
            told.lock().unwrap().ended = true;
        });
        let mut peer = Self { write, unread: None, heard, reading: Some(reading) };
        peer.greet(values).await;
        peer
    }

    /// One that never reads.
    pub(super) async fn deaf(world: &World, party: &str, values: &[(u16, u32)]) -> Self {
        let (read, write) = tokio::io::split(Self::connect(world, party, Some(4_096)).await);
        let mut peer = Self { write, unread: Some(read), heard: Arc::default(), reading: None };
        peer.greet(values).await;
        peer
    }

    /// One that says this and nothing else.
    pub(super) async fn silent(world: &World, party: &str, said: &[u8]) -> Self {
        let (read, write) = tokio::io::split(Self::connect(world, party, None).await);
        let mut peer = Self { write, unread: Some(read), heard: Arc::default(), reading: None };
        peer.say(said).await.unwrap();
        peer
    }

    /// Reads to the end of one that did not.
    pub(super) async fn over(mut self) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ended = self.unread.take().expect("one that does not read").read_to_end(&mut rest).await;
    }

    async fn greet(&mut self, values: &[(u16, u32)]) {
        // The gateway's settings are on their way before it reads ours.
        self.say(&[PREFACE, &settings(values), &frame(SETTINGS, ACK, 0, &[])].concat()).await.unwrap();
    }

    /// Writes; an error where the gateway takes no more.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes).await?;
        self.write.flush().await
    }

    pub(super) fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until the gateway has ended the connection, and says what it said.
    pub(super) async fn end(mut self) -> Heard {
        soon("the gateway to end the connection", self.reading.as_mut().expect("one that reads")).await.unwrap();
        self.heard()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}

async fn listen(read: &mut ReadHalf<TlsStream<tokio::net::TcpStream>>, heard: &Mutex<Heard>) -> io::Result<()> {
    loop {
        let mut head = [0; 9];
        read.read_exact(&mut head).await?;
        let [a, b, c, kind, _, s, t, u, v] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        read.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes([s, t, u, v]);
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        let mut heard = heard.lock().unwrap();
        match kind {
            GOAWAY => heard.goaway = Some(code(4)),
            RST_STREAM => drop(heard.resets.insert(stream, code(0))),
            HEADERS => *heard.headers.entry(stream).or_default() += 1,
            DATA => heard.data_bytes += payload.len(),
            _ => {}
        }
    }
}
