//! Does a person's history say what was handed over: as many frames as each recipient got, decided and not present, cut where something
//! changed, proved by the log, and whatever happens to the gateway?

mod exported;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tonic::Code;
use twinveil::client::authority::DelegationTerms;
use twinveil::client::dsse;
use twinveil::client::history::{Line, check};
use twinveil::client::wallet::{Voice, Wallet};
use twinveil::proto::sample::{PatientFrame, Vitals};
use twinveil::proto::v1::{Disclosure, HistoryRequest, HistoryResponse, Treatment};
use twinveil::veil::consent::delegation::{Capacity, Right};
use twinveil::veil::consent::query::Asks;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::standing::Head;
use twinveil::veil::merkle::note::VerifierKey;
use twinveil::veil::name::{RecordId, UnixMs};

use crate::harness::child::Process;
use crate::harness::front::{self, Client, ask};
use crate::harness::ward::chart;
use crate::harness::{Ask, Folder, Given, PATIENT, World, eventually, made_folder, permit, permit_category, soon};

const CARE: &str = front::CARE;
const RESEARCH: &str = "dpv:ScientificResearch";
/// Everything is logged within a second or so.
const SOON: &str = "[log]\ndisclosure_s = 1";

fn key(folder: &Path) -> VerifierKey {
    VerifierKey::parse(std::fs::read_to_string(folder.join("log.vkey")).unwrap().trim_end()).unwrap()
}

fn frame(patient: &str, sequence: u64) -> PatientFrame {
    let vitals = Some(Vitals { heart_rate_bpm: Some(60.0 + sequence as f32), ..Vitals::default() });
    PatientFrame { patient_id: patient.into(), sequence, vitals, ..PatientFrame::default() }
}

fn frames(patient: &str, count: u64) -> Vec<PatientFrame> {
    (1..=count).map(|sequence| frame(patient, sequence)).collect()
}

impl World {
    /// All pages of it.
    pub(crate) async fn told(&self, wallet: &Wallet, voice: &Voice) -> Result<HistoryResponse, tonic::Status> {
        let (mut all, mut from) = (HistoryResponse::default(), 0);
        loop {
            let query = wallet.query_as(voice, &Asks::History, &self.origin(), self.now()).unwrap();
            let request = HistoryRequest { query: Some(dsse::to_proto(&query)), from };
            let page = soon("a history", self.consents().history(request)).await?.into_inner();
            (all.under_way, all.gaps, all.completeness) = (page.under_way, page.gaps, page.completeness);
            if page.disclosed.is_empty() {
                return Ok(all);
            }
            all.disclosed.extend(page.disclosed);
            from = self.line(all.disclosed.last().unwrap()).receipt.entry() + 1;
        }
    }

    fn line(&self, told: &twinveil::proto::v1::Disclosed) -> Line {
        Line::read(told, &key(&self.folder.0)).unwrap_or_else(|flaw| panic!("{flaw}"))
    }

    /// What is in the log, every line of it proved and none missing; and what is not yet.
    pub(crate) async fn history(&self, wallet: &Wallet) -> (Vec<Line>, Vec<Disclosure>) {
        let told = self.told(wallet, &wallet.voice(SignerRole::Subject)).await.expect("their own");
        assert!(told.completeness.starts_with("complete but for what an order forbids to show"));
        let lines: Vec<_> = told.disclosed.iter().map(|told| self.line(told)).collect();
        assert_eq!(check(&lines, true), []);
        (lines, told.under_way)
    }

    /// Who was handed how many, in the log and before.
    async fn counted(&self, wallet: &Wallet) -> Counts {
        let (lines, open) = self.history(wallet).await;
        counts(lines.iter().map(|line| &line.disclosure).chain(&open))
    }

    /// Waits until all of it is in the log.
    async fn logged(&self, wallet: &Wallet) -> Vec<Disclosure> {
        eventually("everything to be in the log", async || {
            let (lines, open) = self.history(wallet).await;
            open.is_empty().then(|| lines.into_iter().map(|line| line.disclosure).collect())
        })
        .await
    }
}

/// Frames by recipient, purpose and schema.
type Counts = BTreeMap<(String, String, String), u64>;

