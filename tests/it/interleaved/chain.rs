//! One person, and who speaks for them: records signed and handed in one after the other, beside everything else.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Status;
use twinveil::client::authority::DelegationTerms;
use twinveil::client::wallet::{Voice, Wallet};
use twinveil::veil::consent::delegation::{Capacity, Right};
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::standing::Head;
use twinveil::veil::consent::windows::WindowDocument;
use twinveil::veil::consent::withdrawal::Reach;
use twinveil::veil::name::{RecordId, UnixMs};
use twinveil::world::entropy;

use super::model::{During, Fact, Granted, History};
use super::play::{Board, Stated};
use super::stage::{Answered, CARE_TERM, RESEARCH_TERM, Stage};
use super::steps::{CARE, CLINICIAN, HEART, HOSPITAL, Hand, NOTE, PEOPLE, RESEARCH, RESEARCHER, Says};
use crate::harness::{Given, forbid, permit};

const HOUR_MS: i64 = 3_600_000;
/// What shows whether a frame, or a chart, is there at all; whom a chart is about goes with it.
const NUMBERS: [&str; 3] = ["sequence", "at_ms", "patient"];
/// What stands behind the bits of a grant, in both schemas.
const FIELDS: [(u8, &[&str]); 2] = [(NOTE, &["note"]), (HEART, &["vitals.heart_rate_bpm", "heart_rate"])];

/// A person of a run.
pub(super) struct Chain {
    stage: Arc<Stage>,
    board: Arc<Board>,
    person: usize,
    pub(super) wallet: Wallet,
    head: Head,
    grants: Vec<RecordId>,
    /// The delegate of each delegation.
    delegations: Vec<(usize, RecordId)>,
    pub(super) history: History,
    pub(super) taken: usize,
    pub(super) refused: usize,
}

/// Where a person is told what to hand in next.
pub(super) struct Told {
    hands: mpsc::UnboundedSender<Hand>,
    acting: JoinHandle<Chain>,
}

impl Told {
    pub(super) fn hand_in(&self, hand: Hand) {
        self.hands.send(hand).expect("the person is there");
    }

    /// When all is handed in.
    pub(super) async fn end(self) -> Chain {
        drop(self.hands);
        self.acting.await.expect("whoever hands in does not panic")
    }
}

/// Enrols everybody of a run.
pub(super) async fn enrol(stage: &Arc<Stage>, board: &Arc<Board>, name: impl Fn(usize) -> String) -> Vec<Told> {
    let mut all = Vec::new();
    for person in 0..=PEOPLE {
        let (stage, board, name) = (Arc::clone(stage), Arc::clone(board), name(person));
        all.push(tokio::spawn(async move {
            let wallet = stage.world.patient(&name).await;
            stage.world.enrol("clinician", &name, &wallet).await;
            let mut chain = Chain {
                stage,
                board,
                person,
                wallet,
                head: Head { seq: 0, record: None },
                grants: Vec::new(),
                delegations: Vec::new(),
                history: History::default(),
                taken: 0,
                refused: 0,
            };
            // The last one lets everybody have everything, and the first begins with that.
            if person == PEOPLE || person == 0 {
                chain.grant(&everything(), None).await.expect("a grant");
            }
            chain
        }));
    }
    let mut told = Vec::new();
    for enrolling in all {
        let mut chain = enrolling.await.expect("everybody is enrolled");
        let (hands, mut handed) = mpsc::unbounded_channel();
        let acting = tokio::spawn(async move {
            while let Some(hand) = handed.recv().await {
                match chain.act(&hand).await {
                    Ok(()) => chain.taken += 1,
                    Err(_) => chain.refused += 1,
                }
            }
            chain
        });
        told.push(Told { hands, acting });
    }
    told
}

