//! A turbine's twin from its recording to the transparency report: a steward with a delegation lets the maker have the machine, coarse; a
//! company demands the shift patterns; what was disclosed is proved to the steward, and counted. What should be in it is computed from the
//! recording by itself.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use twinveil::veil::consent::envelope::Envelope;

use super::super::stories::text;
use super::super::{Gateway, TWINVEIL};
use super::stories::pause;
use super::{AUTHORITY, LETTER, Receiving, at, employ};
use crate::harness::Folder;

const TURBINE: &str = "twinveil.sample.TurbineFrame";
const WINDFARM: &str = "spiffe://example.org/source/windfarm";
const VENDOR: &str = "spiffe://example.org/recipient/vendor";
const MAINTENANCE: &str = "dpv:TechnicalServiceProvision";
const LEGAL: &str = "dpv:LegalCompliance";
/// As the recording's folder is called.
const ASSET: &str = "turbine-R80711";

/// Ten minutes, as the recording has them.
struct Row {
    /// Where the turbine stands.
    local: String,
    ms: i64,
    /// In the order of the columns.
    numbers: [f32; 7],
}

impl Row {
    fn pitch(&self) -> f32 {
        self.numbers[0]
    }

    fn hour(&self) -> u32 {
        self.local[11..13].parse().unwrap()
    }

    /// What of it is about the machine.
    fn condition(&self) -> [f32; 3] {
        [self.numbers[0], self.numbers[5], self.numbers[3]]
    }

    /// All of it as a frame, with what people at the controls did, and a customer's order.
    fn frame(&self, acts: &[Value]) -> Value {
        let [pitch, power, wind, vane, outdoor, nacelle, direction] = self.numbers;
        json!({
            "assetId": ASSET, "capturedAtMs": self.ms.to_string(), "actions": acts,
            "condition": {"pitchDeg": pitch, "vaneDeg": vane, "nacelleDeg": nacelle},
            "production": {"activePowerKw": power, "windSpeedMS": wind, "windDirectionDeg": direction, "outdoorC": outdoor},
            "site": {"name": "R80711", "latitude": 48.4569, "longitude": 5.5847},
            "demand": {"customer": "mill", "setpointKw": if (7..20).contains(&self.hour()) { 1_500 } else { 500 }},
        })
    }
}

/// A month of a turbine, read with nothing of ours: of a real one; where no recording is on this machine, one made up in its form.
fn recording(made: &Folder) -> (PathBuf, Vec<Row>) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/data/assets/{ASSET}/telemetry.csv"));
    let file = if file.exists() { file } else { made_up(made) };
    let csv = std::fs::read_to_string(&file).unwrap();
    let row = |line: &str| {
        let mut cells = line.split(',');
        let local = cells.next().unwrap().to_owned();
        let ms = local.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let numbers: Vec<f32> = cells.map(|cell| cell.parse().unwrap()).collect();
        Row { local, ms, numbers: numbers.try_into().unwrap() }
    };
    let rows: Vec<Row> = csv.lines().skip(1).map(row).collect();
    assert!(rows.len() > 4_000, "a month of ten minutes");
    (file, rows)
}

fn made_up(made: &Folder) -> PathBuf {
    eprintln!("SKIPPED that the recording is a real one: there is none on this machine");
    let folder = made.join("assets").join(ASSET);
    std::fs::create_dir_all(&folder).unwrap();
    let plate = json!({"Wind_turbine_name": "R80711", "Latitude": "48.4569", "Longitude": "5.5847", "Rated_power": "2050",
                       "Manufacturer": "Senvion", "Model": "MM82"});
    std::fs::write(folder.join("asset.json"), plate.to_string()).unwrap();
    let columns = ["pitch_angle_deg", "active_power_kw", "wind_speed_m_s", "vane_position_deg", "outdoor_temp_degc", "nacelle_angle_deg"];
    let mut csv = format!("time_local_iso,{},wind_direction_deg\n", columns.join(","));
    for ten in 0..31 * 144 {
        let (day, hour, minute, wave) = (ten / 144 + 1, ten / 6 % 24, ten % 6 * 10, f64::from(ten) * 0.37);
        let pitch = if ten % 53 < 4 { 89.5 } else { wave.sin() - 0.3 };
        let [power, wind, vane, nacelle] =
            [600.0 + 500.0 * wave.sin(), 7.0 + 3.0 * wave.sin(), 8.0 * wave.cos(), 170.0 + 60.0 * wave.cos()];
        csv += &format!(
            "2014-01-{day:02}T{hour:02}:{minute:02}:00+01:00,{pitch:.2},{power:.2},{wind:.2},{vane:.2},4.25,{nacelle:.2},{nacelle:.2}\n"
        );
    }
    std::fs::write(folder.join("telemetry.csv"), csv).unwrap();
    folder.join("telemetry.csv")
}

