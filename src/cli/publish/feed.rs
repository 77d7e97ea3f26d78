//! From frames to batches, at a pace.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::Sender;

use super::super::input::{Frame, InputError};
use crate::proto::v1::{PublishBatch, PublishRequest, publish_request::Kind};

/// A batch is sent before it gets larger than this, which every gateway takes by default.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Frames with the number of the recording that they stand in: each has a beginning of its own.
pub(super) type Frames = Box<dyn Iterator<Item = Result<(usize, Frame), InputError>> + Send>;

/// How fast frames go out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// As fast as the gateway takes them.
    Max,
    /// So many a second.
    PerSecond(f64),
    /// As far apart as they were captured.
    Recorded,
}

impl Pace {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "max" => Ok(Self::Max),
            "recorded" => Ok(Self::Recorded),
            _ => match text.parse::<f64>() {
                Ok(rate) if rate.is_finite() && (0.001..=1e7).contains(&rate) => Ok(Self::PerSecond(rate)),
                _ => Err("write frames a second (0.001 to 10000000), `recorded` or `max`".into()),
            },
        }
    }
}

/// Tells when each frame is due, from the beginning of the sending.
#[derive(Debug)]
struct Schedule {
    pace: Pace,
    frames: u64,
    /// The recording at hand: its number, when its first frame was captured, and when it was due.
    recording: Option<(usize, i64, Duration)>,
    last: Duration,
}

impl Schedule {
    fn new(pace: Pace) -> Self {
        Self { pace, frames: 0, recording: None, last: Duration::ZERO }
    }

    fn due(&mut self, run: usize, at_ms: i64) -> Duration {
        let due = match self.pace {
            Pace::Max => Duration::ZERO,
            // INVARIANT: the rate is at least 0.001, so the quotient is a duration for more frames than anybody sends.
            Pace::PerSecond(rate) => Duration::try_from_secs_f64(self.frames as f64 / rate).unwrap_or(Duration::MAX),
            Pace::Recorded => {
                let (_, first_ms, from) = *match &mut self.recording {
                    Some(same) if same.0 == run => same,
                    // A recording begins where the one before it ends.
                    other => other.insert((run, at_ms, self.last)),
                };
                from.saturating_add(Duration::from_millis(u64::try_from(at_ms.saturating_sub(first_ms)).unwrap_or(0)))
            }
        };
        self.frames += 1;
        self.last = self.last.max(due);
        due
    }
}

/// Reads frames and sends batches.
pub(super) struct Feed {
    pub(super) frames: Frames,
    pub(super) pace: Pace,
    pub(super) batch_frames: usize,
}

impl Feed {
    /// Blocks its thread until the end, an error, or nobody takes them any more; how many frames were read.
    #[expect(clippy::disallowed_methods, reason = "the thread is this one's alone, and serves no streams")]
    pub(super) fn run(self, batches: &Sender<PublishRequest>) -> Result<u64, InputError> {
        let begin = Instant::now();
        let mut schedule = Schedule::new(self.pace);
        let mut batch = Batch::default();
        let mut read = 0;
        for frame in self.frames {
            let (run, frame) = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    // What was read before it is good.
                    batch.send(batches);
                    return Err(error);
                }
            };
            read += 1;
            let due = schedule.due(run, frame.at_ms);
            let wait = due.saturating_sub(begin.elapsed());
            if !wait.is_zero() || batch.frames.len() >= self.batch_frames || batch.bytes + frame.bytes.len() > BATCH_BYTES_MAX {
                if !batch.send(batches) {
                    return Ok(read);
                }
                std::thread::sleep(wait);
            }
            batch.bytes += frame.bytes.len();
            batch.frames.push(frame.bytes.into());
        }
        batch.send(batches);
        Ok(read)
    }
}

#[derive(Default)]
struct Batch {
    frames: Vec<Bytes>,
    bytes: usize,
}

impl Batch {
    /// Waits for room; false: nobody takes it any more.
    fn send(&mut self, batches: &Sender<PublishRequest>) -> bool {
        let Self { frames, .. } = std::mem::take(self);
        frames.is_empty() || batches.blocking_send(PublishRequest { kind: Some(Kind::Batch(PublishBatch { frames })) }).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(at_ms: i64, bytes: usize) -> Frame {
        Frame { bytes: vec![0; bytes], subject: "p".into(), at_ms }
    }

    fn batches(frames: Vec<Result<(usize, Frame), InputError>>, batch_frames: usize, pace: Pace) -> (Vec<usize>, Result<u64, InputError>) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1_000);
        let ended = Feed { frames: Box::new(frames.into_iter()), pace, batch_frames }.run(&sender);
        drop(sender);
        let mut sizes = Vec::new();
        while let Some(PublishRequest { kind: Some(Kind::Batch(batch)) }) = receiver.blocking_recv() {
            sizes.push(batch.frames.len());
        }
        (sizes, ended)
    }

    #[test]
    fn batches_are_cut_by_number_and_by_size() {
        let small = (0..10).map(|at| Ok((0, frame(at, 1)))).collect();
        assert_eq!(batches(small, 4, Pace::Max), (vec![4, 4, 2], Ok(10)));
        let large = (0..3).map(|at| Ok((0, frame(at, BATCH_BYTES_MAX / 2)))).collect();
        assert_eq!(batches(large, 64, Pace::Max), (vec![2, 1], Ok(3)));
        let huge = vec![Ok((0, frame(0, 2 * BATCH_BYTES_MAX)))];
        assert_eq!(batches(huge, 64, Pace::Max), (vec![1], Ok(1)));
        assert_eq!(batches(Vec::new(), 64, Pace::Max), (vec![], Ok(0)));
    }

    #[test]
    fn what_was_read_before_an_error_is_sent() {
        let frames = vec![Ok((0, frame(0, 1))), Err(InputError::new("bad")), Ok((0, frame(0, 1)))];
        assert_eq!(batches(frames, 64, Pace::Max), (vec![1], Err(InputError::new("bad"))));
    }

    #[test]
    fn frames_that_are_not_due_are_not_sent_along() {
        let frames = vec![Ok((0, frame(1_000, 1))), Ok((0, frame(1_000, 1))), Ok((0, frame(2_000, 1)))];
        let begin = Instant::now();
        assert_eq!(batches(frames, 64, Pace::Recorded), (vec![2, 1], Ok(3)));
        assert!(begin.elapsed() >= Duration::from_secs(1));
    }

    #[test]
    fn nobody_to_take_them_ends_the_reading() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        drop(receiver);
        let frames = (0..10).map(|at| Ok((0, frame(at, 1))));
        assert_eq!(Feed { frames: Box::new(frames), pace: Pace::Max, batch_frames: 1 }.run(&sender), Ok(2));
    }

    #[test]
    fn each_pace_says_when_a_frame_is_due() {
        let due = |pace: &str, frames: &[(usize, i64)]| {
            let mut schedule = Schedule::new(Pace::parse(pace).expect("pace"));
            frames.iter().map(|(run, at_ms)| schedule.due(*run, *at_ms).as_millis()).collect::<Vec<_>>()
        };
        let frames = [(0, 5_000), (0, 5_250), (0, 5_100), (1, 9_000), (1, 9_010)];
        assert_eq!(due("max", &frames), [0; 5]);
        assert_eq!(due("4", &frames), [0, 250, 500, 750, 1_000]);
        assert_eq!(due("recorded", &frames), [0, 250, 100, 250, 260]);
        for bad in ["", "0", "-1", "nan", "inf", "fast", "1e99"] {
            assert!(Pace::parse(bad).is_err(), "{bad}");
        }
    }
}
