//! Who agreed to what, from when until when: what received messages are held against.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use twinveil::client::wallet::Wallet;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::withdrawal::Reach;
use twinveil::veil::name::RecordId;

use crate::gateway::{ADVERTISING, CARE, RENDERING, RESEARCH};
use crate::harness::{Given, World, forbid};

/// How many there are.
pub(super) const PEOPLE: usize = 8;
/// Nobody ever lets anybody have this.
pub(super) const HIDDEN: &str = "canary-never-shown";

/// What somebody lets others have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Nothing,
    /// All but the note and what is hidden.
    Part,
    /// All but what is hidden.
    All,
}

/// A standing and when it may have been in force: from when it was handed in, until what came after it was answered.
#[derive(Clone, Copy, Debug)]
struct Span {
    standing: Standing,
    from: Instant,
    until: Option<Instant>,
}

struct Person {
    wallet: Wallet,
    grant: Mutex<Option<RecordId>>,
    spans: Mutex<Vec<Span>>,
    /// When grants were handed in.
    grants: Mutex<Vec<Instant>>,
}

/// All of them, and what was found wrong.
pub(super) struct People {
    each: Vec<Person>,
    violations: Mutex<Vec<String>>,
    changes: AtomicU64,
    withdrawals: AtomicU64,
    /// By stream and view: what withdrawals stated.
    barriers: Mutex<HashMap<Shown, Vec<Barrier>>>,
    /// By stream and view: which hand-overs were received, and when.
    received: Mutex<HashMap<Shown, Vec<(u64, Instant)>>>,
}

/// A stream, and the number of a view in it.
type Shown = (Vec<u8>, u32);

/// What a withdrawal stated of a stream.
#[derive(Clone, Copy, Debug)]
struct Barrier {
    person: usize,
    last_handover: u64,
    /// When it was handed in.
    at: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

pub(super) fn name(person: usize) -> String {
    format!("soak-{person}")
}

impl People {
    /// Everybody is enrolled, and lets others have all of it.
    pub(super) async fn enrol(world: &World) -> Self {
        let mut each = Vec::new();
        for person in 0..PEOPLE {
            let wallet = world.patient(&name(person)).await;
            world.enrol("clinician", &name(person), &wallet).await;
            let span = Span { standing: Standing::Nothing, from: Instant::now(), until: None };
            each.push(Person { wallet, grant: Mutex::default(), spans: Mutex::new(vec![span]), grants: Mutex::default() });
        }
        let people = Self {
            each,
            violations: Mutex::default(),
            changes: AtomicU64::new(0),
            withdrawals: AtomicU64::new(0),
            barriers: Mutex::default(),
            received: Mutex::default(),
        };
        for person in 0..PEOPLE {
            people.give(world, person, Standing::All).await;
        }
        people
    }

    /// Somebody changes their mind, in turn: all, part of it, nothing, all.
    pub(super) async fn change_one(&self, world: &World) {
        let turn = self.changes.fetch_add(1, Ordering::Relaxed) as usize;
        // The last one stays, so that there is always somebody to be seen.
        let person = turn % (PEOPLE - 1);
        let standing = lock(&self.each[person].spans).last().unwrap().standing;
        match standing {
            Standing::All => self.give(world, person, Standing::Part).await,
            Standing::Part => self.take_back(world, person).await,
            Standing::Nothing => self.give(world, person, Standing::All).await,
        }
    }

    fn begin(&self, person: usize, standing: Standing) {
        lock(&self.each[person].spans).push(Span { standing, from: Instant::now(), until: None });
    }

    fn answered(&self, person: usize) {
        let mut spans = lock(&self.each[person].spans);
        let before = spans.len() - 2;
        spans[before].until = Some(Instant::now());
        // Messages are not on their way for minutes.
        if spans.len() > 100 {
            spans.drain(..50);
        }
    }

