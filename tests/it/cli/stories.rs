//! Stories of people who speak for others, each end to end by the command line against a gateway of its own.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::PATIENCE;

use super::{CLINICIAN, Gateway, PATIENT, TWINVEIL, event, frame};

const HOSPITAL: &str = "--source spiffe://example.org/source/hospital --source-key demo/keys/hospital.key";
const VENDOR: &str = "--to spiffe://example.org/recipient/vendor --purpose dpv:TechnicalServiceProvision";

impl Gateway {
    /// What a command that is denied says first.
    pub(super) fn denied(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        text.strip_prefix("twinveil: ").and_then(|text| text.split(':').next()).unwrap_or_default().to_owned()
    }

    pub(super) fn did(&self, wallet: &str) -> String {
        self.wallet(wallet)["did"].as_str().unwrap().to_owned()
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn a_patients_guardian_grants_a_cardiologist_and_withdraws() {
    let gateway = Gateway::start();
    let (child, guardian) = (gateway.did("child.json"), gateway.did("guardian.json"));
    gateway.json(&format!("wallet enrol --wallet child.json --value p-17 {HOSPITAL}"));
    // The child's key signs here, the guardian's there; whoever has the whole record hands it in.
    let any = "--recipient any --purpose any --permit any --days 365 --may view,grant,renew,withdraw";
    let half = format!("wallet delegate --wallet child.json --to {guardian} --capacity guardian {any} --out half.json");
    assert!(gateway.run(&half).status.success());
    assert_eq!(gateway.denied("wallet submit half.json"), "TV-C05");
    let delegation = text(&gateway.json("wallet cosign --wallet guardian.json half.json")["record"]);
    let by = format!("--wallet guardian.json --for {child} --authority {delegation}");

    let mut stream = gateway.subscribe("--as clinician --purpose dpv:ServiceProvision");
    assert_eq!(event(&mut stream)["event"], "header");
    let granted = gateway.json(&format!("wallet grant {by} {CLINICIAN} --permit health=keep --permit time=keep --days 30"));
    assert_eq!(granted["seq"], 2);
    gateway.publish(&[frame(1, "a")]);
    assert_eq!((&event(&mut stream)["open"], &event(&mut stream)["message"]["vitals"]["heartRateBpm"]), (&true.into(), &60.0.into()));

    let standing = gateway.json("wallet standing --wallet child.json");
    assert_eq!(
        (&standing["grants"][0]["delegate"], &standing["grants"][0]["authority"]),
        (&guardian.clone().into(), &delegation.clone().into())
    );
    assert_eq!(gateway.json(&format!("wallet standing {by}"))["grants"][0]["state"], "live");
    let explained = gateway.run(&format!("explain {by} {CLINICIAN} --schema {PATIENT} --output json"));
    assert!(String::from_utf8_lossy(&explained.stdout).lines().next().unwrap().contains("\"delivers\":true"), "{explained:?}");

    let ended = gateway.json(&format!("wallet withdraw {by} --all"));
    assert_eq!((&ended["ended"], &ended["streams"][0]["last_handover"]), (&1.into(), &1.into()));
    assert_eq!(event(&mut stream)["open"], false);
    let told = gateway.run("wallet notices --wallet child.json --past --count 3 --output json");
    let told: Vec<Value> = String::from_utf8(told.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let by_guardian = format!("delegate {guardian}");
    assert_eq!(
        told.iter().map(|notice| (text(&notice["what"]), text(&notice["by"]))).collect::<Vec<_>>(),
        [("delegated".to_owned(), "subject".to_owned()), ("granted".into(), by_guardian.clone()), ("withdrawn".into(), by_guardian)]
    );
    // Who signed has the receipt; the child asks for all of them, and the guardian for what they may see.
    let acts = |wallet: &str| -> Vec<String> {
        assert!(gateway.run(&format!("wallet receipts --wallet {wallet} --verify")).status.success());
        let lines = gateway.run(&format!("wallet receipts --wallet {wallet} --output json")).stdout;
        let lines = String::from_utf8(lines).unwrap();
        lines.lines().map(|line| text(&serde_json::from_str::<Value>(line).unwrap()["act"])).collect()
    };
    assert_eq!(
        (acts("child.json"), acts("guardian.json")),
        (vec!["enrolment".into()], ["delegation", "consent", "withdrawal"].map(str::to_owned).to_vec())
    );
    assert!(gateway.run("wallet receipts --wallet child.json --fetch").status.success());
    assert_eq!(acts("child.json"), ["enrolment", "delegation", "consent", "withdrawal"]);
    assert!(gateway.run(&format!("wallet receipts {by} --fetch")).status.success());
    // The guardian steps back; from then on nobody speaks for the child.
    assert_eq!(gateway.json(&format!("wallet end-delegation {by}"))["ended"], 0);
    assert_eq!(acts("guardian.json").last().unwrap(), "end of a delegation");
    assert_eq!(gateway.denied(&format!("wallet grant {by} {CLINICIAN} --permit health=keep --days 30")), "TV-C22");
}

#[test]
fn a_steward_of_a_wind_farm_grants_the_vendor_condition_data_and_not_load() {
    let gateway = Gateway::start();
    let (turbine, steward) = (gateway.did("turbine.json"), gateway.did("steward.json"));
    gateway.json(
        "wallet enrol --wallet turbine.json --value wt-7 --source spiffe://example.org/source/windfarm --source-key demo/keys/windfarm.key",
    );
    let scope = "--recipient spiffe://example.org/recipient/vendor --purpose dpv:TechnicalServiceProvision --permit operation=keep --permit time=generalize";
    let delegate = format!("wallet delegate --wallet turbine.json --to {steward} --capacity steward --may view,grant --days 90 {scope}");
    let delegation = text(&gateway.json(&format!("{delegate} --delegate-wallet steward.json"))["record"]);
    let by = format!("--wallet steward.json --for {turbine} --authority {delegation}");
    // Load is not the steward's to give, nor is another recipient, nor a time as it is.
    for beyond in ["--permit demand=generalize", "--permit operation=keep --permit time=keep", "--permit sensitivity:operational=keep"] {
        assert_eq!(gateway.denied(&format!("wallet grant {by} {VENDOR} {beyond} --days 30")), "TV-C24", "{beyond}");
    }
    assert_eq!(gateway.denied(&format!("wallet grant {by} {CLINICIAN} --permit operation=keep --days 30")), "TV-C24");
    assert_eq!(gateway.denied(&format!("wallet withdraw {by} --all")), "TV-C23");
    let granted = gateway.json(&format!("wallet grant {by} {VENDOR} --permit operation=keep --permit time=generalize --days 30"));
    assert_eq!(granted["seq"], 2);

    let line = "subscribe --schema twinveil.sample.TurbineFrame --as vendor --purpose dpv:TechnicalServiceProvision";
    let stream = gateway.command(line).stdout(Stdio::piped()).spawn().unwrap().stdout.unwrap();
    let mut stream = std::io::BufReader::new(stream);
    assert_eq!(event(&mut stream)["event"], "header");
    let sent = json!({"assetId": "wt-7", "capturedAtMs": "1", "condition": {"gearboxC": 61.5}, "production": {"activePowerKw": 1234.5},
                      "demand": {"setpointKw": 2000}, "actions": [{"operatorId": "badge-4", "command": "stop"}]});
    assert!(gateway.publish_as("windfarm", "twinveil.sample.TurbineFrame", &[sent]).status.success());
    assert_eq!(event(&mut stream)["event"], "view");
    let frame = event(&mut stream);
    assert_eq!(frame["message"]["condition"]["gearboxC"], 61.5);
    for hidden in ["1234.5", "2000", "badge-4", "stop", "wt-7"] {
        assert!(!frame.to_string().contains(hidden), "{frame}");
    }
}

#[test]
fn a_patient_narrows_a_grant_while_it_streams() {
    let gateway = Gateway::start();
    gateway.wallet("patient.json");
    gateway.json(&format!("wallet enrol --wallet patient.json --value p-17 {HOSPITAL}"));
    let wide = gateway.json(&format!("wallet grant --wallet patient.json {CLINICIAN} --permit health=keep --permit time=keep --days 30"));
    let mut stream = gateway.subscribe("--as clinician --purpose dpv:ServiceProvision");
    assert_eq!(event(&mut stream)["event"], "header");
    // A recording without an end, on its way while the patient narrows.
    let mut source = gateway.command(&format!("publish --as hospital --schema {PATIENT} --rate 200 -"));
    let mut source = source.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = source.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        use std::io::Write;
        // Until nobody reads any more.
        for at in 1.. {
            if writeln!(input, "{}", frame(at, "word by word")).is_err() {
                return;
            }
        }
    });
    assert_eq!(event(&mut stream)["fields"]["note"], "keep");
    for _ in 0..20 {
        assert_eq!(event(&mut stream)["message"]["note"], "word by word");
    }
    let narrow = format!("wallet grant --wallet patient.json {CLINICIAN} --permit vitals=generalize --permit time=keep --days 30");
    gateway.json(&format!("{narrow} --replaces {}", &text(&wide["record"])[..12]));
    // Every frame is under the view that was announced before it, and it never closes in between.
    let (mut narrowed, patience) = (false, Instant::now() + PATIENCE);
    while Instant::now() < patience {
        let event = event(&mut stream);
        match event["event"].as_str().unwrap() {
            "view" => {
                assert_eq!((&event["open"], &event["fields"]["note"], narrowed), (&true.into(), &"strip".into(), false));
                narrowed = true;
            }
            "frame" => assert_eq!(event["message"]["note"].is_null(), narrowed),
            other => panic!("{other}"),
        }
        if narrowed && event["handover"].as_u64().is_some() {
            break;
        }
    }
    assert!(narrowed);
    source.kill().unwrap();
    source.wait().unwrap();
    feeding.join().unwrap();
    let states: Vec<String> = gateway.json("wallet standing --wallet patient.json")["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| text(&grant["state"]))
        .collect();
    assert_eq!(states, ["replaced", "live"]);
}

#[test]
fn what_operators_do_is_shown_when_the_works_council_signs_too() {
    let gateway = Gateway::start();
    let (operator, council) = (gateway.did("operator-own.json"), gateway.did("council.json"));
    let made = ["wallet", "new", "operator.json", "--from-key", "demo/keys/operator.key", "--output", "json"];
    let made = Command::new(TWINVEIL).args(made).current_dir(&gateway.folder.0).output().unwrap();
    let mandate_key = text(&serde_json::from_slice::<Value>(&made.stdout).unwrap()["did"]);
    let agree = format!("wallet agree --wallet operator.json --role operator --match operation --need 2 --of {mandate_key},{council}");
    let agreement = text(&gateway.json(&agree)["record"]);
    let mandate = format!("wallet grant --wallet operator.json --role operator {VENDOR} --permit operation=keep --days 30");
    assert_eq!(gateway.denied(&mandate), "TV-C26");
    let record = text(&gateway.json(&format!("{mandate} --cosign council.json"))["record"]);
    let explain = format!("explain --wallet operator.json {VENDOR} --schema twinveil.sample.TurbineFrame --output json");
    assert!(String::from_utf8(gateway.run(&explain).stdout).unwrap().contains(&format!("mandate {}", &record[..8])));
    // The council alone ends it, and nobody unties the agreement without them.
    let untie = format!("wallet agree --wallet operator.json --role operator --replaces {agreement}");
    assert_eq!(gateway.denied(&untie), "TV-C26");
    let ended = gateway.json(&format!("wallet withdraw --wallet council.json --of {mandate_key} --agreement {agreement} {record}"));
    assert_eq!(ended["ended"], 1);
    assert_eq!(
        gateway.denied(&format!("wallet withdraw --wallet operator-own.json --of {mandate_key} --agreement {agreement} {record}")),
        "TV-C22"
    );
    gateway.json(&format!("{untie} --cosign council.json"));
    assert_ne!(operator, mandate_key);
}

#[test]
fn a_patient_renews_what_comes_to_its_end() {
    let gateway = Gateway::start();
    gateway.wallet("patient.json");
    let grant = format!("wallet grant --wallet patient.json {CLINICIAN} --permit health=keep --days 10");
    let first = text(&gateway.json(&grant)["record"]);
    assert_eq!(gateway.json("wallet standing --wallet patient.json")["grants"][0]["needs_renewal"], false);
    let renewed = gateway.json(&format!("wallet renew --wallet patient.json {} --days 30", &first[..8]));
    assert_eq!(renewed["seq"], 2);
    let standing = gateway.json("wallet standing --wallet patient.json");
    assert_eq!((&standing["grants"][0]["state"], &standing["grants"][1]["state"]), (&"replaced".into(), &"live".into()));
    assert_eq!(standing["grants"][0]["rules"], standing["grants"][1]["rules"]);
    // What is over is granted again, not renewed.
    assert_eq!(gateway.denied(&format!("wallet renew --wallet patient.json {} --days 30", &first[..8])), "TV-C16");
    let hours = Command::new(TWINVEIL)
        .args(grant.split(' '))
        .args(["--hours", "mon-fri 08:00-16:30 Europe/Wien", "--dir", "demo", "--gateway", &gateway.address])
        .current_dir(&gateway.folder.0)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&hours.stderr).contains("`windows[0].zone` is not an IANA time zone"), "{hours:?}");
}

