//! One run: steps are taken in order, and what they set going goes on beside those that follow. What came, and what was said about
//! streams, is kept for [`super::judge`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message;
use tokio::sync::mpsc;
use twinveil::client::subscriber::Event;
use twinveil::proto::sample::{PatientFrame, Vitals};
use twinveil::proto::v1::Disclosure;

use super::chain::{self, Chain};
use super::model::{During, History, Time};
use super::stage::{Seat, Stage};
use super::steps::{HEART, NOTE, PEOPLE, Step};
use crate::harness::front::Client;
use crate::harness::ward::Chart;
use crate::harness::{Source, Sub, soon};

/// Nobody ever lets anybody have this.
const HIDDEN: &str = "canary-never-shown";
/// Far more than windows and buffers of who reads slowly hold.
const LARGE_BYTES: usize = 100 * 1024;
/// Nothing comes for so long to who reads slowly: there is nothing. A large frame takes several round trips.
const PAUSE: Duration = Duration::from_millis(20);
/// Who is seen by everybody, and has the last word of a run.
const LAST: usize = PEOPLE;
const HEART_RATE: f64 = 72.0;

/// Something that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) person: usize,
    pub(super) large: bool,
    pub(super) at: Instant,
}

/// Something that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) number: usize,
    pub(super) mask: u8,
    /// On a stream: its hand-over number.
    pub(super) handover: u64,
    pub(super) at: Instant,
    /// Somebody slow began to read then, and read all of it without a pause.
    pub(super) since: Option<Instant>,
}

/// One stream, from its opening to its end.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) seat: Seat,
    pub(super) id: Vec<u8>,
    pub(super) opened: Instant,
    pub(super) came: Vec<Came>,
    /// It was reset.
    pub(super) reset: bool,
    /// By person: whether it ever showed them.
    pub(super) showed: Arc<[AtomicBool; PEOPLE + 1]>,
}

/// What was said of where a stream stood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stated {
    pub(super) last_handover: u64,
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) person: usize,
    /// How many facts about the person what came behind stands on, at the least.
    pub(super) facts: usize,
}

/// All that is known of one run.
pub(super) struct Run {
    pub(super) time: Time,
    pub(super) people: Vec<History>,
    pub(super) frames: Vec<Sent>,
    pub(super) charts: Vec<Sent>,
    pub(super) streams: Vec<Heard>,
    /// What the service got, and what came back to the caller.
    pub(super) there: Vec<Came>,
    pub(super) back: Vec<Came>,
    /// By stream.
    pub(super) stated: HashMap<Vec<u8>, Vec<Stated>>,
    /// Streams that had shown a person, and that a withdrawal of theirs said nothing of.
    pub(super) unsaid: Vec<(Vec<u8>, usize)>,
    /// What was wrong at once.
    pub(super) wrong: Vec<String>,
    /// Changes that were taken, and that were refused.
    pub(super) changes: (usize, usize),
    /// By person: what their history says at the end, in the log and before.
    pub(super) told: Vec<Vec<Disclosure>>,
}

