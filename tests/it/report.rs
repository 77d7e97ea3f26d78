//! Is a transparency report what the log and the disclosed records say, does counting again find whatever somebody bends, does no public
//! file tell who anybody is, and does the page read well in a browser?

mod browser;
mod cases;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use twinveil::veil::merkle::leaf::Act;
use twinveil::veil::name::RecordId;

use crate::demand::{self, House};

use self::cases::{APPROVERS, Asked, CANARIES, Desk, RECIPIENT, Then, a_year, key};

fn twinveil(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinveil")).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn make_with(desk: &Desk, out: &str, more: &[&str]) -> Output {
    let path = |name: &str| desk.path(name).to_string_lossy().into_owned();
    let (from, until) = desk.days();
    let [log, vkey, cases, statements, register, words, out] =
        ["log", "log.vkey", "cases", "statements", "register.json", "report.toml", out].map(path);
    let mut args = vec!["report", "make", "--from", &from, "--until", &until, "--log", &log, "--vkey", &vkey, "--disclosed", &cases];
    args.extend(["--statements", &statements, "--register", &register, "--words", &words, "--out", &out]);
    args.extend(more);
    twinveil(&args)
}

/// What is assessed of the configuration that everybody begins with, and an earlier assessment in which one rule did not bite.
fn assessments() -> [String; 2] {
    static MADE: OnceLock<[String; 2]> = OnceLock::new();
    let make = || {
        let folder = crate::harness::Folder::new();
        let demo = folder.join("demo").to_string_lossy().into_owned();
        assert!(twinveil(&["init", &demo]).status.success());
        let ran = twinveil(&["risk", "--config", &format!("{demo}/twinveil.toml"), "--output", "json"]);
        assert!(ran.status.success(), "{}", said(&ran));
        let assessed = String::from_utf8(ran.stdout).unwrap();
        let mut earlier: Value = serde_json::from_str(&assessed).unwrap();
        let rule = earlier["findings"][0]["rule"].clone();
        earlier["findings"].as_array_mut().unwrap().retain(|finding| finding["rule"] != rule);
        [assessed, earlier.to_string()]
    };
    MADE.get_or_init(make).clone()
}

/// The year's report.
fn made() -> (Desk, PathBuf) {
    let desk = a_year();
    let [persons, refusals, risk, before] =
        ["persons.json", "refusals.json", "risk.json", "before.json"].map(|name| desk.path(name).to_string_lossy().into_owned());
    let [assessed, earlier] = assessments();
    fs::write(&risk, assessed).unwrap();
    fs::write(&before, earlier).unwrap();
    let more = ["--persons", &persons, "--refusals", &refusals, "--risk", &risk, "--risk-before", &before];
    let output = make_with(&desk, "report", &more);
    assert!(output.status.success(), "{}", said(&output));
    let out = desk.path("report");
    (desk, out)
}

fn verify(desk: &Desk, report: &Path) -> Output {
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    twinveil(&["report", "verify", &report.to_string_lossy(), "--log", &path(desk.path("log")), "--vkey", &path(desk.path("log.vkey"))])
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap()
}

fn figure<'r>(report: &'r Value, table: &str, row: &str, column: &str) -> &'r Value {
    let table = report["tables"].as_array().unwrap().iter().find(|found| found["id"] == table).unwrap();
    let at = table["columns"].as_array().unwrap().iter().position(|found| found["id"] == column).unwrap();
    match row {
        "total" => &table["total"][at],
        row => &table["rows"].as_array().unwrap().iter().find(|found| found["id"] == row).unwrap()["figures"][at],
    }
}

pub(crate) fn count(report: &Value, table: &str, row: &str, column: &str) -> u64 {
    figure(report, table, row, column)["value"]["count"].as_u64().unwrap()
}

