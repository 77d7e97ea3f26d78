//! Calls through the gateway: bidirectional ones on which a ward's service says again what it was told, all about somebody who leaves.
//! All calls of a connection share two lanes, one there and one back; a withdrawal states how many messages each has handed over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::transport::Channel;
use twinveil::client::wallet::Wallet;

use super::it::harness::child::Process;
use super::it::harness::front::{CARE, Client, folder, patient};
use super::it::harness::ward::{self, Chart, Got};
use super::it::harness::{Given, World, eventually, soon};
use super::{Found, LARGE_BYTES, LARGE_EVERY, PER_CONNECTION, Plan, QUIET, some_moment, withdraw};

const LEAVER: &str = "leaver";
/// The load of a run comes in so many parts, one after the other.
const TICK: Duration = Duration::from_millis(5);

/// What all calls of one run share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    delivered: AtomicU64,
    reset: AtomicU64,
    /// What is said from now on has this number.
    turn: AtomicU64,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// A connection of callers: how many messages came back, and the lanes it has at the gateway.
struct Connection {
    channel: Channel,
    back: Arc<AtomicU64>,
    lanes: Lanes,
}

struct Lanes {
    there: Vec<u8>,
    back: Vec<u8>,
}

/// By connection: how many messages came to the service.
type There = Arc<Mutex<HashMap<String, u64>>>;

pub(super) async fn measure(plan: Plan) -> Found {
    let (address, got) = ward::serve().await;
    let mut process = Process::start(folder(&address.to_string(), "")).await;
    let (world, shared) = (&process.world, Arc::new(Shared::default()));
    let leaver = patient(world, LEAVER).await;
    let given = Given::to(world, &["clinician", "hospital"], CARE);
    let there = There::default();
    let counting = tokio::spawn(count(got, Arc::clone(&there), Arc::clone(&shared)));
    let pace = plan.pace(plan.streams);
    let (mut connections, mut calls, mut newest) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..plan.streams {
        let slow = number < plan.slow();
        if slow || (number - plan.slow()).is_multiple_of(PER_CONNECTION) {
            connections.push(connect(world, &leaver, connections.len(), slow).await);
        }
        let connection = connections.last().unwrap();
        let seen = Arc::new(AtomicU64::new(0));
        let call = Call {
            client: Client::on(connection.channel.clone()),
            name: (connections.len() - 1).to_string(),
            pace,
            // Spread over the time between two messages.
            wait: pace.mul_f64(number as f64 / plan.streams as f64),
            slow,
            back: Arc::clone(&connection.back),
            newest: Arc::clone(&seen),
            shared: Arc::clone(&shared),
        };
        if !slow {
            newest.push(seen);
        }
        calls.push(tokio::spawn(call.go_on()));
    }
    let mut found = Found::default();
    let began = Instant::now();
    for turn in 0..plan.withdrawals {
        shared.turn.store(turn as u64 + 1, Ordering::Relaxed);
        eventually("every call to have an answer", async || {
            newest.iter().all(|seen| seen.load(Ordering::Relaxed) > turn as u64).then_some(())
        })
        .await;
        some_moment(turn).await;
        let (answer, wait) = withdraw(world, &leaver).await;
        found.waits.push(wait);
        tokio::time::sleep(QUIET).await;
        let stated: HashMap<_, _> = answer.streams.iter().map(|lane| (lane.stream_id.to_vec(), lane.last_handover)).collect();
        assert!(stated.len() >= 2 * connections.len(), "all lanes are told of: {}", stated.len());
        for (number, connection) in connections.iter().enumerate() {
            let came = there.lock().unwrap().get(&number.to_string()).copied().unwrap_or_default();
            found.after += came.saturating_sub(stated[&connection.lanes.there]);
            found.after += connection.back.load(Ordering::Relaxed).saturating_sub(stated[&connection.lanes.back]);
        }
        world.grant(&leaver, &given).await;
    }
    found.lasted = began.elapsed();
    found.delivered = shared.delivered.load(Ordering::Relaxed);
    shared.stop.store(true, Ordering::Relaxed);
    for task in calls.into_iter().chain([counting]) {
        soon("a part of the load to end", task).await.unwrap();
    }
    found.reset = shared.reset.load(Ordering::Relaxed);
    process.is_well();
    found
}

