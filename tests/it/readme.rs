//! Does the README say what the gateway does? Its tables come from the sample policy, and its commands are the consents behind them.

use std::collections::BTreeMap;

use twinveil::veil::consent::deciding::{Deciding, DecidingRule};
use twinveil::veil::consent::rule::{Effect, Rule};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::name::{FieldPath, RecordId, Spiffe};
use twinveil::veil::policy::floor::Policy;
use twinveil::veil::policy::{Decided, Holders, decide};
use twinveil::veil::schema::{Schema, Site, load_annotated};
use twinveil::veil::terms::{Category, Treatment, purpose};

use super::manual::read;

/// A recipient of the sample policy, and what people agreed to.
struct Recipient {
    title: &'static str,
    spiffe: &'static str,
    group: &'static str,
    purpose: &'static str,
    consent: &'static [(Match, Treatment, bool)],
}

#[derive(Clone, Copy)]
enum Match {
    Is(Category),
    At(&'static str),
}

use Match::{At, Is};

const RECIPIENTS: [Recipient; 5] = [
    Recipient {
        title: "clinician",
        spiffe: "spiffe://example.org/recipient/clinician",
        group: "clinical",
        purpose: "dpv:ServiceProvision",
        consent: &[
            (Is(Category::Identity), Treatment::Keep, false),
            (Is(Category::Health), Treatment::Keep, false),
            (Is(Category::Biometric), Treatment::Keep, false),
            (Is(Category::Device), Treatment::Keep, false),
            (Is(Category::Time), Treatment::Keep, false),
            (At("position"), Treatment::Generalize, false),
        ],
    },
    Recipient {
        title: "researcher",
        spiffe: "spiffe://example.org/recipient/researcher",
        group: "research",
        purpose: "dpv:ScientificResearch",
        consent: &[
            (Is(Category::Identity), Treatment::Keep, false),
            (Is(Category::Health), Treatment::Keep, false),
            (Is(Category::Biometric), Treatment::Keep, false),
            (Is(Category::Device), Treatment::Keep, false),
            (Is(Category::Time), Treatment::Keep, false),
            (At("note"), Treatment::Encrypt, true),
        ],
    },
    Recipient {
        title: "metaverse renderer",
        spiffe: "spiffe://example.org/recipient/renderer",
        group: "rendering",
        purpose: "dpv:ServicePersonalisation",
        consent: &[
            (At("patient_id"), Treatment::Pseudonymize, false),
            (At("position"), Treatment::Generalize, false),
            (At("vitals.heart_rate_bpm"), Treatment::Generalize, false),
            (Is(Category::Time), Treatment::Keep, false),
        ],
    },
    Recipient {
        title: "maintenance vendor",
        spiffe: "spiffe://example.org/recipient/vendor",
        group: "maintenance",
        purpose: "dpv:TechnicalServiceProvision",
        consent: &[
            (Is(Category::Operation), Treatment::Keep, false),
            (Is(Category::Device), Treatment::Keep, false),
            (Is(Category::Environment), Treatment::Keep, false),
            (Is(Category::Time), Treatment::Generalize, false),
            (Is(Category::Site), Treatment::Encrypt, false),
            (Is(Category::Demand), Treatment::Encrypt, false),
        ],
    },
    Recipient {
        title: "advertiser",
        spiffe: "spiffe://example.org/recipient/advertiser",
        group: "marketing",
        purpose: "dpv:Advertising",
        consent: &[],
    },
];

fn shown(recipient: &Recipient, policy: &Policy, schema: &Schema, mandate: bool) -> BTreeMap<String, String> {
    let rules: Vec<Rule> = recipient
        .consent
        .iter()
        .map(|(matches, treatment, recipient_holds_key)| Rule {
            effect: Effect::Permit,
            category: if let Is(category) = matches { Some(*category) } else { None },
            sensitivity: None,
            selector: if let At(path) = matches { Some(FieldPath::new(*path)) } else { None },
            treatment: *treatment,
            recipient_holds_key: *recipient_holds_key,
        })
        .collect();
    let rules = (0..).zip(&rules).map(|(index, rule)| DecidingRule { record: RecordId([1; 32]), index, rule }).collect();
    let key = |byte: u8| Some(OpenKey::from_seed(&Secret::take(&mut [byte; 32])).unwrap().seal_key());
    let deciding = Deciding { rules, recipient_key: key(4), vault_key: key(3), ..Deciding::default() };
    let floors = policy.floors(schema, &Spiffe::parse(recipient.spiffe).unwrap(), &purpose(recipient.purpose).unwrap(), "EU").unwrap();
    let (subject, mandate) = if mandate { (None, Some(&deciding)) } else { (Some(&deciding), None) };
    let decision = decide(schema, &floors, subject, mandate);
    if !decision.delivers(schema, subject, mandate) {
        return BTreeMap::new();
    }
    let words = |(site, decided): (&Site, &Decided)| {
        let how = match (decided.treatment, &site.facts.generalize, decided.holders) {
            (Treatment::Keep, ..) => "kept".to_owned(),
            (Treatment::Generalize, Some(how), _) => how.to_string(),
            (Treatment::Generalize, None, _) => "generalized".to_owned(),
            (Treatment::Pseudonymize, ..) => "pseudonym".to_owned(),
            (Treatment::Encrypt, _, Holders::Vault) => "sealed to the patient".to_owned(),
            (Treatment::Encrypt, _, Holders::VaultAndRecipient) => "sealed, can open".to_owned(),
            (Treatment::Encrypt, _, Holders::MandateVault | Holders::MandateVaultAndRecipient) => "sealed to the operator".to_owned(),
            (Treatment::Strip, ..) => "–".to_owned(),
        };
        (site.path.to_string(), how)
    };
    schema.sites().iter().zip(&decision.sites).map(words).collect()
}

const PATIENT: [&str; 14] = [
    "patient_id",
    "device_id",
    "sequence",
    "captured_at_ms",
    "identity.family_name",
    "identity.birth_date",
    "identity.address",
    "position.latitude",
    "vitals.heart_rate_bpm",
    "vitals.spo2_pct",
    "waveforms.samples",
    "note",
    "labels[\"diagnosis\"]",
    "activity.steps",
];

const TURBINE: [&str; 9] = [
    "asset_id",
    "captured_at_ms",
    "nameplate.model",
    "condition.gearbox_c",
    "production.active_power_kw",
    "production.wind_speed_m_s",
    "site.latitude",
    "actions.operator_id",
    "demand.setpoint_kw",
];

fn readme_tables() -> String {
    let authority = ("spiffe://example.org/recipient/authority", "authorities");
    let known = RECIPIENTS.iter().map(|one| (one.spiffe, one.group)).chain([authority]);
    let known: Vec<_> = known.map(|(spiffe, group)| (Spiffe::parse(spiffe).unwrap(), vec![group.to_owned()])).collect();
    let policy = Policy::load(&read("src/cli/assets/policy.cedar"), &known).unwrap_or_else(|error| panic!("{error}"));
    let samples = twinveil::proto::SAMPLES;
    let patient = load_annotated(samples, "twinveil.sample.PatientFrame").unwrap();
    let turbine = load_annotated(samples, "twinveil.sample.TurbineFrame").unwrap();
    let mut text = String::new();
    for (schema, fields, mandate) in [(&patient, &PATIENT[..], false), (&turbine, &TURBINE[..], true)] {
        let columns: Vec<_> = RECIPIENTS.iter().filter(|one| (one.group == "maintenance") == mandate).collect();
        let views: Vec<_> = columns.iter().map(|one| shown(one, &policy, schema, mandate)).collect();
        text.push_str(if mandate { "\n| turbine |" } else { "| patient |" });
        text.extend(columns.iter().map(|one| format!(" {} |", one.title)));
        text.push_str(&format!("\n| --- |{}\n", " --- |".repeat(columns.len())));
        for field in fields {
            let cells: String = views.iter().map(|view| format!(" {} |", view.get(*field).map_or("no frames", |how| how))).collect();
            text.push_str(&format!("| `{field}` |{cells}\n"));
        }
    }
    text
}

#[test]
fn the_tables_of_the_readme_are_what_the_sample_policy_and_those_consents_give() {
    let tables = readme_tables();
    assert!(read("README.md").contains(&tables), "README.md should hold:\n{tables}");
}

#[test]
fn the_commands_of_the_readme_grant_what_its_tables_show() {
    let readme = read("README.md");
    for one in RECIPIENTS.iter().filter(|one| !one.consent.is_empty()) {
        let flags: Vec<String> = one
            .consent
            .iter()
            .map(|(matches, treatment, _)| match matches {
                Is(category) => format!("--permit {category}={treatment}"),
                At(path) => format!("--permit {path}={treatment}"),
            })
            .collect();
        let command = readme.split("twinveil wallet grant").find(|command| command.contains(&format!("--to {} ", one.spiffe)));
        let command = command.unwrap_or_else(|| panic!("no grant to `{}` in README.md", one.spiffe));
        assert!(command.contains(&flags.join(" ")) && command.contains(one.purpose), "README.md, {}: {}", one.title, flags.join(" "));
    }
}

#[test]
fn every_option_in_the_readme_is_one_that_its_command_has() {
    let readme = read("README.md").replace("\\\n", " ");
    let in_blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).flat_map(str::lines);
    let in_text = readme.split('`').filter(|code| code.starts_with("twinveil "));
    let mut commands = 0;
    for command in in_blocks.chain(in_text).filter_map(|line| Some(line.split_once("twinveil ")?.1)) {
        let command = command.split(['#', '|', '>']).next().unwrap();
        let words: Vec<&str> = command.split_whitespace().collect();
        let Some(name) = words.first().filter(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')) else { continue };
        let under = words.get(1).filter(|_| ["wallet", "schema", "log", "policy", "report", "demand"].contains(name));
        let mut help = std::process::Command::new(env!("CARGO_BIN_EXE_twinveil"));
        let help = help.arg(name).args(under).arg("--help").output().unwrap();
        assert!(help.status.success(), "README.md: `twinveil {command}`");
        let help = String::from_utf8(help.stdout).unwrap();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            let known = help.lines().any(|line| line.split([' ', ',', '=']).any(|word| word == *option));
            assert!(known, "README.md: `{option}` of `twinveil {command}`");
        }
        commands += 1;
    }
    assert!(commands > 15, "{commands}");
}