fn counts<'d>(disclosures: impl Iterator<Item = &'d Disclosure>) -> Counts {
    let mut counts = Counts::new();
    for one in disclosures {
        *counts.entry((one.recipient.clone(), one.purpose.clone(), one.schema.clone())).or_default() += one.frames;
    }
    counts
}

fn expected(world: &World, rows: &[(&str, &str, &str, u64)]) -> Counts {
    let row = |(party, purpose, schema, count): &(&str, &str, &str, u64)| {
        ((world.spiffe(party).to_string(), (*purpose).to_owned(), (*schema).to_owned()), *count)
    };
    rows.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_what_each_recipient_got_of_streams_and_calls_both_ways() {
    let (world, got) = front::ward(SOON).await;
    let person = front::patient(&world, "p-1").await;
    let other = front::patient(&world, "p-2").await;
    world.grant(&person, &Given::to(&world, &["researcher"], RESEARCH)).await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut again = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut researcher = world.subscribe("researcher", Ask::of(PATIENT, RESEARCH)).await;
    world.publish("hospital", PATIENT, &frames("p-1", 20)).await;
    world.publish("hospital", PATIENT, &[frame("p-2", 1), frame("p-1", 21)]).await;
    clinician.frames(22).await;
    again.frames(22).await;
    researcher.frames(21).await;
    // Unary calls over several connections, a stream of answers, and a stream both ways.
    for _ in 0..3 {
        let mut client = Client::of(&world).await;
        for _ in 0..4 {
            client.look(ask("p-1")).await.expect("an answer");
        }
    }
    let mut client = Client::of(&world).await;
    let mut watched = client.watch(ask("p-1")).await.expect("a stream");
    let mut came = 0;
    while soon("a chart", watched.message()).await.expect("no error").is_some() {
        came += 1;
    }
    assert_eq!(came, 3);
    let (charts, sent) = tokio::sync::mpsc::channel(4);
    let mut talk = client.talk(sent).await.expect("a stream");
    for number in 0..5 {
        charts.send(chart("p-1", number)).await.unwrap();
        soon("an echo", talk.message()).await.expect("no error").expect("an echo");
    }
    drop(charts);
    while soon("the end", talk.message()).await.expect("no error").is_some() {}
    let to_ward = got.messages.lock().unwrap().len() as u64;
    assert_eq!(to_ward, 12 + 1 + 5);
    let told = world.logged(&person).await;
    let (chart_of, ask_of) = ("ward.v1.Chart", "ward.v1.Ask");
    let rows = [
        ("clinician", CARE, PATIENT, 42),
        ("researcher", RESEARCH, PATIENT, 21),
        ("clinician", CARE, chart_of, 12 + 3 + 5),
        ("hospital", CARE, ask_of, 13),
        ("hospital", CARE, chart_of, 5),
    ];
    assert_eq!(counts(told.iter()), expected(&world, &rows));
    // A dozen calls are no dozen disclosures.
    assert!(told.iter().filter(|one| one.schema == ask_of).count() < 12, "{told:?}");
    assert_eq!(world.counted(&other).await, expected(&world, &[("clinician", CARE, PATIENT, 2)]));
    // Nobody else's.
    let query = person.query(&Asks::Standing, &world.origin(), world.now()).unwrap();
    let request = HistoryRequest { query: Some(dsse::to_proto(&query)), from: 0 };
    assert_eq!(world.consents().history(request).await.expect_err("another question").code(), Code::InvalidArgument);
}

/// What a disclosure says, without what is random or a time.
fn without_times(disclosure: &Disclosure) -> Disclosure {
    Disclosure {
        id: Default::default(),
        place: Default::default(),
        records: Vec::new(),
        frames: 0,
        from_ms: 0,
        until_ms: 0,
        ..disclosure.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_no_frame_had_looks_like_one_that_every_frame_had() {
    let world = World::with(SOON).await;
    let (with, without) = (world.patient("with").await, world.patient("without").await);
    let given = Given::to(&world, &["clinician"], CARE).rules(vec![
        permit("note", "keep"),
        permit_category("time", "keep"),
        permit("patient_id", "keep"),
    ]);
    world.grant(&with, &given).await;
    world.grant(&without, &given).await;
    let mut sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    // Granted and there, granted and not there; hidden and there, hidden and not there.
    let noted = |patient: &str| PatientFrame { note: "slept well".into(), ..frame(patient, 1) };
    let bare = |patient: &str| PatientFrame { patient_id: patient.into(), ..PatientFrame::default() };
    world.publish("hospital", PATIENT, &[noted("with"), noted("with"), bare("without"), bare("without")]).await;
    sub.frames(4).await;
    let (one, other) = (world.logged(&with).await, world.logged(&without).await);
    for told in [&one, &other] {
        assert_eq!(told.iter().map(|one| one.frames).sum::<u64>(), 2);
        assert!(told.iter().all(|told| without_times(told) == without_times(&one[0])), "{told:?}");
    }
    let fields: BTreeMap<_, _> = one[0].fields.iter().map(|field| (field.path.as_str(), field.treatment())).collect();
    assert_eq!(fields.get("note"), Some(&Treatment::Keep));
    assert!(!fields.contains_key("vitals.heart_rate_bpm"), "what is stripped is not listed: {fields:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_cuts_the_interval_and_another_grant_begins_another() {
    let world = World::in_mid_hour().await;
    let person = world.patient("p-1").await;
    let first = world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    let mut sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    world.publish("hospital", PATIENT, &frames("p-1", 3)).await;
    sub.frames(3).await;
    world.withdraw_all(&person).await;
    let withdrawn = world.now();
    world.publish("hospital", PATIENT, &frames("p-1", 5)).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let granted = world.now();
    let given = Given::to(&world, &["clinician"], CARE).rules(vec![permit("note", "keep"), permit("patient_id", "keep")]);
    let second = world.grant(&person, &given).await;
    world.publish("hospital", PATIENT, &frames("p-1", 2)).await;
    sub.frames(2).await;
    // Before the hour is over, and behind it.
    for is_logged in [false, true] {
        let (lines, open) = world.history(&person).await;
        let told: Vec<_> = if is_logged { lines.into_iter().map(|line| line.disclosure).collect() } else { open };
        let [before, after] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((before.frames, after.frames), (3, 2));
        assert!(before.until_ms <= withdrawn.0 && after.from_ms >= granted.0, "{told:?}, withdrawn {withdrawn}, granted {granted}");
        let under = |disclosure: &Disclosure| disclosure.records.iter().map(|id| RecordId(id[..].try_into().unwrap())).collect::<Vec<_>>();
        assert_eq!((under(before), under(after)), (vec![first], vec![second]));
        assert!(before.fields.len() > after.fields.len());
        if !is_logged {
            world.clock.shift(3_600_000);
            world.logged(&person).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delegate_is_shown_its_scope_and_no_numbers() {
    let world = World::with(SOON).await;
    let (person, guardian, stranger) = (world.patient("p-1").await, world.wallet(), world.wallet());
    world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    world.grant(&person, &Given::to(&world, &["researcher"], RESEARCH)).await;
    let standing = world.standing(&person).await;
    let head = Head { seq: standing.seq, record: standing.head[..].try_into().ok().map(RecordId) };
    let scope =
        serde_json::json!({"recipients": [{"spiffe": world.spiffe("researcher").to_string()}], "purposes": [RESEARCH], "permits": "any"});
    let terms = DelegationTerms {
        delegate: guardian.did(),
        capacity: Capacity::Guardian,
        not_before: None,
        expires: UnixMs(world.now().0 + 7_200_000),
        rights: vec![Right::View],
        depth: 0,
        scope: serde_json::from_value(scope).unwrap(),
        vault_key: None,
    };
    let half = person.delegate(&person.voice(SignerRole::Subject), &terms, &world.origin(), head, world.now()).unwrap();
    let both = guardian.cosign(&half, &world.origin()).unwrap();
    world.submit(&both).await.expect("both have signed");
    let (mut clinician, mut researcher) =
        (world.subscribe("clinician", Ask::of(PATIENT, CARE)).await, world.subscribe("researcher", Ask::of(PATIENT, RESEARCH)).await);
    world.publish("hospital", PATIENT, &frames("p-1", 4)).await;
    clinician.frames(4).await;
    researcher.frames(4).await;
    let whole = world.logged(&person).await;
    assert_eq!(counts(whole.iter()).len(), 2);
    let voice = |by: SignerRole| Voice { subject: person.did(), role: by, vault_key: None };
    let told = world.told(&guardian, &voice(SignerRole::Delegate(both.id()))).await.expect("the right to view");
    let lines: Vec<_> = told.disclosed.iter().map(|told| world.line(told)).collect();
    assert_eq!(counts(lines.iter().map(|line| &line.disclosure)), expected(&world, &[("researcher", RESEARCH, PATIENT, 4)]));
    assert!(told.disclosed.iter().all(|line| line.place.is_none()), "numbers tell how much else there is");
    assert_eq!(check(&lines, false), []);
    let refused = world.told(&stranger, &voice(SignerRole::Delegate(both.id()))).await.expect_err("not theirs");
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = world.told(&stranger, &Voice { subject: person.did(), role: SignerRole::Subject, vault_key: None }).await;
    assert_eq!(refused.expect_err("not theirs").code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_has_everything_in_the_log_and_goes_on_behind_it() {
    let world = World::start().await;
    let person = world.patient("p-1").await;
    world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    for _ in 0..3 {
        let mut sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
        world.publish("hospital", PATIENT, &frames("p-1", 5)).await;
        sub.frames(5).await;
        drop(sub);
        world.no_stream_left().await;
    }
    let (folder, clock) = world.stop().await;
    let world = World::at(folder, clock).await.expect("what was written starts again");
    let told = world.told(&person, &person.voice(SignerRole::Subject)).await.expect("their own");
    assert_eq!((told.under_way.len(), told.gaps.len()), (0, 0), "{:?}", told.gaps);
    assert_eq!(world.counted(&person).await, expected(&world, &[("clinician", CARE, PATIENT, 15)]));
    let (lines, _) = world.history(&person).await;
    assert!(lines.iter().all(|line| !line.disclosure.at_least));
    let mut sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    world.publish("hospital", PATIENT, &frames("p-1", 1)).await;
    sub.frames(1).await;
    let world = world.restart().await;
    // The row goes on: `history` holds it against itself.
    assert_eq!(world.counted(&person).await, expected(&world, &[("clinician", CARE, PATIENT, 16)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_the_history_says_what_is_known_and_from_when_on_it_may_lack_something() {
    let folder = made_folder();
    let file = folder.join("twinveil.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n[log]\ndisclosure_s = 1\n")).unwrap();
    let process = Process::start(folder).await;
    let person = process.world.patient("p-1").await;
    process.world.grant(&person, &Given::to(&process.world, &["clinician"], CARE)).await;
    let mut sub = process.world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    process.world.publish("hospital", PATIENT, &frames("p-1", 7)).await;
    sub.frames(7).await;
    eventually("the first to be on disk", async || {
        let (lines, _) = process.world.history(&person).await;
        (lines.iter().map(|line| line.disclosure.frames).sum::<u64>() == 7).then_some(())
    })
    .await;
    process.world.publish("hospital", PATIENT, &frames("p-1", 4)).await;
    sub.frames(4).await;
    let process = Process::start(process.kill()).await;
    let world = &process.world;
    let told = world.told(&person, &person.voice(SignerRole::Subject)).await.expect("their own");
    assert_eq!(told.gaps.len(), 1, "a crash leaves a gap: {:?}", told.gaps);
    let gap = told.gaps[0];
    assert!(gap.until_ms - gap.from_ms < 60_000);
    let counted: u64 = world.counted(&person).await.values().sum();
    assert!((7..=11).contains(&counted), "{counted}");
    let all = world.logged(&person).await;
    assert!(all.iter().all(|one| one.from_ms < gap.until_ms));
}

const BINARY: &str = env!("CARGO_BIN_EXE_twinveil");

/// Runs the program while the gateway goes on in this process.
fn cli(folder: &Folder, words: &[&str]) -> (i32, String, String) {
    tokio::task::block_in_place(|| {
        let output = Command::new(BINARY).args(words).current_dir(&folder.0).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_shows_its_history_and_catches_a_gateway_that_denies_it() {
    let world = World::with(SOON).await;
    let person = world.patient("p-1").await;
    person.save(&world.folder.join("w.json")).unwrap();
    world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    let mut sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut total = 0;
    for count in [3, 4] {
        world.publish("hospital", PATIENT, &frames("p-1", count)).await;
        sub.frames(count as usize).await;
        total += count;
        world.logged(&person).await;
    }
    let gate = world.gate.to_string();
    let words = ["wallet", "history", "--wallet", "w.json", "--gateway", &gate];
    let run = |more: &[&str]| cli(&world.folder, &[&words[..], more].concat());
    let (code, said, complaint) = run(&[]);
    assert_eq!((code, complaint.as_str()), (0, ""), "{said}");
    for word in
        ["spiffe://example.org/recipient/clinician", CARE, "health keep", "entry ", "This is complete but for what an order forbids"]
    {
        assert!(said.contains(word), "`{word}` in\n{said}");
    }
    let (code, json, _) = run(&["--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let told = json["disclosed"].as_array().unwrap();
    assert_eq!((code, told.iter().map(|line| line["frames"].as_u64().unwrap()).sum::<u64>()), (0, total));
    assert_eq!(json["flaws"], serde_json::json!([]));
    let (code, said, _) = run(&["--from", "2100-01-01T00:00:00Z"]);
    assert!(code == 0 && said.starts_with("nothing was handed over"), "{said}");
    // A receipt that is changed in the wallet's own file, and one of a disclosure that the gateway never told of since.
    let file = world.folder.join("w.json.history");
    let good = std::fs::read_to_string(&file).unwrap();
    assert_eq!(good.lines().count(), told.len());
    std::fs::write(&file, good.replacen("\"salt\":\"", "\"salt\":\"A", 1)).unwrap();
    assert_eq!(run(&[]).0, 1, "a line that was changed");
    std::fs::write(&file, &good).unwrap();
    // The gateway is set back to before: it denies what the wallet has.
    let (folder, clock) = world.stop().await;
    for name in ["store", "log"] {
        let _ = std::fs::remove_dir_all(folder.join(name));
    }
    let world = World::at(folder, clock).await.expect("an empty gateway under the same name");
    world.enrol("hospital", "p-1", &person).await;
    let gate = world.gate.to_string();
    let (code, _, complaint) = cli(&world.folder, &["wallet", "history", "--wallet", "w.json", "--gateway", &gate]);
    assert!(code == 1 && complaint.contains("TV-K07"), "{complaint}");
    // Institutions' acts stand in the open.
    let (code, said, _) = cli(&world.folder, &["log", "list"]);
    assert!(code == 0 && said.contains("policy") && said.contains("schema") && said.contains("4 of 5 entries"), "{said}");
    let (code, said, _) = cli(&world.folder, &["log", "list", "--kind", "policy", "--output", "json"]);
    assert!(code == 0 && said.lines().count() == 1 && said.contains("\"what\":\"policy\""), "{said}");
    assert_ne!(cli(&world.folder, &["log", "list", "--kind", "consent"]).0, 0, "about persons");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_log_metrics_or_store_tells_what_was_disclosed() {
    let canary = "canary-b7f1-history";
    let world = World::with(SOON).await;
    let person = world.patient(canary).await;
    world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    let mut sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    world.publish("hospital", PATIENT, &[PatientFrame { note: canary.into(), ..frame(canary, 1) }]).await;
    sub.frames(1).await;
    let told = world.logged(&person).await;
    assert!(told[0].fields.iter().any(|field| field.path == "vitals.heart_rate_bpm"));
    let metrics = world.http("/metrics").await;
    let (folder, _) = world.stop().await;
    let (recipient, did) = (told[0].recipient.as_bytes().to_vec(), person.did().to_string().into_bytes());
    let everywhere = [canary.as_bytes(), b"vitals.heart_rate_bpm", PATIENT.as_bytes()];
    let found = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    for place in ["log", "store"] {
        for file in files(&folder.join(place)) {
            let bytes = std::fs::read(&file).unwrap();
            for needle in everywhere {
                assert!(!found(&bytes, needle), "{}: {}", file.display(), String::from_utf8_lossy(needle));
            }
            // Consents name their recipients, and rest with them.
            for needle in [&recipient[..], &did, &person.did().0] {
                assert!(place == "store" || !found(&bytes, needle), "{}", file.display());
            }
        }
    }
    for needle in [&everywhere[..], &[&recipient, &did]].concat() {
        assert!(!found(metrics.as_bytes(), needle));
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
