//! `twinveil publish`: a recording, or lines on standard input, as the frames of a source.

mod feed;
mod progress;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::connect::{Connection, refused};
use super::input::ndjson::Lines;
use super::input::{InputError, MapArgs, Replay};
use super::{CliError, OutputArgs, complain, say};
use crate::proto::v1::frames_client::FramesClient;
use crate::proto::v1::{PublishOpen, PublishRequest, PublishResponse, publish_request::Kind};
use feed::{Feed, Frames, Pace};
use progress::Progress;

/// How many batches may wait between reading and sending.
const BATCHES_WAITING: usize = 4;
/// How many refused frames are named on screen; all of them are in the JSON.
const NAMED_MAX: usize = 20;

/// Send a recording, or frames from standard input, to the gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FILE is NDJSON (.ndjson or .jsonl, each line the protobuf JSON form of a frame), a CSV file with the columns mapped by \
--map, a CSV file of a known recording, or a folder of those. `-` reads NDJSON from standard input.

Examples:
  twinveil publish --dir demo --as hospital --schema twinveil.sample.PatientFrame ward.ndjson
  twinveil simulate patients --seconds 60 | twinveil publish --dir demo --as hospital \\
      --schema twinveil.sample.PatientFrame --rate recorded -
  twinveil publish --dir demo --as hospital --schema twinveil.sample.PatientFrame --subject p-17 \\
      --time-column t_s --time-format seconds --time-base 2024-03-04T08:00:00Z \\
      --map hr_bpm=vitals.heart_rate_bpm --set modality=MONITOR vitals.csv

It waits where the gateway makes it wait, and ends when the last frame is acknowledged. Exit code 1: frames were refused.")]
pub struct Args {
    /// What to send
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How fast: frames a second, `recorded` for the pace of the recording, or `max`
    #[arg(long, value_name = "RATE", default_value = "max", value_parser = Pace::parse)]
    rate: Pace,
    /// The most frames in one message, 1 to 10000
    #[arg(long, value_name = "FRAMES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten, next_help_heading = "Recording")]
    map: MapArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Sends everything.
pub fn run(args: Args) -> Result<(), CliError> {
    let frames = open(&args.file, &args.map)?;
    let sent = super::block_on(publish(&args, frames))?;
    sent.tell(args.output)
}

/// The frames of what was named, unread.
pub(super) fn open(file: &Path, map: &MapArgs) -> Result<Frames, CliError> {
    let unread = |error: std::io::Error| CliError::broken(format!("`{}` can't be read: {}", file.display(), error.kind()));
    if file.as_os_str() == "-" {
        return Ok(one(Lines::new(std::io::BufReader::new(std::io::stdin()), "standard input", map.shape()?)));
    }
    let meta = std::fs::metadata(file).map_err(unread)?;
    let ending = file.extension().map(|ending| ending.to_ascii_lowercase());
    if ending.is_some_and(|ending| ending == "ndjson" || ending == "jsonl") {
        let input = std::io::BufReader::new(std::fs::File::open(file).map_err(unread)?);
        return Ok(one(Lines::new(input, file.display().to_string(), map.shape()?)));
    }
    let recordings = if meta.is_dir() {
        let (recordings, unmapped) = Replay::open(file)?;
        for name in &unmapped {
            complain(format_args!("twinveil: no mapping knows `{name}`: it is left out"));
        }
        recordings
    } else if map.maps.is_empty() && map.time_column.is_none() {
        Replay::file(file)?.into_iter().collect()
    } else {
        vec![map.recording(file)?]
    };
    let recordings: Vec<_> = recordings.into_iter().filter(|recording| recording.message() == map.message).collect();
    if recordings.is_empty() {
        return Err(CliError::broken(format!(
            "`{}` is no known recording of `{}`: say what its columns are with `--map`",
            file.display(),
            map.message
        )));
    }
    Ok(Box::new(recordings.into_iter().enumerate().flat_map(|(run, recording)| {
        let frames: Box<dyn Iterator<Item = _> + Send> = match recording.frames() {
            Ok(frames) => Box::new(frames),
            Err(error) => Box::new(std::iter::once(Err(error))),
        };
        frames.map(move |frame| frame.map(|frame| (run, frame)))
    })))
}

fn one(lines: impl Iterator<Item = Result<super::input::Frame, InputError>> + Send + 'static) -> Frames {
    Box::new(lines.map(|frame| frame.map(|frame| (0, frame))))
}

async fn publish(args: &Args, frames: Frames) -> Result<Sent, CliError> {
    let channel = args.connection.connect(Some("hospital")).await?;
    let (batches, waiting) = tokio::sync::mpsc::channel(BATCHES_WAITING);
    let feed = Feed { frames, pace: args.rate, batch_frames: args.batch as usize };
    let (done, mut read) = tokio::sync::oneshot::channel();
    // A thread of its own, not the runtime's: a read of standard input can't be called back.
    std::thread::spawn(move || {
        let ended = feed.run(&batches);
        // Said before the stream of batches ends, so that it is known when the gateway has answered for all of them.
        let _nobody_asks = done.send(ended);
        drop(batches);
    });
    let open = PublishRequest { kind: Some(Kind::Open(PublishOpen { schema: args.map.message.clone() })) };
    let requests = tokio_stream::once(open).chain(ReceiverStream::new(waiting));
    let mut acks = FramesClient::new(channel).publish(requests).await.map_err(|status| refused(&status))?.into_inner();

    let mut sent = Sent::default();
    let mut progress = Progress::start();
    loop {
        let ack = tokio::select! {
            ack = acks.message() => ack,
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                progress.show(&sent);
                continue;
            }
        };
        match ack {
            Ok(Some(ack)) => {
                sent.take(ack);
                progress.show(&sent);
            }
            Ok(None) => break,
            Err(status) => {
                progress.end(&sent);
                return Err(refused(&status));
            }
        }
    }
    progress.end(&sent);
    let through = sent.through;
    match read.try_recv() {
        Ok(Ok(read)) if read == through => Ok(sent),
        Ok(Ok(_)) | Err(_) => Err(CliError::broken(format!("the gateway ended the stream after {through} frames: send the rest again"))),
        Ok(Err(error)) => Err(CliError::broken(format!("{error}; {through} frames before it were sent"))),
    }
}

