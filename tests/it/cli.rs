//! Do the commands say what their transcripts in tests/cmd say, and do they fit together around a running gateway?

mod desk;
mod reports;
mod stories;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::harness::Folder;

const TWINVEIL: &str = env!("CARGO_BIN_EXE_twinveil");

/// A transcript runs in the folder of its own name, copied, so that it may write there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn every_command_prints_what_its_transcript_says() {
    let folder = Folder::new();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd"), &folder.0);
    for entry in fs::read_dir(&folder.0).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|ending| ending == "md") {
            fs::create_dir_all(entry.path().with_extension("in")).unwrap();
        }
    }
    let cases = trycmd::TestCases::new();
    cases.register_bin("twinveil", Path::new(TWINVEIL)).case(folder.join("*.md")).run();
}

/// A gateway of its own in a fresh folder; it ends with the test.
struct Gateway {
    folder: Folder,
    address: String,
    process: Child,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `twinveil serve`, and where it listens.
fn serve(folder: &Path) -> (Child, String) {
    let mut process = Command::new(TWINVEIL)
        .args(["serve", "--config", "demo/twinveil.toml"])
        .current_dir(folder)
        .envs([("TWINVEIL_LISTEN", "127.0.0.1:0"), ("TWINVEIL_HEALTH_LISTEN", "127.0.0.1:0")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next()).unwrap_or_else(|| panic!("{line}"));
    (process, address.to_owned())
}

impl Gateway {
    fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// After something was done in its folder.
    fn start_with(first: impl FnOnce(&Path)) -> Self {
        let folder = Folder::new();
        assert!(Command::new(TWINVEIL).args(["init", "demo"]).current_dir(&folder.0).output().unwrap().status.success());
        first(&folder.0);
        let (process, address) = serve(&folder.0);
        Self { folder, address, process }
    }

    /// Kills it, as a crash would, and starts it on what is there.
    fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        (self.process, self.address) = serve(&self.folder.0);
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(TWINVEIL);
        command.args(line.split_whitespace()).args(["--dir", "demo", "--gateway", &self.address]).current_dir(&self.folder.0);
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs a command that must end well, and reads the JSON it prints.
    fn json(&self, line: &str) -> Value {
        let output = self.run(&format!("{line} --output json"));
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes a wallet; its public half.
    fn wallet(&self, name: &str) -> Value {
        let output = Command::new(TWINVEIL).args(["wallet", "new", name, "--output", "json"]).current_dir(&self.folder.0).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn subscribe(&self, line: &str) -> BufReader<std::process::ChildStdout> {
        let line = format!("subscribe --schema {PATIENT} {line}");
        BufReader::new(self.command(&line).stdout(Stdio::piped()).spawn().unwrap().stdout.unwrap())
    }

    /// Publishes frames of patients.
    fn publish(&self, frames: &[Value]) -> Output {
        self.publish_as("hospital", PATIENT, frames)
    }

    fn publish_as(&self, source: &str, schema: &str, frames: &[Value]) -> Output {
        let mut command = self.command(&format!("publish --as {source} --schema {schema} --output json -"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        for frame in frames {
            writeln!(input, "{frame}").unwrap();
        }
        drop(input);
        process.wait_with_output().unwrap()
    }
}

const PATIENT: &str = "twinveil.sample.PatientFrame";
const CLINICIAN: &str = "--to spiffe://example.org/recipient/clinician --purpose dpv:ServiceProvision";

fn frame(at: u32, note: &str) -> Value {
    serde_json::json!({"patientId": "p-17", "capturedAtMs": at.to_string(), "vitals": {"heartRateBpm": 60}, "position": {"latitude": 48.2}, "note": note})
}

fn event(lines: &mut impl BufRead) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("no event: `{line}`"))
}

#[test]
fn a_patient_grants_a_clinician_reads_and_a_withdrawal_ends_it() {
    let gateway = Gateway::start();
    gateway.wallet("patient.json");
    let clinician = gateway.wallet("clinician.json");
    gateway.json(
        "wallet enrol --wallet patient.json --value p-17 --source spiffe://example.org/source/hospital --source-key demo/keys/hospital.key",
    );
    let key = clinician["key"].as_str().unwrap();
    let rules = format!("--permit health=keep --permit note=encrypt --permit time=keep --give-key --key {key} --days 1");
    let record = gateway.json(&format!("wallet grant --wallet patient.json {CLINICIAN} {rules}"));
    assert_eq!(record["seq"], 1);

    let purpose = "--as clinician --purpose dpv:ServiceProvision";
    let mut opening = gateway.subscribe(&format!("{purpose} --open clinician.json"));
    let mut closed = gateway.subscribe(purpose);
    for lines in [&mut opening, &mut closed] {
        assert_eq!(event(lines)["event"], "header");
    }
    let sent: Value = serde_json::from_slice(&gateway.publish(&[frame(1, "a"), frame(2, "b")]).stdout).unwrap();
    assert_eq!((&sent["frames"], &sent["accepted"]), (&2.into(), &2.into()));

    for (lines, opened, note) in [(&mut opening, 1, Value::from("a")), (&mut closed, 0, Value::Null)] {
        let view = event(lines);
        assert_eq!((&view["event"], &view["fields"]["note"]), (&"view".into(), &"encrypt".into()));
        let frame = event(lines);
        assert_eq!((&frame["handover"], &frame["sealed"], &frame["opened"]), (&1.into(), &1.into(), &opened.into()));
        assert_eq!((&frame["message"]["vitals"]["heartRateBpm"], &frame["message"]["note"]), (&60.0.into(), &note));
        assert_eq!((&frame["message"]["position"], &frame["message"]["patientId"]), (&Value::Null, &Value::Null));
        assert_eq!(event(lines)["handover"], 2);
    }

    let ended = gateway.json("wallet withdraw --wallet patient.json --all");
    assert_eq!((&ended["ended"], ended["streams"].as_array().unwrap().len()), (&1.into(), 2));
    assert!(ended["streams"].as_array().unwrap().iter().all(|stream| stream["last_handover"] == 2));
    gateway.publish(&[frame(3, "c")]);
    for lines in [&mut opening, &mut closed] {
        let view = event(lines);
        assert_eq!((&view["event"], &view["open"]), (&"view".into(), &false.into()));
    }
    assert_eq!(gateway.json("wallet standing --wallet patient.json")["grants"][0]["state"], "withdrawn");
}

#[test]
fn records_signed_offline_are_sent_once_and_again_without_harm() {
    let gateway = Gateway::start();
    gateway.wallet("patient.json");
    let enrol = "wallet enrol --wallet patient.json --value p-17 --source spiffe://example.org/source/hospital --out half.json";
    assert!(gateway.run(enrol).status.success());
    assert_eq!(gateway.json("wallet countersign half.json --key demo/keys/hospital.key")["seq"], 0);
    let grant = format!("wallet grant --wallet patient.json {CLINICIAN} --permit health=keep --days 1 --offline --head 0 --out grant.json");
    assert!(gateway.run(&grant).status.success());
    let taken = gateway.json("wallet submit grant.json");
    assert_eq!((&taken["seq"], gateway.json("wallet submit grant.json")), (&1.into(), taken.clone()));

    let forked = gateway.run(&grant.replace("grant.json", "forked.json"));
    assert!(forked.status.success());
    let refused = gateway.run("wallet submit forked.json");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).starts_with("twinveil: TV-C14: not the next record: the head is number 1"));

    assert!(gateway.run("wallet withdraw --wallet patient.json --up-to 1 --offline --out end.json").status.success());
    assert_eq!(gateway.json("wallet submit end.json")["ended"], 1);
}

#[test]
fn an_operators_mandate_opens_what_is_not_about_persons() {
    let gateway = Gateway::start();
    let made = Command::new(TWINVEIL)
        .args(["wallet", "new", "operator.json", "--from-key", "demo/keys/operator.key"])
        .current_dir(&gateway.folder.0)
        .output();
    assert!(made.unwrap().status.success());
    let to = "--to spiffe://example.org/recipient/vendor --purpose dpv:TechnicalServiceProvision";
    let mandate =
        format!("wallet grant --wallet operator.json --role operator {to} --permit operation=keep --permit site=encrypt --days 1");
    assert_eq!(gateway.json(&mandate)["seq"], 1);
    let explained = gateway.run(&format!("explain --wallet operator.json {to} --schema twinveil.sample.TurbineFrame --output json"));
    let fields: Vec<Value> = String::from_utf8(explained.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let treatment = |path: &str| fields.iter().find(|field| field["path"] == path).unwrap()["treatment"].clone();
    assert_eq!(
        (treatment("condition.gearbox_c"), treatment("site.name"), treatment("actions.operator_id")),
        ("keep".into(), "encrypt".into(), "strip".into())
    );

    gateway.wallet("somebody.json");
    let refused = gateway.run(&mandate.replace("operator.json", "somebody.json"));
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn whoever_may_not_is_denied_and_strangers_are_refused() {
    let gateway = Gateway::start();
    let frames = gateway.publish(&[frame(1, "a")]);
    assert_eq!(frames.status.code(), Some(1), "not enrolled");
    assert!(String::from_utf8_lossy(&frames.stderr).contains("frames were refused: `TV-G01`"));
    let denied = gateway.run(&format!("subscribe --as hospital --schema {PATIENT} --purpose dpv:ServiceProvision"));
    assert_eq!(denied.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&denied.stderr).starts_with("twinveil: TV-G03: "));

    // A certificate of the right authority's name, and of none that the gateway believes.
    let other = gateway.folder.join("other");
    let certs = ["certs", "--dir", "other", "--party", "portal=spiffe://example.org/portal"];
    assert!(Command::new(TWINVEIL).args(certs).current_dir(&gateway.folder.0).output().unwrap().status.success());
    fs::copy(gateway.folder.join("demo/certs/ca.pem"), other.join("ca.pem")).unwrap();
    gateway.wallet("patient.json");
    let refused = gateway.run("wallet standing --wallet patient.json --certs other");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).starts_with("twinveil: the gateway refused the certificate of `portal`"));
}
