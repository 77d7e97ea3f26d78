//! The play: everybody enrols and grants, the streams run, at half-time one patient withdraws and one opens more, the streams
//! run on, and in the end everything that was sent has arrived.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::cast::{self, Allows, OPENED, RECIPIENTS, RESEARCHER};
use super::desk::{Desk, Signed, Subject};
use super::feed::Feed;
use super::report::Report;
use super::screen::Screen;
use super::seat::Change;
use super::stage::{SOURCES, Stage, schema};
use super::streams::{Reader, Source, find_views, subscribe};
use super::{Rate, SUBJECTS_MAX};
use crate::cli::connect::Connection;
use crate::cli::{CliError, child, plain};
use crate::client::wallet::Wallet;
use crate::config::read_key;
use crate::veil::consent::record::SignerRole;
use crate::veil::crypto::secret::Secret;
use crate::veil::crypto::wrap::OpenKey;
use crate::veil::name::{SealKey, Spiffe};
use crate::veil::report::table::grouped;
use crate::world::entropy;

/// What is to happen happens within this time.
const HAPPENS_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What the play needs to know of its gateway.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) address: String,
    pub(super) folder: PathBuf,
    pub(super) process: Option<u32>,
    pub(super) seconds: u64,
    pub(super) rate: Rate,
}

/// A task that should not fail, and where it says so if it does.
#[derive(Debug)]
struct Tasks {
    running: JoinSet<()>,
    failed: mpsc::Sender<CliError>,
}

impl Tasks {
    fn start(&mut self, work: impl Future<Output = Result<(), CliError>> + Send + 'static) {
        let failed = self.failed.clone();
        self.running.spawn(async move {
            if let Err(error) = work.await {
                // Full: somebody else failed first.
                let _first_counts = failed.try_send(error);
            }
        });
    }
}

impl Play {
    /// Plays it all; the report, and the same in words.
    pub(super) async fn perform(self, feeds: [Feed; 2], screen: &mut Screen) -> Result<(Report, String), CliError> {
        let (failed, mut failures) = mpsc::channel(1);
        let mut tasks = Tasks { running: JoinSet::new(), failed };
        tokio::select! {
            played = self.acts(feeds, screen, &mut tasks) => played,
            Some(error) = failures.recv() => Err(error),
        }
    }

    async fn acts(&self, feeds: [Feed; 2], screen: &mut Screen, tasks: &mut Tasks) -> Result<(Report, String), CliError> {
        let mut desk = Desk::new(self.connect("portal").await?, self.connection("portal").origin()?);
        let secrets: Vec<Secret<32>> = RECIPIENTS.iter().map(|_| Secret::random(&mut entropy())).collect();
        let keys: Vec<SealKey> = secrets.iter().filter_map(|secret| Some(OpenKey::from_seed(secret)?.seal_key())).collect();
        let stage = Arc::new(Stage::new(subjects(&feeds)?)?);
        let mut signed = self.sign_all(&mut desk, &stage, &keys).await?;
        let grants: usize = stage.subjects.iter().map(|subject| subject.allows().len()).sum();
        screen.event(&format!(
            "enrolled {} patients and turbines, signed {grants} consents and a mandate: {} recipients are listening",
            stage.subjects.len(),
            RECIPIENTS.len()
        ))?;

        for (seat, key) in stage.seats.iter().zip(secrets) {
            let reader = Reader { channel: self.connect(seat.recipient.name).await?, seat: Arc::clone(seat), key };
            let stream = subscribe(reader.channel.clone(), seat.recipient).await?;
            tasks.start(reader.receive(stream, Arc::clone(&stage)));
        }
        tasks.start(find_views(desk.clone(), Arc::clone(&stage)));
        let cpu_before = self.cpu_us();
        screen.begin();
        let (stop, stopped) = watch::channel(false);
        let mut sources = JoinSet::new();
        for ((feed, (what, party)), accepted) in feeds.into_iter().zip(SOURCES).zip(&stage.accepted) {
            let known = stage.subjects.iter().enumerate().filter(|(_, subject)| subject.what == what);
            let known: HashMap<String, usize> = known.map(|(at, subject)| (subject.name.clone(), at)).collect();
            let source = Source { what, frames: feed.start(schema(what)?, known)?, rate: self.rate, accepted: Arc::clone(accepted) };
            let (channel, stage, stopped, failed) = (self.connect(party).await?, Arc::clone(&stage), stopped.clone(), tasks.failed.clone());
            sources.spawn(async move {
                if let Err(error) = source.publish(channel, stage, stopped).await {
                    let _first_counts = failed.try_send(error);
                    // The failure ends the play; until then this source has not ended well.
                    std::future::pending::<()>().await;
                }
            });
        }

        let begun = Instant::now();
        watch_until(begun + Duration::from_secs(self.seconds) / 2, screen, &stage).await?;
        let [leaver, opener] = stage.actors().ok_or_else(|| CliError::broken("the demo needs two patients at least"))?;
        let withdrew = self.withdraw(&mut desk, &stage, leaver, &signed, screen).await?;
        self.open_more(&mut desk, &stage, opener, &mut signed, keys.get(RESEARCHER).copied(), screen).await?;
        watch_until(begun + Duration::from_secs(self.seconds), screen, &stage).await?;

        stop.send_replace(true);
        while sources.join_next().await.is_some() {}
        until(|| stage.pending() == 0, "frames were taken by the gateway and never arrived").await?;
        tell_cut_offs(&stage, screen)?;
        let cpu_us = cpu_before.and_then(|before| Some(self.cpu_us()?.saturating_sub(before)));
        let report = Report::new(&stage, cpu_us);
        screen.end(&stage)?;
        let words = report.words(&stage, &withdrew);
        Ok((report, words))
    }