/// What the gateway has acknowledged.
#[derive(Debug, Default)]
struct Sent {
    through: u64,
    accepted: u64,
    refused: Vec<(u64, String)>,
    refused_later: Vec<(String, u64)>,
}

impl Sent {
    fn take(&mut self, ack: PublishResponse) {
        self.through = ack.through;
        self.accepted = ack.accepted;
        self.refused.extend(ack.refused.into_iter().map(|refused| (refused.index, super::plain(&refused.code))));
        // Totals since the stream opened.
        self.refused_later = ack.refused_later.into_iter().map(|later| (super::plain(&later.code), later.frames)).collect();
    }

    fn tell(&self, output: OutputArgs) -> Result<(), CliError> {
        let refused_later: u64 = self.refused_later.iter().map(|(_, frames)| frames).sum();
        if output.is_json() {
            let refused: Vec<_> = self.refused.iter().map(|(index, code)| json!({"index": index, "code": code})).collect();
            let later: Vec<_> = self.refused_later.iter().map(|(code, frames)| json!({"code": code, "frames": frames})).collect();
            say(json!({"frames": self.through, "accepted": self.accepted, "refused": refused, "refused_later": later}))?;
        } else {
            say(format_args!(
                "{} frames, {} accepted, {} refused",
                self.through,
                self.accepted,
                self.refused.len() as u64 + refused_later
            ))?;
            for (index, code) in self.refused.iter().take(NAMED_MAX) {
                say(format_args!("frame {index}: {code}"))?;
            }
            if self.refused.len() > NAMED_MAX {
                say(format_args!("… and {} more; `--output json` has them all", self.refused.len() - NAMED_MAX))?;
            }
            for (code, frames) in &self.refused_later {
                say(format_args!("{frames} on their way: {code}"))?;
            }
        }
        if self.refused.is_empty() && refused_later == 0 {
            return Ok(());
        }
        let mut codes: Vec<_> = self.refused.iter().map(|(_, code)| code).chain(self.refused_later.iter().map(|(code, _)| code)).collect();
        codes.sort();
        codes.dedup();
        let codes: Vec<_> = codes.into_iter().map(|code| format!("`{code}`")).collect();
        Err(CliError::found(format!("frames were refused: {}", codes.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{Refused, RefusedLater};

    const JSON: OutputArgs = OutputArgs { output: super::super::Output::Json };

    #[test]
    fn acknowledgements_add_up_and_refusals_are_found() {
        let mut sent = Sent::default();
        sent.take(PublishResponse { through: 2, accepted: 2, ..PublishResponse::default() });
        sent.tell(JSON).expect("nothing refused");
        let refused = vec![Refused { index: 3, code: "TV-W02".into() }];
        let later = |frames| vec![RefusedLater { code: "TV-W09".into(), frames }];
        sent.take(PublishResponse { through: 4, accepted: 3, refused, refused_later: later(1) });
        sent.take(PublishResponse { through: 5, accepted: 4, refused: Vec::new(), refused_later: later(2) });
        assert_eq!((sent.through, sent.accepted, &sent.refused[..]), (5, 4, &[(3, "TV-W02".to_owned())][..]));
        assert_eq!(sent.refused_later, [("TV-W09".to_owned(), 2)], "totals are not added up");
        assert_eq!(sent.tell(JSON), Err(CliError::found("frames were refused: `TV-W02`, `TV-W09`")));
    }

    fn map(message: &str) -> MapArgs {
        use clap::{Args, FromArgMatches};
        let matches = MapArgs::augment_args(clap::Command::new("map")).get_matches_from(["map", "--schema", message]);
        MapArgs::from_arg_matches(&matches).expect("read")
    }

    #[test]
    fn lines_and_known_recordings_need_no_mapping_and_others_do() {
        let dir = std::env::temp_dir().join(format!("twinveil-publish-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("patients/p-1")).expect("folder");
        std::fs::write(dir.join("a.ndjson"), "{\"patientId\":\"p\"}\n{\"patientId\":\"q\"}\n").expect("file");
        std::fs::write(dir.join("patients/p-1/ppg_100hz.csv"), "t_s,ppg_adc\n0,1\n0.01,2\n").expect("file");
        std::fs::write(dir.join("other.csv"), "t,x\n0,1\n").expect("file");
        let patient = map("twinveil.sample.PatientFrame");
        let count = |file: &str, map: &MapArgs| open(&dir.join(file), map).map(|frames| frames.filter(Result::is_ok).count());
        assert_eq!(count("a.ndjson", &patient), Ok(2));
        assert_eq!(count("patients/p-1/ppg_100hz.csv", &patient), Ok(1));
        assert_eq!(count("", &patient), Ok(1));
        for (file, map) in [("other.csv", &patient), ("", &map("twinveil.sample.TurbineFrame"))] {
            let error = count(file, map).expect_err("unknown").to_string();
            assert!(error.contains("say what its columns are with `--map`"), "{error}");
        }
        assert!(count("none.csv", &patient).expect_err("missing").to_string().contains("can't be read"));
        std::fs::remove_dir_all(&dir).expect("clean");
    }
}
