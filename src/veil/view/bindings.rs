//! What a program needs to know about one subject and one stream: keys, counters and constants.

use crate::veil::crypto::CryptoRng;
use crate::veil::crypto::pseudonym::{self, Domain};
use crate::veil::crypto::seal::Suite;
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{Origin, Purpose, SealKey, ViewId};
use crate::veil::policy::Holders;
use crate::veil::transform::group::{Announced, Epoch, GROUPS_MAX, Sealer};

use super::compile::Program;

/// Where the constants of a view come from.
pub struct BindingsSource<'a> {
    /// The gateway.
    pub origin: &'a Origin,
    /// The recipient, as consents name it.
    pub recipient: &'a str,
    /// The purpose.
    pub purpose: &'a Purpose,
    /// The subject's pseudonym key; without one, what should be pseudonymized is stripped.
    pub subject_key: Option<&'a Secret<32>>,
    /// Counts rotations of pseudonyms.
    pub pseudonym_epoch: u32,
    /// The view in announcements.
    pub view: ViewId,
    /// Counts key changes of the view.
    pub epoch: u64,
    /// The cipher suite of sealed groups.
    pub suite: Suite,
    /// The key holders of each set.
    pub holders: &'a dyn Fn(Holders) -> Vec<SealKey>,
}

impl std::fmt::Debug for BindingsSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BindingsSource({} for {})", self.recipient, self.purpose)
    }
}

/// One subject's and stream's part of a view.
#[derive(Debug)]
pub struct Bindings {
    pub(super) sealers: Vec<Sealer>,
    pub(super) pseudonyms: Option<Pseudonyms>,
}

/// Makes pseudonyms, remembering the last one of each site: identifiers repeat from frame to frame.
#[derive(Debug)]
pub(super) struct Pseudonyms {
    key: Secret<32>,
    recipient: String,
    purpose: Purpose,
    epoch: u32,
    last: Vec<Option<(Vec<u8>, [u8; 32])>>,
}

impl Pseudonyms {
    pub(super) fn of(&mut self, program: &Program, site: usize, value: &[u8]) -> Option<[u8; 32]> {
        let field = program.pseudonyms.get(site)?.path.as_str();
        let last = self.last.get_mut(site)?;
        if let Some((seen, made)) = last
            && seen == value
        {
            return Some(*made);
        }
        let domain = Domain { recipient: &self.recipient, purpose: self.purpose.as_str(), field, epoch: self.epoch };
        let made = pseudonym::pseudonym(&self.key, domain, value);
        *last = Some((value.to_vec(), made));
        Some(made)
    }
}

impl Bindings {
    /// Binds a program. The announcements are for the recipient, one a slot; `None` for a holder's key of low order.
    pub fn new(program: &Program, source: &BindingsSource<'_>, entropy: &mut impl CryptoRng) -> Option<(Self, Vec<(Epoch, Announced)>)> {
        let (mut sealers, mut announcements) = (Vec::new(), Vec::new());
        for (slot, holders) in (0u32..).zip(&program.slots) {
            let epoch = Epoch {
                origin: source.origin.clone(),
                view: source.view,
                slot,
                epoch: source.epoch,
                suite: source.suite,
                fingerprint: program.fingerprint,
            };
            let (sealer, announced) = epoch.begin(&(source.holders)(*holders), entropy)?;
            sealers.push(sealer);
            announcements.push((epoch, announced));
        }
        let pseudonyms = source.subject_key.map(|key| Pseudonyms {
            key: key.clone(),
            recipient: source.recipient.to_owned(),
            purpose: source.purpose.clone(),
            epoch: source.pseudonym_epoch,
            last: vec![None; program.pseudonyms.len()],
        });
        Some((Self { sealers, pseudonyms }, announcements))
    }

    /// Whether a key has sealed as much as it may: time for the next epoch.
    pub fn spent(&self) -> bool {
        self.sealers.iter().any(|sealer| sealer.sealed() >= GROUPS_MAX)
    }
}