/// What people did: whenever the blades go out of the wind somebody stopped it, and whoever is on shift then has a badge.
fn acts(rows: &[Row]) -> Vec<Vec<Value>> {
    let mut stands = false;
    let acted = |row: &Row| {
        let before = std::mem::replace(&mut stands, row.pitch() >= 45.0);
        let crew = match row.hour() {
            6..14 => "early",
            14..22 => "late",
            _ => "night",
        };
        let act =
            json!({"operatorId": format!("badge-{crew}"), "command": if stands { "stop" } else { "restart" }, "atMs": row.ms.to_string()});
        if before == stands { Vec::new() } else { vec![act] }
    };
    rows.iter().map(acted).collect()
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap_or_default() as f32
}

/// What of the machine a message says: pitch, nacelle, vane. Zero is not written.
fn condition(message: &Value) -> [f32; 3] {
    ["pitchDeg", "nacelleDeg", "vaneDeg"].map(|member| number(&message["condition"][member]))
}

fn members(message: &Value) -> Vec<&str> {
    message.as_object().unwrap().keys().map(String::as_str).collect()
}

/// `field treatment`, in order.
fn fields(disclosed: &Value) -> Vec<String> {
    let fields = disclosed["fields"].as_array().unwrap();
    let mut fields: Vec<String> = fields.iter().map(|field| format!("{} {}", text(&field["path"]), text(&field["treatment"]))).collect();
    fields.sort();
    fields
}

/// A wallet's history once nothing is under way any more: each line is an entry of the log, and holds.
fn history(gateway: &Gateway, who: &str) -> Value {
    for _ in 0..300 {
        let told = gateway.json(&format!("wallet history {who}"));
        assert_eq!(told["flaws"], json!([]));
        if told["under_way"] == json!([]) {
            assert!(told["disclosed"].as_array().unwrap().iter().all(|line| line["entry"].is_u64()), "{told}");
            return told;
        }
        pause();
    }
    panic!("it does not come to an end");
}

/// How many frames a recipient got, over all lines, which all say the same of the fields and the demand.
fn disclosed(history: &Value, recipient: &str, purpose: &str) -> (u64, Vec<String>, Value) {
    let lines: Vec<&Value> = history["disclosed"].as_array().unwrap().iter().filter(|line| line["recipient"] == recipient).collect();
    let first = lines.first().unwrap_or_else(|| panic!("nothing to {recipient}: {history}"));
    for line in &lines {
        assert_eq!((&line["purpose"], &line["schema"], &line["at_least"]), (&purpose.into(), &TURBINE.into(), &false.into()));
        assert_eq!((fields(line), &line["demand"], &line["records"]), (fields(first), &first["demand"], &first["records"]), "{history}");
    }
    (lines.iter().map(|line| line["frames"].as_u64().unwrap()).sum(), fields(first), first["demand"].clone())
}

