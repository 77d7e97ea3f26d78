//! What a change of standing waits for.

use crate::veil::name::{Did, Purpose, Spiffe, StreamId};

/// Where open streams wait for a new standing: the data plane implements it.
pub trait Barrier: Send + Sync {
    /// Returns when no stream hands over anything of the subject under an older standing; says where each stands.
    fn settle(&self, subject: &Did) -> Vec<StreamSettled>;

    /// The same for every subject: the operator's mandate changed.
    fn settle_all(&self) -> Vec<StreamSettled>;

    /// Where the streams stand that carry the subject now; changes nothing.
    fn carrying(&self, subject: &Did) -> Vec<StreamSettled>;
}

/// Where a stream stood when a change came into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSettled {
    /// As in the stream's header.
    pub stream: StreamId,
    /// Who receives it.
    pub recipient: Spiffe,
    /// What for.
    pub purpose: Purpose,
    /// Frames with a higher hand-over number were made under the new standing.
    pub last_handover: u64,
    /// The number of the subject's view in the stream; 0 where the change was about no single subject.
    pub view: u32,
}