#[test]
fn a_report_counts_what_happened_and_verifies() {
    let (desk, out) = made();
    let year = report(&out);
    for (table, row, column, expected) in [
        ("countries", "total", "received", 25),
        ("countries", "DE", "received", 8),
        ("countries", "DE", "comply", 1),
        ("countries", "DE", "comply-in-part", 2),
        ("countries", "DE", "open", 1),
        ("countries", "forbidden", "received", 3),
        ("countries", "total", "refuse", 12),
        ("asks", "stored-data", "unable", 5),
        ("asks", "redesign-backdoor", "refuse", 1),
        ("sources", "court", "received", 9),
        ("redesign", "total", "received", 3),
        ("reasons", "redesign_out_of_scope", "refuse", 3),
        ("reasons", "human_rights", "refuse", 3),
        ("reasons", "no_key", "unable", 5),
        ("stages", "rights", "met", 2),
        ("months", "total", "forbidden", 3),
        ("releases", "by-consent", "releases", 3),
        ("releases", "by-test", "demands", 2),
        ("notices", "told-before", "demands", 3),
        ("scope", "intelligence", "received", 2),
        ("acts", "demand", "logged", 25),
        ("acts", "demand", "shown", 22),
        ("times", "decision", "demands", 21),
        ("refused", "TV-W01", "entries", 2),
        ("acts", "refusals", "shown", 2),
    ] {
        assert_eq!(count(&year, table, row, column), expected, "{table}/{row}/{column}");
    }
    // 20 hours before it was taken it had arrived, and five days later it was decided.
    assert_eq!(figure(&year, "times", "decision", "median")["value"]["median_hours"], 140);
    assert_eq!(figure(&year, "countries", "DE", "comply")["leaves"].as_array().unwrap().len(), 1, "the entry that it counts");
    assert_eq!(figure(&year, "persons", "US", "stored-data")["value"]["count"], 40);
    assert_eq!(figure(&year, "persons", "FR", "live-data")["value"]["count"], 20);
    assert_eq!(figure(&year, "persons", "FR", "stored-data")["value"]["between"]["most"], 10);
    assert_eq!(figure(&year, "persons", "FR", "all")["value"]["between"], serde_json::json!({"least": 21, "most": 30}));
    assert_eq!(figure(&year, "refused", "total", "refused")["value"]["sum"], 12 + 3 + 1);
    let standing: Vec<_> = year["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["name"].as_str().unwrap(), line["standing"].as_str().unwrap()))
        .collect();
    assert_eq!(standing, [("no-keys-handed-over", "stands"), ("no-taps", "dropped"), ("no-weakened-encryption", "stands")]);
    let unanswered: Vec<_> = year["elements"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|element| element["answered"] == false)
        .map(|element| element["number"].as_u64())
        .collect();
    assert_eq!(unanswered, [Some(7)], "no example is given");
    let output = verify(&desk, &out);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("the report itself is not in the log"), "{}", said(&output));
}

#[test]
fn every_figure_is_the_number_of_entries_that_it_names() {
    let (_desk, out) = made();
    let mut figures = 0;
    for table in report(&out)["tables"].as_array().unwrap().iter().filter(|table| table["id"] != "persons") {
        let rows = table["rows"].as_array().unwrap().iter().flat_map(|row| row["figures"].as_array().unwrap());
        for figure in rows.chain(table["total"].as_array().into_iter().flatten()) {
            if let Some(count) = figure["value"]["count"].as_u64() {
                assert_eq!(figure["leaves"].as_array().unwrap().len() as u64, count, "{}", table["id"]);
                figures += 1;
            }
        }
    }
    assert!(figures > 300, "{figures}");
}

#[test]
fn a_log_that_has_grown_still_verifies() {
    let (mut desk, out) = made();
    let asked = Asked { day: 300, country: "DE", kind: "police", asks: "other", persons: 0, process: ("letter", "none", "somebody") };
    desk.demand(&asked, Then::Refuse(&["overbroad"]), true);
    let output = verify(&desk, &out);
    assert!(output.status.success(), "{}", said(&output));
}

/// Bends a file and says what is found.
fn bent(file: &str, change: impl Fn(String) -> String) -> String {
    let (desk, out) = made();
    let path = out.join(file);
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "nothing was bent");
    fs::write(&path, changed).unwrap();
    let output = verify(&desk, &out);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    said(&output)
}

fn bend_json(change: impl Fn(&mut Value)) -> String {
    bent("report.json", |text| {
        let mut report: Value = serde_json::from_str(&text).unwrap();
        change(&mut report);
        serde_json::to_string_pretty(&report).unwrap() + "\n"
    })
}

fn figure_mut<'r>(report: &'r mut Value, table: &str, row: usize, column: usize) -> &'r mut Value {
    let table = report["tables"].as_array_mut().unwrap().iter_mut().find(|found| found["id"] == table).unwrap();
    &mut table["rows"][row]["figures"][column]
}

