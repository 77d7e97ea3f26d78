//! `twinveil bench`: what does this machine carry, with the operator's own schema and policy? One recipient's view is measured in this
//! process, then a whole gateway is, from outside; from both follows how many cores and how much memory a load needs.

mod agreed;
mod in_process;
mod made;
mod matter;
mod native;
mod people;
mod place;
mod proxied;
mod report;
mod rig;
mod sizing;
mod upstream;
mod way;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::child::{self, Folder, Gateway};
use super::input::MapArgs;
use super::interrupted::interrupted;
use super::wallet::rule;
use super::words;
use super::{CliError, OutputArgs, configured};
use crate::config::{Config, Party};
use crate::server;
use crate::veil::consent::document::RuleDocument;
use crate::veil::name::{Purpose, Spiffe};
use crate::veil::oracle::Dice;
use agreed::Agreed;
use in_process::ViewCost;
use matter::{Frames, Matter};
use native::Native;
use place::{Behind, Made};
use proxied::Proxied;
use report::{Found, Way};
use rig::Rig;
use upstream::Service;
use way::Ways;

/// Frames are made of these lengths where nobody says.
const LENGTHS: [usize; 3] = [200, 1_000, 4_000];

/// Measure this machine with your schema and policy, and say how many cores and how much memory a load needs.
#[derive(Debug, clap::Args)]
#[command(mut_arg("message", |arg| arg.required(false).default_value("").hide_default_value(true)))]
#[command(after_help = "\
What is measured: in this process, how long it takes to make the recipient's view and to see frames through it; then a gateway of its \
own, with your configuration but with keys, store and certificates of a folder that goes away afterwards. Frames are published as fast \
as it takes them, to recipients that each get every one; where a route carries such messages, they are sent through calls, one in each \
DATA frame. What counts is the processor time of the gateway (user and system), and its memory with few and with many streams.

The rule: cores = frames a second × processor time of a frame × headroom. Measure on the machine that will serve, while it does \
nothing else, with a release build; at low rates most of a frame's cost is waking up, and the figures are too low.

Without --permit, --forbid and --consent it is taken that subjects and the operator permit as much as the policy does.

Examples:
  twinveil bench --config demo/twinveil.toml --schema twinveil.sample.PatientFrame \\
      --to clinician --purpose dpv:ServiceProvision
  twinveil bench --config demo/twinveil.toml --schema twinveil.sample.PatientFrame \\
      --to researcher --purpose dpv:ScientificResearch --rate 20000 --bytes 800 \\
      --permit patient_id=pseudonymize --permit health=generalize --permit note=encrypt
  twinveil bench --method ward.v1.Ward/Watch --to clinician --purpose dpv:ServiceProvision \\
      --output json

With --output json the last line is one object:
  {\"schema\",\"recipient\",\"purpose\",\"consent\",\"frames\",\"subjects\",\"headroom\",
    \"idle_bytes\",\"connection_bytes\",
    \"ways\":[{\"way\",\"method\",\"recipients\",\"fields\",\"view\",
      \"sizes\":[{\"frame_bytes\",\"frames\",\"seconds\",\"frames_per_s\",\"cpu_us_per_frame\",
        \"apply_us\",\"seal_us\",\"share_apply\",\"share_seal\",\"share_transport\"}],
      \"fixed_us\",\"per_byte_us\",\"stream_bytes\"}],
    \"cores\":[{\"way\",\"frames_per_s\",\"frame_bytes\",\"cores\"}]}

Exit code 1: a frame was refused or lost. 2: nothing of the schema flows to the recipient.")]
pub struct Args {
    /// Recorded frames, in a form that `twinveil publish` takes; made from the schema where absent
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The gateway's configuration: schemas, routes, parties, policy
    #[arg(long, value_name = "FILE", default_value = "twinveil.toml")]
    config: PathBuf,
    /// A method that has a route; else the first whose messages are of the schema, if there is one
    #[arg(long, value_name = "SERVICE/METHOD")]
    method: Option<String>,
    /// The recipient, by name or SPIFFE id
    #[arg(long, value_name = "PARTY")]
    to: String,
    /// What for: a DPV term
    #[arg(long, value_name = "TERM", value_parser = words::purpose)]
    purpose: Purpose,
    /// What subjects permit, as in `twinveil wallet grant`; may be repeated
    #[arg(long, value_name = "MATCH=TREATMENT", value_parser = rule::permit, conflicts_with = "consents")]
    permit: Vec<RuleDocument>,
    /// What they forbid; may be repeated
    #[arg(long, value_name = "MATCH", value_parser = rule::forbid, conflicts_with = "consents")]
    forbid: Vec<RuleDocument>,
    /// A signed consent or mandate, or the payload of one (JSON); may be repeated. Taken as if in force
    #[arg(long = "consent", value_name = "FILE")]
    consents: Vec<PathBuf>,
    /// The longest of the frames that are made, 16 to 16777216; a half and a quarter of it are made, too
    #[arg(long, value_name = "BYTES", conflicts_with = "file", value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    bytes: Option<u32>,
    /// A load to say the cores for, in frames a second
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    rate: Option<u32>,
    /// Recipients of every frame that is published, 1 to 64
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    recipients: u16,
    /// The most frames in one message, 1 to 1000
    #[arg(long, value_name = "FRAMES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    batch: u16,
    /// The most frames of a recording; of a longer one so many are drawn
    #[arg(long, value_name = "N", default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
    /// How long frames flow in each way, all sizes together, 1 to 3600
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How many times what is needed on average there should be, for bursts and for views that are made anew: 1 to 100
    #[arg(long, value_name = "FACTOR", default_value = "2", value_parser = headroom)]
    headroom: f64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten, next_help_heading = "Recording")]
    map: MapArgs,
}

