//! A store as a gateway would have written it, made faster: records are signed on all cores, and thousands go into one transaction. What
//! is in it is checked by those who use it: a start adds up every row, and whoever is read has their signatures verified.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use twinveil::ledger::{LedgerConfig, fact};
use twinveil::log::{Log, Signer};
use twinveil::store::rest::{AtRest, Kept, RestKey};
use twinveil::store::{Batch, Noted, Store};
use twinveil::veil::consent::enrolment;
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::consent::record::MEDIA_TYPE;
use twinveil::veil::crypto::hash::sha256;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::demand::Register;
use twinveil::veil::merkle::leaf::{Act, Leaf, Salt};
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::name::{Handle, Origin, RecordId, Spiffe, UnixMs};
use twinveil::world;

/// How many subjects go into one transaction.
const GROUP: u64 = 8_192;
const ORIGIN: &str = "bench.example/subjects";
const DAY_MS: i64 = 86_400_000;

/// So many people, and where their store is; it goes with this unless it is kept.
pub(crate) struct People {
    /// How many.
    pub(crate) count: u64,
    /// The data folder.
    pub(crate) folder: PathBuf,
    /// Whether it stays.
    pub(crate) kept: bool,
}

impl Drop for People {
    fn drop(&mut self) {
        if !self.kept {
            let _left_over = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Who sends their frames.
pub(crate) fn source() -> Spiffe {
    Spiffe::parse("spiffe://hospital.example/monitor").expect("an id")
}

/// Whom both consents are for.
pub(crate) fn recipient() -> Spiffe {
    Spiffe::parse("spiffe://lab.example/reader").expect("an id")
}

/// What the source calls one of them.
pub(crate) fn value(n: u64) -> String {
    format!("patient-{n}")
}

fn seed(what: &[u8], n: u64) -> Secret<32> {
    Secret::take(&mut sha256(&[what, &n.to_be_bytes()]))
}

impl People {
    /// The gateway that has them.
    pub(crate) fn config(&self) -> LedgerConfig {
        LedgerConfig {
            origin: Origin::new(ORIGIN),
            handle_key: seed(b"handle", 0),
            store_key: seed(b"store", 0),
            sign: Arc::new(SignKey::from_seed(&seed(b"log", 0))),
            persons: Register::new(SignKey::from_seed(&seed(b"log", 0)).did(), Vec::new()).expect("nobody"),
            operators: Vec::new(),
            sources: Vec::new(),
            disclosure_ms: 3_600_000,
        }
    }

    /// Its log.
    pub(crate) fn log(&self) -> Arc<Log> {
        let key = SignKey::from_seed(&seed(b"log", 0));
        let verifier = VerifierKey::new(ORIGIN, key.did()).expect("a name");
        Log::open_folder(&self.folder.join("log"), None, Signer { key, verifier }, Duration::ZERO).expect("a folder of our own").0
    }

    /// Writes the store and the log.
    pub(crate) fn write(&self) {
        let (store, log) = (Store::open(&self.folder.join("store")).expect("a folder of our own"), self.log());
        let config = self.config();
        let (rest_key, now) = (RestKey::new(&config.store_key), world::Clock::new().now().expect("right"));
        store.commit(&rest_key, &Batch { origin: Some(ORIGIN.into()), clock: Some(now), ..Batch::default() }).expect("room");
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        for first in (0..self.count).step_by(GROUP as usize) {
            let last = self.count.min(first + GROUP);
            let part = (last - first).div_ceil(cores).max(1);
            let mut batches: Vec<Batch> = std::thread::scope(|scope| {
                let parts = (first..last).step_by(part as usize).map(|from| {
                    let (config, rest_key) = (&config, &rest_key);
                    scope.spawn(move || (from..last.min(from + part)).flat_map(|n| person(n, config, rest_key, now)).collect::<Vec<_>>())
                });
                let parts: Vec<_> = parts.collect();
                parts.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
            });
            if let Some(last) = batches.last_mut() {
                last.logged = log.size();
            }
            let leaf = store.commit_all(&rest_key, &batches).expect("room");
            let mut next = leaf;
            for noted in batches.iter().flat_map(|batch| &batch.leaves) {
                log.push(next, noted.leaf).expect("in order");
                next += 1;
            }
            log.settle(next - 1).expect("room");
        }
        store.commit(&rest_key, &Batch { logged: log.size(), ..Batch::default() }).expect("room");
    }
}

/// Somebody's enrolment and two consents, one batch each, as the ledger writes them.
fn person(n: u64, config: &LedgerConfig, rest_key: &RestKey, now: UnixMs) -> Vec<Batch> {
    let key = SignKey::from_seed(&seed(b"person", n));
    let did = key.did();
    let mut at_rest = AtRest { key: seed(b"pseudonyms", n), enrolled: true, kept: Kept::default() };
    let handle: Handle = enrolment::handle(&config.handle_key, &source(), value(n).as_bytes());
    let leaf = |act, record: RecordId| {
        let salt = Salt::of(&seed(b"pseudonyms", n), &record);
        vec![Noted { leaf: Leaf::new(act, now, &salt, &record), of: Some((did, record)) }]
    };
    // Of an enrolment only the handle rests, and that it is in the log.
    let enrolled = RecordId(sha256(&[b"enrolment", &n.to_be_bytes()]));
    let mut batches = vec![Batch { enrolment: Some((handle, did)), leaves: leaf(Act::Enrolment, enrolled), ..Batch::default() }];
    let mut prev = None;
    for seq in 1..=2 {
        let envelope = Envelope::sign(MEDIA_TYPE, consent(&did.to_string(), seq, prev, now), &key);
        let fact = fact::write(now, &envelope);
        at_rest.kept = at_rest.kept.and(&fact);
        prev = Some(envelope.id());
        let leaves = leaf(Act::Consent, envelope.id());
        batches.push(Batch { facts: vec![fact], record: prev, leaves, ..Batch::default() });
    }
    // Facts are a subject's by the row beside them; the last says what all come to.
    let row = rest_key.seal_subject(&did, &at_rest, &mut world::entropy());
    batches.iter_mut().for_each(|batch| batch.subject = Some((did, row.clone())));
    batches
}

fn consent(did: &str, seq: u64, prev: Option<RecordId>, now: UnixMs) -> Vec<u8> {
    let category = if seq == 1 { "health" } else { "biometric" };
    let mut document = json!({
        "record_id": format!("00000000-0000-4000-8000-{seq:012}"),
        "subject": did,
        "signer": {"key": did, "role": "subject"},
        "gateway": ORIGIN,
        "seq": seq,
        "status": "ConsentGiven",
        "method": "signed in the wallet",
        "at": now.to_string(),
        "expires": UnixMs(now.0 + 365 * DAY_MS).to_string(),
        "notice": {"uri": "https://hospital.example/notice", "sha256": "ab".repeat(32), "lang": "en"},
        "controllers": [{"id": "https://hospital.example", "name": "Hospital", "address": "1 Main Street",
                         "contact": "dpo@hospital.example", "type": "Hospital", "role": "DataController"}],
        "recipients": [{"spiffe": recipient().as_str()}],
        "purposes": ["dpv:AcademicResearch"],
        "storage": {"places": ["DE"], "retention": "P6M"},
        "jurisdiction": ["DE"],
        "withdrawal": {"uri": "https://hospital.example/withdraw", "pre_signed": false},
        "rules": [{"effect": "permit", "match": {"category": category}, "treatment": "keep"}],
    });
    if let Some(prev) = prev {
        document["prev"] = json!(prev.to_string());
    }
    document.to_string().into_bytes()
}
