//! What an operator makes public of itself, by the command line: statements and reports go into the log, and whoever reads them finds them
//! there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use twinveil::client::wallet::Wallet;
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::name::{Origin, UnixMs};
use twinveil::veil::report::Statement;
use twinveil::world::{Clock, entropy};

use super::desk::employ;
use super::{Gateway, TWINVEIL};

const HOUR: i64 = 3_600_000;

fn hour(hours: i64) -> String {
    UnixMs((Clock::new().now().unwrap().0 / HOUR + hours) * HOUR).to_string()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn with_words(folder: &Path) {
    employ(folder);
    let config = fs::read_to_string(folder.join("demo/twinveil.toml")).unwrap();
    // What is refused is in the log a second later.
    let often = config.replacen("# [log]\n", "[log]\ndisclosure_s = 1\n", 1);
    assert_ne!(config, often);
    fs::write(folder.join("demo/twinveil.toml"), often).unwrap();
    fs::write(folder.join("report.toml"), "[operator]\nname = 'A house'\n").unwrap();
}

impl Gateway {
    fn make(&self, out: &str) -> String {
        self.make_with(out, "")
    }

    fn make_with(&self, out: &str, more: &str) -> String {
        let output = self.making(out, more);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    fn making(&self, out: &str, more: &str) -> Output {
        let period = format!("--from {} --until {}", hour(-2), hour(2));
        self.run(&format!("report make {period} --wallet clerk.json --words report.toml --out {out} {more}"))
    }

    fn verify(&self, report: &str) -> Output {
        let args = ["report", "verify", report, "--log", "demo/log", "--vkey", "demo/log.vkey"];
        Command::new(TWINVEIL).args(args).current_dir(&self.folder.0).output().unwrap()
    }

    fn verified(&self, report: &str) -> String {
        let output = self.verify(report);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// The number of entries of a kind, once there are some.
    #[expect(clippy::disallowed_methods, reason = "nothing else runs on this thread")]
    fn soon_logged(&self, kind: &str) -> usize {
        for _ in 0..200 {
            let args = ["log", "list", "--dir", "demo/log", "--kind", kind, "--output", "json"];
            let listed = Command::new(TWINVEIL).args(args).current_dir(&self.folder.0).output().unwrap();
            match String::from_utf8(listed.stdout).unwrap().lines().filter(|line| line.contains(kind)).count() {
                0 => std::thread::sleep(std::time::Duration::from_millis(100)),
                many => return many,
            }
        }
        panic!("no {kind} in the log");
    }

    fn report(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.folder.join(name).join("report.json")).unwrap()).unwrap()
    }
}

#[test]
fn a_statement_and_a_report_go_into_the_log_and_whoever_reads_the_report_finds_both() {
    let gateway = Gateway::start_with(with_words);
    let state = format!("report state --wallet clerk.json --name no-taps --text None. --renew-by {}", hour(24 * 300));
    let stated = gateway.json(&state);
    assert_eq!(stated["kind"], "statement");
    let empty = gateway.run("report state --wallet one.json --name no-keys --text None. --take-back --offline --out statement.json");
    assert!(empty.status.success() && empty.stdout.is_empty(), "{}", said(&empty));
    let handed_in = gateway.json("report state --record statement.json");
    assert_eq!(gateway.json("report state --record statement.json"), handed_in, "the same again is in the log once");
    assert!(handed_in["entry"].as_u64() > stated["entry"].as_u64());

    gateway.make("first");
    let report = gateway.report("first");
    let statements: Vec<_> = report["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["name"].as_str().unwrap(), line["standing"].as_str().unwrap()))
        .collect();
    assert_eq!(statements, [("no-keys", "taken-back"), ("no-taps", "stands")], "fetched from the desk");
    assert_eq!(report["statements"][1]["leaves"], json!([stated["entry"]]));
    assert!(gateway.verified("first").contains("the report itself is not in the log"));

    let published = gateway.json("report publish first --wallet clerk.json");
    assert_eq!(published["kind"], "report");
    assert_eq!(gateway.json("report publish first --wallet clerk.json"), published, "handed in again, it is the same record");
    let own = format!("the report itself is entry {}", published["entry"]);
    let text = gateway.verified("first");
    assert!(text.contains(&own) && !text.contains("another report"), "{text}");

    // Another one of the same time shows in both.
    let text = gateway.make("second");
    assert!(text.contains(&format!("entry {} of the log is a report of the same time", published["entry"])), "{text}");
    let second = gateway.json("report publish second --wallet two.json");
    let text = gateway.verified("first");
    assert!(
        text.contains(&own) && text.contains(&format!("entry {} is another report, and its record is not here", second["entry"])),
        "{text}"
    );
    let text = gateway.verified("second");
    assert!(text.contains(&format!("entry {} is another report of the same time", published["entry"])), "{text}");
    assert!(text.contains(&format!("the report itself is entry {}", second["entry"])), "{text}");

    // Changed afterwards, and made to look whole, it is not the one in the log.
    let forged = gateway.folder.join("second/report.json");
    let bytes = fs::read_to_string(&forged).unwrap();
    fs::write(&forged, bytes.replacen("A house", "A mouse", 1)).unwrap();
    let output = gateway.verify("second");
    assert!(output.status.code() == Some(1) && said(&output).contains("TV-R10"), "{}", said(&output));
    assert_eq!(gateway.run("report publish second --wallet two.json").status.code(), Some(1), "nor is it published");
    fs::write(&forged, bytes).unwrap();
    // A report that was published and is not told of in the next one is missing there.
    let record = fs::read_dir(gateway.folder.join("second/published")).unwrap().map(|entry| entry.unwrap().path());
    record
        .filter(|path| !path.to_string_lossy().contains(second["record"].as_str().unwrap()))
        .for_each(|path| fs::remove_file(path).unwrap());
    let output = gateway.verify("second");
    assert!(output.status.code() == Some(1) && said(&output).contains("TV-R06"), "{}", said(&output));
}

#[test]
fn what_nobody_who_may_has_signed_for_this_gateway_is_not_made_public() {
    let gateway = Gateway::start_with(with_words);
    gateway.wallet("stranger.json");
    let state = |wallet: &str, more: &str| format!("report state --wallet {wallet}.json --name no-taps --text None. {more}");
    let soon = format!("--renew-by {}", hour(24));
    assert!(gateway.refused(2, &state("counsel", &soon)).contains("TV-Q03"));
    assert!(gateway.refused(2, &state("stranger", &soon)).contains("TV-Q02"));
    assert!(gateway.refused(3, &state("clerk", &format!("--renew-by {}", hour(24 * 401)))).contains("TV-C07"));
    assert!(gateway.refused(3, &state("clerk", "")).contains("--renew-by"));
    gateway.run(&state("clerk", &format!("{soon} --offline --out other.json --origin gateway.other.example")));
    assert!(gateway.refused(2, "report state --record other.json").contains("TV-C12"));

    // As somebody would who does not use this program.
    let clerk = Wallet::load(&gateway.folder.join("clerk.json")).unwrap();
    let origin = fs::read_to_string(gateway.folder.join("demo/log.vkey")).unwrap().split('+').next().unwrap().to_owned();
    let now = Clock::new().now().unwrap();
    let document = |renew_by: UnixMs, at: UnixMs| {
        json!({"gateway": origin, "author": clerk.did().to_string(), "at": at.to_string(), "nonce": "ab".repeat(16), "name": "no-taps",
               "text": "None.", "renew_by": renew_by.to_string()})
    };
    let day = 24 * HOUR;
    let good = clerk.file::<Statement>(
        &json!({"name": "no-taps", "text": "None.", "renew_by": UnixMs(now.0 + day).to_string()}),
        &Origin::new(&*origin),
        now,
        &mut entropy(),
    );
    let mallory = SignKey::from_seed(&Secret::take(&mut [77; 32]));
    let by = |key: &SignKey, said: Value| Envelope::sign(&good.as_ref().unwrap().payload_type, said.to_string().into(), key);
    let seed = |n: i64| UnixMs(now.0 + n * day);
    for (name, envelope, code) in [
        ("forged", by(&mallory, document(seed(30), now)), "TV-C05"),
        ("endless", by(&mallory, document(seed(401), now)), "TV-C07"),
        ("unknown", by(&mallory, json!({"motto": "x"})), "TV-C06"),
    ] {
        fs::write(gateway.folder.join(&format!("{name}.json")), envelope.to_json()).unwrap();
        let told = gateway.refused(2, &format!("report state --record {name}.json"));
        assert!(told.contains(code), "{name}: {told}");
    }
    assert_eq!(gateway.run("report state --record report.toml").status.code(), Some(3), "no record at all");

    let other = Envelope::sign("application/vnd.twinveil.notice+json;v=1", document(seed(30), now).to_string().into(), &mallory);
    fs::write(gateway.folder.join("notice.json"), other.to_json()).unwrap();
    assert!(gateway.refused(3, "report state --record notice.json").contains("is no statement"));

    gateway.make("report");
    assert!(gateway.report("report")["statements"].as_array().unwrap().is_empty(), "nothing of it was taken");
    assert!(gateway.refused(2, "report publish report --wallet counsel.json").contains("TV-Q03"));
    assert_eq!(fs::read_dir(gateway.folder.join("report/published")).unwrap().count(), 0, "what was refused is not kept");
    assert!(gateway.refused(3, "report publish report --wallet clerk.json --origin gateway.other.example").contains("name its gateway"));
    assert!(gateway.verified("report").contains("the report itself is not in the log"));
}

fn figure<'r>(report: &'r Value, row: &str, column: usize) -> &'r Value {
    let table = report["tables"].as_array().unwrap().iter().find(|table| table["id"] == "refused").unwrap();
    &table["rows"].as_array().unwrap().iter().find(|found| found["id"] == row).unwrap_or_else(|| panic!("{table}"))["figures"][column]
}