fn everything() -> Says {
    Says {
        recipients: CLINICIAN | RESEARCHER | HOSPITAL,
        purposes: CARE | RESEARCH,
        permits: NOTE | HEART,
        forbids: 0,
        refuses: false,
        hours: false,
        begins_h: 0,
        lasts_h: 24 * 100,
        uses: None,
        replaces: None,
    }
}

/// One of what there is, or nothing to choose from.
fn one_of<T: Copy>(all: &[T], which: usize) -> Result<T, Status> {
    all.get(which % all.len().max(1)).copied().ok_or_else(|| Status::not_found("nothing to choose from"))
}

impl Chain {
    async fn act(&mut self, hand: &Hand) -> Result<(), Status> {
        match hand {
            Hand::Grant(says) => self.grant(says, None).await,
            Hand::GrantBy { under, says } => {
                let under = one_of(&self.delegations, *under)?;
                self.grant(says, Some(under)).await
            }
            Hand::Delegate { to, lasts_h } => self.delegate(*to, *lasts_h).await,
            Hand::End { which, by_delegate } => {
                let (delegate, id) = one_of(&self.delegations, *which)?;
                let (wallet, voice) = if *by_delegate {
                    (&self.stage.delegates[delegate], self.voice(id))
                } else {
                    (&self.wallet, self.wallet.voice(SignerRole::Subject))
                };
                let world = &self.stage.world;
                let end = wallet.end_delegations(&voice, &[id], &world.origin(), world.now()).expect("an end as wallets sign it");
                self.take_back(&end, Fact::Ended { id }).await
            }
            Hand::Withdraw { which, under } => {
                let id = one_of(&self.grants, *which)?;
                let under = under.map(|which| one_of(&self.delegations, which)).transpose()?;
                self.withdraw(Reach::Records(vec![id]), vec![id], under).await
            }
            Hand::WithdrawAll if self.head.seq == 0 => Err(Status::not_found("nothing to withdraw")),
            Hand::WithdrawAll => self.withdraw(Reach::UpTo(self.head.seq), self.grants.clone(), None).await,
        }
    }

    fn voice(&self, delegation: RecordId) -> Voice {
        Voice { subject: self.wallet.did(), role: SignerRole::Delegate(delegation), vault_key: Some(self.wallet.vault_key()) }
    }

    /// Who signs, and by which word.
    fn speaks(&self, under: Option<(usize, RecordId)>) -> (&Wallet, Voice) {
        match under {
            None => (&self.wallet, self.wallet.voice(SignerRole::Subject)),
            Some((delegate, id)) => (&self.stage.delegates[delegate], self.voice(id)),
        }
    }

