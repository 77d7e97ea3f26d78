//! `twinveil simulate`: made-up twins, the same for the same seed. Good enough to be treated, rendered and stripped; no
//! medical or engineering model.

mod dice;
mod patient;
mod turbine;

use std::collections::VecDeque;
use std::io::Write;

use clap::ValueEnum;
use prost_reflect::{DynamicMessage, SerializeOptions};

use super::CliError;
use super::input::{Frame, Shape};
pub use patient::Patient;
pub use turbine::Turbine;

/// The most twins of one run.
pub const COUNT_MAX: u32 = 100_000;

/// Make up frames of patients or turbines, as NDJSON on standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil simulate patients --count 3 --seconds 60 > ward.ndjson
  twinveil simulate turbines --seconds 86400 --seed 7

Each line is the protobuf JSON form of twinveil.sample.PatientFrame or twinveil.sample.TurbineFrame, in time order. The \
same options give the same lines. Nobody in them is real.")]
pub struct Args {
    /// What to make up
    #[arg(value_enum)]
    pub what: What,
    /// How many of them, 1 to 100000
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(COUNT_MAX)))]
    pub count: u32,
    /// How much time the frames cover, in seconds
    #[arg(long, default_value_t = 60)]
    pub seconds: u32,
    /// What the frames are drawn from: another seed, other frames
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// When the frames begin (RFC 3339)
    #[arg(long, value_name = "INSTANT", default_value = "2024-03-04T08:00:00Z")]
    pub start: jiff::Timestamp,
}

/// What can be made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Patients: a waveform every quarter of a second, vital signs every second, a position every ten.
    Patients,
    /// Wind turbines: a frame every ten seconds.
    Turbines,
}

impl What {
    /// The full name of the frames' message type.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Patients => "twinveil.sample.PatientFrame",
            Self::Turbines => "twinveil.sample.TurbineFrame",
        }
    }
}

/// Prints the frames.
pub fn run(args: Args) -> Result<(), CliError> {
    let shape = Shape::builtin(args.what.message())?;
    let start_ms = args.start.as_millisecond();
    let end_ms = start_ms.saturating_add(i64::from(args.seconds) * 1_000);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let broken = |error: std::io::Error| CliError::broken(format!("standard output: {}", error.kind()));
    for frame in Simulation::new(args.what, args.seed, args.count, start_ms).take_while(|frame| frame.at_ms < end_ms) {
        let line = json(&shape, &frame).map_err(|error| CliError::broken(format!("a frame can't be shown as JSON: {error}")))?;
        out.write_all(&line).map_err(broken)?;
    }
    out.flush().map_err(broken)
}

fn json(shape: &Shape, frame: &Frame) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let message = DynamicMessage::decode(shape.message().clone(), &frame.bytes[..])?;
    let mut line = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut line, &SerializeOptions::new())?;
    let mut line = line.into_inner();
    line.push(b'\n');
    Ok(line)
}

/// One made-up twin: it advances step by step.
trait Twin {
    /// The length of a step.
    const STEP_MS: i64;
    /// Adds the frames of the step that begins at `at_ms`.
    fn step(&mut self, at_ms: i64, out: &mut VecDeque<Frame>);
}

/// Endless frames of several twins, in time order.
#[derive(Debug)]
pub struct Simulation {
    twins: Twins,
    at_ms: i64,
    ready: VecDeque<Frame>,
}

#[derive(Debug)]
enum Twins {
    Patients(Vec<Patient>),
    Turbines(Vec<Turbine>),
}

impl Simulation {
    /// `count` twins from `start_ms` on. The first twin is the same whatever the count.
    pub fn new(what: What, seed: u64, count: u32, start_ms: i64) -> Self {
        let count = count.clamp(1, COUNT_MAX);
        let twins = match what {
            What::Patients => Twins::Patients((0..count).map(|number| Patient::new(seed, number)).collect()),
            What::Turbines => Twins::Turbines((0..count).map(|number| Turbine::new(seed, number)).collect()),
        };
        Self { twins, at_ms: start_ms, ready: VecDeque::new() }
    }

    /// Every subject, without a frame being made.
    pub fn subjects(&self) -> Vec<String> {
        match &self.twins {
            Twins::Patients(patients) => patients.iter().map(|patient| patient.id().to_owned()).collect(),
            Twins::Turbines(turbines) => turbines.iter().map(|turbine| turbine.id().to_owned()).collect(),
        }
    }
}

impl Iterator for Simulation {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        fn step<T: Twin>(twins: &mut [T], at_ms: &mut i64, ready: &mut VecDeque<Frame>) {
            twins.iter_mut().for_each(|twin| twin.step(*at_ms, ready));
            *at_ms += T::STEP_MS;
        }
        while self.ready.is_empty() {
            match &mut self.twins {
                Twins::Patients(patients) => step(patients, &mut self.at_ms, &mut self.ready),
                Twins::Turbines(turbines) => step(turbines, &mut self.at_ms, &mut self.ready),
            }
        }
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::input::ndjson::Lines;

    fn frames(what: What, seed: u64, count: u32, frames: usize) -> Vec<Frame> {
        Simulation::new(what, seed, count, 1_000).take(frames).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_frames_and_another_does_not() {
        for what in [What::Patients, What::Turbines] {
            assert_eq!(frames(what, 7, 3, 400), frames(what, 7, 3, 400));
            assert_ne!(frames(what, 7, 3, 400), frames(what, 8, 3, 400));
            let first = frames(what, 7, 1, 50);
            let among: Vec<Frame> =
                frames(what, 7, 3, 400).into_iter().filter(|frame| frame.subject == first[0].subject).take(50).collect();
            assert_eq!(first, among, "the count does not change the first twin");
        }
    }

    #[test]
    fn frames_come_in_time_order_from_every_twin() {
        for what in [What::Patients, What::Turbines] {
            let simulation = Simulation::new(what, 1, 5, 0);
            let mut subjects = simulation.subjects();
            let frames: Vec<Frame> = simulation.take(1_000).collect();
            assert!(frames.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms));
            let mut seen: Vec<String> = frames.into_iter().map(|frame| frame.subject).collect();
            seen.sort();
            seen.dedup();
            subjects.sort();
            assert_eq!((seen.len(), &seen), (5, &subjects));
        }
    }

    #[test]
    fn printed_lines_read_back_as_the_same_frames() {
        for what in [What::Patients, What::Turbines] {
            let shape = Shape::builtin(what.message()).expect("built in");
            let frames = frames(what, 3, 2, 300);
            let text: Vec<u8> = frames.iter().flat_map(|frame| json(&shape, frame).expect("JSON")).collect();
            let back: Vec<Frame> = Lines::new(&text[..], "simulated", shape.clone()).collect::<Result<_, _>>().expect("reads");
            assert_eq!(back.len(), frames.len());
            for (back, frame) in back.iter().zip(&frames) {
                // The entries of a map have no order on the wire, so messages are compared.
                let decode = |frame: &Frame| DynamicMessage::decode(shape.message().clone(), &frame.bytes[..]).expect("decodes");
                assert_eq!((&back.subject, back.at_ms, decode(back)), (&frame.subject, frame.at_ms, decode(frame)));
            }
        }
    }
}