#[test]
fn what_the_gateway_refused_is_in_the_report_by_reason_and_bound_to_the_log() {
    let gateway = Gateway::start_with(with_words);
    gateway.publish(&[super::frame(1, "refused-canary"), super::frame(2, "b")]);
    assert_eq!(gateway.soon_logged("refusals"), 1);
    gateway.make("report");
    let report = gateway.report("report");
    assert_eq!(figure(&report, "TV-G01", 1)["value"], json!({"sum": 2}), "nobody is enrolled");
    assert_eq!(figure(&report, "TV-G01", 0)["value"], json!({"count": 1}));
    assert_eq!(figure(&report, "TV-G01", 0)["leaves"], figure(&report, "TV-G01", 1)["leaves"]);
    gateway.verified("report");
    let file = gateway.folder.join("report/refusals.json");
    let whole = fs::read_to_string(&file).unwrap();
    assert!(fs::read_to_string(gateway.folder.join("report/report.html")).unwrap().contains("the subject of the frame is not enrolled"));
    for entry in fs::read_dir(gateway.folder.join("report")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = fs::read_to_string(&entry).unwrap();
        assert!(!text.contains("refused-canary") && !text.contains("p-17") && !text.contains("hospital"), "{}", entry.display());
    }

    // Left out, it shows; and one that never was is found.
    fs::write(&file, "{\"objects\": []}").unwrap();
    let output = gateway.verify("report");
    assert!(
        output.status.code() == Some(1) && said(&output).contains("`refused/total/refused`: the report says `2`, counted again it is `0`"),
        "{}",
        said(&output)
    );
    let object = serde_json::from_str::<Value>(&whole).unwrap()["objects"][0].as_str().unwrap().to_owned();
    let mut bytes = data_encoding::BASE64.decode(object.as_bytes()).unwrap();
    let read = String::from_utf8_lossy(&bytes).into_owned();
    assert!(read.contains("TV-G01") && !["canary", "p-17", "hospital"].iter().any(|told| read.contains(told)), "{read}");
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, json!({"objects": [data_encoding::BASE64.encode(&bytes)]}).to_string()).unwrap();
    let output = gateway.verify("report");
    assert!(output.status.code() == Some(1) && said(&output).contains("TV-R02"), "{}", said(&output));
    fs::write(&file, whole).unwrap();
    gateway.verified("report");

    // Whoever makes one without it tells that there is something.
    let (from, until) = (hour(-2), hour(2));
    fs::create_dir(gateway.folder.join("none")).unwrap();
    let args = ["report", "make", "--from", &from, "--until", &until, "--dir", "demo", "--words", "report.toml", "--out", "other"];
    let made = Command::new(TWINVEIL).args(args).args(["--disclosed", "none"]).current_dir(&gateway.folder.0).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(figure(&gateway.report("other"), "unshown", 0)["value"], json!({"count": 1}));
    gateway.verified("other");
}

