//! Is everything that the gateway took in its log, and does the log hold whoever looks at it: wallets, whoever copies it over HTTP,
//! and Go's own reader of such logs?

use std::path::{Path, PathBuf};
use std::process::Command;

use tonic::Code;
use twinveil::client::dsse;
use twinveil::client::receipts::{LogBook, Receipt};
use twinveil::client::wallet::Wallet;
use twinveil::log::Copy;
use twinveil::proto::v1::{ReceiptsRequest, SubmitRequest, SubmitResponse};
use twinveil::veil::consent::query::Asks;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::crypto::hash::sha256;
use twinveil::veil::merkle::Doubt;
use twinveil::veil::merkle::checkpoint::Checkpoint;
use twinveil::veil::merkle::leaf::{Act, Salt};
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::merkle::tiles;
use twinveil::veil::name::RecordId;

use crate::consent::CARE;
use crate::harness::{Folder, Given, World, soon};
use crate::strangers::program;
use crate::vectors::place;

/// The log's public key, as `twinveil init` wrote it.
fn key(folder: &Folder) -> VerifierKey {
    VerifierKey::parse(std::fs::read_to_string(folder.join("log.vkey")).unwrap().trim_end()).unwrap()
}

fn log(folder: &Folder) -> Copy {
    Copy::open(&folder.join("log"))
}

fn receipt(world: &World, record: &[u8], given: Option<&twinveil::proto::v1::Receipt>) -> Receipt {
    let given = given.expect("every answer has one");
    let record = RecordId::parse(&data_encoding::HEXLOWER.encode(record)).unwrap();
    Receipt::check(record, &given.salt, &given.proof, &key(&world.folder)).expect("it holds")
}

/// Somebody who was asked for their receipts.
async fn receipts(world: &World, wallet: &Wallet) -> LogBook {
    let mut book = LogBook::new(key(&world.folder));
    let query = wallet.query(&Asks::Receipts, &world.origin(), world.now()).unwrap();
    let request = ReceiptsRequest { query: Some(dsse::to_proto(&query)), from: 0 };
    let answer = soon("receipts", world.consents().receipts(request)).await.expect("their own").into_inner();
    for kept in answer.receipts {
        book.keep(receipt(world, &kept.record, kept.receipt.as_ref()));
    }
    book
}