#[test]
fn a_stream_of_notices_goes_on_until_it_has_told_enough() {
    let gateway = Gateway::start();
    gateway.wallet("patient.json");
    let mut listening = gateway.command("wallet notices --wallet patient.json --past --count 2").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufReader::new(listening.stdout.take().unwrap()).lines();
    gateway.json(&format!("wallet grant --wallet patient.json {CLINICIAN} --permit health=keep --days 1"));
    assert!(lines.next().unwrap().unwrap().ends_with("  granted  by subject"));
    gateway.json("wallet withdraw --wallet patient.json --all");
    assert!(lines.next().unwrap().unwrap().ends_with("  withdrawn  by subject"));
    assert!(lines.next().is_none() && listening.wait().unwrap().success());
}

#[test]
fn a_researcher_keeps_sealed_vitals_and_opens_those_that_the_patient_releases_later() {
    let gateway = Gateway::start();
    let researcher = gateway.wallet("researcher.json");
    gateway.wallet("patient.json");
    gateway.wallet("stranger.json");
    gateway.json(&format!("wallet enrol --wallet patient.json --value p-17 {HOSPITAL}"));
    let to = "--to spiffe://example.org/recipient/researcher --purpose dpv:ScientificResearch";
    let sealed = "--permit vitals=encrypt --permit time=generalize --days 30";
    let first = text(&gateway.json(&format!("wallet grant --wallet patient.json {to} {sealed}"))["record"]);
    let mut stream =
        gateway.subscribe("--as researcher --purpose dpv:ScientificResearch --keep frames.kept --count 3 --open researcher.json");
    assert_eq!(event(&mut stream)["event"], "header");
    gateway.publish(&[frame(1, "a"), frame(2, "b")]);
    assert_eq!(event(&mut stream)["fields"]["vitals.heart_rate_bpm"], "encrypt");
    for _ in 0..2 {
        let closed = event(&mut stream);
        assert_eq!((&closed["sealed"], &closed["opened"], &closed["message"]["vitals"]), (&1.into(), &0.into(), &Value::Null));
    }
    // The view changes, and its key with it.
    gateway.json(&format!("wallet grant --wallet patient.json {to} {sealed} --permit note=encrypt --replaces {first}"));
    gateway.publish(&[frame(3, "c")]);
    let mut last = String::new();
    while stream.read_line(&mut last).unwrap() > 0 {}
    drop(stream);
    assert!(last.contains("\"handover\":3"), "{last}");

    let list = gateway.run("wallet release --wallet patient.json --list --output json");
    let epochs: Vec<Value> = String::from_utf8(list.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        epochs.iter().map(|epoch| (&epoch["epoch"], &epoch["own"])).collect::<Vec<_>>(),
        [1, 2].map(|n| (n.into(), true.into())).iter().map(|(n, own): &(Value, Value)| (n, own)).collect::<Vec<_>>()
    );
    assert!(epochs.iter().all(|epoch| epoch["recipient"] == "spiffe://example.org/recipient/researcher"));
    // Whoever is not the patient has nothing of it, and releases nothing.
    let none = gateway.run("wallet release --wallet stranger.json --list --output json");
    assert!(none.status.success() && none.stdout.is_empty(), "{none:?}");
    let key = text(&researcher["key"]);
    let release = |wallet: &str, out: &str| {
        let whom = format!("--recipient spiffe://example.org/recipient/researcher --key {key} --to {}", text(&epochs[1]["from"]));
        gateway.run(&format!("wallet release --wallet {wallet} {whom} --out {out}"))
    };
    assert_eq!(release("stranger.json", "none.json").status.code(), Some(1));
    let released = release("patient.json", "release.json");
    assert!(released.status.success(), "{released:?}");

    // Nobody asks the gateway any more.
    let open = |with: &str| -> Vec<(u64, Value, Value)> {
        let line = format!("open frames.kept --schema {PATIENT} {with}");
        let output = Command::new(TWINVEIL).args(line.split_whitespace()).current_dir(&gateway.folder.0).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|event| event["event"] == "frame");
        let read = |event: Value| {
            let message = &event["message"];
            (event["opened"].as_u64().unwrap(), message["vitals"]["heartRateBpm"].clone(), message["note"].clone())
        };
        events.map(read).collect()
    };
    let (beats, closed) = (Value::from(60.0), (0, Value::Null, Value::Null));
    let opened = (1, beats.clone(), Value::Null);
    assert_eq!(open("--open researcher.json"), [closed.clone(), closed.clone(), closed.clone()]);
    assert_eq!(open("--open researcher.json --release release.json"), [opened.clone(), opened.clone(), closed.clone()]);
    assert_eq!(open("--open stranger.json --release release.json"), [closed.clone(), closed.clone(), closed]);
    // The patient opens all of it, whoever kept it.
    assert_eq!(open("--open patient.json"), [opened.clone(), opened, (1, beats, "c".into())]);
    // A release that was changed is nobody's.
    let mut bent = std::fs::read_to_string(gateway.folder.join("release.json")).unwrap();
    let at = bent.find("\"sig\"").unwrap() + 12;
    let other = if &bent[at..=at] == "A" { "B" } else { "A" };
    bent.replace_range(at..=at, other);
    std::fs::write(gateway.folder.join("bent.json"), bent).unwrap();
    let refused = Command::new(TWINVEIL)
        .args(["open", "frames.kept", "--schema", PATIENT, "--open", "researcher.json", "--release", "bent.json"])
        .current_dir(&gateway.folder.0)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("TV-C04"), "{refused:?}");
}