    fn cpu_us(&self) -> Option<u64> {
        self.process.and_then(child::cpu_us)
    }

    fn connection(&self, party: &str) -> Connection {
        Connection {
            dir: self.folder.clone(),
            party: Some(party.to_owned()),
            gateway: Some(self.address.clone()),
            certs: None,
            origin: None,
            insecure: false,
        }
    }

    async fn connect(&self, party: &str) -> Result<Channel, CliError> {
        self.connection(party).connect(None).await
    }

    /// The wallet of a party whose key is in the folder.
    fn party_key(&self, name: &str) -> Result<Wallet, CliError> {
        let seed = read_key(name, &self.folder.join("keys").join(format!("{name}.key")))?;
        Wallet::from_seeds(seed, Secret::random(&mut entropy())).ok_or_else(|| CliError::broken(format!("the key of `{name}` is no key")))
    }

    /// Enrols everybody and hands in what they, and the operator, sign.
    async fn sign_all(&self, desk: &mut Desk, stage: &Stage, keys: &[SealKey]) -> Result<Vec<Signed>, CliError> {
        let key_of = |allows: &Allows| keys.get(allows.recipient).copied().ok_or_else(|| CliError::broken("a recipient has no key"));
        let mandate = cast::mandate();
        let operator = self.party_key("operator")?;
        desk.grant((&operator, SignerRole::Operator), &mut Signed::default(), &mandate, key_of(&mandate)?, None).await?;
        let mut all = Vec::with_capacity(stage.subjects.len());
        for (what, party) in SOURCES {
            let countersigns = self.party_key(party)?;
            let source = Spiffe::parse(&format!("spiffe://example.org/source/{party}")).map_err(CliError::broken)?;
            for subject in stage.subjects.iter().filter(|subject| subject.what == what) {
                desk.enrol(subject, &source, &countersigns).await?;
                let mut signed = Signed::default();
                for allows in subject.allows() {
                    desk.grant((&subject.wallet, SignerRole::Subject), &mut signed, &allows, key_of(&allows)?, None).await?;
                }
                all.push(signed);
            }
        }
        Ok(all)
    }

    /// A patient withdraws everything; its name.
    async fn withdraw(
        &self,
        desk: &mut Desk,
        stage: &Stage,
        who: usize,
        signed: &[Signed],
        screen: &mut Screen,
    ) -> Result<String, CliError> {
        let (Some(subject), Some(signed)) = (stage.subjects.get(who), signed.get(who)) else {
            return Err(CliError::broken("nobody withdraws"));
        };
        stage.seats.iter().for_each(|seat| seat.withdrawal_asked(who));
        let (answer, took) = desk.withdraw(subject, signed).await?;
        stage.learn(who, &answer.streams)?;
        let last = stage.seats.iter().filter_map(|seat| Some((seat.recipient.name, seat.withdrawal_answered(&answer.streams)?)));
        let last: Vec<String> = last.map(|(name, handover)| format!("{name} {}", grouped(handover))).collect();
        let name = plain(&subject.name);
        screen.event_now(&format!(
            "{name} withdrew everything: {} grants ended, in force on every stream after {:.1} ms",
            answer.ended,
            took.as_secs_f64() * 1e3
        ))?;
        screen.event_now(&format!("  last hand-over under the old consent: {}", last.join(", ")))?;
        screen.redraw(stage)?;
        Ok(name)
    }