fn headroom(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (1.0..=100.0).contains(&factor) => Ok(factor),
        _ => Err("must be a number from 1 to 100".to_owned()),
    }
}

/// Measures, and says what a load needs.
pub fn run(args: Args) -> Result<(), CliError> {
    if child::cpu_us(std::process::id()).is_none() {
        return Err(CliError::broken("this needs Linux and its `/proc`, where processes say what they use"));
    }
    let plan = Plan::make(&args)?;
    let found = plan.measure()?;
    found.tell(args.output)
}

/// What is measured.
struct Plan<'a> {
    args: &'a Args,
    config: Config,
    recipient: Party,
    ways: Ways,
    /// Published, and in calls; one of them is there.
    native: Option<Matter>,
    proxied: Option<Matter>,
    agreed: Arc<Agreed>,
    frames: String,
}

impl<'a> Plan<'a> {
    fn make(args: &'a Args) -> Result<Self, CliError> {
        let config = Config::load(&args.config)?;
        let schemas = server::schemas(&config).map_err(CliError::broken)?;
        let recipient = configured::party(&config, &args.to)?.clone();
        let ways = Ways::find(args, &config, &schemas, &recipient, &args.purpose)?;
        let (_, policy) = configured::policy(&config)?;
        let consents: Vec<configured::Record> =
            args.consents.iter().map(|file| configured::consent(file, &config.origin)).collect::<Result<_, _>>()?;
        let rules: Vec<RuleDocument> = args.permit.iter().chain(&args.forbid).cloned().collect();
        let agreed = Arc::new(Agreed::make(&rules, &consents, &config.origin, &recipient, &args.purpose)?);
        let (frames, words) = frames(args, &config, &ways)?;
        let matter = |schema| Matter::make((&config, &policy), schema, &recipient, Arc::clone(&agreed), &args.purpose, &frames);
        let native = ways.native.clone().map(&matter).transpose()?;
        let proxied = ways.proxied.as_ref().map(|method| matter(Arc::clone(method.schema()))).transpose()?;
        Ok(Self { args, recipient, native, proxied, agreed, frames: words, ways, config })
    }

