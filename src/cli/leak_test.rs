//! `twinveil leak-test`: do the views of a configuration tell more than they may? Frames that differ only in what a recipient
//! may not see are put through them; what the recipient gets must be the same.

mod report;
mod views;

use std::path::PathBuf;
use std::sync::Arc;

use super::input::MapArgs;
use super::words;
use super::{CliError, OutputArgs, configured};
use crate::config::{Config, May, Party};
use crate::server;
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{Origin, Purpose, ViewId};
use crate::veil::oracle::{Dice, Leak, Oracle, UnderTest, draw};
use crate::veil::policy::Decision;
use crate::veil::schema::{Schema, SiteId};
use crate::veil::terms::Treatment;
use crate::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};
use crate::world;
use report::Report;
use views::{Candidate, Candidates};

/// Try to learn hidden fields from what recipients get.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For every recipient and purpose the views are made as the gateway makes them: without any consent, with everything permitted, with \
everything sealed, with the consents that are given, and with treatments drawn at random; never above the floors of schema and \
policy. Purposes are those that the policy names, those of the consents, and one that nobody names. Each frame is changed in ways that \
the recipient must not notice: the clear bytes must stay the same, sealed groups as long, and the verdict.

Examples:
  twinveil leak-test --config demo/twinveil.toml --schema twinveil.sample.PatientFrame ward.ndjson
  twinveil leak-test --config demo/twinveil.toml --schema twinveil.sample.PatientFrame \\
      --to clinician --purpose dpv:ServiceProvision --consent consent.json --tries 1000 ward.ndjson
  twinveil leak-test --config demo/twinveil.toml --schema twinveil.sample.TurbineFrame

Exit code 1: something leaks. Then the fields are named, and two frames that differ in nothing else are shown, made as small as they \
could be; they may hold values of the recording. The same options and seed find the same.")]
pub struct Args {
    /// Recorded frames, in a form that `twinveil publish` takes; drawn from the schema where absent
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The gateway's configuration: schemas, parties, policy
    #[arg(long, value_name = "FILE", default_value = "twinveil.toml")]
    config: PathBuf,
    /// A recipient, by name or SPIFFE id; may be repeated. Every party that may subscribe where absent
    #[arg(long, value_name = "PARTY")]
    to: Vec<String>,
    /// What for: a DPV term; may be repeated
    #[arg(long = "purpose", value_name = "TERM", value_parser = words::purpose)]
    purposes: Vec<Purpose>,
    /// A signed consent or mandate, or the payload of one (JSON); may be repeated. Taken as if in force
    #[arg(long = "consent", value_name = "FILE")]
    consents: Vec<PathBuf>,
    /// The most frames; of a longer recording so many are drawn
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    frames: u32,
    /// Variations of every frame in every view
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tries: u32,
    /// Views with random treatments, for every recipient and purpose
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    random: u32,
    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten, next_help_heading = "Recording")]
    map: MapArgs,
}

/// Tries, and says what came of it.
pub fn run(args: Args) -> Result<(), CliError> {
    let plan = Plan::make(&args)?;
    let outcome = plan.hunt(&mut |schema, decision| real(schema, decision))?;
    Report { plan: &plan, outcome: &outcome }.tell(args.output)
}

/// What is tried.
struct Plan {
    schema: Arc<Schema>,
    candidates: Vec<Candidate>,
    frames: Vec<Vec<u8>>,
    /// Where the frames are from.
    source: String,
    /// How frames are read and shown.
    map: MapArgs,
    recipients: usize,
    purposes: usize,
    tries: usize,
    seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    kept: u64,
    discarded: u64,
    /// Sites that a view does not keep and that were varied in it, and all that a view does not keep.
    varied: std::collections::BTreeSet<SiteId>,
    hidden: std::collections::BTreeSet<SiteId>,
    /// The candidate, and how.
    leak: Option<(usize, Box<Leak>)>,
}

/// Makes what is tried for a decision.
type Maker<'m> = dyn FnMut(&Schema, &Decision) -> Result<Box<UnderTest<'static>>, CliError> + 'm;