    /// A patient opens its heart rate to the researcher: what was sealed becomes as clear as the operator's policy lets it.
    async fn open_more(
        &self,
        desk: &mut Desk,
        stage: &Stage,
        who: usize,
        signed: &mut [Signed],
        key: Option<SealKey>,
        screen: &mut Screen,
    ) -> Result<(), CliError> {
        let nobody = || CliError::broken("nobody opens more");
        let (subject, signed) = stage.subjects.get(who).zip(signed.get_mut(who)).ok_or_else(nobody)?;
        let (seat, key) = stage.seats.get(RESEARCHER).zip(key).ok_or_else(nobody)?;
        let with_key = subject.allows().iter().any(|allows| allows.recipient == RESEARCHER && allows.with_key);
        let more = Allows { recipient: RESEARCHER, rules: cast::research(with_key, Some(OPENED)), with_key };
        let before = signed.grant_to(RESEARCHER);
        // What changes is seen only where the view is known before.
        until(|| !seat.looks_for(who), "the researcher gets nothing of whom it is to get more").await?;
        desk.grant((&subject.wallet, SignerRole::Subject), signed, &more, key, before).await?;
        until(|| !seat.changes(who).is_empty(), "the researcher's view did not change").await?;
        tell_cut_offs(stage, screen)?;
        let Some(change) = seat.changes(who).pop() else { return Ok(()) };
        let name = plain(&subject.name);
        screen.event_now(&format!("{name} granted the researcher more, from hand-over {} on:", grouped(change.after + 1)))?;
        for line in changed(&change, &seat.schema) {
            screen.event_now(&format!("  {line}"))?;
        }
        screen.redraw(stage)
    }
}

fn changed(change: &Change, schema: &crate::veil::schema::Schema) -> Vec<String> {
    let path = |site: u32| schema.sites().get(site as usize).map_or("", |site| site.path.as_str());
    change.sites.iter().map(|(site, before, after)| format!("{} {before} → {after}", path(site.0))).collect()
}

/// Shows how things stand until an instant.
async fn watch_until(end: Instant, screen: &mut Screen, stage: &Stage) -> Result<(), CliError> {
    while Instant::now() < end {
        tokio::time::sleep_until(end.min(Instant::now() + screen.pause())).await;
        tell_cut_offs(stage, screen)?;
        screen.draw(stage)?;
    }
    Ok(())
}

/// Waits, for a bounded time, until something holds; `otherwise` says what it means if it does not.
async fn until(holds: impl Fn() -> bool, otherwise: &str) -> Result<(), CliError> {
    let deadline = Instant::now() + HAPPENS_MAX;
    while !holds() {
        if Instant::now() > deadline {
            return Err(CliError::found(otherwise));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Says who was cut off: the gateway does so rather than finish a frame of somebody who has withdrawn.
fn tell_cut_offs(stage: &Stage, screen: &mut Screen) -> Result<(), CliError> {
    for seat in stage.seats.iter().filter(|seat| seat.was_cut_off()) {
        let name = seat.recipient.name;
        screen.event_now(&format!("{name} was cut off in the middle of a frame of whoever withdrew, and subscribed again"))?;
    }
    Ok(())
}

/// Everybody in the feeds, with a wallet each.
fn subjects(feeds: &[Feed; 2]) -> Result<Vec<Subject>, CliError> {
    let mut all = Vec::new();
    for feed in feeds {
        let names = feed.subjects()?;
        if names.len() > SUBJECTS_MAX {
            return Err(CliError::broken(format!("more than {SUBJECTS_MAX} subjects of `{}`; name a smaller folder", feed.what.message())));
        }
        let subject = |(number, name)| Subject { name, what: feed.what, number, wallet: Wallet::generate(&mut entropy()) };
        all.extend(names.into_iter().enumerate().map(subject));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::schema::SiteId;
    use crate::veil::terms::Treatment;

    #[test]
    fn a_change_is_told_field_by_field() {
        let schema = schema(crate::cli::simulate::What::Patients).expect("a sample");
        let heart = schema.sites().iter().position(|site| site.path.as_str() == OPENED).expect("there");
        let change = Change { after: 7, sites: vec![(SiteId(heart as u32), Treatment::Encrypt, Treatment::Generalize)] };
        assert_eq!(changed(&change, &schema), ["vitals.heart_rate_bpm encrypt → generalize"]);
    }

    #[test]
    fn everybody_in_the_feeds_has_a_wallet_of_their_own() {
        use crate::cli::simulate::What;
        let all = subjects(&[Feed::simulated(What::Patients, 3), Feed::simulated(What::Turbines, 2)]).expect("made up");
        let numbers: Vec<(What, usize)> = all.iter().map(|subject| (subject.what, subject.number)).collect();
        assert_eq!(numbers, [(What::Patients, 0), (What::Patients, 1), (What::Patients, 2), (What::Turbines, 0), (What::Turbines, 1)]);
        assert_ne!(all[0].wallet.did(), all[1].wallet.did());
        assert_eq!(RECIPIENTS[cast::VENDOR].what, What::Turbines);
    }
}
