//! `twinveil policy`: what an operator's policy does. `diff` rehearses a new one on recorded frames before it is in force.

mod change;
mod image;
mod report;
mod side;

use std::path::PathBuf;

use super::agreements::Agreements;
use super::input::MapArgs;
use super::words;
use super::{CliError, OutputArgs, configured, publish};
use crate::veil::name::Purpose;
use change::Changes;
use image::Comparisons;
use report::Report;
use side::Side;

/// Look at the operator's policy.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Diff(DiffArgs),
}

/// Say what a new policy would change, for whom and in which frames, before it is in force.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
OLD and NEW are policies (Cedar), with schemas and parties of --config, or whole configurations (.toml), whose side files, parties \
and jurisdictions count, too. For every recipient and purpose both decide about every field, as the gateway does. Purposes are those \
that the policies name, those of the consents, and one that nobody names.

Without --consent it is taken that subjects and the operator permit everything, so that schema and policy alone decide: this is the \
most that can change. With it, that the records given are in force and that every frame is about each of their subjects in turn; where \
no mandate is among them that the operator permits everything, and where no subject's consent is, that subjects do, as far as it is personal.

Examples:
  twinveil policy diff demo/policy.cedar new.cedar --config demo/twinveil.toml \\
      --schema twinveil.sample.PatientFrame --frames ward.ndjson
  twinveil policy diff demo/twinveil.toml next/twinveil.toml --schema twinveil.sample.TurbineFrame \\
      --to vendor --purpose dpv:TechnicalServiceProvision --consent mandate.json

Examples of values are of the recording, as the recipient would see them; pseudonyms are made with a key of this run. Exit code 1: \
something is treated differently.")]
struct DiffArgs {
    /// What is in force: a policy (Cedar) or a configuration (.toml)
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// What is to be
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The configuration of a policy that is named without one: schemas, parties
    #[arg(long, value_name = "FILE", default_value = "twinveil.toml")]
    config: PathBuf,
    /// Recorded frames, in a form that `twinveil publish` takes; where absent, treatments alone are compared
    #[arg(long, value_name = "FILE")]
    frames: Option<PathBuf>,
    /// A recipient, by name or SPIFFE id; may be repeated. Every party that may subscribe where absent
    #[arg(long, value_name = "PARTY")]
    to: Vec<String>,
    /// What for: a DPV term; may be repeated
    #[arg(long = "purpose", value_name = "TERM", value_parser = words::purpose)]
    purposes: Vec<Purpose>,
    /// A signed consent or mandate, or the payload of one (JSON); may be repeated. Taken as if in force
    #[arg(long = "consent", value_name = "FILE")]
    consents: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten, next_help_heading = "Recording")]
    map: MapArgs,
}

/// Runs one of them.
pub fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Diff(args) => rehearse(&args, &mut |report| report.tell()),
    }
}

/// Compares, and hands over what came of it.
fn rehearse(args: &DiffArgs, tell: &mut dyn FnMut(&Report<'_>) -> Result<(), CliError>) -> Result<(), CliError> {
    let sides = [Side::load(&args.old, args)?, Side::load(&args.new, args)?];
    let [old, new] = &sides;
    // A record is bound to one gateway, and both are the same one.
    let consents = args.consents.iter().map(|file| configured::consent(file, &new.config.origin));
    let agreements = Agreements::new(consents.collect::<Result<_, _>>()?);
    let purposes = match args.purposes.is_empty() {
        true => configured::purposes(&format!("{}\n{}", old.text, new.text), agreements.records()),
        false => args.purposes.clone(),
    };
    let recipients = side::recipients(&sides, &args.to)?;
    let changes = Changes::find(&sides, &recipients, &purposes, &agreements)?;
    let comparisons = match &args.frames {
        None => None,
        Some(file) => {
            // As they were recorded: by the schema that is in force.
            let map = configured::map(&args.map, &old.config, &old.schema);
            let mut comparisons = Comparisons::new(&sides, &changes)?;
            for frame in publish::open(file, &map)? {
                comparisons.take(&frame?.1.bytes);
            }
            if comparisons.frames() == 0 {
                return Err(CliError::broken(format!("`{}` has no frame", file.display())));
            }
            Some((file.as_path(), comparisons, map.shape()?))
        }
    };
    let seen = comparisons.as_ref().map(|(file, comparisons, shape)| (*file, comparisons, shape));
    tell(&Report { args, recipients: recipients.len(), purposes: purposes.len(), agreements: &agreements, changes: &changes, seen })
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;
