//! `twinveil risk`: which data flows to whom at which treatment, what could be inferred from it, what would stop that, and what
//! became worse since the last time.

mod cedar;
mod flows;
mod report;

use std::path::{Path, PathBuf};

use super::agreements::Agreements;
use super::{CliError, OutputArgs, complain, configured, read_text, say, words};
use crate::config::Config;
use crate::veil::name::Purpose;
use crate::veil::risk::{Asked, Assumed, Circumstances, Difference, Document, Rules, Severity, Whole, compare};
use flows::Flows;

/// The rules in the program.
const RULES: &str = include_str!("../assets/risks.toml");

/// Say what recipients could infer from what they get, and what would stop it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For every message type, recipient and purpose of a configuration it is decided, as the gateway does, what flows: frames to parties that \
may subscribe, requests to services behind the gateway, answers to parties that may call. Rules then say which fields tell more \
together than was meant: in one view, with keys that may be handed over, or in what two recipients hold who pool it.

Without --consent it is taken that subjects and the operator permit everything that schema and policy allow and hand over every key: \
the widest that can be agreed. With it, that the records given are in force; where no mandate is among them the operator permits \
everything, and where no subject's consent is, subjects do, as far as it is personal: unless --nothing-else says otherwise.

Examples:
  twinveil risk --config demo/twinveil.toml --schema twinveil.sample.TurbineFrame
  twinveil risk --config demo/twinveil.toml --output json > risk.json
  twinveil risk --config demo/twinveil.toml --against risk.json
  twinveil risk --config demo/twinveil.toml --suggest >> demo/policy.cedar

A view without findings is not anonymous: rules are what somebody wrote down. Exit code 1: with --against, something became worse; \
with --fail-at, a rule of that severity bites.")]
pub struct Args {
    /// The gateway's configuration: schemas, parties, policy, routes
    #[arg(long, value_name = "FILE", default_value = "twinveil.toml")]
    config: PathBuf,
    /// A message type, by its full name; may be repeated. All of the configuration where absent
    #[arg(long = "schema", value_name = "MESSAGE")]
    schemas: Vec<String>,
    /// A recipient, by name or SPIFFE id; may be repeated. Everybody who may get something where absent
    #[arg(long, value_name = "PARTY")]
    to: Vec<String>,
    /// What for: a DPV term; may be repeated. All that policy, records and routes name, and any other, where absent
    #[arg(long = "purpose", value_name = "TERM", value_parser = words::purpose)]
    purposes: Vec<Purpose>,
    /// A signed consent or mandate, or the payload of one (JSON); may be repeated. Taken as if in force
    #[arg(long = "consent", value_name = "FILE")]
    consents: Vec<PathBuf>,
    /// Nothing is agreed but by these records
    #[arg(long, requires = "consents")]
    nothing_else: bool,
    /// Rules of your own (TOML): beside those in the program, or in their place
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// An earlier assessment (JSON): say what changed since
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// End with 1 where a rule of this severity, or a worse one, bites: low, medium, high or critical
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    fail_at: Option<Severity>,
    /// Print policies (Cedar) after which no rule bites, instead of the assessment
    #[arg(long, conflicts_with_all = ["against", "fail_at"])]
    suggest: bool,
    /// Print the rules in the program (TOML), to read or to begin a file of your own with
    #[arg(long, conflicts_with_all = ["against", "fail_at", "suggest"])]
    print_rules: bool,
    #[command(flatten)]
    output: OutputArgs,
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| "must be `low`, `medium`, `high` or `critical`".to_owned())
}

/// Assesses, and says what came of it.
pub fn run(args: &Args) -> Result<(), CliError> {
    if args.print_rules {
        return say(RULES.trim_end());
    }
    let (builtin, rules) = rules(args.rules.as_deref())?;
    // Read first: what can't be compared with need not be waited for.
    let before = args.against.as_deref().map(earlier).transpose()?;
    let config = Config::load(&args.config)?;
    let (text, policy) = configured::policy(&config)?;
    let records = args.consents.iter().map(|file| configured::consent(file, &config.origin)).collect::<Result<Vec<_>, _>>()?;
    let agreements = if args.nothing_else { Agreements::nothing_else(records) } else { Agreements::new(records) };
    let flows = Flows::collect(args, &config, &text, &policy, &agreements, &rules)?;
    for rule in flows.assessment.idle().filter(|rule| builtin.get(&rule.id) != Some(rule)) {
        complain(format_args!("twinveil: rule `{}` never bites: no message type here has fields for all of its needs", rule.id));
    }
    if args.suggest {
        return say(cedar::policies(&flows, &text));
    }
    let document = Document::of(&flows.assessment, circumstances(args, &config, &agreements, &flows)?);
    let differences = before.map(|before| compare(&before, &document).map_err(coded)).transpose()?;
    report::tell(&document, differences.as_deref(), &agreements, args.output)?;
    verdict(args, &document, differences.as_deref())
}

/// The rules in the program, and those that count.
fn rules(own: Option<&Path>) -> Result<(Rules, Rules), CliError> {
    let builtin = Rules::parse(RULES, None).map_err(coded)?;
    let Some(file) = own else { return Ok((builtin.clone(), builtin)) };
    let text = read_text(file)?;
    let rules = Rules::parse(&text, Some(&builtin));
    let rules = rules.map_err(|error| CliError::broken(format!("{}: `{}`: {error}", error.code(), file.display())))?;
    Ok((builtin, rules))
}

fn earlier(file: &Path) -> Result<Document, CliError> {
    let text = read_text(file)?;
    Document::parse(&text).map_err(|error| CliError::broken(format!("{}: `{}`: {error}", error.code(), file.display())))
}

fn coded(error: crate::veil::risk::RiskError) -> CliError {
    CliError::broken(format!("{}: {error}", error.code()))
}

fn circumstances<'c>(
    args: &Args,
    config: &'c Config,
    agreements: &Agreements,
    flows: &'c Flows<'_>,
) -> Result<Circumstances<'c>, CliError> {
    let whose = |mandate: bool| if agreements.assumes(mandate) { Whole::Everything } else { Whole::Records };
    let recipients = args.to.iter().map(|name| configured::party(config, name).map(|party| party.spiffe.to_string()));
    let sorted = |mut texts: Vec<String>| {
        texts.sort_unstable();
        texts.dedup();
        texts
    };
    let asked = Asked {
        schemas: sorted(args.schemas.clone()),
        recipients: sorted(recipients.collect::<Result<_, _>>()?),
        purposes: sorted(args.purposes.iter().map(ToString::to_string).collect()),
    };
    Ok(Circumstances {
        gateway: &config.origin,
        jurisdiction: &config.policy.jurisdiction,
        assumed: Assumed { subjects: whose(false), operator: whose(true) },
        asked,
        purposes: &flows.named,
    })
}

fn verdict(args: &Args, document: &Document, differences: Option<&[Difference]>) -> Result<(), CliError> {
    let worse = differences.into_iter().flatten().filter(|difference| difference.worse).count();
    if worse > 0 {
        let became = if worse == 1 { "1 thing became worse, or may have" } else { &format!("{worse} things became worse, or may have") };
        return Err(CliError::found(became));
    }
    let Some(least) = args.fail_at else { return Ok(()) };
    let summary = &document.summary;
    let many: usize = [summary.shown, summary.with_keys, summary.pooled].iter().map(|counts| counts.at_least(least)).sum();
    match many {
        0 => Ok(()),
        1 => Err(CliError::found(format!("1 finding of severity {} or worse", least.word()))),
        many => Err(CliError::found(format!("{many} findings of severity {} or worse", least.word()))),
    }
}
