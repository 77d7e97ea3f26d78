//! What everything that carries data through one gateway shares.

use std::sync::Arc;

use super::hub::Hub;
use super::live::Live;
use super::places::Calls;
use super::room::Room;
use super::streams::Streams;
use super::views::ViewMaker;
use crate::ledger::Subject;
use crate::status::Refuse;
use crate::telemetry::Counters;
use crate::traces::Traces;
use crate::veil::name::Spiffe;
use crate::world::Clock;

/// What streams of one gateway share.
#[derive(Debug)]
pub struct Shared {
    /// Makes views.
    pub maker: ViewMaker,
    /// What a reload replaces.
    pub live: Arc<Live>,
    /// Brings frames.
    pub hub: Hub,
    /// Calls that are open, of every kind but these streams.
    pub calls: Arc<Calls>,
    /// For large messages that are half-way.
    pub room: Arc<Room>,
    /// For what batches keep that wait for recipients.
    pub kept: Arc<Room>,
    /// Tells the time.
    pub clock: Arc<Clock>,
    /// Every open stream.
    pub streams: Arc<Streams>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Where traces go, if anywhere.
    pub traces: Option<Traces>,
}

impl Shared {
    /// Whom a source's value means. Where the records can't be read nothing is known of what they agreed to, and nothing goes on.
    pub(super) fn subject_of(&self, source: &Spiffe, value: &[u8]) -> Result<Option<Arc<Subject>>, Refuse> {
        self.maker.ledger().subject_of(source, value).map_err(|refused| {
            tracing::error!(code = refused.code(), "the records of a subject could not be read: nothing about it is sent");
            Refuse::StoreDown
        })
    }
}