#[test]
fn an_assessment_of_risks_is_in_the_report_by_groups_and_of_nobody() {
    let gateway = Gateway::start_with(with_words);
    let assess = |name: &str, more: &str| {
        let line = format!("risk --config demo/twinveil.toml --output json {more}");
        let ran = Command::new(TWINVEIL).args(line.split_whitespace()).current_dir(&gateway.folder.0).output().unwrap();
        assert!(ran.status.success(), "{}", said(&ran));
        fs::write(gateway.folder.join(name), &ran.stdout).unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    let mut whole: Value = serde_json::from_str(&assess("risk.json", "")).unwrap();
    for to in whole["views"].as_array_mut().unwrap().iter_mut().flat_map(|view| view["to"].as_array_mut().unwrap()) {
        to["name"] = "canary-party".into();
    }
    fs::write(gateway.folder.join("risk.json"), whole.to_string()).unwrap();
    assess("turbine.json", "--schema twinveil.sample.TurbineFrame");
    // Before, one rule did not bite.
    let mut before = whole.clone();
    let rule = before["findings"][0]["rule"].clone();
    before["findings"].as_array_mut().unwrap().retain(|finding| finding["rule"] != rule);
    fs::write(gateway.folder.join("before.json"), before.to_string()).unwrap();

    gateway.make_with("report", "--risk risk.json --risk turbine.json --risk-before before.json");
    let report = gateway.report("report");
    let risk = report["risk"].as_array().unwrap();
    assert_eq!(risk.len(), 2);
    assert_eq!((&risk[0]["whole"], &risk[1]["whole"], &risk[1]["changes"]), (&true.into(), &false.into(), &Value::Null));
    assert_eq!(risk[0]["summary"], whole["summary"], "counted anew, it is what the assessment says");
    let change = risk[0]["changes"].as_array().unwrap().iter().find(|change| change["rule"] == rule).unwrap();
    assert_eq!((&change["worse"], &change["what"]), (&true.into(), &"bites".into()));
    let text = gateway.verified("report");
    assert!(text.contains("the operator vouches for 2 assessments of risks"), "{text}");
    let html = fs::read_to_string(gateway.folder.join("report/report.html")).unwrap();
    assert!(html.contains("What flows to whom") && html.contains("Assessment 2") && html.contains("A rule bites that did not"));

    // Nobody who gets something is named, and no field.
    let fields = whole["views"][0]["fields"].as_array().unwrap().iter().map(|field| field["path"].as_str().unwrap());
    let fields: Vec<&str> = fields.filter(|path| path.contains('.')).collect();
    assert!(fields.len() > 3, "{fields:?}");
    for file in ["report.json", "report.csv", "report.html"] {
        let text = fs::read_to_string(gateway.folder.join("report").join(file)).unwrap();
        for told in fields.iter().chain(&["canary-party", "spiffe://", "did:key:", "twinveil.sample."]) {
            assert!(!text.contains(told), "{file}: {told}");
        }
    }

    // What does not fit together, and what is of another gateway or of something else, is not shown.
    let file = gateway.folder.join("report/report.json");
    let mut bent: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    bent["risk"][0]["summary"]["shown"]["critical"] = 999.into();
    bent["risk"][0]["summary"]["bites"] = json!([]);
    fs::write(&file, bent.to_string()).unwrap();
    let output = gateway.verify("report");
    assert!(output.status.code() == Some(1) && said(&output).contains("TV-R14"), "{}", said(&output));
    let mut other = whole.clone();
    other["gateway"] = "gateway.other.example".into();
    fs::write(gateway.folder.join("other.json"), other.to_string()).unwrap();
    let mut named = whole;
    named["views"][0]["to"][0]["groups"] = json!(["did:key:z6MkSomebody"]);
    fs::write(gateway.folder.join("named.json"), named.to_string()).unwrap();
    for (more, code, why) in [
        ("--risk other.json", 3, "is of the gateway"),
        ("--risk turbine.json --risk-before before.json", 3, "an earlier assessment of none"),
        ("--risk demo/policy.cedar", 3, "TV-A"),
        ("--risk named.json", 1, "TV-R14"),
    ] {
        let output = gateway.making("bad", more);
        assert!(output.status.code() == Some(code) && said(&output).contains(why), "{more}: {}", said(&output));
        assert!(!gateway.folder.join("bad/report.json").exists(), "{more}");
    }
}
