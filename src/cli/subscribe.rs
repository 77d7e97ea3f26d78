//! `twinveil subscribe`: a recipient's view as NDJSON, sealed fields opened where the keys are at hand.

mod event;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use prost_reflect::MessageDescriptor;

use super::connect::{Connection, MESSAGE_BYTES_MAX, refused};
use super::input::Shape;
use super::wallet::{load, unsigned};
use super::words;
use super::{CliError, now, unwritten};
use crate::client::dsse;
use crate::client::subscriber::{Event, Subscriber};
use crate::client::wallet::Wallet;
use crate::descriptors;
use crate::proto::v1::frames_client::FramesClient;
use crate::proto::v1::{Delivery, End, SubscribeRequest, SubscribeResponse};
use crate::status::Refuse;
use crate::veil::name::{Did, Purpose, UnixMs};

/// How long a statement that brings a key is good.
const STATEMENT_MS: i64 = 24 * 3_600 * 1_000;

/// Receive frames as one recipient sees them, one JSON object a line.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil subscribe --dir demo --as clinician --schema twinveil.sample.PatientFrame \\
      --purpose dpv:ServiceProvision
  twinveil subscribe --dir demo --as researcher --schema twinveil.sample.PatientFrame \\
      --purpose dpv:ScientificResearch --open researcher.json --count 100

Events: `header` first; `view` when a view of somebody begins, changes or closes; `frame` with the protobuf JSON form of \
the message, and how many sealed groups it had and how many were opened; `gap` where --newest dropped frames; `end`. \
It goes on until Ctrl-C, --count or --seconds. Exit code 2: the gateway ended it and will not have it back.")]
pub struct Args {
    /// Full name of the frames' message type
    #[arg(long, value_name = "MESSAGE")]
    schema: String,
    /// What for: a DPV term
    #[arg(long, value_name = "TERM", value_parser = words::purpose)]
    purpose: Purpose,
    /// A wallet whose key opens what is sealed for it; may be repeated
    #[arg(long, value_name = "WALLET")]
    open: Vec<PathBuf>,
    /// A wallet to speak as, where consents name its did:key; its key opens, too
    #[arg(long, value_name = "WALLET")]
    present: Option<PathBuf>,
    /// When too slow, lose the oldest frames rather than hold the sources back
    #[arg(long)]
    newest: bool,
    /// Keep everything as it came, closed, in this file, which must not exist: `twinveil open` reads it
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// End after so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Compiled descriptor set, or .proto, with the message; the samples in the program where absent
    #[arg(long, value_name = "FILE")]
    descriptor: Option<PathBuf>,
    /// The did:key that the gateway must sign announcements with; where absent the certificate vouches for it
    #[arg(long, value_name = "DID", value_parser = words::did)]
    gateway_key: Option<Did>,
    #[command(flatten)]
    connection: Connection,
}

/// Prints until it ends.
pub fn run(args: Args) -> Result<(), CliError> {
    let shape = shape(&args.schema, args.descriptor.as_deref())?;
    super::block_on(subscribe(&args, shape.message()))
}

/// How frames are printed.
pub(super) fn shape(schema: &str, descriptor: Option<&Path>) -> Result<Shape, CliError> {
    let Some(file) = descriptor else { return Ok(Shape::builtin(schema)?) };
    let read = descriptors::read(file, &[]).map_err(|error| CliError::broken(super::plain(&error.to_string())))?;
    Ok(Shape::load(&read.set, schema).map_err(|error| error.in_file(file.display().to_string()))?)
}