    async fn give(&self, world: &World, person: usize, standing: Standing) {
        let parties = ["clinician", "hospital", "researcher", "renderer", "advertiser"];
        let mut given = Given::to(world, &parties, CARE).purposes(&[CARE, RESEARCH, RENDERING, ADVERTISING]);
        // In both schemas something is never shown.
        for path in ["device_id", "blob"] {
            given = given.and(forbid(path));
        }
        if standing == Standing::Part {
            given = given.and(forbid("note"));
        }
        let before = lock(&self.each[person].grant).take();
        if let Some(before) = before {
            given = given.replaces(before);
        }
        lock(&self.each[person].grants).push(Instant::now());
        self.begin(person, standing);
        let record = world.grant(&self.each[person].wallet, &given).await;
        *lock(&self.each[person].grant) = Some(record);
        self.answered(person);
    }

    async fn take_back(&self, world: &World, person: usize) {
        let grant = lock(&self.each[person].grant).take().expect("something to take back");
        let at = Instant::now();
        self.begin(person, Standing::Nothing);
        let reach = Reach::Records(vec![grant]);
        let answer = world.withdraw(&self.each[person].wallet, &reach, SignerRole::Subject).await;
        self.answered(person);
        self.withdrawals.fetch_add(1, Ordering::Relaxed);
        let mut barriers = lock(&self.barriers);
        for barrier in answer.streams {
            let stated = Barrier { person, last_handover: barrier.last_handover, at };
            barriers.entry((barrier.stream_id.to_vec(), barrier.view)).or_default().push(stated);
        }
    }

    pub(super) fn wrong(&self, what: String) {
        lock(&self.violations).push(what);
    }

    /// A message about somebody has come, which was sent at that time: may it have been, with the note or without?
    pub(super) fn saw(&self, who: &str, person: usize, note: bool, sent: Instant) {
        let now = Instant::now();
        let allows = |standing: Standing| standing == Standing::All || (standing == Standing::Part && !note);
        let spans = lock(&self.each[person].spans);
        let may = spans.iter().any(|span| allows(span.standing) && span.from <= now && span.until.is_none_or(|until| until >= sent));
        if !may {
            self.wrong(format!("{who} saw person {person} (note: {note}) {:?} after it was sent", now.duration_since(sent)));
        }
    }

    /// A frame has come on a stream, through a view.
    pub(super) fn handed_over(&self, stream: &[u8], view: u32, handover: u64) {
        lock(&self.received).entry((stream.to_vec(), view)).or_default().push((handover, Instant::now()));
    }

    /// Bytes that somebody got: is anything in them that nobody may have?
    pub(super) fn looked_into(&self, who: &str, bytes: &[u8]) {
        if bytes.windows(HIDDEN.len()).any(|part| part == HIDDEN.as_bytes()) {
            self.wrong(format!("{who} got what is never shown"));
        }
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    pub(super) fn withdrawals(&self) -> u64 {
        self.withdrawals.load(Ordering::Relaxed)
    }

    /// How many times withdrawals have settled a stream that showed something.
    pub(super) fn settled(&self) -> usize {
        lock(&self.barriers).values().map(Vec::len).sum()
    }

    /// All that was wrong, once everything has come: behind the last hand-over that a withdrawal stated, a frame of the view comes only
    /// when the person has agreed to something again.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut found = lock(&self.violations).clone();
        let received = lock(&self.received);
        for (at, stated) in lock(&self.barriers).iter() {
            let frames = received.get(at).map(Vec::as_slice).unwrap_or_default();
            for barrier in stated {
                let again = lock(&self.each[barrier.person].grants).iter().find(|grant| **grant > barrier.at).copied();
                let behind =
                    |(handover, came): &&(u64, Instant)| *handover > barrier.last_handover && again.is_none_or(|again| *came < again);
                found.extend(frames.iter().find(behind).map(|(handover, _)| format!("view {}: frame {handover} behind {barrier:?}", at.1)));
            }
        }
        found
    }
}