#[test]
fn whatever_is_bent_in_a_report_is_found_by_name() {
    let found = bend_json(|report| figure_mut(report, "countries", 1, 0)["value"]["count"] = 3.into());
    assert!(found.contains("TV-R08: `countries/DE/received`: the report says `3`, counted again it is `8`"), "{found}");
    let found = bend_json(|report| figure_mut(report, "reasons", 3, 0)["leaves"] = serde_json::json!([1]));
    assert!(found.contains("`reasons/human_rights/refuse/leaves`"), "{found}");
    let found = bend_json(|report| report["demands"][0]["outcome"] = "refuse".into());
    assert!(found.contains("TV-R08: `demands/"), "{found}");
    let found = bend_json(|report| drop(report["demands"].as_array_mut().unwrap().remove(2)));
    assert!(found.contains("the report says `nothing`") || found.contains("the report says nothing"), "{found}");
    let found = bend_json(|report| report["statements"][1]["standing"] = "stands".into());
    assert!(found.contains("`statements/no-taps`"), "{found}");
    let found = bend_json(|report| report["log"]["size"] = 12.into());
    assert!(found.contains("TV-R11"), "{found}");
    let found = bend_json(|report| report["elements"][16]["answered"] = true.into());
    assert!(found.contains("`elements/RDR P10a 7`"), "{found}");
    let found = bend_json(|report| report["tables"][0]["title"] = "Requests".into());
    assert!(found.contains("TV-R08: `countries`"), "{found}");
    let found = bend_json(|report| report["motto"] = "x".into());
    assert!(found.contains("TV-R12"), "{found}");
    assert!(bent("report.csv", |text| text.replacen("figure", "Figure", 1)).contains("TV-R10: `report.csv`"));
    assert!(bent("report.html", |text| text.replacen("Transparency", "transparency", 1)).contains("TV-R10: `report.html`"));
}

#[test]
fn a_count_of_persons_that_must_not_be_shown_is_found() {
    // The second row is Germany's.
    let found = bend_json(|report| figure_mut(report, "persons", 1, 1)["value"] = serde_json::json!({"count": 7}));
    assert!(found.contains("TV-R09: `persons/DE/live-data`"), "{found}");
    let found = bend_json(|report| figure_mut(report, "persons", 1, 4)["value"] = serde_json::json!({"count": 18}));
    assert!(found.contains("TV-R09: `persons/DE/all`"), "{found}");
}

fn first(folder: &Path, wanted: &str) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().find(|file| fs::read_to_string(file).unwrap().contains(wanted)).unwrap()
}

#[test]
fn a_record_that_is_missing_forged_or_not_in_the_log_is_found() {
    let decision = "vnd.twinveil.decision";
    let (desk, out) = made();
    fs::remove_file(first(&out.join("disclosed"), decision)).unwrap();
    let output = verify(&desk, &out);
    assert!(output.status.code() == Some(1) && said(&output).contains("TV-R08"), "{}", said(&output));

    let (desk, out) = made();
    let file = first(&out.join("disclosed"), decision);
    let mut envelope: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let one = envelope["signatures"][0].clone();
    envelope["signatures"] = serde_json::json!([one]);
    fs::write(&file, envelope.to_string()).unwrap();
    let output = verify(&desk, &out);
    assert!(said(&output).contains("TV-R03") && said(&output).contains("two different approvers"), "{}", said(&output));

    let (desk, out) = made();
    let file = first(&out.join("disclosed"), decision);
    let text = fs::read_to_string(&file).unwrap();
    let mut envelope: Value = serde_json::from_str(&text).unwrap();
    let payload = String::from_utf8(data_encoding::BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap()).unwrap();
    envelope["payload"] = data_encoding::BASE64.encode(payload.replacen("44", "45", 1).as_bytes()).into();
    fs::write(&file, envelope.to_string()).unwrap();
    assert!(said(&verify(&desk, &out)).contains("TV-R01"), "a changed payload has no signature");

    // Signed again by the right persons, it is another record than the one in the log.
    let mut again = twinveil::veil::consent::envelope::Envelope::parse_json(text.as_bytes()).unwrap();
    again.payload = payload.replacen("44", "45", 1).into_bytes();
    again.signatures.clear();
    APPROVERS.iter().for_each(|n| again.countersign(&key(*n)));
    fs::write(&file, again.to_json()).unwrap();
    assert!(said(&verify(&desk, &out)).contains("TV-R02"), "it was never taken");

    let (desk, out) = made();
    fs::remove_file(first(&out.join("statements"), "vnd.twinveil.statement")).unwrap();
    assert!(said(&verify(&desk, &out)).contains("TV-R06"), "a statement that is left out is still in the log");
}