    fn measure(&self) -> Result<Found, CliError> {
        let view = |matter: &Option<Matter>| matter.as_ref().map(ViewCost::measure).transpose();
        let views = [view(&self.native)?, view(&self.proxied)?];
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| CliError::broken(format!("no runtime: {}", error.kind())))?;
        runtime.block_on(self.measure_gateway(views))
    }

    async fn measure_gateway(&self, views: [Option<ViewCost>; 2]) -> Result<Found, CliError> {
        // Heard before there is anything to clean up.
        let interrupted = interrupted()?;
        let (listener, address) = Service::bind().await?;
        let behind = self.ways.proxied.as_ref().and_then(|method| {
            let caller = way::caller(&self.config, method, &self.recipient)?;
            Some(Behind { method, address, caller })
        });
        let fill = |folder: &std::path::Path| place::fill(folder, &self.args.config, &self.recipient, behind);
        let (folder, made) = Folder::make(None, fill)?;
        let service = Service::serve(listener, made.upstream.as_ref())?;
        let mut gateway = Gateway::start(folder, &interrupted).await?;
        let rig = Rig {
            address: gateway.address().to_owned(),
            folder: gateway.folder().to_owned(),
            process: gateway.process().ok_or_else(|| CliError::broken("the gateway has no process"))?,
            streams_per_connection: self.config.limits.streams_per_connection_max as usize,
        };
        let measured = tokio::select! {
            measured = self.measure_with(&rig, &made, behind, service, views) => match measured {
                // Connections break before it is known that the process behind them is gone.
                Err(error) => Err(gateway.died_meanwhile().await.unwrap_or(error)),
                measured => measured,
            },
            died = gateway.died() => Err(died),
            ended = interrupted.wait() => Err(ended),
        };
        // What went wrong first is what counts.
        let stopped = gateway.stop().await;
        let found = measured?;
        stopped?;
        Ok(found)
    }

    async fn measure_with(
        &self,
        rig: &Rig,
        made: &Made,
        behind: Option<Behind<'_>>,
        service: Arc<Service>,
        views: [Option<ViewCost>; 2],
    ) -> Result<Found, CliError> {
        self.sign(rig, made, behind).await?;
        let idle_bytes = rig.resident_bytes().await?;
        let connection_bytes = rig.connection_bytes(place::RECIPIENT).await?;
        let [native_view, proxied_view] = views;
        let mut native = match &self.native {
            Some(matter) => Some(Native::open(rig, matter, self.args.recipients.into(), self.args.batch.into()).await?),
            None => None,
        };
        let proxied = match (&self.proxied, behind) {
            (Some(matter), Some(Behind { method, .. })) => Some((Proxied::open(rig, matter, method, service).await?, method)),
            _ => None,
        };
        // Memory first: a load leaves room in the process, into which streams would go unseen.
        let native_bytes = match &mut native {
            Some(native) => Some(native.stream_bytes().await?),
            None => None,
        };
        let proxied_bytes = match &proxied {
            Some((proxied, _)) => proxied.stream_bytes().await?,
            None => None,
        };
        let mut ways = Vec::new();
        if let (Some(native), Some(matter), Some(view)) = (&mut native, &self.native, native_view) {
            native.close().await;
            let mut runs = Vec::new();
            for size in &matter.sizes {
                runs.push(native.run(size, self.lasts(matter)).await?);
            }
            ways.push(Way {
                method: None,
                streams: true,
                recipients: self.args.recipients.into(),
                fields: matter.treated().collect(),
                view,
                runs,
                stream_bytes: native_bytes,
            });
        }
        if let (Some((proxied, method)), Some(matter), Some(view)) = (&proxied, &self.proxied, proxied_view) {
            proxied.warm().await?;
            let mut runs = Vec::new();
            for size in &matter.sizes {
                runs.push(proxied.run(size, self.lasts(matter)).await?);
            }
            ways.push(Way {
                method: Some(method.name().to_owned()),
                streams: method.streams(),
                recipients: 1,
                fields: matter.treated().collect(),
                view,
                runs,
                stream_bytes: proxied_bytes,
            });
        }
        let matter = self.native.as_ref().or(self.proxied.as_ref());
        Ok(Found {
            schema: matter.map(|matter| matter.schema.name().to_string()).unwrap_or_default(),
            recipient: self.recipient.spiffe.to_string(),
            purpose: self.args.purpose.to_string(),
            consent: self.agreed.words.clone(),
            frames: self.frames.clone(),
            subjects: matter.map_or(0, |matter| matter.subjects.len()),
            batch: self.args.batch,
            headroom: self.args.headroom,
            asked: self.args.rate.map(f64::from),
            idle_bytes,
            connection_bytes,
            ways,
        })
    }

    fn lasts(&self, matter: &Matter) -> Duration {
        Duration::from_secs(self.args.seconds) / matter.sizes.len().max(1) as u32
    }

    /// Enrols and signs what both ways need.
    async fn sign(&self, rig: &Rig, made: &Made, behind: Option<Behind<'_>>) -> Result<(), CliError> {
        let mut subjects: BTreeSet<String> = self.native.iter().chain(&self.proxied).flat_map(|matter| matter.subjects.clone()).collect();
        let (mut sources, mut recipients) = (BTreeSet::from([&made.source]), BTreeSet::from([&self.recipient.spiffe]));
        if let Some(Behind { method, caller, .. }) = behind {
            subjects.extend(proxied::subjects(method, caller.spiffe.as_str()));
            let both: [&Spiffe; 2] = [&method.upstream.party.spiffe, &caller.spiffe];
            sources.extend(both);
            recipients.extend(both);
        }
        let (subjects, sources, recipients): (Vec<_>, Vec<_>, Vec<_>) =
            (subjects.into_iter().collect(), sources.into_iter().collect(), recipients.into_iter().collect());
        let desk = rig.connection(place::DESK);
        people::sign_all(&desk, &self.config.origin, made, &self.agreed, &subjects, (&sources, &recipients)).await
    }
}

/// The frames that the command line asks for, and the same in words.
fn frames(args: &Args, config: &Config, ways: &Ways) -> Result<(Frames, String), CliError> {
    let Some(file) = &args.file else {
        let lengths = match args.bytes.map(|bytes| bytes as usize) {
            Some(bytes) => [bytes / 4, bytes / 2, bytes],
            None => LENGTHS,
        };
        return Ok((Frames::Made(lengths.to_vec()), "made from the schema".to_owned()));
    };
    let routed = ways.proxied.as_ref();
    let Some(schema) = ways.native.as_ref().or(routed.map(|method| method.schema())) else {
        return Err(CliError::broken("nothing is measured"));
    };
    let mut map = args.map.clone();
    map.message = schema.name().to_string();
    if ways.native.is_none()
        && map.descriptor.is_none()
        && let Some(method) = routed
    {
        let file = &method.route.descriptor;
        (map.descriptor, map.proto_paths) = (Some(file.path.clone()), file.proto_paths.clone());
    }
    let map = configured::map(&map, config, schema);
    let recorded = configured::recorded(file, &map, args.frames as usize, &mut Dice::new(1))?;
    Ok((Frames::Recorded(recorded), format!("from `{}`", file.display())))
}
