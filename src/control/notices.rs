//! What happens to a subject's grants, told as it happens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use tonic::Status;

use super::shown::{USED_UP, refuse, viewer};
use crate::ledger::{Ledger, Watching};
use crate::proto::v1;
use crate::status::Refuse;
use crate::veil::consent::notice::{Notice, Told};
use crate::veil::consent::query::Query;
use crate::veil::name::{RecordId, UnixMs};

/// How long it sleeps at the most before it looks at the clock.
const IDLE_MS_MAX: i64 = 60_000;

/// Tells until the wallet goes, the right to view ends, or the gateway stops.
pub(super) async fn tell(ledger: Arc<Ledger>, query: Query, mut watching: Watching, past: bool, out: Sender<Result<v1::Notice, Status>>) {
    let mut told = Told::NOTHING;
    let mut first = true;
    // A standing does not know what was used up, and nobody keeps when.
    let mut used_up = BTreeSet::new();
    let mut demands_told = BTreeSet::new();
    loop {
        let Ok(now) = ledger.clock().now() else {
            let _gone = out.send(Err(Refuse::ClockBehind.into())).await;
            return;
        };
        // A change after this wakes it, as it is read before.
        let standing = match ledger.standing_of(&query.subject) {
            Ok(standing) => standing,
            Err(refused) => {
                let _gone = out.send(Err(refuse(&refused))).await;
                return;
            }
        };
        let view = match viewer(&standing, &query, now) {
            Ok(view) => view,
            Err(refusal) => {
                let _gone = out.send(Err(refuse(&refusal.into()))).await;
                return;
            }
        };
        if past || !first {
            for notice in standing.notices(told, now).into_iter().filter(|notice| view.shows(notice.record)) {
                if out.send(Ok(shown(&notice))).await.is_err() {
                    return;
                }
            }
        }
        for grant in standing.grants() {
            let spent = grant.consent().max_uses.is_some() && grant.permits_after(now) && ledger.is_spent(&grant.id());
            let is_news = spent && used_up.insert(grant.id()) && (past || !first) && view.shows(grant.id());
            if is_news && out.send(Ok(spent_notice(grant.id(), now))).await.is_err() {
                return;
            }
        }
        let demands = if view.shows_demands() { ledger.demands_told(&query.subject) } else { Vec::new() };
        for (demand, at) in demands {
            let is_news = demands_told.insert(demand) && (past || !first);
            if is_news && out.send(Ok(demand_notice(demand, at))).await.is_err() {
                return;
            }
        }
        (told, first) = (standing.told(now), false);
        let next = standing.next_notice(now).0.saturating_sub(now.0).clamp(1, IDLE_MS_MAX);
        tokio::select! {
            goes_on = watching.changed() => if !goes_on {
                let _gone = out.send(Err(Refuse::Shutdown.into())).await;
                return;
            },
            () = out.closed() => return,
            () = tokio::time::sleep(Duration::from_millis(next.unsigned_abs())) => {}
        }
    }
}

fn demand_notice(demand: RecordId, at: UnixMs) -> v1::Notice {
    v1::Notice { at_ms: at.0, what: "demand".to_owned(), record: Bytes::copy_from_slice(&demand.0), by: String::new() }
}

fn spent_notice(record: RecordId, now: UnixMs) -> v1::Notice {
    v1::Notice { at_ms: now.0, what: USED_UP.to_owned(), record: Bytes::copy_from_slice(&record.0), by: String::new() }
}

fn shown(notice: &Notice) -> v1::Notice {
    v1::Notice {
        at_ms: notice.at.0,
        what: notice.what.word().to_owned(),
        record: Bytes::copy_from_slice(&notice.record.0),
        by: notice.by.map(|by| by.to_string()).unwrap_or_default(),
    }
}
