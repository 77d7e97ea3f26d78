//! Does `twinveil risk` find what the samples give away, does its own advice stop it, and does it notice when something gets worse?

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::foreign::otlp::TRACES;
use crate::foreign::published;
use crate::harness::{Folder, PATIENT, TURBINE};

const TWINVEIL: &str = env!("CARGO_BIN_EXE_twinveil");

fn twinveil(folder: &Folder, line: &str) -> Output {
    Command::new(TWINVEIL).args(line.split_whitespace()).current_dir(&folder.0).output().unwrap()
}

fn folder() -> Folder {
    let folder = Folder::new();
    assert!(twinveil(&folder, "init demo").status.success());
    folder
}

fn risk(folder: &Folder, line: &str) -> Output {
    twinveil(folder, &format!("risk --config demo/twinveil.toml {line}"))
}

/// What is printed as JSON: the assessment, and what follows it.
fn json(ran: &Output) -> Vec<Value> {
    let text = String::from_utf8(ran.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn assessed(folder: &Folder, line: &str) -> Value {
    let ran = risk(folder, &format!("{line} --output json"));
    assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    json(&ran).remove(0)
}

/// The rules that bite for one recipient alone: those that do now, and those that need a key.
fn bites(document: &Value, name: &str, purpose: &str) -> [BTreeSet<String>; 2] {
    let is_for = |view: &Value| {
        let to = document["views"][view.as_u64().unwrap() as usize]["to"].as_array().unwrap();
        to.iter().any(|to| to["name"] == name && to["purpose"] == purpose)
    };
    let of = |with_keys: bool| {
        let findings = document["findings"].as_array().unwrap().iter();
        let findings =
            findings.filter(|finding| finding["pooled"] == false && finding["with_keys"] == with_keys && is_for(&finding["views"][0]));
        findings.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
    };
    [of(false), of(true)]
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn the_samples_give_away_what_the_rules_know() {
    let folder = folder();
    let document = assessed(&folder, "");
    let has = |name: &str, purpose: &str, rules: &[&str], not: &[&str]| {
        let [now, _] = bites(&document, name, purpose);
        assert!(now.is_superset(&set(rules)), "{name}: {rules:?} are not all of {now:?}");
        assert!(now.is_disjoint(&set(not)), "{name}: {not:?} in {now:?}");
    };
    has(
        "clinician",
        "dpv:ServiceProvision",
        &[
            "named-health",
            "named",
            "birth-date-postcode-sex",
            "place-and-time",
            "heart-rate-and-place",
            "free-text",
            "waveform-is-a-fingerprint",
        ],
        &["load-from-wind"],
    );
    has(
        "researcher",
        "dpv:ScientificResearch",
        &["coarse-place-and-time", "heart-rate-and-place", "waveform-is-a-fingerprint", "daily-routine"],
        &["named", "named-health", "place-and-time", "birth-date-postcode-sex", "device-and-time", "free-text", "beat-intervals"],
    );
    has("renderer", "dpv:ServicePersonalisation", &["coarse-place-and-time", "heart-rate-and-place"], &["named", "place-and-time"]);
    has(
        "vendor",
        "dpv:TechnicalServiceProvision",
        &["load-from-wind", "load-from-condition", "weather-is-the-site", "serial-is-the-site"],
        &["customer-demand", "operator-conduct", "site-coordinates", "load-and-shift-pattern", "curtailment"],
    );
    // What is sealed for the operator is the operator's to hand over, and the assessment says what then.
    let [_, with_keys] = bites(&document, "vendor", "dpv:TechnicalServiceProvision");
    let opened = ["customer-demand", "operator-conduct", "site-coordinates", "load-and-shift-pattern", "curtailment", "site-name"];
    assert!(with_keys.is_superset(&set(&opened)), "{with_keys:?}");
    let [_, with_keys] = bites(&document, "researcher", "dpv:ScientificResearch");
    assert!(with_keys.contains("free-text"), "{with_keys:?}");
    // Advertisers get activity without its time.
    assert_eq!(bites(&document, "advertiser", "dpv:Advertising"), [set(&[]), set(&[])]);
}

#[test]
fn the_summary_counts_everything_and_names_no_recipient() {
    let folder = folder();
    let document = assessed(&folder, "");
    let summary = &document["summary"];
    let total: u64 = ["shown", "with_keys", "pooled"]
        .iter()
        .flat_map(|of| summary[*of].as_object().unwrap().values())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(total as usize, document["findings"].as_array().unwrap().len());
    let text = summary.to_string();
    for name in ["spiffe:", "clinician", "researcher", "renderer", "vendor", "advertiser", "vitals", "example.org"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    for group in ["clinical", "research", "rendering", "maintenance"] {
        assert!(text.contains(group), "{group}: {text}");
    }
    let in_findings: BTreeSet<&str> =
        document["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect();
    let in_summary: BTreeSet<&str> = summary["bites"].as_array().unwrap().iter().map(|row| row["rule"].as_str().unwrap()).collect();
    assert_eq!(in_findings, in_summary);
}

#[test]
fn two_who_pool_have_what_neither_has_where_times_join_them() {
    let folder = folder();
    let (config, policy) = (folder.join("demo/twinveil.toml"), folder.join("demo/policy.cedar"));
    let party = |name: &str| {
        format!(
            "\n[[party]]\nname = \"{name}\"\nspiffe = \"spiffe://example.org/recipient/{name}\"\ngroups = [\"{name}\"]\nmay = [\"subscribe\"]\n"
        )
    };
    fs::write(&config, format!("{}{}{}", fs::read_to_string(&config).unwrap(), party("sports"), party("courier"))).unwrap();
    let original = fs::read_to_string(&policy).unwrap();
    let pooled = |time: &str| {
        let permit = |group: &str, purpose: &str, treatment: &str, paths: &str| {
            format!(
                "permit (principal in Group::\"{group}\", action == Action::\"{treatment}\", resource) when {{ \
                 context.purpose == Purpose::\"{purpose}\" && [{paths}].contains(resource.path) }};\n"
            )
        };
        let place = "\"position.latitude\", \"position.longitude\"";
        let policies = [
            permit("sports", "dpv:ServiceProvision", time, "\"captured_at_ms\""),
            permit("sports", "dpv:ServiceProvision", "keep", "\"vitals.heart_rate_bpm\""),
            permit("courier", "dpv:ServicePersonalisation", time, "\"captured_at_ms\""),
            permit("courier", "dpv:ServicePersonalisation", "generalize", place),
        ];
        fs::write(&policy, format!("{original}\n{}", policies.concat())).unwrap();
        let document = assessed(&folder, &format!("--schema {PATIENT} --to sports --to courier"));
        let found = document["findings"].as_array().unwrap().iter().filter(|finding| finding["pooled"] == true);
        found.map(|finding| (finding["rule"].as_str().unwrap().to_owned(), finding["joined_by"].to_string())).collect::<Vec<_>>()
    };
    assert_eq!(pooled("keep"), [("heart-rate-and-place".to_owned(), "[\"captured_at_ms\"]".to_owned())]);
    assert_eq!(pooled("generalize"), []);
    let text = String::from_utf8(risk(&folder, "--to sports --to courier").stdout).unwrap();
    assert!(!text.contains("for two who pool"));
}

#[test]
fn its_own_advice_in_force_leaves_nothing_that_bites() {
    let folder = folder();
    assert_eq!(risk(&folder, "--fail-at low").status.code(), Some(1));
    let before = folder.join("before.json");
    fs::write(&before, risk(&folder, "--output json").stdout).unwrap();
    let advice = risk(&folder, "--suggest");
    assert!(advice.status.success());
    let policy = folder.join("demo/policy.cedar");
    fs::write(&policy, format!("{}\n{}", fs::read_to_string(&policy).unwrap(), String::from_utf8(advice.stdout).unwrap())).unwrap();
    let after = risk(&folder, "--fail-at low --output json");
    assert_eq!(after.status.code(), Some(0), "{}", json(&after)[0]["findings"]);
    assert_eq!(json(&after)[0]["findings"].as_array().map(Vec::len), Some(0));
    // It took away, and added nothing.
    let against = risk(&folder, "--against before.json --output json");
    assert_eq!(against.status.code(), Some(0), "{}", String::from_utf8_lossy(&against.stdout));
    let lines = json(&against);
    assert!(lines.len() > 10 && lines.iter().skip(1).all(|line| line["kind"] == "difference" && line["worse"] == false));
    // Nobody lost all of a view that had something harmless in it.
    let to = |document: &Value, name: &str| document["views"].as_array().unwrap().iter().any(|view| view["to"].to_string().contains(name));
    assert!(["clinician", "researcher", "vendor"].iter().all(|name| to(&lines[0], name)));
    let again = risk(&folder, "--suggest");
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("// No rule bites"));
}

#[test]
fn what_gets_worse_is_told_and_ends_with_1() {
    let folder = folder();
    let policy = folder.join("demo/policy.cedar");
    let original = fs::read_to_string(&policy).unwrap();
    fs::write(folder.join("sample.json"), risk(&folder, "--output json").stdout).unwrap();
    assert_eq!(risk(&folder, "--against sample.json").status.code(), Some(0));
    // Advertisers get the time, too.
    let wider = "@id(\"when\") permit (principal in Group::\"marketing\", action == Action::\"generalize\", resource) \
                 when { context.purpose == Purpose::\"dpv:Advertising\" && resource in Category::\"time\" };\n";
    fs::write(&policy, format!("{original}\n{wider}")).unwrap();
    let ran = risk(&folder, "--against sample.json --output json");
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stdout));
    let lines = json(&ran);
    let worse: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "difference" && line["worse"] == true).collect();
    assert!(worse.iter().any(|line| line["what"] == "bites" && line["rule"] == "daily-routine"), "{worse:?}");
    assert!(worse.iter().any(|line| line["what"] == "shows_more" && line["paths"] == serde_json::json!(["captured_at_ms"])), "{worse:?}");
    let text = String::from_utf8(risk(&folder, "--against sample.json").stdout).unwrap();
    assert!(text.contains("daily-routine") && text.contains("SINCE THE EARLIER ASSESSMENT"));
    // And back: better, which ends with 0.
    fs::write(folder.join("wider.json"), risk(&folder, "--output json").stdout).unwrap();
    fs::write(&policy, &original).unwrap();
    let ran = risk(&folder, "--against wider.json --output json");
    assert_eq!(ran.status.code(), Some(0));
    let lines = json(&ran);
    assert!(lines.iter().any(|line| line["what"] == "no_longer_bites" && line["rule"] == "daily-routine" && line["worse"] == false));
    // Somebody new gets something.
    let config = folder.join("demo/twinveil.toml");
    let text = fs::read_to_string(&config).unwrap();
    let party =
        "\n[[party]]\nname = \"lab\"\nspiffe = \"spiffe://example.org/recipient/lab\"\ngroups = [\"research\"]\nmay = [\"subscribe\"]\n";
    fs::write(&config, format!("{text}{party}")).unwrap();
    let ran = risk(&folder, "--against sample.json --output json");
    assert_eq!(ran.status.code(), Some(1));
    assert!(json(&ran).iter().any(|line| line["what"] == "flows" && line["who"].as_str().is_some_and(|who| who.contains("recipient/lab"))));
    // What is about something else says nothing.
    for line in ["--against sample.json --to vendor", "--against sample.json --schema twinveil.sample.TurbineFrame"] {
        let ran = risk(&folder, line);
        assert!(ran.status.code() == Some(3) && String::from_utf8_lossy(&ran.stderr).contains("TV-A07"), "{line}");
    }
    fs::write(folder.join("nothing.json"), "{}").unwrap();
    let ran = risk(&folder, "--against nothing.json");
    assert!(ran.status.code() == Some(3) && String::from_utf8_lossy(&ran.stderr).contains("TV-A06"));
}

#[test]
fn records_that_are_given_decide_instead_of_the_widest() {
    let folder = folder();
    assert!(twinveil(&folder, "wallet new operator.json --from-key demo/keys/operator.key").status.success());
    let grant = |keys: &str, out: &str| {
        let line = format!(
            "wallet grant --dir demo --wallet operator.json --role operator --to spiffe://example.org/recipient/vendor \
             --purpose dpv:TechnicalServiceProvision --days 365 --permit operation=keep --permit site=encrypt {keys} --offline --head 0 --out {out}"
        );
        let ran = twinveil(&folder, &line);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    grant("", "sealed.json");
    let only = format!("--nothing-else --schema {TURBINE} --to vendor --purpose dpv:TechnicalServiceProvision");
    let [now, with_keys] = bites(&assessed(&folder, &format!("{only} --consent sealed.json")), "vendor", "dpv:TechnicalServiceProvision");
    assert_eq!((now, with_keys), (set(&[]), set(&[])), "no time, no weather, no key");
    let key = "--give-key --key z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F";
    grant(key, "opened.json");
    let [now, with_keys] = bites(&assessed(&folder, &format!("{only} --consent opened.json")), "vendor", "dpv:TechnicalServiceProvision");
    assert_eq!((now, with_keys), (set(&["site-coordinates", "site-name"]), set(&[])), "the key is handed over");
    // What people did at the controls is no operator's to give: with them agreeing to everything it could be opened.
    let wide = assessed(&folder, &format!("--schema {TURBINE} --to vendor --purpose dpv:TechnicalServiceProvision --consent sealed.json"));
    let [now, with_keys] = bites(&wide, "vendor", "dpv:TechnicalServiceProvision");
    assert_eq!((now, with_keys), (set(&[]), set(&["operator-conduct", "shift-from-acts"])));
    for line in [format!("{only} --consent nobody.json"), only] {
        assert_eq!(risk(&folder, &line).status.code(), Some(3), "{line}");
    }
}

#[test]
fn rules_of_ones_own_are_read_strictly() {
    let folder = folder();
    let own = "[[rule]]\nid = \"our-own\"\ninfers = \"what we make\"\nseverity = \"critical\"\nreason = \"we know\"\n\
               [[rule.needs]]\nname = \"model\"\nany = [{ selector = [\"nameplate\"] }]\nfloor = \"strip\"\n";
    let run = |text: &str, line: &str| {
        fs::write(folder.join("own.toml"), text).unwrap();
        risk(&folder, &format!("--rules own.toml --schema {TURBINE} --to vendor {line}"))
    };
    let found = |ran: &Output| -> BTreeSet<String> {
        json(ran)[0]["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
    };
    let beside = found(&run(own, "--output json"));
    assert!(beside.contains("our-own") && beside.contains("load-from-wind"));
    assert_eq!(found(&run(&format!("builtin = false\n{own}"), "--output json")), set(&["our-own"]));
    let ran = run(&own.replace("nameplate", "nowhere"), "--output json");
    assert!(ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("`our-own` never bites"));
    for (from, to, code) in [
        ("[[rule]]", "[[rules]]", "TV-A02"),
        ("critical", "grave", "TV-A03"),
        ("floor = \"strip\"", "", "TV-A04"),
        ("floor = \"strip\"", "floor = \"encrypt\"", "TV-A04"),
    ] {
        let ran = run(&own.replacen(from, to, 1), "");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(3) && said.contains(code) && said.contains("own.toml"), "{to}: {said}");
        assert!(ran.stdout.is_empty(), "nothing is assessed by half of the rules");
    }
    let twice = run(&format!("{own}{own}"), "");
    assert!(twice.status.code() == Some(3) && String::from_utf8_lossy(&twice.stderr).contains("TV-A05"));
    // The rules that are printed are those that count.
    let printed = risk(&folder, "--print-rules").stdout;
    fs::write(folder.join("printed.toml"), [b"builtin = false\n", &printed[..]].concat()).unwrap();
    let of = |line: &str| assessed(&folder, &format!("{line} --schema {PATIENT}"));
    assert_eq!(of("--rules printed.toml"), of(""));
}

#[test]
fn telemetry_that_nobody_here_wrote_is_assessed_through_its_side_file() {
    let Some(set_of) = published("opentelemetry/descriptor.binpb") else { return };
    let folder = folder();
    fs::write(folder.join("demo/otlp.binpb"), set_of).unwrap();
    fs::write(folder.join("demo/traces.toml"), TRACES).unwrap();
    let config = folder.join("demo/twinveil.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("groups = [\"clinical\"]\nmay = [\"subscribe\"]", "groups = [\"clinical\"]\nmay = [\"subscribe\", \"call\"]");
    let route = "\n[[upstream]]\nname = \"collector\"\naddresses = [\"127.0.0.1:4317\"]\nparty = \"hospital\"\ninsecure = true\n\
                 [[route]]\nmethods = \"opentelemetry.proto.collector.trace.v1.TraceService\"\nupstream = \"collector\"\n\
                 descriptor = \"otlp.binpb\"\nside_file = \"traces.toml\"\npurpose = \"dpv:ServiceProvision\"\nsubject = \"certificate\"\n";
    fs::write(&config, format!("{text}{route}")).unwrap();
    let policy = folder.join("demo/policy.cedar");
    let original = fs::read_to_string(&policy).unwrap();
    let telemetry =
        "@id(\"telemetry\") permit (principal, action == Action::\"keep\", resource) when { resource.schema like \"opentelemetry.*\" };\n";
    fs::write(&policy, format!("{original}\n{telemetry}")).unwrap();
    let request = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
    let document = assessed(&folder, &format!("--schema {request}"));
    let view = &document["views"][0];
    let to = &view["to"][0];
    assert_eq!(
        (to["name"].as_str(), to["way"].as_str(), to["purpose"].as_str()),
        (Some("hospital"), Some("requests"), Some("dpv:ServiceProvision"))
    );
    assert_eq!(to["method"], "opentelemetry.proto.collector.trace.v1.TraceService/Export");
    // A user is a stand-in by the side file's floor, and that is enough to follow them through routes.
    let [now, _] = bites(&document, "hospital", "dpv:ServiceProvision");
    assert!(now.contains("who-asked-what-when") && now.contains("faults-and-time"), "{now:?}");
    assert!(now.is_disjoint(&set(&["named", "network-address", "free-text", "serial-is-the-site"])), "{now:?}");
    let found = document["findings"].as_array().unwrap().iter().find(|finding| finding["rule"] == "who-asked-what-when").unwrap();
    assert!(
        found["through"][0]["fields"].to_string().contains("user.id") && found["through"][1]["fields"].to_string().contains("http.route")
    );
    // Without its floors it names everybody.
    fs::write(folder.join("demo/traces.toml"), TRACES.replace(", floor = \"pseudonymize\"", "").replace(", floor = \"strip\"", ""))
        .unwrap();
    let [now, _] = bites(&assessed(&folder, &format!("--schema {request}")), "hospital", "dpv:ServiceProvision");
    assert!(now.is_superset(&set(&["named", "network-address"])), "{now:?}");
    // And with the advice nothing is left, in a schema of a thousand places, too.
    let advice = String::from_utf8(risk(&folder, &format!("--suggest --schema {request}")).stdout).unwrap();
    fs::write(&policy, format!("{original}\n{telemetry}\n{advice}")).unwrap();
    let after = risk(&folder, &format!("--fail-at low --schema {request} --output json"));
    assert_eq!(after.status.code(), Some(0), "{}", String::from_utf8_lossy(&after.stderr));
    let known = risk(&folder, "--schema opentelemetry.proto.collector.trace.v1.ExportTraceServiceReqest");
    assert!(known.status.code() == Some(3) && String::from_utf8_lossy(&known.stderr).contains("did you mean"));
}

#[test]
fn the_example_of_the_readme_is_what_it_says() {
    let readme = crate::manual::read("README.md");
    let block = readme.split("**What recipients could infer.**").nth(1).and_then(|rest| rest.split("```text\n").nth(1)).unwrap();
    let block = block.split("```").next().unwrap();
    let ran = risk(&folder(), &format!("--schema {TURBINE} --to vendor --purpose dpv:TechnicalServiceProvision"));
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(said.contains(block), "README.md has\n{block}\nand it says\n{said}");
}