/// Opens a connection, and finds its lanes: those that carry the person after a first call, and did not before.
async fn connect(world: &World, leaver: &Wallet, number: usize, slow: bool) -> Connection {
    let channel = if slow { world.narrow_channel("clinician").await } else { world.channel("clinician").await };
    let carrying = async || world.standing(leaver).await.streams;
    let before: Vec<_> = carrying().await.into_iter().map(|lane| lane.stream_id).collect();
    let (to, from) = mpsc::channel(1);
    let mut answers = Client::on(channel.clone()).talk(from).await.unwrap();
    to.send(chart(number, 0, false)).await.unwrap();
    soon("an answer", answers.message()).await.unwrap().expect("the person agrees");
    let new: Vec<_> = carrying().await.into_iter().filter(|lane| !before.contains(&lane.stream_id)).collect();
    let of = |party: &str| {
        let spiffe = world.spiffe(party).to_string();
        new.iter().find(|lane| lane.recipient == spiffe).expect("a lane").stream_id.to_vec()
    };
    Connection { channel, back: Arc::new(AtomicU64::new(1)), lanes: Lanes { there: of("hospital"), back: of("clinician") } }
}

fn chart(connection: usize, turn: u64, large: bool) -> Chart {
    let note = if large { LARGE_BYTES } else { 80 };
    Chart {
        patient: LEAVER.into(),
        at_ms: turn as i64,
        heart_rate: 72.0,
        note: "x".repeat(note),
        blob: Vec::new(),
        name: connection.to_string(),
    }
}

/// Counts what comes to the service.
async fn count(got: Got, there: There, shared: Arc<Shared>) {
    while shared.goes_on() {
        let messages = std::mem::take(&mut *got.messages.lock().unwrap());
        for message in messages {
            *there.lock().unwrap().entry(Chart::decode(&message[..]).unwrap().name).or_default() += 1;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// One call, and another in its place when it is reset.
struct Call {
    client: Client,
    name: String,
    pace: Duration,
    wait: Duration,
    slow: bool,
    back: Arc<AtomicU64>,
    newest: Arc<AtomicU64>,
    shared: Arc<Shared>,
}

impl Call {
    async fn go_on(mut self) {
        let connection = self.name.parse().unwrap();
        tokio::time::sleep(self.wait).await;
        while self.shared.goes_on() {
            let (to, from) = mpsc::channel(1);
            let mut answers = soon("the head of an answer", self.client.talk(from)).await.unwrap();
            let (shared, pace) = (Arc::clone(&self.shared), self.pace);
            let saying = tokio::spawn(async move {
                let mut tick = tokio::time::interval(pace);
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                for number in 0u64.. {
                    tick.tick().await;
                    let large = number % LARGE_EVERY == LARGE_EVERY / 2;
                    // Nobody takes it where the call has ended.
                    if !shared.goes_on() || to.send(chart(connection, shared.turn.load(Ordering::Relaxed), large)).await.is_err() {
                        return;
                    }
                }
            });
            while self.shared.goes_on() {
                // After a withdrawal nothing comes until the person agrees again.
                match answers.message().await {
                    Ok(Some(chart)) => {
                        self.back.fetch_add(1, Ordering::Relaxed);
                        self.shared.delivered.fetch_add(1, Ordering::Relaxed);
                        self.newest.fetch_max(chart.at_ms as u64, Ordering::Relaxed);
                    }
                    Ok(None) => break,
                    Err(_) => {
                        self.shared.reset.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
                if self.slow {
                    tokio::time::sleep(self.pace * 2).await;
                }
            }
            saying.abort();
        }
    }
}
