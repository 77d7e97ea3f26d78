//! What the gateway does by itself: it tells whom a demand is about when a gag has ended, and writes down what was released.

use std::sync::Arc;

use super::cases::{File, Open};
use super::release::Releasing;
use super::row::{ReleaseId, Row, What};
use super::{Ledger, Refused};
use crate::veil::consent::envelope::Envelope;
use crate::veil::demand::notice::{self, NoticeDocument};
use crate::veil::demand::release::{self, ReleaseDocument};
use crate::veil::demand::{Case, Field, Record};
use crate::veil::merkle::leaf::Act;
use crate::veil::name::{RecordId, UnixMs};
use crate::world::random;

/// After how long a release that goes on is put on record, and a new interval begins.
pub(super) const INTERVAL_MS: i64 = 3_600_000;
/// How whom a demand is about was told, where the gateway does it.
const HOW: &str = "notice of the gateway";

/// What is to be written.
#[derive(Default)]
struct Due {
    rows: Vec<Row>,
    logged: Vec<(Act, RecordId)>,
    told: Vec<RecordId>,
}

impl Ledger {
    /// Tells whom gags no longer keep from knowing, and writes down what was released. Call it at the start, every few seconds, and at the
    /// end.
    pub fn mind_desk(&self) -> Result<(), Refused> {
        let now = self.clock.now()?;
        let mut writer = self.sure_writer()?;
        let due = self.due(now);
        if due.rows.is_empty() {
            return Ok(());
        }
        self.keep_rows(&mut writer, now, due.rows, &due.logged)?;
        drop(writer);
        for demand in &due.told {
            self.settle_case(*demand, Act::Notice);
        }
        Ok(())
    }

    fn due(&self, now: UnixMs) -> Due {
        let mut due = Due::default();
        let cases = self.desk.cases();
        cases.all().filter(|file| file.case.tells(now)).for_each(|file| self.tell(&file.case, now, &mut due));
        let releasing = self.desk.releasing();
        for going_on in releasing.iter() {
            // Nobody else holds it: its caller went away before the stream was there.
            if Arc::strong_count(going_on) == 1 {
                going_on.end();
            }
            if let Some(file) = cases.get(&going_on.demand()) {
                self.note_release(file, going_on, now, &mut due);
            }
        }
        let cut_off = |release: &ReleaseId| !releasing.iter().any(|going_on| going_on.id == *release);
        for file in cases.all() {
            for (release, open) in file.open.iter().filter(|(release, _)| cut_off(release)) {
                self.finish(&file.case, *release, open, &mut due);
            }
        }
        due
    }

    fn tell(&self, case: &Case, now: UnixMs, due: &mut Due) {
        let document = NoticeDocument {
            gateway: self.config.origin.to_string(),
            author: self.desk.gateway().to_string(),
            at: now.to_string(),
            nonce: nonce(),
            demand: case.id().to_string(),
            how: HOW.to_owned(),
        };
        if let Some(envelope) = self.sign_own(notice::MEDIA_TYPE, &document, case, now) {
            due.logged.push((Act::Notice, envelope.id()));
            due.told.push(case.id());
            due.rows.push(Row { taken: now, what: What::Taken { envelope } });
        }
    }

    /// What of a release that goes on, or has just ended, is to be written down now.
    fn note_release(&self, file: &File, releasing: &Releasing, now: UnixMs, due: &mut Due) {
        let noted = releasing.noted();
        let (ended, frames) = releasing.so_far();
        let new = frames.saturating_sub(noted.frames);
        // A consent is for one release, which has one record.
        let whole = !releasing.warrant().once() && now.0.saturating_sub(noted.from.0) >= INTERVAL_MS;
        let is_due = ended || whole && new > 0;
        if !is_due {
            if new > noted.counted {
                let what = What::Counted { release: releasing.id, demand: releasing.demand(), frames: new };
                due.rows.push(Row { taken: now, what });
            }
            return;
        }
        let until = now.min(releasing.warrant().until()).max(noted.from);
        let fields: Vec<Field> = noted.fields.iter().cloned().collect();
        let decision = releasing.warrant().decision();
        self.record(&file.case, (releasing.id, decision), (noted.from, until, now), (new, &fields), ended, due);
    }

    /// A release that a crash cut off ends where it was counted last.
    fn finish(&self, case: &Case, release: ReleaseId, open: &Open, due: &mut Due) {
        let until = open.at.max(open.from);
        self.record(case, (release, open.decision), (open.from, until, until), (open.frames, &open.fields), true, due);
    }