    async fn grant(&mut self, says: &Says, under: Option<(usize, RecordId)>) -> Result<(), Status> {
        let world = &self.stage.world;
        let replaces = says.replaces.and_then(|which| one_of(&self.grants, which).ok());
        let now = world.now();
        let (from_ms, expires_ms) = (now.0 + says.begins_h * HOUR_MS, now.0 + (says.begins_h + says.lasts_h) * HOUR_MS);
        let named = |bits: u8, all: &[(u8, &'static str)]| -> Vec<&'static str> {
            all.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect()
        };
        let parties = named(says.recipients, &[(CLINICIAN, "clinician"), (RESEARCHER, "researcher"), (HOSPITAL, "hospital")]);
        let terms = named(says.purposes, &[(CARE, CARE_TERM), (RESEARCH, RESEARCH_TERM)]);
        let paths = |bits: u8| FIELDS.iter().filter(move |(bit, _)| bits & bit != 0).flat_map(|(_, paths)| paths.iter());
        let permits = NUMBERS.iter().chain(paths(says.permits)).map(|path| permit(path, "keep"));
        let forbids = paths(says.forbids).map(|path| forbid(path));
        let mut given = Given::to(world, &parties, CARE_TERM).purposes(&terms).until(UnixMs(expires_ms));
        given = if says.refuses { given.refused() } else { given.rules(permits.chain(forbids).collect()) };
        if says.begins_h > 0 {
            given = given.from(UnixMs(from_ms));
        }
        if let Some(max) = says.uses {
            given = given.uses(max);
        }
        if says.hours {
            let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(String::from).to_vec();
            given = given.windows(vec![WindowDocument { zone: "UTC".into(), days, from: "08:00".into(), to: "16:00".into() }]);
        }
        if let Some(replaced) = replaces {
            given = given.replaces(replaced);
        }
        let (wallet, voice) = self.speaks(under);
        let record = wallet.grant_as(&voice, given.terms(), &world.origin(), self.head, now, &mut entropy());
        let record = record.expect("a grant as wallets sign it");
        let granted =
            Granted { id: record.id(), says: says.clone(), from_ms, expires_ms, replaces, under: under.map(|(_, delegation)| delegation) };
        self.give(&record, Fact::Granted(Box::new(granted))).await?;
        self.grants.push(record.id());
        Ok(())
    }

    async fn delegate(&mut self, to: usize, lasts_h: i64) -> Result<(), Status> {
        let (world, delegate) = (&self.stage.world, &self.stage.delegates[to]);
        let any = serde_json::json!({"recipients": "any", "purposes": "any", "permits": "any"});
        let terms = DelegationTerms {
            delegate: delegate.did(),
            capacity: Capacity::Guardian,
            not_before: None,
            expires: UnixMs(world.now().0 + lasts_h * HOUR_MS),
            rights: vec![Right::View, Right::Grant, Right::Renew, Right::Withdraw],
            depth: 0,
            scope: serde_json::from_value(any).unwrap(),
            vault_key: Some(self.wallet.vault_key()),
        };
        let own = self.wallet.voice(SignerRole::Subject);
        let half = self.wallet.delegate(&own, &terms, &world.origin(), self.head, world.now()).expect("half a delegation");
        let both = delegate.cosign(&half, &world.origin()).expect("the other half");
        self.give(&both, Fact::Delegated).await?;
        self.delegations.push((to, both.id()));
        Ok(())
    }

    async fn withdraw(&mut self, reach: Reach, ids: Vec<RecordId>, under: Option<(usize, RecordId)>) -> Result<(), Status> {
        let world = &self.stage.world;
        let (wallet, voice) = self.speaks(under);
        let record = wallet.withdraw_as(&voice, &reach, &world.origin(), world.now()).expect("a withdrawal as wallets sign it");
        self.take_back(&record, Fact::Withdrawn { ids }).await
    }

    async fn give(&mut self, record: &Envelope, fact: Fact) -> Result<(), Status> {
        let answered = self.stage.submit(record, &self.wallet).await?;
        self.head = Head { seq: self.head.seq + 1, record: Some(record.id()) };
        self.keep(fact, &answered, answered.until);
        Ok(())
    }

    async fn take_back(&mut self, record: &Envelope, fact: Fact) -> Result<(), Status> {
        let showing = self.board.showing(self.person);
        let (answered, _) = self.stage.withdraw(record).await?;
        self.keep(fact, &answered, answered.from);
        let unsaid = showing.into_iter().filter(|id| !answered.streams.iter().any(|stated| stated.stream_id == id[..]));
        self.board.unsaid.lock().unwrap().extend(unsaid.map(|id| (id, self.person)));
        Ok(())
    }

    /// What was taken, and what was said behind it of where streams stand.
    fn keep(&mut self, fact: Fact, answered: &Answered, from: std::time::Instant) {
        self.history.0.push(During { what: fact, from: answered.from, until: answered.until });
        let (person, facts, until) = (self.person, self.history.0.len(), std::time::Instant::now());
        let mut stated = self.board.stated.lock().unwrap();
        for stream in &answered.streams {
            let last_handover = stream.last_handover;
            stated.entry(stream.stream_id.to_vec()).or_default().push(Stated { last_handover, from, until, person, facts });
        }
    }
}
