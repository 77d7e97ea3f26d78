//! `twinveil demo`: the main job in one command. A gateway of its own, two sources, five recipients with different consents,
//! a withdrawal and a wider grant at half-time, and in the end the numbers: what was done to which field for whom.

mod cast;
mod desk;
mod feed;
mod instances;
mod latency;
mod play;
mod report;
mod screen;
mod seat;
mod stage;
mod streams;
mod tally;

use std::path::PathBuf;
use std::time::Duration;

use super::child::{Folder, Gateway};
use super::interrupted::interrupted;
use super::{CliError, OutputArgs, init};
use feed::Feed;
use play::Play;
use screen::Screen;

/// The most subjects of a kind: every one of them signs several records before the streams begin.
const SUBJECTS_MAX: usize = 1_000;

/// Show the gateway at work: sources, recipients, consents, a withdrawal.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil demo
  twinveil demo --seconds 60 --data recordings --rate max
  twinveil demo --seconds 4 --output json

It starts `twinveil serve` on a free port of this machine, with mutual TLS, in a folder of its own that is removed at \
the end. A hospital and a wind farm stream frames. Every patient and every turbine's steward has a wallet and is enrolled; \
what they allow whom goes over the gateway's API. At half-time one patient withdraws everything, and another opens its \
heart rate to the researcher, as far as the operator's policy lets it.

What is counted: an instance is a field that is present in one message of a frame as its source sent it. A list of numbers \
is one; every entry of a map and every element of a repeated message counts for itself. Latency is the time from handing \
a frame to the source's stream until the recipient has read it, without the first second, in which every view is made. \
Processor time is the gateway's own, from the first frame to the last.

With --output json the last line is one object:
  {\"recipients\":[{\"name\",\"frames\",\"kept\",\"generalized\",\"pseudonymized\",\"encrypted\",
    \"stripped\",\"frames_after_withdrawal\"}],\"frames_in\",\"cpu_us_per_frame\"}

Exit code 1: a frame came after its subject had withdrawn, or one was lost.")]
pub struct Args {
    /// How long frames stream, in seconds: 2 to 86400
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=86_400))]
    seconds: u64,
    /// Folder of recordings to play again and again, instead of made-up frames
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many patients are made up, 2 to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=SUBJECTS_MAX as i64))]
    patients: u32,
    /// How many turbines are made up, 1 to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=SUBJECTS_MAX as i64))]
    turbines: u32,
    /// How fast each of the two sources sends: frames a second, or `max`
    #[arg(long, value_name = "RATE", default_value = "200", value_parser = Rate::parse)]
    rate: Rate,
    /// Folder for the gateway, new or empty, which stays
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// How fast a source sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As fast as the gateway takes them.
    Max,
    /// Frames a second.
    PerSecond(u32),
}

impl Rate {
    fn parse(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("max", _) => Ok(Self::Max),
            (_, Ok(rate @ 1..=1_000_000)) => Ok(Self::PerSecond(rate)),
            _ => Err("must be `max`, or 1 to 1000000 frames a second".to_owned()),
        }
    }

    /// How many frames are due after some time.
    fn due(self, passed: Duration) -> u64 {
        match self {
            Self::Max => u64::MAX,
            Self::PerSecond(rate) => (passed.as_secs_f64() * f64::from(rate)) as u64,
        }
    }

    /// When the frame with this number, from 1, is due.
    fn when(self, frame: u64) -> Duration {
        match self {
            Self::Max => Duration::ZERO,
            Self::PerSecond(rate) => Duration::from_secs_f64(frame as f64 / f64::from(rate)),
        }
    }
}

/// Plays the demo.
pub fn run(args: Args) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| CliError::broken(format!("no runtime: {}", error.kind())))?.block_on(perform(args))
}

async fn perform(args: Args) -> Result<(), CliError> {
    // Heard before there is anything to clean up.
    let interrupted = interrupted()?;
    let feeds = match &args.data {
        None => [
            Feed::simulated(super::simulate::What::Patients, args.patients),
            Feed::simulated(super::simulate::What::Turbines, args.turbines),
        ],
        Some(dir) => Feed::recorded(dir, args.patients, args.turbines)?,
    };
    let mut screen = Screen::new(args.output.output, args.seconds);
    let (folder, _) = Folder::make(args.keep.as_deref(), init::fill_folder)?;
    screen.event("starting a gateway")?;
    let mut gateway = Gateway::start(folder, &interrupted).await?;
    let play = Play {
        address: gateway.address().to_owned(),
        folder: gateway.folder().to_owned(),
        process: gateway.process(),
        seconds: args.seconds,
        rate: args.rate,
    };
    let played = tokio::select! {
        played = play.perform(feeds, &mut screen) => match played {
            // Connections break before it is known that the process behind them is gone.
            Err(error) => Err(gateway.died_meanwhile().await.unwrap_or(error)),
            played => played,
        },
        died = gateway.died() => Err(died),
        ended = interrupted.wait() => Err(ended),
    };
    // What went wrong first is what counts.
    let stopped = gateway.stop().await;
    let (report, told) = played?;
    stopped?;
    if args.output.is_json() {
        let json = serde_json::to_string(&report).map_err(|error| CliError::broken(format!("the report can't be written: {error}")))?;
        super::say(json)?;
    } else {
        super::say(told)?;
    }
    match report.frames_after_withdrawal() {
        0 => Ok(()),
        frames => Err(CliError::found(format!("{frames} frames came after their subject had withdrawn"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_max() {
        assert_eq!((Rate::parse("max"), Rate::parse("200")), (Ok(Rate::Max), Ok(Rate::PerSecond(200))));
        for text in ["0", "-1", "1000001", "fast", "", "1.5"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn frames_are_due_at_their_rate() {
        let rate = Rate::PerSecond(200);
        assert_eq!((rate.due(Duration::ZERO), rate.due(Duration::from_secs(2)), rate.when(400)), (0, 400, Duration::from_secs(2)));
        assert_eq!((Rate::Max.due(Duration::ZERO), Rate::Max.when(9)), (u64::MAX, Duration::ZERO));
    }

    #[test]
    fn the_options_hold_together() {
        use clap::{Args as _, Command, FromArgMatches};
        let command = || Args::augment_args(Command::new("demo"));
        command().debug_assert();
        let parse = |words: &[&str]| {
            command().try_get_matches_from([&["demo"], words].concat()).and_then(|matches| Args::from_arg_matches(&matches))
        };
        let args = parse(&[]).expect("defaults");
        assert_eq!((args.seconds, args.patients, args.turbines, args.rate), (20, 6, 3, Rate::PerSecond(200)));
        for words in [["--seconds", "1"], ["--patients", "1"], ["--turbines", "0"], ["--patients", "1001"], ["--rate", "none"]] {
            assert!(parse(&words).is_err(), "{words:?}");
        }
    }
}