#[test]
fn nothing_is_written_where_something_does_not_hold() {
    let mut desk = a_year();
    let asked = Asked { day: 280, country: "DE", kind: "court", asks: "live-data", persons: 1, process: ("order", "law", "court") };
    desk.demand(&asked, Then::Open, false);
    let output = make_with(&desk, "good", &[]);
    assert!(output.status.success(), "{}", said(&output));
    fs::write(desk.path("cases/broken.json"), "{}").unwrap();
    let output = make_with(&desk, "bad", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("TV-R01: `broken.json`"), "{}", said(&output));
    assert_eq!(fs::read_dir(desk.path("bad")).unwrap().count(), 0, "nothing is there");
    fs::remove_file(desk.path("cases/broken.json")).unwrap();
    let output = make_with(&desk, "good", &[]);
    assert!(output.status.code() == Some(3) && said(&output).contains("is not empty"), "{}", said(&output));
    desk.state("silent", "It was made and is not shown.", 3, Some(30), false);
    assert!(said(&make_with(&desk, "hidden", &[])).contains("TV-R06"), "a statement that is left out");
}

#[test]
fn a_demand_under_a_gag_is_never_written() {
    let mut desk = Desk::new();
    let asked = Asked { day: 280, country: "DE", kind: "court", asks: "live-data", persons: 1, process: ("order", "law", "court") };
    let id = desk.demand_forbidden_and_filed(&asked);
    desk.finish();
    let output = make_with(&desk, "report", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("TV-R05") && said(&output).contains(&id.to_string()), "{}", said(&output));
    assert_eq!(fs::read_dir(desk.path("report")).unwrap().count(), 0);
}

fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push((entry.path(), fs::read_to_string(entry.path()).unwrap())),
        }
    }
    found
}

#[test]
fn no_public_file_tells_who_anybody_is() {
    let (desk, out) = made();
    assert!(fs::read_to_string(desk.path("desk-notes.txt")).unwrap().contains(CANARIES[0]), "the canaries are planted");
    let keys: Vec<String> = (11..=16).map(|n| key(n).did().to_string()).collect();
    let all = files(&out);
    assert!(all.len() > 80, "{}", all.len());
    for (file, text) in all {
        let inner: Vec<u8> = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|envelope| data_encoding::BASE64.decode(envelope["payload"].as_str()?.as_bytes()).ok())
            .unwrap_or_default();
        let text = text + &String::from_utf8(inner).unwrap();
        for canary in CANARIES {
            assert!(!text.contains(canary), "{}: {canary}", file.display());
        }
        // Whose keys signed is in the records and the register, by which others check them, and in nothing that people read.
        if file.parent() == Some(&*out) && !file.ends_with("register.json") {
            assert!(!text.contains("did:key:") && !text.contains(RECIPIENT), "{}", file.display());
            assert!(keys.iter().all(|key| !text.contains(&key["did:key:".len()..])), "{}", file.display());
        }
        assert!(
            !text.contains("ab".repeat(32).as_str()) || file.parent() == Some(&out.join("disclosed")),
            "a commitment stays in its record"
        );
    }
}

