//! How long is a gateway away that was killed, when its log is long?

use std::path::Path;
use std::time::{Duration, Instant};

use twinveil::config::Config;
use twinveil::log::{Log, Signer};
use twinveil::store::rest::RestKey;
use twinveil::store::{Batch, Noted, Store};
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::merkle::leaf::{Act, Leaf, Salt};
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::name::{RecordId, UnixMs};

use super::{Folder, Gateway, HOSPITAL, grant, new_wallet, offline};

/// Leaves that are made durable together.
const TOGETHER: u64 = 50_000;

/// Fills store and log up to so many leaves, as a gateway would have over years; nobody's records are behind them.
fn fill(dir: &Path, leaves: u64) {
    let config = Config::load_with(&dir.join("twinveil.toml"), |_| None).unwrap();
    let store = Store::open(&config.store.dir).unwrap();
    let (key, at_rest) = (SignKey::from_seed(&config.keys.sign), RestKey::new(&config.keys.store));
    let verifier = VerifierKey::new(config.origin.as_str(), key.did()).unwrap();
    let (log, _) = Log::open_folder(&config.log.dir, None, Signer { key, verifier }, Duration::ZERO).unwrap();
    while log.size() < leaves {
        let (first, count) = (log.size(), TOGETHER.min(leaves - log.size()));
        let noted = (first..first + count).map(|number| {
            let mut object = [0; 32];
            object[..8].copy_from_slice(&number.to_be_bytes());
            Noted { leaf: Leaf::new(Act::Consent, UnixMs(1), &Salt([1; 32]), &RecordId(object)), of: None }
        });
        let batch = Batch { leaves: noted.collect(), logged: first, ..Batch::default() };
        assert_eq!(store.commit(&at_rest, &batch).unwrap(), first, "store and log count alike");
        for (number, noted) in (first..).zip(&batch.leaves) {
            log.push(number, noted.leaf).unwrap();
        }
        log.settle(first + count - 1).unwrap();
    }
}

#[test]
fn a_gateway_with_a_long_log_is_back_soon_after_a_kill_and_goes_on_with_the_same_log() {
    let leaves = if std::env::var_os("TWINVEIL_LONG").is_some() { 1_000_000 } else { 20_000 };
    let folder = Folder::new("long-log");
    let dir = &folder.0;
    new_wallet(dir);
    let gateway = Gateway::start(dir);
    gateway
        .done(dir, &["wallet", "enrol", "--wallet", "w.json", "--source", HOSPITAL, "--value", "p-1", "--source-key", "keys/hospital.key"]);
    drop(gateway);
    fill(dir, leaves);
    offline(dir, &["log", "verify"]);
    std::fs::copy(dir.join("log/checkpoint"), dir.join("older.checkpoint")).unwrap();
    // Killed in the middle of a day, not after a fill: with a batch behind the last full tile.
    let gateway = Gateway::start(dir);
    gateway.done(dir, &grant("dpv:ServiceProvision", "7"));
    drop(gateway);
    let began = Instant::now();
    let gateway = Gateway::start(dir);
    let away = began.elapsed();
    println!("{{\"restart_leaves\":{leaves},\"restart_ms\":{}}}", away.as_millis());
    assert!(gateway.done(dir, &["wallet", "standing", "--wallet", "w.json"]).contains(" live "));
    gateway.done(dir, &["wallet", "withdraw", "--wallet", "w.json", "--all"]);
    let audit = offline(dir, &["log", "verify", "--older", "older.checkpoint"]);
    assert!(audit.starts_with(&format!("ok {}", leaves + 2)), "{audit}");
    if away > Duration::from_secs(2) {
        println!("!!!!!!!! a restart at {leaves} leaves took {away:?}: more than two seconds");
    }
}