    fn record(
        &self,
        case: &Case,
        (release, decision): (ReleaseId, RecordId),
        (from, until, now): (UnixMs, UnixMs, UnixMs),
        (frames, fields): (u64, &[Field]),
        ended: bool,
        due: &mut Due,
    ) {
        // What was handed over lies in the period of the decision, whenever it is written down.
        let terms = case.decision().and_then(|decision| decision.get().release.as_ref());
        let until = terms.map_or(until, |terms| until.min(terms.period.until)).max(from);
        let document = ReleaseDocument {
            gateway: self.config.origin.to_string(),
            author: self.desk.gateway().to_string(),
            at: now.to_string(),
            nonce: nonce(),
            demand: case.id().to_string(),
            decision: decision.to_string(),
            from: from.to_string(),
            until: until.to_string(),
            frames,
            fields: fields.iter().map(Field::document).collect(),
        };
        if let Some(envelope) = self.sign_own(release::MEDIA_TYPE, &document, case, now) {
            due.logged.push((Act::Release, envelope.id()));
            due.rows.push(Row { taken: now, what: What::Released { release, envelope, ended } });
        }
    }

    /// Signs what the gateway itself says about a case; none, where the case does not take it, which is said.
    fn sign_own(&self, media_type: &str, document: &impl serde::Serialize, case: &Case, now: UnixMs) -> Option<Envelope> {
        let payload = serde_json::to_vec(document).ok()?;
        let envelope = Envelope::sign(media_type, payload, &self.desk.sign);
        let record = Record::verify(&envelope, &self.config.origin);
        let refused = match record.map(|record| case.check(&record, now)) {
            Ok(Ok(())) => return Some(envelope),
            Ok(Err(refused)) => refused.code(),
            Err(refusal) => refusal.code(),
        };
        tracing::error!(code = refused, "the gateway's own record of a legal demand is not taken into its case");
        None
    }

    /// What is on disk of releases that go on need not be written again.
    pub(super) fn written(&self, row: &Row) {
        let mut releasing = self.desk.releasing();
        let of = |release: &ReleaseId| releasing.iter().find(|going_on| going_on.id == *release);
        match &row.what {
            What::Counted { release, frames, .. } => {
                if let Some(going_on) = of(release) {
                    going_on.noted().counted = *frames;
                }
            }
            What::Released { release, ended: false, envelope } => {
                if let Some(going_on) = of(release)
                    && let Ok(Record::Release(said)) = Record::verify(envelope, &self.config.origin)
                {
                    let mut noted = going_on.noted();
                    noted.frames += said.get().frames;
                    (noted.from, noted.counted) = (said.get().period.until, 0);
                }
            }
            What::Released { release, ended: true, .. } => releasing.retain(|going_on| going_on.id != *release),
            _ => {}
        }
    }
}

fn nonce() -> String {
    data_encoding::HEXLOWER.encode(&random::<16>())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{approved, begin, world};
    use crate::store::{Batch, Noted};
    use crate::veil::consent::testing::HOUR;
    use crate::veil::merkle::leaf::{Leaf, Salt};

    #[test]
    fn what_was_released_is_on_record_once_where_a_write_failed_after_it_got_to_disk() {
        let world = world();
        let ledger = &world.ledger;
        let demand = approved(&world, false);
        let frames =
            || -> Vec<u64> { ledger.demand(&demand).expect("a case").case.releases().iter().map(|release| release.get().frames).collect() };
        let releasing = begin(&world, demand).expect("it may");
        releasing.handed_over(7);
        ledger.clock().shift(HOUR);
        // The disk has the record of the hour, and the desk was told that it failed.
        let now = ledger.clock().now().expect("right");
        let due = ledger.due(now);
        let leaves = due.logged.iter().map(|(act, id)| Noted { leaf: Leaf::new(*act, now, &Salt::OPEN, id), of: None });
        let desk = due.rows.iter().map(|row| ledger.seal_row(row));
        let batch = Batch { desk: desk.collect(), leaves: leaves.collect(), ..Batch::default() };
        world.store.commit(&ledger.rest_key, &batch).expect("room");
        ledger.writer().unsure = Some(Vec::new());
        releasing.handed_over(2);
        ledger.mind_desk().expect("room");
        assert_eq!(frames(), [7], "an hour of it");
        releasing.end();
        ledger.mind_desk().expect("room");
        assert_eq!(frames(), [7, 2]);
    }
}