async fn subscribe(args: &Args, message: &MessageDescriptor) -> Result<(), CliError> {
    let mut keys = args.open.iter().map(|file| load(file).map(Wallet::into_vault)).collect::<Result<Vec<_>, _>>()?;
    let mut key = None;
    if let Some(file) = &args.present {
        let wallet = load(file)?;
        let until = UnixMs(now()?.0.saturating_add(STATEMENT_MS));
        let statement = wallet.recipient_key(&args.connection.identity(None)?, &args.connection.origin()?, until);
        key = Some(dsse::to_proto(&statement.map_err(|refusal| unsigned(&refusal))?));
        keys.push(wallet.into_vault());
    }
    let delivery = if args.newest { Delivery::Newest } else { Delivery::Lossless };
    let (schema, purpose) = (args.schema.clone(), args.purpose.to_string());
    let request = SubscribeRequest { schema, purpose, delivery: delivery.into(), key, ..SubscribeRequest::default() };
    let kept = args.keep.as_deref().map(Keeping::begin).transpose()?;
    let printer = Printer { subscriber: Subscriber::new(keys, args.gateway_key), message, left: args.count, out: std::io::stdout() };
    print(request, &args.connection, printer, kept, args.seconds).await
}

/// Prints a stream until it ends, is interrupted, or the time is up.
pub(super) async fn print(
    request: SubscribeRequest,
    connection: &Connection,
    mut printer: Printer<'_, std::io::Stdout>,
    mut kept: Option<Keeping>,
    seconds: Option<u64>,
) -> Result<(), CliError> {
    let channel = connection.connect(None).await?;
    let mut client = FramesClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut time_up = std::pin::pin!(async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    });
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut stream = tokio::select! {
        answer = client.subscribe(request) => answer.map_err(|status| refused(&status))?.into_inner(),
        () = time_up.as_mut() => return Ok(()),
        _ = interrupted.as_mut() => return Ok(()),
    };
    loop {
        let response = tokio::select! {
            response = stream.message() => response,
            () = time_up.as_mut() => return Ok(()),
            _ = interrupted.as_mut() => return Ok(()),
        };
        match response {
            Ok(Some(response)) => {
                if let Some(kept) = &mut kept {
                    kept.keep(&response)?;
                }
                if let Some(ended) = printer.take(response)? {
                    return ended;
                }
            }
            Ok(None) => return Ok(()),
            Err(status) => return Err(refused(&status)),
        }
    }
}

/// A stream as it came: each message with its length, a varint, in front.
pub(super) struct Keeping {
    path: PathBuf,
    file: File,
}

impl Keeping {
    /// For its owner's eyes alone: what was clear in the frames is clear in it.
    fn begin(path: &Path) -> Result<Self, CliError> {
        let file =
            super::certs::new_file(path, 0o600).map_err(|error| CliError::broken(format!("`{}`: {}", path.display(), error.kind())))?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn keep(&mut self, response: &SubscribeResponse) -> Result<(), CliError> {
        let unkept = |error: std::io::Error| CliError::broken(format!("`{}`: {}", self.path.display(), error.kind()));
        self.file.write_all(&response.encode_length_delimited_to_vec()).map_err(unkept)
    }
}

/// Turns messages into lines.
pub(super) struct Printer<'m, W> {
    pub(super) subscriber: Subscriber,
    pub(super) message: &'m MessageDescriptor,
    pub(super) left: Option<u64>,
    pub(super) out: W,
}

impl<W: Write> Printer<'_, W> {
    /// Prints what a message says; some result where nothing should follow.
    pub(super) fn take(&mut self, response: SubscribeResponse) -> Result<Option<Result<(), CliError>>, CliError> {
        let events =
            self.subscriber.take(response).map_err(|error| CliError::broken(format!("the stream is not to be believed: {error}")))?;
        let mut lines = Vec::new();
        let mut ended = None;
        for event in events {
            event::write(&mut lines, &event, self.message)?;
            match event {
                Event::Frame(_) => {
                    if let Some(left) = &mut self.left {
                        *left -= 1;
                        if *left == 0 {
                            ended = Some(Ok(()));
                            break;
                        }
                    }
                }
                Event::Ends(end) => ended = Some(how(&end)),
                Event::Begins(_) | Event::View(_) | Event::Gap(_) => {}
            }
        }
        self.out.write_all(&lines).and_then(|()| self.out.flush()).map_err(unwritten)?;
        Ok(ended)
    }
}