#[test]
fn a_turbines_steward_lets_the_maker_in_a_company_gets_no_shift_pattern_and_history_and_report_say_so() {
    let made = Folder::new();
    let (file, rows) = recording(&made);
    let week: Vec<&Row> = rows.iter().filter(|row| ("2014-01-19".."2014-01-26").contains(&&row.local[..10])).collect();
    let acted = acts(&rows);
    let acted = |row: &Row| &acted[rows.iter().position(|other| other.ms == row.ms).unwrap()];
    assert!(week.iter().filter(|row| !acted(row).is_empty()).count() > 10, "there is a pattern to be found");
    let gateway = Gateway::start_with(|folder| {
        employ(folder);
        let config = std::fs::read_to_string(folder.join("demo/twinveil.toml")).unwrap();
        std::fs::write(folder.join("demo/twinveil.toml"), config + "\n[log]\ndisclosure_s = 1\n").unwrap();
        std::fs::write(folder.join("report.toml"), "[operator]\nname = 'A wind park'\n").unwrap();
    });

    // The owner's key stays in a drawer; a steward speaks for the turbine, and not of who ran it or what it delivers.
    let (turbine, steward) = (gateway.did("turbine.json"), gateway.did("steward.json"));
    gateway.json(&format!("wallet enrol --wallet turbine.json --value {ASSET} --source {WINDFARM} --source-key demo/keys/windfarm.key"));
    let scope =
        format!("--recipient {VENDOR},{AUTHORITY} --purpose {MAINTENANCE},{LEGAL} --permit operation=generalize --permit time=generalize");
    let delegate =
        format!("wallet delegate --wallet turbine.json --to {steward} --capacity steward --may view,grant,withdraw --days 90 {scope}");
    let delegation = text(&gateway.json(&format!("{delegate} --delegate-wallet steward.json"))["record"]);
    let by = format!("--wallet steward.json --for {turbine} --authority {delegation}");
    let grant = format!("wallet grant {by} --to {VENDOR} --purpose {MAINTENANCE} --days 30");
    for beyond in ["operator_conduct=generalize", "demand=generalize", "operation=keep"] {
        assert_eq!(gateway.denied(&format!("{grant} --permit {beyond}")), "TV-C24", "{beyond}");
    }
    gateway.json(&format!("{grant} --permit operation=generalize --permit time=generalize"));

    // The maker gets the month, coarse: what is below each step of the recording's numbers, and nothing besides.
    let count = rows.len();
    let subscribe = format!("subscribe --schema {TURBINE} --as vendor --purpose {MAINTENANCE} --count {count}");
    let vendor = Receiving::begin(&gateway, &subscribe);
    let vendor = std::thread::spawn(move || vendor.all());
    let published = gateway.command(&format!("publish --as windfarm --schema {TURBINE} --output json")).arg(&file).output().unwrap();
    assert!(published.status.success(), "{published:?}");
    let sent: Value = serde_json::from_slice(&published.stdout).unwrap();
    assert_eq!((&sent["frames"], &sent["accepted"]), (&count.into(), &count.into()));
    let arrived = vendor.join().unwrap();
    assert_eq!(arrived.len(), count);
    let down = |value: f32, step: f32| (value / step).floor() * step;
    for (message, row) in arrived.iter().zip(&rows) {
        let [pitch, nacelle, vane] = row.condition();
        assert_eq!(condition(message), [down(pitch, 1.0), down(nacelle, 10.0), down(vane, 10.0)], "{}", row.local);
        assert_eq!(message["capturedAtMs"], (row.ms.div_euclid(3_600_000) * 3_600_000).to_string());
        assert!(members(message).iter().all(|member| ["capturedAtMs", "condition", "nameplate"].contains(member)), "{message}");
    }

    // A company wants to know who works when. What people did is theirs: the third stage is not met, and that demand is over.
    let period = format!("--from {} --until {}", at(-60), at(3_600));
    let letter = LETTER.replace("court", "civil");
    let file = |fields: &str| {
        let what = format!("--asks live-data --content --about {WINDFARM}={ASSET} {fields} {period}");
        text(&gateway.json(&format!("demand file --wallet clerk.json {letter} {what}"))["demand"])
    };
    let conduct = file(&format!("--field {TURBINE}:actions"));
    let third = gateway.examine(&conduct);
    let stage = format!("demand stage {conduct} --wallet analyst.json --n 3 --right ICCPR:17=violated --replaces {third}");
    gateway.json(&format!("{stage} --reasoning reasoning.md"));
    assert_eq!(gateway.decided(&conduct, &format!("refuse {conduct} --reason human_rights")), "refused");
    assert!(gateway.refused(2, &format!("demand release {conduct} --as authority --schema {TURBINE}")).contains("TV-G28"));

    // It comes again and demands the machine, too: that alone is decided, and the steward is told before anything leaves.
    let demand = file(&format!("--field {TURBINE}:actions --field {TURBINE}:demand --field {TURBINE}:condition"));
    gateway.examine(&demand);
    let narrow =
        format!("approve {demand} --outcome comply-in-part --reason overbroad --field {TURBINE}:condition --to {AUTHORITY} {period}");
    assert_eq!(gateway.decided(&demand, &narrow), "approved");
    let release = format!("demand release {demand} --as authority --schema {TURBINE}");
    assert!(gateway.refused(2, &release).contains("TV-G28"), "the steward was not told");
    gateway.json(&format!("demand notify {demand} --wallet clerk.json --how letter"));
    let notices = gateway.run(&format!("wallet notices {by} --past --count 3 --output json")).stdout;
    let notices: Vec<Value> = String::from_utf8(notices).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let what: Vec<String> = notices.iter().map(|notice| text(&notice["what"])).collect();
    assert_eq!((what, text(&notices[2]["record"])), (["delegated", "granted", "demand"].map(str::to_owned).to_vec(), demand.clone()));
    assert!(gateway.refused(2, &release.replace(TURBINE, super::PATIENT)).contains("TV-G28"), "no field of these frames");

    let company = Receiving::begin(&gateway, &format!("{release} --count {}", week.len()));
    let company = std::thread::spawn(move || company.all());
    let busy: Vec<Value> = week.iter().map(|row| row.frame(acted(row))).collect();
    assert!(gateway.publish_as("windfarm", TURBINE, &busy).status.success());
    let released = company.join().unwrap();
    assert_eq!(released.len(), week.len());
    for (message, row) in released.iter().zip(&week) {
        assert_eq!((condition(message), members(message)), (row.condition(), vec!["condition"]), "as recorded, and nothing besides");
    }

    // A challenge stops an open stream; a ruling lets it begin again.
    let stopped = Receiving::begin(&gateway, &release);
    let challenge = format!("demand challenge {demand} --wallet clerk.json --court Landgericht --reasoning reasoning.md");
    let pending = text(&gateway.json(&challenge)["record"]);
    assert!(gateway.publish_as("windfarm", TURBINE, &busy[..1]).status.success());
    let (frames, code, said) = stopped.rest();
    assert!(frames.is_empty() && code == Some(2) && said.contains("TV-G29"), "{said}");
    assert!(gateway.refused(2, &release).contains("TV-G28"), "while it is pending");
    gateway.json(&format!("{challenge} --result dismissed --replaces {pending}"));
    let company = Receiving::begin(&gateway, &format!("{release} --count 1"));
    assert!(gateway.publish_as("windfarm", TURBINE, &busy[..1]).status.success());
    assert_eq!(company.all().len(), 1);

    // To steward and owner: who got how much, and which fields; line by line in the log.
    let coarse: Vec<String> = [
        "captured_at_ms",
        "condition.gearbox_c",
        "condition.nacelle_deg",
        "condition.pitch_deg",
        "condition.vane_deg",
        "condition.vibration_mm_s",
    ]
    .map(|path| format!("{path} generalize"))
    .into();
    let public = ["manufacturer", "model", "rated_power_kw"].map(|field| format!("nameplate.{field} keep"));
    let told = history(&gateway, &by);
    assert_eq!(disclosed(&told, VENDOR, MAINTENANCE), (count as u64, [&coarse[..], &public].concat(), Value::Null));
    let kept = coarse[1..].iter().map(|field| field.replace("generalize", "keep")).collect();
    assert_eq!(disclosed(&told, AUTHORITY, LEGAL), (week.len() as u64 + 1, kept, demand.clone().into()));
    let whole = history(&gateway, "--wallet turbine.json");
    assert!(text(&whole["completeness"]).starts_with("This is complete") && !text(&told["completeness"]).starts_with("This is complete"));
    assert_eq!(whole["disclosed"], told["disclosed"], "nothing else was disclosed to anybody");
    gateway.wallet("stranger.json");
    assert_eq!(gateway.denied(&format!("wallet history {}", by.replace("steward", "stranger"))), "TV-C22");

    // In the report it counts as any demand does, and says of no asset, of nobody at its controls, and of no customer.
    let now = jiff::Timestamp::now().as_millisecond().div_euclid(3_600_000);
    let hour = |of: i64| twinveil::veil::name::UnixMs((now + of) * 3_600_000).to_string();
    let make = format!("report make --wallet clerk.json --from {} --until {} --words report.toml --out report", hour(-2), hour(2));
    let made = gateway.run(&make);
    assert!(made.status.success(), "{made:?}");
    let verify = || {
        let verify = ["report", "verify", "report", "--log", "demo/log", "--vkey", "demo/log.vkey"];
        Command::new(TWINVEIL).args(verify).current_dir(&gateway.folder.0).output().unwrap()
    };
    assert!(verify().status.success(), "{:?}", verify());
    let document = std::fs::read_to_string(gateway.folder.join("report/report.json")).unwrap();
    let report: Value = serde_json::from_str(&document).unwrap();
    for (table, row, column, expected) in [
        ("sources", "civil", "received", 2),
        ("sources", "civil", "refuse", 1),
        ("sources", "civil", "comply-in-part", 1),
        ("reasons", "human_rights", "refuse", 1),
        ("stages", "rights", "met", 1),
        ("stages", "rights", "not-met", 1),
        ("releases", "by-test", "demands", 1),
        ("releases", "by-test", "releases", 3),
        ("challenges", "dismissed", "challenges", 1),
    ] {
        assert_eq!(crate::report::count(&report, table, row, column), expected, "{table}/{row}/{column}");
    }
    let all = ["report.json", "report.csv", "report.html", "register.json"]
        .map(|file| std::fs::read_to_string(gateway.folder.join("report").join(file)).unwrap());
    let disclosed = std::fs::read_dir(gateway.folder.join("report/disclosed")).unwrap();
    let payload = |file: PathBuf| Envelope::parse_json(&std::fs::read(file).unwrap()).unwrap().payload;
    let disclosed: Vec<String> = disclosed.map(|file| String::from_utf8(payload(file.unwrap().path())).unwrap()).collect();
    assert!(disclosed.iter().any(|record| record.contains("\"outcome\"")), "decisions are shown");
    for tells in [ASSET, "R80711", &turbine, &steward, "badge-", "mill"] {
        assert!(!all.iter().chain(&disclosed).any(|text| text.contains(tells)), "{tells}");
    }
    // One release less, and it does not verify.
    let bent = document.replacen("\"count\": 3", "\"count\": 2", 1);
    assert_ne!(bent, document);
    std::fs::write(gateway.folder.join("report/report.json"), bent).unwrap();
    assert_eq!(verify().status.code(), Some(1));
}
