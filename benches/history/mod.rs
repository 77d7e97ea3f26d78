//! Somebody whose frames are counted.

use std::sync::Arc;
use std::time::Duration;

use twinveil::ledger::disclosing::{Counting, Says, Terms};
use twinveil::ledger::{Ledger, LedgerConfig};
use twinveil::log::{Log, Signer};
use twinveil::store::Store;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::demand::Register;
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::name::{Did, Origin, SchemaName, Spiffe, UnixMs};
use twinveil::veil::terms::purpose;
use twinveil::world::Clock;

const ORIGIN: &str = "gateway.example.org/bench";

/// As a stream has it that shows a subject; `None` where there is no folder for a log.
pub(crate) fn counting() -> Option<Counting> {
    let folder = std::env::temp_dir().join(format!("twinveil-bench-history-{}", std::process::id()));
    let key = SignKey::from_seed(&Secret::take(&mut [9; 32]));
    let verifier = VerifierKey::new(ORIGIN, key.did()).ok()?;
    let log = Log::open_folder(&folder, None, Signer { key, verifier }, Duration::ZERO).ok()?.0;
    let config = LedgerConfig {
        origin: Origin::new(ORIGIN),
        handle_key: Secret::take(&mut [5; 32]),
        store_key: Secret::take(&mut [7; 32]),
        sign: Arc::new(SignKey::from_seed(&Secret::take(&mut [9; 32]))),
        persons: Register::new(SignKey::from_seed(&Secret::take(&mut [9; 32])).did(), Vec::new()).ok()?,
        operators: Vec::new(),
        sources: Vec::new(),
        disclosure_ms: 3_600_000,
    };
    let ledger = Ledger::open(Arc::new(Store::in_memory().ok()?), log, config, Arc::new(Clock::new())).ok()?;
    let says = Says {
        recipient: Spiffe::parse("spiffe://example.org/recipient/lab").ok()?,
        purpose: purpose("dpv:ScientificResearch")?,
        schema: SchemaName::new("bench.Vitals"),
        fields: [].into(),
        records: Vec::new(),
        warrant: None,
        hidden_until: None,
    };
    let counting = ledger.begin_counting(Did([1; 32]), Terms::new(&[0; 32], says), UnixMs(0));
    // Nothing more is written to it.
    let _best_effort = std::fs::remove_dir_all(folder);
    counting
}