#[test]
fn a_year_without_demands_has_a_report_too() {
    let mut desk = Desk::new();
    let from = desk.from;
    desk.leaf(Act::Policy, from, &RecordId([1; 32]));
    desk.finish();
    let output = make_with(&desk, "report", &[]);
    assert!(output.status.success(), "{}", said(&output));
    let output = verify(&desk, &desk.path("report"));
    assert!(output.status.success() && said(&output).contains("figures of 0 demands and 0 records"), "{}", said(&output));
    assert!(fs::read_to_string(desk.path("report/report.html")).unwrap().contains("No legal demand was received in this period."));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clerk_fetches_the_report_from_the_desk_and_anybody_counts_it_again_over_http() {
    let house = House::start().await;
    let (ada, ben) = (house.world.patient("ada").await, house.world.patient("ben").await);
    let asked = house.asked(|_| ());
    let released = demand::id(&house.file(&asked, &[ada.did(), ben.did()]).await.expect("a clerk's"));
    let stages = house.met(released).await;
    house.decide(released, house.comply(&stages, &asked)).await.expect("two approvers");
    house.notify(released).await;
    let gagged = house.filed(&[ada.did()], |said| said["gag"] = serde_json::json!({"basis": "a law"})).await;
    let folder = house.world.folder.0.clone();
    house.clerk.save(&folder.join("clerk.json")).unwrap();
    fs::write(folder.join("report.toml"), "[operator]\nname = 'A house'\n").unwrap();
    let hours = |ms: i64| twinveil::veil::name::UnixMs((house.world.now().0 + ms) / 3_600_000 * 3_600_000).to_string();
    let (from, until) = (hours(-7_200_000), hours(7_200_000));
    let (gate, log) = (house.world.gate.to_string(), format!("http://{}", house.world.health));
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (dir, wallet, words, out, vkey) = (path(""), path("clerk.json"), path("report.toml"), path("report"), path("log.vkey"));
    let args = ["report", "make", "--dir", &dir, "--gateway", &gate, "--wallet", &wallet, "--from", &from, "--until", &until];
    let args = [&args[..], &["--words", &words, "--out", &out, "--log", &log]].concat();
    let made = tokio::task::block_in_place(|| twinveil(&args));
    assert!(made.status.success(), "{}", said(&made));
    assert!(said(&made).contains("demands of the period that may not be disclosed now: 1"), "{}", said(&made));
    let report = report(Path::new(&out));
    assert_eq!(count(&report, "countries", "DE", "comply"), 1);
    assert_eq!(count(&report, "countries", "forbidden", "received"), 1);
    assert_eq!(figure(&report, "persons", "DE", "live-data")["value"]["between"]["most"], 10, "two persons, and nobody can tell");
    for (file, text) in files(Path::new(&out)) {
        assert!(!text.contains(&gagged.to_string()) && !text.contains(&ada.did().to_string()), "{}", file.display());
    }
    let checked = tokio::task::block_in_place(|| twinveil(&["report", "verify", &out, "--log", &log, "--vkey", &vkey]));
    assert!(checked.status.success() && said(&checked).contains("figures of 1 demands"), "{}", said(&checked));
}

#[test]
fn a_statement_is_signed_on_the_command_line_and_reads_back() {
    let folder = crate::harness::Folder::new();
    let file = folder.join("ada.json");
    twinveil::client::wallet::Wallet::generate(&mut twinveil::world::entropy()).save(&file).unwrap();
    let soon = twinveil::veil::name::UnixMs(jiff::Timestamp::now().as_millisecond() + 86_400_000 * 30).to_string();
    let file = file.to_string_lossy();
    let state = |more: &[&str]| {
        let args = ["report", "state", "--wallet", &*file, "--origin", "g", "--name", "no-taps", "--text", "No taps.", "--offline"];
        twinveil(&[&args, more].concat())
    };
    let output = state(&["--renew-by", &soon[..10]]);
    assert!(output.status.success(), "{}", said(&output));
    let envelope = twinveil::veil::consent::envelope::Envelope::parse_json(&output.stdout).unwrap();
    let signed = twinveil::veil::consent::envelope::Signed::<twinveil::veil::report::Statement>::new(&envelope).unwrap();
    let statement = signed.verify(&twinveil::veil::name::Origin::new("g")).unwrap();
    assert_eq!(statement.get().text, "No taps.");
    assert!(state(&["--take-back"]).status.success());
    assert_eq!(state(&[]).status.code(), Some(3));
    assert_eq!(state(&["--renew-by", "2999-01-01"]).status.code(), Some(3), "endless");
}

#[test]
fn every_reason_that_a_gateway_counts_has_words_in_the_report() {
    for refuse in twinveil::status::Refuse::ALL {
        let title = twinveil::veil::report::refusals::title(refuse.code());
        assert!(title.starts_with(&format!("{}: ", refuse.code())), "{title}");
    }
}