/// Whether coming back would help: a gateway that stops or a recipient that was too slow is no denial.
fn how(end: &End) -> Result<(), CliError> {
    let denial = Refuse::ALL.iter().find(|refuse| refuse.code() == end.code).is_some_and(|refuse| {
        use tonic::Code;
        matches!(
            refuse.status(),
            Code::PermissionDenied
                | Code::Unauthenticated
                | Code::FailedPrecondition
                | Code::InvalidArgument
                | Code::NotFound
                | Code::Unimplemented
        )
    });
    if denial { Err(CliError::denied(format!("{}: {}", super::plain(&end.code), super::plain(&end.reason)))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{Batch, Frame, Header, View, subscribe_response::Kind};
    use crate::veil::crypto::sign::SignKey;
    use prost::Message;

    fn header() -> Kind {
        let key = SignKey::from_seed(&crate::veil::crypto::secret::Secret::take(&mut [1; 32])).did();
        Kind::Header(Header { gateway_key: key.to_string(), ..Header::default() })
    }

    fn batch(first_handover: u64, frames: usize) -> Kind {
        let message = crate::proto::sample::PatientFrame { note: "x".into(), ..Default::default() }.encode_to_vec();
        Kind::Batch(Batch { first_handover, frames: vec![Frame { view: 1, message: message.into() }; frames] })
    }

    type Ended = Result<Option<Result<(), CliError>>, CliError>;

    fn print(count: Option<u64>, kinds: Vec<Kind>) -> (Ended, String) {
        let shape = Shape::builtin("twinveil.sample.PatientFrame").expect("built in");
        let mut printer = Printer { subscriber: Subscriber::new(Vec::new(), None), message: shape.message(), left: count, out: Vec::new() };
        let mut ended = Ok(None);
        for kind in kinds {
            ended = printer.take(SubscribeResponse { kind: Some(kind) });
            if !matches!(ended, Ok(None)) {
                break;
            }
        }
        (ended, String::from_utf8(printer.out).expect("utf-8"))
    }

    fn view() -> Kind {
        Kind::View(View { view: 1, open: true, subject: "abc".into(), ..View::default() })
    }

    #[test]
    fn it_ends_at_the_count_and_prints_no_frame_more() {
        let (ended, text) = print(Some(3), vec![header(), view(), batch(1, 2), batch(3, 2), batch(5, 1)]);
        assert_eq!(ended, Ok(Some(Ok(()))));
        let events: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["event"].as_str().expect("event").into())
            .collect();
        assert_eq!(events, ["header", "view", "frame", "frame", "frame"]);
    }

    #[test]
    fn a_denial_ends_with_two_and_anything_else_with_nothing() {
        let end = |refuse: Refuse| Kind::End(End { code: refuse.code().into(), reason: refuse.text().into() });
        for (refuse, denied) in
            [(Refuse::NotAllowed, true), (Refuse::BadKeyStatement, true), (Refuse::Shutdown, false), (Refuse::TooSlow, false)]
        {
            let (ended, text) = print(None, vec![header(), end(refuse)]);
            let expected = if denied { Err(CliError::denied(refuse.message())) } else { Ok(()) };
            assert_eq!(ended, Ok(Some(expected)));
            assert!(text.contains(&format!("{{\"event\":\"end\",\"code\":\"{}\"", refuse.code())), "{text}");
        }
    }

    #[test]
    fn a_stream_with_a_hole_in_it_is_not_believed() {
        let (ended, _) = print(None, vec![header(), view(), batch(2, 1)]);
        assert!(ended.expect_err("hole").to_string().starts_with("the stream is not to be believed: hand-over number 1 is missing"));
    }
}
