//! The desk for legal demands by the command line: a court order under a gag, from the letter to the notice, and a letter that is refused.

mod stories;
mod turbine;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use twinveil::veil::name::UnixMs;
use twinveil::world::Clock;

use super::stories::text;
use super::{Gateway, PATIENT, TWINVEIL, event, frame};

const HOSPITAL: &str = "--source spiffe://example.org/source/hospital --source-key demo/keys/hospital.key";
const AUTHORITY: &str = "spiffe://example.org/recipient/authority";
const PERSONS: [(&str, &str); 5] =
    [("clerk", "clerk"), ("counsel", "counsel"), ("analyst", "analyst"), ("one", "approver"), ("two", "approver")];

/// Wallets of five persons, in the configuration; and what their records speak of.
pub(super) fn employ(folder: &Path) {
    let mut config = std::fs::read_to_string(folder.join("demo/twinveil.toml")).unwrap();
    for (name, role) in PERSONS {
        let file = format!("{name}.json");
        let made = Command::new(TWINVEIL).args(["wallet", "new", &file, "--output", "json"]).current_dir(folder).output().unwrap();
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let did = made["did"].as_str().unwrap();
        config.push_str(&format!("\n[[person]]\nname = \"{name}\"\nkeys = [\"{did}\"]\nroles = [\"{role}\"]\n"));
    }
    std::fs::write(folder.join("demo/twinveil.toml"), config).unwrap();
    for document in ["order.pdf", "reasoning.md"] {
        std::fs::write(folder.join(document), document).unwrap();
    }
}

fn at(seconds: i64) -> String {
    UnixMs(Clock::new().now().unwrap().0 + seconds * 1_000).to_string()
}

impl Gateway {
    /// What a command that is denied, or could not be done, says.
    pub(super) fn refused(&self, code: i32, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(code), "{line}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Files a demand about patient `p-17`; its id.
    fn file(&self, more: &str) -> String {
        let what = format!("--asks live-data --content --field {PATIENT}:vitals --about spiffe://example.org/source/hospital=p-17 {more}");
        let filed = self.json(&format!("demand file --wallet clerk.json {LETTER} {what}"));
        assert_eq!((&filed["state"], &filed["logged"]), (&"received".into(), &true.into()));
        filed["demand"].as_str().unwrap().to_owned()
    }

    /// All three stages, met; the record of the third.
    fn examine(&self, demand: &str) -> String {
        let answers = [
            ("counsel", "--n 1 --determination court-order --primary-law --jurisdiction"),
            ("counsel", "--n 2 --risk licence"),
            ("analyst", "--n 3 --right ICCPR:17=compatible"),
        ];
        let answered = answers
            .map(|(by, answer)| self.json(&format!("demand stage {demand} --wallet {by}.json {answer} --met --reasoning reasoning.md")));
        text(&answered[2]["record"])
    }

    /// Signed by one approver, and then by another: how the case stands.
    fn decided(&self, demand: &str, decision: &str) -> String {
        let draft = self.json(&format!("demand {decision} --wallet one.json --reasoning reasoning.md"));
        assert_eq!(draft["signatures_missing"], 1);
        text(&self.json(&format!("demand approve {demand} --wallet two.json --cosign"))["state"])
    }

    /// The records of a case, by kind.
    fn kinds(&self, demand: &str) -> Vec<String> {
        let shown = self.json(&format!("demand show {demand} --wallet clerk.json"));
        shown["records"].as_array().unwrap().iter().map(|record| text(&record["kind"])).collect()
    }
}

/// What is received, line by line, as it comes.
struct Receiving {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Receiving {
    /// From when on the stream is there.
    fn begin(gateway: &Gateway, line: &str) -> Self {
        let mut process = gateway.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        if !first.contains("\"header\"") {
            panic!("{line}: `{first}`: {}", said(process));
        }
        Self { process, lines }
    }

    /// The next frame.
    fn frame(&mut self) -> Value {
        loop {
            let event = event(&mut self.lines);
            match event["event"].as_str().unwrap() {
                "view" => continue,
                "frame" => return event["message"].clone(),
                other => panic!("{other}"),
            }
        }
    }

    /// All frames to its end, where it ends well.
    fn all(self) -> Vec<Value> {
        let (frames, code, said) = self.rest();
        assert_eq!(code, Some(0), "{said}");
        frames
    }

