//! A log where somebody says it is: in a folder, or over plain HTTP, as a gateway serves it: `/checkpoint` and `/tile/…`.

use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::CliError;
use crate::log::{Copy, Disk, ReadError};

/// The largest file of a log: a full bundle of the longest entries there can be.
const FILE_BYTES_MAX: usize = 256 * ((1 << 16) + 2);
/// Longer than this nobody waits for a file.
const FILE_MAX: Duration = Duration::from_secs(30);

/// The log at a place: a folder, or an address.
pub(super) fn log_at(place: &str) -> Result<Copy, CliError> {
    Ok(match Web::at(place)? {
        Some(web) => Copy::of(Box::new(web)),
        None => Copy::open(Path::new(place)),
    })
}

/// Whether a place is an address.
pub(super) fn is_address(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

/// What is wrong with a log is found; what can't be read is broken.
pub(super) fn wrong(place: &str, error: ReadError) -> CliError {
    let place = super::plain(place);
    match error {
        ReadError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            CliError::broken(format!("`{place}` is not a whole log: a file of it is missing"))
        }
        // Ours has its words inside; the system's says what kind it is.
        ReadError::Io(error) => match error.get_ref() {
            Some(ours) => CliError::broken(format!("`{place}`: {ours}")),
            None => CliError::broken(format!("`{place}`: {}", error.kind())),
        },
        ReadError::Doubt(doubt) => CliError::found(format!("{}: `{place}`: {doubt}", doubt.code())),
    }
}

/// Where a log is served.
#[derive(Debug)]
struct Web {
    host: String,
    port: u16,
    base: String,
}

impl Web {
    /// The log at a place, where it is an address; none where it is a folder.
    fn at(place: &str) -> Result<Option<Self>, CliError> {
        if !is_address(place) {
            return Ok(None);
        }
        if place.starts_with("https://") {
            return Err(CliError::broken("a log is read over plain HTTP, or from a folder: everything in it is checked by its signature"));
        }
        let bad = || CliError::broken(format!("`{}` is no address", super::plain(place)));
        let uri: Uri = place.parse().map_err(|_| bad())?;
        let host = uri.host().ok_or_else(bad)?.to_owned();
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Some(Self { host, port: uri.port_u16().unwrap_or(80), base }))
    }

    async fn fetch(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let other = |error: &dyn std::fmt::Display| io::Error::other(format!("{path}: {error}"));
        // An IPv6 address stands in brackets in an address, and without them where it is connected to.
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((bare, self.port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(|error| other(&error))?;
        let driven = tokio::spawn(connection);
        let request = Request::get(format!("{}/{path}", self.base)).header("host", format!("{}:{}", self.host, self.port));
        let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|error| other(&error))?;
        let response = sender.send_request(request).await.map_err(|error| other(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), FILE_BYTES_MAX).collect().await.map_err(|error| other(&error))?;
        driven.abort();
        match status {
            StatusCode::OK => Ok(Some(body.to_bytes().into())),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(other(&status)),
        }
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a log that others serve is only read")
}

impl Disk for Web {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::time::timeout(FILE_MAX, self.fetch(path)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        })
    }

    fn put(&self, _path: &str, _bytes: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn put_durably(&self, _path: &str, _bytes: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn append_durably(&self, _path: &str, _bytes: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn remove_folder(&self, _path: &str) -> io::Result<()> {
        Err(read_only())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_a_folder() {
        let at = |place: &str| Web::at(place).map(|web| web.map(|web| (web.host, web.port, web.base)));
        assert_eq!(at("http://127.0.0.1:7444/"), Ok(Some(("127.0.0.1".into(), 7444, String::new()))));
        assert_eq!(at("http://log.example/twins/"), Ok(Some(("log.example".into(), 80, "/twins".into()))));
        assert_eq!(at("demo/log"), Ok(None));
        assert!(at("https://log.example").is_err() && at("http://").is_err());
    }
}