impl Plan {
    fn make(args: &Args) -> Result<Self, CliError> {
        let config = Config::load(&args.config)?;
        let schemas = server::schemas(&config).map_err(CliError::broken)?;
        let Some(schema) = schemas.into_iter().find(|schema| schema.name().as_str() == args.map.message) else {
            let names = config.schemas.iter().map(|source| source.message.as_str());
            return Err(configured::no_schema(&args.config, &args.map.message, names));
        };
        let parties = parties(&config, &args.to)?;
        let (text, policy) = configured::policy(&config)?;
        let wrong = |error| CliError::broken(format!("`{}`: {error}", config.policy.file.display()));
        let consents: Vec<configured::Record> =
            args.consents.iter().map(|file| configured::consent(file, &config.origin)).collect::<Result<_, _>>()?;
        let purposes = if args.purposes.is_empty() { configured::purposes(&text, &consents) } else { args.purposes.clone() };

        let (map, mut dice) = (configured::map(&args.map, &config, &schema), Dice::new(args.seed));
        let frames = match &args.file {
            Some(file) => configured::recorded(file, &map, args.frames as usize, &mut dice)?,
            None => (0..args.frames).map(|_| draw::frame(&schema, &mut dice)).collect(),
        };
        let mut candidates = Candidates::new(&schema, &consents, args.random);
        for party in &parties {
            for purpose in &purposes {
                let floors = policy.floors(&schema, &party.spiffe, purpose, &config.policy.jurisdiction).map_err(wrong)?;
                candidates.add(party, purpose, &floors, &mut dice);
            }
        }
        Ok(Self {
            candidates: candidates.into_distinct(),
            schema,
            frames,
            source: args.file.as_ref().map_or_else(|| "drawn from the schema".to_owned(), |file| format!("from `{}`", file.display())),
            map,
            recipients: parties.len(),
            purposes: purposes.len(),
            tries: args.tries as usize,
            seed: args.seed,
        })
    }

    /// Puts variations of every frame through every view, until one tells something.
    fn hunt(&self, make: &mut Maker<'_>) -> Result<Outcome, CliError> {
        let (mut outcome, mut dice) = (Outcome::default(), Dice::new(self.seed));
        for (index, candidate) in self.candidates.iter().enumerate() {
            let decision = &candidate.decision;
            let (oracle, mut view) = (Oracle::new(&self.schema, decision), make(&self.schema, decision)?);
            let keeps = |site: &SiteId| decision.sites.get(site.0 as usize).is_some_and(|decided| decided.treatment == Treatment::Keep);
            outcome.hidden.extend((0u32..).map(SiteId).take(decision.sites.len()).filter(|site| !keeps(site)));
            for frame in &self.frames {
                let (tally, leak) = match oracle.check(frame, self.tries, &mut dice, &mut *view) {
                    Ok(tally) => (tally, None),
                    Err(leak) => (leak.tried.clone(), Some(leak)),
                };
                outcome.kept += tally.kept;
                outcome.discarded += tally.discarded;
                outcome.varied.extend(tally.covered.into_iter().filter(|site| !keeps(site)));
                if let Some(leak) = leak {
                    outcome.leak = Some((index, leak));
                    return Ok(outcome);
                }
            }
        }
        Ok(outcome)
    }
}

/// The parties that were named, or all that may subscribe.
fn parties(config: &Config, named: &[String]) -> Result<Vec<Party>, CliError> {
    if named.is_empty() {
        return Ok(config.parties().iter().filter(|party| party.may.contains(&May::Subscribe)).cloned().collect());
    }
    named.iter().map(|name| configured::party(config, name).cloned()).collect()
}

/// A view as the gateway applies it, with keys of its own that nobody holds.
fn real(schema: &Schema, decision: &Decision) -> Result<Box<UnderTest<'static>>, CliError> {
    let program = Arc::new(Program::compile(schema, decision));
    let what_for = crate::veil::terms::purpose("dpv:ServiceProvision").ok_or_else(|| CliError::broken("no purpose"))?;
    let source = BindingsSource {
        origin: &Origin::new("leak-test.invalid"),
        recipient: "spiffe://leak-test.invalid/recipient",
        purpose: &what_for,
        subject_key: Some(&Secret::random(&mut world::entropy())),
        pseudonym_epoch: 0,
        view: ViewId([0; 16]),
        epoch: 1,
        suite: crate::veil::crypto::seal::Suite::ChaCha20Poly1305,
        // A group is as long, whoever can open it.
        holders: &|_| Vec::new(),
    };
    let bindings = Bindings::new(&program, &source, &mut world::entropy());
    let (bindings, _) = bindings.ok_or_else(|| CliError::broken("a view could not be bound"))?;
    let (mut view, mut space) = (View::new(program, bindings), Space::default());
    Ok(Box::new(move |frame| view.apply(Raw::new(frame), &mut space).map(|veiled| veiled.bytes().to_vec())))
}

#[cfg(test)]
#[path = "leak_test/tests.rs"]
mod tests;
