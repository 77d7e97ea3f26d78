//! What may happen, drawn at random. A list of steps is all that a run is made of, so that a run that fails is drawn again from its
//! seed, and stays one when steps are left out.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Who changes their mind, and how many may speak for each.
pub(super) const PEOPLE: usize = 3;
pub(super) const DELEGATES: usize = 2;
/// Recipients as bits of a grant.
pub(super) const CLINICIAN: u8 = 1;
pub(super) const RESEARCHER: u8 = 2;
pub(super) const HOSPITAL: u8 = 4;
/// Purposes as bits of a grant.
pub(super) const CARE: u8 = 1;
pub(super) const RESEARCH: u8 = 2;
/// What a grant permits or forbids beside the number of a frame, as bits.
pub(super) const NOTE: u8 = 1;
pub(super) const HEART: u8 = 2;
/// Streams that are read slowly.
pub(super) const SLOW: usize = 2;

/// What a grant says.
#[derive(Clone, Debug)]
pub(super) struct Says {
    pub(super) recipients: u8,
    pub(super) purposes: u8,
    pub(super) permits: u8,
    pub(super) forbids: u8,
    pub(super) refuses: bool,
    /// From 08:00 to 16:00 UTC only.
    pub(super) hours: bool,
    pub(super) begins_h: i64,
    pub(super) lasts_h: i64,
    pub(super) uses: Option<u64>,
    /// Instead of which of the grants so far.
    pub(super) replaces: Option<usize>,
}

/// What one person, or somebody for them, hands in.
#[derive(Clone, Debug)]
pub(super) enum Hand {
    Grant(Says),
    GrantBy { under: usize, says: Says },
    Delegate { to: usize, lasts_h: i64 },
    End { which: usize, by_delegate: bool },
    Withdraw { which: usize, under: Option<usize> },
    WithdrawAll,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The source sends a frame.
    Publish { person: usize, large: bool },
    /// The caller says something on an open call; it comes back.
    Say { person: usize },
    /// Somebody slow reads.
    Read { which: usize, frames: usize },
    /// Somebody changes what others may have: beside everything else, one after the other for each person.
    Change { person: usize, hand: Hand },
    /// The clock of the gateway goes on by minutes.
    Wait { minutes: i64 },
    /// Everybody gets on with what they have.
    Pause,
}

fn says() -> impl Strategy<Value = Says> {
    let who = (
        prop_oneof![3 => Just(7u8), 2 => 1u8..8],
        prop_oneof![3 => Just(3u8), 2 => 1u8..4],
        prop_oneof![3 => Just(3u8), 2 => 0u8..4],
        prop_oneof![3 => Just(0u8), 1 => 1u8..4],
        prop::bool::weighted(0.05),
    );
    let when = (
        prop::bool::weighted(0.25),
        prop_oneof![5 => Just(0i64), 1 => 1i64..4],
        1i64..30,
        prop::option::weighted(0.2, prop_oneof![1u64..12, 12u64..90]),
        prop::option::weighted(0.5, 0usize..8),
    );
    (who, when).prop_map(|((recipients, purposes, permits, forbids, refuses), (hours, begins_h, lasts_h, uses, replaces))| Says {
        recipients,
        purposes,
        permits,
        forbids,
        refuses,
        hours: hours && !refuses,
        begins_h: if replaces.is_some() || refuses { 0 } else { begins_h },
        lasts_h,
        uses: uses.filter(|_| !refuses),
        replaces,
    })
}

fn hand() -> impl Strategy<Value = Hand> {
    prop_oneof![
        6 => says().prop_map(Hand::Grant),
        2 => (0usize..4, says()).prop_map(|(under, says)| Hand::GrantBy { under, says }),
        1 => (0..DELEGATES, 1i64..40).prop_map(|(to, lasts_h)| Hand::Delegate { to, lasts_h }),
        1 => (0usize..4, any::<bool>()).prop_map(|(which, by_delegate)| Hand::End { which, by_delegate }),
        2 => (0usize..8, prop::option::weighted(0.3, 0usize..4)).prop_map(|(which, under)| Hand::Withdraw { which, under }),
        1 => Just(Hand::WithdrawAll),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        150 => (0..PEOPLE, prop::bool::weighted(0.02)).prop_map(|(person, large)| Step::Publish { person, large }),
        30 => (0..PEOPLE).prop_map(|person| Step::Say { person }),
        6 => (0..SLOW, 1usize..12).prop_map(|(which, frames)| Step::Read { which, frames }),
        16 => (0..PEOPLE, hand()).prop_map(|(person, hand)| Step::Change { person, hand }),
        3 => prop_oneof![3 => 1i64..90, 1 => 90i64..600].prop_map(|minutes| Step::Wait { minutes }),
        3 => Just(Step::Pause),
    ]
}

/// The steps of a seed.
pub(super) fn drawn(seed: u64, count: usize) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    prop::collection::vec(step(), count).new_tree(&mut runner).expect("steps are never refused").current()
}
