//! How many instructions does one frame take? Unlike times, counts stay the same from run to run, so that a change of the walk
//! shows whatever else the machine does.
//!
//! Each row stands twice: `counted` also notes every frame for the history of whom it is about (`src/manual/disclosure.md`), as streams do;
//! the difference is what that costs.
//!
//! `cargo bench --bench instructions` counts under valgrind and shows the change against `benches/instructions.txt`;
//! `-- --save` writes that file anew. Counts are those of one compiler and one kind of processor.
#![allow(clippy::print_stdout, reason = "a bench prints what it found")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use twinveil::veil::view::{Raw, Space};

mod frames;
mod history;

/// Frames in a run; the second run has twice as many, and the difference is theirs alone.
const FRAMES: u64 = 10_000;
const SAVED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let found = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", case, size, frames] => return run(case, size, frames, false),
        ["counted", case, size, frames] => return run(case, size, frames, true),
        _ if words.iter().any(|word| word == "--test") => {
            return (0..frames::CASES.len())
                .flat_map(|case| [false, true].map(|counted| run(&case.to_string(), "0", "2", counted)))
                .find(|code| *code != ExitCode::SUCCESS)
                .unwrap_or(ExitCode::SUCCESS);
        }
        _ => measure(),
    };
    match found {
        Ok(found) if words.iter().any(|word| word == "--save") => save(&found),
        Ok(found) => show(&found),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// What is counted: frames of one size through the view of one case; and perhaps each of them noted for its subject's history, as
/// streams do it.
fn run(case: &str, size: &str, frames: &str, counted: bool) -> ExitCode {
    let (Ok(case), Ok(size), Ok(count)) = (case.parse::<usize>(), size.parse::<usize>(), frames.parse::<u64>()) else {
        return ExitCode::FAILURE;
    };
    let (Some(case), Some(frame)) = (frames::CASES.get(case), frames::sizes().into_iter().nth(size)) else { return ExitCode::FAILURE };
    let Some((_, suite)) = case.suites.first() else { return ExitCode::FAILURE };
    let (mut view, mut space) = (frames::view(&frames::schema(), case.treat, *suite), Space::default());
    let counting = counted.then(|| history::counting().expect("a ledger in memory"));
    for _ in 0..count {
        black_box(view.apply(Raw::new(black_box(&frame)), &mut space).expect("well-formed").bytes().len());
        if let Some(counting) = black_box(&counting) {
            counting.one();
        }
    }
    ExitCode::SUCCESS
}

fn measure() -> Result<BTreeMap<String, u64>, String> {
    let mut found = BTreeMap::new();
    for (index, case) in frames::CASES.iter().enumerate() {
        for (size, frame) in frames::sizes().iter().enumerate() {
            for (how, also) in [("run", ""), ("counted", " counted")] {
                let [once, twice] =
                    [FRAMES, 2 * FRAMES].map(|frames| count(&[how, &index.to_string(), &size.to_string(), &frames.to_string()]));
                found.insert(format!("{} {} B{also}", case.name, frame.len()), (twice?.saturating_sub(once?)) / FRAMES);
            }
        }
    }
    Ok(found)
}

fn count(words: &[&str]) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args(words);
    let output = valgrind.output().map_err(|error| format!("instructions are counted by valgrind (apt-get install valgrind): {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let counted = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    counted.filter(|_| output.status.success()).ok_or(format!("valgrind did not count:\n{said}"))
}

fn save(found: &BTreeMap<String, u64>) -> ExitCode {
    let lines: String = found.iter().map(|(what, count)| format!("{what}\t{count}\n")).collect();
    match std::fs::write(SAVED, lines) {
        Ok(()) => show(found),
        Err(error) => {
            eprintln!("{SAVED}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(found: &BTreeMap<String, u64>) -> ExitCode {
    let saved = std::fs::read_to_string(Path::new(SAVED)).unwrap_or_default();
    let saved: BTreeMap<&str, u64> =
        saved.lines().filter_map(|line| line.split_once('\t')).filter_map(|(what, count)| Some((what, count.parse().ok()?))).collect();
    println!("{:<26} {:>12} {:>12} {:>8}", "frame", "instructions", "saved", "change");
    for (what, count) in found {
        match saved.get(what.as_str()) {
            Some(&before) => println!("{what:<26} {count:>12} {before:>12} {:>+7.1}%", (*count as f64 / before as f64 - 1.0) * 100.0),
            None => println!("{what:<26} {count:>12} {:>12}", "-"),
        }
    }
    ExitCode::SUCCESS
}