    /// What comes until it ends, and how it ends.
    fn rest(self) -> (Vec<Value>, Option<i32>, String) {
        let lines = self.lines.lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let frames = lines.filter(|event| event["event"] == "frame").map(|event| event["message"].clone()).collect();
        let output = self.process.wait_with_output().unwrap();
        (frames, output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

fn said(process: Child) -> String {
    String::from_utf8(process.wait_with_output().unwrap().stderr).unwrap()
}

const LETTER: &str = "--kind court --jurisdiction DE --home --authority Amtsgericht --document order.pdf --process order --statute StPO";

#[test]
fn a_court_order_under_a_gag_goes_from_the_letter_to_the_notice_by_the_command_line() {
    let gateway = Gateway::start_with(employ);
    gateway.wallet("patient.json");
    gateway.json(&format!("wallet enrol --wallet patient.json --value p-17 {HOSPITAL}"));
    assert!(
        gateway
            .refused(
                1,
                &format!("demand file --wallet clerk.json {LETTER} --asks live-data --about spiffe://example.org/source/hospital=p-18")
            )
            .contains("calls nobody `p-18` here")
    );
    let (from, until, gag) = (at(-60), at(3_600), at(12));
    let demand = gateway.file(&format!("--from {from} --until {until} --gag StPO --gag-until {gag}"));
    let list = gateway.json("demand list --wallet counsel.json");
    assert_eq!((&list["demand"], &list["gagged"], &list["source"]), (&demand.clone().into(), &true.into(), &"court DE".into()));
    let release = format!("demand release {demand} --as authority --schema {PATIENT}");
    assert!(gateway.refused(2, &release).contains("TV-G28"));
    gateway.examine(&demand);
    let decide = format!(
        "demand approve {demand} --wallet one.json --outcome comply-in-part --reason overbroad --field {PATIENT}:vitals.heart_rate_bpm \
         --to {AUTHORITY} --from {from} --until {until} --deferred-until {gag} --basis StPO --reasoning reasoning.md"
    );
    assert_eq!(gateway.json(&decide)["signatures_missing"], 1);
    assert!(gateway.refused(2, &format!("demand approve {demand} --wallet clerk.json --cosign")).contains("TV-Q03"));
    let decided = gateway.json(&format!("demand approve {demand} --wallet two.json --cosign"));
    assert_eq!((&decided["state"], &decided["signatures_missing"]), (&"approved".into(), &0.into()));
    assert_eq!(gateway.refused(1, &format!("demand approve {demand} --wallet two.json --cosign")).matches("no decision").count(), 1);

    let mut court = gateway.command(&format!("{release} --count 2")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(court.stdout.take().unwrap());
    assert_eq!(event(&mut lines)["event"], "header");
    gateway.publish(&[frame(1, "a"), frame(2, "b")]);
    assert_eq!(event(&mut lines)["event"], "view");
    for _ in 0..2 {
        let frame = event(&mut lines);
        assert_eq!(frame["message"], serde_json::json!({"vitals": {"heartRateBpm": 60.0}}));
    }
    assert!(court.wait().unwrap().success());

    // The gateway tells her by itself.
    let mut told = gateway.command("wallet notices --wallet patient.json --count 1").stdout(Stdio::piped()).spawn().unwrap();
    let line = BufReader::new(told.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(told.wait().unwrap().success() && line.ends_with(&format!("{demand}  demand")), "{line}");
    let shown = gateway.json(&format!("demand show {demand} --wallet clerk.json --out records"));
    let kinds: Vec<&str> = shown["records"].as_array().unwrap().iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["demand", "stage", "stage", "stage", "decision", "release", "notice"]);
    assert_eq!((&shown["gagged"], &shown["told"], shown["subjects"].as_array().unwrap().len()), (&false.into(), &true.into(), 1));
    assert_eq!(shown["records"][5]["said"]["frames"], 2);
    assert!(shown["records"].as_array().unwrap().iter().all(|record| record["entry"].is_u64()), "each has its entry");
    assert_eq!(std::fs::read_dir(gateway.folder.join("records")).unwrap().count(), 7);
    let text = String::from_utf8(gateway.run(&format!("demand show {demand} --wallet two.json")).stdout).unwrap();
    assert!(text.contains(&format!("released to {AUTHORITY} until")) && !text.contains("about"), "{text}");
    let list = String::from_utf8(gateway.run("demand list --wallet two.json").stdout).unwrap();
    assert!(list.starts_with("taken") && list.contains("comply-in-part"), "{list}");
}

#[test]
fn a_letter_that_asks_for_a_back_door_is_refused_and_whoever_is_no_person_of_the_desk_is_told_so() {
    let gateway = Gateway::start_with(employ);
    let filed = gateway.json(&format!("demand file --wallet clerk.json {LETTER} --asks redesign-backdoor --emergency"));
    let demand = filed["demand"].as_str().unwrap();
    gateway.wallet("stranger.json");
    assert!(gateway.refused(2, "demand list --wallet stranger.json").contains("TV-Q02"));
    assert!(gateway.refused(2, &format!("demand show {} --wallet clerk.json", "ab".repeat(32))).contains("TV-L14"));
    assert!(gateway.refused(3, "demand show ab --wallet clerk.json").contains("64 lower-case hexadecimal digits"));
    let refuse = format!("demand refuse {demand} --wallet one.json --reasoning reasoning.md");
    assert!(gateway.refused(3, &refuse).contains("--reason"));
    assert!(gateway.refused(3, &format!("{refuse} --reason because")).contains("TV-C07"));
    assert_eq!(gateway.json(&format!("{refuse} --reason redesign_out_of_scope"))["signatures_missing"], 1);
    assert_eq!(gateway.json(&format!("demand approve {demand} --wallet two.json --cosign"))["state"], "refused");
    let text = String::from_utf8(gateway.run(&format!("demand show {demand} --wallet analyst.json")).stdout).unwrap();
    assert!(text.contains("is released: TV-Q21"), "{text}");
}