async fn granted(world: &World, wallet: &Wallet) -> SubmitResponse {
    let record = world.signed(wallet, SignerRole::Subject, &Given::to(world, &["clinician"], CARE)).await;
    world.submit(&record).await.expect("taken")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_a_receipt_that_holds_offline_and_can_be_asked_for_again() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let answer = granted(&world, &ada).await;
    let first = receipt(&world, &answer.record, answer.receipt.as_ref());
    assert_eq!(first.act, Act::Consent);
    let gone = world.withdraw_all(&ada).await;
    let second = receipt(&world, &gone.record, gone.receipt.as_ref());
    assert_eq!((second.act, second.entry() > first.entry()), (Act::Withdrawal, true));
    let (operator, mandate) = world.mandate(&Given::to(&world, &["vendor"], "dpv:TechnicalServiceProvision")).await;
    let book = receipts(&world, &ada).await;
    let acts: Vec<_> = book.receipts().iter().map(|receipt| receipt.act).collect();
    assert_eq!((acts, book.doubts()), (vec![Act::Enrolment, Act::Consent, Act::Withdrawal], Vec::new()));
    let mandates = receipts(&world, &operator).await;
    assert_eq!(mandates.receipts().iter().map(|receipt| receipt.record).collect::<Vec<_>>(), [mandate]);
    // Nobody gets another's.
    let query = ada.query(&Asks::Standing, &world.origin(), world.now()).unwrap();
    let request = ReceiptsRequest { query: Some(dsse::to_proto(&query)), from: 0 };
    assert_eq!(world.consents().receipts(request).await.expect_err("another question").code(), Code::InvalidArgument);
    // After a restart the log goes on, and the receipts are the same entries.
    let world = world.restart().await;
    let again = receipts(&world, &ada).await;
    let entries = |book: &LogBook| book.receipts().iter().map(|receipt| (receipt.record, receipt.entry())).collect::<Vec<_>>();
    assert_eq!(entries(&again), entries(&book));
    let audit = log(&world.folder).audit(&key(&world.folder)).expect("a log");
    assert_eq!((audit.personal, audit.institutional), (4, 4), "policy, two schemas, key: once, as nothing changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_can_copy_the_log_over_http_and_audit_the_copy() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    granted(&world, &ada).await;
    let copied = Folder::new();
    let body = |answer: &str| answer.split_once("\r\n\r\n").expect("headers").1.to_owned();
    let checkpoint = world.http("/checkpoint").await;
    assert!(checkpoint.starts_with("HTTP/1.1 200 ") && checkpoint.contains("content-type: text/plain; charset=utf-8"), "{checkpoint}");
    assert!(checkpoint.contains("cache-control: no-cache"), "{checkpoint}");
    let head = Checkpoint::open(body(&checkpoint).as_bytes(), &key(&world.folder)).expect("signed").head;
    std::fs::write(copied.join("checkpoint"), body(&checkpoint)).unwrap();
    for tile in tiles::all(head.size) {
        let (headers, bytes) = world.http_bytes(&format!("/{tile}")).await;
        assert!(headers.starts_with("HTTP/1.1 200 ") && headers.contains("immutable"), "{tile}: {headers}");
        let file = copied.join(&tile.to_string());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let audit = Copy::open(&copied.0).audit(&key(&world.folder)).expect("a log");
    assert_eq!((audit.head, audit.personal), (head, 2));
    for path in
        ["/tile/0/001", "/tile/0/000.p/255", "/tile/0/../../journal", "/journal", "/tile/journal", "/.lock", "/tile/", "/store/facts.redb"]
    {
        assert!(world.http(path).await.starts_with("HTTP/1.1 404 "), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_puts_in_force_is_in_the_log_before_it_is_in_force() {
    let world = World::start().await;
    let find = |world: &World| {
        let (copy, key) = (log(&world.folder), key(&world.folder));
        let object = RecordId(sha256(&[&std::fs::read(world.folder.join("policy.cedar")).unwrap()]));
        copy.find(&copy.head(&key).unwrap(), |leaf| leaf.is_of(Act::Policy, &Salt::OPEN, &object)).unwrap()
    };
    assert!(find(&world).is_some());
    world.edit("policy.cedar", |text| text + "\n// another one\n");
    assert_eq!(find(&world), None);
    world.reload().await.expect("a good one");
    let entry = find(&world).expect("in the log");
    world.reload().await.expect("the same one");
    assert_eq!(find(&world), Some(entry), "once");
    world.edit("policy.cedar", |text| text + "forbid (everything);");
    world.reload().await.expect_err("no policy");
    assert_eq!(find(&world), None, "what is refused is not in force");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn put_back(folder: &Folder, names: &[&str]) {
    for name in names {
        std::fs::remove_dir_all(folder.join(name)).unwrap();
        copy(&folder.join(&format!("backup/{name}")), &folder.join(name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_on_yesterdays_backup_does_not_start_where_anything_knows_better() {
    let elsewhere = Folder::new();
    let world = World::with(&format!("[log]\nanchor = {:?}\n", elsewhere.join("head"))).await;
    let ada = world.patient("ada").await;
    granted(&world, &ada).await;
    let (folder, clock) = world.stop().await;
    for name in ["store", "log"] {
        copy(&folder.join(name), &folder.join(&format!("backup/{name}")));
    }
    let world = World::at(folder, clock).await.expect("as it was");
    let ben = world.patient("ben").await;
    granted(&world, &ben).await;
    let (folder, clock) = world.stop().await;
    for name in ["store", "log"] {
        copy(&folder.join(name), &folder.join(&format!("newest/{name}")));
    }
    let mut at = Some(folder);
    for (names, code) in [(&["store"][..], "TV-L11"), (&["log"], "TV-M13"), (&["store", "log"], "TV-M13")] {
        let folder = at.take().unwrap();
        put_back(&folder, names);
        let path = folder.0.clone();
        // The folder outlives the gateway that does not start in it.
        let kept = Folder::new();
        copy(&path, &kept.0);
        let error = World::at(folder, clock.clone()).await.map(drop).expect_err("an older copy");
        assert_eq!(error.code(), code, "{names:?}: {error}");
        for name in ["store", "log"] {
            std::fs::remove_dir_all(kept.join(name)).unwrap();
            copy(&kept.join(&format!("newest/{name}")), &kept.join(name));
        }
        at = Some(kept);
    }
    World::at(at.unwrap(), clock).await.expect("the newest copies");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_with_a_newer_receipt_stops_a_gateway_that_was_set_back() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let (folder, clock) = world.stop().await;
    for name in ["store", "log"] {
        copy(&folder.join(name), &folder.join(&format!("backup/{name}")));
    }
    let world = World::at(folder, clock).await.expect("as it was");
    let newest = granted(&world, &ada).await.receipt.expect("a receipt");
    let (folder, clock) = world.stop().await;
    put_back(&folder, &["store", "log"]);
    let world = World::at(folder, clock).await.expect("nothing here knows better");
    let record = world.signed(&ada, SignerRole::Subject, &Given::to(&world, &["clinician"], CARE)).await;
    let seen = newest.proof.split_once("\n\n").expect("a checkpoint").1.to_owned();
    let request = SubmitRequest { record: Some(dsse::to_proto(&record)), seen };
    let refused = soon("an answer", world.consents().submit(request)).await.expect_err("set back");
    assert!(refused.message().starts_with("TV-L10") && refused.message().contains("set back"), "{refused}");
    let (key, head) = (key(&world.folder), log(&world.folder).head(&key(&world.folder)).expect("a log"));
    assert!(world.submit(&record).await.is_err(), "from now on");
    assert_eq!(log(&world.folder).head(&key).expect("a log"), head, "nothing more is signed");
}

/// Go's reader of such logs, built from the published checker.
struct Go {
    program: PathBuf,
    _folder: Folder,
}

impl Go {
    fn build() -> Option<Self> {
        let source = place("c2sp/verify_log.go")?;
        let mut go = program("go")?;
        let packages = Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog");
        if !packages.exists() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "golang-golang-x-mod-dev is not installed, and this is CI");
            eprintln!("SKIPPED what Go's own packages say of the log: they are not installed (tests/run installs them)");
            return None;
        }
        let folder = Folder::new();
        let program = folder.join("verify_log");
        go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOCACHE", folder.join("cache")).env("GOFLAGS", "");
        let built = go.arg("build").arg("-o").arg(&program).arg(source).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Some(Self { program, _folder: folder })
    }

    /// What it says, and whether it believes the log.
    fn says(&self, log: &Path, key: &Path, older: Option<&Path>) -> (bool, String) {
        let said = Command::new(&self.program).arg(log).arg(key).args(older).output().unwrap();
        (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gos_own_packages_believe_the_log_and_nothing_that_was_changed_in_it() {
    let Some(go) = Go::build() else { return };
    let world = World::with("[log]\nbatch_ms = 0\n").await;
    let (dir, vkey, older) = (world.folder.join("log"), world.folder.join("log.vkey"), world.folder.join("older"));
    let ada = world.patient("ada").await;
    std::fs::copy(dir.join("checkpoint"), &older).unwrap();
    let size = log(&world.folder).head(&key(&world.folder)).unwrap().size;
    assert_eq!(go.says(&dir, &vkey, None), (true, format!("ok {size}\n")));
    for _ in 0..5 {
        granted(&world, &ada).await;
    }
    let size = size + 5;
    assert_eq!(go.says(&dir, &vkey, Some(&older)), (true, format!("ok {size}\n")));
    let mut changed = vec!["checkpoint".to_owned()];
    changed.extend(tiles::all(size).iter().map(ToString::to_string));
    for path in changed {
        let (file, good) = (dir.join(&path), std::fs::read(dir.join(&path)).unwrap());
        let mut bent = good.clone();
        let at = good.len() / 2;
        bent[at] ^= 1;
        std::fs::write(&file, bent).unwrap();
        let (believed, said) = go.says(&dir, &vkey, None);
        assert!(!believed && (said.contains("FAIL") || said.contains("panic")), "{path}: {said}");
        assert!(log(&world.folder).audit(&key(&world.folder)).is_err(), "{path}");
        std::fs::write(&file, good).unwrap();
    }
    // A checkpoint of another history, signed all the same: here by the same key over an older tree with another root.
    let forged = std::fs::read_to_string(&older).unwrap().replacen("gateway", "gatewax", 1);
    std::fs::write(&older, forged).unwrap();
    assert!(!go.says(&dir, &vkey, Some(&older)).0);
    assert!(go.says(&dir, &vkey, None).0);
}

#[test]
fn the_demo_leaves_a_log_behind_that_go_believes() {
    let folder = Folder::new();
    let kept = folder.join("demo");
    let demo = Command::new(BINARY).args(["demo", "--seconds", "2", "--output", "json", "--keep"]).arg(&kept).output().unwrap();
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    let (dir, vkey) = (kept.join("log"), kept.join("log.vkey"));
    let key = VerifierKey::parse(std::fs::read_to_string(&vkey).unwrap().trim_end()).unwrap();
    let audit = Copy::open(&dir).audit(&key).expect("a log");
    assert!(audit.personal > 20 && audit.institutional == 4, "{audit:?}");
    let Some(go) = Go::build() else { return };
    assert_eq!(go.says(&dir, &vkey, None), (true, format!("ok {}\n", audit.head.size)));
    let tile = dir.join(tiles::holding(tiles::Shelf::Hashes(0), 0, audit.head.size).unwrap().to_string());
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    assert!(!go.says(&dir, &vkey, None).0);
}

const BINARY: &str = env!("CARGO_BIN_EXE_twinveil");

fn cli(folder: &Folder, words: &[&str]) -> (i32, String, String) {
    let output = Command::new(BINARY).args(words).current_dir(&folder.0).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_go_into_the_wallet_and_are_checked_there_without_the_gateway() {
    let world = World::start().await;
    let gate = world.gate.to_string();
    let run = |words: &[&str]| {
        let output = soonish(&world.folder, words);
        assert_eq!(output.0, 0, "{words:?}: {}{}", output.1, output.2);
        output.1
    };
    run(&["wallet", "new", "w.json"]);
    let hospital = "spiffe://example.org/source/hospital";
    let enrol = ["--source", hospital, "--value", "p-1", "--source-key", "keys/hospital.key", "--gateway", &gate];
    run(&[&["wallet", "enrol", "--wallet", "w.json"][..], &enrol].concat());
    let grant = ["--to", "spiffe://example.org/recipient/clinician", "--purpose", CARE, "--permit", "health=keep", "--days", "7"];
    run(&[&["wallet", "grant", "--wallet", "w.json", "--gateway", &gate][..], &grant].concat());
    std::fs::copy(world.folder.join("w.json"), world.folder.join("before.json")).unwrap();
    run(&["wallet", "withdraw", "--wallet", "w.json", "--all", "--gateway", &gate]);
    let listed = run(&["wallet", "receipts", "--wallet", "w.json"]);
    for word in ["enrolment", "consent", "withdrawal"] {
        assert!(listed.contains(word), "{listed}");
    }
    // What another command lost is asked for again.
    run(&["wallet", "receipts", "--wallet", "before.json", "--fetch", "--gateway", &gate]);
    assert_eq!(run(&["wallet", "receipts", "--wallet", "before.json", "--verify"]), "ok 3\n");

    let (folder, _) = world.stop().await;
    let run = |words: &[&str]| cli(&folder, words);
    assert_eq!(run(&["wallet", "receipts", "--wallet", "w.json", "--verify", "--out", "proofs"]), (0, "ok 3\n".into(), String::new()));
    let proof = std::fs::read_dir(folder.join("proofs")).unwrap().next().unwrap().unwrap().path();
    let proof = proof.to_str().unwrap();
    let (code, said, _) = run(&["log", "verify", "--key", "log.vkey", proof]);
    assert!(code == 0 && said.starts_with("ok entry ") && said.contains("about a person"), "{said}");
    let (code, said, _) = run(&["log", "verify"]);
    assert!(code == 0 && said.starts_with("ok 7: 3 about persons, 4 of institutions"), "{said}");
    let (code, checkpoint, _) = run(&["log", "checkpoint"]);
    std::fs::write(folder.join("today"), &checkpoint).unwrap();
    assert!(code == 0 && checkpoint.starts_with("gateway.example.org/twins\n7\n"), "{checkpoint}");
    assert!(run(&["log", "verify", "--older", "today"]).1.contains("goes on from 7"));
    let (code, proof, _) = run(&["log", "prove", "--act", "policy=policy.cedar"]);
    std::fs::write(folder.join("policy.tlog-proof"), &proof).unwrap();
    assert_eq!(code, 0);
    assert!(run(&["log", "verify", "policy.tlog-proof"]).1.contains(": policy, in the hour from "));
    assert_eq!(run(&["log", "prove", "--act", "policy=notice.md"]).0, 1, "never in force");
    assert_eq!(run(&["log", "prove", "--entry", "7"]).0, 1, "not there");
    assert_eq!(run(&["log", "verify", "--dir", "keys"]).0, 3, "no log");

    // One character of one receipt in the wallet's file.
    let text = std::fs::read_to_string(folder.join("w.json")).unwrap();
    std::fs::write(folder.join("w.json"), text.replacen("index 5", "index 4", 1)).unwrap();
    let (code, _, said) = run(&["wallet", "receipts", "--wallet", "w.json", "--verify"]);
    assert!(code == 1 && said.contains(Doubt::NotIncluded.code()), "{said}");
    assert_eq!(run(&["wallet", "show", "w.json"]).0, 0, "it keeps its owner from nothing");
}

/// Runs the program while the gateway goes on in this process.
fn soonish(folder: &Folder, words: &[&str]) -> (i32, String, String) {
    tokio::task::block_in_place(|| cli(folder, words))
}
