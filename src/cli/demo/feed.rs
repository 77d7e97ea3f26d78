//! Where the frames come from: made up, or recorded and played again and again. They are read and counted on a thread of
//! their own, so that neither files nor arithmetic hold the streams up.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::desk;
use super::instances::{Counting, Shape};
use crate::cli::input::{Frame, InputError, Recording, Replay};
use crate::cli::simulate::{Simulation, What};
use crate::cli::{CliError, complain, plain};
use crate::veil::schema::Schema;

/// Frames that wait to be published.
const AHEAD_MAX: usize = 1_024;
/// Recordings that are open at a time, per source.
const RECORDINGS_MAX: usize = 256;
/// What the made-up twins are drawn from.
const SEED: u64 = 1;

/// The frames of one source.
#[derive(Debug)]
pub(super) struct Feed {
    /// Patients or turbines.
    pub(super) what: What,
    from: From,
}

#[derive(Debug)]
enum From {
    Simulation { count: u32 },
    Recordings(Vec<Recording>),
}

/// A frame that is ready to be published.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// Whom it is about, as a position among all subjects.
    pub(super) subject: usize,
    /// What is in it.
    pub(super) shape: Shape,
    /// The encoded message.
    pub(super) bytes: Bytes,
}

type Frames = Box<dyn Iterator<Item = Result<Frame, InputError>> + Send>;

impl Feed {
    /// Made-up twins.
    pub(super) fn simulated(what: What, count: u32) -> Self {
        Self { what, from: From::Simulation { count } }
    }

    /// What a folder has: patients and turbines. Files that no mapping covers are named on standard error; where the folder
    /// has none of a kind, made-up ones stand in.
    pub(super) fn recorded(dir: &Path, patients: u32, turbines: u32) -> Result<[Self; 2], CliError> {
        let (recordings, unmapped) = Replay::open(dir)?;
        for file in unmapped {
            complain(format_args!("twinveil: `{}`: no mapping covers it, so it is left out", plain(&file)));
        }
        let of = |what: What, count: u32| {
            let found: Vec<Recording> = recordings.iter().filter(|recording| recording.message() == what.message()).cloned().collect();
            if found.len() > RECORDINGS_MAX {
                let dir = dir.display();
                return Err(CliError::broken(format!(
                    "`{dir}`: more than {RECORDINGS_MAX} recordings of `{}`; name a smaller folder",
                    what.message()
                )));
            }
            if found.is_empty() {
                complain(format_args!("twinveil: `{}`: no recording of `{}`; made-up ones stand in", dir.display(), what.message()));
                return Ok(Self::simulated(what, count));
            }
            Ok(Self { what, from: From::Recordings(found) })
        };
        Ok([of(What::Patients, patients)?, of(What::Turbines, turbines)?])
    }

    /// Everybody in it, each once.
    pub(super) fn subjects(&self) -> Result<Vec<String>, CliError> {
        match &self.from {
            From::Simulation { count } => Ok(Simulation::new(self.what, SEED, *count, 0).subjects()),
            From::Recordings(recordings) => {
                let mut all: Vec<String> = Vec::new();
                for recording in recordings {
                    for subject in recording.subjects()? {
                        if !all.contains(&subject) {
                            all.push(subject);
                        }
                    }
                }
                Ok(all)
            }
        }
    }

    fn frames(self) -> Result<Frames, CliError> {
        Ok(match self.from {
            From::Simulation { count } => Box::new(Simulation::new(self.what, SEED, count, desk::now()?.0).map(Ok)),
            From::Recordings(recordings) => Box::new(Rounds::new(recordings)),
        })
    }

