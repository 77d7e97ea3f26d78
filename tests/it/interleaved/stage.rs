//! A gateway and everybody around it, for many runs one after the other: connections stay, people and streams are new in each.

use std::time::Instant;

use tonic::Status;
use tonic::transport::Channel;
use twinveil::client::dsse;
use twinveil::client::wallet::Wallet;
use twinveil::proto::v1::{StandingRequest, StreamBarrier, WithdrawRequest, WithdrawResponse};
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::consent::query::Asks;
use twinveil::world::Clock;

use super::steps::{CARE, CLINICIAN, DELEGATES, RESEARCH, RESEARCHER, SLOW};
use crate::harness::front::{Client, folder};
use crate::harness::ward::{self, Got};
use crate::harness::{Ask, PATIENT, Source, Sub, World, soon};

pub(super) const CARE_TERM: &str = crate::harness::front::CARE;
pub(super) const RESEARCH_TERM: &str = "dpv:AcademicResearch";
/// The operator lets everybody have everything, so that people alone decide. Queues are short, so that who reads slowly loses frames.
const POLICY: &str = "@id(\"all\") permit (principal, action == Action::\"keep\", resource);\n";
const LIMITS: &str = "[limits]\nqueue_bytes_max = 1048576\n[log]\nbatch_ms = 0\n";

/// Whom the streams of a run are for, in order; the slow ones come last.
const FAST: [(u8, u8); 4] = [(CLINICIAN, CARE), (CLINICIAN, RESEARCH), (RESEARCHER, CARE), (RESEARCHER, RESEARCH)];
const LAG: [(u8, u8); SLOW] = [(CLINICIAN, CARE), (RESEARCHER, RESEARCH)];

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) got: Got,
    pub(super) delegates: Vec<Wallet>,
    clinician: [Channel; 2],
    researcher: [Channel; 2],
    hospital: Channel,
}

impl Stage {
    pub(super) async fn set() -> Self {
        let (address, got) = ward::serve().await;
        let folder = folder(&address.to_string(), "");
        for (name, lines) in [("policy.cedar", POLICY), ("twinveil.toml", LIMITS)] {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, format!("{text}\n{lines}")).unwrap();
        }
        let world = World::at(folder, std::sync::Arc::new(Clock::new())).await.unwrap_or_else(|error| panic!("{error}"));
        let delegates = (0..DELEGATES).map(|_| world.wallet()).collect();
        let clinician = [world.channel("clinician").await, world.narrow_channel("clinician").await];
        let researcher = [world.channel("researcher").await, world.narrow_channel("researcher").await];
        let hospital = world.channel("hospital").await;
        Self { world, got, delegates, clinician, researcher, hospital }
    }

    /// How many streams a run has, and whom each is for.
    pub(super) fn seats() -> impl Iterator<Item = Seat> {
        let fast = FAST.into_iter().map(|to| Seat { to, slow: false });
        fast.chain(LAG.into_iter().map(|to| Seat { to, slow: true }))
    }

    pub(super) async fn source(&self) -> Source {
        Source::open(self.hospital.clone(), PATIENT).await.expect("a source may publish")
    }

    pub(super) fn caller(&self) -> Client {
        Client::on(self.clinician[0].clone())
    }

    /// All messages that came to the service since.
    pub(super) fn heard(&self) -> Vec<bytes::Bytes> {
        std::mem::take(&mut *self.got.messages.lock().unwrap())
    }
}

/// Whom a stream is for, and how it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) to: (u8, u8),
    pub(super) slow: bool,
}

impl Seat {
    pub(super) async fn open(self, stage: &Stage) -> Sub {
        let channels = if self.to.0 == CLINICIAN { &stage.clinician } else { &stage.researcher };
        let ask = Ask::of(PATIENT, if self.to.1 == CARE { CARE_TERM } else { RESEARCH_TERM });
        let ask = if self.slow { ask.newest() } else { ask };
        Sub::open(channels[usize::from(self.slow)].clone(), ask).await.expect("a recipient may subscribe")
    }
}

/// What somebody signed, handed in: when it was in force between, and what streams were told of.
pub(super) struct Answered {
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) streams: Vec<StreamBarrier>,
}

impl Stage {
    /// A record that gives; where streams stand is asked for behind it.
    pub(super) async fn submit(&self, record: &Envelope, of: &Wallet) -> Result<Answered, Status> {
        let from = Instant::now();
        self.world.submit(record).await?;
        let until = Instant::now();
        Ok(Answered { from, until, streams: self.standing(of).await })
    }

    /// A record that takes back.
    pub(super) async fn withdraw(&self, record: &Envelope) -> Result<(Answered, WithdrawResponse), Status> {
        let request = WithdrawRequest { record: Some(dsse::to_proto(record)), ..WithdrawRequest::default() };
        let (mut consents, from) = (self.world.consents(), Instant::now());
        let answer = soon("an answer to a withdrawal", consents.withdraw(request)).await?.into_inner();
        Ok((Answered { from, until: Instant::now(), streams: answer.streams.clone() }, answer))
    }

    /// Where the streams stand that carry somebody. The clock may be moved on while a question is on its way, which then is stale.
    async fn standing(&self, of: &Wallet) -> Vec<StreamBarrier> {
        for _ in 0..5 {
            let query = of.query(&Asks::Standing, &self.world.origin(), self.world.now()).unwrap();
            let request = StandingRequest { query: Some(dsse::to_proto(&query)) };
            if let Ok(answer) = soon("a standing", self.world.consents().standing(request)).await {
                return answer.into_inner().streams;
            }
        }
        Vec::new()
    }
}