/// What those who act in a run share.
#[derive(Default)]
pub(super) struct Board {
    frames: Mutex<Vec<Sent>>,
    charts: Mutex<Vec<Sent>>,
    streams: Mutex<Vec<Heard>>,
    there: Mutex<Vec<Came>>,
    back: Mutex<Vec<Came>>,
    pub(super) stated: Mutex<HashMap<Vec<u8>, Vec<Stated>>>,
    pub(super) unsaid: Mutex<Vec<(Vec<u8>, usize)>>,
    wrong: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Board {
    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    /// The streams that have shown somebody.
    pub(super) fn showing(&self, person: usize) -> Vec<Vec<u8>> {
        let streams = self.streams.lock().unwrap();
        let showing = streams.iter().filter(|stream| !stream.reset && stream.showed[person].load(Ordering::Acquire));
        showing.map(|stream| stream.id.clone()).collect()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// What a person is called in a run.
fn name(run: u64, person: usize) -> String {
    format!("run-{run}-{person}")
}

/// Takes the steps, waits until everything has come, and tells of it.
pub(super) async fn play(stage: &Arc<Stage>, run: u64, steps: &[Step]) -> Run {
    let board = Arc::new(Board::default());
    let mut time = Time { began: Instant::now(), began_ms: stage.world.now().0, moves: Vec::new() };
    let chains = chain::enrol(stage, &board, |person| name(run, person)).await;
    stage.heard();
    let mut tasks = Vec::new();
    let mut orders = Vec::new();
    for seat in Stage::seats() {
        let sub = seat.open(stage).await;
        let (order, ordered) = mpsc::unbounded_channel();
        let reader = Reader { stage: Arc::clone(stage), board: Arc::clone(&board), seat, ordered };
        tasks.push(tokio::spawn(reader.read(sub)));
        if seat.slow {
            orders.push(order);
        }
    }
    let (publish, published) = mpsc::channel(64);
    let (say, said) = mpsc::channel(64);
    let source = tokio::spawn(publishes(stage.source().await, published, run, Arc::clone(&board)));
    tasks.push(tokio::spawn(talks(stage.caller(), said, run, Arc::clone(&board))));
    let listening = tokio::spawn(listens(Arc::clone(stage), Arc::clone(&board)));
    for step in steps {
        match step {
            Step::Publish { person, large } => publish.send((*person, *large)).await.unwrap(),
            Step::Say { person } => say.send(*person).await.unwrap(),
            Step::Read { which, frames } => orders[*which].send(*frames).unwrap(),
            Step::Change { person, hand } => chains[*person].hand_in(hand.clone()),
            Step::Wait { minutes } => {
                let (ms, from) = (minutes * 60_000, Instant::now());
                stage.world.clock.shift(ms);
                time.moves.push(During { what: ms, from, until: Instant::now() });
            }
            Step::Pause => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    let (mut people, mut wallets) = (Vec::new(), Vec::new());
    let mut changes = (0, 0);
    for chain in chains {
        let Chain { history, taken, refused, wallet, .. } = chain.end().await;
        changes = (changes.0 + taken, changes.1 + refused);
        people.push(history);
        wallets.push(wallet);
    }
    publish.send((LAST, false)).await.unwrap();
    say.send(LAST).await.unwrap();
    drop((publish, say, orders));
    soon("the source to end", source).await.unwrap();
    for task in tasks {
        soon("everybody to have read the last frame", task).await.unwrap();
    }
    board.over.store(true, Ordering::Relaxed);
    soon("the service to be heard", listening).await.unwrap();
    let mut told = Vec::new();
    for wallet in &wallets {
        let (lines, open) = stage.world.history(wallet).await;
        told.push(lines.into_iter().map(|line| line.disclosure).chain(open).collect());
    }
    let board = Arc::into_inner(board).expect("nobody writes any more");
    let inner = |mutex: Mutex<Vec<Came>>| mutex.into_inner().unwrap();
    Run {
        time,
        people,
        frames: board.frames.into_inner().unwrap(),
        charts: board.charts.into_inner().unwrap(),
        streams: board.streams.into_inner().unwrap(),
        there: inner(board.there),
        back: inner(board.back),
        stated: board.stated.into_inner().unwrap(),
        unsaid: board.unsaid.into_inner().unwrap(),
        wrong: board.wrong.into_inner().unwrap(),
        changes,
        told,
    }
}

/// A source that sends what is at hand together.
async fn publishes(mut source: Source, mut steps: mpsc::Receiver<(usize, bool)>, run: u64, board: Arc<Board>) {
    let mut next = Vec::new();
    while steps.recv_many(&mut next, 32).await > 0 {
        let frames: Vec<_> = {
            let mut sent = board.frames.lock().unwrap();
            let at = Instant::now();
            let frames = next.drain(..).map(|(person, large)| {
                sent.push(Sent { person, large, at });
                frame(run, person, sent.len() as u64, large)
            });
            frames.collect()
        };
        let count = frames.len();
        let ack = source.send_bytes(frames).await;
        if !ack.refused.is_empty() {
            board.wrong(format!("frames of a batch of {count} were refused: {ack:?}"));
        }
    }
    source.finish().await.unwrap();
}

/// Frames are numbered from 1: a number that is 0 is no number.
fn frame(run: u64, person: usize, number: u64, large: bool) -> Vec<u8> {
    PatientFrame {
        patient_id: name(run, person),
        device_id: HIDDEN.into(),
        sequence: number,
        vitals: Some(Vitals { heart_rate_bpm: Some(HEART_RATE as f32), ..Vitals::default() }),
        note: if large { "x".repeat(LARGE_BYTES) } else { "a note".into() },
        ..PatientFrame::default()
    }
    .encode_to_vec()
}

/// Somebody who reads a stream: always, or when told to.
struct Reader {
    stage: Arc<Stage>,
    board: Arc<Board>,
    seat: Seat,
    ordered: mpsc::UnboundedReceiver<usize>,
}

impl Reader {
    async fn read(mut self, mut sub: Sub) {
        loop {
            let at = {
                let mut streams = self.board.streams.lock().unwrap();
                let (id, showed) = (sub.header.stream_id.to_vec(), Arc::default());
                streams.push(Heard { seat: self.seat, id, opened: Instant::now(), came: Vec::new(), reset: false, showed });
                streams.len() - 1
            };
            let went = if self.seat.slow { self.read_slowly(&mut sub, at).await } else { self.read_all(&mut sub, at).await };
            if went.is_some() {
                return;
            }
            self.board.streams.lock().unwrap()[at].reset = true;
            sub = self.seat.open(&self.stage).await;
        }
    }

    /// To the last frame; `None`: it was reset.
    async fn read_all(&mut self, sub: &mut Sub, at: usize) -> Option<()> {
        loop {
            let event = sub.next().await.ok()?.expect("streams go on");
            if self.note(&event, at, None) == Some(LAST) {
                return Some(());
            }
        }
    }

    async fn read_slowly(&mut self, sub: &mut Sub, at: usize) -> Option<()> {
        let (mut paused, mut since) = (false, None);
        let mut over = false;
        while !over {
            // At last all that is there.
            let frames = self.ordered.recv().await.unwrap_or(usize::MAX);
            over = frames == usize::MAX;
            let mut came = 0;
            while came < frames {
                if !sub.has_at_hand() {
                    // What was read before a pause may have been most of it.
                    since = (!paused).then(Instant::now);
                }
                let Ok(event) = tokio::time::timeout(PAUSE, sub.next()).await else {
                    paused = true;
                    break;
                };
                let event = event.ok()?.expect("streams go on");
                paused = false;
                came += usize::from(self.note(&event, at, since).is_some());
            }
        }
        Some(())
    }

    /// Keeps a frame; says whom it is about.
    fn note(&self, event: &Event, at: usize, since: Option<Instant>) -> Option<usize> {
        let Event::Frame(received) = event else { return None };
        let now = Instant::now();
        let frame = PatientFrame::decode(&received.message[..]).expect("stock stubs parse what comes");
        let number = (frame.sequence as usize).checked_sub(1);
        let sent = number.and_then(|number| Some((number, *self.board.frames.lock().unwrap().get(number)?)));
        let Some((number, sent)) = sent else {
            self.board.wrong(format!("a frame without a number that was sent: {} of {:?}", frame.sequence, self.seat));
            return Some(0);
        };
        let mask = mask(!frame.note.is_empty(), frame.vitals.and_then(|vitals| vitals.heart_rate_bpm).is_some());
        if !frame.patient_id.is_empty() || !frame.device_id.is_empty() {
            self.board.wrong(format!("frame {number} shows what nobody may see"));
        }
        let mut streams = self.board.streams.lock().unwrap();
        let stream = &mut streams[at];
        stream.came.push(Came { number, mask, handover: received.handover, at: now, since });
        stream.showed[sent.person].store(true, Ordering::Release);
        Some(sent.person)
    }
}

fn mask(note: bool, heart: bool) -> u8 {
    u8::from(note) * NOTE + u8::from(heart) * HEART
}

fn chart(run: u64, person: usize, number: u64) -> Chart {
    Chart {
        patient: name(run, person),
        at_ms: number as i64,
        heart_rate: HEART_RATE,
        note: "a note".into(),
        blob: HIDDEN.into(),
        name: String::new(),
    }
}

/// Keeps a chart; says whom it is about.
fn noted(chart: &Chart, into: &Mutex<Vec<Came>>, board: &Board) -> Option<usize> {
    let number = (chart.at_ms as usize).checked_sub(1);
    let Some((number, sent)) = number.and_then(|number| Some((number, *board.charts.lock().unwrap().get(number)?))) else {
        board.wrong(format!("a chart without a number that was said: {chart:?}"));
        return None;
    };
    if !chart.blob.is_empty() {
        board.wrong(format!("chart {number} shows what nobody may see"));
    }
    let mask = mask(!chart.note.is_empty(), chart.heart_rate != 0.0);
    into.lock().unwrap().push(Came { number, mask, handover: 0, at: Instant::now(), since: None });
    Some(sent.person)
}

/// A caller on one call, until the last word has come back.
async fn talks(mut client: Client, mut steps: mpsc::Receiver<usize>, run: u64, board: Arc<Board>) {
    let (to, from) = mpsc::channel(8);
    let mut answers = soon("the head of an answer", client.talk(from)).await.unwrap();
    let listened = Arc::clone(&board);
    let listening = tokio::spawn(async move {
        loop {
            match soon("an echo", answers.message()).await {
                Ok(Some(chart)) if noted(&chart, &listened.back, &listened) == Some(LAST) => return,
                Ok(Some(_)) => {}
                other => return listened.wrong(format!("the call ended: {other:?}")),
            }
        }
    });
    while let Some(person) = steps.recv().await {
        let number = {
            let mut sent = board.charts.lock().unwrap();
            sent.push(Sent { person, large: false, at: Instant::now() });
            sent.len() as u64
        };
        if to.send(chart(run, person, number)).await.is_err() {
            break;
        }
    }
    listening.await.unwrap();
}

/// Notes what the service got.
async fn listens(stage: Arc<Stage>, board: Arc<Board>) {
    loop {
        let over = board.is_over();
        for message in stage.heard() {
            noted(&Chart::decode(&message[..]).expect("a chart"), &board.there, &board);
        }
        if over {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