    /// Starts reading. `subjects` says where a subject stands among all; frames about others are left out, as nobody enrolled
    /// them. It ends when nobody reads on, or with an error.
    pub(super) fn start(
        self,
        schema: Arc<Schema>,
        subjects: HashMap<String, usize>,
    ) -> Result<mpsc::Receiver<Result<Prepared, CliError>>, CliError> {
        let frames = self.frames()?;
        let (sender, receiver) = mpsc::channel(AHEAD_MAX);
        let read = move || {
            let mut counting = Counting::new(schema);
            for frame in frames {
                let prepared = match frame {
                    Ok(frame) => match (subjects.get(&frame.subject), counting.count(&frame.bytes)) {
                        (None, _) => continue,
                        (Some(subject), Ok(shape)) => Ok(Prepared { subject: *subject, shape, bytes: frame.bytes.into() }),
                        (Some(_), Err(refusal)) => Err(CliError::broken(format!("a frame of the demo is broken: {refusal}"))),
                    },
                    Err(error) => Err(CliError::from(error)),
                };
                let broken = prepared.is_err();
                if sender.blocking_send(prepared).is_err() || broken {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("frames".into()).spawn(read);
        thread.map_err(|error| CliError::broken(format!("no thread for the frames: {}", error.kind())))?;
        Ok(receiver)
    }
}

/// Recordings, a frame of each in turn; one that is over begins again.
struct Rounds {
    recordings: Vec<Recording>,
    open: Vec<Option<Frames>>,
    at: usize,
    /// Recordings in a row that had no frame at all.
    empty: usize,
}

impl Rounds {
    fn new(recordings: Vec<Recording>) -> Self {
        let open = recordings.iter().map(|_| None).collect();
        Self { recordings, open, at: 0, empty: 0 }
    }
}

impl Iterator for Rounds {
    type Item = Result<Frame, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.empty < self.recordings.len() {
            let at = self.at;
            self.at = (at + 1) % self.recordings.len();
            let (recording, open) = (self.recordings.get(at)?, self.open.get_mut(at)?);
            if let Some(frame) = open.as_mut().and_then(Iterator::next) {
                self.empty = 0;
                return Some(frame);
            }
            let mut again: Frames = match recording.frames() {
                Ok(frames) => Box::new(frames),
                Err(error) => return Some(Err(error)),
            };
            let first = again.next();
            *open = Some(again);
            match first {
                Some(frame) => {
                    self.empty = 0;
                    return Some(frame);
                }
                None => self.empty += 1,
            }
        }
        Some(Err(InputError::new("the recordings have no frame")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::schema::load;

    fn folder(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("twinveil-feed-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        for (file, text) in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("own folder");
            std::fs::write(path, text).expect("own folder");
        }
        root
    }

    const TRACK: &str = "time_utc,lat_deg,lon_deg,ele_m\n2024-03-04T08:00:00Z,48.2,16.3,200\n2024-03-04T08:00:01Z,48.3,16.4,201\n";

    #[test]
    fn recordings_are_mapped_and_begin_again_when_they_are_over() {
        let root = folder("again", &[("tracks/ann.csv", TRACK), ("tracks/bob.csv", TRACK), ("tracks/notes.tsv", "x\n")]);
        let [patients, turbines] = Feed::recorded(&root, 2, 4).expect("mapped");
        assert_eq!(patients.subjects().expect("read"), ["ann", "bob"]);
        assert_eq!(turbines.subjects().expect("made up").len(), 4);
        let frames: Vec<Frame> = patients.frames().expect("opens").take(10).collect::<Result<_, _>>().expect("good");
        let subjects: Vec<&str> = frames.iter().map(|frame| frame.subject.as_str()).collect();
        assert_eq!(subjects, ["ann", "bob", "ann", "bob", "ann", "bob", "ann", "bob", "ann", "bob"]);
        assert_eq!((frames[0].at_ms, frames[2].at_ms), (frames[4].at_ms, frames[6].at_ms));
        assert_ne!(frames[0].at_ms, frames[2].at_ms);
        std::fs::remove_dir_all(root).expect("own folder");
    }

    #[test]
    fn recordings_without_a_frame_end_with_an_error() {
        let root = folder("empty", &[("tracks/ann.csv", "time_utc,lat_deg,lon_deg,ele_m\n")]);
        let [patients, _] = Feed::recorded(&root, 2, 2).expect("mapped");
        let error = patients.frames().expect("opens").next().expect("says so").expect_err("nothing in it");
        assert_eq!(error.to_string(), "the recordings have no frame");
        std::fs::remove_dir_all(root).expect("own folder");
    }

    #[test]
    fn frames_come_prepared_and_only_of_known_subjects() {
        let schema = Arc::new(load(crate::proto::SAMPLES, What::Turbines.message(), None).expect("a sample"));
        let feed = Feed::simulated(What::Turbines, 3);
        let known = feed.subjects().expect("made up").into_iter().skip(1).zip([7, 9]).collect();
        let mut frames = feed.start(schema, known).expect("starts");
        let subjects: Vec<usize> = (0..4).map(|_| frames.blocking_recv().expect("endless").expect("good").subject).collect();
        assert_eq!(subjects, [7, 9, 7, 9]);
    }
}
