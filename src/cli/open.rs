//! `twinveil open`: reads a stream that `subscribe --keep` kept, and opens what the keys and releases at hand open.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use prost::Message;

use super::connect::MESSAGE_BYTES_MAX;
use super::subscribe::{Printer, shape};
use super::wallet::{load, read_envelope, unsigned};
use super::words;
use super::{CliError, plain};
use crate::client::subscriber::Subscriber;
use crate::client::wallet::Wallet;
use crate::proto::v1::SubscribeResponse;
use crate::proto::v1::subscribe_response::Kind;
use crate::veil::consent::envelope::Signed;
use crate::veil::consent::release::Release;
use crate::veil::name::{Did, Origin};

/// Read a stream that was kept, and open what may be opened by now.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints what `twinveil subscribe` printed, one JSON object a line; sealed fields are in the messages where a key opens them, or a \
release that the subject signed later (`twinveil wallet release`). The gateway is not asked. A release that opens nothing in the file \
is for other frames.

Example:
  twinveil open frames.kept --schema twinveil.sample.PatientFrame \\
      --open researcher.json --release release.json")]
pub struct Args {
    /// The file that `subscribe --keep` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Full name of the frames' message type
    #[arg(long, value_name = "MESSAGE")]
    schema: String,
    /// A wallet whose key opens what is sealed or released for it; may be repeated
    #[arg(long, value_name = "WALLET")]
    open: Vec<PathBuf>,
    /// A release; may be repeated
    #[arg(long, value_name = "FILE")]
    release: Vec<PathBuf>,
    /// Compiled descriptor set, or .proto, with the message; the samples in the program where absent
    #[arg(long, value_name = "FILE")]
    descriptor: Option<PathBuf>,
    /// The did:key that the gateway must have signed announcements with; where absent the one in the file counts
    #[arg(long, value_name = "DID", value_parser = words::did)]
    gateway_key: Option<Did>,
}

/// Prints what is in the file.
pub fn run(args: &Args) -> Result<(), CliError> {
    let shape = shape(&args.schema, args.descriptor.as_deref())?;
    let broken = |error: std::io::Error| CliError::broken(format!("`{}` can't be read: {}", args.file.display(), error.kind()));
    let mut file = std::io::BufReader::new(std::fs::File::open(&args.file).map_err(broken)?);
    let keys = args.open.iter().map(|file| load(file).map(Wallet::into_vault)).collect::<Result<Vec<_>, _>>()?;
    let first = next(&mut file, &args.file)?;
    let releases = match first.as_ref().and_then(|first| first.kind.as_ref()) {
        Some(Kind::Header(header)) => {
            let origin = Origin::new(header.origin.as_str());
            args.release.iter().map(|file| release(file, &origin)).collect::<Result<Vec<_>, _>>()?
        }
        _ => return Err(CliError::broken(format!("`{}` holds no stream", args.file.display()))),
    };
    let subscriber = Subscriber::new(keys, args.gateway_key).with_releases(releases);
    let mut printer = Printer { subscriber, message: shape.message(), left: None, out: std::io::stdout() };
    let mut message = first;
    while let Some(response) = message {
        // How it ended is history.
        let _ended = printer.take(response)?;
        message = next(&mut file, &args.file)?;
    }
    Ok(())
}

/// Signed by whom it names, for the gateway of the file.
fn release(file: &Path, origin: &Origin) -> Result<Release, CliError> {
    let envelope = read_envelope(file)?;
    let verified = Signed::<Release>::new(&envelope).and_then(|signed| signed.verify(origin)).map_err(|refusal| unsigned(&refusal))?;
    Ok(verified.get().clone())
}

/// The next message; a stream that was cut off in the middle of one ends before it.
fn next(file: &mut impl BufRead, path: &Path) -> Result<Option<SubscribeResponse>, CliError> {
    let broken = |why: String| CliError::broken(format!("`{}` is not what was kept: {}", path.display(), plain(&why)));
    let mut length = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        if file.read_exact(&mut byte).is_err() {
            return Ok(None);
        }
        length |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    if length > MESSAGE_BYTES_MAX as u64 {
        return Err(broken("a message is longer than any".into()));
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(|error| broken(error.kind().to_string()))?;
    if (bytes.len() as u64) < length {
        return Ok(None);
    }
    SubscribeResponse::decode(bytes.as_slice()).map(Some).map_err(|error| broken(error.to_string()))
}
