//! `twinveil explain`: what a recipient gets of the wallet's frames, field by field, and why.

use std::path::PathBuf;

use serde_json::json;

use super::connect::Connection;
use super::table::Table;
use super::wallet::{CARRIER, Desk, Speaker, hex, instant, load};
use super::words;
use super::{CliError, OutputArgs, say};
use crate::proto::v1::{self, ExplainResponse};
use crate::veil::consent::query::Asks;
use crate::veil::consent::record::SignerRole;
use crate::veil::name::{Did, Purpose, SchemaName, Spiffe, UnixMs};

/// Say what a recipient gets of your frames, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil explain --dir demo --wallet patient.json --to spiffe://example.org/recipient/clinician \\
      --purpose dpv:ServiceProvision --schema twinveil.sample.PatientFrame

The answer is the gateway's own decision, not a copy of its rules, and names what decided every field. With --at what expires by \
then is over, what begins by then has begun, and hours are those of that instant; uses that are counted are as they are today.")]
pub struct Args {
    /// Whose frames: the wallet that granted
    #[arg(long, value_name = "FILE")]
    wallet: PathBuf,
    /// The recipient
    #[arg(long, value_name = "SPIFFE", value_parser = words::spiffe)]
    to: Spiffe,
    /// The did:key that the recipient speaks for, where consents name it by that (as if it brought no key of its own)
    #[arg(long, value_name = "DID", value_parser = words::did)]
    holder: Option<Did>,
    /// What for: a DPV term
    #[arg(long, value_name = "TERM", value_parser = words::purpose)]
    purpose: Purpose,
    /// Full name of the frames' message type
    #[arg(long, value_name = "MESSAGE")]
    schema: String,
    /// As it would be decided at this instant (RFC 3339), with the records of today; now where absent
    #[arg(long, value_name = "INSTANT")]
    at: Option<jiff::Timestamp>,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints.
pub fn run(args: Args) -> Result<(), CliError> {
    let (wallet, origin) = (load(&args.wallet)?, args.connection.origin()?);
    let asks = Asks::Explain {
        recipient: args.to.clone(),
        holder: args.holder,
        purpose: args.purpose.clone(),
        schema: SchemaName::new(args.schema.as_str()),
        as_of: args.at.map(|at| UnixMs(at.as_millisecond())),
    };
    let answer = super::block_on(async {
        let mut desk = Desk::open(&args.connection, Some(CARRIER)).await?;
        desk.explain(&wallet, &args.speaker.voice(&wallet, SignerRole::Subject), &asks, &origin).await
    })?;
    if args.output.is_json() { say(as_json(&args, &answer)) } else { say(as_text(&args, &answer)) }
}

/// The answer first, then a line a field.
fn as_json(args: &Args, answer: &ExplainResponse) -> String {
    let mut lines = vec![json!({
        "kind": "answer", "recipient": args.to.as_str(), "purpose": args.purpose.as_str(), "schema": args.schema,
        "delivers": answer.delivers, "at": UnixMs(answer.at_ms).to_string(), "valid_until": instant(answer.valid_until_ms),
        "obligations": answer.obligations.iter().map(|one| json!({
            "places": one.places, "retention": one.retention, "jurisdictions": one.jurisdictions,
        })).collect::<Vec<_>>(),
    })];
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    lines.extend(answer.fields.iter().map(|field| {
        json!({
            "kind": "field", "path": field.path, "sensitivity": words::word(field.sensitivity().as_str_name()), "category": category(field),
            "treatment": words::word(field.treatment().as_str_name()), "how": some(&field.how), "reason": field.reason,
            "key_holders": some(&field.key_holders), "decided_by": field.decided_by,
            "record": some(&hex(&field.record)), "policy": some(&field.policy),
        })
    }));
    lines.extend(answer.records.iter().map(|record| {
        json!({
            "kind": "record", "record": hex(&record.record), "role": record.role, "signer": record.signer,
            "authority": some(&hex(&record.authority)), "expires": instant(record.expires_ms),
        })
    }));
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn as_text(args: &Args, answer: &ExplainResponse) -> String {
    let reach = match (answer.delivers, args.at.is_some()) {
        (true, false) => "frames reach".to_owned(),
        (false, false) => "no frame reaches".to_owned(),
        (true, true) => format!("at {} frames will reach", UnixMs(answer.at_ms)),
        (false, true) => format!("at {} no frame will reach", UnixMs(answer.at_ms)),
    };
    let until = match answer.valid_until_ms {
        0 => "until somebody changes something".to_owned(),
        ms => format!("until {}, or until somebody changes something", UnixMs(ms)),
    };
    let mut table = Table::new(&["path", "sensitivity", "category", "treatment", "how", "why", "key holders"]);
    for field in &answer.fields {
        table.push([
            &field.path,
            &words::word(field.sensitivity().as_str_name()),
            &category(field).unwrap_or_default(),
            &words::word(field.treatment().as_str_name()),
            &field.how,
            &field.reason,
            &field.key_holders,
        ]);
    }
    let obliged = answer.obligations.iter().map(|one| {
        format!("\nobliged: rests in {}, for {}, under the law of {}", one.places.join(", "), one.retention, one.jurisdictions.join(", "))
    });
    let mut text = format!("{reach} {} for {}, {until}{}\n\n{table}", args.to, args.purpose, obliged.collect::<String>());
    if !answer.records.is_empty() {
        let mut table = Table::new(&["record", "signed as", "by", "under", "until"]);
        for record in &answer.records {
            let until = instant(record.expires_ms).unwrap_or_default();
            table.push([&hex(&record.record), &record.role, &record.signer, &hex(&record.authority), &until]);
        }
        text.push_str(&format!("\n\n{table}"));
    }
    text
}

fn category(field: &v1::Explained) -> Option<String> {
    (field.category() != v1::Category::Unspecified).then(|| words::word(field.category().as_str_name()))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches};

    use super::*;
    use crate::proto::v1::Explained;

    fn args(purpose: &str) -> Result<Args, String> {
        let words = ["explain", "--wallet", "w.json", "--to", "spiffe://a.example/b", "--purpose", purpose, "--schema", "a.B"];
        let matches = Args::augment_args(clap::Command::new("explain")).try_get_matches_from(words).map_err(|error| error.to_string())?;
        Args::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    fn answer(delivers: bool, valid_until_ms: i64) -> ExplainResponse {
        let field = |path: &str, treatment: v1::Treatment, category: v1::Category, how: &str| Explained {
            path: path.into(),
            sensitivity: v1::Sensitivity::Special.into(),
            category: category.into(),
            treatment: treatment.into(),
            how: how.into(),
            reason: "your record 1".into(),
            key_holders: String::new(),
            decided_by: "consent".into(),
            record: vec![0xab; 32].into(),
            policy: String::new(),
        };
        let records = vec![v1::Decider {
            record: vec![0xab; 32].into(),
            role: "delegate".into(),
            signer: "did:key:z6MkGuardian".into(),
            authority: vec![0xcd; 32].into(),
            expires_ms: 2_000,
        }];
        let fields = vec![
            field("vitals.x", v1::Treatment::Generalize, v1::Category::OperatorConduct, "in steps of 5"),
            field("odd", v1::Treatment::Strip, v1::Category::Unspecified, ""),
        ];
        ExplainResponse { fields, valid_until_ms, delivers, records, at_ms: 500, ..ExplainResponse::default() }
    }

    #[test]
    fn it_says_first_whether_frames_flow_and_until_when() {
        let args = args("dpv:ServiceProvision").expect("good");
        let text = as_text(&args, &answer(true, 1_000));
        assert!(text.starts_with("frames reach spiffe://a.example/b for dpv:ServiceProvision, until 1970-01-01T00:00:01Z"), "{text}");
        assert!(text.contains("operator_conduct  generalize  in steps of 5  your record 1  -"), "{text}");
        assert!(
            as_text(&args, &answer(false, 0)).starts_with("no frame reaches spiffe://a.example/b for dpv:ServiceProvision, until somebody")
        );
    }

    #[test]
    fn who_signed_what_decided_is_named_in_full() {
        let text = as_text(&args("dpv:ServiceProvision").expect("good"), &answer(true, 0));
        let row = format!("{}  delegate   did:key:z6MkGuardian  {}  1970-01-01T00:00:02Z", "ab".repeat(32), "cd".repeat(32));
        assert!(text.ends_with(&row), "{text}");
    }

    #[test]
    fn an_answer_about_later_says_so() {
        let args =
            Args { at: Some(jiff::Timestamp::from_millisecond(500).expect("an instant")), ..args("dpv:ServiceProvision").expect("good") };
        assert!(as_text(&args, &answer(true, 0)).starts_with("at 1970-01-01T00:00:00.5Z frames will reach spiffe://a.example/b"));
        assert!(as_text(&args, &answer(false, 0)).starts_with("at 1970-01-01T00:00:00.5Z no frame will reach spiffe"));
    }

    #[test]
    fn programs_get_one_object_a_line() {
        let text = as_json(&args("dpv:ServiceProvision").expect("good"), &answer(true, 0));
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((&lines[1]["record"], &lines[1]["policy"]), (&"ab".repeat(32).into(), &serde_json::Value::Null));
        assert_eq!((&lines[3]["signer"], &lines[3]["authority"]), (&"did:key:z6MkGuardian".into(), &"cd".repeat(32).into()));
        assert!(lines[0]["delivers"] == true && lines[0]["valid_until"].is_null());
        assert!(lines[1]["treatment"] == "generalize" && lines[2]["category"].is_null() && lines[2]["how"].is_null());
    }

    #[test]
    fn a_misspelt_purpose_is_refused_with_the_nearest() {
        assert!(args("dpv:ServiceProvison").expect_err("misspelt").contains("did you mean `dpv:ServiceProvision`?"));
        assert!(args("ServiceProvision").expect_err("no prefix").contains("did you mean `dpv:ServiceProvision`?"));
        assert!(args("dpv:Xyzzyzzyx").expect_err("strange").contains("such as"));
    }
}
